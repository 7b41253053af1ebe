/*
 * PROPFIND (RFC 4918, 9.1) of depth 0 and 1, and all properties there are: those of DAV (15), how much room there is
 * (RFC 4331), and what Windows keeps with a file ([MS-WDVSE] 2.2). A folder may hold any number of files, so the answer
 * leaves in pieces.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "dav_private.h"

#define FLUSH_BYTES 32768 /* of the answer, before they are sent */

struct node {
    struct dav *dav;
    struct xml *xml;
    const char *path;
    const struct statx *info;
};

/* Values. */

static void write_time(struct xml *xml, const struct statx_timestamp *stamp, const char *format)
{
    time_t seconds = (time_t)stamp->tv_sec;
    char text[48] = "";
    struct tm parts;

    if (gmtime_r(&seconds, &parts))
        strftime(text, sizeof text, format, &parts);
    xml_text(xml, text);
}

#define HTTP_TIME "%a, %d %b %Y %H:%M:%S GMT"

static const struct statx_timestamp *birth(const struct statx *info)
{
    return info->stx_mask & STATX_BTIME ? &info->stx_btime : &info->stx_mtime;
}

static void creation_date(const struct node *node)
{
    write_time(node->xml, birth(node->info), "%Y-%m-%dT%H:%M:%SZ");
}

static void created(const struct node *node)
{
    write_time(node->xml, birth(node->info), HTTP_TIME);
}

static void modified(const struct node *node)
{
    write_time(node->xml, &node->info->stx_mtime, HTTP_TIME);
}

static void accessed(const struct node *node)
{
    write_time(node->xml, &node->info->stx_atime, HTTP_TIME);
}

/* FILE_ATTRIBUTE_READONLY, _DIRECTORY, _ARCHIVE ([MS-FSCC] 2.6). */
static void attributes(const struct node *node)
{
    bool folder = folder_is_folder(node->info), fixed = node->dav->read_only || !(node->info->stx_mode & 0222);
    char text[16];

    snprintf(text, sizeof text, "%08X", folder ? 0x10U : 0x20U | (fixed ? 1U : 0));
    xml_text(node->xml, text);
}

static void display_name(const struct node *node)
{
    const char *slash = strrchr(node->path, '/');

    xml_text(node->xml, slash ? slash + 1 : *node->path ? node->path : node->dav->name);
}

static void write_number(struct xml *xml, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, number);
    xml_text(xml, text);
}

static void content_length(const struct node *node)
{
    write_number(node->xml, node->info->stx_size);
}

static void content_type(const struct node *node)
{
    xml_text(node->xml, "application/octet-stream");
}

static void entity_tag(const struct node *node)
{
    char etag[ETAG_ROOM];

    dav_etag(node->info, etag);
    xml_text(node->xml, etag);
}

static void resource_type(const struct node *node)
{
    if (folder_is_folder(node->info))
        xml_element(node->xml, "D:collection", "");
}

static void supported_lock(const struct node *node)
{
    xml_open(node->xml, "D:lockentry");
    xml_open(node->xml, "D:lockscope");
    xml_element(node->xml, "D:exclusive", "");
    xml_close(node->xml);
    xml_open(node->xml, "D:locktype");
    xml_element(node->xml, "D:write", "");
    xml_close(node->xml);
    xml_close(node->xml);
}

static void lock_discovery(const struct node *node)
{
    const struct lock *lock;

    pthread_mutex_lock(&node->dav->lock);
    lock = locks_find(node->dav->locks, node->path);
    if (lock)
        dav_write_lock(node->xml, lock);
    pthread_mutex_unlock(&node->dav->lock);
}

static void quota_available(const struct node *node)
{
    struct statvfs room = {0};

    fstatvfs(node->dav->root, &room);
    write_number(node->xml, (uint64_t)room.f_bavail * room.f_frsize);
}

static void quota_used(const struct node *node)
{
    struct statvfs room = {0};

    fstatvfs(node->dav->root, &room);
    write_number(node->xml, (uint64_t)(room.f_blocks - room.f_bfree) * room.f_frsize);
}

enum has { ALL_HAVE, FILES_HAVE, FOLDERS_HAVE };

static const struct property {
    const char *space, *tag; /* the name is behind the prefix, which has two signs */
    void (*write)(const struct node *node);
    enum has has;
} properties[] = {
    {DAV_SPACE, "D:creationdate", creation_date, ALL_HAVE},
    {DAV_SPACE, "D:displayname", display_name, ALL_HAVE},
    {DAV_SPACE, "D:getcontentlength", content_length, FILES_HAVE},
    {DAV_SPACE, "D:getcontenttype", content_type, FILES_HAVE},
    {DAV_SPACE, "D:getetag", entity_tag, FILES_HAVE},
    {DAV_SPACE, "D:getlastmodified", modified, ALL_HAVE},
    {DAV_SPACE, "D:lockdiscovery", lock_discovery, ALL_HAVE},
    {DAV_SPACE, "D:resourcetype", resource_type, ALL_HAVE},
    {DAV_SPACE, "D:supportedlock", supported_lock, ALL_HAVE},
    {DAV_SPACE, "D:quota-available-bytes", quota_available, FOLDERS_HAVE},
    {DAV_SPACE, "D:quota-used-bytes", quota_used, FOLDERS_HAVE},
    {DAV_WINDOWS_SPACE, "W:Win32CreationTime", created, ALL_HAVE},
    {DAV_WINDOWS_SPACE, "W:Win32LastAccessTime", accessed, ALL_HAVE},
    {DAV_WINDOWS_SPACE, "W:Win32LastModifiedTime", modified, ALL_HAVE},
    {DAV_WINDOWS_SPACE, "W:Win32FileAttributes", attributes, ALL_HAVE},
};

