/*
 * A hostile driver on the AHCI adapter (lessons 4.5: rows 2, 11 to 14, 22, 25 and 28), and resets that find commands
 * under way: whatever happens, both drives serve an honest driver afterwards.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_ahci.h"

#define RAM_END AHCI_RAM
#define FATAL 0x7D000000U
#define ISSUED 0xFFU /* slots */

static const uint64_t bad_addresses[] = {RAM_END - 2,        RAM_END,        RAM_END + 4096, UINT32_MAX - 1, AHCI_BAR,
                                         UINT64_MAX & ~127U, UINT64_MAX - 1, 1ULL << 63,     0x8000000000ULL};

static struct ahci_driver *start(void)
{
    struct ahci_driver *driver = ahci_driver_create(8 * MiB, 2 * MiB);

    ahci_driver_start(driver);
    return driver;
}

static void serves(struct ahci_driver *driver)
{
    static const uint8_t ready[12] = {0}, read[12] = {0x28, 0, 0, 0, 0, 3, 0, 0, 1};

    ahci_driver_start(driver);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .lba = 77, .count = 1}, 512), 0x50);
    assert_int_equal(ram_peek(driver, M_DATA, 8), 77);
    for (unsigned n = 0; n < 3; n++) /* what the drive has to tell first */
        packet_run(driver, ready, 0);
    assert_int_equal(packet_run(driver, read, 2048), 0x50);
    assert_int_equal(ram_peek(driver, M_DATA, 8), 12);
}

/* Row 22: each size at each offset, read and written. */
static void every_register(void **state)
{
    static const uint64_t values[] = {0, UINT64_MAX, 0x5555555555555555, 0x0000001100000011};
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(values); n++)
        for (unsigned size = 1; size <= 8; size *= 2)
            for (unsigned offset = 0; offset < 0x1000; offset++) {
                uint64_t whole = fake_read(driver->fake, BUS_MMIO, AHCI_BAR + offset, size);

                assert_true(size == 8 || whole <= all_ones(size));
                fake_write(driver->fake, BUS_MMIO, AHCI_BAR + offset, size, values[n]);
            }
    serves(driver);
    /* A part of a register reads what the whole does, and changes nothing. */
    for (unsigned offset = 0; offset < 0x180; offset++)
        assert_int_equal(fake_read(driver->fake, BUS_MMIO, AHCI_BAR + offset, 1),
                         ahci_get(driver, offset & ~3U) >> 8 * (offset & 3) & 0xFF);
    fake_write(driver->fake, BUS_MMIO, AHCI_BAR + R_PORT(DISK, P_IE), 1, 0xFF);
    assert_int_equal(port_get(driver, DISK, P_IE), 0);
    ahci_driver_destroy(driver);
}

/* Addresses are frozen while they are in use, and nothing can be issued to a port that stands still. */
static void registers_in_use(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    port_put(driver, DISK, P_CLB, 0x12345400);
    port_put(driver, DISK, P_CLBU, 7);
    port_put(driver, DISK, P_FB, 0x12345600);
    assert_int_equal(port_get(driver, DISK, P_CLB), M_LIST(DISK));
    assert_int_equal(port_get(driver, DISK, P_CLBU), 0);
    assert_int_equal(port_get(driver, DISK, P_FB), M_FIS(DISK));
    port_driver_stop(driver, DISK);
    port_put(driver, DISK, P_SACT, UINT32_MAX);
    port_put(driver, DISK, P_CI, UINT32_MAX);
    assert_int_equal(port_get(driver, DISK, P_SACT) | port_get(driver, DISK, P_CI), 0);
    port_put(driver, 5, P_CMD, 0x11);
    port_put(driver, 5, P_CI, UINT32_MAX); /* nobody is there */
    assert_int_equal(port_get(driver, 5, P_TFD), 0x7F);
    serves(driver);
    ahci_driver_destroy(driver);
}

static void fails_and_recovers(struct ahci_driver *driver, unsigned port, uint32_t interrupt)
{
    port_put(driver, port, P_CI, 1);
    port_wait(driver, port, P_IS, interrupt, interrupt);
    assert_int_equal(port_get(driver, port, P_CI), 1);
    port_put(driver, port, P_CI, 2); /* it waits */
    assert_int_equal(port_get(driver, port, P_CI), 3);
    serves(driver);
}

