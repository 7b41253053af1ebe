/* The storage folder, the system disk, and further disks: images in folders of their own, and block devices. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "casement/bytes.h"
#include "environment_private.h"
#include "limits.h"

/* What all of a file system's space leaves for firmware variables and the like. */
#define SPACE_LEFT GiB
#define DISK_DEFAULT (64 * GiB)

int variable_storage(struct reader *reader, const struct variable *variable, const char *value)
{
    if (value && *value != '/')
        return error_set(reader->error, EINVAL, "%s %s: not a path of the container; give one such as /storage",
                         variable->name, value);
    reader_give(reader, variable->option, value ? variable->name : NULL, reader_storage(reader));
    return 0;
}

/* value: a size, half or max of what is free in the folder. In whole MiB. */
static int size_of_disk(struct reader *reader, const char *name, const char *value, const char *folder, uint64_t *bytes)
{
    const bool all = !strcasecmp(value, "max"), half = !strcasecmp(value, "half");
    struct error why;
    uint64_t space;
    int failed = 0;

    if (all || half) {
        if (limits_space(folder, &space, &why) < 0)
            return error_set(reader->error, EINVAL, "%s %s: %s", name, value, why.text);
        *bytes = half ? space / 2 : space - MIN(space, (uint64_t)SPACE_LEFT);
    } else {
        failed = reader_size(reader, name, value, GiB, bytes);
    }
    if (failed < 0)
        return failed;
    if (*bytes < (uint64_t)MiB)
        return error_set(reader->error, EINVAL, "%s %s: less than 1M; give more, or make room in %s", name, value,
                         folder);
    *bytes -= *bytes % (uint64_t)MiB;
    return 0;
}

/* What is free shrinks as the disk fills, so a share of it is for making the disk only. */
int variable_disk_size(struct reader *reader, const struct variable *variable, const char *value)
{
    uint64_t bytes = 0;
    int failed;

    if (!value || ((!strcasecmp(value, "max") || !strcasecmp(value, "half")) &&
                   (reader_has_system(reader) || reader_system_disk(reader))))
        return 0;
    failed = size_of_disk(reader, variable->name, value, reader_storage(reader), &bytes);
    if (failed == 0)
        reader_give(reader, variable->option, variable->name,
                    reader_text(reader, "%" PRIu64 "M", bytes / (uint64_t)MiB));
    return failed;
}

static bool disk_is_qcow2(struct reader *reader)
{
    const char *format = reader_value(reader, "DISK_FMT");

    if (format)
        return !strcasecmp(format, "qcow2");
    return reader_exists(reader_text(reader, "%s/data.qcow2", reader_storage(reader)));
}

/* Without a format the disk that is there says it. */
int variable_disk_format(struct reader *reader, const struct variable *variable, const char *value)
{
    bool qcow2 = disk_is_qcow2(reader);

    if (value && !qcow2 && strcasecmp(value, "raw") != 0)
        return reader_refuse(reader, variable->name, value, "raw or qcow2");
    if (value || qcow2)
        reader_give(reader, variable->option, value ? variable->name : NULL, qcow2 ? "qcow2" : "raw");
    return 0;
}

/* Commas in the name are written twice in the option. */
static void give_disk(struct reader *reader, const char *variable, const char *path, bool qcow2)
{
    const char *cache = reader_value(reader, "DISK_CACHE");
    bool host = cache && strcasecmp(cache, "none") != 0 && strcasecmp(cache, "directsync") != 0;
    char *doubled = reader_text(reader, "%*s", (int)(2 * strlen(path) + 1), ""), *to = doubled;

    if (!doubled)
        return;
    for (; *path; path++) {
        *to++ = *path;
        if (*path == ',')
            *to++ = ',';
    }
    *to = 0;
    reader_give(reader, "disk", variable,
                reader_text(reader, "%s,bus=%s%s%s", doubled, reader_disk_bus(reader), qcow2 ? ",format=qcow2" : "",
                            host ? ",cache=host" : ""));
}

static bool is_device(const char *path)
{
    struct stat info;

    return path && stat(path, &info) == 0 && S_ISBLK(info.st_mode);
}

/* The block device that is the n-th disk, by its variable or at its place. *device is NULL when there is none. */
static int find_device(struct reader *reader, const char *variable, unsigned number, const char **device)
{
    const char *value = reader_value(reader, variable), *root = reader->place->root;

    *device = value ? reader_text(reader, "%s%s", root, value) : NULL;
    if (value && !is_device(*device))
        return error_set(reader->error, EINVAL,
                         "%s %s: no block device; name one that the container has by `devices:`, such as /dev/sdb",
                         variable, value);
    for (unsigned n = 0; n < 2 && !*device; n++) {
        const char *path = reader_text(reader, "%s%s/disk%u", root, n ? "/dev" : "", number);

        if (is_device(path))
            *device = path;
    }
    return 0;
}

