/* The keyboard and the tablet: what they report, who answers a key, that nothing is lost (HID 1.11). */
#include <linux/input-event-codes.h>
#include <string.h>

#include "../../devices/usb/hid_usages.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define KEYBOARD_PORT 1
#define TABLET_PORT 2
#define STALL 6

/* What stands in for PS/2. */
struct fall_back {
    struct input_sink sink;
    unsigned keys, pointers;
};

static bool take_key(void *opaque, unsigned code, bool down)
{
    (void)code, (void)down;
    ((struct fall_back *)opaque)->keys++;
    return true;
}

static bool take_pointer(void *opaque, const struct input_pointer *pointer)
{
    (void)pointer;
    ((struct fall_back *)opaque)->pointers++;
    return true;
}

static struct driver *start(void)
{
    struct driver *driver = driver_create();

    driver_start(driver, 256, 1);
    driver_settle(driver);
    return driver;
}

/* Asks for a report, which has to come. */
static uint64_t report(struct driver *driver, unsigned slot)
{
    struct guest_trb event;

    driver_poke(driver, M_DATA + 0x1000U * slot, 8, 0);
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    for (unsigned tries = 0; tries < 1000; tries++) {
        driver_wait(driver, tries ? 1 : 0);
        while (driver_event(driver, 0, &event))
            if (TRB_TYPE(event) == T_TRANSFER_EVENT && (event.control >> 16 & 0x1F) == 3)
                return driver_peek(driver, M_DATA + 0x1000U * slot, 8);
    }
    fail_msg("no report comes");
    return 0;
}

/* A poll that stays, so that the device knows of the guest; the event of it is for the caller. */
static void begin_polling(struct driver *driver, unsigned slot)
{
    struct guest_trb event;

    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_false(driver_event(driver, 0, &event));
}

static uint64_t awaited(struct driver *driver, unsigned slot)
{
    struct guest_trb event;

    driver_wait(driver, PACE_MS);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_TRANSFER_EVENT);
    return driver_peek(driver, M_DATA + 0x1000U * slot, 8);
}

static void every_key_has_a_usage_of_its_own(void **state)
{
    /* Of a full keyboard: everything up to F12 and the keypad, and what the table of contents promises. */
    static const uint16_t others[] = {KEY_102ND,   KEY_F11,      KEY_F12,       KEY_RO,         KEY_KATAKANAHIRAGANA,
                                      KEY_HENKAN,  KEY_MUHENKAN, KEY_KPENTER,   KEY_RIGHTCTRL,  KEY_KPSLASH,
                                      KEY_SYSRQ,   KEY_RIGHTALT, KEY_HOME,      KEY_UP,         KEY_PAGEUP,
                                      KEY_LEFT,    KEY_RIGHT,    KEY_END,       KEY_DOWN,       KEY_PAGEDOWN,
                                      KEY_INSERT,  KEY_DELETE,   KEY_MUTE,      KEY_VOLUMEDOWN, KEY_VOLUMEUP,
                                      KEY_KPEQUAL, KEY_PAUSE,    KEY_KPCOMMA,   KEY_HANGEUL,    KEY_HANJA,
                                      KEY_YEN,     KEY_LEFTMETA, KEY_RIGHTMETA, KEY_COMPOSE,    KEY_F13,
                                      KEY_F14,     KEY_F15,      KEY_F16,       KEY_F17,        KEY_F18,
                                      KEY_F19,     KEY_F20,      KEY_F21,       KEY_F22,        KEY_F23,
                                      KEY_F24};
    unsigned owner[256] = {0};

    (void)state;
    for (unsigned code = KEY_ESC; code <= KEY_KPDOT; code++)
        assert_in_range(hid_usage(code), 0x04, HID_USAGE_LAST);
    for (unsigned n = 0; n < ARRAY_SIZE(others); n++)
        assert_in_range(hid_usage(others[n]), 0x04, HID_USAGE_LAST);
    for (unsigned code = 0; code < KEY_CNT; code++) {
        unsigned usage = hid_usage(code);

        if (!usage)
            continue;
        assert_int_equal(owner[usage], 0);
        owner[usage] = code;
    }
    assert_int_equal(hid_usage(KEY_RESERVED), 0);
    assert_int_equal(hid_usage(UINT32_MAX), 0);
}

