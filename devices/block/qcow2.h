/*
 * qcow2 images: what the files of this format share. The specification is QEMU's docs/interop/qcow2.txt; sections are
 * named by its headings.
 *
 * How an image stays consistent: tables change in memory only. A commit (qcow2_commit.c) writes them in an order that
 * is right at every instant: what is new with its refcounts, then what refers to it, each behind an fdatasync(). A new
 * cluster reads as what the guest read there before, so that it may be referred to before the guest's write has
 * arrived. A cluster that nothing refers to any more is given back only behind the commit that says so. So a kill or a
 * power cut leaves leaked clusters at worst. With lazy refcounts the dirty bit says that refcounts are behind, and the
 * next opening counts again.
 *
 * Locks, in the order in which they are taken: commit_lock, load_lock, lock. Only lock is ever taken on a disk's loop,
 * and nothing that waits for a disk is done under it.
 */
#ifndef CASEMENT_QCOW2_H
#define CASEMENT_QCOW2_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"

struct block;

#define QCOW2_MAGIC 0x514649FBU
#define QCOW2_BLOCK 4096U /* what tables are read, kept and written in: a part of every cluster */
#define QCOW2_ENTRIES (QCOW2_BLOCK / 8U)
#define QCOW2_L1_MAX (32U << 20)      /* bytes; as QEMU */
#define QCOW2_REFTABLE_MAX (8U << 20) /* bytes; as QEMU */
#define QCOW2_NAME_MAX 1023U

/* Header, offsets. */
enum {
    QCOW2_H_BACKING_OFFSET = 8,
    QCOW2_H_BACKING_LENGTH = 16,
    QCOW2_H_CLUSTER_BITS = 20,
    QCOW2_H_SIZE = 24,
    QCOW2_H_CRYPT = 32,
    QCOW2_H_L1_ENTRIES = 36,
    QCOW2_H_L1_OFFSET = 40,
    QCOW2_H_REFTABLE_OFFSET = 48,
    QCOW2_H_REFTABLE_CLUSTERS = 56,
    QCOW2_H_SNAPSHOTS = 60,
    QCOW2_H_SNAPSHOTS_OFFSET = 64,
    QCOW2_H_INCOMPATIBLE = 72,
    QCOW2_H_COMPATIBLE = 80,
    QCOW2_H_AUTOCLEAR = 88,
    QCOW2_H_REFCOUNT_ORDER = 96,
    QCOW2_H_LENGTH = 100,
    QCOW2_H_COMPRESSION = 104,
    QCOW2_HEADER_V2 = 72,
    QCOW2_HEADER_V3 = 104,
    QCOW2_HEADER_MADE = 112
};
#define QCOW2_DIRTY 1ULL   /* incompatible: refcounts may be behind */
#define QCOW2_CORRUPT 2ULL /* incompatible */
#define QCOW2_LAZY 1ULL    /* compatible: lazy refcounts */
enum {
    QCOW2_EXT_END = 0,
    QCOW2_EXT_BACKING_FORMAT = (int)0xE2792ACA,
    QCOW2_EXT_NAMES = 0x6803F857,
    QCOW2_EXT_BITMAPS = 0x23852875
};

/* Entries of L1 and L2 tables. */
#define QCOW2_COPIED (1ULL << 63)
#define QCOW2_COMPRESSED (1ULL << 62)
#define QCOW2_OFFSET 0x00FFFFFFFFFFFE00ULL
#define QCOW2_ZERO 1ULL

/* A header that has been checked: every range lies in the file and none lies on another. */
struct qcow2_header {
    uint32_t version, cluster_bits, l1_entries, reftable_clusters, snapshots, refcount_order, length;
    uint64_t size, l1_offset, reftable_offset, snapshots_offset, incompatible, compatible, autoclear;
    bool bitmaps, foreign; /* extensions: bitmaps; any that we do not know */
    uint64_t backing_offset;
    char backing[QCOW2_NAME_MAX + 1]; /* empty: none */
    char backing_format[16];
};

/*
 * Reads a header out of the image's first bytes (up to 4 KiB of names and extensions are looked at behind it; length
 * is what there is, file_size what the file has). -EINVAL or -ENOTSUP with a text that begins with name.
 */
int qcow2_header_parse(struct qcow2_header *header, const uint8_t *bytes, size_t length, uint64_t file_size,
                       const char *name, struct error *error);
/* Entries that an L1 table needs for size bytes. */
uint64_t qcow2_l1_needed(uint64_t size, unsigned cluster_bits);

/* A 4 KiB part of an L2 table or of a refcount block, in memory. */
struct qcow2_slice {
    uint64_t offset; /* in the file */
    uint32_t owner;  /* index in the L1 table; QCOW2_REFCOUNTS */
    bool dirty;      /* differs from the file */
    bool writing;    /* a commit has a copy that is not yet in the file */
    bool recent;     /* used since the clock's hand passed */
    struct qcow2_slice *hash_next;
    uint8_t *data; /* QCOW2_BLOCK, aligned to it */
};
#define QCOW2_REFCOUNTS UINT32_MAX
#define QCOW2_HASH 4096U

