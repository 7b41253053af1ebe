/*
 * Looks at every table of an image: are all references to good places, and is each cluster counted as often as it is
 * referred to? Repair takes out what refers to nowhere, or to a table, and counts anew (qcow2_rebuild.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "qcow2_check.h"

static void found(struct walk *walk, const char *what, uint64_t where)
{
    if (walk->findings->errors++ == 0)
        snprintf(walk->findings->first, sizeof walk->findings->first, "%s %#" PRIx64, what, where);
}

/* A table's clusters: nothing else may lie there. */
static bool claim(struct walk *walk, uint64_t offset, uint64_t bytes)
{
    uint64_t first = offset >> walk->q->cluster_bits, end = (offset + bytes - 1) >> walk->q->cluster_bits;

    for (uint64_t n = first; n <= end; n++)
        if (n >= walk->clusters || walk->tables[n])
            return false;
    for (uint64_t n = first; n <= end; n++) {
        walk->tables[n] = true;
        walk->counts[n]++;
    }
    return true;
}

static void claim_l2_tables(struct walk *walk)
{
    struct qcow2 *q = walk->q;

    for (uint32_t n = 0; n < q->header.l1_entries; n++) {
        uint64_t entry = get_be64(q->l1.data + 8ULL * n), offset = entry & QCOW2_OFFSET;

        if (!entry)
            continue;
        if (!(entry & ~(QCOW2_OFFSET | QCOW2_COPIED)) && qcow2_offset_valid(q, offset) &&
            claim(walk, offset, q->cluster)) {
            if (!(entry & QCOW2_COPIED)) {
                found(walk, "L1 entry without its flag:", entry);
                qcow2_table_set(&q->l1, n, entry | QCOW2_COPIED);
            }
            continue;
        }
        found(walk, "L1 entry that refers to no table of its own:", entry);
        qcow2_table_set(&q->l1, n, 0);
    }
}

/* The clusters that an L2 entry refers to. false: none, with a good entry. */
static bool entry_range(const struct walk *walk, uint64_t entry, uint64_t *first, uint64_t *last)
{
    uint64_t offset = entry & QCOW2_OFFSET, length = walk->q->cluster;

    if (entry & QCOW2_COMPRESSED)
        qcow2_compressed_range(walk->q, entry, &offset, &length);
    else if (!offset)
        return false;
    *first = offset >> walk->q->cluster_bits;
    *last = (offset + length - 1) >> walk->q->cluster_bits;
    return true;
}

static bool on_table(const struct walk *walk, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++)
        if (n >= walk->clusters || walk->tables[n])
            return true;
    return false;
}

/* Counts what an entry refers to; returns the entry as it should be. */
static uint64_t count_entry(struct walk *walk, uint64_t entry)
{
    uint64_t first = 0, last = 0;

    if (!qcow2_entry_valid(walk->q, entry) ||
        (entry_range(walk, entry, &first, &last) && on_table(walk, first, last))) {
        found(walk, "L2 entry that refers to no data:", entry);
        return 0;
    }
    walk->findings->zeroed += (entry & (QCOW2_ZERO | QCOW2_COMPRESSED)) == QCOW2_ZERO;
    if (!entry_range(walk, entry, &first, &last))
        return entry & QCOW2_ZERO;
    walk->findings->compressed += (entry & QCOW2_COMPRESSED) != 0;
    walk->findings->mapped += !(entry & QCOW2_COMPRESSED);
    for (uint64_t n = first; n <= last; n++)
        walk->counts[n] += walk->counts[n] < UINT16_MAX;
    return entry;
}

/* The flag says that nothing else refers to the cluster. */
static uint64_t flag_entry(struct walk *walk, uint64_t entry)
{
    uint64_t offset = entry & QCOW2_OFFSET, right;

    /* Without repair a bad entry is still there. */
    if ((entry & QCOW2_COMPRESSED) || !offset || !qcow2_entry_valid(walk->q, entry) ||
        walk->tables[offset >> walk->q->cluster_bits])
        return entry;
    right = (entry & ~QCOW2_COPIED) | (walk->counts[offset >> walk->q->cluster_bits] == 1 ? QCOW2_COPIED : 0);
    if (right != entry)
        found(walk, "L2 entry with a wrong flag:", entry);
    return right;
}

/* Each entry of each L2 table; what changed is written with repair. */
static int each_entry(struct walk *walk, uint64_t (*visit)(struct walk *walk, uint64_t entry))
{
    struct qcow2 *q = walk->q;
    uint8_t *table = qcow2_buffer(q->cluster);
    int failed = table ? 0 : -ENOMEM;

    for (uint32_t n = 0; n < q->header.l1_entries && failed == 0; n++) {
        uint64_t offset = get_be64(q->l1.data + 8ULL * n) & QCOW2_OFFSET;
        bool changed = false;

        if (!offset)
            continue;
        failed = qcow2_read(q, table, q->cluster, offset);
        for (uint64_t at = 0; at < q->cluster && failed == 0; at += 8) {
            uint64_t entry = get_be64(table + at), right = entry ? visit(walk, entry) : 0;

            changed |= right != entry;
            put_be64(table + at, right);
        }
        if (failed == 0 && changed && walk->repair)
            failed = qcow2_write(q, table, q->cluster, offset);
    }
    free(table);
    return failed;
}

