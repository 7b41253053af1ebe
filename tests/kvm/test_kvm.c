/* The monitor on a real /dev/kvm with guests of a few bytes: exits, pauses, resets, faults. Run in the rig. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../vmm/kvm.h"
#include "../../vmm/kvm_probe.h"
#include "../unit/cmocka_all.h"
#include "casement/bytes.h"
#include "casement/irq.h"
#include "casement/loop.h"
#include "casement/memory.h"

#define CODE_GPA UINT64_C(0xFFFFF000) /* the page with the reset vector */

struct bench {
    struct kvm_vm *vm;
    struct memory *memory;
    struct bus *bus;
    struct irq *irq;
    struct vcpus *vcpus;
    struct vm_slot rom;
    struct bus_region port;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned writes, faults;
    uint64_t last;
    enum vcpu_fault fault;
    char text[512];
};

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)size;
    return 0x40 + offset;
}

static void port_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct bench *bench = device;

    (void)offset, (void)size;
    pthread_mutex_lock(&bench->lock);
    bench->writes++;
    bench->last = value;
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->lock);
}

static void on_fault(void *opaque, enum vcpu_fault fault, const char *text)
{
    struct bench *bench = opaque;

    pthread_mutex_lock(&bench->lock);
    bench->faults++;
    bench->fault = fault;
    snprintf(bench->text, sizeof bench->text, "%s", text);
    pthread_cond_broadcast(&bench->changed);
    pthread_mutex_unlock(&bench->lock);
}

/* A machine whose reset vector jumps to the code at 0xFFFFF000, in real mode. */
static struct bench *bench_create(unsigned cpus, const uint8_t *code, size_t size)
{
    static const struct bus_ops ops = {port_read, port_write};
    static const uint8_t jump[] = {0xE9, 0x0D, 0xF0}; /* jmp 0xF000 from 0xFFF0 */
    const struct kvm_options options = {.cpus = cpus, .hyperv = true};
    const struct memory_options memory = {.size = 4 * MiB};
    struct bench *bench = calloc(1, sizeof *bench);
    struct vcpu_hooks hooks = {.fault = on_fault, .machine = bench};
    struct error error = {""};

