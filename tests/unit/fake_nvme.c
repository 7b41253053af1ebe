/* The NVMe driver of unit tests (see fake_nvme.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../devices/nvme/nvme_private.h"
#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

/* The controller is the only device on the board. */
static struct nvme *nvme_of(struct host *host)
{
    return container_of(host->fake->board.devices, struct nvme, device);
}

static void open_image(struct host *host, const struct host_setup *setup)
{
    struct block_options options = {.path = host->path, .read_only = setup->read_only};
    struct error error = {""};
    int fd;

    snprintf(host->path, sizeof host->path, "%s/nvme-XXXXXX", setup->folder ? setup->folder : "build");
    fd = mkstemp(host->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, HOST_IMAGE), 0);
    close(fd);
    options.path = host->path;
    if (block_open(&options, &host->block, &error) < 0)
        fail_msg("%s", error.text);
}

struct host *host_create(const struct host_setup *given)
{
    struct host_setup setup = given ? *given : (struct host_setup){0};
    struct host *host = calloc(1, sizeof *host);
    struct nvme_options options = {.slot = NVME_SLOT, .queues = setup.queues ? setup.queues : 4};
    struct error error = {""};

    assert_non_null(host);
    host->fake = fake_create(0);
    assert_int_equal(pci_bus_create(&host->fake->board, &host->fake->board.pci), 0);
    open_image(host, &setup);
    options.block = host->block;
    snprintf(options.serial, sizeof options.serial, "%s", setup.serial ? setup.serial : "SN-42");
    if (nvme_create(&host->fake->board, &options, &host->nvme, &error) < 0)
        fail_msg("%s", error.text);
    fake_config_write(host->fake, NVME_DEVFN, 0x10, 4, (uint32_t)NVME_BAR);
    fake_config_write(host->fake, NVME_DEVFN, 0x14, 4, NVME_BAR >> 32);
    fake_config_write(host->fake, NVME_DEVFN, 0x04, 2, 6);
    return host;
}

void host_destroy(struct host *host)
{
    board_destroy_devices(&host->fake->board);
    block_close(host->block);
    unlink(host->path);
    fake_destroy(host->fake);
    free(host);
}

uint64_t host_get(struct host *host, unsigned offset, unsigned size)
{
    return fake_read(host->fake, BUS_MMIO, NVME_BAR + offset, size);
}

void host_put(struct host *host, unsigned offset, unsigned size, uint64_t value)
{
    fake_write(host->fake, BUS_MMIO, NVME_BAR + offset, size, value);
}

uint8_t *host_memory(struct host *host, uint64_t at, size_t length)
{
    uint8_t *memory = memory_at(host->fake->board.memory, at, length);

    assert_non_null(memory);
    return memory;
}

void host_write(struct host *host, uint64_t at, const void *from, size_t length)
{
    memcpy(host_memory(host, at, length), from, length);
}

uint64_t host_peek(struct host *host, uint64_t at, unsigned size)
{
    return get_le(host_memory(host, at, size), size);
}

void host_poke(struct host *host, uint64_t at, unsigned size, uint64_t value)
{
    put_le(host_memory(host, at, size), size, value);
}

struct settling {
    struct nvme *nvme;
    bool again;
};

/* On the controller's thread, so that no work is half done when it looks. */
static void drain(void *opaque)
{
    struct settling *settling = opaque;

    nvme_drain(settling->nvme);
    pthread_mutex_lock(&settling->nvme->lock);
    settling->again = settling->nvme->woken;
    pthread_mutex_unlock(&settling->nvme->lock);
}

void host_settle(struct host *host)
{
    struct settling settling = {.nvme = nvme_of(host)};

    /* Quiet twice: a descriptor that was ready is noticed between two rounds of the loop. */
    for (unsigned n = 0, quiet = 0; quiet < 2; n++) {
        assert_true(n < 100000);
        loop_call(settling.nvme->loop, drain, &settling);
        quiet = settling.again ? 0 : quiet + 1;
    }
}

void host_on_loop(struct host *host, void (*run)(void *opaque), void *opaque)
{
    loop_call(nvme_of(host)->loop, run, opaque);
}

