/* One request over HTTP/1.1: what it asks for, its body, its answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "web_private.h"

#define BODY_SECONDS 15
#define ANSWER_SECONDS 30
#define IDLE_SECONDS 60

static const struct {
    enum lws_token_indexes token;
    const char *name;
} methods[] = {{WSI_TOKEN_GET_URI, "GET"},        {WSI_TOKEN_HEAD_URI, "HEAD"}, {WSI_TOKEN_POST_URI, "POST"},
               {WSI_TOKEN_DELETE_URI, "DELETE"},  {WSI_TOKEN_PUT_URI, "PUT"},   {WSI_TOKEN_PATCH_URI, "PATCH"},
               {WSI_TOKEN_OPTIONS_URI, "OPTIONS"}};

static const char *method_of(struct lws *wsi)
{
    for (size_t n = 0; n < ARRAY_SIZE(methods); n++)
        if (lws_hdr_total_length(wsi, methods[n].token))
            return methods[n].name;
    return "";
}

/* The header's text; empty when there is none. false: it does not fit. */
static bool copy_header(struct lws *wsi, enum lws_token_indexes token, char *text, size_t size)
{
    text[0] = 0;
    return !lws_hdr_total_length(wsi, token) || lws_hdr_copy(wsi, text, (int)size, token) >= 0;
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    if (exchange->body)
        memset(exchange->body, 0, exchange->body_size); /* it may have been a secret */
    free(exchange->body);
    free(exchange->answer.body);
    free(exchange);
}

static struct exchange *start_exchange(struct connection *connection)
{
    exchange_free(connection->exchange);
    connection->exchange = calloc(1, sizeof *connection->exchange);
    if (connection->exchange)
        connection->exchange->connection = connection;
    return connection->exchange;
}

/* Answers. */

unsigned char *http_headers(struct connection *connection, unsigned status, unsigned char *to, unsigned char *end)
{
    static const char hsts[] = "max-age=31536000";

    if (lws_add_http_header_status(connection->wsi, status, &to, end) ||
        (connection->web->secure && !connection->trusted &&
         lws_add_http_header_by_name(connection->wsi, (const unsigned char *)"strict-transport-security:",
                                     (const unsigned char *)hsts, sizeof hsts - 1, &to, end)))
        return NULL;
    return to;
}

static bool add(struct connection *connection, const char *name, const char *value, unsigned char **at,
                unsigned char *end)
{
    return lws_add_http_header_by_name(connection->wsi, (const unsigned char *)name, (const unsigned char *)value,
                                       (int)strlen(value), at, end) == 0;
}

/* All headers of the exchange's answer; their length, or 0. */
static size_t write_headers(struct connection *connection, unsigned char *start, unsigned char *end)
{
    struct exchange *exchange = connection->exchange;
    const struct api_answer *answer = &exchange->answer;
    unsigned char *at = http_headers(connection, answer->status, start, end);
    char number[32];
    bool good = at;

    if (good && answer->type)
        good = add(connection, "content-type:", answer->type, &at, end);
    if (good && exchange->gzip)
        good = add(connection, "content-encoding:", "gzip", &at, end) &&
               add(connection, "vary:", "accept-encoding", &at, end);
    if (good && exchange->etag)
        good = add(connection, "etag:", exchange->etag, &at, end);
    if (good)
        good = add(connection, "cache-control:", exchange->etag ? "no-cache" : "no-store", &at, end);
    if (good && answer->status == 401)
        good = add(connection, "www-authenticate:", "Bearer realm=\"casement\"", &at, end);
    if (good && exchange->retry_after) {
        snprintf(number, sizeof number, "%u", exchange->retry_after);
        good = add(connection, "retry-after:", number, &at, end);
    }
    if (good && answer->status != 204 && answer->status != 304) {
        snprintf(number, sizeof number, "%zu", answer->size);
        good = add(connection, "content-length:", number, &at, end);
    }
    if (good && exchange->close)
        good = add(connection, "connection:", "close", &at, end);
    if (!good || strlen(exchange->extra) >= (size_t)(end - at))
        return 0;
    memcpy(at, exchange->extra, strlen(exchange->extra));
    at += strlen(exchange->extra);
    return lws_finalize_http_header(connection->wsi, &at, end) ? 0 : (size_t)(at - start);
}

static int end_answer(struct connection *connection)
{
    bool close = connection->exchange->close;

    exchange_free(connection->exchange);
    connection->exchange = NULL;
    connection->phase = CONNECTION_REQUEST;
    connection_deadline(connection, IDLE_SECONDS);
    return close || lws_http_transaction_completed(connection->wsi) ? -1 : 0;
}

