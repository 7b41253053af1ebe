/* What the x86 files share among themselves. */
#ifndef CASEMENT_X86_H
#define CASEMENT_X86_H

#include "../kvm.h"

/* CPUID for the VM: what KVM supports, narrowed and made consistent (platform contract 8.2). Freed by the caller. */
int cpuid_create(struct kvm_vm *vm, struct kvm_cpuid2 **cpuid, struct error *error);
/* Copies of the table differ in the ids of the vCPU: writes those of vCPU index into cpuid. */
void cpuid_set_ids(struct kvm_cpuid2 *cpuid, unsigned index, unsigned cpus);
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index);

/*
 * The Hyper-V leaves 0x40000000 to 0x40000005 into entries (room for HYPERV_LEAVES); the number written, 0 when the
 * host's KVM has no Hyper-V support. supported is KVM_GET_SUPPORTED_HV_CPUID's answer (Hypervisor Top Level Functional
 * Specification 2.4).
 */
#define HYPERV_LEAVES 6
unsigned hyperv_leaves(const struct kvm_cpuid2 *supported, unsigned cpus, struct kvm_cpuid_entry2 *entries);

/* An MSR that KVM does not know: the answer, or -1 for #GP. On a vCPU's thread. */
int msr_read(uint32_t number, uint64_t *value);
int msr_write(uint32_t number, uint64_t value);

/* The MSRs that a reset restores: number and value as KVM made the vCPU. */
struct msr_list;
int msr_list_save(struct kvm_vm *vm, int vcpu_fd, struct msr_list **list);
int msr_list_restore(int vcpu_fd, const struct msr_list *list);

#endif
