/* Whether /dev/kvm can be used, and if not, which of the many reasons it is. */
#ifndef CASEMENT_KVM_PROBE_H
#define CASEMENT_KVM_PROBE_H

#include <stdbool.h>

#include "casement/error.h"

#define KVM_PROBE_API 12 /* the only version since Linux 2.6.22 (Documentation/virt/kvm/api.rst, 4.1) */

/* Where to look: /dev/kvm, /proc/cpuinfo, /sys/module, and what decides on the remedy; other things in tests. */
struct kvm_place {
    const char *device, *cpuinfo, *modules;
    unsigned foreign_group; /* a group that has no number in this user namespace shows as this one */
    bool kubernetes;
};

/*
 * Opens /dev/kvm. A file descriptor, close-on-exec, or -errno with a text that tells apart: no device node, module not
 * loaded, virtualisation switched off in firmware, no nested virtualisation, no permission, refused by a container, a
 * KVM that does not use the processor's virtualisation and runs no unmodified guest.
 */
int kvm_open(struct error *error);
int kvm_open_at(const struct kvm_place *place, struct error *error);
/* The last of these reasons alone. 0, or -ENOTSUP with a text. */
int kvm_check_hardware(const struct kvm_place *place, struct error *error);
/* Every required capability, or -ENOTSUP with a text. */
int kvm_check_capabilities(int kvm, struct error *error);
/*
 * Makes a virtual machine (api.rst, KVM_CREATE_VM), however often a signal or finished work of the calling thread
 * interrupts the kernel in doing so. A file descriptor, or -errno. Any thread.
 */
int kvm_make_machine(int kvm);
/* All of it, and whether KVM makes a virtual machine now; closed again. 0, or -errno with a text. */
int kvm_check(struct error *error);

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
