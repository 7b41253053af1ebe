/*
 * A hostile driver on the xHCI controller (lessons 4.5: rows 8, 17, 18, 19, 21 and 22): whatever it does, the
 * controller comes to rest, and serves an honest driver after its reset.
 */
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define RAM_END (64 * MiB)
#define HALTED 1U
#define SYSTEM_ERROR 4U
#define CONTROLLER_ERROR 0x1000U

static const uint64_t bad_addresses[] = {
    RAM_END - 8,         RAM_END - 16,    RAM_END,         RAM_END + 4096, UINT32_MAX & ~63U, XHCI_BAR,
    UINT64_MAX & ~63ULL, UINT64_MAX - 15, UINT64_MAX - 31, 1ULL << 63,     0x8000000000ULL};

static struct driver *start(void)
{
    struct driver *driver = driver_create();

    driver_start(driver, 256, 2);
    driver_settle(driver);
    return driver;
}

static void drain(struct driver *driver)
{
    struct guest_trb event;

    while (driver_event(driver, 0, &event))
        ;
}

/* After a reset an honest driver finds a keyboard that types. */
static void serves(struct driver *driver)
{
    struct guest_trb event;
    unsigned slot;

    driver_start(driver, 256, 1);
    driver_settle(driver);
    slot = driver_enumerate(driver, 1);
    driver_poke(driver, M_DATA + 0x1000U * slot, 8, 0);
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    drain(driver);
    assert_int_equal(input_key(driver->input, KEY_A, true), 0);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_TRANSFER_EVENT);
    assert_int_equal(driver_peek(driver, M_DATA + 0x1000U * slot, 8), 0x040000);
    assert_int_equal(input_key(driver->input, KEY_A, false), 0);
    driver_wait(driver, 60);
}

/* Row 19: every doorbell, with every target and stream. */
static void every_doorbell(void **state)
{
    struct driver *driver = start();

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        if (round == 1)
            driver_enumerate(driver, 1);
        if (round == 2)
            driver_put(driver, R_USBCMD, 4, 0);
        for (unsigned at = 0x2000; at < 0x3000; at += 4)
            for (unsigned value = 0; value < 256; value++)
                driver_put(driver, at, 4, value | (uint32_t)rand() << 16);
        driver_settle(driver);
    }
    serves(driver);
    driver_destroy(driver);
}

/* Row 18: every command with every slot and endpoint. */
static void every_slot_and_endpoint(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, 1);

    (void)state;
    assert_in_range(slot, 1, 32);
    for (unsigned type = 0; type < 64; type++) {
        if (type == T_LINK)
            continue;
        for (unsigned which = 0; which < 256; which += which < 34 || which > 250 ? 1 : 31)
            for (unsigned index = 0; index < 32; index++) {
                struct guest_trb event =
                    driver_command(driver, M_INPUT, TYPE(type) | which << 24 | index << 16 | (index & 1 ? C_BLOCK : 0));

                assert_true(TRB_CODE(event) != 0);
                if (which == 0 || which > 32)
                    assert_true(TRB_CODE(event) != 1 || type == T_ENABLE_SLOT || type == T_NO_OP_COMMAND ||
                                type == T_PORT_BANDWIDTH);
            }
    }
    serves(driver);
    driver_destroy(driver);
}

/* Row 17 and 22: each size at each offset, read and written. */
static void every_register(void **state)
{
    static const uint64_t values[] = {0, UINT64_MAX, 0x5555555555555555};
    struct driver *driver = start();

    (void)state;
    driver_enumerate(driver, 1);
    for (unsigned n = 0; n < ARRAY_SIZE(values); n++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned offset = 0; offset < XHCI_BAR_SIZE; offset++) {
                driver_get(driver, offset, size);
                if (offset < 0x40 || offset >= 0x44) /* USBCMD comes at the end */
                    driver_put(driver, offset, size, values[n]);
            }
    driver_settle(driver);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned offset = 0x38; offset < 0x48; offset++)
            for (unsigned n = 0; n < 4096; n++)
                driver_put(driver, offset, size, (uint64_t)n << 32 | n);
    driver_settle(driver);
    for (unsigned n = 0; n < 8; n++) /* what an MSI-X table made of noise has set up */
        driver_put(driver, R_MSIX + n * 16 + 12, 4, 1);
    serves(driver);
    driver_destroy(driver);
}

