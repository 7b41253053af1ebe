/*
 * Turns under a limit, and requests that wait for space (see gate.h).
 *
 * A limit is kept by its virtual time: each request moves the time at which the next one's turn is by what it costs,
 * and that time stays at most BURST_NS behind the clock. Nothing ticks while nothing waits, and queues need no fairness
 * between them, for each request has its own time before it waits for it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "casement/bytes.h"
#include "engine.h"

#define SECOND_NS INT64_C(1000000000)
#define BURST_NS (SECOND_NS / 10) /* what may come at once after a rest */
#define SPACE_NS SECOND_NS        /* between two looks for space */

void request_list_init(struct request_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

void request_append(struct request_list *list, struct block_request *request)
{
    request->next = NULL;
    *list->last = request;
    list->last = &request->next;
}

struct block_request *request_take(struct request_list *list)
{
    struct block_request *request = list->first;

    if (request)
        list->first = request->next;
    if (!list->first)
        list->last = &list->first;
    return request;
}

/* When something of this cost may start by a limit of so much each second. */
static int64_t reserve(int64_t *due_ns, uint64_t limit, uint64_t cost, int64_t now)
{
    int64_t start = MAX(*due_ns, now - BURST_NS);

    if (!limit)
        return 0;
    /* In floating point, for a length times a second may be more than an integer holds. */
    *due_ns = start + (int64_t)((double)cost * (double)SECOND_NS / (double)limit);
    return start;
}

/* Flushes move nothing, and a guest that waits for one has paid for its writes. */
static int64_t turn_of(struct gate *gate, const struct block_request *request, int64_t now)
{
    bool moves = request->op == BLOCK_READ || request->op == BLOCK_WRITE;
    int64_t by_operations, by_bytes, start;

    if (request->op == BLOCK_FLUSH)
        return 0;
    pthread_mutex_lock(&gate->lock);
    by_operations = reserve(&gate->operations_due_ns, gate->limits.operations, 1, now);
    by_bytes = reserve(&gate->bytes_due_ns, gate->limits.bytes, moves ? request->length : 0, now);
    start = MAX(by_operations, by_bytes);
    pthread_mutex_unlock(&gate->lock);
    return start;
}

void gate_submit(struct block_queue *queue, struct block_request *request)
{
    struct gate *gate = &queue->block->gate;
    struct gate_queue *at = &queue->gate;
    int64_t now;

    if (at->open || (!gate->limits.operations && !gate->limits.bytes)) {
        block_admit(queue, request);
        return;
    }
    now = clock_ns();
    request->turn_ns = turn_of(gate, request, now);
    if (request->turn_ns <= now && (!at->turn.first || request->op == BLOCK_FLUSH)) {
        block_admit(queue, request);
        return;
    }
    atomic_fetch_add_explicit(&queue->block->counters.delayed, 1, memory_order_relaxed);
    request_append(&at->turn, request);
    if (at->turn.first == request)
        loop_timer_set(queue->loop, &at->turn_timer, request->turn_ns);
}

static void turn_comes(void *opaque)
{
    struct block_queue *queue = opaque;
    struct gate_queue *at = &queue->gate;
    int64_t now = clock_ns();

    while (at->turn.first && at->turn.first->turn_ns <= now)
        block_admit(queue, request_take(&at->turn));
    if (at->turn.first)
        loop_timer_set(queue->loop, &at->turn_timer, at->turn.first->turn_ns);
    block_queue_kick(queue);
}

static void set_held(struct gate *gate, struct block_request *request, bool held)
{
    bool changed;

    if (request->held == held)
        return;
    request->held = held;
    pthread_mutex_lock(&gate->lock);
    gate->held += held ? 1 : -1;
    changed = gate->held == (held ? 1 : 0); /* the first one, or the last */
    /* Under the lock, so that what is told last is what is so. */
    if (changed && gate->full)
        gate->full(gate->full_opaque, held);
    pthread_mutex_unlock(&gate->lock);
}

static bool is_watched(struct gate *gate)
{
    bool watched;

    pthread_mutex_lock(&gate->lock);
    watched = gate->full;
    pthread_mutex_unlock(&gate->lock);
    return watched;
}

bool gate_keeps(struct block_queue *queue, struct block_request *request, int result)
{
    struct gate *gate = &queue->block->gate;
    bool keep = result == -ENOSPC && !queue->gate.open && is_watched(gate);

    set_held(gate, request, keep);
    if (keep) {
        request_append(&queue->gate.space, request);
        if (queue->gate.space.first == request)
            loop_timer_set(queue->loop, &queue->gate.space_timer, clock_ns() + SPACE_NS);
    }
    return keep;
}

static void try_again(void *opaque)
{
    struct block_queue *queue = opaque;
    struct block_request *request = queue->gate.space.first;

    request_list_init(&queue->gate.space);
    while (request) {
        struct block_request *next = request->next;

        request->transferred = 0;
        block_admit(queue, request);
        request = next;
    }
    block_queue_kick(queue);
}

void gate_open(struct block_queue *queue)
{
    struct block_request *request;

    queue->gate.open = true;
    while ((request = request_take(&queue->gate.turn)))
        block_admit(queue, request);
    while ((request = request_take(&queue->gate.space)))
        block_finish(queue, request, -ENOSPC);
}

void gate_close(struct block_queue *queue)
{
    queue->gate.open = false;
}

void gate_init(struct gate *gate, const struct block_limits *limits)
{
    gate->limits = *limits;
    pthread_mutex_init(&gate->lock, NULL);
}

void gate_destroy(struct gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
}

void gate_queue_init(struct block_queue *queue)
{
    struct gate_queue *at = &queue->gate;

    request_list_init(&at->turn);
    request_list_init(&at->space);
    at->turn_timer = (struct loop_timer){.expired = turn_comes, .opaque = queue};
    at->space_timer = (struct loop_timer){.expired = try_again, .opaque = queue};
}

void gate_queue_destroy(struct block_queue *queue)
{
    loop_timer_remove(queue->loop, &queue->gate.turn_timer);
    loop_timer_remove(queue->loop, &queue->gate.space_timer);
}

void block_on_full(struct block *block, void (*changed)(void *opaque, bool full), void *opaque)
{
    pthread_mutex_lock(&block->gate.lock);
    block->gate.full = changed;
    block->gate.full_opaque = opaque;
    pthread_mutex_unlock(&block->gate.lock);
}

struct block_limits block_limits(const struct block *block)
{
    return block->gate.limits;
}
