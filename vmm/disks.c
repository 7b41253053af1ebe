/* Which images a machine has, behind which controllers, and which of them firmware starts first. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "casement/ahci.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/nvme.h"
#include "casement/usb.h"
#include "casement/virtio.h"
#include "machine.h"

#define PATH_SIZE 64
#define SERIAL_SIZE 21
/* OVMF's driver makes two pairs of I/O queues and asks nobody how many there are; without the second it drives nothing.
 */
#define NVME_QUEUES_LEAST 2U
/* Beside the two for other things. */
#define SCSI_QUEUES_MOST 62U

static int add_virtio(struct machine *m, unsigned n, const char *serial, struct error *error)
{
    struct virtio_block_options device = {
        .block = m->disks[n], .queues = m->config->disks[n].queues, .slot = (int)(SLOT_FIRST_DISK + n)};

    snprintf(device.serial, sizeof device.serial, "%s", serial);
    return virtio_block_create(&m->board, &device, &m->virtio_disks[n], error);
}

static void virtio_path(const struct machine *m, unsigned n, char *path)
{
    (void)m;
    snprintf(path, PATH_SIZE, "/pci@i0cf8/scsi@%x/disk@0,0", SLOT_FIRST_DISK + n);
}

static int add_scsi(struct machine *m, unsigned n, const char *serial, struct error *error)
{
    struct virtio_scsi_options device = {.block = m->disks[n],
                                         .queues = MIN(m->config->disks[n].queues, SCSI_QUEUES_MOST),
                                         .slot = (int)(SLOT_FIRST_DISK + n)};

    snprintf(device.serial, sizeof device.serial, "%s", serial);
    return virtio_scsi_create(&m->board, &device, &m->virtio_disks[n], error);
}

static void scsi_path(const struct machine *m, unsigned n, char *path)
{
    (void)m;
    snprintf(path, PATH_SIZE, "/pci@i0cf8/scsi@%x/channel@0/disk@0,0", SLOT_FIRST_DISK + n);
}

static int add_nvme(struct machine *m, unsigned n, const char *serial, struct error *error)
{
    struct nvme_options device = {.block = m->disks[n],
                                  .queues = MAX(m->config->disks[n].queues, NVME_QUEUES_LEAST),
                                  .slot = (int)(SLOT_FIRST_DISK + n)};

    snprintf(device.serial, sizeof device.serial, "%s", serial);
    return nvme_create(&m->board, &device, &m->nvme_disks[n], error);
}

static void serial_of(const struct machine *m, unsigned n, char serial[SERIAL_SIZE])
{
    const char *given = m->config->disks[n].serial;

    if (given)
        snprintf(serial, SERIAL_SIZE, "%s", given);
    else
        snprintf(serial, SERIAL_SIZE, "casement-disk%u", n % CONFIG_DISKS);
}

/* With the namespace's EUI-64: firmware compares it, and leaves out of its order what does not match. */
static void nvme_path(const struct machine *m, unsigned n, char *path)
{
    char serial[SERIAL_SIZE];

    serial_of(m, n, serial);
    snprintf(path, PATH_SIZE, "/pci@i0cf8/pci8086,5845@%x/namespace@1,%" PRIx64, SLOT_FIRST_DISK + n,
             nvme_firmware_id(serial));
}

/* All drives are on one adapter, which is there when it has one. */
static int add_ahci(struct machine *m, unsigned n, const char *serial, struct error *error)
{
    int failed = m->ahci ? 0 : ahci_create(&m->board, SLOT_CHIPSET, &m->ahci, error);

    if (failed < 0)
        return failed;
    m->disk_port[n] = m->ahci_drives++;
    return m->config->disks[n].cdrom ? ahci_add_cdrom(m->ahci, m->disks[n], error)
                                     : ahci_add_disk(m->ahci, m->disks[n], serial, error);
}

static void ahci_path(const struct machine *m, unsigned n, char *path)
{
    snprintf(path, PATH_SIZE, "/pci@i0cf8/pci8086,2922@%x,2/drive@%x/disk@0", SLOT_CHIPSET, m->disk_port[n]);
}

static int add_usb(struct machine *m, unsigned n, const char *serial, struct error *error)
{
    const struct config_disk *disk = &m->config->disks[n];
    char name[CONFIG_DISK_ID];
    const struct usb_storage_options device = {
        .name = name, .serial = serial, .medium = m->disks[n], .cdrom = disk->cdrom, .removable = true};

    config_disk_id(m->config, n, name);
    return usb_storage_create(&m->board, m->xhci, &device, &m->disk_port[n], error);
}

static void usb_path(const struct machine *m, unsigned n, char *path)
{
    snprintf(path, PATH_SIZE, "/pci@i0cf8/usb@%x/storage@%x/channel@0/disk@0,0", SLOT_USB, m->disk_port[n]);
}

static const struct {
    int (*add)(struct machine *m, unsigned n, const char *serial, struct error *error);
    void (*path)(const struct machine *m, unsigned n, char *path); /* OpenFirmware's (platform contract 3.1) */
} buses[CONFIG_BUSES] = {
    [CONFIG_BUS_VIRTIO] = {add_virtio, virtio_path}, [CONFIG_BUS_NVME] = {add_nvme, nvme_path},
    [CONFIG_BUS_AHCI] = {add_ahci, ahci_path},       [CONFIG_BUS_USB] = {add_usb, usb_path},
    [CONFIG_BUS_SCSI] = {add_scsi, scsi_path},
};