/* A part of a register, or one that lies askew, reads what the whole does, and changes nothing. */
static void parts_of_registers(void **state)
{
    struct driver *driver = start();

    (void)state;
    for (unsigned offset = 0; offset < 0x80; offset++) {
        uint64_t whole = driver_get(driver, offset & ~3U, 8);

        for (unsigned size = 1; size <= 4; size *= 2)
            assert_int_equal(driver_get(driver, offset, size), whole >> 8 * (offset & 3) & all_ones(size));
    }
    driver_put(driver, R_CONFIG, 1, 7);
    driver_put(driver, R_CONFIG, 2, 7);
    driver_put(driver, R_CONFIG + 1, 4, 7);
    assert_int_equal(driver_get(driver, R_CONFIG, 4), 32);
    driver_destroy(driver);
}

static void contexts_outside_memory(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, 1);

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(bad_addresses); n++) {
        unsigned other = TRB_SLOT(driver_command(driver, 0, TYPE(T_ENABLE_SLOT)));
        uint64_t bad = bad_addresses[n];

        assert_in_range(other, 1, 32);
        assert_int_not_equal(TRB_CODE(driver_command(driver, bad, TYPE(T_ADDRESS_DEVICE) | other << 24)), 1);
        if (bad >= RAM_END) /* else its flags are within, and ask for nothing */
            assert_int_not_equal(TRB_CODE(driver_command(driver, bad, TYPE(T_CONFIGURE) | slot << 24)), 1);
        assert_int_not_equal(TRB_CODE(driver_command(driver, bad, TYPE(T_EVALUATE) | slot << 24)), 1);
        assert_int_not_equal(TRB_CODE(driver_command(driver, bad, TYPE(T_PORT_BANDWIDTH))), 1);
        /* The device context, and the array that leads to it. */
        driver_input_address(driver, other, 2);
        driver_put(driver, R_PORTSC(2), 4, 0x210);
        driver_poke(driver, M_CONTEXTS + 8 * other, 8, bad);
        if (bad != RAM_END - 8 && bad != RAM_END - 16) /* which lose their low bits */
            assert_int_not_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | other << 24)), 1);
        driver_poke(driver, M_CONTEXTS + 8 * other, 8, 0);
        assert_int_not_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | other << 24)), 1);
        driver_put(driver, R_DCBAAP, 8, bad);
        assert_int_not_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | other << 24)), 1);
        driver_put(driver, R_DCBAAP, 8, M_CONTEXTS);
        assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | other << 24)), 1);
    }
    /* A context at the end of memory holds as many endpoints as there is memory for. */
    unsigned other = TRB_SLOT(driver_command(driver, 0, TYPE(T_ENABLE_SLOT)));

    driver_put(driver, R_PORTSC(2), 4, 0x210);
    driver_poke(driver, M_CONTEXTS + 8 * other, 8, RAM_END - 64);
    driver_input_address(driver, other, 2);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | other << 24)), 1);
    driver_poke(driver, M_INPUT + 4, 4, 1);
    driver_input_endpoint(driver, other, 31, 7, 8);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE) | other << 24)), 17);
    serves(driver);
    driver_destroy(driver);
}

