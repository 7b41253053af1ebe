/*
 * Commands of the program that are tools: a command of their own, its words, options that each command takes or not.
 * `casement image` and `casement windows` are tables of this.
 */
#ifndef CASEMENT_TOOL_H
#define CASEMENT_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "casement/error.h"
#include "exit_codes.h"

#define TOOL_WORDS 2
#define TOOL_OPTIONS 16

enum {
    TOOL_GOOD = EXIT_CODE_POWERED_OFF,
    TOOL_FAILED = EXIT_CODE_FAILED,
    TOOL_REFUSED = EXIT_CODE_CONFIGURATION,
};

struct tool_option {
    const char *name; /* --format */
    bool alone;       /* without a value */
};

struct tool_call {
    const struct tool *tool;
    const char *words[TOOL_WORDS];
    const char *values[TOOL_OPTIONS]; /* by option; NULL: not given; of one without a value its name */
    FILE *out;
    struct error error;
};

struct tool_command {
    const char *name, *words, *help;
    unsigned count;   /* of words */
    unsigned options; /* those that it takes, 1 << option */
    int (*run)(struct tool_call *call);
};

struct tool {
    const char *name, *about;
    const struct tool_option *options;
    size_t option_count;
    const struct tool_command *commands;
    size_t command_count;
    const char *notes; /* of the help, behind the commands */
};

/* Finds the command and runs it. arguments[0] is the first behind the tool's name. Returns the exit status. */
int tool_main(const struct tool *tool, int count, char **arguments, FILE *out);
/* Says call->error in one line; the exit status for that -errno. */
int tool_fail(const struct tool_call *call, int failed);

#endif
