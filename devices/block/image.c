/* Disk images as files: made, looked at, checked, grown, given another backing image (see image.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/image.h"
#include "qcow2_queue.h"

#define NAME_PLACE_1 1024U /* of the backing file's name in the header's cluster; the one that is not in use */
#define NAME_PLACE_2 3072U
#define SECTOR 512U

static const struct block_terms of_image = IMAGE_TERMS("--format", NULL);

struct open_image {
    struct block *block;
    struct qcow2 *q;
};

static int open_image(struct open_image *image, const char *path, bool read_only, struct error *error)
{
    const struct block_options options = {.path = path,
                                          .read_only = read_only,
                                          .format = BLOCK_FORMAT_QCOW2,
                                          .engine = BLOCK_ENGINE_THREADS,
                                          .cache = BLOCK_CACHE_HOST,
                                          .terms = &of_image};
    int failed = block_open_file(&options, &image->block, error);

    image->q = NULL;
    if (failed < 0)
        return failed;
    failed = qcow2_load(&image->q, image->block->fd, path, read_only, error);
    if (failed < 0)
        block_close(image->block);
    return failed;
}

static void close_image(struct open_image *image)
{
    qcow2_free(image->q);
    block_close(image->block);
}

static const char *format_name(enum block_format format)
{
    return format == BLOCK_FORMAT_QCOW2 ? "qcow2" : "raw";
}

/* The header extensions and the place of the backing file's name, in the header's first sector. */
static void put_backing(uint8_t *sector, unsigned length, const char *backing, enum block_format format, unsigned place)
{
    uint8_t *at = sector + length;

    memset(at, 0, SECTOR - length);
    put_be64(sector + QCOW2_H_BACKING_OFFSET, backing ? place : 0);
    put_be32(sector + QCOW2_H_BACKING_LENGTH, backing ? (uint32_t)strlen(backing) : 0);
    if (backing) {
        put_be32(at, (uint32_t)QCOW2_EXT_BACKING_FORMAT);
        put_be32(at + 4, (uint32_t)strlen(format_name(format)));
        memcpy(at + 8, format_name(format), strlen(format_name(format)));
    }
}

static int check_options(const struct image_options *options, struct error *error)
{
    unsigned bits = options->cluster_bits;

    if (options->size == 0 || options->size % SECTOR || options->size > INT64_MAX)
        return error_set(error, EINVAL, "%s: %" PRIu64 " bytes are no size for a disk; give a multiple of 512",
                         options->path, options->size);
    if (options->format == BLOCK_FORMAT_RAW)
        return options->backing ? error_set(error, EINVAL, "%s: a raw image lies on no other; use qcow2", options->path)
                                : 0;
    if (bits && (bits < 12 || bits > 21))
        return error_set(error, EINVAL, "%s: clusters of 2^%u bytes; give 4K to 2M", options->path, bits);
    if (options->refcount_bits > 64 || (options->refcount_bits & (options->refcount_bits - 1)))
        return error_set(error, EINVAL, "%s: refcounts of %u bits; give 1, 2, 4, 8, 16, 32 or 64", options->path,
                         options->refcount_bits);
    if (qcow2_l1_needed(options->size, bits ? bits : 16) > QCOW2_L1_MAX / 8)
        return error_set(error, EFBIG, "%s: %" PRIu64 " bytes are too much for clusters of this size; give larger ones",
                         options->path, options->size);
    if (options->backing && (!options->backing[0] || strlen(options->backing) > QCOW2_NAME_MAX))
        return error_set(error, ENAMETOOLONG, "%s: the backing image's name must have 1 to %u letters", options->path,
                         QCOW2_NAME_MAX);
    return 0;
}

/* The header's cluster; a refcount table that counts nothing stands behind the L1 table until the true one is built. */
static int write_header(int fd, const struct image_options *options)
{
    unsigned bits = options->cluster_bits ? options->cluster_bits : 16, order = 0;
    uint64_t cluster = 1ULL << bits, l1 = qcow2_l1_needed(options->size, bits);
    uint64_t reftable = cluster + align_up(l1 * 8, cluster);
    uint8_t block[QCOW2_BLOCK] = {0};

    while (1U << order < (options->refcount_bits ? options->refcount_bits : 16))
        order++;
    put_be32(block, QCOW2_MAGIC);
    put_be32(block + 4, 3);
    put_be32(block + QCOW2_H_CLUSTER_BITS, bits);
    put_be64(block + QCOW2_H_SIZE, options->size);
    put_be32(block + QCOW2_H_L1_ENTRIES, (uint32_t)l1);
    put_be64(block + QCOW2_H_L1_OFFSET, cluster);
    put_be64(block + QCOW2_H_REFTABLE_OFFSET, reftable);
    put_be32(block + QCOW2_H_REFTABLE_CLUSTERS, 1);
    put_be64(block + QCOW2_H_COMPATIBLE, options->lazy_refcounts ? QCOW2_LAZY : 0);
    put_be32(block + QCOW2_H_REFCOUNT_ORDER, order);
    put_be32(block + QCOW2_H_LENGTH, QCOW2_HEADER_MADE);
    put_backing(block, QCOW2_HEADER_MADE, options->backing, options->backing_format, NAME_PLACE_1);
    if (options->backing)
        memcpy(block + NAME_PLACE_1, options->backing, strlen(options->backing));
    if (ftruncate(fd, (off_t)(reftable + cluster)) < 0)
        return -errno;
    return pwrite(fd, block, sizeof block, 0) == (ssize_t)sizeof block ? 0 : errno ? -errno : -EIO;
}

