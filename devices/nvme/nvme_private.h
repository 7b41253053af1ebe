/*
 * What the files of the NVMe controller share (NVM Express 1.4; sections and figures are cited as "NVMe").
 *
 * Threads: vCPUs access registers and ring doorbells; all commands are fetched, run and completed on the controller's
 * own loop. The lock is held for moments only: by a vCPU while it notes what was written, by the loop while it takes
 * notice or moves a completion queue's tail. Whatever is not said to be under the lock belongs to the loop.
 *
 * Bounds: a round takes at most BURST commands of each submission queue; a command has at most REQUEST_IOVECS buffers;
 * the requests of all queues are made once, at creation.
 */
#ifndef CASEMENT_NVME_PRIVATE_H
#define CASEMENT_NVME_PRIVATE_H

#include <pthread.h>
#include <sys/uio.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "casement/loop.h"
#include "casement/nvme.h"
#include "casement/pci.h"

#define PAGE 4096U /* the only memory page size: CAP.MPSMIN = CAP.MPSMAX = 0 */
#define BLOCK_SHIFT 9U
#define ALL_QUEUES (NVME_QUEUES_MAX + 1) /* the admin queue is number 0 */
#define QUEUE_ENTRIES 1024U              /* at most, of an I/O queue */
#define ADMIN_ENTRIES 4096U              /* at most, of the admin queue: all that AQA can say */
#define COMMAND_BYTES 64U
#define COMPLETION_BYTES 16U
#define MDTS 7U /* 512 KiB */
#define TRANSFER_MAX (PAGE << MDTS)
#define REQUEST_IOVECS (TRANSFER_MAX / PAGE + 1)
#define REQUESTS 512U     /* commands that are worked on at the same time, by all queues together */
#define BLOCK_DEPTH 256U  /* of them, in the hands of the host */
#define BURST 64U         /* commands of one queue before the next has its turn */
#define HELD_EVENTS 4U    /* asynchronous event requests: AERL + 1 */
#define ERROR_ENTRIES 16U /* of the error log: ELPE + 1 */
#define RANGES_MAX 256U   /* of one data set management command */
#define RANGE_BYTES 16U
#define NAMESPACE 1U
#define ALL_NAMESPACES UINT32_MAX
#define TEMPERATURE 313U /* kelvin, as composite temperature */
#define TEMPERATURE_WARNING 343U
#define TEMPERATURE_CRITICAL 373U

/* Registers (NVMe 3.1) */
#define DOORBELLS_AT 0x1000U
#define MSIX_TABLE_AT 0x2000U
#define MSIX_PENDING_AT 0x3000U
#define REGISTERS_SIZE 0x4000U

#define CC_ENABLE (1U << 0)
#define CC_COMMAND_SET(cc) ((cc) >> 4 & 7)
#define CC_PAGE_SIZE(cc) ((cc) >> 7 & 15)
#define CC_ARBITRATION(cc) ((cc) >> 11 & 7)
#define CC_SHUTDOWN (3U << 14)
#define CC_SQ_ENTRY(cc) ((cc) >> 16 & 15)
#define CC_CQ_ENTRY(cc) ((cc) >> 20 & 15)
#define CC_ENTRY_SIZES (0xFFU << 16)
#define CC_KEPT 0x00FFFFF1U
#define CSTS_READY (1U << 0)
#define CSTS_FATAL (1U << 1)
#define CSTS_SHUTDOWN (3U << 2)
#define CSTS_SHUTDOWN_OCCURRING (1U << 2)
#define CSTS_SHUTDOWN_COMPLETE (2U << 2)

