/* `casement image`: makes, looks at, mends and copies disk images that no machine has open. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "commands.h"
#include "image.h"
#include "size.h"
#include "tool.h"

enum option {
    OPTION_FORMAT,
    OPTION_CLUSTER_SIZE,
    OPTION_REFCOUNT_BITS,
    OPTION_BACKING,
    OPTION_BACKING_FORMAT,
    OPTION_FROM_FORMAT,
    OPTION_FROM_BACKING,
    OPTION_FROM_BACKING_FORMAT,
    OPTION_LAZY,
    OPTION_NO_BACKING,
    OPTION_UNSAFE,
    OPTION_JSON,
    OPTIONS
};
static const struct tool_option all_options[OPTIONS] = {
    {"--format", false},         {"--cluster-size", false},
    {"--refcount-bits", false},  {"--backing", false},
    {"--backing-format", false}, {"--from-format", false},
    {"--from-backing", false},   {"--from-backing-format", false},
    {"--lazy-refcounts", true},  {"--no-backing", true},
    {"--unsafe", true},          {"--json", true},
};
#define BIT(name) (1U << OPTION_##name)
#define MAKING (BIT(FORMAT) | BIT(CLUSTER_SIZE) | BIT(REFCOUNT_BITS) | BIT(LAZY))

static int read_format(struct tool_call *call, enum option option, enum block_format *format)
{
    const char *value = call->values[option];

    *format = value && !strcmp(value, "qcow2") ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
    if (value && strcmp(value, "raw") != 0 && strcmp(value, "qcow2") != 0)
        return error_set(&call->error, EINVAL, "%s %s: no such format; give raw or qcow2", all_options[option].name,
                         value);
    return 0;
}

/* What create and convert make. */
static int read_making(struct tool_call *call, struct image_options *options)
{
    const char *bits = call->values[OPTION_REFCOUNT_BITS];
    uint64_t cluster = 0;
    int failed = read_format(call, OPTION_FORMAT, &options->format);

    if (failed == 0)
        failed = read_format(call, OPTION_BACKING_FORMAT, &options->backing_format);
    if (failed == 0 && call->values[OPTION_CLUSTER_SIZE])
        failed = size_parse(call->values[OPTION_CLUSTER_SIZE], &cluster, &call->error);
    if (failed < 0)
        return failed;
    if (cluster && (cluster < 4 * KiB || cluster > 2 * MiB || (cluster & (cluster - 1))))
        return error_set(&call->error, EINVAL, "--cluster-size %s: not a power of two from 4K to 2M",
                         call->values[OPTION_CLUSTER_SIZE]);
    options->cluster_bits = cluster ? (unsigned)__builtin_ctzll(cluster) : 0;
    options->refcount_bits = bits ? (unsigned)strtoul(bits, NULL, 10) : 0;
    if (bits && !options->refcount_bits)
        return error_set(&call->error, EINVAL, "--refcount-bits %s: give 1, 2, 4, 8, 16, 32 or 64", bits);
    options->lazy_refcounts = call->values[OPTION_LAZY] != NULL;
    options->backing = call->values[OPTION_BACKING];
    if (options->format == BLOCK_FORMAT_RAW && (cluster || bits || options->lazy_refcounts || options->backing))
        return error_set(&call->error, EINVAL, "%s: a raw image has no such things; add --format qcow2", options->path);
    return 0;
}

static void progress(uint64_t done, uint64_t all)
{
    static unsigned last = 101;
    unsigned percent = (unsigned)(done * 100.0 / all);
    char bar[41];

    if (!isatty(STDERR_FILENO) || percent == last)
        return;
    last = percent;
    for (unsigned n = 0; n < sizeof bar - 1; n++)
        bar[n] = n < percent * (sizeof bar - 1) / 100 ? '#' : '.';
    bar[sizeof bar - 1] = 0;
    fprintf(stderr, "\r[%s] %3u %%%s", bar, percent, percent == 100 ? "\n" : "");
}

static void show_size(char text[32], uint64_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    double value = (double)size;

    for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
        value /= 1024;
    snprintf(text, 32, "%.*f %s", unit && value < 100 ? 1 : 0, value, units[unit]);
}

static int create(struct tool_call *call)
{
    struct image_options options = {.path = call->words[0]};
    char size[32] = "";
    int failed = read_making(call, &options);

    if (failed == 0)
        failed = size_parse(call->words[1], &options.size, &call->error);
    if (failed == 0)
        failed = image_create(&options, &call->error);
    if (failed < 0)
        return tool_fail(call, failed);
    show_size(size, options.size);
    fprintf(call->out, "%s: made, a disk of %s\n", options.path, size);
    return TOOL_GOOD;
}

