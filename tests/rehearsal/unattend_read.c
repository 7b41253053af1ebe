/* XML into paths with texts (see unattend.h). What an answer file may not have is refused as it is read. */
#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unattend.h"

#define NAMESPACE "urn:schemas-microsoft-com:unattend"
#define ADD_NAMESPACE "http://schemas.microsoft.com/WMIConfig/2002/State"
#define SEPARATOR '|'
#define PATH_SIZE 1024
#define DEPTH 32

struct reading {
    XML_Parser parser;
    struct document *document;
    char path[PATH_SIZE], text[4096];
    size_t ends[DEPTH], at[DEPTH], text_length;
    unsigned depth;
    bool is_answers;
};

static void *grown(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (!memory)
        refuse("out of memory");
    return memory;
}

static char *copied(const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    if (!copy)
        refuse("out of memory");
    return copy;
}

static size_t line_of(const struct reading *reading)
{
    return XML_GetCurrentLineNumber(reading->parser);
}

static size_t add(struct reading *reading, const char *path, const char *text)
{
    struct document *document = reading->document;

    document->elements = grown(document->elements, (document->count + 1) * sizeof document->elements[0]);
    document->elements[document->count] = (struct element){.path = copied(path), .text = copied(text)};
    return document->count++;
}

/* The name in the namespace of answer files. */
static const char *local_name(const struct reading *reading, const char *name)
{
    const char *end = strrchr(name, SEPARATOR);

    if (!reading->is_answers)
        return name;
    if (!end || (size_t)(end - name) != strlen(NAMESPACE) || memcmp(name, NAMESPACE, strlen(NAMESPACE)) != 0)
        refuse("line %zu: %s is not in the namespace " NAMESPACE, line_of(reading), name);
    return end + 1;
}

static const char *attribute(const char **attributes, const char *name)
{
    for (; *attributes; attributes += 2)
        if (!strcmp(*attributes, name))
            return attributes[1];
    return NULL;
}

static const char *component_name(const struct reading *reading, const char **attributes)
{
    static const struct {
        const char *name, *values[2];
    } fixed[] = {{"processorArchitecture", {"amd64", "wow64"}},
                 {"publicKeyToken", {"31bf3856ad364e35", "31bf3856ad364e35"}},
                 {"language", {"neutral", "neutral"}},
                 {"versionScope", {"nonSxS", "nonSxS"}}};
    static char named[PATH_SIZE];
    const char *name = attribute(attributes, "name"), *architecture;

    for (size_t n = 0; n < sizeof fixed / sizeof fixed[0]; n++) {
        const char *value = attribute(attributes, fixed[n].name);

        if (!value || (strcmp(value, fixed[n].values[0]) != 0 && strcmp(value, fixed[n].values[1]) != 0))
            refuse("line %zu: a component's %s is %s", line_of(reading), fixed[n].name, value ? value : "missing");
    }
    if (!name)
        refuse("line %zu: a component without a name", line_of(reading));
    architecture = attribute(attributes, "processorArchitecture");
    snprintf(named, sizeof named, "%s%s", name, strcmp(architecture, "wow64") == 0 ? "(wow64)" : "");
    return named;
}

/* A name for the path: passes and components are known by their attributes. */
static const char *place_name(const struct reading *reading, const char *name, const char **attributes)
{
    const char *pass = attribute(attributes, "pass");

    if (reading->depth == 1 && strcmp(name, "settings") == 0 && pass)
        return pass;
    if (reading->depth == 2 && strcmp(name, "component") == 0)
        return component_name(reading, attributes);
    if (reading->depth < 3)
        refuse("line %zu: %s does not belong there", line_of(reading), name);
    return name;
}

static unsigned same_so_far(const struct document *document, const char *path)
{
    size_t length = strlen(path);
    unsigned count = 0;

    for (size_t n = 0; n < document->count; n++) {
        const char *other = document->elements[n].path;

        if (strncmp(other, path, length) == 0 &&
            (!other[length] || (other[length] == '[' && other[length + 1] != 0 && strchr(other + length, ']')[1] == 0)))
            count++;
    }
    return count;
}

static void check_attributes(const struct reading *reading, const char *name, const char **attributes)
{
    static const char *const allowed[] = {ADD_NAMESPACE "|action", ADD_NAMESPACE "|keyValue"};

    for (; reading->depth >= 3 && *attributes; attributes += 2)
        if (strcmp(attributes[0], allowed[0]) != 0 && strcmp(attributes[0], allowed[1]) != 0)
            refuse("line %zu: %s has an unknown attribute %s", line_of(reading), name, attributes[0]);
}

