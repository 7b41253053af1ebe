/*
 * The guest's driver, honest and hostile, on virtio's transport, queue and disk (lessons 4.5: rows 1, 2, 5, 6, 8, 9,
 * 11, 13, 22, 25, 27, 28, 30).
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/pci.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake.h"

#define SLOT 5
#define DEVFN (SLOT << 3)
#define WINDOW UINT64_C(0xE000000000)
#define COMMON WINDOW
#define ISR (WINDOW + 0x1000)
#define DEVICE (WINDOW + 0x2000)
#define NOTIFY (WINDOW + 0x3000)

/* Where the driver keeps its things in guest RAM. */
#define DESC 0x10000
#define AVAIL 0x20000
#define USED 0x30000
#define DATA 0x100000
#define SIZE 16

enum {
    F_SELECT = 0,
    F_BITS = 4,
    D_SELECT = 8,
    D_BITS = 12,
    STATUS = 20,
    GENERATION = 21,
    Q_SELECT = 22,
    Q_SIZE = 24,
    Q_VECTOR = 26,
    Q_ENABLE = 28
};

struct bench {
    struct fake *fake;
    struct block *block;
    struct virtio *virtio;
    char path[64];
    uint16_t avail;
    bool moved; /* the machine was reset: the BARs are gone */
};

static uint64_t get(struct bench *bench, uint64_t at, unsigned size)
{
    return fake_read(bench->fake, BUS_MMIO, at, size);
}

static void put(struct bench *bench, uint64_t at, unsigned size, uint64_t value)
{
    fake_write(bench->fake, BUS_MMIO, at, size, value);
}

static void poke(struct bench *bench, uint64_t at, unsigned size, uint64_t value)
{
    uint8_t bytes[8];

    put_le(bytes, size, value);
    assert_int_equal(memory_write(bench->fake->board.memory, at, bytes, size), 0);
}

static uint64_t peek(struct bench *bench, uint64_t at, unsigned size)
{
    uint8_t bytes[8];

    assert_int_equal(memory_read(bench->fake->board.memory, at, bytes, size), 0);
    return get_le(bytes, size);
}

static void place_window(struct bench *bench)
{
    fake_config_write(bench->fake, DEVFN, 0x14, 4, 0xC0000000); /* MSI-X */
    fake_config_write(bench->fake, DEVFN, 0x20, 4, (uint32_t)WINDOW);
    fake_config_write(bench->fake, DEVFN, 0x24, 4, WINDOW >> 32);
    fake_config_write(bench->fake, DEVFN, 0x04, 2, 6);
}

static struct bench *bench_create_on(enum block_engine engine)
{
    static struct bench bench;
    struct virtio_block_options device = {.queues = 2, .slot = SLOT, .serial = "SERIAL"};
    struct block_options options = {.path = bench.path, .engine = engine};
    struct error error = {""};
    int fd;

