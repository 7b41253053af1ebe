/* ATAPI CD-ROM drives behind AHCI, as firmware, Windows and Linux use them (platform contract 6.2; MMC-6). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_ahci.h"

#define MEDIUM_BYTES (2 * MiB)
#define BLOCKS (MEDIUM_BYTES / 2048)
#define GOOD 0x50U
#define CHECK(key) ((unsigned)(key) << 12 | 0x51U)

#define PACKET(...) ((const uint8_t[12]){__VA_ARGS__})

/* With the unit attention of power-on told. */
static struct ahci_driver *start(uint64_t medium)
{
    struct ahci_driver *driver = ahci_driver_create(1 * MiB, medium);

    ahci_driver_start(driver);
    assert_int_equal(packet_run(driver, PACKET(0), 0), CHECK(6));
    assert_int_equal(packet_sense(driver), 0x62900);
    return driver;
}

static unsigned refused(struct ahci_driver *driver, const uint8_t packet[12])
{
    uint32_t file = packet_run(driver, packet, 0x10000);

    assert_int_equal(file & 0xFF, 0x51);
    assert_int_equal(packet_sense(driver) >> 16, file >> 12);
    return packet_sense(driver) ? 0 : file >> 12; /* told once */
}

static unsigned sense_of(struct ahci_driver *driver, const uint8_t packet[12])
{
    assert_int_equal(packet_run(driver, packet, 0x10000) & 0xFF, 0x51);
    return packet_sense(driver);
}

/* IDENTIFY PACKET, and then what OVMF sends, without DMA. */
static void firmware_reads_the_disc(void **state)
{
    struct ahci_driver *driver = start(MEDIUM_BYTES);
    struct ata ata = {.command = 0xA1};

    (void)state;
    assert_int_equal(ata_run(driver, CDROM, &ata, 512), GOOD);
    assert_int_equal(ram_peek(driver, M_DATA, 2) & 0xFF83, 0x8580);
    assert_int_equal(ram_peek(driver, M_DATA + 2 * 49, 2) & 0x300, 0x300);
    ata.packet = PACKET(0);
    assert_int_equal(ata_run(driver, CDROM, &ata, 0), GOOD);
    ata.packet = PACKET(0x12, 0, 0, 0, 96);
    assert_int_equal(ata_run(driver, CDROM, &ata, 96), GOOD);
    assert_int_equal(ram_peek(driver, M_DATA, 2), 0x8005);
    assert_int_equal(slot_moved(driver, CDROM, 0), 36);
    ata.packet = PACKET(0x25);
    memset(ram(driver, M_FIS(CDROM), 256), 0, 256);
    assert_int_equal(ata_run(driver, CDROM, &ata, 8), GOOD);
    assert_int_equal(get_be32(ram(driver, M_DATA, 4)), BLOCKS - 1);
    assert_int_equal(get_be32(ram(driver, M_DATA + 4, 4)), 2048);
    /* Both the PIO setup FIS and the register FIS that ends a packet. */
    assert_int_equal(port_get(driver, CDROM, P_IS), 3);
    assert_int_equal(ram_peek(driver, M_FIS(CDROM) + PIO_SETUP, 1), 0x5F);
    assert_int_equal(ram_peek(driver, M_FIS(CDROM) + D2H, 1), 0x34);
    assert_int_equal(ram_peek(driver, M_FIS(CDROM) + D2H + 12, 1), 3);
    assert_int_equal(ram_peek(driver, M_FIS(CDROM) + D2H + 5, 2), 8);
    ata.packet = PACKET(0x28, 0, 0, 0, 0, 16, 0, 0, 2);
    assert_int_equal(ata_run(driver, CDROM, &ata, 4096), GOOD);
    assert_int_equal(slot_moved(driver, CDROM, 0), 4096);
    for (unsigned n = 0; n < 8; n++)
        assert_int_equal(ram_peek(driver, M_DATA + 512 * n, 8), 64 + n);
    /* By DMA, the register FIS alone; the same where no data are. */
    memset(ram(driver, M_FIS(CDROM), 256), 0, 256);
    ata.feature = 1;
    assert_int_equal(ata_run(driver, CDROM, &ata, 4096), GOOD);
    assert_int_equal(port_get(driver, CDROM, P_IS), 1);
    ata = (struct ata){.packet = PACKET(0)};
    assert_int_equal(ata_run(driver, CDROM, &ata, 0), GOOD);
    assert_int_equal(port_get(driver, CDROM, P_IS), 1);
    assert_int_equal(ram_peek(driver, M_FIS(CDROM) + PIO_SETUP, 1), 0);
    ahci_driver_destroy(driver);
}

