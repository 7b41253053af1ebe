/* What walks over the table of options (see options.h). */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "exit_codes.h"
#include "options.h"
#include "options_table.h"
#include "spelling.h"

/* What was given and by whom; the last one of an option that does not repeat. */
static struct given {
    const struct option *option;
    const char *source;
    char *value;
} given[OPTIONS_MOST + CONFIG_DISKS + CONFIG_FORWARDS + CONFIG_HOST_PORTS + CONFIG_WEB_HOSTS + 3];
static size_t given_count;
static enum options_command parsed_for;

static const char defaults[] = "default", container[] = "container", environment[] = "environment",
                  command_line[] = "command line";

static bool belongs(const struct option *option, enum options_command command)
{
    return !option->only || option->only == (unsigned char)command;
}

static const char *fallback_of(const struct option *option, enum options_command command)
{
    return !belongs(option, command)                       ? NULL
           : command == OPTIONS_WINDOWS && option->windows ? option->windows
                                                           : option->fallback;
}

static const struct given *last_given(const struct option *option)
{
    for (size_t n = given_count; n--;)
        if (given[n].option == option)
            return &given[n];
    return NULL;
}

bool options_given(const char *name)
{
    for (size_t n = 0; n < given_count; n++)
        if (!strcmp(given[n].option->name, name) && (given[n].source == environment || given[n].source == command_line))
            return true;
    return false;
}

bool options_wished(const char *name)
{
    for (size_t n = 0; n < given_count; n++)
        if (!strcmp(given[n].option->name, name) && given[n].source != defaults && given[n].source != container)
            return true;
    return false;
}

static void drop(struct given *entry)
{
    if (entry->value && entry->option->secret)
        explicit_bzero(entry->value, strlen(entry->value));
    free(entry->value);
}

static void note(const struct option *option, const char *value, const char *source)
{
    struct given *entry = option->repeats ? NULL : (struct given *)last_given(option);

    if (!entry && given_count < ARRAY_SIZE(given))
        entry = &given[given_count++];
    if (!entry)
        return; /* more disks, forwards or names than a machine takes: refused in a moment */
    drop(entry);
    *entry = (struct given){option, source, strdup(value)};
}

static void forget_given(void)
{
    while (given_count)
        drop(&given[--given_count]);
    memset(given, 0, sizeof given);
}

static void variable_name(const struct option *option, char *name, size_t size)
{
    size_t used = (size_t)snprintf(name, size, "CASEMENT_%s", option->name);

    for (size_t n = 0; n < used && n < size; n++)
        name[n] = name[n] == '-' ? '_' : (char)toupper((unsigned char)name[n]);
}

static int apply_number(const struct option *option, uint64_t *member, const char *value, struct error *error)
{
    static const char suffixes[] = "KMGT";
    char *end;
    uint64_t number, unit = 1;
    const char *suffix, *problem = NULL;

    errno = 0;
    number = strtoull(value, &end, 10);
    suffix = option->type == SIZE && *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    if (suffix) {
        unit = UINT64_C(1) << (10 * (suffix - suffixes + 1));
        end += !strcasecmp(end + 1, "iB") ? 3 : !strcasecmp(end + 1, "B") ? 2 : 1;
    }
    if (!isdigit((unsigned char)*value) || *end)
        problem = option->type == SIZE ? "not a size" : "not a whole number";
    else if (errno || number > option->most / unit)
        problem = "above the limit";
    else if (number * unit < option->least)
        problem = "below the limit";
    if (problem && option->type == SIZE)
        return error_set(error, EINVAL, "--%s %s: %s; give %" PRIu64 "M to %" PRIu64 "G", option->name, value, problem,
                         option->least / (uint64_t)MiB, option->most / (uint64_t)GiB);
    if (problem)
        return error_set(error, EINVAL, "--%s %s: %s; give %" PRIu64 " to %" PRIu64, option->name, value, problem,
                         option->least, option->most);
    *member = number * unit;
    return 0;
}

static int apply_choice(const struct option *option, void *member, const char *value, struct error *error)
{
    const char *choice = option->choices;

    for (unsigned index = 0; choice; index++) {
        size_t length = strcspn(choice, "|");

        if (strlen(value) == length && !strncmp(choice, value, length)) {
            put_le(member, (unsigned)option->choice_size, index);
            return 0;
        }
        choice = choice[length] ? choice + length + 1 : NULL;
    }
    return error_set(error, EINVAL, "--%s %s: not one of its values; give %s", option->name, value, option->choices);
}

