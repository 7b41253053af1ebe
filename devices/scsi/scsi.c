/* A SCSI logical unit: its medium, the way of a request through it, and the table of commands. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "scsi_private.h"

#define FOR_DISK 1U
#define FOR_CDROM 2U
#define FOR_BOTH 3U

#define NEEDS_MEDIUM 1U
#define PASSES_ATTENTION 2U /* is carried out while a unit attention waits (SPC 5.14, MMC 4.1.6.1) */
#define KEEPS_SENSE 4U
#define LISTS 8U /* has the unit's list for itself */

struct command {
    uint8_t opcode, kinds, flags;
    scsi_handler *handler;
};

static void test_unit_ready(struct scsi_unit *unit, struct scsi_request *request)
{
    (void)unit;
    scsi_good(request);
}

/* Speeds, read-ahead: nothing here has any. */
static void accept_hint(struct scsi_unit *unit, struct scsi_request *request)
{
    (void)unit;
    scsi_good(request);
}

static const struct command commands[] = {
    {0x00, FOR_BOTH, NEEDS_MEDIUM, test_unit_ready},
    {0x03, FOR_BOTH, PASSES_ATTENTION | KEEPS_SENSE, scsi_request_sense},
    {0x04, FOR_DISK, NEEDS_MEDIUM, scsi_format},
    {0x08, FOR_DISK, NEEDS_MEDIUM, scsi_read},
    {0x0A, FOR_DISK, NEEDS_MEDIUM, scsi_write},
    {0x12, FOR_BOTH, PASSES_ATTENTION | KEEPS_SENSE, scsi_inquiry},
    {0x15, FOR_BOTH, 0, scsi_mode_select},
    {0x1A, FOR_BOTH, 0, scsi_mode_sense},
    {0x1B, FOR_BOTH, 0, scsi_start_stop},
    {0x1D, FOR_DISK, 0, scsi_send_diagnostic},
    {0x1E, FOR_BOTH, 0, scsi_prevent_removal},
    {0x23, FOR_BOTH, 0, scsi_read_format_capacities},
    {0x25, FOR_BOTH, NEEDS_MEDIUM, scsi_read_capacity},
    {0x28, FOR_BOTH, NEEDS_MEDIUM, scsi_read},
    {0x2A, FOR_DISK, NEEDS_MEDIUM, scsi_write},
    {0x2B, FOR_BOTH, NEEDS_MEDIUM, scsi_seek},
    {0x2F, FOR_BOTH, NEEDS_MEDIUM, scsi_verify},
    {0x35, FOR_BOTH, NEEDS_MEDIUM, scsi_synchronize},
    {0x41, FOR_DISK, NEEDS_MEDIUM | LISTS, scsi_write_same},
    {0x42, FOR_DISK, NEEDS_MEDIUM | LISTS, scsi_unmap},
    {0x43, FOR_CDROM, NEEDS_MEDIUM, scsi_read_toc},
    {0x46, FOR_CDROM, PASSES_ATTENTION, scsi_get_configuration},
    {0x4A, FOR_CDROM, PASSES_ATTENTION, scsi_get_event},
    {0x51, FOR_CDROM, NEEDS_MEDIUM, scsi_disc_information},
    {0x52, FOR_CDROM, NEEDS_MEDIUM, scsi_track_information},
    {0x55, FOR_BOTH, 0, scsi_mode_select},
    {0x5A, FOR_BOTH, 0, scsi_mode_sense},
    {0x88, FOR_DISK, NEEDS_MEDIUM, scsi_read},
    {0x8A, FOR_DISK, NEEDS_MEDIUM, scsi_write},
    {0x8F, FOR_DISK, NEEDS_MEDIUM, scsi_verify},
    {0x91, FOR_DISK, NEEDS_MEDIUM, scsi_synchronize},
    {0x93, FOR_DISK, NEEDS_MEDIUM | LISTS, scsi_write_same},
    {0x9E, FOR_DISK, NEEDS_MEDIUM, scsi_service_action_in},
    {0xA0, FOR_BOTH, PASSES_ATTENTION, scsi_report_luns},
    {0xA8, FOR_BOTH, NEEDS_MEDIUM, scsi_read},
    {0xAA, FOR_DISK, NEEDS_MEDIUM, scsi_write},
    {0xAD, FOR_CDROM, 0, scsi_dvd_structure},
    {0xAF, FOR_DISK, NEEDS_MEDIUM, scsi_verify},
    {0xB9, FOR_CDROM, NEEDS_MEDIUM, scsi_read_cd},
    {0xBB, FOR_CDROM, 0, accept_hint}, /* SET CD SPEED */
    {0xBD, FOR_CDROM, PASSES_ATTENTION, scsi_mechanism_status},
    {0xBE, FOR_CDROM, NEEDS_MEDIUM, scsi_read_cd},
};

