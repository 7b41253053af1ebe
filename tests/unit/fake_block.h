/* One request to an image at a time, for tests of the block layer. */
#ifndef CASEMENT_TESTS_FAKE_BLOCK_H
#define CASEMENT_TESTS_FAKE_BLOCK_H

#include "casement/block.h"

/* Submits and waits: the result, 0 or -errno; 1: the request was never done. iov counts for reads and writes only. */
int fake_block_run(struct block_queue *queue, enum block_op op, uint64_t offset, uint64_t length,
                   const struct iovec *iov, unsigned iov_count);
/* Every operation across the end of the image, behind it and around 2^64 is refused and touches no buffer; the last
 * sector is the image's still. */
void fake_block_check_ends(struct block_queue *queue, uint64_t size);

#endif
