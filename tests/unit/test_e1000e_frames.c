/* The 82574L, with a test that plays its driver as Linux and Windows are: rings, offloads, filters, tags. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_e1000e.h"

static void a_legacy_frame_goes_out(void **state)
{
    uint8_t *descriptor;

    (void)state;
    card_start_transmit();
    card_make_frame(card_ram(BUFFERS, 40), 40, card_mac);
    descriptor = card_tx_add(BUFFERS, EOP | RS | 40, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    assert_int_equal(card_wire.sent[0].length, 60);
    assert_memory_equal(card_wire.sent[0].bytes, card_ram(BUFFERS, 40), 40);
    assert_int_equal(descriptor[12] & 1, 1);
    assert_int_equal(card_get(TX + HEAD), 1);
    assert_int_equal(card_get(ICR), 1U << 22 | 3); /* TXQ0, written back, queue empty */
    assert_int_equal(card_get(GPTC), 1);
    assert_int_equal(card_get(GPTC), 0); /* reading clears */
    assert_int_equal(card_counters.transmitted_packets, 1);
}

static void a_legacy_checksum(void **state)
{
    (void)state;
    card_start_transmit();
    card_make_tcp(card_ram(BUFFERS, 100), 100, false);
    put_be16(card_ram(BUFFERS, 100) + 24, net_fold(net_sum(card_ram(BUFFERS, 100) + 14, 20, 0)));
    card_tx_add(BUFFERS, EOP | 1U << 26 | (14 + 20 + 16) << 16 | 100, 34 << 8);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    assert_true(card_sums_are_right(card_wire.sent[0].bytes, 100));
}

