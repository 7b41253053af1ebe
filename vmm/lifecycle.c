/* From power-on to the exit status: signals, operators, resets, faults. Everything here runs on the main thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/pci.h"
#include "exit_codes.h"
#include "machine.h"
#include "network/network.h"
#include "network/rights.h"

#define SECOND_NS INT64_C(1000000000)
/* A guest whose screen sleeps takes the first press for a wake-up (platform contract 10). */
#define SECOND_PRESS_NS (15 * SECOND_NS)
/* What opens files of other users in a container, the page's port, and locks memory on older kernels. */
#define RIGHTS_KEPT                                                                                           \
    (RIGHT(CAP_DAC_OVERRIDE) | RIGHT(CAP_DAC_READ_SEARCH) | RIGHT(CAP_FOWNER) | RIGHT(CAP_NET_BIND_SERVICE) | \
     RIGHT(CAP_IPC_LOCK))

static void finish(struct machine *m, int exit_code)
{
    m->exit_code = exit_code;
    m->finished = true;
    atomic_store(&m->phase, PHASE_STOPPING);
    vcpus_request_pause(m->vcpus);
    loop_quit(m->main_loop);
}

static void tell(struct machine *m, unsigned event)
{
    atomic_fetch_or(&m->events, event);
    vcpus_request_pause(m->vcpus);
    loop_post(m->main_loop, &m->event_task);
}

void lifecycle_power(void *opaque, enum power_request request, const char *source)
{
    log_info("%s by the guest (%s)", request == POWER_RESET ? "reset" : "power-off", source);
    tell(opaque, request == POWER_RESET ? EVENT_RESET : EVENT_POWER_OFF);
}

void lifecycle_fault(void *opaque, enum vcpu_fault fault, const char *text)
{
    struct machine *m = opaque;

    pthread_mutex_lock(&m->fault_lock);
    if (!m->fault_text[0])
        snprintf(m->fault_text, sizeof m->fault_text, "%s", text);
    pthread_mutex_unlock(&m->fault_lock);
    tell(m, fault == VCPU_TRIPLE_FAULT ? EVENT_TRIPLE_FAULT : EVENT_INTERNAL_ERROR);
}

void lifecycle_space(struct machine *m)
{
    tell(m, EVENT_SPACE);
}

/* Between running and waiting for space; no other phase changes here. */
static void go_on_or_wait(struct machine *m)
{
    char text[96];
    bool wait = disks_full(m, text, sizeof text);
    unsigned phase = wait ? PHASE_RUNNING : PHASE_PAUSED;
    bool changed = atomic_compare_exchange_strong(&m->phase, &phase, wait ? PHASE_PAUSED : PHASE_RUNNING);

    if (changed && wait)
        log_warning("the machine stands still and waits for %s; it goes on by itself", text);
    else if (changed)
        log_info("no disk waits for space any more; the machine goes on");
    vcpus_pause(m->vcpus); /* also when a reset let them go meanwhile */
    if (wait)
        return;
    if (changed)
        vcpus_stood_still(m->vcpus);
    vcpus_resume(m->vcpus);
}

/* Every device, chip and vCPU as at power-on; RAM keeps its content (platform contract 10). */
static void reset(struct machine *m)
{
    struct error error;

    vcpus_pause(m->vcpus);
    /* What a vCPU asked for before it stood still belongs to the life that ends here. */
    atomic_fetch_and(&m->events, EVENT_SPACE);
    pci_bus_reset(m->board.pci);
    board_reset(&m->board);
    kvm_vm_reset(m->vm);
    if (vcpus_reset(m->vcpus) < 0 || machine_load_kernel(m, &error) < 0) {
        log_error("the machine cannot be reset: %s", m->config->kernel ? error.text : "KVM refuses");
        finish(m, EXIT_CODE_FAILED);
        return;
    }
    m->resets++;
    if (m->follower && m->follower->reset)
        m->follower->reset(m->follower->opaque);
    vcpus_resume(m->vcpus);
}

static void on_triple_fault(struct machine *m)
{
    char text[sizeof m->fault_text];

    vcpus_pause(m->vcpus);
    pthread_mutex_lock(&m->fault_lock);
    memcpy(text, m->fault_text, sizeof text);
    m->fault_text[0] = 0;
    pthread_mutex_unlock(&m->fault_lock);
    if (m->config->on_triple_fault == CONFIG_RESET) {
        log_warning("%s; the machine is reset", text);
        reset(m);
    } else {
        log_error("%s; the machine ends", text);
        finish(m, EXIT_CODE_CRASHED);
    }
}

static void on_events(void *opaque)
{
    struct machine *m = opaque;
    unsigned events = atomic_exchange(&m->events, 0);

    if (events & EVENT_INTERNAL_ERROR) {
        log_error("%s", m->fault_text);
        finish(m, EXIT_CODE_FAILED);
    } else if (events & EVENT_POWER_OFF) {
        finish(m, EXIT_CODE_POWERED_OFF);
    } else if (events & EVENT_TRIPLE_FAULT) {
        on_triple_fault(m);
    } else if (events & EVENT_RESET) {
        if (m->config->on_reset == CONFIG_RESET)
            reset(m);
        else
            finish(m, EXIT_CODE_POWERED_OFF);
    }
    /* A reset has let go of what waited, and says so by the same event. */
    if ((events & EVENT_SPACE) && !m->finished)
        go_on_or_wait(m);
}

static void press_again(void *opaque)
{
    struct machine *m = opaque;

    log_info("the guest has not answered; the power button is pressed again");
    acpi_pm_power_button(m->pm);
}

