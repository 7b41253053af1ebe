/* The 82574L, with a test that plays its driver as Linux and Windows are: registers, PHY, interrupts, reset. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_e1000e.h"

/* Where the capability is in configuration space. */
static unsigned capability(unsigned id)
{
    unsigned at = (unsigned)fake_config_read(card_fake, DEVFN, 0x34, 1);

    while (at && fake_config_read(card_fake, DEVFN, at, 1) != id)
        at = (unsigned)fake_config_read(card_fake, DEVFN, at + 1, 1);
    assert_int_not_equal(at, 0);
    return at;
}

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

static unsigned nvm(unsigned word)
{
    card_put(EERD, word << 2 | 1);
    return card_get(EERD) >> 16;
}

/* Platform contract 4.4: on bus 0 an endpoint of another kind than "integrated" has no port above it, and Windows does
 * not start it. What this one says of itself it can do. */
static void the_function_belongs_to_the_root_complex(void **state)
{
    unsigned express = capability(0x10);

    (void)state;
    assert_int_equal(fake_config_read(card_fake, DEVFN, express + 2, 2) >> 4 & 0xF, 9);
    assert_int_equal(fake_config_read(card_fake, DEVFN, express + 4, 4) >> 28 & 1, 0); /* no function-level reset */
    assert_int_equal(fake_config_read(card_fake, DEVFN, express + 12, 4), 0);          /* no link: capabilities, */
    assert_int_equal(fake_config_read(card_fake, DEVFN, express + 16, 4), 0);          /* control and status */
    assert_int_equal(fake_config_read(card_fake, DEVFN, 0x2C, 2), 0x8086);
    assert_int_equal(nvm(0x0C), fake_config_read(card_fake, DEVFN, 0x2C, 2));
    assert_int_equal(nvm(0x0B), fake_config_read(card_fake, DEVFN, 0x2E, 2));
    assert_int_equal(nvm(0x0D), fake_config_read(card_fake, DEVFN, 0x02, 2));
}

static void the_phy_answers(void **state)
{
    (void)state;
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 2 << 16) & 0xFFFF, 0x0141);
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 3 << 16) & 0xFFFF, 0x0CB1);
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 1 << 16) & 0x24, 0x24); /* negotiated, link */
    assert_true(mdic(2U << 26 | 1 << 21 | 1 << 16) & 1U << 28);        /* ready */
    assert_true(mdic(2U << 26 | 2 << 21 | 1 << 16) & 1U << 30);        /* nobody at another address */
    mdic(1U << 26 | 1 << 21 | 22 << 16 | 769);                         /* a page of its own */
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

/* All vectors masked: a message that is due is a pending bit, which a test can see. */
static void turn_messages_on(void)
{
    fake_config_write(card_fake, DEVFN, capability(0x11) + 2, 2, 0x8000);
}

/* The vectors that messages are due for, all of them; they are sent. */
static uint64_t messages(void)
{
    uint64_t pending = fake_read(card_fake, BUS_MMIO, MSIX + 0x2000, 8);

    for (unsigned vector = 0; vector < 5; vector++) {
        fake_write(card_fake, BUS_MMIO, MSIX + 16 * vector + 12, 4, 0);
        fake_write(card_fake, BUS_MMIO, MSIX + 16 * vector + 12, 4, 1);
    }
    return pending;
}

