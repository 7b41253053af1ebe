/* User-mode network: libslirp, which lives on the card's loop (see net.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <libslirp.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/net.h"
#include "casement/net_offload.h"

#define MTU 1500
#define WAITING_FRAMES 256
#define FRAME_ROOM 1600
#define MILLISECOND_NS INT64_C(1000000)

struct timer {
    struct loop_timer timer;
    struct user *user;
    SlirpTimerCb run;
    void *opaque;
};

/* Frames that the card had no buffer for. */
struct waiting {
    size_t length;
    uint8_t bytes[FRAME_ROOM];
};

struct user {
    struct net_backend backend; /* first */
    Slirp *slirp;
    struct loop *loop;
    struct loop_hook hook;
    struct net_card card;
    bool attached;
    struct waiting *waiting; /* WAITING_FRAMES of them */
    unsigned head, count;
    char *host_name;
};

static ssize_t on_frame(const void *bytes, size_t length, void *opaque)
{
    struct user *user = opaque;
    struct waiting *slot;

    if (!user->attached)
        return (ssize_t)length;
    if (user->count == 0 && user->card.receive(user->card.opaque, net_vnet_finished, bytes, length))
        return (ssize_t)length;
    /* A network may lose frames, and TCP sends them again. */
    if (user->count == WAITING_FRAMES || length > FRAME_ROOM)
        return (ssize_t)length;
    slot = &user->waiting[(user->head + user->count++) % WAITING_FRAMES];
    slot->length = length;
    memcpy(slot->bytes, bytes, length);
    return (ssize_t)length;
}

static void on_guest_error(const char *text, void *opaque)
{
    static struct log_limit limit;

    (void)opaque;
    log_guest(&limit, "user network: %s", text);
}

static int64_t on_clock(void *opaque)
{
    (void)opaque;
    return clock_ns();
}

static void timer_expired(void *opaque)
{
    struct timer *timer = opaque;

    timer->run(timer->opaque);
}

static void *on_timer_new(SlirpTimerCb run, void *opaque, void *user)
{
    struct timer *timer = calloc(1, sizeof *timer);

    if (!timer)
        return NULL;
    timer->user = user;
    timer->run = run;
    timer->opaque = opaque;
    timer->timer = (struct loop_timer){.expired = timer_expired, .opaque = timer};
    return timer;
}

static void on_timer_free(void *opaque, void *unused)
{
    struct timer *timer = opaque;

    (void)unused;
    if (timer && timer->user->loop)
        loop_timer_remove(timer->user->loop, &timer->timer);
    free(timer);
}

static void on_timer_mod(void *opaque, int64_t expires_ms, void *unused)
{
    struct timer *timer = opaque;

    (void)unused;
    if (timer && timer->user->loop)
        loop_timer_set(timer->user->loop, &timer->timer, expires_ms * MILLISECOND_NS);
}

/* Descriptors are asked for anew at each round, on this same thread: nothing to remember and nobody to wake. */
static void on_poll_fd(int fd, void *opaque)
{
    (void)fd, (void)opaque;
}

static void on_notify(void *opaque)
{
    (void)opaque;
}

static const SlirpCb callbacks = {
    .send_packet = on_frame,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = on_poll_fd,
    .unregister_poll_fd = on_poll_fd,
    .notify = on_notify,
};

static int add_poll(int fd, int events, void *opaque)
{
    short wanted = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                           (events & SLIRP_POLL_PRI ? POLLPRI : 0));

    return loop_poll_add(((struct user *)opaque)->loop, fd, wanted);
}

