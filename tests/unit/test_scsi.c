/* A SCSI disk with a test that plays its transport: what it says about itself, UNMAP, WRITE SAME, and lists that lie.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/identifier.h"
#include "casement/image.h"
#include "casement/scsi.h"
#include "cmocka_all.h"

#define DISK (8 * MiB)
#define BLOCKS (DISK / 512)
#define SERIAL "S-123"

enum { GOOD = 0, OPCODE = 0x52000, RANGE = 0x52100, FIELD = 0x52400, PARAMETER = 0x52600, LENGTH = 0x51A00 };
enum { PROTECTED = 0x72700, POWER_ON = 0x62900, CAPACITY = 0x62A09 };

struct bench {
    char path[64];
    struct loop *loop;
    struct block *block;
    struct scsi_unit *unit;
    struct scsi_request request;
    struct scatter scatter;
    uint8_t data[70000];
    size_t size, at; /* of the data that the transport has room for, and how far it has got */
    bool done;
};

static int next_piece(struct scatter *scatter, uint64_t bytes, struct iovec *iov, unsigned room)
{
    struct bench *bench = container_of(scatter, struct bench, scatter);
    size_t now = MIN((size_t)bytes, MIN(bench->size - bench->at, (size_t)1000)); /* crooked pieces */

    if (!now || !room)
        return 0;
    *iov = (struct iovec){bench->data + bench->at, now};
    bench->at += now;
    return 1;
}

static void note_done(struct scsi_request *request)
{
    ((struct bench *)request->opaque)->done = true;
}

static struct bench *bench_create(bool qcow2, bool read_only)
{
    static const struct scsi_options disk = {
        .kind = SCSI_DISK, .physical_interface = 8, .vendor = "Casement", .product = "Disk", .serial = SERIAL};
    struct bench *bench = calloc(1, sizeof *bench);
    struct image_options image = {.path = bench->path, .size = DISK};
    struct block_options options = {.path = bench->path, .read_only = read_only, .format_given = true};
    struct error error = {""};

    strcpy(bench->path, "build/scsi-XXXXXX");
    close(mkstemp(bench->path));
    unlink(bench->path);
    image.format = options.format = qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
    options.engine = BLOCK_ENGINE_THREADS;
    if (image_create(&image, &error) < 0 || block_open(&options, &bench->block, &error) < 0)
        fail_msg("%s", error.text);
    bench->loop = loop_create("test");
    bench->unit = scsi_create(&disk, bench->loop);
    assert_int_equal(scsi_set_medium(bench->unit, bench->block, &error), 0);
    scsi_reset(bench->unit);
    bench->scatter.next = next_piece;
    bench->request.done = note_done;
    bench->request.opaque = bench;
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    scsi_destroy(bench->unit);
    block_close(bench->block);
    loop_destroy(bench->loop);
    unlink(bench->path);
    free(bench);
}

/* Sense key, code and qualifier of a command whose data is in bench->data. */
static unsigned run(struct bench *bench, const uint8_t *cdb, size_t length, enum scsi_data direction, size_t size)
{
    const uint8_t *sense = bench->request.sense;

    memset(bench->request.cdb, 0, sizeof bench->request.cdb);
    memcpy(bench->request.cdb, cdb, length);
    bench->request.data = direction == SCSI_NO_DATA ? NULL : &bench->scatter;
    bench->request.direction = direction;
    bench->size = size;
    bench->at = 0;
    bench->done = false;
    scsi_submit(bench->unit, &bench->request);
    scsi_drain(bench->unit);
    assert_true(bench->done);
    if (bench->request.status == SCSI_GOOD)
        return GOOD;
    assert_int_equal(bench->request.status, SCSI_CHECK_CONDITION);
    return (unsigned)(sense[2] << 16 | sense[12] << 8 | sense[13]);
}

#define CDB(...) (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define IN(size, ...) run(bench, CDB(__VA_ARGS__), SCSI_IN, size)
#define OUT(size, ...) run(bench, CDB(__VA_ARGS__), SCSI_OUT, size)
#define NONE(...) run(bench, CDB(__VA_ARGS__), SCSI_NO_DATA, 0)

static struct bench *ready(bool qcow2)
{
    struct bench *bench = bench_create(qcow2, false);

