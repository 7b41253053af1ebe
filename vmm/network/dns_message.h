/* What a relay has to know of DNS messages (RFC 1035, 4). Pure functions; the messages are strangers'. */
#ifndef CASEMENT_NETWORK_DNS_MESSAGE_H
#define CASEMENT_NETWORK_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER_BYTES 12

/* Is this a query with one question that lies whole in it? */
bool dns_is_query(const uint8_t *message, size_t length);
/* Does the message answer this query: the same id, and the same question? */
bool dns_answers(const uint8_t *message, size_t length, const uint8_t *query, size_t query_length);
/* Makes of a query the answer "server failure"; its length. */
size_t dns_make_failure(uint8_t *query, size_t length);

#endif