static int apply(struct config *config, const struct option *option, const char *value, const char *source,
                 struct error *error)
{
    void *member = (char *)config + option->member;
    char *text;

    note(option, value, source);
    switch (option->type) {
    case FLAG:
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
            return error_set(error, EINVAL, "--%s %s: not one of its values; give on or off", option->name, value);
        *(bool *)member = value[1] == 'n';
        return 0;
    case NUMBER:
    case SIZE:
        return apply_number(option, member, value, error);
    case TEXT:
        if (!*value && strcmp(option->metavar, "TEXT") != 0)
            return error_set(error, EINVAL, "--%s: its value is empty; give %s or leave it out", option->name,
                             option->metavar);
        text = strdup(value);
        if (!text)
            return error_set(error, ENOMEM, "configuration: out of memory");
        free(*(char **)member);
        *(char **)member = text;
        return 0;
    case CHOICE:
        return apply_choice(option, member, value, error);
    default:
        return option->apply(config, value, error);
    }
}

static const struct option *find_option(const char *name, size_t length)
{
    for (size_t n = 0; n < option_count; n++)
        if (strlen(option_table[n].name) == length && !strncmp(option_table[n].name, name, length))
            return &option_table[n];
    return NULL;
}

/* The option that was probably meant, or NULL. */
static const struct option *nearest_option(const char *name, size_t length)
{
    const struct option *nearest = NULL;
    unsigned best = 4;

    for (size_t n = 0; n < option_count; n++) {
        unsigned away = spelling_distance(name, length, option_table[n].name);

        if (away < best && away < length) {
            best = away;
            nearest = &option_table[n];
        }
    }
    return nearest;
}

static int unknown_option(const char *name, size_t length, struct error *error)
{
    int shown = (int)MIN(length, (size_t)64);
    const struct option *nearest = nearest_option(name, (size_t)shown);

    if (nearest)
        return error_set(error, EINVAL, "--%.*s: unknown option; did you mean --%s?", shown, name, nearest->name);
    return error_set(error, EINVAL, "--%.*s: unknown option; see `casement run --help`", shown, name);
}

static int parse_argument(struct config *config, int count, char **arguments, int *at, struct error *error)
{
    const char *argument = arguments[*at], *value = NULL;
    const struct option *option;

    if (strncmp(argument, "--", 2) != 0 || !argument[2])
        return error_set(error, EINVAL, "%s: not an option; options begin with --, see `casement run --help`",
                         argument);
    argument += 2;
    option = find_option(argument, strcspn(argument, "="));
    if (!option)
        return unknown_option(argument, strcspn(argument, "="), error);
    if (!belongs(option, parsed_for))
        return error_set(error, EINVAL, "--%s: %s; leave it out", option->name,
                         parsed_for == OPTIONS_RUN ? "is an option of `casement windows`"
                                                   : "is an option of `casement run`, which `casement windows` "
                                                     "decides by itself");
    argument += strlen(option->name);
    if (*argument == '=')
        value = argument + 1;
    else if (option->type == FLAG)
        value = "on";
    else if (*at + 1 < count && strncmp(arguments[*at + 1], "--", 2) != 0)
        value = arguments[++*at];
    else if (*at + 1 < count)
        return error_set(error, EINVAL,
                         "--%s: no value, for %s is an option; give --%s %s (a value that begins with -- is "
                         "written --%s=VALUE)",
                         option->name, arguments[*at + 1], option->name, option->metavar, option->name);
    else
        return error_set(error, EINVAL, "--%s: no value; give --%s %s", option->name, option->name, option->metavar);
    return apply(config, option, value, command_line, error);
}

/* A list in the environment is separated by line ends or semicolons. */
static int apply_variable(struct config *config, const struct option *option, const char *value, struct error *error)
{
    char *copy = strdup(value), *rest = copy;
    int failed = copy ? 0 : error_set(error, ENOMEM, "configuration: out of memory");

    if (!option->repeats) {
        failed = failed ? failed : apply(config, option, value, environment, error);
        free(copy);
        return failed;
    }
    for (char *item; failed == 0 && (item = strsep(&rest, ";\n"));)
        if (*item)
            failed = apply(config, option, item, environment, error);
    free(copy);
    return failed;
}

