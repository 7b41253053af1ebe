/* virtio over PCI, modern devices only (Virtual I/O Device 1.2, section 4.1; platform contract 7.1). */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "virtio_private.h"

/* BAR 4, and what lies where in it. */
#define WINDOW_BAR 4
#define WINDOW_SIZE 0x4000
#define COMMON_AT 0x0000
#define ISR_AT 0x1000
#define DEVICE_AT 0x2000
#define NOTIFY_AT 0x3000
#define NOTIFY_STRIDE 4
#define MSIX_BAR 1
#define MSIX_BAR_SIZE 0x1000
#define MSIX_PBA_AT 0x800

#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_ISR 3
#define CAP_DEVICE 4
#define CAP_PCI_CFG 5

#define ISR_QUEUE 1
#define ISR_CONFIG 2

/* Starting and stopping. life is held. */

static void kick_ready(void *opaque, short events)
{
    struct virtq *queue = opaque;
    uint64_t count;

    (void)events;
    if (read(queue->kick_fd, &count, sizeof count) < 0)
        return;
    if (queue->running && !atomic_load(&queue->virtio->broken))
        queue->virtio->options.ops->kicked(queue->virtio, queue);
}

void virtq_again(const struct virtq *queue)
{
    uint64_t one = 1;

    if (write(queue->kick_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is signalled already */
}

static void listen_on_loop(void *opaque)
{
    struct virtq *queue = opaque;

    loop_watch(queue->loop, &queue->watch);
    queue->watching = true;
}

static void leave_loop(void *opaque)
{
    struct virtq *queue = opaque;

    if (queue->watching)
        loop_unwatch(queue->loop, &queue->watch);
    queue->watching = false;
}

/* Handing over. */

static void call_ready(void *opaque, short events)
{
    struct virtq *queue = opaque;
    uint64_t count;

    (void)events;
    if (read(queue->call_fd, &count, sizeof count) == sizeof count)
        virtio_interrupt_queue(queue);
}

int virtq_hand_over(struct virtq *queue, struct virtq_rings *rings)
{
    int call = pci_msix_fd(&queue->virtio->function, queue->vector);

    if (!queue->running)
        return -EINVAL;
    if (call < 0) { /* a pin, or a vector that cannot be sent yet: this process sends it */
        if (queue->call_fd < 0)
            queue->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (queue->call_fd < 0)
            return -errno;
        call = queue->call_fd;
    }
    *rings = (struct virtq_rings){queue->size,        queue->descriptors, queue->driver_area,
                                  queue->device_area, queue->kick_fd,     call};
    queue->watch = (struct loop_watch){.fd = queue->call_fd, .events = POLLIN, .ready = call_ready, .opaque = queue};
    queue->handed_over = true;
    return 0;
}

void virtq_take_back(struct virtq *queue)
{
    queue->handed_over = false;
}

void virtio_start(struct virtio *virtio)
{
    virtio->started = true;
    for (unsigned n = 0; n < virtio->options.queues; n++) {
        struct virtq *queue = &virtio->queues[n];

        queue->running = queue->state.enabled;
        queue->vector = queue->state.vector;
        queue->event_index = virtio->state.driver_features & VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
        queue->handed_over = false;
    }
    if (virtio->options.ops->start)
        virtio->options.ops->start(virtio);
    for (unsigned n = 0; n < virtio->options.queues; n++) {
        struct virtq *queue = &virtio->queues[n];

        if (!queue->running)
            continue;
        if (!queue->handed_over)
            queue->watch =
                (struct loop_watch){.fd = queue->kick_fd, .events = POLLIN, .ready = kick_ready, .opaque = queue};
        if (queue->watch.fd >= 0)
            loop_call(queue->loop, listen_on_loop, queue);
        virtq_again(queue); /* chains may wait already */
    }
}

void virtio_stop(struct virtio *virtio)
{
    uint64_t stale;

    if (virtio->started) {
        for (unsigned n = 0; n < virtio->options.queues; n++)
            if (virtio->queues[n].running)
                loop_call(virtio->queues[n].loop, leave_loop, &virtio->queues[n]);
        if (virtio->options.ops->stop)
            virtio->options.ops->stop(virtio);
    }
    pthread_mutex_lock(&virtio->lock);
    virtio->started = false;
    virtio->state = (struct virtio_state){.config_vector = PCI_NO_VECTOR};
    for (unsigned n = 0; n < virtio->options.queues; n++) {
        virtq_reset(&virtio->queues[n]);
        if (read(virtio->queues[n].kick_fd, &stale, sizeof stale) < 0)
            continue; /* nobody kicked */
    }
    atomic_store(&virtio->broken, false);
    atomic_store(&virtio->isr, 0);
    pthread_mutex_unlock(&virtio->lock);
    pci_intx_set(&virtio->function, false);
}

/* Interrupts. */

static void interrupt(struct virtio *virtio, uint16_t vector, uint8_t cause)
{
    if (pci_msix_enabled(&virtio->function)) {
        pci_msix_fire(&virtio->function, vector);
        return;
    }
    atomic_fetch_or(&virtio->isr, cause);
    pci_intx_set(&virtio->function, true);
}

void virtio_interrupt_queue(struct virtq *queue)
{
    interrupt(queue->virtio, queue->vector, ISR_QUEUE);
}

void virtio_interrupt_config(struct virtio *virtio)
{
    uint16_t vector;

    pthread_mutex_lock(&virtio->lock);
    vector = virtio->state.config_vector;
    pthread_mutex_unlock(&virtio->lock);
    interrupt(virtio, vector, ISR_CONFIG);
}

void virtio_break(struct virtio *virtio, const char *reason)
{
    static struct log_limit limit;
    bool tell;

    if (atomic_exchange(&virtio->broken, true))
        return;
    log_guest(&limit, "%s: %s; the device waits for a reset by its driver", virtio->options.name, reason);
    pthread_mutex_lock(&virtio->lock);
    virtio->state.status |= STATUS_NEEDS_RESET;
    tell = virtio->state.status & STATUS_DRIVER_OK;
    pthread_mutex_unlock(&virtio->lock);
    if (tell)
        virtio_interrupt_config(virtio);
}

void virtio_config_change(struct virtio *virtio, void (*change)(struct virtio *virtio))
{
    bool tell;

    pthread_mutex_lock(&virtio->lock);
    change(virtio);
    virtio->state.generation++;
    tell = virtio->state.status & STATUS_DRIVER_OK;
    pthread_mutex_unlock(&virtio->lock);
    if (tell)
        virtio_interrupt_config(virtio);
}

/* The window: one BAR with all structures. */

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    struct virtio *virtio = opaque;
    uint8_t data[8] = {0};

    if (offset + size <= VIRTIO_COMMON_BYTES)
        return virtio_common_read(virtio, (unsigned)offset, size);
    if (offset == ISR_AT) {
        uint8_t isr = atomic_exchange(&virtio->isr, 0);

        pci_intx_set(&virtio->function, false);
        return isr;
    }
    if (offset >= DEVICE_AT && offset + size <= DEVICE_AT + virtio->options.config_size) {
        pthread_mutex_lock(&virtio->lock);
        if (virtio->options.ops->config_read)
            virtio->options.ops->config_read(virtio, (unsigned)(offset - DEVICE_AT), data, size);
        pthread_mutex_unlock(&virtio->lock);
        return get_le(data, size);
    }
    return 0;
}

static void window_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio *virtio = opaque;
    uint8_t data[8];

    if (offset < VIRTIO_COMMON_BYTES) {
        virtio_common_write(virtio, (unsigned)offset, size, value);
    } else if (offset >= DEVICE_AT && offset + size <= DEVICE_AT + virtio->options.config_size) {
        put_le(data, 8, value);
        if (virtio->options.ops->config_write)
            virtio->options.ops->config_write(virtio, (unsigned)(offset - DEVICE_AT), data, size);
    } else if (offset >= NOTIFY_AT && offset < NOTIFY_AT + (uint64_t)virtio->options.queues * NOTIFY_STRIDE) {
        virtq_again(&virtio->queues[(offset - NOTIFY_AT) / NOTIFY_STRIDE]);
    }
}

