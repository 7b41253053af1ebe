/* The 82574L, with a test that plays its driver as Linux and Windows are: rings, offloads, filters, interrupts. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/e1000e.h"
#include "casement/net_offload.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake.h"

#define SLOT 4
#define DEVFN (SLOT << 3)
#define BAR 0xF0000000U
#define IO 0xC000U
#define MSIX 0xF0100000U
#define TX_RING 0x10000U
#define RX_RING 0x20000U
#define BUFFERS 0x100000U
#define RING 32U
#define SENT_MAX 64U

enum {
    CTRL = 0x00,
    STATUS = 0x08,
    EERD = 0x14,
    CTRL_EXT = 0x18,
    MDIC = 0x20,
    ICR = 0xC0,
    ICS = 0xC8,
    IMS = 0xD0,
    IMC = 0xD8
};
enum {
    EIAC = 0xDC,
    IVAR = 0xE4,
    RCTL = 0x100,
    TCTL = 0x400,
    RX = 0x2800,
    TX = 0x3800,
    BAL = 0,
    LEN = 8,
    HEAD = 16,
    TAIL = 24
};
enum {
    GPRC = 0x4074,
    GPTC = 0x4080,
    GOTCL = 0x4090,
    GORCL = 0x4088,
    RFCTL = 0x5008,
    MTA = 0x5200,
    RAL = 0x5400,
    VFTA = 0x5600,
    SWSM = 0x5B50
};
#define EN 2U
#define BAM (1U << 15)
#define SECRC (1U << 26)
#define VME (1U << 30)
#define RST (1U << 26)
#define EOP (1U << 24)
#define RS (1U << 27)
#define DEXT (1U << 29)
#define DATA (1U << 20)
#define TSE (1U << 26)
#define VLE (1U << 30)

static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x11, 0x22, 0x33};

/* The world behind the card. */
static struct wire {
    struct net_backend backend; /* first */
    struct loop *loop;
    struct net_card card;
    struct {
        size_t length;
        uint8_t bytes[2048];
    } sent[SENT_MAX];
    unsigned sent_count, ready;
    uint8_t header[NET_VNET_BYTES]; /* of the last frame with work left */
    const uint8_t *frame;
    size_t length;
    bool taken;
} wire;

static struct fake *fake;
static struct net_counters counters;
static unsigned tx_tail;

static int attach(struct net_backend *backend, struct loop *loop, const struct net_card *card)
{
    (void)backend;
    wire.loop = loop;
    wire.card = *card;
    return 0;
}

static void detach(struct net_backend *backend)
{
    (void)backend;
}

static void send_frame(struct net_backend *backend, const uint8_t *frame, size_t length)
{
    (void)backend;
    if (wire.sent_count < SENT_MAX && length <= sizeof wire.sent->bytes) {
        wire.sent[wire.sent_count].length = length;
        memcpy(wire.sent[wire.sent_count].bytes, frame, length);
    }
    wire.sent_count++;
}

static void send_vnet(struct net_backend *backend, const uint8_t *header, const uint8_t *frame, size_t length)
{
    memcpy(wire.header, header, sizeof wire.header);
    send_frame(backend, frame, length);
}

static void ready(struct net_backend *backend)
{
    (void)backend;
    wire.ready++;
}

static void nothing(void *opaque)
{
    (void)opaque;
}

/* Until the card has done what was posted to its loop, and what that posted. */
static void settle(void)
{
    for (unsigned n = 0; n < 20; n++)
        loop_call(wire.loop, nothing, NULL);
}

static uint32_t get(unsigned offset)
{
    return (uint32_t)fake_read(fake, BUS_MMIO, BAR + offset, 4);
}

static void put(unsigned offset, uint32_t value)
{
    fake_write(fake, BUS_MMIO, BAR + offset, 4, value);
}

static uint8_t *ram(uint64_t at, size_t length)
{
    uint8_t *bytes = memory_at(fake->board.memory, at, length);

    assert_non_null(bytes);
    return bytes;
}

