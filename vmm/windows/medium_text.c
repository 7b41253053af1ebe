/* Text out of files: UTF-8 and UTF-16, distrusted (see medium_parts.h). */
#include <string.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "medium_parts.h"

#define IS_SURROGATE(unit) (((unit)&0xF800) == 0xD800)

unsigned utf16_take(const uint8_t *from, size_t length, bool big_endian, uint32_t *character)
{
    uint16_t unit, second;

    if (length < 2)
        return 0;
    unit = big_endian ? get_be16(from) : get_le16(from);
    *character = unit;
    if (!IS_SURROGATE(unit))
        return 2;
    if (length < 4 || unit >= 0xDC00)
        return 0;
    second = big_endian ? get_be16(from + 2) : get_le16(from + 2);
    if ((second & 0xFC00) != 0xDC00)
        return 0;
    *character = 0x10000 + ((uint32_t)(unit & 0x3FF) << 10 | (second & 0x3FF));
    return 4;
}

void utf8_copy_line(char *to, size_t size, const char *from, size_t length)
{
    size_t end = 0, used = 0;

    for (size_t at = 0; at < length;) {
        uint32_t character = '?';
        unsigned taken = utf8_take(from + at, length - at, &character);
        char bytes[4];
        unsigned count;

        at += taken ? taken : 1;
        if (taken == 0)
            character = '?';
        if (character < ' ' || (character >= 0x7F && character < 0xA0))
            character = ' ';
        if (character == ' ' && used == 0)
            continue;
        count = utf8_put(bytes, character);
        if (used + count >= size)
            break;
        memcpy(to + used, bytes, count);
        used += count;
        if (character != ' ')
            end = used;
    }
    to[end] = 0;
}
