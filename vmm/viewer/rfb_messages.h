/*
 * What a peer sends after the handshake, message by message (RFC 6143 7.5 and the extensions that are served).
 *
 * A message is looked at in the socket, without taking it out, until it is whole and of a kind that is served. So
 * LibVNCServer, which waits in the middle of a message and knows many kinds that nobody here needs (file transfer,
 * chat, scaling), never does the one nor sees the others.
 */
#ifndef CASEMENT_RFB_MESSAGES_H
#define CASEMENT_RFB_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RFB_MESSAGE_MAX 4096

enum rfb_message_kind {
    RFB_MESSAGE_PARTIAL, /* come again when more has arrived */
    RFB_MESSAGE_LIBRARY, /* whole, and LibVNCServer's to take from the socket */
    RFB_MESSAGE_KEY,     /* whole; the caller takes length bytes from the socket, as for all that follow */
    RFB_MESSAGE_EXTENDED_KEY,
    RFB_MESSAGE_POINTER,
    RFB_MESSAGE_CUT_TEXT,      /* the head is whole; skip more bytes follow that nobody wants */
    RFB_MESSAGE_SET_ENCODINGS, /* as RFB_MESSAGE_LIBRARY, with extended_keys and extended_buttons */
    /* The same, for a rectangle: the library divides by what is left of its sides on the screen. */
    RFB_MESSAGE_UPDATE_REQUEST,
    RFB_MESSAGE_REFUSED /* not served, malformed or beyond its bounds */
};

struct rfb_message {
    enum rfb_message_kind kind;
    unsigned length;
    uint32_t skip;
    bool extended_keys, extended_buttons; /* among the encodings: the pseudo-encodings -258 and -316 */
    bool down;
    uint32_t keysym, scan_code;
    uint16_t x, y, width, height, buttons;
};

/* data: what has arrived, at most RFB_MESSAGE_MAX bytes of it. extended_buttons: a pointer event may have two bytes of
 * buttons, because the server said so. */
void rfb_message_parse(const uint8_t *data, size_t size, bool extended_buttons, struct rfb_message *message);

#endif
