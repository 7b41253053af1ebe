/* The register space behind BAR 5: generic host control, then 128 bytes for each port (AHCI 3). */
#include "ahci_private.h"
#include "casement/bytes.h"

#define PORT_REGISTERS 0x100U
#define PORT_REGISTERS_BYTES 0x80U
#define PORT_REGISTERS_END (PORT_REGISTERS + AHCI_PORTS * PORT_REGISTERS_BYTES)

/* Generic host control (AHCI 3.1). */
enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0C, VS = 0x10 };

/* 64-bit addresses, native queueing, command list override, AHCI only, 1.5 Gb/s, PIO of several blocks; 32 slots. */
#define CAPABILITIES \
    (1U << 31 | 1U << 30 | 1U << 24 | 1U << 20 | 1U << 18 | 1U << 15 | (SLOTS - 1) << 8 | (AHCI_PORTS - 1))
#define VERSION 0x00010301U

/* Port registers (AHCI 3.3). */
enum {
    PXCLB = 0x00,
    PXCLBU = 0x04,
    PXFB = 0x08,
    PXFBU = 0x0C,
    PXIS = 0x10,
    PXIE = 0x14,
    PXCMD = 0x18,
    PXTFD = 0x20,
    PXSIG = 0x24,
    PXSSTS = 0x28,
    PXSCTL = 0x2C,
    PXSERR = 0x30,
    PXSACT = 0x34,
    PXCI = 0x38,
};

#define ALL_INTERRUPTS 0xFDC000FFU

static uint32_t read_port(const struct port_state *state, unsigned offset)
{
    switch (offset) {
    case PXCLB:
        return (uint32_t)state->command_list;
    case PXCLBU:
        return (uint32_t)(state->command_list >> 32);
    case PXFB:
        return (uint32_t)state->received_fis;
    case PXFBU:
        return (uint32_t)(state->received_fis >> 32);
    case PXIS:
        return state->interrupt_status;
    case PXIE:
        return state->interrupt_enable;
    case PXCMD:
        return state->command;
    case PXTFD:
        return state->task_file;
    case PXSIG:
        return state->signature;
    case PXSSTS:
        return state->link_status;
    case PXSCTL:
        return state->link_control;
    case PXSERR:
        return state->link_error;
    case PXSACT:
        return state->active;
    case PXCI:
        return state->issue;
    default:
        return 0;
    }
}

/* offset is a multiple of 4. */
static uint32_t read_word(void *opaque, unsigned offset)
{
    const struct ahci *ahci = opaque;
    if (offset >= PORT_REGISTERS && offset < PORT_REGISTERS_END)
        return read_port(&ahci->state.ports[(offset - PORT_REGISTERS) / PORT_REGISTERS_BYTES],
                         offset % PORT_REGISTERS_BYTES);
    switch (offset) {
    case CAP:
        return CAPABILITIES;
    case GHC:
        return ahci->state.control;
    case IS:
        return ahci->state.interrupt_status;
    case PI:
        return (1U << AHCI_PORTS) - 1;
    case VS:
        return VERSION;
    default:
        return 0;
    }
}

/* Either half of an address may be written first; while it is in use it is frozen. */
static void write_address(uint64_t *address, bool high, uint32_t value, uint32_t mask, bool in_use)
{
    if (in_use)
        return;
    *address =
        high ? (*address & UINT32_MAX) | (uint64_t)value << 32 : (*address & ~(uint64_t)UINT32_MAX) | (value & mask);
}

static void write_command(struct port *port, uint32_t value)
{
    struct port_state *state = port->state;

    if ((value & CMD_CLEAR_BUSY) && !(state->command & CMD_START))
        state->task_file &= ~(ATA_BUSY | ATA_DRQ);
    state->command = (state->command & ~(CMD_ATAPI | CMD_ATAPI_LED)) | (value & (CMD_ATAPI | CMD_ATAPI_LED));
    port_enable_fis(port, value & CMD_FIS_ENABLE);
    port_start(port, value & CMD_START);
}

static void write_port(struct port *port, unsigned offset, uint32_t value)
{
    struct port_state *state = port->state;

    switch (offset) {
    case PXCLB:
    case PXCLBU:
        write_address(&state->command_list, offset == PXCLBU, value, ~0x3FFU,
                      state->command & (CMD_START | CMD_RUNNING));
        break;
    case PXFB:
    case PXFBU:
        write_address(&state->received_fis, offset == PXFBU, value, ~0xFFU,
                      state->command & (CMD_FIS_ENABLE | CMD_FIS_RUNNING));
        break;
    case PXIS:
        state->interrupt_status &= ~(value & ~IS_CONNECT_CHANGE);
        break;
    case PXIE:
        state->interrupt_enable = value & ALL_INTERRUPTS;
        break;
    case PXCMD:
        write_command(port, value);
        break;
    case PXSCTL:
        port_link_control(port, value);
        break;
    case PXSERR:
        state->link_error &= ~value;
        if (!(state->link_error & SERR_EXCHANGED))
            state->interrupt_status &= ~IS_CONNECT_CHANGE;
        break;
    case PXSACT: /* bits are set only, and only while commands can be issued (AHCI 3.3.13, 3.3.14) */
        if (state->command & CMD_START)
            state->active |= value;
        break;
    case PXCI:
        if (state->command & CMD_START)
            state->issue |= value;
        break;
    default:
        break;
    }
    if (port_has_work(port))
        port_post(port);
}

static void write_control(struct ahci *ahci, uint32_t value)
{
    if (value & CONTROL_RESET) {
        ahci->state.control = CONTROL_AHCI | CONTROL_RESET;
        ahci->state.interrupt_status = 0;
        for (unsigned n = 0; n < AHCI_PORTS; n++)
            port_reset(&ahci->ports[n], true);
        return;
    }
    ahci->state.control = CONTROL_AHCI | (value & CONTROL_INTERRUPTS);
}

static void write_word(void *opaque, unsigned offset, uint32_t value)
{
    struct ahci *ahci = opaque;
    if (ahci->state.control & CONTROL_RESET)
        return; /* until the reset is over */
    if (offset >= PORT_REGISTERS && offset < PORT_REGISTERS_END)
        write_port(&ahci->ports[(offset - PORT_REGISTERS) / PORT_REGISTERS_BYTES], offset % PORT_REGISTERS_BYTES,
                   value);
    else if (offset == GHC)
        write_control(ahci, value);
    else if (offset == IS)
        ahci->state.interrupt_status &= ~value;
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ahci *ahci = opaque;
    uint64_t value;

    pthread_mutex_lock(&ahci->lock);
    value = bus_read_words(read_word, ahci, offset, size);
    pthread_mutex_unlock(&ahci->lock);
    return value;
}

static void registers_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct ahci *ahci = opaque;

    pthread_mutex_lock(&ahci->lock);
    bus_write_words(write_word, ahci, offset, size, value);
    ahci_update_pin(ahci);
    pthread_mutex_unlock(&ahci->lock);
}

const struct bus_ops ahci_registers_ops = {registers_read, registers_write};