static bool has(const struct node *node, const struct property *property)
{
    return property->has == ALL_HAVE || (property->has == FOLDERS_HAVE) == folder_is_folder(node->info);
}

static const struct property *find_property(const struct node *node, const struct dav_property *wanted)
{
    for (const struct property *property = properties; property < properties + ARRAY_SIZE(properties); property++)
        if (!strcmp(wanted->name, property->tag + 2) && !strcmp(wanted->space, property->space) && has(node, property))
            return property;
    return NULL;
}

/* Answers. */

static void begin_propstat(const struct node *node)
{
    xml_open(node->xml, "D:propstat");
    xml_open(node->xml, "D:prop");
}

static void end_propstat(const struct node *node, const char *status)
{
    xml_close(node->xml);
    xml_element(node->xml, "D:status", status);
    xml_close(node->xml);
}

static void write_property(const struct node *node, const struct property *property, bool name_only)
{
    xml_open(node->xml, property->tag);
    if (!name_only)
        property->write(node);
    xml_close(node->xml);
}

static void write_all(const struct node *node, bool names_only)
{
    begin_propstat(node);
    for (const struct property *property = properties; property < properties + ARRAY_SIZE(properties); property++)
        if (has(node, property))
            write_property(node, property, names_only);
    end_propstat(node, "HTTP/1.1 200 OK");
}

static void write_wanted(const struct node *node, const struct dav_body *body)
{
    unsigned found = 0;

    for (unsigned n = 0; n < body->count; n++) {
        const struct property *property = find_property(node, &body->properties[n]);

        if (property && found++ == 0)
            begin_propstat(node);
        if (property)
            write_property(node, property, false);
    }
    if (found)
        end_propstat(node, "HTTP/1.1 200 OK");
    if (found == body->count)
        return;
    begin_propstat(node);
    for (unsigned n = 0; n < body->count; n++) {
        const struct dav_property *wanted = &body->properties[n];

        if (find_property(node, wanted))
            continue;
        xml_open(node->xml, wanted->name);
        xml_attribute(node->xml, "xmlns", wanted->space);
        xml_close(node->xml);
    }
    end_propstat(node, "HTTP/1.1 404 Not Found");
}

static void write_node(const struct node *node, const struct dav_body *body)
{
    char href[PATH_HREF_ROOM];

    path_encode(node->path, folder_is_folder(node->info), href);
    xml_open(node->xml, "D:response");
    xml_element(node->xml, "D:href", href);
    if (body->count)
        write_wanted(node, body);
    else
        write_all(node, body->names_only);
    xml_close(node->xml);
}

/* Sends what there is if it is enough; false: the peer does not take it, or the document has failed. */
static bool flush(struct dav_request *request, struct xml *xml)
{
    size_t size;
    const char *piece = xml_piece(xml, FLUSH_BYTES, &size);

    return piece && peer_write_chunk(request->peer, piece, size);
}

static bool write_members(struct dav_request *request, const struct node *folder, const struct dav_body *body)
{
    char path[PATH_ROOM];
    const char *name;
    struct statx info;
    const struct node member = {.dav = folder->dav, .xml = folder->xml, .path = path, .info = &info};
    int fd = folder_open_node(folder->dav->root, folder->path, O_RDONLY | O_DIRECTORY, &info);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    bool good = true;

    if (!list && fd >= 0)
        close(fd);
    if (!list)
        return true; /* none that can be read: as if it were empty */
    while (good && (name = folder_next(list, &info))) {
        if (path_join(folder->path, name, path))
            write_node(&member, body);
        good = flush(request, folder->xml) && !atomic_load(&folder->dav->stopping);
    }
    closedir(list);
    return good;
}

static void send_nodes(struct dav_request *request, struct node *node, const struct dav_body *body, bool members)
{
    bool good = true;
    size_t size;
    char *rest;

    peer_begin(request->peer, 207);
    peer_field(request->peer, "Content-Type", "application/xml; charset=\"utf-8\"");
    peer_send_head_chunked(request->peer);
    write_node(node, body);
    if (members && folder_is_folder(node->info))
        good = write_members(request, node, body);
    xml_close(node->xml);
    rest = xml_finish(node->xml, &size, NULL);
    if (good && rest && peer_write_chunk(request->peer, rest, size))
        peer_end_chunks(request->peer);
    else
        request->peer->last = true;
    free(rest);
}

/* 403, with the precondition that says why (9.1). */
static unsigned refuse_depth(struct dav_request *request)
{
    request->document = dav_document("D:error");
    if (request->document) {
        xml_element(request->document, "D:propfind-finite-depth", "");
        xml_close(request->document);
    }
    return 403;
}

unsigned dav_propfind(struct dav_request *request)
{
    const char *depth = peer_value(request->peer, "depth");
    struct dav_body body;
    struct statx info;
    struct node node = {.dav = request->dav, .path = request->path, .info = &info};
    unsigned status = dav_read_body(request, DAV_PROPFIND, &body);
    int failed;

    if (status == 0 && (!depth || !strcasecmp(depth, "infinity")))
        status = refuse_depth(request);
    else if (status == 0 && strcmp(depth, "0") != 0 && strcmp(depth, "1") != 0)
        status = 400;
    if (status == 0)
        status = dav_begin(request);
    if (status)
        return status;
    dav_end(request);
    failed = folder_stat(request->dav->root, request->path, &info);
    if (failed < 0)
        return dav_status(failed);
    node.xml = dav_document("D:multistatus");
    if (!node.xml)
        return 503;
    xml_attribute(node.xml, "xmlns:W", DAV_WINDOWS_SPACE);
    send_nodes(request, &node, &body, *depth == '1');
    return 0;
}
