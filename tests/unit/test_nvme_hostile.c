/* What a hostile or broken driver does to the NVMe controller: the specification's answer, or a controller that waits
 * for its reset, and never more (lessons 4.5). */
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

#define RAM (64 * MiB)

/* Still alive, or alive again: a whole life in small. */
static void check_alive(struct host *host)
{
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0);

    host_start(host, 16, true);
    assert_int_equal(host_get(host, R_CSTS, 4), 1);
    host_io_queues(host, 2, 16);
    assert_int_equal(host_status(host, 1, &read), 0);
    assert_int_equal(host_status(host, 2, &read), 0);
    assert_int_equal(host_unused_requests(host), 512);
}

static void admin_queues_that_are_none_are_fatal(void **state)
{
    static const struct {
        uint32_t aqa, cc;
        uint64_t asq, acq;
    } rows[] = {
        {0x000F000F, CC_ON, RAM, M_ACQ},
        {0x000F000F, CC_ON, M_ASQ, RAM},
        {0x0FFF0FFF, CC_ON, RAM - 0x1000, M_ACQ}, /* begins inside */
        {0x000F000F, CC_ON, UINT64_MAX - 4095, M_ACQ},
        {0x000F000F, CC_ON, M_ASQ, UINT64_MAX - 4095},
        {0x000F000F, CC_ON, NVME_BAR, M_ACQ},
        {0x00000000, CC_ON, M_ASQ, M_ACQ}, /* one entry */
        {0x00000000, CC_ON, 0, 0},         /* nothing was set up */
        {0x000F0000, CC_ON, M_ASQ, M_ACQ},
        {0x000F000F, CC_ON | 1U << 7, M_ASQ, M_ACQ},  /* pages of 8 KiB */
        {0x000F000F, CC_ON | 7U << 4, M_ASQ, M_ACQ},  /* command set */
        {0x000F000F, CC_ON | 1U << 11, M_ASQ, M_ACQ}, /* weighted arbitration */
    };
    struct host *host = host_create(NULL);

    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++) {
        host_put(host, R_CC, 4, 0);
        host_wait_ready(host, false);
        host_put(host, R_AQA, 4, rows[n].aqa);
        host_put(host, R_ASQ, 8, rows[n].asq);
        host_put(host, R_ACQ, 8, rows[n].acq);
        host_put(host, R_CC, 4, rows[n].cc);
        host_settle(host);
        if (host_get(host, R_CSTS, 4) != 2)
            fail_msg("row %u: CSTS 0x%x", n, (unsigned)host_get(host, R_CSTS, 4));
        host_put(host, R_TAIL(0), 4, 1);
        host_settle(host);
        assert_int_equal(host_get(host, R_CSTS, 4), 2);
    }
    check_alive(host);
    host_destroy(host);
}

