/* See iso9660.h. The numbers of sections are ECMA-119's. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "iso9660.h"
#include "medium_parts.h"

#define SECTOR MEDIUM_SECTOR
#define FIRST_DESCRIPTOR 16U
#define DESCRIPTORS 64U
#define FOLDER_MAX (8 * MiB)
#define RECORD_MIN 33U

enum { PRIMARY = 1, SUPPLEMENTARY = 2, TERMINATOR = 255 };                                           /* 8.1.1 */
enum { AT_VOLUME = 40, VOLUME_LENGTH = 32, AT_ESCAPES = 88, AT_BLOCK_SIZE = 128, AT_ROOT = 156 };    /* 8.4, 8.5 */
enum { AT_ATTRIBUTES = 1, AT_EXTENT = 2, AT_LENGTH = 10, AT_FLAGS = 25, AT_UNIT = 26, AT_GAP = 27 }; /* 9.1 */
enum { AT_NAME_LENGTH = 32, AT_NAME = 33 };
enum { FLAG_FOLDER = 0x02, FLAG_ASSOCIATED = 0x04, FLAG_GOES_ON = 0x80 };

/* The place in a folder where its next record is. */
struct cursor {
    const struct iso9660_file *folder;
    uint64_t offset;
    uint8_t sector[SECTOR];
};

static int damaged(const struct medium_source *image, const char *what, uint64_t offset, struct error *error)
{
    return error_set(error, EILSEQ, "%s: its ISO 9660 file system is damaged: %s at byte %" PRIu64 "; " MEDIUM_AGAIN,
                     image->name, what, offset);
}

/* Adds the record's extent, which has to lie in the image. `at` is for texts. */
static int add_extent(struct iso9660_file *file, const uint8_t *record, uint64_t at, struct error *error)
{
    uint64_t offset = ((uint64_t)get_le32(record + AT_EXTENT) + record[AT_ATTRIBUTES]) * SECTOR;
    uint32_t length = get_le32(record + AT_LENGTH);

    if (record[AT_UNIT] || record[AT_GAP])
        return damaged(file->image, "an interleaved file", at, error);
    if (offset > file->image->size || length > file->image->size - offset)
        return error_set(error, EILSEQ,
                         "%s: ends with byte %" PRIu64 ", but a file in it with byte %" PRIu64
                         ": cut off or damaged; " MEDIUM_AGAIN,
                         file->image->name, file->image->size, offset + length);
    if (file->extent_count == ISO9660_EXTENTS)
        return error_set(error, EFBIG, "%s: a file in more than %d pieces; " MEDIUM_OTHER, file->image->name,
                         ISO9660_EXTENTS);
    file->extents[file->extent_count++] = (struct iso9660_extent){offset, length};
    file->size += length;
    return 0;
}

int iso9660_read(void *opaque, void *to, size_t length, uint64_t offset)
{
    const struct iso9660_file *file = opaque;
    uint8_t *out = to;

    for (unsigned n = 0; n < file->extent_count && length; n++) {
        const struct iso9660_extent *extent = &file->extents[n];
        size_t now;
        int failed;

        if (offset >= extent->length) {
            offset -= extent->length;
            continue;
        }
        now = MIN(length, extent->length - offset);
        failed = file->image->read(file->image->opaque, out, now, extent->offset + offset);
        if (failed < 0)
            return failed;
        out += now;
        length -= now;
        offset = 0;
    }
    return length ? -EILSEQ : 0;
}

/*
 * NULL: behind the last, or *failed is -errno with a text. A record lies in one sector; zeroes fill the rest (6.8.1).
 * It is valid until the next one.
 */
static const uint8_t *next_record(struct cursor *cursor, int *failed, struct error *error)
{
    const struct iso9660_file *folder = cursor->folder;
    uint64_t base = folder->extents[0].offset;

    *failed = 0;
    while (cursor->offset < folder->size) {
        size_t within = cursor->offset % SECTOR, left = MIN(SECTOR - within, folder->size - cursor->offset);
        const uint8_t *at = cursor->sector + within;

        if (within == 0) {
            *failed = medium_source_read(folder->image, cursor->sector, left, base + cursor->offset, error);
            if (*failed < 0)
                return NULL;
        }
        if (at[0] == 0) {
            cursor->offset += left;
            continue;
        }
        if (at[0] > left || at[0] < RECORD_MIN + 1 || at[AT_NAME_LENGTH] > at[0] - RECORD_MIN) {
            *failed = damaged(folder->image, "an entry of a folder", base + cursor->offset, error);
            return NULL;
        }
        cursor->offset += at[0];
        return at;
    }
    return NULL;
}

/* Without the version that ISO 9660 puts behind a name: INSTALL.WIM;1. */
static bool has_name(const struct iso9660 *iso, const uint8_t *record, const char *name, size_t length)
{
    unsigned width = iso->joliet ? 2 : 1, count = record[AT_NAME_LENGTH] / width;

    for (unsigned n = 0; n < count; n++) {
        const uint8_t *at = record + AT_NAME + (size_t)n * width;
        unsigned character = iso->joliet ? get_be16(at) : at[0];

        if (n == length)
            return character == ';';
        if (character > 0x7F || tolower((int)character) != tolower((unsigned char)name[n]))
            return false;
    }
    return count == length;
}

