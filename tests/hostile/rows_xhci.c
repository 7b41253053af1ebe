/* Attacks on the xHCI controller. Each ends with the controller at rest; that it serves again is looked at for all. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "rows.h"
#include "victim.h"
#include "xhci.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FLIPS 2000U
#define REST_SECONDS 30.0

/* Addresses that are no RAM, or end in it. */
static unsigned bad_addresses(uint64_t *list)
{
    const uint64_t all[] = {field.ram_end,     field.ram_end + 0x1000, 0xFEC00000,      0xFFFFFFC0,
                            UINT64_C(1) << 40, UINT64_C(1) << 63,      UINT64_MAX - 63, xhci.device.bars[0].length};

    memcpy(list, all, sizeof all - sizeof *all);
    return COUNT(all) - 1;
}

/* Whether the controller stopped with this error, which it does on the loop that works for it. */
static bool stops_with(uint32_t error)
{
    double end = seconds_now() + REST_SECONDS;

    while ((xhci_get(X_STATUS, 4) & (error | X_HALTED)) != (error | X_HALTED)) {
        if (seconds_now() > end)
            return false;
        usleep(1000);
    }
    field.breaks++;
    return true;
}

/* Row 2: a context, its array, an input context that is not there. */
const char *xhci_contexts_outside_ram(void)
{
    static const unsigned types[] = {X_ADDRESS_DEVICE, X_CONFIGURE, X_EVALUATE};
    uint64_t bad[8];
    unsigned count = bad_addresses(bad), slot, other = 0;

    xhci_start();
    slot = xhci_address();
    if (!slot || xhci_command(0, X_TYPE(X_ENABLE_SLOT), &other) != 1)
        return failed("xhci: no slots");
    for (unsigned n = 0; n < count; n++) {
        for (unsigned type = 0; type < COUNT(types); type++)
            for (unsigned each = 0; each < 2; each++) {
                unsigned code = xhci_command(bad[n], X_TYPE(types[type]) | (each ? other : slot) << 24, NULL);

                if (code <= 1)
                    return failed("xhci: command %u with a context at 0x%llx ends with %u", types[type],
                                  (unsigned long long)bad[n], code);
            }
        xhci_input(2);
        xhci_put(X_PORT1 + 16, 4, 0x210);
        xhci_poke(ARRAY_AT + 8 * other, 8, bad[n]);
        if (xhci_command(xhci_at(INPUT_AT), X_TYPE(X_ADDRESS_DEVICE) | other << 24, NULL) <= 1)
            return failed("xhci: a device context at 0x%llx is taken", (unsigned long long)bad[n]);
        xhci_put(X_ARRAY, 8, bad[n]);
        if (xhci_command(xhci_at(INPUT_AT), X_TYPE(X_ADDRESS_DEVICE) | other << 24, NULL) <= 1)
            return failed("xhci: an array at 0x%llx is taken", (unsigned long long)bad[n]);
        xhci_put(X_ARRAY, 8, xhci_at(ARRAY_AT));
    }
    return NULL;
}

/* Row 17 (and 22): every size at every edge of the register space. */
const char *xhci_accesses_at_every_edge(void)
{
    static const struct {
        unsigned first, last;
    } spans[] = {{0, 0xA0},        {0x430, 0x560},   {0xFF0, 0x1050},  {0x1110, 0x1130}, {0x1FF0, 0x2010},
                 {0x2070, 0x2090}, {0x2FF0, 0x3090}, {0x37F0, 0x3810}, {0x3FE0, 0x4000}};

    xhci_start();
    for (unsigned n = 0; n < COUNT(spans); n++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned offset = spans[n].first; offset + size <= spans[n].last; offset++) {
                uint64_t value = xhci_get(offset, size);

                xhci_put(offset, size, ~value);
                xhci_put(offset, size, offset);
                field.attacks++;
            }
    /* The message table is the guest's own; nothing of it shall come. */
    for (unsigned n = 0; n < xhci.device.vectors; n++)
        xhci_put(0x3000 + 16 * n + 12, 4, 1);
    return NULL;
}

/* Row 18: what is counted from 1, at 0, at its end and behind. */
const char *xhci_slots_at_their_limits(void)
{
    static const unsigned slots[] = {0, 1, 2, 31, 32, 33, 34, 127, 128, 255};
    static const unsigned endpoints[] = {0, 1, 2, 3, 30, 31};

    xhci_start();
    if (!xhci_address())
        return failed("xhci: no slot");
    for (unsigned type = 0; type < 64; type++)
        for (unsigned slot = 0; slot < COUNT(slots); slot++)
            for (unsigned endpoint = 0; endpoint < COUNT(endpoints) && type != X_LINK; endpoint++) {
                uint32_t control = X_TYPE(type) | slots[slot] << 24 | endpoints[endpoint] << 16;

                if (!xhci_command(xhci_at(INPUT_AT), control, NULL))
                    return failed("xhci: command 0x%x is not answered", control);
            }
    return NULL;
}

