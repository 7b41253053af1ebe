/* From what the guest addresses to what the file has there (specification, "Cluster mapping"). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "qcow2.h"

#define UNLINKED_MAX 65536U /* runs that wait for a commit */
#define ZERO_STEP 64U       /* slices that one call of qcow2_zero() changes */

/* Where the L2 entry for a guest's offset is. */
struct place {
    uint32_t l1_index;
    uint64_t slice; /* offset in the file; 0: there is no such L2 table */
    unsigned index; /* of the entry in the slice */
};

static int damaged(const struct qcow2 *q, uint64_t guest)
{
    static struct log_limit limit;

    log_guest(&limit, "%s: the tables for the disk's byte %llu are damaged; stop and run `casement image repair`",
              q->name, (unsigned long long)guest);
    return -EIO;
}

bool qcow2_offset_valid(const struct qcow2 *q, uint64_t offset)
{
    const struct qcow2_header *header = &q->header;

    return !(offset & (q->cluster - 1)) && offset >= q->cluster && offset >> q->cluster_bits < q->file_clusters &&
           (offset < header->l1_offset || offset >= header->l1_offset + align_up(q->l1.bytes, q->cluster)) &&
           (offset < header->reftable_offset || offset >= header->reftable_offset + q->reftable.bytes);
}

bool qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length)
{
    unsigned shift = 62 - (q->cluster_bits - 8);
    uint64_t at = entry & ((1ULL << shift) - 1);
    uint64_t sectors = ((entry & (QCOW2_COMPRESSED - 1)) >> shift) + 1;
    uint64_t end = (at & ~511ULL) + sectors * 512;

    *offset = at;
    *length = end - at;
    return !(entry & QCOW2_COPIED) && at >= q->cluster && end <= q->file_clusters << q->cluster_bits;
}

static int find_place(const struct qcow2 *q, uint64_t guest, bool write, struct place *place)
{
    uint64_t in_table = guest >> q->cluster_bits & (q->cluster / 8 - 1), entry;

    place->l1_index = (uint32_t)(guest >> (2 * q->cluster_bits - 3));
    place->index = (unsigned)(in_table % QCOW2_ENTRIES);
    place->slice = 0;
    entry = get_be64(q->l1.data + (uint64_t)place->l1_index * 8);
    if (!entry)
        return 0;
    if ((entry & ~(QCOW2_OFFSET | QCOW2_COPIED)) || !qcow2_offset_valid(q, entry & QCOW2_OFFSET) ||
        (write && !(entry & QCOW2_COPIED)))
        return damaged(q, guest);
    place->slice = (entry & QCOW2_OFFSET) + in_table / QCOW2_ENTRIES * QCOW2_BLOCK;
    return 0;
}

bool qcow2_entry_valid(const struct qcow2 *q, uint64_t entry)
{
    uint64_t offset = entry & QCOW2_OFFSET, length;

    if (entry & QCOW2_COMPRESSED)
        return qcow2_compressed_range(q, entry, &offset, &length);
    return !(entry & ~(QCOW2_COPIED | QCOW2_OFFSET | (q->header.version >= 3 ? QCOW2_ZERO : 0))) &&
           (!offset || qcow2_offset_valid(q, offset));
}

/* What a cluster without contents of its own reads as. */
static bool from_backing(const struct qcow2 *q, uint64_t entry, uint64_t guest)
{
    return q->backing && !(entry & (QCOW2_COMPRESSED | QCOW2_OFFSET | QCOW2_ZERO)) && guest < q->backing_size;
}

static bool needs_commit(const struct qcow2 *q)
{
    return q->cache.dirty >= q->cache.limit / 4 || q->unlinked.count >= UNLINKED_MAX;
}

