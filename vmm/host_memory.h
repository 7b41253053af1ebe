/* How much memory the host can give to a guest. */
#ifndef CASEMENT_HOST_MEMORY_H
#define CASEMENT_HOST_MEMORY_H

#include <stdint.h>

/*
 * Bytes that this process can get now, the limits of its control groups included (cgroup v1 and v2, each level from the
 * root down); UINT64_MAX when unknown. root stands in front of /proc and /sys; "" but in tests.
 */
uint64_t host_memory_available(const char *root);
/* Bytes of free huge pages that nobody has reserved, with those that the kernel may still add; *page is their size. */
uint64_t host_memory_huge(const char *root, uint64_t *page);

#endif
