/* Submission and completion queues (NVMe 4): doorbells, rounds, completions, interrupts. */
#include "casement/log.h"
#include "nvme_private.h"

static uint32_t distance(uint32_t from, uint32_t to, uint32_t size)
{
    return to >= from ? to - from : to + size - from;
}

static uint32_t next(uint32_t index, uint32_t size)
{
    return index + 1 < size ? index + 1 : 0;
}

/* The pin is for drivers without MSI-X, which share it among all queues. */
void nvme_update_pin(struct nvme *nvme)
{
    bool wanted = false;

    if (pci_msix_enabled(&nvme->function))
        return;
    for (unsigned n = 0; n <= nvme->queues && !wanted; n++) {
        const struct nvme_cq *cq = &nvme->state.cq[n];

        wanted = cq->size && cq->interrupts && cq->head != cq->tail &&
                 !(cq->vector < 32 && (nvme->state.interrupt_mask >> cq->vector & 1));
    }
    pci_intx_set(&nvme->function, wanted);
}

/*
 * A head only moves towards the tail, so what nvme_reserve() has found stays there. What the driver wrote is checked
 * here and never again.
 */
static void move_head(struct nvme *nvme, struct nvme_cq *cq, uint32_t head)
{
    if (head >= cq->size || distance(cq->head, head, cq->size) > distance(cq->head, cq->tail, cq->size)) {
        nvme_event_raise(nvme, EVENT_DOORBELL_VALUE);
        return;
    }
    if (head == cq->head)
        return; /* no news, so nobody is woken who would look again, and again */
    cq->head = head;
    nvme_update_pin(nvme);
    if (nvme->stalled)
        nvme_wake(nvme);
}

static void move_tail(struct nvme *nvme, unsigned sqid, uint32_t tail)
{
    struct nvme_sq *sq = &nvme->state.sq[sqid];

    if (tail >= sq->size) {
        nvme_event_raise(nvme, EVENT_DOORBELL_VALUE);
        return;
    }
    sq->tail = tail;
    nvme->rung[sqid] = true;
    nvme_wake(nvme);
}

/*
 * The plain doorbell is an exit on purpose: its value is the message, and an ioeventfd tells only that something was
 * written. Drivers that keep their tails in memory get an ioeventfd (nvme_shadow.c).
 */
void nvme_doorbell(struct nvme *nvme, unsigned queue, bool completion, uint32_t value)
{
    struct nvme_state *state = &nvme->state;

    if (!(state->csts & CSTS_READY) || !(state->cc & CC_ENABLE))
        return;
    if (queue > nvme->queues || !(completion ? state->cq[queue].size : state->sq[queue].size)) {
        nvme_event_raise(nvme, EVENT_DOORBELL_REGISTER);
    } else if (state->shadowed && queue > 0) {
        /* Memory is newer than what is written here. */
        if (completion)
            nvme->cq_rung = true;
        else
            nvme->rung[queue] = true;
        nvme_wake(nvme);
    } else if (completion) {
        move_head(nvme, &state->cq[queue], value);
    } else {
        move_tail(nvme, queue, value);
    }
}

/* What the driver has left in memory is as good as what it writes to a doorbell. */
static void take_shadow(struct nvme *nvme, unsigned queue, bool completion)
{
    uint32_t value = nvme_shadow_value(nvme, queue, completion);

    pthread_mutex_lock(&nvme->lock);
    if (completion)
        move_head(nvme, &nvme->state.cq[queue], value);
    else if (value < nvme->state.sq[queue].size)
        nvme->state.sq[queue].tail = value;
    else
        nvme_event_raise(nvme, EVENT_DOORBELL_VALUE);
    pthread_mutex_unlock(&nvme->lock);
}

static bool shadowed(const struct nvme *nvme, unsigned queue)
{
    return nvme->state.shadowed && queue > 0;
}

static uint32_t room(const struct nvme *nvme, unsigned cqid)
{
    const struct nvme_cq *cq = &nvme->state.cq[cqid];

    return cq->size - 1 - distance(cq->head, cq->tail, cq->size);
}

static bool has_room(struct nvme *nvme, unsigned cqid)
{
    bool found;

    pthread_mutex_lock(&nvme->lock);
    found = nvme->outstanding[cqid] < room(nvme, cqid);
    nvme->stalled |= !found;
    pthread_mutex_unlock(&nvme->lock);
    return found;
}