void scsi_fill_sense(uint8_t sense[SCSI_SENSE_BYTES], enum sense_key key, unsigned additional)
{
    memset(sense, 0, SCSI_SENSE_BYTES);
    sense[0] = 0x70;
    sense[2] = (uint8_t)key;
    sense[7] = SCSI_SENSE_BYTES - 8;
    sense[12] = (uint8_t)(additional >> 8);
    sense[13] = (uint8_t)additional;
}

static void dispatch(struct scsi_unit *unit, struct scsi_request *request);

/* One that ends at once comes back here by scsi_finish(), which leaves the next to this loop. */
static void start_waiting(struct scsi_unit *unit)
{
    if (unit->starting)
        return;
    unit->starting = true;
    while (!unit->lister && unit->waiting) {
        struct scsi_request *request = unit->waiting;

        unit->waiting = request->next;
        dispatch(unit, request);
    }
    unit->starting = false;
    if (unit->queue)
        block_queue_kick(unit->queue);
}

static void wait_for_list(struct scsi_unit *unit, struct scsi_request *request)
{
    struct scsi_request **end = &unit->waiting;

    while (*end)
        end = &(*end)->next;
    request->next = NULL;
    *end = request;
}

void scsi_finish(struct scsi_request *request, uint8_t status)
{
    struct scsi_unit *unit = request->unit;
    bool listed = unit->lister == request;

    if (listed)
        unit->lister = NULL;
    request->status = status;
    request->done(request);
    if (listed)
        start_waiting(unit);
}

void scsi_good(struct scsi_request *request)
{
    scsi_finish(request, SCSI_GOOD);
}

void scsi_fail(struct scsi_request *request, enum sense_key key, unsigned additional)
{
    scsi_fill_sense(request->sense, key, additional);
    memcpy(request->unit->state.sense, request->sense, sizeof request->sense);
    scsi_finish(request, SCSI_CHECK_CONDITION);
}

bool scsi_moves(struct scsi_request *request, enum scsi_data direction)
{
    request->moved_where = direction;
    if (request->data && (request->direction & direction))
        return true;
    scsi_finish(request, SCSI_PHASE_ERROR);
    return false;
}

void scsi_reply(struct scsi_request *request, const void *data, size_t length, size_t allocation)
{
    int64_t moved;

    length = MIN(length, allocation);
    if (length == 0) {
        scsi_good(request);
        return;
    }
    if (!scsi_moves(request, SCSI_IN))
        return;
    moved = scatter_put(request->data, data, length);
    request->failed = moved < 0 ? (int)moved : 0;
    request->moved = moved < 0 ? 0 : (uint64_t)moved;
    scsi_good(request);
}

static const struct command *find(const struct scsi_unit *unit, uint8_t opcode)
{
    unsigned kind = unit->options.kind == SCSI_DISK ? FOR_DISK : FOR_CDROM;

    for (unsigned n = 0; n < ARRAY_SIZE(commands); n++)
        if (commands[n].opcode == opcode && (commands[n].kinds & kind))
            return &commands[n];
    return NULL;
}

unsigned scsi_take_attention(struct scsi_unit *unit)
{
    static const struct {
        uint8_t attention, takes; /* takes: what it says as well */
        uint16_t additional;
    } told[] = {{ATTENTION_POWER_ON, ATTENTION_POWER_ON, ASC_POWER_ON},
                {ATTENTION_MEDIUM, ATTENTION_MEDIUM | ATTENTION_CAPACITY, ASC_MEDIUM_CHANGED},
                {ATTENTION_CAPACITY, ATTENTION_CAPACITY, ASC_CAPACITY_CHANGED}};

    if (atomic_exchange(&unit->resized, false) && scsi_has_medium(unit))
        unit->state.attention |= ATTENTION_CAPACITY;
    for (unsigned n = 0; n < ARRAY_SIZE(told); n++)
        if (unit->state.attention & told[n].attention) {
            unit->state.attention &= (uint8_t)~told[n].takes;
            return told[n].additional;
        }
    return 0;
}

