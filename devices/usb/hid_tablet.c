/* A tablet: a pointer at absolute places, with five buttons, a wheel, and one that pans. */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "hid.h"

#define QUEUE 64U
#define REPORT_BYTES 7U
#define BUTTONS 0x1F

static const uint8_t report_descriptor[] = {
    0x05, 0x01,       /* usage page: generic desktop */
    0x09, 0x02,       /* usage: mouse */
    0xA1, 0x01,       /* collection: application */
    0x09, 0x01,       /*   usage: pointer */
    0xA1, 0x00,       /*   collection: physical */
    0x05, 0x09,       /*     usage page: buttons */
    0x19, 0x01,       /*     usage minimum: 1 */
    0x29, 0x05,       /*     usage maximum: 5 */
    0x15, 0x00,       /*     logical minimum: 0 */
    0x25, 0x01,       /*     logical maximum: 1 */
    0x75, 0x01,       /*     report size: 1 */
    0x95, 0x05,       /*     report count: 5 */
    0x81, 0x02,       /*     input: data, variable, absolute */
    0x75, 0x03,       /*     report size: 3 */
    0x95, 0x01,       /*     report count: 1 */
    0x81, 0x01,       /*     input: constant */
    0x05, 0x01,       /*     usage page: generic desktop */
    0x09, 0x30,       /*     usage: X */
    0x09, 0x31,       /*     usage: Y */
    0x15, 0x00,       /*     logical minimum: 0 */
    0x26, 0xFF, 0x7F, /*     logical maximum: 32767 */
    0x35, 0x00,       /*     physical minimum: 0 */
    0x46, 0xFF, 0x7F, /*     physical maximum: 32767 */
    0x75, 0x10,       /*     report size: 16 */
    0x95, 0x02,       /*     report count: 2 */
    0x81, 0x02,       /*     input: data, variable, absolute */
    0x09, 0x38,       /*     usage: wheel */
    0x15, 0x81,       /*     logical minimum: -127 */
    0x25, 0x7F,       /*     logical maximum: 127 */
    0x35, 0x00,       /*     physical range: as the logical one */
    0x45, 0x00,       /*     */
    0x75, 0x08,       /*     report size: 8 */
    0x95, 0x01,       /*     report count: 1 */
    0x81, 0x06,       /*     input: data, variable, relative */
    0x05, 0x0C,       /*     usage page: consumer */
    0x0A, 0x38, 0x02, /*     usage: AC pan */
    0x81, 0x06,       /*     input: data, variable, relative */
    0xC0,             /*   end of collection */
    0xC0,             /* end of collection */
};

static const uint8_t device_descriptor[] = {18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x02, 0x00, 0, 1, 1, 2, 3, 1};
static const uint8_t qualifier[] = {10, 6, 0, 2, 0, 0, 0, 64, 1, 0};
static const uint8_t configuration[] = {HID_CONFIGURATION(0, 0, sizeof report_descriptor, 8)};
static const char *const strings[] = {"Casement", "USB Tablet", "casement-tablet"};

/* What the guest can observe. */
struct tablet_state {
    struct input_pointer last; /* as it was reported */
    uint16_t head, count;
    struct input_pointer queue[QUEUE];
};

struct tablet {
    struct hid hid; /* first */
    struct tablet_state state;
};

/* A detent more than the byte's range has no meaning to anybody. */
static uint8_t detents(int8_t count)
{
    return (uint8_t)MAX(count, -127);
}

static size_t now(const struct hid *hid, uint8_t report[HID_REPORT_MAX])
{
    const struct input_pointer *last = &container_of(hid, struct tablet, hid)->state.last;

    report[0] = last->buttons & BUTTONS;
    put_le16(report + 1, last->x);
    put_le16(report + 3, last->y);
    report[5] = detents(last->wheel);
    report[6] = detents(last->pan);
    return REPORT_BYTES;
}

static size_t next(struct hid *hid, uint8_t report[HID_REPORT_MAX])
{
    struct tablet_state *state = &container_of(hid, struct tablet, hid)->state;
    size_t length;

    if (!state->count)
        return 0;
    state->last = state->queue[state->head];
    state->head = (uint16_t)((state->head + 1) % QUEUE);
    state->count--;
    length = now(hid, report);
    state->last.wheel = state->last.pan = 0; /* a turn is told once */
    return length;
}

static void clear(struct hid *hid)
{
    container_of(hid, struct tablet, hid)->state = (struct tablet_state){0};
}

static bool pointer(void *opaque, const struct input_pointer *event)
{
    struct tablet *tablet = opaque;
    struct tablet_state *state = &tablet->state;
    bool taken;

    pthread_mutex_lock(&tablet->hid.lock);
    taken = state->count < QUEUE;
    if (taken)
        state->queue[(state->head + state->count++) % QUEUE] = *event;
    pthread_mutex_unlock(&tablet->hid.lock);
    hid_ready(&tablet->hid);
    return taken;
}

int usb_tablet_create(struct xhci *xhci, struct input *input, struct error *error)
{
    static const struct usb_descriptors descriptors = {device_descriptor, configuration, qualifier, strings,
                                                       ARRAY_SIZE(strings)};
    static const struct hid_ops ops = {.next = next, .now = now, .clear = clear};
    struct tablet *tablet = calloc(1, sizeof *tablet);

    if (!tablet)
        return error_set(error, ENOMEM, "usb tablet: out of memory");
    tablet->hid = (struct hid){.usb = {.name = "tablet", .descriptors = &descriptors},
                               .ops = &ops,
                               .report_descriptor = report_descriptor,
                               .report_descriptor_size = sizeof report_descriptor,
                               .sink = {.pointer = pointer}};
    return hid_add(xhci, input, &tablet->hid, error);
}
