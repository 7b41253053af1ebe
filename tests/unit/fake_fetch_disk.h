/*
 * In front of the C library's: the host's file system, full after so many bytes, or with a disk that fails, as
 * download.disk says. Nothing is really synced, for nobody cuts the power here, but what has to be is checked: the data
 * before the state that notes them, and the name at last. For the one source file of a test program: what is linked
 * with all of them may not define such functions.
 */
#ifndef CASEMENT_TESTS_FAKE_FETCH_DISK_H
#define CASEMENT_TESTS_FAKE_FETCH_DISK_H

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake_fetch.h"

#define STATE_BYTES 24576 /* both places */

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
    struct stat info = {0};
    bool over; /* it needs no space */

    fstat(fd, &info);
    over = offset + (off64_t)size <= info.st_size && info.st_blocks * 512 >= info.st_size;
    if (download.disk.room < size && !over) {
        errno = ENOSPC;
        return -1;
    }
    download.disk.room -= download.disk.room == UINT64_MAX || over ? 0 : size;
    if (info.st_size > STATE_BYTES)
        download.disk.data_unsynced = true;
    else
        download.disk.noted_too_early += download.disk.data_unsynced;
    return syscall(SYS_pwrite64, fd, buffer, size, offset);
}

int fdatasync(int fd)
{
    struct stat info = {0};

    errno = download.disk.sync_error;
    if (errno)
        return -1;
    if (fstat(fd, &info) == 0 && info.st_size > STATE_BYTES)
        download.disk.data_unsynced = false;
    return 0;
}

int fsync(int fd)
{
    struct stat info = {0};

    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode))
        download.disk.name_unsynced = false;
    return fdatasync(fd);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    download.disk.noted_too_early += download.disk.data_unsynced;
    download.disk.name_unsynced = true;
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

#endif
