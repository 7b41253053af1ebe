/*
 * The web server: page, API, event stream and websockets over TCP (with or without TLS), and the same API without an
 * access check over the control socket. One thread of its own, "web", on which libwebsockets runs; it waits for nobody.
 * Operations that may wait for vCPUs are handed to the main loop, and their answer comes back.
 *
 * Bounds: WEB_CONNECTIONS over TCP in all, WEB_CONNECTIONS_EACH from one address that is not loopback,
 * WEB_CONTROL_CONNECTIONS over the control socket; 8 KiB of headers, 64 KiB of body; 15 s for a request to arrive, 30 s
 * without progress for an answer, 60 s of silence between requests.
 */
#ifndef CASEMENT_WEB_H
#define CASEMENT_WEB_H

#include <stdint.h>

#include "../operations.h"
#include "access.h"
#include "assets.h"
#include "casement/loop.h"

#define WEB_CONNECTIONS 256
#define WEB_CONNECTIONS_EACH 64
#define WEB_CONTROL_CONNECTIONS 32
#define WEB_EVENT_STREAMS 32

struct web_options {
    struct loop *main_loop;
    const struct machine_ops *ops; /* these two live as long as the server */
    void *machine;
    const struct asset *(*asset)(const char *path);
    int listener;                  /* a listening TCP socket, the server's from now on whatever happens; -1: none */
    int control;                   /* a listening UNIX socket, which stays the caller's; -1: none */
    const char *certificate, *key; /* PEM files; both NULL: no TLS */
    struct access_options access;  /* of the listener; unused without one */
    const char *cookie;            /* name of the session cookie: two machines on one host do not share it */
};

struct web;
/* Starts the server. On the main loop's thread or while it does not run. 0, or -errno with a text. */
int web_create(const struct web_options *options, struct web **web, struct error *error);
/*
 * Ends every connection and the thread, once answers that are ready have gone out (a second at most). Operations that
 * wait for the main loop are answered with 503. On the main loop's thread, or while that does not run; NULL is fine.
 */
void web_destroy(struct web *web);

/* A listening socket on a numeric address; port 0: any (for tests). The fd, or -errno with a text that begins with
 * `option`. */
int web_listen(const char *option, const char *address, uint16_t port, struct error *error);

#endif
