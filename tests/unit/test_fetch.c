/*
 * Downloads from a server that misbehaves: whatever it does, and whenever the process is killed, there is no file of
 * the name but one that is whole and right.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../vmm/viewer/tls.h"
#include "../../vmm/windows/fetch_private.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_http.h"

#define SIZE (400 * KiB + 123)
#define PIECE (16 * KiB)
#define LIMIT_NS (60 * FETCH_SECOND_NS)
#define DATE "Wed, 21 Oct 2015 07:28:00 GMT"

/*
 * In front of the C library's: the host's file system, full after so many bytes, or with a disk that fails. Nothing is
 * really synced, for nobody cuts the power here, but what has to be is checked: the data before the state that notes
 * them, and the name at last.
 */
static uint64_t room = UINT64_MAX;
static int sync_error;
static bool data_unsynced, name_unsynced;
static unsigned noted_too_early;

#define STATE_BYTES 24576 /* both places */

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
    struct stat info = {0};
    bool over; /* it needs no space */

    fstat(fd, &info);
    over = offset + (off64_t)size <= info.st_size && info.st_blocks * 512 >= info.st_size;
    if (room < size && !over) {
        errno = ENOSPC;
        return -1;
    }
    room -= room == UINT64_MAX || over ? 0 : size;
    if (info.st_size > STATE_BYTES)
        data_unsynced = true;
    else
        noted_too_early += data_unsynced;
    return syscall(SYS_pwrite64, fd, buffer, size, offset);
}

int fdatasync(int fd)
{
    struct stat info = {0};

    errno = sync_error;
    if (errno)
        return -1;
    if (fstat(fd, &info) == 0 && info.st_size > STATE_BYTES)
        data_unsynced = false;
    return 0;
}

int fsync(int fd)
{
    struct stat info = {0};

    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode))
        name_unsynced = false;
    return fdatasync(fd);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    noted_too_early += data_unsynced;
    name_unsynced = true;
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

static struct {
    char folder[64], path[96];
    uint8_t data[SIZE], other[SIZE];
    char digest[65], other_digest[65];
    struct fake_http_page page[8];
    struct fake_http *server;
    struct fetch_options options;
    struct fetch_tuning tuning;
    struct error error;
    char got[65]; /* the digest that fetch() gave */
} bench;

/* The bench. */

static void fill(uint8_t *data, uint32_t seed, char digest[65])
{
    uint8_t sum[32];

    for (size_t n = 0; n < SIZE; n++) {
        seed = seed * 1664525 + 1013904223;
        data[n] = (uint8_t)(seed >> 24);
    }
    EVP_Digest(data, SIZE, sum, NULL, EVP_sha256(), NULL);
    for (unsigned n = 0; n < 32; n++)
        snprintf(digest + 2 * n, 3, "%02x", sum[n]);
}

static const char *beside(const char *suffix)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s%s", bench.path, suffix);
    return path;
}

static bool exists(const char *suffix)
{
    return access(beside(suffix), F_OK) == 0;
}

static void remove_all(void)
{
    static const char *const suffixes[] = {"", ".part", ".part.state", ".bad", ".keep", ".keep.state"};

    for (size_t n = 0; n < ARRAY_SIZE(suffixes); n++)
        unlink(beside(suffixes[n]));
}

static int group_setup(void **state)
{
    (void)state;
    for (const char *const *name = (const char *const[]){"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY",
                                                         "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", NULL};
         *name; name++)
        unsetenv(*name);
    log_set_level(LOG_WARNING);
    fill(bench.data, 1, bench.digest);
    fill(bench.other, 2, bench.other_digest);
    snprintf(bench.folder, sizeof bench.folder, "build/fetch-XXXXXX");
    if (!mkdtemp(bench.folder))
        return -1;
    snprintf(bench.path, sizeof bench.path, "%s/file.iso", bench.folder);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    return rmdir(bench.folder);
}

static int setup(void **state)
{
    (void)state;
    memset(bench.page, 0, sizeof bench.page);
    bench.page[0].path = "/file";
    bench.page[0].now = (struct fake_http_version){bench.data, SIZE, "\"first\"", DATE};
    bench.server = fake_http_start(bench.page, NULL, NULL);
    bench.tuning = (struct fetch_tuning){.piece = PIECE, .pause_most_ms = 20};
    bench.options = (struct fetch_options){.url = fake_http_url(bench.server, "/file"),
                                           .path = bench.path,
                                           .sha256 = bench.digest,
                                           .connections = 1,
                                           .pause_ms = 1,
                                           .stall_seconds = 60};
    bench.error.text[0] = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    room = UINT64_MAX;
    sync_error = 0;
    data_unsynced = false; /* of a file that was given up */
    fake_http_stop(bench.server);
    remove_all();
    return noted_too_early ? -1 : 0;
}

