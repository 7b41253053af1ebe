/* See fake_resets.h. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_resets.h"

#define RESETS 1000U
#define STEPS 40U
#define PATIENCE_NS INT64_C(60000000000)
#define GARBAGE 0x77

struct model {
    const struct resets_driver *driver;
    struct block *image;
    uint64_t stamp;                   /* of the newest write; each has its own */
    uint64_t stable[RESETS_BLOCKS];   /* what a block holds for certain */
    uint64_t under_way[RESETS_SLOTS]; /* a stamp; 0: the slot is free */
    unsigned where[RESETS_SLOTS];
    unsigned completed, lost; /* writes that ended, and that a reset kept from it */
    unsigned seed;
};

static unsigned choose(struct model *model, unsigned limit)
{
    return (unsigned)rand_r(&model->seed) % limit;
}

static void take_completions(struct model *model)
{
    int slot;

    while ((slot = model->driver->completed(model->driver->opaque)) >= 0) {
        assert_true(slot < (int)RESETS_SLOTS && model->under_way[slot]);
        model->stable[model->where[slot]] = model->under_way[slot];
        model->under_way[slot] = 0;
        model->completed++;
    }
}

/* Two writes to one block at once have no order. */
static bool is_written(const struct model *model, unsigned block)
{
    for (unsigned slot = 0; slot < RESETS_SLOTS; slot++)
        if (model->under_way[slot] && model->where[slot] == block)
            return true;
    return false;
}

static void submit(struct model *model, unsigned slot)
{
    uint8_t *buffer = model->driver->buffer(model->driver->opaque, slot);
    unsigned block = choose(model, RESETS_BLOCKS);

    if (model->under_way[slot] || is_written(model, block))
        return;
    model->under_way[slot] = ++model->stamp;
    model->where[slot] = block;
    for (unsigned at = 0; at < RESETS_BLOCK; at += 8)
        put_le64(buffer + at, model->stamp);
    model->driver->write(model->driver->opaque, slot, block);
}

/* So that there are writes that ended just before the reset. */
static void wait_for_one(struct model *model)
{
    bool any = false;
    unsigned before = model->completed;
    int64_t end = clock_ns() + PATIENCE_NS;

    for (unsigned slot = 0; slot < RESETS_SLOTS; slot++)
        any |= model->under_way[slot] != 0;
    while (any && model->completed == before) {
        assert_true(clock_ns() < end);
        take_completions(model);
        sched_yield();
    }
}

static void judge(struct model *model)
{
    static uint8_t disk[RESETS_BLOCKS][RESETS_BLOCK];

    assert_int_equal(block_pread(model->image, disk, sizeof disk, 0), 0);
    for (unsigned slot = 0; slot < RESETS_SLOTS; slot++)
        if (model->under_way[slot] && get_le64(disk[model->where[slot]]) == model->under_way[slot]) {
            model->stable[model->where[slot]] = model->under_way[slot];
            model->under_way[slot] = 0;
        }
    for (unsigned block = 0; block < RESETS_BLOCKS; block++)
        for (unsigned at = 0; at < RESETS_BLOCK; at += 8) /* a whole write, of one buffer */
            if (get_le64(disk[block] + at) != model->stable[block])
                fail_msg("block %u holds write %lu at byte %u, not %lu", block, get_le64(disk[block] + at), at,
                         model->stable[block]);
}

static void round_of(struct model *model)
{
    unsigned steps = choose(model, STEPS);

    model->driver->start(model->driver->opaque);
    for (unsigned n = 0; n < steps; n++) {
        submit(model, choose(model, RESETS_SLOTS));
        if (choose(model, 8) == 0)
            wait_for_one(model);
        take_completions(model);
    }
    model->driver->reset(model->driver->opaque);
    /* The driver's again: what is written from now on would be seen. */
    for (unsigned slot = 0; slot < RESETS_SLOTS; slot++)
        memset(model->driver->buffer(model->driver->opaque, slot), GARBAGE, RESETS_BLOCK);
    judge(model);
    for (unsigned slot = 0; slot < RESETS_SLOTS; slot++) {
        model->lost += model->under_way[slot] != 0;
        model->under_way[slot] = 0;
    }
}

void resets_run(const struct resets_driver *driver, struct block *image)
{
    struct model model = {.driver = driver, .image = image, .seed = 4711};

    for (unsigned n = 0; n < RESETS; n++)
        round_of(&model);
    assert_true(model.completed > RESETS);
    print_message("%u writes completed, %u never begun\n", model.completed, model.lost);
}
