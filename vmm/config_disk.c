/* --disk: a file and its properties. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

const char *const config_bus_names[CONFIG_BUSES] = {[CONFIG_BUS_VIRTIO] = "virtio"};

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
    } else {
        return error_set(error, EINVAL,
                         "--disk %s: unknown property %s; known are bus=NAME, readonly, serial=TEXT, queues=N, "
                         "cache=none|host, engine=auto|io_uring|threads (a comma in the file's name is written twice)",
                         disk->path, item);
    }
    return 0;
}

int config_add_disk(struct config *config, const char *value, struct error *error)
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
    *disk = (struct config_disk){.path = strdup(item)};
    config->disk_count++;
    while (failed == 0 && (item = next_item(&list)))
        failed = set_disk_property(disk, item, error);
    free(copy);
    return failed;
}