static int fill(int fd, const struct image_options *options, struct error *error)
{
    struct qcow2 *q;
    int failed;

    if (options->format == BLOCK_FORMAT_RAW)
        failed = ftruncate(fd, (off_t)options->size) < 0 ? -errno : 0;
    else
        failed = write_header(fd, options);
    if (failed < 0)
        return error_set(error, -failed, "%s: cannot be written: %s", options->path, strerror(-failed));
    if (options->format == BLOCK_FORMAT_QCOW2) {
        failed = qcow2_load(&q, fd, options->path, false, error);
        if (failed < 0)
            return failed;
        failed = qcow2_rebuild(q, error);
        qcow2_free(q);
    }
    return failed;
}

int image_create(const struct image_options *options, struct error *error)
{
    int failed = check_options(options, error), fd;

    if (failed < 0)
        return failed;
    fd = open(options->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set(error, errno, "%s: %s; %s", options->path, strerror(errno),
                         errno == EEXIST ? "name a file that is not there yet" : "name another place");
    failed = fill(fd, options, error);
    if (failed == 0 && fsync(fd) < 0)
        failed = error_set(error, errno, "%s: cannot be written: %s", options->path, strerror(errno));
    close(fd);
    if (failed < 0)
        unlink(options->path);
    return failed;
}

int image_create_whole(const struct image_options *options, struct error *error)
{
    char part[PATH_MAX];
    struct image_options made = *options;
    int failed;

    made.path = part;
    if ((size_t)snprintf(part, sizeof part, "%s.part", options->path) >= sizeof part)
        return error_set(error, ENAMETOOLONG, "%s: %s; give a shorter one", options->path, strerror(ENAMETOOLONG));
    if (unlink(part) < 0 && errno != ENOENT)
        return error_set(error, errno, "%s: cannot be removed: %s; remove it", part, strerror(errno));
    failed = image_create(&made, error);
    if (failed < 0)
        return failed;
    failed = file_name_new(part, options->path);
    if (failed < 0) {
        unlink(part);
        return error_set(error, -failed, "%s: cannot be made: %s", options->path, strerror(-failed));
    }
    return 0;
}

bool image_name_is_qcow2(const char *path)
{
    static const char ending[] = ".qcow2";
    size_t length = strlen(path);

    return length >= sizeof ending && strcmp(path + length - (sizeof ending - 1), ending) == 0;
}

static void describe(const struct qcow2_header *header, struct image_info *info)
{
    info->size = header->size;
    info->version = header->version;
    info->cluster_bits = header->cluster_bits;
    info->refcount_bits = 1U << header->refcount_order;
    info->snapshots = header->snapshots;
    info->lazy_refcounts = header->compatible & QCOW2_LAZY;
    info->dirty = header->incompatible & QCOW2_DIRTY;
    info->corrupt = header->incompatible & QCOW2_CORRUPT;
    memcpy(info->backing, header->backing, sizeof info->backing);
    memcpy(info->backing_format, header->backing_format, sizeof info->backing_format);
}

int image_info(const char *path, enum block_format format, bool given, struct image_info *info, struct error *error)
{
    const struct block_options options = {
        .path = path, .read_only = true, .format_given = given, .cache = BLOCK_CACHE_HOST, .terms = &of_image};
    struct open_image image = {0};
    struct stat file;
    int failed =
        format == BLOCK_FORMAT_RAW ? block_open(&options, &image.block, error) : open_image(&image, path, true, error);

    if (failed < 0)
        return failed;
    *info = (struct image_info){.size = image.block->size};
    if (fstat(image.block->fd, &file) == 0) {
        info->file_bytes = (uint64_t)file.st_size;
        info->allocated_bytes = (uint64_t)file.st_blocks * 512;
    }
    if (image.q)
        describe(&image.q->header, info);
    close_image(&image);
    return 0;
}

int image_check(const char *path, bool repair, struct image_findings *result, struct error *error)
{
    struct qcow2_findings findings = {0};
    struct open_image image;
    int failed = open_image(&image, path, !repair, error);

    if (failed < 0)
        return failed;
    /* First as it is: what repair finds does not tell leaks. */
    failed = qcow2_check(image.q, false, &findings, error);
    close_image(&image);
    if (failed == 0 && repair) {
        struct qcow2_findings mended;

        failed = open_image(&image, path, false, error);
        if (failed < 0)
            return failed;
        if (findings.errors || findings.leaks || (image.q->header.incompatible & (QCOW2_DIRTY | QCOW2_CORRUPT)))
            failed = qcow2_check(image.q, true, &mended, error);
        close_image(&image);
    }
    *result = (struct image_findings){.errors = findings.errors,
                                      .leaks = findings.leaks,
                                      .mapped = findings.mapped,
                                      .compressed = findings.compressed,
                                      .zeroed = findings.zeroed,
                                      .file_clusters = findings.file_clusters};
    memcpy(result->first, findings.first, sizeof result->first);
    return failed;
}

static int grow_raw(const char *path, bool given, uint64_t size, struct error *error)
{
    const struct block_options options = {
        .path = path, .format_given = given, .cache = BLOCK_CACHE_HOST, .terms = &of_image};
    struct error reason = {""};
    struct block *block;
    int failed = block_open(&options, &block, error);

    if (failed < 0)
        return failed;
    failed = block_grow(block, size, &reason);
    block_close(block);
    return failed < 0 ? error_set(error, -failed, "%s: %s", path, reason.text) : 0;
}

static int grow_qcow2(const char *path, uint64_t size, struct error *error)
{
    const struct block_options options = {
        .path = path, .format = BLOCK_FORMAT_QCOW2, .cache = BLOCK_CACHE_HOST, .terms = &of_image};
    struct error reason = {""};
    struct block *block;
    struct qcow2 *q;
    int failed = block_open_file(&options, &block, error);

    if (failed < 0)
        return failed;
    failed = qcow2_open(&q, block->fd, path, false, block->can_discard, 0, error);
    if (failed == 0) {
        block->size = q->header.size;
        failed = block_check_growth(block, size, &reason);
        if (failed == 0)
            failed = qcow2_grow(q, size);
        if (failed < 0)
            error_set(error, -failed, "%s: %s", path, reason.text[0] ? reason.text : strerror(-failed));
        qcow2_close(q);
    }
    block_close(block);
    return failed;
}

int image_grow(const char *path, enum block_format format, bool given, uint64_t size, struct error *error)
{
    return format == BLOCK_FORMAT_RAW ? grow_raw(path, given, size, error) : grow_qcow2(path, size, error);
}

/* The name first, to a place that is not in use; then the sector that refers to it. */
static int write_backing(const struct qcow2 *q, const char *backing, enum block_format format)
{
    const struct qcow2_header *header = &q->header;
    uint8_t *block = qcow2_buffer(QCOW2_BLOCK);
    unsigned place = header->backing_offset + strlen(header->backing) <= NAME_PLACE_2 ? NAME_PLACE_2 : NAME_PLACE_1;
    int failed = block ? qcow2_read(q, block, QCOW2_BLOCK, 0) : -ENOMEM;

    if (failed == 0 && backing) {
        memset(block + place, 0, QCOW2_NAME_MAX + 1);
        memcpy(block + place, backing, strlen(backing)); // NOLINT(bugprone-not-null-terminated-result): zeroes follow
        failed = qcow2_write(q, block + SECTOR, QCOW2_BLOCK - SECTOR, SECTOR);
        if (failed == 0)
            failed = qcow2_sync(q);
    }
    if (failed == 0) {
        put_backing(block, header->length, backing, format, place);
        failed = qcow2_write(q, block, SECTOR, 0);
    }
    if (failed == 0)
        failed = qcow2_sync(q);
    free(block);
    return failed;
}

int image_set_backing(const char *path, const char *backing, enum block_format format, struct error *error)
{
    struct open_image image;
    int failed;

    if (backing && (!backing[0] || strlen(backing) > QCOW2_NAME_MAX))
        return error_set(error, ENAMETOOLONG, "%s: the backing image's name must have 1 to %u letters", path,
                         QCOW2_NAME_MAX);
    failed = open_image(&image, path, false, error);
    if (failed < 0)
        return failed;
    failed = qcow2_check_writable(image.q, error);
    if (failed == 0 && (image.q->header.foreign || image.q->header.length > 256))
        failed = error_set(error, ENOTSUP,
                           "%s: its header has extensions that are not known here; make a new image of it with "
                           "`casement image convert`",
                           path);
    if (failed == 0) {
        failed = write_backing(image.q, backing, format);
        if (failed < 0)
            error_set(error, -failed, "%s: its header cannot be written: %s", path, strerror(-failed));
    }
    close_image(&image);
    return failed;
}