static int get_revents(int index, void *opaque)
{
    short events = loop_poll_result(((struct user *)opaque)->loop, index);

    return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & POLLPRI ? SLIRP_POLL_PRI : 0) | (events & POLLERR ? SLIRP_POLL_ERR : 0) |
           (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void prepare(void *opaque, struct loop *loop, int64_t *timeout_ns)
{
    struct user *user = opaque;
    uint32_t timeout_ms = *timeout_ns < 0 || *timeout_ns > 60000 * MILLISECOND_NS
                              ? 60000
                              : (uint32_t)((*timeout_ns + MILLISECOND_NS - 1) / MILLISECOND_NS);
    uint32_t before = timeout_ms;

    (void)loop;
    slirp_pollfds_fill(user->slirp, &timeout_ms, add_poll, user);
    if (timeout_ms < before || *timeout_ns < 0)
        *timeout_ns = timeout_ms * MILLISECOND_NS;
}

static void dispatch(void *opaque, struct loop *loop)
{
    struct user *user = opaque;

    (void)loop;
    slirp_pollfds_poll(user->slirp, 0, get_revents, user);
}

static int attach(struct net_backend *backend, struct loop *loop, const struct net_card *card)
{
    struct user *user = container_of(backend, struct user, backend);

    user->loop = loop;
    user->card = *card;
    user->attached = true;
    user->hook = (struct loop_hook){.prepare = prepare, .dispatch = dispatch, .opaque = user};
    loop_hook(loop, &user->hook);
    return 0;
}

static void detach(struct net_backend *backend)
{
    struct user *user = container_of(backend, struct user, backend);

    if (user->attached)
        loop_unhook(user->loop, &user->hook);
    user->attached = false;
}

static void send_frame(struct net_backend *backend, const uint8_t *header, const uint8_t *frame, size_t length)
{
    (void)header; /* nothing is left to do */
    slirp_input(container_of(backend, struct user, backend)->slirp, frame, (int)length);
}

static void ready(struct net_backend *backend)
{
    struct user *user = container_of(backend, struct user, backend);

    while (user->attached && user->count) {
        const struct waiting *slot = &user->waiting[user->head];

        if (!user->card.receive(user->card.opaque, net_vnet_finished, slot->bytes, slot->length))
            return;
        user->head = (user->head + 1) % WAITING_FRAMES;
        user->count--;
    }
}

static void destroy(struct net_backend *backend)
{
    struct user *user = container_of(backend, struct user, backend);

    /* The card's loop has ended; timers of a loop that is gone are only freed. */
    user->loop = NULL;
    if (user->slirp)
        slirp_cleanup(user->slirp);
    free(user->waiting);
    free(user->host_name);
    free(user);
}

static const struct net_backend_ops ops = {
    .attach = attach, .detach = detach, .send = send_frame, .ready = ready, .destroy = destroy};

static struct in_addr address(uint32_t host_order)
{
    return (struct in_addr){.s_addr = htonl(host_order)};
}

static int cannot_forward(const struct net_forward *forward, const char *text, int err, struct error *error)
{
    const char *remedy = "choose another port";

    if (err == EADDRINUSE)
        remedy = "the port is in use by another program, choose another";
    else if (err == EACCES)
        remedy = "choose a port from 1024 on, or lower net.ipv4.ip_unprivileged_port_start";
    else if (err == EADDRNOTAVAIL)
        remedy = "give an address of this host, or leave it out";
    return error_set(error, err ? err : EIO, "--forward %s:%u/%s: %s; %s", text, forward->host_port,
                     forward->udp ? "udp" : "tcp", strerror(err), remedy);
}

static int add_forward(struct user *user, const struct net_forward *forward, struct error *error)
{
    const char *text = forward->host_address[0] ? forward->host_address : "127.0.0.1";
    struct in_addr host;

    if (inet_pton(AF_INET, text, &host) != 1)
        return error_set(error, EINVAL, "--forward %s:%u: not an IPv4 address; give one of this host, or leave it out",
                         text, forward->host_port);
    if (slirp_add_hostfwd(user->slirp, forward->udp, host, forward->host_port, address(0x0A00020F),
                          forward->guest_port) < 0)
        return cannot_forward(forward, text, errno, error);
    return 0;
}

static int add_share(struct user *user, const char *path, int port, struct error *error)
{
    struct in_addr guest;

    inet_pton(AF_INET, NET_SHARE_ADDRESS, &guest);
    if (slirp_add_unix(user->slirp, path, &guest, port) < 0)
        return error_set(error, EINVAL, "user network: %s cannot lead to %s", NET_SHARE_ADDRESS, path);
    return 0;
}

int net_user_create(const struct net_user_options *options, struct net_backend **backend, struct error *error)
{
    SlirpConfig config = {
        .version = 3,
        .restricted = options->restricted,
        .in_enabled = true,
        .vnetwork = address(0x0A000200),
        .vnetmask = address(0xFFFFFF00),
        .vhost = address(0x0A000202),
        .vdhcp_start = address(0x0A00020F),
        .vnameserver = address(0x0A000203),
        .if_mtu = MTU,
        .if_mru = MTU,
    };
    struct user *user = calloc(1, sizeof *user);
    int failed = 0;

    if (!user)
        return error_set(error, ENOMEM, "user network: out of memory");
    user->backend = (struct net_backend){.ops = &ops, .mtu = MTU};
    user->waiting = calloc(WAITING_FRAMES, sizeof *user->waiting);
    user->host_name = options->host_name ? strdup(options->host_name) : NULL;
    config.vhostname = user->host_name;
    user->slirp = user->waiting ? slirp_new(&config, &callbacks, user) : NULL;
    if (!user->slirp)
        failed = error_set(error, ENOMEM, "user network: libslirp does not start");
    for (unsigned n = 0; failed == 0 && n < options->forward_count; n++)
        failed = add_forward(user, &options->forwards[n], error);
    for (int n = 0; failed == 0 && n < NET_SHARES && options->share_sockets[n]; n++)
        failed = add_share(user, options->share_sockets[n], NET_SHARE_PORT + n, error);
    if (failed < 0) {
        destroy(&user->backend);
        return failed;
    }
    *backend = &user->backend;
    return 0;
}
