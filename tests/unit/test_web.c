/* The web server in this process, with a fake machine behind it and raw sockets in front: who is let in, what is
 * answered, and how little those reach who mean no good. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_client.h"
#include "fake_machine.h"

#include "../../vmm/viewer/tls.h"
#include "../../vmm/viewer/web.h"

#define TOKEN "right-token"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: localhost\r\n"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"
#define JSON(length) "Content-Type: application/json\r\nContent-Length: " #length "\r\n"
#define EMPTY "Content-Length: 0\r\n"
#define END "\r\n"

static struct fake_machine machine;
static struct loop *loop;
static struct web *web;
static uint16_t port;
static struct error error;
static char folder[] = "/tmp/casement-web-XXXXXX", certificate[64], key[64];

static const char content[] = "<p>page page page page page page page page page page</p>";
static uint8_t compressed[256];
static struct asset page = {.path = "/", .type = "text/html; charset=utf-8", .gzip = compressed, .etag = "\"1\""};
static struct asset large = {.path = "/large", .type = "text/plain", .etag = "\"2\""};

static const struct asset *find(const char *path)
{
    return !strcmp(path, "/") ? &page : !strcmp(path, "/large") ? &large : NULL;
}

static size_t compress_into(uint8_t *to, size_t room, const void *from, size_t size)
{
    z_stream stream = {.next_in = (Bytef *)from, .avail_in = (uInt)size, .next_out = to, .avail_out = (uInt)room};

    assert_int_equal(deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return room - stream.avail_out;
}

/* Bytes that do not get smaller. */
static void make_assets(void)
{
    static uint8_t noise[3 << 20], packed[4 << 20];

    for (size_t n = 0; n < sizeof noise; n++)
        noise[n] = (uint8_t)(rand() >> 7);
    page.size = sizeof content - 1;
    page.gzip_size = compress_into(compressed, sizeof compressed, content, page.size);
    large.gzip = packed;
    large.size = sizeof noise;
    large.gzip_size = compress_into(packed, sizeof packed, noise, sizeof noise);
}

/* A connection as the server at hand wants it. */
static bool secure;
static int dial(void)
{
    return secure ? client_dial_tls(port) : client_dial(port);
}

static int start(enum access_mode mode, bool loop_runs)
{
    struct web_options options = {.ops = &fake_machine_ops,
                                  .machine = &machine,
                                  .asset = find,
                                  .control = -1,
                                  .cookie = "test",
                                  .access = {.mode = mode, .secret = TOKEN, .name = "box"}};
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    fake_machine_create(&machine);
    loop = loop_create("main");
    options.main_loop = loop;
    if (secure) {
        static const char *const names[] = {"box", NULL};

        options.certificate = certificate;
        options.key = key;
        if (tls_self_sign(certificate, key, names, &error) < 0)
            return -1;
    }
    options.listener = web_listen("--web", "127.0.0.1", 0, &error);
    if (options.listener < 0 || getsockname(options.listener, (struct sockaddr *)&address, &size) < 0)
        return -1;
    port = ntohs(address.sin_port);
    return web_create(&options, &web, &error) < 0 || (loop_runs && loop_start(loop) < 0) ? -1 : 0;
}

static int setup(void **state)
{
    (void)state;
    return start(ACCESS_TOKEN, true);
}

static int setup_tls(void **state)
{
    (void)state;
    secure = true;
    return start(ACCESS_TOKEN, true);
}

static int setup_password(void **state)
{
    (void)state;
    return start(ACCESS_PASSWORD, true);
}

static int setup_open(void **state)
{
    (void)state;
    return start(ACCESS_OPEN, true);
}

static int teardown(void **state)
{
    (void)state;
    loop_stop(loop);
    web_destroy(web);
    loop_destroy(loop);
    fake_machine_destroy(&machine);
    secure = false;
    return 0;
}

/* One request on a connection of its own; its status. */
static unsigned ask(const char *request)
{
    int fd = dial();
    unsigned status = client_ask(fd, request);

    close(fd);
    return status;
}

static unsigned ask_with(const char *first, const char *second)
{
    char request[4096];

    snprintf(request, sizeof request, "%s%s" END, first, second);
    return ask(request);
}

