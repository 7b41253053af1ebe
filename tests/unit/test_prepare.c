/*
 * The preparations of an installation, with media that genisoimage has made and a server that gives one: each step
 * once, taken up wherever it was ended, and never a disk touched that has something on it.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/machine.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_http.h"
#include "fake_prepare.h"
#include "fake_wim.h"

static void from_an_image(void **unused)
{
    struct journey journey;
    struct stat info;

    (void)unused;
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
    assert_int_equal(journey.step, JOURNEY_PREPARED);
    assert_string_equal(journey.medium, windows.iso);
    assert_string_equal(journey.version, windows.iso);
    assert_false(journey.fetched_by_us);
    assert_string_equal(journey.edition, "Professional");
    assert_string_equal(journey.profile, "inbox");
    assert_int_equal(journey.build, 26100);
    assert_int_equal(stat(windows.disk, &info), 0);
    assert_true(info.st_size == 256 * MiB);
    assert_true(windows.p.disc >= 0 && fstat(windows.p.disc, &info) == 0 && info.st_size > 0);
    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    assert_int_equal(windows.config.disk_count, 3);
    assert_string_equal(windows.config.disks[0].path, windows.disk);
    assert_int_equal(windows.config.disks[0].bus, CONFIG_BUS_NVME);
    assert_int_equal(windows.config.disks[0].cache, BLOCK_CACHE_NONE);
    assert_int_equal(windows.config.card, CONFIG_CARD_E1000E);
    assert_true(windows.config.disks[1].cdrom && windows.config.disks[2].cdrom && windows.config.disks[1].read_only);
    assert_string_equal(windows.config.disks[1].path, windows.iso);
}

/* The same disk and no second answer to what was asked: whatever step the first attempt was ended at. */
static void goes_on_at_each_step(void **unused)
{
    static const enum journey_step steps[] = {JOURNEY_NEW, JOURNEY_FETCHED, JOURNEY_PREPARED, JOURNEY_INSTALLING};
    struct stat first, now;

    (void)unused;
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_int_equal(stat(windows.disk, &first), 0);
    for (size_t n = 0; n < ARRAY_SIZE(steps); n++) {
        fake_prepare_step(steps[n]);
        assert_int_equal(fake_start(windows.iso, NULL), 0);
        assert_int_equal(windows.p.journey.step, steps[n] < JOURNEY_INSTALLING ? JOURNEY_PREPARED : JOURNEY_INSTALLING);
        assert_int_equal(stat(windows.disk, &now), 0);
        assert_true(now.st_ino == first.st_ino);
        assert_true(windows.p.disc >= 0);
    }
}

/* A disk that has a system on it is started, and nothing but the state file changes. */
static void what_is_there_stays(void **unused)
{
    static const char *const versions[] = {NULL, "2022", "10e"};
    char sector[512] = "a system", found[512];
    struct journey journey;
    FILE *file;

    (void)unused;
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    file = fopen(windows.disk, "r+e");
    assert_true(file && fwrite(sector, 1, sizeof sector, file) == sizeof sector && fclose(file) == 0);
    for (size_t n = 0; n < ARRAY_SIZE(versions); n++) {
        /* With a journey that is behind, and with none. */
        if (n == 0)
            fake_prepare_step(JOURNEY_PREPARED);
        else
            fake_prepare_run("rm %s/journey.json%s", windows.state, "");
        assert_int_equal(fake_start(versions[n] ? versions[n] : windows.iso, NULL), 0);
        assert_int_equal(windows.p.journey.step, JOURNEY_INSTALLED);
        assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
        assert_int_equal(journey.step, JOURNEY_INSTALLED);
        assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
        assert_int_equal(windows.config.disk_count, 1);
        file = fopen(windows.disk, "re");
        assert_true(file && fread(found, 1, sizeof found, file) == sizeof found && fclose(file) == 0);
        assert_memory_equal(found, sector, sizeof sector);
    }
}

/* A system that another monitor has installed starts from the bus that it knows, and keeps it. */
static void what_is_taken_over_keeps_its_bus(void **unused)
{
    FILE *file = fopen(windows.disk, "we");

    (void)unused;
    assert_true(file && fputs("a system", file) >= 0 && fclose(file) == 0 && truncate(windows.disk, 256 * MiB) == 0);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(fake_start("11", n ? NULL : "--profile=scsi"), 0);
        assert_int_equal(windows.p.journey.step, JOURNEY_INSTALLED);
        assert_string_equal(windows.p.journey.profile, "scsi");
        assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
        assert_int_equal(windows.config.disk_count, 1);
        assert_int_equal(windows.config.disks[0].bus, CONFIG_BUS_SCSI);
        assert_int_equal(windows.config.card, CONFIG_CARD_VIRTIO);
    }
}