static int apply_environment(struct config *config, struct error *error)
{
    int failed = 0;

    for (size_t n = 0; n < option_count && failed == 0; n++) {
        char name[64];
        const char *value;

        variable_name(&option_table[n], name, sizeof name);
        value = belongs(&option_table[n], parsed_for) ? getenv(name) : NULL;
        if (value && *value)
            failed = apply_variable(config, &option_table[n], value, error);
    }
    return failed;
}

/* What is not ours though it has our prefix: tests' own settings, and what Kubernetes and container links set about a
 * service that is called casement. */
static bool belongs_to_others(const char *name)
{
    static const char *const prefixes[] = {"TEST_", "SERVICE_", "PORT=", "PORT_"};

    for (size_t n = 0; n < ARRAY_SIZE(prefixes); n++)
        if (!strncmp(name, prefixes[n], strlen(prefixes[n])))
            return true;
    return false;
}

/* A mistyped variable would be silently without effect. */
static int check_environment(struct error *error)
{
    static const char prefix[] = "CASEMENT_";

    for (char **variable = environ; *variable; variable++) {
        const char *name = *variable + sizeof prefix - 1;
        size_t length = strcspn(*variable, "=") - (sizeof prefix - 1);
        const struct option *nearest;
        char lower[64] = "", expected[64];

        if (strncmp(*variable, prefix, sizeof prefix - 1) != 0 || belongs_to_others(name))
            continue;
        for (size_t n = 0; n < MIN(length, sizeof lower - 1); n++)
            lower[n] = name[n] == '_' ? '-' : (char)tolower((unsigned char)name[n]);
        nearest = nearest_option(lower, strlen(lower));
        if (nearest) {
            variable_name(nearest, expected, sizeof expected);
            if (strlen(expected) == sizeof prefix - 1 + length && !strncmp(*variable, expected, strlen(expected)))
                continue;
            return error_set(error, EINVAL, "%s%.*s: unknown variable; did you mean %s?", prefix,
                             (int)MIN(length, sizeof lower), name, expected);
        }
        return error_set(error, EINVAL,
                         "%s%.*s: unknown variable; unset it, or see docs/options.md for those there are", prefix,
                         (int)MIN(length, sizeof lower), name);
    }
    return 0;
}

static int apply_values(struct config *config, const struct option_value *values, size_t count, struct error *error)
{
    int failed = 0;

    for (size_t n = 0; n < count && failed == 0; n++) {
        const char *name = values[n].name, *variable = values[n].variable;
        const struct option *option = find_option(name, strlen(name));

        failed = option
                     ? apply(config, option, values[n].value, variable ? variable : container, error)
                     : error_set(error, EINVAL, "%s: stands for --%s, which this program does not have; leave it out",
                                 variable ? variable : container, name);
    }
    return failed;
}

int options_parse_with(struct config *config, enum options_command command, const struct option_value *values,
                       size_t value_count, int count, char **arguments, struct error *error)
{
    int failed;

    *config = (struct config){0};
    parsed_for = command;
    forget_given();
    failed = check_environment(error);
    for (size_t n = 0; n < option_count && failed == 0; n++)
        if (fallback_of(&option_table[n], command))
            failed = apply(config, &option_table[n], fallback_of(&option_table[n], command), defaults, error);
    if (failed == 0)
        failed = apply_values(config, values, value_count, error);
    if (failed == 0)
        failed = apply_environment(config, error);
    for (int at = 0; at < count && failed == 0; at++)
        failed = parse_argument(config, count, arguments, &at, error);
    if (failed < 0)
        options_name_source(error);
    return failed;
}

int options_parse(struct config *config, enum options_command command, int count, char **arguments, struct error *error)
{
    return options_parse_with(config, command, NULL, 0, count, arguments, error);
}

/* Of an option that was given several times, the value that the text goes on with; else the last one. */
static const struct given *given_in(const struct option *option, const char *rest)
{
    for (size_t n = given_count; n-- && *rest == ' ';) {
        size_t length = given[n].option == option && given[n].value ? strlen(given[n].value) : 0;

        if (length && !strncmp(rest + 1, given[n].value, length) && strchr(" :,", rest[1 + length]))
            return &given[n];
    }
    return last_given(option);
}

