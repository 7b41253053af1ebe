/* Operations and what they answer (see api.h). */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "casement/bytes.h"

/* Answers. */

const char *api_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {{400, "Bad Request"},         {401, "Unauthorized"},          {403, "Forbidden"},
                   {404, "Not Found"},           {405, "Method Not Allowed"},    {409, "Conflict"},
                   {411, "Length Required"},     {413, "Content Too Large"},     {415, "Unsupported Media Type"},
                   {421, "Misdirected Request"}, {422, "Unprocessable Content"}, {426, "Upgrade Required"},
                   {429, "Too Many Requests"},   {500, "Internal Server Error"}, {501, "Not Implemented"},
                   {503, "Service Unavailable"}};

    for (size_t n = 0; n < ARRAY_SIZE(reasons); n++)
        if (reasons[n].status == status)
            return reasons[n].reason;
    return "";
}

/* Takes the JSON over. */
static void answer_json(struct api_answer *answer, unsigned status, const char *type, json_t *json)
{
    *answer = (struct api_answer){.status = status, .type = type};
    answer->body = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    if (answer->body)
        answer->size = strlen(answer->body);
    else
        *answer = (struct api_answer){.status = 500};
}

void api_problem(struct api_answer *answer, unsigned status, const char *detail)
{
    json_t *json = json_pack("{s:s, s:i}", "title", api_reason(status), "status", (int)status);

    /* Not all that a guest or a file put into a text is UTF-8; then it is left out. */
    if (json && detail && *detail) {
        json_t *text = json_string(detail);

        if (text)
            json_object_set_new(json, "detail", text);
    }
    answer_json(answer, status, "application/problem+json", json);
}

static void answer_text(struct api_answer *answer, unsigned status, const char *text)
{
    *answer = (struct api_answer){.status = status, .type = "text/plain; charset=utf-8", .body = strdup(text)};
    answer->size = answer->body ? strlen(text) : 0;
}

/* 204, or what an operation's error stands for. */
static void answer_result(struct api_answer *answer, int result, const struct error *error)
{
    unsigned status = 500;

    switch (result) {
    case 0:
        *answer = (struct api_answer){.status = 204};
        return;
    case -EINVAL:
    case -EILSEQ:
    case -E2BIG:
    case -EFBIG:
        status = 422;
        break;
    case -ENOENT:
        status = 404;
        break;
    case -ENODEV:
    case -EEXIST:
    case -EALREADY:
    case -EROFS:
        status = 409;
        break;
    case -ENOSPC:
    case -EBUSY:
    case -EAGAIN:
    case -ESHUTDOWN:
        status = 503;
        break;
    case -ENOSYS:
    case -EOPNOTSUPP:
        status = 501;
        break;
    default:
        break;
    }
    api_problem(answer, status, error->text[0] ? error->text : strerror(-result));
}

/* Bodies. */

/* A JSON object without members that have none of the names (ended by NULL); NULL after answering what is wrong. */
static json_t *read_object(const struct api_request *request, const char *const *names, struct api_answer *answer)
{
    json_error_t error;
    json_t *object = json_loadb(request->body, request->body_size, JSON_REJECT_DUPLICATES, &error), *value;
    char text[sizeof error.text + 64];
    const char *key;

    if (!object) {
        snprintf(text, sizeof text, "the body is no JSON: %s (line %d, column %d)", error.text, error.line,
                 error.column);
        api_problem(answer, 400, text);
        return NULL;
    }
    json_object_foreach(object, key, value)
    {
        const char *const *known = names;

        while (*known && strcmp(*known, key) != 0)
            known++;
        if (!*known) {
            snprintf(text, sizeof text, "%.64s: no such member", key);
            api_problem(answer, 422, text);
            json_decref(object);
            return NULL;
        }
    }
    if (!json_is_object(object)) {
        api_problem(answer, 422, "the body is not a JSON object");
        json_decref(object);
        return NULL;
    }
    return object;
}

/* An integer member within its limits, or the fall-back when it is not there. */
static bool read_integer(const json_t *object, const char *key, bool required, int64_t least, int64_t most,
                         int64_t *value, struct error *error)
{
    const json_t *member = json_object_get(object, key);

    if (!member && !required)
        return true;
    if (!json_is_integer(member) || json_integer_value(member) < least || json_integer_value(member) > most) {
        error_set(error, EINVAL, "%s: give an integer from %lld to %lld", key, (long long)least, (long long)most);
        return false;
    }
    *value = json_integer_value(member);
    return true;
}

