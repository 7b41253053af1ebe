/* The AHCI adapter: its PCI function, its life, the drives in its ports. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ahci_private.h"
#include "casement/bytes.h"

#define CHIP_SET_SLOT 31
#define PORT_MAP 0x90U     /* of the chip set's function: AHCI mode */
#define PORT_CONTROL 0x92U /* of the same: which ports are enabled, which have a device */

void ahci_update_pin(struct ahci *ahci)
{
    struct ahci_state *state = &ahci->state;
    bool level;

    for (unsigned n = 0; n < AHCI_PORTS; n++)
        if (state->ports[n].interrupt_status & state->ports[n].interrupt_enable)
            state->interrupt_status |= 1U << n;
    level = state->interrupt_status && (state->control & CONTROL_INTERRUPTS);
    if (level != ahci->pin)
        pci_intx_set(&ahci->function, level);
    ahci->pin = level;
}

static void drain(void *opaque)
{
    struct port *port = opaque;

    if (port->disk.queue)
        block_queue_drain(port->disk.queue);
    if (port->cdrom)
        scsi_drain(port->cdrom);
}

/* A command that the loop is about to start is counted already, and drained with the rest on the loop. */
static void reset(struct device *device)
{
    struct ahci *ahci = container_of(device, struct ahci, device);

    pthread_mutex_lock(&ahci->lock);
    ahci->state.control = CONTROL_AHCI;
    ahci->state.interrupt_status = 0;
    for (unsigned n = 0; n < AHCI_PORTS; n++)
        port_reset(&ahci->ports[n], false);
    ahci_update_pin(ahci);
    pthread_mutex_unlock(&ahci->lock);
    for (unsigned n = 0; n < AHCI_PORTS; n++)
        if (ahci->ports[n].loop)
            loop_call(ahci->ports[n].loop, drain, &ahci->ports[n]);
}

static void port_destroy(struct port *port)
{
    /* The thread first: a task that it still has would use what is freed next. */
    if (port->loop)
        loop_stop(port->loop);
    block_queue_destroy(port->disk.queue);
    scsi_destroy(port->cdrom);
    loop_destroy(port->loop);
    free(port->commands);
    port->disk.queue = NULL;
    port->cdrom = NULL;
    port->loop = NULL;
    port->commands = NULL;
}

static void destroy(struct device *device)
{
    struct ahci *ahci = container_of(device, struct ahci, device);

    for (unsigned n = 0; n < AHCI_PORTS; n++)
        port_destroy(&ahci->ports[n]);
    pci_function_remove(&ahci->function);
    pthread_mutex_destroy(&ahci->lock);
    free(ahci);
}

/*
 * The identity of the chip set whose bridges stand beside it (ICH9): every guest's driver binds by class, and what
 * drivers know about this id, Linux' look at the port control register, finds all ports enabled.
 */
static int add_function(struct board *board, struct ahci *ahci, int slot)
{
    const struct pci_identity identity = {0x8086, 0x2922, 0x1AF4, 0x1100, 2, 0x010601};
    const struct pci_bar registers = {
        .type = PCI_BAR_MEMORY32, .size = REGISTERS_SIZE, .region = {.ops = &ahci_registers_ops, .device = ahci}};
    int failed = pci_function_init(&ahci->function, "ahci", &identity);

    if (failed == 0)
        failed = pci_bar_add(&ahci->function, 5, &registers);
    if (failed < 0)
        return failed;
    pci_intx_add(&ahci->function, 1);
    pci_config_set(&ahci->function, PORT_MAP, 1, 0x40);
    pci_config_set(&ahci->function, PORT_CONTROL, 2, (1U << AHCI_PORTS) - 1);
    return pci_function_add(board->pci, &ahci->function, slot, slot == CHIP_SET_SLOT ? 2 : 0);
}

int ahci_create(struct board *board, int slot, struct ahci **result, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct ahci *ahci = calloc(1, sizeof *ahci);
    int failed;

    if (!ahci)
        return error_set(error, ENOMEM, "ahci: out of memory");
    ahci->device = (struct device){.name = "ahci", .ops = &ops};
    ahci->board = board;
    pthread_mutex_init(&ahci->lock, NULL);
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        ahci->ports[n].ahci = ahci;
        ahci->ports[n].number = n;
        ahci->ports[n].state = &ahci->state.ports[n];
    }
    failed = add_function(board, ahci, slot);
    if (failed < 0) {
        destroy(&ahci->device);
        return error_set(error, -failed, "ahci: no room on the PCI bus or no memory (error %d)", -failed);
    }
    reset(&ahci->device);
    board_add(board, &ahci->device);
    *result = ahci;
    return 0;
}

