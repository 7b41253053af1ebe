/*
 * Which controllers the system disk and the network card are on, and how that changes on a Windows that is installed.
 *
 * A Windows that does not start with a disk's driver cannot be started from that disk (bug check 0x7B). So another
 * profile is tried first: for one start a small disk is where the system disk would go, and the guest's own driver has
 * to drive that; from then on Windows starts with that driver. The next start moves the system disk, and only when the
 * guest drives it there does the journey say so: until then the old profile is one option away. Windows' own driver for
 * NVMe is tried like the others, since Windows leaves those out at a start that it had no disk for (7.3 of the platform
 * contract). Main thread.
 */
#ifndef CASEMENT_WINDOWS_PROFILE_H
#define CASEMENT_WINDOWS_PROFILE_H

#include "../config.h"
#include "journey.h"

#define PROFILE_INBOX "inbox"
#define PROFILE_VIRTIO "virtio"
#define PROFILE_SCSI "scsi"
#define PROFILE_AHCI "ahci"

enum profile_change {
    PROFILE_STAYS,
    PROFILE_TRIES, /* a small disk goes where the system disk would */
    PROFILE_MOVES, /* the guest has driven one there, so the system disk follows */
};

struct profile_plan {
    enum profile_change change;
    const char *used;   /* by the system disk and the card at this start */
    const char *wished; /* what the user asks for; used, when it is nothing */
};

/* What the options mean for the Windows of that journey. */
void profile_plan(struct profile_plan *plan, const struct journey *journey, const struct config_windows *windows);
enum config_bus profile_bus(const char *profile);
enum config_card profile_card(const char *profile);
/* Has Windows no driver for it on its medium? */
bool profile_needs_drivers(const char *profile);
/* Says in one line what this start does about the profile, and what the user can do; has_drivers: on a disc. */
void profile_tell(const struct profile_plan *plan, const struct journey *journey, bool has_drivers);
/* The guest drives the disk that the change is about: the journey, which is to be written, goes on with that. */
void profile_driven(struct profile_plan *plan, struct journey *journey);
/* The machine ends. Whether the journey changes: a system disk that was moved has not been driven. */
bool profile_ended(const struct profile_plan *plan, struct journey *journey);

#endif
