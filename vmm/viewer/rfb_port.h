/* A TCP port that listens. */
#ifndef CASEMENT_RFB_PORT_H
#define CASEMENT_RFB_PORT_H

#include <stdint.h>

#include "casement/error.h"

/* A listening socket that does not block, or -errno with a text. address is numeric, IPv4 or IPv6. */
int rfb_port_open(const char *address, uint16_t port, struct error *error);
/* A connection that does not block and notices a peer that is gone, or -errno. */
int rfb_port_accept(int listening);

#endif
