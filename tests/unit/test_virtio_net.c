/* The guest's driver, honest and hostile, of a virtio network card (Virtual I/O Device 1.2, section 5.1). */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake_virtio.h"
#include "fake_wire.h"

#define ENTRIES 64U
#define HEADER 12U
#define FRAME (14U + 20U + 20U)
#define RX_AT 0x100000U
#define RX_STRIDE 0x20000U
#define TX_AT 0x800000U
#define CONTROL_AT 0xA00000U

enum { RECEIVE, TRANSMIT, CONTROL };
#define BIT(n) (1U << (n))
#define CSUM BIT(0)
#define GUEST_CSUM BIT(1)
#define GUEST_OFFLOADS BIT(2)
#define GUEST_TSO (BIT(7) | BIT(8) | BIT(9))
#define HOST_TSO (BIT(11) | BIT(12) | BIT(13))
#define MERGE BIT(15)
#define CTRL BIT(17)

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};

static struct fake_wire wire;
static struct fake *fake;
static struct fake_driver driver;
static struct net_counters counters;

static void create(bool vnet)
{
    struct net_card_options options = {.backend = &wire.backend, .counters = &counters, .slot = VIRTIO_SLOT};
    struct error error = {""};

    fake_wire_init(&wire, vnet);
    wire.backend.mtu = 1400;
    memset(&counters, 0, sizeof counters);
    memcpy(options.mac, mac, 6);
    fake = fake_create(0);
    assert_int_equal(pci_bus_create(&fake->board, &fake->board.pci), 0);
    assert_int_equal(virtio_net_create(&fake->board, &options, &error), 0);
    fake_virtio_place(fake);
    driver = (struct fake_driver){.fake = fake, .entries = ENTRIES};
}

static int plain(void **state)
{
    (void)state;
    create(false);
    return 0;
}

static int vnet(void **state)
{
    (void)state;
    create(true);
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    fake_destroy(fake);
    return 0;
}

static uint8_t *ram(uint64_t at, size_t length)
{
    uint8_t *bytes = memory_at(fake->board.memory, at, length);

    assert_non_null(bytes);
    return bytes;
}

static void start(uint32_t features)
{
    fake_driver_start(&driver, 3, features);
    assert_int_equal(fake_read(fake, BUS_MMIO, VIRTIO_STATUS, 1), 15);
}

static uint32_t offered(void)
{
    fake_write(fake, BUS_MMIO, VIRTIO_COMMON, 4, 0);
    return (uint32_t)fake_read(fake, BUS_MMIO, VIRTIO_COMMON + 4, 4);
}

/* The guest's memory from TX_AT on is header and frame. */
static void transmit(size_t length)
{
    fake_driver_describe(&driver, TRANSMIT, 0, TX_AT, HEADER, 0, true);
    fake_driver_describe(&driver, TRANSMIT, 1, TX_AT + HEADER, length, 0, false);
    fake_driver_offer(&driver, TRANSMIT, 0);
    assert_true(fake_driver_wait(&driver, TRANSMIT));
}

/* TCP over IPv4 with a pseudo header's sum, as Linux gives it. */
static uint8_t *make_tcp(size_t payload)
{
    uint8_t *header = ram(TX_AT, HEADER + FRAME + payload), *frame = header + HEADER;

    memset(header, 0, HEADER + FRAME);
    put_be16(frame + 12, 0x0800);
    frame[14] = 0x45;
    put_be16(frame + 16, (uint16_t)(40 + payload));
    frame[23] = 6;
    put_be32(frame + 26, 0x0A000002);
    put_be32(frame + 30, 0x0A000001);
    put_be16(frame + 24, net_fold(net_sum(frame + 14, 20, 0)));
    frame[46] = 0x50;
    put_be16(frame + 50, (uint16_t)~net_fold(net_sum(frame + 26, 8, 6 + 20 + (uint32_t)payload)));
    for (size_t n = 0; n < payload; n++)
        frame[FRAME + n] = (uint8_t)(n * 3);
    header[0] = 1;
    put_le16(header + 2, FRAME);
    put_le16(header + 6, 34);
    put_le16(header + 8, 16);
    return header;
}

