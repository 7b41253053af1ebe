/*
 * USB: an xHCI controller, the devices in its ports, and what a device has to bring (Universal Serial Bus 2.0,
 * chapters 8 and 9; eXtensible Host Controller Interface 1.2).
 *
 * A device is one file: descriptors as plain tables, a struct usb_device inside its own structure, and a few functions.
 * Rings, contexts, addresses and ports are the controller's.
 */
#ifndef CASEMENT_USB_H
#define CASEMENT_USB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "casement/board.h"
#include "casement/error.h"

struct block;
struct input;
struct xhci;

/* The controller, in the given slot of the PCI bus, with nothing in its ports. The board owns it. */
int xhci_create(struct board *board, int slot, struct xhci **xhci, struct error *error);

/* A boot keyboard, and a pointer that knows absolute places. They are the controller's, in ports of their own, and
 * answer as sinks of input while the guest polls them. Before the guest runs. */
int usb_keyboard_create(struct xhci *xhci, struct input *input, struct error *error);
int usb_tablet_create(struct xhci *xhci, struct input *input, struct error *error);

/*
 * A disk or a CD-ROM drive (Universal Serial Bus Mass Storage Class, Bulk-Only Transport 1.0) in a port of its own,
 * over an image that stays the caller's and outlives the board. *port is which. Before the guest runs.
 */
struct usb_storage_options {
    const char *name; /* of the device, as xhci_plug() has it; copied, as the serial number is */
    const char *serial;
    struct block *medium; /* NULL: an empty drive */
    bool cdrom, removable;
};
int usb_storage_create(struct board *board, struct xhci *xhci, const struct usb_storage_options *options,
                       unsigned *port, struct error *error);

struct usb_listing {
    const char *name; /* "keyboard": valid as long as the controller */
    bool plugged;
    bool driven; /* the guest waits for what it has to say, or the device for the guest's data */
};
/* Writes at most max entries, in the order of creation, and returns how many devices there are. Any thread. */
unsigned xhci_list(struct xhci *xhci, struct usb_listing *list, unsigned max);
/* Puts the device of that name into its port, or takes it out; done already is success. -ENOENT. Any thread. */
int xhci_plug(struct xhci *xhci, const char *name, struct error *error);
int xhci_unplug(struct xhci *xhci, const char *name, struct error *error);
bool xhci_plugged(struct xhci *xhci, const char *name);

/* What follows is for devices. */

enum usb_speed { USB_FULL = 1, USB_LOW, USB_HIGH, USB_SUPER }; /* as PORTSC has them (xHCI 7.2.2.1.1) */

enum usb_status {
    USB_DONE,    /* actual bytes were moved */
    USB_STALL,   /* the endpoint halts, or the request is not known */
    USB_FAILED,  /* the device did not answer as one does: the host controller reports a transaction error */
    USB_NAK,     /* nothing to send or no room yet: usb_ready() says when to ask again */
    USB_PENDING, /* the device keeps the transfer until usb_complete() or cancel */
};

#define USB_IN 0x80U /* of an endpoint's address, and of a request's type */

struct usb_setup { /* USB 2.0, 9.3 */
    uint8_t type, request;
    uint16_t value, index, length;
};

/* One transfer on one endpoint. The buffers are guest memory, which the guest may change at any time. */
struct usb_transfer {
    uint8_t endpoint;       /* its number, with USB_IN */
    struct usb_setup setup; /* of a control transfer; its data goes where setup.type says */
    const struct iovec *iov;
    unsigned iov_count;
    size_t length; /* bytes in iov: what the host takes or gives at most */
    size_t actual; /* bytes moved so far, by the device */
    void *opaque;  /* the device's, while it keeps the transfer */
    /* The controller's: */
    enum usb_status status;
    _Atomic bool completed;
    struct usb_device *device;
};
/* Appends to what the host receives, or takes from what it sends; at most as much as there is. Returns the bytes. */
size_t usb_transfer_put(struct usb_transfer *transfer, const void *from, size_t length);
size_t usb_transfer_get(struct usb_transfer *transfer, void *to, size_t length);
/* A control request's answer: what was asked for of it, and no more. */
enum usb_status usb_answer(struct usb_transfer *transfer, const void *data, size_t length);

/*
 * The device's side. All are called with the controller's lock held: a device takes its own lock inside, and calls
 * neither usb_complete() from here nor anything that takes the controller's.
 */
struct usb_device_ops {
    /* Bus reset or new in the port: no address, no configuration, nothing in flight. */
    void (*reset)(struct usb_device *device);
    /* A request that is not a standard one of chapter 9, or any when the device has no descriptor tables. */
    enum usb_status (*control)(struct usb_device *device, struct usb_transfer *transfer);
    /* A transfer on another endpoint, one at a time for each. */
    enum usb_status (*data)(struct usb_device *device, struct usb_transfer *transfer);
    /* Gives back a transfer that is pending: on return it is not touched any more. NULL when none ever is. */
    void (*cancel)(struct usb_device *device, struct usb_transfer *transfer);
    /* The guest does not poll the endpoint until data is called again. May be NULL. */
    void (*stopped)(struct usb_device *device, uint8_t endpoint);
    void (*destroy)(struct usb_device *device);
};

struct usb_descriptors {
    const uint8_t *device;        /* 18 bytes */
    const uint8_t *configuration; /* wTotalLength bytes; its value is 1 */
    const uint8_t *qualifier;     /* 10 bytes, of a high-speed device; NULL: none */
    const char *const *strings;   /* ASCII; strings[0] is string 1 */
    unsigned string_count;
};

/* What the guest can observe of any device. */
struct usb_state {
    uint8_t address, configuration;
    uint32_t halted; /* endpoints, as the host controller counts them: 2 * number + (IN ? 1 : 0) */
};

struct usb_device {
    const char *name;
    const struct usb_device_ops *ops;
    const struct usb_descriptors *descriptors;
    enum usb_speed speed;
    struct usb_state state;
    /* The controller's: */
    struct xhci *xhci;
    uint8_t port; /* from 1, for as long as the device lives */
    bool plugged;
    _Atomic uint32_t ready; /* endpoints, as in usb_state.halted */
};

/* Gives the device to the controller, in the first port of its speed that is nobody's, and plugs it. -ENOSPC. */
int usb_device_add(struct xhci *xhci, struct usb_device *device);
/* The endpoint that answered USB_NAK has something to say. Any thread, with any lock but the controller's. */
void usb_ready(struct usb_device *device, uint8_t endpoint);
/* Ends a pending transfer, whose actual is set; it is the controller's from now on. Any thread. */
void usb_complete(struct usb_transfer *transfer, enum usb_status status);
/* A control transfer, whoever has to answer it (USB 2.0, 9.4). With the controller's lock held. */
enum usb_status usb_control(struct usb_device *device, struct usb_transfer *transfer);

/* Where the controller's structures count an endpoint: the device context index (xHCI 4.5.1). */
static inline unsigned usb_endpoint_index(uint8_t endpoint)
{
    unsigned number = endpoint & 0xF;

    return number ? 2 * number + (endpoint & USB_IN ? 1 : 0) : 1;
}

#endif
