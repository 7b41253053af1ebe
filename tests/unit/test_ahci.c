/* AHCI and ATA disks, as the drivers of firmware, Windows and Linux use them (platform contract 6.2). */
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/identifier.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_ahci.h"

#define DISK_BYTES (8 * MiB)
#define SECTORS (DISK_BYTES / 512)

static struct ahci_driver *start(void)
{
    struct ahci_driver *driver = ahci_driver_create(DISK_BYTES, 1 * MiB);

    ahci_driver_start(driver);
    return driver;
}

static void pci_identity(void **state)
{
    struct ahci_driver *driver = ahci_driver_create(DISK_BYTES, 0);

    (void)state;
    assert_int_equal(fake_config_read(driver->fake, AHCI_DEVFN, 0, 4), 0x29228086);
    assert_int_equal(fake_config_read(driver->fake, AHCI_DEVFN, 8, 4) >> 8, 0x010601);
    assert_int_equal(fake_config_read(driver->fake, AHCI_DEVFN, 0x24, 4), AHCI_BAR);
    /* What Linux looks at on this id: every implemented port is enabled. */
    assert_int_equal(fake_config_read(driver->fake, AHCI_DEVFN, 0x92, 2) & ahci_get(driver, R_PI),
                     ahci_get(driver, R_PI));
    ahci_driver_destroy(driver);
}

/* OVMF: reset, each port in turn; absent ones show it at once; the first FIS is the signature. */
static void firmware_finds_the_drives(void **state)
{
    struct ahci_driver *driver = ahci_driver_create(DISK_BYTES, 1 * MiB);

    (void)state;
    ahci_put(driver, R_GHC, 1);
    assert_int_equal(ahci_get(driver, R_GHC), 0x80000000U); /* nothing was under way */
    assert_int_equal(ahci_get(driver, R_PI), 0x3F);
    assert_int_equal(ahci_get(driver, R_CAP) & 0x1F, 5);
    assert_int_equal(ahci_get(driver, R_CAP) >> 8 & 0x1F, 31);
    assert_int_equal(ahci_get(driver, R_CAP) >> 30, 3); /* 64 bits, native queueing */
    assert_true(ahci_get(driver, R_VS) >= 0x10000);
    for (unsigned port = 2; port < 6; port++) {
        port_put(driver, port, P_CMD, 0x10);
        port_put(driver, port, P_SCTL, 1);
        port_put(driver, port, P_SCTL, 0);
        assert_int_equal(port_get(driver, port, P_SSTS), 0);
        assert_int_equal(port_get(driver, port, P_TFD), 0x7F);
    }
    for (unsigned port = DISK; port <= CDROM; port++) {
        uint32_t signature = port == DISK ? 0x101 : 0xEB140101;

        port_put(driver, port, P_FB, M_FIS(port));
        port_put(driver, port, P_FBU, 0);
        memset(ram(driver, M_FIS(port), 256), 0, 256);
        port_put(driver, port, P_CMD, 0x10);
        port_put(driver, port, P_SCTL, 1);
        assert_int_equal(port_get(driver, port, P_SSTS), 0);
        port_put(driver, port, P_SCTL, 0);
        port_wait(driver, port, P_SSTS, UINT32_MAX, 0x113);
        assert_int_equal(port_get(driver, port, P_TFD) & 0x88, 0);
        assert_int_equal(port_get(driver, port, P_SIG), signature);
        assert_int_equal(port_get(driver, port, P_SERR), 1U << 26);
        assert_int_equal(ram_peek(driver, M_FIS(port) + D2H, 1), 0x34);
        assert_int_equal(ram_peek(driver, M_FIS(port) + D2H + 3, 4), signature >> 8 << 8 | 1);
        assert_int_equal(port_get(driver, port, P_IS) & 0x40, 0x40);
        port_put(driver, port, P_SERR, UINT32_MAX);
        assert_int_equal(port_get(driver, port, P_SERR), 0);
        assert_int_equal(port_get(driver, port, P_IS) & 0x40, 0);
    }
    ahci_driver_destroy(driver);
}

static void identify(struct ahci_driver *driver)
{
    memset(ram(driver, M_DATA, 512), 0xEE, 512);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xEC}, 512), 0x50);
    assert_int_equal(slot_moved(driver, DISK, 0), 512);
}

