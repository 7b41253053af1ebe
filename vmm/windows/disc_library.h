/* libisofs, for one user at a time. */
#ifndef CASEMENT_WINDOWS_DISC_LIBRARY_H
#define CASEMENT_WINDOWS_DISC_LIBRARY_H

#include <stdint.h>

#include "casement/error.h"

/* Its header wants those of integers before it, and declares functions without prototypes. */
#define LIBISOFS_WITHOUT_LIBBURN /* for struct burn_source */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <libisofs/libisofs.h>
#pragma GCC diagnostic pop

/*
 * libisofs has one message queue and one character set for the process. Who is between these two has the library to
 * itself; its messages go nowhere but into disc_library_failed().
 */
int disc_library_begin(struct error *error);
void disc_library_end(void);
/* -errno for a code of the library, with the text that it has for what went wrong. */
int disc_library_failed(int code, const char *what, struct error *error);

#endif
