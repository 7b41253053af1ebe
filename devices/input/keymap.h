/* What keys are called in a chord. Codes are those of linux/input-event-codes.h. */
#ifndef CASEMENT_KEYMAP_H
#define CASEMENT_KEYMAP_H

#include <stddef.h>

/* The key of that name (length characters, any case): "f2", "enter", "ctrl" ... 0: none. */
unsigned keymap_name(const char *name, size_t length);
/* A known name that is like this one, for a message. */
const char *keymap_like(const char *name, size_t length);

#endif