struct qcow2_cache {
    struct qcow2_slice **slices, *hash[QCOW2_HASH];
    size_t count, room, limit, hand;
    size_t dirty;           /* slices that are */
    size_t dirty_refcounts; /* of them, of refcount blocks */
};

struct qcow2_run {
    uint64_t first, count; /* clusters */
};
struct qcow2_runs {
    struct qcow2_run *runs;
    size_t count, room;
};

/* Entries in a table that is wholly in memory, and which 4 KiB blocks of it differ from the file. */
struct qcow2_table {
    uint64_t offset, bytes; /* bytes: rounded up to 4 KiB */
    uint8_t *data;
    bool *dirty;
    bool any_dirty;
};

struct qcow2 {
    int fd;
    bool read_only, can_punch;
    const char *name; /* for texts; the owner's */
    struct qcow2_header header;
    unsigned cluster_bits;
    uint64_t cluster; /* bytes */
    struct block *backing;
    uint64_t backing_size;

    pthread_mutex_t commit_lock; /* one commit at a time */
    pthread_mutex_t load_lock;   /* one slice is read at a time, so that none is there twice */
    pthread_mutex_t lock;        /* all that follows */
    struct qcow2_table l1, reftable;
    bool *l1_fresh; /* for each entry: the file's table does not refer to this L2 table yet */
    struct qcow2_cache cache;
    bool committing;
    bool uncommitted;              /* something has changed since the last commit took its copy */
    void (*changed)(void *opaque); /* that has become true; takes no lock of these. NULL: nobody wants to know */
    void *changed_opaque;

    /* Allocation, in clusters. From scan_next to scan_end the refcounts say what is free; elsewhere it is in free; from
     * tail to file_clusters are holes that the file was extended by. */
    struct qcow2_runs free;
    uint64_t scan_next, scan_end, tail, file_clusters, first_file_clusters;
    /* What nothing in memory refers to any more: not yet committed, and committed but perhaps still being accessed. */
    struct qcow2_runs unlinked, limbo, leaving;
    unsigned parity;    /* of requests that begin now */
    uint64_t active[2]; /* requests under way */

    pthread_mutex_t decompressed_lock;
    uint64_t decompressed_entry; /* 0: none */
    uint8_t *decompressed, *compressed;
};

/*
 * An image for the file fd, which stays the caller's, as is name. cache_bytes 0: the default. An image that was not
 * closed is repaired when it is opened for writing. The caller sets backing before the first access. 0 or -errno with
 * a text.
 */
int qcow2_open(struct qcow2 **qcow2, int fd, const char *name, bool read_only, bool can_punch, size_t cache_bytes,
               struct error *error);
/* Commits, and clears the dirty bit. No request is under way. */
void qcow2_close(struct qcow2 *q);
/* Without workers or commit: what tools use that rewrite an image. */
int qcow2_load(struct qcow2 **qcow2, int fd, const char *name, bool read_only, struct error *error);
void qcow2_free(struct qcow2 *q);
/* Whether what is in the image may be changed: not with snapshots, bitmaps, version 2, or marked as damaged. */
int qcow2_check_writable(const struct qcow2 *q, struct error *error);

/* The file, aligned buffers and ranges only; what is behind its end reads as zeroes. 0 or -errno. */
int qcow2_read(const struct qcow2 *q, void *to, uint64_t length, uint64_t offset);
int qcow2_write(const struct qcow2 *q, const void *from, uint64_t length, uint64_t offset);
int qcow2_sync(const struct qcow2 *q);
/* A buffer for them, to be freed with free(). */
uint8_t *qcow2_buffer(uint64_t length);
/* (Re)loads the refcount table that q->header names; 0 or -errno. */
int qcow2_load_reftable(struct qcow2 *q);
/* Header fields as q->header has them, in one write of one sector. */
int qcow2_store_header(struct qcow2 *q);

/* Whether a cluster at this offset may hold data or a table: aligned, in the file, not on the header or a table that
 * never moves. */
bool qcow2_offset_valid(const struct qcow2 *q, uint64_t offset);
/* Whether an L2 entry is one that this version of the format has, and refers to what is in the image. Under lock. */
bool qcow2_entry_valid(const struct qcow2 *q, uint64_t entry);
/* Of a compressed cluster's entry: where it begins and its length, at most two clusters. false: outside the image. */
bool qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length);

/* Cache. Under lock; NULL: not there. */
struct qcow2_slice *qcow2_slice_find(struct qcow2 *q, uint64_t offset);
void qcow2_slice_dirty(struct qcow2 *q, struct qcow2_slice *slice);
/* Not under lock: sees to it that the slice is there (it may be pushed out again). zero: a new one, which is not read.
 */
int qcow2_slice_load(struct qcow2 *q, uint64_t offset, uint32_t owner, bool zero);
int qcow2_cache_create(struct qcow2 *q, size_t bytes);
void qcow2_cache_destroy(struct qcow2 *q);
void qcow2_table_set(struct qcow2_table *table, uint64_t index, uint64_t entry);

