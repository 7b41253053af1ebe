/* See dns.h. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "dns.h"
#include "dns_message.h"
#include "dns_stream.h"

#define QUERY_MAX 1500
#define ANSWER_MAX 65535
#define EACH_TURN 16 /* messages of a socket, so that the card gets its turn */
#define PATIENCE_NS (INT64_C(3) * 1000000000)
#define LISTENERS 4
#define LOOK_NS INT64_C(1000000000) /* how often the servers' file is looked at, at most */

struct listener {
    struct dns *dns;
    struct loop_watch watch;
    bool stream;
};

/* One question, in a socket of its own: its port is random, as its id is, so that no stranger can answer it. */
struct query {
    struct dns *dns;
    struct loop_watch watch; /* of the socket to the server; fd -1: the place is free */
    struct loop_timer timer;
    const struct listener *from;
    struct sockaddr_storage client;
    socklen_t client_length;
    unsigned server;
    uint8_t id[2]; /* the guest's */
    uint8_t message[QUERY_MAX];
    size_t length;
};

struct dns {
    struct loop *loop; /* NULL: not attached */
    int64_t patience_ns;
    struct name_server servers[NAME_SERVERS];
    unsigned server_count;
    const char *file;
    struct stat seen;
    int64_t looked_ns;
    struct listener listeners[LISTENERS];
    unsigned listener_count;
    struct query queries[DNS_QUERIES];
    struct dns_stream *streams[DNS_STREAMS];
    unsigned stream_count;
    uint8_t buffer[ANSWER_MAX];
};

/* Before a question: whose network changes has other servers. A file without any is one that is just being written. */
static void look_for_servers(struct dns *dns)
{
    struct name_server servers[NAME_SERVERS];
    int64_t now = clock_ns();
    unsigned count;

    if (!dns->file || now - dns->looked_ns < LOOK_NS)
        return;
    dns->looked_ns = now;
    if (name_servers_unchanged(dns->file, &dns->seen))
        return;
    count = name_servers_read(dns->file, servers);
    if (!count)
        return;
    memcpy(dns->servers, servers, count * sizeof *servers);
    dns->server_count = count;
}

/* Questions by UDP. */

static void close_server(struct query *query)
{
    if (query->watch.fd < 0)
        return;
    loop_unwatch(query->dns->loop, &query->watch);
    close(query->watch.fd);
    query->watch.fd = -1;
}

static void forget(struct query *query)
{
    loop_timer_set(query->dns->loop, &query->timer, 0);
    close_server(query);
}

static void reply(struct query *query, uint8_t *message, size_t length)
{
    memcpy(message, query->id, sizeof query->id);
    /* What the socket does not take is lost, and the guest asks again. */
    sendto(query->from->watch.fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&query->client,
           query->client_length);
    forget(query);
}

static void server_answers(void *opaque, short events);

static bool send_query(struct query *query, const struct name_server *server)
{
    int fd = socket(server->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    if (getrandom(query->message, sizeof query->id, 0) != (ssize_t)sizeof query->id ||
        connect(fd, (const struct sockaddr *)&server->address, server->length) < 0 ||
        send(fd, query->message, query->length, MSG_NOSIGNAL) != (ssize_t)query->length) {
        close(fd);
        return false;
    }
    query->watch = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = server_answers, .opaque = query};
    loop_watch(query->dns->loop, &query->watch);
    loop_timer_set(query->dns->loop, &query->timer, clock_ns() + query->dns->patience_ns);
    return true;
}

/* The next server, or when none is left a word about it, so that the guest need not wait. */
static void ask(struct query *query)
{
    struct dns *dns = query->dns;

    close_server(query);
    while (query->server < dns->server_count)
        if (send_query(query, &dns->servers[query->server++]))
            return;
    reply(query, query->message, dns_make_failure(query->message, query->length));
}

static void server_is_silent(void *opaque)
{
    struct query *query = opaque;

    if (query->watch.fd >= 0)
        ask(query);
}

static void server_answers(void *opaque, short events)
{
    struct query *query = opaque;
    struct dns *dns = query->dns;

    (void)events;
    for (unsigned n = 0; n < EACH_TURN; n++) {
        ssize_t count = recv(query->watch.fd, dns->buffer, sizeof dns->buffer, 0);

        if (count < 0) {
            if (errno != EAGAIN && errno != EINTR)
                ask(query); /* nobody there */
            return;
        }
        if (dns_answers(dns->buffer, (size_t)count, query->message, query->length)) {
            reply(query, dns->buffer, (size_t)count);
            return;
        }
    }
}

static struct query *free_query(struct dns *dns)
{
    for (unsigned n = 0; n < DNS_QUERIES; n++)
        if (dns->queries[n].watch.fd < 0)
            return &dns->queries[n];
    return NULL;
}

static void take_question(struct listener *listener)
{
    struct dns *dns = listener->dns;

    look_for_servers(dns);
    for (unsigned n = 0; n < EACH_TURN; n++) {
        struct query *query = free_query(dns);
        struct sockaddr_storage client;
        socklen_t size = sizeof client;
        ssize_t count = recvfrom(listener->watch.fd, dns->buffer, QUERY_MAX + 1, 0, (struct sockaddr *)&client, &size);

        if (count < 0)
            return;
        if (!query || count > QUERY_MAX || !dns_is_query(dns->buffer, (size_t)count))
            continue;
        query->from = listener;
        query->client = client;
        query->client_length = size;
        query->server = 0;
        query->length = (size_t)count;
        memcpy(query->id, dns->buffer, sizeof query->id);
        memcpy(query->message, dns->buffer, query->length);
        ask(query);
    }
}

