/* See fake_dav.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_dav.h"

void fake_dav_open(struct fake_dav *dav, bool read_only)
{
    const struct share_options options = {.folder = dav->folder, .name = "share", .read_only = read_only};
    struct error error = {""};

    *dav = (struct fake_dav){.fd = -1, .base = "/tmp/casement-dav-XXXXXX"};
    assert_non_null(mkdtemp(dav->base));
    snprintf(dav->folder, sizeof dav->folder, "%s/shared", dav->base);
    assert_int_equal(mkdir(dav->folder, 0755), 0);
    if (share_create(&options, &dav->share, &error) < 0)
        fail_msg("%s", error.text);
}

static void disconnect(struct fake_dav *dav)
{
    if (dav->fd >= 0)
        close(dav->fd);
    dav->fd = -1;
}

void fake_dav_close(struct fake_dav *dav)
{
    char command[128];

    disconnect(dav);
    share_destroy(dav->share);
    free(dav->body);
    snprintf(command, sizeof command, "rm -rf %s", dav->base);
    assert_int_equal(system(command), 0);
}

bool fake_dav_send(struct fake_dav *dav, const void *bytes, size_t size)
{
    const char *at = bytes;

    if (dav->fd < 0)
        dav->fd = share_connect(dav->share);
    assert_true(dav->fd >= 0);
    while (size) {
        ssize_t count = send(dav->fd, at, size, MSG_NOSIGNAL);

        if (count <= 0)
            return false;
        at += count;
        size -= (size_t)count;
    }
    return true;
}

static bool receive(struct fake_dav *dav, char *to, size_t size)
{
    while (size) {
        ssize_t count = recv(dav->fd, to, size, 0);

        if (count <= 0)
            return false;
        to += count;
        size -= (size_t)count;
    }
    return true;
}

static void receive_body(struct fake_dav *dav, size_t size)
{
    dav->body = realloc(dav->body, dav->body_size + size + 1);
    assert_non_null(dav->body);
    assert_true(receive(dav, dav->body + dav->body_size, size));
    dav->body_size += size;
    dav->body[dav->body_size] = 0;
}

static size_t receive_chunk_size(struct fake_dav *dav)
{
    char line[32] = "";

    for (size_t n = 0; n + 1 < sizeof line && (n == 0 || line[n - 1] != '\n'); n++)
        assert_true(receive(dav, line + n, 1));
    return strtoull(line, NULL, 16);
}

unsigned fake_dav_receive(struct fake_dav *dav, bool head_only)
{
    const char *length;
    char end[2];
    size_t used = 0;

    free(dav->body);
    dav->body = NULL;
    dav->body_size = 0;
    memset(dav->head, 0, sizeof dav->head);
    while (!strstr(dav->head, "\r\n\r\n")) {
        assert_true(used + 1 < sizeof dav->head);
        if (!receive(dav, dav->head + used++, 1)) {
            disconnect(dav);
            return 0;
        }
    }
    length = strcasestr(dav->head, "\r\nContent-Length: ");
    receive_body(dav, length && !head_only ? strtoull(length + 18, NULL, 10) : 0);
    if (strcasestr(dav->head, "\r\nTransfer-Encoding: chunked\r\n"))
        for (size_t size = 1; size;) {
            size = receive_chunk_size(dav);
            receive_body(dav, size);
            assert_true(receive(dav, end, 2));
        }
    if (strcasestr(dav->head, "\r\nConnection: close"))
        disconnect(dav);
    return (unsigned)strtoul(dav->head + 9, NULL, 10);
}

unsigned fake_dav_ask(struct fake_dav *dav, const char *method, const char *target, const char *fields,
                      const char *body)
{
    char *text;
    int length = body ? asprintf(&text, "%s %s HTTP/1.1\r\nHost: 10.0.2.4\r\n%sContent-Length: %zu\r\n\r\n%s", method,
                                 target, fields, strlen(body), body)
                      : asprintf(&text, "%s %s HTTP/1.1\r\nHost: 10.0.2.4\r\n%s\r\n", method, target, fields);

    assert_true(length > 0);
    fake_dav_send(dav, text, (size_t)length);
    free(text);
    return fake_dav_receive(dav, !strcmp(method, "HEAD"));
}

bool fake_dav_has(const struct fake_dav *dav, const char *line)
{
    const char *at = strstr(dav->head, line);

    return at && at[-1] == '\n' && at[strlen(line)] == '\r';
}

void fake_dav_write(const struct fake_dav *dav, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dav->base, name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

char *fake_dav_read(const struct fake_dav *dav, const char *name)
{
    char path[512], *text = NULL;
    size_t size = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dav->base, name);
    file = fopen(path, "re");
    if (!file)
        return NULL;
    if (getdelim(&text, &size, 0, file) < 0 && text)
        text[0] = 0;
    fclose(file);
    return text;
}
