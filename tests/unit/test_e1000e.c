/* The 82574L, with a test that plays its driver as Linux and Windows are: registers, PHY, interrupts, reset, nonsense.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_e1000e.h"

static uint32_t mdic(uint32_t request)
{
    card_put(MDIC, request);
    return card_get(MDIC);
}

static void what_drivers_find_first(void **state)
{
    uint16_t sum = 0;

    (void)state;
    assert_int_equal(fake_config_read(card_fake, DEVFN, 0, 4), 0x10D38086);
    assert_int_equal(fake_config_read(card_fake, DEVFN, 9, 3), 0x020000);
    for (unsigned word = 0; word < 64; word++) {
        card_put(EERD, word << 2 | 1);
        assert_true(card_get(EERD) & 2);
        if (word < 3)
            assert_int_equal(card_get(EERD) >> 16, get_le16(card_mac + 2 * word));
        sum = (uint16_t)(sum + (card_get(EERD) >> 16));
    }
    assert_int_equal(sum, 0xBABA);
    card_put(EERD, 0x3FFFU << 2 | 1);
    assert_int_equal(card_get(EERD) >> 16, 0xFFFF);
    assert_int_equal(card_get(RAL), get_le32(card_mac));
    assert_int_equal(card_get(RAL + 4), 0x80000000U | get_le16(card_mac + 4));
    assert_int_equal(card_get(STATUS) & 0xC3, 0x83); /* 1 Gb/s, link, full duplex */
    card_put(CTRL, card_get(CTRL) | 4);
    assert_false(card_get(STATUS) & 1U << 19); /* bus mastering ends when asked to */
    /* One driver at a time has the semaphore. */
    assert_int_equal(card_get(SWSM) & 1, 0);
    assert_int_equal(card_get(SWSM) & 1, 1);
    card_put(SWSM, 0);
    assert_int_equal(card_get(SWSM) & 1, 0);
}

static void the_phy_answers(void **state)
{
    (void)state;
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 2 << 16) & 0xFFFF, 0x0141);
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 3 << 16) & 0xFFFF, 0x0CB1);
    assert_true(mdic(2U << 26 | 1 << 21 | 1 << 16) & 0x24);     /* negotiated, link */
    assert_true(mdic(2U << 26 | 1 << 21 | 1 << 16) & 1U << 28); /* ready */
    assert_true(mdic(2U << 26 | 2 << 21 | 1 << 16) & 1U << 30); /* nobody at another address */
    mdic(1U << 26 | 1 << 21 | 22 << 16 | 769);                  /* a page of its own */
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 17 << 16) & 0xFFFF, 0);
    mdic(1U << 26 | 1 << 21 | 22 << 16);
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 17 << 16) & 0x8400, 0x8400);
    card_get(ICR);
    mdic(1U << 26 | 1 << 21 | 0 << 16 | 0x1340); /* negotiate anew: the link comes back, and is told */
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 0 << 16) & 0x0200, 0);
    assert_int_equal(card_get(ICR), 1U << 24 | 4);
}

static unsigned asserted(void)
{
    unsigned count = 0;

    for (unsigned n = 0; n < ARRAY_SIZE(card_fake->lines); n++)
        count += card_fake->lines[n];
    return count;
}

static void causes_and_the_pin(void **state)
{
    (void)state;
    card_put(ICS, 4);
    assert_int_equal(asserted(), 0);
    card_put(IMS, 1U << 24 | 4);
    assert_true(asserted());
    assert_int_equal(card_get(ICR), 1U << 31 | 1U << 24 | 4);
    assert_int_equal(asserted(), 0);
    /* Masked causes stay when the guest reads in vain; nothing is lost. */
    card_put(ICS, 0x80);
    assert_int_equal(card_get(ICR), 0x80);
    assert_int_equal(card_get(ICR), 0x80);
    card_put(IMC, UINT32_MAX);
    assert_int_equal(card_get(ICR), 0x80);
    assert_int_equal(card_get(ICR), 0);
    /* "Other" goes with all that it stands for, or it would come back at once (platform contract 6.5). */
    card_put(IMS, 1U << 24 | 4);
    card_put(ICS, 4);
    assert_true(asserted());
    card_put(ICR, 1U << 24);
    assert_int_equal(asserted(), 0);
    card_put(IMC, UINT32_MAX);
    assert_int_equal(card_get(ICR), 0);
}

