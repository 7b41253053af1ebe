/*
 * Exclusive write locks on paths (RFC 4918, 6 and 7), in memory and with an end: what Windows wants before it writes.
 * Shared locks are not offered. They bind who asks over this share and nobody else on the host.
 *
 * None of this has a lock of its own: the caller holds one (dav_private.h), and what is returned is good that long.
 */
#ifndef CASEMENT_SHARE_LOCKS_H
#define CASEMENT_SHARE_LOCKS_H

#include <stdbool.h>
#include <stddef.h>

#define LOCKS_MAX 512
#define LOCK_TOKEN_ROOM 56
#define LOCK_OWNER_ROOM 256
#define LOCK_SECONDS_MAX 3600
#define TOKENS_MAX 16

struct lock {
    char token[LOCK_TOKEN_ROOM]; /* opaquelocktoken:... (RFC 4918, appendix C) */
    char *path;
    char owner[LOCK_OWNER_ROOM]; /* what the client says about itself, text */
    bool owner_is_reference;     /* and that it is in a DAV:href */
    bool infinite;               /* depth: all that is below too */
    unsigned seconds;
    long long ends_ns; /* CLOCK_MONOTONIC */
};

/* The tokens that a request shows. */
struct tokens {
    unsigned count;
    char text[TOKENS_MAX][LOCK_TOKEN_ROOM];
};

struct locks;

struct locks *locks_create(void);
void locks_destroy(struct locks *locks);

/* A new lock, with owner, owner_is_reference, infinite and seconds of what is given. NULL: no memory, or too many. */
struct lock *locks_add(struct locks *locks, const char *path, const struct lock *given);
void locks_refresh(struct lock *lock, unsigned seconds);
void locks_remove(struct lock *lock);
/* Those on the path and below it: what was there is gone. */
void locks_forget(struct locks *locks, const char *path);

/* The lock that binds the path: its own, or an infinite one of a folder above. NULL: none. */
struct lock *locks_find(struct locks *locks, const char *path);
/* The lock on something below the path, NULL: none. */
struct lock *locks_find_below(struct locks *locks, const char *path);
/* The lock with the token if it binds the path, else NULL. */
struct lock *locks_with_token(struct locks *locks, const char *path, const char *token);

/* What is to be done with a path, in bits: for each lock in its way the request must show the token. */
enum { LOCKS_CONTENT = 0, LOCKS_NAME = 1, LOCKS_BELOW = 2 };
/* Whether it may: NAME: it appears, goes or moves, so its folder changes; BELOW: all that is in it does too. */
bool locks_permit(struct locks *locks, const char *path, unsigned bits, const struct tokens *tokens);

#endif