/* A new cluster for one that reads as zeroes. */
static void give_cluster(struct qcow2 *q, struct qcow2_slice *slice, unsigned index, struct qcow2_extent *extent)
{
    if (needs_commit(q)) {
        extent->kind = QCOW2_COMMIT;
        return;
    }
    extent->host = qcow2_alloc(q);
    extent->kind = extent->host ? QCOW2_DATA : QCOW2_PREPARE;
    if (extent->host) {
        put_be64(slice->data + (size_t)index * 8, extent->host | QCOW2_COPIED);
        qcow2_slice_dirty(q, slice);
    }
}

/* One cluster or a part of it; extent->host is the cluster's beginning. */
static int map_cluster(struct qcow2 *q, uint64_t guest, bool write, struct qcow2_extent *extent)
{
    uint64_t offset, entry = 0, first = guest & ~(q->cluster - 1);
    struct qcow2_slice *slice = NULL;
    struct place place;
    int failed = find_place(q, guest, write, &place);

    if (failed < 0)
        return failed;
    extent->kind = QCOW2_PREPARE;
    if (place.slice) {
        slice = qcow2_slice_find(q, place.slice);
        if (!slice)
            return 0;
        if (slice->owner != place.l1_index)
            return damaged(q, guest);
        entry = get_be64(slice->data + (size_t)place.index * 8);
        if (!qcow2_entry_valid(q, entry))
            return damaged(q, guest);
    } else if (write) {
        return 0;
    }
    extent->entry = entry;
    extent->host = offset = entry & QCOW2_OFFSET;
    if (write) {
        if (offset && (entry & (QCOW2_COPIED | QCOW2_COMPRESSED | QCOW2_ZERO)) == QCOW2_COPIED)
            extent->kind = QCOW2_DATA;
        else if (!(entry & QCOW2_COMPRESSED) && !offset && !from_backing(q, entry, first))
            give_cluster(q, slice, place.index, extent);
    } else if (entry & QCOW2_COMPRESSED) {
        extent->kind = QCOW2_INFLATE;
    } else if (offset && !(entry & QCOW2_ZERO)) {
        extent->kind = QCOW2_DATA;
    } else {
        extent->kind = from_backing(q, entry, guest) ? QCOW2_BACKING : QCOW2_ZEROES;
    }
    return 0;
}

int qcow2_map(struct qcow2 *q, uint64_t guest, uint64_t length, bool write, struct qcow2_extent *extent)
{
    *extent = (struct qcow2_extent){0};
    while (extent->length < length) {
        uint64_t at = guest + extent->length, within = at & (q->cluster - 1);
        uint64_t part = MIN(length - extent->length, q->cluster - within);
        struct qcow2_extent next = {0};
        int failed = map_cluster(q, at, write, &next);

        if (failed < 0)
            return extent->length ? 0 : failed;
        if (next.kind == QCOW2_BACKING)
            part = MIN(part, q->backing_size - at);
        if (next.kind == QCOW2_DATA)
            next.host += within;
        if (extent->length == 0) {
            *extent = next;
        } else if (next.kind != extent->kind || next.kind == QCOW2_INFLATE ||
                   (next.kind == QCOW2_DATA && next.host != extent->host + extent->length)) {
            return 0;
        }
        extent->length += part;
        if (next.kind >= QCOW2_INFLATE)
            return 0;
    }
    return 0;
}

/* An L2 table for a part of the disk that has none. Its cluster reads as zeroes: no entries. */
static int new_table(struct qcow2 *q, uint32_t l1_index)
{
    uint64_t host = 0;
    int failed = 0;

    while (failed == 0 && !host) {
        failed = qcow2_alloc_prepare(q);
        pthread_mutex_lock(&q->lock);
        if (failed == 0 && get_be64(q->l1.data + (uint64_t)l1_index * 8)) {
            pthread_mutex_unlock(&q->lock);
            return 0;
        }
        if (failed == 0)
            host = qcow2_alloc(q);
        if (host) {
            qcow2_table_set(&q->l1, l1_index, host | QCOW2_COPIED);
            q->l1_fresh[l1_index] = true;
        }
        pthread_mutex_unlock(&q->lock);
    }
    return failed;
}

