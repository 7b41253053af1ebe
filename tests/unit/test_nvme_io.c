/* I/O commands of the NVMe controller: data against a model, buffers at every edge, errors of the host. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

#define BLOCKS (HOST_IMAGE / 512)
#define LIST_END 0x1000U

static uint8_t pattern(uint64_t at, unsigned salt)
{
    return (uint8_t)(at * 31 + at / 256 * 7 + salt);
}

/* Where the driver's buffer of a transfer lies: page n of it. Backwards in memory, so that no two pages touch. */
static uint64_t page_at(unsigned n)
{
    return M_DATA + 0x400000U - n * 0x2000U;
}

/*
 * Lays a buffer out that begins at offset in its first page, with the list's first entry at list_at in its page and
 * further pages of the list behind. Fills in prp1 and prp2.
 */
static void lay_out(struct host *host, struct host_command *command, uint64_t length, unsigned offset, unsigned list_at)
{
    uint64_t pages = (offset + length + 4095) / 4096, at = M_LISTS + list_at;

    command->prp1 = page_at(0) + offset;
    command->prp2 = pages == 2 ? page_at(1) : at;
    for (unsigned n = 1; pages > 2 && n < pages; n++) {
        if (at % 4096 == LIST_END - 8 && n + 1 < pages) {
            uint64_t next = at - at % 4096 + 0x3000; /* not the neighbour */

            host_poke(host, at, 8, next);
            at = next;
        }
        host_poke(host, at, 8, page_at(n));
        at += 8;
    }
}

/* Copies between the driver's buffer, which begins at offset in its first page, and data. */
static void copy(struct host *host, unsigned offset, uint8_t *data, uint64_t length, bool to_guest)
{
    for (uint64_t n = 0; n < length;) {
        uint64_t in_page = (offset + n) % 4096, now = MIN(length - n, 4096 - in_page);
        uint8_t *guest = host_memory(host, page_at((unsigned)((offset + n) / 4096)) + in_page, now);

        memcpy(to_guest ? guest : data + n, to_guest ? data + n : guest, now);
        n += now;
    }
}

static void one_transfer(struct host *host, unsigned blocks, unsigned offset, unsigned list_at)
{
    static uint8_t data[1024 * 512 + 4], back[1024 * 512 + 4];
    static unsigned salt;
    uint64_t lba = 16 + salt % 64, length = blocks * 512U;
    struct host_command command = host_transfer(N_WRITE, lba, blocks, 0, 0);

    salt++;
    lay_out(host, &command, length, offset, list_at);
    for (uint64_t n = 0; n < length + 4; n++)
        data[n] = pattern(n, salt);
    copy(host, offset, data, length, true);
    assert_int_equal(host_status(host, 1, &command), 0);
    assert_int_equal(block_pread(host->block, back, length, lba * 512), 0);
    assert_memory_equal(back, data, length);
    /* The bytes behind the buffer are not the disk's. */
    memset(back, 0, length);
    memcpy(back + length, data + length, 4);
    copy(host, offset, back, length + 4, true);
    command.opcode = N_READ;
    assert_int_equal(host_status(host, 1, &command), 0);
    copy(host, offset, back, length + 4, false);
    assert_memory_equal(back, data, length + 4);
}

static void buffers_at_every_edge(void **state)
{
    static const unsigned offsets[] = {0, 4, 512, 2048, 3584, 4092};
    static const unsigned blocks[] = {1, 7, 8, 9, 15, 16, 17, 24, 1016, 1017, 1024};
    static const unsigned lists[] = {0, 8, LIST_END - 24, LIST_END - 16, LIST_END - 8};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    for (unsigned b = 0; b < ARRAY_SIZE(blocks); b++)
        for (unsigned o = 0; o < ARRAY_SIZE(offsets); o++)
            for (unsigned l = 0; l < ARRAY_SIZE(lists); l++)
                if (l == 0 || (offsets[o] + blocks[b] * 512 > 8192 && (blocks[b] < 100 || o % 3 == 0)))
                    one_transfer(host, blocks[b], offsets[o], lists[l]);
    host_destroy(host);
}

