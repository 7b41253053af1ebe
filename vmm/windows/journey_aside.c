/*
 * Moves a disk and its journey into backups/TIME. While that is done the folder is called TIME.part: whoever finds one
 * goes on with it, so a disk and its journey come to lie in the same place wherever the first attempt was ended.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journey.h"

#define JOURNEY "journey.json"
#define BACKUPS "backups"
#define PART ".part"
#define TIME_NAME 32 /* YYYYMMDDTHHMMSSZ, "-n", ".part" */

struct aside {
    const char *folder, *disk;
    const char *disk_name; /* without its folders */
    int at, disk_at;       /* the state folder, the disk's */
    int backups, part;     /* -1: not opened */
    char name[TIME_NAME];  /* of the new place, without ".part" */
    struct error *error;
};

static int cannot(const struct aside *aside, const char *what, int err)
{
    return error_set(aside->error, err,
                     "%s: %s cannot be moved to " BACKUPS ": %s; look at the folder, its rights and its space",
                     aside->folder, what, strerror(err));
}

/* 1: it is there; 0: it is not; or -errno. */
static int is_there(int at, const char *name)
{
    struct stat info;

    if (fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

/* The folder that the disk lies in. */
static int open_disk_folder(struct aside *aside)
{
    size_t length = (size_t)(aside->disk_name - aside->disk);
    char *path = length ? strndup(aside->disk, length) : strdup(".");

    if (!path)
        return cannot(aside, aside->disk, ENOMEM);
    aside->disk_at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(path);
    return aside->disk_at < 0 ? cannot(aside, aside->disk, errno) : 0;
}

/* Before anything is changed. 1: the disk is there; 0: it is not; or -errno. */
static int check_disk(const struct aside *aside)
{
    struct stat disk, folder;

    if (!*aside->disk_name || !strcmp(aside->disk_name, JOURNEY))
        return error_set(aside->error, EINVAL, "%s: no name of a disk; name its file", aside->disk);
    if (fstat(aside->at, &folder) < 0)
        return cannot(aside, aside->disk, errno);
    if (fstatat(aside->disk_at, aside->disk_name, &disk, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : cannot(aside, aside->disk, errno);
    if (!S_ISREG(disk.st_mode))
        return error_set(aside->error, EINVAL,
                         "%s: is a link or a device and not a file, so it cannot be moved to " BACKUPS
                         "; copy what is on it yourself, and give another disk",
                         aside->disk);
    if (disk.st_dev != folder.st_dev)
        return error_set(aside->error, EXDEV,
                         "%s: lies on another file system than %s, so it cannot be moved to " BACKUPS
                         " there; move it away yourself, or give another disk",
                         aside->disk, aside->folder);
    return 1;
}

static int open_backups(struct aside *aside)
{
    if (mkdirat(aside->at, BACKUPS, 0700) < 0 && errno != EEXIST)
        return cannot(aside, aside->disk, errno);
    aside->backups = openat(aside->at, BACKUPS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return aside->backups < 0 || fsync(aside->at) < 0 ? cannot(aside, aside->disk, errno) : 0;
}

static int open_part(struct aside *aside)
{
    char part[TIME_NAME + sizeof PART];

    snprintf(part, sizeof part, "%s" PART, aside->name);
    aside->part = openat(aside->backups, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return aside->part < 0 ? cannot(aside, aside->disk, errno) : 0;
}

/* 1: what an earlier attempt has left; 0: there is nothing; or -errno. */
static int find_part(struct aside *aside)
{
    int fd = openat(aside->backups, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int found = 0;

    if (!stream) {
        found = cannot(aside, aside->disk, errno);
        if (fd >= 0)
            close(fd);
        return found;
    }
    while (!found && (entry = (errno = 0, readdir(stream)))) {
        size_t length = strlen(entry->d_name), tail = sizeof PART - 1;

        if (length <= tail || length - tail >= TIME_NAME || strcmp(entry->d_name + length - tail, PART) != 0)
            continue;
        memcpy(aside->name, entry->d_name, length - tail);
        aside->name[length - tail] = 0;
        found = 1;
    }
    if (!found && errno)
        found = cannot(aside, aside->disk, errno);
    closedir(stream);
    return found;
}

static int make_part(struct aside *aside)
{
    time_t now = time(NULL);
    char time_text[TIME_NAME], part[TIME_NAME + sizeof PART];
    struct tm tm;

    if (!gmtime_r(&now, &tm) || !strftime(time_text, sizeof time_text - 8, "%Y%m%dT%H%M%SZ", &tm))
        return cannot(aside, aside->disk, EOVERFLOW);
    for (unsigned n = 1; n < 100000; n++) {
        int taken;

        if (n == 1)
            snprintf(aside->name, sizeof aside->name, "%.23s", time_text);
        else
            snprintf(aside->name, sizeof aside->name, "%.23s-%u", time_text, n);
        snprintf(part, sizeof part, "%s" PART, aside->name);
        taken = is_there(aside->backups, aside->name);
        if (taken == 0 && mkdirat(aside->backups, part, 0700) == 0)
            return fsync(aside->backups) < 0 ? cannot(aside, aside->disk, errno) : 0;
        if (taken < 0 || (taken == 0 && errno != EEXIST))
            return cannot(aside, aside->disk, taken < 0 ? -taken : errno);
    }
    return cannot(aside, aside->disk, EEXIST);
}

/* Moves one thing, if it is there, so that it is in one of the two places whenever power fails. */
static int move(const struct aside *aside, int from, const char *name)
{
    if (renameat(from, name, aside->part, name) < 0)
        return errno == ENOENT ? 0 : cannot(aside, name, errno);
    return fsync(aside->part) < 0 || fsync(from) < 0 ? cannot(aside, name, errno) : 0;
}

/* The place has its name: nothing more comes into it. */
static int close_part(struct aside *aside)
{
    char part[TIME_NAME + sizeof PART];

    snprintf(part, sizeof part, "%s" PART, aside->name);
    close(aside->part);
    aside->part = -1;
    if (renameat(aside->backups, part, aside->backups, aside->name) < 0 || fsync(aside->backups) < 0)
        return cannot(aside, aside->disk, errno);
    return 0;
}

/* Whether what an earlier attempt has left is whole, or has another disk in it: then nothing of now belongs to it. */
static int is_another(const struct aside *aside, bool disk_there)
{
    int result = is_there(aside->part, JOURNEY);

    if (result == 0 && disk_there)
        result = is_there(aside->part, aside->disk_name);
    return result < 0 ? cannot(aside, aside->disk, -result) : result;
}

/* Opens the place to move to. 1: an earlier attempt's or, if something is there to be moved, a new one; 0: none. */
static int choose_part(struct aside *aside, bool disk_there, bool journey_there)
{
    int found, failed;

    while ((found = find_part(aside)) == 1) {
        int another;

        failed = open_part(aside);
        if (failed < 0)
            return failed;
        another = disk_there || journey_there ? is_another(aside, disk_there) : 0;
        if (another <= 0)
            return another < 0 ? another : 1;
        failed = close_part(aside);
        if (failed < 0)
            return failed;
        aside->name[0] = 0;
    }
    if (found < 0 || (!disk_there && !journey_there))
        return found;
    failed = make_part(aside);
    if (failed == 0)
        failed = open_part(aside);
    return failed < 0 ? failed : 1;
}

static int set_aside(struct aside *aside)
{
    int disk_there = check_disk(aside), journey_there, chosen, failed;

    if (disk_there < 0)
        return disk_there;
    journey_there = is_there(aside->at, JOURNEY);
    if (journey_there < 0)
        return cannot(aside, JOURNEY, -journey_there);
    failed = open_backups(aside);
    if (failed < 0)
        return failed;
    chosen = choose_part(aside, disk_there, journey_there);
    if (chosen <= 0)
        return chosen;
    failed = move(aside, aside->disk_at, aside->disk_name);
    if (failed == 0)
        failed = move(aside, aside->at, JOURNEY);
    return failed < 0 ? failed : close_part(aside);
}

int journey_set_aside(const char *folder, const char *disk, char *path_out, uint64_t size, struct error *error)
{
    const char *slash = strrchr(disk, '/');
    struct aside aside = {.folder = folder,
                          .disk = disk,
                          .disk_name = slash ? slash + 1 : disk,
                          .at = -1,
                          .disk_at = -1,
                          .backups = -1,
                          .part = -1,
                          .error = error};
    int failed;

    if (path_out && size < strlen(folder) + sizeof "/" BACKUPS "/" + TIME_NAME)
        return error_set(error, ENAMETOOLONG, "%s: too long a path; give the machine another state folder", folder);
    aside.at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    failed = aside.at < 0 ? error_set(error, errno, "%s: %s; name the machine's state folder", folder, strerror(errno))
                          : open_disk_folder(&aside);
    if (failed == 0)
        failed = set_aside(&aside);
    if (path_out && failed == 0) {
        path_out[0] = 0;
        if (aside.name[0])
            snprintf(path_out, size, "%s/" BACKUPS "/%s", folder, aside.name);
    }
    for (unsigned n = 0; n < 4; n++) {
        int fd = ((const int[]){aside.part, aside.backups, aside.disk_at, aside.at})[n];

        if (fd >= 0)
            close(fd);
    }
    return failed;
}
