/* The AHCI driver of unit tests (see fake_ahci.h). */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../devices/ahci/ahci_private.h"
#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_ahci.h"

#define WAIT_NS INT64_C(100000000000)
#define FILLED (4 * MiB)

struct block *ahci_image(char path[64], uint64_t size, bool read_only)
{
    struct block_options options = {.path = path, .read_only = read_only, .engine = BLOCK_ENGINE_THREADS};
    struct error error = {""};
    struct block *block = NULL;
    uint8_t sector[512] = {0};
    int fd;

    snprintf(path, 64, "build/ahci-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    for (uint64_t at = 0; at < MIN(size, FILLED); at += sizeof sector) {
        put_le64(sector, at / sizeof sector);
        assert_int_equal(pwrite(fd, sector, sizeof sector, (off_t)at), sizeof sector);
    }
    close(fd);
    if (block_open(&options, &block, &error) < 0)
        fail_msg("%s", error.text);
    return block;
}

struct ahci_driver *ahci_driver_create(uint64_t disk, uint64_t medium)
{
    struct ahci_driver *driver = calloc(1, sizeof *driver);
    struct error error = {""};

    assert_non_null(driver);
    driver->fake = fake_create(AHCI_RAM);
    assert_int_equal(pci_bus_create(&driver->fake->board, &driver->fake->board.pci), 0);
    assert_int_equal(ahci_create(&driver->fake->board, AHCI_SLOT, &driver->ahci, &error), 0);
    driver->disk = ahci_image(driver->disk_path, disk, false);
    if (medium)
        driver->medium = ahci_image(driver->medium_path, medium, true);
    assert_int_equal(ahci_add_disk(driver->ahci, driver->disk, "SERIAL-1234", &error), 0);
    assert_int_equal(ahci_add_cdrom(driver->ahci, driver->medium, &error), 0);
    fake_config_write(driver->fake, AHCI_DEVFN, 0x24, 4, AHCI_BAR);
    fake_config_write(driver->fake, AHCI_DEVFN, 0x04, 2, 6);
    sem_init(&driver->held, 0, 0);
    sem_init(&driver->release, 0, 0);
    return driver;
}

void ahci_driver_destroy(struct ahci_driver *driver)
{
    fake_destroy(driver->fake);
    block_close(driver->disk);
    block_close(driver->medium);
    unlink(driver->disk_path);
    if (driver->medium_path[0])
        unlink(driver->medium_path);
    sem_destroy(&driver->held);
    sem_destroy(&driver->release);
    free(driver);
}

uint32_t ahci_get(struct ahci_driver *driver, unsigned offset)
{
    return (uint32_t)fake_read(driver->fake, BUS_MMIO, AHCI_BAR + offset, 4);
}

void ahci_put(struct ahci_driver *driver, unsigned offset, uint32_t value)
{
    fake_write(driver->fake, BUS_MMIO, AHCI_BAR + offset, 4, value);
}

uint32_t port_get(struct ahci_driver *driver, unsigned port, unsigned offset)
{
    return ahci_get(driver, R_PORT(port, offset));
}

void port_put(struct ahci_driver *driver, unsigned port, unsigned offset, uint32_t value)
{
    ahci_put(driver, R_PORT(port, offset), value);
}

uint8_t *ram(struct ahci_driver *driver, uint64_t at, uint64_t length)
{
    uint8_t *host = memory_at(driver->fake->board.memory, at, length);

    assert_non_null(host);
    return host;
}

uint64_t ram_peek(struct ahci_driver *driver, uint64_t at, unsigned size)
{
    return get_le(ram(driver, at, size), size);
}

void ram_poke(struct ahci_driver *driver, uint64_t at, unsigned size, uint64_t value)
{
    put_le(ram(driver, at, size), size, value);
}