    assert_int_equal(NONE(0x00), POWER_ON);
    assert_int_equal(NONE(0x00), GOOD);
    return bench;
}

static void fill(struct bench *bench, uint32_t first, uint16_t count, uint8_t byte)
{
    uint8_t cdb[10] = {0x2A};

    put_be32(cdb + 2, first);
    put_be16(cdb + 7, count);
    memset(bench->data, byte, count * 512U);
    assert_int_equal(run(bench, cdb, sizeof cdb, SCSI_OUT, count * 512U), GOOD);
}

static void assert_filled(struct bench *bench, uint32_t first, uint16_t count, uint8_t byte)
{
    uint8_t cdb[10] = {0x28};

    put_be32(cdb + 2, first);
    put_be16(cdb + 7, count);
    memset(bench->data, ~byte, count * 512U);
    assert_int_equal(run(bench, cdb, sizeof cdb, SCSI_IN, count * 512U), GOOD);
    for (unsigned n = 0; n < count * 512U; n++)
        if (bench->data[n] != byte)
            fail_msg("byte %u of block %u is %u, not %u", n % 512, first + n / 512, bench->data[n], byte);
}

static size_t page(struct bench *bench, uint8_t code)
{
    assert_int_equal(IN(255, 0x12, 1, code, 0, 255), GOOD);
    assert_int_equal(bench->data[1], code);
    assert_int_equal(bench->request.moved, 4U + get_be16(bench->data + 2));
    return get_be16(bench->data + 2);
}

/* SPC 7.8, SBC 6.6: each page that page 0 lists is there, in order; any other is refused. */
static void vital_product_data(void **state)
{
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2};
    struct bench *bench = bench_create(false, false);

    (void)state;
    assert_int_equal(page(bench, 0), sizeof pages);
    assert_memory_equal(bench->data + 4, pages, sizeof pages);
    for (unsigned code = 0; code < 256; code++)
        assert_int_equal(IN(255, 0x12, 1, (uint8_t)code, 0, 255),
                         memchr(pages, (int)code, sizeof pages) ? GOOD : FIELD);
    assert_int_equal(page(bench, 0x80), strlen(SERIAL));
    assert_memory_equal(bench->data + 4, SERIAL, strlen(SERIAL));
    assert_int_equal(page(bench, 0x83), 4 + 8 + strlen(SERIAL) + 12);
    assert_memory_equal(bench->data + 4,
                        "\x02\x01\x00\x0D"
                        "Casement" SERIAL "\x01\x03\x00\x08",
                        4 + 8 + 5 + 4);
    assert_int_equal(bench->data[25] >> 4, 5); /* NAA: IEEE registered */
    assert_int_equal(get_be64(bench->data + 25), identifier_wwn(SERIAL));
    assert_int_equal(get_be64(bench->data + 25) >> 36 & 0xFFFFFF, 0x525400);
    assert_int_not_equal(identifier_wwn(SERIAL), identifier_wwn("S-124"));
    assert_int_equal(page(bench, 0xB0), 60);
    assert_int_equal(bench->data[4] & 1, 1);
    assert_int_equal(get_be32(bench->data + 20), 1 << 22);
    assert_int_equal(get_be32(bench->data + 24), 256);
    assert_int_equal(get_be32(bench->data + 28), 8);
    assert_int_equal(get_be32(bench->data + 32), 1U << 31);
    assert_int_equal(get_be64(bench->data + 36), 1 << 22);
    assert_int_equal(page(bench, 0xB1), 60);
    assert_int_equal(get_be16(bench->data + 4), 1);
    assert_int_equal(page(bench, 0xB2), 4);
    assert_memory_equal(bench->data + 4, "\x00\xE4\x02\x00", 4);
    bench_destroy(bench);
}

/* What cannot be freed is not offered. */
static void a_read_only_disk_offers_nothing(void **state)
{
    struct bench *bench = bench_create(false, true);

    (void)state;
    assert_int_equal(NONE(0x00), POWER_ON);
    assert_int_equal(page(bench, 0xB0), 60);
    assert_int_equal(get_be64(bench->data + 20), 0);
    assert_int_equal(page(bench, 0xB2), 4);
    assert_int_equal(get_be32(bench->data + 4), 0);
    assert_int_equal(IN(32, 0x9E, 0x10, [13] = 32), GOOD);
    assert_int_equal(bench->data[14], 0);
    assert_int_equal(OUT(24, 0x42, [8] = 24), PROTECTED);
    assert_int_equal(NONE(0x93, 1, [13] = 1), PROTECTED);
    assert_int_equal(OUT(512, 0x41, [8] = 1), PROTECTED);
    assert_int_equal(NONE(0x04), PROTECTED);
    bench_destroy(bench);
}

