/* See fake_recorder.h. */
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>

#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_recorder.h"

#define LIMIT_NS INT64_C(60000000000)

static bool record_key(void *device, unsigned code, bool down)
{
    struct recorder *recorder = device;
    bool taken;

    pthread_mutex_lock(&recorder->lock);
    taken = !recorder->full;
    if (taken && recorder->count < RECORDER_LOG) {
        recorder->log[recorder->count].code = (uint16_t)code;
        recorder->log[recorder->count].down = down;
        recorder->log[recorder->count++].when = clock_ns();
    }
    pthread_cond_signal(&recorder->more);
    pthread_mutex_unlock(&recorder->lock);
    return taken;
}

static bool record_pointer(void *device, const struct input_pointer *pointer)
{
    struct recorder *recorder = device;
    bool taken;

    pthread_mutex_lock(&recorder->lock);
    taken = !recorder->full;
    if (taken) {
        recorder->pointers++;
        recorder->last = *pointer;
    }
    pthread_cond_signal(&recorder->more);
    pthread_mutex_unlock(&recorder->lock);
    return taken;
}

static bool recorder_active(void *device)
{
    struct recorder *recorder = device;
    bool active;

    pthread_mutex_lock(&recorder->lock);
    active = !recorder->inactive;
    pthread_mutex_unlock(&recorder->lock);
    return active;
}

struct recorder recorder_first, recorder_second;
static struct loop *loop;
struct input *recorder_input;

static void reset(struct recorder *recorder)
{
    memset(recorder, 0, sizeof *recorder);
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_cond_init(&recorder->more, NULL);
    recorder->sink = (struct input_sink){
        .active = recorder_active, .key = record_key, .pointer = record_pointer, .device = recorder};
}

int recorder_start(void **state)
{
    (void)state;
    reset(&recorder_first);
    reset(&recorder_second);
    loop = loop_create("test");
    recorder_input = input_create(loop);
    input_add_sink(recorder_input, &recorder_first.sink);
    return loop_start(loop);
}

int recorder_finish(void **state)
{
    (void)state;
    loop_stop(loop);
    input_destroy(recorder_input);
    loop_destroy(loop);
    return 0;
}

void recorder_set(struct recorder *recorder, bool *what, bool value)
{
    pthread_mutex_lock(&recorder->lock);
    *what = value;
    pthread_mutex_unlock(&recorder->lock);
}

/* A key that nobody else presses marks the end. */
void recorder_settle(struct recorder *recorder)
{
    struct timespec end;

    assert_int_equal(input_key(recorder_input, KEY_F24, true), 0);
    assert_int_equal(input_key(recorder_input, KEY_F24, false), 0);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += LIMIT_NS / 1000000000;
    pthread_mutex_lock(&recorder->lock);
    while (recorder->count == 0 || recorder->log[recorder->count - 1].code != KEY_F24 ||
           recorder->log[recorder->count - 1].down)
        assert_int_equal(pthread_cond_timedwait(&recorder->more, &recorder->lock, &end), 0);
    recorder->count -= 2;
    pthread_mutex_unlock(&recorder->lock);
}

const char *recorder_taken(struct recorder *recorder)
{
    static char text[4096];
    size_t used = 0;

    recorder_settle(recorder);
    text[0] = '\0';
    for (unsigned n = 0; n < recorder->count && used < sizeof text; n++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%u", n ? " " : "",
                                 recorder->log[n].down ? '+' : '-', recorder->log[n].code);
    recorder->count = 0;
    return text;
}
