/*
 * virtio SCSI host device (Virtual I/O Device 1.2, section 5.6): one target whose one logical unit is an image.
 * Requests of the driver become requests of the unit; all queues are served by one loop, which is the unit's.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/scsi.h"
#include "casement/virtio.h"
#include "iov.h"

#define QUEUE_SIZE 128U
#define SEGMENTS (QUEUE_SIZE - 2) /* of data, beside header and response */
#define BUFFERS QUEUE_SIZE
#define CONTROL_QUEUE 0U
#define EVENT_QUEUE 1U
#define FIRST_REQUEST_QUEUE 2U

#define HEADER_BYTES 19 /* in front of the command block */
#define RESPONSE_BYTES 12
/* As 5.6.4 has them at first; the driver may write others. */
#define CDB_BYTES 32U
#define SENSE_BYTES 96U
#define CDB_MOST 255U
#define SENSE_MOST 252U

/* Device configuration, section 5.6.4. */
#define CONFIG_SIZE 36
#define CONFIG_SENSE_SIZE 20
#define CONFIG_CDB_SIZE 24

enum { S_OK = 0, S_OVERRUN = 1, S_BAD_TARGET = 3, S_FAILURE = 9 };
/* Of the control queue. */
enum { T_TASK_MANAGEMENT = 0, T_NOTIFICATION_QUERY = 1, T_NOTIFICATION_SUBSCRIBE = 2 };
enum { ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, NEXUS_RESET, UNIT_RESET, QUERY_TASK, QUERY_TASK_SET };
enum { FUNCTION_COMPLETE = 0, FUNCTION_REJECTED = 11 };
#define TASK_MANAGEMENT_BYTES 24
#define NOTIFICATION_BYTES 16

struct scsi_queue;
/* One request of the driver; there is one for every head of a queue. */
struct request {
    struct scsi_request scsi;
    struct scatter scatter; /* over the iovecs of data */
    struct scsi_queue *queue;
    uint16_t head;
    uint64_t bytes; /* of data */
    unsigned iov_count, next_iov, answer_count;
    uint32_t sense_bytes;
    struct iovec iov[BUFFERS], answer[BUFFERS]; /* answer: where the response goes */
};

struct scsi_queue {
    struct host *host;
    struct virtq *virtq;
    struct loop_task told;    /* publishes what was completed since the loop's last round */
    struct request *requests; /* QUEUE_SIZE */
};

struct host {
    struct device device;
    struct virtio *virtio;
    struct virtio_scsi_options options;
    struct loop *loop;
    struct scsi_unit *unit;
    char serial[21];
    bool open; /* the loop's thread only: between start and stop */
    unsigned queue_count;
    struct scsi_queue *queues;
    _Atomic uint32_t sense_size, cdb_size;
};

/* Section 5.6.6.1: target and unit in the form of single level addressing. */
static bool is_our_unit(const uint8_t *lun)
{
    return lun[0] == 1 && lun[1] == 0 && (get_be16(lun + 2) & 0x3FFF) == 0;
}

static int next_buffers(struct scatter *scatter, uint64_t bytes, struct iovec *iov, unsigned room)
{
    struct request *request = container_of(scatter, struct request, scatter);
    unsigned count = 0;

    while (count < room && bytes && request->next_iov < request->iov_count) {
        struct iovec *from = &request->iov[request->next_iov];
        size_t now = MIN(from->iov_len, bytes);

        iov[count++] = (struct iovec){from->iov_base, now};
        from->iov_base = (uint8_t *)from->iov_base + now;
        from->iov_len -= now;
        bytes -= now;
        if (!from->iov_len)
            request->next_iov++;
    }
    return (int)count;
}

/* sense: NULL for none. */
static void respond(struct request *request, uint8_t response, uint8_t status, const uint8_t *sense)
{
    uint8_t answer[RESPONSE_BYTES + SENSE_MOST] = {0};
    uint32_t length = RESPONSE_BYTES + request->sense_bytes, sense_length = 0;
    const struct scsi_request *scsi = &request->scsi;
    bool in = response == S_OK && scsi->moved_where == SCSI_IN;

    if (sense) {
        sense_length = MIN(request->sense_bytes, (uint32_t)SCSI_SENSE_BYTES);
        memcpy(answer + RESPONSE_BYTES, sense, sense_length);
    }
    put_le32(answer, sense_length);
    put_le32(answer + 4, (uint32_t)(request->bytes - scsi->moved));
    answer[10] = status;
    answer[11] = response;
    iov_put(request->answer, request->answer_count, answer, length);
    virtq_push(request->queue->virtq, request->head, length + (in ? (uint32_t)scsi->moved : 0));
    loop_post(request->queue->host->loop, &request->queue->told);
}