/* Row 19: doorbells of slots that there are, are not, and cannot be. */
const char *xhci_every_doorbell(void)
{
    static const unsigned targets[] = {0, 1, 2, 3, 31, 32, 127, 255};

    xhci_start();
    if (!xhci_address())
        return failed("xhci: no slot");
    for (unsigned offset = X_DOORBELLS; offset < 0x3000; offset += 4)
        for (unsigned n = 0; n < COUNT(targets); n++) {
            xhci_put(offset, 4, targets[n] | (offset & 0xFFF) << 16);
            field.attacks++;
        }
    return xhci_command(0, X_TYPE(X_NO_OP_COMMAND), NULL) == 1 ? NULL : failed("xhci: no answer after doorbells");
}

/* Row 20: words of TRBs that are good when they are looked at and bad when they are used. */
static _Atomic bool flipping;

static void *flip(void *opaque)
{
    uint64_t bad = field.ram_end - 8;

    (void)opaque;
    while (atomic_load(&flipping))
        for (unsigned n = 0; n < 64; n++) {
            unsigned place = RING_AT + 48 * n;

            xhci_poke(place + 16, 8, n & 1 ? bad : UINT64_MAX - 8);
            xhci_poke(place + 16 + 8, 4, 0x1FFFF);
            xhci_poke(place + 28, 4, X_TYPE(X_LINK) | X_CYCLE);
            xhci_poke(place + 16, 8, xhci_at(BUFFER_AT));
            xhci_poke(place + 16 + 8, 4, 18);
            xhci_poke(place + 28, 4, X_TYPE(X_DATA) | X_READ | X_CYCLE);
        }
    return NULL;
}

const char *xhci_rings_that_change(void)
{
    pthread_t thread;
    const char *why = NULL;

    atomic_store(&flipping, true);
    if (pthread_create(&thread, NULL, flip, NULL))
        die("no thread");
    for (unsigned n = 0; n < FLIPS / 50 && !why; n++) {
        unsigned slot;

        xhci_start();
        slot = xhci_address();
        for (unsigned transfer = 0; slot && transfer < 50; transfer++) {
            xhci.transfer = transfer;
            /* Whatever it ends with; silence comes when a link has led away. */
            xhci_trb(RING_AT + 48 * transfer, 0x0012000001000680, 8, X_TYPE(X_SETUP) | X_IMMEDIATE | 3 << 16 | X_CYCLE);
            xhci_trb(RING_AT + 48 * transfer + 32, 0, 0, X_TYPE(X_STATUS_STAGE) | X_INTERRUPT | X_CYCLE);
            xhci_put(X_DOORBELLS + 4 * slot, 4, 1);
            field.attacks++;
        }
        if (!slot || xhci_command(0, X_TYPE(X_NO_OP_COMMAND), NULL) != 1)
            why = failed("xhci: no answer while rings change");
    }
    atomic_store(&flipping, false);
    pthread_join(thread, NULL);
    return why;
}

/* Row 21: event rings whose segments have no size, too much of it, or no memory. */
const char *xhci_rings_of_no_size(void)
{
    static const uint32_t sizes[] = {0, 1, 15, 4097, 0xFFFF};
    uint64_t bad[8];
    unsigned count = bad_addresses(bad);

    for (unsigned n = 0; n < COUNT(sizes) + 2 * count; n++) {
        unsigned place = n - COUNT(sizes);

        xhci_start();
        xhci_put(X_COMMAND, 4, 0);
        if (n < COUNT(sizes))
            xhci_poke(TABLE_AT + 8, 8, sizes[n]);
        else if (place < count)
            xhci_poke(TABLE_AT, 8, bad[place]);
        xhci_put(X_TABLE, 8, place >= count && n >= COUNT(sizes) ? bad[place - count] : xhci_at(TABLE_AT));
        xhci_put(X_COMMAND, 4, 1);
        xhci_trb(COMMANDS_AT, 0, 0, X_TYPE(X_NO_OP_COMMAND) | X_CYCLE);
        xhci_put(X_DOORBELLS, 4, 0);
        field.attacks++;
        if (!stops_with(X_SYSTEM_ERROR))
            return failed("xhci: event ring %u is taken", n);
        xhci_put(X_DOORBELLS, 4, 0);
    }
    return NULL;
}

/* Row 30: rings that lead to themselves come to rest, and others are served meanwhile. */
const char *xhci_rings_that_loop(void)
{
    unsigned slot;

    /* Links alone on the command ring. */
    xhci_start();
    xhci_trb(COMMANDS_AT, xhci_at(COMMANDS_AT), 0, X_TYPE(X_LINK) | X_CYCLE);
    xhci_put(X_DOORBELLS, 4, 0);
    field.attacks++;
    if (!stops_with(X_CONTROLLER_ERROR))
        return failed("xhci: a command ring of links goes on");
    /* TRBs without number on a transfer ring, and commands at the same time. */
    xhci_start();
    slot = xhci_address();
    if (!slot)
        return failed("xhci: no slot");
    xhci_trb(RING_AT + 16, xhci_at(RING_AT), 0, X_TYPE(X_LINK) | X_CYCLE);
    xhci_trb(RING_AT, 0, 0, X_TYPE(X_NO_OP) | X_CYCLE);
    for (unsigned n = 0; n < 50; n++) {
        xhci_put(X_DOORBELLS + 4 * slot, 4, 1);
        field.attacks++;
        if (xhci_command(0, X_TYPE(X_NO_OP_COMMAND), NULL) != 1)
            return failed("xhci: no command is served beside a transfer ring that loops");
    }
    return NULL;
}