static void checksums_by_context(void **state)
{
    (void)state;
    card_start_transmit();
    card_make_tcp(card_ram(BUFFERS, 200), 200, false);
    card_add_context(0, true);
    /* The headers and the rest in two pieces; the first says which sums, the last that it ends. */
    card_tx_add(BUFFERS, DEXT | DATA | 54, 3U << 8);
    card_tx_add(BUFFERS + 54, DEXT | DATA | EOP | RS | 146, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    assert_int_equal(card_wire.sent[0].length, 200);
    assert_true(card_sums_are_right(card_wire.sent[0].bytes, 200));
}

static void a_large_frame_is_cut(void **state)
{
    size_t total = 0;

    (void)state;
    card_start_transmit();
    card_make_tcp(card_ram(BUFFERS, 54 + 3000), 54 + 3000, true);
    card_add_context(1460, true);
    card_tx_add(BUFFERS, DEXT | DATA | TSE | 54, 3U << 8);
    card_tx_add(BUFFERS + 54, DEXT | DATA | TSE | EOP | RS | 3000, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 3);
    for (unsigned n = 0; n < 3; n++) {
        assert_true(card_sums_are_right(card_wire.sent[n].bytes, card_wire.sent[n].length));
        assert_int_equal(get_be32(card_wire.sent[n].bytes + 38), total);
        assert_memory_equal(card_wire.sent[n].bytes + 54, card_ram(BUFFERS + 54 + total, 1),
                            card_wire.sent[n].length - 54);
        total += card_wire.sent[n].length - 54;
    }
    assert_int_equal(total, 3000);
    assert_int_equal(card_get(GPTC), 3);
}

/* A driver may leave out the length where the card is to cut; the next one needs it. */
static void a_large_frame_is_left_to_a_world_that_takes_it(void **state)
{
    const uint8_t *frame = card_wire.sent[0].bytes;

    (void)state;
    card_start_transmit();
    card_make_tcp(card_ram(BUFFERS, 54 + 1700), 54 + 1700, true);
    put_be16(card_ram(BUFFERS + 16, 2), 0);
    card_add_context(800, true);
    card_tx_add(BUFFERS, DEXT | DATA | TSE | EOP | RS | 1754, 3U << 8);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    assert_memory_equal(card_wire.header, ((const uint8_t[]){1, 1, 54, 0, 800 & 0xFF, 800 >> 8, 34, 0, 16, 0}), 10);
    assert_int_equal(card_wire.sent[0].length, 1754);
    assert_int_equal(get_be16(frame + 16), 1740);
    assert_int_equal(net_fold(net_sum(frame + 14, 20, 0)), 0);
    assert_int_equal(get_be16(frame + 50), (uint16_t)~net_fold(net_sum(frame + 26, 8, 6 + 1720)));
    assert_int_equal(card_get(GPTC), 3);
    assert_int_equal(card_get(GOTCL), 1754 + 2 * 54);
    /* What the card can sum itself it does. */
    card_make_tcp(card_ram(BUFFERS, 200), 200, false);
    card_add_context(0, true);
    card_tx_add(BUFFERS, DEXT | DATA | EOP | RS | 200, 3U << 8);
    card_tx_go();
    assert_true(card_sums_are_right(card_wire.sent[1].bytes, 200));
}

static void a_tag_is_put_in(void **state)
{
    (void)state;
    card_start_transmit();
    card_put(CTRL, card_get(CTRL) | VME);
    card_make_tcp(card_ram(BUFFERS, 100), 100, false);
    card_add_context(0, true);
    card_tx_add(BUFFERS, DEXT | DATA | EOP | VLE | 100, 3U << 8 | 0x2042U << 16);
    card_tx_go();
    assert_int_equal(card_wire.sent[0].length, 104);
    assert_int_equal(get_be32(card_wire.sent[0].bytes + 12), 0x81002042);
    memmove(card_wire.sent[0].bytes + 12, card_wire.sent[0].bytes + 16, 88);
    assert_true(card_sums_are_right(card_wire.sent[0].bytes, 100));
}

static void frames_arrive(void **state)
{
    uint8_t frame[1514], *descriptor = card_ram(RX_RING, 16);

    (void)state;
    card_make_frame(frame, sizeof frame, card_mac);
    assert_true(card_deliver(frame, sizeof frame)); /* nobody listens yet: lost */
    card_start_receive(SECRC, true, 2);
    assert_true(card_wire.ready > 0);
    assert_true(card_deliver(frame, sizeof frame));
    assert_memory_equal(card_ram(BUFFERS, sizeof frame), frame, sizeof frame);
    assert_int_equal(get_le32(descriptor + 8), 1 | 2 | 4);
    assert_int_equal(get_le16(descriptor + 12), sizeof frame);
    assert_int_equal(card_get(RX + HEAD), 1);
    assert_int_equal(card_get(ICR) & (1U << 20 | 0x80), 1U << 20 | 0x80);
    assert_true(card_deliver(frame, 60));
    /* Head meets tail: what comes now waits outside, and is asked for when buffers are back. */
    assert_false(card_deliver(frame, 60));
    card_wire.ready = 0;
    card_put(RX + TAIL, 3);
    card_settle();
    assert_true(card_wire.ready > 0);
    assert_true(card_deliver(frame, 60));
    assert_int_equal(card_get(GPRC), 3);
    assert_int_equal(card_get(GORCL), sizeof frame + 120);
    assert_int_equal(card_counters.received_packets, 3);
}

static void legacy_descriptors_and_the_frame_check_sequence(void **state)
{
    uint8_t frame[42], filled[60] = {0}, *descriptor = card_ram(RX_RING, 16);

    (void)state;
    card_make_frame(frame, sizeof frame, card_mac);
    memcpy(filled, frame, sizeof frame);
    card_start_receive(0, false, 4);
    assert_true(card_deliver(frame, sizeof frame));
    assert_int_equal(get_le16(descriptor + 8), 64);
    assert_int_equal(descriptor[12], 1 | 2 | 4);
    assert_int_equal(descriptor[13], 0);
    assert_int_equal(get_le64(descriptor), BUFFERS);
    assert_memory_equal(card_ram(BUFFERS, 60), filled, 60);
    assert_int_equal(get_le32(card_ram(BUFFERS + 60, 4)), crc32(0, filled, 60));
}

static void a_long_frame_takes_several_buffers(void **state)
{
    uint8_t frame[1000];

    (void)state;
    card_make_frame(frame, sizeof frame, card_mac);
    card_start_receive(SECRC | 2U << 16, true, 1); /* 512 bytes each */
    assert_false(card_deliver(frame, sizeof frame));
    card_put(RX + TAIL, 2);
    assert_true(card_deliver(frame, sizeof frame));
    assert_int_equal(get_le32(card_ram(RX_RING + 8, 4)), 1 | 4);
    assert_int_equal(get_le16(card_ram(RX_RING + 12, 2)), 512);
    assert_int_equal(get_le32(card_ram(RX_RING + 24, 4)), 1 | 2 | 4);
    assert_int_equal(get_le16(card_ram(RX_RING + 28, 2)), 488);
    assert_memory_equal(card_ram(BUFFERS + 2048, 488), frame + 512, 488);
}

static void only_what_was_asked_for(void **state)
{
    static const uint8_t other[6] = {2, 2, 3, 4, 5, 6}, group[6] = {1, 0, 0x5E, 0, 0, 0xFB},
                         all[6] = {255, 255, 255, 255, 255, 255};
    uint8_t frame[100];
    unsigned hash = (0xFBU << 8 | 0x00) >> 4;

    (void)state;
    card_start_receive(SECRC, true, 20);
    card_make_frame(frame, sizeof frame, other);
    card_deliver(frame, sizeof frame);
    card_make_frame(frame, sizeof frame, group);
    card_deliver(frame, sizeof frame);
    card_make_frame(frame, sizeof frame, all);
    card_deliver(frame, sizeof frame);
    assert_int_equal(card_get(RX + HEAD), 0);
    card_put(MTA + (hash >> 5) * 4, 1U << (hash & 31));
    card_make_frame(frame, sizeof frame, group);
    card_deliver(frame, sizeof frame);
    assert_int_equal(card_get(RX + HEAD), 1);
    card_put(RCTL, EN | SECRC | BAM | 1 << 3);
    card_make_frame(frame, sizeof frame, all);
    card_deliver(frame, sizeof frame);
    card_make_frame(frame, sizeof frame, other);
    card_deliver(frame, sizeof frame);
    assert_int_equal(card_get(RX + HEAD), 3);
    /* A second address of its own. */
    card_put(RCTL, EN | SECRC);
    card_put(RAL + 8, get_le32(other));
    card_put(RAL + 12, 0x80000000U | get_le16(other + 4));
    card_deliver(frame, sizeof frame);
    assert_int_equal(card_get(RX + HEAD), 4);
    /* Longer than Ethernet's frames only when asked for. */
    uint8_t giant[2000];
    card_make_frame(giant, sizeof giant, card_mac);
    card_deliver(giant, sizeof giant);
    assert_int_equal(card_get(RX + HEAD), 4);
    card_put(RCTL, EN | SECRC | 1 << 5);
    card_deliver(giant, sizeof giant);
    assert_int_equal(card_get(RX + HEAD), 5);
}

static void a_tag_is_taken_out(void **state)
{
    uint8_t frame[104];

    (void)state;
    card_make_frame(frame, sizeof frame, card_mac);
    put_be32(frame + 12, 0x81006123);
    card_start_receive(SECRC | 1U << 18, true, 8);
    card_put(CTRL, card_get(CTRL) | VME);
    card_deliver(frame, sizeof frame);
    assert_int_equal(card_get(RX + HEAD), 0); /* not a network that the guest is in */
    card_put(VFTA + (0x123 >> 5) * 4, 1U << (0x123 & 31));
    card_deliver(frame, sizeof frame);
    assert_int_equal(get_le32(card_ram(RX_RING + 8, 4)), 1 | 2 | 4 | 8);
    assert_int_equal(get_le16(card_ram(RX_RING + 12, 2)), 100);
    assert_int_equal(get_le16(card_ram(RX_RING + 14, 2)), 0x6123);
    assert_memory_equal(card_ram(BUFFERS, 12), frame, 12);
    assert_memory_equal(card_ram(BUFFERS + 12, 88), frame + 16, 88);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD_TEST(a_legacy_frame_goes_out),
        CARD_TEST(a_legacy_checksum),
        CARD_TEST(checksums_by_context),
        CARD_TEST(a_large_frame_is_cut),
        cmocka_unit_test_setup_teardown(a_large_frame_is_left_to_a_world_that_takes_it, fake_e1000e_set_up_vnet,
                                        fake_e1000e_tear_down),
        CARD_TEST(a_tag_is_put_in),
        CARD_TEST(frames_arrive),
        CARD_TEST(legacy_descriptors_and_the_frame_check_sequence),
        CARD_TEST(a_long_frame_takes_several_buffers),
        CARD_TEST(only_what_was_asked_for),
        CARD_TEST(a_tag_is_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
