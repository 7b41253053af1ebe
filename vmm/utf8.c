/* See casement/utf8.h: RFC 3629, 4. */
#include <stdint.h>
#include <string.h>

#include "casement/utf8.h"

unsigned utf8_put(char *to, uint32_t character)
{
    unsigned length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (unsigned n = length; n-- > 1; character >>= 6)
        to[n] = (char)(0x80 | (character & 0x3F));
    to[0] = (char)(leads[length] | character);
    return length;
}

unsigned utf8_take(const char *from, size_t left, uint32_t *character)
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

uint32_t utf8_next(const char **text)
{
    uint32_t character = 0;
    unsigned length = **text ? utf8_take(*text, strnlen(*text, 4), &character) : 0;

    if (**text && !length) {
        ++*text;
        return UTF8_BAD;
    }
    *text += length;
    return character;
}
