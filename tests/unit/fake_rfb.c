/* Viewers of a fake display (see fake_rfb.h). */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_rfb.h"

struct fake *fake;
struct display *display;
struct input *input;
struct rfb *rfb;
struct fake_event fake_events[FAKE_EVENTS];

static struct {
    pthread_mutex_t lock; /* of the events too */
    pthread_cond_t came;
    unsigned count;
} guest = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static void note(unsigned code, bool down, const struct input_pointer *pointer)
{
    pthread_mutex_lock(&guest.lock);
    if (guest.count < FAKE_EVENTS) {
        fake_events[guest.count].code = code;
        fake_events[guest.count].down = down;
        if (pointer)
            fake_events[guest.count].pointer = *pointer;
        guest.count++;
    }
    pthread_cond_broadcast(&guest.came);
    pthread_mutex_unlock(&guest.lock);
}

static bool take_key(void *device, unsigned code, bool down)
{
    (void)device;
    note(code, down, NULL);
    return true;
}

static bool take_pointer(void *device, const struct input_pointer *pointer)
{
    (void)device;
    note(0, false, pointer);
    return true;
}

static struct input_sink sink = {.key = take_key, .pointer = take_pointer};

void fake_rfb_wait_events(unsigned count)
{
    struct timespec limit;
    unsigned came;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    pthread_mutex_lock(&guest.lock);
    while (guest.count < count)
        if (pthread_cond_timedwait(&guest.came, &guest.lock, &limit) != 0)
            break;
    came = guest.count;
    pthread_mutex_unlock(&guest.lock);
    assert_int_equal(came, count);
}

void fake_rfb_assert_key(unsigned n, unsigned code, bool down)
{
    assert_int_equal(fake_events[n].code, code);
    assert_int_equal(fake_events[n].down, down);
}

static int start(unsigned patience_ms)
{
    struct rfb_options options = {.name = "test machine", .viewers_max = FAKE_RFB_VIEWERS, .patience_ms = patience_ms};

    fake = fake_display_create(&display);
    input = input_create(fake->board.loop);
    pthread_mutex_lock(&guest.lock);
    guest.count = 0;
    memset(fake_events, 0, sizeof fake_events);
    pthread_mutex_unlock(&guest.lock);
    input_add_sink(input, &sink);
    options.display = display;
    options.input = input;
    return loop_start(fake->board.loop) < 0 || rfb_create(&options, &rfb, NULL) < 0;
}

int fake_rfb_setup(void **state)
{
    (void)state;
    return start(0);
}

int fake_rfb_setup_impatient(void **state)
{
    (void)state;
    return start(FAKE_RFB_PATIENCE_MS);
}

int fake_rfb_teardown(void **state)
{
    (void)state;
    rfb_destroy(rfb);
    loop_stop(fake->board.loop);
    input_destroy(input);
    fake_destroy(fake);
    return 0;
}

int fake_rfb_attach(struct fake_viewer *viewer)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fake_viewer_init(viewer, pair[1]);
    return rfb_attach(rfb, pair[0]);
}

void fake_rfb_join(struct fake_viewer *viewer)
{
    assert_int_equal(fake_rfb_attach(viewer), 0);
    assert_true(fake_viewer_let_in(viewer, 8, NULL));
    fake_viewer_start(viewer);
}

unsigned fake_rfb_viewers(void)
{
    struct rfb_statistics statistics;

    rfb_statistics(rfb, &statistics);
    return statistics.viewers;
}

void fake_rfb_wait_viewers(unsigned count)
{
    for (unsigned n = 0; n < 2000 && fake_rfb_viewers() != count; n++)
        poll(NULL, 0, 10);
    assert_int_equal(fake_rfb_viewers(), count);
}
