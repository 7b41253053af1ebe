/*
 * Mass storage (Universal Serial Bus Mass Storage Class, Bulk-Only Transport 1.0): a command block comes in, data goes
 * one way or the other, a status block goes out.
 *
 * A host cuts a command's data into as many transfers as it likes, so the data stands in a buffer of the device's own
 * between the image and the transfers: no image ever reads or writes guest memory that the host has taken back.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/scsi.h"
#include "casement/usb.h"

#define ENDPOINT_IN (1U | USB_IN)
#define ENDPOINT_OUT 2U
#define COMMAND_BYTES 31U
#define STATUS_BYTES 13U
#define COMMAND_SIGNATURE 0x43425355U
#define STATUS_SIGNATURE 0x53425355U
#define DATA_MAX (4 * MiB) /* of one command; hosts use a quarter of it at most */
#define CLASS_IN 0xA1
#define CLASS_OUT 0x21
#define BULK_ONLY_RESET 0xFF
#define GET_MAX_LUN 0xFE

enum { STATUS_PASSED, STATUS_FAILED, STATUS_PHASE_ERROR };

enum phase {
    PHASE_COMMAND,  /* waits for a command block */
    PHASE_DATA_OUT, /* collects what the host sends */
    PHASE_RUN,      /* the unit works */
    PHASE_DATA_IN,  /* hands out what it brought */
    PHASE_STATUS,   /* owes the host a status block */
    PHASE_BROKEN    /* until a reset (5.3, 6.6.1) */
};

/* What the guest can observe, beside the unit. */
struct storage_state {
    uint8_t phase;
    uint8_t status;
    uint8_t cdb[SCSI_CDB_BYTES];
    uint8_t in;       /* the direction that the host named */
    uint32_t tag;     /* the host's name for the command */
    uint32_t length;  /* what the host wants to move */
    uint32_t moved;   /* what the unit has moved */
    uint32_t done;    /* what has been handed over, or taken */
    uint32_t refused; /* data was; the host is told by a stalled endpoint, once */
};

struct storage {
    struct usb_device usb;
    struct scsi_unit *unit;
    struct loop *loop;
    struct loop_task start;
    struct usb_descriptors descriptors;
    char name[32], serial[21];
    const char *strings[3];
    /* The loop's only: */
    struct scsi_request request;
    struct scatter scatter;
    uint32_t size, at; /* of the data in the buffer, and where the unit has got to */
    bool busy;
    uint8_t *buffer; /* the loop's while the unit works, the lock's else */
    size_t buffer_size;
    /* With the lock, which is taken inside the controller's: */
    pthread_mutex_t lock;
    struct storage_state state;
    bool reset_wanted;
};

static const uint8_t device_descriptor[] = {18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, 0x03, 0x00, 0, 1, 1, 2, 3, 1};
static const uint8_t qualifier[] = {10, 6, 0, 2, 0, 0, 0, 64, 1, 0};
static const uint8_t configuration[] = {
    9, 2,    32,
    0, 1,    1,
    0, 0xC0, 0, /* configuration: self-powered */
    9, 4,    0,
    0, 2,    8,
    6, 0x50, 0, /* interface: mass storage, SCSI, bulk-only */
    7, 5,    ENDPOINT_IN,
    2, 0x00, 0x02,
    0, /* 512 bytes a packet */
    7, 5,    ENDPOINT_OUT,
    2, 0x00, 0x02,
    0,
};

static struct storage *of(struct usb_device *device)
{
    return container_of(device, struct storage, usb);
}

/* The buffer, as the unit's place for its data. */
static int next_piece(struct scatter *scatter, uint64_t bytes, struct iovec *iov, unsigned room)
{
    struct storage *storage = container_of(scatter, struct storage, scatter);
    uint64_t now = MIN(bytes, (uint64_t)(storage->size - storage->at));

    if (!now || !room)
        return 0;
    *iov = (struct iovec){.iov_base = storage->buffer + storage->at, .iov_len = now};
    storage->at += (uint32_t)now;
    return 1;
}

/* On the loop, possibly inside scsi_submit(). What a reset has made nobody's is forgotten. */
static void unit_done(struct scsi_request *request)
{
    struct storage *storage = request->opaque;
    struct storage_state *state = &storage->state;

    pthread_mutex_lock(&storage->lock);
    storage->busy = false;
    if (state->phase == PHASE_RUN && !storage->reset_wanted) {
        state->moved = (uint32_t)MIN(request->moved, state->length);
        state->status = request->status == SCSI_PHASE_ERROR ? STATUS_PHASE_ERROR
                        : request->status == SCSI_GOOD      ? STATUS_PASSED
                                                            : STATUS_FAILED;
        state->phase = state->in && state->length ? PHASE_DATA_IN : PHASE_STATUS;
        state->done = 0;
    }
    pthread_mutex_unlock(&storage->lock);
    usb_ready(&storage->usb, ENDPOINT_IN);
    usb_ready(&storage->usb, ENDPOINT_OUT);
}

