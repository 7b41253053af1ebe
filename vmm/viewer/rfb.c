/* Who looks at the screen: peers that arrive, their handshakes, viewers and their time limits (see rfb.h). */
#include "rfb.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/loop.h"
#include "rfb_handshake.h"
#include "rfb_port.h"
#include "rfb_viewer.h"

/* Peers on the plain port that have not shown yet that they know the password. */
#define WAITING_ROOM 8U
#define HANDSHAKE_NS INT64_C(10000000000)
#define TICK_NS INT64_C(250000000)
/* After a wrong password the next answer, of anybody, is not looked at for so long; it doubles up to the second. */
#define FIRST_PENALTY_NS INT64_C(500000000)
#define LAST_PENALTY_NS INT64_C(4000000000)

enum place_state {
    PLACE_FREE,
    PLACE_TAKEN,     /* handed over to the loop */
    PLACE_HANDSHAKE, /* the loop's */
    PLACE_ANSWERED,  /* its answer waits for being looked at */
    PLACE_VIEWER     /* has a thread */
};

/* One connection. All but the atomics is the loop's, once it has been taken. */
struct place {
    struct rfb *rfb;
    _Atomic enum place_state state; /* changes with the rfb's lock, so that others may look for a free one */
    int fd;
    bool seated;  /* counts as a viewer */
    bool network; /* came by the plain port */
    struct rfb_handshake handshake;
    int64_t answered_ns;
    struct loop_watch watch;
    struct loop_task taken, left;
    pthread_t thread;
    struct rfb_viewer_options viewer;
    _Atomic int64_t deadline_ns;
};

struct rfb {
    struct input *input;
    struct screen *screen;
    struct loop *loop;
    struct loop_timer tick;
    int64_t patience_ns;
    unsigned viewers_max;
    pthread_mutex_t lock; /* of the next two, and of every place's state */
    unsigned seats, waiting;
    _Atomic unsigned viewers;
    _Atomic uint64_t frames, bytes;
    /* The loop's: */
    bool ticking;
    int port_fd; /* -1: none */
    struct loop_watch accepting;
    bool accept_paused; /* until the next tick: there was no descriptor to be had */
    uint8_t key[RFB_KEY];
    int64_t penalty_ns, next_answer_ns;
    unsigned place_count;
    struct place places[];
};

/* A free place, or NULL. seated: as a viewer at once, otherwise in the waiting room. */
static struct place *take_place(struct rfb *rfb, int fd, bool seated)
{
    struct place *place = NULL;

    pthread_mutex_lock(&rfb->lock);
    if (seated ? rfb->seats < rfb->viewers_max : rfb->waiting < WAITING_ROOM)
        for (unsigned n = 0; n < rfb->place_count && !place; n++)
            if (rfb->places[n].state == PLACE_FREE)
                place = &rfb->places[n];
    if (place) {
        place->state = PLACE_TAKEN;
        place->fd = fd;
        place->seated = seated;
        place->network = !seated;
        if (seated)
            rfb->seats++;
        else
            rfb->waiting++;
    }
    pthread_mutex_unlock(&rfb->lock);
    return place;
}

static void set_state(struct place *place, enum place_state state)
{
    struct rfb *rfb = place->rfb;

    pthread_mutex_lock(&rfb->lock);
    if (state == PLACE_FREE && place->seated)
        rfb->seats--;
    else if (state == PLACE_FREE)
        rfb->waiting--;
    place->state = state;
    pthread_mutex_unlock(&rfb->lock);
}

/* From the waiting room to a viewer's seat, if there is one. */
static bool seat(struct place *place)
{
    struct rfb *rfb = place->rfb;

    pthread_mutex_lock(&rfb->lock);
    if (!place->seated && rfb->seats < rfb->viewers_max) {
        place->seated = true;
        rfb->seats++;
        rfb->waiting--;
    }
    pthread_mutex_unlock(&rfb->lock);
    return place->seated;
}

/* What follows runs on the loop. */

static void leave(struct place *place)
{
    if (place->state == PLACE_HANDSHAKE)
        loop_unwatch(place->rfb->loop, &place->watch);
    close(place->fd);
    atomic_store(&place->deadline_ns, 0);
    set_state(place, PLACE_FREE);
}

static void viewer_left(void *opaque)
{
    struct place *place = opaque;

    pthread_join(place->thread, NULL);
    atomic_fetch_sub(&place->rfb->viewers, 1);
    leave(place);
}

static void *viewer_main(void *opaque)
{
    struct place *place = opaque;

    pthread_setname_np(pthread_self(), "viewer");
    rfb_viewer_run(&place->viewer);
    loop_post(place->rfb->loop, &place->left);
    return NULL;
}

