/* Commands that move blocks, and those about how many there are (SBC 5; MMC 6.15 ff.). */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "scsi_private.h"

struct range {
    uint64_t first, count; /* blocks */
    bool forced;           /* FUA: on the disk before the status */
};

/* Where commands of 6, 10, 12 and 16 bytes have address and length (SPC 4.3.4). */
static struct range decode(const uint8_t *cdb)
{
    switch (cdb[0] >> 5) {
    case 0:
        return (struct range){.first = get_be32(cdb) & 0x1FFFFF, .count = cdb[4] ? cdb[4] : 256};
    case 4:
        return (struct range){get_be64(cdb + 2), get_be32(cdb + 10), cdb[1] & 8};
    case 5:
        return (struct range){get_be32(cdb + 2), get_be32(cdb + 6), cdb[1] & 8};
    default:
        return (struct range){get_be32(cdb + 2), get_be16(cdb + 7), cdb[1] & 8};
    }
}

static bool in_range(struct scsi_unit *unit, struct scsi_request *request, const struct range *range)
{
    uint64_t blocks = scsi_blocks(unit);

    if (range->first <= blocks && range->count <= blocks - range->first)
        return true;
    scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
    return false;
}

/* An error of the image is an error of the medium. */
static void flush_done(struct block_request *flush, int result)
{
    struct scsi_request *request = container_of(flush, struct scsi_request, flush);

    if (result < 0)
        scsi_fail(request, SENSE_MEDIUM_ERROR, ASC_WRITE_FAULT);
    else
        scsi_good(request);
}

static void flush(struct scsi_unit *unit, struct scsi_request *request)
{
    request->flush = (struct block_request){.op = BLOCK_FLUSH, .done = flush_done};
    block_submit(unit->queue, &request->flush);
}

static void transfer_done(struct block_transfer *transfer, int result)
{
    struct scsi_request *request = container_of(transfer, struct scsi_request, transfer);
    bool read = request->moved_where == SCSI_IN;

    request->moved = transfer->moved;
    if (result == -EFAULT)
        request->failed = result;
    /* Buffers that end early: the host says how much it wants to have. */
    if (result < 0 && result != -EFAULT && result != -EMSGSIZE)
        scsi_fail(request, SENSE_MEDIUM_ERROR, read ? ASC_UNRECOVERED_READ : ASC_WRITE_FAULT);
    else if (request->flush_after)
        flush(request->unit, request);
    else
        scsi_good(request);
}

static void start(struct scsi_unit *unit, struct scsi_request *request, const struct range *range, enum block_op op)
{
    uint32_t size = scsi_block_bytes(unit);

    if (!in_range(unit, request, range))
        return;
    if (range->count == 0) {
        scsi_good(request);
        return;
    }
    if (!scsi_moves(request, op == BLOCK_READ ? SCSI_IN : SCSI_OUT))
        return;
    request->flush_after = op == BLOCK_WRITE && range->forced;
    block_transfer_start(&request->transfer, unit->queue, op, range->first * size, range->count * size, request->data,
                         transfer_done);
}

void scsi_read(struct scsi_unit *unit, struct scsi_request *request)
{
    struct range range = decode(request->cdb);

    start(unit, request, &range, BLOCK_READ);
}

void scsi_write(struct scsi_unit *unit, struct scsi_request *request)
{
    struct range range = decode(request->cdb);

    if (scsi_read_only(unit))
        scsi_fail(request, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    else
        start(unit, request, &range, BLOCK_WRITE);
}

/* Without a comparison there is nothing to do but to look at the range. */
void scsi_verify(struct scsi_unit *unit, struct scsi_request *request)
{
    struct range range = decode(request->cdb);

    if (request->cdb[1] & 6)
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    else if (in_range(unit, request, &range))
        scsi_good(request);
}

void scsi_synchronize(struct scsi_unit *unit, struct scsi_request *request)
{
    struct range range = decode(request->cdb);

    if (!in_range(unit, request, &range))
        return;
    if (scsi_read_only(unit))
        scsi_good(request);
    else
        flush(unit, request);
}

void scsi_seek(struct scsi_unit *unit, struct scsi_request *request)
{
    struct range range = {.first = get_be32(request->cdb + 2), .count = 1};

    if (in_range(unit, request, &range))
        scsi_good(request);
}

/* MMC 6.16: only what a track of data in mode 1 has, and only the data of it. */
void scsi_read_cd(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    struct range range = {.first = get_be32(cdb + 2), .count = get_be32(cdb + 5) & 0xFFFFFF};
    unsigned type = cdb[1] >> 2 & 7;

    if (type != 0 && type != 2)
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_WRONG_TRACK_MODE);
    else if ((cdb[9] & 0xF8) == 0)
        scsi_good(request);
    else if ((cdb[9] & 0xFE) != 0x10 || (cdb[10] & 7))
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    else
        start(unit, request, &range, BLOCK_READ);
}

void scsi_read_capacity(struct scsi_unit *unit, struct scsi_request *request)
{
    uint64_t blocks = scsi_blocks(unit);
    uint8_t reply[8];

    if (blocks == 0) {
        scsi_fail(request, SENSE_NOT_READY, ASC_LUN_NOT_READY);
        return;
    }
    put_be32(reply, (uint32_t)MIN(blocks - 1, UINT32_MAX));
    put_be32(reply + 4, scsi_block_bytes(unit));
    scsi_reply(request, reply, sizeof reply, sizeof reply);
}

/* READ CAPACITY (16) is the one service action there is (SBC 5.16). */
void scsi_service_action_in(struct scsi_unit *unit, struct scsi_request *request)
{
    uint8_t reply[32] = {0};

    if ((request->cdb[1] & 0x1F) != 0x10) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    put_be64(reply, scsi_blocks(unit) - 1);
    put_be32(reply + 8, scsi_block_bytes(unit));
    reply[13] = 3; /* physical blocks of 4 KiB */
    scsi_reply(request, reply, sizeof reply, get_be32(request->cdb + 10));
}

/* MMC 6.24: one descriptor, of what is in the drive or of nothing. */
void scsi_read_format_capacities(struct scsi_unit *unit, struct scsi_request *request)
{
    uint8_t reply[12] = {[3] = 8};
    bool medium = scsi_has_medium(unit);

    put_be32(reply + 4, (uint32_t)MIN(medium ? scsi_blocks(unit) : UINT32_MAX, UINT32_MAX));
    put_be32(reply + 8, (medium ? 2U : 3U) << 24 | scsi_block_bytes(unit));
    scsi_reply(request, reply, sizeof reply, get_be16(request->cdb + 7));
}