/* Nothing that Setup needed is needed by the system that it has made. */
static void what_only_setup_needs_may_go(void **unused)
{
    static const char *const gone[] = {"oem", "answers.xml", "drivers", "password"};
    static const char *const names[] = {"--oem", "--answer-file", "--drivers", "--password-file"};
    const char *options[4];
    char texts[4][160];

    (void)unused;
    for (unsigned n = 0; n < 4; n++) {
        snprintf(texts[n], sizeof texts[n], "%s=%s/%s", names[n], fake_folder, gone[n]);
        options[n] = texts[n];
        fake_refused(&windows.error, fake_start(windows.iso, options[n]), ENOENT, names[n], gone[n]);
    }
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    fake_prepare_run("rm %s%s", windows.iso, "");
    for (unsigned n = 0; n < 4; n++)
        fake_refused(&windows.error, fake_start(windows.iso, options[n]), ENOENT, names[n], gone[n]);
    fake_refused(&windows.error, fake_start(windows.iso, NULL), ENOENT, "--version", "disc image");
    fake_prepare_step(JOURNEY_INSTALLED);
    assert_int_equal(fake_start_with(windows.iso, options, 4), 0);
    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    /* Nor by one that the journey does not know of. */
    fake_prepare_run("rm %s/journey.json && echo system | dd of=%s conv=notrunc status=none", windows.state,
                     windows.disk);
    assert_int_equal(fake_start_with(windows.iso, options, 4), 0);
    assert_int_equal(windows.p.journey.step, JOURNEY_INSTALLED);
}

static void an_installation_keeps_its_version(void **unused)
{
    (void)unused;
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    fake_prepare_step(JOURNEY_INSTALLING);
    assert_int_equal(fake_start("2022", NULL), 0);
    assert_string_equal(windows.p.journey.medium, windows.iso);
    assert_string_equal(windows.p.journey.version, windows.iso);
    fake_prepare_run("rm %s%s", windows.iso, "");
    fake_refused(&windows.error, fake_start("2022", NULL), ENOENT, "the medium of the installation", "set-aside");
    fake_prepare_run("rm %s%s", windows.disk, "");
    fake_refused(&windows.error, fake_start("2022", NULL), ENOENT, "the disk is gone", "set-aside");
}

static uint64_t disk_size(const char *path, enum block_format format)
{
    struct image_info info;

    if (image_info(path, format, true, &info, &windows.error) < 0)
        fail_msg("%s", windows.error.text);
    return info.size;
}

/* When the user says so, and only larger. */
static void the_disk_grows(void **unused)
{
    static const struct {
        const char *option;
        uint64_t size;
        const char *says;
    } rows[] = {{"--disk-size=257M", 257 * MiB, "had 256 MiB and has 257 MiB now"},
                {"--disk-size=256M", 257 * MiB, "has 257 MiB and stays so"},
                {"--disk-size=257M", 257 * MiB, NULL},
                {NULL, 257 * MiB, NULL},
                {"--disk-size=1G", GiB, "has 1024 MiB now"}};
    static const char *const formats[] = {"--disk-format=raw", "--disk-format=qcow2"};

    (void)unused;
    for (unsigned qcow2 = 0; qcow2 < 2; qcow2++) {
        enum block_format format = qcow2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
        char path[140];

        snprintf(path, sizeof path, "%s/data.%s", windows.state, qcow2 ? "qcow2" : "img");
        fake_prepare_run("rm -f %s/*%s", windows.state, "");
        assert_int_equal(fake_start(windows.iso, formats[qcow2]), 0);
        fake_prepare_step(JOURNEY_INSTALLED);
        assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
        for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
            assert_int_equal(fake_prepare_look(windows.iso, &rows[n].option, rows[n].option ? 1 : 0), 0);
            fake_prepare_listen();
            assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
            assert_int_equal(fake_prepare_heard(rows[n].says ? rows[n].says : "--disk-size"), rows[n].says != NULL);
            assert_int_equal(disk_size(path, format), rows[n].size);
        }
        assert_int_equal(fake_prepare_look(windows.iso, &formats[!qcow2], 1), 0);
        fake_prepare_listen();
        assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
        assert_true(fake_prepare_heard("is there and stays as it is"));
        assert_string_equal(windows.config.disks[0].path, path);
    }
}

