/* Limits of a disk, and requests that wait for space on the host. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"

#define IMAGE (4 * MiB)
#define PIECE (64 * KiB)
#define REQUESTS 64
#define SECOND_NS INT64_C(1000000000)
#define LIMIT_NS (60 * SECOND_NS) /* for what comes at once on a quiet machine */

/* The host's file system, full or not: what the threads engine and the tables of qcow2 write with. */
static atomic_int no_space;

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
    errno = atomic_load(&no_space);
    return errno ? -1 : syscall(SYS_pwrite64, fd, buffer, size, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    errno = atomic_load(&no_space);
    return errno ? -1 : syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

int fdatasync(int fd)
{
    errno = atomic_load(&no_space);
    return errno ? -1 : (int)syscall(SYS_fdatasync, fd);
}

struct bench {
    char path[64];
    struct loop *loop;
    struct block *block;
    struct block_queue *queue;
    uint8_t *data;
    struct block_request requests[REQUESTS];
    struct iovec iov[REQUESTS];
    int results[REQUESTS];
    unsigned submitted;
    _Atomic unsigned done, told_full, told_space;
};

static void full_changed(void *opaque, bool full)
{
    struct bench *bench = opaque;

    atomic_fetch_add(full ? &bench->told_full : &bench->told_space, 1);
}

static void bench_open(struct bench *bench, enum block_format format, struct block_limits limits, bool wait)
{
    struct block_options options = {.path = bench->path,
                                    .format = format,
                                    .format_given = true,
                                    .engine = BLOCK_ENGINE_THREADS,
                                    .cache = BLOCK_CACHE_HOST,
                                    .limits = limits};
    struct error error = {""};

    *bench = (struct bench){.data = calloc(1, PIECE)};
    atomic_store(&no_space, 0);
    snprintf(bench->path, sizeof bench->path, "build/gate-XXXXXX");
    close(mkstemp(bench->path));
    unlink(bench->path);
    assert_int_equal(
        image_create(&(struct image_options){.path = bench->path, .format = format, .size = IMAGE}, &error), 0);
    bench->loop = loop_create("gate");
    if (block_open(&options, &bench->block, &error) < 0)
        fail_msg("%s", error.text);
    if (wait)
        block_on_full(bench->block, full_changed, bench);
    bench->queue = block_queue_create(bench->block, bench->loop, 16, &error);
    assert_non_null(bench->queue);
    assert_int_equal(loop_start(bench->loop), 0);
}

static void bench_close(struct bench *bench)
{
    loop_stop(bench->loop);
    block_queue_destroy(bench->queue);
    block_close(bench->block);
    loop_destroy(bench->loop);
    unlink(bench->path);
    free(bench->data);
}

static void note(struct block_request *request, int result)
{
    struct bench *bench = request->opaque;

    bench->results[request - bench->requests] = result;
    atomic_fetch_add(&bench->done, 1);
}

static void add(struct bench *bench, enum block_op op, uint64_t offset, uint64_t length)
{
    struct block_request *request = &bench->requests[bench->submitted];
    struct iovec *iov = &bench->iov[bench->submitted++];

    *iov = (struct iovec){bench->data, length};
    *request = (struct block_request){
        .op = op, .offset = offset, .length = length, .iov = iov, .iov_count = 1, .done = note, .opaque = bench};
}

static unsigned first_of_batch;
static void submit(void *opaque)
{
    struct bench *bench = opaque;

    for (unsigned n = first_of_batch; n < bench->submitted; n++)
        block_submit(bench->queue, &bench->requests[n]);
    block_queue_kick(bench->queue);
}

/* Submits what was added since first, all at once. */
static void start(struct bench *bench, unsigned first)
{
    first_of_batch = first;
    loop_call(bench->loop, submit, bench);
}

static void wait_for(const _Atomic unsigned *value, unsigned wanted)
{
    int64_t end = clock_ns() + LIMIT_NS;

    while (atomic_load(value) < wanted) {
        if (clock_ns() > end)
            fail_msg("%u of %u after a minute", atomic_load(value), wanted);
        usleep(1000);
    }
}

static void drain(void *opaque)
{
    block_queue_drain(((struct bench *)opaque)->queue);
}

static void assert_results(const struct bench *bench, int wanted)
{
    for (unsigned n = 0; n < bench->submitted; n++)
        assert_int_equal(bench->results[n], wanted);
}

static uint64_t delayed(const struct bench *bench)
{
    struct block_totals totals;

    block_totals(bench->block, &totals);
    return totals.delayed;
}

/* What comes at once is a tenth of a second's worth; the rest has to wait. */
static void operations_wait_for_their_turn(void **state)
{
    struct bench bench;
    int64_t began;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_RAW, (struct block_limits){.operations = 100}, false);
    for (unsigned n = 0; n < 40; n++)
        add(&bench, n % 2 ? BLOCK_READ : BLOCK_WRITE, n * 4096, 4096);
    began = clock_ns();
    start(&bench, 0);
    wait_for(&bench.done, 40);
    /* Of 40 the first and ten more are free. */
    assert_true(clock_ns() - began >= 29 * SECOND_NS / 100);
    assert_results(&bench, 0);
    assert_true(delayed(&bench) >= 20 && delayed(&bench) <= 29);
    bench_close(&bench);
}

static void bytes_wait_for_their_turn(void **state)
{
    struct bench bench;
    int64_t began;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_RAW, (struct block_limits){.bytes = MiB}, false);
    for (unsigned n = 0; n < 8; n++)
        add(&bench, BLOCK_READ, n * PIECE, PIECE);
    began = clock_ns();
    start(&bench, 0);
    wait_for(&bench.done, 8);
    /* Each takes a sixteenth; the last begins after seven, less the burst. */
    assert_true(clock_ns() - began >= 7 * SECOND_NS / 16 - SECOND_NS / 10);
    assert_results(&bench, 0);
    bench_close(&bench);
}

