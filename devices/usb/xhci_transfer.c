/*
 * Transfer rings: a TD is read as a whole, carried out by the device, and reported TRB by TRB (xHCI 4.10, 4.11). A
 * control transfer's stages are one here: it begins when its Status Stage is there.
 */
#include <stdlib.h>

#include "casement/bytes.h"
#include "xhci_private.h"

#define TDS_PER_PASS 32U
#define TD_TRBS 1024U /* at most in one TD */
#define TD_TRBS_FIRST 16U
#define TRB_LENGTH 0x1FFFFU
#define SETUP_BYTES 8U

static struct endpoint_state_block *endpoint_of(struct xhci *xhci, unsigned slot, unsigned index)
{
    return &xhci->state.slots[slot].endpoints[index];
}

static uint8_t address_of(unsigned index)
{
    return (uint8_t)(index == 1 ? 0 : index / 2 | (index & 1 ? USB_IN : 0));
}

struct usb_device *slot_device(const struct xhci *xhci, unsigned slot)
{
    const struct slot_state_block *state = &xhci->state.slots[slot];
    struct usb_device *device;

    if (!state->enabled || state->state == SLOT_ENABLED || !port_enabled(xhci, state->port))
        return NULL;
    device = xhci->devices[state->port];
    return device && device->state.address == state->address ? device : NULL;
}

static struct pipe *pipe_of(struct xhci *xhci, unsigned slot, unsigned index)
{
    struct pipe *pipe = xhci->pipes[slot][index];

    if (pipe)
        return pipe;
    pipe = calloc(1, sizeof *pipe);
    if (pipe)
        pipe->credit = TRANSFER_CREDIT;
    xhci->pipes[slot][index] = pipe;
    return pipe;
}

static bool pipe_grow(struct pipe *pipe)
{
    unsigned room = pipe->room ? 2 * pipe->room : TD_TRBS_FIRST;
    struct td_element *td = realloc(pipe->td, room * sizeof *td);
    struct iovec *iov;

    if (!td)
        return false;
    pipe->td = td;
    iov = realloc(pipe->iov, room * sizeof *iov);
    if (!iov)
        return false;
    pipe->iov = iov;
    pipe->room = room;
    return true;
}

enum stage { STAGE_FIRST, STAGE_SETUP, STAGE_IN_DATA, STAGE_DATA, STAGE_IN_STATUS, STAGE_LAST, STAGE_WRONG };

/* Where a control transfer is with one more TRB. */
static enum stage control_stage(enum stage stage, const struct trb *trb)
{
    unsigned type = trb_type(trb);
    bool chain = trb->control & TRB_CHAIN;

    if (stage == STAGE_FIRST)
        return type == TRB_SETUP ? STAGE_SETUP : type == TRB_NO_OP ? STAGE_LAST : STAGE_WRONG;
    if (stage == STAGE_SETUP && type == TRB_DATA)
        return chain ? STAGE_IN_DATA : STAGE_DATA;
    if (stage == STAGE_IN_DATA && (type == TRB_NORMAL || type == TRB_EVENT_DATA))
        return chain ? STAGE_IN_DATA : STAGE_DATA;
    if ((stage == STAGE_SETUP || stage == STAGE_DATA) && type == TRB_STATUS)
        return chain ? STAGE_IN_STATUS : STAGE_LAST;
    if (stage == STAGE_IN_STATUS && type == TRB_EVENT_DATA)
        return chain ? STAGE_IN_STATUS : STAGE_LAST;
    return STAGE_WRONG;
}

static enum stage data_stage(enum stage stage, const struct trb *trb)
{
    unsigned type = trb_type(trb);

    if (stage == STAGE_FIRST && type == TRB_NO_OP)
        return STAGE_LAST;
    if (type != TRB_NORMAL && type != TRB_ISOCH && type != TRB_EVENT_DATA)
        return STAGE_WRONG;
    return trb->control & TRB_CHAIN ? STAGE_IN_DATA : STAGE_LAST;
}

