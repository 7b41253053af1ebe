/* Refcounts and free clusters (specification, "Host cluster management"). */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "qcow2.h"

#define STRIDE (16 * MiB) /* what the file grows by; a hole */
#define SCAN_ENOUGH 256U  /* free clusters that one look for them finds */
#define FREE_RUNS_MAX 65536U

uint64_t qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t index)
{
    switch (order) {
    case 4:
        return get_be16(block + 2 * index);
    case 5:
        return get_be32(block + 4 * index);
    case 6:
        return get_be64(block + 8 * index);
    case 3:
        return block[index];
    default:
        return (uint64_t)(block[(index << order) / 8] >> ((index << order) % 8)) & ((1U << (1U << order)) - 1);
    }
}

void qcow2_refcount_set(uint8_t *block, unsigned order, uint64_t index, uint64_t value)
{
    unsigned mask, shift;

    switch (order) {
    case 4:
        put_be16(block + 2 * index, (uint16_t)value);
        return;
    case 5:
        put_be32(block + 4 * index, (uint32_t)value);
        return;
    case 6:
        put_be64(block + 8 * index, value);
        return;
    case 3:
        block[index] = (uint8_t)value;
        return;
    default:
        shift = (unsigned)((index << order) % 8);
        mask = ((1U << (1U << order)) - 1) << shift;
        block += (index << order) / 8;
        *block = (uint8_t)((*block & ~mask) | (((unsigned)value << shift) & mask));
    }
}

int qcow2_refcount_place(const struct qcow2 *q, uint64_t cluster, uint64_t *offset, uint64_t *index)
{
    unsigned order = q->header.refcount_order;
    uint64_t in_block = q->cluster * 8 >> order, in_slice = QCOW2_BLOCK * 8U >> order;
    uint64_t block = cluster / in_block, entry;

    if (block >= q->reftable.bytes / 8)
        return -ENOSPC;
    entry = get_be64(q->reftable.data + block * 8);
    *offset = 0;
    *index = cluster % in_slice;
    if (!entry)
        return 0;
    if (!qcow2_offset_valid(q, entry))
        return -EIO;
    *offset = entry + cluster % in_block / in_slice * QCOW2_BLOCK;
    return 0;
}

/* Room for so many more. */
static int make_room(struct qcow2_runs *runs, size_t more)
{
    if (runs->room - runs->count < more) {
        size_t room = MAX(2 * runs->room, (size_t)64);
        struct qcow2_run *larger = realloc(runs->runs, room * sizeof *larger);

        if (!larger)
            return -ENOMEM;
        runs->runs = larger;
        runs->room = room;
    }
    return 0;
}

int qcow2_runs_add(struct qcow2_runs *runs, uint64_t first, uint64_t count)
{
    if (runs->count && runs->runs[runs->count - 1].first + runs->runs[runs->count - 1].count == first) {
        runs->runs[runs->count - 1].count += count;
        return 0;
    }
    if (make_room(runs, 1) < 0)
        return -ENOMEM;
    runs->runs[runs->count++] = (struct qcow2_run){first, count};
    return 0;
}

void qcow2_runs_free(struct qcow2_runs *runs)
{
    free(runs->runs);
    *runs = (struct qcow2_runs){0};
}

/* What would be allocated next. false: the file must be searched or extended first. */
static bool candidate(const struct qcow2 *q, uint64_t *cluster)
{
    if (q->free.count)
        *cluster = q->free.runs[q->free.count - 1].first;
    else if (q->scan_next < q->scan_end || q->tail == q->file_clusters)
        return false;
    else
        *cluster = q->tail;
    return true;
}

static void take_candidate(struct qcow2 *q)
{
    struct qcow2_run *last = q->free.count ? &q->free.runs[q->free.count - 1] : NULL;

    if (!last) {
        q->tail++;
        return;
    }
    last->first++;
    q->free.count -= --last->count == 0;
}

