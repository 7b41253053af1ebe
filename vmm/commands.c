/* Which command was asked for (see commands.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "commands.h"
#include "config.h"
#include "container/container.h"
#include "container/environment.h"
#include "exit_codes.h"
#include "kvm_probe.h"
#include "machine.h"
#include "options.h"

static int wrong(const char *text)
{
    fprintf(stderr, "casement: %s\n", text);
    return EXIT_CODE_CONFIGURATION;
}

static bool asks_for(int count, char **arguments, const char *option)
{
    return count == 1 && !strcmp(arguments[0], option);
}

static void usage(FILE *out)
{
    fputs("casement runs a virtual machine on /dev/kvm.\n\n"
          "  casement run [OPTION...]     run a machine until it powers off\n"
          "  casement check               what this host offers and lacks\n"
          "  casement ctl COMMAND         speak to a running machine\n"
          "  casement health              whether the machine of this container answers\n"
          "  casement image COMMAND       make, look at, mend and copy disk images\n"
          "  casement windows [OPTION...] install and run Windows; tools for its media\n"
          "  casement container           the entry point of a container: `windows` by variables of dockurr/windows\n"
          "  casement config [OPTION...]  what `run` with these options and this environment would use\n"
          "  casement config --reference  all options and exit statuses, as Markdown\n"
          "  casement config --container-reference\n"
          "                               all variables of the container, as Markdown\n"
          "  casement --version\n\n"
          "`casement run --help`, and --help of ctl, image and windows, say more.\n",
          out);
}

/* In the name of the variable that a value came from. */
static int refuse(struct error *error)
{
    options_name_source(error);
    return wrong(error->text);
}

/* Everything is looked at before the first thing is made, so that a machine that cannot start leaves no trace. */
static int run_configured(int count, char **arguments, struct config *config)
{
    struct error error;
    int state, exit_code;

    if (options_parse(config, OPTIONS_RUN, count, arguments, &error) < 0 || config_complete(config, &error) < 0 ||
        config_check(config, &error) < 0)
        return refuse(&error);
    if (kvm_check(&error) < 0) {
        wrong(error.text);
        return EXIT_CODE_NO_KVM;
    }
    log_set_level(config->log_level);
    log_set_format(config->log_format);
    state = state_take(config, &error);
    if (state < 0)
        return refuse(&error);
    exit_code = machine_main(config, NULL);
    close(state);
    return exit_code;
}

static int run_main(int count, char **arguments)
{
    struct config config = {0};
    int exit_code;

    if (asks_for(count, arguments, "--help")) {
        fputs("casement run [OPTION...]\n", stdout);
        options_help(OPTIONS_RUN, stdout);
        return EXIT_CODE_POWERED_OFF;
    }
    exit_code = run_configured(count, arguments, &config);
    config_free(&config);
    return exit_code;
}

static int config_main(int count, char **arguments)
{
    struct config config = {0};
    struct error error;
    int failed;

    if (asks_for(count, arguments, "--reference")) {
        options_reference(stdout);
        return EXIT_CODE_POWERED_OFF;
    }
    if (asks_for(count, arguments, "--container-reference")) {
        container_reference(stdout);
        return EXIT_CODE_POWERED_OFF;
    }
    if (asks_for(count, arguments, "--help")) {
        usage(stdout);
        return EXIT_CODE_POWERED_OFF;
    }
    failed = options_parse(&config, OPTIONS_RUN, count, arguments, &error);
    if (failed == 0)
        failed = config_complete(&config, &error);
    if (failed == 0)
        options_print(&config, stdout);
    config_free(&config);
    return failed < 0 ? refuse(&error) : EXIT_CODE_POWERED_OFF;
}

static int check_command(int count, char **arguments)
{
    if (asks_for(count, arguments, "--help")) {
        usage(stdout);
        return EXIT_CODE_POWERED_OFF;
    }
    return count ? wrong("check: takes no options; leave them out") : check_main(stdout);
}

static int ctl_command(int count, char **arguments)
{
    return ctl_main(count, arguments, stdout);
}

static int health_command(int count, char **arguments)
{
    return health_main(count, arguments, stdout);
}

static int image_command(int count, char **arguments)
{
    return image_main(count, arguments, stdout);
}

static int windows_command(int count, char **arguments)
{
    return windows_main(count, arguments, stdout);
}

/* What reached a full disk or a closed pipe was not said. */
static int finish(int exit_code)
{
    if (fflush(stdout) == 0 || exit_code != EXIT_CODE_POWERED_OFF)
        return exit_code;
    fprintf(stderr, "casement: standard output: %s; make room or keep it open\n", strerror(errno));
    return EXIT_CODE_FAILED;
}

int casement_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*main)(int count, char **arguments);
    } commands[] = {{"run", run_main},
                    {"check", check_command},
                    {"ctl", ctl_command},
                    {"health", health_command},
                    {"image", image_command},
                    {"windows", windows_command},
                    {"container", container_main},
                    {"config", config_main}};
    struct error error;

    if (argc < 2) {
        usage(stderr);
        return EXIT_CODE_CONFIGURATION;
    }
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++)
        if (!strcmp(argv[1], commands[n].name))
            return finish(commands[n].main(argc - 2, argv + 2));
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return finish(EXIT_CODE_POWERED_OFF);
    }
    if (!strcmp(argv[1], "--version")) {
        puts("casement " CASEMENT_VERSION);
        return finish(EXIT_CODE_POWERED_OFF);
    }
    error_set(
        &error, EINVAL,
        "%s: no such command; give run, check, ctl, health, image, windows, container or config, see `casement --help`",
        argv[1]);
    return wrong(error.text);
}
