/* See router.h. */
#include <string.h>

#include "casement/bytes.h"
#include "router.h"

#define SOLICITATION 133
#define SOLICITATION_BYTES 8
#define ADVERTISEMENT 134
#define HOP_LIMIT 64
#define MANAGED 0x80 /* addresses by DHCPv6, which gives the one that ports lead to */
#define OTHER 0x40
#define LIFETIME 1800 /* seconds; it is announced anew long before */
#define ON_LINK 0x80
#define FOR_EVER UINT32_MAX

enum { SOURCE_ADDRESS = 1, PREFIX = 3, MTU = 5, NAME_SERVERS = 25 };

bool router_solicited(const uint8_t *message, size_t length)
{
    return length >= SOLICITATION_BYTES && message[0] == SOLICITATION && message[1] == 0;
}

/* An option's type and its length in units of 8 bytes; the rest is 0 yet. */
static uint8_t *begin(uint8_t **at, uint8_t type, uint8_t units)
{
    uint8_t *option = *at;

    memset(option, 0, units * 8U);
    option[0] = type;
    option[1] = units;
    *at += units * 8;
    return option;
}

size_t router_advertise(const struct lease *lease, uint8_t *message)
{
    uint8_t *at = message + 16, *option;

    memset(message, 0, 16);
    message[0] = ADVERTISEMENT;
    message[4] = HOP_LIMIT;
    message[5] = MANAGED | OTHER;
    put_be16(message + 6, LIFETIME);
    option = begin(&at, SOURCE_ADDRESS, 1);
    memcpy(option + 2, lease->gateway_mac, 6);
    option = begin(&at, MTU, 1);
    put_be32(option + 4, lease->mtu);
    option = begin(&at, PREFIX, 4);
    option[2] = 64;
    /*
     * No address of the guest's own making: a program that answers datagrams may do it from any that it has, and only
     * an answer from the one that ports lead to finds its way back.
     */
    option[3] = ON_LINK;
    put_be32(option + 4, FOR_EVER);
    put_be32(option + 8, FOR_EVER);
    memcpy(option + 16, lease->prefix6, 16);
    option = begin(&at, NAME_SERVERS, 3);
    put_be32(option + 4, LIFETIME);
    memcpy(option + 8, lease->gateway6, 16);
    return (size_t)(at - message);
}
