/* See fake_virtio.h. */
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_virtio.h"

static void put(struct fake *fake, uint64_t at, unsigned size, uint64_t value)
{
    fake_write(fake, BUS_MMIO, at, size, value);
}

void fake_virtio_place(struct fake *fake)
{
    fake_config_write(fake, VIRTIO_SLOT << 3, 0x20, 4, (uint32_t)VIRTIO_COMMON);
    fake_config_write(fake, VIRTIO_SLOT << 3, 0x24, 4, VIRTIO_COMMON >> 32);
    fake_config_write(fake, VIRTIO_SLOT << 3, 0x04, 2, 6);
}

static void set_queue(struct fake *fake, unsigned queue, unsigned entries)
{
    put(fake, VIRTIO_COMMON + 22, 2, queue);
    put(fake, VIRTIO_COMMON + 24, 2, entries);
    put(fake, VIRTIO_COMMON + 32, 8, VIRTIO_DESC + queue * VIRTIO_RING);
    put(fake, VIRTIO_COMMON + 40, 8, VIRTIO_AVAIL + queue * VIRTIO_RING);
    put(fake, VIRTIO_COMMON + 48, 8, VIRTIO_USED + queue * VIRTIO_RING);
    put(fake, VIRTIO_COMMON + 28, 2, 1);
}

static void start(struct fake *fake, unsigned queues, unsigned entries, uint32_t features)
{
    put(fake, VIRTIO_STATUS, 1, 0);
    put(fake, VIRTIO_STATUS, 1, 1);
    put(fake, VIRTIO_STATUS, 1, 3);
    put(fake, VIRTIO_COMMON + 8, 4, 0);
    put(fake, VIRTIO_COMMON + 12, 4, features);
    put(fake, VIRTIO_COMMON + 8, 4, 1); /* the upper features */
    put(fake, VIRTIO_COMMON + 12, 4, 1);
    put(fake, VIRTIO_STATUS, 1, 11);
    for (unsigned n = 0; n < queues; n++)
        set_queue(fake, n, entries);
    put(fake, VIRTIO_STATUS, 1, 15);
}

void fake_virtio_start(struct fake *fake, unsigned entries)
{
    start(fake, 1, entries, 0);
}

static uint8_t *ram(const struct fake_driver *driver, uint64_t at, size_t length)
{
    uint8_t *bytes = memory_at(driver->fake->board.memory, at, length);

    assert_non_null(bytes);
    return bytes;
}

void fake_driver_start(struct fake_driver *driver, unsigned queues, uint32_t features)
{
    memset(ram(driver, VIRTIO_DESC, FAKE_DRIVER_QUEUES * VIRTIO_RING), 0, FAKE_DRIVER_QUEUES * VIRTIO_RING);
    memset(ram(driver, VIRTIO_AVAIL, FAKE_DRIVER_QUEUES * VIRTIO_RING), 0, FAKE_DRIVER_QUEUES * VIRTIO_RING);
    memset(ram(driver, VIRTIO_USED, FAKE_DRIVER_QUEUES * VIRTIO_RING), 0, FAKE_DRIVER_QUEUES * VIRTIO_RING);
    memset(driver->offered, 0, sizeof driver->offered);
    start(driver->fake, queues, driver->entries, features);
}

void fake_driver_describe(const struct fake_driver *driver, unsigned queue, unsigned n, uint64_t address, size_t length,
                          unsigned flags, bool more)
{
    uint8_t *descriptor = ram(driver, VIRTIO_DESC + queue * VIRTIO_RING + n * 16, 16);

    put_le64(descriptor, address);
    put_le32(descriptor + 8, (uint32_t)length);
    put_le16(descriptor + 12, (uint16_t)(flags | more));
    put_le16(descriptor + 14, (uint16_t)(n + 1));
}

void fake_driver_offer(struct fake_driver *driver, unsigned queue, unsigned head)
{
    uint8_t *ring = ram(driver, VIRTIO_AVAIL + queue * VIRTIO_RING, 4 + 2 * (size_t)driver->entries);
    uint16_t *index = (uint16_t *)(void *)(ring + 2);

    put_le16(ring + 4 + driver->offered[queue] % driver->entries * 2, (uint16_t)head);
    __atomic_store_n(index, ++driver->offered[queue], __ATOMIC_RELEASE);
    fake_write(driver->fake, BUS_MMIO, VIRTIO_NOTIFY + queue * 4, 2, queue);
}

uint16_t fake_driver_used(const struct fake_driver *driver, unsigned queue)
{
    const uint16_t *index = (uint16_t *)(void *)ram(driver, VIRTIO_USED + queue * VIRTIO_RING + 2, 2);

    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

bool fake_driver_wait(const struct fake_driver *driver, unsigned queue)
{
    for (unsigned n = 0; n < 40000; n++) {
        if (fake_driver_used(driver, queue) == driver->offered[queue])
            return true;
        if (fake_read(driver->fake, BUS_MMIO, VIRTIO_STATUS, 1) & 64)
            return false;
        usleep(500);
    }
    fail_msg("the device neither used its chains nor broke");
    return false;
}
