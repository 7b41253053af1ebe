/* What a peer is sent (see peer.h). */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "casement/bytes.h"
#include "peer.h"

#define SEND_MS 30000

static const struct {
    unsigned status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {204, "No Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {423, "Locked"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

static const char *reason_of(unsigned status)
{
    for (size_t n = 0; n < ARRAY_SIZE(reasons); n++)
        if (reasons[n].status == status)
            return reasons[n].reason;
    return "Other";
}

bool peer_write(struct peer *peer, const void *from, size_t size)
{
    const char *at = from;

    while (size) {
        ssize_t count = send(peer->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd poller = {.fd = peer->fd, .events = POLLOUT};

        if (count >= 0) {
            at += count;
            size -= (size_t)count;
        } else if (errno == EAGAIN ? poll(&poller, 1, SEND_MS) == 0 : errno != EINTR) {
            peer->last = true;
            peer->body = PEER_BODY_BROKEN;
            return false;
        }
    }
    return true;
}

void peer_begin(struct peer *peer, unsigned status)
{
    time_t now = time(NULL);
    struct tm parts;
    char date[40] = "";

    peer->status = status;
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    peer->answer_used =
        (size_t)snprintf(peer->answer, sizeof peer->answer, "HTTP/1.1 %u %s\r\n", status, reason_of(status));
    peer_field(peer, "Date", "%s", date);
}

static void add(struct peer *peer, const char *text)
{
    size_t length = strlen(text);

    /* Ours are short; a field that had no room would be missed less than one that is cut off. */
    if (length > sizeof peer->answer - peer->answer_used)
        return;
    memcpy(peer->answer + peer->answer_used, text, length);
    peer->answer_used += length;
}

void peer_field(struct peer *peer, const char *name, const char *format, ...)
{
    char value[512], line[640];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "%s: %s\r\n", name, value);
    add(peer, line);
}

static void send_head(struct peer *peer)
{
    /* After an answer that a body may follow nobody knows where the next request begins (peer_finish()). */
    if (peer->expects)
        peer->last = true;
    if (peer->last)
        peer_field(peer, "Connection", "close");
    add(peer, "\r\n");
    peer_write(peer, peer->answer, peer->answer_used);
}

void peer_send_head(struct peer *peer, uint64_t length)
{
    if (peer->status != 204 && peer->status != 304) /* which never have a body (RFC 9110, 8.6) */
        peer_field(peer, "Content-Length", "%llu", (unsigned long long)length);
    send_head(peer);
}

void peer_send_head_chunked(struct peer *peer)
{
    peer_field(peer, "Transfer-Encoding", "chunked");
    send_head(peer);
}

bool peer_write_chunk(struct peer *peer, const void *from, size_t size)
{
    char line[24];

    if (size == 0)
        return true; /* an empty one would be the last */
    snprintf(line, sizeof line, "%zx\r\n", size);
    return peer_write(peer, line, strlen(line)) && peer_write(peer, from, size) && peer_write(peer, "\r\n", 2);
}

void peer_end_chunks(struct peer *peer)
{
    peer_write(peer, "0\r\n\r\n", 5);
}
