/*
 * Guests that try to leave the shared folder, or to wear its server out: paths in every disguise, links in the tree,
 * folders that become links while they are used, requests that are none. Beside the folder lies a file that nobody may
 * read, change or add to.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/share/path.h"
#include "cmocka_all.h"
#include "fake_dav.h"

#define CANARY "nobody may see this"
#define PATHS 1000
#define SWAPS 300

static struct fake_dav dav;

static void make_link(const char *to, const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dav.folder, name);
    assert_int_equal(symlink(to, path), 0);
}

static int setup(void **state)
{
    char path[128];

    (void)state;
    fake_dav_open(&dav, false);
    fake_dav_write(&dav, "secret", CANARY);
    snprintf(path, sizeof path, "%s/outside", dav.base);
    assert_int_equal(mkdir(path, 0755), 0);
    fake_dav_write(&dav, "outside/secret", CANARY);
    make_link("..", "up");
    make_link("../outside", "out");
    make_link("../secret", "leak");
    make_link("/", "root");
    make_link("/proc/self/fd", "fds");
    make_link("inside", "within");
    snprintf(path, sizeof path, "%s/inside", dav.folder);
    assert_int_equal(mkdir(path, 0755), 0);
    fake_dav_write(&dav, "shared/inside/file", "shared");
    snprintf(path, sizeof path, "%s/pipe", dav.folder);
    assert_int_equal(mkfifo(path, 0666), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_dav_close(&dav);
    return 0;
}

static void assert_text(const char *name, const char *wanted)
{
    char *text = fake_dav_read(&dav, name);

    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

/* Outside there is what was there, as it was, and nothing else. */
static void assert_untouched(void)
{
    char command[256];

    assert_text("secret", CANARY);
    assert_text("outside/secret", CANARY);
    snprintf(command, sizeof command,
             "test \"$(cd %s && find . -path ./shared -prune -o -print | sort | tr '\\n' ' ')\" "
             "= '. ./outside ./outside/secret ./secret '",
             dav.base);
    assert_int_equal(system(command), 0);
}

