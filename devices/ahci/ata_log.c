/* SMART and the logs: a disk that has no history, and what a queued command failed of (ACS 7.48, 9; SATA 13.7). */
#include <string.h>

#include "ahci_private.h"
#include "casement/bytes.h"

#define LOG_DIRECTORY 0x00U
#define LOG_SUMMARY_ERRORS 0x01U
#define LOG_SELF_TESTS 0x06U
#define LOG_QUEUED_ERROR 0x10U

#define SMART_KEY 0xC24FU

void ata_note_queued_error(struct command *command, bool queued)
{
    uint8_t *log = command->port->drive.queued_error;

    memset(log, 0, SECTOR);
    log[0] = queued ? command->slot : 0x80;
    log[2] = ATA_READY | ATA_SEEK_DONE | ATA_ERR;
    log[3] = queued ? command->error : ERROR_ABORTED;
    memcpy(log + 4, command->fis + 4, 3);
    log[7] = command->fis[7];
    memcpy(log + 8, command->fis + 8, 3);
    memcpy(log + 12, command->fis + 12, 2);
    ata_checksum(log);
}

/* General purpose logs of one page each: READ LOG EXT, READ LOG DMA EXT. */
void ata_read_log(struct command *command, bool pio)
{
    const uint8_t *fis = command->fis;
    uint8_t page[SECTOR] = {0};

    if (fis[5] || fis[9] || get_le16(fis + 12) != 1) {
        command_fail(command, ERROR_ABORTED);
        return;
    }
    if (fis[4] == LOG_DIRECTORY) {
        put_le16(page, 1);
        put_le16(page + 2U * LOG_QUEUED_ERROR, 1);
    } else if (fis[4] == LOG_QUEUED_ERROR) {
        memcpy(page, command->port->drive.queued_error, sizeof page);
    } else {
        command_fail(command, ERROR_ABORTED);
        return;
    }
    command_reply(command, page, sizeof page, pio);
}

struct attribute {
    uint8_t id, flags, value, threshold;
};

/* Reallocated, pending and uncorrectable sectors: none, ever. */
static const struct attribute attributes[] = {{5, 0x03, 100, 10}, {197, 0x02, 100, 0}, {198, 0x02, 100, 0}};

static void smart_data(uint8_t *page, bool thresholds)
{
    put_le16(page, 0x0010);
    for (unsigned n = 0; n < ARRAY_SIZE(attributes); n++) {
        uint8_t *at = page + 2 + 12 * n;

        at[0] = attributes[n].id;
        if (thresholds) {
            at[1] = attributes[n].threshold;
            continue;
        }
        at[1] = attributes[n].flags;
        at[3] = at[4] = attributes[n].value;
    }
    if (!thresholds) {
        put_le16(page + 368, 0x0003); /* attributes are saved */
        page[370] = 1;                /* errors are logged */
    }
}

/* SMART READ LOG; false: there is no such log. */
static bool smart_log(const uint8_t *fis, uint8_t *page)
{
    if (fis[12] != 1)
        return false;
    switch (fis[4]) {
    case LOG_DIRECTORY:
        put_le16(page, 1);
        page[2 * LOG_SUMMARY_ERRORS] = 1;
        page[2 * LOG_SELF_TESTS] = 1;
        return true;
    case LOG_SUMMARY_ERRORS:
    case LOG_SELF_TESTS:
        page[0] = 1; /* the structure's version, and no entries */
        return true;
    default:
        return false;
    }
}

void ata_smart(struct command *command)
{
    const uint8_t *fis = command->fis;
    struct ata_state *drive = &command->port->drive;
    uint8_t page[SECTOR] = {0};
    bool log = false;

    if (get_le16(fis + 5) != SMART_KEY || (!drive->smart && fis[3] != 0xD8)) {
        command_fail(command, ERROR_ABORTED);
        return;
    }
    switch (fis[3]) {
    case 0xD0: /* READ DATA */
    case 0xD1: /* READ THRESHOLDS */
        smart_data(page, fis[3] == 0xD1);
        break;
    case 0xD5: /* READ LOG */
        log = smart_log(fis, page);
        if (!log) {
            command_fail(command, ERROR_ABORTED);
            return;
        }
        break;
    case 0xD8: /* ENABLE and DISABLE OPERATIONS */
    case 0xD9:
        drive->smart = fis[3] == 0xD8;
        command_finish(command);
        return;
    case 0xD2: /* AUTOSAVE, OFF-LINE IMMEDIATE, AUTOMATIC OFF-LINE: nothing to do */
    case 0xD4:
    case 0xDB:
        command_finish(command);
        return;
    case 0xDA: /* RETURN STATUS: well */
        command->lba = (uint64_t)SMART_KEY << 8;
        command_finish(command);
        return;
    default:
        command_fail(command, ERROR_ABORTED);
        return;
    }
    if (!log || fis[4] != LOG_DIRECTORY)
        ata_checksum(page);
    command_reply(command, page, sizeof page, true);
}