/* The list in bench->data, from the second descriptor on as many as there are; its length. */
static size_t put_list(struct bench *bench, const uint64_t (*ranges)[2], unsigned count)
{
    size_t length = 8 + count * 16U;

    memset(bench->data, 0, length);
    put_be16(bench->data, (uint16_t)(length - 2));
    put_be16(bench->data + 2, (uint16_t)(length - 8));
    for (unsigned n = 0; n < count; n++) {
        put_be64(bench->data + 8 + n * 16, ranges[n][0]);
        put_be32(bench->data + 16 + n * 16, (uint32_t)ranges[n][1]);
    }
    return length;
}

static unsigned unmap(struct bench *bench, size_t length)
{
    const uint8_t cdb[10] = {0x42, [7] = (uint8_t)(length >> 8), [8] = (uint8_t)length};

    return run(bench, cdb, sizeof cdb, SCSI_OUT, length);
}

static void unmap_frees(bool qcow2)
{
    static const uint64_t ranges[][2] = {{128, 128}, {BLOCKS, 0}, {512, 256}, {BLOCKS - 128, 128}};
    struct bench *bench = ready(qcow2);

    fill(bench, 120, 136, 7);
    fill(bench, 512, 100, 7);
    fill(bench, BLOCKS - 128, 128, 7);
    assert_int_equal(unmap(bench, put_list(bench, ranges, ARRAY_SIZE(ranges))), GOOD);
    assert_filled(bench, 120, 8, 7);
    assert_filled(bench, 128, 128, 0);
    assert_filled(bench, 512, 100, 0);
    assert_filled(bench, BLOCKS - 128, 128, 0);
    assert_int_equal(IN(32, 0x9E, 0x10, [13] = 32), GOOD);
    assert_int_equal(get_be64(bench->data), BLOCKS - 1);
    assert_int_equal(bench->data[14], 0xC0);
    bench_destroy(bench);
}

static void unmap_on_both_formats(void **state)
{
    (void)state;
    unmap_frees(false);
    unmap_frees(true);
}

/* SBC 5.28: lengths that do not fit each other, too many descriptors, ranges behind the end; nothing is touched. */
static void lists_that_lie(void **state)
{
    static const uint64_t outside[][2] = {{0, 8}, {BLOCKS - 1, 2}}, wraps[][2] = {{0, 8}, {UINT64_MAX, 2}};
    static const uint64_t behind[][2] = {{BLOCKS + 1, 0}}, inside[][2] = {{0, 8}, {16, 8}};
    static uint64_t many[4095][2];
    struct bench *bench = ready(false);
    size_t length;

    (void)state;
    fill(bench, 0, 32, 7);
    assert_int_equal(unmap(bench, put_list(bench, outside, 2)), RANGE);
    assert_int_equal(unmap(bench, put_list(bench, wraps, 2)), RANGE);
    assert_int_equal(unmap(bench, put_list(bench, behind, 1)), RANGE);
    assert_int_equal(unmap(bench, 0), GOOD);
    for (size_t n = 1; n < 8; n++) {
        put_list(bench, inside, 2);
        assert_int_equal(unmap(bench, n), LENGTH);
    }
    length = put_list(bench, inside, 2);
    assert_int_equal(OUT(length - 1, 0x42, [8] = (uint8_t)length), LENGTH); /* less than was announced */
    put_list(bench, inside, 2);
    assert_int_equal(OUT(length, 0x42, 1, [8] = (uint8_t)length), FIELD); /* ANCHOR */
    assert_int_equal(unmap(bench, put_list(bench, many, 257)), PARAMETER);
    assert_int_equal(unmap(bench, put_list(bench, many, 4095)), PARAMETER);
    assert_int_equal(unmap(bench, put_list(bench, many, 256)), GOOD); /* none of which has a block */
    /* Descriptors are counted by the list's own length, as far as there is a list; a part of one is none. */
    assert_filled(bench, 0, 32, 7);
    length = put_list(bench, inside, 2);
    put_be16(bench->data + 2, 31);
    assert_int_equal(unmap(bench, length), GOOD);
    assert_filled(bench, 0, 8, 0);
    assert_filled(bench, 8, 24, 7);
    put_list(bench, inside, 2);
    put_be16(bench->data + 2, 0xFFFF);
    assert_int_equal(unmap(bench, length), GOOD);
    assert_filled(bench, 16, 8, 0);
    assert_filled(bench, 24, 8, 7);
    bench_destroy(bench);
}

