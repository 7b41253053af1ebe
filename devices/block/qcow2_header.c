/* The header of a qcow2 image (specification, "Header" and "Header extensions"): nothing in it is believed unchecked.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "casement/bytes.h"
#include "qcow2.h"

struct range {
    const char *what;
    uint64_t offset, bytes;
};

uint64_t qcow2_l1_needed(uint64_t size, unsigned cluster_bits)
{
    unsigned bits = 2 * cluster_bits - 3;

    return (size >> bits) + ((size & ((1ULL << bits) - 1)) != 0);
}

static int refuse_features(const struct qcow2_header *header, unsigned compression, const char *name,
                           struct error *error)
{
    static const struct {
        uint64_t bit;
        const char *what;
    } known[] = {{4, "keeps its data in another file (an external data file)"},
                 {8, "has clusters that are compressed in another way than zlib"},
                 {16, "has subclusters (extended L2 entries)"}};

    for (size_t n = 0; n < ARRAY_SIZE(known); n++)
        if (header->incompatible & known[n].bit)
            return error_set(error, ENOTSUP, "%s: %s; convert it with `qemu-img convert -O qcow2`", name,
                             known[n].what);
    if (header->incompatible & ~(QCOW2_DIRTY | QCOW2_CORRUPT))
        return error_set(error, ENOTSUP,
                         "%s: has features that are not known here (incompatible bits %#" PRIx64
                         "); convert it with the program that made it",
                         name, (uint64_t)(header->incompatible & ~(QCOW2_DIRTY | QCOW2_CORRUPT)));
    if (compression)
        return error_set(error, EINVAL, "%s: damaged: compression type %u without its feature bit", name, compression);
    return 0;
}

static int damaged(const char *name, const char *what, uint64_t value, struct error *error)
{
    return error_set(error, EINVAL, "%s: damaged: %s is %#" PRIx64 "; take a copy of the image from a backup", name,
                     what, value);
}

/* Ranges are whole clusters in the file, behind the header, and do not lie on each other. */
static int check_ranges(const struct range *ranges, unsigned count, uint64_t cluster, uint64_t file_size,
                        const char *name, struct error *error)
{
    uint64_t end = align_up(file_size, cluster);

    for (unsigned n = 0; n < count; n++) {
        uint64_t bytes = align_up(ranges[n].bytes, cluster);

        if (ranges[n].offset % cluster || ranges[n].offset < cluster || ranges[n].offset > end ||
            bytes > end - ranges[n].offset)
            return damaged(name, ranges[n].what, ranges[n].offset, error);
        for (unsigned other = 0; other < n; other++)
            if (ranges[n].offset < ranges[other].offset + align_up(ranges[other].bytes, cluster) &&
                ranges[other].offset < ranges[n].offset + bytes)
                return damaged(name, ranges[n].what, ranges[n].offset, error);
    }
    return 0;
}

static int read_extensions(struct qcow2_header *header, const uint8_t *bytes, size_t length, const char *name,
                           struct error *error)
{
    size_t end = header->backing_offset ? MIN((size_t)header->backing_offset, length) : length;
    size_t at = header->length;

    while (at + 8 <= end) {
        uint32_t type = get_be32(bytes + at), size = get_be32(bytes + at + 4);

        at += 8;
        if (size > end - at)
            return damaged(name, "the length of a header extension", size, error);
        if (type == QCOW2_EXT_END)
            return 0;
        if (type == (uint32_t)QCOW2_EXT_BACKING_FORMAT) {
            memcpy(header->backing_format, bytes + at, MIN((size_t)size, sizeof header->backing_format - 1));
        } else if (type == (uint32_t)QCOW2_EXT_BITMAPS) {
            header->bitmaps = true;
        } else if (type != (uint32_t)QCOW2_EXT_NAMES) {
            header->foreign = true;
        }
        at += align_up(size, 8);
    }
    return 0;
}

static int read_backing(struct qcow2_header *header, const uint8_t *bytes, size_t length, const char *name,
                        struct error *error)
{
    uint32_t size = get_be32(bytes + QCOW2_H_BACKING_LENGTH);

    header->backing_offset = get_be64(bytes + QCOW2_H_BACKING_OFFSET);
    if (!header->backing_offset)
        return 0;
    if (size == 0 || size > QCOW2_NAME_MAX)
        return damaged(name, "the length of the backing file's name", size, error);
    if (header->backing_offset < header->length || header->backing_offset > length ||
        size > length - header->backing_offset)
        return damaged(name, "the place of the backing file's name", header->backing_offset, error);
    memcpy(header->backing, bytes + header->backing_offset, size);
    return memchr(header->backing, 0, size) ? damaged(name, "a letter of the backing file's name", 0, error) : 0;
}

