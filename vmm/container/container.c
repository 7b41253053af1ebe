/* The entry point of a container (see container.h). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../exit_codes.h"
#include "../network/network.h"
#include "../windows/install.h"
#include "casement/log.h"
#include "container.h"
#include "environment.h"

static int make_disks(void *settings, struct error *error)
{
    return container_settings_make_disks(settings, error);
}

static void usage(void)
{
    fputs("casement container [OPTION...]\n"
          "casement container config [OPTION...]\n\n"
          "The entry point of a container: `casement windows` with the variables of dockurr/windows, which "
          "docs/container.md\n"
          "lists, and with what is bound at /storage, /custom.iso, /oem, /drivers and so on. Options, and variables "
          "that\n"
          "begin with CASEMENT_, come before them; `casement windows --help` has them. `config` says what it would "
          "use.\n",
          stdout);
}

int container_main(int count, char **arguments)
{
    char why[512];
    struct container_place place = {.root = "", .variables = environ};
    const bool only_config = count > 0 && !strcmp(arguments[0], "config");
    struct container_settings settings;
    struct install install = {.count = count - only_config, .arguments = arguments + only_config, .make = make_disks};
    struct error error;
    int exit_code;

    if (count == 1 && !strcmp(arguments[0], "--help")) {
        usage();
        return EXIT_CODE_POWERED_OFF;
    }
    if (network_best(why, sizeof why) != CONFIG_NET_NAT)
        place.no_nat = why;
    place.six = network_has_both();
    log_set_output(STDOUT_FILENO);
    if (container_settings_read(&place, &settings, &error) < 0) {
        fprintf(stderr, "casement: %s\n", error.text);
        exit_code = EXIT_CODE_CONFIGURATION;
    } else {
        install.values = settings.options;
        install.value_count = settings.option_count;
        install.warnings = settings.warnings;
        install.warning_count = settings.warning_count;
        install.opaque = &settings;
        exit_code = only_config ? install_config(&install) : install_run(&install);
    }
    container_settings_free(&settings);
    return exit_code;
}
