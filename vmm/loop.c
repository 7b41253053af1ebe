/* The event loop (see loop.h): poll(), because libraries that live on it bring a new set of descriptors each time. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "casement/loop.h"

#define SECOND_NS INT64_C(1000000000)

struct loop {
    char name[16];
    pthread_t thread;
    bool started; /* has a thread of its own, which loop_stop() joins */
    _Atomic bool running;
    _Atomic bool quit;
    int wake_fd;
    pthread_mutex_t lock; /* timers and tasks; never held while a callback runs */
    pthread_cond_t ran;   /* a callback that loop_timer_remove() or loop_call() waits for has ended */
    pthread_t owner;
    struct loop_timer *timers;
    struct loop_timer *expiring;
    struct loop_task *tasks, **last_task;
    /* The loop's thread only: */
    struct loop_watch *watches;
    struct loop_hook *hooks;
    struct loop_watch *visiting; /* the next watch to serve, so that a callback may take any watch off */
    struct pollfd *polls;
    unsigned poll_count, poll_room;
};

int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

struct loop *loop_create(const char *name)
{
    struct loop *loop = calloc(1, sizeof *loop);

    if (!loop)
        return NULL;
    for (unsigned n = 0; n < sizeof loop->name - 1 && name[n]; n++)
        loop->name[n] = name[n];
    loop->last_task = &loop->tasks;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0) {
        free(loop);
        return NULL;
    }
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->ran, NULL);
    return loop;
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;

    if (write(loop->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is awake already */
}

bool loop_is_current(const struct loop *loop)
{
    return atomic_load(&loop->running) && pthread_equal(loop->owner, pthread_self());
}

int loop_poll_add(struct loop *loop, int fd, short events)
{
    if (loop->poll_count == loop->poll_room) {
        unsigned room = loop->poll_room ? loop->poll_room * 2 : 16;
        struct pollfd *polls = realloc(loop->polls, room * sizeof *polls);

        if (!polls)
            return -1;
        loop->polls = polls;
        loop->poll_room = room;
    }
    loop->polls[loop->poll_count] = (struct pollfd){.fd = fd, .events = events};
    return (int)loop->poll_count++;
}

short loop_poll_result(const struct loop *loop, int index)
{
    return index < 0 || (unsigned)index >= loop->poll_count ? 0 : loop->polls[index].revents;
}

/* Nanoseconds until the first timer, 0 when work waits, -1 for ever. */
static int64_t next_timeout(struct loop *loop)
{
    int64_t first = -1;

    pthread_mutex_lock(&loop->lock);
    for (const struct loop_timer *timer = loop->timers; timer; timer = timer->next)
        if (timer->deadline_ns && (first < 0 || timer->deadline_ns < first))
            first = timer->deadline_ns;
    if (loop->tasks)
        first = 0;
    pthread_mutex_unlock(&loop->lock);
    if (first > 0) {
        int64_t now = clock_ns();

        first = first > now ? first - now : 0;
    }
    return first;
}

static void wait_for_events(struct loop *loop)
{
    int64_t timeout = next_timeout(loop);
    struct timespec wait;
    uint64_t count;

    loop->poll_count = 0;
    loop_poll_add(loop, loop->wake_fd, POLLIN);
    for (struct loop_hook *hook = loop->hooks; hook; hook = hook->next)
        hook->prepare(hook->opaque, loop, &timeout);
    for (const struct loop_watch *watch = loop->watches; watch; watch = watch->next)
        loop_poll_add(loop, watch->fd, watch->events);
    wait = (struct timespec){timeout / SECOND_NS, timeout % SECOND_NS};
    if (ppoll(loop->polls, loop->poll_count, timeout < 0 ? NULL : &wait, NULL) < 0)
        for (unsigned n = 0; n < loop->poll_count; n++)
            loop->polls[n].revents = 0;
    if (loop->polls[0].revents && read(loop->wake_fd, &count, sizeof count) < 0)
        return; /* another waker's write is on its way; its poll comes */
}

static void run_timers(struct loop *loop)
{
    int64_t now = clock_ns();

    pthread_mutex_lock(&loop->lock);
    for (struct loop_timer *timer = loop->timers; timer;) {
        if (!timer->deadline_ns || timer->deadline_ns > now) {
            timer = timer->next;
            continue;
        }
        timer->deadline_ns = 0;
        loop->expiring = timer;
        pthread_mutex_unlock(&loop->lock);
        timer->expired(timer->opaque);
        pthread_mutex_lock(&loop->lock);
        loop->expiring = NULL;
        pthread_cond_broadcast(&loop->ran);
        timer = loop->timers; /* the callback may have changed the list; what expired has no deadline any more */
    }
    pthread_mutex_unlock(&loop->lock);
}

/* Runs what was posted when it starts; what a task posts waits for the next round, so descriptors get their turn. */
static void run_tasks(struct loop *loop)
{
    struct loop_task *tasks;

    pthread_mutex_lock(&loop->lock);
    tasks = loop->tasks;
    loop->tasks = NULL;
    loop->last_task = &loop->tasks;
    while (tasks) {
        struct loop_task *task = tasks;

        tasks = task->next;
        task->posted = false;
        pthread_mutex_unlock(&loop->lock);
        task->run(task->opaque);
        pthread_mutex_lock(&loop->lock);
    }
    pthread_mutex_unlock(&loop->lock);
}

/* Results are found by descriptor: a callback may have added or removed watches since the array was made. */
static void run_watches(struct loop *loop, unsigned first)
{
    unsigned index = first;

    for (struct loop_watch *watch = loop->watches; watch; watch = loop->visiting) {
        short events = 0;

        loop->visiting = watch->next;
        for (unsigned n = 0; n < loop->poll_count - first; n++) {
            unsigned at = index + n < loop->poll_count ? index + n : first + (index + n - loop->poll_count);

            if (loop->polls[at].fd == watch->fd && loop->polls[at].fd >= 0) {
                events = loop->polls[at].revents;
                index = at + 1;
                break;
            }
        }
        if (events)
            watch->ready(watch->opaque, events);
    }
    loop->visiting = NULL;
}

static unsigned watch_count(const struct loop *loop)
{
    unsigned count = 0;

    for (const struct loop_watch *watch = loop->watches; watch; watch = watch->next)
        count++;
    return count;
}

void loop_run(struct loop *loop)
{
    loop->owner = pthread_self();
    atomic_store(&loop->running, true);
    while (!atomic_load(&loop->quit)) {
        wait_for_events(loop);
        unsigned watches = watch_count(loop);

        for (struct loop_hook *hook = loop->hooks, *next; hook; hook = next) {
            next = hook->next;
            hook->dispatch(hook->opaque, loop);
        }
        run_watches(loop, watches < loop->poll_count ? loop->poll_count - watches : 0);
        run_timers(loop);
        run_tasks(loop);
    }
    atomic_store(&loop->running, false);
    atomic_store(&loop->quit, false);
    run_tasks(loop); /* nobody who waits in loop_call() is left behind */
}

static void *thread_main(void *opaque)
{
    struct loop *loop = opaque;

    pthread_setname_np(pthread_self(), loop->name);
    loop_run(loop);
    return NULL;
}

int loop_start(struct loop *loop)
{
    int failed = pthread_create(&loop->thread, NULL, thread_main, loop);

    loop->started = failed == 0;
    return -failed;
}

void loop_quit(struct loop *loop)
{
    atomic_store(&loop->quit, true);
    wake(loop);
}

void loop_stop(struct loop *loop)
{
    loop_quit(loop);
    if (loop->started)
        pthread_join(loop->thread, NULL);
    loop->started = false;
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    pthread_cond_destroy(&loop->ran);
    pthread_mutex_destroy(&loop->lock);
    close(loop->wake_fd);
    free(loop->polls);
    free(loop);
}

void loop_watch(struct loop *loop, struct loop_watch *watch)
{
    watch->next = loop->watches;
    loop->watches = watch;
}

void loop_unwatch(struct loop *loop, struct loop_watch *watch)
{
    if (loop->visiting == watch)
        loop->visiting = watch->next;
    for (struct loop_watch **at = &loop->watches; *at; at = &(*at)->next)
        if (*at == watch) {
            *at = watch->next;
            return;
        }
}

void loop_hook(struct loop *loop, struct loop_hook *hook)
{
    hook->next = loop->hooks;
    loop->hooks = hook;
}

void loop_unhook(struct loop *loop, struct loop_hook *hook)
{
    for (struct loop_hook **at = &loop->hooks; *at; at = &(*at)->next)
        if (*at == hook) {
            *at = hook->next;
            return;
        }
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline_ns)
{
    pthread_mutex_lock(&loop->lock);
    if (timer->removing)
        deadline_ns = 0; /* its own callback, while loop_timer_remove() waits for that to end */
    timer->deadline_ns = deadline_ns;
    if (!timer->linked && !timer->removing) {
        timer->linked = true;
        timer->next = loop->timers;
        loop->timers = timer;
    }
    pthread_mutex_unlock(&loop->lock);
    if (deadline_ns && !loop_is_current(loop))
        wake(loop);
}

void loop_timer_remove(struct loop *loop, struct loop_timer *timer)
{
    pthread_mutex_lock(&loop->lock);
    for (struct loop_timer **at = &loop->timers; *at; at = &(*at)->next)
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    timer->linked = false;
    timer->deadline_ns = 0;
    timer->removing = true;
    while (loop->expiring == timer && !loop_is_current(loop))
        pthread_cond_wait(&loop->ran, &loop->lock);
    timer->removing = false;
    pthread_mutex_unlock(&loop->lock);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    pthread_mutex_lock(&loop->lock);
    if (!task->posted) {
        task->posted = true;
        task->next = NULL;
        *loop->last_task = task;
        loop->last_task = &task->next;
    }
    pthread_mutex_unlock(&loop->lock);
    wake(loop);
}

struct call {
    struct loop *loop;
    void (*run)(void *opaque);
    void *opaque;
    bool done;
};

static void run_call(void *opaque)
{
    struct call *call = opaque;

    call->run(call->opaque);
    pthread_mutex_lock(&call->loop->lock);
    call->done = true;
    pthread_cond_broadcast(&call->loop->ran);
    pthread_mutex_unlock(&call->loop->lock);
}

void loop_call(struct loop *loop, void (*run)(void *opaque), void *opaque)
{
    struct call call = {.loop = loop, .run = run, .opaque = opaque};
    struct loop_task task = {.run = run_call, .opaque = &call};

    if (!loop->started && !atomic_load(&loop->running)) {
        run(opaque);
        return;
    }
    if (loop_is_current(loop)) {
        run(opaque);
        return;
    }
    loop_post(loop, &task);
    pthread_mutex_lock(&loop->lock);
    while (!call.done)
        pthread_cond_wait(&loop->ran, &loop->lock);
    pthread_mutex_unlock(&loop->lock);
}
