/* Where a medium comes from (see source.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/log.h"
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

static const struct catalogue_web *web_of(const struct source *source)
{
    static const struct catalogue_web network = {page_text, link_target, NULL};

    return source->web ? source->web : &network;
}

bool source_known(const struct source *source, const char *language, uint64_t *size, const char **sha256)
{
    const struct catalogue_entry *entry = source->entry;

    if (!entry || !entry->url || strcmp(tag_of(language), ENGLISH) != 0)
        return false;
    *size = entry->size;
    *sha256 = entry->sha256;
    return true;
}

/* In a few words, of what a later try would not change; NULL: it might. */
static const char *given_up(int failed)
{
    switch (failed) {
    case -ENOENT:
        return "the vendor's link leads nowhere";
    case -EACCES:
        return "the vendor's server refuses its link";
    case -EBADMSG:
        return "the vendor's link leads to another file than the known one, or to a damaged one";
    case -EREMOTEIO:
    case -ENODATA:
    case -ESTALE:
    case -ELOOP:
    case -EPROTONOSUPPORT:
        return "the vendor's link leads to no file";
    default:
        return NULL;
    }
}

/* What is asked for, and where the answers go. */
struct request {
    const struct source *source;
    const char *tag, *sha256; /* the language; what the user says that it must be, or NULL */
    struct fetch_options *options;
    char *digest;
    struct error *error;
};

/* sha256: what is known; the user's word comes before it. */
static int fetch_link(const struct request *request, const char *link, uint64_t size, const char *sha256)
{
    struct fetch_options *options = request->options;
    int failed;

    options->url = link;
    options->size = size;
    options->minimum = size ? 0 : LEAST_MEDIUM;
    options->sha256 = request->sha256 ? request->sha256 : sha256;
    failed = fetch(options, request->digest, request->error);
    options->url = NULL;
    return failed;
}

static int by_hand(const struct request *request, int failed)
{
    log_warning("%s", request->error->text);
    return catalogue_by_hand(request->source->entry, request->tag, request->options->path, -failed, given_up(failed),
                             request->error);
}

/* The static link has failed so; it may be what the page has as well. */
static int fetch_by_page(const struct request *request, int failed)
{
    const struct catalogue_entry *entry = request->source->entry;
    const struct error reason = *request->error;
    char *link = NULL;
    int found;

    log_info("%s: looked for on the Evaluation Center's page, for the known link is of no use", entry->name);
    found = catalogue_page_link(entry, request->tag, request->options->path, web_of(request->source), &link,
                                request->error);
    if (found < 0) {
        log_warning("%s", reason.text);
        return found;
    }
    if (!strcmp(link, entry->url)) {
        *request->error = reason;
    } else {
        log_warning("%s", reason.text);
        failed = fetch_link(request, link, 0, NULL);
    }
    free(link);
    return given_up(failed) ? by_hand(request, failed) : failed;
}

int source_fetch(const struct source *source, const char *language, struct fetch_options *options, char *digest,
                 struct error *error)
{
    const struct request request = {source, tag_of(language), options->sha256, options, digest, error};
    const struct catalogue_entry *entry = source->entry;
    const char *sha256 = NULL;
    char *link = NULL;
    uint64_t size = 0;
    int failed;

    if (!entry)
        return fetch_link(&request, source->text, 0, NULL);
    failed = catalogue_link(entry, request.tag, options->path, web_of(source), &link, &size, &sha256, error);
    if (failed < 0)
        return failed;
    failed = fetch_link(&request, link, size, sha256);
    /* Another file than the user wants is no fault of the link's. */
    if (given_up(failed) && !(request.sha256 && failed == -EBADMSG))
        failed = sha256 && entry->slug ? fetch_by_page(&request, failed) : by_hand(&request, failed);
    free(link);
    return failed;
}