static void write_system(const char *path)
{
    char sector[512] = "a system";
    FILE *file = fopen(path, "r+");

    assert_non_null(file);
    assert_int_equal(fwrite(sector, sizeof sector, 1, file), 1);
    fclose(file);
}

/* In place of one in the folder, which is not made then. */
static void a_disk_that_is_named(void **unused)
{
    const char *option = fake_prepare_option("--system-disk", "my.img"), *path = strchr(option, '=') + 1;
    struct journey journey;

    (void)unused;
    fake_refused(&windows.error, fake_start(windows.iso, option), ENOENT, "--system-disk", "`casement image create`");
    fake_refused(&windows.error, fake_start(windows.iso, fake_prepare_option("--system-disk", "state")), EINVAL,
                 "--system-disk", "neither a block device nor a file");
    fake_prepare_run("truncate -s 300M %s%s", path, "");
    assert_int_equal(fake_start(windows.iso, option), 0);
    assert_int_equal(access(windows.disk, F_OK), -1);
    assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
    assert_int_equal(journey.step, JOURNEY_PREPARED);
    assert_string_equal(journey.disk, path);
    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    assert_string_equal(windows.config.disks[0].path, path);
    assert_int_equal(windows.config.disks[0].format, BLOCK_FORMAT_RAW);
    assert_int_equal(windows.config.disk_count, 3);
    /* Another wish, as long as Setup has not begun. */
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
    assert_string_equal(journey.disk, "");
    assert_int_equal(access(windows.disk, F_OK), 0);

    write_system(path);
    fake_prepare_run("rm %s/*%s", windows.state, "");
    assert_int_equal(fake_start(windows.iso, option), 0);
    assert_int_equal(windows.p.journey.step, JOURNEY_INSTALLED);
    assert_string_equal(windows.p.journey.disk, path);
}

static void its_format_is_in_the_name(void **unused)
{
    const char *option = fake_prepare_option("--system-disk", "my.qcow2"), *path = strchr(option, '=') + 1;
    const struct image_options image = {.path = path, .format = BLOCK_FORMAT_QCOW2, .size = 300 * MiB};

    (void)unused;
    assert_int_equal(image_create(&image, &windows.error), 0);
    assert_int_equal(fake_start_with(windows.iso, (const char *[]){option, "--disk-size=301M"}, 2), 0);
    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    assert_int_equal(windows.config.disks[0].format, BLOCK_FORMAT_QCOW2);
    assert_true(disk_size(path, BLOCK_FORMAT_QCOW2) == 301 * MiB);
}

/* Setup would wipe a disk that is not the one it began with, and one that has a system may have got another name. */
static void a_journey_belongs_to_its_disk(void **unused)
{
    static const char *const names[] = {"first.img", "other.img", "empty.img"};
    const char *first, *other, *empty;
    const char *options[3];

    (void)unused;
    for (unsigned n = 0; n < 3; n++) {
        options[n] = fake_prepare_option("--system-disk", names[n]);
        fake_prepare_run("truncate -s 256M %s%s", strchr(options[n], '=') + 1, "");
    }
    first = options[0], other = options[1], empty = options[2];
    write_system(strchr(other, '=') + 1);
    assert_int_equal(fake_start(windows.iso, first), 0);
    fake_prepare_step(JOURNEY_INSTALLING);
    for (unsigned n = 1; n < 4; n++)
        fake_refused(&windows.error, fake_start(windows.iso, n < 3 ? options[n] : NULL), EINVAL, "first.img",
                     "give the machine that one again");
    assert_int_equal(fake_start(windows.iso, first), 0);
    assert_int_equal(windows.p.journey.step, JOURNEY_INSTALLING);
    /* A device of the same name that is not the same. */
    strcpy(windows.p.journey.disk_identity, "bytes=1 wwid=a");
    assert_int_equal(journey_write(windows.state, &windows.p.journey, &windows.error), 0);
    fake_refused(&windows.error, fake_start(windows.iso, first), EINVAL, "wwid=a", "set-aside");

    fake_prepare_step(JOURNEY_INSTALLED);
    fake_refused(&windows.error, fake_start(windows.iso, empty), EINVAL, "first.img", "set-aside");
    fake_refused(&windows.error, fake_start(windows.iso, NULL), EINVAL, "first.img", "set-aside");
    assert_int_equal(fake_start(windows.iso, other), 0);
    assert_string_equal(windows.p.journey.disk, strchr(other, '=') + 1);
    fake_refused(&windows.error, fake_start(windows.iso, first), EINVAL, "other.img", "installed");
}

