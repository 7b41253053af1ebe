/* The medium: found, fetched, known for what it is (see prepare_private.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "answers.h"
#include "casement/log.h"
#include "medium.h"
#include "prepare_private.h"

/* Noted before the first byte, so that a medium that is whole when the program is killed is known to be ours. */
static int fetch_medium(struct preparation *p, struct waiting *waiting, struct error *error)
{
    const struct config_windows *windows = &p->config->windows;
    struct fetch_options options = {.path = p->journey.medium,
                                    .connections = (unsigned)windows->connections,
                                    .progress = waiting_progress,
                                    .opaque = waiting};
    int failed = prepare_try_disc(p, error);

    if (failed < 0)
        return failed;
    if (p->journey.step < JOURNEY_INSTALLING)
        p->journey.step = JOURNEY_NEW;
    p->journey.fetched_by_us = true;
    failed = journey_write(p->config->state, &p->journey, error);
    if (failed == 0) {
        waiting_say(waiting, p->source.entry ? "Looking for the medium" : "Asking for the medium");
        failed = source_fetch(&p->source, windows->answers.language, &options, p->journey.digest, error);
        /* A file that has this name then is the user's. */
        p->journey.fetched_by_us = failed == 0;
        if (failed < 0) {
            p->journey.digest[0] = 0;
            journey_write(p->config->state, &p->journey, NULL);
        }
    }
    if (failed == 0 && !options.sha256)
        log_warning("%s: nobody has said what its SHA-256 must be; it is %s", p->journey.medium, p->journey.digest);
    return failed;
}

/* A file that somebody has put where the catalogue's would be: another one may be meant, a damaged one is not. */
static int check_found(struct preparation *p, struct waiting *waiting, struct error *error)
{
    const char *path = p->journey.medium, *sha256;
    struct stat info;
    uint64_t size;
    int failed;

    if (!source_known(&p->source, p->config->windows.answers.language, &size, &sha256)) {
        log_info("%s: is there already and taken as it is", path);
        return 0;
    }
    if (stat(path, &info) < 0)
        return error_set(error, errno, "%s: %s; put a disc image there, or nothing", path, strerror(errno));
    if ((uint64_t)info.st_size != size) {
        log_info("%s: is there already and taken as it is; it is another medium than the vendor's of %" PRIu64
                 " bytes, whose SHA-256 is known",
                 path, size);
        return 0;
    }
    waiting_say(waiting, "Verifying the medium that is there");
    failed = fetch_digest(path, waiting_progress, waiting, p->journey.digest, error);
    if (failed == 0 && strcasecmp(p->journey.digest, sha256) != 0)
        failed =
            error_set(error, EBADMSG,
                      "%s: has the size of the vendor's medium, but its SHA-256 is %s instead of %s: it is damaged; "
                      "remove it, and it is downloaded",
                      path, p->journey.digest, sha256);
    return failed;
}

/* What was downloaded for the one before is nobody's then. The place is one that the journey has room for. */
static void take_another(struct preparation *p, const char *place)
{
    struct journey *journey = &p->journey;

    if (p->config->windows.remove_medium)
        journey_delete_medium(journey);
    else if (journey->fetched_by_us && prepare_exists(journey->medium))
        log_info("%s: is not used any more; delete it when nobody needs it", journey->medium);
    journey->fetched_by_us = false;
    journey->digest[0] = 0;
    if (journey->step < JOURNEY_INSTALLING)
        journey->step = JOURNEY_NEW;
    memcpy(journey->medium, place, strlen(place) + 1);
}

