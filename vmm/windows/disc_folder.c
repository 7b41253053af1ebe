/*
 * A folder of the host on the answer disc. What is in it may be somebody else's, who changes it at any time: no link is
 * followed below it, and a file that is not what it was is an error.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disc_private.h"

struct walk {
    struct disc *disc;
    const struct disc_origin *origin;
    uint64_t limit, left;
    struct error *error;
};

static int cannot_read(const struct disc_origin *origin, const char *from, int err, struct error *error)
{
    return error_set(error, err, "%s%s%s: cannot be read: %s; give the user who runs this the right to it",
                     origin->name, *from ? "/" : "", from, strerror(err));
}

static int add_folder(struct walk *walk, int fd, const char *from, struct disc_node *folder);

static int add_entry(struct walk *walk, int at, const char *name, const char *from, struct disc_node *folder)
{
    struct disc_node *node;
    struct stat info;
    int failed;

    if (fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : cannot_read(walk->origin, from, errno, walk->error);
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode))
        return 0;
    failed = disc_node_add(walk->disc, folder, name, S_ISDIR(info.st_mode), &node, walk->error);
    if (failed < 0)
        return failed;
    if (S_ISDIR(info.st_mode))
        return add_folder(walk, openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), from, node);
    failed = disc_take_space(from, (uint64_t)info.st_size, walk->limit, &walk->left, walk->error);
    if (failed < 0)
        return failed;
    node->size = (uint64_t)info.st_size;
    node->origin = walk->origin;
    node->from = strdup(from);
    return node->from ? 0 : disc_no_memory(walk->error);
}

/* All that is in the folder whose path below the origin is from. Closes fd; a negative one says by errno why. */
static int add_folder(struct walk *walk, int fd, const char *from, struct disc_node *folder)
{
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int failed = 0;

    if (!stream) {
        failed = cannot_read(walk->origin, from, errno, walk->error);
        if (fd >= 0)
            close(fd);
        return failed;
    }
    while (failed == 0) {
        const struct dirent *entry = (errno = 0, readdir(stream));
        char *path;

        if (!entry) {
            failed = errno ? cannot_read(walk->origin, from, errno, walk->error) : 0;
            break;
        }
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (asprintf(&path, "%s%s%s", from, *from ? "/" : "", entry->d_name) < 0)
            failed = disc_no_memory(walk->error);
        else {
            failed = add_entry(walk, fd, entry->d_name, path, folder);
            free(path);
        }
    }
    closedir(stream);
    return failed;
}

/* As openat2() with RESOLVE_NO_SYMLINKS, which container runtimes' seccomp profiles may refuse. */
static int open_below(int at, const char *path)
{
    int folder = -1, fd = -1;

    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        char *name = strndup(path, (size_t)(slash - path));
        int next = name ? openat(folder < 0 ? at : folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        int failed = name ? errno : ENOMEM;

        free(name);
        if (folder >= 0)
            close(folder);
        if (next < 0)
            return -failed;
        folder = next;
    }
    /* O_NONBLOCK: what has become a pipe since does not hold us. */
    fd = openat(folder < 0 ? at : folder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        fd = -errno;
    if (folder >= 0)
        close(folder);
    return fd;
}

int disc_add_folder(struct disc *disc, const char *path, const char *folder, const char *from, uint64_t limit,
                    struct error *error)
{
    struct walk walk = {.disc = disc, .limit = limit, .left = limit, .error = error};
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), below, failed;
    struct disc_node *node;

    if (fd < 0)
        return error_set(error, errno, "%s: %s; name a folder that can be read", folder, strerror(errno));
    walk.origin = disc_origin_add(disc, fd, folder);
    if (!walk.origin)
        return disc_no_memory(error);
    failed = disc_make_folders(disc, path, strlen(path), &node, error);
    if (failed < 0)
        return failed;
    below = open_below(fd, *from ? from : ".");
    errno = below < 0 ? -below : 0;
    return add_folder(&walk, below, from, node);
}

int disc_open_host_file(const struct disc_node *file, struct error *error)
{
    int fd = open_below(file->origin->fd, file->from);
    struct stat info = {0};

    if (fd < 0)
        return cannot_read(file->origin, file->from, -fd, error);
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size != file->size) {
        close(fd);
        return error_set(error, EAGAIN, "%s/%s: was changed while the disc was made; start again when nobody writes it",
                         file->origin->name, file->from);
    }
    return fd;
}
