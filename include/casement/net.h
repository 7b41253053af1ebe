/*
 * Network back ends: packets between a guest's network card and the world. The card knows descriptors and offloads,
 * the back end knows bytes. Both live on one loop, so there is no lock between them.
 */
#ifndef CASEMENT_NET_H
#define CASEMENT_NET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "casement/error.h"
#include "casement/loop.h"

#define NET_FRAME_MAX 65550 /* the largest frame: 64 KiB of IP and the Ethernet header */

/* What a card has moved; the card adds, any thread reads. Zero-initialised. */
struct net_counters {
    _Atomic uint64_t received_bytes, received_packets, transmitted_bytes,
        transmitted_packets; /* as the guest sees it */
};
struct net_totals {
    uint64_t received_bytes, received_packets, transmitted_bytes, transmitted_packets;
};
/* One more packet, for the card. */
static inline void net_count(_Atomic uint64_t *packets, _Atomic uint64_t *bytes, size_t length)
{
    atomic_fetch_add_explicit(packets, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(bytes, length, memory_order_relaxed);
}
static inline void net_totals(const struct net_counters *counters, struct net_totals *totals)
{
    totals->received_bytes = atomic_load_explicit(&counters->received_bytes, memory_order_relaxed);
    totals->received_packets = atomic_load_explicit(&counters->received_packets, memory_order_relaxed);
    totals->transmitted_bytes = atomic_load_explicit(&counters->transmitted_bytes, memory_order_relaxed);
    totals->transmitted_packets = atomic_load_explicit(&counters->transmitted_packets, memory_order_relaxed);
}

struct net_backend;

/* The card's side, called by the back end on the loop's thread. */
struct net_card {
    /*
     * A frame for the guest. Its vnet header (net_offload.h) says what is left to do of it: only what was asked for by
     * net_backend_ops.offload. false: no buffer now; the frame stays the back end's, which tries again after
     * net_backend_ops.ready or drops it.
     */
    bool (*receive)(void *card, const uint8_t *header, const uint8_t *frame, size_t length);
    void *opaque;
};

/* Kinds of work that the receiver of a frame can do. The last three need the first. */
#define NET_LEAVE_CHECKSUM 1U
#define NET_LEAVE_TCP4 2U /* frames larger than the MTU */
#define NET_LEAVE_TCP6 4U
#define NET_LEAVE_ECN 8U /* of such, those with CWR set */

/* What a card is made with. */
struct net_card_options {
    struct net_backend *backend;   /* stays the caller's, must outlive the card */
    struct net_counters *counters; /* the same; NULL: nobody wants to know */
    uint8_t mac[6];
    int slot; /* of the PCI bus */
};

struct net_backend_ops {
    /* Joins the loop, on its thread or before it runs. From now on frames may arrive. 0 or -errno. */
    int (*attach)(struct net_backend *backend, struct loop *loop, const struct net_card *card);
    /* Leaves the loop, on its thread or after it ended. */
    void (*detach)(struct net_backend *backend);
    /* An Ethernet frame from the guest, by net_send(). Its vnet header says what is left to do of it: nothing, where
     * offload is NULL. Never blocks; may drop. */
    void (*send)(struct net_backend *backend, const uint8_t *header, const uint8_t *frame, size_t length);
    /* What may be left to the card from now on, NET_LEAVE_*; nothing is, until it is asked for after attach(). NULL:
     * work is left in neither direction. */
    void (*offload)(struct net_backend *backend, unsigned kinds);
    /* The guest has receive buffers again. */
    void (*ready)(struct net_backend *backend);
    /* Instead of attach(): the descriptor of the TAP that all frames come from and go to as they are, behind vnet
     * headers of that many bytes until it is asked again; or -errno. NULL: there is none. It stays the back end's. */
    int (*lend)(struct net_backend *backend, unsigned header_bytes);
    void (*destroy)(struct net_backend *backend);
};
struct net_backend {
    const struct net_backend_ops *ops;
    uint16_t mtu;
};

/*
 * What stands beside a TAP: answers some frames of the guest itself, such as DHCP, so that no socket with rights is
 * needed for them. All of it runs on the card's loop, but for destroy. Every callback may be NULL.
 */
#define NET_ANSWER_MAX 1514
struct net_side {
    /*
     * A frame of the guest: the length of the answer (0: it is taken and has none), or -1: it is for the network.
     * answer has room for NET_ANSWER_MAX bytes.
     */
    int (*answer)(void *opaque, const uint8_t *frame, size_t length, uint8_t *answer);
    /* A frame for the guest that it has not asked for, each announce_ns: its length, or 0. */
    size_t (*announce)(void *opaque, uint8_t *frame);
    int64_t announce_ns;
    /* The card has come to the loop, or leaves it. */
    void (*attach)(void *opaque, struct loop *loop);
    void (*detach)(void *opaque);
    /* Once, behind the last of the others: gives back what was made for the TAP. */
    void (*destroy)(void *opaque);
    void *opaque;
};

/*
 * An open TAP or macvtap that carries frames behind a vnet header, without packet information. The descriptor is the
 * back end's from now on, and non-blocking. When this fails, the descriptor and the side stay the caller's.
 */
struct net_tap_options {
    int fd;
    uint16_t mtu;
    struct net_side side;
};
int net_tap_create(const struct net_tap_options *options, struct net_backend **backend, struct error *error);

/* One port of the host that leads into the guest. */
struct net_forward {
    bool udp;
    char host_address[46]; /* numeric; empty: 127.0.0.1 */
    uint16_t host_port, guest_port;
};

/*
 * Where the guest finds shared folders, if there are any: its own link, and no port of the host. The first is at the
 * port, the others at those behind it.
 */
#define NET_SHARE_ADDRESS "10.0.2.4"
#define NET_SHARE_PORT 80
#define NET_SHARES 3

/* User-mode network (libslirp): 10.0.2.0/24, gateway .2, name server .3, guest .15. No privilege. */
struct net_user_options {
    const struct net_forward *forwards;
    unsigned forward_count;
    const char *host_name; /* told to the guest by DHCP; NULL: none */
    bool restricted;       /* no way out, forwards only */
    /*
     * UNIX sockets that the guest's connections to NET_SHARE_ADDRESS lead to, in the order of their ports; a listener
     * accepts at once, as the connect is waited for. NULL: none.
     */
    const char *share_sockets[NET_SHARES];
};
/* A forward whose port is taken fails here, before the guest runs, with a text that names it. */
int net_user_create(const struct net_user_options *options, struct net_backend **backend, struct error *error);

#endif
