/* The well-known fw_cfg items that describe the machine (platform contract 1.3, 3.1). */
#include <errno.h>

#include "casement/bytes.h"
#include "casement/firmware.h"

enum {
    KEY_SIGNATURE = 0x00,
    KEY_INTERFACE = 0x01,
    KEY_UUID = 0x02,
    KEY_MEMORY = 0x03,
    KEY_CPUS = 0x05,
    KEY_BOOT_MENU = 0x0E,
    KEY_MAX_CPUS = 0x0F,
};

#define E820_RAM 1
#define E820_RESERVED 2
#define E820_BYTES 20
/* KVM's own pages: identity map and TSS. */
#define PRIVATE_PAGES UINT64_C(0xFEFFC000)
#define PRIVATE_SIZE 0x4000

static uint8_t *put_range(uint8_t *at, uint64_t base, uint64_t size, uint32_t type)
{
    put_le64(at, base);
    put_le64(at + 8, size);
    put_le32(at + 16, type);
    return at + E820_BYTES;
}

static int add_memory_map(struct fw_cfg *fw_cfg, const struct fw_cfg_machine *machine)
{
    uint8_t map[3 * E820_BYTES], *end = put_range(map, 0, machine->low_memory, E820_RAM);

    if (machine->high_memory)
        end = put_range(end, MEMORY_HIGH_BASE, machine->high_memory, E820_RAM);
    end = put_range(end, PRIVATE_PAGES, PRIVATE_SIZE, E820_RESERVED);
    return fw_cfg_add_file(fw_cfg, "etc/e820", map, (size_t)(end - map));
}

static int add_number(struct fw_cfg *fw_cfg, uint16_t key, unsigned size, uint64_t value)
{
    uint8_t bytes[8];

    put_le(bytes, size, value);
    return fw_cfg_add(fw_cfg, key, bytes, size);
}

int fw_cfg_add_machine(struct fw_cfg *fw_cfg, const struct fw_cfg_machine *machine, struct error *error)
{
    int failed = fw_cfg_add(fw_cfg, KEY_SIGNATURE, "QEMU", 4);

    if (failed == 0)
        failed = add_number(fw_cfg, KEY_INTERFACE, 4, 3); /* ports and DMA */
    if (failed == 0)
        failed = fw_cfg_add(fw_cfg, KEY_UUID, machine->uuid, sizeof machine->uuid);
    if (failed == 0)
        failed = add_number(fw_cfg, KEY_MEMORY, 8, machine->low_memory + machine->high_memory);
    if (failed == 0)
        failed = add_number(fw_cfg, KEY_CPUS, 2, machine->cpus);
    if (failed == 0)
        failed = add_number(fw_cfg, KEY_BOOT_MENU, 2, 0);
    if (failed == 0)
        failed = add_number(fw_cfg, KEY_MAX_CPUS, 2, machine->cpus);
    if (failed == 0)
        failed = add_memory_map(fw_cfg, machine);
    /* A machine without a bootable disk would sit in network boot for a minute. */
    if (failed == 0)
        failed = fw_cfg_add_file(fw_cfg, "opt/org.tianocore/IPv4PXESupport", "n", 1);
    if (failed == 0)
        failed = fw_cfg_add_file(fw_cfg, "opt/org.tianocore/IPv6PXESupport", "n", 1);
    return failed < 0 ? error_set(error, -failed, "fw_cfg: its items cannot be made (error %d)", -failed) : 0;
}
