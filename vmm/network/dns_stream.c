/* See dns_stream.h. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns_stream.h"

#define BUFFER_BYTES 4096
#define LIFE_NS (INT64_C(30) * 1000000000)

enum side { CLIENT, SERVER, SIDES };

/* What one side has sent and the other has not taken yet. */
struct flow {
    uint8_t bytes[BUFFER_BYTES];
    size_t from, to;
    bool ended, passed_on; /* the sender sends no more, and the other side has been told */
};

struct dns_stream {
    struct loop *loop;
    struct loop_watch watches[SIDES];
    struct flow flows[SIDES]; /* from that side */
    struct loop_timer deadline;
    bool connected;
    const struct name_server *servers; /* those not tried yet */
    unsigned server_count;
    void (*ended)(void *opaque, struct dns_stream *stream);
    void *opaque;
};

static void finish(struct dns_stream *stream)
{
    void (*ended)(void *opaque, struct dns_stream *) = stream->ended;
    void *opaque = stream->opaque;

    ended(opaque, stream);
    dns_stream_end(stream);
}

static void expired(void *opaque)
{
    finish(opaque);
}

static void close_side(struct dns_stream *stream, enum side side)
{
    if (stream->watches[side].fd < 0)
        return;
    loop_unwatch(stream->loop, &stream->watches[side]);
    close(stream->watches[side].fd);
    stream->watches[side].fd = -1;
}

static void side_ready(struct dns_stream *stream, enum side side, short events);

static void client_ready(void *opaque, short events)
{
    side_ready(opaque, CLIENT, events);
}

static void server_ready(void *opaque, short events)
{
    side_ready(opaque, SERVER, events);
}

static void watch(struct dns_stream *stream, enum side side, int fd, short events)
{
    stream->watches[side] = (struct loop_watch){
        .fd = fd, .events = events, .ready = side == CLIENT ? client_ready : server_ready, .opaque = stream};
    loop_watch(stream->loop, &stream->watches[side]);
}

/* The next server that a connection can be begun to. */
static bool connect_next(struct dns_stream *stream)
{
    close_side(stream, SERVER);
    while (stream->server_count) {
        const struct name_server *server = stream->servers++;
        int fd = socket(server->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        stream->server_count--;
        if (fd < 0)
            continue;
        if (connect(fd, (const struct sockaddr *)&server->address, server->length) < 0 && errno != EINPROGRESS) {
            close(fd);
            continue;
        }
        watch(stream, SERVER, fd, POLLOUT);
        return true;
    }
    return false;
}

/* false: the connection is of no use any more. */
static bool take(struct dns_stream *stream, enum side side)
{
    struct flow *flow = &stream->flows[side];
    ssize_t count;

    if (flow->ended || flow->to)
        return true;
    count = read(stream->watches[side].fd, flow->bytes, sizeof flow->bytes);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    flow->ended = count == 0;
    flow->to = (size_t)count;
    return true;
}

static bool give(struct dns_stream *stream, enum side to)
{
    struct flow *flow = &stream->flows[!to];
    ssize_t count;

    if (flow->to) {
        count = send(stream->watches[to].fd, flow->bytes + flow->from, flow->to - flow->from, MSG_NOSIGNAL);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR;
        flow->from += (size_t)count;
        if (flow->from == flow->to)
            flow->from = flow->to = 0;
    }
    if (flow->ended && !flow->to && !flow->passed_on) {
        flow->passed_on = true;
        shutdown(stream->watches[to].fd, SHUT_WR);
    }
    return true;
}

static void choose_events(struct dns_stream *stream)
{
    for (enum side side = CLIENT; side < SIDES; side++) {
        bool reads = !stream->flows[side].ended && !stream->flows[side].to;

        stream->watches[side].events = (short)((reads ? POLLIN : 0) | (stream->flows[!side].to ? POLLOUT : 0));
    }
}

static void side_ready(struct dns_stream *stream, enum side side, short events)
{
    bool good;

    if (side == SERVER && !stream->connected) {
        int err = 0;
        socklen_t size = sizeof err;

        getsockopt(stream->watches[SERVER].fd, SOL_SOCKET, SO_ERROR, &err, &size);
        if (err || events & (POLLERR | POLLHUP)) {
            if (!connect_next(stream))
                finish(stream);
            return;
        }
        stream->connected = true;
    }
    if (!stream->connected) { /* the client went before the server came */
        finish(stream);
        return;
    }
    good = take(stream, side) && give(stream, !side) && give(stream, side);
    if (!good || events & (POLLERR | POLLNVAL) || (events & POLLHUP && stream->flows[side].ended) ||
        (stream->flows[CLIENT].passed_on && stream->flows[SERVER].passed_on)) {
        finish(stream);
        return;
    }
    choose_events(stream);
}

struct dns_stream *dns_stream_begin(struct loop *loop, int client, const struct name_server *servers, unsigned count,
                                    void (*ended)(void *opaque, struct dns_stream *stream), void *opaque)
{
    struct dns_stream *stream = calloc(1, sizeof *stream);

    if (!stream) {
        close(client);
        return NULL;
    }
    stream->loop = loop;
    stream->servers = servers;
    stream->server_count = count;
    stream->ended = ended;
    stream->opaque = opaque;
    stream->deadline = (struct loop_timer){.expired = expired, .opaque = stream};
    stream->watches[SERVER].fd = -1;
    watch(stream, CLIENT, client, 0);
    loop_timer_set(loop, &stream->deadline, clock_ns() + LIFE_NS);
    if (connect_next(stream))
        return stream;
    dns_stream_end(stream);
    return NULL;
}

void dns_stream_end(struct dns_stream *stream)
{
    loop_timer_remove(stream->loop, &stream->deadline);
    close_side(stream, CLIENT);
    close_side(stream, SERVER);
    free(stream);
}
