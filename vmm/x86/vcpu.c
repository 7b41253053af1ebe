/* A vCPU's registers: power-on, reset, entry into a kernel, and the exits that only x86 has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "casement/log.h"
#include "casement/memory.h"
#include "x86.h"

/* Everything a guest can change in a vCPU, as KVM made it: reset puts it back (platform contract 1.4). */
struct vcpu_reset_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp_state;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    struct kvm_xcrs xcrs;
    struct msr_list *msrs;
    struct kvm_xsave xsave; /* last: some kernels' headers end it with a flexible array */
};

static int set_cpuid(struct vcpu *vcpu)
{
    const struct kvm_cpuid2 *table = vcpu->all->vm->cpuid;
    size_t size = sizeof *table + table->nent * sizeof table->entries[0];
    struct kvm_cpuid2 *copy = malloc(size);
    int result;

    if (!copy)
        return -ENOMEM;
    memcpy(copy, table, size);
    cpuid_set_ids(copy, vcpu->index, vcpu->all->vm->options.cpus);
    result = ioctl(vcpu->fd, KVM_SET_CPUID2, copy) < 0 ? -errno : 0;
    free(copy);
    return result;
}

static void set_machine_check(struct vcpu *vcpu)
{
    /* Ten banks as processors have; CMCI because Hyper-V on Server 2025 programs it without asking. */
    uint64_t wanted = UINT64_C(1) << 8 | UINT64_C(1) << 10 | UINT64_C(1) << 24;
    uint64_t capabilities = (vcpu->all->vm->mce_capabilities & wanted) | 10;

    if (ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &capabilities) < 0)
        log_debug("vCPU %u: no machine check banks: %s", vcpu->index, strerror(errno));
}

static int save_reset_state(struct vcpu *vcpu)
{
    struct vcpu_reset_state *state = calloc(1, sizeof *state);
    int fd = vcpu->fd;

    if (!state)
        return -ENOMEM;
    vcpu->reset_state = state;
    if (ioctl(fd, KVM_GET_REGS, &state->regs) < 0 || ioctl(fd, KVM_GET_SREGS, &state->sregs) < 0 ||
        ioctl(fd, KVM_GET_LAPIC, &state->lapic) < 0 || ioctl(fd, KVM_GET_MP_STATE, &state->mp_state) < 0 ||
        ioctl(fd, KVM_GET_VCPU_EVENTS, &state->events) < 0 || ioctl(fd, KVM_GET_DEBUGREGS, &state->debugregs) < 0 ||
        ioctl(fd, KVM_GET_XCRS, &state->xcrs) < 0 || ioctl(fd, KVM_GET_XSAVE, &state->xsave) < 0)
        return -errno;
    return msr_list_save(vcpu->all->vm, fd, &state->msrs);
}

int arch_vcpu_create(struct vcpu *vcpu, struct error *error)
{
    struct kvm_enable_cap synic = {.cap = KVM_CAP_HYPERV_SYNIC2};
    struct kvm_vm *vm = vcpu->all->vm;
    int failed = set_cpuid(vcpu);

    if (failed < 0)
        return error_set(error, -failed, "vCPU %u: KVM refuses its CPUID: %s", vcpu->index, strerror(-failed));
    /* Before any MSR is touched (lessons 3.5, row 4). */
    if (vm->has_synic && ioctl(vcpu->fd, KVM_ENABLE_CAP, &synic) < 0)
        return error_set(error, errno, "vCPU %u: no synthetic interrupt controller: %s; run with --hyperv off",
                         vcpu->index, strerror(errno));
    set_machine_check(vcpu);
    failed = save_reset_state(vcpu);
    if (failed < 0)
        return error_set(error, -failed, "vCPU %u: its registers cannot be read: %s", vcpu->index, strerror(-failed));
    return 0;
}

void arch_vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->reset_state)
        free(vcpu->reset_state->msrs);
    free(vcpu->reset_state);
}

