/* See tun.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tun.h"

#define DEVICE "/dev/net/tun"

static int open_device(const char *wanted, struct error *error)
{
    int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0)
        return fd;
    if (errno == ENODEV || errno == ENXIO)
        return error_set(error, errno, "%s: " DEVICE ": %s; load the module tun on the host (`modprobe tun`)", wanted,
                         strerror(errno));
    return error_set(error, errno, "%s: " DEVICE ": %s; in a container add --device " DEVICE, wanted, strerror(errno));
}

int tun_check(const char *wanted, struct error *error)
{
    int fd = open_device(wanted, error);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

int tun_open(const char *wanted, char name[IF_NAMESIZE], struct error *error)
{
    struct ifreq request = {.ifr_name = "casement%d", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open_device(wanted, error), err;

    if (fd < 0)
        return fd;
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        err = errno;
        close(fd);
        return error_set(error, err, "%s: no TAP interface can be made: %s; in a container add --cap-add NET_ADMIN",
                         wanted, strerror(err));
    }
    snprintf(name, IF_NAMESIZE, "%s", request.ifr_name);
    return fd;
}
