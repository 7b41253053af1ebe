/*
 * The ACPI tables as firmware patches them, as iasl reads them, and as they are when a guest has placed ECAM or a BAR
 * where nobody should.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/chipset.h"
#include "casement/firmware.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_firmware.h"

#define BLOBS_AT 0x100000
#define BAR_SLOT 5
#define HOLE_END UINT64_C(0xFEC00000)

struct machine {
    struct fake *fake;
    struct fw_cfg *fw_cfg;
    struct pci_function card; /* with one 64-bit BAR of 16 KiB and a pin */
    uint32_t apic_ids[64];
    struct acpi_options options;
};

static uint64_t card_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return 0;
}

static void card_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device, (void)offset, (void)size, (void)value;
}

static void add_card(struct machine *m, struct pci_function *card, int slot, unsigned pin)
{
    static const struct bus_ops ops = {card_read, card_write};
    const struct pci_identity identity = {0x1AF4, 0x1041, 0x1AF4, 0x1100, 1, 0x020000};
    const struct pci_bar bar = {.type = PCI_BAR_MEMORY64, .size = 16 * KiB, .region = {.name = "card", .ops = &ops}};

    assert_int_equal(pci_function_init(card, "card", &identity), 0);
    assert_int_equal(pci_bar_add(card, 0, &bar), 0);
    pci_intx_add(card, pin);
    assert_int_equal(pci_function_add(m->fake->board.pci, card, slot, 0), 0);
}

static void make(struct machine *m)
{
    struct error error = {""};
    struct pci_bus *bus;
    struct acpi_pm *pm;

    memset(m, 0, sizeof *m);
    m->fake = fake_create(0);
    for (unsigned n = 0; n < ARRAY_SIZE(m->apic_ids); n++)
        m->apic_ids[n] = n;
    m->options = (struct acpi_options){.cpus = 4,
                                       .apic_ids = m->apic_ids,
                                       .low_memory = 2 * GiB,
                                       .high_memory = 6 * GiB,
                                       .phys_bits = 40,
                                       .serial = true,
                                       .i8042 = true};
    assert_int_equal(pci_bus_create(&m->fake->board, &bus), 0);
    assert_int_equal(q35_host_create(&m->fake->board, &error), 0);
    assert_int_equal(acpi_pm_create(&m->fake->board, &pm, &error), 0);
    assert_int_equal(lpc_create(&m->fake->board, pm, &error), 0);
    add_card(m, &m->card, BAR_SLOT, 1);
    assert_int_equal(fw_cfg_create(&m->fake->board, &m->fw_cfg, &error), 0);
}

static void create_tables(struct machine *m)
{
    struct error error = {""};

    assert_int_equal(acpi_create(&m->fake->board, m->fw_cfg, &m->options, &error), 0);
    pci_bus_reset(m->fake->board.pci);
    board_reset(&m->fake->board);
}

static void destroy(struct machine *m)
{
    pci_function_remove(&m->card);
    fake_destroy(m->fake);
}

static void place_ecam(struct machine *m, uint64_t base)
{
    fake_config_write(m->fake, 0, 0x60, 4, 0);
    fake_config_write(m->fake, 0, 0x64, 4, base >> 32);
    fake_config_write(m->fake, 0, 0x60, 4, (uint32_t)base | 1);
}

static void place_bar(struct machine *m, uint64_t address)
{
    fake_config_write(m->fake, BAR_SLOT << 3, 0x10, 4, (uint32_t)address);
    fake_config_write(m->fake, BAR_SLOT << 3, 0x14, 4, address >> 32);
    fake_config_write(m->fake, BAR_SLOT << 3, 0x04, 2, 2);
}

static uint8_t *ram(const struct machine *m, uint64_t address, uint64_t length)
{
    uint8_t *at = memory_at(m->fake->board.memory, address, length);

    assert_non_null(at);
    return at;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;

    while (size--)
        total = (uint8_t)(total + *bytes++);
    return total;
}

