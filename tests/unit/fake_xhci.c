/* The xHCI driver of unit tests (see fake_xhci.h). */
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

static void end(void *opaque)
{
    loop_quit(((struct driver *)opaque)->fake->board.loop);
}

struct driver *driver_create(void)
{
    struct driver *driver = calloc(1, sizeof *driver);
    struct error error = {""};

    assert_non_null(driver);
    driver->fake = fake_create(0);
    driver->end = (struct loop_timer){.expired = end, .opaque = driver};
    assert_int_equal(pci_bus_create(&driver->fake->board, &driver->fake->board.pci), 0);
    driver->input = input_create(driver->fake->board.loop);
    assert_non_null(driver->input);
    assert_int_equal(xhci_create(&driver->fake->board, XHCI_SLOT, &driver->xhci, &error), 0);
    assert_int_equal(usb_keyboard_create(driver->xhci, driver->input, &error), 0);
    assert_int_equal(usb_tablet_create(driver->xhci, driver->input, &error), 0);
    fake_config_write(driver->fake, XHCI_DEVFN, 0x10, 4, (uint32_t)XHCI_BAR);
    fake_config_write(driver->fake, XHCI_DEVFN, 0x14, 4, XHCI_BAR >> 32);
    fake_config_write(driver->fake, XHCI_DEVFN, 0x04, 2, 6);
    return driver;
}

void driver_destroy(struct driver *driver)
{
    struct loop *loop = driver->fake->board.loop;

    loop_timer_remove(loop, &driver->end);
    board_destroy_devices(&driver->fake->board);
    input_destroy(driver->input);
    fake_destroy(driver->fake);
    free(driver);
}

uint64_t driver_get(struct driver *driver, unsigned offset, unsigned size)
{
    return fake_read(driver->fake, BUS_MMIO, XHCI_BAR + offset, size);
}

void driver_put(struct driver *driver, unsigned offset, unsigned size, uint64_t value)
{
    fake_write(driver->fake, BUS_MMIO, XHCI_BAR + offset, size, value);
}

void driver_write(struct driver *driver, uint64_t at, const void *from, size_t length)
{
    assert_int_equal(memory_write(driver->fake->board.memory, at, from, length), 0);
}

uint64_t driver_peek(struct driver *driver, uint64_t at, unsigned size)
{
    uint8_t bytes[8];

    assert_int_equal(memory_read(driver->fake->board.memory, at, bytes, size), 0);
    return get_le(bytes, size);
}

void driver_poke(struct driver *driver, uint64_t at, unsigned size, uint64_t value)
{
    uint8_t bytes[8];

    put_le(bytes, size, value);
    driver_write(driver, at, bytes, size);
}

static void clear(struct driver *driver, uint64_t at, size_t length)
{
    memset(memory_at(driver->fake->board.memory, at, length), 0, length);
}

void driver_wait(struct driver *driver, unsigned milliseconds)
{
    loop_timer_set(driver->fake->board.loop, &driver->end, clock_ns() + milliseconds * INT64_C(1000000));
    loop_run(driver->fake->board.loop);
}

/* The next key's time is counted from when the one before was late, so each has a wait of its own. */
void driver_wait_keys(struct driver *driver, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        driver_wait(driver, PACE_MS);
    driver_settle(driver);
}

/* Each round runs the timers that are due, what is posted, and what that posts. */
void driver_settle(struct driver *driver)
{
    for (unsigned n = 0; n < 3; n++)
        driver_wait(driver, 0);
}

void ring_init(struct driver *driver, struct guest_ring *ring, uint64_t base)
{
    clear(driver, base, RING_TRBS * 16);
    *ring = (struct guest_ring){.base = base, .cycle = 1};
}

static void write_trb(struct driver *driver, uint64_t at, uint64_t parameter, uint32_t status, uint32_t control)
{
    driver_poke(driver, at, 8, parameter);
    driver_poke(driver, at + 8, 4, status);
    driver_poke(driver, at + 12, 4, control);
}

uint64_t ring_add(struct driver *driver, struct guest_ring *ring, uint64_t parameter, uint32_t status, uint32_t control)
{
    uint64_t at = ring->base + ring->index * 16;

    write_trb(driver, at, parameter, status, control | ring->cycle);
    if (++ring->index == RING_TRBS - 1) {
        write_trb(driver, ring->base + ring->index * 16, ring->base, 0,
                  TYPE(T_LINK) | C_TOGGLE | (control & C_CHAIN) | ring->cycle);
        ring->index = 0;
        ring->cycle ^= 1;
    }
    return at;
}

