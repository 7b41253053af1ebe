/* An NVMe controller: its PCI function, its life, and the loop that works for it (NVMe 7; platform contract 6.3). */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "casement/log.h"
#include "nvme_private.h"

void nvme_wake(struct nvme *nvme)
{
    if (nvme->woken)
        return;
    nvme->woken = true;
    loop_post(nvme->loop, &nvme->work);
}

static void set_status(struct nvme *nvme, uint32_t clear, uint32_t set)
{
    pthread_mutex_lock(&nvme->lock);
    nvme->state.csts = (nvme->state.csts & ~clear) | set;
    pthread_mutex_unlock(&nvme->lock);
}

void nvme_fail(struct nvme *nvme, const char *what)
{
    static struct log_limit limit;

    log_guest(&limit, "nvme: %s; the controller waits for a reset", what);
    set_status(nvme, 0, CSTS_FATAL);
}

bool nvme_serves(struct nvme *nvme)
{
    bool serves;

    pthread_mutex_lock(&nvme->lock);
    serves =
        (nvme->state.csts & (CSTS_READY | CSTS_FATAL | CSTS_SHUTDOWN)) == CSTS_READY && (nvme->state.cc & CC_ENABLE);
    pthread_mutex_unlock(&nvme->lock);
    return serves;
}

void nvme_drain(struct nvme *nvme)
{
    block_queue_drain(nvme->block_queue);
}

static void note_result(struct block_request *request, int result)
{
    *(int *)request->opaque = result;
}

int nvme_flush(struct nvme *nvme)
{
    int result = 0;
    struct block_request flush = {.op = BLOCK_FLUSH, .done = note_result, .opaque = &result};

    nvme_drain(nvme); /* a flush speaks for what has ended before it */
    block_submit(nvme->block_queue, &flush);
    nvme_drain(nvme);
    return result;
}

/* Whatever is in flight ends, and nobody hears of it; then there are no queues any more. CSTS.RDY falls last. */
static void controller_reset(struct nvme *nvme)
{
    struct nvme_state *state = &nvme->state;

    nvme->closing = true;
    nvme_drain(nvme);
    nvme->closing = false;
    nvme_shadow_stop(nvme);
    for (unsigned n = 0; n <= nvme->queues; n++) {
        nvme_sq_close(nvme, n);
        nvme_cq_close(nvme, n);
    }
    state->held_count = 0;
    memset(state->event_masked, 0, sizeof state->event_masked);
    state->namespace_changed = false; /* who starts the controller asks what there is */
    nvme_features_reset(nvme);
    pthread_mutex_lock(&nvme->lock);
    nvme->reset_due = nvme->stalled = nvme->cq_rung = nvme->resized = false;
    state->events = 0;
    state->interrupt_mask = 0;
    /* A shutdown that was asked for with the reset is still due. */
    state->csts = nvme->shutdown_due ? state->csts & CSTS_SHUTDOWN : 0;
    nvme_update_pin(nvme);
    pthread_mutex_unlock(&nvme->lock);
}

/* What keeps the controller from starting with what the registers say, or NULL. */
static const char *unusable(const struct nvme *nvme, uint32_t cc, const struct nvme_sq *sq, const struct nvme_cq *cq)
{
    const struct memory *memory = nvme->board->memory;

    if (CC_PAGE_SIZE(cc) != 0)
        return "its driver wants pages of another size than 4 KiB";
    if (CC_COMMAND_SET(cc) != 0)
        return "its driver wants another command set";
    if (CC_ARBITRATION(cc) != 0)
        return "its driver wants another arbitration than round robin";
    if (sq->size < 2 || cq->size < 2)
        return "an admin queue has less than two entries";
    if (!memory_at(memory, sq->base, (uint64_t)sq->size * COMMAND_BYTES) ||
        !memory_at(memory, cq->base, (uint64_t)cq->size * COMPLETION_BYTES))
        return "an admin queue is outside memory";
    return NULL;
}

/* The registers cannot change while CC.EN is set, so what is read here stays true. */
static void controller_enable(struct nvme *nvme)
{
    struct nvme_state *state = &nvme->state;
    struct nvme_sq sq = {0};
    struct nvme_cq cq = {.interrupts = true};
    const char *reason;
    uint32_t cc;

    pthread_mutex_lock(&nvme->lock);
    cc = state->cc;
    sq.base = state->asq;
    sq.size = (state->aqa & 0xFFF) + 1;
    cq.base = state->acq;
    cq.size = (state->aqa >> 16 & 0xFFF) + 1;
    pthread_mutex_unlock(&nvme->lock);
    reason = unusable(nvme, cc, &sq, &cq);
    if (reason) {
        nvme_fail(nvme, reason);
        return;
    }
    nvme_cq_open(nvme, 0, &cq);
    nvme_sq_open(nvme, 0, &sq);
    set_status(nvme, CSTS_SHUTDOWN, CSTS_READY);
}

