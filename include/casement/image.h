/*
 * Disk images that no machine has open: what `casement image` does with them. Everything here blocks, locks the image
 * as a machine would (-EBUSY), and returns 0 or -errno with a text that begins with the image's name.
 */
#ifndef CASEMENT_IMAGE_H
#define CASEMENT_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/block.h"
#include "casement/error.h"

/* struct block_terms of a tool whose user gives the format with one option and what the image lies on with another. */
/* NOLINTBEGIN(bugprone-macro-parentheses): string literals, which the compiler joins */
#define IMAGE_TERMS(format_option, backing_option)                                                             \
    {                                                                                                          \
        .prefix = "", .qcow2 = format_option " qcow2", .raw = format_option " raw", .backing = backing_option, \
        .absent = "name a file that is there", .read_only = "make it writable",                                \
        .in_use = "a machine or another command; wait for its end, or stop it",                                \
        .engine = "raise the limit of locked memory (ulimit -l)"                                               \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

struct image_options {
    const char *path; /* must not exist */
    enum block_format format;
    uint64_t size; /* bytes, a multiple of 512 */
    /* The rest is of qcow2 only. */
    unsigned cluster_bits;  /* 12 to 21; 0: 16, which is 64 KiB */
    unsigned refcount_bits; /* 1, 2, 4, 8, 16, 32 or 64; 0: 16 */
    bool lazy_refcounts;
    const char *backing; /* the name that goes into the header; NULL: none */
    enum block_format backing_format;
};
/* Makes an image that reads as zeroes, or as its backing image. Leaves no file behind when it fails. */
int image_create(const struct image_options *options, struct error *error);
/*
 * The same, for whoever may be cut off: the image is made as PATH.part, and has its name when it is whole and on the
 * disk, so that nobody takes half of one for a disk. A PATH.part that is left over is removed.
 */
int image_create_whole(const struct image_options *options, struct error *error);

/* Where a name alone says the format: .qcow2 is one, everything else raw. */
bool image_name_is_qcow2(const char *path);

struct image_info {
    uint64_t size, file_bytes,
        allocated_bytes; /* of the disk; of the file, and of those what has a place on the host */
    /* qcow2 only. */
    unsigned version, cluster_bits, refcount_bits, snapshots;
    bool lazy_refcounts, dirty, corrupt;
    char backing[1024], backing_format[16]; /* as the header has them; empty: none */
};
/* Locks for reading. given: the user has said the format, so that a raw image may look like qcow2; as below. */
int image_info(const char *path, enum block_format format, bool given, struct image_info *info, struct error *error);

struct image_findings {
    uint64_t errors, leaks;              /* wrong references and counts; clusters that nothing refers to */
    uint64_t mapped, compressed, zeroed; /* clusters of the disk */
    uint64_t file_clusters;
    char first[160]; /* the first error */
};
/*
 * Looks at all tables of a qcow2 image. With repair it takes out what is wrong in them, builds the refcounts anew and
 * clears the marks "not closed" and "damaged"; findings says what was found before.
 */
int image_check(const char *path, bool repair, struct image_findings *findings, struct error *error);
/* Makes the disk larger, never smaller (-EINVAL). */
int image_grow(const char *path, enum block_format format, bool given, uint64_t size, struct error *error);
/* Changes what the header of a qcow2 image names, nothing else; NULL: no backing image. */
int image_set_backing(const char *path, const char *backing, enum block_format format, struct error *error);

#endif
