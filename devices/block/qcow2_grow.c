/*
 * A qcow2 image becomes larger, also while requests are under way. Its L1 table needs more entries, and its refcount
 * table must be able to count all clusters that the larger disk can come to. A table that its clusters have no room for
 * moves to a run of new ones:
 *
 *   1. the new clusters are counted, and all tables committed    what is lost now leaks them
 *   2. the table is written there                                fdatasync
 *   3. one sector of the header names the new place              fdatasync
 *   4. the old clusters are given back by the next commit
 *
 * It runs on the thread that alone allocates and adds entries to these tables (qcow2_work.c), or on an image that has
 * no threads. Loops and commits go on: the table's memory is exchanged under both their locks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "qcow2.h"

#define COMMITS_MAX 3U /* that fail to leave a table as the file has it */

/* A table's new memory and place. */
struct larger {
    struct qcow2_table table;
    bool *fresh; /* of an L1 table */
    uint64_t clusters;
    bool moves;
};

/* Clusters in a row at the end of the file. What is left of the hole there stays free. */
static int reserve(struct qcow2 *q, uint64_t count, uint64_t *first)
{
    int failed = 0;

    pthread_mutex_lock(&q->lock);
    *first = q->file_clusters;
    if (q->tail < *first)
        failed = qcow2_runs_add(&q->free, q->tail, *first - q->tail);
    if (failed == 0)
        q->tail = *first;
    pthread_mutex_unlock(&q->lock);
    if (failed == 0 && ftruncate(q->fd, (off_t)((*first + count) << q->cluster_bits)) < 0)
        failed = -errno;
    if (failed < 0)
        return failed;
    pthread_mutex_lock(&q->lock);
    q->tail = q->file_clusters = *first + count;
    pthread_mutex_unlock(&q->lock);
    return 0;
}

/* A refcount block for the cluster, if there is none. A new cluster reads as zeroes: it counts nothing yet. */
static int need_refcount_block(struct qcow2 *q, uint64_t cluster)
{
    uint64_t in_block = q->cluster * 8 >> q->header.refcount_order, offset, index, host;
    int failed;

    pthread_mutex_lock(&q->lock);
    failed = qcow2_refcount_place(q, cluster, &offset, &index);
    pthread_mutex_unlock(&q->lock);
    if (failed < 0 || offset)
        return failed;
    failed = qcow2_alloc_wait(q, &host);
    if (failed < 0)
        return failed;
    pthread_mutex_lock(&q->lock);
    failed = qcow2_refcount_place(q, cluster, &offset, &index);
    if (failed == 0 && !offset)
        qcow2_table_set(&q->reftable, cluster / in_block, host);
    else
        qcow2_runs_add(&q->unlinked, host >> q->cluster_bits, 1); /* allocating has made one */
    pthread_mutex_unlock(&q->lock);
    return failed;
}

static int count_one(struct qcow2 *q, uint64_t cluster)
{
    struct qcow2_slice *slice = NULL;
    uint64_t offset = 0, index = 0;
    int failed = need_refcount_block(q, cluster);

    while (failed == 0 && !slice) {
        pthread_mutex_lock(&q->lock);
        failed = qcow2_refcount_place(q, cluster, &offset, &index);
        pthread_mutex_unlock(&q->lock);
        if (failed == 0)
            failed = qcow2_slice_load(q, offset, QCOW2_REFCOUNTS, false);
        pthread_mutex_lock(&q->lock);
        slice = failed == 0 ? qcow2_slice_find(q, offset) : NULL;
        if (slice) {
            qcow2_refcount_set(slice->data, q->header.refcount_order, index, 1);
            qcow2_slice_dirty(q, slice);
        }
        pthread_mutex_unlock(&q->lock);
    }
    return failed;
}

static int make_larger(const struct qcow2 *q, const struct qcow2_table *old, uint64_t bytes, struct larger *larger)
{
    larger->clusters = align_up(bytes, q->cluster) >> q->cluster_bits;
    larger->moves = larger->clusters > align_up(old->bytes, q->cluster) >> q->cluster_bits;
    larger->table = (struct qcow2_table){.offset = old->offset, .bytes = larger->clusters << q->cluster_bits};
    larger->table.data = qcow2_buffer(larger->table.bytes);
    larger->table.dirty = calloc(larger->table.bytes / QCOW2_BLOCK, sizeof *larger->table.dirty);
    larger->fresh = calloc(larger->table.bytes / 8, sizeof *larger->fresh);
    return larger->table.data && larger->table.dirty && larger->fresh ? 0 : -ENOMEM;
}

static void free_larger(struct larger *larger)
{
    free(larger->table.data);
    free(larger->table.dirty);
    free(larger->fresh);
}

/* What the header says about the two tables and the disk. */
struct names {
    uint64_t size, l1_offset, reftable_offset;
    uint32_t l1_entries, reftable_clusters;
};

static struct names names_of(const struct qcow2 *q)
{
    const struct qcow2_header *header = &q->header;

    return (struct names){header->size, header->l1_offset, header->reftable_offset, header->l1_entries,
                          header->reftable_clusters};
}