static void every_key_is_reported_once_down_and_once_up(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);

    (void)state;
    for (unsigned code = 1; code < 256; code++) {
        unsigned usage = hid_usage(code);
        uint64_t expected =
            usage >= HID_USAGE_LEFT_CONTROL ? 1U << (usage - HID_USAGE_LEFT_CONTROL) : (uint64_t)usage << 16;

        if (!usage || (code > 4 && code % 6)) /* the pace of keys makes all of them long */
            continue;
        begin_polling(driver, slot);
        assert_int_equal(input_key(driver->input, code, true), 0);
        assert_int_equal(input_key(driver->input, code, false), 0);
        assert_int_equal(awaited(driver, slot), expected);
        driver_wait(driver, PACE_MS);
        assert_int_equal(report(driver, slot), 0);
    }
    driver_destroy(driver);
}

static void more_keys_than_a_report_holds(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);

    (void)state;
    begin_polling(driver, slot);
    for (unsigned n = 0; n < 7; n++)
        assert_int_equal(input_key(driver->input, KEY_Q + n, true), 0);
    awaited(driver, slot);
    driver_wait_keys(driver, 7);
    for (unsigned n = 1; n < 6; n++)
        assert_int_equal(report(driver, slot) & 0xFFFF, 0);
    assert_int_equal(report(driver, slot), 0x0101010101010000);
    assert_int_equal(input_key(driver->input, KEY_Q, false), 0);
    driver_wait(driver, PACE_MS);
    assert_int_not_equal(report(driver, slot) >> 56, 1);
    driver_destroy(driver);
}

static void class_requests_are_answered(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);

    (void)state;
    /* Protocol: report after a reset, then what was set. */
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0xA1, 3, 0, 0, 1)), 1);
    assert_int_equal(driver_peek(driver, M_DATA, 1), 1);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 11, 0, 0, 0)), 1);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0xA1, 3, 0, 0, 1)), 1);
    assert_int_equal(driver_peek(driver, M_DATA, 1), 0);
    /* Idle rate. */
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 10, 0x7D00, 0, 0)), 1);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0xA1, 2, 0, 0, 1)), 1);
    assert_int_equal(driver_peek(driver, M_DATA, 1), 0x7D);
    /* The report as it is, and LEDs. */
    begin_polling(driver, slot);
    assert_int_equal(input_key(driver->input, KEY_Z, true), 0);
    assert_int_equal(awaited(driver, slot), 0x1D0000);
    driver_poke(driver, M_DATA, 8, UINT64_MAX);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0xA1, 1, 0x0100, 0, 8)), 1);
    assert_int_equal(driver_peek(driver, M_DATA, 8), 0x1D0000);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 9, 0x0200, 0, 1)), 1);
    /* The descriptors of the class. */
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x81, 6, 0x2200, 0, 255)), 13 - 12);
    assert_int_equal(driver_peek(driver, M_DATA, 4), 0x06090105);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x81, 6, 0x2100, 0, 9)), 1);
    assert_int_equal(driver_peek(driver, M_DATA, 4), 0x01112109);
    /* The tablet has no boot protocol and no LEDs. */
    slot = driver_enumerate(driver, TABLET_PORT);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x81, 6, 0x2200, 0, 255)), 1);
    assert_int_equal(driver_peek(driver, M_DATA, 4), 0x02090105);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 9, 0x0200, 0, 1)), STALL);
    driver_destroy(driver);
}

/* A report descriptor, walked as a driver does: what is known when an input item comes (HID 1.11, 6.2.2). */
struct hid_walk {
    unsigned page, size, count, usage_count, depth, bits;
    uint32_t usages[16];
    int32_t logical_minimum, logical_maximum;
};

enum { AXIS_X = 0x10030, AXIS_Y, WHEEL = 0x10038, BUTTON_1 = 0x90001, CONSTANT = 1, VARIABLE = 2, RELATIVE = 4 };