enum gathered { GATHERED_NOTHING, GATHERED_TD, GATHERED_WRONG };

/* Reads the next TD. Until all of it is there nothing is taken. */
static enum gathered gather(struct xhci *xhci, struct pipe *pipe, const struct trb_ring *from, unsigned index)
{
    enum stage stage = STAGE_FIRST;

    pipe->after = *from;
    for (pipe->count = 0; stage != STAGE_LAST; pipe->count++) {
        struct td_element element;
        int found = trb_ring_next(xhci, &pipe->after, &element.trb, &element.at);

        if (found == 0)
            return GATHERED_NOTHING;
        if (found > 0)
            stage = index == 1 ? control_stage(stage, &element.trb) : data_stage(stage, &element.trb);
        if (found < 0 || stage == STAGE_WRONG || element.trb.status >> 22 >= INTERRUPTERS || pipe->count == TD_TRBS ||
            (pipe->count == pipe->room && !pipe_grow(pipe))) {
            pipe->failed_at = element.at;
            return GATHERED_WRONG;
        }
        pipe->td[pipe->count] = element;
    }
    pipe->credit -= MIN(pipe->credit, pipe->count);
    return GATHERED_TD;
}

static bool carries_data(const struct trb *trb)
{
    unsigned type = trb_type(trb);

    return type == TRB_NORMAL || type == TRB_DATA || type == TRB_ISOCH;
}

/* Turns a TRB's buffer into one that the device reaches; false when it is none. */
static bool add_buffer(const struct xhci *xhci, struct usb_transfer *transfer, struct iovec *iov,
                       struct td_element *element, bool in)
{
    size_t length = element->trb.status & TRB_LENGTH;
    void *at;

    if (trb_type(&element->trb) == TRB_DATA && in != !!(element->trb.control & TRB_DIRECTION_IN))
        return false;
    if (length == 0)
        return true;
    if (element->trb.control & TRB_IMMEDIATE) {
        if (in || length > sizeof element->trb.parameter)
            return false;
        put_le64(&element->trb.parameter, element->trb.parameter);
        at = &element->trb.parameter;
    } else {
        at = memory_at(xhci->board->memory, element->trb.parameter, length);
    }
    if (!at)
        return false;
    iov[transfer->iov_count++] = (struct iovec){.iov_base = at, .iov_len = length};
    transfer->length += length;
    return true;
}

static bool parse_setup(const struct trb *trb, struct usb_setup *setup)
{
    uint64_t bytes = trb->parameter;

    if (!(trb->control & TRB_IMMEDIATE) || (trb->status & TRB_LENGTH) != SETUP_BYTES)
        return false;
    *setup = (struct usb_setup){.type = (uint8_t)bytes,
                                .request = (uint8_t)(bytes >> 8),
                                .value = (uint16_t)(bytes >> 16),
                                .index = (uint16_t)(bytes >> 32),
                                .length = (uint16_t)(bytes >> 48)};
    return true;
}

/* The transfer that the TD asks for; false when one of its TRBs makes no sense. */
static bool prepare(const struct xhci *xhci, struct pipe *pipe, struct usb_device *device, unsigned index)
{
    struct usb_transfer *transfer = &pipe->transfer;
    bool in = index & 1;

    *transfer = (struct usb_transfer){.endpoint = address_of(index), .iov = pipe->iov, .device = device};
    pipe->failed_at = pipe->td[0].at;
    if (trb_type(&pipe->td[0].trb) == TRB_SETUP) {
        if (!parse_setup(&pipe->td[0].trb, &transfer->setup))
            return false;
        in = transfer->setup.type & USB_IN;
    }
    for (unsigned n = 0; n < pipe->count; n++)
        if (carries_data(&pipe->td[n].trb) && !add_buffer(xhci, transfer, pipe->iov, &pipe->td[n], in)) {
            pipe->failed_at = pipe->td[n].at;
            return false;
        }
    return true;
}

