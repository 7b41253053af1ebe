/* How far an installation has come: what is written is read again, what is damaged is refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_journey.h"

static struct error error;

static void each_step_comes_back(void **state)
{
    struct journey found, written = fake_journey;

    (void)state;
    memset(&found, 0xFF, sizeof found);
    fake_journey_read(&found);
    fake_journey_same(&found, &(struct journey){.step = JOURNEY_NEW});
    for (unsigned step = 0; step <= JOURNEY_INSTALLED; step++) {
        written.step = (enum journey_step)step;
        written.phase = step * 7;
        written.fetched_by_us = step % 2;
        fake_journey_write(&written);
        fake_journey_read(&found);
        fake_journey_same(&found, &written);
        assert_false(fake_is_there(fake_below("journey.json.new")));
    }
    /* Fields as long as they can be. */
    memset(written.medium, 'm', sizeof written.medium - 1);
    memset(written.report, '\1', sizeof written.report - 1);
    memset(written.version, '"', sizeof written.version - 1);
    fake_journey_write(&written);
    fake_journey_read(&found);
    fake_journey_same(&found, &written);
    fake_journey_write(&(struct journey){.step = JOURNEY_FETCHED});
    fake_journey_read(&found);
    fake_journey_same(&found, &(struct journey){.step = JOURNEY_FETCHED});
}

static void what_cannot_be_written(void **state)
{
    struct journey found, wrong = fake_journey;
    char path[600];

    (void)state;
    fake_journey_write(&fake_journey);
    snprintf(path, sizeof path, "%s", fake_below("journey.json"));
    fake_refused(&error, journey_write(path, &fake_journey, &error), ENOTDIR, path, "state folder");
    fake_refused(&error, journey_read(path, &found, &error), ENOTDIR, path, "state folder");
    fake_refused(&error, journey_write(fake_below("nothing"), &fake_journey, &error), ENOENT, "nothing",
                 "state folder");
    fake_refused(&error, journey_read(fake_below("nothing"), &found, &error), ENOENT, "nothing", "state folder");
    snprintf(wrong.medium, sizeof wrong.medium, "/state/\xFF.iso");
    fake_refused(&error, journey_write(fake_folder, &wrong, &error), EINVAL, "medium", "UTF-8");
    assert_int_equal(mkdir(fake_below("journey.json.new"), 0700), 0);
    wrong = fake_journey;
    wrong.phase++;
    fake_refused(&error, journey_write(fake_folder, &wrong, &error), EISDIR, "journey.json", "look at the folder");
    assert_int_equal(rmdir(fake_below("journey.json.new")), 0);
    fake_journey_read(&found);
    fake_journey_same(&found, &fake_journey);
    assert_int_equal(journey_write(fake_folder, &wrong, NULL), 0);
}

/* Damage. */

static char *read_text(size_t *length)
{
    FILE *file = fopen(fake_below("journey.json"), "re");
    char *text = calloc(1, 8192);

    assert_true(file && text);
    *length = fread(text, 1, 8191, file);
    fclose(file);
    return text;
}

static void assert_damaged(const char *text, size_t length)
{
    struct journey found;

    fake_file(fake_below("journey.json"), text, length);
    memset(&found, 0xFF, sizeof found);
    fake_refused(&error, journey_read(fake_folder, &found, &error), EILSEQ, "journey.json", "move journey.json away");
    assert_int_equal(found.step, JOURNEY_NEW);
    assert_int_equal(found.phase, 0);
}

static void damaged_files(void **state)
{
    struct journey found;
    size_t length;
    char *text;
    unsigned refused = 0;

    (void)state;
    fake_journey_write(&fake_journey);
    text = read_text(&length);
    for (size_t n = 0; n < length; n++)
        assert_damaged(text, n);
    for (unsigned n = 0, random = 1; n < 300; n++) {
        size_t at = (random = random * 1664525 + 1013904223) / 16 % MAX(length, 1);
        char was = text[at];
        int result;

        text[at] = (char)(random >> 7);
        fake_file(fake_below("journey.json"), text, length);
        result = journey_read(fake_folder, &found, &error);
        assert_true(result == 0 || result == -EILSEQ);
        assert_true(found.step == (result ? JOURNEY_NEW : JOURNEY_INSTALLING) || text[at] != was);
        refused += result != 0;
        text[at] = was;
    }
    assert_true(refused > 100);
    free(text);
}

