/*
 * A folder of the host as a drive of the guest, without a driver there: a WebDAV server (dav.h) inside the one process.
 * Windows maps it by its own client. It has no port: whoever is to reach it gets a connection here, by a descriptor or
 * by a UNIX socket that only this user can connect to, and the user-mode network gives its guest the other end.
 *
 * It is a small server of its own on threads of its own, and not the one of the page. That one waits for nobody, and
 * here disks are waited for, with bodies of gigabytes in both directions; its library knows few of the methods and
 * would hand such bodies over in events. One thread accepts and never waits for a disk, so a connect never does. Each
 * connection has a thread, which reads and writes as it comes: no request can disturb another, and there is no state to
 * be wrong. All that a guest could spend has a bound: connections, bytes of a request's head, fields, XML, time.
 */
#ifndef CASEMENT_SHARE_H
#define CASEMENT_SHARE_H

#include <stdbool.h>

#include "casement/error.h"

/* Served at once; Windows opens two or three for a drive. What comes beyond is closed. */
#define SHARE_CONNECTIONS 32

struct share_options {
    const char *folder;
    const char *state;  /* a folder that may not be in it, as secrets are there; NULL: none */
    const char *name;   /* shown for the folder itself */
    const char *socket; /* where a UNIX socket (mode 0600) is made; NULL: none. Stale ones are replaced. */
    int listener;       /* instead of that one that listens, and stays the caller's until share_destroy(); 0: none */
    bool read_only;
};

struct share;

/* Strings are copied. 0, or -errno with a text. */
int share_create(const struct share_options *options, struct share **share, struct error *error);
/* Ends the connections, waits for their threads, and takes the socket away. NULL is nothing. */
void share_destroy(struct share *share);
/* Serves a connected stream socket, which is the share's from now on. 0, or -errno (-EBUSY: too many). Any thread. */
int share_serve(struct share *share, int fd);
/* The same with a new connection: its other end, which is the caller's; or -errno. */
int share_connect(struct share *share);
/* Whether share_create() would succeed with the folder. 0, or -errno with a text. */
int share_check(const struct share_options *options, struct error *error);

#endif
