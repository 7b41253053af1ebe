/* vCPU threads: each runs its vCPU, serves the exits that every architecture has, and stands still when asked. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "kvm.h"

/* Interrupts KVM_RUN; it only has to arrive. */
#define KICK_SIGNAL (SIGRTMIN + 1)

static void on_kick(int number)
{
    (void)number;
}

static void serve_port(struct vcpu *vcpu)
{
    const struct kvm_run *run = vcpu->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    struct bus *bus = vcpu->all->hooks.bus;

    /* A string instruction's items all go to the same port. */
    for (uint32_t n = 0; n < run->io.count; n++, data += run->io.size) {
        if (run->io.direction == KVM_EXIT_IO_OUT)
            bus_write(bus, BUS_PORT, run->io.port, run->io.size, get_le(data, run->io.size));
        else
            put_le(data, run->io.size, bus_read(bus, BUS_PORT, run->io.port, run->io.size));
    }
}

static void serve_mmio(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    unsigned size = MIN(run->mmio.len, 8U);
    struct bus *bus = vcpu->all->hooks.bus;

    if (run->mmio.is_write)
        bus_write(bus, BUS_MMIO, run->mmio.phys_addr, size, get_le(run->mmio.data, size));
    else
        put_le(run->mmio.data, size, bus_read(bus, BUS_MMIO, run->mmio.phys_addr, size));
}

static void fault(struct vcpu *vcpu, enum vcpu_fault kind, const char *what)
{
    char where[400], text[512];

    arch_vcpu_describe(vcpu, where, sizeof where);
    snprintf(text, sizeof text, "vCPU %u: %s; %s", vcpu->index, what, where);
    vcpus_request_pause(vcpu->all);
    vcpu->all->hooks.fault(vcpu->all->hooks.machine, kind, text);
}

static void serve_exit(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    char what[96];

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        serve_port(vcpu);
        return;
    case KVM_EXIT_MMIO:
        serve_mmio(vcpu);
        return;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return;
    case KVM_EXIT_SHUTDOWN:
        fault(vcpu, VCPU_TRIPLE_FAULT, "triple fault");
        return;
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(what, sizeof what, "the processor refuses to enter the guest (reason 0x%llx)",
                 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        snprintf(what, sizeof what, "KVM gives up (suberror %u)", run->internal.suberror);
        break;
    default:
        if (arch_vcpu_exit(vcpu))
            return;
        snprintf(what, sizeof what, "unknown exit %u from KVM", run->exit_reason);
    }
    fault(vcpu, VCPU_INTERNAL_ERROR, what);
}

/*
 * An exit leaves its instruction half done; KVM finishes it at the next entry. With immediate_exit it does that and
 * comes back at once, so that no part of an access is left over when registers are read or set.
 */
static void finish_instruction(struct vcpu *vcpu)
{
    vcpu->run->immediate_exit = 1;
    while (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
        serve_exit(vcpu);
}

/* Stands still while asked to. false: the thread is to end. */
static bool park(struct vcpu *vcpu)
{
    struct vcpus *all = vcpu->all;
    bool go_on;

    pthread_mutex_lock(&all->lock);
    all->parked++;
    pthread_cond_broadcast(&all->changed);
    while (atomic_load(&all->pause) && !all->end)
        pthread_cond_wait(&all->changed, &all->lock);
    all->parked--;
    go_on = !all->end;
    vcpu->run->immediate_exit = 0;
    /* A request that came between: its kick may have been wiped out just now, but the flag has not. */
    pthread_mutex_unlock(&all->lock);
    return go_on;
}

static void *vcpu_main(void *opaque)
{
    struct vcpu *vcpu = opaque;
    struct vcpus *all = vcpu->all;
    char name[16];
    bool finish = false;

    snprintf(name, sizeof name, "vcpu%u", vcpu->index);
    pthread_setname_np(pthread_self(), name);
    for (;;) {
        if (atomic_load(&all->pause)) {
            if (finish)
                finish_instruction(vcpu);
            finish = false;
            if (!park(vcpu))
                return NULL;
            continue;
        }
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            serve_exit(vcpu);
            finish = true;
        } else if (errno == EINTR || errno == EAGAIN) {
            finish = false;
        } else {
            char what[64];

            snprintf(what, sizeof what, "KVM_RUN: %s", strerror(errno));
            fault(vcpu, VCPU_INTERNAL_ERROR, what);
        }
    }
}

