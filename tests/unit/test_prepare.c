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
#include "../../vmm/options.h"
#include "../../vmm/windows/prepare.h"
#include "../../vmm/windows/wishes.h"
#include "casement/bytes.h"
#include "casement/image.h"
#include "casement/log.h"
#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_http.h"
#include "fake_wim.h"

static struct config config;
static struct preparation p;
static struct error error;
static char state[96], iso[96];

static void run(const char *format, const char *a, const char *b)
{
    char command[512];

    snprintf(command, sizeof command, format, a, b);
    if (system(command) != 0) /* NOLINT(cert-env33-c): a test's own words */
        fail_msg("%s: failed", command);
}

static void make_medium(const char *path, const char *images)
{
    char tree[96], name[128];
    struct fake_wim wim = {0};

    snprintf(tree, sizeof tree, "%s/tree", fake_folder);
    run("mkdir -p %s/sources %s/efi/boot", tree, tree);
    fake_wim_make(&wim, images, false, false);
    snprintf(name, sizeof name, "%s/sources/install.wim", tree);
    fake_file(name, wim.bytes, wim.length);
    fake_wim_free(&wim);
    snprintf(name, sizeof name, "%s/efi/boot/bootx64.efi", tree);
    fake_text(name, "MZ");
    run("genisoimage -quiet -udf -o %s %s", path, tree);
    run("rm -r %s%s", tree, "");
}

static int set_up(void **unused)
{
    fake_folder_make(unused);
    snprintf(state, sizeof state, "%s/state", fake_folder);
    snprintf(iso, sizeof iso, "%s/medium.iso", fake_folder);
    mkdir(state, 0700);
    make_medium(iso, FAKE_WIM_XML(FAKE_WIM_PRO("1")));
    p = (struct preparation){.disc = -1, .trial = -1};
    return 0;
}

static void forget(void)
{
    config_free(&config);
    if (p.disc >= 0)
        close(p.disc);
    if (p.trial >= 0)
        close(p.trial);
    p = (struct preparation){.disc = -1, .trial = -1};
    error.text[0] = 0;
}

static int tear_down(void **unused)
{
    forget();
    return fake_folder_remove(unused);
}

/* As a start of the program, as far as the machine: the options, then look, then what is left to do. */
static int start(const char *version, const char *option)
{
    char *arguments[] = {"--version", (char *)version, "--state",     state,  "--web",       "none",
                         "--net",     "none",          "--disk-size", "256M", (char *)option};
    int failed;

    forget();
    p.config = &config;
    failed = options_parse(&config, OPTIONS_WINDOWS, option ? 11 : 10, arguments, &error);
    if (failed == 0)
        failed = wishes_complete(&config, &p.source, &error);
    if (failed == 0)
        failed = config_complete(&config, &error);
    if (failed == 0)
        failed = prepare_look(&p, &error);
    if (failed == 0 && p.journey.step != JOURNEY_INSTALLED)
        failed = waiting_run(&config, prepare, &p, &error);
    return failed;
}

static void write_step(enum journey_step step)
{
    struct journey journey;

    assert_int_equal(journey_read(state, &journey, &error), 0);
    journey.step = step;
    assert_int_equal(journey_write(state, &journey, &error), 0);
}

static const char *disk(void)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/data.img", state);
    return path;
}

static void from_an_image(void **unused)
{
    struct journey journey;
    struct stat info;

    (void)unused;
    assert_int_equal(start(iso, NULL), 0);
    assert_int_equal(journey_read(state, &journey, &error), 0);
    assert_int_equal(journey.step, JOURNEY_PREPARED);
    assert_string_equal(journey.medium, iso);
    assert_string_equal(journey.version, iso);
    assert_false(journey.fetched_by_us);
    assert_string_equal(journey.edition, "Professional");
    assert_string_equal(journey.profile, "inbox");
    assert_int_equal(journey.build, 26100);
    assert_int_equal(stat(disk(), &info), 0);
    assert_true(info.st_size == 256 * MiB);
    assert_true(p.disc >= 0 && fstat(p.disc, &info) == 0 && info.st_size > 0);
    assert_int_equal(prepare_disks(&p, &error), 0);
    assert_int_equal(config.disk_count, 3);
    assert_string_equal(config.disks[0].path, disk());
    assert_int_equal(config.disks[0].bus, CONFIG_BUS_NVME);
    assert_int_equal(config.card, CONFIG_CARD_E1000E);
    assert_true(config.disks[1].cdrom && config.disks[2].cdrom && config.disks[1].read_only);
    assert_string_equal(config.disks[1].path, iso);
}

