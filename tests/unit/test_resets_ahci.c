/* An AHCI disk with native command queueing is reset under load (fake_resets.h): its port by COMRESET, its adapter. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_ahci.h"
#include "fake_resets.h"

#define WRITE_FPDMA_QUEUED 0x61

struct guest {
    struct ahci_driver *driver;
    uint32_t under_way;
    unsigned resets;
};

static void start(void *opaque)
{
    struct guest *guest = opaque;

    if (guest->resets == 0)
        ahci_driver_start(guest->driver);
}

static uint8_t *buffer(void *opaque, unsigned slot)
{
    struct guest *guest = opaque;

    return ram(guest->driver, M_DATA + slot * RESETS_BLOCK, RESETS_BLOCK);
}

static void write_block(void *opaque, unsigned slot, unsigned block)
{
    struct guest *guest = opaque;
    const struct ata ata = {
        .command = WRITE_FPDMA_QUEUED, .lba = (uint64_t)block * 8, .count = 8, .device = 0x40, .write = true};

    slot_fill(guest->driver, DISK, slot, &ata, M_DATA + slot * RESETS_BLOCK, RESETS_BLOCK);
    guest->under_way |= 1U << slot;
    port_put(guest->driver, DISK, P_SACT, 1U << slot);
    port_put(guest->driver, DISK, P_CI, 1U << slot);
}

static int completed(void *opaque)
{
    struct guest *guest = opaque;
    uint32_t ended = guest->under_way & ~(port_get(guest->driver, DISK, P_SACT) | port_get(guest->driver, DISK, P_CI));
    int slot = ended ? __builtin_ctz(ended) : -1;

    assert_int_equal(port_get(guest->driver, DISK, P_IS) & 0x78000000, 0); /* no error */
    if (slot >= 0)
        guest->under_way &= ~(1U << slot);
    return slot;
}

/* AHCI 1.3.1, 10.4.2 and 10.4.3, in turn. */
static void reset(void *opaque)
{
    struct guest *guest = opaque;

    if (guest->resets++ % 2)
        ahci_driver_start(guest->driver);
    else
        port_driver_reset(guest->driver, DISK);
    guest->under_way = 0;
}

static void port_and_adapter_resets(void **state)
{
    static const uint8_t empty[RESETS_BLOCKS * RESETS_BLOCK];
    struct guest guest = {.driver = ahci_driver_create(8 * MiB, 0)};
    const struct resets_driver driver = {start, buffer, write_block, completed, reset, &guest};
    int fd = open(guest.driver->disk_path, O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(pwrite(fd, empty, sizeof empty, 0), sizeof empty);
    close(fd);
    resets_run(&driver, guest.driver->disk);
    ahci_driver_destroy(guest.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(port_and_adapter_resets)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
