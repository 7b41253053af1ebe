/* ISO 9660 images made by hand: what programs do not make readily, good, odd and without end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../vmm/windows/iso9660.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

#define SECTOR 2048U
#define SECTORS 64U

static struct error error;

struct hand {
    uint8_t *bytes; /* of SECTORS sectors; behind them up to size zeroes */
    uint64_t size;
    uint64_t reads;
    uint64_t zeroes; /* read from behind the bytes */
    struct medium_source source;
};

static int read_hand(void *opaque, void *to, size_t length, uint64_t offset)
{
    struct hand *hand = opaque;
    size_t there = offset < SECTORS * SECTOR ? MIN(length, SECTORS * SECTOR - offset) : 0;

    assert_true(offset <= hand->size && length <= hand->size - offset);
    hand->reads++;
    hand->zeroes += length - there;
    memset(to, 0, length);
    memcpy(to, hand->bytes + (there ? offset : 0), there);
    return 0;
}

static void put(uint8_t *at, const char *bytes, size_t length)
{
    memcpy(at, bytes, length);
}

/* A record at `at`; where the next may be. */
static uint8_t *put_record(uint8_t *at, const char *name, uint8_t flags, uint32_t sector, uint32_t length)
{
    size_t name_length = strlen(name);

    at[0] = (uint8_t)((33 + name_length + 1) & ~1U);
    put_le32(at + 2, sector);
    put_be32(at + 6, sector);
    put_le32(at + 10, length);
    put_be32(at + 14, length);
    at[25] = flags;
    at[32] = (uint8_t)name_length;
    put(at + 33, name, name_length);
    return at + at[0];
}

static uint8_t *sector_of(struct hand *hand, unsigned sector)
{
    return hand->bytes + (size_t)sector * SECTOR;
}

/* Descriptors at 16 and 17, the root at 20, a folder SOURCES at 21 without anything in it. */
static void hand_make(struct hand *hand)
{
    uint8_t *primary, *at;

    *hand = (struct hand){.bytes = calloc(SECTORS, SECTOR), .size = SECTORS * SECTOR};
    assert_non_null(hand->bytes);
    hand->source = (struct medium_source){read_hand, hand, hand->size, "by hand"};
    primary = sector_of(hand, 16);
    put(primary, "\1CD001\1", 7);
    memset(primary + 40, ' ', 32);
    put(primary + 40, "BY HAND", 7);
    put_le16(primary + 128, SECTOR);
    put_record(primary + 156, "", 2, 20, SECTOR);
    put(sector_of(hand, 17), "\377CD001\1", 7);
    at = put_record(sector_of(hand, 20), "\1", 2, 20, SECTOR);
    at = put_record(at, "FILE.;1", 0, 30, 5);
    put_record(at, "SOURCES", 2, 21, SECTOR);
}

static int hand_find(struct hand *hand, const char *path, struct iso9660_file *file)
{
    struct iso9660 iso;
    int failed;

    error.text[0] = 0;
    failed = iso9660_open(&hand->source, &iso, &error);
    return failed < 0 ? failed : iso9660_find(&iso, path, file, &error);
}

static void files_of_more_than_4_gib(void **state)
{
    enum { PIECE = 0xFFFFF800 };
    static const char pattern[] = "at the end of the third piece";
    struct hand hand;
    struct iso9660_file file = {0};
    char read[sizeof pattern];
    uint8_t *at;

    (void)state;
    hand_make(&hand);
    hand.source.size = hand.size = UINT64_C(3) << 32;
    at = sector_of(&hand, 21);
    at = put_record(at, "INSTALL.WIM;1", 0x80, 64, PIECE);
    at = put_record(at, "INSTALL.WIM;1", 0x80, 64 + PIECE / SECTOR, PIECE);
    at = put_record(at, "INSTALL.WIM;1", 0, 40, 4096);
    put_record(at, "INSTALL.WIM;2", 0, 41, 7);
    memcpy(sector_of(&hand, 41), pattern, sizeof pattern);
    assert_int_equal(hand_find(&hand, "sources/install.wim", &file), 0);
    assert_int_equal(file.extent_count, 3);
    assert_true(file.size == 2 * (uint64_t)PIECE + 4096);
    assert_int_equal(iso9660_read(&file, read, sizeof read, file.size - SECTOR), 0);
    assert_string_equal(read, pattern);
    /* Across the border of two pieces: the sector 39 is empty, 40 begins with it. */
    memcpy(sector_of(&hand, 40), pattern, 4);
    hand.zeroes = 0;
    assert_int_equal(iso9660_read(&file, read, 8, 2 * (uint64_t)PIECE - 4), 0);
    assert_memory_equal(read, "\0\0\0\0at t", 8);
    assert_int_equal(hand.zeroes, 4);
    assert_int_equal(iso9660_read(&file, read, 2, file.size - 1), -EILSEQ);
    free(hand.bytes);
}

