/* Values of options that are more than a number, and the checks that need the whole configuration. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "config.h"

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
    } else if (!strcmp(item, "cache=none") || !strcmp(item, "cache=host")) {
        disk->cache = item[6] == 'n' ? BLOCK_CACHE_NONE : BLOCK_CACHE_HOST;
    } else if (!strcmp(item, "engine=auto") || !strcmp(item, "engine=io_uring") || !strcmp(item, "engine=threads")) {
        disk->engine = item[7] == 'a' ? BLOCK_ENGINE_AUTO : item[7] == 'i' ? BLOCK_ENGINE_URING : BLOCK_ENGINE_THREADS;
        disk->engine_given = true;
    } else {
        return error_set(error, EINVAL,
                         "--disk %s: unknown property %s; known are readonly, serial=TEXT, queues=N, cache=none|host, "
                         "engine=auto|io_uring|threads (a comma in the file's name is written twice)",
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

static bool parse_port(const char *text, const char *end, uint16_t *port)
{
    unsigned long number = 0;

    if (text == end)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9' || number > 65535)
            return false;
        number = number * 10 + (unsigned long)(*text - '0');
    }
    *port = (uint16_t)number;
    return number >= 1 && number <= 65535;
}

int config_add_forward(struct config *config, const char *value, struct error *error)
{
    struct net_forward *forward = &config->forwards[config->forward_count];
    const char *end = value + strlen(value), *guest, *host;

    if (config->forward_count == CONFIG_FORWARDS)
        return error_set(error, EINVAL, "--forward %s: at most %d forwards; leave some out", value, CONFIG_FORWARDS);
    *forward = (struct net_forward){0};
    if (end - value > 4 && (!strcmp(end - 4, "/udp") || !strcmp(end - 4, "/tcp"))) {
        forward->udp = end[-3] == 'u';
        end -= 4;
    }
    guest = memrchr(value, ':', (size_t)(end - value));
    host = guest ? memrchr(value, ':', (size_t)(guest - value)) : NULL;
    if (!guest || !parse_port(guest + 1, end, &forward->guest_port) ||
        !parse_port(host ? host + 1 : value, guest, &forward->host_port) ||
        (host && (size_t)(host - value) >= sizeof forward->host_address))
        return error_set(error, EINVAL,
                         "--forward %s: not of the form [ADDRESS:]HOSTPORT:GUESTPORT[/udp]; for example 2222:22",
                         value);
    if (host)
        memcpy(forward->host_address, value, (size_t)(host - value));
    for (unsigned n = 0; n < config->forward_count; n++)
        if (config->forwards[n].host_port == forward->host_port && config->forwards[n].udp == forward->udp &&
            !strcmp(config->forwards[n].host_address, forward->host_address))
            return error_set(error, EINVAL, "--forward %s: host port %u is forwarded already; choose another", value,
                             forward->host_port);
    config->forward_count++;
    return 0;
}

int config_set_mac(struct config *config, const char *value, struct error *error)
{
    int used = 0;
    unsigned byte[6];

    if (sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &used) !=
            6 ||
        value[used] || (byte[0] & 1))
        return error_set(error, EINVAL,
                         "--mac %s: not an address of one card; give six bytes such as 02:00:00:12:34:56", value);
    for (unsigned n = 0; n < 6; n++)
        config->mac[n] = (uint8_t)byte[n];
    config->mac_given = true;
    return 0;
}

int config_set_uuid(struct config *config, const char *value, struct error *error)
{
    unsigned nibbles = 0;

    for (const char *at = value; *at; at++) {
        const char *digits = "0123456789abcdef", *digit;

        if (*at == '-')
            continue;
        digit = strchr(digits, *at | 0x20);
        if (!digit || nibbles == 32) {
            nibbles = 0;
            break;
        }
        config->uuid[nibbles / 2] = (uint8_t)(config->uuid[nibbles / 2] << 4 | (digit - digits));
        nibbles++;
    }
    if (nibbles != 32)
        return error_set(error, EINVAL, "--uuid %s: not a UUID; give 32 hexadecimal digits as `uuidgen` prints them",
                         value);
    config->uuid_given = true;
    return 0;
}

int config_set_display(struct config *config, const char *value, struct error *error)
{
    unsigned width, height;
    int used = 0;

    if (!strcmp(value, "none")) {
        config->display_width = config->display_height = 0;
        return 0;
    }
    if (sscanf(value, "%ux%u%n", &width, &height, &used) != 2 || value[used] || width < 640 || height < 480 ||
        width > 3840 || height > 2160 || width % 8)
        return error_set(error, EINVAL,
                         "--display %s: not a size that the screen has; give WIDTHxHEIGHT from 640x480 to 3840x2160 "
                         "with a width that 8 divides, or none",
                         value);
    config->display_width = width;
    config->display_height = height;
    return 0;
}

static void below_state(const struct config *config, char **path, const char *name)
{
    if (!*path && asprintf(path, "%s/%s", config->state, name) < 0)
        *path = NULL;
}

/* Two machines of different names get different identities, and one keeps its own (64-bit FNV-1a of the name). */
static void derive_identity(struct config *config)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    char *place = realpath(config->state, NULL);
    const char *texts[] = {place ? place : config->state, config->name};

    for (size_t text = 0; text < ARRAY_SIZE(texts); text++)
        for (const char *at = texts[text]; *at; at++)
            hash = (hash ^ (uint8_t)*at) * UINT64_C(1099511628211);
    if (!config->mac_given) {
        const uint8_t prefix[] = {0x52, 0x54, 0x00};

        memcpy(config->mac, prefix, sizeof prefix);
        for (unsigned n = 3; n < 6; n++)
            config->mac[n] = (uint8_t)(hash >> (8 * n));
    }
    if (!config->uuid_given) {
        put_be64(config->uuid, hash);
        put_be64(config->uuid + 8, hash * UINT64_C(0x9E3779B97F4A7C15));
        config->uuid[6] = (config->uuid[6] & 0x0F) | 0x80; /* version 8, variant 1 (RFC 9562) */
        config->uuid[8] = (config->uuid[8] & 0x3F) | 0x80;
    }
    free(place);
}

