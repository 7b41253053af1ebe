/*
 * A Linux bzImage started by the 64-bit boot protocol, with no firmware in between (Linux
 * Documentation/arch/x86/boot.rst).
 *
 * Low memory while the kernel starts: 0x1000 page tables, 0x8000 GDT, 0x10000 boot_params, 0x20000 command line, ACPI
 * from 0xE0000.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/firmware.h"

#define PAGE_TABLES 0x1000 /* PML4, PDPT, four page directories: 4 GiB */
#define GDT 0x8000
#define BOOT_PARAMS 0x10000
#define COMMAND_LINE 0x20000
#define LOAD_AT UINT64_C(0x1000000)

/* struct setup_header, by its offset in the image and in boot_params. */
#define SETUP_SECTORS 0x1F1
#define HEADER_END 0x201 /* a jump's distance, from which the header's length follows */
#define SIGNATURE 0x202
#define VERSION 0x206
#define LOADER_TYPE 0x210
#define LOAD_FLAGS 0x211
#define RAMDISK 0x218
#define RAMDISK_SIZE 0x21C
#define COMMAND_POINTER 0x228
#define INITRD_MAX 0x22C
#define RELOCATABLE 0x234
#define XLOADFLAGS 0x236
#define COMMAND_SIZE 0x238
#define PREFERRED 0x258
#define INIT_SIZE 0x260
#define XLF_KERNEL_64 1
#define ENTRY_64 0x200
/* struct boot_params. */
#define ACPI_RSDP 0x070
#define E820_COUNT 0x1E8
#define E820_TABLE 0x2D0
#define PARAMS_BYTES 4096

struct image {
    const char *path;
    int fd;
    uint64_t size;
    uint8_t setup[1024];
    uint64_t payload;      /* the kernel proper, in the file */
    uint64_t address, end; /* what it takes in guest RAM, its work space included */
};

