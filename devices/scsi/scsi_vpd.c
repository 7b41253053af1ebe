/* Vital product data: what a unit is and what it can do, in pages (SPC 7.8; SBC 6.6). */
#include <string.h>

#include "casement/bytes.h"
#include "casement/identifier.h"
#include "scsi_private.h"

#define PAGE_HEADER 4U
#define PAGE_ROOM 60U /* the longest page */
#define SERIAL_MAX 20U
#define CODE_SET_BINARY 1U
#define CODE_SET_ASCII 2U
#define DESIGNATOR_T10 1U
#define DESIGNATOR_NAA 3U
#define GRAIN 8U /* blocks that are unmapped well: 4 KiB */

void scsi_put_padded(uint8_t *to, const char *text, size_t length)
{
    size_t used = strnlen(text, length);

    memset(to, ' ', length);
    memcpy(to, text, used);
}

static size_t serial_page(const struct scsi_unit *unit, uint8_t *data)
{
    size_t length = strnlen(unit->options.serial, SERIAL_MAX);

    memcpy(data, unit->options.serial, length);
    return length;
}

/* The vendor's name with the serial number, and a world wide name where there is a number to make it from. */
static size_t identification_page(const struct scsi_unit *unit, uint8_t *data)
{
    size_t serial = strnlen(unit->options.serial, SERIAL_MAX), length = 12 + serial;

    data[0] = CODE_SET_ASCII;
    data[1] = DESIGNATOR_T10;
    data[3] = (uint8_t)(8 + serial);
    scsi_put_padded(data + 4, unit->options.vendor, 8);
    memcpy(data + 12, unit->options.serial, serial);
    if (!serial)
        return length;
    data += length;
    data[0] = CODE_SET_BINARY;
    data[1] = DESIGNATOR_NAA;
    data[3] = 8;
    put_be64(data + 4, identifier_wwn(unit->options.serial));
    return length + 12;
}

static size_t limits_page(const struct scsi_unit *unit, uint8_t *data)
{
    data[0] = 1; /* WSNZ: WRITE SAME of no blocks is not "up to the end" */
    put_be16(data + 2, GRAIN);
    put_be64(data + 32, UNMAP_BLOCKS); /* WRITE SAME */
    if (scsi_can_unmap(unit)) {
        put_be32(data + 16, UNMAP_BLOCKS);
        put_be32(data + 20, UNMAP_DESCRIPTORS);
        put_be32(data + 24, GRAIN);
        put_be32(data + 28, UINT32_C(1) << 31); /* aligned to block 0 */
    }
    return 60;
}

static size_t characteristics_page(const struct scsi_unit *unit, uint8_t *data)
{
    (void)unit;
    put_be16(data, 1); /* does not rotate */
    return 60;
}

/* UNMAP, WRITE SAME (16) and (10) with UNMAP; what is not mapped reads as zeroes; thin. */
static size_t provisioning_page(const struct scsi_unit *unit, uint8_t *data)
{
    if (scsi_can_unmap(unit)) {
        data[1] = 1U << 7 | 1U << 6 | 1U << 5 | 1U << 2;
        data[2] = 2;
    }
    return 4;
}

static size_t pages_page(const struct scsi_unit *unit, uint8_t *data);

static const struct vpd_page {
    uint8_t code;
    bool disks_only;
    size_t (*fill)(const struct scsi_unit *unit, uint8_t *data);
} pages[] = {
    {0x00, false, pages_page}, {0x80, false, serial_page},         {0x83, false, identification_page},
    {0xB0, true, limits_page}, {0xB1, true, characteristics_page}, {0xB2, true, provisioning_page},
};

static bool has(const struct scsi_unit *unit, const struct vpd_page *page)
{
    return !page->disks_only || unit->options.kind == SCSI_DISK;
}

static size_t pages_page(const struct scsi_unit *unit, uint8_t *data)
{
    size_t length = 0;

    for (unsigned n = 0; n < ARRAY_SIZE(pages); n++)
        if (has(unit, &pages[n]))
            data[length++] = pages[n].code;
    return length;
}

void scsi_vital_product_data(struct scsi_unit *unit, struct scsi_request *request)
{
    uint8_t reply[PAGE_HEADER + PAGE_ROOM] = {unit->options.kind == SCSI_CDROM ? 5 : 0, request->cdb[2]};

    for (unsigned n = 0; n < ARRAY_SIZE(pages); n++) {
        size_t length;

        if (pages[n].code != request->cdb[2] || !has(unit, &pages[n]))
            continue;
        length = pages[n].fill(unit, reply + PAGE_HEADER);
        put_be16(reply + 2, (uint16_t)length);
        scsi_reply(request, reply, PAGE_HEADER + length, get_be16(request->cdb + 3));
        return;
    }
    scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
}
