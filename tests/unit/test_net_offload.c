/* Checksums and segmentation: what leaves is right to the last byte, and nothing leaves of a frame that lies. */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/net.h"
#include "casement/net_offload.h"
#include "cmocka_all.h"

#define HEADERS (14 + 20 + 20)

static uint8_t segment[NET_FRAME_MAX], sent[70000];
static size_t lengths[2000];
static unsigned count;
static size_t total;

static void emit(void *opaque, const uint8_t *frame, size_t length)
{
    (void)opaque;
    memcpy(sent + total, frame, length);
    lengths[count++] = length;
    total += length;
}

static void forget(void)
{
    count = 0;
    total = 0;
}

static void make_tcp(uint8_t *frame, size_t payload)
{
    memset(frame, 0, HEADERS);
    put_be16(frame + 12, 0x0800);
    frame[14] = 0x45;
    put_be16(frame + 16, (uint16_t)(40 + payload));
    put_be16(frame + 18, 7);
    frame[22] = 64;
    frame[23] = 6;
    put_be32(frame + 26, 0x0A00020F);
    put_be32(frame + 30, 0x0A000202);
    put_be32(frame + 38, 1000);
    frame[46] = 0x50;
    frame[47] = 0x99; /* FIN, PSH, ACK, CWR */
    for (size_t n = 0; n < payload; n++)
        frame[HEADERS + n] = (uint8_t)(n * 7);
}

static bool sums_are_right(const uint8_t *frame, size_t length)
{
    return net_fold(net_sum(frame + 14, 20, 0)) == 0 &&
           net_fold(net_sum(frame + 34, length - 34, net_sum(frame + 26, 8, 6 + (uint32_t)(length - 34)))) == 0;
}

static void a_large_frame_becomes_segments(void **state)
{
    static uint8_t frame[HEADERS + 5000];
    const struct net_offload offload = {.segment = true, .segment_size = 1460};
    const uint8_t *at = sent;
    size_t payload = 0;

    (void)state;
    forget();
    make_tcp(frame, 5000);
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), 0);
    assert_int_equal(count, 4);
    for (unsigned n = 0; n < count; at += lengths[n++]) {
        bool last = n + 1 == count;

        assert_true(sums_are_right(at, lengths[n]));
        assert_int_equal(get_be16(at + 16), lengths[n] - 14);
        assert_int_equal(get_be16(at + 18), 7 + n);
        assert_int_equal(get_be32(at + 38), 1000 + payload);
        assert_int_equal(at[47], 0x10 | (last ? 0x09 : 0) | (n == 0 ? 0x80 : 0));
        assert_memory_equal(at + HEADERS, frame + HEADERS + payload, lengths[n] - HEADERS);
        payload += lengths[n] - HEADERS;
    }
    assert_int_equal(payload, 5000);
}

static void a_checksum_is_completed(void **state)
{
    uint8_t frame[HEADERS + 33];
    const struct net_offload offload = {.checksum = true, .checksum_start = 34, .checksum_offset = 16};

    (void)state;
    forget();
    make_tcp(frame, 33);
    put_be16(frame + 24, net_fold(net_sum(frame + 14, 20, 0)));
    put_be16(frame + 50, (uint16_t)~net_fold(net_sum(frame + 26, 8, 6 + 53)));
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), 0);
    assert_int_equal(count, 1);
    assert_true(sums_are_right(sent, lengths[0]));
}

static void frames_that_lie_send_nothing(void **state)
{
    static uint8_t frame[HEADERS + 100];
    struct net_offload offload = {.segment = true, .segment_size = 0};

    (void)state;
    forget();
    make_tcp(frame, 100);
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), -EINVAL);
    offload.segment_size = 50;
    for (size_t length = 0; length < HEADERS; length++)
        assert_int_equal(net_offload(&offload, frame, length, segment, emit, NULL), -EINVAL);
    frame[46] = 0xF0; /* a TCP header longer than the frame's rest */
    assert_int_equal(net_offload(&offload, frame, HEADERS + 10, segment, emit, NULL), -EINVAL);
    frame[46] = 0x10; /* and one that is too short to be */
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), -EINVAL);
    frame[23] = 17; /* UDP */
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), -EINVAL);
    offload = (struct net_offload){.checksum = true, .checksum_start = 0xFFFF, .checksum_offset = 0xFFFF};
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), -EINVAL);
    offload.checksum_start = sizeof frame - 1;
    offload.checksum_offset = 0;
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), -EINVAL);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_frame_becomes_segments),
        cmocka_unit_test(a_checksum_is_completed),
        cmocka_unit_test(frames_that_lie_send_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
