/* LOCK and UNLOCK (RFC 4918, 9.10, 9.11), and what is told about locks (15.8). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "dav_private.h"

void dav_write_lock(struct xml *xml, const struct lock *lock)
{
    char text[PATH_HREF_ROOM];

    xml_open(xml, "D:activelock");
    xml_open(xml, "D:locktype");
    xml_element(xml, "D:write", "");
    xml_close(xml);
    xml_open(xml, "D:lockscope");
    xml_element(xml, "D:exclusive", "");
    xml_close(xml);
    xml_element(xml, "D:depth", lock->infinite ? "infinity" : "0");
    if (lock->owner_is_reference) {
        xml_open(xml, "D:owner");
        xml_element(xml, "D:href", lock->owner);
        xml_close(xml);
    } else if (lock->owner[0]) {
        xml_element(xml, "D:owner", lock->owner);
    }
    snprintf(text, sizeof text, "Second-%u", lock->seconds);
    xml_element(xml, "D:timeout", text);
    xml_open(xml, "D:locktoken");
    xml_element(xml, "D:href", lock->token);
    xml_close(xml);
    path_encode(lock->path, false, text);
    xml_open(xml, "D:lockroot");
    xml_element(xml, "D:href", text);
    xml_close(xml);
    xml_close(xml);
}

/* The Timeout field (10.7): the first choice; no lock is for ever. */
static unsigned seconds_of(const struct peer *peer)
{
    const char *field = peer_value(peer, "timeout");

    if (field && !strncasecmp(field, "Second-", 7) && field[7] >= '0' && field[7] <= '9')
        return (unsigned)MIN(strtoull(field + 7, NULL, 10), (unsigned long long)LOCK_SECONDS_MAX);
    return LOCK_SECONDS_MAX;
}

static unsigned tell(struct dav_request *request, const struct lock *lock, unsigned status)
{
    struct xml *xml = dav_document("D:prop");

    if (!xml)
        return 503;
    xml_open(xml, "D:lockdiscovery");
    dav_write_lock(xml, lock);
    xml_close(xml);
    xml_close(xml);
    request->document = xml;
    return status;
}

/* A LOCK without a body: the lock whose token the If field shows. */
static unsigned refresh(struct dav_request *request)
{
    struct lock *lock = NULL;

    for (unsigned n = 0; n < request->tokens.count && !lock; n++)
        lock = locks_with_token(request->dav->locks, request->path, request->tokens.text[n]);
    if (!lock)
        return request->tokens.count ? 412 : 400;
    locks_refresh(lock, seconds_of(request->peer));
    return tell(request, lock, 200);
}

/* An empty file, for a name that is locked before it is there (7.3). 0, or a status. */
static unsigned make_file(struct dav_request *request)
{
    struct dav *dav = request->dav;
    const char *name;
    int parent, fd;

    if (!locks_permit(dav->locks, request->path, LOCKS_NAME, &request->tokens))
        return 423;
    parent = folder_open_parent(dav->root, request->path, &name);
    if (parent < 0)
        return dav_status_parent(parent);
    fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        fd = -errno;
    else
        close(fd);
    close(parent);
    return fd < 0 ? dav_status(fd) : 0;
}

static unsigned take(struct dav_request *request, const struct lock *wanted)
{
    struct dav *dav = request->dav;
    struct statx info;
    struct lock *lock;
    unsigned status = 0;
    int failed;

    if (locks_find(dav->locks, request->path) || (wanted->infinite && locks_find_below(dav->locks, request->path)))
        return 423;
    failed = folder_stat(dav->root, request->path, &info);
    if (failed == -ENOENT)
        status = make_file(request);
    else if (failed < 0)
        status = dav_status_parent(failed);
    if (status)
        return status;
    lock = locks_add(dav->locks, request->path, wanted);
    if (!lock)
        return 503;
    snprintf(request->lock_token, sizeof request->lock_token, "%s", lock->token);
    return tell(request, lock, failed < 0 ? 201 : 200);
}

unsigned dav_lock(struct dav_request *request)
{
    const char *depth = peer_value(request->peer, "depth");
    struct dav_body body;
    struct lock wanted = {.infinite = !depth || strcmp(depth, "0") != 0, .seconds = seconds_of(request->peer)};
    unsigned status = dav_read_body(request, DAV_LOCKINFO, &body);

    if (status == 0 && !body.empty && (!body.exclusive || !body.write))
        status = 403;
    if (status == 0 && depth && strcmp(depth, "0") != 0 && strcasecmp(depth, "infinity") != 0)
        status = 400;
    if (status == 0)
        status = dav_begin(request);
    if (status)
        return status;
    memcpy(wanted.owner, body.owner, sizeof wanted.owner);
    wanted.owner_is_reference = body.owner_is_reference;
    status = body.empty ? refresh(request) : take(request, &wanted);
    dav_end(request);
    return status;
}

unsigned dav_unlock(struct dav_request *request)
{
    const char *field = peer_value(request->peer, "lock-token");
    char token[LOCK_TOKEN_ROOM];
    struct lock *lock;
    unsigned status;

    if (!field || sscanf(field, "<%55[^>]>", token) != 1)
        return 400;
    status = dav_begin(request);
    if (status)
        return status;
    lock = locks_with_token(request->dav->locks, request->path, token);
    if (lock)
        locks_remove(lock);
    dav_end(request);
    return lock ? 204 : 409;
}