/* A guest without kvmclock makes it fail, and needs it not. */
void arch_vcpu_stood_still(struct vcpu *vcpu)
{
    ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

int arch_vcpu_reset(struct vcpu *vcpu)
{
    struct vcpu_reset_state *state = vcpu->reset_state;
    int fd = vcpu->fd, failed = 0;

    /* Events and the mode first, so that nothing of the old life is delivered in the new one; the APIC base before the
     * APIC. */
    if (ioctl(fd, KVM_SET_VCPU_EVENTS, &state->events) < 0 || ioctl(fd, KVM_SET_XCRS, &state->xcrs) < 0 ||
        ioctl(fd, KVM_SET_XSAVE, &state->xsave) < 0 || ioctl(fd, KVM_SET_SREGS, &state->sregs) < 0)
        failed = -errno;
    if (msr_list_restore(fd, state->msrs) < 0)
        failed = -EIO;
    if (ioctl(fd, KVM_SET_LAPIC, &state->lapic) < 0 || ioctl(fd, KVM_SET_REGS, &state->regs) < 0 ||
        ioctl(fd, KVM_SET_DEBUGREGS, &state->debugregs) < 0 || ioctl(fd, KVM_SET_VCPU_EVENTS, &state->events) < 0 ||
        ioctl(fd, KVM_SET_MP_STATE, &state->mp_state) < 0)
        failed = -errno;
    if (failed < 0)
        log_error("vCPU %u is not reset: %s", vcpu->index, strerror(-failed));
    return failed;
}

/* The memory types that firmware leaves behind: RAM write-back, the PCI hole below 4 GiB uncached (Intel SDM vol.
 * 3A, 12.11). */
static int set_memory_types(struct vcpu *vcpu)
{
    const uint64_t write_back = UINT64_C(0x0606060606060606);
    const uint64_t address_mask = (UINT64_C(1) << vcpu->all->vm->physical_bits) - 1;
    const struct kvm_msr_entry entries[] = {
        {.index = 0x250, .data = write_back},
        {.index = 0x258, .data = write_back}, /* 0 to 0x9FFFF */
        {.index = 0x268, .data = write_back},
        {.index = 0x269, .data = write_back}, /* 0xC0000 to 0xFFFFF */
        {.index = 0x26A, .data = write_back},
        {.index = 0x26B, .data = write_back},
        {.index = 0x26C, .data = write_back},
        {.index = 0x26D, .data = write_back},
        {.index = 0x26E, .data = write_back},
        {.index = 0x26F, .data = write_back},
        {.index = 0x200, .data = MEMORY_LOW_LIMIT}, /* IA32_MTRR_PHYSBASE0: uncached */
        {.index = 0x201, .data = (address_mask & ~(MEMORY_LOW_LIMIT - 1)) | 0x800},
        {.index = 0x2FF, .data = 0xC06}, /* IA32_MTRR_DEF_TYPE: enabled, fixed ranges too, write-back */
    };
    union {
        struct kvm_msrs msrs;
        uint8_t bytes[sizeof(struct kvm_msrs) + sizeof entries];
    } request = {.bytes = {0}};

    request.msrs.nmsrs = ARRAY_SIZE(entries);
    memcpy(request.bytes + sizeof(struct kvm_msrs), entries, sizeof entries);
    return ioctl(vcpu->fd, KVM_SET_MSRS, &request) == (int)ARRAY_SIZE(entries) ? 0 : -EIO;
}

/* 64-bit entry: long mode, flat segments from the GDT that the loader left in guest RAM (Linux boot protocol 2.12). */
static int enter_kernel(struct vcpu *vcpu, const struct kernel_entry *entry)
{
    struct kvm_segment code = {
        .base = 0, .limit = 0xFFFFFFFF, .selector = 0x10, .type = 0xB, .present = 1, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data = {
        .base = 0, .limit = 0xFFFFFFFF, .selector = 0x18, .type = 0x3, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_sregs sregs = vcpu->reset_state->sregs;
    struct kvm_regs regs = {.rip = entry->rip, .rsi = entry->rsi, .rflags = 2};

    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.gdt.base = entry->gdt;
    sregs.gdt.limit = entry->gdt_limit;
    sregs.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    sregs.cr3 = entry->cr3;
    sregs.cr4 = 0x20;   /* PAE */
    sregs.efer = 0x500; /* LME LMA */
    if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
        return -errno;
    return 0;
}

int arch_vcpus_enter_kernel(struct vcpus *vcpus, const struct kernel_entry *entry)
{
    for (unsigned n = 0; n < vcpus->count; n++) {
        int failed = set_memory_types(&vcpus->vcpu[n]);

        if (failed < 0)
            return failed;
    }
    return enter_kernel(&vcpus->vcpu[0], entry);
}

/* Hypercalls that KVM hands over belong to VMBus, which this machine has not (TLFS 3:
 * HV_STATUS_INVALID_HYPERCALL_CODE). */
static void serve_hyperv(struct kvm_run *run)
{
    if (run->hyperv.type == KVM_EXIT_HYPERV_HCALL)
        run->hyperv.u.hcall.result = 2;
}

static bool serve_system_event(struct vcpu *vcpu)
{
    static struct log_limit limit;

    log_guest(&limit, "vCPU %u: system event %u is ignored", vcpu->index, vcpu->run->system_event.type);
    return true;
}

bool arch_vcpu_exit(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_X86_RDMSR: {
        uint64_t value = 0;

        run->msr.error = msr_read(run->msr.index, &value) < 0;
        run->msr.data = value;
        return true;
    }
    case KVM_EXIT_X86_WRMSR:
        run->msr.error = msr_write(run->msr.index, run->msr.data) < 0;
        return true;
    case KVM_EXIT_HYPERV:
        serve_hyperv(run);
        return true;
    case KVM_EXIT_SYSTEM_EVENT:
        return serve_system_event(vcpu);
    default:
        return false;
    }
}

void arch_vcpu_describe(const struct vcpu *vcpu, char *text, size_t size)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    bool is_reset;

    if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0) {
        snprintf(text, size, "its registers cannot be read");
        return;
    }
    /* On AMD, KVM resets a vCPU at once that shut itself down: where it was cannot be known. */
    is_reset = sregs.cs.base + regs.rip == 0xFFFFFFF0 && !(sregs.cr0 & 1);
    snprintf(text, size,
             "at CS:RIP %04x:%llx (linear %llx%s), RSP %llx, CR0 %llx, CR2 %llx, CR3 %llx, CR4 %llx, EFER %llx",
             sregs.cs.selector, (unsigned long long)regs.rip, (unsigned long long)(sregs.cs.base + regs.rip),
             is_reset ? ", already reset by KVM" : "", (unsigned long long)regs.rsp, (unsigned long long)sregs.cr0,
             (unsigned long long)sregs.cr2, (unsigned long long)sregs.cr3, (unsigned long long)sregs.cr4,
             (unsigned long long)sregs.efer);
}
