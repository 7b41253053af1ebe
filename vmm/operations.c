/* The machine's side of its API (see operations.h): each operation in terms of the parts list. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/usb.h"
#include "machine.h"

const char *const machine_phase_names[] = {[PHASE_STARTING] = "starting",
                                           [PHASE_RUNNING] = "running",
                                           [PHASE_PAUSED] = "paused",
                                           [PHASE_STOPPING] = "stopping"};

static struct rfb_statistics viewers_of(const struct machine *m)
{
    struct rfb_statistics statistics = {0};

    if (m->rfb)
        rfb_statistics(m->rfb, &statistics);
    return statistics;
}

static void op_status(void *opaque, struct machine_status *status)
{
    struct machine *m = opaque;
    struct display_mode mode = {0};
    struct totals totals;
    int64_t now = clock_ns();

    if (m->display)
        display_mode(m->display, &mode);
    *status = (struct machine_status){.name = m->config->name,
                                      .layout = input_layout(m->input),
                                      .phase = (enum machine_phase)atomic_load(&m->phase),
                                      .uptime_ns = now - m->created_ns,
                                      .cpus = (unsigned)m->config->cpus,
                                      .viewers = viewers_of(m).viewers,
                                      .memory = m->config->memory,
                                      .resets = atomic_load(&m->resets),
                                      .width = mode.width,
                                      .height = mode.height};
    disks_full(m, status->waits_for, sizeof status->waits_for);
    statistics_totals(m->disks, m->disk_count, &m->net_counters, &totals);
    statistics_usage(&m->statistics, &totals, now, &status->usage);
    if (m->follower && m->follower->progress)
        m->follower->progress(m->follower->opaque, &status->progress);
}

static void op_counters(void *opaque, struct machine_counters *counters)
{
    struct machine *m = opaque;
    const struct rfb_statistics viewers = viewers_of(m);

    *counters = (struct machine_counters){.viewer_frames = viewers.frames, .viewer_bytes = viewers.bytes};
    statistics_totals(m->disks, m->disk_count, &m->net_counters, &counters->totals);
}

static int op_screenshot(void *opaque, uint8_t **png, size_t *size, struct error *error)
{
    struct machine *m = opaque;
    int failed;

    if (!m->display)
        return error_set(error, ENODEV, "screenshot: this machine has no display; run it without --display none");
    failed = display_png(m->display, png, size);
    return failed < 0 ? error_set(error, -failed, "screenshot: %s", strerror(-failed)) : 0;
}

static int op_text(void *opaque, const char *text, const char *layout, struct error *error)
{
    struct machine *m = opaque;

    return input_type(m->input, text, layout, error);
}

static int op_keys(void *opaque, const char *names, struct error *error)
{
    struct machine *m = opaque;

    return input_chord(m->input, names, error);
}

static int op_pointer(void *opaque, const struct input_pointer *pointer, struct error *error)
{
    struct machine *m = opaque;
    int failed = input_pointer(m->input, pointer);

    return failed < 0 ? error_set(error, -failed, "pointer: %s; wait until the guest has taken what waits",
                                  failed == -ENOSPC ? "the queue is full" : strerror(-failed))
                      : 0;
}

static const char *op_layout(void *opaque, unsigned index)
{
    (void)opaque;
    return input_layout_name(index);
}

static bool op_forward(void *opaque, unsigned index, struct net_forward *forward)
{
    struct machine *m = opaque;

    if (index >= m->config->forward_count)
        return false;
    *forward = m->config->forwards[index];
    return true;
}

static bool op_usb(void *opaque, unsigned index, struct machine_usb *usb)
{
    struct machine *m = opaque;
    struct usb_listing devices[16];
    unsigned count = xhci_list(m->xhci, devices, ARRAY_SIZE(devices));

    if (index >= MIN(count, ARRAY_SIZE(devices)))
        return false;
    *usb = (struct machine_usb){
        .name = devices[index].name, .plugged = devices[index].plugged, .driven = devices[index].driven};
    return true;
}

static bool op_disk(void *opaque, unsigned index, struct machine_disk *disk)
{
    return disks_describe(opaque, index, disk);
}

static int op_plug(void *opaque, const char *name, bool plugged, struct error *error)
{
    struct machine *m = opaque;

    return plugged ? xhci_plug(m->xhci, name, error) : xhci_unplug(m->xhci, name, error);
}

static int op_grow(void *opaque, const char *disk, uint64_t size, struct error *error)
{
    return disks_grow(opaque, disk, size, error);
}

static int op_power(void *opaque, enum machine_power power, struct error *error)
{
    (void)error;
    return lifecycle_operate(opaque, power);
}

static int op_viewer(void *opaque, int fd)
{
    struct machine *m = opaque;

    if (m->rfb)
        return rfb_attach(m->rfb, fd);
    close(fd);
    return -ENODEV;
}

const struct machine_ops machine_operations = {
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
