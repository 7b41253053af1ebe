/* A US keyboard: which key makes a sign, and what keys are called. Codes are those of linux/input-event-codes.h. */
#ifndef CASEMENT_KEYMAP_H
#define CASEMENT_KEYMAP_H

#include <stdbool.h>
#include <stddef.h>

/* The key that types the sign, and whether shift is held. false: no key does. */
bool keymap_sign(unsigned char sign, unsigned *code, bool *shift);
/* The key of that name (length characters, any case): "a", "f2", "enter", "ctrl" ... 0: none. */
unsigned keymap_name(const char *name, size_t length);
/* A known name that is like this one, for a message. */
const char *keymap_like(const char *name, size_t length);

#endif
