/* Checksums and TCP segmentation in software (see net_offload.h; RFC 791, 793, 1071, 8200). */
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

/* Lengths, IPv4 identification and both checksums of one segment that lies whole in frame. */
static void finish_segment(uint8_t *frame, size_t length, const struct headers *headers, unsigned number)
{
    uint8_t *ip = frame + headers->ip, *tcp = frame + headers->tcp;
    size_t tcp_bytes = length - headers->tcp;
    uint32_t sum = PROTOCOL_TCP + (uint32_t)tcp_bytes;

    if (headers->v6) {
        put_be16(ip + 4, (uint16_t)(length - headers->ip - 40));
        sum = net_sum(ip + 8, 32, sum);
    } else {
        put_be16(ip + 2, (uint16_t)(length - headers->ip));
        put_be16(ip + 4, (uint16_t)(get_be16(ip + 4) + number));
        put_be16(ip + 10, 0);
        put_be16(ip + 10, net_fold(net_sum(ip, headers->tcp - headers->ip, 0)));
        sum = net_sum(ip + 12, 8, sum);
    }
    put_be16(tcp + 16, 0);
    put_be16(tcp + 16, net_fold(net_sum(tcp, tcp_bytes, sum)));
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

int net_offload(const struct net_offload *offload, uint8_t *frame, size_t length, uint8_t *segment,
                void (*emit)(void *opaque, const uint8_t *frame, size_t length), void *opaque)
{
    if (length < ETHERNET_BYTES || length > NET_FRAME_MAX)
        return -EINVAL;
    if (offload->segment)
        return segment_tcp(offload, frame, length, segment, emit, opaque);
    if (offload->checksum) {
        size_t field = (size_t)offload->checksum_start + offload->checksum_offset;
        uint16_t sum;

        if (offload->checksum_start >= length || field + 2 > length)
            return -EINVAL;
        sum = net_fold(net_sum(frame + offload->checksum_start, length - offload->checksum_start, 0));
        put_be16(frame + field, sum ? sum : 0xFFFF); /* 0 would mean "none" to UDP; to TCP both are the same */
    }
    emit(opaque, frame, length);
    return 0;
}