/* Status: type and code (NVMe figures 126 to 129), with Do Not Retry where another try has the same end. */
#define STATUS_RETRY(type, code) ((uint16_t)((type) << 8 | (code)))
#define STATUS(type, code) ((uint16_t)(1U << 14 | (type) << 8 | (code)))
enum nvme_status {
    S_OK = 0,
    S_INVALID_OPCODE = STATUS(0, 0x01),
    S_INVALID_FIELD = STATUS(0, 0x02),
    S_DATA_TRANSFER = STATUS(0, 0x04),
    S_INTERNAL = STATUS_RETRY(0, 0x06),
    S_INVALID_NAMESPACE = STATUS(0, 0x0B),
    S_COMMAND_SEQUENCE = STATUS(0, 0x0C),
    S_INVALID_PRP_OFFSET = STATUS(0, 0x13),
    S_WRITE_PROTECTED = STATUS(0, 0x20),
    S_LBA_RANGE = STATUS(0, 0x80),
    S_CAPACITY = STATUS(0, 0x81),
    S_INVALID_CQ = STATUS(1, 0x00),
    S_INVALID_QUEUE_ID = STATUS(1, 0x01),
    S_INVALID_QUEUE_SIZE = STATUS(1, 0x02),
    S_EVENT_LIMIT = STATUS(1, 0x05),
    S_INVALID_VECTOR = STATUS(1, 0x08),
    S_INVALID_LOG_PAGE = STATUS(1, 0x09),
    S_INVALID_QUEUE_DELETION = STATUS(1, 0x0C),
    S_NOT_SAVEABLE = STATUS(1, 0x0D),
    S_NOT_CHANGEABLE = STATUS(1, 0x0E),
    S_WRITE_FAULT = STATUS_RETRY(2, 0x80),
    S_READ_ERROR = STATUS_RETRY(2, 0x81),
};

/* Submission queue entry (NVMe 4.2), copied once out of guest memory. */
struct nvme_command {
    uint8_t opcode, flags; /* flags: fused operation and kind of data pointer */
    uint16_t cid;
    uint32_t nsid;
    uint64_t prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};

/* Neither fused operations nor SGLs (NVMe 4.2). */
#define COMMAND_REFUSED 0xC3U

/* Queues: where they are and how large never changes while they exist. size 0: there is none. */
struct nvme_sq {
    uint64_t base;
    uint32_t size;
    uint32_t tail; /* lock */
    uint32_t head;
    uint16_t cqid;
};
struct nvme_cq {
    uint64_t base;
    uint32_t size;
    uint32_t head; /* lock */
    uint32_t tail; /* the loop moves it with the lock held */
    uint16_t vector;
    uint8_t phase, interrupts;
};

/* What Set Features keeps (NVMe 5.21.1). */
struct nvme_features {
    uint32_t arbitration, error_recovery, coalescing, atomicity, event_config;
    uint16_t over_temperature, under_temperature;
    uint16_t sqs, cqs; /* granted to the driver */
    uint8_t write_cache;
    uint8_t no_coalescing[ALL_QUEUES]; /* by vector */
    uint8_t timestamp_set;
    uint64_t timestamp_ms;
    int64_t timestamp_at_ns; /* clock_ns() when it was that */
};

struct nvme_error {
    uint64_t count, lba;
    uint32_t nsid;
    uint16_t sqid, cid, status;
};

/* Asynchronous events: bits of the pending set, in the order in which they are told (NVMe 5.2.1). */
enum nvme_event { EVENT_DOORBELL_REGISTER, EVENT_DOORBELL_VALUE, EVENT_TEMPERATURE, EVENT_NAMESPACE, EVENTS };
enum nvme_event_type { EVENT_TYPE_ERROR, EVENT_TYPE_HEALTH, EVENT_TYPE_NOTICE, EVENT_TYPES };
/* Asynchronous event configuration, and OAES (NVMe 5.21.1.11, figure 247): "namespace attribute changed". */
#define NOTICE_NAMESPACE (1U << 8)

/* What the guest can observe: this, and nothing else. */
struct nvme_state {
    /* lock: */
    uint32_t interrupt_mask, cc, csts, aqa;
    uint64_t asq, acq;
    uint32_t events; /* 1 << enum nvme_event */
    struct nvme_sq sq[ALL_QUEUES];
    struct nvme_cq cq[ALL_QUEUES];
    uint8_t shadowed; /* I/O queues are rung by way of memory (NVMe 7.13); where: */
    uint64_t shadows, event_indexes;
    struct nvme_features features;
    uint32_t held_count;
    uint16_t held[HELD_EVENTS];        /* command identifiers of asynchronous event requests */
    uint8_t event_masked[EVENT_TYPES]; /* by type: told, and the log page has not been read since */
    uint8_t namespace_changed;         /* since its log page was read */
    /* For as long as the machine lives: */
    uint64_t read_units, written_units, reads, writes, media_errors, error_count; /* units of 512 bytes */
    struct nvme_error errors[ERROR_ENTRIES];                                      /* error_count % ERROR_ENTRIES */
};

