/* Dirty pages of the display, and the picture that is kept from them for viewers. */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../vmm/viewer/screen.h"
#include "casement/bytes.h"
#include "casement/loop.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_display.h"

#define WAIT_MS 20000
#define PAGES 4096 /* of 16 MiB */

static struct fake *fake;
static struct display *display;
static struct screen *screen;
static uint64_t dirty[PAGES / 64];

static int setup(void **state)
{
    (void)state;
    fake = fake_display_create(&display);
    return screen_create(display, &screen);
}

static int teardown(void **state)
{
    (void)state;
    screen_destroy(screen);
    fake_destroy(fake);
    return 0;
}

static unsigned count_dirty(void)
{
    unsigned count = 0;
    bool any = display_dirty(display, dirty);

    for (size_t n = 0; n < ARRAY_SIZE(dirty); n++)
        count += (unsigned)__builtin_popcountll(dirty[n]);
    assert_int_equal(any, count > 0);
    return count;
}

static void pages_are_dirty_once(void **state)
{
    (void)state;
    assert_int_equal(display_memory_size(display), (uint64_t)PAGES * DISPLAY_PAGE);
    count_dirty();
    assert_int_equal(count_dirty(), 0);
    fake_display_draw(fake, 5 * 1024 + 7, 1);
    fake_display_draw(fake, 5 * 1024 + 8, 1);
    fake_display_draw(fake, PAGES * 1024 - 1, 1);
    assert_int_equal(count_dirty(), 2);
    assert_true(dirty[0] == UINT64_C(1) << 5);
    assert_true(dirty[PAGES / 64 - 1] == UINT64_C(1) << 63);
    assert_int_equal(count_dirty(), 0);
}

/* What was written before the mapping and its log went is not lost. */
static void moving_makes_everything_dirty(void **state)
{
    (void)state;
    count_dirty();
    fake_display_draw(fake, 0, 1);
    fake_display_move(fake, FAKE_VIDEO + 64 * MiB);
    assert_int_equal(count_dirty(), PAGES);
    assert_int_equal(count_dirty(), 0);
    fake_display_move(fake, 0);
    assert_int_equal(count_dirty(), PAGES);
    assert_int_equal(count_dirty(), 0); /* nobody can write now */
    fake_display_move(fake, FAKE_VIDEO);
    assert_int_equal(count_dirty(), PAGES);
    fake_display_draw(fake, 1024, 1);
    assert_int_equal(count_dirty(), 1);
}

static void modes_and_resets_make_everything_dirty(void **state)
{
    (void)state;
    count_dirty();
    fake_display_mode(fake, 800, 600, 800, 0);
    assert_int_equal(count_dirty(), PAGES);
    fake_write(fake, BUS_MMIO, FAKE_REGISTERS + 0x500 + 2 * 9, 2, 0); /* the same again */
    assert_int_equal(count_dirty(), 0);
    fake_write(fake, BUS_MMIO, FAKE_REGISTERS + 0x500 + 2 * 9, 2, 10);
    assert_int_equal(count_dirty(), PAGES);
    pci_bus_reset(fake->board.pci);
    board_reset(&fake->board);
    assert_int_equal(count_dirty(), PAGES);
}

struct watcher {
    struct screen_view *view;
    int fd;
    const struct screen_picture *picture;
    const uint64_t *tiles;
};

static struct watcher watch(void)
{
    struct watcher watcher = {.fd = eventfd(0, EFD_NONBLOCK)};

    watcher.view = screen_view_create(screen, watcher.fd);
    assert_non_null(watcher.view);
    return watcher;
}

static void leave(struct watcher *watcher)
{
    screen_view_destroy(watcher->view);
    close(watcher->fd);
}

/* Waits for the next change and takes it. */
static void next(struct watcher *watcher)
{
    do {
        struct pollfd poll_fd = {.fd = watcher->fd, .events = POLLIN};

        screen_view_wait(watcher->view);
        assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
        fake_signals(watcher->fd);
    } while (!screen_view_take(watcher->view, &watcher->picture, &watcher->tiles));
}

static unsigned tiles(const struct watcher *watcher)
{
    unsigned count = 0;

    for (size_t n = 0; n < screen_tile_words(watcher->picture); n++)
        count += (unsigned)__builtin_popcountll(watcher->tiles[n]);
    return count;
}

