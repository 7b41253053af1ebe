/* The guest's driver on the xHCI controller, as systems do it: enumeration, transfers, events, interrupts, ports. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define KEYBOARD_PORT 1
#define TABLET_PORT 2
#define SUCCESS 1
#define TRANSACTION_ERROR 4
#define TRB_ERROR 5
#define STALL 6
#define NO_SLOTS 9
#define SHORT_PACKET 13
#define CONTEXT_STATE 19
#define RING_FULL 21
#define RING_STOPPED 24
#define STOPPED 26
enum { DISABLED, RUNNING, HALTED, STOPPED_STATE, ERROR_STATE };

static struct driver *start(unsigned event_trbs, unsigned interrupters)
{
    struct driver *driver = driver_create();

    driver_start(driver, event_trbs, interrupters);
    driver_settle(driver);
    return driver;
}

/* The events that are there, read and gone. */
static unsigned drain(struct driver *driver, unsigned interrupter)
{
    struct guest_trb event;
    unsigned count = 0;

    while (driver_event(driver, interrupter, &event))
        count++;
    return count;
}

static void press(struct driver *driver, unsigned code, bool down)
{
    assert_int_equal(input_key(driver->input, code, down), 0);
    driver_wait(driver, 0);
    driver_settle(driver);
}

static void capabilities_are_those_of_the_contract(void **state)
{
    struct driver *driver = driver_create();

    (void)state;
    assert_int_equal(fake_config_read(driver->fake, XHCI_DEVFN, 0, 4), 0x000D1B36);
    assert_int_equal(fake_config_read(driver->fake, XHCI_DEVFN, 8, 4) >> 8, 0x0C0330);
    assert_int_equal(fake_config_read(driver->fake, XHCI_DEVFN, 0x60, 1), 0x30);
    assert_int_equal(driver_get(driver, 0, 1), 0x40);
    assert_int_equal(driver_get(driver, 2, 2), 0x0100);
    assert_int_equal(driver_get(driver, 4, 4), 16 << 24 | 8 << 8 | 32);
    assert_int_equal(driver_get(driver, 0x10, 4) & 1, 1);
    /* The chain of extended capabilities: both protocols, and every port in one of them. */
    unsigned at = (unsigned)(driver_get(driver, 0x10, 4) >> 16) * 4, ports = 0;

    for (unsigned n = 0; n < 2; n++) {
        uint32_t header = (uint32_t)driver_get(driver, at, 4), range = (uint32_t)driver_get(driver, at + 8, 4);

        assert_int_equal(header & 0xFF, 2);
        assert_int_equal(header >> 24, n + 2);
        assert_int_equal(driver_get(driver, at + 4, 4), 0x20425355);
        assert_int_equal(range & 0xFF, ports + 1);
        ports += range >> 8 & 0xFF;
        assert_int_equal(header >> 8 & 0xFF ? 1 : 0, n == 0);
        at += (header >> 8 & 0xFF) * 4;
    }
    assert_int_equal(ports, 16);
    driver_destroy(driver);
}

static void both_devices_enumerate(void **state)
{
    struct driver *driver = start(256, 1);
    static const struct {
        unsigned port, report;
        const char *name;
    } devices[] = {{KEYBOARD_PORT, 8, "USB Keyboard"}, {TABLET_PORT, 7, "USB Tablet"}};

    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        unsigned slot = driver_enumerate(driver, devices[n].port);
        uint8_t string[256];

        assert_int_equal(driver_peek(driver, M_DEVICE(slot) + 12, 1), slot);
        /* The descriptors: device, configuration in two steps, product. */
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x0100, 0, 18)), SUCCESS);
        assert_int_equal(driver_peek(driver, M_DATA, 2), 0x0112);
        assert_int_equal(driver_peek(driver, M_DATA + 7, 1), 64);
        driver_poke(driver, M_DATA + 9, 1, 0xAA);
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x0200, 0, 9)), SUCCESS);
        assert_int_equal(driver_peek(driver, M_DATA + 2, 2), 34);
        assert_int_equal(driver_peek(driver, M_DATA + 9, 1), 0xAA);
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x0200, 0, 34)), SUCCESS);
        assert_int_equal(driver_peek(driver, M_DATA + 14, 1), 3);
        assert_int_equal(driver_peek(driver, M_DATA + 27, 2), 0x0507);
        assert_int_equal(driver_peek(driver, M_DATA + 29, 1), 0x81);
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x0302, 0x0409, 255)), SUCCESS);
        memory_read(driver->fake->board.memory, M_DATA, string, sizeof string);
        assert_int_equal(string[0], 2 + 2 * strlen(devices[n].name));
        for (unsigned at = 0; devices[n].name[at]; at++)
            assert_int_equal(get_le16(string + 2 + 2 * (size_t)at), devices[n].name[at]);
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 8, 0, 0, 1)), SUCCESS);
        assert_int_equal(driver_peek(driver, M_DATA, 1), 1);
        /* Windows's own string is refused, and the endpoint recovers as after any stall. */
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x03EE, 0, 18)), STALL);
        assert_int_equal(endpoint_state(driver, slot, 1), HALTED);
        assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | 1 << 16)), SUCCESS);
        ring_init(driver, &driver->rings[slot][1], M_RING(slot, 1));
        assert_int_equal(
            TRB_CODE(driver_command(driver, M_RING(slot, 1) | 1, TYPE(T_SET_DEQUEUE) | slot << 24 | 1 << 16)), SUCCESS);
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 0, 0, 0, 2)), SUCCESS);
    }
    driver_destroy(driver);
}