/* One command that needs the disk. */
struct nvme_request {
    struct block_request block; /* first */
    struct nvme *nvme;
    struct nvme_request *next; /* of the unused */
    uint16_t sqid, cid;
    uint8_t opcode;
    bool flush_after;
    uint64_t lba;
    unsigned ranges, next_range;
    union {
        struct iovec iov[REQUEST_IOVECS];
        uint8_t range[RANGES_MAX * RANGE_BYTES];
    };
};

struct nvme {
    struct device device;
    struct board *board;
    struct pci_function function;
    struct block *block;
    unsigned queues;
    char serial[21], model[41];
    uint8_t eui64[8], nguid[16];
    struct loop *loop;
    struct block_queue *block_queue;
    int64_t created_ns;
    pthread_mutex_t lock;
    struct nvme_state state;
    /* lock: what vCPUs have noted for the loop */
    struct loop_task work;
    bool woken, reset_due, shutdown_due;
    bool resized;          /* the image has another size than the driver knows of; not a vCPU's note */
    bool rung[ALL_QUEUES]; /* submission queues */
    bool cq_rung;
    bool stalled;         /* somebody waits for room in a completion queue */
    uint64_t bar_address; /* and where the ioeventfds of the shadowed doorbells are */
    uint64_t ioeventfd_at[ALL_QUEUES];
    /* The loop's: */
    struct loop_watch kick;           /* one eventfd for all of them */
    bool busy[ALL_QUEUES];            /* submission queues that may have commands */
    bool due[ALL_QUEUES];             /* completion queues to interrupt for at the end of the batch */
    unsigned outstanding[ALL_QUEUES]; /* commands fetched whose completion will want room, by completion queue */
    bool closing;                     /* what ends now belongs to a controller that is being reset: nobody is told */
    bool starved;                     /* a queue waits for a request */
    struct nvme_request *requests, *unused;
};

/* nvme.c */
/* The loop looks at everything that was noted. With the lock held. */
void nvme_wake(struct nvme *nvme);
/* CSTS.CFS: the controller does nothing until it is reset. Without the lock. */
void nvme_fail(struct nvme *nvme, const char *what);
/* Whether commands are fetched: ready, not failed, not shut down. */
bool nvme_serves(struct nvme *nvme);
/* Every request that the host has is done on return. */
void nvme_drain(struct nvme *nvme);
/* What was written is on the disk on return; drains. 0 or -errno. */
int nvme_flush(struct nvme *nvme);

/* nvme_registers.c */
extern const struct bus_ops nvme_registers_ops;

/* nvme_queue.c */
/* Notes what was written to a doorbell: queue number, completion queue or not. With the lock held. */
void nvme_doorbell(struct nvme *nvme, unsigned queue, bool completion, uint32_t value);
/* A round over all submission queues. */
void nvme_queues_run(struct nvme *nvme);
/* Ends a command. dw0 is the command specific result. Not seen by the guest as an interrupt before nvme_announce(). */
void nvme_complete(struct nvme *nvme, unsigned sqid, uint16_t cid, uint32_t dw0, uint16_t status);
/* Completion room for one command more, which is taken. false: none; the head's doorbell wakes the loop. */
bool nvme_reserve(struct nvme *nvme, unsigned cqid);
void nvme_release(struct nvme *nvme, unsigned cqid);
/* End of batch: one interrupt for each completion queue that has got something. */
void nvme_announce(struct nvme *nvme);
/* The level of the interrupt pin follows the completion queues. With the lock held. */
void nvme_update_pin(struct nvme *nvme);
/* A queue comes into being, empty; its memory has been checked. Without the lock. */
void nvme_sq_open(struct nvme *nvme, unsigned sqid, const struct nvme_sq *sq);
void nvme_cq_open(struct nvme *nvme, unsigned cqid, const struct nvme_cq *cq);
/* The queue ends; nothing of it may be in flight. Without the lock. */
void nvme_sq_close(struct nvme *nvme, unsigned sqid);
void nvme_cq_close(struct nvme *nvme, unsigned cqid);

