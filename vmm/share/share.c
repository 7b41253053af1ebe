/* See share.h. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "dav.h"
#include "folder.h"
#include "share.h"

#define BACKLOG 64
#define LINGER_MS 1000
#define LINGER_READS 64U

/* A connection's place. Its thread takes it and, when it is done, leaves it to be joined. */
struct place {
    struct share *share;
    pthread_t thread;
    bool used, ended;
    struct peer peer;
};

struct share {
    struct dav *dav;
    char *socket;
    int listener, quit; /* quit: an eventfd that wakes the acceptor */
    bool owns_listener;
    pthread_t acceptor;
    bool accepting;
    pthread_mutex_t lock; /* of the places, and closing */
    bool closing;
    struct place places[SHARE_CONNECTIONS];
};

/* What was sent last would be lost if unread input were thrown away with it. */
static void linger(struct peer *peer)
{
    struct pollfd poller = {.fd = peer->fd, .events = POLLIN};
    char piece[4096];

    shutdown(peer->fd, SHUT_WR);
    for (unsigned n = 0; n < LINGER_READS; n++)
        if (poll(&poller, 1, LINGER_MS) <= 0 || recv(peer->fd, piece, sizeof piece, 0) <= 0)
            return;
}

static void *serve(void *opaque)
{
    struct place *place = opaque;
    struct share *share = place->share;
    struct peer *peer = &place->peer;
    unsigned status;

    pthread_setname_np(pthread_self(), "share peer");
    while (!peer->last && (status = peer_read_request(peer)))
        dav_serve(share->dav, peer, status);
    linger(peer);
    pthread_mutex_lock(&share->lock);
    close(peer->fd);
    place->ended = true;
    pthread_mutex_unlock(&share->lock);
    return NULL;
}

/* A place that nobody has, its last thread joined; NULL: none. With the lock held. */
static struct place *find_place(struct share *share)
{
    for (unsigned n = 0; n < SHARE_CONNECTIONS && !share->closing; n++) {
        struct place *place = &share->places[n];

        if (place->used && place->ended) {
            pthread_join(place->thread, NULL); /* it has nothing left to do */
            place->used = false;
        }
        if (!place->used)
            return place;
    }
    return NULL;
}

int share_serve(struct share *share, int fd)
{
    struct place *place;
    int failed;

    pthread_mutex_lock(&share->lock);
    place = find_place(share);
    failed = place ? 0 : -EBUSY;
    if (place) {
        memset(place, 0, sizeof *place);
        place->share = share;
        place->peer.fd = fd;
        failed = -pthread_create(&place->thread, NULL, serve, place);
        place->used = failed == 0;
    }
    pthread_mutex_unlock(&share->lock);
    if (failed < 0)
        close(fd);
    return failed;
}

static void *accept_all(void *opaque)
{
    static struct log_limit limit;
    struct share *share = opaque;
    struct pollfd pollers[] = {{.fd = share->listener, .events = POLLIN}, {.fd = share->quit, .events = POLLIN}};

    pthread_setname_np(pthread_self(), "share");
    while (poll(pollers, ARRAY_SIZE(pollers), -1) >= 0 || errno == EINTR) {
        int fd;

        if (pollers[1].revents)
            break;
        fd = accept4(share->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && share_serve(share, fd) < 0)
            log_guest(&limit, "share: more than %d connections; one was closed", SHARE_CONNECTIONS);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            log_guest(&limit, "share: no connection could be accepted: %s", strerror(errno));
            poll(&pollers[1], 1, 100); /* until there is room, or the end comes */
        }
    }
    return NULL;
}

static int listen_at(struct share *share, const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, ENAMETOOLONG, "the share's socket %s: longer than %zu bytes; give a shorter --state",
                         path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    share->owns_listener = true;
    share->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path); /* what a machine left that was killed: the folder is locked by this one */
    /* The file takes its mode from the socket (unix(7)), so there is no moment at which others could open it. */
    if (share->listener < 0 || fchmod(share->listener, 0600) < 0 ||
        bind(share->listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(share->listener, BACKLOG) < 0)
        return error_set(error, errno, "the share's socket %s: %s; give a --state that is writable", path,
                         strerror(errno));
    share->socket = strdup(path);
    return share->socket ? 0 : error_set(error, ENOMEM, "the share's socket %s: out of memory", path);
}

static int start_acceptor(struct share *share, struct error *error)
{
    int failed;

    share->quit = eventfd(0, EFD_CLOEXEC);
    failed = share->quit < 0 ? errno : pthread_create(&share->acceptor, NULL, accept_all, share);
    share->accepting = failed == 0;
    return failed ? error_set(error, failed, "the share's thread: %s", strerror(failed)) : 0;
}

static int open_shared(const struct share_options *options, struct error *error)
{
    int root = folder_open("--share", options->folder, options->read_only, error);

    if (root < 0 || !options->state || !folder_holds(root, options->state))
        return root;
    close(root);
    return error_set(error, EINVAL,
                     "--share %s: --state %s is in it, where the machine keeps its secrets; share a folder beside it",
                     options->folder, options->state);
}

static int start(struct share *share, const struct share_options *options, struct error *error)
{
    int failed = options->socket ? listen_at(share, options->socket, error) : 0;

    if (!options->socket)
        share->listener = options->listener;
    return failed == 0 ? start_acceptor(share, error) : failed;
}

int share_create(const struct share_options *options, struct share **made, struct error *error)
{
    int root = open_shared(options, error), failed = 0;
    struct share *share;

    if (root < 0)
        return root;
    share = calloc(1, sizeof *share);
    if (!share) {
        close(root);
        return error_set(error, ENOMEM, "--share %s: out of memory", options->folder);
    }
    share->listener = share->quit = -1;
    pthread_mutex_init(&share->lock, NULL);
    share->dav = dav_create(root, options->read_only, options->name);
    if (!share->dav) {
        close(root);
        failed = error_set(error, ENOMEM, "--share %s: out of memory", options->folder);
    } else if (options->socket || options->listener) {
        failed = start(share, options, error);
    }
    if (failed < 0) {
        share_destroy(share);
        return failed;
    }
    *made = share;
    return 0;
}

int share_check(const struct share_options *options, struct error *error)
{
    int root = open_shared(options, error);

    if (root >= 0)
        close(root);
    return MIN(root, 0);
}

int share_connect(struct share *share)
{
    int ends[2], failed;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    failed = share_serve(share, ends[0]);
    if (failed == 0)
        return ends[1];
    close(ends[1]);
    return failed;
}

static void end_connections(struct share *share)
{
    pthread_mutex_lock(&share->lock);
    share->closing = true;
    for (unsigned n = 0; n < SHARE_CONNECTIONS; n++)
        if (share->places[n].used && !share->places[n].ended)
            shutdown(share->places[n].peer.fd, SHUT_RDWR);
    pthread_mutex_unlock(&share->lock);
    for (unsigned n = 0; n < SHARE_CONNECTIONS; n++)
        if (share->places[n].used)
            pthread_join(share->places[n].thread, NULL);
}

void share_destroy(struct share *share)
{
    if (!share)
        return;
    if (share->accepting) {
        eventfd_write(share->quit, 1);
        pthread_join(share->acceptor, NULL);
    }
    if (share->dav)
        dav_stop(share->dav);
    end_connections(share);
    if (share->owns_listener && share->listener >= 0)
        close(share->listener);
    if (share->quit >= 0)
        close(share->quit);
    if (share->socket)
        unlink(share->socket);
    dav_destroy(share->dav);
    pthread_mutex_destroy(&share->lock);
    free(share->socket);
    free(share);
}