static int write_l1(const struct walk *walk)
{
    const struct qcow2_table *l1 = &walk->q->l1;

    for (uint64_t n = 0; n < l1->bytes / QCOW2_BLOCK; n++)
        if (l1->dirty[n]) {
            int failed = qcow2_write(walk->q, l1->data + n * QCOW2_BLOCK, QCOW2_BLOCK, l1->offset + n * QCOW2_BLOCK);

            if (failed < 0)
                return failed;
            l1->dirty[n] = false;
        }
    walk->q->l1.any_dirty = false;
    return 0;
}

int qcow2_walk(struct walk *walk)
{
    struct qcow2 *q = walk->q;
    int failed;

    claim(walk, 0, q->cluster);
    claim(walk, q->header.l1_offset, q->l1.bytes);
    if (!walk->repair && !claim(walk, q->header.reftable_offset, q->reftable.bytes))
        found(walk, "refcount table on another:", q->header.reftable_offset);
    for (uint64_t n = 0; !walk->repair && n < q->reftable.bytes; n += 8) {
        uint64_t entry = get_be64(q->reftable.data + n);

        if (entry && (!qcow2_offset_valid(q, entry) || !claim(walk, entry, q->cluster)))
            found(walk, "refcount table entry that refers to no block of its own:", entry);
    }
    claim_l2_tables(walk);
    failed = each_entry(walk, count_entry);
    if (failed == 0)
        failed = each_entry(walk, flag_entry);
    if (failed == 0 && walk->repair)
        failed = write_l1(walk);
    return failed;
}

static int compare_counts(struct walk *walk)
{
    struct qcow2 *q = walk->q;
    unsigned order = q->header.refcount_order;
    uint64_t in_block = q->cluster * 8 >> order;
    uint8_t *block = qcow2_buffer(q->cluster);
    int failed = block ? 0 : -ENOMEM;

    for (uint64_t first = 0; first < walk->clusters && failed == 0; first += in_block) {
        uint64_t number = first / in_block, entry = 0;

        if (number < q->reftable.bytes / 8)
            entry = get_be64(q->reftable.data + number * 8);
        if (entry && qcow2_offset_valid(q, entry))
            failed = qcow2_read(q, block, q->cluster, entry);
        else
            memset(block, 0, q->cluster);
        for (uint64_t n = first; n < MIN(first + in_block, walk->clusters) && failed == 0; n++) {
            uint64_t count = qcow2_refcount_get(block, order, n - first);

            if (count < walk->counts[n])
                found(walk, "fewer counted than refer to the cluster at", n << q->cluster_bits);
            walk->findings->leaks += count > walk->counts[n];
        }
    }
    free(block);
    return failed;
}

int qcow2_walk_create(struct walk *walk, struct qcow2 *q, bool repair, struct qcow2_findings *findings,
                      struct error *error)
{
    *findings = (struct qcow2_findings){.file_clusters = q->file_clusters};
    *walk = (struct walk){.q = q, .repair = repair, .findings = findings, .clusters = q->file_clusters};
    if (q->header.snapshots || q->header.bitmaps || q->header.version < 3)
        return error_set(error, ENOTSUP,
                         "%s: has snapshots or bitmaps, or is of version 2; look at it with `qemu-img check`", q->name);
    /* Sparse or not: what is looked at must fit in memory. */
    if (walk->clusters > 1ULL << 31)
        return error_set(error, EFBIG, "%s: has %" PRIu64 " clusters; at most 2^31 can be looked at", q->name,
                         walk->clusters);
    walk->counts = calloc(walk->clusters, sizeof *walk->counts);
    walk->tables = calloc(walk->clusters, sizeof *walk->tables);
    if (!walk->counts || !walk->tables) {
        qcow2_walk_free(walk);
        return error_set(error, ENOMEM, "%s: out of memory", q->name);
    }
    return 0;
}

void qcow2_walk_free(struct walk *walk)
{
    free(walk->counts);
    free(walk->tables);
}

int qcow2_check(struct qcow2 *q, bool repair, struct qcow2_findings *findings, struct error *error)
{
    struct walk walk;
    int failed = qcow2_walk_create(&walk, q, repair, findings, error);

    if (failed < 0 || !walk.tables)
        return failed;
    failed = qcow2_walk(&walk);
    if (failed == 0)
        failed = repair ? qcow2_build(&walk) : compare_counts(&walk);
    qcow2_walk_free(&walk);
    if (failed < 0)
        return error_set(error, -failed, "%s: cannot be %s: %s", q->name, repair ? "repaired" : "read",
                         strerror(-failed));
    return 0;
}
