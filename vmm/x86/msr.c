/* MSRs: the answer to those that KVM does not know, and the list that a reset restores. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "x86.h"

/*
 * Registers that systems touch without looking whether they exist: reads give the value, writes are dropped (platform
 * contract 8.4). Anything else is #GP, as on a processor that lacks the register.
 */
static const struct {
    uint32_t first, last;
    uint64_t value;
} harmless[] = {
    {0x00000017, 0x00000017, 0},                 /* IA32_PLATFORM_ID */
    {0x00000034, 0x00000034, 0},                 /* MSR_SMI_COUNT */
    {0x0000003A, 0x0000003A, 1},                 /* IA32_FEATURE_CONTROL: locked, nothing enabled */
    {0x00000088, 0x0000008A, 0},                 /* BBL_CR_D */
    {0x0000008B, 0x0000008B, UINT64_C(1) << 32}, /* IA32_BIOS_SIGN_ID: a revision that is not 0 */
    {0x000000CE, 0x000000CE, 0},                 /* MSR_PLATFORM_INFO */
    {0x00000116, 0x00000116, 0},                 /* BBL_CR_ADDR */
    {0x00000118, 0x0000011B, 0},                 /* BBL_CR_DECC ... */
    {0x0000011E, 0x0000011E, 0},                 /* BBL_CR_CTL3 */
    {0x00000140, 0x00000140, 0},                 /* MISC_FEATURES_ENABLES */
    {0x00000198, 0x0000019C, 0},                 /* IA32_PERF_STATUS ... IA32_THERM_STATUS */
    {0x000001A2, 0x000001A2, 0},                 /* MSR_TEMPERATURE_TARGET */
    {0x000001B1, 0x000001B1, 0},                 /* IA32_PACKAGE_THERM_STATUS */
    {0x00000345, 0x00000345, 0},                 /* IA32_PERF_CAPABILITIES */
    {0x00000606, 0x00000641, 0},                 /* RAPL */
    {0xC0010015, 0xC0010015, 0},                 /* HWCR */
    {0xC0010115, 0xC0010115, 0},                 /* IGNNE */
    {0xC0011020, 0xC001102F, 0},                 /* LS_CFG ... DE_CFG, TW_CFG */
};

static bool find_harmless(uint32_t number, uint64_t *value)
{
    for (size_t n = 0; n < ARRAY_SIZE(harmless); n++)
        if (number >= harmless[n].first && number <= harmless[n].last) {
            *value = harmless[n].value;
            return true;
        }
    return false;
}

int msr_read(uint32_t number, uint64_t *value)
{
    static struct log_limit limit;

    if (find_harmless(number, value))
        return 0;
    log_guest(&limit, "the guest reads MSR 0x%x, which this machine has not: #GP", number);
    return -1;
}

int msr_write(uint32_t number, uint64_t value)
{
    static struct log_limit limit;
    uint64_t unused;

    if (find_harmless(number, &unused))
        return 0;
    log_guest(&limit, "the guest writes 0x%llx to MSR 0x%x, which this machine has not or refuses: #GP",
              (unsigned long long)value, number);
    return -1;
}

struct msr_list {
    unsigned count;
    struct kvm_msr_entry entries[];
};

static int transfer_one(int vcpu_fd, unsigned long request, struct kvm_msr_entry *entry)
{
    union {
        struct kvm_msrs msrs;
        uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } one = {.bytes = {0}};

    one.msrs.nmsrs = 1;
    one.msrs.entries[0] = *entry;
    /* The answer is the number of registers done. */
    if (ioctl(vcpu_fd, request, &one) != 1)
        return -EIO;
    *entry = one.msrs.entries[0];
    return 0;
}

/* The clock goes on over a reset; a write would be taken for an attempt to synchronise vCPUs (lessons 3.5, rows 2 and
 * 21). */
static bool is_clock(uint32_t number)
{
    return number == 0x10 || number == 0x3B || number == 0x40000002 /* VP index: fixed */;
}

static int index_list(int kvm_fd, struct kvm_msr_list **list)
{
    struct kvm_msr_list probe = {.nmsrs = 0};

    if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe) == 0 || errno != E2BIG)
        return -EIO;
    *list = calloc(1, sizeof **list + probe.nmsrs * sizeof(uint32_t));
    if (!*list)
        return -ENOMEM;
    (*list)->nmsrs = probe.nmsrs;
    if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, *list) < 0) {
        free(*list);
        return -EIO;
    }
    return 0;
}

int msr_list_save(struct kvm_vm *vm, int vcpu_fd, struct msr_list **result)
{
    struct kvm_msr_list *indices;
    struct msr_list *list;
    int failed = index_list(vm->kvm_fd, &indices);

    if (failed < 0)
        return failed;
    list = calloc(1, sizeof *list + indices->nmsrs * sizeof list->entries[0]);
    if (!list) {
        free(indices);
        return -ENOMEM;
    }
    for (uint32_t n = 0; n < indices->nmsrs; n++) {
        struct kvm_msr_entry entry = {.index = indices->indices[n]};

        /* Which of them can be set depends on the processor: those that take back their own value. */
        if (!is_clock(entry.index) && transfer_one(vcpu_fd, KVM_GET_MSRS, &entry) == 0 &&
            transfer_one(vcpu_fd, KVM_SET_MSRS, &entry) == 0)
            list->entries[list->count++] = entry;
    }
    free(indices);
    *result = list;
    return 0;
}

int msr_list_restore(int vcpu_fd, const struct msr_list *list)
{
    int result = 0;

    for (unsigned n = 0; n < list->count; n++) {
        struct kvm_msr_entry entry = list->entries[n];

        if (transfer_one(vcpu_fd, KVM_SET_MSRS, &entry) < 0) {
            log_error("MSR 0x%x is not reset", list->entries[n].index);
            result = -EIO;
        }
    }
    return result;
}
