/* Which pieces of a file are there, and the two files that keep it (see fetch_pieces.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/loop.h"
#include "fetch_pieces.h"

/* Enough for a disk to be busy with, and little to lose when the machine is killed. */
#define COMMIT_PIECES 4U
#define COMMIT_NS INT64_C(1000000000)

/* One of the two places in the state file. */
#define DIGEST_BYTES 32U
#define AT_DIGEST 0U /* of all that follows */
#define AT_MAGIC 32U
#define AT_SEQUENCE 48U /* the larger one is the newer */
#define AT_SIZE 56U
#define AT_PIECE 64U
#define AT_URL 72U /* its digest: a link may have a secret in it */
#define AT_ETAG 104U
#define AT_MODIFIED (AT_ETAG + VERSION_ETAG)
#define AT_BITMAP 4096U
#define BITMAP_BYTES 8192U
#define SLOT_BYTES (AT_BITMAP + BITMAP_BYTES)
#define PIECES_MOST (BITMAP_BYTES * 8U)

static const char magic[16] = "casement fetch 1";

struct pieces {
    char *path, *part, *state;
    int part_fd, state_fd;
    uint8_t url[DIGEST_BYTES];
    uint64_t piece_wanted;
    bool verified, locked;

    uint64_t size, piece, count; /* size 0: nothing is known */
    struct fetch_version version;
    uint64_t *filled; /* of each piece: bytes from its start that are there */
    uint64_t done;
    unsigned uncommitted; /* pieces that are whole and not noted */
    bool lost;            /* a sync has failed: the host may have dropped data, and the next one would not say so */
    int64_t committed_ns;
    uint64_t sequence;
};

static int cannot(const char *path, const char *what, int err, struct error *error)
{
    if (err == ENOSPC || err == EDQUOT)
        return error_set(error, ENOSPC, "%s: no space left; make room, then do it again: what is there is kept", path);
    return error_set(error, err, "%s: cannot be %s: %s; name a place that is writable and has room", path, what,
                     strerror(err));
}

/* Sizes. */

static uint64_t piece_for(uint64_t wanted, uint64_t size)
{
    while ((size - 1) / wanted >= PIECES_MOST)
        wanted *= 2;
    return wanted;
}

static uint64_t length_of(const struct pieces *pieces, uint64_t index)
{
    return MIN(pieces->piece, pieces->size - index * pieces->piece);
}

uint64_t pieces_size(const struct pieces *pieces)
{
    return pieces->size;
}

uint64_t pieces_done(const struct pieces *pieces)
{
    return pieces->done;
}

bool pieces_whole(const struct pieces *pieces)
{
    return pieces->size && pieces->done == pieces->size;
}

uint64_t pieces_missing(const struct pieces *pieces, uint64_t from)
{
    for (uint64_t n = from / pieces->piece; n < pieces->count; n++)
        if (pieces->filled[n] < length_of(pieces, n))
            return MAX(from, n * pieces->piece + pieces->filled[n]);
    return pieces->size;
}

uint64_t pieces_end(const struct pieces *pieces, uint64_t at)
{
    return MIN((at / pieces->piece + 1) * pieces->piece, pieces->size);
}

const struct fetch_version *pieces_version(const struct pieces *pieces)
{
    return &pieces->version;
}

/* A server may leave out one of the two now and then, but what was known of the version must be borne out. */
bool pieces_match(const struct pieces *pieces, uint64_t size, const struct fetch_version *version)
{
    const struct fetch_version *ours = &pieces->version;
    bool etags = ours->etag[0] && version->etag[0], dates = ours->modified[0] && version->modified[0];
    bool known = ours->etag[0] || ours->modified[0];

    return pieces->size == size && (!etags || !strcmp(ours->etag, version->etag)) &&
           (!dates || !strcmp(ours->modified, version->modified)) && (!known || etags || dates);
}

const char *pieces_part(const struct pieces *pieces)
{
    return pieces->part;
}

/* The state file. */

static void digest(const void *data, size_t length, uint8_t out[DIGEST_BYTES])
{
    unsigned got = DIGEST_BYTES;

    memset(out, 0, DIGEST_BYTES);
    EVP_Digest(data, length, out, &got, EVP_sha256(), NULL);
}

static bool bit(const uint8_t *slot, uint64_t index)
{
    return slot[AT_BITMAP + index / 8] & (1U << index % 8);
}

