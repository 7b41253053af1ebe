/*
 * Several queues of one qcow2 image, each on a thread of its own, write, flush, discard and read at once, while the
 * image grows until its tables have moved several times.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"
#include "fake_block.h"

#define DISK (32 * MiB)
#define QUEUES 3U
#define ROUNDS 150U
#define LENGTH (12 * KiB)
#define GROWN (6 * GiB) /* an L1 table of three clusters */
#define STEPS 24U

/* Queue n owns every QUEUES-th stretch of the disk; clusters are shared at the edges. */
struct side {
    struct block *block;
    unsigned number;
    int failed;
    uint8_t expected[DISK / LENGTH / QUEUES]; /* the byte that a stretch is full of */
};

static int run(struct block_queue *queue, enum block_op op, uint64_t offset, uint64_t length, void *data)
{
    return fake_block_run(queue, op, offset, length, &(struct iovec){data, length}, 1);
}

static void *drive(void *opaque)
{
    struct side *side = opaque;
    uint8_t data[LENGTH], byte = (uint8_t)(side->number + 1);
    struct loop *loop = loop_create("race");
    struct block_queue *queue = block_queue_create(side->block, loop, 4, NULL);
    unsigned seed = side->number;

    for (unsigned n = 0; n < ROUNDS && !side->failed; n++) {
        unsigned stretch = (unsigned)rand_r(&seed) % ARRAY_SIZE(side->expected);
        uint64_t offset = ((uint64_t)stretch * QUEUES + side->number) * LENGTH;

        switch (rand_r(&seed) % 4) {
        case 0:
            side->failed = run(queue, BLOCK_FLUSH, 0, 0, NULL);
            break;
        case 1:
            side->failed = run(queue, BLOCK_WRITE_ZEROES, offset, LENGTH, NULL);
            side->expected[stretch] = 0;
            break;
        case 2:
            byte = (uint8_t)(byte + QUEUES);
            memset(data, byte, LENGTH);
            side->failed = run(queue, BLOCK_WRITE, offset, LENGTH, data);
            side->expected[stretch] = byte;
            break;
        default:
            side->failed = run(queue, BLOCK_READ, offset, LENGTH, data);
            for (unsigned at = 0; at < LENGTH; at++)
                if (data[at] != side->expected[stretch])
                    side->failed = -EILSEQ;
        }
    }
    block_queue_destroy(queue);
    loop_destroy(loop);
    return NULL;
}

static void *grow(void *opaque)
{
    struct side *side = opaque;

    for (unsigned n = 1; n <= STEPS && !side->failed; n++)
        side->failed = block_grow(side->block, GROWN / STEPS * n, NULL);
    return NULL;
}

static void queues_of_one_image(void **state)
{
    static struct side sides[QUEUES + 1];
    char path[] = "build/race-XXXXXX";
    const struct image_options made = {.path = path, .format = BLOCK_FORMAT_QCOW2, .size = DISK, .cluster_bits = 12};
    const struct block_options options = {
        .path = path, .format = BLOCK_FORMAT_QCOW2, .engine = BLOCK_ENGINE_THREADS, .metadata_cache = 1};
    struct image_findings findings;
    struct error error = {""};
    pthread_t threads[QUEUES + 1];
    struct block *block;

    (void)state;
    close(mkstemp(path));
    unlink(path);
    if (image_create(&made, &error) < 0 || block_open(&options, &block, &error) < 0)
        fail_msg("%s", error.text);
    for (unsigned n = 0; n <= QUEUES; n++) {
        sides[n] = (struct side){.block = block, .number = n};
        assert_int_equal(pthread_create(&threads[n], NULL, n < QUEUES ? drive : grow, &sides[n]), 0);
    }
    for (unsigned n = 0; n <= QUEUES; n++) {
        pthread_join(threads[n], NULL);
        assert_int_equal(sides[n].failed, 0);
    }
    assert_int_equal(block_size(block), GROWN);
    block_close(block);
    assert_int_equal(image_check(path, false, &findings, &error), 0);
    assert_int_equal(findings.errors, 0);
    assert_int_equal(findings.leaks, 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(queues_of_one_image)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
