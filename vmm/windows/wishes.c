/* From options to wishes that are whole (see wishes.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../options.h"
#include "../viewer/secret.h"
#include "casement/bytes.h"
#include "casement/input.h"
#include "casement/log.h"
#include "locales.h"
#include "prepare.h"
#include "wishes.h"

/* The system disk, the medium, the answer disc, a disk for a driver to be tried on; or fewer others. */
#define DISKS_OF_OURS 4
#define RDP "127.0.0.1:3389:3389"

/* One of the pair: the text itself, or the file that has it. */
static int read_secret(const char *option, const char *path, const char **value, struct error *error)
{
    char text[1024], *copy;
    bool exposed = false;
    int failed;

    if (!path)
        return 0;
    if (*value)
        return error_set(error, EINVAL, "%s %s: the value itself was given as well; leave one of them out", option,
                         path);
    failed = secret_line(option, path, text, sizeof text, &exposed, error);
    copy = failed == 0 ? strdup(text) : NULL;
    explicit_bzero(text, sizeof text);
    if (failed < 0)
        return failed;
    if (!copy)
        return error_set(error, ENOMEM, "configuration: out of memory");
    if (exposed)
        log_warning("%s %s: other users can read it; chmod 600", option, path);
    *value = copy;
    return 0;
}

static int read_secrets(struct config_windows *windows, struct error *error)
{
    int failed = read_secret("--password-file", windows->password_file, &windows->answers.password, error);

    if (failed == 0)
        failed = read_secret("--domain-password-file", windows->domain_password_file, &windows->answers.domain_password,
                             error);
    return failed == 0 ? read_secret("--key-file", windows->key_file, &windows->answers.key, error) : failed;
}

/* The machine types on the layout that Windows will have, where it knows that one. */
static int choose_layout(struct config *config, struct error *error)
{
    const struct answers *answers = &config->windows.answers;
    const char *const texts[] = {answers->keyboard, answers->region, answers->language};
    struct error ignored;

    if (options_given("keyboard"))
        return 0;
    for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
        const struct locale *locale = texts[n] ? locale_find(texts[n]) : NULL;

        if (locale)
            return input_layout_check(locale->tag, "", &ignored) == 0 ? config_set_keyboard(config, locale->tag, error)
                                                                      : 0;
    }
    return 0;
}

static int check_folder(const char *option, const char *path, struct error *error)
{
    struct stat info;

    if (!path)
        return 0;
    if (stat(path, &info) < 0 || access(path, R_OK | (S_ISDIR(info.st_mode) ? X_OK : 0)) < 0)
        return error_set(error, errno, "%s %s: %s; name one that can be read", option, path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return error_set(error, ENOTDIR, "%s %s: is no folder; name the folder that the files are in", option, path);
    return 0;
}

static int check_file(const char *option, const char *path, bool or_folder, struct error *error)
{
    struct stat info;

    if (!path)
        return 0;
    if (stat(path, &info) < 0 || access(path, R_OK) < 0)
        return error_set(error, errno, "%s %s: %s; name one that can be read", option, path, strerror(errno));
    if (!S_ISREG(info.st_mode) && !(or_folder && S_ISDIR(info.st_mode)))
        return error_set(error, EINVAL, "%s %s: is no file; name one", option, path);
    return 0;
}

static int check_places(const struct config_windows *windows, struct error *error)
{
    int failed = check_folder("--oem", windows->oem, error);

    if (failed == 0)
        failed = check_file("--answer-file", windows->answer_file, false, error);
    return failed == 0 ? check_file("--drivers", windows->drivers, true, error) : failed;
}

/* Setup asks for it then, or has no occasion to do it. */
static int check_manual(const struct config_windows *windows, struct error *error)
{
    static const char *const names[] = {
        "edition",   "region",      "keyboard-locale", "key",
        "key-file",  "user",        "password",        "password-file",
        "computer",  "workgroup",   "autologon",       "domain",
        "domain-ou", "domain-user", "domain-password", "domain-password-file",
        "command",   "oem",         "time-zone",
    };
    char unused[512] = "";

    if (!windows->answers.manual)
        return 0;
    if (windows->answer_file)
        return error_set(error, EINVAL, "--answer-file %s: with --manual nothing is answered; leave one of them out",
                         windows->answer_file);
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        if (options_wished(names[n]))
            snprintf(unused + strlen(unused), sizeof unused - strlen(unused), " --%s", names[n]);
    if (*unused)
        log_warning("--manual: not used, for Setup asks for it or is not there to do it:%s", unused);
    return 0;
}

/* It is never made: a name that is wrong must not become another disk, which is empty. */
static int check_system_disk(const char *path, struct error *error)
{
    struct stat info;

    if (!path)
        return 0;
    if (strlen(path) >= sizeof((struct journey *)NULL)->disk)
        return error_set(error, ENAMETOOLONG, "--system-disk: the path is too long; choose a shorter one");
    if (stat(path, &info) < 0)
        return error_set(error, errno,
                         "--system-disk %s: %s; name a block device, or an image that `casement image create` has made",
                         path, strerror(errno));
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return error_set(error, EINVAL, "--system-disk %s: neither a block device nor a file; name one", path);
    return 0;
}

/*
 * What is for Setup alone. A Windows that is installed needs nothing of it, and must start when files that it was made
 * from have gone; an installation that has begun has its own medium.
 */
static int check_for_setup(struct config *config, const struct source *source, enum journey_step step,
                           struct error *error)
{
    int failed = 0;

    if (step < JOURNEY_INSTALLED)
        failed = read_secrets(&config->windows, error);
    if (failed == 0 && step < JOURNEY_INSTALLED)
        failed = answers_check(&config->windows.answers, error);
    if (failed == 0 && step < JOURNEY_INSTALLED)
        failed = check_places(&config->windows, error);
    if (failed == 0 && step < JOURNEY_INSTALLED)
        failed = check_manual(&config->windows, error);
    return failed == 0 && step < JOURNEY_INSTALLING ? source_check("--version", source, error) : failed;
}

int wishes_complete(struct config *config, struct source *source, struct error *error)
{
    struct config_windows *windows = &config->windows;
    struct answers *answers = &windows->answers;
    int failed = source_find("--version", windows->version, source, error);

    answers->width = config->display_width;
    answers->height = config->display_height;
    answers->memory = config->memory;
    answers->nested = config->nested;
    windows->profile_given = options_given("profile");
    windows->disk_size_given = options_wished("disk-size");
    windows->disk_format_given = options_wished("disk-format");
    answers->has_oem = windows->oem != NULL;
    answers->shares = config->share_count;
    if (failed == 0 && windows->disk_size % 512)
        failed = error_set(error, EINVAL, "--disk-size: not a multiple of 512 bytes; give it in M or G");
    if (failed == 0)
        failed = check_system_disk(windows->system_disk, error);
    if (failed == 0)
        failed = check_file("--start-disc", windows->start_disc, false, error);
    if (failed == 0 && !windows->start_disc)
        failed = check_for_setup(config, source, prepare_step(config), error);
    if (failed == 0)
        failed = choose_layout(config, error);
    if (failed == 0 && config->disk_count > CONFIG_DISKS - DISKS_OF_OURS)
        failed = error_set(error, EINVAL, "--disk: at most %d beside the system disk and its media; leave some out",
                           CONFIG_DISKS - DISKS_OF_OURS);
    if (failed == 0 && !config->forward_count && config->net == CONFIG_NET_USER)
        failed = config_add_forward(config, RDP, error);
    return failed;
}