static void stop_hard(void *opaque)
{
    struct machine *m = opaque;

    log_warning("the guest did not power off in time; it is stopped hard");
    finish(m, EXIT_CODE_STOPPED);
}

static void power_down(struct machine *m)
{
    acpi_pm_power_button(m->pm);
}

static uint64_t stop_seconds(const struct machine *m)
{
    const struct machine_follower *follower = m->follower;

    return follower && follower->stop_seconds ? MIN(m->config->stop_timeout, follower->stop_seconds(follower->opaque))
                                              : m->config->stop_timeout;
}

/* The first signal presses the power button and starts the clock, the second does not wait any longer. */
static void stop(struct machine *m, unsigned number)
{
    const uint64_t seconds = stop_seconds(m);
    int64_t now = clock_ns();

    if (m->stopping) {
        log_warning("a second signal: the guest is stopped hard");
        finish(m, EXIT_CODE_STOPPED);
        return;
    }
    m->stopping = true;
    atomic_store(&m->phase, PHASE_STOPPING);
    log_info("signal %u: the power button is pressed; the guest has %" PRIu64 " s", number, seconds);
    power_down(m);
    loop_timer_set(m->main_loop, &m->second_press, now + SECOND_PRESS_NS);
    loop_timer_set(m->main_loop, &m->stop_deadline, now + (int64_t)seconds * SECOND_NS + 1);
}

/* SIGHUP: the terminal is gone, and with it who sat there; without one, files that are written are opened anew. */
static void on_signal(void *opaque, short events)
{
    struct machine *m = opaque;
    struct signalfd_siginfo info;
    struct error error;

    (void)events;
    if (read(m->signals.fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo != SIGHUP || m->console.terminal)
        stop(m, info.ssi_signo);
    else if (console_reopen(&m->console, m->config->serial, &error) < 0)
        log_error("%s", error.text);
}

int lifecycle_operate(struct machine *m, enum machine_power power)
{
    switch (power) {
    case MACHINE_POWER_BUTTON:
        power_down(m);
        break;
    case MACHINE_RESET:
        log_info("reset by the operator");
        reset(m);
        break;
    default:
        log_info("stopped by the operator");
        finish(m, EXIT_CODE_POWERED_OFF);
    }
    return 0;
}

int lifecycle_open_signals(struct error *error)
{
    sigset_t signals;
    int fd;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? error_set(error, errno, "signals: %s", strerror(errno)) : fd;
}

static int take_signals(struct machine *m, struct error *error)
{
    m->signals.fd = lifecycle_open_signals(error);
    if (m->signals.fd < 0)
        return m->signals.fd;
    m->signals.events = POLLIN;
    m->signals.ready = on_signal;
    m->signals.opaque = m;
    loop_watch(m->main_loop, &m->signals);
    return 0;
}

int lifecycle_create(struct machine *m, struct error *error)
{
    m->main_loop = loop_create("main");
    if (!m->main_loop)
        return error_set(error, ENOMEM, "the main loop: out of memory or file descriptors");
    m->event_task = (struct loop_task){.run = on_events, .opaque = m};
    m->second_press = (struct loop_timer){.expired = press_again, .opaque = m};
    m->stop_deadline = (struct loop_timer){.expired = stop_hard, .opaque = m};
    return take_signals(m, error);
}

void lifecycle_destroy(struct machine *m)
{
    if (m->signals.fd > 0)
        close(m->signals.fd);
}

static int begin_follower(struct machine *m, struct error *error)
{
    const struct machine_follower *follower = m->follower;

    m->followed = follower != NULL;
    return follower && follower->begin ? follower->begin(follower->opaque, m, error) : 0;
}

void lifecycle_unfollow(struct machine *m)
{
    if (m->followed && m->follower->end)
        m->follower->end(m->follower->opaque);
    m->followed = false;
}

int lifecycle_run(struct machine *m)
{
    struct error error;

    if (begin_follower(m, &error) < 0 || machine_load_kernel(m, &error) < 0 || vcpus_start(m->vcpus, &error) < 0) {
        log_error("%s", error.text);
        return EXIT_CODE_FAILED;
    }
    vcpus_resume(m->vcpus);
    atomic_store(&m->phase, PHASE_RUNNING);
    loop_run(m->main_loop);
    vcpus_pause(m->vcpus);
    return m->exit_code;
}

/* Blocked before any thread starts, so that only the signalfd sees them. */
void lifecycle_block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

int machine_main(const struct config *config, const struct machine_follower *follower)
{
    struct machine *m = calloc(1, sizeof *m);
    struct error error = {""};
    int exit_code;

    if (!m) {
        log_error("the machine: out of memory");
        return EXIT_CODE_FAILED;
    }
    m->config = config;
    m->follower = follower;
    m->exit_code = EXIT_CODE_FAILED;
    m->created_ns = clock_ns();
    pthread_mutex_init(&m->fault_lock, NULL);
    pthread_mutex_init(&m->statistics.lock, NULL);
    lifecycle_block_signals();
    if (network_open(config, &m->net, m->share_listeners, &error) < 0 || rights_drop(RIGHTS_KEPT, &error) < 0) {
        log_error("%s", error.text);
        exit_code = EXIT_CODE_CONFIGURATION;
    } else if (machine_create(m, &error) < 0) {
        log_error("%s", error.text);
        exit_code = m->vm ? EXIT_CODE_CONFIGURATION : EXIT_CODE_NO_KVM;
    } else {
        exit_code = lifecycle_run(m);
        if (config->screenshot && display_write_png(m->display, config->screenshot, &error) < 0)
            log_error("%s", error.text);
    }
    machine_destroy(m);
    free(m);
    return exit_code;
}