static void finish(struct pipe *pipe, enum completion code)
{
    pipe->phase = PIPE_REPORTING;
    pipe->code = code;
    pipe->reported = 0;
    pipe->left = MIN(pipe->transfer.actual, pipe->transfer.length);
    pipe->accumulated = 0;
    pipe->short_seen = false;
}

/* A failure that has no TD, but a place. */
static void finish_at(struct pipe *pipe, enum completion code)
{
    pipe->count = 0;
    pipe->transfer = (struct usb_transfer){0};
    finish(pipe, code);
}

static void take_status(struct pipe *pipe, enum usb_status status, unsigned index)
{
    switch (status) {
    case USB_DONE:
        finish(pipe, CC_SUCCESS);
        break;
    case USB_STALL:
        if (index > 1)
            pipe->transfer.device->state.halted |= 1U << index;
        finish(pipe, CC_STALL);
        break;
    case USB_NAK:
        pipe->phase = PIPE_WAITING;
        break;
    case USB_PENDING:
        pipe->phase = PIPE_HELD;
        break;
    default:
        finish(pipe, CC_TRANSACTION_ERROR);
    }
}

/* A No Op, or Event Data alone: nothing of it goes to the device. */
static bool is_without_transfer(const struct pipe *pipe, unsigned index)
{
    for (unsigned n = 0; n < pipe->count; n++)
        if (carries_data(&pipe->td[n].trb) || (index == 1 && trb_type(&pipe->td[n].trb) == TRB_SETUP))
            return false;
    return true;
}

static void submit(struct pipe *pipe, unsigned index)
{
    struct usb_device *device = pipe->transfer.device;
    enum usb_status status = USB_DONE;

    pipe->transfer.actual = 0;
    atomic_store(&pipe->transfer.completed, false);
    if (is_without_transfer(pipe, index))
        status = USB_DONE;
    else if (index == 1)
        status = usb_control(device, &pipe->transfer);
    else if (device->state.halted >> index & 1)
        status = USB_STALL;
    else if (device->state.configuration)
        status = device->ops->data(device, &pipe->transfer);
    else
        status = USB_FAILED;
    take_status(pipe, status, index);
}

static bool write_event(struct xhci *xhci, unsigned slot, unsigned index, const struct td_element *element,
                        enum completion code, uint32_t length)
{
    const struct trb *trb = &element->trb;
    bool is_data = trb_type(trb) == TRB_EVENT_DATA;
    const struct trb event = {.parameter = is_data ? trb->parameter : element->at,
                              .status = (uint32_t)code << 24 | length,
                              .control = trb_of_type(TRB_TRANSFER_EVENT) | (is_data ? TRB_EVENT_IS_DATA : 0) |
                                         slot << 24 | index << 16};

    return event_write(xhci, trb->status >> 22, &event, trb->control & TRB_BLOCK_INTERRUPT);
}

/* Where the failure shows: the first buffer that was not used up, else the last TRB. */
static bool is_where_it_failed(const struct pipe *pipe, unsigned n, size_t left, uint32_t missing)
{
    return n == pipe->count - 1 || (carries_data(&pipe->td[n].trb) && left == 0 && missing) ||
           (trb_type(&pipe->td[n].trb) == TRB_STATUS);
}