/* Before anything is made that would have to be undone. */
static void what_the_edition_does_not_take(void **unused)
{
    struct stat info;

    (void)unused;
    fake_prepare_medium(windows.iso,
                        FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "EnterpriseEval", "Client",
                                                    "Windows 11 Enterprise Evaluation", "26100", "1742", "en-US")));
    fake_refused(&windows.error, fake_start(windows.iso, "--key=VK7JG-NPHTM-C97JM-9MPGT-3V66T"), EINVAL, "--key",
                 "evaluation");
    assert_int_equal(stat(windows.disk, &info), -1);
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_false(windows.config.windows.answers.nested);
    assert_int_equal(fake_start(windows.iso, "--nested"), 0);
    assert_true(windows.config.windows.answers.nested);
}

/* Where the user's own answer file is taken, nobody knows what it asks for. */
static void what_the_edition_lacks_is_said(void **unused)
{
    char option[160], own[128];

    (void)unused;
    snprintf(own, sizeof own, "%s/own.xml", fake_folder);
    fake_text(own, "<unattend/>");
    snprintf(option, sizeof option, "--answer-file=%s", own);
    fake_prepare_medium(windows.iso, FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "Core", "Client", "Windows 11 Home", "26100",
                                                                 "1742", "en-US")));
    for (unsigned n = 0; n < 2; n++) {
        fake_prepare_listen();
        assert_int_equal(fake_start(windows.iso, n ? option : NULL), 0);
        assert_int_equal(fake_prepare_heard("Core is Windows Home"), n == 0);
    }
}

static void other_disks_wait(void **unused)
{
    char option[160], other[96];

    (void)unused;
    snprintf(other, sizeof other, "%s/other.img", fake_folder);
    fake_prepare_run("truncate -s 1M %s%s", other, "");
    snprintf(option, sizeof option, "--disk=%s", other);
    assert_int_equal(fake_start(windows.iso, option), 0);
    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    assert_int_equal(windows.config.disk_count, 3);
    fake_prepare_step(JOURNEY_INSTALLED);
    assert_int_equal(fake_start_with(windows.iso, (const char *[]){option, "--disk-cache=host"}, 2), 0);
    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    assert_int_equal(windows.config.disk_count, 2);
    assert_int_equal(windows.config.disks[0].cache, BLOCK_CACHE_HOST);
    assert_string_equal(windows.config.disks[1].path, other);
    assert_int_equal(windows.config.disks[1].cache, BLOCK_CACHE_NONE);
}

/* Until Setup has begun, the last word about the profile counts. */
static void a_profile_that_was_not_used(void **unused)
{
    struct journey journey;

    (void)unused;
    for (unsigned step = JOURNEY_PREPARED; step <= JOURNEY_INSTALLING; step++) {
        assert_int_equal(fake_start(windows.iso, NULL), 0);
        assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
        assert_string_equal(journey.profile, "inbox");
        journey.step = (enum journey_step)step;
        snprintf(journey.profile, sizeof journey.profile, "virtio");
        assert_int_equal(journey_write(windows.state, &journey, &windows.error), 0);
    }
    fake_refused(&windows.error, fake_start(windows.iso, NULL), EINVAL, "--profile virtio", "--drivers");
}

static void install_as(const char *profile, const char *tried)
{
    struct journey journey;

    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
    journey.step = JOURNEY_INSTALLED;
    snprintf(journey.profile, sizeof journey.profile, "%s", profile);
    snprintf(journey.tried, sizeof journey.tried, "%s", tried);
    assert_int_equal(journey_write(windows.state, &journey, &windows.error), 0);
}