static void queues_that_are_none_are_refused(void **state)
{
    static const struct {
        unsigned opcode, id, entries, flags, other, status;
        uint64_t base;
    } rows[] = {
        {A_CREATE_CQ, 0, 16, 3, 0, E_QUEUE_ID, 0},
        {A_CREATE_CQ, 1, 16, 3, 0, E_QUEUE_ID, 0}, /* there is one */
        {A_CREATE_CQ, 5, 16, 3, 0, E_QUEUE_ID, 0},
        {A_CREATE_CQ, 0xFFFF, 16, 3, 0, E_QUEUE_ID, 0},
        {A_CREATE_CQ, 3, 1, 3, 0, E_QUEUE_SIZE, 0},
        {A_CREATE_CQ, 3, 1025, 3, 0, E_QUEUE_SIZE, 0},
        {A_CREATE_CQ, 3, 65536, 3, 0, E_QUEUE_SIZE, 0},
        {A_CREATE_CQ, 3, 16, 2, 0, E_FIELD, 0}, /* not contiguous */
        {A_CREATE_CQ, 3, 16, 3, 5, E_VECTOR, 0},
        {A_CREATE_CQ, 3, 16, 3, 0xFFFF, E_VECTOR, 0},
        {A_CREATE_CQ, 3, 16, 3, 0, E_PRP_OFFSET, M_CQ(3) + 64},
        {A_CREATE_CQ, 3, 1024, 3, 0, E_FIELD, RAM - 0x3000},
        {A_CREATE_CQ, 3, 16, 3, 0, E_FIELD, UINT64_MAX - 4095},
        {A_CREATE_CQ, 3, 16, 3, 0, E_FIELD, RAM},
        {A_CREATE_CQ, 3, 16, 3, 0, E_FIELD, NVME_BAR},
        {A_CREATE_SQ, 3, 16, 1, 0, E_CQ, 0},
        {A_CREATE_SQ, 3, 16, 1, 4, E_CQ, 0}, /* none yet */
        {A_CREATE_SQ, 3, 16, 1, 65, E_CQ, 0},
        {A_CREATE_SQ, 3, 16, 1, 0xFFFF, E_CQ, 0},
        {A_CREATE_SQ, 0, 16, 1, 1, E_QUEUE_ID, 0},
        {A_CREATE_SQ, 1, 16, 1, 1, E_QUEUE_ID, 0},
        {A_CREATE_SQ, 5, 16, 1, 1, E_QUEUE_ID, 0},
        {A_CREATE_SQ, 3, 1, 1, 1, E_QUEUE_SIZE, 0},
        {A_CREATE_SQ, 3, 16, 0, 1, E_FIELD, 0},
        {A_CREATE_SQ, 3, 16, 1, 1, E_PRP_OFFSET, M_SQ(3) + 64},
        {A_CREATE_SQ, 3, 1024, 1, 1, E_FIELD, RAM - 0xF000},
        {A_CREATE_SQ, 3, 16, 1, 1, E_FIELD, UINT64_MAX - 4095},
        {A_CREATE_SQ, 3, 16, 1, 1, E_FIELD, RAM},
        {A_CREATE_SQ, 3, 16, 1, 1, E_FIELD, NVME_BAR},
        {A_DELETE_SQ, 0, 1, 0, 0, E_QUEUE_ID, 0},
        {A_DELETE_SQ, 3, 1, 0, 0, E_QUEUE_ID, 0},
        {A_DELETE_SQ, 0xFFFF, 1, 0, 0, E_QUEUE_ID, 0},
        {A_DELETE_CQ, 0, 1, 0, 0, E_QUEUE_ID, 0},
        {A_DELETE_CQ, 1, 1, 0, 0, E_DELETION, 0},
        {A_DELETE_CQ, 0xFFFF, 1, 0, 0, E_QUEUE_ID, 0},
    };
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++) {
        unsigned status = host_status(host, 0,
                                      &(struct host_command){.opcode = (uint8_t)rows[n].opcode,
                                                             .prp1 = rows[n].base ? rows[n].base : M_CQ(3),
                                                             .dw10 = (rows[n].entries - 1) << 16 | rows[n].id,
                                                             .dw11 = rows[n].other << 16 | rows[n].flags});

        if (status != rows[n].status)
            fail_msg("row %u: status 0x%x", n, status);
    }
    /* I/O queue entries of another size than ours. */
    host_put(host, R_CC, 4, 0x00350001);
    assert_int_equal(host_create_cq(host, 3, 16, 3), E_FIELD);
    host_put(host, R_CC, 4, 0x00450001);
    assert_int_equal(host_create_sq(host, 3, 16, 1), E_FIELD);
    host_put(host, R_CC, 4, CC_ON);
    assert_int_equal(host_create_cq(host, 3, 16, 3), 0);
    host_destroy(host);
}

/* One Identify through admin queues that lie there, the one in the other if need be. */
static void check_admin_queues_at(struct host *host, uint64_t asq, uint64_t acq)
{
    const struct host_command identify = {.opcode = A_IDENTIFY, .prp1 = M_DATA, .dw10 = 1};
    uint16_t cid;

    host_start(host, 16, true);
    host_put(host, R_CC, 4, 0);
    host_wait_ready(host, false);
    host_put(host, R_ASQ, 8, asq);
    host_put(host, R_ACQ, 8, acq);
    memset(host_memory(host, asq, 16 * 64), 0, 16 * 64);
    memset(host_memory(host, acq, 16 * 16), 0, 16 * 16);
    host_put(host, R_CC, 4, CC_ON);
    host_wait_ready(host, true);
    assert_int_equal(host_get(host, R_CSTS, 4), 1);
    cid = host_submit(host, 0, &identify);
    memmove(host_memory(host, asq, 64), host_memory(host, M_ASQ, 64), 64);
    memset(host_memory(host, M_DATA, 4096), 0xEE, 4096);
    host_ring(host, 0);
    host_settle(host);
    assert_int_equal(host_peek(host, acq + 12, 2), cid);
    assert_int_equal(host_peek(host, acq + 14, 2), 1); /* the phase, and no error */
    assert_int_equal(host_peek(host, M_DATA, 2), 0x1B36);
    host_put(host, R_HEAD(0), 4, 1);
}

