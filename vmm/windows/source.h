/* Where a medium comes from: an image that the user has, a link, or a name of the catalogue. */
#ifndef CASEMENT_WINDOWS_SOURCE_H
#define CASEMENT_WINDOWS_SOURCE_H

#include <limits.h>

#include "casement/error.h"
#include "catalogue.h"
#include "fetch.h"

struct source {
    const char *text;                    /* as the user gave it; lives as long as that */
    const struct catalogue_entry *entry; /* NULL: a link or a file */
    bool is_link;
    const struct catalogue_web *web; /* what the vendor's page is read through; NULL: the network */
};

/*
 * A text with :// in it is a link, one with a slash or that ends with .iso a file; else it is a name of the catalogue.
 * Nothing is looked for. 0, or -EINVAL with a text that begins with `option`.
 */
int source_find(const char *option, const char *text, struct source *source, struct error *error);
/* Is a file that it names there? 0, or with a text that begins with `option`: -ENOENT, -EISDIR. */
int source_check(const char *option, const struct source *source, struct error *error);
/* Where in the folder its medium is kept, or the user's own file. language: NULL, or what was asked for. */
void source_place(const struct source *source, const char *folder, const char *language, char path[PATH_MAX]);
/* What the vendor's static link leads to in that language, where there is one. */
bool source_known(const struct source *source, const char *language, uint64_t *size, const char **sha256);
/*
 * Fetches a link or a name's medium (fetch.h): by the vendor's static link, and where there is none, or it leads to
 * nothing or to another file than the known one, by the Evaluation Center's page. options has the path and what the
 * caller wishes; a digest in it comes before the known one, and it gets the one that the file was checked against.
 * Blocking. 0, or -errno with a text, which names the page to visit when that is left.
 */
int source_fetch(const struct source *source, const char *language, struct fetch_options *options, char *digest,
                 struct error *error);

#endif
