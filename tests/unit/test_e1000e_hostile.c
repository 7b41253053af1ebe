/* What a hostile, broken or hasty driver does to the 82574L: the card does what it is told where that can be, and
 * serves who comes next (lessons 4.5). */
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_e1000e.h"

#define BAR_BYTES 0x20000U
#define REGISTERS_END 0x6000U
#define RAM (64 * MiB)

static bool is_done(unsigned descriptor)
{
    return *card_ram(TX_RING + descriptor * 16 + 12, 1) & 1;
}

/* A driver that comes anew: a frame out, a frame in. */
static void assert_serves(void)
{
    uint8_t frame[64];

    card_put(CTRL, RST);
    card_wire.sent_count = 0;
    card_tx_tail = 0;
    card_start_transmit();
    card_make_frame(card_ram(BUFFERS, 64), 64, card_mac);
    card_tx_add(BUFFERS, EOP | RS | 64, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    assert_int_equal(card_wire.sent[0].length, 64);
    assert_memory_equal(card_wire.sent[0].bytes, card_ram(BUFFERS, 64), 64);
    assert_true(is_done(0));
    card_make_frame(frame, sizeof frame, card_mac);
    memset(card_ram(BUFFERS, 64), 0, 64);
    card_start_receive(SECRC, true, 4);
    assert_true(card_deliver(frame, sizeof frame));
    assert_memory_equal(card_ram(BUFFERS, 64), frame, 64);
    assert_int_equal(card_get(RX + HEAD), 1);
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
    assert_serves();
}

/* Every offset of the BAR at every size, to its end and over it (row 22). Only whole words are written. */
static void every_register_at_every_size(void **state)
{
    uint32_t status = card_get(STATUS);

    (void)state;
    assert_int_equal(fake_read(card_fake, BUS_MMIO, BAR + STATUS + 1, 1), status >> 8 & 0xFF);
    assert_int_equal(fake_read(card_fake, BUS_MMIO, BAR + STATUS + 1, 2), status >> 8 & 0xFFFF);
    assert_int_equal(fake_read(card_fake, BUS_MMIO, BAR + STATUS - 2, 4), status << 16 | card_get(STATUS - 4) >> 16);
    card_put(IVAR, 0x1234);
    for (unsigned n = 0; n < 4; n++) {
        fake_write(card_fake, BUS_MMIO, BAR + IVAR + n, 1, UINT64_MAX);
        fake_write(card_fake, BUS_MMIO, BAR + IVAR + n - 1, 2, UINT64_MAX);
        if (n)
            fake_write(card_fake, BUS_MMIO, BAR + IVAR + n - 4, 4, UINT64_MAX);
    }
    assert_int_equal(card_get(IVAR), 0x1234);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned offset = 0; offset < BAR_BYTES; offset++) {
            uint64_t value = fake_read(card_fake, BUS_MMIO, BAR + offset, size);

            if (offset >= REGISTERS_END && offset + size <= BAR_BYTES)
                assert_int_equal(value, 0);
            fake_write(card_fake, BUS_MMIO, BAR + offset, size, UINT64_MAX);
        }
    card_settle();
    assert_serves();
}

/* What happens while the card hands a frame over, on its own thread. */
static const struct net_backend_ops *plain_ops;
static struct net_backend_ops hooked_ops;
static void (*while_sending)(void);

static void send_hooked(struct net_backend *backend, const uint8_t *header, const uint8_t *frame, size_t length)
{
    plain_ops->send(backend, header, frame, length);
    while_sending();
}

static void hook_sending(void (*hook)(void))
{
    plain_ops = card_wire.backend.ops;
    hooked_ops = *plain_ops;
    hooked_ops.send = send_hooked;
    while_sending = hook;
    card_wire.backend.ops = &hooked_ops;
}

static void unhook_sending(void)
{
    card_settle();
    card_wire.backend.ops = plain_ops;
}

static uint8_t *memory_then;

static void reset_at_the_third_frame(void)
{
    if (card_wire.sent_count != 3)
        return;
    card_put(CTRL, RST);
    memcpy(memory_then, card_ram(0, RAM), RAM);
}

