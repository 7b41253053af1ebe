/*
 * HTTP/1.1 (RFC 9110, RFC 9112) with one peer over one connection, on the thread that serves it. The peer is hostile: a
 * request's head has at most PEER_HEAD bytes and PEER_FIELDS fields, each read and write has a time limit, and what can
 * be read in two ways (two lengths, folded lines, spaces before a colon) is refused, and the connection ended.
 *
 * Bodies are as long as the peer likes, so they are never kept here: who wants one reads it in pieces.
 */
#ifndef CASEMENT_SHARE_PEER_H
#define CASEMENT_SHARE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PEER_HEAD 16384
#define PEER_FIELDS 64

struct peer_field {
    const char *name, *value;
};

enum peer_body { PEER_BODY_NONE, PEER_BODY_SIZED, PEER_BODY_CHUNKED, PEER_BODY_BROKEN };

struct peer {
    int fd; /* the caller's; blocking or not */
    /* The request. */
    char head[PEER_HEAD]; /* what method, target and fields point into */
    const char *method, *target;
    struct peer_field fields[PEER_FIELDS];
    unsigned field_count;
    enum peer_body body;
    uint64_t body_left; /* of the body, or of its chunk */
    bool expects;       /* to be told to go on before it sends the body */
    /* What was received and not yet used. */
    char input[PEER_HEAD];
    size_t input_used, input_at;
    /* The answer. */
    unsigned status;
    char answer[2048];
    size_t answer_used;
    bool last; /* no request follows on this connection */
};

/*
 * Waits for the next request. 1: it is there; 0: the peer has gone or was silent for too long; or a status (400, 431,
 * 501, 505) that is to be the last answer. After a body that was not read: peer_finish() first.
 */
unsigned peer_read_request(struct peer *peer);
/* The value of a field, or NULL; the name in small letters or not. A field that is there twice: the first. */
const char *peer_value(const struct peer *peer, const char *name);
/* Up to size bytes of the body; 0: its end, or -EPROTO, -ETIMEDOUT or another errno: the connection is of no more use.
 */
ssize_t peer_read_body(struct peer *peer, void *to, size_t size);
/* Reads what is left of the body, or gives the connection up where that makes no sense. */
void peer_finish(struct peer *peer);

/* An answer: begin, fields, then one of the two ways to send its head, then bytes. What fails ends the connection. */
void peer_begin(struct peer *peer, unsigned status);
void peer_field(struct peer *peer, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void peer_send_head(struct peer *peer, uint64_t length);
void peer_send_head_chunked(struct peer *peer);
/* false: the peer does not take it. */
bool peer_write(struct peer *peer, const void *from, size_t size);
bool peer_write_chunk(struct peer *peer, const void *from, size_t size);
void peer_end_chunks(struct peer *peer);

#endif
