/* See xml.h: XML 1.0 (fifth edition), sections 2.2 (characters), 2.4 (escapes), 2.11 (line ends), 3.3.3 (attributes).
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/utf8.h"
#include "xml.h"

#define DEPTH 16
#define FIRST_BYTES 4096U

struct xml {
    char *text;
    size_t length, size;
    const char *open[DEPTH];
    unsigned depth;
    bool in_tag;         /* the last start tag still takes attributes */
    bool after_children; /* the end tag stands on a line of its own */
    int failed;
    const char *bad; /* the element whose text cannot be written */
};

/* realloc() would leave what it moves away from. */
static bool grow(struct xml *xml, size_t more)
{
    size_t size = xml->size;
    char *text;

    if (xml->failed)
        return false;
    while (size - xml->length <= more)
        size *= 2;
    if (size == xml->size)
        return true;
    text = malloc(size);
    if (!text) {
        xml->failed = -ENOMEM;
        return false;
    }
    memcpy(text, xml->text, xml->length);
    OPENSSL_cleanse(xml->text, xml->size);
    free(xml->text);
    xml->text = text;
    xml->size = size;
    return true;
}

static void put(struct xml *xml, const char *bytes, size_t length)
{
    if (!grow(xml, length))
        return;
    memcpy(xml->text + xml->length, bytes, length);
    xml->length += length;
}

static void put_string(struct xml *xml, const char *text)
{
    put(xml, text, strlen(text));
}

struct xml *xml_create(void)
{
    struct xml *xml = calloc(1, sizeof *xml);

    if (!xml)
        return NULL;
    xml->size = FIRST_BYTES;
    xml->text = malloc(xml->size);
    if (!xml->text) {
        free(xml);
        return NULL;
    }
    put_string(xml, "<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    return xml;
}

static bool allowed(uint32_t code)
{
    return code == '\t' || code == '\n' || code == '\r' ||
           (code >= ' ' && code != 0xFFFE && code != 0xFFFF && code != UTF8_BAD);
}

/* White space other than the space bar's becomes references: parsers turn line ends, and in attributes all of it. */
static void put_escaped(struct xml *xml, const char *text)
{
    const char *next = text;

    for (uint32_t code = utf8_next(&next); code; code = utf8_next(&next)) {
        char reference[16];

        if (!allowed(code)) {
            xml->bad = xml->bad ? xml->bad : xml->depth ? xml->open[xml->depth - 1] : "";
            xml->failed = xml->failed ? xml->failed : -EINVAL;
            return;
        }
        if (code < ' ' || (code < 0x80 && strchr("<>&\"'", (int)code))) {
            snprintf(reference, sizeof reference, "&#%u;", (unsigned)code);
            put_string(xml, reference);
        } else {
            put(xml, text, (size_t)(next - text));
        }
        text = next;
    }
}

static void end_tag_start(struct xml *xml)
{
    if (xml->in_tag)
        put_string(xml, ">");
    xml->in_tag = false;
}

static void new_line(struct xml *xml)
{
    put_string(xml, "\n");
    for (unsigned n = 0; n < xml->depth; n++)
        put_string(xml, "  ");
}

void xml_open(struct xml *xml, const char *name)
{
    end_tag_start(xml);
    new_line(xml);
    put_string(xml, "<");
    put_string(xml, name);
    if (xml->depth < DEPTH)
        xml->open[xml->depth++] = name;
    else
        xml->failed = xml->failed ? xml->failed : -EOVERFLOW;
    xml->in_tag = true;
    xml->after_children = false;
}

void xml_attribute(struct xml *xml, const char *name, const char *value)
{
    if (!xml->in_tag) {
        xml->failed = xml->failed ? xml->failed : -EPROTO;
        return;
    }
    put_string(xml, " ");
    put_string(xml, name);
    put_string(xml, "=\"");
    put_escaped(xml, value);
    put_string(xml, "\"");
}

void xml_text(struct xml *xml, const char *text)
{
    end_tag_start(xml);
    put_escaped(xml, text);
}

void xml_close(struct xml *xml)
{
    if (!xml->depth) {
        xml->failed = xml->failed ? xml->failed : -EPROTO;
        return;
    }
    xml->depth--;
    if (xml->in_tag) {
        put_string(xml, "/>");
    } else {
        if (xml->after_children)
            new_line(xml);
        put_string(xml, "</");
        put_string(xml, xml->open[xml->depth]);
        put_string(xml, ">");
    }
    xml->in_tag = false;
    xml->after_children = true;
}

void xml_element(struct xml *xml, const char *name, const char *text)
{
    xml_open(xml, name);
    xml_text(xml, text);
    xml_close(xml);
}

void xml_number(struct xml *xml, const char *name, unsigned number)
{
    char text[16];

    snprintf(text, sizeof text, "%u", number);
    xml_element(xml, name, text);
}

static int failure(const struct xml *xml, struct error *error)
{
    if (xml->failed == -EINVAL)
        return error_set(error, EINVAL,
                         "%s: has characters that XML cannot hold; leave out control characters, and "
                         "write it as UTF-8",
                         xml->bad);
    if (xml->failed == -ENOMEM)
        return error_set(error, ENOMEM, "XML: out of memory");
    return error_set(error, EPROTO, "XML: its elements are not closed as they were opened");
}

const char *xml_piece(struct xml *xml, size_t least, size_t *size)
{
    *size = xml->length < least ? 0 : xml->length;
    xml->length -= *size;
    return xml->failed ? NULL : xml->text;
}

char *xml_finish(struct xml *xml, size_t *size, struct error *error)
{
    char *text = NULL;

    if (xml->depth)
        xml->failed = xml->failed ? xml->failed : -EPROTO;
    put(xml, "\n", 2); /* with the NUL behind it */
    if (xml->failed) {
        failure(xml, error);
        OPENSSL_cleanse(xml->text, xml->size);
        free(xml->text);
    } else {
        text = xml->text;
        if (size)
            *size = xml->length - 1;
    }
    free(xml);
    return text;
}
