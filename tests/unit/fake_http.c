/* A web server that misbehaves (see fake_http.h). */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "fake_http.h"

#define CONNECTIONS 64
#define URLS 8

struct client {
    struct fake_http *server;
    pthread_t thread;
    int fd; /* -1: this place is free */
    bool used;
    SSL *ssl;
};

struct fake_http {
    struct fake_http_page *pages;
    SSL_CTX *tls;
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock; /* of the pages' counters that are decided by, and of the clients */
    bool closed;          /* nobody is served */
    struct client clients[CONNECTIONS];
    char urls[URLS][256];
    unsigned next_url;
};

struct request {
    char path[256], condition[256];
    bool head, ranged;
    uint64_t first, last;
};

/* Bytes. */

static ssize_t receive(struct client *client, void *to, size_t size)
{
    return client->ssl ? SSL_read(client->ssl, to, (int)size) : recv(client->fd, to, size, 0);
}

static bool transmit(struct client *client, const void *from, size_t size)
{
    const char *at = from;

    while (size) {
        ssize_t count = client->ssl ? SSL_write(client->ssl, at, (int)size) : send(client->fd, at, size, MSG_NOSIGNAL);

        if (count <= 0)
            return false;
        at += count;
        size -= (size_t)count;
    }
    return true;
}

static void wait_until_gone(struct client *client)
{
    char byte;

    while (receive(client, &byte, 1) > 0)
        ;
}

/* Requests. */

static void read_line(struct request *request, char *line)
{
    if (!strncasecmp(line, "range: bytes=", 13))
        request->ranged = sscanf(line + 13, "%" SCNu64 "-%" SCNu64, &request->first, &request->last) == 2;
    else if (!strncasecmp(line, "if-range: ", 10))
        snprintf(request->condition, sizeof request->condition, "%s", line + 10);
}

static bool read_request(struct client *client, struct request *request)
{
    char text[4096], *next = text, *line;
    size_t used = 0;

    *request = (struct request){.last = UINT64_MAX};
    do {
        if (used + 1 >= sizeof text || receive(client, text + used, 1) != 1)
            return false;
        text[++used] = 0;
    } while (used < 4 || strcmp(text + used - 4, "\r\n\r\n") != 0);
    line = strsep(&next, "\r");
    request->head = !strncmp(line, "HEAD ", 5);
    if (sscanf(line, "%*s %255s", request->path) != 1)
        return false;
    while ((line = strsep(&next, "\r")))
        read_line(request, line + 1);
    return true;
}

/* Answers. */

/* What is decided for one answer, while nobody else decides. */
struct answer {
    const struct fake_http_version *version;
    char etag[64];
    unsigned status;
    uint64_t first, length; /* of the data */
    uint64_t most;          /* the body is cut there */
    bool stall;             /* and then the client is kept waiting */
};

static bool condition_holds(const struct request *request, const struct answer *answer)
{
    const char *condition = request->condition;

    return !condition[0] || !strcmp(condition, answer->etag) ||
           (answer->version->modified && !strcmp(condition, answer->version->modified));
}

static void choose_range(const struct fake_http_page *page, const struct request *request, struct answer *answer)
{
    uint64_t size = answer->version->size;

    answer->status = 200;
    answer->length = size;
    if (page->no_ranges || !request->ranged || (!page->no_conditions && !condition_holds(request, answer)))
        return;
    if (request->first >= size) {
        answer->status = 416;
        answer->length = 0;
        return;
    }
    answer->status = 206;
    answer->first = request->first;
    answer->length = MIN(request->last, size - 1) - request->first + 1;
}

static struct answer decide(struct fake_http_page *page, const struct request *request)
{
    unsigned number = ++page->requests;
    struct answer answer = {.version = &page->now, .most = UINT64_MAX};

