/* The web server and those who mean no good: each is refused or bounded, and the others are served. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_client.h"
#include "fake_web.h"

static void bodies_are_bounded(void **state)
{
    static char text[80000];
    size_t used = (size_t)snprintf(text, sizeof text, POST("/api/v1/input/text") BEARER JSON(65536) END "{\"text\":\"");
    unsigned calls;
    int fd;

    (void)state;
    memset(text + used, 'a', 65536 - 11);
    memcpy(text + used + 65536 - 11, "\"}", 3);
    assert_int_equal(web_ask(text), 204);
    assert_int_equal(strlen(fake_machine_last(&fake_web.machine)), strlen("text()") + 65536 - 11);
    calls = fake_machine_calls(&fake_web.machine);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER JSON(65537) END), 413);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER JSON(18446744073709551617) END), 413);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER JSON(-1) END), 400);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER JSON(1x) END), 400);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER JSON(12) JSON(12) END "{\"text\":\"a\"}"), 400);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n"), 411);
    assert_int_equal(web_ask(GET("/api/v1/status") BEARER "Content-Length: 5\r\n" END "hello"), 400);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER "Content-Length: 12\r\n" END "{\"text\":\"a\"}"), 415);
    assert_int_equal(web_ask(POST("/api/v1/input/text") BEARER JSON(3) END "{x}"), 400);
    assert_int_equal(web_ask("PUT /api/v1/status HTTP/1.1\r\nHost: localhost\r\n" BEARER EMPTY END), 405);
    assert_non_null(strcasestr(client_text, "\r\nallow: GET\r\n"));
    /* Half a body and a hang-up do nothing. */
    fd = web_dial();
    client_send(fd, text, used + 100);
    close(fd);
    assert_int_equal(web_ask(GET("/healthz") END), 200);
    assert_int_equal(fake_machine_calls(&fake_web.machine), calls);
}

static void headers_are_bounded(void **state)
{
    static char block[65536];
    size_t sent = 0, now;
    int fd = web_dial();

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

        fd = web_dial();
        client_send(fd, wrong[n], n == 2 ? strlen(wrong[n]) : 20 > strlen(wrong[n]) ? strlen(wrong[n]) + 1 : 20);
        shutdown(fd, SHUT_WR);
        assert_true(client_ended(fd));
        close(fd);
    }
    assert_int_equal(
        web_ask(
            GET("/healthz") "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n" END),
        0);
    assert_int_equal(web_ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 403);
    assert_int_equal(web_ask(GET("/healthz") END), 200);
}

static void connections_are_bounded(void **state)
{
    int fds[WEB_CONNECTIONS], fd;
    unsigned refused = 0;

    (void)state;
    for (unsigned n = 0; n < WEB_CONNECTIONS; n++) {
        fds[n] = web_dial();
        assert_int_equal(client_ask(fds[n], GET("/healthz") END), 200);
        client_send(fds[n], "GET /half", 9); /* and nothing more */
    }
    for (unsigned n = 0; n < 8; n++) {
        fd = web_dial();
        refused += client_ended(fd);
        close(fd);
    }
    assert_int_equal(refused, 8);
    web_assert_idle();
    for (unsigned n = 0; n < WEB_CONNECTIONS; n++)
        close(fds[n]);
    /* The places are free once the server has seen it, which it does before long. */
    while (web_ask(GET("/healthz") END) != 200)
        ;
}

