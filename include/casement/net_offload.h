/*
 * Work that a guest leaves to its card: checksums and segmentation. It is done here, or handed on by a vnet header to a
 * back end that has somebody for it. All functions may be called on any thread.
 */
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
 * is emitted.
 */
int net_offload(const struct net_offload *offload, uint8_t *frame, size_t length, uint8_t *segment,
                void (*emit)(void *opaque, const uint8_t *frame, size_t length), void *opaque);

/*
 * The vnet header (Virtual I/O Device 1.2, section 5.1.6, without num_buffers; Linux has it before the frames of a TAP
 * with IFF_VNET_HDR): 10 bytes, little-endian, that say what is left to do of the frame behind them.
 */
#define NET_VNET_BYTES 10
extern const uint8_t net_vnet_finished[NET_VNET_BYTES]; /* nothing is left */

/* What it says, which may not fit the frame; false: a kind of work that there is no name for here. */
bool net_vnet_read(const uint8_t *header, struct net_offload *offload);
/* The kinds of work that it leaves: NET_LEAVE_*, and all bits for one that there is no name for. */
unsigned net_vnet_left(const uint8_t *header);
/*
 * The header of a frame that is handed on, after every word about the frame was held against it. Lengths, the IPv4
 * checksum and the pseudo header's part of TCP's are put in, as the next one expects them and not all guests do. The
 * bytes of all headers of a frame that is to be segmented, else 0; -EINVAL as for net_offload().
 */
int net_vnet_write(const struct net_offload *offload, uint8_t *frame, size_t length, uint8_t *header);

struct net_backend;
/* Frames and bytes on the wire, for a card's statistics. */
struct net_sent {
    unsigned frames;
    size_t bytes;
};
/* A guest's frame to the back end, with what is left to do if that takes it, else finished; on the loop's thread.
 * frame and segment as for net_offload(). sent is set. 0 or -EINVAL. */
int net_send(struct net_backend *backend, const struct net_offload *offload, uint8_t *frame, size_t length,
             uint8_t *segment, struct net_sent *sent);

/* The Internet checksum's sum over bytes, added to sum; net_fold() makes the checksum of it (RFC 1071). */
uint32_t net_sum(const uint8_t *bytes, size_t length, uint32_t sum);
uint16_t net_fold(uint32_t sum);

#endif
