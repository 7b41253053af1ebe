/* `casement ctl`: calls the API of a running machine over its control socket (docs/openapi.yaml). */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "commands.h"
#include "config.h"
#include "exit_codes.h"
#include "options.h"
#include "size.h"

#define ANSWER_SECONDS 60L /* a reset or a picture of a busy machine takes its time */
#define ANSWER_MAX (64 * MiB)

void ctl_help(FILE *out)
{
    fputs("casement ctl [--control SOCKET | --state FOLDER] COMMAND\n\n"
          "  status                            one line about the machine\n"
          "  screenshot FILE                   write the screen as PNG\n"
          "  type [--layout LAYOUT] TEXT       type text on a keyboard (without a layout: the machine's)\n"
          "  key NAMES                         press keys together: ctrl-alt-delete, f2, enter\n"
          "  pointer X Y [BUTTONS [WHEEL]]     put the pointer there (0 to 32767); buttons 1 left, 2 right, 4 middle\n"
          "  plug NAME, unplug NAME            a USB device, such as keyboard or tablet\n"
          "  grow DISK SIZE                    make a disk larger: disk0, disk1, ... in the order of --disk; 20G\n"
          "  token                             print the token that the page asks for\n"
          "  powerdown                         press the power button\n"
          "  reset                             reset the machine at once\n"
          "  stop                              end the machine at once\n"
          "  api METHOD PATH [JSON]            any call of the API; prints what it answers\n",
          out);
}

static int fail(enum exit_code code, const char *text)
{
    fprintf(stderr, "casement: %s\n", text);
    return code;
}

/* One call and what came back. */
struct call {
    const char *method;
    char path[256];
    json_t *body; /* NULL: none */
    long status;
    char *answer; /* size bytes and a 0 */
    size_t size;
};

static size_t take_answer(char *data, size_t one, size_t count, void *opaque)
{
    struct call *call = opaque;
    size_t more = one * count;
    char *larger = more > ANSWER_MAX - call->size ? NULL : realloc(call->answer, call->size + more + 1);

    if (!larger)
        return 0;
    memcpy(larger + call->size, data, more);
    call->answer = larger;
    call->size += more;
    larger[call->size] = 0;
    return more;
}

static int no_answer(const char *socket_path, CURLcode code, CURL *curl, struct error *error)
{
    long number = 0;

    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_COULDNT_CONNECT)
        return error_set(error, ENOTCONN,
                         "%s: no machine answers: %s; start one with `casement run`, or give its --state", socket_path,
                         number ? strerror((int)number) : curl_easy_strerror(code));
    return error_set(error, EIO, "%s: the machine gave no answer: %s; see its log", socket_path,
                     code == CURLE_OPERATION_TIMEDOUT ? "it is too slow" : curl_easy_strerror(code));
}

static int perform(const char *socket_path, struct call *call, struct error *error)
{
    CURL *curl = curl_easy_init();
    char *body = call->body ? json_dumps(call->body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL, url[320];
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURLcode code = CURLE_OUT_OF_MEMORY;

    if (curl && headers && (body || !call->body)) {
        snprintf(url, sizeof url, "http://localhost%s", call->path);
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_SECONDS);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
        if (strcmp(call->method, "GET") != 0) {
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "");
            curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        }
        code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &call->status);
    }
    if (code != CURLE_OK)
        no_answer(socket_path, code, curl, error);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(body);
    return code == CURLE_OK ? 0 : -EIO;
}

/* What the machine says is wrong (RFC 9457). */
static int refused(const struct call *call, struct error *error)
{
    json_t *problem = call->answer ? json_loadb(call->answer, call->size, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));

    if (!detail)
        detail = json_string_value(json_object_get(problem, "title"));
    error_set(error, EREMOTEIO, "%.400s", detail ? detail : "the machine refuses");
    json_decref(problem);
    return -EREMOTEIO;
}

/* Commands: what each one asks for, and what it prints. */

static int64_t integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value ? value : "";
}

static int print_status(const struct call *call, const char *argument, FILE *out, struct error *error)
{
    json_t *status = json_loadb(call->answer, call->size, 0, NULL), *display = json_object_get(status, "display");
    const char *waits_for = text(status, "waits_for");

    (void)argument;
    (void)error;
    fprintf(out, "%s cpus=%" PRId64 " memory=%" PRId64 "M resets=%" PRId64 " display=%" PRId64 "x%" PRId64,
            text(status, "phase"), integer(status, "cpus"), integer(status, "memory_bytes") / (int64_t)MiB,
            integer(status, "resets"), integer(display, "width"), integer(display, "height"));
    if (*waits_for)
        fprintf(out, " waits-for=\"%s\"", waits_for);
    fputc('\n', out);
    json_decref(status);
    return 0;
}