/* The last entry of a list's page is data when it is the last of the transfer, and the next page of the list if not. */
static void a_list_ends_with_its_page(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    one_transfer(host, 24, 0, LIST_END - 16); /* two entries, two places */
    one_transfer(host, 32, 0, LIST_END - 16); /* three entries: a place leads on */
    one_transfer(host, 24, 4, LIST_END - 24);
    one_transfer(host, 24, 4, LIST_END - 8); /* the only place leads on */
    host_destroy(host);
}

static void transfers_have_a_largest_size(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command command = host_transfer(N_READ, 0, 1025, 0, 0);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    lay_out(host, &command, 1025 * 512, 0, 0);
    assert_int_equal(host_status(host, 1, &command), E_FIELD);
    command.dw12 = 0xFFFF;
    assert_int_equal(host_status(host, 1, &command), E_FIELD);
    host_destroy(host);
}

static void buffers_that_are_none_are_refused(void **state)
{
    static const uint64_t ram = 64 * MiB;
    const struct {
        uint64_t prp1, prp2;
        unsigned blocks, status;
    } rows[] = {{ram - 512, 0, 1, 0},
                {ram - 256, M_DATA, 1, 0}, /* the rest is in the second page */
                {ram, 0, 1, E_TRANSFER},
                {UINT64_MAX - 3, 0, 1, E_TRANSFER},
                {UINT64_MAX - 511, 0, 8, E_TRANSFER},
                {0xFFFFF000, 0, 8, E_TRANSFER},
                {NVME_BAR, 0, 8, E_TRANSFER},
                {M_DATA + 1, 0, 1, E_PRP_OFFSET},
                {M_DATA + 2, 0, 1, E_PRP_OFFSET},
                {M_DATA, M_DATA + 0x800, 16, E_PRP_OFFSET},
                {M_DATA, ram, 16, E_TRANSFER},
                {M_DATA, UINT64_MAX - 4095, 16, E_TRANSFER},
                {M_DATA, M_LISTS + 4, 24, E_PRP_OFFSET},
                {M_DATA, ram, 24, E_TRANSFER},
                {M_DATA, ram - 8, 24, E_TRANSFER}, /* the list leads on to page 0xEEEE... */
                {M_DATA, UINT64_MAX - 7, 24, E_TRANSFER}};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    host_poke(host, ram - 8, 8, UINT64_C(0xEEEEEEEEEEEEE000));
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++) {
        struct host_command command = host_transfer(N_READ, 0, rows[n].blocks, rows[n].prp1, rows[n].prp2);

        if (host_status(host, 1, &command) != rows[n].status)
            fail_msg("row %u", n);
        host_poke(host, ram - 8, 8, UINT64_C(0xEEEEEEEEEEEEE000));
    }
    /* Entries of a list: crooked, outside, and a list that leads to a crooked page. */
    for (unsigned n = 0; n < 3; n++) {
        static const uint64_t bad[] = {M_DATA + 8, UINT64_C(1) << 60, M_LISTS + 0x1008};
        struct host_command command = host_transfer(N_READ, 0, 24, M_DATA, M_LISTS + (n == 2 ? LIST_END - 8 : 0));

        host_poke(host, M_LISTS, 8, M_DATA + 0x1000);
        host_poke(host, M_LISTS + (n == 2 ? LIST_END - 8 : 8), 8, bad[n]);
        assert_int_equal(host_status(host, 1, &command), n == 1 ? E_TRANSFER : E_PRP_OFFSET);
    }
    assert_int_equal(host_unused_requests(host), 512);
    host_destroy(host);
}

