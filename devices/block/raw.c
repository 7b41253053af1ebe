/* Opening an image: a file or a block device, its size, its lock, what the host can do with it; raw, it is the disk. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "engine.h"
#include "qcow2_queue.h"

#define SECTOR 512U
#define LOCK_STEPS 50U
#define LOCK_STEP_NS 20000000L

const struct block_terms *block_terms_of(const struct block_options *options)
{
    static const struct block_terms of_disk = {
        .prefix = "--disk ",
        .qcow2 = "format=qcow2",
        .raw = "format=raw",
        .backing = "backing=FILE",
        .absent = "make it first, for example with `casement image create FILE 20G` or `truncate -s 20G FILE`",
        .read_only = "make it writable, or add the property readonly (--disk FILE,readonly)",
        .in_use = "another machine; stop that one or give this one its own disk",
        .engine = "use --io-engine threads",
    };

    return options->terms ? options->terms : &of_disk;
}

static int open_file(const struct block_options *options, bool direct)
{
    return open(options->path, (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | (direct ? O_DIRECT : 0));
}

static int cannot_open(const struct block_options *options, int err, struct error *error)
{
    const char *remedy = "name another file";

    if (err == ENOENT)
        remedy = block_terms_of(options)->absent;
    else if (err == EROFS || (err == EACCES && !options->read_only && access(options->path, R_OK) == 0))
        /* cppcheck-suppress assignBoolToPointer; it takes the text for the option of the same name */
        remedy = block_terms_of(options)->read_only;
    else if (err == EACCES)
        remedy = "give the user who runs this the right to it";

    return error_set(error, err, "%s%s: %s; %s", block_terms_of(options)->prefix, options->path, strerror(err), remedy);
}

/* The kernel lets go of a killed machine's requests, and with them of its lock, a moment after the machine is gone. */
static int lock(const struct block *block, const struct block_options *options, struct error *error)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_NS};
    struct flock range = {.l_type = options->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    int failed = fcntl(block->fd, F_OFD_SETLK, &range) == 0 ? 0 : errno;

    for (unsigned n = 0; n < LOCK_STEPS && (failed == EAGAIN || failed == EACCES); n++) {
        nanosleep(&step, NULL);
        failed = fcntl(block->fd, F_OFD_SETLK, &range) == 0 ? 0 : errno;
    }
    if (failed == EAGAIN || failed == EACCES)
        return error_set(error, EBUSY, "%s%s: in use by %s", block_terms_of(options)->prefix, options->path,
                         block_terms_of(options)->in_use);
    return failed ? error_set(error, failed, "%s%s: cannot be locked: %s; put it on a file system that has locks",
                              block_terms_of(options)->prefix, options->path, strerror(failed))
                  : 0;
}

/* Before it is opened: opening a pipe waits for its other end. */
static int check_kind(const struct block_options *options, struct error *error)
{
    struct stat info;

    if (stat(options->path, &info) < 0)
        return cannot_open(options, errno, error);
    if (S_ISDIR(info.st_mode))
        return error_set(error, EISDIR, "%s%s: is a folder; name an image in it", block_terms_of(options)->prefix,
                         options->path);
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return error_set(error, EINVAL, "%s%s: is neither a file nor a block device; name one",
                         block_terms_of(options)->prefix, options->path);
    return 0;
}

/*
 * The format is what the operator says, never what the image looks like (CVE-2026-27211). A raw image that looks like
 * qcow2 most likely is one, and a guest that took it for a disk would destroy it: so it is refused until the operator
 * says which it is. A guest that writes such a header to its raw disk keeps itself from starting, and gains nothing.
 */
static int check_raw(const struct block *block, const struct block_options *options, struct error *error)
{
    const struct block_terms *terms = block_terms_of(options);
    uint8_t *sectors;
    bool looks;

    if (options->format != BLOCK_FORMAT_RAW)
        return 0;
    if (options->backing)
        return error_set(error, EINVAL, "%s%s: a raw image lies on no other; leave %s out, or add %s", terms->prefix,
                         options->path, terms->backing, terms->qcow2);
    sectors = options->format_given ? NULL : aligned_alloc(4096, 4096);
    looks = sectors && pread(block->fd, sectors, 4096, 0) >= 4 && get_be32(sectors) == QCOW2_MAGIC;
    free(sectors);
    return looks ? error_set(error, EINVAL,
                             "%s%s: looks like a qcow2 image; add %s, or %s if the disk itself begins like this",
                             terms->prefix, options->path, terms->qcow2, terms->raw)
                 : 0;
}

