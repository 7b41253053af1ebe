/* The disks and drives that a start of Windows needs (see prepare.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/image.h"
#include "casement/log.h"
#include "disc.h"
#include "drivers.h"
#include "prepare.h"

#define TRIAL_BYTES (16 * MiB)

static int insert(struct config *config, unsigned at, const struct config_disk *disk, struct error *error)
{
    struct config_disk whole = *disk;

    whole.read_only = disk->cdrom;
    whole.format_given = true;
    return config_insert_disk(config, at, &whole, error);
}

static char *path_of(int fd, char path[64])
{
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return path;
}

static int insert_media(struct preparation *p, struct error *error)
{
    char disc[64];
    int failed =
        insert(p->config, 1,
               &(struct config_disk){
                   .path = p->journey.medium, .cdrom = true, .bus = CONFIG_BUS_AHCI, .format = BLOCK_FORMAT_RAW},
               error);

    if (failed < 0)
        return failed;
    return insert(
        p->config, 2,
        &(struct config_disk){
            .path = path_of(p->disc, disc), .cdrom = true, .bus = CONFIG_BUS_AHCI, .format = BLOCK_FORMAT_RAW},
        error);
}

/* Firmware starts what is in front. */
static int insert_start_disc(struct preparation *p, struct error *error)
{
    return insert(
        p->config, 0,
        &(struct config_disk){
            .path = p->config->windows.start_disc, .cdrom = true, .bus = CONFIG_BUS_AHCI, .format = BLOCK_FORMAT_RAW},
        error);
}

/* The drivers that are for the Windows that is installed, in the folder where Setup would have found them. */
static int make_driver_disc(struct preparation *p, struct error *error)
{
    struct medium_image image = {.architecture = MEDIUM_AMD64, .build = p->journey.build};
    struct drivers_found found;
    struct disc *disc;
    int failed;

    if (!p->journey.build)
        return error_set(error, ENODATA,
                         "--drivers %s: which Windows is installed here is not known, so it cannot be chosen among "
                         "them; leave it out, and give the disc image by --cdrom",
                         p->config->windows.drivers);
    memcpy(image.edition, p->journey.edition, sizeof image.edition);
    disc = disc_create(error);
    failed = disc ? drivers_add(disc, p->config->windows.drivers, &image, &found, error) : -ENOMEM;
    if (failed < 0) {
        disc_destroy(disc);
        return failed;
    }
    p->disc = disc_finish(disc, error);
    return MIN(p->disc, 0);
}

/* In memory: what a guest writes on the small disk is nobody's. */
static int make_trial(struct preparation *p, struct error *error)
{
    p->trial = memfd_create("trial", MFD_CLOEXEC);
    if (p->trial < 0 || ftruncate(p->trial, (off_t)TRIAL_BYTES) < 0)
        return error_set(error, errno, "a disk to try a driver on: cannot be made: %s", strerror(errno));
    return 0;
}

static int insert_trial(struct preparation *p, struct error *error)
{
    struct config *config = p->config;
    char path[64];
    int failed = make_trial(p, error);

    p->watched = config->disk_count;
    if (failed == 0)
        failed = insert(config, config->disk_count,
                        &(struct config_disk){.path = path_of(p->trial, path),
                                              .bus = profile_bus(p->profile.wished),
                                              .format = BLOCK_FORMAT_RAW,
                                              .cache = BLOCK_CACHE_HOST},
                        error);
    if (failed < 0 || !config->windows.drivers)
        return failed;
    failed = make_driver_disc(p, error);
    if (failed < 0)
        return failed;
    return insert(
        config, config->disk_count,
        &(struct config_disk){
            .path = path_of(p->disc, path), .cdrom = true, .bus = CONFIG_BUS_AHCI, .format = BLOCK_FORMAT_RAW},
        error);
}

/*
 * The system disk becomes as large as the user wants it now, and Windows then has space behind its volumes. It is never
 * made smaller, and what cannot be done keeps no Windows from its start.
 */
static void fit_disk(const struct preparation *p)
{
    const struct config_windows *windows = &p->config->windows;
    const enum block_format format = p->qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
    const uint64_t wanted = windows->disk_size;
    struct image_info info = {0};
    struct error error;
    struct stat file;
    int failed = 0;

    if (windows->disk_format_given && windows->disk_format != format)
        log_info("--disk-format %s: %s is there and stays as it is; `casement image convert` makes a copy in another "
                 "format",
                 windows->disk_format == BLOCK_FORMAT_QCOW2 ? "qcow2" : "raw", p->disk);
    if (!windows->disk_size_given)
        return;
    if (stat(p->disk, &file) == 0 && S_ISBLK(file.st_mode)) {
        log_info("--disk-size: %s is a block device and has the size that it has", p->disk);
        return;
    }
    failed = image_info(p->disk, format, true, &info, &error);
    if (failed == 0 && info.size > wanted)
        log_info("--disk-size: %s has %" PRIu64 " MiB and stays so, for a disk is never made smaller than it is",
                 p->disk, info.size / (uint64_t)MiB);
    if (failed == 0 && info.size < wanted) {
        failed = image_grow(p->disk, format, true, wanted, &error);
        if (failed == 0)
            log_info("--disk-size: %s had %" PRIu64 " MiB and has %" PRIu64 " MiB now; extend a volume of Windows to "
                     "use them",
                     p->disk, info.size / (uint64_t)MiB, wanted / (uint64_t)MiB);
    }
    if (failed < 0)
        log_warning("--disk-size: %s; it stays as large as it is", error.text);
}

int prepare_disks(struct preparation *p, struct error *error)
{
    struct config *config = p->config;
    const bool start_disc = config->windows.start_disc != NULL;
    const bool setup = p->journey.step != JOURNEY_INSTALLED && !start_disc;
    int failed;

    profile_tell(&p->profile, &p->journey, config->windows.drivers);
    config->card = profile_card(p->profile.used);
    /* Setup wipes the first disk that it finds, and no other may be taken for that one. */
    if (setup && config->disk_count) {
        log_info("the other disks are attached when Windows is installed");
        config_remove_disks(config);
    }
    fit_disk(p);
    p->watched = 0;
    failed = insert(config, 0,
                    &(struct config_disk){.path = p->disk,
                                          .bus = profile_bus(p->profile.used),
                                          .format = p->qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW,
                                          .cache = config->windows.disk_cache},
                    error);
    if (failed == 0 && setup)
        failed = insert_media(p, error);
    if (failed == 0 && start_disc)
        failed = insert_start_disc(p, error);
    if (failed == 0 && p->profile.change == PROFILE_TRIES)
        failed = insert_trial(p, error);
    return failed;
}