static void contexts_that_make_no_sense(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, 1), other = TRB_SLOT(driver_command(driver, 0, TYPE(T_ENABLE_SLOT)));

    (void)state;
    /* Ports that are not, a port that another slot has, an interrupter that is not, a route through no hub. */
    for (unsigned port = 0; port < 256; port++) {
        if (port == 2)
            continue;
        driver_input_address(driver, other, port);
        assert_int_not_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | other << 24)), 1);
    }
    driver_put(driver, R_PORTSC(2), 4, 0x210);
    driver_input_address(driver, other, 2);
    driver_poke(driver, M_INPUT + 32 + 8, 4, 8U << 22);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | other << 24)), 17);
    driver_poke(driver, M_INPUT + 32 + 8, 4, 0);
    driver_poke(driver, M_INPUT + 32, 4, 1U << 27 | 0x12345);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | other << 24)), 4);
    /* Every word of an endpoint's context with noise, in every place. */
    srand(6);
    for (unsigned n = 0; n < 2000; n++) {
        for (unsigned at = 0; at < 33 * 32; at += 4)
            driver_poke(driver, M_INPUT + at, 4, (uint32_t)rand() << 8 ^ (uint32_t)rand());
        if (n % 4 == 0)
            driver_poke(driver, M_INPUT, 8, (uint64_t)0xFFFFFFFD << 32);
        assert_true(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE + n % 2) | slot << 24)) != 0);
        driver_put(driver, R_DOORBELL(slot), 4, 1 + n % 31);
        driver_settle(driver);
        drain(driver);
    }
    serves(driver);
    driver_destroy(driver);
}

/* All endpoints that there can be, on a device that has two. */
static void endpoints_that_the_device_has_not(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, 1), stalls = 0;
    struct guest_trb event;

    (void)state;
    memset(memory_at(driver->fake->board.memory, M_INPUT, 33 * 32), 0, 33 * 32);
    driver_poke(driver, M_INPUT + 4, 4, 1);
    for (unsigned index = 2; index < 32; index++) {
        ring_init(driver, &driver->rings[slot][index], M_RING(slot, index));
        driver_input_endpoint(driver, slot, index, 1 + index % 3 + 4 * (index % 2), 64);
        for (unsigned n = 0; n < 20; n++)
            ring_add(driver, &driver->rings[slot][index], M_DATA, 64, TYPE(T_NORMAL) | C_INTERRUPT);
    }
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE) | slot << 24)), 1);
    for (unsigned index = 2; index < 32; index++)
        driver_ring(driver, slot, index);
    driver_settle(driver);
    while (driver_event(driver, 0, &event))
        stalls += TRB_TYPE(event) == T_TRANSFER_EVENT && TRB_CODE(event) == 6;
    assert_int_equal(stalls, 29); /* each halts at its first */
    serves(driver);
    driver_destroy(driver);
}

static struct guest_trb ring_outcome(struct driver *driver, unsigned slot, unsigned index)
{
    struct guest_trb event, last = {0};

    driver_ring(driver, slot, index);
    driver_settle(driver);
    while (driver_event(driver, 0, &event))
        if (TRB_TYPE(event) == T_TRANSFER_EVENT)
            last = event;
    return last;
}

static void set_ring(struct driver *driver, unsigned slot, unsigned index, uint64_t at)
{
    if (endpoint_state(driver, slot, index) == 1)
        driver_command(driver, 0, TYPE(T_STOP_ENDPOINT) | slot << 24 | index << 16);
    if (endpoint_state(driver, slot, index) == 2)
        driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | index << 16);
    assert_int_equal(TRB_CODE(driver_command(driver, at | 1, TYPE(T_SET_DEQUEUE) | slot << 24 | index << 16)), 1);
}