void vcpus_request_pause(struct vcpus *all)
{
    atomic_store(&all->pause, true);
    for (unsigned n = 0; n < all->count; n++) {
        struct vcpu *vcpu = &all->vcpu[n];

        if (!vcpu->run)
            continue;
        /* Seen by a vCPU that is about to enter; the signal reaches one that is inside. */
        __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (vcpu->started && !pthread_equal(vcpu->thread, pthread_self()))
            pthread_kill(vcpu->thread, KICK_SIGNAL);
    }
}

void vcpus_pause(struct vcpus *all)
{
    vcpus_request_pause(all);
    pthread_mutex_lock(&all->lock);
    while (all->parked < all->count)
        pthread_cond_wait(&all->changed, &all->lock);
    pthread_mutex_unlock(&all->lock);
}

void vcpus_resume(struct vcpus *all)
{
    pthread_mutex_lock(&all->lock);
    atomic_store(&all->pause, false);
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

void vcpus_stood_still(struct vcpus *all)
{
    for (unsigned n = 0; n < all->count; n++)
        arch_vcpu_stood_still(&all->vcpu[n]);
}

int vcpus_reset(struct vcpus *all)
{
    for (unsigned n = 0; n < all->count; n++) {
        int failed = arch_vcpu_reset(&all->vcpu[n]);

        if (failed < 0)
            return failed;
    }
    return 0;
}

static int create_one(struct vcpu *vcpu, struct error *error)
{
    struct kvm_vm *vm = vcpu->all->vm;

    vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)vcpu->index);
    if (vcpu->fd < 0)
        return error_set(error, errno, "vCPU %u: KVM does not make it: %s; use fewer vCPUs", vcpu->index,
                         strerror(errno));
    vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (vcpu->run == MAP_FAILED) {
        vcpu->run = NULL;
        return error_set(error, errno, "vCPU %u: its run area cannot be mapped: %s", vcpu->index, strerror(errno));
    }
    return arch_vcpu_create(vcpu, error);
}

int vcpus_create(struct kvm_vm *vm, unsigned count, const struct vcpu_hooks *hooks, struct vcpus **result,
                 struct error *error)
{
    struct vcpus *all = calloc(1, sizeof *all);

    if (!all)
        return error_set(error, ENOMEM, "vCPUs: out of memory");
    all->vm = vm;
    all->hooks = *hooks;
    atomic_store(&all->pause, true);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->changed, NULL);
    for (unsigned n = 0; n < count; n++) {
        int failed;

        all->vcpu[n] = (struct vcpu){.all = all, .index = n, .fd = -1};
        all->count++;
        failed = create_one(&all->vcpu[n], error);
        if (failed < 0) {
            vcpus_destroy(all);
            return failed;
        }
    }
    *result = all;
    return 0;
}

int vcpus_start(struct vcpus *all, struct error *error)
{
    struct sigaction action = {.sa_handler = on_kick};
    sigset_t blocked, before;

    /* No SA_RESTART: KVM_RUN has to return. Only the kick reaches these threads; the rest is the main thread's. */
    sigaction(KICK_SIGNAL, &action, NULL);
    sigfillset(&blocked);
    sigdelset(&blocked, KICK_SIGNAL);
    for (unsigned n = 0; n < all->count; n++) {
        int failed;

        pthread_sigmask(SIG_SETMASK, &blocked, &before);
        failed = pthread_create(&all->vcpu[n].thread, NULL, vcpu_main, &all->vcpu[n]);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (failed)
            return error_set(error, failed, "vCPU %u: no thread: %s; raise the limit of processes", n,
                             strerror(failed));
        all->vcpu[n].started = true;
    }
    return 0;
}

void vcpus_destroy(struct vcpus *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->lock);
    all->end = true;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    vcpus_request_pause(all);
    for (unsigned n = 0; n < all->count; n++) {
        if (all->vcpu[n].started)
            pthread_join(all->vcpu[n].thread, NULL);
        all->vcpu[n].started = false;
    }
    for (unsigned n = 0; n < all->count; n++) {
        arch_vcpu_destroy(&all->vcpu[n]);
        if (all->vcpu[n].run)
            munmap(all->vcpu[n].run, all->vm->run_size);
        if (all->vcpu[n].fd >= 0)
            close(all->vcpu[n].fd);
    }
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
