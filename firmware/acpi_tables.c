/*
 * ACPI tables in one blob, with what has to be relocated and summed written down beside it: the firmware does that by
 * the table-loader script (platform contract 3.2), or we do it for a kernel that starts without firmware.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "casement/bytes.h"
#include "casement/log.h"

#define BLOB_BYTES (64 * 1024)
#define MAX_FIXES 24
#define RSDP_BYTES 36
#define HEADER_BYTES 36
#define LOADER_BYTES 4096
#define LOADER_ENTRY 128
#define APIC_IDS 255      /* in a MADT without x2APIC entries */
#define TABLES_SLACK 1024 /* for MCFG and a window more, once firmware has placed things */
#define PHYS_BITS_MIN 36U
#define PHYS_BITS_PLACED 46U /* firmware and kernels with four-level paging place nothing higher by themselves */
#define PLACE_AT UINT64_C(0xE0000)
#define PLACE_END UINT64_C(0x100000)
#define PM1A_CNT 0x604
#define SCI_EN 1

#define TABLES_FILE "etc/acpi/tables"
#define RSDP_FILE "etc/acpi/rsdp"
#define LOADER_FILE "etc/table-loader"

/* A pointer of size bytes at `at` to offset `target` of the tables; or, size 0, the checksum of the table at `at`. */
struct fix {
    size_t at, target;
    unsigned size;
};

struct tables {
    uint8_t data[BLOB_BYTES];
    size_t size;
    struct fix fixes[MAX_FIXES];
    unsigned fix_count;
    size_t roots[8];
    unsigned root_count;
    size_t xsdt;
};

struct acpi {
    struct device device;
    struct board *board;
    struct fw_cfg *fw_cfg;
    struct acpi_options options;
    uint32_t *apic_ids;
    size_t blob_size; /* of the tables in fw_cfg; firmware reads it once, so it never changes */
};

/* Text without an end of its own: signatures, and names in fields that are zero already. */
static void put_text(uint8_t *at, const char *text)
{
    while (*text)
        *at++ = (uint8_t)*text++;
}

static uint8_t *begin(struct tables *tables, const char *signature, uint8_t revision, size_t size)
{
    uint8_t *at;

    tables->size = align_up(tables->size, 64);
    at = tables->data + tables->size;
    put_text(at, signature);
    put_le32(at + 4, (uint32_t)size);
    at[8] = revision;
    put_text(at + 10, "CSMENT");
    put_text(at + 16, "CASEMENT");
    put_le32(at + 24, 1);
    put_text(at + 28, "CSMT");
    put_le32(at + 32, 1);
    tables->size += size;
    return at;
}

static void add_fix(struct tables *tables, const uint8_t *at, size_t target, unsigned size)
{
    tables->fixes[tables->fix_count++] = (struct fix){(size_t)(at - tables->data), target, size};
}

/* Behind its pointers: firmware sums what it has patched. */
static void add_root(struct tables *tables, const uint8_t *at)
{
    add_fix(tables, at, 0, 0);
    tables->roots[tables->root_count++] = (size_t)(at - tables->data);
}

static size_t add_facs(struct tables *tables)
{
    uint8_t *at = tables->data + tables->size;

    put_text(at, "FACS");
    put_le32(at + 4, 64);
    at[32] = 1; /* version */
    tables->size += 64;
    return (size_t)(at - tables->data);
}

static int add_dsdt(struct tables *tables, const struct acpi_options *options, const struct acpi_layout *layout,
                    size_t *where)
{
    size_t start = align_up(tables->size, 64);
    struct aml aml = {.data = tables->data + start + HEADER_BYTES, .room = BLOB_BYTES - start - HEADER_BYTES - 4096};

    acpi_dsdt(&aml, options, layout);
    if (!aml_ok(&aml))
        return -ENOSPC;
    begin(tables, "DSDT", 2, HEADER_BYTES + aml.size);
    add_fix(tables, tables->data + start, 0, 0);
    *where = start;
    return 0;
}

static void put_port(uint8_t *at, uint16_t port, uint8_t bits, uint8_t access)
{
    at[0] = 1; /* system I/O */
    at[1] = bits;
    at[3] = access;
    put_le64(at + 4, port);
}

