/* The operations against a machine that writes down what it is asked; and the rates of what it uses. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_machine.h"

#include "../../vmm/viewer/api.h"

static struct fake_machine machine;
static const struct api api = {&fake_machine_ops, &machine};
static struct api_answer answer;

static int setup(void **state)
{
    (void)state;
    fake_machine_create(&machine);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(answer.body);
    answer = (struct api_answer){0};
    fake_machine_destroy(&machine);
    return 0;
}

/* The status of the answer. */
static unsigned call(const char *method, const char *path, const char *body)
{
    char name[API_NAME_MAX], allow[32];
    unsigned status;
    const struct api_operation *operation = api_find(method, path, name, &status, allow);
    const struct api_request request = {.name = name, .body = body, .body_size = strlen(body)};

    free(answer.body);
    answer = (struct api_answer){0};
    if (!operation)
        return status;
    operation->run(&api, &request, &answer);
    return answer.status;
}

static json_t *parsed(void)
{
    json_t *json = json_loadb(answer.body, answer.size, 0, NULL);

    assert_non_null(json);
    return json;
}

static void operations_reach_the_machine(void **state)
{
    static const struct {
        const char *method, *path, *body, *call;
    } cases[] = {
        {"POST", "/api/v1/power/button", "", "power(button)"},
        {"POST", "/api/v1/power/reset", "", "power(reset)"},
        {"POST", "/api/v1/power/off", "", "power(off)"},
        {"POST", "/api/v1/input/text", "{\"text\":\"a\\nb \\u00e4\"}", "text(a\nb ä)"},
        {"POST", "/api/v1/input/text", "{\"text\":\"z\",\"layout\":\"de\"}", "text(z)de"},
        {"POST", "/api/v1/input/keys", "{\"keys\":\"ctrl-alt-delete\"}", "keys(ctrl-alt-delete)"},
        {"POST", "/api/v1/input/pointer", "{\"x\":0,\"y\":32767}", "pointer(0,32767,0,0,0)"},
        {"POST", "/api/v1/input/pointer", "{\"x\":1,\"y\":2,\"buttons\":31,\"wheel\":-127,\"pan\":127}",
         "pointer(1,2,31,-127,127)"},
        {"POST", "/api/v1/usb/keyboard/unplug", "", "unplug(keyboard)"},
        {"POST", "/api/v1/usb/keyboard/plug", "", "plug(keyboard)"},
        {"POST", "/api/v1/disks/disk0/size", "{\"bytes\":9223372036854775296}", "grow(disk0,9223372036854775296)"},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        assert_int_equal(call(cases[n].method, cases[n].path, cases[n].body), 204);
        assert_null(answer.body);
        assert_string_equal(fake_machine_last(&machine), cases[n].call);
    }
}

static void bad_bodies_are_refused_and_nothing_is_done(void **state)
{
    static const struct {
        const char *path, *body;
        unsigned status;
    } cases[] = {
        {"/api/v1/input/text", "", 400},
        {"/api/v1/input/text", "{", 400},
        {"/api/v1/input/text", "{\"text\":\"\xff\"}", 400},
        {"/api/v1/input/text", "{\"text\":\"a\",\"text\":\"b\"}", 400},
        {"/api/v1/input/text", "[\"text\"]", 422},
        {"/api/v1/input/text", "{}", 422},
        {"/api/v1/input/text", "{\"text\":\"\"}", 422},
        {"/api/v1/input/text", "{\"text\":7}", 422},
        {"/api/v1/input/text", "{\"text\":\"a\",\"layout\":7}", 422},
        {"/api/v1/input/text", "{\"text\":\"a\",\"speed\":1}", 422},
        {"/api/v1/input/text", "{\"text\":\"\xe2\x98\x83\"}", 422},
        {"/api/v1/input/keys", "{\"keys\":[]}", 422},
        {"/api/v1/input/pointer", "{\"x\":1}", 422},
        {"/api/v1/input/pointer", "{\"x\":-1,\"y\":0}", 422},
        {"/api/v1/input/pointer", "{\"x\":32768,\"y\":0}", 422},
        {"/api/v1/input/pointer", "{\"x\":1.5,\"y\":0}", 422},
        {"/api/v1/input/pointer", "{\"x\":\"1\",\"y\":0}", 422},
        {"/api/v1/input/pointer", "{\"x\":1,\"y\":0,\"buttons\":32}", 422},
        {"/api/v1/input/pointer", "{\"x\":1,\"y\":0,\"wheel\":128}", 422},
        {"/api/v1/input/pointer", "{\"x\":99999999999999999999,\"y\":0}", 400},
        {"/api/v1/usb/mouse/plug", "", 404},
        {"/api/v1/disks/disk1/size", "{\"bytes\":2147483648}", 404},
        {"/api/v1/disks/disk0/size", "", 400},
        {"/api/v1/disks/disk0/size", "{}", 422},
        {"/api/v1/disks/disk0/size", "{\"bytes\":511}", 422},
        {"/api/v1/disks/disk0/size", "{\"bytes\":1024}", 422},
        {"/api/v1/disks/disk0/size", "{\"bytes\":-512}", 422},
        {"/api/v1/disks/disk0/size", "{\"bytes\":1e12}", 422},
        {"/api/v1/disks/disk0/size", "{\"bytes\":\"2G\"}", 422},
        {"/api/v1/disks/disk0/size", "{\"bytes\":9223372036854775808}", 400},
    };
    char *deep = calloc(1, 60000);

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        json_t *problem;

        if (call("POST", cases[n].path, cases[n].body) != cases[n].status)
            fail_msg("%s answers %u", cases[n].body, answer.status);
        assert_string_equal(answer.type, "application/problem+json");
        problem = parsed();
        assert_int_equal(json_integer_value(json_object_get(problem, "status")), cases[n].status);
        assert_true(*json_string_value(json_object_get(problem, "title")));
        assert_true(*json_string_value(json_object_get(problem, "detail")));
        json_decref(problem);
    }
    assert_non_null(deep);
    memset(deep, '[', 59999);
    assert_int_equal(call("POST", "/api/v1/input/text", deep), 400);
    free(deep);
    assert_int_equal(fake_machine_calls(&machine), 0);
}

