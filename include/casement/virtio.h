/*
 * virtio 1.x over PCI (Virtual I/O Device 1.2): what a device model sees of its queues and of its transport.
 *
 * A device never sees a descriptor. It asks a queue for the next chain as iovecs that are already checked, gives the
 * chain back with the number of bytes written, and says when its batch is over; the queue decides about the interrupt.
 * Queue settings freeze when the driver enables the queue. A malformed ring breaks the device (NEEDS_RESET) until the
 * driver resets it; it never ends the monitor.
 */
#ifndef CASEMENT_VIRTIO_H
#define CASEMENT_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "casement/board.h"

/* Device types (section 5) and the feature bits that the transport itself knows (section 6). */
enum { VIRTIO_NET = 1, VIRTIO_BLOCK = 2, VIRTIO_RNG = 4, VIRTIO_SCSI = 8 };
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX 29
#define VIRTIO_F_VERSION_1 32
#define VIRTIO_BIT(n) (UINT64_C(1) << (n))

#define VIRTIO_QUEUE_MAX 1024 /* largest queue size offered by any device */

struct virtio;
struct virtq;

/* A descriptor chain, copied once out of guest memory. */
struct virtq_chain {
    uint16_t head;      /* names the request until virtq_push() */
    unsigned out_count; /* iov[0 .. out_count) is what the driver gives: read only */
    unsigned in_count;  /* the in_count iovecs after them are for the device to write */
    uint64_t out_bytes, in_bytes;
    struct iovec *iov; /* the caller's array */
};

/*
 * Takes the next available chain. iov has room for iov_max entries. 1: a chain; 0: none (and the driver will kick for
 * the next one); -EPROTO: the ring is malformed, and the device is broken now. Chains with no descriptor for the
 * device to use, zero-length buffers, loops, addresses outside RAM, more than iov_max or queue-size descriptors, more
 * than 4 GiB in all, and heads that are in flight already are malformed. Only on the queue's own thread.
 */
int virtq_pop(struct virtq *queue, struct virtq_chain *chain, struct iovec *iov, unsigned iov_max);
/* Undoes the last virtq_pop(): the chain will be popped again. */
void virtq_unpop(struct virtq *queue, const struct virtq_chain *chain);
/* Returns a chain with the number of bytes written to its in-part. The driver sees it after the next virtq_flush(). */
void virtq_push(struct virtq *queue, uint16_t head, uint32_t written);
/* End of batch: publishes what was pushed and interrupts the driver if it asked for that (2.7.7, event index). */
void virtq_flush(struct virtq *queue);
/* Whether chains wait; does not ask the driver for kicks. */
bool virtq_has_work(struct virtq *queue);
/* Asks the driver not to kick while the device works through the queue anyway; virtq_pop() asks again when it finds
 * none. */
void virtq_suppress_kicks(struct virtq *queue);
/* Ends a round with chains left: kicked() runs again, behind what else the loop has to do, until the device stops. */
void virtq_again(const struct virtq *queue);
unsigned virtq_index(const struct virtq *queue);
unsigned virtq_size(const struct virtq *queue);
/* Marks the device as broken: sets NEEDS_RESET, interrupts for configuration, and stops its queues. */
void virtio_break(struct virtio *virtio, const char *reason);

/*
 * A running queue whose rings something else serves, as the host's kernel does for vhost: this process looks at them no
 * more. The areas were checked when they were frozen; what is in them is whatever the guest writes.
 */
struct virtq_rings {
    uint16_t size;
    const void *descriptors;
    void *driver_area, *device_area;
    int kick_fd; /* eventfd: the driver's kicks */
    int call_fd; /* eventfd for the server: an interrupt for the driver */
};
/* In virtio_ops.start; the descriptors stay the transport's. 0 or -errno. Until virtq_take_back() or the next reset. */
int virtq_hand_over(struct virtq *queue, struct virtq_rings *rings);
/* The server has let go. In virtio_ops.start or stop. */
void virtq_take_back(struct virtq *queue);

