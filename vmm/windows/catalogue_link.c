/* Where a medium can be fetched: the static link, or one of those on the Evaluation Center's page (see catalogue.h). */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "catalogue.h"

#define LINKS 128U
#define LINK_MOST 512U

struct links {
    char *urls[LINKS];
    unsigned count;
};

static void links_free(struct links *links)
{
    for (unsigned n = 0; n < links->count; n++)
        free(links->urls[n]);
    links->count = 0;
}

/* Reading the page. */

/* An ampersand as HTML writes it, at the text; its length, 0: none. */
static size_t escaped_ampersand(const char *at)
{
    static const char *const ways[] = {"&amp;", "&#38;", "&#038;", "&#x26;"};

    for (size_t n = 0; n < ARRAY_SIZE(ways); n++)
        if (!strncasecmp(at, ways[n], strlen(ways[n])))
            return strlen(ways[n]);
    return 0;
}

/* The link that begins with its host at the text, with https in front. false: too long for one. */
static bool read_link(const char *at, char url[LINK_MOST])
{
    size_t used = (size_t)snprintf(url, LINK_MOST, "https://");

    while (*at && !isspace((unsigned char)*at) && !strchr("\"'<>\\)", *at)) {
        size_t escape = escaped_ampersand(at);

        if (used + 1 >= LINK_MOST)
            return false;
        url[used++] = *at;
        at += escape ? escape : 1;
    }
    url[used] = 0;
    return true;
}

static bool has_link(const struct links *links, const char *url)
{
    for (unsigned n = 0; n < links->count; n++)
        if (!strcmp(links->urls[n], url))
            return true;
    return false;
}

/* Every link once, in the page's order. -ENOMEM. */
static int find_links(const char *page, struct links *links)
{
    static const char start[] = "go.microsoft.com/fwlink";
    char url[LINK_MOST];

    for (const char *at = strcasestr(page, start); at && links->count < LINKS; at = strcasestr(at + 1, start)) {
        /* https://other.example/go.microsoft.com/... is not what it looks like. */
        bool host = at >= page + 2 && !strncmp(at - 2, "//", 2);

        if (!host || !read_link(at, url) || has_link(links, url))
            continue;
        links->urls[links->count] = strdup(url);
        if (!links->urls[links->count])
            return -ENOMEM;
        links->count++;
    }
    return 0;
}

/* Choosing. */

/* Is there such a parameter in the query, in any case? */
static bool has_parameter(const char *url, const char *name, const char *value)
{
    size_t name_length = strlen(name), value_length = strlen(value);
    const char *at = strchr(url, '?');

    for (; at; at = strchr(at, '&')) {
        at++;
        if (!strncasecmp(at, name, name_length) && at[name_length] == '=' &&
            !strncasecmp(at + name_length + 1, value, value_length) &&
            (!at[name_length + 1 + value_length] || strchr("&#", at[name_length + 1 + value_length])))
            return true;
    }
    return false;
}

/* DE of de-DE, RS of sr-Latn-RS. */
static const char *country_of(const char *language)
{
    const char *dash = strrchr(language, '-');

    return dash ? dash + 1 : language;
}

static bool names_language(const char *target, const char *language)
{
    static const char *const others[][2] = {{"ja-jp", "jp-jp"}, {"zh-tw", "cn-tw"}};

    if (strcasestr(target, language))
        return true;
    for (size_t n = 0; n < ARRAY_SIZE(others); n++)
        if (!strcasecmp(language, others[n][0]) && strcasestr(target, others[n][1]))
            return true;
    return false;
}

/* The index-th link whose query is about the language: 0 and the link (NULL: none of them is), or -ENOENT: there are
 * some, but not so many. */
static int choose_by_query(const struct links *links, const char *language, unsigned index, const char **link)
{
    unsigned seen = 0;

    *link = NULL;
    for (unsigned n = 0; n < links->count; n++) {
        const char *url = links->urls[n];

        if (has_parameter(url, "culture", language) && has_parameter(url, "country", country_of(language)) &&
            seen++ == index) {
            *link = url;
            return 0;
        }
    }
    return seen ? -ENOENT : 0;
}

/* What is asked for, and where the answer goes. */
struct search {
    const struct catalogue_entry *entry;
    const char *language, *place;
    const struct catalogue_web *web;
    char **url;
    struct error *error;
};

int catalogue_by_hand(const struct catalogue_entry *entry, const char *language, const char *place, int err,
                      const char *reason, struct error *error)
{
    return error_set(error, err, "%s in %s: %.160s; download the ISO from %s and put it at %s", entry->name, language,
                     reason, entry->page, place);
}