/* A shadowed head moves in memory, and is looked at when there seems to be no room. */
bool nvme_reserve(struct nvme *nvme, unsigned cqid)
{
    bool found = has_room(nvme, cqid);

    if (!found && shadowed(nvme, cqid)) {
        take_shadow(nvme, cqid, true);
        if (nvme_shadow_ask(nvme, cqid, true))
            take_shadow(nvme, cqid, true);
        found = has_room(nvme, cqid);
    }
    if (found)
        nvme->outstanding[cqid]++;
    return found;
}

void nvme_release(struct nvme *nvme, unsigned cqid)
{
    nvme->outstanding[cqid]--;
}

/* The place of the next completion, which is taken; NULL when a reset has been asked for: nobody is told any more. */
static uint8_t *take_place(struct nvme *nvme, struct nvme_cq *cq)
{
    uint32_t at = cq->tail;
    bool told;

    /* The tail first: a driver that polls may answer with the head's doorbell at once. */
    pthread_mutex_lock(&nvme->lock);
    told = !nvme->closing && !nvme->reset_due;
    if (told)
        cq->tail = next(at, cq->size);
    pthread_mutex_unlock(&nvme->lock);
    return told ? memory_at(nvme->board->memory, cq->base + (uint64_t)at * COMPLETION_BYTES, COMPLETION_BYTES) : NULL;
}

void nvme_complete(struct nvme *nvme, unsigned sqid, uint16_t cid, uint32_t dw0, uint16_t status)
{
    const struct nvme_sq *sq = &nvme->state.sq[sqid];
    struct nvme_cq *cq = &nvme->state.cq[sq->cqid];
    uint8_t *entry;

    nvme_release(nvme, sq->cqid);
    entry = take_place(nvme, cq);
    if (!entry)
        return;
    put_le32(entry, dw0);
    put_le32(entry + 4, 0);
    put_le32(entry + 8, (uint32_t)sqid << 16 | sq->head);
    /* The phase bit makes it the driver's, so it comes last. */
    __atomic_store_n((uint32_t *)(void *)(entry + 12),
                     htole32((uint32_t)status << 17 | (uint32_t)cq->phase << 16 | cid), __ATOMIC_RELEASE);
    if (cq->tail == 0)
        cq->phase ^= 1;
    nvme->due[sq->cqid] = true;
}

void nvme_announce(struct nvme *nvme)
{
    bool messages = pci_msix_enabled(&nvme->function), any = false;

    for (unsigned n = 0; n <= nvme->queues; n++) {
        const struct nvme_cq *cq = &nvme->state.cq[n];

        if (!nvme->due[n])
            continue;
        nvme->due[n] = false;
        if (!cq->size || !cq->interrupts)
            continue;
        any = true;
        if (messages)
            pci_msix_fire(&nvme->function, cq->vector);
        else if (shadowed(nvme, n) && nvme_shadow_ask(nvme, n, true))
            take_shadow(nvme, n, true); /* the pin follows the head */
    }
    if (!any || messages)
        return;
    pthread_mutex_lock(&nvme->lock);
    nvme_update_pin(nvme);
    pthread_mutex_unlock(&nvme->lock);
}

/* The next entry, read once. */
static void fetch(struct nvme *nvme, struct nvme_sq *sq, struct nvme_command *command)
{
    uint8_t entry[COMMAND_BYTES] = {0};

    /* It cannot fail: the queue's memory was there when it was made, and memory does not move. */
    (void)memory_read(nvme->board->memory, sq->base + (uint64_t)sq->head * COMMAND_BYTES, entry, sizeof entry);
    sq->head = next(sq->head, sq->size);
    *command = (struct nvme_command){.opcode = entry[0],
                                     .flags = entry[1],
                                     .cid = get_le16(entry + 2),
                                     .nsid = get_le32(entry + 4),
                                     .prp1 = get_le64(entry + 24),
                                     .prp2 = get_le64(entry + 32),
                                     .dw10 = get_le32(entry + 40),
                                     .dw11 = get_le32(entry + 44),
                                     .dw12 = get_le32(entry + 48),
                                     .dw13 = get_le32(entry + 52),
                                     .dw14 = get_le32(entry + 56),
                                     .dw15 = get_le32(entry + 60)};
}

static struct nvme_request *take_request(struct nvme *nvme)
{
    struct nvme_request *request = nvme->unused;

    if (request)
        nvme->unused = request->next;
    else
        nvme->starved = true;
    return request;
}

static void give_back(struct nvme *nvme, struct nvme_request *request)
{
    request->next = nvme->unused;
    nvme->unused = request;
}

