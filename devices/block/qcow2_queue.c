/* Requests on a qcow2 image, on their queue's loop: what can be mapped in memory goes to the engine at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "qcow2_queue.h"

#define TRIES_MAX 1000U /* what was prepared is gone again each time: more requests than tables in memory */
#define BACKING_DEPTH 32U

struct qcow2_queue {
    struct block_queue *queue, *backing;
    struct qcow2 *q;
    unsigned jobs;
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct qcow2_job *returned; /* by workers */
    unsigned at_work;           /* at workers, or returned */
    struct loop_watch watch;
};

/* A part of a request that is in one place of one file. */
struct piece {
    struct block_request request; /* first */
    struct qcow2_job *job;
    struct iovec iov[];
};

static void advance(struct qcow2_job *job);

static void finish(struct qcow2_job *job)
{
    struct qcow2_queue *queue = job->queue;

    if (job->request->op != BLOCK_FLUSH) {
        pthread_mutex_lock(&queue->q->lock);
        qcow2_leave(queue->q, job->parity);
        pthread_mutex_unlock(&queue->q->lock);
    }
    queue->jobs--;
    block_finish(queue->queue, job->request, job->result);
    free(job);
}

static void piece_done(struct block_request *request, int result)
{
    struct qcow2_job *job = container_of(request, struct piece, request)->job;

    free(request);
    if (result < 0 && job->result == 0)
        job->result = result;
    if (--job->pieces == 0 && !job->busy)
        finish(job);
}

void qcow2_fill(const struct block_request *request, uint64_t at, const uint8_t *from, uint64_t length)
{
    for (unsigned n = 0; n < request->iov_count && length; n++) {
        const struct iovec *iov = &request->iov[n];
        uint64_t now;

        if (at >= iov->iov_len) {
            at -= iov->iov_len;
            continue;
        }
        now = MIN(length, iov->iov_len - at);
        if (from) {
            memcpy((uint8_t *)iov->iov_base + at, from, now);
            from += now;
        } else {
            memset((uint8_t *)iov->iov_base + at, 0, now);
        }
        length -= now;
        at = 0;
    }
}

static unsigned cut_iov(const struct block_request *request, uint64_t at, uint64_t length, struct iovec *to)
{
    unsigned count = 0;

    for (unsigned n = 0; n < request->iov_count && length; n++) {
        const struct iovec *iov = &request->iov[n];

        if (at >= iov->iov_len) {
            at -= iov->iov_len;
            continue;
        }
        to[count] = (struct iovec){(uint8_t *)iov->iov_base + at, MIN(length, iov->iov_len - at)};
        length -= to[count++].iov_len;
        at = 0;
    }
    return count;
}

/* Starts the next length bytes of the job's request, which are at offset there. */
static void start_piece(struct qcow2_job *job, bool backing, uint64_t offset, uint64_t length)
{
    const struct block_request *request = job->request;
    struct piece *piece = malloc(sizeof *piece + request->iov_count * sizeof *piece->iov);

    if (!piece) {
        job->result = -ENOMEM;
        return;
    }
    piece->job = job;
    piece->request = (struct block_request){.op = request->op,
                                            .offset = offset,
                                            .length = length,
                                            .iov = piece->iov,
                                            .iov_count = cut_iov(request, job->at, length, piece->iov),
                                            .done = piece_done};
    job->pieces++;
    job->at += length;
    job->tries = 0;
    if (backing)
        block_submit(job->queue->backing, &piece->request);
    else
        block_start_piece(job->queue->queue, &piece->request);
}

static void skip(struct qcow2_job *job, uint64_t length)
{
    job->at += length;
    job->tries = 0;
}

static void give_to_worker(struct qcow2_job *job)
{
    job->queue->at_work++;
    qcow2_work(job->queue->queue->block->workers, job);
}