static void paths_and_methods(void **state)
{
    char name[API_NAME_MAX], allow[32];
    unsigned status;

    (void)state;
    assert_null(api_find("GET", "/api/v1/power/reset", name, &status, allow));
    assert_int_equal(status, 405);
    assert_string_equal(allow, "POST");
    assert_null(api_find("PUT", "/api/v1/session", name, &status, allow));
    assert_string_equal(allow, "POST, DELETE");
    assert_non_null(api_find("HEAD", "/api/v1/status", name, &status, allow));
    assert_non_null(api_find("POST", "/api/v1/usb/a.b-c/plug", name, &status, allow));
    assert_string_equal(name, "a.b-c");
    assert_null(api_find("POST", "/api/v1/usb//plug", name, &status, allow));
    assert_null(api_find("POST", "/api/v1/usb/a/b/plug", name, &status, allow));
    assert_null(api_find("POST", "/api/v1/usb/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/plug", name, &status, allow));
    assert_null(api_find("GET", "/api/v1/status/", name, &status, allow));
    assert_int_equal(status, 404);
    /* Only what tells nothing is open. */
    for (unsigned n = 0; api_operation(n); n++)
        assert_int_equal(api_operation(n)->open, !strcmp(api_operation(n)->path, "/healthz") ||
                                                     !strcmp(api_operation(n)->path, "/readyz") ||
                                                     !strcmp(api_operation(n)->path, "/api/v1/session"));
}

/* docs/openapi.yaml names each operation of the table and no other; the tests with a machine hold what it says of them.
 */
static void the_description_has_every_operation(void **state)
{
    static char text[65536];
    FILE *file = fopen("docs/openapi.yaml", "re");
    unsigned described = 0, count = 0;

    (void)state;
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    for (const char *at = text; (at = strstr(at, "\n      operationId: ")); at++)
        described++;
    for (const struct api_operation *operation; (operation = api_operation(count)); count++) {
        char path[80], method[16];
        const char *start, *end, *found;

        snprintf(path, sizeof path, "\n  %s:\n", operation->path);
        snprintf(method, sizeof method, "\n    %s:\n", operation->method);
        for (char *letter = method; *letter; letter++)
            *letter = (char)tolower((unsigned char)*letter);
        start = strstr(text, path);
        end = start ? strstr(start + 1, "\n  /") : NULL;
        found = start ? strstr(start, method) : NULL;
        if (!found || (end && found > end))
            fail_msg("%s %s is not described", operation->method, operation->path);
    }
    assert_int_equal(described, count);
}