uint64_t qcow2_alloc(struct qcow2 *q)
{
    unsigned order = q->header.refcount_order;
    uint64_t cluster, offset, index;

    while (candidate(q, &cluster)) {
        struct qcow2_slice *slice;

        if (qcow2_refcount_place(q, cluster, &offset, &index) < 0 || !offset)
            return 0;
        slice = qcow2_slice_find(q, offset);
        if (!slice || slice->owner != QCOW2_REFCOUNTS)
            return 0;
        take_candidate(q);
        /* Counted behind the end of the file by whoever wrote it last: a leak, which stays one. */
        if (qcow2_refcount_get(slice->data, order, index))
            continue;
        qcow2_refcount_set(slice->data, order, index, 1);
        qcow2_slice_dirty(q, slice);
        return cluster << q->cluster_bits;
    }
    return 0;
}

static int write_zeroes(const struct qcow2 *q, uint64_t first, uint64_t count)
{
    uint64_t length = MIN(count << q->cluster_bits, MiB);
    uint8_t *zeroes = qcow2_buffer(length);
    int failed = zeroes ? 0 : -ENOMEM;

    if (zeroes)
        memset(zeroes, 0, length);
    for (uint64_t at = first << q->cluster_bits, end = (first + count) << q->cluster_bits; failed == 0 && at < end;
         at += length)
        failed = qcow2_write(q, zeroes, MIN(length, end - at), at);
    free(zeroes);
    return failed;
}

static int make_zero(const struct qcow2 *q, uint64_t first, uint64_t count)
{
    if (q->can_punch && fallocate(q->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first << q->cluster_bits),
                                  (off_t)(count << q->cluster_bits)) == 0)
        return 0;
    return write_zeroes(q, first, count);
}

/* The refcount's slice, in the cache; NULL with *failed 0: there is no such block. */
static int load_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *offset, uint64_t *index)
{
    int failed;

    pthread_mutex_lock(&q->lock);
    failed = qcow2_refcount_place(q, cluster, offset, index);
    pthread_mutex_unlock(&q->lock);
    return failed < 0 || !*offset ? failed : qcow2_slice_load(q, *offset, QCOW2_REFCOUNTS, false);
}

/* Free clusters among those that one slice of refcounts counts, from scan_next on: the first run of them. */
static uint64_t free_run(struct qcow2 *q, const struct qcow2_slice *slice, uint64_t index, uint64_t end,
                         uint64_t *first)
{
    uint64_t count = 0;

    while (q->scan_next < end && count < SCAN_ENOUGH) {
        bool is_free = (!slice || !qcow2_refcount_get(slice->data, q->header.refcount_order, index)) &&
                       qcow2_offset_valid(q, q->scan_next << q->cluster_bits);

        if (!is_free && count)
            break;
        if (is_free && count++ == 0)
            *first = q->scan_next;
        q->scan_next++;
        index++;
    }
    return count;
}

/* Looks on, until it has found free clusters or has come to the end. */
static int scan(struct qcow2 *q)
{
    uint64_t in_slice = QCOW2_BLOCK * 8U >> q->header.refcount_order;

    for (;;) {
        uint64_t offset, index, first = 0, count = 0, next;
        int failed;

        pthread_mutex_lock(&q->lock);
        next = q->scan_next;
        pthread_mutex_unlock(&q->lock);
        if (next >= q->scan_end)
            return 0;
        failed = load_refcount(q, next, &offset, &index);
        pthread_mutex_lock(&q->lock);
        if (failed < 0) {
            q->scan_next = q->scan_end; /* damaged: leave what lies there alone, and take new ones */
        } else {
            struct qcow2_slice *slice = offset ? qcow2_slice_find(q, offset) : NULL;

            if (slice || !offset)
                count = free_run(q, slice, index, MIN(q->scan_end, next - index + in_slice), &first);
        }
        pthread_mutex_unlock(&q->lock);
        if (count) {
            failed = make_zero(q, first, count);
            pthread_mutex_lock(&q->lock);
            if (failed == 0)
                failed = qcow2_runs_add(&q->free, first, count);
            pthread_mutex_unlock(&q->lock);
            return failed;
        }
    }
}

