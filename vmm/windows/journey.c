/* journey.json: reading it, and writing it so that a reader finds the old one or the new one, whatever happens. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/log.h"
#include "journey.h"

#define NAME "journey.json"
#define FILE_MAX 65536 /* ten times what the longest fields make */

const char *const journey_step_names[JOURNEY_INSTALLED + 1] = {"new", "fetched", "prepared", "installing", "installed"};

/* LATER_TEXT: files that an older program wrote are without it. */
enum kind { STEP, NUMBER, TEXT, FLAG, LATER_TEXT };

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset, size; /* size of TEXT */
} fields[] = {
#define FIELD(kind, member)                                                                     \
    {                                                                                           \
#member, kind, offsetof(struct journey, member), sizeof((struct journey *)NULL)->member \
    }
    FIELD(STEP, step),     FIELD(NUMBER, phase),       FIELD(TEXT, version),    FIELD(TEXT, medium),
    FIELD(TEXT, digest),   FIELD(FLAG, fetched_by_us), FIELD(NUMBER, image),    FIELD(TEXT, edition),
    FIELD(TEXT, language), FIELD(TEXT, profile),       FIELD(NUMBER, build),    FIELD(TEXT, installed_at),
    FIELD(TEXT, report),   FIELD(LATER_TEXT, tried),   FIELD(LATER_TEXT, disk), FIELD(LATER_TEXT, disk_identity),
#undef FIELD
};

static int read_step(const json_t *value, enum journey_step *step)
{
    for (unsigned n = 0; n <= JOURNEY_INSTALLED && json_is_string(value); n++)
        if (!strcmp(json_string_value(value), journey_step_names[n])) {
            *step = (enum journey_step)n;
            return 0;
        }
    return -EILSEQ;
}

static int read_field(const struct field *field, const json_t *value, struct journey *journey)
{
    void *to = (char *)journey + field->offset;
    json_int_t number = json_integer_value(value);

    switch (field->kind) {
    case STEP:
        return read_step(value, to);
    case NUMBER:
        if (!json_is_integer(value) || number < 0 || number > UINT_MAX)
            return -EILSEQ;
        *(unsigned *)to = (unsigned)number;
        return 0;
    case LATER_TEXT:
        if (!value)
            return 0;
        /* fall through */
    case TEXT:
        if (!json_is_string(value) || json_string_length(value) >= field->size)
            return -EILSEQ;
        memcpy(to, json_string_value(value), json_string_length(value) + 1);
        return 0;
    case FLAG:
        *(bool *)to = json_is_true(value);
        return json_is_boolean(value) ? 0 : -EILSEQ;
    }
    return -EILSEQ;
}

static json_t *make_field(const struct field *field, const struct journey *journey)
{
    const void *from = (const char *)journey + field->offset;

    switch (field->kind) {
    case STEP:
        return json_string(journey_step_names[*(const enum journey_step *)from]);
    case NUMBER:
        return json_integer(*(const unsigned *)from);
    case TEXT:
    case LATER_TEXT:
        return json_stringn(from, strnlen(from, field->size - 1));
    case FLAG:
        return json_boolean(*(const bool *)from);
    }
    return NULL;
}

static int damaged(const char *folder, const char *what, struct error *error)
{
    return error_set(error, EILSEQ,
                     "%s/" NAME ": %s; move " NAME " away: the disk is looked at then, and nothing on it is lost",
                     folder, what);
}

static int cannot(const char *folder, const char *what, int err, struct error *error)
{
    return error_set(error, err, "%s/" NAME ": cannot be %s: %s; look at the folder, its rights and its space", folder,
                     what, strerror(err));
}

static int parse(const char *folder, const char *text, size_t length, struct journey *journey, struct error *error)
{
    json_error_t where;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    char what[200];
    int failed = 0;

    if (!json && json_error_code(&where) == json_error_out_of_memory)
        return cannot(folder, "read", ENOMEM, error);
    if (!json_is_object(json)) {
        json_decref(json);
        return damaged(folder, "is no JSON object", error);
    }
    for (size_t n = 0; n < ARRAY_SIZE(fields) && failed == 0; n++) {
        failed = read_field(&fields[n], json_object_get(json, fields[n].name), journey);
        if (failed < 0) {
            snprintf(what, sizeof what, "its field %s is missing or wrong", fields[n].name);
            damaged(folder, what, error);
        }
    }
    json_decref(json);
    return failed;
}

