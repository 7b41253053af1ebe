/* The guest's driver of a virtio device with one queue, for unit tests: where its registers and rings are, and its
 * start. */
#ifndef CASEMENT_TESTS_FAKE_VIRTIO_H
#define CASEMENT_TESTS_FAKE_VIRTIO_H

#include "fake.h"

#define VIRTIO_SLOT 5
#define VIRTIO_COMMON UINT64_C(0xE000000000)
#define VIRTIO_NOTIFY (VIRTIO_COMMON + 0x3000)
#define VIRTIO_STATUS (VIRTIO_COMMON + 20)

/* The rings in guest RAM. */
#define VIRTIO_DESC 0x10000U
#define VIRTIO_AVAIL 0x20000U
#define VIRTIO_USED 0x30000U

/* Gives the function in VIRTIO_SLOT its window and lets it answer. */
void fake_virtio_place(struct fake *fake);
/* From reset to DRIVER_OK, with VERSION_1 and queue 0 of so many entries (virtio 1.2, 3.1.1). */
void fake_virtio_start(struct fake *fake, unsigned entries);

#endif