/* The session that the last answer's cookie carries, as a header line. */
static const char *cookie_line(void)
{
    static char line[128];
    const char *cookie = strcasestr(client_text, "\r\nset-cookie: test=");

    assert_non_null(cookie);
    snprintf(line, sizeof line, "Cookie: other=1; test=%.*s; more=2\r\n", (int)strcspn(cookie + 19, ";"), cookie + 19);
    return line;
}

/* Peers that do nothing cost nothing: over half a second the process runs for less than a tenth of it. */
static void assert_idle(void)
{
    struct timespec before, after;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    poll(NULL, 0, 500);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec < 50000000L);
}

static void only_who_has_the_secret_is_let_in(void **state)
{
    (void)state;
    assert_int_equal(ask(GET("/healthz") END), 200);
    assert_int_equal(ask(GET("/readyz") END), 200);
    assert_int_equal(ask(GET("/") END), 200);
    assert_int_equal(ask(GET("/api/v1/status") END), 401);
    assert_non_null(strcasestr(client_text, "\r\nwww-authenticate: Bearer"));
    assert_non_null(strcasestr(client_text, "\r\ncontent-type: application/problem+json"));
    assert_int_equal(ask(GET("/metrics") END), 401);
    assert_int_equal(ask(GET("/api/v1/nothing") END), 401);
    assert_int_equal(ask(GET("/api/v1/status") BEARER END), 200);
    assert_int_equal(ask(GET("/api/v1/status") "Authorization: Bearer wrong\r\n" END), 401);
    assert_int_equal(ask(GET("/api/v1/status") "Authorization: Basic cmlnaHQtdG9rZW4=\r\n" END), 401);
    assert_int_equal(ask(GET("/api/v1/status") "Authorization: " TOKEN "\r\n" END), 401);
    assert_int_equal(ask(GET("/api/v1/status?token=" TOKEN) END), 401);
    assert_int_equal(ask(GET("/api/v1/status") "Cookie: test=" TOKEN "\r\n" END), 401);
    assert_int_equal(ask(GET("/api/v1/nothing") BEARER END), 404);
    assert_int_equal(ask(POST("/api/v1/power/off") EMPTY END), 401);
    assert_int_equal(fake_machine_calls(&machine), 0);
}

static void the_token_in_the_address_becomes_a_session(void **state)
{
    char session[128];

    (void)state;
    assert_int_equal(ask(GET("/?token=wrong") END), 401);
    assert_null(strcasestr(client_text, "set-cookie"));
    assert_int_equal(ask(GET("/?a=b&token=" TOKEN) END), 303);
    assert_non_null(strcasestr(client_text, "\r\nlocation: /\r\n"));
    assert_non_null(strcasestr(client_text, "; HttpOnly; SameSite=Strict\r\n"));
    snprintf(session, sizeof session, "%s", cookie_line());
    assert_int_equal(ask_with(GET("/api/v1/status"), session), 200);
    assert_int_equal(ask_with("DELETE /api/v1/session HTTP/1.1\r\nHost: localhost\r\n", session), 204);
    assert_int_equal(ask_with(GET("/api/v1/status"), session), 401);
}

static void the_login_view_opens_a_session(void **state)
{
    (void)state;
    assert_int_equal(ask(POST("/api/v1/session") JSON(18) END "{\"secret\":\"wrong\"}"), 401);
    assert_int_equal(ask(POST("/api/v1/session") JSON(2) END "{}"), 422);
    assert_int_equal(ask(POST("/api/v1/session") EMPTY END), 422);
    assert_int_equal(
        ask(POST("/api/v1/session") "Origin: http://evil.example\r\n" JSON(24) END "{\"secret\":\"right-token\"}"),
        403);
    assert_int_equal(
        ask(POST("/api/v1/session") "Origin: http://localhost\r\n" JSON(24) END "{\"secret\":\"right-token\"}"), 204);
    assert_int_equal(ask_with(GET("/api/v1/status"), cookie_line()), 200);
}

