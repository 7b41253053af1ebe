/* virtio block device (Virtual I/O Device 1.2, section 5.2): requests of the driver become requests of the block layer.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/virtio.h"
#include "iov.h"

#define QUEUE_SIZE 256
#define SEGMENTS 254
#define BUFFERS (SEGMENTS + 2)
#define SECTOR 512U
#define HEADER_BYTES 16
#define SEGMENT_BYTES 16
#define MAX_SEGMENTS 16U                      /* of one discard or write zeroes request */
#define MAX_RANGE_SECTORS (UINT32_C(1) << 22) /* of one of them: 2 GiB */

#define F_SEG_MAX 2
#define F_RO 5
#define F_BLK_SIZE 6
#define F_FLUSH 9
#define F_TOPOLOGY 10
#define F_CONFIG_WCE 11
#define F_MQ 12
#define F_DISCARD 13
#define F_WRITE_ZEROES 14

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPPORTED = 2 };

#define ZEROES_UNMAP 1U

/* Device configuration, section 5.2.4. */
#define CONFIG_SIZE 60
#define CONFIG_WRITEBACK 32

struct blk_queue;
/* One request of the driver; there is one for every head. */
struct request {
    struct block_request block; /* first */
    struct blk_queue *queue;
    uint16_t head;
    uint8_t *status;  /* in guest RAM */
    uint32_t written; /* bytes for the guest when all goes well, the status included */
    bool flush_after; /* write-through: the data must be on the disk before the guest is told */
    unsigned ranges, next_range;
    uint8_t range[MAX_SEGMENTS][SEGMENT_BYTES];
    struct iovec iov[BUFFERS];
};

struct blk_queue {
    struct blk *blk;
    struct virtq *virtq;
    struct block_queue *block_queue;
    struct request *requests; /* QUEUE_SIZE */
};

struct blk {
    struct device device;
    struct virtio *virtio;
    struct virtio_block_options options;
    struct loop *loop;
    unsigned queue_count;
    struct blk_queue *queues;
    uint8_t config[CONFIG_SIZE];
    _Atomic bool writeback;
};

static void complete(struct request *request, uint8_t status)
{
    *request->status = status;
    virtq_push(request->queue->virtq, request->head, status == S_OK ? request->written : 1);
}

static void submit_range(struct request *request);

static void done(struct block_request *block, int result)
{
    struct request *request = container_of(block, struct request, block);

    if (result == 0 && request->next_range < request->ranges) {
        submit_range(request);
        return;
    }
    if (result == 0 && request->flush_after) {
        request->flush_after = false;
        request->block.op = BLOCK_FLUSH;
        block_submit(request->queue->block_queue, &request->block);
        return;
    }
    complete(request, result == 0 ? S_OK : result == -EOPNOTSUPP ? S_UNSUPPORTED : S_IOERR);
}

static void submit(struct request *request, enum block_op op, uint64_t offset, uint64_t length)
{
    request->block.op = op;
    request->block.offset = offset;
    request->block.length = length;
    request->block.done = done;
    block_submit(request->queue->block_queue, &request->block);
}

static void transfer(struct request *request, const struct virtq_chain *chain, bool write, uint64_t sector)
{
    struct blk *blk = request->queue->blk;
    uint64_t length = write ? chain->out_bytes - HEADER_BYTES : chain->in_bytes - 1;
    const struct iovec *from = write ? chain->iov : chain->iov + chain->out_count;

    if (sector > UINT64_MAX / SECTOR || length % SECTOR) {
        complete(request, S_IOERR);
        return;
    }
    request->block.iov_count = iov_keep_filled(request->iov, from, write ? chain->out_count : chain->in_count);
    request->block.iov = request->iov;
    request->written = write ? 1 : (uint32_t)length + 1;
    request->flush_after = write && !atomic_load(&blk->writeback);
    submit(request, write ? BLOCK_WRITE : BLOCK_READ, sector * SECTOR, length);
}

