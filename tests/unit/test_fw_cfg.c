/* fw_cfg as firmware reads it, and as a hostile guest treats it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "cmocka_all.h"
#include "fake_firmware.h"

enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
#define RAM (4 * MiB)
#define BUFFER 0x10000

static const struct fw_cfg_machine machine = {
    .cpus = 6, .low_memory = 2 * GiB, .high_memory = 3 * GiB, .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}};

static struct fake *make(struct fw_cfg **fw_cfg)
{
    struct fake *fake = fake_create(RAM);
    struct error error = {""};

    assert_int_equal(fw_cfg_create(&fake->board, fw_cfg, &error), 0);
    assert_int_equal(fw_cfg_add_machine(*fw_cfg, &machine, &error), 0);
    return fake;
}

static uint64_t read_word(struct fake *fake, uint16_t key, unsigned size)
{
    uint8_t bytes[8] = {0};

    fw_select(fake, key);
    fw_read(fake, bytes, size);
    return get_le64(bytes);
}

static void firmware_finds_signature_and_features(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    char signature[5] = "";

    (void)state;
    fw_select(fake, 0);
    fw_read(fake, signature, 4);
    assert_string_equal(signature, "QEMU");
    assert_int_equal(read_word(fake, 1, 4), 3);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x514, 4), 0x554D4551);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x518, 4), 0x47464320);
    fake_destroy(fake);
}

static void keys_describe_the_machine(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    uint8_t uuid[16];

    (void)state;
    fw_select(fake, 2);
    fw_read(fake, uuid, sizeof uuid);
    assert_memory_equal(uuid, machine.uuid, sizeof uuid);
    assert_int_equal(read_word(fake, 3, 8), 5 * GiB);
    assert_int_equal(read_word(fake, 5, 2), 6);
    assert_int_equal(read_word(fake, 0xF, 2), 6);
    assert_int_equal(read_word(fake, 0xE, 2), 0);
    /* No kernel to start directly. */
    assert_int_equal(read_word(fake, 0x08, 4), 0);
    assert_int_equal(read_word(fake, 0x0B, 4), 0);
    assert_int_equal(read_word(fake, 0x14, 4), 0);
    assert_int_equal(read_word(fake, 0x17, 4), 0);
    fake_destroy(fake);
}

/* RAM from 0 and from 4 GiB, and what is KVM's own; nothing may overlap. */
static void e820_says_where_ram_is(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    uint64_t ram = 0;
    bool reserved = false;
    size_t size = 0;
    uint8_t *map = fw_file(fake, "etc/e820", &size);

    (void)state;
    assert_non_null(map);
    assert_int_equal(size, 60);
    for (size_t at = 0; at < size; at += 20) {
        uint64_t base = get_le64(map + at), length = get_le64(map + at + 8);
        uint32_t type = get_le32(map + at + 16);

        if (type == 1)
            ram += length;
        reserved |= type == 2 && base == 0xFEFFC000 && length == 0x4000;
        assert_true(type != 1 || (base == 0 && length == 2 * GiB) || (base == 4 * GiB && length == 3 * GiB));
    }
    assert_int_equal(ram, 5 * GiB);
    assert_true(reserved);
    free(map);
    fake_destroy(fake);
}

/* A machine without a bootable disk would sit in each of them for a minute; firmware takes one letter for an answer. */
static void firmware_starts_nothing_from_the_network(void **state)
{
    static const char *const names[] = {"opt/org.tianocore/IPv4PXESupport", "opt/org.tianocore/IPv6PXESupport"};
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        size_t size = 0;
        uint8_t *answer = fw_file(fake, names[n], &size);

        assert_non_null(answer);
        assert_int_equal(size, 1);
        assert_int_equal(answer[0], 'n');
        free(answer);
    }
    fake_destroy(fake);
}

