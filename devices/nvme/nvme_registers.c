/* The controller's registers (NVMe 3.1). vCPUs only leave notes here; the loop acts on them. */
#include "nvme_private.h"

enum {
    CAP = 0x00,
    VS = 0x08,
    INTMS = 0x0C,
    INTMC = 0x10,
    CC = 0x14,
    CSTS = 0x1C,
    AQA = 0x24,
    ASQ = 0x28,
    ACQ = 0x30,
};

/* A reset waits for what the host has in its hands, so the driver may have to be patient: 30 s. */
#define CAP_TIMEOUT (60U << 24)
#define CAP_CONTIGUOUS (1U << 16)
#define CAP_NVM_COMMANDS (1U << 5) /* in the upper half, as what follows: DSTRD, MPSMIN, MPSMAX are 0 */
#define VERSION 0x00010400U
#define AQA_KEPT 0x0FFF0FFFU

/* offset is a multiple of 4. */
static uint32_t read_word(void *opaque, unsigned offset)
{
    const struct nvme *nvme = opaque;
    const struct nvme_state *state = &nvme->state;

    switch (offset) {
    case CAP:
        return (QUEUE_ENTRIES - 1) | CAP_CONTIGUOUS | CAP_TIMEOUT;
    case CAP + 4:
        return CAP_NVM_COMMANDS;
    case VS:
        return VERSION;
    case INTMS:
    case INTMC:
        return state->interrupt_mask;
    case CC:
        return state->cc;
    case CSTS:
        return state->csts;
    case AQA:
        return state->aqa;
    case ASQ:
    case ASQ + 4:
        return (uint32_t)(state->asq >> (offset == ASQ ? 0 : 32));
    case ACQ:
    case ACQ + 4:
        return (uint32_t)(state->acq >> (offset == ACQ ? 0 : 32));
    default:
        return 0;
    }
}

/* While the controller is enabled only its end, a shutdown, and the sizes of I/O queue entries are heard. */
static void write_configuration(struct nvme *nvme, uint32_t value)
{
    struct nvme_state *state = &nvme->state;
    uint32_t old = state->cc;

    if ((old & CC_ENABLE) && (value & CC_ENABLE))
        value = (old & ~(CC_SHUTDOWN | CC_ENTRY_SIZES)) | (value & (CC_SHUTDOWN | CC_ENTRY_SIZES));
    state->cc = value & CC_KEPT;
    if ((old & CC_ENABLE) && !(value & CC_ENABLE))
        nvme->reset_due = true;
    if ((value & CC_SHUTDOWN) && !(old & CC_SHUTDOWN)) {
        state->csts = (state->csts & ~CSTS_SHUTDOWN) | CSTS_SHUTDOWN_OCCURRING;
        nvme->shutdown_due = true;
    }
    nvme_wake(nvme);
}

static uint64_t with_half(uint64_t whole, bool high, uint32_t value)
{
    return high ? (whole & UINT32_MAX) | (uint64_t)value << 32 : (whole & ~(uint64_t)UINT32_MAX) | value;
}

static void write_word(void *opaque, unsigned offset, uint32_t value)
{
    struct nvme *nvme = opaque;
    struct nvme_state *state = &nvme->state;
    bool enabled = state->cc & CC_ENABLE;

    switch (offset) {
    case INTMS:
    case INTMC:
        state->interrupt_mask = offset == INTMS ? state->interrupt_mask | value : state->interrupt_mask & ~value;
        nvme_update_pin(nvme);
        break;
    case CC:
        write_configuration(nvme, value);
        break;
    case AQA:
        if (!enabled)
            state->aqa = value & AQA_KEPT;
        break;
    case ASQ:
    case ASQ + 4:
        if (!enabled)
            state->asq = with_half(state->asq, offset != ASQ, value) & ~(uint64_t)(PAGE - 1);
        break;
    case ACQ:
    case ACQ + 4:
        if (!enabled)
            state->acq = with_half(state->acq, offset != ACQ, value) & ~(uint64_t)(PAGE - 1);
        break;
    default:
        if (offset >= DOORBELLS_AT && offset < MSIX_TABLE_AT)
            nvme_doorbell(nvme, (offset - DOORBELLS_AT) / 8, offset & 4, value);
    }
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    struct nvme *nvme = opaque;
    uint64_t value;

    pthread_mutex_lock(&nvme->lock);
    value = bus_read_words(read_word, nvme, offset, size);
    pthread_mutex_unlock(&nvme->lock);
    return value;
}

static void registers_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct nvme *nvme = opaque;

    pthread_mutex_lock(&nvme->lock);
    bus_write_words(write_word, nvme, offset, size, value);
    pthread_mutex_unlock(&nvme->lock);
}

const struct bus_ops nvme_registers_ops = {registers_read, registers_write};