static void reads(void **state)
{
    static const uint8_t packets[][12] = {{0x28, 0, 0, 0, 3, 0xFF - 3, 0, 0, 3},
                                          {0xA8, 0, 0, 0, 3, 0xFF - 3, 0, 0, 0, 3},
                                          {0xBE, 0, 0, 0, 3, 0xFF - 3, 0, 0, 3, 0x10},
                                          {0xB9, 0, 0, 0, 15, 45, 0, 15, 48, 0x10}};
    struct ahci_driver *driver = start(MEDIUM_BYTES);

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(packets); n++) {
        memset(ram(driver, M_DATA, 6144), 0, 6144);
        assert_int_equal(packet_run(driver, packets[n], 6144), GOOD);
        assert_int_equal(slot_moved(driver, CDROM, 0), 6144);
        for (unsigned m = 0; m < 12; m++)
            assert_int_equal(ram_peek(driver, M_DATA + 512 * m, 8), 4 * 0x3FC + m);
    }
    /* The last block, and behind it; a length of none. */
    assert_int_equal(packet_run(driver, PACKET(0x28, 0, 0, 0, 3, 0xFF, 0, 0, 1), 2048), GOOD);
    assert_int_equal(sense_of(driver, PACKET(0x28, 0, 0, 0, 3, 0xFF, 0, 0, 2)), 0x52100);
    assert_int_equal(sense_of(driver, PACKET(0xA8, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)), 0x52100);
    assert_int_equal(sense_of(driver, PACKET(0x28, 0, 0, 0, 4, 0, 0, 0, 1)), 0x52100);
    assert_int_equal(sense_of(driver, PACKET(0xB9, 0, 0, 0, 15, 45, 0, 15, 50, 0x10)), 0x52100);
    assert_int_equal(sense_of(driver, PACKET(0xB9, 0, 0, 0, 15, 45, 0, 15, 44, 0x10)), 0x52100);
    assert_int_equal(sense_of(driver, PACKET(0xB9, 0, 0, 0, 1, 74, 0, 2, 1, 0x10)), 0x52100);
    assert_int_equal(packet_run(driver, PACKET(0x28), 2048), GOOD);
    assert_int_equal(slot_moved(driver, CDROM, 0), 0);
    /* The host gives less room than it asks for: it gets what fits. */
    assert_int_equal(packet_run(driver, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 4), 4096), GOOD);
    assert_int_equal(slot_moved(driver, CDROM, 0), 4096);
    ahci_driver_destroy(driver);
}

/* Every operation that is none: 5/20/00 in fixed format; nothing can be written. */
static void unknown_operations(void **state)
{
    static const uint8_t known[] = {0x00, 0x03, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x23, 0x25, 0x28, 0x2B, 0x2F, 0x35, 0x43,
                                    0x46, 0x4A, 0x51, 0x52, 0x55, 0x5A, 0xA0, 0xA8, 0xAD, 0xB9, 0xBB, 0xBD, 0xBE};
    struct ahci_driver *driver = start(MEDIUM_BYTES);
    unsigned others = 0;

    (void)state;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        if (memchr(known, (int)opcode, sizeof known))
            continue;
        assert_int_equal(sense_of(driver, PACKET((uint8_t)opcode)), 0x52000);
        others++;
    }
    assert_int_equal(others, 256 - sizeof known);
    ahci_driver_destroy(driver);
}

static void an_empty_drive(void **state)
{
    struct ahci_driver *driver = start(0);

    (void)state;
    assert_int_equal(refused(driver, PACKET(0)), 2);
    assert_int_equal(sense_of(driver, PACKET(0x25)), 0x23A01);
    assert_int_equal(sense_of(driver, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1)), 0x23A01);
    assert_int_equal(sense_of(driver, PACKET(0xAD, 0, 0, 0, 0, 0, 0, 0, 8)), 0x23A01);
    assert_int_equal(packet_run(driver, PACKET(0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8), GOOD);
    assert_int_equal(ram_peek(driver, M_DATA + 6, 2), 0);
    assert_int_equal(packet_run(driver, PACKET(0x12, 0, 0, 0, 36), 36), GOOD);
    ahci_driver_destroy(driver);
}

