/* Reset control register 0xCF9 and system control port A, 0x92 (ICH9 datasheet 13.7; platform contract 1.4 and 10). */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/chipset.h"

#define RESET_CPU 0x04
#define SYSTEM_RESET 0x02
#define FULL_RESET 0x08
#define FAST_RESET 0x01
#define A20_GATE 0x02

struct reset_control {
    struct device device;
    struct board *board;
    struct bus_region control, port_a;
    _Atomic uint8_t control_value, port_a_value;
};

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    struct reset_control *reset = opaque;

    (void)offset, (void)size;
    return atomic_load(&reset->control_value);
}

static void control_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct reset_control *reset = opaque;

    (void)offset, (void)size;
    atomic_store(&reset->control_value, value & (SYSTEM_RESET | FULL_RESET));
    if (value & RESET_CPU)
        reset->board->power(reset->board->machine, POWER_RESET, "reset register 0xCF9");
}

static uint64_t port_a_read(void *opaque, uint64_t offset, unsigned size)
{
    struct reset_control *reset = opaque;

    (void)offset, (void)size;
    return atomic_load(&reset->port_a_value);
}

/* The gate only remembers: A20 is never masked. */
static void port_a_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct reset_control *reset = opaque;
    uint8_t before = atomic_exchange(&reset->port_a_value, (uint8_t)value);

    (void)offset, (void)size;
    if ((value & FAST_RESET) && !(before & FAST_RESET))
        reset->board->power(reset->board->machine, POWER_RESET, "port 0x92");
}

static const struct bus_ops control_ops = {control_read, control_write};
static const struct bus_ops port_a_ops = {port_a_read, port_a_write};

static void reset_device(struct device *device)
{
    struct reset_control *reset = container_of(device, struct reset_control, device);

    atomic_store(&reset->control_value, 0);
    atomic_store(&reset->port_a_value, A20_GATE);
}

static void destroy(struct device *device)
{
    struct reset_control *reset = container_of(device, struct reset_control, device);

    bus_remove(reset->board->bus, &reset->control);
    bus_remove(reset->board->bus, &reset->port_a);
    free(reset);
}

int reset_control_create(struct board *board, struct error *error)
{
    static const struct device_ops ops = {.reset = reset_device, .destroy = destroy};
    struct reset_control *reset = calloc(1, sizeof *reset);

    if (!reset)
        return error_set(error, ENOMEM, "reset control: out of memory");
    reset->device = (struct device){.name = "reset control", .ops = &ops};
    reset->board = board;
    /* Inside CF8-CFB, where 32-bit accesses are PCI's. */
    reset->control = (struct bus_region){.name = "reset control",
                                         .space = BUS_PORT,
                                         .base = 0xCF9,
                                         .size = 1,
                                         .ops = &control_ops,
                                         .device = reset,
                                         .priority = 1};
    reset->port_a = (struct bus_region){
        .name = "port 0x92", .space = BUS_PORT, .base = 0x92, .size = 1, .ops = &port_a_ops, .device = reset};
    reset_device(&reset->device);
    if (bus_add(board->bus, &reset->control) < 0 || bus_add(board->bus, &reset->port_a) < 0) {
        destroy(&reset->device);
        return error_set(error, ENOMEM, "reset control: out of memory");
    }
    board_add(board, &reset->device);
    return 0;
}
