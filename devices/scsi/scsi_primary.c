/* Commands that every unit has: who it is, how it is set, its tray (SPC 6; SBC 5.19; MMC 6.42). */
#include <string.h>

#include "casement/bytes.h"
#include "scsi_private.h"

void scsi_inquiry(struct scsi_unit *unit, struct scsi_request *request)
{
    uint8_t reply[36] = {unit->options.kind == SCSI_CDROM ? 5 : 0, unit->options.removable ? 0x80 : 0, 5, 2, 31};

    if (request->cdb[1] & 1) {
        scsi_vital_product_data(unit, request);
        return;
    }
    if (request->cdb[2]) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    scsi_put_padded(reply + 8, unit->options.vendor, 8);
    scsi_put_padded(reply + 16, unit->options.product, 16);
    scsi_put_padded(reply + 32, "1.0", 4);
    scsi_reply(request, reply, sizeof reply, get_be16(request->cdb + 3));
}

void scsi_request_sense(struct scsi_unit *unit, struct scsi_request *request)
{
    uint8_t *stored = unit->state.sense, sense[SCSI_SENSE_BYTES];
    unsigned attention = stored[0] ? 0 : scsi_take_attention(unit);

    /* What waits to be told is told here, too (SPC 6.39). */
    if (stored[0])
        memcpy(sense, stored, sizeof sense);
    else
        scsi_fill_sense(sense, attention ? SENSE_UNIT_ATTENTION : SENSE_NONE, attention);
    memset(stored, 0, sizeof sense);
    scsi_reply(request, sense, sizeof sense, request->cdb[4]);
}

void scsi_report_luns(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t reply[16] = {[3] = 8};

    (void)unit;
    scsi_reply(request, reply, sizeof reply, get_be32(request->cdb + 6));
}

/* Mode pages: a page is appended as it is now, or as what of it can be changed (nothing: SPC 6.11). */
static size_t error_recovery_page(const struct scsi_unit *unit, uint8_t *page)
{
    (void)unit;
    page[1] = 10;
    page[3] = 5; /* retries */
    return 12;
}

static size_t caching_page(const struct scsi_unit *unit, uint8_t *page)
{
    page[1] = 18;
    page[2] = scsi_read_only(unit) ? 0 : 4; /* writes are cached until SYNCHRONIZE CACHE */
    return 20;
}

static size_t power_page(const struct scsi_unit *unit, uint8_t *page)
{
    (void)unit;
    page[1] = 10;
    return 12;
}

static size_t timeout_page(const struct scsi_unit *unit, uint8_t *page)
{
    (void)unit;
    page[1] = 10;
    return 12;
}

/* MMC annex, page 2Ah: what Windows and Linux take for what the drive can do. */
static size_t capabilities_page(const struct scsi_unit *unit, uint8_t *page)
{
    page[1] = 20;
    page[2] = 0x3F;                                           /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R, DVD-RAM */
    page[4] = 0x70;                                           /* modes 2, multiple sessions */
    page[6] = (uint8_t)(0x29 | (unit->state.locked ? 2 : 0)); /* a tray, which can be ejected and locked */
    put_be16(page + 8, 7056);                                 /* kB/s: 40 times a CD's */
    put_be16(page + 12, 2048);
    put_be16(page + 14, 7056);
    return 22;
}

struct mode_page {
    uint8_t code, kinds;
    size_t (*fill)(const struct scsi_unit *unit, uint8_t *page);
};

static const struct mode_page mode_pages[] = {
    {0x01, 3, error_recovery_page}, {0x08, 1, caching_page},      {0x1A, 3, power_page},
    {0x1D, 2, timeout_page},        {0x2A, 2, capabilities_page},
};

