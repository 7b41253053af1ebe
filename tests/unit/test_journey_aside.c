/* Disks and journeys that are set aside: where they come to be, and what cannot be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_journey.h"

static struct error error;

static void set_aside_and_again(void **state)
{
    char place[256], second[256], path[300];
    struct journey found;

    (void)state;
    fake_text(fake_below("disk.img"), "old disk");
    fake_journey_write(&fake_journey);
    assert_int_equal(journey_set_aside(fake_folder, fake_below("disk.img"), place, sizeof place, &error), 0);
    snprintf(path, sizeof path, "%s/disk.img", place);
    assert_true(fake_has_text(path, "old disk"));
    assert_int_equal(strlen(place), strlen(fake_folder) + strlen("/backups/YYYYMMDDTHHMMSSZ"));
    assert_false(fake_is_there(fake_below("disk.img")) || fake_is_there(fake_below("journey.json")));
    assert_int_equal(journey_read(place, &found, &error), 0);
    fake_journey_same(&found, &fake_journey);
    /* The same second or not, no place is taken twice. */
    for (unsigned n = 0; n < 5; n++) {
        fake_text(fake_below("disk.img"), "new disk");
        assert_int_equal(journey_set_aside(fake_folder, fake_below("disk.img"), second, sizeof second, &error), 0);
        assert_string_not_equal(second, place);
        memcpy(place, second, sizeof place);
    }
    assert_int_equal(fake_journey_backups("new disk").disks, 5);
    assert_int_equal(fake_journey_backups("old disk").together, 1);
    /* A journey alone; nothing at all. */
    fake_journey_write(&fake_journey);
    assert_int_equal(journey_set_aside(fake_folder, fake_below("disk.img"), NULL, 0, &error), 0);
    assert_int_equal(fake_journey_backups("").journeys, 2);
    assert_int_equal(journey_set_aside(fake_folder, fake_below("disk.img"), place, sizeof place, &error), 0);
    assert_string_equal(place, "");
}

static void what_cannot_be_set_aside(void **state)
{
    char shm[] = "/dev/shm/journey-XXXXXX", place[256];
    struct stat here, there;
    int fd = mkstemp(shm);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(stat(fake_folder, &here), 0);
    assert_int_equal(stat(shm, &there), 0);
    assert_true(here.st_dev != there.st_dev);
    fake_refused(&error, journey_set_aside(fake_folder, shm, NULL, 0, &error), EXDEV, shm, "another file system");
    assert_true(fake_is_there(shm));
    unlink(shm);
    fake_text(fake_below("file"), "old disk");
    assert_int_equal(symlink("file", fake_below("disk.img")), 0);
    fake_refused(&error, journey_set_aside(fake_folder, fake_below("disk.img"), NULL, 0, &error), EINVAL, "disk.img",
                 "is a link");
    fake_refused(&error, journey_set_aside(fake_folder, fake_folder, NULL, 0, &error), EINVAL, fake_folder,
                 "not a file");
    fake_refused(&error, journey_set_aside(fake_folder, fake_below(""), NULL, 0, &error), EINVAL, fake_folder,
                 "name its file");
    fake_refused(&error, journey_set_aside(fake_below("nothing"), fake_below("file"), NULL, 0, &error), ENOENT,
                 "nothing", "state folder");
    fake_refused(&error, journey_set_aside(fake_below("file"), fake_below("file"), NULL, 0, &error), ENOTDIR, "file",
                 "state folder");
    fake_refused(&error, journey_set_aside(fake_folder, fake_below("file"), place, 20, &error), ENAMETOOLONG,
                 fake_folder, "state folder");
    assert_false(fake_is_there(fake_below("backups")));
    fake_text(fake_below("backups"), "no folder");
    fake_refused(&error, journey_set_aside(fake_folder, fake_below("file"), NULL, 0, &error), ENOTDIR, "backups",
                 "look at the folder");
    assert_true(fake_has_text(fake_below("file"), "old disk"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(set_aside_and_again),
        IN_FOLDER(what_cannot_be_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