/* Sends chunks while the peer takes them; `used` bytes of headers are in the buffer already. */
static int send_chunks(struct connection *connection, size_t used)
{
    struct exchange *exchange = connection->exchange;
    size_t size = exchange->head ? 0 : exchange->answer.size;
    unsigned char *buffer = connection->web->buffer + LWS_PRE;

    for (;;) {
        size_t now = MIN(size - exchange->sent, WEB_CHUNK);

        if (now)
            memcpy(buffer + used, (const char *)exchange->content + exchange->sent, now);
        if (lws_write(connection->wsi, buffer, used + now, LWS_WRITE_HTTP) < 0)
            return -1;
        used = 0;
        exchange->sent += now;
        if (exchange->sent == size)
            return end_answer(connection);
        connection_deadline(connection, ANSWER_SECONDS);
        if (lws_send_pipe_choked(connection->wsi)) {
            lws_callback_on_writable(connection->wsi);
            return 0;
        }
    }
}

int http_answer(struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    unsigned char *buffer = connection->web->buffer + LWS_PRE;
    size_t used;

    if (!exchange->content)
        exchange->content = exchange->answer.body;
    connection->phase = CONNECTION_SENDING;
    /* Deadlines are ours (web.c); the library's own is for the request. */
    lws_set_timeout(connection->wsi, NO_PENDING_TIMEOUT, 0);
    used = write_headers(connection, buffer, buffer + WEB_HEADERS);
    return used ? send_chunks(connection, used) : -1;
}

int http_writeable(struct connection *connection)
{
    if (connection->phase == CONNECTION_WAITING && connection->exchange->returned)
        return http_answer(connection);
    return connection->phase == CONNECTION_SENDING ? send_chunks(connection, 0) : 0;
}

int http_problem(struct connection *connection, unsigned status, const char *detail, unsigned retry_after)
{
    struct exchange *exchange = start_exchange(connection);

    if (!exchange)
        return -1;
    api_problem(&exchange->answer, status, detail);
    exchange->retry_after = retry_after;
    /* A body that may still come is not read. */
    exchange->close = true;
    return http_answer(connection);
}

/* Assets. */

/* The content itself, for who does not take gzip. */
static char *inflate_asset(const struct asset *asset)
{
    z_stream stream = {.next_in = (Bytef *)asset->gzip, .avail_in = (uInt)asset->gzip_size};
    char *content = malloc(asset->size + 1);
    int status = Z_MEM_ERROR;

    stream.next_out = (Bytef *)content;
    stream.avail_out = (uInt)asset->size;
    if (content && inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK) {
        status = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
    }
    if (status == Z_STREAM_END)
        return content;
    free(content);
    return NULL;
}

static int answer_asset(struct connection *connection, const struct asset *asset, unsigned status)
{
    struct exchange *exchange = connection->exchange;
    struct api_answer *answer = &exchange->answer;
    char text[512];

    *answer = (struct api_answer){.status = status, .type = asset->type};
    exchange->etag = asset->etag;
    if (status == 200 && copy_header(connection->wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, text, sizeof text) && *text &&
        strstr(text, asset->etag)) {
        answer->status = 304;
        answer->type = NULL;
        return http_answer(connection);
    }
    exchange->gzip =
        copy_header(connection->wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING, text, sizeof text) && strcasestr(text, "gzip");
    if (exchange->gzip) {
        exchange->content = asset->gzip;
        answer->size = asset->gzip_size;
    } else {
        answer->body = inflate_asset(asset);
        answer->size = answer->body ? asset->size : 0;
    }
    return http_answer(connection);
}

/* GET / with a token in its query: a session, and the address without the token. */
static int answer_page(struct connection *connection, const struct asset *asset)
{
    struct exchange *exchange = connection->exchange;
    char argument[ACCESS_SECRET_MAX + 8];
    unsigned status = 200;

    for (int n = 0; lws_hdr_copy_fragment(connection->wsi, argument, sizeof argument, WSI_TOKEN_HTTP_URI_ARGS, n) >= 0;
         n++) {
        if (strncmp(argument, "token=", 6) != 0)
            continue;
        status =
            login_token(connection, argument + 6, exchange->extra, sizeof exchange->extra - 16, &exchange->retry_after);
        if (status)
            break;
        snprintf(exchange->extra + strlen(exchange->extra), sizeof exchange->extra - strlen(exchange->extra),
                 "location: /\r\n");
        exchange->answer.status = 303;
        return http_answer(connection);
    }
    return answer_asset(connection, asset, status);
}

/* Requests. */

static int dispatch(struct connection *connection)
{
    struct exchange *exchange = connection->exchange;
    const struct api_request request = {
        .name = exchange->name, .body = exchange->body ? exchange->body : "", .body_size = exchange->body_size};
    struct web *web = connection->web;

    switch (exchange->operation->kind) {
    case API_PLAIN:
        exchange->operation->run(&web->api, &request, &exchange->answer);
        break;
    case API_MACHINE:
        connection->phase = CONNECTION_WAITING;
        connection->deadline_ns = 0;
        lws_set_timeout(connection->wsi, NO_PENDING_TIMEOUT, 0);
        if (calls_run(web, exchange))
            return 0;
        api_problem(&exchange->answer, 503, "the machine ends");
        break;
    case API_SESSION:
        login_session(connection, exchange);
        break;
    case API_TOKEN:
        login_show_token(connection, exchange);
        break;
    case API_EVENTS:
        return events_begin(connection);
    default:
        api_problem(&exchange->answer, 426, "this is a websocket (RFC 6455)");
        snprintf(exchange->extra, sizeof exchange->extra, "upgrade: websocket\r\n");
        break;
    }
    return http_answer(connection);
}

