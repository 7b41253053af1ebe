/*
 * The host loses its power, and its disk what it had not been told to keep. All that the block layer does to its file
 * is recorded; then the file is built again as a disk may leave it at a random instant: what a finished fdatasync()
 * covers is there, of the rest each sector is or is not, whatever came first. LONG=1: more instants.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"
#include "fake_folder.h"

#define DISK (2 * MiB)
#define SECTOR 512U
#define UNIT 4096U /* what the guest writes at once, at least */
#define UNITS (DISK / UNIT)
#define ROUNDS 160U
#define BATCH 8U
#define FILE_MOST (24 * MiB) /* of what is written to it; it may be longer */

/* The record. */

/* begin and end are instants; end is 0 while it is under way. */
struct deed {
    enum { WRITE, PUNCH, TRUNCATE, SYNC } kind;
    uint64_t offset, length, begin, end;
    uint8_t *data;
};

static struct {
    pthread_mutex_t lock;
    ino_t file; /* of which the record is; 0: none */
    uint64_t now;
    struct deed *deeds;
    size_t count, room;
} record = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_recorded(int fd)
{
    struct stat info;

    return record.file && fstat(fd, &info) == 0 && info.st_ino == record.file;
}

/* The deed's number; its data are copied from iov. */
static size_t begin(int kind, uint64_t offset, uint64_t length, const struct iovec *iov, int count)
{
    struct deed deed = {.kind = kind, .offset = offset, .length = length};
    size_t number, used = 0;

    if (iov) {
        for (int n = 0; n < count; n++)
            deed.length += iov[n].iov_len;
        deed.data = malloc(deed.length + 1);
        for (int n = 0; n < count; n++) {
            memcpy(deed.data + used, iov[n].iov_base, iov[n].iov_len);
            used += iov[n].iov_len;
        }
    }
    pthread_mutex_lock(&record.lock);
    deed.begin = ++record.now;
    if (record.count == record.room) {
        record.room = record.room ? record.room * 2 : 1024;
        record.deeds = realloc(record.deeds, record.room * sizeof *record.deeds);
    }
    number = record.count++;
    record.deeds[number] = deed;
    pthread_mutex_unlock(&record.lock);
    return number;
}

static void end(size_t number, bool done)
{
    pthread_mutex_lock(&record.lock);
    if (done)
        record.deeds[number].end = ++record.now;
    pthread_mutex_unlock(&record.lock);
}

static uint64_t instant(void)
{
    uint64_t now;

    pthread_mutex_lock(&record.lock);
    now = ++record.now;
    pthread_mutex_unlock(&record.lock);
    return now;
}

static void forget(void)
{
    for (size_t n = 0; n < record.count; n++)
        free(record.deeds[n].data);
    free(record.deeds);
    record.deeds = NULL;
    record.count = record.room = 0;
    record.now = record.file = 0;
}

/* In front of the C library's. */
ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    bool recorded = is_recorded(fd);
    size_t number = recorded ? begin(WRITE, (uint64_t)offset, 0, iov, count) : 0;
    ssize_t result = syscall(SYS_pwritev, fd, iov, count, offset, 0);

    if (recorded)
        end(number, true);
    return result;
}

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
    struct iovec iov = {.iov_len = size};

    memcpy(&iov.iov_base, &buffer, sizeof buffer); /* without its const */
    return pwritev64(fd, &iov, 1, offset);
}

static int sync_file(int fd, long call)
{
    bool recorded = is_recorded(fd);
    size_t number = recorded ? begin(SYNC, 0, 0, NULL, 0) : 0;
    int result = (int)syscall(call, fd);

    if (recorded)
        end(number, result == 0);
    return result;
}

int fdatasync(int fd)
{
    return sync_file(fd, SYS_fdatasync);
}

int fsync(int fd)
{
    return sync_file(fd, SYS_fsync);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    bool recorded = is_recorded(fd);
    size_t number = recorded ? begin(PUNCH, (uint64_t)offset, (uint64_t)length, NULL, 0) : 0;
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, length);

    if (recorded)
        end(number, true);
    return result;
}