static void other_sites_cannot_use_a_browsers_session(void **state)
{
    static const char button[] = POST("/api/v1/power/button") EMPTY;
    char session[128], lines[512];
    int fd;

    (void)state;
    assert_int_equal(ask(GET("/?token=" TOKEN) END), 303);
    snprintf(session, sizeof session, "%s", cookie_line());
    snprintf(lines, sizeof lines, "%sOrigin: http://localhost\r\n", session);
    assert_int_equal(ask_with(button, lines), 204);
    snprintf(lines, sizeof lines, "%sOrigin: http://evil.example\r\n", session);
    assert_int_equal(ask_with(button, lines), 403);
    fd = dial();
    assert_int_equal(client_upgrade(fd, lines), 403);
    close(fd);
    snprintf(lines, sizeof lines, "%sOrigin: null\r\n", session);
    assert_int_equal(ask_with(button, lines), 403);
    /* A browser says where it comes from; a cookie without that is none of ours. */
    assert_int_equal(ask_with(button, session), 403);
    assert_int_equal(ask_with(button, BEARER), 204);
    assert_int_equal(ask_with(button, BEARER "Origin: http://evil.example\r\n"), 403);
    assert_int_equal(fake_machine_calls(&machine), 2);
}

static void other_names_are_not_served(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
    assert_int_equal(ask("GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n" BEARER END), 421);
    assert_int_equal(ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
    assert_int_equal(ask("GET /healthz HTTP/1.0\r\n\r\n"), 421);
    /* The names of the library's own virtual hosts. */
    assert_int_equal(ask("GET /api/v1/status HTTP/1.1\r\nHost:  control\r\n\r\n"), 421);
    assert_int_equal(ask("GET /healthz HTTP/1.1\r\nHost: box:1234\r\n\r\n"), 200);
    assert_int_equal(ask("GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n"), 200);
}

static void open_access_still_keeps_other_sites_out(void **state)
{
    (void)state;
    assert_int_equal(ask(GET("/api/v1/status") END), 200);
    assert_int_equal(ask(POST("/api/v1/power/reset") EMPTY END), 204);
    assert_int_equal(ask(POST("/api/v1/power/reset") EMPTY "Origin: http://evil.example\r\n" END), 403);
    assert_int_equal(ask("GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
}

static void a_thousand_attempts(void **state)
{
    unsigned denied = 0, too_many = 0;
    int fd = dial();

    (void)state;
    for (unsigned n = 0; n < 1000; n++) {
        unsigned status = client_ask(fd, GET("/api/v1/status") "Authorization: Bearer guess\r\n" END);

        denied += status == 401;
        too_many += status == 429;
        if (status == 429)
            assert_non_null(strcasestr(client_text, "\r\nretry-after: "));
        close(fd); /* who is refused is hung up on */
        fd = dial();
    }
    close(fd);
    assert_int_equal(denied + too_many, 1000);
    assert_in_range(denied, 5, 10);
    /* Even the right one has to wait now, unless it is a session. */
    assert_int_equal(ask(GET("/api/v1/status") BEARER END), 429);
}

static void every_answer_is_guarded(void **state)
{
    static const char *const requests[] = {GET("/healthz") END,
                                           GET("/") END,
                                           GET("/nothing") END,
                                           "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                                           GET("/api/v1/status") BEARER END,
                                           POST("/api/v1/power/button") BEARER EMPTY END,
                                           GET("/api/v1/events") BEARER END,
                                           GET("/api/v1/rfb") BEARER END};
    static const char *const lines[] = {"content-security-policy: default-src 'self';",
                                        "frame-ancestors 'none'",
                                        "x-content-type-options: nosniff",
                                        "referrer-policy: no-referrer",
                                        "cross-origin-opener-policy: same-origin",
                                        "cross-origin-resource-policy: same-origin",
                                        "cache-control: no-"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(requests); n++) {
        assert_int_not_equal(ask(requests[n]), 0);
        for (size_t line = 0; line < ARRAY_SIZE(lines); line++)
            if (!strcasestr(client_text, lines[line]))
                fail_msg("%s: no %s in %s", requests[n], lines[line], client_text);
        assert_null(strcasestr(client_text, "libwebsockets"));
    }
}

static void pages_are_compressed_and_kept(void **state)
{
    (void)state;
    assert_int_equal(ask(GET("/") "Accept-Encoding: br, gzip\r\n" END), 200);
    assert_non_null(strcasestr(client_text, "\r\ncontent-encoding: gzip\r\n"));
    assert_memory_equal(client_body(), compressed, page.gzip_size);
    assert_int_equal(ask(GET("/") END), 200);
    assert_null(strcasestr(client_text, "content-encoding"));
    assert_string_equal(client_body(), content);
    assert_int_equal(ask(GET("/") "If-None-Match: \"1\"\r\n" END), 304);
    assert_int_equal(ask("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), 0); /* no body behind it */
    assert_non_null(strcasestr(client_text, "200"));
    assert_int_equal(ask(POST("/") EMPTY END), 401);
}

static void requests_follow_each_other_on_a_connection(void **state)
{
    int fd = dial();

    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(client_ask(fd, GET("/api/v1/layouts") BEARER END), 200);
        assert_string_equal(client_body(), "[\"us\",\"de\"]");
        assert_int_equal(client_ask(fd, POST("/api/v1/input/text") BEARER JSON(12) END "{\"text\":\"a\"}"), 204);
        assert_string_equal(fake_machine_last(&machine), "text(a)");
        assert_int_equal(client_ask(fd, POST("/api/v1/power/reset") BEARER EMPTY END), 204);
        assert_string_equal(fake_machine_last(&machine), "power(reset)");
        assert_int_equal(client_ask(fd, GET("/") END), 200);
    }
    close(fd);
    /* Without a length there is no body. */
    assert_int_equal(ask(POST("/api/v1/power/off") BEARER END), 204);
    assert_string_equal(fake_machine_last(&machine), "power(off)");
}

static void bodies_are_bounded(void **state)
{
    static char text[80000];
    size_t used = (size_t)snprintf(text, sizeof text, POST("/api/v1/input/text") BEARER JSON(65536) END "{\"text\":\"");
    unsigned calls;
    int fd;

    (void)state;
    memset(text + used, 'a', 65536 - 11);
    memcpy(text + used + 65536 - 11, "\"}", 3);
    assert_int_equal(ask(text), 204);
    assert_int_equal(strlen(fake_machine_last(&machine)), strlen("text()") + 65536 - 11);
    calls = fake_machine_calls(&machine);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER JSON(65537) END), 413);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER JSON(18446744073709551617) END), 413);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER JSON(-1) END), 400);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER JSON(1x) END), 400);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER JSON(12) JSON(12) END "{\"text\":\"a\"}"), 400);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n"), 411);
    assert_int_equal(ask(GET("/api/v1/status") BEARER "Content-Length: 5\r\n" END "hello"), 400);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER "Content-Length: 12\r\n" END "{\"text\":\"a\"}"), 415);
    assert_int_equal(ask(POST("/api/v1/input/text") BEARER JSON(3) END "{x}"), 400);
    assert_int_equal(ask("PUT /api/v1/status HTTP/1.1\r\nHost: localhost\r\n" BEARER EMPTY END), 405);
    assert_non_null(strcasestr(client_text, "\r\nallow: GET\r\n"));
    /* Half a body and a hang-up do nothing. */
    fd = dial();
    client_send(fd, text, used + 100);
    close(fd);
    assert_int_equal(ask(GET("/healthz") END), 200);
    assert_int_equal(fake_machine_calls(&machine), calls);
}

