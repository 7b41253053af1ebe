/*
 * Resets of a virtio disk under load, by its driver or with the whole machine: a sector keeps what the guest was told
 * of, and nothing is written into memory that is the guest's again (lessons 4.5, row 11).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_virtio_bench.h"

/*
 * One write at a time a sector: what is in it is the last that the guest was told of, or one that was on its way when a
 * reset came.
 */
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

    bench_poke(bench, data, 4, 1);
    bench_poke(bench, data + 8, 8, sector);
    bench_poke(bench, data + 0x800, 1, 0xEE);
    for (unsigned at = 0; at < 512; at += 4)
        bench_poke(bench, data + 0x1000 + at, 4, value);
    bench_describe(bench, slot * 3, data, 16, 1, slot * 3 + 1);
    bench_describe(bench, slot * 3 + 1, data + 0x1000, 512, 1, slot * 3 + 2);
    bench_describe(bench, slot * 3 + 2, data + 0x800, 1, 2, 0);
    bench_offer(bench, slot * 3);
}

/* Takes what the used ring told the guest into the model; the rest was overtaken. */
static void note_told(struct bench *bench, struct sector_model *model, const unsigned *sectors, uint32_t first)
{
    bool told[WRITES] = {false};
    uint16_t used = (uint16_t)bench_peek(bench, USED + 2, 2);

    for (unsigned n = 0; n < used; n++) {
        unsigned slot = (unsigned)bench_peek(bench, USED + 4 + n * 8, 4) / 3;

        assert_in_range(slot, 0, WRITES - 1);
        assert_int_equal(bench_peek(bench, DATA + slot * 0x2000 + 0x800, 1), 0);
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
            bench_place_window(bench);
        bench_start(bench);
        for (unsigned slot = 0; slot < WRITES; slot++) {
            sectors[slot] = slot * (SECTORS / WRITES) + (unsigned)rand() % (SECTORS / WRITES);
            give_write(bench, slot, sectors[slot], 1 + round * WRITES + slot);
        }
        while (bench_peek(bench, USED + 2, 2) < wanted)
            usleep(10);
        bench->moved = rand() & 1;
        if (bench->moved) { /* the whole machine's reset, else the driver's own */
            pci_bus_reset(bench->fake->board.pci);
            board_reset(&bench->fake->board);
        } else {
            bench_put(bench, COMMON + STATUS, 1, 0);
            assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 0);
        }
        note_told(bench, model, sectors, 1 + round * WRITES);
        /* The memory is the guest's again: nothing is written there any more. */
        for (unsigned slot = 0; slot < WRITES; slot++)
            bench_poke(bench, DATA + slot * 0x2000 + 0x800, 1, 0x77);
        if (round % 50 == 0)
            check_image(bench->path, model);
        for (unsigned slot = 0; slot < WRITES; slot++)
            assert_int_equal(bench_peek(bench, DATA + slot * 0x2000 + 0x800, 1), 0x77);
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
        cmocka_unit_test(resets_under_load_threads),
        cmocka_unit_test(resets_under_load_uring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