static void ranges_end_with_the_namespace(void **state)
{
    static const struct {
        uint64_t lba;
        unsigned blocks, status;
    } rows[] = {{BLOCKS - 8, 8, 0},
                {BLOCKS - 7, 8, E_RANGE},
                {BLOCKS, 1, E_RANGE},
                {UINT64_MAX, 1, E_RANGE},
                {UINT64_MAX - 6, 8, E_RANGE},
                {UINT64_C(1) << 55, 1, E_RANGE},
                {UINT64_C(1) << 63, 8, E_RANGE}};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++)
        for (unsigned opcode = N_WRITE; opcode <= N_WRITE_ZEROES; opcode += opcode == N_READ ? 6 : 1) {
            struct host_command command = host_transfer(opcode, rows[n].lba, rows[n].blocks, M_DATA, 0);

            assert_int_equal(host_status(host, 1, &command), rows[n].status);
        }
    host_destroy(host);
}

static void fill(struct host *host, uint8_t byte)
{
    struct host_command command = host_transfer(N_WRITE, 0, 1024, 0, 0);

    lay_out(host, &command, 1024 * 512, 0, 0);
    for (unsigned n = 0; n < 128; n++)
        memset(host_memory(host, page_at(n), 4096), byte, 4096);
    assert_int_equal(host_status(host, 1, &command), 0);
}

/* The first byte of a block that is the same all over. */
static uint8_t block_byte(struct host *host, uint64_t lba)
{
    uint8_t data[512];

    assert_int_equal(block_pread(host->block, data, sizeof data, lba * 512), 0);
    for (unsigned n = 1; n < sizeof data; n++)
        assert_int_equal(data[n], data[0]);
    return data[0];
}

static void zeroes_and_deallocation(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command zeroes = host_transfer(N_WRITE_ZEROES, 3, 5, 0, 0);
    struct host_command dataset = {.opcode = N_DATASET, .nsid = 1, .prp1 = M_DATA + 4096 - 32, .prp2 = M_DATA + 0x5000};

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    fill(host, 0x77);
    assert_int_equal(host_status(host, 1, &zeroes), 0);
    zeroes = host_transfer(N_WRITE_ZEROES, 32, 8, 0, 0);
    zeroes.dw12 |= 1U << 25;
    assert_int_equal(host_status(host, 1, &zeroes), 0);
    for (uint64_t lba = 0; lba < 48; lba++)
        assert_int_equal(block_byte(host, lba), (lba >= 3 && lba < 8) || (lba >= 32 && lba < 40) ? 0 : 0x77);
    /* Four ranges, two in each page; one is empty. */
    for (unsigned n = 0; n < 4; n++) {
        uint64_t at = n < 2 ? M_DATA + 4096 - 32 + n * 16 : M_DATA + 0x5000 + (n - 2) * 16;

        host_poke(host, at, 4, 0);
        host_poke(host, at + 4, 4, n == 2 ? 0 : 8);
        host_poke(host, at + 8, 8, 64 + n * 16);
    }
    dataset.dw10 = 3;
    assert_int_equal(host_status(host, 1, &dataset), 0); /* only a hint */
    assert_int_equal(block_byte(host, 64), 0x77);
    dataset.dw11 = 4;
    assert_int_equal(host_status(host, 1, &dataset), 0);
    if (block_can_discard(host->block))
        for (uint64_t lba = 64; lba < 128; lba++)
            assert_int_equal(block_byte(host, lba), lba % 16 < 8 && lba / 16 != 6 ? 0 : 0x77);
    /* One wrong range, and none of them is touched. */
    host_poke(host, M_DATA + 4096 - 32 + 8, 8, 128);
    host_poke(host, M_DATA + 0x5000 + 16 + 8, 8, BLOCKS - 7);
    assert_int_equal(host_status(host, 1, &dataset), E_RANGE);
    assert_int_equal(block_byte(host, 128), 0x77);
    host_poke(host, M_DATA + 0x5000 + 16 + 4, 4, UINT32_MAX);
    host_poke(host, M_DATA + 0x5000 + 16 + 8, 8, UINT64_MAX);
    assert_int_equal(host_status(host, 1, &dataset), E_RANGE);
    dataset.dw10 = 255;
    dataset.prp2 = UINT64_MAX - 4095;
    assert_int_equal(host_status(host, 1, &dataset), E_TRANSFER);
    host_destroy(host);
}

