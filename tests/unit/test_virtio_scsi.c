/* The guest's driver, honest and hostile, of a virtio SCSI host with one disk (Virtual I/O Device 1.2, section 5.6). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/pci.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake_virtio.h"

#define ENTRIES 64U
#define CONFIG (VIRTIO_COMMON + 0x2000)
#define DISK_BYTES 1048576
#define REQUEST_QUEUE 2U
#define WRITABLE 2U

/* What the driver has in guest RAM: for each slot a page with request and response, and one of data. */
#define SLOT_AT(slot) (0x100000U + (slot)*0x10000U)
#define HEADER 0U
#define RESPONSE 0x800U
#define DATA 0x1000U
#define HEADER_BYTES (19U + 32U)
#define RESPONSE_BYTES (12U + 96U)

struct bench {
    struct fake *fake;
    struct block *block;
    struct virtio *virtio;
    char path[32];
    struct fake_driver driver;
};

static struct bench bench;

static uint8_t *ram(uint64_t at, size_t length)
{
    uint8_t *bytes = memory_at(bench.fake->board.memory, at, length);

    assert_non_null(bytes);
    return bytes;
}

static void start(void)
{
    fake_driver_start(&bench.driver, 3, 0);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1), 15);
}

static int create(void **state)
{
    struct virtio_scsi_options device = {.queues = 1, .slot = VIRTIO_SLOT, .serial = "SERIAL"};
    struct error error = {""};
    int fd;

    (void)state;
    bench = (struct bench){.fake = fake_create(0), .path = "build/scsi-XXXXXX"};
    bench.driver = (struct fake_driver){.fake = bench.fake, .entries = ENTRIES};
    assert_int_equal(pci_bus_create(&bench.fake->board, &bench.fake->board.pci), 0);
    fd = mkstemp(bench.path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
    close(fd);
    assert_int_equal(
        block_open(&(struct block_options){.path = bench.path, .engine = BLOCK_ENGINE_THREADS}, &bench.block, &error),
        0);
    device.block = bench.block;
    assert_int_equal(virtio_scsi_create(&bench.fake->board, &device, &bench.virtio, &error), 0);
    fake_virtio_place(bench.fake);
    start();
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    fake_destroy(bench.fake);
    block_close(bench.block);
    return unlink(bench.path);
}

/* A command to a unit of target 0, with data one way or none; its chain has four places at 4 * slot. */
static void give(unsigned slot, unsigned unit, const uint8_t *cdb, size_t cdb_bytes, size_t out, size_t in)
{
    uint8_t *header = ram(SLOT_AT(slot), HEADER_BYTES);
    const unsigned first = 4 * slot;

    memset(header, 0, HEADER_BYTES);
    header[0] = 1;
    put_be16(header + 2, (uint16_t)(0x4000 | unit));
    memcpy(header + 19, cdb, cdb_bytes);
    memset(ram(SLOT_AT(slot) + RESPONSE, RESPONSE_BYTES), 0xEE, RESPONSE_BYTES);
    fake_driver_describe(&bench.driver, REQUEST_QUEUE, first, SLOT_AT(slot) + HEADER, HEADER_BYTES, 0, true);
    if (out)
        fake_driver_describe(&bench.driver, REQUEST_QUEUE, first + 1, SLOT_AT(slot) + DATA, out, 0, true);
    fake_driver_describe(&bench.driver, REQUEST_QUEUE, first + (out ? 2 : 1), SLOT_AT(slot) + RESPONSE, RESPONSE_BYTES,
                         WRITABLE, in);
    if (in)
        fake_driver_describe(&bench.driver, REQUEST_QUEUE, first + 2, SLOT_AT(slot) + DATA, in, WRITABLE, false);
    fake_driver_offer(&bench.driver, REQUEST_QUEUE, first);
}

struct answer {
    uint32_t sense_bytes, residual;
    uint8_t status, response, key;
    uint16_t additional;
};

static struct answer answer_of(unsigned slot)
{
    const uint8_t *response = ram(SLOT_AT(slot) + RESPONSE, RESPONSE_BYTES), *sense = response + 12;

    return (struct answer){.sense_bytes = get_le32(response),
                           .residual = get_le32(response + 4),
                           .status = response[10],
                           .response = response[11],
                           .key = sense[2] & 15,
                           .additional = get_be16(sense + 12)};
}

static struct answer run(const uint8_t *cdb, size_t cdb_bytes, size_t out, size_t in)
{
    give(0, 0, cdb, cdb_bytes, out, in);
    assert_true(fake_driver_wait(&bench.driver, REQUEST_QUEUE));
    return answer_of(0);
}
#define RUN(out, in, ...) run((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), out, in)
#define GIVE(slot, out, in, ...) \
    give(slot, 0, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), out, in)