int ftruncate64(int fd, off64_t length)
{
    if (is_recorded(fd))
        end(begin(TRUNCATE, 0, (uint64_t)length, NULL, 0), true);
    return (int)syscall(SYS_ftruncate, fd, length);
}

/* The file after the loss. */

static struct {
    uint8_t bytes[FILE_MOST];
    uint64_t written, length;
} left;

/* Sectors of a deed with the given chance each, of 16. A punched hole that comes is a hole as a whole. */
static void apply(const struct deed *deed, unsigned chance)
{
    assert_true(deed->kind != WRITE || deed->offset + deed->length <= FILE_MOST);
    if (deed->kind == TRUNCATE) {
        if (deed->length < left.written)
            memset(left.bytes + deed->length, 0, left.written - deed->length);
        left.written = MIN(left.written, deed->length);
        left.length = deed->length;
        return;
    }
    for (uint64_t at = 0; at < deed->length; at += SECTOR) {
        uint64_t now = MIN((uint64_t)SECTOR, deed->length - at), to = deed->offset + at;

        if ((unsigned)rand() % 16 >= chance)
            continue;
        if (deed->kind == WRITE) {
            memcpy(left.bytes + to, deed->data + at, now);
            left.written = MAX(left.written, to + now);
        } else if (to < left.written) {
            memset(left.bytes + to, 0, MIN(now, left.written - to));
        }
    }
}

/* When the last fdatasync() began that had ended by then: what had ended before it is kept. */
static uint64_t kept_until(uint64_t cut)
{
    uint64_t kept = 0;

    for (size_t n = 0; n < record.count; n++)
        if (record.deeds[n].kind == SYNC && record.deeds[n].end && record.deeds[n].end <= cut)
            kept = MAX(kept, record.deeds[n].begin);
    return kept;
}

static void rebuild(const uint8_t *first, uint64_t length, uint64_t cut)
{
    static const unsigned chances[] = {0, 2, 8, 14, 16};
    unsigned chance = chances[(unsigned)rand() % ARRAY_SIZE(chances)];
    uint64_t kept = kept_until(cut);
    size_t *open = calloc(record.count + 1, sizeof *open), count = 0;

    memset(left.bytes, 0, left.written);
    memcpy(left.bytes, first, length);
    left.written = left.length = length;
    for (size_t n = 0; n < record.count && record.deeds[n].begin <= cut; n++) {
        const struct deed *deed = &record.deeds[n];

        /* A file's length is the file system's, which keeps the order of its journal. */
        if (deed->kind == TRUNCATE || (deed->kind != SYNC && deed->end && deed->end < kept))
            apply(deed, 16);
        else if (deed->kind != SYNC)
            open[count++] = n;
    }
    while (count) {
        size_t pick = (size_t)rand() % count;

        apply(&record.deeds[open[pick]], chance);
        open[pick] = open[--count];
    }
    free(open);
}

/* The guest. */

/* Each sector says of which unit and which write it is; 0: it was never written, or zeroed. */
struct stamp {
    uint32_t unit, version, sector, check;
};

static struct stamp stamp_of(uint32_t unit, uint32_t version, uint32_t sector)
{
    return (struct stamp){unit, version, sector, unit * 2654435761U ^ version * 40503U ^ sector};
}

/* A deed of the guest on one unit. */
struct change {
    uint32_t unit, version; /* version 0: zeroes */
    uint64_t begin, end;
};

static struct {
    struct change changes[ROUNDS * BATCH * 16];
    size_t count;
    struct {
        uint64_t begin, end;
    } flushes[ROUNDS];
    size_t flush_count;
} guest;

struct slot {
    struct block_request request;
    struct iovec iov;
    uint8_t data[16 * UNIT];
    size_t first, units;
};

static void done(struct block_request *request, int result)
{
    const struct slot *slot = request->opaque;
    uint64_t now = instant();

    assert_int_equal(result, 0);
    if (request->op == BLOCK_FLUSH)
        guest.flushes[slot->first].end = now;
    for (size_t n = 0; n < slot->units; n++)
        guest.changes[slot->first + n].end = now;
}