static void transfer_rings_outside_memory(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, 1);

    (void)state;
    for (unsigned index = 1; index <= 3; index += 2)
        for (unsigned n = 0; n < ARRAY_SIZE(bad_addresses); n++) {
            struct guest_trb event;

            if (bad_addresses[n] == RAM_END - 16 || bad_addresses[n] == RAM_END - 8)
                continue;
            set_ring(driver, slot, index, bad_addresses[n] & ~15ULL);
            event = ring_outcome(driver, slot, index);
            assert_int_equal(TRB_CODE(event), 5);
            assert_int_equal(event.parameter, bad_addresses[n] & ~15ULL);
            assert_int_equal(endpoint_state(driver, slot, index), 4);
        }
    /* The last TRB of memory, and what would come after it. */
    driver_poke(driver, RAM_END - 16, 8, M_DATA);
    driver_poke(driver, RAM_END - 8, 8, (uint64_t)(TYPE(T_NORMAL) | C_CHAIN | 1) << 32 | 8);
    set_ring(driver, slot, 3, RAM_END - 16);
    assert_int_equal(TRB_CODE(ring_outcome(driver, slot, 3)), 5);
    serves(driver);
    driver_destroy(driver);
}

static void buffers_outside_memory(void **state)
{
    static const uint32_t lengths[] = {1, 8, 0xFFFF, 0x10000, 0x1FFFF};
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, 2);

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(bad_addresses); n++)
        for (unsigned length = 0; length < ARRAY_SIZE(lengths); length++) {
            bool reaches = bad_addresses[n] < RAM_END && bad_addresses[n] + lengths[length] <= RAM_END;

            set_ring(driver, slot, 3, M_RING(slot, 3));
            ring_init(driver, &driver->rings[slot][3], M_RING(slot, 3));
            ring_add(driver, &driver->rings[slot][3], bad_addresses[n], lengths[length], TYPE(T_NORMAL) | C_INTERRUPT);
            assert_int_equal(TRB_CODE(ring_outcome(driver, slot, 3)), reaches ? 0 : 5);
        }
    /* Immediate data to be received, and more of it than a TRB holds. */
    set_ring(driver, slot, 3, M_RING(slot, 3));
    ring_init(driver, &driver->rings[slot][3], M_RING(slot, 3));
    ring_add(driver, &driver->rings[slot][3], M_DATA, 8, TYPE(T_NORMAL) | C_IMMEDIATE);
    assert_int_equal(TRB_CODE(ring_outcome(driver, slot, 3)), 5);
    ring_add(driver, &driver->rings[slot][1], 0x0009000002000921, 8, TYPE(T_SETUP) | C_IMMEDIATE);
    ring_add(driver, &driver->rings[slot][1], 0, 9, TYPE(T_DATA) | C_IMMEDIATE);
    ring_add(driver, &driver->rings[slot][1], 0, 0, TYPE(T_STATUS) | C_IN);
    assert_int_equal(TRB_CODE(ring_outcome(driver, slot, 1)), 5);
    serves(driver);
    driver_destroy(driver);
}

/* Row 8: an event for an interrupter that there is not is told as an error of the TRB, by the first one. */
static void interrupters_that_are_not(void **state)
{
    static const uint32_t targets[] = {8, 9, 0x1FF, 0x200, 0x3FF};
    struct driver *driver = driver_create();
    struct guest_trb event;
    unsigned slot;

    (void)state;
    driver_start(driver, 256, 8);
    slot = driver_enumerate(driver, 1);
    for (unsigned n = 0; n < 2 * ARRAY_SIZE(targets); n++) {
        unsigned index = n % 2 ? 3 : 1;
        struct guest_ring *ring = &driver->rings[slot][index];
        uint32_t type = index == 1 ? TYPE(T_NO_OP) : TYPE(T_NORMAL);
        uint64_t at;

        ring_init(driver, ring, M_RING(slot, index));
        set_ring(driver, slot, index, M_RING(slot, index));
        at = ring_add(driver, ring, M_DATA, targets[n / 2] << 22, type | C_INTERRUPT);
        event = ring_outcome(driver, slot, index);
        assert_int_equal(TRB_CODE(event), 5);
        assert_int_equal(event.parameter, at);
        assert_int_equal(event.control >> 16, slot << 8 | index);
        assert_int_equal(endpoint_state(driver, slot, index), 4);
    }
    /* The last that there is. */
    ring_init(driver, &driver->rings[slot][1], M_RING(slot, 1));
    set_ring(driver, slot, 1, M_RING(slot, 1));
    ring_add(driver, &driver->rings[slot][1], 0, 7U << 22, TYPE(T_NO_OP) | C_INTERRUPT);
    driver_ring(driver, slot, 1);
    driver_settle(driver);
    assert_true(driver_event(driver, 7, &event));
    assert_int_equal(TRB_CODE(event), 1);
    serves(driver);
    driver_destroy(driver);
}

