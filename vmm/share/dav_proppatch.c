/*
 * PROPPATCH (RFC 4918, 9.2): all that it asks for, or nothing. Windows sets times and attributes after it has written a
 * file, and takes the file for unwritten when it is refused, so all of those are taken; what the host has a place for
 * is kept.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dav_private.h"

/* What is to be set on the file. */
struct changes {
    struct timespec times[2]; /* of access, of change */
};

/* false: no time as Windows writes it. */
static bool parse_time(const char *text, struct timespec *time)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts);

    if (!end || *end)
        return false;
    *time = (struct timespec){.tv_sec = timegm(&parts)};
    return true;
}

/* Whether it can be done; what is to be done is noted. */
static bool accept(const struct dav_property *property, struct changes *changes)
{
    if (strcmp(property->space, DAV_WINDOWS_SPACE) != 0 || strncmp(property->name, "Win32", 5) != 0)
        return false;
    if (property->remove)
        return true;
    if (!strcmp(property->name, "Win32LastAccessTime"))
        return parse_time(property->text, &changes->times[0]);
    if (!strcmp(property->name, "Win32LastModifiedTime"))
        return parse_time(property->text, &changes->times[1]);
    return true;
}

static bool accept_all(const struct dav_body *body, struct changes *changes)
{
    bool all = true;

    for (unsigned n = 0; n < body->count; n++)
        all &= accept(&body->properties[n], changes);
    return all;
}

/* Whose file it is not cannot set its times: no reason to fail, as the content may be written. */
static unsigned apply(struct dav_request *request, const struct changes *changes)
{
    struct statx info;
    int fd = folder_open_node(request->dav->root, request->path, O_RDONLY, &info);

    if (fd < 0)
        return dav_status(fd);
    (void)futimens(fd, changes->times);
    close(fd);
    return 0;
}

static const char *status_of(const struct dav_property *property, bool all)
{
    struct changes ignored;

    return all                          ? "HTTP/1.1 200 OK"
           : accept(property, &ignored) ? "HTTP/1.1 424 Failed Dependency"
                                        : "HTTP/1.1 403 Forbidden";
}

static unsigned tell(struct dav_request *request, const struct dav_body *body, bool all)
{
    struct xml *xml = dav_document("D:multistatus");
    char href[PATH_HREF_ROOM];

    if (!xml)
        return 503;
    path_encode(request->path, false, href);
    xml_open(xml, "D:response");
    xml_element(xml, "D:href", href);
    for (unsigned n = 0; n < body->count; n++) {
        const struct dav_property *property = &body->properties[n];

        xml_open(xml, "D:propstat");
        xml_open(xml, "D:prop");
        xml_open(xml, property->name);
        xml_attribute(xml, "xmlns", property->space);
        xml_close(xml);
        xml_close(xml);
        xml_element(xml, "D:status", status_of(property, all));
        xml_close(xml);
    }
    xml_close(xml);
    xml_close(xml);
    request->document = xml;
    return 207;
}

unsigned dav_proppatch(struct dav_request *request)
{
    static const struct changes unchanged = {{{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
    struct changes changes = unchanged;
    struct dav_body body;
    unsigned status = dav_read_body(request, DAV_PROPERTYUPDATE, &body);
    bool all;

    if (status == 0 && (body.empty || !body.count))
        status = 400;
    if (status == 0)
        status = dav_begin(request);
    if (status)
        return status;
    all = accept_all(&body, &changes);
    if (!locks_permit(request->dav->locks, request->path, LOCKS_CONTENT, &request->tokens))
        status = 423;
    else
        status = apply(request, all ? &changes : &unchanged);
    dav_end(request);
    return status ? status : tell(request, &body, all);
}