static void create(const struct net_backend_ops *ops)
{
    struct net_card_options options = {.backend = &wire.backend, .counters = &counters, .slot = SLOT};
    struct error error = {""};

    memset(&wire, 0, sizeof wire);
    memset(&counters, 0, sizeof counters);
    wire.backend = (struct net_backend){.ops = ops, .mtu = 1500};
    memcpy(options.mac, mac, 6);
    fake = fake_create(0);
    assert_int_equal(pci_bus_create(&fake->board, &fake->board.pci), 0);
    assert_int_equal(e1000e_create(&fake->board, &options, &error), 0);
    fake_config_write(fake, DEVFN, 0x10, 4, BAR);
    fake_config_write(fake, DEVFN, 0x18, 4, IO);
    fake_config_write(fake, DEVFN, 0x1C, 4, MSIX);
    fake_config_write(fake, DEVFN, 0x04, 2, 7);
    tx_tail = 0;
}

static int set_up(void **state)
{
    static const struct net_backend_ops ops = {.attach = attach, .detach = detach, .send = send_frame, .ready = ready};

    (void)state;
    create(&ops);
    return 0;
}

/* Before a world that finishes frames itself. */
static int set_up_vnet(void **state)
{
    static const struct net_backend_ops ops = {
        .attach = attach, .detach = detach, .send = send_frame, .send_vnet = send_vnet, .ready = ready};

    (void)state;
    create(&ops);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_destroy(fake);
    return 0;
}

static void start_transmit(void)
{
    memset(ram(TX_RING, RING * 16), 0, RING * 16);
    put(TX + BAL, TX_RING);
    put(TX + LEN, RING * 16);
    put(TX + HEAD, 0);
    put(TX + TAIL, 0);
    put(TCTL, EN | 8);
}

/* A descriptor; the tail is moved by tx_go(). */
static uint8_t *tx_add(uint64_t address, uint32_t command, uint32_t options)
{
    uint8_t *descriptor = ram(TX_RING + tx_tail * 16, 16);

    put_le64(descriptor, address);
    put_le32(descriptor + 8, command);
    put_le32(descriptor + 12, options);
    tx_tail = (tx_tail + 1) % RING;
    return descriptor;
}

static void tx_go(void)
{
    put(TX + TAIL, tx_tail);
    settle();
}

static void start_receive(uint32_t control, bool extended, unsigned buffers)
{
    for (unsigned n = 0; n < RING; n++) {
        put_le64(ram(RX_RING + n * 16, 16), BUFFERS + n * 2048);
        put_le64(ram(RX_RING + n * 16, 16) + 8, 0);
    }
    put(RFCTL, extended ? 1U << 15 : 0);
    put(RX + BAL, RX_RING);
    put(RX + LEN, RING * 16);
    put(RX + HEAD, 0);
    put(RX + TAIL, buffers);
    put(RCTL, control | EN);
    settle();
}

static void arrive(void *opaque)
{
    (void)opaque;
    wire.taken = wire.card.receive(wire.card.opaque, wire.frame, wire.length);
}

static bool deliver(const uint8_t *frame, size_t length)
{
    wire.frame = frame;
    wire.length = length;
    loop_call(wire.loop, arrive, NULL);
    return wire.taken;
}

static void make_frame(uint8_t *frame, size_t length, const uint8_t *to)
{
    for (size_t n = 0; n < length; n++)
        frame[n] = (uint8_t)(n * 7);
    memcpy(frame, to, 6);
    put_be16(frame + 12, 0x0800);
}

/* An IPv4 TCP frame whose checksums are what a stack leaves for the card: 0, and the pseudo header's. */
static void make_tcp(uint8_t *frame, size_t length, bool for_segments)
{
    uint8_t *ip = frame + 14, *tcp = ip + 20;
    uint32_t sum;

    make_frame(frame, length, mac);
    memset(ip, 0, 40);
    ip[0] = 0x45;
    put_be16(ip + 2, (uint16_t)(length - 14));
    ip[8] = 64;
    ip[9] = 6;
    put_be32(ip + 12, 0x0A000201);
    put_be32(ip + 16, 0x0A000202);
    tcp[12] = 5 << 4;
    tcp[13] = 0x18;
    sum = net_sum(ip + 12, 8, 6 + (for_segments ? 0 : (uint32_t)(length - 34)));
    put_be16(tcp + 16, (uint16_t)~net_fold(sum));
}

