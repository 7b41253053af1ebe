/* See drivers.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answers.h"
#include "casement/bytes.h"
#include "casement/file.h"
#include "catalogue.h"
#include "disc_private.h"
#include "drivers.h"
#include "inf.h"
#include "iso9660.h"

#define LIMIT (1 * GiB)
#define INF_MOST (1 * MiB) /* [Manufacturer] comes before all that is long */
#define PATH_SIZE 128      /* of NAME/VERSION/amd64 */
#define VERSION_MOST 16U

enum { SETUP = 1, LAST = 2, DISPLAY = 4 };

/* Of virtio-win's drivers those that a machine of this kind may have a device for. */
static const struct driver {
    const char *name;
    unsigned kind;
} drivers[] = {
    {"viostor", SETUP},
    {"vioscsi", SETUP},
    {"NetKVM", SETUP},
    {"vioserial", SETUP},
    {"viorng", SETUP},
    {"vioinput", SETUP},
    {"viofs", SETUP},
    {"viomem", SETUP},
    {"pvpanic", SETUP},
    {"qemupciserial", SETUP},
    {"smbus", SETUP},
    {"sriov", SETUP},
    {"Balloon", SETUP | LAST}, /* the script starts its service from there */
    {"viogpudo", LAST | DISPLAY},
    {"qxldod", LAST | DISPLAY},
    {"qxl", LAST | DISPLAY},
};

struct source {
    const char *path;
    bool is_folder;
    struct disc *disc;
    struct error *error;
    int fd; /* of an image, for lists of it */
    struct medium_source image;
    struct iso9660 iso;
};

static int no_memory(const struct source *source)
{
    return error_set(source->error, ENOMEM, "%s: out of memory", source->path);
}

/* Lists with commas between their words. */

static bool has_word(const char *list, const char *word)
{
    for (size_t length; *list; list += length + strspn(list + length, ", ")) {
        length = strcspn(list, ",");
        if (length == strlen(word) && !strncasecmp(list, word, length))
            return true;
    }
    return false;
}

/* Once, and while there is room. */
static void add_word(char *list, size_t size, const char *word)
{
    size_t used = strlen(list);

    if (has_word(list, word) || has_word(list, "..."))
        return;
    snprintf(list + used, size - used, "%s%s", used ? ", " : "",
             used + strlen(word) + sizeof ", , ..." > size ? "..." : word);
}

/* What is in the source. */

typedef int visit_fn(void *opaque, const char *name);

