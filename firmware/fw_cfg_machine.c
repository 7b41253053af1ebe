/* What every firmware asks fw_cfg about the machine: memory map, processors, identity, no network boot. */
#include <string.h>

#include "casement/bytes.h"
#include "casement/firmware.h"

enum key {
    KEY_UUID = 0x0002,
    KEY_RAM_SIZE = 0x0003,
    KEY_BOOT_CPUS = 0x0005,
    KEY_KERNEL_SIZE = 0x0008,
    KEY_INITRD_SIZE = 0x000B,
    KEY_BOOT_MENU = 0x000E,
    KEY_MAX_CPUS = 0x000F,
    KEY_COMMAND_LINE_SIZE = 0x0014,
    KEY_SETUP_SIZE = 0x0017,
};

#define E820_ENTRY 20
#define E820_RAM 1
#define E820_RESERVED 2
/* KVM's identity map page and task state segment (platform contract 1.3). */
#define KVM_PRIVATE_BASE UINT64_C(0xFEFFC000)
#define KVM_PRIVATE_SIZE UINT64_C(0x4000)

static size_t put_e820(uint8_t *at, uint64_t base, uint64_t size, uint32_t type)
{
    put_le64(at, base);
    put_le64(at + 8, size);
    put_le32(at + 16, type);
    return E820_ENTRY;
}

/* ECAM, flash and MMIO are not in it: OVMF reserves those itself (platform contract 1.3). */
static int add_memory_map(struct fw_cfg *fw_cfg, const struct fw_cfg_machine *machine)
{
    uint8_t map[3 * E820_ENTRY];
    size_t size = put_e820(map, 0, machine->low_memory, E820_RAM);

    size += put_e820(map + size, KVM_PRIVATE_BASE, KVM_PRIVATE_SIZE, E820_RESERVED);
    if (machine->high_memory)
        size += put_e820(map + size, MEMORY_HIGH_BASE, machine->high_memory, E820_RAM);
    return fw_cfg_add_file(fw_cfg, "etc/e820", map, size);
}

static int add_word(struct fw_cfg *fw_cfg, enum key key, uint64_t value, unsigned size)
{
    uint8_t word[8];

    put_le64(word, value);
    return fw_cfg_add(fw_cfg, (uint16_t)key, word, size);
}

/* Size 0 says that no kernel is to be started directly. */
static int add_words(struct fw_cfg *fw_cfg, const struct fw_cfg_machine *machine)
{
    const struct {
        enum key key;
        uint64_t value;
        unsigned size;
    } words[] = {
        {KEY_RAM_SIZE, machine->low_memory + machine->high_memory, 8},
        {KEY_BOOT_CPUS, machine->cpus, 2},
        {KEY_MAX_CPUS, machine->cpus, 2},
        {KEY_BOOT_MENU, 0, 2},
        {KEY_KERNEL_SIZE, 0, 4},
        {KEY_INITRD_SIZE, 0, 4},
        {KEY_COMMAND_LINE_SIZE, 0, 4},
        {KEY_SETUP_SIZE, 0, 4},
    };
    int failed = 0;

    for (size_t n = 0; n < ARRAY_SIZE(words) && failed == 0; n++)
        failed = add_word(fw_cfg, words[n].key, words[n].value, words[n].size);
    return failed;
}

int fw_cfg_add_machine(struct fw_cfg *fw_cfg, const struct fw_cfg_machine *machine, struct error *error)
{
    int failed = add_words(fw_cfg, machine);

    if (failed == 0)
        failed = fw_cfg_add(fw_cfg, KEY_UUID, machine->uuid, sizeof machine->uuid);
    if (failed == 0)
        failed = add_memory_map(fw_cfg, machine);
    if (failed == 0)
        failed = fw_cfg_add_file(fw_cfg, "opt/org.tianocore/IPv4PXESupport", "n", 1);
    if (failed == 0)
        failed = fw_cfg_add_file(fw_cfg, "opt/org.tianocore/IPv6PXESupport", "n", 1);
    return failed < 0 ? error_set(error, -failed, "fw_cfg: the machine's description: %s", strerror(-failed)) : 0;
}