static struct port *free_port(struct ahci *ahci)
{
    for (unsigned n = 0; n < AHCI_PORTS; n++)
        if (ahci->ports[n].kind == PORT_EMPTY)
            return &ahci->ports[n];
    return NULL;
}

/* A thread and room for commands. The drive is put in behind it, and then the thread runs. */
static int port_create(struct ahci *ahci, struct port **result, struct error *error)
{
    struct port *port = free_port(ahci);
    char name[16];

    if (!port)
        return error_set(error, ENOSPC, "ahci: all %u ports are taken; add another adapter or use another bus",
                         AHCI_PORTS);
    snprintf(name, sizeof name, "ahci%u", port->number);
    port->loop = loop_create(name);
    port->commands = calloc(SLOTS, sizeof *port->commands);
    port->work = (struct loop_task){.run = port_work, .opaque = port};
    if (!port->loop || !port->commands) {
        port_destroy(port);
        return error_set(error, ENOMEM, "ahci: out of memory");
    }
    *result = port;
    return 0;
}

static int plug(struct port *port, enum port_kind kind, struct error *error)
{
    int failed = loop_start(port->loop);

    if (failed < 0) {
        port_destroy(port);
        return error_set(error, -failed, "ahci: no thread: %s", strerror(-failed));
    }
    pthread_mutex_lock(&port->ahci->lock);
    port->kind = kind;
    port_reset(port, false);
    pthread_mutex_unlock(&port->ahci->lock);
    return 0;
}

int ahci_add_disk(struct ahci *ahci, struct block *block, const char *serial, struct error *error)
{
    struct port *port = NULL;
    int failed = port_create(ahci, &port, error);

    if (!port)
        return failed;
    port->disk.block = block;
    snprintf(port->disk.serial, sizeof port->disk.serial, "%s", serial);
    port->disk.queue = block_queue_create(block, port->loop, SLOTS, error);
    if (!port->disk.queue) {
        port_destroy(port);
        return -ENOMEM;
    }
    block_queue_on_batch(port->disk.queue, port_batch_done, port);
    return plug(port, PORT_DISK, error);
}

int ahci_add_cdrom(struct ahci *ahci, struct block *medium, struct error *error)
{
    static const struct scsi_options options = {.kind = SCSI_CDROM,
                                                .removable = true,
                                                .physical_interface = 2,
                                                .vendor = "Casement",
                                                .product = "DVD-ROM",
                                                .serial = ""};
    struct port *port = NULL;
    int failed = port_create(ahci, &port, error);

    if (!port)
        return failed;
    port->cdrom = scsi_create(&options, port->loop);
    failed =
        port->cdrom ? scsi_set_medium(port->cdrom, medium, error) : error_set(error, ENOMEM, "ahci: out of memory");
    if (failed < 0) {
        port_destroy(port);
        return failed;
    }
    return plug(port, PORT_CDROM, error);
}

struct change {
    struct port *port;
    struct block *medium;
    bool force;
    int result;
};

static void change_medium(void *opaque)
{
    struct change *change = opaque;
    struct scsi_unit *cdrom = change->port->cdrom;

    if (scsi_locked(cdrom) && !change->force) {
        scsi_request_eject(cdrom);
        change->result = -EBUSY;
    } else {
        change->result = scsi_set_medium(cdrom, change->medium, NULL);
    }
}

static int change_in(struct ahci *ahci, unsigned port, struct block *medium, bool force)
{
    struct change change = {.medium = medium, .force = force};

    if (port >= AHCI_PORTS || ahci->ports[port].kind != PORT_CDROM)
        return -ENODEV;
    change.port = &ahci->ports[port];
    loop_call(change.port->loop, change_medium, &change);
    return change.result;
}

int ahci_change_medium(struct ahci *ahci, unsigned port, struct block *medium)
{
    return change_in(ahci, port, medium, false);
}

int ahci_force_medium(struct ahci *ahci, unsigned port, struct block *medium)
{
    return change_in(ahci, port, medium, true);
}
