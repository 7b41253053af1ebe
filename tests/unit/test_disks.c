/* What firmware is told about where to start from: fw_cfg's "bootorder" for disks on every bus (platform contract 3.1).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../devices/nvme/nvme_private.h"
#include "../../vmm/machine.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_firmware.h"
#include "fake_xhci.h"

#define IMAGE (1 * MiB)
#define AHCI_FUNCTION (31U << 3 | 2)
#define AHCI_REGISTERS 0xE0000000U
#define AHCI_SIGNATURE(port) (0x124U + 0x80U * (port))

/* As much of a machine as its disks are plugged into, with a keyboard and a tablet in the USB ports before them. */
struct desk {
    char path[64];
    struct driver *driver; /* of its USB controller */
    struct fake *fake;
    struct config config;
    struct machine machine;
};

static struct desk *desk_create(void)
{
    struct desk *desk = calloc(1, sizeof *desk);
    int fd;

    assert_non_null(desk);
    snprintf(desk->path, sizeof desk->path, "build/disks-XXXXXX");
    fd = mkstemp(desk->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, IMAGE), 0);
    close(fd);
    desk->config.cpus = 1;
    return desk;
}

/* Every disk lies in the one image: nobody writes there. */
static void plug(struct desk *desk, bool cdrom, const char *bus)
{
    struct config *config = &desk->config;
    struct error error = {""};
    char value[128];
    int failed;

    snprintf(value, sizeof value, "%s,readonly,bus=%s", desk->path, bus);
    failed = cdrom ? config_add_cdrom(config, value, &error) : config_add_disk(config, value, &error);
    if (failed < 0)
        fail_msg("%s", error.text);
    config_complete_disk(config, &config->disks[config->disk_count - 1]);
}

static void power_on(struct desk *desk)
{
    struct machine *machine = &desk->machine;
    struct error error = {""};

    desk->driver = driver_create();
    desk->fake = desk->driver->fake;
    machine->config = &desk->config;
    machine->board = desk->fake->board;
    machine->xhci = desk->driver->xhci;
    if (fw_cfg_create(&machine->board, &machine->fw_cfg, &error) < 0 || disks_create(machine, &error) < 0)
        fail_msg("%s", error.text);
}

static void desk_destroy(struct desk *desk)
{
    disks_unwatch(&desk->machine);
    desk->fake->board.devices = NULL; /* the machine's board has had them since */
    board_destroy_devices(&desk->machine.board);
    driver_destroy(desk->driver);
    disks_close(&desk->machine);
    unlink(desk->path);
    config_free(&desk->config);
    free(desk);
}

/* Byte by byte, with the zero that ends it. */
static void assert_order(struct desk *desk, const char *expected)
{
    size_t size = 0;
    uint8_t *order = fw_file(desk->fake, "bootorder", &size);

    assert_non_null(order);
    if (size != strlen(expected) + 1 || memcmp(order, expected, size) != 0)
        fail_msg("the order of %zu bytes is\n%.*s\nand not\n%s", size, (int)size, (char *)order, expected);
    free(order);
}

/* The path of an NVMe disk ends with the EUI-64 that its namespace says it has, read from its low end. */
static const char *with_namespace(const struct desk *desk, unsigned disk, const char *format)
{
    static char text[1024];

    assert_non_null(desk->machine.nvme_disks[disk]);
    snprintf(text, sizeof text, format, get_le64(desk->machine.nvme_disks[disk]->eui64));
    return text;
}

static void a_machine_without_disks_has_no_order(void **state)
{
    struct desk *desk = desk_create();
    uint32_t size;
    uint16_t key;

    (void)state;
    power_on(desk);
    assert_false(fw_find(desk->fake, "bootorder", &key, &size));
    desk_destroy(desk);
}

/* And the function that the path names is there. */
static void each_bus_has_its_path(void **state)
{
    static const struct {
        const char *bus, *path;
        unsigned function, id;
    } rows[] = {
        {"virtio", "/pci@i0cf8/scsi@5/disk@0,0", 5U << 3, 0x10421AF4},
        {"scsi", "/pci@i0cf8/scsi@5/channel@0/disk@0,0", 5U << 3, 0x10481AF4},
        {"nvme", "/pci@i0cf8/pci8086,5845@5/namespace@1,%" PRIx64, 5U << 3, 0x00101B36},
        {"ahci", "/pci@i0cf8/pci8086,2922@1f,2/drive@0/disk@0", AHCI_FUNCTION, 0x29228086},
        {"usb", "/pci@i0cf8/usb@2/storage@3/channel@0/disk@0,0", 2U << 3, 0x000D1B36},
    };

    (void)state;
    assert_int_equal(ARRAY_SIZE(rows), CONFIG_BUSES);
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++) {
        struct desk *desk = desk_create();

        plug(desk, false, rows[n].bus);
        power_on(desk);
        assert_order(desk, desk->machine.nvme_disks[0] ? with_namespace(desk, 0, rows[n].path) : rows[n].path);
        assert_int_equal(fake_config_read(desk->fake, rows[n].function, 0, 4), rows[n].id);
        desk_destroy(desk);
    }
}

