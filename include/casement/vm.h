/*
 * What devices need from the hypervisor: memory slots, ioeventfds, interrupt pins and routes.
 *
 * vmm/x86 implements it with KVM; unit tests implement it with a recorder (tests/unit/fake.h). Every call is safe
 * from any thread, with vCPUs running.
 */
#ifndef CASEMENT_VM_H
#define CASEMENT_VM_H

#include <stdbool.h>
#include <stdint.h>

enum bus_space { BUS_PORT, BUS_MMIO };

/* One range of guest physical memory that is backed by host memory. Plain data; the host memory stays the caller's. */
struct vm_slot {
    uint64_t gpa, size; /* multiples of 4 KiB */
    void *host;         /* page aligned */
    bool read_only;     /* guest writes exit as MMIO */
    bool log_dirty;     /* vm_dirty_log() may be asked */
    int number;         /* set by vm_slot_add, -1 when not mapped */
};

/* Where one GSI leads. */
struct vm_route {
    uint32_t gsi;
    bool msi;           /* a message; otherwise an interrupt controller's pin */
    uint64_t address;   /* msi */
    uint32_t data;      /* msi */
    uint32_t chip, pin; /* otherwise: KVM_IRQCHIP_* and the pin there */
};

struct vm;
struct vm_ops {
    int (*slot_add)(struct vm *vm, struct vm_slot *slot);
    void (*slot_remove)(struct vm *vm, struct vm_slot *slot);
    /* One bit per 4 KiB page of the slot; reading clears. bitmap has room for the slot, rounded up to 64 bits. */
    int (*dirty_log)(struct vm *vm, const struct vm_slot *slot, uint64_t *bitmap);
    /* size 0: any size. match: only when the guest writes that value. */
    int (*ioeventfd)(struct vm *vm, enum bus_space space, uint64_t address, unsigned size, const uint64_t *match,
                     int fd, bool assign);
    void (*irq_line)(struct vm *vm, uint32_t gsi, bool level);
    int (*routes)(struct vm *vm, const struct vm_route *routes, unsigned count); /* replaces the whole table */
    int (*irqfd)(struct vm *vm, int fd, uint32_t gsi, bool assign);
};

/* Embedded as the first member of the implementation's own structure. */
struct vm {
    const struct vm_ops *ops;
};

static inline int vm_slot_add(struct vm *vm, struct vm_slot *slot)
{
    return vm->ops->slot_add(vm, slot);
}
static inline void vm_slot_remove(struct vm *vm, struct vm_slot *slot)
{
    vm->ops->slot_remove(vm, slot);
}
static inline int vm_dirty_log(struct vm *vm, const struct vm_slot *slot, uint64_t *bitmap)
{
    return vm->ops->dirty_log(vm, slot, bitmap);
}

#endif
