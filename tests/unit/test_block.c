/* The block layer on both engines: the same operations against a model in memory, bounds, locks, load. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "cmocka_all.h"
#include "fake_block.h"

#define IMAGE (1 * MiB)

struct bench {
    char path[64];
    struct loop *loop;
    struct block *block;
    struct block_queue *queue;
};

static void image_create(char path[64], off_t size)
{
    int fd;

    snprintf(path, 64, "build/block-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

static void bench_open(struct bench *bench, enum block_engine engine, unsigned depth)
{
    struct block_options options = {.path = bench->path, .engine = engine};
    struct error error = {""};

    image_create(bench->path, IMAGE);
    options.path = bench->path;
    bench->loop = loop_create("test");
    if (block_open(&options, &bench->block, &error) < 0)
        fail_msg("%s", error.text);
    bench->queue = block_queue_create(bench->block, bench->loop, depth, &error);
    assert_non_null(bench->queue);
}

static void bench_close(struct bench *bench)
{
    block_queue_destroy(bench->queue);
    block_close(bench->block);
    loop_destroy(bench->loop);
    unlink(bench->path);
}

static void note(struct block_request *request, int result)
{
    *(int *)request->opaque = result;
}

static int run(struct bench *bench, enum block_op op, uint64_t offset, uint64_t length, struct iovec *iov,
               unsigned count)
{
    int result = fake_block_run(bench->queue, op, offset, length, iov, count);

    assert_true(result <= 0);
    return result;
}

/* Buffers at odd addresses and cut in odd places, so that direct I/O has to bounce them. */
static unsigned cut(struct iovec iov[4], uint8_t *buffer, uint64_t length)
{
    uint64_t first = (uint64_t)rand() % length; /* NOLINT(clang-analyzer-core.DivideZero): no caller cuts nothing */

    iov[0] = (struct iovec){buffer, first};
    iov[1] = (struct iovec){buffer + first, length - first};
    return 2;
}

static void random_operations(enum block_engine engine)
{
    static uint8_t model[IMAGE], buffer[64 * KiB + 1], back[64 * KiB + 1];
    struct bench bench;
    struct iovec iov[4];

    bench_open(&bench, engine, 8);
    memset(model, 0, sizeof model);
    srand(1);
    for (unsigned n = 0; n < 400; n++) {
        uint64_t length = (1 + (uint64_t)rand() % 128) * 512;
        uint64_t offset = (uint64_t)rand() % ((IMAGE - length) / 512 + 1) * 512;
        unsigned odd = rand() & 1;

        switch (rand() % 4) {
        case 0:
            for (uint64_t at = 0; at < length; at++)
                buffer[odd + at] = (uint8_t)rand();
            memcpy(model + offset, buffer + odd, length);
            assert_int_equal(run(&bench, BLOCK_WRITE, offset, length, iov, cut(iov, buffer + odd, length)), 0);
            break;
        case 1:
            memset(model + offset, 0, length);
            assert_int_equal(run(&bench, BLOCK_WRITE_ZEROES, offset, length, NULL, 0), 0);
            break;
        case 2:
            assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
            break;
        default:
            assert_int_equal(run(&bench, BLOCK_READ, offset, length, iov, cut(iov, back + odd, length)), 0);
            assert_memory_equal(back + odd, model + offset, length);
        }
    }
    assert_int_equal(block_pread(bench.block, buffer, 12345, 777), 0);
    assert_memory_equal(buffer, model + 777, 12345);
    bench_close(&bench);
}

static void operations_agree_with_a_model_threads(void **state)
{
    (void)state;
    random_operations(BLOCK_ENGINE_THREADS);
}

static void operations_agree_with_a_model_uring(void **state)
{
    struct block_options options = {.engine = BLOCK_ENGINE_URING};
    struct block *block = NULL;
    char path[64];
    int failed;

    (void)state;
    image_create(path, 4096);
    options.path = path;
    failed = block_open(&options, &block, NULL);
    block_close(block);
    unlink(path);
    if (failed == -ENOSYS)
        skip(); /* this host refuses io_uring; the other engine is what serves then */
    random_operations(BLOCK_ENGINE_URING);
}

/* lessons 4.5, rows 13 and 14. */
static void ranges_are_checked_at_both_ends(void **state)
{
    struct stat info;
    struct bench bench;

    (void)state;
    for (enum block_engine engine = BLOCK_ENGINE_AUTO; engine <= BLOCK_ENGINE_THREADS; engine += 2) {
        bench_open(&bench, engine, 4);
        fake_block_check_ends(bench.queue, IMAGE);
        assert_int_equal(stat(bench.path, &info), 0);
        assert_int_equal(info.st_size, IMAGE);
        bench_close(&bench);
    }
}

/* More requests than the engine takes at once: all are done, none is lost. */
static void more_than_the_depth(void **state)
{
    enum { MANY = 300 };
    static struct block_request requests[MANY];
    static uint8_t data[MANY][512];
    static struct iovec iov[MANY];
    static int results[MANY];

    (void)state;
    for (enum block_engine engine = BLOCK_ENGINE_AUTO; engine <= BLOCK_ENGINE_THREADS; engine += 2) {
        struct bench bench;

        bench_open(&bench, engine, 3);
        for (unsigned n = 0; n < MANY; n++) {
            memset(data[n], (int)n, 512);
            iov[n] = (struct iovec){data[n], 512};
            results[n] = 1;
            requests[n] = (struct block_request){.op = BLOCK_WRITE,
                                                 .offset = n * 512,
                                                 .length = 512,
                                                 .iov = &iov[n],
                                                 .iov_count = 1,
                                                 .done = note,
                                                 .opaque = &results[n]};
            block_submit(bench.queue, &requests[n]);
        }
        block_queue_drain(bench.queue);
        for (unsigned n = 0; n < MANY; n++) {
            uint8_t byte;

            assert_int_equal(results[n], 0);
            assert_int_equal(block_pread(bench.block, &byte, 1, n * 512), 0);
            assert_int_equal(byte, (uint8_t)n);
        }
        bench_close(&bench);
    }
}

