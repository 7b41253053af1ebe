/*
 * What the files of the AHCI adapter share (Serial ATA AHCI 1.3.1, cited as "AHCI"; ATA/ATAPI Command Set 3, as "ACS";
 * Serial ATA 3.2, as "SATA").
 *
 * Threads: vCPUs access registers; each port's loop alone fetches and carries out its commands. The adapter's one lock
 * guards the registers and the account of which commands are under way; it is never held while a command is carried
 * out. What a reset finds under way cannot be taken back from the image: the port says so (CR, HR or the link's state)
 * until it is done, nobody waits, and its result is dropped.
 */
#ifndef CASEMENT_AHCI_PRIVATE_H
#define CASEMENT_AHCI_PRIVATE_H

#include <pthread.h>

#include "casement/ahci.h"
#include "casement/pci.h"
#include "casement/scsi.h"
#include "casement/transfer.h"

#define SLOTS 32U
#define SECTOR 512U
#define FIS_BYTES 20U
#define REGISTERS_SIZE 0x1000U

/* PxCMD (AHCI 3.3.7) */
#define CMD_START (1U << 0)
#define CMD_SPIN_UP (1U << 1)
#define CMD_POWER (1U << 2)
#define CMD_CLEAR_BUSY (1U << 3)
#define CMD_FIS_ENABLE (1U << 4)
#define CMD_SLOT_SHIFT 8
#define CMD_FIS_RUNNING (1U << 14)
#define CMD_RUNNING (1U << 15)
#define CMD_ATAPI (1U << 24)
#define CMD_ATAPI_LED (1U << 25)
#define CMD_KEPT (CMD_START | CMD_FIS_ENABLE | CMD_ATAPI | CMD_ATAPI_LED)

/* PxIS (AHCI 3.3.5) */
#define IS_D2H (1U << 0)
#define IS_PIO_SETUP (1U << 1)
#define IS_SET_BITS (1U << 3)
#define IS_DESCRIPTOR (1U << 5)
#define IS_CONNECT_CHANGE (1U << 6) /* follows PxSERR.DIAG.X */
#define IS_OVERFLOW (1U << 24)
#define IS_INTERFACE_FATAL (1U << 27)
#define IS_BUS_FATAL (1U << 29)
#define IS_TASK_FILE (1U << 30)

#define SERR_EXCHANGED (1U << 26)
#define SSTS_PRESENT 0x113U /* a device, at 1.5 Gb/s, active */
#define SCTL_DET 0xFU

/* The task file (ACS 6). */
#define ATA_BUSY 0x80U
#define ATA_READY 0x40U
#define ATA_SEEK_DONE 0x10U
#define ATA_DRQ 0x08U
#define ATA_ERR 0x01U
#define ERROR_ABORTED 0x04U
#define ERROR_ID_NOT_FOUND 0x10U
#define ERROR_UNCORRECTABLE 0x40U
#define NO_DEVICE_STATUS 0x7FU

enum port_kind { PORT_EMPTY, PORT_DISK, PORT_CDROM };

struct port_state {
    uint64_t command_list, received_fis;
    uint32_t interrupt_status, interrupt_enable, command, task_file, signature;
    uint32_t link_status, link_control, link_error, active, issue;
    uint8_t signature_held; /* the first FIS after a reset waits until there is room for FISes (AHCI 3.3.7, FRE) */
    uint8_t halted;         /* after an error, until the guest clears and sets ST */
    uint8_t soft_reset;     /* SRST is set */
};

/* What the guest can observe, apart from the drives' own states. */
struct ahci_state {
    uint32_t control, interrupt_status;
    struct port_state ports[AHCI_PORTS];
};

/* What follows when everything that was under way at a reset has been done. */
enum port_reset { RESET_NONE, RESET_SIGNATURE, RESET_LINK };

/* A command's physical region descriptors (AHCI 4.2.3.3), each read once. */
struct region_list {
    struct scatter scatter;
    const struct memory *memory;
    uint64_t at;
    uint32_t left; /* descriptors */
    uint64_t address;
    uint32_t bytes; /* of the descriptor in use, from address */
    bool interrupt; /* one that was used up asked for it */
};

enum fis_ending {
    END_D2H,        /* a register FIS */
    END_PIO_IN,     /* a PIO setup FIS alone, which carries the ending status (SATA 10.5.11) */
    END_PIO_PACKET, /* a PIO setup FIS, then a register FIS */
    END_QUEUED,     /* set device bits */
};

struct port;

/* What a slot of the command list holds, from fetch to end. The loop's. */
struct command {
    struct port *port;
    uint8_t slot;
    uint32_t epoch;  /* of the port when it was fetched */
    uint64_t header; /* in guest RAM */
    uint8_t fis[FIS_BYTES];
    uint8_t packet[SCSI_CDB_BYTES];
    bool has_packet;
    bool soft_reset; /* SRST was set when it was fetched */
    enum fis_ending ending;
    uint64_t moved;
    uint8_t error; /* of the task file: 0 is success */
    uint64_t lba;  /* what the ending FIS says, as count and device */
    uint16_t count;
    bool flush_after;
    unsigned ranges, next_range; /* of DATA SET MANAGEMENT */
    struct region_list regions;
    struct block_transfer transfer;
    struct block_request request; /* that moves nothing through buffers */
};

