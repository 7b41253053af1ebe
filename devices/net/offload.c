/* Checksums and TCP segmentation, in software or left to the back end (see net_offload.h; RFC 791, 793, 1071, 8200). */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/net.h"
#include "casement/net_offload.h"

#define ETHERNET_BYTES 14
#define VLAN_BYTES 4
#define TYPE_VLAN 0x8100
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86DD
#define PROTOCOL_TCP 6
#define TCP_FIN 0x01
#define TCP_PUSH 0x08
#define TCP_CWR 0x80
#define TCP_SUM_AT 16

/* The vnet header's fields, and its kinds of segmentation. */
#define FLAGS_AT 0
#define GSO_AT 1
#define HEADERS_AT 2
#define SEGMENT_AT 4
#define START_AT 6
#define OFFSET_AT 8
#define NEEDS_CSUM 1
#define GSO_NONE 0
#define GSO_TCP4 1
#define GSO_TCP6 4
#define GSO_ECN 0x80

uint32_t net_sum(const uint8_t *bytes, size_t length, uint32_t sum)
{
    uint64_t total = sum;

    for (; length >= 2; bytes += 2, length -= 2)
        total += get_be16(bytes);
    if (length)
        total += (uint32_t)*bytes << 8;
    while (total >> 32)
        total = (total & UINT32_MAX) + (total >> 32);
    return (uint32_t)total;
}

uint16_t net_fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

/* A checksum of TCP or UDP: 0 would mean "none" to UDP; to TCP both are the same. */
static void put_checksum(uint8_t *field, uint32_t sum)
{
    uint16_t folded = net_fold(sum);

    put_be16(field, folded ? folded : 0xFFFF);
}

/* Where the headers of a TCP frame lie. */
struct headers {
    size_t ip, tcp, payload;
    bool v6;
};

static int find_headers(const uint8_t *frame, size_t length, struct headers *headers)
{
    uint16_t type;
    size_t ip = ETHERNET_BYTES, ip_bytes;

    if (length < ETHERNET_BYTES + VLAN_BYTES)
        return -EINVAL;
    type = get_be16(frame + 12);
    if (type == TYPE_VLAN) {
        type = get_be16(frame + 16);
        ip += VLAN_BYTES;
    }
    headers->v6 = type == TYPE_IPV6;
    if ((type != TYPE_IPV4 && type != TYPE_IPV6) || length < ip + 40)
        return -EINVAL;
    ip_bytes = headers->v6 ? 40 : (size_t)(frame[ip] & 0x0F) * 4;
    if (frame[ip] >> 4 != (headers->v6 ? 6 : 4) || ip_bytes < 20 || frame[ip + (headers->v6 ? 6 : 9)] != PROTOCOL_TCP ||
        length < ip + ip_bytes + 20)
        return -EINVAL;
    headers->ip = ip;
    headers->tcp = ip + ip_bytes;
    headers->payload = headers->tcp + (size_t)(frame[headers->tcp + 12] >> 4) * 4;
    return headers->payload < headers->tcp + 20 || headers->payload > length ? -EINVAL : 0;
}

/* The lengths and the IPv4 checksum of a frame; the sum of TCP's pseudo header. */
static uint32_t finish_ip(uint8_t *frame, size_t length, const struct headers *headers)
{
    uint8_t *ip = frame + headers->ip;
    uint32_t sum = PROTOCOL_TCP + (uint32_t)(length - headers->tcp);

    if (headers->v6) {
        put_be16(ip + 4, (uint16_t)(length - headers->ip - 40));
        return net_sum(ip + 8, 32, sum);
    }
    put_be16(ip + 2, (uint16_t)(length - headers->ip));
    put_be16(ip + 10, 0);
    put_be16(ip + 10, net_fold(net_sum(ip, headers->tcp - headers->ip, 0)));
    return net_sum(ip + 12, 8, sum);
}

/* Lengths, IPv4 identification and both checksums of one segment that lies whole in frame. */
static void finish_segment(uint8_t *frame, size_t length, const struct headers *headers, unsigned number)
{
    uint8_t *ip = frame + headers->ip, *tcp = frame + headers->tcp;
    uint32_t sum;

    if (!headers->v6)
        put_be16(ip + 4, (uint16_t)(get_be16(ip + 4) + number));
    sum = finish_ip(frame, length, headers);
    put_be16(tcp + TCP_SUM_AT, 0);
    put_checksum(tcp + TCP_SUM_AT, net_sum(tcp, length - headers->tcp, sum));
}

static int segment_tcp(const struct net_offload *offload, const uint8_t *frame, size_t length, uint8_t *segment,
                       void (*emit)(void *, const uint8_t *, size_t), void *opaque)
{
    struct headers headers;
    size_t offset, payload;
    unsigned number = 0;

    if (find_headers(frame, length, &headers) < 0 || offload->segment_size == 0)
        return -EINVAL;
    payload = length - headers.payload;
    /* At least one round: a frame without payload goes out as it is. The bound is the guest's own frame, 64 KiB. */
    offset = 0;
    do {
        size_t now = MIN(payload - offset, (size_t)offload->segment_size);
        uint8_t *tcp = segment + headers.tcp;

        memcpy(segment, frame, headers.payload);
        memcpy(segment + headers.payload, frame + headers.payload + offset, now);
        put_be32(tcp + 4, get_be32(tcp + 4) + (uint32_t)offset);
        if (offset + now < payload)
            tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PUSH);
        if (number)
            tcp[13] &= (uint8_t)~TCP_CWR;
        finish_segment(segment, headers.payload + now, &headers, number++);
        emit(opaque, segment, headers.payload + now);
        offset += now;
    } while (offset < payload);
    return 0;
}