static int run(void)
{
    bench.error.text[0] = bench.got[0] = 0;
    return fetch_tuned(&bench.options, &bench.tuning, bench.got, &bench.error);
}

static void assert_says(const char *text)
{
    assert_null(strchr(bench.error.text, '\n'));
    if (!strstr(bench.error.text, text))
        fail_msg("\"%s\" does not say \"%s\"", bench.error.text, text);
}

static void assert_content(const char *suffix, const uint8_t *wanted, uint64_t size)
{
    static uint8_t read_back[SIZE + 1];
    int fd = open(beside(suffix), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, read_back, sizeof read_back), size);
    close(fd);
    assert_memory_equal(read_back, wanted, size);
}

static void assert_fetched(const uint8_t *wanted)
{
    int failed = run();

    if (failed < 0)
        fail_msg("%d: %s", failed, bench.error.text);
    assert_content("", wanted, SIZE);
    assert_false(name_unsynced);
    assert_string_equal(bench.got, wanted == bench.data ? bench.digest : bench.other_digest);
    assert_false(exists(".part") || exists(".part.state") || exists(".bad"));
    unlink(bench.path);
}

static void assert_fails(int err, const char *text)
{
    int failed = run();

    /* What is sent into a connection that is closed counts no more. */
    fake_http_settle(bench.server);
    if (failed != -err)
        fail_msg("%d and not %d: %s", failed, -err, bench.error.text);
    assert_says(text);
    assert_false(exists(""));
}

static void assert_nothing_left(void)
{
    assert_false(exists("") || exists(".part") || exists(".part.state") || exists(".bad"));
}

/* Stops as soon as so many bytes are there. */
static bool stop_at(void *opaque, const struct fetch_progress *progress)
{
    return !strcmp(progress->title, "Downloading") && progress->done >= *(const uint64_t *)opaque;
}

/* Leaves what is there after `count` bytes came: the server holds the rest back until the client has stopped. */
static void fetch_some(uint64_t count)
{
    uint64_t wanted = count;

    bench.page[0].hold_at = bench.page[0].sent + count;
    bench.options.progress = stop_at;
    bench.options.opaque = &wanted;
    assert_fails(ECANCELED, "stopped");
    assert_true(exists(".part") && exists(".part.state"));
    bench.options.progress = NULL;
    bench.page[0].hold_at = 0;
}

/* The whole file. */

static void whole_by_one_and_by_four(void **state)
{
    static const unsigned counts[] = {1, 4, 16};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
        bench.options.connections = counts[n];
        bench.page[0].sent = 0;
        assert_fetched(bench.data);
        /* No byte twice. */
        assert_int_equal(bench.page[0].sent, SIZE);
        assert_true(bench.page[0].ranges >= 2);
    }
    bench.options.size = SIZE;
    bench.options.minimum = SIZE;
    bench.options.sha256 = NULL;
    assert_fetched(bench.data);
}

static void the_defaults(void **state)
{
    (void)state;
    bench.options.connections = 0;
    assert_int_equal(fetch(&bench.options, NULL, &bench.error), 0);
    assert_content("", bench.data, SIZE);
    assert_int_equal(bench.page[0].requests, 1); /* less than a piece */
}

static void digests_in_any_case(void **state)
{
    char upper[65];

    (void)state;
    for (unsigned n = 0; n < sizeof upper; n++)
        upper[n] = bench.digest[n] >= 'a' ? (char)(bench.digest[n] - 32) : bench.digest[n];
    bench.options.sha256 = upper;
    assert_fetched(bench.data);
}

static void options_that_cannot_be_used(void **state)
{
    static const char *const urls[] = {"", "ftp://127.0.0.1/file", "file:///etc/passwd", "/etc/passwd", "httpx://a/b"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(urls); n++) {
        bench.options.url = urls[n];
        assert_fails(EINVAL, "give https://");
    }
    bench.options.url = fake_http_url(bench.server, "/file");
    bench.options.sha256 = "abc";
    assert_fails(EINVAL, "64 hexadecimal digits");
    bench.options.sha256 = NULL;
    bench.options.connections = 17;
    assert_fails(EINVAL, "1 to 16");
    bench.options.connections = 1;
    bench.options.path = "build/no/such/folder/file";
    assert_fails(ENOENT, "build/no/such/folder/file");
    assert_nothing_left();
}

static void texts_have_no_secrets(void **state)
{
    char url[128];

    (void)state;
    snprintf(url, sizeof url, "http://me:mine@%s?key=secret", fake_http_url(bench.server, "/absent") + 7);
    bench.options.url = url;
    assert_fails(ENOENT, "127.0.0.1/absent: the server answers 404");
    assert_null(strstr(bench.error.text, "secret"));
    assert_null(strstr(bench.error.text, "mine"));
}

