/* Event rings and the interrupts that announce them (xHCI 4.9.4, 4.17). */
#include "casement/bytes.h"
#include "xhci_private.h"

#define IMAN_PENDING (1U << 0)
#define IMAN_ENABLE (1U << 1)
#define ERDP_BUSY (1U << 3)
#define MODERATION_NS INT64_C(250)
#define SEGMENT_MIN 16U
#define SEGMENT_MAX 4096U
/* An event whose TRB blocks its interrupt is announced with the next one, or after this time. */
#define BLOCKED_NS INT64_C(8000000)

enum { IMAN = 0x00, IMOD = 0x04, ERSTSZ = 0x08, ERSTBA = 0x10, ERDP = 0x18 };

/* Copies the segment table, which is frozen until its address is written again. */
static bool load(struct xhci *xhci, struct interrupter_state *state)
{
    state->segments = 0;
    for (unsigned n = 0; n < MIN(state->table_size, 1U << ERST_MAX); n++) {
        struct event_segment *segment = &state->ring[n];
        uint8_t entry[16];

        if (memory_read(xhci->board->memory, state->table + n * sizeof entry, entry, sizeof entry) < 0) {
            xhci_fail(xhci, STATUS_SYSTEM_ERROR, "an event ring's segment table is outside memory");
            return false;
        }
        *segment = (struct event_segment){.base = get_le64(entry), .trbs = get_le16(entry + 8)};
        if (segment->trbs < SEGMENT_MIN || segment->trbs > SEGMENT_MAX || segment->base % 64 ||
            !memory_at(xhci->board->memory, segment->base, (uint64_t)segment->trbs * TRB_BYTES)) {
            xhci_fail(xhci, STATUS_SYSTEM_ERROR, "a segment of an event ring is not one");
            return false;
        }
        state->segments++;
    }
    state->segment = state->index = 0;
    state->cycle = 1;
    state->full = false;
    state->loaded = true;
    return true;
}

static bool usable(struct xhci *xhci, struct interrupter_state *state)
{
    return state->table_size && (state->loaded || load(xhci, state));
}

static void step(const struct interrupter_state *state, uint32_t *segment, uint32_t *index)
{
    if (++*index < state->ring[*segment].trbs)
        return;
    *index = 0;
    *segment = *segment + 1 < state->segments ? *segment + 1 : 0;
}

static uint64_t place(const struct interrupter_state *state, uint32_t segment, uint32_t index)
{
    return state->ring[segment].base + (uint64_t)index * TRB_BYTES;
}

/* Whether so many places can be written before the one that the guest reads next. */
static bool places(const struct interrupter_state *state, unsigned count)
{
    uint32_t segment = state->segment, index = state->index;

    while (count-- > 0) {
        step(state, &segment, &index);
        if (place(state, segment, index) == (state->dequeue & ~UINT64_C(15)))
            return false;
    }
    return true;
}

static bool is_empty(const struct interrupter_state *state)
{
    return !state->loaded || place(state, state->segment, state->index) == (state->dequeue & ~UINT64_C(15));
}

static void put(struct xhci *xhci, struct interrupter_state *state, const struct trb *event)
{
    uint8_t *memory = memory_at(xhci->board->memory, place(state, state->segment, state->index), TRB_BYTES);
    uint32_t segment = state->segment;

    if (!memory)
        return; /* load() has looked */
    put_le64(memory, event->parameter);
    put_le32(memory + 8, event->status);
    /* The cycle bit makes it the guest's, so it comes last. */
    __atomic_store_n((uint32_t *)(void *)(memory + 12), htole32(event->control | state->cycle), __ATOMIC_RELEASE);
    step(state, &state->segment, &state->index);
    if (state->index == 0 && state->segment <= segment)
        state->cycle ^= 1;
}

/* One place more than the events is kept for the event that says so (xHCI 4.9.4). */
bool event_room(struct xhci *xhci, unsigned interrupter, unsigned count)
{
    struct interrupter_state *state = &xhci->state.interrupters[interrupter];

    return !usable(xhci, state) || places(state, count + 1);
}

bool event_write(struct xhci *xhci, unsigned interrupter, const struct trb *event, bool block_interrupt)
{
    struct interrupter_state *state = &xhci->state.interrupters[interrupter];

    if (!usable(xhci, state))
        return true;
    if (!places(state, 2)) {
        const struct trb full = {.status = (uint32_t)CC_EVENT_RING_FULL << 24, .control = trb_of_type(TRB_HOST_EVENT)};

        if (!state->full && places(state, 1)) {
            put(xhci, state, &full);
            state->interrupt_due = true;
        }
        state->full = true;
        return false;
    }
    put(xhci, state, event);
    if (block_interrupt)
        state->blocked = true;
    else
        state->interrupt_due = true;
    return true;
}

static bool pin_wanted(const struct xhci *xhci)
{
    if (!(xhci->state.command & COMMAND_INTERRUPTS))
        return false;
    for (unsigned n = 0; n < INTERRUPTERS; n++)
        if ((xhci->state.interrupters[n].management & (IMAN_PENDING | IMAN_ENABLE)) == (IMAN_PENDING | IMAN_ENABLE))
            return true;
    return false;
}