static void the_directory_is_sorted_and_complete(void **state)
{
    static const char *const names[] = {"etc/zebra", "etc/apple", "opt/middle", "etc/e"};
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    uint8_t count[4], entry[64];
    char last[56] = "";
    size_t size = 0;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        assert_int_equal(fw_cfg_add_file(fw_cfg, names[n], names[n], strlen(names[n])), 0);
    fw_select(fake, 0x19);
    fw_read(fake, count, 4);
    assert_int_equal(get_be32(count), 3 + ARRAY_SIZE(names));
    for (uint32_t n = 0; n < get_be32(count); n++) {
        fw_read(fake, entry, sizeof entry);
        assert_true(strcmp(last, (char *)entry + 8) < 0);
        memcpy(last, entry + 8, sizeof last);
        assert_true(get_be16(entry + 4) >= 0x20);
        assert_int_equal(get_be16(entry + 6), 0);
    }
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        uint8_t *data = fw_file(fake, names[n], &size);

        assert_non_null(data);
        assert_int_equal(size, strlen(names[n]));
        assert_memory_equal(data, names[n], size);
        free(data);
    }
    fake_destroy(fake);
}

static void names_and_numbers_have_limits(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    char name[57];
    unsigned added = 0;
    uint16_t key;
    uint32_t size;

    (void)state;
    memset(name, 'n', 56);
    name[56] = '\0';
    assert_true(fw_cfg_add_file(fw_cfg, name, "x", 1) < 0);
    name[55] = '\0';
    assert_int_equal(fw_cfg_add_file(fw_cfg, name, "x", 1), 0);
    assert_true(fw_find(fake, name, &key, &size));
    assert_true(fw_cfg_add_file(fw_cfg, "", "x", 1) < 0);
    assert_true(fw_cfg_add_file(fw_cfg, name, "y", 1) < 0);
    assert_int_equal(fw_cfg_add_file(fw_cfg, "empty", NULL, 0), 0);
    assert_true(fw_cfg_update_file(fw_cfg, "nowhere", "x", 1) < 0);
    for (; added < 1000; added++) {
        snprintf(name, sizeof name, "file%u", added);
        if (fw_cfg_add_file(fw_cfg, name, "x", 1) < 0)
            break;
    }
    assert_in_range(added, 20, 999);
    assert_true(fw_find(fake, "file0", &key, &size));
    fake_destroy(fake);
}

static void past_the_end_there_are_zeros(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    uint8_t bytes[64];

    (void)state;
    memset(bytes, 0xAA, sizeof bytes);
    fw_select(fake, 0);
    fw_read(fake, bytes, sizeof bytes);
    assert_memory_equal(bytes, "QEMU", 4);
    for (size_t n = 4; n < sizeof bytes; n++)
        assert_int_equal(bytes[n], 0);
    fw_select(fake, 0xBEEF); /* no such key */
    fw_read(fake, bytes, sizeof bytes);
    for (size_t n = 0; n < sizeof bytes; n++)
        assert_int_equal(bytes[n], 0);
    fake_destroy(fake);
}

static void dma_selects_reads_and_skips(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    uint8_t *buffer = memory_at(fake->board.memory, BUFFER, 64);
    char text[] = "0123456789";

    (void)state;
    assert_int_equal(fw_cfg_add(fw_cfg, 0x11, text, 10), 0);
    memset(buffer, 0xAA, 64);
    assert_int_equal(fw_dma(fake, 0x11U << 16 | DMA_SELECT | DMA_READ, 4, BUFFER), 0);
    assert_memory_equal(buffer, "0123\xAA", 5);
    assert_int_equal(fw_dma(fake, DMA_SKIP, 2, 0), 0);
    assert_int_equal(fw_dma(fake, DMA_READ, 8, BUFFER), 0);
    assert_memory_equal(buffer, "6789\0\0\0\0\xAA", 9);
    assert_int_equal(fw_dma(fake, 0x11U << 16 | DMA_SELECT, 0, 0), 0);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x511, 1), '0');
    fake_destroy(fake);
}

