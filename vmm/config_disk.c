/* --disk: a file and its properties. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "config.h"
#include "size.h"

const char *const config_bus_names[CONFIG_BUSES] = {[CONFIG_BUS_VIRTIO] = "virtio",
                                                    [CONFIG_BUS_NVME] = "nvme",
                                                    [CONFIG_BUS_AHCI] = "ahci",
                                                    [CONFIG_BUS_USB] = "usb",
                                                    [CONFIG_BUS_SCSI] = "scsi"};

/* The next item of a comma-separated list, in place; ",," stands for a comma. NULL at the end. */
static char *next_item(char **list)
{
    char *start = *list, *to = start;

    if (!start)
        return NULL;
    for (char *from = start;; from++) {
        if (*from == ',' && from[1] == ',') {
            from++;
        } else if (*from == ',' || !*from) {
            *list = *from ? from + 1 : NULL;
            *to = 0;
            return start;
        }
        *to++ = *from;
    }
}

static int set_bus(struct config_disk *disk, const char *name, struct error *error)
{
    char known[128] = "";
    size_t used = 0;

    for (unsigned n = 0; n < CONFIG_BUSES; n++) {
        if (!strcmp(name, config_bus_names[n])) {
            disk->bus = (enum config_bus)n;
            return 0;
        }
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", n ? ", " : "", config_bus_names[n]);
    }
    return error_set(error, EINVAL, "--disk %s: no bus is called %s; known are %s", disk->path, name, known);
}

/* backing=FILE, and backing-format=raw|qcow2 of it: one image deep. */
static bool set_format(struct config_disk *disk, const char *item)
{
    if (!strcmp(item, "format=raw") || !strcmp(item, "format=qcow2")) {
        disk->format = item[7] == 'r' ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2;
        disk->format_given = true;
    } else if (!strcmp(item, "backing-format=raw") || !strcmp(item, "backing-format=qcow2")) {
        disk->backing_format = item[15] == 'r' ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2;
    } else if (!strncmp(item, "backing=", 8) && item[8]) {
        free(disk->backing);
        disk->backing = strdup(item + 8);
    } else {
        return false;
    }
    return true;
}

/* iops=N and bps=SIZE. */
static int set_limit(const char *path, const char *item, struct block_limits *limits, struct error *error)
{
    bool bytes = item[0] == 'b';
    const char *value = strchr(item, '=') + 1;
    uint64_t *limit = bytes ? &limits->bytes : &limits->operations;
    struct error ignored;
    char *end;

    if (bytes && size_parse(value, limit, &ignored) == 0 && *limit >= 64 * KiB)
        return 0;
    if (!bytes) {
        *limit = strtoull(value, &end, 10);
        if (*value >= '0' && *value <= '9' && !*end && *limit >= 1 && *limit <= 100000000)
            return 0;
    }
    return error_set(error, EINVAL, "--disk %s: %s is no limit; give %s", path, item,
                     bytes ? "bytes each second, from 64K on, such as bps=50M"
                           : "operations each second, 1 to 100000000, such as iops=500");
}

static int set_disk_property(struct config_disk *disk, const char *item, struct error *error)
{
    if (!strcmp(item, "readonly") || !strcmp(item, "readonly=on")) {
        disk->read_only = true;
    } else if (!strncmp(item, "serial=", 7)) {
        if (strlen(item + 7) > 20)
            return error_set(error, EINVAL, "--disk %s: serial %s has more than 20 characters; shorten it", disk->path,
                             item + 7);
        free(disk->serial);
        disk->serial = strdup(item + 7);
    } else if (!strncmp(item, "queues=", 7)) {
        char *end;
        unsigned long queues = strtoul(item + 7, &end, 10);

        if (*end || queues < 1 || queues > 64)
            return error_set(error, EINVAL, "--disk %s: %s is not a number of queues; give 1 to 64", disk->path, item);
        disk->queues = (unsigned)queues;
        disk->queues_given = true;
    } else if (!strncmp(item, "bus=", 4)) {
        return set_bus(disk, item + 4, error);
    } else if (!strcmp(item, "cache=none") || !strcmp(item, "cache=host")) {
        disk->cache = item[6] == 'n' ? BLOCK_CACHE_NONE : BLOCK_CACHE_HOST;
    } else if (!strcmp(item, "engine=auto") || !strcmp(item, "engine=io_uring") || !strcmp(item, "engine=threads")) {
        disk->engine = item[7] == 'a' ? BLOCK_ENGINE_AUTO : item[7] == 'i' ? BLOCK_ENGINE_URING : BLOCK_ENGINE_THREADS;
        disk->engine_given = true;
    } else if (!strncmp(item, "iops=", 5) || !strncmp(item, "bps=", 4)) {
        return set_limit(disk->path, item, &disk->limits, error);
    } else if (!set_format(disk, item)) {
        return error_set(error, EINVAL,
                         "--disk %s: unknown property %s; known are bus=NAME, format=raw|qcow2, backing=FILE, "
                         "backing-format=raw|qcow2, readonly, serial=TEXT, queues=N, cache=none|host, "
                         "engine=auto|io_uring|threads, iops=N, bps=SIZE (a comma in the file's name is written twice)",
                         disk->path, item);
    }
    return 0;
}

