/*
 * A board with a virtio disk of 1 MiB, and its driver in the guest, honest or not, for unit tests of transport, queue
 * and disk: registers one at a time, chains of queue 0.
 */
#ifndef CASEMENT_TESTS_FAKE_VIRTIO_BENCH_H
#define CASEMENT_TESTS_FAKE_VIRTIO_BENCH_H

#include "casement/block.h"
#include "casement/virtio.h"
#include "fake.h"

#define SLOT 5
#define DEVFN (SLOT << 3)
#define WINDOW UINT64_C(0xE000000000)
#define COMMON WINDOW
#define ISR (WINDOW + 0x1000)
#define DEVICE (WINDOW + 0x2000)
#define NOTIFY (WINDOW + 0x3000)

/* Where the driver keeps its things in guest RAM. */
#define DESC 0x10000
#define AVAIL 0x20000
#define USED 0x30000
#define DATA 0x100000
#define SIZE 16

enum {
    F_SELECT = 0,
    F_BITS = 4,
    D_SELECT = 8,
    D_BITS = 12,
    STATUS = 20,
    GENERATION = 21,
    Q_SELECT = 22,
    Q_SIZE = 24,
    Q_VECTOR = 26,
    Q_ENABLE = 28
};

struct bench {
    struct fake *fake;
    struct block *block;
    struct virtio *virtio;
    char path[64];
    uint16_t avail;
    bool moved; /* the machine was reset: the BARs are gone */
};

struct bench *bench_create_on(enum block_engine engine);
/* With the engine of threads. */
struct bench *bench_create(void);
void bench_destroy(struct bench *bench);
/* Gives the function its BARs and lets it answer. */
void bench_place_window(struct bench *bench);

/* A register, at its guest address. */
uint64_t bench_get(struct bench *bench, uint64_t at, unsigned size);
void bench_put(struct bench *bench, uint64_t at, unsigned size, uint64_t value);
/* Guest RAM. */
void bench_poke(struct bench *bench, uint64_t at, unsigned size, uint64_t value);
uint64_t bench_peek(struct bench *bench, uint64_t at, unsigned size);

/* Up to FEATURES_OK, with VERSION_1 and what else is wanted of the low bits. */
void bench_negotiate(struct bench *bench, uint32_t low);
/* Queue 0 of SIZE entries with these areas, enabled. */
void bench_set_queue(struct bench *bench, uint64_t desc, uint64_t avail, uint64_t used);
/* Empty rings, then up to DRIVER_OK, with these of the low features. */
void bench_start_with(struct bench *bench, uint32_t features);
/* With none of them. */
void bench_start(struct bench *bench);

void bench_describe(struct bench *bench, unsigned index, uint64_t address, uint32_t length, unsigned flags,
                    unsigned next);
/* The chain that begins there is the device's, which is told. */
void bench_offer(struct bench *bench, unsigned head);
/* Until the device has used so many chains, or says that it is broken. true: used. */
bool bench_wait_used(struct bench *bench, uint16_t count);
/* Offers a request of the disk, with its data at DATA + 0x1000. */
void bench_request(struct bench *bench, unsigned type, uint64_t sector, uint32_t length, bool writable);
/* Waits for the end of all that was offered; the status of the last request. */
unsigned bench_status_after(struct bench *bench);

#endif
