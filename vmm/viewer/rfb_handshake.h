/*
 * The first messages of a connection, up to the SecurityResult (RFC 6143 7.1.1 to 7.1.3, versions 3.3, 3.7 and 3.8).
 *
 * It never waits: each step takes what has arrived. So a peer that stays silent costs a descriptor and no thread, and
 * one that does not know the password reaches nothing else.
 */
#ifndef CASEMENT_RFB_HANDSHAKE_H
#define CASEMENT_RFB_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#define RFB_CHALLENGE 16
#define RFB_KEY 8

/* VNC authentication: the key is the password's bytes, each with its bits in reverse (RFC 6143 7.2.2). */
void rfb_key_from_password(const char *password, uint8_t key[RFB_KEY]);
/* What a peer that knows the key answers. 0, or -EIO when libcrypto has no DES. */
int rfb_encrypt_challenge(const uint8_t key[RFB_KEY], const uint8_t challenge[RFB_CHALLENGE],
                          uint8_t answer[RFB_CHALLENGE]);

enum rfb_handshake_result {
    RFB_HANDSHAKE_MORE,     /* wait for the descriptor to become readable */
    RFB_HANDSHAKE_ANSWERED, /* the challenge: rfb_handshake_judge(), when the caller likes */
    RFB_HANDSHAKE_LET_IN,   /* ClientInit is what comes next */
    RFB_HANDSHAKE_FAILED
};

struct rfb_handshake {
    int fd; /* the caller's, not blocking */
    const uint8_t *key;
    enum { RFB_VERSION, RFB_SECURITY_TYPE, RFB_ANSWER } step;
    unsigned minor; /* of the version: 3, 7 or 8 */
    uint8_t received[RFB_CHALLENGE];
    unsigned have;
    uint8_t challenge[RFB_CHALLENGE];
};

/* key NULL: security type None. */
enum rfb_handshake_result rfb_handshake_begin(struct rfb_handshake *handshake, int fd, const uint8_t *key);
enum rfb_handshake_result rfb_handshake_continue(struct rfb_handshake *handshake);
/* Whether the answer is right. It tells the peer only in rfb_handshake_finish(). */
bool rfb_handshake_judge(const struct rfb_handshake *handshake);
/* refused NULL: the peer is let in. */
enum rfb_handshake_result rfb_handshake_finish(struct rfb_handshake *handshake, const char *refused);

#endif
