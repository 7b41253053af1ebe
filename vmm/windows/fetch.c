/* A download as a whole: space, connections, tries, and the last steps (see fetch.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/loop.h"
#include "fetch_transfer.h"

#define CONNECTIONS 16U
/* Pieces that are asked for at once, when there is much to fetch: fewer requests. */
#define SPAN_PIECES 8U

struct run {
    struct fetch_options options; /* complete */
    const struct fetch_tuning *tuning;
    char name[FETCH_NAME];
    struct pieces *pieces;
    CURLM *multi;
    struct transfer transfers[CONNECTIONS];
    bool answered; /* what the server can do is known */
    bool ranges;
    uint64_t best; /* the most bytes that were ever there: more is progress */
    unsigned changes;
    struct fetch_patience patience;
    struct fetch_meter meter;
    struct error *error;
};

/* What to ask for. */

/* Where a byte is on its way, the end of that; else the byte itself. */
static uint64_t skip_taken(const struct run *run, uint64_t at)
{
    for (unsigned n = 0; n < CONNECTIONS; n++)
        if (run->transfers[n].easy && run->transfers[n].from <= at && at < run->transfers[n].to)
            return run->transfers[n].to;
    return at;
}

/* The first byte that is neither there nor on its way; the file's size: none. */
static uint64_t next_free(const struct run *run, uint64_t from)
{
    uint64_t size = pieces_size(run->pieces), at = pieces_missing(run->pieces, from), next = skip_taken(run, at);

    while (at < size && next != at) {
        at = pieces_missing(run->pieces, next);
        next = skip_taken(run, at);
    }
    return at;
}

/* A range of whole pieces, shorter towards the end so that no connection is left with much alone. false: nothing. */
static bool choose_range(const struct run *run, uint64_t *from, uint64_t *to)
{
    uint64_t size = pieces_size(run->pieces), left, most;

    if (!size) {
        *from = 0;
        *to = SPAN_PIECES * run->tuning->piece;
        return true;
    }
    left = size - pieces_done(run->pieces);
    most = left / run->options.connections / 2;
    *from = next_free(run, 0);
    if (*from >= size)
        return false;
    *to = pieces_end(run->pieces, *from);
    for (unsigned n = 1; n < SPAN_PIECES && *to < size && *to - *from < most && next_free(run, *to) == *to; n++)
        *to = pieces_end(run->pieces, *to);
    return true;
}

static unsigned count_active(const struct run *run)
{
    unsigned active = 0;

    for (unsigned n = 0; n < CONNECTIONS; n++)
        active += run->transfers[n].easy != NULL;
    return active;
}

/* Until a first answer has come there is one connection: it says whether more are of use. */
static int begin_transfers(struct run *run)
{
    unsigned most = run->answered && run->ranges ? run->options.connections : 1, active = count_active(run);
    uint64_t from, to;

    if (clock_ns() < run->patience.until_ns)
        return 0;
    for (unsigned n = 0; n < CONNECTIONS && active < most; n++) {
        struct transfer *transfer = &run->transfers[n];

        if (transfer->easy)
            continue;
        if (!choose_range(run, &from, &to))
            break;
        *transfer = (struct transfer){.options = &run->options, .pieces = run->pieces, .round = run->patience.failures};
        if (transfer_begin(transfer, run->multi, from, to) < 0)
            return error_set(run->error, ENOMEM, "%s: no memory for a connection; free some", run->name);
        active++;
    }
    return 0;
}

static void end_transfers(struct run *run, const struct transfer *but)
{
    for (unsigned n = 0; n < CONNECTIONS; n++)
        if (&run->transfers[n] != but)
            transfer_end(&run->transfers[n], run->multi);
}

/* What became of it. */

static int start_anew(struct run *run)
{
    if (++run->changes > run->options.tries)
        return error_set(run->error, ESTALE, "%s: changes on the server again and again; try later", run->name);
    log_info("%s: has changed on the server: fetched anew", run->name);
    end_transfers(run, NULL);
    pieces_forget(run->pieces);
    run->answered = false;
    run->best = 0;
    return 0;
}

/* A request is over: its outcome counts, its place is free. */
static int settle(struct run *run, struct transfer *transfer)
{
    const struct fetch_outcome outcome = transfer->outcome;
    const struct error error = transfer->error;
    unsigned round = transfer->round;

    transfer_end(transfer, run->multi);
    switch (outcome.verdict) {
    case FETCH_DONE:
        return 0;
    case FETCH_AGAIN:
        log_info("%s: %s; tried again", run->name, outcome.reason);
        return fetch_patience_fail(&run->patience, round, &outcome, run->name, run->error);
    case FETCH_CHANGED:
        return start_anew(run);
    case FETCH_END:
        break;
    }
    return outcome.reason[0] ? fetch_outcome_error(&outcome, run->name, run->error)
                             : error_set(run->error, outcome.err, "%s", error.text);
}

static int settle_finished(struct run *run)
{
    struct CURLMsg *message;
    int left, failed = 0;

    while (failed == 0 && (message = curl_multi_info_read(run->multi, &left))) {
        struct transfer *transfer = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer_judge(transfer, message->data.result);
        failed = settle(run, transfer);
    }
    return failed;
}

static int settle_stalled(struct run *run)
{
    int64_t limit = clock_ns() - run->options.stall_seconds * FETCH_SECOND_NS;
    int failed = 0;

    for (unsigned n = 0; n < CONNECTIONS && failed == 0; n++) {
        struct transfer *transfer = &run->transfers[n];

        if (!transfer->easy || transfer->heard_ns > limit)
            continue;
        fetch_outcome_set(&transfer->outcome, FETCH_AGAIN, 0, "nothing came for %u seconds",
                          run->options.stall_seconds);
        failed = settle(run, transfer);
    }
    return failed;
}