static void assert_good(struct answer answer)
{
    assert_int_equal(answer.response, 0);
    assert_int_equal(answer.status, 0);
    assert_int_equal(answer.sense_bytes, 0);
}

/* The first command is told of power-on. */
static void ready(void)
{
    struct answer answer = RUN(0, 0, 0);

    assert_int_equal(answer.status, 2);
    assert_int_equal(answer.key, 6);
    assert_int_equal(answer.additional, 0x2900);
    assert_good(RUN(0, 0, 0));
}

static void a_disk_is_found_and_moves_data(void **state)
{
    (void)state;
    assert_int_equal(fake_config_read(bench.fake, VIRTIO_SLOT << 3, 0, 4), 0x10481AF4);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, CONFIG, 4), 1);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, CONFIG + 30, 2), 255);
    ready();
    assert_good(RUN(0, 36, 0x12, 0, 0, 0, 36));
    assert_memory_equal(ram(SLOT_AT(0) + DATA + 8, 8), "Casement", 8);
    memset(ram(SLOT_AT(0) + DATA, 0x2000), 0x5A, 0x2000);
    assert_good(RUN(0x2000, 0, 0x2A, 0, 0, 0, 0, 8, 0, 0, 16));
    memset(ram(SLOT_AT(0) + DATA, 0x2000), 0, 0x2000);
    assert_good(RUN(0, 0x2000, 0x28, 0, 0, 0, 0, 8, 0, 0, 16));
    assert_int_equal(*ram(SLOT_AT(0) + DATA + 0x1FFF, 1), 0x5A);
    assert_int_equal(get_le32(ram(VIRTIO_USED + REQUEST_QUEUE * VIRTIO_RING + 4 + 4 * 8 + 4, 4)),
                     RESPONSE_BYTES + 0x2000);
    assert_good(RUN(0, 0, 0x35));
}

static void what_fails_says_why(void **state)
{
    struct answer answer;

    (void)state;
    ready();
    answer = RUN(0, 0x200, 0x28, 0, 0xFF, 0, 0, 0, 0, 0, 1);
    assert_int_equal(answer.status, 2);
    assert_int_equal(answer.sense_bytes, 18);
    assert_int_equal(answer.key, 5);
    assert_int_equal(answer.additional, 0x2100);
    assert_int_equal(answer.residual, 0x200);
    assert_int_equal(RUN(0, 0x200, 0x28, 0, 0, 0, 0, 0, 0, 0, 2).response, 1); /* overrun */
    assert_int_equal(RUN(0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 2).response, 1);
    assert_int_equal(RUN(0x200, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1).response, 9);
    assert_good(RUN(0, 0x400, 0x28, 0, 0, 0, 0, 0, 0, 0, 1));
    assert_int_equal(answer_of(0).residual, 0x200);
    give(0, 1, (const uint8_t[]){0}, 1, 0, 0); /* another unit */
    assert_true(fake_driver_wait(&bench.driver, REQUEST_QUEUE));
    assert_int_equal(answer_of(0).response, 3);
}