/* Address 0 is memory like any other: no sign that there is no queue, and no pointer to nowhere (row 28). */
static void admin_queues_at_address_zero(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    check_admin_queues_at(host, 0, M_ACQ);
    check_admin_queues_at(host, M_ASQ, 0);
    check_admin_queues_at(host, 0, 0);
    check_alive(host);
    host_destroy(host);
}

static void create_at_zero(struct host *host, uint8_t opcode, unsigned id, uint32_t dw11)
{
    const struct host_command create = {.opcode = opcode, .prp1 = 0, .dw10 = 15U << 16 | id, .dw11 = dw11};

    memset(host_memory(host, 0, 0x1000), 0, 0x1000);
    assert_int_equal(host_status(host, 0, &create), 0);
}

static void io_queues_at_address_zero(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0);
    struct host_completion completion;

    (void)state;
    host_start(host, 16, true);
    create_at_zero(host, A_CREATE_CQ, 1, 3);
    assert_int_equal(host_create_sq(host, 1, 16, 1), 0);
    host_submit(host, 1, &read);
    host_ring(host, 1);
    host_settle(host);
    assert_int_equal(host_peek(host, 10, 2), 1);      /* of submission queue 1 */
    assert_int_equal(host_peek(host, 14, 2), 1);      /* the phase, and no error */
    assert_int_equal(host_peek(host, 16 + 14, 2), 0); /* the next one is not there yet */
    assert_int_equal(host_create_cq(host, 2, 16, 2), 0);
    create_at_zero(host, A_CREATE_SQ, 2, 2U << 16 | 1);
    host->sq[2] = (struct host_queue){.size = 16};
    host_submit(host, 2, &read);
    memcpy(host_memory(host, 0, 64), host_memory(host, M_SQ(2), 64), 64);
    memset(host_memory(host, M_DATA, 4096), 0xEE, 4096);
    host_ring(host, 2);
    host_settle(host);
    assert_true(host_completion(host, 2, &completion));
    assert_int_equal(completion.status, 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 0);
    check_alive(host);
    host_destroy(host);
}

/* Queue settings freeze: what is written to memory and registers later does not move them. */
static void every_doorbell_with_wrong_values(void **state)
{
    static const uint32_t values[] = {1, 15, 16, 17, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, UINT32_MAX};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 2, 16);
    memset(host_memory(host, M_SQ(1), 0x1000), 0xFF, 0x1000);
    memset(host_memory(host, M_SQ(2), 0x1000), 0x00, 0x1000);
    for (unsigned n = 0; n < ARRAY_SIZE(values); n++)
        for (unsigned at = 0x1000; at < 0x2000; at += 4) {
            host_put(host, at, 4, values[n]);
            host_put(host, at + (at & 4 ? 0 : 2), 2, values[n]);
            host_put(host, at, 8, values[n] | (uint64_t)values[n] << 32);
        }
    host_settle(host);
    check_alive(host);
    host_destroy(host);
}

static void a_head_may_not_pass_the_tail(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);
    struct host_completion completion;
    unsigned seen = 0;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 4);
    host_submit(host, 0, &(struct host_command){.opcode = A_EVENT});
    host_ring(host, 0);
    host_submit(host, 1, &read);
    host_ring(host, 1);
    host_settle(host);
    host_put(host, R_HEAD(1), 4, 2); /* one was posted */
    host_settle(host);
    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.dw0, 0x010100);
    /* The queue is as it was: three places, one taken. */
    assert_true(host_completion(host, 1, &completion));
    for (unsigned n = 0; n < 3; n++)
        host_submit(host, 1, &read);
    host_ring(host, 1);
    host_settle(host);
    while (host_peek_completion(host, 1, &completion))
        seen++;
    assert_int_equal(seen, 3);
    host_destroy(host);
}

static void flags_and_namespaces_that_are_not_ours(void **state)
{
    static const uint8_t flags[] = {0x01, 0x02, 0x03, 0x40, 0x80, 0xC0};
    static const uint32_t namespaces[] = {0, 2, 0x1000, UINT32_MAX - 1, UINT32_MAX};
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    for (unsigned n = 0; n < ARRAY_SIZE(flags); n++) {
        read.flags = flags[n];
        assert_int_equal(host_status(host, 1, &read), E_FIELD);
        assert_int_equal(
            host_status(host, 0,
                        &(struct host_command){.opcode = A_IDENTIFY, .flags = flags[n], .prp1 = M_DATA, .dw10 = 1}),
            E_FIELD);
    }
    read.flags = 0;
    for (unsigned n = 0; n < ARRAY_SIZE(namespaces); n++) {
        read.nsid = namespaces[n];
        assert_int_equal(host_status(host, 1, &read), E_NAMESPACE);
    }
    for (unsigned opcode = 3; opcode < 256; opcode++)
        if (opcode != N_WRITE_ZEROES && opcode != N_DATASET)
            assert_int_equal(host_status(host, 1, &(struct host_command){.opcode = (uint8_t)opcode, .nsid = 1}),
                             E_OPCODE);
    host_destroy(host);
}

