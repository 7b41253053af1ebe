/* Commands of a port: fetched from the list in guest RAM once, handed to the drive, ended with a FIS (AHCI 4.2, 5.3).
 */
#include <errno.h>
#include <string.h>

#include "ahci_private.h"
#include "casement/bytes.h"
#include "casement/log.h"

#define HEADER_BYTES 32U
#define TABLE_PACKET 0x40U
#define TABLE_REGIONS 0x80U
#define REGION_BYTES 16U
#define HEADER_ATAPI (1U << 5)

#define FIS_H2D 0x27U
#define FIS_D2H 0x34U
#define FIS_DMA_SETUP 0x41U
#define FIS_PIO_SETUP 0x5FU
#define FIS_SET_BITS 0xA1U
#define FIS_INTERRUPT 0x40U
#define FIS_TO_HOST 0x20U
#define RECEIVED_DMA_SETUP 0x00U
#define RECEIVED_PIO_SETUP 0x20U
#define RECEIVED_D2H 0x40U
#define RECEIVED_SET_BITS 0x58U
#define FIS_IS_COMMAND 0x80U
#define CONTROL_SOFT_RESET 4U

#define STATUS_GOOD (ATA_READY | ATA_SEEK_DONE)

/* The next descriptor in use; 1, 0 at the end of the list, -EFAULT. */
static int next_region(struct region_list *list)
{
    uint8_t region[REGION_BYTES];
    uint32_t flags;

    if (list->left == 0)
        return 0;
    if (memory_read(list->memory, list->at, region, sizeof region) < 0)
        return -EFAULT;
    list->at += sizeof region;
    list->left--;
    flags = get_le32(region + 12);
    list->address = get_le64(region) & ~UINT64_C(1);
    list->bytes = (flags & 0x3FFFFF) | 1; /* the last byte, which is an odd one (AHCI 4.2.3.3) */
    list->bytes++;
    list->interrupt |= flags >> 31;
    return 1;
}

static int regions_next(struct scatter *scatter, uint64_t bytes, struct iovec *iov, unsigned room)
{
    struct region_list *list = container_of(scatter, struct region_list, scatter);
    unsigned count = 0;

    while (count < room && bytes) {
        int found = list->bytes ? 1 : next_region(list);
        uint32_t now;
        void *at;

        if (found <= 0)
            return found < 0 ? found : (int)count;
        now = (uint32_t)MIN(bytes, list->bytes);
        at = memory_at(list->memory, list->address, now);
        if (!at)
            return -EFAULT;
        iov[count++] = (struct iovec){at, now};
        list->address += now;
        list->bytes -= now;
        bytes -= now;
    }
    return (int)count;
}

/* Takes the next slot whose turn it is, or returns NULL when there is nothing to do now. */
static struct command *take(struct port *port)
{
    struct port_state *state = port->state;
    struct command *command;
    unsigned slot = port->next_slot;

    if (!port_has_work(port))
        return NULL;
    while (!((state->issue & ~port->fetched & ~port->queued) >> slot & 1))
        slot = (slot + 1) % SLOTS;
    port->next_slot = (slot + 1) % SLOTS;
    port->fetched |= 1U << slot;
    port->in_flight++;
    port->busy = true;
    state->command = (state->command & ~(0x1FU << CMD_SLOT_SHIFT)) | slot << CMD_SLOT_SHIFT;
    state->task_file |= ATA_BUSY;
    command = &port->commands[slot];
    command->port = port;
    command->slot = (uint8_t)slot;
    command->epoch = port->epoch;
    command->soft_reset = state->soft_reset;
    command->header = state->command_list + slot * HEADER_BYTES;
    return command;
}

/* Reads the command's header and table: 0, or the interrupt bit of what is wrong with them. */
static uint32_t fetch(struct command *command)
{
    const struct memory *memory = command->port->ahci->board->memory;
    uint8_t header[16];
    uint64_t table;
    uint32_t flags;

    if (memory_read(memory, command->header, header, sizeof header) < 0)
        return IS_BUS_FATAL;
    flags = get_le32(header);
    table = get_le64(header + 8) & ~UINT64_C(0x7F);
    if (memory_read(memory, table, command->fis, sizeof command->fis) < 0 ||
        memory_read(memory, table + TABLE_PACKET, command->packet, sizeof command->packet) < 0)
        return IS_BUS_FATAL;
    command->has_packet = flags & HEADER_ATAPI;
    command->regions = (struct region_list){
        .scatter = {regions_next}, .memory = memory, .at = table + TABLE_REGIONS, .left = flags >> 16};
    command->ending = END_D2H;
    command->moved = 0;
    command->error = 0;
    command->lba = 0;
    command->count = 0;
    command->flush_after = false;
    /* Anything but a register FIS of its full length is none that a device takes. */
    return command->fis[0] == FIS_H2D && (flags & 0x1F) >= FIS_BYTES / 4 ? 0 : IS_INTERFACE_FATAL;
}

