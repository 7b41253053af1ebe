/* qcow2 images: against a model in memory, every kind of cluster, what a crash leaves, space. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "../../devices/block/qcow2.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"
#include "fake_block.h"

#define DISK (8 * MiB)

struct bench {
    char path[64];
    struct loop *loop;
    struct block *block;
    struct block_queue *queue;
};

static void image_path(char path[64])
{
    snprintf(path, 64, "build/qcow2-XXXXXX");
    close(mkstemp(path));
    unlink(path);
}

static void make(struct bench *bench, struct image_options options)
{
    struct error error = {""};

    image_path(bench->path);
    options.path = bench->path;
    options.format = BLOCK_FORMAT_QCOW2;
    options.size = options.size ? options.size : DISK;
    if (image_create(&options, &error) < 0)
        fail_msg("%s", error.text);
}

static int try_open(struct bench *bench, const struct block_options *backing, struct error *error)
{
    const struct block_options options = {.path = bench->path,
                                          .format = BLOCK_FORMAT_QCOW2,
                                          .engine = BLOCK_ENGINE_THREADS,
                                          .cache = BLOCK_CACHE_HOST,
                                          .metadata_cache = 1,
                                          .backing = backing};
    int failed = block_open(&options, &bench->block, error);

    if (failed < 0)
        return failed;
    bench->loop = loop_create("test");
    bench->queue = block_queue_create(bench->block, bench->loop, 8, error);
    assert_non_null(bench->queue);
    return 0;
}

static void bench_open(struct bench *bench)
{
    struct error error = {""};

    if (try_open(bench, NULL, &error) < 0)
        fail_msg("%s", error.text);
}

static void bench_close(struct bench *bench)
{
    block_queue_destroy(bench->queue);
    block_close(bench->block);
    loop_destroy(bench->loop);
}

static int run(struct bench *bench, enum block_op op, uint64_t offset, uint64_t length, void *data)
{
    const struct iovec iov[2] = {{data, length / 3}, {(uint8_t *)data + length / 3, length - length / 3}};
    int result = fake_block_run(bench->queue, op, offset, length, iov, 2);

    assert_true(result <= 0);
    return result;
}

static void write_bytes(struct bench *bench, uint64_t offset, uint64_t length, uint8_t byte)
{
    uint8_t *data = malloc(length);

    memset(data, byte, length);
    assert_int_equal(run(bench, BLOCK_WRITE, offset, length, data), 0);
    free(data);
}

static void assert_bytes(struct bench *bench, uint64_t offset, uint64_t length, uint8_t byte)
{
    uint8_t *data = malloc(length);

    memset(data, ~byte, length);
    assert_int_equal(run(bench, BLOCK_READ, offset, length, data), 0);
    for (uint64_t n = 0; n < length; n++)
        if (data[n] != byte)
            fail_msg("byte %llu is %u, not %u", (unsigned long long)(offset + n), data[n], byte);
    free(data);
}

/* What was closed has neither errors nor leaks. */
static void assert_clean(const char *path)
{
    struct image_findings findings;
    struct error error = {""};

    if (image_check(path, false, &findings, &error) < 0)
        fail_msg("%s", error.text);
    if (findings.errors || findings.leaks)
        fail_msg("%llu errors (%s), %llu leaks", (unsigned long long)findings.errors, findings.first,
                 (unsigned long long)findings.leaks);
}

static void patch(const char *path, uint64_t offset, const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY);

    assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), length);
    close(fd);
}

static uint64_t word_at(const char *path, uint64_t offset)
{
    uint8_t word[8];
    int fd = open(path, O_RDONLY);

    assert_int_equal(pread(fd, word, 8, (off_t)offset), 8);
    close(fd);
    return get_be64(word);
}

/* The image as it is at this instant, which is what a kill leaves. */
static void copy_file(const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof command, "cp --sparse=always %s %s", from, to);
    assert_int_equal(system(command), 0);
}

