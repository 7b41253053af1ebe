/* The virtual machine: memory slots, ioeventfds, interrupt routes and irqfds on a KVM file descriptor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "kvm.h"
#include "kvm_probe.h"

static struct kvm_vm *of(struct vm *vm)
{
    return container_of(vm, struct kvm_vm, vm);
}

static int set_slot(struct kvm_vm *vm, const struct vm_slot *slot, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = (uint32_t)slot->number,
        .flags = (slot->read_only ? KVM_MEM_READONLY : 0) | (slot->log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = slot->gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)slot->host,
    };

    return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int slot_add(struct vm *base, struct vm_slot *slot)
{
    struct kvm_vm *vm = of(base);
    int result = -ENOSPC;

    pthread_mutex_lock(&vm->slot_lock);
    for (int n = 0; n < KVM_SLOTS; n++) {
        if (vm->slot_used[n])
            continue;
        slot->number = n;
        result = set_slot(vm, slot, slot->size);
        if (result == 0)
            vm->slot_used[n] = true;
        else
            slot->number = -1;
        break;
    }
    pthread_mutex_unlock(&vm->slot_lock);
    return result;
}

static void slot_remove(struct vm *base, struct vm_slot *slot)
{
    struct kvm_vm *vm = of(base);

    if (slot->number < 0)
        return;
    pthread_mutex_lock(&vm->slot_lock);
    if (set_slot(vm, slot, 0) < 0)
        log_error("KVM does not take back memory slot %d: %s", slot->number, strerror(errno));
    vm->slot_used[slot->number] = false;
    slot->number = -1;
    pthread_mutex_unlock(&vm->slot_lock);
}

static int dirty_log(struct vm *base, const struct vm_slot *slot, uint64_t *bitmap)
{
    struct kvm_vm *vm = of(base);
    struct kvm_dirty_log log = {.dirty_bitmap = bitmap};
    int result;

    pthread_mutex_lock(&vm->slot_lock);
    log.slot = (uint32_t)slot->number;
    result = slot->number < 0 ? -ENOENT : ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0 ? -errno : 0;
    pthread_mutex_unlock(&vm->slot_lock);
    return result;
}

static int ioeventfd(struct vm *base, enum bus_space space, uint64_t address, unsigned size, const uint64_t *match,
                     int fd, bool assign)
{
    struct kvm_ioeventfd request = {
        .datamatch = match ? *match : 0,
        .addr = address,
        .len = size,
        .fd = fd,
        .flags = (space == BUS_PORT ? KVM_IOEVENTFD_FLAG_PIO : 0) | (match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
                 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    return ioctl(of(base)->fd, KVM_IOEVENTFD, &request) < 0 ? -errno : 0;
}

static void irq_line(struct vm *base, uint32_t gsi, bool level)
{
    struct kvm_irq_level request = {.irq = gsi, .level = level};

    if (ioctl(of(base)->fd, KVM_IRQ_LINE, &request) < 0)
        log_error("KVM does not set interrupt line %u: %s", gsi, strerror(errno));
}

static int routes(struct vm *base, const struct vm_route *table, unsigned count)
{
    struct kvm_irq_routing *routing = calloc(1, sizeof *routing + count * sizeof routing->entries[0]);
    int result;

    if (!routing)
        return -ENOMEM;
    routing->nr = count;
    for (unsigned n = 0; n < count; n++) {
        struct kvm_irq_routing_entry *entry = &routing->entries[n];

        entry->gsi = table[n].gsi;
        if (table[n].msi) {
            entry->type = KVM_IRQ_ROUTING_MSI;
            entry->u.msi.address_lo = (uint32_t)table[n].address;
            entry->u.msi.address_hi = (uint32_t)(table[n].address >> 32);
            entry->u.msi.data = table[n].data;
        } else {
            entry->type = KVM_IRQ_ROUTING_IRQCHIP;
            entry->u.irqchip.irqchip = table[n].chip;
            entry->u.irqchip.pin = table[n].pin;
        }
    }
    result = ioctl(of(base)->fd, KVM_SET_GSI_ROUTING, routing) < 0 ? -errno : 0;
    free(routing);
    return result;
}

static int irqfd(struct vm *base, int fd, uint32_t gsi, bool assign)
{
    struct kvm_irqfd request = {.fd = (uint32_t)fd, .gsi = gsi, .flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN};

    return ioctl(of(base)->fd, KVM_IRQFD, &request) < 0 ? -errno : 0;
}

static const struct vm_ops kvm_ops = {slot_add, slot_remove, dirty_log, ioeventfd, irq_line, routes, irqfd};

int kvm_vm_create(const struct kvm_options *options, struct kvm_vm **result, struct error *error)
{
    struct kvm_vm *vm = calloc(1, sizeof *vm);
    int failed;

    if (!vm)
        return error_set(error, ENOMEM, "the virtual machine: out of memory");
    vm->vm.ops = &kvm_ops;
    vm->options = *options;
    vm->fd = -1;
    pthread_mutex_init(&vm->slot_lock, NULL);
    vm->kvm_fd = kvm_open(error);
    failed = vm->kvm_fd < 0 ? vm->kvm_fd : kvm_check_capabilities(vm->kvm_fd, error);
    if (failed == 0) {
        int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

        vm->run_size = size > 0 ? (size_t)size : sizeof(struct kvm_run);
        vm->fd = kvm_make_machine(vm->kvm_fd);
        if (vm->fd < 0)
            failed = error_set(error, -vm->fd, "/dev/kvm: no virtual machine can be made: %s; see `casement check`",
                               strerror(-vm->fd));
    }
    if (failed == 0)
        failed = arch_vm_create(vm, error);
    if (failed < 0) {
        kvm_vm_destroy(vm);
        return failed;
    }
    *result = vm;
    return 0;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
    if (!vm)
        return;
    arch_vm_destroy(vm);
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->kvm_fd >= 0)
        close(vm->kvm_fd);
    pthread_mutex_destroy(&vm->slot_lock);
    free(vm);
}
