/* From a request's headers to whether it is let in: Host, session cookie or bearer, Origin (access.h has the rules). */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "casement/log.h"
#include "web_private.h"

static bool header(const struct connection *connection, enum lws_token_indexes token, char *text, size_t size)
{
    text[0] = 0;
    return lws_hdr_total_length(connection->wsi, token) && lws_hdr_copy(connection->wsi, text, (int)size, token) > 0;
}

struct verdict login_check_host(const struct connection *connection)
{
    char host[256];

    if (connection->trusted)
        return (struct verdict){0};
    if (!header(connection, WSI_TOKEN_HOST, host, sizeof host) || !access_host_allowed(connection->web->access, host))
        return (struct verdict){421,
                                "the server does not go by this name; add it with --web-host, in a container with the "
                                "variable CASEMENT_WEB_HOST, or use an address",
                                0};
    return (struct verdict){0};
}

/* The session that the cookies name; false: none. */
static bool session_cookie(const struct connection *connection, char session[ACCESS_TEXT])
{
    const char *name = connection->web->options.cookie;
    char cookies[4096];

    if (!header(connection, WSI_TOKEN_HTTP_COOKIE, cookies, sizeof cookies))
        return false;
    for (char *rest = cookies, *item; (item = strsep(&rest, ";"));) {
        size_t length = strlen(name);

        item += strspn(item, " ");
        if (strncmp(item, name, length) != 0 || item[length] != '=' || strlen(item + length + 1) != ACCESS_TEXT - 1)
            continue;
        memcpy(session, item + length + 1, ACCESS_TEXT);
        return true;
    }
    return false;
}

static struct verdict try_secret(struct connection *connection, const char *secret)
{
    static struct log_limit limit;
    unsigned wait = 0;

    switch (access_try(connection->web->access, secret, connection->address, clock_ns(), &wait)) {
    case ACCESS_GRANTED:
        return (struct verdict){0};
    case ACCESS_TOO_SOON:
        return (struct verdict){429, "too many wrong secrets; wait", wait};
    default:
        log_guest(&limit, "web: a wrong secret was given");
        return (struct verdict){401, "the secret is wrong", 0};
    }
}

static struct verdict check_credentials(struct connection *connection, bool *by_cookie)
{
    struct access *access = connection->web->access;
    char text[ACCESS_SECRET_MAX + 16], session[ACCESS_TEXT];
    struct verdict verdict = {401, "log in first, or send a bearer secret", 0};

    *by_cookie = false;
    if (access_is_open(access))
        return (struct verdict){0};
    if (header(connection, WSI_TOKEN_HTTP_AUTHORIZATION, text, sizeof text) && !strncasecmp(text, "Bearer ", 7)) {
        verdict = try_secret(connection, text + 7);
    } else if (session_cookie(connection, session) && access_session_valid(access, session, clock_ns())) {
        *by_cookie = true;
        verdict = (struct verdict){0};
    }
    OPENSSL_cleanse(text, sizeof text);
    return verdict;
}

/* Whether a page of ours, or no page at all, makes the request. */
static bool origin_good(const struct connection *connection, bool required)
{
    char origin[512], host[256];

    if (!lws_hdr_total_length(connection->wsi, WSI_TOKEN_ORIGIN))
        return !required;
    return header(connection, WSI_TOKEN_ORIGIN, origin, sizeof origin) &&
           header(connection, WSI_TOKEN_HOST, host, sizeof host) &&
           access_origin_allowed(origin, host, connection->web->secure);
}

struct verdict login_check(struct connection *connection, bool changing)
{
    struct verdict verdict;
    bool by_cookie;

    if (connection->trusted)
        return (struct verdict){0};
    verdict = check_credentials(connection, &by_cookie);
    /* A browser sends the cookie by itself, and says then who made it do so. */
    if (!verdict.status && changing && !origin_good(connection, by_cookie))
        return (struct verdict){403, "the request comes from another site", 0};
    return verdict;
}

/* Opens a session; the line that sets its cookie. */
static bool open_session(struct connection *connection, char *line, size_t size)
{
    char session[ACCESS_TEXT];

    if (!access_session_open(connection->web->access, clock_ns(), session))
        return false;
    snprintf(line, size, "set-cookie: %s=%s; Path=/; HttpOnly; SameSite=Strict%s\r\n", connection->web->options.cookie,
             session, connection->web->secure ? "; Secure" : "");
    OPENSSL_cleanse(session, sizeof session);
    return true;
}

unsigned login_token(struct connection *connection, const char *token, char *line, size_t size, unsigned *retry_after)
{
    struct verdict verdict = {0};

    line[0] = 0;
    if (connection->trusted)
        return 0;
    verdict = try_secret(connection, token);
    *retry_after = verdict.retry_after;
    if (!verdict.status && !open_session(connection, line, size))
        return 500;
    return verdict.status;
}

static void log_in(struct connection *connection, struct exchange *exchange)
{
    const struct api_request request = {.body = exchange->body, .body_size = exchange->body_size};
    char *secret = api_secret(&request);
    struct verdict verdict = {0};

    if (!secret) {
        api_problem(&exchange->answer, 422, "the body is {\"secret\": \"...\"}");
        return;
    }
    if (!connection->trusted)
        verdict = try_secret(connection, secret);
    OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
    exchange->retry_after = verdict.retry_after;
    if (verdict.status)
        api_problem(&exchange->answer, verdict.status, verdict.detail);
    else if (!connection->trusted && !open_session(connection, exchange->extra, sizeof exchange->extra))
        api_problem(&exchange->answer, 500, "the host has no random numbers");
    else
        exchange->answer.status = 204;
}

static void log_out(struct connection *connection, struct exchange *exchange)
{
    char session[ACCESS_TEXT];

    if (!connection->trusted && session_cookie(connection, session)) {
        access_session_close(connection->web->access, session);
        snprintf(exchange->extra, sizeof exchange->extra,
                 "set-cookie: %s=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0%s\r\n", connection->web->options.cookie,
                 connection->web->secure ? "; Secure" : "");
    }
    exchange->answer.status = 204;
}

void login_show_token(const struct connection *connection, struct exchange *exchange)
{
    const struct access *access = connection->web->access;
    const char *token = access ? access_token(access) : NULL;
    struct api_answer *answer = &exchange->answer;

    if (!connection->trusted) {
        api_problem(answer, 403, "the token is told over the control socket alone; see `casement ctl token`");
    } else if (!token) {
        api_problem(answer, 409,
                    access ? "the page asks for no token; --access says what it asks for"
                           : "there is no page that would ask for a token; --web makes one");
    } else {
        *answer = (struct api_answer){.status = 200, .type = "text/plain; charset=utf-8", .body = strdup(token)};
        answer->size = answer->body ? strlen(token) : 0;
    }
}

void login_session(struct connection *connection, struct exchange *exchange)
{
    if (!connection->trusted && !origin_good(connection, false))
        api_problem(&exchange->answer, 403, "the request comes from another site");
    else if (!strcmp(exchange->operation->method, "POST"))
        log_in(connection, exchange);
    else
        log_out(connection, exchange);
}
