/* The packet filter's rules of --net nat, as text for libnftables (nft(8)). A pure function. */
#ifndef CASEMENT_NETWORK_RULES_H
#define CASEMENT_NETWORK_RULES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "casement/net.h"

/* Ports of this side, Casement's own or others', which do not lead into the guest: from port to last, which is 0 for
 * one alone. */
struct rules_port {
    bool udp;
    uint16_t port, last;
};

struct rules {
    const char *tap; /* its interface, whose name the table has too */
    struct in_addr subnet, guest;
    bool six; /* IPv6 as well: */
    struct in6_addr subnet6, guest6;
    unsigned shares; /* at NET_SHARE_ADDRESS, for the guest alone */
    const struct rules_port *own;
    unsigned own_count;
    const struct net_forward *forwards; /* ports that lead to another one; an empty address means every one */
    unsigned forward_count;
};

/* What a kernel may lack. */
enum rules_features {
    RULES_OWNER = 1,  /* the table goes with the socket that made it, Linux 5.12 */
    RULES_SOCKETS = 2 /* ports on which a program listens stay its own, whoever it is: nft_socket, Linux 5.10 */
};

void rules_write(const struct rules *rules, unsigned features, FILE *to);

#endif
