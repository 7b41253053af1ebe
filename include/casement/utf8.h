/* UTF-8, read by code points. */
#ifndef CASEMENT_UTF8_H
#define CASEMENT_UTF8_H

#include <stdint.h>

#define UTF8_BAD UINT32_MAX

/*
 * The code point at *text, which then is behind it; 0 at the end, where it stays. A byte that is no UTF-8 (cut off,
 * longer than needed, a surrogate, above U+10FFFF) is UTF8_BAD, and the next one is looked at for itself. Any thread.
 */
uint32_t utf8_next(const char **text);

#endif