#define TRIM_BLOCKS 8U /* most blocks of ranges in one DATA SET MANAGEMENT */

/* A drive's own state, which the guest can observe. The loop's. */
struct ata_state {
    uint8_t write_cache, look_ahead, smart, standby;
    uint8_t multiple;             /* sectors for each DRQ of READ/WRITE MULTIPLE; 0: not set */
    uint8_t queued_error[SECTOR]; /* log page 10h */
};
struct ata_disk {
    struct block *block;
    struct block_queue *queue;
    char serial[21];
    uint8_t trim[TRIM_BLOCKS * SECTOR];
};

struct port {
    struct ahci *ahci;
    unsigned number;
    enum port_kind kind;
    /* Under the lock: */
    struct port_state *state;
    uint32_t epoch;       /* goes on at every reset */
    uint32_t fetched;     /* slots of PxCI that the loop has, of this epoch */
    uint32_t queued;      /* and those of PxSACT */
    uint32_t queued_done; /* of them: done, to be told in one FIS */
    unsigned in_flight;   /* commands that have not ended, of whatever epoch */
    bool busy;            /* the device has a command that is not queued */
    bool draining;        /* nothing is fetched until in_flight is 0 */
    bool reset_drive;     /* the drive's own state, before the next command */
    enum port_reset pending;
    unsigned next_slot;
    /* The loop's: */
    struct loop *loop;
    struct loop_task work;
    struct command *commands; /* SLOTS */
    struct ata_state drive;
    struct ata_disk disk;
    struct scsi_unit *cdrom;
    struct scsi_request scsi;
};

struct ahci {
    struct device device;
    struct board *board;
    struct pci_function function;
    pthread_mutex_t lock;
    struct ahci_state state;
    bool pin;
    struct port ports[AHCI_PORTS];
};

/* ahci_registers.c: takes the lock. */
extern const struct bus_ops ahci_registers_ops;
#define CONTROL_RESET (1U << 0)
#define CONTROL_INTERRUPTS (1U << 1)
#define CONTROL_AHCI (1U << 31)

/* ahci.c, with the lock: the pin as the registers ask for it. */
void ahci_update_pin(struct ahci *ahci);

/* ahci_port.c, with the lock. */
/* Power-on values; what is under way is cut off. The link comes up when nothing is. */
void port_reset(struct port *port, bool keep_addresses);
/* What is under way does not count any more. */
void port_cut_off(struct port *port);
/* After in_flight may have become 0: the end of a reset that has waited for it. */
void port_settle(struct port *port);
void port_start(struct port *port, bool start);
void port_enable_fis(struct port *port, bool enable);
void port_link_control(struct port *port, uint32_t value);
/* An error that stops the port until the guest starts it again. */
void port_halt(struct port *port, uint32_t interrupt);
/* Whether a command waits that can be carried out now. */
bool port_has_work(const struct port *port);
void port_post(struct port *port);
void port_post_fis(struct port *port, unsigned offset, const uint8_t *fis, size_t length);
void port_signature(struct port *port);
/* One FIS for the queued commands that are done. */
void port_tell_queued(struct port *port);
static inline void put_lba(uint8_t *fis, uint64_t lba)
{
    for (unsigned n = 0; n < 3; n++) {
        fis[4 + n] = (uint8_t)(lba >> 8 * n);
        fis[8 + n] = (uint8_t)(lba >> 8 * (n + 3));
    }
}

/* ahci_command.c, on the port's loop, without the lock. */
void port_work(void *opaque);
void port_batch_done(void *opaque);
/* Ends a command as its members say. */
void command_finish(struct command *command);
void command_fail(struct command *command, uint8_t error);
/* Ends it as an error of the adapter that stops the port. */
void command_fatal(struct command *command, uint32_t interrupt);
/* The data of a queued command begin to move. */
void command_setup_dma(struct command *command, bool to_host, uint32_t length);
/* Data for the host as PIO or DMA brings it, and the end. */
void command_reply(struct command *command, const void *data, size_t length, bool pio);
/* The device's data that the command carries; false: there is less, and the command has ended. */
bool command_data(struct command *command, void *to, size_t length);
void command_transfer_failed(struct command *command, int result, bool write);

/* ata_disk.c */
void ata_command(struct command *command);
bool ata_is_queued(const struct command *command);

/* ata_common.c: what disks and packet devices share. */
void ata_reset(struct port *port);
/* STANDBY IMMEDIATE, STANDBY and SLEEP, by their present and by their former numbers. */
bool ata_is_standby(uint8_t number);
/* Whether the command was one of those, and has ended. */
bool ata_common_command(struct command *command);

/* ata_identify.c */
void ata_identify_device(struct command *command);
void ata_identify_packet_device(struct command *command);

/* ata_log.c: SMART, and logs. */
void ata_smart(struct command *command);
void ata_read_log(struct command *command, bool pio);
/* Notes what a queued command failed of, for log page 10h; queued: it was one itself. */
void ata_note_queued_error(struct command *command, bool queued);
/* The last byte makes the sum of all 0. */
void ata_checksum(uint8_t data[SECTOR]);

/* atapi.c */
void atapi_command(struct command *command);

#endif