/* Row 2: every address that the adapter takes from memory or registers. */
static void addresses_outside_memory(void **state)
{
    struct ahci_driver *driver = start();
    static const uint8_t read[12] = {0x28, 0, 0, 0, 0, 0, 0, 0, 1};

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(bad_addresses); n++) {
        uint64_t bad = bad_addresses[n];

        if (bad != RAM_END - 2) { /* aligned, these lie in RAM */
            port_driver_stop(driver, DISK);
            port_put(driver, DISK, P_CLB, (uint32_t)bad);
            port_put(driver, DISK, P_CLBU, bad >> 32);
            port_put(driver, DISK, P_CMD, port_get(driver, DISK, P_CMD) | 1);
            fails_and_recovers(driver, DISK, 1U << 29);
            slot_fill(driver, DISK, 0, &(struct ata){.command = 0x25, .count = 1}, M_DATA, 512);
            ram_poke(driver, M_LIST(DISK) + 8, 8, bad);
            fails_and_recovers(driver, DISK, 1U << 29);
        }
        slot_fill(driver, DISK, 0, &(struct ata){.command = 0x25, .count = 1}, bad, 512);
        fails_and_recovers(driver, DISK, 1U << 29);
        slot_fill(driver, DISK, 0, &(struct ata){.command = 0xEC}, bad, 512);
        fails_and_recovers(driver, DISK, 1U << 29);
        slot_fill(driver, CDROM, 0, &(struct ata){.packet = read, .feature = 1}, bad, 2048);
        fails_and_recovers(driver, CDROM, 1U << 29);
        /* Where FISes are received. */
        port_driver_stop(driver, DISK);
        port_put(driver, DISK, P_CMD, 0);
        port_put(driver, DISK, P_FB, (uint32_t)bad);
        port_put(driver, DISK, P_FBU, bad >> 32);
        port_put(driver, DISK, P_IS, UINT32_MAX);
        port_put(driver, DISK, P_CMD, 0x11);
        slot_fill(driver, DISK, 0, &(struct ata){.command = 0xE7}, 0, 0);
        port_put(driver, DISK, P_CI, 1);
        port_wait(driver, DISK, P_IS, 1, 1);
        assert_int_equal(port_get(driver, DISK, P_IS) >> 29 & 1, bad != RAM_END - 2);
        serves(driver);
    }
    /* The list of regions runs out of memory. */
    slot_fill(driver, DISK, 0, &(struct ata){.command = 0x25, .count = 8}, M_DATA, 512);
    ram_poke(driver, M_LIST(DISK) + 8, 8, RAM_END - 0x100);
    memcpy(ram(driver, RAM_END - 0x100, 20), ram(driver, M_TABLE(0, 0), 20), 20);
    for (unsigned n = 0; n < 8; n++) {
        ram_poke(driver, RAM_END - 0x80 + 16 * n, 8, M_DATA);
        ram_poke(driver, RAM_END - 0x80 + 16 * n + 8, 8, 1ULL << 32);
    }
    slot_regions(driver, DISK, 0, 0xFFFF);
    fails_and_recovers(driver, DISK, 1U << 29);
    ahci_driver_destroy(driver);
}

/* Headers and FISes that are none. */
static void malformed_commands(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        if (type == 0x27)
            continue;
        slot_fill(driver, DISK, 0, &(struct ata){.command = 0xE7}, 0, 0);
        ram_poke(driver, M_TABLE(DISK, 0), 1, type);
        port_put(driver, DISK, P_CI, 1);
        port_wait(driver, DISK, P_IS, 1U << 27, 1U << 27);
        port_driver_stop(driver, DISK);
        port_driver_start(driver, DISK);
    }
    for (unsigned length = 0; length < 5; length++) {
        slot_fill(driver, DISK, 0, &(struct ata){.command = 0xE7}, 0, 0);
        ram_poke(driver, M_LIST(DISK), 1, length);
        port_put(driver, DISK, P_CI, 1);
        port_wait(driver, DISK, P_IS, 1U << 27, 1U << 27);
        port_driver_stop(driver, DISK);
        port_driver_start(driver, DISK);
    }
    /* A command while the drive is held in reset. */
    slot_fill(driver, DISK, 0, &(struct ata){0}, 0, 0);
    ram_poke(driver, M_TABLE(DISK, 0) + 1, 1, 0);
    ram_poke(driver, M_TABLE(DISK, 0) + 15, 1, 4);
    port_put(driver, DISK, P_CI, 1);
    port_wait(driver, DISK, P_CI, 1, 0);
    slot_fill(driver, DISK, 0, &(struct ata){.command = 0xE7}, 0, 0);
    port_put(driver, DISK, P_CI, 1);
    port_wait(driver, DISK, P_IS, 1U << 27, 1U << 27);
    serves(driver);
    ahci_driver_destroy(driver);
}