void host_work_now(struct host *host)
{
    nvme_of(host)->work.run(nvme_of(host));
}

bool host_drain_now(struct host *host)
{
    struct settling settling = {.nvme = nvme_of(host)};

    drain(&settling);
    return settling.again;
}

static void count_unused(void *opaque)
{
    struct host *host = opaque;

    host->cid = 0;
    for (const struct nvme_request *request = nvme_of(host)->unused; request; request = request->next)
        host->cid++;
}

unsigned host_unused_requests(struct host *host)
{
    uint16_t cid = host->cid;
    unsigned unused;

    host_on_loop(host, count_unused, host);
    unused = host->cid;
    host->cid = cid;
    return unused;
}

void host_wait_ready(struct host *host, bool ready)
{
    host_settle(host);
    assert_int_equal(host_get(host, R_CSTS, 4) & 1, ready);
}

static void clear_queue(struct host *host, unsigned id, unsigned entries, bool completion)
{
    uint64_t at = completion ? (id ? M_CQ(id) : M_ACQ) : (id ? M_SQ(id) : M_ASQ);

    memset(host_memory(host, at, entries * (completion ? 16U : 64U)), 0, entries * (completion ? 16U : 64U));
    if (completion)
        host->cq[id] = (struct host_queue){.size = entries, .phase = 1};
    else
        host->sq[id] = (struct host_queue){.size = entries};
}

void host_start(struct host *host, unsigned entries, bool messages)
{
    unsigned msix = (unsigned)fake_config_read(host->fake, NVME_DEVFN, 0x34, 1);

    host_put(host, R_CC, 4, 0);
    host_wait_ready(host, false);
    clear_queue(host, 0, entries, false);
    clear_queue(host, 0, entries, true);
    /* Masked, so that what is sent stays in the pending bits. */
    fake_config_write(host->fake, NVME_DEVFN, msix + 2U, 2, messages ? 0x8000 : 0);
    host_put(host, R_AQA, 4, (entries - 1) << 16 | (entries - 1));
    host_put(host, R_ASQ, 8, M_ASQ);
    host_put(host, R_ACQ, 8, M_ACQ);
    host_put(host, R_CC, 4, CC_ON);
    host_wait_ready(host, true);
}

uint16_t host_submit(struct host *host, unsigned sqid, const struct host_command *command)
{
    struct host_queue *sq = &host->sq[sqid];
    uint8_t entry[64] = {command->opcode, command->flags};
    uint16_t cid = command->named ? command->cid : host->cid++;

    put_le16(entry + 2, cid);
    put_le32(entry + 4, command->nsid);
    put_le64(entry + 24, command->prp1);
    put_le64(entry + 32, command->prp2);
    put_le32(entry + 40, command->dw10);
    put_le32(entry + 44, command->dw11);
    put_le32(entry + 48, command->dw12);
    put_le32(entry + 52, command->dw13);
    host_write(host, (sqid ? M_SQ(sqid) : M_ASQ) + sq->tail * 64U, entry, sizeof entry);
    sq->tail = (sq->tail + 1) % sq->size;
    return cid;
}

void host_ring(struct host *host, unsigned sqid)
{
    host_put(host, R_TAIL(sqid), 4, host->sq[sqid].tail);
}

bool host_peek_completion(struct host *host, unsigned cqid, struct host_completion *completion)
{
    struct host_queue *cq = &host->cq[cqid];
    uint64_t at = (cqid ? M_CQ(cqid) : M_ACQ) + cq->head * 16U;
    const uint32_t *last = (const uint32_t *)(const void *)host_memory(host, at + 12, 4);
    uint32_t word = le32toh(__atomic_load_n(last, __ATOMIC_ACQUIRE));

    if ((word >> 16 & 1) != cq->phase)
        return false;
    *completion = (struct host_completion){.dw0 = (uint32_t)host_peek(host, at, 4),
                                           .sq_head = (uint16_t)host_peek(host, at + 8, 2),
                                           .sqid = (uint16_t)host_peek(host, at + 10, 2),
                                           .cid = (uint16_t)word,
                                           .status = word >> 17 & 0x7FF,
                                           .retry = !(word >> 31)};
    if (++cq->head == cq->size) {
        cq->head = 0;
        cq->phase ^= 1;
    }
    return true;
}

