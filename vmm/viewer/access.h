/*
 * Who may use the web server: one secret (a token or a password), sessions that were opened with it, a delay that grows
 * with wrong secrets, and the rules for Host and Origin that keep other web sites out. Pure logic: no sockets, no
 * clock.
 *
 * One thread (the web server's) uses it. Nothing here is ever written to a log.
 */
#ifndef CASEMENT_ACCESS_H
#define CASEMENT_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum access_mode { ACCESS_TOKEN, ACCESS_PASSWORD, ACCESS_OPEN };

#define ACCESS_TOKEN_BYTES 32
#define ACCESS_TEXT 44 /* that many bytes as base64url with the final 0 */
#define ACCESS_SECRET_MAX 1024

struct access_options {
    enum access_mode mode;
    const char *secret; /* copied; unused in mode ACCESS_OPEN */
    const char *name;   /* of the machine: a name that a Host header may hold */
    /* Further names for Host headers, ended by NULL; they stay the caller's. May be NULL. */
    const char *const *hosts;
};

struct access;
/* NULL: out of memory. */
struct access *access_create(const struct access_options *options);
void access_destroy(struct access *access); /* NULL is fine */
bool access_is_open(const struct access *access);
/* The token, as long as the access lives; NULL in other modes. */
const char *access_token(const struct access *access);

enum access_verdict { ACCESS_GRANTED, ACCESS_DENIED, ACCESS_TOO_SOON };
/*
 * Judges a secret that came from an address (IPv6, or IPv4 mapped into it) at a time in nanoseconds. ACCESS_TOO_SOON:
 * nothing was compared, *wait is in how many seconds to come again. A right token (it cannot be guessed) is granted
 * even then, a right password is not.
 */
enum access_verdict access_try(struct access *access, const char *secret, const uint8_t address[16], int64_t now_ns,
                               unsigned *wait);

/* A new session; its name for the cookie goes to text. The oldest one gives way when there are too many. false: the
 * host has no random numbers. */
bool access_session_open(struct access *access, int64_t now_ns, char text[ACCESS_TEXT]);
/* Whether the session is there and not too old. Using it keeps it from growing idle. */
bool access_session_valid(struct access *access, const char *text, int64_t now_ns);
void access_session_close(struct access *access, const char *text);

/*
 * The Host header (RFC 9110, 7.2): an address, localhost, the machine's name or one that was given; where a secret is
 * asked for also a name without a dot or below .local. A name of somebody else's in the DNS that leads here (DNS
 * rebinding) is refused.
 */
bool access_host_allowed(const struct access *access, const char *host);
/* Whether Origin (RFC 6454, 7) names the server that the Host header names. secure: the connection is TLS. */
bool access_origin_allowed(const char *origin, const char *host, bool secure);

/* 32 random bytes as base64url without padding (RFC 4648, 5). false: the host has none. */
bool access_make_token(char text[ACCESS_TEXT]);

#endif
