/*
 * Threads that meet in the AHCI adapter: two vCPUs on its registers, the drives' threads on their commands, whoever
 * changes the medium. The command lists are made before, so that no thread of the test writes what a drive reads.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_ahci.h"

#define ROUNDS 2000

static _Atomic unsigned ended, changes;

static void *be_a_processor(void *opaque)
{
    struct ahci_driver *driver = opaque;

    for (unsigned n = 0; n < ROUNDS; n++) {
        for (unsigned port = DISK; port <= CDROM; port++) {
            port_put(driver, port, P_SACT, port == DISK ? 0xFF : 0);
            port_put(driver, port, P_CI, port == DISK ? 0xFF : 1);
            port_get(driver, port, P_TFD);
            port_put(driver, port, P_IS, port_get(driver, port, P_IS));
            ahci_put(driver, R_IS, ahci_get(driver, R_IS));
            if (n % 16 == 0)
                port_put(driver, port, P_CMD, n % 32 ? 0x11 : 0x10);
            if (n % 64 == 0) {
                port_put(driver, port, P_SCTL, 1);
                port_put(driver, port, P_SCTL, 0);
            }
            port_put(driver, port, P_IE, UINT32_MAX);
        }
        if (n % 256 == 0)
            ahci_put(driver, R_GHC, 1);
        ahci_put(driver, R_GHC, 2);
    }
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void *change_the_medium(void *opaque)
{
    struct ahci_driver *driver = opaque;

    for (unsigned n = 0; n < ROUNDS / 20; n++) {
        int failed = ahci_force_medium(driver->ahci, CDROM, n & 1 ? driver->medium : NULL);

        assert_int_equal(failed, 0);
        atomic_fetch_add(&changes, 1);
    }
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void everybody_at_once(void **state)
{
    static void *(*const parts[])(void *) = {be_a_processor, be_a_processor, change_the_medium};
    static const uint8_t read[12] = {0x28, 0, 0, 0, 0, 0, 0, 0, 2};
    struct ahci_driver *driver = ahci_driver_create(1 * MiB, 64 * KiB);
    pthread_t threads[ARRAY_SIZE(parts)];

    (void)state;
    ahci_driver_start(driver);
    for (unsigned slot = 0; slot < 8; slot++)
        slot_fill(driver, DISK, slot,
                  &(struct ata){.command = slot & 1 ? 0x60 : 0x61, .lba = 8 * slot, .count = 8, .device = 0x40},
                  M_DATA + 0x1000U * slot, 4096);
    slot_fill(driver, CDROM, 0, &(struct ata){.packet = read, .feature = 1}, M_MORE, 4096);
    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++)
        assert_int_equal(pthread_create(&threads[n], NULL, parts[n], driver), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++)
        pthread_join(threads[n], NULL);
    assert_int_equal(ended, ARRAY_SIZE(parts));
    assert_int_equal(changes, ROUNDS / 20);
    ahci_driver_start(driver);
    slot_fill(driver, DISK, 0, &(struct ata){.command = 0x25, .lba = 1000, .count = 1}, M_DATA, 512);
    assert_int_equal(slot_run(driver, DISK, 0), 0x50);
    assert_int_equal(ram_peek(driver, M_DATA, 8), 1000);
    ahci_driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everybody_at_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