/* The device control register: SRST, set and then cleared (SATA 10.5.5, 11.4). */
static void device_control(struct command *command)
{
    struct port *port = command->port;
    bool set = command->fis[15] & CONTROL_SOFT_RESET;

    pthread_mutex_lock(&port->ahci->lock);
    port->in_flight--;
    if (command->epoch == port->epoch) {
        port->state->issue &= ~(1U << command->slot);
        port->state->task_file &= ~ATA_BUSY;
        port_cut_off(port);
        if (!set && port->state->soft_reset)
            port->pending = RESET_SIGNATURE;
        port->state->soft_reset = set;
    }
    port_settle(port);
    ahci_update_pin(port->ahci);
    pthread_mutex_unlock(&port->ahci->lock);
}

/* The device takes a queued command and is ready for the next one (SATA 13.6). false: it was cut off meanwhile. */
static void accept_queued(struct command *command)
{
    const uint8_t fis[FIS_BYTES] = {FIS_D2H, 0, STATUS_GOOD};
    struct port *port = command->port;
    uint32_t bit = 1U << command->slot;

    pthread_mutex_lock(&port->ahci->lock);
    if (command->epoch == port->epoch) {
        port->busy = false;
        port->queued |= bit;
        port->fetched &= ~bit;
        port->state->issue &= ~bit;
        port->state->task_file = STATUS_GOOD;
        port_post_fis(port, RECEIVED_D2H, fis, sizeof fis);
    }
    pthread_mutex_unlock(&port->ahci->lock);
}

/* Whose data move next, which way and how many. A disk asks for no interrupt in this FIS, so PxIS.DSS stays clear
 * (SATA 10.5.9, 13.6; AHCI 3.3.5). */
void command_setup_dma(struct command *command, bool to_host, uint32_t length)
{
    uint8_t fis[28] = {FIS_DMA_SETUP, to_host ? FIS_TO_HOST : 0, [4] = command->slot};
    struct port *port = command->port;

    put_le32(fis + 20, length);
    pthread_mutex_lock(&port->ahci->lock);
    if (command->epoch == port->epoch)
        port_post_fis(port, RECEIVED_DMA_SETUP, fis, sizeof fis);
    pthread_mutex_unlock(&port->ahci->lock);
}

/* A command that is not queued ends what is queued, and itself (SATA 13.6.4). */
static bool collides(struct command *command)
{
    struct port *port = command->port;
    bool collision;

    pthread_mutex_lock(&port->ahci->lock);
    collision = command->epoch == port->epoch && (port->queued & ~port->queued_done);
    if (collision) {
        port_tell_queued(port);
        port_cut_off(port);
        command->epoch = port->epoch;
        port->fetched = 1U << command->slot;
        port->busy = true;
    }
    pthread_mutex_unlock(&port->ahci->lock);
    return collision;
}

static void carry_out(struct command *command)
{
    struct port *port = command->port;
    uint32_t wrong = fetch(command);

    if (wrong) {
        command_fatal(command, wrong);
    } else if (!(command->fis[1] & FIS_IS_COMMAND)) {
        device_control(command);
    } else if (command->soft_reset) {
        command_fatal(command, IS_INTERFACE_FATAL); /* nobody listens until SRST is cleared */
    } else if (port->kind == PORT_CDROM) {
        atapi_command(command);
    } else {
        if (ata_is_queued(command)) {
            command->ending = END_QUEUED;
            accept_queued(command);
        } else if (collides(command)) {
            ata_note_queued_error(command, false);
            command_fail(command, ERROR_ABORTED);
            return;
        }
        ata_command(command);
    }
}

static void reset_drive(struct port *port)
{
    ata_reset(port);
    if (port->cdrom)
        scsi_reset(port->cdrom);
}

/* One pass takes each slot once at most, so that a guest that is faster than the disk never keeps endings waiting. */
void port_work(void *opaque)
{
    struct port *port = opaque;
    struct command *command = NULL;

    for (unsigned taken = 0; taken < SLOTS; taken++) {
        bool reset;

        pthread_mutex_lock(&port->ahci->lock);
        reset = port->reset_drive;
        port->reset_drive = false;
        command = reset ? NULL : take(port);
        pthread_mutex_unlock(&port->ahci->lock);
        if (reset)
            reset_drive(port);
        else if (command)
            carry_out(command);
        else
            break;
    }
    if (port->disk.queue)
        block_queue_kick(port->disk.queue);
    port_batch_done(port);
    if (command)
        port_post(port);
}

void port_batch_done(void *opaque)
{
    struct port *port = opaque;

    pthread_mutex_lock(&port->ahci->lock);
    port_tell_queued(port);
    ahci_update_pin(port->ahci);
    pthread_mutex_unlock(&port->ahci->lock);
}