/* Reads, writes and lists of ranges to free, in flight together: each ends once, and lists do not mix. */
static void many_at_a_time(void **state)
{
    (void)state;
    ready();
    memset(ram(SLOT_AT(0) + DATA, 0x1000), 0x11, 0x1000);
    for (unsigned block = 0; block < 64; block += 8)
        assert_good(RUN(0x1000, 0, 0x2A, 0, 0, 0, 0, (uint8_t)block, 0, 0, 8));
    for (unsigned slot = 0; slot < 8; slot++) {
        uint8_t *list = ram(SLOT_AT(slot) + DATA, 40);

        memset(list, 0, 40);
        put_be16(list, 38);
        put_be16(list + 2, 32);
        for (unsigned half = 0; half < 2; half++) { /* of a group; every second group stays */
            put_be64(list + 8 + 16 * half, slot * 8 + 4 * half);
            put_be32(list + 16 + 16 * half, slot % 2 ? 0 : 4);
        }
        GIVE(slot, 40, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 40);
    }
    for (unsigned slot = 8; slot < 12; slot++)
        GIVE(slot, 0, 0x200, 0x28, 0, 0, 0, 1, 0, 0, 0, 1);
    assert_true(fake_driver_wait(&bench.driver, REQUEST_QUEUE));
    for (unsigned slot = 0; slot < 12; slot++)
        assert_good(answer_of(slot));
    for (unsigned group = 0; group < 8; group++) {
        assert_good(RUN(0, 0x1000, 0x28, 0, 0, 0, 0, (uint8_t)(8 * group), 0, 0, 8));
        for (unsigned block = 0; block < 8; block++)
            assert_int_equal(*ram(SLOT_AT(0) + DATA + block * 0x200, 1), group % 2 ? 0x11 : 0);
    }
}

/* An order of the control queue; its answer's first byte. */
static uint8_t order(unsigned kind, unsigned subtype, unsigned unit)
{
    uint8_t *bytes = ram(SLOT_AT(0) + DATA, 24);

    memset(bytes, 0, 24);
    put_le32(bytes, kind);
    put_le32(bytes + 4, subtype);
    bytes[8] = 1;
    put_be16(bytes + 10, (uint16_t)(0x4000 | unit));
    fake_driver_describe(&bench.driver, 0, 0, SLOT_AT(0) + DATA, 24, 0, true);
    fake_driver_describe(&bench.driver, 0, 1, SLOT_AT(0) + RESPONSE, 8, WRITABLE, false);
    *ram(SLOT_AT(0) + RESPONSE, 1) = 0xEE;
    fake_driver_offer(&bench.driver, 0, 0);
    assert_true(fake_driver_wait(&bench.driver, 0));
    return *ram(SLOT_AT(0) + RESPONSE, 1);
}

static void tasks_are_managed(void **state)
{
    (void)state;
    ready();
    for (unsigned slot = 1; slot < 9; slot++)
        GIVE(slot, 0x1000, 0, 0x2A, 0, 0, 0, 0, (uint8_t)(slot * 8), 0, 0, 8);
    assert_int_equal(order(0, 0, 0), 0); /* abort: they have ended before the answer */
    assert_true(fake_driver_wait(&bench.driver, REQUEST_QUEUE));
    for (unsigned slot = 1; slot < 9; slot++)
        assert_good(answer_of(slot));
    assert_int_equal(order(0, 5, 0), 0); /* the unit's reset */
    ready();
    assert_int_equal(order(0, 2, 0), 11); /* CLEAR ACA */
    assert_int_equal(order(0, 5, 1), 3);  /* no such unit */
}

static void the_driver_chooses_sizes(void **state)
{
    (void)state;
    fake_write(bench.fake, BUS_MMIO, CONFIG + 20, 4, 253);
    fake_write(bench.fake, BUS_MMIO, CONFIG + 24, 4, 0);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, CONFIG + 20, 4), 96);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, CONFIG + 24, 4), 32);
    fake_write(bench.fake, BUS_MMIO, CONFIG + 20, 4, 18);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, CONFIG + 20, 4), 18);
    ready();
    assert_int_equal(*ram(SLOT_AT(0) + RESPONSE + 12 + 18, 1), 0xEE);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 0);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, CONFIG + 20, 4), 96);
}