void interrupters_update_pin(struct xhci *xhci)
{
    pci_intx_set(&xhci->function, pin_wanted(xhci) && !pci_msix_enabled(&xhci->function));
}

/* A message takes the pending bit with it (xHCI 4.17.3). */
static void send(struct xhci *xhci, unsigned n)
{
    struct interrupter_state *state = &xhci->state.interrupters[n];

    if ((state->management & (IMAN_PENDING | IMAN_ENABLE)) == (IMAN_PENDING | IMAN_ENABLE) &&
        (xhci->state.command & COMMAND_INTERRUPTS) && pci_msix_enabled(&xhci->function)) {
        state->management &= ~IMAN_PENDING;
        pci_msix_fire(&xhci->function, n);
    }
}

/* When the interrupter may announce what waits: 0 when nothing does or the guest is still busy with the last one. */
static int64_t announce_at(struct xhci *xhci, unsigned n, int64_t now)
{
    struct interrupter_state *state = &xhci->state.interrupters[n];

    if (is_empty(state))
        state->interrupt_due = state->blocked = false;
    if (!state->blocked)
        xhci->blocked_ns[n] = 0;
    else if (!xhci->blocked_ns[n])
        xhci->blocked_ns[n] = now + BLOCKED_NS;
    if ((state->dequeue & ERDP_BUSY) || (!state->interrupt_due && !state->blocked))
        return 0;
    return MAX(xhci->announce_ns[n], state->interrupt_due ? 1 : xhci->blocked_ns[n]);
}

void interrupters_announce(struct xhci *xhci)
{
    int64_t now = clock_ns(), next = 0;

    for (unsigned n = 0; n < INTERRUPTERS; n++) {
        struct interrupter_state *state = &xhci->state.interrupters[n];
        int64_t at = announce_at(xhci, n, now);

        if (at > now) {
            next = next ? MIN(next, at) : at;
        } else if (at) {
            state->interrupt_due = state->blocked = false;
            state->management |= IMAN_PENDING;
            state->dequeue |= ERDP_BUSY;
            xhci->state.status |= STATUS_EVENT;
            xhci->announce_ns[n] = now + (int64_t)(state->moderation & 0xFFFF) * MODERATION_NS;
            xhci->blocked_ns[n] = 0;
        }
        send(xhci, n); /* and what was pending while messages or interrupts were off */
    }
    if (next)
        loop_timer_set(xhci->board->loop, &xhci->moderation, next);
    interrupters_update_pin(xhci);
}

uint32_t interrupter_read(const struct xhci *xhci, unsigned interrupter, unsigned offset)
{
    const struct interrupter_state *state = &xhci->state.interrupters[interrupter];

    switch (offset) {
    case IMAN:
        return state->management;
    case IMOD:
        return state->moderation;
    case ERSTSZ:
        return state->table_size;
    case ERSTBA:
        return (uint32_t)state->table;
    case ERSTBA + 4:
        return (uint32_t)(state->table >> 32);
    case ERDP:
        return (uint32_t)state->dequeue;
    case ERDP + 4:
        return (uint32_t)(state->dequeue >> 32);
    default:
        return 0;
    }
}

static void write_dequeue(struct xhci *xhci, struct interrupter_state *state, bool high, uint32_t value)
{
    uint64_t busy = state->dequeue & ERDP_BUSY;

    if (!high) {
        if (value & ERDP_BUSY)
            busy = 0;
        value &= ~ERDP_BUSY;
    }
    state->dequeue = (with_half(state->dequeue, high, value) & ~(uint64_t)ERDP_BUSY) | busy;
    if (state->loaded && state->full && places(state, 2))
        state->full = false;
    /* What came while the guest was busy is announced now. */
    if (!is_empty(state) && !busy && !high)
        state->interrupt_due = state->interrupt_due || !state->blocked;
    if (xhci->stalled)
        xhci_post(xhci);
    interrupters_announce(xhci);
}

void interrupter_write(struct xhci *xhci, unsigned interrupter, unsigned offset, uint32_t value)
{
    struct interrupter_state *state = &xhci->state.interrupters[interrupter];

    switch (offset) {
    case IMAN:
        state->management = (state->management & IMAN_PENDING & ~value) | (value & IMAN_ENABLE);
        send(xhci, interrupter);
        interrupters_update_pin(xhci);
        break;
    case IMOD:
        state->moderation = value;
        break;
    case ERSTSZ:
        state->table_size = value & 0xFFFF;
        break;
    case ERSTBA:
    case ERSTBA + 4:
        state->table = with_half(state->table, offset != ERSTBA, value) & ~UINT64_C(63);
        state->loaded = false;
        break;
    case ERDP:
    case ERDP + 4:
        write_dequeue(xhci, state, offset != ERDP, value);
        break;
    default:
        break;
    }
}