static int print_answer(const struct call *call, const char *argument, FILE *out, struct error *error)
{
    (void)argument;
    (void)error;
    fwrite(call->answer, call->size, 1, out);
    if (call->size && call->answer[call->size - 1] != '\n')
        fputc('\n', out);
    return 0;
}

/* Complete or not at all: another name first. */
static int write_picture(const struct call *call, const char *path, FILE *out, struct error *error)
{
    char *temporary = NULL;
    FILE *file;
    int failed = 0;

    (void)out;
    if (asprintf(&temporary, "%s.part", path) < 0)
        return error_set(error, ENOMEM, "ctl screenshot: out of memory");
    file = fopen(temporary, "we");
    if (!file || fwrite(call->answer, 1, call->size, file) != call->size)
        failed = -errno;
    if (file && fclose(file) != 0)
        failed = -errno;
    if (failed == 0 && rename(temporary, path) < 0)
        failed = -errno;
    if (failed < 0) {
        error_set(error, -failed, "%s: the picture cannot be written: %s; name a file in a folder that is writable",
                  path, strerror(-failed));
        if (file)
            unlink(temporary);
    }
    free(temporary);
    return failed;
}

static int number(const char *command, const char *word, json_t *object, const char *name, struct error *error)
{
    char *end;
    long long value = strtoll(word, &end, 10);

    if (!*word || *end)
        return error_set(error, EINVAL, "ctl %s: %s is no number; see `casement ctl --help`", command, word);
    return json_object_set_new(object, name, json_integer(value));
}

static int ask_pointer(int count, char **words, struct call *call, struct error *error)
{
    static const char *const names[] = {"x", "y", "buttons", "wheel"};
    int failed = 0;

    call->body = json_object();
    for (int n = 1; n < count && failed == 0; n++)
        failed = number(words[0], words[n], call->body, names[n - 1], error);
    return failed;
}

static int ask_type(int count, char **words, struct call *call, struct error *error)
{
    bool layout = count == 4 && !strcmp(words[1], "--layout");

    if (count != 2 && !layout)
        return error_set(error, EINVAL,
                         "ctl type: takes one argument (put quotes around it), behind --layout NAME if need be; see "
                         "`casement ctl --help`");
    call->body =
        layout ? json_pack("{s:s, s:s}", "text", words[3], "layout", words[2]) : json_pack("{s:s}", "text", words[1]);
    return call->body && *words[count - 1]
               ? 0
               : error_set(error, EINVAL,
                           "ctl type: takes one argument, which is UTF-8 text; see `casement ctl --help`");
}

static int ask_key(int count, char **words, struct call *call, struct error *error)
{
    (void)count;
    call->body = json_pack("{s:s}", "keys", words[1]);
    return call->body ? 0 : error_set(error, EINVAL, "ctl key: its argument is no UTF-8 text");
}

/* What may stand in a path. */
static bool is_name(const char *word)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    return *word && !word[strspn(word, good)] && strlen(word) < 32;
}

static int ask_grow(int count, char **words, struct call *call, struct error *error)
{
    uint64_t size;
    int failed;

    (void)count;
    if (!is_name(words[1]))
        return error_set(error, EINVAL, "ctl grow: %.64s is no disk; give disk0, disk1, ... in the order of --disk",
                         words[1]);
    failed = size_parse(words[2], &size, error);
    if (failed == 0 && size > INT64_MAX)
        failed = error_set(error, EINVAL, "ctl grow: %.64s: more than a disk can have; give less", words[2]);
    if (failed < 0)
        return failed;
    snprintf(call->path, sizeof call->path, "/api/v1/disks/%s/size", words[1]);
    call->body = json_pack("{s:I}", "bytes", (json_int_t)size);
    return call->body ? 0 : error_set(error, ENOMEM, "ctl grow: out of memory");
}

static int ask_plug(int count, char **words, struct call *call, struct error *error)
{
    (void)count;
    if (!is_name(words[1]))
        return error_set(error, EINVAL, "ctl %s: %.64s is no device; see `casement ctl api GET /api/v1/usb`", words[0],
                         words[1]);
    snprintf(call->path, sizeof call->path, "/api/v1/usb/%s/%s", words[1], words[0]);
    return 0;
}

static int ask_api(int count, char **words, struct call *call, struct error *error)
{
    json_error_t problem;

    if (words[2][0] != '/' || strlen(words[2]) >= sizeof call->path || strpbrk(words[2], " \r\n"))
        return error_set(error, EINVAL, "ctl api: %.64s is no path; for example /api/v1/status", words[2]);
    call->method = words[1];
    snprintf(call->path, sizeof call->path, "%s", words[2]);
    if (count < 4)
        return 0;
    call->body = json_loads(words[3], JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &problem);
    return call->body ? 0 : error_set(error, EINVAL, "ctl api: the body is no JSON: %s", problem.text);
}

