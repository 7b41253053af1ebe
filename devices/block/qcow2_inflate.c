/* Compressed clusters (specification, "Compressed Clusters Descriptor"): read only, each unpacked as a whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "qcow2.h"

#define WINDOW_BITS (-12) /* a bare deflate stream with a window of 4 KiB */

static int unpack(uint8_t *from, uint64_t from_length, uint8_t *to, uint64_t to_length)
{
    z_stream stream = {.next_in = from, .avail_in = (uInt)from_length, .next_out = to, .avail_out = (uInt)to_length};
    int result;

    if (inflateInit2(&stream, WINDOW_BITS) != Z_OK)
        return -ENOMEM;
    result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    /* Behind the stream's end lie other clusters' bytes; a stream that has more than a cluster is cut. */
    return (result == Z_STREAM_END || result == Z_BUF_ERROR) && stream.avail_out == 0 ? 0 : -EIO;
}

static int unpack_cluster(struct qcow2 *q, uint64_t entry)
{
    uint64_t offset, length, start;
    bool valid;
    int failed;

    pthread_mutex_lock(&q->lock);
    valid = qcow2_compressed_range(q, entry, &offset, &length);
    pthread_mutex_unlock(&q->lock);
    if (!valid)
        return -EIO;
    if (!q->decompressed)
        q->decompressed = qcow2_buffer(q->cluster);
    if (!q->compressed)
        q->compressed = qcow2_buffer(2 * q->cluster + 2ULL * QCOW2_BLOCK);
    if (!q->decompressed || !q->compressed)
        return -ENOMEM;
    q->decompressed_entry = 0;
    start = offset & ~(uint64_t)(QCOW2_BLOCK - 1);
    failed = qcow2_read(q, q->compressed, align_up(offset + length - start, QCOW2_BLOCK), start);
    if (failed == 0)
        failed = unpack(q->compressed + (offset - start), length, q->decompressed, q->cluster);
    if (failed == 0)
        q->decompressed_entry = entry;
    return failed;
}

int qcow2_inflate(struct qcow2 *q, uint64_t entry, uint64_t skip, void *to, uint64_t length)
{
    int failed = 0;

    pthread_mutex_lock(&q->decompressed_lock);
    /* The last one is kept: small reads go through a cluster piece by piece. */
    if (q->decompressed_entry != entry)
        failed = unpack_cluster(q, entry);
    if (failed == 0)
        memcpy(to, q->decompressed + skip, length);
    pthread_mutex_unlock(&q->decompressed_lock);
    return failed;
}