static void keys_arrive_in_order(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_trb event;
    uint64_t at[4];

    (void)state;
    for (unsigned n = 0; n < 4; n++)
        at[n] = driver_poll(driver, slot, n);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_false(driver_event(driver, 0, &event));
    press(driver, KEY_LEFTSHIFT, true);
    press(driver, KEY_A, true);
    press(driver, KEY_A, false);
    press(driver, KEY_LEFTSHIFT, false);
    driver_wait(driver, 100); /* the pace of keys */
    static const uint64_t reports[] = {0x02, 0x040002, 0x02, 0};

    for (unsigned n = 0; n < 4; n++) {
        assert_true(driver_event(driver, 0, &event));
        assert_int_equal(event.parameter, at[n]);
        assert_int_equal(event.status, SUCCESS << 24);
        assert_int_equal(event.control >> 16, slot << 8 | 3);
        assert_int_equal(driver_peek(driver, M_DATA + 0x1000 * slot + 16 * n, 8), reports[n]);
    }
    driver_destroy(driver);
}

static void a_pointer_report_is_a_short_packet(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, TABLET_PORT);
    const struct input_pointer pointer = {.x = 0x1234, .y = 32767, .buttons = 0x1F, .wheel = -1, .pan = 2};
    struct guest_trb event;
    uint64_t at = driver_poll(driver, slot, 0);

    (void)state;
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_int_equal(input_pointer(driver->input, &pointer), 0);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, at);
    assert_int_equal(event.status, SHORT_PACKET << 24 | 1); /* 7 of 8 bytes */
    assert_int_equal(driver_peek(driver, M_DATA + 0x1000 * slot, 8), 0x0002FF7FFF12341F);
    driver_destroy(driver);
}

