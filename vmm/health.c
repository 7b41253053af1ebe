/* `casement health`: whether the machine of this container answers, for an engine that asks by a command. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "commands.h"
#include "exit_codes.h"

#define CONTAINER_STATE "/storage" /* where a container keeps its machine unless STORAGE says another folder */

static char *container_state(void)
{
    char *given = getenv("STORAGE");

    return given && *given ? given : (char *)CONTAINER_STATE;
}

/* A command of `casement ctl` in their place would be obeyed. */
static bool only_options(int count, char **arguments)
{
    if (count == 0)
        return true;
    return !strncmp(arguments[0], "--", 2) && count == (strchr(arguments[0], '=') ? 1 : 2);
}

int health_main(int count, char **arguments, FILE *out)
{
    char *words[4];
    int number = 0;

    if (count == 1 && !strcmp(arguments[0], "--help")) {
        fputs("casement health [--control SOCKET | --state FOLDER]\n\n"
              "Says how the machine is in one line and returns 0, or why it does not answer and returns 1. Without an "
              "option\nit is the container's: in the folder that STORAGE names, or else in " CONTAINER_STATE ".\n",
              out);
        return EXIT_CODE_POWERED_OFF;
    }
    if (!only_options(count, arguments)) {
        fputs("casement: health: takes --control SOCKET or --state FOLDER alone; see `casement health --help`\n",
              stderr);
        return EXIT_CODE_FAILED;
    }
    if (count == 0 && !getenv("CASEMENT_STATE")) {
        words[number++] = (char *)"--state";
        words[number++] = container_state();
    }
    for (int n = 0; n < count; n++)
        words[number++] = arguments[n];
    words[number++] = (char *)"status";
    return ctl_main(number, words, out) == EXIT_CODE_POWERED_OFF ? EXIT_CODE_POWERED_OFF : EXIT_CODE_FAILED;
}
