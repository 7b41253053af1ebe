/* Everything before Setup can run (see prepare.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/image.h"
#include "casement/log.h"
#include "prepare_private.h"

bool prepare_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

/* An image that is there is the disk, whatever format is asked for. */
static int find_in_folder(struct preparation *p, struct error *error)
{
    const char *folder = p->config->state;
    char raw[PATH_MAX], qcow2[PATH_MAX];
    bool raw_there, qcow2_there;

    if (strlen(folder) > PATH_MAX - 64)
        return error_set(error, ENAMETOOLONG, "--state: the path is too long; choose a shorter one");
    snprintf(raw, sizeof raw, "%s/data.img", folder);
    snprintf(qcow2, sizeof qcow2, "%s/data.qcow2", folder);
    raw_there = prepare_exists(raw);
    qcow2_there = prepare_exists(qcow2);
    if (raw_there && qcow2_there)
        return error_set(error, EEXIST,
                         "%s: has data.img and data.qcow2; which is the system disk? move the other away", folder);
    p->disk_there = raw_there || qcow2_there;
    p->qcow2 = p->disk_there ? qcow2_there : p->config->windows.disk_format == BLOCK_FORMAT_QCOW2;
    snprintf(p->disk, sizeof p->disk, "%s", p->qcow2 ? qcow2 : raw);
    return 0;
}

/* The user's disk is there, or the wishes would have been refused. */
static int find_disk(struct preparation *p, struct error *error)
{
    const char *given = p->config->windows.system_disk;

    if (!given)
        return find_in_folder(p, error);
    p->disk_there = true;
    p->qcow2 = image_name_is_qcow2(given);
    snprintf(p->disk, sizeof p->disk, "%s", given);
    return 0;
}

static void note_disk(struct preparation *p)
{
    const char *given = p->config->windows.system_disk;
    struct journey *journey = &p->journey;

    snprintf(journey->disk, sizeof journey->disk, "%s", given ? given : "");
    journey_disk_identity(p->disk, journey->disk_identity, sizeof journey->disk_identity);
}

static int refuse_disk(const struct preparation *p, struct error *error)
{
    const struct journey *journey = &p->journey;

    return error_set(error, EINVAL,
                     "%s: the journey of %s says that Windows is %s on %s%s%s, and this is another disk; give the "
                     "machine that one again, or `casement windows set-aside --state %s` to begin anew",
                     p->disk, p->config->state, journey_step_names[journey->step],
                     *journey->disk ? journey->disk : "the disk in that folder", *journey->disk_identity ? ", " : "",
                     journey->disk_identity, p->config->state);
}

/*
 * Is the disk that is named now the journey's? Setup, once it has begun, would wipe another one. An installed Windows
 * may have got another name, or have been copied.
 */
static int check_disk(struct preparation *p, struct error *error)
{
    const char *given = p->config->windows.system_disk, *was = p->journey.disk;
    bool same = strcmp(given ? given : "", was) == 0;
    char identity[sizeof p->journey.disk_identity];
    int used;

    if (p->journey.step == JOURNEY_INSTALLING) {
        journey_disk_identity(p->disk, identity, sizeof identity);
        return same && strcmp(identity, p->journey.disk_identity) == 0 ? 0 : refuse_disk(p, error);
    }
    if (same)
        return 0;
    used = p->disk_there ? journey_disk_used(p->disk, p->qcow2, error) : 0;
    if (used <= 0)
        return used < 0 ? used : refuse_disk(p, error);
    log_info("%s has a system on it and is started in place of %s", p->disk, *was ? was : "the disk in the folder");
    note_disk(p);
    return journey_write(p->config->state, &p->journey, error);
}

/* The journey does not know of the system that is on the disk: it is finished then, whoever did it. */
static int adopt(struct preparation *p, struct error *error)
{
    p->journey.step = JOURNEY_INSTALLED;
    snprintf(p->journey.report, sizeof p->journey.report, "found on the disk");
    if (!*p->journey.profile)
        snprintf(p->journey.profile, sizeof p->journey.profile, "%s", p->profile.used);
    note_disk(p);
    log_info("%s has a system or data on it; it is started and nothing is installed%s", p->disk,
             p->config->windows.system_disk ? " (fill it with zeroes first for that)" : "");
    return journey_write(p->config->state, &p->journey, error);
}

/* The program may have ended before it was deleted, or the user may have changed his mind. */
static int remove_medium(struct preparation *p, struct error *error)
{
    if (!p->journey.fetched_by_us || !p->config->windows.remove_medium)
        return 0;
    journey_delete_medium(&p->journey);
    p->journey.fetched_by_us = false;
    return journey_write(p->config->state, &p->journey, error);
}