void port_wait(struct ahci_driver *driver, unsigned port, unsigned offset, uint32_t mask, uint32_t value)
{
    int64_t end = clock_ns() + WAIT_NS;

    while ((port_get(driver, port, offset) & mask) != value) {
        if (clock_ns() > end)
            fail_msg("port %u: register 0x%02x is 0x%08x; expected 0x%08x in 0x%08x", port, offset,
                     port_get(driver, port, offset), value, mask);
        sched_yield();
    }
}

void port_driver_start(struct ahci_driver *driver, unsigned port)
{
    port_put(driver, port, P_CLB, M_LIST(port));
    port_put(driver, port, P_CLBU, 0);
    port_put(driver, port, P_FB, M_FIS(port));
    port_put(driver, port, P_FBU, 0);
    port_put(driver, port, P_CMD, port_get(driver, port, P_CMD) | 0x10);
    port_put(driver, port, P_SERR, UINT32_MAX);
    port_put(driver, port, P_IS, UINT32_MAX);
    port_put(driver, port, P_CMD, port_get(driver, port, P_CMD) | 1);
    port_wait(driver, port, P_CMD, 0xC011, 0xC011);
}

void port_driver_stop(struct ahci_driver *driver, unsigned port)
{
    port_put(driver, port, P_CMD, port_get(driver, port, P_CMD) & ~1U);
    port_wait(driver, port, P_CMD, 0x8001, 0);
}

void port_driver_reset(struct ahci_driver *driver, unsigned port)
{
    port_driver_stop(driver, port);
    port_put(driver, port, P_SCTL, 1);
    assert_int_equal(port_get(driver, port, P_SSTS), 0);
    port_put(driver, port, P_SCTL, 0);
    port_wait(driver, port, P_SSTS, 0xF, 3);
    port_wait(driver, port, P_TFD, 0x88, 0);
    port_driver_start(driver, port);
}

void ahci_driver_start(struct ahci_driver *driver)
{
    int64_t end = clock_ns() + WAIT_NS;

    ahci_put(driver, R_GHC, 1);
    while (ahci_get(driver, R_GHC) & 1)
        assert_true(clock_ns() < end);
    ahci_put(driver, R_GHC, 0x80000000U);
    for (unsigned port = DISK; port <= CDROM; port++)
        port_driver_start(driver, port);
}

void slot_region(struct ahci_driver *driver, unsigned port, unsigned slot, unsigned number, uint64_t at, uint32_t bytes)
{
    uint64_t entry = M_TABLE(port, slot) + 0x80 + 16 * number;

    ram_poke(driver, entry, 8, at);
    ram_poke(driver, entry + 8, 4, 0);
    ram_poke(driver, entry + 12, 4, bytes - 1);
}

void slot_regions(struct ahci_driver *driver, unsigned port, unsigned slot, unsigned count)
{
    ram_poke(driver, M_LIST(port) + 32 * slot + 2, 2, count);
}

uint32_t slot_moved(struct ahci_driver *driver, unsigned port, unsigned slot)
{
    return (uint32_t)ram_peek(driver, M_LIST(port) + 32 * slot + 4, 4);
}

void slot_fill(struct ahci_driver *driver, unsigned port, unsigned slot, const struct ata *ata, uint64_t data,
               uint32_t bytes)
{
    uint64_t header = M_LIST(port) + 32 * slot, table = M_TABLE(port, slot);
    bool queued = ata->command == 0x60 || ata->command == 0x61;
    uint8_t fis[20] = {0x27, 0x80, ata->packet ? 0xA0 : ata->command, ata->feature};

    for (unsigned n = 0; n < 3; n++) {
        fis[4 + n] = (uint8_t)(ata->lba >> 8 * n);
        fis[8 + n] = (uint8_t)(ata->lba >> 8 * (n + 3));
    }
    fis[7] = ata->device | 0x40;
    put_le16(fis + 12, queued ? (uint16_t)(slot << 3) : ata->count);
    if (queued) {
        fis[3] = (uint8_t)ata->count;
        fis[11] = (uint8_t)(ata->count >> 8);
    }
    memset(ram(driver, table, 0x90), 0, 0x90);
    memcpy(ram(driver, table, sizeof fis), fis, sizeof fis);
    if (ata->packet)
        memcpy(ram(driver, table + 0x40, 12), ata->packet, 12);
    ram_poke(driver, header, 8, 5U | (ata->packet ? 1U << 5 : 0) | (ata->write ? 1U << 6 : 0) | (bytes ? 1U << 16 : 0));
    ram_poke(driver, header + 8, 8, table);
    if (bytes)
        slot_region(driver, port, slot, 0, data, bytes);
}

