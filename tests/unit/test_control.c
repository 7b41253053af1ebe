/* The control socket: what clients ask, what hostile ones try, who owns the file; and `casement ctl` against it. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/commands.h"
#include "../../vmm/control.h"
#include "../../vmm/exit_codes.h"

/* A machine that writes down what it is asked; touched by the loop's thread, read after an answer came. */
static struct {
    char last[CONTROL_LINE_MAX + 32];
    unsigned calls;
} machine;

static char folder[] = "/tmp/casement-control-XXXXXX";
static char path[64];
static struct loop *loop;
static struct control *control;
static struct error error;

static int note(const char *what, const char *argument)
{
    snprintf(machine.last, sizeof machine.last, "%s(%s)", what, argument);
    machine.calls++;
    return 0;
}

static int op_status(void *opaque, char *text, size_t size)
{
    (void)opaque;
    snprintf(text, size, "running\ncpus=2 \\o/");
    return note("status", "");
}

static int op_screenshot(void *opaque, const char *file, struct error *e)
{
    (void)opaque;
    note("screenshot", file);
    return strstr(file, "denied") ? error_set(e, EACCES, "screenshot %s: no permission; name another", file) : 0;
}

static int op_type(void *opaque, const char *text, struct error *e)
{
    (void)opaque;
    (void)e;
    return note("type", text);
}

static int op_key(void *opaque, const char *names, struct error *e)
{
    (void)opaque;
    (void)e;
    return note("key", names);
}

static int op_powerdown(void *opaque, struct error *e)
{
    (void)opaque;
    (void)e;
    return note("powerdown", "");
}

static int op_reset(void *opaque, struct error *e)
{
    (void)opaque;
    (void)e;
    return note("reset", "");
}

static int op_stop(void *opaque, struct error *e)
{
    (void)opaque;
    (void)e;
    return note("stop", "");
}

static const struct control_ops ops = {op_status, op_screenshot, op_type, op_key, op_powerdown, op_reset, op_stop};

static int setup(void **state)
{
    (void)state;
    memset(&machine, 0, sizeof machine);
    snprintf(folder, sizeof folder, "/tmp/casement-control-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/c.sock", folder);
    loop = loop_create("control");
    if (!loop || control_create(loop, path, &ops, &machine, &control, &error) < 0)
        return -1;
    return loop_start(loop);
}

static int teardown(void **state)
{
    (void)state;
    loop_stop(loop);
    control_destroy(control);
    loop_destroy(loop);
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

static void say(int fd, const char *text, size_t length)
{
    while (length) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);

        if (sent < 0)
            return; /* the server hung up; what it answered can still be read */
        text += sent;
        length -= (size_t)sent;
    }
}

/* One line without its end; an empty text when the connection ended. */
static const char *hear(int fd)
{
    static char line[CONTROL_LINE_MAX + 1];
    size_t used = 0;

    while (used < sizeof line - 1 && recv(fd, line + used, 1, 0) == 1 && line[used] != '\n')
        used++;
    line[used] = 0;
    return line;
}

static const char *ask(int fd, const char *request)
{
    say(fd, request, strlen(request));
    return hear(fd);
}

static void every_command_reaches_the_machine(void **state)
{
    static const struct {
        const char *request, *call;
    } commands[] = {
        {"screenshot /tmp/a b.png\n", "screenshot(/tmp/a b.png)"},
        {"type Hello\\n\\tworld \\\\\n", "type(Hello\n\tworld \\)"},
        {"key ctrl-alt-delete\n", "key(ctrl-alt-delete)"},
        {"powerdown\n", "powerdown()"},
        {"reset\n", "reset()"},
        {"stop\n", "stop()"},
    };
    int fd = dial(path);

    (void)state;
    assert_true(fd >= 0);
    assert_string_equal(ask(fd, "status\n"), "ok running\\ncpus=2 \\\\o/");
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        assert_string_equal(ask(fd, commands[n].request), "ok");
        assert_string_equal(machine.last, commands[n].call);
    }
    assert_string_equal(ask(fd, "screenshot /denied\n"), "error screenshot /denied: no permission; name another");
    close(fd);
}

static void malformed_requests_are_answered_and_nothing_is_done(void **state)
{
    static const char *const bad[] = {
        "\n",        " \n",         "frobnicate\n",   "status now\n",
        "type\n",    "type \n",     "stop please\n",  "STOP\n",
        "type \\\n", "type a\\x\n", "screenshot\n",   "screenshot relative.png\n",
        "key\n",     "reset \n",    "\x01\x7f\xff\n",
    };
    int fd = dial(path);

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        assert_memory_equal(ask(fd, bad[n]), "error ", 6);
    say(fd, "stop\0x\n", 7);
    assert_memory_equal(hear(fd), "error ", 6);
    assert_int_equal(machine.calls, 0);
    assert_memory_equal(ask(fd, "status\n"), "ok ", 3);
    close(fd);
}

