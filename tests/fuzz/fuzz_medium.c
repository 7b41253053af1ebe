/*
 * Hostile media: the input is a WIM, or the description in one, or an ISO 9660 image, as its first byte says. What is
 * found lies in the image, and what is refused is so with a reason.
 *
 * Of an image each sector has 256 bytes of the input, from the first volume descriptor on; the rest is zeroes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../vmm/windows/iso9660.h"
#include "../../vmm/windows/medium.h"
#include "casement/bytes.h"

#define HEADER 208U
#define SECTOR 2048U
#define PIECE 256U
#define FIRST 16U

struct bytes {
    const uint8_t *at;
    size_t length;
};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_medium: %s\n", what);
        abort();
    }
}

static int read_bytes(void *opaque, void *to, size_t length, uint64_t offset)
{
    const struct bytes *bytes = opaque;

    must(offset <= bytes->length && length <= bytes->length - offset, "a read outside of the WIM");
    memcpy(to, bytes->at + offset, length);
    return 0;
}

static void use_wim(const uint8_t *data, size_t size)
{
    static struct medium medium;
    struct bytes bytes = {data, size};
    const struct medium_source source = {read_bytes, &bytes, size, "input"};
    struct error error = {""};

    if (medium_read_wim(&source, &medium, &error) < 0) {
        must(error.text[0], "refused without a word");
        return;
    }
    must(medium.image_count > 0 && medium.image_count <= MEDIUM_IMAGES, "a number of images");
    for (unsigned n = 0; n < medium.image_count; n++)
        must(medium.images[n].index && memchr(medium.images[n].name, 0, sizeof medium.images[n].name), "an image");
}

/* A good header in front of the input. */
static void use_description(const uint8_t *data, size_t size, bool esd)
{
    uint8_t *wim = calloc(1, HEADER + size);

    must(wim, "memory");
    memcpy(wim, "MSWIM\0\0", 8);
    put_le32(wim + 0x08, HEADER);
    put_le32(wim + 0x0C, esd ? 0xE00 : 0x10D00);
    put_le64(wim + 0x48, size);
    put_le64(wim + 0x50, HEADER);
    put_le64(wim + 0x58, size);
    if (size)
        memcpy(wim + HEADER, data, size);
    use_wim(wim, HEADER + size);
    free(wim);
}

static uint64_t image_size(const struct bytes *bytes)
{
    return (FIRST + (bytes->length + PIECE - 1) / PIECE) * SECTOR;
}

static int read_image(void *opaque, void *to, size_t length, uint64_t offset)
{
    const struct bytes *bytes = opaque;

    must(offset <= image_size(bytes) && length <= image_size(bytes) - offset, "a read outside of the image");
    for (size_t n = 0; n < length; n++) {
        uint64_t sector = (offset + n) / SECTOR, within = (offset + n) % SECTOR;
        uint64_t at = sector < FIRST || within >= PIECE ? UINT64_MAX : (sector - FIRST) * PIECE + within;

        ((uint8_t *)to)[n] = at < bytes->length ? bytes->at[at] : 0;
    }
    return 0;
}

/* All that is in a folder, and in the folders there. */
static void use_folder(const struct iso9660 *iso, const struct iso9660_file *folder, unsigned depth, unsigned *left)
{
    struct iso9660_list list = {.iso = iso, .folder = *folder};
    struct iso9660_entry entry;
    struct error error = {""};
    int result = 0;

    for (; *left && (result = iso9660_next(&list, &entry, &error)) == 1; --*left) {
        must(memchr(entry.name, 0, sizeof entry.name), "a name of a file");
        for (unsigned n = 0; n < entry.file.extent_count; n++)
            must(entry.file.extents[n].offset + entry.file.extents[n].length <= iso->root.image->size, "an extent");
        if (entry.is_folder && depth)
            use_folder(iso, &entry.file, depth - 1, left);
    }
    must(result >= 0 || error.text[0], "refused without a word");
}

static void use_iso9660(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"sources/install.wim", "a", "a/b"};
    struct bytes bytes = {data, size};
    const struct medium_source image = {read_image, &bytes, image_size(&bytes), "input"};
    struct error error = {""};
    struct iso9660 iso;
    unsigned left = 1000;

    if (iso9660_open(&image, &iso, &error) < 0) {
        must(error.text[0], "refused without a word");
        return;
    }
    must(memchr(iso.volume, 0, sizeof iso.volume), "a name");
    use_folder(&iso, &iso.root, 4, &left);
    for (size_t n = 0; n < ARRAY_SIZE(paths); n++) {
        struct iso9660_file file;
        uint8_t end[64];

        if (iso9660_find(&iso, paths[n], &file, &error) == 0 && file.size)
            must(iso9660_read(&file, end, MIN(file.size, sizeof end), file.size - MIN(file.size, sizeof end)) == 0,
                 "what was found is not there");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 4 == 0)
        use_wim(data + 1, size - 1);
    else if (data[0] % 4 == 1)
        use_iso9660(data + 1, size - 1);
    else
        use_description(data + 1, size - 1, data[0] % 4 == 3);
    return 0;
}
