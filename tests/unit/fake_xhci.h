/*
 * The guest's xHCI driver, for unit tests: rings in the fake board's RAM, commands, transfers, events as they come. The
 * board's loop runs on the test's own thread, inside driver_settle(), so nothing happens between two calls.
 */
#ifndef CASEMENT_TESTS_FAKE_XHCI_H
#define CASEMENT_TESTS_FAKE_XHCI_H

#include "casement/input.h"
#include "casement/usb.h"
#include "fake.h"

#define XHCI_SLOT 2
#define XHCI_DEVFN (XHCI_SLOT << 3)
#define XHCI_BAR UINT64_C(0xE000000000)
#define XHCI_BAR_SIZE 0x4000U

/* Registers, from the BAR. */
#define R_USBCMD 0x40
#define R_USBSTS 0x44
#define R_CRCR 0x58
#define R_DCBAAP 0x70
#define R_CONFIG 0x78
#define R_PORTSC(port) (0x440 + 16 * ((port)-1))
#define R_MFINDEX 0x1000
#define R_INTERRUPTER(n) (0x1020 + 32 * (n))
#define R_IMAN 0x00
#define R_IMOD 0x04
#define R_ERSTSZ 0x08
#define R_ERSTBA 0x10
#define R_ERDP 0x18
#define R_DOORBELL(slot) (0x2000 + 4 * (slot))
#define R_MSIX 0x3000
#define R_PENDING 0x3800

/* Guest RAM. */
#define M_CONTEXTS 0x10000U /* device context base address array */
#define M_COMMANDS 0x11000U
#define M_INPUT 0x14000U
#define M_SEGMENTS 0x15000U /* event ring segment tables, 256 bytes each */
#define M_EVENTS 0x20000U   /* event rings, 64 KiB each */
#define M_DEVICE(slot) (0x100000U + 0x1000U * (slot))
#define M_RING(slot, index) (0x200000U + 0x20000U * (slot) + 0x1000U * (index))
#define M_DATA 0x1000000U
#define RING_TRBS 256U /* the last is the link */

enum { T_NORMAL = 1, T_SETUP, T_DATA, T_STATUS, T_ISOCH, T_LINK, T_EVENT_DATA, T_NO_OP };
enum { T_ENABLE_SLOT = 9, T_DISABLE_SLOT, T_ADDRESS_DEVICE, T_CONFIGURE, T_EVALUATE, T_RESET_ENDPOINT };
enum { T_STOP_ENDPOINT = 15, T_SET_DEQUEUE, T_RESET_DEVICE, T_PORT_BANDWIDTH = 21, T_NO_OP_COMMAND = 23 };
enum { T_TRANSFER_EVENT = 32, T_COMMAND_EVENT, T_PORT_EVENT, T_HOST_EVENT = 37 };
#define C_CYCLE 1U
#define C_TOGGLE 2U
#define C_SHORT 4U
#define C_CHAIN 0x10U
#define C_INTERRUPT 0x20U
#define C_IMMEDIATE 0x40U
#define C_BLOCK 0x200U
#define C_IN 0x10000U
#define TYPE(type) ((uint32_t)(type) << 10)

struct guest_trb {
    uint64_t parameter;
    uint32_t status, control;
};
#define TRB_TYPE(trb) ((trb).control >> 10 & 0x3F)
#define TRB_CODE(trb) ((trb).status >> 24)
#define TRB_SLOT(trb) ((trb).control >> 24)

struct guest_ring {
    uint64_t base;
    unsigned index;
    uint32_t cycle;
};

struct driver {
    struct fake *fake;
    struct xhci *xhci;
    struct input *input;
    struct guest_ring commands, rings[34][32];
    struct {
        unsigned size, index; /* TRBs of its one segment */
        uint32_t cycle;
    } events[8];
    struct loop_timer end;
};

/* A board with the controller, its two devices, and input. Nothing is initialised. */
struct driver *driver_create(void);
void driver_destroy(struct driver *driver);
/* Resets the controller and starts it with event rings of so many TRBs on the first count interrupters. */
void driver_start(struct driver *driver, unsigned event_trbs, unsigned interrupters);

uint64_t driver_get(struct driver *driver, unsigned offset, unsigned size);
void driver_put(struct driver *driver, unsigned offset, unsigned size, uint64_t value);
void driver_write(struct driver *driver, uint64_t at, const void *from, size_t length);
uint64_t driver_peek(struct driver *driver, uint64_t at, unsigned size);
void driver_poke(struct driver *driver, uint64_t at, unsigned size, uint64_t value);

/* Runs the board's loop until nothing is posted, or for so many milliseconds. */
void driver_settle(struct driver *driver);
void driver_wait(struct driver *driver, unsigned milliseconds);
/* Until so many keys that were pressed or let go have come through, however slow this host is. */
#define PACE_MS 25 /* a little more than between two keys */
void driver_wait_keys(struct driver *driver, unsigned count);

/* The next event of a ring, acknowledged or left unread; false: none. */
bool driver_event(struct driver *driver, unsigned interrupter, struct guest_trb *event);
bool driver_peek_event(struct driver *driver, unsigned interrupter, struct guest_trb *event);
void driver_acknowledge(struct driver *driver, unsigned interrupter);
/* Whether the vector was sent since the last time. */
bool driver_interrupted(struct driver *driver, unsigned vector);

/* Puts a TRB (without its cycle bit) on the ring and returns where it is. */
uint64_t ring_add(struct driver *driver, struct guest_ring *ring, uint64_t parameter, uint32_t status,
                  uint32_t control);
void ring_init(struct driver *driver, struct guest_ring *ring, uint64_t base);
void driver_ring(struct driver *driver, unsigned slot, unsigned target);

/* Runs one command and returns its completion event, past events of other kinds. */
struct guest_trb driver_command(struct driver *driver, uint64_t parameter, uint32_t control);
/* Fills the input context for Address Device. */
void driver_input_address(struct driver *driver, unsigned slot, unsigned port);
/* Adds an endpoint of that type to the input context for Configure Endpoint. */
void driver_input_endpoint(struct driver *driver, unsigned slot, unsigned index, unsigned type, unsigned packet);
/* A control transfer with its data at M_DATA; the second waits, for the event of its last TRB. */
void driver_control_begin(struct driver *driver, unsigned slot, uint8_t type, uint8_t request, uint16_t value,
                          uint16_t index, uint16_t length);
struct guest_trb driver_control(struct driver *driver, unsigned slot, uint8_t type, uint8_t request, uint16_t value,
                                uint16_t index, uint16_t length);
/* From port reset to a configured device with its interrupt endpoint; the slot. */
unsigned driver_enumerate(struct driver *driver, unsigned port);
/* Asks for one report on the interrupt endpoint, into M_DATA + 0x1000 * slot + 16 * n. */
uint64_t driver_poll(struct driver *driver, unsigned slot, unsigned n);
unsigned endpoint_state(struct driver *driver, unsigned slot, unsigned index);
unsigned slot_state(struct driver *driver, unsigned slot);

#endif