static uint16_t word(struct ahci_driver *driver, unsigned number)
{
    return (uint16_t)ram_peek(driver, M_DATA + 2 * number, 2);
}

static void identify_says_what_is_there(void **state)
{
    struct ahci_driver *driver = start();
    uint8_t sum = 0;

    (void)state;
    memset(ram(driver, M_FIS(0), 256), 0, 256);
    identify(driver);
    /* PIO: the setup FIS carries the end, and no register FIS follows. */
    assert_int_equal(ram_peek(driver, M_FIS(0) + PIO_SETUP, 1), 0x5F);
    assert_int_equal(ram_peek(driver, M_FIS(0) + PIO_SETUP + 15, 1), 0x50);
    assert_int_equal(ram_peek(driver, M_FIS(0) + PIO_SETUP + 16, 2), 512);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H, 1), 0);
    assert_int_equal(port_get(driver, DISK, P_IS), 2);
    assert_int_equal(word(driver, 0) & 0x8000, 0);
    assert_memory_equal(ram(driver, M_DATA + 20, 20), "ESIRLA1-32 4         ", 20);
    assert_int_equal(ram_peek(driver, M_DATA + 120, 4), SECTORS);
    assert_int_equal(ram_peek(driver, M_DATA + 200, 8), SECTORS);
    assert_int_equal(word(driver, 75), 31);
    assert_int_equal(word(driver, 76) & 0x100, 0x100);
    assert_int_equal(word(driver, 83) & 0xF400, 0x7400);
    assert_int_equal(word(driver, 106), 0x6003);
    assert_int_equal(word(driver, 84) & 0xC100, 0x4100); /* a world wide name, IEEE registered */
    assert_int_equal(word(driver, 87) & 0xC100, 0x4100);
    assert_int_equal(word(driver, 108), 0x5525);
    assert_int_equal((uint64_t)word(driver, 108) << 48 | (uint64_t)word(driver, 109) << 32 |
                         (uint64_t)word(driver, 110) << 16 | word(driver, 111),
                     identifier_wwn("SERIAL-1234"));
    assert_int_equal(word(driver, 169), block_can_discard(driver->disk));
    for (unsigned n = 0; n < 512; n++)
        sum = (uint8_t)(sum + *ram(driver, M_DATA + n, 1));
    assert_int_equal(sum, 0);
    ahci_driver_destroy(driver);
}

/* ATA has no way to tell a host that a disk has grown: it is so from the next command on, for who asks. */
static void a_larger_disk_says_so_when_asked(void **state)
{
    struct ahci_driver *driver = start();
    const struct ata read = {.command = 0x25, .lba = SECTORS, .count = 1, .device = 0x40};

    (void)state;
    assert_int_equal(ata_run(driver, DISK, &read, 512) & 1, 1);
    port_put(driver, DISK, P_IS, ~0U);
    assert_int_equal(block_grow(driver->disk, (SECTORS + 8) * UINT64_C(512), NULL), 0);
    assert_int_equal(port_get(driver, DISK, P_IS), 0);
    identify(driver);
    assert_int_equal(ram_peek(driver, M_DATA + 120, 4), SECTORS + 8);
    assert_int_equal(ram_peek(driver, M_DATA + 200, 8), SECTORS + 8);
    assert_int_equal(ata_run(driver, DISK, &read, 512), 0x50);
    ahci_driver_destroy(driver);
}

static void fill(struct ahci_driver *driver, uint64_t at, uint32_t bytes, unsigned seed)
{
    uint8_t *host = ram(driver, at, bytes);

    for (uint32_t n = 0; n < bytes; n++)
        host[n] = (uint8_t)(n * 7 + n / 512 + seed);
}

