/*
 * Transfers that are whole or fail: a call that is interrupted or does a part goes on. Each returns 0 or -errno; any
 * thread.
 */
#ifndef CASEMENT_FILE_H
#define CASEMENT_FILE_H

#include <stddef.h>
#include <stdint.h>

/* -EIO: the file ends before. */
int file_read_at(int fd, void *to, uint64_t length, uint64_t offset);
int file_write_at(int fd, const void *from, uint64_t length, uint64_t offset);
/* Where the descriptor stands. */
int file_write(int fd, const void *from, size_t length);
/* The folder that the path's last name is in goes to the disk: only then is a new name there after a power failure. */
int file_sync_folder(const char *path);
/*
 * A file that is whole gets its name, in the same folder, and the name goes to the disk. -EEXIST: another has it, and
 * both stay as they are.
 */
int file_name_new(const char *from, const char *to);

#endif