/* Starts what the extent says for the next part of a transfer. false: a worker has the job now. */
static bool transfer(struct qcow2_job *job)
{
    const struct qcow2_extent *extent = &job->extent;
    uint64_t guest = job->request->offset + job->at;

    switch (extent->kind) {
    case QCOW2_DATA:
        start_piece(job, false, extent->host, extent->length);
        return true;
    case QCOW2_BACKING:
        start_piece(job, true, guest, extent->length);
        return true;
    case QCOW2_ZEROES:
        qcow2_fill(job->request, job->at, NULL, extent->length);
        skip(job, extent->length);
        return true;
    default:
        if (++job->tries > TRIES_MAX) {
            job->result = -EIO;
            return true;
        }
        give_to_worker(job);
        return false;
    }
}

static int map(struct qcow2_job *job, uint64_t length, bool write)
{
    struct qcow2 *q = job->queue->q;
    int failed;

    pthread_mutex_lock(&q->lock);
    failed = qcow2_map(q, job->request->offset + job->at, length, write, &job->extent);
    pthread_mutex_unlock(&q->lock);
    return failed;
}

/* Whole clusters are freed; zeroes for a part of one are written, unless it reads as such already. */
static bool step_zero(struct qcow2_job *job)
{
    const struct block_request *request = job->request;
    struct qcow2 *q = job->queue->q;
    uint64_t guest = request->offset + job->at, left = request->length - job->at, within = guest & (q->cluster - 1);
    bool to_end = guest + left == block_size(job->queue->queue->block);
    uint64_t part = MIN(left, q->cluster - within);

    if (!within && (left >= q->cluster || to_end)) {
        job->extent = (struct qcow2_extent){.kind = QCOW2_ZEROES, .length = to_end ? left : left & ~(q->cluster - 1)};
        give_to_worker(job);
        return false;
    }
    if (request->op == BLOCK_DISCARD) {
        skip(job, part);
        return true;
    }
    job->result = map(job, part, false);
    if (job->result == 0 && job->extent.kind == QCOW2_ZEROES) {
        skip(job, job->extent.length);
        return true;
    }
    if (job->result == 0 && job->extent.kind != QCOW2_PREPARE)
        job->result = map(job, part, true);
    return job->result < 0 || transfer(job);
}

static void submit_flush(struct qcow2_job *job)
{
    struct qcow2 *q = job->queue->q;
    bool clean;

    pthread_mutex_lock(&q->lock);
    clean = q->read_only || qcow2_is_clean(q);
    pthread_mutex_unlock(&q->lock);
    job->extent.kind = QCOW2_COMMIT;
    if (clean) {
        job->busy = false;
        start_piece(job, false, 0, 0);
        if (job->result < 0)
            finish(job);
    } else {
        give_to_worker(job);
    }
}

static bool step(struct qcow2_job *job)
{
    const struct block_request *request = job->request;

    if (request->op == BLOCK_DISCARD || request->op == BLOCK_WRITE_ZEROES)
        return step_zero(job);
    job->result = map(job, request->length - job->at, request->op == BLOCK_WRITE);
    return job->result < 0 || transfer(job);
}

static void advance(struct qcow2_job *job)
{
    job->busy = true;
    while (job->result == 0 && job->at < job->request->length)
        if (!step(job))
            return;
    job->busy = false;
    if (job->pieces == 0)
        finish(job);
}

void qcow2_submit(struct block_queue *block_queue, struct block_request *request)
{
    struct qcow2_queue *queue = block_queue->qcow2;
    struct qcow2_job *job = calloc(1, sizeof *job);

    if (!job) {
        block_finish(block_queue, request, -ENOMEM);
        return;
    }
    job->request = request;
    job->queue = queue;
    job->busy = true;
    queue->jobs++;
    /* A flush uses no cluster, and must not keep its own commit from giving them back. */
    if (request->op == BLOCK_FLUSH) {
        submit_flush(job);
        return;
    }
    pthread_mutex_lock(&queue->q->lock);
    job->parity = qcow2_enter(queue->q);
    pthread_mutex_unlock(&queue->q->lock);
    advance(job);
}

void qcow2_returned(struct qcow2_job *job)
{
    struct qcow2_queue *queue = job->queue;
    uint64_t one = 1;
    ssize_t ignored;

    pthread_mutex_lock(&queue->lock);
    job->next = queue->returned;
    queue->returned = job;
    pthread_cond_signal(&queue->some);
    /* Under the lock: behind it the queue may be gone. It fails when the counter is full; the loop is awake then. */
    ignored = write(queue->watch.fd, &one, sizeof one);
    (void)ignored;
    pthread_mutex_unlock(&queue->lock);
}

