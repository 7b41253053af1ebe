/*
 * The description of the images in a WIM: XML in UTF-16LE. It goes through the parser in pieces, as UTF-8 that was
 * checked on the way. A document type, which no description has, is refused before anything in it can expand.
 */
#include <errno.h>
#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "medium_parts.h"

#define PIECE (64 * KiB)
#define DEPTH 32U

struct reader {
    const struct medium_source *source;
    struct medium *medium;
    struct error *error;
    int failed; /* why the parser was stopped */
    bool esd;
    XML_Parser parser;
    /* The elements around the one that is read, "/WIM/IMAGE/NAME"; of those that do not fit only how many. */
    char path[96];
    unsigned depth, depth_in_path;
    char text[1024]; /* of the innermost element; more is left out */
    size_t text_length;
    struct medium_image image;
    uint8_t utf16[PIECE];
    char utf8[PIECE / 2 * 3];
};

/* What is taken over of an image; size 0: a number. */
static const struct field {
    const char *path;
    size_t offset, size;
} fields[] = {
#define TEXT(path, member)                                                                                 \
    {                                                                                                      \
        "/WIM/IMAGE" path, offsetof(struct medium_image, member), sizeof((struct reader *)0)->image.member \
    }
#define NUMBER(path, member)                                        \
    {                                                               \
        "/WIM/IMAGE" path, offsetof(struct medium_image, member), 0 \
    }
    TEXT("/NAME", name),
    TEXT("/DISPLAYNAME", display_name),
    TEXT("/DESCRIPTION", description),
    TEXT("/FLAGS", flags),
    TEXT("/WINDOWS/PRODUCTNAME", product),
    TEXT("/WINDOWS/EDITIONID", edition),
    TEXT("/WINDOWS/INSTALLATIONTYPE", installation_type),
    TEXT("/WINDOWS/LANGUAGES/DEFAULT", language),
    NUMBER("/WINDOWS/VERSION/MAJOR", major),
    NUMBER("/WINDOWS/VERSION/MINOR", minor),
    NUMBER("/WINDOWS/VERSION/BUILD", build),
    NUMBER("/WINDOWS/VERSION/SPBUILD", revision),
};

/* The first reason stays. */
#define STOP(reader, err, ...)                                               \
    do {                                                                     \
        if ((reader)->failed == 0)                                           \
            (reader)->failed = error_set((reader)->error, err, __VA_ARGS__); \
        XML_StopParser((reader)->parser, XML_FALSE);                         \
    } while (0)

static int no_memory(const struct medium_source *source, struct error *error)
{
    return error_set(error, ENOMEM, "%s: out of memory", source->name);
}

/* Decimal digits and nothing else. */
static bool parse_number(const char *text, unsigned *number)
{
    size_t length = strlen(text);

    if (length == 0 || length > 9 || strspn(text, "0123456789") != length)
        return false;
    *number = (unsigned)strtoul(text, NULL, 10);
    return true;
}

static enum medium_architecture parse_architecture(const char *text)
{
    unsigned number;

    if (!parse_number(text, &number))
        return MEDIUM_UNKNOWN;
    return number == MEDIUM_X86 || number == MEDIUM_AMD64 || number == MEDIUM_ARM64 ? (enum medium_architecture)number
                                                                                    : MEDIUM_UNKNOWN;
}

static void begin_image(struct reader *reader, const char **attributes)
{
    const char *index = "";

    for (; attributes[0]; attributes += 2)
        if (!strcmp(attributes[0], "INDEX"))
            index = attributes[1];
    reader->image = (struct medium_image){.architecture = MEDIUM_UNKNOWN};
    if (!parse_number(index, &reader->image.index) || reader->image.index == 0)
        STOP(reader, EILSEQ,
             "%s: describes an image with the INDEX \"%.20s\", which is no number from 1: damaged; " MEDIUM_AGAIN,
             reader->source->name, index);
}

/* An ESD also has what a medium is made of: a file tree, Windows PE and Setup. */
static bool is_for_installing(const struct reader *reader)
{
    return strcasecmp(reader->image.edition, "WindowsPE") != 0 && (reader->image.edition[0] || !reader->esd);
}

static void end_image(struct reader *reader)
{
    struct medium *medium = reader->medium;

    if (!is_for_installing(reader))
        return;
    for (unsigned n = 0; n < medium->image_count; n++)
        if (medium->images[n].index == reader->image.index) {
            STOP(reader, EILSEQ, "%s: describes two images with the INDEX %u: damaged; " MEDIUM_AGAIN,
                 reader->source->name, reader->image.index);
            return;
        }
    if (medium->image_count == MEDIUM_IMAGES) {
        STOP(reader, EFBIG, "%s: has more than %u images; " MEDIUM_OTHER, reader->source->name, MEDIUM_IMAGES);
        return;
    }
    reader->image.evaluation = medium_image_says_evaluation(&reader->image);
    medium->images[medium->image_count++] = reader->image;
}

static void take_field(struct reader *reader)
{
    char *image = (char *)&reader->image, text[sizeof reader->text];

    utf8_copy_line(text, sizeof text, reader->text, reader->text_length);
    if (!strcmp(reader->path, "/WIM/IMAGE/WINDOWS/ARCH"))
        reader->image.architecture = parse_architecture(text);
    for (const struct field *field = fields; field < fields + ARRAY_SIZE(fields); field++) {
        if (strcmp(reader->path, field->path) != 0)
            continue;
        if (field->size)
            utf8_copy_line(image + field->offset, field->size, text, strlen(text));
        else
            parse_number(text, (unsigned *)(void *)(image + field->offset));
    }
}