static int find_size(struct block *block, const struct block_options *options, struct error *error)
{
    struct stat info;
    uint64_t size;

    if (fstat(block->fd, &info) < 0)
        return cannot_open(options, errno, error);
    block->device = S_ISBLK(info.st_mode);
    size = (uint64_t)info.st_size;
    if (block->device && ioctl(block->fd, BLKGETSIZE64, &size) < 0)
        return error_set(error, errno, "%s%s: its size cannot be read: %s", block_terms_of(options)->prefix,
                         options->path, strerror(errno));
    block->size = size;
    /* A qcow2 image's size is in its header. */
    if (options->format == BLOCK_FORMAT_RAW && (size == 0 || size % SECTOR))
        return error_set(error, EINVAL,
                         "%s%s: %" PRIu64 " bytes are not a whole number of %u-byte sectors; "
                         "`truncate -s %%512 FILE` rounds a file up",
                         block_terms_of(options)->prefix, options->path, size, SECTOR);
    return 0;
}

/* What buffers must be like for direct I/O (statx STATX_DIOALIGN, Linux 6.1). false: this file cannot do it for
 * 512-byte sectors. */
static bool direct_alignment(struct block *block)
{
#ifdef STATX_DIOALIGN
    struct statx info;

    if (statx(block->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 && (info.stx_mask & STATX_DIOALIGN)) {
        block->memory_alignment = MAX(info.stx_dio_mem_align, 1U);
        return info.stx_dio_offset_align && info.stx_dio_offset_align <= SECTOR;
    }
#endif
    int sector = 0;

    if (block->device) {
        block->memory_alignment = SECTOR;
        return ioctl(block->fd, BLKSSZGET, &sector) == 0 && sector <= (int)SECTOR;
    }
    /* An older kernel does not say. Ask the file system: a read of one sector either works or not. */
    void *buffer = aligned_alloc(4096, 4096);
    bool works = buffer && pread(block->fd, buffer, SECTOR, 0) == (ssize_t)SECTOR;

    free(buffer);
    block->memory_alignment = 4096;
    return works;
}

/* Offered to the guest only when it truly works (lessons 3.5, row 9): behind the end of the file nothing is lost by
 * asking. */
static bool probe_allocate(const struct block *block, int mode)
{
    struct stat info;
    char path[96];
    unsigned long long most = 0;
    FILE *file;

    if (!block->device)
        return fallocate(block->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)align_up(block->size, 4096), 4096) == 0;
    if (fstat(block->fd, &info) < 0)
        return false;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/queue/%s", major(info.st_rdev), minor(info.st_rdev),
             mode & FALLOC_FL_PUNCH_HOLE ? "discard_max_bytes" : "write_zeroes_max_bytes");
    file = fopen(path, "re");
    if (file && fscanf(file, "%llu", &most) != 1)
        most = 0;
    if (file)
        fclose(file);
    return most > 0;
}

/* Once for all disks: what keeps io_uring away is the process's. */
static void say_threads(void)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&said))
        log_info("disks: io_uring is refused by this host or container, so threads read and write them, which takes "
                 "more of the processors; allow it by the seccomp profile deploy/seccomp.json (--security-opt "
                 "seccomp=FILE) and by sysctl kernel.io_uring_disabled=0, or say --io-engine threads");
}

static int choose_engine(struct block *block, const struct block_options *options, struct error *error)
{
    bool usable = options->engine != BLOCK_ENGINE_THREADS && block_uring_usable();

    if (options->engine == BLOCK_ENGINE_URING && !usable)
        return error_set(error, ENOSYS,
                         "%s%s: io_uring is refused by this host or container; allow it in the seccomp profile, or use "
                         "engine=auto",
                         block_terms_of(options)->prefix, options->path);
    if (options->engine == BLOCK_ENGINE_AUTO && !usable)
        say_threads();
    block->engine = usable ? &block_engine_uring : &block_engine_threads;
    return 0;
}

