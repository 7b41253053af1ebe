/* A start from the user's disc: it is in front, the disks are all there, and the installation stands still. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/machine.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_prepare.h"

static const char *start_disc, *further;

static int start(const char *option)
{
    return fake_start_with(windows.iso, (const char *[]){start_disc, further, option}, option ? 3 : 2);
}

static void make_files(void)
{
    fake_text(fake_below("start.iso"), "a disc");
    fake_prepare_run("truncate -s 1M %s/%s", fake_folder, "other.img");
    start_disc = fake_prepare_option("--start-disc", "start.iso");
    further = fake_prepare_option("--disk", "other.img");
}

static void check_disks(enum config_bus bus)
{
    const struct config_disk *disks = windows.config.disks;

    assert_int_equal(prepare_disks(&windows.p, &windows.error), 0);
    assert_int_equal(windows.config.disk_count, 3);
    assert_true(disks[0].cdrom && disks[0].read_only);
    assert_string_equal(disks[0].path, fake_below("start.iso"));
    assert_string_equal(disks[1].path, windows.disk);
    assert_int_equal(disks[1].bus, bus);
    assert_string_equal(disks[2].path, fake_below("other.img"));
    assert_true(windows.p.disc < 0 && windows.p.trial < 0);
}

/* Nothing is downloaded or written down; the disk waits, and whatever is on it later is started. */
static void where_nothing_is_yet(void **unused)
{
    char journey[160];
    struct stat info;

    (void)unused;
    make_files();
    snprintf(journey, sizeof journey, "%s/journey.json", windows.state);
    fake_prepare_listen();
    assert_int_equal(fake_start_with("11", (const char *[]){start_disc, further}, 2), 0);
    assert_true(fake_prepare_heard("nothing is installed as long as --start-disc is given"));
    assert_int_equal(stat(windows.disk, &info), 0);
    assert_true(info.st_size == 256 * MiB);
    check_disks(CONFIG_BUS_NVME);
    assert_int_equal(access(journey, F_OK), -1);
    fake_prepare_run("printf data | dd of=%s conv=notrunc status=none%s", windows.disk, "");
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    assert_int_equal(windows.p.journey.step, JOURNEY_INSTALLED);
}

/* The step stays, and the next start without the disc goes on. */
static void between_the_steps(void **unused)
{
    static const enum journey_step steps[] = {JOURNEY_PREPARED, JOURNEY_INSTALLING, JOURNEY_INSTALLED};
    struct journey journey;

    (void)unused;
    make_files();
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    for (size_t n = 0; n < ARRAY_SIZE(steps); n++) {
        fake_prepare_step(steps[n]);
        assert_int_equal(start(NULL), 0);
        check_disks(CONFIG_BUS_NVME);
        assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
        assert_int_equal(journey.step, steps[n]);
    }
}

/* No small disk is there for another profile's driver; where Windows has that driver already its disk has moved. */
static void another_profile(void **unused)
{
    struct journey journey;

    (void)unused;
    make_files();
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    fake_prepare_step(JOURNEY_INSTALLED);
    fake_prepare_listen();
    assert_int_equal(start("--profile=scsi"), 0);
    check_disks(CONFIG_BUS_NVME);
    assert_false(fake_prepare_heard("profile"));
    assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
    snprintf(journey.tried, sizeof journey.tried, "scsi");
    assert_int_equal(journey_write(windows.state, &journey, &windows.error), 0);
    assert_int_equal(start("--profile=scsi"), 0);
    check_disks(CONFIG_BUS_SCSI);
}

static void a_disc_that_is_none(void **unused)
{
    (void)unused;
    make_files();
    start_disc = fake_prepare_option("--start-disc", "none.iso");
    fake_refused(&windows.error, start(NULL), ENOENT, "--start-disc", "none.iso");
    fake_prepare_run("mkdir %s/%s", fake_folder, "folder");
    start_disc = fake_prepare_option("--start-disc", "folder");
    fake_refused(&windows.error, start(NULL), EINVAL, "--start-disc", "is no file");
    assert_int_equal(access(windows.disk, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {PREPARED(where_nothing_is_yet), PREPARED(between_the_steps),
                                       PREPARED(another_profile), PREPARED(a_disc_that_is_none)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
