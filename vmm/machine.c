/* The parts list of a machine (see machine.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/e1000e.h"
#include "casement/log.h"
#include "casement/pci.h"
#include "casement/usb.h"
#include "casement/virtio.h"
#include "exit_codes.h"
#include "machine.h"

#define COM1_BASE 0x3F8
#define COM1_IRQ 4
/* Where we put ECAM when no firmware does (platform contract 1.2: legal with 2 GiB of low RAM). */
#define KERNEL_ECAM UINT64_C(0xB0000000)

static int create_core(struct machine *m, struct error *error)
{
    const struct config *config = m->config;
    const struct kvm_options options = {
        .cpus = (unsigned)config->cpus, .hyperv = config->hyperv, .nested = config->nested};
    const struct memory_options memory = {
        .size = config->memory, .shared = config->memory_shared, .huge_pages = config->huge_pages};
    int failed = kvm_vm_create(&options, &m->vm, error);

    if (failed < 0)
        return failed;
    m->board.vm = &m->vm->vm;
    m->board.machine = m;
    m->board.power = lifecycle_power;
    m->board.bus = bus_create();
    m->board.loop = loop_create("devices");
    if (!m->board.bus || !m->board.loop)
        return error_set(error, ENOMEM, "the machine: out of memory or file descriptors");
    failed = memory_create(&memory, &m->board.memory, error);
    if (failed == 0)
        failed = memory_attach(m->board.memory, m->board.vm, error);
    if (failed < 0)
        return failed;
    failed = irq_create(m->board.vm, &m->board.irq);
    if (failed == 0)
        failed = pci_bus_create(&m->board, &m->board.pci);
    return failed < 0 ? error_set(error, -failed, "the machine: interrupts or PCI bus: %s", strerror(-failed)) : 0;
}

static int create_vcpus(struct machine *m, struct error *error)
{
    const struct vcpu_hooks hooks = {.bus = m->board.bus, .fault = lifecycle_fault, .machine = m};

    for (unsigned n = 0; n < m->config->cpus; n++)
        m->apic_ids[n] = n;
    return vcpus_create(m->vm, (unsigned)m->config->cpus, &hooks, &m->vcpus, error);
}

static int create_chipset(struct machine *m, struct error *error)
{
    struct board *board = &m->board;
    const struct rtc_options rtc = {.local_time = m->config->local_time,
                                    .low_memory = memory_low_size(board->memory),
                                    .high_memory = memory_high_size(board->memory)};
    const struct serial_options com1 = {
        .base = COM1_BASE, .irq = COM1_IRQ, .output = console_output, .opaque = &m->console};
    struct serial *serial = NULL;
    int failed = console_open(&m->console, m->config->serial, error);

    if (m->follower && m->follower->serial)
        console_tap(&m->console, m->follower->serial, m->follower->opaque);

    m->input = input_create(board->loop);
    if (!m->input)
        return error_set(error, ENOMEM, "input: out of memory");
    if (failed == 0)
        failed = input_set_layout(m->input, m->config->keyboard, error);
    if (failed == 0)
        failed = q35_host_create(board, error);
    if (failed == 0)
        failed = acpi_pm_create(board, &m->pm, error);
    if (failed == 0)
        failed = lpc_create(board, m->pm, error);
    if (failed == 0)
        failed = reset_control_create(board, error);
    if (failed == 0)
        failed = rtc_create(board, &rtc, error);
    if (failed == 0)
        failed = serial_create(board, &com1, &serial, error);
    if (failed == 0)
        failed = i8042_create(board, m->input, error);
    if (failed == 0)
        console_connect(&m->console, serial, board->loop);
    return failed;
}

static int create_display(struct machine *m, struct error *error)
{
    const struct display_options options = {
        .width = m->config->display_width, .height = m->config->display_height, .slot = SLOT_DISPLAY};

    return m->config->display_width ? display_create(&m->board, &options, &m->display, error) : 0;
}

static int create_usb(struct machine *m, struct error *error)
{
    int failed = xhci_create(&m->board, SLOT_USB, &m->xhci, error);

    if (failed == 0)
        failed = usb_keyboard_create(m->xhci, m->input, error);
    if (failed == 0)
        failed = usb_tablet_create(m->xhci, m->input, error);
    return failed;
}

/* Who looks at the display. */
static int create_viewers(struct machine *m, struct error *error)
{
    const struct config *config = m->config;
    const struct rfb_options options = {.display = m->display, .input = m->input, .name = config->name};
    char password[256];
    int failed;

    if (!m->display)
        return 0;
    failed = rfb_create(&options, &m->rfb, error);
    if (failed < 0 || !config->vnc_address)
        return failed;
    failed = config_read_vnc_password(config, password, sizeof password, error);
    if (failed == 0)
        failed = rfb_listen(m->rfb, config->vnc_address, config->vnc_port, password, error);
    explicit_bzero(password, sizeof password);
    return failed;
}

static int create_shares(struct machine *m, struct error *error)
{
    const struct config *config = m->config;
    int failed = 0;

    for (unsigned n = 0; n < config->share_count && failed == 0; n++) {
        const struct share_options options = {.folder = config->shares[n],
                                              .state = config->state,
                                              .name = config->name,
                                              .socket = !m->share_listeners[n] ? config->share_sockets[n] : NULL,
                                              .listener = m->share_listeners[n],
                                              .read_only = config->share_read_only};

        failed = share_create(&options, &m->shares[n], error);
    }
    return failed;
}

