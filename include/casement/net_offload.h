/* Work that a guest leaves to its card: checksums and segmentation, for back ends that take finished frames only. */
#ifndef CASEMENT_NET_OFFLOAD_H
#define CASEMENT_NET_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left to do. All of it comes from the guest and is checked against the frame. */
struct net_offload {
    bool checksum; /* sum from start on; the field at start + offset holds the pseudo header's part */
    uint16_t checksum_start, checksum_offset;
    bool segment;          /* TCP over IPv4 or IPv6, told by the frame itself */
    uint16_t segment_size; /* bytes of TCP payload in each frame */
};

/*
 * Calls emit for each finished frame, in order; frame may be changed. segment has room for one segment: segment_size
 * and all headers, at most NET_FRAME_MAX. 0, or -EINVAL for a frame that does not hold what was said, of which nothing
 * is emitted. Any thread.
 */
int net_offload(const struct net_offload *offload, uint8_t *frame, size_t length, uint8_t *segment,
                void (*emit)(void *opaque, const uint8_t *frame, size_t length), void *opaque);

/* The Internet checksum's sum over bytes, added to sum; net_fold() makes the checksum of it (RFC 1071). */
uint32_t net_sum(const uint8_t *bytes, size_t length, uint32_t sum);
uint16_t net_fold(uint32_t sum);

#endif