/* The disks of a start of a Windows with that profile, whose user asks for that one; "": for none. */
static void another_profile(void **unused)
{
    static const struct {
        const char *has, *tried, *asked;
        enum profile_change change;
        enum config_bus system;
        int trial; /* its bus; -1: none */
    } rows[] = {
        {"inbox", "", "", PROFILE_STAYS, CONFIG_BUS_NVME, -1},
        {"virtio", "", "", PROFILE_STAYS, CONFIG_BUS_VIRTIO, -1},
        {"virtio", "inbox", "", PROFILE_STAYS, CONFIG_BUS_VIRTIO, -1},
        {"inbox", "virtio", "--profile=inbox", PROFILE_STAYS, CONFIG_BUS_NVME, -1},
        {"virtio", "", "--profile=virtio", PROFILE_STAYS, CONFIG_BUS_VIRTIO, -1},
        {"inbox", "", "--profile=virtio", PROFILE_TRIES, CONFIG_BUS_NVME, CONFIG_BUS_VIRTIO},
        {"virtio", "", "--profile=inbox", PROFILE_TRIES, CONFIG_BUS_VIRTIO, CONFIG_BUS_NVME},
        {"inbox", "inbox", "--profile=virtio", PROFILE_TRIES, CONFIG_BUS_NVME, CONFIG_BUS_VIRTIO},
        {"inbox", "virtio", "--profile=virtio", PROFILE_MOVES, CONFIG_BUS_VIRTIO, -1},
        {"virtio", "inbox", "--profile=inbox", PROFILE_MOVES, CONFIG_BUS_NVME, -1},
    };
    struct journey before, after;
    struct stat info;

    (void)unused;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        unsigned disks = rows[n].trial < 0 ? 1 : 2;

        install_as(rows[n].has, rows[n].tried);
        assert_int_equal(journey_read(windows.state, &before, &windows.error), 0);
        assert_int_equal(fake_start(windows.iso, *rows[n].asked ? rows[n].asked : NULL), 0);
        assert_int_equal(windows.p.profile.change, rows[n].change);
        assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
        assert_int_equal(windows.config.disk_count, disks);
        assert_int_equal(windows.config.disks[0].bus, rows[n].system);
        assert_int_equal(windows.config.card,
                         rows[n].system == CONFIG_BUS_VIRTIO ? CONFIG_CARD_VIRTIO : CONFIG_CARD_E1000E);
        assert_int_equal(windows.p.watched, disks - 1);
        if (rows[n].trial >= 0) {
            assert_int_equal(windows.config.disks[1].bus, rows[n].trial);
            assert_false(windows.config.disks[1].cdrom || windows.config.disks[1].read_only);
            assert_int_equal(stat(windows.config.disks[1].path, &info), 0);
            assert_int_equal(info.st_size, 16 * MiB);
        }
        /* Nothing is noted before the guest has driven something. */
        assert_int_equal(journey_read(windows.state, &after, &windows.error), 0);
        assert_memory_equal(&after, &before, sizeof after);
    }
}

/* The user's disks keep their places, and the drivers come behind all. */
static void drivers_for_another_profile(void **unused)
{
    char disk_option[160], drivers[200], folder[160];
    struct stat info;

    (void)unused;
    install_as("inbox", "");
    snprintf(folder, sizeof folder, "%s/drivers/viostor/w11/amd64", fake_folder);
    fake_prepare_run("mkdir -p %s%s", folder, "");
    snprintf(drivers, sizeof drivers, "%s/viostor.inf", folder);
    fake_text(drivers, "[Manufacturer]\n%M% = M, NTamd64.10.0\n");
    snprintf(drivers, sizeof drivers, "--drivers=%s/drivers", fake_folder);
    snprintf(disk_option, sizeof disk_option, "--disk=%s", windows.iso);
    assert_int_equal(fake_prepare_look(windows.iso, (const char *[]){"--profile=virtio", drivers, disk_option}, 3), 0);
    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    assert_int_equal(windows.config.disk_count, 4);
    assert_string_equal(windows.config.disks[1].path, windows.iso);
    assert_int_equal(windows.config.disks[2].bus, CONFIG_BUS_VIRTIO);
    assert_true(windows.config.disks[3].cdrom && windows.config.disks[3].read_only);
    assert_int_equal(windows.p.watched, 2);
    assert_true(windows.p.disc >= 0 && fstat(windows.p.disc, &info) == 0 && info.st_size > 0);
    /* Of a Windows that nobody knows the build of, nobody knows which of them it needs. */
    close(windows.p.disc);
    windows.p.disc = -1;
    windows.p.journey.build = 0;
    config_remove_disks(&windows.config);
    close(windows.p.trial);
    fake_refused(&windows.error, prepare_disks(&windows.p, &windows.error), ENODATA, "--drivers", "--cdrom");
}

