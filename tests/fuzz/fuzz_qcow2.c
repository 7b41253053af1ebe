/*
 * Damaged and hostile qcow2 images: a good one, in which the input changes a few words, is opened, used, checked and
 * repaired. Nothing may be touched outside of it, and a repaired image must be without errors.
 *
 * The input is a list of records of 12 bytes: what to change or do, where, and a 64-bit word.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "../unit/fake_block.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "casement/log.h"

#define DISK (8 * MiB)
#define RECORD 12U
#define RECORDS 40U
#define BASES 3U

struct base {
    uint8_t *bytes;
    size_t length;
    unsigned cluster_bits;
};

static struct base bases[BASES];
static char path[64];

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_qcow2: %s: %s\n", what, strerror(errno));
        abort();
    }
}

static int run(struct block_queue *queue, enum block_op op, uint64_t offset, uint64_t length)
{
    static uint8_t data[MiB];
    int result = fake_block_run(queue, op, offset, length, &(struct iovec){data, length}, 1);

    must(result <= 0, "a request without an end");
    return result;
}

struct use {
    struct block *block;
    struct loop *loop;
    struct block_queue *queue;
};

static bool use_open(struct use *use)
{
    const struct block_options options = {.path = path,
                                          .format = BLOCK_FORMAT_QCOW2,
                                          .engine = BLOCK_ENGINE_THREADS,
                                          .cache = BLOCK_CACHE_HOST,
                                          .metadata_cache = 1};
    struct error error = {""};

    if (block_open(&options, &use->block, &error) < 0) {
        must(error.text[0] != 0, "refused without a word");
        return false;
    }
    use->loop = loop_create("fuzz");
    use->queue = block_queue_create(use->block, use->loop, 8, NULL);
    must(use->loop && use->queue, "queue");
    return true;
}

static void use_close(struct use *use)
{
    block_queue_destroy(use->queue);
    block_close(use->block);
    loop_destroy(use->loop);
}

/* A cluster of the disk that is compressed, behind the end of the file. */
static void add_compressed(unsigned bits)
{
    uint8_t plain[4096] = {1, 2, 3}, packed[8192], word[8];
    int fd = open(path, O_RDWR);
    struct stat info;
    uint64_t l1, l2, at;
    z_stream stream = {.next_in = plain, .avail_in = 4096, .next_out = packed, .avail_out = sizeof packed};

    must(fd >= 0 && fstat(fd, &info) == 0, path);
    must(deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) == Z_OK, "deflate");
    must(deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate");
    at = align_up((uint64_t)info.st_size, 1ULL << bits);
    must(pwrite(fd, packed, 512, (off_t)at) == 512 && ftruncate(fd, (off_t)(at + (1U << bits))) == 0, path);
    must(pread(fd, word, 8, 40) == 8, path);
    l1 = get_be64(word);
    must(pread(fd, word, 8, (off_t)l1) == 8, path);
    l2 = get_be64(word) & 0x00FFFFFFFFFFFE00ULL;
    put_be64(word, 1ULL << 62 | at);
    must(pwrite(fd, word, 8, (off_t)(l2 + 3 * 8)) == 8, path);
    deflateEnd(&stream);
    close(fd);
}

static void make_base(struct base *base, unsigned bits, unsigned refcount_bits, bool lazy)
{
    const struct image_options options = {.path = path,
                                          .format = BLOCK_FORMAT_QCOW2,
                                          .size = DISK,
                                          .cluster_bits = bits,
                                          .refcount_bits = refcount_bits,
                                          .lazy_refcounts = lazy};
    struct image_findings findings;
    struct use use;
    struct stat info;
    int fd;

    unlink(path);
    must(image_create(&options, NULL) == 0 && use_open(&use), "base");
    for (unsigned n = 0; n < 12; n++)
        must(run(use.queue, BLOCK_WRITE, n * 640 * KiB, 8192) == 0, "base");
    must(run(use.queue, BLOCK_WRITE_ZEROES, 2 * MiB, MiB) == 0, "base");
    use_close(&use);
    if (bits == 12)
        add_compressed(bits);
    must(image_check(path, true, &findings, NULL) == 0, "base");
    must(image_check(path, false, &findings, NULL) == 0 && !findings.errors && !findings.leaks, "base");
    fd = open(path, O_RDONLY);
    must(fd >= 0 && fstat(fd, &info) == 0, path);
    *base = (struct base){malloc((size_t)info.st_size), (size_t)info.st_size, bits};
    must(base->bytes && read(fd, base->bytes, base->length) == info.st_size, path);
    close(fd);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_set_level((enum log_level) - 1);
    snprintf(path, sizeof path, "/dev/shm/fuzz-qcow2-%d", (int)getpid());
    make_base(&bases[0], 12, 16, false);
    make_base(&bases[1], 12, 1, true);
    make_base(&bases[2], 16, 64, false);
    return 0;
}

