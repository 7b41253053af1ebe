/*
 * Frames of the guest that the gateway answers by itself: DHCP, and with IPv6 router solicitations and DHCPv6. All else
 * is the kernel's. Pure functions; the frames are a guest's.
 */
#ifndef CASEMENT_NETWORK_ANSWER_H
#define CASEMENT_NETWORK_ANSWER_H

#include <stddef.h>

#include "casement/net.h"
#include "lease.h"

/* As struct net_side's answer(): the length of the answer, 0 when the frame is taken without one, or -1. */
int answer_frame(const struct lease *lease, const uint8_t *frame, size_t length, uint8_t *answer);
/* As its announce(): a router advertisement to everybody, or 0 without IPv6. */
size_t answer_announce(const struct lease *lease, uint8_t *frame);
#define ANSWER_ANNOUNCE_NS (INT64_C(300) * 1000000000)

#endif