static void what_cannot_be_installed(void **unused)
{
    (void)unused;
    fake_refused(&windows.error, fake_start(windows.iso, "--edition=home"), EINVAL, "home", "Professional");
    fake_refused(&windows.error, fake_start(windows.iso, "--language=de-DE"), EINVAL, "de-DE", "en-US");
    fake_prepare_medium(windows.iso, FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "12", "Professional", "Client", "Windows 11 Pro",
                                                                 "26100", "1742", "en-US")));
    fake_refused(&windows.error, fake_start(windows.iso, NULL), EINVAL, "x86-64", "another medium");
    assert_false(fake_is_there(windows.disk));
}

static void from_a_link(void **unused)
{
    static uint8_t data[110 * MiB];
    struct fake_http_page pages[] = {{.path = "/w.iso", .now = {.data = data, .size = sizeof data}}, {.path = NULL}};
    struct fake_http *server;
    FILE *file = fopen(windows.iso, "re");
    const char *url;

    (void)unused;
    assert_non_null(file);
    assert_true(fread(data, 1, sizeof data, file) > MiB / 4);
    fclose(file);
    server = fake_http_start(pages, NULL, NULL);
    url = fake_http_url(server, "/w.iso");
    assert_int_equal(fake_start(url, NULL), 0);
    assert_int_equal(windows.p.journey.step, JOURNEY_PREPARED);
    assert_true(windows.p.journey.fetched_by_us);
    assert_int_equal(strlen(windows.p.journey.digest), 64);
    assert_string_equal(windows.p.journey.version, url);
    assert_true(fake_is_there(windows.p.journey.medium));
    /* It is not fetched again, also when the program was killed between the file's name and the journey's step. */
    pages[0].requests = 0;
    fake_prepare_step(JOURNEY_NEW);
    assert_int_equal(fake_start(url, NULL), 0);
    assert_true(windows.p.journey.fetched_by_us);
    assert_int_equal(pages[0].requests, 0);
    fake_http_stop(server);
}

static void *interrupt(void *page)
{
    struct fake_http_page *held = page;

    while (held->sent < 4 * MiB)
        sched_yield();
    kill(getpid(), SIGTERM);
    return NULL;
}

/* A signal in the middle of a download ends it, and the next start goes on with what is there. */
static void a_signal_ends_it(void **unused)
{
    static uint8_t data[110 * MiB];
    struct fake_http_page pages[] = {
        {.path = "/w.iso", .now = {.data = data, .size = sizeof data, .etag = "\"1\""}, .hold_at = 40 * MiB},
        {.path = NULL}};
    struct fake_http *server;
    FILE *file = fopen(windows.iso, "re");
    pthread_t thread;

    (void)unused;
    assert_non_null(file);
    assert_true(fread(data, 1, sizeof data, file) > MiB / 4);
    fclose(file);
    lifecycle_block_signals();
    server = fake_http_start(pages, NULL, NULL);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &pages[0]), 0);
    fake_refused(&windows.error, fake_start(fake_http_url(server, "/w.iso"), NULL), ECANCELED, "w.iso", "");
    pthread_join(thread, NULL);
    assert_false(fake_is_there(windows.disk));
    fake_http_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PREPARED(from_an_image),
        PREPARED(goes_on_at_each_step),
        PREPARED(what_is_there_stays),
        PREPARED(what_is_taken_over_keeps_its_bus),
        PREPARED(what_only_setup_needs_may_go),
        PREPARED(the_disk_grows),
        PREPARED(a_disk_that_is_named),
        PREPARED(its_format_is_in_the_name),
        PREPARED(a_journey_belongs_to_its_disk),
        PREPARED(what_the_edition_does_not_take),
        PREPARED(what_the_edition_lacks_is_said),
        PREPARED(other_disks_wait),
        PREPARED(a_profile_that_was_not_used),
        PREPARED(another_profile),
        PREPARED(drivers_for_another_profile),
        PREPARED(what_cannot_be_installed),
        PREPARED(an_installation_keeps_its_version),
        PREPARED(from_a_link),
        PREPARED(a_signal_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
