/* The command ring (xHCI 4.6). */
#include "casement/bytes.h"
#include "xhci_private.h"

#define COMMANDS_PER_PASS 64U

static enum completion enable_slot(struct xhci *xhci, unsigned *slot)
{
    unsigned last = MIN(xhci->state.config & 0xFF, SLOTS);

    for (unsigned n = 1; n <= last; n++)
        if (!xhci->state.slots[n].enabled) {
            xhci->state.slots[n] = (struct slot_state_block){.enabled = true};
            *slot = n;
            return CC_SUCCESS;
        }
    return CC_NO_SLOTS;
}

/* The endpoint in one of these states, or an error. */
static enum completion expect(const struct xhci *xhci, unsigned slot, unsigned index, unsigned states)
{
    unsigned state;

    if (index == 0 || index >= ENDPOINTS)
        return CC_TRB_ERROR;
    state = xhci->state.slots[slot].endpoints[index].state;
    if (state == EP_DISABLED)
        return CC_ENDPOINT_NOT_ENABLED;
    return states >> state & 1 ? CC_SUCCESS : CC_CONTEXT_STATE;
}

static enum completion reset_endpoint(struct xhci *xhci, unsigned slot, unsigned index)
{
    enum completion code = expect(xhci, slot, index, 1U << EP_HALTED);

    if (code == CC_SUCCESS) {
        xhci->state.slots[slot].endpoints[index].state = EP_STOPPED;
        endpoint_write_back(xhci, slot, index);
    }
    return code;
}

static enum completion stop_endpoint(struct xhci *xhci, unsigned slot, unsigned index)
{
    enum completion code = expect(xhci, slot, index, 1U << EP_RUNNING);

    if (code == CC_SUCCESS)
        endpoint_stop(xhci, slot, index);
    return code;
}

static enum completion set_dequeue(struct xhci *xhci, unsigned slot, unsigned index, uint64_t pointer)
{
    enum completion code = expect(xhci, slot, index, 1U << EP_STOPPED | 1U << EP_ERROR);
    struct endpoint_state_block *endpoint;

    if (code != CC_SUCCESS)
        return code;
    endpoint = &xhci->state.slots[slot].endpoints[index];
    endpoint_cancel(xhci, slot, index);
    endpoint->ring = (struct trb_ring){.dequeue = pointer & ~UINT64_C(15), .cycle = pointer & TRB_CYCLE};
    endpoint->state = EP_STOPPED;
    endpoint_write_back(xhci, slot, index);
    return CC_SUCCESS;
}

/* What is left of each port's bandwidth, in per cent: all that periodic transfers may have (xHCI 4.6.15). */
static enum completion port_bandwidth(struct xhci *xhci, uint64_t context)
{
    uint8_t left[PORTS + 1] = {0};

    for (unsigned port = 1; port <= PORTS; port++)
        left[port] = port <= USB2_PORTS ? 80 : 90;
    return memory_write(xhci->board->memory, context & ~UINT64_C(15), left, sizeof left) < 0 ? CC_TRB_ERROR
                                                                                             : CC_SUCCESS;
}

static enum completion run_on_slot(struct xhci *xhci, const struct trb *trb, unsigned slot)
{
    unsigned index = trb->control >> 16 & 0x1F;
    bool flag = trb->control & TRB_BLOCK_ADDRESS;

    if (slot == 0 || slot > SLOTS)
        return CC_TRB_ERROR;
    if (!xhci->state.slots[slot].enabled)
        return CC_SLOT_NOT_ENABLED;
    switch (trb_type(trb)) {
    case TRB_DISABLE_SLOT:
        slot_disable(xhci, slot);
        return CC_SUCCESS;
    case TRB_ADDRESS_DEVICE:
        return address_device(xhci, slot, trb->parameter & ~UINT64_C(15), flag);
    case TRB_CONFIGURE_ENDPOINT:
        return configure_endpoint(xhci, slot, trb->parameter & ~UINT64_C(15), flag);
    case TRB_EVALUATE_CONTEXT:
        return evaluate_context(xhci, slot, trb->parameter & ~UINT64_C(15));
    case TRB_RESET_ENDPOINT:
        return reset_endpoint(xhci, slot, index);
    case TRB_STOP_ENDPOINT:
        return stop_endpoint(xhci, slot, index);
    case TRB_SET_DEQUEUE:
        return set_dequeue(xhci, slot, index, trb->parameter);
    case TRB_RESET_DEVICE:
        return reset_device(xhci, slot);
    default:
        return CC_TRB_ERROR;
    }
}

