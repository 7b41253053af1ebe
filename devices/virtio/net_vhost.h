/*
 * vhost-net: the host's kernel carries the frames between a virtio network card's rings and a TAP or macvtap, and this
 * process sees none of them. It keeps the control queue, the features, and the life of both.
 */
#ifndef CASEMENT_NET_VHOST_H
#define CASEMENT_NET_VHOST_H

#include "casement/net.h"
#include "casement/virtio.h"

struct net_vhost;

struct net_vhost_options {
    const struct memory *memory; /* the guest's RAM */
    struct virtio *virtio;
    unsigned receive, transmit; /* its queues */
    struct net_backend *backend;
    struct net_counters *counters; /* NULL: nobody wants to know */
    struct loop *loop;             /* the card's, running */
};

/*
 * 0, or -errno: -EOPNOTSUPP where the back end has frames pass through this process or the kernel lacks what the card
 * offers, else why /dev/vhost-net cannot be opened. What the options name outlives the result, which is the caller's.
 */
int net_vhost_open(const struct net_vhost_options *options, struct net_vhost **vhost);
/*
 * In virtio_ops.start, on the loop, instead of attaching to the back end: from now on the kernel serves both queues. 0
 * or -errno, when the queues are as they were. A ring that the kernel finds malformed breaks the device.
 */
int net_vhost_start(struct net_vhost *vhost);
/* In virtio_ops.stop, on the loop: on return the kernel touches no guest memory. */
void net_vhost_stop(struct net_vhost *vhost);
/* NULL is allowed. After the loop has ended. */
void net_vhost_close(struct net_vhost *vhost);

#endif
