/* See fake_disc.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_disc.h"

#define SECTOR FAKE_DISC_SECTOR
#define ENTRIES 10100U /* an image has fewer */

/* The reader: ECMA-119, 8 and 9, and what Joliet says about names. */

static unsigned put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3F));
        to[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (char)(0x80 | (c >> 6 & 0x3F));
    to[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

static void read_name(const uint8_t *record, char *to, size_t size)
{
    size_t at = 0;

    for (unsigned n = 0; n + 1 < record[32]; n += 2) {
        uint32_t c = get_be16(record + 33 + n);

        if (c == ';')
            break;
        if (c >= 0xD800 && c < 0xDC00 && n + 3 < record[32]) {
            n += 2;
            c = 0x10000 + ((c - 0xD800) << 10) + (get_be16(record + 33 + n) - 0xDC00U);
        }
        assert_true(at + 5 < size);
        at += put_utf8(to + at, c);
    }
    to[at] = 0;
}

static void read_folder(struct fake_disc *image, const uint8_t *record, const char *path)
{
    uint64_t at = (uint64_t)get_le32(record + 2) * SECTOR, length = get_le32(record + 10);

    assert_true(at + length <= image->size);
    for (uint64_t done = 0; done < length;) {
        const uint8_t *child = image->bytes + at + done;
        struct fake_disc_entry *entry = &image->entries[image->count];
        char name[512];

        if (child[0] == 0) {
            done = (done / SECTOR + 1) * SECTOR;
            continue;
        }
        done += child[0];
        if (child[32] == 1 && child[33] < 2)
            continue;
        assert_true(++image->count < ENTRIES);
        read_name(child, name, sizeof name);
        snprintf(entry->path, sizeof entry->path, "%s%s%s", path, *path ? "/" : "", name);
        entry->folder = child[25] & 2;
        assert_false(child[25] & 0x80); /* one extent */
        assert_int_equal(get_le32(child + 2), get_be32(child + 6));
        assert_int_equal(get_le32(child + 10), get_be32(child + 14));
        entry->size = get_le32(child + 10);
        entry->bytes = image->bytes + (uint64_t)get_le32(child + 2) * SECTOR;
        assert_true((uint64_t)get_le32(child + 2) * SECTOR + entry->size <= image->size);
        if (entry->folder)
            read_folder(image, child, entry->path);
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct fake_disc_entry *)a)->path, ((const struct fake_disc_entry *)b)->path);
}

void fake_disc_read(struct fake_disc *image, int fd)
{
    static const uint8_t ucs2_level_3[] = {0x25, 0x2F, 0x45};
    const uint8_t *descriptor;
    struct stat info;

    assert_int_equal(fstat(fd, &info), 0);
    *image = (struct fake_disc){.size = (size_t)info.st_size};
    image->bytes = malloc(image->size);
    image->entries = calloc(ENTRIES, sizeof *image->entries);
    assert_true(image->bytes && image->entries && image->size > 20 * SECTOR);
    assert_int_equal(pread(fd, image->bytes, image->size, 0), image->size);
    descriptor = image->bytes + 16 * SECTOR;
    assert_memory_equal(descriptor, "\1CD001\1", 7);
    assert_memory_equal(descriptor + 40, "CASEMENT ", 9);
    assert_int_equal(get_le32(descriptor + 80) * (uint64_t)SECTOR, image->size);
    for (; descriptor[0] != 2; descriptor += SECTOR)
        assert_int_not_equal(descriptor[0], 255);
    assert_memory_equal(descriptor + 88, ucs2_level_3, sizeof ucs2_level_3);
    assert_memory_equal(descriptor + 40, "\0C\0A\0S\0E\0M\0E\0N\0T\0 ", 18);
    read_folder(image, descriptor + 156, "");
    qsort(image->entries, image->count, sizeof *image->entries, by_path);
}

void fake_disc_free(struct fake_disc *image)
{
    free(image->bytes);
    free(image->entries);
}

const struct fake_disc_entry *fake_disc_find(const struct fake_disc *image, const char *path)
{
    struct fake_disc_entry wanted = {.folder = false};

    snprintf(wanted.path, sizeof wanted.path, "%s", path);
    return bsearch(&wanted, image->entries, image->count, sizeof *image->entries, by_path);
}

void fake_disc_has_file(const struct fake_disc *image, const char *path, const void *bytes, size_t size)
{
    const struct fake_disc_entry *entry = fake_disc_find(image, path);

    if (!entry) {
        fail_msg("no %s", path);
        return;
    }
    assert_false(entry->folder);
    assert_int_equal(entry->size, size);
    assert_memory_equal(entry->bytes, bytes, size);
}

void fake_disc_has_text(const struct fake_disc *image, const char *path, const char *text)
{
    fake_disc_has_file(image, path, text, strlen(text));
}

void fake_disc_has_folder(const struct fake_disc *image, const char *path)
{
    const struct fake_disc_entry *entry = fake_disc_find(image, path);

    if (!entry || !entry->folder)
        fail_msg("no folder %s", path);
}

/* Making discs. */

struct disc *fake_disc_new(void)
{
    struct error error = {""};
    struct disc *disc = disc_create(&error);

    if (!disc)
        fail_msg("%s", error.text);
    return disc;
}

void fake_disc_add(struct disc *disc, const char *path, const char *text)
{
    struct error error = {""};
    int failed = disc_add(disc, path, text, strlen(text), &error);

    if (failed)
        fail_msg("%s: %s", path, error.text);
}

int fake_disc_finish(struct disc *disc)
{
    struct error error = {""};
    int fd = disc_finish(disc, &error);

    if (fd < 0)
        fail_msg("%s", error.text);
    return fd;
}

void fake_disc_repeat(char to[FAKE_DISC_PATH], unsigned count, const char *part, const char *end)
{
    size_t at = 0;

    for (; count; count--)
        at += (size_t)snprintf(to + at, FAKE_DISC_PATH - at, "%s", part);
    snprintf(to + at, FAKE_DISC_PATH - at, "%s", end);
}

void fake_disc_xorriso(const char *arguments)
{
    char command[2000];

    snprintf(command, sizeof command, "xorriso -no_rc -report_about SORRY %s >/dev/null", arguments);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}