/* The whole file, or -errno; -EILSEQ where it cannot be one of ours. */
static ssize_t read_file(int fd, char *text, size_t size)
{
    struct stat info;
    int failed;

    if (fstat(fd, &info) < 0)
        return -errno;
    if (!S_ISREG(info.st_mode) || info.st_size >= (off_t)size)
        return -EILSEQ;
    failed = file_read_at(fd, text, (uint64_t)info.st_size, 0);
    return failed < 0 ? failed : info.st_size;
}

static int open_folder(const char *folder, struct error *error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? error_set(error, errno, "%s: %s; name the machine's state folder", folder, strerror(errno)) : fd;
}

int journey_read(const char *folder, struct journey *journey, struct error *error)
{
    struct journey found = {0};
    int at = open_folder(folder, error), fd, failed;
    char *text;
    ssize_t length;

    *journey = found;
    if (at < 0)
        return at;
    fd = openat(at, NAME, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    failed = fd < 0 ? errno : 0;
    close(at);
    if (failed)
        return failed == ENOENT ? 0 : cannot(folder, "read", failed, error);
    text = malloc(FILE_MAX);
    length = text ? read_file(fd, text, FILE_MAX) : -ENOMEM;
    close(fd);
    if (length < 0)
        failed = length == -EILSEQ ? damaged(folder, "is no file of less than 64 KiB", error)
                                   : cannot(folder, "read", (int)-length, error);
    else
        failed = parse(folder, text, (size_t)length, &found, error);
    free(text);
    if (failed == 0)
        *journey = found;
    return failed;
}

static char *make_text(const struct journey *journey, const char **wrong)
{
    json_t *json = json_object();
    char *text = NULL;

    *wrong = NULL;
    for (size_t n = 0; n < ARRAY_SIZE(fields) && !*wrong; n++)
        if (json_object_set_new(json, fields[n].name, make_field(&fields[n], journey)) < 0)
            *wrong = fields[n].name;
    if (!*wrong)
        text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(json);
    return text;
}

static int write_file(int at, const char *text)
{
    int fd = openat(at, NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), failed;

    if (fd < 0)
        return -errno;
    failed = file_write(fd, text, strlen(text));
    if (failed == 0 && fsync(fd) < 0)
        failed = -errno;
    close(fd);
    if (failed == 0 && renameat(at, NAME ".new", at, NAME) < 0)
        failed = -errno;
    if (failed < 0)
        unlinkat(at, NAME ".new", 0);
    else if (fsync(at) < 0)
        failed = -errno;
    return failed;
}

int journey_write(const char *folder, const struct journey *journey, struct error *error)
{
    int at = open_folder(folder, error), failed;
    const char *wrong;
    char *text;

    if (at < 0)
        return at;
    text = make_text(journey, &wrong);
    if (text)
        failed = write_file(at, text);
    else
        failed = wrong ? -EINVAL : -ENOMEM;
    free(text);
    close(at);
    if (wrong)
        return error_set(error, EINVAL, "%s/" NAME ": its field %s would not be UTF-8; name a file or a text that is",
                         folder, wrong);
    return failed < 0 ? cannot(folder, "written", -failed, error) : 0;
}

static bool discard(const char *path)
{
    if (unlink(path) == 0)
        return true;
    if (errno != ENOENT)
        log_warning("%s: cannot be deleted: %s; it is not needed any more", path, strerror(errno));
    return false;
}

/* Others call what they have begun NAME.part as well, but none keeps a state beside it. */
void journey_delete_medium(const struct journey *journey)
{
    char part[sizeof journey->medium + 8], state[sizeof journey->medium + 16];
    bool deleted = journey->fetched_by_us && discard(journey->medium);

    if (!*journey->medium)
        return;
    snprintf(part, sizeof part, "%s.part", journey->medium);
    snprintf(state, sizeof state, "%s.state", part);
    if (access(state, F_OK) == 0) {
        deleted |= discard(part);
        deleted |= discard(state);
    }
    if (deleted)
        log_info("%s: not needed any more, deleted", journey->medium);
}