/* Each method in turn, with the path as target and as destination. */
static void try_path(const char *path, unsigned n)
{
    static const char *const methods[] = {"GET",  "PUT",  "PROPFIND",  "DELETE", "MKCOL", "COPY",
                                          "MOVE", "LOCK", "PROPPATCH", "HEAD",   "COPY",  "MOVE"};
    const char *method = methods[n % 12];
    char fields[PATH_HREF_ROOM + 64];

    snprintf(fields, sizeof fields, "Depth: 1\r\nDestination: %s\r\n", n % 12 < 10 ? "/taken" : path);
    fake_dav_ask(&dav, method, n % 12 < 10 ? path : "/inside/file", fields, n % 12 == 1 ? "written" : NULL);
    if (dav.body && strstr(dav.body, CANARY))
        fail_msg("%s %s shows what is outside", method, path);
    if (dav.body && strcmp(method, "PROPFIND") == 0 && strstr(dav.body, "secret"))
        fail_msg("PROPFIND %s lists what is outside", path);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void make_path(char *path, size_t size, uint32_t *seed)
{
    static const char *const pieces[] = {
        "/",
        "/..",
        "/.",
        "/%2e%2e",
        "/..%2f",
        "/%2e%2e%2f",
        "/..%5c",
        "/..\\",
        "\\..\\",
        "/%c0%ae%c0%ae",
        "/%c0%af",
        "/%e0%80%ae",
        "/%00",
        "/a%00b",
        "/%",
        "/%2",
        "/%zz",
        "//",
        "/up",
        "/out",
        "/leak",
        "/root",
        "/fds/3",
        "/within",
        "/inside",
        "/../secret",
        "/..%2fsecret",
        "/etc/passwd",
        "/a:b",
        "/C:",
        "/file::$DATA",
        "/CON",
        "/nul.txt",
        "/x.",
        "/x%20",
        "/%ff",
        "/%ed%a0%80",
        "/pipe",
        "/%252e%252e",
        "/....//",
        "/.casement-share-0000000000000000",
        "/*",
        "/?",
        "/#",
        "/%3f",
        "/%7c",
    };
    unsigned count = 1 + next_random(seed) % 6;

    path[0] = 0;
    for (unsigned n = 0; n < count; n++)
        snprintf(path + strlen(path), size - strlen(path), "%s",
                 pieces[next_random(seed) % (sizeof pieces / sizeof *pieces)]);
    if (next_random(seed) % 40 == 0) {
        size_t used = strlen(path), more = 200 + next_random(seed) % 7000;

        snprintf(path + used, size - used, "/");
        memset(path + used + 1, 'n', more);
        path[used + 1 + more] = 0;
    }
}

static void no_path_leads_outside(void **state)
{
    static const char *const likely[] = {"/../secret", "/..%2fsecret", "/%2e%2e/secret",      "/..%5csecret",
                                         "/leak",      "/out/secret",  "/up/secret",          "/root/etc/passwd",
                                         "/fds/0",     "/within/file", "/inside/../../secret"};
    char path[PATH_HREF_ROOM];
    uint32_t seed = 20;

    (void)state;
    for (unsigned n = 0; n < sizeof likely / sizeof *likely; n++)
        for (unsigned method = 0; method < 12; method++)
            try_path(likely[n], method);
    for (unsigned n = 0; n < PATHS; n++) {
        make_path(path, sizeof path - 8000, &seed);
        try_path(path, n);
    }
    assert_untouched();
    /* And it still works. */
    assert_int_equal(fake_dav_ask(&dav, "PUT", "/works", "", "yes"), 201);
}

static void links_and_pipes_do_not_exist(void **state)
{
    static const char *const names[] = {"/up", "/out", "/leak", "/root", "/fds", "/within", "/pipe", "/within/file"};

    (void)state;
    for (unsigned n = 0; n < sizeof names / sizeof *names; n++) {
        assert_int_equal(fake_dav_ask(&dav, "GET", names[n], "", NULL), 404);
        assert_int_equal(fake_dav_ask(&dav, "PROPFIND", names[n], "Depth: 1\r\n", NULL), 404);
    }
    assert_int_equal(fake_dav_ask(&dav, "PROPFIND", "/", "Depth: 1\r\n", NULL), 207);
    assert_non_null(strstr(dav.body, "/inside/"));
    for (unsigned n = 0; n + 1 < sizeof names / sizeof *names; n++)
        assert_null(strstr(dav.body, names[n]));
    assert_untouched();
}

/* A folder that holds links goes with them, and not with what they lead to; a copy has none. */
static void links_are_not_followed_when_trees_are_handled(void **state)
{
    char path[128];
    struct stat info;

    (void)state;
    make_link("../../outside", "inside/out");
    make_link("../../secret", "inside/leak");
    assert_int_equal(fake_dav_ask(&dav, "COPY", "/inside", "Destination: /copy\r\n", NULL), 201);
    assert_text("shared/copy/file", "shared");
    snprintf(path, sizeof path, "%s/copy/leak", dav.folder);
    assert_int_equal(lstat(path, &info), -1);
    assert_int_equal(fake_dav_ask(&dav, "DELETE", "/inside", "", NULL), 204);
    assert_untouched();
}

/* Names: the swapped folder is now one, now a link to what is outside. */
static atomic_bool stop_swapping;

static void *swap(void *opaque)
{
    int folder = open(dav.folder, O_RDONLY | O_DIRECTORY);

    (void)opaque;
    while (!atomic_load(&stop_swapping)) {
        renameat2(folder, "swap", folder, "swap-link", RENAME_EXCHANGE);
    }
    close(folder);
    return NULL;
}

static void a_folder_that_becomes_a_link_leads_nowhere(void **state)
{
    static const char *const asks[][3] = {
        {"GET", "/swap/secret", ""},
        {"PUT", "/swap/new", ""},
        {"PROPFIND", "/swap", "Depth: 1\r\n"},
        {"MKCOL", "/swap/made", ""},
        {"DELETE", "/swap/secret", ""},
        {"COPY", "/swap", "Destination: /copied\r\n"},
        {"LOCK", "/swap/locked", ""},
        {"MOVE", "/swap/new", "Destination: /swap/newer\r\n"},
        {"DELETE", "/swap/newer", ""},
        {"DELETE", "/swap/made", ""},
        {"DELETE", "/copied", ""},
        {"MOVE", "/inside/file", "Destination: /swap/file\r\n"},
        {"PROPPATCH", "/swap/secret", ""},
        {"MOVE", "/swap/file", "Destination: /inside/file\r\n"},
    };
    char path[128];
    pthread_t thread;

    (void)state;
    snprintf(path, sizeof path, "%s/swap", dav.folder);
    assert_int_equal(mkdir(path, 0755), 0);
    make_link("../outside", "swap-link");
    assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
    for (unsigned n = 0; n < SWAPS; n++)
        for (size_t ask = 0; ask < sizeof asks / sizeof *asks; ask++) {
            fake_dav_ask(&dav, asks[ask][0], asks[ask][1], asks[ask][2], ask == 1 ? "written" : NULL);
            if (dav.body && (strstr(dav.body, CANARY) || strstr(dav.body, "/secret<")))
                fail_msg("%s %s shows what is outside", asks[ask][0], asks[ask][1]);
        }
    atomic_store(&stop_swapping, true);
    pthread_join(thread, NULL);
    assert_untouched();
}

static unsigned send_raw(const char *text)
{
    fake_dav_send(&dav, text, strlen(text));
    if (dav.fd >= 0)
        shutdown(dav.fd, SHUT_WR);
    return fake_dav_receive(&dav, false);
}

static void what_can_be_read_in_two_ways_is_refused(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
    } rows[] = {
        {"GET / HTTP/1.0\r\nHost: 10.0.2.4\r\n\r\n", 505},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: 10.0.2.4\r\nHost: 10.0.2.4\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: 10.0.2.4\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : 10.0.2.4\r\n\r\n", 400},
        {"PUT /a HTTP/1.1\r\nHost: 10.0.2.4\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
        {"PUT /a HTTP/1.1\r\nHost: 10.0.2.4\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", 400},
        {"PUT /a HTTP/1.1\r\nHost: 10.0.2.4\r\nContent-Length: -1\r\n\r\n", 400},
        {"PUT /a HTTP/1.1\r\nHost: 10.0.2.4\r\nContent-Length: 9999999999999999999\r\n\r\n", 400},
        {"PUT /a HTTP/1.1\r\nHost: 10.0.2.4\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"PUT /a HTTP/1.1\r\nHost: 10.0.2.4\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403},
        {"GET / HTTP/1.1\r\nHost: 10.0.2.4\r\nOrigin: http://evil.example\r\n\r\n", 403},
        {"GET /a#b HTTP/1.1\r\nHost: 10.0.2.4\r\n\r\n", 400},
        {"GET a HTTP/1.1\r\nHost: 10.0.2.4\r\n\r\n", 400},
    };

    (void)state;
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        unsigned status = send_raw(rows[n].text);

        if (status != rows[n].status)
            fail_msg("%s: %u instead of %u", rows[n].text, status, rows[n].status);
        if (dav.fd >= 0)
            close(dav.fd);
        dav.fd = -1;
    }
    assert_int_equal(fake_dav_ask(&dav, "GET", "/a", "", NULL), 404);
}

