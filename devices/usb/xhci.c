/* An xHCI controller: its PCI function, its life, and the work that the board's loop does for it (platform contract
 * 6.4). */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "xhci_private.h"

#define MICROFRAMES_WRAP_NS (INT64_C(0x4000) * 125000)

void xhci_post(struct xhci *xhci)
{
    loop_post(xhci->board->loop, &xhci->work);
}

/* A register of bits that any thread sets: what devices have to say since the last look. */
static void collect_ready(struct xhci *xhci)
{
    for (unsigned port = 1; port <= PORTS; port++) {
        struct usb_device *device = xhci->devices[port];
        uint32_t ready = device ? atomic_exchange(&device->ready, 0) : 0;

        for (unsigned slot = 1; ready && slot <= SLOTS; slot++)
            if (xhci->state.slots[slot].enabled && xhci->state.slots[slot].port == port)
                xhci->kicked[slot] |= ready;
    }
}

static bool run_endpoints(struct xhci *xhci)
{
    bool done = true;

    for (unsigned slot = 1; slot <= SLOTS; slot++) {
        uint32_t kicked = xhci->kicked[slot];

        xhci->kicked[slot] = 0;
        for (unsigned index = 1; kicked >> index; index++) {
            enum pass pass = kicked >> index & 1 ? endpoint_run(xhci, slot, index) : PASS_DONE;

            if (pass != PASS_DONE)
                xhci->kicked[slot] |= 1U << index;
            done &= pass != PASS_MORE;
            xhci->stalled |= pass == PASS_STALLED;
            if (index == ENDPOINTS - 1)
                break;
        }
    }
    return done;
}

/* One pass over all that waits, on the loop's thread. */
static void work(void *opaque)
{
    struct xhci *xhci = opaque;
    bool done = true;

    pthread_mutex_lock(&xhci->lock);
    if (xhci_runs(xhci)) {
        xhci->stalled = false;
        xhci->stalled |= !ports_report(xhci);
        done &= commands_run(xhci);
        collect_ready(xhci);
        if (xhci_runs(xhci))
            done &= run_endpoints(xhci);
        interrupters_announce(xhci);
    }
    if (!done)
        xhci_post(xhci);
    pthread_mutex_unlock(&xhci->lock);
}

static void moderation_expired(void *opaque)
{
    struct xhci *xhci = opaque;

    pthread_mutex_lock(&xhci->lock);
    if (xhci_runs(xhci))
        interrupters_announce(xhci);
    pthread_mutex_unlock(&xhci->lock);
}

/* Only while the guest wants to know. */
void xhci_schedule_wrap(struct xhci *xhci)
{
    int64_t now = clock_ns(), passed = (now - xhci->started_ns) % MICROFRAMES_WRAP_NS;
    bool wanted = xhci_runs(xhci) && (xhci->state.command & COMMAND_WRAP_EVENT);

    loop_timer_set(xhci->board->loop, &xhci->wrap, wanted ? now + MICROFRAMES_WRAP_NS - passed : 0);
}

/* MFINDEX has wrapped, which the guest may want to know (xHCI 4.14.2). */
static void wrap_expired(void *opaque)
{
    struct xhci *xhci = opaque;

    pthread_mutex_lock(&xhci->lock);
    if (xhci_runs(xhci) && (xhci->state.command & COMMAND_WRAP_EVENT)) {
        const struct trb event = {.status = (uint32_t)CC_SUCCESS << 24, .control = trb_of_type(TRB_WRAP_EVENT)};

        event_write(xhci, 0, &event, false); /* a ring without room has no use for it */
        interrupters_announce(xhci);
        xhci_schedule_wrap(xhci);
    }
    pthread_mutex_unlock(&xhci->lock);
}

/* What devices hold is given back, and is read from the rings again when the controller runs again. */
static void cancel_all(struct xhci *xhci)
{
    for (unsigned slot = 1; slot <= SLOTS; slot++)
        for (unsigned index = 1; index < ENDPOINTS; index++)
            endpoint_cancel(xhci, slot, index);
}

void xhci_run(struct xhci *xhci, bool run)
{
    struct xhci_state *state = &xhci->state;

    if (run == xhci_runs(xhci))
        return;
    if (!run) {
        state->command &= ~COMMAND_RUN;
        state->status |= STATUS_HALTED;
        state->command_running = false;
        loop_timer_set(xhci->board->loop, &xhci->wrap, 0);
        cancel_all(xhci);
        return;
    }
    if (state->status & (STATUS_SYSTEM_ERROR | STATUS_CONTROLLER_ERROR))
        return;
    state->command |= COMMAND_RUN;
    state->status &= ~STATUS_HALTED;
    xhci->started_ns = clock_ns();
    for (unsigned slot = 1; slot <= SLOTS; slot++)
        for (unsigned index = 1; state->slots[slot].enabled && index < ENDPOINTS; index++)
            if (state->slots[slot].endpoints[index].state == EP_RUNNING)
                endpoint_doorbell(xhci, slot, index);
    xhci_post(xhci);
}