/* A text member; NULL when it is not there or none. */
static const char *read_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

char *api_secret(const struct api_request *request)
{
    json_t *object = json_loadb(request->body, request->body_size, JSON_REJECT_DUPLICATES, NULL);
    const char *text = read_text(object, "secret");
    char *secret = text && json_object_size(object) == 1 ? strdup(text) : NULL;

    json_decref(object);
    return secret;
}

/* Status. */

static json_t *usage_json(const struct usage *usage)
{
    return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I}", "cpu_percent", usage->cpu_percent, "memory_resident_bytes",
                     (json_int_t)usage->memory_resident, "disk_read_bytes_per_second", (json_int_t)usage->disk_read,
                     "disk_write_bytes_per_second", (json_int_t)usage->disk_write, "network_receive_bytes_per_second",
                     (json_int_t)usage->network_receive, "network_transmit_bytes_per_second",
                     (json_int_t)usage->network_transmit);
}

static json_t *known_json(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

static json_t *progress_json(const struct machine_progress *progress)
{
    json_t *json;

    if (!progress->active)
        return json_null();
    json = json_pack("{s:s, s:I, s:I, s:s}", "title", progress->title, "done", (json_int_t)progress->done, "total",
                     (json_int_t)progress->total, "unit", progress->unit);
    if (json) {
        json_object_set_new(json, "per_second", known_json(progress->per_second));
        json_object_set_new(json, "seconds_left", known_json(progress->seconds_left));
    }
    return json;
}

static json_t *status_json(const struct machine_status *status, bool changing)
{
    json_t *display = status->width
                          ? json_pack("{s:i, s:i}", "width", (int)status->width, "height", (int)status->height)
                          : json_null();
    json_t *json = json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:o, s:s, s:i, s:o}", "name", status->name, "version",
                             CASEMENT_VERSION, "phase", machine_phase_names[status->phase], "cpus", (int)status->cpus,
                             "memory_bytes", (json_int_t)status->memory, "resets", (json_int_t)status->resets,
                             "display", display, "keyboard_layout", status->layout, "viewers", (int)status->viewers,
                             "progress", progress_json(&status->progress));

    if (json)
        json_object_set_new(json, "waits_for", status->waits_for[0] ? json_string(status->waits_for) : json_null());
    if (json && changing) {
        json_object_set_new(json, "uptime_seconds", json_integer(status->uptime_ns / INT64_C(1000000000)));
        json_object_set_new(json, "usage", usage_json(&status->usage));
    }
    return json;
}

char *api_status(const struct api *api, bool changing)
{
    struct machine_status status = {0};
    json_t *json;
    char *text;

    api->ops->status(api->machine, &status);
    json = status_json(&status, changing);
    text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    return text;
}

/* Operations. */

static void run_health(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    (void)api;
    (void)request;
    answer_text(answer, 200, "ok\n");
}

static void run_ready(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    struct machine_status status = {0};

    (void)request;
    api->ops->status(api->machine, &status);
    if (status.phase == PHASE_RUNNING) {
        answer_text(answer, 200, "ok\n");
    } else {
        char text[16];

        snprintf(text, sizeof text, "%s\n", machine_phase_names[status.phase]);
        answer_text(answer, 503, text);
    }
}

static void run_status(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    struct machine_status status = {0};

    (void)request;
    api->ops->status(api->machine, &status);
    answer_json(answer, 200, "application/json", status_json(&status, true));
}

static void run_screenshot(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    struct error error = {""};
    uint8_t *png = NULL;
    size_t size = 0;
    int failed = api->ops->screenshot(api->machine, &png, &size, &error);

    (void)request;
    if (failed < 0)
        answer_result(answer, failed, &error);
    else
        *answer = (struct api_answer){.status = 200, .type = "image/png", .body = (char *)png, .size = size};
}

static void power(const struct api *api, enum machine_power what, struct api_answer *answer)
{
    struct error error = {""};

    answer_result(answer, api->ops->power(api->machine, what, &error), &error);
}

static void run_button(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    (void)request;
    power(api, MACHINE_POWER_BUTTON, answer);
}

static void run_reset(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    (void)request;
    power(api, MACHINE_RESET, answer);
}

static void run_off(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    (void)request;
    power(api, MACHINE_OFF, answer);
}

