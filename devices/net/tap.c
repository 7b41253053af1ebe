/* A TAP or macvtap as the world behind a network card (see net.h). It lives on the card's loop. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/net.h"
#include "casement/net_offload.h"

#define ETHERNET_BYTES 14
#define FRAMES_EACH_TURN 64 /* so that what the guest sends gets its turn */

struct tap {
    struct net_backend backend; /* first */
    struct net_side side;
    struct loop *loop; /* NULL: not attached */
    struct net_card card;
    struct loop_watch watch;
    struct loop_timer announce;
    bool watching;
    unsigned leave;                   /* NET_LEAVE_*, what the card asked for */
    size_t waiting;                   /* the length of the frame that the card had no buffer for; 0: none */
    uint8_t header[NET_VNET_BYTES];   /* of that frame */
    uint8_t frame[NET_FRAME_MAX + 1]; /* one more shows what is too long */
    uint8_t answer[NET_ANSWER_MAX];
};

/* The interface is gone, and poll() would say so for ever. */
static void give_up(struct tap *tap, int err)
{
    log_error("network: the TAP: %s; the guest has no network any more", strerror(err));
    loop_unwatch(tap->loop, &tap->watch);
    tap->watching = false;
}

/* Reads the next frame; false: there is none now. */
static bool next_frame(struct tap *tap)
{
    const struct iovec iov[] = {{tap->header, sizeof tap->header}, {tap->frame, sizeof tap->frame}};
    ssize_t count;

    do
        count = readv(tap->watch.fd, iov, 2);
    while (count < 0 && errno == EINTR);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN)
            give_up(tap, count ? errno : ENODEV);
        return false;
    }
    count -= NET_VNET_BYTES;
    tap->waiting = count >= ETHERNET_BYTES && count <= NET_FRAME_MAX ? (size_t)count : 0;
    return true;
}

/* false: the card has no buffer. A frame that was left unfinished for another driver of the card is lost. */
static bool deliver(struct tap *tap)
{
    const struct net_card *card = &tap->card;
    size_t length = tap->waiting;

    if (length && !(net_vnet_left(tap->header) & ~tap->leave) &&
        !card->receive(card->opaque, tap->leave ? tap->header : net_vnet_finished, tap->frame, length))
        return false;
    tap->waiting = 0;
    return true;
}

/* A card without buffers stops the reading, and the kernel's queue takes the rest or drops it. */
static void readable(void *opaque, short events)
{
    struct tap *tap = opaque;

    (void)events;
    for (unsigned n = 0; n < FRAMES_EACH_TURN && next_frame(tap); n++)
        if (!deliver(tap)) {
            tap->watch.events = 0;
            return;
        }
}

static void ready(struct net_backend *backend)
{
    struct tap *tap = container_of(backend, struct tap, backend);

    if (tap->loop && deliver(tap))
        tap->watch.events = POLLIN;
}

static void announce(void *opaque)
{
    struct tap *tap = opaque;
    size_t length = tap->loop ? tap->side.announce(tap->side.opaque, tap->answer) : 0;

    if (length)
        tap->card.receive(tap->card.opaque, net_vnet_finished, tap->answer, length);
    if (tap->loop)
        loop_timer_set(tap->loop, &tap->announce, clock_ns() + tap->side.announce_ns);
}

/* Where the kernel refuses, it leaves nothing undone. */
static void offload(struct net_backend *backend, unsigned kinds)
{
    struct tap *tap = container_of(backend, struct tap, backend);
    unsigned long flags = (kinds & NET_LEAVE_CHECKSUM ? TUN_F_CSUM : 0) | (kinds & NET_LEAVE_TCP4 ? TUN_F_TSO4 : 0) |
                          (kinds & NET_LEAVE_TCP6 ? TUN_F_TSO6 : 0) | (kinds & NET_LEAVE_ECN ? TUN_F_TSO_ECN : 0);

    tap->leave = kinds;
    if (ioctl(tap->watch.fd, TUNSETOFFLOAD, flags) < 0)
        tap->leave = 0;
}

static int attach(struct net_backend *backend, struct loop *loop, const struct net_card *card)
{
    struct tap *tap = container_of(backend, struct tap, backend);

    tap->loop = loop;
    tap->card = *card;
    tap->waiting = 0;
    tap->watch.events = POLLIN;
    tap->watching = true;
    loop_watch(loop, &tap->watch);
    if (tap->side.announce)
        loop_timer_set(loop, &tap->announce, clock_ns() + tap->side.announce_ns);
    if (tap->side.attach)
        tap->side.attach(tap->side.opaque, loop);
    return 0;
}

static void detach(struct net_backend *backend)
{
    struct tap *tap = container_of(backend, struct tap, backend);

    if (!tap->loop)
        return;
    if (tap->side.detach)
        tap->side.detach(tap->side.opaque);
    if (tap->side.announce)
        loop_timer_remove(tap->loop, &tap->announce);
    if (tap->watching)
        loop_unwatch(tap->loop, &tap->watch);
    tap->watching = false;
    offload(backend, 0);
    tap->loop = NULL;
}

static void send_frame(struct net_backend *backend, const uint8_t *header, const uint8_t *frame, size_t length)
{
    struct tap *tap = container_of(backend, struct tap, backend);
    const struct iovec iov[] = {{(void *)header, NET_VNET_BYTES}, {(void *)frame, length}};
    int answered = -1;

    if (length < ETHERNET_BYTES || length > NET_FRAME_MAX)
        return;
    if (tap->side.answer)
        answered = tap->side.answer(tap->side.opaque, frame, length, tap->answer);
    if (answered > 0 && tap->loop)
        tap->card.receive(tap->card.opaque, net_vnet_finished, tap->answer, (size_t)answered);
    /* What the kernel does not take now is lost, as on any wire. */
    while (answered < 0 && writev(tap->watch.fd, iov, 2) < 0 && errno == EINTR)
        continue;
}

/* Not with a side that has to see the frames, or has its own for the guest. */
static int lend(struct net_backend *backend, unsigned header_bytes)
{
    const struct tap *tap = container_of(backend, struct tap, backend);
    int size = (int)header_bytes;

    if (tap->side.answer || tap->side.announce)
        return -EOPNOTSUPP;
    return ioctl(tap->watch.fd, TUNSETVNETHDRSZ, &size) < 0 ? -errno : tap->watch.fd;
}

static void destroy(struct net_backend *backend)
{
    struct tap *tap = container_of(backend, struct tap, backend);

    close(tap->watch.fd);
    if (tap->side.destroy)
        tap->side.destroy(tap->side.opaque);
    free(tap);
}

int net_tap_create(const struct net_tap_options *options, struct net_backend **backend, struct error *error)
{
    static const struct net_backend_ops ops = {.attach = attach,
                                               .detach = detach,
                                               .send = send_frame,
                                               .offload = offload,
                                               .ready = ready,
                                               .lend = lend,
                                               .destroy = destroy};
    struct tap *tap = calloc(1, sizeof *tap);
    int flags = fcntl(options->fd, F_GETFL);

    if (!tap)
        return error_set(error, ENOMEM, "network: out of memory");
    if (flags < 0 || fcntl(options->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        int err = errno;

        free(tap);
        return error_set(error, err, "network: the TAP: %s", strerror(err));
    }
    tap->backend = (struct net_backend){.ops = &ops, .mtu = options->mtu};
    tap->side = options->side;
    tap->watch = (struct loop_watch){.fd = options->fd, .ready = readable, .opaque = tap};
    tap->announce = (struct loop_timer){.expired = announce, .opaque = tap};
    *backend = &tap->backend;
    return 0;
}
