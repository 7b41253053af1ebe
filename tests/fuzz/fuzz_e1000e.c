/*
 * Fuzzing of the 82574L, for libFuzzer: the input is a sequence of what a driver does, mostly what it may do: rings and
 * descriptors of all kinds with offloads, registers, frames that arrive meanwhile. After each, a reset card must serve
 * an honest driver.
 */
#include <stdlib.h>

#include "../unit/cmocka_all.h"
#include "../unit/fake.h"
#include "casement/e1000e.h"
#include "casement/log.h"
#include "casement/net_offload.h"
#include "casement/pci.h"
#include "input.h"

#define DEEDS 200U
#define DEVFN (4U << 3)
#define BAR 0xF0000000U
#define TX_RING 0x10000U /* two of each; the last page is the end of a table that the input may place */
#define RX_RING 0x20000U
#define BUFFERS 0x100000U
#define RING 32U
#define RAM (64 * MiB)

enum { CTRL = 0x00, ICR = 0xC0, ICS = 0xC8, IMS = 0xD0, RCTL = 0x100, TCTL = 0x400, RX = 0x2800, TX = 0x3800 };
enum { BAL = 0, BAH = 4, LEN = 8, HEAD = 16, TAIL = 24 };
enum { CTRL_RESET = 1 << 26, ENABLE = 2 };

/* The world behind the card: keeps the last frame, whose length has to be one. */
static struct wire {
    struct net_backend backend; /* first */
    struct loop *loop;
    struct net_card card;
    uint8_t last[NET_FRAME_MAX];
    size_t last_length, length;
    uint8_t frame[2048];
    bool taken;
} wire;

static struct fake *fake;
static struct net_counters counters;

static int attach(struct net_backend *backend, struct loop *loop, const struct net_card *card)
{
    (void)backend;
    wire.loop = loop;
    wire.card = *card;
    return 0;
}

static void nothing(struct net_backend *backend)
{
    (void)backend;
}

static void send_frame(struct net_backend *backend, const uint8_t *header, const uint8_t *frame, size_t length)
{
    (void)backend;
    (void)header;
    if (!length || length > NET_FRAME_MAX)
        abort();
    memcpy(wire.last, frame, length);
    wire.last_length = length;
}

static void pass(void *opaque)
{
    (void)opaque;
}

/* Until the card has done what was posted to its loop, and what that posted. */
static void settle(void)
{
    for (unsigned n = 0; n < 4; n++)
        loop_call(wire.loop, pass, NULL);
}

static void put(unsigned offset, uint32_t value)
{
    fake_write(fake, BUS_MMIO, BAR + offset, 4, value);
}

static uint32_t get(unsigned offset)
{
    return (uint32_t)fake_read(fake, BUS_MMIO, BAR + offset, 4);
}

static void poke(uint64_t at, unsigned size, uint64_t value)
{
    uint8_t *bytes = memory_at(fake->board.memory, at, size);

    if (bytes)
        put_le(bytes, size, value);
}

static void arrive(void *opaque)
{
    (void)opaque;
    wire.taken = wire.card.receive(wire.card.opaque, net_vnet_finished, wire.frame, wire.length);
}

static void set_up(void)
{
    static const struct net_backend_ops ops = {
        .attach = attach, .detach = nothing, .send = send_frame, .ready = nothing};
    struct net_card_options options = {
        .backend = &wire.backend, .counters = &counters, .slot = DEVFN >> 3, .mac = {0x52, 0x54, 0, 1, 2, 3}};
    struct error error = {""};

    log_set_level(LOG_ERROR);
    wire.backend = (struct net_backend){.ops = &ops, .mtu = 1500};
    fake = fake_create(RAM);
    if (pci_bus_create(&fake->board, &fake->board.pci) < 0 || e1000e_create(&fake->board, &options, &error) < 0)
        abort();
    fake_config_write(fake, DEVFN, 0x10, 4, BAR);
    fake_config_write(fake, DEVFN, 0x1C, 4, 0xF0100000U);
    fake_config_write(fake, DEVFN, 0x04, 2, 7);
}

static void start_rings(uint32_t receive)
{
    for (unsigned n = 0; n < 2; n++) {
        put(TX + n * 0x100 + BAL, TX_RING + n * 0x1000);
        put(TX + n * 0x100 + BAH, 0);
        put(TX + n * 0x100 + LEN, RING * 16);
        put(TX + n * 0x100 + HEAD, 0);
        put(TX + n * 0x100 + TAIL, 0);
        put(RX + n * 0x100 + BAL, RX_RING + n * 0x1000);
        put(RX + n * 0x100 + BAH, 0);
        put(RX + n * 0x100 + LEN, RING * 16);
        put(RX + n * 0x100 + HEAD, 0);
    }
    for (unsigned n = 0; n < RING; n++) {
        poke(RX_RING + n * 16, 8, BUFFERS + n * 4096);
        poke(RX_RING + n * 16 + 8, 8, 0);
    }
    put(TCTL, ENABLE | 8);
    put(RCTL, receive | ENABLE);
    put(RX + TAIL, RING - 1);
}

