/*
 * Keyboard layouts: what a key makes with which modifiers. Key codes are those of linux/input-event-codes.h. Tables
 * that never change: any thread.
 */
#ifndef CASEMENT_LAYOUT_H
#define CASEMENT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"

enum { LAYOUT_SHIFT = 1, LAYOUT_ALTGR = 2 };
/* A sign takes two when a dead key comes first. */
#define LAYOUT_STROKES 2

/* One press of a key with exactly these of shift and AltGr held. */
struct stroke {
    uint8_t code, modifiers;
};

struct layout;
/* By its name, or by a language tag such as "de-CH". NULL, with a text that begins with what, when there is none. */
const struct layout *layout_find(const char *name, const char *what, struct error *error);
const char *layout_name(const struct layout *layout);
/* The keys that type the sign (a Unicode code point), in their order: 1 or 2, or 0 when the layout has none. */
unsigned layout_sign(const struct layout *layout, uint32_t sign, struct stroke strokes[LAYOUT_STROKES]);
/* The one key that makes the sign, which may be a combining mark: a dead key. */
bool layout_key(const struct layout *layout, uint32_t sign, struct stroke *stroke);
/* The same while these modifiers are held. AltGr changes nothing on a key that has no sign with it. */
bool layout_key_with(const struct layout *layout, uint32_t sign, unsigned modifiers, struct stroke *stroke);
/* Whether caps lock turns shift around on this key: it types a letter. */
bool layout_letter(const struct layout *layout, unsigned code);

/* The key of a keysym that stands for a key and not for a sign ("F1", "Shift_L"; X11's keysymdef.h). 0: none. */
unsigned keysym_key(uint32_t keysym);
/* The sign of a keysym, for a dead key its combining mark. 0: none. */
uint32_t keysym_sign(uint32_t keysym);

#endif
