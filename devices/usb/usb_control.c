/* Standard requests, answered from a device's tables (USB 2.0, 9.4), and a transfer's data. */
#include "casement/bytes.h"
#include "casement/usb.h"

enum { GET_STATUS = 0, CLEAR_FEATURE = 1, SET_FEATURE = 3, GET_DESCRIPTOR = 6, GET_CONFIGURATION = 8 };
enum { SET_CONFIGURATION = 9, GET_INTERFACE = 10, SET_INTERFACE = 11 };
enum { DESCRIPTOR_DEVICE = 1, DESCRIPTOR_CONFIGURATION, DESCRIPTOR_STRING, DESCRIPTOR_QUALIFIER = 6, DESCRIPTOR_OTHER };

#define DEVICE_BYTES 18
#define QUALIFIER_BYTES 10
#define STRING_MAX 126
#define LANGUAGE_US 0x0409

#define TO_DEVICE 0x00
#define TO_INTERFACE 0x01
#define TO_ENDPOINT 0x02
#define ENDPOINT_HALT 0
#define SELF_POWERED 0x40 /* of bmAttributes */

/* Moves bytes between a buffer and the transfer's, from where it has got to. */
static size_t move(struct usb_transfer *transfer, void *to, const void *from, size_t length)
{
    size_t skip = transfer->actual, moved = 0;

    for (unsigned n = 0; n < transfer->iov_count && moved < length; n++) {
        const struct iovec *iov = &transfer->iov[n];
        size_t now;

        if (skip >= iov->iov_len) {
            skip -= iov->iov_len;
            continue;
        }
        now = MIN(iov->iov_len - skip, length - moved);
        if (from)
            memcpy((uint8_t *)iov->iov_base + skip, (const uint8_t *)from + moved, now);
        else if (to)
            memcpy((uint8_t *)to + moved, (const uint8_t *)iov->iov_base + skip, now);
        moved += now;
        skip = 0;
    }
    transfer->actual += moved;
    return moved;
}

size_t usb_transfer_put(struct usb_transfer *transfer, const void *from, size_t length)
{
    return move(transfer, NULL, from, length);
}

size_t usb_transfer_get(struct usb_transfer *transfer, void *to, size_t length)
{
    return move(transfer, to, NULL, length);
}

enum usb_status usb_answer(struct usb_transfer *transfer, const void *data, size_t length)
{
    usb_transfer_put(transfer, data, MIN(length, transfer->setup.length));
    return USB_DONE;
}

/* String 0 is the list of languages; the others are UTF-16 (USB 2.0, 9.6.7). */
static enum usb_status get_string(const struct usb_device *device, struct usb_transfer *transfer, unsigned number)
{
    const struct usb_descriptors *descriptors = device->descriptors;
    uint8_t string[2 + 2 * STRING_MAX] = {4, DESCRIPTOR_STRING};
    const char *text;
    size_t length = 0;

    put_le16(string + 2, LANGUAGE_US);
    if (number == 0)
        return usb_answer(transfer, string, string[0]);
    if (number > descriptors->string_count)
        return USB_STALL; /* Windows asks for 0xEE, of its own invention */
    text = descriptors->strings[number - 1];
    for (; length < STRING_MAX && text[length]; length++)
        put_le16(string + 2 + 2 * length, (uint8_t)text[length]);
    string[0] = (uint8_t)(2 + 2 * length);
    return usb_answer(transfer, string, string[0]);
}

static enum usb_status get_descriptor(struct usb_device *device, struct usb_transfer *transfer)
{
    const struct usb_descriptors *descriptors = device->descriptors;
    unsigned type = transfer->setup.value >> 8, number = transfer->setup.value & 0xFF;

    if (type == DESCRIPTOR_STRING)
        return get_string(device, transfer, number);
    if (type == DESCRIPTOR_DEVICE && number == 0)
        return usb_answer(transfer, descriptors->device, DEVICE_BYTES);
    if (type == DESCRIPTOR_CONFIGURATION && number == 0)
        return usb_answer(transfer, descriptors->configuration, get_le16(descriptors->configuration + 2));
    if (type == DESCRIPTOR_QUALIFIER && descriptors->qualifier)
        return usb_answer(transfer, descriptors->qualifier, QUALIFIER_BYTES);
    return USB_STALL;
}

static enum usb_status set_configuration(struct usb_device *device, uint16_t value)
{
    if (value > 1)
        return USB_STALL;
    device->state.configuration = (uint8_t)value;
    device->state.halted = 0;
    return USB_DONE;
}

static enum usb_status get_status(const struct usb_device *device, struct usb_transfer *transfer)
{
    uint8_t status[2] = {0};

    switch (transfer->setup.type & 0x1F) {
    case TO_DEVICE:
        status[0] = device->descriptors->configuration[7] & SELF_POWERED ? 1 : 0;
        break;
    case TO_ENDPOINT:
        status[0] = device->state.halted >> usb_endpoint_index((uint8_t)transfer->setup.index) & 1;
        break;
    default:
        break;
    }
    return usb_answer(transfer, status, sizeof status);
}

/* An endpoint's halt is the only feature that is switched here. */
static enum usb_status set_feature(struct usb_device *device, const struct usb_setup *setup)
{
    uint32_t bit = 1U << usb_endpoint_index((uint8_t)setup->index);

    if ((setup->type & 0x1F) != TO_ENDPOINT || setup->value != ENDPOINT_HALT)
        return USB_STALL;
    if (setup->request == SET_FEATURE)
        device->state.halted |= bit & ~2U; /* the control endpoint halts for one request at most */
    else
        device->state.halted &= ~bit;
    return USB_DONE;
}

static enum usb_status standard(struct usb_device *device, struct usb_transfer *transfer)
{
    const uint8_t zero = 0;

    switch (transfer->setup.type << 8 | transfer->setup.request) {
    case (USB_IN | TO_DEVICE) << 8 | GET_STATUS:
    case (USB_IN | TO_INTERFACE) << 8 | GET_STATUS:
    case (USB_IN | TO_ENDPOINT) << 8 | GET_STATUS:
        return get_status(device, transfer);
    case TO_DEVICE << 8 | CLEAR_FEATURE:
    case TO_DEVICE << 8 | SET_FEATURE:
    case TO_ENDPOINT << 8 | CLEAR_FEATURE:
    case TO_ENDPOINT << 8 | SET_FEATURE:
        return set_feature(device, &transfer->setup);
    case (USB_IN | TO_DEVICE) << 8 | GET_DESCRIPTOR:
        return get_descriptor(device, transfer);
    case (USB_IN | TO_DEVICE) << 8 | GET_CONFIGURATION:
        return usb_answer(transfer, &device->state.configuration, 1);
    case TO_DEVICE << 8 | SET_CONFIGURATION:
        return set_configuration(device, transfer->setup.value);
    case (USB_IN | TO_INTERFACE) << 8 | GET_INTERFACE:
        return usb_answer(transfer, &zero, 1);
    case TO_INTERFACE << 8 | SET_INTERFACE:
        return transfer->setup.value == 0 ? USB_DONE : USB_STALL;
    default:
        /* SET_ADDRESS too: the controller gives addresses. */
        return device->ops->control(device, transfer);
    }
}

enum usb_status usb_control(struct usb_device *device, struct usb_transfer *transfer)
{
    return device->descriptors ? standard(device, transfer) : device->ops->control(device, transfer);
}
