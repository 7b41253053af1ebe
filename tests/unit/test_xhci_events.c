/* Event rings and interrupts of the xHCI controller, as a driver sees them (xHCI 4.9.4, 4.17). */
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define KEYBOARD_PORT 1
#define TABLET_PORT 2
#define SUCCESS 1
#define SHORT_PACKET 13
#define RING_FULL 21

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

/* One event, whose interrupt may be blocked: whether it interrupts within that time. A host that was too slow to tell
 * begins again. */
static bool interrupts_within(struct driver *driver, unsigned slot, uint32_t control, int64_t nanoseconds)
{
    for (unsigned tries = 0; tries < 50; tries++) {
        int64_t begin = clock_ns();
        bool interrupted;

        ring_add(driver, &driver->rings[slot][1], 0, 0, TYPE(T_NO_OP) | C_INTERRUPT | control);
        driver_ring(driver, slot, 1);
        driver_settle(driver);
        interrupted = driver_interrupted(driver, 0);
        if (!interrupted || clock_ns() - begin < nanoseconds)
            return interrupted;
        drain(driver, 0);
        driver_wait(driver, 20);
        driver_interrupted(driver, 0);
    }
    fail_msg("this host is too slow to tell");
    return false;
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
    assert_false(interrupts_within(driver, slot, C_BLOCK, 8000000));
    /* With the next event that has one: both are there. */
    ring_add(driver, &driver->rings[slot][1], 0, 0, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_true(driver_interrupted(driver, 0));
    assert_true(driver_peek_event(driver, 0, &event) && driver_peek_event(driver, 0, &event));
    driver_acknowledge(driver, 0);
    assert_false(driver_interrupted(driver, 0));
    /* And alone, after a while. */
    assert_false(interrupts_within(driver, slot, C_BLOCK, 8000000));
    driver_wait(driver, 50);
    assert_true(driver_interrupted(driver, 0));
    assert_true(driver_event(driver, 0, &event));
    driver_destroy(driver);
}

static void interrupts_are_moderated(void **state)
{
    struct driver *driver = start(256, 1);
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    bool held_back = false;

    (void)state;
    driver_put(driver, R_INTERRUPTER(0) + R_IMOD, 4, 0xFFFF); /* 16 ms */
    for (unsigned tries = 0; tries < 50 && !held_back; tries++) {
        drain(driver, 0);
        driver_wait(driver, 40);
        drain(driver, 0);
        driver_interrupted(driver, 0);
        driver_wait(driver, 40);
        ring_add(driver, &driver->rings[slot][1], 0, 0, TYPE(T_NO_OP) | C_INTERRUPT);
        driver_ring(driver, slot, 1);
        driver_settle(driver);
        assert_true(driver_interrupted(driver, 0)); /* the first comes at once */
        drain(driver, 0);
        held_back = !interrupts_within(driver, slot, 0, 0);
    }
    assert_true(held_back);
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
        cmocka_unit_test(event_rings_wrap),
        cmocka_unit_test(an_event_ring_of_several_segments),
        cmocka_unit_test(a_full_event_ring_loses_nothing),
        cmocka_unit_test(a_full_event_ring_stalls_transfers),
        cmocka_unit_test(interrupts_follow_events),
        cmocka_unit_test(a_blocked_interrupt_comes_later),
        cmocka_unit_test(interrupts_are_moderated),
        cmocka_unit_test(a_pin_serves_who_has_no_messages),
        cmocka_unit_test(the_microframe_index_moves_and_wraps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
