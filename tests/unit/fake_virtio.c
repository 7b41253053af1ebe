/* See fake_virtio.h. */
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

void fake_virtio_start_queues(struct fake *fake, unsigned queues, unsigned entries)
{
    put(fake, VIRTIO_STATUS, 1, 1);
    put(fake, VIRTIO_STATUS, 1, 3);
    put(fake, VIRTIO_COMMON + 8, 4, 1); /* the upper features */
    put(fake, VIRTIO_COMMON + 12, 4, 1);
    put(fake, VIRTIO_STATUS, 1, 11);
    for (unsigned n = 0; n < queues; n++)
        set_queue(fake, n, entries);
    put(fake, VIRTIO_STATUS, 1, 15);
}

void fake_virtio_start(struct fake *fake, unsigned entries)
{
    fake_virtio_start_queues(fake, 1, entries);
}