bool host_completion(struct host *host, unsigned cqid, struct host_completion *completion)
{
    bool found = host_peek_completion(host, cqid, completion);

    if (found)
        host_put(host, R_HEAD(cqid), 4, host->cq[cqid].head);
    return found;
}

/* Queues are made in pairs but where a test says otherwise. */
struct host_completion host_run(struct host *host, unsigned sqid, const struct host_command *command)
{
    uint16_t cid = host_submit(host, sqid, command);
    struct host_completion completion = {0};

    host_ring(host, sqid);
    host_settle(host);
    if (!host_completion(host, sqid, &completion))
        fail_msg("command 0x%x has no completion", command->opcode);
    assert_int_equal(completion.cid, cid);
    assert_int_equal(completion.sqid, sqid);
    assert_int_equal(completion.sq_head, host->sq[sqid].tail);
    return completion;
}

unsigned host_status(struct host *host, unsigned sqid, const struct host_command *command)
{
    return host_run(host, sqid, command).status;
}

bool host_interrupted(struct host *host, unsigned vector)
{
    bool pending = host_get(host, R_PENDING_VECTORS + vector / 64 * 8, 8) >> vector % 64 & 1;

    if (pending) {
        host_put(host, R_VECTOR(vector) + 12, 4, 0);
        host_put(host, R_VECTOR(vector) + 12, 4, 1);
    }
    return pending;
}

unsigned host_create_cq(struct host *host, unsigned id, unsigned entries, unsigned vector)
{
    clear_queue(host, id, entries, true);
    return host_status(
        host, 0,
        &(struct host_command){
            .opcode = A_CREATE_CQ, .prp1 = M_CQ(id), .dw10 = (entries - 1) << 16 | id, .dw11 = vector << 16 | 3});
}

unsigned host_create_sq(struct host *host, unsigned id, unsigned entries, unsigned cqid)
{
    clear_queue(host, id, entries, false);
    return host_status(
        host, 0,
        &(struct host_command){
            .opcode = A_CREATE_SQ, .prp1 = M_SQ(id), .dw10 = (entries - 1) << 16 | id, .dw11 = cqid << 16 | 1});
}

void host_io_queues(struct host *host, unsigned count, unsigned entries)
{
    for (unsigned n = 1; n <= count; n++) {
        assert_int_equal(host_create_cq(host, n, entries, n), 0);
        assert_int_equal(host_create_sq(host, n, entries, n), 0);
    }
}

unsigned host_identify(struct host *host, unsigned cns, uint32_t nsid)
{
    memset(host_memory(host, M_DATA, 4096), 0xEE, 4096);
    return host_status(host, 0,
                       &(struct host_command){.opcode = A_IDENTIFY, .nsid = nsid, .prp1 = M_DATA, .dw10 = cns});
}

unsigned host_log(struct host *host, unsigned page, uint32_t bytes, uint64_t offset, bool retain)
{
    uint32_t words = bytes / 4 - 1;

    return host_status(host, 0,
                       &(struct host_command){.opcode = A_GET_LOG,
                                              .nsid = UINT32_MAX,
                                              .prp1 = M_DATA,
                                              .prp2 = M_DATA + 0x1000,
                                              .dw10 = words << 16 | (retain ? 1U << 15 : 0) | page,
                                              .dw11 = words >> 16,
                                              .dw12 = (uint32_t)offset,
                                              .dw13 = (uint32_t)(offset >> 32)});
}

struct host_command host_transfer(unsigned opcode, uint64_t lba, unsigned blocks, uint64_t prp1, uint64_t prp2)
{
    return (struct host_command){.opcode = (uint8_t)opcode,
                                 .nsid = 1,
                                 .prp1 = prp1,
                                 .prp2 = prp2,
                                 .dw10 = (uint32_t)lba,
                                 .dw11 = (uint32_t)(lba >> 32),
                                 .dw12 = blocks - 1};
}