/* A request that moves no byte costs none, and a flush is free. */
static void flush_and_discard_cost_no_bytes(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_QCOW2, (struct block_limits){.bytes = 1}, false);
    for (unsigned n = 0; n < 8; n++)
        add(&bench, n % 2 ? BLOCK_FLUSH : BLOCK_DISCARD, n * PIECE, n % 2 ? 0 : PIECE);
    start(&bench, 0);
    wait_for(&bench.done, 8);
    assert_results(&bench, 0);
    assert_int_equal(delayed(&bench), 0);
    bench_close(&bench);
}

/* A guest that resets its controller does not wait for turns. */
static void drain_lets_all_pass(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_RAW, (struct block_limits){.operations = 1, .bytes = 1}, false);
    for (unsigned n = 0; n < REQUESTS; n++)
        add(&bench, BLOCK_WRITE, n * 4096, 4096);
    start(&bench, 0);
    assert_true(atomic_load(&bench.done) < 10);
    loop_call(bench.loop, drain, &bench);
    assert_int_equal(atomic_load(&bench.done), REQUESTS);
    assert_results(&bench, 0);
    bench_close(&bench);
}

static void a_full_disk_waits_and_goes_on(void **state)
{
    struct bench bench;
    uint8_t back[4096];

    (void)state;
    for (unsigned format = BLOCK_FORMAT_RAW; format <= BLOCK_FORMAT_QCOW2; format++) {
        bench_open(&bench, format, (struct block_limits){0}, true);
        memset(bench.data, 0xA5, PIECE);
        atomic_store(&no_space, format == BLOCK_FORMAT_RAW ? EDQUOT : ENOSPC);
        for (unsigned n = 0; n < 4; n++)
            add(&bench, BLOCK_WRITE, n * 512 * KiB, PIECE);
        start(&bench, 0);
        wait_for(&bench.told_full, 1);
        /* What needs no space is served meanwhile. */
        add(&bench, BLOCK_READ, 3 * MiB, 0);
        start(&bench, 4);
        wait_for(&bench.done, 1);
        usleep(1200000); /* once more in vain */
        assert_int_equal(atomic_load(&bench.done), 1);
        assert_int_equal(atomic_load(&bench.told_full), 1);
        assert_int_equal(atomic_load(&bench.told_space), 0);
        atomic_store(&no_space, 0);
        wait_for(&bench.done, 5);
        assert_results(&bench, 0);
        wait_for(&bench.told_space, 1);
        assert_int_equal(atomic_load(&bench.told_full), 1);
        assert_int_equal(block_pread(bench.block, back, sizeof back, 3 * 512 * KiB), 0);
        assert_memory_equal(back, bench.data, sizeof back);
        bench_close(&bench);
    }
}

/* Nobody waits: the controller is reset, or the machine ends. */
static void drain_ends_what_waits_for_space(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_RAW, (struct block_limits){0}, true);
    atomic_store(&no_space, ENOSPC);
    for (unsigned n = 0; n < 4; n++)
        add(&bench, BLOCK_WRITE, n * PIECE, PIECE);
    start(&bench, 0);
    wait_for(&bench.told_full, 1);
    loop_call(bench.loop, drain, &bench);
    assert_int_equal(atomic_load(&bench.done), 4);
    assert_results(&bench, -ENOSPC);
    assert_int_equal(atomic_load(&bench.told_space), 1);
    bench_close(&bench);
}

/* The machine ends: whom it told is gone, and its disks are drained. */
static void a_watcher_that_goes_is_not_called(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_RAW, (struct block_limits){0}, true);
    atomic_store(&no_space, ENOSPC);
    add(&bench, BLOCK_WRITE, 0, PIECE);
    start(&bench, 0);
    wait_for(&bench.told_full, 1);
    block_on_full(bench.block, NULL, NULL);
    loop_call(bench.loop, drain, &bench);
    assert_results(&bench, -ENOSPC);
    assert_int_equal(atomic_load(&bench.told_space), 0);
    bench_close(&bench);
}

static void without_a_watcher_the_guest_is_told(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_RAW, (struct block_limits){0}, false);
    atomic_store(&no_space, ENOSPC);
    add(&bench, BLOCK_WRITE, 0, PIECE);
    start(&bench, 0);
    wait_for(&bench.done, 1);
    assert_results(&bench, -ENOSPC);
    bench_close(&bench);
}

/* The host has dropped what it could not write: a second fsync() would succeed, and save nothing. */
static void a_failed_sync_is_never_tried_again(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, BLOCK_FORMAT_RAW, (struct block_limits){0}, true);
    atomic_store(&no_space, ENOSPC);
    add(&bench, BLOCK_FLUSH, 0, 0);
    start(&bench, 0);
    wait_for(&bench.done, 1);
    assert_results(&bench, -EIO);
    assert_int_equal(atomic_load(&bench.told_full), 0);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_wait_for_their_turn),     cmocka_unit_test(bytes_wait_for_their_turn),
        cmocka_unit_test(flush_and_discard_cost_no_bytes),    cmocka_unit_test(drain_lets_all_pass),
        cmocka_unit_test(a_full_disk_waits_and_goes_on),      cmocka_unit_test(drain_ends_what_waits_for_space),
        cmocka_unit_test(a_watcher_that_goes_is_not_called),  cmocka_unit_test(without_a_watcher_the_guest_is_told),
        cmocka_unit_test(a_failed_sync_is_never_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