static void start_flush(struct slot *slot)
{
    slot->first = guest.flush_count++;
    slot->units = 0;
    guest.flushes[slot->first].begin = instant();
    slot->request = (struct block_request){.op = BLOCK_FLUSH, .done = done, .opaque = slot};
}

/* Two requests for one unit at the same time would have no order: busy says which have one. */
static bool start_change(struct slot *slot, uint32_t version, bool *busy)
{
    uint32_t units = 1 + (uint32_t)rand() % 16, unit = (uint32_t)rand() % (UNITS - units);
    bool zero = rand() % 5 == 0;

    for (uint32_t n = 0; n < units; n++)
        if (busy[unit + n])
            return false;
    slot->first = guest.count;
    slot->units = units;
    for (uint32_t n = 0; n < units; n++) {
        busy[unit + n] = true;
        guest.changes[guest.count++] = (struct change){unit + n, zero ? 0 : version, instant(), 0};
        for (uint32_t sector = 0; sector < UNIT / SECTOR; sector++) {
            struct stamp stamp = stamp_of(unit + n, version, sector);

            memcpy(slot->data + (size_t)n * UNIT + (size_t)sector * SECTOR, &stamp, sizeof stamp);
        }
    }
    slot->iov = (struct iovec){slot->data, (size_t)units * UNIT};
    slot->request = (struct block_request){.op = zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE,
                                           .unmap = rand() % 2,
                                           .offset = (uint64_t)unit * UNIT,
                                           .length = (uint64_t)units * UNIT,
                                           .iov = &slot->iov,
                                           .iov_count = zero ? 0 : 1,
                                           .done = done,
                                           .opaque = slot};
    return true;
}

static void work(struct block_queue *queue)
{
    static struct slot slots[BATCH];
    static bool busy[UNITS];

    memset(&guest, 0, sizeof guest);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        unsigned flush = (unsigned)rand() % 16; /* which of the batch is a flush, if there is such a one */

        memset(busy, 0, sizeof busy);
        for (unsigned n = 0; n < BATCH; n++) {
            if (n == flush)
                start_flush(&slots[n]);
            else if (!start_change(&slots[n], round * BATCH + n + 1, busy))
                continue;
            block_submit(queue, &slots[n].request);
            if (rand() % 2)
                block_queue_kick(queue);
        }
        block_queue_drain(queue);
    }
}

/* What was promised. */

/* Whether the unit may hold this version after the cut: no later change was promised, and it had begun. */
static bool may_hold(uint32_t unit, uint32_t version, uint64_t cut, uint64_t promised)
{
    bool found = version == 0; /* before the first */

    for (size_t n = 0; n < guest.count; n++) {
        const struct change *change = &guest.changes[n];

        if (change->unit != unit || change->begin > cut)
            continue;
        if (change->end && change->end < promised)
            found = change->version == version;
        else
            found |= change->version == version;
    }
    return found;
}

static void check_disk(struct block *block, uint64_t cut)
{
    static const uint8_t zeroes[SECTOR];
    uint8_t *data = malloc(DISK);
    uint64_t promised = 0;

    for (size_t n = 0; n < guest.flush_count; n++)
        if (guest.flushes[n].end && guest.flushes[n].end <= cut)
            promised = MAX(promised, guest.flushes[n].begin);
    assert_int_equal(block_pread(block, data, DISK, 0), 0);
    for (uint32_t at = 0; at < DISK / SECTOR; at++) {
        const uint8_t *sector = data + (size_t)at * SECTOR;
        uint32_t unit = at / (UNIT / SECTOR), within = at % (UNIT / SECTOR);
        struct stamp stamp, right;

        memcpy(&stamp, sector, sizeof stamp);
        right = stamp_of(unit, stamp.version, within);
        if (memcmp(sector, zeroes, SECTOR) != 0 && memcmp(&stamp, &right, sizeof stamp) != 0)
            fail_msg("cut at %llu: sector %u of unit %u holds what nobody wrote there", (unsigned long long)cut, within,
                     unit);
        if (!may_hold(unit, stamp.version, cut, promised))
            fail_msg("cut at %llu: unit %u holds version %u, which a flush at %llu has replaced",
                     (unsigned long long)cut, unit, stamp.version, (unsigned long long)promised);
    }
    free(data);
}