static int each_folder_of_host(const struct source *source, const char *path, visit_fn *visit, void *opaque)
{
    const struct dirent *entry;
    DIR *stream = NULL;
    struct stat info;
    char *whole;
    int result = 0;

    if (asprintf(&whole, "%s/%s", source->path, path) < 0)
        return no_memory(source);
    stream = opendir(whole);
    if (!stream)
        result = error_set(source->error, errno, "%s: cannot be read: %s; give the user who runs this the right to it",
                           whole, strerror(errno));
    while (stream && result == 0 && (entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            fstatat(dirfd(stream), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
            result = visit(opaque, entry->d_name);
    if (stream)
        closedir(stream);
    free(whole);
    return result;
}

static int each_folder_of_image(const struct source *source, const char *path, visit_fn *visit, void *opaque)
{
    struct iso9660_list list = {.iso = &source->iso};
    struct iso9660_entry entry;
    int result = iso9660_find_folder(&source->iso, path, &list.folder, source->error);

    if (result == -ENOENT)
        return 0; /* a listed name that nobody finds: it is not ASCII */
    while (result == 0 && (result = iso9660_next(&list, &entry, source->error)) == 1)
        result = entry.is_folder ? visit(opaque, entry.name) : 0;
    return result;
}

/* Calls visit for each folder in that of the path, until it returns other than 0, which is returned. */
static int each_folder(const struct source *source, const char *path, visit_fn *visit, void *opaque)
{
    return source->is_folder ? each_folder_of_host(source, path, visit, opaque)
                             : each_folder_of_image(source, path, visit, opaque);
}

struct step {
    const char *wanted;
    char found[PATH_SIZE];
};

static int is_wanted(void *opaque, const char *name)
{
    struct step *step = opaque;

    if (strcasecmp(name, step->wanted) != 0)
        return 0;
    snprintf(step->found, sizeof step->found, "%s", name);
    return 1;
}

static void append(char path[PATH_SIZE], const char *name)
{
    size_t used = strlen(path);

    snprintf(path + used, PATH_SIZE - used, "%s%s", used ? "/" : "", name);
}

/* Adds the folder of that name, in capitals or not, to the path. 1; 0: there is none; or -errno with a text. */
static int enter(const struct source *source, char path[PATH_SIZE], const char *name)
{
    struct step step = {.wanted = name};
    int result = each_folder(source, path, is_wanted, &step);

    if (result == 1)
        append(path, step.found);
    return result;
}

struct versions {
    const struct source *source;
    char folder[PATH_SIZE]; /* of a driver */
    char list[256];
};

static int note_version(void *opaque, const char *name)
{
    struct versions *versions = opaque;
    char path[PATH_SIZE];
    int result = 0;

    if (strlen(name) <= VERSION_MOST) {
        memcpy(path, versions->folder, sizeof path);
        append(path, name);
        result = enter(versions->source, path, "amd64");
    }
    if (result == 1)
        add_word(versions->list, sizeof versions->list, name);
    return MIN(result, 0);
}

/* Which versions there are in virtio-win's layout; none when the source has another. */
static int find_versions(const struct source *source, struct versions *versions)
{
    int result = 0;

    for (size_t n = 0; n < ARRAY_SIZE(drivers) && result >= 0; n++) {
        versions->folder[0] = 0;
        result = enter(source, versions->folder, drivers[n].name);
        if (result == 1)
            result = each_folder(source, versions->folder, note_version, versions);
    }
    return MIN(result, 0);
}

/* Onto the disc. */

static int add(const struct source *source, const char *from, const char *to)
{
    return source->is_folder ? disc_add_folder(source->disc, to, source->path, from, LIMIT, source->error)
                             : disc_add_from_image(source->disc, to, source->path, from, source->error);
}

static int add_driver(const struct source *source, const struct driver *driver, const char *version, unsigned *kinds)
{
    const char *const steps[] = {driver->name, version, "amd64"};
    char from[PATH_SIZE] = "", to[PATH_SIZE];
    int result = 1;

    for (size_t n = 0; n < ARRAY_SIZE(steps) && result == 1; n++)
        result = enter(source, from, steps[n]);
    if (result < 1)
        return result;
    *kinds |= driver->kind;
    snprintf(to, sizeof to, ANSWERS_SETUP_DRIVERS "/%s", driver->name);
    result = driver->kind & SETUP ? add(source, from, to) : 0;
    snprintf(to, sizeof to, ANSWERS_DRIVERS "/%s", driver->name);
    return result == 0 && (driver->kind & LAST) ? add(source, from, to) : result;
}

static int add_version(const struct source *source, const struct medium_image *image, const char *versions,
                       unsigned *kinds)
{
    const char *version = catalogue_driver_folder(image);
    int failed = 0;

    if (!version || !has_word(versions, version))
        return error_set(source->error, ENOENT,
                         "%s: has drivers for %s, but none for %s, which build %u needs; get the newest virtio-win",
                         source->path, versions, version ? version : "a version that is known here", image->build);
    for (size_t n = 0; n < ARRAY_SIZE(drivers) && failed == 0; n++)
        failed = add_driver(source, &drivers[n], version, kinds);
    return failed;
}

/* What has come onto the disc. */

struct check {
    const struct source *source;
    struct drivers_found *found;
    void *seen; /* by tsearch(): INFs of this tree */
};

/* As the operator knows it. */
static const char *shown(const struct disc_node *file, char path[DISC_PATH])
{
    return file->from ? file->from : disc_node_path(file, path);
}

static int read_inf(const struct disc_node *file, void *to, size_t length, struct error *error)
{
    int fd = file->from ? disc_open_host_file(file, error) : file->origin->fd, failed;

    if (fd < 0)
        return fd;
    failed = file_read_at(fd, to, length, file->offset);
    if (failed < 0)
        error_set(error, -failed, "%s: %.200s: cannot be read: %s; copy it to another disk", file->origin->name,
                  file->name, strerror(-failed));
    if (file->from)
        close(fd);
    return failed;
}

static int judge(const struct source *source, const struct disc_node *file, enum inf_kind *kind)
{
    size_t length = MIN(file->size, INF_MOST);
    uint8_t *bytes = malloc(length + 1);
    int failed = bytes ? read_inf(file, bytes, length, source->error) : no_memory(source);

    if (failed == 0)
        *kind = inf_kind(bytes, length);
    free(bytes);
    return failed;
}

static int by_name(const void *a, const void *b)
{
    return strcasecmp(((const struct disc_node *)a)->name, ((const struct disc_node *)b)->name);
}

static void note(struct drivers_found *found, const char *inf)
{
    char name[256];

    snprintf(name, sizeof name, "%.*s", (int)(strlen(inf) - strlen(".inf")), inf);
    found->viostor |= !strcasecmp(name, "viostor");
    found->vioscsi |= !strcasecmp(name, "vioscsi");
    found->netkvm |= !strcasecmp(name, "netkvm");
    for (size_t n = 0; n < ARRAY_SIZE(drivers); n++)
        found->display |= (drivers[n].kind & DISPLAY) && !strcasecmp(name, drivers[n].name);
    add_word(found->names, sizeof found->names, name);
}

static int check_inf(struct check *check, struct disc_node *file)
{
    enum inf_kind kind = INF_NO_DRIVER;
    char path[DISC_PATH], other[DISC_PATH];
    int failed = judge(check->source, file, &kind);
    struct disc_node **seen;

    if (failed < 0 || kind == INF_NO_DRIVER)
        return failed;
    if (kind == INF_OTHER)
        return error_set(check->source->error, EINVAL,
                         "%s: %s is for other processors than AMD64 only, by its [Manufacturer]; leave it out",
                         check->source->path, shown(file, path));
    seen = tsearch(file, &check->seen, by_name);
    if (!seen)
        return no_memory(check->source);
    if (*seen != file)
        return error_set(check->source->error, EEXIST,
                         "%s: %s and %s are one driver, of two versions perhaps, and Windows may take either; leave "
                         "one out",
                         check->source->path, shown(*seen, path), shown(file, other));
    note(check->found, file->name);
    return 0;
}

static int check_node(struct disc_node *node, void *opaque)
{
    size_t length = strlen(node->name);

    if (node->folder)
        return disc_each_child(node, check_node, opaque);
    return length > 4 && !strcasecmp(node->name + length - 4, ".inf") ? check_inf(opaque, node) : 0;
}

static void keep_node(void *node)
{
    (void)node; /* the disc's */
}

static int check_tree(const struct source *source, const char *path, struct drivers_found *found)
{
    struct check check = {.source = source, .found = found};
    struct disc_node *folder;
    int failed = disc_make_folders(source->disc, path, strlen(path), &folder, source->error);

    if (failed == 0)
        failed = check_node(folder, &check);
    found->last |= check.seen && !strcmp(path, ANSWERS_DRIVERS);
    tdestroy(check.seen, keep_node);
    return failed;
}

static int open_source(struct source *source)
{
    struct stat info;
    int failed;

    source->is_folder = stat(source->path, &info) == 0 && S_ISDIR(info.st_mode);
    if (source->is_folder)
        return 0;
    failed = medium_source_open(source->path, "a folder of drivers or a virtio-win ISO", &source->fd, &source->image,
                                source->error);
    return failed < 0 ? failed : iso9660_open(&source->image, &source->iso, source->error);
}

int drivers_add(struct disc *disc, const char *path, const struct medium_image *image, struct drivers_found *found,
                struct error *error)
{
    struct source source = {.path = path, .disc = disc, .error = error, .fd = -1};
    struct versions versions = {.source = &source};
    unsigned kinds = SETUP;
    int failed = open_source(&source);

    *found = (struct drivers_found){0};
    if (failed == 0)
        failed = find_versions(&source, &versions);
    if (failed == 0)
        failed = versions.list[0] ? add_version(&source, image, versions.list, &kinds)
                                  : add(&source, "", ANSWERS_SETUP_DRIVERS);
    if (failed == 0)
        failed = check_tree(&source, ANSWERS_SETUP_DRIVERS, found);
    if (failed == 0 && (kinds & LAST))
        failed = check_tree(&source, ANSWERS_DRIVERS, found);
    if (failed == 0 && !found->names[0])
        failed = error_set(error, ENOENT,
                           "%s: there is no driver in it: no .inf file with a [Manufacturer] section; name a folder of "
                           "drivers or a virtio-win ISO",
                           path);
    if (source.fd >= 0)
        close(source.fd);
    return failed;
}