/* A table in guest RAM that has the right sum, or NULL. The RSDP leads to the XSDT, that to the rest, FADT to DSDT. */
static uint8_t *find_table(const struct machine *m, uint64_t rsdp_at, const char *signature)
{
    const uint8_t *rsdp = ram(m, rsdp_at, 36), *xsdt;
    uint32_t length;

    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(rsdp[15], 2);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    xsdt = ram(m, get_le64(rsdp + 24), 36);
    length = get_le32(xsdt + 4);
    xsdt = ram(m, get_le64(rsdp + 24), length);
    assert_memory_equal(xsdt, "XSDT", 4);
    assert_int_equal(sum(xsdt, length), 0);
    for (uint32_t at = 36; at < length; at += 8) {
        uint64_t address = get_le64(xsdt + at);
        uint8_t *table = ram(m, address, 36);

        table = ram(m, address, get_le32(table + 4));
        assert_int_equal(sum(table, get_le32(table + 4)), 0);
        if (memcmp(table, "FACP", 4) == 0 && memcmp(signature, "DSDT", 4) == 0) {
            assert_int_equal(get_le32(table + 40), get_le64(table + 140));
            table = ram(m, get_le32(table + 40), 36);
            table = ram(m, (uint64_t)get_le32(find_table(m, rsdp_at, "FACP") + 40), get_le32(table + 4));
            assert_int_equal(sum(table, get_le32(table + 4)), 0);
        }
        if (memcmp(table, signature, 4) == 0)
            return table;
    }
    return NULL;
}

static uint64_t load(struct machine *m)
{
    uint64_t rsdp = fw_load_acpi(m->fake, BLOBS_AT);

    assert_int_not_equal(rsdp, 0);
    return rsdp;
}

static void firmware_accepts_the_script(void **state)
{
    static const char *const expected[] = {"FACP", "APIC", "MCFG", "WAET", "DSDT"};
    struct machine m;
    const uint8_t *fadt, *facs;
    uint64_t rsdp;

    (void)state;
    make(&m);
    create_tables(&m);
    place_ecam(&m, 0xB0000000);
    rsdp = load(&m);
    for (size_t n = 0; n < ARRAY_SIZE(expected); n++)
        assert_non_null(find_table(&m, rsdp, expected[n]));
    fadt = find_table(&m, rsdp, "FACP");
    assert_int_equal(get_le32(fadt + 4), 244);
    assert_int_equal(fadt[8], 3);
    assert_int_equal(get_le32(fadt + 36) % 64, 0);
    facs = ram(&m, get_le32(fadt + 36), 64);
    assert_memory_equal(facs, "FACS", 4);
    assert_int_equal(get_le32(facs + 4), 64);
    destroy(&m);
}

/* Platform contract 3.3, value by value. */
static void fadt_describes_the_fixed_hardware(void **state)
{
    struct machine m;
    const uint8_t *fadt;

    (void)state;
    make(&m);
    create_tables(&m);
    fadt = find_table(&m, load(&m), "FACP");
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
    destroy(&m);
    make(&m);
    m.options.i8042 = false;
    m.options.cpus = 9;
    create_tables(&m);
    fadt = find_table(&m, load(&m), "FACP");
    assert_int_equal(get_le16(fadt + 109), 0);
    assert_int_equal(get_le32(fadt + 112), 0x84A5 | 1 << 18);
    destroy(&m);
}

static void madt_lists_processors_and_overrides(void **state)
{
    struct machine m;
    const uint8_t *madt;
    unsigned processors = 0, io_apics = 0, overrides = 0, nmis = 0;

    (void)state;
    make(&m);
    m.options.cpus = 64;
    for (unsigned n = 0; n < 64; n++)
        m.apic_ids[n] = n * 2;
    create_tables(&m);
    madt = find_table(&m, load(&m), "APIC");
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
    destroy(&m);
}

struct window {
    uint64_t first, last;
};

struct windows {
    struct window memory[8];
    unsigned count, buses, ports;
};

/* The package length at at; *bytes is how many bytes it takes. */
static size_t package_length(const uint8_t *at, unsigned *bytes)
{
    size_t length = at[0] & 0x3F;

    *bytes = 1 + (at[0] >> 6);
    if (*bytes > 1)
        length &= 0x0F;
    for (unsigned n = 1; n < *bytes; n++)
        length |= (size_t)at[n] << (8 * n - 4);
    return length;
}

