/* A disk's commands: media access, flush, discard (ACS 7). */
#include <errno.h>

#include "ahci_private.h"
#include "casement/bytes.h"

/* How a command that moves sectors is shaped. */
#define WRITES 1U
#define EXTENDED 2U /* 48-bit addresses */
#define PIO 4U
#define QUEUED 8U  /* the count is where features otherwise are (SATA 13.6) */
#define FORCED 16U /* on the disk before the end is told */
#define MULTIPLE 32U

struct access {
    uint8_t command, shape;
};

static const struct access accesses[] = {
    {0x20, PIO},                                         /* READ SECTORS */
    {0x24, PIO | EXTENDED},                              /* READ SECTORS EXT */
    {0x25, EXTENDED},                                    /* READ DMA EXT */
    {0x29, PIO | EXTENDED | MULTIPLE},                   /* READ MULTIPLE EXT */
    {0x30, PIO | WRITES},                                /* WRITE SECTORS */
    {0x34, PIO | WRITES | EXTENDED},                     /* WRITE SECTORS EXT */
    {0x35, WRITES | EXTENDED},                           /* WRITE DMA EXT */
    {0x39, PIO | WRITES | EXTENDED | MULTIPLE},          /* WRITE MULTIPLE EXT */
    {0x3D, WRITES | EXTENDED | FORCED},                  /* WRITE DMA FUA EXT */
    {0x60, EXTENDED | QUEUED},                           /* READ FPDMA QUEUED */
    {0x61, WRITES | EXTENDED | QUEUED},                  /* WRITE FPDMA QUEUED */
    {0xC4, PIO | MULTIPLE},                              /* READ MULTIPLE */
    {0xC5, PIO | WRITES | MULTIPLE},                     /* WRITE MULTIPLE */
    {0xC8, 0},                                           /* READ DMA */
    {0xCA, WRITES},                                      /* WRITE DMA */
    {0xCE, PIO | WRITES | EXTENDED | FORCED | MULTIPLE}, /* WRITE MULTIPLE FUA EXT */
};

#define FIS_FORCED 0x80U /* of a queued command's device byte */
#define FIS_LBA 0x40U

static const struct access *find(uint8_t number)
{
    for (unsigned n = 0; n < ARRAY_SIZE(accesses); n++)
        if (accesses[n].command == number)
            return &accesses[n];
    return NULL;
}

bool ata_is_queued(const struct command *command)
{
    return command->fis[2] == 0x60 || command->fis[2] == 0x61;
}

struct range {
    uint64_t first, count; /* sectors */
};

/* Where the addresses are (ACS 7.1); a count of 0 is the largest. */
static struct range decode(const uint8_t *fis, unsigned shape)
{
    uint64_t low = get_le32(fis + 4) & 0xFFFFFF, high = get_le32(fis + 8) & 0xFFFFFF;
    uint32_t count = shape & QUEUED ? (uint32_t)(fis[3] | fis[11] << 8) : get_le16(fis + 12);

    if (!(shape & EXTENDED))
        return (struct range){low | (uint64_t)(fis[7] & 0xF) << 24, fis[12] ? fis[12] : 256};
    return (struct range){low | high << 24, count ? count : 65536};
}

static bool in_range(const struct command *command, const struct range *range)
{
    uint64_t sectors = block_size(command->port->disk.block) / SECTOR;

    return range->first < sectors && range->count <= sectors - range->first;
}

static void request_done(struct block_request *request, int result)
{
    struct command *command = request->opaque;

    if (result < 0)
        command_fail(command, ERROR_ABORTED);
    else
        command_finish(command);
}

static void flush(struct command *command)
{
    struct ata_disk *disk = &command->port->disk;

    if (block_read_only(disk->block)) {
        command_finish(command);
        return;
    }
    command->request = (struct block_request){.op = BLOCK_FLUSH, .done = request_done, .opaque = command};
    block_submit(disk->queue, &command->request);
}

static void transfer_done(struct block_transfer *transfer, int result)
{
    struct command *command = container_of(transfer, struct command, transfer);

    command->moved = transfer->moved;
    if (result < 0)
        command_transfer_failed(command, result, transfer->request.op == BLOCK_WRITE);
    else if (command->flush_after)
        flush(command);
    else
        command_finish(command);
}

