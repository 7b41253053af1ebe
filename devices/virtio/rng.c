/* virtio entropy device (Virtual I/O Device 1.2, section 5.4): the host's random numbers. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "casement/bytes.h"
#include "casement/error.h"
#include "casement/virtio.h"

#define QUEUE_SIZE 64
#define MAX_BUFFERS 64
/* A chain gets at most this much, however long it is: the driver asks again for more. */
#define MAX_BYTES 4096U

struct rng {
    struct device device;
    struct virtio *virtio;
};

static uint32_t fill(const struct virtq_chain *chain)
{
    uint32_t written = 0;

    for (unsigned n = 0; n < chain->in_count && written < MAX_BYTES; n++) {
        const struct iovec *iov = &chain->iov[chain->out_count + n];
        size_t wanted = MIN(iov->iov_len, (size_t)(MAX_BYTES - written));
        ssize_t got = getrandom(iov->iov_base, wanted, 0);

        if (got <= 0)
            break;
        written += (uint32_t)got;
        if ((size_t)got < wanted)
            break;
    }
    return written;
}

/* At most a ring's worth a round, so that other devices of the loop get their turn. */
static void kicked(struct virtio *virtio, struct virtq *queue)
{
    struct iovec iov[MAX_BUFFERS];
    struct virtq_chain chain;
    int got = 0;

    (void)virtio;
    for (unsigned n = 0; n < QUEUE_SIZE; n++) {
        got = virtq_pop(queue, &chain, iov, MAX_BUFFERS);
        if (got <= 0)
            break;
        virtq_push(queue, chain.head, fill(&chain));
    }
    virtq_flush(queue);
    if (got > 0)
        virtq_again(queue);
}

static void destroy(struct device *device)
{
    struct rng *rng = container_of(device, struct rng, device);

    virtio_destroy(rng->virtio);
    free(rng);
}

int virtio_rng_create(struct board *board, int slot, struct error *error)
{
    static const struct device_ops device_ops = {.destroy = destroy};
    static const struct virtio_ops ops = {.kicked = kicked};
    struct rng *rng = calloc(1, sizeof *rng);
    const struct virtio_options options = {.name = "virtio-rng",
                                           .type = VIRTIO_RNG,
                                           .class_code = 0x00FF00,
                                           .queues = 1,
                                           .queue_size = QUEUE_SIZE,
                                           .ops = &ops,
                                           .device = rng,
                                           .slot = slot};
    int failed = rng ? virtio_create(board, &options, &rng->virtio) : -ENOMEM;

    if (failed < 0) {
        free(rng);
        return error_set(error, -failed, "virtio-rng: cannot be made (error %d)", -failed);
    }
    rng->device = (struct device){.name = "virtio-rng", .ops = &device_ops};
    board_add(board, &rng->device);
    return 0;
}