static void requests_arrive_in_pieces_and_in_bunches(void **state)
{
    static const char whole[] = "powerdown\nkey f2\nstatus\n";
    int fd = dial(path);

    (void)state;
    for (size_t n = 0; n < sizeof whole - 1; n++)
        say(fd, whole + n, 1);
    assert_string_equal(hear(fd), "ok");
    assert_string_equal(hear(fd), "ok");
    assert_memory_equal(hear(fd), "ok running", 10);
    say(fd, whole, sizeof whole - 1);
    assert_string_equal(hear(fd), "ok");
    assert_string_equal(hear(fd), "ok");
    assert_memory_equal(hear(fd), "ok running", 10);
    /* Half a request and a hang-up do nothing. */
    say(fd, "stop", 4);
    close(fd);
    fd = dial(path);
    assert_memory_equal(ask(fd, "status\n"), "ok", 2);
    assert_string_equal(machine.last, "status()");
    close(fd);
}

static void requests_are_bounded(void **state)
{
    char *request = malloc(2 * CONTROL_LINE_MAX);
    int fd = dial(path);

    (void)state;
    assert_non_null(request);
    memset(request, 'a', 2 * (size_t)CONTROL_LINE_MAX);
    snprintf(request, 6, "type ");
    request[5] = 'a';
    request[CONTROL_LINE_MAX - 1] = '\n';
    say(fd, request, CONTROL_LINE_MAX);
    assert_string_equal(hear(fd), "ok");
    assert_int_equal(strlen(machine.last), CONTROL_LINE_MAX - 1 - 5 + strlen("type()"));
    request[CONTROL_LINE_MAX - 1] = 'a';
    say(fd, request, 2 * (size_t)CONTROL_LINE_MAX);
    assert_non_null(strstr(hear(fd), "64 KiB"));
    assert_string_equal(hear(fd), "");
    assert_int_equal(machine.calls, 1);
    close(fd);
    free(request);
}

static void a_client_that_never_reads_does_not_hold_up_others(void **state)
{
    int deaf = dial(path), fd = dial(path);
    unsigned sends = 0;
    ssize_t sent;

    (void)state;
    /* The server stops reading from it once its answers do not go away, so that its own send would block. */
    do
        sent = send(deaf, "status\nstatus\nstatus\nstatus\n", 28, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent > 0 && ++sends < 1000000);
    assert_memory_equal(ask(fd, "powerdown\n"), "ok", 2);
    close(fd);
    close(deaf);
}

