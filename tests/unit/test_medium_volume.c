/* Media as a whole: ISO 9660 and UDF as other programs make it, good, odd and damaged. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/windows/udf.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_wim.h"

#define SECTOR 2048U

static struct medium medium;
static struct error error;
static char folder[64], image_path[96], tree[96];

/* A folder for the images; a tree in it of files of a medium. */
static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "build/medium-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(image_path, sizeof image_path, "%s/image.iso", folder);
    snprintf(tree, sizeof tree, "%s/tree", folder);
    return 0;
}

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
    char command[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (system(command) != 0) /* NOLINT(cert-env33-c): a test's own words */
        fail_msg("%s: failed", command);
}

static int tear_down(void **state)
{
    (void)state;
    run("rm -rf %s", folder);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t length)
{
    FILE *out = fopen(path, "we");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

/* A file in the tree, in any of its folders; content NULL: a WIM of a Windows. */
static void add_file(const char *name, const char *content)
{
    struct fake_wim wim = {0};
    char path[256];

    snprintf(path, sizeof path, "%s/%s", tree, name);
    run("mkdir -p $(dirname %s)", path);
    if (!content)
        fake_wim_make(&wim, FAKE_WIM_XML(FAKE_WIM_PRO("1") FAKE_WIM_PRO("2")), strstr(name, ".esd") != NULL, false);
    write_file(path, content ? (const void *)content : wim.bytes, content ? strlen(content) : wim.length);
    fake_wim_free(&wim);
}

static int identify(void)
{
    error.text[0] = 0;
    memset(&medium, 0xA5, sizeof medium);
    return medium_identify(image_path, &medium, &error);
}

static void assert_identified(bool udf, const char *volume, const char *install)
{
    if (identify() < 0)
        fail_msg("%s", error.text);
    assert_int_equal(medium.udf, udf);
    assert_string_equal(medium.volume, volume);
    assert_string_equal(medium.install, install);
    assert_int_equal(medium.image_count, 2);
    assert_string_equal(medium.images[1].name, "Windows 11 Pro");
    assert_string_equal(medium.images[1].edition, "Professional");
}

static void assert_refused(int expected, const char *says)
{
    int result = identify();

    if (result != expected || !strstr(error.text, says) || strncmp(error.text, image_path, strlen(image_path)) != 0)
        fail_msg("%d: \"%s\" instead of %d and \"%s\"", result, error.text, expected, says);
}

/* What other programs make. */

enum maker { XORRISO, XORRISO_JOLIET, GENISOIMAGE_UDF };

static void make(enum maker maker)
{
    static const char *const commands[] = {
        "xorriso -as mkisofs -quiet -V CCCOMA_X64FRE_EN-US_DV9 -o %s %s 2>/dev/null",
        "xorriso -as mkisofs -quiet -J -V CCCOMA_X64FRE_EN-US_DV9 -o %s %s 2>/dev/null",
        "genisoimage -quiet -no-pad -udf -V CCCOMA_X64FRE_EN-US_DV9 -o %s %s 2>/dev/null",
    };
    char command[512];

    snprintf(command, sizeof command, commands[maker], image_path, tree);
    unlink(image_path);
    run("%s", command);
}

static void media_of_other_programs(void **state)
{
    static const struct {
        enum maker maker;
        const char *volume;
    } cases[] = {{XORRISO, "CCCOMA_X64FRE_EN-US_DV9"},
                 {XORRISO_JOLIET, "CCCOMA_X64FRE_EN"}, /* 16 characters of two bytes */
                 {GENISOIMAGE_UDF, "CCCOMA_X64FRE_EN-US_DV9"}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        bool udf = cases[n].maker == GENISOIMAGE_UDF;

        run("rm -rf %s", tree);
        add_file("sources/install.esd", NULL);
        for (unsigned file = 0; file < 90; file++) {
            char name[64];

            snprintf(name, sizeof name, "sources/a file with a long name %u.dll", file);
            add_file(name, "x");
        }
        make(cases[n].maker);
        assert_identified(udf, cases[n].volume, "sources/install.esd");
        assert_false(medium.boots_efi);
        add_file("sources/install.wim", NULL);
        add_file("efi/boot/bootx64.efi", "MZ");
        make(cases[n].maker);
        assert_identified(udf, cases[n].volume, "sources/install.wim");
        assert_true(medium.boots_efi);
        assert_true(medium.install_bytes > 2 * SECTOR);
    }
}

static void names_in_any_case(void **state)
{
    (void)state;
    add_file("SOURCES/Install.WIM", NULL);
    add_file("Efi/BOOT/BootX64.efi", "MZ");
    for (enum maker maker = XORRISO; maker <= GENISOIMAGE_UDF; maker++) {
        make(maker);
        assert_int_equal(identify(), 0);
        assert_int_equal(medium.image_count, 2);
        assert_true(medium.boots_efi);
    }
}

static void media_without_an_installer(void **state)
{
    (void)state;
    for (enum maker maker = XORRISO; maker <= GENISOIMAGE_UDF; maker++) {
        run("rm -rf %s", tree);
        add_file("readme.txt", "x");
        make(maker);
        assert_refused(-ENODATA, "is no Windows installation medium: sources/install.wim is missing; give the ISO as "
                                 "the vendor publishes it");
        add_file("sources/install.wim/file", "x"); /* a folder of that name */
        add_file("sources/install.wimx", "x");
        add_file("sources/install.wi", "x");
        make(maker);
        assert_refused(-ENODATA, "sources/install.wim is missing");
        add_file("sources/install.swm", NULL);
        make(maker);
        assert_refused(-ENODATA, "split (sources/install.swm), which is not supported");
        run("rm -r %s/sources/install.wi*", tree);
        add_file("sources/install.wim", "text");
        make(maker);
        assert_refused(-EILSEQ, "image.iso: sources/install.wim: ends with byte 4");
        add_file("sources/install.wim", "");
        make(maker);
        assert_refused(-EILSEQ, "image.iso: sources/install.wim: ends with byte 0");
    }
}

/* What a download that was cut off leaves: the folders are in front of the files. */
static void media_that_are_cut_off(void **state)
{
    struct stat info;

    (void)state;
    add_file("sources/install.wim", NULL);
    for (enum maker maker = XORRISO; maker <= GENISOIMAGE_UDF; maker++) {
        unsigned whole = 0;

        make(maker);
        assert_int_equal(stat(image_path, &info), 0);
        for (off_t size = info.st_size & ~(off_t)2047; size >= 0; size -= 7 * SECTOR) {
            assert_int_equal(truncate(image_path, size), 0);
            if (identify() == 0)
                whole++; /* but for the padding */
            else
                assert_true(strstr(error.text, "; download it again") || strstr(error.text, "; give the ISO"));
        }
        assert_true(whole > 0);
    }
    make(XORRISO);
    assert_int_equal(stat(image_path, &info), 0);
    for (off_t size = info.st_size; identify() == 0; size -= SECTOR)
        assert_int_equal(truncate(image_path, size), 0);
    assert_refused(-EILSEQ, "but a file in it with byte");
    make(GENISOIMAGE_UDF);
    assert_int_equal(stat(image_path, &info), 0);
    for (off_t size = info.st_size; identify() == 0; size -= SECTOR)
        assert_int_equal(truncate(image_path, size), 0);
    assert_refused(-EILSEQ, "but sources/install.wim (");
}

/* What libudfread has to say of a damaged one is not for people. */
static void nothing_but_the_error(void **state)
{
    FILE *said = tmpfile(), *was = stderr;
    int kept = dup(STDERR_FILENO);
    struct stat info;

    (void)state;
    add_file("sources/install.wim", NULL);
    make(GENISOIMAGE_UDF);
    assert_int_equal(truncate(image_path, 258 * SECTOR), 0);
    assert_true(said && kept >= 0 && dup2(fileno(said), STDERR_FILENO) >= 0);
    assert_refused(-EILSEQ, "");
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_ptr_equal(stderr, was);
    assert_int_equal(fstat(fileno(said), &info), 0);
    assert_int_equal(info.st_size, 0);
    fclose(said);
}

static void what_is_no_image(void **state)
{
    static const char zeroes[80 * SECTOR];

    (void)state;
    unlink(image_path);
    assert_refused(-ENOENT, "No such file");
    write_file(image_path, "", 0);
    assert_refused(-EILSEQ, "no medium that is known");
    write_file(image_path, zeroes, 17 * SECTOR - 1);
    assert_refused(-EILSEQ, "neither a UDF nor an ISO 9660");
    write_file(image_path, zeroes, sizeof zeroes);
    assert_refused(-EILSEQ, "neither a UDF nor an ISO 9660");
    unlink(image_path);
    assert_int_equal(mkfifo(image_path, 0600), 0);
    assert_refused(-EINVAL, "neither a file nor a block device");
    unlink(image_path);
    assert_int_equal(mkdir(image_path, 0700), 0);
    assert_refused(-EISDIR, "neither a file nor a block device");
    rmdir(image_path);
}

/* UDF: an image of genisoimage in memory, in which words are changed. */

struct blocks {
    uint8_t *bytes;
    size_t length;
    uint64_t reads;
    struct medium_source source;
};

static int read_memory(void *opaque, void *to, size_t length, uint64_t offset)
{
    struct blocks *blocks = opaque;

    assert_true(offset <= blocks->length && length <= blocks->length - offset);
    blocks->reads++;
    memcpy(to, blocks->bytes + offset, length);
    return 0;
}

static void blocks_load(struct blocks *blocks)
{
    FILE *in = fopen(image_path, "re");
    struct stat info;

    assert_non_null(in);
    assert_int_equal(fstat(fileno(in), &info), 0);
    *blocks = (struct blocks){.bytes = malloc((size_t)info.st_size), .length = (size_t)info.st_size};
    assert_int_equal(fread(blocks->bytes, 1, blocks->length, in), blocks->length);
    fclose(in);
    blocks->source = (struct medium_source){read_memory, blocks, blocks->length, "in memory"};
}

static void put_tag(uint8_t *block, uint16_t tag)
{
    uint8_t sum = 0;

    put_le16(block, tag);
    for (unsigned n = 0; n < 16; n++)
        sum = (uint8_t)(sum + (n == 4 ? 0 : block[n]));
    block[4] = sum;
}

enum { TAG_VOLUME_POINTER = 3, TAG_LOGICAL_VOLUME = 6, TAG_FILE_SET = 256, TAG_EXTENT = 258, TAG_FILE = 261 };

/* The which-th block that has this tag, with its checksum. */
static uint8_t *find_tag(struct blocks *blocks, uint16_t tag, unsigned which)
{
    for (size_t at = 0; at + SECTOR <= blocks->length; at += SECTOR) {
        uint8_t *block = blocks->bytes + at, copy[16];

        memcpy(copy, block, sizeof copy);
        if (get_le16(block) != tag)
            continue;
        put_tag(copy, tag);
        if (copy[4] == block[4] && which-- == 0)
            return block;
    }
    fail_msg("no block with the tag %u", tag);
    return NULL;
}

/* The file entry of install.wim: the one with its length. */
static uint8_t *install_entry(struct blocks *blocks)
{
    for (unsigned n = 0;; n++) {
        uint8_t *entry = find_tag(blocks, TAG_FILE, n);

        if (get_le64(entry + 56) == medium.install_bytes)
            return entry;
    }
}

static void udf_make(struct blocks *blocks)
{
    run("rm -rf %s", tree);
    add_file("sources/install.wim", NULL);
    make(GENISOIMAGE_UDF);
    assert_int_equal(identify(), 0);
    blocks_load(blocks);
}

static int udf_use(struct blocks *blocks)
{
    struct udf *udf = NULL;
    struct udf_file *file = NULL;
    uint8_t bytes[SECTOR];
    int failed;

    error.text[0] = 0;
    blocks->reads = 0;
    assert_true(udf_is_there(&blocks->source));
    failed = udf_open(&blocks->source, &udf, &error);
    if (failed == 0)
        failed = udf_find(udf, "sources/install.wim", &file, &error);
    if (failed == 0) {
        assert_true(udf_file_size(file) == medium.install_bytes);
        failed = udf_read(file, bytes, sizeof bytes, SECTOR - 8);
    }
    udf_file_close(file);
    udf_close(udf);
    return failed;
}

static void udf_in_several_extents(void **state)
{
    struct blocks blocks;
    uint8_t *entry, *descriptors, moved[SECTOR];
    uint32_t first, start;

    (void)state;
    udf_make(&blocks);
    entry = install_entry(&blocks);
    descriptors = entry + 176 + get_le32(entry + 168);
    first = get_le32(descriptors + 4);
    start = (uint32_t)(find_tag(&blocks, 5, 0) - blocks.bytes);
    start = get_le32(blocks.bytes + start + 188); /* of the partition */
    /* The first two blocks change places. */
    put_le32(descriptors + 8, SECTOR);
    put_le32(descriptors + 12, first);
    put_le32(descriptors + 16, get_le32(descriptors) - 2 * SECTOR);
    put_le32(descriptors + 20, first + 2);
    put_le32(descriptors, SECTOR);
    put_le32(descriptors + 4, first + 1);
    put_le32(entry + 172, 24);
    memcpy(moved, blocks.bytes + (size_t)(start + first) * SECTOR, SECTOR);
    memmove(blocks.bytes + (size_t)(start + first) * SECTOR, blocks.bytes + (size_t)(start + first + 1) * SECTOR,
            SECTOR);
    memcpy(blocks.bytes + (size_t)(start + first + 1) * SECTOR, moved, SECTOR);
    write_file(image_path, blocks.bytes, blocks.length);
    assert_identified(true, "CCCOMA_X64FRE_EN-US_DV9", "sources/install.wim");
    free(blocks.bytes);
}

/* Where the library would go on for ever, or as good as. */
static void endless_udf(void **state)
{
    static const struct {
        uint32_t length, first;
    } file_sets[] = {{SECTOR, UINT32_MAX}, {0, 1}, {0x3FFFFFFF, 1}, {64 * KiB, 1}};
    struct blocks blocks;
    uint8_t *block;

    (void)state;
    udf_make(&blocks);
    assert_int_equal(udf_use(&blocks), 0);
    /* A sequence of volume descriptors that goes on with itself. */
    block = blocks.bytes + (size_t)get_le32(blocks.bytes + 256 * SECTOR + 20) * SECTOR;
    put_le32(block + 20, SECTOR);
    put_le32(block + 24, get_le32(blocks.bytes + 256 * SECTOR + 20));
    put_tag(block, TAG_VOLUME_POINTER);
    assert_int_equal(udf_use(&blocks), -EILSEQ);
    assert_true(blocks.reads > 100 && blocks.reads < 1100);
    free(blocks.bytes);
    /* File sets without end: at the last block there can be, of no bytes, of very many, in a partition unknown. */
    udf_make(&blocks);
    for (size_t n = 0; n < 2 * ARRAY_SIZE(file_sets); n++) {
        for (unsigned copy = 0; copy < 2; copy++) {
            block = find_tag(&blocks, TAG_LOGICAL_VOLUME, copy);
            put_le32(block + 248, file_sets[n / 2].length);
            put_le32(block + 252, file_sets[n / 2].first);
            put_le16(block + 256, n % 2 ? 7 : 0);
        }
        assert_int_equal(udf_use(&blocks), -EILSEQ);
        assert_true(blocks.reads < 200);
    }
    free(blocks.bytes);
    /* Allocation descriptors that go on with themselves. */
    udf_make(&blocks);
    block = install_entry(&blocks);
    block += 176 + get_le32(block + 168);
    put_le32(block, get_le32(block) | 3U << 30);
    block = blocks.bytes +
            (size_t)(get_le32(blocks.bytes + (find_tag(&blocks, 5, 0) - blocks.bytes) + 188) + get_le32(block + 4)) *
                SECTOR;
    memset(block, 0, SECTOR);
    put_le32(block + 20, 8);
    put_le32(block + 24, SECTOR | 3U << 30);
    put_le32(block + 28, (uint32_t)((size_t)(block - blocks.bytes) / SECTOR) - get_le32(find_tag(&blocks, 5, 0) + 188));
    put_tag(block, TAG_EXTENT);
    assert_int_equal(udf_use(&blocks), -EILSEQ);
    assert_true(blocks.reads > 100 && blocks.reads < 1100);
    free(blocks.bytes);
}

static void odd_udf(void **state)
{
    struct blocks blocks;
    uint8_t *block;

    (void)state;
    udf_make(&blocks);
    put_le64(install_entry(&blocks) + 56, UINT64_MAX);
    assert_int_equal(udf_use(&blocks), -EILSEQ);
    free(blocks.bytes);
    udf_make(&blocks);
    put_le64(install_entry(&blocks) + 56, blocks.length + 1);
    assert_int_equal(udf_use(&blocks), -EILSEQ);
    assert_non_null(strstr(error.text, "lies behind that: cut off or damaged"));
    free(blocks.bytes);
    udf_make(&blocks);
    block = install_entry(&blocks);
    put_le32(block + 176 + get_le32(block + 168) + 4, UINT32_MAX - 300);
    assert_int_equal(udf_use(&blocks), -EILSEQ);
    free(blocks.bytes);
}

/* Thousands of images in which bits are turned over: whatever they lead to, it ends, and within bounds. */

static void check_result(int result)
{
    json_t *string;

    if (result < 0) {
        assert_true(error.text[0]);
        return;
    }
    assert_in_range(medium.image_count, 1, MEDIUM_IMAGES);
    assert_non_null(memchr(medium.volume, 0, sizeof medium.volume));
    string = json_string(medium.volume);
    assert_non_null(string);
    json_decref(string);
}

/* Offsets of what is not zero, the structures, and the first byte. */
static size_t *find_structures(const struct blocks *blocks, size_t *count)
{
    size_t *offsets = calloc(blocks->length + 1, sizeof *offsets);

    assert_non_null(offsets);
    *count = 0;
    for (size_t at = 0; at < blocks->length; at++)
        if (blocks->bytes[at])
            offsets[(*count)++] = at;
    return offsets;
}

/* So that flips reach behind the checksums of UDF's tags, half of the images have them mended. */
static void mend_tags(struct blocks *blocks, size_t at)
{
    uint8_t *block = blocks->bytes + at / SECTOR * SECTOR;

    if (random() % 2 && at % SECTOR < 16)
        put_tag(block, get_le16(block));
}

static void turn_bits(enum maker maker, unsigned images)
{
    struct blocks good, bad;
    size_t count, *offsets;
    int fd = -1;
    unsigned refused = 0;

    make(maker);
    blocks_load(&good);
    offsets = find_structures(&good, &count);
    bad = good;
    bad.bytes = malloc(good.length);
    fd = open(image_path, O_WRONLY | O_CLOEXEC);
    assert_true(bad.bytes && fd >= 0);
    memcpy(bad.bytes, good.bytes, good.length);
    for (unsigned n = 0; n < images; n++) {
        size_t places[4];
        unsigned flips = 1 + (unsigned)random() % ARRAY_SIZE(places);

        for (unsigned flip = 0; flip < flips; flip++) {
            size_t at = MIN(offsets[(size_t)random() % (count + 1)] + (size_t)random() % 4, good.length - 1);

            places[flip] = at / SECTOR * SECTOR;
            bad.bytes[at] = random() % 4 ? bad.bytes[at] ^ (uint8_t)(1U << random() % 8) : (uint8_t)random();
            mend_tags(&bad, at);
            assert_int_equal(pwrite(fd, bad.bytes + places[flip], SECTOR, (off_t)places[flip]), SECTOR);
        }
        int result = identify();

        check_result(result);
        refused += result < 0;
        for (unsigned flip = 0; flip < flips; flip++) {
            memcpy(bad.bytes + places[flip], good.bytes + places[flip], SECTOR);
            assert_int_equal(pwrite(fd, bad.bytes + places[flip], SECTOR, (off_t)places[flip]), SECTOR);
        }
    }
    assert_true(refused > images / 50 && refused < images);
    assert_int_equal(identify(), 0);
    close(fd);
    free(bad.bytes);
    free(good.bytes);
    free(offsets);
}

static void damaged_at_random(void **state)
{
    (void)state;
    add_file("sources/install.wim", NULL);
    add_file("efi/boot/bootx64.efi", "MZ");
    srandom(20250902);
    turn_bits(XORRISO, 1500);
    turn_bits(XORRISO_JOLIET, 1500);
    turn_bits(GENISOIMAGE_UDF, 3000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(media_of_other_programs), TEST(names_in_any_case),     TEST(media_without_an_installer),
        TEST(media_that_are_cut_off),  TEST(nothing_but_the_error), TEST(what_is_no_image),
        TEST(udf_in_several_extents),  TEST(endless_udf),           TEST(odd_udf),
        TEST(damaged_at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
