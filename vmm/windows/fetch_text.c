/* Small pages, and where links lead (see fetch.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "casement/bytes.h"
#include "casement/loop.h"
#include "fetch_private.h"

/* However slowly it trickles, a page ends after so many times the stall. */
#define TIME_STALLS 4L

struct page {
    struct fetch_options options; /* complete */
    char name[FETCH_NAME];
    struct fetch_patience patience;
    struct fetch_meter meter;
    bool head;
    uint64_t limit, used;
    bool too_large;
    char *text;   /* NUL-terminated; of a GET */
    char *target; /* of a HEAD */
};

static size_t take_body(char *data, size_t size, size_t count, void *opaque)
{
    struct page *page = opaque;
    size_t length = size * count;
    char *text;

    page->too_large = length > page->limit - page->used;
    if (page->too_large)
        return CURL_WRITEFUNC_ERROR;
    text = realloc(page->text, page->used + length + 1);
    if (!text)
        return CURL_WRITEFUNC_ERROR;
    memcpy(text + page->used, data, length);
    page->text = text;
    page->used += length;
    text[page->used] = 0;
    return length;
}

static int tell(void *opaque, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    struct page *page = opaque;

    (void)total;
    (void)up_total;
    (void)up_now;
    return fetch_meter_tell(&page->meter, (uint64_t)now, false);
}

static bool set_options(CURL *easy, struct page *page)
{
    long stall = (long)page->options.stall_seconds;

    return curl_easy_setopt(easy, CURLOPT_NOBODY, (long)page->head) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, page) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, tell) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFODATA, page) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, stall) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT, stall * TIME_STALLS) == CURLE_OK;
}

static void keep_target(struct page *page, CURL *easy, struct fetch_outcome *outcome)
{
    char *url = NULL;

    curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    page->target = strdup(url ? url : "");
    if (!page->target)
        fetch_outcome_set(outcome, FETCH_END, ENOMEM, "no memory");
}

static void request(struct page *page, struct fetch_outcome *outcome)
{
    char detail[CURL_ERROR_SIZE];
    CURL *easy = fetch_http_open(&page->options, detail);
    CURLcode code;

    free(page->text);
    page->used = 0;
    page->text = calloc(1, 1);
    if (!easy || !page->text || !set_options(easy, page)) {
        fetch_outcome_set(outcome, FETCH_END, ENOMEM, "no memory");
        curl_easy_cleanup(easy);
        return;
    }
    code = curl_easy_perform(easy);
    fetch_http_judge(easy, code, detail, outcome);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        fetch_outcome_set(outcome, FETCH_END, ECANCELED, "stopped");
    else if (page->too_large)
        fetch_outcome_set(outcome, FETCH_END, EFBIG, "it has more than %" PRIu64 " bytes", page->limit);
    else if (code == CURLE_WRITE_ERROR)
        fetch_outcome_set(outcome, FETCH_END, ENOMEM, "no memory");
    else if (outcome->verdict == FETCH_DONE && page->head)
        keep_target(page, easy, outcome);
    curl_easy_cleanup(easy);
}

/* -ECANCELED with a text: progress says so. */
static int wait_for_turn(struct page *page, struct error *error)
{
    const struct timespec moment = {.tv_nsec = FETCH_POLL_MS * 1000000L / 4};

    while (clock_ns() < page->patience.until_ns) {
        if (fetch_meter_tell(&page->meter, 0, false))
            return error_set(error, ECANCELED, "%s: stopped", page->name);
        nanosleep(&moment, NULL);
    }
    return 0;
}

static int request_until_done(struct page *page, const struct fetch_options *options, struct error *error)
{
    struct fetch_outcome outcome = {.verdict = FETCH_AGAIN};
    sigset_t before;
    int failed = fetch_http_complete(options, &page->options, error);

    if (failed < 0)
        return failed;
    fetch_http_name(options->url, page->name);
    page->patience = (struct fetch_patience){.options = &page->options, .most_ms = FETCH_PAUSE_MOST};
    page->meter =
        (struct fetch_meter){.progress = options->progress, .opaque = options->opaque, .title = "Looking for links"};
    fetch_http_block_pipe(&before);
    while (failed == 0 && outcome.verdict == FETCH_AGAIN) {
        failed = wait_for_turn(page, error);
        if (failed < 0)
            break;
        request(page, &outcome);
        if (outcome.verdict == FETCH_AGAIN)
            failed = fetch_patience_fail(&page->patience, page->patience.failures, &outcome, page->name, error);
    }
    fetch_http_restore_pipe(&before);
    return failed == 0 && outcome.verdict == FETCH_END ? fetch_outcome_error(&outcome, page->name, error) : failed;
}

int fetch_text(const struct fetch_options *options, uint64_t limit, char **text, struct error *error)
{
    struct page page = {.limit = limit};
    int failed = request_until_done(&page, options, error);

    if (failed == 0)
        *text = page.text;
    else
        free(page.text);
    return failed;
}

int fetch_target(const struct fetch_options *options, char **url, struct error *error)
{
    struct page page = {.head = true};
    int failed = request_until_done(&page, options, error);

    free(page.text);
    if (failed == 0)
        *url = page.target;
    else
        free(page.target);
    return failed;
}
