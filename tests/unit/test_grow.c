/* Images that grow while they are in use, and tables that reach the file although nobody flushes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../devices/block/qcow2.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"
#include "fake_block.h"

#define DISK (8 * MiB)
#define PATIENCE_SECONDS 60
#define KILLS 40U

struct bench {
    char path[64];
    enum block_format format;
    struct loop *loop;
    struct block *block;
    struct block_queue *queue;
};

static void bench_make(struct bench *bench, struct image_options options)
{
    struct error error = {""};

    strcpy(bench->path, "build/grow-XXXXXX");
    close(mkstemp(bench->path));
    unlink(bench->path);
    bench->format = options.format;
    options.path = bench->path;
    options.size = DISK;
    if (image_create(&options, &error) < 0)
        fail_msg("%s", error.text);
}

static void bench_open(struct bench *bench, struct block_options options)
{
    struct error error = {""};

    options.path = bench->path;
    options.format = bench->format;
    options.engine = BLOCK_ENGINE_THREADS;
    options.cache = BLOCK_CACHE_HOST;
    if (block_open(&options, &bench->block, &error) < 0)
        fail_msg("%s", error.text);
    bench->loop = loop_create("test");
    bench->queue = block_queue_create(bench->block, bench->loop, 8, &error);
    assert_non_null(bench->queue);
}

static void bench_close(struct bench *bench)
{
    block_queue_destroy(bench->queue);
    block_close(bench->block);
    loop_destroy(bench->loop);
}

static void write_byte(struct bench *bench, uint64_t offset, uint8_t byte)
{
    uint8_t data[512];

    memset(data, byte, sizeof data);
    assert_int_equal(fake_block_run(bench->queue, BLOCK_WRITE, offset, 512, &(struct iovec){data, 512}, 1), 0);
}

static void assert_byte(struct bench *bench, uint64_t offset, uint8_t byte)
{
    uint8_t data[512], expected[512];

    memset(expected, byte, sizeof expected);
    assert_int_equal(fake_block_run(bench->queue, BLOCK_READ, offset, 512, &(struct iovec){data, 512}, 1), 0);
    assert_memory_equal(data, expected, sizeof data);
}

static void assert_grows(struct bench *bench, uint64_t size)
{
    struct error error = {""};

    if (block_grow(bench->block, size, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(block_size(bench->block), size);
}

static void assert_refused(struct bench *bench, uint64_t size, int failed, const char *text)
{
    uint64_t before = block_size(bench->block);
    struct error error = {""};

    assert_int_equal(block_grow(bench->block, size, &error), failed);
    assert_non_null(strstr(error.text, text));
    assert_int_equal(block_size(bench->block), before);
}

/* No errors; leaks only where a kill may have left them. */
static void assert_good(const char *path, bool killed)
{
    struct image_findings findings;
    struct error error = {""};

    if (image_check(path, false, &findings, &error) < 0)
        fail_msg("%s", error.text);
    if (findings.errors)
        fail_msg("%s", findings.first);
    if (!killed)
        assert_int_equal(findings.leaks, 0);
}

static void count_calls(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void a_raw_file_grows(void **state)
{
    unsigned calls = 0;
    struct bench bench;
    struct stat info;

    (void)state;
    bench_make(&bench, (struct image_options){.format = BLOCK_FORMAT_RAW});
    bench_open(&bench, (struct block_options){.format_given = true});
    block_on_resize(bench.block, count_calls, &calls);
    write_byte(&bench, DISK - 512, 1);
    assert_int_equal(fake_block_run(bench.queue, BLOCK_WRITE, DISK, 512, &(struct iovec){&info, 512}, 1), -EINVAL);
    assert_refused(&bench, DISK - 512, -EINVAL, "never shrinks");
    assert_refused(&bench, DISK + 511, -EINVAL, "multiple of 512");
    assert_refused(&bench, UINT64_MAX & ~511ULL, -EFBIG, "more than a disk can have");
    assert_refused(&bench, INT64_MAX & ~511ULL, -EFBIG, "cannot grow");
    assert_grows(&bench, DISK); /* it has that size */
    assert_int_equal(calls, 0);
    assert_grows(&bench, DISK + 512);
    assert_int_equal(calls, 1);
    assert_int_equal(stat(bench.path, &info), 0);
    assert_int_equal(info.st_size, DISK + 512);
    assert_byte(&bench, DISK, 0);
    write_byte(&bench, DISK, 2);
    assert_byte(&bench, DISK, 2);
    assert_byte(&bench, DISK - 512, 1);
    block_on_resize(bench.block, NULL, NULL);
    assert_grows(&bench, 2 * DISK);
    assert_int_equal(calls, 1);
    bench_close(&bench);
    unlink(bench.path);
}

/* What an operator has made longer by hand is no reason to cut it. */
static void a_longer_file_is_not_cut(void **state)
{
    struct bench bench;
    struct stat info;

    (void)state;
    bench_make(&bench, (struct image_options){.format = BLOCK_FORMAT_RAW});
    bench_open(&bench, (struct block_options){.format_given = true});
    assert_int_equal(truncate(bench.path, 4 * DISK), 0);
    assert_grows(&bench, 2 * DISK);
    assert_int_equal(stat(bench.path, &info), 0);
    assert_int_equal(info.st_size, 4 * DISK);
    bench_close(&bench);
    unlink(bench.path);
}

static void what_is_read_only_stays(void **state)
{
    struct bench bench;

    (void)state;
    bench_make(&bench, (struct image_options){.format = BLOCK_FORMAT_RAW});
    bench_open(&bench, (struct block_options){.format_given = true, .read_only = true});
    assert_refused(&bench, 2 * DISK, -EROFS, "read only");
    bench_close(&bench);
    unlink(bench.path);
}

static void copy_file(const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof command, "cp --sparse=always %s %s", from, to);
    assert_int_equal(system(command), 0);
}