static bool sums_are_right(const uint8_t *frame, size_t length)
{
    const uint8_t *ip = frame + 14;
    uint32_t tcp_length = (uint32_t)get_be16(ip + 2) - 20;

    assert_true(34 + tcp_length <= length);
    return net_fold(net_sum(ip, 20, 0)) == 0 &&
           net_fold(net_sum(ip + 20, tcp_length, net_sum(ip + 12, 8, 6 + tcp_length))) == 0;
}

static uint32_t mdic(uint32_t request)
{
    put(MDIC, request);
    return get(MDIC);
}

static void what_drivers_find_first(void **state)
{
    uint16_t sum = 0;

    (void)state;
    assert_int_equal(fake_config_read(fake, DEVFN, 0, 4), 0x10D38086);
    assert_int_equal(fake_config_read(fake, DEVFN, 9, 3), 0x020000);
    for (unsigned word = 0; word < 64; word++) {
        put(EERD, word << 2 | 1);
        assert_true(get(EERD) & 2);
        if (word < 3)
            assert_int_equal(get(EERD) >> 16, get_le16(mac + 2 * word));
        sum = (uint16_t)(sum + (get(EERD) >> 16));
    }
    assert_int_equal(sum, 0xBABA);
    put(EERD, 0x3FFFU << 2 | 1);
    assert_int_equal(get(EERD) >> 16, 0xFFFF);
    assert_int_equal(get(RAL), get_le32(mac));
    assert_int_equal(get(RAL + 4), 0x80000000U | get_le16(mac + 4));
    assert_int_equal(get(STATUS) & 0xC3, 0x83); /* 1 Gb/s, link, full duplex */
    put(CTRL, get(CTRL) | 4);
    assert_false(get(STATUS) & 1U << 19); /* bus mastering ends when asked to */
    /* One driver at a time has the semaphore. */
    assert_int_equal(get(SWSM) & 1, 0);
    assert_int_equal(get(SWSM) & 1, 1);
    put(SWSM, 0);
    assert_int_equal(get(SWSM) & 1, 0);
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
    get(ICR);
    mdic(1U << 26 | 1 << 21 | 0 << 16 | 0x1340); /* negotiate anew: the link comes back, and is told */
    assert_int_equal(mdic(2U << 26 | 1 << 21 | 0 << 16) & 0x0200, 0);
    assert_int_equal(get(ICR), 1U << 24 | 4);
}

static void a_legacy_frame_goes_out(void **state)
{
    uint8_t *descriptor;

    (void)state;
    start_transmit();
    make_frame(ram(BUFFERS, 40), 40, mac);
    descriptor = tx_add(BUFFERS, EOP | RS | 40, 0);
    tx_go();
    assert_int_equal(wire.sent_count, 1);
    assert_int_equal(wire.sent[0].length, 60);
    assert_memory_equal(wire.sent[0].bytes, ram(BUFFERS, 40), 40);
    assert_int_equal(descriptor[12] & 1, 1);
    assert_int_equal(get(TX + HEAD), 1);
    assert_int_equal(get(ICR), 1U << 22 | 3); /* TXQ0, written back, queue empty */
    assert_int_equal(get(GPTC), 1);
    assert_int_equal(get(GPTC), 0); /* reading clears */
    assert_int_equal(counters.transmitted_packets, 1);
}

static void a_legacy_checksum(void **state)
{
    (void)state;
    start_transmit();
    make_tcp(ram(BUFFERS, 100), 100, false);
    put_be16(ram(BUFFERS, 100) + 24, net_fold(net_sum(ram(BUFFERS, 100) + 14, 20, 0)));
    tx_add(BUFFERS, EOP | 1U << 26 | (14 + 20 + 16) << 16 | 100, 34 << 8);
    tx_go();
    assert_int_equal(wire.sent_count, 1);
    assert_true(sums_are_right(wire.sent[0].bytes, 100));
}

