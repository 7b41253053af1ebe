/* The ACPI tables as firmware patches them, as a kernel without firmware finds them, and as iasl reads them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "cmocka_all.h"
#include "fake_acpi.h"
#include "fake_firmware.h"

static void firmware_accepts_the_script(void **state)
{
    static const char *const expected[] = {"FACP", "APIC", "MCFG", "WAET", "DSDT"};
    struct fake_acpi m;
    const uint8_t *fadt, *facs;
    uint64_t rsdp;

    (void)state;
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    fake_acpi_place_ecam(&m, 0xB0000000);
    rsdp = fake_acpi_load(&m);
    for (size_t n = 0; n < ARRAY_SIZE(expected); n++)
        assert_non_null(fake_acpi_find_table(&m, rsdp, expected[n]));
    fadt = fake_acpi_find_table(&m, rsdp, "FACP");
    assert_int_equal(get_le32(fadt + 4), 244);
    assert_int_equal(fadt[8], 3);
    assert_int_equal(get_le32(fadt + 36) % 64, 0);
    facs = fake_acpi_ram(&m, get_le32(fadt + 36), 64);
    assert_memory_equal(facs, "FACS", 4);
    assert_int_equal(get_le32(facs + 4), 64);
    fake_acpi_destroy(&m);
}

/* Platform contract 3.3, value by value. */
static void fadt_describes_the_fixed_hardware(void **state)
{
    struct fake_acpi m;
    const uint8_t *fadt;

    (void)state;
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    fadt = fake_acpi_find_table(&m, fake_acpi_load(&m), "FACP");
    assert_int_equal(get_le16(fadt + 46), 9);
    assert_int_equal(get_le32(fadt + 48), 0); /* no SMI_CMD: there is no SMM */
    assert_int_equal(get_le32(fadt + 56), 0x600);
    assert_int_equal(get_le32(fadt + 64), 0x604);
    assert_int_equal(get_le32(fadt + 76), 0x608);
    assert_int_equal(get_le32(fadt + 80), 0x620);
    assert_int_equal(get_le64(fadt + 152), 0x600);
    assert_int_equal(get_le64(fadt + 176), 0x604);
    assert_int_equal(get_le64(fadt + 212), 0x608);
    assert_int_equal(get_le64(fadt + 224), 0x620);
    assert_memory_equal(fadt + 88, "\4\2\0\4\20\0", 6);
    assert_int_equal(fadt[108], 0x32);
    assert_int_equal(get_le16(fadt + 109), 2);
    assert_int_equal(get_le32(fadt + 112), 0x84A5);
    assert_int_equal(get_le64(fadt + 120), 0xCF9);
    assert_int_equal(fadt[128], 0x0F);
    fake_acpi_destroy(&m);
    fake_acpi_make(&m);
    m.options.i8042 = false;
    m.options.cpus = 9;
    fake_acpi_create_tables(&m);
    fadt = fake_acpi_find_table(&m, fake_acpi_load(&m), "FACP");
    assert_int_equal(get_le16(fadt + 109), 0);
    assert_int_equal(get_le32(fadt + 112), 0x84A5 | 1 << 18);
    fake_acpi_destroy(&m);
}

