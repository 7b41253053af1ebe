/*
 * Under ThreadSanitizer: a driver resets the disk while another processor offers chains faster than the disk takes them
 * (lessons 4.5, rows 11 and 12). After a reset nothing may look at the queue any more.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/loop.h"
#include "casement/pci.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake_virtio.h"

#define DATA 0x100000
#define SIZE 256
#define RESETS 600
#define SECONDS 6

static struct fake *fake;
static struct virtio *disk;
static _Atomic bool ended, driven;

static void put(uint64_t at, unsigned size, uint64_t value)
{
    fake_write(fake, BUS_MMIO, at, size, value);
}

static uint16_t *word(uint64_t at)
{
    return memory_at(fake->board.memory, at, 2);
}

static uint16_t used(void)
{
    return __atomic_load_n(word(VIRTIO_USED + 2), __ATOMIC_ACQUIRE);
}

/* As far ahead as a driver may be. Every chain is answered at once: it has no header. */
static void *produce(void *opaque)
{
    while (!atomic_load(&ended))
        __atomic_store_n(word(VIRTIO_AVAIL + 2), (uint16_t)(used() + SIZE), __ATOMIC_RELEASE);
    return opaque;
}

/* An operator asks at any time. The driver here accepts what firmware does. */
static void *ask(void *opaque)
{
    while (!atomic_load(&ended)) {
        if (virtio_driven(disk))
            atomic_store(&driven, true);
        usleep(100);
    }
    return opaque;
}

/* Descriptor n and the ring's entry n: one byte that the device may write. */
static void fill_rings(void)
{
    for (unsigned n = 0; n < SIZE; n++) {
        uint8_t *descriptor = memory_at(fake->board.memory, VIRTIO_DESC + n * 16, 16);

        put_le64(descriptor, DATA + n);
        put_le32(descriptor + 8, 1);
        put_le16(descriptor + 12, 2);
        *word(VIRTIO_AVAIL + 4 + n * 2) = (uint16_t)n;
    }
}

static struct block *open_disk(char *path)
{
    const struct block_options options = {.path = path, .engine = BLOCK_ENGINE_THREADS};
    struct error error = {""};
    struct block *block;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    assert_int_equal(block_open(&options, &block, &error), 0);
    unlink(path);
    return block;
}

static void resets_and_a_producer(void **state)
{
    char path[] = "build/race-virtio-XXXXXX";
    struct virtio_block_options device = {.queues = 1, .slot = VIRTIO_SLOT};
    struct error error = {""};
    unsigned rounds = 0;
    int64_t end = clock_ns() + SECONDS * INT64_C(1000000000);
    pthread_t producer, operator;

    (void)state;
    fake = fake_create(0);
    assert_int_equal(pci_bus_create(&fake->board, &fake->board.pci), 0);
    device.block = open_disk(path);
    assert_int_equal(virtio_block_create(&fake->board, &device, &disk, &error), 0);
    fake_virtio_place(fake);
    fill_rings();
    assert_int_equal(pthread_create(&producer, NULL, produce, NULL), 0);
    assert_int_equal(pthread_create(&operator, NULL, ask, NULL), 0);
    for (unsigned n = 0; n < RESETS && clock_ns() < end; n++) {
        uint8_t *data = memory_at(fake->board.memory, DATA, SIZE);

        __atomic_store_n(word(VIRTIO_USED + 2), 0, __ATOMIC_RELEASE);
        fake_virtio_start(fake, SIZE);
        for (unsigned tries = 0; tries < 100 && used() < (n % 8) * SIZE; tries++) {
            put(VIRTIO_NOTIFY, 2, 0);
            usleep(20);
        }
        rounds += used() / SIZE;
        put(VIRTIO_STATUS, 1, 0);
        memset(data, 0x77, SIZE); /* the driver's again: a race with any late answer */
    }
    atomic_store(&ended, true);
    pthread_join(producer, NULL);
    pthread_join(operator, NULL);
    assert_true(rounds > 10);
    assert_false(atomic_load(&driven));
    fake_destroy(fake);
    block_close(device.block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resets_and_a_producer)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