static void make_large(size_t payload, uint16_t segment)
{
    uint8_t *header = make_tcp(payload);

    header[1] = 1;
    put_le16(header + 4, segment);
}

static void what_is_offered_is_what_the_world_takes(void **state)
{
    (void)state;
    assert_int_equal(offered() & (GUEST_OFFLOADS | GUEST_TSO), GUEST_OFFLOADS | GUEST_TSO);
    assert_int_equal(offered() & (CSUM | HOST_TSO | MERGE), CSUM | HOST_TSO | MERGE);
    assert_int_equal(fake_read(fake, BUS_MMIO, VIRTIO_COMMON + 0x2000 + 10, 2), 1400);
    start(0);
    assert_int_equal(wire.kinds, 0);
    start(GUEST_CSUM);
    assert_int_equal(wire.kinds, NET_LEAVE_CHECKSUM);
    start(GUEST_TSO); /* which need checksums */
    assert_int_equal(wire.kinds, 0);
    start(GUEST_CSUM | GUEST_TSO);
    assert_int_equal(wire.kinds, NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4 | NET_LEAVE_TCP6 | NET_LEAVE_ECN);
}

static void a_plain_world_is_given_finished_frames(void **state)
{
    const uint8_t *frame = wire.sent[0].bytes;

    (void)state;
    assert_int_equal(offered() & (GUEST_OFFLOADS | GUEST_TSO), 0);
    assert_int_equal(offered() & (CSUM | HOST_TSO | MERGE), CSUM | HOST_TSO | MERGE);
    start(CSUM | GUEST_CSUM | HOST_TSO);
    make_tcp(33);
    transmit(FRAME + 33);
    assert_int_equal(wire.sent_count, 1);
    assert_int_equal(wire.sent[0].length, FRAME + 33);
    assert_int_equal(net_fold(net_sum(frame + 34, 53, net_sum(frame + 26, 8, 6 + 53))), 0);
    make_large(5000, 1460);
    transmit(FRAME + 5000);
    assert_int_equal(wire.sent_count, 5);
    assert_int_equal(wire.sent[4].length, FRAME + 5000 - 3 * 1460);
    assert_int_equal(counters.transmitted_packets, 2);
    assert_int_equal(counters.transmitted_bytes, 2 * FRAME + 5033);
}

static void work_is_left_to_a_world_that_takes_it(void **state)
{
    const uint8_t *frame = wire.sent[0].bytes;

    (void)state;
    start(CSUM | HOST_TSO);
    make_large(5000, 1460);
    put_be16(ram(TX_AT + HEADER + 16, 2), 0); /* a driver that leaves lengths and sums to the card */
    transmit(FRAME + 5000);
    assert_int_equal(wire.sent_count, 1);
    assert_memory_equal(wire.header, ((const uint8_t[]){1, 1, FRAME, 0, 0xB4, 5, 34, 0, 16, 0}), 10);
    assert_int_equal(get_be16(frame + 16), 5040);
    assert_int_equal(net_fold(net_sum(frame + 14, 20, 0)), 0);
    assert_int_equal(get_be16(frame + 50), (uint16_t)~net_fold(net_sum(frame + 26, 8, 6 + 5020)));
    make_tcp(10);
    transmit(FRAME + 10);
    assert_memory_equal(wire.header, ((const uint8_t[]){1, 0, 0, 0, 0, 0, 34, 0, 16, 0}), 10);
    *make_tcp(10) = 0; /* nothing is left */
    transmit(FRAME + 10);
    assert_int_equal(wire.sent_count, 3);
    assert_int_equal(net_vnet_left(wire.header), 0);
}