/* The text with one field's line replaced. */
static char *with_field(const char *text, const char *name, const char *value)
{
    char key[40], *changed = calloc(1, 80000);
    const char *line, *end;

    snprintf(key, sizeof key, "\"%s\": ", name);
    line = strstr(text, key);
    assert_true(line && changed);
    end = strchr(line, '\n');
    snprintf(changed, 80000, "%.*s%s%s%s\n%s", (int)(line - text), text,
             value ? key : "\"another\": ", value ? value : "1", end[-1] == ',' ? "," : "", end + 1);
    return changed;
}

/* What an older program wrote does not have it. */
static void a_later_field(void **state)
{
    struct journey found, expected = fake_journey;
    size_t length;
    char *text, *changed;

    (void)state;
    fake_journey_write(&fake_journey);
    text = read_text(&length);
    changed = with_field(text, "tried", NULL);
    fake_file(fake_below("journey.json"), changed, strlen(changed));
    fake_journey_read(&found);
    expected.tried[0] = 0;
    fake_journey_same(&found, &expected);
    free(changed);
    changed = with_field(text, "tried", "1");
    assert_damaged(changed, strlen(changed));
    free(changed);
    free(text);
}

static void wrong_fields(void **state)
{
    static const char *const names[] = {"step",          "phase",        "version", "medium",   "digest",
                                        "fetched_by_us", "image",        "edition", "language", "profile",
                                        "build",         "installed_at", "report"};
    static const char *const values[] = {NULL,         "null",          "[]",      "{}", "1.5", "-1",
                                         "4294967296", "\"a\\u0000b\"", "\"\xFF\""};
    static const char *const whole[] = {"", "null", "[]", "\"new\"", "{}", "{", "{\"step\": \"new\"}", "\0"};
    char longer[1200], *text, *changed;
    size_t length;

    (void)state;
    fake_journey_write(&fake_journey);
    text = read_text(&length);
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        for (size_t value = 0; value < ARRAY_SIZE(values); value++) {
            changed = with_field(text, names[n], values[value]);
            assert_damaged(changed, strlen(changed));
            free(changed);
        }
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        const bool number = n == 1 || n == 6 || n == 10, flag = n == 5;

        memset(longer, 'x', sizeof longer);
        longer[0] = longer[1100] = '"';
        longer[1101] = 0;
        changed = with_field(text, names[n], number || flag ? "\"1\"" : n ? longer : "\"further\"");
        assert_damaged(changed, strlen(changed));
        free(changed);
    }
    for (size_t n = 0; n < ARRAY_SIZE(whole); n++)
        assert_damaged(whole[n], strlen(whole[n]));
    changed = with_field(text, "build", "1, \"build\": 1");
    assert_damaged(changed, strlen(changed));
    free(changed);
    free(text);
}

static void unknown_fields_are_left_out(void **state)
{
    struct journey found;
    size_t length;
    char *text, *changed;

    (void)state;
    fake_journey_write(&fake_journey);
    text = read_text(&length);
    changed = with_field(text, "build", "4294967295, \"later\": {\"a\": []}");
    fake_text(fake_below("journey.json"), changed);
    free(changed);
    free(text);
    fake_journey_read(&found);
    fake_journey_same(&found, &fake_journey);
    fake_journey_write(&found);
    text = read_text(&length);
    assert_null(strstr(text, "later"));
    free(text);
}

static void files_that_are_none(void **state)
{
    struct journey found;
    char *large = calloc(1, 70000);

    (void)state;
    assert_non_null(large);
    memset(large, ' ', 70000);
    assert_damaged(large, 70000);
    free(large);
    unlink(fake_below("journey.json"));
    assert_int_equal(mkfifo(fake_below("journey.json"), 0600), 0);
    fake_refused(&error, journey_read(fake_folder, &found, &error), EILSEQ, "journey.json", "move journey.json away");
    unlink(fake_below("journey.json"));
    assert_int_equal(mkdir(fake_below("journey.json"), 0700), 0);
    fake_refused(&error, journey_read(fake_folder, &found, &error), EILSEQ, "journey.json", "move journey.json away");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(each_step_comes_back), IN_FOLDER(what_cannot_be_written), IN_FOLDER(damaged_files),
        IN_FOLDER(a_later_field),        IN_FOLDER(wrong_fields),           IN_FOLDER(unknown_fields_are_left_out),
        IN_FOLDER(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