static void messages_for_each_queue(void **state)
{
    /* The capability: five vectors, table and pending bits in BAR 3. */
    unsigned at = capability(0x11);

    (void)state;
    assert_int_equal(fake_config_read(card_fake, DEVFN, at + 2, 2) & 0x7FF, 4);
    assert_int_equal(fake_config_read(card_fake, DEVFN, at + 4, 4), 3);
    assert_int_equal(fake_config_read(card_fake, DEVFN, at + 8, 4), 0x2000 | 3);
    turn_messages_on();
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

#define OTHER (1U << 24)
#define ALL_OTHER (1U << 2 | 1U << 6 | 1U << 9 | 7U << 16)

/*
 * Windows clears "other" and takes that for all that it stands for: link, overrun, MDIO, small packet, acknowledge,
 * manageability (platform contract 6.5). What stayed would be told again, and again.
 */
static void other_causes_are_one_message_each(void **state)
{
    static const unsigned causes[] = {2, 6, 9, 16, 17, 18};

    (void)state;
    turn_messages_on();
    card_put(IVAR, (8 | 2) << 16);
    card_put(IMS, OTHER | ALL_OTHER);
    for (unsigned n = 0; n < ARRAY_SIZE(causes); n++) {
        card_put(ICS, 1U << causes[n]);
        assert_int_equal(card_get(ICS), OTHER | 1U << causes[n]);
        assert_int_equal(messages(), 1U << 2);
        card_put(ICS, 1U << causes[n]); /* nobody has cleared it yet: there is no news */
        assert_int_equal(messages(), 0);
        card_put(ICR, OTHER);
        assert_int_equal(card_get(ICS), 0);
        assert_int_equal(messages(), 0);
    }
    card_put(ICS, ALL_OTHER);
    assert_int_equal(messages(), 1U << 2);
    card_put(ICR, OTHER);
    assert_int_equal(card_get(ICS), 0);
    assert_int_equal(messages(), 0);
    /* Other causes than those are not cleared with them. */
    card_put(ICS, 0x80 | 4);
    assert_int_equal(messages(), 1U << 2);
    card_put(ICR, OTHER);
    assert_int_equal(card_get(ICS), 0x80);
}

/* A mask keeps the message back; it is due once, when the mask goes, and for what has been cleared it is not. */
static void a_masked_cause_is_told_later(void **state)
{
    (void)state;
    turn_messages_on();
    card_put(IVAR, (8 | 2) << 16);
    card_put(IMS, OTHER | ALL_OTHER);
    card_put(IMC, OTHER);
    card_put(ICS, 1U << 6);
    card_put(ICS, 1U << 9);
    assert_int_equal(messages(), 0);
    card_put(IMS, OTHER);
    assert_int_equal(messages(), 1U << 2);
    card_put(IMC, OTHER);
    card_put(ICR, OTHER);
    assert_int_equal(card_get(ICS), 0);
    card_put(IMS, OTHER);
    assert_int_equal(messages(), 0);
    card_put(ICS, 1U << 6);
    assert_int_equal(messages(), 1U << 2);
}

/* IVAR can say 5 to 7, and the table has 0 to 4 (lessons 4.5, row 8). */
static void vectors_that_are_not_in_the_table(void **state)
{
    static const unsigned causes[] = {20, 21, 22, 23, 24};

    (void)state;
    turn_messages_on();
    card_put(IMS, 0x1FU << 20);
    for (unsigned vector = 5; vector < 8; vector++)
        for (unsigned n = 0; n < ARRAY_SIZE(causes); n++) {
            card_put(IVAR, (8 | vector) << 4 * n);
            card_put(ICS, 1U << causes[n]);
            assert_int_equal(messages(), 0);
            assert_int_equal(asserted(), 0);
            card_put(ICR, UINT32_MAX);
            card_put(IVAR, (8 | 4) << 4 * n);
            card_put(ICS, 1U << causes[n]);
            assert_int_equal(messages(), 1U << 4);
            card_put(ICR, UINT32_MAX);
        }
}

/* The BAR is larger than what is in it: what is written there reaches nothing of the card, and nothing of it is read
 * there. */
static void nothing_is_behind_the_last_register(void **state)
{
    (void)state;
    turn_messages_on();
    card_put(IVAR, (8 | 2) << 16);
    card_put(IMS, OTHER);
    for (unsigned offset = 0x6000; offset < 0x20000; offset += 4) {
        card_put(offset, UINT32_MAX);
        assert_int_equal(card_get(offset), 0);
    }
    card_put(ICS, OTHER);
    assert_int_equal(messages(), 1U << 2);
    assert_int_equal(card_get(0x6000), 0);
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

/* Parts can be read, and what is not written as a whole is not written (82574 datasheet, 10.1.2). */
static void ports_in_parts(void **state)
{
    const uint64_t both = (uint64_t)get_le32(card_mac) << 32 | RAL;

    (void)state;
    card_put(IVAR, 0x1234);
    fake_write(card_fake, BUS_PORT, IO, 4, RAL);
    for (unsigned size = 1; size <= 4; size *= 2)
        for (unsigned offset = 0; offset < 32; offset++) {
            uint64_t part = offset < 8 ? both >> 8 * offset & (UINT64_MAX >> (64 - 8 * size)) : 0;

            if (offset + size <= 32)
                assert_int_equal(fake_read(card_fake, BUS_PORT, IO + offset, size), part);
            else /* the rest is nobody's */
                fake_read(card_fake, BUS_PORT, IO + offset, size);
            if (size < 4 || offset % 4 || offset >= 8)
                fake_write(card_fake, BUS_PORT, IO + offset, size, IVAR);
        }
    fake_write(card_fake, BUS_PORT, IO, 4, IVAR);
    for (unsigned size = 1; size <= 2; size *= 2)
        for (unsigned offset = 4; offset + size <= 8; offset++)
            fake_write(card_fake, BUS_PORT, IO + offset, size, UINT32_MAX);
    assert_int_equal(card_get(IVAR), 0x1234);
    assert_int_equal(card_get(RAL), get_le32(card_mac));
    fake_write(card_fake, BUS_PORT, IO + 4, 4, 0x5678);
    assert_int_equal(card_get(IVAR), 0x5678);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD_TEST(what_drivers_find_first),
        CARD_TEST(the_function_belongs_to_the_root_complex),
        CARD_TEST(the_phy_answers),
        CARD_TEST(causes_and_the_pin),
        CARD_TEST(messages_for_each_queue),
        CARD_TEST(other_causes_are_one_message_each),
        CARD_TEST(a_masked_cause_is_told_later),
        CARD_TEST(vectors_that_are_not_in_the_table),
        CARD_TEST(nothing_is_behind_the_last_register),
        CARD_TEST(a_reset_forgets_all_but_the_address),
        CARD_TEST(ports_lead_to_the_registers),
        CARD_TEST(ports_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
