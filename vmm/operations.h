/*
 * What an operator can ask of a machine: one structure of operations, behind which the API, the event stream and the
 * metrics need not know a device. Texts are UTF-8.
 */
#ifndef CASEMENT_OPERATIONS_H
#define CASEMENT_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"
#include "casement/input.h"
#include "casement/net.h"
#include "statistics.h"

/* PAUSED: it waits for what the host lacks. */
enum machine_phase { PHASE_STARTING, PHASE_RUNNING, PHASE_PAUSED, PHASE_STOPPING };
extern const char *const machine_phase_names[PHASE_STOPPING + 1];
enum machine_power { MACHINE_POWER_BUTTON, MACHINE_RESET, MACHINE_OFF };

/* Work that has an end, such as a download before there is a screen. */
struct machine_progress {
    bool active;
    char title[96], unit[16];
    uint64_t done, total;             /* total 0: unknown */
    int64_t per_second, seconds_left; /* units, of late; -1: unknown */
};

struct machine_status {
    const char *name, *layout; /* live as long as the machine */
    enum machine_phase phase;
    char waits_for[96]; /* empty: nothing */
    int64_t uptime_ns;  /* of the machine, not of its guest */
    unsigned cpus, viewers;
    uint64_t memory, resets; /* memory in bytes */
    unsigned width, height;  /* of the screen; both 0 while the guest has set no mode or there is no display */
    struct usage usage;
    struct machine_progress progress;
};

/* What grows, for the metrics. */
struct machine_counters {
    struct totals totals;
    uint64_t viewer_frames, viewer_bytes;
};

struct machine_disk {
    char id[16];
    const char *file, *bus, *engine; /* these live as long as the machine */
    bool cdrom, read_only, qcow2;
    bool full; /* waits for space on the host */
    uint64_t size;
    struct block_limits limits;
    struct block_totals totals;
};

struct machine_usb {
    const char *name;
    bool plugged;
    bool driven; /* the guest waits for what it has to say */
};

/*
 * What fails returns -errno with a text. ANY: called on any thread, never waits for a vCPU or the main loop. MAIN:
 * called on the main loop's thread only, and may wait for vCPUs.
 */
struct machine_ops {
    /* ANY */
    void (*status)(void *machine, struct machine_status *status);
    void (*counters)(void *machine, struct machine_counters *counters);
    /* ANY. The picture as PNG; *png is the caller's to free. -ENODEV: no display. */
    int (*screenshot)(void *machine, uint8_t **png, size_t *size, struct error *error);
    /* ANY. layout may be NULL: the machine's own. */
    int (*text)(void *machine, const char *text, const char *layout, struct error *error);
    int (*keys)(void *machine, const char *names, struct error *error);
    int (*pointer)(void *machine, const struct input_pointer *pointer, struct error *error);
    /* ANY. The index-th, false or NULL behind the last. */
    const char *(*layout)(void *machine, unsigned index);
    bool (*forward)(void *machine, unsigned index, struct net_forward *forward);
    bool (*usb)(void *machine, unsigned index, struct machine_usb *usb);
    bool (*disk)(void *machine, unsigned index, struct machine_disk *disk);
    /* MAIN. -ENOENT: no such device. */
    int (*plug)(void *machine, const char *name, bool plugged, struct error *error);
    /* MAIN. size in bytes, a multiple of 512. -ENOENT: no such disk; -EINVAL: it would shrink; -EROFS. */
    int (*grow)(void *machine, const char *disk, uint64_t size, struct error *error);
    /* MAIN */
    int (*power)(void *machine, enum machine_power power, struct error *error);
    /* ANY. A viewer that has been let in speaks RFB on this stream socket, which is the machine's from now on whatever
     * is returned. -EBUSY: no more viewers; -ENODEV: no display. */
    int (*viewer)(void *machine, int fd);
};

#endif
