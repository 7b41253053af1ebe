/* See iso9660.h. The numbers of sections are ECMA-119's. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "iso9660.h"
#include "udf.h"

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

/* Where the list is, in the image; for texts. */
static uint64_t position(const struct iso9660_list *list)
{
    return list->folder.extents[0].offset + list->offset;
}

/*
 * NULL: behind the last, or *failed is -errno with a text. A record lies in one sector; zeroes fill the rest (6.8.1).
 * It is valid until the next one.
 */
static const uint8_t *next_record(struct iso9660_list *list, int *failed, struct error *error)
{
    const struct medium_source *image = list->folder.image;

    *failed = 0;
    if (list->folder.size > FOLDER_MAX)
        *failed = error_set(error, EFBIG, "%s: a folder of %" PRIu64 " bytes, which is too many; " MEDIUM_OTHER,
                            image->name, list->folder.size);
    while (*failed == 0 && list->offset < list->folder.size) {
        size_t within = list->offset % SECTOR, left = MIN(SECTOR - within, list->folder.size - list->offset);
        const uint8_t *at = list->sector + within;

        if (within == 0)
            *failed = medium_source_read(image, list->sector, left, position(list), error);
        if (*failed < 0)
            break;
        if (at[0] == 0) {
            list->offset += left;
            continue;
        }
        if (at[0] > left || at[0] < RECORD_MIN + 1 || at[AT_NAME_LENGTH] > at[0] - RECORD_MIN) {
            *failed = damaged(image, "an entry of a folder", position(list), error);
            break;
        }
        list->offset += at[0];
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

/* The folder itself and the one that it is in (6.8.2.2), and what belongs to another file (9.1.6). */
static bool is_nothing(const uint8_t *record)
{
    return (record[AT_FLAGS] & FLAG_ASSOCIATED) || (record[AT_NAME_LENGTH] == 1 && record[AT_NAME] <= 1);
}

static bool is_folder(const uint8_t *record)
{
    return record[AT_FLAGS] & FLAG_FOLDER;
}

/* The file of that record, and where it goes on of those that follow: they have the same name (6.5.1). */
static int take_file(struct iso9660_list *list, const uint8_t *record, struct iso9660_file *file, struct error *error)
{
    uint8_t name[UINT8_MAX + 1];
    int failed;

    memcpy(name, record + AT_NAME_LENGTH, (size_t)record[AT_NAME_LENGTH] + 1);
    *file = (struct iso9660_file){.image = list->folder.image};
    for (;;) {
        failed = add_extent(file, record, position(list), error);
        if (failed < 0 || !(record[AT_FLAGS] & FLAG_GOES_ON))
            return failed;
        if (is_folder(record))
            return damaged(file->image, "a folder in pieces", position(list), error);
        record = next_record(list, &failed, error);
        if (failed < 0)
            return failed;
        if (!record || memcmp(name, record + AT_NAME_LENGTH, (size_t)name[0] + 1) != 0)
            return damaged(file->image, "the end of a large file is missing", position(list), error);
    }
}

/* One step of a path. -ENOENT without a text. */
static int find_in(struct iso9660_list *list, const char *name, size_t length, bool want_folder,
                   struct iso9660_file *file, struct error *error)
{
    const uint8_t *record;
    int failed;

    while ((record = next_record(list, &failed, error)))
        if (!is_nothing(record) && is_folder(record) == want_folder && has_name(list->iso, record, name, length))
            return take_file(list, record, file, error);
    return failed < 0 ? failed : -ENOENT;
}

static int find(const struct iso9660 *iso, const char *path, bool want_folder, struct iso9660_file *file,
                struct error *error)
{
    int failed;

    *file = iso->root;
    do {
        struct iso9660_list list = {.iso = iso, .folder = *file};
        size_t length = strcspn(path, "/");

        failed = find_in(&list, path, length, path[length] || want_folder, file, error);
        path += length + (path[length] == '/');
    } while (failed == 0 && *path);
    return failed;
}

int iso9660_find(const struct iso9660 *iso, const char *path, struct iso9660_file *file, struct error *error)
{
    return find(iso, path, false, file, error);
}

int iso9660_find_folder(const struct iso9660 *iso, const char *path, struct iso9660_file *folder, struct error *error)
{
    if (*path)
        return find(iso, path, true, folder, error);
    *folder = iso->root;
    return 0;
}

/* What is there of UTF-16 as UTF-8; half a pair is a question mark. How many bytes: at most three for two. */
static size_t decode_joliet(const uint8_t *from, size_t length, char *to)
{
    size_t used = 0;

    for (size_t at = 0; at + 1 < length;) {
        uint32_t character = '?';
        unsigned taken = utf16_take(from + at, length - at, true, &character);

        used += utf8_put(to + used, taken ? character : '?');
        at += taken ? taken : 2;
    }
    return used;
}

/* Windows shows neither the version nor a dot behind which there is nothing. */
static void take_entry_name(const struct iso9660 *iso, const uint8_t *record, char name[ISO9660_NAME])
{
    size_t length = record[AT_NAME_LENGTH];
    const char *version;

    if (iso->joliet)
        length = decode_joliet(record + AT_NAME, length, name);
    else
        memcpy(name, record + AT_NAME, length);
    version = memrchr(name, ';', length);
    if (version)
        length = (size_t)(version - name);
    if (length && name[length - 1] == '.')
        length--;
    name[length] = 0;
}

int iso9660_next(struct iso9660_list *list, struct iso9660_entry *entry, struct error *error)
{
    const uint8_t *record;
    int failed;

    do
        record = next_record(list, &failed, error);
    while (record && is_nothing(record));
    if (!record)
        return failed;
    take_entry_name(list->iso, record, entry->name);
    entry->is_folder = is_folder(record);
    failed = take_file(list, record, &entry->file, error);
    return failed < 0 ? failed : 1;
}

/* The name of a volume is filled up with blanks. */
static void take_volume_name(struct iso9660 *iso, const uint8_t *descriptor)
{
    const char *name = (const char *)descriptor + AT_VOLUME;
    char text[VOLUME_LENGTH * 3 / 2];
    size_t length = VOLUME_LENGTH;

    if (iso->joliet) {
        length = decode_joliet(descriptor + AT_VOLUME, VOLUME_LENGTH, text);
        name = text;
    }
    utf8_copy_line(iso->volume, sizeof iso->volume, name, length);
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
    take_volume_name(iso, descriptor);
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
    if (failed == 0 && !iso->root.image && udf_is_there(image))
        return error_set(error, ENOTSUP,
                         "%s: has a UDF file system only, and files are taken from ISO 9660 ones; copy what is in it "
                         "to a folder and name that",
                         image->name);
    if (failed == 0 && !iso->root.image)
        return error_set(error, EILSEQ,
                         "%s: is no medium that is known, it has neither a UDF nor an ISO 9660 file "
                         "system; " MEDIUM_OTHER,
                         image->name);
    return failed;
}
