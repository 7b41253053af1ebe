/*
 * Fuzzing of the AHCI adapter, its disks and its CD-ROM drives, for libFuzzer: the input is a sequence of what a driver
 * does, mostly what it may do. After each, both drives must serve an honest driver.
 */
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

#include "../unit/cmocka_all.h"
#include "../unit/fake_ahci.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "input.h"

#define DISK_BYTES (2 * MiB)
#define MEDIUM_BYTES (1 * MiB)
#define SECTORS (DISK_BYTES / 512)
#define IDLE_NS INT64_C(20000000)

static const uint8_t ata_commands[] = {0x06, 0x20, 0x24, 0x25, 0x29, 0x2F, 0x30, 0x34, 0x35, 0x39, 0x3D, 0x40, 0x42,
                                       0x47, 0x60, 0x61, 0x90, 0xB0, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xCE, 0xE0, 0xE1,
                                       0xE2, 0xE3, 0xE5, 0xE6, 0xE7, 0xEA, 0xEC, 0xEF, 0xF5, 0xA0, 0xA1, 0x08};
static const uint8_t packets[] = {0x00, 0x03, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x23, 0x25, 0x28, 0x2B, 0x2F, 0x35,
                                  0x43, 0x46, 0x4A, 0x51, 0x52, 0x55, 0x5A, 0xA0, 0xA8, 0xAD, 0xBB, 0xBD, 0xBE};

static uint64_t address(struct input *input)
{
    unsigned kind = (unsigned)take(input, 1);

    if (kind < 0xF0)
        return M_DATA + take(input, 3);
    return kind < 0xF8 ? AHCI_RAM - kind % 8 * 2 : take(input, 8);
}

static void regions(struct ahci_driver *driver, struct input *input, unsigned port, unsigned slot)
{
    unsigned kind = (unsigned)take(input, 1), count = kind % 6;

    for (unsigned n = 0; n < count; n++)
        slot_region(driver, port, slot, n, address(input), (uint32_t)take_number(input, 0x10000) & 0x803FFFFF);
    slot_regions(driver, port, slot, kind > 0xF8 ? (unsigned)take(input, 2) : count);
}

static void command(struct ahci_driver *driver, struct input *input, unsigned port)
{
    unsigned slot = (unsigned)take(input, 1) % 32, kind = (unsigned)take(input, 1);
    uint8_t packet[12];
    struct ata ata = {.command = kind < 0xF0 ? ata_commands[kind % ARRAY_SIZE(ata_commands)] : (uint8_t)take(input, 1),
                      .feature = (uint8_t)take(input, 1),
                      .lba = take_number(input, SECTORS),
                      .count = (uint16_t)take_number(input, 64),
                      .device = (uint8_t)take(input, 1)};

    if (port == CDROM && kind < 0xE0) {
        packet[0] = packets[kind % ARRAY_SIZE(packets)];
        for (unsigned n = 1; n < sizeof packet; n++)
            packet[n] = kind & 1 && n != 1 && n != 5 && n != 8 ? 0 : (uint8_t)take(input, 1);
        ata.packet = packet;
    }
    if (ata.command == 0xB0)
        ata.lba = 0xC24F00 | (ata.lba & 0xFF);
    if (ata.command == 0x06)
        for (unsigned n = 0; n < 4; n++)
            ram_poke(driver, M_DATA + 8 * n, 8, take_number(input, SECTORS) | (take(input, 1) << 48));
    slot_fill(driver, port, slot, &ata, M_DATA, 0);
    regions(driver, input, port, slot);
    if (ata.command == 0x60 || ata.command == 0x61 || kind == 0xEF)
        port_put(driver, port, P_SACT, 1U << slot);
    port_put(driver, port, P_CI, 1U << slot);
}

static void wait_idle(struct ahci_driver *driver, unsigned port)
{
    int64_t end = clock_ns() + IDLE_NS;

    while ((port_get(driver, port, P_CI) | port_get(driver, port, P_SACT)) &&
           !(port_get(driver, port, P_IS) & 0x7D000000) && clock_ns() < end)
        sched_yield();
}

static void control(struct ahci_driver *driver, struct input *input, unsigned port)
{
    slot_fill(driver, port, 31, &(struct ata){0}, 0, 0);
    ram_poke(driver, M_TABLE(port, 31) + 1, 1, 0);
    ram_poke(driver, M_TABLE(port, 31) + 15, 1, take(input, 1));
    port_put(driver, port, P_CI, 1U << 31);
}

static void step(struct ahci_driver *driver, struct input *input)
{
    unsigned kind = (unsigned)take(input, 1), port = kind >> 7;

    switch (kind % 16) {
    case 0:
        ahci_put(driver, (unsigned)take(input, 2) % 0x440 & ~3U, (uint32_t)take(input, 4));
        break;
    case 1: /* RAM that the adapter reads, at any time */
        ram_poke(driver, M_LIST(port) + take(input, 3) % 0x21000, 1, take(input, 1));
        break;
    case 2:
        port_put(driver, port, P_CMD, take(input, 1) & 1 ? 0x11 : 0x10);
        break;
    case 3:
        port_put(driver, port, P_SCTL, (uint32_t)take(input, 1) & 5);
        port_put(driver, port, P_SCTL, 0);
        break;
    case 4:
        if (take(input, 1) < 32)
            ahci_put(driver, R_GHC, 1);
        else
            port_put(driver, port, P_IS, UINT32_MAX);
        break;
    case 5:
        ahci_change_medium(driver->ahci, CDROM, take(input, 1) & 1 ? driver->medium : NULL);
        break;
    case 6:
        control(driver, input, port);
        break;
    case 7: /* what libata does after an error */
        port_put(driver, port, P_CMD, 0x10);
        port_put(driver, port, P_CMD, 0x11);
        break;
    case 8:
    case 9:
        wait_idle(driver, port);
        break;
    default:
        command(driver, input, port);
    }
}

static void serves(struct ahci_driver *driver)
{
    static const uint8_t ready[12] = {0}, read[12] = {0x28, 0, 0, 0, 0, 3, 0, 0, 1};

    ahci_driver_start(driver);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .lba = 77, .count = 1}, 512), 0x50);
    assert_int_equal(ahci_force_medium(driver->ahci, CDROM, driver->medium), 0);
    for (unsigned n = 0; n < 3; n++)
        packet_run(driver, ready, 0);
    assert_int_equal(packet_run(driver, read, 2048), 0x50);
    assert_int_equal(ram_peek(driver, M_DATA, 8), 12);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ahci_driver *driver;
    struct input input = {data, size};

    if (!driver) {
        log_set_level(LOG_ERROR);
        driver = ahci_driver_create(DISK_BYTES, MEDIUM_BYTES);
    }
    ahci_driver_start(driver);
    for (unsigned n = 0; n < 100 && input.left; n++)
        step(driver, &input);
    board_reset(&driver->fake->board);
    serves(driver);
    return 0;
}