/* On the loop. The state does not change while the phase is PHASE_RUN, but for a reset, which comes back here. */
static void start(void *opaque)
{
    struct storage *storage = opaque;
    bool reset, run;

    pthread_mutex_lock(&storage->lock);
    reset = storage->reset_wanted;
    pthread_mutex_unlock(&storage->lock);
    if (reset)
        scsi_reset(storage->unit); /* what was in flight is done on return */
    pthread_mutex_lock(&storage->lock);
    if (reset)
        storage->reset_wanted = false;
    run = storage->state.phase == PHASE_RUN && !storage->busy && !storage->reset_wanted;
    if (run) {
        storage->busy = true;
        storage->size = storage->state.length;
        storage->at = 0;
        memcpy(storage->request.cdb, storage->state.cdb, SCSI_CDB_BYTES);
        storage->request.data = storage->state.length ? &storage->scatter : NULL;
        storage->request.direction = !storage->state.length ? SCSI_NO_DATA : storage->state.in ? SCSI_IN : SCSI_OUT;
    }
    pthread_mutex_unlock(&storage->lock);
    if (reset)
        usb_ready(&storage->usb, ENDPOINT_OUT); /* a command may have waited for the reset to end */
    if (run)
        scsi_submit(storage->unit, &storage->request);
}

static void run(struct storage *storage)
{
    storage->state.phase = PHASE_RUN;
    loop_post(storage->loop, &storage->start);
}

static bool make_room(struct storage *storage, size_t length)
{
    uint8_t *larger;

    if (length <= storage->buffer_size)
        return true;
    larger = realloc(storage->buffer, length);
    if (!larger)
        return false;
    storage->buffer = larger;
    storage->buffer_size = length;
    return true;
}

/* A command block wrapper (5.1, 6.2). With the lock held, as what follows. */
static enum usb_status take_command(struct storage *storage, struct usb_transfer *transfer)
{
    struct storage_state *state = &storage->state;
    uint8_t block[COMMAND_BYTES] = {0};

    if (transfer->length != COMMAND_BYTES || usb_transfer_get(transfer, block, sizeof block) != sizeof block ||
        get_le32(block) != COMMAND_SIGNATURE || block[13] || !block[14] || block[14] > SCSI_CDB_BYTES) {
        state->phase = PHASE_BROKEN;
        return USB_STALL;
    }
    *state =
        (struct storage_state){.tag = get_le32(block + 4), .length = get_le32(block + 8), .in = block[12] & USB_IN};
    memcpy(state->cdb, block + 15, block[14]);
    if (state->length > DATA_MAX || (!storage->busy && !make_room(storage, state->length))) {
        state->status = STATUS_PHASE_ERROR;
        state->refused = true;
        state->phase = PHASE_STATUS;
    } else if (state->length && !state->in) {
        state->phase = PHASE_DATA_OUT;
    } else {
        run(storage);
    }
    return USB_DONE;
}

static enum usb_status take_data(struct storage *storage, struct usb_transfer *transfer)
{
    struct storage_state *state = &storage->state;
    size_t room = state->length - state->done;

    if (transfer->length > room) {
        state->phase = PHASE_BROKEN; /* more than was announced */
        return USB_STALL;
    }
    state->done += (uint32_t)usb_transfer_get(transfer, storage->buffer + state->done, transfer->length);
    if (state->done == state->length)
        run(storage);
    return USB_DONE;
}

/* What the unit brought; where it ends before the host's wish does, a short transfer or a stalled endpoint says so. */
static enum usb_status give_data(struct storage *storage, struct usb_transfer *transfer)
{
    struct storage_state *state = &storage->state;
    size_t length = MIN((size_t)(state->moved - state->done), transfer->length);

    state->done += (uint32_t)usb_transfer_put(transfer, storage->buffer + state->done, length);
    if (state->done == state->length || length < transfer->length)
        state->phase = PHASE_STATUS;
    return length || !transfer->length ? USB_DONE : USB_STALL;
}

/* A command status wrapper (5.2). */
static enum usb_status give_status(struct storage *storage, struct usb_transfer *transfer)
{
    struct storage_state *state = &storage->state;
    uint8_t block[STATUS_BYTES] = {0};

    if (!transfer->length)
        return USB_DONE; /* the block is still owed */
    if (state->refused) {
        state->refused = false;
        return USB_STALL;
    }
    put_le32(block, STATUS_SIGNATURE);
    put_le32(block + 4, state->tag);
    put_le32(block + 8, state->length - state->moved);
    block[12] = state->status;
    usb_transfer_put(transfer, block, sizeof block);
    state->phase = PHASE_COMMAND;
    return USB_DONE;
}

