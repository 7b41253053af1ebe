/* The control socket: who owns the file, the API on it, what hostile clients try; `casement ctl` and `casement health`
 * against it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_client.h"
#include "fake_machine.h"

#include "../../vmm/commands.h"
#include "../../vmm/control.h"
#include "../../vmm/exit_codes.h"
#include "../../vmm/viewer/web.h"

#define ASK(method, path) method " " path " HTTP/1.1\r\nHost: whatever\r\nContent-Length: 0\r\n\r\n"

static char folder[] = "/tmp/casement-control-XXXXXX";
static char path[64];
static struct fake_machine machine;
static struct loop *loop;
static struct control *control;
static struct web *web;
static struct error error;

/* page: there is one, too, with this access. */
static int start(bool page, enum access_mode mode)
{
    struct web_options options = {.ops = &fake_machine_ops,
                                  .machine = &machine,
                                  .listener = page ? web_listen("--web", "127.0.0.1", 0, &error) : -1,
                                  .access = {.mode = mode, .secret = "right-token"},
                                  .cookie = "test"};

    fake_machine_create(&machine);
    snprintf(folder, sizeof folder, "/tmp/casement-control-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/c.sock", folder);
    loop = options.main_loop = loop_create("main");
    if (!loop || control_create(path, &control, &error) < 0)
        return -1;
    options.control = control_socket(control);
    return web_create(&options, &web, &error) < 0 || loop_start(loop) < 0 ? -1 : 0;
}

static int setup(void **state)
{
    (void)state;
    return start(false, ACCESS_OPEN);
}

static int setup_token(void **state)
{
    (void)state;
    return start(true, ACCESS_TOKEN);
}

static int setup_password(void **state)
{
    (void)state;
    return start(true, ACCESS_PASSWORD);
}

static int teardown(void **state)
{
    (void)state;
    loop_stop(loop);
    web_destroy(web);
    control_destroy(control);
    loop_destroy(loop);
    fake_machine_destroy(&machine);
    /* The socket is gone, so the folder is empty. */
    return rmdir(folder);
}

static int dial(const char *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", to);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -errno;
    }
    return fd;
}

/* No secret, no rule about names: who opened the socket may. */
static void the_api_is_served_without_a_secret(void **state)
{
    int fd = client_dial_unix(path);

    (void)state;
    assert_int_equal(client_ask(fd, ASK("GET", "/api/v1/status")), 200);
    assert_non_null(strstr(client_body(), "\"phase\":\"running\""));
    assert_int_equal(client_ask(fd, ASK("POST", "/api/v1/power/reset")), 204);
    assert_string_equal(fake_machine_last(&machine), "power(reset)");
    assert_int_equal(client_ask(fd, ASK("GET", "/metrics")), 200);
    assert_int_equal(client_ask(fd, ASK("POST", "/api/v1/nothing")), 404);
    close(fd);
}

static void malformed_requests_do_nothing(void **state)
{
    static const char *const bad[] = {"status\n",
                                      "\r\n\r\n",
                                      "\x01\x7f\xff\n",
                                      "POST\r\n\r\n",
                                      "GET  HTTP/1.1\r\n\r\n",
                                      "POST /api/v1/power/off HTTP/1.1\r\nContent-Length: x\r\n\r\n"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        int fd = client_dial_unix(path);

        client_send(fd, bad[n], strlen(bad[n]));
        shutdown(fd, SHUT_WR);
        assert_true(client_ended(fd));
        close(fd);
    }
    assert_int_equal(fake_machine_calls(&machine), 0);
}

static void a_client_that_never_reads_does_not_hold_up_others(void **state)
{
    int deaf = client_dial_unix(path), fd = client_dial_unix(path);
    unsigned sends = 0;
    ssize_t sent;

    (void)state;
    do
        sent =
            send(deaf, ASK("GET", "/api/v1/status"), strlen(ASK("GET", "/api/v1/status")), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent > 0 && ++sends < 1000000);
    assert_int_equal(client_ask(fd, ASK("POST", "/api/v1/power/button")), 204);
    close(fd);
    close(deaf);
}

static void its_places_are_bounded(void **state)
{
    int fds[WEB_CONTROL_CONNECTIONS], extra;

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++) {
        fds[n] = client_dial_unix(path);
        assert_int_equal(client_ask(fds[n], ASK("GET", "/healthz")), 200);
    }
    extra = client_dial_unix(path);
    assert_int_equal(client_ask(extra, ASK("GET", "/healthz")), 0);
    close(extra);
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++)
        assert_int_equal(client_ask(fds[n], ASK("GET", "/healthz")), 200);
    close(fds[3]);
    /* The place is free once the server has seen the hang-up, which it does before long. */
    for (unsigned status = 0; status != 200;) {
        fds[3] = client_dial_unix(path);
        status = client_ask(fds[3], ASK("GET", "/healthz"));
        if (status != 200)
            close(fds[3]);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(fds); n++)
        close(fds[n]);
}