/* Row 11: what CTRL.RST leaves of the frames on their way is the one that is out already. */
static void a_reset_while_frames_are_sent(void **state)
{
    uint8_t frame[64];

    (void)state;
    memory_then = malloc(RAM);
    assert_non_null(memory_then);
    card_make_frame(frame, sizeof frame, card_mac);
    card_start_receive(SECRC, true, 4);
    card_start_transmit();
    memcpy(card_ram(BUFFERS, 64), frame, 64);
    for (unsigned n = 0; n < 8; n++)
        card_tx_add(BUFFERS, EOP | RS | 64, 0);
    hook_sending(reset_at_the_third_frame);
    card_tx_go();
    unhook_sending();
    assert_int_equal(card_wire.sent_count, 3);
    for (unsigned n = 0; n < 8; n++)
        assert_int_equal(is_done(n), n < 2);
    assert_true(card_deliver(frame, sizeof frame)); /* lost: nobody listens */
    assert_int_equal(memcmp(memory_then, card_ram(0, RAM), RAM), 0);
    assert_int_equal(card_get(ICR), 0); /* causes of another life are nobody's */
    assert_int_equal(card_get(GPTC), 0);
    assert_int_equal(card_get(TX + HEAD), 0);
    free(memory_then);
    assert_serves();
}

#define SECOND_RING (TX_RING + 0x1000)

static void start_anew_at_the_third_frame(void)
{
    if (card_wire.sent_count != 3)
        return;
    card_put(CTRL, RST);
    card_put(TX + BAL, SECOND_RING);
    card_put(TX + LEN, RING * 16);
    card_put(TCTL, EN);
    card_put(TX + TAIL, 2);
}

/* A driver that does not wait: what it has put into its new ring goes out, and nothing of the old one is touched. */
static void a_driver_that_starts_anew_while_frames_are_sent(void **state)
{
    (void)state;
    card_start_transmit();
    card_make_frame(card_ram(BUFFERS, 64), 64, card_mac);
    card_make_frame(card_ram(BUFFERS + 0x1000, 80), 80, card_mac);
    for (unsigned n = 0; n < 8; n++)
        card_tx_add(BUFFERS, EOP | RS | 64, 0);
    memset(card_ram(SECOND_RING, RING * 16), 0, RING * 16);
    for (unsigned n = 0; n < 2; n++) {
        put_le64(card_ram(SECOND_RING + 16 * n, 16), BUFFERS + 0x1000);
        put_le32(card_ram(SECOND_RING + 16 * n + 8, 4), EOP | RS | 80);
    }
    hook_sending(start_anew_at_the_third_frame);
    card_tx_go();
    unhook_sending();
    assert_int_equal(card_wire.sent_count, 5);
    for (unsigned n = 0; n < 5; n++)
        assert_int_equal(card_wire.sent[n].length, n < 3 ? 64 : 80);
    for (unsigned n = 0; n < 8; n++)
        assert_int_equal(is_done(n), n < 2);
    assert_int_equal(*card_ram(SECOND_RING + 12, 1) & 1, 1);
    assert_int_equal(*card_ram(SECOND_RING + 28, 1) & 1, 1);
    assert_int_equal(card_get(TX + HEAD), 2);
    assert_int_equal(card_get(GPTC), 2);
    assert_serves();
}

#define MANY 5000U

static void refill(void)
{
    if (card_wire.sent_count < MANY)
        card_put(TX + TAIL, (card_get(TX + HEAD) + RING - 1) % RING);
}

/* Other work of the card's loop, which has its turn again and again and looks at what was sent meanwhile. */
static struct other_work {
    struct loop_task task;
    unsigned seen, most;
    sem_t over;
} other_work;

static void look(void *opaque)
{
    struct other_work *work = opaque;
    unsigned sent = card_wire.sent_count;

    work->most = MAX(work->most, sent - work->seen);
    work->seen = sent;
    if (sent < MANY)
        loop_post(card_wire.loop, &work->task);
    else
        sem_post(&work->over);
}

/* Row 12: a ring that is full again after each frame has its turns, two bursts at most, and no more. */
static void a_ring_refilled_as_fast_as_it_is_served(void **state)
{
    (void)state;
    other_work = (struct other_work){.task = {.run = look, .opaque = &other_work}};
    sem_init(&other_work.over, 0, 0);
    card_start_transmit();
    card_make_frame(card_ram(BUFFERS, 64), 64, card_mac);
    for (unsigned n = 0; n < RING; n++)
        card_tx_add(BUFFERS, EOP | RS | 64, 0);
    card_tx_tail = RING - 1;
    hook_sending(refill);
    loop_post(card_wire.loop, &other_work.task);
    card_put(TX + TAIL, RING - 1);
    sem_wait(&other_work.over);
    unhook_sending();
    assert_in_range(other_work.most, RING, 512); /* it was refilled within a turn, and the turn ended */
    sem_destroy(&other_work.over);
    assert_serves();
}

