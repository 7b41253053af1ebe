/* See casement/utf8.h: The Unicode Standard, table 3-7. */
#include "casement/utf8.h"

uint32_t utf8_next(const char **text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *at = (const unsigned char *)*text;
    unsigned more = *at < 0xC2 ? 0 : *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : *at < 0xF5 ? 3 : 0;
    uint32_t code = more ? *at & (0x3FU >> more) : *at;

    for (unsigned n = 1; n <= more; n++) {
        if ((at[n] & 0xC0) != 0x80) {
            more = 0;
            break;
        }
        code = code << 6 | (at[n] & 0x3FU);
    }
    if ((!more && *at >= 0x80) || code < least[more] || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF) {
        ++*text;
        return UTF8_BAD;
    }
    *text += code ? more + 1 : 0;
    return code;
}