/* A worker has done what it was asked for. */
static void go_on(struct qcow2_job *job)
{
    bool zero = job->extent.kind == QCOW2_ZEROES;

    if (zero && job->worked == -EAGAIN) {
        job->extent.kind = QCOW2_COMMIT;
        give_to_worker(job);
        return;
    }
    if (job->worked < 0 && job->result == 0)
        job->result = job->worked;
    if (job->request->op == BLOCK_FLUSH) {
        job->busy = false;
        finish(job);
        return;
    }
    if (job->done)
        skip(job, job->done);
    advance(job);
}

static void take_returned(struct qcow2_queue *queue)
{
    struct qcow2_job *job;

    pthread_mutex_lock(&queue->lock);
    job = queue->returned;
    queue->returned = NULL;
    pthread_mutex_unlock(&queue->lock);
    while (job) {
        struct qcow2_job *next = job->next;

        queue->at_work--;
        go_on(job);
        job = next;
    }
}

static void ready(void *opaque, short events)
{
    struct qcow2_queue *queue = opaque;
    uint64_t count;

    (void)events;
    if (read(queue->watch.fd, &count, sizeof count) < 0)
        return;
    take_returned(queue);
    block_queue_kick(queue->queue);
}

static void watch(void *opaque)
{
    struct qcow2_queue *queue = opaque;

    loop_watch(queue->queue->loop, &queue->watch);
}

static void unwatch(void *opaque)
{
    struct qcow2_queue *queue = opaque;

    loop_unwatch(queue->queue->loop, &queue->watch);
}

void qcow2_queue_kick(struct block_queue *queue)
{
    if (queue->qcow2->backing)
        block_queue_kick(queue->qcow2->backing);
}

bool qcow2_queue_busy(const struct block_queue *queue)
{
    return queue->qcow2->jobs;
}

void qcow2_queue_wait(struct block_queue *block_queue)
{
    struct qcow2_queue *queue = block_queue->qcow2;

    if (!queue->at_work) {
        if (queue->backing)
            block_queue_drain(queue->backing);
        return;
    }
    pthread_mutex_lock(&queue->lock);
    while (!queue->returned)
        pthread_cond_wait(&queue->some, &queue->lock);
    pthread_mutex_unlock(&queue->lock);
    take_returned(queue);
}

/* The backing image's completions end requests of this queue. */
static void backing_batch(void *opaque)
{
    block_queue_kick(opaque);
}

int qcow2_queue_create(struct block_queue *block_queue, struct error *error)
{
    struct qcow2_queue *queue = calloc(1, sizeof *queue);
    struct block *block = block_queue->block;

    if (!queue)
        return error_set(error, ENOMEM, "disk: out of memory");
    queue->queue = block_queue;
    queue->q = block->qcow2;
    queue->watch = (struct loop_watch){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN, .ready = ready, .opaque = queue};
    if (queue->watch.fd < 0) {
        int failed = error_set(error, errno, "disk: no event descriptor: %s", strerror(errno));

        free(queue);
        return failed;
    }
    if (block->backing) {
        queue->backing = block_queue_create(block->backing, block_queue->loop, BACKING_DEPTH, error);
        if (!queue->backing) {
            close(queue->watch.fd);
            free(queue);
            return -EIO;
        }
        block_queue_on_batch(queue->backing, backing_batch, block_queue);
    }
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->some, NULL);
    block_queue->qcow2 = queue;
    loop_call(block_queue->loop, watch, queue);
    return 0;
}

void qcow2_queue_destroy(struct block_queue *block_queue)
{
    struct qcow2_queue *queue = block_queue->qcow2;

    loop_call(block_queue->loop, unwatch, queue);
    /* The worker that returned the last job may still hold the lock. */
    pthread_mutex_lock(&queue->lock);
    pthread_mutex_unlock(&queue->lock);
    block_queue_destroy(queue->backing);
    pthread_cond_destroy(&queue->some);
    pthread_mutex_destroy(&queue->lock);
    close(queue->watch.fd);
    free(queue);
}