/* Behind name in the DSDT, the contents of the first buffer called _CRS. */
static const uint8_t *resources_of(const uint8_t *dsdt, const char *name)
{
    size_t length = get_le32(dsdt + 4);
    const uint8_t *at = memmem(dsdt, length, name, strlen(name));
    unsigned bytes;

    if (!at)
        return NULL;
    at = memmem(at, length - (size_t)(at - dsdt), "\x08_CRS\x11", 6);
    assert_non_null(at);
    at += 6;
    package_length(at, &bytes);
    at += bytes;
    assert_in_range(*at, 0x0A, 0x0B); /* the buffer's size, one byte or two */
    return at + (*at == 0x0A ? 2 : 3);
}

static struct windows host_windows(const uint8_t *dsdt)
{
    struct windows windows = {.count = 0};
    const uint8_t *at = resources_of(dsdt, "PCI0");

    assert_non_null(at);
    while (*at != 0x79) {
        unsigned width = *at == 0x88 ? 2 : *at == 0x87 ? 4 : *at == 0x8A ? 8 : 0;

        if (!width) {
            assert_int_equal(*at, 0x47);
            at += 8;
            continue;
        }
        assert_int_equal(get_le16(at + 1), 3 + 5 * width);
        assert_int_equal(get_le(at + 6 + 2 * width, width) - get_le(at + 6 + width, width) + 1,
                         get_le(at + 6 + 4 * width, width));
        if (at[3] == 0)
            windows.memory[windows.count++] =
                (struct window){get_le(at + 6 + width, width), get_le(at + 6 + 2 * width, width)};
        windows.buses += at[3] == 2;
        windows.ports += at[3] == 1;
        at += 6 + 5 * width;
    }
    return windows;
}

/* What bug check 0xA5, parameter 2, and every lost BAR come from. */
static void check_windows(const struct machine *m, const uint8_t *dsdt)
{
    const struct windows windows = host_windows(dsdt);
    const uint8_t *ecam = resources_of(dsdt, "DRAC");
    const struct window taken[] = {
        {0, 0x9FFFF},
        {0xC0000, m->options.low_memory - 1},
        {HOLE_END, UINT32_MAX},
        {4 * GiB, 4 * GiB + m->options.high_memory - 1},
        ecam ? (struct window){get_le32(ecam + 4), get_le32(ecam + 4) + get_le32(ecam + 8) - 1}
             : (struct window){UINT64_MAX, UINT64_MAX},
    };
    unsigned high = 0;

    assert_int_equal(windows.buses, 1);
    assert_int_equal(windows.ports, 2);
    for (unsigned n = 0; n < windows.count; n++) {
        const struct window *window = &windows.memory[n];

        assert_true(window->first < window->last);
        assert_true(window->last < UINT64_C(1) << m->options.phys_bits);
        for (size_t t = 0; t < ARRAY_SIZE(taken); t++)
            assert_true(taken[t].first > taken[t].last || window->last < taken[t].first ||
                        window->first > taken[t].last);
        for (unsigned other = 0; other < n; other++)
            assert_true(window->last < windows.memory[other].first || window->first > windows.memory[other].last);
        high += window->first >= 4 * GiB;
    }
    assert_int_equal(high, 1);
}

static bool inside(const struct windows *windows, uint64_t first, uint64_t last)
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
    struct machine m;

    (void)state;
    make(&m);
    create_tables(&m);
    for (size_t n = 0; n < ARRAY_SIZE(firmware); n++) {
        struct windows windows;
        uint64_t rsdp;

        pci_bus_reset(m.fake->board.pci);
        board_reset(&m.fake->board);
        place_ecam(&m, firmware[n].ecam);
        place_bar(&m, firmware[n].bar);
        rsdp = load(&m);
        assert_int_equal(get_le64(find_table(&m, rsdp, "MCFG") + 44), firmware[n].ecam);
        assert_int_equal(find_table(&m, rsdp, "MCFG")[55], 255);
        check_windows(&m, find_table(&m, rsdp, "DSDT"));
        windows = host_windows(find_table(&m, rsdp, "DSDT"));
        assert_true(inside(&windows, firmware[n].bar, firmware[n].bar + 32 * GiB - 1));
        assert_true(inside(&windows, firmware[n].low, firmware[n].high));
        assert_int_equal(get_le32(resources_of(find_table(&m, rsdp, "DSDT"), "DRAC") + 4), firmware[n].ecam);
    }
    destroy(&m);
}

