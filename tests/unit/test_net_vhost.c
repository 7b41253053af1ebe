/*
 * The guest's driver of a network card whose frames the host's kernel carries. Needs /dev/vhost-net and /dev/net/tun,
 * and root for a network of its own: elsewhere it is skipped.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/net.h"
#include "casement/pci.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake_virtio.h"

#define ENTRIES 64U
#define HEADER 12U
#define MERGE (1U << 15)
#define EVENT_INDEX (1U << 29)
#define RX_AT 0x100000U
#define RX_STRIDE 0x1000U
#define TX_AT 0x800000U
#define PATIENCE_MS 60000

enum { RECEIVE, TRANSMIT };

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3}, outside[6] = {0x52, 0x54, 0, 9, 9, 9};

static struct {
    struct fake *fake;
    struct fake_driver driver;
    struct net_backend *backend;
    struct net_counters counters;
    int wire; /* a packet socket on the network's side of the TAP */
} bench;

/* The kernel's own frames would be among those that are counted. */
static void silence_ipv6(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return; /* there is none */
    assert_int_equal(write(fd, "1", 1), 1);
    close(fd);
}

/* One network for the whole program, where nobody else sends anything. */
static bool have_network(void)
{
    return access("/dev/vhost-net", R_OK | W_OK) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 &&
           unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("sysfs", "/sys", "sysfs", 0, NULL) == 0;
}

static int open_tap(void)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    silence_ipv6();
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    bench.wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    assert_true(bench.wire >= 0);
    request.ifr_flags = IFF_UP | IFF_NOARP;
    assert_int_equal(ioctl(bench.wire, SIOCSIFFLAGS, &request), 0);
    at.sll_ifindex = (int)if_nametoindex(request.ifr_name);
    assert_int_equal(bind(bench.wire, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static int create(void **state)
{
    struct net_tap_options tap = {.mtu = 1500};
    struct net_card_options card = {.counters = &bench.counters, .slot = VIRTIO_SLOT};
    struct error error = {""};

    if (!*state)
        return 0;
    memset(&bench, 0, sizeof bench);
    tap.fd = open_tap();
    assert_int_equal(net_tap_create(&tap, &bench.backend, &error), 0);
    memcpy(card.mac, mac, 6);
    card.backend = bench.backend;
    bench.fake = fake_create(0);
    assert_int_equal(pci_bus_create(&bench.fake->board, &bench.fake->board.pci), 0);
    assert_int_equal(virtio_net_create(&bench.fake->board, &card, &error), 0);
    fake_virtio_place(bench.fake);
    bench.driver = (struct fake_driver){.fake = bench.fake, .entries = ENTRIES};
    return 0;
}

static int destroy(void **state)
{
    if (!*state)
        return 0;
    fake_destroy(bench.fake);
    bench.backend->ops->destroy(bench.backend);
    close(bench.wire);
    return 0;
}

static uint8_t *ram(uint64_t at, size_t length)
{
    uint8_t *bytes = memory_at(bench.fake->board.memory, at, length);

    assert_non_null(bytes);
    return bytes;
}

static uint8_t status(void)
{
    return (uint8_t)fake_read(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1);
}

static void reset(void)
{
    fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 0);
}

static void give_buffers(unsigned count, size_t each)
{
    for (unsigned n = 0; n < count; n++) {
        fake_driver_describe(&bench.driver, RECEIVE, n, RX_AT + n * RX_STRIDE, each, FAKE_WRITABLE, false);
        fake_driver_offer(&bench.driver, RECEIVE, n);
    }
}

/* A frame of that length, each byte behind the addresses that number. */
static size_t make_frame(uint8_t *frame, const uint8_t *to, const uint8_t *from, size_t length, uint8_t number)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    put_be16(frame + 12, 0x88B5); /* for experiments: nobody takes it */
    memset(frame + 14, number, length - 14);
    return length;
}

static void transmit(size_t length, uint8_t number)
{
    memset(ram(TX_AT, HEADER), 0, HEADER);
    make_frame(ram(TX_AT + HEADER, length), outside, mac, length, number);
    fake_driver_describe(&bench.driver, TRANSMIT, 0, TX_AT, HEADER, 0, true);
    fake_driver_describe(&bench.driver, TRANSMIT, 1, TX_AT + HEADER, length, 0, false);
    fake_driver_offer(&bench.driver, TRANSMIT, 0);
    assert_true(fake_driver_wait(&bench.driver, TRANSMIT));
}

static void comes_out(size_t length, uint8_t number)
{
    static uint8_t frame[2048];
    struct pollfd wait = {.fd = bench.wire, .events = POLLIN};

    do {
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
        assert_true(recv(bench.wire, frame, sizeof frame, 0) > 0);
    } while (memcmp(frame + 6, mac, 6) != 0); /* what was sent in comes past here too */
    assert_memory_equal(frame, outside, 6);
    assert_int_equal(frame[14], number);
    assert_int_equal(frame[length - 1], number);
}

static void send_in(size_t length, uint8_t number)
{
    static uint8_t frame[2048];

    make_frame(frame, mac, outside, length, number);
    assert_int_equal(send(bench.wire, frame, length, 0), length);
}

static void wait_received(unsigned count)
{
    for (unsigned n = 0; n < PATIENCE_MS && fake_driver_used(&bench.driver, RECEIVE) < count; n++)
        usleep(1000);
    assert_int_equal(fake_driver_used(&bench.driver, RECEIVE), count);
}