/* Section 5.2.6.2: what a segment may ask for. */
static bool range_allowed(const struct request *request, uint32_t type, const uint8_t *range)
{
    uint64_t sector = get_le64(range);
    uint32_t sectors = get_le32(range + 8), flags = get_le32(range + 12);
    uint64_t all = block_size(request->queue->blk->options.block) / SECTOR;

    return sectors <= MAX_RANGE_SECTORS && sector <= all && sectors <= all - sector &&
           !(flags & (type == T_DISCARD ? UINT32_MAX : ~ZEROES_UNMAP));
}

static void submit_range(struct request *request)
{
    const uint8_t *range = request->range[request->next_range++];

    request->block.unmap = get_le32(range + 12) & ZEROES_UNMAP;
    submit(request, request->block.op, get_le64(range) * SECTOR, (uint64_t)get_le32(range + 8) * SECTOR);
}

static void ranges(struct request *request, const struct virtq_chain *chain, uint32_t type)
{
    uint64_t bytes = chain->out_bytes - HEADER_BYTES;

    request->ranges = (unsigned)(bytes / SEGMENT_BYTES);
    if (bytes % SEGMENT_BYTES || request->ranges == 0 || bytes > sizeof request->range ||
        !iov_take(chain->iov, chain->out_count, request->range, bytes)) {
        request->ranges = 0;
        complete(request, S_IOERR);
        return;
    }
    for (unsigned n = 0; n < request->ranges; n++)
        if (!range_allowed(request, type, request->range[n])) {
            uint32_t flags = get_le32(request->range[n] + 12);

            complete(request, flags & (type == T_DISCARD ? UINT32_MAX : ~ZEROES_UNMAP) ? S_UNSUPPORTED : S_IOERR);
            return;
        }
    request->block.op = type == T_DISCARD ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
    request->flush_after = !atomic_load(&request->queue->blk->writeback);
    submit_range(request);
}

static void get_id(struct request *request, const struct virtq_chain *chain)
{
    char id[20] = {0};

    memcpy(id, request->queue->blk->options.serial, strnlen(request->queue->blk->options.serial, sizeof id));
    if (chain->in_bytes - 1 < sizeof id) {
        complete(request, S_IOERR);
        return;
    }
    iov_put(chain->iov + chain->out_count, chain->in_count, id, sizeof id);
    request->written = sizeof id + 1;
    complete(request, S_OK);
}

/* Takes the last byte that the device may write for the status. */
static uint8_t *take_status(const struct virtq_chain *chain)
{
    struct iovec *last = &chain->iov[chain->out_count + chain->in_count - 1];

    last->iov_len--;
    return (uint8_t *)last->iov_base + last->iov_len;
}

static void dispatch(struct blk_queue *queue, const struct virtq_chain *chain)
{
    struct request *request = &queue->requests[chain->head];
    bool read_only = block_read_only(queue->blk->options.block);
    uint8_t header[HEADER_BYTES];
    uint32_t type;

    request->head = chain->head;
    request->written = 1;
    request->flush_after = false;
    request->ranges = request->next_range = 0;
    request->status = take_status(chain);
    if (!iov_take(chain->iov, chain->out_count, header, sizeof header)) {
        complete(request, S_IOERR);
        return;
    }
    type = get_le32(header);
    if (read_only && (type == T_OUT || type == T_DISCARD || type == T_WRITE_ZEROES)) {
        complete(request, S_IOERR);
        return;
    }
    switch (type) {
    case T_IN:
    case T_OUT:
        transfer(request, chain, type == T_OUT, get_le64(header + 8));
        break;
    case T_FLUSH:
        if (read_only)
            complete(request, S_OK);
        else
            submit(request, BLOCK_FLUSH, 0, 0);
        break;
    case T_GET_ID:
        get_id(request, chain);
        break;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        ranges(request, chain, type);
        break;
    default:
        complete(request, S_UNSUPPORTED);
    }
}

/* One round takes at most a ring's worth, so that a driver that is faster than the disk never keeps completions
 * waiting. */