static void queued_failed(struct command *command)
{
    const uint8_t fis[8] = {FIS_SET_BITS, FIS_INTERRUPT, STATUS_GOOD | ATA_ERR, command->error};
    struct port *port = command->port;

    port_tell_queued(port);
    port_post_fis(port, RECEIVED_SET_BITS, fis, sizeof fis);
    port->state->task_file = (uint32_t)command->error << 8 | STATUS_GOOD | ATA_ERR;
    port_halt(port, IS_SET_BITS | IS_TASK_FILE);
    port_cut_off(port); /* the device has dropped the others */
}

static void post_ending(struct command *command)
{
    struct port *port = command->port;
    uint8_t status = STATUS_GOOD | (command->error ? ATA_ERR : 0);
    uint8_t fis[FIS_BYTES] = {FIS_D2H, FIS_INTERRUPT, status, command->error, [7] = command->fis[7]};

    put_lba(fis, command->lba);
    put_le16(fis + 12, command->count);
    if (command->ending != END_D2H && !command->error && command->moved) {
        uint8_t setup[FIS_BYTES];

        memcpy(setup, fis, sizeof setup);
        setup[0] = FIS_PIO_SETUP;
        setup[1] = FIS_INTERRUPT | FIS_TO_HOST;
        setup[2] = STATUS_GOOD | ATA_DRQ;
        setup[15] = status;
        put_le16(setup + 16, (uint16_t)MIN(command->moved, SECTOR));
        port_post_fis(port, RECEIVED_PIO_SETUP, setup, sizeof setup);
        port->state->interrupt_status |= IS_PIO_SETUP;
        if (command->ending == END_PIO_IN)
            return;
    }
    port_post_fis(port, RECEIVED_D2H, fis, sizeof fis);
    port->state->interrupt_status |= IS_D2H;
}

static void tell_end(struct command *command)
{
    struct port *port = command->port;
    struct port_state *state = port->state;
    uint32_t bit = 1U << command->slot;
    uint8_t moved[4];

    if (command->regions.interrupt)
        state->interrupt_status |= IS_DESCRIPTOR;
    if (command->ending == END_QUEUED) {
        if (command->error)
            queued_failed(command);
        else
            port->queued_done |= bit;
        return;
    }
    put_le32(moved, (uint32_t)command->moved);
    memory_write(port->ahci->board->memory, command->header + 4, moved, sizeof moved); /* it was read from there */
    port->busy = false;
    state->task_file = (uint32_t)command->error << 8 | STATUS_GOOD | (command->error ? ATA_ERR : 0);
    post_ending(command);
    if (command->error) {
        port_halt(port, IS_TASK_FILE); /* PxCI still names the command (AHCI 6.2.2.1) */
        return;
    }
    state->issue &= ~bit;
    port->fetched &= ~bit;
}

void command_finish(struct command *command)
{
    struct port *port = command->port;

    pthread_mutex_lock(&port->ahci->lock);
    port->in_flight--;
    if (command->epoch == port->epoch)
        tell_end(command);
    port_settle(port);
    ahci_update_pin(port->ahci);
    pthread_mutex_unlock(&port->ahci->lock);
}

void command_fail(struct command *command, uint8_t error)
{
    command->error = error;
    if (command->ending == END_QUEUED)
        ata_note_queued_error(command, true);
    command_finish(command);
}

void command_fatal(struct command *command, uint32_t interrupt)
{
    static struct log_limit limit;
    struct port *port = command->port;

    log_guest(&limit, "ahci: port %u: a command is malformed (PxIS 0x%08x); it waits for a reset", port->number,
              interrupt);
    pthread_mutex_lock(&port->ahci->lock);
    port->in_flight--;
    if (command->epoch == port->epoch) {
        port_tell_queued(port);
        port_halt(port, interrupt);
        port_cut_off(port);
    }
    port_settle(port);
    ahci_update_pin(port->ahci);
    pthread_mutex_unlock(&port->ahci->lock);
}

void command_transfer_failed(struct command *command, int result, bool write)
{
    if (result == -EFAULT)
        command_fatal(command, IS_BUS_FATAL);
    else if (result == -EMSGSIZE)
        command_fatal(command, IS_OVERFLOW);
    else
        command_fail(command, write ? ERROR_ABORTED : ERROR_UNCORRECTABLE);
}

void command_reply(struct command *command, const void *data, size_t length, bool pio)
{
    int64_t moved = scatter_put(&command->regions.scatter, data, length);

    if (moved < (int64_t)length) {
        command_transfer_failed(command, moved < 0 ? (int)moved : -EMSGSIZE, false);
        return;
    }
    command->moved = length;
    if (pio)
        command->ending = END_PIO_IN;
    command_finish(command);
}

bool command_data(struct command *command, void *to, size_t length)
{
    int64_t moved = scatter_get(&command->regions.scatter, to, length);

    if (moved < (int64_t)length) {
        command_transfer_failed(command, moved < 0 ? (int)moved : -EMSGSIZE, true);
        return false;
    }
    command->moved = length;
    return true;
}