/* Event Data, chains, immediate data (xHCI 4.11.5). */
static void chained_tds_report_what_they_were_asked_to(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_ring *ring = &driver->rings[slot][1];
    struct guest_trb event;
    uint64_t data;

    (void)state;
    /* 18 bytes into buffers of 8, 4, 0 and 30, each TRB with IOC, closed by Event Data. */
    ring_add(driver, ring, 0x0012000001000680, 8, TYPE(T_SETUP) | C_IMMEDIATE | 3 << 16);
    data = ring_add(driver, ring, M_DATA, 8, TYPE(T_DATA) | C_IN | C_CHAIN | C_INTERRUPT);
    ring_add(driver, ring, M_DATA + 0x100, 4, TYPE(T_NORMAL) | C_CHAIN | C_INTERRUPT);
    ring_add(driver, ring, M_DATA + 0x150, 0, TYPE(T_NORMAL) | C_CHAIN);
    ring_add(driver, ring, M_DATA + 0x200, 30, TYPE(T_NORMAL) | C_CHAIN | C_SHORT);
    ring_add(driver, ring, 0xFEEDBEEF12345678, 0, TYPE(T_EVENT_DATA) | C_INTERRUPT);
    ring_add(driver, ring, 0, 0, TYPE(T_STATUS) | C_CHAIN);
    ring_add(driver, ring, 0x1111, 0, TYPE(T_EVENT_DATA) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    const struct guest_trb expected[] = {
        {data, SUCCESS << 24, 0},
        {data + 16, SUCCESS << 24, 0},
        {data + 48, SHORT_PACKET << 24 | 24, 0},
        {0xFEEDBEEF12345678, SHORT_PACKET << 24 | 18, 4},
        {0x1111, SUCCESS << 24, 4},
    };

    for (unsigned n = 0; n < ARRAY_SIZE(expected); n++) {
        assert_true(driver_event(driver, 0, &event));
        assert_int_equal(event.parameter, expected[n].parameter);
        assert_int_equal(event.status, expected[n].status);
        assert_int_equal(event.control & 4, expected[n].control);
        assert_int_equal(TRB_TYPE(event), T_TRANSFER_EVENT);
    }
    assert_false(driver_event(driver, 0, &event));
    assert_int_equal(driver_peek(driver, M_DATA, 2), 0x0112);
    assert_int_equal(driver_peek(driver, M_DATA + 0x200, 6), 0x010302010100);
    /* LEDs as immediate data of the Data Stage. */
    ring_add(driver, ring, 0x0001000002000921, 8, TYPE(T_SETUP) | C_IMMEDIATE | 2 << 16);
    ring_add(driver, ring, 0x05, 1, TYPE(T_DATA) | C_IMMEDIATE);
    ring_add(driver, ring, 0, 0, TYPE(T_STATUS) | C_IN | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(event), SUCCESS);
    /* Event Data alone asks the device for nothing. */
    ring_add(driver, &driver->rings[slot][3], 0x2222, 0, TYPE(T_EVENT_DATA) | C_INTERRUPT);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, 0x2222);
    assert_int_equal(event.status, SUCCESS << 24);
    /* A No Op, alone. */
    data = ring_add(driver, ring, 0, 0, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, data);
    assert_int_equal(TRB_CODE(event), SUCCESS);
    driver_destroy(driver);
}

static void a_control_transfer_waits_for_its_status_stage(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_ring *ring = &driver->rings[slot][1];
    struct guest_trb event;

    (void)state;
    ring_add(driver, ring, 0x0002000000000080, 8, TYPE(T_SETUP) | C_IMMEDIATE | 3 << 16);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    ring_add(driver, ring, M_DATA, 2, TYPE(T_DATA) | C_IN);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_false(driver_event(driver, 0, &event));
    ring_add(driver, ring, 0, 0, TYPE(T_STATUS) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(event), SUCCESS);
    driver_destroy(driver);
}

static void event_rings_wrap(void **state)
{
    struct driver *driver = start(16, 1);

    (void)state;
    for (unsigned n = 0; n < 600; n++) /* the command ring wraps twice, the event ring many times */
        assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_NO_OP_COMMAND))), SUCCESS);
    driver_destroy(driver);
}

static void an_event_ring_of_several_segments(void **state)
{
    struct driver *driver = driver_create();
    struct guest_trb event;
    unsigned seen = 0, wrapped = 0;
    uint64_t places[48];

    (void)state;
    driver_start(driver, 16, 1);
    /* Three segments of 16; a new table is taken when its address is written. */
    for (unsigned n = 0; n < 3; n++) {
        driver_poke(driver, M_SEGMENTS + 0x800 + 16 * n, 8, M_EVENTS + 0x4000 * (2 - n));
        driver_poke(driver, M_SEGMENTS + 0x808 + 16 * n, 8, 16);
        for (unsigned at = 0; at < 16; at++) {
            places[16 * n + at] = M_EVENTS + 0x4000 * (2 - n) + 16 * at;
            driver_poke(driver, places[16 * n + at] + 12, 4, 0);
        }
    }
    driver_put(driver, R_INTERRUPTER(0) + R_ERSTSZ, 4, 3);
    driver_put(driver, R_INTERRUPTER(0) + R_ERDP, 8, places[0]);
    driver_put(driver, R_INTERRUPTER(0) + R_ERSTBA, 8, M_SEGMENTS + 0x800);
    for (unsigned n = 0; n < 200; n++) {
        ring_add(driver, &driver->commands, 0, 0, TYPE(T_NO_OP_COMMAND));
        driver_ring(driver, 0, 0);
        driver_settle(driver);
        for (;;) {
            event.control = (uint32_t)driver_peek(driver, places[seen % 48] + 12, 4);
            if ((event.control & 1) != (wrapped % 2 ? 0U : 1U))
                break;
            seen++;
            wrapped = seen / 48;
            driver_put(driver, R_INTERRUPTER(0) + R_ERDP, 8, places[seen % 48] | 8);
        }
    }
    assert_int_equal(seen, 200 + 2); /* two ports had changed */
    driver_destroy(driver);
}

