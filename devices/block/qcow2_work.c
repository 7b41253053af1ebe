/* The threads that wait for the disk on behalf of the queues of a qcow2 image (see qcow2_queue.h). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "casement/log.h"
#include "qcow2_queue.h"

#define SECOND_NS INT64_C(1000000000)

struct worker {
    struct qcow2 *q;
    const char *name;
    void (*run)(struct qcow2 *q, struct qcow2_job *jobs);
    pthread_t thread;
    pthread_mutex_t lock; /* taken inside the image's */
    pthread_cond_t work, called;
    struct qcow2_job *todo, **last;
    void (*call)(void *opaque); /* NULL: none waits */
    void *call_opaque;
    int64_t due_ns; /* run without a job then; 0: never */
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

/* Nobody waits for a commit that is made because time has passed. What failed is tried again as long after it. */
static void commit_unasked(struct qcow2 *q)
{
    static struct log_limit limit;
    bool wanted;
    int failed;

    pthread_mutex_lock(&q->lock);
    wanted = q->uncommitted;
    pthread_mutex_unlock(&q->lock);
    failed = wanted ? qcow2_commit(q) : 0;
    if (failed == 0)
        return;
    log_guest(&limit, "%s: its tables cannot be written: %s; what the guest has written is lost if this ends now",
              q->name, strerror(-failed));
    pthread_mutex_lock(&q->lock);
    if (q->changed)
        q->changed(q->changed_opaque);
    pthread_mutex_unlock(&q->lock);
}

/* One commit is for all that asked before it began. */
static void run_commits(struct qcow2 *q, struct qcow2_job *jobs)
{
    int result;

    if (!jobs) {
        commit_unasked(q);
        return;
    }
    result = qcow2_commit(q);
    while (jobs) {
        struct qcow2_job *job = jobs;

        jobs = job->next;
        job->done = 0;
        job->worked = result;
        qcow2_returned(job);
    }
}

static bool is_due(const struct worker *worker)
{
    return worker->due_ns && clock_ns() >= worker->due_ns;
}

/* Until there is something to do. With the lock held. */
static void wait_for_work(struct worker *worker)
{
    while (!worker->todo && !worker->call && !worker->end && !is_due(worker)) {
        const struct timespec due = {worker->due_ns / SECOND_NS, worker->due_ns % SECOND_NS};

        if (worker->due_ns)
            pthread_cond_timedwait(&worker->work, &worker->lock, &due);
        else
            pthread_cond_wait(&worker->work, &worker->lock);
    }
}

static void run_jobs(struct worker *worker)
{
    struct qcow2_job *jobs = worker->todo;

    worker->todo = NULL;
    worker->last = &worker->todo;
    worker->due_ns = 0;
    pthread_mutex_unlock(&worker->lock);
    worker->run(worker->q, jobs);
    pthread_mutex_lock(&worker->lock);
}

static void run_call(struct worker *worker)
{
    pthread_mutex_unlock(&worker->lock);
    worker->call(worker->call_opaque);
    pthread_mutex_lock(&worker->lock);
    worker->call = NULL;
    pthread_cond_signal(&worker->called);
}

static void *work(void *opaque)
{
    struct worker *worker = opaque;

    pthread_setname_np(pthread_self(), worker->name);
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        wait_for_work(worker);
        if (worker->call)
            run_call(worker);
        else if (worker->todo || (!worker->end && is_due(worker)))
            run_jobs(worker);
        else
            break;
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* The first change behind a commit: qcow2.changed. */
static void note_change(void *opaque)
{
    struct worker *worker = opaque;

    pthread_mutex_lock(&worker->lock);
    worker->due_ns = clock_ns() + QCOW2_COMMIT_SECONDS * SECOND_NS;
    pthread_cond_signal(&worker->work);
    pthread_mutex_unlock(&worker->lock);
}

static void tell_changes(struct qcow2 *q, struct worker *worker)
{
    pthread_mutex_lock(&q->lock);
    q->changed = worker ? note_change : NULL;
    q->changed_opaque = worker;
    pthread_mutex_unlock(&q->lock);
}

/* Times are those of clock_ns(). */
static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
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
    init_condition(&worker->work);
    init_condition(&worker->called);
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
    pthread_cond_destroy(&worker->called);
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
    tell_changes(q, &workers->commits);
    *result = workers;
    return failed < 0 ? failed : failed_too;
}

void qcow2_workers_destroy(struct qcow2_workers *workers)
{
    if (!workers)
        return;
    tell_changes(workers->tables.q, NULL);
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

void qcow2_workers_call(struct qcow2_workers *workers, void (*run)(void *opaque), void *opaque)
{
    struct worker *worker = &workers->tables;

    pthread_mutex_lock(&worker->lock);
    worker->call_opaque = opaque;
    worker->call = run;
    pthread_cond_signal(&worker->work);
    while (worker->call)
        pthread_cond_wait(&worker->called, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
}
