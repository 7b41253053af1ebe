/* The text of a failure (see error.h). */
#include <stdarg.h>
#include <stdio.h>

#include "casement/error.h"

int error_set(struct error *error, int err, const char *format, ...)
{
    if (error) {
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return -err;
}
