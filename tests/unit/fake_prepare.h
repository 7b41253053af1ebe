/*
 * Starts of the program as far as the machine, for tests of what comes before it: a state folder, a medium that
 * genisoimage has made, the options, and the preparations that are left to do.
 */
#ifndef CASEMENT_TESTS_FAKE_PREPARE_H
#define CASEMENT_TESTS_FAKE_PREPARE_H

#include "../../vmm/windows/prepare.h"

struct fake_prepare {
    struct config config;
    struct preparation p;
    struct error error;
    char state[96], iso[96], disk[128]; /* the folder, the medium, and the system disk if it is raw */
};
extern struct fake_prepare windows;

/* Before and after each test: the folder and a medium with the professional edition of Windows 11 in English. */
int fake_prepare_set_up(void **unused);
int fake_prepare_tear_down(void **unused);
#define PREPARED(test) cmocka_unit_test_setup_teardown(test, fake_prepare_set_up, fake_prepare_tear_down)

/* Ends what the last start has open. */
void fake_prepare_forget(void);
/* A shell's command; each %s is one of the two. It must go well. */
void fake_prepare_run(const char *format, const char *a, const char *b);
/* A medium with the images of such a description. */
void fake_prepare_medium(const char *path, const char *images);

/* The options' wishes and a look at what is there, and no more. */
int fake_prepare_look(const char *version, const char *const options[], unsigned count);
/* What is left to do after that. */
int fake_prepare_go(void);
/* Both. fake_start() has one option, or none (NULL). */
int fake_start_with(const char *version, const char *const options[], unsigned count);
int fake_start(const char *version, const char *option);

/* NAME=FOLDER/FILE with the test's folder; good for as long as it takes to make eight more. */
const char *fake_prepare_option(const char *name, const char *file);

void fake_prepare_step(enum journey_step step);

/* From here on lines of the log are kept, until a text is looked for in them. */
void fake_prepare_listen(void);
bool fake_prepare_heard(const char *text);
/* A tree of virtio-win's layout with one driver of Windows 11, which may be added to. */
void fake_prepare_driver(const char *tree, const char *name);

#endif
