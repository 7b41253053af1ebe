/* See spelling.h. */
#include <string.h>

#include "casement/bytes.h"
#include "spelling.h"

unsigned spelling_distance(const char *a, size_t a_length, const char *b)
{
    unsigned row[SPELLING_WORD + 1];
    size_t b_length = strlen(b);

    if (b_length > SPELLING_WORD)
        return SPELLING_FAR;
    for (unsigned n = 0; n <= b_length; n++)
        row[n] = n;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned changed = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}
