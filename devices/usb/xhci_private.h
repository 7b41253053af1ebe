/*
 * What the files of the xHCI controller share (eXtensible Host Controller Interface 1.2; sections are cited as "xHCI").
 *
 * Threads: vCPUs access registers; rings are worked on by the board's loop alone, which a doorbell only wakes. One lock
 * guards everything here. Work on rings is bounded three times: by pass (then the loop serves others), by TD, and by
 * the number of TRBs that one doorbell can set off.
 */
#ifndef CASEMENT_XHCI_PRIVATE_H
#define CASEMENT_XHCI_PRIVATE_H

#include <pthread.h>

#include "casement/pci.h"
#include "casement/usb.h"

#define SLOTS 32U /* device slots 1 to 32 */
#define INTERRUPTERS 8U
#define USB2_PORTS 8U /* ports 1 to 8; the others are USB 3 */
#define PORTS 16U
#define ENDPOINTS 32U /* device context indexes 1 to 31 */
#define ERST_MAX 3U   /* log2 of the segments of an event ring */

#define TRB_BYTES 16U
/* TRBs that one doorbell can set off: more than a ring holds, so that one without an end comes to rest. */
#define COMMAND_CREDIT 65536U
#define TRANSFER_CREDIT 65536U
#define CONTEXT_BYTES 32U

/* TRB types (xHCI 6.4.6). */
enum trb_type {
    TRB_NORMAL = 1,
    TRB_SETUP,
    TRB_DATA,
    TRB_STATUS,
    TRB_ISOCH,
    TRB_LINK,
    TRB_EVENT_DATA,
    TRB_NO_OP,
    TRB_ENABLE_SLOT,
    TRB_DISABLE_SLOT,
    TRB_ADDRESS_DEVICE,
    TRB_CONFIGURE_ENDPOINT,
    TRB_EVALUATE_CONTEXT,
    TRB_RESET_ENDPOINT,
    TRB_STOP_ENDPOINT,
    TRB_SET_DEQUEUE,
    TRB_RESET_DEVICE,
    TRB_PORT_BANDWIDTH = 21,
    TRB_NO_OP_COMMAND = 23,
    TRB_TRANSFER_EVENT = 32,
    TRB_COMMAND_EVENT,
    TRB_PORT_EVENT,
    TRB_HOST_EVENT = 37,
    TRB_WRAP_EVENT = 39,
};

/* Completion codes (xHCI 6.4.5). */
enum completion {
    CC_NONE,
    CC_SUCCESS = 1,
    CC_TRANSACTION_ERROR = 4,
    CC_TRB_ERROR = 5,
    CC_STALL = 6,
    CC_NO_SLOTS = 9,
    CC_SLOT_NOT_ENABLED = 11,
    CC_ENDPOINT_NOT_ENABLED = 12,
    CC_SHORT_PACKET = 13,
    CC_PARAMETER_ERROR = 17,
    CC_CONTEXT_STATE = 19,
    CC_EVENT_RING_FULL = 21,
    CC_COMMAND_RING_STOPPED = 24,
    CC_STOPPED = 26,
};

/* Bits of a TRB's control word (xHCI 6.4). */
#define TRB_CYCLE (1U << 0)
#define TRB_TOGGLE (1U << 1)
#define TRB_EVENT_IS_DATA (1U << 2)
#define TRB_SHORT_INTERRUPTS (1U << 2)
#define TRB_CHAIN (1U << 4)
#define TRB_INTERRUPTS (1U << 5)
#define TRB_IMMEDIATE (1U << 6)
#define TRB_BLOCK_INTERRUPT (1U << 9)
#define TRB_BLOCK_ADDRESS (1U << 9) /* Address Device; Configure Endpoint's deconfigure */
#define TRB_DIRECTION_IN (1U << 16)

struct trb {
    uint64_t parameter;
    uint32_t status, control;
};
static inline unsigned trb_type(const struct trb *trb)
{
    return trb->control >> 10 & 0x3F;
}
static inline uint32_t trb_of_type(enum trb_type type)
{
    return (uint32_t)type << 10;
}

struct trb_ring {
    uint64_t dequeue;
    uint8_t cycle;
};

enum endpoint_state { EP_DISABLED, EP_RUNNING, EP_HALTED, EP_STOPPED, EP_ERROR }; /* xHCI 6.2.3 */
enum endpoint_type { EP_CONTROL = 4 };
enum slot_state { SLOT_ENABLED, SLOT_DEFAULT, SLOT_ADDRESSED, SLOT_CONFIGURED }; /* xHCI 6.2.2; ENABLED as Disabled */