/* Every command and every packet with regions of every kind, and none (row 25). */
static void every_command(void **state)
{
    static const struct {
        uint32_t bytes;
        uint16_t regions;
    } kinds[] = {{512, 0}, {2, 1}, {512, 1}, {4 * MiB, 1}, {65536, 3}};
    struct ahci_driver *driver = start();

    (void)state;
    srand(2);
    for (unsigned command = 0; command < 256; command++)
        for (unsigned kind = 0; kind < ARRAY_SIZE(kinds); kind++)
            for (unsigned port = DISK; port <= CDROM; port++) {
                const uint8_t packet[12] = {
                    (uint8_t)command, (uint8_t)rand(), (uint8_t)rand(), (uint8_t)rand(), 0, 0, 0,
                    (uint8_t)rand(),  (uint8_t)rand(), (uint8_t)rand()};
                struct ata ata = {.command = (uint8_t)command,
                                  .feature = (uint8_t)rand(),
                                  .lba = rand() & 1 ? (uint64_t)rand() : (uint64_t)rand() % 16384,
                                  .count = (uint16_t)rand(),
                                  .device = (uint8_t)rand(),
                                  .packet = port == CDROM && (kind & 1) ? packet : NULL};

                slot_fill(driver, port, 0, &ata, M_DATA, kinds[kind].bytes);
                for (unsigned n = 1; n < kinds[kind].regions; n++)
                    slot_region(driver, port, 0, n, M_DATA + 2 * n, kinds[kind].bytes);
                slot_regions(driver, port, 0, kinds[kind].regions);
                port_put(driver, port, P_SACT, 1);
                slot_run(driver, port, 0);
                assert_int_equal(port_get(driver, port, P_CI), 0);
            }
    serves(driver);
    ahci_driver_destroy(driver);
}

static void put_under_way(struct ahci_driver *driver, bool queued)
{
    for (unsigned slot = 0; slot < 8; slot++)
        slot_fill(driver, DISK, slot,
                  &(struct ata){.command = queued ? 0x60 : 0x25, .lba = 8 * slot, .count = 8, .device = 0x40},
                  M_DATA + 0x1000U * slot, 4096);
    memset(ram(driver, M_FIS(DISK), 256), 0, 256);
    port_put(driver, DISK, P_SACT, queued ? ISSUED : 0);
    ahci_hold(driver, DISK, ISSUED);
    port_put(driver, DISK, P_IS, UINT32_MAX);
}

/* Row 11. ST is cleared: CR says that the memory is still in use, until it is not; nothing is told of what ended. */
static void stop_with_commands_under_way(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned queued = 0; queued < 2; queued++) {
        put_under_way(driver, queued);
        port_put(driver, DISK, P_CMD, port_get(driver, DISK, P_CMD) & ~1U);
        assert_int_equal(port_get(driver, DISK, P_CMD) & 0x8001, 0x8000);
        assert_int_equal(port_get(driver, DISK, P_CI) | port_get(driver, DISK, P_SACT), 0);
        ahci_release(driver);
        port_wait(driver, DISK, P_CMD, 0x8000, 0);
        assert_int_equal(port_get(driver, DISK, P_IS), 0);
        assert_int_equal(ram_peek(driver, M_FIS(DISK) + 0x58, 8), 0);
        /* Started again while that lasts, it waits with what is new. */
        port_driver_start(driver, DISK);
        put_under_way(driver, queued);
        port_put(driver, DISK, P_CMD, port_get(driver, DISK, P_CMD) & ~1U);
        port_put(driver, DISK, P_CMD, port_get(driver, DISK, P_CMD) | 1U);
        slot_fill(driver, DISK, 20, &(struct ata){.command = 0x25, .lba = 55, .count = 1}, M_MORE, 512);
        port_put(driver, DISK, P_CI, 1U << 20);
        assert_int_equal(port_get(driver, DISK, P_CI), 1U << 20);
        ahci_release(driver);
        port_wait(driver, DISK, P_CI, UINT32_MAX, 0);
        assert_int_equal(ram_peek(driver, M_MORE, 8), 55);
    }
    serves(driver);
    ahci_driver_destroy(driver);
}

