/*
 * What the ACPI tables say of PCI: windows and ECAM as firmware has placed them, and as they are when a guest has
 * placed ECAM or a BAR where nobody should; the routing of the pins.
 */
#include <string.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_acpi.h"

static bool inside(const struct fake_acpi_windows *windows, uint64_t first, uint64_t last)
{
    for (unsigned n = 0; n < windows->count; n++)
        if (first >= windows->memory[n].first && last <= windows->memory[n].last)
            return true;
    return false;
}

/* Both firmware releases: 22.11 places ECAM at 0xB0000000, 25.02 at 0xE0000000 (contract 1.2). */
static void tables_follow_what_firmware_placed(void **state)
{
    static const struct {
        uint64_t ecam, bar, low, high; /* BARs of 32 bits that the firmware places */
    } firmware[] = {
        {0xB0000000, UINT64_C(0xE000000000), 0xC0000000, 0xFC000000 - 1},
        {0xE0000000, UINT64_C(0xC000000000), 0x80000000, 0xE0000000 - 1},
    };
    struct fake_acpi m;

    (void)state;
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    for (size_t n = 0; n < ARRAY_SIZE(firmware); n++) {
        struct fake_acpi_windows windows;
        uint64_t rsdp;

        pci_bus_reset(m.fake->board.pci);
        board_reset(&m.fake->board);
        fake_acpi_place_ecam(&m, firmware[n].ecam);
        fake_acpi_place_bar(&m, firmware[n].bar);
        rsdp = fake_acpi_load(&m);
        assert_int_equal(get_le64(fake_acpi_find_table(&m, rsdp, "MCFG") + 44), firmware[n].ecam);
        assert_int_equal(fake_acpi_find_table(&m, rsdp, "MCFG")[55], 255);
        fake_acpi_check_windows(&m, fake_acpi_find_table(&m, rsdp, "DSDT"));
        windows = fake_acpi_host_windows(fake_acpi_find_table(&m, rsdp, "DSDT"));
        assert_true(inside(&windows, firmware[n].bar, firmware[n].bar + 32 * GiB - 1));
        assert_true(inside(&windows, firmware[n].low, firmware[n].high));
        assert_int_equal(get_le32(fake_acpi_resources_of(fake_acpi_find_table(&m, rsdp, "DSDT"), "DRAC") + 4),
                         firmware[n].ecam);
    }
    fake_acpi_destroy(&m);
}

/* Whatever the guest did to the bus, the tables stay well-formed and nothing overlaps. */
static void hostile_placements_give_sane_windows(void **state)
{
    static const uint64_t ecam[] = {0,          0x10000000, 0x70000000,         0x80000000,
                                    0xF0000000, 0xE0000000, 0xFFFFFFFFF0000000, 0x100000000};
    static const uint64_t bar[] = {0x100000000,
                                   0x17FFFC000,
                                   0x280000000,
                                   0xFFFFFC000,
                                   0xFFFFFFC000,
                                   0x10000000000,
                                   0x7FFFFFFFFFFFC000,
                                   0xFFFFFFFFFFFFC000,
                                   0xE0000000,
                                   0x200000000000000,
                                   0,
                                   0xFFFF8000};
    struct fake_acpi m;

    (void)state;
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    for (size_t n = 0; n < ARRAY_SIZE(ecam) * ARRAY_SIZE(bar); n++) {
        pci_bus_reset(m.fake->board.pci);
        board_reset(&m.fake->board);
        fake_acpi_place_ecam(&m, ecam[n % ARRAY_SIZE(ecam)]);
        fake_acpi_place_bar(&m, bar[n / ARRAY_SIZE(ecam)]);
        fake_acpi_check_windows(&m, fake_acpi_find_table(&m, fake_acpi_load(&m), "DSDT"));
    }
    fake_acpi_destroy(&m);
}

static void small_address_widths_and_much_ram(void **state)
{
    static const struct {
        uint64_t high;
        unsigned bits;
        bool fits;
    } cases[] = {{0, 36, true},         {58 * GiB, 36, true}, {60 * GiB, 36, false}, {100 * GiB, 39, true},
                 {900 * GiB, 52, true}, {0, 48, true},        {0, 32, true}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct error error = {""};
        struct fake_acpi m;

        fake_acpi_make(&m);
        m.options.phys_bits = cases[n].bits;
        m.options.high_memory = cases[n].high;
        if (cases[n].fits) {
            fake_acpi_create_tables(&m);
            m.options.phys_bits = MAX(m.options.phys_bits, 36U);
            fake_acpi_check_windows(&m, fake_acpi_find_table(&m, fake_acpi_load(&m), "DSDT"));
        } else {
            assert_true(acpi_create(&m.fake->board, m.fw_cfg, &m.options, &error) < 0);
            assert_non_null(strstr(error.text, "less memory"));
        }
        fake_acpi_destroy(&m);
    }
}

/* The link that the DSDT names for a pin, as the last letter of "GSIx"; entries are packages of address, pin, link. */
static char link_of(const uint8_t *dsdt, unsigned slot, unsigned pin)
{
    size_t length = get_le32(dsdt + 4);
    const uint8_t *table = memmem(dsdt, length, "\x08PRTA\x12", 6);
    uint8_t address[5] = {0x0C}; /* a double word; slot 0's fits a word */
    const uint8_t *at, *end = dsdt + length;

    assert_non_null(table);
    put_le32(address + 1, slot << 16 | 0xFFFF);
    at = slot ? memmem(table, (size_t)(end - table), address, 5)
              : memmem(table, (size_t)(end - table), "\x0B\xFF\xFF", 3);
    for (unsigned n = 0; n < pin; n++) {
        assert_non_null(at);
        at = slot ? memmem(at + 1, (size_t)(end - at - 1), address, 5)
                  : memmem(at + 1, (size_t)(end - at - 1), "\x0B\xFF\xFF", 3);
    }
    assert_non_null(at);
    at = memmem(at, 24, "GSI", 3);
    assert_non_null(at);
    return (char)at[3];
}

/* One truth in two places: the wiring of the bridge and what ACPI says about it (contract 4.3). */
static void routing_table_agrees_with_the_wires(void **state)
{
    struct fake_acpi m;
    const uint8_t *dsdt;

    (void)state;
    fake_acpi_make(&m);
    fake_acpi_create_tables(&m);
    dsdt = fake_acpi_find_table(&m, fake_acpi_load(&m), "DSDT");
    for (unsigned slot = 1; slot < 31; slot++)
        for (unsigned pin = 0; pin < 4; pin++) {
            struct pci_function card = {.name = NULL};
            char link = link_of(dsdt, slot, pin);

            if (slot == BAR_SLOT)
                continue;
            fake_acpi_add_card(&m, &card, (int)slot, pin + 1);
            pci_intx_set(&card, true);
            for (unsigned n = 0; n < 8; n++)
                assert_int_equal(m.fake->lines[16 + n], n == (unsigned)(link - 'A'));
            pci_intx_set(&card, false);
            pci_function_remove(&card);
        }
    fake_acpi_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_follow_what_firmware_placed),
        cmocka_unit_test(hostile_placements_give_sane_windows),
        cmocka_unit_test(small_address_widths_and_much_ram),
        cmocka_unit_test(routing_table_agrees_with_the_wires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
