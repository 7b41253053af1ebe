/*
 * Finding, listing and reading files in an ISO 9660 file system (ECMA-119), with Joliet names where it has them: what
 * Windows sees of a disc. Rock Ridge and interleaved files are not read.
 *
 * Nothing is kept of the file system but where its root is, so there is nothing to close. Any thread.
 */
#ifndef CASEMENT_WINDOWS_ISO9660_H
#define CASEMENT_WINDOWS_ISO9660_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"
#include "medium_parts.h"

#define ISO9660_EXTENTS 32 /* of a file, each of almost 4 GiB */
/* A name has at most 222 bytes: 111 characters of two, each of which is at most three of UTF-8. */
#define ISO9660_NAME 336

struct iso9660_file {
    const struct medium_source *image;
    uint64_t size;
    unsigned extent_count;
    struct iso9660_extent {
        uint64_t offset; /* in the image */
        uint32_t length; /* bytes */
    } extents[ISO9660_EXTENTS];
};

struct iso9660 {
    bool joliet;
    char volume[128]; /* its name, UTF-8 */
    struct iso9660_file root;
};

/* The image has to live as long as what is found in it. -EILSEQ with a text: no such file system, or damaged. */
int iso9660_open(const struct medium_source *image, struct iso9660 *iso, struct error *error);
/*
 * Looks for a file by a path of ASCII characters in any case: "sources/install.wim". 0; -ENOENT without a text: there
 * is none; -EILSEQ with a text: damaged, or it goes on behind the image's end; -EFBIG, or what reading says.
 */
int iso9660_find(const struct iso9660 *iso, const char *path, struct iso9660_file *file, struct error *error);
/* The same for a folder; "": the root. */
int iso9660_find_folder(const struct iso9660 *iso, const char *path, struct iso9660_file *folder, struct error *error);
/*
 * A list of a folder: {iso, folder} at its beginning, each iso9660_next() gives one more entry. 1: an entry; 0: there
 * is none any more; or -errno with a text, as above. Folders may be in each other: who follows them bounds that.
 */
struct iso9660_list {
    const struct iso9660 *iso;
    struct iso9660_file folder;
    uint64_t offset;
    uint8_t sector[MEDIUM_SECTOR];
};
struct iso9660_entry {
    char name[ISO9660_NAME]; /* as Windows shows it: without version; UTF-8 when it is Joliet's, else whatever it is */
    bool is_folder;
    struct iso9660_file file;
};
int iso9660_next(struct iso9660_list *list, struct iso9660_entry *entry, struct error *error);
/* The read() of a struct medium_source; opaque is a struct iso9660_file, and the bytes lie in it. */
int iso9660_read(void *opaque, void *to, size_t length, uint64_t offset);

#endif
