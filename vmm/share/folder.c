/* See folder.h. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "folder.h"
#include "path.h"

#define TRIES 8 /* when somebody moves folders just then */

/* What it is that could not be reached makes no difference to who asks. */
static int hide(int err)
{
    return err == ELOOP || err == EXDEV || err == ENXIO ? -ENOENT : -err;
}

static int open_below(int root, const char *path, int flags)
{
    const struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    for (unsigned n = 0; n < TRIES; n++) {
        fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd < 0 ? hide(errno) : (int)fd;
}

int folder_open(const char *option, const char *path, bool read_only, struct error *error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), probe;

    if (fd < 0)
        return error_set(error, errno, "%s %s: %s; name a folder that can be read", option, path, strerror(errno));
    probe = open_below(fd, "", O_RDONLY | O_DIRECTORY);
    if (probe >= 0)
        close(probe);
    if (probe < 0) {
        close(fd);
        return error_set(
            error, -probe,
            "%s %s: openat2() does not work here: %s; a folder is only shared on Linux 5.6 or later and in "
            "containers that allow that call",
            option, path, strerror(-probe));
    }
    if (!read_only && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
        int err = errno;

        close(fd);
        return error_set(error, err, "%s %s: cannot be written: %s; give --share-readonly, or the right to write",
                         option, path, strerror(err));
    }
    return fd;
}

static int open_existing(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *copy = fd < 0 ? strdup(path) : NULL;

    if (copy)
        fd = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    return fd;
}

/* By what the folders are and not by their names: up from the inner one to the root of all. */
bool folder_holds(int root, const char *path)
{
    struct stat outer, here, above = {0};
    int fd = open_existing(path), next;
    bool same = false, end = fd < 0 || fstat(root, &outer) < 0 || fstat(fd, &here) < 0;

    while (!end && !same) {
        same = here.st_dev == outer.st_dev && here.st_ino == outer.st_ino;
        next = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        end = next < 0 || fstat(next, &above) < 0 || (above.st_dev == here.st_dev && above.st_ino == here.st_ino);
        here = above;
        close(fd);
        fd = next;
    }
    if (fd >= 0)
        close(fd);
    return same;
}

bool folder_is_folder(const struct statx *info)
{
    return S_ISDIR(info->stx_mode);
}

static int stat_at(int fd, const char *name, int flags, struct statx *info)
{
    if (statx(fd, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, info) < 0)
        return hide(errno);
    return S_ISDIR(info->stx_mode) || S_ISREG(info->stx_mode) ? 0 : -ENOENT;
}

int folder_stat_name(int parent, const char *name, struct statx *info)
{
    return stat_at(parent, name, 0, info);
}

int folder_stat(int root, const char *path, struct statx *info)
{
    int fd = open_below(root, path, O_PATH), failed = MIN(fd, 0);

    if (fd < 0)
        return failed;
    failed = stat_at(fd, "", AT_EMPTY_PATH, info);
    close(fd);
    return failed;
}

/* Looked at before it is opened, and again then: somebody on the host may have put something else there. */
int folder_open_node(int root, const char *path, int flags, struct statx *info)
{
    int failed = folder_stat(root, path, info), fd;

    if (failed < 0)
        return failed;
    fd = open_below(root, path, flags | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    failed = stat_at(fd, "", AT_EMPTY_PATH, info);
    if (failed < 0) {
        close(fd);
        return failed;
    }
    return fd;
}

int folder_open_parent(int root, const char *path, const char **name)
{
    char parent[PATH_ROOM];

    if (!path_parent(path, parent))
        return -EPERM;
    *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    return open_below(root, parent, O_RDONLY | O_DIRECTORY);
}

const char *folder_next(DIR *list, struct statx *info)
{
    const struct dirent *entry;

    while ((entry = readdir(list)))
        if (path_name_allowed(entry->d_name, strlen(entry->d_name)) &&
            folder_stat_name(dirfd(list), entry->d_name, info) == 0)
            return entry->d_name;
    return NULL;
}

int folder_stage(int parent, struct folder_staged *staged)
{
    uint64_t random;

    staged->parent = parent;
    for (unsigned n = 0; n < TRIES; n++) {
        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
            return -EIO;
        snprintf(staged->name, sizeof staged->name, PATH_STAGED "%016llx", (unsigned long long)random);
        staged->fd = openat(parent, staged->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (staged->fd >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return -errno;
}

void folder_drop(struct folder_staged *staged)
{
    unlinkat(staged->parent, staged->name, 0);
    close(staged->fd);
}

int folder_publish(struct folder_staged *staged, const char *name, bool fresh, mode_t mode)
{
    int failed = 0;

    if ((mode && fchmod(staged->fd, mode & 0777) < 0) || fsync(staged->fd) < 0)
        failed = -errno;
    if (failed == 0 && renameat2(staged->parent, staged->name, staged->parent, name, fresh ? RENAME_NOREPLACE : 0) < 0)
        failed = -errno;
    if (failed < 0) {
        folder_drop(staged);
        return failed;
    }
    close(staged->fd);
    return 0;
}
