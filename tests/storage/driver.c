/*
 * Drives the block layer from outside a machine, for the tests in this folder.
 *
 *   driver mirror FILE FORMAT RAW SEED COUNT   the same random operations on FILE and on the raw image RAW
 *   driver load FILE FORMAT LOG SEED           writes and flushes until it is killed; LOG: what is known to be there
 *   driver verify FILE FORMAT LOG              whether all of that is there
 *   driver open FILE FORMAT                    opens it for writing, reads all, writes here and there; refused: status
 * 2
 *
 * A FORMAT is raw or qcow2, and after a colon the backing image, its format after another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"

#define MOST (4 * MiB) /* of one operation */
#define AT_ONCE 16
#define SECTOR 512U

struct image {
    struct block *block;
    struct loop *loop;
    struct block_queue *queue;
};

static uint64_t state;

static uint64_t random_below(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % limit;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "driver: %s: %s\n", what, why);
    exit(1);
}

static int image_open(struct image *image, const char *path, const char *format, bool read_only)
{
    struct block_options backing = {.format_given = true, .cache = BLOCK_CACHE_HOST}, options = backing;
    const char *cache = getenv("CACHE");
    char copy[512], *name, *kind;
    struct error error;

    snprintf(copy, sizeof copy, "%s", format);
    name = strchr(copy, ':');
    if (name) {
        *name++ = 0;
        kind = strchr(name, ':');
        *kind++ = 0;
        backing.path = name;
        backing.format = !strcmp(kind, "qcow2") ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
        options.backing = &backing;
    }
    options.path = path;
    options.read_only = read_only;
    options.format = !strcmp(copy, "qcow2") ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
    options.engine = getenv("ENGINE") ? BLOCK_ENGINE_THREADS : BLOCK_ENGINE_AUTO;
    options.metadata_cache = cache ? strtoul(cache, NULL, 10) : 0;
    if (getenv("DIRECT"))
        options.cache = BLOCK_CACHE_NONE;
    if (block_open(&options, &image->block, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return -1;
    }
    image->loop = loop_create("driver");
    image->queue = block_queue_create(image->block, image->loop, 32, &error);
    if (!image->queue)
        die(path, error.text);
    return 0;
}

static void image_close(struct image *image)
{
    block_queue_destroy(image->queue);
    block_close(image->block);
    loop_destroy(image->loop);
}

static void note(struct block_request *request, int result)
{
    *(int *)request->opaque = result;
}

static void submit(struct image *image, struct block_request *request, struct iovec *iov, void *data, int *result)
{
    *iov = (struct iovec){data, request->length};
    request->iov = iov;
    request->iov_count = request->op == BLOCK_READ || request->op == BLOCK_WRITE;
    request->done = note;
    request->opaque = result;
    *result = 1;
    block_submit(image->queue, request);
}

static int run(struct image *image, enum block_op op, uint64_t offset, uint64_t length, void *data)
{
    struct block_request request = {.op = op, .offset = offset, .length = length, .unmap = true};
    struct iovec iov;
    int result;

    submit(image, &request, &iov, data, &result);
    block_queue_drain(image->queue);
    return result;
}

/* Small and large, near and far, aligned and not. */
static void choose_range(uint64_t size, uint64_t *offset, uint64_t *length)
{
    uint64_t most = random_below(8) ? 64 * KiB : MOST;

    *length = (1 + random_below(most / SECTOR)) * SECTOR;
    if (random_below(3) == 0)
        *length = MAX(*length & ~(64 * KiB - 1), 4 * KiB);
    *length = MIN(*length, size);
    *offset = random_below((size - *length) / SECTOR + 1) * SECTOR;
    if (random_below(3) == 0)
        *offset &= ~(64 * KiB - 1);
}

struct slot {
    struct block_request request;
    struct iovec iov;
    uint8_t *data;
    int result;
};

static bool overlaps(const struct slot *slots, unsigned count, uint64_t offset, uint64_t length)
{
    for (unsigned n = 0; n < count; n++)
        if (offset < slots[n].request.offset + slots[n].request.length && slots[n].request.offset < offset + length)
            return true;
    return false;
}

/* A batch of operations that do not touch each other is under way at once; the model is a mapped raw file. */
static void mirror_batch(struct image *image, uint8_t *model, uint64_t size, struct slot *slots)
{
    unsigned count = 0, wanted = 1 + (unsigned)random_below(AT_ONCE);

    while (count < wanted) {
        struct slot *slot = &slots[count];
        uint64_t offset, length, kind = random_below(20);

        choose_range(size, &offset, &length);
        if (overlaps(slots, count, offset, length))
            break;
        slot->request = (struct block_request){.offset = offset, .length = length, .unmap = kind & 1};
        if (kind < 9) {
            uint64_t word = random_below(UINT32_MAX);

            slot->request.op = BLOCK_WRITE;
            for (uint64_t at = 0; at < length; at += 8, word += 0x9E3779B9)
                put_le64(slot->data + at, word);
            memcpy(model + offset, slot->data, length);
        } else if (kind < 13) {
            slot->request.op = kind < 11 ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD;
            if (slot->request.op == BLOCK_DISCARD) {
                /* Whole clusters of any size, so that it is known what they read as. */
                slot->request.offset = offset & ~(2 * MiB - 1);
                slot->request.length = MIN(2 * MiB, size - slot->request.offset);
                if (overlaps(slots, count, slot->request.offset, slot->request.length))
                    break;
            }
            memset(model + slot->request.offset, 0, slot->request.length);
        } else if (kind == 13) {
            slot->request = (struct block_request){.op = BLOCK_FLUSH};
        } else {
            slot->request.op = BLOCK_READ;
            memset(slot->data, 0x5A, length);
        }
        submit(image, &slot->request, &slot->iov, slot->data, &slot->result);
        count++;
    }
    block_queue_drain(image->queue);
    for (unsigned n = 0; n < count; n++) {
        const struct slot *slot = &slots[n];

        if (slot->result != 0)
            die("operation", strerror(-slot->result));
        if (slot->request.op == BLOCK_READ &&
            memcmp(slot->data, model + slot->request.offset, slot->request.length) != 0) {
            fprintf(stderr, "driver: read of %" PRIu64 " bytes at %" PRIu64 " differs\n", slot->request.length,
                    slot->request.offset);
            exit(1);
        }
    }
}

static int mirror(const char *path, const char *format, const char *raw, uint64_t seed, uint64_t count)
{
    struct image image;
    struct slot slots[AT_ONCE] = {0};
    uint8_t *model;
    int fd = open(raw, O_RDWR);

    state = seed * 2654435761U + 1;
    for (unsigned n = 0; n < AT_ONCE; n++)
        slots[n].data = aligned_alloc(4096, MOST);
    if (image_open(&image, path, format, false) < 0)
        return 2;
    model = mmap(NULL, block_size(image.block), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || model == MAP_FAILED)
        die(raw, strerror(errno));
    for (uint64_t n = 0; n < count; n += AT_ONCE / 2) {
        mirror_batch(&image, model, block_size(image.block), slots);
        if (random_below(2000) == 0) {
            image_close(&image);
            if (image_open(&image, path, format, false) < 0)
                return 2;
        }
    }
    munmap(model, block_size(image.block));
    image_close(&image);
    close(fd);
    for (unsigned n = 0; n < AT_ONCE; n++)
        free(slots[n].data);
    return 0;
}

/* A log in memory that outlives the process: for each 4 KiB unit, the generation that was flushed, and the last one
 * that was started. */
struct unit {
    uint32_t flushed, started;
};
#define UNIT 4096U
#define LOAD_UNITS 16384U

static struct unit *map_log(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    void *log;

    if (fd < 0 || ftruncate(fd, LOAD_UNITS * sizeof(struct unit)) < 0)
        die(path, strerror(errno));
    log = mmap(NULL, LOAD_UNITS * sizeof(struct unit), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (log == MAP_FAILED)
        die(path, strerror(errno));
    return log;
}

/* What generation of unit n looks like; every third one is zeroes. */
static void contents(uint8_t *data, uint32_t unit, uint32_t generation)
{
    bool zero = generation % 3 == 0;

    for (unsigned at = 0; at < UNIT; at += 8)
        put_le64(data + at, zero ? 0 : (uint64_t)unit << 32 | generation);
}

static int load(const char *path, const char *format, const char *log_path, uint64_t seed)
{
    struct unit *log = map_log(log_path);
    uint8_t *data = aligned_alloc(4096, (size_t)UNIT * 64);
    struct image image;
    unsigned units;

    state = seed * 2654435761U + 1;
    if (image_open(&image, path, format, false) < 0)
        return 2;
    units = (unsigned)MIN(block_size(image.block) / UNIT, (uint64_t)LOAD_UNITS);
    puts("loading");
    fflush(stdout);
    for (;;) {
        for (unsigned writes = 1 + (unsigned)random_below(32); writes; writes--) {
            unsigned count = 1 + (unsigned)random_below(random_below(4) ? 4 : 64);
            unsigned first = (unsigned)random_below(units - count + 1);
            bool zero = random_below(4) == 0;
            int result;

            for (unsigned n = first; n < first + count; n++) {
                do
                    log[n].started++;
                while ((log[n].started % 3 == 0) != zero);
                contents(data + (size_t)(n - first) * UNIT, n, log[n].started);
            }
            result = run(&image, zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE, (uint64_t)first * UNIT,
                         (uint64_t)count * UNIT, data);
            if (result < 0)
                die("write", strerror(-result));
        }
        if (run(&image, BLOCK_FLUSH, 0, 0, NULL) < 0)
            die("flush", "failed");
        for (unsigned n = 0; n < units; n++)
            log[n].flushed = log[n].started;
    }
}

/* A unit is of the flushed generation or of a later one that was started, each of its sectors for itself. */
static bool unit_good(const uint8_t *data, uint32_t unit, const struct unit *log)
{
    uint8_t wanted[UNIT];
    bool good = true;

    for (unsigned sector = 0; sector < UNIT && good; sector += SECTOR) {
        good = false;
        for (uint32_t generation = log->flushed; generation <= log->started && !good; generation++) {
            contents(wanted, unit, generation);
            good = !memcmp(wanted + sector, data + sector, SECTOR);
        }
    }
    return good;
}

static int verify(const char *path, const char *format, const char *log_path)
{
    struct unit *log = map_log(log_path);
    uint8_t data[UNIT];
    struct image image;
    unsigned bad = 0;

    if (image_open(&image, path, format, false) < 0)
        return 2;
    for (unsigned n = 0; n < MIN(block_size(image.block) / UNIT, (uint64_t)LOAD_UNITS); n++) {
        if (run(&image, BLOCK_READ, (uint64_t)n * UNIT, UNIT, data) < 0 || !unit_good(data, n, &log[n])) {
            fprintf(stderr, "driver: unit %u: is %#" PRIx64 ", flushed %u, started %u\n", n, get_le64(data),
                    log[n].flushed, log[n].started);
            bad++;
            continue;
        }
        /* What was under way is done, so that the next round knows what there is. */
        contents(data, n, log[n].started);
        if (log[n].flushed != log[n].started && run(&image, BLOCK_WRITE, (uint64_t)n * UNIT, UNIT, data) < 0)
            die("write", "failed");
    }
    if (run(&image, BLOCK_FLUSH, 0, 0, NULL) < 0)
        die("flush", "failed");
    for (unsigned n = 0; n < LOAD_UNITS; n++)
        log[n].flushed = log[n].started;
    image_close(&image);
    return bad ? 1 : 0;
}

static int try_open(const char *path, const char *format)
{
    uint8_t *data = aligned_alloc(4096, MOST);
    struct image image;
    uint64_t size;

    if (image_open(&image, path, format, false) < 0) {
        free(data);
        return 2;
    }
    size = block_size(image.block);
    memset(data, 1, MOST);
    for (uint64_t at = 0; at < MIN(size, 64 * MiB); at += MOST)
        run(&image, BLOCK_READ, at, MIN(MOST, size - at), data);
    for (unsigned n = 0; n < 200; n++) {
        uint64_t offset, length;

        choose_range(size, &offset, &length);
        run(&image, n % 4 == 3 ? BLOCK_WRITE_ZEROES : n % 8 == 1 ? BLOCK_DISCARD : BLOCK_WRITE, offset, length, data);
        if (n % 16 == 0)
            run(&image, BLOCK_FLUSH, 0, 0, NULL);
    }
    image_close(&image);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    state = 88172645463325252ULL;
    if (argc == 7 && !strcmp(argv[1], "mirror"))
        return mirror(argv[2], argv[3], argv[4], strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
    if (argc == 6 && !strcmp(argv[1], "load"))
        return load(argv[2], argv[3], argv[4], strtoull(argv[5], NULL, 10));
    if (argc == 5 && !strcmp(argv[1], "verify"))
        return verify(argv[2], argv[3], argv[4]);
    if (argc == 4 && !strcmp(argv[1], "open"))
        return try_open(argv[2], argv[3]);
    fputs("usage: see the top of driver.c\n", stderr);
    return 64;
}
