/*
 * --net bridge: the guest is a station of the network that this namespace is in, with an address from there. By a
 * macvtap on the way out; or, where a bridge or one of its ports is named, by a TAP as a further port; or, where a
 * macvtap cannot be had and an interface without addresses is named, by a bridge of our own. Needs CAP_NET_ADMIN until
 * it is made.
 *
 * What a TAP does not take with it is removed by the back end's destroy(), and after a kill by the next start.
 */
#ifndef CASEMENT_NETWORK_BRIDGE_H
#define CASEMENT_NETWORK_BRIDGE_H

#include "casement/net.h"

struct bridge_options {
    uint8_t mac[6];        /* the guest's */
    const char *interface; /* NULL: that of the default route, for a macvtap */
};

/* Is what it needs in any case there? Changes nothing. 0, or -errno with a text. */
int bridge_check(const char *interface, struct error *error);
int bridge_create(const struct bridge_options *options, struct net_backend **backend, struct error *error);

#endif
