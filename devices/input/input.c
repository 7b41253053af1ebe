/* Keys and pointer events on their way to the guest (see input.h): one queue, fed as fast as the keyboard takes them.
 */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/input.h"
#include "casement/loop.h"
#include "keymap.h"

#define QUEUE 4096
#define CHORD_KEYS 8
/* How long to wait when a device is full: at first its next poll, later a guest that does something else. */
#define FIRST_RETRY_NS INT64_C(1000000)
#define LAST_RETRY_NS INT64_C(20000000)

struct event {
    uint16_t code; /* of a key; 0: the pointer */
    bool down;
    struct input_pointer pointer;
};

struct input {
    struct loop *loop;
    pthread_mutex_t lock; /* of all below; a sink's own lock is taken inside it */
    struct event queue[QUEUE];
    unsigned head, count;
    struct input_sink *sinks;
    struct input_sink *keyboard; /* which got the keys that are down */
    uint8_t down[KEY_CNT / 8];
    int64_t retry_ns, not_before_ns;
    struct loop_timer feed;
};

static struct input_sink *choose(const struct input *input, bool pointer)
{
    for (struct input_sink *sink = input->sinks; sink; sink = sink->next)
        if ((pointer ? sink->pointer != NULL : sink->key != NULL) && (!sink->active || sink->active(sink->device)))
            return sink;
    return NULL;
}

/* Keys do not stay pressed on a keyboard that others take over from. */
static void change_keyboard(struct input *input, struct input_sink *sink)
{
    for (unsigned code = 0; code < KEY_CNT; code++)
        if (input->down[code / 8] & 1U << code % 8 && input->keyboard)
            input->keyboard->key(input->keyboard->device, code, false);
    memset(input->down, 0, sizeof input->down);
    input->keyboard = sink;
}

static bool deliver_key(struct input *input, const struct event *event, int64_t *pace)
{
    struct input_sink *sink = choose(input, false);
    uint8_t bit = (uint8_t)(1U << event->code % 8);

    if (sink != input->keyboard)
        change_keyboard(input, sink);
    if (!sink)
        return true;
    if (!sink->key(sink->device, event->code, event->down))
        return false;
    *pace = sink->key_pace_ns;
    if (event->down)
        input->down[event->code / 8] |= bit;
    else
        input->down[event->code / 8] &= (uint8_t)~bit;
    return true;
}

static bool deliver(struct input *input, const struct event *event, int64_t *pace)
{
    struct input_sink *sink;

    if (event->code)
        return deliver_key(input, event, pace);
    sink = choose(input, true);
    return !sink || sink->pointer(sink->device, &event->pointer);
}

static void feed(void *opaque)
{
    struct input *input = opaque;
    int64_t wait = 0;

    pthread_mutex_lock(&input->lock);
    while (input->count && !wait)
        if (deliver(input, &input->queue[input->head], &wait)) {
            input->head = (input->head + 1) % QUEUE;
            input->count--;
            input->retry_ns = FIRST_RETRY_NS;
        } else {
            wait = input->retry_ns;
            input->retry_ns = MIN(2 * wait, LAST_RETRY_NS);
        }
    input->not_before_ns = clock_ns() + wait;
    if (input->count)
        loop_timer_set(input->loop, &input->feed, input->not_before_ns);
    pthread_mutex_unlock(&input->lock);
}

struct input *input_create(struct loop *loop)
{
    struct input *input = calloc(1, sizeof *input);

    if (!input)
        return NULL;
    input->loop = loop;
    input->retry_ns = FIRST_RETRY_NS;
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

void input_remove_sink(struct input *input, struct input_sink *sink)
{
    pthread_mutex_lock(&input->lock);
    for (struct input_sink **link = &input->sinks; *link; link = &(*link)->next)
        if (*link == sink) {
            *link = sink->next;
            break;
        }
    if (input->keyboard == sink) {
        input->keyboard = NULL;
        memset(input->down, 0, sizeof input->down);
    }
    pthread_mutex_unlock(&input->lock);
}

/* All events or none. With the lock held. */
static int append(struct input *input, const struct event *events, unsigned count)
{
    if (count > QUEUE - input->count)
        return -ENOSPC;
    for (unsigned n = 0; n < count; n++)
        input->queue[(input->head + input->count++) % QUEUE] = events[n];
    if (input->count == count) /* else the feed is under way */
        loop_timer_set(input->loop, &input->feed, MAX(clock_ns(), input->not_before_ns));
    return 0;
}

static int enqueue(struct input *input, const struct event *events, unsigned count)
{
    int result;

    pthread_mutex_lock(&input->lock);
    result = append(input, events, count);
    pthread_mutex_unlock(&input->lock);
    return result;
}

int input_key(struct input *input, unsigned code, bool down)
{
    const struct event event = {.code = (uint16_t)code, .down = down};

    return code == 0 || code > KEY_MAX ? -EINVAL : enqueue(input, &event, 1);
}

int input_keysym(struct input *input, uint32_t keysym, bool down)
{
    unsigned code;
    bool shift;

    if (keysym > 0x7E || !keymap_sign((unsigned char)keysym, &code, &shift))
        return -EINVAL;
    return input_key(input, code, down);
}

int input_pointer(struct input *input, const struct input_pointer *pointer)
{
    const struct event event = {.pointer = *pointer};
    struct event *last;
    int result = 0;

    if (pointer->x > INPUT_POINTER_MAX || pointer->y > INPUT_POINTER_MAX)
        return -EINVAL;
    pthread_mutex_lock(&input->lock);
    last = &input->queue[(input->head + input->count + QUEUE - 1) % QUEUE];
    if (input->count > QUEUE / 2 && !last->code && last->pointer.buttons == pointer->buttons && !pointer->wheel &&
        !pointer->pan && !last->pointer.wheel && !last->pointer.pan)
        last->pointer = *pointer;
    else
        result = append(input, &event, 1);
    pthread_mutex_unlock(&input->lock);
    return result;
}

/* The sign's own key with shift around it where it needs one; the number of events. */
static unsigned sign_events(unsigned code, bool shift, struct event *events)
{
    unsigned count = 0;

    if (shift)
        events[count++] = (struct event){.code = KEY_LEFTSHIFT, .down = true};
    events[count++] = (struct event){.code = (uint16_t)code, .down = true};
    events[count++] = (struct event){.code = (uint16_t)code, .down = false};
    if (shift)
        events[count++] = (struct event){.code = KEY_LEFTSHIFT, .down = false};
    return count;
}

static int no_room(struct error *error)
{
    return error_set(error, ENOSPC, "keyboard: the guest has not taken what was typed before; try again later");
}

int input_type(struct input *input, const char *text, const char *layout, struct error *error)
{
    size_t length = strlen(text), count = 0;
    struct event *events;
    int failed;

    if (layout && strcmp(layout, "us") != 0)
        return error_set(error, EINVAL, "type: %s is not a known keyboard layout; known are: us", layout);
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
        events[count++] = (struct event){.code = (uint16_t)code, .down = true};
        at += length;
        if (*at)
            at++;
    }
    if (count == 0)
        return error_set(error, EINVAL, "key: no key named; give for example enter or ctrl-alt-delete");
    for (unsigned n = 0; n < count; n++)
        events[count + n] = (struct event){.code = events[count - 1 - n].code, .down = false};
    return enqueue(input, events, 2 * count) < 0 ? no_room(error) : 0;
}
