/* A boot keyboard (Device Class Definition for HID 1.11, appendix B.1): one report for each key that changes. */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "hid.h"
#include "hid_usages.h"

/* What waits longer waits in input's queue, so that another keyboard gets it when this one is unplugged. */
#define QUEUE 1U
#define REPORT_BYTES 8U
#define REPORT_KEYS 6U
#define ROLL_OVER 0x01 /* more keys than a report holds */
/* Who uses the boot protocol is firmware, which keeps few keys that nobody has read yet. */
#define BOOT_PACE_NS INT64_C(20000000)
#define REPORT_PACE_NS INT64_C(4000000)

/* The same in both protocols: modifiers, a reserved byte, six keys; five LEDs the other way. */
static const uint8_t report_descriptor[] = {
    0x05, 0x01,       /* usage page: generic desktop */
    0x09, 0x06,       /* usage: keyboard */
    0xA1, 0x01,       /* collection: application */
    0x05, 0x07,       /*   usage page: keyboard */
    0x19, 0xE0,       /*   usage minimum: left control */
    0x29, 0xE7,       /*   usage maximum: right meta */
    0x15, 0x00,       /*   logical minimum: 0 */
    0x25, 0x01,       /*   logical maximum: 1 */
    0x75, 0x01,       /*   report size: 1 */
    0x95, 0x08,       /*   report count: 8 */
    0x81, 0x02,       /*   input: data, variable, absolute */
    0x75, 0x08,       /*   report size: 8 */
    0x95, 0x01,       /*   report count: 1 */
    0x81, 0x01,       /*   input: constant */
    0x05, 0x08,       /*   usage page: LEDs */
    0x19, 0x01,       /*   usage minimum: num lock */
    0x29, 0x05,       /*   usage maximum: kana */
    0x75, 0x01,       /*   report size: 1 */
    0x95, 0x05,       /*   report count: 5 */
    0x91, 0x02,       /*   output: data, variable, absolute */
    0x75, 0x03,       /*   report size: 3 */
    0x95, 0x01,       /*   report count: 1 */
    0x91, 0x01,       /*   output: constant */
    0x05, 0x07,       /*   usage page: keyboard */
    0x19, 0x00,       /*   usage minimum: 0 */
    0x2A, 0xDD, 0x00, /*   usage maximum: the last that is a key */
    0x15, 0x00,       /*   logical minimum: 0 */
    0x26, 0xDD, 0x00, /*   logical maximum */
    0x75, 0x08,       /*   report size: 8 */
    0x95, 0x06,       /*   report count: 6 */
    0x81, 0x00,       /*   input: data, array */
    0xC0,             /* end of collection */
};

/* USB 2.0, 64-byte control endpoint; vendor and product of the range that pid.codes keeps for tests. */
static const uint8_t device_descriptor[] = {18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x01, 0x00, 0, 1, 1, 2, 3, 1};
static const uint8_t qualifier[] = {10, 6, 0, 2, 0, 0, 0, 64, 1, 0};
static const uint8_t configuration[] = {HID_CONFIGURATION(1, 1, sizeof report_descriptor, REPORT_BYTES)};
static const char *const strings[] = {"Casement", "USB Keyboard", "casement-keyboard"};

#define LED_CAPS_LOCK 2 /* of the output report (HID 1.11, appendix B.1) */

/* What the guest can observe. Keys are usages. */
struct keyboard_state {
    uint8_t down[32], leds;
    uint8_t changed; /* down is not what was reported last */
    uint16_t head, count;
    struct {
        uint8_t usage, down;
    } queue[QUEUE];
};

struct keyboard {
    struct hid hid; /* first */
    struct keyboard_state state;
    uint8_t queued[32]; /* what is down when the queue is empty */
};

static bool is_set(const uint8_t *keys, unsigned usage)
{
    return keys[usage / 8] >> usage % 8 & 1;
}

static void set(uint8_t *keys, unsigned usage, bool down)
{
    uint8_t bit = (uint8_t)(1U << usage % 8);

    keys[usage / 8] = (uint8_t)(down ? keys[usage / 8] | bit : keys[usage / 8] & ~bit);
}