static bool has_tile(const struct watcher *watcher, unsigned across, unsigned down)
{
    unsigned tile = down * watcher->picture->tiles_across + across;

    return watcher->tiles[tile / 64] >> tile % 64 & 1;
}

static uint32_t pixel(const struct watcher *watcher, unsigned x, unsigned y)
{
    return watcher->picture->pixels[(size_t)y * watcher->picture->width + x];
}

static void a_view_sees_black_and_then_the_mode(void **state)
{
    struct watcher watcher = watch();

    (void)state;
    next(&watcher);
    assert_int_equal(watcher.picture->width, 640);
    assert_int_equal(watcher.picture->height, 480);
    assert_int_equal(tiles(&watcher), 300);
    for (unsigned n = 0; n < 640 * 480; n++)
        assert_int_equal(watcher.picture->pixels[n], 0);
    /* 100 by 40 pixels of a line of 200: tiles at the right and lower edge are cut. */
    for (unsigned y = 0; y < 50; y++)
        fake_display_draw(fake, y * 200 + 99, y);
    fake_display_mode(fake, 100, 40, 200, 10);
    do /* the mode is set by several registers */
        next(&watcher);
    while (watcher.picture->width != 100);
    assert_int_equal(watcher.picture->height, 40);
    assert_int_equal(watcher.picture->tiles_across, 2);
    assert_int_equal(watcher.picture->tiles_down, 3);
    assert_int_equal(tiles(&watcher), 6);
    for (unsigned y = 0; y < 40; y++)
        assert_int_equal(pixel(&watcher, 99, y), y + 10);
    /* Off again: black, though video memory is as it was. */
    fake_display_mode(fake, 0, 0, 0, 0);
    next(&watcher);
    assert_int_equal(watcher.picture->width, 640);
    leave(&watcher);
}

static void only_changed_tiles_are_told(void **state)
{
    struct watcher watcher;

    (void)state;
    fake_display_mode(fake, 640, 480, 1000, 0);
    watcher = watch();
    next(&watcher);
    assert_int_equal(tiles(&watcher), 300);
    fake_display_draw(fake, 100 * 1000 + 64, 0x123456);
    next(&watcher);
    assert_int_equal(tiles(&watcher), 1);
    assert_true(has_tile(&watcher, 1, 6));
    assert_int_equal(pixel(&watcher, 64, 100), 0x123456);
    /* Written with what was there, and written beside the picture: no change. The last one is. */
    fake_display_draw(fake, 200 * 1000 + 64, 0);
    fake_display_draw(fake, 200 * 1000 + 640, 7);
    fake_display_draw(fake, 479 * 1000 + 639, 9);
    do
        next(&watcher);
    while (!has_tile(&watcher, 9, 29));
    assert_int_equal(tiles(&watcher), 1);
    assert_int_equal(pixel(&watcher, 639, 479), 9);
    leave(&watcher);
}

/* Every dirty page finds its tiles, whatever the line's length. */
static void every_pixel_arrives(void **state)
{
    static const unsigned strides[] = {640, 641, 1024, 1025, 4000};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(strides); n++) {
        struct watcher watcher;

        fake_display_mode(fake, 640, 480, strides[n], 3);
        watcher = watch();
        next(&watcher);
        for (unsigned round = 0; round < 60; round++) {
            unsigned x = round * 11 % 640, y = round * 97 % 480;
            uint32_t value = (uint32_t)(0x10000 * (n + 1) + round + 1);

            fake_display_draw(fake, (uint64_t)(y + 3) * strides[n] + x, value);
            screen_hurry(screen);
            next(&watcher);
            assert_int_equal(tiles(&watcher), 1);
            assert_int_equal(pixel(&watcher, x, y), value);
        }
        leave(&watcher);
    }
}

static void a_slow_view_gets_all_that_it_missed(void **state)
{
    struct watcher fast, slow;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    fast = watch();
    slow = watch();
    next(&fast);
    next(&slow);
    for (unsigned n = 0; n < 8; n++) {
        fake_display_draw(fake, (uint64_t)n * 16 * 640, n + 1);
        next(&fast);
        assert_int_equal(tiles(&fast), 1);
        assert_true(has_tile(&fast, 0, n));
    }
    next(&slow);
    assert_int_equal(tiles(&slow), 8);
    for (unsigned n = 0; n < 8; n++)
        assert_int_equal(pixel(&slow, 0, n * 16), n + 1);
    leave(&slow);
    leave(&fast);
}

