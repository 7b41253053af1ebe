/* What a CD or DVD drive says about itself and about the disc in it: one session, one track of data (MMC 6). */
#include <string.h>

#include "casement/bytes.h"
#include "scsi_private.h"

#define PROFILE_NONE 0x0000U
#define PROFILE_CD_ROM 0x0008U
#define PROFILE_DVD_ROM 0x0010U
#define CD_LARGEST UINT64_C(800000000) /* bytes: no CD holds more */
#define DATA_TRACK 0x14U               /* ADR 1, a track of data */
#define LEAD_OUT 0xAAU

static unsigned profile(const struct scsi_unit *unit)
{
    if (!scsi_has_medium(unit))
        return PROFILE_NONE;
    return block_size(unit->medium) > CD_LARGEST ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

static uint32_t blocks32(const struct scsi_unit *unit)
{
    return (uint32_t)MIN(scsi_blocks(unit), UINT32_MAX);
}

/* A block's address, or its minute, second and frame, which begin two seconds before the first. */
static void put_address(uint8_t *at, uint32_t block, bool msf)
{
    if (!msf) {
        put_be32(at, block);
        return;
    }
    block += 150;
    at[0] = 0;
    at[1] = (uint8_t)MIN(block / 75 / 60, 255U);
    at[2] = (uint8_t)(block / 75 % 60);
    at[3] = (uint8_t)(block % 75);
}

static size_t toc_tracks(const struct scsi_unit *unit, unsigned from, bool msf, uint8_t *reply)
{
    size_t length = 4;

    if (from <= 1) {
        reply[length + 1] = DATA_TRACK;
        reply[length + 2] = 1;
        put_address(reply + length + 4, 0, msf);
        length += 8;
    }
    reply[length + 1] = DATA_TRACK;
    reply[length + 2] = LEAD_OUT;
    put_address(reply + length + 4, blocks32(unit), msf);
    return length + 8;
}

static size_t toc_session(bool msf, uint8_t *reply)
{
    reply[5] = DATA_TRACK;
    reply[6] = 1;
    put_address(reply + 8, 0, msf);
    return 12;
}

/* The lead-in's own entries: first track, last track, lead-out, and the track (MMC 6.25.3.4). */
static size_t toc_full(const struct scsi_unit *unit, uint8_t *reply)
{
    static const uint8_t points[] = {0xA0, 0xA1, 0xA2, 1};
    size_t length = 4;

    for (unsigned n = 0; n < ARRAY_SIZE(points); n++, length += 11) {
        uint8_t *entry = reply + length, address[4];

        entry[0] = 1;
        entry[1] = DATA_TRACK;
        entry[3] = points[n];
        if (n < 2) {
            entry[8] = 1;
            continue;
        }
        put_address(address, n == 2 ? blocks32(unit) : 0, true);
        memcpy(entry + 8, address + 1, 3);
    }
    return length;
}

void scsi_read_toc(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    unsigned format = cdb[2] & 0xF ? cdb[2] & 0xF : cdb[9] >> 6;
    bool msf = cdb[1] & 2;
    uint8_t reply[64] = {[2] = 1, [3] = 1};
    size_t length;

    if (format == 0 && (cdb[6] <= 1 || cdb[6] == LEAD_OUT)) {
        length = toc_tracks(unit, cdb[6], msf, reply);
    } else if (format == 1) {
        length = toc_session(msf, reply);
    } else if (format == 2 && cdb[6] <= 1) {
        length = toc_full(unit, reply);
    } else {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    put_be16(reply, (uint16_t)(length - 2));
    scsi_reply(request, reply, length, get_be16(cdb + 7));
}

/* Features (MMC 5.3), in the order of their numbers; flags: version << 2 | persistent << 1 | current. */
static size_t put_feature(uint8_t *at, unsigned code, unsigned flags, const uint8_t *data, uint8_t length)
{
    put_be16(at, (uint16_t)code);
    at[2] = (uint8_t)flags;
    at[3] = length;
    memcpy(at + 4, data, length);
    return 4U + length;
}

struct feature {
    uint16_t code;
    uint8_t flags, length;
    uint8_t data[8];
    unsigned current_for; /* the profile it belongs to; ~0: any medium; 0: as flags say */
};

#define ANY_MEDIUM ~0U

static const struct feature features[] = {
    {0x0001, 0x0B, 8, {0, 0, 0, 0, 1}, 0},                /* core; the interface is filled in */
    {0x0002, 0x07, 4, {2}, 0},                            /* morphing: GET EVENT STATUS NOTIFICATION */
    {0x0003, 0x03, 4, {0x29}, 0},                         /* a tray, which can be ejected and locked */
    {0x0010, 0x00, 8, {0, 0, 8, 0, 0, 1, 0}, ANY_MEDIUM}, /* random readable, 2,048 bytes */
    {0x001D, 0x00, 0, {0}, ANY_MEDIUM},                   /* multi-read */
    {0x001E, 0x08, 4, {0}, PROFILE_CD_ROM},               /* CD read */
    {0x001F, 0x04, 4, {0}, PROFILE_DVD_ROM},              /* DVD read */
    {0x0100, 0x03, 0, {0}, 0},                            /* power management */
    {0x0105, 0x07, 4, {0}, 0},                            /* timeout */
};

static size_t put_profiles(uint8_t *at, unsigned current)
{
    uint8_t list[8] = {0, PROFILE_DVD_ROM, current == PROFILE_DVD_ROM, 0, 0, PROFILE_CD_ROM, current == PROFILE_CD_ROM};

    return put_feature(at, 0, 3, list, sizeof list);
}

void scsi_get_configuration(struct scsi_unit *unit, struct scsi_request *request)
{
    unsigned which = request->cdb[1] & 3, from = get_be16(request->cdb + 2), current = profile(unit);
    uint8_t reply[160] = {0};
    size_t length = 8;

    if (which == 3) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    if (from == 0)
        length += put_profiles(reply + length, current);
    for (unsigned n = 0; n < ARRAY_SIZE(features); n++) {
        const struct feature *feature = &features[n];
        bool belongs = feature->current_for == ANY_MEDIUM ? current != PROFILE_NONE : feature->current_for == current;
        unsigned flags = feature->flags | (feature->current_for && belongs ? 1U : 0U);

        if ((which == 2 ? feature->code != from : feature->code < from) || (which == 1 && !(flags & 1)))
            continue;
        put_feature(reply + length, feature->code, flags, feature->data, feature->length);
        if (feature->code == 1)
            put_be32(reply + length + 4, unit->options.physical_interface);
        length += 4U + feature->length;
    }
    put_be32(reply, (uint32_t)(length - 4));
    put_be16(reply + 6, (uint16_t)current);
    scsi_reply(request, reply, length, get_be16(request->cdb + 7));
}

/* Polled only, and of the classes only the medium's (MMC 6.6). */
void scsi_get_event(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    uint8_t reply[8] = {0, 2, 0x80, 1U << 4};
    size_t length = 4;

    if (!(cdb[1] & 1)) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    if (cdb[4] & 1U << 4) {
        reply[1] = 6;
        reply[2] = 4;
        reply[4] = unit->state.event;
        reply[5] = (uint8_t)((scsi_has_medium(unit) ? 2 : 0) | (unit->state.tray_open ? 1 : 0));
        length = 8;
        if (get_be16(cdb + 7) >= length)
            unit->state.event = EVENT_NONE;
    }
    scsi_reply(request, reply, length, get_be16(cdb + 7));
}

void scsi_disc_information(struct scsi_unit *unit, struct scsi_request *request)
{
    /* A disc that is complete, with one session of one track, of no special type. */
    uint8_t reply[34] = {0, 32, 0x0E, 1, 1, 1, 1, 0x20};

    (void)unit;
    if (request->cdb[1] & 7) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    memset(reply + 16, 0xFF, 8); /* no lead-in or lead-out can be added */
    scsi_reply(request, reply, sizeof reply, get_be16(request->cdb + 7));
}

void scsi_track_information(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    unsigned kind = cdb[1] & 3;
    uint32_t address = get_be32(cdb + 2), blocks = blocks32(unit);
    uint8_t reply[36] = {0, 34, 1, 1, 0, 4, 1};
    bool found = kind == 0 ? address < blocks : kind < 3 && address == 1;

    if (!found) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    put_be32(reply + 24, blocks);
    scsi_reply(request, reply, sizeof reply, get_be16(cdb + 7));
}

/* The physical description of a DVD-ROM with one layer (MMC 6.23.3.2). */
static size_t dvd_physical(const struct scsi_unit *unit, uint8_t *reply)
{
    reply[4] = 0x01; /* DVD-ROM, version 1 */
    reply[5] = 0x0F; /* 12 cm, no minimum rate */
    reply[6] = 0x01; /* one layer, embossed */
    put_be32(reply + 8, 0x30000);
    put_be32(reply + 12, 0x30000 + blocks32(unit) - 1);
    return 4 + 2048;
}

void scsi_dvd_structure(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    uint8_t reply[4 + 2048] = {0};
    size_t length;

    if (cdb[7] == 0xFF) { /* the formats there are */
        memcpy(reply + 4, (const uint8_t[]){0x00, 0x40, 0x08, 0x04, 0x01, 0x40, 0x00, 0x08}, 8);
        length = 12;
    } else if (!scsi_has_medium(unit)) {
        scsi_fail(request, SENSE_NOT_READY, unit->state.tray_open ? ASC_NO_MEDIUM_OPEN : ASC_NO_MEDIUM_CLOSED);
        return;
    } else if (profile(unit) != PROFILE_DVD_ROM) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_WRONG_FORMAT);
        return;
    } else if (cdb[6] || cdb[7] > 1) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    } else {
        length = cdb[7] == 0 ? dvd_physical(unit, reply) : 8; /* copyright: none */
    }
    put_be16(reply, (uint16_t)(length - 2));
    scsi_reply(request, reply, length, get_be16(cdb + 8));
}

void scsi_mechanism_status(struct scsi_unit *unit, struct scsi_request *request)
{
    uint8_t reply[8] = {0};

    reply[1] = unit->state.tray_open ? 0x10 : 0;
    scsi_reply(request, reply, sizeof reply, get_be16(request->cdb + 8));
}