static void add_context(unsigned segment_size, bool tcp)
{
    uint8_t *context = tx_add(0, DEXT | (tcp ? 1U << 24 : 0) | 3U << 25, 0);

    context[0] = 14;
    context[1] = 14 + 10;
    put_le16(context + 2, 33);
    context[4] = 34;
    context[5] = 34 + 16;
    put_le16(context + 6, 0);
    context[13] = 54;
    put_le16(context + 14, (uint16_t)segment_size);
}

static void checksums_by_context(void **state)
{
    (void)state;
    start_transmit();
    make_tcp(ram(BUFFERS, 200), 200, false);
    add_context(0, true);
    /* The headers and the rest in two pieces; the first says which sums, the last that it ends. */
    tx_add(BUFFERS, DEXT | DATA | 54, 3U << 8);
    tx_add(BUFFERS + 54, DEXT | DATA | EOP | RS | 146, 0);
    tx_go();
    assert_int_equal(wire.sent_count, 1);
    assert_int_equal(wire.sent[0].length, 200);
    assert_true(sums_are_right(wire.sent[0].bytes, 200));
}

static void a_large_frame_is_cut(void **state)
{
    size_t total = 0;

    (void)state;
    start_transmit();
    make_tcp(ram(BUFFERS, 54 + 3000), 54 + 3000, true);
    add_context(1460, true);
    tx_add(BUFFERS, DEXT | DATA | TSE | 54, 3U << 8);
    tx_add(BUFFERS + 54, DEXT | DATA | TSE | EOP | RS | 3000, 0);
    tx_go();
    assert_int_equal(wire.sent_count, 3);
    for (unsigned n = 0; n < 3; n++) {
        assert_true(sums_are_right(wire.sent[n].bytes, wire.sent[n].length));
        assert_int_equal(get_be32(wire.sent[n].bytes + 38), total);
        assert_memory_equal(wire.sent[n].bytes + 54, ram(BUFFERS + 54 + total, 1), wire.sent[n].length - 54);
        total += wire.sent[n].length - 54;
    }
    assert_int_equal(total, 3000);
    assert_int_equal(get(GPTC), 3);
}

/* Windows' stack leaves out the length where the card is to cut; the next one needs it. */
static void a_large_frame_is_left_to_a_world_that_takes_it(void **state)
{
    const uint8_t *frame = wire.sent[0].bytes;

    (void)state;
    start_transmit();
    make_tcp(ram(BUFFERS, 54 + 1700), 54 + 1700, true);
    put_be16(ram(BUFFERS + 16, 2), 0);
    add_context(800, true);
    tx_add(BUFFERS, DEXT | DATA | TSE | EOP | RS | 1754, 3U << 8);
    tx_go();
    assert_int_equal(wire.sent_count, 1);
    assert_memory_equal(wire.header, ((const uint8_t[]){1, 1, 54, 0, 800 & 0xFF, 800 >> 8, 34, 0, 16, 0}), 10);
    assert_int_equal(wire.sent[0].length, 1754);
    assert_int_equal(get_be16(frame + 16), 1740);
    assert_int_equal(net_fold(net_sum(frame + 14, 20, 0)), 0);
    assert_int_equal(get_be16(frame + 50), (uint16_t)~net_fold(net_sum(frame + 26, 8, 6 + 1720)));
    assert_int_equal(get(GPTC), 3);
    assert_int_equal(get(GOTCL), 1754 + 2 * 54);
    /* What the card can sum itself it does. */
    make_tcp(ram(BUFFERS, 200), 200, false);
    add_context(0, true);
    tx_add(BUFFERS, DEXT | DATA | EOP | RS | 200, 3U << 8);
    tx_go();
    assert_true(sums_are_right(wire.sent[1].bytes, 200));
}