/* Refcounts. get and set are for a whole refcount block or slice, index counts from its beginning. */
uint64_t qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t index);
void qcow2_refcount_set(uint8_t *block, unsigned order, uint64_t index, uint64_t value);
/* The slice with a cluster's refcount: its offset; 0: no such refcount block. *index: in the slice. Under lock. */
int qcow2_refcount_place(const struct qcow2 *q, uint64_t cluster, uint64_t *offset, uint64_t *index);
/* A free cluster that reads as zeroes, its refcount 1; 0: qcow2_alloc_prepare() first. Under lock. */
uint64_t qcow2_alloc(struct qcow2 *q);
/* Not under lock: sees to it that the next qcow2_alloc() has what it needs. */
int qcow2_alloc_prepare(struct qcow2 *q);
/* Both, until there is one. Not under lock. */
int qcow2_alloc_wait(struct qcow2 *q, uint64_t *host);
/* What an L2 entry referred to is not referred to any more. Under lock. */
int qcow2_unlink(struct qcow2 *q, uint64_t entry);
int qcow2_runs_add(struct qcow2_runs *runs, uint64_t first, uint64_t count);
void qcow2_runs_free(struct qcow2_runs *runs);
/* Gives back what nobody can be accessing any more. Not under lock. */
int qcow2_reclaim(struct qcow2 *q);

/* Mapping. */
enum qcow2_kind {
    QCOW2_DATA, /* at host in the file */
    QCOW2_ZEROES,
    QCOW2_BACKING,
    QCOW2_INFLATE, /* a compressed cluster */
    QCOW2_PREPARE, /* qcow2_prepare() first */
    QCOW2_COMMIT   /* qcow2_commit() first */
};
struct qcow2_extent {
    enum qcow2_kind kind;
    uint64_t host, length, entry;
};
/*
 * What the longest range from guest on is that is all alike, of at most length bytes. For a write it is made so that
 * it can be written in place (QCOW2_DATA), or says what must be done first. Under lock. -EIO: the image is damaged.
 */
int qcow2_map(struct qcow2 *q, uint64_t guest, uint64_t length, bool write, struct qcow2_extent *extent);
/* Not under lock, may wait for the disk: does what qcow2_map() asked for. */
int qcow2_prepare(struct qcow2 *q, uint64_t guest, bool write);
/* Makes the whole clusters in the range read as zeroes and unlinks them; both are multiples of a cluster, but for the
 * end of the disk. *done: bytes, of at most so many tables. Not under lock. -EAGAIN: commit first. */
int qcow2_zero(struct qcow2 *q, uint64_t guest, uint64_t length, uint64_t *done);
/* A compressed cluster's contents from skip on. Not under lock. */
int qcow2_inflate(struct qcow2 *q, uint64_t entry, uint64_t skip, void *to, uint64_t length);
/* A whole cluster as the guest reads it, through the backing image. Not under lock. */
int qcow2_read_cluster(struct qcow2 *q, uint64_t guest, uint64_t entry, uint8_t *to);
/* Blocking, any thread. */
int qcow2_pread(struct qcow2 *q, void *to, uint64_t length, uint64_t offset);

/* Everything that was written is on the disk on return. Not under lock. */
int qcow2_commit(struct qcow2 *q);
/* The same when nothing is under way any more; the image is then as if it had never been open. */
int qcow2_commit_last(struct qcow2 *q);
/* Whether an fdatasync() does what qcow2_commit() would. Under lock. */
bool qcow2_is_clean(const struct qcow2 *q);
/* Brackets a request that uses what qcow2_map() said. Under lock. enter returns what leave is given. */
unsigned qcow2_enter(struct qcow2 *q);
void qcow2_leave(struct qcow2 *q, unsigned parity);

/*
 * Makes the disk larger (never smaller: the caller has checked), in the file as in memory. Not under lock; on the
 * thread that calls qcow2_prepare(). Requests, flushes and commits may be under way. 0, -EFBIG or -errno: it is as it
 * was.
 */
int qcow2_grow(struct qcow2 *q, uint64_t size);
/* Clusters that the file can come to when the disk has size bytes: all that the guest can write, and tables. */
uint64_t qcow2_clusters_wanted(const struct qcow2 *q, uint64_t size);
/* Whether the refcount table can count twice as many. */
bool qcow2_refcounts_suffice(const struct qcow2 *q, uint64_t size);

/* What a look at every table found. */
struct qcow2_findings {
    uint64_t errors, leaks;              /* references without a right count or place; counts without references */
    uint64_t mapped, compressed, zeroed; /* guest clusters */
    uint64_t file_clusters;
    char first[160]; /* the first error, for the user */
};
/*
 * Compares all references with all refcounts (q from qcow2_load()). With repair what is wrong in L1 and L2 tables is
 * taken out and the refcounts are built anew; the dirty and the corrupt bit are cleared.
 */
int qcow2_check(struct qcow2 *q, bool repair, struct qcow2_findings *findings, struct error *error);
/* Counts all references and builds refcounts for them, with a table that suffices for a disk that is written full. */
int qcow2_rebuild(struct qcow2 *q, struct error *error);

#endif