/* Headers that the frame does not bear out: the frame is lost, and the card goes on. */
static void headers_that_lie_send_nothing(void **state)
{
    static const struct {
        unsigned at;
        uint8_t value;
        size_t length;
    } cases[] = {{1, 3, FRAME + 100},            /* a kind that was not offered: UDP */
                 {1, 0x81 + 1, FRAME + 100},     /* none that is known */
                 {4, 0, FRAME + 100},            /* segments of nothing */
                 {HEADER + 23, 17, FRAME + 100}, /* no TCP */
                 {HEADER + 46, 0xF0, FRAME + 4}, /* a TCP header beyond the end */
                 {1, 1, 13}};                    /* no frame */

    (void)state;
    start(CSUM | HOST_TSO);
    for (unsigned n = 0; n < sizeof cases / sizeof *cases; n++) {
        make_large(100, 50);
        put_le16(ram(TX_AT + 4, 2), 50);
        *ram(TX_AT + cases[n].at, 1) = cases[n].value;
        if (cases[n].at == 1)
            *ram(TX_AT, 1) = 0;
        transmit(cases[n].length);
        assert_int_equal(wire.sent_count, 0);
    }
    make_tcp(100);
    put_le16(ram(TX_AT + 6, 2), 0xFFFF);
    transmit(FRAME + 100);
    make_large(100, 50);
    transmit(NET_FRAME_MAX + 1);
    assert_int_equal(wire.sent_count, 0);
    make_tcp(100);
    transmit(FRAME + 100);
    assert_int_equal(wire.sent_count, 1);
}

static bool arrive(const uint8_t *header, const uint8_t *to, size_t length)
{
    static uint8_t frame[NET_FRAME_MAX];

    for (size_t n = 6; n < length; n++)
        frame[n] = (uint8_t)(n * 5);
    memcpy(frame, to, 6);
    return fake_wire_deliver(&wire, header, frame, length);
}

static void give_buffers(unsigned first, unsigned count, size_t each)
{
    for (unsigned n = first; n < first + count; n++) {
        fake_driver_describe(&driver, RECEIVE, n, RX_AT + n * RX_STRIDE, each, FAKE_WRITABLE, false);
        fake_driver_offer(&driver, RECEIVE, n);
    }
}

static uint32_t used_bytes(unsigned n)
{
    return get_le32(ram(VIRTIO_USED + RECEIVE * VIRTIO_RING + 4 + n * 8 + 4, 4));
}

static void frames_come_with_what_is_left_of_them(void **state)
{
    static const uint8_t large[NET_VNET_BYTES] = {1, 4, 54, 0, 0xB4, 5, 54, 0, 16, 0};
    const uint8_t *header;

    (void)state;
    start(GUEST_CSUM | GUEST_TSO | MERGE);
    assert_false(arrive(NULL, mac, 60));
    give_buffers(0, 3, 2048);
    assert_true(arrive(NULL, mac, 60));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 1);
    header = ram(RX_AT, HEADER + 60);
    assert_memory_equal(header, ((const uint8_t[HEADER]){[10] = 1}), HEADER);
    assert_memory_equal(header + HEADER, mac, 6);
    assert_int_equal(header[HEADER + 59], (uint8_t)(59 * 5));
    assert_int_equal(used_bytes(0), HEADER + 60);
    /* Larger than what is left of the buffers: it waits, and none of them is taken. */
    assert_false(arrive(large, mac, 6000));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 1);
    give_buffers(3, 1, 2048);
    assert_true(arrive(large, mac, 6000));
    assert_true(fake_driver_wait(&driver, RECEIVE));
    header = ram(RX_AT + RX_STRIDE, 2048);
    assert_memory_equal(header, large, NET_VNET_BYTES);
    assert_int_equal(get_le16(header + 10), 3);
    assert_int_equal(used_bytes(1) + used_bytes(2) + used_bytes(3), HEADER + 6000);
    assert_int_equal(*ram(RX_AT + 3 * RX_STRIDE + (HEADER + 6000 - 2 * 2048) - 1, 1), (uint8_t)(5999 * 5));
    assert_int_equal(counters.received_packets, 2);
}

