/* Keys as the HID keyboard page names them (HID Usage Tables 1.4, section 10). */
#ifndef CASEMENT_HID_USAGES_H
#define CASEMENT_HID_USAGES_H

#include <stdint.h>

#define HID_USAGE_LEFT_CONTROL 0xE0U /* and seven modifiers after it */
#define HID_USAGE_LAST 0xE7U

/* The usage of a key of linux/input-event-codes.h; 0: the page has none. */
uint8_t hid_usage(unsigned code);

#endif
