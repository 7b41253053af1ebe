/* The interface that leads out of this network namespace. */
#ifndef CASEMENT_NETWORK_UPLINK_H
#define CASEMENT_NETWORK_UPLINK_H

#include "casement/error.h"
#include "netlink.h"

struct uplink {
    struct netlink_link link;
    bool six; /* it has a default route of IPv6 */
};

/* The one named, or that of the default route. `wanted` ("--net nat") begins the text. */
int uplink_find(struct netlink *netlink, const char *wanted, const char *name, struct uplink *uplink,
                struct error *error);
/* A netlink socket, or -errno with a text. */
int uplink_open(const char *wanted, struct netlink **netlink, struct error *error);
/* Is CAP_NET_ADMIN there? */
int uplink_check_rights(const char *wanted, struct error *error);

#endif
