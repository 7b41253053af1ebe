/* Keys and pointer events on their way to the guest (see input.h): one queue, fed as fast as the keyboard takes them.
 */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "casement/input.h"
#include "casement/loop.h"
#include "keymap.h"

#define QUEUE 4096
/* Between two events: firmware polls its keyboard every 20 ms and keeps few keys that nobody has read yet. */
#define PACE_NS INT64_C(20000000)
#define CHORD_KEYS 8

struct event {
    uint16_t code;
    bool down;
};

struct input {
    struct loop *loop;
    pthread_mutex_t lock; /* of the queue and the sinks; a sink's own lock is taken inside it */
    struct event queue[QUEUE];
    unsigned head, count;
    struct input_sink *sinks;
    struct loop_timer feed;
};

static void feed(void *opaque)
{
    struct input *input = opaque;

    pthread_mutex_lock(&input->lock);
    if (input->count) {
        const struct event *event = &input->queue[input->head];
        struct input_sink *sink = input->sinks;

        if (!sink || sink->key(sink->device, event->code, event->down)) {
            input->head = (input->head + 1) % QUEUE;
            input->count--;
        }
    }
    if (input->count)
        loop_timer_set(input->loop, &input->feed, clock_ns() + PACE_NS);
    pthread_mutex_unlock(&input->lock);
}

struct input *input_create(struct loop *loop)
{
    struct input *input = calloc(1, sizeof *input);

    if (!input)
        return NULL;
    input->loop = loop;
    input->feed = (struct loop_timer){.expired = feed, .opaque = input};
    pthread_mutex_init(&input->lock, NULL);
    return input;
}

void input_destroy(struct input *input)
{
    if (!input)
        return;
    loop_timer_remove(input->loop, &input->feed);
    pthread_mutex_destroy(&input->lock);
    free(input);
}

void input_add_sink(struct input *input, struct input_sink *sink)
{
    pthread_mutex_lock(&input->lock);
    sink->next = input->sinks;
    input->sinks = sink;
    pthread_mutex_unlock(&input->lock);
}

/* All events or none. */
static int enqueue(struct input *input, const struct event *events, unsigned count)
{
    int result = -ENOSPC;

    pthread_mutex_lock(&input->lock);
    if (count <= QUEUE - input->count) {
        for (unsigned n = 0; n < count; n++)
            input->queue[(input->head + input->count++) % QUEUE] = events[n];
        if (input->count == count) /* else the feed is under way */
            loop_timer_set(input->loop, &input->feed, clock_ns());
        result = 0;
    }
    pthread_mutex_unlock(&input->lock);
    return result;
}

int input_key(struct input *input, unsigned code, bool down)
{
    const struct event event = {(uint16_t)code, down};

    return code == 0 || code > KEY_MAX ? -EINVAL : enqueue(input, &event, 1);
}

/* The sign's own key with shift around it where it needs one; the number of events. */
static unsigned sign_events(unsigned code, bool shift, struct event *events)
{
    unsigned count = 0;

    if (shift)
        events[count++] = (struct event){KEY_LEFTSHIFT, true};
    events[count++] = (struct event){(uint16_t)code, true};
    events[count++] = (struct event){(uint16_t)code, false};
    if (shift)
        events[count++] = (struct event){KEY_LEFTSHIFT, false};
    return count;
}

static int no_room(struct error *error)
{
    return error_set(error, ENOSPC, "keyboard: the guest has not taken what was typed before; try again later");
}

int input_type(struct input *input, const char *text, struct error *error)
{
    size_t length = strlen(text), count = 0;
    struct event *events;
    int failed;

    for (size_t n = 0; n < length; n++) {
        unsigned code;
        bool shift;

        if (!keymap_sign((unsigned char)text[n], &code, &shift)) {
            size_t bytes = 1;

            while ((text[n + bytes] & 0xC0) == 0x80) /* the rest of a sign of several bytes */
                bytes++;
            return error_set(error, EINVAL, "type: no key of a US keyboard makes \"%.*s\"; nothing was typed",
                             (int)bytes, text + n);
        }
    }
    if (length > QUEUE)
        return no_room(error);
    events = malloc((length * 4 + 1) * sizeof *events);
    if (!events)
        return error_set(error, ENOMEM, "type: out of memory");
    for (size_t n = 0; n < length; n++) {
        unsigned code = 0;
        bool shift = false;

        keymap_sign((unsigned char)text[n], &code, &shift);
        count += sign_events(code, shift, events + count);
    }
    failed = enqueue(input, events, (unsigned)count);
    free(events);
    return failed < 0 ? no_room(error) : 0;
}

int input_chord(struct input *input, const char *names, struct error *error)
{
    struct event events[2 * CHORD_KEYS];
    unsigned count = 0;

    for (const char *at = names; *at;) {
        /* A separator as the key itself: the sign alone, or the last of a chord. */
        size_t length = strcspn(at + 1, "-+") + 1;
        unsigned code = keymap_name(at, length);

        if (!code)
            return error_set(error, EINVAL,
                             "key: %.*s is not a key; did you mean %s? (keys are joined as in ctrl-alt-delete)",
                             (int)length, at, keymap_like(at, length));
        if (count == CHORD_KEYS)
            return error_set(error, EINVAL, "key: %s has more than %d keys at once; press fewer", names, CHORD_KEYS);
        events[count++] = (struct event){(uint16_t)code, true};
        at += length;
        if (*at)
            at++;
    }
    if (count == 0)
        return error_set(error, EINVAL, "key: no key named; give for example enter or ctrl-alt-delete");
    for (unsigned n = 0; n < count; n++)
        events[count + n] = (struct event){events[count - 1 - n].code, false};
    return enqueue(input, events, 2 * count) < 0 ? no_room(error) : 0;
}