/* CC.SHN: commands that were fetched end, then the disk is flushed (NVMe 7.6.2). */
static void controller_shutdown(struct nvme *nvme)
{
    int failed = nvme_flush(nvme);

    if (failed < 0)
        log_error("nvme: the disk could not be flushed when the guest shut down: %s", strerror(-failed));
    pthread_mutex_lock(&nvme->lock);
    nvme->shutdown_due = false;
    /* A reset meanwhile has taken the request with it. */
    if (nvme->state.csts & CSTS_SHUTDOWN)
        nvme->state.csts = (nvme->state.csts & ~CSTS_SHUTDOWN) | CSTS_SHUTDOWN_COMPLETE;
    pthread_mutex_unlock(&nvme->lock);
}

/* block_on_resize() */
static void resized(void *opaque)
{
    struct nvme *nvme = opaque;

    pthread_mutex_lock(&nvme->lock);
    nvme->resized = true;
    nvme_wake(nvme);
    pthread_mutex_unlock(&nvme->lock);
}

/* A driver that has enabled the notice is told; one that has not finds the page when it looks. */
static void note_resized(struct nvme *nvme)
{
    bool noted;

    pthread_mutex_lock(&nvme->lock);
    noted = nvme->resized;
    nvme->resized = false;
    if (noted && (nvme->state.features.event_config & NOTICE_NAMESPACE))
        nvme_event_raise(nvme, EVENT_NAMESPACE);
    pthread_mutex_unlock(&nvme->lock);
    nvme->state.namespace_changed |= noted;
}

/* On the loop: all that vCPUs have noted. Also for a driver that has not waited for CSTS. */
static void work(void *opaque)
{
    struct nvme *nvme = opaque;
    bool reset_due, shutdown_due, enable_due;

    pthread_mutex_lock(&nvme->lock);
    nvme->woken = false;
    reset_due = nvme->reset_due;
    shutdown_due = nvme->shutdown_due;
    pthread_mutex_unlock(&nvme->lock);
    if (reset_due)
        controller_reset(nvme);
    if (shutdown_due)
        controller_shutdown(nvme);
    pthread_mutex_lock(&nvme->lock);
    enable_due = (nvme->state.cc & CC_ENABLE) && !nvme->reset_due && !(nvme->state.csts & (CSTS_READY | CSTS_FATAL));
    pthread_mutex_unlock(&nvme->lock);
    if (enable_due)
        controller_enable(nvme);
    note_resized(nvme);
    if (nvme_serves(nvme))
        nvme_queues_run(nvme);
}

/* Behind every batch of the host's completions. */
static void batch_done(void *opaque)
{
    struct nvme *nvme = opaque;

    if (nvme->closing)
        return;
    nvme_announce(nvme);
    if (!nvme->starved)
        return;
    pthread_mutex_lock(&nvme->lock);
    nvme_wake(nvme);
    pthread_mutex_unlock(&nvme->lock);
}

/* Power-on: the registers that outlive a controller reset, too. */
static void power_on(void *opaque)
{
    struct nvme *nvme = opaque;
    struct nvme_state *state = &nvme->state;

    controller_reset(nvme);
    pthread_mutex_lock(&nvme->lock);
    nvme->shutdown_due = false;
    state->cc = state->csts = state->aqa = 0;
    state->asq = state->acq = 0;
    pthread_mutex_unlock(&nvme->lock);
}

static void reset(struct device *device)
{
    struct nvme *nvme = container_of(device, struct nvme, device);

    loop_call(nvme->loop, power_on, nvme);
}

static void destroy(struct device *device)
{
    struct nvme *nvme = container_of(device, struct nvme, device);

    block_on_resize(nvme->block, NULL, NULL);
    /* The thread first: work that it still has would use what is freed next. */
    if (nvme->loop)
        loop_stop(nvme->loop);
    nvme->closing = true;
    block_queue_destroy(nvme->block_queue);
    pci_function_remove(&nvme->function);
    if (nvme->kick.fd >= 0)
        close(nvme->kick.fd);
    loop_destroy(nvme->loop);
    pthread_mutex_destroy(&nvme->lock);
    free(nvme->requests);
    free(nvme);
}

