/*
 * WebDAV (RFC 4918), classes 1 and 2, over one folder, as far as Windows' own client (Microsoft-WebDAV-MiniRedir) and
 * other clients need it. What it does not have: PROPFIND of infinite depth, which is refused as 9.1 allows; shared
 * locks; properties of the clients' own, which are refused too. What Windows says about times and attributes is always
 * taken, because it fails otherwise, but only the times of change and access are kept.
 *
 * Access is anybody's who reaches it; a page of the world in the guest's browser is refused.
 */
#ifndef CASEMENT_SHARE_DAV_H
#define CASEMENT_SHARE_DAV_H

#include <stdbool.h>

#include "peer.h"

struct dav;

/* root: of folder_open(), from now on its own, unless it fails with NULL (no memory). */
struct dav *dav_create(int root, bool read_only, const char *name);
/* When nobody is served. */
void dav_destroy(struct dav *dav);
/* What takes long ends early and fails. Any thread. */
void dav_stop(struct dav *dav);
/*
 * Does what the request asks for that peer_read_request() has brought, and answers it, or with `status` when that was
 * none. One thread for each peer; waits for disk and peer.
 */
void dav_serve(struct dav *dav, struct peer *peer, unsigned status);

#endif
