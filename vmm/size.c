/* See size.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"

int size_parse(const char *value, uint64_t *size, struct error *error)
{
    static const char suffixes[] = "KMGT";
    const char *suffix;
    unsigned shift = 0;
    char *end;

    errno = 0;
    *size = strtoull(value, &end, 10);
    suffix = *end ? strchr(suffixes, *end) : NULL;
    if (suffix) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
        end++;
    }
    if (value[0] < '0' || value[0] > '9' || errno || *end || *size > UINT64_MAX >> shift || *size == 0)
        return error_set(error, EINVAL, "%s: not a size; give a number with K, M, G or T, such as 20G", value);
    *size <<= shift;
    return 0;
}