static void a_full_event_ring_loses_nothing(void **state)
{
    struct driver *driver = start(16, 1);
    struct guest_trb event;
    uint64_t next = M_COMMANDS;
    unsigned completions = 0, full = 0;

    (void)state;
    drain(driver, 0);
    for (unsigned n = 0; n < 100; n++)
        ring_add(driver, &driver->commands, 0, 0, TYPE(T_NO_OP_COMMAND));
    driver_ring(driver, 0, 0);
    driver_settle(driver);
    /* One at a time is taken, and what waits goes on. */
    for (unsigned n = 0; n < 300 && completions < 100; n++) {
        driver_settle(driver);
        if (!driver_event(driver, 0, &event))
            continue;
        if (TRB_TYPE(event) == T_HOST_EVENT) {
            assert_int_equal(TRB_CODE(event), RING_FULL);
            full++;
            continue;
        }
        assert_int_equal(TRB_TYPE(event), T_COMMAND_EVENT);
        assert_int_equal(event.parameter, next);
        next += 16;
        completions++;
    }
    assert_int_equal(completions, 100);
    assert_true(full > 0);
    driver_destroy(driver);
}

/* A TD of many events on a full ring: told where it stopped, once there is room. */
static void a_full_event_ring_stalls_transfers(void **state)
{
    struct driver *driver = start(64, 2);
    unsigned slot = driver_enumerate(driver, TABLET_PORT);
    const struct input_pointer pointer = {.x = 1};
    struct guest_trb event;
    unsigned seen = 0;

    (void)state;
    driver_put(driver, R_INTERRUPTER(1) + R_ERSTSZ, 4, 1);
    driver_poke(driver, M_SEGMENTS + 0x108, 8, 16);
    driver->events[1].size = 16;
    for (unsigned n = 0; n < 40; n++)
        ring_add(driver, &driver->rings[slot][3], M_DATA + n, 1 | 1 << 22,
                 TYPE(T_NORMAL) | C_INTERRUPT | (n < 39 ? C_CHAIN : 0));
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_int_equal(input_pointer(driver->input, &pointer), 0);
    for (unsigned n = 0; n < 200 && seen < 40; n++) {
        driver_settle(driver);
        while (driver_event(driver, 1, &event))
            if (TRB_TYPE(event) == T_TRANSFER_EVENT) {
                assert_int_equal(event.parameter, M_RING(slot, 3) + 16 * seen);
                assert_int_equal(TRB_CODE(event), seen < 7 ? SUCCESS : SHORT_PACKET);
                seen++;
            }
    }
    assert_int_equal(seen, 40);
    driver_destroy(driver);
}

