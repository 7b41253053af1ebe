/* Downloads from a server that misbehaves: whatever it does, what has the file's name is whole and right. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_fetch_disk.h"

/* The whole file. */

static void whole_by_one_and_by_four(void **state)
{
    static const unsigned counts[] = {1, 4, 16};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
        download.options.connections = counts[n];
        download.page[0].sent = 0;
        assert_fetched(download.data);
        /* No byte twice. */
        assert_int_equal(download.page[0].sent, FILE_SIZE);
        assert_true(download.page[0].ranges >= 2);
    }
    download.options.size = FILE_SIZE;
    download.options.minimum = FILE_SIZE;
    download.options.sha256 = NULL;
    assert_fetched(download.data);
}

static void the_defaults(void **state)
{
    (void)state;
    download.options.connections = 0;
    assert_int_equal(fetch(&download.options, NULL, &download.error), 0);
    assert_content("", download.data, FILE_SIZE);
    assert_int_equal(download.page[0].requests, 1); /* less than a piece */
}

static void digests_in_any_case(void **state)
{
    char upper[65];

    (void)state;
    for (unsigned n = 0; n < sizeof upper; n++)
        upper[n] = download.digest[n] >= 'a' ? (char)(download.digest[n] - 32) : download.digest[n];
    download.options.sha256 = upper;
    assert_fetched(download.data);
}

static void options_that_cannot_be_used(void **state)
{
    static const char *const urls[] = {"", "ftp://127.0.0.1/file", "file:///etc/passwd", "/etc/passwd", "httpx://a/b"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(urls); n++) {
        download.options.url = urls[n];
        assert_fails(EINVAL, "give https://");
    }
    download.options.url = fake_http_url(download.server, "/file");
    download.options.sha256 = "abc";
    assert_fails(EINVAL, "64 hexadecimal digits");
    download.options.sha256 = NULL;
    download.options.connections = 17;
    assert_fails(EINVAL, "1 to 16");
    download.options.connections = 1;
    download.options.path = "build/no/such/folder/file";
    assert_fails(ENOENT, "build/no/such/folder/file");
    assert_nothing_left();
}

static void texts_have_no_secrets(void **state)
{
    char url[128];

    (void)state;
    snprintf(url, sizeof url, "http://me:mine@%s?key=secret", fake_http_url(download.server, "/absent") + 7);
    download.options.url = url;
    assert_fails(ENOENT, "127.0.0.1/absent: the server answers 404");
    assert_null(strstr(download.error.text, "secret"));
    assert_null(strstr(download.error.text, "mine"));
}

/* Servers with moods. */

static void drops_at_random_bytes(void **state)
{
    (void)state;
    download.options.tries = 50;
    for (unsigned n = 1; n <= 4; n++) {
        download.options.connections = n;
        download.page[0].seed = n;
        download.page[0].drop_most = 30000;
        download.page[0].chunk = 1000 + n;
        assert_fetched(download.data);
    }
    /* Each answer began with what the last one lacked, so little came twice. */
    assert_true(download.page[0].sent < 8 * FILE_SIZE);
}

static void a_server_without_ranges(void **state)
{
    (void)state;
    download.page[0].no_ranges = true;
    download.options.connections = 4;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].requests, 1);
    assert_int_equal(download.page[0].sent, FILE_SIZE);
    download.page[0].chunked = true;
    download.options.size = FILE_SIZE;
    assert_fetched(download.data);
    download.page[0].unsized = true;
    download.page[0].chunked = false;
    assert_fetched(download.data);
}

/* It begins at the start again, and what is there is passed over. */
static void drops_without_ranges(void **state)
{
    (void)state;
    download.page[0].no_ranges = true;
    download.options.connections = 4;
    download.page[0].drop_most = 2 * FILE_SIZE;
    download.page[0].seed = 5;
    download.options.tries = 50;
    assert_fetched(download.data);
    download.page[0].drop_most = FILE_SIZE / 2;
    download.options.tries = 3;
    assert_fails(ETIMEDOUT, "no progress after 3 tries");
    assert_true(download_exists(".part"));
}

