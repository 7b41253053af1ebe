/*
 * A file that is not whole yet: NAME.part, and NAME.part.state that says which pieces of it are on the disk, of which
 * version of which URL. The state is written in two places by turns, each with a digest, so that one of them is good
 * whenever the machine stops. What is damaged, or of another URL, size or piece size, counts as nothing.
 *
 * One thread. The state file is locked (an open file description lock) from opening to closing.
 */
#ifndef CASEMENT_FETCH_PIECES_H
#define CASEMENT_FETCH_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"

#define VERSION_ETAG 256U
#define VERSION_DATE 64U

/* What the server calls a version of a file (RFC 9110, 8.8); empty: it does not say. */
struct fetch_version {
    char etag[VERSION_ETAG], modified[VERSION_DATE];
};

struct pieces_options {
    const char *path, *url; /* copied or digested */
    uint64_t size;          /* what the file must have; 0: unknown */
    uint64_t piece;         /* bytes; larger files get larger pieces */
    bool verified;          /* a digest is known: pieces of before may be trusted without a version */
};

struct pieces;
/* 0, or with a text: -EEXIST the file is there, -EBUSY, -ENOMEM or what the host says. */
int pieces_open(const struct pieces_options *options, struct pieces **result, struct error *error);
/* Ends it; the files stay, unless there is nothing in them. NULL is fine. */
void pieces_close(struct pieces *pieces);

/* 0: neither an earlier call nor an answer has said it. */
uint64_t pieces_size(const struct pieces *pieces);
/* Bytes that are there, on the disk or about to be. */
uint64_t pieces_done(const struct pieces *pieces);
bool pieces_whole(const struct pieces *pieces);
/* The first byte at or behind `from` that is missing; pieces_size() when none is. */
uint64_t pieces_missing(const struct pieces *pieces, uint64_t from);
/* Where the piece that holds the byte ends. */
uint64_t pieces_end(const struct pieces *pieces, uint64_t at);

const struct fetch_version *pieces_version(const struct pieces *pieces);
/* Is an answer with these about the same file? */
bool pieces_match(const struct pieces *pieces, uint64_t size, const struct fetch_version *version);

/* Is there space for a file of that size, with what is there already? -ENOSPC with a text. */
int pieces_check_space(const struct pieces *pieces, uint64_t size, struct error *error);
/* What is there is of another version: it counts no more. Its bytes go when the next version begins. */
void pieces_forget(struct pieces *pieces);
/* The first answer has said size and version: an empty NAME.part and a state that says so. 0 or -errno with a text. */
int pieces_begin(struct pieces *pieces, uint64_t size, const struct fetch_version *version, struct error *error);
/* What of it is not there yet is written. 0 or -errno. */
int pieces_write(struct pieces *pieces, const void *data, uint64_t length, uint64_t offset);
/* Writes what has been received to the disk, then notes it, when there is enough of it or `all` is set. 0 or -errno
 * with a text. */
int pieces_commit(struct pieces *pieces, bool all, struct error *error);

/* NAME.part, for texts and for verifying. */
const char *pieces_part(const struct pieces *pieces);
/* It is whole and verified: it gets its name, durably. 0, or with a text: -EEXIST or what the host says. */
int pieces_finish(struct pieces *pieces, struct error *error);
/* It is not the file that was wanted: NAME.bad. 0 or -errno with a text. */
int pieces_put_away(struct pieces *pieces, struct error *error);

#endif
