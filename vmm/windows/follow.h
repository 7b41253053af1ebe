/*
 * An installation while its machine runs: presses the key that the medium's boot program asks for, counts the starts,
 * and hears from the guest's serial port that Windows is installed. Then the media are taken out, and a medium that was
 * downloaded is deleted unless it is to stay. Of an installed Windows that is to change its profile, whether it drives
 * the disk that this is about.
 */
#ifndef CASEMENT_WINDOWS_FOLLOW_H
#define CASEMENT_WINDOWS_FOLLOW_H

#include <pthread.h>

#include "../machine.h"
#include "journey.h"
#include "profile.h"

/* All zeroes but for what stands in front of "Its own" before follow_start(). */
struct follow {
    const char *folder;      /* the state folder */
    struct journey *journey; /* written while the machine runs; the follower's until end() */
    unsigned medium, disc;   /* their places among the disks */
    bool remove_medium;
    bool silent; /* Windows may be whole long before it says so, or never say so */
    struct profile_plan profile;
    unsigned watched; /* the place of the disk that the profile's change is about */
    /* Its own: */
    struct machine_follower follower;
    struct machine *machine;
    char line[512]; /* of the serial port: the vCPUs' */
    size_t used;
    _Atomic unsigned events;
    struct loop_task task;
    struct loop_timer key, look;
    bool on_disk; /* what runs was started from it */
    int64_t key_until_ns;
    uint64_t read_before; /* bytes of the medium when firmware started it */
    pthread_mutex_t lock; /* over what follows */
    char report[256];
    char title[96];
};

/* For machine_main(), and the structure's home until that returns. */
const struct machine_follower *follow_start(struct follow *follow);

#endif
