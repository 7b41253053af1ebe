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
        /* What a user or a file put into it stays on the one line and moves no cursor. */
        for (char *at = error->text; *at; at++)
            if ((unsigned char)*at < ' ' || *at == 0x7F)
                *at = '?';
    }
    return -err;
}