/* A command that wants to move more than there are buffers for has overrun them (5.6.6.1). */
static void unit_done(struct scsi_request *scsi)
{
    struct request *request = container_of(scsi, struct request, scsi);

    if (scsi->status == SCSI_PHASE_ERROR)
        respond(request, scsi->direction == SCSI_NO_DATA ? S_OVERRUN : S_FAILURE, 0, NULL);
    else if (scsi->status == SCSI_GOOD && scsi->cut_off)
        respond(request, S_OVERRUN, 0, NULL);
    else
        respond(request, S_OK, scsi->status, scsi->status == SCSI_CHECK_CONDITION ? scsi->sense : NULL);
}

/* Data of one direction only: the feature for both is not offered. */
static void run(struct request *request, const struct virtq_chain *chain)
{
    struct iovec *in = chain->iov + chain->out_count;
    const uint64_t out_bytes = request->bytes;
    const uint64_t in_bytes = chain->in_bytes - RESPONSE_BYTES - request->sense_bytes;

    request->bytes = MAX(out_bytes, in_bytes);
    if (out_bytes && in_bytes) {
        respond(request, S_FAILURE, 0, NULL);
        return;
    }
    request->iov_count = out_bytes ? iov_keep_filled(request->iov, chain->iov, chain->out_count)
                                   : iov_keep_filled(request->iov, in, chain->in_count);
    request->scsi.data = request->bytes ? &request->scatter : NULL;
    request->scsi.direction = out_bytes ? SCSI_OUT : in_bytes ? SCSI_IN : SCSI_NO_DATA;
    scsi_submit(request->queue->host->unit, &request->scsi);
}

/* false: the chain has no room for what every request has. */
static bool dispatch(struct scsi_queue *queue, const struct virtq_chain *chain)
{
    struct host *host = queue->host;
    struct request *request = &queue->requests[chain->head];
    const uint32_t cdb_bytes = atomic_load(&host->cdb_size);
    uint8_t header[HEADER_BYTES], cdb[CDB_MOST] = {0};

    request->head = chain->head;
    request->next_iov = 0;
    request->scsi.moved = 0;
    request->sense_bytes = atomic_load(&host->sense_size);
    request->answer_count =
        iov_cut(chain->iov + chain->out_count, chain->in_count, RESPONSE_BYTES + request->sense_bytes, request->answer);
    if (!request->answer_count || !iov_take(chain->iov, chain->out_count, header, sizeof header) ||
        !iov_take(chain->iov, chain->out_count, cdb, cdb_bytes))
        return false;
    memcpy(request->scsi.cdb, cdb, SCSI_CDB_BYTES);
    request->bytes = chain->out_bytes - sizeof header - cdb_bytes;
    if (is_our_unit(header))
        run(request, chain);
    else
        respond(request, S_BAD_TARGET, 0, NULL);
    return true;
}

/*
 * The control queue. What is in flight cannot be called back from the image, so that what would abort it waits until it
 * has ended, with the status that it has; a task that is asked for has ended by then, too.
 */
static uint8_t manage(struct host *host, const uint8_t *order)
{
    if (!is_our_unit(order + 8))
        return S_BAD_TARGET;
    switch (get_le32(order + 4)) {
    case ABORT_TASK:
    case ABORT_TASK_SET:
    case CLEAR_TASK_SET:
    case QUERY_TASK:
    case QUERY_TASK_SET:
        scsi_drain(host->unit);
        return FUNCTION_COMPLETE;
    case NEXUS_RESET:
    case UNIT_RESET:
        scsi_reset(host->unit);
        return FUNCTION_COMPLETE;
    default:
        return FUNCTION_REJECTED;
    }
}