void scsi_mode_sense(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    bool ten = cdb[0] == 0x5A, any = false;
    unsigned wanted = cdb[2] & 0x3F, control = cdb[2] >> 6, kind = unit->options.kind == SCSI_DISK ? 1 : 2;
    uint8_t reply[128] = {0};
    size_t header = ten ? 8 : 4, length = header;

    for (unsigned n = 0; n < ARRAY_SIZE(mode_pages); n++) {
        const struct mode_page *page = &mode_pages[n];
        size_t added;

        if (!(page->kinds & kind) || (wanted != 0x3F && wanted != page->code))
            continue;
        reply[length] = page->code;
        added = page->fill(unit, reply + length);
        if (control == 1)
            memset(reply + length + 2, 0, added - 2);
        length += added;
        any = true;
    }
    if (!any || control == 3 || cdb[3]) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, control == 3 ? 0x3900 : ASC_INVALID_FIELD);
        return;
    }
    if (unit->options.kind == SCSI_DISK)
        reply[ten ? 3 : 2] = (uint8_t)(0x10 | (scsi_read_only(unit) ? 0x80 : 0)); /* FUA is known; write protection */
    if (ten)
        put_be16(reply, (uint16_t)(length - 2));
    else
        reply[0] = (uint8_t)(length - 1);
    scsi_reply(request, reply, length, ten ? get_be16(cdb + 7) : cdb[4]);
}

/* Whatever is selected is what there is already, for pages that exist; the list is read as far as its first page. */
void scsi_mode_select(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    bool ten = cdb[0] == 0x55;
    size_t length = ten ? get_be16(cdb + 7) : cdb[4], header = ten ? 8 : 4, skip;
    uint8_t list[64] = {0};
    unsigned kind = unit->options.kind == SCSI_DISK ? 1 : 2;
    int64_t got;

    if (length == 0) {
        scsi_good(request);
        return;
    }
    if ((cdb[1] & 0x11) != 0x10 || length < header) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, length < header ? ASC_LIST_LENGTH : ASC_INVALID_FIELD);
        return;
    }
    if (!scsi_moves(request, SCSI_OUT))
        return;
    got = scatter_get(request->data, list, MIN(length, sizeof list));
    request->failed = got < 0 ? (int)got : 0;
    request->moved = got < 0 ? 0 : (uint64_t)got;
    skip = header + (ten ? get_be16(list + 6) : list[3]);
    for (unsigned n = 0; got >= 0 && skip < sizeof list && n < ARRAY_SIZE(mode_pages); n++)
        if ((mode_pages[n].kinds & kind) && mode_pages[n].code == (list[skip] & 0x3F) && skip + 2 <= (size_t)got) {
            scsi_good(request);
            return;
        }
    scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_PARAMETER);
}

void scsi_start_stop(struct scsi_unit *unit, struct scsi_request *request)
{
    bool load_eject = request->cdb[4] & 2, begin = request->cdb[4] & 1, power = request->cdb[4] >> 4;

    if (power || !load_eject || !unit->options.removable) {
        scsi_good(request); /* it is always as awake as it has to be */
    } else if (begin) {
        if (unit->state.tray_open && unit->medium) {
            unit->state.attention |= ATTENTION_MEDIUM;
            unit->state.event = EVENT_NEW_MEDIUM;
        }
        unit->state.tray_open = false;
        scsi_good(request);
    } else if (scsi_locked(unit)) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
    } else {
        if (scsi_has_medium(unit))
            unit->state.event = EVENT_REMOVAL;
        unit->state.tray_open = true;
        scsi_good(request);
    }
}

void scsi_prevent_removal(struct scsi_unit *unit, struct scsi_request *request)
{
    if (unit->options.removable) {
        unit->state.locked = request->cdb[4] & 1;
        scsi_good(request);
    } else {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    }
}

/* The default self-test, which is passed; there are no diagnostic pages to send (SPC 6.42). */
void scsi_send_diagnostic(struct scsi_unit *unit, struct scsi_request *request)
{
    const uint8_t *cdb = request->cdb;
    bool self_test = cdb[1] & 4;

    (void)unit;
    if (get_be16(cdb + 3) || (cdb[1] >> 5 && self_test))
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
    else
        scsi_good(request);
}