static void run_text(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    static const char *const names[] = {"text", "layout", NULL};
    json_t *object = read_object(request, names, answer);
    const char *text = read_text(object, "text"), *layout = read_text(object, "layout");
    struct error error = {""};

    if (!object)
        return;
    if (!text || !*text)
        api_problem(answer, 422, "text: give what is to be typed");
    else if (json_object_get(object, "layout") && !layout)
        api_problem(answer, 422, "layout: give one of GET /api/v1/layouts");
    else
        answer_result(answer, api->ops->text(api->machine, text, layout, &error), &error);
    json_decref(object);
}

static void run_keys(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    static const char *const names[] = {"keys", NULL};
    json_t *object = read_object(request, names, answer);
    const char *keys = read_text(object, "keys");
    struct error error = {""};

    if (!object)
        return;
    if (!keys || !*keys)
        api_problem(answer, 422, "keys: give the keys to press together, such as ctrl-alt-delete");
    else
        answer_result(answer, api->ops->keys(api->machine, keys, &error), &error);
    json_decref(object);
}

static void run_pointer(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    static const char *const names[] = {"x", "y", "buttons", "wheel", "pan", NULL};
    json_t *object = read_object(request, names, answer);
    int64_t x = 0, y = 0, buttons = 0, wheel = 0, pan = 0;
    struct error error = {""};

    if (!object)
        return;
    if (!read_integer(object, "x", true, 0, INPUT_POINTER_MAX, &x, &error) ||
        !read_integer(object, "y", true, 0, INPUT_POINTER_MAX, &y, &error) ||
        !read_integer(object, "buttons", false, 0, 31, &buttons, &error) ||
        !read_integer(object, "wheel", false, -127, 127, &wheel, &error) ||
        !read_integer(object, "pan", false, -127, 127, &pan, &error)) {
        api_problem(answer, 422, error.text);
    } else {
        const struct input_pointer pointer = {.x = (uint16_t)x,
                                              .y = (uint16_t)y,
                                              .buttons = (uint8_t)buttons,
                                              .wheel = (int8_t)wheel,
                                              .pan = (int8_t)pan};

        answer_result(answer, api->ops->pointer(api->machine, &pointer, &error), &error);
    }
    json_decref(object);
}

static void run_layouts(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    json_t *list = json_array();
    const char *layout;

    (void)request;
    for (unsigned n = 0; (layout = api->ops->layout(api->machine, n)); n++)
        json_array_append_new(list, json_string(layout));
    answer_json(answer, 200, "application/json", list);
}

static void run_forwards(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    json_t *list = json_array();
    struct net_forward forward;

    (void)request;
    for (unsigned n = 0; api->ops->forward(api->machine, n, &forward); n++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:i, s:i}", "protocol", forward.udp ? "udp" : "tcp", "host_address",
                                        forward.host_address[0] ? forward.host_address : "127.0.0.1", "host_port",
                                        (int)forward.host_port, "guest_port", (int)forward.guest_port));
    answer_json(answer, 200, "application/json", list);
}

static void run_usb(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    json_t *list = json_array();
    struct machine_usb usb;

    (void)request;
    for (unsigned n = 0; api->ops->usb(api->machine, n, &usb); n++)
        json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "name", usb.name, "plugged", (int)usb.plugged,
                                              "driven", (int)usb.driven));
    answer_json(answer, 200, "application/json", list);
}

static void run_plug(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    struct error error = {""};

    answer_result(answer, api->ops->plug(api->machine, request->name, true, &error), &error);
}

static void run_unplug(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    struct error error = {""};

    answer_result(answer, api->ops->plug(api->machine, request->name, false, &error), &error);
}

static json_t *limit_json(uint64_t limit)
{
    return limit ? json_integer((json_int_t)limit) : json_null();
}

static json_t *disk_json(const struct machine_disk *disk)
{
    const struct block_totals *totals = &disk->totals;

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                     "name", disk->id, "file", disk->file, "bus", disk->bus, "format", disk->qcow2 ? "qcow2" : "raw",
                     "engine", disk->engine, "cdrom", (int)disk->cdrom, "read_only", (int)disk->read_only, "full",
                     (int)disk->full, "bytes", (json_int_t)disk->size, "limit_operations_per_second",
                     limit_json(disk->limits.operations), "limit_bytes_per_second", limit_json(disk->limits.bytes),
                     "reads", (json_int_t)totals->reads, "read_bytes", (json_int_t)totals->read_bytes, "writes",
                     (json_int_t)totals->writes, "written_bytes", (json_int_t)totals->written_bytes, "flushes",
                     (json_int_t)totals->flushes, "errors", (json_int_t)totals->errors, "delayed",
                     (json_int_t)totals->delayed);
}

