/* See fake_xml.h. */
#include <expat.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fake_xml.h"

struct reader {
    XML_Parser parser;
    struct fake_xml *root, *at;
};

static void XMLCALL element_starts(void *opaque, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *reader = opaque;
    struct fake_xml *element = calloc(1, sizeof *element);

    element->name = strdup(name);
    element->text = calloc(1, 1);
    element->parent = reader->at;
    for (; attributes[0] && element->attribute_count < FAKE_XML_ATTRIBUTES; attributes += 2) {
        element->attributes[element->attribute_count][0] = strdup(attributes[0]);
        element->attributes[element->attribute_count++][1] = strdup(attributes[1]);
    }
    if (!reader->root)
        reader->root = element;
    else
        reader->at->children[reader->at->child_count++] = element;
    if (attributes[0] || (reader->at && reader->at->child_count == FAKE_XML_CHILDREN))
        XML_StopParser(reader->parser, XML_FALSE);
    reader->at = element;
}

static void XMLCALL element_ends(void *opaque, const XML_Char *name)
{
    struct reader *reader = opaque;

    (void)name;
    reader->at = reader->at->parent;
}

static void XMLCALL text_comes(void *opaque, const XML_Char *text, int length)
{
    struct fake_xml *at = ((struct reader *)opaque)->at;
    size_t before = strlen(at->text);

    at->text = realloc(at->text, before + (size_t)length + 1);
    memcpy(at->text + before, text, (size_t)length);
    at->text[before + (size_t)length] = 0;
}

struct fake_xml *fake_xml_parse(const char *text, size_t size)
{
    struct reader reader = {.parser = XML_ParserCreate(NULL)};
    bool good;

    XML_SetUserData(reader.parser, &reader);
    XML_SetElementHandler(reader.parser, element_starts, element_ends);
    XML_SetCharacterDataHandler(reader.parser, text_comes);
    good = XML_Parse(reader.parser, text, (int)size, 1) == XML_STATUS_OK;
    XML_ParserFree(reader.parser);
    if (good)
        return reader.root;
    fake_xml_destroy(reader.root);
    return NULL;
}

void fake_xml_destroy(struct fake_xml *root)
{
    if (!root)
        return;
    for (unsigned n = 0; n < root->child_count; n++)
        fake_xml_destroy(root->children[n]);
    for (unsigned n = 0; n < root->attribute_count; n++) {
        free(root->attributes[n][0]);
        free(root->attributes[n][1]);
    }
    free(root->name);
    free(root->text);
    free(root);
}

const char *fake_xml_attribute(const struct fake_xml *element, const char *name)
{
    for (unsigned n = 0; n < element->attribute_count; n++)
        if (!strcmp(element->attributes[n][0], name))
            return element->attributes[n][1];
    return NULL;
}

unsigned fake_xml_count(const struct fake_xml *element, const char *name)
{
    unsigned count = 0;

    for (unsigned n = 0; n < element->child_count; n++)
        count += !strcmp(element->children[n]->name, name);
    return count;
}

static const struct fake_xml *find_child(const struct fake_xml *element, const char *name, size_t length,
                                         unsigned which)
{
    for (unsigned n = 0; n < element->child_count; n++) {
        const struct fake_xml *child = element->children[n];

        if (strlen(child->name) == length && !strncmp(child->name, name, length) && --which == 0)
            return child;
    }
    return NULL;
}

const struct fake_xml *fake_xml_find(const struct fake_xml *element, const char *path)
{
    while (element && *path) {
        size_t length = strcspn(path, "[/");
        unsigned which = 1;
        const char *name = path;

        path += length;
        if (*path == '[') {
            which = (unsigned)strtoul(path + 1, NULL, 10);
            path = strchr(path, ']') + 1;
        }
        path += *path == '/';
        element = find_child(element, name, length, which);
    }
    return element;
}

const char *fake_xml_text(const struct fake_xml *element, const char *path)
{
    const struct fake_xml *found = fake_xml_find(element, path);

    return found ? found->text : "";
}
