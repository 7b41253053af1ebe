/* Identify (NVMe 5.15), and the identifiers that a system knows its disk by. */
#include <stdio.h>

#include "casement/identifier.h"
#include "nvme_private.h"

enum {
    CNS_NAMESPACE = 0x00,
    CNS_CONTROLLER = 0x01,
    CNS_NAMESPACE_LIST = 0x02,
    CNS_DESCRIPTORS = 0x03,
    CNS_COMMAND_SET_NAMESPACE = 0x05,
    CNS_COMMAND_SET_CONTROLLER = 0x06,
};
enum { DESCRIPTOR_EUI64 = 1, DESCRIPTOR_NGUID = 2 };

/* Optional admin commands: doorbell buffers. Optional NVM commands: data set management, write zeroes, selectable
 * features, timestamp. */
#define OACS (1U << 8)
#define ONCS (1U << 2 | 1U << 3 | 1U << 4 | 1U << 6)

static const uint8_t organisation[3] = {IDENTIFIER_ORGANISATION >> 16, IDENTIFIER_ORGANISATION >> 8 & 0xFF,
                                        IDENTIFIER_ORGANISATION & 0xFF};

/* The organisation's number, and 40 bits of the serial number's own. */
static void make_eui64(const char *serial, uint8_t eui64[8])
{
    put_be64(eui64, (uint64_t)IDENTIFIER_ORGANISATION << 40 |
                        (identifier_hash(serial, IDENTIFIER_BASIS) & ((UINT64_C(1) << 40) - 1)));
}

uint64_t nvme_firmware_id(const char *serial)
{
    uint8_t eui64[8];

    make_eui64(serial, eui64);
    return get_le64(eui64);
}

void nvme_identifiers(struct nvme *nvme)
{
    uint64_t one = identifier_hash(nvme->serial, IDENTIFIER_BASIS);

    make_eui64(nvme->serial, nvme->eui64);
    put_be64(nvme->nguid, identifier_hash(nvme->serial, ~one));
    memcpy(nvme->nguid + 8, nvme->eui64, 8);
}

/* Identification texts are padded with spaces, and have no end (NVMe 1.6). */
static void put_text(uint8_t *at, size_t room, const char *text)
{
    size_t length = strnlen(text, room);

    memset(at, ' ', room);
    memcpy(at, text, length);
}

static void fill_subsystem_name(const struct nvme *nvme, char *name, size_t room)
{
    const uint8_t *id = nvme->nguid;

    snprintf(name, room,
             "nqn.2014-08.org.nvmexpress:uuid:%02x%02x%02x%02x-%02x%02x-8%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x",
             id[0], id[1], id[2], id[3], id[4], id[5], id[6] & 15U, id[7], id[8] & 15U, id[9], id[10], id[11], id[12],
             id[13], id[14], id[15]);
}

/* NVMe figure 247 */
static void fill_controller(const struct nvme *nvme, uint8_t *data)
{
    put_le16(data, 0x1B36);
    put_le16(data + 2, 0x1AF4);
    put_text(data + 4, 20, nvme->serial);
    put_text(data + 24, 40, nvme->model);
    put_text(data + 64, 8, CASEMENT_VERSION);
    data[72] = 6; /* recommended burst: 64 commands */
    for (unsigned n = 0; n < sizeof organisation; n++)
        data[73 + n] = organisation[sizeof organisation - 1 - n];
    data[77] = MDTS;
    put_le32(data + 80, 0x00010400);
    put_le32(data + 88, 30000000); /* RTD3E: a shutdown may flush for 30 s */
    put_le32(data + 92, NOTICE_NAMESPACE);
    data[111] = 1; /* an I/O controller */
    put_le16(data + 256, OACS);
    data[258] = 3;               /* abort commands at a time, less one */
    data[259] = HELD_EVENTS - 1; /* AERL */
    data[260] = 1U << 1 | 1;     /* one firmware slot, read only */
    data[261] = 1U << 1 | 1U << 2;
    data[262] = ERROR_ENTRIES - 1;
    put_le16(data + 266, TEMPERATURE_WARNING);
    put_le16(data + 268, TEMPERATURE_CRITICAL);
    data[512] = 0x66;
    data[513] = 0x44;
    put_le32(data + 516, 1); /* NN: firmware asks for every namespace that there could be */
    put_le16(data + 520, ONCS);
    data[525] = 1U | 3U << 1; /* a volatile write cache, which one flush empties for all namespaces */
    fill_subsystem_name(nvme, (char *)data + 768, 256);
    put_le16(data + 2048, 2500); /* power state 0: 25 W */
}

/* NVMe figure 245 */
static void fill_namespace(const struct nvme *nvme, uint8_t *data)
{
    uint64_t blocks = block_size(nvme->block) >> BLOCK_SHIFT;
    bool discards = block_can_discard(nvme->block) && !block_read_only(nvme->block);

    put_le64(data, blocks);
    put_le64(data + 8, blocks);
    put_le64(data + 16, blocks);
    data[24] = (discards ? 1 : 0) | 1U << 4; /* thin, and preferred sizes are told */
    data[33] = 1U | (discards ? 1U << 3 : 0);
    put_le64(data + 48, block_size(nvme->block));
    for (unsigned at = 64; at < 74; at += 2)
        put_le16(data + at, at == 72 ? 0 : PAGE / 512 - 1); /* writes and discards of 4 KiB, aligned */
    data[99] = block_read_only(nvme->block);
    memcpy(data + 104, nvme->nguid, sizeof nvme->nguid);
    memcpy(data + 120, nvme->eui64, sizeof nvme->eui64);
    data[130] = BLOCK_SHIFT;
}

static void fill_descriptors(const struct nvme *nvme, uint8_t *data)
{
    data[0] = DESCRIPTOR_EUI64;
    data[1] = sizeof nvme->eui64;
    memcpy(data + 4, nvme->eui64, sizeof nvme->eui64);
    data += 4 + sizeof nvme->eui64;
    data[0] = DESCRIPTOR_NGUID;
    data[1] = sizeof nvme->nguid;
    memcpy(data + 4, nvme->nguid, sizeof nvme->nguid);
}

uint16_t nvme_identify(struct nvme *nvme, const struct nvme_command *command)
{
    unsigned cns = command->dw10 & 0xFF, command_set = command->dw11 >> 24;
    uint8_t data[PAGE] = {0};

    switch (cns) {
    case CNS_NAMESPACE:
    case CNS_DESCRIPTORS:
        if (command->nsid != NAMESPACE)
            return S_INVALID_NAMESPACE;
        if (cns == CNS_NAMESPACE)
            fill_namespace(nvme, data);
        else
            fill_descriptors(nvme, data);
        break;
    case CNS_CONTROLLER:
        fill_controller(nvme, data);
        break;
    case CNS_NAMESPACE_LIST:
        if (command->nsid >= ALL_NAMESPACES - 1)
            return S_INVALID_NAMESPACE;
        if (command->nsid < NAMESPACE)
            put_le32(data, NAMESPACE);
        break;
    case CNS_COMMAND_SET_NAMESPACE: /* what the NVM command set adds since NVMe 2.0 is nothing, for us */
    case CNS_COMMAND_SET_CONTROLLER:
        if (command_set != 0)
            return S_INVALID_FIELD;
        if (cns == CNS_COMMAND_SET_NAMESPACE && command->nsid != NAMESPACE)
            return S_INVALID_NAMESPACE;
        break;
    default:
        return S_INVALID_FIELD;
    }
    return nvme_prp_write(nvme->board->memory, command, PAGE, data, sizeof data);
}
