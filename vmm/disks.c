/* Which images a machine has, behind which controllers, and which of them firmware starts first. */
#include <stdio.h>
#include <string.h>

#include "casement/virtio.h"
#include "machine.h"

#define PATH_SIZE 64

static int add_virtio(struct machine *m, unsigned n, const char *serial, struct error *error)
{
    struct virtio_block_options device = {
        .block = m->disks[n], .queues = m->config->disks[n].queues, .slot = (int)(SLOT_FIRST_DISK + n)};

    snprintf(device.serial, sizeof device.serial, "%s", serial);
    return virtio_block_create(&m->board, &device, error);
}

static void virtio_path(const struct machine *m, unsigned n, char *path)
{
    (void)m;
    snprintf(path, PATH_SIZE, "/pci@i0cf8/scsi@%x/disk@0,0", SLOT_FIRST_DISK + n);
}

static const struct {
    int (*add)(struct machine *m, unsigned n, const char *serial, struct error *error);
    void (*path)(const struct machine *m, unsigned n, char *path); /* OpenFirmware's (platform contract 3.1) */
} buses[CONFIG_BUSES] = {
    [CONFIG_BUS_VIRTIO] = {add_virtio, virtio_path},
};

static int add_disk(struct machine *m, unsigned n, struct error *error)
{
    const struct config_disk *disk = &m->config->disks[n];
    const struct block_options options = {
        .path = disk->path, .read_only = disk->read_only, .engine = disk->engine, .cache = disk->cache};
    char serial[21];
    int failed = block_open(&options, &m->disks[n], error);

    if (failed < 0)
        return failed;
    m->disk_count++;
    snprintf(serial, sizeof serial, "casement-disk%u", n % CONFIG_DISKS);
    return buses[disk->bus].add(m, n, disk->serial ? disk->serial : serial, error);
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

void disks_close(struct machine *m)
{
    for (unsigned n = 0; n < m->disk_count; n++)
        block_close(m->disks[n]);
}