static bool control(struct scsi_queue *queue, const struct virtq_chain *chain)
{
    uint8_t order[TASK_MANAGEMENT_BYTES] = {0}, answer[5] = {0};
    struct iovec *in = chain->iov + chain->out_count;
    size_t length;

    if (!iov_take(chain->iov, chain->out_count, order, 4))
        return false;
    switch (get_le32(order)) {
    case T_TASK_MANAGEMENT:
        length = 1;
        if (!iov_take(chain->iov, chain->out_count, order + 4, TASK_MANAGEMENT_BYTES - 4))
            return false;
        break;
    case T_NOTIFICATION_QUERY:
    case T_NOTIFICATION_SUBSCRIBE: /* of no event */
        length = 5;
        if (!iov_take(chain->iov, chain->out_count, order + 4, NOTIFICATION_BYTES - 4))
            return false;
        break;
    default:
        return false;
    }
    if (chain->in_bytes < length)
        return false;
    if (length == 1)
        answer[0] = manage(queue->host, order);
    else
        answer[4] = is_our_unit(order + 4) ? S_OK : S_BAD_TARGET;
    iov_put(in, chain->in_count, answer, length);
    virtq_push(queue->virtq, chain->head, (uint32_t)length);
    return true;
}

/* One round takes at most a ring's worth, so that completions are not kept waiting. */
static void serve(struct scsi_queue *queue)
{
    const bool is_control = virtq_index(queue->virtq) == CONTROL_QUEUE;
    struct iovec iov[BUFFERS];
    struct virtq_chain chain;
    int got = 0;

    virtq_suppress_kicks(queue->virtq);
    for (unsigned taken = 0; taken < QUEUE_SIZE; taken++) {
        got = virtq_pop(queue->virtq, &chain, iov, BUFFERS);
        if (got <= 0)
            break;
        if (!(is_control ? control : dispatch)(queue, &chain)) {
            virtio_break(queue->host->virtio, "a request is shorter than its header or its response");
            break;
        }
    }
    virtq_flush(queue->virtq);
    if (got > 0)
        virtq_again(queue->virtq);
}

static bool is_running(const struct scsi_queue *queue)
{
    return queue->host->open && virtio_queue_running(queue->virtq);
}

static void publish(void *opaque)
{
    struct scsi_queue *queue = opaque;

    if (is_running(queue))
        virtq_flush(queue->virtq);
}

/* The driver's buffers for events stay where they are: there is none that it accepted. */
static void kicked(struct virtio *virtio, struct virtq *virtq)
{
    struct host *host = virtio_device(virtio);

    if (virtq_index(virtq) != EVENT_QUEUE)
        serve(&host->queues[virtq_index(virtq)]);
}

static void open_queues(void *opaque)
{
    struct host *host = opaque;

    host->open = true;
}

static void close_and_reset(void *opaque)
{
    struct host *host = opaque;

    host->open = false;
    scsi_reset(host->unit);
}

static void start(struct virtio *virtio)
{
    struct host *host = virtio_device(virtio);

    loop_call(host->loop, open_queues, host);
}

static void stop(struct virtio *virtio)
{
    struct host *host = virtio_device(virtio);

    loop_call(host->loop, close_and_reset, host);
    atomic_store(&host->sense_size, SENSE_BYTES);
    atomic_store(&host->cdb_size, CDB_BYTES);
}

/* Targets and units as many as drivers look for anyway: Windows' takes a limit of 0 for none at all. */
static void fill_config(const struct host *host, uint8_t config[CONFIG_SIZE])
{
    memset(config, 0, CONFIG_SIZE);
    put_le32(config, host->queue_count - FIRST_REQUEST_QUEUE);
    put_le32(config + 4, SEGMENTS);
    put_le32(config + 8, 0xFFFF); /* sectors of one request */
    put_le32(config + 12, QUEUE_SIZE);
    put_le32(config + 16, 16); /* bytes of an event */
    put_le32(config + CONFIG_SENSE_SIZE, atomic_load(&host->sense_size));
    put_le32(config + CONFIG_CDB_SIZE, atomic_load(&host->cdb_size));
    put_le16(config + 30, 255);
    put_le32(config + 32, 16383);
}

static void config_read(struct virtio *virtio, unsigned offset, void *data, unsigned size)
{
    uint8_t config[CONFIG_SIZE];

    fill_config(virtio_device(virtio), config);
    memcpy(data, config + offset, size);
}

/* Sizes that cannot be stay as they were, which the driver can read. */
static void config_write(struct virtio *virtio, unsigned offset, const void *data, unsigned size)
{
    struct host *host = virtio_device(virtio);
    uint8_t config[CONFIG_SIZE];
    uint32_t sense, cdb;

    fill_config(host, config);
    memcpy(config + offset, data, size);
    sense = get_le32(config + CONFIG_SENSE_SIZE);
    cdb = get_le32(config + CONFIG_CDB_SIZE);
    if (sense <= SENSE_MOST)
        atomic_store(&host->sense_size, sense);
    if (cdb >= 1 && cdb <= CDB_MOST)
        atomic_store(&host->cdb_size, cdb);
}

