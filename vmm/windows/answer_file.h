/* An answer file of the user's own: used as it is, and looked at before a medium is fetched for it. */
#ifndef CASEMENT_WINDOWS_ANSWER_FILE_H
#define CASEMENT_WINDOWS_ANSWER_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "casement/error.h"

/*
 * Its bytes, NUL-terminated, the caller's to free after wiping them (they may have passwords in them). 0, or with a
 * text: -EFBIG more than 1 MiB; else what reading it says. Blocking.
 */
int answer_file_read(const char *path, char **text, size_t *size, struct error *error);
/*
 * Whether Setup could read it at all: -EILSEQ with a text that names the line. *copies: it has UseConfigurationSet,
 * without which Setup copies nothing of what lies beside it. path is for the text.
 */
int answer_file_check(const char *path, const char *text, size_t size, bool *copies, struct error *error);

#endif
