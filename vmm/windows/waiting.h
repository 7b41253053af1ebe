/*
 * What the program is while there is no machine yet: work that takes long runs on a thread of its own, page, API and
 * control socket say how far it has come, and a signal or "force off" ends it.
 */
#ifndef CASEMENT_WINDOWS_WAITING_H
#define CASEMENT_WINDOWS_WAITING_H

#include "../config.h"
#include "fetch.h"

struct waiting;

/*
 * Runs work on a thread, and serves operators on the calling one until it returns. What work returns, or -errno with a
 * text when this cannot be had. signals, SIGTERM and SIGINT, are blocked from now on.
 */
int waiting_run(const struct config *config, int (*work)(void *opaque, struct waiting *waiting, struct error *error),
                void *opaque, struct error *error);

/* What is done now, without an end that is known; a line in the log. Any thread. */
void waiting_say(struct waiting *waiting, const char *title);
/* How far it has come, as fetch_options.progress; opaque is a struct waiting. true: it is to stop. Any thread. */
bool waiting_progress(void *waiting, const struct fetch_progress *progress);

#endif