static int get_medium(struct preparation *p, struct waiting *waiting, struct error *error)
{
    char place[PATH_MAX];
    bool known;
    int failed;

    source_place(&p->source, p->config->state, p->config->windows.answers.language, place);
    if (strlen(place) >= sizeof p->journey.medium)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long; choose a shorter one", place);
    /* What is installed goes on with its own medium, as long as it is there. */
    if (p->journey.step == JOURNEY_INSTALLING && prepare_exists(p->journey.medium))
        return 0;
    if (p->journey.step == JOURNEY_INSTALLING && strcmp(p->journey.version, p->source.text) != 0)
        return error_set(error, ENOENT,
                         "%s: the medium of the installation that goes on is gone; give --version %s again, or "
                         "`casement windows set-aside --state %s` to begin anew",
                         p->journey.medium, p->journey.version, p->config->state);
    failed = source_check("--version", &p->source, error);
    if (failed < 0)
        return failed;
    if (strcmp(place, p->journey.medium) != 0)
        take_another(p, place);
    known = p->journey.step != JOURNEY_NEW || p->journey.fetched_by_us;
    snprintf(p->journey.version, sizeof p->journey.version, "%s", p->source.text);
    if (!prepare_exists(place))
        failed = fetch_medium(p, waiting, error);
    else if (!known && (p->source.entry || p->source.is_link))
        failed = check_found(p, waiting, error);
    if (failed == 0 && p->journey.step == JOURNEY_NEW) {
        p->journey.step = JOURNEY_FETCHED;
        failed = journey_write(p->config->state, &p->journey, error);
    }
    return failed;
}

/* The name of the catalogue that it was asked for by; NULL: by none. What goes on is what it began with. */
static const struct catalogue_entry *entry_of(const struct preparation *p)
{
    struct source source;
    struct error ignored;

    if (!strcmp(p->journey.version, p->source.text))
        return p->source.entry;
    return source_find("", p->journey.version, &source, &ignored) == 0 ? source.entry : NULL;
}

/* The edition that the user names; else the one that the system's name stands for, where the medium has it. */
static const struct medium_image *choose(const struct preparation *p, const struct medium *medium, struct error *error)
{
    const struct catalogue_entry *entry = entry_of(p);
    struct answers wishes = p->config->windows.answers;
    const struct medium_image *chosen;
    struct error ignored;

    if (wishes.manual)
        wishes.edition = NULL;
    if (wishes.edition || !entry)
        return answers_choose(&wishes, medium, error);
    wishes.edition = entry->edition;
    chosen = answers_choose(&wishes, medium, &ignored);
    wishes.edition = NULL;
    return chosen ? chosen : answers_choose(&wishes, medium, error);
}

static int identify(struct preparation *p, struct medium_image *image, struct error *error)
{
    struct medium *medium = calloc(1, sizeof *medium);
    const struct medium_image *chosen;
    int failed;

    if (!medium)
        return error_set(error, ENOMEM, "%s: out of memory", p->journey.medium);
    failed = medium_identify(p->journey.medium, medium, error);
    if (failed == 0) {
        chosen = choose(p, medium, error);
        failed = chosen ? answers_check_image(&p->config->windows.answers, chosen, error) : -EINVAL;
        if (failed == 0 && !medium->boots_efi)
            failed =
                error_set(error, ENOTSUP, "%s: UEFI firmware cannot start it; get a medium as the vendor publishes it",
                          p->journey.medium);
        *image = chosen ? *chosen : (struct medium_image){0};
    }
    free(medium);
    if (failed < 0)
        return failed;
    log_info("%s: %s, build %u.%u, %s", p->journey.medium, *image->display_name ? image->display_name : image->name,
             image->build, image->revision, image->language);
    if (!p->config->windows.answer_file && !p->config->windows.answers.manual)
        answers_warn(&p->config->windows.answers, image);
    p->journey.image = image->index;
    p->journey.build = image->build;
    snprintf(p->journey.edition, sizeof p->journey.edition, "%s", image->edition);
    snprintf(p->journey.language, sizeof p->journey.language, "%s", image->language);
    return 0;
}

int prepare_medium(struct preparation *p, struct waiting *waiting, struct medium_image *image, struct error *error)
{
    int failed = get_medium(p, waiting, error);

    if (failed < 0)
        return failed;
    waiting_say(waiting, "Preparing the installation");
    return identify(p, image, error);
}