/* Identifiers differ with the serial number, so a path that named another disk's would lead nowhere. */
static void nvme_disks_are_told_apart(void **state)
{
    struct desk *desk = desk_create();
    struct error error = {""};
    char value[128], order[256];

    (void)state;
    plug(desk, false, "nvme");
    snprintf(value, sizeof value, "%s,readonly,bus=nvme,serial=of-its-own", desk->path);
    assert_int_equal(config_add_disk(&desk->config, value, &error), 0);
    config_complete_disk(&desk->config, &desk->config.disks[1]);
    power_on(desk);
    assert_true(nvme_firmware_id("of-its-own") == get_le64(desk->machine.nvme_disks[1]->eui64));
    assert_true(nvme_firmware_id("of-its-own") != get_le64(desk->machine.nvme_disks[0]->eui64));
    snprintf(order, sizeof order,
             "/pci@i0cf8/pci8086,5845@5/namespace@1,%" PRIx64 "\n/pci@i0cf8/pci8086,5845@6/namespace@1,%" PRIx64,
             get_le64(desk->machine.nvme_disks[0]->eui64), get_le64(desk->machine.nvme_disks[1]->eui64));
    assert_order(desk, order);
    desk_destroy(desk);
}

/* Not that of slots, of ports or of buses. */
static void the_order_is_the_configurations(void **state)
{
    struct desk *desk = desk_create();

    (void)state;
    plug(desk, false, "usb");
    plug(desk, false, "ahci");
    plug(desk, true, "ahci");
    plug(desk, false, "virtio");
    plug(desk, true, "usb");
    plug(desk, false, "nvme");
    plug(desk, false, "scsi");
    plug(desk, false, "virtio");
    power_on(desk);
    assert_order(desk, with_namespace(desk, 5,
                                      "/pci@i0cf8/usb@2/storage@3/channel@0/disk@0,0\n"
                                      "/pci@i0cf8/pci8086,2922@1f,2/drive@0/disk@0\n"
                                      "/pci@i0cf8/pci8086,2922@1f,2/drive@1/disk@0\n"
                                      "/pci@i0cf8/scsi@8/disk@0,0\n"
                                      "/pci@i0cf8/usb@2/storage@4/channel@0/disk@0,0\n"
                                      "/pci@i0cf8/pci8086,5845@a/namespace@1,%" PRIx64 "\n"
                                      "/pci@i0cf8/scsi@b/channel@0/disk@0,0\n"
                                      "/pci@i0cf8/scsi@c/disk@0,0"));
    /* Ports of USB count from 1, those of AHCI from 0: both of each are where their paths lead, and nobody behind. */
    for (unsigned port = 1; port <= 16; port++)
        assert_int_equal(driver_get(desk->driver, R_PORTSC(port), 4) & 1, port <= 4);
    fake_config_write(desk->fake, AHCI_FUNCTION, 0x24, 4, AHCI_REGISTERS);
    fake_config_write(desk->fake, AHCI_FUNCTION, 0x04, 2, 6);
    assert_int_equal(fake_read(desk->fake, BUS_MMIO, AHCI_REGISTERS + AHCI_SIGNATURE(0), 4), 0x101);
    assert_int_equal(fake_read(desk->fake, BUS_MMIO, AHCI_REGISTERS + AHCI_SIGNATURE(1), 4), 0xEB140101);
    desk_destroy(desk);
}

static void as_many_disks_as_there_can_be(void **state)
{
    static const char *const slots[] = {"5", "6", "7", "8",  "9",  "a",  "b",  "c",
                                        "d", "e", "f", "10", "11", "12", "13", "14"};
    struct desk *desk = desk_create();
    char order[1024];
    size_t used = 0;

    (void)state;
    assert_int_equal(ARRAY_SIZE(slots), CONFIG_DISKS);
    for (unsigned n = 0; n < ARRAY_SIZE(slots); n++) {
        plug(desk, false, "scsi");
        used += (size_t)snprintf(order + used, sizeof order - used, "%s/pci@i0cf8/scsi@%s/channel@0/disk@0,0",
                                 n ? "\n" : "", slots[n]);
    }
    power_on(desk);
    assert_order(desk, order);
    assert_int_equal(fake_config_read(desk->fake, 0x14U << 3, 0, 4), 0x10481AF4);
    desk_destroy(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_without_disks_has_no_order),
        cmocka_unit_test(each_bus_has_its_path),
        cmocka_unit_test(nvme_disks_are_told_apart),
        cmocka_unit_test(the_order_is_the_configurations),
        cmocka_unit_test(as_many_disks_as_there_can_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