/* ACPI 3.0, 5.2.9: the values of platform contract 3.3. */
static void add_fadt(struct tables *tables, const struct acpi_options *options, size_t facs, size_t dsdt)
{
    uint8_t *at = begin(tables, "FACP", 3, 244);

    at[45] = 0;           /* preferred profile: unspecified */
    put_le16(at + 46, 9); /* SCI */
    put_le32(at + 56, 0x600);
    put_le32(at + 64, 0x604);
    put_le32(at + 76, 0x608);
    put_le32(at + 80, 0x620);
    at[88] = 4;  /* PM1 event */
    at[89] = 2;  /* PM1 control */
    at[91] = 4;  /* timer */
    at[92] = 16; /* GPE0 */
    put_le16(at + 96, 0xFFF);
    put_le16(at + 98, 0xFFF);
    at[108] = 0x32; /* century */
    put_le16(at + 109, options->i8042 ? 2 : 0);
    /* WBINVD, PROC_C1, SLP_BUTTON (none), RTC_S4, RESET_REG_SUP, USE_PLATFORM_CLOCK; more than 8 vCPUs: clusters of
     * APICs. */
    put_le32(at + 112, 0x84A5U | (options->cpus > 8 ? 1U << 18 : 0));
    put_port(at + 116, 0xCF9, 8, 1);
    at[128] = 0x0F;
    put_port(at + 148, 0x600, 32, 0);
    put_port(at + 172, 0x604, 16, 0);
    put_port(at + 208, 0x608, 32, 0);
    put_port(at + 220, 0x620, 128, 0);
    put_le32(at + 36, (uint32_t)facs);
    put_le32(at + 40, (uint32_t)dsdt);
    put_le64(at + 140, dsdt);
    add_fix(tables, at + 36, facs, 4);
    add_fix(tables, at + 40, dsdt, 4);
    add_fix(tables, at + 140, dsdt, 8);
    add_root(tables, at);
}

static uint8_t *put_override(uint8_t *at, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    at[0] = 2;
    at[1] = 10;
    at[3] = irq;
    put_le32(at + 4, gsi);
    put_le16(at + 8, flags);
    return at + 10;
}

/* ACPI 3.0, 5.2.11. */
static void add_madt(struct tables *tables, const struct acpi_options *options)
{
    static const uint8_t level_high[] = {5, 9, 10, 11};
    size_t size = 44 + 8 * (size_t)options->cpus + 12 + 10 * (1 + ARRAY_SIZE(level_high)) + 6;
    uint8_t *at = begin(tables, "APIC", 3, size), *entry = at + 44;

    put_le32(at + 36, 0xFEE00000);
    put_le32(at + 40, 1); /* PCAT_COMPAT: there is a PIC too */
    for (unsigned n = 0; n < options->cpus; n++, entry += 8) {
        entry[1] = 8;
        entry[2] = (uint8_t)n;
        entry[3] = (uint8_t)options->apic_ids[n];
        put_le32(entry + 4, 1);
    }
    entry[0] = 1; /* IOAPIC 0, from GSI 0 on */
    entry[1] = 12;
    put_le32(entry + 4, 0xFEC00000);
    entry = put_override(entry + 12, 0, 2, 0);
    for (size_t n = 0; n < ARRAY_SIZE(level_high); n++)
        entry = put_override(entry, level_high[n], level_high[n], 0x000D);
    entry[0] = 4; /* NMI: all processors, LINT1 */
    entry[1] = 6;
    entry[2] = 0xFF;
    entry[5] = 1;
    add_root(tables, at);
}

static void add_mcfg(struct tables *tables, const struct acpi_layout *layout)
{
    uint8_t *at = begin(tables, "MCFG", 1, 60);

    put_le64(at + 44, layout->ecam);
    at[55] = 0xFF; /* last bus */
    add_root(tables, at);
}

/* Windows ACPI Emulated Devices Table: the PM timer can be read once. */
static void add_waet(struct tables *tables)
{
    uint8_t *at = begin(tables, "WAET", 1, 40);

    put_le32(at + 36, 2);
    add_root(tables, at);
}

static void add_xsdt(struct tables *tables)
{
    uint8_t *at = begin(tables, "XSDT", 1, HEADER_BYTES + 8 * (size_t)tables->root_count);

    tables->xsdt = (size_t)(at - tables->data);
    for (unsigned n = 0; n < tables->root_count; n++) {
        put_le64(at + HEADER_BYTES + (size_t)n * 8, tables->roots[n]);
        add_fix(tables, at + HEADER_BYTES + (size_t)n * 8, tables->roots[n], 8);
    }
    add_fix(tables, at, 0, 0);
}

static struct acpi_layout find_layout(struct board *board, const struct acpi_options *options)
{
    unsigned bits = MAX(options->phys_bits, PHYS_BITS_MIN);
    uint64_t limit = UINT64_C(1) << bits, ram_end = MEMORY_HIGH_BASE + options->high_memory;
    struct acpi_layout layout = {.ecam = PCI_NO_ADDRESS, .low_window = MAX(options->low_memory, MEMORY_LOW_LIMIT)};
    struct pci_windows windows;

