/* What the files of the SCSI command interpreter share. Sections are cited as "SPC" (4), "SBC" (3) and "MMC" (6). */
#ifndef CASEMENT_SCSI_PRIVATE_H
#define CASEMENT_SCSI_PRIVATE_H

#include <stdatomic.h>

#include "casement/scsi.h"

#define CD_BLOCK 2048U
#define DISK_BLOCK 512U

enum sense_key {
    SENSE_NONE = 0,
    SENSE_NOT_READY = 2,
    SENSE_MEDIUM_ERROR = 3,
    SENSE_ILLEGAL_REQUEST = 5,
    SENSE_UNIT_ATTENTION = 6,
    SENSE_DATA_PROTECT = 7,
};
/* Additional sense: code and qualifier (SPC annex D). */
#define ASC_WRITE_FAULT 0x0300U
#define ASC_LUN_NOT_READY 0x0400U
#define ASC_UNRECOVERED_READ 0x1100U
#define ASC_LIST_LENGTH 0x1A00U
#define ASC_INVALID_OPCODE 0x2000U
#define ASC_OUT_OF_RANGE 0x2100U
#define ASC_INVALID_FIELD 0x2400U
#define ASC_INVALID_PARAMETER 0x2600U
#define ASC_WRITE_PROTECTED 0x2700U
#define ASC_MEDIUM_CHANGED 0x2800U
#define ASC_POWER_ON 0x2900U
#define ASC_CAPACITY_CHANGED 0x2A09U
#define ASC_WRONG_FORMAT 0x3002U
#define ASC_NO_MEDIUM_CLOSED 0x3A01U
#define ASC_NO_MEDIUM_OPEN 0x3A02U
#define ASC_REMOVAL_PREVENTED 0x5302U
#define ASC_WRONG_TRACK_MODE 0x6400U

/* Media events of GET EVENT STATUS NOTIFICATION (MMC 6.6.2.6). */
enum media_event { EVENT_NONE, EVENT_EJECT_REQUEST, EVENT_NEW_MEDIUM, EVENT_REMOVAL };

#define ATTENTION_POWER_ON 1U
#define ATTENTION_MEDIUM 2U
#define ATTENTION_CAPACITY 4U

/* What one UNMAP or WRITE SAME may ask for, as VPD page B0h says. */
#define UNMAP_DESCRIPTORS 256U
#define UNMAP_HEADER 8U
#define UNMAP_BYTES 16U                  /* of a descriptor */
#define UNMAP_BLOCKS (UINT32_C(1) << 22) /* 2 GiB */

/* What the guest can observe. */
struct scsi_state {
    uint8_t tray_open, locked;
    uint8_t attention; /* what the next command is told */
    uint8_t event;
    uint8_t sense[SCSI_SENSE_BYTES]; /* of the last command, for REQUEST SENSE */
};

struct scsi_unit {
    struct scsi_options options;
    struct loop *loop;
    struct block *medium;
    struct block_queue *queue; /* to the medium; NULL without one */
    _Atomic bool resized;      /* the medium has, and the state does not say so yet; any thread sets it */
    struct scsi_state state;
    /* Of one command at a time, the lister: what UNMAP lists, or the block that WRITE SAME repeats. Others wait for it.
     */
    struct scsi_request *lister, *waiting;
    bool starting; /* those that wait, one after the other */
    uint8_t list[UNMAP_HEADER + UNMAP_DESCRIPTORS * UNMAP_BYTES];
    unsigned ranges, next_range;
};

/* scsi.c: how a request ends. Each calls done; the caller returns. */
void scsi_finish(struct scsi_request *request, uint8_t status);
void scsi_good(struct scsi_request *request);
void scsi_fail(struct scsi_request *request, enum sense_key key, unsigned additional);
/* Hands over what of length bytes fits the allocation length that the command gives. */
void scsi_reply(struct scsi_request *request, const void *data, size_t length, size_t allocation);
void scsi_fill_sense(uint8_t sense[SCSI_SENSE_BYTES], enum sense_key key, unsigned additional);
/* What the guest is to be told next of what has happened to the unit, as additional sense, which is then told; 0:
 * nothing. */
unsigned scsi_take_attention(struct scsi_unit *unit);
/* Declares which way data goes; false: the transport's buffers are for the other, and the request has ended. */
bool scsi_moves(struct scsi_request *request, enum scsi_data direction);

static inline uint32_t scsi_block_bytes(const struct scsi_unit *unit)
{
    return unit->options.kind == SCSI_CDROM ? CD_BLOCK : DISK_BLOCK;
}
static inline bool scsi_has_medium(const struct scsi_unit *unit)
{
    return unit->medium && !unit->state.tray_open;
}
static inline uint64_t scsi_blocks(const struct scsi_unit *unit)
{
    return scsi_has_medium(unit) ? block_size(unit->medium) / scsi_block_bytes(unit) : 0;
}
static inline bool scsi_read_only(const struct scsi_unit *unit)
{
    return unit->options.kind == SCSI_CDROM || (unit->medium && block_read_only(unit->medium));
}

static inline bool scsi_can_unmap(const struct scsi_unit *unit)
{
    return unit->options.kind == SCSI_DISK && unit->medium && block_can_discard(unit->medium);
}

struct scsi_range {
    uint64_t first, count; /* blocks */
    bool forced;           /* FUA: on the disk before the status */
};
/* scsi_block.c */
/* Where commands of 6, 10, 12 and 16 bytes have address and length (SPC 4.3.4). */
struct scsi_range scsi_decode(const uint8_t *cdb);
/* false: it is not all on the medium, and the request has ended. */
bool scsi_in_range(struct scsi_unit *unit, struct scsi_request *request, const struct scsi_range *range);

typedef void scsi_handler(struct scsi_unit *unit, struct scsi_request *request);

/* scsi_block.c */
scsi_handler scsi_format, scsi_read, scsi_write, scsi_verify, scsi_synchronize, scsi_seek;
scsi_handler scsi_read_capacity, scsi_service_action_in, scsi_read_format_capacities, scsi_read_cd;

/* scsi_unmap.c */
scsi_handler scsi_unmap, scsi_write_same;

/* scsi_vpd.c: INQUIRY with EVPD */
scsi_handler scsi_vital_product_data;
void scsi_put_padded(uint8_t *to, const char *text, size_t length);

/* scsi_primary.c */
scsi_handler scsi_inquiry, scsi_request_sense, scsi_report_luns, scsi_mode_sense, scsi_mode_select;
scsi_handler scsi_start_stop, scsi_prevent_removal, scsi_send_diagnostic;

/* scsi_mmc.c */
scsi_handler scsi_read_toc, scsi_get_configuration, scsi_get_event, scsi_disc_information, scsi_track_information;
scsi_handler scsi_dvd_structure, scsi_mechanism_status;

#endif