int qcow2_read_cluster(struct qcow2 *q, uint64_t guest, uint64_t entry, uint8_t *to)
{
    uint64_t there = 0;
    int failed = 0;

    if (entry & QCOW2_COMPRESSED)
        return qcow2_inflate(q, entry, 0, to, q->cluster);
    if ((entry & QCOW2_OFFSET) && !(entry & QCOW2_ZERO))
        return qcow2_read(q, to, q->cluster, entry & QCOW2_OFFSET);
    if (from_backing(q, entry, guest)) {
        there = MIN(q->cluster, q->backing_size - guest);
        failed = block_pread(q->backing, to, there, guest);
    }
    memset(to + there, 0, q->cluster - there);
    return failed;
}

static bool all_zero(const uint8_t *bytes, uint64_t length)
{
    return bytes[0] == 0 && !memcmp(bytes, bytes + 1, length - 1);
}

/* Makes the entry refer to host, which has the same contents, if it is what it was. */
static int relink(struct qcow2 *q, const struct place *place, uint64_t old, uint64_t host)
{
    for (;;) {
        int failed = qcow2_slice_load(q, place->slice, place->l1_index, false);
        struct qcow2_slice *slice;
        bool again;

        if (failed < 0)
            return failed;
        pthread_mutex_lock(&q->lock);
        slice = qcow2_slice_find(q, place->slice);
        again = !slice;
        if (slice && get_be64(slice->data + (size_t)place->index * 8) != old) {
            failed = -EAGAIN;
        } else if (slice) {
            failed = qcow2_unlink(q, old);
            if (failed == 0) {
                put_be64(slice->data + (size_t)place->index * 8, host | QCOW2_COPIED);
                qcow2_slice_dirty(q, slice);
            }
        }
        pthread_mutex_unlock(&q->lock);
        if (!again)
            return failed;
    }
}

/* A cluster of its own with what the guest reads there now. */
static int copy_cluster(struct qcow2 *q, uint64_t guest, const struct place *place, uint64_t entry)
{
    uint8_t *contents = qcow2_buffer(q->cluster);
    uint64_t host = 0;
    int failed = contents ? qcow2_read_cluster(q, guest, entry, contents) : -ENOMEM;

    if (failed == 0)
        failed = qcow2_alloc_wait(q, &host);
    if (failed == 0 && !all_zero(contents, q->cluster))
        failed = qcow2_write(q, contents, q->cluster, host);
    if (failed == 0)
        failed = relink(q, place, entry, host);
    if (failed < 0 && host) {
        pthread_mutex_lock(&q->lock);
        qcow2_runs_add(&q->unlinked, host >> q->cluster_bits, 1);
        pthread_mutex_unlock(&q->lock);
    }
    free(contents);
    return failed == -EAGAIN ? 0 : failed;
}

int qcow2_prepare(struct qcow2 *q, uint64_t guest, bool write)
{
    uint64_t entry = 0, first = guest & ~(q->cluster - 1);
    struct qcow2_slice *slice;
    struct place place;
    bool copy, valid = true;
    int failed;

    pthread_mutex_lock(&q->lock);
    failed = find_place(q, guest, write, &place);
    pthread_mutex_unlock(&q->lock);
    if (failed < 0)
        return failed;
    if (!place.slice)
        return write ? new_table(q, place.l1_index) : 0;
    failed = qcow2_slice_load(q, place.slice, place.l1_index, false);
    if (failed < 0 || !write)
        return failed;
    pthread_mutex_lock(&q->lock);
    slice = qcow2_slice_find(q, place.slice);
    if (slice)
        entry = get_be64(slice->data + (size_t)place.index * 8);
    valid = qcow2_entry_valid(q, entry);
    pthread_mutex_unlock(&q->lock);
    if (!slice)
        return 0; /* pushed out again: the caller comes back */
    if (!valid)
        return damaged(q, guest);
    copy = (entry & QCOW2_COMPRESSED) || from_backing(q, entry, first) ||
           ((entry & QCOW2_OFFSET) && (entry & (QCOW2_COPIED | QCOW2_ZERO)) != QCOW2_COPIED);
    return copy ? copy_cluster(q, first, &place, entry) : qcow2_alloc_prepare(q);
}