static void access_sectors(struct command *command, unsigned shape)
{
    struct port *port = command->port;
    struct ata_disk *disk = &port->disk;
    const uint8_t *fis = command->fis;
    struct range range = decode(fis, shape);
    bool writes = shape & WRITES;

    /* A queued command's tag is its slot (AHCI 5.6.4.1). A disk knows no write protection: it just does not write. */
    if ((!(shape & EXTENDED) && !(fis[7] & FIS_LBA)) || ((shape & QUEUED) && fis[12] >> 3 != command->slot) ||
        ((shape & MULTIPLE) && !port->drive.multiple) || (writes && block_read_only(disk->block))) {
        command_fail(command, ERROR_ABORTED);
        return;
    }
    if (!in_range(command, &range)) {
        command_fail(command, ERROR_ID_NOT_FOUND);
        return;
    }
    port->drive.standby = false;
    command->flush_after =
        writes && (!port->drive.write_cache || (shape & FORCED) || ((shape & QUEUED) && (fis[7] & FIS_FORCED)));
    if ((shape & PIO) && !writes)
        command->ending = END_PIO_IN;
    if (shape & QUEUED)
        command_setup_dma(command, !writes, (uint32_t)(range.count * SECTOR));
    block_transfer_start(&command->transfer, disk->queue, writes ? BLOCK_WRITE : BLOCK_READ, range.first * SECTOR,
                         range.count * SECTOR, &command->regions.scatter, transfer_done);
}

/* READ VERIFY SECTORS: the image has no sectors that can be read only sometimes. */
static void verify(struct command *command, unsigned shape)
{
    struct range range = decode(command->fis, shape);

    if (!(shape & EXTENDED) && !(command->fis[7] & FIS_LBA))
        command_fail(command, ERROR_ABORTED);
    else if (in_range(command, &range))
        command_finish(command);
    else
        command_fail(command, ERROR_ID_NOT_FOUND);
}

/* One range after the other; those without sectors are skipped. */
static void trim_next(struct block_request *request, int result)
{
    struct command *command = request->opaque;
    struct ata_disk *disk = &command->port->disk;

    while (result == 0 && command->next_range < command->ranges) {
        uint64_t entry = get_le64(disk->trim + 8U * command->next_range++);
        struct range range = {.first = entry & 0xFFFFFFFFFFFF, .count = entry >> 48};

        if (range.count == 0)
            continue;
        request->offset = range.first * SECTOR;
        request->length = range.count * SECTOR;
        block_submit(disk->queue, request);
        return;
    }
    request_done(request, result);
}

static bool ranges_fit(const struct command *command)
{
    for (unsigned n = 0; n < command->ranges; n++) {
        uint64_t entry = get_le64(command->port->disk.trim + 8U * n);
        struct range range = {.first = entry & 0xFFFFFFFFFFFF, .count = entry >> 48};

        if (range.count && !in_range(command, &range))
            return false;
    }
    return true;
}

static void data_set_management(struct command *command)
{
    struct ata_disk *disk = &command->port->disk;
    unsigned blocks = get_le16(command->fis + 12);

    if (!(command->fis[3] & 1) || blocks == 0 || blocks > TRIM_BLOCKS || block_read_only(disk->block) ||
        !block_can_discard(disk->block)) {
        command_fail(command, ERROR_ABORTED);
        return;
    }
    if (!command_data(command, disk->trim, (size_t)blocks * SECTOR))
        return;
    command->ranges = blocks * SECTOR / 8;
    command->next_range = 0;
    if (!ranges_fit(command)) {
        command_fail(command, ERROR_ID_NOT_FOUND);
        return;
    }
    command->request = (struct block_request){.op = BLOCK_DISCARD, .done = trim_next, .opaque = command};
    trim_next(&command->request, 0);
}

static void set_multiple(struct command *command)
{
    uint8_t count = command->fis[12];

    if (count > 16 || (count & (count - 1))) {
        command_fail(command, ERROR_ABORTED);
        return;
    }
    command->port->drive.multiple = count;
    command_finish(command);
}

static void diagnose(struct command *command)
{
    command->lba = 1;
    command->count = 1;
    command_finish(command);
}

void ata_command(struct command *command)
{
    const struct access *known = find(command->fis[2]);

    if (known) {
        access_sectors(command, known->shape);
        return;
    }
    if (ata_is_standby(command->fis[2])) {
        command->port->drive.standby = true; /* what it was told to write is on it before it sleeps */
        flush(command);
        return;
    }
    switch (command->fis[2]) {
    case 0x06:
        data_set_management(command);
        break;
    case 0x2F:
    case 0x47:
        ata_read_log(command, command->fis[2] == 0x2F);
        break;
    case 0x40:
    case 0x42:
        verify(command, command->fis[2] == 0x42 ? EXTENDED : 0);
        break;
    case 0x90:
        diagnose(command);
        break;
    case 0xB0:
        ata_smart(command);
        break;
    case 0xC6:
        set_multiple(command);
        break;
    case 0xE7:
    case 0xEA:
        flush(command);
        break;
    case 0xEC:
        ata_identify_device(command);
        break;
    default:
        if (!ata_common_command(command))
            command_fail(command, ERROR_ABORTED);
    }
}
