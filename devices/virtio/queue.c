/* The split virtqueue, device side (Virtual I/O Device 1.2, section 2.7). */
#include <errno.h>

#include "casement/bytes.h"
#include "virtio_private.h"

#define DESCRIPTOR_BYTES 16
#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1
#define MAX_CHAIN_BYTES UINT32_MAX

/* Offsets in the driver's and the device's area (2.7.6, 2.7.8). */
#define RING_FLAGS 0
#define RING_INDEX 2
#define RING_ENTRIES 4
#define USED_ELEMENT 8

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

static uint16_t load16(const uint8_t *at)
{
    return le16toh(__atomic_load_n((const uint16_t *)at, __ATOMIC_RELAXED));
}

static void store16(uint8_t *at, uint16_t value)
{
    __atomic_store_n((uint16_t *)at, htole16(value), __ATOMIC_RELAXED);
}

/* The driver's used_event and our avail_event lie behind the last entry of the other's ring (2.7.7.1, 2.7.10.1). */
static uint16_t used_event(const struct virtq *queue)
{
    return load16(queue->driver_area + RING_ENTRIES + 2U * queue->size);
}

static void set_avail_event(const struct virtq *queue, uint16_t index)
{
    store16(queue->device_area + RING_ENTRIES + USED_ELEMENT * (size_t)queue->size, index);
}

bool virtq_freeze(struct virtq *queue)
{
    const struct memory *memory = queue->virtio->board->memory;
    const struct virtq_state *state = &queue->state;
    uint64_t size = state->size;

    if (size == 0 || size > queue->virtio->options.queue_size || (size & (size - 1)) || (state->descriptors & 15) ||
        (state->driver & 1) || (state->device & 3))
        return false;
    queue->size = state->size;
    queue->descriptors = memory_at(memory, state->descriptors, size * DESCRIPTOR_BYTES);
    queue->driver_area = memory_at(memory, state->driver, RING_ENTRIES + size * 2 + 2);
    queue->device_area = memory_at(memory, state->device, RING_ENTRIES + size * USED_ELEMENT + 2);
    return queue->descriptors && queue->driver_area && queue->device_area;
}

void virtq_reset(struct virtq *queue)
{
    queue->state = (struct virtq_state){.size = (uint16_t)queue->virtio->options.queue_size, .vector = PCI_NO_VECTOR};
    queue->descriptors = NULL;
    queue->driver_area = queue->device_area = NULL;
    queue->running = queue->event_index = false;
    queue->next_available = queue->seen_available = queue->next_used = queue->published_used = 0;
    memset(queue->in_flight, 0, sizeof queue->in_flight);
}

static bool in_flight(const struct virtq *queue, uint16_t head)
{
    return queue->in_flight[head / 64] >> (head % 64) & 1;
}

static int malformed(struct virtq *queue, const char *reason)
{
    virtio_break(queue->virtio, reason);
    return -EPROTO;
}

/* Looks for new chains; with none, asks the driver to kick and looks once more. */
static int look(struct virtq *queue)
{
    for (unsigned round = 0; round < 2; round++) {
        queue->seen_available = load16(queue->driver_area + RING_INDEX);
        if ((uint16_t)(queue->seen_available - queue->next_available) > queue->size)
            return malformed(queue, "the available index runs ahead of the ring");
        if (queue->seen_available != queue->next_available) {
            /* Pairs with the driver's write barrier between filling the ring and its index (2.7.13.3.1). */
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            return 1;
        }
        if (round == 0) {
            if (queue->event_index)
                set_avail_event(queue, queue->next_available);
            else
                store16(queue->device_area + RING_FLAGS, 0);
            /* Pairs with the driver's full barrier between its index and reading our wish (2.7.13.4.1). */
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        }
    }
    return 0;
}

/* One copy: what the guest changes afterwards is not seen. */
static struct descriptor fetch(const uint8_t *table, unsigned index)
{
    uint8_t raw[DESCRIPTOR_BYTES];

    memcpy(raw, table + (size_t)index * DESCRIPTOR_BYTES, sizeof raw);
    __asm__ volatile("" : "+m"(raw)); /* no second read of the guest's memory by way of optimisation */
    return (struct descriptor){get_le64(raw), get_le32(raw + 8), get_le16(raw + 12), get_le16(raw + 14)};
}

/* Adds one buffer to the chain. NULL, or what is wrong. */
static const char *add_buffer(struct virtq *queue, struct virtq_chain *chain, const struct descriptor *descriptor,
                              unsigned iov_max)
{
    unsigned count = chain->out_count + chain->in_count;
    void *host;

    if (count == iov_max || count == queue->size)
        return "a chain is longer than allowed";
    if (!descriptor->length)
        return "a buffer has no length";
    if (chain->out_bytes + chain->in_bytes + descriptor->length > MAX_CHAIN_BYTES)
        return "a chain has more than 4 GiB";
    if (!(descriptor->flags & DESC_WRITE) && chain->in_count)
        return "a readable buffer follows a writable one";
    host = memory_at(queue->virtio->board->memory, descriptor->address, descriptor->length);
    if (!host)
        return "a buffer is not RAM";
    chain->iov[count] = (struct iovec){host, descriptor->length};
    if (descriptor->flags & DESC_WRITE) {
        chain->in_count++;
        chain->in_bytes += descriptor->length;
    } else {
        chain->out_count++;
        chain->out_bytes += descriptor->length;
    }
    return NULL;
}