/* One command off the queue. false: it has to wait. */
static bool run_one(struct nvme *nvme, unsigned sqid)
{
    struct nvme_sq *sq = &nvme->state.sq[sqid];
    struct nvme_request *request = NULL;
    struct nvme_command command;
    uint16_t cqid = sq->cqid;

    if (sqid > 0 && !(request = take_request(nvme)))
        return false;
    if (!nvme_reserve(nvme, cqid)) {
        if (request)
            give_back(nvme, request);
        return false;
    }
    fetch(nvme, sq, &command);
    if (!request) {
        nvme_admin_run(nvme, &command);
        return true;
    }
    request->sqid = (uint16_t)sqid;
    request->cid = command.cid;
    nvme_io_start(request, &command);
    return true;
}

static uint32_t tail_of(struct nvme *nvme, unsigned sqid)
{
    uint32_t tail;

    if (shadowed(nvme, sqid))
        take_shadow(nvme, sqid, false);
    pthread_mutex_lock(&nvme->lock);
    tail = nvme->state.sq[sqid].tail;
    pthread_mutex_unlock(&nvme->lock);
    return tail;
}

/* Takes commands up to the tail, or a burst of them. true: there are more that could be taken at once. */
static bool run_queue(struct nvme *nvme, unsigned sqid)
{
    struct nvme_sq *sq = &nvme->state.sq[sqid];
    uint32_t tail = sq->size ? tail_of(nvme, sqid) : 0;

    for (unsigned taken = 0; sq->size && sq->head != tail; taken++) {
        if (taken == BURST)
            return true;
        if (!run_one(nvme, sqid))
            return false; /* still busy: room or a request brings the loop back */
    }
    nvme->busy[sqid] = false;
    if (sq->size && nvme->state.shadowed)
        nvme->busy[sqid] = nvme_shadow_ask(nvme, sqid, false);
    return nvme->busy[sqid];
}

static void take_rung(struct nvme *nvme)
{
    bool heads;

    pthread_mutex_lock(&nvme->lock);
    for (unsigned n = 0; n <= nvme->queues; n++) {
        nvme->busy[n] |= nvme->rung[n];
        nvme->rung[n] = false;
    }
    heads = nvme->cq_rung && nvme->state.shadowed;
    nvme->cq_rung = false;
    nvme->stalled = false;
    pthread_mutex_unlock(&nvme->lock);
    nvme->starved = false;
    for (unsigned n = 1; heads && n <= nvme->queues; n++)
        if (nvme->state.cq[n].size)
            take_shadow(nvme, n, true);
}

/* Every queue has its turn in a round: that is the round robin of NVMe 4.13. */
void nvme_queues_run(struct nvme *nvme)
{
    bool more = false;

    take_rung(nvme);
    for (unsigned n = 0; n <= nvme->queues; n++)
        if (nvme->busy[n] && nvme_serves(nvme))
            more |= run_queue(nvme, n);
    block_queue_kick(nvme->block_queue);
    nvme_events_deliver(nvme);
    nvme_announce(nvme);
    if (more) {
        pthread_mutex_lock(&nvme->lock);
        nvme_wake(nvme);
        pthread_mutex_unlock(&nvme->lock);
    }
}

void nvme_sq_open(struct nvme *nvme, unsigned sqid, const struct nvme_sq *sq)
{
    pthread_mutex_lock(&nvme->lock);
    nvme->state.sq[sqid] = *sq;
    nvme->rung[sqid] = false;
    if (nvme->state.shadowed)
        nvme_shadow_begin(nvme, sqid, false);
    nvme_shadow_place(nvme, sqid);
    pthread_mutex_unlock(&nvme->lock);
    nvme->busy[sqid] = false;
}

void nvme_cq_open(struct nvme *nvme, unsigned cqid, const struct nvme_cq *cq)
{
    nvme->outstanding[cqid] = 0;
    nvme->due[cqid] = false;
    pthread_mutex_lock(&nvme->lock);
    nvme->state.cq[cqid] = *cq;
    nvme->state.cq[cqid].phase = 1;
    if (nvme->state.shadowed)
        nvme_shadow_begin(nvme, cqid, true);
    pthread_mutex_unlock(&nvme->lock);
}

void nvme_sq_close(struct nvme *nvme, unsigned sqid)
{
    pthread_mutex_lock(&nvme->lock);
    nvme->state.sq[sqid] = (struct nvme_sq){0};
    nvme->rung[sqid] = false;
    nvme_shadow_place(nvme, sqid);
    pthread_mutex_unlock(&nvme->lock);
    nvme->busy[sqid] = false;
}

void nvme_cq_close(struct nvme *nvme, unsigned cqid)
{
    pthread_mutex_lock(&nvme->lock);
    nvme->state.cq[cqid] = (struct nvme_cq){0};
    nvme_update_pin(nvme);
    pthread_mutex_unlock(&nvme->lock);
    nvme->due[cqid] = false;
}
