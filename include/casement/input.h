/*
 * Keys and pointer events on their way to the guest. Keys are Linux input event codes (linux/input-event-codes.h).
 */
#ifndef CASEMENT_INPUT_H
#define CASEMENT_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"

#define INPUT_POINTER_MAX 32767

/* Where the pointer is in the picture, 0 to INPUT_POINTER_MAX from its left and top edge, and what else is done. */
struct input_pointer {
    uint16_t x, y;
    uint8_t buttons; /* that are down: 1 left, 2 right, 4 middle, 8 back, 16 forward */
    int8_t wheel;    /* detents, positive away from the user */
    int8_t pan;      /* detents, positive to the right */
};

struct input;
/* A device that takes keys, pointer events or both. Of those that are active the newest answers, and no other. */
struct input_sink {
    /* Whether the guest drives the device now. Any thread. NULL: it always does. */
    bool (*active)(void *device);
    /* Any thread. false: the guest has to take something first, come again with the same. May be NULL, as the next. */
    bool (*key)(void *device, unsigned code, bool down);
    bool (*pointer)(void *device, const struct input_pointer *pointer);
    int64_t key_pace_ns; /* the least time between two keys */
    void *device;
    struct input_sink *next;
};

struct loop;
/* Events go from one queue, in their order, to the guest as fast as its devices take them. */
struct input *input_create(struct loop *loop);
void input_destroy(struct input *input);
/* The sink is the device's. It is called with the input's lock held, so neither of these under the device's own. */
void input_add_sink(struct input *input, struct input_sink *sink);
void input_remove_sink(struct input *input, struct input_sink *sink);
/* Queues one event. -EINVAL; -ENOSPC when the queue (4,096 events) is full. Any thread. */
int input_key(struct input *input, unsigned code, bool down);
/*
 * The key that makes this sign or has this name, as RFB tells it (an X keysym, RFC 6143 7.5.4), on the machine's
 * layout. Shift and AltGr are pressed or released around it only where those that are held would make another sign of
 * it. The key that comes up is the one that went down. -EINVAL when no key does; -ENOSPC. Any thread.
 */
int input_keysym(struct input *input, uint32_t keysym, bool down);
/* While more than half of the queue waits, a mere movement replaces the one before it. -ENOSPC. Any thread. */
int input_pointer(struct input *input, const struct input_pointer *pointer);
/*
 * Types UTF-8 text on the layout that the guest has set (NULL: the machine's). Modifiers that are held are released
 * meanwhile. Nothing is typed when a sign has no key there: the text names it. -EINVAL; -ENOSPC. Any thread.
 */
int input_type(struct input *input, const char *text, const char *layout, struct error *error);
/* Presses the keys together and releases them in reverse: "ctrl-alt-delete", "f2", "enter"; a sign is the key that
 * makes it on the machine's layout. Any thread. */
int input_chord(struct input *input, const char *names, struct error *error);

/* The machine's layout, "us" at first: what the guest has set. Names as in input_layout_name(), or language tags such
 * as "de-CH". -EINVAL with a text. Any thread. */
int input_set_layout(struct input *input, const char *name, struct error *error);
const char *input_layout(struct input *input);
/* 0, or -EINVAL with a text that begins with what ("--keyboard") and proposes a name. */
int input_layout_check(const char *name, const char *what, struct error *error);
/* Names ("de") and titles ("German") of all layouts, n from 0; NULL at the end. */
const char *input_layout_name(unsigned n);
const char *input_layout_title(unsigned n);
/* The guest has set the lamp: caps lock turns shift around for letters. A keyboard's sink tells. Any thread, also under
 * the device's lock. */
void input_set_caps_lock(struct input *input, bool on);

#endif