static void info_json(const struct tool_call *call, const struct image_info *info, enum block_format format)
{
    json_t *json =
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "file", call->words[0], "format",
                  format == BLOCK_FORMAT_QCOW2 ? "qcow2" : "raw", "size", (json_int_t)info->size, "file_bytes",
                  (json_int_t)info->file_bytes, "allocated_bytes", (json_int_t)info->allocated_bytes);

    if (format == BLOCK_FORMAT_QCOW2) {
        json_t *more = json_pack("{s:i, s:I, s:i, s:i, s:b, s:b, s:b}", "version", (int)info->version, "cluster_size",
                                 (json_int_t)1 << info->cluster_bits, "refcount_bits", (int)info->refcount_bits,
                                 "snapshots", (int)info->snapshots, "lazy_refcounts", (int)info->lazy_refcounts,
                                 "dirty", (int)info->dirty, "corrupt", (int)info->corrupt);

        json_object_update(json, more);
        json_decref(more);
        /* A name that is not UTF-8 is left out. */
        if (info->backing[0])
            json_object_set_new(json, "backing", json_string(info->backing));
        if (info->backing_format[0])
            json_object_set_new(json, "backing_format", json_string(info->backing_format));
    }
    json_dumpf(json, call->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', call->out);
    json_decref(json);
}

/* A name out of a file moves no cursor. */
static void print_name(FILE *out, const char *what, const char *name)
{
    fprintf(out, "%s", what);
    for (; *name; name++)
        fputc((unsigned char)*name < ' ' || *name == 0x7F ? '?' : *name, out);
    fputc('\n', out);
}

static int info(struct tool_call *call)
{
    struct image_info info = {0};
    enum block_format format = BLOCK_FORMAT_RAW;
    char size[32], allocated[32];
    int failed = read_format(call, OPTION_FORMAT, &format);

    if (failed == 0)
        failed = image_info(call->words[0], format, call->values[OPTION_FORMAT], &info, &call->error);
    if (failed < 0)
        return tool_fail(call, failed);
    if (call->values[OPTION_JSON]) {
        info_json(call, &info, format);
        return TOOL_GOOD;
    }
    show_size(size, info.size);
    show_size(allocated, info.allocated_bytes);
    fprintf(call->out, "size:       %s (%" PRIu64 " bytes)\nspace used: %s\n", size, info.size, allocated);
    if (format == BLOCK_FORMAT_RAW)
        return TOOL_GOOD;
    fprintf(call->out, "format:     qcow2 version %u, clusters of %u KiB, refcounts of %u bits%s\n", info.version,
            (1U << info.cluster_bits) / 1024, info.refcount_bits, info.lazy_refcounts ? ", lazy" : "");
    if (info.backing[0])
        print_name(call->out, "lies on:    ", info.backing);
    if (info.snapshots)
        fprintf(call->out, "snapshots:  %u\n", info.snapshots);
    fprintf(call->out, "state:      %s\n",
            info.corrupt ? "damaged; `casement image repair` mends it"
            : info.dirty ? "was not closed; the next opening counts its clusters again"
                         : "closed");
    return TOOL_GOOD;
}

static int check_or_repair(struct tool_call *call, bool repair)
{
    struct image_findings findings;
    int failed = image_check(call->words[0], repair, &findings, &call->error);
    bool clean = failed == 0 && !findings.errors && !findings.leaks;

    if (failed < 0)
        return tool_fail(call, failed);
    if (findings.errors)
        fprintf(call->out, "%s: %" PRIu64 " errors, the first: %s\n", call->words[0], findings.errors, findings.first);
    if (findings.leaks)
        fprintf(call->out, "%s: %" PRIu64 " clusters are counted that nothing refers to; they only cost space\n",
                call->words[0], findings.leaks);
    if (clean)
        fprintf(call->out, "%s: no errors; %" PRIu64 " clusters of data, %" PRIu64 " compressed, %" PRIu64 " zeroes\n",
                call->words[0], findings.mapped, findings.compressed, findings.zeroed);
    else
        fprintf(call->out, "%s: %s\n", call->words[0],
                repair ? "repaired" : "repair it with `casement image repair`; make a copy before");
    return clean || repair ? TOOL_GOOD : findings.errors ? EXIT_CODE_IMAGE_DAMAGED : EXIT_CODE_IMAGE_LEAKS;
}

static int check(struct tool_call *call)
{
    return check_or_repair(call, false);
}

static int repair(struct tool_call *call)
{
    return check_or_repair(call, true);
}

static int grow(struct tool_call *call)
{
    enum block_format format = BLOCK_FORMAT_RAW;
    uint64_t size = 0;
    char text[32];
    int failed = read_format(call, OPTION_FORMAT, &format);

    if (failed == 0)
        failed = size_parse(call->words[1], &size, &call->error);
    if (failed == 0)
        failed = image_grow(call->words[0], format, call->values[OPTION_FORMAT], size, &call->error);
    if (failed < 0)
        return tool_fail(call, failed);
    show_size(text, size);
    fprintf(call->out, "%s: now a disk of %s\n", call->words[0], text);
    return TOOL_GOOD;
}