struct endpoint_state_block {
    uint8_t state, type;
    struct trb_ring ring;
};

struct slot_state_block {
    uint8_t enabled, state;
    uint8_t port, address;
    uint64_t context; /* of the device, in guest RAM: frozen by Address Device */
    struct endpoint_state_block endpoints[ENDPOINTS];
};

struct event_segment {
    uint64_t base;
    uint32_t trbs;
};

struct interrupter_state {
    uint32_t management, moderation, table_size;
    uint64_t table, dequeue; /* with Event Handler Busy in bit 3 */
    /* The ring as it was read when the first event was written after a change of the table's address: */
    uint8_t loaded, cycle;
    uint8_t full;                   /* the guest was told so */
    uint8_t interrupt_due, blocked; /* an event waits to be announced, and may do so later */
    uint32_t segments, segment, index;
    struct event_segment ring[1U << ERST_MAX];
};

/* What the guest can observe: this, and the devices' own states. */
struct xhci_state {
    uint32_t command, status, notification, config;
    uint64_t context_array;
    struct trb_ring commands;
    uint8_t command_running, command_stopped; /* the second: an event about it has to be written */
    uint32_t port_status[PORTS + 1], port_power[PORTS + 1];
    uint32_t port_events; /* bit n: an event about port n has to be written */
    uint8_t wrap_event;
    struct interrupter_state interrupters[INTERRUPTERS];
    struct slot_state_block slots[SLOTS + 1];
};

enum pipe_phase { PIPE_IDLE, PIPE_WAITING, PIPE_HELD, PIPE_REPORTING };

struct td_element {
    uint64_t at;
    struct trb trb;
};

/* The work on an endpoint: one TD (or control transfer) at a time. It can be read from the ring again at any time. */
struct pipe {
    enum pipe_phase phase;
    struct td_element *td;
    struct iovec *iov;
    unsigned count, room;
    struct trb_ring after; /* the ring, behind the TD */
    struct usb_transfer transfer;
    uint32_t credit; /* TRBs that may be read before the next doorbell */
    /* Reporting: */
    enum completion code;
    unsigned reported;
    size_t left;
    uint32_t accumulated; /* for Event Data (xHCI 4.11.5.2) */
    bool short_seen;
    uint64_t failed_at; /* of a TRB that is none */
};

struct xhci {
    struct device device;
    struct board *board;
    struct pci_function function;
    pthread_mutex_t lock;
    struct xhci_state state;
    struct usb_device *devices[PORTS + 1]; /* by port: fixed once given */
    struct usb_device *order[PORTS];       /* as they were added */
    unsigned device_count;
    struct pipe *pipes[SLOTS + 1][ENDPOINTS];
    uint32_t kicked[SLOTS + 1]; /* endpoints to look at */
    bool commands_kicked;
    unsigned command_credit;
    bool stalled; /* something waits for room in an event ring */
    int64_t started_ns;
    int64_t announce_ns[INTERRUPTERS]; /* not before */
    int64_t blocked_ns[INTERRUPTERS];  /* when what TRBs have blocked is announced after all; 0: nothing is */
    struct loop_task work;
    struct loop_timer moderation, wrap;
};

/* USBCMD, USBSTS (xHCI 5.4.1, 5.4.2) */
#define COMMAND_RUN (1U << 0)
#define COMMAND_RESET (1U << 1)
#define COMMAND_INTERRUPTS (1U << 2)
#define COMMAND_SAVE (1U << 8)
#define COMMAND_RESTORE (1U << 9)
#define COMMAND_WRAP_EVENT (1U << 10)
#define COMMAND_KEPT (COMMAND_RUN | COMMAND_INTERRUPTS | (1U << 3) | COMMAND_WRAP_EVENT | (1U << 11))
#define STATUS_HALTED (1U << 0)
#define STATUS_SYSTEM_ERROR (1U << 2)
#define STATUS_EVENT (1U << 3)
#define STATUS_PORT_CHANGE (1U << 4)
#define STATUS_RESTORE_ERROR (1U << 10)
#define STATUS_CONTROLLER_ERROR (1U << 12)
#define STATUS_CLEARED_BY_ONE (STATUS_SYSTEM_ERROR | STATUS_EVENT | STATUS_PORT_CHANGE | STATUS_RESTORE_ERROR)

/* Either half of a 64-bit register may be written first, and alone. */
static inline uint64_t with_half(uint64_t whole, bool high, uint32_t value)
{
    return high ? (whole & UINT32_MAX) | (uint64_t)value << 32 : (whole & ~(uint64_t)UINT32_MAX) | value;
}