static void there_are_eight_places(void **state)
{
    int fds[CONTROL_CLIENTS], extra;

    (void)state;
    for (unsigned n = 0; n < CONTROL_CLIENTS; n++) {
        fds[n] = dial(path);
        assert_memory_equal(ask(fds[n], "status\n"), "ok", 2);
    }
    extra = dial(path);
    assert_non_null(strstr(hear(extra), "try again later"));
    assert_string_equal(hear(extra), "");
    close(extra);
    for (unsigned n = 0; n < CONTROL_CLIENTS; n++)
        assert_memory_equal(ask(fds[n], "status\n"), "ok", 2);
    close(fds[3]);
    /* The place is free once the server has seen the hang-up, which it does before long. */
    for (const char *line = "error"; line[0] != 'o';) {
        fds[3] = dial(path);
        line = ask(fds[3], "status\n");
        if (line[0] != 'o')
            close(fds[3]);
    }
    for (unsigned n = 0; n < CONTROL_CLIENTS; n++)
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
    struct loop *second_loop = loop_create("second");
    struct control *second = NULL;
    char other[64];
    int fd;

    (void)state;
    assert_int_equal(control_create(second_loop, path, &ops, &machine, &second, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, "a machine is running with it"));
    assert_null(second);
    /* What a killed machine leaves: a file that nobody listens on. */
    snprintf(other, sizeof other, "%s/d.sock", folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", other);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(dial(other), -ECONNREFUSED);
    assert_int_equal(control_create(second_loop, other, &ops, &machine, &second, &error), 0);
    fd = dial(other);
    assert_true(fd >= 0);
    close(fd);
    control_destroy(second);
    assert_int_equal(access(other, F_OK), -1);
    loop_destroy(second_loop);
}

static void what_is_not_ours_stays(void **state)
{
    struct loop *second_loop = loop_create("second");
    struct control *second = NULL;
    char other[64], far[256];
    FILE *file;

    (void)state;
    snprintf(other, sizeof other, "%s/file", folder);
    file = fopen(other, "we");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(control_create(second_loop, other, &ops, &machine, &second, &error), -EEXIST);
    assert_int_equal(access(other, F_OK), 0);
    unlink(other);
    /* Somebody took the socket away and put a file in its place: that file is not ours to remove. */
    assert_int_equal(control_create(second_loop, other, &ops, &machine, &second, &error), 0);
    unlink(other);
    file = fopen(other, "we");
    assert_non_null(file);
    fclose(file);
    control_destroy(second);
    assert_int_equal(access(other, F_OK), 0);
    unlink(other);
    memset(far, 'a', sizeof far - 1);
    far[sizeof far - 1] = 0;
    assert_int_equal(control_create(second_loop, far, &ops, &machine, &second, &error), -ENAMETOOLONG);
    snprintf(other, sizeof other, "%s/no/folder", folder);
    assert_int_equal(control_create(second_loop, other, &ops, &machine, &second, &error), -ENOENT);
    loop_destroy(second_loop);
}

static void escapes_go_both_ways(void **state)
{
    char text[64];

    (void)state;
    assert_int_equal(control_escape("a\nb\\", text, sizeof text), 6);
    assert_string_equal(text, "a\\nb\\\\");
    assert_true(control_unescape(text));
    assert_string_equal(text, "a\nb\\");
    assert_int_equal(control_escape("abcd", text, 5), 4);
    assert_int_equal(control_escape("abcde", text, 5), 0);
    assert_int_equal(control_escape("abc\n", text, 5), 0);
}

/* `casement ctl --control path words...`: its exit status; what it printed is in printed. */
static char printed[256];
static int ctl(const char *first, const char *second)
{
    char *arguments[] = {(char *)"--control", path, (char *)first, (char *)second};
    FILE *out = fmemopen(printed, sizeof printed, "w");
    int exit_code;

    assert_non_null(out);
    exit_code = ctl_main(second ? 4 : first ? 3 : 2, arguments, out);
    fclose(out);
    return exit_code;
}

static void ctl_speaks_to_it(void **state)
{
    char here[512], *cwd = getcwd(NULL, 0);

    (void)state;
    assert_int_equal(ctl("status", NULL), EXIT_CODE_POWERED_OFF);
    assert_string_equal(printed, "running\ncpus=2 \\o/\n");
    assert_int_equal(ctl("type", "two words\n"), EXIT_CODE_POWERED_OFF);
    assert_string_equal(machine.last, "type(two words\n)");
    /* The machine's working folder is not the client's. */
    assert_int_equal(ctl("screenshot", "a.png"), EXIT_CODE_POWERED_OFF);
    snprintf(here, sizeof here, "screenshot(%s/a.png)", cwd);
    assert_string_equal(machine.last, here);
    assert_int_equal(ctl("screenshot", "/denied"), EXIT_CODE_FAILED);
    free(cwd);
}

static void ctl_refuses_what_it_does_not_know(void **state)
{
    char *no_machine[] = {(char *)"--state=/nonexistent/casement", (char *)"status"};
    char *wrong_option[] = {(char *)"--cpus=2", (char *)"status"};
    char *no_value[] = {(char *)"--control"};

    (void)state;
    assert_int_equal(ctl(NULL, NULL), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl("frobnicate", NULL), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl("type", NULL), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl("type", ""), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl("reset", "now"), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl_main(2, wrong_option, stdout), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl_main(1, no_value, stdout), EXIT_CODE_CONFIGURATION);
    assert_int_equal(ctl_main(2, no_machine, stdout), EXIT_CODE_FAILED);
    assert_int_equal(machine.calls, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_command_reaches_the_machine),
        TEST(malformed_requests_are_answered_and_nothing_is_done),
        TEST(requests_arrive_in_pieces_and_in_bunches),
        TEST(requests_are_bounded),
        TEST(a_client_that_never_reads_does_not_hold_up_others),
        TEST(there_are_eight_places),
        TEST(only_the_owner_can_open_it),
        TEST(a_live_socket_is_refused_and_a_dead_one_replaced),
        TEST(what_is_not_ours_stays),
        cmocka_unit_test(escapes_go_both_ways),
        TEST(ctl_speaks_to_it),
        TEST(ctl_refuses_what_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
