/* The monitor's description of itself (VESA E-EDID 1.4). */
#ifndef CASEMENT_EDID_H
#define CASEMENT_EDID_H

#include <stdint.h>

#define EDID_BYTES 128

/* A monitor whose preferred mode is width x height at 60 Hz, with reduced blanking. Both below 4096, width a
 * multiple of 8. */
void edid_make(uint8_t edid[EDID_BYTES], unsigned width, unsigned height);

#endif
