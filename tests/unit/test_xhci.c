/* The guest's driver on the xHCI controller, as systems do it: enumeration, transfers, commands, resets. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define KEYBOARD_PORT 1
#define TABLET_PORT 2
#define SUCCESS 1
#define TRB_ERROR 5
#define STALL 6
#define NO_SLOTS 9
#define SLOT_NOT_ENABLED 11
#define SHORT_PACKET 13
#define PARAMETER_ERROR 17
#define CONTEXT_STATE 19
#define RING_STOPPED 24
#define STOPPED 26
enum { DISABLED, RUNNING, HALTED, STOPPED_STATE, ERROR_STATE };

static struct driver *start(void)
{
    struct driver *driver = driver_create();

    driver_start(driver, 256, 1);
    driver_settle(driver);
    return driver;
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
    assert_int_equal(driver_get(driver, 8, 4), 0x3F); /* no scratchpad; event rings of up to 8 segments */
    assert_int_equal(driver_get(driver, 12, 4), 0);   /* no latency on the way out of U1 and U2 */
    assert_int_equal(driver_get(driver, 0x10, 4) & 1, 1);
    /* The chain of extended capabilities: both protocols, and every port in one of them. */
    unsigned at = (unsigned)(driver_get(driver, 0x10, 4) >> 16) * 4, ports = 0;

    for (unsigned n = 0; n < 2; n++) {
        uint32_t header = (uint32_t)driver_get(driver, at, 4), range = (uint32_t)driver_get(driver, at + 8, 4);

        assert_int_equal(header & 0xFF, 2);
        assert_int_equal(header >> 24, n + 2);
        assert_int_equal(driver_get(driver, at + 4, 4), 0x20425355);
        assert_int_equal(range & 0xFF, ports + 1);
        assert_int_equal(range >> 16, 0); /* the usual speeds, and nothing optional: HLC is bit 19 */
        ports += range >> 8 & 0xFF;
        assert_int_equal(header >> 8 & 0xFF ? 1 : 0, n == 0);
        at += (header >> 8 & 0xFF) * 4;
    }
    assert_int_equal(ports, 16);
    driver_destroy(driver);
}

static void both_devices_enumerate(void **state)
{
    struct driver *driver = start();
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
    struct driver *driver = start();
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
    driver_wait_keys(driver, 4);
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
    struct driver *driver = start();
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
    struct driver *driver = start();
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
    struct driver *driver = start();
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

static void an_endpoint_stops_and_goes_on_elsewhere(void **state)
{
    struct driver *driver = start();
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
    struct driver *driver = start();
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

static void resets_in_flight_leave_nothing(void **state)
{
    struct driver *driver = start();
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
    struct driver *driver = start();
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

static void commands_answer_by_state(void **state)
{
    struct driver *driver = start();
    unsigned slot;

    (void)state;
    /* As many slots as the guest has allowed. */
    driver_put(driver, R_CONFIG, 4, 3);
    for (unsigned n = 1; n <= 3; n++)
        assert_int_equal(TRB_SLOT(driver_command(driver, 0, TYPE(T_ENABLE_SLOT))), n);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_ENABLE_SLOT))), NO_SLOTS);
    for (unsigned n = 1; n <= 3; n++)
        assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | n << 24)), SUCCESS);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | 1 << 24)), SLOT_NOT_ENABLED);
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

