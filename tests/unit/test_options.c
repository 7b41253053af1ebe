/* The table of options: what command line and environment make of it, and the reference that is generated from it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/options.h"

static struct config config;
static struct error error;

static int parse(unsigned count, const char *const *words)
{
    char *arguments[64];

    error.text[0] = 0;
    config_free(&config);
    for (unsigned n = 0; n < count; n++)
        arguments[n] = (char *)words[n];
    return options_parse(&config, OPTIONS_RUN, (int)count, arguments, &error);
}
#define PARSE(...) \
    parse(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

static int teardown(void **state)
{
    (void)state;
    config_free(&config);
    unsetenv("CASEMENT_CPUS");
    unsetenv("CASEMENT_DISK");
    unsetenv("CASEMENT_NESTED");
    unsetenv("CASEMENT_ON_RESET");
    unsetenv("CASEMENT_CPSU");
    unsetenv("CASEMENT_SOMETHING_ELSE");
    return 0;
}

/* One line that names the thing, its value and what to do. */
static void assert_refused(int result, const char *thing, const char *remedy)
{
    assert_int_equal(result, -EINVAL);
    assert_null(strchr(error.text, '\n'));
    if (!strstr(error.text, thing) || !strstr(error.text, remedy))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error.text, thing, remedy);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(parse(0, NULL), 0);
    assert_int_equal(config.cpus, 2);
    assert_true(config.memory == 2 * GiB);
    assert_true(config.hyperv);
    assert_false(config.nested || config.huge_pages || config.memory_shared || config.local_time);
    assert_int_equal(config.net, CONFIG_NET_USER);
    assert_int_equal(config.on_reset, CONFIG_RESET);
    assert_int_equal(config.on_triple_fault, CONFIG_RESET);
    assert_int_equal(config.io_engine, BLOCK_ENGINE_AUTO);
    assert_int_equal(config.display_width, 1280);
    assert_int_equal(config.display_height, 800);
    assert_int_equal(config.stop_timeout, 105);
    assert_string_equal(config.serial, "stdio");
    assert_string_equal(config.state, "machine");
    assert_null(config.firmware);
    assert_int_equal(config.disk_count + config.forward_count, 0);
}

static void both_ways_to_write_a_value(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--cpus", "4", "--memory=512M", "--nested", "--hyperv=off", "--on-triple-fault", "stop"), 0);
    assert_int_equal(config.cpus, 4);
    assert_true(config.memory == 512 * MiB);
    assert_true(config.nested);
    assert_false(config.hyperv);
    assert_int_equal(config.on_triple_fault, CONFIG_STOP);
    assert_int_equal(PARSE("--append", "console=ttyS0 a=b", "--append=root=/dev/vda"), 0);
    assert_string_equal(config.append, "root=/dev/vda");
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"64M", 64 * MiB}, {"65536k", 64 * MiB}, {"1073741824", GiB}, {"3G", 3 * GiB}, {"1T", 1024 * GiB}};
    static const char *const bad[] = {
        "63M", "1.5G", "", "G", "-1G", "2Q", "2GG", "99999999999T", "18446744073709551616"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
        assert_int_equal(PARSE("--memory", good[n].text), 0);
        assert_true(config.memory == good[n].bytes);
    }
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        assert_refused(PARSE("--memory", bad[n]), "--memory", "give 64M");
}

static void numbers_have_limits(void **state)
{
    static const char *const bad[] = {"0", "65", "-1", "2x", "", "99999999999999999999"};

    (void)state;
    assert_int_equal(PARSE("--cpus", "1"), 0);
    assert_int_equal(PARSE("--cpus", "64"), 0);
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        assert_refused(PARSE("--cpus", bad[n]), "--cpus", "1 to 64");
    assert_refused(PARSE("--cpus", "65"), "--cpus 65: above the limit", "1 to 64");
    assert_refused(PARSE("--cpus", "0"), "--cpus 0: below the limit", "1 to 64");
    assert_refused(PARSE("--memory", "63M"), "--memory 63M: below the limit", "64M to 1024G");
    assert_refused(PARSE("--memory", "2T"), "--memory 2T: above the limit", "64M to 1024G");
    assert_refused(PARSE("--net", "tap"), "--net tap", "user|nat|bridge|none");
    assert_refused(PARSE("--net", "use"), "--net use", "user|nat|bridge|none");
}

static void mistyped_options_get_a_suggestion(void **state)
{
    (void)state;
    assert_refused(PARSE("--memroy", "1G"), "--memroy", "did you mean --memory?");
    assert_refused(PARSE("--kernal=x"), "--kernal", "did you mean --kernel?");
    assert_refused(PARSE("--quite-something-else"), "--quite-something-else", "--help");
    assert_refused(PARSE("disk.img"), "disk.img", "--help");
    assert_refused(PARSE("--"), "--", "--help");
    assert_refused(PARSE("--cpus"), "--cpus", "give --cpus N");
}