static int check_file(const char *option, const char *path, const char *remedy, struct error *error)
{
    struct stat info;

    if (stat(path, &info) < 0 || access(path, R_OK) < 0)
        return error_set(error, errno, "%s %s: %s; %s", option, path, strerror(errno), remedy);
    if (S_ISDIR(info.st_mode))
        return error_set(error, EISDIR, "%s %s: is a folder; name the file in it", option, path);
    return 0;
}

static int find_firmware(struct config *config, struct error *error)
{
    static const char *const known[] = {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/edk2/ovmf/OVMF_CODE_4M.fd",
                                        "/usr/share/casement/OVMF_CODE_4M.fd"};
    char *name;

    for (size_t n = 0; n < ARRAY_SIZE(known) && !config->firmware; n++)
        if (access(known[n], R_OK) == 0)
            config->firmware = strdup(known[n]);
    if (!config->firmware)
        return error_set(error, ENOENT,
                         "--firmware: no OVMF found in its usual places; install the package ovmf or name "
                         "the file with --firmware FILE");
    if (config->vars_template)
        return 0;
    /* The template stands beside the code: CODE in the name becomes VARS, and what follows the size is dropped. */
    config->vars_template = strdup(config->firmware);
    name = config->vars_template ? strstr(strrchr(config->vars_template, '/') ?: config->vars_template, "CODE") : NULL;
    if (!name)
        return error_set(error, EINVAL, "--firmware %s: no variables template known for it; give --vars-template FILE",
                         config->firmware);
    memcpy(name, "VARS", 4);
    return 0;
}

static int check_boot(struct config *config, bool firmware_given, struct error *error)
{
    int failed;

    if (config->kernel && firmware_given)
        return error_set(error, EINVAL,
                         "--kernel and --firmware exclude each other: a kernel is started with no firmware "
                         "in between; leave one out");
    if (!config->kernel && (config->initrd || config->append))
        return error_set(error, EINVAL, "%s needs --kernel; add it or leave %s out",
                         config->initrd ? "--initrd" : "--append", config->initrd ? "--initrd" : "--append");
    if (config->kernel) {
        failed = check_file("--kernel", config->kernel, "name a bzImage that can be read", error);
        if (failed == 0 && config->initrd)
            failed = check_file("--initrd", config->initrd, "name a file that can be read", error);
        return failed;
    }
    failed = find_firmware(config, error);
    if (failed == 0)
        failed = check_file("--firmware", config->firmware, "install the package ovmf or name another file", error);
    if (failed == 0 && access(config->vars, F_OK) < 0)
        failed = check_file("--vars-template", config->vars_template, "install the package ovmf or name another file",
                            error);
    return failed;
}