/* first: what it is before its properties are looked at. */
static int add(struct config *config, const char *value, const struct config_disk *first, struct error *error)
{
    struct config_disk *disk = &config->disks[config->disk_count];
    char *copy, *list, *item;
    int failed = 0;

    if (config->disk_count == CONFIG_DISKS)
        return error_set(error, EINVAL, "--disk %s: a machine has at most %d disks; leave some out", value,
                         CONFIG_DISKS);
    copy = list = strdup(value);
    item = copy ? next_item(&list) : NULL;
    if (!item || !*item) {
        free(copy);
        return error_set(error, EINVAL, "--disk %s: no file named; give FILE[,property...]", value);
    }
    *disk = *first;
    disk->path = strdup(item);
    config->disk_count++;
    while (failed == 0 && (item = next_item(&list)))
        failed = set_disk_property(disk, item, error);
    free(copy);
    return failed;
}

int config_add_disk(struct config *config, const char *value, struct error *error)
{
    return add(config, value, &(struct config_disk){.bus = CONFIG_BUS_VIRTIO}, error);
}

int config_add_cdrom(struct config *config, const char *value, struct error *error)
{
    const struct config_disk drive = {
        .bus = CONFIG_BUS_AHCI, .cdrom = true, .read_only = true, .format = BLOCK_FORMAT_RAW, .format_given = true};
    int failed = add(config, value, &drive, error);
    const struct config_disk *disk = &config->disks[config->disk_count ? config->disk_count - 1 : 0];

    if (failed == 0 && disk->bus != CONFIG_BUS_AHCI && disk->bus != CONFIG_BUS_USB)
        return error_set(error, EINVAL, "--cdrom %s: a CD-ROM drive is on bus ahci or usb; give one of them",
                         disk->path);
    return failed;
}

const struct block_options *config_disk_image(const struct config_disk *disk, struct block_options *options,
                                              struct block_options *backing)
{
    *backing = (struct block_options){.path = disk->backing,
                                      .read_only = true,
                                      .format = disk->backing_format,
                                      .format_given = true,
                                      .engine = disk->engine,
                                      .cache = disk->cache};
    *options = (struct block_options){.path = disk->path,
                                      .read_only = disk->read_only,
                                      .format = disk->format,
                                      .format_given = disk->format_given,
                                      .backing = disk->backing ? backing : NULL,
                                      .engine = disk->engine,
                                      .cache = disk->cache,
                                      .limits = disk->limits};
    return options;
}

void config_disk_id(const struct config *config, unsigned n, char id[CONFIG_DISK_ID])
{
    bool cdrom = config->disks[n].cdrom;
    unsigned before = 0;

    for (unsigned other = 0; other < n; other++)
        before += config->disks[other].cdrom == cdrom;
    snprintf(id, CONFIG_DISK_ID, "%s%u", cdrom ? "cdrom" : "disk", before);
}

void config_remove_disks(struct config *config)
{
    while (config->disk_count) {
        struct config_disk *disk = &config->disks[--config->disk_count];

        free(disk->path);
        free(disk->serial);
        free(disk->backing);
    }
}

int config_insert_disk(struct config *config, unsigned at, const struct config_disk *disk, struct error *error)
{
    struct config_disk copy = *disk;

    if (config->disk_count == CONFIG_DISKS)
        return error_set(error, ENOSPC, "--disk: a machine has at most %d disks and drives; leave some out",
                         CONFIG_DISKS);
    copy.path = strdup(disk->path);
    if (!copy.path)
        return error_set(error, ENOMEM, "configuration: out of memory");
    config_complete_disk(config, &copy);
    memmove(config->disks + at + 1, config->disks + at, (config->disk_count - at) * sizeof copy);
    config->disks[at] = copy;
    config->disk_count++;
    return 0;
}
