/* See dhcp6.h. */
#include <string.h>

#include "casement/bytes.h"
#include "dhcp6.h"

enum {
    SOLICIT = 1,
    ADVERTISE = 2,
    REQUEST = 3,
    CONFIRM = 4,
    RENEW = 5,
    REBIND = 6,
    REPLY = 7,
    RELEASE = 8,
    DECLINE = 9,
    INFORMATION_REQUEST = 11
};
enum { CLIENT_ID = 1, SERVER_ID = 2, IA_NA = 3, IA_ADDRESS = 5, STATUS_CODE = 13, RAPID_COMMIT = 14, DNS_SERVERS = 23 };
enum { SUCCESS = 0, NO_ADDRESSES = 2, NOT_ON_LINK = 4 };

#define HEADER_BYTES 4
#define OPTION_BYTES 4
#define IA_BYTES 12
#define DUID_MAX 130  /* RFC 8415, 11.1 */
#define DUID_BYTES 10 /* ours: type 3, Ethernet, address */
#define IDENTITIES 4  /* of a card that are answered; a client has one */

struct option {
    const uint8_t *data; /* NULL: it is not there */
    size_t length;
};

/* The option at *at, which moves behind it. false: there is no whole one any more. */
static bool next(const uint8_t *bytes, size_t length, size_t *at, uint16_t *code, struct option *option)
{
    if (*at > length || length - *at < OPTION_BYTES || get_be16(bytes + *at + 2) > length - *at - OPTION_BYTES)
        return false;
    *code = get_be16(bytes + *at);
    *option = (struct option){bytes + *at + OPTION_BYTES, get_be16(bytes + *at + 2)};
    *at += OPTION_BYTES + option->length;
    return true;
}

static struct option find(const uint8_t *bytes, size_t length, size_t at, uint16_t wanted)
{
    struct option option;
    uint16_t code;

    while (next(bytes, length, &at, &code, &option))
        if (code == wanted)
            return option;
    return (struct option){NULL, 0};
}

static uint8_t *add(uint8_t *at, uint16_t code, const void *data, size_t length)
{
    put_be16(at, code);
    put_be16(at + 2, (uint16_t)length);
    if (length)
        memcpy(at + OPTION_BYTES, data, length);
    return at + OPTION_BYTES + length;
}

static uint8_t *add_status(uint8_t *at, uint16_t status)
{
    uint8_t data[2];

    put_be16(data, status);
    return add(at, STATUS_CODE, data, sizeof data);
}

static void make_duid(const struct lease *lease, uint8_t duid[DUID_BYTES])
{
    put_be16(duid, 3);
    put_be16(duid + 2, 1);
    memcpy(duid + 4, lease->gateway_mac, 6);
}

/* Which servers a message is for (RFC 8415, 16): some must name us, some must name none. */
static bool is_for_us(const struct lease *lease, const uint8_t *request, size_t length)
{
    struct option server = find(request, length, HEADER_BYTES, SERVER_ID);
    struct option client = find(request, length, HEADER_BYTES, CLIENT_ID);
    uint8_t duid[DUID_BYTES];

    make_duid(lease, duid);
    if (client.length > DUID_MAX || (!client.data && request[0] != INFORMATION_REQUEST))
        return false;
    if (server.data && (server.length != DUID_BYTES || memcmp(server.data, duid, DUID_BYTES) != 0))
        return false;
    switch (request[0]) {
    case SOLICIT:
    case CONFIRM:
    case REBIND:
        return !server.data;
    case REQUEST:
    case RENEW:
    case RELEASE:
    case DECLINE:
        return server.data;
    default:
        return request[0] == INFORMATION_REQUEST;
    }
}

/* One identity of the card: the first gets the address. */
static uint8_t *add_identity(const struct lease *lease, uint8_t *at, const struct option *identity, bool first)
{
    uint8_t data[64] = {0}, address[24], *end = data + IA_BYTES;

    memcpy(data, identity->data, 4);
    if (first) {
        put_be32(data + 4, LEASE_SECONDS / 2);
        put_be32(data + 8, LEASE_SECONDS / 5 * 4);
        memcpy(address, lease->guest6, 16);
        put_be32(address + 16, LEASE_SECONDS);
        put_be32(address + 20, LEASE_SECONDS);
        end = add(end, IA_ADDRESS, address, sizeof address);
    } else {
        end = add_status(end, NO_ADDRESSES);
    }
    return add(at, IA_NA, data, (size_t)(end - data));
}

static uint8_t *add_identities(const struct lease *lease, uint8_t *at, const uint8_t *request, size_t length)
{
    size_t place = HEADER_BYTES;
    unsigned count = 0;
    struct option option;
    uint16_t code;

    while (count < IDENTITIES && next(request, length, &place, &code, &option))
        if (code == IA_NA && option.length >= IA_BYTES)
            at = add_identity(lease, at, &option, count++ == 0);
    return at;
}

/* Are all addresses that a client thinks it has of this network (RFC 8415, 18.3.3)? */
static bool is_on_link(const struct lease *lease, const uint8_t *request, size_t length)
{
    struct option identity = find(request, length, HEADER_BYTES, IA_NA);
    struct option address = {NULL, 0};

    if (identity.data)
        address = find(identity.data, identity.length, IA_BYTES, IA_ADDRESS);
    return address.length >= 16 && !memcmp(address.data, lease->prefix6, 8);
}

size_t dhcp6_answer(const struct lease *lease, const uint8_t *request, size_t length, uint8_t *answer)
{
    uint8_t duid[DUID_BYTES], *at = answer + HEADER_BYTES;
    struct option client;
    bool rapid;

    if (length < HEADER_BYTES || !is_for_us(lease, request, length))
        return 0;
    make_duid(lease, duid);
    client = find(request, length, HEADER_BYTES, CLIENT_ID);
    rapid = request[0] == SOLICIT && find(request, length, HEADER_BYTES, RAPID_COMMIT).data;
    memcpy(answer, request, HEADER_BYTES); /* the transaction */
    answer[0] = request[0] == SOLICIT && !rapid ? ADVERTISE : REPLY;
    if (client.data)
        at = add(at, CLIENT_ID, client.data, client.length);
    at = add(at, SERVER_ID, duid, sizeof duid);
    switch (request[0]) {
    case CONFIRM:
        at = add_status(at, is_on_link(lease, request, length) ? SUCCESS : NOT_ON_LINK);
        break;
    case RELEASE:
    case DECLINE: /* the address is this guest's alone, whatever it does with it */
        at = add_status(at, SUCCESS);
        break;
    default:
        if (rapid)
            at = add(at, RAPID_COMMIT, NULL, 0);
        if (request[0] != INFORMATION_REQUEST)
            at = add_identities(lease, at, request, length);
        at = add(at, DNS_SERVERS, lease->gateway6, 16);
    }
    return (size_t)(at - answer);
}
