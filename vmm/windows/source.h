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
/*
 * The link of what is none itself, by the vendor's page where need be: *link is the caller's to free. options gets size
 * and digest where they are known, and the least size. Blocking. 0, or -errno with a text.
 */
int source_link(const struct source *source, const char *language, const char *place, char **link,
                struct fetch_options *options, struct error *error);

#endif
