/* Root hub ports: their registers, the devices in them, plugging and unplugging (xHCI 4.19, 5.4.8). */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "xhci_private.h"

#define CONNECTED (1U << 0)
#define ENABLED (1U << 1)
#define RESET (1U << 4)
#define LINK_SHIFT 5
#define LINK (0xFU << LINK_SHIFT)
#define POWER (1U << 9)
#define SPEED_SHIFT 10
#define SPEED (0xFU << SPEED_SHIFT)
#define LINK_STROBE (1U << 16)
#define CONNECT_CHANGE (1U << 17)
#define ENABLED_CHANGE (1U << 18)
#define WARM_RESET_CHANGE (1U << 19)
#define RESET_CHANGE (1U << 21)
#define LINK_CHANGE (1U << 22)
#define CHANGES (0x7FU << 17)
#define WAKE (7U << 25)
#define WARM_RESET (1U << 31)

enum link { LINK_U0 = 0, LINK_U3 = 3, LINK_DISABLED = 4, LINK_RX_DETECT = 5, LINK_POLLING = 7, LINK_RESUME = 15 };

enum { PORTSC = 0, PORTPMSC = 4 };

static bool is_usb3(unsigned port)
{
    return port > USB2_PORTS;
}

static void set_link(uint32_t *status, enum link link)
{
    *status = (*status & ~LINK) | (uint32_t)link << LINK_SHIFT;
}

static enum link link_of(uint32_t status)
{
    return (enum link)((status & LINK) >> LINK_SHIFT);
}

/* A change bit that rises is told once (xHCI 4.19.2). */
static void change(struct xhci *xhci, unsigned port, uint32_t bits)
{
    struct xhci_state *state = &xhci->state;

    if ((state->port_status[port] & bits) == bits)
        return;
    state->port_status[port] |= bits;
    state->status |= STATUS_PORT_CHANGE;
    state->port_events |= 1U << port;
    if (xhci_runs(xhci))
        xhci_post(xhci);
}

static void reset_device_in(struct xhci *xhci, unsigned port)
{
    struct usb_device *device = xhci->devices[port];

    device->state = (struct usb_state){0};
    device->ops->reset(device);
}

/* What slots have under way with the port's device fails. */
static void lose_device(struct xhci *xhci, unsigned port)
{
    for (unsigned slot = 1; slot <= SLOTS; slot++)
        for (unsigned index = 1; xhci->state.slots[slot].port == port && index < ENDPOINTS; index++)
            endpoint_lost(xhci, slot, index);
    if (xhci_runs(xhci))
        xhci_post(xhci);
}

/* A USB 3 link trains by itself; a USB 2 port waits for its reset. */
static void connect(struct xhci *xhci, unsigned port)
{
    uint32_t *status = &xhci->state.port_status[port];

    reset_device_in(xhci, port);
    *status |= CONNECTED | (uint32_t)xhci->devices[port]->speed << SPEED_SHIFT;
    if (is_usb3(port))
        *status |= ENABLED;
    set_link(status, is_usb3(port) ? LINK_U0 : LINK_POLLING);
    change(xhci, port, CONNECT_CHANGE);
}

static void disconnect(struct xhci *xhci, unsigned port)
{
    uint32_t *status = &xhci->state.port_status[port];

    lose_device(xhci, port);
    reset_device_in(xhci, port);
    *status &= ~(CONNECTED | ENABLED | SPEED);
    set_link(status, LINK_RX_DETECT);
    change(xhci, port, CONNECT_CHANGE);
}

void ports_reset(struct xhci *xhci)
{
    for (unsigned port = 1; port <= PORTS; port++) {
        xhci->state.port_status[port] = POWER | LINK_RX_DETECT << LINK_SHIFT;
        xhci->state.port_power[port] = 0;
        if (xhci->devices[port] && xhci->devices[port]->plugged)
            connect(xhci, port);
    }
}

bool port_enabled(const struct xhci *xhci, unsigned port)
{
    return xhci->state.port_status[port] & ENABLED;
}

bool ports_report(struct xhci *xhci)
{
    for (unsigned port = 1; port <= PORTS; port++) {
        const struct trb event = {.parameter = (uint64_t)port << 24,
                                  .status = (uint32_t)CC_SUCCESS << 24,
                                  .control = trb_of_type(TRB_PORT_EVENT)};

        if (!(xhci->state.port_events >> port & 1))
            continue;
        if (!event_write(xhci, 0, &event, false))
            return false;
        xhci->state.port_events &= ~(1U << port);
    }
    return true;
}

uint32_t port_read(const struct xhci *xhci, unsigned port, unsigned offset)
{
    return offset == PORTSC ? xhci->state.port_status[port] : offset == PORTPMSC ? xhci->state.port_power[port] : 0;
}

static void port_reset(struct xhci *xhci, unsigned port, bool warm)
{
    uint32_t *status = &xhci->state.port_status[port];

    if (*status & CONNECTED) {
        lose_device(xhci, port);
        reset_device_in(xhci, port);
        *status |= ENABLED;
        set_link(status, LINK_U0);
    }
    change(xhci, port, RESET_CHANGE | (warm ? WARM_RESET_CHANGE : 0));
}

static void port_disable(struct xhci *xhci, unsigned port)
{
    uint32_t *status = &xhci->state.port_status[port];

    if (!(*status & ENABLED))
        return;
    lose_device(xhci, port);
    *status &= ~ENABLED;
    set_link(status, is_usb3(port) ? LINK_DISABLED : LINK_POLLING);
}

