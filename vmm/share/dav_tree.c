/* What is where: MKCOL, DELETE, COPY, MOVE (RFC 4918, 9.3, 9.6, 9.8, 9.9). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dav_private.h"

static bool permits(struct dav_request *request, const char *path, unsigned bits)
{
    return locks_permit(request->dav->locks, path, bits, &request->tokens);
}

static unsigned make_folder(struct dav_request *request)
{
    int root = request->dav->root, parent, failed;
    struct statx info;
    const char *name;

    if (folder_stat(root, request->path, &info) == 0)
        return 405;
    if (!permits(request, request->path, LOCKS_NAME))
        return 423;
    parent = folder_open_parent(root, request->path, &name);
    if (parent < 0)
        return dav_status_parent(parent);
    failed = mkdirat(parent, name, 0777) < 0 ? -errno : 0;
    close(parent);
    return failed == -EEXIST ? 405 : failed < 0 ? dav_status(failed) : 201;
}

unsigned dav_mkcol(struct dav_request *request)
{
    unsigned status;

    if (request->peer->body != PEER_BODY_NONE)
        return 415;
    status = dav_begin(request);
    if (status)
        return status;
    status = make_folder(request);
    dav_end(request);
    return status;
}

/* 0 or -errno. */
static int remove_path(struct dav *dav, const char *path)
{
    const char *name;
    int parent = folder_open_parent(dav->root, path, &name), failed;

    if (parent < 0)
        return parent;
    failed = folder_remove(parent, name, &dav->stopping);
    close(parent);
    return failed;
}

static unsigned remove_node(struct dav_request *request)
{
    struct dav *dav = request->dav;
    struct statx info;
    int failed = folder_stat(dav->root, request->path, &info);

    if (failed < 0)
        return dav_status(failed);
    if (!permits(request, request->path, LOCKS_NAME | LOCKS_BELOW))
        return 423;
    failed = remove_path(dav, request->path);
    if (failed < 0)
        return dav_status(failed);
    locks_forget(dav->locks, request->path);
    return 204;
}

unsigned dav_delete(struct dav_request *request)
{
    unsigned status = request->path[0] ? dav_begin(request) : 403;

    if (status)
        return status;
    status = remove_node(request);
    dav_end(request);
    return status;
}

/* From one path to another. */
struct transfer {
    bool move, overwrite, deep;
    char to[PATH_ROOM];
    int from_parent, to_parent;
    const char *from_name, *to_name;
    bool replaces;
};

static bool is_same_host(const char *destination, const char *host)
{
    size_t length;

    if (*destination == '/')
        return true;
    if (strncasecmp(destination, "http://", 7) != 0)
        return false;
    destination += 7;
    length = strcspn(destination, "/");
    if (length > 3 && !strncmp(destination + length - 3, ":80", 3))
        length -= 3;
    return !strncasecmp(destination, host, length) && (!host[length] || !strcmp(host + length, ":80"));
}

/* 0, or a status. */
static unsigned take_destination(struct dav_request *request, struct transfer *transfer)
{
    const char *destination = peer_value(request->peer, "destination"),
               *overwrite = peer_value(request->peer, "overwrite"), *depth = peer_value(request->peer, "depth");
    int failed;

    transfer->move = !strcmp(request->peer->method, "MOVE");
    transfer->overwrite = !overwrite || strcasecmp(overwrite, "F") != 0;
    transfer->deep = transfer->move || !depth || strcmp(depth, "0") != 0;
    if (!destination)
        return 400;
    if (!is_same_host(destination, peer_value(request->peer, "host")))
        return 502;
    failed = path_decode(destination, transfer->to);
    if (failed < 0)
        return failed == -EINVAL ? 400 : 403;
    /* What is in the way would be removed first: never the source itself, nor the folder it is in. */
    if (path_is_within(request->path, transfer->to) || path_is_within(transfer->to, request->path))
        return 403;
    return 0;
}

/* Looks at both ends and removes what is in the way. 0, or a status. */
static unsigned prepare(struct dav_request *request, struct transfer *transfer)
{
    struct dav *dav = request->dav;
    struct statx from, to;
    int failed = folder_stat(dav->root, request->path, &from);

    if (failed < 0)
        return dav_status(failed);
    transfer->replaces = folder_stat(dav->root, transfer->to, &to) == 0;
    if (transfer->replaces && !transfer->overwrite)
        return 412;
    if (!permits(request, transfer->to, LOCKS_NAME | LOCKS_BELOW) ||
        (transfer->move && !permits(request, request->path, LOCKS_NAME | LOCKS_BELOW)))
        return 423;
    if (transfer->replaces && (folder_is_folder(&from) || folder_is_folder(&to)))
        failed = remove_path(dav, transfer->to);
    return failed < 0 ? dav_status(failed) : 0;
}

static int carry_out(struct dav *dav, const struct transfer *transfer)
{
    const struct folder_copying copying = {
        .with_content = transfer->deep, .over = transfer->replaces, .stop = &dav->stopping};

    if (!transfer->move)
        return folder_copy(transfer->from_parent, transfer->from_name, transfer->to_parent, transfer->to_name,
                           &copying);
    return renameat2(transfer->from_parent, transfer->from_name, transfer->to_parent, transfer->to_name,
                     transfer->replaces ? 0 : RENAME_NOREPLACE) < 0
               ? -errno
               : 0;
}

static unsigned transfer_node(struct dav_request *request, struct transfer *transfer)
{
    struct dav *dav = request->dav;
    unsigned status;
    int failed;

    transfer->to_parent = folder_open_parent(dav->root, transfer->to, &transfer->to_name);
    if (transfer->to_parent < 0)
        return dav_status_parent(transfer->to_parent);
    transfer->from_parent = folder_open_parent(dav->root, request->path, &transfer->from_name);
    status = transfer->from_parent < 0 ? dav_status(transfer->from_parent) : prepare(request, transfer);
    if (status == 0) {
        failed = carry_out(dav, transfer);
        status = failed < 0 ? dav_status(failed) : transfer->replaces ? 204 : 201;
        if (failed == 0 && transfer->move)
            locks_forget(dav->locks, request->path);
    }
    if (transfer->from_parent >= 0)
        close(transfer->from_parent);
    close(transfer->to_parent);
    return status;
}

unsigned dav_copy_or_move(struct dav_request *request)
{
    struct transfer transfer = {.from_parent = -1, .to_parent = -1};
    unsigned status = request->path[0] ? take_destination(request, &transfer) : 403;

    if (status == 0)
        status = dav_begin(request);
    if (status)
        return status;
    status = transfer_node(request, &transfer);
    dav_end(request);
    return status;
}
