/* Log pages (NVMe 5.14): which there are, errors, health, firmware, changed namespaces, effects of commands. */
#include "nvme_private.h"

enum {
    LOG_SUPPORTED = 0x00,
    LOG_ERRORS = 0x01,
    LOG_HEALTH = 0x02,
    LOG_FIRMWARE = 0x03,
    LOG_NAMESPACES = 0x04,
    LOG_EFFECTS = 0x05
};

#define ERROR_BYTES 64U
#define RETAIN_EVENT (1U << 15)
#define SUPPORTED 1U
#define CHANGES_DATA (1U << 1) /* effect of a command, beside that it exists */
#define HOUR_NS (INT64_C(3600) * 1000000000)

void nvme_log_error(struct nvme *nvme, unsigned sqid, uint16_t cid, uint16_t status, uint32_t nsid, uint64_t lba)
{
    struct nvme_state *state = &nvme->state;

    state->errors[state->error_count % ERROR_ENTRIES] = (struct nvme_error){.count = state->error_count + 1,
                                                                            .lba = lba,
                                                                            .nsid = nsid,
                                                                            .sqid = (uint16_t)sqid,
                                                                            .cid = cid,
                                                                            .status = status};
    state->error_count++;
}

static size_t fill_supported(uint8_t *data)
{
    static const uint8_t pages[] = {LOG_SUPPORTED, LOG_ERRORS, LOG_HEALTH, LOG_FIRMWARE, LOG_NAMESPACES, LOG_EFFECTS};

    for (unsigned n = 0; n < ARRAY_SIZE(pages); n++)
        put_le32(data + pages[n] * (size_t)4, SUPPORTED);
    return 1024;
}

/* The newest first (NVMe 5.14.1.1). */
static size_t fill_errors(const struct nvme_state *state, uint8_t *data)
{
    uint64_t count = MIN(state->error_count, (uint64_t)ERROR_ENTRIES);

    for (uint64_t n = 0; n < count; n++) {
        const struct nvme_error *error = &state->errors[(state->error_count - 1 - n) % ERROR_ENTRIES];
        uint8_t *entry = data + n * ERROR_BYTES;

        put_le64(entry, error->count);
        put_le16(entry + 8, error->sqid);
        put_le16(entry + 10, error->cid);
        put_le16(entry + 12, (uint16_t)(error->status << 1));
        put_le16(entry + 14, UINT16_MAX); /* no single parameter is blamed */
        put_le64(entry + 16, error->lba);
        put_le32(entry + 24, error->nsid);
    }
    return (size_t)ERROR_ENTRIES * ERROR_BYTES;
}

/* Thousands of 512 bytes, rounded up (NVMe 5.14.1.2). */
static uint64_t thousands(uint64_t units)
{
    return units / 1000 + (units % 1000 != 0);
}

static size_t fill_health(const struct nvme *nvme, uint8_t *data)
{
    const struct nvme_state *state = &nvme->state;

    data[0] = nvme_critical_warning(nvme);
    put_le16(data + 1, TEMPERATURE);
    data[3] = 100; /* spare, and where it begins to be too little, in percent */
    data[4] = 10;
    put_le64(data + 32, thousands(state->read_units));
    put_le64(data + 48, thousands(state->written_units));
    put_le64(data + 64, state->reads);
    put_le64(data + 80, state->writes);
    put_le64(data + 112, 1); /* power cycles */
    put_le64(data + 128, (uint64_t)((clock_ns() - nvme->created_ns) / HOUR_NS));
    put_le64(data + 160, state->media_errors);
    put_le64(data + 176, state->error_count);
    return 512;
}

static size_t fill_firmware(uint8_t *data)
{
    data[0] = 1; /* the active slot */
    memset(data + 8, ' ', 8);
    memcpy(data + 8, CASEMENT_VERSION, MIN(sizeof CASEMENT_VERSION - 1, (size_t)8));
    return 512;
}

/* Namespaces whose Identify data has changed since the page was read (NVMe 5.14.1.4). */
static size_t fill_namespaces(const struct nvme_state *state, uint8_t *data)
{
    if (state->namespace_changed)
        put_le32(data, NAMESPACE);
    return PAGE;
}

/* The driver knows now: the page starts anew, and the next event of its kind may be told (NVMe 5.2). */
static void note_read(struct nvme *nvme, unsigned page)
{
    static const struct {
        uint8_t page;
        enum nvme_event_type type;
    } of_events[] = {
        {LOG_ERRORS, EVENT_TYPE_ERROR}, {LOG_HEALTH, EVENT_TYPE_HEALTH}, {LOG_NAMESPACES, EVENT_TYPE_NOTICE}};

    for (unsigned n = 0; n < ARRAY_SIZE(of_events); n++)
        if (of_events[n].page == page)
            nvme_event_unmask(nvme, of_events[n].type);
    if (page == LOG_NAMESPACES)
        nvme->state.namespace_changed = false;
}

/* Commands that exist, and whether they change data: admin ones, then those of the NVM command set. */
static size_t fill_effects(uint8_t *data)
{
    static const uint8_t admin[] = {0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0C, 0x7C};
    static const uint8_t nvm[] = {0x00, 0x01, 0x02, 0x08, 0x09};

    for (unsigned n = 0; n < ARRAY_SIZE(admin); n++)
        put_le32(data + admin[n] * (size_t)4, SUPPORTED);
    for (unsigned n = 0; n < ARRAY_SIZE(nvm); n++)
        put_le32(data + 1024 + nvm[n] * (size_t)4, SUPPORTED | (nvm[n] == 0x01 || nvm[n] >= 0x08 ? CHANGES_DATA : 0));
    return PAGE;
}

uint16_t nvme_get_log_page(struct nvme *nvme, const struct nvme_command *command)
{
    uint64_t length = ((command->dw10 >> 16 | (uint64_t)(command->dw11 & 0xFFFF) << 16) + 1) * 4;
    uint64_t offset = command->dw12 | (uint64_t)command->dw13 << 32;
    unsigned page = command->dw10 & 0xFF;
    uint8_t data[PAGE] = {0};
    size_t size;
    uint16_t status;

    switch (page) {
    case LOG_SUPPORTED:
        size = fill_supported(data);
        break;
    case LOG_ERRORS:
        size = fill_errors(&nvme->state, data);
        break;
    case LOG_HEALTH:
        if (command->nsid > NAMESPACE && command->nsid != ALL_NAMESPACES)
            return S_INVALID_NAMESPACE;
        size = fill_health(nvme, data);
        break;
    case LOG_FIRMWARE:
        size = fill_firmware(data);
        break;
    case LOG_NAMESPACES:
        size = fill_namespaces(&nvme->state, data);
        break;
    case LOG_EFFECTS:
        size = fill_effects(data);
        break;
    default:
        return S_INVALID_LOG_PAGE;
    }
    if (length > TRANSFER_MAX || offset % 4 || offset >= size)
        return S_INVALID_FIELD;
    /* What lies behind the page is nobody's: the rest of the buffer stays as it is. */
    status = nvme_prp_write(nvme->board->memory, command, length, data + offset, (size_t)MIN(length, size - offset));
    if (status == S_OK && !(command->dw10 & RETAIN_EVENT))
        note_read(nvme, page);
    return status;
}