static void more_than_one_command_may_free(void **state)
{
    static const uint64_t ranges[][2] = {{0, 1 << 22}, {0, 1}};
    struct bench *bench = ready(false);

    (void)state;
    assert_int_equal(block_grow(bench->block, 4 * GiB, NULL), 0);
    assert_int_equal(NONE(0x00), CAPACITY);
    assert_int_equal(unmap(bench, put_list(bench, ranges, 1)), GOOD);
    assert_int_equal(unmap(bench, put_list(bench, ranges, 2)), PARAMETER);
    assert_int_equal(NONE(0x93, 1, [11] = 0x40), GOOD);
    assert_int_equal(NONE(0x93, 1, [11] = 0x40, [13] = 1), FIELD);
    bench_destroy(bench);
}

/* SBC 5.43 ff. */
static void write_same_fills(bool qcow2)
{
    struct bench *bench = ready(qcow2);

    fill(bench, 0, 128, 7);
    memset(bench->data, 0, 512);
    assert_int_equal(OUT(512, 0x93, 8, [9] = 3, [13] = 100), GOOD); /* zeroes, unmapped */
    assert_filled(bench, 0, 3, 7);
    assert_filled(bench, 3, 100, 0);
    assert_filled(bench, 103, 25, 7);
    assert_int_equal(NONE(0x93, 9, [9] = 110, [13] = 2), GOOD); /* NDOB */
    assert_filled(bench, 110, 2, 0);
    memset(bench->data, 0x5A, 512);
    assert_int_equal(OUT(512, 0x93, 8, [9] = 1, [12] = 8), GOOD); /* a pattern, over several steps */
    assert_filled(bench, 0, 1, 7);
    for (unsigned n = 0; n < 2048; n += 128)
        assert_filled(bench, 1 + n, 128, 0x5A);
    assert_filled(bench, 2049, 1, 0);
    memset(bench->data, 0xA5, 512);
    assert_int_equal(OUT(512, 0x41, [5] = 7, [8] = 1), GOOD);
    assert_filled(bench, 7, 1, 0xA5);
    assert_filled(bench, 8, 1, 0x5A);
    memset(bench->data, 0, 512);
    assert_int_equal(OUT(512, 0x41, [5] = 7, [8] = 1), GOOD);
    assert_filled(bench, 7, 1, 0);
    bench_destroy(bench);
}

static void write_same_on_both_formats(void **state)
{
    (void)state;
    write_same_fills(false);
    write_same_fills(true);
}

static void write_same_that_cannot_be(void **state)
{
    struct bench *bench = ready(false);

    (void)state;
    fill(bench, 0, 1, 7);
    assert_int_equal(OUT(512, 0x93, 0), FIELD);                    /* no blocks */
    assert_int_equal(OUT(512, 0x93, 0x10, [13] = 1), FIELD);       /* ANCHOR */
    assert_int_equal(OUT(512, 0x93, 0x20, [13] = 1), FIELD);       /* protection */
    assert_int_equal(OUT(512, 0x93, 0x02, [13] = 1), FIELD);       /* the block's number in it */
    assert_int_equal(NONE(0x41, 1, [8] = 1), FIELD);               /* NDOB in 10 bytes */
    assert_int_equal(OUT(512, 0x93, [8] = 0x40, [13] = 1), RANGE); /* the first block behind the end */
    assert_int_equal(OUT(512, 0x93, [8] = 0x3F, [9] = 0xFF, [13] = 2), RANGE);
    assert_int_equal(OUT(512, 0x93, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 2), RANGE);
    assert_int_equal(OUT(511, 0x93, [13] = 1), LENGTH);
    assert_filled(bench, 0, 1, 7);
    bench_destroy(bench);
}

