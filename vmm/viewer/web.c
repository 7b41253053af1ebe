/* The server's life: context, sockets, connections, clockwork (see web.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "tls.h"
#include "web_private.h"

#define REQUEST_SECONDS 15
#define STOP_NS SECOND_NS
#define ACCEPT_BATCH 16
#define HEADER_BYTES 8192

/* What every answer says, the library's own included. Scripts only from files of ours; pictures also from memory. */
static const struct lws_protocol_vhost_options security_headers[] = {
    {&security_headers[1], NULL, "content-security-policy:",
     "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
     "frame-ancestors 'none'"},
    {&security_headers[2], NULL, "x-content-type-options:", "nosniff"},
    {&security_headers[3], NULL, "referrer-policy:", "no-referrer"},
    {&security_headers[4], NULL, "cross-origin-opener-policy:", "same-origin"},
    {NULL, NULL, "cross-origin-resource-policy:", "same-origin"},
};

int web_listen(const char *option, const char *address, uint16_t port, struct error *error)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool is_four = inet_pton(AF_INET, address, &four.sin_addr) == 1;
    const struct sockaddr *to = is_four ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = is_four ? sizeof four : sizeof six;
    int fd, one = 1, zero = 0;

    if (!is_four && inet_pton(AF_INET6, address, &six.sin6_addr) != 1)
        return error_set(error, EINVAL, "%s %s: not a numeric address", option, address);
    fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        (is_four || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) == 0) && bind(fd, to, size) == 0 &&
        listen(fd, WEB_CONNECTIONS) == 0)
        return fd;
    error_set(error, errno, "%s %s%s%s:%u: %s; %s", option, is_four ? "" : "[", address, is_four ? "" : "]", port,
              errno == EADDRINUSE ? "in use by another program" : strerror(errno),
              errno == EADDRINUSE ? "choose another port, or none"
              : errno == EACCES   ? "ports from 1024 on need no privilege"
                                  : "give an address of this host, 0.0.0.0 for all");
    one = -errno;
    if (fd >= 0)
        close(fd);
    return one;
}

/* Connections. */

