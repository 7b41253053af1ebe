/* DNS over TCP (RFC 7766): the guest's connection to the gateway is led on to a name server, byte by byte. */
#ifndef CASEMENT_NETWORK_DNS_STREAM_H
#define CASEMENT_NETWORK_DNS_STREAM_H

#include "casement/loop.h"
#include "name_servers.h"

struct dns_stream;

/*
 * Takes both over: an accepted, non-blocking connection and the name servers, which are tried in turn. ended is called
 * once, unless dns_stream_end() comes before it. NULL: out of memory or no server can be reached, and the connection is
 * closed.
 */
struct dns_stream *dns_stream_begin(struct loop *loop, int client, const struct name_server *servers, unsigned count,
                                    void (*ended)(void *opaque, struct dns_stream *stream), void *opaque);
void dns_stream_end(struct dns_stream *stream);

#endif
