/* Locks of the share (RFC 4918, 6, 7, 10.4), and the requests with which Windows writes a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../vmm/share/conditions.h"
#include "cmocka_all.h"
#include "fake_dav.h"

#define LOCKINFO                                                                                          \
    "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/>" \
    "</D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>PC\\user</D:href></D:owner></D:lockinfo>"

static struct fake_dav dav;
static char token[LOCK_TOKEN_ROOM], with_token[128];

static int setup(void **state)
{
    (void)state;
    fake_dav_open(&dav, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_dav_close(&dav);
    return 0;
}

#define ASK(method, target, fields, body) fake_dav_ask(&dav, method, target, fields, body)

static unsigned lock(const char *target, const char *fields)
{
    unsigned status = ASK("LOCK", target, fields, LOCKINFO);
    const char *found = strstr(dav.head, "\r\nLock-Token: <");

    token[0] = 0;
    if (found)
        assert_int_equal(sscanf(found, "\r\nLock-Token: <%55[^>]>", token), 1);
    snprintf(with_token, sizeof with_token, "If: (<%s>)\r\n", token);
    return status;
}

static unsigned unlock(const char *target)
{
    char fields[128];

    snprintf(fields, sizeof fields, "Lock-Token: <%s>\r\n", token);
    return ASK("UNLOCK", target, fields, NULL);
}

static void windows_writes_a_file(void **state)
{
    static const char times[] =
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:propertyupdate xmlns:D=\"DAV:\" "
        "xmlns:Z=\"urn:schemas-microsoft-com:\"><D:set><D:prop><Z:Win32LastModifiedTime>Mon, 02 Jan 2006 15:04:05 GMT"
        "</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set>"
        "</D:propertyupdate>";
    char *text;

    (void)state;
    assert_int_equal(ASK("OPTIONS", "/", "translate: f\r\nUser-Agent: DavClnt\r\n", NULL), 200);
    assert_int_equal(ASK("PROPFIND", "/", "Depth: 0\r\ntranslate: f\r\n", ""), 207);
    assert_int_equal(ASK("PROPFIND", "/n.txt", "Depth: 0\r\ntranslate: f\r\n", ""), 404);
    assert_int_equal(ASK("PUT", "/n.txt", "translate: f\r\n", ""), 201);
    assert_int_equal(lock("/n.txt", "Timeout: Second-3600\r\n"), 200);
    assert_non_null(strstr(dav.body, "<D:timeout>Second-3600</D:timeout>"));
    assert_non_null(strstr(dav.body, "PC\\user"));
    assert_int_equal(ASK("PROPPATCH", "/n.txt", with_token, times), 207);
    assert_null(strstr(dav.body, "HTTP/1.1 4"));
    assert_int_equal(ASK("HEAD", "/n.txt", "translate: f\r\n", NULL), 200);
    assert_int_equal(ASK("PUT", "/n.txt", with_token, "content"), 204);
    assert_int_equal(ASK("PROPPATCH", "/n.txt", with_token, times), 207);
    assert_int_equal(unlock("/n.txt"), 204);
    assert_int_equal(ASK("PROPFIND", "/n.txt", "Depth: 0\r\n", ""), 207);
    assert_non_null(strstr(dav.body, "<W:Win32LastModifiedTime>Mon, 02 Jan 2006 15:04:05 GMT<"));
    text = fake_dav_read(&dav, "shared/n.txt");
    assert_string_equal(text, "content");
    free(text);
}

static void who_has_no_token_changes_nothing(void **state)
{
    char *text;

    (void)state;
    fake_dav_write(&dav, "shared/a", "as it was");
    assert_int_equal(ASK("MKCOL", "/f", "", NULL), 201);
    assert_int_equal(lock("/a", "Depth: 0\r\n"), 200);
    assert_int_equal(ASK("PUT", "/a", "", "x"), 423);
    assert_int_equal(ASK("PUT", "/a", "If: (<opaquelocktoken:other>)\r\n", "x"), 412);
    assert_int_equal(ASK("PUT", "/a", "If: (<opaquelocktoken:other>) (Not <DAV:no-lock>)\r\n", "x"), 423);
    assert_int_equal(ASK("DELETE", "/a", "", NULL), 423);
    assert_int_equal(ASK("MOVE", "/a", "Destination: /b\r\n", NULL), 423);
    assert_int_equal(ASK("COPY", "/f", "Destination: /a\r\n", NULL), 423);
    assert_int_equal(ASK("LOCK", "/a", "", LOCKINFO), 423);
    assert_int_equal(ASK("LOCK", "/", "Depth: infinity\r\n", LOCKINFO), 423);
    text = fake_dav_read(&dav, "shared/a");
    assert_string_equal(text, "as it was");
    free(text);
    assert_int_equal(ASK("GET", "/a", "", NULL), 200);
    assert_int_equal(ASK("COPY", "/a", "Destination: /copy\r\n", NULL), 201);
    assert_int_equal(unlock("/a"), 204);
    assert_int_equal(unlock("/a"), 409);
    assert_int_equal(ASK("PUT", "/a", "", "x"), 204);
}

static void a_lock_of_a_folder_binds_what_is_in_it(void **state)
{
    (void)state;
    ASK("MKCOL", "/f", "", NULL);
    assert_int_equal(lock("/f", "Depth: 0\r\n"), 200);
    assert_int_equal(ASK("PUT", "/f/new", "", "x"), 423);
    assert_int_equal(ASK("PUT", "/f/new", "If: </f> (Not <DAV:no-lock>)\r\n", "x"), 423);
    assert_int_equal(unlock("/f"), 204);
    assert_int_equal(ASK("PUT", "/f/new", "", "x"), 201);
    assert_int_equal(lock("/f", ""), 200);
    assert_int_equal(ASK("PUT", "/f/new", "", "y"), 423);
    assert_int_equal(ASK("PUT", "/f/new", with_token, "y"), 204);
    /* What is gone is not locked. */
    assert_int_equal(ASK("DELETE", "/f", with_token, NULL), 204);
    assert_int_equal(ASK("MKCOL", "/f", "", NULL), 201);
    assert_int_equal(ASK("PUT", "/f/new", "", "z"), 201);
}

