/* `casement windows`: which systems there are, what a medium is, and a medium from where its vendor offers it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../commands.h"
#include "../size.h"
#include "../tool.h"
#include "casement/bytes.h"
#include "catalogue.h"
#include "fetch.h"
#include "medium.h"

#define LEAST_MEDIUM (100 * MiB) /* what is smaller is a page that says why there is none */

enum { OPTION_LANGUAGE, OPTION_TO, OPTION_SHA256, OPTION_JSON, OPTIONS };
static const struct tool_option all_options[OPTIONS] = {
    {"--language", false}, {"--to", false}, {"--sha256", false}, {"--json", true}};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = number;
}

static int list(struct tool_call *call)
{
    const struct catalogue_entry *entry;

    for (unsigned n = 0; (entry = catalogue_at(n)); n++)
        fprintf(call->out, "%-5s %-44s %s\n", entry->short_name, entry->name,
                entry->url ? "can be fetched" : entry->page);
    return TOOL_GOOD;
}

static const char *architecture(const struct medium_image *image)
{
    return image->architecture == MEDIUM_AMD64   ? "x64"
           : image->architecture == MEDIUM_ARM64 ? "arm64"
           : image->architecture == MEDIUM_X86   ? "x86"
                                                 : "unknown";
}

static json_t *image_json(const struct medium_image *image)
{
    const struct catalogue_entry *entry = catalogue_of(image);

    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:b, s:s?}", "index", (int)image->index, "name",
                     image->name, "edition", image->edition, "type", image->installation_type, "architecture",
                     architecture(image), "language", image->language, "build", (int)image->build, "revision",
                     (int)image->revision, "description", image->description, "evaluation", (int)image->evaluation,
                     "version", entry ? entry->id : NULL);
}

static void medium_json(const struct tool_call *call, const struct medium *medium)
{
    json_t *images = json_array(), *json;

    for (unsigned n = 0; n < medium->image_count; n++)
        json_array_append_new(images, image_json(&medium->images[n]));
    json = json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "file", call->words[0], "file_system",
                     medium->udf ? "UDF" : "ISO 9660", "volume", medium->volume, "install", medium->install,
                     "boots_efi", (int)medium->boots_efi, "images", images);
    json_dumpf(json, call->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', call->out);
    json_decref(json);
}

/* libudfread says on standard error what it does not like; here that is said in one line. This process has one thread.
 */
static int identify_quietly(const char *path, struct medium *medium, struct error *error)
{
    int kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), result;

    if (kept >= 0 && nowhere >= 0)
        dup2(nowhere, STDERR_FILENO);
    result = medium_identify(path, medium, error);
    if (kept >= 0) {
        dup2(kept, STDERR_FILENO);
        close(kept);
    }
    if (nowhere >= 0)
        close(nowhere);
    return result;
}

static void medium_lines(const struct tool_call *call, const struct medium *medium)
{
    fprintf(call->out, "%s: %s \"%s\", %s%s\n", call->words[0], medium->udf ? "UDF" : "ISO 9660", medium->volume,
            medium->install, medium->boots_efi ? "" : "; UEFI firmware cannot start it");
    for (unsigned n = 0; n < medium->image_count; n++) {
        const struct medium_image *image = &medium->images[n];

        fprintf(call->out, "%3u  %-48s %-24s %s %s build %u.%u\n", image->index,
                *image->display_name ? image->display_name : image->name, image->edition, architecture(image),
                image->language, image->build, image->revision);
    }
}

static int identify(struct tool_call *call)
{
    struct medium *medium = calloc(1, sizeof *medium);
    int failed;

    if (!medium)
        return tool_fail(call, error_set(&call->error, ENOMEM, "%s: out of memory", call->words[0]));
    failed = identify_quietly(call->words[0], medium, &call->error);
    if (failed == 0)
        (call->values[OPTION_JSON] ? medium_json : medium_lines)(call, medium);
    free(medium);
    return failed < 0 ? tool_fail(call, failed) : TOOL_GOOD;
}