/* Every command that moves sectors, there and back; the registers say so each time. */
static void every_way_to_read_and_write(void **state)
{
    static const uint8_t reads[] = {0x20, 0x24, 0x25, 0x29, 0xC4, 0xC8};
    static const uint8_t writes[] = {0x30, 0x34, 0x35, 0x39, 0x3D, 0xC5, 0xCA, 0xCE};
    struct ahci_driver *driver = start();
    uint8_t *data = ram(driver, M_DATA, 16 * KiB), *more = ram(driver, M_MORE, 16 * KiB);

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(writes); n++) {
        struct ata ata = {.command = writes[n], .lba = 1000 + 100 * n, .count = 32, .write = true};

        fill(driver, M_DATA, 16 * KiB, n);
        assert_int_equal(ata_run(driver, DISK, &ata, 16 * KiB), 0x50);
        assert_int_equal(port_get(driver, DISK, P_IS) & 1, 1);
        assert_int_equal(slot_moved(driver, DISK, 0), 16 * KiB);
        for (unsigned m = 0; m < ARRAY_SIZE(reads); m++) {
            memcpy(more, data, 16 * KiB);
            memset(data, 0xEE, 16 * KiB);
            ata.command = reads[m];
            ata.write = false;
            assert_int_equal(ata_run(driver, DISK, &ata, 16 * KiB), 0x50);
            assert_memory_equal(data, more, 16 * KiB);
        }
        assert_int_equal(block_pread(driver->disk, more, 16 * KiB, ata.lba * 512), 0);
        assert_memory_equal(data, more, 16 * KiB);
    }
    ahci_driver_destroy(driver);
}

/* A count of 0 is 256 or 65,536 sectors; nothing reaches behind the end (lessons 4.5, rows 13 and 14). */
static void ranges(void **state)
{
    struct ahci_driver *driver = start();
    static const uint8_t commands[] = {0x25, 0x35, 0x60, 0x61, 0x42};

    (void)state;
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xC8}, 128 * KiB), 0x50);
    assert_int_equal(slot_moved(driver, DISK, 0), 128 * KiB);
    for (unsigned n = 0; n < ARRAY_SIZE(commands); n++) {
        static const struct {
            uint64_t lba;
            uint16_t count;
        } bad[] = {{0, 0}, {SECTORS, 1}, {SECTORS - 1, 2}, {0xFFFFFFFFFFFF, 1}, {0xFFFFFFFFFFFF, 0}};

        for (unsigned m = 0; m < ARRAY_SIZE(bad); m++) {
            struct ata ata = {.command = commands[n], .lba = bad[m].lba, .count = bad[m].count, .device = 0x40};

            port_put(driver, DISK, P_SACT, 1);
            assert_int_equal(ata_run(driver, DISK, &ata, 64 * KiB), 0x1051);
        }
    }
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .lba = SECTORS - 1, .count = 1}, 512), 0x50);
    ahci_driver_destroy(driver);
}

#define PIECES 939U

/* The first 512 end within a sector and within a piece, the next where a sector ends. */
static unsigned piece(unsigned number)
{
    return number == 0 ? 2 : number < 937 ? 6 : number == 937 ? 14 : 512;
}

/* Buffers in any number of pieces, at even addresses, of even lengths. */
static void regions_of_every_size(void **state)
{
    struct ahci_driver *driver = start();
    const struct ata read = {.command = 0x25, .lba = 7, .count = 8};
    const struct ata write = {.command = 0x35, .lba = 5000, .count = 8, .write = true};

    (void)state;
    slot_fill(driver, DISK, 1, &read, M_MORE, 4096);
    assert_int_equal(slot_run(driver, DISK, 1), 0x50);
    /* Gathered from many pieces, the disk holds what they hold in their order. */
    slot_fill(driver, DISK, 0, &write, M_DATA, 0);
    slot_region(driver, DISK, 0, 0, M_MORE, 2);
    for (unsigned n = 1; n < 248; n++)
        slot_region(driver, DISK, 0, n, M_MORE + 2 + (n - 1) * 14ULL, 14);
    slot_region(driver, DISK, 0, 247, M_MORE + 2 + 246 * 14ULL, 4096 - 2 - 246 * 14);
    slot_regions(driver, DISK, 0, 248);
    assert_int_equal(slot_run(driver, DISK, 0), 0x50);
    assert_int_equal(slot_moved(driver, DISK, 0), 4096);
    assert_int_equal(block_pread(driver->disk, ram(driver, M_DATA, 4096), 4096, 5000 * 512), 0);
    assert_memory_equal(ram(driver, M_DATA, 4096), ram(driver, M_MORE, 4096), 4096);
    /* The other way, backwards in memory, more pieces than a request of the image takes at a time. */
    assert_int_equal(block_pread(driver->disk, ram(driver, M_MORE, 6144), 6144, 5000 * 512), 0);
    memset(ram(driver, M_DATA, 6144), 0, 6144);
    slot_fill(driver, DISK, 0, &(struct ata){.command = 0x25, .lba = 5000, .count = 12}, M_DATA, 0);
    ram_poke(driver, M_LIST(0) + 8, 8, M_MORE + 0x10000);
    memcpy(ram(driver, M_MORE + 0x10000, 64), ram(driver, M_TABLE(0, 0), 64), 64);
    for (unsigned n = 0, done = 0; n < PIECES; n++) {
        uint64_t entry = M_MORE + 0x10080 + 16ULL * n;

        done += piece(n);
        ram_poke(driver, entry, 8, M_DATA + 6144 - done);
        ram_poke(driver, entry + 8, 8, (uint64_t)(piece(n) - 1) << 32);
    }
    slot_regions(driver, DISK, 0, PIECES);
    assert_int_equal(slot_run(driver, DISK, 0), 0x50);
    for (unsigned n = 0, done = 0; n < PIECES; done += piece(n++))
        assert_memory_equal(ram(driver, M_DATA + 6144 - done - piece(n), piece(n)),
                            ram(driver, M_MORE + done, piece(n)), piece(n));
    ahci_driver_destroy(driver);
}

