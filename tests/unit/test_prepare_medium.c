/*
 * Where a start takes its medium from: by the vendor's link, by the page when that is of no use, from where a person
 * has put it; which edition that means, and what is deleted when it is not needed any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_http.h"
#include "fake_prepare.h"
#include "fake_wim.h"

#define LEAST (100 * MiB) /* of a medium that nothing is known of */

/* A vendor with one system, whose links lead to a server here. */
static struct vendor {
    struct catalogue_entry entry;
    struct catalogue_web web;
    struct fake_http *server;
    struct fake_http_page pages[4];
    char link[64], target[64], digest[65]; /* the static link, what the page's leads to; of the medium */
    unsigned asked;                        /* how often the page was */
    bool no_page;
} vendor;

static uint8_t data[LEAST + MiB];

static int page_text(void *opaque, const char *url, char **text, struct error *error)
{
    (void)opaque;
    assert_string_equal(url, "https://www.microsoft.com/en-us/evalcenter/download-a-system");
    vendor.asked++;
    if (vendor.no_page)
        return error_set(error, ENOENT, "no page today");
    *text = strdup("//go.microsoft.com/fwlink/?linkid=1&culture=en-us&country=us");
    return 0;
}

static int page_target(void *opaque, const char *url, char **target, struct error *error)
{
    (void)opaque, (void)url, (void)error;
    *target = strdup(vendor.target);
    return 0;
}

static int set_up(void **unused)
{
    struct error error;
    FILE *file;

    fake_prepare_set_up(unused);
    file = fopen(windows.iso, "re");
    memset(data, 0, sizeof data);
    assert_true(file && fread(data, 1, sizeof data, file) > 0 && fclose(file) == 0);
    assert_int_equal(truncate(windows.iso, sizeof data), 0);
    vendor = (struct vendor){
        .entry = {.id = "a-system",
                  .name = "A system",
                  .edition = "Professional",
                  .build = BUILD_WINDOWS_11,
                  .size = sizeof data,
                  .slug = "a-system",
                  .page = "https://vendor.example/page"},
        .web = {page_text, page_target, NULL},
        .pages = {{.path = "/static.iso", .now = {.data = data, .size = sizeof data}},
                  {.path = "/page.iso", .now = {.data = data, .size = sizeof data}},
                  {.path = NULL}},
    };
    assert_int_equal(fetch_digest(windows.iso, NULL, NULL, vendor.digest, &error), 0);
    vendor.server = fake_http_start(vendor.pages, NULL, NULL);
    snprintf(vendor.link, sizeof vendor.link, "%s", fake_http_url(vendor.server, "/static.iso"));
    snprintf(vendor.target, sizeof vendor.target, "%s", fake_http_url(vendor.server, "/page.iso"));
    vendor.entry.url = vendor.link;
    vendor.entry.sha256 = vendor.digest;
    return 0;
}

static int tear_down(void **unused)
{
    fake_http_stop(vendor.server);
    return fake_prepare_tear_down(unused);
}

/* A start that asks for that system. */
static int start(const char *option)
{
    int failed = fake_prepare_look("11", (const char *[]){"--disk-size=256M", option}, option ? 2 : 1);

    windows.p.source.entry = &vendor.entry;
    windows.p.source.web = &vendor.web;
    return failed == 0 ? fake_prepare_go() : failed;
}

static const char *place(void)
{
    static char path[160];

    snprintf(path, sizeof path, "%s/a-system.iso", windows.state);
    return path;
}

static void by_the_static_link(void **unused)
{
    (void)unused;
    assert_int_equal(start(NULL), 0);
    assert_int_equal(windows.p.journey.step, JOURNEY_PREPARED);
    assert_string_equal(windows.p.journey.medium, place());
    assert_string_equal(windows.p.journey.digest, vendor.digest);
    assert_true(windows.p.journey.fetched_by_us);
    assert_int_equal(vendor.asked, 0);
}

