/*
 * Under ThreadSanitizer: viewers come, look and go while the guest draws, changes modes and moves video memory, and the
 * machine resets.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../vmm/viewer/screen.h"
#include "casement/bytes.h"
#include "casement/loop.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_display.h"

#define VIEWERS 4
#define SECONDS 3
#define WIDTH 640U
#define HEIGHT 480U

/*
 * Pixels are no matter of order: the guest writes them while the screen copies them, and the screen while a viewer
 * looks (screen.h). So the two functions that do that here are not watched; all else is.
 */
#define PIXELS_ONLY __attribute__((no_sanitize("thread")))

static struct fake *fake;
static struct display *display;
static struct screen *screen;
static _Atomic bool ended;
static _Atomic unsigned looks, sum;

PIXELS_ONLY static void write_pixel(volatile uint32_t *pixel, uint32_t value)
{
    *pixel = value;
}

static void *draw(void *opaque)
{
    const void *memory = display_memory(display); /* which the guest may write */
    uint32_t *video;

    memcpy(&video, &memory, sizeof video);
    for (unsigned n = 0; !atomic_load(&ended); n++)
        write_pixel(&video[n * 7919 % (WIDTH * HEIGHT)], n);
    return opaque;
}

static void *change(void *opaque)
{
    for (unsigned n = 0; !atomic_load(&ended); n++) {
        fake_display_mode(fake, n % 3 ? WIDTH : 1024, HEIGHT, 1024, n % 8);
        fake_display_move(fake, n % 5 ? FAKE_VIDEO + n % 4 * 16 * MiB : 0);
        if (n % 50 == 0)
            fake_display_mode(fake, 0, 0, 0, 0);
        poll(NULL, 0, 1);
    }
    return opaque;
}

PIXELS_ONLY static uint32_t read_pixel(const volatile uint32_t *pixel)
{
    return *pixel;
}

static uint32_t look(const struct screen_picture *picture, const uint64_t *tiles)
{
    uint32_t total = 0;

    for (unsigned y = 0; y < picture->height; y += 5)
        for (unsigned x = 0; x < picture->width; x += 16) {
            unsigned tile = y / SCREEN_TILE_HEIGHT * picture->tiles_across + x / SCREEN_TILE_WIDTH;

            if (tiles[tile / 64] >> tile % 64 & 1)
                total += read_pixel(&picture->pixels[(size_t)y * picture->width + x]);
        }
    atomic_fetch_add(&looks, 1);
    return total;
}

static void *view(void *opaque)
{
    unsigned number = *(unsigned *)opaque;

    for (unsigned round = 0; !atomic_load(&ended); round++) {
        int fd = eventfd(0, EFD_NONBLOCK);
        struct screen_view *view_ = screen_view_create(screen, fd);
        const struct screen_picture *picture;
        const uint64_t *tiles;

        for (unsigned n = 0; n < 5 * number && !atomic_load(&ended); n++) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

            screen_view_wait(view_);
            poll(&poll_fd, 1, 100);
            fake_signals(fd);
            if (screen_view_take(view_, &picture, &tiles))
                atomic_fetch_add(&sum, look(picture, tiles));
            screen_hurry(screen);
        }
        screen_view_destroy(view_);
        close(fd);
    }
    return NULL;
}

static void viewers_and_guest(void **state)
{
    static unsigned numbers[VIEWERS] = {1, 2, 3, 4}; /* how long each stays */
    pthread_t threads[VIEWERS + 2];
    int64_t end = clock_ns() + SECONDS * INT64_C(1000000000);

    (void)state;
    fake = fake_display_create(&display);
    assert_int_equal(screen_create(display, &screen), 0);
    assert_int_equal(pthread_create(&threads[0], NULL, draw, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, change, NULL), 0);
    for (unsigned n = 0; n < VIEWERS; n++)
        assert_int_equal(pthread_create(&threads[n + 2], NULL, view, &numbers[n]), 0);
    while (clock_ns() < end) {
        poll(NULL, 0, 100);
        board_reset(&fake->board);
    }
    atomic_store(&ended, true);
    for (size_t n = 0; n < ARRAY_SIZE(threads); n++)
        pthread_join(threads[n], NULL);
    assert_true(atomic_load(&looks) > 10);
    screen_destroy(screen);
    fake_destroy(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(viewers_and_guest)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
