/*
 * Shadow doorbells (NVMe 5.7, 7.13): the driver keeps tails and heads in memory, and writes the doorbell only when one
 * passes the event index that the controller has left beside it. The register's value then says nothing that memory
 * does not say, so an ioeventfd may take its place.
 *
 * The admin queue keeps its plain doorbell, as drivers use it; its event index follows, for one that looks.
 */
#include <unistd.h>

#include "nvme_private.h"

static uint64_t place_of(unsigned queue, bool completion)
{
    return queue * 8 + (completion ? 4 : 0);
}

static uint32_t load(const struct nvme *nvme, uint64_t page, uint64_t at)
{
    const uint32_t *word = memory_at(nvme->board->memory, page + at, 4);

    return word ? le32toh(__atomic_load_n(word, __ATOMIC_ACQUIRE)) : 0;
}

static void store(const struct nvme *nvme, uint64_t page, uint64_t at, uint32_t value)
{
    uint32_t *word = memory_at(nvme->board->memory, page + at, 4);

    if (word)
        __atomic_store_n(word, htole32(value), __ATOMIC_RELEASE);
}

void nvme_shadow_begin(const struct nvme *nvme, unsigned queue, bool completion)
{
    store(nvme, nvme->state.shadows, place_of(queue, completion), 0);
    store(nvme, nvme->state.event_indexes, place_of(queue, completion), 0);
}

uint32_t nvme_shadow_value(const struct nvme *nvme, unsigned queue, bool completion)
{
    return load(nvme, nvme->state.shadows, place_of(queue, completion));
}

bool nvme_shadow_ask(struct nvme *nvme, unsigned queue, bool completion)
{
    const struct nvme_sq *sq = &nvme->state.sq[queue];
    const struct nvme_cq *cq = &nvme->state.cq[queue];
    uint32_t known, size = completion ? cq->size : sq->size, now;

    pthread_mutex_lock(&nvme->lock);
    known = completion ? cq->head : sq->head;
    pthread_mutex_unlock(&nvme->lock);
    store(nvme, nvme->state.event_indexes, place_of(queue, completion), known);
    if (queue == 0)
        return false;
    /* Pairs with the driver's fence between its tail (or head) and its look at the event index. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    now = nvme_shadow_value(nvme, queue, completion);
    return now != known && now < size; /* what is no index is no reason to look again */
}

void nvme_shadow_place(struct nvme *nvme, unsigned sqid)
{
    struct vm *vm = nvme->board->vm;
    bool wanted = nvme->state.shadowed && nvme->state.sq[sqid].size && nvme->bar_address != PCI_NO_ADDRESS;
    uint64_t at = wanted ? nvme->bar_address + DOORBELLS_AT + place_of(sqid, false) : PCI_NO_ADDRESS;

    if (sqid == 0 || nvme->ioeventfd_at[sqid] == at)
        return;
    if (nvme->ioeventfd_at[sqid] != PCI_NO_ADDRESS)
        vm->ops->ioeventfd(vm, BUS_MMIO, nvme->ioeventfd_at[sqid], 4, NULL, nvme->kick.fd, false);
    nvme->ioeventfd_at[sqid] = PCI_NO_ADDRESS;
    /* Without one (KVM refuses) the plain write kicks. */
    if (at != PCI_NO_ADDRESS && vm->ops->ioeventfd(vm, BUS_MMIO, at, 4, NULL, nvme->kick.fd, true) == 0)
        nvme->ioeventfd_at[sqid] = at;
}

/* With the lock held. */
static void place_all(struct nvme *nvme)
{
    for (unsigned n = 1; n <= nvme->queues; n++)
        nvme_shadow_place(nvme, n);
}

void nvme_shadow_moved(struct pci_function *function, unsigned bar, uint64_t address)
{
    struct nvme *nvme = container_of(function, struct nvme, function);

    (void)bar;
    pthread_mutex_lock(&nvme->lock);
    nvme->bar_address = address;
    place_all(nvme);
    pthread_mutex_unlock(&nvme->lock);
}

/* A driver may start with clean pages while its queues have moved: what is known is written there (7.13). */
void nvme_shadow_start(struct nvme *nvme, uint64_t shadows, uint64_t event_indexes)
{
    struct nvme_state *state = &nvme->state;

    pthread_mutex_lock(&nvme->lock);
    state->shadows = shadows;
    state->event_indexes = event_indexes;
    for (unsigned n = 0; n <= nvme->queues; n++) {
        if (state->sq[n].size) {
            store(nvme, shadows, place_of(n, false), state->sq[n].tail);
            store(nvme, event_indexes, place_of(n, false), state->sq[n].tail);
        }
        if (state->cq[n].size)
            store(nvme, shadows, place_of(n, true), state->cq[n].head);
    }
    state->shadowed = true;
    place_all(nvme);
    pthread_mutex_unlock(&nvme->lock);
}

void nvme_shadow_stop(struct nvme *nvme)
{
    pthread_mutex_lock(&nvme->lock);
    nvme->state.shadowed = false;
    nvme->state.shadows = nvme->state.event_indexes = 0;
    place_all(nvme);
    pthread_mutex_unlock(&nvme->lock);
}

/* One descriptor stands for all queues: memory says which have moved. */
void nvme_shadow_kicked(void *opaque, short events)
{
    struct nvme *nvme = opaque;
    uint64_t count;

    (void)events;
    if (read(nvme->kick.fd, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&nvme->lock);
    for (unsigned n = 1; nvme->state.shadowed && n <= nvme->queues; n++)
        nvme->rung[n] |= nvme->state.sq[n].size != 0;
    nvme_wake(nvme);
    pthread_mutex_unlock(&nvme->lock);
}
