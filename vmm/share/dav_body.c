/*
 * The XML of requests, read by expat: no document type, so no entities; at most BODY_MAX bytes, LEVELS levels, and of
 * properties and texts what struct dav_body has room for.
 */
#include <expat.h>
#include <string.h>

#include "casement/bytes.h"
#include "dav_private.h"

#define BODY_MAX 65536
#define LEVELS 32U
#define SEPARATOR '\n' /* between namespace and name; expat refuses it in a namespace */

struct reader {
    XML_Parser parser;
    enum dav_root root;
    struct dav_body *body;
    unsigned depth;
    bool remove, in_properties, in_owner;
    char text[512];
    size_t text_used;
    unsigned status;
};

static void stop(struct reader *reader, unsigned status)
{
    if (reader->status == 0)
        reader->status = status;
    XML_StopParser(reader->parser, XML_FALSE);
}

static bool is_dav(const char *name, const char *wanted)
{
    return !strncmp(name, DAV_SPACE "\n", sizeof DAV_SPACE) && !strcmp(name + sizeof DAV_SPACE, wanted);
}

/* A copy that lives as long as the body. */
static const char *keep(struct reader *reader, const char *text, size_t length)
{
    struct dav_body *body = reader->body;
    char *copy = body->store + body->store_used;

    if (length >= sizeof body->store - body->store_used) {
        stop(reader, 413);
        return "";
    }
    memcpy(copy, text, length);
    copy[length] = 0;
    body->store_used += length + 1;
    return copy;
}

static void take_property(struct reader *reader, const char *name)
{
    struct dav_body *body = reader->body;
    const char *separator = strchr(name, SEPARATOR);

    if (body->count == DAV_PROPERTIES) {
        stop(reader, 413);
        return;
    }
    body->properties[body->count++] = (struct dav_property){
        .space = separator ? keep(reader, name, (size_t)(separator - name)) : "",
        .name = keep(reader, separator ? separator + 1 : name, strlen(separator ? separator + 1 : name)),
        .text = "",
        .remove = reader->remove};
}

static void begin_lockinfo(struct reader *reader, const char *name)
{
    struct dav_body *body = reader->body;

    if (reader->depth == 1)
        reader->in_owner = is_dav(name, "owner");
    if (reader->depth == 2) {
        body->exclusive |= is_dav(name, "exclusive");
        body->write |= is_dav(name, "write");
        body->owner_is_reference |= reader->in_owner && is_dav(name, "href");
    }
}

static void begin_properties(struct reader *reader, const char *name)
{
    unsigned level = reader->root == DAV_PROPFIND ? 1 : 2; /* of DAV:prop */

    if (reader->depth == 1 && reader->root == DAV_PROPERTYUPDATE) {
        reader->remove = is_dav(name, "remove");
        if (!reader->remove && !is_dav(name, "set"))
            stop(reader, 400);
    }
    if (reader->depth == 1 && reader->root == DAV_PROPFIND) {
        reader->body->all |= is_dav(name, "allprop");
        reader->body->names_only |= is_dav(name, "propname");
    }
    if (reader->depth == level)
        reader->in_properties = is_dav(name, "prop");
    if (reader->depth == level + 1 && reader->in_properties)
        take_property(reader, name);
}

static void XMLCALL begin_element(void *opaque, const char *name, const char **attributes)
{
    static const char *const roots[] = {"propfind", "propertyupdate", "lockinfo"};
    struct reader *reader = opaque;

    (void)attributes;
    if (reader->depth == LEVELS || (reader->depth == 0 && !is_dav(name, roots[reader->root])))
        stop(reader, 400);
    if (reader->status == 0 && reader->root == DAV_LOCKINFO)
        begin_lockinfo(reader, name);
    else if (reader->status == 0)
        begin_properties(reader, name);
    if (!reader->in_owner)
        reader->text_used = 0;
    reader->depth++;
}

static void take_owner(struct reader *reader)
{
    size_t length = MIN(reader->text_used, sizeof reader->body->owner - 1);

    while (length && strchr(" \t\r\n", reader->text[length - 1]))
        length--;
    /* No half of a character. */
    while (length && length < reader->text_used && (reader->text[length] & 0xC0) == 0x80)
        length--;
    memcpy(reader->body->owner, reader->text, length);
    reader->body->owner[length] = 0;
}

static void XMLCALL end_element(void *opaque, const char *name)
{
    struct reader *reader = opaque;
    struct dav_body *body = reader->body;

    (void)name;
    reader->depth--;
    if (reader->status)
        return;
    if (reader->root == DAV_LOCKINFO && reader->depth == 1 && reader->in_owner) {
        take_owner(reader);
        reader->in_owner = false;
    } else if (reader->root == DAV_PROPERTYUPDATE && reader->depth == 3 && reader->in_properties && body->count) {
        body->properties[body->count - 1].text = keep(reader, reader->text, reader->text_used);
    }
}

static void XMLCALL add_text(void *opaque, const char *text, int length)
{
    struct reader *reader = opaque;
    size_t now = MIN((size_t)length, sizeof reader->text - reader->text_used);

    if (reader->text_used == 0 && reader->in_owner)
        while (now && strchr(" \t\r\n", *text))
            text++, now--;
    memcpy(reader->text + reader->text_used, text, now);
    reader->text_used += now;
}

static void XMLCALL begin_document_type(void *opaque, const char *name, const char *system, const char *public,
                                        int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    stop(opaque, 400);
}

static unsigned parse(struct reader *reader, struct peer *peer)
{
    char piece[4096];
    size_t total = 0;
    ssize_t count;

    while ((count = peer_read_body(peer, piece, sizeof piece)) > 0) {
        total += (size_t)count;
        if (total > BODY_MAX)
            return 413;
        if (XML_Parse(reader->parser, piece, (int)count, false) != XML_STATUS_OK)
            return reader->status ? reader->status : 400;
    }
    reader->body->empty = count == 0 && total == 0;
    if (count < 0 || (total && XML_Parse(reader->parser, "", 0, true) != XML_STATUS_OK))
        return reader->status ? reader->status : 400;
    return 0;
}

unsigned dav_read_body(struct dav_request *request, enum dav_root root, struct dav_body *body)
{
    struct reader reader = {.root = root, .body = body, .parser = XML_ParserCreateNS(NULL, SEPARATOR)};
    unsigned status;

    *body = (struct dav_body){0};
    if (!reader.parser)
        return 503;
    XML_SetUserData(reader.parser, &reader);
    XML_SetElementHandler(reader.parser, begin_element, end_element);
    XML_SetCharacterDataHandler(reader.parser, add_text);
    XML_SetStartDoctypeDeclHandler(reader.parser, begin_document_type);
    status = parse(&reader, request->peer);
    XML_ParserFree(reader.parser);
    return status;
}