static int check_disks(struct config *config, struct error *error)
{
    struct stat known[CONFIG_DISKS];

    for (unsigned n = 0; n < config->disk_count; n++) {
        struct config_disk *disk = &config->disks[n];

        if (!disk->engine_given)
            disk->engine = config->io_engine;
        if (!disk->queues_given)
            disk->queues = (unsigned)MIN(config->cpus, UINT64_C(4));
        if (stat(disk->path, &known[n]) < 0)
            return error_set(error, errno, "--disk %s: %s; make it first, for example with `truncate -s 20G %s`",
                             disk->path, strerror(errno), disk->path);
        for (unsigned other = 0; other < n; other++)
            if (known[other].st_dev == known[n].st_dev && known[other].st_ino == known[n].st_ino &&
                !(config->disks[other].read_only && disk->read_only))
                return error_set(error, EINVAL, "--disk %s: the same image as --disk %s; give each disk its own",
                                 disk->path, config->disks[other].path);
    }
    return 0;
}

/* Bytes that the host can give now, the container's limit included; 0 when unknown. */
static uint64_t memory_available(void)
{
    uint64_t available = 0, limit;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &available) == 1)
            break;
    if (file)
        fclose(file);
    available *= KiB;
    file = fopen("/sys/fs/cgroup/memory.max", "re");
    if (file && fscanf(file, "%" SCNu64, &limit) == 1 && limit < available)
        available = limit;
    if (file)
        fclose(file);
    return available;
}

static int check_memory(const struct config *config, struct error *error)
{
    uint64_t available = memory_available();

    if (config->memory % (2 * MiB))
        return error_set(error, EINVAL, "--memory %" PRIu64 ": not a multiple of 2 MiB; round it", config->memory);
    if (available && config->memory > available)
        return error_set(error, ENOMEM,
                         "--memory %" PRIu64 "M: the host has %" PRIu64 "M to give; ask for less or free some memory",
                         (uint64_t)(config->memory / MiB), (uint64_t)(available / MiB));
    return 0;
}

static int check_state(struct config *config, struct error *error)
{
    if (mkdir(config->state, 0700) < 0 && errno != EEXIST)
        return error_set(error, errno,
                         "--state %s: the folder cannot be made: %s; name one in a place that is writable",
                         config->state, strerror(errno));
    if (access(config->state, W_OK | X_OK) < 0)
        return error_set(error, errno, "--state %s: %s; name a folder that is writable", config->state,
                         strerror(errno));
    return 0;
}

int config_complete(struct config *config, struct error *error)
{
    bool firmware_given = config->firmware != NULL;
    int failed;

    below_state(config, &config->vars, "vars.fd");
    below_state(config, &config->control, "control.sock");
    if (!config->vars || !config->control)
        return error_set(error, ENOMEM, "configuration: out of memory");
    failed = check_memory(config, error);
    if (failed == 0)
        failed = check_boot(config, firmware_given, error);
    if (failed == 0)
        failed = check_disks(config, error);
    /* The only thing that is made here, and the last. */
    if (failed == 0)
        failed = check_state(config, error);
    if (failed == 0)
        derive_identity(config);
    return failed;
}

void config_free(struct config *config)
{
    for (unsigned n = 0; n < config->disk_count; n++) {
        free(config->disks[n].path);
        free(config->disks[n].serial);
    }
    free(config->name);
    free(config->firmware);
    free(config->vars);
    free(config->vars_template);
    free(config->kernel);
    free(config->initrd);
    free(config->append);
    free(config->serial);
    free(config->screenshot);
    free(config->state);
    free(config->control);
    free(config->log_level);
    *config = (struct config){0};
}