/* What the walk has found of the fields that matter. */
struct pointer_fields {
    unsigned buttons, axes, wheels;
};

static void add_usage(struct hid_walk *walk, uint32_t usage)
{
    assert_true(walk->usage_count < ARRAY_SIZE(walk->usages));
    walk->usages[walk->usage_count++] = walk->page << 16 | usage;
}

static void look_at_field(const struct hid_walk *walk, uint32_t usage, uint32_t flags, struct pointer_fields *found)
{
    assert_true(flags & VARIABLE);
    if (usage == AXIS_X || usage == AXIS_Y) {
        found->axes |= usage == AXIS_X ? 1 : 2;
        assert_int_equal(flags & RELATIVE, 0);
        assert_int_equal(walk->logical_minimum, 0);
        assert_int_equal(walk->logical_maximum, 32767);
        assert_int_equal(walk->size, 16);
    } else if (usage == WHEEL) {
        found->wheels++;
        assert_int_equal(flags & RELATIVE, RELATIVE);
        assert_int_equal(walk->logical_minimum, -127);
        assert_int_equal(walk->logical_maximum, 127);
        assert_int_equal(walk->size, 8);
    } else if (usage >> 16 == 9) {
        assert_int_equal(usage, BUTTON_1 + found->buttons++);
        assert_int_equal(flags & RELATIVE, 0);
        assert_int_equal(walk->logical_maximum, 1);
        assert_int_equal(walk->size, 1);
    }
}

static void look_at_input(struct hid_walk *walk, uint32_t flags, struct pointer_fields *found)
{
    for (unsigned n = 0; !(flags & CONSTANT) && n < walk->count; n++) {
        assert_true(n < walk->usage_count);
        look_at_field(walk, walk->usages[n], flags, found);
    }
    walk->bits += walk->size * walk->count;
    walk->usage_count = 0;
}

/* One item: its tag and type, and its data, with and without a sign. */
static void take_item(struct hid_walk *walk, unsigned tag, uint32_t data, int32_t value, struct pointer_fields *found)
{
    switch (tag) {
    case 0x04: /* global: usage page, logical minimum and maximum, report size and count */
        walk->page = data;
        break;
    case 0x14:
        walk->logical_minimum = value;
        break;
    case 0x24:
        walk->logical_maximum = value;
        break;
    case 0x74:
        walk->size = data;
        break;
    case 0x94:
        walk->count = data;
        break;
    case 0x08: /* local: usage, usage minimum and maximum */
    case 0x18:
        add_usage(walk, data);
        break;
    case 0x28:
        while ((walk->usages[walk->usage_count - 1] & 0xFFFF) < data)
            add_usage(walk, (walk->usages[walk->usage_count - 1] & 0xFFFF) + 1);
        break;
    case 0x80: /* main: input, collection and its end */
        look_at_input(walk, data, found);
        break;
    case 0xA0:
        walk->depth++;
        walk->usage_count = 0;
        break;
    case 0xC0:
        assert_true(walk->depth-- > 0);
        break;
    default:
        assert_true(tag == 0x34 || tag == 0x44); /* physical range */
    }
}

static void the_tablet_describes_an_absolute_pointer(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, TABLET_PORT), length;
    struct pointer_fields found = {0};
    struct hid_walk walk = {0};

    (void)state;
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x81, 6, 0x2100, 0, 9)), 1);
    length = (unsigned)driver_peek(driver, M_DATA + 7, 2);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x81, 6, 0x2200, 0, (uint16_t)length)), 1);
    for (unsigned at = 0; at < length;) {
        unsigned head = (unsigned)driver_peek(driver, M_DATA + at, 1), size = (head & 3) == 3 ? 4 : head & 3;
        uint32_t data = size ? (uint32_t)driver_peek(driver, M_DATA + at + 1, size) : 0;
        int32_t value = size == 1 ? (int8_t)data : size == 2 ? (int16_t)data : (int32_t)data;

        take_item(&walk, head & 0xFC, data, value, &found);
        at += 1 + size;
        assert_true(at <= length);
    }
    assert_int_equal(walk.depth, 0);
    assert_int_equal(found.axes, 3);
    assert_in_range(found.buttons, 3, 5);
    assert_int_equal(found.wheels, 1);
    assert_int_equal(walk.bits, 7 * 8); /* what a report has */
    driver_destroy(driver);
}

