/*
 * The guest's driver, honest and hostile, on virtio's transport, queue and disk (lessons 4.5: rows 1, 2, 5, 6, 8, 9,
 * 13, 22, 25, 27, 28, 30).
 */
#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake_virtio_bench.h"

static void an_honest_driver_is_served(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    assert_int_equal(fake_config_read(bench->fake, DEVFN, 0, 4), 0x10421AF4);
    assert_int_equal(bench_get(bench, DEVICE, 8), 2048);
    bench_start(bench);
    for (unsigned n = 0; n < 512; n += 8)
        bench_poke(bench, DATA + 0x1000 + n, 8, UINT64_C(0x1111111111111111) * (n / 8 % 15));
    bench_request(bench, 1, 3, 512, false);
    assert_int_equal(bench_status_after(bench), 0);
    for (unsigned n = 0; n < 512; n += 8)
        bench_poke(bench, DATA + 0x1000 + n, 8, 0);
    bench_request(bench, 0, 3, 512, true);
    assert_int_equal(bench_status_after(bench), 0);
    assert_int_equal(bench_peek(bench, USED + 4 + 8 + 4, 4), 513);
    assert_int_equal(bench_peek(bench, DATA + 0x1000 + 8, 8), UINT64_C(0x1111111111111111));
    bench_request(bench, 4, 0, 0, false);
    assert_int_equal(bench_status_after(bench), 0);
    bench_request(bench, 8, 0, 20, true);
    assert_int_equal(bench_status_after(bench), 0);
    assert_int_equal(bench_peek(bench, DATA + 0x1000, 4), 0x49524553); /* "SERI" */
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
    uint64_t generation = bench_get(bench, COMMON + GENERATION, 1);

    (void)state;
    grow(bench, 2 << 20); /* no driver is there yet: nobody is interrupted */
    assert_int_equal(bench_get(bench, ISR, 1), 0);
    assert_int_equal(bench_get(bench, COMMON + GENERATION, 1), (generation + 1) & 0xFF);
    assert_int_equal(bench_get(bench, DEVICE, 8), 4096);
    bench_start(bench);
    bench_request(bench, 0, 4096, 512, true);
    assert_int_equal(bench_status_after(bench), 1);
    bench_get(bench, ISR, 1);
    generation = bench_get(bench, COMMON + GENERATION, 1);
    grow(bench, UINT64_C(5) << 40);
    assert_int_equal(bench_get(bench, COMMON + GENERATION, 1), (generation + 1) & 0xFF);
    assert_int_equal(bench_get(bench, ISR, 1), 2);
    assert_int_equal(bench_get(bench, DEVICE, 4), 0x80000000);
    assert_int_equal(bench_get(bench, DEVICE + 4, 4), 2);
    for (unsigned n = 0; n < 512; n += 8)
        bench_poke(bench, DATA + 0x1000 + n, 8, n);
    bench_request(bench, 1, 4096, 512, false);
    assert_int_equal(bench_status_after(bench), 0);
    bench_poke(bench, DATA + 0x1008, 8, 0);
    bench_request(bench, 0, 4096, 512, true);
    assert_int_equal(bench_status_after(bench), 0);
    assert_int_equal(bench_peek(bench, DATA + 0x1008, 8), 8);
    bench_request(bench, 0, (UINT64_C(5) << 40) / 512, 512, true);
    assert_int_equal(bench_status_after(bench), 1);
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
    bench_start_with(bench, 1 << 6 | 1 << 9 | 1 << 10);
    bench_request(bench, 0, 0, 512, true);
    assert_int_equal(bench_status_after(bench), 0);
    assert_false(virtio_driven(bench->virtio));
    for (size_t n = 0; n < ARRAY_SIZE(features); n++) {
        bench_put(bench, COMMON + STATUS, 1, 0); /* what is handed over is reset first */
        assert_false(virtio_driven(bench->virtio));
        bench_negotiate(bench, features[n]);
        assert_false(virtio_driven(bench->virtio)); /* until DRIVER_OK */
        bench_put(bench, COMMON + STATUS, 1, 0);
        bench_start_with(bench, features[n]);
        assert_true(virtio_driven(bench->virtio));
        bench_request(bench, 0, 0, 512, true);
        assert_int_equal(bench_status_after(bench), 0);
        assert_true(virtio_driven(bench->virtio));
    }
    bench_put(bench, COMMON + STATUS, 1, 15 | 128); /* FAILED */
    assert_false(virtio_driven(bench->virtio));
    bench_put(bench, COMMON + STATUS, 1, 0);
    bench_start_with(bench, INDIRECT);
    virtio_break(bench->virtio, "a test");
    assert_false(virtio_driven(bench->virtio));
    bench_put(bench, COMMON + STATUS, 1, 0);
    bench_start_with(bench, INDIRECT);
    assert_true(virtio_driven(bench->virtio));
    board_reset(&bench->fake->board);
    assert_false(virtio_driven(bench->virtio));
    bench_destroy(bench);
}

