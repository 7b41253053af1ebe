/*
 * One request for a range of a file on one connection: it checks what the server says before it takes a byte, and gives
 * what comes to the pieces. One thread.
 */
#ifndef CASEMENT_FETCH_TRANSFER_H
#define CASEMENT_FETCH_TRANSFER_H

#include "fetch_pieces.h"
#include "fetch_private.h"

/* What the headers of the last answer say (of a redirect, then of what it leads to). */
struct fetch_answer {
    struct fetch_version version;
    bool ranged;          /* Content-Range was there and well-formed */
    bool unsatisfied;     /* it was of the form for 416 */
    uint64_t first, last; /* of Content-Range */
    uint64_t total;       /* of it; 0: not known */
    uint64_t length;      /* Content-Length, when has_length */
    bool has_length;
};

struct transfer {
    const struct fetch_options *options; /* complete ones */
    struct pieces *pieces;
    CURL *easy; /* NULL: not under way */
    struct curl_slist *headers;
    char detail[CURL_ERROR_SIZE];
    uint64_t from, to;      /* what was asked for: [from, to) */
    uint64_t position, end; /* the next byte, and where what was promised ends */
    bool checked;           /* the answer is one about the file, and about its right version */
    bool whole;             /* the server sends everything from the start */
    int64_t heard_ns;       /* when the last byte came */
    unsigned round;         /* the failures before it began */
    struct fetch_answer answer;
    struct fetch_outcome outcome;
    struct error error; /* the host's, of an outcome that has no reason of its own */
};

/* Begins in the multi handle. The transfer is zero but for options and pieces. -ENOMEM. */
int transfer_begin(struct transfer *transfer, CURLM *multi, uint64_t from, uint64_t to);
/* The request is over: says in outcome how it went. */
void transfer_judge(struct transfer *transfer, CURLcode code);
/* Takes it out of the multi handle, over or not. Nothing happens when it is not under way. */
void transfer_end(struct transfer *transfer, CURLM *multi);

#endif