/* When one queued command fails the drive drops the others: their ends are not told (SATA 13.7). */
static void an_error_with_commands_under_way(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned slot = 0; slot < 9; slot++)
        slot_fill(driver, DISK, slot,
                  &(struct ata){.command = 0x60, .lba = slot < 8 ? 8 * slot : UINT32_MAX, .count = 8, .device = 0x40},
                  M_DATA + 0x1000U * slot, 4096);
    port_put(driver, DISK, P_SACT, 0x1FF);
    ahci_hold(driver, DISK, 0x1FF);
    assert_int_equal(port_get(driver, DISK, P_TFD), 0x1051);
    assert_int_equal(port_get(driver, DISK, P_IS) & FATAL, 1U << 30);
    port_put(driver, DISK, P_IS, UINT32_MAX);
    ahci_release(driver);
    ahci_drain(driver);
    assert_int_equal(port_get(driver, DISK, P_IS), 0);
    assert_int_equal(port_get(driver, DISK, P_SACT), 0x1FF);
    assert_int_equal(port_get(driver, DISK, P_TFD), 0x1051);
    serves(driver);
    ahci_driver_destroy(driver);
}

static void comreset_with_commands_under_way(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned queued = 0; queued < 2; queued++) {
        put_under_way(driver, queued);
        port_put(driver, DISK, P_SCTL, 1);
        port_put(driver, DISK, P_SCTL, 0);
        assert_int_equal(port_get(driver, DISK, P_SSTS), 0);
        assert_int_equal(port_get(driver, DISK, P_TFD), 0x7F);
        ahci_release(driver);
        port_wait(driver, DISK, P_SSTS, 0xF, 3);
        assert_int_equal(port_get(driver, DISK, P_TFD), 0x150);
        assert_int_equal(port_get(driver, DISK, P_IS) & ~0x40U, 0);
        port_driver_stop(driver, DISK);
        port_driver_start(driver, DISK);
        assert_int_equal(port_get(driver, DISK, P_CI), 0);
        serves(driver);
    }
    ahci_driver_destroy(driver);
}

/* HR reads as 1 until nothing is under way, and the registers are what they are after power-on. */
static void adapter_reset_with_commands_under_way(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned queued = 0; queued < 2; queued++) {
        put_under_way(driver, queued);
        port_put(driver, DISK, P_IE, UINT32_MAX);
        ahci_put(driver, R_GHC, 3);
        assert_int_equal(ahci_get(driver, R_GHC), 0x80000001U);
        assert_int_equal(port_get(driver, DISK, P_IE), 0);
        assert_int_equal(port_get(driver, DISK, P_SSTS), 0);
        ahci_put(driver, R_GHC, 2);
        assert_int_equal(ahci_get(driver, R_GHC), 0x80000001U);
        ahci_release(driver);
        port_wait(driver, DISK, P_SSTS, 0xF, 3);
        assert_int_equal(ahci_get(driver, R_GHC), 0x80000000U);
        assert_int_equal(port_get(driver, DISK, P_CLB), M_LIST(DISK)); /* kept (AHCI 10.4.3) */
        assert_false(driver->fake->lines[AHCI_PIN]);
        serves(driver);
    }
    ahci_driver_destroy(driver);
}