static const struct bus_ops window_ops = {window_read, window_write};

/* Follows BAR 4 with the ioeventfds. Without one (KVM refuses) the plain write kicks. */
static void window_moved(struct pci_function *function, unsigned bar, uint64_t address)
{
    struct virtio *virtio = container_of(function, struct virtio, function);
    struct vm *vm = virtio->board->vm;

    (void)bar;
    for (unsigned n = 0; n < virtio->options.queues; n++) {
        struct virtq *queue = &virtio->queues[n];
        uint64_t at = address == PCI_NO_ADDRESS ? PCI_NO_ADDRESS : address + NOTIFY_AT + n * NOTIFY_STRIDE;

        if (queue->ioeventfd_at != PCI_NO_ADDRESS)
            vm->ops->ioeventfd(vm, BUS_MMIO, queue->ioeventfd_at, 0, NULL, queue->kick_fd, false);
        queue->ioeventfd_at = PCI_NO_ADDRESS;
        if (at != PCI_NO_ADDRESS && vm->ops->ioeventfd(vm, BUS_MMIO, at, 0, NULL, queue->kick_fd, true) == 0)
            queue->ioeventfd_at = at;
    }
}

/* VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9): an access to the window by way of configuration space. */
static bool window_access(struct virtio *virtio, unsigned offset, unsigned size, uint32_t *where, uint32_t *length)
{
    unsigned data = virtio->window_capability + 16;

    *where = (uint32_t)pci_config_get(&virtio->function, virtio->window_capability + 8, 4);
    *length = (uint32_t)pci_config_get(&virtio->function, virtio->window_capability + 12, 4);
    return offset < data + 4 && offset + size > data &&
           pci_config_get(&virtio->function, virtio->window_capability + 4, 1) == WINDOW_BAR &&
           (*length == 1 || *length == 2 || *length == 4) && *where % *length == 0 && *where < WINDOW_SIZE - 4;
}

