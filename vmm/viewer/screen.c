/* What the guest shows, copied tile by tile as it changes (see screen.h). */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/loop.h"
#include "screen.h"

#define BYTES_PER_PIXEL 4U
#define TILE_BYTES (SCREEN_TILE_WIDTH * BYTES_PER_PIXEL)
#define NO_MODE_WIDTH 640U
#define NO_MODE_HEIGHT 480U
#define FRAME_NS INT64_C(33000000)
/* Between two looks while nothing changes. */
#define IDLE_NS INT64_C(100000000)

struct picture {
    struct screen_picture shown; /* first */
    unsigned holders;            /* with the screen's lock */
    bool blank;                  /* black, because the guest has set no mode */
    uint64_t *touched;           /* tiles to compare; the loop's */
};

struct screen_view {
    struct screen *screen;
    struct screen_view *next;
    int wake_fd;
    /* With the screen's lock: */
    struct picture *picture; /* that was taken last */
    uint64_t *changed, *taken;
    bool any_changed, waiting;
};

struct screen {
    struct display *display;
    struct loop *loop;
    struct loop_timer timer;
    uint64_t *dirty; /* pages; the loop's, as what follows */
    _Atomic uint64_t scans;
    /* Of all below. The loop alone makes pictures and writes pixels, and does that without it. */
    pthread_mutex_t lock;
    struct screen_view *views;
    struct picture *picture;
    int64_t last_ns, period_ns; /* of scans */
    bool scheduled;
};

size_t screen_tile_words(const struct screen_picture *picture)
{
    return ((size_t)picture->tiles_across * picture->tiles_down + 63) / 64;
}

static void set_all(uint64_t *bitmap, const struct screen_picture *shown)
{
    size_t words = screen_tile_words(shown);
    unsigned rest = shown->tiles_across * shown->tiles_down % 64;

    memset(bitmap, 0xFF, words * sizeof *bitmap);
    if (rest)
        bitmap[words - 1] = (UINT64_C(1) << rest) - 1;
}

static struct picture *picture_create(unsigned width, unsigned height)
{
    struct picture *picture = calloc(1, sizeof *picture);

    if (!picture)
        return NULL;
    picture->holders = 1;
    picture->shown = (struct screen_picture){.width = width,
                                             .height = height,
                                             .tiles_across = (width + SCREEN_TILE_WIDTH - 1) / SCREEN_TILE_WIDTH,
                                             .tiles_down = (height + SCREEN_TILE_HEIGHT - 1) / SCREEN_TILE_HEIGHT,
                                             .pixels = calloc((size_t)width * height, BYTES_PER_PIXEL)};
    picture->touched = calloc(screen_tile_words(&picture->shown), sizeof *picture->touched);
    if (picture->shown.pixels && picture->touched)
        return picture;
    free(picture->shown.pixels);
    free(picture->touched);
    free(picture);
    return NULL;
}

/* With the lock, as the next. */
static struct picture *hold(struct picture *picture)
{
    if (picture)
        picture->holders++;
    return picture;
}

static void let_go(struct picture *picture)
{
    if (!picture || --picture->holders)
        return;
    free(picture->shown.pixels);
    free(picture->touched);
    free(picture);
}

/* The tiles of one line that lie in dirty pages. */
static void touch_line(struct picture *picture, const uint64_t *dirty, const struct display_mode *mode, unsigned y)
{
    uint64_t start = mode->offset + (uint64_t)y * mode->stride;
    uint64_t end = start + (uint64_t)picture->shown.width * BYTES_PER_PIXEL;
    size_t first = (size_t)(y / SCREEN_TILE_HEIGHT) * picture->shown.tiles_across;

    for (uint64_t page = start / DISPLAY_PAGE; page <= (end - 1) / DISPLAY_PAGE; page++) {
        if (!(dirty[page / 64] >> page % 64 & 1))
            continue;
        uint64_t from = MAX(page * DISPLAY_PAGE, start) - start, to = MIN((page + 1) * DISPLAY_PAGE, end) - start;

        for (size_t tile = first + from / TILE_BYTES; tile <= first + (to - 1) / TILE_BYTES; tile++)
            picture->touched[tile / 64] |= UINT64_C(1) << tile % 64;
    }
}