static void by_the_page_when_the_link_is_of_no_use(void **unused)
{
    static const unsigned statuses[] = {403, 404, 410};

    (void)unused;
    for (size_t n = 0; n < ARRAY_SIZE(statuses); n++) {
        vendor.pages[0].status = statuses[n];
        vendor.pages[0].times = FAKE_HTTP_ALWAYS;
        assert_int_equal(start(NULL), 0);
        assert_true(windows.p.journey.fetched_by_us);
        assert_int_equal(vendor.asked, n + 1);
        fake_prepare_run("rm -r %s/*%s", windows.state, "");
    }
    /* Another file than the known one: another size, other bytes. */
    vendor.pages[0].times = 0;
    for (unsigned n = 0; n < 2; n++) {
        static uint8_t other[sizeof data];

        vendor.pages[0].now = (struct fake_http_version){.data = other, .size = n ? sizeof other : MiB};
        assert_int_equal(start(NULL), 0);
        assert_int_equal(vendor.asked, n + 4);
        fake_prepare_run("rm -r %s/*%s", windows.state, "");
    }
}

/* The last way is a person who looks. */
static void by_hand_when_nothing_else_is_left(void **unused)
{
    (void)unused;
    vendor.pages[0].status = vendor.pages[1].status = 404;
    vendor.pages[0].times = vendor.pages[1].times = FAKE_HTTP_ALWAYS;
    fake_refused(&windows.error, start(NULL), ENOENT, "A system in en-US: the vendor's link leads nowhere",
                 "from https://vendor.example/page and put it at ");
    vendor.no_page = true;
    fake_refused(&windows.error, start(NULL), ENOENT, "A system in en-US: no page today", place());
    vendor.no_page = false;
    snprintf(vendor.target, sizeof vendor.target, "%s", vendor.link);
    vendor.pages[0].requests = 0;
    fake_refused(&windows.error, start(NULL), ENOENT, "leads nowhere", place());
    assert_int_equal(vendor.pages[0].requests, 1);
    assert_int_equal(vendor.asked, 3);
    vendor.entry.slug = NULL;
    fake_refused(&windows.error, start(NULL), ENOENT, "leads nowhere", place());
    assert_int_equal(vendor.asked, 3);
    vendor.pages[0].times = 0;
    vendor.entry.sha256 = "0000000000000000000000000000000000000000000000000000000000000000";
    fake_refused(&windows.error, start(NULL), EBADMSG, "leads to another file than the known one", place());
    assert_int_equal(journey_read(windows.state, &windows.p.journey, &windows.error), 0);
    assert_string_equal(windows.p.journey.digest, "");
    vendor.entry.sha256 = vendor.digest;
    /* What is put there is the user's: looked at, used and kept. */
    fake_prepare_run("cp %s %s", windows.iso, place());
    vendor.pages[0].requests = 0;
    assert_int_equal(start(NULL), 0);
    assert_false(windows.p.journey.fetched_by_us);
    assert_string_equal(windows.p.journey.digest, vendor.digest);
    assert_int_equal(vendor.pages[0].requests, 0);
}

/* What a later try may change ends as it is: there is no other place to look. */
static void a_start_that_may_be_tried_again(void **unused)
{
    (void)unused;
    assert_int_equal(fake_prepare_look("11", (const char *[]){"--disk-size=256M"}, 1), 0);
    vendor.entry.size = UINT64_C(1) << 60;
    windows.p.source.entry = &vendor.entry;
    windows.p.source.web = &vendor.web;
    fake_refused(&windows.error, fake_prepare_go(), ENOSPC, "a-system.iso", "make room");
    assert_int_equal(vendor.asked, 0);
}

/* A file in the catalogue's place is looked at once, if it can be the known one. */
static void a_file_that_is_there(void **unused)
{
    FILE *file;

    (void)unused;
    fake_prepare_run("cp %s %s", windows.iso, place());
    assert_int_equal(start(NULL), 0);
    assert_string_equal(windows.p.journey.digest, vendor.digest);
    assert_false(windows.p.journey.fetched_by_us);
    file = fopen(place(), "r+e");
    assert_true(file && fseek(file, -1, SEEK_END) == 0 && fputc('x', file) == 'x' && fclose(file) == 0);
    assert_int_equal(start(NULL), 0);
    fake_prepare_run("rm %s/journey.json%s", windows.state, "");
    for (unsigned n = 0; n < 2; n++)
        fake_refused(&windows.error, start(NULL), EBADMSG, "a-system.iso: has the size of the vendor's medium",
                     "remove it");
    /* Another size is another medium, which the user has chosen. */
    assert_int_equal(truncate(place(), sizeof data + 2048), 0);
    fake_prepare_listen();
    assert_int_equal(start(NULL), 0);
    assert_true(fake_prepare_heard("a-system.iso: is there already and taken as it is; it is another medium"));
    assert_string_equal(windows.p.journey.digest, "");
    assert_int_equal(vendor.pages[0].requests, 0);
}