static void a_tag_is_put_in(void **state)
{
    (void)state;
    start_transmit();
    put(CTRL, get(CTRL) | VME);
    make_tcp(ram(BUFFERS, 100), 100, false);
    add_context(0, true);
    tx_add(BUFFERS, DEXT | DATA | EOP | VLE | 100, 3U << 8 | 0x2042U << 16);
    tx_go();
    assert_int_equal(wire.sent[0].length, 104);
    assert_int_equal(get_be32(wire.sent[0].bytes + 12), 0x81002042);
    memmove(wire.sent[0].bytes + 12, wire.sent[0].bytes + 16, 88);
    assert_true(sums_are_right(wire.sent[0].bytes, 100));
}

static void frames_arrive(void **state)
{
    uint8_t frame[1514], *descriptor = ram(RX_RING, 16);

    (void)state;
    make_frame(frame, sizeof frame, mac);
    assert_true(deliver(frame, sizeof frame)); /* nobody listens yet: lost */
    start_receive(SECRC, true, 2);
    assert_true(wire.ready > 0);
    assert_true(deliver(frame, sizeof frame));
    assert_memory_equal(ram(BUFFERS, sizeof frame), frame, sizeof frame);
    assert_int_equal(get_le32(descriptor + 8), 1 | 2 | 4);
    assert_int_equal(get_le16(descriptor + 12), sizeof frame);
    assert_int_equal(get(RX + HEAD), 1);
    assert_int_equal(get(ICR) & (1U << 20 | 0x80), 1U << 20 | 0x80);
    assert_true(deliver(frame, 60));
    /* Head meets tail: what comes now waits outside, and is asked for when buffers are back. */
    assert_false(deliver(frame, 60));
    wire.ready = 0;
    put(RX + TAIL, 3);
    settle();
    assert_true(wire.ready > 0);
    assert_true(deliver(frame, 60));
    assert_int_equal(get(GPRC), 3);
    assert_int_equal(get(GORCL), sizeof frame + 120);
    assert_int_equal(counters.received_packets, 3);
}

static void legacy_descriptors_and_the_frame_check_sequence(void **state)
{
    uint8_t frame[42], filled[60] = {0}, *descriptor = ram(RX_RING, 16);

    (void)state;
    make_frame(frame, sizeof frame, mac);
    memcpy(filled, frame, sizeof frame);
    start_receive(0, false, 4);
    assert_true(deliver(frame, sizeof frame));
    assert_int_equal(get_le16(descriptor + 8), 64);
    assert_int_equal(descriptor[12], 1 | 2 | 4);
    assert_int_equal(descriptor[13], 0);
    assert_int_equal(get_le64(descriptor), BUFFERS);
    assert_memory_equal(ram(BUFFERS, 60), filled, 60);
    assert_int_equal(get_le32(ram(BUFFERS + 60, 4)), crc32(0, filled, 60));
}

static void a_long_frame_takes_several_buffers(void **state)
{
    uint8_t frame[1000];

    (void)state;
    make_frame(frame, sizeof frame, mac);
    start_receive(SECRC | 2U << 16, true, 1); /* 512 bytes each */
    assert_false(deliver(frame, sizeof frame));
    put(RX + TAIL, 2);
    assert_true(deliver(frame, sizeof frame));
    assert_int_equal(get_le32(ram(RX_RING + 8, 4)), 1 | 4);
    assert_int_equal(get_le16(ram(RX_RING + 12, 2)), 512);
    assert_int_equal(get_le32(ram(RX_RING + 24, 4)), 1 | 2 | 4);
    assert_int_equal(get_le16(ram(RX_RING + 28, 2)), 488);
    assert_memory_equal(ram(BUFFERS + 2048, 488), frame + 512, 488);
}

