/* A client of the web server, over raw sockets so that it can be as wrong as it likes. */
#ifndef CASEMENT_TESTS_FAKE_CLIENT_H
#define CASEMENT_TESTS_FAKE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A connected socket that gives up waiting after some seconds; the test fails when there is no connection. */
int client_dial(uint16_t port);
int client_dial_unix(const char *path);
/* What is said on the socket goes over TLS, by a thread that lives until either end hangs up. No certificate is asked
 * for. */
int client_dial_tls(uint16_t port);
/* Sends all of it, or as much as the server takes before it hangs up: how much that was. */
size_t client_send(int fd, const void *data, size_t size);
/*
 * Sends text and reads one answer. Its status, or 0 when the connection ended without one. client_text has all of it,
 * headers in front, until the next call.
 */
unsigned client_ask(int fd, const char *text);
/* Reads one answer. */
unsigned client_answer(int fd);
extern char client_text[1 << 20];
/* Where the body of the last answer begins. */
const char *client_body(void);
/* Whether the connection ends (and what still comes is thrown away) before the socket's patience does. */
bool client_ended(int fd);

/* Upgrades to a websocket at /api/v1/rfb with these further header lines. The status of the answer; 101 is good. */
unsigned client_upgrade(int fd, const char *headers);
/* A masked frame. false: the server has hung up. */
bool client_frame(int fd, unsigned opcode, const void *data, size_t size);
/* Reads one frame of the server's; its opcode or 256 at the end. The payload is in client_text. */
unsigned client_read_frame(int fd, size_t *size);

#endif
