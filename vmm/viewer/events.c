/* GET /api/v1/events: server-sent events (HTML standard, 9.2). The newest status only: who reads slowly misses some. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/loop.h"
#include "web_private.h"

#define PERIOD_NS SECOND_NS
#define PATIENCE_SECONDS 30

/* What the stream is to be told next: the status, when it changed or a second has gone by. */
static void consider(struct connection *connection, const char *status, const char *essence, int64_t now)
{
    char *copy, *event = NULL;

    if (now < connection->events_next_ns && connection->events_sent && !strcmp(connection->events_sent, essence))
        return;
    copy = strdup(essence);
    if (!copy || asprintf(&event, "event: status\ndata: %s\n\n", status) < 0) {
        free(copy);
        return;
    }
    free(connection->events_sent);
    free(connection->events_pending);
    connection->events_sent = copy;
    connection->events_pending = event;
    connection->events_next_ns = now + PERIOD_NS;
    if (!connection->deadline_ns)
        connection_deadline(connection, PATIENCE_SECONDS);
    lws_callback_on_writable(connection->wsi);
}

void events_tick(struct web *web, int64_t now)
{
    char *status, *essence;

    if (!web->stream_count)
        return;
    status = api_status(&web->api, true);
    essence = api_status(&web->api, false);
    for (struct connection *connection = web->connections; connection && status && essence;
         connection = connection->next)
        if (connection->phase == CONNECTION_EVENTS)
            consider(connection, status, essence, now);
    free(status);
    free(essence);
}

int events_writeable(struct connection *connection)
{
    unsigned char *buffer = connection->web->buffer + LWS_PRE;
    size_t length = connection->events_pending ? strlen(connection->events_pending) : 0;

    if (!length || length > WEB_CHUNK)
        return 0;
    memcpy(buffer, connection->events_pending, length);
    free(connection->events_pending);
    connection->events_pending = NULL;
    connection->deadline_ns = 0;
    return lws_write(connection->wsi, buffer, length, LWS_WRITE_HTTP) < 0 ? -1 : 0;
}

int events_begin(struct connection *connection)
{
    static const char lines[] = "content-type: text/event-stream\r\ncache-control: no-store\r\nconnection: close\r\n";
    unsigned char *start = connection->web->buffer + LWS_PRE, *end = start + WEB_HEADERS, *at;
    struct web *web = connection->web;

    if (web->stream_count >= WEB_EVENT_STREAMS)
        return http_problem(connection, 503, "there are too many event streams", 10);
    at = http_headers(connection, 200, start, end);
    if (!at || (size_t)(end - at) < sizeof lines + 2)
        return -1;
    memcpy(at, lines, sizeof lines - 1);
    at += sizeof lines - 1;
    if (lws_finalize_http_header(connection->wsi, &at, end) ||
        lws_write(connection->wsi, start, (size_t)(at - start), LWS_WRITE_HTTP_HEADERS) < 0)
        return -1;
    if (connection->exchange->head)
        return -1;
    lws_set_timeout(connection->wsi, NO_PENDING_TIMEOUT, 0);
    connection->phase = CONNECTION_EVENTS;
    connection->deadline_ns = 0;
    web->stream_count++;
    events_tick(web, clock_ns());
    web_start_ticking(web);
    return 0;
}