void xhci_fail(struct xhci *xhci, uint32_t status_bit, const char *what)
{
    static struct log_limit limit;

    log_guest(&limit, "xhci: %s; the controller waits for a reset", what);
    xhci_run(xhci, false);
    xhci->state.status |= status_bit;
}

void xhci_controller_reset(struct xhci *xhci)
{
    xhci_run(xhci, false);
    for (unsigned slot = 1; slot <= SLOTS; slot++) {
        for (unsigned index = 1; index < ENDPOINTS; index++)
            endpoint_free(xhci, slot, index);
        xhci->kicked[slot] = 0;
    }
    xhci->state = (struct xhci_state){.status = STATUS_HALTED};
    for (unsigned n = 0; n < INTERRUPTERS; n++) {
        xhci->state.interrupters[n].moderation = 4000; /* 1 ms (xHCI 5.5.2.2) */
        xhci->announce_ns[n] = 0;
    }
    xhci->commands_kicked = false;
    xhci->stalled = false;
    ports_reset(xhci);
    interrupters_update_pin(xhci);
}

static void reset(struct device *device)
{
    struct xhci *xhci = container_of(device, struct xhci, device);

    pthread_mutex_lock(&xhci->lock);
    xhci_controller_reset(xhci);
    pthread_mutex_unlock(&xhci->lock);
}

static void destroy(struct device *device)
{
    struct xhci *xhci = container_of(device, struct xhci, device);

    if (xhci->function.bus)
        xhci_controller_reset(xhci);
    loop_timer_remove(xhci->board->loop, &xhci->moderation);
    loop_timer_remove(xhci->board->loop, &xhci->wrap);
    for (unsigned n = xhci->device_count; n-- > 0;)
        xhci->order[n]->ops->destroy(xhci->order[n]);
    pci_function_remove(&xhci->function);
    pthread_mutex_destroy(&xhci->lock);
    free(xhci);
}

static int add_function(struct board *board, struct xhci *xhci, int slot)
{
    const struct pci_identity identity = {0x1B36, 0x000D, 0x1AF4, 0x1100, 1, 0x0C0330};
    const struct pci_bar registers = {
        .type = PCI_BAR_MEMORY64, .size = REGISTERS_SIZE, .region = {.ops = &xhci_registers_ops, .device = xhci}};
    int failed = pci_function_init(&xhci->function, "xhci", &identity);

    if (failed == 0)
        failed = pci_bar_add(&xhci->function, 0, &registers);
    if (failed == 0)
        failed = pci_msix_add(&xhci->function, 0, MSIX_TABLE, MSIX_PENDING, INTERRUPTERS);
    if (failed < 0)
        return failed;
    pci_intx_add(&xhci->function, 1);
    pci_config_set(&xhci->function, 0x60, 1, 0x30); /* serial bus release: USB 3.0 (xHCI 5.2.3) */
    pci_config_set(&xhci->function, 0x61, 1, 0x20); /* frame length: 60,000 bit times */
    return pci_function_add(board->pci, &xhci->function, slot, 0);
}

int xhci_create(struct board *board, int slot, struct xhci **result, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct xhci *xhci = calloc(1, sizeof *xhci);
    int failed;

    if (!xhci)
        return error_set(error, ENOMEM, "xhci: out of memory");
    xhci->device = (struct device){.name = "xhci", .ops = &ops};
    xhci->board = board;
    xhci->work = (struct loop_task){.run = work, .opaque = xhci};
    xhci->moderation = (struct loop_timer){.expired = moderation_expired, .opaque = xhci};
    xhci->wrap = (struct loop_timer){.expired = wrap_expired, .opaque = xhci};
    pthread_mutex_init(&xhci->lock, NULL);
    failed = add_function(board, xhci, slot);
    if (failed < 0) {
        destroy(&xhci->device);
        return error_set(error, -failed, "xhci: no room on the PCI bus or no memory (error %d)", -failed);
    }
    xhci_controller_reset(xhci);
    board_add(board, &xhci->device);
    *result = xhci;
    return 0;
}
