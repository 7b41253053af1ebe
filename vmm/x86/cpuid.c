/*
 * CPUID: what KVM supports on this host, narrowed to what a guest should see, with one consistent topology: one
 * package, one thread per core, APIC id = index of the vCPU (platform contract 8.2).
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "casement/bytes.h"
#include "x86.h"

#define KVM_LEAVES_AT 0x40000100U /* behind Hyper-V's, where Linux looks for them */

#define BIT(n) (UINT32_C(1) << (n))

/* Fills *cpuid by one of KVM's two "what is supported" calls, growing the table until it fits. */
static int ask_kvm(int fd, unsigned long request, struct kvm_cpuid2 **cpuid)
{
    for (uint32_t room = 128; room <= 4096; room *= 2) {
        struct kvm_cpuid2 *table = calloc(1, sizeof *table + room * sizeof table->entries[0]);

        if (!table)
            return -ENOMEM;
        table->nent = room;
        if (ioctl(fd, request, table) == 0) {
            *cpuid = table;
            return 0;
        }
        free(table);
        if (errno != E2BIG)
            return -errno;
    }
    return -E2BIG;
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
    for (uint32_t n = 0; n < cpuid->nent; n++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[n];

        if (entry->function == function && (entry->index == index || !(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
            return entry;
    }
    return NULL;
}

static bool vendor_is(struct kvm_cpuid2 *cpuid, const char *vendor)
{
    const struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, 0, 0);
    char name[12];

    if (!entry)
        return false;
    put_le32(name, entry->ebx);
    put_le32(name + 4, entry->edx);
    put_le32(name + 8, entry->ecx);
    return memcmp(name, vendor, sizeof name) == 0;
}

/* Bits of an APIC id that tell the cores of a package apart. */
static unsigned core_bits(unsigned cpus)
{
    unsigned bits = 0;

    while ((1U << bits) < cpus)
        bits++;
    return bits;
}

static void clear_bits(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index, uint32_t ebx, uint32_t ecx,
                       uint32_t edx)
{
    struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, function, index);

    if (!entry)
        return;
    entry->ebx &= ~ebx;
    entry->ecx &= ~ecx;
    entry->edx &= ~edx;
}

static void drop(struct kvm_cpuid2 *cpuid, uint32_t first, uint32_t last)
{
    uint32_t kept = 0;

    for (uint32_t n = 0; n < cpuid->nent; n++)
        if (cpuid->entries[n].function < first || cpuid->entries[n].function > last)
            cpuid->entries[kept++] = cpuid->entries[n];
    cpuid->nent = kept;
}

/* Leaves 1 and 4 (Intel SDM vol. 2A, CPUID): logical processors, caches that a core has for itself or shares. */
static void narrow_basic(const struct kvm_vm *vm, struct kvm_cpuid2 *cpuid)
{
    unsigned cpus = vm->options.cpus;
    struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, 1, 0);

    if (entry) {
        entry->ebx = (entry->ebx & 0x0000FFFF) | (1U << core_bits(cpus)) << 16;
        entry->ecx |= BIT(31) | (vm->has_tsc_deadline ? BIT(24) : 0);
        entry->ecx &= ~(vm->options.nested ? 0 : BIT(5)); /* VMX */
        entry->ecx &= ~BIT(3);                            /* MONITOR */
        entry->edx = cpus > 1 ? entry->edx | BIT(28) : entry->edx & ~BIT(28);
    }
    for (uint32_t n = 0; n < cpuid->nent; n++) {
        entry = &cpuid->entries[n];
        if (entry->function == 4 && (entry->eax & 0x1F)) {
            bool shared = (entry->eax >> 5 & 7) >= 3; /* the last level */

            entry->eax &= 0x3FFF;
            entry->eax |= ((1U << core_bits(cpus)) - 1) << 26;
            if (shared)
                entry->eax |= ((1U << core_bits(cpus)) - 1) << 14;
        }
        if (entry->function == 0x8000001D && (entry->eax & 0x1F)) {
            bool shared = (entry->eax >> 5 & 7) >= 3;

            entry->eax = (entry->eax & 0x3FFF) | (shared ? (cpus - 1) << 14 : 0);
        }
    }
    clear_bits(cpuid, 7, 0, BIT(2), BIT(16),
               vendor_is(cpuid, "AuthenticAMD") ? BIT(29) : 0);       /* SGX; LA57; ARCH_CAPABILITIES */
    clear_bits(cpuid, 7, 0, BIT(25), 0, BIT(22) | BIT(24) | BIT(25)); /* PT; AMX */
    drop(cpuid, 0x12, 0x14);                                          /* SGX, PT */
    drop(cpuid, 0x1D, 0x1F);                                          /* AMX, V2 topology */
}

/* AMX state would need a permission that we do not ask for. */
static void narrow_state(struct kvm_cpuid2 *cpuid)
{
    struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, 0xD, 0);

    if (entry)
        entry->eax &= ~(BIT(17) | BIT(18));
    for (uint32_t n = 0; n < cpuid->nent; n++)
        if (cpuid->entries[n].function == 0xD && (cpuid->entries[n].index == 17 || cpuid->entries[n].index == 18))
            cpuid->entries[n--] = cpuid->entries[--cpuid->nent];
}

