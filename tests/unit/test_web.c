/* The web server: who is let in, what is answered, what goes over websockets and event streams. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_client.h"
#include "fake_web.h"

#include "../../vmm/viewer/tls.h"

static struct error error;

static unsigned ask_with(const char *first, const char *second)
{
    char request[4096];

    snprintf(request, sizeof request, "%s%s" END, first, second);
    return web_ask(request);
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

static void only_who_has_the_secret_is_let_in(void **state)
{
    (void)state;
    assert_int_equal(web_ask(GET("/healthz") END), 200);
    assert_int_equal(web_ask(GET("/readyz") END), 200);
    assert_int_equal(web_ask(GET("/") END), 200);
    assert_int_equal(web_ask(GET("/api/v1/status") END), 401);
    assert_non_null(strcasestr(client_text, "\r\nwww-authenticate: Bearer"));
    assert_non_null(strcasestr(client_text, "\r\ncontent-type: application/problem+json"));
    assert_int_equal(web_ask(GET("/metrics") END), 401);
    assert_int_equal(web_ask(GET("/api/v1/nothing") END), 401);
    assert_int_equal(web_ask(GET("/api/v1/status") BEARER END), 200);
    assert_int_equal(web_ask(GET("/api/v1/status") "Authorization: Bearer wrong\r\n" END), 401);
    assert_int_equal(web_ask(GET("/api/v1/status") "Authorization: Basic cmlnaHQtdG9rZW4=\r\n" END), 401);
    assert_int_equal(web_ask(GET("/api/v1/status") "Authorization: " TOKEN "\r\n" END), 401);
    assert_int_equal(web_ask(GET("/api/v1/status?token=" TOKEN) END), 401);
    assert_int_equal(web_ask(GET("/api/v1/status") "Cookie: test=" TOKEN "\r\n" END), 401);
    assert_int_equal(web_ask(GET("/api/v1/nothing") BEARER END), 404);
    assert_int_equal(web_ask(POST("/api/v1/power/off") EMPTY END), 401);
    assert_int_equal(fake_machine_calls(&fake_web.machine), 0);
}

static void the_token_in_the_address_becomes_a_session(void **state)
{
    char session[128];

    (void)state;
    assert_int_equal(web_ask(GET("/?token=wrong") END), 401);
    assert_null(strcasestr(client_text, "set-cookie"));
    assert_int_equal(web_ask(GET("/?a=b&token=" TOKEN) END), 303);
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
    assert_int_equal(web_ask(POST("/api/v1/session") JSON(18) END "{\"secret\":\"wrong\"}"), 401);
    assert_int_equal(web_ask(POST("/api/v1/session") JSON(2) END "{}"), 422);
    assert_int_equal(web_ask(POST("/api/v1/session") EMPTY END), 422);
    assert_int_equal(
        web_ask(POST("/api/v1/session") "Origin: http://evil.example\r\n" JSON(24) END "{\"secret\":\"right-token\"}"),
        403);
    assert_int_equal(
        web_ask(POST("/api/v1/session") "Origin: http://localhost\r\n" JSON(24) END "{\"secret\":\"right-token\"}"),
        204);
    assert_int_equal(ask_with(GET("/api/v1/status"), cookie_line()), 200);
}

static void other_sites_cannot_use_a_browsers_session(void **state)
{
    static const char button[] = POST("/api/v1/power/button") EMPTY;
    char session[128], lines[512];
    int fd;

    (void)state;
    assert_int_equal(web_ask(GET("/?token=" TOKEN) END), 303);
    snprintf(session, sizeof session, "%s", cookie_line());
    snprintf(lines, sizeof lines, "%sOrigin: http://localhost\r\n", session);
    assert_int_equal(ask_with(button, lines), 204);
    snprintf(lines, sizeof lines, "%sOrigin: http://evil.example\r\n", session);
    assert_int_equal(ask_with(button, lines), 403);
    fd = web_dial();
    assert_int_equal(client_upgrade(fd, lines), 403);
    close(fd);
    snprintf(lines, sizeof lines, "%sOrigin: null\r\n", session);
    assert_int_equal(ask_with(button, lines), 403);
    /* A browser says where it comes from; a cookie without that is none of ours. */
    assert_int_equal(ask_with(button, session), 403);
    assert_int_equal(ask_with(button, BEARER), 204);
    assert_int_equal(ask_with(button, BEARER "Origin: http://evil.example\r\n"), 403);
    assert_int_equal(fake_machine_calls(&fake_web.machine), 2);
}