/* Suspend and resume, which happen at once. The device is still reached meanwhile, for nothing asks it to be. */
static void write_link(struct xhci *xhci, unsigned port, enum link link)
{
    uint32_t *status = &xhci->state.port_status[port];
    enum link now = link_of(*status);

    if (link == LINK_RX_DETECT && is_usb3(port) && now == LINK_DISABLED) {
        set_link(status, LINK_RX_DETECT);
        if (*status & CONNECTED) {
            *status |= ENABLED;
            set_link(status, LINK_U0);
        }
    }
    if (!(*status & ENABLED))
        return;
    if (link == LINK_U3)
        set_link(status, LINK_U3);
    else if (link == LINK_RESUME && now == LINK_U3 && !is_usb3(port))
        set_link(status, LINK_RESUME);
    else if (link == LINK_U0 && (now == LINK_U3 || now == LINK_RESUME)) {
        set_link(status, LINK_U0);
        change(xhci, port, LINK_CHANGE);
    }
}

static void write_status(struct xhci *xhci, unsigned port, uint32_t value)
{
    uint32_t *status = &xhci->state.port_status[port];

    *status &= ~(value & CHANGES);
    *status = (*status & ~WAKE) | (value & WAKE);
    if (value & RESET)
        port_reset(xhci, port, false);
    else if ((value & WARM_RESET) && is_usb3(port))
        port_reset(xhci, port, true);
    else if (value & ENABLED)
        port_disable(xhci, port);
    else if (value & LINK_STROBE)
        write_link(xhci, port, link_of(value));
}

void port_write(struct xhci *xhci, unsigned port, unsigned offset, uint32_t value)
{
    if (offset == PORTSC)
        write_status(xhci, port, value);
    else if (offset == PORTPMSC && is_usb3(port))
        xhci->state.port_power[port] = value & 0x1FFFF; /* U1 and U2 time-outs (xHCI 5.4.9.1), which change nothing */
}

int usb_device_add(struct xhci *xhci, struct usb_device *device)
{
    unsigned port = device->speed == USB_SUPER ? USB2_PORTS + 1 : 1;
    unsigned last = device->speed == USB_SUPER ? PORTS : USB2_PORTS;
    int failed = -ENOSPC;

    pthread_mutex_lock(&xhci->lock);
    while (port <= last && xhci->devices[port])
        port++;
    if (port <= last) {
        device->xhci = xhci;
        device->port = (uint8_t)port;
        device->plugged = true;
        xhci->devices[port] = device;
        xhci->order[xhci->device_count++] = device;
        connect(xhci, port);
        failed = 0;
    }
    pthread_mutex_unlock(&xhci->lock);
    return failed;
}

void usb_ready(struct usb_device *device, uint8_t endpoint)
{
    atomic_fetch_or(&device->ready, UINT32_C(1) << usb_endpoint_index(endpoint));
    xhci_post(device->xhci);
}

void usb_complete(struct usb_transfer *transfer, enum usb_status status)
{
    struct usb_device *device = transfer->device;
    uint8_t endpoint = transfer->endpoint;

    transfer->status = status;
    atomic_store(&transfer->completed, true);
    usb_ready(device, endpoint);
}

static struct usb_device *find(const struct xhci *xhci, const char *name)
{
    for (unsigned n = 0; n < xhci->device_count; n++)
        if (!strcmp(xhci->order[n]->name, name))
            return xhci->order[n];
    return NULL;
}

static int set_plugged(struct xhci *xhci, const char *name, bool plugged, struct error *error)
{
    struct usb_device *device;

    pthread_mutex_lock(&xhci->lock);
    device = find(xhci, name);
    if (device && device->plugged != plugged) {
        device->plugged = plugged;
        if (plugged)
            connect(xhci, device->port);
        else
            disconnect(xhci, device->port);
    }
    pthread_mutex_unlock(&xhci->lock);
    return device ? 0 : error_set(error, ENOENT, "usb: there is no device %s; list the devices for their names", name);
}

int xhci_plug(struct xhci *xhci, const char *name, struct error *error)
{
    return set_plugged(xhci, name, true, error);
}

int xhci_unplug(struct xhci *xhci, const char *name, struct error *error)
{
    return set_plugged(xhci, name, false, error);
}

bool xhci_plugged(struct xhci *xhci, const char *name)
{
    const struct usb_device *device;
    bool plugged;

    pthread_mutex_lock(&xhci->lock);
    device = find(xhci, name);
    plugged = device && device->plugged;
    pthread_mutex_unlock(&xhci->lock);
    return plugged;
}

static bool is_driven(const struct xhci *xhci, const struct usb_device *device)
{
    for (unsigned slot = 1; slot <= SLOTS; slot++)
        for (unsigned index = 2; slot_device(xhci, slot) == device && index < ENDPOINTS; index++)
            if (xhci->pipes[slot][index] && xhci->pipes[slot][index]->phase != PIPE_IDLE)
                return true;
    return false;
}

unsigned xhci_list(struct xhci *xhci, struct usb_listing *list, unsigned max)
{
    unsigned count;

    pthread_mutex_lock(&xhci->lock);
    count = xhci->device_count;
    for (unsigned n = 0; n < MIN(count, max); n++)
        list[n] = (struct usb_listing){.name = xhci->order[n]->name,
                                       .plugged = xhci->order[n]->plugged,
                                       .driven = is_driven(xhci, xhci->order[n])};
    pthread_mutex_unlock(&xhci->lock);
    return count;
}