static void the_largest_frame_fits_the_smallest_buffers(void **state)
{
    (void)state;
    start(GUEST_CSUM | GUEST_TSO | MERGE);
    give_buffers(0, 44, 1526);
    assert_true(arrive((const uint8_t[NET_VNET_BYTES]){1, 1}, mac, NET_FRAME_MAX));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 43);
    /* Without merging each frame has one chain. */
    start(GUEST_CSUM | GUEST_TSO);
    give_buffers(0, 2, 0x10100);
    assert_true(arrive((const uint8_t[NET_VNET_BYTES]){1, 1}, mac, NET_FRAME_MAX));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 1);
    assert_int_equal(used_bytes(0), HEADER + NET_FRAME_MAX);
}

/* Without merging a frame has one chain, so that one which is longer than that is lost, and those behind it come. */
static void a_frame_that_fits_no_buffer_is_lost(void **state)
{
    (void)state;
    start(GUEST_CSUM);
    give_buffers(0, 2, 1526);
    assert_true(arrive(NULL, mac, 4000));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 0);
    assert_true(arrive(NULL, mac, 1514));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 1);
    assert_int_equal(used_bytes(0), HEADER + 1514);
    assert_int_equal(counters.received_packets, 1);
    /* Merged, more than the most buffers that are put together. */
    start(GUEST_CSUM | GUEST_TSO | MERGE);
    give_buffers(0, 60, 128);
    assert_true(arrive(NULL, mac, 48 * 128));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 0);
    assert_true(arrive(NULL, mac, 128));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 2);
}

/* A flood for a guest without buffers: what has no room is refused, and the wire hears when there is some again. */
static void a_guest_that_was_slow_goes_on(void **state)
{
    unsigned ready;

    (void)state;
    start(MERGE);
    give_buffers(0, 4, 2048);
    for (unsigned n = 0; n < 4; n++)
        assert_true(arrive(NULL, mac, 60));
    for (unsigned n = 0; n < 1000; n++)
        assert_false(arrive(NULL, mac, 60));
    for (unsigned round = 0; round < 50; round++) {
        fake_wire_settle(&wire);
        ready = wire.ready;
        give_buffers(0, 1, 2048);
        for (unsigned n = 0; n < 20000 && wire.ready == ready; n++) {
            usleep(500);
            fake_wire_settle(&wire);
        }
        assert_int_not_equal(wire.ready, ready);
        assert_true(arrive(NULL, mac, 60));
        assert_false(arrive(NULL, mac, 60));
    }
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 54);
}

/* A chain that is malformed behind good ones breaks the device, takes none of them and writes nowhere else. */
static void a_bad_chain_among_those_of_a_frame(void **state)
{
    static const struct {
        uint64_t address;
        size_t length;
    } cases[] = {{UINT64_MAX - 64, 2048}, {(64 << 20) - 16, 2048}, {0xFEC00000, 2048}, {RX_AT, 0}};

    (void)state;
    for (unsigned n = 0; n < sizeof cases / sizeof *cases; n++) {
        start(MERGE);
        give_buffers(0, 1, 2048);
        memset(ram(RX_AT, 2048), 0x5A, 2048);
        fake_driver_describe(&driver, RECEIVE, 1, cases[n].address, cases[n].length, FAKE_WRITABLE, false);
        fake_driver_offer(&driver, RECEIVE, 1);
        assert_false(arrive(NULL, mac, 4000));
        assert_int_equal(fake_driver_used(&driver, RECEIVE), 0);
        assert_true(fake_read(fake, BUS_MMIO, VIRTIO_STATUS, 1) & 64);
        for (unsigned at = 0; at < 2048; at++)
            assert_int_equal(*ram(RX_AT + at, 1), 0x5A);
    }
    start(MERGE);
    give_buffers(0, 1, 2048);
    assert_true(arrive(NULL, mac, 60));
}

