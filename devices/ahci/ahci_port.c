/* A port: its state machine around resets and errors, the link, the FISes it receives (AHCI 5.3, 6.2, 10.4). */
#include <errno.h>
#include <string.h>

#include "ahci_private.h"
#include "casement/bytes.h"
#include "casement/log.h"

#define RECEIVED_D2H 0x40U
#define RECEIVED_SET_BITS 0x58U
#define FIS_D2H 0x34U
#define FIS_SET_BITS 0xA1U
#define FIS_INTERRUPT 0x40U

#define SIGNATURE_DISK 0x00000101U
#define SIGNATURE_PACKET 0xEB140101U

void port_post(struct port *port)
{
    if (port->loop)
        loop_post(port->loop, &port->work);
}

bool port_has_work(const struct port *port)
{
    const struct port_state *state = port->state;

    return (state->issue & ~port->fetched & ~port->queued) && (state->command & CMD_START) &&
           (state->command & CMD_RUNNING) && state->link_status == SSTS_PRESENT && !state->halted && !port->busy &&
           !port->draining;
}

void port_halt(struct port *port, uint32_t interrupt)
{
    port->state->halted = true;
    port->state->interrupt_status |= interrupt;
}

void port_post_fis(struct port *port, unsigned offset, const uint8_t *fis, size_t length)
{
    static struct log_limit limit;

    if (!(port->state->command & CMD_FIS_RUNNING))
        return;
    if (memory_write(port->ahci->board->memory, port->state->received_fis + offset, fis, length) < 0) {
        log_guest(&limit, "ahci: port %u has no memory where it receives; it waits for a reset", port->number);
        port_halt(port, IS_BUS_FATAL);
    }
}

/* The first register FIS after a reset: its signature tells what the device is (SATA 11.2). */
void port_signature(struct port *port)
{
    struct port_state *state = port->state;
    uint8_t fis[FIS_BYTES] = {FIS_D2H, 0, ATA_READY | ATA_SEEK_DONE, 1, [12] = 1};

    state->signature = port->kind == PORT_CDROM ? SIGNATURE_PACKET : SIGNATURE_DISK;
    if (port->kind == PORT_CDROM)
        fis[2] = 0; /* ready for packets only (ACS 9.1) */
    put_lba(fis, state->signature >> 8);
    state->task_file = 1U << 8 | fis[2];
    port_post_fis(port, RECEIVED_D2H, fis, sizeof fis);
    state->signature_held = !(state->command & CMD_FIS_RUNNING);
}

void port_tell_queued(struct port *port)
{
    struct port_state *state = port->state;
    uint8_t fis[8] = {FIS_SET_BITS, FIS_INTERRUPT, ATA_READY | ATA_SEEK_DONE};

    if (!port->queued_done)
        return;
    put_le32(fis + 4, port->queued_done);
    port_post_fis(port, RECEIVED_SET_BITS, fis, sizeof fis);
    state->active &= ~port->queued_done;
    state->task_file = (state->task_file & (ATA_BUSY | ATA_DRQ)) | ATA_READY | ATA_SEEK_DONE;
    state->interrupt_status |= IS_SET_BITS;
    port->queued &= ~port->queued_done;
    port->queued_done = 0;
    if (port_has_work(port)) /* slots that were issued again meanwhile */
        port_post(port);
}

void port_cut_off(struct port *port)
{
    port->epoch++;
    port->fetched = 0;
    port->queued = port->queued_done = 0;
    port->busy = false;
    port->draining = port->in_flight > 0;
}

static void link_up(struct port *port)
{
    struct port_state *state = port->state;

    if (port->kind == PORT_EMPTY)
        return;
    state->link_status = SSTS_PRESENT;
    state->link_error |= SERR_EXCHANGED;
    state->interrupt_status |= IS_CONNECT_CHANGE;
    port->reset_drive = true;
    port_signature(port);
}

/* HR reads as 1 until nothing of the adapter is under way. */
static void adapter_settle(struct ahci *ahci)
{
    for (unsigned n = 0; n < AHCI_PORTS; n++)
        if (ahci->ports[n].in_flight)
            return;
    ahci->state.control &= ~CONTROL_RESET;
}

void port_settle(struct port *port)
{
    struct port_state *state = port->state;
    enum port_reset pending = port->pending;

    if (port->in_flight)
        return;
    port->draining = false;
    if (!(state->command & CMD_START))
        state->command &= ~CMD_RUNNING;
    if (pending != RESET_NONE && (state->link_control & SCTL_DET) == 0) {
        port->pending = RESET_NONE;
        if (pending == RESET_LINK) {
            link_up(port);
        } else {
            port->reset_drive = true;
            port_signature(port);
        }
    }
    if (port->ahci->state.control & CONTROL_RESET)
        adapter_settle(port->ahci);
    if (port_has_work(port))
        port_post(port);
}

void port_reset(struct port *port, bool keep_addresses)
{
    struct port_state kept = *port->state;

    port_cut_off(port);
    *port->state = (struct port_state){.command = CMD_SPIN_UP | CMD_POWER,
                                       .task_file = NO_DEVICE_STATUS,
                                       .signature = UINT32_MAX,
                                       .command_list = keep_addresses ? kept.command_list : 0,
                                       .received_fis = keep_addresses ? kept.received_fis : 0};
    port->next_slot = 0;
    port->pending = port->kind == PORT_EMPTY ? RESET_NONE : RESET_LINK;
    port_settle(port);
}

void port_start(struct port *port, bool start)
{
    struct port_state *state = port->state;

    if (start == (bool)(state->command & CMD_START))
        return;
    if (start) {
        state->command = (state->command | CMD_START | CMD_RUNNING) & ~(0x1FU << CMD_SLOT_SHIFT);
        state->halted = false;
        port->next_slot = 0;
        return;
    }
    /* What PxCI and PxSACT said is void (AHCI 3.3.7); CR goes when nothing is under way any more. */
    state->command &= ~(CMD_START | 0x1FU << CMD_SLOT_SHIFT);
    state->issue = state->active = 0;
    port_cut_off(port);
    port_settle(port);
}

void port_enable_fis(struct port *port, bool enable)
{
    struct port_state *state = port->state;

    if (!enable) {
        state->command &= ~(CMD_FIS_ENABLE | CMD_FIS_RUNNING);
        return;
    }
    if (state->command & CMD_FIS_ENABLE)
        return;
    state->command |= CMD_FIS_ENABLE | CMD_FIS_RUNNING;
    if (state->signature_held)
        port_signature(port);
}

/* COMRESET lasts as long as DET is 1; 4 puts the link off line (AHCI 3.3.11). */
void port_link_control(struct port *port, uint32_t value)
{
    struct port_state *state = port->state;
    uint32_t before = state->link_control & SCTL_DET, now = value & SCTL_DET;

    state->link_control = value & 0xFFF;
    if ((now == 1 || now == 4) && port->kind != PORT_EMPTY) {
        state->link_status = now == 4 ? 4 : 0;
        state->task_file = NO_DEVICE_STATUS;
        state->signature = UINT32_MAX;
        state->signature_held = false;
        state->soft_reset = false;
        state->halted = true; /* what was issued is not issued again */
        port_cut_off(port);
        port->pending = RESET_LINK;
    }
    if (now == 0 && before != 0)
        port_settle(port);
}