static void headers_are_bounded(void **state)
{
    static char block[65536];
    size_t sent = 0, now;
    int fd = dial();

    (void)state;
    memset(block, 'a', sizeof block);
    client_send(fd, GET("/healthz") "X-Long: ", strlen(GET("/healthz") "X-Long: "));
    do
        sent += now = client_send(fd, block, sizeof block);
    while (now == sizeof block && sent < 64 * sizeof block * 16);
    /* What the kernel holds between the two has gone, but the server has stopped long before 64 MiB. */
    assert_true(sent < 32 * sizeof block * 16);
    assert_true(client_ended(fd));
    close(fd);
    for (unsigned n = 0; n < 3; n++) {
        static const char *const wrong[] = {"\x16\x03\x01\x02\x00\x01\x00", "G\0T / HTTP/1.1\r\n\r\n",
                                            "CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n"};

        fd = dial();
        client_send(fd, wrong[n], n == 2 ? strlen(wrong[n]) : 20 > strlen(wrong[n]) ? strlen(wrong[n]) + 1 : 20);
        shutdown(fd, SHUT_WR);
        assert_true(client_ended(fd));
        close(fd);
    }
    assert_int_equal(
        ask(GET("/healthz") "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" END),
        0);
    assert_int_equal(ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 403);
    assert_int_equal(ask(GET("/healthz") END), 200);
}