/* The same disk and no second answer to what was asked: whatever step the first attempt was ended at. */
static void goes_on_at_each_step(void **unused)
{
    static const enum journey_step steps[] = {JOURNEY_NEW, JOURNEY_FETCHED, JOURNEY_PREPARED, JOURNEY_INSTALLING};
    struct stat first, now;

    (void)unused;
    assert_int_equal(start(iso, NULL), 0);
    assert_int_equal(stat(disk(), &first), 0);
    for (size_t n = 0; n < ARRAY_SIZE(steps); n++) {
        write_step(steps[n]);
        assert_int_equal(start(iso, NULL), 0);
        assert_int_equal(p.journey.step, steps[n] < JOURNEY_INSTALLING ? JOURNEY_PREPARED : JOURNEY_INSTALLING);
        assert_int_equal(stat(disk(), &now), 0);
        assert_true(now.st_ino == first.st_ino);
        assert_true(p.disc >= 0);
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
    assert_int_equal(start(iso, NULL), 0);
    file = fopen(disk(), "r+e");
    assert_true(file && fwrite(sector, 1, sizeof sector, file) == sizeof sector && fclose(file) == 0);
    for (size_t n = 0; n < ARRAY_SIZE(versions); n++) {
        /* With a journey that is behind, and with none. */
        if (n == 0)
            write_step(JOURNEY_PREPARED);
        else
            run("rm %s/journey.json%s", state, "");
        assert_int_equal(start(versions[n] ? versions[n] : iso, NULL), 0);
        assert_int_equal(p.journey.step, JOURNEY_INSTALLED);
        assert_int_equal(journey_read(state, &journey, &error), 0);
        assert_int_equal(journey.step, JOURNEY_INSTALLED);
        assert_int_equal(prepare_disks(&p, &error), 0);
        assert_int_equal(config.disk_count, 1);
        file = fopen(disk(), "re");
        assert_true(file && fread(found, 1, sizeof found, file) == sizeof found && fclose(file) == 0);
        assert_memory_equal(found, sector, sizeof sector);
    }
}

/* A system that another monitor has installed starts from the bus that it knows, and keeps it. */
static void what_is_taken_over_keeps_its_bus(void **unused)
{
    FILE *file = fopen(disk(), "we");

    (void)unused;
    assert_true(file && fputs("a system", file) >= 0 && fclose(file) == 0 && truncate(disk(), 256 * MiB) == 0);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(start("11", n ? NULL : "--profile=scsi"), 0);
        assert_int_equal(p.journey.step, JOURNEY_INSTALLED);
        assert_string_equal(p.journey.profile, "scsi");
        assert_int_equal(prepare_disks(&p, &error), 0);
        assert_int_equal(config.disk_count, 1);
        assert_int_equal(config.disks[0].bus, CONFIG_BUS_SCSI);
        assert_int_equal(config.card, CONFIG_CARD_VIRTIO);
    }
}

static void an_installation_keeps_its_version(void **unused)
{
    (void)unused;
    assert_int_equal(start(iso, NULL), 0);
    write_step(JOURNEY_INSTALLING);
    assert_int_equal(start("2022", NULL), 0);
    assert_string_equal(p.journey.medium, iso);
    assert_string_equal(p.journey.version, iso);
    run("rm %s%s", iso, "");
    fake_refused(&error, start("2022", NULL), ENOENT, "the medium of the installation", "set-aside");
    run("rm %s%s", disk(), "");
    fake_refused(&error, start("2022", NULL), ENOENT, "the disk is gone", "set-aside");
}

/* Before anything is made that would have to be undone. */
static void what_the_edition_does_not_take(void **unused)
{
    struct stat info;

    (void)unused;
    make_medium(iso, FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "EnterpriseEval", "Client",
                                                 "Windows 11 Enterprise Evaluation", "26100", "1742", "en-US")));
    fake_refused(&error, start(iso, "--key=VK7JG-NPHTM-C97JM-9MPGT-3V66T"), EINVAL, "--key", "evaluation");
    assert_int_equal(stat(disk(), &info), -1);
    assert_int_equal(start(iso, NULL), 0);
    assert_false(config.windows.answers.nested);
    assert_int_equal(start(iso, "--nested"), 0);
    assert_true(config.windows.answers.nested);
}

