/* Where a medium comes from (see source.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "locales.h"
#include "source.h"

#define LEAST_MEDIUM (100 * MiB) /* what is smaller is a page that says why there is none */
#define ENGLISH "en-US"

static bool is_file_name(const char *text)
{
    size_t length = strlen(text);

    return strchr(text, '/') || (length > 4 && !strcasecmp(text + length - 4, ".iso"));
}

int source_find(const char *option, const char *text, struct source *source, struct error *error)
{
    struct error reason;

    *source = (struct source){.text = text, .is_link = strstr(text, "://")};
    if (source->is_link)
        return strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0
                   ? error_set(error, EINVAL, "%s %s: only http and https are spoken; give such a link", option, text)
                   : 0;
    if (is_file_name(text))
        return 0;
    source->entry = catalogue_find(text, &reason);
    return source->entry ? 0 : error_set(error, EINVAL, "%s %s", option, reason.text);
}

int source_check(const char *option, const struct source *source, struct error *error)
{
    struct stat info;

    if (source->entry || source->is_link)
        return 0;
    if (stat(source->text, &info) < 0)
        return error_set(error, errno, "%s %s: %s; name a disc image that is there", option, source->text,
                         strerror(errno));
    if (S_ISDIR(info.st_mode))
        return error_set(error, EISDIR, "%s %s: is a folder; name a disc image in it", option, source->text);
    return 0;
}

/* The tag, with the capitals that a page has it in. */
static const char *tag_of(const char *language)
{
    const struct locale *locale = language ? locale_find(language) : NULL;

    return locale ? locale->tag : ENGLISH;
}

void source_place(const struct source *source, const char *folder, const char *language, char path[PATH_MAX])
{
    const char *tag = tag_of(language);

    if (source->is_link)
        snprintf(path, PATH_MAX, "%s/medium-%08lx.iso", folder,
                 crc32(0, (const Bytef *)source->text, (uInt)strlen(source->text)));
    else if (!source->entry)
        snprintf(path, PATH_MAX, "%s", source->text);
    else if (!strcmp(tag, ENGLISH))
        snprintf(path, PATH_MAX, "%s/%s.iso", folder, source->entry->id);
    else
        snprintf(path, PATH_MAX, "%s/%s-%s.iso", folder, source->entry->id, tag);
}

static int page_text(void *opaque, const char *url, char **text, struct error *error)
{
    (void)opaque;
    return fetch_text(&(struct fetch_options){.url = url}, MiB, text, error);
}

static int link_target(void *opaque, const char *url, char **target, struct error *error)
{
    (void)opaque;
    return fetch_target(&(struct fetch_options){.url = url}, target, error);
}

int source_link(const struct source *source, const char *language, const char *place, char **link,
                struct fetch_options *options, struct error *error)
{
    static const struct catalogue_web web = {page_text, link_target, NULL};
    int failed = 0;

    if (source->entry) {
        failed =
            catalogue_link(source->entry, tag_of(language), place, &web, link, &options->size, &options->sha256, error);
    } else {
        *link = strdup(source->text);
        failed = *link ? 0 : error_set(error, ENOMEM, "%s: out of memory", source->text);
    }
    options->minimum = options->size ? 0 : LEAST_MEDIUM;
    return failed;
}
