/* See fake_block.h. */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_block.h"

#define SECTOR 512U

static void note(struct block_request *request, int result)
{
    *(int *)request->opaque = result;
}

int fake_block_run(struct block_queue *queue, enum block_op op, uint64_t offset, uint64_t length,
                   const struct iovec *iov, unsigned iov_count)
{
    int result = 1;
    struct block_request request = {.op = op,
                                    .offset = offset,
                                    .length = length,
                                    .iov = iov,
                                    .iov_count = op == BLOCK_READ || op == BLOCK_WRITE ? iov_count : 0,
                                    .done = note,
                                    .opaque = &result};

    block_submit(queue, &request);
    block_queue_drain(queue);
    return result;
}

void fake_block_check_ends(struct block_queue *queue, uint64_t size)
{
    const struct {
        uint64_t offset, length;
    } rows[] = {
        {size - SECTOR, 2 * SECTOR}, /* begins inside */
        {size - 2 * SECTOR, 3 * SECTOR},
        {0, size + SECTOR},
        {size, SECTOR},
        {size + SECTOR, SECTOR},
        {UINT64_MAX - SECTOR + 1, SECTOR}, /* the sum is 0 */
        {UINT64_MAX - SECTOR + 1, 2 * SECTOR},
        {UINT64_MAX / SECTOR * SECTOR, 3 * SECTOR},
        {UINT64_C(1) << 63, SECTOR},
        {SECTOR, UINT64_MAX - SECTOR + 1},     /* the sum is 0 */
        {2 * SECTOR, UINT64_MAX - SECTOR + 1}, /* the sum is one sector */
        {0, UINT64_MAX / SECTOR * SECTOR},
        {0, UINT64_MAX},
        {SECTOR, UINT64_C(1) << 63},
    };
    static const enum block_op ops[] = {BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE_ZEROES, BLOCK_DISCARD};
    uint8_t buffer[3 * SECTOR], before[sizeof buffer], after[sizeof buffer];
    const struct iovec iov = {buffer, sizeof buffer}, last = {after, SECTOR};

    memset(before, 0x5A, sizeof before);
    assert_int_equal(fake_block_run(queue, BLOCK_WRITE, size - SECTOR, SECTOR, &(struct iovec){before, SECTOR}, 1), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++)
        for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
            int result;

            memset(buffer, 0xC3, sizeof buffer);
            memcpy(after, buffer, sizeof after);
            result = fake_block_run(queue, ops[i], rows[n].offset, rows[n].length, &iov, 1);
            if (result != -EINVAL)
                fail_msg("row %u, operation %u: %d", n, i, result);
            assert_memory_equal(buffer, after, sizeof buffer);
        }
    assert_int_equal(fake_block_run(queue, BLOCK_READ, size - SECTOR, SECTOR, &last, 1), 0);
    assert_memory_equal(after, before, SECTOR);
}
