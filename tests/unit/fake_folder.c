/* See fake_folder.h. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmocka_all.h"
#include "fake_folder.h"

char fake_folder[64];

int fake_folder_make(void **state)
{
    (void)state;
    snprintf(fake_folder, sizeof fake_folder, "build/folder-XXXXXX");
    return mkdtemp(fake_folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int fake_folder_remove(void **state)
{
    (void)state;
    return nftw(fake_folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

const char *fake_below(const char *name)
{
    static char paths[4][600];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", fake_folder, name);
    return path;
}

void fake_file(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void fake_text(const char *path, const char *text)
{
    fake_file(path, text, strlen(text));
}

bool fake_has_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "re");
    char found[128] = "";

    if (!file)
        return false;
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    return !strcmp(found, text);
}

bool fake_is_there(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

void fake_refused(struct error *error, int result, int err, const char *thing, const char *remedy)
{
    assert_int_equal(result, -err);
    assert_null(strchr(error->text, '\n'));
    if (!strstr(error->text, thing) || !strstr(error->text, remedy))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error->text, thing, remedy);
    error->text[0] = 0;
}

unsigned fake_tries(unsigned usual, unsigned with_long)
{
    const char *value = getenv("LONG");

    return value && !strcmp(value, "1") ? with_long : usual;
}
