/* The file of a qcow2 image: opening and closing it, its tables that are wholly in memory, blocking transfers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/log.h"
#include "qcow2.h"

uint8_t *qcow2_buffer(uint64_t length)
{
    return aligned_alloc(QCOW2_BLOCK, align_up(length, QCOW2_BLOCK));
}

int qcow2_read(const struct qcow2 *q, void *to, uint64_t length, uint64_t offset)
{
    uint8_t *at = to;

    while (length) {
        ssize_t count = pread(q->fd, at, length, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        /* Behind the end. Direct I/O reads no odd rest again. */
        if (count == 0 || count % 512) {
            memset(at + count, 0, length - (uint64_t)count);
            return 0;
        }
        at += count;
        offset += (uint64_t)count;
        length -= (uint64_t)count;
    }
    return 0;
}

int qcow2_write(const struct qcow2 *q, const void *from, uint64_t length, uint64_t offset)
{
    return file_write_at(q->fd, from, length, offset);
}

int qcow2_sync(const struct qcow2 *q)
{
    return fdatasync(q->fd) < 0 ? -errno : 0;
}

int qcow2_store_header(struct qcow2 *q)
{
    const struct qcow2_header *header = &q->header;
    uint8_t *sector = qcow2_buffer(512);
    int failed = sector ? qcow2_read(q, sector, 512, 0) : -ENOMEM;

    if (failed == 0) {
        put_be64(sector + QCOW2_H_SIZE, header->size);
        put_be32(sector + QCOW2_H_L1_ENTRIES, header->l1_entries);
        put_be64(sector + QCOW2_H_L1_OFFSET, header->l1_offset);
        put_be64(sector + QCOW2_H_REFTABLE_OFFSET, header->reftable_offset);
        put_be32(sector + QCOW2_H_REFTABLE_CLUSTERS, header->reftable_clusters);
        put_be64(sector + QCOW2_H_INCOMPATIBLE, header->incompatible);
        put_be64(sector + QCOW2_H_AUTOCLEAR, header->autoclear);
        put_be32(sector + QCOW2_H_REFCOUNT_ORDER, header->refcount_order);
        failed = qcow2_write(q, sector, 512, 0);
    }
    if (failed == 0)
        failed = qcow2_sync(q);
    free(sector);
    return failed;
}

static int load_table(const struct qcow2 *q, struct qcow2_table *table, uint64_t offset, uint64_t bytes)
{
    free(table->data);
    free(table->dirty);
    table->offset = offset;
    table->any_dirty = false;
    table->bytes = align_up(bytes, QCOW2_BLOCK);
    table->data = qcow2_buffer(table->bytes);
    table->dirty = calloc(table->bytes / QCOW2_BLOCK, sizeof *table->dirty);
    return table->data && table->dirty ? qcow2_read(q, table->data, table->bytes, offset) : -ENOMEM;
}

int qcow2_load_reftable(struct qcow2 *q)
{
    return load_table(q, &q->reftable, q->header.reftable_offset,
                      (uint64_t)q->header.reftable_clusters << q->cluster_bits);
}

static int load_header(struct qcow2 *q, struct error *error)
{
    uint8_t *bytes = qcow2_buffer(2 * MiB);
    struct stat info;
    size_t length;
    int failed = bytes ? 0 : -ENOMEM;

    if (failed == 0 && fstat(q->fd, &info) < 0)
        failed = -errno;
    if (failed == 0 && !S_ISREG(info.st_mode)) {
        free(bytes);
        return error_set(error, ENOTSUP, "%s: qcow2 on what is not a file; use a file, or a raw device", q->name);
    }
    length = failed == 0 ? (size_t)MIN((uint64_t)info.st_size, 2 * MiB) : 0;
    /* The name and the extensions lie in the first cluster. */
    if (failed == 0)
        failed = qcow2_read(q, bytes, align_up(length, QCOW2_BLOCK), 0);
    if (failed < 0) {
        free(bytes);
        return error_set(error, -failed, "%s: cannot be read: %s", q->name, strerror(-failed));
    }
    if (length >= QCOW2_HEADER_V2) {
        uint32_t bits = get_be32(bytes + QCOW2_H_CLUSTER_BITS);

        if (bits >= 9 && bits <= 21)
            length = MIN(length, (size_t)1 << bits);
    }
    failed = qcow2_header_parse(&q->header, bytes, length, (uint64_t)info.st_size, q->name, error);
    free(bytes);
    if (failed < 0)
        return failed;
    q->cluster_bits = q->header.cluster_bits;
    q->cluster = 1ULL << q->cluster_bits;
    q->file_clusters = align_up((uint64_t)info.st_size, q->cluster) >> q->cluster_bits;
    q->first_file_clusters = q->tail = q->scan_end = q->file_clusters;
    return failed;
}