/* Otherwise `--disk --cpus 4` would look for a disk of that name, and leave the processors at two. */
static void an_option_is_not_a_value(void **state)
{
    (void)state;
    assert_refused(PARSE("--disk", "--cpus", "4"), "--disk: no value", "--disk=VALUE");
    assert_int_equal(PARSE("--append=--flag", "--cpus", "4"), 0);
    assert_string_equal(config.append, "--flag");
    assert_int_equal(config.cpus, 4);
    assert_refused(PARSE("--state="), "--state", "give FOLDER");
    assert_int_equal(PARSE("--append="), 0);
}

static void environment_is_below_the_command_line(void **state)
{
    (void)state;
    setenv("CASEMENT_CPUS", "8", 1);
    setenv("CASEMENT_NESTED", "on", 1);
    setenv("CASEMENT_ON_RESET", "stop", 1);
    assert_int_equal(parse(0, NULL), 0);
    assert_int_equal(config.cpus, 8);
    assert_true(config.nested);
    assert_int_equal(config.on_reset, CONFIG_STOP);
    assert_int_equal(PARSE("--cpus", "3"), 0);
    assert_int_equal(config.cpus, 3);
    /* Compose files pass empty variables for what was left open. */
    setenv("CASEMENT_CPUS", "", 1);
    assert_int_equal(parse(0, NULL), 0);
    assert_int_equal(config.cpus, 2);
    setenv("CASEMENT_CPUS", "many", 1);
    assert_refused(parse(0, NULL), "CASEMENT_CPUS many", "1 to 64");
    assert_null(strstr(error.text, "--cpus"));
    assert_refused(PARSE("--cpus", "all"), "CASEMENT_CPUS many", "1 to 64");
    setenv("CASEMENT_CPUS", "4", 1);
    assert_refused(PARSE("--cpus", "all"), "--cpus all", "1 to 64");
}

/* Variables of another program that this one takes as its options. */
static void values_by_other_names(void **state)
{
    const struct option_value cores[] = {{"cpus", "4", "CPU_CORES"}, {"memory", "3G", NULL}};
    const struct option_value bad[] = {{"cpus", "65", "CPU_CORES"}}, unknown[] = {{"cpsu", "4", "CPU_CORES"}};
    const struct option_value forwards[] = {{"forward", "0.0.0.0:80:80", "USER_PORTS"},
                                            {"forward", "0.0.0.0:3389:3389", NULL}};

    (void)state;
    assert_int_equal(options_parse_with(&config, OPTIONS_RUN, cores, 2, 0, NULL, &error), 0);
    assert_int_equal(config.cpus, 4);
    assert_true(config.memory == 3 * GiB);
    /* By another name, and by nobody. */
    assert_true(options_wished("cpus") && !options_given("cpus"));
    assert_false(options_wished("memory") || options_wished("name"));
    config_free(&config);
    setenv("CASEMENT_CPUS", "3", 1);
    assert_int_equal(options_parse_with(&config, OPTIONS_RUN, cores, 2, 0, NULL, &error), 0);
    assert_int_equal(config.cpus, 3);
    config_free(&config);
    unsetenv("CASEMENT_CPUS");
    assert_refused(options_parse_with(&config, OPTIONS_RUN, bad, 1, 0, NULL, &error), "CPU_CORES 65: above", "1 to 64");
    config_free(&config);
    assert_refused(options_parse_with(&config, OPTIONS_RUN, unknown, 1, 0, NULL, &error),
                   "CPU_CORES: stands for --cpsu", "leave");
    config_free(&config);
    /* Of a list, the value that the text is about. */
    assert_int_equal(options_parse_with(&config, OPTIONS_RUN, forwards, 2, 0, NULL, &error), 0);
    error_set(&error, EINVAL, "--forward 0.0.0.0:80:80: in use");
    options_name_source(&error);
    assert_string_equal(error.text, "USER_PORTS 0.0.0.0:80:80: in use");
    error_set(&error, EINVAL, "--forward 0.0.0.0:3389:3389: in use");
    options_name_source(&error);
    assert_string_equal(error.text, "--forward 0.0.0.0:3389:3389: in use");
}

static void mistyped_variables_are_refused(void **state)
{
    (void)state;
    setenv("CASEMENT_CPSU", "4", 1);
    assert_refused(parse(0, NULL), "CASEMENT_CPSU", "did you mean CASEMENT_CPUS?");
    unsetenv("CASEMENT_CPSU");
    setenv("CASEMENT_SOMETHING_ELSE", "4", 1);
    assert_refused(parse(0, NULL), "CASEMENT_SOMETHING_ELSE", "options.md");
    unsetenv("CASEMENT_SOMETHING_ELSE");
    /* What Kubernetes sets for a service of this name. */
    setenv("CASEMENT_PORT_80_TCP", "tcp://10.0.0.1:80", 1);
    setenv("CASEMENT_SERVICE_HOST", "10.0.0.1", 1);
    setenv("CASEMENT_PORT", "tcp://10.0.0.1:80", 1);
    setenv("CASEMENT_TEST_ANYTHING", "1", 1);
    assert_int_equal(parse(0, NULL), 0);
    unsetenv("CASEMENT_PORT_80_TCP");
    unsetenv("CASEMENT_SERVICE_HOST");
    unsetenv("CASEMENT_PORT");
    unsetenv("CASEMENT_TEST_ANYTHING");
}