/* Each of these changes one thing of a good file system. */
static void odd_iso9660(void **state)
{
    static const struct {
        const char *what;
        unsigned offset, size;
        uint32_t value;
        int result;
        const char *says;
    } cases[] = {
        {"nothing", 0, 0, 0, 0, ""},
        {"no descriptor", 16 * SECTOR + 1, 1, 'X', -EILSEQ, "neither a UDF nor an ISO 9660"},
        {"a boot record only", 16 * SECTOR, 1, 0, -EILSEQ, "neither a UDF nor an ISO 9660"},
        {"other blocks", 16 * SECTOR + 128, 2, 512, -EILSEQ, "blocks are not of 2048"},
        {"a root behind the end", 16 * SECTOR + 158, 4, 64, -EILSEQ, "cut off"},
        {"a root far behind the end", 16 * SECTOR + 158, 4, 0xFFFFFFFF, -EILSEQ, "cut off"},
        {"a root that is too long", 16 * SECTOR + 166, 4, 0xFFFFFFFF, -EILSEQ, "cut off"},
        {"a root without records", 16 * SECTOR + 166, 4, 0, -ENOENT, ""},
        {"a root of half a record", 16 * SECTOR + 166, 4, 20, -EILSEQ, "an entry of a folder"},
        {"a record of one byte", 20 * SECTOR, 1, 1, -EILSEQ, "an entry of a folder"},
        {"a root that ends in a record", 16 * SECTOR + 166, 4, 40, -EILSEQ, "an entry of a folder"},
        {"a name longer than its record", 20 * SECTOR + 32, 1, 2, -EILSEQ, "an entry of a folder"},
        {"a file behind the end", 20 * SECTOR + 34 + 2, 4, 64, -EILSEQ, "but a file in it with byte"},
        {"a file that ends behind the end", 20 * SECTOR + 34 + 10, 4, 34 * SECTOR + 1, -EILSEQ, "cut off"},
        {"a file that ends with the image", 20 * SECTOR + 34 + 10, 4, 34 * SECTOR, 0, ""},
        {"attributes in front of it", 20 * SECTOR + 34 + 1, 1, 33, 0, ""},
        {"attributes up to the end", 20 * SECTOR + 34 + 1, 1, 34, -EILSEQ, "cut off"},
        {"interleaved", 20 * SECTOR + 34 + 26, 1, 1, -EILSEQ, "interleaved"},
        {"associated", 20 * SECTOR + 34 + 25, 1, 4, -ENOENT, ""},
        {"a folder", 20 * SECTOR + 34 + 25, 1, 2, -ENOENT, ""},
        {"a file that does not go on", 20 * SECTOR + 34 + 25, 1, 0x80, -EILSEQ, "the end of a large file is missing"},
    };
    struct iso9660_file file = {0};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct hand hand;
        int result;

        hand_make(&hand);
        for (unsigned byte = 0; byte < cases[n].size; byte++)
            hand.bytes[cases[n].offset + byte] = (uint8_t)(cases[n].value >> (8 * byte));
        result = hand_find(&hand, "file.", &file);
        if (result != cases[n].result || !strstr(error.text, cases[n].says) || (result == -ENOENT && error.text[0]))
            fail_msg("%s: %d, \"%s\"", cases[n].what, result, error.text);
        free(hand.bytes);
    }
}