    bench = (struct bench){.fake = fake_create(0)};
    assert_int_equal(pci_bus_create(&bench.fake->board, &bench.fake->board.pci), 0);
    strcpy(bench.path, "build/virtio-XXXXXX");
    fd = mkstemp(bench.path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    assert_int_equal(block_open(&options, &bench.block, &error), 0);
    device.block = bench.block;
    assert_int_equal(virtio_block_create(&bench.fake->board, &device, &bench.virtio, &error), 0);
    place_window(&bench);
    return &bench;
}

static struct bench *bench_create(void)
{
    return bench_create_on(BLOCK_ENGINE_THREADS);
}

static void bench_destroy(struct bench *bench)
{
    struct block *block = bench->block;

    fake_destroy(bench->fake);
    block_close(block);
    unlink(bench->path);
}

/* Up to FEATURES_OK, with VERSION_1 and what else is wanted of the low bits. */
static void negotiate(struct bench *bench, uint32_t low)
{
    put(bench, COMMON + STATUS, 1, 1);
    put(bench, COMMON + STATUS, 1, 3);
    put(bench, COMMON + D_SELECT, 4, 0);
    put(bench, COMMON + D_BITS, 4, low);
    put(bench, COMMON + D_SELECT, 4, 1);
    put(bench, COMMON + D_BITS, 4, 1);
    put(bench, COMMON + STATUS, 1, 11);
    assert_int_equal(get(bench, COMMON + STATUS, 1), 11);
}

static void set_queue(struct bench *bench, uint64_t desc, uint64_t avail, uint64_t used)
{
    put(bench, COMMON + Q_SELECT, 2, 0);
    put(bench, COMMON + Q_SIZE, 2, SIZE);
    put(bench, COMMON + 32, 4, (uint32_t)desc);
    put(bench, COMMON + 36, 4, desc >> 32);
    put(bench, COMMON + 40, 8, avail);
    put(bench, COMMON + 48, 4, (uint32_t)used);
    put(bench, COMMON + 52, 4, used >> 32);
    put(bench, COMMON + Q_ENABLE, 2, 1);
}

static void start_with(struct bench *bench, uint32_t features)
{
    for (uint64_t at = DESC; at < USED + 0x1000; at += 8)
        poke(bench, at, 8, 0);
    bench->avail = 0;
    negotiate(bench, features);
    set_queue(bench, DESC, AVAIL, USED);
    put(bench, COMMON + STATUS, 1, 15);
    assert_int_equal(get(bench, COMMON + STATUS, 1), 15);
}

static void start(struct bench *bench)
{
    start_with(bench, 0);
}

static void describe(struct bench *bench, unsigned index, uint64_t address, uint32_t length, unsigned flags,
                     unsigned next)
{
    poke(bench, DESC + index * 16, 8, address);
    poke(bench, DESC + index * 16 + 8, 4, length);
    poke(bench, DESC + index * 16 + 12, 2, flags);
    poke(bench, DESC + index * 16 + 14, 2, next);
}

static void offer(struct bench *bench, unsigned head)
{
    poke(bench, AVAIL + 4 + bench->avail % SIZE * 2, 2, head);
    poke(bench, AVAIL + 2, 2, ++bench->avail);
    put(bench, NOTIFY, 2, 0);
}

/* Until the device has used so many chains, or says that it is broken. true: used. */
static bool wait_used(struct bench *bench, uint16_t count)
{
    for (unsigned n = 0; n < 20000; n++) {
        if (peek(bench, USED + 2, 2) == count)
            return true;
        if (get(bench, COMMON + STATUS, 1) & 64)
            return false;
        usleep(500);
    }
    fail_msg("the device neither used a chain nor broke");
    return false;
}

static void request(struct bench *bench, unsigned type, uint64_t sector, uint32_t length, bool writable)
{
    poke(bench, DATA, 4, type);
    poke(bench, DATA + 8, 8, sector);
    poke(bench, DATA + 0x800, 1, 0xEE);
    describe(bench, 0, DATA, 16, 1, length ? 1 : 2);
    describe(bench, 1, DATA + 0x1000, length, 1 | (writable ? 2 : 0), 2);
    describe(bench, 2, DATA + 0x800, 1, 2, 0);
    offer(bench, 0);
}

static unsigned status_after(struct bench *bench)
{
    assert_true(wait_used(bench, bench->avail));
    return (unsigned)peek(bench, DATA + 0x800, 1);
}

static void an_honest_driver_is_served(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    assert_int_equal(fake_config_read(bench->fake, DEVFN, 0, 4), 0x10421AF4);
    assert_int_equal(get(bench, DEVICE, 8), 2048);
    start(bench);
    for (unsigned n = 0; n < 512; n += 8)
        poke(bench, DATA + 0x1000 + n, 8, UINT64_C(0x1111111111111111) * (n / 8 % 15));
    request(bench, 1, 3, 512, false);
    assert_int_equal(status_after(bench), 0);
    for (unsigned n = 0; n < 512; n += 8)
        poke(bench, DATA + 0x1000 + n, 8, 0);
    request(bench, 0, 3, 512, true);
    assert_int_equal(status_after(bench), 0);
    assert_int_equal(peek(bench, USED + 4 + 8 + 4, 4), 513);
    assert_int_equal(peek(bench, DATA + 0x1000 + 8, 8), UINT64_C(0x1111111111111111));
    request(bench, 4, 0, 0, false);
    assert_int_equal(status_after(bench), 0);
    request(bench, 8, 0, 20, true);
    assert_int_equal(status_after(bench), 0);
    assert_int_equal(peek(bench, DATA + 0x1000, 4), 0x49524553); /* "SERI" */
    bench_destroy(bench);
}

static void grow(struct bench *bench, uint64_t size)
{
    struct error error = {""};

    if (block_grow(bench->block, size, &error) < 0)
        fail_msg("%s", error.text);
}

/* Section 2.5: a driver that reads the capacity in two parts while it changes sees so by the generation. */
static void a_larger_disk_is_a_configuration_change(void **state)
{
    struct bench *bench = bench_create();
    uint64_t generation = get(bench, COMMON + GENERATION, 1);

    (void)state;
    grow(bench, 2 << 20); /* no driver is there yet: nobody is interrupted */
    assert_int_equal(get(bench, ISR, 1), 0);
    assert_int_equal(get(bench, COMMON + GENERATION, 1), (generation + 1) & 0xFF);
    assert_int_equal(get(bench, DEVICE, 8), 4096);
    start(bench);
    request(bench, 0, 4096, 512, true);
    assert_int_equal(status_after(bench), 1);
    get(bench, ISR, 1);
    generation = get(bench, COMMON + GENERATION, 1);
    grow(bench, UINT64_C(5) << 40);
    assert_int_equal(get(bench, COMMON + GENERATION, 1), (generation + 1) & 0xFF);
    assert_int_equal(get(bench, ISR, 1), 2);
    assert_int_equal(get(bench, DEVICE, 4), 0x80000000);
    assert_int_equal(get(bench, DEVICE + 4, 4), 2);
    for (unsigned n = 0; n < 512; n += 8)
        poke(bench, DATA + 0x1000 + n, 8, n);
    request(bench, 1, 4096, 512, false);
    assert_int_equal(status_after(bench), 0);
    poke(bench, DATA + 0x1008, 8, 0);
    request(bench, 0, 4096, 512, true);
    assert_int_equal(status_after(bench), 0);
    assert_int_equal(peek(bench, DATA + 0x1008, 8), 8);
    request(bench, 0, (UINT64_C(5) << 40) / 512, 512, true);
    assert_int_equal(status_after(bench), 1);
    bench_destroy(bench);
}

#define INDIRECT (UINT32_C(1) << 28)
#define EVENT_INDEX (UINT32_C(1) << 29)

/* OVMF's accepts BLK_SIZE, FLUSH and TOPOLOGY of this disk, and nothing of the ring. */
static void a_system_s_driver_is_told_from_firmware_s(void **state)
{
    static const uint32_t features[] = {INDIRECT, EVENT_INDEX, INDIRECT | EVENT_INDEX | 1 << 9};
    struct bench *bench = bench_create();

    (void)state;
    assert_false(virtio_driven(bench->virtio));
    start_with(bench, 1 << 6 | 1 << 9 | 1 << 10);
    request(bench, 0, 0, 512, true);
    assert_int_equal(status_after(bench), 0);
    assert_false(virtio_driven(bench->virtio));
    for (size_t n = 0; n < ARRAY_SIZE(features); n++) {
        put(bench, COMMON + STATUS, 1, 0); /* what is handed over is reset first */
        assert_false(virtio_driven(bench->virtio));
        negotiate(bench, features[n]);
        assert_false(virtio_driven(bench->virtio)); /* until DRIVER_OK */
        put(bench, COMMON + STATUS, 1, 0);
        start_with(bench, features[n]);
        assert_true(virtio_driven(bench->virtio));
        request(bench, 0, 0, 512, true);
        assert_int_equal(status_after(bench), 0);
        assert_true(virtio_driven(bench->virtio));
    }
    put(bench, COMMON + STATUS, 1, 15 | 128); /* FAILED */
    assert_false(virtio_driven(bench->virtio));
    put(bench, COMMON + STATUS, 1, 0);
    start_with(bench, INDIRECT);
    virtio_break(bench->virtio, "a test");
    assert_false(virtio_driven(bench->virtio));
    put(bench, COMMON + STATUS, 1, 0);
    start_with(bench, INDIRECT);
    assert_true(virtio_driven(bench->virtio));
    board_reset(&bench->fake->board);
    assert_false(virtio_driven(bench->virtio));
    bench_destroy(bench);
}

static void impossible_requests_fail_alone(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    start(bench);
    request(bench, 0, 2048, 512, true); /* behind the end */
    assert_int_equal(status_after(bench), 1);
    request(bench, 0, 2047, 1024, true); /* over the end */
    assert_int_equal(status_after(bench), 1);
    request(bench, 1, UINT64_MAX, 512, false); /* row 13 */
    assert_int_equal(status_after(bench), 1);
    request(bench, 1, UINT64_MAX / 512 + 1, 512, false);
    assert_int_equal(status_after(bench), 1);
    request(bench, 0, 0, 100, true); /* no whole sector */
    assert_int_equal(status_after(bench), 1);
    request(bench, 99, 0, 512, true);
    assert_int_equal(status_after(bench), 2);
    poke(bench, DATA + 0x1000, 8, 2040); /* write zeroes over the end, and with the most there can be */
    poke(bench, DATA + 0x1008, 8, 9);
    request(bench, 13, 0, 16, false);
    assert_int_equal(status_after(bench), 1);
    poke(bench, DATA + 0x1008, 8, UINT32_MAX);
    request(bench, 13, 0, 16, false);
    assert_int_equal(status_after(bench), 1);
    request(bench, 13, 0, 15, false);
    assert_int_equal(status_after(bench), 1);
    request(bench, 0, 0, 512, true); /* and it goes on */
    assert_int_equal(status_after(bench), 0);
    bench_destroy(bench);
}

/* Each of these breaks the device until it is reset, and nothing else. */
static void malformed_rings_break_the_device_until_reset(void **state)
{
    struct bench *bench = bench_create();
    uint64_t end = memory_size(bench->fake->board.memory);
    const struct {
        uint64_t address;
        uint32_t length;
        unsigned flags, next;
    } bad[] = {
        {end - 1, 16, 2, 0},        /* row 2: over the end of RAM */
        {UINT64_MAX - 7, 16, 2, 0}, /* wraps */
        {0xC0000000, 16, 2, 0},     /* row 24: a device's registers */
        {DATA, 0, 2, 0},            /* row 25 */
        {DATA, UINT32_MAX, 2, 0},   /* row 5 */
        {DATA, 16, 1, 0},           /* a loop */
        {DATA, 16, 1, SIZE},        /* outside the table */
        {DATA, 16, 1, 0xFFFF},
        {DATA, 24, 4, 0},        /* an indirect table of one and a half entries */
        {DATA, 0x1000000, 4, 0}, /* row 27: of a million */
        {DATA, 16, 5, 0},        /* indirect and continued */
        {end - 8, 16, 4, 0},     /* an indirect table that is not RAM */
        {DATA, 16, 0, 0},        /* no room for the status */
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        start(bench);
        describe(bench, 0, bad[n].address, bad[n].length, bad[n].flags, bad[n].next);
        offer(bench, 0);
        assert_false(wait_used(bench, 1));
        put(bench, NOTIFY, 2, 0); /* row 30: no life until the reset */
        assert_true(get(bench, COMMON + STATUS, 1) & 64);
        put(bench, COMMON + STATUS, 1, 0);
        assert_int_equal(get(bench, COMMON + STATUS, 1), 0);
    }
    start(bench);
    poke(bench, AVAIL + 2, 2, SIZE + 1); /* row 5: the index runs ahead */
    put(bench, NOTIFY, 2, 0);
    assert_false(wait_used(bench, 1));
    put(bench, COMMON + STATUS, 1, 0);
    start(bench);
    poke(bench, AVAIL + 4, 2, SIZE); /* a head outside the table */
    poke(bench, AVAIL + 2, 2, 1);
    put(bench, NOTIFY, 2, 0);
    assert_false(wait_used(bench, 1));
    put(bench, COMMON + STATUS, 1, 0);
    start(bench);
    request(bench, 0, 0, 512, true);
    assert_int_equal(status_after(bench), 0);
    bench_destroy(bench);
}

/* Row 6: the same head twice at once. The second is refused while the first is in flight; if that was quicker, both are
 * served. */
static void a_head_given_twice_does_no_harm(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        start(bench);
        request(bench, 0, 0, 512, true);
        offer(bench, 0);
        wait_used(bench, 2);
        put(bench, COMMON + STATUS, 1, 0);
    }
    bench_destroy(bench);
}