/* The edition that the system's name stands for, if the medium has it and nobody has named another. */
static void the_edition_of_a_name(void **unused)
{
    static const struct {
        const char *edition, *option, *chosen;
    } rows[] = {{"Professional", NULL, "Professional"},
                {"EnterpriseS", NULL, "EnterpriseSEval"},
                {"Enterprise", NULL, "Enterprise"},
                {"ServerStandard", NULL, "Enterprise"},
                {"Professional", "--edition=education", "Education"}};

    (void)unused;
    fake_prepare_medium(
        place(),
        FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "Education", "Client", "Windows 11 Education", "26100", "1", "en-US")
                         FAKE_WIM_IMAGE("2", "9", "Enterprise", "Client", "Windows 11 Enterprise", "26100", "1",
                                        "en-US") FAKE_WIM_PRO("3")
                             FAKE_WIM_IMAGE("4", "9", "EnterpriseSEval", "Client", "LTSC", "26100", "1", "en-US")));
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        vendor.entry.edition = rows[n].edition;
        assert_int_equal(start(rows[n].option), 0);
        assert_string_equal(windows.p.journey.edition, rows[n].chosen);
    }
}

/* Before Setup has begun another medium may be asked for; what was fetched for the first goes as it would have gone. */
static void another_medium_before_setup(void **unused)
{
    struct journey journey;

    (void)unused;
    for (unsigned keep = 0; keep < 2; keep++) {
        const char *option = keep ? "--remove-medium=off" : "--remove-medium=on";

        assert_int_equal(start(NULL), 0);
        assert_true(fake_is_there(place()));
        assert_int_equal(fake_start(windows.iso, option), 0);
        assert_int_equal(fake_is_there(place()), keep);
        assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
        assert_string_equal(journey.medium, windows.iso);
        assert_string_equal(journey.digest, "");
        assert_false(journey.fetched_by_us);
        assert_int_equal(journey.step, JOURNEY_PREPARED);
        fake_prepare_run("rm %s/journey.json%s", windows.state, "");
    }
    assert_int_equal(start(NULL), 0); /* the one that was kept, which is the user's now */
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_true(fake_is_there(place()));
    assert_true(fake_is_there(windows.iso));
}

/* As if the last start had ended in its download. */
static void begin_download(const char *medium)
{
    struct journey journey = {.step = JOURNEY_NEW};

    snprintf(journey.medium, sizeof journey.medium, "%s", medium);
    assert_int_equal(journey_write(windows.state, &journey, &windows.error), 0);
}

/* Half a download as well, but nothing that only looks like one. */
static void what_was_begun_goes_too(void **unused)
{
    char part[200], pieces[220];

    (void)unused;
    snprintf(part, sizeof part, "%s.part", place());
    snprintf(pieces, sizeof pieces, "%s.state", part);
    fake_text(part, "a browser's");
    begin_download(place());
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_true(fake_is_there(part));
    fake_text(pieces, "pieces");
    begin_download(place());
    assert_int_equal(fake_start(windows.iso, "--remove-medium=off"), 0);
    assert_true(fake_is_there(part) && fake_is_there(pieces));
    begin_download(place());
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_false(fake_is_there(part) || fake_is_there(pieces));
}

/* Also when the program has ended between the two: but what is put there later is the user's. */
static void a_medium_of_an_installed_windows(void **unused)
{
    (void)unused;
    assert_int_equal(start(NULL), 0);
    fake_prepare_step(JOURNEY_INSTALLED);
    assert_int_equal(start("--remove-medium=off"), 0);
    assert_true(fake_is_there(place()));
    assert_int_equal(start(NULL), 0);
    assert_false(fake_is_there(place()));
    fake_text(place(), "the user's");
    assert_int_equal(start(NULL), 0);
    assert_true(fake_is_there(place()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(by_the_static_link),
        TEST(by_the_page_when_the_link_is_of_no_use),
        TEST(by_hand_when_nothing_else_is_left),
        TEST(a_start_that_may_be_tried_again),
        TEST(a_file_that_is_there),
        TEST(the_edition_of_a_name),
        TEST(another_medium_before_setup),
        TEST(what_was_begun_goes_too),
        TEST(a_medium_of_an_installed_windows),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