static void madt_lists_processors_and_overrides(void **state)
{
    struct fake_acpi m;
    const uint8_t *madt;
    unsigned processors = 0, io_apics = 0, overrides = 0, nmis = 0;

    (void)state;
    fake_acpi_make(&m);
    m.options.cpus = 64;
    for (unsigned n = 0; n < 64; n++)
        m.apic_ids[n] = n * 2;
    fake_acpi_create_tables(&m);
    madt = fake_acpi_find_table(&m, fake_acpi_load(&m), "APIC");
    assert_int_equal(get_le32(madt + 36), 0xFEE00000);
    assert_int_equal(get_le32(madt + 40), 1);
    for (const uint8_t *at = madt + 44; at < madt + get_le32(madt + 4); at += at[1]) {
        assert_true(at[1] >= 6);
        switch (at[0]) {
        case 0:
            assert_int_equal(at[2], processors);
            assert_int_equal(at[3], processors * 2);
            assert_int_equal(get_le32(at + 4), 1);
            processors++;
            break;
        case 1:
            assert_int_equal(get_le32(at + 4), 0xFEC00000);
            io_apics++;
            break;
        case 2:
            assert_int_equal(get_le32(at + 4), at[3] ? at[3] : 2);
            assert_int_equal(get_le16(at + 8), at[3] ? 0x0D : 0);
            overrides++;
            break;
        case 4:
            assert_int_equal(at[2], 0xFF);
            assert_int_equal(at[5], 1);
            nmis++;
            break;
        default:
            fail();
        }
    }
    assert_int_equal(processors, 64);
    assert_int_equal(io_apics, 1);
    assert_int_equal(overrides, 5);
    assert_int_equal(nmis, 1);
    fake_acpi_destroy(&m);
}

/* Firmware reads the sizes before the tables are rebuilt. */
static void sizes_do_not_change_when_rebuilt(void **state)
{
    static const char *const names[] = {"etc/table-loader", "etc/acpi/tables", "etc/acpi/rsdp"};
    uint32_t before[3], after[3];
    struct fake_acpi m;
    uint16_t key;

    (void)state;
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    for (size_t n = 0; n < 3; n++)
        assert_true(fw_find(m.fake, names[n], &key, &before[n]));
    assert_int_equal(before[0] % 128, 0);
    assert_null(fake_acpi_find_table(&m, fake_acpi_load(&m), "MCFG"));
    board_reset(&m.fake->board);
    fake_acpi_place_ecam(&m, 0xE0000000);
    fake_acpi_place_bar(&m, UINT64_C(0xE000000000));
    assert_non_null(fake_acpi_find_table(&m, fake_acpi_load(&m), "MCFG"));
    for (size_t n = 0; n < 3; n++) {
        assert_true(fw_find(m.fake, names[n], &key, &after[n]));
        assert_int_equal(before[n], after[n]);
    }
    fake_acpi_destroy(&m);
}

static void every_name_that_windows_needs_is_there(void **state)
{
    static const char *const names[] = {"PCI0", "_CRS", "_OSC", "_PRT",     "_PIC",     "PRTP", "PRTA", "LNKA", "LNKH",
                                        "GSIA", "GSIH", "_DIS", "_SRS",     "_PRS",     "DRAC", "KBD_", "MOU_", "COM1",
                                        "RTC_", "_S5_", "FWCF", "QEMU0002", "ACPI0007", "C000", "C003"};
    static const char *const absent[] = {"_S3_", "_S4_", "C004"};
    struct fake_acpi m;
    const uint8_t *dsdt;

    (void)state;
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    fake_acpi_place_ecam(&m, 0xB0000000);
    dsdt = fake_acpi_find_table(&m, fake_acpi_load(&m), "DSDT");
    assert_int_equal(dsdt[8], 2);
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        assert_non_null(memmem(dsdt, get_le32(dsdt + 4), names[n], strlen(names[n])));
    for (size_t n = 0; n < ARRAY_SIZE(absent); n++)
        assert_null(memmem(dsdt, get_le32(dsdt + 4), absent[n], strlen(absent[n])));
    fake_acpi_destroy(&m);
    fake_acpi_make(&m);
    m.options.serial = m.options.i8042 = false;
    fake_acpi_create_tables(&m);
    dsdt = fake_acpi_find_table(&m, fake_acpi_load(&m), "DSDT");
    assert_null(memmem(dsdt, get_le32(dsdt + 4), "COM1", 4));
    assert_null(memmem(dsdt, get_le32(dsdt + 4), "KBD_", 4));
    assert_null(memmem(dsdt, get_le32(dsdt + 4), "MOU_", 4));
    fake_acpi_destroy(&m);
}

