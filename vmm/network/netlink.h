/*
 * Interfaces, addresses and routes of the network namespace that the process is in, by rtnetlink (rtnetlink(7)).
 *
 * One thread at a time. Reading needs no right, changing needs CAP_NET_ADMIN. Functions return 0 or -errno without a
 * text: what the number means, only the caller knows.
 */
#ifndef CASEMENT_NETWORK_NETLINK_H
#define CASEMENT_NETWORK_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netlink;

struct netlink *netlink_open(void); /* NULL with errno */
void netlink_close(struct netlink *netlink);

struct netlink_link {
    int index;
    char name[IF_NAMESIZE];
    char kind[16]; /* "veth", "macvlan", ...; empty: hardware, or not told */
    uint8_t mac[6];
    unsigned mtu;
    int master; /* the bridge that it is a port of; 0: none */
    bool up, ethernet;
};
/* By name, or by index where name is NULL. -ENODEV: there is none. */
int netlink_link(struct netlink *netlink, const char *name, int index, struct netlink_link *link);

/* The interface of the default route with the lowest metric, for AF_INET or AF_INET6. -ENOENT: there is none. */
int netlink_default_route(struct netlink *netlink, int family, int *index);

struct netlink_prefix {
    int family;
    uint8_t address[16]; /* 4 bytes of them for AF_INET; network order */
    uint8_t length;      /* bits */
    int index;           /* of the interface */
};
/* Prefixes of all addresses and routes but default ones. The number, at most `room`, or -errno. */
int netlink_prefixes(struct netlink *netlink, int family, struct netlink_prefix *prefixes, size_t room);
/* The addresses of one interface, likewise. */
int netlink_addresses(struct netlink *netlink, int family, int index, struct netlink_prefix *addresses, size_t room);

/* What is to be changed; members that are 0 or NULL stay as they are. */
struct netlink_change {
    const uint8_t *mac;
    unsigned mtu;
    bool up, all_multicast;
    int master;
    bool leave; /* its bridge */
};
int netlink_change(struct netlink *netlink, int index, const struct netlink_change *change);

/* An address without duplicate address detection, so that it can be used at once; no error when it is there. */
int netlink_add_address(struct netlink *netlink, int index, int family, const void *address, uint8_t length);

/* A macvtap in bridge mode on the interface `parent`. It is not up. */
int netlink_make_macvtap(struct netlink *netlink, const char *name, int parent, const uint8_t mac[6]);
/* A bridge, with no spanning tree and no forward delay. */
int netlink_make_bridge(struct netlink *netlink, const char *name, const uint8_t mac[6]);
int netlink_delete(struct netlink *netlink, int index);

#endif