static void lists_in_the_environment(void **state)
{
    (void)state;
    setenv("CASEMENT_DISK", "a.img,readonly;b.img", 1);
    assert_int_equal(parse(0, NULL), 0);
    assert_int_equal(config.disk_count, 2);
    assert_string_equal(config.disks[0].path, "a.img");
    assert_true(config.disks[0].read_only);
    assert_string_equal(config.disks[1].path, "b.img");
}

/* What a stream got, as a string to be freed. */
static char *written_by(void (*write)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    write(out);
    fclose(out);
    return text;
}

static void print(FILE *to)
{
    options_print(&config, to);
}

static void what_is_in_force_names_its_source(void **state)
{
    char *text;

    (void)state;
    setenv("CASEMENT_ON_RESET", "stop", 1);
    assert_int_equal(PARSE("--cpus=3", "--disk", "a", "--disk", "b", "--state", "/nowhere"), 0);
    assert_int_equal(config_complete(&config, &error), 0);
    text = written_by(print);
    assert_non_null(strstr(text, "cpus = 3 (command line)\n"));
    assert_non_null(strstr(text, "on-reset = stop (environment)\n"));
    assert_non_null(strstr(text, "memory = 2G (default)\n"));
    assert_non_null(strstr(text, "disk = a (command line)\ndisk = b (command line)\n"));
    assert_non_null(strstr(text, "vars = /nowhere/vars.fd (below --state)\n"));
    assert_non_null(strstr(text, "control = /nowhere/control.sock (below --state)\n"));
    assert_non_null(strstr(text, "uuid =  (made by the first run)\n"));
    assert_non_null(strstr(text, "forward =  (default)\n"));
    free(text);
    /* As `casement windows` does without one, of whatever form. */
    assert_int_equal(PARSE("--cpus=3"), 0);
    assert_int_equal(config_add_forward(&config, "127.0.0.1:3389:3389", &error), 0);
    assert_int_equal(config_add_forward(&config, "5000:50/udp", &error), 0);
    text = written_by(print);
    assert_non_null(strstr(text, "forward = 127.0.0.1:3389:3389;127.0.0.1:5000:50/udp (for remote desktop)\n"));
    free(text);
    assert_int_equal(PARSE("--uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f"), 0);
    assert_int_equal(config_complete(&config, &error), 0);
    text = written_by(print);
    assert_non_null(strstr(text, "uuid = 00010203-0405-0607-0809-0a0b0c0d0e0f (command line)\n"));
    assert_non_null(strstr(text, "mac = 52:54:00:0d:0e:0f (from the UUID)\n"));
    free(text);
}

static void help_of_run(FILE *to)
{
    options_help(OPTIONS_RUN, to);
}

static void help_and_reference_name_every_option(void **state)
{
    static const char *const names[] = {"cpus",    "memory", "disk",         "forward",
                                        "display", "kernel", "stop-timeout", "uuid"};
    char *help = written_by(help_of_run), *reference = written_by(options_reference);

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        char text[64];

        snprintf(text, sizeof text, "--%s", names[n]);
        assert_non_null(strstr(help, text));
        assert_non_null(strstr(reference, text));
    }
    free(help);
    free(reference);
}

/* docs/options.md is what `make docs` writes. The test runs in the tree's root. */
static void the_reference_in_docs_is_up_to_date(void **state)
{
    char *reference = written_by(options_reference), *file = NULL;
    size_t size = 0;
    FILE *in = fopen("docs/options.md", "re");

    (void)state;
    assert_non_null(in);
    assert_true(getdelim(&file, &size, 0, in) > 0);
    fclose(in);
    if (strcmp(reference, file) != 0)
        fail_msg("docs/options.md is not what the table says; run `make docs`");
    free(reference);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(defaults, teardown),
        cmocka_unit_test_teardown(both_ways_to_write_a_value, teardown),
        cmocka_unit_test_teardown(sizes, teardown),
        cmocka_unit_test_teardown(numbers_have_limits, teardown),
        cmocka_unit_test_teardown(mistyped_options_get_a_suggestion, teardown),
        cmocka_unit_test_teardown(an_option_is_not_a_value, teardown),
        cmocka_unit_test_teardown(values_by_other_names, teardown),
        cmocka_unit_test_teardown(mistyped_variables_are_refused, teardown),
        cmocka_unit_test_teardown(environment_is_below_the_command_line, teardown),
        cmocka_unit_test_teardown(lists_in_the_environment, teardown),
        cmocka_unit_test_teardown(what_is_in_force_names_its_source, teardown),
        cmocka_unit_test_teardown(help_and_reference_name_every_option, teardown),
        cmocka_unit_test_teardown(the_reference_in_docs_is_up_to_date, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
