/* Commands that free blocks or fill them with one pattern: UNMAP and WRITE SAME (SBC 5.28, 5.43 ff.). */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "scsi_private.h"

#define SAME_NO_DATA 1U /* NDOB: the block is zeroes */
#define SAME_UNMAP 8U
#define SAME_REFUSED 0xF6U /* protection, anchors, and what is obsolete */
#define STEP_BLOCKS TRANSFER_IOVECS

/* The command's data, or what there is of it, into the list. false: it has ended. */
static bool take_list(struct scsi_unit *unit, struct scsi_request *request, size_t length)
{
    int64_t got;

    if (!scsi_moves(request, SCSI_OUT))
        return false;
    got = scatter_get(request->data, unit->list, MIN(length, sizeof unit->list));
    request->failed = got < 0 ? (int)got : 0;
    request->moved = got < 0 ? 0 : (uint64_t)got;
    if (got == (int64_t)MIN(length, sizeof unit->list))
        return true;
    scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_LIST_LENGTH);
    return false;
}

static struct scsi_range listed(const struct scsi_unit *unit, unsigned n)
{
    const uint8_t *descriptor = unit->list + UNMAP_HEADER + (size_t)n * UNMAP_BYTES;

    return (struct scsi_range){.first = get_be64(descriptor), .count = get_be32(descriptor + 8)};
}

static void submit(struct scsi_request *request, const struct scsi_range *range)
{
    request->block.offset = range->first * DISK_BLOCK;
    request->block.length = range->count * DISK_BLOCK;
    block_submit(request->unit->queue, &request->block);
}

/* One range after the other. A hint that the image cannot take is no error. */
static void unmap_done(struct block_request *block, int result)
{
    struct scsi_request *request = container_of(block, struct scsi_request, block);
    struct scsi_unit *unit = request->unit;

    if (result < 0 && result != -EOPNOTSUPP) {
        scsi_fail(request, SENSE_MEDIUM_ERROR, ASC_WRITE_FAULT);
    } else if (unit->next_range == unit->ranges) {
        scsi_good(request);
    } else {
        struct scsi_range range = listed(unit, unit->next_range++);

        submit(request, &range);
    }
}

/* All ranges are looked at before the first is touched. */
static bool check_ranges(struct scsi_unit *unit, struct scsi_request *request)
{
    uint64_t blocks = 0;

    for (unsigned n = 0; n < unit->ranges; n++) {
        struct scsi_range range = listed(unit, n);

        if (!scsi_in_range(unit, request, &range))
            return false;
        blocks += range.count;
    }
    if (blocks <= UNMAP_BLOCKS)
        return true;
    scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
    return false;
}

void scsi_unmap(struct scsi_unit *unit, struct scsi_request *request)
{
    size_t length = get_be16(request->cdb + 7), bytes;

    if (scsi_read_only(unit)) {
        scsi_fail(request, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    } else if (!scsi_can_unmap(unit)) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
    } else if (request->cdb[1] & 1) { /* ANCHOR */
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    } else if (length == 0) {
        scsi_good(request);
    } else if (length < UNMAP_HEADER) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_LIST_LENGTH);
    } else if (take_list(unit, request, length)) {
        /* A descriptor that is not whole is none. */
        bytes = MIN((size_t)get_be16(unit->list + 2), length - UNMAP_HEADER);
        unit->ranges = (unsigned)(bytes / UNMAP_BYTES);
        unit->next_range = 0;
        request->block = (struct block_request){.op = BLOCK_DISCARD, .done = unmap_done};
        if (unit->ranges > UNMAP_DESCRIPTORS)
            scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
        else if (check_ranges(unit, request))
            unmap_done(&request->block, 0);
    }
}

static void zeroes_done(struct block_request *block, int result)
{
    struct scsi_request *request = container_of(block, struct scsi_request, block);

    if (result < 0)
        scsi_fail(request, SENSE_MEDIUM_ERROR, ASC_WRITE_FAULT);
    else
        scsi_good(request);
}

/* The next blocks of a pattern, each from the same buffer. What has been written stands in the request itself. */
static void pattern_done(struct block_request *block, int result)
{
    struct scsi_request *request = container_of(block, struct scsi_request, block);
    struct scsi_range all = scsi_decode(request->cdb), next = all;
    uint64_t done = (block->offset + block->length) / DISK_BLOCK - all.first;

    if (result < 0 || done == all.count) {
        zeroes_done(block, result);
        return;
    }
    next.first += done;
    next.count = MIN(all.count - done, (uint64_t)STEP_BLOCKS);
    block->iov_count = (unsigned)next.count;
    submit(request, &next);
}

static void write_pattern(struct scsi_unit *unit, struct scsi_request *request, const struct scsi_range *range)
{
    struct iovec *iov = request->transfer.iov;

    for (unsigned n = 0; n < STEP_BLOCKS; n++)
        iov[n] = (struct iovec){unit->list, DISK_BLOCK};
    request->block = (struct block_request){
        .op = BLOCK_WRITE, .iov = iov, .offset = range->first * DISK_BLOCK, .done = pattern_done};
    pattern_done(&request->block, 0);
}

static bool is_zero(const uint8_t *block)
{
    return block[0] == 0 && memcmp(block, block + 1, DISK_BLOCK - 1) == 0;
}

void scsi_write_same(struct scsi_unit *unit, struct scsi_request *request)
{
    struct scsi_range range = scsi_decode(request->cdb);
    uint8_t flags = request->cdb[1];
    bool no_data = flags & SAME_NO_DATA, sixteen = request->cdb[0] == 0x93;

    if (scsi_read_only(unit)) {
        scsi_fail(request, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
        return;
    }
    if ((flags & SAME_REFUSED) || (no_data && !sixteen) || ((flags & SAME_UNMAP) && !scsi_can_unmap(unit)) ||
        range.count == 0 || range.count > UNMAP_BLOCKS) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    if (!scsi_in_range(unit, request, &range))
        return;
    if (no_data)
        memset(unit->list, 0, DISK_BLOCK);
    else if (!take_list(unit, request, DISK_BLOCK))
        return;
    if (!is_zero(unit->list)) {
        write_pattern(unit, request, &range);
        return;
    }
    request->block = (struct block_request){.op = BLOCK_WRITE_ZEROES, .unmap = flags & SAME_UNMAP, .done = zeroes_done};
    submit(request, &range);
}