/* On the loop of one of the disk's queues. */
static void space_changed(void *opaque, bool full)
{
    const struct disk_watch *watch = opaque;
    uint32_t bit = UINT32_C(1) << watch->number;

    if (full)
        atomic_fetch_or(&watch->machine->full_disks, bit);
    else
        atomic_fetch_and(&watch->machine->full_disks, ~bit);
    lifecycle_space(watch->machine);
}

bool disks_full(const struct machine *m, char *text, size_t size)
{
    uint32_t full = atomic_load(&m->full_disks);
    size_t used = 0;

    text[0] = 0;
    for (unsigned n = 0; n < CONFIG_DISKS && full; n++) {
        char id[CONFIG_DISK_ID];

        if (!(full >> n & 1) || used >= size)
            continue;
        config_disk_id(m->config, n, id);
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "space on the host for ", id);
    }
    return full;
}

bool disks_describe(const struct machine *m, unsigned n, struct machine_disk *disk)
{
    const struct config_disk *config = &m->config->disks[n < CONFIG_DISKS ? n : 0];
    const struct block *block = n < m->disk_count ? m->disks[n] : NULL;

    if (!block)
        return false;
    *disk = (struct machine_disk){.file = config->path,
                                  .bus = config_bus_names[config->bus],
                                  .engine = block_engine_name(block),
                                  .cdrom = config->cdrom,
                                  .read_only = block_read_only(block),
                                  .qcow2 = block_format(block) == BLOCK_FORMAT_QCOW2,
                                  .full = atomic_load(&m->full_disks) >> n & 1,
                                  .size = block_size(block),
                                  .limits = block_limits(block)};
    config_disk_id(m->config, n, disk->id);
    block_totals(block, &disk->totals);
    return true;
}

bool disks_driven(const struct machine *m, unsigned n)
{
    if (n >= m->disk_count)
        return false;
    return m->virtio_disks[n] ? virtio_driven(m->virtio_disks[n]) : m->nvme_disks[n] && nvme_driven(m->nvme_disks[n]);
}

static int add_disk(struct machine *m, unsigned n, struct error *error)
{
    const struct config_disk *disk = &m->config->disks[n];
    struct block_options options, backing;
    char serial[SERIAL_SIZE];
    int failed = block_open(config_disk_image(disk, &options, &backing), &m->disks[n], error);

    if (failed < 0)
        return failed;
    m->disk_watch[n] = (struct disk_watch){m, n};
    if (m->config->on_full == CONFIG_FULL_PAUSE)
        block_on_full(m->disks[n], space_changed, &m->disk_watch[n]);
    m->disk_count++;
    serial_of(m, n, serial);
    return buses[disk->bus].add(m, n, serial, error);
}

/* Disks are started in the order in which they were given, and nothing else is. */
static int add_boot_order(struct machine *m, struct error *error)
{
    char order[CONFIG_DISKS * (PATH_SIZE + 1)] = "", path[PATH_SIZE];
    size_t used = 0;
    int failed;

    for (unsigned n = 0; n < m->disk_count; n++) {
        buses[m->config->disks[n].bus].path(m, n, path);
        used += (size_t)snprintf(order + used, sizeof order - used, "%s%s", n ? "\n" : "", path);
    }
    failed = used ? fw_cfg_add_file(m->fw_cfg, "bootorder", order, used + 1) : 0;
    return failed < 0 ? error_set(error, -failed, "boot order: cannot be made (error %d)", -failed) : 0;
}

int disks_create(struct machine *m, struct error *error)
{
    for (unsigned n = 0; n < m->config->disk_count; n++) {
        int failed = add_disk(m, n, error);

        if (failed < 0)
            return failed;
    }
    return add_boot_order(m, error);
}

/* The ids that there are, for a user who gave another one. */
static int unknown_disk(const struct machine *m, const char *name, struct error *error)
{
    char known[CONFIG_DISKS * (CONFIG_DISK_ID + 2)] = "", id[CONFIG_DISK_ID];
    size_t used = 0;

    for (unsigned n = 0; n < m->disk_count; n++) {
        config_disk_id(m->config, n, id);
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", n ? ", " : "", id);
    }
    return error_set(error, ENOENT, used ? "%s: no such disk; give one of %s" : "%s: this machine has no disk", name,
                     known);
}

int disks_grow(struct machine *m, const char *name, uint64_t size, struct error *error)
{
    struct error reason = {""};
    char id[CONFIG_DISK_ID];
    int failed;

    for (unsigned n = 0; n < m->disk_count; n++) {
        config_disk_id(m->config, n, id);
        if (strcmp(id, name) != 0)
            continue;
        failed = block_grow(m->disks[n], size, &reason);
        if (failed < 0)
            return error_set(error, -failed, "%s (%.200s): %s", id, m->config->disks[n].path, reason.text);
        log_info("%s: is a disk of %" PRIu64 " bytes now", id, size);
        return 0;
    }
    return unknown_disk(m, name, error);
}

void disks_unwatch(struct machine *m)
{
    for (unsigned n = 0; n < m->disk_count; n++)
        block_on_full(m->disks[n], NULL, NULL);
}

void disks_close(struct machine *m)
{
    for (unsigned n = 0; n < m->disk_count; n++)
        block_close(m->disks[n]);
}
