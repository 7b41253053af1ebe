/*
 * A viewer in a browser: RFB in the binary frames of a websocket (RFC 6455), led over a pair of sockets to the RFB
 * server. What the browser does not take the RFB server is not asked for. The other way, where there is little, a
 * bounded buffer waits for the RFB server, and who overflows it is hung up on: to stop reading (lws_rx_flow_control)
 * makes libwebsockets 4.1 turn in a circle when there is TLS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/loop.h"
#include "web_private.h"

#define OUT_BYTES 32768U
#define IN_BYTES (1024U * 1024)
/* Rounds of one callback, so that other connections get their turn. */
#define ROUNDS 8
#define PATIENCE_SECONDS 60
/* Close codes (RFC 6455, 7.4.1; 1013 is registered with IANA). */
#define CLOSE_UNSUPPORTED 1003
#define CLOSE_TRY_AGAIN 1013

struct bridge {
    struct connection *connection; /* NULL: the websocket is gone */
    struct lws *pipe;
    uint8_t *in; /* on its way to the viewer's server; in_room bytes, as many as were needed so far */
    size_t in_sent, in_used, in_room, out_used;
    uint8_t out[LWS_PRE + OUT_BYTES]; /* on its way to the browser */
};

static int refuse(struct connection *connection, unsigned status, const char *detail, unsigned retry_after)
{
    http_problem(connection, status, detail, retry_after);
    return -1;
}

int websocket_confirm(struct connection *connection, const char *protocol)
{
    char path[64], name[API_NAME_MAX], allow[32];
    const struct api_operation *operation;
    struct verdict verdict;
    unsigned status;

    if (connection->phase != CONNECTION_REQUEST || strcasecmp(protocol, "websocket") != 0)
        return -1;
    verdict = login_check_host(connection);
    if (verdict.status)
        return refuse(connection, verdict.status, verdict.detail, 0);
    if (lws_hdr_copy(connection->wsi, path, sizeof path, WSI_TOKEN_GET_URI) <= 0)
        return refuse(connection, 404, NULL, 0);
    verdict = login_check(connection, true);
    if (verdict.status)
        return refuse(connection, verdict.status, verdict.detail, verdict.retry_after);
    operation = api_find("GET", path, name, &status, allow);
    if (!operation || operation->kind != API_VIEWER)
        return refuse(connection, 404, "there is no websocket here", 0);
    if (lws_hdr_copy(connection->wsi, path, sizeof path, WSI_TOKEN_PROTOCOL) < 0 || (*path && !strstr(path, "binary")))
        return refuse(connection, 400, "the only subprotocol is binary, which may be left out", 0);
    connection->phase = CONNECTION_VIEWER;
    return 0;
}

/* Says why, and ends the connection. */
static int end(struct connection *connection, unsigned code, const char *reason)
{
    lws_close_reason(connection->wsi, (enum lws_close_status)code, (unsigned char *)reason, strlen(reason));
    return -1;
}

int websocket_open(struct connection *connection)
{
    struct web *web = connection->web;
    struct bridge *bridge = calloc(1, sizeof *bridge);
    lws_adopt_desc_t adoption = {
        .vh = web->unix_socket, .type = LWS_ADOPT_RAW_FILE_DESC, .vh_prot_name = " pipe", .opaque = bridge};
    int fds[2];

    if (!bridge || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        free(bridge);
        return end(connection, CLOSE_TRY_AGAIN, "out of memory");
    }
    adoption.fd.filefd = fds[0];
    bridge->pipe = lws_adopt_descriptor_vhost_via_info(&adoption);
    if (!bridge->pipe) {
        close(fds[0]);
        close(fds[1]);
        free(bridge);
        return end(connection, CLOSE_TRY_AGAIN, "out of memory");
    }
    bridge->connection = connection;
    connection->bridge = bridge;
    connection->deadline_ns = 0;
    if (web->options.ops->viewer(web->options.machine, fds[1]) < 0)
        return end(connection, CLOSE_TRY_AGAIN, "no more viewers, or no screen");
    return 0;
}

