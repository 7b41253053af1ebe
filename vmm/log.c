/* Log lines: one write() each, so that lines of several threads never mix. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/loop.h"
#include "casement/utf8.h"

#define TEXT_MAX_BYTES 1000
#define GUEST_INTERVAL_NS INT64_C(5000000000)

static enum log_level lowest = LOG_INFO;
static enum log_format form = LOG_TEXT;
static int output = STDERR_FILENO;

void log_set_level(enum log_level level)
{
    lowest = level;
}

void log_set_format(enum log_format format)
{
    form = format;
}

void log_set_output(int fd)
{
    output = fd;
}

/* What a guest or a file put into a text must not look like a line of ours. */
static void flatten(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

/* One line of at most size bytes; the length. */
static size_t plain_line(enum log_level level, const char *text, char *line, size_t size)
{
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    size_t used = (size_t)snprintf(line, size - 1, "casement: %s%s", names[level], text);

    used = MIN(used, size - 2);
    line[used++] = '\n';
    return used;
}

/* What is no UTF-8 would be no JSON either: a question mark for each such byte. */
static size_t json_text(const char *text, char *to)
{
    size_t left = strlen(text), used = 0;

    while (left) {
        uint32_t character;
        unsigned taken = utf8_take(text, left, &character);

        if (*text == '"' || *text == '\\')
            to[used++] = '\\';
        if (taken)
            memcpy(to + used, text, taken);
        else
            to[used] = '?';
        taken = MAX(taken, 1U);
        used += taken;
        text += taken;
        left -= taken;
    }
    return used;
}

static size_t json_line(enum log_level level, const char *text, char *line, size_t size)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    struct timespec now;
    struct tm utc;
    size_t used;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    used = strftime(line, size, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(line + used, size - used, ".%03ldZ\",\"level\":\"%s\",\"message\":\"",
                             now.tv_nsec / 1000000, names[level]);
    used += json_text(text, line + used);
    return used + (size_t)snprintf(line + used, size - used, "\"}\n");
}

static void write_line(enum log_level level, const char *format, va_list arguments)
{
    char text[TEXT_MAX_BYTES], line[2 * TEXT_MAX_BYTES + 128];
    size_t length;

    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        return;
    flatten(text);
    length = (form == LOG_JSON ? json_line : plain_line)(level, text, line, sizeof line);
    if (write(output, line, length) < 0)
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
