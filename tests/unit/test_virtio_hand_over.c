/* A virtio queue whose rings something else serves: kicks, interrupts and life of it, as the host's kernel needs them.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "casement/pci.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake_virtio.h"

#define ENTRIES 16U
#define MSIX UINT64_C(0xC0000000)
#define ISR (VIRTIO_COMMON + 0x1000)
#define PATIENCE_MS 20000

static struct {
    struct fake *fake;
    struct virtio *virtio;
    struct fake_driver driver;
    struct loop *loop;
    bool hand_over, take_back; /* what start() does */
    int failed;
    struct virtq_rings rings;
    atomic_uint kicks;
} bench;

static void start(struct virtio *virtio)
{
    struct virtq *queue = virtio_queue(virtio, 0);

    if (bench.hand_over)
        bench.failed = virtq_hand_over(queue, &bench.rings);
    if (bench.take_back)
        virtq_take_back(queue);
}

static void kicked(struct virtio *virtio, struct virtq *queue)
{
    (void)virtio;
    assert_int_equal(virtq_index(queue), 0);
    bench.kicks++;
}

static int create(void **state)
{
    static const struct virtio_ops ops = {.start = start, .kicked = kicked};
    const struct virtio_options options = {.name = "handed over",
                                           .type = VIRTIO_RNG,
                                           .class_code = 0xFF0000,
                                           .queues = 1,
                                           .queue_size = ENTRIES,
                                           .ops = &ops,
                                           .slot = VIRTIO_SLOT};

    (void)state;
    memset(&bench, 0, sizeof bench);
    bench.fake = fake_create(0);
    assert_int_equal(pci_bus_create(&bench.fake->board, &bench.fake->board.pci), 0);
    assert_int_equal(virtio_create(&bench.fake->board, &options, &bench.virtio), 0);
    bench.loop = loop_create("queues");
    virtio_queue_loop(bench.virtio, 0, bench.loop);
    assert_int_equal(loop_start(bench.loop), 0);
    fake_virtio_place(bench.fake);
    fake_config_write(bench.fake, VIRTIO_SLOT << 3, 0x14, 4, MSIX);
    bench.driver = (struct fake_driver){.fake = bench.fake, .entries = ENTRIES};
    bench.hand_over = true;
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    loop_stop(bench.loop);
    virtio_destroy(bench.virtio);
    loop_destroy(bench.loop);
    fake_destroy(bench.fake);
    return 0;
}

static uint64_t signals(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    return fake_signals(fd);
}

static void call(void)
{
    const uint64_t one = 1;

    assert_int_equal(write(bench.rings.call_fd, &one, sizeof one), sizeof one);
}

static void nothing(void *opaque)
{
    (void)opaque;
}

/* What the loop was told before is done. */
static void settle(void)
{
    loop_call(bench.loop, nothing, NULL);
}

static void enable_msix(bool unmask)
{
    unsigned control = 0;
    uint64_t at = fake_config_read(bench.fake, VIRTIO_SLOT << 3, 0x34, 1);

    while (at && fake_config_read(bench.fake, VIRTIO_SLOT << 3, (unsigned)at, 1) != 0x11)
        at = fake_config_read(bench.fake, VIRTIO_SLOT << 3, (unsigned)at + 1, 1);
    assert_true(at);
    control = (unsigned)at + 2;
    fake_config_write(bench.fake, VIRTIO_SLOT << 3, control, 2, 0x8000);
    fake_write(bench.fake, BUS_MMIO, MSIX, 4, 0xFEE00000);
    fake_write(bench.fake, BUS_MMIO, MSIX + 8, 4, 0x41);
    fake_write(bench.fake, BUS_MMIO, MSIX + 12, 4, !unmask);
}

/* As fake_driver_start(), with vector 0 for the queue. */
static void start_with_vector(void)
{
    fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 0);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 3);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 8, 4, 1);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 12, 4, 1);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 11);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 22, 2, 0);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 26, 2, 0);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 32, 8, VIRTIO_DESC);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 40, 8, VIRTIO_AVAIL);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 48, 8, VIRTIO_USED);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_COMMON + 28, 2, 1);
    fake_write(bench.fake, BUS_MMIO, VIRTIO_STATUS, 1, 15);
}

