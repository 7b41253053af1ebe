/* Device slots and their contexts: what the guest asks for in an input context, checked as a whole before anything of
 * it happens, and what the controller writes into the device context (xHCI 4.5, 6.2). */
#include <errno.h>

#include "casement/bytes.h"
#include "xhci_private.h"

#define FLAG_SLOT 1U
#define FLAG_CONTROL 2U

/* An input control context's flags, and where the contexts are that follow it. */
struct input_context {
    uint64_t at;
    uint32_t drop, add;
};

static int read_input(const struct xhci *xhci, uint64_t at, struct input_context *input)
{
    uint8_t flags[8];
    int failed = memory_read(xhci->board->memory, at, flags, sizeof flags);

    *input = (struct input_context){.at = at, .drop = get_le32(flags), .add = get_le32(flags + 4)};
    return failed;
}

/* The context of a device context index: 0 is the slot's. */
static int read_context(const struct xhci *xhci, const struct input_context *input, unsigned index,
                        uint8_t context[CONTEXT_BYTES])
{
    return memory_read(xhci->board->memory, input->at + (uint64_t)(index + 1) * CONTEXT_BYTES, context, CONTEXT_BYTES);
}

static void write_context(struct xhci *xhci, unsigned slot, unsigned index, const uint8_t context[CONTEXT_BYTES])
{
    uint64_t at = xhci->state.slots[slot].context;

    if (at && memory_write(xhci->board->memory, at + (uint64_t)index * CONTEXT_BYTES, context, CONTEXT_BYTES) < 0)
        xhci_fail(xhci, STATUS_SYSTEM_ERROR, "a device context is outside memory");
}

/* Of the device context as it is; zeroes where there is none. */
static void read_back(const struct xhci *xhci, unsigned slot, unsigned index, uint8_t context[CONTEXT_BYTES])
{
    uint64_t at = xhci->state.slots[slot].context;

    if (!at || memory_read(xhci->board->memory, at + (uint64_t)index * CONTEXT_BYTES, context, CONTEXT_BYTES) < 0)
        memset(context, 0, CONTEXT_BYTES);
}

static void put_slot_state(const struct slot_state_block *slot, uint8_t context[CONTEXT_BYTES])
{
    put_le32(context + 12, slot->address | (uint32_t)slot->state << 27);
}

static void put_endpoint_state(const struct endpoint_state_block *endpoint, uint8_t context[CONTEXT_BYTES])
{
    context[0] = (uint8_t)((context[0] & ~7U) | endpoint->state);
    put_le64(context + 8, endpoint->ring.dequeue | endpoint->ring.cycle);
}

void slot_write_back(struct xhci *xhci, unsigned slot)
{
    uint8_t context[CONTEXT_BYTES];

    read_back(xhci, slot, 0, context);
    put_slot_state(&xhci->state.slots[slot], context);
    write_context(xhci, slot, 0, context);
}

void endpoint_write_back(struct xhci *xhci, unsigned slot, unsigned index)
{
    uint8_t context[CONTEXT_BYTES];

    read_back(xhci, slot, index, context);
    put_endpoint_state(&xhci->state.slots[slot].endpoints[index], context);
    write_context(xhci, slot, index, context);
}

static void endpoint_disable(struct xhci *xhci, unsigned slot, unsigned index)
{
    if (xhci->state.slots[slot].endpoints[index].state == EP_DISABLED)
        return;
    endpoint_free(xhci, slot, index);
    xhci->state.slots[slot].endpoints[index] = (struct endpoint_state_block){.state = EP_DISABLED};
    endpoint_write_back(xhci, slot, index);
}

void slot_disable(struct xhci *xhci, unsigned slot)
{
    for (unsigned index = 1; index < ENDPOINTS; index++)
        endpoint_disable(xhci, slot, index);
    xhci->state.slots[slot].state = SLOT_ENABLED;
    xhci->state.slots[slot].address = 0;
    slot_write_back(xhci, slot);
    xhci->state.slots[slot] = (struct slot_state_block){0};
    xhci->kicked[slot] = 0;
}

/* What the endpoint will be; streams are not offered (xHCI 6.2.3). */
static enum completion parse_endpoint(unsigned index, const uint8_t context[CONTEXT_BYTES],
                                      struct endpoint_state_block *endpoint)
{
    uint64_t dequeue = get_le64(context + 8);
    unsigned type = context[4] >> 3 & 7;
    bool in = type > EP_CONTROL;

