/*
 * The picture that viewers look at: a copy of what the guest shows, kept by one thread that asks for the dirty log,
 * compares the tiles that were written and copies those that changed.
 *
 * It works only while a view waits for a change, at most about 30 times a second. Each view has a bitmap of the tiles
 * that changed since it looked last, so one that is slow skips frames and holds up nobody.
 */
#ifndef CASEMENT_SCREEN_H
#define CASEMENT_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/display.h"

#define SCREEN_TILE_WIDTH 64U
#define SCREEN_TILE_HEIGHT 16U
/* A larger mode is shown up to here: the edges of what RFB's encoders take in one line. */
#define SCREEN_MAX_WIDTH 8192U
#define SCREEN_MAX_HEIGHT 8192U

struct screen;

/*
 * One size of the screen. While it is the present one its pixels change under the reader: a tile that is half old and
 * half new is followed by its bit in the view's bitmap. The sizes never change, and it lives as long as it is held.
 */
struct screen_picture {
    unsigned width, height; /* pixels; their lines follow each other without a gap */
    unsigned tiles_across, tiles_down;
    uint32_t *pixels; /* 0xXXRRGGBB */
};
/* Words of a bitmap of its tiles; tile n is the bit n % 64 of word n / 64, line by line. */
size_t screen_tile_words(const struct screen_picture *picture);

/* -ENOMEM, or what the thread lacks. The display outlives the screen. */
int screen_create(struct display *display, struct screen **screen);
/* After the last view has been removed. */
void screen_destroy(struct screen *screen);

struct screen_view;
/* A view that waits for nothing yet; wake_fd, an eventfd of the caller's, is signalled when there is something to
 * take. Any thread, as all of the following; what follows is for one thread a view. */
struct screen_view *screen_view_create(struct screen *screen, int wake_fd);
void screen_view_destroy(struct screen_view *view);
/*
 * What is new for the view: the present picture (held by the view until the next call), and its changed tiles in a
 * bitmap that is the view's until the next call too (all of them in a new picture). false: nothing is.
 */
bool screen_view_take(struct screen_view *view, const struct screen_picture **picture, const uint64_t **tiles);
/* Signals wake_fd at the next change, or at once when there is one already. */
void screen_view_wait(struct screen_view *view);
/* Something is likely to change now: looks sooner than it would while nothing does. */
void screen_hurry(struct screen *screen);

/* How often the dirty log was asked. */
uint64_t screen_scans(struct screen *screen);

#endif