/* Descriptors and folders that go on for ever, in an image that does so as well. */
static void endless_iso9660(void **state)
{
    struct iso9660_file file = {0};
    struct hand hand;
    uint8_t *at;

    (void)state;
    hand_make(&hand);
    hand.source.size = hand.size = UINT64_C(1) << 40;
    put_le32(sector_of(&hand, 16) + 166, 0xFFFFFFFF);
    assert_int_equal(hand_find(&hand, "sources/install.wim", &file), -EFBIG);
    put_le32(sector_of(&hand, 16) + 166, 8 * MiB);
    assert_int_equal(hand_find(&hand, "nothing", &file), -ENOENT);
    assert_true(hand.reads < 4200);
    for (unsigned sector = 17; sector < SECTORS; sector++)
        put(sector_of(&hand, sector), "\3CD001\1", 7);
    hand.reads = 0;
    hand_find(&hand, "nothing", &file);
    assert_true(hand.reads < 100);
    free(hand.bytes);
    hand_make(&hand);
    at = sector_of(&hand, 21);
    for (unsigned n = 0; n < 40; n++)
        at = put_record(at, "A;1", 0x80, 40, SECTOR);
    put_record(at, "A;1", 0, 40, SECTOR);
    assert_int_equal(hand_find(&hand, "sources/a", &file), -EFBIG);
    free(hand.bytes);
}

/* What is listed, as one text: names, with a slash of folders, and sizes. */
static const char *list(struct hand *hand, const char *path)
{
    static char text[256];
    struct iso9660 iso;
    struct iso9660_list listing = {.iso = &iso};
    struct iso9660_entry entry;
    size_t used = 0;
    int more;

    error.text[0] = text[0] = 0;
    assert_int_equal(iso9660_open(&hand->source, &iso, &error), 0);
    if (iso9660_find_folder(&iso, path, &listing.folder, &error) < 0)
        return "none";
    while ((more = iso9660_next(&listing, &entry, &error)) == 1)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %u ", entry.name, entry.is_folder ? "/" : "",
                                 (unsigned)entry.file.size);
    return more < 0 ? error.text : text;
}

static void lists_of_folders(void **state)
{
    struct hand hand;
    uint8_t *at;

    (void)state;
    hand_make(&hand);
    assert_string_equal(list(&hand, ""), "FILE 5 SOURCES/ 2048 ");
    assert_string_equal(list(&hand, "sources"), "");
    assert_string_equal(list(&hand, "sources/"), "");
    assert_string_equal(list(&hand, "file"), "none");
    at = sector_of(&hand, 21);
    at = put_record(at, "\1", 2, 20, SECTOR);
    at = put_record(at, "B.WIM;1", 0x80, 40, SECTOR);
    at = put_record(at, "B.WIM;1", 0, 42, 7);
    at = put_record(at, "ICON.;1", 4, 40, 9); /* associated */
    at = put_record(at, "A.B;C;12", 0, 40, 0);
    at = put_record(at, ".;1", 0, 40, 1);
    put_record(at, "SUB", 2, 22, SECTOR);
    put_record(sector_of(&hand, 22), "NAME", 0, 40, 3);
    assert_string_equal(list(&hand, "Sources"), "B.WIM 2055 A.B;C 0  1 SUB/ 2048 ");
    assert_string_equal(list(&hand, "sources/sub"), "NAME 3 ");
    assert_string_equal(list(&hand, "sources/other"), "none");
    /* One that does not go on, one that another name follows, a folder that goes on, and what is behind the end. */
    put_record(sector_of(&hand, 22), "NAME", 0x80, 40, 3);
    assert_non_null(strstr(list(&hand, "sources/sub"), "the end of a large file is missing"));
    put_record(put_record(sector_of(&hand, 22), "NAME", 0x80, 40, 3), "NAMF", 0, 40, 3);
    assert_non_null(strstr(list(&hand, "sources/sub"), "the end of a large file is missing"));
    put_record(sector_of(&hand, 22), "NAME", 0x82, 40, 3);
    assert_non_null(strstr(list(&hand, "sources/sub"), "a folder in pieces"));
    put_record(sector_of(&hand, 22), "NAME", 0, SECTORS, 3);
    assert_non_null(strstr(list(&hand, "sources/sub"), "cut off"));
    sector_of(&hand, 22)[0] = 3;
    assert_non_null(strstr(list(&hand, "sources/sub"), "an entry of a folder"));
    /* A folder of more bytes than any has. */
    hand.source.size = hand.size = UINT64_C(1) << 40;
    put_le32(sector_of(&hand, 20) + 34 + 40 + 10, 9 * MiB);
    assert_non_null(strstr(list(&hand, "sources"), "too many"));
    free(hand.bytes);
}

