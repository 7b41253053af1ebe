/* The web server in this process, with a fake machine behind it. */
#ifndef CASEMENT_TESTS_FAKE_WEB_H
#define CASEMENT_TESTS_FAKE_WEB_H

#include "fake_machine.h"

#include "../../vmm/viewer/web.h"

#define TOKEN "right-token"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: localhost\r\n"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"
#define JSON(length) "Content-Type: application/json\r\nContent-Length: " #length "\r\n"
#define EMPTY "Content-Length: 0\r\n"
#define END "\r\n"

struct fake_web {
    struct fake_machine machine;
    struct loop *loop; /* the main loop, on a thread of its own */
    struct web *web;
    uint16_t port;
    bool secure; /* over TLS */
    char certificate[64], key[64];
};
extern struct fake_web fake_web;
/* What is served at "/", and what it contains; "/large" is 3 MiB that do not get smaller. */
extern struct asset fake_page;
extern const char fake_content[];

/* Before and after all tests; 0 when it went well. */
int web_prepare(void **state);
int web_clean_up(void **state);
int web_start(enum access_mode mode, bool loop_runs);
/* Set-ups of single tests, and what takes them down. */
int web_setup(void **state);
int web_setup_tls(void **state);
int web_setup_password(void **state);
int web_setup_open(void **state);
int web_teardown(void **state);

/* A connection as the server at hand wants it. */
int web_dial(void);
/* One request on a connection of its own; its status. */
unsigned web_ask(const char *request);
/* The machine's end of the count-th viewer, once there is one. */
int web_viewer_end(unsigned count);
/* Peers that do nothing cost nothing: once what was asked is done, less than a tenth of the time is used. */
void web_assert_idle(void);

#endif