/* Leaf 0xB (extended topology): rewritten whole. Sub-leaf 0 threads, 1 cores, 2 the end. */
static int add_topology(struct kvm_cpuid2 *cpuid, unsigned room, unsigned cpus)
{
    const uint32_t shift[] = {0, core_bits(cpus), 0}, count[] = {1, cpus, 0}, type[] = {1, 2, 0};

    drop(cpuid, 0xB, 0xB);
    if (cpuid->nent + 3 > room)
        return -E2BIG;
    for (uint32_t level = 0; level < 3; level++)
        cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){.function = 0xB,
                                                                  .index = level,
                                                                  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                                                  .eax = shift[level],
                                                                  .ebx = count[level],
                                                                  .ecx = type[level] << 8 | level};
    return 0;
}

/* Leaves 0x8000xxxx (AMD APM vol. 3, appendix E). */
static void narrow_extended(const struct kvm_vm *vm, struct kvm_cpuid2 *cpuid)
{
    unsigned cpus = vm->options.cpus;
    bool amd = vendor_is(cpuid, "AuthenticAMD") || vendor_is(cpuid, "HygonGenuine");
    struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, 0x80000001, 0);
    uint32_t eax, ebx, ecx, edx;

    if (entry) {
        if (!vm->options.nested)
            entry->ecx &= ~BIT(2); /* SVM */
        /* Some kernels strip 1 GiB pages, and the firmware then caps the address space at 40 bits. */
        if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (edx & BIT(26)))
            entry->edx |= BIT(26);
        if (amd && cpus > 1)
            entry->ecx |= BIT(1); /* CmpLegacy: several cores, no threads */
        /* Without topology extensions Windows loops on the extended performance counters. */
        if (!(entry->ecx & BIT(22)) || !cpuid_find(cpuid, 0x8000001E, 0))
            entry->ecx &= ~(BIT(22) | BIT(23));
    }
    entry = cpuid_find(cpuid, 0x80000008, 0);
    if (entry) {
        if (amd)
            entry->ecx = core_bits(cpus) << 12 | (cpus - 1);
        entry->eax &= 0x0000FFFF; /* GuestPhysAddrSize 0: the same as the physical size */
    }
    if (!vm->options.nested)
        drop(cpuid, 0x8000000A, 0x8000000A);
    drop(cpuid, 0x8000001F, 0x80000020); /* encrypted memory */
}

/* Hyper-V's leaves in front, KVM's own behind them, so that one profile serves Windows and Linux. */
static int add_hypervisor_leaves(struct kvm_vm *vm, struct kvm_cpuid2 *cpuid, unsigned room)
{
    struct kvm_cpuid_entry2 leaves[HYPERV_LEAVES];
    struct kvm_cpuid2 *supported = NULL;
    unsigned count = 0;

    if (vm->options.hyperv && ask_kvm(vm->kvm_fd, KVM_GET_SUPPORTED_HV_CPUID, &supported) == 0)
        count = hyperv_leaves(supported, vm->options.cpus, leaves);
    free(supported);
    if (count == 0)
        return 0; /* KVM's leaves stay at 0x40000000 */
    for (uint32_t n = 0; n < cpuid->nent; n++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[n];

        if (entry->function < 0x40000000 || entry->function > 0x40000001)
            continue;
        if (entry->function == 0x40000000)
            entry->eax = KVM_LEAVES_AT + 1;
        entry->function += KVM_LEAVES_AT - 0x40000000;
    }
    if (cpuid->nent + count > room)
        return -E2BIG;
    memcpy(&cpuid->entries[cpuid->nent], leaves, count * sizeof leaves[0]);
    cpuid->nent += count;
    return 0;
}

int cpuid_create(struct kvm_vm *vm, struct kvm_cpuid2 **result, struct error *error)
{
    enum { EXTRA = 16 };
    struct kvm_cpuid2 *cpuid = NULL, *grown;
    const struct kvm_cpuid_entry2 *address;
    unsigned room;
    int failed = ask_kvm(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, &cpuid);

    if (failed < 0 || !cpuid)
        return error_set(error, -failed, "/dev/kvm: does not say what processor it offers: %s", strerror(-failed));
    room = cpuid->nent + EXTRA;
    grown = realloc(cpuid, sizeof *cpuid + room * sizeof cpuid->entries[0]);
    if (!grown) {
        free(cpuid);
        return error_set(error, ENOMEM, "CPUID: out of memory");
    }
    cpuid = grown;
    narrow_basic(vm, cpuid);
    narrow_state(cpuid);
    narrow_extended(vm, cpuid);
    failed = add_topology(cpuid, room, vm->options.cpus);
    if (failed == 0)
        failed = add_hypervisor_leaves(vm, cpuid, room);
    if (failed < 0) {
        free(cpuid);
        return error_set(error, -failed, "CPUID: the host's table has no room for ours");
    }
    address = cpuid_find(cpuid, 0x80000008, 0);
    vm->physical_bits = address ? address->eax & 0xFF : 36;
    *result = cpuid;
    return 0;
}

void cpuid_set_ids(struct kvm_cpuid2 *cpuid, unsigned index, unsigned cpus)
{
    (void)cpus;
    for (uint32_t n = 0; n < cpuid->nent; n++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[n];

        switch (entry->function) {
        case 1:
            entry->ebx = (entry->ebx & 0x00FFFFFF) | index << 24;
            break;
        case 0xB:
            entry->edx = index;
            break;
        case 0x8000001E: /* APIC id; one thread per core unit; node 0 of 1 */
            entry->eax = index;
            entry->ebx = index & 0xFF;
            entry->ecx = 0;
            break;
        default:
            break;
        }
    }
}
