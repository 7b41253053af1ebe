/* `casement ctl`: one request to a running machine (see control.h for what is spoken). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "commands.h"
#include "config.h"
#include "control.h"
#include "exit_codes.h"
#include "options.h"

#define ANSWER_SECONDS 60 /* a reset or a picture of a busy machine takes its time */

void ctl_help(FILE *out)
{
    fputs("casement ctl [--control SOCKET | --state FOLDER] COMMAND\n\n"
          "  status           one line about the machine\n"
          "  screenshot FILE  write the screen as PNG\n"
          "  type TEXT        type text on a US keyboard\n"
          "  key NAMES        press keys together: ctrl-alt-delete, f2, enter\n"
          "  powerdown        press the power button\n"
          "  reset            reset the machine at once\n"
          "  stop             end the machine at once\n",
          out);
}

static int fail(enum exit_code code, const char *text)
{
    fprintf(stderr, "casement: %s\n", text);
    return code;
}

static int connect_to(const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    int fd;

    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, ENAMETOOLONG, "--control %s: longer than %zu bytes; give a shorter path", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(error, errno, "a socket cannot be made: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int err = errno;

        close(fd);
        return error_set(error, err, "%s: no machine answers: %s; start one with `casement run`, or give its --state",
                         path, strerror(err));
    }
    return fd;
}

static int exchange(int fd, const char *request, size_t length, char *reply, size_t size)
{
    size_t used = 0;

    for (size_t sent = 0; sent < length;) {
        ssize_t count = send(fd, request + sent, length - sent, MSG_NOSIGNAL);

        if (count < 0 && errno != EINTR)
            break; /* a machine that refuses has answered before it closed */
        sent += count > 0 ? (size_t)count : 0;
    }
    while (used < size - 1) {
        ssize_t count = recv(fd, reply + used, size - 1 - used, 0);
        char *end;

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            return -ECONNRESET;
        end = memchr(reply + used, '\n', (size_t)count);
        used += (size_t)count;
        if (end) {
            *end = 0;
            return 0;
        }
    }
    return -EMSGSIZE;
}

static int ask(const char *socket_path, const char *request, size_t length, FILE *out)
{
    char *reply = malloc(CONTROL_LINE_MAX + 1);
    struct error error = {""};
    int failed, fd;

    if (!reply)
        return fail(EXIT_CODE_FAILED, "ctl: out of memory");
    fd = connect_to(socket_path, &error);
    failed = fd < 0 ? fd : exchange(fd, request, length, reply, CONTROL_LINE_MAX + 1);
    if (fd >= 0) {
        close(fd);
        if (failed < 0)
            error_set(&error, -failed, "%s: the machine gave no answer: %s; see its log", socket_path,
                      failed == -EAGAIN ? "it is too slow" : strerror(-failed));
        else if (!control_unescape(reply) || (strcmp(reply, "ok") != 0 && strncmp(reply, "ok ", 3) != 0))
            failed = error_set(&error, EREMOTEIO, "%.400s", !strncmp(reply, "error ", 6) ? reply + 6 : reply);
        else if (reply[2])
            fprintf(out, "%s\n", reply + 3);
    }
    free(reply);
    return failed < 0 ? fail(EXIT_CODE_FAILED, error.text) : EXIT_CODE_POWERED_OFF;
}

/* The request's line, with a picture's path made absolute: the machine has a working folder of its own. */
static int compose(int count, char **words, char *line, size_t *length, struct error *error)
{
    static const struct {
        const char *name;
        int arguments;
    } known[] = {{"status", 0},    {"screenshot", 1}, {"type", 1}, {"key", 1},
                 {"powerdown", 0}, {"reset", 0},      {"stop", 0}};
    const char *argument = count > 1 ? words[1] : "";
    char *folder = NULL, *absolute = NULL;
    size_t used, size = CONTROL_LINE_MAX;
    int arguments = -1;

    if (!count)
        return error_set(error, EINVAL, "ctl: no command; see `casement ctl --help`");
    for (size_t n = 0; n < ARRAY_SIZE(known); n++)
        if (!strcmp(words[0], known[n].name))
            arguments = known[n].arguments;
    if (arguments < 0)
        return error_set(error, EINVAL, "ctl %s: no such command; see `casement ctl --help`", words[0]);
    if (count - 1 != arguments || (arguments && !*argument))
        return error_set(error, EINVAL, "ctl %s: takes %s; see `casement ctl --help`", words[0],
                         arguments ? "one argument (put quotes around it)" : "no argument");
    if (!strcmp(words[0], "screenshot") && argument[0] != '/') {
        folder = getcwd(NULL, 0);
        if (!folder || asprintf(&absolute, "%s/%s", folder, argument) < 0) {
            free(folder);
            return error_set(error, ENOENT, "ctl screenshot %s: the working folder is gone; give an absolute path",
                             argument);
        }
        argument = absolute;
    }
    used = (size_t)snprintf(line, size, "%s%s", words[0], arguments ? " " : "");
    *length = arguments ? control_escape(argument, line + used, size - used - 1) : 0;
    free(folder);
    free(absolute);
    if (arguments && !*length)
        return error_set(error, E2BIG, "ctl %s: its argument is longer than 64 KiB; send it in parts", words[0]);
    *length += used;
    line[(*length)++] = '\n';
    return 0;
}

/* The options come first; --control and --state are those of run. The number of them, or -EINVAL with a text. */
static int count_options(int count, char **arguments, struct error *error)
{
    static const char *const known[] = {"--control", "--state"};
    int at = 0;

    while (at < count && !strncmp(arguments[at], "--", 2)) {
        bool found = false;

        for (size_t n = 0; n < ARRAY_SIZE(known); n++) {
            size_t length = strlen(known[n]);

            if (strncmp(arguments[at], known[n], length) != 0)
                continue;
            found = arguments[at][length] == '=' || !arguments[at][length];
            if (!arguments[at][length])
                at++;
            break;
        }
        if (!found)
            return error_set(error, EINVAL, "ctl %s: no option of ctl; give --control SOCKET or --state FOLDER",
                             arguments[at]);
        at++;
    }
    return MIN(at, count);
}

static char *socket_of(const struct config *config)
{
    char *path = NULL;

    if (config->control)
        return strdup(config->control);
    return asprintf(&path, "%s/control.sock", config->state) < 0 ? NULL : path;
}

int ctl_main(int count, char **arguments, FILE *out)
{
    struct config config = {0};
    struct error error;
    char *line, *path;
    size_t length = 0;
    int options, exit_code;

    if (count == 1 && !strcmp(arguments[0], "--help")) {
        ctl_help(out);
        return EXIT_CODE_POWERED_OFF;
    }
    options = count_options(count, arguments, &error);
    if (options < 0)
        return fail(EXIT_CODE_CONFIGURATION, error.text);
    if (options_parse(&config, options, arguments, &error) < 0) {
        config_free(&config);
        return fail(EXIT_CODE_CONFIGURATION, error.text);
    }
    path = socket_of(&config);
    line = malloc(CONTROL_LINE_MAX);
    if (!path || !line)
        exit_code = fail(EXIT_CODE_FAILED, "ctl: out of memory");
    else if (compose(count - options, arguments + options, line, &length, &error) < 0)
        exit_code = fail(EXIT_CODE_CONFIGURATION, error.text);
    else
        exit_code = ask(path, line, length, out);
    free(line);
    free(path);
    config_free(&config);
    return exit_code;
}
