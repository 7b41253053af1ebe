/* The PC around the vCPUs that lives in KVM: interrupt controllers, PIT, the pages KVM needs for itself, MSR exits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "x86.h"

/* KVM's default for the first lies inside the flash (platform contract 1.3); the TSS takes the three pages behind it.
 */
#define IDENTITY_MAP UINT64_C(0xFEFFC000)
#define TASK_STATE 0xFEFFD000UL

static int check(const struct kvm_vm *vm, int capability)
{
    int result = ioctl(vm->fd, KVM_CHECK_EXTENSION, capability);

    return result < 0 ? 0 : result;
}

static int place_private_pages(struct kvm_vm *vm, struct error *error)
{
    uint64_t identity = IDENTITY_MAP;

    if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 || ioctl(vm->fd, KVM_SET_TSS_ADDR, TASK_STATE) < 0)
        return error_set(error, errno, "/dev/kvm: its private pages cannot be placed: %s", strerror(errno));
    return 0;
}

static int create_chips(struct kvm_vm *vm, struct error *error)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    struct kvm_reinject_control reinject = {.pit_reinject = 0};

    if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0)
        return error_set(error, errno, "/dev/kvm: no interrupt controllers or timer: %s", strerror(errno));
    /* Windows catches up by itself; late ticks delivered in a burst make its clock run fast (platform contract 8.1). */
    if (ioctl(vm->fd, KVM_REINJECT_CONTROL, &reinject) < 0)
        log_debug("KVM keeps reinjecting PIT ticks: %s", strerror(errno));
    for (uint32_t n = 0; n < ARRAY_SIZE(vm->reset_chips); n++) {
        vm->reset_chips[n].chip_id = n;
        if (ioctl(vm->fd, KVM_GET_IRQCHIP, &vm->reset_chips[n]) < 0)
            return error_set(error, errno, "/dev/kvm: interrupt controller %u cannot be read: %s", n, strerror(errno));
    }
    if (ioctl(vm->fd, KVM_GET_PIT2, &vm->reset_pit) < 0)
        return error_set(error, errno, "/dev/kvm: the timer cannot be read: %s", strerror(errno));
    return 0;
}

/* MSRs that KVM does not know exit to us instead of ending in #GP or in a host-wide setting (platform contract 8.4). */
static void take_unknown_msrs(struct kvm_vm *vm)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                 .args = {KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL}};

    vm->has_user_space_msr = check(vm, KVM_CAP_X86_USER_SPACE_MSR) > 0 && ioctl(vm->fd, KVM_ENABLE_CAP, &cap) == 0;
}

int arch_vm_create(struct kvm_vm *vm, struct error *error)
{
    int failed = place_private_pages(vm, error);

    if (failed == 0)
        failed = create_chips(vm, error);
    if (failed < 0)
        return failed;
    take_unknown_msrs(vm);
    vm->has_tsc_deadline = check(vm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    vm->has_synic = vm->options.hyperv && check(vm, KVM_CAP_HYPERV_SYNIC2) > 0;
    if (ioctl(vm->kvm_fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &vm->mce_capabilities) < 0)
        vm->mce_capabilities = 0;
    return cpuid_create(vm, &vm->cpuid, error);
}

void arch_vm_destroy(struct kvm_vm *vm)
{
    free(vm->cpuid);
}

void kvm_vm_reset(struct kvm_vm *vm)
{
    for (size_t n = 0; n < ARRAY_SIZE(vm->reset_chips); n++)
        if (ioctl(vm->fd, KVM_SET_IRQCHIP, &vm->reset_chips[n]) < 0)
            log_error("interrupt controller %zu is not reset: %s", n, strerror(errno));
    if (ioctl(vm->fd, KVM_SET_PIT2, &vm->reset_pit) < 0)
        log_error("the timer is not reset: %s", strerror(errno));
}
