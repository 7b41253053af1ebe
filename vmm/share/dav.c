/* From a request to its method, and from the method's status to the answer (see dav.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "dav_private.h"

#define METHODS "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"

static unsigned options(struct dav_request *request)
{
    struct peer *peer = request->peer;

    peer_begin(peer, 200);
    peer_field(peer, "DAV", "1, 2");
    peer_field(peer, "MS-Author-Via", "DAV");
    peer_field(peer, "Allow", METHODS);
    peer_field(peer, "Accept-Ranges", "bytes");
    peer_send_head(peer, 0);
    return 0;
}

static const struct method {
    const char *name;
    unsigned (*run)(struct dav_request *request);
    bool writes;
} methods[] = {
    {"OPTIONS", options, false},       {"GET", dav_get, false},
    {"HEAD", dav_get, false},          {"PUT", dav_put, true},
    {"DELETE", dav_delete, true},      {"MKCOL", dav_mkcol, true},
    {"COPY", dav_copy_or_move, true},  {"MOVE", dav_copy_or_move, true},
    {"PROPFIND", dav_propfind, false}, {"PROPPATCH", dav_proppatch, true},
    {"LOCK", dav_lock, true},          {"UNLOCK", dav_unlock, true},
};

struct dav *dav_create(int root, bool read_only, const char *name)
{
    struct dav *dav = calloc(1, sizeof *dav);

    if (!dav)
        return NULL;
    dav->root = root;
    dav->read_only = read_only;
    dav->name = strdup(name);
    dav->locks = locks_create();
    if (!dav->name || !dav->locks) {
        locks_destroy(dav->locks);
        free(dav->name);
        free(dav);
        return NULL;
    }
    pthread_mutex_init(&dav->lock, NULL);
    return dav;
}

void dav_destroy(struct dav *dav)
{
    if (!dav)
        return;
    pthread_mutex_destroy(&dav->lock);
    locks_destroy(dav->locks);
    close(dav->root);
    free(dav->name);
    free(dav);
}

void dav_stop(struct dav *dav)
{
    atomic_store(&dav->stopping, true);
}

unsigned dav_status(int failed)
{
    switch (-failed) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 404;
    case EACCES:
    case EPERM:
    case EROFS:
    case E2BIG:
    case ETXTBSY:
    case EBUSY:
        return 403;
    case EEXIST:
        return 412;
    case ENOTEMPTY:
        return 409;
    case EXDEV:
        return 502;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMLINK:
        return 507;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ECANCELED:
        return 503;
    default:
        return 500;
    }
}

unsigned dav_status_parent(int failed)
{
    unsigned status = dav_status(failed);

    return status == 404 ? 409 : status;
}

void dav_etag(const struct statx *info, char etag[ETAG_ROOM])
{
    snprintf(etag, ETAG_ROOM, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%x\"", (uint64_t)info->stx_ino,
             (uint64_t)info->stx_size, (uint64_t)info->stx_mtime.tv_sec, info->stx_mtime.tv_nsec);
}

struct xml *dav_document(const char *root)
{
    struct xml *xml = xml_create();

    if (xml) {
        xml_open(xml, root);
        xml_attribute(xml, "xmlns:D", DAV_SPACE);
    }
    return xml;
}

/* Conditions. */

static bool is_locked_with(void *opaque, const char *path, const char *token)
{
    return locks_with_token(((struct dav *)opaque)->locks, path, token);
}

static bool etag_of(void *opaque, const char *path, char etag[ETAG_ROOM])
{
    struct statx info;

    if (folder_stat(((struct dav *)opaque)->root, path, &info) < 0)
        return false;
    dav_etag(&info, etag);
    return true;
}

/* If-Match and If-None-Match (RFC 9110, 13.1): a list of tags, or a star for anything that is there. */
static bool names_it(const struct dav_request *request, const char *list)
{
    char etag[ETAG_ROOM];

    return etag_of(request->dav, request->path, etag) && (!strcmp(list, "*") || strstr(list, etag));
}

static unsigned check_conditions(struct dav_request *request)
{
    const struct conditions_facts facts = {is_locked_with, etag_of, request->dav};
    const char *field = peer_value(request->peer, "if"), *match = peer_value(request->peer, "if-match"),
               *none = peer_value(request->peer, "if-none-match");
    int result;

    request->tokens.count = 0;
    result = field ? conditions_hold(field, request->path, &facts, &request->tokens) : 1;
    if (result < 0)
        return 400;
    if (result == 0 || (match && !names_it(request, match)))
        return 412;
    if (none && names_it(request, none))
        return !strcmp(request->peer->method, "GET") || !strcmp(request->peer->method, "HEAD") ? 304 : 412;
    return 0;
}

unsigned dav_begin(struct dav_request *request)
{
    unsigned status;

    pthread_mutex_lock(&request->dav->lock);
    status = check_conditions(request);
    if (status)
        pthread_mutex_unlock(&request->dav->lock);
    return status;
}

void dav_end(struct dav_request *request)
{
    pthread_mutex_unlock(&request->dav->lock);
}

/* Requests. */

/* An address, or localhost, with or without a port. */
static bool is_host_plain(const char *host)
{
    size_t name = strncasecmp(host, "localhost", 9) != 0 ? strspn(host, "0123456789.") : 9;

    return name && (!host[name] || (host[name] == ':' && !host[name + 1 + strspn(host + name + 1, "0123456789")]));
}

/*
 * A page of the world that the guest's browser shows may have its own name lead here, and is then told apart by that
 * name; or it sends to this address, and the browser says for whom.
 */
static bool comes_from_a_page(const struct peer *peer)
{
    const char *host = peer_value(peer, "host");

    return peer_value(peer, "origin") || !host || !is_host_plain(host);
}

static unsigned run(struct dav_request *request)
{
    const struct method *method = NULL;
    int failed;

    for (size_t n = 0; n < ARRAY_SIZE(methods); n++)
        if (!strcmp(request->peer->method, methods[n].name))
            method = &methods[n];
    if (comes_from_a_page(request->peer))
        return 403;
    if (!method)
        return 405;
    if (method->run == options && !strcmp(request->peer->target, "*"))
        return options(request);
    failed = path_decode(request->peer->target, request->path);
    if (failed == -EINVAL)
        return 400;
    if (failed < 0)
        return failed == -ENAMETOOLONG ? 414 : method->writes ? 403 : 404;
    if (method->writes && request->dav->read_only)
        return 403;
    return method->run(request);
}

static void answer(struct dav_request *request, unsigned status)
{
    struct peer *peer = request->peer;
    size_t size = 0;
    char *text = request->document ? xml_finish(request->document, &size, NULL) : NULL;

    if (request->document && !text)
        status = 503;
    peer_begin(peer, status);
    if (status == 405)
        peer_field(peer, "Allow", METHODS);
    if (status == 416)
        peer_field(peer, "Content-Range", "bytes */%" PRIu64, request->total);
    if (request->lock_token[0])
        peer_field(peer, "Lock-Token", "<%s>", request->lock_token);
    if (text)
        peer_field(peer, "Content-Type", "application/xml; charset=\"utf-8\"");
    peer_send_head(peer, size);
    if (text)
        peer_write(peer, text, size);
    free(text);
}

void dav_serve(struct dav *dav, struct peer *peer, unsigned status)
{
    struct dav_request request = {.dav = dav, .peer = peer};

    if (status <= 1)
        status = run(&request);
    if (status)
        answer(&request, status);
    peer_finish(peer);
}