static void no_size_at_all_is_refused(void **state)
{
    (void)state;
    download.page[0].no_ranges = download.page[0].unsized = true;
    assert_fails(ENODATA, "how long the file is");
    download.page[0].chunked = true;
    assert_fails(ENODATA, "how long the file is");
    assert_nothing_left();
}

static void another_size_is_refused_before_a_byte(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        download.page[0].no_ranges = n % 2;
        download.options.size = FILE_SIZE + (n < 2 ? 1 : -1);
        assert_fails(EBADMSG, "409723 bytes, not 4097");
        assert_nothing_left();
    }
    assert_int_equal(download.page[0].requests, 4);
    download.options.size = 0;
    download.options.minimum = FILE_SIZE + 1;
    assert_fails(EBADMSG, "too little");
    download.options.minimum = 0;
    download.page[0].now.size = 0;
    assert_fails(EBADMSG, "0 bytes, which is too little");
    download.page[0].no_ranges = false;
    assert_fails(EBADMSG, "0 bytes, which is too little");
    assert_nothing_left();
}

static void ranges_that_were_not_asked_for(void **state)
{
    (void)state;
    download.options.tries = 3;
    download.page[0].add_first = 1;
    assert_fails(ETIMEDOUT, "another range");
    download.page[0].add_first = 0;
    download.page[0].add_length = -1;
    assert_fails(ETIMEDOUT, "another range");
    download.page[0].add_length = 0;
    download.page[0].add_total = -(int64_t)FILE_SIZE;
    assert_fails(ETIMEDOUT, "another range");
    download.page[0].add_total = 0;
    download.page[0].status = 206;
    download.page[0].times = FAKE_HTTP_ALWAYS;
    assert_fails(ETIMEDOUT, "another range");
    assert_int_equal(download.page[0].requests, 12);
    assert_nothing_left();
}

static void more_than_the_file(void **state)
{
    (void)state;
    download.page[0].no_ranges = download.page[0].chunked = true;
    download.page[0].excess = 10;
    download.options.size = FILE_SIZE;
    download.options.sha256 = NULL;
    assert_fails(EBADMSG, "sends more than");
}

static void the_wrong_content_is_put_away(void **state)
{
    (void)state;
    download.options.sha256 = download.other_digest;
    assert_fails(EBADMSG, download.digest);
    assert_says(download.other_digest);
    assert_says(".bad");
    assert_content(".bad", download.data, FILE_SIZE);
    assert_false(download_exists(".part") || download_exists(".part.state"));
    /* The next call begins anew. */
    download.page[0].now.data = download.other;
    download.page[0].sent = 0;
    unlink(download_path(".bad"));
    assert_fetched(download.other);
    assert_int_equal(download.page[0].sent, FILE_SIZE);
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
        download.page[0].status = ends[n].status;
        download.page[0].times = FAKE_HTTP_ALWAYS;
        assert_fails(ends[n].err, text);
    }
    assert_int_equal(download.page[0].requests, ARRAY_SIZE(ends));
    assert_nothing_left();
}

static void statuses_that_pass(void **state)
{
    static const unsigned passing[] = {408, 429, 500, 502, 503, 504};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(passing); n++) {
        download.page[0].status = passing[n];
        download.page[0].times = 3;
        download.page[0].headers = n % 2 ? "Retry-After: 86400\r\n" : NULL; /* bounded by the longest pause */
        assert_fetched(download.data);
    }
    download.page[0].times = FAKE_HTTP_ALWAYS;
    download.page[0].requests = 0;
    download.options.tries = 3;
    assert_fails(ETIMEDOUT, "no progress after 3 tries: the server answers 504");
    assert_int_equal(download.page[0].requests, 3);
    assert_nothing_left();
}