/* Rows 1, 9: what is written after the queue is enabled, and to queues that do not exist, changes nothing. */
static void registers_freeze(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    start(bench);
    for (unsigned offset = 0; offset < 0x40; offset += 2)
        if (offset != STATUS && offset != Q_SELECT) {
            put(bench, COMMON + offset, 2, 0xFFFF);
            put(bench, COMMON + offset, 4, offset == STATUS - 2 ? 0x000FFFFF : 0xFFFFFFFF);
        }
    put(bench, COMMON + STATUS, 1, 15);
    request(bench, 0, 0, 512, true);
    assert_int_equal(status_after(bench), 0);
    put(bench, COMMON + Q_SELECT, 2, 0);
    assert_int_equal(get(bench, COMMON + Q_SIZE, 2), SIZE);
    assert_int_equal(get(bench, COMMON + 32, 8), DESC);
    for (unsigned select = 2; select < 0x10000; select = select * 2 + 1) {
        put(bench, COMMON + Q_SELECT, 2, select);
        for (unsigned offset = Q_SIZE; offset < 0x40; offset += 2) {
            put(bench, COMMON + offset, 2, 1);
            assert_int_equal(get(bench, COMMON + offset, 2), 0);
        }
    }
    bench_destroy(bench);
}

/* Row 28 and its like: areas that are no RAM, or not aligned, are refused when the queue is enabled. */
static void areas_that_cannot_be_are_refused(void **state)
{
    const uint64_t bad[][3] = {
        {DESC + 8, AVAIL, USED},    {DESC, AVAIL + 1, USED},
        {DESC, AVAIL, USED + 2},    {UINT64_MAX & ~15ULL, AVAIL, USED},
        {DESC, 0xFEE00000, USED},   {DESC, AVAIL, 0x3FFFFF0},
        {0, 0, UINT64_MAX & ~3ULL},
    };
    struct bench *bench = bench_create();

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        negotiate(bench, 0);
        set_queue(bench, bad[n][0], bad[n][1], bad[n][2]);
        assert_int_equal(get(bench, COMMON + Q_ENABLE, 2), 0);
        assert_true(get(bench, COMMON + STATUS, 1) & 64);
        put(bench, COMMON + STATUS, 1, 15);
        put(bench, NOTIFY, 2, 0);
        put(bench, COMMON + STATUS, 1, 0);
    }
    /* Address 0 is RAM like any other. */
    negotiate(bench, 0);
    set_queue(bench, 0, 0x1000, 0x2000);
    assert_int_equal(get(bench, COMMON + Q_ENABLE, 2), 1);
    put(bench, COMMON + STATUS, 1, 0);
    bench_destroy(bench);
}