/* start, so many pieces, and end; the caller's to free. */
static char *repeat(const char *start, const char *piece, unsigned count, const char *end)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    fputs(start, out);
    for (unsigned n = 0; n < count; n++)
        fputs(piece, out);
    fputs(end, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void heads_have_bounds(void **state)
{
    char *line = repeat("GET /", "a", 20000, " HTTP/1.1\r\n"),
         *fields = repeat("GET / HTTP/1.1\r\nHost: 10.0.2.4\r\n", "x: y\r\n", 70, "\r\n");

    (void)state;
    assert_int_equal(send_raw(line), 431);
    assert_int_equal(send_raw(fields), 431);
    free(line);
    free(fields);
}

static void xml_has_bounds(void **state)
{
    static const struct {
        const char *start, *piece, *end;
        unsigned count, status;
    } rows[] = {
        {"<propfind xmlns='DAV:'>", " ", "</propfind>", 65000, 207},
        {"<propfind xmlns='DAV:'>", " ", "</propfind>", 70000, 413},
        {"<propfind xmlns='DAV:'><prop>", "<x/>", "</prop></propfind>", 64, 207},
        {"<propfind xmlns='DAV:'><prop>", "<x/>", "</prop></propfind>", 65, 413},
        {"<propfind xmlns='DAV:'>", "<x>", "", 40, 400},
        {"<propfind xmlns='urn:", "a", "'/>", 9000, 400},
        {"<propfind xmlns='DAV:'><prop><a:b xmlns:a='", "a", "'/></prop></propfind>", 17000, 413},
        {"<!DOCTYPE propfind [<!ENTITY a 'aaaa'>]><propfind xmlns='DAV:'><prop><x>", "&a;", "</x></prop></propfind>", 1,
         400},
    };

    (void)state;
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        char *text = repeat(rows[n].start, rows[n].piece, rows[n].count, rows[n].end);
        unsigned status = fake_dav_ask(&dav, "PROPFIND", "/", "Depth: 0\r\n", text);

        if (status != rows[n].status)
            fail_msg("%s: %u instead of %u", rows[n].start, status, rows[n].status);
        free(text);
    }
}

