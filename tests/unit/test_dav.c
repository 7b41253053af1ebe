/* A shared folder by its methods (RFC 4918): what each does to the folder, and what it answers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_dav.h"

static struct fake_dav dav;

static int setup(void **state)
{
    (void)state;
    fake_dav_open(&dav, false);
    return 0;
}

static int setup_read_only(void **state)
{
    (void)state;
    fake_dav_open(&dav, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_dav_close(&dav);
    return 0;
}

#define ASK(method, target, fields, body) fake_dav_ask(&dav, method, target, fields, body)

static void assert_file(const char *name, const char *text)
{
    char *found = fake_dav_read(&dav, name);

    if (!text)
        assert_null(found);
    else if (!found)
        fail_msg("%s is not there", name);
    else
        assert_string_equal(found, text);
    free(found);
}

/* No file that is not whole is left. */
static unsigned count_names(void)
{
    char command[160];
    FILE *list;
    unsigned lines = 0;
    int sign;

    snprintf(command, sizeof command, "ls -A %s", dav.folder);
    list = popen(command, "re");
    assert_non_null(list);
    while ((sign = fgetc(list)) != EOF)
        lines += sign == '\n';
    pclose(list);
    return lines;
}

static void options_name_the_classes(void **state)
{
    (void)state;
    assert_int_equal(ASK("OPTIONS", "/", "translate: f\r\n", NULL), 200);
    assert_true(fake_dav_has(&dav, "DAV: 1, 2"));
    assert_true(fake_dav_has(&dav, "MS-Author-Via: DAV"));
    assert_non_null(strstr(dav.head, "PROPFIND"));
    assert_int_equal(ASK("OPTIONS", "*", "", NULL), 200);
    assert_int_equal(ASK("BREW", "/", "", NULL), 405);
    assert_non_null(strstr(dav.head, "\r\nAllow: "));
}

static void files_are_put_and_got(void **state)
{
    (void)state;
    assert_int_equal(ASK("PUT", "/a%20b.txt", "", "hello"), 201);
    assert_file("shared/a b.txt", "hello");
    assert_int_equal(ASK("GET", "/a%20b.txt", "", NULL), 200);
    assert_string_equal(dav.body, "hello");
    assert_true(fake_dav_has(&dav, "Content-Length: 5"));
    assert_int_equal(ASK("HEAD", "/a%20b.txt", "", NULL), 200);
    assert_true(fake_dav_has(&dav, "Content-Length: 5"));
    assert_int_equal(ASK("PUT", "/a%20b.txt", "", "other"), 204);
    assert_int_equal(ASK("PUT", "http://10.0.2.4/%C3%A9", "", ""), 201);
    assert_file("shared/\xC3\xA9", "");
    assert_int_equal(ASK("GET", "/nothing", "", NULL), 404);
    assert_int_equal(ASK("PUT", "/no/folder", "", "x"), 409);
    assert_int_equal(ASK("PUT", "/part", "Content-Range: bytes 0-0/2\r\n", "x"), 400);
    assert_int_equal(ASK("PUT", "/", "", "x"), 405);
    assert_int_equal(count_names(), 2);
}

static void a_mode_survives_a_new_content(void **state)
{
    char path[128];
    struct stat info;

    (void)state;
    fake_dav_write(&dav, "shared/program", "1");
    snprintf(path, sizeof path, "%s/program", dav.folder);
    assert_int_equal(chmod(path, 0750), 0);
    assert_int_equal(ASK("PUT", "/program", "", "2"), 204);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0750);
}

static void ranges(void **state)
{
    static const struct {
        const char *field, *body, *range;
        unsigned status;
    } rows[] = {
        {"Range: bytes=2-4\r\n", "234", "Content-Range: bytes 2-4/10", 206},
        {"Range: bytes=7-\r\n", "789", "Content-Range: bytes 7-9/10", 206},
        {"Range: bytes=-3\r\n", "789", "Content-Range: bytes 7-9/10", 206},
        {"Range: bytes=-30\r\n", "0123456789", "Content-Range: bytes 0-9/10", 206},
        {"Range: bytes=9-99\r\n", "9", "Content-Range: bytes 9-9/10", 206},
        {"Range: bytes=10-\r\n", "", "Content-Range: bytes */10", 416},
        {"Range: bytes=-0\r\n", "", "Content-Range: bytes */10", 416},
        {"Range: bytes=4-2\r\n", "0123456789", NULL, 200},
        {"Range: bytes=1-2,4-5\r\n", "0123456789", NULL, 200},
        {"Range: bytes=99999999999999999999-\r\n", "0123456789", NULL, 200},
        {"Range: bytes=2-4\r\nIf-Range: \"other\"\r\n", "0123456789", NULL, 200},
    };

    (void)state;
    fake_dav_write(&dav, "shared/digits", "0123456789");
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        assert_int_equal(ASK("GET", "/digits", rows[n].field, NULL), rows[n].status);
        assert_string_equal(dav.body, rows[n].body);
        if (rows[n].range)
            assert_true(fake_dav_has(&dav, rows[n].range));
    }
}

