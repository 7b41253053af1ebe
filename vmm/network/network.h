/*
 * The networks that a guest can have, from user mode, which needs no rights, to those that set something up in this
 * network namespace and give it back at the end.
 */
#ifndef CASEMENT_NETWORK_NETWORK_H
#define CASEMENT_NETWORK_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#include "../config.h"
#include "casement/net.h"

/* Could the network that is configured be made here? Changes nothing. 0, or -errno with a text. */
int network_check(const struct config *config, struct error *error);
/*
 * Makes it: the back end, to be destroyed with its own destroy(); NULL for none. shares are sockets that listen for the
 * guest alone where the shared folders are, for share_create(), or 0 where that is not needed. Before other threads are
 * made, and before the rights that it needs are given up.
 */
int network_open(const struct config *config, struct net_backend **backend, int shares[NET_SHARES],
                 struct error *error);
/* Could this kind be made here, with nothing else said? 0, or -errno with a text. */
int network_available(enum config_net net, struct error *error);
/* The best kind that can be made here; why has the reason against a better one in words, or is empty. */
enum config_net network_best(char *why, size_t size);
/* Can one socket listen at all addresses of IPv6 and IPv4? */
bool network_has_both(void);

#endif
