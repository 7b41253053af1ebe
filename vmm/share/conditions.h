/* The If field of a request (RFC 4918, 10.4): what must be so before anything is done, and which tokens are shown. */
#ifndef CASEMENT_SHARE_CONDITIONS_H
#define CASEMENT_SHARE_CONDITIONS_H

#include "locks.h"

#define ETAG_ROOM 64

/* Who knows how things are; both get the path of a resource. The entity tag with its quotes; false: there is none. */
struct conditions_facts {
    bool (*is_locked_with)(void *opaque, const char *path, const char *token);
    bool (*etag)(void *opaque, const char *path, char etag[ETAG_ROOM]);
    void *opaque;
};

/*
 * 1: they hold for the request on path; 0: they do not; -EINVAL: no such field. Every token in it is noted, up to
 * TOKENS_MAX; whether it is one of a lock is not asked.
 */
int conditions_hold(const char *field, const char *path, const struct conditions_facts *facts, struct tokens *tokens);

#endif
