/* SMBIOS as firmware and Windows take it apart: structure by structure, strings and sums (DMTF DSP0134). */
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "cmocka_all.h"
#include "fake_firmware.h"

static const struct smbios_options usual = {
    .uuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF},
    .manufacturer = "Casement",
    .product = "Casement Virtual Machine",
    .serial = "web-server",
    .version = "0.1.0",
    .cpus = 4,
    .memory = 6 * GiB};

struct tables {
    struct fake *fake;
    uint8_t *bytes, *anchor;
    size_t size;
};

static void make(struct tables *tables, const struct smbios_options *options)
{
    struct error error = {""};
    struct fw_cfg *fw_cfg;
    size_t anchor_size = 0;
    uint8_t sum = 0;

    tables->fake = fake_create(0);
    assert_int_equal(fw_cfg_create(&tables->fake->board, &fw_cfg, &error), 0);
    assert_int_equal(smbios_create(fw_cfg, options, &error), 0);
    tables->anchor = fw_file(tables->fake, "etc/smbios/smbios-anchor", &anchor_size);
    tables->bytes = fw_file(tables->fake, "etc/smbios/smbios-tables", &tables->size);
    assert_non_null(tables->anchor);
    assert_non_null(tables->bytes);
    /* What OVMF checks before it takes them: name, length, sum, and the table's size. */
    assert_int_equal(anchor_size, 24);
    assert_memory_equal(tables->anchor, "_SM3_", 5);
    assert_int_equal(tables->anchor[6], 24);
    assert_int_equal(tables->anchor[7], 3);
    assert_int_equal(get_le32(tables->anchor + 12), tables->size);
    for (size_t n = 0; n < anchor_size; n++)
        sum = (uint8_t)(sum + tables->anchor[n]);
    assert_int_equal(sum, 0);
}

static void destroy(struct tables *tables)
{
    free(tables->anchor);
    free(tables->bytes);
    fake_destroy(tables->fake);
}

/* Behind a structure and its strings, which end with an empty one. */
static const uint8_t *skip_structure(const struct tables *tables, const uint8_t *at)
{
    const uint8_t *end = tables->bytes + tables->size;

    assert_true(at + 4 <= end && at[1] >= 4 && at + at[1] + 2 <= end);
    for (at += at[1]; at[0] || at[1]; at++)
        assert_true(at + 2 < end);
    return at + 2;
}

static const uint8_t *find(const struct tables *tables, uint8_t type, unsigned which)
{
    for (const uint8_t *at = tables->bytes; at < tables->bytes + tables->size; at = skip_structure(tables, at))
        if (at[0] == type && which-- == 0)
            return at;
    return NULL;
}

/* The text that a byte of a structure names. */
static const char *text(const uint8_t *structure, unsigned offset)
{
    const char *at = (const char *)structure + structure[1];

    if (!structure[offset])
        return "";
    for (unsigned n = 1; n < structure[offset]; n++)
        at += strlen(at) + 1;
    return at;
}

static void every_structure_is_there_and_well_formed(void **state)
{
    static const struct {
        uint8_t type, length;
    } expected[] = {{0, 24}, {1, 27}, {3, 22}, {4, 48}, {16, 23}, {17, 40}, {19, 31}, {32, 11}, {127, 4}};
    struct tables tables;
    uint16_t handles[32];
    unsigned count = 0;
    const uint8_t *at;

    (void)state;
    make(&tables, &usual);
    for (size_t n = 0; n < ARRAY_SIZE(expected); n++) {
        at = find(&tables, expected[n].type, 0);
        assert_non_null(at);
        assert_true(at[1] >= expected[n].length);
    }
    for (at = tables.bytes; at < tables.bytes + tables.size; at = skip_structure(&tables, at)) {
        handles[count++] = get_le16(at + 2);
        for (unsigned n = 0; n + 1 < count; n++)
            assert_int_not_equal(handles[n], handles[count - 1]);
        if (at[0] == 127)
            assert_ptr_equal(skip_structure(&tables, at), tables.bytes + tables.size);
    }
    destroy(&tables);
}

/* The first three fields of the UUID are little-endian on the wire, so that every reader prints the same. */
static void the_system_is_who_it_should_be(void **state)
{
    static const uint8_t wire[16] = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
                                     0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
    struct tables tables;
    const uint8_t *system;

    (void)state;
    make(&tables, &usual);
    system = find(&tables, 1, 0);
    assert_string_equal(text(system, 4), "Casement");
    assert_string_equal(text(system, 5), "Casement Virtual Machine");
    assert_string_equal(text(system, 6), "0.1.0");
    assert_string_equal(text(system, 7), "web-server");
    assert_memory_equal(system + 8, wire, 16);
    assert_string_equal(text(find(&tables, 3, 0), 4), "Casement");
    destroy(&tables);
}

static void memory_adds_up(void **state)
{
    static const uint64_t sizes[] = {64 * MiB, 2 * GiB, 2 * GiB + 2 * MiB, 32 * GiB - MiB, 32 * GiB, 1024 * GiB};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
        struct smbios_options options = usual;
        struct tables tables;
        const uint8_t *device, *range;
        uint64_t megabytes, total = 0;

        options.memory = sizes[n];
        make(&tables, &options);
        device = find(&tables, 17, 0);
        megabytes = get_le16(device + 12) == 0x7FFF ? get_le32(device + 28) : get_le16(device + 12);
        assert_int_equal(megabytes * MiB, sizes[n]);
        assert_int_equal(get_le16(device + 4), get_le16(find(&tables, 16, 0) + 2));
        for (unsigned which = 0; (range = find(&tables, 19, which)); which++) {
            assert_int_equal(get_le32(range + 4), 0xFFFFFFFF);
            assert_int_equal(get_le64(range + 15), which ? 4 * GiB : 0);
            total += get_le64(range + 23) - get_le64(range + 15) + 1;
        }
        assert_int_equal(total, sizes[n]);
        destroy(&tables);
    }
}

static void processors_are_counted(void **state)
{
    static const unsigned counts[] = {1, 64, 255, 256, 1000};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
        struct smbios_options options = usual;
        struct tables tables;
        const uint8_t *processor;

        options.cpus = counts[n];
        make(&tables, &options);
        processor = find(&tables, 4, 0);
        assert_int_equal(processor[35], MIN(counts[n], 255U));
        assert_int_equal(get_le16(processor + 42), counts[n]);
        assert_int_equal(get_le16(processor + 46), counts[n]);
        destroy(&tables);
    }
}

/* Texts come from the user: missing, empty, and longer than any reader expects. */
static void any_text_gives_well_formed_tables(void **state)
{
    char longest[5001];
    struct smbios_options options = usual;
    struct tables tables;

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    options.manufacturer = NULL;
    options.product = "";
    options.serial = options.version = longest;
    make(&tables, &options);
    assert_string_equal(text(find(&tables, 1, 0), 4), "");
    assert_string_equal(text(find(&tables, 1, 0), 5), "");
    assert_int_equal(strlen(text(find(&tables, 1, 0), 7)), 64);
    assert_non_null(find(&tables, 127, 0));
    destroy(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_structure_is_there_and_well_formed),
        cmocka_unit_test(the_system_is_who_it_should_be),
        cmocka_unit_test(memory_adds_up),
        cmocka_unit_test(processors_are_counted),
        cmocka_unit_test(any_text_gives_well_formed_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