int block_open_file(const struct block_options *options, struct block **result, struct error *error)
{
    struct block *block = calloc(1, sizeof *block);
    int failed;

    if (!block)
        return error_set(error, ENOMEM, "%s%s: out of memory", block_terms_of(options)->prefix, options->path);
    block->terms = block_terms_of(options);
    block->read_only = options->read_only;
    block->direct = options->cache == BLOCK_CACHE_NONE;
    block->fd = -1;
    pthread_mutex_init(&block->watch_lock, NULL);
    gate_init(&block->gate, &options->limits);
    failed = check_kind(options, error);
    if (failed == 0) {
        block->fd = open_file(options, block->direct);
        if (block->fd < 0 && block->direct && errno == EINVAL) {
            block->direct = false;
            block->fd = open_file(options, false);
        }
        failed = block->fd < 0 ? cannot_open(options, errno, error) : 0;
    }
    if (failed == 0)
        failed = check_raw(block, options, error);
    if (failed == 0)
        failed = find_size(block, options, error);
    if (failed == 0)
        failed = lock(block, options, error);
    if (failed == 0)
        failed = choose_engine(block, options, error);
    if (failed < 0) {
        block_close(block);
        return failed;
    }
    /* Sectors that the host's are larger than: through the page cache. Clearing the flag keeps descriptor and lock. */
    if (block->direct && !direct_alignment(block)) {
        block->direct = false;
        fcntl(block->fd, F_SETFL, fcntl(block->fd, F_GETFL) & ~O_DIRECT);
    }
    if (!block->read_only) {
        block->can_discard = probe_allocate(block, FALLOC_FL_PUNCH_HOLE);
        block->can_zero = probe_allocate(block, FALLOC_FL_ZERO_RANGE);
    }
    *result = block;
    return 0;
}

int block_open(const struct block_options *options, struct block **result, struct error *error)
{
    struct block *block = NULL;
    int failed = block_open_file(options, &block, error);

    if (failed < 0)
        return failed;
    failed = options->format == BLOCK_FORMAT_QCOW2 ? qcow2_attach(block, options, error) : 0;
    if (failed < 0) {
        block_close(block);
        return failed;
    }
    *result = block;
    return 0;
}

void block_close(struct block *block)
{
    if (!block)
        return;
    qcow2_detach(block);
    if (block->fd >= 0)
        close(block->fd);
    pthread_mutex_destroy(&block->watch_lock);
    gate_destroy(&block->gate);
    free(block);
}

bool block_read_only(const struct block *block)
{
    return block->read_only;
}

bool block_can_discard(const struct block *block)
{
    return block->can_discard;
}

enum block_format block_format(const struct block *block)
{
    return block->qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
}

const char *block_engine_name(const struct block *block)
{
    return block->engine->name;
}

int block_pread(struct block *block, void *to, uint64_t length, uint64_t offset)
{
    uint8_t *buffer = aligned_alloc(4096, BOUNCE_BYTES), *out = to;
    uint64_t size = block->size;
    int failed = buffer ? 0 : -ENOMEM;

    if (offset > size || length > size - offset)
        failed = -EINVAL;
    if (block->qcow2 && failed == 0) {
        free(buffer);
        return qcow2_pread(block->qcow2, to, length, offset);
    }
    while (length && failed == 0) {
        uint64_t start = offset & ~(uint64_t)4095, skip = offset - start;
        ssize_t count = pread(block->fd, buffer, BOUNCE_BYTES, (off_t)start);
        uint64_t now = MIN(length, BOUNCE_BYTES - skip);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 || (uint64_t)count < skip + now) {
            failed = count < 0 ? -errno : -EIO;
            break;
        }
        memcpy(out, buffer + skip, now);
        out += now;
        offset += now;
        length -= now;
    }
    free(buffer);
    return failed;
}
