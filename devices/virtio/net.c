/* virtio network device (Virtual I/O Device 1.2, section 5.1): queues of one card, which live on a loop with its back
 * end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/net.h"
#include "casement/net_offload.h"
#include "casement/virtio.h"
#include "net_vhost.h"

#define QUEUE_SIZE 256
#define BUFFERS 64
#define HEADER_BYTES (NET_VNET_BYTES + 2) /* 5.1.6, with num_buffers */
#define MAX_MERGED 48                     /* 64 KiB in the smallest buffers that drivers give */

enum { RECEIVE, TRANSMIT, CONTROL, QUEUES };

#define F_CSUM 0
#define F_GUEST_CSUM 1
#define F_CTRL_GUEST_OFFLOADS 2
#define F_MTU 3
#define F_MAC 5
#define F_GUEST_TSO4 7
#define F_GUEST_TSO6 8
#define F_GUEST_ECN 9
#define F_HOST_TSO4 11
#define F_HOST_TSO6 12
#define F_HOST_ECN 13
#define F_MRG_RXBUF 15
#define F_STATUS 16
#define F_CTRL_VQ 17
#define F_CTRL_RX 18
#define F_CTRL_VLAN 19
#define F_CTRL_MAC_ADDR 23

/* Control classes and commands (5.1.6.5). */
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_ANNOUNCE = 3, CLASS_OFFLOADS = 5 };
#define RX_PROMISC 0
#define MAC_ADDR_SET 1
#define OFFLOADS_SET 0
#define CONTROL_OK 0
#define CONTROL_ERROR 1

#define CONFIG_SIZE 12
#define LINK_UP 1

struct net_state {
    uint8_t mac[6];
    uint8_t promiscuous;
};

struct card {
    struct device device;
    struct virtio *virtio;
    struct net_card_options options;
    struct loop *loop;
    struct net_vhost *vhost; /* NULL: there is none here */
    bool carried, attached;  /* by it; to the back end */
    /* The loop's thread only: */
    struct net_state state;
    bool merge;
    uint8_t frame[HEADER_BYTES + NET_FRAME_MAX], segment[NET_FRAME_MAX];
};

/* To the guest. */

static bool accepts(const struct card *card, const uint8_t *frame)
{
    return (frame[0] & 1) || card->state.promiscuous || !memcmp(frame, card->state.mac, 6);
}

/* Copies header and frame over the buffers of one chain, from position on; the bytes that went in. */
static uint32_t fill(const struct virtq_chain *chain, const uint8_t *bytes, size_t length)
{
    uint32_t written = 0;

    for (unsigned n = 0; n < chain->in_count && written < length; n++) {
        const struct iovec *iov = &chain->iov[chain->out_count + n];
        size_t now = MIN(iov->iov_len, length - written);

        memcpy(iov->iov_base, bytes + written, now);
        written += (uint32_t)now;
    }
    return written;
}

static void unpop(struct virtq *queue, const struct virtq_chain *chains, unsigned count)
{
    while (count)
        virtq_unpop(queue, &chains[--count]);
}

/* Takes chains until the frame fits. Their number; 0 when there are too few now, -1 when it could never fit. */
static int take_buffers(struct card *card, struct virtq *queue, struct virtq_chain *chains, struct iovec iov[][BUFFERS],
                        size_t length)
{
    uint64_t room = 0;
    unsigned count = 0, most = card->merge ? MAX_MERGED : 1;

    while (room < length && count < most) {
        if (virtq_pop(queue, &chains[count], iov[count], BUFFERS) <= 0)
            break;
        room += chains[count++].in_bytes;
    }
    if (room >= length)
        return (int)count;
    unpop(queue, chains, count);
    return count == most ? -1 : 0;
}