static void the_server_gets_the_rings_and_the_kicks(void **state)
{
    const struct memory *memory = bench.fake->board.memory;

    (void)state;
    fake_driver_start(&bench.driver, 1, 0);
    assert_int_equal(bench.failed, 0);
    assert_int_equal(bench.rings.size, ENTRIES);
    assert_ptr_equal(bench.rings.descriptors, memory_at(memory, VIRTIO_DESC, 1));
    assert_ptr_equal(bench.rings.driver_area, memory_at(memory, VIRTIO_AVAIL, 1));
    assert_ptr_equal(bench.rings.device_area, memory_at(memory, VIRTIO_USED, 1));
    /* Chains may wait from before the start. */
    assert_int_equal(signals(bench.rings.kick_fd), 1);
    fake_driver_describe(&bench.driver, 0, 0, 0x100000, 64, 0, false);
    fake_driver_offer(&bench.driver, 0, 0);
    fake_driver_offer(&bench.driver, 0, 0);
    settle();
    assert_int_equal(signals(bench.rings.kick_fd), 2);
    assert_int_equal(bench.kicks, 0);
}

static void its_calls_reach_a_driver_with_a_pin(void **state)
{
    (void)state;
    fake_driver_start(&bench.driver, 1, 0);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, ISR, 1), 0);
    call();
    for (unsigned n = 0; n < PATIENCE_MS && !(fake_read(bench.fake, BUS_MMIO, ISR, 1) & 1); n++) {
        assert_int_not_equal(n, PATIENCE_MS - 1);
        usleep(1000);
    }
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, ISR, 1), 0);
}

/* The vector's own eventfd: nothing of this process stands between the server's call and the interrupt. */
static void its_calls_are_the_vector(void **state)
{
    const uint64_t kept = 1;

    (void)state;
    enable_msix(true);
    start_with_vector();
    assert_int_equal(bench.failed, 0);
    virtio_break(bench.virtio, "so that the configuration's vector is not this one");
    assert_int_equal(fake_signals(bench.rings.call_fd), 0);
    call();
    settle();
    assert_int_equal(fake_signals(bench.rings.call_fd), kept);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, ISR, 1), 0);
}

/* A vector that was never unmasked has no eventfd: what is called meanwhile shows in the PBA, and comes when it is. */
static void its_calls_wait_for_a_masked_vector(void **state)
{
    (void)state;
    enable_msix(false);
    start_with_vector();
    call();
    for (unsigned n = 0; n < PATIENCE_MS && !fake_read(bench.fake, BUS_MMIO, MSIX + 0x800, 4); n++) {
        assert_int_not_equal(n, PATIENCE_MS - 1);
        usleep(1000);
    }
    fake_write(bench.fake, BUS_MMIO, MSIX + 12, 4, 0);
    assert_int_equal(fake_read(bench.fake, BUS_MMIO, MSIX + 0x800, 4), 0);
    call();
    settle();
}

static void what_is_taken_back_is_served_here(void **state)
{
    (void)state;
    bench.take_back = true;
    fake_driver_start(&bench.driver, 1, 0);
    fake_driver_describe(&bench.driver, 0, 0, 0x100000, 64, 0, false);
    fake_driver_offer(&bench.driver, 0, 0);
    settle();
    for (unsigned n = 0; n < PATIENCE_MS && !bench.kicks; n++)
        usleep(1000);
    assert_true(bench.kicks);
    /* And the other way round: each start decides anew. */
    bench.take_back = false;
    fake_driver_start(&bench.driver, 1, 0);
    fake_signals(bench.rings.kick_fd);
    bench.kicks = 0;
    fake_driver_offer(&bench.driver, 0, 0);
    settle();
    assert_int_equal(signals(bench.rings.kick_fd), 1);
    assert_int_equal(bench.kicks, 0);
    bench.hand_over = false;
    fake_driver_start(&bench.driver, 1, 0);
    for (unsigned n = 0; n < PATIENCE_MS && !bench.kicks; n++)
        usleep(1000);
    assert_true(bench.kicks);
}

static void no_queue_that_does_not_run(void **state)
{
    struct virtq_rings rings;

    (void)state;
    assert_int_equal(virtq_hand_over(virtio_queue(bench.virtio, 0), &rings), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_server_gets_the_rings_and_the_kicks, create, destroy),
        cmocka_unit_test_setup_teardown(its_calls_reach_a_driver_with_a_pin, create, destroy),
        cmocka_unit_test_setup_teardown(its_calls_are_the_vector, create, destroy),
        cmocka_unit_test_setup_teardown(its_calls_wait_for_a_masked_vector, create, destroy),
        cmocka_unit_test_setup_teardown(what_is_taken_back_is_served_here, create, destroy),
        cmocka_unit_test_setup_teardown(no_queue_that_does_not_run, create, destroy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
