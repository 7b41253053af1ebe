/* See answer.h (RFC 768, 791, 894, 2464, 8200). */
#include <string.h>

#include "answer.h"
#include "casement/bytes.h"
#include "casement/net_offload.h"
#include "dhcp.h"
#include "dhcp6.h"
#include "router.h"

#define ETHERNET_BYTES 14
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86DD
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define DHCP6_CLIENT 546
#define DHCP6_SERVER 547
#define HOP_LIMIT 255 /* what neighbour discovery demands (RFC 4861, 6.1) */

/* What lies behind the headers of a packet. */
struct payload {
    const uint8_t *bytes;
    size_t length;
};

static void put_ethernet(uint8_t *frame, const uint8_t to[6], const uint8_t from[6], uint16_t type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    put_be16(frame + 12, type);
}

/* The UDP datagram of an IPv4 or IPv6 payload, to that port. */
static bool find_udp(struct payload *packet, uint16_t port)
{
    size_t length = packet->length >= UDP_BYTES ? get_be16(packet->bytes + 4) : 0;

    if (length < UDP_BYTES || length > packet->length || get_be16(packet->bytes + 2) != port)
        return false;
    *packet = (struct payload){packet->bytes + UDP_BYTES, length - UDP_BYTES};
    return true;
}

/* The header, and with a sum over both the checksum. */
static void put_udp(uint8_t *udp, uint16_t from, uint16_t to, size_t length, uint32_t addresses)
{
    uint16_t sum;

    put_be16(udp, from);
    put_be16(udp + 2, to);
    put_be16(udp + 4, (uint16_t)length);
    put_be16(udp + 6, 0);
    sum = net_fold(net_sum(udp, length, addresses + PROTOCOL_UDP + (uint32_t)length));
    put_be16(udp + 6, sum ? sum : 0xFFFF);
}

/* IPv4. */

/* A UDP packet that is whole: no fragment, and as long as it says. */
static bool find_ipv4_udp(const uint8_t *frame, size_t length, struct payload *packet)
{
    const uint8_t *ip = frame + ETHERNET_BYTES;
    size_t header, total;

    if (length < ETHERNET_BYTES + IPV4_BYTES || get_be16(frame + 12) != TYPE_IPV4 || ip[0] >> 4 != 4)
        return false;
    header = (size_t)(ip[0] & 0x0F) * 4;
    total = get_be16(ip + 2);
    if (header < IPV4_BYTES || total < header || total > length - ETHERNET_BYTES || ip[9] != PROTOCOL_UDP ||
        get_be16(ip + 6) & 0x3FFF)
        return false;
    *packet = (struct payload){ip + header, total - header};
    return true;
}

static int answer_dhcp(const struct lease *lease, const struct payload *request, uint8_t *frame)
{
    static const uint8_t everybody[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    uint8_t *ip = frame + ETHERNET_BYTES, *udp = ip + IPV4_BYTES;
    bool broadcast = false;
    size_t length = dhcp_answer(lease, request->bytes, request->length, udp + UDP_BYTES, &broadcast);

    if (!length)
        return 0;
    length += UDP_BYTES;
    put_ethernet(frame, broadcast ? everybody : lease->guest_mac, lease->gateway_mac, TYPE_IPV4);
    memset(ip, 0, IPV4_BYTES);
    ip[0] = 0x45;
    put_be16(ip + 2, (uint16_t)(IPV4_BYTES + length));
    ip[8] = 64;
    ip[9] = PROTOCOL_UDP;
    memcpy(ip + 12, lease->gateway, 4);
    memcpy(ip + 16, broadcast ? everybody : lease->guest, 4);
    put_be16(ip + 10, net_fold(net_sum(ip, IPV4_BYTES, 0)));
    put_udp(udp, DHCP_SERVER, DHCP_CLIENT, length, net_sum(ip + 12, 8, 0));
    return (int)(ETHERNET_BYTES + IPV4_BYTES + length);
}

/* IPv6. */

/* Without extension headers: what we answer never has any. */
static bool find_ipv6(const uint8_t *frame, size_t length, uint8_t protocol, struct payload *packet)
{
    const uint8_t *ip = frame + ETHERNET_BYTES;

    if (length < ETHERNET_BYTES + IPV6_BYTES || get_be16(frame + 12) != TYPE_IPV6 || ip[0] >> 4 != 6 ||
        ip[6] != protocol || get_be16(ip + 4) > length - ETHERNET_BYTES - IPV6_BYTES)
        return false;
    *packet = (struct payload){ip + IPV6_BYTES, get_be16(ip + 4)};
    return true;
}

static uint8_t *put_ipv6(const struct lease *lease, uint8_t *frame, const uint8_t to_mac[6], const uint8_t to[16],
                         uint8_t protocol, size_t length)
{
    uint8_t *ip = frame + ETHERNET_BYTES;

    put_ethernet(frame, to_mac, lease->gateway_mac, TYPE_IPV6);
    put_be32(ip, UINT32_C(6) << 28);
    put_be16(ip + 4, (uint16_t)length);
    ip[6] = protocol;
    ip[7] = HOP_LIMIT;
    memcpy(ip + 8, lease->router6, 16);
    memcpy(ip + 24, to, 16);
    return ip + IPV6_BYTES;
}

static int answer_dhcp6(const struct lease *lease, const uint8_t *frame, const struct payload *request, uint8_t *answer)
{
    uint8_t *udp = answer + ETHERNET_BYTES + IPV6_BYTES;
    size_t length = dhcp6_answer(lease, request->bytes, request->length, udp + UDP_BYTES);

    if (!length)
        return 0;
    length += UDP_BYTES;
    put_ipv6(lease, answer, lease->guest_mac, frame + ETHERNET_BYTES + 8, PROTOCOL_UDP, length);
    put_udp(udp, DHCP6_SERVER, DHCP6_CLIENT, length, net_sum(answer + ETHERNET_BYTES + 8, 32, 0));
    return (int)(ETHERNET_BYTES + IPV6_BYTES + length);
}

size_t answer_announce(const struct lease *lease, uint8_t *frame)
{
    static const uint8_t all_nodes[16] = {0xFF, 0x02, [15] = 1}, all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    uint8_t *icmp = frame + ETHERNET_BYTES + IPV6_BYTES;
    size_t length = lease->six ? router_advertise(lease, icmp) : 0;

    if (!length)
        return 0;
    put_ipv6(lease, frame, all_nodes_mac, all_nodes, PROTOCOL_ICMPV6, length);
    put_be16(icmp + 2, net_fold(net_sum(icmp, length,
                                        net_sum(frame + ETHERNET_BYTES + 8, 32, PROTOCOL_ICMPV6 + (uint32_t)length))));
    return ETHERNET_BYTES + IPV6_BYTES + length;
}

int answer_frame(const struct lease *lease, const uint8_t *frame, size_t length, uint8_t *answer)
{
    struct payload packet;

    if (find_ipv4_udp(frame, length, &packet))
        return find_udp(&packet, DHCP_SERVER) ? answer_dhcp(lease, &packet, answer) : -1;
    if (!lease->six)
        return -1;
    if (find_ipv6(frame, length, PROTOCOL_UDP, &packet))
        return find_udp(&packet, DHCP6_SERVER) ? answer_dhcp6(lease, frame, &packet, answer) : -1;
    if (find_ipv6(frame, length, PROTOCOL_ICMPV6, &packet))
        return router_solicited(packet.bytes, packet.length) ? (int)answer_announce(lease, answer) : -1;
    return -1;
}