static int read_source(struct tool_call *call, struct image_source *source)
{
    static const struct block_terms terms = IMAGE_TERMS("--from-format", "--from-backing FILE");
    static const struct block_terms backing_terms = IMAGE_TERMS("--from-backing-format", NULL);
    int failed = read_format(call, OPTION_FROM_FORMAT, &source->format);

    source->path = call->words[0];
    source->terms = &terms;
    source->backing_terms = &backing_terms;
    source->format_given = call->values[OPTION_FROM_FORMAT] != NULL;
    source->backing = call->values[OPTION_FROM_BACKING];
    return failed < 0 ? failed : read_format(call, OPTION_FROM_BACKING_FORMAT, &source->backing_format);
}

static int convert(struct tool_call *call)
{
    struct image_options options = {.path = call->words[1]};
    struct image_source source = {0};
    int failed = read_making(call, &options);

    if (failed == 0)
        failed = read_source(call, &source);
    if (failed == 0)
        failed = image_convert(&source, &options, progress, &call->error);
    if (failed < 0)
        return tool_fail(call, failed);
    fprintf(call->out, "%s: made of %s\n", options.path, source.path);
    return TOOL_GOOD;
}

static int rebase(struct tool_call *call)
{
    static const struct block_terms terms = IMAGE_TERMS("--backing-format", NULL);
    const char *backing = call->values[OPTION_BACKING];
    struct image_source image = {0}, below = {.path = backing,
                                              .format_given = call->values[OPTION_BACKING_FORMAT] != NULL,
                                              .terms = &terms};
    int failed = read_source(call, &image);

    image.format = BLOCK_FORMAT_QCOW2;
    if (failed == 0)
        failed = read_format(call, OPTION_BACKING_FORMAT, &below.format);
    if (failed == 0 && !backing == !call->values[OPTION_NO_BACKING])
        failed = error_set(&call->error, EINVAL,
                           "%s: what shall it lie on? give --backing FILE or --no-backing, one of them", image.path);
    if (failed == 0 && !call->values[OPTION_UNSAFE])
        failed = image_copy_differences(&image, &below, progress, &call->error);
    if (failed == 0)
        failed = image_set_backing(image.path, backing, below.format, &call->error);
    if (failed < 0)
        return tool_fail(call, failed);
    fprintf(call->out, "%s: lies on %s now\n", image.path, backing ? backing : "nothing");
    return TOOL_GOOD;
}

static const struct tool_command commands[] = {
    {"create", "FILE SIZE", "make an empty disk; with --backing one that lies on another image", 2,
     MAKING | BIT(BACKING) | BIT(BACKING_FORMAT), create},
    {"info", "FILE", "say what an image is", 1, BIT(FORMAT) | BIT(JSON), info},
    {"check", "FILE", "look for errors in a qcow2 image", 1, 0, check},
    {"repair", "FILE", "mend a qcow2 image", 1, 0, repair},
    {"grow", "FILE SIZE", "make a disk larger", 2, BIT(FORMAT), grow},
    {"convert", "FROM TO", "copy an image into a new one", 2,
     MAKING | BIT(FROM_FORMAT) | BIT(FROM_BACKING) | BIT(FROM_BACKING_FORMAT), convert},
    {"rebase", "FILE", "let a qcow2 image lie on another image, or on none", 1,
     BIT(BACKING) | BIT(BACKING_FORMAT) | BIT(FROM_BACKING) | BIT(FROM_BACKING_FORMAT) | BIT(NO_BACKING) | BIT(UNSAFE),
     rebase},
};

static const char notes[] =
    "\nSizes are bytes, or have K, M, G or T behind them: 20G. A format is raw (where none is given) or qcow2; it "
    "is\n"
    "never guessed. Nothing is overwritten.\n\n"
    "  --format FORMAT               of the image; convert: of the new one\n"
    "  --cluster-size SIZE           of a new qcow2 image, 4K to 2M (64K)\n"
    "  --refcount-bits N             of a new qcow2 image, 1 to 64 (16)\n"
    "  --lazy-refcounts              of a new qcow2 image: faster flushes, a longer opening after a crash\n"
    "  --backing FILE                what the image lies on; rebase: from now on; --backing-format FORMAT\n"
    "  --no-backing                  rebase: nothing\n"
    "  --from-backing FILE           what FROM, or the image before rebase, lies on; --from-backing-format FORMAT\n"
    "  --from-format FORMAT          convert: of FROM\n"
    "  --unsafe                      rebase: change the name only; the new one has the same contents\n"
    "  --json                        info: as JSON\n\n"
    "The exit status is 0, or 1 when the host failed, 2 when it was refused; of check 6 when it found errors, 7 "
    "when\n"
    "it found clusters that only cost space.\n";

int image_main(int count, char **arguments, FILE *out)
{
    static const struct tool tool = {
        "image", "disk images that no machine uses", all_options, OPTIONS, commands, ARRAY_SIZE(commands), notes};

    return tool_main(&tool, count, arguments, out);
}
