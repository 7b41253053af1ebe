/*
 * The folder for what a machine keeps, and the file `uuid` in it: the machine's identity, and by its lock the sign that
 * a machine is running there. Random, because containers see the same paths and often the same names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "config.h"

static char *file_path(const struct config *config)
{
    char *path;

    return asprintf(&path, "%s/uuid", config->state) < 0 ? NULL : path;
}

static int no_memory(struct error *error)
{
    return error_set(error, ENOMEM, "configuration: out of memory");
}

static int unusable(const struct config *config, int err, struct error *error)
{
    if (err == ENOSPC || err == EDQUOT)
        return error_set(error, err, "--state %s: %s; make room there, or name a folder that has some", config->state,
                         strerror(err));
    return error_set(error, err, "--state %s: %s; name a folder in a place that is writable", config->state,
                     strerror(err));
}

/* Locally administered, one card (IEEE 802, 8.2). */
static void derive_mac(struct config *config)
{
    if (config->mac_given)
        return;
    config->mac[0] = 0x52;
    config->mac[1] = 0x54;
    config->mac[2] = 0x00;
    memcpy(config->mac + 3, config->uuid + 13, 3);
}

/* 1: a UUID was read; 0: the file is empty, as after a power failure; or -errno. */
static int read_uuid(int fd, struct config *kept)
{
    char text[64];
    ssize_t count = pread(fd, text, sizeof text - 1, 0);

    if (count <= 0)
        return count < 0 ? -errno : 0;
    text[count] = 0;
    text[strcspn(text, "\n")] = 0;
    return config_set_uuid(kept, text, NULL) < 0 ? -EINVAL : 1;
}

static int make_uuid(int fd, struct config *kept)
{
    char text[40] = "";
    size_t length;
    int failed;

    if (getrandom(kept->uuid, sizeof kept->uuid, 0) != (ssize_t)sizeof kept->uuid)
        return -EIO;
    kept->uuid[6] = (kept->uuid[6] & 0x0F) | 0x40; /* version 4, variant 1 (RFC 9562, 5.4) */
    kept->uuid[8] = (kept->uuid[8] & 0x3F) | 0x80;
    kept->uuid_known = true;
    config_show_uuid(kept, text, sizeof text);
    length = strlen(text);
    text[length++] = '\n';
    failed = file_write_at(fd, text, length, 0);
    if (failed == 0 && fsync(fd) < 0)
        failed = -errno;
    /* A part of one would be refused from then on, where an empty file is begun anew. */
    return failed < 0 && ftruncate(fd, 0) < 0 ? -errno : failed;
}

static int lock(const struct config *config, int fd, struct error *error)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &range) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(error, EBUSY,
                         "--state %s: a machine is running with it; stop that one (`casement ctl powerdown`) or give "
                         "this one its own --state",
                         config->state);
    return error_set(error, errno, "--state %s: cannot be locked: %s; put it on a file system that has locks",
                     config->state, strerror(errno));
}

/* The file, locked. flags may hold O_CREAT. */
static int open_locked(const struct config *config, int flags, struct error *error)
{
    char *path = file_path(config);
    int fd, failed;

    if (!path)
        return no_memory(error);
    fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    failed = fd < 0 ? -errno : 0;
    free(path);
    if (failed < 0)
        return unusable(config, -failed, error);
    failed = lock(config, fd, error);
    if (failed == 0)
        return fd;
    close(fd);
    return failed;
}

static int no_uuid(const struct config *config, int err, struct error *error)
{
    if (err == ENOSPC || err == EDQUOT)
        return unusable(config, err, error);
    return error_set(error, err, "--state %s: its file uuid holds none that can be used: %s; remove that file",
                     config->state, strerror(err));
}

int state_take(struct config *config, struct error *error)
{
    struct config kept = {0};
    int fd, result;

    if (mkdir(config->state, 0700) < 0 && errno != EEXIST)
        return unusable(config, errno, error);
    fd = open_locked(config, O_CREAT, error);
    if (fd < 0)
        return fd;
    result = read_uuid(fd, &kept);
    if (result == 0)
        result = make_uuid(fd, &kept);
    if (result < 0) {
        close(fd);
        return no_uuid(config, -result, error);
    }
    if (!config->uuid_given)
        memcpy(config->uuid, kept.uuid, sizeof config->uuid);
    config->uuid_known = true;
    derive_mac(config);
    return fd;
}

/* The folder that a new one would be made in. */
static int check_parent(const struct config *config, struct error *error)
{
    char *copy = strdup(config->state), *slash;
    const char *parent = ".";
    struct stat info;
    int failed = 0;

    if (!copy)
        return no_memory(error);
    for (size_t length = strlen(copy); length > 1 && copy[length - 1] == '/';)
        copy[--length] = 0;
    slash = strrchr(copy, '/');
    if (slash) {
        slash[slash == copy] = 0;
        parent = copy;
    }
    if (stat(parent, &info) < 0 || access(parent, W_OK | X_OK) < 0)
        failed = unusable(config, errno, error);
    else if (!S_ISDIR(info.st_mode))
        failed = unusable(config, ENOTDIR, error);
    free(copy);
    return failed;
}

int state_check(const struct config *config, struct error *error)
{
    struct config kept = {0};
    struct stat info;
    char *path;
    int fd, result;

    if (stat(config->state, &info) < 0)
        return errno == ENOENT ? check_parent(config, error) : unusable(config, errno, error);
    if (!S_ISDIR(info.st_mode))
        return unusable(config, ENOTDIR, error);
    if (access(config->state, W_OK | X_OK) < 0)
        return unusable(config, errno, error);
    path = file_path(config);
    if (!path)
        return no_memory(error);
    result = access(path, F_OK);
    free(path);
    if (result < 0)
        return 0;
    fd = open_locked(config, 0, error);
    if (fd < 0)
        return fd;
    result = read_uuid(fd, &kept);
    close(fd);
    return result < 0 ? no_uuid(config, -result, error) : 0;
}

void state_read(struct config *config)
{
    struct config kept = {0};
    char *path = file_path(config);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    free(path);
    if (fd >= 0 && read_uuid(fd, &kept) == 1 && !config->uuid_given) {
        memcpy(config->uuid, kept.uuid, sizeof config->uuid);
        config->uuid_known = true;
    }
    if (fd >= 0)
        close(fd);
    if (config->uuid_known)
        derive_mac(config);
}