static void only_what_was_asked_for(void **state)
{
    static const uint8_t other[6] = {2, 2, 3, 4, 5, 6}, group[6] = {1, 0, 0x5E, 0, 0, 0xFB},
                         all[6] = {255, 255, 255, 255, 255, 255};
    uint8_t frame[100];
    unsigned hash = (0xFBU << 8 | 0x00) >> 4;

    (void)state;
    start_receive(SECRC, true, 20);
    make_frame(frame, sizeof frame, other);
    deliver(frame, sizeof frame);
    make_frame(frame, sizeof frame, group);
    deliver(frame, sizeof frame);
    make_frame(frame, sizeof frame, all);
    deliver(frame, sizeof frame);
    assert_int_equal(get(RX + HEAD), 0);
    put(MTA + (hash >> 5) * 4, 1U << (hash & 31));
    make_frame(frame, sizeof frame, group);
    deliver(frame, sizeof frame);
    assert_int_equal(get(RX + HEAD), 1);
    put(RCTL, EN | SECRC | BAM | 1 << 3);
    make_frame(frame, sizeof frame, all);
    deliver(frame, sizeof frame);
    make_frame(frame, sizeof frame, other);
    deliver(frame, sizeof frame);
    assert_int_equal(get(RX + HEAD), 3);
    /* A second address of its own. */
    put(RCTL, EN | SECRC);
    put(RAL + 8, get_le32(other));
    put(RAL + 12, 0x80000000U | get_le16(other + 4));
    deliver(frame, sizeof frame);
    assert_int_equal(get(RX + HEAD), 4);
    /* Longer than Ethernet's frames only when asked for. */
    uint8_t giant[2000];
    make_frame(giant, sizeof giant, mac);
    deliver(giant, sizeof giant);
    assert_int_equal(get(RX + HEAD), 4);
    put(RCTL, EN | SECRC | 1 << 5);
    deliver(giant, sizeof giant);
    assert_int_equal(get(RX + HEAD), 5);
}

static void a_tag_is_taken_out(void **state)
{
    uint8_t frame[104];

    (void)state;
    make_frame(frame, sizeof frame, mac);
    put_be32(frame + 12, 0x81006123);
    start_receive(SECRC | 1U << 18, true, 8);
    put(CTRL, get(CTRL) | VME);
    deliver(frame, sizeof frame);
    assert_int_equal(get(RX + HEAD), 0); /* not a network that the guest is in */
    put(VFTA + (0x123 >> 5) * 4, 1U << (0x123 & 31));
    deliver(frame, sizeof frame);
    assert_int_equal(get_le32(ram(RX_RING + 8, 4)), 1 | 2 | 4 | 8);
    assert_int_equal(get_le16(ram(RX_RING + 12, 2)), 100);
    assert_int_equal(get_le16(ram(RX_RING + 14, 2)), 0x6123);
    assert_memory_equal(ram(BUFFERS, 12), frame, 12);
    assert_memory_equal(ram(BUFFERS + 12, 88), frame + 16, 88);
}

static unsigned asserted(void)
{
    unsigned count = 0;

    for (unsigned n = 0; n < ARRAY_SIZE(fake->lines); n++)
        count += fake->lines[n];
    return count;
}

static void causes_and_the_pin(void **state)
{
    (void)state;
    put(ICS, 4);
    assert_int_equal(asserted(), 0);
    put(IMS, 1U << 24 | 4);
    assert_true(asserted());
    assert_int_equal(get(ICR), 1U << 31 | 1U << 24 | 4);
    assert_int_equal(asserted(), 0);
    /* Masked causes stay when the guest reads in vain; nothing is lost. */
    put(ICS, 0x80);
    assert_int_equal(get(ICR), 0x80);
    assert_int_equal(get(ICR), 0x80);
    put(IMC, UINT32_MAX);
    assert_int_equal(get(ICR), 0x80);
    assert_int_equal(get(ICR), 0);
    /* "Other" goes with all that it stands for, or it would come back at once (platform contract 6.5). */
    put(IMS, 1U << 24 | 4);
    put(ICS, 4);
    assert_true(asserted());
    put(ICR, 1U << 24);
    assert_int_equal(asserted(), 0);
    put(IMC, UINT32_MAX);
    assert_int_equal(get(ICR), 0);
}

