/* Whether something is on a disk: bytes, partition tables of every kind, in raw and in qcow2. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"
#include "fake_folder.h"

#include "../../vmm/image.h"
#include "../../vmm/windows/journey.h"

static struct error error;

#define DISK (4 * MiB)

struct table {
    bool primary, backup;              /* is there */
    bool in_primary, in_backup;        /* has a partition */
    unsigned sector;                   /* 0: 512 */
    uint32_t count, each, header_size; /* 0: as usual */
    uint64_t entries;                  /* 0: as usual */
    bool bad_header, bad_entries;      /* their checksums */
};

static void put_header(int fd, const struct table *table, bool backup)
{
    static uint8_t entries[128 * 128];
    unsigned sector = table->sector ? table->sector : 512;
    uint64_t last = DISK / sector - 1, at = backup ? last : 1;
    uint64_t place = table->entries ? table->entries : backup ? last - sizeof entries / sector : 2;
    uint8_t header[512] = "EFI PART";
    uint32_t size = table->header_size ? table->header_size : 92;

    memset(entries, 0, sizeof entries);
    if (backup ? table->in_backup : table->in_primary)
        memset(entries + 128, 0x28, 128);
    put_le32(header + 8, 0x10000);
    put_le32(header + 12, size);
    put_le64(header + 24, at);
    put_le64(header + 32, backup ? 1 : last);
    put_le64(header + 72, place);
    put_le32(header + 80, table->count ? table->count : 128);
    put_le32(header + 84, table->each ? table->each : 128);
    put_le32(header + 88, (uint32_t)crc32(0, entries, sizeof entries) + table->bad_entries);
    put_le32(header + 16, (uint32_t)crc32(0, header, MIN(size, 512)) + table->bad_header);
    assert_int_equal(pwrite(fd, header, sizeof header, (off_t)(at * sector)), sizeof header);
    assert_int_equal(
        pwrite(fd, entries, sizeof entries, (off_t)((backup ? last - sizeof entries / sector : 2) * sector)),
        sizeof entries);
}

static void put_table(int fd, const struct table *table)
{
    uint8_t mbr[512] = {[446 + 2] = 2,    [446 + 4] = 0xEE, [446 + 5] = 0xFF, [446 + 6] = 0xFF,
                        [446 + 7] = 0xFF, [446 + 8] = 1,    [510] = 0x55,     [511] = 0xAA};

    put_le32(mbr + 446 + 12, DISK / 512 - 1);
    if (table->primary) {
        assert_int_equal(pwrite(fd, mbr, sizeof mbr, 0), sizeof mbr);
        put_header(fd, table, false);
    }
    if (table->backup)
        put_header(fd, table, true);
}

