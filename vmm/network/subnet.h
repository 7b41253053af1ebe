/* Which private network the guest of --net nat lives in. Pure functions. */
#ifndef CASEMENT_NETWORK_SUBNET_H
#define CASEMENT_NETWORK_SUBNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlink.h"

#define SUBNET_BITS 24
#define SUBNET6_BITS 64
/* The last byte of an address: of the gateway, which is the TAP's interface, and of the guest. */
#define SUBNET_GATEWAY 1
#define SUBNET_GUEST 2

/*
 * One of the private /24s that meets none of the prefixes (those of other families are passed over), in network order
 * with its last byte 0: the kept one, if that is one of them, so that the guest keeps its address; else the first,
 * which is 172.30.0.0. kept may be NULL. false: all are taken.
 */
bool subnet_choose(const struct netlink_prefix *taken, size_t count, const uint8_t kept[4], uint8_t subnet[4]);
/* The unique local /64 of the machine that has this card (RFC 4193), its last 8 bytes 0. */
void subnet_choose6(const uint8_t mac[6], uint8_t subnet[16]);
/* The gateway's MAC address: as stable as the guest's, for Windows tells networks by it. */
void subnet_gateway_mac(const uint8_t guest[6], uint8_t gateway[6]);

#endif
