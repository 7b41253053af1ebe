/* One viewer's thread (see rfb_viewer.h). */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rfb/rfb.h>
#include <rfb/rfbregion.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/loop.h"
#include "rfb_messages.h"
#include "rfb_viewer.h"

#define STALL_MS 20000 /* the library gives up a write that has not come further */
/* Messages that are served before it is looked at whether there is something to show. */
#define MESSAGES_AT_ONCE 128
/* Beyond so many rectangles the library sends the one around them; by far more than a screen has at work. */
#define RECTANGLES_MAX 1024

struct viewer {
    const struct rfb_viewer_options *options;
    rfbClientPtr client;
    struct screen_view *view;
    int wake_fd, poll_fd;
    const struct screen_picture *picture;
    struct rfb_input input;
    bool extended_keys, extended_buttons;
    bool resized;       /* since the peer was told the size at first */
    bool partial, more; /* of a message; of messages */
    bool served;        /* a whole message, in this round */
    bool hung_up;       /* nothing arrives any more */
    uint32_t skip;      /* bytes of text that nobody wants */
    uint32_t sent;      /* the library's count, which wraps */
};

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;

static void no_log(const char *format, ...)
{
    (void)format;
}

rfbScreenInfoPtr rfb_viewer_screen_create(const char *name)
{
    rfbScreenInfoPtr lib;

    rfbLog = no_log;
    rfbErr = no_log;
    /* Both make their locks at their first use, and that is no time for two threads. */
    rfbGetExtensionIterator();
    rfbReleaseExtensionIterator();
    lib = rfbGetScreen(NULL, NULL, 640, 480, 8, 3, 4);
    if (!lib)
        return NULL;
    lib->desktopName = name;
    lib->alwaysShared = TRUE;
    lib->cursor = NULL; /* the guest draws its own */
    lib->deferUpdateTime = 0;
    lib->maxRectsPerUpdate = RECTANGLES_MAX;
    lib->maxClientWait = STALL_MS;
    lib->permitFileTransfer = FALSE;
    lib->setXCutTextUTF8 = NULL; /* later versions than 0.9.14 do not offer the extended clipboard then */
    return lib;
}

void rfb_viewer_screen_destroy(rfbScreenInfoPtr lib)
{
    rfbScreenCleanup(lib);
}

static void expect(struct viewer *viewer, bool something)
{
    atomic_store(viewer->options->deadline_ns, something ? clock_ns() + viewer->options->patience_ns : 0);
}

/* The guest's pixels as they lie in memory: blue, green, red, nothing. */
static void set_server_format(rfbScreenInfoPtr lib)
{
    lib->serverFormat.depth = 24;
    lib->serverFormat.trueColour = 1; /* as the wire has it; the library's own TRUE is -1 */
    lib->serverFormat.redShift = 16;
    lib->serverFormat.greenShift = 8;
    lib->serverFormat.blueShift = 0;
}

/* A new picture, or the first. */
static void show_picture(struct viewer *viewer, const struct screen_picture *picture)
{
    rfbScreenInfoPtr lib = viewer->options->lib;

    viewer->picture = picture;
    rfbNewFramebuffer(lib, (char *)picture->pixels, (int)picture->width, (int)picture->height, 8, 3, 4);
    set_server_format(lib);
    if (!viewer->client)
        return;
    lib->setTranslateFunction(viewer->client);
    viewer->resized = true;
}

/* Neighbours in a line become one rectangle. */
static void mark_tiles(rfbScreenInfoPtr lib, const struct screen_picture *picture, const uint64_t *tiles)
{
    for (unsigned down = 0; down < picture->tiles_down; down++)
        for (unsigned across = 0, run; across < picture->tiles_across; across += run + 1) {
            size_t tile = (size_t)down * picture->tiles_across + across;

            for (run = 0; across + run < picture->tiles_across && (tiles[tile / 64] >> tile % 64 & 1); run++)
                tile++;
            if (run)
                rfbMarkRectAsModified(lib, (int)(across * SCREEN_TILE_WIDTH), (int)(down * SCREEN_TILE_HEIGHT),
                                      (int)((across + run) * SCREEN_TILE_WIDTH),
                                      (int)((down + 1) * SCREEN_TILE_HEIGHT));
        }
}

static void look(struct viewer *viewer)
{
    const struct screen_picture *picture;
    const uint64_t *tiles;

    if (!screen_view_take(viewer->view, &picture, &tiles))
        return;
    if (!viewer->picture || picture != viewer->picture)
        show_picture(viewer, picture);
    else
        mark_tiles(viewer->options->lib, viewer->picture, tiles);
}

