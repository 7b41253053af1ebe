/*
 * The API as one table of operations (docs/openapi.yaml says the same in OpenAPI; the tests hold the two together). A
 * handler knows JSON and the machine's operations, nothing of sockets or of who asks.
 */
#ifndef CASEMENT_API_H
#define CASEMENT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../operations.h"

#define API_BODY_MAX 65536U /* bytes of a request's body */
#define API_NAME_MAX 32U    /* of the {name} in a path, with its final 0 */

struct api {
    const struct machine_ops *ops;
    void *machine;
};

struct api_request {
    const char *name; /* what stands for {name} in the path; empty when there is none */
    const char *body; /* body_size bytes and a 0 behind them */
    size_t body_size;
};

struct api_answer {
    unsigned status;  /* of HTTP (RFC 9110, 15) */
    const char *type; /* static; NULL: no content */
    char *body;       /* malloc()ed, the receiver's to free; NULL: no content */
    size_t size;
};

enum api_kind {
    API_PLAIN,   /* run() on the server's thread */
    API_MACHINE, /* run() on the main loop's thread: it may wait for vCPUs */
    API_SESSION, /* the server's own, as what follows: cookies, */
    API_TOKEN,   /* the secret, */
    API_EVENTS,  /* an answer without end, */
    API_VIEWER,  /* a websocket */
};

struct api_operation {
    const char *method, *path; /* "GET", "POST" or "DELETE"; {name} stands for one segment */
    enum api_kind kind;
    bool open; /* no access check */
    void (*run)(const struct api *api, const struct api_request *request, struct api_answer *answer);
};

/* The index-th operation, or NULL behind the last. */
const struct api_operation *api_operation(unsigned index);
/*
 * The operation for method and path ("HEAD" finds GET), and what stands for {name}. NULL: *status is 404, or 405 and
 * allow has the methods that there are.
 */
const struct api_operation *api_find(const char *method, const char *path, char name[API_NAME_MAX], unsigned *status,
                                     char allow[32]);

/* An answer that says what went wrong (RFC 9457); detail may be NULL. */
void api_problem(struct api_answer *answer, unsigned status, const char *detail);
/* What the status stands for, such as "Not Found". */
const char *api_reason(unsigned status);
/* The machine's status as JSON on one line; the caller's to free, NULL when out of memory. changing: with usage and
 * uptime, which never stay the same. */
char *api_status(const struct api *api, bool changing);
/* The secret of a {"secret": "..."} body; the caller's to cleanse and free. NULL: there is none. */
char *api_secret(const struct api_request *request);

/* metrics.c: GET /metrics, in Prometheus's text format 0.0.4. */
void api_metrics(const struct api *api, const struct api_request *request, struct api_answer *answer);

#endif