static void start_interrupter(struct driver *driver, unsigned n, unsigned trbs)
{
    unsigned at = R_INTERRUPTER(n);
    uint64_t ring = M_EVENTS + n * 0x10000U, table = M_SEGMENTS + n * 0x100U;

    clear(driver, ring, trbs * 16);
    driver_poke(driver, table, 8, ring);
    driver_poke(driver, table + 8, 8, trbs);
    driver_put(driver, at + R_ERSTSZ, 4, 1);
    driver_put(driver, at + R_ERDP, 8, ring);
    driver_put(driver, at + R_ERSTBA, 8, table);
    driver_put(driver, at + R_IMOD, 4, 0);
    driver_put(driver, at + R_IMAN, 4, 2);
    driver->events[n].size = trbs;
    driver->events[n].index = 0;
    driver->events[n].cycle = 1;
}

void driver_start(struct driver *driver, unsigned event_trbs, unsigned interrupters)
{
    driver_put(driver, R_USBCMD, 4, 2);
    assert_int_equal(driver_get(driver, R_USBCMD, 4), 0);
    assert_int_equal(driver_get(driver, R_USBSTS, 4) & ~0x10U, 1);
    clear(driver, M_CONTEXTS, 0x1000);
    for (unsigned slot = 1; slot <= 32; slot++)
        driver_poke(driver, M_CONTEXTS + slot * 8, 8, M_DEVICE(slot));
    ring_init(driver, &driver->commands, M_COMMANDS);
    for (unsigned n = 0; n < interrupters; n++)
        start_interrupter(driver, n, event_trbs);
    /* Masked, so that what is sent stays in the pending bits. */
    fake_config_write(driver->fake, XHCI_DEVFN, fake_config_read(driver->fake, XHCI_DEVFN, 0x34, 1) + 2U, 2, 0x8000);
    driver_put(driver, R_CONFIG, 4, 32);
    driver_put(driver, R_DCBAAP, 8, M_CONTEXTS);
    driver_put(driver, R_CRCR, 8, M_COMMANDS | 1);
    driver_put(driver, R_USBCMD, 4, 5);
    assert_int_equal(driver_get(driver, R_USBSTS, 4) & 1, 0);
}

bool driver_peek_event(struct driver *driver, unsigned interrupter, struct guest_trb *event)
{
    uint64_t at = M_EVENTS + interrupter * 0x10000U + driver->events[interrupter].index * 16U;

    *event = (struct guest_trb){.parameter = driver_peek(driver, at, 8),
                                .status = (uint32_t)driver_peek(driver, at + 8, 4),
                                .control = (uint32_t)driver_peek(driver, at + 12, 4)};
    if ((event->control & 1) != driver->events[interrupter].cycle)
        return false;
    if (++driver->events[interrupter].index == driver->events[interrupter].size) {
        driver->events[interrupter].index = 0;
        driver->events[interrupter].cycle ^= 1;
    }
    return true;
}

void driver_acknowledge(struct driver *driver, unsigned interrupter)
{
    driver_put(driver, R_INTERRUPTER(interrupter) + R_ERDP, 8,
               (M_EVENTS + interrupter * 0x10000U + driver->events[interrupter].index * 16U) | 8);
}

bool driver_event(struct driver *driver, unsigned interrupter, struct guest_trb *event)
{
    bool found = driver_peek_event(driver, interrupter, event);

    if (found)
        driver_acknowledge(driver, interrupter);
    return found;
}

bool driver_interrupted(struct driver *driver, unsigned vector)
{
    bool pending = driver_get(driver, R_PENDING, 8) >> vector & 1;

    if (pending) {
        driver_put(driver, R_MSIX + vector * 16 + 12, 4, 0);
        driver_put(driver, R_MSIX + vector * 16 + 12, 4, 1);
    }
    return pending;
}

void driver_ring(struct driver *driver, unsigned slot, unsigned target)
{
    driver_put(driver, R_DOORBELL(slot), 4, target);
}

struct guest_trb driver_command(struct driver *driver, uint64_t parameter, uint32_t control)
{
    uint64_t at = ring_add(driver, &driver->commands, parameter, 0, control);
    struct guest_trb event;

    driver_ring(driver, 0, 0);
    driver_settle(driver);
    while (driver_event(driver, 0, &event))
        if (TRB_TYPE(event) == T_COMMAND_EVENT && event.parameter == at)
            return event;
    fail_msg("command 0x%x has no completion", control);
    return event;
}

