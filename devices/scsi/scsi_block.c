/* Commands that move blocks, and those about how many there are (SBC 5; MMC 6.15 ff.). */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "scsi_private.h"

struct scsi_range scsi_decode(const uint8_t *cdb)
{
    switch (cdb[0] >> 5) {
    case 0:
        return (struct scsi_range){.first = get_be32(cdb) & 0x1FFFFF, .count = cdb[4] ? cdb[4] : 256};
    case 4:
        return (struct scsi_range){get_be64(cdb + 2), get_be32(cdb + 10), cdb[1] & 8};
    case 5:
        return (struct scsi_range){get_be32(cdb + 2), get_be32(cdb + 6), cdb[1] & 8};
    default:
        return (struct scsi_range){get_be32(cdb + 2), get_be16(cdb + 7), cdb[1] & 8};
    }
}

bool scsi_in_range(struct scsi_unit *unit, struct scsi_request *request, const struct scsi_range *range)
{
    uint64_t blocks = scsi_blocks(unit);

    if (range->first <= blocks && range->count <= blocks - range->first)
        return true;
    scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
    return false;
}

/* An error of the image is an error of the medium. */
static void flush_done(struct block_request *block, int result)
{
    struct scsi_request *request = container_of(block, struct scsi_request, block);

    if (result < 0)
        scsi_fail(request, SENSE_MEDIUM_ERROR, ASC_WRITE_FAULT);
    else
        scsi_good(request);
}

static void flush(struct scsi_unit *unit, struct scsi_request *request)
{
    request->block = (struct block_request){.op = BLOCK_FLUSH, .done = flush_done};
    block_submit(unit->queue, &request->block);
}

static void transfer_done(struct block_transfer *transfer, int result)
{
    struct scsi_request *request = container_of(transfer, struct scsi_request, transfer);
    bool read = request->moved_where == SCSI_IN;

    request->moved = transfer->moved;
    if (result == -EFAULT)
        request->failed = result;
    /* Buffers that end early: the host says how much it wants to have. */
    request->cut_off = result == -EMSGSIZE;
    if (result < 0 && result != -EFAULT && result != -EMSGSIZE)
        scsi_fail(request, SENSE_MEDIUM_ERROR, read ? ASC_UNRECOVERED_READ : ASC_WRITE_FAULT);
    else if (request->flush_after)
        flush(request->unit, request);
    else
        scsi_good(request);
}

static void start(struct scsi_unit *unit, struct scsi_request *request, const struct scsi_range *range,
                  enum block_op op)
{
    uint32_t size = scsi_block_bytes(unit);

    if (!scsi_in_range(unit, request, range))
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
    struct scsi_range range = scsi_decode(request->cdb);

    start(unit, request, &range, BLOCK_READ);
}

void scsi_write(struct scsi_unit *unit, struct scsi_request *request)
{
    struct scsi_range range = scsi_decode(request->cdb);

    if (scsi_read_only(unit))
        scsi_fail(request, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    else
        start(unit, request, &range, BLOCK_WRITE);
}

/* Without a comparison there is nothing to do but to look at the range. */
void scsi_verify(struct scsi_unit *unit, struct scsi_request *request)
{
    struct scsi_range range = scsi_decode(request->cdb);

    if (request->cdb[1] & 6)
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    else if (scsi_in_range(unit, request, &range))
        scsi_good(request);
}

void scsi_synchronize(struct scsi_unit *unit, struct scsi_request *request)
{
    struct scsi_range range = scsi_decode(request->cdb);

    if (!scsi_in_range(unit, request, &range))
        return;
    if (scsi_read_only(unit))
        scsi_good(request);
    else
        flush(unit, request);
}

void scsi_seek(struct scsi_unit *unit, struct scsi_request *request)
{
    struct scsi_range range = {.first = get_be32(request->cdb + 2), .count = 1};

    if (scsi_in_range(unit, request, &range))
        scsi_good(request);
}

#define READ_CD_MSF 0xB9U

/* A block by its minute, second and frame, which begin two seconds before the first. */
static uint64_t msf_block(const uint8_t *msf)
{
    return (uint64_t)((msf[0] * 60U + msf[1]) * 75U + msf[2]) - 150;
}

/* MMC 6.16, 6.17: only what a track of data in mode 1 has, and only the data of it. */
void scsi_read_cd(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    struct scsi_range range = {.first = get_be32(cdb + 2), .count = get_be32(cdb + 5) & 0xFFFFFF};
    unsigned type = cdb[1] >> 2 & 7;

    if (cdb[0] == READ_CD_MSF) {
        range.first = msf_block(cdb + 3);
        range.count = msf_block(cdb + 6) - range.first; /* an end before the beginning is out of range */
    }
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
    reply[13] = 3;                               /* physical blocks of 4 KiB */
    reply[14] = scsi_can_unmap(unit) ? 0xC0 : 0; /* LBPME, LBPRZ: what is not mapped reads as zeroes */
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

/*
 * Whether a format changes what is on the disk is the disk's own affair (SBC 5.3): it does not here. Lists of defects,
 * patterns and protection there are none.
 */
void scsi_format(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    bool long_list = cdb[1] & 0x20, data = cdb[1] & 0x10;
    uint8_t header[8] = {0};
    size_t size = long_list ? 8 : 4;
    int64_t got;

    if (scsi_read_only(unit)) {
        scsi_fail(request, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
        return;
    }
    if ((cdb[1] & 0xC0) || (!data && (cdb[1] & 0x2F))) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    if (!data) {
        scsi_good(request);
        return;
    }
    if (!scsi_moves(request, SCSI_OUT))
        return;
    got = scatter_get(request->data, header, size);
    request->failed = got < 0 ? (int)got : 0;
    request->moved = got < 0 ? 0 : (uint64_t)got;
    if (got < (int64_t)size)
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_LIST_LENGTH);
    else if ((header[0] & 7) || (header[1] & 8) || (long_list ? get_be32(header + 4) : get_be16(header + 2)))
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
    else
        scsi_good(request);
}