static void connections_have_a_bound(void **state)
{
    int fds[SHARE_CONNECTIONS];

    (void)state;
    for (unsigned n = 0; n < SHARE_CONNECTIONS; n++) {
        fds[n] = share_connect(dav.share);
        assert_true(fds[n] >= 0);
    }
    assert_true(share_connect(dav.share) < 0);
    /* One that ends makes room: its thread says so by closing its end. */
    shutdown(fds[0], SHUT_WR);
    assert_int_equal(recv(fds[0], &(char){0}, 1, 0), 0);
    close(fds[0]);
    while ((fds[0] = share_connect(dav.share)) < 0)
        ;
    for (unsigned n = 0; n < SHARE_CONNECTIONS; n++)
        close(fds[n]);
}

static void a_tree_has_a_greatest_depth(void **state)
{
    char *path = repeat("", "/d", 70, "");

    (void)state;
    for (unsigned n = 1; n <= 70; n++) {
        char above[160];

        snprintf(above, sizeof above, "%.*s", (int)(2 * n), path);
        assert_int_equal(fake_dav_ask(&dav, "MKCOL", above, "", NULL), 201);
    }
    assert_int_equal(fake_dav_ask(&dav, "COPY", "/d", "Destination: /e\r\n", NULL), 403);
    assert_int_equal(fake_dav_ask(&dav, "DELETE", "/d", "", NULL), 403);
    assert_int_equal(fake_dav_ask(&dav, "DELETE", "/d/d/d/d/d/d/d/d", "", NULL), 204);
    assert_int_equal(fake_dav_ask(&dav, "DELETE", "/d", "", NULL), 204);
    free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_path_leads_outside),
        TEST(links_and_pipes_do_not_exist),
        TEST(links_are_not_followed_when_trees_are_handled),
        TEST(a_folder_that_becomes_a_link_leads_nowhere),
        TEST(what_can_be_read_in_two_ways_is_refused),
        TEST(heads_have_bounds),
        TEST(xml_has_bounds),
        TEST(connections_have_a_bound),
        TEST(a_tree_has_a_greatest_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