static int look(struct preparation *p, struct error *error)
{
    const char *version = p->config->windows.version;
    int used, failed = find_disk(p, error);

    if (failed == 0)
        failed = journey_read(p->config->state, &p->journey, error);
    if (failed == 0 && p->journey.step >= JOURNEY_INSTALLING)
        failed = check_disk(p, error);
    if (failed < 0)
        return failed;
    profile_plan(&p->profile, &p->journey, &p->config->windows);
    if (p->journey.step >= JOURNEY_INSTALLING && !p->disk_there)
        return error_set(error, ENOENT,
                         "%s: the journey says that Windows is %s there, and the disk is gone; bring it back, or "
                         "`casement windows set-aside --state %s` to begin anew",
                         p->disk, journey_step_names[p->journey.step], p->config->state);
    if (p->journey.step == JOURNEY_INSTALLED) {
        if (strcmp(version, p->journey.version) != 0 && *p->journey.version)
            log_info("--version %s: %s is installed here and stays; `casement windows set-aside` makes room for "
                     "another",
                     version, p->journey.version);
        return remove_medium(p, error);
    }
    if (p->journey.step == JOURNEY_INSTALLING) {
        if (strcmp(version, p->journey.version) != 0)
            log_warning(
                "--version %s: the installation of %s is not finished and goes on; `casement windows set-aside` "
                "first, to begin anew",
                version, p->journey.version);
        return 0;
    }
    used = p->disk_there ? journey_disk_used(p->disk, p->qcow2, error) : 0;
    return used > 0 ? adopt(p, error) : used;
}

enum journey_step prepare_step(struct config *config)
{
    struct preparation p = {.config = config};
    struct error ignored;

    if (find_disk(&p, &ignored) < 0 || journey_read(config->state, &p.journey, &ignored) < 0)
        return JOURNEY_NEW;
    if (p.journey.step < JOURNEY_INSTALLING && p.disk_there && journey_disk_used(p.disk, p.qcow2, &ignored) > 0)
        return JOURNEY_INSTALLED;
    return p.journey.step;
}

int prepare_look(struct preparation *p, struct error *error)
{
    int failed = look(p, error);

    if (failed == 0)
        profile_plan(&p->profile, &p->journey, &p->config->windows);
    return failed;
}

static int make_disk(struct preparation *p, struct error *error)
{
    const struct image_options options = {.path = p->disk,
                                          .format = p->qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW,
                                          .size = p->config->windows.disk_size};
    int failed;

    if (p->disk_there)
        return 0;
    p->config->windows.answers.disk_size = options.size;
    failed = image_create_whole(&options, error);
    p->disk_there = failed == 0;
    return failed;
}

static int prepare_start_disc(struct preparation *p, struct error *error)
{
    log_info("%s is started before all else, and nothing is installed as long as --start-disc is given",
             p->config->windows.start_disc);
    if (p->profile.change == PROFILE_TRIES)
        p->profile = (struct profile_plan){.used = p->profile.used, .wished = p->profile.used};
    return make_disk(p, error);
}

static int prepare_setup(void *opaque, struct waiting *waiting, struct error *error)
{
    struct preparation *p = opaque;
    struct medium_image *image = calloc(1, sizeof *image);
    int failed = 0;

    if (!image)
        return error_set(error, ENOMEM, "the preparations: out of memory");
    if (profile_needs_drivers(p->profile.used) && !p->config->windows.drivers)
        failed = error_set(error, EINVAL,
                           "--profile %s: Windows has no driver for it on its medium; add --drivers with a virtio-win "
                           "disc image, or take --profile inbox",
                           p->profile.used);
    if (failed == 0)
        failed = prepare_check_answer_file(p, error);
    if (failed == 0)
        failed = prepare_medium(p, waiting, image, error);
    if (failed == 0)
        failed = make_disk(p, error);
    if (failed == 0)
        failed = prepare_disc(p, image, error);
    /* Until Setup is started, what is asked for may change. */
    if (failed == 0 && p->journey.step < JOURNEY_INSTALLING) {
        p->journey.step = JOURNEY_PREPARED;
        note_disk(p);
        snprintf(p->journey.profile, sizeof p->journey.profile, "%s", p->profile.used);
        failed = journey_write(p->config->state, &p->journey, error);
    }
    free(image);
    return failed;
}

int prepare(struct preparation *p, struct error *error)
{
    if (p->config->windows.start_disc)
        return prepare_start_disc(p, error);
    return p->journey.step == JOURNEY_INSTALLED ? 0 : waiting_run(p->config, prepare_setup, p, error);
}
