/*
 * An event loop: one thread, file descriptors, timers, work posted from other threads, all on CLOCK_MONOTONIC.
 *
 * The machine has one for slow devices; each disk and each network card has one of its own. What runs on a loop needs
 * no lock against what else runs on it.
 */
#ifndef CASEMENT_LOOP_H
#define CASEMENT_LOOP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t clock_ns(void);

/* A loop that does not run yet; name (at most 15 characters) is the thread's name. NULL when out of memory or fds. */
struct loop *loop_create(const char *name);
/* Runs it on a thread of its own (0 or -errno), or on the calling thread until loop_stop(). */
int loop_start(struct loop *loop);
void loop_run(struct loop *loop);
/* Ends the loop after the callback that runs now, and joins its thread if it has one. Not from its own callbacks. */
void loop_stop(struct loop *loop);
/* Asks loop_run() to return. Any thread, its own callbacks too. */
void loop_quit(struct loop *loop);
/* Frees a loop that does not run. */
void loop_destroy(struct loop *loop);
bool loop_is_current(const struct loop *loop);

/* A file descriptor that is watched. The storage and the descriptor stay the caller's. */
struct loop_watch {
    int fd;
    short events;                              /* POLLIN, POLLOUT; may be changed on the loop's thread at any time */
    void (*ready)(void *opaque, short events); /* runs on the loop's thread */
    void *opaque;
    struct loop_watch *next; /* the loop's */
};
/* On the loop's thread, or while it does not run; both take effect at once. */
void loop_watch(struct loop *loop, struct loop_watch *watch);
void loop_unwatch(struct loop *loop, struct loop_watch *watch);

/* A timer. The storage is the caller's, zero-initialised but for expired and opaque. */
struct loop_timer {
    void (*expired)(void *opaque); /* runs on the loop's thread */
    void *opaque;
    int64_t deadline_ns;     /* 0: not set */
    struct loop_timer *next; /* the loop's, as what follows */
    bool linked, removing;
};
/* Sets (or moves) the deadline, or takes it away with 0. Any thread. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t deadline_ns);
/* Takes the timer off the loop for good; on return it does not run and will not. Not while holding a lock that expired
 * takes. */
void loop_timer_remove(struct loop *loop, struct loop_timer *timer);

/* Work for the loop's thread, from any thread. Posting what is posted already does nothing. The storage is the
 * caller's. */
struct loop_task {
    void (*run)(void *opaque);
    void *opaque;
    struct loop_task *next;
    bool posted;
};
void loop_post(struct loop *loop, struct loop_task *task);
/* Runs the task on the loop's thread and waits until it is done; at once when called there or when the loop does not
 * run. */
void loop_call(struct loop *loop, void (*run)(void *opaque), void *opaque);

/*
 * For libraries that bring descriptors of their own (libslirp): prepare runs before each wait, may add descriptors with
 * loop_poll_add() and may shorten *timeout_ns; dispatch runs after it and asks loop_poll_result().
 */
struct loop_hook {
    void (*prepare)(void *opaque, struct loop *loop, int64_t *timeout_ns);
    void (*dispatch)(void *opaque, struct loop *loop);
    void *opaque;
    struct loop_hook *next;
};
void loop_hook(struct loop *loop, struct loop_hook *hook);
void loop_unhook(struct loop *loop, struct loop_hook *hook);
int loop_poll_add(struct loop *loop, int fd, short events); /* an index, or -1 */
short loop_poll_result(const struct loop *loop, int index);

#endif