static void a_reader_that_does_not_read_costs_little(void **state)
{
    int deaf[16];
    static char noise_block[65536];
    size_t sent = 0;
    unsigned status;

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(deaf); n++) {
        deaf[n] = web_dial();
        client_send(deaf[n], GET("/large") END, strlen(GET("/large") END));
    }
    status = web_ask(GET("/healthz") END);
    assert_int_equal(status, 200);
    web_assert_idle();
    /* One that speaks without end while it does not read is not listened to, and costs nothing either. */
    fcntl(deaf[0], F_SETFL, O_NONBLOCK);
    for (unsigned quiet = 0; quiet < 20 && sent < 256 * MiB; quiet++) {
        size_t now = client_send(deaf[0], noise_block, sizeof noise_block);

        sent += now;
        quiet = now ? 0 : quiet;
        poll(NULL, 0, now ? 0 : 20);
    }
    assert_true(sent < 64 * MiB);
    web_assert_idle();
    for (unsigned n = 0; n < ARRAY_SIZE(deaf); n++)
        close(deaf[n]);
    assert_int_equal(web_ask(GET("/healthz") END), 200);
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
    int good = web_dial(), fd, end;
    size_t size;

    (void)state;
    assert_int_equal(client_upgrade(good, BEARER), 101);
    end = web_viewer_end(1);
    for (size_t n = 0; n < ARRAY_SIZE(frames); n++) {
        fd = web_dial();
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

/* The machine does not read: some is kept for it, not all. */
static void a_viewer_that_sends_without_end(void **state)
{
    static const char block[4096];
    int fd = web_dial();
    size_t sent = 0, before;

    (void)state;
    assert_int_equal(client_upgrade(fd, BEARER), 101);
    web_viewer_end(1);
    before = resident();
    for (bool open = true; open && sent < 256 * MiB; sent += sizeof block)
        open = client_frame(fd, 2, block, sizeof block);
    assert_true(sent < 64 * MiB);
    assert_true(resident() - before < 20 * (size_t)MiB);
    close(fd);
    assert_int_equal(web_ask(GET("/healthz") END), 200);
    web_assert_idle();
}

static void two_hundred_viewers_that_never_read(void **state)
{
    static char block[65536];
    int fds[200];
    size_t before, taken = 0;

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++) {
        fds[n] = web_dial();
        assert_int_equal(client_upgrade(fds[n], BEARER), 101);
        web_viewer_end(n + 1);
    }
    before = resident();
    /* The machine sends what it can; at some time nothing is taken any more. */
    for (unsigned quiet = 0; quiet < 3;) {
        size_t now = 0;

        for (unsigned n = 0; n < ARRAY_SIZE(fds); n++) {
            ssize_t sent = send(web_viewer_end(n + 1), block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);

            now += sent > 0 ? (size_t)sent : 0;
        }
        assert_int_equal(web_ask(GET("/healthz") END), 200);
        taken += now;
        quiet = now ? 0 : quiet + 1;
        assert_true(taken < (size_t)4 << 30);
    }
    /* What the kernel holds is not ours; of ours there is one buffer for each. */
    assert_true(resident() - before < 100 * (size_t)MiB);
    web_assert_idle();
    assert_int_equal(web_ask(GET("/api/v1/status") BEARER END), 200);
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
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n",
    };
    char text[2048], answer[4096];

    (void)state;
    srand(7);
    for (unsigned n = 0; n < 1200; n++) {
        int fd = web_dial();

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
    while (web_ask(GET("/healthz") END) != 200)
        ;
    assert_int_equal(web_ask(GET("/api/v1/status") BEARER END), 200);
}

static void tls_garbage_ends_that_connection_alone(void **state)
{
    static const char *const garbage[] = {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\x40",
                                          "\x15\x03\x01\x00\x02\x02\x28", "\x80\x2e\x01"};
    int idle = client_dial(fake_web.port), fd;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(garbage); n++) {
        fd = client_dial(fake_web.port);
        client_send(fd, garbage[n], strlen(garbage[n]) + 1);
        shutdown(fd, SHUT_WR);
        assert_true(client_ended(fd));
        close(fd);
    }
    assert_int_equal(web_ask(GET("/healthz") END), 200);
    assert_non_null(strcasestr(client_text, "\r\nstrict-transport-security: max-age="));
    assert_int_equal(web_ask(GET("/?token=" TOKEN) END), 303);
    assert_non_null(strcasestr(client_text, "; HttpOnly; SameSite=Strict; Secure\r\n"));
    assert_int_equal(web_ask(GET("/large") END), 0); /* larger than what the client has room for */
    web_assert_idle();
    close(idle);
}
#define TLS(name) cmocka_unit_test_setup_teardown(name, web_setup_tls, web_teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, web_setup, web_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bodies_are_bounded),
        TEST(headers_are_bounded),
        TEST(connections_are_bounded),
        TEST(a_reader_that_does_not_read_costs_little),
        TEST(malformed_frames_end_that_connection_alone),
        TEST(a_viewer_that_sends_without_end),
        TLS(a_viewer_that_sends_without_end),
        TEST(two_hundred_viewers_that_never_read),
        TEST(noise),
        TLS(malformed_frames_end_that_connection_alone),
        TLS(tls_garbage_ends_that_connection_alone),
    };

    return cmocka_run_group_tests(tests, web_prepare, web_clean_up);
}