/* Every request with every direction and length that a setup packet can hold, on both devices. */
static void requests_without_sense(void **state)
{
    static const uint16_t values[] = {0, 1, 2, 0xFF, 0x100, 0x200, 0x300, 0x2100, 0x2200, 0xFFFF};
    static const uint16_t lengths[] = {0, 1, 8, 0xFFFF};
    struct driver *driver = start();

    (void)state;
    for (unsigned port = 1; port <= 2; port++) {
        unsigned slot = driver_enumerate(driver, port);

        for (unsigned type = 0; type < 256; type += type % 4 == 2 ? 30 : 1)
            for (unsigned request = 0; request < 16; request++)
                for (unsigned n = 0; n < ARRAY_SIZE(values) * ARRAY_SIZE(lengths); n++) {
                    struct guest_trb event =
                        driver_control(driver, slot, (uint8_t)type, (uint8_t)request, values[n % ARRAY_SIZE(values)],
                                       values[n % 7], lengths[n / ARRAY_SIZE(values)]);

                    if (TRB_CODE(event) == 1)
                        continue;
                    assert_true(TRB_CODE(event) == 6 || TRB_CODE(event) == 13);
                    if (TRB_CODE(event) == 6) {
                        ring_init(driver, &driver->rings[slot][1], M_RING(slot, 1));
                        set_ring(driver, slot, 1, M_RING(slot, 1));
                    }
                }
    }
    serves(driver);
    driver_destroy(driver);
}

/* Row 30's relative: rings that lead to themselves come to rest. */
static void rings_that_loop(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, 1);
    int64_t begin = clock_ns();

    (void)state;
    /* Links alone, with and without a toggle. */
    for (unsigned toggle = 0; toggle <= C_TOGGLE; toggle += C_TOGGLE) {
        set_ring(driver, slot, 3, M_DATA);
        for (unsigned n = 0; n < 16; n++) {
            driver_poke(driver, M_DATA + 16 * n, 8, M_DATA + 16 * ((n + 1) % 16));
            driver_poke(driver, M_DATA + 16 * n + 8, 8,
                        (uint64_t)(TYPE(T_LINK) | toggle | (toggle ? (n + 1) % 2 : 1)) << 32);
        }
        assert_int_equal(TRB_CODE(ring_outcome(driver, slot, 3)), 5);
    }
    /* One TD without an end. */
    set_ring(driver, slot, 3, M_DATA);
    driver_poke(driver, M_DATA, 8, M_DATA);
    driver_poke(driver, M_DATA + 8, 8, (uint64_t)(TYPE(T_NORMAL) | C_CHAIN | 1) << 32 | 8);
    driver_poke(driver, M_DATA + 16, 8, M_DATA);
    driver_poke(driver, M_DATA + 24, 8, (uint64_t)(TYPE(T_LINK) | C_CHAIN | 1) << 32);
    assert_int_equal(TRB_CODE(ring_outcome(driver, slot, 3)), 5);
    /* TDs without number: the loop gets its turn between them, and in the end there is quiet. */
    set_ring(driver, slot, 1, M_DATA);
    driver_poke(driver, M_DATA, 8, 0);
    driver_poke(driver, M_DATA + 8, 8, (uint64_t)(TYPE(T_NO_OP) | 1) << 32);
    driver_poke(driver, M_DATA + 24, 8, (uint64_t)(TYPE(T_LINK) | 1) << 32);
    driver_ring(driver, slot, 1);
    for (unsigned n = 0; n < 65536 / 32 + 10; n++)
        driver_wait(driver, 0);
    assert_true(clock_ns() - begin < INT64_C(60000000000));
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_NO_OP_COMMAND))), 1);
    serves(driver);
    /* The command ring: links alone end the controller, commands without number come to rest. */
    driver_start(driver, 256, 1);
    driver_poke(driver, M_COMMANDS, 8, M_COMMANDS);
    driver_poke(driver, M_COMMANDS + 8, 8, (uint64_t)(TYPE(T_LINK) | 1) << 32);
    driver_ring(driver, 0, 0);
    driver_settle(driver);
    assert_int_equal(driver_get(driver, R_USBSTS, 4) & (HALTED | CONTROLLER_ERROR), HALTED | CONTROLLER_ERROR);
    driver_put(driver, R_USBCMD, 4, 5);
    assert_int_equal(driver_get(driver, R_USBSTS, 4) & HALTED, HALTED);
    serves(driver);
    driver_start(driver, 256, 1);
    driver_put(driver, R_INTERRUPTER(0) + R_ERSTSZ, 4, 0); /* nobody counts */
    driver_put(driver, R_INTERRUPTER(0) + R_ERSTBA, 8, M_SEGMENTS);
    driver_poke(driver, M_COMMANDS + 8, 8, (uint64_t)(TYPE(T_NO_OP_COMMAND) | 1) << 32);
    driver_poke(driver, M_COMMANDS + 16, 8, M_COMMANDS);
    driver_poke(driver, M_COMMANDS + 24, 8, (uint64_t)(TYPE(T_LINK) | 1) << 32);
    driver_ring(driver, 0, 0);
    for (unsigned n = 0; n < 65536 / 64 + 10; n++)
        driver_wait(driver, 0);
    serves(driver);
    driver_destroy(driver);
}