/* Connections. */

static void listen_while_there_is_room(struct dns *dns)
{
    for (unsigned n = 0; n < dns->listener_count; n++)
        if (dns->listeners[n].stream)
            dns->listeners[n].watch.events = dns->stream_count < DNS_STREAMS ? POLLIN : 0;
}

static void stream_ended(void *opaque, struct dns_stream *stream)
{
    struct dns *dns = opaque;

    for (unsigned n = 0; n < dns->stream_count; n++)
        if (dns->streams[n] == stream) {
            dns->streams[n] = dns->streams[--dns->stream_count];
            break;
        }
    listen_while_there_is_room(dns);
}

static void take_connection(struct listener *listener)
{
    struct dns *dns = listener->dns;
    int client =
        dns->stream_count < DNS_STREAMS ? accept4(listener->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    struct dns_stream *stream;

    look_for_servers(dns);
    stream =
        client < 0 ? NULL : dns_stream_begin(dns->loop, client, dns->servers, dns->server_count, stream_ended, dns);
    if (stream)
        dns->streams[dns->stream_count++] = stream;
    listen_while_there_is_room(dns);
}

static void listener_ready(void *opaque, short events)
{
    struct listener *listener = opaque;

    (void)events;
    if (listener->stream)
        take_connection(listener);
    else
        take_question(listener);
}

/* Life. */

static int cannot_listen(int err, struct error *error)
{
    return error_set(error, err,
                     "--net nat: the DNS relay for the guest cannot listen: %s; stop what listens on port 53 of every "
                     "address, or in a container add --cap-add NET_BIND_SERVICE",
                     strerror(err));
}

/* early: a port that somebody has on every address is taken for addresses that do not exist, too. */
static bool prepare_socket(int fd, int family, bool early)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
           (!early || setsockopt(fd, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                 family == AF_INET6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof on) == 0);
}

static int listen_on(struct dns *dns, const struct dns_options *options, int family, bool stream, struct error *error)
{
    const void *address = family == AF_INET ? (const void *)options->address : options->address6;
    socklen_t length = family == AF_INET ? sizeof *options->address : sizeof *options->address6;
    struct listener *listener = &dns->listeners[dns->listener_count];
    int fd = socket(family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

    if (fd >= 0 && prepare_socket(fd, family, options->early) && bind(fd, address, length) == 0 &&
        (!stream || listen(fd, DNS_STREAMS) == 0)) {
        *listener =
            (struct listener){.dns = dns,
                              .stream = stream,
                              .watch = {.fd = fd, .events = POLLIN, .ready = listener_ready, .opaque = listener}};
        dns->listener_count++;
        return 0;
    }
    err = errno;
    if (fd >= 0)
        close(fd);
    return cannot_listen(err, error);
}

int dns_create(const struct dns_options *options, struct dns **dns, struct error *error)
{
    struct dns *made = calloc(1, sizeof *made);
    int failed = 0;

    if (!made)
        return error_set(error, ENOMEM, "network: out of memory");
    made->patience_ns = options->patience_ns ? options->patience_ns : PATIENCE_NS;
    made->file = options->file;
    made->server_count = MIN(options->server_count, NAME_SERVERS);
    for (unsigned n = 0; n < made->server_count; n++)
        made->servers[n] = options->servers[n];
    for (unsigned n = 0; n < DNS_QUERIES; n++) {
        made->queries[n].dns = made;
        made->queries[n].watch.fd = -1;
        made->queries[n].timer = (struct loop_timer){.expired = server_is_silent, .opaque = &made->queries[n]};
    }
    for (unsigned stream = 0; stream < 2 && failed == 0; stream++) {
        failed = listen_on(made, options, AF_INET, stream, error);
        if (failed == 0 && options->address6)
            failed = listen_on(made, options, AF_INET6, stream, error);
    }
    if (failed < 0) {
        dns_destroy(made);
        return failed;
    }
    *dns = made;
    return 0;
}

void dns_attach(struct dns *dns, struct loop *loop)
{
    dns->loop = loop;
    listen_while_there_is_room(dns);
    for (unsigned n = 0; n < dns->listener_count; n++)
        loop_watch(loop, &dns->listeners[n].watch);
}

void dns_detach(struct dns *dns)
{
    if (!dns->loop)
        return;
    for (unsigned n = 0; n < dns->listener_count; n++)
        loop_unwatch(dns->loop, &dns->listeners[n].watch);
    for (unsigned n = 0; n < DNS_QUERIES; n++) {
        loop_timer_remove(dns->loop, &dns->queries[n].timer);
        close_server(&dns->queries[n]);
    }
    while (dns->stream_count)
        dns_stream_end(dns->streams[--dns->stream_count]);
    dns->loop = NULL;
}

void dns_destroy(struct dns *dns)
{
    if (!dns)
        return;
    dns_detach(dns);
    for (unsigned n = 0; n < dns->listener_count; n++)
        close(dns->listeners[n].watch.fd);
    free(dns);
}