static void messages_for_each_queue(void **state)
{
    (void)state;
    /* The capability: five vectors, table and pending bits in BAR 3. */
    unsigned at = (unsigned)fake_config_read(card_fake, DEVFN, 0x34, 1);

    while (fake_config_read(card_fake, DEVFN, at, 1) != 0x11)
        at = (unsigned)fake_config_read(card_fake, DEVFN, at + 1, 1);
    assert_int_equal(fake_config_read(card_fake, DEVFN, at + 2, 2) & 0x7FF, 4);
    assert_int_equal(fake_config_read(card_fake, DEVFN, at + 4, 4), 3);
    assert_int_equal(fake_config_read(card_fake, DEVFN, at + 8, 4), 0x2000 | 3);
    /* All vectors masked: a message that is due is a pending bit, which a test can see. */
    fake_config_write(card_fake, DEVFN, at + 2, 2, 0x8000);
    card_put(IVAR, 0x80000000U | (8 | 2) << 16 | (8 | 1) << 8 | 8);
    card_put(EIAC, 1U << 20 | 1U << 22);
    card_put(CTRL_EXT, 1U << 24);
    card_put(IMS, 1U << 20 | 1U << 22 | 1U << 24 | 4);
    card_put(ICS, 1U << 20);
    assert_int_equal(fake_read(card_fake, BUS_MMIO, MSIX + 0x2000, 4), 1);
    assert_int_equal(card_get(ICS) & 1U << 20, 0); /* the message took the cause with it */
    assert_int_equal(card_get(IMS) & 1U << 20, 0); /* and masked it until the driver is through */
    card_put(ICS, 1U << 22);
    assert_int_equal(fake_read(card_fake, BUS_MMIO, MSIX + 0x2000, 4), 3);
    card_put(ICS, 4);
    assert_int_equal(fake_read(card_fake, BUS_MMIO, MSIX + 0x2000, 4), 7);
    assert_int_equal(card_get(ICR) & (1U << 24 | 4), 1U << 24 | 4);
    assert_int_equal(asserted(), 0);
}