static void connections_are_bounded(void **state)
{
    int fds[WEB_CONNECTIONS], fd;
    unsigned refused = 0;

    (void)state;
    for (unsigned n = 0; n < WEB_CONNECTIONS; n++) {
        fds[n] = dial();
        assert_int_equal(client_ask(fds[n], GET("/healthz") END), 200);
        client_send(fds[n], "GET /half", 9); /* and nothing more */
    }
    for (unsigned n = 0; n < 8; n++) {
        fd = dial();
        refused += client_ended(fd);
        close(fd);
    }
    assert_int_equal(refused, 8);
    assert_idle();
    for (unsigned n = 0; n < WEB_CONNECTIONS; n++)
        close(fds[n]);
    /* The places are free once the server has seen it, which it does before long. */
    while (ask(GET("/healthz") END) != 200)
        ;
}

static void a_reader_that_does_not_read_costs_little(void **state)
{
    int deaf[16];
    struct pollfd hung_up = {0};
    unsigned status;

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(deaf); n++) {
        deaf[n] = dial();
        client_send(deaf[n], GET("/large") END, strlen(GET("/large") END));
    }
    status = ask(GET("/healthz") END);
    assert_int_equal(status, 200);
    assert_idle();
    /* One that speaks while it does not read is hung up on. */
    client_send(deaf[0], GET("/large") END, strlen(GET("/large") END));
    hung_up.fd = deaf[0];
    assert_int_equal(poll(&hung_up, 1, 10000), 1);
    for (unsigned n = 0; n < ARRAY_SIZE(deaf); n++)
        close(deaf[n]);
    assert_int_equal(ask(GET("/healthz") END), 200);
}

static void the_operations_answer_comes_from_the_main_loop_or_not_at_all(void **state)
{
    int fds[4];

    (void)state;
    /* The loop does not run: the machine is about to end. */
    assert_int_equal(start(ACCESS_TOKEN, false), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++) {
        fds[n] = dial();
        client_send(fds[n], POST("/api/v1/power/reset") BEARER EMPTY END,
                    strlen(POST("/api/v1/power/reset") BEARER EMPTY END));
    }
    close(fds[0]); /* one does not wait for it */
    assert_int_equal(ask(GET("/healthz") END), 200);
    loop_stop(loop);
    web_destroy(web);
    for (unsigned n = 1; n < ARRAY_SIZE(fds); n++) {
        unsigned status = client_answer(fds[n]);

        /* Its request may not have been read yet. */
        assert_true(status == 503 || status == 0);
        close(fds[n]);
    }
    assert_int_equal(fake_machine_calls(&machine), 0);
    loop_destroy(loop);
    fake_machine_destroy(&machine);
}

static void events_come_at_once_and_on_change(void **state)
{
    static const char request[] = GET("/api/v1/events") BEARER END;
    int fd = dial();
    char line[4096];
    FILE *stream = fdopen(fd, "r");
    unsigned events = 0;

    (void)state;
    client_send(fd, request, sizeof request - 1);
    while (events < 2 && fgets(line, sizeof line, stream)) {
        if (strncmp(line, "data: ", 6) != 0)
            continue;
        assert_non_null(strstr(line, events ? "\"phase\":\"stopping\"" : "\"phase\":\"running\""));
        assert_non_null(strstr(line, "\"usage\":{"));
        events++;
        pthread_mutex_lock(&machine.lock);
        machine.status.phase = PHASE_STOPPING;
        pthread_mutex_unlock(&machine.lock);
    }
    assert_int_equal(events, 2);
    /* It has nothing to say; one that does is hung up on. */
    client_send(fd, "x", 1);
    while (fgets(line, sizeof line, stream))
        ;
    assert_true(feof(stream) || ferror(stream));
    fclose(stream);
    assert_idle();
    assert_int_equal(ask(GET("/healthz") END), 200);
}

