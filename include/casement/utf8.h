/* UTF-8, read and written by code points. Any thread. */
#ifndef CASEMENT_UTF8_H
#define CASEMENT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_BAD UINT32_MAX

/*
 * The code point at *text, which then is behind it; 0 at the end, where it stays. A byte that is no UTF-8 (cut off,
 * longer than needed, a surrogate, above U+10FFFF) is UTF8_BAD, and the next one is looked at for itself.
 */
uint32_t utf8_next(const char **text);
/* The code point that at most left bytes begin with, and how many it takes; 0: none, as above. */
unsigned utf8_take(const char *from, size_t left, uint32_t *character);
/* The code point, which is no surrogate and at most U+10FFFF, in at most 4 bytes; how many. */
unsigned utf8_put(char *to, uint32_t character);
/* The small letter of a capital, in Latin, Greek and Cyrillic, whatever the locale; all else as it is. */
uint32_t utf8_small(uint32_t character);
/* Do they differ in nothing but capitals? */
bool utf8_same_letters(const char *a, const char *b);

#endif
