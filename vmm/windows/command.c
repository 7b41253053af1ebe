/*
 * `casement windows`: runs a Windows, which installs itself first; and tools: which systems there are, what a medium
 * is, a medium from where its vendor offers it, room for another system.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../commands.h"
#include "../config.h"
#include "../options.h"
#include "../size.h"
#include "../tool.h"
#include "casement/bytes.h"
#include "catalogue.h"
#include "fetch.h"
#include "install.h"
#include "journey.h"
#include "medium.h"
#include "progress.h"
#include "source.h"

enum { OPTION_LANGUAGE, OPTION_TO, OPTION_SHA256, OPTION_JSON, OPTION_STATE, OPTIONS };
static const struct tool_option all_options[OPTIONS] = {
    {"--language", false}, {"--to", false}, {"--sha256", false}, {"--json", true}, {"--state", false}};

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
    failed = medium_identify(call->words[0], medium, &call->error);
    if (failed == 0)
        (call->values[OPTION_JSON] ? medium_json : medium_lines)(call, medium);
    free(medium);
    return failed < 0 ? tool_fail(call, failed) : TOOL_GOOD;
}

static bool show_progress(void *opaque, const struct fetch_progress *progress)
{
    if (isatty(STDERR_FILENO))
        progress_show(opaque, progress);
    return interrupted;
}

static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = interrupt};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int fetch_medium(struct tool_call *call)
{
    struct progress_lines lines = {0};
    struct fetch_options options = {.path = call->values[OPTION_TO], .progress = show_progress, .opaque = &lines};
    const char *language = call->values[OPTION_LANGUAGE];
    char digest[65] = "";
    struct source source;
    int failed = source_find("fetch", call->words[0], &source, &call->error);

    if (failed == 0 && !source.entry && !source.is_link)
        failed = error_set(&call->error, EINVAL, "fetch %s: names a file; give a name of the list or a link",
                           call->words[0]);
    if (failed == 0 && !options.path)
        failed = error_set(&call->error, EINVAL, "%s: where to? give --to FILE", call->words[0]);
    if (failed == 0) {
        options.sha256 = call->values[OPTION_SHA256];
        catch_signals();
        failed = source_fetch(&source, language, &options, digest, &call->error);
        progress_end(&lines);
    }
    if (failed < 0)
        return tool_fail(call, failed);
    fprintf(call->out, "%s: whole, SHA-256 %s%s\n", options.path, digest,
            options.sha256 ? ", as it must be" : "; nobody has said what it must be");
    return TOOL_GOOD;
}

/* With the lock of a machine that runs there. */
static int set_aside(struct tool_call *call)
{
    const char *folder = call->values[OPTION_STATE] ? call->values[OPTION_STATE] : "windows";
    struct config config = {.state = (char *)folder};
    char disk[PATH_MAX], place[PATH_MAX];
    struct journey journey;
    int state =
        access(folder, F_OK) < 0
            ? error_set(&call->error, errno, "--state %s: %s; name the folder of a Windows", folder, strerror(errno))
            : state_take(&config, &call->error);
    int failed = MIN(state, 0);

    snprintf(disk, sizeof disk, "%s/data.img", folder);
    if (access(disk, F_OK) < 0)
        snprintf(disk, sizeof disk, "%s/data.qcow2", folder);
    /* A journey that cannot be read is put aside like any other. */
    if (failed == 0 && journey_read(folder, &journey, &call->error) < 0)
        journey = (struct journey){0};
    if (failed == 0)
        failed = journey_set_aside(folder, disk, place, sizeof place, &call->error);
    if (state >= 0)
        close(state);
    if (failed < 0)
        return tool_fail(call, failed);
    if (*place)
        fprintf(call->out, "%s: what was there lies in %s now; the next start installs anew\n", folder, place);
    else
        fprintf(call->out, "%s: nothing to set aside\n", folder);
    if (*place && *journey.disk)
        fprintf(call->out,
                "%s: stays as it is; whatever is on it is started and never wiped, so fill it with zeroes to install "
                "on it anew\n",
                journey.disk);
    return TOOL_GOOD;
}

static const struct tool_command commands[] = {
    {"list", "", "the systems that can be asked for by name", 0, 0, list},
    {"identify", "ISO", "what an installation medium has on it", 1, 1U << OPTION_JSON, identify},
    {"fetch", "NAME|URL", "get a medium, taken up again where it was cut off, and verified", 1,
     1U << OPTION_LANGUAGE | 1U << OPTION_TO | 1U << OPTION_SHA256, fetch_medium},
    {"set-aside", "", "keep the old disk in backups/, so that the next start installs anew", 0, 1U << OPTION_STATE,
     set_aside},
};

static const char notes[] =
    "\n"
    "  --to FILE         fetch: where the medium goes; never overwritten\n"
    "  --language TAG    fetch: en-US (the default), de-DE, ...: of evaluations, as their page has them\n"
    "  --sha256 DIGEST   fetch: what it must be; of the systems of the list in English it is known\n"
    "  --json            identify: as JSON\n"
    "  --state FOLDER    set-aside: the folder of that Windows (default windows)\n\n"
    "The exit status is 0, or 1 when the host or the network failed, 2 when it was refused.\n";

int windows_main(int count, char **arguments, FILE *out)
{
    static const struct tool tool = {"windows", "media and disks of Windows", all_options, OPTIONS,
                                     commands,  ARRAY_SIZE(commands),         notes};

    if (count == 1 && !strcmp(arguments[0], "--help")) {
        fputs("casement windows [OPTION...]         runs a Windows, which is installed first where there is none\n"
              "casement windows config [OPTION...]  what that with these options and this environment would use\n\n",
              out);
        tool_main(&tool, count, arguments, out);
        fputs("\nOptions of running:\n", out);
        options_help(OPTIONS_WINDOWS, out);
        return TOOL_GOOD;
    }
    if (count == 0 || !strncmp(arguments[0], "--", 2))
        return install_run(&(struct install){.count = count, .arguments = arguments});
    if (!strcmp(arguments[0], "config"))
        return install_config(&(struct install){.count = count - 1, .arguments = arguments + 1});
    return tool_main(&tool, count, arguments, out);
}