/* nvme_shadow.c */
/* Starts with both pages checked (NVMe 5.7, 7.13). */
void nvme_shadow_start(struct nvme *nvme, uint64_t shadows, uint64_t event_indexes);
void nvme_shadow_stop(struct nvme *nvme);
/* A queue that begins is empty, whatever an earlier one of its number has left in memory. */
void nvme_shadow_begin(const struct nvme *nvme, unsigned queue, bool completion);
/* The tail or head that the driver has left in memory, as it is: one read. */
uint32_t nvme_shadow_value(const struct nvme *nvme, unsigned queue, bool completion);
/* Asks to be told about the next move of a queue that the loop has caught up with. true: it has moved already. */
bool nvme_shadow_ask(struct nvme *nvme, unsigned queue, bool completion);
/* The ioeventfds follow BAR 0 (pci_bar.moved), and the queues (with the lock held). */
void nvme_shadow_moved(struct pci_function *function, unsigned bar, uint64_t address);
void nvme_shadow_place(struct nvme *nvme, unsigned sqid);
/* loop_watch.ready of the ioeventfds. */
void nvme_shadow_kicked(void *opaque, short events);

/* nvme_prp.c */
/* The guest's buffers of a command as iovecs, at most REQUEST_IOVECS; length is 1 to TRANSFER_MAX. */
uint16_t nvme_prp_map(const struct memory *memory, const struct nvme_command *command, uint64_t length,
                      struct iovec *iov, unsigned *count);
/* Copies to the first length bytes of a buffer of room bytes, at most TRANSFER_MAX. */
uint16_t nvme_prp_write(const struct memory *memory, const struct nvme_command *command, uint64_t room,
                        const void *from, size_t length);
/* Copies length bytes, at most TRANSFER_MAX. */
uint16_t nvme_prp_read(const struct memory *memory, const struct nvme_command *command, void *to, size_t length);

/* nvme_io.c: a command of the NVM command set. The request is its own from here on. */
void nvme_io_start(struct nvme_request *request, const struct nvme_command *command);

/* nvme_admin.c: an admin command, to its end (or held, as an asynchronous event request is). */
void nvme_admin_run(struct nvme *nvme, const struct nvme_command *command);

/* The admin commands that have files of their own. */
uint16_t nvme_identify(struct nvme *nvme, const struct nvme_command *command);
void nvme_identifiers(struct nvme *nvme); /* EUI-64 and NGUID, out of the serial number */
void nvme_features_reset(struct nvme *nvme);
uint16_t nvme_get_features(struct nvme *nvme, const struct nvme_command *command, uint32_t *dw0);
uint16_t nvme_set_features(struct nvme *nvme, const struct nvme_command *command, uint32_t *dw0);
uint16_t nvme_get_log_page(struct nvme *nvme, const struct nvme_command *command);
/* An entry in the error log. */
void nvme_log_error(struct nvme *nvme, unsigned sqid, uint16_t cid, uint16_t status, uint32_t nsid, uint64_t lba);

/* nvme_event.c */
void nvme_event_hold(struct nvme *nvme, const struct nvme_command *command);
/* With the lock held. */
void nvme_event_raise(struct nvme *nvme, enum nvme_event event);
/* The log page that tells about the events was read: more of them may come. */
void nvme_event_unmask(struct nvme *nvme, enum nvme_event_type type);
/* Ends requests that are held, for what has happened. */
void nvme_events_deliver(struct nvme *nvme);
/* Bits of the critical warning of the health log. */
uint8_t nvme_critical_warning(const struct nvme *nvme);

#endif