void connection_end(struct connection *connection)
{
    lws_set_timeout(connection->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

void connection_deadline(struct connection *connection, int64_t seconds)
{
    connection->deadline_ns = seconds ? clock_ns() + seconds * SECOND_NS : 0;
}

static bool is_loopback(const uint8_t address[16])
{
    static const uint8_t mapped[13] = {[10] = 0xFF, [11] = 0xFF, [12] = 127};
    static const uint8_t one[16] = {[15] = 1};

    return !memcmp(address, mapped, sizeof mapped) || !memcmp(address, one, sizeof one);
}

/* The peer's address as IPv6. */
static void peer_address(int fd, uint8_t address[16])
{
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;

    memset(address, 0, 16);
    if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
        return;
    if (peer.ss_family == AF_INET6) {
        memcpy(address, &((struct sockaddr_in6 *)&peer)->sin6_addr, 16);
    } else if (peer.ss_family == AF_INET) {
        address[10] = address[11] = 0xFF;
        memcpy(address + 12, &((struct sockaddr_in *)&peer)->sin_addr, 4);
    }
}

static bool has_place(const struct web *web, bool trusted, const uint8_t address[16])
{
    unsigned same = 0;

    if (trusted)
        return web->control_count < WEB_CONTROL_CONNECTIONS;
    if (web->tcp_count >= WEB_CONNECTIONS)
        return false;
    for (const struct connection *other = web->connections; other; other = other->next)
        same += !other->trusted && !memcmp(other->address, address, 16);
    return same < WEB_CONNECTIONS_EACH || is_loopback(address);
}

/* A peer that is gone without a word is noticed; one that reads slowly is not sent more than it will see soon. */
static void tune(int fd)
{
    const int one = 1, idle = 30, interval = 10, count = 3, unsent = 65536, patience_ms = 60000;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

static void adopt(struct web *web, int fd, bool trusted)
{
    struct connection *connection = calloc(1, sizeof *connection);
    lws_adopt_desc_t adoption = {.vh = trusted ? web->unix_socket : web->tcp,
                                 .type = LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
                                 .fd.sockfd = fd,
                                 .opaque = connection};

    if (!connection) {
        close(fd);
        return;
    }
    connection->web = web;
    connection->trusted = trusted;
    if (!trusted) {
        peer_address(fd, connection->address);
        tune(fd);
    }
    if (!has_place(web, trusted, connection->address)) {
        log_debug("web: a connection is refused: there are too many");
        close(fd);
        free(connection);
        return;
    }
    connection->next = web->connections;
    web->connections = connection;
    *(trusted ? &web->control_count : &web->tcp_count) += 1;
    connection_deadline(connection, REQUEST_SECONDS);
    web_start_ticking(web);
    /* When this fails the library has closed the socket and told connection_gone(). */
    lws_adopt_descriptor_vhost_via_info(&adoption);
}

static void connection_gone(struct connection *connection)
{
    struct web *web = connection->web;
    struct exchange *exchange = connection->exchange;

    for (struct connection **at = &web->connections; *at; at = &(*at)->next)
        if (*at == connection) {
            *at = connection->next;
            break;
        }
    *(connection->trusted ? &web->control_count : &web->tcp_count) -= 1;
    if (connection->bridge)
        websocket_close(connection);
    if (connection->phase == CONNECTION_EVENTS)
        web->stream_count--;
    if (exchange && connection->phase == CONNECTION_WAITING && !exchange->returned)
        exchange->connection = NULL; /* comes back from the main loop, and is freed then */
    else
        exchange_free(exchange);
    free(connection->events_sent);
    free(connection->events_pending);
    free(connection);
}

/* Clockwork: deadlines, events, peers that speak out of turn. */

/* The library does not read while an answer is under way, nor does it stop watching: a peer that sends then, or hangs
 * up, would keep the thread awake. */
static bool spoke_out_of_turn(const struct connection *connection)
{
    char byte;

    return (connection->phase == CONNECTION_SENDING || connection->phase == CONNECTION_EVENTS ||
            connection->phase == CONNECTION_WAITING) &&
           recv(lws_get_socket_fd(connection->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void tick(lws_sorted_usec_list_t *sul)
{
    struct web *web = lws_container_of(sul, struct web, tick);
    int64_t now = clock_ns();

    web->ticking = false;
    for (struct connection *connection = web->connections; connection; connection = connection->next)
        if (connection->wsi &&
            ((connection->deadline_ns && now >= connection->deadline_ns) || spoke_out_of_turn(connection)))
            connection_end(connection);
    events_tick(web, now);
    if (web->accept_paused) {
        web->accept_paused = false;
        for (unsigned n = 0; n < ARRAY_SIZE(web->accepting); n++)
            if (web->accepting[n])
                lws_rx_flow_control(web->accepting[n], 1);
    }
    if (web->connections)
        web_start_ticking(web);
}

void web_start_ticking(struct web *web)
{
    if (web->ticking)
        return;
    web->ticking = true;
    lws_sul_schedule(web->context, 0, &web->tick, tick, WEB_TICK_NS / 1000);
}

/* What the library calls. */

static int on_accept(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct web *web = lws_get_opaque_user_data(wsi);
    int listener;

    (void)user;
    (void)in;
    (void)length;
    if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
        return -1;
    if (reason != LWS_CALLBACK_RAW_RX_FILE)
        return 0;
    listener = lws_get_socket_fd(wsi);
    for (unsigned n = 0; n < ACCEPT_BATCH; n++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            adopt(web, fd, wsi == web->accepting[1]);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (errno != EAGAIN) { /* no descriptors or no memory: again in a moment */
                lws_rx_flow_control(wsi, 0);
                web->accept_paused = true;
                web_start_ticking(web);
            }
            break;
        }
    }
    return 0;
}

static int on_connection(struct lws *wsi, enum lws_callback_reasons reason, struct connection *connection, void *in,
                         size_t length)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return websocket_confirm(connection, in);
    case LWS_CALLBACK_HTTP:
        return http_request(connection, in, length);
    case LWS_CALLBACK_HTTP_BODY:
        return http_body(connection, in, length);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return http_body_end(connection);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return connection->phase == CONNECTION_EVENTS ? events_writeable(connection) : http_writeable(connection);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: /* only what websocket_confirm() has let in */
        return connection->phase == CONNECTION_VIEWER ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
        return websocket_open(connection);
    case LWS_CALLBACK_RECEIVE:
        return websocket_receive(connection, in, length);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return websocket_writeable(connection);
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT and the like make the library fall back to bytes without a protocol */
    case LWS_CALLBACK_RAW_RX:
    case LWS_CALLBACK_RAW_WRITEABLE:
        return -1;
    case LWS_CALLBACK_WSI_DESTROY:
        connection_gone(connection);
        lws_set_opaque_user_data(wsi, NULL);
        return 0;
    default:
        return 0;
    }
}

static int on_server(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct web *web;

    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        web = lws_context_user(lws_get_context(wsi));
        return tls_load(user, web->options.certificate, web->options.key, NULL) < 0 ? -1 : 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        calls_finish(lws_context_user(lws_get_context(wsi)));
        return 0;
    case LWS_CALLBACK_PROTOCOL_INIT:
    case LWS_CALLBACK_PROTOCOL_DESTROY:
    case LWS_CALLBACK_WSI_CREATE: /* its opaque data comes later */
        return 0;
    default:
        break;
    }
    /* The sockets that listen, and the viewers' pipes, end here too. */
    if (reason == LWS_CALLBACK_WSI_DESTROY && lws_get_protocol(wsi) &&
        strcmp(lws_get_protocol(wsi)->name, "binary") != 0)
        return 0;
    if (!lws_get_opaque_user_data(wsi))
        return 0;
    ((struct connection *)lws_get_opaque_user_data(wsi))->wsi = wsi;
    return on_connection(wsi, reason, lws_get_opaque_user_data(wsi), in, length);
}

static void library_says(int level, const char *line)
{
    (void)level;
    log_debug("web: %.*s", (int)strcspn(line, "\n"), line);
}

/* Life. */

static bool has_answers_to_send(struct web *web)
{
    bool any;

    pthread_mutex_lock(&web->lock);
    any = web->done.first;
    pthread_mutex_unlock(&web->lock);
    for (const struct connection *connection = web->connections; connection && !any; connection = connection->next)
        any = connection->phase == CONNECTION_WAITING || connection->phase == CONNECTION_SENDING;
    return any;
}

static void *server_main(void *opaque)
{
    struct web *web = opaque;

    pthread_setname_np(pthread_self(), "web");
    for (;;) {
        if (atomic_load(&web->stopping)) {
            if (!web->stop_ns)
                web->stop_ns = clock_ns() + STOP_NS;
            calls_finish(web);
            if (!has_answers_to_send(web) || clock_ns() >= web->stop_ns)
                break;
        }
        if (lws_service(web->context, 0) < 0)
            break;
    }
    return NULL;
}

/* The name is none that a Host header could hold: the library looks for virtual hosts by it. */
static struct lws_vhost *create_vhost(struct web *web, const char *name, bool secure)
{
    static const struct lws_protocols protocols[] = {{.name = "binary", .callback = on_server, .rx_buffer_size = 16384},
                                                     {.name = " accept", .callback = on_accept},
                                                     {.name = " pipe", .callback = websocket_pipe},
                                                     {0}};
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN_SERVER,
                                             .vhost_name = name,
                                             .protocols = protocols,
                                             .headers = security_headers,
                                             .keepalive_timeout = 60,
                                             .timeout_secs_ah_idle = REQUEST_SECONDS,
                                             .alpn = "http/1.1"};

    if (secure)
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    return lws_create_vhost(web->context, &info);
}

static struct lws *watch_listener(struct web *web, int fd)
{
    const lws_adopt_desc_t adoption = {.vh = web->unix_socket,
                                       .type = LWS_ADOPT_RAW_FILE_DESC,
                                       .fd.filefd = fd,
                                       .vh_prot_name = " accept",
                                       .opaque = web};

    return lws_adopt_descriptor_vhost_via_info(&adoption);
}

static int create_server(struct web *web, struct error *error)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | (web->secure ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .user = web,
        .server_string = "casement",
        .fd_limit_per_thread = 2 * WEB_CONNECTIONS + 2 * WEB_CONTROL_CONNECTIONS + 64,
        .max_http_header_data = HEADER_BYTES,
        .max_http_header_pool = WEB_CONNECTIONS + WEB_CONTROL_CONNECTIONS,
        .timeout_secs = REQUEST_SECONDS,
        .uid = (uid_t)-1,
        .gid = (gid_t)-1,
    };
    int control = web->options.control < 0 ? -1 : dup(web->options.control);

    lws_set_log_level(LLL_ERR | LLL_WARN, library_says);
    web->context = lws_create_context(&info);
    if (web->context)
        web->unix_socket = create_vhost(web, " control", false);
    if (web->unix_socket && web->options.listener >= 0)
        web->tcp = create_vhost(web, " web", web->secure);
    if (control >= 0 && web->unix_socket)
        web->accepting[1] = watch_listener(web, control);
    else if (control >= 0)
        close(control);
    if (web->tcp)
        web->accepting[0] = watch_listener(web, web->options.listener);
    else if (web->options.listener >= 0)
        close(web->options.listener);
    web->options.listener = -1;
    if (!web->context || !web->unix_socket || (web->access && !web->accepting[0]) ||
        (web->options.control >= 0 && !web->accepting[1]))
        return error_set(error, ENOMEM, "the web server: cannot start: out of memory or file descriptors");
    return 0;
}

