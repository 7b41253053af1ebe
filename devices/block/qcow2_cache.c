/* Parts of L2 tables and refcount blocks in memory, as many as the image was given room for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "qcow2.h"

#define DEFAULT_BYTES (16 * MiB)
#define LEAST_SLICES 64U

static unsigned hash(uint64_t offset)
{
    return (unsigned)((offset / QCOW2_BLOCK * 0x9E3779B97F4A7C15ULL) >> 52) % QCOW2_HASH;
}

int qcow2_cache_create(struct qcow2 *q, size_t bytes)
{
    q->cache.limit = MAX((bytes ? bytes : DEFAULT_BYTES) / QCOW2_BLOCK, LEAST_SLICES);
    return 0;
}

void qcow2_cache_destroy(struct qcow2 *q)
{
    for (size_t n = 0; n < q->cache.count; n++) {
        free(q->cache.slices[n]->data);
        free(q->cache.slices[n]);
    }
    free(q->cache.slices);
    memset(&q->cache, 0, sizeof q->cache);
}

struct qcow2_slice *qcow2_slice_find(struct qcow2 *q, uint64_t offset)
{
    struct qcow2_slice *slice = q->cache.hash[hash(offset)];

    while (slice && slice->offset != offset)
        slice = slice->hash_next;
    if (slice)
        slice->recent = true;
    return slice;
}

void qcow2_slice_dirty(struct qcow2 *q, struct qcow2_slice *slice)
{
    if (slice->dirty)
        return;
    if (!q->uncommitted && q->changed)
        q->changed(q->changed_opaque);
    q->uncommitted = true;
    slice->dirty = true;
    q->cache.dirty++;
    q->cache.dirty_refcounts += slice->owner == QCOW2_REFCOUNTS;
}

static void forget(struct qcow2 *q, struct qcow2_slice *slice)
{
    struct qcow2_slice **at = &q->cache.hash[hash(slice->offset)];

    while (*at != slice)
        at = &(*at)->hash_next;
    *at = slice->hash_next;
}

/* A slice that the file has as it is, found by the clock algorithm; out of the hash. NULL: all are needed. */
static struct qcow2_slice *push_out(struct qcow2 *q)
{
    struct qcow2_cache *cache = &q->cache;

    for (size_t n = 0; n < 2 * cache->count; n++) {
        struct qcow2_slice *slice = cache->slices[cache->hand];

        cache->hand = (cache->hand + 1) % cache->count;
        if (slice->dirty || slice->writing)
            continue;
        if (!slice->recent) {
            forget(q, slice);
            return slice;
        }
        slice->recent = false;
    }
    return NULL;
}

static struct qcow2_slice *grow(struct qcow2_cache *cache)
{
    struct qcow2_slice *slice;

    if (cache->count == cache->room) {
        size_t room = MAX(2 * cache->room, (size_t)LEAST_SLICES);
        struct qcow2_slice **larger = realloc(cache->slices, room * sizeof(struct qcow2_slice *));

        if (!larger)
            return NULL;
        cache->slices = larger;
        cache->room = room;
    }
    slice = calloc(1, sizeof *slice);
    if (slice)
        slice->data = qcow2_buffer(QCOW2_BLOCK);
    if (!slice || !slice->data) {
        free(slice);
        return NULL;
    }
    cache->slices[cache->count++] = slice;
    return slice;
}

int qcow2_slice_load(struct qcow2 *q, uint64_t offset, uint32_t owner, bool zero)
{
    uint8_t *data = qcow2_buffer(QCOW2_BLOCK);
    struct qcow2_slice *slice = NULL;
    int failed = data ? 0 : -ENOMEM;

    pthread_mutex_lock(&q->load_lock);
    pthread_mutex_lock(&q->lock);
    if (failed == 0)
        slice = qcow2_slice_find(q, offset);
    if (slice && slice->owner != owner)
        failed = -EIO; /* a damaged image: one cluster as two tables */
    pthread_mutex_unlock(&q->lock);
    if (failed == 0 && !slice) {
        if (zero)
            memset(data, 0, QCOW2_BLOCK);
        else
            failed = qcow2_read(q, data, QCOW2_BLOCK, offset);
        pthread_mutex_lock(&q->lock);
        if (failed == 0) {
            /* Dirty slices stay; a commit is asked for long before they are all (see qcow2_map()). */
            slice = q->cache.count >= q->cache.limit ? push_out(q) : NULL;
            if (!slice)
                slice = grow(&q->cache);
            failed = slice ? 0 : -ENOMEM;
        }
        if (failed == 0) {
            uint8_t *old = slice->data;

            *slice = (struct qcow2_slice){.offset = offset,
                                          .owner = owner,
                                          .recent = true,
                                          .hash_next = q->cache.hash[hash(offset)],
                                          .data = data};
            q->cache.hash[hash(offset)] = slice;
            data = old;
        }
        pthread_mutex_unlock(&q->lock);
    }
    pthread_mutex_unlock(&q->load_lock);
    free(data);
    return failed;
}

void qcow2_table_set(struct qcow2_table *table, uint64_t index, uint64_t entry)
{
    put_be64(table->data + index * 8, entry);
    table->dirty[index * 8 / QCOW2_BLOCK] = true;
    table->any_dirty = true;
}