/* Where the user's own answer file is taken, nobody knows what it asks for. */
static void what_the_edition_lacks_is_said(void **unused)
{
    char log[4096], option[160], own[128];

    (void)unused;
    snprintf(own, sizeof own, "%s/own.xml", fake_folder);
    fake_text(own, "<unattend/>");
    snprintf(option, sizeof option, "--answer-file=%s", own);
    make_medium(iso,
                FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "Core", "Client", "Windows 11 Home", "26100", "1742", "en-US")));
    for (unsigned n = 0; n < 2; n++) {
        int output = memfd_create("log", MFD_CLOEXEC);
        ssize_t length;

        log_set_output(output);
        assert_int_equal(start(iso, n ? option : NULL), 0);
        log_set_output(STDERR_FILENO);
        length = pread(output, log, sizeof log - 1, 0);
        assert_true(length > 0);
        log[length] = 0;
        assert_int_equal(strstr(log, "Core is Windows Home") != NULL, n == 0);
        close(output);
    }
}

static void other_disks_wait(void **unused)
{
    char option[160], other[96];

    (void)unused;
    snprintf(other, sizeof other, "%s/other.img", fake_folder);
    run("truncate -s 1M %s%s", other, "");
    snprintf(option, sizeof option, "--disk=%s", other);
    assert_int_equal(start(iso, option), 0);
    assert_int_equal(prepare_disks(&p, &error), 0);
    assert_int_equal(config.disk_count, 3);
    write_step(JOURNEY_INSTALLED);
    assert_int_equal(start(iso, option), 0);
    assert_int_equal(prepare_disks(&p, &error), 0);
    assert_int_equal(config.disk_count, 2);
    assert_string_equal(config.disks[1].path, other);
}

/* Until Setup has begun, the last word about the profile counts. */
static void a_profile_that_was_not_used(void **unused)
{
    struct journey journey;

    (void)unused;
    for (unsigned step = JOURNEY_PREPARED; step <= JOURNEY_INSTALLING; step++) {
        assert_int_equal(start(iso, NULL), 0);
        assert_int_equal(journey_read(state, &journey, &error), 0);
        assert_string_equal(journey.profile, "inbox");
        journey.step = (enum journey_step)step;
        snprintf(journey.profile, sizeof journey.profile, "virtio");
        assert_int_equal(journey_write(state, &journey, &error), 0);
    }
    fake_refused(&error, start(iso, NULL), EINVAL, "--profile virtio", "--drivers");
}

static void install_as(const char *profile, const char *tried)
{
    struct journey journey;

    assert_int_equal(start(iso, NULL), 0);
    assert_int_equal(journey_read(state, &journey, &error), 0);
    journey.step = JOURNEY_INSTALLED;
    snprintf(journey.profile, sizeof journey.profile, "%s", profile);
    snprintf(journey.tried, sizeof journey.tried, "%s", tried);
    assert_int_equal(journey_write(state, &journey, &error), 0);
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
        assert_int_equal(journey_read(state, &before, &error), 0);
        assert_int_equal(start(iso, *rows[n].asked ? rows[n].asked : NULL), 0);
        assert_int_equal(p.profile.change, rows[n].change);
        assert_int_equal(prepare_disks(&p, &error), 0);
        assert_int_equal(config.disk_count, disks);
        assert_int_equal(config.disks[0].bus, rows[n].system);
        assert_int_equal(config.card, rows[n].system == CONFIG_BUS_VIRTIO ? CONFIG_CARD_VIRTIO : CONFIG_CARD_E1000E);
        assert_int_equal(p.watched, disks - 1);
        if (rows[n].trial >= 0) {
            assert_int_equal(config.disks[1].bus, rows[n].trial);
            assert_false(config.disks[1].cdrom || config.disks[1].read_only);
            assert_int_equal(stat(config.disks[1].path, &info), 0);
            assert_int_equal(info.st_size, 16 * MiB);
        }
        /* Nothing is noted before the guest has driven something. */
        assert_int_equal(journey_read(state, &after, &error), 0);
        assert_memory_equal(&after, &before, sizeof after);
    }
}

