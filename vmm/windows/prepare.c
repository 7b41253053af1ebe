/* Everything before Setup can run (see prepare.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answers.h"
#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/image.h"
#include "casement/log.h"
#include "disc.h"
#include "drivers.h"
#include "medium.h"
#include "prepare.h"

#define OEM_MAX (2 * GiB)
#define ANSWER_FILE_MAX (1 * MiB)

static bool exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

/* An image that is there is the disk, whatever format is asked for. */
static int find_disk(struct preparation *p, struct error *error)
{
    const char *folder = p->config->state;
    char raw[PATH_MAX], qcow2[PATH_MAX];
    bool raw_there, qcow2_there;

    if (strlen(folder) > PATH_MAX - 64)
        return error_set(error, ENAMETOOLONG, "--state: the path is too long; choose a shorter one");
    snprintf(raw, sizeof raw, "%s/data.img", folder);
    snprintf(qcow2, sizeof qcow2, "%s/data.qcow2", folder);
    raw_there = exists(raw);
    qcow2_there = exists(qcow2);
    if (raw_there && qcow2_there)
        return error_set(error, EEXIST,
                         "%s: has data.img and data.qcow2; which is the system disk? move the other away", folder);
    p->disk_there = raw_there || qcow2_there;
    p->qcow2 = p->disk_there ? qcow2_there : p->config->windows.disk_format == BLOCK_FORMAT_QCOW2;
    snprintf(p->disk, sizeof p->disk, "%s", p->qcow2 ? qcow2 : raw);
    return 0;
}

/* The journey does not know of the system that is on the disk: it is finished then, whoever did it. */
static int adopt(struct preparation *p, struct error *error)
{
    p->journey.step = JOURNEY_INSTALLED;
    snprintf(p->journey.report, sizeof p->journey.report, "found on the disk");
    if (!*p->journey.profile)
        snprintf(p->journey.profile, sizeof p->journey.profile, "%s", p->profile.used);
    log_info("%s has a system or data on it; it is started and nothing is installed", p->disk);
    return journey_write(p->config->state, &p->journey, error);
}