static void a_reset_forgets_all_but_the_address(void **state)
{
    (void)state;
    card_start_transmit();
    card_put(RAL, 0x12345678);
    card_make_frame(card_ram(BUFFERS, 40), 40, card_mac);
    card_tx_add(BUFFERS, 40, 0); /* half a frame */
    card_tx_go();
    card_put(CTRL, RST);
    assert_int_equal(card_get(CTRL) & RST, 0);
    assert_int_equal(card_get(RAL), get_le32(card_mac));
    assert_int_equal(card_get(TX + LEN), 0);
    card_tx_tail = 0;
    card_start_transmit();
    card_tx_add(BUFFERS, EOP | 40, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    assert_int_equal(card_wire.sent[0].length, 60); /* the half is gone */
    board_reset(&card_fake->board);
    assert_int_equal(card_get(TCTL), 0);
    assert_int_equal(card_get(RAL), get_le32(card_mac));
}

static void ports_lead_to_the_registers(void **state)
{
    (void)state;
    fake_write(card_fake, BUS_PORT, IO, 4, RAL);
    assert_int_equal(fake_read(card_fake, BUS_PORT, IO + 4, 4), get_le32(card_mac));
    fake_write(card_fake, BUS_PORT, IO, 4, IVAR);
    fake_write(card_fake, BUS_PORT, IO + 4, 4, 0x1234);
    assert_int_equal(card_get(IVAR), 0x1234);
    fake_write(card_fake, BUS_PORT, IO, 4, 0xFFFFFFFF);
    assert_int_equal(fake_read(card_fake, BUS_PORT, IO + 4, 4), 0);
}

/* What no driver does: nothing is sent, nothing hangs, and the card goes on for who comes next. */
static void nonsense_is_borne(void **state)
{
    static const uint32_t lengths[] = {0, 127, 128, 0xFFFFFFFF}, edges[] = {0, 8, 0xFFFF, 0xFFFFFFFF};
    static const uint64_t addresses[] = {UINT64_MAX, UINT64_MAX - 39, 64 * MiB - 1, 64 * MiB, UINT64_C(1) << 63};
    uint8_t frame[100];

    (void)state;
    card_make_frame(frame, sizeof frame, card_mac);
    for (unsigned n = 0; n < ARRAY_SIZE(lengths); n++)
        for (unsigned i = 0; i < ARRAY_SIZE(edges) * ARRAY_SIZE(edges); i++) {
            card_put(TX + BAL, 0xFFFFFFF0);
            card_put(TX + LEN, lengths[n]);
            card_put(TX + HEAD, edges[i % ARRAY_SIZE(edges)]);
            card_put(TCTL, EN);
            card_put(TX + TAIL, edges[i / ARRAY_SIZE(edges)]);
            card_put(RX + BAL, 0xFFFFFFF0);
            card_put(RX + LEN, lengths[n]);
            card_put(RX + HEAD, edges[i % ARRAY_SIZE(edges)]);
            card_put(RX + TAIL, edges[i / ARRAY_SIZE(edges)]);
            card_put(RCTL, EN);
            card_settle();
            card_deliver(frame, sizeof frame);
        }
    card_wire.sent_count = 0;
    card_put(CTRL, RST);
    card_start_transmit();
    for (unsigned n = 0; n < ARRAY_SIZE(addresses); n++) {
        card_tx_add(addresses[n], EOP | RS | 40, 0);
        card_tx_go();
        assert_int_equal(card_wire.sent_count, 0);
        assert_int_equal(card_get(TX + HEAD), card_tx_tail); /* it went by */
    }
    /* More than a frame can hold, in pieces. */
    for (unsigned n = 0; n < 12; n++)
        card_tx_add(BUFFERS, 0xFFFF, 0);
    card_tx_add(BUFFERS, EOP | 10, 0);
    card_tx_go();
    /* Checksums beside the frame, segments of nothing, of something that is not TCP, without a context. */
    card_tx_add(BUFFERS, EOP | 1U << 26 | 255U << 16 | 60, 254 << 8);
    card_add_context(0, true);
    card_tx_add(BUFFERS, DEXT | DATA | TSE | EOP | 54, 3U << 8);
    card_add_context(1, false);
    card_tx_add(BUFFERS, DEXT | DATA | TSE | EOP | 54, 3U << 8);
    card_add_context(UINT16_MAX, true);
    card_tx_add(BUFFERS + 0x10000, DEXT | DATA | TSE | EOP | 54, 3U << 8);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 0);
    card_make_frame(card_ram(BUFFERS, 64), 64, card_mac);
    card_tx_add(BUFFERS, EOP | RS | 64, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    /* Receive buffers that are nowhere. */
    card_start_receive(SECRC, true, 20);
    for (unsigned n = 0; n < ARRAY_SIZE(addresses); n++)
        put_le64(card_ram(RX_RING + n * 16, 8), addresses[n]);
    for (unsigned n = 0; n < ARRAY_SIZE(addresses) + 1; n++)
        assert_true(card_deliver(frame, sizeof frame));
    assert_memory_equal(card_ram(BUFFERS + ARRAY_SIZE(addresses) * 2048, sizeof frame), frame, sizeof frame);
    /* Every register, every width. */
    for (unsigned offset = 0; offset < 0x20000; offset += 0x3FC) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            fake_read(card_fake, BUS_MMIO, BAR + offset, size);
            fake_write(card_fake, BUS_MMIO, BAR + offset, size, UINT64_MAX);
        }
    }
    card_settle();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD_TEST(what_drivers_find_first),
        CARD_TEST(the_phy_answers),
        CARD_TEST(causes_and_the_pin),
        CARD_TEST(messages_for_each_queue),
        CARD_TEST(a_reset_forgets_all_but_the_address),
        CARD_TEST(ports_lead_to_the_registers),
        CARD_TEST(nonsense_is_borne),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