static int extend(struct qcow2 *q)
{
    uint64_t more = MAX(STRIDE >> q->cluster_bits, 8ULL), clusters = q->file_clusters + more;

    if (ftruncate(q->fd, (off_t)(clusters << q->cluster_bits)) < 0)
        return -errno;
    pthread_mutex_lock(&q->lock);
    q->file_clusters = clusters;
    pthread_mutex_unlock(&q->lock);
    return 0;
}

/* The cluster becomes the refcount block that counts it. Its other parts are zeroes in the file already. */
static int new_refcount_block(struct qcow2 *q, uint64_t cluster)
{
    unsigned order = q->header.refcount_order;
    uint64_t in_block = q->cluster * 8 >> order, in_slice = QCOW2_BLOCK * 8U >> order;
    uint64_t offset = cluster << q->cluster_bits, part = offset + cluster % in_block / in_slice * QCOW2_BLOCK;
    int failed = qcow2_slice_load(q, part, QCOW2_REFCOUNTS, true);
    struct qcow2_slice *slice;

    if (failed < 0)
        return failed;
    pthread_mutex_lock(&q->lock);
    slice = qcow2_slice_find(q, part);
    if (slice) {
        uint64_t still;

        /* Another thread takes no candidate whose block is missing. */
        if (candidate(q, &still) && still == cluster) {
            take_candidate(q);
            qcow2_refcount_set(slice->data, order, cluster % in_slice, 1);
            qcow2_slice_dirty(q, slice);
            qcow2_table_set(&q->reftable, cluster / in_block, offset);
        }
    }
    pthread_mutex_unlock(&q->lock);
    return 0;
}

int qcow2_alloc_prepare(struct qcow2 *q)
{
    for (;;) {
        uint64_t cluster = 0, offset = 0, index;
        bool some, search, there = false;
        int failed = 0;

        pthread_mutex_lock(&q->lock);
        some = candidate(q, &cluster);
        search = !some && q->scan_next < q->scan_end;
        if (some)
            failed = qcow2_refcount_place(q, cluster, &offset, &index);
        if (some && failed == 0 && offset) {
            const struct qcow2_slice *slice = qcow2_slice_find(q, offset);

            there = slice != NULL;
            if (slice && slice->owner != QCOW2_REFCOUNTS)
                failed = -EIO;
        }
        pthread_mutex_unlock(&q->lock);
        if (failed < 0 || there)
            return failed;
        if (search)
            failed = scan(q);
        else if (!some)
            failed = extend(q);
        else if (offset)
            return qcow2_slice_load(q, offset, QCOW2_REFCOUNTS, false);
        else
            failed = new_refcount_block(q, cluster);
        if (failed < 0)
            return failed;
    }
}

int qcow2_alloc_wait(struct qcow2 *q, uint64_t *host)
{
    int failed = 0;

    *host = 0;
    while (failed == 0 && !*host) {
        failed = qcow2_alloc_prepare(q);
        pthread_mutex_lock(&q->lock);
        if (failed == 0)
            *host = qcow2_alloc(q);
        pthread_mutex_unlock(&q->lock);
    }
    return failed;
}

int qcow2_unlink(struct qcow2 *q, uint64_t entry)
{
    uint64_t offset = entry & QCOW2_OFFSET, length = q->cluster;

    if (entry & QCOW2_COMPRESSED) {
        if (!qcow2_compressed_range(q, entry, &offset, &length))
            return -EIO;
    } else if (!offset) {
        return 0;
    } else if (!qcow2_offset_valid(q, offset)) {
        return -EIO;
    }
    /* All or nothing: what is still referred to must not be given back. A compressed cluster lies in up to three. */
    if (make_room(&q->unlinked, 3) < 0)
        return -ENOMEM;
    for (uint64_t n = offset >> q->cluster_bits; n <= (offset + length - 1) >> q->cluster_bits; n++)
        qcow2_runs_add(&q->unlinked, n, 1);
    return 0;
}