/* As in a container whose seccomp profile lacks the call. */
static bool refused;

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    static int (*theirs)(unsigned, struct io_uring *, unsigned);

    if (!theirs)
        *(void **)&theirs = dlsym(RTLD_NEXT, "io_uring_queue_init");
    return refused ? -EPERM : theirs(entries, ring, flags);
}

static const char *engine_of(const char *path, enum block_engine engine)
{
    const struct block_options options = {.path = path, .engine = engine};
    struct error error = {""};
    struct block *block = NULL;
    const char *name;

    if (block_open(&options, &block, &error) < 0) {
        assert_non_null(strstr(error.text, "io_uring is refused by this host or container"));
        return NULL;
    }
    name = block_engine_name(block);
    block_close(block);
    return name;
}

/* Threads serve then, which is said once; who asked for threads need not be told. */
static void the_engine_that_serves(void **state)
{
    int log = memfd_create("log", MFD_CLOEXEC);
    char path[64], text[1024] = "", *first;

    (void)state;
    image_create(path, IMAGE);
    log_set_output(log);
    assert_string_equal(engine_of(path, BLOCK_ENGINE_THREADS), "threads");
    refused = true;
    assert_string_equal(engine_of(path, BLOCK_ENGINE_THREADS), "threads");
    assert_null(engine_of(path, BLOCK_ENGINE_URING));
    assert_int_equal(lseek(log, 0, SEEK_END), 0);
    assert_string_equal(engine_of(path, BLOCK_ENGINE_AUTO), "threads");
    assert_string_equal(engine_of(path, BLOCK_ENGINE_AUTO), "threads");
    refused = false;
    log_set_output(STDERR_FILENO);
    assert_true(pread(log, text, sizeof text - 1, 0) > 0);
    first = strstr(text, "disks: io_uring is refused");
    assert_true(first && strstr(first, "deploy/seccomp.json") && strchr(first, '\n') == text + strlen(text) - 1);
    close(log);
    unlink(path);
}

static int opens(const char *path, bool read_only, struct error *error)
{
    struct block_options options = {.path = path, .read_only = read_only};
    struct block *block = NULL;
    int result = block_open(&options, &block, error);

    block_close(block);
    return result;
}

static void an_image_belongs_to_one_machine(void **state)
{
    struct error error = {""};
    struct bench bench;
    int status;
    pid_t child;

    (void)state;
    bench_open(&bench, BLOCK_ENGINE_THREADS, 4);
    assert_int_equal(opens(bench.path, false, &error), -EBUSY);
    assert_non_null(strstr(error.text, "in use by another machine"));
    assert_int_equal(opens(bench.path, true, &error), -EBUSY);
    child = fork();
    if (child == 0)
        _exit(opens(bench.path, false, NULL) == -EBUSY ? 0 : 1);
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    bench_close(&bench);
}

static void bad_images_are_refused_with_a_remedy(void **state)
{
    struct error error = {""};
    char path[64];

    (void)state;
    assert_int_equal(opens("build/no-such-image", false, &error), -ENOENT);
    assert_non_null(strstr(error.text, "truncate"));
    assert_true(opens("build", true, &error) < 0);
    image_create(path, 1000);
    assert_int_equal(opens(path, false, &error), -EINVAL);
    assert_non_null(strstr(error.text, "512"));
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(opens(path, false, &error), -EINVAL);
    unlink(path);
}

static void discard_frees_space(void **state)
{
    static uint8_t data[256 * KiB];
    struct iovec iov = {data, sizeof data};
    struct stat before, after;
    struct bench bench;

    (void)state;
    memset(data, 1, sizeof data);
    bench_open(&bench, BLOCK_ENGINE_AUTO, 4);
    assert_int_equal(run(&bench, BLOCK_WRITE, 0, sizeof data, &iov, 1), 0);
    assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
    assert_int_equal(stat(bench.path, &before), 0);
    if (!block_can_discard(bench.block)) {
        assert_int_equal(run(&bench, BLOCK_DISCARD, 0, sizeof data, NULL, 0), -EOPNOTSUPP);
    } else {
        assert_int_equal(run(&bench, BLOCK_DISCARD, 0, sizeof data, NULL, 0), 0);
        assert_int_equal(stat(bench.path, &after), 0);
        assert_true(after.st_blocks < before.st_blocks);
        assert_int_equal(after.st_size, before.st_size);
    }
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_agree_with_a_model_threads),
        cmocka_unit_test(operations_agree_with_a_model_uring),
        cmocka_unit_test(ranges_are_checked_at_both_ends),
        cmocka_unit_test(more_than_the_depth),
        cmocka_unit_test(the_engine_that_serves),
        cmocka_unit_test(an_image_belongs_to_one_machine),
        cmocka_unit_test(bad_images_are_refused_with_a_remedy),
        cmocka_unit_test(discard_frees_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