void driver_input_address(struct driver *driver, unsigned slot, unsigned port)
{
    clear(driver, M_INPUT, 33 * 32);
    driver_poke(driver, M_INPUT + 4, 4, 3);
    driver_poke(driver, M_INPUT + 32, 4, 1U << 27 | 3U << 20);
    driver_poke(driver, M_INPUT + 36, 4, port << 16);
    driver_poke(driver, M_INPUT + 64 + 4, 4, 3U << 1 | 4U << 3 | 64U << 16);
    driver_poke(driver, M_INPUT + 64 + 8, 8, M_RING(slot, 1) | 1);
}

void driver_input_endpoint(struct driver *driver, unsigned slot, unsigned index, unsigned type, unsigned packet)
{
    uint64_t at = M_INPUT + 32 * (index + 1);

    driver_poke(driver, M_INPUT + 4, 4, driver_peek(driver, M_INPUT + 4, 4) | 1U << index);
    driver_poke(driver, at, 4, 3U << 16);
    driver_poke(driver, at + 4, 4, 3U << 1 | type << 3 | packet << 16);
    driver_poke(driver, at + 8, 8, M_RING(slot, index) | 1);
}

void driver_control_begin(struct driver *driver, unsigned slot, uint8_t type, uint8_t request, uint16_t value,
                          uint16_t index, uint16_t length)
{
    struct guest_ring *ring = &driver->rings[slot][1];
    uint64_t setup = type | request << 8 | (uint64_t)value << 16 | (uint64_t)index << 32 | (uint64_t)length << 48;

    ring_add(driver, ring, setup, 8, TYPE(T_SETUP) | C_IMMEDIATE | (length ? type & 0x80 ? 3U : 2U : 0U) << 16);
    if (length)
        ring_add(driver, ring, M_DATA, length, TYPE(T_DATA) | C_SHORT | (type & 0x80 ? C_IN : 0));
    ring_add(driver, ring, 0, 0, TYPE(T_STATUS) | C_INTERRUPT | (type & 0x80 && length ? 0 : C_IN));
    driver_ring(driver, slot, 1);
}

struct guest_trb driver_control(struct driver *driver, unsigned slot, uint8_t type, uint8_t request, uint16_t value,
                                uint16_t index, uint16_t length)
{
    struct guest_trb event, last = {0};

    driver_control_begin(driver, slot, type, request, value, index, length);
    driver_settle(driver);
    while (driver_event(driver, 0, &event))
        if (TRB_TYPE(event) == T_TRANSFER_EVENT)
            last = event;
    assert_int_equal(TRB_TYPE(last), T_TRANSFER_EVENT);
    return last;
}

unsigned driver_enumerate(struct driver *driver, unsigned port)
{
    struct guest_trb event;
    unsigned slot;

    driver_put(driver, R_PORTSC(port), 4, 0x210);
    assert_int_equal(driver_get(driver, R_PORTSC(port), 4) & 0x200003, 0x200003);
    driver_put(driver, R_PORTSC(port), 4, 0xFE0200);
    event = driver_command(driver, 0, TYPE(T_ENABLE_SLOT));
    assert_int_equal(TRB_CODE(event), 1);
    slot = TRB_SLOT(event);
    assert_in_range(slot, 1, 32);
    ring_init(driver, &driver->rings[slot][1], M_RING(slot, 1));
    clear(driver, M_DEVICE(slot), 1024);
    driver_input_address(driver, slot, port);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_ADDRESS_DEVICE) | slot << 24)), 1);
    assert_int_equal(slot_state(driver, slot), 2);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x00, 9, 1, 0, 0)), 1);
    ring_init(driver, &driver->rings[slot][3], M_RING(slot, 3));
    clear(driver, M_INPUT, 33 * 32);
    driver_poke(driver, M_INPUT + 4, 4, 1);
    driver_poke(driver, M_INPUT + 32, 4, 3U << 27 | 3U << 20);
    driver_input_endpoint(driver, slot, 3, 7, 8);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE) | slot << 24)), 1);
    assert_int_equal(slot_state(driver, slot), 3);
    assert_int_equal(endpoint_state(driver, slot, 3), 1);
    return slot;
}

uint64_t driver_poll(struct driver *driver, unsigned slot, unsigned n)
{
    return ring_add(driver, &driver->rings[slot][3], M_DATA + 0x1000U * slot + 16U * n, 8,
                    TYPE(T_NORMAL) | C_SHORT | C_INTERRUPT);
}

unsigned endpoint_state(struct driver *driver, unsigned slot, unsigned index)
{
    return driver_peek(driver, M_DEVICE(slot) + 32 * index, 4) & 7;
}

unsigned slot_state(struct driver *driver, unsigned slot)
{
    return (unsigned)(driver_peek(driver, M_DEVICE(slot) + 12, 4) >> 27);
}
