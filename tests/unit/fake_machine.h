/* A machine that writes down what it is asked, for tests of what stands in front of the API. */
#ifndef CASEMENT_TESTS_FAKE_MACHINE_H
#define CASEMENT_TESTS_FAKE_MACHINE_H

#include <pthread.h>

#include "../../vmm/operations.h"

#define FAKE_VIEWERS 256

struct fake_machine {
    pthread_mutex_t lock; /* of all that follows */
    char last[70000];     /* the last operation that changes something, as "name(argument)" */
    unsigned calls;
    struct machine_status status;
    size_t picture_size; /* of the screenshot; 0: no display */
    bool keyboard_plugged;
    int viewers[FAKE_VIEWERS]; /* the machine's ends, open until fake_machine_destroy() */
    unsigned viewer_count, viewers_max;
};
extern const struct machine_ops fake_machine_ops;

void fake_machine_create(struct fake_machine *machine);
void fake_machine_destroy(struct fake_machine *machine);
/* A copy of `last`, good until the next call. */
const char *fake_machine_last(struct fake_machine *machine);
unsigned fake_machine_calls(struct fake_machine *machine);

#endif