/* lessons 3.5, row 19: status only grows; FEATURES_OK needs VERSION_1 and nothing that was not offered. */
static void status_follows_the_rules(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    put(bench, COMMON + STATUS, 1, 3);
    put(bench, COMMON + STATUS, 1, 11); /* no feature accepted: VERSION_1 is missing */
    assert_int_equal(get(bench, COMMON + STATUS, 1), 3);
    put(bench, COMMON + STATUS, 1, 7); /* DRIVER_OK without FEATURES_OK */
    assert_int_equal(get(bench, COMMON + STATUS, 1), 3);
    put(bench, COMMON + D_SELECT, 4, 1);
    put(bench, COMMON + D_BITS, 4, 0xFFFFFFFF);
    put(bench, COMMON + STATUS, 1, 11);
    assert_int_equal(get(bench, COMMON + STATUS, 1), 3);
    put(bench, COMMON + STATUS, 1, 0);
    start(bench);
    put(bench, COMMON + STATUS, 1, 1);
    assert_int_equal(get(bench, COMMON + STATUS, 1), 15);
    bench_destroy(bench);
}

/* Row 22: every size at every edge of every structure. */
static void accesses_at_every_edge_do_no_harm(void **state)
{
    static const uint64_t edges[] = {0,      0x38,   0x40,   0x1000, 0x1008, 0x2000, 0x2038,
                                     0x203C, 0x2040, 0x3000, 0x3008, 0x3010, 0x3FF8};
    struct bench *bench = bench_create();

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(edges); n++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned shift = 0; shift < 8; shift++) {
                get(bench, WINDOW + edges[n] + shift, size);
                put(bench, WINDOW + edges[n] + shift, size, UINT64_MAX);
            }
    put(bench, COMMON + STATUS, 1, 0);
    start(bench);
    request(bench, 0, 0, 512, true);
    assert_int_equal(status_after(bench), 0);
    bench_destroy(bench);
}