/* net_card.receive. A frame that no buffer can ever hold is dropped, not kept. */
static bool receive(void *opaque, const uint8_t *header, const uint8_t *frame, size_t length)
{
    struct card *card = opaque;
    struct virtq *queue = virtio_queue(card->virtio, RECEIVE);
    struct virtq_chain chains[MAX_MERGED];
    struct iovec iov[MAX_MERGED][BUFFERS];
    struct net_counters *counters = card->options.counters;
    uint8_t *bytes = card->frame;
    size_t done = 0;
    int count;

    if (!virtio_queue_running(queue) || length < 14 || length > NET_FRAME_MAX || !accepts(card, frame))
        return true;
    count = take_buffers(card, queue, chains, iov, HEADER_BYTES + length);
    if (count <= 0)
        return count < 0 || !virtio_queue_running(queue);
    memcpy(bytes, header, NET_VNET_BYTES);
    put_le16(bytes + NET_VNET_BYTES, (uint16_t)count);
    memcpy(bytes + HEADER_BYTES, frame, length);
    if (counters)
        net_count(&counters->received_packets, &counters->received_bytes, length);
    length += HEADER_BYTES;
    for (int n = 0; n < count; n++) {
        uint32_t written = fill(&chains[n], bytes + done, length - done);

        done += written;
        virtq_push(queue, chains[n].head, written);
    }
    virtq_flush(queue);
    return true;
}

/* From the guest. */

/* The chain's bytes in one piece; 0 when they are no frame. */
static size_t gather(struct card *card, const struct virtq_chain *chain)
{
    size_t length = 0;

    if (chain->out_bytes <= HEADER_BYTES || chain->out_bytes > sizeof card->frame)
        return 0;
    for (unsigned n = 0; n < chain->out_count; n++) {
        memcpy(card->frame + length, chain->iov[n].iov_base, chain->iov[n].iov_len);
        length += chain->iov[n].iov_len;
    }
    return length;
}

static void send_chain(struct card *card, const struct virtq_chain *chain)
{
    static struct log_limit limit;
    struct net_counters *counters = card->options.counters;
    size_t length = gather(card, chain);
    struct net_offload offload;
    struct net_sent sent = {0};

    if (!length)
        return;
    if (counters)
        net_count(&counters->transmitted_packets, &counters->transmitted_bytes, length - HEADER_BYTES);
    if (!net_vnet_read(card->frame, &offload) || net_send(card->options.backend, &offload, card->frame + HEADER_BYTES,
                                                          length - HEADER_BYTES, card->segment, &sent) < 0)
        log_guest(&limit, "virtio-net: a frame whose header does not fit it is dropped");
}

/* At most a ring's worth a round, so that the way in gets its turn. */
static void transmit(struct card *card)
{
    struct virtq *queue = virtio_queue(card->virtio, TRANSMIT);
    struct iovec iov[BUFFERS];
    struct virtq_chain chain;
    int got = 0;

    virtq_suppress_kicks(queue);
    for (unsigned n = 0; n < QUEUE_SIZE; n++) {
        got = virtq_pop(queue, &chain, iov, BUFFERS);
        if (got <= 0)
            break;
        send_chain(card, &chain);
        virtq_push(queue, chain.head, 0);
    }
    virtq_flush(queue);
    if (got > 0)
        virtq_again(queue);
}

/* Control. */

/* What the driver does itself, of these bits (5.1.6.5.6): the numbers are those of the features. */
static void take_offloads(struct card *card, uint64_t bits)
{
    const struct net_backend *backend = card->options.backend;
    unsigned kinds = 0;

    if (!backend->ops->offload)
        return;
    if (bits & VIRTIO_BIT(F_GUEST_CSUM))
        kinds = NET_LEAVE_CHECKSUM | (bits & VIRTIO_BIT(F_GUEST_TSO4) ? NET_LEAVE_TCP4 : 0) |
                (bits & VIRTIO_BIT(F_GUEST_TSO6) ? NET_LEAVE_TCP6 : 0) |
                (bits & VIRTIO_BIT(F_GUEST_ECN) ? NET_LEAVE_ECN : 0);
    backend->ops->offload(card->options.backend, kinds);
}

