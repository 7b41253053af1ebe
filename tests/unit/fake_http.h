/*
 * A web server that misbehaves as it is told, on a port of the loopback address. Each connection has a thread of its
 * own. It knows pages by their paths; what a page's fields say holds for the requests that come from then on.
 */
#ifndef CASEMENT_TESTS_FAKE_HTTP_H
#define CASEMENT_TESTS_FAKE_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_HTTP_ALWAYS UINT32_MAX

/* What a file is, in one version of it. NULL: that header is not sent. */
struct fake_http_version {
    const uint8_t *data;
    uint64_t size;
    const char *etag, *modified;
};

struct fake_http_page {
    const char *path;
    struct fake_http_version now, later; /* later: after change_after requests, when that is not 0 */
    unsigned change_after;
    bool new_tags; /* each answer has another ETag */

    bool no_ranges, no_conditions; /* knows no Range; knows Range, but no If-Range */
    bool chunked, unsized;  /* Transfer-Encoding; neither that nor Content-Length: the connection's end ends it */
    unsigned status, times; /* so many requests get this status instead */
    const char *headers;    /* with every answer: lines with their ends */
    const char *location;   /* what is redirected to */

    int64_t add_length, add_first, add_total; /* to what the headers say */
    unsigned excess;                          /* bytes behind the body that was promised */
    uint32_t seed, drop_most;                 /* each body is cut after a random number of bytes below drop_most */
    unsigned stalls, stall_at;                /* so many answers stop after some bytes until the client has gone */
    unsigned chunk;                           /* bytes that are sent at a time; 0: all */
    uint64_t hold_at; /* when so many bytes were sent in all, everybody is kept waiting; 0: never */
    bool cut;         /* or cut off there instead */

    _Atomic unsigned requests, ranges; /* that came; that were answered with a part */
    _Atomic uint64_t sent;             /* bytes of bodies */
};

struct fake_http;
/* pages is ended by one without a path and lives as long as the server. certificate and key: PEM files, NULL: no TLS.
 * Aborts when that fails. */
struct fake_http *fake_http_start(struct fake_http_page *pages, const char *certificate, const char *key);
/* After the clients have gone: waits until the threads that served them have, too, so that a fork() finds no lock held.
 */
void fake_http_settle(struct fake_http *server);
/* Ends every connection. NULL is fine. */
void fake_http_stop(struct fake_http *server);
/* http://127.0.0.1:PORT, with the path behind it; in a place that the eighth next call uses again. */
const char *fake_http_url(struct fake_http *server, const char *path);

#endif