/* Is it whole, and about our URL? */
static bool slot_good(const struct pieces *pieces, const uint8_t *slot)
{
    uint64_t size = get_le64(slot + AT_SIZE), piece = get_le64(slot + AT_PIECE);
    uint8_t sum[DIGEST_BYTES];

    digest(slot + AT_MAGIC, SLOT_BYTES - AT_MAGIC, sum);
    return !memcmp(sum, slot + AT_DIGEST, DIGEST_BYTES) && !memcmp(slot + AT_MAGIC, magic, sizeof magic) &&
           !memcmp(slot + AT_URL, pieces->url, DIGEST_BYTES) && size && size <= INT64_MAX &&
           piece == piece_for(pieces->piece_wanted, size) && !slot[AT_MODIFIED - 1] &&
           !slot[AT_MODIFIED + VERSION_DATE - 1];
}

static int set_size(struct pieces *pieces, uint64_t size)
{
    uint64_t piece = piece_for(pieces->piece_wanted, size), count = (size - 1) / piece + 1;
    uint64_t *filled = calloc(count, sizeof *filled);

    if (!filled)
        return -ENOMEM;
    free(pieces->filled);
    pieces->filled = filled;
    pieces->size = size;
    pieces->piece = piece;
    pieces->count = count;
    pieces->done = 0;
    pieces->uncommitted = 0;
    return 0;
}

static int take_slot(struct pieces *pieces, const uint8_t *slot)
{
    int failed = set_size(pieces, get_le64(slot + AT_SIZE));

    if (failed < 0)
        return failed;
    memcpy(pieces->version.etag, slot + AT_ETAG, VERSION_ETAG);
    memcpy(pieces->version.modified, slot + AT_MODIFIED, VERSION_DATE);
    for (uint64_t n = 0; n < pieces->count; n++)
        if (bit(slot, n)) {
            pieces->filled[n] = length_of(pieces, n);
            pieces->done += pieces->filled[n];
        }
    return 0;
}

/* Does the file at hand fit what the state says, and the state what is wanted? */
static bool fits(const struct pieces *pieces, uint64_t wanted)
{
    bool versioned = pieces->version.etag[0] || pieces->version.modified[0];
    struct stat info;

    return pieces->part_fd >= 0 && fstat(pieces->part_fd, &info) == 0 && (uint64_t)info.st_size == pieces->size &&
           (!wanted || wanted == pieces->size) && (versioned || pieces->verified || pieces_whole(pieces));
}

/* What an earlier call has left. 0 also when there is nothing to go on with; -ENOMEM. */
static int read_state(struct pieces *pieces, uint64_t wanted)
{
    uint8_t *slots = calloc(2, SLOT_BYTES), *newest = NULL;
    int failed = 0;

    if (!slots)
        return -ENOMEM;
    for (unsigned n = 0; n < 2; n++) {
        uint8_t *slot = slots + (size_t)n * SLOT_BYTES;

        if (pread(pieces->state_fd, slot, SLOT_BYTES, (off_t)n * SLOT_BYTES) == SLOT_BYTES && slot_good(pieces, slot) &&
            (!newest || get_le64(slot + AT_SEQUENCE) > get_le64(newest + AT_SEQUENCE)))
            newest = slot;
    }
    if (newest) {
        failed = take_slot(pieces, newest);
        pieces->sequence = get_le64(newest + AT_SEQUENCE);
        if (failed == 0 && !fits(pieces, wanted))
            pieces_forget(pieces);
    }
    free(slots);
    return failed;
}

static int write_state(struct pieces *pieces)
{
    uint8_t *slot = calloc(1, SLOT_BYTES);
    off_t place;
    int failed = 0;

    if (!slot)
        return -ENOMEM;
    place = (off_t)(++pieces->sequence % 2) * SLOT_BYTES;
    memcpy(slot + AT_MAGIC, magic, sizeof magic);
    put_le64(slot + AT_SEQUENCE, pieces->sequence);
    put_le64(slot + AT_SIZE, pieces->size);
    put_le64(slot + AT_PIECE, pieces->piece);
    memcpy(slot + AT_URL, pieces->url, DIGEST_BYTES);
    memcpy(slot + AT_ETAG, pieces->version.etag, VERSION_ETAG);
    memcpy(slot + AT_MODIFIED, pieces->version.modified, VERSION_DATE);
    for (uint64_t n = 0; n < pieces->count; n++)
        if (pieces->filled[n] == length_of(pieces, n))
            slot[AT_BITMAP + n / 8] |= (uint8_t)(1U << n % 8);
    digest(slot + AT_MAGIC, SLOT_BYTES - AT_MAGIC, slot + AT_DIGEST);
    errno = EIO; /* what a short write means */
    if (pwrite(pieces->state_fd, slot, SLOT_BYTES, place) != SLOT_BYTES || fdatasync(pieces->state_fd) < 0)
        failed = -errno;
    free(slot);
    return failed;
}