/* Entries of one slice, from guest on. Under lock. */
static int zero_entries(struct qcow2 *q, struct qcow2_slice *slice, unsigned index, uint64_t guest, uint64_t *length)
{
    uint64_t left = *length;

    for (; left && index < QCOW2_ENTRIES; index++) {
        uint8_t *at = slice->data + (size_t)index * 8;
        uint64_t entry = get_be64(at), part = MIN(left, q->cluster);
        bool has = (entry & (QCOW2_COMPRESSED | QCOW2_OFFSET)) != 0;
        int failed = 0;

        if (needs_commit(q)) {
            *length -= left;
            return *length ? 0 : -EAGAIN;
        }
        if (!qcow2_entry_valid(q, entry))
            return damaged(q, guest);
        if (has)
            failed = qcow2_unlink(q, entry);
        if (failed < 0)
            return failed;
        if (has || from_backing(q, entry, guest)) {
            put_be64(at, QCOW2_ZERO);
            qcow2_slice_dirty(q, slice);
        }
        guest += part;
        left -= part;
    }
    *length -= left;
    return 0;
}

static int zero_step(struct qcow2 *q, uint64_t guest, uint64_t length, uint64_t *done)
{
    uint64_t table = 1ULL << (2 * q->cluster_bits - 3);
    struct qcow2_slice *slice;
    struct place place;
    int failed;

    *done = 0;
    pthread_mutex_lock(&q->lock);
    failed = find_place(q, guest, true, &place);
    pthread_mutex_unlock(&q->lock);
    if (failed < 0)
        return failed;
    if (!place.slice) {
        if (q->backing && guest < q->backing_size)
            return new_table(q, place.l1_index);
        *done = MIN(length, table - (guest & (table - 1)));
        return 0;
    }
    failed = qcow2_slice_load(q, place.slice, place.l1_index, false);
    if (failed < 0)
        return failed;
    pthread_mutex_lock(&q->lock);
    slice = qcow2_slice_find(q, place.slice);
    if (slice)
        failed = zero_entries(q, slice, place.index, guest, &length);
    pthread_mutex_unlock(&q->lock);
    if (slice && failed == 0)
        *done = length;
    return failed;
}

int qcow2_zero(struct qcow2 *q, uint64_t guest, uint64_t length, uint64_t *done)
{
    int failed = 0;

    *done = 0;
    for (unsigned n = 0; n < ZERO_STEP && failed == 0 && *done < length; n++) {
        uint64_t more;

        failed = zero_step(q, guest + *done, length - *done, &more);
        *done += more;
    }
    return failed == -EAGAIN && *done ? 0 : failed;
}

int qcow2_pread(struct qcow2 *q, void *to, uint64_t length, uint64_t offset)
{
    uint8_t *buffer = qcow2_buffer(q->cluster), *out = to;
    int failed = buffer ? 0 : -ENOMEM;

    while (failed == 0 && length) {
        struct qcow2_extent extent;
        uint64_t within = offset & (q->cluster - 1), now;
        unsigned parity;

        pthread_mutex_lock(&q->lock);
        parity = qcow2_enter(q);
        failed = qcow2_map(q, offset, MIN(length, q->cluster - within), false, &extent);
        pthread_mutex_unlock(&q->lock);
        now = extent.length;
        if (failed == 0 && extent.kind == QCOW2_PREPARE) {
            failed = qcow2_prepare(q, offset, false);
            now = 0;
        } else if (failed == 0) {
            failed = qcow2_read_cluster(q, offset - within, extent.entry, buffer);
            if (failed == 0)
                memcpy(out, buffer + within, now);
        }
        pthread_mutex_lock(&q->lock);
        qcow2_leave(q, parity);
        pthread_mutex_unlock(&q->lock);
        out += now;
        offset += now;
        length -= now;
    }
    free(buffer);
    return failed;
}
