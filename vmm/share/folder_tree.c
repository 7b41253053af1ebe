/* Whole trees below the shared folder (see folder.h): removed, copied. Each level is reached from the one above it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "folder.h"

#define PIECE (256 * KiB)

/* A folder that can be read, in one that is open. */
static int open_list(int parent, const char *name, unsigned level, DIR **list)
{
    struct statx info;
    int fd, err;

    if (level == FOLDER_LEVELS)
        return -E2BIG;
    fd = folder_open_node(parent, name, O_RDONLY | O_DIRECTORY, &info);
    if (fd < 0)
        return fd;
    *list = fdopendir(fd);
    if (*list)
        return 0;
    err = errno;
    close(fd);
    return -err;
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static int remove_at(int parent, const char *name, unsigned level, const atomic_bool *stop);

/* What is not shared goes with its folder: a link as such. */
static int empty(DIR *list, unsigned level, const atomic_bool *stop)
{
    const struct dirent *entry;
    int failed = 0;

    while (failed == 0 && (entry = readdir(list)))
        if (!is_dot(entry->d_name))
            failed = remove_at(dirfd(list), entry->d_name, level, stop);
    return failed;
}

static int remove_at(int parent, const char *name, unsigned level, const atomic_bool *stop)
{
    DIR *list;
    int failed;

    if (atomic_load(stop))
        return -ECANCELED;
    if (unlinkat(parent, name, 0) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    failed = open_list(parent, name, level, &list);
    if (failed < 0)
        return failed;
    failed = empty(list, level + 1, stop);
    closedir(list);
    return failed == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : failed;
}

int folder_remove(int parent, const char *name, const atomic_bool *stop)
{
    return remove_at(parent, name, 0, stop);
}

static int copy_bytes(int from, int to, const atomic_bool *stop)
{
    char *piece = malloc(PIECE);
    int failed = piece ? 0 : -ENOMEM;
    ssize_t count = 1;

    while (failed == 0 && count > 0) {
        count = read(from, piece, PIECE);
        failed = atomic_load(stop) ? -ECANCELED : count < 0 ? -errno : file_write(to, piece, (size_t)count);
    }
    free(piece);
    return failed;
}

static int copy_file(int from_parent, const char *from, int to_parent, const char *to,
                     const struct folder_copying *copying)
{
    struct folder_staged staged;
    struct statx info;
    int fd = folder_open_node(from_parent, from, O_RDONLY, &info), failed;

    if (fd < 0)
        return fd;
    failed = folder_stage(to_parent, &staged);
    if (failed == 0) {
        failed = copy_bytes(fd, staged.fd, copying->stop);
        if (failed < 0)
            folder_drop(&staged);
        else
            failed = folder_publish(&staged, to, !copying->over, info.stx_mode);
    }
    close(fd);
    return failed;
}

static int copy_at(int from_parent, const char *from, int to_parent, const char *to, unsigned level,
                   const struct folder_copying *copying);

static int copy_content(DIR *list, int to, unsigned level, const struct folder_copying *copying)
{
    struct statx info;
    const char *name;
    int failed = 0;

    while (failed == 0 && (name = folder_next(list, &info)))
        failed = copy_at(dirfd(list), name, to, name, level, copying);
    return failed;
}

static int copy_folder(int from_parent, const char *from, int to_parent, const char *to, unsigned level,
                       const struct folder_copying *copying)
{
    struct statx info;
    DIR *list;
    int failed = open_list(from_parent, from, level, &list), fd;

    if (failed < 0)
        return failed;
    fd = folder_open_node(to_parent, to, O_RDONLY | O_DIRECTORY, &info);
    failed = fd < 0 ? fd : copy_content(list, fd, level + 1, copying);
    if (fd >= 0)
        close(fd);
    closedir(list);
    return failed;
}

static int copy_at(int from_parent, const char *from, int to_parent, const char *to, unsigned level,
                   const struct folder_copying *copying)
{
    struct statx info;
    int failed = folder_stat_name(from_parent, from, &info);

    if (failed < 0)
        return failed;
    if (!folder_is_folder(&info))
        return copy_file(from_parent, from, to_parent, to, copying);
    if (mkdirat(to_parent, to, 0777) < 0)
        return -errno;
    return copying->with_content ? copy_folder(from_parent, from, to_parent, to, level, copying) : 0;
}

int folder_copy(int from_parent, const char *from, int to_parent, const char *to, const struct folder_copying *copying)
{
    return copy_at(from_parent, from, to_parent, to, 0, copying);
}
