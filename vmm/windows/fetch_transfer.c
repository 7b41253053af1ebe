/* One range of a file on one connection (see fetch_transfer.h; RFC 9110, 13.1.5, 14 and 15.3.7). */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "casement/loop.h"
#include "fetch_transfer.h"

/* Headers. */

/* A decimal number, and nothing that strtoull() takes beside it. false: none, or too large. */
static bool read_number(const char **at, uint64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)**at))
        return false;
    errno = 0;
    *value = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0 && *value <= INT64_MAX;
}

/* "bytes 0-99/1000" or "bytes * /1000" (without the space). */
static void read_content_range(struct fetch_answer *answer, const char *at)
{
    if (strncasecmp(at, "bytes ", 6) != 0)
        return;
    at += 6;
    answer->unsatisfied = !strncmp(at, "*/", 2);
    if (answer->unsatisfied)
        at++;
    else if (!read_number(&at, &answer->first) || *at++ != '-' || !read_number(&at, &answer->last))
        return;
    answer->ranged = *at++ == '/' && read_number(&at, &answer->total) && !*at && !answer->unsatisfied &&
                     answer->first <= answer->last && answer->last < answer->total;
}

/* What is longer than such things are is taken for absent. */
static void read_text(char *out, size_t size, const char *text)
{
    size_t length = strlen(text);

    if (length < size)
        memcpy(out, text, length + 1);
}

static void read_header(struct fetch_answer *answer, const char *name, const char *value)
{
    const char *at = value;

    if (!strcasecmp(name, "content-range"))
        read_content_range(answer, value);
    else if (!strcasecmp(name, "content-length"))
        answer->has_length = read_number(&at, &answer->length);
    else if (!strcasecmp(name, "etag"))
        read_text(answer->version.etag, sizeof answer->version.etag, value);
    else if (!strcasecmp(name, "last-modified"))
        read_text(answer->version.modified, sizeof answer->version.modified, value);
}

static size_t take_header(char *data, size_t size, size_t count, void *opaque)
{
    struct transfer *transfer = opaque;
    size_t length = MIN(size * count, 1023);
    char line[1024], *value;

    transfer->heard_ns = clock_ns();
    memcpy(line, data, length);
    line[length] = 0;
    while (length && isspace((unsigned char)line[length - 1]))
        line[--length] = 0;
    if (!strncmp(line, "HTTP/", 5))
        transfer->answer = (struct fetch_answer){0};
    value = strchr(line, ':');
    if (value) {
        *value++ = 0;
        read_header(&transfer->answer, line, value + strspn(value, " \t"));
    }
    return size * count;
}

/* What the answer is about. */

static bool refuse_size(struct transfer *transfer, uint64_t total)
{
    const struct fetch_options *options = transfer->options;

    if (options->size && total != options->size)
        fetch_outcome_set(&transfer->outcome, FETCH_END, EBADMSG,
                          "the server's file has %" PRIu64 " bytes, not %" PRIu64, total, options->size);
    else if (total < MAX(options->minimum, 1U))
        fetch_outcome_set(&transfer->outcome, FETCH_END, EBADMSG,
                          "the server's file has %" PRIu64 " bytes, which is too little", total);
    return transfer->outcome.verdict != FETCH_DONE;
}

/* The size of the file that the answer is about; 0 with an outcome: it does not say, or contradicts itself. */
static uint64_t size_of_answer(struct transfer *transfer, long status)
{
    const struct fetch_answer *answer = &transfer->answer;
    uint64_t known = transfer->options->size ? transfer->options->size : pieces_size(transfer->pieces);

    if (status == 206) {
        if (answer->ranged && answer->first == transfer->from && answer->last < transfer->to &&
            (!answer->has_length || answer->length == answer->last - answer->first + 1))
            return answer->total;
        fetch_outcome_set(&transfer->outcome, FETCH_AGAIN, 0,
                          "the server sends another range than it was asked for, from %" PRIu64 " and not %" PRIu64,
                          answer->first, transfer->from);
        return 0;
    }
    if (answer->has_length || known)
        return answer->has_length ? answer->length : known;
    fetch_outcome_set(&transfer->outcome, FETCH_END, ENODATA,
                      "the server does not say how long the file is, so nobody could tell whether it is whole");
    return 0;
}