static void command_rings_outside_memory(void **state)
{
    struct driver *driver = start();

    (void)state;
    for (unsigned n = 3; n < ARRAY_SIZE(bad_addresses); n++) {
        driver_start(driver, 256, 1);
        driver_put(driver, R_CRCR, 8, (bad_addresses[n] & ~63ULL) | 1);
        driver_ring(driver, 0, 0);
        driver_settle(driver);
        assert_int_equal(driver_get(driver, R_USBSTS, 4) & (HALTED | CONTROLLER_ERROR), HALTED | CONTROLLER_ERROR);
    }
    serves(driver);
    driver_destroy(driver);
}

/* Row 21: a ring's size is looked at where it is used, and kept. */
static void event_rings_of_every_size(void **state)
{
    static const uint32_t sizes[] = {0, 1, 15, 4097, 0xFFFF};
    struct driver *driver = start();

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++) {
        driver_start(driver, 256, 1);
        driver_poke(driver, M_SEGMENTS + 8, 8, sizes[n]);
        driver_ring(driver, 0, 0);
        driver_settle(driver);
        assert_int_equal(driver_get(driver, R_USBSTS, 4) & (HALTED | SYSTEM_ERROR), HALTED | SYSTEM_ERROR);
    }
    for (unsigned n = 0; n < 2 * ARRAY_SIZE(bad_addresses); n++) {
        uint64_t bad = bad_addresses[n / 2];

        driver_start(driver, 256, 1);
        if (n % 2)
            driver_poke(driver, M_SEGMENTS, 8, bad);
        else
            driver_put(driver, R_INTERRUPTER(0) + R_ERSTBA, 8, bad);
        if (!(n % 2) && bad < RAM_END) /* the table lies within, and holds zeroes */
            driver_poke(driver, bad & ~63ULL, 8, 0);
        driver_settle(driver);
        assert_int_equal(driver_get(driver, R_USBSTS, 4) & (HALTED | SYSTEM_ERROR), HALTED | SYSTEM_ERROR);
    }
    /* A table size of any kind, and one that grows after it was taken. */
    for (unsigned n = 0; n < 3; n++) {
        driver_start(driver, 256, 1);
        if (n == 2)
            driver_settle(driver);
        driver_put(driver, R_INTERRUPTER(0) + R_ERSTSZ, 4, n == 1 ? 0 : 0xFFFF);
        for (unsigned at = 0; at < 300; at++)
            ring_add(driver, &driver->commands, 0, 0, TYPE(T_NO_OP_COMMAND));
        driver_ring(driver, 0, 0);
        driver_settle(driver);
        driver_put(driver, R_INTERRUPTER(0) + R_ERDP, 8, UINT64_MAX);
        driver_settle(driver);
    }
    serves(driver);
    driver_destroy(driver);
}

