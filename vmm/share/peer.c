/* What a peer sends (see peer.h). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "casement/bytes.h"
#include "casement/loop.h"
#include "peer.h"

#define SECOND_NS INT64_C(1000000000)
#define IDLE_SECONDS 120
#define HEAD_SECONDS 20 /* for all of a head, from its first byte */
#define BODY_SECONDS 30 /* without a byte of a body */

#define LINE_MAX_CHUNK 256U /* the line in front of a chunk, or a trailer field */

static ssize_t receive(struct peer *peer, void *to, size_t size, int64_t deadline_ns)
{
    for (;;) {
        int64_t left_ms = (deadline_ns - clock_ns()) / 1000000 + 1;
        struct pollfd poller = {.fd = peer->fd, .events = POLLIN};
        int ready = left_ms > 0 ? poll(&poller, 1, (int)left_ms) : 0;
        ssize_t count;

        if (ready == 0)
            return -ETIMEDOUT;
        count = ready < 0 ? -1 : recv(peer->fd, to, size, 0);
        if (count >= 0)
            return count;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* More input, behind what is there; false: there is none. */
static bool fill(struct peer *peer, int64_t deadline_ns)
{
    ssize_t count;

    if (peer->input_at) {
        memmove(peer->input, peer->input + peer->input_at, peer->input_used - peer->input_at);
        peer->input_used -= peer->input_at;
        peer->input_at = 0;
    }
    if (peer->input_used == sizeof peer->input)
        return false;
    count = receive(peer, peer->input + peer->input_used, sizeof peer->input - peer->input_used, deadline_ns);
    peer->input_used += count > 0 ? (size_t)count : 0;
    return count > 0;
}

/* Heads. */

/* The length of a head with its empty line; 0: it is not whole yet. Lines may end without a carriage return. */
static size_t head_length(const char *text, size_t size)
{
    for (size_t n = 0; n + 1 < size; n++) {
        if (text[n] != '\n')
            continue;
        if (text[n + 1] == '\n')
            return n + 2;
        if (n + 2 < size && text[n + 1] == '\r' && text[n + 2] == '\n')
            return n + 3;
    }
    return 0;
}

static bool is_token(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");

    return length && !text[length];
}

/* The next line of the head, ended by NUL in place; NULL: the empty one. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');

    *at = end + 1;
    if (end > line && end[-1] == '\r')
        end--;
    *end = 0;
    return *line ? line : NULL;
}

/* 0, or a status. */
static unsigned take_request_line(struct peer *peer, char *line)
{
    char *target = line ? strchr(line, ' ') : NULL, *version = target ? strchr(target + 1, ' ') : NULL;

    if (!version)
        return 400;
    *target++ = 0;
    *version++ = 0;
    peer->method = line;
    peer->target = target;
    if (!is_token(line) || !*target || strncmp(version, "HTTP/", 5) != 0)
        return 400;
    return strcmp(version, "HTTP/1.1") != 0 ? 505 : 0;
}

static unsigned take_field(struct peer *peer, char *line)
{
    char *colon = strchr(line, ':'), *value, *end;

    if (!colon)
        return 400;
    *colon = 0;
    if (!is_token(line))
        return 400; /* a folded line too */
    if (peer->field_count == PEER_FIELDS)
        return 431;
    value = colon + 1 + strspn(colon + 1, " \t");
    end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = 0;
    for (const char *sign = value; *sign; sign++)
        if (((unsigned char)*sign < ' ' && *sign != '\t') || *sign == 0x7F)
            return 400;
    peer->fields[peer->field_count++] = (struct peer_field){line, value};
    return 0;
}

const char *peer_value(const struct peer *peer, const char *name)
{
    for (unsigned n = 0; n < peer->field_count; n++)
        if (!strcasecmp(peer->fields[n].name, name))
            return peer->fields[n].value;
    return NULL;
}

static unsigned count_fields(const struct peer *peer, const char *name)
{
    unsigned count = 0;

    for (unsigned n = 0; n < peer->field_count; n++)
        count += !strcasecmp(peer->fields[n].name, name);
    return count;
}

/* RFC 9112, 6.3. */
static unsigned take_body_length(struct peer *peer)
{
    const char *length = peer_value(peer, "content-length"), *coding = peer_value(peer, "transfer-encoding");
    const char *expect = peer_value(peer, "expect");

    if (count_fields(peer, "content-length") > 1 || count_fields(peer, "transfer-encoding") > 1 || (length && coding))
        return 400;
    if (coding && strcasecmp(coding, "chunked") != 0)
        return 501;
    if (length && (!*length || strlen(length) > 18 || strspn(length, "0123456789") != strlen(length)))
        return 400;
    peer->body_left = length ? strtoull(length, NULL, 10) : 0;
    peer->body = coding ? PEER_BODY_CHUNKED : peer->body_left ? PEER_BODY_SIZED : PEER_BODY_NONE;
    peer->expects = peer->body != PEER_BODY_NONE && expect && !strcasecmp(expect, "100-continue");
    return 0;
}

static unsigned take_head(struct peer *peer, size_t length)
{
    char *at = peer->head, *line;
    const char *connection;
    unsigned status;

    memcpy(peer->head, peer->input + peer->input_at, length);
    peer->head[length] = 0;
    peer->input_at += length;
    if (memchr(peer->head, 0, length))
        return 400;
    status = take_request_line(peer, next_line(&at));
    while (status == 0 && (line = next_line(&at)))
        status = take_field(peer, line);
    if (status == 0)
        status = take_body_length(peer);
    if (status == 0 && count_fields(peer, "host") != 1)
        status = 400;
    connection = peer_value(peer, "connection");
    peer->last = status || (connection && strcasestr(connection, "close"));
    return status ? status : 1;
}

/* Empty lines before a request do no harm (RFC 9112, 2.2). */
static void skip_empty_lines(struct peer *peer)
{
    while (peer->input_at < peer->input_used && strchr("\r\n", peer->input[peer->input_at]) &&
           peer->input[peer->input_at])
        peer->input_at++;
}

unsigned peer_read_request(struct peer *peer)
{
    int64_t deadline = clock_ns() + IDLE_SECONDS * SECOND_NS, head_deadline = 0;

    peer->method = peer->target = "";
    peer->field_count = 0;
    peer->body = PEER_BODY_NONE;
    peer->expects = false;
    for (;;) {
        size_t length;

        skip_empty_lines(peer);
        length = head_length(peer->input + peer->input_at, peer->input_used - peer->input_at);
        if (length && length < sizeof peer->head)
            return take_head(peer, length);
        if (peer->input_used - peer->input_at >= sizeof peer->input - 1) {
            peer->last = true;
            return 431;
        }
        if (peer->input_used > peer->input_at && !head_deadline)
            deadline = head_deadline = clock_ns() + HEAD_SECONDS * SECOND_NS;
        if (!fill(peer, deadline))
            return 0;
    }
}

/* Bodies. */

static int broken(struct peer *peer, int err)
{
    peer->body = PEER_BODY_BROKEN;
    peer->last = true;
    return -err;
}

/* A line of the chunked coding without its end. */
static bool read_line(struct peer *peer, char *line, size_t size)
{
    size_t used = 0;

    for (;;) {
        if (peer->input_at == peer->input_used && !fill(peer, clock_ns() + BODY_SECONDS * SECOND_NS))
            return false;
        line[used] = peer->input[peer->input_at++];
        if (line[used] == '\n')
            break;
        if (++used == size)
            return false;
    }
    if (used && line[used - 1] == '\r')
        used--;
    line[used] = 0;
    return true;
}

/* The head of the next chunk; after the last one the trailer, which nobody wants. */
static bool next_chunk(struct peer *peer)
{
    char line[LINE_MAX_CHUNK];
    size_t digits;

    if (!read_line(peer, line, sizeof line))
        return false;
    digits = strspn(line, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > 15 || (line[digits] && !strchr("; \t", line[digits])))
        return false;
    peer->body_left = strtoull(line, NULL, 16);
    if (peer->body_left)
        return true;
    for (unsigned n = 0; n < PEER_FIELDS; n++) {
        if (!read_line(peer, line, sizeof line))
            return false;
        if (!line[0]) {
            peer->body = PEER_BODY_NONE;
            return true;
        }
    }
    return false;
}

static void tell_to_go_on(struct peer *peer)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    peer->expects = false;
    peer_write(peer, text, sizeof text - 1);
}

static ssize_t read_piece(struct peer *peer, void *to, size_t size)
{
    size_t ready = peer->input_used - peer->input_at, now = (size_t)MIN(size, peer->body_left);

    if (ready == 0)
        return receive(peer, to, now, clock_ns() + BODY_SECONDS * SECOND_NS);
    now = MIN(now, ready);
    memcpy(to, peer->input + peer->input_at, now);
    peer->input_at += now;
    return (ssize_t)now;
}

ssize_t peer_read_body(struct peer *peer, void *to, size_t size)
{
    char end[LINE_MAX_CHUNK];
    ssize_t count;

    if (peer->body == PEER_BODY_BROKEN)
        return -EPROTO;
    if (peer->expects)
        tell_to_go_on(peer);
    if (peer->body == PEER_BODY_CHUNKED && !peer->body_left && !next_chunk(peer))
        return broken(peer, EPROTO);
    if (peer->body == PEER_BODY_NONE)
        return 0;
    count = read_piece(peer, to, size);
    if (count <= 0)
        return broken(peer, count < 0 ? (int)-count : EPROTO);
    peer->body_left -= (uint64_t)count;
    if (peer->body_left)
        return count;
    if (peer->body == PEER_BODY_SIZED)
        peer->body = PEER_BODY_NONE;
    else if (!read_line(peer, end, sizeof end) || end[0])
        return broken(peer, EPROTO);
    return count;
}

void peer_finish(struct peer *peer)
{
    char piece[4096];

    /* Who asks first sends no body after a refusal, or does: nobody can know. */
    if (peer->expects)
        peer->last = true;
    while (!peer->last && peer_read_body(peer, piece, sizeof piece) > 0)
        ;
}
