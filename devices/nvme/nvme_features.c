/* Set Features and Get Features (NVMe 5.14, 5.21): those of platform contract 6.3. */
#include "nvme_private.h"

enum {
    ARBITRATION = 0x01,
    POWER_MANAGEMENT = 0x02,
    TEMPERATURE_THRESHOLD = 0x04,
    ERROR_RECOVERY = 0x05,
    WRITE_CACHE = 0x06,
    NUMBER_OF_QUEUES = 0x07,
    INTERRUPT_COALESCING = 0x08,
    VECTOR_CONFIGURATION = 0x09,
    WRITE_ATOMICITY = 0x0A,
    EVENT_CONFIGURATION = 0x0B,
    TIMESTAMP = 0x0E,
};

enum { SELECT_CURRENT, SELECT_DEFAULT, SELECT_SAVED, SELECT_CAPABILITIES };

#define CHANGEABLE (1U << 2)
#define SAVE (1U << 31)
#define MILLISECOND_NS INT64_C(1000000)
#define THRESHOLD_ALL 15U /* every temperature sensor */
#define EVENTS_OF_TEMPERATURE (1U << 1)

static struct nvme_features defaults(const struct nvme *nvme)
{
    return (struct nvme_features){.over_temperature = TEMPERATURE_WARNING,
                                  .sqs = (uint16_t)nvme->queues,
                                  .cqs = (uint16_t)nvme->queues,
                                  .write_cache = 1,
                                  .timestamp_at_ns = clock_ns()};
}

void nvme_features_reset(struct nvme *nvme)
{
    nvme->state.features = defaults(nvme);
}

static uint32_t granted(const struct nvme_features *features)
{
    return (features->cqs - 1U) << 16 | (features->sqs - 1U);
}

/* Milliseconds since 1970, as set and counted on; the origin in byte 6 (NVMe 5.21.1.14). */
static uint16_t get_timestamp(struct nvme *nvme, const struct nvme_command *command,
                              const struct nvme_features *features)
{
    uint64_t passed = (uint64_t)((clock_ns() - features->timestamp_at_ns) / MILLISECOND_NS);
    uint8_t data[8];

    put_le64(data, ((features->timestamp_ms + passed) & 0xFFFFFFFFFFFF) | (uint64_t)features->timestamp_set << 49);
    return nvme_prp_write(nvme->board->memory, command, sizeof data, data, sizeof data);
}

static uint16_t set_timestamp(struct nvme *nvme, const struct nvme_command *command)
{
    struct nvme_features *features = &nvme->state.features;
    uint8_t data[8];
    uint16_t status = nvme_prp_read(nvme->board->memory, command, data, sizeof data);

    if (status == S_OK) {
        features->timestamp_ms = get_le64(data) & 0xFFFFFFFFFFFF;
        features->timestamp_at_ns = clock_ns();
        features->timestamp_set = 1;
    }
    return status;
}

uint16_t nvme_get_features(struct nvme *nvme, const struct nvme_command *command, uint32_t *dw0)
{
    unsigned select = command->dw10 >> 8 & 7;
    struct nvme_features features = select == SELECT_CURRENT ? nvme->state.features : defaults(nvme);
    unsigned feature = command->dw10 & 0xFF, vector = command->dw11 & 0xFFFF;

    if (select > SELECT_CAPABILITIES)
        return S_INVALID_FIELD;
    switch (feature) {
    case ARBITRATION:
        *dw0 = features.arbitration;
        break;
    case POWER_MANAGEMENT: /* there is one state */
        *dw0 = 0;
        break;
    case TEMPERATURE_THRESHOLD:
        if ((command->dw11 >> 20 & 3) > 1)
            return S_INVALID_FIELD;
        *dw0 = command->dw11 >> 16 & 15  ? 0
               : command->dw11 >> 20 & 1 ? features.under_temperature
                                         : features.over_temperature;
        break;
    case ERROR_RECOVERY:
        if (command->nsid != NAMESPACE && command->nsid != ALL_NAMESPACES)
            return S_INVALID_NAMESPACE;
        *dw0 = features.error_recovery;
        break;
    case WRITE_CACHE:
        *dw0 = features.write_cache;
        break;
    case NUMBER_OF_QUEUES:
        *dw0 = granted(&features);
        break;
    case INTERRUPT_COALESCING:
        *dw0 = features.coalescing;
        break;
    case VECTOR_CONFIGURATION:
        if (vector > nvme->queues)
            return S_INVALID_FIELD;
        *dw0 = vector | (uint32_t)features.no_coalescing[vector] << 16;
        break;
    case WRITE_ATOMICITY:
        *dw0 = features.atomicity;
        break;
    case EVENT_CONFIGURATION:
        *dw0 = features.event_config;
        break;
    case TIMESTAMP:
        if (select != SELECT_CAPABILITIES)
            return get_timestamp(nvme, command, &features);
        break;
    default:
        return S_INVALID_FIELD;
    }
    if (select == SELECT_CAPABILITIES)
        *dw0 = feature == POWER_MANAGEMENT ? 0 : CHANGEABLE; /* nothing is kept over a reset */
    return S_OK;
}

