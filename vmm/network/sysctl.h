/* Settings of the kernel's network stack below /proc/sys/net, changed and given back. One thread at a time. */
#ifndef CASEMENT_NETWORK_SYSCTL_H
#define CASEMENT_NETWORK_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

#define SYSCTL_CHANGES 8

/* What was changed, in order. Zero-initialised. */
struct sysctl_changes {
    struct sysctl_change {
        char name[96]; /* "ipv4/ip_forward" */
        int before;
    } changes[SYSCTL_CHANGES];
    unsigned count;
};

/* The number that it has, or -errno (-ENOENT: the kernel has no such thing). */
int sysctl_get(const char *name);
/* Can it be written? */
bool sysctl_writable(const char *name);
/* Sets it, unless it has that value already. 0 or -errno (-EROFS, -EACCES: a container that may not). */
int sysctl_set(struct sysctl_changes *changes, const char *name, int value);
/* The other way round. What fails is left as it is. */
void sysctl_restore(struct sysctl_changes *changes);

#endif
