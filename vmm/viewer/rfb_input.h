/* What one viewer's keyboard and pointer do, on its way to struct input. For one thread. */
#ifndef CASEMENT_RFB_INPUT_H
#define CASEMENT_RFB_INPUT_H

#include <linux/input-event-codes.h>
#include <stdbool.h>
#include <stdint.h>

#include "casement/input.h"

#define RFB_KEYSYMS_HELD 32

/* Buttons as RFB numbers them from 1: bit n is button n + 1. */
#define RFB_BUTTONS_LOW 0x7F  /* of the pointer event's own byte, when a second one follows */
#define RFB_BUTTONS_MORE 0x80 /* a second byte follows, with button 8 as its lowest bit */

struct rfb_input {
    struct input *input;
    /* What it holds down, to be released when it leaves: */
    uint8_t codes[KEY_CNT / 8 + 1];
    uint32_t keysyms[RFB_KEYSYMS_HELD];
    unsigned keysym_count;
    uint16_t buttons;
    uint16_t x, y; /* 0 to INPUT_POINTER_MAX */
};

void rfb_input_keysym(struct rfb_input *viewer, uint32_t keysym, bool down);
/* The QEMU Extended Key Event: xt is the key's scan code (set 1, with 0x80 set for E0); the keysym counts where that
 * is none. */
void rfb_input_key(struct rfb_input *viewer, uint32_t xt, uint32_t keysym, bool down);
/* x and y are pixels of a screen of this size; what lies outside is its nearest edge. */
void rfb_input_pointer(struct rfb_input *viewer, unsigned x, unsigned y, unsigned width, unsigned height,
                       uint16_t buttons);
void rfb_input_release(struct rfb_input *viewer);

/* The middle of the pixel between 0 and INPUT_POINTER_MAX, so that scaling back finds it, rounded or cut. */
uint16_t rfb_pointer_position(unsigned pixel, unsigned size);
/* The Linux key code of a scan code as above, or 0. */
unsigned rfb_key_code(uint32_t xt);

#endif