/* Row 11. One write at a time a sector: what is in it is the last that the guest was told of, or one that was on its
 * way when a reset came. */
#define ROUNDS 1000
#define WRITES 5
#define SECTORS 64
struct sector_model {
    uint32_t told;                   /* the last write that was completed */
    uint32_t on_its_way[ROUNDS / 4]; /* those since then that a reset overtook */
    unsigned count;
};

static void give_write(struct bench *bench, unsigned slot, unsigned sector, uint32_t value)
{
    uint64_t data = DATA + slot * 0x2000;

    poke(bench, data, 4, 1);
    poke(bench, data + 8, 8, sector);
    poke(bench, data + 0x800, 1, 0xEE);
    for (unsigned at = 0; at < 512; at += 4)
        poke(bench, data + 0x1000 + at, 4, value);
    describe(bench, slot * 3, data, 16, 1, slot * 3 + 1);
    describe(bench, slot * 3 + 1, data + 0x1000, 512, 1, slot * 3 + 2);
    describe(bench, slot * 3 + 2, data + 0x800, 1, 2, 0);
    offer(bench, slot * 3);
}

/* Takes what the used ring told the guest into the model; the rest was overtaken. */
static void note_told(struct bench *bench, struct sector_model *model, const unsigned *sectors, uint32_t first)
{
    bool told[WRITES] = {false};
    uint16_t used = (uint16_t)peek(bench, USED + 2, 2);

    for (unsigned n = 0; n < used; n++) {
        unsigned slot = (unsigned)peek(bench, USED + 4 + n * 8, 4) / 3;

        assert_in_range(slot, 0, WRITES - 1);
        assert_int_equal(peek(bench, DATA + slot * 0x2000 + 0x800, 1), 0);
        told[slot] = true;
    }
    for (unsigned slot = 0; slot < WRITES; slot++) {
        struct sector_model *sector = &model[sectors[slot]];

        if (told[slot]) {
            sector->told = first + slot;
            sector->count = 0;
        } else {
            assert_in_range(sector->count, 0, ARRAY_SIZE(sector->on_its_way) - 1);
            sector->on_its_way[sector->count++] = first + slot;
        }
    }
}

