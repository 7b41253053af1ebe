/* See casement/file.h. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/file.h"

enum call { READ_AT, WRITE_AT, WRITE };

static int transfer(enum call call, int fd, char *at, uint64_t length, uint64_t offset)
{
    while (length) {
        ssize_t count = call == READ_AT    ? pread(fd, at, length, (off_t)offset)
                        : call == WRITE_AT ? pwrite(fd, at, length, (off_t)offset)
                                           : write(fd, at, length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? -errno : -EIO;
        at += count;
        offset += (uint64_t)count;
        length -= (uint64_t)count;
    }
    return 0;
}

int file_read_at(int fd, void *to, uint64_t length, uint64_t offset)
{
    return transfer(READ_AT, fd, to, length, offset);
}

int file_write_at(int fd, const void *from, uint64_t length, uint64_t offset)
{
    return transfer(WRITE_AT, fd, (char *)from, length, offset);
}

int file_write(int fd, const void *from, size_t length)
{
    return transfer(WRITE, fd, (char *)from, length, 0);
}

int file_sync_folder(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int failed = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    free(copy);
    return failed;
}

/* Where the file system cannot rename without replacing it has links perhaps, and else the name is looked for. */
static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (link(from, to) == 0)
        return unlink(from) < 0 ? -errno : 0;
    if (errno == EEXIST || access(to, F_OK) == 0)
        return -EEXIST;
    return rename(from, to) < 0 ? -errno : 0;
}

int file_name_new(const char *from, const char *to)
{
    int failed = rename_new(from, to);

    return failed < 0 ? failed : file_sync_folder(to);
}
