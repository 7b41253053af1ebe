/* Headers at the front of a chain's buffers: drivers may split them in any way (Virtual I/O Device 1.2, 2.7.4). */
#ifndef CASEMENT_VIRTIO_IOV_H
#define CASEMENT_VIRTIO_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Moves so many bytes out of the front of the iovecs, which shrink. false: there are too few. */
bool iov_take(struct iovec *iov, unsigned count, void *to, size_t length);
/* Copies into the front of the iovecs, as far as they go. */
void iov_put(const struct iovec *iov, unsigned count, const void *from, size_t length);
/* Cuts the front off: front[count] gets the iovecs of it, and how many they are; 0: there are too few bytes. */
unsigned iov_cut(struct iovec *iov, unsigned count, size_t length, struct iovec *front);
/* The iovecs that still have bytes, moved to the front of to; their number. */
unsigned iov_keep_filled(struct iovec *to, const struct iovec *from, unsigned count);

#endif
