/*
 * How far an installation has come, written into the machine's state folder: journey.json, each change a new file that
 * is renamed over the old one when it is on the disk. Whatever is killed whenever, the next start reads the last step
 * that was finished.
 */
#ifndef CASEMENT_WINDOWS_JOURNEY_H
#define CASEMENT_WINDOWS_JOURNEY_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"

enum journey_step {
    JOURNEY_NEW,        /* nothing is known: no journey.json */
    JOURNEY_FETCHED,    /* the medium is whole and has its name */
    JOURNEY_PREPARED,   /* the disk was made, the answers chosen; Setup may be started */
    JOURNEY_INSTALLING, /* Setup has been started from the medium; phase counts the starts of the machine since */
    JOURNEY_INSTALLED,  /* the guest has said so; the medium is not needed any more */
};
extern const char *const journey_step_names[JOURNEY_INSTALLED + 1];

struct journey {
    enum journey_step step;
    unsigned phase;
    char version[1024];            /* as it was asked for */
    char medium[1024], digest[65]; /* the ISO's path, and its SHA-256 if it was computed */
    bool fetched_by_us;            /* so it may be deleted */
    unsigned image;                /* its index on the medium */
    char edition[64], language[32], profile[16];
    char disk[1024];         /* the system disk where it is not in the folder; else empty */
    char disk_identity[512]; /* its journey_disk_identity() */
    char tried[16];          /* the profile that the system disk may move to (profile.h) */
    unsigned build;
    char installed_at[32]; /* RFC 3339, by the host's clock */
    char report[256];      /* what the guest said last */
};

/* Reads it: 0 (JOURNEY_NEW without a file), or -EILSEQ with a text that says how to go on when the file is damaged. */
int journey_read(const char *folder, struct journey *journey, struct error *error);
/* Writes it durably (file and folder). 0 or -errno with a text; -EINVAL: a text in it that is not UTF-8. */
int journey_write(const char *folder, const struct journey *journey, struct error *error);

/* Deletes the medium if it was fetched by us, and a download of it that was begun; says so. */
void journey_delete_medium(const struct journey *journey);

/*
 * Is there a system on the disk, whatever the state file says? 1: yes, or data that nobody may wipe; 0: empty, or made
 * by an installation that did not get as far as a partition table; -errno with a text, and then it must not be wiped.
 * Empty is a disk (raw or qcow2, by the block layer) whose first MiB is zeroes or an empty GPT and nothing else,
 * without a GPT's copy with partitions at its end.
 */
int journey_disk_used(const char *path, bool qcow2, struct error *error);

/*
 * What tells a block device from another one that has got its name, as names of devices go from one to another: its
 * size and what its kernel knows of it. Empty for a file, and for what cannot be opened. Cut off at size.
 */
void journey_disk_identity(const char *path, char *text, size_t size);

/*
 * Moves an old disk and its journey to backups/TIME below the folder, durably and before anything new is made; what is
 * not there is not missed. Whatever it is killed at, a later call finishes it. path_out (may be NULL, of size bytes)
 * gets the new place, empty when there was nothing to move. The caller has the state folder's lock. -EXDEV: the disk is
 * on another file system; -EINVAL: a link or a device. The disk is untouched then.
 */
int journey_set_aside(const char *folder, const char *disk, char *path_out, uint64_t size, struct error *error);

#endif