static void start(uint32_t features)
{
    fake_driver_start(&bench.driver, 3, features);
    assert_int_equal(status(), 15);
}

static void need_vhost(void *const *state)
{
    if (!*state)
        skip();
}

static void frames_pass_both_ways(void **state)
{
    need_vhost(state);
    for (unsigned round = 0; round < 3; round++) { /* each start is a new one for the kernel */
        start(round ? MERGE | EVENT_INDEX : MERGE);
        give_buffers(4, 2048);
        transmit(60, (uint8_t)(round + 1));
        comes_out(60, (uint8_t)(round + 1));
        send_in(900, 0x77);
        wait_received(1);
        assert_int_equal(get_le16(ram(RX_AT + 10, 2)), 1);
        assert_memory_equal(ram(RX_AT + HEADER, 6), mac, 6);
        assert_int_equal(*ram(RX_AT + HEADER + 899, 1), 0x77);
        transmit(1514, 9);
        comes_out(1514, 9);
    }
    reset();
    assert_int_equal(bench.counters.transmitted_packets, 6);
    assert_int_equal(bench.counters.transmitted_bytes, 3 * (60 + 1514));
    assert_int_equal(bench.counters.received_packets, 3);
    assert_int_equal(bench.counters.received_bytes, 3 * 900);
}

static void a_frame_is_merged_from_small_buffers(void **state)
{
    need_vhost(state);
    start(MERGE);
    give_buffers(8, 256);
    send_in(900, 0x31);
    wait_received(4);
    assert_int_equal(get_le16(ram(RX_AT + 10, 2)), 4);
    assert_int_equal(*ram(RX_AT + 3 * RX_STRIDE + (HEADER + 900 - 3 * 256) - 1, 1), 0x31);
}

static void calls_become_interrupts(void **state)
{
    need_vhost(state);
    start(MERGE);
    give_buffers(2, 2048);
    fake_read(bench.fake, BUS_MMIO, VIRTIO_COMMON + 0x1000, 1);
    send_in(60, 1);
    wait_received(1);
    for (unsigned n = 0; n < PATIENCE_MS; n++) {
        if (fake_read(bench.fake, BUS_MMIO, VIRTIO_COMMON + 0x1000, 1) & 1)
            return;
        usleep(1000);
    }
    fail_msg("the driver was not interrupted");
}

/* What the kernel was given belongs to the guest again when the reset returns. */
static void a_reset_takes_the_memory_back(void **state)
{
    need_vhost(state);
    for (unsigned round = 0; round < 20; round++) {
        start(MERGE);
        give_buffers(16, 2048);
        for (unsigned n = 0; n < round % 8; n++)
            send_in(1000, 0x66);
        reset();
        memset(ram(RX_AT, 16 * RX_STRIDE), 0x5A, 16 * RX_STRIDE);
        send_in(1000, 0x66);
        usleep(2000);
        for (unsigned at = 0; at < 16 * RX_STRIDE; at++)
            assert_int_equal(*ram(RX_AT + at, 1), 0x5A);
    }
    start(MERGE);
    transmit(60, 3);
    comes_out(60, 3);
}

/* Rings that the kernel cannot follow: the device asks for a reset, and with one it is as new. */
static void hostile_rings(void **state)
{
    static const struct {
        uint64_t address;
        size_t length;
        unsigned head;
    } cases[] = {{TX_AT, 72, ENTRIES}, {TX_AT, 72, 0xFFFF}, {UINT64_MAX - 8, 72, 0}, {UINT64_C(1) << 40, 72, 0}};

    need_vhost(state);
    for (unsigned n = 0; n < sizeof cases / sizeof *cases; n++) {
        start(MERGE);
        fake_driver_describe(&bench.driver, TRANSMIT, 0, cases[n].address, cases[n].length, 0, false);
        fake_driver_offer(&bench.driver, TRANSMIT, cases[n].head);
        for (unsigned waited = 0; waited < PATIENCE_MS && !(status() & 64); waited++)
            usleep(1000);
        assert_true(status() & 64);
        start(MERGE);
        transmit(60, 4);
        comes_out(60, 4);
    }
    /* An index that runs ahead, and rings that lie upon each other and upon the data. */
    start(MERGE);
    put_le16(ram(VIRTIO_AVAIL + TRANSMIT * VIRTIO_RING + 2, 2), 0x8000);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 0x3000 + TRANSMIT * 4, 2, TRANSMIT);
    for (unsigned waited = 0; waited < PATIENCE_MS && !(status() & 64); waited++)
        usleep(1000);
    assert_true(status() & 64);
    start(MERGE);
    give_buffers(1, 2048);
    fake_driver_describe(&bench.driver, RECEIVE, 0, VIRTIO_DESC + RECEIVE * VIRTIO_RING, 2048, FAKE_WRITABLE, false);
    send_in(1000, 0xFF);
    usleep(50000);
    start(MERGE);
    transmit(60, 5);
    comes_out(60, 5);
}

int main(void)
{
    static bool yes = true;
    void *state = have_network() ? &yes : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(frames_pass_both_ways, create, destroy, state),
        cmocka_unit_test_prestate_setup_teardown(a_frame_is_merged_from_small_buffers, create, destroy, state),
        cmocka_unit_test_prestate_setup_teardown(calls_become_interrupts, create, destroy, state),
        cmocka_unit_test_prestate_setup_teardown(a_reset_takes_the_memory_back, create, destroy, state),
        cmocka_unit_test_prestate_setup_teardown(hostile_rings, create, destroy, state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