/* 4 MiB, the most that one descriptor describes. */
static void the_largest_region(void **state)
{
    struct ahci_driver *driver = start();
    struct ata ata = {.command = 0x35, .lba = SECTORS - 8192, .count = 8192, .write = true};
    uint8_t end[512];

    (void)state;
    fill(driver, M_DATA, 4 * MiB, 5);
    slot_fill(driver, DISK, 0, &ata, M_DATA, 4 * MiB);
    assert_int_equal(ram_peek(driver, M_TABLE(DISK, 0) + 0x80 + 12, 4), 0x3FFFFF);
    assert_int_equal(slot_run(driver, DISK, 0), 0x50);
    assert_int_equal(slot_moved(driver, DISK, 0), 4 * MiB);
    assert_int_equal(block_pread(driver->disk, end, sizeof end, DISK_BYTES - sizeof end), 0);
    assert_memory_equal(end, ram(driver, M_DATA + 4 * MiB - sizeof end, sizeof end), sizeof end);
    ata.command = 0x25;
    ata.write = false;
    slot_fill(driver, DISK, 0, &ata, M_MORE, 4 * MiB);
    memset(ram(driver, M_MORE, 4 * MiB + 8), 0xEE, 4 * MiB + 8);
    assert_int_equal(slot_run(driver, DISK, 0), 0x50);
    assert_int_equal(slot_moved(driver, DISK, 0), 4 * MiB);
    assert_memory_equal(ram(driver, M_MORE, 4 * MiB), ram(driver, M_DATA, 4 * MiB), 4 * MiB);
    assert_int_equal(ram_peek(driver, M_MORE + 4 * MiB, 8), 0xEEEEEEEEEEEEEEEE);
    ahci_driver_destroy(driver);
}

/* Buffers that are too short: the adapter says so and stops; the guest's start makes it go on. */
static void short_buffers_overflow(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    slot_fill(driver, DISK, 0, &(struct ata){.command = 0x25, .count = 8}, M_DATA, 2048 + 2);
    memset(ram(driver, M_DATA, 4096), 0xEE, 4096);
    port_put(driver, DISK, P_CI, 1);
    port_wait(driver, DISK, P_IS, 1U << 24, 1U << 24);
    assert_int_equal(port_get(driver, DISK, P_CI), 1);
    assert_int_equal(ram_peek(driver, M_DATA + 2048, 8), 0xEEEEEEEEEEEEEEEE);
    port_driver_stop(driver, DISK);
    port_driver_start(driver, DISK);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .count = 8}, 4096), 0x50);
    ahci_driver_destroy(driver);
}

static void queue_fill(struct ahci_driver *driver, unsigned slot, bool write, uint64_t lba)
{
    const struct ata ata = {.command = write ? 0x61 : 0x60, .lba = lba, .count = 8, .device = 0x40, .write = write};

    slot_fill(driver, DISK, slot, &ata, M_DATA + 0x1000U * slot, 4096);
}

