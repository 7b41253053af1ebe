/*
 * Long transfers between an image and a guest's scattered buffers, a bounded number of iovecs at a time.
 *
 * A controller describes the buffers of one command as a struct scatter, which hands them out as they are needed: a
 * list of any length costs no memory here, and each of its entries is read once.
 */
#ifndef CASEMENT_TRANSFER_H
#define CASEMENT_TRANSFER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "casement/block.h"

/* A command's buffers, from first to last. Embedded in the controller's own structure. */
struct scatter {
    /*
     * The next buffers: at most bytes bytes in at most room iovecs, none of them empty. Returns how many iovecs were
     * filled in, 0 when there are no more, or -EFAULT for a place that is not guest RAM.
     */
    int (*next)(struct scatter *scatter, uint64_t bytes, struct iovec *iov, unsigned room);
};

/* Copies into the buffers or out of them: the bytes moved, fewer than length when the buffers end, or -EFAULT. */
int64_t scatter_put(struct scatter *scatter, const void *from, size_t length);
int64_t scatter_get(struct scatter *scatter, void *to, size_t length);

#define TRANSFER_IOVECS 512U

struct block_transfer {
    uint64_t moved; /* bytes that the image has read or written so far; the caller may look in done */
    void *opaque;   /* the caller's */
    /* The transfer's own: */
    void (*done)(struct block_transfer *transfer, int result);
    struct block_request request;
    struct block_queue *queue;
    struct scatter *scatter;
    uint64_t left;
    unsigned count, used; /* iovecs that are there, and those of them that the request in flight has */
    struct iovec cut;     /* what the last of those was cut short by */
    struct iovec iov[TRANSFER_IOVECS];
};

/*
 * Reads or writes length bytes at offset, both multiples of 512; op is BLOCK_READ or BLOCK_WRITE. done is called
 * exactly once, on the queue's loop and possibly before this returns, with 0, the image's -errno, the scatter's
 * -EFAULT, or -EMSGSIZE when the buffers ended early: what fits in whole sectors was transferred then. The caller kicks
 * the queue.
 */
void block_transfer_start(struct block_transfer *transfer, struct block_queue *queue, enum block_op op, uint64_t offset,
                          uint64_t length, struct scatter *scatter,
                          void (*done)(struct block_transfer *transfer, int result));

#endif
