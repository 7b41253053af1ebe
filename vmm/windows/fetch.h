/*
 * Downloads of large files that can be trusted afterwards: several connections, taken up again after any interruption,
 * tried again with growing pauses, and checked by size and SHA-256 before the file has its name.
 *
 * While it is not whole the file is called NAME.part, and NAME.part.state beside it says which pieces are there and
 * what the server called this version of it (ETag, Last-Modified); a piece is noted when it is on the disk. The last
 * step of all renames NAME.part to NAME.
 */
#ifndef CASEMENT_WINDOWS_FETCH_H
#define CASEMENT_WINDOWS_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"

struct fetch_progress {
    const char *title;    /* what is done: "Downloading", "Verifying" */
    uint64_t done, size;  /* bytes; size 0: not known yet */
    uint64_t rate;        /* bytes a second, over the last few seconds */
    int64_t seconds_left; /* -1: unknown */
};

struct fetch_options {
    const char *url, *path; /* http, https; path is the file's name when it is whole */
    uint64_t size;          /* what it must have; 0: any of at least minimum */
    uint64_t minimum;       /* bytes: less is no such file (an error page); 0: no minimum */
    const char *sha256;     /* 64 hexadecimal digits; NULL: unknown, and the result says what it was */
    unsigned connections;   /* 1 to 16; 0: 4 */
    const char *ca_file;    /* PEM; NULL: the system's */
    const char *agent;      /* User-Agent; NULL: casement/VERSION */
    unsigned tries;         /* in a row without any progress; 0: 8 */
    unsigned pause_ms;      /* before the second try, doubled up to a minute; 0: 1000 */
    unsigned stall_seconds; /* a connection without a byte for so long is made anew; 0: 30 */
    /* From the calling thread, at least each second (but for a disk that is slower) and at the end; true: stop, which
     * keeps what is there. May be NULL.
     */
    bool (*progress)(void *opaque, const struct fetch_progress *progress);
    void *opaque;
};

/*
 * Fetches the file, which must not exist; blocking. Whatever happens, no file has the name but one that is whole,
 * verified and on the disk. digest (65 bytes, may be NULL) gets its SHA-256 in hexadecimal. 0, or with a text that
 * names the URL's host and path, the reason and the remedy: -ECANCELED stopped by progress; -ENOSPC less space than it
 * needs (asked before the first byte, and again when writing fails); -ENOENT 404 and 410; -EACCES 401 and 403; -EBADMSG
 * another size or hash (the file is put away as NAME.bad); -EPROTO no certificate to trust; -ETIMEDOUT no progress
 * after so many tries (with the last reason); -EEXIST the file is there; -ENODATA the server does not say how long it
 * is; -ESTALE it changes again and again; -EPROTONOSUPPORT and -ELOOP redirects that are not followed; -EREMOTEIO
 * another answer that is not the file; -EINVAL an option; else what the host says. Any thread, one at a time for each
 * path (the state file is locked: -EBUSY). A .part of another URL, size or version counts as nothing, and so does one
 * that neither a version nor sha256 speaks for.
 */
int fetch(const struct fetch_options *options, char *digest, struct error *error);

/* A small page into memory, for finding links: at most limit bytes, redirects followed over https only unless the URL
 * is http. *text is the caller's to free, NUL-terminated. Errors as above; -EFBIG: it is larger. */
int fetch_text(const struct fetch_options *options, uint64_t limit, char **text, struct error *error);

/* Where a URL leads in the end, by HEAD requests. *url is the caller's to free. */
int fetch_target(const struct fetch_options *options, char **url, struct error *error);

/* The SHA-256 of a file, 65 bytes; progress as above may be NULL. 0, -ECANCELED or what reading says, with a text. */
int fetch_digest(const char *path, bool (*progress)(void *opaque, const struct fetch_progress *progress), void *opaque,
                 char *digest, struct error *error);

#endif