static bool may_hold(const struct sector_model *sector, uint32_t value)
{
    for (unsigned n = 0; n < sector->count; n++)
        if (sector->on_its_way[n] == value)
            return true;
    return value == sector->told;
}

static void check_image(const char *path, const struct sector_model *model)
{
    uint32_t data[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    for (unsigned sector = 0; sector < SECTORS; sector++) {
        assert_int_equal(pread(fd, data, sizeof data, sector * 512), sizeof data);
        assert_true(may_hold(&model[sector], data[0]));
        for (unsigned n = 1; n < ARRAY_SIZE(data); n++)
            assert_int_equal(data[n], data[0]);
    }
    close(fd);
}

static void resets_under_load(enum block_engine engine)
{
    static struct sector_model model[SECTORS];
    struct bench *bench = bench_create_on(engine);
    unsigned sectors[WRITES];

    memset(model, 0, sizeof model);
    srand(7);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        unsigned wanted = (unsigned)rand() % (WRITES + 1);

        if (bench->moved)
            place_window(bench);
        start(bench);
        for (unsigned slot = 0; slot < WRITES; slot++) {
            sectors[slot] = slot * (SECTORS / WRITES) + (unsigned)rand() % (SECTORS / WRITES);
            give_write(bench, slot, sectors[slot], 1 + round * WRITES + slot);
        }
        while (peek(bench, USED + 2, 2) < wanted)
            usleep(10);
        bench->moved = rand() & 1;
        if (bench->moved) { /* the whole machine's reset, else the driver's own */
            pci_bus_reset(bench->fake->board.pci);
            board_reset(&bench->fake->board);
        } else {
            put(bench, COMMON + STATUS, 1, 0);
            assert_int_equal(get(bench, COMMON + STATUS, 1), 0);
        }
        note_told(bench, model, sectors, 1 + round * WRITES);
        /* The memory is the guest's again: nothing is written there any more. */
        for (unsigned slot = 0; slot < WRITES; slot++)
            poke(bench, DATA + slot * 0x2000 + 0x800, 1, 0x77);
        if (round % 50 == 0)
            check_image(bench->path, model);
        for (unsigned slot = 0; slot < WRITES; slot++)
            assert_int_equal(peek(bench, DATA + slot * 0x2000 + 0x800, 1), 0x77);
    }
    check_image(bench->path, model);
    bench_destroy(bench);
}

