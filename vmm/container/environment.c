/* Reading a variable, and the walk over the table (see environment.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../windows/journey.h"
#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/image.h"
#include "environment_private.h"

/* What the reader gathers. */

static bool grow(struct reader *reader, void **list, size_t count, size_t size)
{
    void *more = reallocarray(*list, count + 1, size);

    if (!more) {
        reader->no_memory = true;
        return false;
    }
    *list = more;
    return true;
}

/* text is the settings' from here on, also when there is no memory. */
static char *keep(struct reader *reader, char *text)
{
    struct container_settings *settings = reader->settings;

    if (!text || !grow(reader, (void **)&settings->texts, settings->text_count, sizeof *settings->texts)) {
        reader->no_memory = true;
        free(text);
        return NULL;
    }
    return settings->texts[settings->text_count++] = text;
}

static char *keep_format(struct reader *reader, const char *format, va_list arguments)
{
    char *text;

    return keep(reader, vasprintf(&text, format, arguments) < 0 ? NULL : text);
}

char *reader_text(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = keep_format(reader, format, arguments);
    va_end(arguments);
    return text;
}

void reader_warn(struct reader *reader, const char *format, ...)
{
    struct container_settings *settings = reader->settings;
    va_list arguments;
    const char *text;

    va_start(arguments, format);
    text = keep_format(reader, format, arguments);
    va_end(arguments);
    if (text && grow(reader, (void **)&settings->warnings, settings->warning_count, sizeof *settings->warnings))
        settings->warnings[settings->warning_count++] = text;
}

void reader_give(struct reader *reader, const char *option, const char *variable, const char *value)
{
    struct container_settings *settings = reader->settings;

    if (!value)
        reader->no_memory = true;
    else if (grow(reader, (void **)&settings->options, settings->option_count, sizeof *settings->options))
        settings->options[settings->option_count++] = (struct option_value){option, value, variable};
}

/* Values. */

static const struct variable *find_variable(const char *name)
{
    for (size_t n = 0; n < container_variable_count; n++)
        if (!strcmp(container_variables[n].name, name))
            return &container_variables[n];
    return NULL;
}

/* Compose files in the form of a list keep the quotes that a YAML value would lose. */
static char *trim(char *text)
{
    char *end = text + strlen(text);

    for (const char *around = " \t\r\n"; around; around = strcmp(around, "\"'") != 0 ? "\"'" : NULL) {
        while (*text && strchr(around, *text))
            text++;
        while (end > text && strchr(around, end[-1]))
            *--end = 0;
    }
    return text;
}

const char *reader_value(struct reader *reader, const char *name)
{
    const struct variable *variable = find_variable(name);
    const size_t length = strlen(name);
    char *value = NULL;

    for (char *const *at = reader->place->variables; *at && !value; at++)
        if (!strncmp(*at, name, length) && (*at)[length] == '=')
            value = keep(reader, strdup(*at + length + 1));
    if (value && variable && !variable->verbatim)
        value = trim(value);
    return value && *value ? value : NULL;
}

int reader_refuse(struct reader *reader, const char *name, const char *value, const char *allowed)
{
    return error_set(reader->error, EINVAL, "%s %s: not one of its values; give %s", name, value, allowed);
}

static bool one_of(const char *value, const char *const *words)
{
    while (*words && strcasecmp(value, *words) != 0)
        words++;
    return *words;
}

/* 1: yes, 0: no, -1: neither. */
static int yes_or_no(const char *value)
{
    static const char *const yes[] = {"y", "yes", "true", "1", "on", "enable", "enabled", NULL};
    static const char *const no[] = {"n", "no", "none", "false", "0", "off", "disable", "disabled", NULL};

    return one_of(value, yes) ? 1 : one_of(value, no) ? 0 : -1;
}

int reader_switch(struct reader *reader, const char *name, bool fallback)
{
    const char *value = reader_value(reader, name);
    int answer = value ? yes_or_no(value) : fallback;

    return answer < 0 ? reader_refuse(reader, name, value, "Y or N") : answer;
}

/* Is the value a word of "theirs>ours|...", or a yes or no where Y or N is one? *ours: what stands behind, or NULL. */
static bool find_word(const char *words, const char *value, const char **ours, size_t *ours_length)
{
    const int answer = yes_or_no(value);

    for (; words; words = strchr(words, '|') ? strchr(words, '|') + 1 : NULL) {
        size_t whole = strcspn(words, "|"), length = strcspn(words, ">|");

        *ours = length < whole ? words + length + 1 : NULL;
        *ours_length = *ours ? whole - length - 1 : 0;
        if ((strlen(value) == length && !strncasecmp(words, value, length)) ||
            (length == 1 && answer >= 0 && *words == "NY"[answer]))
            return true;
    }
    return false;
}