/*
 * A client of the library that is past the handshake: it has that with one end of a socket pair, whose other end holds
 * what a peer would say, and then its descriptor is made to lead to the real peer. Nothing of a peer is looked at
 * before (the library would take it for a websocket or TLS, if it liked).
 */
static rfbClientPtr adopt(rfbScreenInfoPtr lib, int fd)
{
    static struct log_limit limit;
    static const char said[] = "RFB 003.008\n\1"; /* the version, and security type None */
    rfbClientPtr client = NULL;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return NULL;
    if (pair[0] < FD_SETSIZE && write(pair[1], said, sizeof said - 1) == (ssize_t)sizeof said - 1) {
        pthread_mutex_lock(&process_lock);
        client = rfbNewClient(lib, pair[0]); /* closes it when it fails */
        while (client && client->sock >= 0 && client->state < RFB_INITIALISATION)
            rfbProcessClientMessage(client);
        pthread_mutex_unlock(&process_lock);
    } else { /* the library waits with select() */
        log_guest(&limit, "a viewer was turned away: too many files are open");
        close(pair[0]);
    }
    if (client && (client->sock < 0 || dup3(fd, client->sock, O_CLOEXEC) < 0)) {
        rfbClientConnectionGone(client);
        client = NULL;
    }
    close(pair[1]);
    return client;
}

/* An update of one empty rectangle with the pseudo-encoding says that the server has it too. */
static bool acknowledge(struct viewer *viewer, int32_t encoding)
{
    uint8_t update[16] = {0, 0, 0, 1};

    put_be32(update + 12, (uint32_t)encoding);
    return rfbWriteExact(viewer->client, (char *)update, sizeof update) > 0;
}

static bool set_encodings(struct viewer *viewer, const struct rfb_message *message)
{
    rfbClientPtr client = viewer->client;
    bool keys = message->extended_keys && !viewer->extended_keys;
    bool buttons = message->extended_buttons && !viewer->extended_buttons;

    rfbProcessClientMessage(client);
    /* One that had not said before that it can be told of a new size. */
    if (viewer->resized && client->useNewFBSize)
        client->newFBSizePending = TRUE;
    viewer->extended_keys |= keys;
    viewer->extended_buttons |= buttons;
    return (!keys || acknowledge(viewer, -258)) && (!buttons || acknowledge(viewer, -316));
}

/* What is in the socket already is taken without waiting. */
static bool drop(struct viewer *viewer, size_t length)
{
    uint8_t bytes[RFB_MESSAGE_MAX];
    ssize_t got = recv(viewer->options->fd, bytes, MIN(length, sizeof bytes), MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got > 0 && viewer->skip)
        viewer->skip -= (uint32_t)got;
    return got > 0;
}

static bool is_empty(const struct rfb_message *request, const rfbScreenInfoPtr lib)
{
    return !request->width || !request->height || request->x >= lib->width || request->y >= lib->height;
}

/* false: the peer is to leave. */
static bool serve(struct viewer *viewer, const struct rfb_message *message)
{
    const struct screen_picture *picture = viewer->picture;

    switch (message->kind) {
    case RFB_MESSAGE_UPDATE_REQUEST:
        if (is_empty(message, viewer->options->lib))
            return drop(viewer, message->length);
        /* fall through */
    case RFB_MESSAGE_LIBRARY:
        rfbProcessClientMessage(viewer->client);
        return viewer->client->sock >= 0;
    case RFB_MESSAGE_SET_ENCODINGS:
        return set_encodings(viewer, message) && viewer->client->sock >= 0;
    case RFB_MESSAGE_KEY:
        rfb_input_keysym(&viewer->input, message->keysym, message->down);
        break;
    case RFB_MESSAGE_EXTENDED_KEY:
        rfb_input_key(&viewer->input, message->scan_code, message->keysym, message->down);
        break;
    case RFB_MESSAGE_POINTER:
        rfb_input_pointer(&viewer->input, message->x, message->y, picture->width, picture->height, message->buttons);
        break;
    case RFB_MESSAGE_CUT_TEXT:
        if (!drop(viewer, message->length))
            return false;
        viewer->skip = message->skip;
        return true;
    default:
        return false;
    }
    screen_hurry(viewer->options->screen); /* the guest is about to answer */
    return drop(viewer, message->length);
}

/* One message. false: the peer has left, or is to. */
static bool serve_next(struct viewer *viewer)
{
    uint8_t data[RFB_MESSAGE_MAX];
    struct rfb_message message;
    ssize_t size = recv(viewer->options->fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);

    viewer->more = false;
    if (size < 0)
        return errno == EAGAIN || errno == EINTR;
    if (size == 0)
        return false;
    viewer->more = true;
    if (viewer->skip)
        return drop(viewer, viewer->skip);
    if (viewer->client->state == RFB_INITIALISATION) { /* ClientInit, one byte */
        rfbProcessClientMessage(viewer->client);
        return viewer->client->sock >= 0;
    }
    rfb_message_parse(data, (size_t)size, viewer->extended_buttons, &message);
    if (message.kind != RFB_MESSAGE_PARTIAL) {
        viewer->served = true;
        return serve(viewer, &message);
    }
    viewer->more = false;
    viewer->partial = true;
    return !viewer->hung_up;
}

