/* See tool.h. */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "tool.h"

int tool_fail(const struct tool_call *call, int failed)
{
    /* Of the host, the network, or whoever stopped it; what was asked for is right. */
    static const int failures[] = {EIO, ENOSPC, ETIMEDOUT, EREMOTEIO, EPROTO, ECANCELED, ENOMEM};

    fprintf(stderr, "casement: %s: %s\n", call->tool->name, call->error.text);
    for (size_t n = 0; n < ARRAY_SIZE(failures); n++)
        if (failed == -failures[n])
            return TOOL_FAILED;
    return TOOL_REFUSED;
}

static void help(const struct tool *tool, FILE *out)
{
    fprintf(out, "casement %s COMMAND [OPTION...]: %s\n\n", tool->name, tool->about);
    for (size_t n = 0; n < tool->command_count; n++)
        fprintf(out, "  %-8s %-10s %s\n", tool->commands[n].name, tool->commands[n].words, tool->commands[n].help);
    fputs(tool->notes, out);
}

static int read_option(struct tool_call *call, const struct tool_command *command, int count, char **arguments, int *at)
{
    const struct tool *tool = call->tool;

    for (size_t option = 0; option < tool->option_count; option++) {
        if (strcmp(arguments[*at], tool->options[option].name) != 0)
            continue;
        if (!(command->options & (1U << option)))
            return error_set(&call->error, EINVAL, "%s: %s has no such option; leave it out", arguments[*at],
                             command->name);
        if (!tool->options[option].alone && ++*at == count)
            return error_set(&call->error, EINVAL, "%s: its value is missing; give one", tool->options[option].name);
        call->values[option] = arguments[*at];
        return 0;
    }
    return error_set(&call->error, EINVAL, "%s: no such option; see `casement %s --help`", arguments[*at], tool->name);
}

static int read_arguments(struct tool_call *call, const struct tool_command *command, int count, char **arguments)
{
    unsigned words = 0;

    for (int n = 0; n < count; n++) {
        int failed = 0;

        if (!strncmp(arguments[n], "--", 2))
            failed = read_option(call, command, count, arguments, &n);
        else if (words == command->count)
            failed = error_set(&call->error, EINVAL, "%s: too much for %s; give %s", arguments[n], command->name,
                               *command->words ? command->words : "nothing");
        else
            call->words[words++] = arguments[n];
        if (failed < 0)
            return failed;
    }
    return words == command->count
               ? 0
               : error_set(&call->error, EINVAL, "%s: too little; give %s", command->name, command->words);
}

int tool_main(const struct tool *tool, int count, char **arguments, FILE *out)
{
    struct tool_call call = {.tool = tool, .out = out};

    if (count == 0 || !strcmp(arguments[0], "--help")) {
        help(tool, count ? out : stderr);
        return count ? TOOL_GOOD : TOOL_REFUSED;
    }
    for (size_t n = 0; n < tool->command_count; n++) {
        int failed;

        if (strcmp(arguments[0], tool->commands[n].name) != 0)
            continue;
        if (count == 2 && !strcmp(arguments[1], "--help")) {
            help(tool, out);
            return TOOL_GOOD;
        }
        failed = read_arguments(&call, &tool->commands[n], count - 1, arguments + 1);
        return failed < 0 ? tool_fail(&call, failed) : tool->commands[n].run(&call);
    }
    return tool_fail(&call, error_set(&call.error, EINVAL, "%s: no such command; see `casement %s --help`",
                                      arguments[0], tool->name));
}