static void other_names_are_not_served(void **state)
{
    (void)state;
    assert_int_equal(web_ask("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
    assert_non_null(strstr(client_body(), "--web-host"));
    assert_non_null(strstr(client_body(), "CASEMENT_WEB_HOST"));
    assert_int_equal(web_ask("GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n" BEARER END), 421);
    assert_int_equal(web_ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
    assert_int_equal(web_ask("GET /healthz HTTP/1.0\r\n\r\n"), 421);
    /* The names of the library's own virtual hosts are a name like others: the secret is asked for. */
    assert_int_equal(web_ask("GET /api/v1/status HTTP/1.1\r\nHost:  control\r\n\r\n"), 401);
    assert_int_equal(web_ask("GET /healthz HTTP/1.1\r\nHost: box:1234\r\n\r\n"), 200);
    assert_int_equal(web_ask("GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n"), 200);
}

/* Who has it has a session already; the control socket is for who has none. */
static void the_token_is_not_told_over_the_network(void **state)
{
    (void)state;
    assert_int_equal(web_ask(GET("/api/v1/token") END), 401);
    assert_int_equal(web_ask(GET("/api/v1/token") BEARER END), 403);
    assert_non_null(strstr(client_body(), "casement ctl token"));
    assert_null(strstr(client_text, TOKEN));
}

static void open_access_still_keeps_other_sites_out(void **state)
{
    (void)state;
    assert_int_equal(web_ask(GET("/api/v1/status") END), 200);
    assert_int_equal(web_ask(POST("/api/v1/power/reset") EMPTY END), 204);
    assert_int_equal(web_ask(POST("/api/v1/power/reset") EMPTY "Origin: http://evil.example\r\n" END), 403);
    assert_int_equal(web_ask("GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
}

static void a_thousand_attempts(void **state)
{
    unsigned denied = 0, too_many = 0;
    int fd = web_dial();

    (void)state;
    for (unsigned n = 0; n < 1000; n++) {
        unsigned status = client_ask(fd, GET("/api/v1/status") "Authorization: Bearer guess\r\n" END);

        denied += status == 401;
        too_many += status == 429;
        if (status == 429)
            assert_non_null(strcasestr(client_text, "\r\nretry-after: "));
        close(fd); /* who is refused is hung up on */
        fd = web_dial();
    }
    close(fd);
    assert_int_equal(denied + too_many, 1000);
    assert_in_range(denied, 5, 10);
    /* Even the right one has to wait now, unless it is a session. */
    assert_int_equal(web_ask(GET("/api/v1/status") BEARER END), 429);
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
        assert_int_not_equal(web_ask(requests[n]), 0);
        for (size_t line = 0; line < ARRAY_SIZE(lines); line++)
            if (!strcasestr(client_text, lines[line]))
                fail_msg("%s: no %s in %s", requests[n], lines[line], client_text);
        assert_null(strcasestr(client_text, "libwebsockets"));
    }
}

static void pages_are_compressed_and_kept(void **state)
{
    (void)state;
    assert_int_equal(web_ask(GET("/") "Accept-Encoding: br, gzip\r\n" END), 200);
    assert_non_null(strcasestr(client_text, "\r\ncontent-encoding: gzip\r\n"));
    assert_memory_equal(client_body(), fake_page.gzip, fake_page.gzip_size);
    assert_int_equal(web_ask(GET("/") END), 200);
    assert_null(strcasestr(client_text, "content-encoding"));
    assert_string_equal(client_body(), fake_content);
    assert_int_equal(web_ask(GET("/") "If-None-Match: \"1\"\r\n" END), 304);
    assert_int_equal(web_ask("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
                     0); /* no body behind it */
    assert_non_null(strcasestr(client_text, "200"));
    assert_int_equal(web_ask(POST("/") EMPTY END), 401);
}

static void requests_follow_each_other_on_a_connection(void **state)
{
    int fd = web_dial();

    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(client_ask(fd, GET("/api/v1/layouts") BEARER END), 200);
        assert_string_equal(client_body(), "[\"us\",\"de\"]");
        assert_int_equal(client_ask(fd, POST("/api/v1/input/text") BEARER JSON(12) END "{\"text\":\"a\"}"), 204);
        assert_string_equal(fake_machine_last(&fake_web.machine), "text(a)");
        assert_int_equal(client_ask(fd, POST("/api/v1/power/reset") BEARER EMPTY END), 204);
        assert_string_equal(fake_machine_last(&fake_web.machine), "power(reset)");
        assert_int_equal(client_ask(fd, GET("/") END), 200);
    }
    close(fd);
    /* Without a length there is no body. */
    assert_int_equal(web_ask(POST("/api/v1/power/off") BEARER END), 204);
    assert_string_equal(fake_machine_last(&fake_web.machine), "power(off)");
}

static void the_operations_answer_comes_from_the_main_loop_or_not_at_all(void **state)
{
    int fds[4];

    (void)state;
    /* The fake_web.loop does not run: the machine is about to end. */
    assert_int_equal(web_start(ACCESS_TOKEN, false), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++) {
        fds[n] = web_dial();
        client_send(fds[n], POST("/api/v1/power/reset") BEARER EMPTY END,
                    strlen(POST("/api/v1/power/reset") BEARER EMPTY END));
    }
    close(fds[0]); /* one does not wait for it */
    assert_int_equal(web_ask(GET("/healthz") END), 200);
    loop_stop(fake_web.loop);
    web_destroy(fake_web.web);
    for (unsigned n = 1; n < ARRAY_SIZE(fds); n++) {
        unsigned status = client_answer(fds[n]);

        /* Its request may not have been read yet. */
        assert_true(status == 503 || status == 0);
        close(fds[n]);
    }
    assert_int_equal(fake_machine_calls(&fake_web.machine), 0);
    loop_destroy(fake_web.loop);
    fake_machine_destroy(&fake_web.machine);
}

static void events_come_at_once_and_on_change(void **state)
{
    static const char request[] = GET("/api/v1/events") BEARER END;
    int fd = web_dial();
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
        pthread_mutex_lock(&fake_web.machine.lock);
        fake_web.machine.status.phase = PHASE_STOPPING;
        pthread_mutex_unlock(&fake_web.machine.lock);
    }
    assert_int_equal(events, 2);
    /* It has nothing to say; one that does is hung up on. */
    client_send(fd, "x", 1);
    while (fgets(line, sizeof line, stream))
        ;
    assert_true(feof(stream) || ferror(stream));
    fclose(stream);
    web_assert_idle();
    assert_int_equal(web_ask(GET("/healthz") END), 200);
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
    int fd = web_dial(), end;
    size_t size, used = 0;

    (void)state;
    assert_int_equal(client_upgrade(fd, BEARER), 101);
    end = web_viewer_end(1);
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
    int fd = web_dial();
    char session[128], lines[256];

    (void)state;
    assert_int_equal(client_upgrade(fd, ""), 401);
    close(fd);
    fd = web_dial();
    assert_int_equal(client_ask(fd, "GET /api/v1/rfb HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\n"
                                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" BEARER END),
                     421);
    close(fd);
    fd = web_dial();
    assert_int_equal(
        client_ask(
            fd,
            GET("/api/v1/status") "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" BEARER
                                      END),
        404);
    close(fd);
    fd = web_dial();
    assert_int_equal(client_upgrade(fd, BEARER "Sec-WebSocket-Protocol:  accept\r\n"), 400);
    close(fd);
    fd = web_dial();
    assert_int_equal(client_upgrade(fd, BEARER "Sec-WebSocket-Protocol: binary\r\n"), 101);
    close(fd);
    assert_int_equal(web_ask(GET("/?token=" TOKEN) END), 303);
    snprintf(session, sizeof session, "%s", cookie_line());
    fd = web_dial();
    assert_int_equal(client_upgrade(fd, session), 403);
    close(fd);
    snprintf(lines, sizeof lines, "%sOrigin: http://localhost\r\n", session);
    fd = web_dial();
    assert_int_equal(client_upgrade(fd, lines), 101);
    close(fd);
    assert_int_equal(web_ask(GET("/api/v1/rfb") BEARER END), 426);
    pthread_mutex_lock(&fake_web.machine.lock);
    fake_web.machine.viewers_max = 0;
    pthread_mutex_unlock(&fake_web.machine.lock);
    fd = web_dial();
    assert_int_equal(client_upgrade(fd, BEARER), 101);
    assert_true(client_ended(fd));
    close(fd);
}

/* The certificate is made once, and again when it does not fit its key. */
static void certificates_are_made_once(void **state)
{
    static const char *const names[] = {"box", NULL};
    struct stat before, after;

    (void)state;
    assert_int_equal(tls_self_sign(fake_web.certificate, fake_web.key, names, &error), 0);
    assert_int_equal(stat(fake_web.certificate, &before), 0);
    assert_int_equal(before.st_mode & 0777, 0600);
    assert_int_equal(tls_self_sign(fake_web.certificate, fake_web.key, names, &error), 0);
    assert_int_equal(stat(fake_web.certificate, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    assert_int_equal(truncate(fake_web.key, 10), 0);
    assert_int_equal(tls_check(fake_web.certificate, fake_web.key, &error), -EINVAL);
    assert_memory_equal(error.text, "--web-key ", 10);
    assert_int_equal(tls_self_sign(fake_web.certificate, fake_web.key, names, &error), 0);
    assert_int_equal(tls_check(fake_web.certificate, fake_web.key, &error), 0);
    assert_int_equal(tls_self_sign("/nonexistent/a", fake_web.key, names, &error), -ENOENT);
}

#define TLS(name) cmocka_unit_test_setup_teardown(name, web_setup_tls, web_teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_who_has_the_secret_is_let_in),
        TEST(the_token_in_the_address_becomes_a_session),
        TEST(the_login_view_opens_a_session),
        TEST(other_sites_cannot_use_a_browsers_session),
        TEST(other_names_are_not_served),
        TEST(the_token_is_not_told_over_the_network),
        cmocka_unit_test_setup_teardown(open_access_still_keeps_other_sites_out, web_setup_open, web_teardown),
        cmocka_unit_test_setup_teardown(a_thousand_attempts, web_setup_password, web_teardown),
        TEST(every_answer_is_guarded),
        TEST(pages_are_compressed_and_kept),
        TEST(requests_follow_each_other_on_a_connection),
        cmocka_unit_test(the_operations_answer_comes_from_the_main_loop_or_not_at_all),
        TEST(events_come_at_once_and_on_change),
        TEST(a_websocket_carries_bytes_both_ways),
        TEST(websockets_are_checked_as_everything_is),
        cmocka_unit_test(certificates_are_made_once),
        TLS(requests_follow_each_other_on_a_connection),
        TLS(events_come_at_once_and_on_change),
        TLS(a_websocket_carries_bytes_both_ways),
    };

    return cmocka_run_group_tests(tests, web_prepare, web_clean_up);
}