int web_create(const struct web_options *options, struct web **result, struct error *error)
{
    struct web *web = calloc(1, sizeof *web);
    int failed;

    if (!web) {
        if (options->listener >= 0)
            close(options->listener);
        return error_set(error, ENOMEM, "the web server: out of memory");
    }
    web->options = *options;
    web->api = (struct api){options->ops, options->machine};
    web->secure = options->certificate;
    calls_init(web);
    if (options->listener >= 0)
        web->access = access_create(&options->access);
    snprintf(web->cookie, sizeof web->cookie, "%s", options->cookie);
    web->options.cookie = web->cookie;
    web->options.access = (struct access_options){0};
    failed = create_server(web, error);
    if (failed == 0 && options->listener >= 0 && !web->access)
        failed = error_set(error, ENOMEM, "the web server: out of memory");
    if (failed == 0) {
        failed = -pthread_create(&web->thread, NULL, server_main, web);
        web->started = failed == 0;
        if (failed < 0)
            error_set(error, -failed, "the web server's thread: %s", strerror(-failed));
    }
    if (failed < 0) {
        web_destroy(web);
        return failed;
    }
    *result = web;
    return 0;
}

void web_destroy(struct web *web)
{
    if (!web)
        return;
    calls_close(web);
    atomic_store(&web->stopping, true);
    if (web->started) {
        lws_cancel_service(web->context);
        pthread_join(web->thread, NULL);
    }
    if (web->context) {
        lws_sul_cancel(&web->tick);
        lws_context_destroy(web->context);
    }
    calls_finish(web);
    access_destroy(web->access);
    pthread_mutex_destroy(&web->lock);
    free(web);
}
