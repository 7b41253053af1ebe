/* Scan codes of a PS/2 keyboard, sets 1 and 2, from Linux key codes. */
#ifndef CASEMENT_SCANCODES_H
#define CASEMENT_SCANCODES_H

#include <stdbool.h>
#include <stdint.h>

#define SCANCODE_MAX 8 /* bytes of the longest sequence */

/*
 * The bytes that the key sends in set 1 or 2; translated is set 2 after the controller's translation, which is set 1.
 * The number of bytes, 0 for a key that a PS/2 keyboard has not.
 */
unsigned scancode(unsigned code, bool down, unsigned set, uint8_t bytes[SCANCODE_MAX]);

#endif
