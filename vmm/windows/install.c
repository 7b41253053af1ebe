/* From a wish to a running Windows (see install.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../config.h"
#include "../exit_codes.h"
#include "../kvm_probe.h"
#include "../machine.h"
#include "../options.h"
#include "casement/log.h"
#include "follow.h"
#include "install.h"
#include "prepare.h"
#include "wishes.h"

static int refuse(struct error *error)
{
    options_name_source(error);
    fprintf(stderr, "casement: %s\n", error->text);
    return EXIT_CODE_CONFIGURATION;
}

static int configure(struct config *config, struct source *source, int count, char **arguments, struct error *error)
{
    int failed = options_parse(config, OPTIONS_WINDOWS, count, arguments, error);

    if (failed == 0)
        failed = wishes_complete(config, source, error);
    return failed == 0 ? config_complete(config, error) : failed;
}

static int run_machine(struct preparation *p)
{
    struct follow follow = {.folder = p->config->state,
                            .journey = &p->journey,
                            .medium = 1,
                            .disc = 2,
                            .profile = p->profile,
                            .watched = p->watched,
                            .remove_medium = p->config->windows.remove_medium};

    return machine_main(p->config, follow_start(&follow));
}

/* The state folder is ours from here on. */
static int go(struct preparation *p, struct error *error)
{
    int failed = prepare_look(p, error);

    if (failed == 0 && p->journey.step != JOURNEY_INSTALLED)
        failed = waiting_run(p->config, prepare, p, error);
    if (failed == 0)
        failed = prepare_disks(p, error);
    if (failed == 0)
        return run_machine(p);
    log_error("%s", error->text);
    return failed == -ECANCELED ? EXIT_CODE_POWERED_OFF : EXIT_CODE_FAILED;
}

static int run_configured(struct config *config, int count, char **arguments)
{
    struct preparation *p = calloc(1, sizeof *p);
    struct error error = {""};
    int state, exit_code;

    if (!p) {
        error_set(&error, ENOMEM, "the installation: out of memory");
        return refuse(&error);
    }
    p->config = config;
    p->disc = p->trial = -1;
    if (configure(config, &p->source, count, arguments, &error) < 0 || config_check(config, &error) < 0) {
        exit_code = refuse(&error);
    } else if (kvm_check(&error) < 0) {
        refuse(&error);
        exit_code = EXIT_CODE_NO_KVM;
    } else if ((state = state_take(config, &error)) < 0) {
        exit_code = refuse(&error);
    } else {
        log_set_level(config->log_level);
        exit_code = go(p, &error);
        close(state);
    }
    if (p->disc >= 0)
        close(p->disc);
    if (p->trial >= 0)
        close(p->trial);
    free(p);
    return exit_code;
}

int install_main(int count, char **arguments)
{
    struct config config = {0};
    int exit_code = run_configured(&config, count, arguments);

    config_free(&config);
    return exit_code;
}

int install_config(int count, char **arguments)
{
    struct config config = {0};
    struct source source;
    struct error error;
    int failed = configure(&config, &source, count, arguments, &error);

    if (failed == 0)
        options_print(&config, stdout);
    config_free(&config);
    return failed < 0 ? refuse(&error) : EXIT_CODE_POWERED_OFF;
}
