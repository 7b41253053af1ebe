/* Hostile and damaged qcow2 images: each field of the header at its edges, tables that refer to where they must not. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../devices/block/qcow2.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "casement/log.h"
#include "cmocka_all.h"
#include "fake_block.h"

#define DISK (8 * MiB)
#define CLUSTER (4 * KiB)
#define FILE_SIZE (64 * CLUSTER)

struct field {
    unsigned offset, size;
    uint64_t value;
    int result; /* of qcow2_header_parse() */
};

/* 4 KiB clusters, L1 table at 1, refcount table at 2, 64 clusters. */
static void good_header(uint8_t bytes[CLUSTER])
{
    memset(bytes, 0, CLUSTER);
    put_be32(bytes, QCOW2_MAGIC);
    put_be32(bytes + 4, 3);
    put_be32(bytes + QCOW2_H_CLUSTER_BITS, 12);
    put_be64(bytes + QCOW2_H_SIZE, DISK);
    put_be32(bytes + QCOW2_H_L1_ENTRIES, 4);
    put_be64(bytes + QCOW2_H_L1_OFFSET, CLUSTER);
    put_be64(bytes + QCOW2_H_REFTABLE_OFFSET, 2 * CLUSTER);
    put_be32(bytes + QCOW2_H_REFTABLE_CLUSTERS, 1);
    put_be32(bytes + QCOW2_H_REFCOUNT_ORDER, 4);
    put_be32(bytes + QCOW2_H_LENGTH, 112);
}

static int parse(const uint8_t bytes[CLUSTER], struct error *error)
{
    struct qcow2_header header;

    error->text[0] = 0;
    return qcow2_header_parse(&header, bytes, CLUSTER, FILE_SIZE, "image", error);
}

static void fields_at_their_edges(void **state)
{
    static const struct field fields[] = {
        {0, 4, 0x514649FA, -EINVAL},
        {4, 4, 0, -ENOTSUP},
        {4, 4, 1, -ENOTSUP},
        {4, 4, 4, -ENOTSUP},
        {4, 4, UINT32_MAX, -ENOTSUP},
        {20, 4, 0, -ENOTSUP},
        {20, 4, 11, -ENOTSUP},
        {20, 4, 22, -ENOTSUP},
        {20, 4, 63, -ENOTSUP},
        {20, 4, 64, -ENOTSUP},
        {20, 4, UINT32_MAX, -ENOTSUP},
        {24, 8, 0, -EINVAL},
        {24, 8, 511, -EINVAL},
        {24, 8, 512, 0},
        {24, 8, DISK + 512, -EINVAL}, /* more than the L1 table maps */
        {24, 8, UINT64_MAX, -EINVAL},
        {24, 8, 1ULL << 63, -EINVAL},
        {32, 4, 1, -ENOTSUP},
        {32, 4, 2, -ENOTSUP},
        {36, 4, 3, -EINVAL},
        {36, 4, 5, 0},
        {36, 4, 513, -EINVAL}, /* reaches into the refcount table */
        {36, 4, QCOW2_L1_MAX / 8 + 1, -EINVAL},
        {36, 4, UINT32_MAX, -EINVAL},
        {40, 8, 0, -EINVAL},
        {40, 8, 512, -EINVAL},
        {40, 8, 2 * CLUSTER, -EINVAL},
        {40, 8, 63 * CLUSTER, 0},
        {40, 8, 64 * CLUSTER, -EINVAL},
        {40, 8, 1ULL << 62, -EINVAL},
        {40, 8, UINT64_MAX & ~(CLUSTER - 1), -EINVAL},
        {48, 8, 0, -EINVAL},
        {48, 8, CLUSTER, -EINVAL},
        {48, 8, 63 * CLUSTER, 0},
        {48, 8, 64 * CLUSTER, -EINVAL},
        {48, 8, UINT64_MAX & ~(CLUSTER - 1), -EINVAL},
        {56, 4, 0, -EINVAL},
        {56, 4, 62, 0},
        {56, 4, 63, -EINVAL},
        {56, 4, UINT32_MAX, -EINVAL},
        {60, 4, 1, -EINVAL}, /* a snapshot at 0 */
        {60, 4, UINT32_MAX, -EINVAL},
        {64, 8, CLUSTER, 0},
        {64, 8, 1, -EINVAL}, /* with no snapshot there either */
        {64, 8, 1ULL << 63, -EINVAL},
        {72, 8, 1, 0},
        {72, 8, 2, 0},
        {72, 8, 4, -ENOTSUP},
        {72, 8, 8, -ENOTSUP},
        {72, 8, 16, -ENOTSUP},
        {72, 8, 32, -ENOTSUP},
        {72, 8, 1ULL << 63, -ENOTSUP},
        {80, 8, UINT64_MAX, 0},
        {88, 8, UINT64_MAX, 0},
        {96, 4, 0, 0},
        {96, 4, 6, 0},
        {96, 4, 7, -EINVAL},
        {96, 4, UINT32_MAX, -EINVAL},
        {100, 4, 103, -EINVAL},
        {100, 4, 104, 0},
        {100, 4, 105, -EINVAL},
        {100, 4, CLUSTER + 8, -EINVAL},
        {100, 4, UINT32_MAX & ~7U, -EINVAL},
        {104, 1, 1, -EINVAL},
        {112, 4, 1, 0},                /* an unknown extension without contents */
        {116, 4, UINT32_MAX, -EINVAL}, /* the end has no length, and others look */
        {8, 8, 1, -EINVAL},            /* backing name of no length */
    };
    uint8_t bytes[CLUSTER];
    struct error error;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(fields); n++) {
        const struct field *field = &fields[n];
        int result;

        good_header(bytes);
        assert_int_equal(parse(bytes, &error), 0);
        if (field->size == 8)
            put_be64(bytes + field->offset, field->value);
        else if (field->size == 4)
            put_be32(bytes + field->offset, (uint32_t)field->value);
        else
            bytes[field->offset] = (uint8_t)field->value;
        result = parse(bytes, &error);
        if (result != field->result)
            fail_msg("%#llx at %u: %d, not %d (%s)", (unsigned long long)field->value, field->offset, result,
                     field->result, error.text);
        assert_int_equal(error.text[0] != 0, result < 0);
    }
}

