/* Progress for people (see progress.h). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "casement/log.h"
#include "casement/loop.h"
#include "progress.h"

#define LOG_NS INT64_C(30000000000)

static void describe(const struct fetch_progress *progress, char *text, size_t size)
{
    unsigned percent = progress->size ? (unsigned)(100.0 * (double)progress->done / (double)progress->size) : 0;
    int64_t left = progress->seconds_left;
    int used = snprintf(text, size, "%s: %3u %%  %" PRIu64 " of %" PRIu64 " MB  %.1f MB/s", progress->title, percent,
                        progress->done / 1000000, progress->size / 1000000, (double)progress->rate / 1e6);

    if (left >= 0)
        snprintf(text + used, size - (size_t)used, "  %" PRId64 ":%02" PRId64 ":%02" PRId64 " left", left / 3600,
                 left / 60 % 60, left % 60);
}

void progress_show(struct progress_lines *lines, const struct fetch_progress *progress)
{
    bool another = !lines->title || strcmp(lines->title, progress->title) != 0;
    char text[192];

    describe(progress, text, sizeof text);
    if (isatty(STDERR_FILENO)) {
        if (another)
            progress_end(lines);
        fprintf(stderr, "\r%s\x1B[K", text);
        lines->open = true;
    } else if (another || clock_ns() >= lines->next_ns) {
        log_info("%s", text);
        lines->next_ns = clock_ns() + LOG_NS;
    }
    lines->title = progress->title;
}

void progress_end(struct progress_lines *lines)
{
    if (lines->open)
        fputc('\n', stderr);
    *lines = (struct progress_lines){0};
}
