/* Copying between disk images: several large transfers at once, on a loop that does not run. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "image.h"

#define CHUNK (1 * MiB)
#define AT_ONCE 8U
#define GRAIN (64 * KiB) /* what is looked at for zeroes or a difference */

/* An image that is read or written through a queue. */
struct side {
    struct block *block;
    struct block_queue *queue;
    uint64_t size;
};

struct slot {
    struct block_request requests[CHUNK / GRAIN];
    struct iovec iov[CHUNK / GRAIN];
    uint64_t offset, length;
    uint8_t *data, *other;
};

struct copy {
    struct loop *loop;
    struct side from, to; /* of a rebase, from is what the image will lie on, to the image */
    struct slot slots[AT_ONCE];
    int result;
};

static const uint8_t zeroes[GRAIN];

static void done(struct block_request *request, int result)
{
    struct copy *copy = request->opaque;

    if (result < 0)
        copy->result = result;
}

static int open_side(struct copy *copy, struct side *side, const struct image_source *source, bool read_only,
                     struct error *error)
{
    const struct block_options backing = {.path = source->backing,
                                          .format = source->backing_format,
                                          .format_given = true,
                                          .cache = BLOCK_CACHE_HOST,
                                          .terms = source->backing_terms};
    const struct block_options options = {.path = source->path,
                                          .read_only = read_only,
                                          .format = source->format,
                                          .format_given = source->format_given,
                                          .cache = BLOCK_CACHE_HOST,
                                          .backing = source->backing ? &backing : NULL,
                                          .terms = source->terms};
    int failed = block_open(&options, &side->block, error);

    if (failed < 0)
        return failed;
    side->size = block_size(side->block);
    side->queue = block_queue_create(side->block, copy->loop, 2 * AT_ONCE, error);
    return side->queue ? 0 : -EIO;
}

static void close_side(struct side *side)
{
    block_queue_destroy(side->queue);
    block_close(side->block);
    *side = (struct side){0};
}

static int copy_create(struct copy *copy, struct error *error)
{
    *copy = (struct copy){.loop = loop_create("image")};
    for (unsigned n = 0; n < AT_ONCE; n++) {
        copy->slots[n].data = aligned_alloc(4096, CHUNK);
        copy->slots[n].other = aligned_alloc(4096, CHUNK);
        if (!copy->slots[n].data || !copy->slots[n].other)
            return error_set(error, ENOMEM, "image: out of memory");
    }
    return copy->loop ? 0 : error_set(error, ENOMEM, "image: out of memory");
}

static void copy_destroy(struct copy *copy)
{
    close_side(&copy->from);
    close_side(&copy->to);
    for (unsigned n = 0; n < AT_ONCE; n++) {
        free(copy->slots[n].data);
        free(copy->slots[n].other);
    }
    if (copy->loop)
        loop_destroy(copy->loop);
}

static void submit(struct copy *copy, struct slot *slot, unsigned number, struct side *side, enum block_op op,
                   uint8_t *data, uint64_t length)
{
    uint64_t within = number * GRAIN;

    slot->iov[number] = (struct iovec){data, length};
    slot->requests[number] = (struct block_request){.op = op,
                                                    .offset = slot->offset + within,
                                                    .length = length,
                                                    .iov = &slot->iov[number],
                                                    .iov_count = 1,
                                                    .done = done,
                                                    .opaque = copy};
    block_submit(side->queue, &slot->requests[number]);
}

/* What lies behind the end reads as zeroes. */
static void read_slots(struct copy *copy, struct side *side, unsigned count, bool other)
{
    for (unsigned n = 0; n < count; n++) {
        struct slot *slot = &copy->slots[n];
        uint8_t *data = other ? slot->other : slot->data;
        uint64_t there = side->queue && slot->offset < side->size ? MIN(slot->length, side->size - slot->offset) : 0;

        memset(data + there, 0, slot->length - there);
        if (there)
            submit(copy, slot, 0, side, BLOCK_READ, data, there);
    }
    if (side->queue)
        block_queue_drain(side->queue);
}