/* All 32 slots at once; each is told as done by a bit of one FIS or another. */
static void queued_commands(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    identify(driver);
    fill(driver, M_DATA, 32 * 4096, 3);
    memcpy(ram(driver, M_MORE, 32 * 4096), ram(driver, M_DATA, 32 * 4096), 32 * 4096);
    for (unsigned write = 2; write-- > 0;) {
        for (unsigned slot = 0; slot < 32; slot++)
            queue_fill(driver, slot, write, 2000 + 8 * (31 - slot));
        port_put(driver, DISK, P_SACT, UINT32_MAX);
        ahci_hold(driver, DISK, UINT32_MAX);
        /* Accepted, all of them, and none is done. */
        assert_int_equal(port_get(driver, DISK, P_CI), 0);
        assert_int_equal(port_get(driver, DISK, P_SACT), UINT32_MAX);
        assert_int_equal(port_get(driver, DISK, P_TFD), 0x50);
        port_put(driver, DISK, P_IS, UINT32_MAX);
        ahci_release(driver);
        port_wait(driver, DISK, P_SACT, UINT32_MAX, 0);
        assert_int_equal(port_get(driver, DISK, P_IS), 8);
        assert_int_equal(ram_peek(driver, M_FIS(0) + SET_BITS, 1), 0xA1);
        assert_memory_equal(ram(driver, M_DATA, 32 * 4096), ram(driver, M_MORE, 32 * 4096), 32 * 4096);
        memset(ram(driver, M_DATA, 32 * 4096), write ? 0 : 1, 32 * 4096);
    }
    ahci_driver_destroy(driver);
}

static void read_error_log(struct ahci_driver *driver)
{
    const struct ata ata = {.command = 0x2F, .lba = 0x10, .count = 1};

    assert_int_equal(ata_run(driver, DISK, &ata, 512), 0x50);
}

/* What storahci and libata do: stop, start, read log page 10h, and go on. */
static void queued_error_and_its_log(void **state)
{
    struct ahci_driver *driver = start();
    uint8_t sum = 0;

    (void)state;
    queue_fill(driver, 3, false, 0);
    queue_fill(driver, 9, false, SECTORS + 0x123400000000);
    queue_fill(driver, 12, false, 8);
    port_put(driver, DISK, P_SACT, 1U << 3 | 1U << 9 | 1U << 12);
    port_put(driver, DISK, P_CI, 1U << 9);
    port_wait(driver, DISK, P_IS, 1U << 30, 1U << 30);
    assert_int_equal(port_get(driver, DISK, P_IS) & 8, 8);
    assert_int_equal(port_get(driver, DISK, P_TFD), 0x1051);
    assert_int_equal(port_get(driver, DISK, P_SACT) >> 9 & 1, 1);
    /* Nothing more is carried out before the port is started again. */
    port_put(driver, DISK, P_CI, 1U << 12);
    assert_int_equal(port_get(driver, DISK, P_CI) >> 12 & 1, 1);
    port_driver_stop(driver, DISK);
    assert_int_equal(port_get(driver, DISK, P_SACT) | port_get(driver, DISK, P_CI), 0);
    port_driver_start(driver, DISK);
    read_error_log(driver);
    assert_int_equal(ram_peek(driver, M_DATA, 1), 9);
    assert_int_equal(ram_peek(driver, M_DATA + 2, 2), 0x1051);
    assert_int_equal(ram_peek(driver, M_DATA + 4, 3), SECTORS & 0xFFFFFF);
    assert_int_equal(ram_peek(driver, M_DATA + 8, 3), 0x123400000000 >> 24);
    for (unsigned n = 0; n < 512; n++)
        sum = (uint8_t)(sum + *ram(driver, M_DATA + n, 1));
    assert_int_equal(sum, 0);
    /* A tag that is not the slot's, and one that was not announced. */
    queue_fill(driver, 4, false, 0);
    ram_poke(driver, M_TABLE(0, 4) + 12, 1, 5 << 3);
    port_put(driver, DISK, P_SACT, 1U << 4);
    assert_int_equal(slot_run(driver, DISK, 4) & 0xFF01, 0x0401);
    read_error_log(driver);
    assert_int_equal(ram_peek(driver, M_DATA, 1), 4);
    ahci_driver_destroy(driver);
}

