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

/* The vnet header. */

static void what_a_header_says(void **state)
{
    static const struct {
        uint8_t flags, gso;
        unsigned left;
    } cases[] = {{0, 0, 0},
                 {2, 0, 0},
                 {1, 0, NET_LEAVE_CHECKSUM},
                 {1, 1, NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4},
                 {0, 4, NET_LEAVE_CHECKSUM | NET_LEAVE_TCP6},
                 {1, 0x81, NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4 | NET_LEAVE_ECN},
                 {1, 3, ~0U},
                 {1, 5, ~0U}};
    struct net_offload offload;

    (void)state;
    for (unsigned n = 0; n < sizeof cases / sizeof *cases; n++) {
        const uint8_t header[NET_VNET_BYTES] = {cases[n].flags, cases[n].gso, 54, 0, 0xB4, 5, 34, 0, 16, 0};

        assert_int_equal(net_vnet_left(header), cases[n].left);
        assert_int_equal(net_vnet_read(header, &offload), cases[n].left != ~0U);
        assert_int_equal(offload.segment_size, 1460);
        assert_int_equal(offload.checksum_start, 34);
        assert_int_equal(offload.checksum_offset, 16);
    }
}

/* Whoever does the rest as the header says comes to the same segments. */
static void what_is_handed_on_is_finished_by_the_next(void **state)
{
    static uint8_t frame[HEADERS + 5000], first[sizeof sent];
    struct net_offload offload = {.segment = true, .segment_size = 1460};
    uint8_t header[NET_VNET_BYTES];
    size_t first_total;

    (void)state;
    forget();
    make_tcp(frame, 5000);
    put_be16(frame + 16, 0); /* some drivers leave the length out */
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), 0);
    memcpy(first, sent, total);
    first_total = total;
    forget();
    assert_int_equal(net_vnet_write(&offload, frame, sizeof frame, header), HEADERS);
    assert_int_equal(get_be16(frame + 16), 5040);
    assert_int_equal(net_vnet_left(header), NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4 | NET_LEAVE_ECN);
    assert_true(net_vnet_read(header, &offload));
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), 0);
    assert_int_equal(total, first_total);
    assert_memory_equal(sent, first, total);
    /* What fits one frame is not segmented, but summed. */
    offload = (struct net_offload){.segment = true, .segment_size = 5000};
    assert_int_equal(net_vnet_write(&offload, frame, sizeof frame, header), HEADERS);
    assert_int_equal(net_vnet_left(header), NET_LEAVE_CHECKSUM);
    assert_true(net_vnet_read(header, &offload));
    forget();
    assert_int_equal(net_offload(&offload, frame, sizeof frame, segment, emit, NULL), 0);
    assert_int_equal(count, 1);
    assert_true(sums_are_right(sent, total));
}

static void lies_are_not_handed_on(void **state)
{
    static uint8_t frame[NET_FRAME_MAX + 1];
    struct net_offload offload = {.segment = true, .segment_size = 0};
    uint8_t header[NET_VNET_BYTES];

    (void)state;
    make_tcp(frame, 100);
    assert_int_equal(net_vnet_write(&offload, frame, HEADERS + 100, header), -EINVAL);
    offload.segment_size = 50;
    for (size_t length = 0; length < HEADERS; length++)
        assert_int_equal(net_vnet_write(&offload, frame, length, header), -EINVAL);
    assert_int_equal(net_vnet_write(&offload, frame, sizeof frame, header), -EINVAL);
    assert_int_equal(net_vnet_write(&offload, frame, 14 + 65536, header), -EINVAL); /* more than IP can say */
    assert_int_equal(net_vnet_write(&offload, frame, 14 + 65535, header), HEADERS);
    frame[23] = 17;
    assert_int_equal(net_vnet_write(&offload, frame, HEADERS + 100, header), -EINVAL);
    offload = (struct net_offload){.checksum = true, .checksum_start = 100, .checksum_offset = 53};
    assert_int_equal(net_vnet_write(&offload, frame, HEADERS + 100, header), -EINVAL);
    offload.checksum_offset = 52;
    assert_int_equal(net_vnet_write(&offload, frame, HEADERS + 100, header), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_frame_becomes_segments),
        cmocka_unit_test(a_checksum_is_completed),
        cmocka_unit_test(frames_that_lie_send_nothing),
        cmocka_unit_test(what_a_header_says),
        cmocka_unit_test(what_is_handed_on_is_finished_by_the_next),
        cmocka_unit_test(lies_are_not_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