static void admin_buffers_outside_memory(void **state)
{
    static const struct {
        uint8_t opcode;
        uint32_t dw10;
    } rows[] = {
        {A_IDENTIFY, 1},        {A_IDENTIFY, 2},       {A_GET_LOG, 1023U << 16 | 5}, {A_GET_LOG, 127U << 16 | 2},
        {A_SET_FEATURES, 0x0E}, {A_GET_FEATURES, 0x0E}};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++) {
        struct host_command command = {.opcode = rows[n].opcode, .prp1 = RAM - 4, .dw10 = rows[n].dw10};

        command.prp2 = RAM;
        assert_int_equal(host_status(host, 0, &command), E_TRANSFER);
        command.prp1 = UINT64_MAX - 3;
        assert_int_equal(host_status(host, 0, &command), E_TRANSFER);
        command.prp1 = M_DATA + 1;
        assert_int_equal(host_status(host, 0, &command), E_PRP_OFFSET);
    }
    assert_int_equal(
        host_status(host, 0,
                    &(struct host_command){
                        .opcode = A_GET_LOG, .nsid = UINT32_MAX, .prp1 = M_DATA, .dw10 = 0xFFFF0005, .dw11 = 0xFFFF}),
        E_FIELD);
    host_destroy(host);
}

/* A log page into a buffer with a list: what follows the page in the buffer stays, and so does the list. */
static void a_log_page_does_not_overwrite_the_list(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_poke(host, M_LISTS, 8, M_DATA + 0x8000);
    host_poke(host, M_LISTS + 8, 8, M_DATA + 0xA000);
    host_poke(host, M_DATA + 0x8000 + 2044, 4, 0x5A5A5A5A);
    host_poke(host, M_DATA + 0x8000 + 2048, 4, 0x5A5A5A5A);
    assert_int_equal(host_status(host, 0,
                                 &(struct host_command){.opcode = A_GET_LOG,
                                                        .nsid = UINT32_MAX,
                                                        .prp1 = M_DATA + 0x800,
                                                        .prp2 = M_LISTS,
                                                        .dw10 = 2047U << 16 | 5}),
                     0);
    assert_int_equal(host_peek(host, M_LISTS, 8), M_DATA + 0x8000);
    assert_int_equal(host_peek(host, M_DATA + 0x8000 + 2044, 4), 0);
    assert_int_equal(host_peek(host, M_DATA + 0x8000 + 2048, 4), 0x5A5A5A5A);
    host_destroy(host);
}

static void registers_at_every_size_and_edge(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned at = 0; at + size <= 0x4000; at += at < 0x60 ? 1 : 0x3F) {
            host_get(host, at, size);
            if (at + size <= 0x14 || at > 0x17)
                host_put(host, at, size, UINT64_MAX);
        }
    assert_int_equal(host_get(host, R_CAP, 8), host_get(host, R_CAP, 4) | host_get(host, R_CAP + 4, 4) << 32);
    assert_int_equal(host_get(host, R_CAP + 1, 2), host_get(host, R_CAP, 4) >> 8 & 0xFFFF);
    assert_int_equal(host_get(host, 0x1000, 4), 0);
    assert_int_equal(host_get(host, R_CC, 4), CC_ON);
    /* A part of a register means nothing. */
    host_put(host, R_CC, 1, 0);
    host_put(host, R_CC, 2, 0);
    host_put(host, R_CC + 2, 2, 0);
    host_put(host, R_CC - 2, 4, 0);
    host_settle(host);
    assert_int_equal(host_get(host, R_CC, 4), CC_ON);
    check_alive(host);
    host_destroy(host);
}

static uint32_t any(void)
{
    return (uint32_t)rand() << 16 ^ (uint32_t)rand();
}