/* A queued command's issue bit is cleared when it is accepted, its active bit when it has ended. */
static bool under_way(struct ahci_driver *driver, unsigned port, unsigned slot)
{
    bool queued = (ram_peek(driver, M_TABLE(port, slot) + 2, 1) & 0xFE) == 0x60;

    return (port_get(driver, port, P_CI) | (queued ? port_get(driver, port, P_SACT) : 0)) >> slot & 1;
}

uint32_t slot_run(struct ahci_driver *driver, unsigned port, unsigned slot)
{
    int64_t end = clock_ns() + WAIT_NS;
    uint32_t file;

    port_put(driver, port, P_IS, UINT32_MAX);
    port_put(driver, port, P_CI, 1U << slot);
    while (under_way(driver, port, slot) && !(port_get(driver, port, P_IS) & 0x7D000000)) {
        if (clock_ns() > end)
            fail_msg("port %u: a command does not end", port);
        sched_yield();
    }
    file = port_get(driver, port, P_TFD);
    if (port_get(driver, port, P_IS) & 0x7D000000) {
        port_driver_stop(driver, port);
        port_driver_start(driver, port);
    }
    return file;
}

uint32_t ata_run(struct ahci_driver *driver, unsigned port, const struct ata *ata, uint32_t bytes)
{
    slot_fill(driver, port, 0, ata, M_DATA, bytes);
    return slot_run(driver, port, 0);
}

uint32_t packet_run(struct ahci_driver *driver, const uint8_t packet[12], uint32_t bytes)
{
    return ata_run(driver, CDROM, &(struct ata){.packet = packet, .feature = 1}, bytes);
}

unsigned packet_sense(struct ahci_driver *driver)
{
    const uint8_t packet[12] = {0x03, 0, 0, 0, 18}, *sense = ram(driver, M_DATA, 18);

    assert_int_equal(packet_run(driver, packet, 18), 0x50);
    assert_int_equal(sense[0], 0x70);
    return (unsigned)sense[2] << 16 | (unsigned)sense[12] << 8 | sense[13];
}

static void stand_still(void *opaque)
{
    struct ahci_driver *driver = opaque;

    sem_post(&driver->held);
    sem_wait(&driver->release);
}

void ahci_hold(struct ahci_driver *driver, unsigned port, uint32_t issue)
{
    struct loop *loop = driver->ahci->ports[port].loop;

    driver->hold = (struct loop_task){.run = stand_still, .opaque = driver};
    driver->hold_again = driver->hold;
    loop_post(loop, &driver->hold);
    sem_wait(&driver->held);
    if (!issue)
        return;
    /* Both of these run in one round of the loop, which looks for the image's answers after it. */
    port_put(driver, port, P_CI, issue);
    loop_post(loop, &driver->hold_again);
    sem_post(&driver->release);
    sem_wait(&driver->held);
}

void ahci_release(struct ahci_driver *driver)
{
    sem_post(&driver->release);
}

static void drain(void *opaque)
{
    block_queue_drain(opaque);
}

void ahci_drain(struct ahci_driver *driver)
{
    loop_call(driver->ahci->ports[DISK].loop, drain, driver->ahci->ports[DISK].disk.queue);
}
