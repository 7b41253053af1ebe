/*
 * The Hyper-V interface that Windows looks for, each feature only where the host's KVM has it (lessons 3.4, platform
 * contract 8.3). Left out on purpose: the reset MSR, the debugger, nested features, VMBus, crash MSRs.
 */
#include <stddef.h>

#include "casement/bytes.h"
#include "x86.h"

#define BIT(n) (UINT32_C(1) << (n))

/* Leaf 0x40000003 EAX: access to synthetic MSRs (TLFS 2.4.4). */
#define VP_RUNTIME BIT(0)
#define REFERENCE_COUNTER BIT(1)
#define SYNIC BIT(2)
#define SYNTHETIC_TIMERS BIT(3)
#define APIC_MSRS BIT(4)
#define HYPERCALL_MSRS BIT(5)
#define VP_INDEX BIT(6)
#define REFERENCE_TSC BIT(9)
#define FREQUENCY_MSRS BIT(11)
/* Leaf 0x40000003 EDX. */
#define PARTITIONING BIT(3)
#define XMM_INPUT BIT(4)
#define FREQUENCY_REGISTERS BIT(8)
#define EXTENDED_GVA_RANGES BIT(14)
#define DIRECT_TIMERS BIT(19)
/* Leaf 0x40000004 EAX: recommendations (TLFS 2.4.5). */
#define RECOMMEND_REMOTE_TLB_FLUSH BIT(2)
#define RECOMMEND_APIC_MSRS BIT(3)
#define RECOMMEND_RELAXED_TIMING BIT(5)
#define RECOMMEND_NO_AUTO_EOI BIT(9)
#define RECOMMEND_CLUSTER_IPI BIT(10)
#define RECOMMEND_EX_MASKS BIT(11)

#define SPIN_RETRIES 0xFFFU

static struct kvm_cpuid_entry2 supported_leaf(const struct kvm_cpuid2 *supported, uint32_t function)
{
    for (uint32_t n = 0; n < supported->nent; n++)
        if (supported->entries[n].function == function)
            return supported->entries[n];
    return (struct kvm_cpuid_entry2){0};
}

unsigned hyperv_leaves(const struct kvm_cpuid2 *supported, unsigned cpus, struct kvm_cpuid_entry2 *entries)
{
    struct kvm_cpuid_entry2 features = supported_leaf(supported, 0x40000003);
    struct kvm_cpuid_entry2 hints = supported_leaf(supported, 0x40000004);
    uint32_t access = features.eax & (VP_RUNTIME | REFERENCE_COUNTER | SYNIC | SYNTHETIC_TIMERS | APIC_MSRS |
                                      HYPERCALL_MSRS | VP_INDEX | REFERENCE_TSC | FREQUENCY_MSRS);
    uint32_t misc = features.edx & (XMM_INPUT | FREQUENCY_REGISTERS | EXTENDED_GVA_RANGES | DIRECT_TIMERS);
    uint32_t recommended =
        hints.eax & (RECOMMEND_APIC_MSRS | RECOMMEND_RELAXED_TIMING | RECOMMEND_NO_AUTO_EOI | RECOMMEND_EX_MASKS);

    /* Without the two mandatory privileges Windows distrusts everything else. */
    if ((access & (HYPERCALL_MSRS | VP_INDEX)) != (HYPERCALL_MSRS | VP_INDEX))
        return 0;
    /* Timers are built on the synthetic interrupt controller and the reference counter (TLFS 12.3). */
    if (!(access & SYNIC) || !(access & REFERENCE_COUNTER)) {
        access &= ~SYNTHETIC_TIMERS;
        misc &= ~DIRECT_TIMERS;
    }
    if (cpus > 1)
        recommended |= hints.eax & (RECOMMEND_REMOTE_TLB_FLUSH | RECOMMEND_CLUSTER_IPI);
    recommended |= RECOMMEND_RELAXED_TIMING;
    const struct kvm_cpuid_entry2 leaves[HYPERV_LEAVES] = {
        /* "Microsoft Hv" */
        {.function = 0x40000000, .eax = 0x40000005, .ebx = 0x7263694D, .ecx = 0x666F736F, .edx = 0x76482074},
        {.function = 0x40000001, .eax = 0x31237648}, /* "Hv#1" */
        {.function = 0x40000002, .eax = 14393, .ebx = 10U << 16},
        {.function = 0x40000003, .eax = access, .edx = misc | PARTITIONING},
        {.function = 0x40000004, .eax = recommended, .ebx = SPIN_RETRIES},
        {.function = 0x40000005, .eax = UINT32_MAX},
    };
    memcpy(entries, leaves, sizeof leaves);
    return HYPERV_LEAVES;
}