/* Reports one TRB of the TD; false when its event has no room. *last: nothing of the TD comes after it. */
static bool report_one(struct xhci *xhci, unsigned slot, unsigned index, struct pipe *pipe, bool *last)
{
    const struct td_element *element = &pipe->td[pipe->reported];
    const struct trb *trb = &element->trb;
    uint32_t length = carries_data(trb) ? trb->status & TRB_LENGTH : 0;
    uint32_t moved = (uint32_t)MIN(length, pipe->left), missing = length - moved;
    uint32_t accumulated = (pipe->accumulated + moved) & 0xFFFFFF;
    bool is_short = trb_type(trb) != TRB_STATUS && (pipe->short_seen || missing);
    bool fails = pipe->code != CC_SUCCESS && is_where_it_failed(pipe, pipe->reported, pipe->left - moved, missing);
    bool wanted =
        (trb->control & TRB_INTERRUPTS) || (missing && !pipe->short_seen && (trb->control & TRB_SHORT_INTERRUPTS));
    enum completion code = fails ? pipe->code : is_short ? CC_SHORT_PACKET : CC_SUCCESS;
    bool is_data = trb_type(trb) == TRB_EVENT_DATA;
    /* Until the failure, what went before it went well. */
    if (pipe->code != CC_SUCCESS && !fails)
        wanted = wanted && !missing;
    if ((fails || wanted) && !write_event(xhci, slot, index, element, code, is_data ? accumulated : missing))
        return false;
    pipe->left -= moved;
    pipe->accumulated = is_data ? 0 : accumulated;
    pipe->short_seen = is_short;
    pipe->reported++;
    *last = fails || pipe->reported == pipe->count;
    return true;
}

static void endpoint_ends(struct xhci *xhci, unsigned slot, unsigned index, enum endpoint_state state)
{
    endpoint_of(xhci, slot, index)->state = (uint8_t)state;
    endpoint_write_back(xhci, slot, index);
    endpoint_cancel(xhci, slot, index);
}

/* All that is due about the TD; false when something waits for room. */
static bool report(struct xhci *xhci, unsigned slot, unsigned index, struct pipe *pipe)
{
    bool last = false;

    if (pipe->count == 0) {
        const struct td_element none = {.at = pipe->failed_at};

        if (!write_event(xhci, slot, index, &none, pipe->code, 0))
            return false;
    }
    while (pipe->count && !last)
        if (!report_one(xhci, slot, index, pipe, &last))
            return false;
    pipe->phase = PIPE_IDLE;
    if (pipe->code == CC_SUCCESS)
        endpoint_of(xhci, slot, index)->ring = pipe->after;
    else
        endpoint_ends(xhci, slot, index, pipe->code == CC_TRB_ERROR ? EP_ERROR : EP_HALTED);
    return true;
}

/* Reads and begins the next TD; false when there is none. */
static bool begin(struct xhci *xhci, unsigned slot, unsigned index, struct pipe *pipe)
{
    struct usb_device *device = slot_device(xhci, slot);
    const struct trb_ring *ring = &endpoint_of(xhci, slot, index)->ring;

    if (!pipe->credit)
        return false;
    if (!device) {
        struct trb_ring copy = *ring;
        struct trb trb;
        int found = trb_ring_next(xhci, &copy, &trb, &pipe->failed_at);

        if (found != 0)
            finish_at(pipe, found < 0 ? CC_TRB_ERROR : CC_TRANSACTION_ERROR);
        return found != 0;
    }
    switch (gather(xhci, pipe, ring, index)) {
    case GATHERED_NOTHING:
        return false;
    case GATHERED_WRONG:
        finish_at(pipe, CC_TRB_ERROR);
        return true;
    default:
        if (prepare(xhci, pipe, device, index))
            submit(pipe, index);
        else
            finish_at(pipe, CC_TRB_ERROR);
        return true;
    }
}

/* What a device has ended meanwhile is taken from it. */
static void collect(struct pipe *pipe, unsigned index)
{
    if (pipe->phase == PIPE_HELD && atomic_load(&pipe->transfer.completed))
        take_status(pipe, pipe->transfer.status, index);
}

enum pass endpoint_run(struct xhci *xhci, unsigned slot, unsigned index)
{
    struct pipe *pipe;

