/*
 * A virtio driver in a process of the guest, for attacks on the monitor: it takes a PCI device from the kernel, maps
 * its BARs, and drives its queues by hand, as well or as badly as the caller wants (Virtual I/O Device 1.2).
 *
 * What fails here is a test that cannot go on: die() says why and ends the process.
 */
#ifndef HOSTILE_DRIVER_H
#define HOSTILE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTIO_NET 0x1041
#define VIRTIO_BLOCK 0x1042
#define VIRTIO_RNG 0x1044

/* device_status (2.1). */
#define STATUS_DRIVER_OK 4
#define STATUS_NEEDS_RESET 64
#define STATUS_READY 15 /* ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK */

/* Offsets in the common configuration (4.1.4.3). */
enum {
    C_DEVICE_FEATURE_SELECT = 0,
    C_DEVICE_FEATURE = 4,
    C_DRIVER_FEATURE_SELECT = 8,
    C_DRIVER_FEATURE = 12,
    C_CONFIG_VECTOR = 16,
    C_NUM_QUEUES = 18,
    C_STATUS = 20,
    C_GENERATION = 21,
    C_QUEUE_SELECT = 22,
    C_QUEUE_SIZE = 24,
    C_QUEUE_VECTOR = 26,
    C_QUEUE_ENABLE = 28,
    C_QUEUE_NOTIFY_OFF = 30,
    C_QUEUE_DESC = 32,
    C_QUEUE_DRIVER = 40,
    C_QUEUE_DEVICE = 48,
    C_END = 56
};

#define F_INDIRECT_DESC (1U << 28)
#define F_EVENT_IDX (1U << 29)

#define D_NEXT 1
#define D_WRITE 2
#define D_INDIRECT 4

#define AREA_BYTES 0x200000 /* one huge page */
#define WAIT_SECONDS 30     /* for a device that must answer */

struct area { /* physically contiguous, never moved by the kernel */
    uint8_t *at;
    uint64_t physical;
};

struct region {
    volatile uint8_t *at;
    uint32_t length;
};

struct device {
    char name[16];
    unsigned place; /* bus, slot and function, as CF8 wants them */
    int config;     /* PCI configuration space */
    struct region bars[6];
    struct region common, notify, isr, specific;
    uint32_t notify_multiplier;
    unsigned msix, window, window_bar; /* offsets of the capabilities */
    struct region msix_table, msix_pba;
    unsigned vectors;
};

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct used_element {
    uint32_t head, length;
};

/* A queue in pages of its own. index and seen are the driver's counters. */
struct queue {
    struct device *device;
    unsigned number, size;
    volatile struct descriptor *descriptors;
    volatile uint16_t *available; /* flags, index, ring */
    volatile uint8_t *used;
    uint64_t descriptors_at, available_at, used_at; /* physical */
    volatile uint8_t *doorbell;
    uint16_t index;
};

enum outcome { SERVED, BROKEN, SILENT };

void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
double seconds_now(void);

struct area area_create(void);
uint64_t physical(const struct area *area, const volatile void *at);

/* Takes the n-th PCI function with these numbers from its driver and maps its BARs; false: there is none. */
bool function_open(struct device *device, unsigned vendor, unsigned number, unsigned n, const char *name);
/* The n-th PCI function with virtio's vendor and this device number; false: there is none. */
bool device_open(struct device *device, unsigned number, unsigned n, const char *name);
uint32_t config_get(const struct device *device, unsigned offset, unsigned size);
void config_put(const struct device *device, unsigned offset, unsigned size, uint32_t value);

/* One access of this size to a mapped register; unaligned is allowed. */
uint64_t mmio_get(volatile uint8_t *at, unsigned size);
void mmio_put(volatile uint8_t *at, unsigned size, uint64_t value);
uint64_t common_get(const struct device *device, unsigned offset, unsigned size);
void common_put(const struct device *device, unsigned offset, unsigned size, uint64_t value);

/* Status 0, and waits until the device says so. */
void device_reset(const struct device *device);
/* From reset to FEATURES_OK, with VERSION_1 and these of the low 32 feature bits. */
void device_negotiate(const struct device *device, uint32_t features);
void device_ready(const struct device *device);
unsigned device_status(const struct device *device);

/* Lays an empty queue of that size out in three pages (size up to 256) at the given place of an area. */
void queue_place(struct queue *queue, struct device *device, unsigned number, unsigned size, const struct area *area,
                 unsigned at);
/* Tells the device where the queue is and enables it; the addresses are the queue's own members. */
void queue_enable(const struct queue *queue);
void queue_describe(const struct queue *queue, unsigned n, uint64_t address, uint32_t length, unsigned flags,
                    unsigned next);
/* Makes a head available without telling the device. */
void queue_add(struct queue *queue, unsigned head);
void queue_set_index(struct queue *queue, uint16_t index);
void queue_kick(const struct queue *queue);
uint16_t queue_used(const struct queue *queue);
struct used_element queue_element(const struct queue *queue, uint16_t n);
/* Until the device has used all that was added, has broken, or has said nothing for so many seconds. */
enum outcome queue_wait(const struct queue *queue, double seconds);
const char *outcome_name(enum outcome outcome);

#endif
