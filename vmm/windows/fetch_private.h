/* What the files of the downloads share: a request's settings and its outcome, patience, and the meter for people. */
#ifndef CASEMENT_FETCH_PRIVATE_H
#define CASEMENT_FETCH_PRIVATE_H

#include <curl/curl.h>
#include <signal.h>

#include "fetch.h"

#define FETCH_SECOND_NS INT64_C(1000000000)
#define FETCH_NAME 256U /* a URL's host and path, cut */
#define FETCH_PIECE (8ULL << 20)
#define FETCH_PAUSE_MOST 60000U /* milliseconds, whatever the server asks for */
#define FETCH_POLL_MS 200       /* how long a stop may go unnoticed */

/* The options with every default filled in, or -EINVAL with a text that says which one cannot be used. */
int fetch_http_complete(const struct fetch_options *given, struct fetch_options *options, struct error *error);
/* What a text calls the URL: host and path, without a password or a query, which may hold secrets. */
void fetch_http_name(const char *url, char name[FETCH_NAME]);
/*
 * A handle with what all requests have in common: who is trusted, where redirects may lead, no signals. detail (of
 * CURL_ERROR_SIZE) gets libcurl's own words and lives as long as the handle. NULL: no memory.
 */
CURL *fetch_http_open(const struct fetch_options *options, char *detail);
/* libcurl's sockets may raise SIGPIPE: blocked for the calling thread between the two. */
void fetch_http_block_pipe(sigset_t *before);
void fetch_http_restore_pipe(const sigset_t *before);

/* How a request ended. */
struct fetch_outcome {
    enum fetch_verdict {
        FETCH_DONE,
        FETCH_AGAIN,   /* may work later */
        FETCH_CHANGED, /* the server has another version of the file now */
        FETCH_END,     /* never will */
    } verdict;
    int err;         /* positive; of FETCH_END */
    int64_t wait_ms; /* as the server asked; 0: it did not */
    char reason[192];
};
/* By what libcurl returned and the status. A file's content is not its matter. */
void fetch_http_judge(CURL *easy, CURLcode code, const char *detail, struct fetch_outcome *outcome);
/* The outcome becomes this, with a reason as of printf. */
void fetch_outcome_set(struct fetch_outcome *outcome, enum fetch_verdict verdict, int err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* FETCH_END as an error's text, with what to do. */
int fetch_outcome_error(const struct fetch_outcome *outcome, const char *name, struct error *error);

/* When the next try is due, and when there have been enough in vain. Zero-initialised but for the first two. */
struct fetch_patience {
    const struct fetch_options *options; /* complete ones */
    unsigned most_ms;                    /* the longest pause */
    unsigned failures;                   /* in a row */
    int64_t until_ns;                    /* no request before */
};
/* A try that began when `round` tries had failed has failed too: 0, or -ETIMEDOUT with a text when that was the last.
 */
int fetch_patience_fail(struct fetch_patience *patience, unsigned round, const struct fetch_outcome *outcome,
                        const char *name, struct error *error);

/* Tells the user how it goes, at most four times a second, with a rate that is that of the last few seconds. */
#define FETCH_SAMPLES 8U
struct fetch_meter {
    bool (*progress)(void *opaque, const struct fetch_progress *progress);
    void *opaque;
    const char *title;
    uint64_t size;
    int64_t next_ns;
    unsigned count; /* of all samples ever; the last FETCH_SAMPLES of them are kept */
    struct {
        int64_t ns;
        uint64_t done;
    } samples[FETCH_SAMPLES];
};
/* true: stop. With force it tells in any case. */
bool fetch_meter_tell(struct fetch_meter *meter, uint64_t done, bool force);

/* fetch() with the sizes that tests need. */
struct fetch_tuning {
    uint64_t piece;         /* bytes */
    unsigned pause_most_ms; /* the longest pause */
};
int fetch_tuned(const struct fetch_options *options, const struct fetch_tuning *tuning, char *digest,
                struct error *error);

#endif