    if (endpoint_of(xhci, slot, index)->state != EP_RUNNING)
        return PASS_DONE;
    pipe = pipe_of(xhci, slot, index);
    if (!pipe)
        return PASS_DONE;
    if (pipe->phase == PIPE_WAITING)
        submit(pipe, index);
    for (unsigned n = 0; n < TDS_PER_PASS; n++) {
        collect(pipe, index);
        if (pipe->phase == PIPE_REPORTING && !report(xhci, slot, index, pipe))
            return PASS_STALLED;
        if (pipe->phase != PIPE_IDLE || endpoint_of(xhci, slot, index)->state != EP_RUNNING ||
            !begin(xhci, slot, index, pipe))
            return PASS_DONE;
    }
    return PASS_MORE;
}

void endpoint_doorbell(struct xhci *xhci, unsigned slot, unsigned index)
{
    struct endpoint_state_block *endpoint = endpoint_of(xhci, slot, index);

    if (endpoint->state == EP_STOPPED) {
        endpoint->state = EP_RUNNING;
        endpoint_write_back(xhci, slot, index);
    }
    if (endpoint->state != EP_RUNNING)
        return;
    if (xhci->pipes[slot][index])
        xhci->pipes[slot][index]->credit = TRANSFER_CREDIT;
    xhci->kicked[slot] |= 1U << index;
}

bool endpoint_report(struct xhci *xhci, unsigned slot, unsigned index)
{
    struct pipe *pipe = xhci->pipes[slot][index];

    if (!pipe)
        return true;
    collect(pipe, index);
    return pipe->phase != PIPE_REPORTING || report(xhci, slot, index, pipe);
}

unsigned endpoint_interrupter(const struct xhci *xhci, unsigned slot, unsigned index)
{
    const struct pipe *pipe = xhci->pipes[slot][index];

    return pipe && pipe->phase != PIPE_IDLE && pipe->count ? pipe->td[0].trb.status >> 22 : 0;
}

static void take_back(struct pipe *pipe)
{
    struct usb_device *device = pipe->transfer.device;

    if (pipe->phase == PIPE_HELD && device->ops->cancel)
        device->ops->cancel(device, &pipe->transfer);
    if (pipe->phase == PIPE_HELD || pipe->phase == PIPE_WAITING)
        pipe->phase = PIPE_IDLE;
}

void endpoint_cancel(struct xhci *xhci, unsigned slot, unsigned index)
{
    struct pipe *pipe = xhci->pipes[slot][index];
    struct usb_device *device = pipe && index > 1 ? slot_device(xhci, slot) : NULL;

    if (pipe)
        take_back(pipe);
    if (device && device->ops->stopped)
        device->ops->stopped(device, address_of(index));
}

void endpoint_stop(struct xhci *xhci, unsigned slot, unsigned index)
{
    const struct pipe *pipe = xhci->pipes[slot][index];
    bool in_progress = pipe && (pipe->phase == PIPE_HELD || pipe->phase == PIPE_WAITING);

    endpoint_ends(xhci, slot, index, EP_STOPPED);
    if (in_progress)
        write_event(xhci, slot, index, &pipe->td[0], CC_STOPPED, pipe->td[0].trb.status & TRB_LENGTH);
}

void endpoint_lost(struct xhci *xhci, unsigned slot, unsigned index)
{
    struct pipe *pipe = xhci->pipes[slot][index];

    if (!pipe || (pipe->phase != PIPE_HELD && pipe->phase != PIPE_WAITING))
        return;
    take_back(pipe);
    finish(pipe, CC_TRANSACTION_ERROR);
    xhci->kicked[slot] |= 1U << index;
}

void endpoint_free(struct xhci *xhci, unsigned slot, unsigned index)
{
    struct pipe *pipe = xhci->pipes[slot][index];

    if (!pipe)
        return;
    endpoint_cancel(xhci, slot, index);
    free(pipe->td);
    free(pipe->iov);
    free(pipe);
    xhci->pipes[slot][index] = NULL;
}