    if (page->change_after && number > page->change_after)
        answer.version = &page->later;
    snprintf(answer.etag, sizeof answer.etag, "%s", answer.version->etag ? answer.version->etag : "");
    if (page->new_tags)
        snprintf(answer.etag, sizeof answer.etag, "\"%u\"", number);
    if (page->times) {
        page->times -= page->times != FAKE_HTTP_ALWAYS;
        answer.status = page->status;
        return answer;
    }
    if (page->location) {
        answer.status = 302;
        return answer;
    }
    choose_range(page, request, &answer);
    page->ranges += answer.status == 206;
    if (page->drop_most) {
        page->seed = page->seed * 1664525 + 1013904223;
        answer.most = (page->seed >> 8) % page->drop_most;
    }
    if (page->stalls) {
        page->stalls--;
        answer.most = page->stall_at;
        answer.stall = true;
    }
    return answer;
}

static bool send_head(struct client *client, const struct fake_http_page *page, const struct answer *answer)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool sent;

    fprintf(out, "HTTP/1.1 %u Fine\r\n", answer->status);
    if (page->location && answer->status == 302)
        fprintf(out, "Location: %s\r\n", page->location);
    if (answer->etag[0])
        fprintf(out, "ETag: %s\r\n", answer->etag);
    if (answer->version->modified)
        fprintf(out, "Last-Modified: %s\r\n", answer->version->modified);
    if (answer->status == 206)
        fprintf(out, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                answer->first + (uint64_t)page->add_first, answer->first + answer->length - 1,
                answer->version->size + (uint64_t)page->add_total);
    else if (answer->status == 416)
        fprintf(out, "Content-Range: bytes */%" PRIu64 "\r\n", answer->version->size + (uint64_t)page->add_total);
    if (page->chunked && answer->length)
        fprintf(out, "Transfer-Encoding: chunked\r\n");
    else if (!page->unsized)
        fprintf(out, "Content-Length: %" PRIu64 "\r\n", answer->length + (uint64_t)page->add_length);
    fprintf(out, "%s\r\n", page->headers ? page->headers : "");
    fclose(out);
    sent = transmit(client, text, size);
    free(text);
    return sent;
}

static bool send_piece(struct client *client, struct fake_http_page *page, const uint8_t *data, uint64_t length)
{
    char head[32];
    int used = snprintf(head, sizeof head, "%" PRIx64 "\r\n", length);

    /* Before, so that it is counted when the client has it. */
    page->sent += length;
    return (!page->chunked || transmit(client, head, (size_t)used)) && transmit(client, data, length) &&
           (!page->chunked || transmit(client, "\r\n", 2));
}

/* false: the connection is over. */
static bool send_body(struct client *client, struct fake_http_page *page, const struct answer *answer)
{
    uint64_t length = MIN(answer->length, answer->most), done = 0;
    static const uint8_t zeroes[256];

    while (done < length) {
        uint64_t now = MIN(page->chunk ? page->chunk : 16384, length - done), sent = page->sent;

        if (page->hold_at) {
            if (sent >= page->hold_at) {
                if (!page->cut)
                    wait_until_gone(client);
                return false;
            }
            now = MIN(now, page->hold_at - sent);
        }
        if (!send_piece(client, page, answer->version->data + answer->first + done, now))
            return false;
        done += now;
    }
    if (answer->stall)
        wait_until_gone(client);
    if (length < answer->length)
        return false;
    if (page->excess && !send_piece(client, page, zeroes, MIN(page->excess, sizeof zeroes)))
        return false;
    if (page->chunked && answer->length && !transmit(client, "0\r\n\r\n", 5))
        return false;
    return !page->unsized && !page->add_length && !page->excess;
}

static struct fake_http_page *find_page(struct fake_http *server, const char *path)
{
    struct fake_http_page *page = server->pages;

    while (page->path && strncmp(path, page->path, MAX(strlen(page->path), strcspn(path, "?"))) != 0)
        page++;
    return page->path ? page : NULL;
}