static void the_server_says_when_to_come_again(void **state)
{
    int64_t began = clock_ns();

    (void)state;
    download.tuning.pause_most_ms = 60000;
    download.page[0].status = 503;
    download.page[0].times = 1;
    download.page[0].headers = "Retry-After: 1\r\n";
    assert_fetched(download.data);
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
    download.options.url = url;
    download.options.tries = 3;
    assert_fails(ETIMEDOUT, "no progress after 3 tries");
    assert_nothing_left();
}

static void redirects(void **state)
{
    (void)state;
    download.page[1] = (struct fake_http_page){.path = "/a", .location = "/b"};
    download.page[2] = (struct fake_http_page){.path = "/b", .location = fake_http_url(download.server, "/file?x=1")};
    download.page[3] = (struct fake_http_page){.path = "/loop", .location = "/loop"};
    download.page[4] = (struct fake_http_page){.path = "/out", .location = "file:///etc/passwd"};
    download.options.url = fake_http_url(download.server, "/a");
    download.options.connections = 4;
    assert_fetched(download.data);
    download.options.url = fake_http_url(download.server, "/loop");
    assert_fails(ELOOP, "127.0.0.1/loop");
    assert_true(download.page[3].requests < 20);
    download.options.url = fake_http_url(download.server, "/out");
    assert_fails(EPROTONOSUPPORT, "/out");
    assert_nothing_left();
}

static void a_stalled_connection_is_made_anew(void **state)
{
    (void)state;
    download.page[0].chunk = 100;
    download.page[0].stalls = 1;
    download.page[0].stall_at = 2 * PIECE + 77;
    download.options.stall_seconds = 1;
    download.options.connections = 2;
    download.options.tries = 1000; /* however slow the machine is */
    assert_fetched(download.data);
    assert_int_equal(download.page[0].stalls, 0);
}

/* Versions. */

static void set_later(unsigned after, const char *etag, const char *modified)
{
    download.page[0].change_after = after;
    download.page[0].later = (struct fake_http_version){download.other, FILE_SIZE, etag, modified};
    download.page[0].requests = 0;
    download.options.sha256 = NULL;
}

static void the_file_changes_midway(void **state)
{
    (void)state;
    set_later(1, "\"second\"", DATE);
    assert_fetched(download.other);
    /* A server that sends the range of the new one, whatever the condition says. */
    download.page[0].no_conditions = true;
    set_later(1, "\"second\"", DATE);
    assert_fetched(download.other);
    set_later(2, NULL, "Wed, 21 Oct 2015 07:29:00 GMT");
    assert_fetched(download.other);
    set_later(2, NULL, NULL);
    assert_fetched(download.other);
    download.page[0].no_conditions = false;
    download.page[0].now.etag = "W/\"weak\"";
    set_later(1, "W/\"weaker\"", DATE);
    assert_fetched(download.other);
}

/* It is shorter now, so what is asked for lies behind its end. */
static void the_file_shrinks_midway(void **state)
{
    (void)state;
    download_some(10 * PIECE);
    download.page[0].no_conditions = true;
    download.page[0].now = (struct fake_http_version){download.other, 5 * PIECE, "\"second\"", DATE};
    download.options.sha256 = NULL;
    assert_int_equal(download_run(), 0);
    assert_content("", download.other, 5 * PIECE);
}

static void it_changes_all_the_time(void **state)
{
    (void)state;
    download.page[0].new_tags = download.page[0].no_conditions = true;
    download.options.tries = 3;
    assert_fails(ESTALE, "again and again");
}

/* Progress. */

static uint64_t last_done, last_size;
static unsigned calls;

static bool note(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    assert_true(progress->done <= FILE_SIZE && progress->seconds_left >= -1);
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
    download.options.progress = note;
    assert_fetched(download.data);
    assert_true(calls >= 2);
    assert_int_equal(last_done, FILE_SIZE);
    assert_int_equal(last_size, FILE_SIZE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, download_setup, download_teardown)
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
        TEST(progress_is_told_at_both_ends),
    };
#undef TEST

    return cmocka_run_group_tests(tests, download_prepare, download_clean_up);
}