static int open_image(struct image *image, const char *option, const char *path, struct error *error)
{
    struct stat info;

    *image = (struct image){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (image->fd < 0 || fstat(image->fd, &info) < 0 || !S_ISREG(info.st_mode)) {
        int failed = image->fd < 0 ? errno : EINVAL;

        if (image->fd >= 0)
            close(image->fd);
        return error_set(error, failed, "%s %s: %s; name a file that can be read", option, path, strerror(failed));
    }
    image->size = (uint64_t)info.st_size;
    return 0;
}

/* Straight from the file into guest RAM. */
static int load(const struct image *image, uint64_t offset, uint8_t *to, uint64_t length)
{
    return file_read_at(image->fd, to, length, offset);
}

static int check_kernel(struct image *kernel, struct error *error)
{
    if (kernel->size < sizeof kernel->setup || load(kernel, 0, kernel->setup, sizeof kernel->setup) < 0 ||
        memcmp(kernel->setup + SIGNATURE, "HdrS", 4) != 0)
        return error_set(error, EINVAL, "--kernel %s: is no Linux bzImage; give one, or start with firmware instead",
                         kernel->path);
    if (get_le16(kernel->setup + VERSION) < 0x020C || !(get_le16(kernel->setup + XLOADFLAGS) & XLF_KERNEL_64))
        return error_set(error, EINVAL, "--kernel %s: has no 64-bit entry; give an x86-64 kernel of Linux 3.8 or later",
                         kernel->path);
    kernel->payload = ((kernel->setup[SETUP_SECTORS] ? kernel->setup[SETUP_SECTORS] : 4U) + 1U) * 512U;
    if (kernel->size <= kernel->payload + ENTRY_64)
        return error_set(error, EINVAL, "--kernel %s: ends before the kernel begins; copy it again, as a whole",
                         kernel->path);
    return 0;
}

static int place_kernel(struct memory *memory, struct image *kernel, struct error *error)
{
    const uint8_t *setup = kernel->setup;
    uint64_t needed = MAX((uint64_t)get_le32(setup + INIT_SIZE), kernel->size - kernel->payload);
    uint8_t *to;

    kernel->address = setup[RELOCATABLE] ? LOAD_AT : get_le64(setup + PREFERRED);
    kernel->end = kernel->address + needed;
    to = memory_at(memory, kernel->address, needed);
    if (!to || kernel->address < MiB || kernel->end > memory_low_size(memory))
        return error_set(error, ENOMEM,
                         "--kernel %s: needs %" PRIu64 " MiB of RAM from %" PRIu64 " MiB on; give more with --memory",
                         kernel->path, (uint64_t)(needed / MiB + 1), (uint64_t)(kernel->address / MiB));
    if (load(kernel, kernel->payload, to, kernel->size - kernel->payload) < 0)
        return error_set(error, EIO, "--kernel %s: cannot be read to its end; check the disk it is on", kernel->path);
    return 0;
}

/* As high as the kernel allows, so that it is out of the way. */
static int place_initrd(struct memory *memory, const char *path, uint64_t kernel_end, uint8_t *params,
                        struct error *error)
{
    uint64_t limit = MIN((uint64_t)get_le32(params + INITRD_MAX) + 1, memory_low_size(memory)), address;
    struct image initrd;
    uint8_t *to;
    int failed = open_image(&initrd, "--initrd", path, error);

    if (failed < 0)
        return failed;
    address = initrd.size < limit ? (limit - initrd.size) & ~UINT64_C(4095) : 0;
    to = address >= kernel_end ? memory_at(memory, address, MAX(initrd.size, UINT64_C(1))) : NULL;
    if (!to)
        failed = error_set(error, ENOMEM,
                           "--initrd %s: %" PRIu64 " MiB do not fit beside the kernel; give more with --memory", path,
                           (uint64_t)(initrd.size / MiB));
    else if (load(&initrd, 0, to, initrd.size) < 0)
        failed = error_set(error, EIO, "--initrd %s: cannot be read to its end; check the disk it is on", path);
    close(initrd.fd);
    put_le32(params + RAMDISK, (uint32_t)address);
    put_le32(params + RAMDISK_SIZE, (uint32_t)initrd.size);
    return failed;
}

static int place_command_line(struct memory *memory, const struct kernel_options *options, uint8_t *params,
                              struct error *error)
{
    const char *line = options->command_line ? options->command_line : "";
    size_t length = strlen(line);

    if (length > MIN(get_le32(params + COMMAND_SIZE), 4095U))
        return error_set(error, EINVAL, "--append: %zu characters are more than the kernel takes (%u); shorten it",
                         length, get_le32(params + COMMAND_SIZE));
    memory_write(memory, COMMAND_LINE, line, length + 1);
    put_le32(params + COMMAND_POINTER, COMMAND_LINE);
    return 0;
}

static void add_range(uint8_t *params, uint64_t base, uint64_t size, uint32_t type)
{
    uint8_t *entry = params + E820_TABLE + params[E820_COUNT]++ * 20U;

    put_le64(entry, base);
    put_le64(entry + 8, size);
    put_le32(entry + 16, type);
}

static void describe_memory(const struct memory *memory, uint8_t *params)
{
    enum { RAM = 1, RESERVED = 2 };

    add_range(params, 0, 0x9FC00, RAM);
    add_range(params, 0x9FC00, 0x400, RESERVED);
    add_range(params, 0xE0000, 0x20000, RESERVED); /* the ACPI tables */
    add_range(params, MiB, memory_low_size(memory) - MiB, RAM);
    add_range(params, 0xB0000000, 256 * MiB, RESERVED); /* ECAM: Linux uses it only when it is reserved */
    add_range(params, 0xFEFFC000, 0x4000, RESERVED);    /* KVM's own */
    if (memory_high_size(memory))
        add_range(params, MEMORY_HIGH_BASE, memory_high_size(memory), RAM);
}

/* The first 4 GiB at their own addresses in pages of 2 MiB, and flat segments. */
static void make_tables(struct memory *memory, struct kernel_entry *entry)
{
    static const uint64_t segments[] = {0, 0, UINT64_C(0x00AF9B000000FFFF), UINT64_C(0x00CF93000000FFFF)};
    uint8_t *tables = memory_at(memory, PAGE_TABLES, 6 * 4096);

    memset(tables, 0, (size_t)6 * 4096);
    put_le64(tables, (PAGE_TABLES + 4096) | 3);
    for (unsigned n = 0; n < 4; n++)
        put_le64(tables + 4096 + (size_t)8 * n, (PAGE_TABLES + (2 + (uint64_t)n) * 4096) | 3);
    for (uint64_t n = 0; n < 2048; n++)
        put_le64(tables + (size_t)2 * 4096 + 8 * n, n * 2 * MiB | 0x83);
    memory_write(memory, GDT, segments, sizeof segments);
    entry->cr3 = PAGE_TABLES;
    entry->gdt = GDT;
    entry->gdt_limit = sizeof segments - 1;
}

int kernel_load(struct memory *memory, const struct kernel_options *options, struct kernel_entry *entry,
                struct error *error)
{
    uint8_t params[PARAMS_BYTES] = {0};
    struct image kernel;
    int failed = open_image(&kernel, "--kernel", options->kernel, error);

    if (failed < 0)
        return failed;
    failed = check_kernel(&kernel, error);
    if (failed == 0)
        failed = place_kernel(memory, &kernel, error);
    close(kernel.fd);
    if (failed < 0)
        return failed;
    /* The setup header goes on in boot_params; its length stands in the jump in front of it. */
    memcpy(params + SETUP_SECTORS, kernel.setup + SETUP_SECTORS,
           MIN(SIGNATURE + (size_t)kernel.setup[HEADER_END], E820_TABLE - (size_t)1) - SETUP_SECTORS);
    params[LOADER_TYPE] = 0xFF;
    put_le64(params + ACPI_RSDP, options->rsdp);
    describe_memory(memory, params);
    failed = place_command_line(memory, options, params, error);
    if (failed == 0 && options->initrd)
        failed = place_initrd(memory, options->initrd, kernel.end, params, error);
    if (failed < 0)
        return failed;
    memory_write(memory, BOOT_PARAMS, params, sizeof params);
    make_tables(memory, entry);
    entry->rip = kernel.address + ENTRY_64;
    entry->rsi = BOOT_PARAMS;
    return 0;
}