static void messages_for_each_queue(void **state)
{
    (void)state;
    /* The capability: five vectors, table and pending bits in BAR 3. */
    unsigned at = (unsigned)fake_config_read(fake, DEVFN, 0x34, 1);

    while (fake_config_read(fake, DEVFN, at, 1) != 0x11)
        at = (unsigned)fake_config_read(fake, DEVFN, at + 1, 1);
    assert_int_equal(fake_config_read(fake, DEVFN, at + 2, 2) & 0x7FF, 4);
    assert_int_equal(fake_config_read(fake, DEVFN, at + 4, 4), 3);
    assert_int_equal(fake_config_read(fake, DEVFN, at + 8, 4), 0x2000 | 3);
    /* All vectors masked: a message that is due is a pending bit, which a test can see. */
    fake_config_write(fake, DEVFN, at + 2, 2, 0x8000);
    put(IVAR, 0x80000000U | (8 | 2) << 16 | (8 | 1) << 8 | 8);
    put(EIAC, 1U << 20 | 1U << 22);
    put(CTRL_EXT, 1U << 24);
    put(IMS, 1U << 20 | 1U << 22 | 1U << 24 | 4);
    put(ICS, 1U << 20);
    assert_int_equal(fake_read(fake, BUS_MMIO, MSIX + 0x2000, 4), 1);
    assert_int_equal(get(ICS) & 1U << 20, 0); /* the message took the cause with it */
    assert_int_equal(get(IMS) & 1U << 20, 0); /* and masked it until the driver is through */
    put(ICS, 1U << 22);
    assert_int_equal(fake_read(fake, BUS_MMIO, MSIX + 0x2000, 4), 3);
    put(ICS, 4);
    assert_int_equal(fake_read(fake, BUS_MMIO, MSIX + 0x2000, 4), 7);
    assert_int_equal(get(ICR) & (1U << 24 | 4), 1U << 24 | 4);
    assert_int_equal(asserted(), 0);
}

static void a_reset_forgets_all_but_the_address(void **state)
{
    (void)state;
    start_transmit();
    put(RAL, 0x12345678);
    make_frame(ram(BUFFERS, 40), 40, mac);
    tx_add(BUFFERS, 40, 0); /* half a frame */
    tx_go();
    put(CTRL, RST);
    assert_int_equal(get(CTRL) & RST, 0);
    assert_int_equal(get(RAL), get_le32(mac));
    assert_int_equal(get(TX + LEN), 0);
    tx_tail = 0;
    start_transmit();
    tx_add(BUFFERS, EOP | 40, 0);
    tx_go();
    assert_int_equal(wire.sent_count, 1);
    assert_int_equal(wire.sent[0].length, 60); /* the half is gone */
    board_reset(&fake->board);
    assert_int_equal(get(TCTL), 0);
    assert_int_equal(get(RAL), get_le32(mac));
}

static void ports_lead_to_the_registers(void **state)
{
    (void)state;
    fake_write(fake, BUS_PORT, IO, 4, RAL);
    assert_int_equal(fake_read(fake, BUS_PORT, IO + 4, 4), get_le32(mac));
    fake_write(fake, BUS_PORT, IO, 4, IVAR);
    fake_write(fake, BUS_PORT, IO + 4, 4, 0x1234);
    assert_int_equal(get(IVAR), 0x1234);
    fake_write(fake, BUS_PORT, IO, 4, 0xFFFFFFFF);
    assert_int_equal(fake_read(fake, BUS_PORT, IO + 4, 4), 0);
}

