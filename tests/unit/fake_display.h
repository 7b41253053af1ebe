/* A display on a board without KVM, and a guest that drives it. */
#ifndef CASEMENT_TESTS_FAKE_DISPLAY_H
#define CASEMENT_TESTS_FAKE_DISPLAY_H

#include "casement/display.h"
#include "fake.h"

#define FAKE_DISPLAY_SLOT 1
#define FAKE_VIDEO UINT64_C(0xC0000000)     /* where the guest puts BAR 0 */
#define FAKE_REGISTERS UINT64_C(0xD0000000) /* and BAR 2 */

/* A board with a PCI bus and a display of 16 MiB whose BARs are mapped; no mode is set. */
struct fake *fake_display_create(struct display **display);
/* Maps video memory elsewhere, or nowhere (0). */
void fake_display_move(struct fake *fake, uint64_t address);
/* Sets a mode of 32 bits a pixel whose lines are virtual_width pixels; width 0: switches it off. */
void fake_display_mode(struct fake *fake, unsigned width, unsigned height, unsigned virtual_width, unsigned y_offset);
/* Draws one pixel where BAR 0 is mapped by default; pixel counts from the start of video memory. */
void fake_display_draw(struct fake *fake, uint64_t pixel, uint32_t value);

#endif
