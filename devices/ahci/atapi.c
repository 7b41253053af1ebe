/* A packet device: a SCSI unit behind the PACKET command (ACS 7.18; SATA 11.8 ff.). */
#include <errno.h>
#include <string.h>

#include "ahci_private.h"
#include "casement/bytes.h"

#define FEATURE_DMA 1U
#define REASON_STATUS 3U /* I/O and C/D: the command has ended */
#define PACKET_BYTES 12U
#define BYTE_COUNT_LIMIT 0xFFFEU

static void packet_done(struct scsi_request *request)
{
    struct command *command = request->opaque;

    if (request->moved_where == SCSI_OUT)
        command->ending = END_D2H;
    command->moved = request->moved;
    command->count = REASON_STATUS;
    command->lba = (uint64_t)MIN(request->moved, BYTE_COUNT_LIMIT) << 8;
    if (request->failed == -EFAULT)
        command_fatal(command, IS_BUS_FATAL);
    else if (request->status == SCSI_CHECK_CONDITION)
        command_fail(command, (uint8_t)(request->sense[2] << 4));
    else
        command_finish(command);
}

static void packet(struct command *command)
{
    struct port *port = command->port;
    struct scsi_request *request = &port->scsi;

    if (!command->has_packet) {
        command_fail(command, ERROR_ABORTED);
        return;
    }
    if (!(command->fis[3] & FEATURE_DMA))
        command->ending = END_PIO_PACKET;
    memcpy(request->cdb, command->packet, PACKET_BYTES);
    memset(request->cdb + PACKET_BYTES, 0, SCSI_CDB_BYTES - PACKET_BYTES);
    request->data = &command->regions.scatter;
    request->direction = SCSI_EITHER; /* the packet says which; the header's bit is for prefetching */
    request->done = packet_done;
    request->opaque = command;
    scsi_submit(port->cdrom, request);
}

/* The signature is where a host that asks for a disk finds what this is (ACS 7.12.2). */
static void no_disk(struct command *command)
{
    command->lba = 0xEB1401;
    command->count = 1;
    command_fail(command, ERROR_ABORTED);
}

void atapi_command(struct command *command)
{
    switch (command->fis[2]) {
    case 0x08: /* DEVICE RESET */
    case 0x90: /* EXECUTE DEVICE DIAGNOSTIC */
        if (command->fis[2] == 0x08)
            scsi_reset(command->port->cdrom);
        command->lba = 0xEB1401;
        command->count = 1;
        command_finish(command);
        break;
    case 0xA0:
        packet(command);
        break;
    case 0xA1:
        ata_identify_packet_device(command);
        break;
    case 0xEC:
    case 0x20: /* READ SECTORS, as old hosts probe */
        no_disk(command);
        break;
    default:
        if (!ata_common_command(command))
            command_fail(command, ERROR_ABORTED);
    }
}
