/* Router advertisements for the guest (RFC 4861, 8106). Pure functions; what is sent to them is a guest's. */
#ifndef CASEMENT_NETWORK_ROUTER_H
#define CASEMENT_NETWORK_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "lease.h"

/* Is this ICMPv6 message a router solicitation? */
bool router_solicited(const uint8_t *message, size_t length);
/* The ICMPv6 message, with checksum 0; its length, far below any MTU. */
size_t router_advertise(const struct lease *lease, uint8_t *message);

#endif