/* Nothing is written by the device, and what it holds does not change. */
static void dma_writes_are_refused(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    char signature[5] = "";

    (void)state;
    memcpy(memory_at(fake->board.memory, BUFFER, 4), "EVIL", 4);
    assert_int_equal(fw_dma(fake, DMA_SELECT | DMA_WRITE, 4, BUFFER), DMA_ERROR);
    assert_int_equal(fw_dma(fake, 0x19U << 16 | DMA_SELECT | DMA_WRITE, 4, BUFFER), DMA_ERROR);
    fw_select(fake, 0);
    fw_read(fake, signature, 4);
    assert_string_equal(signature, "QEMU");
    fake_destroy(fake);
}

/* lessons 4.5, rows 2 and 25: the end of RAM, the hole, 2^64, length 0. */
static void dma_stays_inside_ram(void **state)
{
    static const struct {
        uint64_t address;
        uint32_t length, result;
    } cases[] = {
        {RAM - 4, 4, 0},
        {RAM - 3, 4, DMA_ERROR},
        {RAM, 1, DMA_ERROR},
        {0, UINT32_MAX, DMA_ERROR},
        {BUFFER, UINT32_MAX, DMA_ERROR},
        {UINT64_MAX - 7, 16, DMA_ERROR},
        {UINT64_MAX, UINT32_MAX, DMA_ERROR},
        {0xFFFFF000, 4, DMA_ERROR},
        {UINT64_MAX, 0, 0},
        {BUFFER, 0, 0},
        {0x100000, RAM - 0x100000, 0},
    };
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++)
        assert_int_equal(fw_dma(fake, DMA_SELECT | DMA_READ, cases[n].length, cases[n].address), cases[n].result);
    fake_destroy(fake);
}

static void a_descriptor_outside_ram_does_nothing(void **state)
{
    static const uint64_t places[] = {RAM - 15, RAM, 0xFFFFFFFF, UINT64_MAX - 15, UINT64_MAX};
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
        fake_write(fake, BUS_PORT, 0x514, 4, htobe32((uint32_t)(places[n] >> 32)));
        fake_write(fake, BUS_PORT, 0x518, 4, htobe32((uint32_t)places[n]));
    }
    /* The upper half was used up: the next descriptor is below 4 GiB again. */
    fake_write(fake, BUS_PORT, 0x514, 4, UINT32_MAX);
    fake_write(fake, BUS_PORT, 0x518, 4, UINT32_MAX);
    memset(memory_at(fake->board.memory, FAKE_DESCRIPTOR, 16), 0, 16);
    put_be32(memory_at(fake->board.memory, FAKE_DESCRIPTOR, 4), DMA_WRITE);
    fake_write(fake, BUS_PORT, 0x518, 4, htobe32(FAKE_DESCRIPTOR));
    assert_int_equal(get_be32(memory_at(fake->board.memory, FAKE_DESCRIPTOR, 4)), DMA_ERROR);
    fake_destroy(fake);
}

/* Offsets far behind the end: however much is skipped, reads give zeros and never bytes of something else. */
static void skipping_never_wraps(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);

    (void)state;
    fw_select(fake, 0);
    for (unsigned n = 0; n < 1000; n++)
        assert_int_equal(fw_dma(fake, DMA_SKIP, UINT32_MAX, 0), 0);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x511, 1), 0);
    assert_int_equal(fw_dma(fake, DMA_SKIP, 1000, 0), 0);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x511, 1), 0);
    fake_destroy(fake);
}

/* lessons 4.5, rows 16 and 22: every port, width and a lot of values. */
static void any_access_is_survived(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    uint32_t value = 12345;

    (void)state;
    for (unsigned n = 0; n < 200000; n++) {
        unsigned port, size;

        value = value * 1664525 + 1013904223;
        port = 0x508 + (value >> 28) + (value >> 24 & 7);
        size = 1U << (value >> 22 & 3);
        if (value & 0x100000)
            fake_write(fake, BUS_PORT, port, size, value * UINT64_C(0x9E3779B97F4A7C15));
        else
            fake_read(fake, BUS_PORT, port, size);
    }
    assert_int_equal(read_word(fake, 1, 4), 3);
    fake_destroy(fake);
}

struct regenerated {
    struct fw_cfg *fw_cfg;
    struct fake *fake;
    unsigned count;
};