static void let_in(struct place *place)
{
    struct rfb *rfb = place->rfb;

    if (place->state == PLACE_HANDSHAKE)
        loop_unwatch(rfb->loop, &place->watch);
    place->viewer.fd = place->fd;
    atomic_fetch_add(&rfb->viewers, 1);
    set_state(place, PLACE_VIEWER);
    if (pthread_create(&place->thread, NULL, viewer_main, place) != 0) {
        log_warning("a viewer was turned away: no thread can be made for it");
        atomic_fetch_sub(&rfb->viewers, 1);
        leave(place);
    }
}

static void judge(struct place *place)
{
    struct rfb *rfb = place->rfb;
    int64_t now = clock_ns();
    const char *refused = NULL;

    if (!rfb_handshake_judge(&place->handshake)) {
        refused = "wrong password";
        rfb->penalty_ns = MIN(MAX(2 * rfb->penalty_ns, FIRST_PENALTY_NS), LAST_PENALTY_NS);
        rfb->next_answer_ns = now + rfb->penalty_ns;
    } else {
        rfb->penalty_ns = 0;
        if (!seat(place))
            refused = "too many viewers";
    }
    if (rfb_handshake_finish(&place->handshake, refused) == RFB_HANDSHAKE_LET_IN)
        let_in(place);
    else
        leave(place);
}

/* Looks at the answer that has waited longest, and at no answer before its time has come. */
static void judge_next(struct rfb *rfb)
{
    struct place *first = NULL;

    for (unsigned n = 0; n < rfb->place_count; n++)
        if (rfb->places[n].state == PLACE_ANSWERED && (!first || rfb->places[n].answered_ns < first->answered_ns))
            first = &rfb->places[n];
    if (first && clock_ns() >= rfb->next_answer_ns)
        judge(first);
}

static void go_on(struct place *place, enum rfb_handshake_result result)
{
    switch (result) {
    case RFB_HANDSHAKE_MORE:
        return;
    case RFB_HANDSHAKE_LET_IN:
        let_in(place);
        return;
    case RFB_HANDSHAKE_ANSWERED:
        loop_unwatch(place->rfb->loop, &place->watch);
        place->answered_ns = clock_ns();
        set_state(place, PLACE_ANSWERED);
        judge_next(place->rfb);
        return;
    default:
        leave(place);
        return;
    }
}

static void handshake_ready(void *opaque, short events)
{
    struct place *place = opaque;

    (void)events;
    go_on(place, rfb_handshake_continue(&place->handshake));
}

static void start_ticking(struct rfb *rfb)
{
    if (!rfb->ticking)
        loop_timer_set(rfb->loop, &rfb->tick, clock_ns() + TICK_NS);
    rfb->ticking = true;
}

/* Ends connections whose time is over, and looks at answers that have waited. Runs while there is any connection. */
static void tick(void *opaque)
{
    struct rfb *rfb = opaque;
    int64_t now = clock_ns();
    bool any = false;

    judge_next(rfb);
    for (unsigned n = 0; n < rfb->place_count; n++) {
        struct place *place = &rfb->places[n];
        int64_t deadline = atomic_load(&place->deadline_ns);

        if (deadline && now > deadline && place->state == PLACE_HANDSHAKE)
            leave(place);
        else if (deadline && now > deadline && place->state == PLACE_VIEWER)
            shutdown(place->fd, SHUT_RDWR);
    }
    if (rfb->accept_paused)
        loop_watch(rfb->loop, &rfb->accepting);
    rfb->accept_paused = false;
    for (unsigned n = 0; n < rfb->place_count; n++)
        any |= rfb->places[n].state > PLACE_TAKEN;
    rfb->ticking = false;
    if (any)
        start_ticking(rfb);
}

static void taken(void *opaque)
{
    struct place *place = opaque;
    struct rfb *rfb = place->rfb;

    atomic_store(&place->deadline_ns, clock_ns() + MIN(HANDSHAKE_NS, rfb->patience_ns));
    place->watch.fd = place->fd;
    loop_watch(rfb->loop, &place->watch);
    set_state(place, PLACE_HANDSHAKE);
    start_ticking(rfb);
    go_on(place, rfb_handshake_begin(&place->handshake, place->fd, place->network ? rfb->key : NULL));
}

static void accept_ready(void *opaque, short events)
{
    struct rfb *rfb = opaque;
    struct place *place;
    int fd = rfb_port_accept(rfb->port_fd);

    (void)events;
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
        rfb->accept_paused = true;
        loop_unwatch(rfb->loop, &rfb->accepting);
        start_ticking(rfb);
    }
    if (fd < 0)
        return;
    place = take_place(rfb, fd, false);
    if (place)
        taken(place);
    else
        close(fd);
}