/* Small clusters: both tables outgrow their places, again and again. What a kill leaves behind each step is good. */
static void grow_in_steps(struct image_options options)
{
    const uint64_t sizes[] = {64 * MiB, GiB + 512, 3 * GiB, 9 * GiB, 40 * GiB};
    struct bench bench, killed = {.format = BLOCK_FORMAT_QCOW2};
    unsigned calls = 0;

    options.format = BLOCK_FORMAT_QCOW2;
    bench_make(&bench, options);
    bench_open(&bench, (struct block_options){.metadata_cache = 1});
    block_on_resize(bench.block, count_calls, &calls);
    write_byte(&bench, 0, 1);
    assert_refused(&bench, DISK - 512, -EINVAL, "never shrinks");
    for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++) {
        assert_grows(&bench, sizes[n]);
        assert_int_equal(calls, n + 1);
        snprintf(killed.path, sizeof killed.path, "%.40s-killed", bench.path);
        copy_file(bench.path, killed.path);
        bench_open(&killed, (struct block_options){.metadata_cache = 1});
        assert_int_equal(block_size(killed.block), sizes[n]);
        assert_byte(&killed, 0, 1);
        write_byte(&killed, sizes[n] - 512, 3);
        bench_close(&killed);
        assert_good(killed.path, true);
        unlink(killed.path);
        assert_byte(&bench, sizes[n] - 512, 0);
        write_byte(&bench, sizes[n] - 512, 2);
        write_byte(&bench, sizes[n] / 2 / 512 * 512, 2);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++)
        assert_byte(&bench, sizes[n] - 512, 2);
    bench_close(&bench);
    assert_good(bench.path, false);
    bench_open(&bench, (struct block_options){.metadata_cache = 1});
    assert_byte(&bench, 0, 1);
    for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++)
        assert_byte(&bench, sizes[n] - 512, 2);
    bench_close(&bench);
    unlink(bench.path);
}

static void a_qcow2_image_grows(void **state)
{
    (void)state;
    grow_in_steps((struct image_options){.cluster_bits = 12});
    grow_in_steps((struct image_options){.cluster_bits = 12, .lazy_refcounts = true});
    grow_in_steps((struct image_options){.cluster_bits = 12, .refcount_bits = 64});
    grow_in_steps((struct image_options){.cluster_bits = 16});
}

static void too_large_for_its_clusters(void **state)
{
    struct bench bench;

    (void)state;
    bench_make(&bench, (struct image_options){.format = BLOCK_FORMAT_QCOW2, .cluster_bits = 12});
    bench_open(&bench, (struct block_options){0});
    assert_refused(&bench, 1ULL << 50, -EFBIG, "cannot grow");
    write_byte(&bench, 0, 1);
    bench_close(&bench);
    assert_good(bench.path, false);
    unlink(bench.path);
}