static uint64_t address(struct input *input)
{
    unsigned kind = (unsigned)take(input, 1);

    return kind < 0xF0 ? BUFFERS + take(input, 3) : kind < 0xF8 ? RAM - kind % 8 : take(input, 8);
}

/* A context, a descriptor of data in either form, or any; of one of the queues. */
static void descriptor(struct input *input)
{
    unsigned kind = (unsigned)take(input, 1), queue = kind & 1, n = (unsigned)take(input, 1) % RING;
    uint64_t at = TX_RING + queue * 0x1000 + n * 16;
    uint32_t command = (uint32_t)take(input, 1) << 24;

    switch (kind >> 1 & 3) {
    case 0: /* context: where headers are, how long they and segments are */
        poke(at, 8, take(input, 8) & UINT64_C(0x3F3FFFFF3F3FFFFF));
        poke(at + 8, 4, command | 1U << 29 | (uint32_t)take_number(input, 0x10000));
        poke(at + 12, 4, take(input, 4));
        break;
    case 1:
        poke(at, 8, address(input));
        poke(at + 8, 4, command | 1U << 29 | 1U << 20 | ((uint32_t)take_number(input, 0x4000) & 0xFFFFF));
        poke(at + 12, 4, take(input, 4));
        break;
    case 2:
        poke(at, 8, address(input));
        poke(at + 8, 4, (command & ~(1U << 29)) | (uint32_t)take_number(input, 0x1000));
        poke(at + 12, 4, take(input, 4));
        break;
    default:
        poke(at, 8, take(input, 8));
        poke(at + 8, 8, take(input, 8));
    }
}

static void deed(struct input *input)
{
    static const uint16_t registers[] = {0x00,   0x14,   0x18,   0x20,   0xC4,   0xC8,   0xD0,   0xD8,   0xDC,
                                         0xE0,   0xE4,   0x100,  0x400,  0x2800, 0x2804, 0x2808, 0x2810, 0x2818,
                                         0x2820, 0x2828, 0x3800, 0x3804, 0x3808, 0x3810, 0x3818, 0x3820, 0x3828,
                                         0x3908, 0x3918, 0x5000, 0x5008, 0x5200, 0x5400, 0x5404, 0x5600, 0x5818};
    unsigned kind = (unsigned)take(input, 1);

    switch (kind % 16) {
    case 0:
        put(registers[take(input, 1) % ARRAY_SIZE(registers)], (uint32_t)take(input, 4));
        break;
    case 1:
        put((unsigned)take(input, 3) & 0x1FFFC, (uint32_t)take(input, 4));
        break;
    case 2:
        get((unsigned)take(input, 3) & 0x1FFFC);
        break;
    case 3:
        fake_write(fake, BUS_MMIO, BAR + (take(input, 3) & 0x1FFFF), 1U << (kind >> 4 & 3), take(input, 8));
        break;
    case 4:
        start_rings((uint32_t)take(input, 4));
        break;
    case 5:
        poke(RX_RING + (take(input, 2) & 0x1FFF), 8, kind & 16 ? address(input) : take(input, 8));
        break;
    case 6:
        put(RX + (kind >> 4 & 1) * 0x100 + TAIL, (uint32_t)take_number(input, RING));
        break;
    case 7:
    case 8:
        wire.length = 14 + take(input, 2) % (sizeof wire.frame - 14);
        for (size_t n = 0; n < 64; n++)
            wire.frame[n] = n < 6 && kind & 16 ? 0xFF : (uint8_t)take(input, 1);
        loop_call(wire.loop, arrive, NULL);
        break;
    case 9:
    case 10:
        put(TX + (kind >> 4 & 1) * 0x100 + TAIL, (uint32_t)take_number(input, RING));
        settle();
        break;
    default:
        descriptor(input);
    }
}

/* A frame out and one in, behind a reset. */
static void serves(void)
{
    uint8_t frame[64];

    put(CTRL, CTRL_RESET);
    settle();
    for (unsigned n = 0; n < sizeof frame; n++)
        frame[n] = n < 6 ? 0xFF : (uint8_t)n;
    start_rings(1U << 15 | 1U << 26);
    memcpy(memory_at(fake->board.memory, BUFFERS, sizeof frame), frame, sizeof frame);
    poke(TX_RING, 8, BUFFERS);
    poke(TX_RING + 8, 8, sizeof frame | 1U << 24 | 1U << 27);
    wire.last_length = 0;
    put(TX + TAIL, 1);
    settle();
    assert_int_equal(wire.last_length, sizeof frame);
    assert_memory_equal(wire.last, frame, sizeof frame);
    memcpy(wire.frame, frame, wire.length = sizeof frame);
    loop_call(wire.loop, arrive, NULL);
    assert_true(wire.taken);
    assert_int_equal(get(RX + HEAD), 1);
    assert_true(get(ICR) & 0x80);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    if (!fake)
        set_up();
    start_rings(1U << 15);
    for (unsigned n = 0; n < DEEDS && input.left; n++)
        deed(&input);
    settle();
    board_reset(&fake->board);
    fake_config_write(fake, DEVFN, 0x10, 4, BAR);
    fake_config_write(fake, DEVFN, 0x1C, 4, 0xF0100000U);
    fake_config_write(fake, DEVFN, 0x04, 2, 7);
    serves();
    return 0;
}
