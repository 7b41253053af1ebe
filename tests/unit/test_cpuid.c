/* CPUID tables: ids from one source, the Hyper-V set as the host has it and nothing that is to be avoided. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../vmm/x86/x86.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

#define BIT(n) (UINT32_C(1) << (n))

static struct kvm_cpuid2 *table(const struct kvm_cpuid_entry2 *entries, uint32_t count)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + count * sizeof *entries);

    assert_non_null(cpuid);
    cpuid->nent = count;
    memcpy(cpuid->entries, entries, count * sizeof *entries);
    return cpuid;
}

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid_entry2 *entries, unsigned count, uint32_t function)
{
    for (unsigned n = 0; n < count; n++)
        if (entries[n].function == function)
            return &entries[n];
    fail_msg("leaf 0x%x is missing", function);
    return NULL;
}

/* lessons 3.5, rows 1 and 22; 3.4, the minimum set. */
static void hyperv_offers_what_the_host_has(void **state)
{
    const struct kvm_cpuid_entry2 host[] = {
        {.function = 0x40000003, .eax = UINT32_MAX, .ebx = UINT32_MAX, .edx = UINT32_MAX},
        {.function = 0x40000004, .eax = UINT32_MAX},
        {.function = 0x4000000A, .eax = UINT32_MAX},
    };
    struct kvm_cpuid2 *supported = table(host, ARRAY_SIZE(host));
    struct kvm_cpuid_entry2 got[HYPERV_LEAVES];
    unsigned count = hyperv_leaves(supported, 4, got);
    uint32_t access, misc, hints;

    (void)state;
    assert_int_equal(count, HYPERV_LEAVES);
    assert_memory_equal(&leaf(got, count, 0x40000000)->ebx, "Micr", 4);
    assert_memory_equal(&leaf(got, count, 0x40000000)->ecx, "osof", 4);
    assert_memory_equal(&leaf(got, count, 0x40000000)->edx, "t Hv", 4);
    assert_int_equal(leaf(got, count, 0x40000000)->eax, 0x40000005);
    assert_memory_equal(&leaf(got, count, 0x40000001)->eax, "Hv#1", 4);
    access = leaf(got, count, 0x40000003)->eax;
    misc = leaf(got, count, 0x40000003)->edx;
    hints = leaf(got, count, 0x40000004)->eax;
    /* runtime, time, synic, stimer, vapic, hypercall, vpindex, reference TSC, frequencies */
    assert_int_equal(access, BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(9) | BIT(11));
    assert_int_equal(access & (BIT(7) | BIT(13)), 0);       /* no reset MSR, no re-enlightenment */
    assert_int_equal(misc & (BIT(10) | BIT(1)), 0);         /* no crash MSRs, no debugger */
    assert_int_equal(leaf(got, count, 0x40000003)->ebx, 0); /* no VMBus */
    assert_int_equal(hints & (BIT(2) | BIT(5) | BIT(10)), BIT(2) | BIT(5) | BIT(10)); /* TLB flush, relaxed, IPI */
    assert_int_equal(hints & (BIT(14) | BIT(18)), 0); /* no enlightened VMCS, no core sharing claim */
    assert_int_equal(leaf(got, count, 0x40000004)->ebx, 0xFFF);
    free(supported);
}

static void hyperv_needs_its_two_mandatory_privileges(void **state)
{
    const struct kvm_cpuid_entry2 without_index[] = {{.function = 0x40000003, .eax = UINT32_MAX & ~BIT(6)}};
    const struct kvm_cpuid_entry2 without_calls[] = {{.function = 0x40000003, .eax = UINT32_MAX & ~BIT(5)}};
    struct kvm_cpuid_entry2 got[HYPERV_LEAVES];
    struct kvm_cpuid2 *first = table(without_index, 1), *second = table(without_calls, 1);

    (void)state;
    assert_int_equal(hyperv_leaves(first, 1, got), 0);
    assert_int_equal(hyperv_leaves(second, 1, got), 0);
    free(first);
    free(second);
}

static void timers_go_with_the_interrupt_controller(void **state)
{
    const struct kvm_cpuid_entry2 host[] = {
        {.function = 0x40000003, .eax = UINT32_MAX & ~BIT(2), .edx = UINT32_MAX},
        {.function = 0x40000004, .eax = UINT32_MAX},
    };
    struct kvm_cpuid_entry2 got[HYPERV_LEAVES];
    struct kvm_cpuid2 *supported = table(host, ARRAY_SIZE(host));
    unsigned count = hyperv_leaves(supported, 1, got);

    (void)state;
    assert_int_equal(leaf(got, count, 0x40000003)->eax & BIT(3), 0);
    assert_int_equal(leaf(got, count, 0x40000003)->edx & BIT(19), 0);
    /* One vCPU has nobody to flush or to interrupt. */
    assert_int_equal(leaf(got, count, 0x40000004)->eax & (BIT(2) | BIT(10)), 0);
    free(supported);
}