static void what_is_read(void **state)
{
    json_t *json;

    (void)state;
    assert_int_equal(call("GET", "/api/v1/status", ""), 200);
    json = parsed();
    assert_string_equal(json_string_value(json_object_get(json, "phase")), "running");
    assert_int_equal(json_integer_value(json_object_get(json, "memory_bytes")), 2147483648);
    assert_int_equal(json_integer_value(json_object_get(json, "uptime_seconds")), 5);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "display"), "width")), 1280);
    assert_true(json_is_null(json_object_get(json, "progress")));
    assert_true(json_is_real(json_object_get(json_object_get(json, "usage"), "cpu_percent")));
    json_decref(json);
    machine.status.width = 0;
    machine.status.progress = (struct machine_progress){.active = true,
                                                        .title = "Download",
                                                        .unit = "bytes",
                                                        .done = 5,
                                                        .total = 10,
                                                        .per_second = 7,
                                                        .seconds_left = -1};
    assert_int_equal(call("GET", "/api/v1/status", ""), 200);
    json = parsed();
    assert_true(json_is_null(json_object_get(json, "display")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "progress"), "done")), 5);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "progress"), "per_second")), 7);
    assert_true(json_is_null(json_object_get(json_object_get(json, "progress"), "seconds_left")));
    json_decref(json);
    assert_int_equal(call("GET", "/api/v1/layouts", ""), 200);
    assert_string_equal(answer.body, "[\"us\",\"de\"]");
    assert_int_equal(call("GET", "/api/v1/forwards", ""), 200);
    assert_string_equal(answer.body, "[{\"protocol\":\"udp\",\"host_address\":\"127.0.0.1\",\"host_port\":2222,"
                                     "\"guest_port\":22}]");
    assert_int_equal(call("GET", "/api/v1/usb", ""), 200);
    assert_string_equal(answer.body, "[{\"name\":\"keyboard\",\"plugged\":true,\"driven\":false}]");
    assert_int_equal(call("GET", "/api/v1/screenshot.png", ""), 200);
    assert_string_equal(answer.type, "image/png");
    assert_int_equal(answer.size, 1000);
    machine.picture_size = 0;
    assert_int_equal(call("GET", "/api/v1/screenshot.png", ""), 409);
}

static void ready_is_what_runs(void **state)
{
    (void)state;
    assert_int_equal(call("GET", "/healthz", ""), 200);
    assert_int_equal(call("GET", "/readyz", ""), 200);
    machine.status.phase = PHASE_STARTING;
    assert_int_equal(call("GET", "/readyz", ""), 503);
    machine.status.phase = PHASE_STOPPING;
    assert_int_equal(call("GET", "/readyz", ""), 503);
    assert_int_equal(call("GET", "/healthz", ""), 200);
}

static void metrics_are_lines(void **state)
{
    const char *text;

    (void)state;
    assert_int_equal(call("GET", "/metrics", ""), 200);
    text = answer.body ? answer.body : "";
    assert_non_null(strstr(text, "\ncasement_cpu_seconds_total 1.234567890\n"));
    assert_non_null(strstr(text, "\ncasement_disk_read_bytes_total{disk=\"disk0\"} 4096\n"));
    assert_non_null(strstr(text, "\ncasement_phase{phase=\"running\"} 1\n"));
    assert_non_null(strstr(text, "# TYPE casement_viewer_frames_total counter\n"));
}

static void rates_are_what_grew(void **state)
{
    struct statistics statistics = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct totals totals = {.memory_resident = 5000};
    struct usage usage;
    int64_t second = INT64_C(1000000000);

    (void)state;
    statistics_usage(&statistics, &totals, 10 * second, &usage);
    assert_true(usage.cpu_percent == 0 && usage.memory_resident == 5000);
    totals.cpu_ns = second / 2;
    totals.disks.read_bytes = 3000;
    totals.network.transmitted_bytes = 600;
    statistics_usage(&statistics, &totals, 11 * second, &usage);
    assert_true(usage.cpu_percent == 50 && usage.disk_read == 3000 && usage.network_transmit == 600);
    /* Who looks again at once sees the same; a reader does not take another's share. */
    totals.disks.read_bytes = 9000;
    statistics_usage(&statistics, &totals, 11 * second + second / 10, &usage);
    assert_true(usage.disk_read == 3000);
    statistics_usage(&statistics, &totals, 13 * second, &usage);
    assert_true(usage.disk_read == 3000 && usage.cpu_percent == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(operations_reach_the_machine),
        TEST(bad_bodies_are_refused_and_nothing_is_done),
        TEST(paths_and_methods),
        TEST(the_description_has_every_operation),
        TEST(what_is_read),
        TEST(ready_is_what_runs),
        TEST(metrics_are_lines),
        TEST(rates_are_what_grew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
