/* How far a mistyped word is from a right one, so that an error can name what was probably meant. */
#ifndef CASEMENT_SPELLING_H
#define CASEMENT_SPELLING_H

#include <stddef.h>

/*
 * Edits that turn the first a_length bytes of a into b (Levenshtein); SPELLING_FAR when b has more than SPELLING_WORD
 * bytes. Any thread.
 */
#define SPELLING_WORD 32
#define SPELLING_FAR 99U
unsigned spelling_distance(const char *a, size_t a_length, const char *b);

#endif
