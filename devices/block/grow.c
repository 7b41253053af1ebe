/* An image becomes larger while it is in use (see block_grow()), and who watches its size is told. */
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"
#include "qcow2_queue.h"

#define SECTOR 512U

uint64_t block_size(const struct block *block)
{
    return block->size;
}

void block_on_resize(struct block *block, void (*changed)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&block->watch_lock);
    block->resized = changed;
    block->resized_opaque = opaque;
    pthread_mutex_unlock(&block->watch_lock);
}

int block_check_growth(const struct block *block, uint64_t size, struct error *error)
{
    uint64_t now = block->size;

    if (size < now)
        return error_set(error, EINVAL, "a disk never shrinks; it has %" PRIu64 " bytes, give more", now);
    if (size % SECTOR)
        return error_set(error, EINVAL, "%" PRIu64 " bytes are no size for a disk; give a multiple of 512", size);
    if (size > INT64_MAX)
        return error_set(error, EFBIG, "%" PRIu64 " bytes are more than a disk can have; give less", size);
    if (block->read_only)
        return error_set(error, EROFS, "is read only and cannot grow; start the machine without its property readonly");
    return 0;
}

static int cannot(int err, struct error *error)
{
    const char *remedy = err == ENOSPC || err == EDQUOT ? "make room"
                         : err == EFBIG                 ? "give less, or put it on a file system with larger files"
                                                        : "look at the host's log";

    return error_set(error, err, "cannot grow: %s; %s", strerror(err), remedy);
}

/* A file that somebody has made larger by hand is not cut. */
static int grow_file(const struct block *block, uint64_t size, struct error *error)
{
    struct stat info;

    if (fstat(block->fd, &info) < 0 || ((uint64_t)info.st_size < size && ftruncate(block->fd, (off_t)size) < 0) ||
        fsync(block->fd) < 0)
        return cannot(errno, error);
    return 0;
}

static int grow_device(const struct block *block, uint64_t size, struct error *error)
{
    uint64_t there = 0;

    if (ioctl(block->fd, BLKGETSIZE64, &there) < 0)
        return cannot(errno, error);
    return size > there
               ? error_set(error, EINVAL,
                           "is a block device of %" PRIu64 " bytes; enlarge it on the host first, or give less", there)
               : 0;
}

struct grow {
    struct qcow2 *q;
    uint64_t size;
    int result;
};

static void run(void *opaque)
{
    struct grow *grow = opaque;

    grow->result = qcow2_grow(grow->q, grow->size);
}

/* On the thread that changes its tables, so that nothing else does meanwhile. */
static int grow_qcow2(const struct block *block, uint64_t size, struct error *error)
{
    struct grow grow = {.q = block->qcow2, .size = size};

    /* What it has behind the old end would come to light. */
    if (block->backing && block_size(block->backing) > block->size)
        return error_set(error, ENOTSUP,
                         "lies on an image that is larger than it; stop the machine and let it lie on none with "
                         "`casement image rebase --no-backing`");
    qcow2_workers_call(block->workers, run, &grow);
    return grow.result < 0 ? cannot(-grow.result, error) : 0;
}

int block_grow(struct block *block, uint64_t size, struct error *error)
{
    int failed = block_check_growth(block, size, error);

    if (failed < 0 || size == block->size)
        return failed;
    failed = block->qcow2    ? grow_qcow2(block, size, error)
             : block->device ? grow_device(block, size, error)
                             : grow_file(block, size, error);
    if (failed < 0)
        return failed;
    block->size = size;
    pthread_mutex_lock(&block->watch_lock);
    if (block->resized)
        block->resized(block->resized_opaque);
    pthread_mutex_unlock(&block->watch_lock);
    return 0;
}
