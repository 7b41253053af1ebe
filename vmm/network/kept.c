/* See kept.h. A file `network` of one line: the network's address. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/file.h"
#include "casement/log.h"
#include "kept.h"

#define NAME "network"

/* -1: there is no such folder or file. */
static int open_file(const char *folder, int flags)
{
    int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = at < 0 ? -1 : openat(at, NAME, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600), err = errno;

    if (at >= 0)
        close(at);
    errno = err;
    return fd;
}

bool kept_subnet_read(const char *folder, uint8_t subnet[4])
{
    char text[INET_ADDRSTRLEN + 1] = "";
    int fd = open_file(folder, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    text[strcspn(text, "\n")] = 0;
    return length > 0 && inet_pton(AF_INET, text, subnet) == 1;
}

void kept_subnet_write(const char *folder, const uint8_t subnet[4])
{
    char text[INET_ADDRSTRLEN + 1];
    uint8_t before[4];
    int fd, failed, length;

    if (kept_subnet_read(folder, before) && !memcmp(before, subnet, sizeof before))
        return;
    length = snprintf(text, sizeof text, "%u.%u.%u.%u\n", subnet[0], subnet[1], subnet[2], subnet[3]);
    fd = open_file(folder, O_WRONLY | O_CREAT | O_TRUNC);
    failed = fd < 0 ? -errno : file_write(fd, text, (size_t)length);
    if (fd >= 0)
        close(fd);
    if (failed < 0)
        log_warning("network: %s/" NAME ": %s; the guest may have another address after the next start", folder,
                    strerror(-failed));
}