static int give_word(struct reader *reader, const struct variable *variable, const char *value)
{
    char allowed[256] = "";
    const char *ours;
    size_t length, used = 0;

    if (find_word(variable->words, value, &ours, &length)) {
        if (ours)
            reader_give(reader, variable->option, variable->name, reader_text(reader, "%.*s", (int)length, ours));
        return 0;
    }
    for (const char *word = variable->words; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        used += (size_t)snprintf(allowed + used, sizeof allowed - used, "%s%.*s", used ? ", " : "",
                                 (int)strcspn(word, ">|"), word);
    return reader_refuse(reader, variable->name, value, allowed);
}

static int give_switch(struct reader *reader, const struct variable *variable)
{
    int answer = reader_switch(reader, variable->name, false);
    const char *words = variable->words ? variable->words : "on|off", *word = answer ? words : strchr(words, '|') + 1;
    int length = (int)strcspn(word, "|");

    if (answer >= 0 && length)
        reader_give(reader, variable->option, variable->name, reader_text(reader, "%.*s", length, word));
    return MIN(answer, 0);
}

/* Places. */

bool reader_exists(const char *path)
{
    struct stat info;

    return path && stat(path, &info) == 0;
}

const char *reader_storage(struct reader *reader)
{
    const char *storage = reader_value(reader, "STORAGE");

    return reader_text(reader, "%s%s", reader->place->root, storage ? storage : "/storage");
}

const char *reader_find(struct reader *reader, const char *name)
{
    const char *path = reader_text(reader, "%s/%s", reader->place->root, name);

    if (reader_exists(path))
        return path;
    path = reader_text(reader, "%s/%s", reader_storage(reader), name);
    return reader_exists(path) ? path : NULL;
}

bool reader_has_system(struct reader *reader)
{
    const char *storage = reader_storage(reader), *disk = reader_system_disk(reader);
    struct error ignored;

    if (disk)
        return journey_disk_used(disk, image_name_is_qcow2(disk), &ignored) > 0;
    return reader_exists(reader_text(reader, "%s/data.img", storage)) ||
           reader_exists(reader_text(reader, "%s/data.qcow2", storage));
}

/* The table. */

static int translate_place(struct reader *reader, const struct variable *variable)
{
    const char *path = reader_find(reader, variable->name + 1);

    if (path && variable->option)
        reader_give(reader, variable->option, NULL, path);
    else if (path)
        reader_warn(reader, "%s: %s", path, variable->here);
    return 0;
}

/* A secret that is given by value and by file: which of the two was meant cannot be known. */
static int check_file(struct reader *reader, const struct variable *variable)
{
    const char *by_value = reader_text(reader, "%.*s", (int)(strlen(variable->name) - 5), variable->name);

    if (by_value && reader_value(reader, by_value))
        return error_set(reader->error, EINVAL, "%s: %s is given as well; leave one of them out", variable->name,
                         by_value);
    return 0;
}

static bool is_file(const struct variable *variable)
{
    size_t length = strlen(variable->name);

    return length > 5 && !strcmp(variable->name + length - 5, "_FILE");
}

static int translate_plain(struct reader *reader, const struct variable *variable, const char *value)
{
    const char *ours;
    size_t length;

    switch (variable->kind) {
    case VARIABLE_OPTION:
        reader_give(reader, variable->option, variable->name, value);
        return 0;
    case VARIABLE_SWITCH:
        return give_switch(reader, variable);
    case VARIABLE_WORDS:
        return give_word(reader, variable, value);
    case VARIABLE_NOTHING:
        if (!find_word(variable->words, value, &ours, &length))
            reader_warn(reader, "%s %s: %s", variable->name, value, variable->here);
        return 0;
    case VARIABLE_REFUSED:
        if (!find_word(variable->words, value, &ours, &length))
            return error_set(reader->error, EINVAL, "%s %s: %s", variable->name, value, variable->here);
        return 0;
    default:
        return 0;
    }
}

static int translate(struct reader *reader, const struct variable *variable)
{
    const char *value;
    int failed;

    if (variable->kind == VARIABLE_PLACE)
        return translate_place(reader, variable);
    value = reader_value(reader, variable->name);
    if (value && is_file(variable)) {
        failed = check_file(reader, variable);
        if (failed < 0)
            return failed;
        value = reader_text(reader, "%s%s", reader->place->root, value);
    }
    if (variable->kind == VARIABLE_OWN)
        return variable->translate(reader, variable, value);
    return value ? translate_plain(reader, variable, value) : 0;
}

int container_settings_read(const struct container_place *place, struct container_settings *settings,
                            struct error *error)
{
    struct reader reader = {.place = place, .settings = settings, .error = error};
    int failed = 0;

    *settings = (struct container_settings){.password = -1};
    for (size_t n = 0; n < container_variable_count && failed == 0; n++)
        failed = translate(&reader, &container_variables[n]);
    if (failed == 0)
        failed = environment_take_over(&reader);
    return reader.no_memory ? error_set(error, ENOMEM, "environment: out of memory") : failed;
}

int container_settings_make_disks(const struct container_settings *settings, struct error *error)
{
    int failed = 0;

    for (unsigned n = 0; n < settings->disk_count && failed == 0; n++) {
        const struct container_disk *disk = &settings->disks[n];
        struct error why;

        failed = image_create_whole(
            &(struct image_options){.path = disk->path, .format = disk->format, .size = disk->size}, &why);
        if (failed < 0)
            failed = error_set(error, -failed, "%s: %s", disk->variable, why.text);
    }
    return failed;
}

void container_settings_free(struct container_settings *settings)
{
    for (size_t n = 0; n < settings->text_count; n++) {
        explicit_bzero(settings->texts[n], strlen(settings->texts[n]));
        free(settings->texts[n]);
    }
    free(settings->texts);
    free(settings->warnings);
    free(settings->options);
    if (settings->password >= 0)
        close(settings->password);
    *settings = (struct container_settings){.password = -1};
}
