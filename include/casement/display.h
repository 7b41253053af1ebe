/* The frame buffer as the guest left it, and pictures of it. */
#ifndef CASEMENT_DISPLAY_H
#define CASEMENT_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/board.h"
#include "casement/error.h"

/* The preferred mode's limits. What the guest sets is limited by video memory alone. */
#define DISPLAY_MIN_WIDTH 640
#define DISPLAY_MIN_HEIGHT 480
#define DISPLAY_MAX_WIDTH 3840
#define DISPLAY_MAX_HEIGHT 2160

struct display;
struct display_options {
    unsigned width, height; /* the EDID's preferred mode, within the limits above, width a multiple of 8 */
    uint64_t memory; /* bytes of video memory, a power of two from 4 to 256 MiB; 0: 16 MiB or what the mode needs */
    int slot;
};
/* A bochs-display PCI function with EDID (platform contract 5.2), added to the board. */
int display_create(struct board *board, const struct display_options *options, struct display **display,
                   struct error *error);

struct display_mode {
    unsigned width, height; /* pixels; both 0 while the guest has set no mode */
    uint64_t offset;        /* of the first pixel in video memory */
    unsigned stride;        /* bytes */
};
/* A consistent copy of the present mode, always inside video memory. Any thread. */
void display_mode(struct display *display, struct display_mode *mode);
const uint8_t *display_memory(const struct display *display);
uint64_t display_memory_size(const struct display *display);

#define DISPLAY_PAGE 4096
/*
 * Sets the bit of each page of video memory that was written, or came to be shown in another way, since the last call;
 * whether there is any. After the BAR has moved, a change of mode or a reset that is every page, because a log ends
 * with the mapping that it belongs to. bitmap: a bit for each page, rounded up to 64. Any thread, one caller at a time.
 */
bool display_dirty(struct display *display, uint64_t *bitmap);

/* Writes the present picture (or a black 640x480 before any mode) as PNG, through a temporary file and rename(). Any
 * thread. */
int display_write_png(struct display *display, const char *path, struct error *error);
/* The same into memory, which is the caller's to free. 0 or -errno. Any thread. */
int display_png(struct display *display, uint8_t **png, size_t *size);

#endif