/* Follows the descriptors from the head, into one indirect table at most. NULL, or what is wrong. */
static const char *walk(struct virtq *queue, struct virtq_chain *chain, unsigned iov_max)
{
    const uint8_t *table = queue->descriptors;
    unsigned entries = queue->size, index = chain->head;
    bool indirect = false;

    /* Bounded by add_buffer(): every step but one adds a buffer. */
    for (;;) {
        struct descriptor descriptor;
        const char *wrong;

        if (index >= entries)
            return "a descriptor's index is outside the table";
        descriptor = fetch(table, index);
        if (descriptor.flags & DESC_INDIRECT) {
            if (indirect || (descriptor.flags & DESC_NEXT))
                return "an indirect descriptor is nested or continued";
            if (!descriptor.length || descriptor.length % DESCRIPTOR_BYTES ||
                descriptor.length / DESCRIPTOR_BYTES > queue->size)
                return "an indirect table has an impossible length";
            table = memory_at(queue->virtio->board->memory, descriptor.address, descriptor.length);
            if (!table)
                return "an indirect table is not RAM";
            entries = descriptor.length / DESCRIPTOR_BYTES;
            indirect = true;
            index = 0;
            continue;
        }
        wrong = add_buffer(queue, chain, &descriptor, iov_max);
        if (wrong)
            return wrong;
        if (!(descriptor.flags & DESC_NEXT))
            return NULL;
        index = descriptor.next;
    }
}

int virtq_pop(struct virtq *queue, struct virtq_chain *chain, struct iovec *iov, unsigned iov_max)
{
    const char *wrong;
    int found;

    if (atomic_load(&queue->virtio->broken))
        return -EPROTO;
    if (!queue->running)
        return 0;
    if (queue->seen_available == queue->next_available) {
        found = look(queue);
        if (found <= 0)
            return found;
    }
    *chain = (struct virtq_chain){.iov = iov};
    chain->head = load16(queue->driver_area + RING_ENTRIES + 2U * (queue->next_available & (queue->size - 1U)));
    if (chain->head >= queue->size)
        return malformed(queue, "a head is outside the table");
    if (in_flight(queue, chain->head))
        return malformed(queue, "a head is given twice");
    wrong = walk(queue, chain, iov_max);
    if (wrong)
        return malformed(queue, wrong);
    queue->in_flight[chain->head / 64] |= UINT64_C(1) << (chain->head % 64);
    queue->next_available++;
    return 1;
}

void virtq_unpop(struct virtq *queue, const struct virtq_chain *chain)
{
    queue->in_flight[chain->head / 64] &= ~(UINT64_C(1) << (chain->head % 64));
    queue->next_available--;
}

void virtq_push(struct virtq *queue, uint16_t head, uint32_t written)
{
    uint8_t *element;

    if (!queue->running || head >= queue->size || !in_flight(queue, head))
        return;
    queue->in_flight[head / 64] &= ~(UINT64_C(1) << (head % 64));
    element = queue->device_area + RING_ENTRIES + USED_ELEMENT * (size_t)(queue->next_used & (queue->size - 1U));
    put_le32(element, head);
    put_le32(element + 4, written);
    queue->next_used++;
}

void virtq_flush(struct virtq *queue)
{
    uint16_t before = queue->published_used, now = queue->next_used;
    bool wanted;

    if (before == now || !queue->running || atomic_load(&queue->virtio->broken))
        return;
    /* Pairs with the driver's read barrier between our index and the elements (2.7.14). */
    __atomic_store_n((uint16_t *)(queue->device_area + RING_INDEX), htole16(now), __ATOMIC_RELEASE);
    queue->published_used = now;
    /* Pairs with the driver's full barrier between its wish for interrupts and looking at our index (2.7.14). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (queue->event_index)
        wanted = (uint16_t)(now - used_event(queue) - 1) < (uint16_t)(now - before);
    else
        wanted = !(load16(queue->driver_area + RING_FLAGS) & AVAIL_NO_INTERRUPT);
    if (wanted)
        virtio_interrupt_queue(queue);
}

bool virtq_has_work(struct virtq *queue)
{
    return queue->running && !atomic_load(&queue->virtio->broken) &&
           load16(queue->driver_area + RING_INDEX) != queue->next_available;
}

void virtq_suppress_kicks(struct virtq *queue)
{
    /* With the event index there is nothing to do: an old avail_event suppresses by itself. */
    if (queue->running && !queue->event_index)
        store16(queue->device_area + RING_FLAGS, USED_NO_NOTIFY);
}

unsigned virtq_index(const struct virtq *queue)
{
    return queue->index;
}

unsigned virtq_size(const struct virtq *queue)
{
    return queue->size;
}