/* A command that is not queued ends the queued ones with an error (SATA 13.6.4). */
static void queued_and_other_commands_do_not_mix(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    queue_fill(driver, 0, false, 0);
    slot_fill(driver, DISK, 1, &(struct ata){.command = 0xE7}, 0, 0);
    port_put(driver, DISK, P_SACT, 1);
    ahci_hold(driver, DISK, 3);
    assert_int_equal(port_get(driver, DISK, P_TFD), 0x451);
    assert_int_equal(port_get(driver, DISK, P_IS) >> 30, 1);
    assert_int_equal(port_get(driver, DISK, P_SACT), 1);
    ahci_release(driver);
    port_driver_stop(driver, DISK);
    port_driver_start(driver, DISK);
    read_error_log(driver);
    assert_int_equal(ram_peek(driver, M_DATA, 1), 0x80);
    ahci_driver_destroy(driver);
}

static uint64_t flushes(const struct ahci_driver *driver)
{
    struct block_totals totals;

    block_totals(driver->disk, &totals);
    return totals.flushes;
}

static void writes_reach_the_disk_when_asked(void **state)
{
    struct ahci_driver *driver = start();
    uint64_t before = flushes(driver);

    (void)state;
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x35, .count = 1}, 512), 0x50);
    assert_int_equal(flushes(driver), before);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xE7}, 0), 0x50);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xEA}, 0), 0x50);
    assert_int_equal(flushes(driver), before + 2);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x3D, .count = 1}, 512), 0x50);
    assert_int_equal(flushes(driver), before + 3);
    port_put(driver, DISK, P_SACT, 1);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x61, .count = 1, .device = 0xC0}, 512), 0x50);
    port_wait(driver, DISK, P_SACT, 1, 0);
    assert_int_equal(flushes(driver), before + 4);
    /* Without a cache every write is written; IDENTIFY says so. */
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xEF, .feature = 0x82}, 0), 0x50);
    identify(driver);
    assert_int_equal(word(driver, 85) & 0x20, 0);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x35, .count = 1}, 512), 0x50);
    assert_int_equal(flushes(driver), before + 5);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xEF, .feature = 0x02}, 0), 0x50);
    identify(driver);
    assert_int_equal(word(driver, 85) & 0x20, 0x20);
    ahci_driver_destroy(driver);
}

/* Windows: the freeze must succeed, and an error must not be seen behind a success. */
static void what_windows_insists_on(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xF5}, 0), 0x50);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x5A}, 0), 0x451);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .count = 1}, 512), 0x50);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H + 2, 2), 0x0050);
    /* Power: asleep until the medium is used. */
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xE5}, 0), 0x50);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H + 12, 1), 0xFF);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xE0}, 0), 0x50);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xE5}, 0), 0x50);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H + 12, 1), 0x00);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .count = 1}, 512), 0x50);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xE5}, 0), 0x50);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H + 12, 1), 0xFF);
    for (unsigned command = 0xE1; command <= 0xE3; command++)
        assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = (uint8_t)command}, 0), 0x50);
    /* SMART, which wants its key, and can be turned off. */
    for (unsigned feature = 0xD0; feature <= 0xD1; feature++) {
        uint8_t sum = 0;
        const struct ata ata = {.command = 0xB0, .feature = (uint8_t)feature, .lba = 0xC24F00, .count = 1};

        assert_int_equal(ata_run(driver, DISK, &ata, 512), 0x50);
        for (unsigned n = 0; n < 512; n++)
            sum = (uint8_t)(sum + *ram(driver, M_DATA + n, 1));
        assert_int_equal(sum, 0);
    }
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xB0, .feature = 0xDA, .lba = 0xC24F00}, 0), 0x50);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H + 4, 3), 0xC24F00);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xB0, .feature = 0xDA}, 0), 0x451);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xB0, .feature = 0xD9, .lba = 0xC24F00}, 0), 0x50);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xB0, .feature = 0xDA, .lba = 0xC24F00}, 0), 0x451);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xB0, .feature = 0xD8, .lba = 0xC24F00}, 0), 0x50);
    ahci_driver_destroy(driver);
}