/* Rings and contexts of noise that is mostly valid, with every kind of interruption in between. */
static void noise(void **state)
{
    struct driver *driver = start();
    struct error error = {""};

    (void)state;
    for (unsigned seed = 0; seed < 300; seed++) {
        unsigned slot;

        srand(seed);
        driver_start(driver, 256, 2);
        driver_settle(driver);
        slot = driver_enumerate(driver, 1 + seed % 2);
        for (unsigned n = 0; n < 200; n++) {
            struct guest_ring *ring = rand() % 8 == 0 ? &driver->commands : &driver->rings[slot][1 + 2 * (rand() % 2)];
            uint64_t parameter = rand() % 8 == 0 ? (uint64_t)rand() << 33 : M_DATA + (uint64_t)(rand() % 65536);
            uint32_t type = rand() % 3 == 0 ? (uint32_t)rand() % 64 : 1 + (uint32_t)rand() % 8;

            ring_add(driver, ring, parameter, (uint32_t)rand() % 0x20000 | (rand() % 16 == 0 ? 1U << 22 : 0),
                     TYPE(type) | (uint32_t)(rand() & 0xFF0003FE) | (rand() % 2 ? slot << 24 : 0));
            if (rand() % 4 == 0)
                driver_put(driver, 0x2000 + 4 * (unsigned)(rand() % 4), 4, (unsigned)rand() % 5);
            if (rand() % 16 == 0)
                driver_put(driver, 0x400 + 4 * (unsigned)(rand() % 128), 4, (uint32_t)rand() * 2U);
            if (rand() % 32 == 0)
                input_key(driver->input, KEY_A + (unsigned)rand() % 8, rand() % 2);
            if (rand() % 32 == 0)
                input_pointer(driver->input, &(struct input_pointer){.x = (uint16_t)(rand() % 32768)});
            if (rand() % 64 == 0)
                xhci_unplug(driver->xhci, seed % 2 ? "tablet" : "keyboard", &error);
            if (rand() % 64 == 0)
                xhci_plug(driver->xhci, seed % 2 ? "tablet" : "keyboard", &error);
            if (rand() % 8 == 0)
                driver_settle(driver);
            if (rand() % 4 == 0)
                drain(driver);
        }
        xhci_plug(driver->xhci, "tablet", &error);
        xhci_plug(driver->xhci, "keyboard", &error);
    }
    for (unsigned code = KEY_A; code < KEY_A + 8; code++)
        input_key(driver->input, code, false);
    driver_wait(driver, 500);
    serves(driver);
    driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_doorbell),
        cmocka_unit_test(every_slot_and_endpoint),
        cmocka_unit_test(every_register),
        cmocka_unit_test(parts_of_registers),
        cmocka_unit_test(contexts_outside_memory),
        cmocka_unit_test(contexts_that_make_no_sense),
        cmocka_unit_test(endpoints_that_the_device_has_not),
        cmocka_unit_test(transfer_rings_outside_memory),
        cmocka_unit_test(buffers_outside_memory),
        cmocka_unit_test(interrupters_that_are_not),
        cmocka_unit_test(requests_without_sense),
        cmocka_unit_test(rings_that_loop),
        cmocka_unit_test(command_rings_outside_memory),
        cmocka_unit_test(event_rings_of_every_size),
        cmocka_unit_test(noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
