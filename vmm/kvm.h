/*
 * The virtual machine and its vCPUs on /dev/kvm. x86 matters are in vmm/x86; another architecture stands beside it.
 */
#ifndef CASEMENT_KVM_H
#define CASEMENT_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "casement/bus.h"
#include "casement/error.h"
#include "casement/vm.h"

#define KVM_MAX_VCPUS 64
#define KVM_SLOTS 64

struct kvm_options {
    unsigned cpus; /* 1 to KVM_MAX_VCPUS */
    bool hyperv;   /* show the Hyper-V interface of lessons 3.4, as far as the host has it */
    bool nested;   /* show VMX or SVM */
};

struct kvm_vm {
    struct vm vm; /* first: what devices see */
    struct kvm_options options;
    int kvm_fd, fd;
    size_t run_size; /* of the shared kvm_run page(s) */
    pthread_mutex_t slot_lock;
    bool slot_used[KVM_SLOTS];
    bool has_user_space_msr, has_tsc_deadline, has_synic;
    struct kvm_cpuid2 *cpuid; /* for vCPU 0; the others differ in their ids */
    uint64_t mce_capabilities;
    unsigned physical_bits; /* guest physical address bits that the host maps */
    /* The interrupt controllers and the PIT as they were made: the state that a reset returns to. */
    struct kvm_irqchip reset_chips[3];
    struct kvm_pit_state2 reset_pit;
};

/* A VM with interrupt controllers and PIT, without vCPUs. 0, or -errno with a text. */
int kvm_vm_create(const struct kvm_options *options, struct kvm_vm **vm, struct error *error);
void kvm_vm_destroy(struct kvm_vm *vm);
/* Interrupt controllers and PIT back to power-on. All vCPUs stand still. */
void kvm_vm_reset(struct kvm_vm *vm);

/* Why vCPUs ended for good. */
enum vcpu_fault { VCPU_TRIPLE_FAULT, VCPU_INTERNAL_ERROR };

/* The vCPUs' way to the rest of the machine; called on a vCPU's thread. */
struct vcpu_hooks {
    struct bus *bus;
    /* The vCPU cannot go on: text says what and where. It pauses; the machine decides. */
    void (*fault)(void *machine, enum vcpu_fault fault, const char *text);
    void *machine;
};

struct vcpu_reset_state;
struct vcpu {
    struct vcpus *all;
    unsigned index;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    bool started;
    struct vcpu_reset_state *reset_state;
};

struct vcpus {
    struct kvm_vm *vm;
    struct vcpu_hooks hooks;
    unsigned count;
    struct vcpu vcpu[KVM_MAX_VCPUS];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned parked; /* threads that stand still; under the lock */
    bool end;        /* threads leave; under the lock */
    _Atomic bool pause;
};

/* vCPUs in the state of power-on, threads not started. APIC id = index. 0, or -errno with a text. */
int vcpus_create(struct kvm_vm *vm, unsigned count, const struct vcpu_hooks *hooks, struct vcpus **vcpus,
                 struct error *error);
/* Starts the threads, paused. */
int vcpus_start(struct vcpus *vcpus, struct error *error);
/* Asks all vCPUs to pause at once and returns; any thread, a vCPU's own too. */
void vcpus_request_pause(struct vcpus *vcpus);
/* Pauses and waits until every thread stands still, with no access half done. Not on a vCPU's thread. */
void vcpus_pause(struct vcpus *vcpus);
/* While paused: tells guests that keep KVM's clock that they stood still, so that their watchdogs do not bark. */
void vcpus_stood_still(struct vcpus *vcpus);
void vcpus_resume(struct vcpus *vcpus);
/* All vCPUs to the state of power-on; while paused. */
int vcpus_reset(struct vcpus *vcpus);
/* Ends the threads and frees. */
void vcpus_destroy(struct vcpus *vcpus);

/* The architecture's part (vmm/x86). */
struct kernel_entry;
int arch_vm_create(struct kvm_vm *vm, struct error *error);
void arch_vm_destroy(struct kvm_vm *vm);
int arch_vcpu_create(struct vcpu *vcpu, struct error *error);
void arch_vcpu_destroy(struct vcpu *vcpu);
int arch_vcpu_reset(struct vcpu *vcpu);
void arch_vcpu_stood_still(struct vcpu *vcpu);
/* vCPU 0 begins in a kernel instead of at the reset vector, with what firmware would have set on every vCPU; paused. */
int arch_vcpus_enter_kernel(struct vcpus *vcpus, const struct kernel_entry *entry);
/* An exit that only this architecture has: true when it was served. */
bool arch_vcpu_exit(struct vcpu *vcpu);
/* Where the vCPU is, for a fault's text. */
void arch_vcpu_describe(const struct vcpu *vcpu, char *text, size_t size);

#endif
