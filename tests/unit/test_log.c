/* Lines of the log: whole, one each, and what is in them is nobody else's. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "casement/log.h"
#include "cmocka_all.h"

static int output;

static int open_output(void **state)
{
    (void)state;
    output = memfd_create("log", MFD_CLOEXEC);
    log_set_output(output);
    return output < 0;
}

static int close_output(void **state)
{
    (void)state;
    log_set_format(LOG_TEXT);
    log_set_output(STDERR_FILENO);
    return close(output);
}

/* What was written since the last call; it ends with a line end, and has no other. */
static char *line(void)
{
    static char text[4096];
    ssize_t length = pread(output, text, sizeof text - 1, 0);

    assert_true(length > 0);
    text[length] = 0;
    assert_ptr_equal(strchr(text, '\n'), text + length - 1);
    assert_int_equal(ftruncate(output, 0), 0);
    assert_int_equal(lseek(output, 0, SEEK_SET), 0);
    return text;
}

static json_t *object(void)
{
    json_error_t error;
    json_t *json = json_loads(line(), JSON_REJECT_DUPLICATES, &error);

    if (!json)
        fail_msg("%s", error.text);
    assert_int_equal(json_object_size(json), 3);
    return json;
}

static const char *member(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    assert_non_null(text);
    return text;
}

static void text_says_its_level(void **state)
{
    (void)state;
    log_error("no %s", "disk");
    assert_string_equal(line(), "casement: error: no disk\n");
    log_info("on");
    assert_string_equal(line(), "casement: on\n");
    log_debug("dropped");
    assert_int_equal(lseek(output, 0, SEEK_END), 0);
}

static void json_is_one_object_a_line(void **state)
{
    json_t *json;
    unsigned year, milliseconds;
    int end = 0;

    (void)state;
    log_set_format(LOG_JSON);
    log_warning("\"C:\\OEM\" \xc3\xbc");
    json = object();
    assert_string_equal(member(json, "level"), "warning");
    assert_string_equal(member(json, "message"), "\"C:\\OEM\" \xc3\xbc");
    assert_int_equal(sscanf(member(json, "time"), "%4u-%*2u-%*2uT%*2u:%*2u:%*2u.%3uZ%n", &year, &milliseconds, &end),
                     2);
    assert_int_equal(end, 24);
    assert_in_range(year, 2020, 9999);
    json_decref(json);
}

static void what_a_guest_wrote_stays_in_its_line(void **state)
{
    json_t *json;

    (void)state;
    log_info("name\ncasement: error: \x1b[31m");
    assert_string_equal(line(), "casement: name casement: error:  [31m\n");
    log_set_format(LOG_JSON);
    log_info("a\xff\xc3 b\xe2\x82");
    json = object();
    assert_string_equal(member(json, "message"), "a?? b??");
    json_decref(json);
}

/* A text that is cut is still a line, also where each character takes two bytes of JSON. */
static void long_texts_are_cut(void **state)
{
    char *quotes = malloc(10001);
    json_t *json;

    (void)state;
    memset(quotes, '"', 10000);
    quotes[10000] = 0;
    log_info("%s", quotes);
    assert_in_range(strlen(line()), 900, 2000);
    log_set_format(LOG_JSON);
    log_info("%s", quotes);
    json = object();
    assert_in_range(strlen(member(json, "message")), 900, 1000);
    json_decref(json);
    free(quotes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_says_its_level, open_output, close_output),
        cmocka_unit_test_setup_teardown(json_is_one_object_a_line, open_output, close_output),
        cmocka_unit_test_setup_teardown(what_a_guest_wrote_stays_in_its_line, open_output, close_output),
        cmocka_unit_test_setup_teardown(long_texts_are_cut, open_output, close_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