static void serve(struct blk_queue *queue)
{
    struct iovec iov[BUFFERS];
    struct virtq_chain chain;
    unsigned taken = 0;
    int got = 0;

    virtq_suppress_kicks(queue->virtq);
    for (; taken < QUEUE_SIZE; taken++) {
        got = virtq_pop(queue->virtq, &chain, iov, BUFFERS);
        if (got <= 0)
            break;
        if (chain.in_count == 0) {
            virtio_break(queue->blk->virtio, "a request has no room for its status");
            break;
        }
        dispatch(queue, &chain);
    }
    block_queue_kick(queue->block_queue);
    virtq_flush(queue->virtq);
    if (got > 0)
        virtq_again(queue->virtq);
}

static void kicked(struct virtio *virtio, struct virtq *virtq)
{
    struct blk *blk = virtio_device(virtio);

    serve(&blk->queues[virtq_index(virtq)]);
}

/* Behind every batch of the engine's completions. */
static void batch_done(void *opaque)
{
    struct blk_queue *queue = opaque;

    virtq_flush(queue->virtq);
}

static void drain(void *opaque)
{
    struct blk *blk = opaque;

    for (unsigned n = 0; n < blk->queue_count; n++)
        block_queue_drain(blk->queues[n].block_queue);
}

static void stop(struct virtio *virtio)
{
    struct blk *blk = virtio_device(virtio);

    loop_call(blk->loop, drain, blk);
    atomic_store(&blk->writeback, true);
}

static void start(struct virtio *virtio)
{
    struct blk *blk = virtio_device(virtio);

    /* A driver that cannot flush gets write-through (5.2.5). */
    if (!(virtio_features(virtio) & (VIRTIO_BIT(F_FLUSH) | VIRTIO_BIT(F_CONFIG_WCE))))
        atomic_store(&blk->writeback, false);
}

static void config_read(struct virtio *virtio, unsigned offset, void *data, unsigned size)
{
    struct blk *blk = virtio_device(virtio);
    uint8_t config[CONFIG_SIZE];

    memcpy(config, blk->config, sizeof config);
    config[CONFIG_WRITEBACK] = atomic_load(&blk->writeback);
    memcpy(data, config + offset, size);
}

static void config_write(struct virtio *virtio, unsigned offset, const void *data, unsigned size)
{
    struct blk *blk = virtio_device(virtio);

    if (offset <= CONFIG_WRITEBACK && offset + size > CONFIG_WRITEBACK)
        atomic_store(&blk->writeback, ((const uint8_t *)data)[CONFIG_WRITEBACK - offset] & 1);
}

static void put_capacity(struct virtio *virtio)
{
    struct blk *blk = virtio_device(virtio);

    put_le64(blk->config, block_size(blk->options.block) / SECTOR);
}

/* block_on_resize() */
static void resized(void *opaque)
{
    struct blk *blk = opaque;

    virtio_config_change(blk->virtio, put_capacity);
}

static void fill_config(struct blk *blk)
{
    uint8_t *config = blk->config;

    put_le64(config, block_size(blk->options.block) / SECTOR);
    put_le32(config + 12, SEGMENTS);
    put_le32(config + 20, SECTOR);
    config[24] = 3; /* physical blocks of 4 KiB: 512e */
    put_le16(config + 34, (uint16_t)blk->queue_count);
    put_le32(config + 36, MAX_RANGE_SECTORS); /* discard */
    put_le32(config + 40, MAX_SEGMENTS);
    put_le32(config + 44, 8);                 /* aligned to 4 KiB */
    put_le32(config + 48, MAX_RANGE_SECTORS); /* write zeroes */
    put_le32(config + 52, MAX_SEGMENTS);
    config[56] = block_can_discard(blk->options.block);
}