static void names_and_extensions(void **state)
{
    static const struct {
        uint64_t offset;
        uint32_t length;
        int result;
    } names[] = {
        {1024, 1023, 0},           {1024, 1024, -EINVAL},       {1024, 0, -EINVAL},      {CLUSTER - 1, 1, 0},
        {CLUSTER - 1, 2, -EINVAL}, {CLUSTER, 1, -EINVAL},       {104, 4, -EINVAL},       {UINT64_MAX, 1, -EINVAL},
        {1ULL << 63, 8, -EINVAL},  {1024, UINT32_MAX, -EINVAL}, {1024, 1 << 16, -EINVAL}};
    uint8_t bytes[CLUSTER];
    struct error error;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        good_header(bytes);
        memset(bytes + 1024, 'n', CLUSTER - 1024);
        put_be64(bytes + QCOW2_H_BACKING_OFFSET, names[n].offset);
        put_be32(bytes + QCOW2_H_BACKING_LENGTH, names[n].length);
        assert_int_equal(parse(bytes, &error), names[n].result);
    }
    /* A zero in a name would show the operator another name than is meant. */
    good_header(bytes);
    put_be64(bytes + QCOW2_H_BACKING_OFFSET, 1024);
    put_be32(bytes + QCOW2_H_BACKING_LENGTH, 4);
    assert_int_equal(parse(bytes, &error), -EINVAL);
    /* An extension that is longer than its cluster. */
    good_header(bytes);
    put_be32(bytes + 112, 0x12345678);
    put_be32(bytes + 116, UINT32_MAX);
    assert_int_equal(parse(bytes, &error), -EINVAL);
    /* Extensions to the last byte, without an end. */
    good_header(bytes);
    put_be32(bytes + 112, 0x12345678);
    put_be32(bytes + 116, CLUSTER - 120);
    assert_int_equal(parse(bytes, &error), 0);
}

/* An image on disk whose tables are changed. */
struct image {
    char path[64];
    uint64_t l1, l2, reftable, refblock, length;
};

static uint64_t word_at(const char *path, uint64_t offset)
{
    uint8_t word[8];
    int fd = open(path, O_RDONLY);

    assert_int_equal(pread(fd, word, 8, (off_t)offset), 8);
    close(fd);
    return get_be64(word);
}