static unsigned profile(struct ahci_driver *driver)
{
    assert_int_equal(packet_run(driver, PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), 256), GOOD);
    /* The features are a list that ends where its length says, in the order of their numbers. */
    unsigned length = get_be32(ram(driver, M_DATA, 4)) + 4, at = 8, last = 0;

    assert_int_equal(slot_moved(driver, CDROM, 0), length);
    while (at < length) {
        unsigned code = get_be16(ram(driver, M_DATA + at, 2));

        assert_true(at == 8 ? code == 0 : code > last);
        last = code;
        at += 4U + *ram(driver, M_DATA + at + 3, 1);
    }
    assert_int_equal(at, length);
    return get_be16(ram(driver, M_DATA + 6, 2));
}

/* A CD up to 800 MB, a DVD above. */
static void profiles(void **state)
{
    static const struct {
        uint64_t bytes;
        unsigned profile;
    } media[] = {{MEDIUM_BYTES, 8}, {800000000 / 2048 * 2048, 8}, {800000000 / 2048 * 2048 + 2048, 0x10}};

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(media); n++) {
        struct ahci_driver *driver = start(media[n].bytes);

        assert_int_equal(profile(driver), media[n].profile);
        assert_int_equal(packet_run(driver, PACKET(0x46, 2, 0, 0x1F, 0, 0, 0, 1, 0), 256), GOOD);
        assert_int_equal(slot_moved(driver, CDROM, 0), 16);
        assert_int_equal(ram_peek(driver, M_DATA + 10, 1) & 1, media[n].profile == 0x10);
        if (media[n].profile == 0x10) {
            assert_int_equal(packet_run(driver, PACKET(0xAD, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x04), 4096), GOOD);
            assert_int_equal(slot_moved(driver, CDROM, 0), 2052);
            assert_int_equal(get_be32(ram(driver, M_DATA + 12, 4)), 0x30000 + media[n].bytes / 2048 - 1);
        } else {
            assert_int_equal(sense_of(driver, PACKET(0xAD, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x04)), 0x53002);
        }
        ahci_driver_destroy(driver);
    }
}

/* What Windows asks about the disc; an allocation length cuts the answer. */
static void what_windows_asks(void **state)
{
    struct ahci_driver *driver = start(MEDIUM_BYTES);
    uint8_t *data = ram(driver, M_DATA, 256);

    (void)state;
    assert_int_equal(packet_run(driver, PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 20), 256), GOOD);
    assert_int_equal(get_be16(data), 18);
    assert_int_equal(data[5], 0x14);
    assert_int_equal(data[14], 0xAA);
    assert_int_equal(get_be32(data + 16), BLOCKS);
    assert_int_equal(packet_run(driver, PACKET(0x43, 2, 0, 0, 0, 0, 0xAA, 0, 20), 256), GOOD);
    assert_int_equal(get_be16(data), 10);
    assert_int_equal(get_be32(data + 8), (BLOCKS + 150) / 75 << 8 | (BLOCKS + 150) % 75); /* below a minute */
    assert_int_equal(packet_run(driver, PACKET(0x43, 2, 2, 0, 0, 0, 0, 1, 0), 256), GOOD);
    assert_int_equal(get_be16(data), 46);
    assert_int_equal(sense_of(driver, PACKET(0x43, 0, 0, 0, 0, 0, 2, 0, 20)), 0x52400);
    assert_int_equal(packet_run(driver, PACKET(0x51, 0, 0, 0, 0, 0, 0, 0, 34), 256), GOOD);
    assert_int_equal(data[2], 0x0E);
    assert_int_equal(packet_run(driver, PACKET(0x52, 1, 0, 0, 0, 1, 0, 0, 36), 256), GOOD);
    assert_int_equal(get_be32(data + 24), BLOCKS);
    assert_int_equal(sense_of(driver, PACKET(0x52, 1, 0, 0, 0, 2, 0, 0, 36)), 0x52400);
    assert_int_equal(packet_run(driver, PACKET(0x5A, 0, 0x2A, 0, 0, 0, 0, 1, 0), 256), GOOD);
    assert_int_equal(get_be16(data), 28);
    assert_int_equal(data[8], 0x2A);
    assert_int_equal(slot_moved(driver, CDROM, 0), 30);
    assert_int_equal(packet_run(driver, PACKET(0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 10), 256), GOOD);
    assert_int_equal(slot_moved(driver, CDROM, 0), 10);
    assert_int_equal(packet_run(driver, PACKET(0x5A, 0, 0x3F, 0, 0, 0, 0, 1, 0), 256), GOOD);
    assert_int_equal(get_be16(data) + 2, slot_moved(driver, CDROM, 0));
    assert_int_equal(sense_of(driver, PACKET(0x5A, 0, 0x08, 0, 0, 0, 0, 1, 0)), 0x52400);
    assert_int_equal(packet_run(driver, PACKET(0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8), 256), GOOD);
    assert_int_equal(data[1], 0);
    assert_int_equal(packet_run(driver, PACKET(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8), 256), GOOD);
    assert_int_equal(get_be64(data), 0x0006041000020000);
    assert_int_equal(packet_run(driver, PACKET(0x4A, 1, 0, 0, 0x02, 0, 0, 0, 8), 256), GOOD);
    assert_int_equal(get_be32(data), 0x00028010); /* no such events */
    assert_int_equal(sense_of(driver, PACKET(0x4A, 0, 0, 0, 0x10, 0, 0, 0, 8)), 0x52400);
    assert_int_equal(packet_run(driver, PACKET(0xBB), 0), GOOD);
    ahci_driver_destroy(driver);
}

