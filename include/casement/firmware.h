/*
 * What the guest finds before an operating system: flash, fw_cfg, ACPI, SMBIOS, or a kernel that is started directly.
 */
#ifndef CASEMENT_FIRMWARE_H
#define CASEMENT_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/board.h"
#include "casement/error.h"

/*
 * Flash (platform contract 1.1): code ends at 4 GiB and is read-only; the variables end where the code begins, speak
 * the Intel command set, and persist in a file of the machine's own, which is locked, and made from the template when
 * absent.
 */
struct flash_options {
    const char *code_path;
    const char *vars_path;     /* the machine's own copy */
    const char *vars_template; /* read when vars_path does not exist */
};
int flash_create(struct board *board, const struct flash_options *options, struct error *error);
/* Whether the files are there, fit and are free, without making or keeping anything. 0, or -errno with a text. */
int flash_check(const struct flash_options *options, struct error *error);

/* fw_cfg at 0x510 (platform contract 3.1). */
struct fw_cfg;
int fw_cfg_create(struct board *board, struct fw_cfg **fw_cfg, struct error *error);
/* A well-known key. The data is copied. Before the guest runs. */
int fw_cfg_add(struct fw_cfg *fw_cfg, uint16_t key, const void *data, size_t size);
/* A file in the directory, at most 55 characters of name. The data is copied. */
int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size);
/* Replaces a file's content from inside a select callback; the directory keeps the first size, zeroes fill up to it.
 * 0, -ENOENT, or -ENOSPC when it was smaller at first. */
int fw_cfg_update_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size);
/* Runs on the first select of any of the files "etc/table-loader", "etc/acpi/" after each reset, before data is read.
 */
void fw_cfg_on_acpi(struct fw_cfg *fw_cfg, void (*regenerate)(void *opaque), void *opaque);

/* ACPI Model A of the platform contract, as table-loader, tables and RSDP in fw_cfg; rebuilt from what firmware placed.
 */
struct acpi_options {
    unsigned cpus;
    const uint32_t *apic_ids; /* one per vCPU; stays the caller's until return */
    uint64_t low_memory, high_memory;
    unsigned phys_bits;
    bool serial, i8042;
};
int acpi_create(struct board *board, struct fw_cfg *fw_cfg, const struct acpi_options *options, struct error *error);
/* The same tables placed into guest RAM below 1 MiB for a kernel that is started with no firmware; *rsdp is their root.
 */
int acpi_place(struct board *board, const struct acpi_options *options, uint64_t *rsdp, struct error *error);

/* SMBIOS 3.0 structures 0, 1, 3, 4, 16, 17, 19, 32, 127 in fw_cfg. */
struct smbios_options {
    uint8_t uuid[16]; /* as in RFC 4122 */
    const char *manufacturer, *product, *serial, *version;
    unsigned cpus;
    uint64_t memory;
};
int smbios_create(struct fw_cfg *fw_cfg, const struct smbios_options *options, struct error *error);

/* e820 map, boot CPUs, memory size, UUID, and the files that keep OVMF from network boot. */
struct fw_cfg_machine {
    unsigned cpus;
    uint64_t low_memory, high_memory;
    uint8_t uuid[16];
};
int fw_cfg_add_machine(struct fw_cfg *fw_cfg, const struct fw_cfg_machine *machine, struct error *error);

/* Linux bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst), no firmware in between. */
struct kernel_options {
    const char *kernel, *initrd, *command_line; /* initrd may be NULL */
    uint64_t rsdp;
};
struct kernel_entry {
    uint64_t rip, rsi, cr3, gdt; /* 64-bit entry: long mode, identity-mapped page tables already in guest RAM */
    uint16_t gdt_limit;
};
/* Loads all of it into guest RAM. Called again after each reset. */
int kernel_load(struct memory *memory, const struct kernel_options *options, struct kernel_entry *entry,
                struct error *error);

#endif
