/* Commands that a disk and a packet device both have: power, features, security (ACS 7). */
#include "ahci_private.h"
#include "casement/bytes.h"

#define FEATURE_WRITE_CACHE_ON 0x02U
#define FEATURE_TRANSFER_MODE 0x03U
#define FEATURE_LOOK_AHEAD_OFF 0x55U
#define FEATURE_KEEP_ON_RESET 0x66U
#define FEATURE_WRITE_CACHE_OFF 0x82U
#define FEATURE_LOOK_AHEAD_ON 0xAAU
#define FEATURE_LOSE_ON_RESET 0xCCU

void ata_reset(struct port *port)
{
    port->drive = (struct ata_state){.write_cache = true, .look_ahead = true, .smart = true, .multiple = 16};
    port->drive.queued_error[0] = 0x80; /* of no queued command */
    ata_checksum(port->drive.queued_error);
}

bool ata_is_standby(uint8_t number)
{
    return number == 0x94 || number == 0x96 || number == 0x99 || number == 0xE0 || number == 0xE2 || number == 0xE6;
}

static bool set_features(struct ata_state *drive, uint8_t feature)
{
    switch (feature) {
    case FEATURE_WRITE_CACHE_ON:
    case FEATURE_WRITE_CACHE_OFF:
        drive->write_cache = feature == FEATURE_WRITE_CACHE_ON;
        return true;
    case FEATURE_LOOK_AHEAD_ON:
    case FEATURE_LOOK_AHEAD_OFF:
        drive->look_ahead = feature == FEATURE_LOOK_AHEAD_ON;
        return true;
    case FEATURE_TRANSFER_MODE: /* all modes are the same here */
    case FEATURE_KEEP_ON_RESET:
    case FEATURE_LOSE_ON_RESET:
        return true;
    default:
        return false;
    }
}

/* Returns whether it is known; *done whether it succeeds. */
static bool carry_out(struct command *command, struct ata_state *drive, bool *done)
{
    *done = true;
    if (ata_is_standby(command->fis[2])) {
        drive->standby = true;
        return true;
    }
    switch (command->fis[2]) {
    case 0x95: /* IDLE IMMEDIATE, IDLE */
    case 0x97:
    case 0xE1:
    case 0xE3:
        drive->standby = false;
        return true;
    case 0x98: /* CHECK POWER MODE */
    case 0xE5:
        command->count = drive->standby ? 0x00 : 0xFF;
        return true;
    case 0xEF: /* SET FEATURES */
        *done = set_features(drive, command->fis[3]);
        return true;
    case 0xF5: /* SECURITY FREEZE LOCK: Windows 8 and later insist on it, security or not */
        return true;
    default:
        return false;
    }
}

bool ata_common_command(struct command *command)
{
    bool done;

    if (!carry_out(command, &command->port->drive, &done))
        return false;
    if (done)
        command_finish(command);
    else
        command_fail(command, ERROR_ABORTED);
    return true;
}