/* Servers with moods. */

static void drops_at_random_bytes(void **state)
{
    (void)state;
    bench.options.tries = 50;
    for (unsigned n = 1; n <= 4; n++) {
        bench.options.connections = n;
        bench.page[0].seed = n;
        bench.page[0].drop_most = 30000;
        bench.page[0].chunk = 1000 + n;
        assert_fetched(bench.data);
    }
    /* Each answer began with what the last one lacked, so little came twice. */
    assert_true(bench.page[0].sent < 8 * SIZE);
}

static void a_server_without_ranges(void **state)
{
    (void)state;
    bench.page[0].no_ranges = true;
    bench.options.connections = 4;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].requests, 1);
    assert_int_equal(bench.page[0].sent, SIZE);
    bench.page[0].chunked = true;
    bench.options.size = SIZE;
    assert_fetched(bench.data);
    bench.page[0].unsized = true;
    bench.page[0].chunked = false;
    assert_fetched(bench.data);
}

/* It begins at the start again, and what is there is passed over. */
static void drops_without_ranges(void **state)
{
    (void)state;
    bench.page[0].no_ranges = true;
    bench.options.connections = 4;
    bench.page[0].drop_most = 2 * SIZE;
    bench.page[0].seed = 5;
    bench.options.tries = 50;
    assert_fetched(bench.data);
    bench.page[0].drop_most = SIZE / 2;
    bench.options.tries = 3;
    assert_fails(ETIMEDOUT, "no progress after 3 tries");
    assert_true(exists(".part"));
}

static void no_size_at_all_is_refused(void **state)
{
    (void)state;
    bench.page[0].no_ranges = bench.page[0].unsized = true;
    assert_fails(ENODATA, "how long the file is");
    bench.page[0].chunked = true;
    assert_fails(ENODATA, "how long the file is");
    assert_nothing_left();
}

static void another_size_is_refused_before_a_byte(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        bench.page[0].no_ranges = n % 2;
        bench.options.size = SIZE + (n < 2 ? 1 : -1);
        assert_fails(EBADMSG, "409723 bytes, not 4097");
        assert_nothing_left();
    }
    assert_int_equal(bench.page[0].requests, 4);
    bench.options.size = 0;
    bench.options.minimum = SIZE + 1;
    assert_fails(EBADMSG, "too little");
    bench.options.minimum = 0;
    bench.page[0].now.size = 0;
    assert_fails(EBADMSG, "0 bytes, which is too little");
    bench.page[0].no_ranges = false;
    assert_fails(EBADMSG, "0 bytes, which is too little");
    assert_nothing_left();
}

static void ranges_that_were_not_asked_for(void **state)
{
    (void)state;
    bench.options.tries = 3;
    bench.page[0].add_first = 1;
    assert_fails(ETIMEDOUT, "another range");
    bench.page[0].add_first = 0;
    bench.page[0].add_length = -1;
    assert_fails(ETIMEDOUT, "another range");
    bench.page[0].add_length = 0;
    bench.page[0].add_total = -(int64_t)SIZE;
    assert_fails(ETIMEDOUT, "another range");
    bench.page[0].add_total = 0;
    bench.page[0].status = 206;
    bench.page[0].times = FAKE_HTTP_ALWAYS;
    assert_fails(ETIMEDOUT, "another range");
    assert_int_equal(bench.page[0].requests, 12);
    assert_nothing_left();
}

static void more_than_the_file(void **state)
{
    (void)state;
    bench.page[0].no_ranges = bench.page[0].chunked = true;
    bench.page[0].excess = 10;
    bench.options.size = SIZE;
    bench.options.sha256 = NULL;
    assert_fails(EBADMSG, "sends more than");
}

static void the_wrong_content_is_put_away(void **state)
{
    (void)state;
    bench.options.sha256 = bench.other_digest;
    assert_fails(EBADMSG, bench.digest);
    assert_says(bench.other_digest);
    assert_says(".bad");
    assert_content(".bad", bench.data, SIZE);
    assert_false(exists(".part") || exists(".part.state"));
    /* The next call begins anew. */
    bench.page[0].now.data = bench.other;
    bench.page[0].sent = 0;
    unlink(beside(".bad"));
    assert_fetched(bench.other);
    assert_int_equal(bench.page[0].sent, SIZE);
}

static void statuses_that_end_it(void **state)
{
    static const struct {
        unsigned status;
        int err;
    } ends[] = {{404, ENOENT},    {410, ENOENT},    {401, EACCES},    {403, EACCES},
                {400, EREMOTEIO}, {405, EREMOTEIO}, {301, EREMOTEIO}, {204, EREMOTEIO}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(ends); n++) {
        char text[32];

        snprintf(text, sizeof text, "answers %u", ends[n].status);
        bench.page[0].status = ends[n].status;
        bench.page[0].times = FAKE_HTTP_ALWAYS;
        assert_fails(ends[n].err, text);
    }
    assert_int_equal(bench.page[0].requests, ARRAY_SIZE(ends));
    assert_nothing_left();
}