static uint64_t offered(const struct blk *blk)
{
    uint64_t features = VIRTIO_BIT(F_SEG_MAX) | VIRTIO_BIT(F_BLK_SIZE) | VIRTIO_BIT(F_FLUSH) | VIRTIO_BIT(F_TOPOLOGY) |
                        VIRTIO_BIT(F_CONFIG_WCE) | VIRTIO_BIT(F_MQ);

    if (block_read_only(blk->options.block))
        return features | VIRTIO_BIT(F_RO);
    features |= VIRTIO_BIT(F_WRITE_ZEROES);
    return block_can_discard(blk->options.block) ? features | VIRTIO_BIT(F_DISCARD) : features;
}

static void free_queues(struct blk *blk)
{
    for (unsigned n = 0; blk->queues && n < blk->queue_count; n++) {
        block_queue_destroy(blk->queues[n].block_queue);
        free(blk->queues[n].requests);
    }
}

static void destroy(struct device *device)
{
    struct blk *blk = container_of(device, struct blk, device);

    block_on_resize(blk->options.block, NULL, NULL);
    /* The thread first: a task that it still has would use what is freed next. */
    if (blk->loop)
        loop_stop(blk->loop);
    virtio_destroy(blk->virtio);
    free_queues(blk);
    loop_destroy(blk->loop);
    free(blk->queues);
    free(blk);
}

static int create_queues(struct blk *blk, struct error *error)
{
    blk->queues = calloc(blk->queue_count, sizeof *blk->queues);
    if (!blk->queues)
        return error_set(error, ENOMEM, "virtio-blk: out of memory");
    for (unsigned n = 0; n < blk->queue_count; n++) {
        struct blk_queue *queue = &blk->queues[n];

        queue->blk = blk;
        queue->virtq = virtio_queue(blk->virtio, n);
        queue->requests = calloc(QUEUE_SIZE, sizeof *queue->requests);
        if (!queue->requests)
            return error_set(error, ENOMEM, "virtio-blk: out of memory");
        for (unsigned head = 0; head < QUEUE_SIZE; head++)
            queue->requests[head].queue = queue;
        virtio_queue_loop(blk->virtio, n, blk->loop);
        queue->block_queue = block_queue_create(blk->options.block, blk->loop, QUEUE_SIZE, error);
        if (!queue->block_queue)
            return -ENOMEM;
        block_queue_on_batch(queue->block_queue, batch_done, queue);
    }
    return 0;
}

int virtio_block_create(struct board *board, const struct virtio_block_options *options, struct virtio **result,
                        struct error *error)
{
    static const struct device_ops device_ops = {.destroy = destroy};
    static const struct virtio_ops ops = {
        .config_read = config_read, .config_write = config_write, .start = start, .kicked = kicked, .stop = stop};
    struct virtio_options virtio = {.name = "virtio-blk",
                                    .type = VIRTIO_BLOCK,
                                    .class_code = 0x010000,
                                    .config_size = CONFIG_SIZE,
                                    .queues = options->queues,
                                    .queue_size = QUEUE_SIZE,
                                    .ops = &ops,
                                    .slot = options->slot};
    struct blk *blk = calloc(1, sizeof *blk);
    int failed;

    if (!blk)
        return error_set(error, ENOMEM, "virtio-blk: out of memory");
    blk->device = (struct device){.name = "virtio-blk", .ops = &device_ops};
    blk->options = *options;
    blk->queue_count = options->queues;
    atomic_store(&blk->writeback, true);
    fill_config(blk);
    virtio.device = blk;
    virtio.features = offered(blk);
    blk->loop = loop_create("disk");
    failed = blk->loop ? virtio_create(board, &virtio, &blk->virtio) : -ENOMEM;
    if (failed < 0)
        error_set(error, -failed, "virtio-blk: no room on the PCI bus or no memory (error %d)", -failed);
    else
        failed = create_queues(blk, error);
    if (failed == 0) {
        failed = loop_start(blk->loop);
        if (failed < 0)
            error_set(error, -failed, "virtio-blk: no thread: %s", strerror(-failed));
    }
    if (failed < 0) {
        destroy(&blk->device);
        return failed;
    }
    block_on_resize(options->block, resized, blk);
    board_add(board, &blk->device);
    if (result)
        *result = blk->virtio;
    return 0;
}