/* Writes of a slot what differs from the other contents (NULL: from zeroes), in runs. */
static void write_differences(struct copy *copy, struct slot *slot, const uint8_t *other)
{
    uint64_t start = 0;

    for (uint64_t at = 0; at <= slot->length; at += GRAIN) {
        uint64_t length = at < slot->length ? MIN(GRAIN, slot->length - at) : 0;
        bool differs = length && memcmp(slot->data + at, other ? other + at : zeroes, length) != 0;

        if (!differs && start < at)
            submit(copy, slot, (unsigned)(start / GRAIN), &copy->to, BLOCK_WRITE, slot->data + start,
                   MIN(at, slot->length) - start);
        if (!differs)
            start = at + GRAIN;
    }
    /* A last grain that is not whole ends the loop before its run is written. */
    if (start < slot->length && slot->length % GRAIN)
        submit(copy, slot, (unsigned)(start / GRAIN), &copy->to, BLOCK_WRITE, slot->data + start, slot->length - start);
}

static unsigned cut(struct copy *copy, uint64_t offset, uint64_t size)
{
    unsigned count = 0;

    for (; count < AT_ONCE && offset < size; count++) {
        copy->slots[count].offset = offset;
        copy->slots[count].length = MIN(CHUNK, size - offset);
        offset += CHUNK;
    }
    return count;
}

static void run(struct copy *copy, bool differences, uint64_t size, void (*progress)(uint64_t done, uint64_t all))
{
    for (uint64_t offset = 0; offset < size && copy->result == 0; offset += AT_ONCE * CHUNK) {
        unsigned count = cut(copy, offset, size);

        read_slots(copy, differences ? &copy->to : &copy->from, count, false);
        if (differences)
            read_slots(copy, &copy->from, count, true);
        for (unsigned n = 0; n < count && copy->result == 0; n++)
            write_differences(copy, &copy->slots[n], differences ? copy->slots[n].other : NULL);
        block_queue_drain(copy->to.queue);
        if (progress)
            progress(MIN(offset + AT_ONCE * CHUNK, size), size);
    }
    if (copy->result == 0) {
        copy->slots[0].offset = 0;
        submit(copy, &copy->slots[0], 0, &copy->to, BLOCK_FLUSH, NULL, 0);
        block_queue_drain(copy->to.queue);
    }
}

static int told(const struct copy *copy, const char *path, struct error *error)
{
    if (copy->result == -ENOSPC)
        return error_set(error, ENOSPC, "%s: no space is left; make room and begin again", path);
    if (copy->result < 0)
        return error_set(error, -copy->result,
                         "%s: cannot be copied: %s; look at both images with `casement image check`", path,
                         strerror(-copy->result));
    return 0;
}

int image_convert(const struct image_source *source, const struct image_options *to,
                  void (*progress)(uint64_t done, uint64_t all), struct error *error)
{
    static const struct block_terms terms = IMAGE_TERMS("--format", NULL);
    const struct image_source target = {.path = to->path, .format = to->format, .format_given = true, .terms = &terms};
    struct image_options made = *to;
    struct copy copy;
    int failed = copy_create(&copy, error);
    bool created = false;

    if (failed == 0)
        failed = open_side(&copy, &copy.from, source, true, error);
    if (failed == 0) {
        made.size = copy.from.size;
        failed = image_create(&made, error);
        created = failed == 0;
    }
    if (failed == 0)
        failed = open_side(&copy, &copy.to, &target, false, error);
    if (failed == 0) {
        run(&copy, false, copy.from.size, progress);
        failed = told(&copy, to->path, error);
    }
    copy_destroy(&copy);
    if (failed < 0 && created)
        unlink(to->path);
    return failed;
}

int image_copy_differences(const struct image_source *image, const struct image_source *new_backing,
                           void (*progress)(uint64_t done, uint64_t all), struct error *error)
{
    struct copy copy;
    int failed = copy_create(&copy, error);

    if (failed == 0)
        failed = open_side(&copy, &copy.to, image, false, error);
    if (failed == 0 && new_backing->path)
        failed = open_side(&copy, &copy.from, new_backing, true, error);
    if (failed == 0) {
        run(&copy, true, copy.to.size, progress);
        failed = told(&copy, image->path, error);
    }
    copy_destroy(&copy);
    return failed;
}