/* The machine's end of the newest viewer, once there is one. */
static int viewer_end(unsigned count)
{
    int fd = -1;

    while (fd < 0) {
        pthread_mutex_lock(&machine.lock);
        if (machine.viewer_count >= count)
            fd = machine.viewers[count - 1];
        pthread_mutex_unlock(&machine.lock);
    }
    return fd;
}

static size_t read_from_viewer(int fd, char *to, size_t size)
{
    size_t used = 0;

    while (used < size) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ssize_t got;

        assert_int_equal(poll(&ready, 1, 10000), 1);
        got = recv(fd, to + used, size - used, MSG_DONTWAIT);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    return used;
}

static void a_websocket_carries_bytes_both_ways(void **state)
{
    static char sent[300000], got[300000];
    int fd = dial(), end;
    size_t size, used = 0;

    (void)state;
    assert_int_equal(client_upgrade(fd, BEARER), 101);
    end = viewer_end(1);
    client_frame(fd, 2, "hello", 5);
    assert_int_equal(read_from_viewer(end, got, 5), 5);
    assert_memory_equal(got, "hello", 5);
    /* More than any buffer on the way holds, in both directions. */
    for (size_t n = 0; n < sizeof sent; n++)
        sent[n] = (char)(n * 7 + (n >> 9));
    for (size_t at = 0; at < sizeof sent;) {
        size_t now = MIN(sizeof sent - at, 4096U);

        client_frame(fd, 2, sent + at, now);
        at += now;
        if (at % (64 * 4096) == 0 || at == sizeof sent)
            used += read_from_viewer(end, got + used, at - used);
    }
    assert_int_equal(used, sizeof got);
    assert_memory_equal(got, sent, sizeof sent);
    used = 0;
    for (size_t at = 0; used < sizeof sent;) {
        ssize_t now = at < sizeof sent ? send(end, sent + at, sizeof sent - at, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

        at += now > 0 ? (size_t)now : 0;
        assert_int_equal(client_read_frame(fd, &size), 2);
        assert_memory_equal(client_text, sent + used, size);
        used += size;
    }
    /* The machine hangs up: so does the websocket. */
    shutdown(end, SHUT_RDWR);
    assert_true(client_ended(fd));
    close(fd);
}

static void websockets_are_checked_as_everything_is(void **state)
{
    int fd = dial();
    char session[128], lines[256];

    (void)state;
    assert_int_equal(client_upgrade(fd, ""), 401);
    close(fd);
    fd = dial();
    assert_int_equal(client_ask(fd, "GET /api/v1/rfb HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\n"
                                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" BEARER END),
                     421);
    close(fd);
    fd = dial();
    assert_int_equal(
        client_ask(
            fd,
            GET("/api/v1/status") "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" BEARER
                                      END),
        404);
    close(fd);
    fd = dial();
    assert_int_equal(client_upgrade(fd, BEARER "Sec-WebSocket-Protocol:  accept\r\n"), 400);
    close(fd);
    fd = dial();
    assert_int_equal(client_upgrade(fd, BEARER "Sec-WebSocket-Protocol: binary\r\n"), 101);
    close(fd);
    assert_int_equal(ask(GET("/?token=" TOKEN) END), 303);
    snprintf(session, sizeof session, "%s", cookie_line());
    fd = dial();
    assert_int_equal(client_upgrade(fd, session), 403);
    close(fd);
    snprintf(lines, sizeof lines, "%sOrigin: http://localhost\r\n", session);
    fd = dial();
    assert_int_equal(client_upgrade(fd, lines), 101);
    close(fd);
    assert_int_equal(ask(GET("/api/v1/rfb") BEARER END), 426);
    pthread_mutex_lock(&machine.lock);
    machine.viewers_max = 0;
    pthread_mutex_unlock(&machine.lock);
    fd = dial();
    assert_int_equal(client_upgrade(fd, BEARER), 101);
    assert_true(client_ended(fd));
    close(fd);
}

static void malformed_frames_end_that_connection_alone(void **state)
{
    static const struct {
        uint8_t bytes[16];
        size_t size;
    } frames[] = {
        {{0x82, 0x05, 'h', 'e', 'l', 'l', 'o'}, 7},                                     /* not masked */
        {{0x81, 0x81, 0, 0, 0, 0, 'x'}, 7},                                             /* text */
        {{0x83, 0x80, 0, 0, 0, 0}, 6},                                                  /* reserved opcode */
        {{0xF2, 0x80, 0, 0, 0, 0}, 6},                                                  /* reserved bits */
        {{0x89, 0xFE, 0x01, 0x00, 0, 0, 0, 0}, 8},                                      /* a ping that is too long */
        {{0x80, 0x81, 0, 0, 0, 0, 'x'}, 7},                                             /* goes on with nothing */
        {{0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}, 14}, /* 2^64 - 1 bytes */
    };
    int good = dial(), fd, end;
    size_t size;

    (void)state;
    assert_int_equal(client_upgrade(good, BEARER), 101);
    end = viewer_end(1);
    for (size_t n = 0; n < ARRAY_SIZE(frames); n++) {
        fd = dial();
        assert_int_equal(client_upgrade(fd, BEARER), 101);
        client_send(fd, frames[n].bytes, frames[n].size);
        shutdown(fd, SHUT_WR);
        assert_true(client_ended(fd));
        close(fd);
    }
    assert_int_equal(send(end, "still here", 10, MSG_NOSIGNAL), 10);
    assert_int_equal(client_read_frame(good, &size), 2);
    assert_memory_equal(client_text, "still here", 10);
    close(good);
}

static size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void two_hundred_viewers_that_never_read(void **state)
{
    static char block[65536];
    int fds[200];
    size_t before, taken = 0;

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++) {
        fds[n] = dial();
        assert_int_equal(client_upgrade(fds[n], BEARER), 101);
        viewer_end(n + 1);
    }
    before = resident();
    /* The machine sends what it can; at some time nothing is taken any more. */
    for (unsigned quiet = 0; quiet < 3;) {
        size_t now = 0;

        for (unsigned n = 0; n < ARRAY_SIZE(fds); n++) {
            ssize_t sent = send(viewer_end(n + 1), block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);

            now += sent > 0 ? (size_t)sent : 0;
        }
        assert_int_equal(ask(GET("/healthz") END), 200);
        taken += now;
        quiet = now ? 0 : quiet + 1;
        assert_true(taken < (size_t)4 << 30);
    }
    /* What the kernel holds is not ours; of ours there is one buffer for each. */
    assert_true(resident() - before < 100 * (size_t)MiB);
    assert_idle();
    assert_int_equal(ask(GET("/api/v1/status") BEARER END), 200);
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++)
        close(fds[n]);
}

