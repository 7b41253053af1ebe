/* See uplink.h. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>

#include "rights.h"
#include "uplink.h"

int uplink_open(const char *wanted, struct netlink **netlink, struct error *error)
{
    *netlink = netlink_open();
    return *netlink ? 0
                    : error_set(error, errno, "%s: rtnetlink: %s; allow AF_NETLINK in the seccomp profile", wanted,
                                strerror(errno));
}

int uplink_check_rights(const char *wanted, struct error *error)
{
    return rights_have(CAP_NET_ADMIN)
               ? 0
               : error_set(error, EPERM, "%s: CAP_NET_ADMIN is missing; in a container add --cap-add NET_ADMIN",
                           wanted);
}

int uplink_find(struct netlink *netlink, const char *wanted, const char *name, struct uplink *uplink,
                struct error *error)
{
    int index = 0, index6 = 0, failed = netlink_default_route(netlink, AF_INET, &index);
    int failed6 = netlink_default_route(netlink, AF_INET6, &index6);

    if (!name && failed < 0 && failed6 < 0)
        return error_set(error, ENETUNREACH,
                         "%s: no default route, so no way out; connect the container to a network, name the way with "
                         "--net-interface NAME, or use --net user",
                         wanted);
    failed = netlink_link(netlink, name, failed < 0 ? index6 : index, &uplink->link);
    if (failed < 0 && name)
        return error_set(error, -failed, "--net-interface %s: %s; `ip link` shows what there is", name,
                         strerror(-failed));
    if (failed < 0)
        return error_set(error, -failed, "%s: the interface of the default route: %s", wanted, strerror(-failed));
    uplink->six = failed6 == 0 && index6 == uplink->link.index;
    return 0;
}
