/* See answer_file.h. Nothing that the parser reads is kept, and no entity of a document type is looked at. */
#include <errno.h>
#include <expat.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer_file.h"
#include "casement/bytes.h"
#include "casement/file.h"

#define MOST (1 * MiB)
#define BETWEEN '|' /* a namespace and a name */

int answer_file_read(const char *path, char **text, size_t *size, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), failed = 0;
    struct stat info = {0};

    *text = NULL;
    if (fd < 0 || fstat(fd, &info) < 0)
        failed = error_set(error, errno, "--answer-file %s: %s; name one that can be read", path, strerror(errno));
    else if (info.st_size > (off_t)MOST)
        failed = error_set(error, EFBIG, "--answer-file %s: has more than 1 MiB; name an answer file for Setup", path);
    *size = (size_t)info.st_size;
    if (failed == 0 && !(*text = calloc(1, *size + 1)))
        failed = error_set(error, ENOMEM, "--answer-file %s: out of memory", path);
    if (failed == 0 && file_read_at(fd, *text, *size, 0) < 0)
        failed = error_set(error, EIO, "--answer-file %s: cannot be read; name one that can", path);
    if (fd >= 0)
        close(fd);
    if (failed < 0) {
        free(*text);
        *text = NULL;
    }
    return failed;
}

/* /unattend/settings[windowsPE]/component[Microsoft-Windows-Setup]/UseConfigurationSet */
struct reader {
    XML_Parser parser;
    unsigned depth, on_the_way; /* of the element that is read; how many of those around it lead to the wanted one */
    bool other_root, copies;
    char value[16]; /* of the wanted one; more is none that is true */
    size_t length;
};

#define WAY 4U

static const char *local_name(const char *name)
{
    const char *at = strrchr(name, BETWEEN);

    return at ? at + 1 : name;
}

static bool has(const char **attributes, const char *name, const char *value, bool required)
{
    for (; attributes[0]; attributes += 2)
        if (!strcmp(local_name(attributes[0]), name))
            return !strcasecmp(attributes[1], value);
    return !required;
}

static bool leads_on(unsigned depth, const char *name, const char **attributes)
{
    switch (depth) {
    case 0:
        return !strcmp(name, "unattend");
    case 1:
        return !strcmp(name, "settings") && has(attributes, "pass", "windowsPE", true);
    case 2:
        return !strcmp(name, "component") && has(attributes, "name", "Microsoft-Windows-Setup", true) &&
               has(attributes, "processorArchitecture", "amd64", false);
    default:
        return !strcmp(name, "UseConfigurationSet");
    }
}

static void XMLCALL begin_element(void *opaque, const char *whole, const char **attributes)
{
    struct reader *reader = opaque;
    const char *name = local_name(whole);

    if (reader->depth == 0 && strcmp(name, "unattend") != 0) {
        reader->other_root = true;
        XML_StopParser(reader->parser, XML_FALSE);
    }
    if (reader->on_the_way == reader->depth && reader->depth < WAY && leads_on(reader->depth, name, attributes)) {
        reader->on_the_way++;
        reader->length = 0;
    }
    reader->depth++;
}

static void XMLCALL end_element(void *opaque, const char *name)
{
    struct reader *reader = opaque;

    (void)name;
    if (reader->on_the_way == WAY && reader->depth == WAY)
        reader->copies |= reader->length == 4 && !strncasecmp(reader->value, "true", 4);
    if (reader->on_the_way == reader->depth)
        reader->on_the_way--;
    reader->depth--;
}

/* Without the blanks around it. */
static void XMLCALL add_text(void *opaque, const char *text, int length)
{
    struct reader *reader = opaque;

    for (int n = 0; n < length && reader->on_the_way == WAY; n++)
        if (!strchr(" \t\r\n", text[n]) && reader->length < sizeof reader->value)
            reader->value[reader->length++] = text[n];
}

/* Any code page of Windows: of names and values only ASCII matters here, which all of them have in one place. */
static int XMLCALL any_encoding(void *opaque, const char *name, XML_Encoding *encoding)
{
    (void)opaque, (void)name;
    for (int n = 0; n < 256; n++)
        encoding->map[n] = n;
    encoding->data = NULL;
    encoding->convert = NULL;
    encoding->release = NULL;
    return XML_STATUS_OK;
}

static int judge(const char *path, struct reader *reader, enum XML_Status status, struct error *error)
{
    enum XML_Error code = XML_GetErrorCode(reader->parser);

    if (status == XML_STATUS_OK)
        return 0;
    if (reader->other_root)
        return error_set(error, EILSEQ,
                         "--answer-file %s: does not begin with <unattend>; name an answer file for Windows Setup",
                         path);
    if (code == XML_ERROR_NO_MEMORY)
        return error_set(error, ENOMEM, "--answer-file %s: out of memory", path);
    return error_set(error, EILSEQ, "--answer-file %s: line %lu: %s; Setup could not read it, so mend it first", path,
                     (unsigned long)XML_GetCurrentLineNumber(reader->parser), XML_ErrorString(code));
}

int answer_file_check(const char *path, const char *text, size_t size, bool *copies, struct error *error)
{
    struct reader reader = {.parser = XML_ParserCreateNS(NULL, BETWEEN)};
    int failed;

    if (!reader.parser)
        return error_set(error, ENOMEM, "--answer-file %s: out of memory", path);
    XML_SetUserData(reader.parser, &reader);
    XML_SetElementHandler(reader.parser, begin_element, end_element);
    XML_SetCharacterDataHandler(reader.parser, add_text);
    XML_SetUnknownEncodingHandler(reader.parser, any_encoding, NULL);
    failed = judge(path, &reader, XML_Parse(reader.parser, text, (int)size, true), error);
    *copies = reader.copies;
    XML_ParserFree(reader.parser);
    return failed;
}