/* Before the first byte of the body; the outcome says why not. */
static void check_answer(struct transfer *transfer)
{
    const struct fetch_answer *answer = &transfer->answer;
    uint64_t total;
    long status = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206) {
        fetch_outcome_set(&transfer->outcome, FETCH_END, EREMOTEIO, "the server answers %ld without the file", status);
        return;
    }
    total = size_of_answer(transfer, status);
    if (transfer->outcome.verdict != FETCH_DONE || refuse_size(transfer, total))
        return;
    if (!pieces_size(transfer->pieces)) {
        int failed = pieces_begin(transfer->pieces, total, &answer->version, &transfer->error);

        if (failed < 0)
            fetch_outcome_set(&transfer->outcome, FETCH_END, -failed, "%s", "");
    } else if (!pieces_match(transfer->pieces, total, &answer->version)) {
        fetch_outcome_set(&transfer->outcome, FETCH_CHANGED, 0, "the file has changed on the server");
    }
    transfer->whole = status == 200;
    transfer->position = transfer->whole ? 0 : transfer->from;
    transfer->end = transfer->whole ? total : answer->last + 1;
    transfer->checked = transfer->outcome.verdict == FETCH_DONE;
}

static size_t take_body(char *data, size_t size, size_t count, void *opaque)
{
    struct transfer *transfer = opaque;
    uint64_t length = (uint64_t)size * count;
    int failed;

    transfer->heard_ns = clock_ns();
    if (!transfer->checked)
        check_answer(transfer);
    if (!transfer->checked)
        return CURL_WRITEFUNC_ERROR;
    if (length > transfer->end - transfer->position) {
        fetch_outcome_set(&transfer->outcome, transfer->whole ? FETCH_END : FETCH_AGAIN, EBADMSG,
                          "the server sends more than %" PRIu64 " bytes", transfer->end);
        return CURL_WRITEFUNC_ERROR;
    }
    failed = pieces_write(transfer->pieces, data, length, transfer->position);
    if (failed < 0) {
        bool full = failed == -ENOSPC || failed == -EDQUOT;

        fetch_outcome_set(&transfer->outcome, FETCH_END, full ? ENOSPC : -failed, "%s", "");
        error_set(&transfer->error, -failed, "%s: %s; make room, then do it again: what is there is kept",
                  pieces_part(transfer->pieces), full ? "no space left" : strerror(-failed));
        return CURL_WRITEFUNC_ERROR;
    }
    transfer->position += length;
    return length;
}

/* 416: the file ends before what was asked for, so it is another one. */
static void check_unsatisfied(struct transfer *transfer)
{
    const struct fetch_answer *answer = &transfer->answer;
    long status = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 416 || !answer->unsatisfied)
        return;
    transfer->outcome.verdict = FETCH_DONE;
    if (!refuse_size(transfer, answer->total))
        fetch_outcome_set(&transfer->outcome,
                          answer->total == pieces_size(transfer->pieces) ? FETCH_AGAIN : FETCH_CHANGED, 0,
                          "the server does not have the range that it was asked for");
}

/* The request. */

/* Another version must come whole, not as a range of it; weak tags may not be used here. */
static bool add_condition(struct transfer *transfer)
{
    const struct fetch_version *version = pieces_version(transfer->pieces);
    const char *validator =
        version->etag[0] && strncmp(version->etag, "W/", 2) != 0 ? version->etag : version->modified;
    char line[VERSION_ETAG + 16];

    if (!pieces_size(transfer->pieces) || !validator[0])
        return true;
    snprintf(line, sizeof line, "If-Range: %s", validator);
    transfer->headers = curl_slist_append(NULL, line);
    return transfer->headers && curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK;
}

int transfer_begin(struct transfer *transfer, CURLM *multi, uint64_t from, uint64_t to)
{
    char range[48];

    transfer->easy = fetch_http_open(transfer->options, transfer->detail);
    if (!transfer->easy)
        return -ENOMEM;
    transfer->from = from;
    transfer->to = to;
    transfer->heard_ns = clock_ns();
    snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, from, to - 1);
    if (add_condition(transfer) && curl_easy_setopt(transfer->easy, CURLOPT_RANGE, range) == CURLE_OK &&
        curl_easy_setopt(transfer->easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
        curl_easy_setopt(transfer->easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
        curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
        curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
        curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer) == CURLE_OK &&
        curl_multi_add_handle(multi, transfer->easy) == CURLM_OK)
        return 0;
    transfer_end(transfer, multi);
    return -ENOMEM;
}

void transfer_judge(struct transfer *transfer, CURLcode code)
{
    if (transfer->outcome.verdict != FETCH_DONE)
        return; /* a callback has said why */
    fetch_http_judge(transfer->easy, code, transfer->detail, &transfer->outcome);
    if (transfer->outcome.verdict != FETCH_DONE) {
        check_unsatisfied(transfer);
        return;
    }
    if (!transfer->checked)
        check_answer(transfer);
    if (transfer->checked && transfer->position < transfer->end)
        fetch_outcome_set(&transfer->outcome, FETCH_AGAIN, 0, "the server ended the connection too early");
}

void transfer_end(struct transfer *transfer, CURLM *multi)
{
    if (!transfer->easy)
        return;
    curl_multi_remove_handle(multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    *transfer = (struct transfer){.options = transfer->options, .pieces = transfer->pieces};
}
