/* Whether /dev/kvm can be used, and if not, which of the many reasons it is. */
#ifndef CASEMENT_KVM_PROBE_H
#define CASEMENT_KVM_PROBE_H

#include <stdbool.h>

#include "casement/error.h"

#define KVM_PROBE_API 12 /* the only version since Linux 2.6.22 (Documentation/virt/kvm/api.rst, 4.1) */

/*
 * Opens /dev/kvm. A file descriptor, close-on-exec, or -errno with a text that tells apart: no device node, module not
 * loaded, virtualisation switched off in firmware, no nested virtualisation, no permission, refused by a container.
 */
int kvm_open(struct error *error);
/* The same with other files in place of /dev/kvm and /proc/cpuinfo, for tests. */
int kvm_open_at(const char *device, const char *cpuinfo, struct error *error);

/* One KVM capability that the monitor uses (api.rst, KVM_CHECK_EXTENSION). */
struct kvm_probe_capability {
    int number;
    const char *name;    /* in words */
    bool required;       /* without it no machine runs */
    const char *without; /* what is lost; NULL when required */
};
extern const struct kvm_probe_capability kvm_probe_capabilities[];
extern const unsigned kvm_probe_capability_count;

#endif