/* Tells what waits to be told; false: nothing does. */
static bool tell_attention(struct scsi_unit *unit, struct scsi_request *request)
{
    unsigned additional = scsi_take_attention(unit);

    if (additional)
        scsi_fail(request, SENSE_UNIT_ATTENTION, additional);
    return additional;
}

static void dispatch(struct scsi_unit *unit, struct scsi_request *request)
{
    const struct command *command = find(unit, request->cdb[0]);

    if (!command) {
        scsi_fail(request, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
        return;
    }
    if (!(command->flags & PASSES_ATTENTION) && tell_attention(unit, request))
        return;
    if (!(command->flags & KEEPS_SENSE))
        memset(unit->state.sense, 0, sizeof unit->state.sense);
    if ((command->flags & NEEDS_MEDIUM) && !scsi_has_medium(unit)) {
        scsi_fail(request, SENSE_NOT_READY, unit->state.tray_open ? ASC_NO_MEDIUM_OPEN : ASC_NO_MEDIUM_CLOSED);
        return;
    }
    if ((command->flags & LISTS) && unit->lister) {
        wait_for_list(unit, request);
        return;
    }
    if (command->flags & LISTS)
        unit->lister = request;
    command->handler(unit, request);
}

void scsi_submit(struct scsi_unit *unit, struct scsi_request *request)
{
    request->unit = unit;
    request->failed = 0;
    request->moved = 0;
    request->cut_off = false;
    request->moved_where = SCSI_NO_DATA;
    request->flush_after = false;
    memset(request->sense, 0, sizeof request->sense);
    dispatch(unit, request);
    if (unit->queue)
        block_queue_kick(unit->queue);
}

struct scsi_unit *scsi_create(const struct scsi_options *options, struct loop *loop)
{
    struct scsi_unit *unit = calloc(1, sizeof *unit);

    if (!unit)
        return NULL;
    unit->options = *options;
    if (options->kind == SCSI_CDROM)
        unit->options.removable = true;
    unit->loop = loop;
    scsi_reset(unit);
    return unit;
}

void scsi_destroy(struct scsi_unit *unit)
{
    if (!unit)
        return;
    if (unit->medium)
        block_on_resize(unit->medium, NULL, NULL);
    block_queue_destroy(unit->queue);
    free(unit);
}

/* block_on_resize() */
static void resized(void *opaque)
{
    atomic_store(&((struct scsi_unit *)opaque)->resized, true);
}

int scsi_set_medium(struct scsi_unit *unit, struct block *medium, struct error *error)
{
    struct block_queue *queue = NULL;

    if (medium) {
        queue = block_queue_create(medium, unit->loop, MAX(unit->options.depth, 1U) + 1, error);
        if (!queue)
            return -ENOMEM;
    }
    scsi_drain(unit);
    block_queue_destroy(unit->queue);
    if (unit->medium)
        block_on_resize(unit->medium, NULL, NULL);
    if (medium)
        block_on_resize(medium, resized, unit);
    atomic_store(&unit->resized, false);
    if (unit->medium || medium) {
        unit->state.event = medium ? EVENT_NEW_MEDIUM : EVENT_REMOVAL;
        if (medium)
            unit->state.attention |= ATTENTION_MEDIUM;
        else
            unit->state.attention &= (uint8_t)~ATTENTION_MEDIUM;
    }
    unit->queue = queue;
    unit->medium = medium;
    unit->state.tray_open = false;
    unit->state.locked = false;
    return 0;
}

bool scsi_locked(const struct scsi_unit *unit)
{
    return unit->state.locked && scsi_has_medium(unit);
}

void scsi_request_eject(struct scsi_unit *unit)
{
    unit->state.event = EVENT_EJECT_REQUEST;
}

void scsi_drain(struct scsi_unit *unit)
{
    do {
        start_waiting(unit);
        if (unit->queue)
            block_queue_drain(unit->queue);
    } while (unit->waiting);
}

void scsi_reset(struct scsi_unit *unit)
{
    scsi_drain(unit);
    unit->state = (struct scsi_state){.tray_open = unit->state.tray_open, .attention = ATTENTION_POWER_ON};
}