static bool checksum_fits(const struct net_offload *offload, size_t length)
{
    return offload->checksum_start < length && (size_t)offload->checksum_start + offload->checksum_offset + 2 <= length;
}

int net_offload(const struct net_offload *offload, uint8_t *frame, size_t length, uint8_t *segment,
                void (*emit)(void *opaque, const uint8_t *frame, size_t length), void *opaque)
{
    if (length < ETHERNET_BYTES || length > NET_FRAME_MAX)
        return -EINVAL;
    if (offload->segment)
        return segment_tcp(offload, frame, length, segment, emit, opaque);
    if (offload->checksum) {
        if (!checksum_fits(offload, length))
            return -EINVAL;
        put_checksum(frame + offload->checksum_start + offload->checksum_offset,
                     net_sum(frame + offload->checksum_start, length - offload->checksum_start, 0));
    }
    emit(opaque, frame, length);
    return 0;
}

/* Handing on. */

const uint8_t net_vnet_finished[NET_VNET_BYTES];

bool net_vnet_read(const uint8_t *header, struct net_offload *offload)
{
    uint8_t type = header[GSO_AT] & (uint8_t)~GSO_ECN;

    *offload = (struct net_offload){.checksum = header[FLAGS_AT] & NEEDS_CSUM,
                                    .checksum_start = get_le16(header + START_AT),
                                    .checksum_offset = get_le16(header + OFFSET_AT),
                                    .segment = type == GSO_TCP4 || type == GSO_TCP6,
                                    .segment_size = get_le16(header + SEGMENT_AT)};
    return type == GSO_NONE || offload->segment;
}

unsigned net_vnet_left(const uint8_t *header)
{
    struct net_offload offload;
    unsigned left;

    if (!net_vnet_read(header, &offload))
        return ~0U;
    left = offload.checksum || offload.segment ? NET_LEAVE_CHECKSUM : 0;
    if (offload.segment)
        left |= (header[GSO_AT] & (uint8_t)~GSO_ECN) == GSO_TCP6 ? NET_LEAVE_TCP6 : NET_LEAVE_TCP4;
    return header[GSO_AT] & GSO_ECN ? left | NET_LEAVE_ECN : left;
}

static int write_segmentation(uint16_t segment_size, uint8_t *frame, size_t length, uint8_t *header)
{
    struct headers headers;
    uint8_t *tcp;

    if (find_headers(frame, length, &headers) < 0 || segment_size == 0 || length - headers.ip > UINT16_MAX)
        return -EINVAL;
    tcp = frame + headers.tcp;
    put_be16(tcp + TCP_SUM_AT, (uint16_t)~net_fold(finish_ip(frame, length, &headers)));
    header[FLAGS_AT] = NEEDS_CSUM;
    put_le16(header + HEADERS_AT, (uint16_t)headers.payload);
    put_le16(header + START_AT, (uint16_t)headers.tcp);
    put_le16(header + OFFSET_AT, TCP_SUM_AT);
    if (length - headers.payload > segment_size) {
        header[GSO_AT] = (headers.v6 ? GSO_TCP6 : GSO_TCP4) | (tcp[13] & TCP_CWR ? GSO_ECN : 0);
        put_le16(header + SEGMENT_AT, segment_size);
    }
    return (int)headers.payload;
}

int net_vnet_write(const struct net_offload *offload, uint8_t *frame, size_t length, uint8_t *header)
{
    memset(header, 0, NET_VNET_BYTES);
    if (length < ETHERNET_BYTES || length > NET_FRAME_MAX)
        return -EINVAL;
    if (offload->segment)
        return write_segmentation(offload->segment_size, frame, length, header);
    if (!offload->checksum)
        return 0;
    if (!checksum_fits(offload, length))
        return -EINVAL;
    header[FLAGS_AT] = NEEDS_CSUM;
    put_le16(header + START_AT, offload->checksum_start);
    put_le16(header + OFFSET_AT, offload->checksum_offset);
    return 0;
}

struct sending {
    struct net_backend *backend;
    struct net_sent *sent;
};

static void send_finished(void *opaque, const uint8_t *frame, size_t length)
{
    const struct sending *sending = opaque;

    sending->sent->frames++;
    sending->sent->bytes += length;
    sending->backend->ops->send(sending->backend, net_vnet_finished, frame, length);
}

int net_send(struct net_backend *backend, const struct net_offload *offload, uint8_t *frame, size_t length,
             uint8_t *segment, struct net_sent *sent)
{
    struct sending sending = {backend, sent};
    uint8_t header[NET_VNET_BYTES];
    int headers;

    *sent = (struct net_sent){0};
    if (!backend->ops->offload || (!offload->checksum && !offload->segment))
        return net_offload(offload, frame, length, segment, send_finished, &sending);
    headers = net_vnet_write(offload, frame, length, header);
    if (headers < 0)
        return headers;
    *sent = (struct net_sent){1, length};
    if (header[GSO_AT] != GSO_NONE) {
        sent->frames = (unsigned)((length - (size_t)headers + offload->segment_size - 1) / offload->segment_size);
        sent->bytes += (size_t)(sent->frames - 1) * (size_t)headers;
    }
    backend->ops->send(backend, header, frame, length);
    return 0;
}
