/*
 * Builds all refcounts of an image anew: after a crash with lazy refcounts, for repair, and when the table becomes too
 * small. The new ones are written behind the end of the file; the old ones count until the header names the new.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "qcow2_check.h"

struct layout {
    uint64_t first;                 /* cluster of the new table; the blocks follow it */
    uint64_t table, blocks, ranges; /* clusters; ranges: of clusters that one block counts */
    uint64_t in_block;
    bool *used; /* for each range */
};

static uint64_t round_up(uint64_t value, uint64_t by)
{
    return (value + by - 1) / by;
}

static uint64_t end(const struct layout *layout)
{
    return layout->first + layout->table + layout->blocks;
}

static void note_used(const struct walk *walk, struct layout *layout)
{
    for (uint64_t n = 0; n < walk->clusters; n++)
        if (walk->counts[n])
            layout->used[n / layout->in_block] = true;
}

/* More blocks may need a block more. */
static int settle(struct layout *layout)
{
    for (;;) {
        uint64_t blocks = 0;

        if (round_up(end(layout), layout->in_block) > layout->ranges)
            return -EFBIG;
        for (uint64_t n = layout->first / layout->in_block; n <= (end(layout) - 1) / layout->in_block; n++)
            layout->used[n] = true;
        for (uint64_t n = 0; n < layout->ranges; n++)
            blocks += layout->used[n];
        if (blocks == layout->blocks)
            return 0;
        layout->blocks = blocks;
    }
}

static int plan(const struct walk *walk, struct layout *layout)
{
    const struct qcow2 *q = walk->q;
    uint64_t wanted = 4 * qcow2_clusters_wanted(q, q->header.size), most = QCOW2_REFTABLE_MAX >> q->cluster_bits;

    *layout = (struct layout){.first = walk->clusters, .in_block = q->cluster * 8 >> q->header.refcount_order};
    layout->table = MIN(round_up(round_up(wanted, layout->in_block) * 8, q->cluster), MAX(most, 1ULL));
    layout->ranges = layout->table * (q->cluster / 8);
    layout->used = calloc(MAX(layout->ranges, 1ULL), sizeof *layout->used);
    if (!layout->used)
        return -ENOMEM;
    if (round_up(walk->clusters, layout->in_block) > layout->ranges)
        return -EFBIG;
    note_used(walk, layout);
    return settle(layout);
}

static void fill_block(const struct walk *walk, const struct layout *layout, uint64_t range, uint8_t *block)
{
    uint64_t first = range * layout->in_block;

    memset(block, 0, walk->q->cluster);
    for (uint64_t n = 0; n < layout->in_block; n++) {
        uint64_t cluster = first + n, count = cluster < walk->clusters ? walk->counts[cluster] : 0;

        if (cluster >= layout->first && cluster < end(layout))
            count = 1;
        if (count)
            qcow2_refcount_set(block, walk->q->header.refcount_order, n, count);
    }
}

static int write_layout(const struct walk *walk, const struct layout *layout)
{
    const struct qcow2 *q = walk->q;
    uint64_t at = (layout->first + layout->table) << q->cluster_bits;
    uint8_t *table = qcow2_buffer(layout->table << q->cluster_bits), *block = qcow2_buffer(q->cluster);
    int failed = table && block ? 0 : -ENOMEM;

    if (failed == 0)
        memset(table, 0, layout->table << q->cluster_bits);
    for (uint64_t n = 0; n < layout->ranges && failed == 0; n++) {
        if (!layout->used[n])
            continue;
        fill_block(walk, layout, n, block);
        failed = qcow2_write(q, block, q->cluster, at);
        put_be64(table + n * 8, at);
        at += q->cluster;
    }
    if (failed == 0)
        failed = qcow2_write(q, table, layout->table << q->cluster_bits, layout->first << q->cluster_bits);
    if (failed == 0)
        failed = qcow2_sync(q);
    free(block);
    free(table);
    return failed;
}

/* Shared clusters of a damaged image may have more references than narrow refcounts hold. */
static void choose_width(const struct walk *walk)
{
    struct qcow2_header *header = &walk->q->header;
    uint64_t most = header->refcount_order < 4 ? (1ULL << (1U << header->refcount_order)) - 1 : UINT16_MAX;

    for (uint64_t n = 0; n < walk->clusters; n++)
        if (walk->counts[n] > most) {
            header->refcount_order = 4;
            return;
        }
}

int qcow2_build(struct walk *walk)
{
    struct qcow2 *q = walk->q;
    struct layout layout = {0};
    int failed;

    choose_width(walk);
    failed = plan(walk, &layout);
    if (failed == 0)
        failed = write_layout(walk, &layout);
    if (failed == 0) {
        q->header.reftable_offset = layout.first << q->cluster_bits;
        q->header.reftable_clusters = (uint32_t)layout.table;
        q->header.incompatible &= ~(QCOW2_DIRTY | QCOW2_CORRUPT);
        q->file_clusters = q->first_file_clusters = q->tail = q->scan_end = end(&layout);
        failed = qcow2_store_header(q);
    }
    if (failed == 0)
        failed = qcow2_load_reftable(q);
    free(layout.used);
    return failed;
}

int qcow2_rebuild(struct qcow2 *q, struct error *error)
{
    struct qcow2_findings findings;
    struct walk walk;
    int failed = qcow2_walk_create(&walk, q, true, &findings, error);

    if (failed < 0)
        return failed;
    failed = qcow2_walk(&walk);
    if (failed == 0)
        failed = qcow2_build(&walk);
    qcow2_walk_free(&walk);
    return failed < 0 ? error_set(error, -failed, "%s: its refcounts cannot be written: %s", q->name, strerror(-failed))
                      : 0;
}