static int check_tables(const struct qcow2_header *header, uint64_t file_size, const char *name, struct error *error)
{
    uint64_t cluster = 1ULL << header->cluster_bits, needed = qcow2_l1_needed(header->size, header->cluster_bits);
    const struct range ranges[] = {
        {"the place of the L1 table", header->l1_offset, (uint64_t)header->l1_entries * 8},
        {"the place of the refcount table", header->reftable_offset, header->reftable_clusters * cluster},
        {"the place of the snapshots", header->snapshots_offset, 1}};

    if (header->size == 0 || header->size % 512 || header->size > INT64_MAX)
        return damaged(name, "the size of the disk", header->size, error);
    if (header->l1_entries > QCOW2_L1_MAX / 8 || header->l1_entries < needed)
        return damaged(name, "the length of the L1 table", header->l1_entries, error);
    if (header->reftable_clusters == 0 || header->reftable_clusters > MAX(QCOW2_REFTABLE_MAX / cluster, 1ULL))
        return damaged(name, "the length of the refcount table", header->reftable_clusters, error);
    if (header->snapshots > 65536)
        return damaged(name, "the number of snapshots", header->snapshots, error);
    /* Of none, too: others refuse it, and an image that is good here has to be good there. */
    if (header->snapshots_offset % cluster || header->snapshots_offset > INT64_MAX)
        return damaged(name, "the place of the snapshots", header->snapshots_offset, error);
    return check_ranges(ranges, header->snapshots ? 3 : 2, cluster, file_size, name, error);
}

static void read_words(struct qcow2_header *header, const uint8_t *bytes)
{
    header->version = get_be32(bytes + 4);
    header->cluster_bits = get_be32(bytes + QCOW2_H_CLUSTER_BITS);
    header->size = get_be64(bytes + QCOW2_H_SIZE);
    header->l1_entries = get_be32(bytes + QCOW2_H_L1_ENTRIES);
    header->l1_offset = get_be64(bytes + QCOW2_H_L1_OFFSET);
    header->reftable_offset = get_be64(bytes + QCOW2_H_REFTABLE_OFFSET);
    header->reftable_clusters = get_be32(bytes + QCOW2_H_REFTABLE_CLUSTERS);
    header->snapshots = get_be32(bytes + QCOW2_H_SNAPSHOTS);
    header->snapshots_offset = get_be64(bytes + QCOW2_H_SNAPSHOTS_OFFSET);
    header->length = QCOW2_HEADER_V2;
    header->refcount_order = 4;
    if (header->version >= 3) {
        header->incompatible = get_be64(bytes + QCOW2_H_INCOMPATIBLE);
        header->compatible = get_be64(bytes + QCOW2_H_COMPATIBLE);
        header->autoclear = get_be64(bytes + QCOW2_H_AUTOCLEAR);
        header->refcount_order = get_be32(bytes + QCOW2_H_REFCOUNT_ORDER);
        header->length = get_be32(bytes + QCOW2_H_LENGTH);
    }
}

int qcow2_header_parse(struct qcow2_header *header, const uint8_t *bytes, size_t length, uint64_t file_size,
                       const char *name, struct error *error)
{
    int failed;

    *header = (struct qcow2_header){0};
    if (length < QCOW2_HEADER_V3 || get_be32(bytes) != QCOW2_MAGIC)
        return error_set(error, EINVAL,
                         "%s: is not a qcow2 image; name one, or leave its format out if it is a raw one", name);
    read_words(header, bytes);
    if (header->version < 2 || header->version > 3)
        return error_set(error, ENOTSUP, "%s: is of qcow2 version %u; known are 2 (to read) and 3", name,
                         header->version);
    if (get_be32(bytes + QCOW2_H_CRYPT))
        return error_set(error, ENOTSUP, "%s: is encrypted; decrypt it with `qemu-img convert`", name);
    if (header->cluster_bits < 12 || header->cluster_bits > 21)
        return error_set(error, ENOTSUP,
                         "%s: has clusters of 2 to the power of %u bytes; convert it to clusters of 4 KiB to 2 MiB",
                         name, header->cluster_bits);
    if (header->refcount_order > 6)
        return damaged(name, "the width of refcounts", header->refcount_order, error);
    if (header->version == 3 && (header->length < QCOW2_HEADER_V3 || header->length % 8 || header->length > length))
        return damaged(name, "the length of the header", header->length, error);
    failed =
        header->version == 3
            ? refuse_features(header, header->length > QCOW2_HEADER_V3 ? bytes[QCOW2_H_COMPRESSION] : 0, name, error)
            : 0;
    if (failed == 0)
        failed = check_tables(header, file_size, name, error);
    if (failed == 0)
        failed = read_backing(header, bytes, length, name, error);
    return failed < 0 ? failed : read_extensions(header, bytes, length, name, error);
}