/* The websocket is gone: the pipe goes too, and the viewer's server sees its end. */
void websocket_close(struct connection *connection)
{
    struct bridge *bridge = connection->bridge;

    connection->bridge = NULL;
    bridge->connection = NULL;
    lws_set_timeout(bridge->pipe, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

/* From the browser. */

/* Sends what the pipe takes; false: it is closed. */
static bool flush_in(struct bridge *bridge)
{
    while (bridge->in_sent < bridge->in_used) {
        ssize_t sent = send(lws_get_socket_fd(bridge->pipe), bridge->in + bridge->in_sent,
                            bridge->in_used - bridge->in_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EAGAIN) {
            lws_callback_on_writable(bridge->pipe);
            return true;
        }
        if (sent < 0 && errno != EINTR)
            return false;
        bridge->in_sent += sent > 0 ? (size_t)sent : 0;
    }
    bridge->in_sent = bridge->in_used = 0;
    return true;
}

/* Puts bytes behind those that wait. false: too many, or out of memory. */
static bool append_in(struct bridge *bridge, const uint8_t *data, size_t size)
{
    uint8_t *larger;
    size_t room;

    if (size > IN_BYTES - bridge->in_used)
        return false;
    if (size > bridge->in_room - bridge->in_used) {
        room = MAX(bridge->in_used + size, 2 * bridge->in_room);
        larger = realloc(bridge->in, room);
        if (!larger)
            return false;
        bridge->in = larger;
        bridge->in_room = room;
    }
    memcpy(bridge->in + bridge->in_used, data, size);
    bridge->in_used += size;
    return true;
}

int websocket_receive(struct connection *connection, const uint8_t *data, size_t size)
{
    struct bridge *bridge = connection->bridge;

    if (!bridge)
        return -1;
    if (!lws_frame_is_binary(connection->wsi))
        return end(connection, CLOSE_UNSUPPORTED, "binary frames only");
    return !size || (append_in(bridge, data, size) && flush_in(bridge)) ? 0 : -1;
}

/* To the browser. */

/* Fills the buffer that waits for the websocket; false: the pipe is closed. */
static bool fill_out(struct bridge *bridge)
{
    ssize_t got;

    if (bridge->out_used)
        return true;
    got = recv(lws_get_socket_fd(bridge->pipe), bridge->out + LWS_PRE, OUT_BYTES, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    bridge->out_used = got > 0 ? (size_t)got : 0;
    return true;
}

int websocket_writeable(struct connection *connection)
{
    struct bridge *bridge = connection->bridge;

    if (!bridge)
        return -1;
    for (unsigned n = 0; n < ROUNDS && bridge->out_used; n++) {
        if (lws_write(connection->wsi, bridge->out + LWS_PRE, bridge->out_used, LWS_WRITE_BINARY) < 0)
            return -1;
        bridge->out_used = 0;
        connection->deadline_ns = 0;
        if (lws_send_pipe_choked(connection->wsi))
            break;
        if (!fill_out(bridge))
            return -1;
    }
    if (bridge->out_used) {
        connection_deadline(connection, PATIENCE_SECONDS);
        lws_callback_on_writable(connection->wsi);
    } else {
        lws_rx_flow_control(bridge->pipe, 1);
    }
    return 0;
}

static int pipe_readable(struct bridge *bridge)
{
    if (!fill_out(bridge))
        return -1;
    if (bridge->out_used) {
        lws_rx_flow_control(bridge->pipe, 0);
        if (!bridge->connection->deadline_ns)
            connection_deadline(bridge->connection, PATIENCE_SECONDS);
        lws_callback_on_writable(bridge->connection->wsi);
    }
    return 0;
}

static int pipe_writeable(struct bridge *bridge)
{
    return flush_in(bridge) ? 0 : -1;
}

int websocket_pipe(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct bridge *bridge = lws_get_opaque_user_data(wsi);

    (void)user;
    (void)in;
    (void)length;
    switch (reason) {
    case LWS_CALLBACK_RAW_RX_FILE:
        return bridge->connection ? pipe_readable(bridge) : -1;
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
        return bridge->connection ? pipe_writeable(bridge) : -1;
    case LWS_CALLBACK_RAW_CLOSE_FILE:
        if (bridge->connection) {
            bridge->connection->bridge = NULL;
            connection_end(bridge->connection);
        }
        free(bridge->in);
        free(bridge);
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return -1;
    default:
        return 0;
    }
}