static void refcounts_of_all_widths(void **state)
{
    uint8_t block[512] = {0};

    (void)state;
    for (unsigned order = 0; order <= 6; order++) {
        uint64_t most = order == 6 ? UINT64_MAX : (1ULL << (1U << order)) - 1;

        memset(block, 0, sizeof block);
        qcow2_refcount_set(block, order, 5, most);
        assert_int_equal(qcow2_refcount_get(block, order, 5), most);
        assert_int_equal(qcow2_refcount_get(block, order, 4), 0);
        assert_int_equal(qcow2_refcount_get(block, order, 6), 0);
        qcow2_refcount_set(block, order, 6, 1);
        qcow2_refcount_set(block, order, 5, 0);
        assert_int_equal(qcow2_refcount_get(block, order, 5), 0);
        assert_int_equal(qcow2_refcount_get(block, order, 6), 1);
    }
}

static void model_round(unsigned cluster_bits, unsigned refcount_bits, bool lazy)
{
    static uint8_t model[DISK], data[600 * KiB];
    struct bench bench;

    make(&bench,
         (struct image_options){.cluster_bits = cluster_bits, .refcount_bits = refcount_bits, .lazy_refcounts = lazy});
    memset(model, 0, sizeof model);
    bench_open(&bench);
    for (unsigned n = 0; n < 120; n++) {
        uint64_t length = (1 + (uint64_t)rand() % (rand() % 4 ? 64 : 1200)) * 512;
        uint64_t offset = (uint64_t)rand() % ((DISK - length) / 512 + 1) * 512, first, end;

        switch (rand() % 8) {
        case 0:
        case 1:
        case 2:
            for (uint64_t at = 0; at < length; at++)
                data[at] = (uint8_t)(rand() >> 8);
            memcpy(model + offset, data, length);
            assert_int_equal(run(&bench, BLOCK_WRITE, offset, length, data), 0);
            break;
        case 3:
            memset(model + offset, 0, length);
            assert_int_equal(run(&bench, BLOCK_WRITE_ZEROES, offset, length, NULL), 0);
            break;
        case 4:
            /* Whole clusters read as zeroes then; the rest stays. */
            first = align_up(offset, 1ULL << cluster_bits);
            end = (offset + length) & ~((1ULL << cluster_bits) - 1);
            if (first < end)
                memset(model + first, 0, end - first);
            assert_int_equal(run(&bench, BLOCK_DISCARD, offset, length, NULL), 0);
            break;
        case 5:
            assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
            break;
        case 6:
            if (n % 4 == 0) {
                bench_close(&bench);
                assert_clean(bench.path);
                bench_open(&bench);
            }
            break;
        default:
            assert_int_equal(run(&bench, BLOCK_READ, offset, length, data), 0);
            assert_memory_equal(data, model + offset, length);
        }
    }
    for (uint64_t at = 0; at < DISK; at += 512 * KiB) {
        assert_int_equal(block_pread(bench.block, data, 512 * KiB, at), 0);
        assert_memory_equal(data, model + at, 512 * KiB);
    }
    bench_close(&bench);
    assert_clean(bench.path);
    unlink(bench.path);
}

static void operations_agree_with_a_model(void **state)
{
    (void)state;
    srand(1);
    for (unsigned bits = 12; bits <= 21; bits++)
        model_round(bits, 1U << ((bits + 2) % 7), bits % 2);
}

static void what_is_new_reads_as_zeroes(void **state)
{
    struct bench bench;

    (void)state;
    make(&bench, (struct image_options){.cluster_bits = 14});
    bench_open(&bench);
    /* A cluster that is given back and used again shows nothing of what it held. */
    for (unsigned n = 0; n < 20; n++) {
        write_bytes(&bench, n * 64 * KiB, 16 * KiB, 0xAA);
        assert_int_equal(run(&bench, BLOCK_WRITE_ZEROES, n * 64 * KiB, 16 * KiB, NULL), 0);
        assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
        write_bytes(&bench, n * 64 * KiB + 16 * KiB, 512, 0xBB);
        assert_bytes(&bench, n * 64 * KiB, 16 * KiB, 0);
        assert_bytes(&bench, n * 64 * KiB + 16 * KiB + 512, 15 * KiB, 0);
        assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
    }
    bench_close(&bench);
    unlink(bench.path);
}