/* Firmware reads the sizes before the tables are rebuilt. */
static void sizes_do_not_change_when_rebuilt(void **state)
{
    static const char *const names[] = {"etc/table-loader", "etc/acpi/tables", "etc/acpi/rsdp"};
    uint32_t before[3], after[3];
    struct machine m;
    uint16_t key;

    (void)state;
    make(&m);
    create_tables(&m);
    for (size_t n = 0; n < 3; n++)
        assert_true(fw_find(m.fake, names[n], &key, &before[n]));
    assert_int_equal(before[0] % 128, 0);
    assert_null(find_table(&m, load(&m), "MCFG"));
    board_reset(&m.fake->board);
    place_ecam(&m, 0xE0000000);
    place_bar(&m, UINT64_C(0xE000000000));
    assert_non_null(find_table(&m, load(&m), "MCFG"));
    for (size_t n = 0; n < 3; n++) {
        assert_true(fw_find(m.fake, names[n], &key, &after[n]));
        assert_int_equal(before[n], after[n]);
    }
    destroy(&m);
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
    struct machine m;

    (void)state;
    make(&m);
    create_tables(&m);
    for (size_t n = 0; n < ARRAY_SIZE(ecam) * ARRAY_SIZE(bar); n++) {
        pci_bus_reset(m.fake->board.pci);
        board_reset(&m.fake->board);
        place_ecam(&m, ecam[n % ARRAY_SIZE(ecam)]);
        place_bar(&m, bar[n / ARRAY_SIZE(ecam)]);
        check_windows(&m, find_table(&m, load(&m), "DSDT"));
    }
    destroy(&m);
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
        struct machine m;

        make(&m);
        m.options.phys_bits = cases[n].bits;
        m.options.high_memory = cases[n].high;
        if (cases[n].fits) {
            create_tables(&m);
            m.options.phys_bits = MAX(m.options.phys_bits, 36U);
            check_windows(&m, find_table(&m, load(&m), "DSDT"));
        } else {
            assert_true(acpi_create(&m.fake->board, m.fw_cfg, &m.options, &error) < 0);
            assert_non_null(strstr(error.text, "less memory"));
        }
        destroy(&m);
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
    struct machine m;
    const uint8_t *dsdt;

    (void)state;
    make(&m);
    create_tables(&m);
    dsdt = find_table(&m, load(&m), "DSDT");
    for (unsigned slot = 1; slot < 31; slot++)
        for (unsigned pin = 0; pin < 4; pin++) {
            struct pci_function card = {.name = NULL};
            char link = link_of(dsdt, slot, pin);

            if (slot == BAR_SLOT)
                continue;
            add_card(&m, &card, (int)slot, pin + 1);
            pci_intx_set(&card, true);
            for (unsigned n = 0; n < 8; n++)
                assert_int_equal(m.fake->lines[16 + n], n == (unsigned)(link - 'A'));
            pci_intx_set(&card, false);
            pci_function_remove(&card);
        }
    destroy(&m);
}

