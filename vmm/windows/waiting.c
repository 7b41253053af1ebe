/* The time before there is a machine (see waiting.h). */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../machine.h"
#include "../service.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "progress.h"
#include "waiting.h"

struct waiting {
    const struct config *config;
    struct loop *loop;
    struct service service;
    struct loop_watch signals;
    struct loop_task ended;
    int64_t created_ns;
    _Atomic bool stop;
    pthread_mutex_t lock; /* over what follows */
    struct machine_progress progress;
    struct progress_lines lines; /* the worker's alone */
    /* The worker: */
    int (*work)(void *opaque, struct waiting *waiting, struct error *error);
    void *opaque;
    struct error *error;
    int result;
};

static void op_status(void *opaque, struct machine_status *status)
{
    struct waiting *waiting = opaque;

    *status = (struct machine_status){.name = waiting->config->name,
                                      .layout = waiting->config->keyboard,
                                      .phase = waiting->stop ? PHASE_STOPPING : PHASE_STARTING,
                                      .uptime_ns = clock_ns() - waiting->created_ns,
                                      .cpus = (unsigned)waiting->config->cpus,
                                      .memory = waiting->config->memory};
    pthread_mutex_lock(&waiting->lock);
    status->progress = waiting->progress;
    pthread_mutex_unlock(&waiting->lock);
}

static void op_counters(void *opaque, struct machine_counters *counters)
{
    (void)opaque;
    *counters = (struct machine_counters){0};
}

static int not_yet(struct error *error)
{
    return error_set(error, ENODEV, "the machine is not started yet; wait until its medium is there");
}

static int op_screenshot(void *opaque, uint8_t **png, size_t *size, struct error *error)
{
    (void)opaque, (void)png, (void)size;
    return not_yet(error);
}

static int op_text(void *opaque, const char *text, const char *layout, struct error *error)
{
    (void)opaque, (void)text, (void)layout;
    return not_yet(error);
}

static int op_keys(void *opaque, const char *names, struct error *error)
{
    (void)opaque, (void)names;
    return not_yet(error);
}

static int op_pointer(void *opaque, const struct input_pointer *pointer, struct error *error)
{
    (void)opaque, (void)pointer;
    return not_yet(error);
}

static const char *op_layout(void *opaque, unsigned index)
{
    (void)opaque;
    return input_layout_name(index);
}

static bool op_forward(void *opaque, unsigned index, struct net_forward *forward)
{
    (void)opaque, (void)index, (void)forward;
    return false;
}

static bool op_usb(void *opaque, unsigned index, struct machine_usb *usb)
{
    (void)opaque, (void)index, (void)usb;
    return false;
}

static bool op_disk(void *opaque, unsigned index, struct machine_disk *disk)
{
    (void)opaque, (void)index, (void)disk;
    return false;
}

static int op_plug(void *opaque, const char *name, bool plugged, struct error *error)
{
    (void)opaque, (void)name, (void)plugged;
    return not_yet(error);
}

static int op_grow(void *opaque, const char *disk, uint64_t size, struct error *error)
{
    (void)opaque, (void)disk, (void)size;
    return not_yet(error);
}

/* There is nothing to reset; both other ways end the program. */
static int op_power(void *opaque, enum machine_power power, struct error *error)
{
    struct waiting *waiting = opaque;

    if (power == MACHINE_RESET)
        return not_yet(error);
    log_info("stopped by the operator; what is there is kept");
    waiting->stop = true;
    return 0;
}

static int op_viewer(void *opaque, int fd)
{
    (void)opaque;
    close(fd);
    return -ENODEV;
}

static const struct machine_ops operations = {
    .status = op_status,
    .counters = op_counters,
    .screenshot = op_screenshot,
    .text = op_text,
    .keys = op_keys,
    .pointer = op_pointer,
    .layout = op_layout,
    .forward = op_forward,
    .usb = op_usb,
    .disk = op_disk,
    .plug = op_plug,
    .grow = op_grow,
    .power = op_power,
    .viewer = op_viewer,
};

static void on_signal(void *opaque, short events)
{
    struct waiting *waiting = opaque;
    struct signalfd_siginfo info;

    (void)events;
    if (read(waiting->signals.fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP && !isatty(STDIN_FILENO))
        return; /* nothing is written that could be opened anew */
    log_info("signal %u: stopping; what is there is kept", info.ssi_signo);
    waiting->stop = true;
}

static void on_end(void *opaque)
{
    struct waiting *waiting = opaque;

    loop_quit(waiting->loop);
}

static void *work_thread(void *opaque)
{
    struct waiting *waiting = opaque;

    waiting->result = waiting->work(waiting->opaque, waiting, waiting->error);
    progress_end(&waiting->lines);
    loop_post(waiting->loop, &waiting->ended);
    return NULL;
}

void waiting_say(struct waiting *waiting, const char *title)
{
    struct machine_progress progress = {.active = true, .per_second = -1, .seconds_left = -1};

    snprintf(progress.title, sizeof progress.title, "%s", title);
    progress_end(&waiting->lines);
    log_info("%s", title);
    pthread_mutex_lock(&waiting->lock);
    waiting->progress = progress;
    pthread_mutex_unlock(&waiting->lock);
}

bool waiting_progress(void *opaque, const struct fetch_progress *fetched)
{
    struct waiting *waiting = opaque;
    struct machine_progress progress = {.active = true,
                                        .unit = "bytes",
                                        .done = fetched->done,
                                        .total = fetched->size,
                                        .per_second = (int64_t)fetched->rate,
                                        .seconds_left = fetched->seconds_left};

    snprintf(progress.title, sizeof progress.title, "%s", fetched->title);
    progress_show(&waiting->lines, fetched);
    pthread_mutex_lock(&waiting->lock);
    waiting->progress = progress;
    pthread_mutex_unlock(&waiting->lock);
    return waiting->stop;
}

static int serve(struct waiting *waiting, struct error *error)
{
    const struct service_options options = {waiting->config, waiting->loop, &operations, waiting};
    pthread_t thread;
    int failed = service_create(&waiting->service, &options, error);

    if (failed == 0) {
        failed = pthread_create(&thread, NULL, work_thread, waiting);
        if (failed)
            failed = error_set(error, failed, "a thread for the preparations: %s", strerror(failed));
    }
    if (failed == 0) {
        loop_run(waiting->loop);
        pthread_join(thread, NULL);
        failed = waiting->result;
    }
    service_destroy(&waiting->service);
    return failed;
}

int waiting_run(const struct config *config, int (*work)(void *opaque, struct waiting *waiting, struct error *error),
                void *opaque, struct error *error)
{
    struct waiting waiting = {.config = config,
                              .created_ns = clock_ns(),
                              .work = work,
                              .opaque = opaque,
                              .error = error,
                              .ended = {.run = on_end, .opaque = &waiting},
                              .signals = {.events = POLLIN, .ready = on_signal, .opaque = &waiting}};
    int failed;

    lifecycle_block_signals();
    waiting.loop = loop_create("main");
    if (!waiting.loop)
        return error_set(error, ENOMEM, "the main loop: out of memory or file descriptors");
    failed = waiting.signals.fd = lifecycle_open_signals(error);
    if (failed >= 0) {
        pthread_mutex_init(&waiting.lock, NULL);
        loop_watch(waiting.loop, &waiting.signals);
        failed = serve(&waiting, error);
        close(waiting.signals.fd);
        pthread_mutex_destroy(&waiting.lock);
    }
    loop_destroy(waiting.loop);
    return failed;
}