static void check_tables(const char *path, bool lazy)
{
    struct image_findings findings;
    struct error error = {""};

    if (image_check(path, lazy, &findings, &error) < 0)
        fail_msg("%s", error.text);
    if (lazy && image_check(path, false, &findings, &error) < 0)
        fail_msg("%s", error.text);
    if (findings.errors)
        fail_msg("%llu errors: %s", (unsigned long long)findings.errors, findings.first);
}

struct kind {
    enum block_format format;
    unsigned cluster_bits;
    bool lazy;
};

static struct block *open_image(const char *path, const struct kind *kind)
{
    const struct block_options options = {.path = path,
                                          .format = kind->format,
                                          .format_given = true,
                                          .engine = BLOCK_ENGINE_THREADS,
                                          .cache = BLOCK_CACHE_HOST};
    struct block *block = NULL;
    struct error error = {""};

    if (block_open(&options, &block, &error) < 0)
        fail_msg("%s", error.text);
    return block;
}

static void cut_power(const char *path, const struct kind *kind, const uint8_t *first, uint64_t length, uint64_t cut)
{
    struct block *block;
    int fd;

    rebuild(first, length, cut);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, left.bytes, left.written), (ssize_t)left.written);
    assert_int_equal(ftruncate(fd, (off_t)MAX(left.written, left.length)), 0);
    close(fd);
    if (kind->format == BLOCK_FORMAT_QCOW2 && !kind->lazy)
        check_tables(path, false);
    block = open_image(path, kind); /* mends what lazy refcounts left */
    check_disk(block, cut);
    block_close(block);
    if (kind->format == BLOCK_FORMAT_QCOW2)
        check_tables(path, kind->lazy);
}

static void lose_power(const struct kind *kind, unsigned cuts)
{
    char path[64] = "build/power-XXXXXX", after[80];
    struct error error = {""};
    struct block_queue *queue;
    struct block *block;
    struct loop *loop = loop_create("power");
    struct stat info;
    uint8_t *first = malloc(FILE_MOST);
    int fd = mkstemp(path);

    close(fd);
    unlink(path);
    assert_int_equal(image_create(&(struct image_options){.path = path,
                                                          .format = kind->format,
                                                          .size = DISK,
                                                          .cluster_bits = kind->cluster_bits,
                                                          .lazy_refcounts = kind->lazy},
                                  &error),
                     0);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &info), 0);
    assert_int_equal(read(fd, first, FILE_MOST), info.st_size);
    close(fd);
    block = open_image(path, kind);
    record.file = info.st_ino;
    queue = block_queue_create(block, loop, BATCH, &error);
    assert_non_null(queue);
    work(queue);
    block_queue_destroy(queue);
    block_close(block);
    record.file = 0;
    snprintf(after, sizeof after, "%s-after", path);
    for (unsigned n = 0; n < cuts; n++)
        cut_power(after, kind, first, (uint64_t)info.st_size, 1 + (uint64_t)rand() % (record.now + 1));
    cut_power(after, kind, first, (uint64_t)info.st_size, record.now + 1);
    forget();
    unlink(after);
    unlink(path);
    free(first);
    loop_destroy(loop);
}

static void no_flushed_write_is_lost(void **state)
{
    static const struct kind kinds[] = {{BLOCK_FORMAT_RAW, 0, false},
                                        {BLOCK_FORMAT_QCOW2, 12, false},
                                        {BLOCK_FORMAT_QCOW2, 16, false},
                                        {BLOCK_FORMAT_QCOW2, 12, true}};
    const char *seed = getenv("TEST_SEED");
    unsigned number = seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)clock_ns();

    (void)state;
    printf("seed %u\n", number);
    srand(number);
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++)
        lose_power(&kinds[n], fake_tries(20, 300));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_flushed_write_is_lost)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
