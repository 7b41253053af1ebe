/* One table of options feeds the parser, the environment, the help, and the reference in docs/. */
#ifndef CASEMENT_OPTIONS_H
#define CASEMENT_OPTIONS_H

#include <stdio.h>

#include "config.h"

/* Whose options: a few belong to one of them alone, and some defaults differ. */
enum options_command { OPTIONS_RUN = 1, OPTIONS_WINDOWS = 2 };

/*
 * Defaults, then the environment (CASEMENT_NAME for --name), then the arguments; the last one wins, lists grow.
 * arguments[0] is the first option. config is filled and stays the caller's to free, also on failure. 0, or -EINVAL
 * with a text.
 */
int options_parse(struct config *config, enum options_command command, int count, char **arguments,
                  struct error *error);
/* Whether the user said it by this name, in the environment or among the arguments. After options_parse(). */
bool options_given(const char *name);
/* The same, or by a variable of another name (below). */
bool options_wished(const char *name);
/*
 * The same with values that go by other names than CASEMENT_...: they come after the defaults and before the
 * environment. variable is the name that the user has given the value by, which texts then say instead of the option's;
 * NULL: by none. An option that there is not is an error, too. The strings of values live until the next parse.
 */
struct option_value {
    const char *name, *value, *variable; /* name: without the hyphens in front */
};
int options_parse_with(struct config *config, enum options_command command, const struct option_value *values,
                       size_t value_count, int count, char **arguments, struct error *error);
/* A text that begins with an option's name gets the variable's name instead, if the value came from there. */
void options_name_source(struct error *error);
/* What is in force after options_parse() and config_complete(), one `name = value (source)` a line; no secrets. */
void options_print(const struct config *config, FILE *to);
/* The command's options with their help. */
void options_help(enum options_command command, FILE *to);
/* The same with environment variables and exit codes, as Markdown. */
void options_reference(FILE *to);

#endif
