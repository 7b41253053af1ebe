/* From a wish to a running Windows, which is installed first where there is none: `casement windows`, and the
 * container. */
#ifndef CASEMENT_WINDOWS_INSTALL_H
#define CASEMENT_WINDOWS_INSTALL_H

#include "../options.h"

/* What is wished; all of it stays the caller's, and is kept until the machine has ended. */
struct install {
    int count; /* of arguments[], which are options (options.h) */
    char **arguments;
    const struct option_value *values; /* the same by other names (options_parse_with()); NULL: none */
    size_t value_count;
    const char *const *warnings; /* said first, once the options are right */
    size_t warning_count;
    /* Makes what the options name and is not there yet, before it is looked at; NULL: nothing. 0 or -errno with a text.
     */
    int (*make)(void *opaque, struct error *error);
    void *opaque;
};

/* On the thread that becomes the machine's main thread. Returns the exit status; what went wrong has been said. */
int install_run(const struct install *install);
/* Says what it would use, for `casement windows config`. */
int install_config(const struct install *install);

#endif