/* A register FIS has ended a packet that moved so many bytes, and nothing announced data for the host. */
static void ended_with_data_taken(struct ahci_driver *driver, bool dma, unsigned bytes)
{
    uint64_t fises = M_FIS(CDROM);

    assert_int_equal(slot_moved(driver, CDROM, 0), bytes);
    assert_int_equal(port_get(driver, CDROM, P_CI), 0);
    assert_int_equal(port_get(driver, CDROM, P_IS) & 1, 1);
    assert_int_equal(ram_peek(driver, fises + D2H, 4), 0x00504034);
    assert_int_equal(ram_peek(driver, fises + D2H + 5, 2), bytes);
    assert_int_equal(ram_peek(driver, fises + D2H + 12, 1), 3);
    assert_int_equal(ram_peek(driver, fises + PIO_SETUP + 1, 1) & 0x20, 0);
    if (dma) {
        assert_int_equal(port_get(driver, CDROM, P_IS), 1);
        assert_int_equal(ram_peek(driver, fises + PIO_SETUP, 1), 0);
    }
}

/* Data for the drive, by PIO and by DMA, whichever way the header says. */
static void modes_are_selected(void **state)
{
    static const uint8_t six[12] = {[4] = 0x01, 6}, ten[16] = {[8] = 0x01, 6};
    const uint8_t *const packets[] = {PACKET(0x15, 0x10, 0, 0, sizeof six), PACKET(0x55, 0x10, [8] = sizeof ten)};
    struct ahci_driver *driver = start(MEDIUM_BYTES);
    uint8_t *data = ram(driver, M_DATA, 16);

    (void)state;
    for (unsigned n = 0; n < 8; n++) {
        bool is_ten = n & 1, dma = n & 2;
        unsigned bytes = is_ten ? sizeof ten : sizeof six;
        const struct ata ata = {.packet = packets[n & 1], .feature = dma, .write = n & 4};

        memset(ram(driver, M_FIS(CDROM), 256), 0, 256);
        memcpy(data, is_ten ? ten : six, bytes);
        assert_int_equal(ata_run(driver, CDROM, &ata, bytes), GOOD);
        ended_with_data_taken(driver, dma, bytes);
        /* What was sent is looked at. */
        data[is_ten ? 8 : 4] = 0x3E;
        assert_int_equal(ata_run(driver, CDROM, &ata, bytes), CHECK(5));
        assert_int_equal(packet_sense(driver), 0x52600);
    }
    ahci_driver_destroy(driver);
}

static unsigned event(struct ahci_driver *driver)
{
    assert_int_equal(packet_run(driver, PACKET(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8), 8), GOOD);
    return get_be16(ram(driver, M_DATA + 4, 2));
}

/* The guest hears of it twice: by an event, and by a unit attention. */
static void another_medium(void **state)
{
    struct ahci_driver *driver = start(MEDIUM_BYTES);
    struct block *other;
    char path[64];

    (void)state;
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, NULL), 0);
    block_close(driver->medium); /* not used any more */
    driver->medium = NULL;
    assert_int_equal(event(driver), 0x0300);
    assert_int_equal(event(driver), 0x0000);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x23A01);
    other = ahci_image(path, 64 * KiB, true);
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, other), 0);
    assert_int_equal(event(driver), 0x0202);
    assert_int_equal(sense_of(driver, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1)), 0x62800);
    assert_int_equal(packet_run(driver, PACKET(0x25), 8), GOOD);
    assert_int_equal(get_be32(ram(driver, M_DATA, 4)), 31);
    assert_int_equal(ahci_change_medium(driver->ahci, DISK, NULL), -ENODEV);
    assert_int_equal(ahci_change_medium(driver->ahci, 2, NULL), -ENODEV);
    assert_int_equal(ahci_change_medium(driver->ahci, 6, NULL), -ENODEV);
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, NULL), 0);
    block_close(other);
    unlink(path);
    ahci_driver_destroy(driver);
}

