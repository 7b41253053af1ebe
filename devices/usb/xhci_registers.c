/* The register space: capabilities, operational and port registers, runtime registers, doorbells (xHCI 5). */
#include "casement/bytes.h"
#include "xhci_private.h"

#define OPERATIONAL 0x40U
#define PORT_REGISTERS (OPERATIONAL + 0x400U)
#define PORT_REGISTERS_END (PORT_REGISTERS + PORTS * 16)
#define RUNTIME 0x1000U
#define INTERRUPTER_REGISTERS (RUNTIME + 0x20U)
#define INTERRUPTER_REGISTERS_END (INTERRUPTER_REGISTERS + INTERRUPTERS * 32)
#define DOORBELLS 0x2000U
#define DOORBELLS_END (DOORBELLS + (SLOTS + 1) * 4)
#define PROTOCOLS 0x20U /* extended capabilities, in the room behind the fixed ones */

#define MICROFRAME_NS 125000

/* Operational registers, from OPERATIONAL. */
enum {
    USBCMD = 0x00,
    USBSTS = 0x04,
    PAGESIZE = 0x08,
    DNCTRL = 0x14,
    CRCR = 0x18,
    DCBAAP = 0x30,
    CONFIG = 0x38,
};

#define CRCR_STOP (1U << 1)
#define CRCR_ABORT (1U << 2)
#define CRCR_RUNNING (1U << 3)

/* 64-bit addresses, contexts of 32 bytes, ports always powered, no streams (xHCI 5.3, 7.2). */
static const uint32_t capabilities[] = {
    0x01000000 | OPERATIONAL,
    PORTS << 24 | INTERRUPTERS << 8 | SLOTS,
    ERST_MAX << 4 | 0xF, /* TRBs of isochronous endpoints, which no device here has, are due 7 frames ahead */
    0,
    PROTOCOLS / 4 << 16 | 1,
    DOORBELLS,
    RUNTIME,
    0,
    /* USB 2.0 and USB 3.0, and the ports of each */
    2 | 4 << 8 | 0x02000000,
    0x20425355,
    USB2_PORTS << 8 | 1,
    0,
    2 | 0x03000000,
    0x20425355,
    (PORTS - USB2_PORTS) << 8 | (USB2_PORTS + 1),
    0,
};

static uint32_t read_operational(const struct xhci *xhci, unsigned offset)
{
    const struct xhci_state *state = &xhci->state;

    switch (offset) {
    case USBCMD:
        return state->command;
    case USBSTS:
        return state->status;
    case PAGESIZE:
        return 1; /* 4 KiB */
    case DNCTRL:
        return state->notification;
    case CRCR:
        return state->command_running ? CRCR_RUNNING : 0; /* the rest cannot be read (xHCI 5.4.5) */
    case DCBAAP:
        return (uint32_t)state->context_array;
    case DCBAAP + 4:
        return (uint32_t)(state->context_array >> 32);
    case CONFIG:
        return state->config;
    default:
        return 0;
    }
}

static uint32_t microframe(const struct xhci *xhci)
{
    return xhci_runs(xhci) ? (uint32_t)((clock_ns() - xhci->started_ns) / MICROFRAME_NS) & 0x3FFF : 0;
}

/* offset is a multiple of 4. */
static uint32_t read_word(void *opaque, unsigned offset)
{
    const struct xhci *xhci = opaque;
    if (offset < sizeof capabilities)
        return capabilities[offset / 4];
    if (offset >= PORT_REGISTERS && offset < PORT_REGISTERS_END)
        return port_read(xhci, (offset - PORT_REGISTERS) / 16 + 1, offset % 16);
    if (offset >= OPERATIONAL && offset < PORT_REGISTERS)
        return read_operational(xhci, offset - OPERATIONAL);
    if (offset == RUNTIME)
        return microframe(xhci);
    if (offset >= INTERRUPTER_REGISTERS && offset < INTERRUPTER_REGISTERS_END)
        return interrupter_read(xhci, (offset - INTERRUPTER_REGISTERS) / 32, offset % 32);
    return 0;
}

