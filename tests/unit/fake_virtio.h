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
void fake_virtio_start_queues(struct fake *fake, unsigned queues, unsigned entries);
/* The same with one queue. */
void fake_virtio_start(struct fake *fake, unsigned entries);

#endif