/* Copies the tile if it is another than before. */
static bool update_tile(struct picture *picture, const uint8_t *video, const struct display_mode *mode, size_t tile)
{
    struct screen_picture *shown = &picture->shown;
    unsigned x = (unsigned)(tile % shown->tiles_across) * SCREEN_TILE_WIDTH;
    unsigned y = (unsigned)(tile / shown->tiles_across) * SCREEN_TILE_HEIGHT;
    unsigned bottom = MIN(y + SCREEN_TILE_HEIGHT, shown->height);
    size_t bytes = (size_t)MIN(SCREEN_TILE_WIDTH, shown->width - x) * BYTES_PER_PIXEL;
    bool changed = false;

    for (; y < bottom; y++) {
        const uint8_t *from = video + mode->offset + (uint64_t)y * mode->stride + (uint64_t)x * BYTES_PER_PIXEL;
        uint32_t *to = shown->pixels + (size_t)y * shown->width + x;

        if (!changed && memcmp(to, from, bytes) == 0)
            continue;
        memcpy(to, from, bytes);
        changed = true;
    }
    return changed;
}

/* Leaves in picture->touched what changed; whether anything did. */
static bool update_picture(struct screen *screen, struct picture *picture, const struct display_mode *mode)
{
    const uint8_t *video = display_memory(screen->display);
    size_t words = screen_tile_words(&picture->shown);
    bool any = false;

    for (size_t word = 0; word < words; word++)
        for (uint64_t left = picture->touched[word]; left; left &= left - 1) {
            unsigned bit = (unsigned)__builtin_ctzll(left);

            if (update_tile(picture, video, mode, word * 64 + bit))
                any = true;
            else
                picture->touched[word] &= ~(UINT64_C(1) << bit);
        }
    return any;
}