static void XMLCALL begin_element(void *opaque, const char *name, const char **attributes)
{
    struct reader *reader = opaque;
    size_t used = strlen(reader->path), length = strlen(name);

    if (reader->failed < 0)
        return;
    if (reader->depth == 0 && strcmp(name, "WIM") != 0)
        STOP(reader, EILSEQ, "%s: its description begins with %.40s instead of WIM: damaged; " MEDIUM_AGAIN,
             reader->source->name, name);
    if (reader->depth == DEPTH)
        STOP(reader, EILSEQ, "%s: its description has more than %u levels: damaged; " MEDIUM_AGAIN,
             reader->source->name, DEPTH);
    reader->text_length = 0;
    if (reader->depth_in_path == reader->depth && used + 1 + length < sizeof reader->path) {
        reader->path[used] = '/';
        memcpy(reader->path + used + 1, name, length + 1);
        reader->depth_in_path++;
        if (!strcmp(reader->path, "/WIM/IMAGE"))
            begin_image(reader, attributes);
    }
    reader->depth++;
}

static void XMLCALL end_element(void *opaque, const char *name)
{
    struct reader *reader = opaque;

    (void)name;
    if (reader->failed < 0)
        return;
    if (reader->depth_in_path == reader->depth) {
        if (!strcmp(reader->path, "/WIM/IMAGE"))
            end_image(reader);
        else
            take_field(reader);
        *strrchr(reader->path, '/') = 0;
        reader->depth_in_path--;
    }
    reader->depth--;
    reader->text_length = 0;
}

static void XMLCALL add_text(void *opaque, const char *text, int length)
{
    struct reader *reader = opaque;
    size_t now = MIN((size_t)length, sizeof reader->text - reader->text_length);

    memcpy(reader->text + reader->text_length, text, now);
    reader->text_length += now;
}

static void XMLCALL begin_document_type(void *opaque, const char *name, const char *system, const char *public,
                                        int internal)
{
    struct reader *reader = opaque;

    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    STOP(reader, EILSEQ, "%s: its description has a document type, which none should have; " MEDIUM_OTHER,
         reader->source->name);
}

/* Feeds the piece from byte `used` on as far as it is whole characters; how far that is, or -errno. */
static int feed(struct reader *reader, size_t used, size_t length, bool last)
{
    size_t made = 0;

    while (used < length) {
        uint32_t character;
        unsigned taken = utf16_take(reader->utf16 + used, length - used, false, &character);

        if (taken == 0 && !last && length - used == 2)
            break; /* the half of a pair */
        if (taken == 0)
            return error_set(reader->error, EILSEQ, "%s: its description is not UTF-16: damaged; " MEDIUM_AGAIN,
                             reader->source->name);
        used += taken;
        made += utf8_put(reader->utf8 + made, character);
    }
    if (XML_Parse(reader->parser, reader->utf8, (int)made, last) == XML_STATUS_OK)
        return (int)used;
    if (reader->failed < 0)
        return reader->failed;
    if (XML_GetErrorCode(reader->parser) == XML_ERROR_NO_MEMORY)
        return no_memory(reader->source, reader->error);
    return error_set(reader->error, EILSEQ, "%s: its description is damaged: %s; " MEDIUM_AGAIN, reader->source->name,
                     XML_ErrorString(XML_GetErrorCode(reader->parser)));
}

static int parse(struct reader *reader, uint64_t offset, uint64_t length)
{
    bool first = true;

    while (length) {
        size_t now = MIN(length, PIECE), mark;
        int result = medium_source_read(reader->source, reader->utf16, now, offset, reader->error);

        if (result < 0)
            return result;
        mark = first && get_le16(reader->utf16) == 0xFEFF ? 2 : 0;
        result = feed(reader, mark, now, now == length);
        if (result < 0)
            return result;
        offset += (unsigned)result;
        length -= (unsigned)result;
        first = false;
    }
    return 0;
}

int wim_xml_read(const struct medium_source *source, uint64_t offset, uint64_t length, bool esd, struct medium *medium,
                 struct error *error)
{
    struct reader *reader = calloc(1, sizeof *reader);
    /* Whatever encoding a declaration names, it is UTF-8 by then. */
    XML_Parser parser = XML_ParserCreate("UTF-8");
    int failed;

    if (!reader || !parser) {
        failed = no_memory(source, error);
    } else {
        reader->source = source;
        reader->medium = medium;
        reader->error = error;
        reader->esd = esd;
        reader->parser = parser;
        XML_SetUserData(parser, reader);
        XML_SetElementHandler(parser, begin_element, end_element);
        XML_SetCharacterDataHandler(parser, add_text);
        XML_SetStartDoctypeDeclHandler(parser, begin_document_type);
        failed = parse(reader, offset, length);
    }
    XML_ParserFree(parser);
    free(reader);
    if (failed == 0 && medium->image_count == 0)
        return error_set(error, EILSEQ, "%s: describes no image that can be installed; " MEDIUM_OTHER, source->name);
    return failed;
}
