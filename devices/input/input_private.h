/* What input.c (the queue and its sinks) and typing.c (which keys) share. */
#ifndef CASEMENT_INPUT_PRIVATE_H
#define CASEMENT_INPUT_PRIVATE_H

#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "casement/input.h"
#include "casement/loop.h"
#include "layout.h"

#define INPUT_QUEUE 4096
#define INPUT_HELD 16
#define INPUT_CHANGES 8 /* shift left and right, AltGr, ctrl, alt and meta, both */

struct event {
    uint16_t code; /* of a key; 0: the pointer */
    bool down;
    struct input_pointer pointer;
};

/* Keysyms that are down and the keys that were pressed for them; and what is undone when the last of these comes up. */
struct typing {
    const struct layout *layout;
    struct {
        uint32_t keysym;
        uint16_t code; /* 0: free */
    } held[INPUT_HELD];
    struct event undo[INPUT_CHANGES];
    unsigned undo_count;
    uint16_t undo_after; /* this key is released */
};

struct input {
    struct loop *loop;
    pthread_mutex_t lock; /* of all below; a sink's own lock is taken inside it */
    struct event queue[INPUT_QUEUE];
    unsigned head, count;
    struct input_sink *sinks;
    struct input_sink *keyboard;  /* which got the keys that are down */
    uint8_t down[KEY_CNT / 8];    /* for that keyboard */
    uint8_t pressed[KEY_CNT / 8]; /* once the queue is empty */
    int64_t retry_ns, not_before_ns;
    struct loop_timer feed;
    struct typing typing;
    atomic_bool caps_lock;
};

/* Queues all events or none. With the lock held. 0 or -ENOSPC. */
int input_append(struct input *input, const struct event *events, unsigned count);

#endif