static void statuses_that_pass(void **state)
{
    static const unsigned passing[] = {408, 429, 500, 502, 503, 504};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(passing); n++) {
        bench.page[0].status = passing[n];
        bench.page[0].times = 3;
        bench.page[0].headers = n % 2 ? "Retry-After: 86400\r\n" : NULL; /* bounded by the longest pause */
        assert_fetched(bench.data);
    }
    bench.page[0].times = FAKE_HTTP_ALWAYS;
    bench.page[0].requests = 0;
    bench.options.tries = 3;
    assert_fails(ETIMEDOUT, "no progress after 3 tries: the server answers 504");
    assert_int_equal(bench.page[0].requests, 3);
    assert_nothing_left();
}

static void the_server_says_when_to_come_again(void **state)
{
    int64_t began = clock_ns();

    (void)state;
    bench.tuning.pause_most_ms = 60000;
    bench.page[0].status = 503;
    bench.page[0].times = 1;
    bench.page[0].headers = "Retry-After: 1\r\n";
    assert_fetched(bench.data);
    assert_true(clock_ns() - began >= FETCH_SECOND_NS);
}

static void nobody_listens(void **state)
{
    struct fake_http_page none[1] = {{.path = NULL}};
    struct fake_http *gone = fake_http_start(none, NULL, NULL);
    char url[256];

    (void)state;
    snprintf(url, sizeof url, "%s", fake_http_url(gone, "/file"));
    fake_http_stop(gone);
    bench.options.url = url;
    bench.options.tries = 3;
    assert_fails(ETIMEDOUT, "no progress after 3 tries");
    assert_nothing_left();
}

static void redirects(void **state)
{
    (void)state;
    bench.page[1] = (struct fake_http_page){.path = "/a", .location = "/b"};
    bench.page[2] = (struct fake_http_page){.path = "/b", .location = fake_http_url(bench.server, "/file?x=1")};
    bench.page[3] = (struct fake_http_page){.path = "/loop", .location = "/loop"};
    bench.page[4] = (struct fake_http_page){.path = "/out", .location = "file:///etc/passwd"};
    bench.options.url = fake_http_url(bench.server, "/a");
    bench.options.connections = 4;
    assert_fetched(bench.data);
    bench.options.url = fake_http_url(bench.server, "/loop");
    assert_fails(ELOOP, "127.0.0.1/loop");
    assert_true(bench.page[3].requests < 20);
    bench.options.url = fake_http_url(bench.server, "/out");
    assert_fails(EPROTONOSUPPORT, "/out");
    assert_nothing_left();
}

static void a_stalled_connection_is_made_anew(void **state)
{
    (void)state;
    bench.page[0].chunk = 100;
    bench.page[0].stalls = 1;
    bench.page[0].stall_at = 2 * PIECE + 77;
    bench.options.stall_seconds = 1;
    bench.options.connections = 2;
    bench.options.tries = 1000; /* however slow the machine is */
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].stalls, 0);
}

/* Versions. */

static void set_later(unsigned after, const char *etag, const char *modified)
{
    bench.page[0].change_after = after;
    bench.page[0].later = (struct fake_http_version){bench.other, SIZE, etag, modified};
    bench.page[0].requests = 0;
    bench.options.sha256 = NULL;
}

static void the_file_changes_midway(void **state)
{
    (void)state;
    set_later(1, "\"second\"", DATE);
    assert_fetched(bench.other);
    /* A server that sends the range of the new one, whatever the condition says. */
    bench.page[0].no_conditions = true;
    set_later(1, "\"second\"", DATE);
    assert_fetched(bench.other);
    set_later(2, NULL, "Wed, 21 Oct 2015 07:29:00 GMT");
    assert_fetched(bench.other);
    set_later(2, NULL, NULL);
    assert_fetched(bench.other);
    bench.page[0].no_conditions = false;
    bench.page[0].now.etag = "W/\"weak\"";
    set_later(1, "W/\"weaker\"", DATE);
    assert_fetched(bench.other);
}

/* It is shorter now, so what is asked for lies behind its end. */
static void the_file_shrinks_midway(void **state)
{
    (void)state;
    fetch_some(10 * PIECE);
    bench.page[0].no_conditions = true;
    bench.page[0].now = (struct fake_http_version){bench.other, 5 * PIECE, "\"second\"", DATE};
    bench.options.sha256 = NULL;
    assert_int_equal(run(), 0);
    assert_content("", bench.other, 5 * PIECE);
}

