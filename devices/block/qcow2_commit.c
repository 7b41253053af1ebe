/*
 * Writes what changed in the tables, in an order that leaves a good image at every instant:
 *
 *   1. refcount blocks, and L2 tables that the file's L1 table does not refer to yet    fdatasync: the data, too
 *   2. entries of the refcount table for new blocks                                     fdatasync
 *   3. L2 tables, and L1 entries for the tables of step 1                               fdatasync
 *
 * and then gives back what step 3 took the last reference from. What is written is a copy that was taken at one
 * instant, so that requests go on meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "qcow2.h"

struct part {
    uint64_t offset;
    unsigned step;
    struct qcow2_slice *slice; /* NULL: of a table in memory */
    uint64_t block;            /* which part of that table */
    uint8_t *data;
};

struct commit {
    struct part *parts;
    size_t count;
    uint8_t *data; /* of all parts */
    struct qcow2_runs unlinked;
};

static size_t dirty_blocks(const struct qcow2_table *table)
{
    size_t count = 0;

    for (uint64_t n = 0; table->any_dirty && n < table->bytes / QCOW2_BLOCK; n++)
        count += table->dirty[n];
    return count;
}

static void take(struct commit *commit, struct part part, const uint8_t *from)
{
    part.data = commit->data + commit->count * QCOW2_BLOCK;
    memcpy(part.data, from, QCOW2_BLOCK);
    commit->parts[commit->count++] = part;
}

static void take_table(struct commit *commit, struct qcow2_table *table, unsigned step)
{
    for (uint64_t n = 0; table->any_dirty && n < table->bytes / QCOW2_BLOCK; n++)
        if (table->dirty[n]) {
            take(commit, (struct part){.offset = table->offset + n * QCOW2_BLOCK, .step = step, .block = n},
                 table->data + n * QCOW2_BLOCK);
            table->dirty[n] = false;
        }
    table->any_dirty = false;
}

/* With lazy refcounts they wait, for as long as there is room. */
static bool refcounts_wait(const struct qcow2 *q, bool closing)
{
    return !closing && (q->header.compatible & QCOW2_LAZY) && q->cache.dirty_refcounts < q->cache.limit / 8 &&
           !q->reftable.any_dirty;
}

static void take_slices(struct qcow2 *q, struct commit *commit, bool closing)
{
    bool wait = refcounts_wait(q, closing);

    for (size_t n = 0; n < q->cache.count; n++) {
        struct qcow2_slice *slice = q->cache.slices[n];
        bool refcounts = slice->owner == QCOW2_REFCOUNTS;

        if (!slice->dirty || (refcounts && wait))
            continue;
        take(commit,
             (struct part){
                 .offset = slice->offset, .step = refcounts || q->l1_fresh[slice->owner] ? 1 : 3, .slice = slice},
             slice->data);
        slice->dirty = false;
        slice->writing = true;
        q->cache.dirty--;
        q->cache.dirty_refcounts -= refcounts;
    }
}

/* Copies all that differs from the file. Under lock. */
static int snapshot(struct qcow2 *q, struct commit *commit, bool closing)
{
    size_t most = q->cache.dirty + dirty_blocks(&q->l1) + dirty_blocks(&q->reftable);

    if (!most && !q->unlinked.count) {
        q->uncommitted = false;
        return 0;
    }
    commit->parts = calloc(most + 1, sizeof *commit->parts);
    commit->data = qcow2_buffer((most + 1) * QCOW2_BLOCK);
    if (!commit->parts || !commit->data)
        return -ENOMEM;
    q->uncommitted = false;
    take_slices(q, commit, closing);
    take_table(commit, &q->reftable, 2);
    if (q->l1.any_dirty)
        memset(q->l1_fresh, 0, q->l1.bytes / 8 * sizeof *q->l1_fresh);
    take_table(commit, &q->l1, 3);
    commit->unlinked = q->unlinked;
    q->unlinked = (struct qcow2_runs){0};
    return 0;
}