static enum usb_status host_sends(struct storage *storage, struct usb_transfer *transfer)
{
    switch (storage->state.phase) {
    case PHASE_COMMAND:
        /* The buffer is the unit's until a request that a reset left behind has ended. */
        return storage->busy || storage->reset_wanted ? USB_NAK : take_command(storage, transfer);
    case PHASE_DATA_OUT:
        return take_data(storage, transfer);
    case PHASE_RUN:
        return USB_NAK;
    default:
        storage->state.refused = false;
        return USB_STALL;
    }
}

static enum usb_status host_asks(struct storage *storage, struct usb_transfer *transfer)
{
    switch (storage->state.phase) {
    case PHASE_DATA_IN:
        return give_data(storage, transfer);
    case PHASE_STATUS:
        return give_status(storage, transfer);
    case PHASE_BROKEN:
        return USB_STALL;
    default:
        return USB_NAK; /* Windows asks before the unit is done; some ask before they have sent anything */
    }
}

static enum usb_status data(struct usb_device *device, struct usb_transfer *transfer)
{
    struct storage *storage = of(device);
    enum usb_status status;

    pthread_mutex_lock(&storage->lock);
    status = transfer->endpoint == ENDPOINT_OUT ? host_sends(storage, transfer) : host_asks(storage, transfer);
    pthread_mutex_unlock(&storage->lock);
    if (status == USB_DONE) { /* the other way may wait for it */
        usb_ready(device, ENDPOINT_IN);
        usb_ready(device, ENDPOINT_OUT);
    }
    return status;
}

static void begin_anew(struct storage *storage)
{
    pthread_mutex_lock(&storage->lock);
    storage->state = (struct storage_state){.phase = PHASE_COMMAND};
    storage->reset_wanted = true;
    pthread_mutex_unlock(&storage->lock);
    loop_post(storage->loop, &storage->start);
}

static void reset(struct usb_device *device)
{
    begin_anew(of(device));
}

/* 3.1, 3.2 */
static enum usb_status control(struct usb_device *device, struct usb_transfer *transfer)
{
    static const uint8_t last_unit;

    switch (transfer->setup.type << 8 | transfer->setup.request) {
    case CLASS_IN << 8 | GET_MAX_LUN:
        return usb_answer(transfer, &last_unit, 1);
    case CLASS_OUT << 8 | BULK_ONLY_RESET:
        begin_anew(of(device));
        return USB_DONE;
    default:
        return USB_STALL;
    }
}

static void destroy(struct usb_device *device)
{
    struct storage *storage = of(device);

    scsi_destroy(storage->unit);
    pthread_mutex_destroy(&storage->lock);
    free(storage->buffer);
    free(storage);
}

static int make_unit(struct storage *storage, const struct usb_storage_options *options, struct error *error)
{
    const struct scsi_options scsi = {.kind = options->cdrom ? SCSI_CDROM : SCSI_DISK,
                                      .removable = options->removable,
                                      .physical_interface = 8,
                                      .vendor = "Casement",
                                      .product = options->cdrom ? "USB CD-ROM" : "USB Disk",
                                      .serial = storage->serial};

    storage->unit = scsi_create(&scsi, storage->loop);
    if (!storage->unit)
        return error_set(error, ENOMEM, "usb storage: out of memory");
    return options->medium ? scsi_set_medium(storage->unit, options->medium, error) : 0;
}

int usb_storage_create(struct board *board, struct xhci *xhci, const struct usb_storage_options *options,
                       unsigned *port, struct error *error)
{
    static const struct usb_device_ops ops = {.reset = reset, .control = control, .data = data, .destroy = destroy};
    struct storage *storage = calloc(1, sizeof *storage);
    int failed;

    if (!storage)
        return error_set(error, ENOMEM, "usb storage: out of memory");
    snprintf(storage->name, sizeof storage->name, "%s", options->name);
    snprintf(storage->serial, sizeof storage->serial, "%s", options->serial);
    storage->strings[0] = "Casement";
    storage->strings[1] = options->cdrom ? "USB CD-ROM" : "USB Disk";
    storage->strings[2] = storage->serial;
    storage->descriptors = (struct usb_descriptors){device_descriptor, configuration, qualifier, storage->strings,
                                                    ARRAY_SIZE(storage->strings)};
    storage->usb = (struct usb_device){
        .name = storage->name, .ops = &ops, .descriptors = &storage->descriptors, .speed = USB_HIGH};
    storage->loop = board->loop;
    storage->start = (struct loop_task){.run = start, .opaque = storage};
    storage->scatter.next = next_piece;
    storage->request.done = unit_done;
    storage->request.opaque = storage;
    pthread_mutex_init(&storage->lock, NULL);
    failed = make_unit(storage, options, error);
    if (failed == 0) {
        failed = usb_device_add(xhci, &storage->usb);
        if (failed < 0)
            error_set(error, -failed, "usb storage %s: no port is free; leave some USB devices out", options->name);
    }
    if (failed < 0)
        destroy(&storage->usb);
    else
        *port = storage->usb.port;
    return failed;
}
