/* See fake_journey.h. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_journey.h"

const struct journey fake_journey = {.step = JOURNEY_INSTALLING,
                                     .phase = 3,
                                     .version = "11",
                                     .medium = "/state/Größe \"11\".iso",
                                     .digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                                     .fetched_by_us = true,
                                     .image = 6,
                                     .edition = "Professional",
                                     .language = "de-DE",
                                     .profile = "11",
                                     .tried = "12",
                                     .build = 4294967295U,
                                     .installed_at = "2025-01-02T03:04:05Z",
                                     .report = "a line\nand another\\"};

void fake_journey_same(const struct journey *a, const struct journey *b)
{
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->phase, b->phase);
    assert_string_equal(a->version, b->version);
    assert_string_equal(a->medium, b->medium);
    assert_string_equal(a->digest, b->digest);
    assert_int_equal(a->fetched_by_us, b->fetched_by_us);
    assert_int_equal(a->image, b->image);
    assert_string_equal(a->edition, b->edition);
    assert_string_equal(a->language, b->language);
    assert_string_equal(a->profile, b->profile);
    assert_string_equal(a->tried, b->tried);
    assert_int_equal(a->build, b->build);
    assert_string_equal(a->installed_at, b->installed_at);
    assert_string_equal(a->report, b->report);
}

void fake_journey_write(const struct journey *journey)
{
    struct error error = {""};

    if (journey_write(fake_folder, journey, &error))
        fail_msg("%s", error.text);
}

void fake_journey_read(struct journey *journey)
{
    struct error error = {""};

    if (journey_read(fake_folder, journey, &error))
        fail_msg("%s", error.text);
}

struct fake_backups fake_journey_backups(const char *disk)
{
    struct fake_backups places = {0};
    DIR *stream = opendir(fake_below("backups"));
    const struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        char path[700];
        bool has_disk, has_journey;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/disk.img", fake_below("backups"), entry->d_name);
        has_disk = fake_has_text(path, disk);
        snprintf(path, sizeof path, "%s/%s/journey.json", fake_below("backups"), entry->d_name);
        has_journey = fake_is_there(path);
        places.disks += has_disk;
        places.journeys += has_journey;
        places.together += has_disk && has_journey;
        places.parts += strstr(entry->d_name, ".part") != NULL;
    }
    if (stream)
        closedir(stream);
    return places;
}