static void interrupts_follow_events(void **state)
{
    struct driver *driver = start(256, 3);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_trb event;

    (void)state;
    drain(driver, 0);
    for (unsigned n = 0; n < 8; n++)
        driver_interrupted(driver, n);
    /* The vector is the interrupter's that the TRB names. */
    ring_add(driver, &driver->rings[slot][1], 0, 2 << 22, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_false(driver_interrupted(driver, 0));
    assert_true(driver_interrupted(driver, 2));
    assert_true(driver_get(driver, R_USBSTS, 4) & 8);
    driver_put(driver, R_USBSTS, 4, 8);
    assert_false(driver_get(driver, R_USBSTS, 4) & 8);
    /* Until the handler has acknowledged, no second one. */
    ring_add(driver, &driver->rings[slot][1], 0, 2 << 22, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_false(driver_interrupted(driver, 2));
    assert_true(driver_event(driver, 2, &event));
    assert_true(driver_interrupted(driver, 2));
    assert_int_equal(drain(driver, 2), 1);
    assert_false(driver_interrupted(driver, 2));
    /* None while the interrupter or the controller is told so; the bit stays. */
    driver_put(driver, R_USBCMD, 4, 1);
    ring_add(driver, &driver->rings[slot][1], 0, 2 << 22, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_false(driver_interrupted(driver, 2));
    driver_put(driver, R_USBCMD, 4, 5);
    assert_true(driver_interrupted(driver, 2));
    drain(driver, 2);
    driver_interrupted(driver, 2);
    driver_put(driver, R_INTERRUPTER(2) + R_IMAN, 4, 0);
    ring_add(driver, &driver->rings[slot][1], 0, 2 << 22, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_false(driver_interrupted(driver, 2));
    assert_int_equal(driver_get(driver, R_INTERRUPTER(2) + R_IMAN, 4), 1);
    driver_put(driver, R_INTERRUPTER(2) + R_IMAN, 4, 2);
    assert_true(driver_interrupted(driver, 2));
    driver_destroy(driver);
}

static void a_blocked_interrupt_comes_later(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_trb event;

    (void)state;
    drain(driver, 0);
    driver_settle(driver);
    driver_interrupted(driver, 0);
    ring_add(driver, &driver->rings[slot][1], 0, 0, TYPE(T_NO_OP) | C_INTERRUPT | C_BLOCK);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_false(driver_interrupted(driver, 0));
    /* With the next event that has one: both are there. */
    ring_add(driver, &driver->rings[slot][1], 0, 0, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_true(driver_interrupted(driver, 0));
    assert_true(driver_peek_event(driver, 0, &event) && driver_peek_event(driver, 0, &event));
    driver_acknowledge(driver, 0);
    assert_false(driver_interrupted(driver, 0));
    /* And alone, after a while. */
    ring_add(driver, &driver->rings[slot][1], 0, 0, TYPE(T_NO_OP) | C_INTERRUPT | C_BLOCK);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_false(driver_interrupted(driver, 0));
    driver_wait(driver, 50);
    assert_true(driver_interrupted(driver, 0));
    assert_true(driver_event(driver, 0, &event));
    driver_destroy(driver);
}

static void interrupts_are_moderated(void **state)
{
    struct driver *driver = start(256, 1);

    (void)state;
    drain(driver, 0);
    driver_put(driver, R_INTERRUPTER(0) + R_IMOD, 4, 0xFFFF); /* 16 ms */
    driver_settle(driver);
    driver_interrupted(driver, 0);
    driver_command(driver, 0, TYPE(T_NO_OP_COMMAND));
    assert_true(driver_interrupted(driver, 0));
    ring_add(driver, &driver->commands, 0, 0, TYPE(T_NO_OP_COMMAND));
    driver_ring(driver, 0, 0);
    driver_settle(driver);
    assert_false(driver_interrupted(driver, 0));
    driver_wait(driver, 60);
    assert_true(driver_interrupted(driver, 0));
    driver_destroy(driver);
}

static void a_pin_serves_who_has_no_messages(void **state)
{
    struct driver *driver = start(256, 1);

    (void)state;
    fake_config_write(driver->fake, XHCI_DEVFN, (unsigned)fake_config_read(driver->fake, XHCI_DEVFN, 0x34, 1) + 2U, 2,
                      0);
    drain(driver, 0);
    driver_put(driver, R_INTERRUPTER(0) + R_IMAN, 4, 3);
    assert_int_equal(fake_config_read(driver->fake, XHCI_DEVFN, 6, 2) & 8, 0);
    driver_command(driver, 0, TYPE(T_NO_OP_COMMAND));
    assert_int_equal(fake_config_read(driver->fake, XHCI_DEVFN, 6, 2) & 8, 8);
    driver_put(driver, R_INTERRUPTER(0) + R_IMAN, 4, 3);
    assert_int_equal(fake_config_read(driver->fake, XHCI_DEVFN, 6, 2) & 8, 0);
    driver_destroy(driver);
}

static void an_endpoint_stops_and_goes_on_elsewhere(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    uint32_t command = TYPE(T_STOP_ENDPOINT) | slot << 24 | 3 << 16;
    uint64_t at = driver_poll(driver, slot, 0);
    struct guest_trb event;

    (void)state;
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    ring_add(driver, &driver->commands, 0, 0, command);
    driver_ring(driver, 0, 0);
    driver_settle(driver);
    /* What was in progress, then the command. */
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_TRANSFER_EVENT);
    assert_int_equal(event.parameter, at);
    assert_int_equal(event.status, STOPPED << 24 | 8);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_COMMAND_EVENT);
    assert_int_equal(TRB_CODE(event), SUCCESS);
    assert_int_equal(endpoint_state(driver, slot, 3), STOPPED_STATE);
    assert_int_equal(driver_peek(driver, M_DEVICE(slot) + 32 * 3 + 8, 8), at | 1);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, command)), CONTEXT_STATE);
    /* From another ring, with the other cycle state. */
    ring_init(driver, &driver->rings[slot][3], M_RING(slot, 7));
    driver->rings[slot][3].cycle = 0;
    for (unsigned n = 0; n < RING_TRBS; n++)
        driver_poke(driver, M_RING(slot, 7) + 16 * n + 12, 4, 1);
    assert_int_equal(TRB_CODE(driver_command(driver, M_RING(slot, 7), TYPE(T_SET_DEQUEUE) | slot << 24 | 3 << 16)),
                     SUCCESS);
    at = driver_poll(driver, slot, 1);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_int_equal(endpoint_state(driver, slot, 3), RUNNING);
    assert_int_equal(TRB_CODE(driver_command(driver, M_RING(slot, 7), TYPE(T_SET_DEQUEUE) | slot << 24 | 3 << 16)),
                     CONTEXT_STATE);
    press(driver, KEY_B, true);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, at);
    assert_int_equal(TRB_CODE(event), SUCCESS);
    driver_destroy(driver);
}

