/* What an AHCI port receives into guest memory, and how it tells of that (AHCI 3.3, 4.2.1; platform contract 6.2). */
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_ahci.h"

#define DISK_BYTES (8 * MiB)
#define SECTORS (DISK_BYTES / 512)
#define RUNNING 0xC011U /* CR, FR, FRE, ST */

static struct ahci_driver *start(void)
{
    struct ahci_driver *driver = ahci_driver_create(DISK_BYTES, 1 * MiB);

    ahci_driver_start(driver);
    return driver;
}

/* The signature waits until the guest gives it room. */
static void the_signature_waits_for_fis_receive(void **state)
{
    struct ahci_driver *driver = ahci_driver_create(DISK_BYTES, 0);

    (void)state;
    ahci_put(driver, R_GHC, 1);
    memset(ram(driver, M_FIS(0), 256), 0, 256);
    port_put(driver, DISK, P_FB, M_FIS(0));
    port_put(driver, DISK, P_FBU, 0);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H, 1), 0);
    assert_int_equal(port_get(driver, DISK, P_TFD), 0x150);
    port_put(driver, DISK, P_CMD, 0x10);
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H, 1), 0x34);
    port_put(driver, DISK, P_CMD, 0);
    ram_poke(driver, M_FIS(0) + D2H, 1, 0);
    port_put(driver, DISK, P_CMD, 0x10); /* only once */
    assert_int_equal(ram_peek(driver, M_FIS(0) + D2H, 1), 0);
    ahci_driver_destroy(driver);
}

/* A driver takes its memory back when FR is clear: then nothing is received, and the address can be changed. */
static void fis_receive_ends_when_it_is_told_to(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    assert_int_equal(port_get(driver, DISK, P_CMD) & RUNNING, 0xC011);
    port_driver_stop(driver, DISK);
    assert_int_equal(port_get(driver, DISK, P_CMD) & RUNNING, 0x4010);
    port_put(driver, DISK, P_CMD, 0);
    assert_int_equal(port_get(driver, DISK, P_CMD) & RUNNING, 0);
    memset(ram(driver, M_FIS(DISK), 256), 0, 256);
    port_put(driver, DISK, P_SCTL, 1);
    port_put(driver, DISK, P_SCTL, 0);
    port_wait(driver, DISK, P_SSTS, 0xF, 3);
    assert_int_equal(ram_peek(driver, M_FIS(DISK) + D2H, 1), 0);
    port_put(driver, DISK, P_FB, M_MORE);
    assert_int_equal(port_get(driver, DISK, P_FB), M_MORE);
    port_driver_start(driver, DISK);
    assert_int_equal(ram_peek(driver, M_FIS(DISK) + D2H, 1), 0x34);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0xE7}, 0), 0x50);
    ahci_driver_destroy(driver);
}

static void setup_is(struct ahci_driver *driver, const uint8_t expected[28])
{
    assert_memory_equal(ram(driver, M_FIS(DISK) + DMA_SETUP, 28), expected, 28);
    memset(ram(driver, M_FIS(DISK) + DMA_SETUP, 28), 0, 28);
}

/* One command, with the setup FIS of the one before it gone. */
static uint32_t transfer(struct ahci_driver *driver, unsigned slot, const struct ata *ata)
{
    slot_fill(driver, DISK, slot, ata, M_DATA, 4096);
    port_put(driver, DISK, P_SACT, ata->command >> 4 == 6 ? 1U << slot : 0);
    return slot_run(driver, DISK, slot);
}

/* Its tag, its direction and its length; it asks for no interrupt (SATA 13.6). Only queued commands have one. */
static void a_queued_transfer_begins_with_a_setup_fis(void **state)
{
    static const uint8_t none[28], read[28] = {0x41, 0x20, [4] = 9, [21] = 0x10},
                                   write[28] = {0x41, [4] = 31, [21] = 4};
    struct ahci_driver *driver = start();

    (void)state;
    memset(ram(driver, M_FIS(DISK), 256), 0, 256);
    assert_int_equal(transfer(driver, 9, &(struct ata){.command = 0x60, .count = 8}), 0x50);
    assert_int_equal(port_get(driver, DISK, P_IS), 8);
    setup_is(driver, read);
    assert_int_equal(transfer(driver, 31, &(struct ata){.command = 0x61, .count = 2, .write = true}), 0x50);
    assert_int_equal(port_get(driver, DISK, P_IS), 8);
    setup_is(driver, write);
    assert_int_equal(transfer(driver, 3, &(struct ata){.command = 0x60, .lba = SECTORS, .count = 1}) & 0xFF, 0x51);
    setup_is(driver, none); /* no data move */
    assert_int_equal(transfer(driver, 3, &(struct ata){.command = 0x25, .count = 8}), 0x50);
    setup_is(driver, none);
    ahci_driver_destroy(driver);
}

