/*
 * DHCPv6 for one guest (RFC 8415): from request to answer, so that the guest has an address that ports can lead to. A
 * pure function; the request is a guest's.
 */
#ifndef CASEMENT_NETWORK_DHCP6_H
#define CASEMENT_NETWORK_DHCP6_H

#include <stddef.h>

#include "lease.h"

#define DHCP6_ANSWER_MAX 512

/* The messages are UDP payloads of ports 546 and 547. The length of the answer, or 0: there is none. */
size_t dhcp6_answer(const struct lease *lease, const uint8_t *request, size_t length, uint8_t *answer);

#endif
