/* See fake_client.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_client.h"

#define PATIENCE_SECONDS 20

char client_text[1 << 20];

static int dial(const struct sockaddr *address, socklen_t size)
{
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, address, size), 0);
    return fd;
}

int client_dial(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return dial((const struct sockaddr *)&address, sizeof address);
}

int client_dial_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return dial((const struct sockaddr *)&address, sizeof address);
}

/* TLS between two sockets. */
struct pump {
    int plain, coded;
    SSL *ssl;
    SSL_CTX *context;
};

/* Bytes from the server to the test; false at the end. */
static bool pump_down(struct pump *pump)
{
    char bytes[16384];

    do {
        int got = SSL_read(pump->ssl, bytes, sizeof bytes);

        if (got <= 0)
            return SSL_get_error(pump->ssl, got) == SSL_ERROR_WANT_READ;
        if (send(pump->plain, bytes, (size_t)got, MSG_NOSIGNAL) != got)
            return false;
    } while (SSL_pending(pump->ssl));
    return true;
}

static bool pump_up(struct pump *pump)
{
    char bytes[16384];
    ssize_t got = recv(pump->plain, bytes, sizeof bytes, 0);

    return got > 0 && SSL_write(pump->ssl, bytes, (int)got) == got;
}

static void *pump_main(void *opaque)
{
    struct pump *pump = opaque;
    struct pollfd fds[] = {{.fd = pump->plain, .events = POLLIN}, {.fd = pump->coded, .events = POLLIN}};
    bool going = SSL_connect(pump->ssl) == 1;

    while (going && poll(fds, 2, PATIENCE_SECONDS * 1000) > 0) {
        if (fds[1].revents)
            going = pump_down(pump);
        else if (fds[0].revents)
            going = pump_up(pump);
    }
    SSL_free(pump->ssl);
    SSL_CTX_free(pump->context);
    close(pump->plain);
    close(pump->coded);
    free(pump);
    return NULL;
}

int client_dial_tls(uint16_t port)
{
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    struct pump *pump = calloc(1, sizeof *pump);
    pthread_t thread;
    int fds[2];

    assert_non_null(pump);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    pump->plain = fds[1];
    pump->coded = client_dial(port);
    pump->context = SSL_CTX_new(TLS_client_method());
    pump->ssl = SSL_new(pump->context);
    assert_int_equal(SSL_set_fd(pump->ssl, pump->coded), 1);
    SSL_clear_mode(pump->ssl, SSL_MODE_AUTO_RETRY);
    assert_int_equal(pthread_create(&thread, NULL, pump_main, pump), 0);
    pthread_detach(thread);
    return fds[0];
}

size_t client_send(int fd, const void *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t sent = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);

        if (sent <= 0)
            break;
        done += (size_t)sent;
    }
    return done;
}

/* More of the answer behind `used` bytes; 0 at its end. */
static size_t read_more(int fd, size_t used, size_t most)
{
    ssize_t got = recv(fd, client_text + used, MIN(most, sizeof client_text - 1 - used), 0);

    used += got > 0 ? (size_t)got : 0;
    client_text[used] = 0;
    return got > 0 ? (size_t)got : 0;
}

const char *client_body(void)
{
    const char *end = strstr(client_text, "\r\n\r\n");

    return end ? end + 4 : "";
}

unsigned client_answer(int fd)
{
    size_t used = 0, got;
    unsigned status = 0;
    const char *length;

    client_text[0] = 0;
    /* Byte by byte, so that nothing of a second answer is taken. */
    while (!strstr(used > 4 ? client_text + used - 4 : client_text, "\r\n\r\n")) {
        got = read_more(fd, used, 1);
        if (!got)
            return 0;
        used += got;
    }
    if (sscanf(client_text, "HTTP/1.%*c %u", &status) != 1)
        return 0;
    length = strcasestr(client_text, "\r\ncontent-length: ");
    for (size_t left = length ? strtoul(length + 18, NULL, 10) : 0; left; left -= got, used += got) {
        got = read_more(fd, used, left);
        if (!got)
            return 0;
    }
    return status;
}

unsigned client_ask(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
    return client_answer(fd);
}

bool client_ended(int fd)
{
    char bytes[65536];
    ssize_t got;

    do
        got = recv(fd, bytes, sizeof bytes, 0);
    while (got > 0);
    /* A reset is an end as well; running out of patience is none. */
    return got == 0 || errno == ECONNRESET;
}

unsigned client_upgrade(int fd, const char *headers)
{
    char request[2048];

    snprintf(request, sizeof request,
             "GET /api/v1/rfb HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             headers);
    return client_ask(fd, request);
}

bool client_frame(int fd, unsigned opcode, const void *data, size_t size)
{
    uint8_t frame[4096 + 8] = {(uint8_t)(0x80 | opcode)};
    size_t head = 2;

    assert_true(size <= 4096);
    frame[1] = (uint8_t)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) {
        put_be16(frame + 2, (uint16_t)size);
        head = 4;
    }
    memset(frame + head, 0, 4); /* a mask that changes nothing */
    memcpy(frame + head + 4, data, MIN(size, sizeof frame - head - 4));
    return client_send(fd, frame, head + 4 + size) == head + 4 + size;
}

static bool read_exactly(int fd, void *to, size_t size)
{
    return recv(fd, to, size, MSG_WAITALL) == (ssize_t)size;
}

unsigned client_read_frame(int fd, size_t *size)
{
    uint8_t head[2], more[8];

    if (!read_exactly(fd, head, 2))
        return 256;
    *size = head[1] & 0x7F;
    if (*size == 126) {
        if (!read_exactly(fd, more, 2))
            return 256;
        *size = get_be16(more);
    } else if (*size == 127) {
        if (!read_exactly(fd, more, 8))
            return 256;
        *size = get_be64(more);
    }
    if (*size >= sizeof client_text || (*size && !read_exactly(fd, client_text, *size)))
        return 256;
    return head[0] & 0x0F;
}
