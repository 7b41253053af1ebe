/* See identifier.h. */
#include "casement/identifier.h"

uint64_t identifier_hash(const char *text, uint64_t basis)
{
    for (; *text; text++)
        basis = (basis ^ (uint8_t)*text) * UINT64_C(0x100000001B3);
    return basis;
}

uint64_t identifier_wwn(const char *serial)
{
    uint64_t hash = identifier_hash(serial, IDENTIFIER_BASIS);

    return UINT64_C(5) << 60 | (uint64_t)IDENTIFIER_ORGANISATION << 36 | (hash & ((UINT64_C(1) << 36) - 1));
}