    pci_bus_windows(board->pci, &windows);
    if (windows.ecam >= layout.low_window && windows.ecam <= ACPI_HOLE_END - ACPI_ECAM_SIZE)
        layout.ecam = windows.ecam;
    if (windows.high64 > windows.low64 && windows.low64 >= ram_end && windows.high64 <= limit) {
        layout.high_window = MAX(windows.low64 & ~(GiB - 1), ram_end);
        layout.high_window_end = MIN(MAX(align_up(windows.high64, GiB), layout.high_window + 32 * GiB), limit);
    } else { /* where OVMF would begin: the top eighth */
        layout.high_window_end = UINT64_C(1) << MIN(bits, PHYS_BITS_PLACED);
        layout.high_window = MAX(layout.high_window_end / 8 * 7, align_up(ram_end, GiB));
    }
    return layout;
}

static int build(struct tables *tables, struct board *board, const struct acpi_options *options)
{
    struct acpi_layout layout = find_layout(board, options);
    size_t facs, dsdt = 0;
    int failed;

    if (layout.high_window >= layout.high_window_end)
        return -E2BIG;
    if (options->cpus > APIC_IDS)
        return -ENOSPC;
    memset(tables, 0, sizeof *tables);
    facs = add_facs(tables);
    failed = add_dsdt(tables, options, &layout, &dsdt);
    if (failed < 0)
        return failed;
    add_fadt(tables, options, facs, dsdt);
    add_madt(tables, options);
    if (layout.ecam != PCI_NO_ADDRESS)
        add_mcfg(tables, &layout);
    add_waet(tables);
    add_xsdt(tables);
    return 0;
}

static void make_rsdp(uint8_t rsdp[RSDP_BYTES], uint64_t xsdt)
{
    memset(rsdp, 0, RSDP_BYTES);
    put_text(rsdp, "RSD PTR ");
    put_text(rsdp + 9, "CSMENT");
    rsdp[15] = 2;
    put_le32(rsdp + 20, RSDP_BYTES);
    put_le64(rsdp + 24, xsdt);
}

static uint8_t checksum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;

    while (size--)
        sum = (uint8_t)(sum + *bytes++);
    return (uint8_t)-sum;
}

/* Commands of the table-loader script. */

static uint8_t *put_allocate(uint8_t *at, const char *file, uint32_t alignment, uint8_t zone)
{
    put_le32(at, 1);
    put_text(at + 4, file);
    put_le32(at + 60, alignment);
    at[64] = zone;
    return at + LOADER_ENTRY;
}

static uint8_t *put_pointer(uint8_t *at, const char *file, size_t offset, unsigned size)
{
    put_le32(at, 2);
    put_text(at + 4, file);
    put_text(at + 60, TABLES_FILE);
    put_le32(at + 116, (uint32_t)offset);
    at[120] = (uint8_t)size;
    return at + LOADER_ENTRY;
}

static uint8_t *put_checksum(uint8_t *at, const char *file, size_t result, size_t start, size_t length)
{
    put_le32(at, 3);
    put_text(at + 4, file);
    put_le32(at + 60, (uint32_t)result);
    put_le32(at + 64, (uint32_t)start);
    put_le32(at + 68, (uint32_t)length);
    return at + LOADER_ENTRY;
}

static void make_loader(const struct tables *tables, uint8_t loader[LOADER_BYTES])
{
    uint8_t *at = loader;

    memset(loader, 0, LOADER_BYTES);
    at = put_allocate(at, RSDP_FILE, 16, 2);
    at = put_allocate(at, TABLES_FILE, 64, 1);
    for (unsigned n = 0; n < tables->fix_count; n++) {
        const struct fix *fix = &tables->fixes[n];

        if (fix->size)
            at = put_pointer(at, TABLES_FILE, fix->at, fix->size);
        else
            at = put_checksum(at, TABLES_FILE, fix->at + 9, fix->at, get_le32(tables->data + fix->at + 4));
    }
    at = put_pointer(at, RSDP_FILE, 24, 8);
    at = put_checksum(at, RSDP_FILE, 8, 0, 20);
    put_checksum(at, RSDP_FILE, 32, 0, RSDP_BYTES);
}