static void set_names(struct qcow2 *q, const struct names *names)
{
    struct qcow2_header *header = &q->header;

    pthread_mutex_lock(&q->lock);
    header->size = names->size;
    header->l1_offset = names->l1_offset;
    header->l1_entries = names->l1_entries;
    header->reftable_offset = names->reftable_offset;
    header->reftable_clusters = names->reftable_clusters;
    pthread_mutex_unlock(&q->lock);
}

/* The header with new names, in the file; if that fails, as it was. With the commit lock held. */
static int store_names(struct qcow2 *q, const struct names *names)
{
    const struct names before = names_of(q);
    int failed;

    /* With lazy refcounts those of new clusters may not be in the file yet. */
    if (q->header.compatible & QCOW2_LAZY)
        q->header.incompatible |= QCOW2_DIRTY;
    set_names(q, names);
    failed = qcow2_store_header(q);
    if (failed < 0) {
        set_names(q, &before);
        qcow2_store_header(q);
    }
    return failed;
}

/* Whoever looks a place up from now on finds the new table. */
static void exchange(struct qcow2 *q, struct qcow2_table *table, struct larger *larger)
{
    struct qcow2_table old = *table;
    bool *fresh = q->l1_fresh;

    pthread_mutex_lock(&q->lock);
    *table = larger->table;
    if (table == &q->l1) {
        q->l1_fresh = larger->fresh;
        larger->fresh = fresh;
    }
    if (larger->moves)
        qcow2_runs_add(&q->unlinked, old.offset >> q->cluster_bits, align_up(old.bytes, q->cluster) >> q->cluster_bits);
    pthread_mutex_unlock(&q->lock);
    larger->table = old;
}

/* Writes the table to its new place. -EAGAIN: a commit that failed has left it to be written in the old one. */
static int switch_over(struct qcow2 *q, struct qcow2_table *table, struct larger *larger, const struct names *names)
{
    bool dirty;
    int failed;

    pthread_mutex_lock(&q->commit_lock);
    pthread_mutex_lock(&q->lock);
    dirty = table->any_dirty;
    memset(larger->table.data, 0, larger->table.bytes);
    memcpy(larger->table.data, table->data, MIN(table->bytes, larger->table.bytes));
    pthread_mutex_unlock(&q->lock);
    failed = dirty ? -EAGAIN : qcow2_write(q, larger->table.data, larger->table.bytes, larger->table.offset);
    if (failed == 0)
        failed = qcow2_sync(q);
    if (failed == 0)
        failed = store_names(q, names);
    if (failed == 0)
        exchange(q, table, larger);
    pthread_mutex_unlock(&q->commit_lock);
    return failed;
}

/* Gives the table room for so many bytes. */
static int grow_table(struct qcow2 *q, struct qcow2_table *table, uint64_t bytes)
{
    struct names names = names_of(q);
    struct larger larger = {0};
    uint64_t first = 0;
    int failed = make_larger(q, table, bytes, &larger);

    if (failed == 0 && larger.moves)
        failed = reserve(q, larger.clusters, &first);
    for (uint64_t n = 0; failed == 0 && larger.moves && n < larger.clusters; n++)
        failed = count_one(q, first + n);
    if (larger.moves)
        larger.table.offset = first << q->cluster_bits;
    if (table == &q->l1) {
        names.l1_offset = larger.table.offset;
        names.l1_entries = (uint32_t)(bytes / 8);
    } else {
        names.reftable_offset = larger.table.offset;
        names.reftable_clusters = (uint32_t)larger.clusters;
    }
    for (unsigned n = 0; failed == 0 && n < COMMITS_MAX; n++) {
        failed = qcow2_commit(q);
        if (failed == 0)
            failed = switch_over(q, table, &larger, &names);
        if (failed != -EAGAIN)
            break;
        failed = n + 1 < COMMITS_MAX ? 0 : -EIO;
    }
    free_larger(&larger);
    return failed;
}

/* As many clusters as a disk of this size can come to, with its tables, twice. */
static uint64_t reftable_bytes(const struct qcow2 *q, uint64_t size)
{
    uint64_t in_block = q->cluster * 8 >> q->header.refcount_order;
    uint64_t blocks = 4 * qcow2_clusters_wanted(q, size) / in_block + 1;

    return MIN(blocks * 8, MAX((uint64_t)QCOW2_REFTABLE_MAX, q->reftable.bytes));
}

int qcow2_grow(struct qcow2 *q, uint64_t size)
{
    uint64_t entries = qcow2_l1_needed(size, q->cluster_bits);
    struct names names;
    int failed = 0;

    if (entries > QCOW2_L1_MAX / 8)
        return -EFBIG;
    if (!qcow2_refcounts_suffice(q, size))
        failed = grow_table(q, &q->reftable, reftable_bytes(q, size));
    if (failed == 0 && entries > q->header.l1_entries)
        failed = grow_table(q, &q->l1, entries * 8);
    if (failed < 0)
        return failed;
    pthread_mutex_lock(&q->commit_lock);
    names = names_of(q);
    names.size = size;
    failed = store_names(q, &names);
    pthread_mutex_unlock(&q->commit_lock);
    return failed < 0 ? failed : qcow2_commit(q);
}
