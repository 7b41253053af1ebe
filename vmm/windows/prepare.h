/*
 * Everything before Setup can run: the medium found or downloaded, known for what it is, the edition chosen, the system
 * disk made, the answer disc made. Each step is written down (journey.h) when it is done, so that it is done once.
 */
#ifndef CASEMENT_WINDOWS_PREPARE_H
#define CASEMENT_WINDOWS_PREPARE_H

#include <limits.h>

#include "../config.h"
#include "journey.h"
#include "profile.h"
#include "source.h"

struct preparation {
    struct config *config;
    struct source source;
    struct journey journey;
    char disk[PATH_MAX]; /* the system disk */
    bool qcow2, disk_there;
    struct profile_plan profile;
    int disc;         /* the answer disc, or one with drivers for another profile: a memfd; -1: none */
    int trial;        /* the small disk for another profile's driver, a memfd; -1: none */
    unsigned watched; /* the place of the disk that a change of profile is about */
};

/*
 * How far the Windows of the state folder is, before the folder is anybody's; INSTALLED too when there is a system on a
 * disk that the journey does not know of. NEW where that cannot be told: prepare_look() says why.
 */
enum journey_step prepare_step(struct config *config);
/*
 * Reads the journey and looks at the disk, and settles what it is to be: preparation->journey.step is INSTALLED when
 * there is a system on the disk, whatever the journey says. Config, source, disc and trial (-1) are set; the state
 * folder is the caller's. 0, or -errno with a text, and then nothing may be touched.
 */
int prepare_look(struct preparation *preparation, struct error *error);
/*
 * What is left to do before this start: nothing for a Windows that is installed, the steps up to Setup (while operators
 * are served, see waiting.h), or, for a start from the user's disc, a system disk, which is empty where there is none;
 * no other profile is tried then. Main thread. 0, or -errno with a text.
 */
int prepare(struct preparation *preparation, struct error *error);
/*
 * Makes the system disk as large as the user has said, if that is more than it has. Puts the disks that the step needs
 * in front of the user's, or instead of them; what a change of profile needs goes behind them, so that none of them
 * moves. Network card as in the profile. 0, or -errno with a text.
 */
int prepare_disks(struct preparation *preparation, struct error *error);

#endif