static int add_function(struct nvme *nvme, int slot)
{
    const struct pci_identity identity = {0x1B36, 0x0010, 0x1AF4, 0x1100, 1, 0x010802};
    const struct pci_bar registers = {.type = PCI_BAR_MEMORY64,
                                      .size = REGISTERS_SIZE,
                                      .region = {.ops = &nvme_registers_ops, .device = nvme},
                                      .moved = nvme_shadow_moved};
    int failed = pci_function_init(&nvme->function, "nvme", &identity);

    if (failed == 0)
        failed = pci_bar_add(&nvme->function, 0, &registers);
    if (failed == 0)
        failed = pci_msix_add(&nvme->function, 0, MSIX_TABLE_AT, MSIX_PENDING_AT, nvme->queues + 1);
    if (failed < 0)
        return failed;
    pci_intx_add(&nvme->function, 1);
    return pci_function_add(nvme->board->pci, &nvme->function, slot, 0);
}

static int create_loop(struct nvme *nvme, struct error *error)
{
    nvme->loop = loop_create("nvme");
    nvme->kick.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    nvme->requests = calloc(REQUESTS, sizeof *nvme->requests);
    if (!nvme->loop || nvme->kick.fd < 0 || !nvme->requests)
        return error_set(error, ENOMEM, "nvme: out of memory or descriptors");
    for (unsigned n = 0; n < REQUESTS; n++) {
        nvme->requests[n].nvme = nvme;
        nvme->requests[n].next = nvme->unused;
        nvme->unused = &nvme->requests[n];
    }
    nvme->block_queue = block_queue_create(nvme->block, nvme->loop, BLOCK_DEPTH, error);
    if (!nvme->block_queue)
        return -ENOMEM;
    block_queue_on_batch(nvme->block_queue, batch_done, nvme);
    loop_watch(nvme->loop, &nvme->kick);
    return 0;
}

static int start(struct nvme *nvme, int slot, struct error *error)
{
    int failed = create_loop(nvme, error);

    if (failed < 0)
        return failed;
    failed = add_function(nvme, slot);
    if (failed < 0)
        return error_set(error, -failed, "nvme: no room on the PCI bus or no memory (error %d)", -failed);
    nvme_features_reset(nvme);
    failed = loop_start(nvme->loop);
    return failed < 0 ? error_set(error, -failed, "nvme: no thread: %s", strerror(-failed)) : 0;
}

static int check_options(const struct nvme_options *options, struct error *error)
{
    size_t length = strnlen(options->serial, sizeof options->serial);

    if (length == 0 || length == sizeof options->serial)
        return error_set(error, EINVAL, "nvme: a serial number has 1 to 20 characters");
    for (size_t n = 0; n < length; n++)
        if (options->serial[n] < ' ' || options->serial[n] > '~')
            return error_set(error, EINVAL, "nvme: serial number: only printable ASCII characters are possible");
    if (options->queues == 0 || options->queues > NVME_QUEUES_MAX)
        return error_set(error, EINVAL, "nvme: %u queues: 1 to %u are possible", options->queues, NVME_QUEUES_MAX);
    return 0;
}

int nvme_create(struct board *board, const struct nvme_options *options, struct nvme **result, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    int failed = check_options(options, error);
    struct nvme *nvme = failed < 0 ? NULL : calloc(1, sizeof *nvme);

    if (!nvme)
        return failed < 0 ? failed : error_set(error, ENOMEM, "nvme: out of memory");
    nvme->device = (struct device){.name = "nvme", .ops = &ops};
    nvme->board = board;
    nvme->block = options->block;
    nvme->queues = options->queues;
    memcpy(nvme->serial, options->serial, sizeof nvme->serial);
    strncpy(nvme->model, options->model ? options->model : "Casement NVMe disk", sizeof nvme->model - 1);
    nvme_identifiers(nvme);
    nvme->created_ns = clock_ns();
    nvme->bar_address = PCI_NO_ADDRESS;
    for (unsigned n = 0; n < ALL_QUEUES; n++)
        nvme->ioeventfd_at[n] = PCI_NO_ADDRESS;
    nvme->work = (struct loop_task){.run = work, .opaque = nvme};
    nvme->kick = (struct loop_watch){.fd = -1, .events = POLLIN, .ready = nvme_shadow_kicked, .opaque = nvme};
    pthread_mutex_init(&nvme->lock, NULL);
    failed = start(nvme, options->slot, error);
    if (failed < 0) {
        destroy(&nvme->device);
        return failed;
    }
    block_on_resize(nvme->block, resized, nvme);
    board_add(board, &nvme->device);
    if (result)
        *result = nvme;
    return 0;
}

bool nvme_driven(struct nvme *nvme)
{
    bool driven = false;

    pthread_mutex_lock(&nvme->lock);
    if ((nvme->state.csts & (CSTS_READY | CSTS_FATAL)) == CSTS_READY)
        for (unsigned n = 1; n <= nvme->queues && !driven; n++)
            driven = nvme->state.cq[n].size && nvme->state.cq[n].interrupts;
    pthread_mutex_unlock(&nvme->lock);
    return driven;
}
