/*
 * Requests on their way through an engine: bounds, steps, buffers that direct I/O cannot use, transfers that come back
 * short, and more requests than the engine takes at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "engine.h"
#include "qcow2_queue.h"

static bool transfers(const struct block_request *request)
{
    return request->op == BLOCK_READ || request->op == BLOCK_WRITE;
}

static int check(const struct block *block, const struct block_request *request)
{
    uint64_t size = block->size;

    if (request->op == BLOCK_FLUSH)
        return 0;
    if (request->op != BLOCK_READ && block->read_only)
        return -EROFS;
    if (request->offset > size || request->length > size - request->offset)
        return -EINVAL;
    if (request->op == BLOCK_DISCARD && !block->can_discard)
        return -EOPNOTSUPP;
    return 0;
}

/* Whether the request's buffers can be handed to the host as they are. */
static bool buffers_fit(const struct block *block, const struct block_request *request)
{
    uintptr_t mask = block->memory_alignment - 1;

    if (!block->direct)
        return true;
    for (unsigned n = 0; n < request->iov_count; n++)
        if (((uintptr_t)request->iov[n].iov_base & mask) || request->iov[n].iov_len % 512)
            return false;
    return true;
}

/* Zeroes that the file system does not make by itself are written. */
static bool writes_zeroes(const struct block_request *request)
{
    const struct block *block = request->queue->block;

    return request->op == BLOCK_WRITE_ZEROES && !(request->unmap ? block->can_discard : block->can_zero);
}

/* Copies between the bounce buffer and the request's buffers, at the place where the request stands. */
static void copy_bounce(const struct block_request *request, uint64_t length, bool to_bounce)
{
    uint8_t *bounce = request->bounce;
    uint64_t skip = request->transferred;

    for (unsigned n = 0; n < request->iov_count && length; n++) {
        const struct iovec *iov = &request->iov[n];
        uint64_t now;

        if (skip >= iov->iov_len) {
            skip -= iov->iov_len;
            continue;
        }
        now = MIN(length, iov->iov_len - skip);
        if (to_bounce)
            memcpy(bounce, (uint8_t *)iov->iov_base + skip, now);
        else
            memcpy((uint8_t *)iov->iov_base + skip, bounce, now);
        bounce += now;
        length -= now;
        skip = 0;
    }
}

static uint64_t bounce_length(const struct block_request *request)
{
    return MIN(request->length - request->transferred, (uint64_t)BOUNCE_BYTES);
}

void block_next_step(const struct block_request *request, struct block_step *step)
{
    *step = (struct block_step){.offset = request->offset + request->transferred,
                                .length = request->length - request->transferred};
    if (request->op == BLOCK_FLUSH) {
        step->kind = STEP_SYNC;
    } else if (request->bounce) {
        request->bounce_iov->iov_len = step->length = bounce_length(request);
        step->kind = request->op == BLOCK_READ ? STEP_READ : STEP_WRITE;
        step->iov = request->bounce_iov;
        step->iov_count = 1;
        if (request->op == BLOCK_WRITE)
            copy_bounce(request, step->length, true);
    } else if (transfers(request)) {
        step->kind = request->op == BLOCK_READ ? STEP_READ : STEP_WRITE;
        step->iov = request->iov;
        step->iov_count = request->iov_count;
    } else {
        step->kind = STEP_ALLOCATE;
        step->mode = request->op == BLOCK_DISCARD || request->unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                                                    : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    }
}

/* A buffer that any transfer fits; the iovec that describes it stands in front of it. */
static int make_bounce(struct block_request *request)
{
    uint8_t *memory = aligned_alloc(4096, 4096 + BOUNCE_BYTES);

    if (!memory)
        return -ENOMEM;
    request->bounce_iov = (struct iovec *)memory;
    request->bounce = memory + 4096;
    *request->bounce_iov = (struct iovec){request->bounce, 0};
    if (request->op == BLOCK_WRITE_ZEROES)
        memset(request->bounce, 0, BOUNCE_BYTES);
    return 0;
}