static enum completion run(struct xhci *xhci, const struct trb *trb, unsigned *slot)
{
    switch (trb_type(trb)) {
    case TRB_NO_OP_COMMAND:
        return CC_SUCCESS;
    case TRB_ENABLE_SLOT:
        return enable_slot(xhci, slot);
    case TRB_PORT_BANDWIDTH:
        return port_bandwidth(xhci, trb->parameter);
    default:
        return run_on_slot(xhci, trb, *slot);
    }
}

static bool write_completion(struct xhci *xhci, uint64_t at, enum completion code, unsigned slot)
{
    const struct trb event = {
        .parameter = at, .status = (uint32_t)code << 24, .control = trb_of_type(TRB_COMMAND_EVENT) | slot << 24};

    return event_write(xhci, 0, &event, false);
}

/* Whether the events that the command can cause have room, so that it can be carried out as a whole. */
static bool has_room(struct xhci *xhci, const struct trb *trb)
{
    unsigned slot = trb->control >> 24, index = trb->control >> 16 & 0x1F;

    if (trb_type(trb) != TRB_STOP_ENDPOINT || slot == 0 || slot > SLOTS || index == 0)
        return event_room(xhci, 0, 1);
    return endpoint_report(xhci, slot, index) && event_room(xhci, 0, 2) &&
           event_room(xhci, endpoint_interrupter(xhci, slot, index), 2);
}

/* One command; false when there is none, or no room for what it says. */
static bool command_run(struct xhci *xhci)
{
    struct trb_ring ring = xhci->state.commands;
    struct trb trb;
    uint64_t at = 0;
    unsigned slot;
    int found = trb_ring_next(xhci, &ring, &trb, &at);

    if (found < 0)
        xhci_fail(xhci, STATUS_CONTROLLER_ERROR, "the command ring leads outside memory or nowhere");
    if (found <= 0)
        return false;
    if (!has_room(xhci, &trb)) {
        /* The guest gets to know, as with any event that has no room. */
        const struct trb none = {.control = trb_of_type(TRB_COMMAND_EVENT)};

        if (!event_room(xhci, 0, 1))
            event_write(xhci, 0, &none, false);
        xhci->stalled = xhci_runs(xhci);
        return false;
    }
    if (!xhci_runs(xhci)) /* the event ring was none */
        return false;
    xhci->state.commands = ring;
    xhci->command_credit--;
    slot = trb.control >> 24;
    enum completion code = run(xhci, &trb, &slot);

    write_completion(xhci, at, code, slot);
    return xhci_runs(xhci);
}

static bool report_stop(struct xhci *xhci)
{
    if (!xhci->state.command_stopped)
        return true;
    if (!write_completion(xhci, xhci->state.commands.dequeue, CC_COMMAND_RING_STOPPED, 0))
        return false;
    xhci->state.command_stopped = false;
    return true;
}

bool commands_run(struct xhci *xhci)
{
    if (!report_stop(xhci)) {
        xhci->stalled = true;
        return true;
    }
    if (!xhci->commands_kicked || !xhci->state.command_running)
        return true;
    for (unsigned n = 0; n < COMMANDS_PER_PASS; n++)
        if (!xhci->command_credit || !command_run(xhci)) {
            xhci->commands_kicked = xhci->stalled;
            return true;
        }
    return false;
}

/* A command is never half done, so stop and abort are one (xHCI 4.6.1.1, 4.6.1.2). */
void commands_stop(struct xhci *xhci)
{
    xhci->state.command_running = false;
    xhci->state.command_stopped = true;
    xhci->commands_kicked = false;
    xhci_post(xhci);
}