static int new_disk(uint64_t size)
{
    int fd = open(fake_below("disk"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static const struct block_terms terms = IMAGE_TERMS("--format", NULL);

/* Closes it. As raw and as qcow2 it must be judged the same. */
static void assert_used(int fd, int used, const char *what)
{
    const struct image_source source = {.path = fake_below("disk"), .terms = &terms, .format_given = true};
    const struct image_options options = {.path = fake_below("disk.qcow2"), .format = BLOCK_FORMAT_QCOW2};
    int found;

    close(fd);
    found = journey_disk_used(fake_below("disk"), false, &error);
    if (found != used)
        fail_msg("%s: %d instead of %d", what, found, used);
    unlink(fake_below("disk.qcow2"));
    assert_int_equal(image_convert(&source, &options, NULL, &error), 0);
    found = journey_disk_used(fake_below("disk.qcow2"), true, &error);
    if (found != used)
        fail_msg("%s in qcow2: %d instead of %d", what, found, used);
}

static void single_bytes(void **state)
{
    static const struct {
        uint64_t size, at;
        int used;
    } cases[] = {{DISK, 0, 1},       {DISK, 440, 1},      {DISK, 511, 1}, {DISK, 512, 1},      {DISK, 32768, 1},
                 {DISK, MiB - 1, 1}, {DISK, MiB, 0},      {512, 511, 1},  {1024, 700, 1},      {MiB, MiB - 1, 1},
                 {4096, 4095, 1},    {DISK, DISK - 1, 0}, {1536, 0, 1},   {65536 * 3, 9999, 1}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        int fd = new_disk(cases[n].size);
        char what[80];

        assert_int_equal(pwrite(fd, "x", 1, (off_t)cases[n].at), 1);
        snprintf(what, sizeof what, "byte %llu of %llu", (unsigned long long)cases[n].at,
                 (unsigned long long)cases[n].size);
        assert_used(fd, cases[n].used, what);
        assert_used(new_disk(cases[n].size), 0, "nothing");
    }
}

static void tables(void **state)
{
    static const struct {
        const char *what;
        struct table table;
        int used;
    } cases[] = {
        {"empty", {.primary = true, .backup = true}, 0},
        {"empty without a copy", {.primary = true}, 0},
        {"an empty copy", {.backup = true}, 0},
        {"partitions", {.primary = true, .backup = true, .in_primary = true, .in_backup = true}, 1},
        {"partitions in the copy only", {.primary = true, .backup = true, .in_backup = true}, 1},
        {"partitions at the beginning only", {.primary = true, .backup = true, .in_primary = true}, 1},
        {"a copy with partitions alone", {.backup = true, .in_backup = true}, 1},
        {"a bad header", {.primary = true, .bad_header = true}, 1},
        {"a bad copy", {.backup = true, .bad_header = true}, 1},
        {"bad entries", {.primary = true, .bad_entries = true}, 1},
        {"bad entries of the copy", {.backup = true, .bad_entries = true}, 1},
        {"entries behind the end", {.backup = true, .entries = DISK / 512 - 1}, 1},
        {"entries far behind the end", {.backup = true, .entries = UINT64_MAX}, 1},
        {"entries at a wrapped place", {.backup = true, .entries = UINT64_MAX / 512 + 3}, 1},
        {"endless entries", {.backup = true, .count = UINT32_MAX, .each = UINT32_MAX}, 1},
        {"many entries", {.backup = true, .count = UINT32_MAX}, 1},
        {"entries that are too small", {.backup = true, .each = 1}, 1},
        {"a short header", {.backup = true, .header_size = 20}, 1},
        {"a long header", {.backup = true, .header_size = 513}, 1},
        {"an endless header", {.backup = true, .header_size = UINT32_MAX}, 1},
        {"partitions in the copy, sectors of 4 KiB", {.backup = true, .in_backup = true, .sector = 4096}, 1},
        {"an empty copy, sectors of 4 KiB", {.backup = true, .sector = 4096}, 0},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        int fd = new_disk(DISK);

        put_table(fd, &cases[n].table);
        assert_used(fd, cases[n].used, cases[n].what);
    }
}

/* Next to an empty table, each byte that does not belong to it. */
static void more_than_an_empty_table(void **state)
{
    static const unsigned places[] = {0,        100,       439,  446 + 16,     446 + 20, 446 + 63,
                                      512 + 92, 512 + 511, 1024, 1024 + 16384, MiB - 1};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
        int fd = new_disk(DISK);

        put_table(fd, &(struct table){.primary = true, .backup = true});
        assert_int_equal(pwrite(fd, "x", 1, places[n]), 1);
        assert_used(fd, 1, "a byte beside an empty table");
    }
    for (unsigned at = 512; at < 512 + 92; at++) {
        int fd = new_disk(DISK);
        uint8_t byte;

        put_table(fd, &(struct table){.primary = true});
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        assert_int_equal(journey_disk_used(fake_below("disk"), false, &error), 1);
    }
}

static void boot_sectors(void **state)
{
    int fd = new_disk(DISK);
    uint8_t mbr[512] = {[446] = 0x80, [450] = 7, [454] = 1, [510] = 0x55, [511] = 0xAA};

    (void)state;
    assert_int_equal(pwrite(fd, mbr, sizeof mbr, 0), sizeof mbr);
    assert_used(fd, 1, "a partition in a boot sector");
    fd = new_disk(DISK);
    assert_int_equal(pwrite(fd, mbr + 510, 2, 510), 2);
    assert_used(fd, 1, "a signature");
    fd = new_disk(DISK);
    put_table(fd, &(struct table){.primary = true});
    assert_int_equal(pwrite(fd, mbr + 446, 16, 446 + 16), 16);
    assert_used(fd, 1, "a partition beside the protective one");
}

static void disks_that_cannot_be_read(void **state)
{
    struct image_options options = {.format = BLOCK_FORMAT_QCOW2, .size = DISK};
    uint8_t wrong[8];
    int fd;

    (void)state;
    fake_refused(&error, journey_disk_used(fake_below("nothing"), false, &error), ENOENT, "nothing", "name a file");
    fake_refused(&error, journey_disk_used(fake_folder, false, &error), EISDIR, fake_folder, "name an image");
    fake_text(fake_below("text"), "no disk");
    assert_true(journey_disk_used(fake_below("text"), false, &error) < 0);
    close(new_disk(DISK));
    assert_true(journey_disk_used(fake_below("disk"), true, &error) < 0);
    /* A table that leads out of the file. */
    options.path = fake_below("disk.qcow2");
    assert_int_equal(image_create(&options, &error), 0);
    assert_int_equal(journey_disk_used(fake_below("disk.qcow2"), true, &error), 0);
    fd = open(fake_below("disk.qcow2"), O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, wrong, 8, 40), 8);
    const off_t table = (off_t)get_be64(wrong);

    put_be64(wrong, UINT64_C(1) << 63 | UINT64_C(1) << 40);
    assert_int_equal(pwrite(fd, wrong, 8, table), 8);
    close(fd);
    assert_true(journey_disk_used(fake_below("disk.qcow2"), true, &error) < 0);
    assert_null(strchr(error.text, '\n'));
    /* It reads as what it lies on, which is not known here. */
    unlink(fake_below("disk.qcow2"));
    options.backing = "disk";
    options.path = fake_below("disk.qcow2");
    assert_int_equal(image_create(&options, &error), 0);
    assert_true(journey_disk_used(fake_below("disk.qcow2"), true, &error) < 0);
}

/* A file is who it is by its name. Of a device, where there is one that can be opened, at least the size is known. */
static void identities(void **state)
{
    static const char *const devices[] = {"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0"};
    char text[512] = "before", few[8];

    (void)state;
    journey_disk_identity("/proc/self/exe", text, sizeof text);
    assert_string_equal(text, "");
    journey_disk_identity("/dev/null", text, sizeof text);
    assert_string_equal(text, "");
    journey_disk_identity(fake_below("nothing"), text, sizeof text);
    assert_string_equal(text, "");
    for (size_t n = 0; n < ARRAY_SIZE(devices); n++) {
        journey_disk_identity(devices[n], text, sizeof text);
        journey_disk_identity(devices[n], few, sizeof few);
        assert_true(!*text || (strncmp(text, "bytes=", 6) == 0 && text[6] >= '0' && text[6] <= '9'));
        assert_true(strncmp(few, text, sizeof few - 1) == 0 && strlen(few) < sizeof few);
        assert_int_equal(strcspn(text, "\r\n\t"), strlen(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(single_bytes),
        IN_FOLDER(tables),
        IN_FOLDER(more_than_an_empty_table),
        IN_FOLDER(boot_sectors),
        IN_FOLDER(disks_that_cannot_be_read),
        IN_FOLDER(identities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
