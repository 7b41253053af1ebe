/* What HID devices share (Device Class Definition for HID 1.11): descriptors, class requests, who is polled. */
#ifndef CASEMENT_HID_H
#define CASEMENT_HID_H

#include <pthread.h>

#include "casement/input.h"
#include "casement/usb.h"

#define HID_ENDPOINT (1U | USB_IN) /* the interrupt endpoint of each */
#define HID_REPORT_MAX 8U

struct hid;
/* With the HID's lock held. */
struct hid_ops {
    /* Writes the next report of the queue and takes it off; 0 when there is none. */
    size_t (*next)(struct hid *hid, uint8_t report[HID_REPORT_MAX]);
    /* The report as things are, and nothing is taken off. */
    size_t (*now)(const struct hid *hid, uint8_t report[HID_REPORT_MAX]);
    /* An output report from the guest; NULL: there is none. */
    void (*output)(struct hid *hid, const uint8_t *report, size_t length);
    /* Back to nothing pressed and nothing queued. */
    void (*clear)(struct hid *hid);
};

/* What the guest can observe of any HID. */
struct hid_state {
    uint8_t protocol; /* 0: boot, 1: report */
    uint8_t idle;     /* in 4 ms; reports go out when something changes */
    uint8_t polled;   /* the guest has asked for a report, and not stopped to */
};

struct hid {
    struct usb_device usb;
    const struct hid_ops *ops;
    const uint8_t *report_descriptor;
    size_t report_descriptor_size;
    bool boot; /* it knows the boot protocol */
    pthread_mutex_t lock;
    struct hid_state state;
    struct input *input;
    struct input_sink sink;
};

/* Fills in the rest of a HID whose name, descriptors, sink and tables are set, and gives it to the controller and to
 * input. ops.destroy is free() of the containing structure, whose first member the HID is. */
int hid_add(struct xhci *xhci, struct input *input, struct hid *hid, struct error *error);
/* Whether the guest polls: for sinks. Any thread. */
bool hid_active(void *hid);
/* The queue has something new. Any thread, without the HID's lock. */
void hid_ready(struct hid *hid);

/* The 9-byte class descriptor's place in a configuration of one interface with one endpoint. */
#define HID_CLASS_DESCRIPTOR_AT 18

/* Configuration, interface, class and endpoint descriptors of a HID with one interrupt endpoint, polled every
 * millisecond at high speed. */
#define HID_CONFIGURATION(subclass, protocol, report_size, packet)                                   \
    9, 2, 34, 0, 1, 1, 0, 0xA0, 50,                        /* configuration: bus-powered, 100 mA */  \
        9, 4, 0, 0, 1, 3, (subclass), (protocol), 0,       /* interface */                           \
        9, 0x21, 0x11, 0x01, 0, 1, 0x22, (report_size), 0, /* HID 1.11 with one report descriptor */ \
        7, 5, HID_ENDPOINT, 3, (packet), 0, 4              /* interrupt endpoint, 2^3 microframes */

#endif
