/* A TAP interface of this network namespace, which goes when its descriptor is closed (Linux, tuntap.rst). */
#ifndef CASEMENT_NETWORK_TUN_H
#define CASEMENT_NETWORK_TUN_H

#include <net/if.h>

#include "casement/error.h"

/* Can /dev/net/tun be opened? `wanted` ("--net nat") begins the text. */
int tun_check(const char *wanted, struct error *error);
/* The descriptor of a new interface, whose name the kernel makes up; or -errno with a text. Needs CAP_NET_ADMIN. */
int tun_open(const char *wanted, char name[IF_NAMESIZE], struct error *error);

#endif