static inline bool xhci_runs(const struct xhci *xhci)
{
    return xhci->state.command & COMMAND_RUN;
}

/* All of what follows with the lock held, unless said otherwise. */

/* xhci.c */
void xhci_post(struct xhci *xhci);
void xhci_run(struct xhci *xhci, bool run);
void xhci_schedule_wrap(struct xhci *xhci);
void xhci_controller_reset(struct xhci *xhci);
/* Halts until the guest resets it: the status bit says what happened (xHCI 4.24.1). */
void xhci_fail(struct xhci *xhci, uint32_t status_bit, const char *what);

/* xhci_registers.c: takes the lock. */
extern const struct bus_ops xhci_registers_ops;
#define REGISTERS_SIZE 0x4000U
#define MSIX_TABLE 0x3000U
#define MSIX_PENDING 0x3800U

/* xhci_ring.c: the next TRB that is not a link, 1; 0 when there is none yet; -EFAULT, -ELOOP. *at is where it lies, or
 * where it should. */
int trb_ring_next(struct xhci *xhci, struct trb_ring *ring, struct trb *trb, uint64_t *at);

/* xhci_event.c */
/* Whether count more events fit; true for a ring that the guest has not set up, whose events are dropped. */
bool event_room(struct xhci *xhci, unsigned interrupter, unsigned count);
/* Writes one event, or returns false and tries again to announce that the ring is full. */
bool event_write(struct xhci *xhci, unsigned interrupter, const struct trb *event, bool block_interrupt);
/* Interrupts that are due and allowed now; sets the timer for those that are not. */
void interrupters_announce(struct xhci *xhci);
/* Registers of an interrupter (xHCI 5.5.2), by 32-bit words. */
uint32_t interrupter_read(const struct xhci *xhci, unsigned interrupter, unsigned offset);
void interrupter_write(struct xhci *xhci, unsigned interrupter, unsigned offset, uint32_t value);
void interrupters_update_pin(struct xhci *xhci);

/* xhci_command.c: false when there is more to do. */
bool commands_run(struct xhci *xhci);
void commands_stop(struct xhci *xhci);

/* xhci_context.c: commands on contexts (xHCI 4.6.5 to 4.6.7), and what the controller writes back. */
enum completion address_device(struct xhci *xhci, unsigned slot, uint64_t input, bool block);
enum completion configure_endpoint(struct xhci *xhci, unsigned slot, uint64_t input, bool deconfigure);
enum completion evaluate_context(struct xhci *xhci, unsigned slot, uint64_t input);
enum completion reset_device(struct xhci *xhci, unsigned slot);
void slot_write_back(struct xhci *xhci, unsigned slot);
void endpoint_write_back(struct xhci *xhci, unsigned slot, unsigned index);
/* Nothing of the slot is left. */
void slot_disable(struct xhci *xhci, unsigned slot);

/* xhci_transfer.c */
enum pass { PASS_DONE, PASS_MORE, PASS_STALLED };
enum pass endpoint_run(struct xhci *xhci, unsigned slot, unsigned index);
void endpoint_doorbell(struct xhci *xhci, unsigned slot, unsigned index);
/* Writes what is due about a TD that has ended; false when something of it waits for room in an event ring. */
bool endpoint_report(struct xhci *xhci, unsigned slot, unsigned index);
/* Where events about the TD in progress go. */
unsigned endpoint_interrupter(const struct xhci *xhci, unsigned slot, unsigned index);
/* The device is gone: what it has not ended fails. */
void endpoint_lost(struct xhci *xhci, unsigned slot, unsigned index);
/* Takes back what the device holds; the ring stays where the TD began. The device learns that nobody polls. */
void endpoint_cancel(struct xhci *xhci, unsigned slot, unsigned index);
/* The same, with an event about what was in progress (xHCI 4.6.9). */
void endpoint_stop(struct xhci *xhci, unsigned slot, unsigned index);
void endpoint_free(struct xhci *xhci, unsigned slot, unsigned index);
/* The device that the slot's address reaches, or NULL. */
struct usb_device *slot_device(const struct xhci *xhci, unsigned slot);

/* xhci_port.c */
void ports_reset(struct xhci *xhci);
/* Writes the events that are due; false when some have no room. */
bool ports_report(struct xhci *xhci);
uint32_t port_read(const struct xhci *xhci, unsigned port, unsigned offset);
void port_write(struct xhci *xhci, unsigned port, unsigned offset, uint32_t value);
bool port_enabled(const struct xhci *xhci, unsigned port);

#endif
