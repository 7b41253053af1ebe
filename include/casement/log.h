/*
 * One line per event on stderr, or where log_set_output() points. Any thread may write; lines never mix.
 *
 * Whatever a guest can trigger goes through log_guest(), which limits the rate.
 */
#ifndef CASEMENT_LOG_H
#define CASEMENT_LOG_H

#include <stdatomic.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format {
    LOG_TEXT, /* casement: warning: what happened */
    LOG_JSON  /* {"time":"2026-01-31T12:00:00.000Z","level":"warning","message":"what happened"} */
};

/* Lines above the level are dropped. The default is LOG_INFO. The three: before threads start. */
void log_set_level(enum log_level level);
void log_set_format(enum log_format format);
/* The descriptor stays the caller's. */
void log_set_output(int fd);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

/* One per place that a guest can reach, zero-initialised: at most one line in five seconds, with the number left out.
 */
struct log_limit {
    _Atomic int64_t next_ns;
    _Atomic unsigned dropped;
};

/* A warning about what the guest did: never more than the limit allows. */
void log_guest(struct log_limit *limit, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
