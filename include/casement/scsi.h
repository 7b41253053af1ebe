/*
 * SCSI logical units over images, for whatever transport brings their command blocks (ATAPI, USB, virtio): direct
 * access (SBC-3) and CD/DVD-ROM (MMC-6), both with the primary commands (SPC-4).
 *
 * Everything here runs on the unit's loop, which is the transport's; the unit has no lock.
 */
#ifndef CASEMENT_SCSI_H
#define CASEMENT_SCSI_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/block.h"
#include "casement/transfer.h"

#define SCSI_CDB_BYTES 16
#define SCSI_SENSE_BYTES 18

enum scsi_kind { SCSI_DISK, SCSI_CDROM };
enum scsi_status { SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02, SCSI_PHASE_ERROR = 0xFF /* no status: see below */ };
enum scsi_data { SCSI_NO_DATA = 0, SCSI_IN = 1, SCSI_OUT = 2, SCSI_EITHER = 3 };

struct scsi_options {
    enum scsi_kind kind;
    unsigned depth;             /* requests at a time; 0: one */
    bool removable;             /* a disk's medium can be taken out; a CD-ROM's always can */
    uint8_t physical_interface; /* MMC-6 5.3.2: 2 ATAPI, 8 USB */
    const char *vendor;         /* at most 8 characters; these stay the caller's */
    const char *product;        /* at most 16 */
    const char *serial;         /* at most 20 */
};

struct scsi_unit;

/* A unit without a medium. The loop's requests run there. NULL when out of memory. */
struct scsi_unit *scsi_create(const struct scsi_options *options, struct loop *loop);
/* On the loop, or while it does not run. The medium stays its owner's. */
void scsi_destroy(struct scsi_unit *unit);

/*
 * Puts a medium in (or takes it out with NULL) and closes the tray; what was in flight is done on return. -errno with a
 * text when no queue can be made: the old medium stays. On the loop, or while it does not run.
 */
int scsi_set_medium(struct scsi_unit *unit, struct block *medium, struct error *error);
/* Whether the guest has locked the medium; and a request to the guest to let go of it. */
bool scsi_locked(const struct scsi_unit *unit);
void scsi_request_eject(struct scsi_unit *unit);
/* Power-on or a bus reset: unit attention, nothing locked, nothing in flight on return. A tray stays as it is. */
void scsi_reset(struct scsi_unit *unit);
/* Waits for what is in flight. */
void scsi_drain(struct scsi_unit *unit);

struct scsi_request {
    uint8_t cdb[SCSI_CDB_BYTES]; /* shorter blocks are filled up with zeroes */
    struct scatter *data;        /* the host's buffers; what a command moves beyond them is cut off */
    enum scsi_data direction;    /* what they are for; the other way ends as SCSI_PHASE_ERROR, with nothing moved */
    /* Exactly once, on the loop; possibly before scsi_submit() returns. */
    void (*done)(struct scsi_request *request);
    void *opaque;
    /* The result: */
    uint8_t status;
    int failed;                      /* -EFAULT: the buffers are not guest RAM; otherwise 0 */
    uint8_t sense[SCSI_SENSE_BYTES]; /* fixed format, when status is SCSI_CHECK_CONDITION */
    bool cut_off;                    /* the buffers ended before what the command moves did */
    enum scsi_data moved_where;      /* which way the command moves data */
    uint64_t moved;                  /* bytes moved */
    /* The unit's own: */
    struct scsi_unit *unit;
    struct scsi_request *next;
    bool flush_after;
    struct block_request block; /* that moves nothing through the buffers */
    struct block_transfer transfer;
};
/* Starts a request, which stays the caller's until done; starts the image's work too. */
void scsi_submit(struct scsi_unit *unit, struct scsi_request *request);

#endif