static void put_word(const char *path, uint64_t offset, uint64_t value)
{
    uint8_t word[8];
    int fd = open(path, O_WRONLY);

    put_be64(word, value);
    assert_int_equal(pwrite(fd, word, 8, (off_t)offset), 8);
    close(fd);
}

static int run(struct block_queue *queue, enum block_op op, uint64_t offset, uint64_t length)
{
    static uint8_t data[MiB];
    int result;

    memset(data, 0x77, sizeof data);
    result = fake_block_run(queue, op, offset, length, &(struct iovec){data, length}, 1);
    assert_true(result <= 0);
    return result;
}

/* Opens it, and does the first operation and some more. What the first one gave, or why it was not opened. */
static int use(const char *path, enum block_op op, uint64_t offset, uint64_t length)
{
    const struct block_options options = {.path = path,
                                          .format = BLOCK_FORMAT_QCOW2,
                                          .engine = BLOCK_ENGINE_THREADS,
                                          .cache = BLOCK_CACHE_HOST,
                                          .metadata_cache = 1};
    struct block_queue *queue;
    struct block *block;
    struct loop *loop;
    int result = block_open(&options, &block, NULL);

    if (result < 0)
        return result;
    loop = loop_create("test");
    queue = block_queue_create(block, loop, 4, NULL);
    result = run(queue, op, offset, length);
    for (uint64_t at = 0; at < DISK; at += MiB) {
        run(queue, BLOCK_READ, at, MiB);
        run(queue, BLOCK_WRITE, at + 8 * KiB, 512);
        run(queue, BLOCK_DISCARD, at + 64 * KiB, 64 * KiB);
    }
    run(queue, BLOCK_FLUSH, 0, 0);
    block_queue_destroy(queue);
    block_close(block);
    loop_destroy(loop);
    return result;
}

static void image_make(struct image *image)
{
    const struct image_options options = {
        .path = image->path, .format = BLOCK_FORMAT_QCOW2, .size = DISK, .cluster_bits = 12};
    struct stat info;

    strcpy(image->path, "build/hostile-XXXXXX");
    close(mkstemp(image->path));
    unlink(image->path);
    assert_int_equal(image_create(&options, NULL), 0);
    assert_int_equal(use(image->path, BLOCK_WRITE, 0, 16 * KiB), 0);
    image->l1 = word_at(image->path, QCOW2_H_L1_OFFSET);
    image->l2 = word_at(image->path, image->l1) & QCOW2_OFFSET;
    image->reftable = word_at(image->path, QCOW2_H_REFTABLE_OFFSET);
    image->refblock = word_at(image->path, image->reftable);
    assert_int_equal(stat(image->path, &info), 0);
    image->length = (uint64_t)info.st_size;
}

/* After repair, and with what is lost, it is a good image again. */
static void assert_repairable(const char *path)
{
    struct image_findings findings;
    struct error error = {""};

    if (image_check(path, true, &findings, &error) < 0)
        fail_msg("%s", error.text);
    assert_true(findings.errors + findings.leaks > 0);
    assert_int_equal(image_check(path, false, &findings, NULL), 0);
    assert_int_equal(findings.errors, 0);
    assert_int_equal(findings.leaks, 0);
    assert_int_equal(use(path, BLOCK_READ, 0, 4096), 0);
}

