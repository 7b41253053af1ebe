/* Log lines: one write() each, so that lines of several threads never mix. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "casement/log.h"
#include "casement/loop.h"

#define LINE_MAX_BYTES 1024
#define GUEST_INTERVAL_NS INT64_C(5000000000)

static enum log_level lowest = LOG_INFO;

void log_set_level(enum log_level level)
{
    lowest = level;
}

static void write_line(enum log_level level, const char *format, va_list arguments)
{
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    char line[LINE_MAX_BYTES];
    size_t used = (size_t)snprintf(line, sizeof line, "casement: %s", names[level]);
    int text = vsnprintf(line + used, sizeof line - used - 1, format, arguments);

    if (text < 0)
        return;
    used += (size_t)text;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    /* What a guest or a file put into the text must not look like a line of ours. */
    for (size_t at = 0; at < used; at++)
        if ((unsigned char)line[at] < ' ')
            line[at] = ' ';
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* nobody reads; there is no other place to say so */
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list arguments;

    if (level > lowest)
        return;
    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
    int64_t now = clock_ns();
    int64_t next = atomic_load(&limit->next_ns);
    unsigned dropped;
    va_list arguments;

    if (lowest < LOG_WARNING)
        return;
    if (now < next || !atomic_compare_exchange_strong(&limit->next_ns, &next, now + GUEST_INTERVAL_NS)) {
        atomic_fetch_add(&limit->dropped, 1);
        return;
    }
    dropped = atomic_exchange(&limit->dropped, 0);
    if (dropped)
        log_write(LOG_WARNING, "%u more warnings of the next kind were left out", dropped);
    va_start(arguments, format);
    write_line(LOG_WARNING, format, arguments);
    va_end(arguments);
}
