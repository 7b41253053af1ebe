/* See iov.h. */
#include <stdint.h>
#include <string.h>

#include "casement/bytes.h"
#include "iov.h"

static void *advance(struct iovec *iov, size_t bytes)
{
    void *from = iov->iov_base;

    iov->iov_base = (uint8_t *)from + bytes;
    iov->iov_len -= bytes;
    return from;
}

bool iov_take(struct iovec *iov, unsigned count, void *to, size_t length)
{
    uint8_t *out = to;

    for (unsigned n = 0; n < count && length; n++) {
        size_t now = MIN(length, iov[n].iov_len);

        memcpy(out, advance(&iov[n], now), now);
        out += now;
        length -= now;
    }
    return length == 0;
}

void iov_put(const struct iovec *iov, unsigned count, const void *from, size_t length)
{
    const uint8_t *in = from;

    for (unsigned n = 0; n < count && length; n++) {
        size_t now = MIN(length, iov[n].iov_len);

        memcpy(iov[n].iov_base, in, now);
        in += now;
        length -= now;
    }
}

unsigned iov_cut(struct iovec *iov, unsigned count, size_t length, struct iovec *front)
{
    unsigned n = 0;

    for (; n < count && length; n++) {
        size_t now = MIN(length, iov[n].iov_len);

        front[n] = (struct iovec){advance(&iov[n], now), now};
        length -= now;
    }
    return length ? 0 : n;
}

unsigned iov_keep_filled(struct iovec *to, const struct iovec *from, unsigned count)
{
    unsigned kept = 0;

    for (unsigned n = 0; n < count; n++)
        if (from[n].iov_len)
            to[kept++] = from[n];
    return kept;
}