static void a_halted_endpoint_waits_for_its_reset(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_trb event;

    (void)state;
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x02, 3, 0, 0x81, 0)), SUCCESS); /* SET_FEATURE halt */
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(event), STALL);
    assert_int_equal(endpoint_state(driver, slot, 3), HALTED);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_false(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x82, 0, 0, 0x81, 2)), SUCCESS);
    assert_int_equal(driver_peek(driver, M_DATA, 2), 1);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x02, 1, 0, 0x81, 0)), SUCCESS);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | 3 << 16)), SUCCESS);
    assert_int_equal(endpoint_state(driver, slot, 3), STOPPED_STATE);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    press(driver, KEY_C, true);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(event), SUCCESS);
    driver_destroy(driver);
}

static void a_device_is_unplugged_and_plugged_in_flight(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_trb event;
    struct error error = {""};
    struct usb_listing list[4];
    bool failed = false, changed = false;

    (void)state;
    assert_int_equal(xhci_list(driver->xhci, list, 4), 2);
    assert_string_equal(list[0].name, "keyboard");
    assert_string_equal(list[1].name, "tablet");
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_int_equal(xhci_unplug(driver->xhci, "mouse", &error), -ENOENT);
    assert_non_null(strstr(error.text, "mouse"));
    assert_int_equal(xhci_unplug(driver->xhci, "keyboard", &error), 0);
    assert_false(xhci_plugged(driver->xhci, "keyboard"));
    driver_settle(driver);
    while (driver_event(driver, 0, &event)) {
        failed |= TRB_TYPE(event) == T_TRANSFER_EVENT && TRB_CODE(event) == TRANSACTION_ERROR;
        changed |= TRB_TYPE(event) == T_PORT_EVENT && event.parameter == (uint64_t)KEYBOARD_PORT << 24;
    }
    assert_true(failed && changed);
    assert_int_equal(driver_get(driver, R_PORTSC(KEYBOARD_PORT), 4) & 0x20003, 0x20000);
    assert_int_equal(endpoint_state(driver, slot, 3), HALTED);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 0, 0, 0, 2)), TRANSACTION_ERROR);
    driver_put(driver, R_PORTSC(KEYBOARD_PORT), 4, 0x20200);
    assert_int_equal(xhci_plug(driver->xhci, "keyboard", &error), 0);
    assert_true(xhci_plugged(driver->xhci, "keyboard"));
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
    /* The old slot does not reach what is new in the port. */
    driver_put(driver, R_PORTSC(KEYBOARD_PORT), 4, 0x210);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | slot << 24)), SUCCESS);
    slot = driver_enumerate(driver, KEYBOARD_PORT);
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    press(driver, KEY_D, true);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(event), SUCCESS);
    driver_destroy(driver);
}

static void resets_in_flight_leave_nothing(void **state)
{
    struct driver *driver = start(256, 1);
    struct guest_trb event;

    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);

        driver_poll(driver, slot, 0);
        driver_ring(driver, slot, 3);
        if (n)
            driver_settle(driver);
        if (n < 2) {
            driver_start(driver, 256, 1); /* HCRST first */
        } else {
            pci_bus_reset(driver->fake->board.pci);
            board_reset(&driver->fake->board);
            assert_int_equal(driver_get(driver, R_USBSTS, 4), UINT32_MAX); /* the BAR is gone */
            fake_config_write(driver->fake, XHCI_DEVFN, 0x10, 4, (uint32_t)XHCI_BAR);
            fake_config_write(driver->fake, XHCI_DEVFN, 0x14, 4, XHCI_BAR >> 32);
            fake_config_write(driver->fake, XHCI_DEVFN, 0x04, 2, 6);
            assert_int_equal(driver_get(driver, R_CONFIG, 4), 0);
            assert_int_equal(driver_get(driver, R_DCBAAP, 8), 0);
            driver_start(driver, 256, 1);
        }
        press(driver, KEY_E, true);
        driver_settle(driver);
        while (driver_event(driver, 0, &event))
            assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
        assert_int_equal(driver_peek(driver, M_DATA + 0x1000 * slot, 8), 0);
    }
    driver_destroy(driver);
}