static void add(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static void count(struct block_counters *counters, const struct block_request *request, int result)
{
    if (result < 0) {
        add(&counters->errors, 1);
    } else if (request->op == BLOCK_READ) {
        add(&counters->reads, 1);
        add(&counters->read_bytes, request->length);
    } else if (request->op == BLOCK_WRITE) {
        add(&counters->writes, 1);
        add(&counters->written_bytes, request->length);
    } else if (request->op == BLOCK_FLUSH) {
        add(&counters->flushes, 1);
    }
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void block_totals(const struct block *block, struct block_totals *totals)
{
    const struct block_counters *counters = &block->counters;

    *totals = (struct block_totals){.read_bytes = read_counter(&counters->read_bytes),
                                    .written_bytes = read_counter(&counters->written_bytes),
                                    .reads = read_counter(&counters->reads),
                                    .writes = read_counter(&counters->writes),
                                    .flushes = read_counter(&counters->flushes),
                                    .errors = read_counter(&counters->errors),
                                    .delayed = read_counter(&counters->delayed)};
}

void block_finish(struct block_queue *queue, struct block_request *request, int result)
{
    free(request->bounce_iov);
    request->bounce_iov = NULL;
    request->bounce = NULL;
    if (!request->piece && gate_keeps(queue, request, result))
        return;
    if (!request->piece)
        count(&queue->block->counters, request, result);
    request->result = result;
    request->next = queue->finished;
    queue->finished = request;
}

/* Tells what is finished. A callback may submit and kick again. */
static void tell(struct block_queue *queue)
{
    bool any = queue->finished != NULL;

    while (queue->finished) {
        struct block_request *request = queue->finished;

        queue->finished = request->next;
        request->done(request, request->result);
    }
    if (any && queue->batch)
        queue->batch(queue->batch_opaque);
}

static void start_waiting(struct block_queue *queue)
{
    while (queue->waiting.first && queue->in_flight < queue->depth) {
        struct block_request *request = request_take(&queue->waiting);
        int failed = 0;

        if ((transfers(request) && !buffers_fit(queue->block, request)) || writes_zeroes(request))
            failed = make_bounce(request);
        if (failed < 0) {
            block_finish(queue, request, failed);
            continue;
        }
        queue->in_flight++;
        queue->block->engine->start(queue, request);
    }
}

/* The rest of a file that became shorter under us reads as zeroes. */
static void zero_rest(struct block_request *request)
{
    uint64_t skip = request->transferred;

    for (unsigned n = 0; n < request->iov_count; n++) {
        const struct iovec *iov = &request->iov[n];
        uint64_t kept = MIN(skip, iov->iov_len);

        memset((uint8_t *)iov->iov_base + kept, 0, iov->iov_len - kept);
        skip -= kept;
    }
    request->transferred = request->length;
}

void block_step_done(struct block_queue *queue, struct block_request *request, int64_t result)
{
    bool bytes = transfers(request) || request->bounce;

    if (result == -EINTR || result == -EAGAIN) {
        queue->block->engine->start(queue, request);
        return;
    }
    /* A quota is a disk that is full. But what fsync() could not write the host has forgotten: trying again would
     * succeed, and save nothing. */
    if (result == -EDQUOT)
        result = -ENOSPC;
    if (result == -ENOSPC && request->op == BLOCK_FLUSH)
        result = -EIO;
    if (result >= 0 && bytes) {
        if (request->op == BLOCK_READ && request->bounce && result > 0)
            copy_bounce(request, (uint64_t)result, false);
        request->transferred += (uint64_t)result;
        if (result == 0 && request->op == BLOCK_READ && request->transferred < request->length)
            zero_rest(request);
        else if (result == 0 && request->transferred < request->length)
            result = -EIO;
        /* Short: the rest goes through our own buffer, whatever its alignment. */
        if (result >= 0 && request->transferred < request->length) {
            if (request->bounce || make_bounce(request) == 0) {
                queue->block->engine->start(queue, request);
                return;
            }
            result = -ENOMEM;
        }
    }
    queue->in_flight--;
    block_finish(queue, request, result < 0 ? (int)result : 0);
}

static void prepare(struct block_queue *queue, struct block_request *request, bool piece)
{
    request->queue = queue;
    request->next = NULL;
    request->bounce = NULL;
    request->bounce_iov = NULL;
    request->transferred = 0;
    request->piece = piece;
    request->held = false;
}

void block_start_piece(struct block_queue *queue, struct block_request *piece)
{
    prepare(queue, piece, true);
    request_append(&queue->waiting, piece);
}

void block_admit(struct block_queue *queue, struct block_request *request)
{
    if (queue->qcow2)
        qcow2_submit(queue, request);
    else
        request_append(&queue->waiting, request);
}

void block_submit(struct block_queue *queue, struct block_request *request)
{
    int failed = check(queue->block, request);

    prepare(queue, request, false);
    if (failed < 0 || (request->length == 0 && request->op != BLOCK_FLUSH)) {
        block_finish(queue, request, failed);
        return;
    }
    gate_submit(queue, request);
}

/* Also what an engine calls behind a batch of completions. */
void block_queue_kick(struct block_queue *queue)
{
    /* Telling first: completions free places, and the guest learns of them before more work begins (lessons 6.3). */
    do {
        tell(queue);
        start_waiting(queue);
        queue->block->engine->kick(queue);
        if (queue->qcow2)
            qcow2_queue_kick(queue);
    } while (queue->finished || (queue->waiting.first && queue->in_flight < queue->depth));
}

void block_queue_on_batch(struct block_queue *queue, void (*batch)(void *opaque), void *opaque)
{
    queue->batch = batch;
    queue->batch_opaque = opaque;
}

void block_queue_drain(struct block_queue *queue)
{
    gate_open(queue);
    block_queue_kick(queue);
    while (queue->in_flight || queue->waiting.first || queue->finished || (queue->qcow2 && qcow2_queue_busy(queue))) {
        if (queue->in_flight)
            queue->block->engine->wait(queue);
        else if (queue->qcow2)
            qcow2_queue_wait(queue);
        block_queue_kick(queue);
    }
    gate_close(queue);
}

struct block_queue *block_queue_create(struct block *block, struct loop *loop, unsigned depth, struct error *error)
{
    struct block_queue *queue = calloc(1, sizeof *queue);
    int failed = queue ? 0 : -ENOMEM;

    if (queue) {
        queue->block = block;
        queue->loop = loop;
        queue->depth = MAX(depth, 1U);
        request_list_init(&queue->waiting);
        gate_queue_init(queue);
        failed = block->engine->create(queue);
    }
    if (failed < 0) {
        error_set(error, -failed, "disk: its %s engine cannot start: %s; %s", block->engine->name, strerror(-failed),
                  block->terms->engine);
        free(queue);
        return NULL;
    }
    if (block->qcow2 && qcow2_queue_create(queue, error) < 0) {
        block->engine->destroy(queue);
        free(queue);
        return NULL;
    }
    return queue;
}

void block_queue_destroy(struct block_queue *queue)
{
    if (!queue)
        return;
    block_queue_drain(queue);
    gate_queue_destroy(queue);
    if (queue->qcow2)
        qcow2_queue_destroy(queue);
    queue->block->engine->destroy(queue);
    free(queue);
}