static void impossible_requests_fail_alone(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    bench_start(bench);
    bench_request(bench, 0, 2048, 512, true); /* behind the end */
    assert_int_equal(bench_status_after(bench), 1);
    bench_request(bench, 0, 2047, 1024, true); /* over the end */
    assert_int_equal(bench_status_after(bench), 1);
    bench_request(bench, 1, UINT64_MAX, 512, false); /* row 13 */
    assert_int_equal(bench_status_after(bench), 1);
    bench_request(bench, 1, UINT64_MAX / 512 + 1, 512, false);
    assert_int_equal(bench_status_after(bench), 1);
    bench_request(bench, 0, 0, 100, true); /* no whole sector */
    assert_int_equal(bench_status_after(bench), 1);
    bench_request(bench, 99, 0, 512, true);
    assert_int_equal(bench_status_after(bench), 2);
    bench_poke(bench, DATA + 0x1000, 8, 2040); /* write zeroes over the end, and with the most there can be */
    bench_poke(bench, DATA + 0x1008, 8, 9);
    bench_request(bench, 13, 0, 16, false);
    assert_int_equal(bench_status_after(bench), 1);
    bench_poke(bench, DATA + 0x1008, 8, UINT32_MAX);
    bench_request(bench, 13, 0, 16, false);
    assert_int_equal(bench_status_after(bench), 1);
    bench_request(bench, 13, 0, 15, false);
    assert_int_equal(bench_status_after(bench), 1);
    bench_request(bench, 0, 0, 512, true); /* and it goes on */
    assert_int_equal(bench_status_after(bench), 0);
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
        bench_start(bench);
        bench_describe(bench, 0, bad[n].address, bad[n].length, bad[n].flags, bad[n].next);
        bench_offer(bench, 0);
        assert_false(bench_wait_used(bench, 1));
        bench_put(bench, NOTIFY, 2, 0); /* row 30: no life until the reset */
        assert_true(bench_get(bench, COMMON + STATUS, 1) & 64);
        bench_put(bench, COMMON + STATUS, 1, 0);
        assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 0);
    }
    bench_start(bench);
    bench_poke(bench, AVAIL + 2, 2, SIZE + 1); /* row 5: the index runs ahead */
    bench_put(bench, NOTIFY, 2, 0);
    assert_false(bench_wait_used(bench, 1));
    bench_put(bench, COMMON + STATUS, 1, 0);
    bench_start(bench);
    bench_poke(bench, AVAIL + 4, 2, SIZE); /* a head outside the table */
    bench_poke(bench, AVAIL + 2, 2, 1);
    bench_put(bench, NOTIFY, 2, 0);
    assert_false(bench_wait_used(bench, 1));
    bench_put(bench, COMMON + STATUS, 1, 0);
    bench_start(bench);
    bench_request(bench, 0, 0, 512, true);
    assert_int_equal(bench_status_after(bench), 0);
    bench_destroy(bench);
}