/* Header, response and data split byte by byte are the same request. */
static void any_framing_will_do(void **state)
{
    unsigned n = 0;

    (void)state;
    ready();
    GIVE(0, 0, 0x200, 0x12, 0, 0, 0, 36);
    assert_true(fake_driver_wait(&bench.driver, REQUEST_QUEUE));
    fake_write(bench.fake, BUS_MMIO, CONFIG + 20, 4, 0);
    fake_write(bench.fake, BUS_MMIO, CONFIG + 24, 4, 6);
    for (; n < 25; n++)
        fake_driver_describe(&bench.driver, REQUEST_QUEUE, n, SLOT_AT(0) + n, 1, 0, true);
    for (; n < 25 + 12; n++)
        fake_driver_describe(&bench.driver, REQUEST_QUEUE, n, SLOT_AT(0) + RESPONSE + n - 25, 1, WRITABLE, true);
    for (; n < 25 + 12 + 20; n++)
        fake_driver_describe(&bench.driver, REQUEST_QUEUE, n, SLOT_AT(0) + DATA + n - 37, 1, WRITABLE,
                             n + 1 < 25 + 12 + 20);
    memset(ram(SLOT_AT(0) + DATA, 36), 0, 36);
    fake_driver_offer(&bench.driver, REQUEST_QUEUE, 0);
    assert_true(fake_driver_wait(&bench.driver, REQUEST_QUEUE));
    assert_int_equal(answer_of(0).response, 0);
    assert_memory_equal(ram(SLOT_AT(0) + DATA + 8, 8), "Casement", 8);
}

/* Too short for what every request has: the device is broken until it is reset, and nothing else happens. */
static void short_requests_break_the_device(void **state)
{
    static const struct {
        unsigned queue;
        size_t out, in;
    } cases[] = {{0, 3, 8},
                 {0, 23, 8},
                 {0, 24, 0},
                 {REQUEST_QUEUE, HEADER_BYTES - 1, RESPONSE_BYTES},
                 {REQUEST_QUEUE, HEADER_BYTES, RESPONSE_BYTES - 1},
                 {REQUEST_QUEUE, 0, RESPONSE_BYTES},
                 {REQUEST_QUEUE, HEADER_BYTES, 0}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        memset(ram(SLOT_AT(0), 64), 0, 64);
        if (cases[n].out)
            fake_driver_describe(&bench.driver, cases[n].queue, 0, SLOT_AT(0), cases[n].out, 0, cases[n].in);
        if (cases[n].in)
            fake_driver_describe(&bench.driver, cases[n].queue, cases[n].out ? 1 : 0, SLOT_AT(0) + RESPONSE,
                                 cases[n].in, WRITABLE, false);
        fake_driver_offer(&bench.driver, cases[n].queue, 0);
        assert_false(fake_driver_wait(&bench.driver, cases[n].queue));
        fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 0);
        start();
    }
    ready();
}

/* A reset with requests in flight: on return none touches guest memory any more, and the next driver begins anew. */
static void a_reset_leaves_nothing_in_flight(void **state)
{
    (void)state;
    ready();
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned slot = 0; slot < 8; slot++)
            GIVE(slot, 0, 0x1000, 0x28, 0, 0, 0, 0, (uint8_t)(slot * 8), 0, 0, 8);
        fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 0);
        for (unsigned slot = 0; slot < 8; slot++)
            memset(ram(SLOT_AT(slot) + DATA, 0x1000), 0x77, 0x1000);
        start();
        for (unsigned slot = 0; slot < 8; slot++)
            assert_int_equal(*ram(SLOT_AT(slot) + DATA + 0x800, 1), 0x77);
        ready();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_disk_is_found_and_moves_data, create, destroy),
        cmocka_unit_test_setup_teardown(what_fails_says_why, create, destroy),
        cmocka_unit_test_setup_teardown(many_at_a_time, create, destroy),
        cmocka_unit_test_setup_teardown(tasks_are_managed, create, destroy),
        cmocka_unit_test_setup_teardown(the_driver_chooses_sizes, create, destroy),
        cmocka_unit_test_setup_teardown(any_framing_will_do, create, destroy),
        cmocka_unit_test_setup_teardown(short_requests_break_the_device, create, destroy),
        cmocka_unit_test_setup_teardown(a_reset_leaves_nothing_in_flight, create, destroy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
