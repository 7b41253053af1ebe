/* The threads that wait for the disk on behalf of the queues of a qcow2 image (see qcow2_queue.h). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "qcow2_queue.h"

struct worker {
    struct qcow2 *q;
    const char *name;
    void (*run)(struct qcow2 *q, struct qcow2_job *jobs);
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct qcow2_job *todo, **last;
    bool started, end;
};

struct qcow2_workers {
    struct worker tables, commits;
};

static void inflate_job(struct qcow2 *q, struct qcow2_job *job)
{
    const struct qcow2_extent *extent = &job->extent;
    uint64_t skip = (job->request->offset + job->at) & (q->cluster - 1);
    uint8_t *buffer = malloc(extent->length);

    job->worked = buffer ? qcow2_inflate(q, extent->entry, skip, buffer, extent->length) : -ENOMEM;
    if (job->worked == 0) {
        qcow2_fill(job->request, job->at, buffer, extent->length);
        job->done = extent->length;
    }
    free(buffer);
}

static void run_tables(struct qcow2 *q, struct qcow2_job *jobs)
{
    while (jobs) {
        struct qcow2_job *job = jobs;
        uint64_t guest = job->request->offset + job->at;

        jobs = job->next;
        job->done = 0;
        if (job->extent.kind == QCOW2_INFLATE)
            inflate_job(q, job);
        else if (job->extent.kind == QCOW2_ZEROES)
            job->worked = qcow2_zero(q, guest, job->extent.length, &job->done);
        else
            job->worked = qcow2_prepare(q, guest, job->request->op != BLOCK_READ);
        qcow2_returned(job);
    }
}

/* One commit is for all that asked before it began. */
static void run_commits(struct qcow2 *q, struct qcow2_job *jobs)
{
    int result = qcow2_commit(q);

    while (jobs) {
        struct qcow2_job *job = jobs;

        jobs = job->next;
        job->done = 0;
        job->worked = result;
        qcow2_returned(job);
    }
}

static void *work(void *opaque)
{
    struct worker *worker = opaque;

    pthread_setname_np(pthread_self(), worker->name);
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        struct qcow2_job *jobs;

        while (!worker->todo && !worker->end)
            pthread_cond_wait(&worker->work, &worker->lock);
        if (!worker->todo)
            break;
        jobs = worker->todo;
        worker->todo = NULL;
        worker->last = &worker->todo;
        pthread_mutex_unlock(&worker->lock);
        worker->run(worker->q, jobs);
        pthread_mutex_lock(&worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* Signals are the main thread's. */
static int start(struct worker *worker, struct qcow2 *q, const char *name,
                 void (*run)(struct qcow2 *q, struct qcow2_job *jobs))
{
    sigset_t all, before;
    int failed;

    *worker = (struct worker){.q = q, .name = name, .run = run};
    worker->last = &worker->todo;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->work, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->started = !failed;
    return -failed;
}

static void stop(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->end = true;
    pthread_cond_signal(&worker->work);
    pthread_mutex_unlock(&worker->lock);
    if (worker->started)
        pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->work);
    pthread_mutex_destroy(&worker->lock);
}

int qcow2_workers_create(struct qcow2_workers **result, struct qcow2 *q)
{
    struct qcow2_workers *workers = calloc(1, sizeof *workers);
    int failed, failed_too;

    if (!workers)
        return -ENOMEM;
    failed = start(&workers->tables, q, "disk-tables", run_tables);
    failed_too = start(&workers->commits, q, "disk-commit", run_commits);
    *result = workers;
    return failed < 0 ? failed : failed_too;
}

void qcow2_workers_destroy(struct qcow2_workers *workers)
{
    if (!workers)
        return;
    stop(&workers->tables);
    stop(&workers->commits);
    free(workers);
}

void qcow2_work(struct qcow2_workers *workers, struct qcow2_job *job)
{
    struct worker *worker = job->extent.kind == QCOW2_COMMIT ? &workers->commits : &workers->tables;

    job->next = NULL;
    pthread_mutex_lock(&worker->lock);
    *worker->last = job;
    worker->last = &job->next;
    pthread_cond_signal(&worker->work);
    pthread_mutex_unlock(&worker->lock);
}