/* The longest name of the widest characters, half a pair, and a version of Joliet's own. */
static void names_of_lists(void **state)
{
    struct hand hand;
    struct iso9660 iso;
    struct iso9660_list listing = {.iso = &iso};
    struct iso9660_entry entry;
    uint8_t *at;
    char x[223];

    (void)state;
    hand_make(&hand);
    memcpy(sector_of(&hand, 17), sector_of(&hand, 16), SECTOR);
    put(sector_of(&hand, 17), "\2CD001\1", 7);
    put(sector_of(&hand, 17) + 88, "%/E", 3);
    put_record(sector_of(&hand, 17) + 156, "", 2, 22, SECTOR);
    put(sector_of(&hand, 18), "\377CD001\1", 7);
    memset(x, 'x', sizeof x);
    x[222] = 0;
    at = sector_of(&hand, 22);
    at = put_record(at, "\1", 2, 22, SECTOR);
    put_record(at, x, 0, 40, 1);
    at[0] = 255; /* an odd number, which writers avoid */
    for (unsigned n = 0; n < 111; n++)
        put_be16(at + 33 + (size_t)n * 2, 0x20AC);
    put_be16(at + 33, 0xD83E);
    put_be16(at + 35, 0xDE9F);
    put_be16(at + 37, 0xD800);
    at += at[0];
    put_record(at, "12345678", 0, 40, 2);
    put(at + 33, "\0a\0.\0;\0001", 8);
    assert_int_equal(iso9660_open(&hand.source, &iso, &error), 0);
    assert_true(iso.joliet);
    listing.folder = iso.root;
    assert_int_equal(iso9660_next(&listing, &entry, &error), 1);
    assert_memory_equal(entry.name, "\xF0\x9F\xAA\x9F?\xE2\x82\xAC", 8);
    assert_int_equal(strlen(entry.name), 4 + 1 + 108 * 3);
    assert_int_equal(iso9660_next(&listing, &entry, &error), 1);
    assert_string_equal(entry.name, "a");
    assert_int_equal(iso9660_next(&listing, &entry, &error), 0);
    assert_int_equal(iso9660_next(&listing, &entry, &error), 0);
    free(hand.bytes);
}

static void joliet_names(void **state)
{
    struct hand hand;
    struct iso9660_file file = {0};
    struct iso9660 iso;
    uint8_t *joliet, *at;

    (void)state;
    hand_make(&hand);
    joliet = sector_of(&hand, 17);
    memcpy(joliet, sector_of(&hand, 16), SECTOR);
    joliet[0] = 2;
    put_record(joliet + 156, "", 2, 22, SECTOR);
    at = sector_of(&hand, 22);
    put_record(at, "xxxxxxxx", 0, 40, 7);
    put(at + 33, "\0A\0\xE9\0B\0;", 8);
    at += at[0];
    put_record(at, "xxxx", 0, 41, 9);
    put(at + 33, "\0a\0B", 4);
    /* A supplementary descriptor that is not Joliet's, as enhanced volumes have, does not count. */
    assert_int_equal(iso9660_open(&hand.source, &iso, &error), 0);
    assert_false(iso.joliet);
    assert_string_equal(iso.volume, "BY HAND");
    put(joliet + 88, "%/E", 3);
    put(joliet + 40, "\0W\xD8\x3E\xDE\x9F\xD8\0\0\n\0x\0 \0 ", 16);
    assert_int_equal(iso9660_open(&hand.source, &iso, &error), 0);
    assert_true(iso.joliet);
    assert_memory_equal(iso.volume, "W\xF0\x9F\xAA\x9F? x", 8);
    assert_int_equal(iso9660_find(&iso, "AB", &file, &error), 0);
    assert_int_equal(file.size, 9);
    assert_int_equal(iso9660_find(&iso, "file.", &file, &error), -ENOENT);
    assert_int_equal(iso9660_find(&iso, "A", &file, &error), -ENOENT);
    free(hand.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_more_than_4_gib), cmocka_unit_test(odd_iso9660),    cmocka_unit_test(endless_iso9660),
        cmocka_unit_test(lists_of_folders),         cmocka_unit_test(names_of_lists), cmocka_unit_test(joliet_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