    if (type == 0 || (type == EP_CONTROL) != (index == 1) || (index > 1 && in != (index & 1)))
        return CC_PARAMETER_ERROR;
    if (get_le16(context + 6) == 0 || (context[1] >> 2 & 0x1F) != 0)
        return CC_PARAMETER_ERROR;
    *endpoint = (struct endpoint_state_block){
        .state = EP_RUNNING,
        .type = (uint8_t)type,
        .ring = {.dequeue = dequeue & ~UINT64_C(15), .cycle = dequeue & TRB_CYCLE},
    };
    return CC_SUCCESS;
}

static void endpoint_enable(struct xhci *xhci, unsigned slot, unsigned index,
                            const struct endpoint_state_block *endpoint, uint8_t context[CONTEXT_BYTES])
{
    xhci->state.slots[slot].endpoints[index] = *endpoint;
    put_endpoint_state(endpoint, context);
    write_context(xhci, slot, index, context);
}

static bool interrupter_exists(const uint8_t slot_context[CONTEXT_BYTES])
{
    return get_le32(slot_context + 8) >> 22 < INTERRUPTERS;
}

/* Devices are addressed through one slot each. */
static bool port_taken(const struct xhci *xhci, unsigned port, unsigned but_slot)
{
    for (unsigned slot = 1; slot <= SLOTS; slot++)
        if (slot != but_slot && xhci->state.slots[slot].enabled && xhci->state.slots[slot].state != SLOT_ENABLED &&
            xhci->state.slots[slot].port == port)
            return true;
    return false;
}

/* Where the guest wants the device context. */
static int find_context(const struct xhci *xhci, unsigned slot, uint64_t *at)
{
    uint8_t entry[8];

    if (memory_read(xhci->board->memory, xhci->state.context_array + (uint64_t)slot * 8, entry, sizeof entry) < 0)
        return -EFAULT;
    *at = get_le64(entry) & ~UINT64_C(63);
    return *at && memory_at(xhci->board->memory, *at, UINT64_C(2) * CONTEXT_BYTES) ? 0 : -EFAULT;
}

enum completion address_device(struct xhci *xhci, unsigned slot, uint64_t input_at, bool block)
{
    struct slot_state_block *state = &xhci->state.slots[slot];
    uint8_t slot_context[CONTEXT_BYTES], control[CONTEXT_BYTES];
    struct endpoint_state_block endpoint;
    struct input_context input;
    struct usb_device *device;
    uint64_t context;
    unsigned port;

    if (state->state != SLOT_ENABLED && (block || state->state != SLOT_DEFAULT))
        return CC_CONTEXT_STATE;
    if (read_input(xhci, input_at, &input) < 0 || input.drop || (input.add & 3) != (FLAG_SLOT | FLAG_CONTROL) ||
        read_context(xhci, &input, 0, slot_context) < 0 || read_context(xhci, &input, 1, control) < 0 ||
        find_context(xhci, slot, &context) < 0)
        return CC_PARAMETER_ERROR;
    port = slot_context[6];
    if (port == 0 || port > PORTS || !interrupter_exists(slot_context) || port_taken(xhci, port, slot) ||
        parse_endpoint(1, control, &endpoint) != CC_SUCCESS)
        return CC_PARAMETER_ERROR;
    device = port_enabled(xhci, port) ? xhci->devices[port] : NULL;
    /* No hub is there to have a route, and who has an address already does not answer at 0. */
    if (!block && (!device || (get_le32(slot_context) & 0xFFFFF) || device->state.address))
        return CC_TRANSACTION_ERROR;
    endpoint_free(xhci, slot, 1);
    state->context = context;
    state->port = (uint8_t)port;
    state->state = block ? SLOT_DEFAULT : SLOT_ADDRESSED;
    state->address = block ? 0 : (uint8_t)slot;
    if (!block)
        device->state.address = state->address;
    put_slot_state(state, slot_context);
    write_context(xhci, slot, 0, slot_context);
    endpoint_enable(xhci, slot, 1, &endpoint, control);
    return CC_SUCCESS;
}

static enum completion deconfigure(struct xhci *xhci, unsigned slot)
{
    struct slot_state_block *state = &xhci->state.slots[slot];

    for (unsigned index = 2; index < ENDPOINTS; index++)
        endpoint_disable(xhci, slot, index);
    state->state = SLOT_ADDRESSED;
    slot_write_back(xhci, slot);
    return CC_SUCCESS;
}

