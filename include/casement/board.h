/*
 * What every device is plugged into, and the life that every device shares.
 */
#ifndef CASEMENT_BOARD_H
#define CASEMENT_BOARD_H

#include "casement/bus.h"
#include "casement/irq.h"
#include "casement/loop.h"
#include "casement/memory.h"

struct pci_bus;
struct device;

/* What the guest asks the machine to do. */
enum power_request { POWER_RESET, POWER_OFF };

struct board {
    struct vm *vm;
    struct memory *memory;
    struct bus *bus;
    struct irq *irq;
    struct pci_bus *pci;
    struct loop *loop;      /* the machine's main loop, for devices without one of their own */
    struct device *devices; /* newest first */
    /*
     * Called by the device that implements a reset or power register, on a vCPU's thread, possibly with the device's
     * lock held: it only notes the request. The vCPU does not return to the guest; the machine acts on its main thread.
     */
    void (*power)(void *machine, enum power_request request, const char *source);
    void *machine;
};

struct device_ops {
    /* Back to the state of power-on, as a system reset asks. All vCPUs stand still. Returns with nothing in flight. */
    void (*reset)(struct device *device);
    /* Frees everything, after the vCPUs have ended for good. May be NULL. */
    void (*destroy)(struct device *device);
};

/* Embedded in each device; container_of() leads back. */
struct device {
    const char *name;
    const struct device_ops *ops;
    struct device *next;
};

/* Puts a device on the board's list: reset runs in the order of adding, destruction in the reverse order. */
void board_add(struct board *board, struct device *device);
/* Takes it off again, for a device that is freed by another. No effect on one that is not there. */
void board_remove(struct board *board, struct device *device);
void board_reset(struct board *board);
void board_destroy_devices(struct board *board);

#endif