static void a_halt_keeps_what_was_asked_for(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, TABLET_PORT);
    const struct input_pointer pointer = {.x = 5};
    struct guest_trb event;

    (void)state;
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    driver_put(driver, R_USBCMD, 4, 4);
    assert_true(driver_get(driver, R_USBSTS, 4) & 1);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_false(driver_event(driver, 0, &event));
    driver_put(driver, R_USBCMD, 4, 5);
    driver_settle(driver);
    assert_int_equal(input_pointer(driver->input, &pointer), 0);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_TRANSFER_EVENT);
    driver_destroy(driver);
}

static void port_changes_are_told_and_cleared(void **state)
{
    struct driver *driver = start(256, 1);
    struct guest_trb event;
    unsigned events = 0;

    (void)state;
    while (driver_event(driver, 0, &event)) {
        assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
        events++;
    }
    assert_int_equal(events, 2);                                   /* what was there at the start */
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x20EE1); /* connected, high speed, powered, polling */
    assert_int_equal(driver_get(driver, R_PORTSC(3), 4), 0x2A0);
    assert_true(driver_get(driver, R_USBSTS, 4) & 0x10);
    driver_put(driver, R_USBSTS, 4, 0x10);
    driver_put(driver, R_PORTSC(1), 4, 0x20200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0xEE1);
    /* Reset: enabled, and a change that lasts until its own bit is written. */
    driver_put(driver, R_PORTSC(1), 4, 0x210);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, 1 << 24);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x200E03);
    driver_put(driver, R_PORTSC(1), 4, 0x5E0200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x200E03);
    driver_put(driver, R_PORTSC(1), 4, 0x200200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0xE03);
    /* Suspend and resume as Linux and Windows do. */
    driver_put(driver, R_PORTSC(1), 4, 0x10260);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4) >> 5 & 15, 3);
    driver_put(driver, R_PORTSC(1), 4, 0x103E0);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4) >> 5 & 15, 15);
    driver_put(driver, R_PORTSC(1), 4, 0x10200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x400E03);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    driver_put(driver, R_PORTSC(1), 4, 0x400200);
    /* A one to Enabled disables. */
    driver_put(driver, R_PORTSC(1), 4, 0x202);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4) & 2, 0);
    assert_int_equal(drain(driver, 0), 0);
    driver_destroy(driver);
}

static void commands_answer_by_state(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot;

    (void)state;
    /* As many slots as the guest has allowed. */
    driver_put(driver, R_CONFIG, 4, 3);
    for (unsigned n = 1; n <= 3; n++)
        assert_int_equal(TRB_SLOT(driver_command(driver, 0, TYPE(T_ENABLE_SLOT))), n);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_ENABLE_SLOT))), NO_SLOTS);
    for (unsigned n = 1; n <= 3; n++)
        assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | n << 24)), SUCCESS);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | 1 << 24)), 11);
    slot = driver_enumerate(driver, KEYBOARD_PORT);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | slot << 24)), CONTEXT_STATE);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | 3 << 16)), CONTEXT_STATE);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_STOP_ENDPOINT) | slot << 24 | 5 << 16)), 12);
    /* Evaluate: packet size and exit latency. */
    driver_input_address(driver, slot, KEYBOARD_PORT);
    driver_poke(driver, M_INPUT + 64 + 6, 2, 8);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_EVALUATE) | slot << 24)), SUCCESS);
    assert_int_equal(driver_peek(driver, M_DEVICE(slot) + 32 + 6, 2), 8);
    /* Deconfigure, and the endpoint is gone. */
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE) | C_BLOCK | slot << 24)), SUCCESS);
    assert_int_equal(endpoint_state(driver, slot, 3), DISABLED);
    assert_int_equal(slot_state(driver, slot), 2);
    /* A device that was reset has no address until it gets one, first in the context alone. */
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_DEVICE) | slot << 24)), SUCCESS);
    assert_int_equal(slot_state(driver, slot), 1);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_DEVICE) | slot << 24)), CONTEXT_STATE);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | slot << 24)), SUCCESS);
    driver_put(driver, R_PORTSC(KEYBOARD_PORT), 4, 0x210);
    slot = TRB_SLOT(driver_command(driver, 0, TYPE(T_ENABLE_SLOT)));
    driver_input_address(driver, slot, KEYBOARD_PORT);
    ring_init(driver, &driver->rings[slot][1], M_RING(slot, 1));
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | C_BLOCK | slot << 24)), SUCCESS);
    assert_int_equal(slot_state(driver, slot), 1);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x0100, 0, 8)), SUCCESS);
    assert_int_equal(driver_peek(driver, M_DATA + 7, 1), 64);
    driver_poke(driver, M_INPUT + 64 + 8, 8, M_RING(slot, 1) + driver->rings[slot][1].index * 16U + 1);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | slot << 24)), SUCCESS);
    assert_int_equal(slot_state(driver, slot), 2);
    assert_int_equal(TRB_CODE(driver_command(driver, M_DATA, TYPE(T_PORT_BANDWIDTH) | 3 << 16)), SUCCESS);
    assert_in_range(driver_peek(driver, M_DATA + 1, 1), 1, 100);
    /* Optional commands that are not there. */
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(20))), TRB_ERROR);
    driver_destroy(driver);
}