static void only_the_owner_can_open_it(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void a_live_socket_is_refused_and_a_dead_one_replaced(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct control *second = NULL;
    char other[64];
    int fd;

    (void)state;
    assert_int_equal(control_create(path, &second, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, "a machine is running with it"));
    assert_null(second);
    /* What a killed machine leaves: a file that nobody listens on. */
    snprintf(other, sizeof other, "%s/d.sock", folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", other);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(dial(other), -ECONNREFUSED);
    assert_int_equal(control_create(other, &second, &error), 0);
    fd = dial(other);
    assert_true(fd >= 0);
    close(fd);
    control_destroy(second);
    assert_int_equal(access(other, F_OK), -1);
}

static void what_is_not_ours_stays(void **state)
{
    struct control *second = NULL;
    char other[64], far[256];
    FILE *file;

    (void)state;
    snprintf(other, sizeof other, "%s/file", folder);
    file = fopen(other, "we");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(control_create(other, &second, &error), -EEXIST);
    assert_int_equal(access(other, F_OK), 0);
    unlink(other);
    /* Somebody took the socket away and put a file in its place: that file is not ours to remove. */
    assert_int_equal(control_create(other, &second, &error), 0);
    unlink(other);
    file = fopen(other, "we");
    assert_non_null(file);
    fclose(file);
    control_destroy(second);
    assert_int_equal(access(other, F_OK), 0);
    unlink(other);
    memset(far, 'a', sizeof far - 1);
    far[sizeof far - 1] = 0;
    assert_int_equal(control_create(far, &second, &error), -ENAMETOOLONG);
    snprintf(other, sizeof other, "%s/no/folder", folder);
    assert_int_equal(control_create(other, &second, &error), -ENOENT);
}

/* `casement ctl --control path words...`: its exit status; what it printed is in printed. */
static char printed[512];
static int ctl_words(int count, const char *const *words)
{
    char *arguments[8] = {(char *)"--control", path};
    FILE *out = fmemopen(printed, sizeof printed, "w");
    int exit_code;

    printed[0] = 0;
    assert_non_null(out);
    for (int n = 0; n < count; n++)
        arguments[2 + n] = (char *)words[n];
    exit_code = ctl_main(2 + count, arguments, out);
    fclose(out);
    return exit_code;
}
#define CTL(...) \
    ctl_words(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

static void ctl_speaks_to_it(void **state)
{
    static char text[60000];
    char picture[128];
    struct stat info;

    (void)state;
    assert_int_equal(CTL("status"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(printed, "running cpus=2 memory=2048M resets=0 display=1280x800\n");
    assert_int_equal(CTL("type", "two words\n"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "text(two words\n)");
    assert_int_equal(CTL("type", "--layout", "de", "y\\"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "text(y\\)de");
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(CTL("type", text), EXIT_CODE_POWERED_OFF);
    assert_int_equal(strlen(fake_machine_last(&machine)), sizeof text - 1 + strlen("text()"));
    assert_int_equal(CTL("key", "ctrl-alt-delete"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "keys(ctrl-alt-delete)");
    assert_int_equal(CTL("pointer", "1", "32767"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "pointer(1,32767,0,0,0)");
    assert_int_equal(CTL("pointer", "1", "2", "4", "-1"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "pointer(1,2,4,-1,0)");
    assert_int_equal(CTL("unplug", "keyboard"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "unplug(keyboard)");
    assert_int_equal(CTL("plug", "mouse"), EXIT_CODE_FAILED);
    assert_int_equal(CTL("grow", "disk0", "3G"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "grow(disk0,3221225472)");
    assert_int_equal(CTL("grow", "disk7", "3G"), EXIT_CODE_FAILED);
    assert_int_equal(CTL("grow", "disk0", "3M"), EXIT_CODE_FAILED);
    assert_int_equal(CTL("powerdown"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "power(button)");
    assert_int_equal(CTL("reset"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "power(reset)");
    assert_int_equal(CTL("stop"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "power(off)");
    assert_int_equal(CTL("api", "GET", "/api/v1/layouts"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(printed, "[\"us\",\"de\"]\n");
    assert_int_equal(CTL("api", "POST", "/api/v1/input/keys", "{\"keys\": \"f2\"}"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(fake_machine_last(&machine), "keys(f2)");
    snprintf(picture, sizeof picture, "%s/a.png", folder);
    assert_int_equal(CTL("screenshot", picture), EXIT_CODE_POWERED_OFF);
    assert_int_equal(stat(picture, &info), 0);
    assert_int_equal(info.st_size, 1000);
    unlink(picture);
    assert_int_equal(CTL("screenshot", "/nonexistent/a.png"), EXIT_CODE_FAILED);
}

/* In an image without a shell nobody can read the file that it is kept in. */
static void ctl_tells_the_token(void **state)
{
    (void)state;
    assert_int_equal(CTL("token"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(printed, "right-token\n");
    assert_int_equal(CTL("token", "x"), EXIT_CODE_CONFIGURATION);
}

static void a_password_is_not_told(void **state)
{
    int fd = client_dial_unix(path);

    (void)state;
    assert_int_equal(CTL("token"), EXIT_CODE_FAILED);
    assert_string_equal(printed, "");
    assert_int_equal(client_ask(fd, ASK("GET", "/api/v1/token")), 409);
    assert_non_null(strstr(client_body(), "asks for no token"));
    close(fd);
}

static void without_a_page_there_is_no_token(void **state)
{
    int fd = client_dial_unix(path);

    (void)state;
    assert_int_equal(client_ask(fd, ASK("GET", "/api/v1/token")), 409);
    assert_non_null(strstr(client_body(), "there is no page"));
    close(fd);
}

static void ctl_refuses_what_it_does_not_know(void **state)
{
    char *no_machine[] = {(char *)"--state=/nonexistent/casement", (char *)"status"};
    char *wrong_option[] = {(char *)"--cpus=2", (char *)"status"};
    char *no_value[] = {(char *)"--control"};

    (void)state;
    assert_int_equal(ctl_words(0, NULL), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("frobnicate"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("type"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("type", ""), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("type", "--layout", "de"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("type", "\xff"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("reset", "now"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("pointer", "1"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("pointer", "1", "x"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("plug", "a/b"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("grow", "disk0"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("grow", "../disk0", "3G"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("grow", "disk0", "large"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("grow", "disk0", "-3G"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("grow", "disk0", "9000000T"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("api", "GET", "status"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("api", "POST", "/api/v1/input/keys", "{"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(CTL("api", "GET", "/nothing"), EXIT_CODE_FAILED);
    assert_int_equal(ctl_main(2, wrong_option, stdout), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl_main(1, no_value, stdout), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl_main(2, no_machine, stdout), EXIT_CODE_FAILED);
    assert_int_equal(fake_machine_calls(&machine), 0);
}

static int health(int count, const char *first, const char *second)
{
    char *arguments[] = {(char *)first, (char *)second};
    FILE *out = fmemopen(printed, sizeof printed, "w");
    int exit_code;

    assert_non_null(out);
    exit_code = health_main(count, arguments, out);
    fclose(out);
    return exit_code;
}

static void health_is_one_line_and_0_or_1(void **state)
{
    char option[sizeof path + 16];

    (void)state;
    snprintf(option, sizeof option, "--control=%s", path);
    assert_int_equal(health(1, option, NULL), EXIT_CODE_POWERED_OFF);
    assert_string_equal(printed, "running cpus=2 memory=2048M resets=0 display=1280x800\n");
    assert_int_equal(health(2, "--control", path), EXIT_CODE_POWERED_OFF);
    assert_int_equal(health(2, "--state", "/nonexistent/casement"), EXIT_CODE_FAILED);
    assert_int_equal(health(1, "--cpus=2", NULL), EXIT_CODE_FAILED);
    /* No command for the machine comes through. */
    assert_int_equal(health(1, "reset", NULL), EXIT_CODE_FAILED);
    assert_int_equal(health(2, "type", "text"), EXIT_CODE_FAILED);
    assert_int_equal(health(2, option, "reset"), EXIT_CODE_FAILED);
    assert_int_equal(fake_machine_calls(&machine), 0);
}

static void health_is_the_containers_without_an_option(void **state)
{
    char link[sizeof path + 16];

    (void)state;
    snprintf(link, sizeof link, "%s/control.sock", folder);
    assert_int_equal(setenv("STORAGE", folder, 1), 0);
    assert_int_equal(health(0, NULL, NULL), EXIT_CODE_FAILED);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(health(0, NULL, NULL), EXIT_CODE_POWERED_OFF);
    /* Variables that begin with CASEMENT_ come before. */
    assert_int_equal(setenv("CASEMENT_STATE", "/nonexistent/casement", 1), 0);
    assert_int_equal(health(0, NULL, NULL), EXIT_CODE_FAILED);
    assert_int_equal(setenv("CASEMENT_CONTROL", path, 1), 0);
    assert_int_equal(health(0, NULL, NULL), EXIT_CODE_POWERED_OFF);
    unsetenv("CASEMENT_CONTROL");
    unsetenv("CASEMENT_STATE");
    unsetenv("STORAGE");
    unlink(link);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_api_is_served_without_a_secret),
        TEST(malformed_requests_do_nothing),
        TEST(a_client_that_never_reads_does_not_hold_up_others),
        TEST(its_places_are_bounded),
        TEST(only_the_owner_can_open_it),
        TEST(a_live_socket_is_refused_and_a_dead_one_replaced),
        TEST(what_is_not_ours_stays),
        TEST(ctl_speaks_to_it),
        cmocka_unit_test_setup_teardown(ctl_tells_the_token, setup_token, teardown),
        cmocka_unit_test_setup_teardown(a_password_is_not_told, setup_password, teardown),
        TEST(without_a_page_there_is_no_token),
        TEST(ctl_refuses_what_it_does_not_know),
        TEST(health_is_one_line_and_0_or_1),
        TEST(health_is_the_containers_without_an_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
