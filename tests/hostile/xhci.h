/* An xHCI driver by hand (eXtensible Host Controller Interface 1.2), with all that it owns in one area. */
#ifndef HOSTILE_XHCI_H
#define HOSTILE_XHCI_H

#include "driver.h"

/* Registers. */
enum { X_COMMAND = 0x40, X_STATUS = 0x44, X_RING = 0x58, X_ARRAY = 0x70, X_CONFIG = 0x78, X_PORT1 = 0x440 };
enum { X_SEGMENTS = 0x1028, X_TABLE = 0x1030, X_DEQUEUE = 0x1038, X_DOORBELLS = 0x2000, X_BAR_BYTES = 0x4000 };
#define X_HALTED 1U
#define X_SYSTEM_ERROR 4U
#define X_CONTROLLER_ERROR 0x1000U

/* Places in the area. */
#define ARRAY_AT 0x0000U
#define COMMANDS_AT 0x1000U
#define TABLE_AT 0x2000U
#define EVENTS_AT 0x3000U
#define INPUT_AT 0x4000U
#define CONTEXT_AT 0x5000U /* of every slot: one is used at a time */
#define RING_AT 0x6000U    /* of the control endpoint */
#define BUFFER_AT 0x100000U
#define COMMAND_TRBS 256U
#define EVENT_TRBS 256U

enum { X_NORMAL = 1, X_SETUP, X_DATA, X_STATUS_STAGE, X_LINK = 6, X_NO_OP = 8, X_ENABLE_SLOT, X_DISABLE_SLOT };
enum { X_ADDRESS_DEVICE = 11, X_CONFIGURE, X_EVALUATE, X_NO_OP_COMMAND = 23, X_TRANSFER_EVENT = 32, X_COMMAND_EVENT };
#define X_TYPE(type) ((uint32_t)(type) << 10)
#define X_CYCLE 1U
#define X_TOGGLE 2U
#define X_INTERRUPT 0x20U
#define X_IMMEDIATE 0x40U
#define X_READ 0x10000U

struct xhci_trb {
    uint64_t parameter;
    uint32_t status, control;
};

struct xhci {
    struct device device;
    struct area area;
    unsigned command, event, transfer; /* next places in the rings */
    uint32_t command_cycle, event_cycle;
};
extern struct xhci xhci;

void xhci_open(void);
uint64_t xhci_get(unsigned offset, unsigned size);
void xhci_put(unsigned offset, unsigned size, uint64_t value);
/* The physical address of a place, and a word there. */
uint64_t xhci_at(unsigned place);
void xhci_poke(unsigned place, unsigned size, uint64_t value);
void xhci_trb(unsigned place, uint64_t parameter, uint32_t status, uint32_t control);

void xhci_reset(void);
/* Reset, rings, contexts, run. */
void xhci_start(void);
/* The next event within that time; false: none came. */
bool xhci_event(struct xhci_trb *event, double seconds);
/* Runs a command: its completion code, or 0 when none came in time. The slot of the event goes to *slot (may be NULL).
 */
unsigned xhci_command(uint64_t parameter, uint32_t control, unsigned *slot);
/* An input context for Address Device of a port. */
void xhci_input(unsigned port);
/* From a reset of port 1 to an addressed keyboard: its slot, or 0. */
unsigned xhci_address(void);
/* Reads the device descriptor into the buffer: the completion code, or 0. */
unsigned xhci_describe(unsigned slot);
/* NULL, or why the controller does not serve after a new start. */
const char *xhci_serves(void);

#endif