/* Context Entries: the last endpoint that is there (xHCI 4.6.6). */
static void write_entries(struct xhci *xhci, unsigned slot)
{
    uint8_t context[CONTEXT_BYTES];
    unsigned last = 1;

    for (unsigned index = 2; index < ENDPOINTS; index++)
        if (xhci->state.slots[slot].endpoints[index].state != EP_DISABLED)
            last = index;
    read_back(xhci, slot, 0, context);
    context[3] = (uint8_t)((context[3] & 7) | last << 3);
    put_slot_state(&xhci->state.slots[slot], context);
    write_context(xhci, slot, 0, context);
}

enum completion configure_endpoint(struct xhci *xhci, unsigned slot, uint64_t input_at, bool deconfigured)
{
    struct slot_state_block *state = &xhci->state.slots[slot];
    struct endpoint_state_block added[ENDPOINTS];
    uint8_t contexts[ENDPOINTS][CONTEXT_BYTES];
    struct input_context input;
    bool any = false;

    if (state->state != SLOT_ADDRESSED && state->state != SLOT_CONFIGURED)
        return CC_CONTEXT_STATE;
    if (deconfigured)
        return deconfigure(xhci, slot);
    if (read_input(xhci, input_at, &input) < 0 || (input.drop & 3) || (input.add & FLAG_CONTROL))
        return CC_PARAMETER_ERROR;
    for (unsigned index = 2; index < ENDPOINTS; index++) {
        if (!(input.add >> index & 1))
            continue;
        if (read_context(xhci, &input, index, contexts[index]) < 0 ||
            !memory_at(xhci->board->memory, state->context, (uint64_t)(index + 1) * CONTEXT_BYTES) ||
            parse_endpoint(index, contexts[index], &added[index]) != CC_SUCCESS)
            return CC_PARAMETER_ERROR;
    }
    for (unsigned index = 2; index < ENDPOINTS; index++) {
        if ((input.drop | input.add) >> index & 1)
            endpoint_disable(xhci, slot, index);
        if (input.add >> index & 1)
            endpoint_enable(xhci, slot, index, &added[index], contexts[index]);
        any |= state->endpoints[index].state != EP_DISABLED;
    }
    state->state = any ? SLOT_CONFIGURED : SLOT_ADDRESSED;
    write_entries(xhci, slot);
    return CC_SUCCESS;
}

enum completion evaluate_context(struct xhci *xhci, unsigned slot, uint64_t input_at)
{
    uint8_t slot_context[CONTEXT_BYTES], control[CONTEXT_BYTES], context[CONTEXT_BYTES];
    struct input_context input;

    if (xhci->state.slots[slot].state == SLOT_ENABLED)
        return CC_CONTEXT_STATE;
    if (read_input(xhci, input_at, &input) < 0 || input.drop || read_context(xhci, &input, 0, slot_context) < 0 ||
        read_context(xhci, &input, 1, control) < 0)
        return CC_PARAMETER_ERROR;
    if (((input.add & FLAG_SLOT) && !interrupter_exists(slot_context)) ||
        ((input.add & FLAG_CONTROL) && get_le16(control + 6) == 0))
        return CC_PARAMETER_ERROR;
    if (input.add & FLAG_SLOT) { /* maximum exit latency, interrupter (xHCI 6.2.2.3) */
        read_back(xhci, slot, 0, context);
        memcpy(context + 4, slot_context + 4, 2);
        put_le32(context + 8, (get_le32(context + 8) & 0x3FFFFF) | (get_le32(slot_context + 8) & 0xFFC00000));
        write_context(xhci, slot, 0, context);
    }
    if (input.add & FLAG_CONTROL) { /* maximum packet size (xHCI 6.2.3.3) */
        read_back(xhci, slot, 1, context);
        memcpy(context + 6, control + 6, 2);
        write_context(xhci, slot, 1, context);
    }
    return CC_SUCCESS;
}

/* The port's reset has come before: only the slot follows (xHCI 4.6.11). */
enum completion reset_device(struct xhci *xhci, unsigned slot)
{
    struct slot_state_block *state = &xhci->state.slots[slot];

    if (state->state != SLOT_ADDRESSED && state->state != SLOT_CONFIGURED)
        return CC_CONTEXT_STATE;
    endpoint_cancel(xhci, slot, 1);
    for (unsigned index = 2; index < ENDPOINTS; index++)
        endpoint_disable(xhci, slot, index);
    state->state = SLOT_DEFAULT;
    state->address = 0;
    write_entries(xhci, slot);
    return CC_SUCCESS;
}