/* The old picture stays whole in the hands of one who still looks at it. */
static void an_old_picture_lives_while_it_is_held(void **state)
{
    struct watcher slow, fast;
    const struct screen_picture *old;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    fake_display_draw(fake, 5, 55);
    slow = watch();
    fast = watch();
    next(&slow);
    next(&fast);
    old = slow.picture;
    assert_ptr_equal(old, fast.picture);
    fake_display_mode(fake, 1024, 768, 1024, 0);
    do
        next(&fast);
    while (fast.picture->width != 1024);
    assert_int_equal(fast.picture->height, 768);
    leave(&fast);
    assert_int_equal(old->width, 640);
    assert_int_equal(old->pixels[5], 55);
    next(&slow);
    assert_int_equal(slow.picture->width, 1024);
    assert_int_equal(tiles(&slow), slow.picture->tiles_across * slow.picture->tiles_down);
    leave(&slow);
}

static void nobody_waits_no_work(void **state)
{
    struct watcher watcher;
    uint64_t before;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    assert_int_equal(screen_scans(screen), 0);
    watcher = watch();
    assert_int_equal(screen_scans(screen), 0);
    next(&watcher);
    before = screen_scans(screen);
    for (unsigned n = 0; n < 50; n++) {
        fake_display_draw(fake, n, n + 1);
        screen_hurry(screen);
    }
    poll(NULL, 0, 300); /* nothing to wait for: nothing must happen in the time of nine frames */
    assert_int_equal(screen_scans(screen), before);
    next(&watcher);
    assert_int_equal(tiles(&watcher), 1);
    leave(&watcher);
    before = screen_scans(screen);
    poll(NULL, 0, 300);
    assert_int_equal(screen_scans(screen), before);
}

/* What waits does not look more often than 30 times a second, and less often when nothing changes. */
static void scans_are_paced(void **state)
{
    struct watcher watcher;
    uint64_t before;
    int64_t start = clock_ns();

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    watcher = watch();
    next(&watcher);
    before = screen_scans(screen);
    for (unsigned n = 0; n < 10; n++) {
        fake_display_draw(fake, n, n + 1);
        next(&watcher);
    }
    assert_true(clock_ns() - start >= 10 * INT64_C(33000000));
    assert_true(screen_scans(screen) - before <= 20);
    before = screen_scans(screen);
    screen_view_wait(watcher.view);
    poll(NULL, 0, 1000);
    assert_in_range(screen_scans(screen) - before, 1, 13);
    leave(&watcher);
}

static void an_unmapped_bar_shows_what_was_there(void **state)
{
    struct watcher watcher;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    watcher = watch();
    next(&watcher);
    fake_display_draw(fake, 70, 77);
    fake_display_move(fake, 0);
    next(&watcher);
    assert_int_equal(tiles(&watcher), 1);
    assert_int_equal(pixel(&watcher, 70, 0), 77);
    fake_display_move(fake, FAKE_VIDEO);
    fake_display_draw(fake, 71, 78);
    next(&watcher);
    assert_int_equal(pixel(&watcher, 71, 0), 78);
    leave(&watcher);
}

/* All of video memory in one line, and a mode beyond what is shown. */
static void odd_modes_are_bounded(void **state)
{
    struct watcher watcher;

    (void)state;
    fake_display_mode(fake, 65528, 64, 65528, 0);
    watcher = watch();
    do
        next(&watcher);
    while (watcher.picture->width == 640);
    assert_int_equal(watcher.picture->width, SCREEN_MAX_WIDTH);
    assert_int_equal(watcher.picture->height, 64);
    fake_display_mode(fake, 8, 65528, 64, 0);
    do
        next(&watcher);
    while (watcher.picture->width != 8);
    assert_int_equal(watcher.picture->height, SCREEN_MAX_HEIGHT);
    leave(&watcher);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(pages_are_dirty_once),
        T(moving_makes_everything_dirty),
        T(modes_and_resets_make_everything_dirty),
        T(a_view_sees_black_and_then_the_mode),
        T(only_changed_tiles_are_told),
        T(every_pixel_arrives),
        T(a_slow_view_gets_all_that_it_missed),
        T(an_old_picture_lives_while_it_is_held),
        T(nobody_waits_no_work),
        T(scans_are_paced),
        T(an_unmapped_bar_shows_what_was_there),
        T(odd_modes_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