/* -ENOENT, or what the web said, with where a person finds it. */
static int by_hand(const struct search *search, int err, const char *reason)
{
    return catalogue_by_hand(search->entry, search->language, search->place, err, reason, search->error);
}

static int web_failed(const struct search *search, int failed, const struct error *reason)
{
    return failed == -ECANCELED ? error_set(search->error, ECANCELED, "%s", reason->text)
                                : by_hand(search, -failed, reason->text);
}

/* The file's name says what it is for, and all systems here are for x64. NULL: nothing is wrong with it. */
static const char *wrong_with(const char *target)
{
    static const char *const others[] = {"arm64", "aarch64", "a64fre", "x86fre", "_x86"};
    const char *slash = strrchr(target, '/'), *name = slash ? slash : target;

    for (size_t n = 0; n < ARRAY_SIZE(others); n++)
        if (strcasestr(name, others[n]))
            return "the page's link leads to a medium for another processor than x64";
    /* Links that are given up lead to a search engine. */
    return strcasestr(name, ".iso") ? NULL : "the page's link leads to no ISO";
}

/* Takes the target over. */
static int accept_target(const struct search *search, char *target)
{
    const char *wrong = wrong_with(target);

    if (wrong) {
        free(target);
        return by_hand(search, ENOENT, wrong);
    }
    *search->url = target;
    return 0;
}

/* By where the links lead: one that leads nowhere is in no language. */
static int choose_by_target(const struct search *search, const struct links *links)
{
    const struct catalogue_web *web = search->web;
    unsigned seen = 0;

    for (unsigned n = 0; n < links->count; n++) {
        struct error reason = {""};
        char *target = NULL;
        int failed = web->target(web->opaque, links->urls[n], &target, &reason);

        if (failed < 0 && failed != -ENOENT && failed != -EACCES)
            return web_failed(search, failed, &reason);
        if (failed == 0 && names_language(target, search->language) && seen++ == search->entry->link)
            return accept_target(search, target);
        free(target);
    }
    return by_hand(search, ENOENT, "the Evaluation Center's page has no such link");
}

static int choose(const struct search *search, const struct links *links)
{
    const struct catalogue_web *web = search->web;
    struct error reason = {""};
    char *target = NULL;
    const char *link;
    int failed;

    if (choose_by_query(links, search->language, search->entry->link, &link) < 0)
        return by_hand(search, ENOENT, "the Evaluation Center's page has too few links in this language");
    if (!link)
        return choose_by_target(search, links);
    failed = web->target(web->opaque, link, &target, &reason);
    return failed < 0 ? web_failed(search, failed, &reason) : accept_target(search, target);
}

static int search_page(const struct search *search)
{
    struct links links = {.count = 0};
    struct error reason = {""};
    char address[160], *page = NULL;
    int failed;

    snprintf(address, sizeof address, "https://www.microsoft.com/en-us/evalcenter/download-%s", search->entry->slug);
    failed = search->web->text(search->web->opaque, address, &page, &reason);
    if (failed < 0)
        return web_failed(search, failed, &reason);
    failed = find_links(page, &links);
    free(page);
    if (failed == 0)
        failed = choose(search, &links);
    else
        failed = by_hand(search, ENOMEM, "no memory");
    links_free(&links);
    return failed;
}

int catalogue_page_link(const struct catalogue_entry *entry, const char *language, const char *place,
                        const struct catalogue_web *web, char **url, struct error *error)
{
    *url = NULL;
    return search_page(
        &(struct search){.entry = entry, .language = language, .place = place, .web = web, .url = url, .error = error});
}

int catalogue_link(const struct catalogue_entry *entry, const char *language, const char *place,
                   const struct catalogue_web *web, char **url, uint64_t *size, const char **sha256,
                   struct error *error)
{
    const struct search search = {
        .entry = entry, .language = language, .place = place, .web = web, .url = url, .error = error};
    bool fits = entry->url && !strcasecmp(language, "en-US");

    *url = NULL;
    *size = 0;
    *sha256 = NULL;
    if (!fits && !entry->slug)
        return by_hand(&search, ENOENT, "the vendor has no lasting link to it");
    if (!fits)
        return search_page(&search);
    *url = strdup(entry->url);
    if (!*url)
        return by_hand(&search, ENOMEM, "no memory");
    *size = entry->size;
    *sha256 = entry->sha256;
    return 0;
}
