/* A macvtap interface of this network namespace and its character device (Linux, drivers/net/macvtap.c). */
#ifndef CASEMENT_NETWORK_MACVTAP_H
#define CASEMENT_NETWORK_MACVTAP_H

#include "casement/error.h"
#include "netlink.h"

/*
 * Makes one of that name in bridge mode on the interface `parent`, with that address; one of the same name that a
 * killed process has left is replaced. The descriptor of its device, which carries plain frames, with *index of the
 * interface, which is the caller's to delete; or -errno with a text, and nothing is left. Needs CAP_NET_ADMIN, and
 * CAP_MKNOD where /dev is not the kernel's.
 */
int macvtap_open(struct netlink *netlink, const char *name, const struct netlink_link *parent, const uint8_t mac[6],
                 int *index, struct error *error);

#endif