static void discard_frees_and_space_is_used_again(void **state)
{
    struct bench bench;
    struct stat full, freed, again;

    (void)state;
    make(&bench, (struct image_options){.cluster_bits = 16});
    bench_open(&bench);
    write_bytes(&bench, 0, 4 * MiB, 1);
    assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_int_equal(stat(bench.path, &full), 0);
    assert_true(block_can_discard(bench.block));
    assert_int_equal(run(&bench, BLOCK_DISCARD, 0, 4 * MiB, NULL), 0);
    assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_bytes(&bench, 0, 4 * MiB, 0);
    assert_int_equal(stat(bench.path, &freed), 0);
    assert_true(freed.st_blocks < full.st_blocks - 4096);
    for (unsigned n = 0; n < 5; n++) {
        write_bytes(&bench, 4 * MiB, 4 * MiB, 2);
        assert_int_equal(run(&bench, BLOCK_DISCARD, 4 * MiB, 4 * MiB, NULL), 0);
        assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
    }
    bench_close(&bench);
    assert_int_equal(stat(bench.path, &again), 0);
    assert_true(again.st_size < (off_t)(10 * MiB));
    assert_clean(bench.path);
    /* The next opening finds what is free. */
    bench_open(&bench);
    write_bytes(&bench, 0, 4 * MiB, 3);
    bench_close(&bench);
    assert_int_equal(stat(bench.path, &full), 0);
    assert_true(full.st_size <= again.st_size + (off_t)MiB);
    assert_clean(bench.path);
    unlink(bench.path);
}

/* One that is compressed, in the place of cluster number 3. */
static void compress_cluster(const char *path, unsigned bits, const uint8_t *plain)
{
    uint8_t packed[16 * KiB] = {0}, word[8];
    z_stream stream = {
        .next_in = (uint8_t *)plain, .avail_in = 1U << bits, .next_out = packed, .avail_out = sizeof packed};
    uint64_t l2 = word_at(path, word_at(path, 40)) & QCOW2_OFFSET, at;
    struct image_findings findings;
    struct stat info;

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stat(path, &info), 0);
    at = align_up((uint64_t)info.st_size, 1ULL << bits) + 100;
    patch(path, at, packed, sizeof packed - 100);
    put_be64(word, QCOW2_COMPRESSED | (uint64_t)(stream.total_out + 100) / 512 << (62 - (bits - 8)) | at);
    patch(path, l2 + 24, word, 8);
    deflateEnd(&stream);
    assert_int_equal(image_check(path, true, &findings, NULL), 0);
    assert_clean(path);
}

static void compressed_clusters_are_read_and_replaced(void **state)
{
    uint8_t plain[64 * KiB], back[64 * KiB];
    struct bench bench;

    (void)state;
    for (unsigned bits = 12; bits <= 16; bits += 4) {
        uint64_t cluster = 1ULL << bits;

        make(&bench, (struct image_options){.cluster_bits = bits});
        bench_open(&bench);
        write_bytes(&bench, 0, 512, 1);
        bench_close(&bench);
        for (unsigned n = 0; n < cluster; n++)
            plain[n] = (uint8_t)(n / 50 * 7);
        compress_cluster(bench.path, bits, plain);
        bench_open(&bench);
        assert_int_equal(run(&bench, BLOCK_READ, 3 * cluster, cluster, back), 0);
        assert_memory_equal(back, plain, cluster);
        assert_int_equal(run(&bench, BLOCK_READ, 3 * cluster + 512, 1024, back), 0);
        assert_memory_equal(back, plain + 512, 1024);
        memset(plain + 1024, 9, 512);
        write_bytes(&bench, 3 * cluster + 1024, 512, 9);
        assert_int_equal(run(&bench, BLOCK_READ, 3 * cluster, cluster, back), 0);
        assert_memory_equal(back, plain, cluster);
        bench_close(&bench);
        assert_clean(bench.path);
        unlink(bench.path);
    }
}