/* With the lock, as the next. */
static void wake(struct screen_view *view)
{
    uint64_t one = 1;

    view->waiting = false;
    if (write(view->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is awake already */
}

static void schedule(struct screen *screen)
{
    screen->scheduled = true;
    loop_timer_set(screen->loop, &screen->timer, MAX(screen->last_ns + screen->period_ns, 1));
}

static bool anyone_waits(const struct screen *screen)
{
    for (const struct screen_view *view = screen->views; view; view = view->next)
        if (view->waiting)
            return true;
    return false;
}

/* Tells all views, and looks again if one of them has seen everything. With the lock. */
static void publish(struct screen *screen, struct picture *picture, bool any)
{
    size_t words = screen_tile_words(&picture->shown);

    for (struct screen_view *view = screen->views; view; view = view->next) {
        if (view->picture == picture && any) {
            for (size_t n = 0; n < words; n++)
                view->changed[n] |= picture->touched[n];
            view->any_changed = true;
        }
        if (view->waiting && (view->any_changed || view->picture != picture))
            wake(view);
    }
    screen->period_ns = any ? FRAME_NS : MIN(2 * screen->period_ns, IDLE_NS);
}

/* The picture that fits the mode, held for the caller; *fresh when it is a new one. NULL: out of memory, or no view. */
static struct picture *fitting_picture(struct screen *screen, const struct display_mode *mode, bool *fresh)
{
    static struct log_limit limit;
    unsigned width = mode->width ? MIN(mode->width, SCREEN_MAX_WIDTH) : NO_MODE_WIDTH;
    unsigned height = mode->width ? MIN(mode->height, SCREEN_MAX_HEIGHT) : NO_MODE_HEIGHT;
    struct picture *picture;

    pthread_mutex_lock(&screen->lock);
    picture = hold(screen->picture);
    *fresh =
        !picture || picture->shown.width != width || picture->shown.height != height || picture->blank != !mode->width;
    if (*fresh)
        let_go(picture);
    pthread_mutex_unlock(&screen->lock);
    if (!*fresh)
        return picture;
    picture = picture_create(width, height);
    if (picture)
        picture->blank = !mode->width;
    else
        log_guest(&limit, "screen: no memory for %ux%u; viewers keep the old picture", width, height);
    return picture;
}

static void scan(struct screen *screen)
{
    struct display_mode mode;
    struct picture *picture;
    bool fresh, any = display_dirty(screen->display, screen->dirty);

    /* In this order: a mode that is set from here on makes the pages dirty again. */
    display_mode(screen->display, &mode);
    atomic_fetch_add(&screen->scans, 1);
    picture = fitting_picture(screen, &mode, &fresh);
    if (!picture)
        return;
    if (fresh)
        set_all(picture->touched, &picture->shown);
    else
        memset(picture->touched, 0, screen_tile_words(&picture->shown) * sizeof *picture->touched);
    for (unsigned y = 0; y < picture->shown.height && any && !fresh && !picture->blank; y++)
        touch_line(picture, screen->dirty, &mode, y);
    if (!picture->blank && (any || fresh))
        any = update_picture(screen, picture, &mode);
    pthread_mutex_lock(&screen->lock);
    if (fresh && screen->views) {
        let_go(screen->picture);
        screen->picture = hold(picture);
    }
    publish(screen, picture, any && !fresh && !picture->blank);
    let_go(picture);
    pthread_mutex_unlock(&screen->lock);
}

static void expired(void *opaque)
{
    struct screen *screen = opaque;
    bool work;

    pthread_mutex_lock(&screen->lock);
    screen->scheduled = false;
    work = anyone_waits(screen);
    screen->last_ns = clock_ns();
    pthread_mutex_unlock(&screen->lock);
    if (!work)
        return;
    scan(screen);
    pthread_mutex_lock(&screen->lock);
    if (anyone_waits(screen) && !screen->scheduled)
        schedule(screen);
    pthread_mutex_unlock(&screen->lock);
}

int screen_create(struct display *display, struct screen **result)
{
    struct screen *screen = calloc(1, sizeof *screen);
    int failed = -ENOMEM;

    if (!screen)
        return failed;
    screen->display = display;
    screen->period_ns = FRAME_NS;
    screen->timer = (struct loop_timer){.expired = expired, .opaque = screen};
    pthread_mutex_init(&screen->lock, NULL);
    screen->dirty = calloc((size_t)align_up(display_memory_size(display) / DISPLAY_PAGE, 64) / 64, sizeof(uint64_t));
    screen->loop = loop_create("screen");
    if (screen->dirty && screen->loop)
        failed = loop_start(screen->loop);
    if (failed < 0) {
        screen_destroy(screen);
        return failed;
    }
    *result = screen;
    return 0;
}

void screen_destroy(struct screen *screen)
{
    if (screen->loop)
        loop_stop(screen->loop);
    loop_destroy(screen->loop);
    let_go(screen->picture);
    pthread_mutex_destroy(&screen->lock);
    free(screen->dirty);
    free(screen);
}

struct screen_view *screen_view_create(struct screen *screen, int wake_fd)
{
    struct screen_view *view = calloc(1, sizeof *view);

    if (!view)
        return NULL;
    view->screen = screen;
    view->wake_fd = wake_fd;
    pthread_mutex_lock(&screen->lock);
    view->next = screen->views;
    screen->views = view;
    pthread_mutex_unlock(&screen->lock);
    return view;
}

void screen_view_destroy(struct screen_view *view)
{
    struct screen *screen = view->screen;

    pthread_mutex_lock(&screen->lock);
    for (struct screen_view **at = &screen->views; *at; at = &(*at)->next)
        if (*at == view) {
            *at = view->next;
            break;
        }
    let_go(view->picture);
    if (!screen->views) { /* nobody follows it any more; the next one begins anew */
        let_go(screen->picture);
        screen->picture = NULL;
    }
    pthread_mutex_unlock(&screen->lock);
    free(view->changed);
    free(view->taken);
    free(view);
}

/* With the lock. Out of memory: the view keeps what it has. */
static void change_picture(struct screen_view *view, struct picture *picture)
{
    size_t words = screen_tile_words(&picture->shown);
    uint64_t *changed = calloc(words, sizeof *changed), *taken = calloc(words, sizeof *taken);

    if (!changed || !taken) {
        free(changed);
        free(taken);
        return;
    }
    free(view->changed);
    free(view->taken);
    view->changed = changed;
    view->taken = taken;
    let_go(view->picture);
    view->picture = hold(picture);
    set_all(view->changed, &picture->shown);
    view->any_changed = true;
}

bool screen_view_take(struct screen_view *view, const struct screen_picture **picture, const uint64_t **tiles)
{
    struct screen *screen = view->screen;
    bool any;

    pthread_mutex_lock(&screen->lock);
    if (screen->picture && view->picture != screen->picture)
        change_picture(view, screen->picture);
    any = view->any_changed;
    if (any) {
        uint64_t *taken = view->changed;

        view->changed = view->taken;
        view->taken = taken;
        memset(view->changed, 0, screen_tile_words(&view->picture->shown) * sizeof *view->changed);
        view->any_changed = false;
        *picture = &view->picture->shown;
        *tiles = taken;
    }
    pthread_mutex_unlock(&screen->lock);
    return any;
}

void screen_view_wait(struct screen_view *view)
{
    struct screen *screen = view->screen;

    pthread_mutex_lock(&screen->lock);
    view->waiting = true;
    if (view->any_changed || (screen->picture && view->picture != screen->picture))
        wake(view);
    else if (!screen->scheduled)
        schedule(screen);
    pthread_mutex_unlock(&screen->lock);
}

void screen_hurry(struct screen *screen)
{
    pthread_mutex_lock(&screen->lock);
    if (screen->period_ns != FRAME_NS) {
        screen->period_ns = FRAME_NS;
        if (screen->scheduled)
            schedule(screen);
    }
    pthread_mutex_unlock(&screen->lock);
}

uint64_t screen_scans(struct screen *screen)
{
    return atomic_load(&screen->scans);
}