static void what_lies_under_it_stays_hidden(void **state)
{
    const struct block_options below = {.format = BLOCK_FORMAT_RAW, .format_given = true};
    struct block_options backing = below;
    struct bench bench, base;

    (void)state;
    bench_make(&base, (struct image_options){.format = BLOCK_FORMAT_RAW});
    bench_make(&bench, (struct image_options){.format = BLOCK_FORMAT_QCOW2, .backing = base.path});
    backing.path = base.path;
    bench_open(&bench, (struct block_options){.backing = &backing});
    assert_grows(&bench, 2 * DISK);
    assert_byte(&bench, 2 * DISK - 512, 0);
    bench_close(&bench);
    assert_int_equal(truncate(base.path, 4 * DISK), 0);
    bench_open(&bench, (struct block_options){.backing = &backing});
    assert_refused(&bench, 3 * DISK, -ENOTSUP, "rebase");
    bench_close(&bench);
    unlink(bench.path);
    unlink(base.path);
}

static bool has_cluster(const char *path)
{
    uint8_t word[8] = {0};
    int fd = open(path, O_RDONLY);
    uint64_t l1, l2 = 0, entry = 0;

    assert_int_equal(pread(fd, word, 8, QCOW2_H_L1_OFFSET), 8);
    l1 = get_be64(word);
    if (pread(fd, word, 8, (off_t)l1) == 8)
        l2 = get_be64(word) & QCOW2_OFFSET;
    if (l2 && pread(fd, word, 8, (off_t)l2) == 8)
        entry = get_be64(word);
    close(fd);
    return entry & QCOW2_OFFSET;
}

/* A machine that grows and does nothing else, for ever. */
static pid_t start_grower(struct bench *bench)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        bench_open(bench, (struct block_options){0});
        for (uint64_t size = 64 * MiB;; size += 640 * MiB)
            block_grow(bench->block, size, NULL);
    }
    return child;
}

static void wait_for_changes(const char *path, unsigned count)
{
    struct pollfd changes = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    struct inotify_event event;

    assert_true(inotify_add_watch(changes.fd, path, IN_MODIFY) >= 0);
    while (count--) {
        assert_true(poll(&changes, 1, PATIENCE_SECONDS * 1000) > 0);
        assert_true(read(changes.fd, &event, sizeof event) > 0);
    }
    close(changes.fd);
}

static void a_kill_while_it_grows(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= KILLS; n++) {
        struct bench bench;
        int status;
        pid_t child;

        bench_make(&bench,
                   (struct image_options){.format = BLOCK_FORMAT_QCOW2, .cluster_bits = 12, .lazy_refcounts = n % 2});
        bench_open(&bench, (struct block_options){0});
        write_byte(&bench, 0, 1);
        bench_close(&bench);
        child = start_grower(&bench);
        wait_for_changes(bench.path, 1 + n / 2);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        bench_open(&bench, (struct block_options){0});
        assert_byte(&bench, 0, 1);
        write_byte(&bench, block_size(bench.block) - 512, 2);
        bench_close(&bench);
        assert_good(bench.path, true);
        bench_open(&bench, (struct block_options){0});
        assert_byte(&bench, block_size(bench.block) - 512, 2);
        bench_close(&bench);
        unlink(bench.path);
    }
}

/* A machine whose guest writes once and never flushes. */
static pid_t start_writer(struct bench *bench)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        bench_open(bench, (struct block_options){0});
        write_byte(bench, 4096, 7);
        for (;;)
            pause();
    }
    return child;
}

static void what_nobody_flushes_outlives_a_kill(void **state)
{
    int64_t end = clock_ns() + PATIENCE_SECONDS * INT64_C(1000000000);
    struct bench bench;
    struct pollfd changes;
    char events[4096];
    pid_t child;
    int status;

    (void)state;
    bench_make(&bench, (struct image_options){.format = BLOCK_FORMAT_QCOW2});
    changes = (struct pollfd){.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    assert_true(inotify_add_watch(changes.fd, bench.path, IN_MODIFY) >= 0);
    child = start_writer(&bench);
    while (!has_cluster(bench.path)) {
        if (clock_ns() > end || poll(&changes, 1, PATIENCE_SECONDS * 1000) <= 0)
            fail_msg("the tables are not in the file");
        assert_true(read(changes.fd, events, sizeof events) > 0);
    }
    close(changes.fd);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_good(bench.path, false);
    bench_open(&bench, (struct block_options){0});
    assert_byte(&bench, 4096, 7);
    bench_close(&bench);
    unlink(bench.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_raw_file_grows),           cmocka_unit_test(a_longer_file_is_not_cut),
        cmocka_unit_test(what_is_read_only_stays),    cmocka_unit_test(a_qcow2_image_grows),
        cmocka_unit_test(too_large_for_its_clusters), cmocka_unit_test(what_lies_under_it_stays_hidden),
        cmocka_unit_test(a_kill_while_it_grows),      cmocka_unit_test(what_nobody_flushes_outlives_a_kill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
