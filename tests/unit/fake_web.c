/* See fake_web.h. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_client.h"
#include "fake_web.h"

#include "../../vmm/viewer/tls.h"

#define IDLE_LIMIT_NS INT64_C(30000000000)

struct fake_web fake_web;
static struct error error;
static char folder[] = "/tmp/casement-web-XXXXXX";

const char fake_content[] = "<p>page page page page page page page page page page</p>";
static uint8_t compressed[256];
struct asset fake_page = {.path = "/", .type = "text/html; charset=utf-8", .gzip = compressed, .etag = "\"1\""};
static struct asset large = {.path = "/large", .type = "text/plain", .etag = "\"2\""};

static const struct asset *find(const char *path)
{
    return !strcmp(path, "/") ? &fake_page : !strcmp(path, "/large") ? &large : NULL;
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
    fake_page.size = strlen(fake_content);
    fake_page.gzip_size = compress_into(compressed, sizeof compressed, fake_content, fake_page.size);
    large.gzip = packed;
    large.size = sizeof noise;
    large.gzip_size = compress_into(packed, sizeof packed, noise, sizeof noise);
}

int web_dial(void)
{
    return fake_web.secure ? client_dial_tls(fake_web.port) : client_dial(fake_web.port);
}

int web_start(enum access_mode mode, bool loop_runs)
{
    struct web_options options = {.ops = &fake_machine_ops,
                                  .machine = &fake_web.machine,
                                  .asset = find,
                                  .control = -1,
                                  .cookie = "test",
                                  .access = {.mode = mode, .secret = TOKEN, .name = "box"}};
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    fake_machine_create(&fake_web.machine);
    fake_web.loop = loop_create("main");
    options.main_loop = fake_web.loop;
    if (fake_web.secure) {
        static const char *const names[] = {"box", NULL};

        options.certificate = fake_web.certificate;
        options.key = fake_web.key;
        if (tls_self_sign(fake_web.certificate, fake_web.key, names, &error) < 0)
            return -1;
    }
    options.listener = web_listen("--web", "127.0.0.1", 0, &error);
    if (options.listener < 0 || getsockname(options.listener, (struct sockaddr *)&address, &size) < 0)
        return -1;
    fake_web.port = ntohs(address.sin_port);
    return web_create(&options, &fake_web.web, &error) < 0 || (loop_runs && loop_start(fake_web.loop) < 0) ? -1 : 0;
}

int web_setup(void **state)
{
    (void)state;
    return web_start(ACCESS_TOKEN, true);
}

int web_setup_tls(void **state)
{
    (void)state;
    fake_web.secure = true;
    return web_start(ACCESS_TOKEN, true);
}

int web_setup_password(void **state)
{
    (void)state;
    return web_start(ACCESS_PASSWORD, true);
}

int web_setup_open(void **state)
{
    (void)state;
    return web_start(ACCESS_OPEN, true);
}

int web_teardown(void **state)
{
    (void)state;
    loop_stop(fake_web.loop);
    web_destroy(fake_web.web);
    loop_destroy(fake_web.loop);
    fake_machine_destroy(&fake_web.machine);
    fake_web.secure = false;
    return 0;
}

unsigned web_ask(const char *request)
{
    int fd = web_dial();
    unsigned status = client_ask(fd, request);

    close(fd);
    return status;
}

int web_viewer_end(unsigned count)
{
    int fd = -1;

    while (fd < 0) {
        pthread_mutex_lock(&fake_web.machine.lock);
        if (fake_web.machine.viewer_count >= count)
            fd = fake_web.machine.viewers[count - 1];
        pthread_mutex_unlock(&fake_web.machine.lock);
    }
    return fd;
}

void web_assert_idle(void)
{
    const int64_t limit_ns = clock_ns() + IDLE_LIMIT_NS;
    struct timespec before, after;

    do {
        assert_true(clock_ns() < limit_ns);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        poll(NULL, 0, 500);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    } while ((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 50000000L);
}

int web_prepare(void **state)
{
    (void)state;
    make_assets();
    if (!mkdtemp(folder))
        return -1;
    snprintf(fake_web.certificate, sizeof fake_web.certificate, "%s/cert.pem", folder);
    snprintf(fake_web.key, sizeof fake_web.key, "%s/key.pem", folder);
    return 0;
}

int web_clean_up(void **state)
{
    (void)state;
    unlink(fake_web.certificate);
    unlink(fake_web.key);
    return rmdir(folder);
}
