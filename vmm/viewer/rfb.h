/*
 * The screen, keyboard and pointer by the RFB protocol (RFC 6143): viewers that join, and a plain VNC port if asked.
 *
 * Each viewer is a thread with a LibVNCServer screen of its own over the picture that all share (screen.h). A peer
 * reaches the library only after the handshake, and only by whole messages of the few kinds that are served.
 */
#ifndef CASEMENT_RFB_H
#define CASEMENT_RFB_H

#include <stdint.h>

#include "casement/display.h"
#include "casement/error.h"
#include "casement/input.h"

#define RFB_VIEWERS_MAX 16
/* Of a VNC password; what is behind does not count (RFC 6143 7.2.2). */
#define RFB_PASSWORD_MAX 8

struct rfb;
struct rfb_options {
    struct display *display; /* both outlive it */
    struct input *input;
    const char *name;     /* what viewers see in their title; lives as long */
    unsigned viewers_max; /* 0: RFB_VIEWERS_MAX */
    unsigned patience_ms; /* how long a peer may take for a message or an update; 0: a minute */
};
/* 0, or -errno with a text. */
int rfb_create(const struct rfb_options *options, struct rfb **rfb, struct error *error);
/*
 * Serves RFB on a connected stream socket whose peer has been let in already (security type None). fd is the rfb's from
 * now on and is closed whatever happens. -EBUSY: as many viewers as there may be are there. Any thread.
 */
int rfb_attach(struct rfb *rfb, int fd);
/*
 * Plain VNC on TCP with VNC authentication. address is numeric, IPv4 or IPv6; the password is copied. Once, before the
 * guest runs. 0, or -errno with a text.
 */
int rfb_listen(struct rfb *rfb, const char *address, uint16_t port, const char *password, struct error *error);

struct rfb_statistics {
    unsigned viewers;       /* that are there now, past the handshake */
    uint64_t frames, bytes; /* that were sent to all viewers since the start */
};
/* Any thread. */
void rfb_statistics(struct rfb *rfb, struct rfb_statistics *statistics);
/* Ends every viewer; their keys and buttons are released. */
void rfb_destroy(struct rfb *rfb);

#endif
