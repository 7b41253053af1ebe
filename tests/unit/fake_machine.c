/* See fake_machine.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_machine.h"

static int note(struct fake_machine *machine, const char *what, const char *argument)
{
    pthread_mutex_lock(&machine->lock);
    snprintf(machine->last, sizeof machine->last, "%s(%s)", what, argument);
    machine->calls++;
    pthread_mutex_unlock(&machine->lock);
    return 0;
}

static void op_status(void *opaque, struct machine_status *status)
{
    struct fake_machine *machine = opaque;

    pthread_mutex_lock(&machine->lock);
    *status = machine->status;
    pthread_mutex_unlock(&machine->lock);
}

static void op_counters(void *opaque, struct machine_counters *counters)
{
    (void)opaque;
    *counters = (struct machine_counters){.totals = {.cpu_ns = INT64_C(1234567890), .disks = {.read_bytes = 4096}},
                                          .viewer_frames = 7};
}

static int op_screenshot(void *opaque, uint8_t **png, size_t *size, struct error *error)
{
    struct fake_machine *machine = opaque;

    if (!machine->picture_size)
        return error_set(error, ENODEV, "screenshot: no display");
    *png = calloc(1, machine->picture_size);
    *size = machine->picture_size;
    return *png ? 0 : -ENOMEM;
}

static int op_text(void *opaque, const char *text, const char *layout, struct error *error)
{
    struct fake_machine *machine = opaque;

    if (strstr(text, "☃"))
        return error_set(error, EINVAL, "no key for ☃");
    note(machine, "text", text);
    pthread_mutex_lock(&machine->lock);
    if (layout)
        strncat(machine->last, layout, 32);
    pthread_mutex_unlock(&machine->lock);
    return 0;
}

static int op_keys(void *opaque, const char *names, struct error *error)
{
    (void)error;
    return note(opaque, "keys", names);
}

static int op_pointer(void *opaque, const struct input_pointer *pointer, struct error *error)
{
    char text[64];

    (void)error;
    snprintf(text, sizeof text, "%u,%u,%u,%d,%d", pointer->x, pointer->y, pointer->buttons, pointer->wheel,
             pointer->pan);
    return note(opaque, "pointer", text);
}

static const char *op_layout(void *opaque, unsigned index)
{
    static const char *const layouts[] = {"us", "de", NULL};

    (void)opaque;
    return index < 2 ? layouts[index] : NULL;
}

static bool op_forward(void *opaque, unsigned index, struct net_forward *forward)
{
    (void)opaque;
    *forward = (struct net_forward){.udp = true, .host_port = 2222, .guest_port = 22};
    return index == 0;
}

static bool op_usb(void *opaque, unsigned index, struct machine_usb *usb)
{
    struct fake_machine *machine = opaque;

    *usb = (struct machine_usb){"keyboard", machine->keyboard_plugged, false};
    return index == 0;
}

static bool op_disk(void *opaque, unsigned index, struct machine_disk *disk)
{
    (void)opaque;
    *disk = (struct machine_disk){.id = "disk0",
                                  .file = "disk.img",
                                  .bus = "nvme",
                                  .engine = "threads",
                                  .full = true,
                                  .size = 1 << 20,
                                  .limits = {.operations = 500},
                                  .totals = {.read_bytes = 4096, .delayed = 3}};
    return index == 0;
}

static int op_plug(void *opaque, const char *name, bool plugged, struct error *error)
{
    struct fake_machine *machine = opaque;

    if (strcmp(name, "keyboard") != 0)
        return error_set(error, ENOENT, "%s: no such device", name);
    machine->keyboard_plugged = plugged;
    return note(machine, plugged ? "plug" : "unplug", name);
}

static int op_grow(void *opaque, const char *disk, uint64_t size, struct error *error)
{
    char text[64];

    if (strcmp(disk, "disk0") != 0)
        return error_set(error, ENOENT, "%s: no such disk", disk);
    if (size < UINT64_C(1) << 30)
        return error_set(error, EINVAL, "%s: a disk never shrinks", disk);
    snprintf(text, sizeof text, "%s,%llu", disk, (unsigned long long)size);
    return note(opaque, "grow", text);
}

static int op_power(void *opaque, enum machine_power power, struct error *error)
{
    static const char *const names[] = {
        [MACHINE_POWER_BUTTON] = "button", [MACHINE_RESET] = "reset", [MACHINE_OFF] = "off"};

    (void)error;
    return note(opaque, "power", names[power]);
}

static int op_viewer(void *opaque, int fd)
{
    struct fake_machine *machine = opaque;
    int result = -EBUSY;

    pthread_mutex_lock(&machine->lock);
    if (machine->viewer_count < machine->viewers_max) {
        machine->viewers[machine->viewer_count++] = fd;
        result = 0;
    } else {
        close(fd);
    }
    pthread_mutex_unlock(&machine->lock);
    return result;
}

const struct machine_ops fake_machine_ops = {
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

void fake_machine_create(struct fake_machine *machine)
{
    memset(machine, 0, sizeof *machine);
    pthread_mutex_init(&machine->lock, NULL);
    machine->status = (struct machine_status){.name = "fake",
                                              .layout = "us",
                                              .phase = PHASE_RUNNING,
                                              .uptime_ns = INT64_C(5000000000),
                                              .cpus = 2,
                                              .memory = 2048 * UINT64_C(1048576),
                                              .width = 1280,
                                              .height = 800};
    machine->picture_size = 1000;
    machine->viewers_max = FAKE_VIEWERS;
    machine->keyboard_plugged = true;
}

void fake_machine_destroy(struct fake_machine *machine)
{
    for (unsigned n = 0; n < machine->viewer_count; n++)
        close(machine->viewers[n]);
    pthread_mutex_destroy(&machine->lock);
}

const char *fake_machine_last(struct fake_machine *machine)
{
    static char copy[sizeof machine->last];

    pthread_mutex_lock(&machine->lock);
    memcpy(copy, machine->last, sizeof copy);
    pthread_mutex_unlock(&machine->lock);
    return copy;
}

unsigned fake_machine_calls(struct fake_machine *machine)
{
    unsigned calls;

    pthread_mutex_lock(&machine->lock);
    calls = machine->calls;
    pthread_mutex_unlock(&machine->lock);
    return calls;
}