static int write_step(const struct qcow2 *q, const struct commit *commit, unsigned step, bool *wrote)
{
    int failed = 0;

    for (size_t n = 0; n < commit->count && failed == 0; n++)
        if (commit->parts[n].step == step) {
            failed = qcow2_write(q, commit->parts[n].data, QCOW2_BLOCK, commit->parts[n].offset);
            *wrote = true;
        }
    return failed;
}

/* Before the first references that the file's refcounts do not know of. */
static int mark_dirty(struct qcow2 *q)
{
    if (!(q->header.compatible & QCOW2_LAZY) || (q->header.incompatible & QCOW2_DIRTY))
        return 0;
    q->header.incompatible |= QCOW2_DIRTY;
    return qcow2_store_header(q);
}

static int write_all(struct qcow2 *q, const struct commit *commit)
{
    int failed = commit->count ? mark_dirty(q) : 0;

    for (unsigned step = 1; step <= 3 && failed == 0; step++) {
        bool sync = step == 1;

        failed = write_step(q, commit, step, &sync);
        if (failed == 0 && sync)
            failed = qcow2_sync(q);
    }
    return failed;
}

/* On failure all of it is to be written again; what was unlinked stays so, and waits for the commit that says so. */
static void settle(struct qcow2 *q, struct commit *commit, int failed)
{
    struct qcow2_runs *to = failed < 0 ? &q->unlinked : &q->limbo;

    for (size_t n = 0; n < commit->count; n++) {
        struct part *part = &commit->parts[n];
        struct qcow2_table *table = part->step == 2 ? &q->reftable : &q->l1;

        if (part->slice)
            part->slice->writing = false;
        if (failed < 0 && part->slice) {
            qcow2_slice_dirty(q, part->slice);
        } else if (failed < 0) {
            table->dirty[part->block] = table->any_dirty = true;
        }
    }
    if (!to->count) {
        qcow2_runs_free(to);
        *to = commit->unlinked;
    } else {
        /* No memory: what is not told of is a leak. */
        for (size_t n = 0; n < commit->unlinked.count; n++)
            qcow2_runs_add(to, commit->unlinked.runs[n].first, commit->unlinked.runs[n].count);
        qcow2_runs_free(&commit->unlinked);
    }
}

static int commit_once(struct qcow2 *q, bool closing)
{
    struct commit commit = {0};
    int failed;

    pthread_mutex_lock(&q->commit_lock);
    pthread_mutex_lock(&q->lock);
    q->committing = true;
    failed = snapshot(q, &commit, closing);
    pthread_mutex_unlock(&q->lock);
    if (failed == 0)
        failed = write_all(q, &commit);
    pthread_mutex_lock(&q->lock);
    settle(q, &commit, failed);
    q->committing = false;
    pthread_mutex_unlock(&q->lock);
    pthread_mutex_unlock(&q->commit_lock);
    free(commit.data);
    free(commit.parts);
    return failed;
}

int qcow2_commit(struct qcow2 *q)
{
    int failed = commit_once(q, false);

    if (failed == 0)
        qcow2_reclaim(q);
    return failed;
}

bool qcow2_is_clean(const struct qcow2 *q)
{
    size_t waiting = q->header.compatible & QCOW2_LAZY ? q->cache.dirty_refcounts : 0;

    return !q->committing && q->cache.dirty == waiting && !q->l1.any_dirty && !q->reftable.any_dirty;
}

int qcow2_commit_last(struct qcow2 *q)
{
    int failed = commit_once(q, true);

    /* What the first one unlinked is given back; the second one says so. */
    if (failed == 0)
        failed = qcow2_reclaim(q);
    if (failed == 0)
        failed = commit_once(q, true);
    if (failed == 0 && (q->header.incompatible & QCOW2_DIRTY)) {
        q->header.incompatible &= ~QCOW2_DIRTY;
        failed = qcow2_store_header(q);
    }
    return failed;
}
