/*
 * The block layer: bytes at an offset, in and out. It knows no virtio, NVMe or ATA.
 *
 * A struct block is one opened image. A struct block_queue is one submission path to it, owned by one loop: requests
 * are submitted and completed on that loop's thread only, so there is no lock between a disk and its engine.
 */
#ifndef CASEMENT_BLOCK_H
#define CASEMENT_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "casement/error.h"
#include "casement/loop.h"

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };
enum block_engine { BLOCK_ENGINE_AUTO, BLOCK_ENGINE_URING, BLOCK_ENGINE_THREADS };
enum block_format { BLOCK_FORMAT_RAW, BLOCK_FORMAT_QCOW2 };
enum block_cache { BLOCK_CACHE_NONE /* O_DIRECT where the file system has it */, BLOCK_CACHE_HOST };

/* How who opens an image says what it is, so that a text can name the remedy. */
struct block_terms {
    const char *prefix;      /* in front of the image's name */
    const char *qcow2, *raw; /* that it has this format */
    const char *backing;     /* what it lies on; NULL: that cannot be said */
    const char *absent;      /* what to do when there is no such file */
    const char *read_only;   /* when it cannot be written */
    const char *in_use;      /* when somebody has it */
    const char *engine;      /* when io_uring does not start */
};

/* Of all transfers of a disk together, each second; 0: none. What a tenth of a second allows may come at once. */
struct block_limits {
    uint64_t operations, bytes;
};

struct block_options {
    const char *path; /* a file or, raw only, a block device */
    bool read_only;
    enum block_format format; /* never guessed from what is in the image */
    bool format_given;        /* the operator said so: raw even if it looks like qcow2, which is refused otherwise */
    /* What a qcow2 image lies on, with its own format, and perhaps on another one; NULL: nothing. Opened read-only. An
     * image that names a backing file is refused unless this is one of that name (folders may differ). */
    const struct block_options *backing;
    enum block_engine engine; /* AUTO: io_uring if a ring can be set up, else threads */
    enum block_cache cache;
    size_t metadata_cache;           /* bytes of a qcow2 image's tables in memory; 0: 16 MiB */
    const struct block_terms *terms; /* outlive the image; NULL: those of --disk */
    struct block_limits limits;      /* of requests by queues */
};

struct block;
/*
 * Opens and locks the image: exclusively for writing, shared when read-only (open file description locks, so that a
 * second machine is refused). The size must be a multiple of 512. The text says what is wrong and what to do.
 */
int block_open(const struct block_options *options, struct block **block, struct error *error);
/* All queues must be gone. Flushes nothing by itself. */
void block_close(struct block *block);
uint64_t block_size(const struct block *block); /* bytes; any thread, as it grows while the disk is in use */
/*
 * Makes an image that is in use larger: the file first, so that a crash at any instant leaves a good image of either
 * size; then block_size() says the new one and who watches it is told. A block device must have grown on the host
 * before. Waits for the disk, not for a queue's loop; any thread but a queue's loop, one call at a time. 0 (also when
 * it has that size already), or with a text that names no disk: -EINVAL when smaller or no multiple of 512, -EROFS,
 * -EFBIG, -ENOTSUP, -ENOSPC or what the host says.
 */
int block_grow(struct block *block, uint64_t size, struct error *error);
/*
 * changed is called behind each change of block_size(), on the thread of block_grow(); it waits for no loop. One
 * watcher for each image: its controller, which takes itself off with NULL. What is replaced is not called any more on
 * return. Any thread, but not from changed.
 */
void block_on_resize(struct block *block, void (*changed)(void *opaque), void *opaque);
bool block_read_only(const struct block *block);
bool block_can_discard(const struct block *block);        /* only when the backend truly does; qcow2 always does */
const char *block_engine_name(const struct block *block); /* "io_uring" or "threads": what is in use */
enum block_format block_format(const struct block *block);
struct block_limits block_limits(const struct block *block);

/*
 * What becomes of a request for which the host has no space left. Without a watcher it ends as -ENOSPC. With one it
 * waits, and is tried again every second until there is space or its queue is drained. changed is called when the first
 * one begins to wait and when none waits any more, on the loop of a queue; it waits for no loop and submits nothing.
 * Taken off with NULL; it is not called any more on return. Any thread, but not from changed.
 */
void block_on_full(struct block *block, void (*changed)(void *opaque, bool full), void *opaque);

/* What has been transferred and done since the image was opened, and what a limit has put off. Any thread. */
struct block_totals {
    uint64_t read_bytes, written_bytes, reads, writes, flushes, errors, delayed;
};
void block_totals(const struct block *block, struct block_totals *totals);

struct block_request {
    enum block_op op;
    uint64_t offset, length; /* bytes; for reads and writes length is the sum of the iovecs */
    const struct iovec *iov; /* stays the caller's until done; any alignment; read and write only */
    unsigned iov_count;
    bool unmap; /* BLOCK_WRITE_ZEROES may free the space */
    /* On the queue's loop, exactly once: 0 or -errno. All of the range was transferred, or the result is negative. */
    void (*done)(struct block_request *request, int result);
    void *opaque;
    /* The engine's own, untouched by the caller from submit to done. */
    struct block_request *next;
    struct block_queue *queue;
    bool piece, held;
    int64_t turn_ns;
    struct iovec *bounce_iov;
    void *bounce;
    uint64_t transferred;
    int result;
};

struct block_queue;
/* depth is the largest number of requests in flight (more are queued, never dropped). NULL with a text. */
struct block_queue *block_queue_create(struct block *block, struct loop *loop, unsigned depth, struct error *error);
/* Drains first: every request that was submitted is done on return. Call on the loop's thread or while it does not run.
 */
void block_queue_destroy(struct block_queue *queue);
/* Hands over a request; nothing need have started before block_queue_kick(). A range outside the image ends as -EINVAL.
 */
void block_submit(struct block_queue *queue, struct block_request *request);
/* End of batch: one system call starts what was submitted. */
void block_queue_kick(struct block_queue *queue);
/* Called after completions have been told, once for each batch of them; to publish them together. Before any
 * submission. */
void block_queue_on_batch(struct block_queue *queue, void (*batch)(void *opaque), void *opaque);
/* Waits until everything that was submitted is done; completions run inside. On the loop's thread or while it does not
 * run. */
void block_queue_drain(struct block_queue *queue);

/* For tools and boot: blocking transfers through the same engine-independent path. 0 or -errno. Any thread. */
int block_pread(struct block *block, void *to, uint64_t length, uint64_t offset);

#endif
