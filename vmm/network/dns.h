/*
 * A DNS relay on the gateway's addresses: what the guest asks goes to the name servers of this container, and what they
 * answer goes back. Nothing is kept, and there is a bound on everything that a guest can ask for. It runs on the card's
 * loop.
 */
#ifndef CASEMENT_NETWORK_DNS_H
#define CASEMENT_NETWORK_DNS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "casement/error.h"
#include "casement/loop.h"
#include "name_servers.h"

#define DNS_QUERIES 64 /* in flight by UDP; what comes above that is lost, and clients ask again */
#define DNS_STREAMS 8  /* by TCP; others wait in the kernel */

struct dns;

struct dns_options {
    const struct sockaddr_in *address;   /* to listen on, with the port */
    const struct sockaddr_in6 *address6; /* NULL: not on IPv6 */
    const struct name_server *servers;
    unsigned server_count;
    const char *file; /* has the servers, and is read anew when it has changed; NULL: they stay. Outlives the relay. */
    int64_t patience_ns; /* how long a server may think before the next one is asked; 0: three seconds */
    bool early;          /* the addresses need not be there yet */
};
/* Its sockets are bound here, which needs CAP_NET_BIND_SERVICE for port 53. */
int dns_create(const struct dns_options *options, struct dns **dns, struct error *error);
/* Joins and leaves the loop, on its thread or while it does not run. What is in flight is forgotten. */
void dns_attach(struct dns *dns, struct loop *loop);
void dns_detach(struct dns *dns);
/* NULL is nothing. */
void dns_destroy(struct dns *dns);

#endif
