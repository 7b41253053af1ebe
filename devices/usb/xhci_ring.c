/* Reading TRBs from the rings that the guest writes (xHCI 4.9.2). */
#include <errno.h>

#include "casement/bytes.h"
#include "xhci_private.h"

/* More links in a row than this lead nowhere: a segment without a TRB makes no sense. */
#define LINKS 8U

/* The control word decides whether the rest is the guest's word yet, so it is read first. */
static int read_trb(const struct xhci *xhci, uint64_t at, uint8_t cycle, struct trb *trb)
{
    const uint8_t *memory = memory_at(xhci->board->memory, at, TRB_BYTES);
    uint32_t control;

    if (!memory)
        return -EFAULT;
    control = le32toh(__atomic_load_n((const uint32_t *)(const void *)(memory + 12), __ATOMIC_ACQUIRE));
    if ((control & TRB_CYCLE) != cycle)
        return 0;
    *trb = (struct trb){.parameter = get_le64(memory), .status = get_le32(memory + 8), .control = control};
    return 1;
}

int trb_ring_next(struct xhci *xhci, struct trb_ring *ring, struct trb *trb, uint64_t *at)
{
    for (unsigned links = 0; links <= LINKS; links++) {
        int found;

        *at = ring->dequeue;
        found = read_trb(xhci, ring->dequeue, ring->cycle, trb);
        if (found <= 0)
            return found;
        if (trb_type(trb) != TRB_LINK) {
            ring->dequeue += TRB_BYTES;
            return 1;
        }
        ring->dequeue = trb->parameter & ~UINT64_C(15);
        if (trb->control & TRB_TOGGLE)
            ring->cycle ^= 1;
    }
    return -ELOOP;
}
