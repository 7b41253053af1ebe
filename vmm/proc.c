/* See proc.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "casement/bytes.h"
#include "proc.h"

#define LINE_ROOM 4096

/* NULL: the line is another key's. */
static const char *behind_key(const char *line, const char *key)
{
    const size_t length = strlen(key);

    if (strncmp(line, key, length) != 0)
        return NULL;
    line += length + strspn(line + length, " \t");
    return *line == ':' ? line + 1 + strspn(line + 1, " \t") : NULL;
}

bool proc_field(const char *root, const char *path, const char *key, char *value, size_t size)
{
    char whole[4096], line[LINE_ROOM];
    const char *found = NULL;
    FILE *file;

    snprintf(whole, sizeof whole, "%s%s", root, path);
    file = fopen(whole, "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = behind_key(line, key);
    if (found)
        snprintf(value, size, "%.*s", (int)strcspn(found, "\n"), found);
    if (file)
        fclose(file);
    return found;
}

unsigned proc_numbers(const char *path, uint64_t *first, uint64_t *second)
{
    uint64_t unwanted;
    FILE *file = fopen(path, "re");
    int count = file ? fscanf(file, "%" SCNu64 " %" SCNu64, first, second ? second : &unwanted) : 0;

    if (file)
        fclose(file);
    return (unsigned)MAX(count, 0);
}
