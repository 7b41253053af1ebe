/* The xHCI driver's hands (see xhci.h). */
#include "xhci.h"

#include <string.h>
#include <unistd.h>

#include "victim.h"

#define VENDOR 0x1B36
#define NUMBER 0x000D
#define SECONDS 30.0

struct xhci xhci;

void xhci_open(void)
{
    if (!function_open(&xhci.device, VENDOR, NUMBER, 0, "xhci"))
        die("no xHCI controller");
    if (xhci.device.bars[0].length != X_BAR_BYTES)
        die("xhci: a BAR of %u bytes", xhci.device.bars[0].length);
    xhci.area = area_create();
}

uint64_t xhci_get(unsigned offset, unsigned size)
{
    return mmio_get(xhci.device.bars[0].at + offset, size);
}

void xhci_put(unsigned offset, unsigned size, uint64_t value)
{
    mmio_put(xhci.device.bars[0].at + offset, size, value);
}

uint64_t xhci_at(unsigned place)
{
    return xhci.area.physical + place;
}

void xhci_poke(unsigned place, unsigned size, uint64_t value)
{
    memcpy(xhci.area.at + place, &value, size);
}

void xhci_trb(unsigned place, uint64_t parameter, uint32_t status, uint32_t control)
{
    xhci_poke(place, 8, parameter);
    xhci_poke(place + 8, 4, status);
    __atomic_store_n((uint32_t *)(void *)(xhci.area.at + place + 12), control, __ATOMIC_RELEASE);
}

void xhci_reset(void)
{
    xhci_put(X_COMMAND, 4, 2);
    if (xhci_get(X_COMMAND, 4) != 0 || !(xhci_get(X_STATUS, 4) & X_HALTED))
        die("xhci: status 0x%x after a reset", (unsigned)xhci_get(X_STATUS, 4));
}

void xhci_start(void)
{
    xhci_reset();
    memset(xhci.area.at, 0, RING_AT + 0x1000);
    xhci.command = xhci.event = xhci.transfer = 0;
    xhci.command_cycle = xhci.event_cycle = X_CYCLE;
    for (unsigned slot = 1; slot <= 32; slot++)
        xhci_poke(ARRAY_AT + 8 * slot, 8, xhci_at(CONTEXT_AT));
    xhci_poke(TABLE_AT, 8, xhci_at(EVENTS_AT));
    xhci_poke(TABLE_AT + 8, 8, EVENT_TRBS);
    xhci_put(X_SEGMENTS, 4, 1);
    xhci_put(X_DEQUEUE, 8, xhci_at(EVENTS_AT));
    xhci_put(X_TABLE, 8, xhci_at(TABLE_AT));
    xhci_put(X_CONFIG, 4, 32);
    xhci_put(X_ARRAY, 8, xhci_at(ARRAY_AT));
    xhci_put(X_RING, 8, xhci_at(COMMANDS_AT) | X_CYCLE);
    xhci_put(X_COMMAND, 4, 1);
}

bool xhci_event(struct xhci_trb *event, double seconds)
{
    volatile struct xhci_trb *next = (volatile struct xhci_trb *)(xhci.area.at + EVENTS_AT) + xhci.event;
    double end = seconds_now() + seconds;

    for (unsigned n = 0; (next->control & X_CYCLE) != xhci.event_cycle; n++) {
        if (n % 64 == 63 && seconds_now() > end)
            return false;
        usleep(n < 64 ? n : 64);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    *event = (struct xhci_trb){next->parameter, next->status, next->control};
    if (++xhci.event == EVENT_TRBS) {
        xhci.event = 0;
        xhci.event_cycle ^= X_CYCLE;
    }
    xhci_put(X_DEQUEUE, 8, xhci_at(EVENTS_AT + 16 * xhci.event) | 8);
    return true;
}

unsigned xhci_command(uint64_t parameter, uint32_t control, unsigned *slot)
{
    unsigned place = COMMANDS_AT + 16 * xhci.command;
    struct xhci_trb event;

    xhci_trb(place, parameter, 0, control | xhci.command_cycle);
    if (++xhci.command == COMMAND_TRBS - 1) {
        xhci_trb(COMMANDS_AT + 16 * xhci.command, xhci_at(COMMANDS_AT), 0,
                 X_TYPE(X_LINK) | X_TOGGLE | xhci.command_cycle);
        xhci.command = 0;
        xhci.command_cycle ^= X_CYCLE;
    }
    xhci_put(X_DOORBELLS, 4, 0);
    field.attacks++;
    while (xhci_event(&event, SECONDS))
        if ((event.control >> 10 & 0x3F) == X_COMMAND_EVENT && event.parameter == xhci_at(place)) {
            if (slot)
                *slot = event.control >> 24;
            return event.status >> 24;
        }
    return 0;
}

void xhci_input(unsigned port)
{
    memset(xhci.area.at + INPUT_AT, 0, 0x1000);
    xhci_poke(INPUT_AT + 4, 4, 3);
    xhci_poke(INPUT_AT + 32, 4, 1U << 27);
    xhci_poke(INPUT_AT + 36, 4, port << 16);
    xhci_poke(INPUT_AT + 68, 4, 4U << 3 | 64U << 16);
    xhci_poke(INPUT_AT + 72, 8, xhci_at(RING_AT) | X_CYCLE);
}

unsigned xhci_address(void)
{
    unsigned slot = 0;

    xhci_put(X_PORT1, 4, 0x210);
    if (xhci_command(0, X_TYPE(X_ENABLE_SLOT), &slot) != 1 || !slot)
        return 0;
    xhci_input(1);
    return xhci_command(xhci_at(INPUT_AT), X_TYPE(X_ADDRESS_DEVICE) | slot << 24, NULL) == 1 ? slot : 0;
}

unsigned xhci_describe(unsigned slot)
{
    unsigned place = RING_AT + 16 * xhci.transfer;
    struct xhci_trb event;

    xhci_trb(place, 0x0012000001000680, 8, X_TYPE(X_SETUP) | X_IMMEDIATE | 3 << 16 | X_CYCLE);
    xhci_trb(place + 16, xhci_at(BUFFER_AT), 18, X_TYPE(X_DATA) | X_READ | X_CYCLE);
    xhci_trb(place + 32, 0, 0, X_TYPE(X_STATUS_STAGE) | X_INTERRUPT | X_CYCLE);
    xhci.transfer += 3;
    xhci_put(X_DOORBELLS + 4 * slot, 4, 1);
    while (xhci_event(&event, SECONDS))
        if ((event.control >> 10 & 0x3F) == X_TRANSFER_EVENT)
            return event.status >> 24;
    return 0;
}

const char *xhci_serves(void)
{
    static const uint8_t expected[] = {18, 1, 0, 2};
    unsigned slot, code;

    xhci_start();
    slot = xhci_address();
    if (!slot)
        return failed("xhci: no device is addressed after a new start, status 0x%x", (unsigned)xhci_get(X_STATUS, 4));
    memset(xhci.area.at + BUFFER_AT, 0, 18);
    code = xhci_describe(slot);
    if (code != 1 || memcmp(xhci.area.at + BUFFER_AT, expected, sizeof expected) != 0)
        return failed("xhci: no descriptor after a new start, code %u", code);
    return NULL;
}
