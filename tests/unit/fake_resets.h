/*
 * A disk under load that is reset at random instants, for unit tests that play its driver: what was told as written
 * stays, what was under way is there as a whole or not at all, and nothing arrives behind the reset.
 */
#ifndef CASEMENT_TESTS_FAKE_RESETS_H
#define CASEMENT_TESTS_FAKE_RESETS_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/block.h"

#define RESETS_BLOCK 4096U
#define RESETS_BLOCKS 64U /* of the disk, from its start */
#define RESETS_SLOTS 8U   /* writes under way at once, each with a buffer of its own */

/* One controller's driver. */
struct resets_driver {
    /* Brings the controller up, as after its reset. */
    void (*start)(void *opaque);
    /* The slot's buffer in guest RAM, RESETS_BLOCK bytes. */
    uint8_t *(*buffer)(void *opaque, unsigned slot);
    /* Hands over a write of the slot's buffer to a block; the controller is told. */
    void (*write)(void *opaque, unsigned slot, unsigned block);
    /* The next slot whose write has been told as done, without an error; -1: none now. */
    int (*completed)(void *opaque);
    /* Returns when the driver may take the controller for reset. */
    void (*reset)(void *opaque);
    void *opaque;
};

/* 1,000 resets. The image is what the controller writes to. */
void resets_run(const struct resets_driver *driver, struct block *image);

#endif