static uint8_t command(const uint8_t *bytes, size_t length)
{
    memcpy(ram(CONTROL_AT, length), bytes, length);
    *ram(CONTROL_AT + 256, 1) = 0xEE;
    fake_driver_describe(&driver, CONTROL, 0, CONTROL_AT, length, 0, true);
    fake_driver_describe(&driver, CONTROL, 1, CONTROL_AT + 256, 1, FAKE_WRITABLE, false);
    fake_driver_offer(&driver, CONTROL, 0);
    assert_true(fake_driver_wait(&driver, CONTROL));
    return *ram(CONTROL_AT + 256, 1);
}
#define COMMAND(...) command((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void a_driver_changes_its_mind(void **state)
{
    (void)state;
    start(GUEST_CSUM | GUEST_TSO | GUEST_OFFLOADS | MERGE | CTRL);
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), 0);
    assert_int_equal(wire.kinds, NET_LEAVE_CHECKSUM);
    assert_int_equal(COMMAND(5, 0, 0x82, 0, 0, 0, 0, 0, 0, 0), 0);
    assert_int_equal(wire.kinds, NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4);
    /* Bits that were not agreed on, another command, half a command. */
    assert_int_equal(COMMAND(5, 0, 2, 4, 0, 0, 0, 0, 0, 0), 1);
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0x80), 1);
    assert_int_equal(COMMAND(5, 1, 2, 0, 0, 0, 0, 0, 0, 0), 1);
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0), 1);
    assert_int_equal(COMMAND(5, 0), 1);
    assert_int_equal(wire.kinds, NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4);
    fake_write(fake, BUS_MMIO, VIRTIO_STATUS, 1, 0);
    assert_int_equal(wire.kinds, 0);
    start(GUEST_CSUM | CTRL);
    assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), 1); /* the command was not agreed on */
}

static struct {
    struct loop_task task;
    unsigned queue, left, served, at; /* at: what was served when the loop's other work had its first turn */
} busy;

static void other_work(void *opaque)
{
    (void)opaque;
    if (!busy.at)
        busy.at = busy.served;
}

/* The driver is as fast as the card, and does not kick one that is at work (2.7.10). */
static void offer_again(void)
{
    uint8_t *ring = ram(VIRTIO_AVAIL + busy.queue * VIRTIO_RING, 4 + 2 * (size_t)driver.entries);
    uint16_t *index = (uint16_t *)(void *)(ring + 2);

    busy.served++;
    loop_post(wire.loop, &busy.task);
    if (!busy.left)
        return;
    busy.left--;
    put_le16(ring + 4 + driver.offered[busy.queue] % driver.entries * 2, busy.left % 2 ? 4 : 0);
    __atomic_store_n(index, ++driver.offered[busy.queue], __ATOMIC_RELEASE);
}

static void keep_busy(unsigned queue)
{
    busy.task = (struct loop_task){.run = other_work};
    busy.queue = queue;
    busy.left = 1000;
    busy.served = busy.at = 0;
    wire.called = offer_again;
    fake_driver_offer(&driver, queue, 0);
    for (unsigned n = 0; n < 20000 && fake_driver_used(&driver, queue) != 1001; n++)
        usleep(500);
    fake_wire_settle(&wire);
    wire.called = NULL;
    assert_int_equal(fake_driver_used(&driver, queue), 1001);
    assert_int_equal(busy.served, 1001);
    assert_in_range(busy.at, 1, 500);
}

static void describe_offloads(unsigned head)
{
    memcpy(ram(CONTROL_AT, 10), ((const uint8_t[]){5, 0, 2, 0, 0, 0, 0, 0, 0, 0}), 10);
    fake_driver_describe(&driver, CONTROL, head, CONTROL_AT, 10, 0, true);
    fake_driver_describe(&driver, CONTROL, head + 1, CONTROL_AT + 256, 1, FAKE_WRITABLE, false);
}

/* A ring that never gets empty: neither it nor what else the loop has to do waits for ever. */
static void a_busy_queue_leaves_others_their_turn(void **state)
{
    (void)state;
    start(GUEST_CSUM | GUEST_OFFLOADS | CTRL);
    make_tcp(10);
    *ram(TX_AT, 1) = 0;
    for (unsigned head = 0; head < 8; head += 4)
        fake_driver_describe(&driver, TRANSMIT, head, TX_AT, HEADER + FRAME + 10, 0, false);
    keep_busy(TRANSMIT);
    for (unsigned head = 0; head < 8; head += 4)
        describe_offloads(head);
    keep_busy(CONTROL);
}

