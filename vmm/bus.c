/* The port and MMIO address spaces (see bus.h): two sorted arrays of non-overlapping pieces, rebuilt at each change. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "casement/bus.h"
#include "casement/bytes.h"

/* A stretch of addresses that one region answers. Overlaps are resolved when the pieces are made, not when they are
 * used. */
struct piece {
    uint64_t first, last; /* inclusive, so that the end of the space needs no special case */
    struct bus_region *region;
};

struct space {
    struct bus_region **regions;
    unsigned region_count, region_room;
    struct piece *pieces;
    unsigned piece_count;
};

struct bus {
    pthread_rwlock_t lock; /* held for a look-up or a change, never while a device is called */
    struct space spaces[2];
    uint64_t next_serial;
};

struct bus *bus_create(void)
{
    struct bus *bus = calloc(1, sizeof *bus);

    if (bus)
        pthread_rwlock_init(&bus->lock, NULL);
    return bus;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    for (unsigned n = 0; n < 2; n++) {
        free(bus->spaces[n].regions);
        free(bus->spaces[n].pieces);
    }
    pthread_rwlock_destroy(&bus->lock);
    free(bus);
}

static int compare_addresses(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static uint64_t region_last(const struct bus_region *region)
{
    return region->base + (region->size - 1);
}

static struct bus_region *winner_at(const struct space *space, uint64_t address)
{
    struct bus_region *best = NULL;

    for (unsigned n = 0; n < space->region_count; n++) {
        struct bus_region *region = space->regions[n];

        if (address < region->base || address > region_last(region))
            continue;
        if (!best || region->priority > best->priority ||
            (region->priority == best->priority && region->serial > best->serial))
            best = region;
    }
    return best;
}

/* Cuts the space at every region's first address and behind its last, and asks for each part who answers it. */
static int rebuild(struct space *space)
{
    unsigned cuts = 0;
    uint64_t *cut = malloc((space->region_count * 2 + 1) * sizeof *cut);
    struct piece *pieces = malloc((space->region_count * 2 + 1) * sizeof *pieces);
    unsigned count = 0;

    if (!cut || !pieces) {
        free(cut);
        free(pieces);
        return -ENOMEM;
    }
    for (unsigned n = 0; n < space->region_count; n++) {
        cut[cuts++] = space->regions[n]->base;
        if (region_last(space->regions[n]) != UINT64_MAX)
            cut[cuts++] = region_last(space->regions[n]) + 1;
    }
    qsort(cut, cuts, sizeof *cut, compare_addresses);
    for (unsigned n = 0; n < cuts; n++) {
        struct bus_region *region;

        if (n + 1 < cuts && cut[n] == cut[n + 1])
            continue;
        region = winner_at(space, cut[n]);
        if (region)
            pieces[count++] = (struct piece){cut[n], n + 1 < cuts ? cut[n + 1] - 1 : region_last(region), region};
    }
    free(cut);
    free(space->pieces);
    space->pieces = pieces;
    space->piece_count = count;
    return 0;
}

int bus_add(struct bus *bus, struct bus_region *region)
{
    struct space *space = &bus->spaces[region->space];
    uint64_t limit = region->space == BUS_PORT ? 0xFFFF : UINT64_MAX;
    int result;

    if (region->size == 0 || region->base > limit || region->size - 1 > limit - region->base)
        return -EINVAL;
    pthread_rwlock_wrlock(&bus->lock);
    if (space->region_count == space->region_room) {
        unsigned room = space->region_room ? space->region_room * 2 : 16;
        struct bus_region **regions = realloc(space->regions, room * sizeof(struct bus_region *));

        if (!regions) {
            pthread_rwlock_unlock(&bus->lock);
            return -ENOMEM;
        }
        space->regions = regions;
        space->region_room = room;
    }
    region->serial = bus->next_serial++;
    space->regions[space->region_count++] = region;
    result = rebuild(space);
    if (result < 0)
        space->region_count--;
    pthread_rwlock_unlock(&bus->lock);
    return result;
}

/* Drops a region's pieces where there is no memory for new ones: what it covered reads as ones from then on. */
static void forget_pieces(struct space *space, const struct bus_region *region)
{
    unsigned kept = 0;

    for (unsigned n = 0; n < space->piece_count; n++)
        if (space->pieces[n].region != region)
            space->pieces[kept++] = space->pieces[n];
    space->piece_count = kept;
}

void bus_remove(struct bus *bus, struct bus_region *region)
{
    struct space *space = &bus->spaces[region->space];

    pthread_rwlock_wrlock(&bus->lock);
    for (unsigned n = 0; n < space->region_count; n++) {
        if (space->regions[n] != region)
            continue;
        space->regions[n] = space->regions[--space->region_count];
        if (rebuild(space) < 0)
            forget_pieces(space, region);
        break;
    }
    pthread_rwlock_unlock(&bus->lock);
}

/* Who answers at address; *last is the end of the piece, and base the region's at this moment. */
static struct bus_region *look_up(struct bus *bus, enum bus_space which, uint64_t address, uint64_t *last,
                                  uint64_t *base)
{
    const struct space *space = &bus->spaces[which];
    struct bus_region *found = NULL;
    unsigned low = 0, high;

    pthread_rwlock_rdlock(&bus->lock);
    high = space->piece_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct piece *piece = &space->pieces[middle];

        if (address < piece->first) {
            high = middle;
        } else if (address > piece->last) {
            low = middle + 1;
        } else {
            found = piece->region;
            *last = region_last(found);
            *base = found->base;
            break;
        }
    }
    pthread_rwlock_unlock(&bus->lock);
    return found;
}

uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t address, unsigned size)
{
    uint64_t last, base, value = 0;
    struct bus_region *region = look_up(bus, space, address, &last, &base);

    if (!region && size == 1)
        return 0xFF;
    if (region && size - 1 <= last - address && (size & (size - 1)) == 0)
        return region->ops->read(region->device, address - base, size) & all_ones(size);
    for (unsigned n = 0; n < size; n++)
        value |= (address + n < address ? 0xFF : bus_read(bus, space, address + n, 1)) << (8 * n);
    return value;
}

void bus_write(struct bus *bus, enum bus_space space, uint64_t address, unsigned size, uint64_t value)
{
    uint64_t last, base;
    struct bus_region *region = look_up(bus, space, address, &last, &base);

    if (!region && size == 1)
        return;
    if (region && size - 1 <= last - address && (size & (size - 1)) == 0) {
        region->ops->write(region->device, address - base, size, value & all_ones(size));
        return;
    }
    for (unsigned n = 0; n < size && address + n >= address; n++)
        bus_write(bus, space, address + n, 1, value >> (8 * n) & 0xFF);
}

uint64_t bus_read_words(bus_word_reader *read, void *device, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned n = 0; n < size;) {
        unsigned at = (unsigned)offset + n, skip = at % 4, now = MIN(4 - skip, size - n);

        value |= (read(device, at - skip) >> 8 * skip & all_ones(now)) << 8 * n;
        n += now;
    }
    return value;
}

void bus_write_words(bus_word_writer *write, void *device, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset % 4 || size % 4)
        return;
    for (unsigned n = 0; n < size; n += 4)
        write(device, (unsigned)offset + n, (uint32_t)(value >> 8 * n));
}
