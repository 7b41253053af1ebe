/*
 * Frames whose checksums and segmentation a guest leaves to its card. Nothing is read or written outside of them, no
 * frame is longer than it may be, and who is handed the work comes to the same frames as who does it at once. The
 * first byte of the input chooses headers around the rest, so that the fuzzer need not find them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/net.h"
#include "casement/net_offload.h"

#define PLAIN 4U /* of the first byte: no headers are put in */

static uint8_t segment[NET_FRAME_MAX];

/* What was emitted. */
struct emitted {
    unsigned count;
    size_t bytes;
    uint64_t hash;
};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_net_offload: %s\n", what);
        abort();
    }
}

static void emit(void *opaque, const uint8_t *frame, size_t length)
{
    struct emitted *emitted = opaque;

    must(length >= 14 && length <= NET_FRAME_MAX, "a length that no frame has");
    emitted->count++;
    emitted->bytes += length;
    for (size_t n = 0; n < length; n++)
        emitted->hash = (emitted->hash ^ frame[n]) * UINT64_C(0x100000001B3);
}

/* A copy with nothing behind it. */
static uint8_t *copy_of(const uint8_t *frame, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);

    must(copy, "memory");
    if (length)
        memcpy(copy, frame, length);
    return copy;
}

static void both_ways(const struct net_offload *offload, const uint8_t *frame, size_t length)
{
    uint8_t *at_once = copy_of(frame, length), *handed_on = copy_of(frame, length), header[NET_VNET_BYTES];
    struct emitted first = {0}, second = {0};
    struct net_offload left;
    int done = net_offload(offload, at_once, length, segment, emit, &first);
    int written = net_vnet_write(offload, handed_on, length, header);

    must(done == 0 || !first.count, "something was sent of a frame that was refused");
    must((done == 0) == (written >= 0), "who does it and who hands it on are not of one mind");
    if (written >= 0) {
        must((size_t)written <= length && net_vnet_read(header, &left), "a header that nobody reads");
        must(net_offload(&left, handed_on, length, segment, emit, &second) == 0, "who is handed it refuses it");
        must(first.count == second.count && first.bytes == second.bytes && first.hash == second.hash,
             "who is handed it comes to other frames");
    }
    free(at_once);
    free(handed_on);
}

static void put_headers(uint8_t *frame, unsigned kind)
{
    put_be16(frame + 12, kind & 1 ? 0x86DD : 0x0800);
    frame[14] = kind & 1 ? 0x60 : 0x45;
    frame[kind & 1 ? 20 : 23] = 6;
    frame[kind & 1 ? 66 : 46] = (uint8_t)(kind & 2 ? 0x80 : 0x50);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t frame[4096];
    struct net_offload offload;
    size_t length;

    if (size < 1 + NET_VNET_BYTES || size > sizeof frame)
        return 0;
    length = size - 1 - NET_VNET_BYTES;
    memcpy(frame, data + 1 + NET_VNET_BYTES, length);
    if (!(*data & PLAIN) && length >= 80)
        put_headers(frame, *data);
    net_vnet_left(data + 1);
    if (net_vnet_read(data + 1, &offload))
        both_ways(&offload, frame, length);
    return 0;
}
