/* Keys and pointer events on their way to the guest (see input.h): one queue, fed as fast as the keyboard takes them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "input_private.h"

/* How long to wait when a device is full: at first its next poll, later a guest that does something else. */
#define FIRST_RETRY_NS INT64_C(1000000)
#define LAST_RETRY_NS INT64_C(20000000)

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
            input->head = (input->head + 1) % INPUT_QUEUE;
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
    input->typing.layout = layout_find("us", "", NULL);
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

static void note_pressed(struct input *input, const struct event *event)
{
    uint8_t bit = (uint8_t)(1U << event->code % 8);

    if (!event->code)
        return;
    if (event->code == KEY_CAPSLOCK && event->down && !(input->pressed[event->code / 8] & bit))
        atomic_store(&input->caps_lock, !atomic_load(&input->caps_lock));
    if (event->down)
        input->pressed[event->code / 8] |= bit;
    else
        input->pressed[event->code / 8] &= (uint8_t)~bit;
}

int input_append(struct input *input, const struct event *events, unsigned count)
{
    if (count > INPUT_QUEUE - input->count)
        return -ENOSPC;
    for (unsigned n = 0; n < count; n++) {
        input->queue[(input->head + input->count++) % INPUT_QUEUE] = events[n];
        note_pressed(input, &events[n]);
    }
    if (input->count == count) /* else the feed is under way */
        loop_timer_set(input->loop, &input->feed, MAX(clock_ns(), input->not_before_ns));
    return 0;
}

int input_key(struct input *input, unsigned code, bool down)
{
    const struct event event = {.code = (uint16_t)code, .down = down};
    int result;

    if (code == 0 || code > KEY_MAX)
        return -EINVAL;
    pthread_mutex_lock(&input->lock);
    result = input_append(input, &event, 1);
    pthread_mutex_unlock(&input->lock);
    return result;
}

int input_pointer(struct input *input, const struct input_pointer *pointer)
{
    const struct event event = {.pointer = *pointer};
    struct event *last;
    int result = 0;

    if (pointer->x > INPUT_POINTER_MAX || pointer->y > INPUT_POINTER_MAX)
        return -EINVAL;
    pthread_mutex_lock(&input->lock);
    last = &input->queue[(input->head + input->count + INPUT_QUEUE - 1) % INPUT_QUEUE];
    if (input->count > INPUT_QUEUE / 2 && !last->code && last->pointer.buttons == pointer->buttons && !pointer->wheel &&
        !pointer->pan && !last->pointer.wheel && !last->pointer.pan)
        last->pointer = *pointer;
    else
        result = input_append(input, &event, 1);
    pthread_mutex_unlock(&input->lock);
    return result;
}