/* What no driver does: nothing is sent, nothing hangs, and the card goes on for who comes next. */
static void nonsense_is_borne(void **state)
{
    static const uint32_t lengths[] = {0, 127, 128, 0xFFFFFFFF}, edges[] = {0, 8, 0xFFFF, 0xFFFFFFFF};
    static const uint64_t addresses[] = {UINT64_MAX, UINT64_MAX - 39, 64 * MiB - 1, 64 * MiB, UINT64_C(1) << 63};
    uint8_t frame[100];

    (void)state;
    make_frame(frame, sizeof frame, mac);
    for (unsigned n = 0; n < ARRAY_SIZE(lengths); n++)
        for (unsigned i = 0; i < ARRAY_SIZE(edges) * ARRAY_SIZE(edges); i++) {
            put(TX + BAL, 0xFFFFFFF0);
            put(TX + LEN, lengths[n]);
            put(TX + HEAD, edges[i % ARRAY_SIZE(edges)]);
            put(TCTL, EN);
            put(TX + TAIL, edges[i / ARRAY_SIZE(edges)]);
            put(RX + BAL, 0xFFFFFFF0);
            put(RX + LEN, lengths[n]);
            put(RX + HEAD, edges[i % ARRAY_SIZE(edges)]);
            put(RX + TAIL, edges[i / ARRAY_SIZE(edges)]);
            put(RCTL, EN);
            settle();
            deliver(frame, sizeof frame);
        }
    wire.sent_count = 0;
    put(CTRL, RST);
    start_transmit();
    for (unsigned n = 0; n < ARRAY_SIZE(addresses); n++) {
        tx_add(addresses[n], EOP | RS | 40, 0);
        tx_go();
        assert_int_equal(wire.sent_count, 0);
        assert_int_equal(get(TX + HEAD), tx_tail); /* it went by */
    }
    /* More than a frame can hold, in pieces. */
    for (unsigned n = 0; n < 12; n++)
        tx_add(BUFFERS, 0xFFFF, 0);
    tx_add(BUFFERS, EOP | 10, 0);
    tx_go();
    /* Checksums beside the frame, segments of nothing, of something that is not TCP, without a context. */
    tx_add(BUFFERS, EOP | 1U << 26 | 255U << 16 | 60, 254 << 8);
    add_context(0, true);
    tx_add(BUFFERS, DEXT | DATA | TSE | EOP | 54, 3U << 8);
    add_context(1, false);
    tx_add(BUFFERS, DEXT | DATA | TSE | EOP | 54, 3U << 8);
    add_context(UINT16_MAX, true);
    tx_add(BUFFERS + 0x10000, DEXT | DATA | TSE | EOP | 54, 3U << 8);
    tx_go();
    assert_int_equal(wire.sent_count, 0);
    make_frame(ram(BUFFERS, 64), 64, mac);
    tx_add(BUFFERS, EOP | RS | 64, 0);
    tx_go();
    assert_int_equal(wire.sent_count, 1);
    /* Receive buffers that are nowhere. */
    start_receive(SECRC, true, 20);
    for (unsigned n = 0; n < ARRAY_SIZE(addresses); n++)
        put_le64(ram(RX_RING + n * 16, 8), addresses[n]);
    for (unsigned n = 0; n < ARRAY_SIZE(addresses) + 1; n++)
        assert_true(deliver(frame, sizeof frame));
    assert_memory_equal(ram(BUFFERS + ARRAY_SIZE(addresses) * 2048, sizeof frame), frame, sizeof frame);
    /* Every register, every width. */
    for (unsigned offset = 0; offset < 0x20000; offset += 0x3FC) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            fake_read(fake, BUS_MMIO, BAR + offset, size);
            fake_write(fake, BUS_MMIO, BAR + offset, size, UINT64_MAX);
        }
    }
    settle();
}

int main(void)
{
#define CARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CARD_TEST(what_drivers_find_first),
        CARD_TEST(the_phy_answers),
        CARD_TEST(a_legacy_frame_goes_out),
        CARD_TEST(a_legacy_checksum),
        CARD_TEST(checksums_by_context),
        CARD_TEST(a_large_frame_is_cut),
        cmocka_unit_test_setup_teardown(a_large_frame_is_left_to_a_world_that_takes_it, set_up_vnet, tear_down),
        CARD_TEST(a_tag_is_put_in),
        CARD_TEST(frames_arrive),
        CARD_TEST(legacy_descriptors_and_the_frame_check_sequence),
        CARD_TEST(a_long_frame_takes_several_buffers),
        CARD_TEST(only_what_was_asked_for),
        CARD_TEST(a_tag_is_taken_out),
        CARD_TEST(causes_and_the_pin),
        CARD_TEST(messages_for_each_queue),
        CARD_TEST(a_reset_forgets_all_but_the_address),
        CARD_TEST(ports_lead_to_the_registers),
        CARD_TEST(nonsense_is_borne),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