static void destroy(struct device *device)
{
    struct host *host = container_of(device, struct host, device);

    /* The thread first: a task that it still has would use what is freed next. */
    if (host->loop)
        loop_stop(host->loop);
    virtio_destroy(host->virtio);
    scsi_destroy(host->unit);
    for (unsigned n = 0; host->queues && n < host->queue_count; n++)
        free(host->queues[n].requests);
    loop_destroy(host->loop);
    free(host->queues);
    free(host);
}

static int create_queue(struct host *host, unsigned n)
{
    struct scsi_queue *queue = &host->queues[n];

    queue->host = host;
    queue->virtq = virtio_queue(host->virtio, n);
    queue->told = (struct loop_task){.run = publish, .opaque = queue};
    virtio_queue_loop(host->virtio, n, host->loop);
    if (n < FIRST_REQUEST_QUEUE)
        return 0;
    queue->requests = calloc(QUEUE_SIZE, sizeof *queue->requests);
    for (unsigned head = 0; queue->requests && head < QUEUE_SIZE; head++) {
        queue->requests[head].queue = queue;
        queue->requests[head].scatter.next = next_buffers;
        queue->requests[head].scsi.done = unit_done;
    }
    return queue->requests ? 0 : -ENOMEM;
}

static int create_unit(struct host *host, struct error *error)
{
    const struct scsi_options unit = {.kind = SCSI_DISK,
                                      .depth = QUEUE_SIZE * (host->queue_count - FIRST_REQUEST_QUEUE),
                                      .vendor = "Casement",
                                      .product = "SCSI Disk",
                                      .serial = host->serial};

    int failed;

    host->unit = scsi_create(&unit, host->loop);
    if (!host->unit)
        return error_set(error, ENOMEM, "virtio-scsi: out of memory");
    failed = scsi_set_medium(host->unit, host->options.block, error);
    scsi_reset(host->unit); /* it has always been in there */
    return failed;
}

static int create_parts(struct host *host, struct board *board, struct error *error)
{
    static const struct virtio_ops ops = {
        .config_read = config_read, .config_write = config_write, .start = start, .kicked = kicked, .stop = stop};
    const struct virtio_options virtio = {.name = "virtio-scsi",
                                          .type = VIRTIO_SCSI,
                                          .class_code = 0x010000,
                                          .config_size = CONFIG_SIZE,
                                          .queues = host->queue_count,
                                          .queue_size = QUEUE_SIZE,
                                          .ops = &ops,
                                          .device = host,
                                          .slot = host->options.slot};
    int failed;

    host->loop = loop_create("disk");
    host->queues = calloc(host->queue_count, sizeof *host->queues);
    if (!host->loop || !host->queues)
        return error_set(error, ENOMEM, "virtio-scsi: out of memory");
    failed = create_unit(host, error);
    if (failed < 0)
        return failed;
    failed = virtio_create(board, &virtio, &host->virtio);
    for (unsigned n = 0; failed == 0 && n < host->queue_count; n++)
        failed = create_queue(host, n);
    if (failed == 0)
        failed = loop_start(host->loop);
    return failed < 0 ? error_set(error, -failed, "virtio-scsi: no room on the PCI bus, no memory or no thread: %s",
                                  strerror(-failed))
                      : 0;
}

int virtio_scsi_create(struct board *board, const struct virtio_scsi_options *options, struct virtio **result,
                       struct error *error)
{
    static const struct device_ops device_ops = {.destroy = destroy};
    struct host *host = calloc(1, sizeof *host);
    int failed;

    if (!host)
        return error_set(error, ENOMEM, "virtio-scsi: out of memory");
    host->device = (struct device){.name = "virtio-scsi", .ops = &device_ops};
    host->options = *options;
    host->queue_count = FIRST_REQUEST_QUEUE + options->queues;
    snprintf(host->serial, sizeof host->serial, "%s", options->serial);
    host->sense_size = SENSE_BYTES;
    host->cdb_size = CDB_BYTES;
    failed = create_parts(host, board, error);
    if (failed < 0) {
        destroy(&host->device);
        return failed;
    }
    board_add(board, &host->device);
    if (result)
        *result = host->virtio;
    return 0;
}
