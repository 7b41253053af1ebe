/* See fake_block.h. */
#include "fake_block.h"

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
