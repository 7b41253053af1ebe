/* One table of options feeds the parser, the environment, the help, and the reference in docs/. */
#ifndef CASEMENT_OPTIONS_H
#define CASEMENT_OPTIONS_H

#include <stdio.h>

#include "config.h"

/*
 * Defaults, then the environment (CASEMENT_NAME for --name), then the arguments; the last one wins, lists grow.
 * arguments[0] is the first option. config is filled and stays the caller's to free, also on failure. 0, or -EINVAL
 * with a text.
 */
int options_parse(struct config *config, int count, char **arguments, struct error *error);
/*
 * The same with values that go by other names than CASEMENT_...: they come after the defaults and before the
 * environment. variable is the name that the user has given the value by, which texts then say instead of the option's;
 * NULL: by none. An option that there is not is an error, too. The strings of values live until the next parse.
 */
struct option_value {
    const char *name, *value, *variable; /* name: without the hyphens in front */
};
int options_parse_with(struct config *config, const struct option_value *values, size_t value_count, int count,
                       char **arguments, struct error *error);
/* A text that begins with an option's name gets the variable's name instead, if the value came from there. */
void options_name_source(struct error *error);
/* What is in force after options_parse() and config_complete(), one `name = value (source)` a line. */
void options_print(const struct config *config, FILE *to);
/* The options with their help, for `casement run --help`. */
void options_help(FILE *to);
/* The same with environment variables and exit codes, as Markdown. */
void options_reference(FILE *to);

#endif
