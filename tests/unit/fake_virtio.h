/* The guest's driver of a virtio device, for unit tests: where its registers and rings are, and its
 * start. */
#ifndef CASEMENT_TESTS_FAKE_VIRTIO_H
#define CASEMENT_TESTS_FAKE_VIRTIO_H

#include "fake.h"

#define VIRTIO_SLOT 5
#define VIRTIO_COMMON UINT64_C(0xE000000000)
#define VIRTIO_NOTIFY (VIRTIO_COMMON + 0x3000)
#define VIRTIO_STATUS (VIRTIO_COMMON + 20)

/* The rings in guest RAM, of queue 0; those of others each VIRTIO_RING behind. */
#define VIRTIO_RING 0x1000U
#define VIRTIO_DESC 0x10000U
#define VIRTIO_AVAIL 0x20000U
#define VIRTIO_USED 0x30000U

/* Gives the function in VIRTIO_SLOT its window and lets it answer. */
void fake_virtio_place(struct fake *fake);
/* From reset to DRIVER_OK, with VERSION_1 and queue 0 of so many entries (virtio 1.2, 3.1.1). */
void fake_virtio_start(struct fake *fake, unsigned entries);

/* A driver that has several queues. Zero-initialised but for the first two. */
#define FAKE_DRIVER_QUEUES 4
struct fake_driver {
    struct fake *fake;
    unsigned entries;
    uint16_t offered[FAKE_DRIVER_QUEUES];
};
/* Empty rings, then from reset to DRIVER_OK, with VERSION_1 and these of the first 32 features. */
void fake_driver_start(struct fake_driver *driver, unsigned queues, uint32_t features);
/* Descriptor n of a queue; with more the next one is n + 1. */
#define FAKE_WRITABLE 2U
void fake_driver_describe(const struct fake_driver *driver, unsigned queue, unsigned n, uint64_t address, size_t length,
                          unsigned flags, bool more);
/* The chain that begins there is the device's, which is told. */
void fake_driver_offer(struct fake_driver *driver, unsigned queue, unsigned head);
/* How many chains are used. */
uint16_t fake_driver_used(const struct fake_driver *driver, unsigned queue);
/* Waits until all that was offered is used; false: the device has broken instead. */
bool fake_driver_wait(const struct fake_driver *driver, unsigned queue);

#endif