static void a_locked_medium_stays(void **state)
{
    struct ahci_driver *driver = start(MEDIUM_BYTES);

    (void)state;
    assert_int_equal(packet_run(driver, PACKET(0x1E, 0, 0, 0, 1), 0), GOOD);
    assert_int_equal(sense_of(driver, PACKET(0x1B, 0, 0, 0, 2)), 0x55302);
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, NULL), -EBUSY);
    assert_int_equal(event(driver), 0x0102); /* the guest is asked */
    assert_int_equal(packet_run(driver, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 2048), GOOD);
    assert_int_equal(packet_run(driver, PACKET(0x1E), 0), GOOD);
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, NULL), 0);
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, driver->medium), 0);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x62800);
    assert_int_equal(packet_run(driver, PACKET(0x1E, 0, 0, 0, 1), 0), GOOD);
    assert_int_equal(ahci_force_medium(driver->ahci, CDROM, NULL), 0);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x23A01);
    /* A reset of the drive unlocks it. */
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, driver->medium), 0);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x62800);
    assert_int_equal(packet_run(driver, PACKET(0x1E, 0, 0, 0, 1), 0), GOOD);
    port_driver_reset(driver, CDROM);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x62900);
    assert_int_equal(ahci_change_medium(driver->ahci, CDROM, NULL), 0);
    ahci_driver_destroy(driver);
}

/* What the guest ejects stays out over a reset, so that a machine does not boot its installer again. */
static void the_tray(void **state)
{
    struct ahci_driver *driver = start(MEDIUM_BYTES);

    (void)state;
    assert_int_equal(packet_run(driver, PACKET(0x1B, 0, 0, 0, 2), 0), GOOD);
    assert_int_equal(event(driver), 0x0301);
    assert_int_equal(sense_of(driver, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1)), 0x23A02);
    assert_int_equal(packet_run(driver, PACKET(0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8), GOOD);
    assert_int_equal(*ram(driver, M_DATA + 1, 1), 0x10);
    board_reset(&driver->fake->board);
    ahci_driver_start(driver);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x62900);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x23A02);
    assert_int_equal(packet_run(driver, PACKET(0x1B, 0, 0, 0, 3), 0), GOOD);
    assert_int_equal(event(driver), 0x0202);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x62800);
    assert_int_equal(packet_run(driver, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 2048), GOOD);
    ahci_driver_destroy(driver);
}

/* Commands for disks: the drive says what it is, and stays usable. */
static void disk_commands(void **state)
{
    struct ahci_driver *driver = start(MEDIUM_BYTES);

    (void)state;
    assert_int_equal(ata_run(driver, CDROM, &(struct ata){.command = 0xEC}, 512), 0x451);
    assert_int_equal(ram_peek(driver, M_FIS(CDROM) + D2H + 4, 3), 0xEB1401);
    assert_int_equal(ata_run(driver, CDROM, &(struct ata){.command = 0x25, .count = 1}, 512), 0x451);
    assert_int_equal(ata_run(driver, CDROM, &(struct ata){.command = 0xA0}, 512), 0x451); /* without its packet */
    assert_int_equal(ata_run(driver, CDROM, &(struct ata){.command = 0x08}, 0), GOOD);
    assert_int_equal(sense_of(driver, PACKET(0)), 0x62900);
    assert_int_equal(ata_run(driver, CDROM, &(struct ata){.command = 0xEF, .feature = 3}, 0), GOOD);
    assert_int_equal(packet_run(driver, PACKET(0), 0), GOOD);
    ahci_driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firmware_reads_the_disc),
        cmocka_unit_test(reads),
        cmocka_unit_test(unknown_operations),
        cmocka_unit_test(an_empty_drive),
        cmocka_unit_test(profiles),
        cmocka_unit_test(what_windows_asks),
        cmocka_unit_test(modes_are_selected),
        cmocka_unit_test(another_medium),
        cmocka_unit_test(a_locked_medium_stays),
        cmocka_unit_test(the_tray),
        cmocka_unit_test(disk_commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
