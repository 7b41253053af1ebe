/* Text out of files: UTF-8 and UTF-16, distrusted (see medium_parts.h). */
#include <string.h>

#include "casement/bytes.h"
#include "medium_parts.h"

#define IS_SURROGATE(unit) (((unit)&0xF800) == 0xD800)

unsigned utf8_put(char *to, uint32_t character)
{
    unsigned length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (unsigned n = length; n-- > 1; character >>= 6)
        to[n] = (char)(0x80 | (character & 0x3F));
    to[0] = (char)(leads[length] | character);
    return length;
}

/* The character that UTF-8 begins with, and its length; 0: none (RFC 3629, 4). */
static unsigned utf8_take(const char *from, size_t left, uint32_t *character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)from[0];
    unsigned length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;

    if (length == 0 || length > left)
        return 0;
    *character = length == 1 ? lead : lead & (0x7FU >> length);
    for (unsigned n = 1; n < length; n++) {
        if (((uint8_t)from[n] & 0xC0) != 0x80)
            return 0;
        *character = *character << 6 | ((uint8_t)from[n] & 0x3F);
    }
    return *character < least[length] || *character > 0x10FFFF || (*character >> 11) == 0x1B ? 0 : length;
}

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