static void it_changes_all_the_time(void **state)
{
    (void)state;
    bench.page[0].new_tags = bench.page[0].no_conditions = true;
    bench.options.tries = 3;
    assert_fails(ESTALE, "again and again");
}

/* Stopping and going on. */

static void the_next_call_fetches_only_the_rest(void **state)
{
    (void)state;
    fetch_some(6 * PIECE + 4000);
    assert_int_equal(bench.page[0].sent, 6 * PIECE + 4000);
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].sent, SIZE - 6 * PIECE);
    /* The same with a server that says nothing of versions: what is known of the content says enough. */
    bench.page[0].now.etag = bench.page[0].now.modified = NULL;
    fetch_some(6 * PIECE);
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].sent, SIZE - 6 * PIECE);
}

static void what_is_of_something_else_is_fetched_anew(void **state)
{
    (void)state;
    /* Another URL. */
    fetch_some(6 * PIECE);
    bench.options.url = fake_http_url(bench.server, "/file?");
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].sent, SIZE);
    /* Another version. */
    fetch_some(6 * PIECE);
    bench.page[0].now.etag = "\"second\"";
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    assert_true(bench.page[0].sent >= SIZE);
    /* Nothing is known of either version or content. */
    bench.page[0].now.etag = bench.page[0].now.modified = NULL;
    fetch_some(6 * PIECE);
    bench.page[0].sent = 0;
    bench.options.sha256 = NULL;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].sent, SIZE);
    /* Pieces of another size. */
    fetch_some(6 * PIECE);
    bench.tuning.piece *= 2;
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].sent, SIZE);
    /* The file is not as long as it was left. */
    bench.options.sha256 = bench.digest;
    fetch_some(6 * PIECE);
    assert_int_equal(truncate(beside(".part"), SIZE - 1), 0);
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].sent, SIZE);
}

/* All is there and only the name is missing: nobody is asked. */
static bool stop_verifying(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    return !strcmp(progress->title, "Verifying");
}

static void stopped_while_verifying(void **state)
{
    (void)state;
    bench.options.progress = stop_verifying;
    assert_fails(ECANCELED, "verified");
    bench.options.progress = NULL;
    bench.page[0].requests = 0;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].requests, 0);
}

static uint64_t last_done, last_size;
static unsigned calls;

static bool note(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    assert_true(progress->done <= SIZE && progress->seconds_left >= -1);
    if (!strcmp(progress->title, "Downloading")) {
        last_done = progress->done;
        last_size = progress->size;
        calls++;
    }
    return false;
}

static void progress_is_told_at_both_ends(void **state)
{
    (void)state;
    bench.options.progress = note;
    assert_fetched(bench.data);
    assert_true(calls >= 2);
    assert_int_equal(last_done, SIZE);
    assert_int_equal(last_size, SIZE);
}

/* Who else wants the file. */

static bool fetch_again(void *opaque, const struct fetch_progress *progress)
{
    struct fetch_options options = bench.options;

    (void)progress;
    options.progress = NULL;
    *(int *)opaque = fetch(&options, NULL, &bench.error);
    return false;
}

static void only_one_at_a_time(void **state)
{
    int second = 0;

    (void)state;
    bench.options.progress = fetch_again;
    bench.options.opaque = &second;
    assert_int_equal(run(), 0);
    /* The last time that it was told is when the file was verified. */
    assert_int_equal(second, -EBUSY);
    assert_says("another process");
}

