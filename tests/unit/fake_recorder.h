/* Keyboards that note what they get of an input queue, for tests of it, and how these are set up. */
#ifndef CASEMENT_TESTS_FAKE_RECORDER_H
#define CASEMENT_TESTS_FAKE_RECORDER_H

#include <pthread.h>

#include "casement/input.h"

#define RECORDER_LOG 20000

/* A keyboard that notes what it gets, and can refuse. */
struct recorder {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct {
        uint16_t code;
        bool down;
        int64_t when;
    } log[RECORDER_LOG];
    unsigned count, pointers;
    bool full, inactive;
    struct input_pointer last;
    struct input_sink sink;
};

/* The queue goes to the first; the second is for a test to add. */
extern struct recorder recorder_first, recorder_second;
extern struct input *recorder_input;

/* Before and after each test. */
int recorder_start(void **state);
int recorder_finish(void **state);
#define RECORDED(test) cmocka_unit_test_setup_teardown(test, recorder_start, recorder_finish)

/* Sets one of its flags. */
void recorder_set(struct recorder *recorder, bool *what, bool value);
/* Until the last event queued has come through. */
void recorder_settle(struct recorder *recorder);
/* "+42 +30 -30 -42": the codes as they went down and up. Forgets them. */
const char *recorder_taken(struct recorder *recorder);

#endif