/* A kernel without firmware finds the same tables below 1 MiB, and the fixed hardware in ACPI mode. */
static void tables_can_be_placed_without_firmware(void **state)
{
    static const char *const expected[] = {"FACP", "APIC", "MCFG", "WAET", "DSDT"};
    struct error error = {""};
    uint64_t rsdp = 0;
    struct fake_acpi m;

    (void)state;
    fake_acpi_make(&m);
    m.options.cpus = 64;
    fake_acpi_place_ecam(&m, 0xB0000000);
    for (unsigned resets = 0; resets < 2; resets++) {
        board_reset(&m.fake->board);
        assert_int_equal(acpi_place(&m.fake->board, &m.options, &rsdp, &error), 0);
        assert_in_range(rsdp, 0xE0000, 0xFFFFF);
        assert_int_equal(rsdp % 16, 0);
        for (size_t n = 0; n < ARRAY_SIZE(expected); n++) {
            const uint8_t *table = fake_acpi_find_table(&m, rsdp, expected[n]);

            assert_non_null(table);
            assert_true(table > fake_acpi_ram(&m, 0xE0000, 1) &&
                        table + get_le32(table + 4) <= fake_acpi_ram(&m, 0xFFFFF, 1));
        }
        fake_acpi_check_windows(&m, fake_acpi_find_table(&m, rsdp, "DSDT"));
        assert_int_equal(fake_read(m.fake, BUS_PORT, 0x604, 2) & 1, 1);
    }
    fake_acpi_destroy(&m);
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

/* Whether the output of the command says so. */
static void run_iasl(const char *command, const char *must_say)
{
    char output[65536];
    FILE *pipe = popen(command, "r");
    size_t size;

    assert_non_null(pipe);
    size = fread(output, 1, sizeof output - 1, pipe);
    output[size] = '\0';
    if (pclose(pipe) != 0 || !strstr(output, must_say)) {
        print_error("%s\n%s\n", command, output);
        fail();
    }
}

/* What iasl makes of the tables, and of the source that it made of them: nothing to complain about. */
static void iasl_is_content(void **state)
{
    static const char *const tables[] = {"DSDT", "FACP", "APIC", "MCFG", "WAET"};
    struct fake_acpi m;
    uint64_t rsdp;

    (void)state;
    assert_true(mkdir("build", 0755) == 0 || errno == EEXIST);
    assert_true(mkdir("build/acpi", 0755) == 0 || errno == EEXIST);
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    fake_acpi_place_ecam(&m, 0xB0000000);
    fake_acpi_place_bar(&m, UINT64_C(0xE000000000));
    rsdp = fake_acpi_load(&m);
    for (size_t n = 0; n < ARRAY_SIZE(tables); n++) {
        const uint8_t *table = fake_acpi_find_table(&m, rsdp, tables[n]);
        char path[64], command[256];

        snprintf(path, sizeof path, "build/acpi/%s.dat", tables[n]);
        write_file(path, table, get_le32(table + 4));
        snprintf(command, sizeof command, "iasl -p build/acpi/%s -d %s 2>&1", tables[n], path);
        run_iasl(command, n == 0 ? "ASL Output" : "Formatted output");
        snprintf(command, sizeof command, "iasl -p build/acpi/%s-again build/acpi/%s.dsl 2>&1", tables[n], tables[n]);
        run_iasl(command, "Compilation successful. 0 Errors, 0 Warnings, 0 Remarks");
    }
    fake_acpi_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firmware_accepts_the_script),
        cmocka_unit_test(fadt_describes_the_fixed_hardware),
        cmocka_unit_test(madt_lists_processors_and_overrides),
        cmocka_unit_test(sizes_do_not_change_when_rebuilt),
        cmocka_unit_test(every_name_that_windows_needs_is_there),
        cmocka_unit_test(tables_can_be_placed_without_firmware),
        cmocka_unit_test(iasl_is_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