static bool serve_messages(struct viewer *viewer)
{
    viewer->partial = viewer->served = false;
    viewer->more = true;
    for (unsigned n = 0; n < MESSAGES_AT_ONCE && viewer->more; n++)
        if (!serve_next(viewer))
            return false;
    viewer->partial |= viewer->skip > 0 || viewer->client->state != RFB_NORMAL;
    if (!viewer->partial || viewer->served)
        expect(viewer, viewer->partial);
    else if (!atomic_load(viewer->options->deadline_ns))
        expect(viewer, true);
    return true;
}

/* Sends what the peer has asked for and does not have yet. */
static bool send_update(struct viewer *viewer)
{
    rfbClientPtr client = viewer->client;
    uint32_t sent;

    if (client->state != RFB_NORMAL || sraRgnEmpty(client->requestedRegion))
        return true;
    look(viewer);
    if (FB_UPDATE_PENDING(client)) {
        expect(viewer, true);
        if (client->useNewFBSize && client->newFBSizePending)
            rfbUpdateClient(client); /* the size alone; the request still stands */
        if (client->sock >= 0)
            rfbUpdateClient(client);
        expect(viewer, viewer->partial);
        if (client->sock < 0)
            return false;
        sent = (uint32_t)rfbStatGetSentBytes(client);
        atomic_fetch_add(viewer->options->bytes, sent - viewer->sent);
        if (sent != viewer->sent)
            atomic_fetch_add(viewer->options->frames, 1);
        viewer->sent = sent;
    }
    if (!sraRgnEmpty(client->requestedRegion))
        screen_view_wait(viewer->view);
    return true;
}

static void wait_for_events(struct viewer *viewer)
{
    struct epoll_event events[2];
    uint64_t count;
    int ready = epoll_wait(viewer->poll_fd, events, ARRAY_SIZE(events), viewer->more ? 0 : -1);

    for (int n = 0; n < ready; n++)
        if (events[n].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            viewer->hung_up = true;
    if (read(viewer->wake_fd, &count, sizeof count) < 0)
        return; /* it was the socket */
}

/* The socket tells each arrival once, so that half a message does not keep the thread busy. */
static bool prepare(struct viewer *viewer)
{
    struct epoll_event socket_event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, wake_event = {.events = EPOLLIN};

    viewer->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    viewer->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (viewer->wake_fd < 0 || viewer->poll_fd < 0 ||
        epoll_ctl(viewer->poll_fd, EPOLL_CTL_ADD, viewer->options->fd, &socket_event) < 0 ||
        epoll_ctl(viewer->poll_fd, EPOLL_CTL_ADD, viewer->wake_fd, &wake_event) < 0)
        return false;
    viewer->view = screen_view_create(viewer->options->screen, viewer->wake_fd);
    return viewer->view != NULL;
}

/* The first picture, within the deadline: nothing can be told before its size is known. */
static bool wait_for_picture(struct viewer *viewer)
{
    while (!viewer->picture) {
        screen_view_wait(viewer->view);
        wait_for_events(viewer);
        look(viewer);
        if (viewer->hung_up)
            return false;
    }
    viewer->client = adopt(viewer->options->lib, viewer->options->fd);
    return viewer->client != NULL;
}

static void clean_up(struct viewer *viewer)
{
    rfb_input_release(&viewer->input);
    if (viewer->client) {
        if (viewer->client->sock >= 0)
            rfbCloseClient(viewer->client);
        rfbClientConnectionGone(viewer->client);
    }
    if (viewer->view)
        screen_view_destroy(viewer->view);
    if (viewer->wake_fd >= 0)
        close(viewer->wake_fd);
    if (viewer->poll_fd >= 0)
        close(viewer->poll_fd);
}

void rfb_viewer_run(const struct rfb_viewer_options *options)
{
    struct viewer viewer = {
        .options = options, .input = {.input = options->input}, .wake_fd = -1, .poll_fd = -1, .partial = true};
    sigset_t signals;

    sigfillset(&signals); /* SIGPIPE above all: the library writes to sockets that have no reader any more */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    expect(&viewer, true);
    if (prepare(&viewer) && wait_for_picture(&viewer))
        while (serve_messages(&viewer) && send_update(&viewer))
            wait_for_events(&viewer);
    clean_up(&viewer);
}