static void locks_are_refreshed_and_bounded(void **state)
{
    (void)state;
    assert_int_equal(lock("/new", "Timeout: Infinite, Second-4100000000\r\n"), 201);
    assert_non_null(strstr(dav.body, "<D:timeout>Second-3600</D:timeout>"));
    snprintf(with_token, sizeof with_token, "If: (<%s>)\r\nTimeout: Second-60\r\n", token);
    assert_int_equal(ASK("LOCK", "/new", with_token, NULL), 200);
    assert_non_null(strstr(dav.body, "<D:timeout>Second-60</D:timeout>"));
    assert_int_equal(ASK("LOCK", "/new", "", NULL), 400);
    assert_int_equal(ASK("LOCK", "/new", "If: (<opaquelocktoken:other>)\r\n", NULL), 412);
    assert_int_equal(ASK("LOCK", "/new2", "Depth: 1\r\n", LOCKINFO), 400);
    for (unsigned n = 1; n < LOCKS_MAX; n++) {
        char name[24];

        snprintf(name, sizeof name, "/n%u", n);
        assert_int_equal(lock(name, ""), 201);
    }
    assert_int_equal(lock("/one-more", ""), 503);
}

static bool locked_with_t(void *opaque, const char *path, const char *wanted)
{
    (void)opaque;
    return !strcmp(path, "a") && !strcmp(wanted, "t");
}

static bool tag_e(void *opaque, const char *path, char etag[ETAG_ROOM])
{
    (void)opaque;
    memcpy(etag, "\"e\"", sizeof "\"e\"");
    return !strcmp(path, "a");
}

static void conditions(void **state)
{
    static const struct {
        const char *field;
        int holds;
    } rows[] = {
        {"(<t>)", 1},
        {"(<u>)", 0},
        {"(<u>) (<t>)", 1},
        {"(Not <u>)", 1},
        {"(<t> [\"e\"])", 1},
        {"(<t> [\"f\"])", 0},
        {"([W/\"e\"])", 1},
        {"</a> (<t>)", 1},
        {"<http://10.0.2.4/b> (<t>)", 0},
        {"</../a> (<t>)", 0},
        {"</b> (<t>) </a> (<t>)", 1},
        {"", -22},
        {"()", -22},
        {"(", -22},
        {"(<t>", -22},
        {"(<t", -22},
        {"([\"e\")", -22},
        {"<t>", -22},
        {"(Not)", -22},
        {"(<t>) </a> (<t>)", -22},
        {"t", -22},
    };
    const struct conditions_facts facts = {locked_with_t, tag_e, NULL};

    (void)state;
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        struct tokens tokens = {0};
        int holds = conditions_hold(rows[n].field, "a", &facts, &tokens);

        if (holds != rows[n].holds)
            fail_msg("%s: %d", rows[n].field, holds);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(windows_writes_a_file),
        TEST(who_has_no_token_changes_nothing),
        TEST(a_lock_of_a_folder_binds_what_is_in_it),
        TEST(locks_are_refreshed_and_bounded),
        cmocka_unit_test(conditions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