    assert_non_null(bench);
    pthread_mutex_init(&bench->lock, NULL);
    pthread_cond_init(&bench->changed, NULL);
    bench->bus = hooks.bus = bus_create();
    if (kvm_vm_create(&options, &bench->vm, &error) < 0 || memory_create(&memory, &bench->memory, &error) < 0 ||
        memory_attach(bench->memory, &bench->vm->vm, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(irq_create(&bench->vm->vm, &bench->irq), 0);
    bench->rom = (struct vm_slot){.gpa = CODE_GPA, .size = 4096, .read_only = true, .number = -1};
    bench->rom.host = aligned_alloc(4096, 4096);
    memset(bench->rom.host, 0xF4, 4096);
    memcpy(bench->rom.host, code, size);
    memcpy((uint8_t *)bench->rom.host + 0xFF0, jump, sizeof jump);
    memset((uint8_t *)bench->rom.host + 0xFF4, 0, 6); /* an interrupt table without a single entry */
    assert_int_equal(vm_slot_add(&bench->vm->vm, &bench->rom), 0);
    bench->port =
        (struct bus_region){.name = "test", .space = BUS_PORT, .base = 0x500, .size = 16, .ops = &ops, .device = bench};
    assert_int_equal(bus_add(bench->bus, &bench->port), 0);
    if (vcpus_create(bench->vm, cpus, &hooks, &bench->vcpus, &error) < 0 || vcpus_start(bench->vcpus, &error) < 0)
        fail_msg("%s", error.text);
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    vcpus_destroy(bench->vcpus);
    vm_slot_remove(&bench->vm->vm, &bench->rom);
    free(bench->rom.host);
    irq_destroy(bench->irq);
    memory_destroy(bench->memory);
    bus_destroy(bench->bus);
    kvm_vm_destroy(bench->vm);
    free(bench);
}

static void wait_for(struct bench *bench, const unsigned *counter, unsigned atleast)
{
    struct timespec limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 60;
    pthread_mutex_lock(&bench->lock);
    while (*counter < atleast)
        if (pthread_cond_timedwait(&bench->changed, &bench->lock, &limit))
            fail_msg("the guest has not come so far: %u of %u; %s", *counter, atleast, bench->text);
    pthread_mutex_unlock(&bench->lock);
}

/* mov dx,0x500; in al,dx; add al,2; out dx,al; hlt */
static const uint8_t say_and_halt[] = {0xBA, 0x00, 0x05, 0xEC, 0x04, 0x02, 0xEE, 0xF4};
/* mov dx,0x500; xor ax,ax; again: inc ax; out dx,ax; jmp again */
static const uint8_t count_for_ever[] = {0xBA, 0x00, 0x05, 0x31, 0xC0, 0x40, 0xEF, 0xEB, 0xFC};
/* lidt [cs:0xFFF4]; int3: the table there is empty */
static const uint8_t triple_fault[] = {0x2E, 0x0F, 0x01, 0x1E, 0xF4, 0xFF, 0xCC};

static void the_guest_runs_from_the_reset_vector(void **state)
{
    struct bench *bench = bench_create(1, say_and_halt, sizeof say_and_halt);

    (void)state;
    vcpus_resume(bench->vcpus);
    wait_for(bench, &bench->writes, 1);
    assert_int_equal(bench->last, 0x42);
    bench_destroy(bench);
}

static void a_reset_begins_again_fifty_times(void **state)
{
    struct bench *bench = bench_create(2, say_and_halt, sizeof say_and_halt);

    (void)state;
    for (unsigned n = 1; n <= 50; n++) {
        vcpus_resume(bench->vcpus);
        wait_for(bench, &bench->writes, n);
        vcpus_pause(bench->vcpus);
        kvm_vm_reset(bench->vm);
        assert_int_equal(vcpus_reset(bench->vcpus), 0);
        assert_int_equal(bench->writes, n);
    }
    bench_destroy(bench);
}

/* After a pause nothing of an access is left over: the counter goes on without a gap or a repetition. */
static void a_pause_loses_and_repeats_nothing(void **state)
{
    struct bench *bench = bench_create(1, count_for_ever, sizeof count_for_ever);

    (void)state;
    for (unsigned n = 1; n <= 100; n++) {
        unsigned before;

        vcpus_resume(bench->vcpus);
        wait_for(bench, &bench->writes, bench->writes + 3);
        vcpus_pause(bench->vcpus);
        before = bench->writes;
        assert_int_equal((uint16_t)before, bench->last);
        assert_int_equal(bench->writes, before);
    }
    bench_destroy(bench);
}

static void a_triple_fault_says_where(void **state)
{
    struct bench *bench = bench_create(1, triple_fault, sizeof triple_fault);

    (void)state;
    vcpus_resume(bench->vcpus);
    wait_for(bench, &bench->faults, 1);
    assert_int_equal(bench->fault, VCPU_TRIPLE_FAULT);
    assert_non_null(strstr(bench->text, "triple fault"));
    assert_non_null(strstr(bench->text, "CS:RIP"));
    vcpus_pause(bench->vcpus);
    assert_int_equal(vcpus_reset(bench->vcpus), 0);
    bench_destroy(bench);
}

static void an_ioeventfd_takes_the_write(void **state)
{
    struct bench *bench = bench_create(1, count_for_ever, sizeof count_for_ever);
    int fd = eventfd(0, EFD_NONBLOCK);
    uint64_t match = 2, count = 0;

    (void)state;
    assert_int_equal(bench->vm->vm.ops->ioeventfd(&bench->vm->vm, BUS_PORT, 0x500, 2, &match, fd, true), 0);
    vcpus_resume(bench->vcpus);
    wait_for(bench, &bench->writes, 5); /* 1, 3, 4, 5, 6 */
    vcpus_pause(bench->vcpus);
    assert_int_equal(read(fd, &count, sizeof count), sizeof count);
    assert_true(count >= 1);
    assert_int_equal(bench->vm->vm.ops->ioeventfd(&bench->vm->vm, BUS_PORT, 0x500, 2, &match, fd, false), 0);
    close(fd);
    bench_destroy(bench);
}

static void machines_come_and_go_without_a_trace(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 5; n++) {
        struct bench *bench = bench_create(4, count_for_ever, sizeof count_for_ever);

        vcpus_resume(bench->vcpus);
        wait_for(bench, &bench->writes, 1);
        bench_destroy(bench);
    }
    /* Standard streams and nothing else: the next descriptor is the lowest again. */
    int fd = dup(0);
    assert_true(fd < 8);
    close(fd);
}

static atomic_uint signals_taken;
static atomic_bool signals_end;

static void take_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_taken, 1);
}

static void *send_signals(void *thread)
{
    while (!atomic_load(&signals_end)) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        usleep(700);
    }
    return NULL;
}

static void a_signal_does_not_keep_a_machine_from_being_made(void **state)
{
    struct sigaction action = {.sa_handler = take_signal};
    pthread_t self = pthread_self(), sender;
    struct error error = {""};
    int kvm = kvm_open(&error);

    (void)state;
    assert_true(kvm >= 0);
    sigaction(SIGUSR1, &action, NULL);
    assert_int_equal(pthread_create(&sender, NULL, send_signals, &self), 0);
    for (unsigned n = 0; n < 200; n++) {
        int machine = kvm_make_machine(kvm);

        if (machine < 0)
            fail_msg("attempt %u: %s", n, strerror(-machine));
        close(machine);
    }
    atomic_store(&signals_end, true);
    pthread_join(sender, NULL);
    assert_true(atomic_load(&signals_taken) > 10);
    close(kvm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_does_not_keep_a_machine_from_being_made),
        cmocka_unit_test(the_guest_runs_from_the_reset_vector),
        cmocka_unit_test(a_reset_begins_again_fifty_times),
        cmocka_unit_test(a_pause_loses_and_repeats_nothing),
        cmocka_unit_test(a_triple_fault_says_where),
        cmocka_unit_test(an_ioeventfd_takes_the_write),
        cmocka_unit_test(machines_come_and_go_without_a_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