static uint8_t set_offloads(struct card *card, const uint8_t *command, size_t length)
{
    uint64_t features = virtio_features(card->virtio), bits = length >= 10 ? get_le64(command + 2) : UINT64_MAX;

    if (!(features & VIRTIO_BIT(F_CTRL_GUEST_OFFLOADS)) || command[1] != OFFLOADS_SET || bits & ~features)
        return CONTROL_ERROR;
    take_offloads(card, bits);
    return CONTROL_OK;
}

/* Classes that were never offered are answered too: drivers send them, and give up on an error (lessons 3.5, row 8). */
static uint8_t obey(struct card *card, const uint8_t *command, size_t length)
{
    if (length < 2)
        return CONTROL_ERROR;
    if (command[0] == CLASS_MAC && command[1] == MAC_ADDR_SET) {
        if (length < 8)
            return CONTROL_ERROR;
        memcpy(card->state.mac, command + 2, 6);
        return CONTROL_OK;
    }
    if (command[0] == CLASS_OFFLOADS)
        return set_offloads(card, command, length);
    if (command[0] == CLASS_RX && command[1] == RX_PROMISC && length >= 3)
        card->state.promiscuous = command[2];
    return command[0] <= CLASS_ANNOUNCE ? CONTROL_OK : CONTROL_ERROR;
}

static void control(struct card *card, struct virtq *queue)
{
    struct iovec iov[BUFFERS];
    struct virtq_chain chain;
    int got = 0;

    for (unsigned n = 0; n < QUEUE_SIZE; n++) {
        uint8_t command[16], status;
        size_t length = 0;

        got = virtq_pop(queue, &chain, iov, BUFFERS);
        if (got <= 0)
            break;
        if (!chain.in_count) {
            virtio_break(card->virtio, "a control command has no room for its answer");
            return;
        }
        for (unsigned i = 0; i < chain.out_count && length < sizeof command; i++) {
            size_t now = MIN(iov[i].iov_len, sizeof command - length);

            memcpy(command + length, iov[i].iov_base, now);
            length += now;
        }
        status = obey(card, command, length);
        fill(&chain, &status, 1);
        virtq_push(queue, chain.head, 1); /* exactly what was written (lessons 3.5, row 7) */
    }
    virtq_flush(queue);
    if (got > 0)
        virtq_again(queue);
}

static void kicked(struct virtio *virtio, struct virtq *queue)
{
    struct card *card = virtio_device(virtio);

    switch (virtq_index(queue)) {
    case RECEIVE: /* buffers are back */
        card->options.backend->ops->ready(card->options.backend);
        break;
    case TRANSMIT:
        transmit(card);
        break;
    default:
        control(card, queue);
    }
}

/* Life. */

static void join_loop(void *opaque)
{
    struct card *card = opaque;
    const struct net_card face = {.receive = receive, .opaque = card};

    card->carried = card->vhost && net_vhost_start(card->vhost) == 0;
    if (!card->carried && !card->attached)
        card->attached = card->options.backend->ops->attach(card->options.backend, card->loop, &face) == 0;
    if (card->carried || card->attached)
        take_offloads(card, virtio_features(card->virtio));
}

static void leave_loop(void *opaque)
{
    struct card *card = opaque;

    if (card->carried)
        net_vhost_stop(card->vhost);
    if (card->attached)
        card->options.backend->ops->detach(card->options.backend);
    card->carried = card->attached = false;
    memcpy(card->state.mac, card->options.mac, 6);
    card->state.promiscuous = 0;
}

static void start(struct virtio *virtio)
{
    struct card *card = virtio_device(virtio);

    card->merge = virtio_features(virtio) & VIRTIO_BIT(F_MRG_RXBUF);
    loop_call(card->loop, join_loop, card);
}

static void stop(struct virtio *virtio)
{
    struct card *card = virtio_device(virtio);

    loop_call(card->loop, leave_loop, card);
}