static int look(struct preparation *p, struct error *error)
{
    const char *version = p->config->windows.version;
    int used, failed = find_disk(p, error);

    if (failed == 0)
        failed = journey_read(p->config->state, &p->journey, error);
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
        return 0;
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

/* Noted before the first byte, so that a medium that is whole when the program is killed is known to be ours. */
static int fetch_medium(struct preparation *p, struct waiting *waiting, struct error *error)
{
    const struct config_windows *windows = &p->config->windows;
    struct fetch_options options = {.path = p->journey.medium,
                                    .connections = (unsigned)windows->connections,
                                    .progress = waiting_progress,
                                    .opaque = waiting};
    char *link = NULL;
    int failed;

    p->journey.fetched_by_us = true;
    failed = journey_write(p->config->state, &p->journey, error);
    if (failed == 0) {
        waiting_say(waiting, p->source.entry ? "Looking for the medium" : "Asking for the medium");
        failed = source_link(&p->source, windows->answers.language, p->journey.medium, &link, &options, error);
    }
    if (failed == 0) {
        options.url = link;
        failed = fetch(&options, p->journey.digest, error);
    }
    if (failed == 0 && !options.sha256)
        log_warning("%s: nobody has said what its SHA-256 must be; it is %s", p->journey.medium, p->journey.digest);
    free(link);
    return failed;
}

static int get_medium(struct preparation *p, struct waiting *waiting, struct error *error)
{
    char place[PATH_MAX];
    bool known;
    int failed = 0;

    source_place(&p->source, p->config->state, p->config->windows.answers.language, place);
    if (strlen(place) >= sizeof p->journey.medium)
        return error_set(error, ENAMETOOLONG, "%s: the path is too long; choose a shorter one", place);
    known = p->journey.step >= JOURNEY_FETCHED || !strcmp(place, p->journey.medium);
    /* What is installed goes on with its own medium, as long as it is there. */
    if (p->journey.step == JOURNEY_INSTALLING && exists(p->journey.medium))
        return 0;
    if (p->journey.step == JOURNEY_INSTALLING && strcmp(p->journey.version, p->source.text) != 0)
        return error_set(error, ENOENT,
                         "%s: the medium of the installation that goes on is gone; give --version %s again, or "
                         "`casement windows set-aside --state %s` to begin anew",
                         p->journey.medium, p->journey.version, p->config->state);
    if (strcmp(place, p->journey.medium) != 0)
        known = p->journey.fetched_by_us = false;
    memcpy(p->journey.medium, place, strlen(place) + 1);
    snprintf(p->journey.version, sizeof p->journey.version, "%s", p->source.text);
    failed = source_check("--version", &p->source, error);
    if (failed == 0 && !exists(place))
        failed = fetch_medium(p, waiting, error);
    else if (failed == 0 && !known && (p->source.entry || p->source.is_link))
        log_info("%s: is there already and taken as it is", place);
    if (failed == 0 && p->journey.step == JOURNEY_NEW) {
        p->journey.step = JOURNEY_FETCHED;
        failed = journey_write(p->config->state, &p->journey, error);
    }
    return failed;
}

static int identify(struct preparation *p, struct medium_image *image, struct error *error)
{
    const struct answers *answers = &p->config->windows.answers;
    struct medium *medium = calloc(1, sizeof *medium);
    const struct medium_image *chosen;
    int failed;

    if (!medium)
        return error_set(error, ENOMEM, "%s: out of memory", p->journey.medium);
    failed = medium_identify(p->journey.medium, medium, error);
    if (failed == 0) {
        chosen = answers_choose(answers, medium, error);
        failed = chosen ? 0 : -EINVAL;
        if (chosen && !medium->boots_efi)
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
    p->journey.image = image->index;
    p->journey.build = image->build;
    snprintf(p->journey.edition, sizeof p->journey.edition, "%s", image->edition);
    snprintf(p->journey.language, sizeof p->journey.language, "%s", image->language);
    return 0;
}

/* Under another name until it is whole, so that nobody takes half of one for a disk. */
static int make_disk(struct preparation *p, struct error *error)
{
    char part[PATH_MAX + 8];
    const struct image_options options = {
        .path = part, .format = p->qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW, .size = p->config->windows.disk_size};
    int failed;

    if (p->disk_there)
        return 0;
    p->config->windows.answers.disk_size = options.size;
    snprintf(part, sizeof part, "%s.part", p->disk);
    if (unlink(part) < 0 && errno != ENOENT)
        return error_set(error, errno, "%s: cannot be removed: %s", part, strerror(errno));
    failed = image_create(&options, error);
    if (failed == 0 && rename(part, p->disk) < 0)
        failed = error_set(error, errno, "%s: cannot be made: %s", p->disk, strerror(errno));
    if (failed == 0)
        failed = file_sync_folder(p->disk) < 0 ? error_set(error, EIO, "%s: cannot be made durable", p->disk) : 0;
    p->disk_there = failed == 0;
    return failed;
}

/* The user's own, as it is. */
static int read_answer_file(const char *path, char **text, size_t *size, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), failed = 0;
    struct stat info = {0};

    if (fd < 0 || fstat(fd, &info) < 0)
        failed = error_set(error, errno, "--answer-file %s: %s", path, strerror(errno));
    else if (info.st_size > (off_t)ANSWER_FILE_MAX)
        failed = error_set(error, EFBIG, "--answer-file %s: has more than 1 MiB; is that an answer file?", path);
    *size = (size_t)info.st_size;
    *text = failed == 0 ? calloc(1, *size + 1) : NULL;
    if (failed == 0 && !*text)
        failed = error_set(error, ENOMEM, "--answer-file %s: out of memory", path);
    if (failed == 0 && file_read_at(fd, *text, *size, 0) < 0)
        failed = error_set(error, EIO, "--answer-file %s: cannot be read", path);
    if (fd >= 0)
        close(fd);
    return failed;
}

static int add_text(struct disc *disc, const char *path, char *text, size_t size, struct error *error)
{
    int failed = disc_add(disc, path, text, size, error);

    explicit_bzero(text, size);
    free(text);
    return failed;
}

/* What the profile needs has to be among them. *last: the script has some to install. */
static int add_drivers(const struct preparation *p, const struct medium_image *image, struct disc *disc, bool *last,
                       struct error *error)
{
    const struct config_windows *windows = &p->config->windows;
    const char *profile = p->profile.used;
    const bool scsi = !strcmp(profile, PROFILE_SCSI);
    struct drivers_found found = {0};
    int failed = windows->drivers ? drivers_add(disc, windows->drivers, image, &found, error) : 0;

    if (failed < 0)
        return failed;
    if (profile_needs_drivers(profile) && (!(scsi ? found.vioscsi : found.viostor) || !found.netkvm))
        return error_set(error, ENOENT,
                         "--profile %s: Setup needs the drivers %s and NetKVM; give --drivers a virtio-win disc image, "
                         "or take --profile inbox",
                         profile, scsi ? "vioscsi" : "viostor");
    if (windows->drivers)
        log_info("%s: drivers %s", windows->drivers, found.names);
    *last = found.last;
    return 0;
}

static int add_answers(const struct preparation *p, const struct medium_image *image, struct disc *disc,
                       struct error *error)
{
    const struct config_windows *windows = &p->config->windows;
    struct answers *answers = &p->config->windows.answers;
    size_t size = 0;
    char *text = NULL;
    int failed = add_drivers(p, image, disc, &answers->virtio, error);

    if (failed < 0)
        return failed;
    if (windows->answer_file)
        failed = read_answer_file(windows->answer_file, &text, &size, error);
    else
        text = answers_xml(answers, image, &size, error);
    if (text && failed == 0)
        failed = add_text(disc, ANSWERS_FILE, text, size, error);
    else
        free(text);
    if (failed < 0 || !text)
        return MIN(failed, -EINVAL);
    text = answers_script(answers, image, &size, error);
    failed = text ? add_text(disc, ANSWERS_SCRIPT, text, size, error) : -EINVAL;
    if (failed == 0 && answers->command)
        failed = disc_add(disc, ANSWERS_COMMAND, answers->command, strlen(answers->command), error);
    if (failed == 0 && windows->oem)
        failed = disc_add_folder(disc, ANSWERS_OEM, windows->oem, "", OEM_MAX, error);
    return failed;
}

static int make_disc(struct preparation *p, const struct medium_image *image, struct error *error)
{
    struct disc *disc = disc_create(error);
    int failed = disc ? add_answers(p, image, disc, error) : -ENOMEM;

    if (failed < 0) {
        disc_destroy(disc);
        return failed;
    }
    p->disc = disc_finish(disc, error);
    return MIN(p->disc, 0);
}

int prepare(void *opaque, struct waiting *waiting, struct error *error)
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
        failed = get_medium(p, waiting, error);
    if (failed == 0) {
        waiting_say(waiting, "Preparing the installation");
        failed = identify(p, image, error);
    }
    if (failed == 0)
        failed = make_disk(p, error);
    if (failed == 0)
        failed = make_disc(p, image, error);
    /* Until Setup is started, what is asked for may change. */
    if (failed == 0 && p->journey.step < JOURNEY_INSTALLING) {
        p->journey.step = JOURNEY_PREPARED;
        snprintf(p->journey.profile, sizeof p->journey.profile, "%s", p->profile.used);
        failed = journey_write(p->config->state, &p->journey, error);
    }
    free(image);
    return failed;
}