/* SPC 6.39, SBC 5.15: told once; by REQUEST SENSE, too; never to INQUIRY. */
static void a_larger_disk_is_an_attention(void **state)
{
    struct bench *bench = bench_create(false, false);

    (void)state;
    assert_int_equal(block_grow(bench->block, DISK + 512, NULL), 0);
    assert_int_equal(IN(36, 0x12, [4] = 36), GOOD);
    assert_int_equal(NONE(0x00), POWER_ON);
    assert_int_equal(IN(8, 0x25), CAPACITY);
    bench_destroy(bench);

    bench = ready(false);
    assert_int_equal(block_grow(bench->block, DISK + 512, NULL), 0);
    assert_int_equal(IN(8, 0x25), CAPACITY);
    assert_int_equal(IN(8, 0x25), GOOD);
    assert_int_equal(get_be32(bench->data), BLOCKS);
    assert_int_equal(IN(32, 0x9E, 0x10, [13] = 32), GOOD);
    assert_int_equal(get_be64(bench->data), BLOCKS);
    fill(bench, BLOCKS, 1, 9);
    assert_filled(bench, BLOCKS, 1, 9);
    assert_int_equal(IN(512, 0x28, [3] = 0, [4] = 0x40, [5] = 1, [8] = 1), RANGE);
    assert_int_equal(block_grow(bench->block, DISK + 1024, NULL), 0);
    assert_int_equal(IN(18, 0x03, [4] = 18), GOOD); /* the error before it */
    assert_int_equal(bench->data[2] << 16 | get_be16(bench->data + 12), RANGE);
    assert_int_equal(IN(18, 0x03, [4] = 18), GOOD);
    assert_int_equal(bench->data[2] << 16 | get_be16(bench->data + 12), CAPACITY);
    assert_int_equal(IN(18, 0x03, [4] = 18), GOOD);
    assert_int_equal(bench->data[2] << 16 | get_be16(bench->data + 12), 0);
    assert_int_equal(NONE(0x00), GOOD);
    /* A medium that is out has no size. */
    assert_int_equal(scsi_set_medium(bench->unit, NULL, NULL), 0);
    assert_int_equal(block_grow(bench->block, DISK + 2048, NULL), 0);
    assert_int_equal(NONE(0x00), 0x23A01);
    bench_destroy(bench);
}

/* SBC table 13: what a disk must have. */
static void mandatory_commands(void **state)
{
    struct bench *bench = ready(false);

    (void)state;
    fill(bench, 0, 1, 7);
    assert_int_equal(NONE(0x04), GOOD); /* FORMAT UNIT */
    memset(bench->data, 0, 8);
    assert_int_equal(OUT(4, 0x04, 0x10), GOOD);
    assert_int_equal(OUT(8, 0x04, 0x30), GOOD);
    assert_int_equal(OUT(3, 0x04, 0x10), LENGTH);
    bench->data[3] = 4; /* a defect */
    assert_int_equal(OUT(4, 0x04, 0x18), PARAMETER);
    assert_int_equal(NONE(0x04, 0x80), FIELD); /* protection */
    assert_filled(bench, 0, 1, 7);
    assert_int_equal(NONE(0x1D, 4), GOOD); /* SEND DIAGNOSTIC */
    assert_int_equal(NONE(0x1D, 0), GOOD);
    assert_int_equal(NONE(0x1D, 0x24), FIELD);
    assert_int_equal(OUT(4, 0x1D, 0x10, 0, 0, 4), FIELD);
    assert_int_equal(IN(16, 0xA0, [9] = 16), GOOD);
    assert_int_equal(IN(512, 0x88, [13] = 1), GOOD);
    assert_int_equal(NONE(0x91), GOOD);
    assert_int_equal(NONE(0xFF), OPCODE);
    bench_destroy(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vital_product_data),
        cmocka_unit_test(a_read_only_disk_offers_nothing),
        cmocka_unit_test(unmap_on_both_formats),
        cmocka_unit_test(lists_that_lie),
        cmocka_unit_test(more_than_one_command_may_free),
        cmocka_unit_test(write_same_on_both_formats),
        cmocka_unit_test(write_same_that_cannot_be),
        cmocka_unit_test(a_larger_disk_is_an_attention),
        cmocka_unit_test(mandatory_commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
