/* See net_vhost.h; the interface is the kernel's linux/vhost.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/net_offload.h"
#include "net_vhost.h"

#define DEVICE "/dev/vhost-net"
#define HEADER_BYTES (NET_VNET_BYTES + 2) /* with num_buffers, which the kernel fills in */
#define F_MRG_RXBUF 15
#define TALLY_NS INT64_C(1000000000)

/* What the card offers and the kernel has to keep. */
#define KEPT                                                                                         \
    (VIRTIO_BIT(F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | \
     VIRTIO_BIT(VIRTIO_F_EVENT_IDX))

enum { RECEIVE, TRANSMIT, RINGS }; /* the kernel's numbers */

struct net_vhost {
    struct net_vhost_options options;
    int fd, error_fd;
    struct loop_watch malformed;
    struct loop_timer tally;
    char statistics[64]; /* a folder; empty: unknown */
    bool from_outside;   /* they count as the network sees the interface, not as its user does */
    struct net_totals last;
};

/* Counting: the interface's own numbers, as sysfs has them. */

static bool number(const struct net_vhost *vhost, const char *name, uint64_t *value)
{
    char path[96], text[24];
    int fd;
    ssize_t length;

    snprintf(path, sizeof path, "%s/%s", vhost->statistics, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    length = read(fd, text, sizeof text - 1);
    close(fd);
    text[MAX(length, 0)] = 0;
    *value = strtoull(text, NULL, 10);
    return length > 0;
}

static bool totals(const struct net_vhost *vhost, struct net_totals *now)
{
    struct net_totals in;

    if (!number(vhost, "rx_bytes", &in.received_bytes) || !number(vhost, "rx_packets", &in.received_packets) ||
        !number(vhost, "tx_bytes", &in.transmitted_bytes) || !number(vhost, "tx_packets", &in.transmitted_packets))
        return false;
    *now = vhost->from_outside ? (struct net_totals){in.transmitted_bytes, in.transmitted_packets, in.received_bytes,
                                                     in.received_packets}
                               : in;
    return true;
}

static void count(struct net_vhost *vhost)
{
    struct net_counters *counters = vhost->options.counters;
    struct net_totals now, *last = &vhost->last;

    if (!totals(vhost, &now))
        return;
    atomic_fetch_add(&counters->received_bytes, now.received_bytes - last->received_bytes);
    atomic_fetch_add(&counters->received_packets, now.received_packets - last->received_packets);
    atomic_fetch_add(&counters->transmitted_bytes, now.transmitted_bytes - last->transmitted_bytes);
    atomic_fetch_add(&counters->transmitted_packets, now.transmitted_packets - last->transmitted_packets);
    *last = now;
}

static void tally(void *opaque)
{
    struct net_vhost *vhost = opaque;

    count(vhost);
    loop_timer_set(vhost->options.loop, &vhost->tally, clock_ns() + TALLY_NS);
}

/* A macvtap counts what its user receives and sends, a TAP the other way around. */
static void find_statistics(struct net_vhost *vhost, int tap)
{
    struct ifreq request = {0};
    char path[64];

    vhost->statistics[0] = 0;
    if (!vhost->options.counters || ioctl(tap, TUNGETIFF, &request) < 0)
        return;
    snprintf(path, sizeof path, "/sys/class/net/%.15s/tun_flags", request.ifr_name);
    vhost->from_outside = access(path, F_OK) == 0;
    snprintf(vhost->statistics, sizeof vhost->statistics, "/sys/class/net/%.15s/statistics", request.ifr_name);
    if (!totals(vhost, &vhost->last))
        vhost->statistics[0] = 0;
}

static void malformed(void *opaque, short events)
{
    struct net_vhost *vhost = opaque;
    uint64_t signals;

    (void)events;
    if (read(vhost->error_fd, &signals, sizeof signals) == sizeof signals)
        virtio_break(vhost->options.virtio, "the host's kernel finds a ring of the network card malformed");
}

/* The rings. */

static unsigned queue_number(const struct net_vhost *vhost, unsigned ring)
{
    return ring == RECEIVE ? vhost->options.receive : vhost->options.transmit;
}

static int set(const struct net_vhost *vhost, unsigned long request, const void *value)
{
    return ioctl(vhost->fd, request, value) < 0 ? -errno : 0;
}

static int hand_over(const struct net_vhost *vhost, unsigned ring, int tap)
{
    struct virtq *queue = virtio_queue(vhost->options.virtio, queue_number(vhost, ring));
    struct virtq_rings rings;
    int failed = virtq_hand_over(queue, &rings);
    struct vhost_vring_state size = {.index = ring, .num = rings.size}, base = {.index = ring};
    struct vhost_vring_addr areas = {.index = ring,
                                     .desc_user_addr = (uintptr_t)rings.descriptors,
                                     .avail_user_addr = (uintptr_t)rings.driver_area,
                                     .used_user_addr = (uintptr_t)rings.device_area};
    struct vhost_vring_file kick = {ring, rings.kick_fd}, call = {ring, rings.call_fd}, error = {ring, vhost->error_fd},
                            backend = {ring, tap};
    const struct {
        unsigned long request;
        const void *value;
    } steps[] = {{VHOST_SET_VRING_NUM, &size},     {VHOST_SET_VRING_BASE, &base}, {VHOST_SET_VRING_ADDR, &areas},
                 {VHOST_SET_VRING_KICK, &kick},    {VHOST_SET_VRING_CALL, &call}, {VHOST_SET_VRING_ERR, &error},
                 {VHOST_NET_SET_BACKEND, &backend}};

    for (size_t n = 0; failed == 0 && n < ARRAY_SIZE(steps); n++)
        failed = set(vhost, steps[n].request, steps[n].value);
    return failed;
}

/* Without a back end the kernel has done what it had begun, and reads the ring no more. */
static void release(const struct net_vhost *vhost)
{
    for (unsigned ring = 0; ring < RINGS; ring++) {
        const struct vhost_vring_file none = {ring, -1};

        set(vhost, VHOST_NET_SET_BACKEND, &none);
        virtq_take_back(virtio_queue(vhost->options.virtio, queue_number(vhost, ring)));
    }
    vhost->options.backend->ops->lend(vhost->options.backend, NET_VNET_BYTES);
}

int net_vhost_start(struct net_vhost *vhost)
{
    uint64_t features = virtio_features(vhost->options.virtio) & KEPT;
    int tap, failed;

    for (unsigned ring = 0; ring < RINGS; ring++)
        if (!virtio_queue_running(virtio_queue(vhost->options.virtio, queue_number(vhost, ring))))
            return -EAGAIN;
    tap = vhost->options.backend->ops->lend(vhost->options.backend, HEADER_BYTES);
    if (tap < 0)
        return tap;
    failed = set(vhost, VHOST_SET_FEATURES, &features);
    for (unsigned ring = 0; failed == 0 && ring < RINGS; ring++)
        failed = hand_over(vhost, ring, tap);
    if (failed < 0) {
        release(vhost);
        return failed;
    }
    find_statistics(vhost, tap);
    loop_watch(vhost->options.loop, &vhost->malformed);
    if (vhost->statistics[0])
        loop_timer_set(vhost->options.loop, &vhost->tally, clock_ns() + TALLY_NS);
    return 0;
}

void net_vhost_stop(struct net_vhost *vhost)
{
    release(vhost);
    vhost->options.backend->ops->offload(vhost->options.backend, 0);
    loop_unwatch(vhost->options.loop, &vhost->malformed);
    if (!vhost->statistics[0])
        return;
    loop_timer_remove(vhost->options.loop, &vhost->tally);
    count(vhost);
}

/* Life. */

/* RAM as the guest sees it, in one or two pieces (memory.h). */
static int set_memory(const struct net_vhost *vhost)
{
    const struct memory *memory = vhost->options.memory;
    const uint64_t at[] = {0, MEMORY_HIGH_BASE}, sizes[] = {memory_low_size(memory), memory_high_size(memory)};
    struct vhost_memory *table = calloc(1, sizeof *table + 2 * sizeof table->regions[0]);
    int failed;

    if (!table)
        return -ENOMEM;
    for (unsigned n = 0; n < 2; n++)
        if (sizes[n])
            table->regions[table->nregions++] =
                (struct vhost_memory_region){.guest_phys_addr = at[n],
                                             .memory_size = sizes[n],
                                             .userspace_addr = (uintptr_t)memory_at(memory, at[n], sizes[n])};
    failed = set(vhost, VHOST_SET_MEM_TABLE, table);
    free(table);
    return failed;
}

static int set_up(struct net_vhost *vhost)
{
    uint64_t features = 0;
    int failed;

    vhost->fd = open(DEVICE, O_RDWR | O_CLOEXEC);
    vhost->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vhost->fd < 0 || vhost->error_fd < 0 || ioctl(vhost->fd, VHOST_GET_FEATURES, &features) < 0)
        return -errno;
    if ((features & KEPT) != KEPT)
        return -EOPNOTSUPP;
    failed = ioctl(vhost->fd, VHOST_SET_OWNER, NULL) < 0 ? -errno : 0;
    return failed < 0 ? failed : set_memory(vhost);
}

int net_vhost_open(const struct net_vhost_options *options, struct net_vhost **result)
{
    struct net_backend *backend = options->backend;
    struct net_vhost *vhost;
    int failed;

    if (!backend->ops->lend || backend->ops->lend(backend, NET_VNET_BYTES) < 0)
        return -EOPNOTSUPP;
    vhost = calloc(1, sizeof *vhost);
    if (!vhost)
        return -ENOMEM;
    vhost->options = *options;
    vhost->error_fd = -1;
    failed = set_up(vhost);
    if (failed < 0) {
        net_vhost_close(vhost);
        return failed;
    }
    vhost->malformed =
        (struct loop_watch){.fd = vhost->error_fd, .events = POLLIN, .ready = malformed, .opaque = vhost};
    vhost->tally = (struct loop_timer){.expired = tally, .opaque = vhost};
    *result = vhost;
    return 0;
}

void net_vhost_close(struct net_vhost *vhost)
{
    if (!vhost)
        return;
    if (vhost->error_fd >= 0)
        close(vhost->error_fd);
    if (vhost->fd >= 0)
        close(vhost->fd);
    free(vhost);
}
