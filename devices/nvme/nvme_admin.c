/* Admin commands (NVMe 5): queues are made and deleted here; the others lead on. */
#include "nvme_private.h"

enum {
    DELETE_SQ = 0x00,
    CREATE_SQ = 0x01,
    GET_LOG_PAGE = 0x02,
    DELETE_CQ = 0x04,
    CREATE_CQ = 0x05,
    IDENTIFY = 0x06,
    ABORT = 0x08,
    SET_FEATURES = 0x09,
    GET_FEATURES = 0x0A,
    ASYNCHRONOUS_EVENT = 0x0C,
    DOORBELL_BUFFERS = 0x7C,
};

#define CONTIGUOUS (1U << 0)
#define INTERRUPTS (1U << 1)
#define NOT_ABORTED 1U

static uint16_t queue_id(const struct nvme_command *command)
{
    return (uint16_t)command->dw10;
}

static uint32_t configuration(struct nvme *nvme)
{
    uint32_t cc;

    pthread_mutex_lock(&nvme->lock);
    cc = nvme->state.cc;
    pthread_mutex_unlock(&nvme->lock);
    return cc;
}

/* What both kinds of queue have in common: size and place. They are looked at here and never change. */
static uint16_t check_queue(const struct nvme *nvme, const struct nvme_command *command, uint64_t entry_bytes)
{
    uint64_t entries = (command->dw10 >> 16) + 1;

    if (entries < 2 || entries > QUEUE_ENTRIES)
        return S_INVALID_QUEUE_SIZE;
    if (!(command->dw11 & CONTIGUOUS)) /* CAP.CQR */
        return S_INVALID_FIELD;
    if (command->prp1 % PAGE)
        return S_INVALID_PRP_OFFSET;
    return memory_at(nvme->board->memory, command->prp1, entries * entry_bytes) ? S_OK : S_INVALID_FIELD;
}

static uint16_t create_cq(struct nvme *nvme, const struct nvme_command *command)
{
    uint16_t id = queue_id(command), vector = (uint16_t)(command->dw11 >> 16), status;

    if (id == 0 || id > nvme->state.features.cqs || nvme->state.cq[id].size)
        return S_INVALID_QUEUE_ID;
    status = check_queue(nvme, command, COMPLETION_BYTES);
    if (status != S_OK)
        return status;
    if (vector > nvme->queues)
        return S_INVALID_VECTOR;
    if (CC_CQ_ENTRY(configuration(nvme)) != 4)
        return S_INVALID_FIELD;
    nvme_cq_open(nvme, id,
                 &(struct nvme_cq){.base = command->prp1,
                                   .size = (command->dw10 >> 16) + 1,
                                   .vector = vector,
                                   .interrupts = (command->dw11 & INTERRUPTS) != 0});
    return S_OK;
}

static uint16_t create_sq(struct nvme *nvme, const struct nvme_command *command)
{
    uint16_t id = queue_id(command), cqid = (uint16_t)(command->dw11 >> 16), status;

    if (cqid == 0 || cqid > nvme->queues || !nvme->state.cq[cqid].size)
        return S_INVALID_CQ;
    if (id == 0 || id > nvme->state.features.sqs || nvme->state.sq[id].size)
        return S_INVALID_QUEUE_ID;
    status = check_queue(nvme, command, COMMAND_BYTES);
    if (status != S_OK)
        return status;
    if (CC_SQ_ENTRY(configuration(nvme)) != 6)
        return S_INVALID_FIELD;
    nvme_sq_open(nvme, id, &(struct nvme_sq){.base = command->prp1, .size = (command->dw10 >> 16) + 1, .cqid = cqid});
    return S_OK;
}

/* Commands that were fetched end first, and are told (NVMe 5.6); what was not fetched is forgotten. */
static uint16_t delete_sq(struct nvme *nvme, const struct nvme_command *command)
{
    uint16_t id = queue_id(command);

    if (id == 0 || id > nvme->queues || !nvme->state.sq[id].size)
        return S_INVALID_QUEUE_ID;
    nvme_drain(nvme);
    nvme_sq_close(nvme, id);
    return S_OK;
}

static uint16_t delete_cq(struct nvme *nvme, const struct nvme_command *command)
{
    uint16_t id = queue_id(command);

    if (id == 0 || id > nvme->queues || !nvme->state.cq[id].size)
        return S_INVALID_QUEUE_ID;
    for (unsigned n = 1; n <= nvme->queues; n++)
        if (nvme->state.sq[n].size && nvme->state.sq[n].cqid == id)
            return S_INVALID_QUEUE_DELETION;
    nvme_cq_close(nvme, id);
    return S_OK;
}

static uint16_t doorbell_buffers(struct nvme *nvme, const struct nvme_command *command)
{
    const struct memory *memory = nvme->board->memory;

    if (command->prp1 % PAGE || command->prp2 % PAGE)
        return S_INVALID_PRP_OFFSET;
    if (!memory_at(memory, command->prp1, PAGE) || !memory_at(memory, command->prp2, PAGE))
        return S_INVALID_FIELD;
    nvme_shadow_start(nvme, command->prp1, command->prp2);
    return S_OK;
}

static uint16_t run(struct nvme *nvme, const struct nvme_command *command, uint32_t *dw0)
{
    if (command->flags & COMMAND_REFUSED)
        return S_INVALID_FIELD;
    switch (command->opcode) {
    case DELETE_SQ:
        return delete_sq(nvme, command);
    case CREATE_SQ:
        return create_sq(nvme, command);
    case GET_LOG_PAGE:
        return nvme_get_log_page(nvme, command);
    case DELETE_CQ:
        return delete_cq(nvme, command);
    case CREATE_CQ:
        return create_cq(nvme, command);
    case IDENTIFY:
        return nvme_identify(nvme, command);
    case ABORT:
        /* The host cannot be asked to give a request back, so none is; the command itself succeeds (NVMe 5.1). */
        *dw0 = NOT_ABORTED;
        return S_OK;
    case SET_FEATURES:
        return nvme_set_features(nvme, command, dw0);
    case GET_FEATURES:
        return nvme_get_features(nvme, command, dw0);
    case DOORBELL_BUFFERS:
        return doorbell_buffers(nvme, command);
    default:
        return S_INVALID_OPCODE; /* as format, firmware, security and the rest that OACS does not name */
    }
}

void nvme_admin_run(struct nvme *nvme, const struct nvme_command *command)
{
    uint32_t dw0 = 0;
    uint16_t status;

    if (command->opcode == ASYNCHRONOUS_EVENT) {
        nvme_event_hold(nvme, command);
        return;
    }
    status = run(nvme, command, &dw0);
    nvme_complete(nvme, 0, command->cid, dw0, status);
}
