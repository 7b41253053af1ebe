/* For tests of a container's variables: a root folder with what is bound there, and what the variables come to. */
#ifndef CASEMENT_TESTS_FAKE_ENVIRONMENT_H
#define CASEMENT_TESTS_FAKE_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "fake_folder.h"

#include "../../vmm/container/environment_private.h"

extern struct container_settings fake_settings;
extern struct error fake_error;
extern const char fake_without_rights[];
extern const char *fake_no_nat; /* NULL: nat can be had; fake_without_rights until a test says another thing */
extern bool fake_six;           /* IPv6 and IPv4 by one socket */
extern char fake_given[65536];  /* the options, "name=value VARIABLE" in a line each, without the folder of the test */

int fake_environment_remove(void **state);
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, fake_folder_make, fake_environment_remove)

/* A file with its folders; a name that ends in a slash is a folder, and one that begins with * a block device. */
void fake_make(const char *name);
void fake_make_text(const char *name, const char *text);
/* A container with 8 processors, the time of 4, and 8 GiB of memory. */
void fake_container(void);

/* "A=1;B=2"; NULL: none. What container_settings_read() returns. */
int fake_variables(const char *list);
bool fake_gives(const char *line);
/* Beside the one that says what kind of network there is. */
size_t fake_warnings(void);
bool fake_warns(const char *text);

#endif
