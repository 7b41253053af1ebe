/* DHCP for one guest (RFC 2131, 2132, 6842): from request to answer. A pure function; the request is a guest's. */
#ifndef CASEMENT_NETWORK_DHCP_H
#define CASEMENT_NETWORK_DHCP_H

#include <stddef.h>

#include "lease.h"

#define DHCP_ANSWER_MAX 576 /* what every client takes (RFC 2131, 2) */

/*
 * The messages are UDP payloads of ports 67 and 68. The length of the answer, which has room for DHCP_ANSWER_MAX bytes;
 * 0: there is none. *broadcast says whether it goes to everybody or to the guest's address.
 */
size_t dhcp_answer(const struct lease *lease, const uint8_t *request, size_t length, uint8_t *answer, bool *broadcast);

#endif