static void enter(struct reading *reading, const char *name)
{
    size_t length = strlen(reading->path);
    unsigned same;

    reading->ends[reading->depth] = length;
    if (length + strlen(name) + 16 > sizeof reading->path || reading->depth + 1 >= DEPTH)
        refuse("line %zu: too deep", line_of(reading));
    sprintf(reading->path + length, "%s%s", length ? "/" : "", name);
    same = same_so_far(reading->document, reading->path);
    if (is_list(name))
        sprintf(reading->path + strlen(reading->path), "[%u]", same + 1);
    else if (same)
        refuse("line %zu: %s is there twice", line_of(reading), reading->path);
}

static void starts(void *opaque, const char *full_name, const char **attributes)
{
    struct reading *reading = opaque;
    const char *name = local_name(reading, full_name), *action;

    reading->text_length = 0;
    if (reading->is_answers && reading->depth == 0) {
        if (strcmp(name, "unattend") != 0)
            refuse("the answer file begins with %s, not with unattend", name);
        reading->ends[reading->depth++] = 0;
        return;
    }
    if (reading->depth > reading->is_answers)
        reading->document->elements[reading->at[reading->depth - 1]].has_children = true;
    if (reading->is_answers) {
        check_attributes(reading, name, attributes);
        enter(reading, place_name(reading, name, attributes));
    } else {
        enter(reading, name);
    }
    reading->at[reading->depth] = add(reading, reading->path, "");
    action = attribute(attributes, ADD_NAMESPACE "|action");
    reading->document->elements[reading->at[reading->depth]].is_list_item = action && strcmp(action, "add") == 0;
    reading->depth++;
    for (; !reading->is_answers && *attributes; attributes += 2) {
        char path[PATH_SIZE + 64];

        snprintf(path, sizeof path, "%s/@%s", reading->path, attributes[0]);
        add(reading, path, attributes[1]);
    }
}

static void ends(void *opaque, const char *name)
{
    struct reading *reading = opaque;
    struct element *element;

    (void)name;
    reading->depth--;
    if (reading->is_answers && reading->depth == 0)
        return;
    element = &reading->document->elements[reading->at[reading->depth]];
    reading->text[reading->text_length] = 0;
    if (!element->has_children) {
        free(element->text);
        element->text = copied(reading->text);
    } else if (reading->text[strspn(reading->text, " \t\r\n")]) {
        refuse("line %zu: %s has text beside its elements", line_of(reading), reading->path);
    }
    reading->text_length = 0;
    reading->path[reading->ends[reading->depth]] = 0;
}

static void text(void *opaque, const char *content, int length)
{
    struct reading *reading = opaque;

    if (reading->text_length + (size_t)length >= sizeof reading->text)
        refuse("line %zu: a text is too long", line_of(reading));
    memcpy(reading->text + reading->text_length, content, (size_t)length);
    reading->text_length += (size_t)length;
}

static void read_xml(const char *path, struct reading *reading)
{
    FILE *file = fopen(path, "rb");
    char buffer[8192];
    size_t got;

    if (!file)
        refuse("%s cannot be read", path);
    reading->parser = reading->is_answers ? XML_ParserCreateNS(NULL, SEPARATOR) : XML_ParserCreate(NULL);
    XML_SetUserData(reading->parser, reading);
    XML_SetElementHandler(reading->parser, starts, ends);
    XML_SetCharacterDataHandler(reading->parser, text);
    do {
        got = fread(buffer, 1, sizeof buffer, file);
        if (!XML_Parse(reading->parser, buffer, (int)got, got < sizeof buffer))
            refuse("%s line %zu: %s", path, line_of(reading), XML_ErrorString(XML_GetErrorCode(reading->parser)));
    } while (got == sizeof buffer);
    XML_ParserFree(reading->parser);
    fclose(file);
}

void read_answers(const char *path, struct document *document)
{
    struct reading reading = {.document = document, .is_answers = true};

    read_xml(path, &reading);
}

void read_description(const char *path, struct document *document)
{
    struct reading reading = {.document = document};

    read_xml(path, &reading);
}

void destroy_document(struct document *document)
{
    while (document->count--) {
        free(document->elements[document->count].path);
        free(document->elements[document->count].text);
    }
    free(document->elements);
}

static const char *text_at(const struct document *document, const char *path)
{
    for (size_t n = 0; n < document->count; n++)
        if (strcmp(document->elements[n].path, path) == 0)
            return document->elements[n].text;
    return NULL;
}

const char *text_of(const struct document *document, const char *format, ...)
{
    char path[PATH_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return text_at(document, path);
}

unsigned count_of(const struct document *document, const char *format, ...)
{
    char path[PATH_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return same_so_far(document, path);
}