static void chunked_bodies(void **state)
{
    static const char good[] = "PUT /c HTTP/1.1\r\nHost: 10.0.2.4\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "3\r\nabc\r\n00a;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    static const char bad[] = "PUT /d HTTP/1.1\r\nHost: 10.0.2.4\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "3\r\nabcd\r\n0\r\n\r\n";

    (void)state;
    assert_true(fake_dav_send(&dav, good, sizeof good - 1));
    assert_int_equal(fake_dav_receive(&dav, false), 201);
    assert_file("shared/c", "abc0123456789");
    assert_true(fake_dav_send(&dav, bad, sizeof bad - 1));
    assert_int_equal(fake_dav_receive(&dav, false), 400);
    assert_int_equal(count_names(), 1);
}

static void a_broken_upload_leaves_nothing(void **state)
{
    static const char half[] = "PUT /half HTTP/1.1\r\nHost: 10.0.2.4\r\nContent-Length: 100\r\n\r\nonly this";

    (void)state;
    fake_dav_write(&dav, "shared/half", "as it was");
    assert_true(fake_dav_send(&dav, half, sizeof half - 1));
    shutdown(dav.fd, SHUT_WR);
    assert_int_equal(fake_dav_receive(&dav, false), 400);
    assert_file("shared/half", "as it was");
    assert_int_equal(count_names(), 1);
}

static void who_expects_is_told_to_go_on(void **state)
{
    static const char head[] = "PUT /e HTTP/1.1\r\nHost: 10.0.2.4\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    static const char refused[] =
        "PUT /no/e HTTP/1.1\r\nHost: 10.0.2.4\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";

    (void)state;
    assert_true(fake_dav_send(&dav, head, sizeof head - 1));
    assert_int_equal(fake_dav_receive(&dav, false), 100);
    assert_true(fake_dav_send(&dav, "ok", 2));
    assert_int_equal(fake_dav_receive(&dav, false), 201);
    assert_true(fake_dav_send(&dav, refused, sizeof refused - 1));
    assert_int_equal(fake_dav_receive(&dav, false), 409);
    assert_true(fake_dav_has(&dav, "Connection: close"));
}

static void folders_are_made_and_removed(void **state)
{
    (void)state;
    assert_int_equal(ASK("MKCOL", "/f/", "", NULL), 201);
    assert_int_equal(ASK("MKCOL", "/f", "", NULL), 405);
    assert_int_equal(ASK("MKCOL", "/x/y", "", NULL), 409);
    assert_int_equal(ASK("MKCOL", "/z", "", "<what/>"), 415);
    assert_int_equal(ASK("PUT", "/f/deep", "", "1"), 201);
    assert_int_equal(ASK("GET", "/f", "", NULL), 405);
    assert_int_equal(ASK("DELETE", "/f", "", NULL), 204);
    assert_int_equal(ASK("DELETE", "/f", "", NULL), 404);
    assert_int_equal(ASK("DELETE", "/", "", NULL), 403);
    assert_int_equal(count_names(), 0);
}

