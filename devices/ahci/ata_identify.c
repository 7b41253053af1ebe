/* IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ACS 7.12, 7.13): tables of 16-bit words. */
#include <string.h>

#include "ahci_private.h"
#include "casement/bytes.h"
#include "casement/identifier.h"

#define LBA28_LIMIT 0x0FFFFFFFULL

struct word {
    uint8_t number;
    uint16_t value;
};

static void put_words(uint8_t data[SECTOR], const struct word *words, size_t count)
{
    for (size_t n = 0; n < count; n++)
        put_le16(data + 2U * words[n].number, words[n].value);
}

/* ATA strings: padded with spaces, the two characters of each word exchanged. */
static void put_text(uint8_t data[SECTOR], unsigned word, unsigned words, const char *text)
{
    size_t length = strnlen(text, 2U * words);

    for (size_t n = 0; n < 2U * words; n++)
        data[2U * word + (n ^ 1)] = n < length ? (uint8_t)text[n] : ' ';
}

void ata_checksum(uint8_t data[SECTOR])
{
    uint8_t sum = 0;

    for (unsigned n = 0; n < SECTOR - 1; n++)
        sum = (uint8_t)(sum + data[n]);
    data[SECTOR - 1] = (uint8_t)-sum;
}

static void end(struct command *command, uint8_t data[SECTOR])
{
    data[SECTOR - 2] = 0xA5;
    ata_checksum(data);
    command_reply(command, data, SECTOR, true);
}

static const struct word common_words[] = {
    {50, 0x4000},  {53, 0x0006},                       /* words 64 to 70 and 88 are valid */
    {63, 0x0007},                                      /* multiword DMA modes 0 to 2 */
    {64, 0x0003},                                      /* PIO modes 3 and 4 */
    {65, 120},     {66, 120},    {67, 120}, {68, 120}, /* ns */
    {80, 0x03F0},                                      /* up to ACS-2 */
    {88, 0x203F},                                      /* Ultra DMA modes 0 to 5, of which 5 is selected */
    {222, 0x101F},                                     /* Serial ATA up to revision 2.6 */
};

static const struct word disk_words[] = {
    {0, 0x0040},                                   /* not removable */
    {3, 16},         {6, 63},       {47, 0x8010},  /* at most 16 sectors for each DRQ */
    {48, 0x4000},    {49, 0x2F00},                 /* standard standby timer, IORDY, LBA, DMA */
    {75, SLOTS - 1}, {76, 0x0102},                 /* native queueing, 1.5 Gb/s */
    {77, 0x0002},    {82, 0x0069},                 /* look-ahead, write cache, power management, SMART */
    {83, 0x7400},                                  /* FLUSH CACHE (EXT), 48-bit addresses */
    {84, 0x4160},                                  /* world wide name, FUA, general purpose logging */
    {86, 0x3400},    {87, 0x4160},  {106, 0x6003}, /* physical sectors of 4 KiB, the first of which begins at LBA 0 */
    {119, 0x4000},   {120, 0x4000}, {209, 0x4000}, {217, 1}, /* does not rotate */
};

void ata_identify_device(struct command *command)
{
    const struct ata_disk *disk = &command->port->disk;
    const struct ata_state *drive = &command->port->drive;
    uint64_t sectors = block_size(disk->block) / SECTOR;
    uint8_t data[SECTOR] = {0};

    put_words(data, common_words, ARRAY_SIZE(common_words));
    put_words(data, disk_words, ARRAY_SIZE(disk_words));
    put_le16(data + 2, (uint16_t)MIN(sectors / (16 * 63), 16383U));
    put_text(data, 10, 10, disk->serial);
    put_text(data, 23, 4, "1.0");
    put_text(data, 27, 20, "Casement disk");
    put_le16(data + 118, drive->multiple ? 0x0100U | drive->multiple : 0);
    put_le32(data + 120, (uint32_t)MIN(sectors, LBA28_LIMIT));
    put_le16(data + 170, (uint16_t)(8U | (drive->smart ? 1U : 0) | (drive->write_cache ? 1U << 5 : 0) |
                                    (drive->look_ahead ? 1U << 6 : 0)));
    put_le64(data + 200, sectors);
    for (unsigned n = 0; n < 4; n++) /* words 108 to 111, the first the most significant */
        put_le16(data + 2 * (108 + n), (uint16_t)(identifier_wwn(disk->serial) >> 16 * (3 - n)));
    if (block_can_discard(disk->block)) {
        put_le16(data + 210, TRIM_BLOCKS);
        put_le16(data + 338, 1);
    }
    end(command, data);
}

static const struct word packet_words[] = {
    {0, 0x85C0},                /* packets of 12 bytes, taken at once; CD-ROM, removable */
    {49, 0x0F00},               /* IORDY, LBA, DMA */
    {76, 0x0002},               /* 1.5 Gb/s, no queueing */
    {77, 0x0002}, {82, 0x0218}, /* DEVICE RESET, packets, power management */
    {83, 0x4000}, {84, 0x4000}, {85, 0x0218}, {87, 0x4000},
};

void ata_identify_packet_device(struct command *command)
{
    uint8_t data[SECTOR] = {0};

    put_words(data, common_words, ARRAY_SIZE(common_words));
    put_words(data, packet_words, ARRAY_SIZE(packet_words));
    put_text(data, 10, 10, "");
    put_text(data, 23, 4, "1.0");
    put_text(data, 27, 20, "Casement DVD-ROM");
    end(command, data);
}
