/* A request's settings, what its outcome means, and when to try again (see fetch_private.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "casement/bytes.h"
#include "casement/loop.h"
#include "fetch_private.h"

#define REDIRECTS 8L
#define BUFFER (256L * 1024)

static bool is_https(const char *url)
{
    return !strncasecmp(url, "https://", 8);
}

static bool is_digest(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

int fetch_http_complete(const struct fetch_options *given, struct fetch_options *options, struct error *error)
{
    *options = *given;
    if (!is_https(given->url) && strncasecmp(given->url, "http://", 7) != 0)
        return error_set(error, EINVAL, "%.200s: not a URL that can be fetched; give https://... or http://...",
                         given->url);
    if (given->connections > 16)
        return error_set(error, EINVAL, "%u connections: above the limit; give 1 to 16", given->connections);
    if (given->sha256 && !is_digest(given->sha256))
        return error_set(error, EINVAL, "%.80s: not a SHA-256; give 64 hexadecimal digits", given->sha256);
    options->connections = given->connections ? given->connections : 4;
    options->agent = given->agent ? given->agent : "casement/" CASEMENT_VERSION;
    options->tries = given->tries ? given->tries : 8;
    options->pause_ms = given->pause_ms ? given->pause_ms : 1000;
    options->stall_seconds = given->stall_seconds ? given->stall_seconds : 30;
    return 0;
}

void fetch_http_name(const char *url, char name[FETCH_NAME])
{
    CURLU *parts = curl_url();
    char *host = NULL, *path = NULL;

    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PATH, &path, 0) == CURLUE_OK)
        snprintf(name, FETCH_NAME, "%s%s", host, path);
    else
        snprintf(name, FETCH_NAME, "the URL");
    curl_free(host);
    curl_free(path);
    curl_url_cleanup(parts);
}

CURL *fetch_http_open(const struct fetch_options *options, char *detail)
{
    CURL *easy = curl_easy_init();
    bool set;

    if (!easy)
        return NULL;
    detail[0] = 0;
    set = curl_easy_setopt(easy, CURLOPT_URL, options->url) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_USERAGENT, options->agent) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, is_https(options->url) ? "https" : "http,https") ==
              CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
          (!options->ca_file || curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) == CURLE_OK) &&
          /* HTTP/2 would put all connections into one. */
          curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
          /* Whoever stops does not wait for a name server. */
          curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
          curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail) == CURLE_OK;
    if (set)
        return easy;
    curl_easy_cleanup(easy);
    return NULL;
}

void fetch_http_block_pipe(sigset_t *before)
{
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, before);
}

void fetch_http_restore_pipe(const sigset_t *before)
{
    const struct timespec at_once = {0};
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (!sigismember(before, SIGPIPE) && sigtimedwait(&pipe, NULL, &at_once) == SIGPIPE)
        ;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Outcomes. */

void fetch_outcome_set(struct fetch_outcome *outcome, enum fetch_verdict verdict, int err, const char *format, ...)
{
    va_list arguments;

    outcome->verdict = verdict;
    outcome->err = err;
    outcome->wait_ms = 0;
    va_start(arguments, format);
    vsnprintf(outcome->reason, sizeof outcome->reason, format, arguments);
    va_end(arguments);
}

static int error_of_status(long status)
{
    return status == 404 || status == 410   ? ENOENT
           : status == 401 || status == 403 ? EACCES
           /* 416: what was asked for came from an earlier answer. */
           : status == 408 || status == 416 || status == 425 || status == 429 || status >= 500 ? 0
                                                                                               : EREMOTEIO;
}

static void judge_status(CURL *easy, long status, struct fetch_outcome *outcome)
{
    curl_off_t wait = 0;
    int err = error_of_status(status);

    fetch_outcome_set(outcome, err ? FETCH_END : FETCH_AGAIN, err, "the server answers %ld", status);
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        outcome->wait_ms = MIN(wait, FETCH_PAUSE_MOST / 1000) * 1000;
}

void fetch_http_judge(CURL *easy, CURLcode code, const char *detail, struct fetch_outcome *outcome)
{
    static const struct {
        CURLcode code;
        int err;
    } ends[] = {
        {CURLE_PEER_FAILED_VERIFICATION, EPROTO},
        {CURLE_SSL_CACERT_BADFILE, EPROTO},
        {CURLE_SSL_ISSUER_ERROR, EPROTO},
        {CURLE_SSL_CERTPROBLEM, EPROTO},
        {CURLE_UNSUPPORTED_PROTOCOL, EPROTONOSUPPORT},
        {CURLE_TOO_MANY_REDIRECTS, ELOOP},
        {CURLE_URL_MALFORMAT, EINVAL},
        {CURLE_OUT_OF_MEMORY, ENOMEM},
    };
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    *outcome = (struct fetch_outcome){.verdict = FETCH_DONE};
    if (code == CURLE_HTTP_RETURNED_ERROR || (code == CURLE_OK && (status < 200 || status > 299)))
        judge_status(easy, status, outcome);
    else if (code != CURLE_OK)
        fetch_outcome_set(outcome, FETCH_AGAIN, 0, "%s", detail[0] ? detail : curl_easy_strerror(code));
    for (size_t n = 0; n < ARRAY_SIZE(ends); n++)
        if (code == ends[n].code) {
            outcome->verdict = FETCH_END;
            outcome->err = ends[n].err;
        }
}

int fetch_outcome_error(const struct fetch_outcome *outcome, const char *name, struct error *error)
{
    static const struct {
        int err;
        const char *remedy;
    } remedies[] = {
        {ENOENT, "the file is not there any more: give another link"},
        {EACCES, "it asks for a login or refuses this address: give another link, or the file itself"},
        {EPROTO, "is the clock right, are the authorities' certificates there (package ca-certificates)?"},
        {EPROTONOSUPPORT, "it leads away from https: give another link"},
        {ELOOP, "it leads in circles: give another link"},
        {ENOMEM, "free some memory"},
        {ENOSPC, "make room, then do it again: what is there is kept"},
        {EBADMSG, "it is not the file that was meant: give another link, or the file itself"},
    };
    const char *remedy = "give another link, or the file itself";

    for (size_t n = 0; n < ARRAY_SIZE(remedies); n++)
        if (remedies[n].err == outcome->err)
            remedy = remedies[n].remedy;
    return error_set(error, outcome->err, "%s: %s; %s", name, outcome->reason, remedy);
}

/* Patience. */

int fetch_patience_fail(struct fetch_patience *patience, unsigned round, const struct fetch_outcome *outcome,
                        const char *name, struct error *error)
{
    unsigned doublings;
    uint64_t pause;

    /* Connections that fail together are one failure. */
    if (round == patience->failures)
        patience->failures++;
    if (patience->failures >= patience->options->tries)
        return error_set(error, ETIMEDOUT, "%s: no progress after %u tries: %s; what is there is kept, try later", name,
                         patience->failures, outcome->reason);
    doublings = patience->failures > 1 ? MIN(patience->failures - 1, 16U) : 0;
    pause = MAX((uint64_t)patience->options->pause_ms << doublings, (uint64_t)outcome->wait_ms);
    patience->until_ns = clock_ns() + (int64_t)MIN(pause, patience->most_ms) * 1000000;
    return 0;
}