static int create_network(struct machine *m, struct error *error)
{
    struct net_card_options card = {.slot = SLOT_NETWORK, .counters = &m->net_counters, .backend = m->net};

    if (!m->net)
        return 0;
    memcpy(card.mac, m->config->mac, sizeof card.mac);
    return m->config->card == CONFIG_CARD_E1000E ? e1000e_create(&m->board, &card, error)
                                                 : virtio_net_create(&m->board, &card, error);
}

static int create_firmware(struct machine *m, struct error *error)
{
    const struct config *config = m->config;
    const struct flash_options flash = {
        .code_path = config->firmware, .vars_path = config->vars, .vars_template = config->vars_template};
    struct smbios_options smbios = {.manufacturer = "Casement",
                                    .product = "Casement Virtual Machine",
                                    .serial = config->name,
                                    .version = CASEMENT_VERSION,
                                    .cpus = (unsigned)config->cpus,
                                    .memory = config->memory};
    struct fw_cfg_machine basics = {.cpus = (unsigned)config->cpus,
                                    .low_memory = memory_low_size(m->board.memory),
                                    .high_memory = memory_high_size(m->board.memory)};
    int failed = fw_cfg_create(&m->board, &m->fw_cfg, error);

    memcpy(smbios.uuid, config->uuid, sizeof smbios.uuid);
    memcpy(basics.uuid, config->uuid, sizeof basics.uuid);
    m->acpi = (struct acpi_options){.cpus = (unsigned)config->cpus,
                                    .apic_ids = m->apic_ids,
                                    .low_memory = basics.low_memory,
                                    .high_memory = basics.high_memory,
                                    .phys_bits = m->vm->physical_bits,
                                    .serial = true,
                                    .i8042 = true};
    if (failed == 0)
        failed = fw_cfg_add_machine(m->fw_cfg, &basics, error);
    if (failed == 0)
        failed = acpi_create(&m->board, m->fw_cfg, &m->acpi, error);
    if (failed == 0)
        failed = smbios_create(m->fw_cfg, &smbios, error);
    if (failed == 0 && !config->kernel)
        failed = flash_create(&m->board, &flash, error);
    return failed;
}

static void write_config(struct machine *m, unsigned slot, unsigned offset, uint32_t value)
{
    bus_write(m->board.bus, BUS_PORT, 0xCF8, 4, UINT32_C(0x80000000) | slot << 11 | offset);
    bus_write(m->board.bus, BUS_PORT, 0xCFC, 4, value);
}

int machine_load_kernel(struct machine *m, struct error *error)
{
    struct kernel_options options = {
        .kernel = m->config->kernel, .initrd = m->config->initrd, .command_line = m->config->append};
    struct kernel_entry entry;
    int failed;

    if (!options.kernel)
        return 0;
    write_config(m, 0, 0x60, KERNEL_ECAM | 1);
    write_config(m, 31, 0x40, 0x601);
    write_config(m, 31, 0x44, 0x80);
    failed = acpi_place(&m->board, &m->acpi, &options.rsdp, error);
    if (failed == 0)
        failed = kernel_load(m->board.memory, &options, &entry, error);
    if (failed == 0) {
        failed = arch_vcpus_enter_kernel(m->vcpus, &entry);
        if (failed < 0)
            error_set(error, -failed, "--kernel %s: KVM refuses its entry state: %s", options.kernel,
                      strerror(-failed));
    }
    return failed;
}

int machine_create(struct machine *m, struct error *error)
{
    static int (*const parts[])(struct machine *, struct error *) = {
        create_core,  create_vcpus,  create_chipset, create_display, create_usb,       create_firmware,
        disks_create, create_shares, create_network, create_viewers, lifecycle_create,
    };
    int failed;

    for (size_t n = 0; n < ARRAY_SIZE(parts); n++) {
        failed = parts[n](m, error);
        if (failed < 0)
            return failed;
    }
    failed = virtio_rng_create(&m->board, SLOT_ENTROPY, error);
    if (failed < 0)
        return failed;
    failed = loop_start(m->board.loop);
    if (failed < 0)
        return error_set(error, -failed, "the devices' thread: %s", strerror(-failed));
    return service_create(&m->service, &(struct service_options){m->config, m->main_loop, &machine_operations, m},
                          error);
}

void machine_destroy(struct machine *m)
{
    service_destroy(&m->service);
    lifecycle_destroy(m);
    if (m->rfb)
        rfb_destroy(m->rfb);
    disks_unwatch(m);
    vcpus_destroy(m->vcpus);
    lifecycle_unfollow(m);
    if (m->board.loop)
        loop_stop(m->board.loop);
    console_close(&m->console);
    board_destroy_devices(&m->board);
    if (m->net)
        m->net->ops->destroy(m->net);
    for (unsigned n = 0; n < NET_SHARES; n++) {
        share_destroy(m->shares[n]);
        if (m->share_listeners[n])
            close(m->share_listeners[n]);
    }
    disks_close(m);
    input_destroy(m->input);
    if (m->board.pci)
        pci_bus_destroy(m->board.pci);
    irq_destroy(m->board.irq);
    memory_destroy(m->board.memory);
    loop_destroy(m->board.loop);
    bus_destroy(m->board.bus);
    kvm_vm_destroy(m->vm);
    pthread_mutex_destroy(&m->fault_lock);
    pthread_mutex_destroy(&m->statistics.lock);
    loop_destroy(m->main_loop);
}
