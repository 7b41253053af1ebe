/* The NVM command set (NVMe 6): commands of the driver become requests of the block layer. */
#include <errno.h>

#include "nvme_private.h"

enum { FLUSH = 0x00, WRITE = 0x01, READ = 0x02, WRITE_ZEROES = 0x08, DATASET_MANAGEMENT = 0x09 };

#define FORCE_UNIT_ACCESS (1U << 30)
#define ZEROES_DEALLOCATE (1U << 25)
#define DATASET_DEALLOCATE (1U << 2)

static void end(struct nvme_request *request, uint16_t status)
{
    struct nvme *nvme = request->nvme;
    uint16_t sqid = request->sqid, cid = request->cid;

    if (status != S_OK)
        nvme_log_error(nvme, sqid, cid, status, NAMESPACE, request->lba);
    request->next = nvme->unused;
    nvme->unused = request;
    nvme_complete(nvme, sqid, cid, 0, status);
}

/* What the host says, as the controller's own error. Only what may be better next time invites to try again. */
static uint16_t status_of(struct nvme_request *request, int result)
{
    switch (result) {
    case -ENOSPC:
    case -EDQUOT:
        return S_CAPACITY;
    case -EROFS:
        return S_WRITE_PROTECTED;
    case -ENOMEM:
        return S_INTERNAL;
    default:
        request->nvme->state.media_errors++;
        return request->opcode == READ ? S_READ_ERROR : S_WRITE_FAULT;
    }
}

static void submit_range(struct nvme_request *request);

static void done(struct block_request *block, int result)
{
    struct nvme_request *request = container_of(block, struct nvme_request, block);

    /* A hint that the disk cannot take is no error (NVMe 6.7). */
    if (request->opcode == DATASET_MANAGEMENT && result == -EOPNOTSUPP)
        result = 0;
    if (result == 0 && request->next_range < request->ranges) {
        submit_range(request);
        return;
    }
    if (result == 0 && request->flush_after) {
        request->flush_after = false;
        request->block.op = BLOCK_FLUSH;
        block_submit(request->nvme->block_queue, &request->block);
        return;
    }
    end(request, result == 0 ? S_OK : status_of(request, result));
}

static void submit(struct nvme_request *request, enum block_op op, uint64_t lba, uint64_t blocks)
{
    request->block.op = op;
    request->block.offset = lba << BLOCK_SHIFT;
    request->block.length = blocks << BLOCK_SHIFT;
    request->block.done = done;
    block_submit(request->nvme->block_queue, &request->block);
}

static bool in_namespace(const struct nvme *nvme, uint64_t lba, uint64_t blocks)
{
    uint64_t all = block_size(nvme->block) >> BLOCK_SHIFT;

    return lba <= all && blocks <= all - lba;
}

static uint16_t transfer(struct nvme_request *request, const struct nvme_command *command)
{
    struct nvme *nvme = request->nvme;
    uint64_t blocks = (command->dw12 & 0xFFFF) + 1;
    bool write = command->opcode == WRITE;
    uint16_t status;

    if (blocks << BLOCK_SHIFT > TRANSFER_MAX)
        return S_INVALID_FIELD;
    if (!in_namespace(nvme, request->lba, blocks))
        return S_LBA_RANGE;
    if (write && block_read_only(nvme->block))
        return S_WRITE_PROTECTED;
    status = nvme_prp_map(nvme->board->memory, command, blocks << BLOCK_SHIFT, request->iov, &request->block.iov_count);
    if (status != S_OK)
        return status;
    request->block.iov = request->iov;
    request->flush_after = write && ((command->dw12 & FORCE_UNIT_ACCESS) || !nvme->state.features.write_cache);
    if (write) {
        nvme->state.writes++;
        nvme->state.written_units += blocks;
    } else {
        nvme->state.reads++;
        nvme->state.read_units += blocks;
    }
    submit(request, write ? BLOCK_WRITE : BLOCK_READ, request->lba, blocks);
    return S_OK;
}

static uint16_t write_zeroes(struct nvme_request *request, const struct nvme_command *command)
{
    struct nvme *nvme = request->nvme;
    uint64_t blocks = (command->dw12 & 0xFFFF) + 1;

    if (!in_namespace(nvme, request->lba, blocks))
        return S_LBA_RANGE;
    if (block_read_only(nvme->block))
        return S_WRITE_PROTECTED;
    request->block.unmap = command->dw12 & ZEROES_DEALLOCATE;
    request->flush_after = (command->dw12 & FORCE_UNIT_ACCESS) || !nvme->state.features.write_cache;
    submit(request, BLOCK_WRITE_ZEROES, request->lba, blocks);
    return S_OK;
}

static void submit_range(struct nvme_request *request)
{
    const uint8_t *range = request->range + (size_t)request->next_range++ * RANGE_BYTES;

    request->lba = get_le64(range + 8);
    submit(request, BLOCK_DISCARD, request->lba, get_le32(range + 4));
}

/* All ranges are checked before the first is touched. */
static uint16_t dataset_management(struct nvme_request *request, const struct nvme_command *command)
{
    struct nvme *nvme = request->nvme;
    unsigned ranges = (command->dw10 & 0xFF) + 1;
    uint16_t status = nvme_prp_read(nvme->board->memory, command, request->range, (size_t)ranges * RANGE_BYTES);

    request->lba = 0;
    for (unsigned n = 0; status == S_OK && n < ranges; n++) {
        const uint8_t *range = request->range + (size_t)n * RANGE_BYTES;

        if (!in_namespace(nvme, get_le64(range + 8), get_le32(range + 4)))
            status = S_LBA_RANGE;
    }
    if (status != S_OK || !(command->dw11 & DATASET_DEALLOCATE)) {
        if (status == S_OK)
            end(request, S_OK); /* hints about access: there is nothing to do with them */
        return status;
    }
    if (block_read_only(nvme->block))
        return S_WRITE_PROTECTED;
    request->ranges = ranges;
    submit_range(request);
    return S_OK;
}

static uint16_t start(struct nvme_request *request, const struct nvme_command *command)
{
    bool everywhere = command->opcode == FLUSH && command->nsid == ALL_NAMESPACES;

    if (command->flags & COMMAND_REFUSED)
        return S_INVALID_FIELD;
    if (command->nsid != NAMESPACE && !everywhere)
        return S_INVALID_NAMESPACE;
    switch (command->opcode) {
    case FLUSH:
        submit(request, BLOCK_FLUSH, 0, 0);
        return S_OK;
    case WRITE:
    case READ:
        return transfer(request, command);
    case WRITE_ZEROES:
        return write_zeroes(request, command);
    case DATASET_MANAGEMENT:
        return dataset_management(request, command);
    default:
        return S_INVALID_OPCODE;
    }
}

void nvme_io_start(struct nvme_request *request, const struct nvme_command *command)
{
    uint16_t status;

    request->opcode = command->opcode;
    request->lba = command->dw10 | (uint64_t)command->dw11 << 32;
    request->flush_after = false;
    request->ranges = request->next_range = 0;
    request->block.unmap = false;
    request->block.iov_count = 0;
    status = start(request, command);
    if (status != S_OK)
        end(request, status);
}