static int put_all(struct acpi *acpi, struct tables *tables,
                   int (*put)(struct fw_cfg *, const char *, const void *, size_t))
{
    uint8_t loader[LOADER_BYTES], rsdp[RSDP_BYTES];
    int failed;

    if (!acpi->blob_size)
        acpi->blob_size = align_up(tables->size + TABLES_SLACK, 4096);
    /* Nothing is replaced unless all of it fits: loader and tables must be of one make. */
    if (tables->size > acpi->blob_size || acpi->blob_size > BLOB_BYTES)
        return -ENOSPC;
    make_loader(tables, loader);
    make_rsdp(rsdp, tables->xsdt);
    failed = put(acpi->fw_cfg, LOADER_FILE, loader, sizeof loader);
    if (failed == 0)
        failed = put(acpi->fw_cfg, RSDP_FILE, rsdp, sizeof rsdp);
    if (failed == 0)
        failed = put(acpi->fw_cfg, TABLES_FILE, tables->data, acpi->blob_size);
    return failed;
}

static int publish(struct acpi *acpi, int (*put)(struct fw_cfg *, const char *, const void *, size_t))
{
    struct tables *tables = malloc(sizeof *tables);
    int failed = tables ? build(tables, acpi->board, &acpi->options) : -ENOMEM;

    if (failed == 0)
        failed = put_all(acpi, tables, put);
    free(tables);
    return failed;
}

static void regenerate(void *opaque)
{
    int failed = publish(opaque, fw_cfg_update_file);

    if (failed < 0)
        log_error("ACPI: the tables are not rebuilt and stay as they were: %s", strerror(-failed));
}

/* A failure that a smaller machine does not have. */
static int too_large(const struct acpi_options *options, int failed, struct error *error)
{
    if (failed == -E2BIG)
        return error_set(error, E2BIG,
                         "--memory: %" PRIu64 " MiB leave no room for PCI in %u address bits; ask for less memory",
                         (uint64_t)((options->low_memory + options->high_memory) / MiB), options->phys_bits);
    return error_set(error, -failed, "ACPI: the tables of %u vCPUs cannot be made: %s; ask for fewer vCPUs",
                     options->cpus, strerror(-failed));
}

static void destroy(struct device *device)
{
    struct acpi *acpi = container_of(device, struct acpi, device);

    free(acpi->apic_ids);
    free(acpi);
}

int acpi_create(struct board *board, struct fw_cfg *fw_cfg, const struct acpi_options *options, struct error *error)
{
    static const struct device_ops ops = {.destroy = destroy};
    struct acpi *acpi = calloc(1, sizeof *acpi);
    int failed;

    if (!acpi)
        return error_set(error, ENOMEM, "ACPI: out of memory");
    acpi->device = (struct device){.name = "ACPI", .ops = &ops};
    acpi->board = board;
    acpi->fw_cfg = fw_cfg;
    acpi->options = *options;
    acpi->apic_ids = malloc(options->cpus * sizeof *acpi->apic_ids);
    failed = acpi->apic_ids ? 0 : -ENOMEM;
    if (failed == 0) {
        memcpy(acpi->apic_ids, options->apic_ids, options->cpus * sizeof *acpi->apic_ids);
        acpi->options.apic_ids = acpi->apic_ids;
        failed = publish(acpi, fw_cfg_add_file);
    }
    if (failed < 0) {
        destroy(&acpi->device);
        return too_large(options, failed, error);
    }
    fw_cfg_on_acpi(fw_cfg, regenerate, acpi);
    board_add(board, &acpi->device);
    return 0;
}

int acpi_place(struct board *board, const struct acpi_options *options, uint64_t *rsdp_address, struct error *error)
{
    struct tables *tables = malloc(sizeof *tables);
    uint8_t rsdp[RSDP_BYTES];
    uint64_t base = PLACE_AT + 64;
    int failed = tables ? build(tables, board, options) : -ENOMEM;

    if (failed == 0 && base + tables->size > PLACE_END)
        failed = -ENOSPC;
    for (unsigned n = 0; failed == 0 && n < tables->fix_count; n++) {
        const struct fix *fix = &tables->fixes[n];

        if (fix->size)
            put_le(tables->data + fix->at, fix->size, base + fix->target);
        else
            tables->data[fix->at + 9] = checksum(tables->data + fix->at, get_le32(tables->data + fix->at + 4));
    }
    if (failed == 0) {
        make_rsdp(rsdp, base + tables->xsdt);
        rsdp[8] = checksum(rsdp, 20);
        rsdp[32] = checksum(rsdp, sizeof rsdp);
        memory_write(board->memory, PLACE_AT, rsdp, sizeof rsdp);
        memory_write(board->memory, base, tables->data, tables->size);
        *rsdp_address = PLACE_AT;
        /* What firmware does for a FADT without SMI_CMD: the fixed hardware is in ACPI mode from the start. */
        bus_write(board->bus, BUS_PORT, PM1A_CNT, 2, SCI_EN);
    }
    free(tables);
    return failed < 0 ? too_large(options, failed, error) : 0;
}
