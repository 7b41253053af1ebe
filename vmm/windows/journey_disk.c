/*
 * Is a disk in use, and which one is it? What is not understood is data that somebody may want: empty is only a disk
 * whose first MiB is zeroes, or has a GUID partition table without partitions and nothing else, and whose end has no
 * table with partitions either (UEFI 2.10, 5).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <zlib.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "journey.h"

#define SECTOR 512U
#define HEADER_BYTES 92U
#define ENTRY_BYTES 128U
#define ENTRIES_MAX (1 * MiB) /* of the array of partitions; 16 KiB is what every tool makes */
#define MBR_TABLE 446U
#define MBR_ENTRY 16U
#define TYPE_PROTECTIVE 0xEE

enum verdict { FREE, USED };

static bool all_zeroes(const uint8_t *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* A master boot record with nothing in it but the entry that protects a GPT. */
static bool is_protective(const uint8_t mbr[SECTOR])
{
    const uint8_t *entry = mbr + MBR_TABLE;

    return all_zeroes(mbr, MBR_TABLE - 6) && entry[4] == TYPE_PROTECTIVE && get_le32(entry + 8) == 1 &&
           all_zeroes(entry + MBR_ENTRY, (size_t)3 * MBR_ENTRY) && get_le16(mbr + 510) == 0xAA55;
}

/* Whether the header of a GPT that stands at a sector is a right one. */
static bool header_valid(const uint8_t *header, unsigned sector, uint64_t at)
{
    uint32_t length = get_le32(header + 12);
    uint8_t copy[SECTOR];

    if (memcmp(header, "EFI PART", 8) != 0 || length < HEADER_BYTES || length > sizeof copy)
        return false;
    memcpy(copy, header, length);
    put_le32(copy + 16, 0);
    return crc32(0, copy, length) == get_le32(header + 16) && get_le64(header + 24) == at / sector;
}

/*
 * FREE: a right table without partitions. Its entries must be zero as a whole: what has been deleted by its type only
 * may be wanted back.
 */
static int judge_table(struct block *block, const uint8_t *header, unsigned sector, uint64_t at)
{
    uint64_t first = get_le64(header + 72), length, size = block_size(block);
    uint32_t count = get_le32(header + 80), each = get_le32(header + 84);
    uint8_t *entries;
    int result;

    if (!header_valid(header, sector, at) || each < ENTRY_BYTES || each > ENTRIES_MAX)
        return USED;
    length = (uint64_t)count * each;
    if (length == 0 || length > ENTRIES_MAX || length > size || first > (size - length) / sector)
        return USED;
    entries = malloc(length);
    result = entries ? block_pread(block, entries, length, first * sector) : -ENOMEM;
    if (result == 0)
        result = all_zeroes(entries, length) && crc32(0, entries, (uInt)length) == get_le32(header + 88) ? FREE : USED;
    free(entries);
    return result;
}

/* The beginning: zeroes, or a protective record, an empty table's header and zeroes. */
static int judge_beginning(struct block *block)
{
    size_t length = MIN(block_size(block), MiB);
    uint8_t *bytes = malloc(length);
    int result = bytes ? block_pread(block, bytes, length, 0) : -ENOMEM;

    if (result == 0 && !all_zeroes(bytes, length)) {
        result = USED;
        if (length > (size_t)2 * SECTOR && is_protective(bytes) &&
            all_zeroes(bytes + SECTOR + HEADER_BYTES, SECTOR - HEADER_BYTES) &&
            all_zeroes(bytes + (size_t)2 * SECTOR, length - (size_t)2 * SECTOR))
            result = judge_table(block, bytes + SECTOR, SECTOR, SECTOR);
    }
    free(bytes);
    return result;
}

/* The end: the header's copy is in the last sector. One that is damaged says that there was a table. */
static int judge_end(struct block *block, unsigned sector)
{
    uint64_t size = block_size(block), at = size - sector;
    uint8_t header[SECTOR];
    int result;

    if (size % sector || size < (uint64_t)2 * sector)
        return FREE;
    result = block_pread(block, header, sizeof header, at);
    if (result < 0 || memcmp(header, "EFI PART", 8) != 0)
        return result;
    return judge_table(block, header, sector, at);
}

int journey_disk_used(const char *path, bool qcow2, struct error *error)
{
    static const struct block_terms terms = IMAGE_TERMS("its format is", NULL);
    const struct block_options options = {.path = path,
                                          .read_only = true,
                                          .format = qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW,
                                          .format_given = true,
                                          .engine = BLOCK_ENGINE_THREADS,
                                          .cache = BLOCK_CACHE_HOST,
                                          .terms = &terms};
    struct block *block;
    int result = block_open(&options, &block, error);

    if (result < 0)
        return result;
    result = judge_beginning(block);
    if (result == FREE)
        result = judge_end(block, SECTOR);
    if (result == FREE)
        result = judge_end(block, 8 * SECTOR);
    block_close(block);
    return result < 0 ? error_set(error, -result,
                                  "%s: what is on it cannot be read: %s; it is left alone until it can (a qcow2 image: "
                                  "`casement image check`)",
                                  path, strerror(-result))
                      : result;
}

/* A line of sysfs behind what the text has already. */
static size_t add_attribute(const char *folder, const char *name, char *text, size_t used, size_t size)
{
    char path[128], value[256];
    int fd, added;
    ssize_t length;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd < 0 ? -1 : read(fd, value, sizeof value - 1);
    if (fd >= 0)
        close(fd);
    for (ssize_t n = 0; n < length; n++) /* JSON takes it, and a newline ends it */
        if (value[n] < ' ' || value[n] > '~')
            value[n] = value[n] == '\n' ? 0 : '?';
    value[MAX(length, 0)] = 0;
    if (!*value || used >= size)
        return used;
    added = snprintf(text + used, size - used, " %s=%s", name, value);
    return MIN(used + (size_t)added, size);
}

void journey_disk_identity(const char *path, char *text, size_t size)
{
    /* Of a disk, of what stands for one, and of a partition with its disk. */
    static const char *const names[] = {
        "wwid",      "serial", "device/wwid", "device/serial", "dm/uuid",        "md/uuid",         "loop/backing_file",
        "partition", "start",  "../wwid",     "../serial",     "../device/wwid", "../device/serial"};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char folder[64];
    struct stat info;
    uint64_t bytes;
    size_t used;

    text[0] = 0;
    if (fd < 0)
        return;
    if (fstat(fd, &info) == 0 && S_ISBLK(info.st_mode) && ioctl(fd, BLKGETSIZE64, &bytes) == 0) {
        snprintf(folder, sizeof folder, "/sys/dev/block/%u:%u", major(info.st_rdev), minor(info.st_rdev));
        used = (size_t)snprintf(text, size, "bytes=%" PRIu64, bytes);
        for (size_t n = 0; n < ARRAY_SIZE(names); n++)
            used = add_attribute(folder, names[n], text, used, size);
    }
    close(fd);
}