static void config_read(struct pci_function *function, unsigned offset, unsigned size)
{
    struct virtio *virtio = container_of(function, struct virtio, function);
    uint32_t where, length;

    if (window_access(virtio, offset, size, &where, &length))
        pci_config_set(function, virtio->window_capability + 16, length, window_read(virtio, where, length));
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct virtio *virtio = container_of(function, struct virtio, function);
    uint32_t where, length;

    if (window_access(virtio, offset, size, &where, &length))
        window_write(virtio, where, length, pci_config_get(function, virtio->window_capability + 16, length));
}

/* Making and unmaking. */

static unsigned add_capability(struct virtio *virtio, uint8_t type, uint32_t offset, uint32_t length, unsigned extra)
{
    unsigned at = pci_capability_add(&virtio->function, 0x09, 16 + extra);

    if (!at)
        return 0;
    pci_config_set(&virtio->function, at + 2, 1, 16 + extra);
    pci_config_set(&virtio->function, at + 3, 1, type);
    pci_config_set(&virtio->function, at + 4, 1, WINDOW_BAR);
    pci_config_set(&virtio->function, at + 8, 4, offset);
    pci_config_set(&virtio->function, at + 12, 4, length);
    return at;
}

static int add_capabilities(struct virtio *virtio)
{
    unsigned notify, window;

    if (!add_capability(virtio, CAP_COMMON, COMMON_AT, VIRTIO_COMMON_BYTES, 0) ||
        !add_capability(virtio, CAP_ISR, ISR_AT, 1, 0) ||
        !add_capability(virtio, CAP_DEVICE, DEVICE_AT, MAX(virtio->options.config_size, 4U), 0))
        return -ENOSPC;
    notify = add_capability(virtio, CAP_NOTIFY, NOTIFY_AT, virtio->options.queues * NOTIFY_STRIDE, 4);
    window = add_capability(virtio, CAP_PCI_CFG, 0, 0, 4);
    if (!notify || !window)
        return -ENOSPC;
    pci_config_set(&virtio->function, notify + 16, 4, NOTIFY_STRIDE);
    virtio->window_capability = window;
    pci_config_writable(&virtio->function, window + 4, 1, 0xFF);
    pci_config_writable(&virtio->function, window + 8, 8, UINT64_MAX);
    pci_config_writable(&virtio->function, window + 16, 4, UINT32_MAX);
    virtio->function.config_read = config_read;
    virtio->function.config_written = config_written;
    return 0;
}

static int add_function(struct virtio *virtio)
{
    const struct virtio_options *options = &virtio->options;
    const struct pci_identity identity = {
        0x1AF4, (uint16_t)(0x1040 + options->type), 0x1AF4, 0x1100, 1, options->class_code};
    const struct pci_bar msix = {.type = PCI_BAR_MEMORY32, .size = MSIX_BAR_SIZE};
    const struct pci_bar window = {.type = PCI_BAR_MEMORY64,
                                   .prefetchable = true,
                                   .size = WINDOW_SIZE,
                                   .region = {.ops = &window_ops, .device = virtio},
                                   .moved = window_moved};
    struct pci_function *function = &virtio->function;
    int failed = pci_function_init(function, options->name, &identity);

    if (failed == 0)
        failed = pci_bar_add(function, MSIX_BAR, &msix);
    if (failed == 0)
        failed = pci_bar_add(function, WINDOW_BAR, &window);
    if (failed == 0)
        failed = pci_msix_add(function, MSIX_BAR, 0, MSIX_PBA_AT, options->queues + 1);
    if (failed == 0)
        failed = add_capabilities(virtio);
    if (failed == 0) {
        pci_intx_add(function, 1);
        failed = pci_function_add(virtio->board->pci, function, options->slot, 0);
    }
    return failed;
}

