/* See fake_acpi.h. */
#include <string.h>

#include "casement/bytes.h"
#include "casement/chipset.h"
#include "cmocka_all.h"
#include "fake_acpi.h"
#include "fake_firmware.h"

#define BLOBS_AT 0x100000
#define HOLE_END UINT64_C(0xFEC00000)

static uint64_t card_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return 0;
}

static void card_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device, (void)offset, (void)size, (void)value;
}

void fake_acpi_add_card(struct fake_acpi *m, struct pci_function *card, int slot, unsigned pin)
{
    static const struct bus_ops ops = {card_read, card_write};
    const struct pci_identity identity = {0x1AF4, 0x1041, 0x1AF4, 0x1100, 1, 0x020000};
    const struct pci_bar bar = {.type = PCI_BAR_MEMORY64, .size = 16 * KiB, .region = {.name = "card", .ops = &ops}};

    assert_int_equal(pci_function_init(card, "card", &identity), 0);
    assert_int_equal(pci_bar_add(card, 0, &bar), 0);
    pci_intx_add(card, pin);
    assert_int_equal(pci_function_add(m->fake->board.pci, card, slot, 0), 0);
}

void fake_acpi_make(struct fake_acpi *m)
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
    fake_acpi_add_card(m, &m->card, BAR_SLOT, 1);
    assert_int_equal(fw_cfg_create(&m->fake->board, &m->fw_cfg, &error), 0);
}

void fake_acpi_create_tables(struct fake_acpi *m)
{
    struct error error = {""};

    assert_int_equal(acpi_create(&m->fake->board, m->fw_cfg, &m->options, &error), 0);
    pci_bus_reset(m->fake->board.pci);
    board_reset(&m->fake->board);
}

void fake_acpi_destroy(struct fake_acpi *m)
{
    pci_function_remove(&m->card);
    fake_destroy(m->fake);
}

void fake_acpi_place_ecam(struct fake_acpi *m, uint64_t base)
{
    fake_config_write(m->fake, 0, 0x60, 4, 0);
    fake_config_write(m->fake, 0, 0x64, 4, base >> 32);
    fake_config_write(m->fake, 0, 0x60, 4, (uint32_t)base | 1);
}

void fake_acpi_place_bar(struct fake_acpi *m, uint64_t address)
{
    fake_config_write(m->fake, BAR_SLOT << 3, 0x10, 4, (uint32_t)address);
    fake_config_write(m->fake, BAR_SLOT << 3, 0x14, 4, address >> 32);
    fake_config_write(m->fake, BAR_SLOT << 3, 0x04, 2, 2);
}

uint8_t *fake_acpi_ram(const struct fake_acpi *m, uint64_t address, uint64_t length)
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

uint8_t *fake_acpi_find_table(const struct fake_acpi *m, uint64_t rsdp_at, const char *signature)
{
    const uint8_t *rsdp = fake_acpi_ram(m, rsdp_at, 36), *xsdt;
    uint32_t length;

    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(rsdp[15], 2);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    xsdt = fake_acpi_ram(m, get_le64(rsdp + 24), 36);
    length = get_le32(xsdt + 4);
    xsdt = fake_acpi_ram(m, get_le64(rsdp + 24), length);
    assert_memory_equal(xsdt, "XSDT", 4);
    assert_int_equal(sum(xsdt, length), 0);
    for (uint32_t at = 36; at < length; at += 8) {
        uint64_t address = get_le64(xsdt + at);
        uint8_t *table = fake_acpi_ram(m, address, 36);

        table = fake_acpi_ram(m, address, get_le32(table + 4));
        assert_int_equal(sum(table, get_le32(table + 4)), 0);
        if (memcmp(table, "FACP", 4) == 0 && memcmp(signature, "DSDT", 4) == 0) {
            assert_int_equal(get_le32(table + 40), get_le64(table + 140));
            table = fake_acpi_ram(m, get_le32(table + 40), 36);
            table = fake_acpi_ram(m, (uint64_t)get_le32(fake_acpi_find_table(m, rsdp_at, "FACP") + 40),
                                  get_le32(table + 4));
            assert_int_equal(sum(table, get_le32(table + 4)), 0);
        }
        if (memcmp(table, signature, 4) == 0)
            return table;
    }
    return NULL;
}

uint64_t fake_acpi_load(struct fake_acpi *m)
{
    uint64_t rsdp = fw_load_acpi(m->fake, BLOBS_AT);

    assert_int_not_equal(rsdp, 0);
    return rsdp;
}

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

const uint8_t *fake_acpi_resources_of(const uint8_t *dsdt, const char *name)
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

struct fake_acpi_windows fake_acpi_host_windows(const uint8_t *dsdt)
{
    struct fake_acpi_windows windows = {.count = 0};
    const uint8_t *at = fake_acpi_resources_of(dsdt, "PCI0");

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
                (struct fake_acpi_window){get_le(at + 6 + width, width), get_le(at + 6 + 2 * width, width)};
        windows.buses += at[3] == 2;
        windows.ports += at[3] == 1;
        at += 6 + 5 * width;
    }
    return windows;
}

void fake_acpi_check_windows(const struct fake_acpi *m, const uint8_t *dsdt)
{
    const struct fake_acpi_windows windows = fake_acpi_host_windows(dsdt);
    const uint8_t *ecam = fake_acpi_resources_of(dsdt, "DRAC");
    const struct fake_acpi_window taken[] = {
        {0, 0x9FFFF},
        {0xC0000, m->options.low_memory - 1},
        {HOLE_END, UINT32_MAX},
        {4 * GiB, 4 * GiB + m->options.high_memory - 1},
        ecam ? (struct fake_acpi_window){get_le32(ecam + 4), get_le32(ecam + 4) + get_le32(ecam + 8) - 1}
             : (struct fake_acpi_window){UINT64_MAX, UINT64_MAX},
    };
    unsigned high = 0;

    assert_int_equal(windows.buses, 1);
    assert_int_equal(windows.ports, 2);
    for (unsigned n = 0; n < windows.count; n++) {
        const struct fake_acpi_window *window = &windows.memory[n];

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
