/* For tests of files: a folder of their own below build/, what is in it, refusals, how often something is tried. */
#ifndef CASEMENT_TESTS_FAKE_FOLDER_H
#define CASEMENT_TESTS_FAKE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "casement/error.h"

/* The folder of the test that runs, from its set-up on; one thread. */
extern char fake_folder[64];
int fake_folder_make(void **state);
int fake_folder_remove(void **state);
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, fake_folder_make, fake_folder_remove)

/* The path of a name in the folder, valid until the function was called three times more. */
const char *fake_below(const char *name);
void fake_file(const char *path, const void *bytes, size_t length);
void fake_text(const char *path, const char *text);
/* Whether it is a file with just this text, of at most 127 bytes. */
bool fake_has_text(const char *path, const char *text);
/* Links are not followed. */
bool fake_is_there(const char *path);

/* The result is -err, and the error one line that names the thing and what to do; it is cleared. */
void fake_refused(struct error *error, int result, int err, const char *thing, const char *remedy);

/* With LONG=1 in the environment as often as the second number says. */
unsigned fake_tries(unsigned usual, unsigned with_long);

#endif
