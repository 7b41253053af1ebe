/*
 * What a system knows a disk by, made from the serial number that the operator gives: the same on every controller, so
 * that a disk that is moved from one to another is found again.
 */
#ifndef CASEMENT_IDENTIFIER_H
#define CASEMENT_IDENTIFIER_H

#include <stdint.h>

/* Three bytes that are nobody's: locally administered. */
#define IDENTIFIER_ORGANISATION 0x525400U

/* FNV-1a of a text from a basis on, the first of which is IDENTIFIER_BASIS: spread is all that is asked of it. */
#define IDENTIFIER_BASIS UINT64_C(0xCBF29CE484222325)
uint64_t identifier_hash(const char *text, uint64_t basis);
/* A world wide name in the format "IEEE registered": NAA 5, the organisation, 36 bits of the hash (SPC-4 7.8.6.6.5,
 * ACS-3 7.12.6.64). */
uint64_t identifier_wwn(const char *serial);

#endif
