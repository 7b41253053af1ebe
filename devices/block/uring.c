/* The io_uring engine: a ring for each queue, owned by the queue's loop; completions come by an eventfd (lessons, part
 * 6). */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine.h"

struct uring {
    struct io_uring ring;
    struct loop_watch watch;
};

bool block_uring_usable(void)
{
    struct io_uring ring;
    struct io_uring_probe *probe;
    bool usable;

    if (io_uring_queue_init(2, &ring, 0) < 0)
        return false;
    probe = io_uring_get_probe_ring(&ring);
    usable = probe && io_uring_opcode_supported(probe, IORING_OP_READV) &&
             io_uring_opcode_supported(probe, IORING_OP_WRITEV) && io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
             io_uring_opcode_supported(probe, IORING_OP_FALLOCATE);
    if (probe)
        io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    return usable;
}

static void reap(struct block_queue *queue)
{
    struct uring *uring = queue->engine;
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
        struct block_request *request = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        io_uring_cqe_seen(&uring->ring, cqe);
        block_step_done(queue, request, result);
    }
}

static void completed(void *opaque, short events)
{
    struct block_queue *queue = opaque;
    struct uring *uring = queue->engine;
    uint64_t count;

    (void)events;
    if (read(uring->watch.fd, &count, sizeof count) < 0)
        return;
    reap(queue);
    block_queue_kick(queue);
}

static void watch(void *opaque)
{
    struct block_queue *queue = opaque;

    loop_watch(queue->loop, &((struct uring *)queue->engine)->watch);
}

static void unwatch(void *opaque)
{
    struct block_queue *queue = opaque;

    loop_unwatch(queue->loop, &((struct uring *)queue->engine)->watch);
}

static int create(struct block_queue *queue)
{
    struct uring *uring = calloc(1, sizeof *uring);
    int failed;

    if (!uring)
        return -ENOMEM;
    failed = io_uring_queue_init(queue->depth, &uring->ring, 0);
    if (failed < 0) {
        free(uring);
        return failed;
    }
    uring->watch = (struct loop_watch){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN, .ready = completed, .opaque = queue};
    failed = uring->watch.fd < 0 ? -errno : io_uring_register_eventfd(&uring->ring, uring->watch.fd);
    if (failed < 0) {
        if (uring->watch.fd >= 0)
            close(uring->watch.fd);
        io_uring_queue_exit(&uring->ring);
        free(uring);
        return failed;
    }
    queue->engine = uring;
    loop_call(queue->loop, watch, queue);
    return 0;
}

static void destroy(struct block_queue *queue)
{
    struct uring *uring = queue->engine;

    loop_call(queue->loop, unwatch, queue);
    io_uring_queue_exit(&uring->ring);
    close(uring->watch.fd);
    free(uring);
}

static void start(struct block_queue *queue, struct block_request *request)
{
    struct uring *uring = queue->engine;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    struct block_step step;
    int fd = queue->block->fd;

    /* The ring has as many entries as there can be steps, but those handed in may not have been taken yet. */
    while (!sqe) {
        io_uring_submit(&uring->ring);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    block_next_step(request, &step);
    switch (step.kind) {
    case STEP_READ:
        io_uring_prep_readv(sqe, fd, step.iov, step.iov_count, step.offset);
        break;
    case STEP_WRITE:
        io_uring_prep_writev(sqe, fd, step.iov, step.iov_count, step.offset);
        break;
    case STEP_SYNC:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    default:
        io_uring_prep_fallocate(sqe, fd, step.mode, (off_t)step.offset, (off_t)step.length);
    }
    io_uring_sqe_set_data(sqe, request);
}

static void kick(struct block_queue *queue)
{
    struct uring *uring = queue->engine;

    while (io_uring_sq_ready(&uring->ring)) {
        int taken = io_uring_submit(&uring->ring);

        /* EBUSY and EAGAIN: completions must be taken first. */
        if (taken == -EBUSY || taken == -EAGAIN)
            reap(queue);
        else if (taken < 0 && taken != -EINTR)
            break;
    }
}

static void wait_for_one(struct block_queue *queue)
{
    struct uring *uring = queue->engine;
    struct io_uring_cqe *cqe;

    while (io_uring_wait_cqe(&uring->ring, &cqe) == -EINTR)
        continue;
    reap(queue);
}

const struct block_engine_ops block_engine_uring = {
    .name = "io_uring", .create = create, .destroy = destroy, .start = start, .kick = kick, .wait = wait_for_one};