/* The name of the variable that the value came from; false: it was none. */
static bool source_name(const struct given *from, char *name, size_t size)
{
    if (from->source == defaults || from->source == container || from->source == command_line)
        return false;
    if (from->source == environment)
        variable_name(from->option, name, size);
    else
        snprintf(name, size, "%s", from->source);
    return true;
}

void options_name_source(struct error *error)
{
    const struct error copy = *error;

    for (size_t n = 0; n < option_count && !strncmp(copy.text, "--", 2); n++) {
        const char *rest = copy.text + 2 + strlen(option_table[n].name);
        const struct given *from;
        char name[64];

        if (strncmp(copy.text + 2, option_table[n].name, strlen(option_table[n].name)) != 0 || !strchr(" :", *rest))
            continue;
        from = given_in(&option_table[n], rest);
        if (from && source_name(from, name, sizeof name))
            error_set(error, EINVAL, "%s%s", name, rest);
    }
}

static void print_derived(const struct config *config, const struct option *option, FILE *to)
{
    const char *text = option->type == FLAG ? "off" : "", *source = "default";
    char shown[64] = "";

    if (option->type == TEXT && option->derived) {
        text = *(char *const *)((const char *)config + option->member);
        source = text ? option->derived : "none";
    } else if (option->show) {
        option->show(config, shown, sizeof shown);
        text = shown;
        source = *shown ? option->derived : option->repeats ? source : "made by the first run";
    }
    fprintf(to, "%s = %s (%s)\n", option->name, text ? text : "", source);
}

void options_print(const struct config *config, FILE *to)
{
    for (size_t n = 0; n < option_count; n++) {
        if (!belongs(&option_table[n], parsed_for))
            continue;
        if (!last_given(&option_table[n]))
            print_derived(config, &option_table[n], to);
        for (size_t item = 0; item < given_count; item++)
            if (given[item].option == &option_table[n])
                fprintf(to, "%s = %s (%s)\n", option_table[n].name,
                        option_table[n].secret && *given[item].value ? "(not shown)" : given[item].value,
                        given[item].source);
    }
}

void options_help(enum options_command command, FILE *to)
{
    for (size_t n = 0; n < option_count; n++) {
        const struct option *option = &option_table[n];

        if (!belongs(option, command))
            continue;
        if (option->group)
            fprintf(to, "\n%s:\n", option->group);
        fprintf(to, "  --%s%s%s\n      %s", option->name, option->metavar ? " " : "",
                option->metavar ? option->metavar : "", option->help);
        if (fallback_of(option, command))
            fprintf(to, " (default %s)", fallback_of(option, command));
        if (option->repeats)
            fprintf(to, "; may be given several times");
        fputc('\n', to);
    }
}

static void print_cell(FILE *to, const char *text)
{
    for (; *text; text++)
        fprintf(to, *text == '|' ? "\\|" : "%c", *text);
}

void options_reference(FILE *to)
{
    fprintf(to, "# Options of `casement run` and `casement windows`\n\n"
                "Made by `make docs` from the program's own table. The environment is read first, then the command "
                "line; the last one "
                "wins.\nLists in the environment are separated by semicolons. A value that begins with `--` is written "
                "`--option=--value`.\nA variable that begins with `CASEMENT_` and is none of these is an error, except "
                "`CASEMENT_TEST_...`, and `CASEMENT_SERVICE_...` and\n`CASEMENT_PORT...`, which Kubernetes sets for a "
                "service of that name.\n");
    for (size_t n = 0; n < option_count; n++) {
        const struct option *option = &option_table[n];
        char name[64];

        variable_name(option, name, sizeof name);
        if (option->group)
            fprintf(to, "\n## %s\n\n| option | environment | default | meaning |\n| --- | --- | --- | --- |\n",
                    option->group);
        fprintf(to, "| `--%s%s", option->name, option->metavar ? " " : "");
        print_cell(to, option->metavar ? option->metavar : "");
        fprintf(to, "` | `%s` | %s", name, option->fallback ? option->fallback : option->type == FLAG ? "off" : "");
        if (option->windows)
            fprintf(to, " (`windows`: %s)", option->windows);
        fputs(" | ", to);
        print_cell(to, option->help);
        fprintf(to, "%s |\n", option->repeats ? "; may be given several times" : "");
    }
    fprintf(to, "\n# Exit status\n\n| status | meaning |\n| --- | --- |\n");
#define X(name, value, meaning) fprintf(to, "| %d | %s |\n", value, meaning);
    EXIT_CODES(X)
#undef X
}