static void the_command_ring_stops_and_goes_on(void **state)
{
    struct driver *driver = start(256, 1);
    struct guest_trb event;

    (void)state;
    driver_command(driver, 0, TYPE(T_NO_OP_COMMAND));
    for (unsigned bit = 2; bit <= 4; bit += 2) { /* stop, abort */
        assert_int_equal(driver_get(driver, R_CRCR, 8), 8);
        driver_put(driver, R_CRCR, 4, bit);
        assert_int_equal(driver_get(driver, R_CRCR, 8), 0);
        driver_settle(driver);
        assert_true(driver_event(driver, 0, &event));
        assert_int_equal(TRB_CODE(event), RING_STOPPED);
        assert_int_equal(event.parameter, M_COMMANDS + driver->commands.index * 16U);
        driver_command(driver, 0, TYPE(T_NO_OP_COMMAND));
    }
    /* While it runs its place is not changed. */
    driver_put(driver, R_CRCR, 8, 0xDEAD0000);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_NO_OP_COMMAND))), SUCCESS);
    driver_destroy(driver);
}

static void the_microframe_index_moves_and_wraps(void **state)
{
    struct driver *driver = start(256, 1);
    struct guest_trb event;
    uint64_t first = driver_get(driver, R_MFINDEX, 4);

    (void)state;
    drain(driver, 0);
    driver_wait(driver, 5);
    assert_in_range(driver_get(driver, R_MFINDEX, 4), first + 40, 0x3FFF);
    driver_put(driver, R_USBCMD, 4, 0x405);
    driver_wait(driver, 2200);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), 39);
    driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_are_those_of_the_contract),
        cmocka_unit_test(both_devices_enumerate),
        cmocka_unit_test(keys_arrive_in_order),
        cmocka_unit_test(a_pointer_report_is_a_short_packet),
        cmocka_unit_test(chained_tds_report_what_they_were_asked_to),
        cmocka_unit_test(a_control_transfer_waits_for_its_status_stage),
        cmocka_unit_test(event_rings_wrap),
        cmocka_unit_test(an_event_ring_of_several_segments),
        cmocka_unit_test(a_full_event_ring_loses_nothing),
        cmocka_unit_test(a_full_event_ring_stalls_transfers),
        cmocka_unit_test(interrupts_follow_events),
        cmocka_unit_test(a_blocked_interrupt_comes_later),
        cmocka_unit_test(interrupts_are_moderated),
        cmocka_unit_test(a_pin_serves_who_has_no_messages),
        cmocka_unit_test(an_endpoint_stops_and_goes_on_elsewhere),
        cmocka_unit_test(a_halted_endpoint_waits_for_its_reset),
        cmocka_unit_test(a_device_is_unplugged_and_plugged_in_flight),
        cmocka_unit_test(resets_in_flight_leave_nothing),
        cmocka_unit_test(a_halt_keeps_what_was_asked_for),
        cmocka_unit_test(port_changes_are_told_and_cleared),
        cmocka_unit_test(commands_answer_by_state),
        cmocka_unit_test(the_command_ring_stops_and_goes_on),
        cmocka_unit_test(the_microframe_index_moves_and_wraps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