/* How long ten keys take, from the first to the last, when the guest asks for all of them at once. */
static int64_t duration_of_keys(struct driver *driver, unsigned slot)
{
    enum { EVENTS = 20 };
    struct guest_trb event;
    int64_t first = 0;

    for (unsigned n = 0; n < EVENTS; n++)
        driver_poll(driver, slot, n);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    for (unsigned n = 0; n < EVENTS; n++)
        assert_int_equal(input_key(driver->input, KEY_A + n / 2 % 8, n % 2 == 0), 0);
    for (unsigned n = 0; n < EVENTS; n++) {
        for (unsigned tries = 0; tries < 1000 && !driver_event(driver, 0, &event); tries++)
            driver_wait(driver, 1);
        assert_int_equal(TRB_TYPE(event), T_TRANSFER_EVENT);
        first = n ? first : clock_ns();
    }
    driver_wait(driver, PACE_MS);
    return clock_ns() - first;
}

/* A system takes keys as they come, firmware at the pace of a typist. */
static void the_boot_protocol_has_a_slower_pace(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    int64_t report_ns = duration_of_keys(driver, slot), boot_ns;

    (void)state;
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 11, 0, 0, 0)), 1);
    boot_ns = duration_of_keys(driver, slot);
    assert_true(boot_ns > 19 * INT64_C(20000000) - PACE_MS * INT64_C(1000000));
    assert_true(report_ns < boot_ns);
    driver_destroy(driver);
}

/* One keyboard answers each key, and it is this one only while it is polled. */
static void the_fall_back_has_what_nobody_polls_for(void **state)
{
    struct driver *driver = driver_create();
    struct fall_back ps2 = {.sink = {.key = take_key, .pointer = take_pointer, .device = &ps2}};
    const struct input_pointer pointer = {.x = 9};
    struct error error = {""};
    struct usb_listing list[2];
    unsigned slot;

    (void)state;
    /* Older than the USB devices, as in a machine: put behind them by hand. */
    input_add_sink(driver->input, &ps2.sink);
    struct input_sink *usb = ps2.sink.next, *last = usb->next;

    assert_null(last->next);
    input_remove_sink(driver->input, usb);
    input_remove_sink(driver->input, last);
    input_add_sink(driver->input, last);
    input_add_sink(driver->input, usb);

    driver_start(driver, 256, 1);
    driver_settle(driver);
    slot = driver_enumerate(driver, KEYBOARD_PORT); /* configured, and yet nobody asks */
    assert_int_equal(input_key(driver->input, KEY_A, true), 0);
    assert_int_equal(input_pointer(driver->input, &pointer), 0);
    driver_settle(driver);
    assert_int_equal(ps2.keys, 1);
    assert_int_equal(ps2.pointers, 1);
    xhci_list(driver->xhci, list, 2);
    assert_false(list[0].driven || list[1].driven);
    begin_polling(driver, slot);
    xhci_list(driver->xhci, list, 2);
    assert_true(list[0].driven && !list[1].driven);
    assert_int_equal(input_key(driver->input, KEY_B, true), 0);
    assert_int_equal(awaited(driver, slot), 0x050000);
    assert_int_equal(ps2.keys, 2); /* A was let go there */
    /* Between two polls too. */
    assert_int_equal(input_key(driver->input, KEY_B, false), 0);
    driver_wait(driver, PACE_MS);
    assert_int_equal(ps2.keys, 2);
    assert_int_equal(report(driver, slot), 0);
    /* Unplugged while a key is down. */
    begin_polling(driver, slot);
    assert_int_equal(input_key(driver->input, KEY_C, true), 0);
    assert_int_equal(awaited(driver, slot), 0x060000);
    assert_int_equal(xhci_unplug(driver->xhci, "keyboard", &error), 0);
    assert_int_equal(input_key(driver->input, KEY_D, true), 0);
    driver_wait(driver, PACE_MS);
    assert_int_equal(ps2.keys, 3);
    /* A halted controller polls nobody; neither does a stopped endpoint. */
    assert_int_equal(xhci_plug(driver->xhci, "keyboard", &error), 0);
    driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | slot << 24);
    slot = driver_enumerate(driver, KEYBOARD_PORT);
    begin_polling(driver, slot);
    driver_put(driver, R_USBCMD, 4, 0);
    assert_int_equal(input_key(driver->input, KEY_E, true), 0);
    driver_wait(driver, PACE_MS);
    assert_int_equal(ps2.keys, 4);
    driver_put(driver, R_USBCMD, 4, 5);
    driver_settle(driver);
    driver_command(driver, 0, TYPE(T_STOP_ENDPOINT) | slot << 24 | 3 << 16);
    assert_int_equal(input_key(driver->input, KEY_F, true), 0);
    driver_wait(driver, PACE_MS);
    assert_int_equal(ps2.keys, 5);
    input_remove_sink(driver->input, &ps2.sink);
    driver_destroy(driver);
}