static size_t now(const struct hid *hid, uint8_t report[HID_REPORT_MAX])
{
    const struct keyboard *keyboard = container_of(hid, struct keyboard, hid);
    const uint8_t *down = keyboard->state.down;
    unsigned count = 0;

    memset(report, 0, REPORT_BYTES);
    report[0] = down[HID_USAGE_LEFT_CONTROL / 8];
    for (unsigned usage = 1; usage < HID_USAGE_LEFT_CONTROL; usage++) {
        if (!is_set(down, usage))
            continue;
        if (count == REPORT_KEYS) {
            memset(report + 2, ROLL_OVER, REPORT_KEYS);
            break;
        }
        report[2 + count++] = (uint8_t)usage;
    }
    return REPORT_BYTES;
}

static size_t next(struct hid *hid, uint8_t report[HID_REPORT_MAX])
{
    struct keyboard_state *state = &container_of(hid, struct keyboard, hid)->state;

    if (!state->changed) {
        if (!state->count)
            return 0;
        set(state->down, state->queue[state->head].usage, state->queue[state->head].down);
        state->head = (uint16_t)((state->head + 1) % QUEUE);
        state->count--;
    }
    state->changed = false;
    return now(hid, report);
}

static void output(struct hid *hid, const uint8_t *report, size_t length)
{
    if (!length)
        return;
    container_of(hid, struct keyboard, hid)->state.leds = report[0];
    if (hid->input)
        input_set_caps_lock(hid->input, report[0] & LED_CAPS_LOCK);
}

static void clear(struct hid *hid)
{
    struct keyboard *keyboard = container_of(hid, struct keyboard, hid);

    keyboard->state = (struct keyboard_state){0};
    memset(keyboard->queued, 0, sizeof keyboard->queued);
}

/* Nobody takes reports: what counts is what is down when somebody does again. */
static void collapse(struct keyboard *keyboard)
{
    struct keyboard_state *state = &keyboard->state;

    state->changed = state->changed || memcmp(state->down, keyboard->queued, sizeof state->down) != 0;
    memcpy(state->down, keyboard->queued, sizeof state->down);
    state->head = state->count = 0;
}

/* With the lock held. */
static bool add(struct keyboard *keyboard, uint8_t usage, bool down)
{
    struct keyboard_state *state = &keyboard->state;

    if (is_set(keyboard->queued, usage) == down)
        return true;
    if (keyboard->hid.state.polled && state->count == QUEUE)
        return false;
    set(keyboard->queued, usage, down);
    if (!keyboard->hid.state.polled) {
        collapse(keyboard);
        return true;
    }
    state->queue[(state->head + state->count) % QUEUE].usage = usage;
    state->queue[(state->head + state->count++) % QUEUE].down = down;
    return true;
}

static bool key(void *opaque, unsigned code, bool down)
{
    struct keyboard *keyboard = opaque;
    uint8_t usage = hid_usage(code);
    bool taken;

    if (!usage)
        return true;
    pthread_mutex_lock(&keyboard->hid.lock);
    taken = add(keyboard, usage, down);
    /* Input, whose lock is held here, reads it when this returns. */
    keyboard->hid.sink.key_pace_ns = keyboard->hid.state.protocol ? REPORT_PACE_NS : BOOT_PACE_NS;
    pthread_mutex_unlock(&keyboard->hid.lock);
    hid_ready(&keyboard->hid);
    return taken;
}

int usb_keyboard_create(struct xhci *xhci, struct input *input, struct error *error)
{
    static const struct usb_descriptors descriptors = {device_descriptor, configuration, qualifier, strings,
                                                       ARRAY_SIZE(strings)};
    static const struct hid_ops ops = {.next = next, .now = now, .output = output, .clear = clear};
    struct keyboard *keyboard = calloc(1, sizeof *keyboard);

    if (!keyboard)
        return error_set(error, ENOMEM, "usb keyboard: out of memory");
    keyboard->hid = (struct hid){.usb = {.name = "keyboard", .descriptors = &descriptors},
                                 .ops = &ops,
                                 .report_descriptor = report_descriptor,
                                 .report_descriptor_size = sizeof report_descriptor,
                                 .boot = true,
                                 .sink = {.key = key}};
    return hid_add(xhci, input, &keyboard->hid, error);
}
