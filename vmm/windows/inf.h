/*
 * A driver's INF file, as far as it says which processors the driver is for ("INF Manufacturer Section" of Microsoft's
 * Windows driver documentation). What it says is distrusted. Any thread.
 */
#ifndef CASEMENT_WINDOWS_INF_H
#define CASEMENT_WINDOWS_INF_H

#include <stddef.h>

enum inf_kind {
    INF_NO_DRIVER, /* has no [Manufacturer]: autorun.inf, and what other INFs include */
    INF_AMD64,     /* for these at least, or it names no processor */
    INF_OTHER      /* names processors, and AMD64 is none of them */
};

/* The bytes are UTF-16LE with its mark, or else anything of which ASCII is a part. */
enum inf_kind inf_kind(const void *bytes, size_t length);

#endif