struct virtio_ops {
    /* Device configuration (section 4.1.4.6). size is 1 to 8; offset + size is inside config_size. Reading is done with
     * a lock of the transport held, under which it calls nothing of virtio but virtio_device(). Optional. */
    void (*config_read)(struct virtio *virtio, unsigned offset, void *data, unsigned size);
    void (*config_write)(struct virtio *virtio, unsigned offset, const void *data, unsigned size);
    /* FEATURES_OK is being set with these features: false refuses the combination. Optional. */
    bool (*features_ok)(struct virtio *virtio, uint64_t features);
    /*
     * DRIVER_OK: the queues that the driver enabled can be used from now on. After this the queue's kicks arrive on
     * the loop that virtio_queue_loop() named, unless it is handed over.
     */
    void (*start)(struct virtio *virtio);
    /* The driver kicked (or the queue just started). On the queue's loop. */
    void (*kicked)(struct virtio *virtio, struct virtq *queue);
    /*
     * Reset by the driver or the machine, on a vCPU's or the main thread. Returns only when nothing is in flight and
     * nothing will touch guest memory: kicks have been stopped already. After it the queues are empty. Optional.
     */
    void (*stop)(struct virtio *virtio);
};

/* What a device model embeds. Everything below `private` belongs to the transport. */
struct virtio_options {
    const char *name;
    unsigned type;        /* VIRTIO_NET ... */
    uint32_t class_code;  /* PCI class, 24 bits */
    uint64_t features;    /* offered, without VERSION_1, INDIRECT_DESC, EVENT_IDX, which the transport adds */
    unsigned config_size; /* bytes of device configuration */
    unsigned queues;
    unsigned queue_size; /* power of two, at most VIRTIO_QUEUE_MAX */
    const struct virtio_ops *ops;
    void *device; /* the device model, for virtio_device() */
    int slot;     /* PCI slot, or negative for any */
};

/*
 * Makes the PCI function and puts it on the board, which resets it. 0 or -errno. The device model frees it with
 * virtio_destroy() when its own destroy is called.
 */
int virtio_create(struct board *board, const struct virtio_options *options, struct virtio **virtio);
void virtio_destroy(struct virtio *virtio);
void *virtio_device(const struct virtio *virtio);
unsigned virtio_slot(const struct virtio *virtio);
/* Which loop serves a queue; the board's main loop unless said. Before the guest runs. */
void virtio_queue_loop(struct virtio *virtio, unsigned queue, struct loop *loop);
struct virtq *virtio_queue(struct virtio *virtio, unsigned queue);
/* Whether the driver enabled the queue and DRIVER_OK is set. */
bool virtio_queue_running(const struct virtq *queue);
/* Features that the driver accepted; 0 before FEATURES_OK. */
uint64_t virtio_features(const struct virtio *virtio);
/*
 * Does an operating system's driver drive the device now, not just firmware's? Firmware (OVMF) accepts none of the
 * ring's features that are offered here, and Windows' and Linux's drivers do (platform contract 7.1, 7.2). What had a
 * driver has none from a reset on, and while the device is broken or its driver gave it up. Any thread.
 */
bool virtio_driven(struct virtio *virtio);
/*
 * Changes the device configuration: change runs once, with config_read() and the generation locked out, so that a
 * driver which reads a field in parts sees by the generation that they do not belong together (section 2.5). Interrupts
 * for configuration. Any thread.
 */
void virtio_config_change(struct virtio *virtio, void (*change)(struct virtio *virtio));

/* The devices, one line each in machine.c. They add themselves to the board's list. 0, or -errno with a text. */
struct block;
struct net_card_options;
struct error;
struct virtio_block_options {
    struct block *block; /* stays the caller's, must outlive the device */
    char serial[21];     /* GET_ID, at most 20 bytes */
    unsigned queues;     /* 1 to 64 */
    int slot;
};
/* *virtio, unless virtio is NULL, is for virtio_driven(), and valid as long as the board. */
int virtio_block_create(struct board *board, const struct virtio_block_options *options, struct virtio **virtio,
                        struct error *error);
/* A host adapter for this one disk, which Windows' vioscsi and firmware find at target 0, unit 0. */
struct virtio_scsi_options {
    struct block *block; /* stays the caller's, must outlive the device */
    char serial[21];     /* at most 20 characters */
    unsigned queues;     /* of requests, 1 to 62 */
    int slot;
};
int virtio_scsi_create(struct board *board, const struct virtio_scsi_options *options, struct virtio **virtio,
                       struct error *error);
int virtio_net_create(struct board *board, const struct net_card_options *options, struct error *error);
int virtio_rng_create(struct board *board, int slot, struct error *error);

#endif
