/* docs/container.md: the table of variables as Markdown. */
#include <string.h>

#include "environment_private.h"

/* In a cell a bar would end it. */
static void print_cell(FILE *to, const char *text)
{
    for (; text && *text; text++)
        fprintf(to, *text == '|' ? "\\|" : "%c", *text);
}

/* NULL: there is an option, or another row tells it. */
static const char *without_option(const struct variable *variable)
{
    if (variable->option || variable->kind == VARIABLE_PART || variable->kind == VARIABLE_WORDS)
        return NULL;
    return variable->kind == VARIABLE_NOTHING || variable->kind == VARIABLE_PLACE ? "nothing" : "an error";
}

static void print_words(FILE *to, const char *words)
{
    for (; words; words = strchr(words, '|') ? strchr(words, '|') + 1 : NULL)
        fprintf(to, "`%.*s`%s", (int)strcspn(words, "|"), words, strchr(words, '|') ? ", " : "");
}

/* What it becomes: the option, or that it is none; but for values that say what is so anyway; and more. */
static void print_meaning_here(FILE *to, const struct variable *variable)
{
    const char *none = without_option(variable);

    if (variable->option)
        fprintf(to, "`--%s`", variable->option);
    else if (none)
        fputs(none, to);
    if (none && variable->words) {
        fputs(" but for ", to);
        print_words(to, variable->words);
    }
    if (variable->here && (variable->option || none))
        fputs(": ", to);
    print_cell(to, variable->here);
}

void container_reference(FILE *to)
{
    fputs("# The environment of the container\n\n"
          "Made by `make docs` from the program's own table. The variables are those of the container dockurr/windows, "
          "so that a compose\nfile keeps them when its image changes; beside each stands the option of `casement "
          "windows` that it becomes.\nA variable without meaning here is a line in the log, and the machine starts; "
          "it is an error where the machine would be\nanother one than was asked for in what data it touches, who "
          "reaches it, or how it is protected.\n\n"
          "Options come from here first, then from variables that begin with `CASEMENT_` (docs/options.md), then from "
          "the command; the\nlast one wins. Y and N may also be yes and no, true and false, 1 and 0, on and off, "
          "enable and disable. Sizes are such as 4G,\n4 GB, 1.5T or 512M; a number alone is in GiB (for RAM_SIZE from "
          "130 on in MiB). An empty variable counts as none, and a secret\nthat is given both by value and by file is "
          "an error.\n",
          to);
    for (size_t n = 0; n < container_variable_count; n++) {
        const struct variable *variable = &container_variables[n];

        if (variable->group)
            fprintf(to, "\n## %s\n\n| name | default there | meaning | here |\n| --- | --- | --- | --- |\n",
                    variable->group);
        fprintf(to, "| `%s` | ", variable->name);
        print_cell(to, variable->fallback);
        fputs(variable->fallback ? " | " : "| ", to);
        print_cell(to, variable->meaning);
        fputs(" | ", to);
        print_meaning_here(to, variable);
        fputs(" |\n", to);
    }
}
