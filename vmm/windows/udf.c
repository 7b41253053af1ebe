/*
 * See udf.h. libudfread is careful about memory, but follows the pointers of a hostile image in circles: sequences of
 * descriptors and of allocation extents that lead to themselves. So each operation has so many blocks and no more. What
 * it does not like it also writes to standard error.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <udfread/blockinput.h>
#include <udfread/udfread.h>

#include "casement/bytes.h"
#include "medium_parts.h"
#include "udf.h"

#define SECTOR MEDIUM_SECTOR
#define FIRST_DESCRIPTOR 16U
#define DESCRIPTORS 64U
#define STRUCTURE_BLOCKS 1024U   /* a folder of Windows' media has about fifty */
#define FILE_SETS_MAX (64 * KiB) /* there is one, in a block of its own */

/* A logical volume descriptor (ECMA-167, 3/10.6). */
enum { TAG_LOGICAL_VOLUME = 6, AT_FILE_SETS = 248 };

struct udf {
    udfread_block_input input;
    const struct medium_source *image;
    udfread *reader;
    uint64_t blocks_left;
    bool opening, exhausted;
    int failed; /* what reading the image said first */
};

struct udf_file {
    struct udf *udf;
    UDFFILE *handle;
    uint64_t size;
};

static uint32_t image_blocks(udfread_block_input *input)
{
    const struct udf *udf = container_of(input, struct udf, input);

    return (uint32_t)MIN(udf->image->size / SECTOR, UINT32_MAX);
}

/*
 * Is it a logical volume descriptor whose file sets have no end? The library looks at every block that the descriptor
 * names, of an unknown partition without reading it. A length of 0 becomes 4 GiB there, and an extent that includes the
 * last block there can be has no end.
 */
static bool is_endless(const uint8_t *block)
{
    uint32_t length = get_le32(block + AT_FILE_SETS) & 0x3FFFFFFF, first = get_le32(block + AT_FILE_SETS + 4);
    uint8_t sum = 0;

    for (unsigned n = 0; n < 16; n++)
        sum = (uint8_t)(sum + (n == 4 ? 0 : block[n]));
    return get_le16(block) == TAG_LOGICAL_VOLUME && block[4] == sum &&
           (length == 0 || length > FILE_SETS_MAX || first > UINT32_MAX - FILE_SETS_MAX);
}

static int read_blocks(udfread_block_input *input, uint32_t block, void *to, uint32_t count, int flags)
{
    struct udf *udf = container_of(input, struct udf, input);
    uint32_t blocks = image_blocks(input);
    int failed;

    (void)flags;
    if (count > udf->blocks_left) {
        udf->exhausted = true;
        udf->blocks_left = 0;
        return -1;
    }
    udf->blocks_left -= count;
    if (block >= blocks || count > blocks - block)
        return -1;
    failed = udf->image->read(udf->image->opaque, to, (size_t)count * SECTOR, (uint64_t)block * SECTOR);
    if (failed < 0 && udf->failed == 0)
        udf->failed = failed;
    return failed < 0 || (udf->opening && is_endless(to)) ? -1 : (int)count;
}

/* In front of each use of the library. */
static void allow(struct udf *udf, uint64_t blocks)
{
    udf->blocks_left = blocks;
    udf->exhausted = false;
    udf->failed = 0;
}

/* Behind one that did not work. */
static int cannot_read(const struct udf *udf, const char *what, struct error *error)
{
    if (udf->failed < 0)
        return error_set(error, -udf->failed, "%s: cannot be read: %s; copy it to another disk", udf->image->name,
                         strerror(-udf->failed));
    return error_set(error, EILSEQ, "%s: its UDF file system is damaged at %s; " MEDIUM_AGAIN, udf->image->name, what);
}

bool udf_is_there(const struct medium_source *image)
{
    static const char names[][6] = {"CD001", "BEA01", "BOOT2", "CDW02", "TEA01", "NSR02", "NSR03"};
    uint8_t sector[SECTOR];

    for (uint64_t n = FIRST_DESCRIPTOR; n < FIRST_DESCRIPTOR + DESCRIPTORS; n++) {
        unsigned name = 0;

        if (image->size < (n + 1) * SECTOR || image->read(image->opaque, sector, SECTOR, n * SECTOR) < 0)
            return false;
        while (name < ARRAY_SIZE(names) && memcmp(sector + 1, names[name], 5) != 0)
            name++;
        if (name >= ARRAY_SIZE(names) - 2)
            return name < ARRAY_SIZE(names);
    }
    return false;
}