static void every_name_that_windows_needs_is_there(void **state)
{
    static const char *const names[] = {"PCI0", "_CRS", "_OSC", "_PRT",     "_PIC",     "PRTP", "PRTA", "LNKA", "LNKH",
                                        "GSIA", "GSIH", "_DIS", "_SRS",     "_PRS",     "DRAC", "KBD_", "MOU_", "COM1",
                                        "RTC_", "_S5_", "FWCF", "QEMU0002", "ACPI0007", "C000", "C003"};
    static const char *const absent[] = {"_S3_", "_S4_", "C004"};
    struct machine m;
    const uint8_t *dsdt;

    (void)state;
    make(&m);
    create_tables(&m);
    place_ecam(&m, 0xB0000000);
    dsdt = find_table(&m, load(&m), "DSDT");
    assert_int_equal(dsdt[8], 2);
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        assert_non_null(memmem(dsdt, get_le32(dsdt + 4), names[n], strlen(names[n])));
    for (size_t n = 0; n < ARRAY_SIZE(absent); n++)
        assert_null(memmem(dsdt, get_le32(dsdt + 4), absent[n], strlen(absent[n])));
    destroy(&m);
    make(&m);
    m.options.serial = m.options.i8042 = false;
    create_tables(&m);
    dsdt = find_table(&m, load(&m), "DSDT");
    assert_null(memmem(dsdt, get_le32(dsdt + 4), "COM1", 4));
    assert_null(memmem(dsdt, get_le32(dsdt + 4), "KBD_", 4));
    assert_null(memmem(dsdt, get_le32(dsdt + 4), "MOU_", 4));
    destroy(&m);
}

/* A kernel without firmware finds the same tables below 1 MiB, and the fixed hardware in ACPI mode. */
static void tables_can_be_placed_without_firmware(void **state)
{
    static const char *const expected[] = {"FACP", "APIC", "MCFG", "WAET", "DSDT"};
    struct error error = {""};
    uint64_t rsdp = 0;
    struct machine m;

    (void)state;
    make(&m);
    m.options.cpus = 64;
    place_ecam(&m, 0xB0000000);
    for (unsigned resets = 0; resets < 2; resets++) {
        board_reset(&m.fake->board);
        assert_int_equal(acpi_place(&m.fake->board, &m.options, &rsdp, &error), 0);
        assert_in_range(rsdp, 0xE0000, 0xFFFFF);
        assert_int_equal(rsdp % 16, 0);
        for (size_t n = 0; n < ARRAY_SIZE(expected); n++) {
            const uint8_t *table = find_table(&m, rsdp, expected[n]);

            assert_non_null(table);
            assert_true(table > ram(&m, 0xE0000, 1) && table + get_le32(table + 4) <= ram(&m, 0xFFFFF, 1));
        }
        check_windows(&m, find_table(&m, rsdp, "DSDT"));
        assert_int_equal(fake_read(m.fake, BUS_PORT, 0x604, 2) & 1, 1);
    }
    destroy(&m);
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
    struct machine m;
    uint64_t rsdp;

    (void)state;
    assert_true(mkdir("build", 0755) == 0 || errno == EEXIST);
    assert_true(mkdir("build/acpi", 0755) == 0 || errno == EEXIST);
    make(&m);
    create_tables(&m);
    place_ecam(&m, 0xB0000000);
    place_bar(&m, UINT64_C(0xE000000000));
    rsdp = load(&m);
    for (size_t n = 0; n < ARRAY_SIZE(tables); n++) {
        const uint8_t *table = find_table(&m, rsdp, tables[n]);
        char path[64], command[256];

        snprintf(path, sizeof path, "build/acpi/%s.dat", tables[n]);
        write_file(path, table, get_le32(table + 4));
        snprintf(command, sizeof command, "iasl -p build/acpi/%s -d %s 2>&1", tables[n], path);
        run_iasl(command, n == 0 ? "ASL Output" : "Formatted output");
        snprintf(command, sizeof command, "iasl -p build/acpi/%s-again build/acpi/%s.dsl 2>&1", tables[n], tables[n]);
        run_iasl(command, "Compilation successful. 0 Errors, 0 Warnings, 0 Remarks");
    }
    destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firmware_accepts_the_script),
        cmocka_unit_test(fadt_describes_the_fixed_hardware),
        cmocka_unit_test(madt_lists_processors_and_overrides),
        cmocka_unit_test(tables_follow_what_firmware_placed),
        cmocka_unit_test(sizes_do_not_change_when_rebuilt),
        cmocka_unit_test(hostile_placements_give_sane_windows),
        cmocka_unit_test(small_address_widths_and_much_ram),
        cmocka_unit_test(routing_table_agrees_with_the_wires),
        cmocka_unit_test(every_name_that_windows_needs_is_there),
        cmocka_unit_test(tables_can_be_placed_without_firmware),
        cmocka_unit_test(iasl_is_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