static atomic_bool flooding;

static void *flood(void *opaque)
{
    (void)opaque;
    while (atomic_load(&flooding))
        arrive(NULL, mac, 1514);
    return NULL;
}

/* From the moment that a reset has returned nothing writes to what were the guest's buffers. */
static void a_reset_under_traffic(void **state)
{
    uint8_t *buffers = ram(RX_AT, 32 * RX_STRIDE);
    pthread_t thread;
    bool untouched = true;
    unsigned came = 0;

    (void)state;
    start(MERGE);
    atomic_store(&flooding, true);
    assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
    for (unsigned round = 0; round < 60; round++) {
        start(MERGE);
        give_buffers(0, 32, 2048);
        if (round % 2)
            for (unsigned n = 0; n < 2000 && fake_driver_used(&driver, RECEIVE) < round % 32; n++)
                usleep(100);
        came += fake_driver_used(&driver, RECEIVE);
        fake_write(fake, BUS_MMIO, VIRTIO_STATUS, 1, 0);
        for (unsigned n = 0; n < 32; n++)
            memset(buffers + n * (size_t)RX_STRIDE, 0x5A, 2048);
        usleep(500);
        for (unsigned n = 0; n < 32; n++)
            untouched &= *buffers == 0x5A && !memcmp(buffers + n * (size_t)RX_STRIDE, buffers, 2048) &&
                         !memcmp(buffers, buffers + 1, 2047);
    }
    atomic_store(&flooding, false);
    pthread_join(thread, NULL);
    assert_true(untouched);
    assert_true(came > 60);
}

static void who_is_spoken_to(void **state)
{
    static const uint8_t other[6] = {0x52, 0x54, 0, 9, 9, 9};

    (void)state;
    start(MERGE | CTRL);
    give_buffers(0, 4, 2048);
    assert_true(arrive(NULL, other, 60));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 0);
    assert_int_equal(COMMAND(0, 0, 1), 0);
    assert_true(arrive(NULL, other, 60));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 1);
    assert_int_equal(COMMAND(0, 0, 0), 0);
    assert_int_equal(COMMAND(1, 1, 0x52, 0x54, 0, 9, 9, 9), 0);
    assert_true(arrive(NULL, mac, 60));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 1);
    assert_true(arrive(NULL, other, 60));
    assert_true(arrive(NULL, (const uint8_t[]){0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 60));
    assert_int_equal(fake_driver_used(&driver, RECEIVE), 3);
    assert_int_equal(COMMAND(1, 1, 0x52), 1);
    assert_int_equal(COMMAND(0), 1);
    assert_int_equal(COMMAND(200, 0, 1), 1);
}

static void a_command_without_room_for_an_answer(void **state)
{
    (void)state;
    start(CTRL);
    fake_driver_describe(&driver, CONTROL, 0, CONTROL_AT, 3, 0, false);
    fake_driver_offer(&driver, CONTROL, 0);
    assert_false(fake_driver_wait(&driver, CONTROL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_offered_is_what_the_world_takes, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_plain_world_is_given_finished_frames, plain, destroy),
        cmocka_unit_test_setup_teardown(work_is_left_to_a_world_that_takes_it, vnet, destroy),
        cmocka_unit_test_setup_teardown(headers_that_lie_send_nothing, vnet, destroy),
        cmocka_unit_test_setup_teardown(headers_that_lie_send_nothing, plain, destroy),
        cmocka_unit_test_setup_teardown(frames_come_with_what_is_left_of_them, vnet, destroy),
        cmocka_unit_test_setup_teardown(the_largest_frame_fits_the_smallest_buffers, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_frame_that_fits_no_buffer_is_lost, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_guest_that_was_slow_goes_on, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_bad_chain_among_those_of_a_frame, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_driver_changes_its_mind, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_busy_queue_leaves_others_their_turn, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_reset_under_traffic, vnet, destroy),
        cmocka_unit_test_setup_teardown(who_is_spoken_to, vnet, destroy),
        cmocka_unit_test_setup_teardown(a_command_without_room_for_an_answer, vnet, destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