static unsigned flushes(struct host *host)
{
    struct block_totals totals;

    block_totals(host->block, &totals);
    return (unsigned)totals.flushes;
}

static void flush_and_write_through(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command write = host_transfer(N_WRITE, 0, 1, M_DATA, 0), forced = write;
    const struct host_command cache_off = {.opcode = A_SET_FEATURES, .dw10 = 6, .dw11 = 0};

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    assert_int_equal(host_status(host, 1, &write), 0);
    assert_int_equal(flushes(host), 0);
    assert_int_equal(host_status(host, 1, &(struct host_command){.opcode = N_FLUSH, .nsid = 1}), 0);
    assert_int_equal(host_status(host, 1, &(struct host_command){.opcode = N_FLUSH, .nsid = UINT32_MAX}), 0);
    assert_int_equal(flushes(host), 2);
    assert_int_equal(host_status(host, 1, &(struct host_command){.opcode = N_FLUSH, .nsid = 2}), E_NAMESPACE);
    forced.dw12 |= 1U << 30;
    assert_int_equal(host_status(host, 1, &forced), 0);
    assert_int_equal(flushes(host), 3);
    assert_int_equal(host_status(host, 0, &cache_off), 0);
    assert_int_equal(flushes(host), 4); /* what was cached */
    assert_int_equal(host_status(host, 1, &write), 0);
    assert_int_equal(flushes(host), 5);
    host_destroy(host);
}

static void a_read_only_disk_says_so(void **state)
{
    struct host *host = host_create(&(struct host_setup){.read_only = true});
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0), write = read, zeroes = read;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    assert_int_equal(host_identify(host, 0, 1), 0);
    assert_int_equal(host_peek(host, M_DATA + 99, 1), 1);
    assert_int_equal(host_peek(host, M_DATA + 24, 1) & 1, 0);
    write.opcode = N_WRITE;
    zeroes.opcode = N_WRITE_ZEROES;
    assert_int_equal(host_status(host, 1, &read), 0);
    assert_int_equal(host_status(host, 1, &write), E_PROTECTED);
    assert_int_equal(host_status(host, 1, &zeroes), E_PROTECTED);
    assert_int_equal(host_status(host, 1, &(struct host_command){.opcode = N_FLUSH, .nsid = 1}), 0);
    memset(host_memory(host, M_DATA, 16), 0, 16);
    host_poke(host, M_DATA + 4, 4, 8);
    assert_int_equal(
        host_status(host, 1, &(struct host_command){.opcode = N_DATASET, .nsid = 1, .prp1 = M_DATA, .dw11 = 4}),
        E_PROTECTED);
    host_destroy(host);
}

/* A host that refuses to write: the guest hears of it, may try again, and finds it in the log. */
static void an_error_of_the_host_reaches_the_guest(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command write = host_transfer(N_WRITE, BLOCKS - 8, 8, M_DATA, 0);
    struct rlimit old, small = {.rlim_cur = 4096};
    struct host_completion completion;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    completion = host_run(host, 1, &write);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(completion.status, E_WRITE_FAULT);
    assert_true(completion.retry);
    assert_int_equal(host_status(host, 1, &write), 0);
    assert_int_equal(host_log(host, 1, 64, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA + 16, 8), BLOCKS - 8);
    assert_int_equal(host_log(host, 2, 512, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA + 160, 8), 1);
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_at_every_edge),
        cmocka_unit_test(a_list_ends_with_its_page),
        cmocka_unit_test(transfers_have_a_largest_size),
        cmocka_unit_test(buffers_that_are_none_are_refused),
        cmocka_unit_test(ranges_end_with_the_namespace),
        cmocka_unit_test(zeroes_and_deallocation),
        cmocka_unit_test(flush_and_write_through),
        cmocka_unit_test(a_read_only_disk_says_so),
        cmocka_unit_test(an_error_of_the_host_reaches_the_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
