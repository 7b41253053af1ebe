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

static int configure(const struct install *install, struct config *config, struct source *source, struct error *error)
{
    int failed = options_parse_with(config, OPTIONS_WINDOWS, install->values, install->value_count, install->count,
                                    install->arguments, error);

    if (failed == 0)
        failed = wishes_complete(config, source, error);
    return failed == 0 ? config_complete(config, error) : failed;
}

static int run_machine(struct preparation *p)
{
    const struct config_windows *windows = &p->config->windows;
    struct follow follow = {.folder = p->config->state,
                            .journey = &p->journey,
                            .medium = 1,
                            .disc = 2,
                            .profile = p->profile,
                            .watched = p->watched,
                            .remove_medium = windows->remove_medium,
                            .silent = windows->answer_file || windows->answers.no_autologon || windows->answers.manual};

    return machine_main(p->config, windows->start_disc ? NULL : follow_start(&follow));
}

/* The state folder is ours from here on. */
static int go(struct preparation *p, struct error *error)
{
    int failed = prepare_look(p, error);

    if (failed == 0)
        failed = prepare(p, error);
    if (failed == 0)
        failed = prepare_disks(p, error);
    if (failed == 0)
        return run_machine(p);
    log_error("%s", error->text);
    return failed == -ECANCELED ? EXIT_CODE_POWERED_OFF : EXIT_CODE_FAILED;
}

/* Refusals first, so that a machine that cannot start leaves no trace, least of all on the volume of another one that
 * runs; then what the options name but is not there. */
static int check(const struct install *install, const struct config *config, struct error *error)
{
    int failed = kvm_check(error);

    if (failed < 0) {
        refuse(error);
        return EXIT_CODE_NO_KVM;
    }
    failed = state_check(config, error);
    if (failed == 0 && install->make)
        failed = install->make(install->opaque, error);
    if (failed == 0)
        failed = config_check(config, error);
    return failed < 0 ? refuse(error) : 0;
}

static int run_configured(const struct install *install, struct preparation *p)
{
    struct error error = {""};
    int state, exit_code;

    if (configure(install, p->config, &p->source, &error) < 0)
        return refuse(&error);
    log_set_level(p->config->log_level);
    log_set_format(p->config->log_format);
    for (size_t n = 0; n < install->warning_count; n++)
        log_warning("%s", install->warnings[n]);
    /* From here on none is lost: pid 1 of a container has no other way to end. */
    lifecycle_block_signals();
    exit_code = check(install, p->config, &error);
    if (exit_code)
        return exit_code;
    state = state_take(p->config, &error);
    if (state < 0)
        return refuse(&error);
    exit_code = go(p, &error);
    close(state);
    return exit_code;
}

int install_run(const struct install *install)
{
    struct config config = {0};
    struct preparation *p = calloc(1, sizeof *p);
    struct error error;
    int exit_code;

    if (!p) {
        error_set(&error, ENOMEM, "the installation: out of memory");
        return refuse(&error);
    }
    p->config = &config;
    p->disc = p->trial = -1;
    exit_code = run_configured(install, p);
    if (p->disc >= 0)
        close(p->disc);
    if (p->trial >= 0)
        close(p->trial);
    free(p);
    config_free(&config);
    return exit_code;
}

int install_config(const struct install *install)
{
    struct config config = {0};
    struct source source;
    struct error error;
    int failed = configure(install, &config, &source, &error);

    if (failed == 0)
        options_print(&config, stdout);
    config_free(&config);
    return failed < 0 ? refuse(&error) : EXIT_CODE_POWERED_OFF;
}