/* The pin follows what is enabled, and stays until it is taken back. */
static void interrupts(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned port = DISK; port <= CDROM; port++) {
        ahci_put(driver, R_IS, UINT32_MAX);
        ahci_put(driver, R_GHC, 2);
        assert_int_equal(ata_run(driver, port, &(struct ata){.command = 0xE5}, 0), 0x50);
        assert_int_equal(ahci_get(driver, R_IS), 0);
        assert_false(driver->fake->lines[AHCI_PIN]);
        port_put(driver, port, P_IE, 1);
        assert_true(driver->fake->lines[AHCI_PIN]);
        assert_int_equal(ahci_get(driver, R_IS), 1U << port);
        ahci_put(driver, R_GHC, 0);
        assert_false(driver->fake->lines[AHCI_PIN]);
        ahci_put(driver, R_GHC, 2);
        assert_true(driver->fake->lines[AHCI_PIN]);
        ahci_put(driver, R_IS, 1U << port); /* the port still has it */
        assert_int_equal(ahci_get(driver, R_IS), 1U << port);
        port_put(driver, port, P_IS, 1);
        assert_int_equal(ahci_get(driver, R_IS), 1U << port);
        assert_true(driver->fake->lines[AHCI_PIN]);
        ahci_put(driver, R_IS, 1U << port);
        assert_int_equal(ahci_get(driver, R_IS), 0);
        assert_false(driver->fake->lines[AHCI_PIN]);
    }
    ahci_driver_destroy(driver);
}

/* Two ports and one pin: it stays until both have been heard. */
static void interrupts_of_two_ports(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    ahci_put(driver, R_IS, UINT32_MAX);
    ahci_put(driver, R_GHC, 2);
    for (unsigned port = DISK; port <= CDROM; port++) {
        port_put(driver, port, P_IE, 1);
        assert_int_equal(ata_run(driver, port, &(struct ata){.command = 0xE5}, 0), 0x50);
    }
    assert_int_equal(ahci_get(driver, R_IS), 3);
    for (unsigned port = DISK; port <= CDROM; port++) {
        assert_true(driver->fake->lines[AHCI_PIN]);
        port_put(driver, port, P_IS, 1);
        ahci_put(driver, R_IS, 1U << port);
        assert_int_equal(ahci_get(driver, R_IS), port == DISK ? 2 : 0);
    }
    assert_false(driver->fake->lines[AHCI_PIN]);
    ahci_driver_destroy(driver);
}

static void software_reset(void **state)
{
    struct ahci_driver *driver = start();

    (void)state;
    for (unsigned port = DISK; port <= CDROM; port++) {
        memset(ram(driver, M_FIS(port), 256), 0, 256);
        for (unsigned set = 2; set-- > 0;) {
            slot_fill(driver, port, 0, &(struct ata){0}, 0, 0);
            ram_poke(driver, M_TABLE(port, 0) + 1, 1, 0);
            ram_poke(driver, M_TABLE(port, 0) + 15, 1, set ? 4 : 0);
            port_put(driver, port, P_CI, 1);
            port_wait(driver, port, P_CI, 1, 0);
        }
        port_wait(driver, port, P_TFD, 0x80, 0);
        assert_int_equal(port_get(driver, port, P_TFD), port == DISK ? 0x150 : 0x100);
        assert_int_equal(port_get(driver, port, P_SIG), port == DISK ? 0x101 : 0xEB140101);
        assert_int_equal(ram_peek(driver, M_FIS(port) + D2H, 1), 0x34);
    }
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .count = 1}, 512), 0x50);
    ahci_driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signature_waits_for_fis_receive),
        cmocka_unit_test(fis_receive_ends_when_it_is_told_to),
        cmocka_unit_test(a_queued_transfer_begins_with_a_setup_fis),
        cmocka_unit_test(interrupts),
        cmocka_unit_test(interrupts_of_two_ports),
        cmocka_unit_test(software_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