/* The user's disks keep their places, and the drivers come behind all. */
static void drivers_for_another_profile(void **unused)
{
    char *arguments[] = {"--version", iso,    "--state",          state, "--web", "none",
                         "--net",     "none", "--profile=virtio", "",    ""};
    char disk_option[160], drivers[200], folder[160];
    struct stat info;

    (void)unused;
    install_as("inbox", "");
    snprintf(folder, sizeof folder, "%s/drivers/viostor/w11/amd64", fake_folder);
    run("mkdir -p %s%s", folder, "");
    snprintf(drivers, sizeof drivers, "%s/viostor.inf", folder);
    fake_text(drivers, "[Manufacturer]\n%M% = M, NTamd64.10.0\n");
    snprintf(drivers, sizeof drivers, "--drivers=%s/drivers", fake_folder);
    snprintf(disk_option, sizeof disk_option, "--disk=%s", iso);
    arguments[9] = drivers;
    arguments[10] = disk_option;
    forget();
    p.config = &config;
    assert_int_equal(options_parse(&config, OPTIONS_WINDOWS, ARRAY_SIZE(arguments), arguments, &error), 0);
    assert_int_equal(wishes_complete(&config, &p.source, &error), 0);
    assert_int_equal(config_complete(&config, &error), 0);
    assert_int_equal(prepare_look(&p, &error), 0);
    assert_int_equal(prepare_disks(&p, &error), 0);
    assert_int_equal(config.disk_count, 4);
    assert_string_equal(config.disks[1].path, iso);
    assert_int_equal(config.disks[2].bus, CONFIG_BUS_VIRTIO);
    assert_true(config.disks[3].cdrom && config.disks[3].read_only);
    assert_int_equal(p.watched, 2);
    assert_true(p.disc >= 0 && fstat(p.disc, &info) == 0 && info.st_size > 0);
    /* Of a Windows that nobody knows the build of, nobody knows which of them it needs. */
    close(p.disc);
    p.disc = -1;
    p.journey.build = 0;
    config_remove_disks(&config);
    close(p.trial);
    fake_refused(&error, prepare_disks(&p, &error), ENODATA, "--drivers", "--cdrom");
}

static void what_cannot_be_installed(void **unused)
{
    (void)unused;
    fake_refused(&error, start(iso, "--edition=home"), EINVAL, "home", "Professional");
    fake_refused(&error, start(iso, "--language=de-DE"), EINVAL, "de-DE", "en-US");
    make_medium(iso, FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "12", "Professional", "Client", "Windows 11 Pro", "26100", "1742",
                                                 "en-US")));
    fake_refused(&error, start(iso, NULL), EINVAL, "x86-64", "another medium");
    assert_false(fake_is_there(disk()));
}

static void from_a_link(void **unused)
{
    static uint8_t data[110 * MiB];
    struct fake_http_page pages[] = {{.path = "/w.iso", .now = {.data = data, .size = sizeof data}}, {.path = NULL}};
    struct fake_http *server;
    FILE *file = fopen(iso, "re");
    const char *url;

    (void)unused;
    assert_non_null(file);
    assert_true(fread(data, 1, sizeof data, file) > MiB / 4);
    fclose(file);
    server = fake_http_start(pages, NULL, NULL);
    url = fake_http_url(server, "/w.iso");
    assert_int_equal(start(url, NULL), 0);
    assert_int_equal(p.journey.step, JOURNEY_PREPARED);
    assert_true(p.journey.fetched_by_us);
    assert_int_equal(strlen(p.journey.digest), 64);
    assert_string_equal(p.journey.version, url);
    assert_true(fake_is_there(p.journey.medium));
    /* It is not fetched again, also when the program was killed between the file's name and the journey's step. */
    pages[0].requests = 0;
    write_step(JOURNEY_NEW);
    assert_int_equal(start(url, NULL), 0);
    assert_true(p.journey.fetched_by_us);
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
    FILE *file = fopen(iso, "re");
    pthread_t thread;

    (void)unused;
    assert_non_null(file);
    assert_true(fread(data, 1, sizeof data, file) > MiB / 4);
    fclose(file);
    lifecycle_block_signals();
    server = fake_http_start(pages, NULL, NULL);
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &pages[0]), 0);
    fake_refused(&error, start(fake_http_url(server, "/w.iso"), NULL), ECANCELED, "w.iso", "");
    pthread_join(thread, NULL);
    assert_false(fake_is_there(disk()));
    fake_http_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(from_an_image),
        TEST(goes_on_at_each_step),
        TEST(what_is_there_stays),
        TEST(what_is_taken_over_keeps_its_bus),
        TEST(what_the_edition_does_not_take),
        TEST(what_the_edition_lacks_is_said),
        TEST(other_disks_wait),
        TEST(a_profile_that_was_not_used),
        TEST(another_profile),
        TEST(drivers_for_another_profile),
        TEST(what_cannot_be_installed),
        TEST(an_installation_keeps_its_version),
        TEST(from_a_link),
        TEST(a_signal_ends_it),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