static void show_left(int64_t seconds)
{
    if (seconds < 0)
        fputs("        ", stderr);
    else
        fprintf(stderr, "%2" PRId64 ":%02" PRId64 ":%02" PRId64, seconds / 3600, seconds / 60 % 60, seconds % 60);
}

static bool show_progress(void *opaque, const struct fetch_progress *progress)
{
    unsigned percent = progress->size ? (unsigned)(100.0 * progress->done / progress->size) : 0;

    (void)opaque;
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%s: %3u %%  %" PRIu64 " of %" PRIu64 " MB  %.1f MB/s  ", progress->title, percent,
                progress->done / 1000000, progress->size / 1000000, progress->rate / 1e6);
        show_left(progress->seconds_left);
        fputs("\x1B[K", stderr);
    }
    return interrupted;
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

/* The link of what was asked for, which is one itself or a name of the catalogue; *link is the caller's to free. */
static int find_link(struct tool_call *call, const char *place, char **link, struct fetch_options *options)
{
    static const struct catalogue_web web = {page_text, link_target, NULL};
    const char *word = call->words[0], *language = call->values[OPTION_LANGUAGE];
    const struct catalogue_entry *entry;

    if (strstr(word, "://")) {
        *link = strdup(word);
        return *link ? 0 : error_set(&call->error, ENOMEM, "%s: out of memory", word);
    }
    entry = catalogue_find(word, &call->error);
    if (!entry)
        return -EINVAL;
    return catalogue_link(entry, language ? language : "en-US", place, &web, link, &options->size, &options->sha256,
                          &call->error);
}

static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = interrupt};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int fetch_medium(struct tool_call *call)
{
    struct fetch_options options = {.path = call->values[OPTION_TO], .progress = show_progress};
    char digest[65] = "", *link = NULL;
    int failed = 0;

    if (!options.path)
        failed = error_set(&call->error, EINVAL, "%s: where to? give --to FILE", call->words[0]);
    if (failed == 0)
        failed = find_link(call, options.path, &link, &options);
    if (failed == 0 && call->values[OPTION_SHA256])
        options.sha256 = call->values[OPTION_SHA256];
    if (failed == 0) {
        options.url = link;
        options.minimum = options.size ? 0 : LEAST_MEDIUM;
        catch_signals();
        failed = fetch(&options, digest, &call->error);
        if (isatty(STDERR_FILENO))
            fputc('\n', stderr);
    }
    free(link);
    if (failed < 0)
        return tool_fail(call, failed);
    fprintf(call->out, "%s: whole, SHA-256 %s%s\n", options.path, digest,
            options.sha256 ? ", as it must be" : "; nobody has said what it must be");
    return TOOL_GOOD;
}

static const struct tool_command commands[] = {
    {"list", "", "the systems that can be asked for by name", 0, 0, list},
    {"identify", "ISO", "what an installation medium has on it", 1, 1U << OPTION_JSON, identify},
    {"fetch", "NAME|URL", "get a medium, taken up again where it was cut off, and verified", 1,
     1U << OPTION_LANGUAGE | 1U << OPTION_TO | 1U << OPTION_SHA256, fetch_medium},
};

static const char notes[] =
    "\n"
    "  --to FILE         fetch: where the medium goes; never overwritten\n"
    "  --language TAG    fetch: en-US (the default), de-DE, ...: of evaluations, as their page has them\n"
    "  --sha256 DIGEST   fetch: what it must be; of the systems of the list in English it is known\n"
    "  --json            identify: as JSON\n\n"
    "The exit status is 0, or 1 when the host or the network failed, 2 when it was refused.\n";

int windows_main(int count, char **arguments, FILE *out)
{
    static const struct tool tool = {"windows", "media of Windows",   all_options, OPTIONS,
                                     commands,  ARRAY_SIZE(commands), notes};

    return tool_main(&tool, count, arguments, out);
}