/* A table entry that is likely to matter: the word as it is, or an offset in or near the file with some flags. */
static uint64_t likely(uint64_t word, size_t length)
{
    uint64_t offset = (word >> 8) % (length + 65536) & ~(word & 0x80 ? 511ULL : 4095ULL);

    return word & 1 ? word : offset | (word & 2 ? 1ULL << 63 : 0) | (word & 4 ? 1ULL << 62 : 0) | (word & 8 ? 1 : 0);
}

static void damage(uint8_t *bytes, size_t length, unsigned kind, unsigned where, uint64_t word)
{
    uint64_t table, place;

    switch (kind) {
    case 0: /* a byte of the header */
        bytes[where % 120] = (uint8_t)word;
        return;
    case 1: /* L1 */
        place = get_be64(bytes + 40) + where % 8 * 8;
        break;
    case 2: /* L2 */
        table = get_be64(bytes + 40) + (where >> 12) % 4 * 8;
        place = table <= length - 8 ? (get_be64(bytes + table) & 0x00FFFFFFFFFFFE00ULL) + where % 512 * 8 : 0;
        break;
    case 3: /* refcount table */
        place = get_be64(bytes + 48) + where % 4 * 8;
        break;
    case 4: /* refcounts */
        table = get_be64(bytes + 48);
        place = table <= length - 8 ? get_be64(bytes + table) + where % 64 * 2 : 0;
        break;
    default: /* anywhere */
        place = ((uint64_t)where << 4) % length;
    }
    if (place <= length - 8)
        put_be64(bytes + place, likely(word, length));
}

static void operate(struct use *use, unsigned what, unsigned where, uint64_t word)
{
    static const enum block_op ops[] = {BLOCK_READ,  BLOCK_WRITE,        BLOCK_WRITE,
                                        BLOCK_FLUSH, BLOCK_WRITE_ZEROES, BLOCK_DISCARD};
    uint64_t size = block_size(use->block);
    uint64_t offset = (uint64_t)where * 512 % size & ~511ULL, length = (1 + word % 256) * 512;

    if (ops[what % 6] == BLOCK_FLUSH)
        offset = length = 0;
    run(use->queue, ops[what % 6], offset, MIN(length, size - offset));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct base *base = &bases[size ? data[0] % BASES : 0];
    size_t records = MIN(size / RECORD, (size_t)RECORDS), length = base->length;
    uint8_t *bytes = malloc(length);
    struct image_findings findings;
    struct use use;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    must(bytes && fd >= 0, path);
    memcpy(bytes, base->bytes, length);
    for (size_t n = 0; n < records; n++) {
        const uint8_t *record = data + n * RECORD;

        if (record[1] < 0x80)
            damage(bytes, length, record[1] % 6, get_le16(record + 2), get_le64(record + 4));
        else if (record[1] == 0x80)
            length = MAX(get_le64(record + 4) % length, (size_t)512);
    }
    must(write(fd, bytes, length) == (ssize_t)length, path);
    close(fd);
    free(bytes);
    if (use_open(&use)) {
        for (unsigned n = 0; n < 4; n++)
            run(use.queue, BLOCK_READ, MIN(n * 2 * MiB, block_size(use.block) - 512), 512);
        for (size_t n = 0; n < records; n++)
            if (data[n * RECORD + 1] > 0x80)
                operate(&use, data[n * RECORD + 1], get_le16(data + n * RECORD + 2), get_le64(data + n * RECORD + 4));
        use_close(&use);
    }
    if (image_check(path, true, &findings, NULL) == 0) {
        must(image_check(path, false, &findings, NULL) == 0, "repaired and then refused");
        if (findings.errors || findings.leaks)
            fprintf(stderr, "fuzz_qcow2: after repair: %s\n", findings.first);
        must(!findings.errors && !findings.leaks, "repaired and not without errors");
    }
    return 0;
}