/* Requests that are nearly right, from a fixed seed: bytes changed, left out, doubled, and cut anywhere. */
static size_t spoil(char *to, size_t room, const char *from)
{
    size_t used = 0, length = strlen(from), cut = rand() % 4 ? length : (size_t)rand() % length;

    for (size_t n = 0; n < cut && used < room - 2; n++) {
        int what = rand() % 60;

        if (what == 0)
            to[used++] = (char)rand();
        else if (what == 1)
            to[used++] = "\r\n :;%/?&=+\"\\\0"[rand() % 15];
        else if (what == 2)
            to[used++] = from[rand() % (int)length];
        if (what)
            to[used++] = from[n];
    }
    return used;
}

static void noise(void **state)
{
    static const char *const requests[] = {
        GET("/api/v1/status") BEARER END,
        GET("/?token=" TOKEN "&a=b") "Accept-Encoding: gzip\r\n" END,
        POST("/api/v1/input/text") BEARER JSON(12) END "{\"text\":\"a\"}" GET("/large") END,
        POST("/api/v1/power/reset") BEARER END,
        "DELETE /api/v1/session HTTP/1.1\r\nHost: localhost\r\nCookie: test=" TOKEN "\r\n\r\n",
        GET("/healthz") END GET("/readyz") END GET("/api/v1/events") BEARER END,
        GET("/api/v1/rfb") BEARER
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x82\x85\1\1\1\1hello\x88\x80\1\1\1\1",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: "
        "AAMAAABk\r\n\r\n",
    };
    char text[2048], answer[4096];

    (void)state;
    srand(7);
    for (unsigned n = 0; n < 1200; n++) {
        int fd = dial();

        client_send(fd, text, spoil(text, sizeof text, requests[(unsigned)rand() % ARRAY_SIZE(requests)]));
        if (rand() % 2)
            shutdown(fd, SHUT_WR);
        if (rand() % 2) {
            struct pollfd ready = {.fd = fd, .events = POLLIN};

            poll(&ready, 1, rand() % 5);
            (void)!recv(fd, answer, sizeof answer, MSG_DONTWAIT);
        }
        close(fd);
    }
    while (ask(GET("/healthz") END) != 200)
        ;
    assert_int_equal(ask(GET("/api/v1/status") BEARER END), 200);
}