/* Every transfer mode is as good as the next; what is no feature is refused. */
static void features(void **state)
{
    static const uint8_t modes[] = {0x00, 0x0C, 0x22, 0x45}, unknown[] = {0x00, 0x01, 0x05, 0x10, 0x99, 0xFF};
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(modes); n++) {
        const struct ata ata = {.command = 0xEF, .feature = 0x03, .count = modes[n]};

        assert_int_equal(ata_run(driver, DISK, &ata, 0), 0x50);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(unknown); n++) {
        const struct ata ata = {.command = 0xEF, .feature = unknown[n]};

        ram_poke(driver, M_FIS(DISK) + D2H, 4, 0);
        assert_int_equal(ata_run(driver, DISK, &ata, 0), 0x0451);
        assert_int_equal(ram_peek(driver, M_FIS(DISK) + D2H, 4), 0x04514034);
    }
    ahci_driver_destroy(driver);
}

static void trim(void **state)
{
    struct ahci_driver *driver = start();
    const struct ata ata = {.command = 0x06, .feature = 1, .count = 1, .write = true};
    uint8_t data[1024];

    (void)state;
    memset(ram(driver, M_DATA, 512), 0, 512);
    ram_poke(driver, M_DATA, 8, 64 | 8ULL << 48);
    ram_poke(driver, M_DATA + 16, 8, 128 | 16ULL << 48); /* one without sectors is before it */
    if (!block_can_discard(driver->disk)) {
        assert_int_equal(ata_run(driver, DISK, &ata, 512), 0x451);
        ahci_driver_destroy(driver);
        return;
    }
    assert_int_equal(ata_run(driver, DISK, &ata, 512), 0x50);
    for (unsigned n = 0; n < 3; n++) {
        static const uint64_t freed[] = {64, 71, 143}, kept[] = {63, 72, 144};

        assert_int_equal(block_pread(driver->disk, data, 8, freed[n] * 512), 0);
        assert_int_equal(get_le64(data), 0);
        assert_int_equal(block_pread(driver->disk, data, 8, kept[n] * 512), 0);
        assert_int_equal(get_le64(data), kept[n]);
    }
    /* A range behind the end: none of them is carried out. */
    ram_poke(driver, M_DATA, 8, 200 | 8ULL << 48);
    ram_poke(driver, M_DATA + 8, 8, (SECTORS - 1) | 2ULL << 48);
    assert_int_equal(ata_run(driver, DISK, &ata, 512), 0x1051);
    assert_int_equal(block_pread(driver->disk, data, 8, 200 * 512), 0);
    assert_int_equal(get_le64(data), 200);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x06, .feature = 1, .count = 9}, 9 * 512), 0x451);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x06, .count = 1}, 512), 0x451);
    ahci_driver_destroy(driver);
}

/* More than one command that is not queued: one after the other. */
static void several_commands_at_once(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned slot = 0; slot < 32; slot++)
        slot_fill(driver, DISK, slot, &(struct ata){.command = 0x25, .lba = slot, .count = 1},
                  M_DATA + 0x1000ULL * slot, 512);
    port_put(driver, DISK, P_CI, UINT32_MAX);
    port_wait(driver, DISK, P_CI, UINT32_MAX, 0);
    for (unsigned slot = 0; slot < 32; slot++)
        assert_int_equal(ram_peek(driver, M_DATA + 0x1000ULL * slot, 8), slot);
    ahci_driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pci_identity),
        cmocka_unit_test(firmware_finds_the_drives),
        cmocka_unit_test(identify_says_what_is_there),
        cmocka_unit_test(a_larger_disk_says_so_when_asked),
        cmocka_unit_test(every_way_to_read_and_write),
        cmocka_unit_test(ranges),
        cmocka_unit_test(regions_of_every_size),
        cmocka_unit_test(the_largest_region),
        cmocka_unit_test(short_buffers_overflow),
        cmocka_unit_test(queued_commands),
        cmocka_unit_test(queued_error_and_its_log),
        cmocka_unit_test(queued_and_other_commands_do_not_mix),
        cmocka_unit_test(writes_reach_the_disk_when_asked),
        cmocka_unit_test(what_windows_insists_on),
        cmocka_unit_test(features),
        cmocka_unit_test(trim),
        cmocka_unit_test(several_commands_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
