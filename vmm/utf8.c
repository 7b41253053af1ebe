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

/* Unicode's blocks have capitals a step before their small letters, or a distance before. */
static const struct capitals {
    uint32_t first, last;
    int pairs; /* 1: every other one, beginning with the first, is a capital */
    int distance;
} capitals[] = {
    {'A', 'Z', 0, 32},     {0xC0, 0xD6, 0, 32},    {0xD8, 0xDE, 0, 32},    {0x100, 0x12F, 1, 1},
    {0x132, 0x137, 1, 1},  {0x139, 0x148, 1, 1},   {0x14A, 0x177, 1, 1},   {0x178, 0x178, 0, -121},
    {0x179, 0x17E, 1, 1},  {0x386, 0x386, 0, 38},  {0x388, 0x38A, 0, 37},  {0x38C, 0x38C, 0, 64},
    {0x38E, 0x38F, 0, 63}, {0x391, 0x3A1, 0, 32},  {0x3A3, 0x3AB, 0, 32},  {0x400, 0x40F, 0, 80},
    {0x410, 0x42F, 0, 32}, {0x460, 0x481, 1, 1},   {0x48A, 0x4BF, 1, 1},   {0x4C1, 0x4CE, 1, 1},
    {0x4D0, 0x52F, 1, 1},  {0x1E00, 0x1E95, 1, 1}, {0x1EA0, 0x1EFF, 1, 1},
};

uint32_t utf8_small(uint32_t character)
{
    for (size_t n = 0; n < sizeof capitals / sizeof capitals[0]; n++)
        if (character >= capitals[n].first && character <= capitals[n].last)
            return capitals[n].pairs && (character - capitals[n].first) % 2
                       ? character
                       : (uint32_t)((int)character + capitals[n].distance);
    return character;
}

bool utf8_same_letters(const char *a, const char *b)
{
    uint32_t left, right;

    do {
        left = utf8_next(&a);
        right = utf8_next(&b);
    } while (left && utf8_small(left) == utf8_small(right));
    return left == right;
}
