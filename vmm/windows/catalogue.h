/* The Windows systems that can be asked for by a short name, and where the vendor offers their media. */
#ifndef CASEMENT_WINDOWS_CATALOGUE_H
#define CASEMENT_WINDOWS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"
#include "medium.h"

struct catalogue_entry {
    const char *id;         /* win11x64-enterprise-eval, also what names its file */
    const char *short_name; /* 11e */
    const char *name;       /* for people: Windows 11 Enterprise (evaluation) */
    const char *edition;    /* the EDITIONID to choose when the medium has several */
    unsigned build;         /* the first of this system */
    /* The static link; NULL: there is none. English. */
    const char *url, *sha256;
    uint64_t size;
    /* The Evaluation Center's page and which of its links, counted among those of one language; NULL: none. */
    const char *slug;
    unsigned link;
    const char *page; /* where a person finds it */
};

/*
 * By what users write: 11, 11e, 11l, 11i, 10, 10e, 10l, 2025, 2022, 2019, 2016, an id of the table, in any case and
 * with or without "win", "windows" and "x64". NULL with a text: unknown ones get the list, systems older than those
 * that they are not supported yet.
 */
const struct catalogue_entry *catalogue_find(const char *name, struct error *error);
/* The index-th; NULL behind the last. */
const struct catalogue_entry *catalogue_at(unsigned index);

/*
 * The link to fetch for a language (en-US): the static one where it fits, else one found on the Evaluation Center's
 * page, which `get` reads (fetch_text() and fetch_target() in the program). *url is the caller's to free; *size and
 * *sha256 are set when they are known, else 0 and NULL. -ENOENT with a text that says which page to visit and where to
 * put the file; `place` is the path that it names.
 */
struct catalogue_web {
    int (*text)(void *opaque, const char *url, char **text, struct error *error);
    int (*target)(void *opaque, const char *url, char **target, struct error *error);
    void *opaque;
};
int catalogue_link(const struct catalogue_entry *entry, const char *language, const char *place,
                   const struct catalogue_web *web, char **url, uint64_t *size, const char **sha256,
                   struct error *error);
/* The same by the page alone, where the entry has a slug. */
int catalogue_page_link(const struct catalogue_entry *entry, const char *language, const char *place,
                        const struct catalogue_web *web, char **url, struct error *error);
/* -err with a text: the reason, the page to visit and where to put the file. */
int catalogue_by_hand(const struct catalogue_entry *entry, const char *language, const char *place, int err,
                      const char *reason, struct error *error);

/* What is known of the image to install before a medium of the entry is there: enough for what follows. */
struct medium_image catalogue_presume(const struct catalogue_entry *entry);
/* What the image of a medium is called among the entries, by build, edition and type; NULL: none of them. */
const struct catalogue_entry *catalogue_of(const struct medium_image *image);
/* virtio-win's folder for it: w11, w10, 2k25, 2k22, 2k19, 2k16; NULL: none. */
const char *catalogue_driver_folder(const struct medium_image *image);

#endif