static void write_command(struct xhci *xhci, uint32_t value)
{
    if (value & COMMAND_RESET) {
        xhci_controller_reset(xhci);
        return;
    }
    xhci_run(xhci, value & COMMAND_RUN);
    /* Whether it runs has been decided: after an error it does not. */
    xhci->state.command = (value & COMMAND_KEPT & ~COMMAND_RUN) | (xhci->state.command & COMMAND_RUN);
    if (value & COMMAND_RESTORE)
        xhci->state.status |= STATUS_RESTORE_ERROR; /* nothing was saved: the guest starts afresh */
    xhci_schedule_wrap(xhci);
    interrupters_announce(xhci);
}

/* While the ring runs only its stop is heard (xHCI 5.4.5). */
static void write_command_ring(struct xhci *xhci, bool high, uint32_t value)
{
    struct trb_ring *commands = &xhci->state.commands;

    if (xhci->state.command_running) {
        if (!high && (value & (CRCR_STOP | CRCR_ABORT)))
            commands_stop(xhci);
        return;
    }
    if (!high) {
        commands->cycle = value & TRB_CYCLE;
        value &= ~63U;
    }
    commands->dequeue = with_half(commands->dequeue, high, value);
}

static void write_operational(struct xhci *xhci, unsigned offset, uint32_t value)
{
    struct xhci_state *state = &xhci->state;

    switch (offset) {
    case USBCMD:
        write_command(xhci, value);
        break;
    case USBSTS:
        state->status &= ~(value & STATUS_CLEARED_BY_ONE);
        break;
    case DNCTRL:
        state->notification = value & 0xFFFF;
        break;
    case CRCR:
    case CRCR + 4:
        write_command_ring(xhci, offset != CRCR, value);
        break;
    case DCBAAP:
    case DCBAAP + 4:
        state->context_array = with_half(state->context_array, offset != DCBAAP, value) & ~UINT64_C(63);
        break;
    case CONFIG:
        state->config = value & 0x3FF;
        break;
    default:
        break;
    }
}

static void doorbell(struct xhci *xhci, unsigned slot, uint32_t value)
{
    unsigned target = value & 0xFF;

    if (!xhci_runs(xhci))
        return;
    if (slot == 0 && target == 0) {
        xhci->state.command_running = true;
        xhci->commands_kicked = true;
        xhci->command_credit = COMMAND_CREDIT;
    } else if (slot > 0 && target > 0 && target < ENDPOINTS && xhci->state.slots[slot].enabled) {
        endpoint_doorbell(xhci, slot, target);
    } else {
        return;
    }
    xhci_post(xhci);
}

static void write_word(void *opaque, unsigned offset, uint32_t value)
{
    struct xhci *xhci = opaque;
    if (offset >= PORT_REGISTERS && offset < PORT_REGISTERS_END)
        port_write(xhci, (offset - PORT_REGISTERS) / 16 + 1, offset % 16, value);
    else if (offset >= OPERATIONAL && offset < PORT_REGISTERS)
        write_operational(xhci, offset - OPERATIONAL, value);
    else if (offset >= INTERRUPTER_REGISTERS && offset < INTERRUPTER_REGISTERS_END)
        interrupter_write(xhci, (offset - INTERRUPTER_REGISTERS) / 32, offset % 32, value);
    else if (offset >= DOORBELLS && offset < DOORBELLS_END)
        doorbell(xhci, (offset - DOORBELLS) / 4, value);
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    struct xhci *xhci = opaque;
    uint64_t value;

    pthread_mutex_lock(&xhci->lock);
    value = bus_read_words(read_word, xhci, offset, size);
    pthread_mutex_unlock(&xhci->lock);
    return value;
}

static void registers_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct xhci *xhci = opaque;

    pthread_mutex_lock(&xhci->lock);
    bus_write_words(write_word, xhci, offset, size, value);
    pthread_mutex_unlock(&xhci->lock);
}

const struct bus_ops xhci_registers_ops = {registers_read, registers_write};