/* What system software may change of a slot after it is addressed, and nothing else (xHCI 6.2.2.3). */
static void evaluate_context_writes_latency_and_interrupter(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    uint64_t at = M_DEVICE(slot), first, last;

    (void)state;
    first = driver_peek(driver, at, 4);
    last = driver_peek(driver, at + 12, 4);
    driver_input_address(driver, slot, TABLET_PORT);
    driver_poke(driver, M_INPUT + 4, 4, 1);
    driver_poke(driver, M_INPUT + 32 + 4, 2, 0x1234);
    driver_poke(driver, M_INPUT + 32 + 8, 4, 3U << 22);
    driver_poke(driver, M_INPUT + 32 + 12, 4, UINT32_MAX);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_EVALUATE) | slot << 24)), SUCCESS);
    assert_int_equal(driver_peek(driver, at, 4), first);
    assert_int_equal(driver_peek(driver, at + 4, 4), KEYBOARD_PORT << 16 | 0x1234);
    assert_int_equal(driver_peek(driver, at + 8, 4), 3U << 22);
    assert_int_equal(driver_peek(driver, at + 12, 4), last);
    /* An interrupter that there is not: nothing is written. */
    driver_poke(driver, M_INPUT + 32 + 4, 2, 0x4321);
    driver_poke(driver, M_INPUT + 32 + 8, 4, 8U << 22);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_EVALUATE) | slot << 24)), PARAMETER_ERROR);
    assert_int_equal(driver_peek(driver, at + 4, 4), KEYBOARD_PORT << 16 | 0x1234);
    assert_int_equal(driver_peek(driver, at + 8, 4), 3U << 22);
    /* Nobody asks for the slot's context: it stays. */
    driver_poke(driver, M_INPUT + 4, 4, 2);
    driver_poke(driver, M_INPUT + 32 + 8, 4, 0);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_EVALUATE) | slot << 24)), SUCCESS);
    assert_int_equal(driver_peek(driver, at + 4, 4), KEYBOARD_PORT << 16 | 0x1234);
    assert_int_equal(driver_peek(driver, at + 8, 4), 3U << 22);
    driver_destroy(driver);
}

/* Whatever the command, and whether it succeeds. */
static void completions_name_the_slot(void **state)
{
    static const struct {
        uint32_t type;
        unsigned index, code;
    } commands[] = {{T_CONFIGURE, 0, SUCCESS},
                    {T_EVALUATE, 0, SUCCESS},
                    {T_STOP_ENDPOINT, 3, SUCCESS},
                    {T_SET_DEQUEUE, 3, SUCCESS},
                    {T_RESET_ENDPOINT, 3, CONTEXT_STATE},
                    {T_RESET_DEVICE, 0, SUCCESS},
                    {T_ADDRESS_DEVICE, 0, SUCCESS},
                    {T_DISABLE_SLOT, 0, SUCCESS},
                    {T_DISABLE_SLOT, 0, SLOT_NOT_ENABLED}};
    struct driver *driver = start();
    unsigned first = driver_enumerate(driver, KEYBOARD_PORT), slot = driver_enumerate(driver, TABLET_PORT);

    (void)state;
    assert_int_not_equal(slot, first);
    for (unsigned n = 0; n < ARRAY_SIZE(commands); n++) {
        struct guest_trb event;

        if (commands[n].type == T_ADDRESS_DEVICE) {
            driver_put(driver, R_PORTSC(TABLET_PORT), 4, 0x210);
            driver_input_address(driver, slot, TABLET_PORT);
        }
        event = driver_command(driver, M_INPUT, TYPE(commands[n].type) | slot << 24 | commands[n].index << 16);
        assert_int_equal(TRB_CODE(event), commands[n].code);
        assert_int_equal(TRB_SLOT(event), slot);
    }
    driver_destroy(driver);
}

static void the_command_ring_stops_and_goes_on(void **state)
{
    struct driver *driver = start();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_are_those_of_the_contract),
        cmocka_unit_test(both_devices_enumerate),
        cmocka_unit_test(keys_arrive_in_order),
        cmocka_unit_test(a_pointer_report_is_a_short_packet),
        cmocka_unit_test(chained_tds_report_what_they_were_asked_to),
        cmocka_unit_test(a_control_transfer_waits_for_its_status_stage),
        cmocka_unit_test(an_endpoint_stops_and_goes_on_elsewhere),
        cmocka_unit_test(a_halted_endpoint_waits_for_its_reset),
        cmocka_unit_test(resets_in_flight_leave_nothing),
        cmocka_unit_test(a_halt_keeps_what_was_asked_for),
        cmocka_unit_test(commands_answer_by_state),
        cmocka_unit_test(evaluate_context_writes_latency_and_interrupter),
        cmocka_unit_test(completions_name_the_slot),
        cmocka_unit_test(the_command_ring_stops_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
