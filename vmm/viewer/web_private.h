/*
 * What the files of the web server share: the server, a connection, and which file serves which part of its life. All
 * of it lives on the server's thread; what does not says so.
 */
#ifndef CASEMENT_WEB_PRIVATE_H
#define CASEMENT_WEB_PRIVATE_H

#include <libwebsockets.h>
#include <pthread.h>

#include "api.h"
#include "web.h"

#define SECOND_NS INT64_C(1000000000)
#define WEB_TICK_NS (SECOND_NS / 4)
#define WEB_CHUNK 16384U /* bytes of an answer that are handed to the library at a time */
#define WEB_HEADERS 4096U

enum connection_phase {
    CONNECTION_REQUEST, /* a request is to come, or its headers are coming */
    CONNECTION_BODY,
    CONNECTION_WAITING, /* for the main loop */
    CONNECTION_SENDING,
    CONNECTION_EVENTS,
    CONNECTION_VIEWER,
};

struct bridge;
struct exchange;

struct connection {
    struct web *web;
    struct lws *wsi;
    struct connection *next;
    bool trusted; /* it came over the control socket */
    uint8_t address[16];
    enum connection_phase phase;
    int64_t deadline_ns; /* the connection ends then; 0: never */
    struct exchange *exchange;
    struct bridge *bridge;  /* CONNECTION_VIEWER */
    char *events_sent;      /* CONNECTION_EVENTS: what the last event said, but for what always changes */
    int64_t events_next_ns; /* and when the next one is due in any case */
    char *events_pending;   /* to be sent when the peer takes it; the newest one only */
};

/* A request with its answer. While the main loop has it, nobody else touches it but for `connection`. */
struct exchange {
    struct exchange *next;
    struct connection *connection; /* NULL: nobody waits for the answer any more */
    const struct api_operation *operation;
    char name[API_NAME_MAX];
    char *body;
    size_t body_size, body_used;
    struct api_answer answer;
    size_t sent;
    const void *content;    /* of the answer: its body, or an asset */
    bool head, close, gzip; /* close: the connection ends behind the answer */
    unsigned retry_after;   /* seconds; 0: not said */
    bool returned;          /* from the main loop */
    const char *etag;
    char extra[512]; /* further header lines, each with CR LF */
};

struct queue {
    struct exchange *first, **last;
};

struct web {
    struct web_options options; /* without access */
    char cookie[32];
    struct api api;
    struct access *access; /* NULL without a listener */
    bool secure;
    pthread_t thread;
    bool started;
    struct lws_context *context;
    struct lws_vhost *tcp, *unix_socket;
    struct lws *accepting[2];
    bool accept_paused;
    lws_sorted_usec_list_t tick;
    bool ticking;
    struct connection *connections;
    unsigned tcp_count, control_count, stream_count;
    int64_t stop_ns; /* when it ends at the latest; 0: it goes on */
    uint8_t buffer[LWS_PRE + WEB_HEADERS + WEB_CHUNK];
    /* Between the server's thread and the main loop's: */
    pthread_mutex_t lock;
    struct loop_timer call; /* a timer, since one can be taken off again */
    struct queue to_main, done;
    bool closed; /* the main loop takes no more */
    _Atomic bool stopping;
};

/* web.c */
/* Ends the connection soon, from anywhere on the server's thread. */
void connection_end(struct connection *connection);
void connection_deadline(struct connection *connection, int64_t seconds);
/* Makes the clockwork go while there is anything to watch. */
void web_start_ticking(struct web *web);

/* calls.c: to the main loop and back. */
void calls_init(struct web *web);
/* Hands the exchange over. false: the main loop takes no more. */
bool calls_run(struct web *web, struct exchange *exchange);
/* Has what came back sent. */
void calls_finish(struct web *web);
/* On the main loop's thread, or while it does not run: what has not run is answered with 503. */
void calls_close(struct web *web);

/* http.c: one request. These return what a callback of the library does: 0, or -1 to end the connection. */
int http_request(struct connection *connection, const char *path, size_t length);
int http_body(struct connection *connection, const void *data, size_t size);
int http_body_end(struct connection *connection);
int http_writeable(struct connection *connection);
/* Sends the answer of the connection's exchange. */
int http_answer(struct connection *connection);
/* Answers a request for which there is no exchange yet. */
int http_problem(struct connection *connection, unsigned status, const char *detail, unsigned retry_after);
void exchange_free(struct exchange *exchange);
/* Puts the status line and the headers that every answer has into to; the end, or NULL. */
unsigned char *http_headers(struct connection *connection, unsigned status, unsigned char *to, unsigned char *end);

/* login.c: whether the request's Host, credentials and Origin are good. */
struct verdict {
    unsigned status; /* 0: let in; else of the answer */
    const char *detail;
    unsigned retry_after;
};
/* The Host header alone. */
struct verdict login_check_host(const struct connection *connection);
/* changing: the request is one that a page of another site must not make. */
struct verdict login_check(struct connection *connection, bool changing);
/* POST and DELETE /api/v1/session: fills the exchange's answer. */
void login_session(struct connection *connection, struct exchange *exchange);
/* GET /api/v1/token: fills the exchange's answer. */
void login_show_token(const struct connection *connection, struct exchange *exchange);
/* GET /?token=: 0 and the line of the header that sets the cookie, or the status of the answer. */
unsigned login_token(struct connection *connection, const char *token, char *line, size_t size, unsigned *retry_after);

/* events.c */
int events_begin(struct connection *connection);
void events_tick(struct web *web, int64_t now);
int events_writeable(struct connection *connection);

/* websocket.c */
/* LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: 0 lets it go on, -1 ends the connection; it was answered then. */
int websocket_confirm(struct connection *connection, const char *protocol);
int websocket_open(struct connection *connection);
int websocket_receive(struct connection *connection, const uint8_t *data, size_t size);
int websocket_writeable(struct connection *connection);
void websocket_close(struct connection *connection);
/* The callback of the pipe between a websocket and the viewer. */
int websocket_pipe(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length);

#endif
