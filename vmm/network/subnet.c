/* See subnet.h. */
#include <string.h>
#include <sys/socket.h>

#include "casement/bytes.h"
#include "subnet.h"

static bool overlaps(const struct netlink_prefix *prefix, uint32_t subnet)
{
    unsigned bits = MIN(prefix->length, SUBNET_BITS);
    uint32_t mask = bits ? UINT32_MAX << (32 - bits) : 0;

    return prefix->family == AF_INET && (get_be32(prefix->address) & mask) == (subnet & mask);
}

static bool is_free(const struct netlink_prefix *taken, size_t count, uint32_t subnet)
{
    for (size_t n = 0; n < count; n++)
        if (overlaps(&taken[n], subnet))
            return false;
    return true;
}

/* Where container engines and home routers seldom are (RFC 1918). */
static const struct range {
    uint32_t first;
    unsigned count;
} ranges[] = {{0xAC1E0000, 512}, {0xC0A8C800, 55}, {0x0AC80000, 256}};

static bool is_candidate(uint32_t subnet)
{
    for (size_t n = 0; n < ARRAY_SIZE(ranges); n++)
        if (subnet >= ranges[n].first && (subnet - ranges[n].first) >> 8 < ranges[n].count && !(subnet & 0xFF))
            return true;
    return false;
}

bool subnet_choose(const struct netlink_prefix *taken, size_t count, const uint8_t kept[4], uint8_t subnet[4])
{
    if (kept && is_candidate(get_be32(kept)) && is_free(taken, count, get_be32(kept))) {
        memcpy(subnet, kept, 4);
        return true;
    }
    for (size_t range = 0; range < ARRAY_SIZE(ranges); range++)
        for (unsigned n = 0; n < ranges[range].count; n++) {
            uint32_t candidate = ranges[range].first + (n << 8);

            if (!is_free(taken, count, candidate))
                continue;
            put_be32(subnet, candidate);
            return true;
        }
    return false;
}

void subnet_choose6(const uint8_t mac[6], uint8_t subnet[16])
{
    memset(subnet, 0, 16);
    subnet[0] = 0xFD;
    memcpy(subnet + 1, mac + 1, 5);
}

void subnet_gateway_mac(const uint8_t guest[6], uint8_t gateway[6])
{
    memcpy(gateway, guest, 6);
    gateway[0] = (uint8_t)((guest[0] | 0x02) ^ 0x08); /* locally administered, and never the guest's */
}