static void trees_are_copied_and_moved(void **state)
{
    (void)state;
    ASK("MKCOL", "/a", "", NULL);
    ASK("MKCOL", "/a/b", "", NULL);
    ASK("PUT", "/a/b/c", "", "content");
    assert_int_equal(ASK("COPY", "/a", "Destination: http://10.0.2.4/copy\r\n", NULL), 201);
    assert_file("shared/copy/b/c", "content");
    assert_int_equal(ASK("COPY", "/a", "Destination: /shallow\r\nDepth: 0\r\n", NULL), 201);
    assert_file("shared/shallow/b/c", NULL);
    assert_int_equal(ASK("COPY", "/a/b/c", "Destination: /copy/b/c\r\nOverwrite: F\r\n", NULL), 412);
    ASK("PUT", "/a/b/c", "", "changed");
    assert_int_equal(ASK("COPY", "/a/b/c", "Destination: /copy/b/c\r\n", NULL), 204);
    assert_file("shared/copy/b/c", "changed");
    assert_int_equal(ASK("MOVE", "/a", "Destination: http://10.0.2.4:80/copy\r\n", NULL), 204);
    assert_file("shared/copy/b/c", "changed");
    assert_file("shared/a/b/c", NULL);
    assert_int_equal(ASK("MOVE", "/copy", "Destination: /copy/b/inside\r\n", NULL), 403);
    assert_int_equal(ASK("MOVE", "/copy/b", "Destination: /copy\r\n", NULL), 403);
    assert_int_equal(ASK("COPY", "/copy", "Destination: http://192.0.2.1/copy2\r\n", NULL), 502);
    assert_int_equal(ASK("COPY", "/copy", "Destination: /../outside\r\n", NULL), 403);
    assert_int_equal(ASK("COPY", "/copy", "Destination: /no/where\r\n", NULL), 409);
    assert_int_equal(ASK("COPY", "/copy", "", NULL), 400);
    assert_file("shared/copy/b/c", "changed");
}

static void properties_are_found(void **state)
{
    static const char wanted[] = "<?xml version=\"1.0\"?><D:propfind xmlns:D=\"DAV:\" xmlns:o=\"urn:o&amp;p\"><D:prop>"
                                 "<D:getcontentlength/><o:unknown/></D:prop></D:propfind>";

    (void)state;
    fake_dav_write(&dav, "shared/x & y", "12345");
    assert_int_equal(ASK("PROPFIND", "/", "Depth: 0\r\ntranslate: f\r\n", NULL), 207);
    assert_non_null(strstr(dav.body, "<D:href>/</D:href>"));
    assert_non_null(strstr(dav.body, "<D:collection></D:collection>"));
    assert_non_null(strstr(dav.body, "<W:Win32FileAttributes>00000010<"));
    assert_null(strstr(dav.body, "x%20%26%20y"));
    assert_int_equal(ASK("PROPFIND", "/", "Depth: 1\r\n", ""), 207);
    assert_non_null(strstr(dav.body, "<D:href>/x%20%26%20y</D:href>"));
    assert_non_null(strstr(dav.body, "<D:displayname>x &#38; y</D:displayname>"));
    assert_int_equal(ASK("PROPFIND", "/x%20&%20y", "Depth: 0\r\n", wanted), 207);
    assert_non_null(strstr(dav.body, "<D:getcontentlength>5</D:getcontentlength>"));
    assert_non_null(strstr(dav.body, "<unknown xmlns=\"urn:o&#38;p\"/>"));
    assert_non_null(strstr(dav.body, "HTTP/1.1 404 Not Found"));
    assert_int_equal(ASK("PROPFIND", "/", "Depth: infinity\r\n", NULL), 403);
    assert_non_null(strstr(dav.body, "<D:propfind-finite-depth>"));
    assert_int_equal(ASK("PROPFIND", "/", "", NULL), 403);
    assert_int_equal(ASK("PROPFIND", "/none", "Depth: 0\r\n", NULL), 404);
    assert_int_equal(ASK("PROPFIND", "/", "Depth: 0\r\n", "<propfind"), 400);
}

/* More than one piece of an answer. */
static void a_folder_with_many_files_is_listed_whole(void **state)
{
    unsigned found = 0;

    (void)state;
    for (unsigned n = 0; n < 400; n++) {
        char name[40];

        snprintf(name, sizeof name, "shared/file%u", n);
        fake_dav_write(&dav, name, "");
    }
    assert_int_equal(ASK("PROPFIND", "/", "Depth: 1\r\n", NULL), 207);
    for (const char *at = dav.body; (at = strstr(at, "<D:href>/file")); at++)
        found++;
    assert_int_equal(found, 400);
    assert_non_null(strstr(dav.body, "</D:multistatus>"));
}

#define WINDOWS "<D:propertyupdate xmlns:D=\"DAV:\" xmlns:Z=\"urn:schemas-microsoft-com:\"><D:set><D:prop>"