static void regenerate(void *opaque)
{
    struct regenerated *regenerated = opaque;
    char text[8];

    regenerated->count++;
    snprintf(text, sizeof text, "new%u", regenerated->count);
    assert_int_equal(fw_cfg_update_file(regenerated->fw_cfg, "etc/acpi/tables", text, 4), 0);
}

static void acpi_is_rebuilt_once_after_each_reset(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    struct regenerated regenerated = {fw_cfg, fake, 0};
    size_t size = 0;
    uint8_t *data;

    (void)state;
    assert_int_equal(fw_cfg_add_file(fw_cfg, "etc/table-loader", "loader", 6), 0);
    assert_int_equal(fw_cfg_add_file(fw_cfg, "etc/acpi/tables", "old tables", 10), 0);
    fw_cfg_on_acpi(fw_cfg, regenerate, &regenerated);
    board_reset(&fake->board);
    free(fw_file(fake, "etc/e820", &size));
    assert_int_equal(regenerated.count, 0);
    free(fw_file(fake, "etc/table-loader", &size));
    assert_int_equal(regenerated.count, 1);
    data = fw_file(fake, "etc/acpi/tables", &size);
    assert_int_equal(regenerated.count, 1);
    assert_int_equal(size, 10); /* what the directory said first */
    assert_memory_equal(data, "new1\0\0\0\0\0\0", 10);
    free(data);
    board_reset(&fake->board);
    data = fw_file(fake, "etc/acpi/tables", &size);
    assert_int_equal(regenerated.count, 2);
    assert_memory_equal(data, "new2", 4);
    free(data);
    fake_destroy(fake);
}

/* The selection by DMA counts as well. */
static void acpi_is_rebuilt_on_dma_too(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);
    struct regenerated regenerated = {fw_cfg, fake, 0};
    uint32_t size;
    uint16_t key;

    (void)state;
    assert_int_equal(fw_cfg_add_file(fw_cfg, "etc/acpi/tables", "old tables", 10), 0);
    fw_cfg_on_acpi(fw_cfg, regenerate, &regenerated);
    board_reset(&fake->board);
    assert_true(fw_find(fake, "etc/acpi/tables", &key, &size));
    assert_int_equal(fw_dma(fake, (uint32_t)key << 16 | DMA_SELECT | DMA_READ, size, BUFFER), 0);
    assert_int_equal(regenerated.count, 1);
    assert_memory_equal(memory_at(fake->board.memory, BUFFER, 4), "new1", 4);
    fake_destroy(fake);
}

static void reset_forgets_the_selection(void **state)
{
    struct fw_cfg *fw_cfg;
    struct fake *fake = make(&fw_cfg);

    (void)state;
    fw_select(fake, 3);
    fake_write(fake, BUS_PORT, 0x514, 4, UINT32_MAX);
    board_reset(&fake->board);
    assert_int_equal(fw_dma(fake, DMA_SELECT | DMA_READ, 4, BUFFER), 0);
    assert_memory_equal(memory_at(fake->board.memory, BUFFER, 4), "QEMU", 4);
    fake_destroy(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firmware_finds_signature_and_features),
        cmocka_unit_test(keys_describe_the_machine),
        cmocka_unit_test(e820_says_where_ram_is),
        cmocka_unit_test(firmware_starts_nothing_from_the_network),
        cmocka_unit_test(the_directory_is_sorted_and_complete),
        cmocka_unit_test(names_and_numbers_have_limits),
        cmocka_unit_test(past_the_end_there_are_zeros),
        cmocka_unit_test(dma_selects_reads_and_skips),
        cmocka_unit_test(dma_writes_are_refused),
        cmocka_unit_test(dma_stays_inside_ram),
        cmocka_unit_test(a_descriptor_outside_ram_does_nothing),
        cmocka_unit_test(skipping_never_wraps),
        cmocka_unit_test(any_access_is_survived),
        cmocka_unit_test(acpi_is_rebuilt_once_after_each_reset),
        cmocka_unit_test(acpi_is_rebuilt_on_dma_too),
        cmocka_unit_test(reset_forgets_the_selection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
