/* The event loop, from its own thread and from others at once. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "casement/loop.h"
#include "cmocka_all.h"

#define ROUNDS 2000

struct counter {
    struct loop *loop;
    _Atomic unsigned count;
    struct loop_task task;
    struct loop_timer timer;
    struct loop_watch watch;
    struct loop_watch *victim;
    unsigned limit;
};

static void count(void *opaque)
{
    struct counter *counter = opaque;

    assert_true(loop_is_current(counter->loop));
    atomic_fetch_add(&counter->count, 1);
}

static void nothing(void *opaque)
{
    (void)opaque;
}

static void *post_many(void *opaque)
{
    struct counter *counter = opaque;

    for (unsigned n = 0; n < ROUNDS; n++)
        loop_call(counter->loop, count, counter);
    return NULL;
}

static void calls_from_many_threads_are_all_done(void **state)
{
    struct counter counter = {.loop = loop_create("test")};
    pthread_t threads[3];

    (void)state;
    assert_int_equal(loop_start(counter.loop), 0);
    for (unsigned n = 0; n < 3; n++)
        pthread_create(&threads[n], NULL, post_many, &counter);
    for (unsigned n = 0; n < 3; n++)
        pthread_join(threads[n], NULL);
    assert_int_equal(counter.count, 3 * ROUNDS);
    loop_stop(counter.loop);
    loop_call(counter.loop, nothing, NULL); /* at once: it does not run */
    loop_destroy(counter.loop);
}

static void rearm(void *opaque)
{
    struct counter *counter = opaque;

    if (atomic_fetch_add(&counter->count, 1) + 1 < counter->limit)
        loop_timer_set(counter->loop, &counter->timer, clock_ns());
    else
        loop_quit(counter->loop);
}

static void a_timer_may_set_itself_again(void **state)
{
    struct counter counter = {.loop = loop_create("test"), .limit = 100};
    struct counter never = {.loop = counter.loop};

    (void)state;
    counter.timer = (struct loop_timer){.expired = rearm, .opaque = &counter};
    never.timer = (struct loop_timer){.expired = count, .opaque = &never};
    loop_timer_set(counter.loop, &counter.timer, clock_ns());
    loop_timer_set(counter.loop, &never.timer, clock_ns());
    loop_timer_set(counter.loop, &never.timer, 0);
    loop_run(counter.loop);
    assert_int_equal(counter.count, 100);
    assert_int_equal(never.count, 0);
    loop_timer_remove(counter.loop, &counter.timer);
    loop_timer_remove(counter.loop, &never.timer);
    loop_destroy(counter.loop);
}

static void timers_are_removed_while_they_run(void **state)
{
    struct counter counter = {.loop = loop_create("test"), .limit = UINT32_MAX};

    (void)state;
    assert_int_equal(loop_start(counter.loop), 0);
    for (unsigned n = 0; n < 200; n++) {
        unsigned seen;

        counter.timer = (struct loop_timer){.expired = rearm, .opaque = &counter};
        loop_timer_set(counter.loop, &counter.timer, clock_ns());
        while (atomic_load(&counter.count) == 0)
            continue;
        loop_timer_remove(counter.loop, &counter.timer);
        seen = atomic_load(&counter.count);
        loop_call(counter.loop, nothing, NULL);
        assert_int_equal(atomic_load(&counter.count), seen);
        atomic_store(&counter.count, 0);
    }
    loop_stop(counter.loop);
    loop_destroy(counter.loop);
}

static void drop_victim(void *opaque, short events)
{
    struct counter *counter = opaque;

    assert_true(events & POLLIN);
    atomic_fetch_add(&counter->count, 1);
    loop_unwatch(counter->loop, counter->victim);
    loop_unwatch(counter->loop, &counter->watch);
    loop_quit(counter->loop);
}

static void a_watch_may_take_others_off(void **state)
{
    struct counter first = {.loop = loop_create("test")}, second = {.loop = first.loop};
    uint64_t one = 1;

    (void)state;
    first.watch = (struct loop_watch){.fd = eventfd(1, 0), .events = POLLIN, .ready = drop_victim, .opaque = &first};
    second.watch = (struct loop_watch){.fd = eventfd(1, 0), .events = POLLIN, .ready = drop_victim, .opaque = &second};
    first.victim = &second.watch;
    second.victim = &first.watch;
    loop_watch(first.loop, &first.watch);
    loop_watch(first.loop, &second.watch);
    loop_run(first.loop);
    assert_int_equal(first.count + second.count, 1);
    assert_int_equal(write(first.watch.fd, &one, sizeof one), sizeof one);
    close(first.watch.fd);
    close(second.watch.fd);
    loop_destroy(first.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_from_many_threads_are_all_done),
        cmocka_unit_test(a_timer_may_set_itself_again),
        cmocka_unit_test(timers_are_removed_while_they_run),
        cmocka_unit_test(a_watch_may_take_others_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
