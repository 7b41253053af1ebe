/*
 * Keys and pointer events on their way to the guest. Keys are Linux input event codes (linux/input-event-codes.h).
 */
#ifndef CASEMENT_INPUT_H
#define CASEMENT_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"

struct input;
/* A device that takes keys. The newest active sink answers, so that two keyboards never both do. */
struct input_sink {
    /* Any thread. false: the queue is full, try later. */
    bool (*key)(void *device, unsigned code, bool down);
    /* Relative movement and a bit mask of pressed buttons (1 left, 2 right, 4 middle). May be NULL. */
    void (*pointer)(void *device, int dx, int dy, unsigned buttons);
    void *device;
    struct input_sink *next;
};

struct loop;
/* Events are fed from a queue on the loop at a pace that a keyboard controller can take. */
struct input *input_create(struct loop *loop);
void input_destroy(struct input *input);
void input_add_sink(struct input *input, struct input_sink *sink);
/* Queues one event. -ENOSPC when the queue (4,096 events) is full. Any thread. */
int input_key(struct input *input, unsigned code, bool down);
/* Types UTF-8 text on a US layout. Nothing is typed when a sign has no key there: the text names it. Any thread. */
int input_type(struct input *input, const char *text, struct error *error);
/* Presses the keys together and releases them in reverse: "ctrl-alt-delete", "f2", "enter". Any thread. */
int input_chord(struct input *input, const char *names, struct error *error);

#endif