/* How many bytes of body the request says it has; false after it was answered. */
static bool body_length(struct connection *connection, const char *method, size_t *length, bool *said, int *result)
{
    struct lws *wsi = connection->wsi;
    char text[24], *end;

    *length = 0;
    *said = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING)) {
        *result = http_problem(connection, 411, "say the length of the body in Content-Length", 0);
        return false;
    }
    if (!*said)
        return true;
    if (!copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text) || !*text ||
        strspn(text, "0123456789") != strlen(text)) {
        *result = http_problem(connection, 400, "Content-Length is no number", 0);
        return false;
    }
    *length = strtoull(text, &end, 10);
    if (*length > API_BODY_MAX) {
        *result = http_problem(connection, 413, "a body has at most 64 KiB", 0);
        return false;
    }
    if (*length && (!strcmp(method, "GET") || !strcmp(method, "HEAD"))) {
        *result = http_problem(connection, 400, "this method takes no body", 0);
        return false;
    }
    return true;
}

/* A form of another site can only send other types. */
static bool is_json(struct lws *wsi)
{
    char type[128] = "";

    return copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, type, sizeof type) &&
           !strncasecmp(type, "application/json", 16) && (!type[16] || strchr("; ", type[16]));
}

static int take_request(struct connection *connection, const struct api_operation *operation, const char *name,
                        const char *method)
{
    struct exchange *exchange;
    size_t length;
    bool said;
    int result = 0;

    if (!body_length(connection, method, &length, &said, &result))
        return result;
    if (length && !is_json(connection->wsi))
        return http_problem(connection, 415, "the body's type is application/json", 0);
    exchange = start_exchange(connection);
    if (!exchange)
        return -1;
    exchange->operation = operation;
    exchange->head = !strcmp(method, "HEAD");
    snprintf(exchange->name, sizeof exchange->name, "%s", name);
    exchange->body = calloc(1, length + 1);
    exchange->body_size = length;
    if (!exchange->body)
        return -1;
    /* The library tells the end of a body that is said to be there, and of an empty one only with POST. Without a
     * length it would wait for one; there is none (RFC 9112, 6.3), and what follows is not read. */
    if (length || (said && !strcmp(method, "POST"))) {
        connection->phase = CONNECTION_BODY;
        connection_deadline(connection, BODY_SECONDS);
        return 0;
    }
    exchange->close = !said && !strcmp(method, "POST");
    return dispatch(connection);
}

static int take_asset(struct connection *connection, const struct asset *asset, const char *method)
{
    struct exchange *exchange;
    size_t length;
    bool said;
    int result = 0;

    if (!body_length(connection, method, &length, &said, &result))
        return result;
    exchange = start_exchange(connection);
    if (!exchange)
        return -1;
    exchange->head = !strcmp(method, "HEAD");
    return !strcmp(asset->path, "/") ? answer_page(connection, asset) : answer_asset(connection, asset, 200);
}

int http_request(struct connection *connection, const char *path, size_t length)
{
    const char *method = method_of(connection->wsi);
    bool reads = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    const struct api_operation *operation;
    const struct asset *asset;
    struct verdict verdict;
    char text[256], name[API_NAME_MAX], allow[32];
    unsigned status;

    if (connection->phase != CONNECTION_REQUEST)
        return -1;
    verdict = login_check_host(connection);
    if (verdict.status)
        return http_problem(connection, verdict.status, verdict.detail, 0);
    if (length >= sizeof text || strnlen(path, length) != length)
        return http_problem(connection, 404, NULL, 0);
    memcpy(text, path, length);
    text[length] = 0;
    asset = reads && connection->web->options.asset ? connection->web->options.asset(text) : NULL;
    if (asset)
        return take_asset(connection, asset, method);
    operation = api_find(method, text, name, &status, allow);
    if (!operation || !operation->open) {
        verdict = login_check(connection, !reads);
        if (verdict.status)
            return http_problem(connection, verdict.status, verdict.detail, verdict.retry_after);
    }
    if (!operation && status == 405 && start_exchange(connection)) {
        api_problem(&connection->exchange->answer, status, NULL);
        connection->exchange->close = true;
        snprintf(connection->exchange->extra, sizeof connection->exchange->extra, "allow: %s\r\n", allow);
        return http_answer(connection);
    }
    return operation ? take_request(connection, operation, name, method)
                     : http_problem(connection, status, "there is nothing here", 0);
}

int http_body(struct connection *connection, const void *data, size_t size)
{
    struct exchange *exchange = connection->exchange;

    if (!size)
        return 0;
    if (connection->phase != CONNECTION_BODY || size > exchange->body_size - exchange->body_used)
        return -1;
    memcpy(exchange->body + exchange->body_used, data, size);
    exchange->body_used += size;
    return 0;
}

int http_body_end(struct connection *connection)
{
    if (connection->phase != CONNECTION_BODY || connection->exchange->body_used != connection->exchange->body_size)
        return -1;
    return dispatch(connection);
}