/* Opening and closing. */

static int lock(const struct pieces *pieces, struct error *error)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(pieces->state_fd, F_OFD_SETLK, &range) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(error, EBUSY, "%s: another process is fetching it; wait for that one, or give another place",
                         pieces->path);
    return cannot(pieces->state, "locked", errno, error);
}

/* Whoever had the lock before may have removed the file that was opened here. */
static bool still_there(const struct pieces *pieces)
{
    struct stat ours, named;

    return fstat(pieces->state_fd, &ours) == 0 && stat(pieces->state, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

static int open_locked(struct pieces *pieces, struct error *error)
{
    int failed;

    do {
        if (pieces->state_fd >= 0)
            close(pieces->state_fd);
        pieces->state_fd = open(pieces->state, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (pieces->state_fd < 0)
            return cannot(pieces->state, "opened", errno, error);
        failed = lock(pieces, error);
    } while (failed == 0 && !still_there(pieces));
    pieces->locked = failed == 0;
    return failed;
}

static bool exists(const char *path)
{
    return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int already_there(const struct pieces *pieces, struct error *error)
{
    return error_set(error, EEXIST, "%s: is there already; use it, or move it away", pieces->path);
}

static int open_files(struct pieces *pieces, uint64_t wanted, struct error *error)
{
    int failed;

    if (exists(pieces->path))
        return already_there(pieces, error);
    failed = open_locked(pieces, error);
    if (failed < 0)
        return failed;
    /* Another process may have finished it meanwhile. */
    if (exists(pieces->path))
        return already_there(pieces, error);
    pieces->part_fd = open(pieces->part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (pieces->part_fd < 0 && errno != ENOENT)
        return cannot(pieces->part, "opened", errno, error);
    return read_state(pieces, wanted) < 0 ? error_set(error, ENOMEM, "%s: no memory; free some", pieces->path) : 0;
}

int pieces_open(const struct pieces_options *options, struct pieces **result, struct error *error)
{
    struct pieces *pieces = calloc(1, sizeof *pieces);
    int failed;

    if (!pieces)
        return error_set(error, ENOMEM, "%s: no memory; free some", options->path);
    pieces->part_fd = pieces->state_fd = -1;
    pieces->piece_wanted = options->piece;
    pieces->verified = options->verified;
    digest(options->url, strlen(options->url), pieces->url);
    pieces->path = strdup(options->path);
    if (!pieces->path || asprintf(&pieces->part, "%s.part", options->path) < 0 ||
        asprintf(&pieces->state, "%s.part.state", options->path) < 0)
        failed = error_set(error, ENOMEM, "%s: no memory; free some", options->path);
    else
        failed = open_files(pieces, options->size, error);
    if (failed < 0) {
        pieces_close(pieces);
        return failed;
    }
    *result = pieces;
    return 0;
}

void pieces_close(struct pieces *pieces)
{
    struct stat info;

    if (!pieces)
        return;
    /* Made by this call, which got no answer to keep. */
    if (pieces->locked && !pieces->size && fstat(pieces->state_fd, &info) == 0 && info.st_size == 0)
        unlink(pieces->state);
    if (pieces->part_fd >= 0)
        close(pieces->part_fd);
    if (pieces->state_fd >= 0)
        close(pieces->state_fd);
    free(pieces->filled);
    free(pieces->path);
    free(pieces->part);
    free(pieces->state);
    free(pieces);
}

/* The file. */

int pieces_check_space(const struct pieces *pieces, uint64_t size, struct error *error)
{
    char *copy = strdup(pieces->path);
    uint64_t there, free_bytes;
    struct statvfs system;
    struct stat info;
    int failed = copy ? 0 : -ENOMEM;

    if (failed == 0)
        failed = statvfs(dirname(copy), &system) < 0 ? -errno : 0;
    free(copy);
    if (failed < 0)
        return cannot(pieces->path, "written", -failed, error);
    there = pieces->part_fd >= 0 && fstat(pieces->part_fd, &info) == 0 ? (uint64_t)info.st_blocks * 512 : 0;
    free_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    if (size <= there || size - there <= free_bytes)
        return 0;
    return error_set(error, ENOSPC,
                     "%s: needs %" PRIu64 " MiB more and there are %" PRIu64 "; make room, or name "
                     "another place",
                     pieces->path, (uint64_t)((size - there) / MiB + 1), (uint64_t)(free_bytes / MiB));
}

void pieces_forget(struct pieces *pieces)
{
    pieces->size = pieces->done = 0;
    pieces->uncommitted = 0;
    pieces->version = (struct fetch_version){"", ""};
}

int pieces_begin(struct pieces *pieces, uint64_t size, const struct fetch_version *version, struct error *error)
{
    int failed = pieces_check_space(pieces, size, error);

    if (failed < 0)
        return failed;
    /* The old state must be gone for certain before the bytes that it speaks of go. */
    if (ftruncate(pieces->state_fd, 0) < 0 || fdatasync(pieces->state_fd) < 0)
        return cannot(pieces->state, "written", errno, error);
    if (pieces->part_fd < 0)
        pieces->part_fd = open(pieces->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (pieces->part_fd < 0 || ftruncate(pieces->part_fd, 0) < 0 || ftruncate(pieces->part_fd, (off_t)size) < 0)
        return cannot(pieces->part, "made", errno, error);
    failed = set_size(pieces, size);
    pieces->version = *version;
    if (failed == 0)
        failed = fdatasync(pieces->part_fd) < 0 ? -errno : write_state(pieces);
    /* Both places, so that a disk that is full later has room for what is noted then. */
    if (failed == 0)
        failed = write_state(pieces);
    if (failed == 0)
        failed = file_sync_folder(pieces->path);
    pieces->committed_ns = clock_ns();
    return failed < 0 ? cannot(pieces->state, "written", -failed, error) : 0;
}

int pieces_write(struct pieces *pieces, const void *data, uint64_t length, uint64_t offset)
{
    const uint8_t *from = data;

    while (length) {
        uint64_t index = offset / pieces->piece, inside = offset % pieces->piece, whole = length_of(pieces, index);
        uint64_t now = MIN(length, whole - inside), *filled = &pieces->filled[index];

        if (inside <= *filled && inside + now > *filled) {
            uint64_t known = *filled - inside;
            int failed = file_write_at(pieces->part_fd, from + known, now - known, offset + known);

            if (failed < 0)
                return failed;
            *filled += now - known;
            pieces->done += now - known;
            pieces->uncommitted += *filled == whole;
        }
        from += now;
        offset += now;
        length -= now;
    }
    return 0;
}

int pieces_commit(struct pieces *pieces, bool all, struct error *error)
{
    int failed;

    if (pieces->lost || !pieces->uncommitted ||
        (!all && pieces->uncommitted < COMMIT_PIECES && clock_ns() - pieces->committed_ns < COMMIT_NS))
        return 0;
    failed = fdatasync(pieces->part_fd) < 0 ? -errno : 0;
    pieces->lost = failed < 0;
    if (failed < 0)
        return cannot(pieces->part, "written", -failed, error);
    failed = write_state(pieces);
    if (failed < 0)
        return cannot(pieces->state, "written", -failed, error);
    pieces->uncommitted = 0;
    pieces->committed_ns = clock_ns();
    return 0;
}

int pieces_finish(struct pieces *pieces, struct error *error)
{
    int failed = fsync(pieces->part_fd) < 0 ? -errno : file_name_new(pieces->part, pieces->path);

    if (failed == -EEXIST)
        return already_there(pieces, error);
    if (failed < 0)
        return cannot(pieces->path, "made", -failed, error);
    /* A state that is left over names a file that is not there, and counts as nothing. */
    unlink(pieces->state);
    return 0;
}

int pieces_put_away(struct pieces *pieces, struct error *error)
{
    char *bad = NULL;
    int failed = 0;

    if (asprintf(&bad, "%s.bad", pieces->path) < 0)
        return error_set(error, ENOMEM, "%s: no memory; free some", pieces->path);
    if (rename(pieces->part, bad) < 0)
        failed = cannot(bad, "made", errno, error);
    else
        unlink(pieces->state);
    free(bad);
    return failed;
}
