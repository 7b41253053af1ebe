/*
 * --net nat: a private network of gateway and guest behind the addresses of this network namespace. All ports that
 * reach the namespace and are nobody's there lead into the guest; what the guest sends goes out under those addresses.
 * Needs CAP_NET_ADMIN and CAP_NET_BIND_SERVICE until it is made.
 *
 * Interface, addresses and rules go with the process, however it ends; what was set below /proc/sys goes with the back
 * end's destroy().
 */
#ifndef CASEMENT_NETWORK_NAT_H
#define CASEMENT_NETWORK_NAT_H

#include "casement/net.h"
#include "rules.h"

struct nat_options {
    uint8_t mac[6];               /* the guest's */
    const char *host_name;        /* told to the guest; NULL: none */
    const char *interface;        /* the way out; NULL: that of the default route */
    const char *state;            /* the machine's folder, in which the private network is kept; NULL: it is not */
    unsigned shares;              /* folders that are to be reached over it */
    const struct rules_port *own; /* outlives the call */
    unsigned own_count;
    const struct net_forward *forwards; /* as in struct rules */
    unsigned forward_count;
};

/* Could it be made here? Changes nothing. 0, or -errno with a text. */
int nat_check(const struct nat_options *options, struct error *error);
/*
 * As many of shares as options wants become sockets, the caller's, that listen at NET_SHARE_ADDRESS for the guest
 * alone. What is made here before a failure is taken away.
 */
int nat_create(const struct nat_options *options, struct net_backend **backend, int shares[NET_SHARES],
               struct error *error);

#endif
