/* See macvtap.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "macvtap.h"
#include "sysctl.h"

#define WANTED "--net bridge"

/* The device's number, as sysfs has it. false: sysfs is of another network namespace, or not there. */
static bool find_device(const struct netlink_link *link, dev_t *device)
{
    char path[128];
    unsigned major, minor;
    FILE *file;
    bool found;

    snprintf(path, sizeof path, "/sys/class/net/%s/macvtap/tap%d/dev", link->name, link->index);
    file = fopen(path, "re");
    found = file && fscanf(file, "%u:%u", &major, &minor) == 2;
    if (found)
        *device = makedev(major, minor);
    if (file)
        fclose(file);
    return found;
}

static int cannot_open(const char *path, dev_t device, int err, struct error *error)
{
    if (err == EPERM)
        return error_set(error, err,
                         WANTED ": %s, device %u:%u: %s; in a container add --device-cgroup-rule 'c %u:* rwm' (the "
                                "number may change when the host restarts)",
                         path, major(device), minor(device), strerror(err), major(device));
    return error_set(error, err, WANTED ": %s, device %u:%u: %s; mount a /dev that is writable", path, major(device),
                     minor(device), strerror(err));
}

/* The kernel's own node where there is one; else, in a container, one that lives for a moment. */
static int open_device(const struct netlink_link *link, dev_t device, struct error *error)
{
    char path[64];
    struct stat info;
    int fd, err;

    snprintf(path, sizeof path, "/dev/tap%d", link->index);
    if (stat(path, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == device) {
        fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        return fd < 0 ? cannot_open(path, device, errno, error) : fd;
    }
    snprintf(path, sizeof path, "/dev/casement-tap%d", link->index);
    unlink(path);
    if (mknod(path, S_IFCHR | 0600, device) < 0) {
        if (errno == EPERM)
            return error_set(error, EPERM,
                             WANTED ": %s cannot be made: %s; in a container add --cap-add MKNOD and "
                                    "--device-cgroup-rule 'c %u:* rwm'",
                             path, strerror(EPERM), major(device));
        return cannot_open(path, device, errno, error);
    }
    fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    err = errno;
    unlink(path);
    return fd < 0 ? cannot_open(path, device, err, error) : fd;
}

static int use_vnet_headers(int fd, struct error *error)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

    if (ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETOFFLOAD, 0UL) == 0)
        return fd;
    error_set(error, errno, WANTED ": the macvtap has no vnet headers: %s", strerror(errno));
    close(fd);
    return -EIO;
}

static int make(struct netlink *netlink, const char *name, const struct netlink_link *parent, const uint8_t mac[6],
                struct netlink_link *made)
{
    int failed = netlink_link(netlink, name, 0, made);

    if (failed == 0 && strcmp(made->kind, "macvtap") != 0)
        return -EEXIST;
    if (failed == 0)
        netlink_delete(netlink, made->index);
    failed = netlink_make_macvtap(netlink, name, parent->index, mac);
    return failed < 0 ? failed : netlink_link(netlink, name, 0, made);
}

/* The interface is the guest's: this namespace must not speak with its address. Which groups a guest listens to is not
 * known, so it gets all. */
static int take_up(struct netlink *netlink, const struct netlink_link *link)
{
    const struct netlink_change up = {.up = true, .all_multicast = true};
    struct sysctl_changes gone_with_it = {0};
    char name[96];

    snprintf(name, sizeof name, "ipv6/conf/%s/disable_ipv6", link->name);
    sysctl_set(&gone_with_it, name, 1);
    return netlink_change(netlink, link->index, &up);
}

int macvtap_open(struct netlink *netlink, const char *name, const struct netlink_link *parent, const uint8_t mac[6],
                 int *index, struct error *error)
{
    struct netlink_link link;
    dev_t device = 0;
    int failed = make(netlink, name, parent, mac, &link), fd;

    if (failed < 0)
        return error_set(error, -failed,
                         WANTED ": no macvtap can be made on %s: %s; load the module macvtap on the host (`modprobe "
                                "macvtap`), or name a bridge with --net-interface NAME",
                         parent->name, strerror(-failed));
    failed = take_up(netlink, &link);
    if (failed < 0)
        error_set(error, -failed, WANTED ": %s: %s", name, strerror(-failed));
    else if (!find_device(&link, &device))
        failed =
            error_set(error, ENOENT, WANTED ": /sys/class/net/%s is not there; mount the container's own /sys", name);
    fd = failed < 0 ? failed : open_device(&link, device, error);
    if (fd >= 0)
        fd = use_vnet_headers(fd, error);
    if (fd < 0)
        netlink_delete(netlink, link.index);
    *index = link.index;
    return fd;
}