/* Row 25: nothing is said by a descriptor of no length, and it is served all the same. */
static void descriptors_of_no_length(void **state)
{
    static const uint32_t alone[] = {EOP | RS, EOP | RS | 1U << 26, DEXT | DATA | EOP | RS,
                                     DEXT | DATA | TSE | EOP | RS, EOP | RS | VLE};

    (void)state;
    card_start_transmit();
    for (unsigned n = 0; n < ARRAY_SIZE(alone); n++) {
        card_tx_add(BUFFERS, alone[n], 3U << 8);
        card_tx_go();
        assert_int_equal(card_get(TX + HEAD), card_tx_tail);
        assert_true(is_done(n));
    }
    assert_int_equal(card_wire.sent_count, 0);
    /* Between the pieces of a frame, wherever it points. */
    card_make_frame(card_ram(BUFFERS, 64), 64, card_mac);
    card_tx_add(UINT64_MAX, 0, 0);
    card_tx_add(BUFFERS, 30, 0);
    card_tx_add(RAM, RS, 0);
    card_tx_add(BUFFERS + 30, 34, 0);
    card_tx_add(0, EOP | RS, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 1);
    assert_int_equal(card_wire.sent[0].length, 64);
    assert_memory_equal(card_wire.sent[0].bytes, card_ram(BUFFERS, 64), 64);
    /* A ring full of them, over and over: each is taken once. */
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned n = 0; n < RING - 1; n++)
            card_tx_add(BUFFERS, RS, 0);
        card_tx_go();
        assert_int_equal(card_get(TX + HEAD), card_tx_tail);
    }
    card_tx_add(BUFFERS, EOP | RS | 64, 0);
    card_tx_go();
    assert_int_equal(card_wire.sent_count, 2);
    assert_int_equal(card_wire.sent[1].length, 64);
    assert_serves();
}

/* Row 28: address 0 is memory like any other, and a ring is none when it has no length. */
static void rings_at_address_zero(void **state)
{
    static const uint8_t nothing[RING * 16];
    uint8_t frame[64];

    (void)state;
    card_make_frame(frame, sizeof frame, card_mac);
    memcpy(card_ram(BUFFERS, 64), frame, 64);
    memset(card_ram(0, RING * 16), 0, RING * 16);
    card_put(TCTL, EN); /* all else is as at power-on */
    card_put(TX + TAIL, 1);
    card_put(RCTL, EN | SECRC);
    card_put(RX + TAIL, 1);
    card_settle();
    assert_true(card_deliver(frame, sizeof frame));
    assert_int_equal(card_wire.sent_count, 0);
    assert_int_equal(card_get(TX + HEAD), 0);
    assert_memory_equal(card_ram(0, RING * 16), nothing, RING * 16);
    put_le64(card_ram(0, 16), BUFFERS);
    put_le32(card_ram(8, 4), EOP | RS | 64);
    card_put(TX + LEN, RING * 16);
    card_put(TX + TAIL, 1);
    card_settle();
    assert_int_equal(card_wire.sent_count, 1);
    assert_memory_equal(card_wire.sent[0].bytes, frame, 64);
    assert_int_equal(*card_ram(12, 1) & 1, 1);
    memset(card_ram(0, 16), 0, 16);
    put_le64(card_ram(0, 16), BUFFERS + 0x1000);
    card_put(RX + LEN, RING * 16);
    assert_true(card_deliver(frame, sizeof frame));
    assert_memory_equal(card_ram(BUFFERS + 0x1000, 64), frame, 64);
    assert_int_equal(card_get(RX + HEAD), 1);
    assert_serves();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD_TEST(nonsense_is_borne),
        CARD_TEST(every_register_at_every_size),
        CARD_TEST(a_reset_while_frames_are_sent),
        CARD_TEST(a_driver_that_starts_anew_while_frames_are_sent),
        CARD_TEST(a_ring_refilled_as_fast_as_it_is_served),
        CARD_TEST(descriptors_of_no_length),
        CARD_TEST(rings_at_address_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