/* The rest of a file whose record says that it goes on: the records that follow have the same name (6.5.1). */
static int add_more_extents(const struct iso9660 *iso, struct cursor *cursor, const char *name, size_t length,
                            struct iso9660_file *file, struct error *error)
{
    uint64_t base = cursor->folder->extents[0].offset;
    const uint8_t *record;
    int failed;

    do {
        record = next_record(cursor, &failed, error);
        if (failed == 0 && (!record || !has_name(iso, record, name, length)))
            failed = damaged(file->image, "the end of a large file is missing", base + cursor->offset, error);
        if (failed == 0)
            failed = add_extent(file, record, base + cursor->offset, error);
    } while (failed == 0 && (record[AT_FLAGS] & FLAG_GOES_ON));
    return failed;
}

/* One step of a path. -ENOENT without a text. */
static int find_in(const struct iso9660 *iso, const struct iso9660_file *folder, const char *name, size_t length,
                   bool want_folder, struct iso9660_file *file, struct error *error)
{
    struct cursor cursor = {.folder = folder};
    const uint8_t *record;
    int failed;

    if (folder->size > FOLDER_MAX)
        return error_set(error, EFBIG, "%s: a folder of %" PRIu64 " bytes, which is too many; " MEDIUM_OTHER,
                         folder->image->name, folder->size);
    while ((record = next_record(&cursor, &failed, error))) {
        if ((record[AT_FLAGS] & FLAG_ASSOCIATED) || !(record[AT_FLAGS] & FLAG_FOLDER) == want_folder ||
            !has_name(iso, record, name, length))
            continue;
        *file = (struct iso9660_file){.image = folder->image};
        failed = add_extent(file, record, folder->extents[0].offset + cursor.offset, error);
        return failed == 0 && (record[AT_FLAGS] & FLAG_GOES_ON)
                   ? add_more_extents(iso, &cursor, name, length, file, error)
                   : failed;
    }
    return failed < 0 ? failed : -ENOENT;
}

int iso9660_find(const struct iso9660 *iso, const char *path, struct iso9660_file *file, struct error *error)
{
    struct iso9660_file folder = iso->root;

    for (;;) {
        size_t length = strcspn(path, "/");
        bool more = path[length];
        int failed = find_in(iso, &folder, path, length, more, file, error);

        if (failed < 0 || !more)
            return failed;
        folder = *file;
        folder.extent_count = 1;
        folder.size = folder.extents[0].length;
        path += length + 1;
    }
}

/* The name of a volume is filled up with blanks. */
static void take_name(struct iso9660 *iso, const uint8_t *descriptor)
{
    char text[VOLUME_LENGTH * 2];
    size_t used = 0;

    if (!iso->joliet) {
        utf8_copy_line(iso->volume, sizeof iso->volume, (const char *)descriptor + AT_VOLUME, VOLUME_LENGTH);
        return;
    }
    for (size_t at = 0; at < VOLUME_LENGTH;) {
        uint32_t character = '?';
        unsigned taken = utf16_take(descriptor + AT_VOLUME + at, VOLUME_LENGTH - at, true, &character);

        used += utf8_put(text + used, taken ? character : '?');
        at += taken ? taken : 2;
    }
    utf8_copy_line(iso->volume, sizeof iso->volume, text, used);
}

/* Joliet: UCS-2 of level 1, 2 or 3 ("Joliet Specification", Microsoft 1995). */
static bool is_joliet(const uint8_t *descriptor)
{
    const uint8_t *escapes = descriptor + AT_ESCAPES;

    return descriptor[0] == SUPPLEMENTARY && escapes[0] == '%' && escapes[1] == '/' && escapes[2] &&
           strchr("@CE", escapes[2]);
}

static int take_descriptor(struct iso9660 *iso, const struct medium_source *image, const uint8_t *descriptor,
                           uint64_t at, struct error *error)
{
    if (get_le16(descriptor + AT_BLOCK_SIZE) != SECTOR)
        return damaged(image, "a volume descriptor whose blocks are not of 2048 bytes", at, error);
    iso->joliet = descriptor[0] == SUPPLEMENTARY;
    iso->root = (struct iso9660_file){.image = image};
    take_name(iso, descriptor);
    return add_extent(&iso->root, descriptor + AT_ROOT, at, error);
}

int iso9660_open(const struct medium_source *image, struct iso9660 *iso, struct error *error)
{
    uint8_t descriptor[SECTOR];
    int failed = 0;

    *iso = (struct iso9660){0};
    for (unsigned n = 0; n < DESCRIPTORS && failed == 0; n++) {
        uint64_t at = (uint64_t)(FIRST_DESCRIPTOR + n) * SECTOR;

        if (image->size < at + SECTOR)
            break;
        failed = medium_source_read(image, descriptor, SECTOR, at, error);
        if (failed < 0 || memcmp(descriptor + 1, "CD001", 5) != 0 || descriptor[0] == TERMINATOR)
            break;
        if (is_joliet(descriptor) || (descriptor[0] == PRIMARY && !iso->root.image))
            failed = take_descriptor(iso, image, descriptor, at, error);
    }
    if (failed == 0 && !iso->root.image)
        return error_set(error, EILSEQ,
                         "%s: is no medium that is known, it has neither a UDF nor an ISO 9660 file "
                         "system; " MEDIUM_OTHER,
                         image->name);
    return failed;
}