static int create_queues(struct virtio *virtio)
{
    virtio->queues = calloc(virtio->options.queues, sizeof *virtio->queues);
    if (!virtio->queues)
        return -ENOMEM;
    for (unsigned n = 0; n < virtio->options.queues; n++) {
        struct virtq *queue = &virtio->queues[n];

        queue->virtio = virtio;
        queue->index = n;
        queue->loop = virtio->board->loop;
        queue->ioeventfd_at = PCI_NO_ADDRESS;
        queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        queue->call_fd = -1;
        virtq_reset(queue);
        if (queue->kick_fd < 0)
            return -errno;
    }
    return 0;
}

static void reset(struct device *device)
{
    struct virtio *virtio = container_of(device, struct virtio, device);

    pthread_mutex_lock(&virtio->life);
    virtio_stop(virtio);
    pthread_mutex_unlock(&virtio->life);
}

int virtio_create(struct board *board, const struct virtio_options *options, struct virtio **result)
{
    static const struct device_ops ops = {.reset = reset};
    struct virtio *virtio;
    int failed;

    if (!options->queues || options->queues > 127 || !options->queue_size || options->queue_size > VIRTIO_QUEUE_MAX ||
        (options->queue_size & (options->queue_size - 1)) || options->config_size > NOTIFY_AT - DEVICE_AT)
        return -EINVAL;
    virtio = calloc(1, sizeof *virtio);
    if (!virtio)
        return -ENOMEM;
    virtio->device = (struct device){.name = options->name, .ops = &ops};
    virtio->board = board;
    virtio->options = *options;
    virtio->features = options->features | VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) |
                       VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
    virtio->state.config_vector = PCI_NO_VECTOR;
    pthread_mutex_init(&virtio->lock, NULL);
    pthread_mutex_init(&virtio->life, NULL);
    failed = create_queues(virtio);
    if (failed == 0)
        failed = add_function(virtio);
    if (failed < 0) {
        virtio_destroy(virtio);
        return failed;
    }
    board_add(board, &virtio->device);
    *result = virtio;
    return 0;
}

void virtio_destroy(struct virtio *virtio)
{
    if (!virtio)
        return;
    if (virtio->function.bus) {
        pthread_mutex_lock(&virtio->life);
        virtio_stop(virtio);
        pthread_mutex_unlock(&virtio->life);
    }
    board_remove(virtio->board, &virtio->device);
    pci_function_remove(&virtio->function);
    for (unsigned n = 0; virtio->queues && n < virtio->options.queues; n++) {
        if (virtio->queues[n].kick_fd > 0)
            close(virtio->queues[n].kick_fd);
        if (virtio->queues[n].call_fd > 0)
            close(virtio->queues[n].call_fd);
    }
    free(virtio->queues);
    pthread_mutex_destroy(&virtio->life);
    pthread_mutex_destroy(&virtio->lock);
    free(virtio);
}

void *virtio_device(const struct virtio *virtio)
{
    return virtio->options.device;
}

unsigned virtio_slot(const struct virtio *virtio)
{
    return virtio->function.devfn >> 3;
}

void virtio_queue_loop(struct virtio *virtio, unsigned queue, struct loop *loop)
{
    virtio->queues[queue].loop = loop;
}

struct virtq *virtio_queue(struct virtio *virtio, unsigned queue)
{
    return &virtio->queues[queue];
}

bool virtio_queue_running(const struct virtq *queue)
{
    return queue->running;
}

uint64_t virtio_features(const struct virtio *virtio)
{
    return virtio->state.status & STATUS_FEATURES_OK ? virtio->state.driver_features : 0;
}

bool virtio_driven(struct virtio *virtio)
{
    const struct virtio_state *state = &virtio->state;
    bool driven;

    pthread_mutex_lock(&virtio->lock);
    driven = (state->status & STATUS_DRIVER_OK) && !(state->status & (STATUS_FAILED | STATUS_NEEDS_RESET)) &&
             (state->driver_features & (VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX)));
    pthread_mutex_unlock(&virtio->lock);
    return driven;
}