int rfb_attach(struct rfb *rfb, int fd)
{
    struct place *place = NULL;
    int flags = fcntl(fd, F_GETFL), result = 0;

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        result = -errno;
    else
        place = take_place(rfb, fd, true);
    if (place)
        loop_post(rfb->loop, &place->taken);
    else
        close(fd);
    return place || result < 0 ? result : -EBUSY;
}

static int make_places(struct rfb *rfb, const char *name)
{
    for (unsigned n = 0; n < rfb->place_count; n++) {
        struct place *place = &rfb->places[n];

        place->rfb = rfb;
        place->taken = (struct loop_task){.run = taken, .opaque = place};
        place->left = (struct loop_task){.run = viewer_left, .opaque = place};
        place->watch = (struct loop_watch){.events = POLLIN, .ready = handshake_ready, .opaque = place};
        place->viewer = (struct rfb_viewer_options){.lib = rfb_viewer_screen_create(name),
                                                    .screen = rfb->screen,
                                                    .input = rfb->input,
                                                    .patience_ns = rfb->patience_ns,
                                                    .deadline_ns = &place->deadline_ns,
                                                    .frames = &rfb->frames,
                                                    .bytes = &rfb->bytes};
        if (!place->viewer.lib)
            return -ENOMEM;
    }
    return 0;
}

int rfb_create(const struct rfb_options *options, struct rfb **result, struct error *error)
{
    unsigned viewers = options->viewers_max ? options->viewers_max : RFB_VIEWERS_MAX;
    struct rfb *rfb = calloc(1, sizeof *rfb + (viewers + WAITING_ROOM) * sizeof rfb->places[0]);
    int failed;

    if (!rfb)
        return error_set(error, ENOMEM, "viewers: out of memory");
    rfb->input = options->input;
    rfb->port_fd = -1;
    rfb->viewers_max = viewers;
    rfb->place_count = viewers + WAITING_ROOM;
    rfb->patience_ns = options->patience_ms ? options->patience_ms * INT64_C(1000000) : RFB_PATIENCE_NS;
    rfb->tick = (struct loop_timer){.expired = tick, .opaque = rfb};
    pthread_mutex_init(&rfb->lock, NULL);
    rfb->loop = loop_create("rfb");
    failed = rfb->loop ? screen_create(options->display, &rfb->screen) : -ENOMEM;
    if (failed == 0)
        failed = make_places(rfb, options->name);
    if (failed == 0)
        failed = loop_start(rfb->loop);
    if (failed < 0) {
        rfb_destroy(rfb);
        return error_set(error, -failed, "viewers: no thread or memory for them: %s", strerror(-failed));
    }
    *result = rfb;
    return 0;
}

static void start_accepting(void *opaque)
{
    struct rfb *rfb = opaque;

    loop_watch(rfb->loop, &rfb->accepting);
}

int rfb_listen(struct rfb *rfb, const char *address, uint16_t port, const char *password, struct error *error)
{
    rfb->port_fd = rfb_port_open(address, port, error);
    if (rfb->port_fd < 0)
        return rfb->port_fd;
    rfb_key_from_password(password, rfb->key);
    rfb->accepting = (struct loop_watch){.fd = rfb->port_fd, .events = POLLIN, .ready = accept_ready, .opaque = rfb};
    loop_call(rfb->loop, start_accepting, rfb);
    return 0;
}

void rfb_statistics(struct rfb *rfb, struct rfb_statistics *statistics)
{
    *statistics = (struct rfb_statistics){
        .viewers = atomic_load(&rfb->viewers), .frames = atomic_load(&rfb->frames), .bytes = atomic_load(&rfb->bytes)};
}

void rfb_destroy(struct rfb *rfb)
{
    if (rfb->loop)
        loop_stop(rfb->loop);
    for (unsigned n = 0; n < rfb->place_count; n++)
        if (rfb->places[n].state == PLACE_VIEWER)
            shutdown(rfb->places[n].fd, SHUT_RDWR);
    for (unsigned n = 0; n < rfb->place_count; n++) {
        struct place *place = &rfb->places[n];

        if (place->state == PLACE_VIEWER)
            pthread_join(place->thread, NULL);
        if (place->state != PLACE_FREE)
            close(place->fd);
        if (place->viewer.lib)
            rfb_viewer_screen_destroy(place->viewer.lib);
    }
    if (rfb->port_fd >= 0)
        close(rfb->port_fd);
    if (rfb->screen)
        screen_destroy(rfb->screen);
    loop_destroy(rfb->loop);
    pthread_mutex_destroy(&rfb->lock);
    explicit_bzero(rfb->key, sizeof rfb->key);
    free(rfb);
}