static const struct command {
    const char *name, *method, *path;
    int least, most;   /* arguments */
    const char *takes; /* them, in words */
    int (*ask)(int count, char **words, struct call *call, struct error *error);
    int (*print)(const struct call *call, const char *argument, FILE *out, struct error *error);
} commands[] = {
    {"status", "GET", "/api/v1/status", 0, 0, "no argument", NULL, print_status},
    {"screenshot", "GET", "/api/v1/screenshot.png", 1, 1, "one argument (put quotes around it)", NULL, write_picture},
    {"type", "POST", "/api/v1/input/text", 1, 3, "one argument (put quotes around it), behind --layout NAME if need be",
     ask_type, NULL},
    {"key", "POST", "/api/v1/input/keys", 1, 1, "one argument (put quotes around it)", ask_key, NULL},
    {"pointer", "POST", "/api/v1/input/pointer", 2, 4, "two to four numbers", ask_pointer, NULL},
    {"plug", "POST", "", 1, 1, "the name of a device", ask_plug, NULL},
    {"unplug", "POST", "", 1, 1, "the name of a device", ask_plug, NULL},
    {"grow", "POST", "", 2, 2, "a disk and its new size", ask_grow, NULL},
    {"token", "GET", "/api/v1/token", 0, 0, "no argument", NULL, print_answer},
    {"powerdown", "POST", "/api/v1/power/button", 0, 0, "no argument", NULL, NULL},
    {"reset", "POST", "/api/v1/power/reset", 0, 0, "no argument", NULL, NULL},
    {"stop", "POST", "/api/v1/power/off", 0, 0, "no argument", NULL, NULL},
    {"api", "GET", "", 2, 3, "a method, a path, and perhaps a body", ask_api, print_answer},
};

static const struct command *find_command(int count, char **words, struct error *error)
{
    const struct command *command = NULL;

    if (!count) {
        error_set(error, EINVAL, "ctl: no command; see `casement ctl --help`");
        return NULL;
    }
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++)
        if (!strcmp(words[0], commands[n].name))
            command = &commands[n];
    if (!command) {
        error_set(error, EINVAL, "ctl %s: no such command; see `casement ctl --help`", words[0]);
        return NULL;
    }
    if (count - 1 >= command->least && count - 1 <= command->most && (command->least != 1 || *words[1]))
        return command;
    error_set(error, EINVAL, "ctl %s: takes %s; see `casement ctl --help`", words[0], command->takes);
    return NULL;
}

static int run(const char *socket_path, int count, char **words, FILE *out)
{
    struct error error = {""};
    struct call call = {0};
    const struct command *command = find_command(count, words, &error);
    int failed, exit_code = EXIT_CODE_CONFIGURATION;

    if (!command)
        return fail(EXIT_CODE_CONFIGURATION, error.text);
    call.method = command->method;
    snprintf(call.path, sizeof call.path, "%s", command->path);
    failed = command->ask ? command->ask(count, words, &call, &error) : 0;
    if (failed == 0 && strlen(socket_path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        failed = error_set(&error, ENAMETOOLONG, "--control %s: longer than %zu bytes; give a shorter path",
                           socket_path, sizeof((struct sockaddr_un *)0)->sun_path - 1);
    if (failed == 0) {
        exit_code = EXIT_CODE_FAILED;
        failed = perform(socket_path, &call, &error);
        if (failed == 0 && call.status >= 400)
            failed = refused(&call, &error);
        if (failed == 0 && command->print && call.answer)
            failed = command->print(&call, count > 1 ? words[1] : "", out, &error);
    }
    json_decref(call.body);
    free(call.answer);
    return failed < 0 ? fail(exit_code, error.text) : EXIT_CODE_POWERED_OFF;
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
    char *path;
    int options, exit_code;

    if (count == 1 && !strcmp(arguments[0], "--help")) {
        ctl_help(out);
        return EXIT_CODE_POWERED_OFF;
    }
    options = count_options(count, arguments, &error);
    if (options < 0)
        return fail(EXIT_CODE_CONFIGURATION, error.text);
    if (options_parse(&config, OPTIONS_RUN, options, arguments, &error) < 0) {
        config_free(&config);
        return fail(EXIT_CODE_CONFIGURATION, error.text);
    }
    path = socket_of(&config);
    exit_code =
        path ? run(path, count - options, arguments + options, out) : fail(EXIT_CODE_FAILED, "ctl: out of memory");
    free(path);
    config_free(&config);
    return exit_code;
}
