/*
 * The guest's NVMe driver, for unit tests (NVMe calls it the host): queues in the fake board's RAM, commands one at a
 * time or in batches, completions as they come. The controller runs on its own thread; host_settle() waits until it has
 * nothing to do.
 */
#ifndef CASEMENT_TESTS_FAKE_NVME_H
#define CASEMENT_TESTS_FAKE_NVME_H

#include "casement/block.h"
#include "casement/nvme.h"
#include "fake.h"

#define NVME_SLOT 3
#define NVME_DEVFN (NVME_SLOT << 3)
#define NVME_BAR UINT64_C(0xE000000000)
#define HOST_QUEUES 65U
#define HOST_IMAGE (8U << 20)

/* Registers, from the BAR. */
#define R_CAP 0x00
#define R_VS 0x08
#define R_INTMS 0x0C
#define R_INTMC 0x10
#define R_CC 0x14
#define R_CSTS 0x1C
#define R_AQA 0x24
#define R_ASQ 0x28
#define R_ACQ 0x30
#define R_TAIL(queue) (0x1000 + 8 * (queue))
#define R_HEAD(queue) (0x1004 + 8 * (queue))
#define R_VECTOR(n) (0x2000 + 16 * (n))
#define R_PENDING_VECTORS 0x3000
#define CC_ON 0x00460001U

/* Guest RAM. */
#define M_ASQ 0x100000U
#define M_ACQ 0x200000U
#define M_SQ(queue) (0x400000U + 0x10000U * (queue))
#define M_CQ(queue) (0x900000U + 0x4000U * (queue))
#define M_LISTS 0xB00000U
#define M_SHADOWS 0xC00000U
#define M_INDEXES 0xC01000U
#define M_DATA 0x1000000U

/* Opcodes. */
enum { A_DELETE_SQ, A_CREATE_SQ, A_GET_LOG, A_DELETE_CQ = 4, A_CREATE_CQ, A_IDENTIFY, A_ABORT = 8 };
enum { A_SET_FEATURES = 9, A_GET_FEATURES, A_EVENT = 12, A_FIRMWARE_COMMIT = 16, A_DOORBELL_BUFFERS = 0x7C };
enum { A_FORMAT = 0x80 };
enum { N_FLUSH, N_WRITE, N_READ, N_COMPARE = 5, N_WRITE_ZEROES = 8, N_DATASET };

/* What a completion says: type << 8 | code, without Do Not Retry. */
enum {
    E_OPCODE = 0x001,
    E_FIELD = 0x002,
    E_TRANSFER = 0x004,
    E_NAMESPACE = 0x00B,
    E_SEQUENCE = 0x00C,
    E_PRP_OFFSET = 0x013,
    E_PROTECTED = 0x020,
    E_RANGE = 0x080,
    E_CQ = 0x100,
    E_QUEUE_ID = 0x101,
    E_QUEUE_SIZE = 0x102,
    E_EVENT_LIMIT = 0x105,
    E_VECTOR = 0x108,
    E_LOG_PAGE = 0x109,
    E_DELETION = 0x10C,
    E_NOT_SAVEABLE = 0x10D,
    E_WRITE_FAULT = 0x280,
};

struct host_command {
    uint8_t opcode, flags;
    uint32_t nsid;
    uint64_t prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13;
    bool named; /* cid is given; otherwise the next one */
    uint16_t cid;
};
struct host_completion {
    uint32_t dw0;
    uint16_t sq_head, sqid, cid, status;
    bool retry; /* another try may help */
};

struct host_queue {
    unsigned size, tail, head;
    uint32_t phase;
};

struct host {
    struct fake *fake;
    struct nvme *nvme;
    struct block *block;
    char path[64];
    struct host_queue sq[HOST_QUEUES], cq[HOST_QUEUES];
    uint16_t cid;
};

struct host_setup {
    const char *serial;
    unsigned queues;
    bool read_only;
    const char *folder; /* of the image; NULL: build */
};
/* A board with the controller and an image of HOST_IMAGE bytes; nothing is initialised. setup may be NULL. */
struct host *host_create(const struct host_setup *setup);
void host_destroy(struct host *host);
/* Resets the controller and starts it with admin queues of so many entries, MSI-X on and masked if asked. */
void host_start(struct host *host, unsigned entries, bool messages);
/* I/O queues number 1 to count, of so many entries, each with its own completion queue and vector. */
void host_io_queues(struct host *host, unsigned count, unsigned entries);

uint64_t host_get(struct host *host, unsigned offset, unsigned size);
void host_put(struct host *host, unsigned offset, unsigned size, uint64_t value);
void host_write(struct host *host, uint64_t at, const void *from, size_t length);
uint64_t host_peek(struct host *host, uint64_t at, unsigned size);
void host_poke(struct host *host, uint64_t at, unsigned size, uint64_t value);
uint8_t *host_memory(struct host *host, uint64_t at, size_t length);

void host_settle(struct host *host);
/* Runs it on the controller's thread, as the controller's work does. */
void host_on_loop(struct host *host, void (*run)(void *opaque), void *opaque);
/* On the controller's thread: does at once what has been noted, so that what it fetches is in flight on return. */
void host_work_now(struct host *host);
/* On the controller's thread: waits for the disk. Whether that has made new work. */
bool host_drain_now(struct host *host);
/* Requests that are in nobody's hands. */
unsigned host_unused_requests(struct host *host);
/* Waits for CSTS.RDY to be as said. */
void host_wait_ready(struct host *host, bool ready);

/* Puts a command on the queue without ringing; its cid. */
uint16_t host_submit(struct host *host, unsigned sqid, const struct host_command *command);
void host_ring(struct host *host, unsigned sqid);
/* The next completion, told to the controller (or not); false: there is none. */
bool host_completion(struct host *host, unsigned cqid, struct host_completion *completion);
bool host_peek_completion(struct host *host, unsigned cqid, struct host_completion *completion);
/* Rings, waits, takes the only completion. */
struct host_completion host_run(struct host *host, unsigned sqid, const struct host_command *command);
/* Only its status. */
unsigned host_status(struct host *host, unsigned sqid, const struct host_command *command);
/* Whether the vector was sent since the last time. */
bool host_interrupted(struct host *host, unsigned vector);

unsigned host_create_cq(struct host *host, unsigned id, unsigned entries, unsigned vector);
unsigned host_create_sq(struct host *host, unsigned id, unsigned entries, unsigned cqid);
/* Identify into M_DATA. */
unsigned host_identify(struct host *host, unsigned cns, uint32_t nsid);
unsigned host_log(struct host *host, unsigned page, uint32_t bytes, uint64_t offset, bool retain);
/* A transfer at M_DATA + n * 0x100000 of one page or less. */
struct host_command host_transfer(unsigned opcode, uint64_t lba, unsigned blocks, uint64_t prp1, uint64_t prp2);

#endif
