/* The engine for hosts that refuse io_uring: a few threads that make blocking calls. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine.h"

#define THREADS 4

struct job {
    struct block_request *request;
    struct block_step step;
    int64_t result;
    struct job *next;
};

struct pool {
    struct block_queue *queue;
    pthread_t threads[THREADS];
    unsigned thread_count;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct job *todo, **last_todo, *finished, *unused;
    struct job *jobs; /* depth of them */
    bool end;
    struct loop_watch watch;
};

static int64_t perform(int fd, const struct block_step *step)
{
    ssize_t result;

    switch (step->kind) {
    case STEP_READ:
        result = preadv(fd, step->iov, (int)step->iov_count, (off_t)step->offset);
        break;
    case STEP_WRITE:
        result = pwritev(fd, step->iov, (int)step->iov_count, (off_t)step->offset);
        break;
    case STEP_SYNC:
        result = fdatasync(fd);
        break;
    default:
        result = fallocate(fd, step->mode, (off_t)step->offset, (off_t)step->length);
    }
    return result < 0 ? -errno : result;
}

static void *work(void *opaque)
{
    struct pool *pool = opaque;
    uint64_t one = 1;

    pthread_setname_np(pthread_self(), "disk-io");
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct job *job;

        while (!pool->todo && !pool->end)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (!pool->todo)
            break;
        job = pool->todo;
        pool->todo = job->next;
        if (!pool->todo)
            pool->last_todo = &pool->todo;
        pthread_mutex_unlock(&pool->lock);
        job->result = perform(pool->queue->block->fd, &job->step);
        pthread_mutex_lock(&pool->lock);
        job->next = pool->finished;
        pool->finished = job;
        pthread_cond_signal(&pool->done);
        if (write(pool->watch.fd, &one, sizeof one) < 0)
            continue; /* the counter is full: the loop is awake */
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void reap(struct block_queue *queue)
{
    struct pool *pool = queue->engine;
    struct job *job;

    pthread_mutex_lock(&pool->lock);
    job = pool->finished;
    pool->finished = NULL;
    pthread_mutex_unlock(&pool->lock);
    while (job) {
        struct job *next = job->next;
        struct block_request *request = job->request;
        int64_t result = job->result;

        /* Back to the unused before the request's next step wants one. Only this thread touches that list. */
        job->next = pool->unused;
        pool->unused = job;
        block_step_done(queue, request, result);
        job = next;
    }
}

static void completed(void *opaque, short events)
{
    struct block_queue *queue = opaque;
    uint64_t count;

    (void)events;
    if (read(((struct pool *)queue->engine)->watch.fd, &count, sizeof count) < 0)
        return;
    reap(queue);
    block_queue_kick(queue);
}

static void watch(void *opaque)
{
    struct block_queue *queue = opaque;

    loop_watch(queue->loop, &((struct pool *)queue->engine)->watch);
}

static void unwatch(void *opaque)
{
    struct block_queue *queue = opaque;

    loop_unwatch(queue->loop, &((struct pool *)queue->engine)->watch);
}

static void end_threads(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->end = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned n = 0; n < pool->thread_count; n++)
        pthread_join(pool->threads[n], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    if (pool->watch.fd >= 0)
        close(pool->watch.fd);
    free(pool->jobs);
    free(pool);
}

/* Signals are the main thread's. */
static int start_threads(struct pool *pool)
{
    sigset_t all, before;
    int failed = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; pool->thread_count < THREADS && !failed; pool->thread_count += !failed)
        failed = pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool->thread_count ? 0 : -failed;
}

static int create(struct block_queue *queue)
{
    struct pool *pool = calloc(1, sizeof *pool);
    int failed;

    if (!pool)
        return -ENOMEM;
    pool->queue = queue;
    pool->last_todo = &pool->todo;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->jobs = calloc(queue->depth, sizeof *pool->jobs);
    for (unsigned n = 0; pool->jobs && n < queue->depth; n++) {
        pool->jobs[n].next = pool->unused;
        pool->unused = &pool->jobs[n];
    }
    pool->watch = (struct loop_watch){
        .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .events = POLLIN, .ready = completed, .opaque = queue};
    failed = !pool->jobs ? -ENOMEM : pool->watch.fd < 0 ? -errno : start_threads(pool);
    if (failed < 0) {
        end_threads(pool);
        return failed;
    }
    queue->engine = pool;
    loop_call(queue->loop, watch, queue);
    return 0;
}

static void destroy(struct block_queue *queue)
{
    loop_call(queue->loop, unwatch, queue);
    end_threads(queue->engine);
}

static void start(struct block_queue *queue, struct block_request *request)
{
    struct pool *pool = queue->engine;
    struct job *job = pool->unused; /* there is one: as many as requests in flight */

    pool->unused = job->next;
    job->request = request;
    job->next = NULL;
    block_next_step(request, &job->step);
    pthread_mutex_lock(&pool->lock);
    *pool->last_todo = job;
    pool->last_todo = &job->next;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void kick(struct block_queue *queue)
{
    (void)queue; /* the threads were woken one by one */
}

static void wait_for_one(struct block_queue *queue)
{
    struct pool *pool = queue->engine;

    pthread_mutex_lock(&pool->lock);
    while (!pool->finished)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    reap(queue);
}

const struct block_engine_ops block_engine_threads = {
    .name = "threads", .create = create, .destroy = destroy, .start = start, .kick = kick, .wait = wait_for_one};
