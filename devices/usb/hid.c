/* The part that is common to HID devices (see hid.h). */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "hid.h"

enum { GET_REPORT = 1, GET_IDLE, GET_PROTOCOL, SET_REPORT = 9, SET_IDLE, SET_PROTOCOL };
enum { REPORT_INPUT = 1, REPORT_OUTPUT };
enum { DESCRIPTOR_HID = 0x21, DESCRIPTOR_REPORT };

#define GET_DESCRIPTOR 6
#define CLASS_IN 0xA1
#define CLASS_OUT 0x21
#define STANDARD_IN 0x81

static struct hid *of(struct usb_device *device)
{
    return container_of(device, struct hid, usb);
}

static enum usb_status get_descriptor(const struct hid *hid, struct usb_transfer *transfer)
{
    switch (transfer->setup.value >> 8) {
    case DESCRIPTOR_HID:
        return usb_answer(transfer, hid->usb.descriptors->configuration + HID_CLASS_DESCRIPTOR_AT, 9);
    case DESCRIPTOR_REPORT:
        return usb_answer(transfer, hid->report_descriptor, hid->report_descriptor_size);
    default:
        return USB_STALL;
    }
}

static enum usb_status get_report(const struct hid *hid, struct usb_transfer *transfer)
{
    uint8_t report[HID_REPORT_MAX];

    if (transfer->setup.value != REPORT_INPUT << 8)
        return USB_STALL;
    return usb_answer(transfer, report, hid->ops->now(hid, report));
}

static enum usb_status set_report(struct hid *hid, struct usb_transfer *transfer)
{
    uint8_t report[HID_REPORT_MAX];
    size_t length;

    if (transfer->setup.value != REPORT_OUTPUT << 8 || !hid->ops->output)
        return USB_STALL;
    length = usb_transfer_get(transfer, report, MIN(sizeof report, transfer->setup.length));
    transfer->actual = transfer->length; /* what is more than a report has is taken and forgotten */
    hid->ops->output(hid, report, length);
    return USB_DONE;
}

static enum usb_status set_protocol(struct hid *hid, uint16_t protocol)
{
    if (!hid->boot || protocol > 1)
        return USB_STALL;
    hid->state.protocol = (uint8_t)protocol;
    return USB_DONE;
}

static enum usb_status request(struct hid *hid, struct usb_transfer *transfer)
{
    switch (transfer->setup.type << 8 | transfer->setup.request) {
    case STANDARD_IN << 8 | GET_DESCRIPTOR:
        return get_descriptor(hid, transfer);
    case CLASS_IN << 8 | GET_REPORT:
        return get_report(hid, transfer);
    case CLASS_IN << 8 | GET_IDLE:
        return usb_answer(transfer, &hid->state.idle, 1);
    case CLASS_IN << 8 | GET_PROTOCOL:
        return hid->boot ? usb_answer(transfer, &hid->state.protocol, 1) : USB_STALL;
    case CLASS_OUT << 8 | SET_REPORT:
        return set_report(hid, transfer);
    case CLASS_OUT << 8 | SET_IDLE:
        hid->state.idle = (uint8_t)(transfer->setup.value >> 8);
        return USB_DONE;
    case CLASS_OUT << 8 | SET_PROTOCOL:
        return set_protocol(hid, transfer->setup.value);
    default:
        return USB_STALL;
    }
}

static enum usb_status control(struct usb_device *device, struct usb_transfer *transfer)
{
    struct hid *hid = of(device);
    enum usb_status status;

    pthread_mutex_lock(&hid->lock);
    status = request(hid, transfer);
    pthread_mutex_unlock(&hid->lock);
    return status;
}

static enum usb_status data(struct usb_device *device, struct usb_transfer *transfer)
{
    struct hid *hid = of(device);
    uint8_t report[HID_REPORT_MAX];
    size_t length;

    if (transfer->endpoint != HID_ENDPOINT)
        return USB_STALL;
    pthread_mutex_lock(&hid->lock);
    hid->state.polled = true;
    length = hid->ops->next(hid, report);
    pthread_mutex_unlock(&hid->lock);
    if (!length)
        return USB_NAK;
    usb_transfer_put(transfer, report, length);
    return USB_DONE;
}

static void stopped(struct usb_device *device, uint8_t endpoint)
{
    struct hid *hid = of(device);

    pthread_mutex_lock(&hid->lock);
    if (endpoint == HID_ENDPOINT)
        hid->state.polled = false;
    pthread_mutex_unlock(&hid->lock);
}

static void reset(struct usb_device *device)
{
    struct hid *hid = of(device);

    pthread_mutex_lock(&hid->lock);
    hid->state = (struct hid_state){.protocol = 1};
    hid->ops->clear(hid);
    pthread_mutex_unlock(&hid->lock);
}

static void destroy(struct usb_device *device)
{
    struct hid *hid = of(device);

    if (hid->input)
        input_remove_sink(hid->input, &hid->sink);
    pthread_mutex_destroy(&hid->lock);
    free(hid);
}

bool hid_active(void *opaque)
{
    struct hid *hid = opaque;
    bool polled;

    pthread_mutex_lock(&hid->lock);
    polled = hid->state.polled;
    pthread_mutex_unlock(&hid->lock);
    return polled;
}

void hid_ready(struct hid *hid)
{
    usb_ready(&hid->usb, HID_ENDPOINT);
}

int hid_add(struct xhci *xhci, struct input *input, struct hid *hid, struct error *error)
{
    static const struct usb_device_ops ops = {
        .reset = reset, .control = control, .data = data, .stopped = stopped, .destroy = destroy};
    int failed;

    hid->usb.ops = &ops;
    hid->usb.speed = USB_HIGH;
    hid->sink.active = hid_active;
    hid->sink.device = hid;
    pthread_mutex_init(&hid->lock, NULL);
    failed = usb_device_add(xhci, &hid->usb);
    if (failed < 0) {
        error_set(error, -failed, "usb: no port is free for the %s; unplug another device", hid->usb.name);
        destroy(&hid->usb);
        return failed;
    }
    hid->input = input;
    if (input)
        input_add_sink(input, &hid->sink);
    return 0;
}