static void config_read(struct virtio *virtio, unsigned offset, void *data, unsigned size)
{
    const struct card *card = virtio_device(virtio);
    uint8_t config[CONFIG_SIZE] = {0};

    memcpy(config, card->options.mac, 6);
    put_le16(config + 6, LINK_UP);
    put_le16(config + 8, 1); /* queue pairs */
    put_le16(config + 10, card->options.backend->mtu);
    memcpy(data, config + offset, size);
}

static void destroy(struct device *device)
{
    struct card *card = container_of(device, struct card, device);

    /* The thread first: what it still has to do would use what is freed next. */
    if (card->loop)
        loop_stop(card->loop);
    virtio_destroy(card->virtio);
    net_vhost_close(card->vhost);
    loop_destroy(card->loop);
    free(card);
}

/* Where it cannot be, frames pass through this process, which is no failure. */
static void open_vhost(struct card *card, const struct memory *memory)
{
    const struct net_vhost_options options = {.memory = memory,
                                              .virtio = card->virtio,
                                              .receive = RECEIVE,
                                              .transmit = TRANSMIT,
                                              .backend = card->options.backend,
                                              .counters = card->options.counters,
                                              .loop = card->loop};
    int failed = net_vhost_open(&options, &card->vhost);

    if (failed == 0)
        log_info("network: the host's kernel carries the guest's frames (vhost-net)");
    else if (failed != -EOPNOTSUPP)
        log_info("network: frames pass through this process (/dev/vhost-net: %s); a container that is given --device "
                 "/dev/vhost-net is faster",
                 strerror(-failed));
}

int virtio_net_create(struct board *board, const struct net_card_options *options, struct error *error)
{
    static const struct device_ops device_ops = {.destroy = destroy};
    static const struct virtio_ops ops = {.config_read = config_read, .start = start, .kicked = kicked, .stop = stop};
    struct card *card = calloc(1, sizeof *card);
    struct virtio_options virtio = {.name = "virtio-net",
                                    .type = VIRTIO_NET,
                                    .class_code = 0x020000,
                                    .features = VIRTIO_BIT(F_CSUM) | VIRTIO_BIT(F_GUEST_CSUM) | VIRTIO_BIT(F_MTU) |
                                                VIRTIO_BIT(F_MAC) | VIRTIO_BIT(F_HOST_TSO4) | VIRTIO_BIT(F_HOST_TSO6) |
                                                VIRTIO_BIT(F_HOST_ECN) | VIRTIO_BIT(F_MRG_RXBUF) |
                                                VIRTIO_BIT(F_STATUS) | VIRTIO_BIT(F_CTRL_VQ) | VIRTIO_BIT(F_CTRL_RX) |
                                                VIRTIO_BIT(F_CTRL_VLAN) | VIRTIO_BIT(F_CTRL_MAC_ADDR),
                                    .config_size = CONFIG_SIZE,
                                    .queues = QUEUES,
                                    .queue_size = QUEUE_SIZE,
                                    .ops = &ops,
                                    .device = card,
                                    .slot = options->slot};
    int failed = card ? 0 : -ENOMEM;

    if (options->backend->ops->offload)
        virtio.features |= VIRTIO_BIT(F_CTRL_GUEST_OFFLOADS) | VIRTIO_BIT(F_GUEST_TSO4) | VIRTIO_BIT(F_GUEST_TSO6) |
                           VIRTIO_BIT(F_GUEST_ECN);
    if (failed == 0) {
        card->device = (struct device){.name = "virtio-net", .ops = &device_ops};
        card->options = *options;
        memcpy(card->state.mac, options->mac, 6);
        card->loop = loop_create("network");
        failed = card->loop ? virtio_create(board, &virtio, &card->virtio) : -ENOMEM;
    }
    if (failed == 0) {
        for (unsigned n = 0; n < QUEUES; n++)
            virtio_queue_loop(card->virtio, n, card->loop);
        failed = loop_start(card->loop);
    }
    if (failed == 0)
        open_vhost(card, board->memory);
    if (failed < 0) {
        if (card)
            destroy(&card->device);
        return error_set(error, -failed, "virtio-net: cannot be made: %s", strerror(-failed));
    }
    board_add(board, &card->device);
    return 0;
}