static bool make_file(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    if (!strcmp(progress->title, "Verifying"))
        close(open(bench.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return false;
}

static void a_file_that_is_there_stays(void **state)
{
    struct stat info;

    (void)state;
    bench.options.progress = make_file;
    assert_int_equal(run(), -EEXIST);
    assert_says("is there already");
    assert_int_equal(stat(bench.path, &info), 0);
    assert_int_equal(info.st_size, 0);
    bench.page[0].requests = 0;
    assert_int_equal(run(), -EEXIST);
    assert_int_equal(bench.page[0].requests, 0);
    /* A link that leads nowhere is there, too. */
    unlink(bench.path);
    assert_int_equal(symlink("nowhere", bench.path), 0);
    assert_int_equal(run(), -EEXIST);
}

/* Killing. */

/* Until the server has sent so much, or the child has ended. */
static void wait_for_bytes(pid_t child, uint64_t wanted)
{
    int64_t end = clock_ns() + LIMIT_NS;
    siginfo_t info = {.si_pid = 0};

    while (bench.page[0].sent < wanted && info.si_pid == 0) {
        if (clock_ns() > end)
            fail_msg("%u bytes after a minute", (unsigned)bench.page[0].sent);
        usleep(1000);
        assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    }
}

static void killed_at_random(void **state)
{
    unsigned whole = 0;
    uint32_t seed = 7;

    (void)state;
    bench.options.connections = 3;
    for (unsigned n = 0; n < 24; n++) {
        uint64_t wanted;
        pid_t child;

        seed = seed * 1664525 + 1013904223;
        wanted = bench.page[0].sent + 1 + (seed >> 8) % (SIZE / 4);
        /* Most are killed while they are kept waiting, the others wherever they are, as far as the last steps. */
        bench.page[0].hold_at = n % 3 == 2 ? 0 : wanted;
        child = fork();
        if (child == 0)
            _exit(run() == 0 ? 0 : 1);
        assert_true(child > 0);
        wait_for_bytes(child, wanted);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        fake_http_settle(bench.server);
        if (exists("")) {
            assert_content("", bench.data, SIZE);
            unlink(bench.path);
            whole++;
        }
    }
    assert_true(whole < 24);
    bench.page[0].hold_at = 0;
    assert_fetched(bench.data);
}

/* Disks. */

static void more_than_the_disk_has(void **state)
{
    (void)state;
    bench.options.size = UINT64_C(1) << 60;
    assert_fails(ENOSPC, "make room");
    assert_int_equal(bench.page[0].requests, 0);
    assert_nothing_left();
    /* Only the server says how much it is. */
    bench.options.size = 0;
    bench.options.sha256 = NULL;
    bench.page[0].add_total = INT64_C(1) << 60;
    assert_fails(ENOSPC, "make room");
    assert_int_equal(bench.page[0].requests, 1);
    assert_nothing_left();
}

static void a_full_disk_keeps_what_is_there(void **state)
{
    (void)state;
    room = 60 * KiB; /* the state takes 24 KiB of it */
    assert_fails(ENOSPC, "make room");
    assert_true(exists(".part") && exists(".part.state"));
    room = UINT64_MAX;
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    /* A whole piece was noted. */
    assert_true(bench.page[0].sent <= SIZE - PIECE);
}

/* What the host could not write is not noted, not even when its next sync succeeds. */
static void a_failed_sync_notes_nothing(void **state)
{
    (void)state;
    fetch_some(2 * PIECE);
    sync_error = EIO;
    assert_fails(EIO, ".part: cannot be written");
    sync_error = ENOSPC;
    assert_fails(ENOSPC, "make room");
    sync_error = 0;
    bench.page[0].sent = 0;
    assert_fetched(bench.data);
    assert_int_equal(bench.page[0].sent, SIZE - 2 * PIECE);
}

static void files_have_a_limit(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        const struct rlimit limit = {100 * KiB, 100 * KiB};

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(run() == -EFBIG && strstr(bench.error.text, ".part: cannot be made") ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(exists(""));
    assert_fetched(bench.data);
}

static void a_folder_that_may_not_be_written(void **state)
{
    (void)state;
    assert_int_equal(mkdir(beside(".part"), 0700), 0);
    assert_fails(EISDIR, ".part: cannot be opened");
    assert_int_equal(rmdir(beside(".part")), 0);
    assert_int_equal(symlink("/dev/null", beside(".part.state")), 0);
    assert_fails(ELOOP, ".part.state: cannot be opened");
}

/* States that are damaged. */

static uint8_t kept_part[SIZE], kept_state[64 * KiB];
static size_t kept_length;

static size_t load(const char *suffix, void *to, size_t size)
{
    int fd = open(beside(suffix), O_RDONLY | O_CLOEXEC);
    ssize_t count = read(fd, to, size);

    assert_true(fd >= 0 && count >= 0);
    close(fd);
    return (size_t)count;
}

static void store(const char *suffix, const void *from, size_t size)
{
    int fd = open(beside(suffix), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, from, size), size);
    close(fd);
}

/* In one of several ways; the new length. */
static size_t damage(uint8_t *bytes, size_t length, unsigned way, uint32_t random)
{
    size_t at = random % length, half = length / 2;

    switch (way % 6) {
    case 0:
        bytes[at] ^= (uint8_t)(1U << random % 8);
        break;
    case 1: /* in both places */
        bytes[at % half] ^= 0xFF;
        bytes[half + at % half] ^= 0xFF;
        break;
    case 2:
        return at;
    case 3:
        memset(bytes + at, 0, length - at);
        break;
    case 4: /* everything is there, it says */
        memset(bytes + 4096, 0xFF, 4);
        memset(bytes + half + 4096, 0xFF, 4);
        break;
    default: /* the newer place is torn: its first part is of the older */
        memcpy(bytes + half, bytes, at % half);
        break;
    }
    return length;
}

static void damaged_states_are_not_trusted(void **state)
{
    static uint8_t bytes[64 * KiB];
    uint32_t random = 3;
    unsigned anew = 0;

    (void)state;
    fetch_some(20 * PIECE);
    assert_int_equal(load(".part", kept_part, SIZE), SIZE);
    kept_length = load(".part.state", kept_state, sizeof kept_state);
    assert_int_equal(kept_length, 2 * 12288);
    for (unsigned n = 0; n < 200; n++) {
        size_t length;

        random = random * 1664525 + 1013904223;
        memcpy(bytes, kept_state, kept_length);
        length = damage(bytes, kept_length, n, random >> 4);
        store(".part", kept_part, SIZE);
        store(".part.state", bytes, length);
        bench.page[0].sent = 0;
        assert_fetched(bench.data);
        assert_true(bench.page[0].sent >= SIZE - 20 * PIECE);
        anew += bench.page[0].sent == SIZE;
    }
    assert_true(anew >= 66 && anew < 200);
}

/* Certificates. */

/* A key, and a certificate for 127.0.0.1 that signs itself; expired: since an hour. */
static void make_certificate(const char *certificate, const char *key, bool expired)
{
    static const char *const names[] = {NULL};
    EVP_PKEY *pair;
    X509 *made;
    FILE *file;

    if (tls_self_sign(certificate, key, names, &bench.error) < 0)
        fail_msg("%s", bench.error.text);
    if (!expired)
        return;
    file = fopen(certificate, "r");
    made = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    file = fopen(key, "r");
    pair = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    X509_gmtime_adj(X509_getm_notAfter(made), -3600);
    assert_true(X509_sign(made, pair, EVP_sha256()) > 0);
    file = fopen(certificate, "w");
    assert_int_equal(PEM_write_X509(file, made), 1);
    fclose(file);
    X509_free(made);
    EVP_PKEY_free(pair);
}

static void certificates(void **state)
{
    char certificate[128], key[128];

    (void)state;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", bench.folder);
    snprintf(key, sizeof key, "%s/key.pem", bench.folder);
    for (unsigned expired = 0; expired < 2; expired++) {
        fake_http_stop(bench.server);
        make_certificate(certificate, key, expired);
        bench.server = fake_http_start(bench.page, certificate, key);
        bench.options.url = fake_http_url(bench.server, "/file");
        bench.options.connections = 4;
        bench.page[0].requests = 0;
        bench.options.ca_file = NULL;
        assert_fails(EPROTO, "is the clock right");
        bench.options.ca_file = "/nonexistent/ca.pem";
        assert_fails(EPROTO, "authorities' certificates");
        bench.options.ca_file = certificate;
        if (expired)
            assert_fails(EPROTO, "expired");
        assert_int_equal(bench.page[0].requests, 0);
        assert_nothing_left();
        if (!expired)
            assert_fetched(bench.data);
    }
    unlink(certificate);
    unlink(key);
}

static void https_never_leads_to_http(void **state)
{
    char certificate[128], key[128];
    struct fake_http *plain = bench.server;

    (void)state;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", bench.folder);
    snprintf(key, sizeof key, "%s/key.pem", bench.folder);
    make_certificate(certificate, key, false);
    bench.page[1] = (struct fake_http_page){.path = "/down", .location = fake_http_url(plain, "/file")};
    bench.server = fake_http_start(bench.page, certificate, key);
    bench.options.ca_file = certificate;
    bench.options.url = fake_http_url(bench.server, "/down");
    assert_fails(EPROTONOSUPPORT, "leads away from https");
    assert_int_equal(bench.page[0].requests, 0);
    /* The other way is fine. */
    bench.page[1].location = fake_http_url(bench.server, "/file");
    bench.options.url = fake_http_url(plain, "/down");
    assert_fetched(bench.data);
    fake_http_stop(plain);
    unlink(certificate);
    unlink(key);
}

/* Pages and targets. */

static int get_text(uint64_t limit, char **text)
{
    bench.error.text[0] = 0;
    return fetch_text(&bench.options, limit, text, &bench.error);
}

static void pages(void **state)
{
    static const uint8_t html[] = "<html>links</html>";
    char *text = NULL;

    (void)state;
    bench.page[1] = (struct fake_http_page){.path = "/page", .now = {html, sizeof html - 1, NULL, NULL}, .chunk = 5};
    bench.page[2] = (struct fake_http_page){.path = "/to", .location = "/page"};
    bench.options.url = fake_http_url(bench.server, "/to");
    for (unsigned n = 0; n < 2; n++) {
        bench.page[1].chunked = n;
        assert_int_equal(get_text(sizeof html - 1, &text), 0);
        assert_string_equal(text, (const char *)html);
        free(text);
        assert_int_equal(get_text(sizeof html - 2, &text), -EFBIG);
        assert_says("more than 17 bytes");
    }
    bench.page[1].status = 503;
    bench.page[1].times = 2;
    assert_int_equal(get_text(100, &text), 0);
    assert_string_equal(text, (const char *)html);
    free(text);
    bench.options.tries = 2;
    bench.page[1].times = FAKE_HTTP_ALWAYS;
    assert_int_equal(get_text(100, &text), -ETIMEDOUT);
    bench.page[1].status = 404;
    assert_int_equal(get_text(100, &text), -ENOENT);
    assert_says("127.0.0.1/to: the server answers 404");
    bench.page[1].times = 0;
    bench.page[1].now.size = 0;
    assert_int_equal(get_text(100, &text), 0);
    assert_string_equal(text, "");
    free(text);
    bench.options.url = "gopher://a";
    assert_int_equal(get_text(100, &text), -EINVAL);
}

static bool stop_at_once(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    (void)progress;
    return true;
}

/* Both while it comes and while it is waited for. */
static void pages_can_be_stopped(void **state)
{
    char *text = NULL;

    (void)state;
    bench.options.progress = stop_at_once;
    bench.page[0].hold_at = 10;
    assert_int_equal(get_text(MiB, &text), -ECANCELED);
    assert_says("stopped");
    bench.page[0].hold_at = 0;
    bench.options.progress = NULL;
    bench.page[0].status = 503;
    bench.page[0].times = FAKE_HTTP_ALWAYS;
    bench.options.pause_ms = 60000;
    bench.options.tries = 2;
    bench.options.progress = stop_at_once;
    assert_int_equal(get_text(MiB, &text), -ECANCELED);
}

static void targets(void **state)
{
    char *url = NULL;

    (void)state;
    bench.page[1] = (struct fake_http_page){.path = "/a", .location = "/b?x=1"};
    bench.page[2] = (struct fake_http_page){.path = "/b", .location = "/file?lang=de-de"};
    bench.options.url = fake_http_url(bench.server, "/a");
    if (fetch_target(&bench.options, &url, &bench.error) < 0)
        fail_msg("%s", bench.error.text);
    assert_string_equal(url, fake_http_url(bench.server, "/file?lang=de-de"));
    free(url);
    assert_int_equal(bench.page[0].sent, 0);
    bench.page[2].location = "/absent";
    assert_int_equal(fetch_target(&bench.options, &url, &bench.error), -ENOENT);
    assert_int_equal(fetch_target(&(struct fetch_options){.url = ""}, &url, &bench.error), -EINVAL);
}

static void digests(void **state)
{
    (void)state;
    store("", "abc", 3);
    assert_int_equal(fetch_digest(bench.path, NULL, NULL, bench.got, &bench.error), 0);
    assert_string_equal(bench.got, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    store("", bench.data, SIZE);
    assert_int_equal(fetch_digest(bench.path, NULL, NULL, bench.got, &bench.error), 0);
    assert_string_equal(bench.got, bench.digest);
    assert_int_equal(fetch_digest(bench.path, stop_at_once, NULL, bench.got, &bench.error), -ECANCELED);
    unlink(bench.path);
    assert_int_equal(fetch_digest(bench.path, NULL, NULL, bench.got, &bench.error), -ENOENT);
    assert_says(bench.path);
    assert_int_equal(fetch_digest(bench.folder, NULL, NULL, bench.got, &bench.error), -EISDIR);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(whole_by_one_and_by_four),
        TEST(the_defaults),
        TEST(digests_in_any_case),
        TEST(options_that_cannot_be_used),
        TEST(texts_have_no_secrets),
        TEST(drops_at_random_bytes),
        TEST(a_server_without_ranges),
        TEST(drops_without_ranges),
        TEST(no_size_at_all_is_refused),
        TEST(another_size_is_refused_before_a_byte),
        TEST(ranges_that_were_not_asked_for),
        TEST(more_than_the_file),
        TEST(the_wrong_content_is_put_away),
        TEST(statuses_that_end_it),
        TEST(statuses_that_pass),
        TEST(the_server_says_when_to_come_again),
        TEST(nobody_listens),
        TEST(redirects),
        TEST(a_stalled_connection_is_made_anew),
        TEST(the_file_changes_midway),
        TEST(the_file_shrinks_midway),
        TEST(it_changes_all_the_time),
        TEST(the_next_call_fetches_only_the_rest),
        TEST(what_is_of_something_else_is_fetched_anew),
        TEST(stopped_while_verifying),
        TEST(progress_is_told_at_both_ends),
        TEST(only_one_at_a_time),
        TEST(a_file_that_is_there_stays),
        TEST(killed_at_random),
        TEST(more_than_the_disk_has),
        TEST(a_full_disk_keeps_what_is_there),
        TEST(a_failed_sync_notes_nothing),
        TEST(files_have_a_limit),
        TEST(a_folder_that_may_not_be_written),
        TEST(damaged_states_are_not_trusted),
        TEST(certificates),
        TEST(https_never_leads_to_http),
        TEST(pages),
        TEST(pages_can_be_stopped),
        TEST(targets),
        TEST(digests),
    };
#undef TEST

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