static void tls_garbage_ends_that_connection_alone(void **state)
{
    static const char *const garbage[] = {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\x40",
                                          "\x15\x03\x01\x00\x02\x02\x28", "\x80\x2e\x01"};
    int idle = client_dial(port), fd;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(garbage); n++) {
        fd = client_dial(port);
        client_send(fd, garbage[n], strlen(garbage[n]) + 1);
        shutdown(fd, SHUT_WR);
        assert_true(client_ended(fd));
        close(fd);
    }
    assert_int_equal(ask(GET("/healthz") END), 200);
    assert_non_null(strcasestr(client_text, "\r\nstrict-transport-security: max-age="));
    assert_int_equal(ask(GET("/?token=" TOKEN) END), 303);
    assert_non_null(strcasestr(client_text, "; HttpOnly; SameSite=Strict; Secure\r\n"));
    assert_int_equal(ask(GET("/large") END), 0); /* larger than what the client has room for */
    assert_idle();
    close(idle);
}

/* The certificate is made once, and again when it does not fit its key. */
static void certificates_are_made_once(void **state)
{
    static const char *const names[] = {"box", NULL};
    struct stat before, after;

    (void)state;
    assert_int_equal(tls_self_sign(certificate, key, names, &error), 0);
    assert_int_equal(stat(certificate, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    assert_int_equal(tls_self_sign(certificate, key, names, &error), 0);
    assert_int_equal(stat(certificate, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(truncate(key, 10), 0);
    assert_int_equal(tls_check(certificate, key, &error), -EINVAL);
    assert_memory_equal(error.text, "--web-key ", 10);
    assert_int_equal(tls_self_sign(certificate, key, names, &error), 0);
    assert_int_equal(tls_check(certificate, key, &error), 0);
    assert_int_equal(tls_self_sign("/nonexistent/a", key, names, &error), -ENOENT);
}

#define TLS(name) cmocka_unit_test_setup_teardown(name, setup_tls, teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_who_has_the_secret_is_let_in),
        TEST(the_token_in_the_address_becomes_a_session),
        TEST(the_login_view_opens_a_session),
        TEST(other_sites_cannot_use_a_browsers_session),
        TEST(other_names_are_not_served),
        cmocka_unit_test_setup_teardown(open_access_still_keeps_other_sites_out, setup_open, teardown),
        cmocka_unit_test_setup_teardown(a_thousand_attempts, setup_password, teardown),
        TEST(every_answer_is_guarded),
        TEST(pages_are_compressed_and_kept),
        TEST(requests_follow_each_other_on_a_connection),
        TEST(bodies_are_bounded),
        TEST(headers_are_bounded),
        TEST(connections_are_bounded),
        TEST(a_reader_that_does_not_read_costs_little),
        cmocka_unit_test(the_operations_answer_comes_from_the_main_loop_or_not_at_all),
        TEST(events_come_at_once_and_on_change),
        TEST(a_websocket_carries_bytes_both_ways),
        TEST(websockets_are_checked_as_everything_is),
        TEST(malformed_frames_end_that_connection_alone),
        TEST(two_hundred_viewers_that_never_read),
        TEST(noise),
        cmocka_unit_test(certificates_are_made_once),
        TLS(requests_follow_each_other_on_a_connection),
        TLS(events_come_at_once_and_on_change),
        TLS(a_websocket_carries_bytes_both_ways),
        TLS(malformed_frames_end_that_connection_alone),
        TLS(tls_garbage_ends_that_connection_alone),
    };
    int failed;

    make_assets();
    if (!mkdtemp(folder))
        return 1;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(certificate);
    unlink(key);
    rmdir(folder);
    return failed;
}