static void ten_thousand_pointer_events_arrive_in_order(void **state)
{
    enum { COUNT = 10000 };
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, TABLET_PORT), sent = 0, seen = 0;
    struct guest_trb event;
    int64_t limit = clock_ns() + INT64_C(60000000000);

    (void)state;
    for (unsigned n = 0; n < 32; n++)
        driver_poll(driver, slot, n);
    driver_ring(driver, slot, 3);
    driver_settle(driver); /* from now on the guest polls */
    while (seen < COUNT && clock_ns() < limit) {
        while (sent < COUNT) {
            const struct input_pointer pointer = {.x = (uint16_t)sent,
                                                  .y = (uint16_t)(32767 - sent),
                                                  .buttons = sent % 32,
                                                  .wheel = (int8_t)(sent % 3 - 1)};

            if (input_pointer(driver->input, &pointer) < 0)
                break;
            sent++;
        }
        driver_wait(driver, 0);
        while (driver_event(driver, 0, &event)) {
            uint64_t at = M_DATA + 0x1000U * slot + 16U * (seen % 32);

            assert_int_equal(TRB_TYPE(event), T_TRANSFER_EVENT);
            assert_int_equal(driver_peek(driver, at, 1), seen % 32);
            assert_int_equal(driver_peek(driver, at + 1, 2), seen);
            assert_int_equal(driver_peek(driver, at + 3, 2), 32767 - seen);
            assert_int_equal((int8_t)driver_peek(driver, at + 5, 1), (int)(seen % 3) - 1);
            driver_poll(driver, slot, seen++ % 32);
            driver_ring(driver, slot, 3);
        }
    }
    assert_int_equal(seen, COUNT);
    driver_destroy(driver);
}

/* A guest that does not come: what is full says so, and nothing is lost when it comes after all. */
static void a_full_queue_waits(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, TABLET_PORT), sent = 0;
    uint64_t seen;

    (void)state;
    begin_polling(driver, slot);
    for (;; sent++) {
        const struct input_pointer pointer = {.x = (uint16_t)sent, .wheel = 1};

        if (input_pointer(driver->input, &pointer) < 0)
            break;
        driver_wait(driver, 0);
    }
    assert_true(sent > 4096); /* input's own queue is full behind the tablet's */
    seen = awaited(driver, slot);
    for (unsigned n = 0; n < sent; n++) {
        assert_int_equal(seen >> 8 & 0xFFFF, n);
        if (n + 1 < sent)
            seen = report(driver, slot);
    }
    driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_a_usage_of_its_own),
        cmocka_unit_test(every_key_is_reported_once_down_and_once_up),
        cmocka_unit_test(more_keys_than_a_report_holds),
        cmocka_unit_test(class_requests_are_answered),
        cmocka_unit_test(the_tablet_describes_an_absolute_pointer),
        cmocka_unit_test(the_boot_protocol_has_a_slower_pace),
        cmocka_unit_test(the_fall_back_has_what_nobody_polls_for),
        cmocka_unit_test(ten_thousand_pointer_events_arrive_in_order),
        cmocka_unit_test(a_full_queue_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