static void run_disks(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    json_t *list = json_array();
    struct machine_disk disk;

    (void)request;
    for (unsigned n = 0; api->ops->disk(api->machine, n, &disk); n++)
        json_array_append_new(list, disk_json(&disk));
    answer_json(answer, 200, "application/json", list);
}

static void run_grow(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    static const char *const names[] = {"bytes", NULL};
    json_t *object = read_object(request, names, answer);
    struct error error = {""};
    int64_t bytes = 0;

    if (!object)
        return;
    if (!read_integer(object, "bytes", true, 512, INT64_MAX, &bytes, &error))
        api_problem(answer, 422, error.text);
    else
        answer_result(answer, api->ops->grow(api->machine, request->name, (uint64_t)bytes, &error), &error);
    json_decref(object);
}

static const struct api_operation operations[] = {
    {"GET", "/healthz", API_PLAIN, true, run_health},
    {"GET", "/readyz", API_PLAIN, true, run_ready},
    {"GET", "/metrics", API_PLAIN, false, api_metrics},
    {"POST", "/api/v1/session", API_SESSION, true, NULL},
    {"DELETE", "/api/v1/session", API_SESSION, true, NULL},
    {"GET", "/api/v1/token", API_TOKEN, false, NULL},
    {"GET", "/api/v1/status", API_PLAIN, false, run_status},
    {"POST", "/api/v1/power/button", API_MACHINE, false, run_button},
    {"POST", "/api/v1/power/reset", API_MACHINE, false, run_reset},
    {"POST", "/api/v1/power/off", API_MACHINE, false, run_off},
    {"GET", "/api/v1/screenshot.png", API_PLAIN, false, run_screenshot},
    {"POST", "/api/v1/input/text", API_PLAIN, false, run_text},
    {"POST", "/api/v1/input/keys", API_PLAIN, false, run_keys},
    {"POST", "/api/v1/input/pointer", API_PLAIN, false, run_pointer},
    {"GET", "/api/v1/layouts", API_PLAIN, false, run_layouts},
    {"GET", "/api/v1/forwards", API_PLAIN, false, run_forwards},
    {"GET", "/api/v1/usb", API_PLAIN, false, run_usb},
    {"POST", "/api/v1/usb/{name}/plug", API_MACHINE, false, run_plug},
    {"POST", "/api/v1/usb/{name}/unplug", API_MACHINE, false, run_unplug},
    {"GET", "/api/v1/disks", API_PLAIN, false, run_disks},
    {"POST", "/api/v1/disks/{name}/size", API_MACHINE, false, run_grow},
    {"GET", "/api/v1/events", API_EVENTS, false, NULL},
    {"GET", "/api/v1/rfb", API_VIEWER, false, NULL},
};

const struct api_operation *api_operation(unsigned index)
{
    return index < ARRAY_SIZE(operations) ? &operations[index] : NULL;
}

/* Whether the path fits; what stands for {name} goes to name. */
static bool path_fits(const char *pattern, const char *path, char name[API_NAME_MAX])
{
    const char *hole = strchr(pattern, '{'), *rest = hole ? strchr(hole, '}') + 1 : NULL;
    size_t length;

    name[0] = 0;
    if (!hole)
        return !strcmp(pattern, path);
    if (strncmp(pattern, path, (size_t)(hole - pattern)) != 0)
        return false;
    path += hole - pattern;
    length = strcspn(path, "/");
    if (!length || length >= API_NAME_MAX || strcmp(path + length, rest) != 0)
        return false;
    memcpy(name, path, length);
    name[length] = 0;
    return true;
}

const struct api_operation *api_find(const char *method, const char *path, char name[API_NAME_MAX], unsigned *status,
                                     char allow[32])
{
    bool head = !strcmp(method, "HEAD");
    size_t used = 0;

    *status = 404;
    allow[0] = 0;
    for (size_t n = 0; n < ARRAY_SIZE(operations); n++) {
        if (!path_fits(operations[n].path, path, name))
            continue;
        if (!strcmp(operations[n].method, head ? "GET" : method))
            return &operations[n];
        *status = 405;
        used += (size_t)snprintf(allow + used, 32 - used, "%s%s", used ? ", " : "", operations[n].method);
    }
    return NULL;
}