int udf_open(const struct medium_source *image, struct udf **result, struct error *error)
{
    struct udf *udf = calloc(1, sizeof *udf);
    int failed = 0;

    if (udf)
        udf->reader = udfread_init();
    if (!udf || !udf->reader) {
        free(udf);
        return error_set(error, ENOMEM, "%s: out of memory", image->name);
    }
    udf->input.read = read_blocks;
    udf->input.size = image_blocks;
    udf->image = image;
    udf->opening = true;
    allow(udf, STRUCTURE_BLOCKS);
    if (udfread_open_input(udf->reader, &udf->input) < 0 || udf->exhausted)
        failed = cannot_read(udf, "its beginning", error);
    udf->opening = false;
    if (failed < 0) {
        udf_close(udf);
        return failed;
    }
    *result = udf;
    return 0;
}

void udf_close(struct udf *udf)
{
    if (!udf)
        return;
    udfread_close(udf->reader);
    free(udf);
}

void udf_volume(const struct udf *udf, char *name, size_t size)
{
    const char *volume = udfread_get_volume_id(udf->reader);

    utf8_copy_line(name, size, volume ? volume : "", volume ? strlen(volume) : 0);
}

/* The name as it is written in the folder; NULL: there is none. */
static const char *name_in(UDFDIR *folder, const char *name, size_t length, bool want_folder)
{
    struct udfread_dirent entry;

    udfread_rewinddir(folder);
    while (udfread_readdir(folder, &entry))
        if ((entry.d_type == UDF_DT_DIR) == want_folder && strlen(entry.d_name) == length &&
            !strncasecmp(entry.d_name, name, length))
            return entry.d_name;
    return NULL;
}

/* Opens the file whose name is the path's last; the folder is closed. */
static int open_in(struct udf *udf, UDFDIR *folder, const char *path, UDFFILE **handle, struct error *error)
{
    while (folder) {
        size_t length = strcspn(path, "/");
        bool more = path[length];
        const char *name = name_in(folder, path, length, more);
        UDFDIR *next = more && name ? udfread_opendir_at(folder, name) : NULL;

        *handle = !more && name ? udfread_file_openat(folder, name) : NULL;
        udfread_closedir(folder);
        if (!name)
            return -ENOENT;
        if (*handle)
            return 0;
        folder = next;
        path += more ? length + 1 : 0;
    }
    return cannot_read(udf, path, error);
}

/* Its last block has to lie in the image; the others may lie anywhere, which reading them shows. */
static int check_end(struct udf *udf, UDFFILE *handle, const char *path, struct error *error)
{
    int64_t size = udfread_file_size(handle);

    if (size < 0)
        return cannot_read(udf, path, error);
    if ((uint64_t)size > udf->image->size ||
        (size > 0 && udfread_file_lba(handle, (uint32_t)((size - 1) / SECTOR)) >= image_blocks(&udf->input)))
        return error_set(error, EILSEQ,
                         "%s: ends with byte %" PRIu64 ", but %s (%" PRId64 " bytes) lies behind that: "
                         "cut off or damaged; " MEDIUM_AGAIN,
                         udf->image->name, udf->image->size, path, size);
    return 0;
}

int udf_find(struct udf *udf, const char *path, struct udf_file **result, struct error *error)
{
    UDFFILE *handle = NULL;
    struct udf_file *file;
    int failed;

    allow(udf, STRUCTURE_BLOCKS);
    failed = open_in(udf, udfread_opendir(udf->reader, "/"), path, &handle, error);
    if (failed == 0 && udf->exhausted)
        failed = cannot_read(udf, path, error);
    if (failed == 0)
        failed = check_end(udf, handle, path, error);
    file = failed == 0 ? calloc(1, sizeof *file) : NULL;
    if (!file) {
        udfread_file_close(handle);
        return failed < 0 ? failed : error_set(error, ENOMEM, "%s: out of memory", udf->image->name);
    }
    *file = (struct udf_file){udf, handle, (uint64_t)udfread_file_size(handle)};
    *result = file;
    return 0;
}

void udf_file_close(struct udf_file *file)
{
    if (!file)
        return;
    udfread_file_close(file->handle);
    free(file);
}

uint64_t udf_file_size(const struct udf_file *file)
{
    return file->size;
}

int udf_read(void *opaque, void *to, size_t length, uint64_t offset)
{
    struct udf_file *file = opaque;
    uint8_t *out = to;

    allow(file->udf, length / SECTOR + 2);
    if (udfread_file_seek(file->handle, (int64_t)offset, UDF_SEEK_SET) < 0)
        return -EILSEQ;
    while (length) {
        ssize_t count = udfread_file_read(file->handle, out, length);

        if (count <= 0 || file->udf->exhausted || file->udf->failed < 0)
            return file->udf->failed < 0 ? file->udf->failed : -EILSEQ;
        out += count;
        length -= (size_t)count;
    }
    return 0;
}
