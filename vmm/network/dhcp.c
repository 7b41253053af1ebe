/* See dhcp.h. */
#include <string.h>

#include "casement/bytes.h"
#include "dhcp.h"

/* The fixed part (RFC 2131, 2). */
enum {
    OP = 0,
    HARDWARE_TYPE = 1,
    HARDWARE_LENGTH = 2,
    XID = 4,
    FLAGS = 10,
    CIADDR = 12,
    YIADDR = 16,
    CHADDR = 28,
    COOKIE = 236,
    OPTIONS = 240,
    BOOTP_BYTES = 300 /* what old relays and clients take for the least */
};
#define BOOT_REQUEST 1
#define BOOT_REPLY 2
#define FLAG_BROADCAST 0x8000
#define MAGIC 0x63825363

/* Options (RFC 2132). */
enum {
    PAD = 0,
    SUBNET_MASK = 1,
    ROUTER = 3,
    NAME_SERVER = 6,
    HOST_NAME = 12,
    INTERFACE_MTU = 26,
    REQUESTED_ADDRESS = 50,
    LEASE_TIME = 51,
    MESSAGE_TYPE = 53,
    SERVER_IDENTIFIER = 54,
    RENEWAL_TIME = 58,
    REBINDING_TIME = 59,
    CLIENT_IDENTIFIER = 61,
    END = 255
};
enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, DECLINE = 4, ACK = 5, NAK = 6, RELEASE = 7, INFORM = 8 };

struct option {
    const uint8_t *data; /* NULL: it is not there */
    uint8_t length;
};

/* The first of its kind; one that reaches over the end is not there. */
static struct option find(const uint8_t *message, size_t length, uint8_t code)
{
    size_t at = OPTIONS;

    while (at + 1 < length && message[at] != END) {
        if (message[at] == PAD) {
            at++;
            continue;
        }
        if (message[at + 1] > length - at - 2)
            break;
        if (message[at] == code)
            return (struct option){message + at + 2, message[at + 1]};
        at += 2U + message[at + 1];
    }
    return (struct option){NULL, 0};
}

static bool is_for_us(const struct lease *lease, const uint8_t *request, size_t length)
{
    return length >= OPTIONS && request[OP] == BOOT_REQUEST && request[HARDWARE_TYPE] == 1 &&
           request[HARDWARE_LENGTH] == 6 && get_be32(request + COOKIE) == MAGIC &&
           !memcmp(request + CHADDR, lease->guest_mac, 6);
}

/* What a REQUEST gets: ACK, NAK, or 0 when it is meant for another server (RFC 2131, 4.3.2). */
static uint8_t judge(const struct lease *lease, const uint8_t *request, size_t length)
{
    struct option server = find(request, length, SERVER_IDENTIFIER);
    struct option address = find(request, length, REQUESTED_ADDRESS);
    const uint8_t *wanted = address.data && address.length == 4 ? address.data : request + CIADDR;

    if (server.data && (server.length != 4 || memcmp(server.data, lease->gateway, 4) != 0))
        return 0;
    return memcmp(wanted, lease->guest, 4) != 0 ? NAK : ACK;
}

static uint8_t answer_type(const struct lease *lease, const uint8_t *request, size_t length)
{
    struct option type = find(request, length, MESSAGE_TYPE);

    if (type.length != 1)
        return 0;
    switch (*type.data) {
    case DISCOVER:
        return OFFER;
    case REQUEST:
        return judge(lease, request, length);
    case INFORM:
        return ACK;
    default: /* DECLINE and RELEASE change nothing: the address is this guest's alone */
        return 0;
    }
}

/* Options, one after another, in a message that has room for all that we ever add. */
static uint8_t *add(uint8_t *at, uint8_t code, const void *data, size_t length)
{
    at[0] = code;
    at[1] = (uint8_t)length;
    memcpy(at + 2, data, length);
    return at + 2 + length;
}

static uint8_t *add_number(uint8_t *at, uint8_t code, uint32_t value)
{
    uint8_t data[4];

    put_be32(data, value);
    return add(at, code, data, sizeof data);
}

static uint8_t *add_network(const struct lease *lease, uint8_t *at)
{
    uint8_t mtu[2];

    put_be16(mtu, lease->mtu);
    at = add_number(at, SUBNET_MASK, UINT32_MAX << (32 - lease->prefix_bits));
    at = add(at, ROUTER, lease->gateway, 4);
    at = add(at, NAME_SERVER, lease->gateway, 4);
    at = add(at, INTERFACE_MTU, mtu, sizeof mtu);
    if (lease->host_name[0])
        at = add(at, HOST_NAME, lease->host_name, strlen(lease->host_name));
    return at;
}

size_t dhcp_answer(const struct lease *lease, const uint8_t *request, size_t length, uint8_t *answer, bool *broadcast)
{
    uint8_t type = is_for_us(lease, request, length) ? answer_type(lease, request, length) : 0, *at = answer + OPTIONS;
    struct option client;
    bool inform;

    if (!type)
        return 0;
    client = find(request, length, CLIENT_IDENTIFIER);
    inform = *find(request, length, MESSAGE_TYPE).data == INFORM;
    memset(answer, 0, DHCP_ANSWER_MAX);
    memcpy(answer, request, 4);
    answer[OP] = BOOT_REPLY;
    answer[3] = 0; /* hops */
    memcpy(answer + XID, request + XID, 4);
    memcpy(answer + FLAGS, request + FLAGS, 2);
    memcpy(answer + CHADDR, request + CHADDR, 16);
    put_be32(answer + COOKIE, MAGIC);
    at = add(at, MESSAGE_TYPE, &type, 1);
    at = add(at, SERVER_IDENTIFIER, lease->gateway, 4);
    if (client.data)
        at = add(at, CLIENT_IDENTIFIER, client.data, MIN(client.length, 64));
    if (type != NAK) {
        memcpy(answer + CIADDR, request + CIADDR, 4);
        at = add_network(lease, at);
    }
    if (type != NAK && !inform) {
        memcpy(answer + YIADDR, lease->guest, 4);
        at = add_number(at, LEASE_TIME, LEASE_SECONDS);
        at = add_number(at, RENEWAL_TIME, LEASE_SECONDS / 2);
        at = add_number(at, REBINDING_TIME, LEASE_SECONDS / 8 * 7);
    }
    *at++ = END;
    *broadcast = type == NAK || (get_be16(request + FLAGS) & FLAG_BROADCAST && !get_be32(request + CIADDR));
    return (size_t)MAX(at - answer, BOOTP_BYTES);
}