static uint16_t set_threshold(struct nvme *nvme, uint32_t value)
{
    struct nvme_features *features = &nvme->state.features;
    unsigned sensor = value >> 16 & 15, kind = value >> 20 & 3;

    if (kind > 1 || (sensor > 0 && sensor < THRESHOLD_ALL))
        return S_INVALID_FIELD;
    if (kind == 0)
        features->over_temperature = (uint16_t)value;
    else
        features->under_temperature = (uint16_t)value;
    return S_OK;
}

/* Granted is what was asked for, or ours; only before there are queues (NVMe 5.21.1.7). */
static uint16_t set_queues(struct nvme *nvme, uint32_t value, uint32_t *dw0)
{
    uint32_t submission = value & 0xFFFF, completion = value >> 16;

    if (submission == UINT16_MAX || completion == UINT16_MAX)
        return S_INVALID_FIELD;
    for (unsigned n = 1; n <= nvme->queues; n++)
        if (nvme->state.sq[n].size || nvme->state.cq[n].size)
            return S_COMMAND_SEQUENCE;
    nvme->state.features.sqs = (uint16_t)MIN(submission + 1, nvme->queues);
    nvme->state.features.cqs = (uint16_t)MIN(completion + 1, nvme->queues);
    *dw0 = granted(&nvme->state.features);
    return S_OK;
}

/* What the driver takes for written when there is no cache any more has to be. */
static uint16_t set_write_cache(struct nvme *nvme, bool on)
{
    bool off = nvme->state.features.write_cache && !on;

    nvme->state.features.write_cache = on;
    return off && nvme_flush(nvme) < 0 ? S_WRITE_FAULT : S_OK;
}

static void raise_temperature(struct nvme *nvme)
{
    if (!(nvme_critical_warning(nvme) & nvme->state.features.event_config & EVENTS_OF_TEMPERATURE))
        return;
    pthread_mutex_lock(&nvme->lock);
    nvme_event_raise(nvme, EVENT_TEMPERATURE);
    pthread_mutex_unlock(&nvme->lock);
}

uint16_t nvme_set_features(struct nvme *nvme, const struct nvme_command *command, uint32_t *dw0)
{
    struct nvme_features *features = &nvme->state.features;
    unsigned vector = command->dw11 & 0xFFFF;
    uint32_t value = command->dw11;
    uint16_t status = S_OK;

    if (command->dw10 & SAVE)
        return S_NOT_SAVEABLE;
    switch (command->dw10 & 0xFF) {
    case ARBITRATION:
        features->arbitration = value;
        break;
    case POWER_MANAGEMENT:
        status = value & 0x1F ? S_INVALID_FIELD : S_OK;
        break;
    case TEMPERATURE_THRESHOLD:
        status = set_threshold(nvme, value);
        break;
    case ERROR_RECOVERY:
        if (command->nsid != NAMESPACE && command->nsid != ALL_NAMESPACES)
            return S_INVALID_NAMESPACE;
        if (value >> 16 & 1) /* errors on deallocated blocks: NSFEAT does not offer them */
            return S_INVALID_FIELD;
        features->error_recovery = value & 0xFFFF;
        break;
    case WRITE_CACHE:
        status = set_write_cache(nvme, value & 1);
        break;
    case NUMBER_OF_QUEUES:
        return set_queues(nvme, value, dw0);
    case INTERRUPT_COALESCING:
        features->coalescing = value & 0xFFFF;
        break;
    case VECTOR_CONFIGURATION:
        if (vector > nvme->queues)
            return S_INVALID_FIELD;
        features->no_coalescing[vector] = value >> 16 & 1;
        break;
    case WRITE_ATOMICITY:
        features->atomicity = value & 1;
        break;
    case EVENT_CONFIGURATION:
        features->event_config = value;
        break;
    case TIMESTAMP:
        return set_timestamp(nvme, command);
    default:
        return S_INVALID_FIELD;
    }
    raise_temperature(nvme);
    return status;
}