static void times_of_windows_are_kept(void **state)
{
    static const char times[] =
        WINDOWS "<Z:Win32CreationTime>Mon, 02 Jan 2006 15:04:05 GMT</Z:Win32CreationTime>"
                "<Z:Win32LastAccessTime>Mon, 02 Jan 2006 15:04:05 GMT</Z:Win32LastAccessTime>"
                "<Z:Win32LastModifiedTime>Mon, 02 Jan 2006 15:04:06 GMT</Z:Win32LastModifiedTime>"
                "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>";
    static const char other[] = WINDOWS "<Z:Win32LastModifiedTime>Mon, 02 Jan 2017 00:00:00 GMT"
                                        "</Z:Win32LastModifiedTime><own xmlns=\"x:\">1</own></D:prop></D:set>"
                                        "</D:propertyupdate>";
    char path[128];
    struct stat info;

    (void)state;
    fake_dav_write(&dav, "shared/t", "");
    snprintf(path, sizeof path, "%s/t", dav.folder);
    assert_int_equal(ASK("PROPPATCH", "/t", "", times), 207);
    assert_null(strstr(dav.body, "HTTP/1.1 4"));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mtim.tv_sec, 1136214246);
    /* All or nothing. */
    assert_int_equal(ASK("PROPPATCH", "/t", "", other), 207);
    assert_non_null(strstr(dav.body, "HTTP/1.1 424 "));
    assert_non_null(strstr(dav.body, "HTTP/1.1 403 "));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mtim.tv_sec, 1136214246);
    assert_int_equal(ASK("PROPPATCH", "/none", "", times), 404);
    assert_int_equal(ASK("PROPPATCH", "/t", "", ""), 400);
}

static void nothing_changes_in_a_folder_that_is_read_only(void **state)
{
    static const char *const methods[] = {"PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK"};

    (void)state;
    fake_dav_write(&dav, "shared/a", "as it was");
    for (size_t n = 0; n < sizeof methods / sizeof *methods; n++)
        assert_int_equal(ASK(methods[n], "/a", "Destination: /b\r\n", NULL), 403);
    assert_int_equal(ASK("GET", "/a", "", NULL), 200);
    assert_int_equal(ASK("PROPFIND", "/a", "Depth: 0\r\n", NULL), 207);
    assert_non_null(strstr(dav.body, "<W:Win32FileAttributes>00000021<"));
    assert_file("shared/a", "as it was");
    assert_int_equal(count_names(), 1);
}

static void what_is_no_folder_is_not_shared(void **state)
{
    const struct share_options options = {.folder = "/nowhere/at/all", .name = "x"};
    struct share *share = NULL;
    struct error error;

    (void)state;
    assert_int_equal(share_create(&options, &share, &error), -ENOENT);
    assert_non_null(strstr(error.text, "--share /nowhere/at/all: No such file or directory; "));
}

/* Whatever name leads there, and whether it is there yet or not. */
static void the_state_of_the_machine_is_not_shared(void **state)
{
    char inside[160], link[160], beside[160];
    const char *const bad[] = {dav.folder, inside, link};
    struct share_options options = {.folder = dav.folder, .name = "x"};
    struct share *share = NULL;
    struct error error;

    (void)state;
    snprintf(inside, sizeof inside, "%s/state", dav.folder);
    snprintf(link, sizeof link, "%s/link", dav.base);
    snprintf(beside, sizeof beside, "%s/state", dav.base);
    assert_int_equal(symlink("shared", link), 0);
    for (size_t n = 0; n < 3; n++) {
        options.state = bad[n];
        assert_int_equal(share_create(&options, &share, &error), -EINVAL);
        assert_non_null(strstr(error.text, "share a folder beside it"));
    }
    options.state = beside;
    assert_int_equal(share_check(&options, &error), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_name_the_classes),
        TEST(files_are_put_and_got),
        TEST(a_mode_survives_a_new_content),
        TEST(ranges),
        TEST(chunked_bodies),
        TEST(a_broken_upload_leaves_nothing),
        TEST(who_expects_is_told_to_go_on),
        TEST(folders_are_made_and_removed),
        TEST(trees_are_copied_and_moved),
        TEST(properties_are_found),
        TEST(a_folder_with_many_files_is_listed_whole),
        TEST(times_of_windows_are_kept),
        cmocka_unit_test_setup_teardown(nothing_changes_in_a_folder_that_is_read_only, setup_read_only, teardown),
        cmocka_unit_test(what_is_no_folder_is_not_shared),
        TEST(the_state_of_the_machine_is_not_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