static void a_kill_leaves_what_was_flushed(void **state)
{
    char killed[80];
    struct bench bench, copy;

    (void)state;
    for (unsigned lazy = 0; lazy < 2; lazy++) {
        struct image_findings findings;

        make(&bench, (struct image_options){.cluster_bits = 12, .lazy_refcounts = lazy});
        bench_open(&bench);
        write_bytes(&bench, 0, MiB, 1);
        assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
        write_bytes(&bench, MiB, MiB, 2);
        assert_int_equal(run(&bench, BLOCK_WRITE_ZEROES, 0, 64 * KiB, NULL), 0);
        assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
        write_bytes(&bench, 2 * MiB, MiB, 3);
        snprintf(killed, sizeof killed, "%s-killed", bench.path);
        copy_file(bench.path, killed);
        bench_close(&bench);
        assert_int_equal(word_at(killed, 72) & QCOW2_DIRTY, lazy);
        assert_int_equal(word_at(bench.path, 72), 0);
        assert_int_equal(image_check(killed, false, &findings, NULL), 0);
        if (!lazy)
            assert_int_equal(findings.errors, 0);
        else
            assert_true(findings.errors > 0);
        snprintf(copy.path, sizeof copy.path, "%.63s", killed);
        bench_open(&copy);
        assert_bytes(&copy, 0, 64 * KiB, 0);
        assert_bytes(&copy, 64 * KiB, MiB - 64 * KiB, 1);
        assert_bytes(&copy, MiB, MiB, 2);
        write_bytes(&copy, 3 * MiB, MiB, 4);
        assert_bytes(&copy, MiB, MiB, 2);
        bench_close(&copy);
        assert_int_equal(image_check(killed, true, &findings, NULL), 0);
        assert_int_equal(findings.errors, 0);
        assert_clean(killed);
        unlink(killed);
        unlink(bench.path);
    }
}

/* lessons 4.5, rows 13 and 14; an image that ends inside a cluster too, where there is room in the file behind the end.
 */
static void ranges_are_checked_at_both_ends(void **state)
{
    const uint64_t sizes[] = {DISK, DISK - 512, 512 * 3};
    struct bench bench;

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++) {
        make(&bench, (struct image_options){.cluster_bits = 16, .size = sizes[n]});
        bench_open(&bench);
        fake_block_check_ends(bench.queue, sizes[n]);
        assert_int_equal(block_size(bench.block), sizes[n]);
        bench_close(&bench);
        assert_clean(bench.path);
        unlink(bench.path);
    }
}