static void resets_under_load_threads(void **state)
{
    (void)state;
    resets_under_load(BLOCK_ENGINE_THREADS);
}

static void resets_under_load_uring(void **state)
{
    struct bench *bench = bench_create_on(BLOCK_ENGINE_AUTO);
    bool usable = !strcmp(block_engine_name(bench->block), "io_uring");

    (void)state;
    bench_destroy(bench);
    if (!usable)
        skip(); /* this host refuses io_uring; the other engine is what serves then */
    resets_under_load(BLOCK_ENGINE_URING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_driver_is_served),
        cmocka_unit_test(a_larger_disk_is_a_configuration_change),
        cmocka_unit_test(a_system_s_driver_is_told_from_firmware_s),
        cmocka_unit_test(impossible_requests_fail_alone),
        cmocka_unit_test(malformed_rings_break_the_device_until_reset),
        cmocka_unit_test(a_head_given_twice_does_no_harm),
        cmocka_unit_test(registers_freeze),
        cmocka_unit_test(areas_that_cannot_be_are_refused),
        cmocka_unit_test(status_follows_the_rules),
        cmocka_unit_test(accesses_at_every_edge_do_no_harm),
        cmocka_unit_test(resets_under_load_threads),
        cmocka_unit_test(resets_under_load_uring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
