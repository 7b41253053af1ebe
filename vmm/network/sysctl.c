/* See sysctl.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sysctl.h"

static void path_of(const char *name, char *path, size_t size)
{
    snprintf(path, size, "/proc/sys/net/%s", name);
}

int sysctl_get(const char *name)
{
    char path[160], text[32];
    ssize_t count;
    int fd;

    path_of(name, path, sizeof path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0)
        return -EIO;
    text[count] = 0;
    return (int)strtol(text, NULL, 10);
}

bool sysctl_writable(const char *name)
{
    char path[160];

    path_of(name, path, sizeof path);
    return access(path, W_OK) == 0;
}

static int put(const char *name, int value)
{
    char path[160];
    int fd, failed = 0;

    path_of(name, path, sizeof path);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (dprintf(fd, "%d\n", value) < 0)
        failed = -errno;
    close(fd);
    return failed;
}

int sysctl_set(struct sysctl_changes *changes, const char *name, int value)
{
    struct sysctl_change *change = &changes->changes[changes->count];
    int before = sysctl_get(name), failed;

    if (before < 0 || before == value)
        return before < 0 ? before : 0;
    if (changes->count == SYSCTL_CHANGES)
        return -ENOSPC;
    failed = put(name, value);
    if (failed < 0)
        return failed;
    snprintf(change->name, sizeof change->name, "%s", name);
    change->before = before;
    changes->count++;
    return 0;
}

void sysctl_restore(struct sysctl_changes *changes)
{
    while (changes->count) {
        const struct sysctl_change *change = &changes->changes[--changes->count];

        put(change->name, change->before);
    }
}
