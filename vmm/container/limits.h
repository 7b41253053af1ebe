/* What "half" and "max" mean: the processors, memory and space that a container may use. */
#ifndef CASEMENT_CONTAINER_LIMITS_H
#define CASEMENT_CONTAINER_LIMITS_H

#include <stdint.h>

#include "casement/error.h"

/* root stands in front of /proc and /sys; "" but in tests. Any thread. */

/* Processors that this process may run on, by its affinity and its cpuset; at least 1. */
unsigned limits_processors(const char *root);
/*
 * Processors' worth of time that its control groups grant (cpu.max, or cpu.cfs_quota_us), rounded up, for Windows 11
 * asks for two; at most limits_processors(), at least 1.
 */
unsigned limits_cpus(const char *root);
/*
 * Bytes of RAM for the guest when it is to have all there is: what host_memory_available() says without what the
 * machine itself needs. UINT64_MAX when that is unknown.
 */
uint64_t limits_memory(const char *root);
/* Bytes of a folder's file system that are free for this process. 0, or -errno with a text that begins with folder. */
int limits_space(const char *folder, uint64_t *bytes, struct error *error);

#endif