static void software_reset_with_commands_under_way(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    put_under_way(driver, true);
    ahci_release(driver);
    for (unsigned set = 2; set-- > 0;) {
        slot_fill(driver, DISK, 30, &(struct ata){0}, 0, 0);
        ram_poke(driver, M_TABLE(DISK, 30) + 1, 1, 0);
        ram_poke(driver, M_TABLE(DISK, 30) + 15, 1, set ? 4 : 0);
        port_put(driver, DISK, P_CI, 1U << 30);
        port_wait(driver, DISK, P_CI, 1U << 30, 0);
    }
    port_wait(driver, DISK, P_TFD, UINT32_MAX, 0x150);
    serves(driver);
    ahci_driver_destroy(driver);
}

static _Atomic bool let_go;

static void *reset_machine(void *opaque)
{
    struct ahci_driver *driver = opaque;

    board_reset(&driver->fake->board);
    return atomic_load(&let_go) ? driver : NULL;
}

/* The machine's own reset waits for what is under way. */
static void machine_reset_waits(void **state)
{
    struct ahci_driver *driver = start();
    pthread_t thread;
    void *waited;

    (void)state;
    put_under_way(driver, true);
    assert_int_equal(pthread_create(&thread, NULL, reset_machine, driver), 0);
    port_wait(driver, DISK, P_SSTS, 0xF, 0);
    for (unsigned n = 0; n < 100000; n++) /* every chance to return too early */
        port_get(driver, DISK, P_SSTS);
    atomic_store(&let_go, true);
    ahci_release(driver);
    pthread_join(thread, &waited);
    assert_non_null(waited);
    assert_int_equal(port_get(driver, DISK, P_SSTS), 0x113);
    serves(driver);
    ahci_driver_destroy(driver);
}

/* And so with nothing under way, whenever it comes. */
static void machine_reset_with_commands_under_way(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned n = 0; n < 100; n++) {
        for (unsigned slot = 0; slot < 32; slot++)
            slot_fill(driver, DISK, slot,
                      &(struct ata){.command = n & 1 ? 0x60 : 0x25, .lba = 8 * slot, .count = 8, .device = 0x40},
                      M_DATA + 0x1000U * slot, 4096);
        port_put(driver, DISK, P_SACT, n & 1 ? UINT32_MAX : 0);
        port_put(driver, DISK, P_CI, UINT32_MAX);
        board_reset(&driver->fake->board);
        memset(ram(driver, M_DATA, 32 * 4096), 0xA5, 32 * 4096);
        assert_int_equal(port_get(driver, DISK, P_CMD) & 0xC011, 0);
        assert_int_equal(port_get(driver, DISK, P_SSTS), 0x113);
        for (unsigned at = 0; at < 32 * 4096; at += 512)
            assert_int_equal(ram_peek(driver, M_DATA + at, 8), 0xA5A5A5A5A5A5A5A5);
        ahci_driver_start(driver);
    }
    serves(driver);
    ahci_driver_destroy(driver);
}

/* A slot that is issued again while it is under way waits for its end (row 6). */
static void a_slot_twice(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (uint32_t issued = 1; issued <= ISSUED; issued = issued << 1 | 1) {
        for (unsigned slot = 0; slot < 8; slot++)
            slot_fill(driver, DISK, slot, &(struct ata){.command = 0x60, .lba = slot, .count = 1}, M_DATA, 512);
        port_put(driver, DISK, P_SACT, issued);
        ahci_hold(driver, DISK, issued);
        port_put(driver, DISK, P_CI, issued);
        assert_int_equal(port_get(driver, DISK, P_CI), issued);
        ahci_release(driver);
        port_wait(driver, DISK, P_CI, issued, 0);
        port_driver_stop(driver, DISK);
        port_driver_start(driver, DISK);
    }
    serves(driver);
    ahci_driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_register),
        cmocka_unit_test(registers_in_use),
        cmocka_unit_test(addresses_outside_memory),
        cmocka_unit_test(malformed_commands),
        cmocka_unit_test(every_command),
        cmocka_unit_test(stop_with_commands_under_way),
        cmocka_unit_test(an_error_with_commands_under_way),
        cmocka_unit_test(comreset_with_commands_under_way),
        cmocka_unit_test(adapter_reset_with_commands_under_way),
        cmocka_unit_test(software_reset_with_commands_under_way),
        cmocka_unit_test(machine_reset_waits),
        cmocka_unit_test(machine_reset_with_commands_under_way),
        cmocka_unit_test(a_slot_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