static void tables_that_refer_to_where_they_must_not(void **state)
{
    enum { L1_TABLE, L2_TABLE };
    static const struct {
        int table;
        uint64_t flags;
        int64_t offset; /* negative: from the end of the file */
        int on;         /* 1: the header's, 2: L1 table's, 3: refcount table's */
    } rows[] = {{L1_TABLE, QCOW2_COPIED, 0x200, 0},
                {L1_TABLE, QCOW2_COPIED, INT64_MAX & 0x00FFFFFFFFFFF000LL, 0},
                {L1_TABLE, QCOW2_COPIED, 0, 2},
                {L1_TABLE, QCOW2_COPIED, 0, 3},
                {L1_TABLE, QCOW2_COPIED | 1, 4 * 4096, 0},
                {L1_TABLE, QCOW2_COPIED | 1ULL << 60, 4 * 4096, 0},
                {L2_TABLE, QCOW2_COPIED, 0x200, 0},
                {L2_TABLE, QCOW2_COPIED, INT64_MAX & 0x00FFFFFFFFFFF000LL, 0},
                {L2_TABLE, QCOW2_COPIED, 0, 2},
                {L2_TABLE, QCOW2_COPIED, 0, 3},
                {L2_TABLE, QCOW2_COPIED | 1ULL << 58, 4 * 4096, 0},
                {L2_TABLE, QCOW2_COPIED | 2, 4 * 4096, 0},
                {L2_TABLE, QCOW2_COMPRESSED, 0, 0},
                {L2_TABLE, QCOW2_COMPRESSED, 4095, 0},
                {L2_TABLE, QCOW2_COMPRESSED | (0xFULL << 58), 1LL << 40, 0},
                {L2_TABLE, QCOW2_COMPRESSED | QCOW2_COPIED, 4 * 4096, 0}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        struct image image;
        uint64_t offset;

        image_make(&image);
        offset = rows[n].on == 2 ? image.l1 : rows[n].on == 3 ? image.reftable : (uint64_t)rows[n].offset;
        put_word(image.path, rows[n].table == L1_TABLE ? image.l1 : image.l2, rows[n].flags | offset);
        if (use(image.path, BLOCK_READ, 0, 4096) != -EIO || use(image.path, BLOCK_WRITE, 0, 4096) != -EIO ||
            use(image.path, BLOCK_WRITE_ZEROES, 0, 4096) != -EIO)
            fail_msg("row %zu", n);
        assert_repairable(image.path);
        unlink(image.path);
    }
}

/* Two L1 entries with one table, two L2 entries with one cluster, a table as a cluster of data. */
static void what_is_referred_to_twice(void **state)
{
    struct image image;

    (void)state;
    image_make(&image);
    put_word(image.path, image.l1 + 8, word_at(image.path, image.l1));
    use(image.path, BLOCK_READ, 0, MiB);
    assert_repairable(image.path);
    unlink(image.path);

    image_make(&image);
    put_word(image.path, image.l2 + 8, word_at(image.path, image.l2));
    assert_repairable(image.path);
    /* Each has its own from the first write on. */
    assert_int_equal(use(image.path, BLOCK_WRITE, 0, 4096), 0);
    unlink(image.path);

    image_make(&image);
    put_word(image.path, image.l2 + 8, image.l2 | QCOW2_COPIED);
    use(image.path, BLOCK_WRITE, 0, MiB);
    assert_repairable(image.path);
    unlink(image.path);
}

static void refcounts_that_are_wrong(void **state)
{
    static const uint64_t entries[] = {0, 0x200, 4096, 1ULL << 50, UINT64_MAX, UINT64_MAX & ~4095ULL};
    struct image image;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(entries); n++) {
        image_make(&image);
        put_word(image.path, image.reftable, entries[n]);
        use(image.path, BLOCK_WRITE, 4 * MiB, MiB);
        assert_repairable(image.path);
        unlink(image.path);
    }
    /* All free, all full. */
    for (unsigned n = 0; n < 2; n++) {
        image_make(&image);
        for (unsigned at = 0; at < 64; at += 8)
            put_word(image.path, image.refblock + at, n ? UINT64_MAX : 0);
        use(image.path, BLOCK_WRITE, 4 * MiB, MiB);
        assert_repairable(image.path);
        unlink(image.path);
    }
}

static void files_that_are_too_short(void **state)
{
    struct image_findings findings;

    (void)state;
    for (unsigned n = 0; n < 24; n++) {
        struct image image;

        image_make(&image);
        assert_int_equal(truncate(image.path, (off_t)(n < 4 ? n * 100 : image.length * n / 24)), 0);
        use(image.path, BLOCK_READ, 0, 16 * KiB);
        if (image_check(image.path, true, &findings, NULL) == 0) {
            assert_int_equal(image_check(image.path, false, &findings, NULL), 0);
            assert_int_equal(findings.errors, 0);
        }
        unlink(image.path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_at_their_edges),
        cmocka_unit_test(names_and_extensions),
        cmocka_unit_test(tables_that_refer_to_where_they_must_not),
        cmocka_unit_test(what_is_referred_to_twice),
        cmocka_unit_test(refcounts_that_are_wrong),
        cmocka_unit_test(files_that_are_too_short),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
