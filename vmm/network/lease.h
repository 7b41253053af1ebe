/* What the one guest of a private network is told about it, by DHCP, DHCPv6 and router advertisement. Plain data. */
#ifndef CASEMENT_NETWORK_LEASE_H
#define CASEMENT_NETWORK_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct lease {
    uint8_t guest_mac[6], gateway_mac[6];
    uint8_t guest[4], gateway[4]; /* IPv4 addresses; the gateway is the name server, too */
    uint8_t prefix_bits;
    bool six;                                      /* IPv6 as well: */
    uint8_t prefix6[16], guest6[16], gateway6[16]; /* a /64 */
    uint8_t router6[16];                           /* the gateway's link-local address */
    uint16_t mtu;
    char host_name[64]; /* empty: none is told */
};

#define LEASE_SECONDS 86400

#endif