int qcow2_load(struct qcow2 **result, int fd, const char *name, bool read_only, struct error *error)
{
    struct qcow2 *q = calloc(1, sizeof *q);
    int failed;

    if (!q)
        return error_set(error, ENOMEM, "%s: out of memory", name);
    q->fd = fd;
    q->name = name;
    q->read_only = read_only;
    q->scan_next = 1;
    pthread_mutex_init(&q->commit_lock, NULL);
    pthread_mutex_init(&q->load_lock, NULL);
    pthread_mutex_init(&q->lock, NULL);
    pthread_mutex_init(&q->decompressed_lock, NULL);
    failed = load_header(q, error);
    if (failed == 0) {
        failed = load_table(q, &q->l1, q->header.l1_offset, MAX((uint64_t)q->header.l1_entries, 1ULL) * 8);
        if (failed == 0)
            failed = qcow2_load_reftable(q);
        if (failed == 0)
            q->l1_fresh = calloc(q->l1.bytes / 8, sizeof *q->l1_fresh);
        if (failed == 0 && !q->l1_fresh)
            failed = -ENOMEM;
        if (failed < 0)
            error_set(error, -failed, "%s: its tables cannot be read: %s", name, strerror(-failed));
    }
    if (failed < 0) {
        qcow2_free(q);
        return failed;
    }
    *result = q;
    return 0;
}

static void free_table(struct qcow2_table *table)
{
    free(table->data);
    free(table->dirty);
}

void qcow2_free(struct qcow2 *q)
{
    if (!q)
        return;
    qcow2_cache_destroy(q);
    free_table(&q->l1);
    free_table(&q->reftable);
    free(q->l1_fresh);
    qcow2_runs_free(&q->free);
    qcow2_runs_free(&q->unlinked);
    qcow2_runs_free(&q->limbo);
    qcow2_runs_free(&q->leaving);
    free(q->decompressed);
    free(q->compressed);
    pthread_mutex_destroy(&q->commit_lock);
    pthread_mutex_destroy(&q->load_lock);
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->decompressed_lock);
    free(q);
}

/* What an image must be like before anything in it may change. */
int qcow2_check_writable(const struct qcow2 *q, struct error *error)
{
    const struct qcow2_header *header = &q->header;

    if (header->version < 3)
        return error_set(error, ENOTSUP,
                         "%s: version 2 of qcow2 is only read; make a new image of it with `casement image convert`",
                         q->name);
    if (header->snapshots)
        return error_set(error, ENOTSUP,
                         "%s: has %u internal snapshots, with which it is only read; make a new image of it with "
                         "`casement image convert`",
                         q->name, header->snapshots);
    if (header->bitmaps)
        return error_set(
            error, ENOTSUP,
            "%s: has bitmaps, which would become wrong; make a new image of it with `casement image convert`", q->name);
    if (header->incompatible & QCOW2_CORRUPT)
        return error_set(error, EINVAL, "%s: is marked as damaged; mend it with `casement image repair`", q->name);
    return 0;
}

uint64_t qcow2_clusters_wanted(const struct qcow2 *q, uint64_t size)
{
    uint64_t guest = (size + q->cluster - 1) >> q->cluster_bits;

    return guest + guest / 64 + q->file_clusters + 1024;
}

bool qcow2_refcounts_suffice(const struct qcow2 *q, uint64_t size)
{
    uint64_t covered = q->reftable.bytes / 8 * (q->cluster * 8 >> q->header.refcount_order);

    return q->reftable.bytes >= QCOW2_REFTABLE_MAX || covered / 2 > qcow2_clusters_wanted(q, size);
}

static int make_writable(struct qcow2 *q, struct error *error)
{
    int failed = qcow2_check_writable(q, error);

    if (failed < 0)
        return failed;
    if (q->header.incompatible & QCOW2_DIRTY) {
        struct qcow2_findings findings;

        log_info("%s: was not closed; its refcounts are counted again", q->name);
        failed = qcow2_check(q, true, &findings, error);
    } else if (!qcow2_refcounts_suffice(q, q->header.size)) {
        failed = qcow2_rebuild(q, error);
    }
    if (failed == 0 && q->header.autoclear) {
        q->header.autoclear = 0;
        failed = qcow2_store_header(q);
        if (failed < 0)
            error_set(error, -failed, "%s: its header cannot be written: %s", q->name, strerror(-failed));
    }
    return failed;
}

int qcow2_open(struct qcow2 **result, int fd, const char *name, bool read_only, bool can_punch, size_t cache_bytes,
               struct error *error)
{
    struct qcow2 *q = NULL;
    int failed = qcow2_load(&q, fd, name, read_only, error);

    if (failed < 0 || !q)
        return failed;
    q->can_punch = can_punch;
    qcow2_cache_create(q, cache_bytes);
    if (!read_only)
        failed = make_writable(q, error);
    if (failed < 0) {
        qcow2_free(q);
        return failed;
    }
    *result = q;
    return 0;
}

void qcow2_close(struct qcow2 *q)
{
    int failed = q->read_only ? 0 : qcow2_commit_last(q);

    if (failed < 0)
        log_error("%s: cannot be closed cleanly: %s; look at it with `casement image check`", q->name,
                  strerror(-failed));
    /* The hole that the file was extended by. */
    if (failed == 0 && !q->read_only && q->tail < q->file_clusters && q->file_clusters > q->first_file_clusters &&
        ftruncate(q->fd, (off_t)(MAX(q->tail, q->first_file_clusters) << q->cluster_bits)) < 0)
        log_warning("%s: cannot be cut to its length: %s", q->name, strerror(errno));
    qcow2_free(q);
}