/* lessons 3.5, row 25. */
static void ids_come_from_one_source(void **state)
{
    const struct kvm_cpuid_entry2 host[] = {
        {.function = 1, .ebx = 0x00040800},
        {.function = 0xB, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
        {.function = 0xB, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
        {.function = 0x8000001E, .eax = 77, .ebx = 77, .ecx = 77},
    };

    (void)state;
    for (unsigned index = 0; index < 64; index += 21) {
        struct kvm_cpuid2 *cpuid = table(host, ARRAY_SIZE(host));

        cpuid_set_ids(cpuid, index, 64);
        assert_int_equal(cpuid_find(cpuid, 1, 0)->ebx, 0x00040800 | index << 24);
        assert_int_equal(cpuid_find(cpuid, 0xB, 0)->edx, index);
        assert_int_equal(cpuid_find(cpuid, 0xB, 1)->edx, index);
        assert_int_equal(cpuid_find(cpuid, 0x8000001E, 0)->eax, index);
        assert_int_equal(cpuid_find(cpuid, 0x8000001E, 0)->ecx, 0);
        free(cpuid);
    }
}

/* A KVM that has all that is asked about, behind a descriptor that nobody else has. */
#define KVM_FD 12345

static int answer(struct kvm_cpuid2 *to, const struct kvm_cpuid_entry2 *entries, uint32_t count)
{
    assert_true(to->nent >= count);
    memcpy(to->entries, entries, count * sizeof *entries);
    to->nent = count;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    static const struct kvm_cpuid_entry2 supported[] = {
        {.function = 1, .ecx = UINT32_MAX, .edx = UINT32_MAX},
        {.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4B4D564B, .ecx = 0x564B4D56, .edx = 0x4D},
        {.function = 0x40000001, .eax = UINT32_MAX},
        {.function = 0x80000001, .ecx = UINT32_MAX, .edx = UINT32_MAX},
        {.function = 0x80000008, .eax = 0x3028},
        {.function = 0x8000000A, .edx = UINT32_MAX},
    };
    static const struct kvm_cpuid_entry2 hyperv[] = {
        {.function = 0x40000003, .eax = UINT32_MAX, .ebx = UINT32_MAX, .edx = UINT32_MAX},
        {.function = 0x40000004, .eax = UINT32_MAX},
        {.function = 0x4000000A, .eax = UINT32_MAX},
    };
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (fd == KVM_FD && request == KVM_GET_SUPPORTED_CPUID)
        return answer(argument, supported, ARRAY_SIZE(supported));
    if (fd == KVM_FD && request == KVM_GET_SUPPORTED_HV_CPUID)
        return answer(argument, hyperv, ARRAY_SIZE(hyperv));
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

static struct kvm_cpuid2 *made_for(bool nested, bool with_hyperv)
{
    struct kvm_vm vm = {.options = {.cpus = 2, .nested = nested, .hyperv = with_hyperv}, .kvm_fd = KVM_FD};
    struct kvm_cpuid2 *cpuid = NULL;
    struct error error;

    assert_int_equal(cpuid_create(&vm, &cpuid, &error), 0);
    assert_int_equal(vm.physical_bits, 0x28);
    return cpuid;
}

/* Whether a guest may run guests itself is --nested alone: VMX, SVM, and what SVM can do. */
static void virtualisation_is_shown_when_it_is_wanted(void **state)
{
    (void)state;
    for (unsigned nested = 0; nested < 2; nested++) {
        struct kvm_cpuid2 *cpuid = made_for(nested, true);

        assert_int_equal(cpuid_find(cpuid, 1, 0)->ecx & BIT(5), nested ? BIT(5) : 0);
        assert_int_equal(cpuid_find(cpuid, 0x80000001, 0)->ecx & BIT(2), nested ? BIT(2) : 0);
        assert_int_equal(cpuid_find(cpuid, 0x8000000A, 0) != NULL, nested);
        free(cpuid);
    }
}

/* Without --hyperv KVM is what is found where hypervisors are looked for, and nothing of Hyper-V anywhere. */
static void hyperv_is_shown_when_it_is_wanted(void **state)
{
    struct kvm_cpuid2 *with = made_for(false, true), *without = made_for(false, false);

    (void)state;
    assert_memory_equal(&cpuid_find(with, 0x40000000, 0)->ebx, "Micr", 4);
    assert_memory_equal(&cpuid_find(with, 0x40000100, 0)->ebx, "KVMK", 4);
    assert_non_null(cpuid_find(with, 0x40000003, 0));
    assert_memory_equal(&cpuid_find(without, 0x40000000, 0)->ebx, "KVMK", 4);
    assert_int_equal(cpuid_find(without, 0x40000000, 0)->eax, 0x40000001);
    for (uint32_t n = 0; n < without->nent; n++)
        assert_true(without->entries[n].function < 0x40000002 || without->entries[n].function >= 0x80000000);
    free(with);
    free(without);
}

/* lessons 3.5, row 24: what systems read without asking has an answer; the rest is #GP. */
static void unknown_msrs_are_handled_on_purpose(void **state)
{
    uint64_t value = 99;

    (void)state;
    assert_int_equal(msr_read(0x3A, &value), 0);
    assert_int_equal(value, 1);
    assert_int_equal(msr_read(0xC0010115, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(msr_read(0x8B, &value), 0);
    assert_true(value != 0);
    assert_int_equal(msr_write(0xC0011029, 2), 0);
    assert_int_equal(msr_read(0xDEADBEEF, &value), -1);
    assert_int_equal(msr_write(0x12345, 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hyperv_offers_what_the_host_has),
        cmocka_unit_test(hyperv_needs_its_two_mandatory_privileges),
        cmocka_unit_test(timers_go_with_the_interrupt_controller),
        cmocka_unit_test(ids_come_from_one_source),
        cmocka_unit_test(virtualisation_is_shown_when_it_is_wanted),
        cmocka_unit_test(hyperv_is_shown_when_it_is_wanted),
        cmocka_unit_test(unknown_msrs_are_handled_on_purpose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