/*
 * Row 6: the same head twice at once. The second is refused while the first is in flight; if that was quicker, both are
 * served.
 */
static void a_head_given_twice_does_no_harm(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        bench_start(bench);
        bench_request(bench, 0, 0, 512, true);
        bench_offer(bench, 0);
        bench_wait_used(bench, 2);
        bench_put(bench, COMMON + STATUS, 1, 0);
    }
    bench_destroy(bench);
}

/* Rows 1, 9: what is written after the queue is enabled, and to queues that do not exist, changes nothing. */
static void registers_freeze(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    bench_start(bench);
    for (unsigned offset = 0; offset < 0x40; offset += 2)
        if (offset != STATUS && offset != Q_SELECT) {
            bench_put(bench, COMMON + offset, 2, 0xFFFF);
            bench_put(bench, COMMON + offset, 4, offset == STATUS - 2 ? 0x000FFFFF : 0xFFFFFFFF);
        }
    bench_put(bench, COMMON + STATUS, 1, 15);
    bench_request(bench, 0, 0, 512, true);
    assert_int_equal(bench_status_after(bench), 0);
    bench_put(bench, COMMON + Q_SELECT, 2, 0);
    assert_int_equal(bench_get(bench, COMMON + Q_SIZE, 2), SIZE);
    assert_int_equal(bench_get(bench, COMMON + 32, 8), DESC);
    for (unsigned select = 2; select < 0x10000; select = select * 2 + 1) {
        bench_put(bench, COMMON + Q_SELECT, 2, select);
        for (unsigned offset = Q_SIZE; offset < 0x40; offset += 2) {
            bench_put(bench, COMMON + offset, 2, 1);
            assert_int_equal(bench_get(bench, COMMON + offset, 2), 0);
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
        bench_negotiate(bench, 0);
        bench_set_queue(bench, bad[n][0], bad[n][1], bad[n][2]);
        assert_int_equal(bench_get(bench, COMMON + Q_ENABLE, 2), 0);
        assert_true(bench_get(bench, COMMON + STATUS, 1) & 64);
        bench_put(bench, COMMON + STATUS, 1, 15);
        bench_put(bench, NOTIFY, 2, 0);
        bench_put(bench, COMMON + STATUS, 1, 0);
    }
    /* Address 0 is RAM like any other. */
    bench_negotiate(bench, 0);
    bench_set_queue(bench, 0, 0x1000, 0x2000);
    assert_int_equal(bench_get(bench, COMMON + Q_ENABLE, 2), 1);
    bench_put(bench, COMMON + STATUS, 1, 0);
    bench_destroy(bench);
}

/* lessons 3.5, row 19: status only grows; FEATURES_OK needs VERSION_1 and nothing that was not offered. */
static void status_follows_the_rules(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    bench_put(bench, COMMON + STATUS, 1, 3);
    bench_put(bench, COMMON + STATUS, 1, 11); /* no feature accepted: VERSION_1 is missing */
    assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 3);
    bench_put(bench, COMMON + STATUS, 1, 7); /* DRIVER_OK without FEATURES_OK */
    assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 3);
    bench_put(bench, COMMON + D_SELECT, 4, 1);
    bench_put(bench, COMMON + D_BITS, 4, 0xFFFFFFFF);
    bench_put(bench, COMMON + STATUS, 1, 11);
    assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 3);
    bench_put(bench, COMMON + STATUS, 1, 0);
    bench_start(bench);
    bench_put(bench, COMMON + STATUS, 1, 1);
    assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 15);
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
                bench_get(bench, WINDOW + edges[n] + shift, size);
                bench_put(bench, WINDOW + edges[n] + shift, size, UINT64_MAX);
            }
    bench_put(bench, COMMON + STATUS, 1, 0);
    bench_start(bench);
    bench_request(bench, 0, 0, 512, true);
    assert_int_equal(bench_status_after(bench), 0);
    bench_destroy(bench);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
