/* Transfers through scattered buffers, cut into requests of whole sectors (see transfer.h). */
#include <errno.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/transfer.h"

#define SECTOR 512U
#define STEP_BYTES (4 * MiB) /* of one request */
#define COPY_IOVECS 16U

/* One of from and to is NULL: the scatter is that. */
static int64_t copy(struct scatter *scatter, const uint8_t *from, uint8_t *to, size_t length)
{
    struct iovec iov[COPY_IOVECS];
    size_t moved = 0;

    while (moved < length) {
        int count = scatter->next(scatter, length - moved, iov, COPY_IOVECS);

        if (count <= 0)
            return count < 0 ? count : (int64_t)moved;
        for (int n = 0; n < count; n++) {
            if (from)
                memcpy(iov[n].iov_base, from + moved, iov[n].iov_len);
            else
                memcpy(to + moved, iov[n].iov_base, iov[n].iov_len);
            moved += iov[n].iov_len;
        }
    }
    return (int64_t)moved;
}

int64_t scatter_put(struct scatter *scatter, const void *from, size_t length)
{
    return copy(scatter, from, NULL, length);
}

int64_t scatter_get(struct scatter *scatter, void *to, size_t length)
{
    return copy(scatter, NULL, to, length);
}

/* What the last request left over stands in front again; its bytes. */
static uint64_t keep_rest(struct block_transfer *transfer)
{
    uint64_t bytes = 0;

    if (transfer->cut.iov_len)
        transfer->iov[--transfer->used] = transfer->cut;
    transfer->count -= transfer->used;
    memmove(transfer->iov, transfer->iov + transfer->used, transfer->count * sizeof transfer->iov[0]);
    transfer->used = 0;
    transfer->cut.iov_len = 0;
    for (unsigned n = 0; n < transfer->count; n++)
        bytes += transfer->iov[n].iov_len;
    return bytes;
}

/* Gives the request the iovecs that make up exactly so many bytes. */
static void use(struct block_transfer *transfer, uint64_t bytes)
{
    uint64_t more = bytes;

    while (more) {
        struct iovec *iov = &transfer->iov[transfer->used++];

        if (iov->iov_len > more) {
            transfer->cut = (struct iovec){(uint8_t *)iov->iov_base + more, iov->iov_len - more};
            iov->iov_len = more;
        }
        more -= iov->iov_len;
    }
    transfer->request.iov = transfer->iov;
    transfer->request.iov_count = transfer->used;
    transfer->request.length = bytes;
}

static void step(struct block_transfer *transfer)
{
    uint64_t wanted = MIN(transfer->left, STEP_BYTES), bytes = keep_rest(transfer);

    while (bytes < wanted && transfer->count < TRANSFER_IOVECS) {
        struct iovec *at = &transfer->iov[transfer->count];
        int count = transfer->scatter->next(transfer->scatter, wanted - bytes, at, TRANSFER_IOVECS - transfer->count);

        if (count < 0) {
            transfer->done(transfer, count);
            return;
        }
        if (count == 0)
            break;
        transfer->count += (unsigned)count;
        for (int n = 0; n < count; n++)
            bytes += at[n].iov_len;
    }
    bytes = bytes / SECTOR * SECTOR;
    if (bytes == 0) {
        transfer->done(transfer, -EMSGSIZE);
        return;
    }
    use(transfer, bytes);
    block_submit(transfer->queue, &transfer->request);
}

static void step_done(struct block_request *request, int result)
{
    struct block_transfer *transfer = container_of(request, struct block_transfer, request);

    if (result == 0) {
        transfer->moved += request->length;
        transfer->left -= request->length;
        request->offset += request->length;
        if (transfer->left) {
            step(transfer);
            return;
        }
    }
    transfer->done(transfer, result);
}

void block_transfer_start(struct block_transfer *transfer, struct block_queue *queue, enum block_op op, uint64_t offset,
                          uint64_t length, struct scatter *scatter,
                          void (*done)(struct block_transfer *transfer, int result))
{
    transfer->request = (struct block_request){.op = op, .offset = offset, .done = step_done};
    transfer->queue = queue;
    transfer->scatter = scatter;
    transfer->done = done;
    transfer->left = length;
    transfer->moved = 0;
    transfer->count = transfer->used = 0;
    transfer->cut.iov_len = 0;
    if (length)
        step(transfer);
    else
        done(transfer, 0);
}
