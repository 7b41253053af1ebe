/* The answer disc, from the options and the user's own files (see prepare_private.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answer_file.h"
#include "answers.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "disc.h"
#include "drivers.h"
#include "prepare_private.h"

#define OEM_MAX (2 * GiB)

static void wipe(char *text, size_t size)
{
    if (text)
        explicit_bzero(text, size);
    free(text);
}

int prepare_check_answer_file(const struct preparation *p, struct error *error)
{
    const char *path = p->config->windows.answer_file;
    bool copies = true;
    size_t size = 0;
    char *text = NULL;
    int failed = path ? answer_file_read(path, &text, &size, error) : 0;

    if (path && failed == 0)
        failed = answer_file_check(path, text, size, &copies, error);
    wipe(text, size);
    if (failed == 0 && !copies)
        log_warning("--answer-file %s: without <UseConfigurationSet>true</UseConfigurationSet> in the component "
                    "Microsoft-Windows-Setup of the pass windowsPE, Setup copies nothing: no --oem and no --command, "
                    "and the end of the installation goes unnoticed; add it, or remove %s/journey.json when Windows is "
                    "there",
                    path, p->config->state);
    return failed;
}

static int add_text(struct disc *disc, const char *path, char *text, size_t size, struct error *error)
{
    int failed = disc_add(disc, path, text, size, error);

    wipe(text, size);
    return failed;
}

static int add_drivers(const struct preparation *p, const struct medium_image *image, struct disc *disc,
                       struct drivers_found *found, struct error *error)
{
    const char *source = p->config->windows.drivers, *profile = p->profile.used;
    const bool scsi = !strcmp(profile, PROFILE_SCSI);
    int failed = 0;

    *found = (struct drivers_found){0};
    if (source)
        failed = drivers_add(disc, source, image, found, error);
    if (failed == 0 && profile_needs_drivers(profile) && (!(scsi ? found->vioscsi : found->viostor) || !found->netkvm))
        failed = error_set(error, ENOENT,
                           "--profile %s: Setup needs the drivers %s and NetKVM; give --drivers a virtio-win disc "
                           "image, or take --profile inbox",
                           profile, scsi ? "vioscsi" : "viostor");
    return failed;
}

static int add_oem(const struct preparation *p, struct disc *disc, struct error *error)
{
    const char *folder = p->config->windows.oem;

    return folder ? disc_add_folder(disc, ANSWERS_OEM, folder, "", OEM_MAX, error) : 0;
}

static int add_answer_file(const struct preparation *p, const struct medium_image *image, struct disc *disc,
                           struct error *error)
{
    const struct config_windows *windows = &p->config->windows;
    size_t size = 0;
    char *text = NULL;
    int failed = 0;

    if (windows->answer_file)
        failed = answer_file_read(windows->answer_file, &text, &size, error);
    else if (!(text = answers_xml(&windows->answers, image, &size, error)))
        failed = -EINVAL;
    return failed == 0 ? add_text(disc, ANSWERS_FILE, text, size, error) : failed;
}

static int add_answers(const struct preparation *p, const struct medium_image *image, struct disc *disc,
                       struct error *error)
{
    struct answers *answers = &p->config->windows.answers;
    struct drivers_found found;
    size_t size = 0;
    char *text;
    int failed = add_drivers(p, image, disc, &found, error);

    if (failed == 0 && p->config->windows.drivers)
        log_info("%s: drivers %s", p->config->windows.drivers, found.names);
    answers->virtio = found.last;
    if (failed == 0)
        failed = add_answer_file(p, image, disc, error);
    if (failed < 0)
        return failed;
    text = answers_script(answers, image, &size, error);
    failed = text ? add_text(disc, ANSWERS_SCRIPT, text, size, error) : -EINVAL;
    if (failed < 0 || answers->manual)
        return failed;
    if (answers->command)
        failed = disc_add(disc, ANSWERS_COMMAND, answers->command, strlen(answers->command), error);
    return failed == 0 ? add_oem(p, disc, error) : failed;
}

int prepare_disc(struct preparation *p, const struct medium_image *image, struct error *error)
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

static int try_for(const struct preparation *p, const struct catalogue_entry *entry, struct error *error)
{
    struct medium_image image = catalogue_presume(entry);
    struct disc *disc = disc_create(error);
    struct drivers_found found;
    int failed = disc ? add_drivers(p, &image, disc, &found, error) : -ENOMEM;

    if (failed == 0)
        failed = add_oem(p, disc, error);
    disc_destroy(disc);
    return failed;
}

int prepare_try_disc(const struct preparation *p, struct error *error)
{
    const struct catalogue_entry *entry = p->source.entry ? p->source.entry : catalogue_at(0);
    struct error other;
    int failed = try_for(p, entry, error);

    if (p->source.entry)
        return failed;
    for (unsigned n = 1; failed < 0 && (entry = catalogue_at(n)); n++)
        if (try_for(p, entry, &other) == 0)
            return 0;
    return failed;
}