static bool serve_one(struct client *client)
{
    static const char absent[] = "HTTP/1.1 404 Not here\r\nContent-Length: 0\r\n\r\n";
    struct fake_http_page *page;
    struct request request;
    struct answer answer;

    if (!read_request(client, &request))
        return false;
    page = find_page(client->server, request.path);
    if (!page)
        return transmit(client, absent, sizeof absent - 1);
    pthread_mutex_lock(&client->server->lock);
    answer = decide(page, &request);
    pthread_mutex_unlock(&client->server->lock);
    return send_head(client, page, &answer) && (request.head || send_body(client, page, &answer));
}

/* Connections. */

static void *serve(void *opaque)
{
    struct client *client = opaque;

    if (client->ssl && SSL_accept(client->ssl) != 1)
        shutdown(client->fd, SHUT_RDWR);
    else
        while (serve_one(client))
            ;
    pthread_mutex_lock(&client->server->lock);
    SSL_free(client->ssl);
    client->ssl = NULL;
    close(client->fd);
    client->fd = -1;
    pthread_mutex_unlock(&client->server->lock);
    return NULL;
}

static void take(struct fake_http *server, int fd)
{
    pthread_mutex_lock(&server->lock);
    for (unsigned n = 0; n < CONNECTIONS && !server->closed; n++) {
        struct client *client = &server->clients[n];

        if (client->used && client->fd >= 0)
            continue;
        if (client->used)
            pthread_join(client->thread, NULL);
        *client = (struct client){.server = server, .fd = fd, .used = true};
        if (server->tls) {
            client->ssl = SSL_new(server->tls);
            SSL_set_fd(client->ssl, fd);
        }
        client->used = pthread_create(&client->thread, NULL, serve, client) == 0;
        pthread_mutex_unlock(&server->lock);
        return;
    }
    pthread_mutex_unlock(&server->lock);
    close(fd);
}

static void *accept_all(void *opaque)
{
    struct fake_http *server = opaque;
    int fd, on = 1;

    while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        take(server, fd);
    }
    return NULL;
}

struct fake_http *fake_http_start(struct fake_http_page *pages, const char *certificate, const char *key)
{
    struct fake_http *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    sigset_t pipe, before;

    server->pages = pages;
    pthread_mutex_init(&server->lock, NULL);
    if (certificate) {
        server->tls = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate_chain_file(server->tls, certificate);
        SSL_CTX_use_PrivateKey_file(server->tls, key, SSL_FILETYPE_PEM);
    }
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&address, size) < 0 || listen(server->listener, CONNECTIONS) < 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) < 0) {
        perror("fake_http");
        abort();
    }
    server->port = ntohs(address.sin_port);
    /* The threads inherit it: a client that goes is no reason to end. */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    pthread_create(&server->thread, NULL, accept_all, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return server;
}

static void join_all(struct fake_http *server)
{
    for (unsigned n = 0; n < CONNECTIONS; n++) {
        if (server->clients[n].used)
            pthread_join(server->clients[n].thread, NULL);
        server->clients[n].used = false;
    }
}

static void set_closed(struct fake_http *server, bool closed)
{
    pthread_mutex_lock(&server->lock);
    server->closed = closed;
    pthread_mutex_unlock(&server->lock);
}

/* Connections are accepted in the order in which they came: those before this one were, once it is closed. */
static void turn_away_waiting(struct fake_http *server)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(server->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;

    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || recv(fd, &byte, 1, 0) > 0) {
        perror("fake_http");
        abort();
    }
    close(fd);
}

void fake_http_settle(struct fake_http *server)
{
    set_closed(server, true);
    turn_away_waiting(server);
    join_all(server);
    set_closed(server, false);
}

void fake_http_stop(struct fake_http *server)
{
    if (!server)
        return;
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    pthread_mutex_lock(&server->lock);
    for (unsigned n = 0; n < CONNECTIONS; n++)
        if (server->clients[n].used && server->clients[n].fd >= 0)
            shutdown(server->clients[n].fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    join_all(server);
    SSL_CTX_free(server->tls);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *fake_http_url(struct fake_http *server, const char *path)
{
    char *url = server->urls[server->next_url++ % URLS];

    snprintf(url, sizeof server->urls[0], "%s://127.0.0.1:%u%s", server->tls ? "https" : "http", server->port, path);
    return url;
}
