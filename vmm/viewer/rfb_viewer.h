/*
 * One viewer past the handshake: a thread that serves its messages and sends it what changed, with LibVNCServer.
 *
 * LibVNCServer keeps some things for the whole process (0.9.14): making a screen resets the lock of all client lists,
 * and the list of security handlers has none. So screens are made before any viewer runs, and what else touches those
 * is done one viewer at a time. Its log is switched off: peers decide what stands there.
 */
#ifndef CASEMENT_RFB_VIEWER_H
#define CASEMENT_RFB_VIEWER_H

#include <stdatomic.h>
#include <stdint.h>

#include "rfb_input.h"
#include "screen.h"

/* Between every two signs of life from a peer that is expected to give one. */
#define RFB_PATIENCE_NS INT64_C(60000000000)

struct _rfbScreenInfo;

struct rfb_viewer_options {
    int fd;                     /* connected, not blocking; the caller's. shutdown() ends the viewer */
    struct _rfbScreenInfo *lib; /* no other viewer's at the same time */
    struct screen *screen;
    struct input *input;
    int64_t patience_ns;
    _Atomic int64_t *deadline_ns; /* until when it must have come further, or 0; the caller calls shutdown() then */
    _Atomic uint64_t *frames, *bytes;
};

/* NULL: out of memory. Before any viewer runs. */
struct _rfbScreenInfo *rfb_viewer_screen_create(const char *name);
/* When no viewer runs any more. */
void rfb_viewer_screen_destroy(struct _rfbScreenInfo *lib);
/* Returns when the viewer has left, with its keys and buttons released. */
void rfb_viewer_run(const struct rfb_viewer_options *options);

#endif