/* Plausible queues full of garbage: half of each entry is likely, the rest is not. */
static void fill_with_garbage(struct host *host, uint64_t at, unsigned entries)
{
    static const uint64_t places[] = {M_DATA, M_LISTS, M_SQ(1), M_CQ(1), RAM - 4096, RAM, 0, UINT64_MAX - 4095};

    for (unsigned n = 0; n < entries; n++) {
        uint8_t entry[64];

        for (unsigned word = 0; word < 16; word++)
            put_le32(entry + 4 * word, any());
        entry[0] = (uint8_t)(any() % 16);
        if (any() % 8)
            entry[1] = 0;
        if (any() % 8)
            put_le32(entry + 4, any() % 8 ? 1 : UINT32_MAX);
        put_le64(entry + 24, places[any() % ARRAY_SIZE(places)] + (any() % 4 ? 0 : any() % 4096));
        put_le64(entry + 32, places[any() % ARRAY_SIZE(places)] + (any() % 4 ? 0 : any() % 4096));
        if (any() % 4) {
            put_le32(entry + 40, any() % 4 ? any() % 32 : any());
            put_le32(entry + 44, any() % 4 ? any() % 4 : any());
            put_le32(entry + 48, any() % 4 ? any() % 1100 : any());
        }
        host_write(host, at + n * 64U, entry, sizeof entry);
    }
}

static void garbage_for_commands(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    srand(7);
    for (unsigned round = 0; round < 60; round++) {
        host_start(host, 64, round & 1);
        host_io_queues(host, 2, 64);
        fill_with_garbage(host, M_ASQ, 64);
        fill_with_garbage(host, M_SQ(1), 64);
        fill_with_garbage(host, M_SQ(2), 64);
        for (unsigned n = 0; n < 40; n++) {
            unsigned queue = any() % 3;

            host_put(host, R_TAIL(queue), 4, any() % 64);
            if (any() % 2)
                host_put(host, R_HEAD(any() % 5), 4, any() % 64);
            if (any() % 16 == 0)
                host_put(host, R_CC, 4, CC_ON | 1U << 14);
        }
        host_settle(host);
        assert_int_equal(host_get(host, R_CSTS, 4) & 2, 0);
    }
    check_alive(host);
    host_destroy(host);
}

static void options_are_checked(void **state)
{
    struct fake *fake = fake_create(0);
    struct nvme_options options = {.slot = NVME_SLOT, .queues = 1};
    struct error error = {""};

    (void)state;
    assert_true(nvme_create(&fake->board, &options, NULL, &error) < 0);
    assert_non_null(strstr(error.text, "serial"));
    strcpy(options.serial, "tab\t");
    assert_true(nvme_create(&fake->board, &options, NULL, &error) < 0);
    strcpy(options.serial, "x");
    options.queues = 0;
    assert_true(nvme_create(&fake->board, &options, NULL, &error) < 0);
    options.queues = 65;
    assert_true(nvme_create(&fake->board, &options, NULL, &error) < 0);
    assert_non_null(strstr(error.text, "65"));
    fake_destroy(fake);
}

/* All of it is undone when there is no place for it on the bus. */
static void a_slot_that_is_taken(void **state)
{
    struct host *host = host_create(NULL);
    struct nvme_options options = {.block = host->block, .slot = NVME_SLOT, .serial = "second", .queues = 1};
    struct error error = {""};

    (void)state;
    assert_true(nvme_create(&host->fake->board, &options, NULL, &error) < 0);
    assert_non_null(strstr(error.text, "nvme: no room"));
    check_alive(host);
    host_destroy(host);
}

static void all_queues_at_once(void **state)
{
    struct host *host = host_create(&(struct host_setup){.queues = 64});
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);

    (void)state;
    host_start(host, 64, true);
    host_io_queues(host, 64, 8);
    assert_int_equal(host_create_cq(host, 1, 8, 65), E_QUEUE_ID);
    for (unsigned id = 1; id <= 64; id++) {
        assert_int_equal(host_status(host, id, &read), 0);
        assert_true(host_interrupted(host, id));
    }
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admin_queues_that_are_none_are_fatal),
        cmocka_unit_test(queues_that_are_none_are_refused),
        cmocka_unit_test(admin_queues_at_address_zero),
        cmocka_unit_test(io_queues_at_address_zero),
        cmocka_unit_test(every_doorbell_with_wrong_values),
        cmocka_unit_test(a_head_may_not_pass_the_tail),
        cmocka_unit_test(flags_and_namespaces_that_are_not_ours),
        cmocka_unit_test(admin_buffers_outside_memory),
        cmocka_unit_test(a_log_page_does_not_overwrite_the_list),
        cmocka_unit_test(registers_at_every_size_and_edge),
        cmocka_unit_test(garbage_for_commands),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(a_slot_that_is_taken),
        cmocka_unit_test(all_queues_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