/* How many clusters in a row have one reference only. */
static uint64_t sole(const struct qcow2 *q, const struct qcow2_slice *slice, uint64_t index, uint64_t count)
{
    unsigned order = q->header.refcount_order;
    uint64_t n = 0;

    while (n < count && qcow2_refcount_get(slice->data, order, index + n) == 1)
        n++;
    return n;
}

/* One step through a run: returns how many clusters were done, or -errno. */
static int64_t release_some(struct qcow2 *q, uint64_t first, uint64_t count)
{
    unsigned order = q->header.refcount_order;
    uint64_t offset, index, alone = 0;
    struct qcow2_slice *slice;
    int failed = load_refcount(q, first, &offset, &index);

    if (failed < 0 || !offset)
        return failed < 0 ? failed : 1;
    count = MIN(count, (QCOW2_BLOCK * 8U >> order) - index);
    pthread_mutex_lock(&q->lock);
    slice = qcow2_slice_find(q, offset);
    if (slice)
        alone = sole(q, slice, index, count);
    if (slice && !alone) {
        uint64_t value = qcow2_refcount_get(slice->data, order, index);

        if (value)
            qcow2_refcount_set(slice->data, order, index, value - 1);
        qcow2_slice_dirty(q, slice);
    }
    pthread_mutex_unlock(&q->lock);
    if (!slice || !alone)
        return slice ? 1 : 0;
    failed = make_zero(q, first, alone);
    if (failed == 0)
        failed = qcow2_slice_load(q, offset, QCOW2_REFCOUNTS, false);
    if (failed < 0)
        return failed;
    pthread_mutex_lock(&q->lock);
    slice = qcow2_slice_find(q, offset);
    for (uint64_t n = 0; slice && n < alone; n++)
        qcow2_refcount_set(slice->data, order, index + n, 0);
    if (slice)
        qcow2_slice_dirty(q, slice);
    /* What the search has yet to come to it will find. Too many to remember are left to the next opening. */
    for (uint64_t n = first; slice && n < first + alone && failed == 0 && q->free.count < FREE_RUNS_MAX; n++)
        if (n < q->scan_next || n >= q->scan_end)
            failed = qcow2_runs_add(&q->free, n, 1);
    pthread_mutex_unlock(&q->lock);
    return failed < 0 ? failed : slice ? (int64_t)alone : 0;
}

int qcow2_reclaim(struct qcow2 *q)
{
    struct qcow2_runs runs;
    int failed = 0;

    for (;;) {
        pthread_mutex_lock(&q->lock);
        if (!q->leaving.count && q->limbo.count) {
            qcow2_runs_free(&q->leaving);
            q->leaving = q->limbo;
            q->limbo = (struct qcow2_runs){0};
            q->parity ^= 1;
        }
        if (!q->leaving.count || q->active[q->parity ^ 1]) {
            pthread_mutex_unlock(&q->lock);
            return failed;
        }
        runs = q->leaving;
        q->leaving = (struct qcow2_runs){0};
        pthread_mutex_unlock(&q->lock);
        for (size_t n = 0; n < runs.count; n++)
            for (uint64_t done = 0; done < runs.runs[n].count;) {
                int64_t some = release_some(q, runs.runs[n].first + done, runs.runs[n].count - done);

                /* A cluster that cannot be given back is a leak, which is harmless. */
                if (some < 0)
                    failed = (int)some;
                done += some < 0 ? 1 : (uint64_t)some;
            }
        qcow2_runs_free(&runs);
    }
}

unsigned qcow2_enter(struct qcow2 *q)
{
    q->active[q->parity]++;
    return q->parity;
}

void qcow2_leave(struct qcow2 *q, unsigned parity)
{
    q->active[parity]--;
}
