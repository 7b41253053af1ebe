/* Progress for people who look at standard error: a line that changes on a terminal, else a line now and then. */
#ifndef CASEMENT_WINDOWS_PROGRESS_H
#define CASEMENT_WINDOWS_PROGRESS_H

#include "fetch.h"

/* All zeroes at first. One thread. */
struct progress_lines {
    const char *title; /* of the last line */
    int64_t next_ns;   /* when the next one is due, where each is one of the log */
    bool open;         /* a line on a terminal that has no end yet */
};

void progress_show(struct progress_lines *lines, const struct fetch_progress *progress);
/* Ends a line on a terminal that has no end yet. */
void progress_end(struct progress_lines *lines);

#endif