/* What the answers have said of the server, and whether anything came. */
static void look_around(struct run *run)
{
    for (unsigned n = 0; n < CONNECTIONS; n++) {
        const struct transfer *transfer = &run->transfers[n];

        if (!transfer->easy || !transfer->checked)
            continue;
        if (!run->answered)
            run->ranges = true;
        run->answered = true;
        if (transfer->whole && run->ranges) {
            run->ranges = false;
            log_debug("%s: the server sends no ranges: one connection", run->name);
            end_transfers(run, transfer);
        }
    }
    run->meter.size = pieces_size(run->pieces) ? pieces_size(run->pieces) : run->options.size;
    if (pieces_done(run->pieces) > run->best) {
        run->best = pieces_done(run->pieces);
        run->patience.failures = 0;
    }
}

/* Fetching. */

/* For bytes, or for the next try. */
static int wait_and_receive(struct run *run)
{
    int64_t pause_ms = (run->patience.until_ns - clock_ns()) / 1000000 + 1;
    int most = count_active(run) ? FETCH_POLL_MS : (int)MAX(MIN(pause_ms, FETCH_POLL_MS), 0), running;

    if (curl_multi_poll(run->multi, NULL, 0, most, NULL) == CURLM_OK &&
        curl_multi_perform(run->multi, &running) == CURLM_OK)
        return 0;
    return error_set(run->error, ENOMEM, "%s: no memory for the transfer; free some", run->name);
}

static int step(struct run *run)
{
    int failed = begin_transfers(run);

    if (failed == 0)
        failed = wait_and_receive(run);
    if (failed < 0)
        return failed;
    look_around(run);
    failed = settle_finished(run);
    if (failed == 0)
        failed = settle_stalled(run);
    if (failed == 0)
        failed = pieces_commit(run->pieces, false, run->error);
    return failed;
}

/* A server that sends more than the file is only found out at the end of its answer. */
static bool finished(const struct run *run)
{
    return pieces_whole(run->pieces) && !count_active(run);
}

static int fetch_pieces(struct run *run)
{
    bool stop = fetch_meter_tell(&run->meter, pieces_done(run->pieces), true);
    int failed = 0, kept;

    while (failed == 0 && !stop && !finished(run)) {
        failed = step(run);
        stop = failed == 0 && fetch_meter_tell(&run->meter, pieces_done(run->pieces), finished(run));
    }
    if (stop)
        failed = error_set(run->error, ECANCELED, "%s: stopped; what is there is kept, the next call goes on with it",
                           run->name);
    end_transfers(run, NULL);
    kept = pieces_commit(run->pieces, true, failed < 0 ? NULL : run->error);
    return failed < 0 ? failed : kept;
}

static int verify(struct run *run, char digest[65])
{
    const struct fetch_options *options = &run->options;
    int failed = fetch_digest(pieces_part(run->pieces), options->progress, options->opaque, digest, run->error);

    if (failed < 0 || !options->sha256 || !strcasecmp(digest, options->sha256))
        return failed;
    failed = pieces_put_away(run->pieces, run->error);
    return failed < 0
               ? failed
               : error_set(run->error, EBADMSG,
                           "%s: its SHA-256 is %s and should be %s; it is kept as %.100s.bad and not used: fetch "
                           "it again, or give another link",
                           run->name, digest, options->sha256, options->path);
}

static int open_pieces(struct run *run)
{
    const struct pieces_options options = {.path = run->options.path,
                                           .url = run->options.url,
                                           .size = run->options.size,
                                           .piece = run->tuning->piece,
                                           .verified = run->options.sha256 != NULL};
    int failed = pieces_open(&options, &run->pieces, run->error);
    uint64_t size;

    if (failed < 0)
        return failed;
    size = pieces_size(run->pieces) ? pieces_size(run->pieces) : run->options.size;
    run->best = pieces_done(run->pieces);
    run->meter.size = size;
    if (run->best)
        log_info("%s: goes on with %" PRIu64 " MiB that are there", run->name, (uint64_t)(run->best / MiB));
    return size ? pieces_check_space(run->pieces, size, run->error) : 0;
}

static int run_all(struct run *run, char digest[65])
{
    int failed = open_pieces(run);

    if (failed < 0)
        return failed;
    run->multi = curl_multi_init();
    if (!run->multi)
        return error_set(run->error, ENOMEM, "%s: no memory for the transfer; free some", run->name);
    failed = fetch_pieces(run);
    if (failed == 0)
        failed = verify(run, digest);
    return failed < 0 ? failed : pieces_finish(run->pieces, run->error);
}

int fetch_tuned(const struct fetch_options *options, const struct fetch_tuning *tuning, char *digest,
                struct error *error)
{
    struct run run = {.tuning = tuning, .error = error};
    char own[65];
    sigset_t before;
    int failed = fetch_http_complete(options, &run.options, error);

    if (failed < 0)
        return failed;
    fetch_http_name(options->url, run.name);
    run.patience = (struct fetch_patience){.options = &run.options, .most_ms = tuning->pause_most_ms};
    run.meter = (struct fetch_meter){.progress = options->progress, .opaque = options->opaque, .title = "Downloading"};
    fetch_http_block_pipe(&before);
    failed = run_all(&run, digest ? digest : own);
    curl_multi_cleanup(run.multi);
    pieces_close(run.pieces);
    fetch_http_restore_pipe(&before);
    return failed;
}

int fetch(const struct fetch_options *options, char *digest, struct error *error)
{
    static const struct fetch_tuning tuning = {.piece = FETCH_PIECE, .pause_most_ms = FETCH_PAUSE_MOST};

    return fetch_tuned(options, &tuning, digest, error);
}
