/*
 * The port and MMIO address spaces: who answers an access that left the guest.
 *
 * Look-up is a binary search under a read lock that is released before the device is called, so a device may move its
 * own regions from inside a callback, and other vCPUs go on meanwhile. An access that was looked up just before a
 * region moved is still delivered to its device once: devices live as long as the bus. Unclaimed reads are all ones,
 * unclaimed writes are dropped (platform contract 0.1, row 10).
 */
#ifndef CASEMENT_BUS_H
#define CASEMENT_BUS_H

#include <stdint.h>

#include "casement/vm.h"

/*
 * A device's side. offset is from the region's start, size is 1, 2, 4 or 8, and the access never crosses the region's
 * end. Values are the guest's little-endian words as host integers. Called on any vCPU's thread: the device locks.
 */
struct bus_ops {
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, unsigned size, uint64_t value);
};

/* One claimed range; the storage belongs to the device. Zero-initialise, fill the first part, then bus_add(). */
struct bus_region {
    const char *name;
    enum bus_space space;
    uint64_t base, size;
    const struct bus_ops *ops;
    void *device;
    /*
     * Which of several overlapping regions answers: the higher priority, then the later added. Firmware moves BARs
     * one half at a time, so overlaps happen and end again.
     */
    int priority;
    uint64_t serial; /* the bus's own */
};

struct bus;
struct bus *bus_create(void);
void bus_destroy(struct bus *bus);

/* 0, -EINVAL when the range is empty or wraps, -ENOMEM. The region must stay until bus_remove(). */
int bus_add(struct bus *bus, struct bus_region *region);
/* No effect on a region that is not there. */
void bus_remove(struct bus *bus, struct bus_region *region);

/*
 * For devices whose registers are 32 bits wide, and written as a whole: any part of them may be read, and an access of
 * 8 bytes is two registers, the lower first. Each register that a read touches is read once. A write of a part, or of
 * parts of two, means nothing and is dropped. offset is handed on as a multiple of 4.
 */
typedef uint32_t bus_word_reader(void *device, unsigned offset);
typedef void bus_word_writer(void *device, unsigned offset, uint32_t value);
uint64_t bus_read_words(bus_word_reader *read, void *device, uint64_t offset, unsigned size);
void bus_write_words(bus_word_writer *write, void *device, uint64_t offset, unsigned size, uint64_t value);

/* One access by the guest. size 1 to 8; an access that runs over the end of a region is split into bytes. Any thread.
 */
uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t address, unsigned size);
void bus_write(struct bus *bus, enum bus_space space, uint64_t address, unsigned size, uint64_t value);

#endif