static void no_space_is_an_error_that_ends(void **state)
{
    struct rlimit before, limit;
    struct bench bench;
    struct stat info;
    uint8_t data[64 * KiB];
    int result = 0;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    make(&bench, (struct image_options){.cluster_bits = 16, .size = 64 * MiB});
    bench_open(&bench);
    write_bytes(&bench, 0, 64 * KiB, 1);
    assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_int_equal(stat(bench.path, &info), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)info.st_size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    memset(data, 2, sizeof data);
    for (uint64_t at = 64 * KiB; at < 60 * MiB && result == 0; at += sizeof data)
        result = run(&bench, BLOCK_WRITE, at, sizeof data, data);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(result, -EFBIG);
    write_bytes(&bench, 60 * MiB, 64 * KiB, 3);
    assert_int_equal(run(&bench, BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_bytes(&bench, 0, 64 * KiB, 1);
    assert_bytes(&bench, 60 * MiB, 64 * KiB, 3);
    bench_close(&bench);
    assert_clean(bench.path);
    unlink(bench.path);
}

static void a_backing_image_is_one_that_the_operator_names(void **state)
{
    struct block_options named = {.format = BLOCK_FORMAT_QCOW2, .engine = BLOCK_ENGINE_THREADS};
    struct error error = {""};
    struct bench below, above;

    (void)state;
    make(&below, (struct image_options){.size = 4 * MiB + 512});
    bench_open(&below);
    write_bytes(&below, MiB, MiB, 5);
    write_bytes(&below, 4 * MiB, 512, 6);
    bench_close(&below);
    make(&above, (struct image_options){.backing = below.path, .backing_format = BLOCK_FORMAT_QCOW2});
    assert_int_equal(try_open(&above, NULL, &error), -EPERM);
    assert_non_null(strstr(error.text, "backing=FILE"));
    named.path = "build/another";
    assert_int_equal(try_open(&above, &named, &error), -EINVAL);
    named.path = below.path;
    assert_int_equal(try_open(&above, &named, &error), 0);
    assert_bytes(&above, MiB, MiB, 5);
    assert_bytes(&above, 4 * MiB, 512, 6);
    assert_bytes(&above, 4 * MiB + 512, 4 * MiB - 512, 0);
    write_bytes(&above, MiB + 512, 512, 7);
    assert_bytes(&above, MiB, 512, 5);
    assert_bytes(&above, MiB + 512, 512, 7);
    assert_bytes(&above, MiB + 1024, MiB - 1024, 5);
    assert_int_equal(run(&above, BLOCK_DISCARD, MiB, MiB, NULL), 0);
    assert_bytes(&above, MiB, MiB, 0);
    write_bytes(&above, 4 * MiB + 1024, 512, 8);
    assert_bytes(&above, 4 * MiB, 512, 6);
    assert_bytes(&above, 4 * MiB + 512, 512, 0);
    bench_close(&above);
    assert_clean(above.path);
    /* Another name, twice, so that both of its places are used. */
    for (unsigned n = 0; n < 3; n++) {
        struct image_info info;
        char name[32];

        snprintf(name, sizeof name, "build/other-%u", n);
        assert_int_equal(image_set_backing(above.path, name, BLOCK_FORMAT_RAW, &error), 0);
        assert_int_equal(image_info(above.path, BLOCK_FORMAT_QCOW2, true, &info, &error), 0);
        assert_string_equal(info.backing, name);
        assert_string_equal(info.backing_format, "raw");
    }
    assert_int_equal(image_set_backing(above.path, NULL, BLOCK_FORMAT_RAW, &error), 0);
    bench_open(&above);
    assert_bytes(&above, 4 * MiB, 512, 6);
    bench_close(&above);
    unlink(above.path);
    unlink(below.path);
}

static void the_format_is_never_guessed(void **state)
{
    struct block_options raw = {.engine = BLOCK_ENGINE_THREADS, .cache = BLOCK_CACHE_HOST};
    struct error error = {""};
    struct bench bench;
    struct block *block;

    (void)state;
    make(&bench, (struct image_options){.cluster_bits = 0});
    raw.path = bench.path;
    assert_int_equal(block_open(&raw, &block, &error), -EINVAL);
    assert_non_null(strstr(error.text, "format=qcow2"));
    raw.format_given = true;
    assert_int_equal(block_open(&raw, &block, &error), 0);
    assert_true(block_size(block) < DISK);
    block_close(block);
    unlink(bench.path);
}

static void images_grow(void **state)
{
    const uint64_t sizes[] = {64 * MiB, 3 * GiB, 9 * GiB};
    struct error error = {""};
    struct bench bench;

    (void)state;
    make(&bench, (struct image_options){.cluster_bits = 12});
    bench_open(&bench);
    write_bytes(&bench, 0, DISK, 1);
    bench_close(&bench);
    assert_int_equal(image_grow(bench.path, BLOCK_FORMAT_QCOW2, true, DISK - 512, &error), -EINVAL);
    for (unsigned n = 0; n < ARRAY_SIZE(sizes); n++) {
        if (image_grow(bench.path, BLOCK_FORMAT_QCOW2, true, sizes[n], &error) < 0)
            fail_msg("%s", error.text);
        assert_clean(bench.path);
        bench_open(&bench);
        assert_int_equal(block_size(bench.block), sizes[n]);
        assert_bytes(&bench, 0, DISK, (uint8_t)1);
        assert_bytes(&bench, sizes[n] - MiB, MiB, 0);
        write_bytes(&bench, sizes[n] - MiB, 512, 2);
        bench_close(&bench);
        assert_clean(bench.path);
    }
    unlink(bench.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refcounts_of_all_widths),
        cmocka_unit_test(operations_agree_with_a_model),
        cmocka_unit_test(what_is_new_reads_as_zeroes),
        cmocka_unit_test(discard_frees_and_space_is_used_again),
        cmocka_unit_test(compressed_clusters_are_read_and_replaced),
        cmocka_unit_test(a_kill_leaves_what_was_flushed),
        cmocka_unit_test(ranges_are_checked_at_both_ends),
        cmocka_unit_test(no_space_is_an_error_that_ends),
        cmocka_unit_test(a_backing_image_is_one_that_the_operator_names),
        cmocka_unit_test(the_format_is_never_guessed),
        cmocka_unit_test(images_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