/* An image of that name at the container's root, whose extension says what it is. *path is NULL when there is none. */
static int find_bound(struct reader *reader, const char *name, const char **path, bool *qcow2)
{
    struct stat info;

    *path = NULL;
    for (unsigned n = 0; n < 2 && !*path; n++) {
        const char *place = reader_text(reader, "%s/%s.%s", reader->place->root, name, n ? "qcow2" : "img");

        *qcow2 = n;
        if (place && stat(place, &info) == 0)
            *path = place;
    }
    return *path && S_ISDIR(info.st_mode)
               ? error_set(reader->error, EISDIR,
                           "%s: is a folder, for the file that is bound there does not exist on the host; mend the "
                           "path of the volume",
                           *path)
               : 0;
}

/* A system disk that is not in the storage folder, and what names it; *path is NULL when it is there. */
static int find_system(struct reader *reader, const char **variable, const char **path)
{
    static const char *const names[] = {"disk", "disk1"};
    const char *plain = reader_text(reader, "%s/disk", reader->place->root);
    int failed = find_device(reader, "DEVICE", 1, path);
    bool qcow2;

    *variable = failed == 0 && *path ? "DEVICE" : NULL;
    if (failed == 0 && !*path && is_device(plain))
        *path = plain;
    for (size_t n = 0; n < ARRAY_SIZE(names) && failed == 0 && !*path; n++)
        failed = find_bound(reader, names[n], path, &qcow2);
    return failed;
}

const char *reader_system_disk(struct reader *reader)
{
    const char *variable, *path;
    struct error ignored, *error = reader->error;
    int failed;

    reader->error = &ignored;
    failed = find_system(reader, &variable, &path);
    reader->error = error;
    return failed < 0 ? NULL : path;
}

int variable_device(struct reader *reader, const struct variable *variable, const char *value)
{
    const char *named, *path;
    int failed = find_system(reader, &named, &path);

    (void)value;
    if (failed == 0 && path)
        reader_give(reader, variable->option, named, path);
    return failed;
}

/* The folder's image if it has one, else one to be made. */
static int give_image(struct reader *reader, const char *variable, unsigned number, const char *folder)
{
    struct container_settings *settings = reader->settings;
    const char *size = reader_value(reader, variable), *all = reader_value(reader, "DISK_SIZE");
    const char *raw = reader_text(reader, "%s/data%u.img", folder, number);
    const char *qcow2 = reader_text(reader, "%s/data%u.qcow2", folder, number);
    bool prefers_qcow2 = disk_is_qcow2(reader) ? reader_exists(qcow2) || !reader_exists(raw)
                                               : reader_exists(qcow2) && !reader_exists(raw);
    struct container_disk disk = {.path = prefers_qcow2 ? qcow2 : raw,
                                  .variable = variable,
                                  .size = DISK_DEFAULT,
                                  .format = prefers_qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW};
    int failed = 0;

    if (!disk.path)
        return 0;
    if (!reader_exists(disk.path)) {
        if (size || all)
            failed = size_of_disk(reader, size ? variable : "DISK_SIZE", size ? size : all, folder, &disk.size);
        if (failed < 0)
            return failed;
        settings->disks[settings->disk_count++] = disk;
    }
    give_disk(reader, variable, disk.path, disk.format == BLOCK_FORMAT_QCOW2);
    return 0;
}

/* DISK2_SIZE and its like: a device comes before an image that is bound, and that before one in the folder. */
int variable_further_disk(struct reader *reader, const struct variable *variable, const char *value)
{
    const unsigned number = (unsigned)(variable->name[4] - '0');
    const char *folder = reader_text(reader, "%s/storage%u", reader->place->root, number), *device = NULL;
    const char *by_device = reader_text(reader, "DEVICE%u", number);
    const char *image = NULL;
    bool qcow2 = false;
    int failed = by_device ? find_device(reader, by_device, number, &device) : 0;

    if (failed == 0 && !device)
        failed = find_bound(reader, reader_text(reader, "disk%u", number), &image, &qcow2);
    if (failed < 0)
        return failed;
    if (device)
        give_disk(reader, by_device, device, false);
    else if (image)
        give_disk(reader, NULL, image, qcow2);
    else if (reader_exists(folder))
        return give_image(reader, variable->name, number, folder);
    else if (value)
        reader_warn(reader, "%s %s: there is no folder %s for it, so there is no such disk; bind one", variable->name,
                    value, folder);
    return 0;
}
