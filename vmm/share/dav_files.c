/* The content of files: GET and HEAD with one range (RFC 9110, 14), PUT. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "dav_private.h"

struct range {
    uint64_t first, length;
    bool part;
};

/* Up to 18 digits. */
static bool take_number(const char **at, uint64_t *number)
{
    size_t digits = strspn(*at, "0123456789");

    if (digits == 0 || digits > 18)
        return false;
    *number = strtoull(*at, NULL, 10);
    *at += digits;
    return true;
}

/*
 * What is asked for of size bytes. false: nothing of it is there. Several ranges, and what is none, are answered with
 * the whole, as a server may.
 */
static bool choose_range(const char *field, uint64_t size, struct range *range)
{
    uint64_t first = 0, last = UINT64_MAX;
    bool has_first;

    *range = (struct range){0, size, false};
    if (!field || strncmp(field, "bytes=", 6) != 0)
        return true;
    field += 6;
    has_first = take_number(&field, &first);
    if (*field++ != '-' || (!take_number(&field, &last) && !has_first) || *field || last < first)
        return true;
    if (!has_first) {
        first = last < size ? size - last : 0;
        first = last ? first : size;
        last = UINT64_MAX;
    }
    if (first >= size)
        return false;
    *range = (struct range){first, MIN(last, size - 1) - first + 1, true};
    return true;
}

static void send_file_head(struct dav_request *request, const struct statx *info, const struct range *range)
{
    struct peer *peer = request->peer;
    time_t changed = (time_t)info->stx_mtime.tv_sec;
    char etag[ETAG_ROOM], date[40] = "";
    struct tm parts;

    dav_etag(info, etag);
    if (gmtime_r(&changed, &parts))
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    peer_begin(peer, range->part ? 206 : 200);
    peer_field(peer, "Content-Type", "application/octet-stream");
    peer_field(peer, "X-Content-Type-Options", "nosniff");
    peer_field(peer, "Accept-Ranges", "bytes");
    peer_field(peer, "Last-Modified", "%s", date);
    peer_field(peer, "ETag", "%s", etag);
    if (range->part)
        peer_field(peer, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->first,
                   range->first + range->length - 1, (uint64_t)info->stx_size);
    peer_send_head(peer, range->length);
}

static void send_content(struct dav_request *request, int fd, const struct range *range, char *piece)
{
    uint64_t at = range->first, left = range->length;

    while (left) {
        size_t now = MIN(left, (uint64_t)DAV_PIECE);

        /* The length is promised: what was cut off meanwhile ends the connection. */
        if (atomic_load(&request->dav->stopping) || file_read_at(fd, piece, now, at) < 0 ||
            !peer_write(request->peer, piece, now)) {
            request->peer->last = true;
            return;
        }
        at += now;
        left -= now;
    }
}

static unsigned send_file(struct dav_request *request, int fd, const struct statx *info)
{
    const char *condition = peer_value(request->peer, "if-range"), *field = peer_value(request->peer, "range");
    bool head = !strcmp(request->peer->method, "HEAD");
    char etag[ETAG_ROOM], *piece = head ? NULL : malloc(DAV_PIECE);
    struct range range;

    if (!head && !piece)
        return 503;
    dav_etag(info, etag);
    if (!choose_range(head || (condition && strcmp(condition, etag) != 0) ? NULL : field, info->stx_size, &range)) {
        request->total = info->stx_size;
        free(piece);
        return 416;
    }
    send_file_head(request, info, &range);
    if (!head)
        send_content(request, fd, &range, piece);
    free(piece);
    return 0;
}

unsigned dav_get(struct dav_request *request)
{
    unsigned status = dav_begin(request);
    struct statx info;
    int fd;

    if (status)
        return status;
    dav_end(request);
    fd = folder_open_node(request->dav->root, request->path, O_RDONLY, &info);
    if (fd < 0)
        return dav_status(fd);
    status = folder_is_folder(&info) ? 405 : send_file(request, fd, &info);
    close(fd);
    return status;
}

/* What is there now, and whether it may be replaced; with the lock held. */
static unsigned may_put(struct dav_request *request, struct statx *old)
{
    struct dav *dav = request->dav;
    int failed = folder_stat(dav->root, request->path, old);

    if (failed < 0)
        *old = (struct statx){0};
    else if (folder_is_folder(old))
        return 405;
    return locks_permit(dav->locks, request->path, failed < 0 ? LOCKS_NAME : LOCKS_CONTENT, &request->tokens) ? 0 : 423;
}

/* 0, or a status. */
static unsigned receive_file(struct dav_request *request, int fd)
{
    char *piece = malloc(DAV_PIECE);
    unsigned status = piece ? 0 : 503;
    ssize_t count = 1;
    int failed = 0;

    while (status == 0 && count > 0) {
        count = peer_read_body(request->peer, piece, DAV_PIECE);
        if (count < 0)
            status = 400;
        else if (atomic_load(&request->dav->stopping))
            status = 503;
        else
            failed = file_write(fd, piece, (size_t)count);
        if (failed < 0)
            status = dav_status(failed);
    }
    free(piece);
    /* Here and not with the lock held: it may take long. */
    return status == 0 && fsync(fd) < 0 ? dav_status(-errno) : status;
}

/* Whole, it takes its place, if it still may. */
static unsigned publish(struct dav_request *request, struct folder_staged *staged, const char *name)
{
    unsigned status = dav_begin(request);
    struct statx old;
    int failed;

    if (status == 0) {
        status = may_put(request, &old);
        if (status == 0) {
            failed = folder_publish(staged, name, old.stx_mode == 0, old.stx_mode);
            dav_end(request);
            return failed < 0 ? dav_status(failed) : old.stx_mode ? 204 : 201;
        }
        dav_end(request);
    }
    folder_drop(staged);
    return status;
}

unsigned dav_put(struct dav_request *request)
{
    struct folder_staged staged;
    struct statx old;
    const char *name;
    unsigned status;
    int parent, failed;

    if (peer_value(request->peer, "content-range"))
        return 400; /* RFC 9110, 14.5: it would become the whole file */
    status = dav_begin(request);
    if (status)
        return status;
    status = may_put(request, &old);
    dav_end(request);
    if (status)
        return status;
    parent = folder_open_parent(request->dav->root, request->path, &name);
    if (parent < 0)
        return dav_status_parent(parent);
    failed = folder_stage(parent, &staged);
    status = failed < 0 ? dav_status(failed) : receive_file(request, staged.fd);
    if (failed == 0 && status)
        folder_drop(&staged);
    else if (failed == 0)
        status = publish(request, &staged, name);
    close(parent);
    return status;
}
