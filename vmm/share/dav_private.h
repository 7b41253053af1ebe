/* What the methods share. */
#ifndef CASEMENT_SHARE_DAV_PRIVATE_H
#define CASEMENT_SHARE_DAV_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "../xml.h"
#include "conditions.h"
#include "dav.h"
#include "folder.h"
#include "locks.h"
#include "path.h"

#define DAV_SPACE "DAV:"
#define DAV_WINDOWS_SPACE "urn:schemas-microsoft-com:"
#define DAV_PIECE 262144 /* of a file, at once */

struct dav {
    int root;
    bool read_only;
    char *name;
    /* Held while locks are looked at and names change, so that both fit; never while a peer is waited for. */
    pthread_mutex_t lock;
    struct locks *locks;
    atomic_bool stopping;
};

struct dav_request {
    struct dav *dav;
    struct peer *peer;
    char path[PATH_ROOM];
    struct tokens tokens;
    /* What goes with the status that a method returns. */
    struct xml *document;
    char lock_token[LOCK_TOKEN_ROOM];
    uint64_t total; /* of the file, with status 416 */
};

/* Each does one method and returns the status to answer with, or 0: it has answered. */
unsigned dav_get(struct dav_request *request);
unsigned dav_put(struct dav_request *request);
unsigned dav_mkcol(struct dav_request *request);
unsigned dav_delete(struct dav_request *request);
unsigned dav_copy_or_move(struct dav_request *request);
unsigned dav_propfind(struct dav_request *request);
unsigned dav_proppatch(struct dav_request *request);
unsigned dav_lock(struct dav_request *request);
unsigned dav_unlock(struct dav_request *request);

/*
 * Takes dav->lock, and holds it when the request's conditions are fulfilled: 0, until dav_end(). Else a status (400,
 * 412), and it is not held.
 */
unsigned dav_begin(struct dav_request *request);
void dav_end(struct dav_request *request);
/* The status for what went wrong with a file. */
unsigned dav_status(int failed);
/* The same for a folder that something is to be put into. */
unsigned dav_status_parent(int failed);
void dav_etag(const struct statx *info, char etag[ETAG_ROOM]);
/* A document with its root element open, of the namespace DAV: with the prefix D. NULL: no memory. */
struct xml *dav_document(const char *root);

/* dav_locks.c: the elements that tell about locks. */
void dav_write_lock(struct xml *xml, const struct lock *lock);

/* dav_body.c: what an XML body says. */
#define DAV_PROPERTIES 64
#define DAV_BODY_STORE 16384

struct dav_property {
    const char *space, *name, *text; /* text: of PROPPATCH, what is between its tags */
    bool remove;
};

enum dav_root { DAV_PROPFIND, DAV_PROPERTYUPDATE, DAV_LOCKINFO };

struct dav_body {
    bool empty; /* there was none */
    struct dav_property properties[DAV_PROPERTIES];
    unsigned count;
    bool names_only, all;
    bool exclusive, write, owner_is_reference;
    char owner[LOCK_OWNER_ROOM];
    char store[DAV_BODY_STORE]; /* what the properties point into */
    size_t store_used;
};

/* Reads the body as a document with this root. 0, or 400, 413 or 503. */
unsigned dav_read_body(struct dav_request *request, enum dav_root root, struct dav_body *body);

#endif
