/* Shadow doorbells (NVMe 5.7, 7.13): a driver that keeps its tails and heads in memory, as Linux' does. */
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

/* Tells the controller, as the driver does it. true: the doorbell had to be written. */
static bool shadow_move(struct host *host, unsigned queue, bool completion, uint16_t value)
{
    uint64_t at = queue * 8U + (completion ? 4U : 0U);
    uint32_t *word = (uint32_t *)(void *)host_memory(host, M_SHADOWS + at, 4);
    uint16_t old = (uint16_t)le32toh(__atomic_exchange_n(word, htole32(value), __ATOMIC_SEQ_CST)), index;

    index =
        (uint16_t)le32toh(__atomic_load_n((uint32_t *)(void *)host_memory(host, M_INDEXES + at, 4), __ATOMIC_SEQ_CST));
    if ((uint16_t)(value - index - 1) >= (uint16_t)(value - old))
        return false;
    host_put(host, completion ? R_HEAD(queue) : R_TAIL(queue), 4, value);
    return true;
}

static void start_shadowed(struct host *host, unsigned entries, bool messages)
{
    host_start(host, 16, messages);
    host_io_queues(host, 2, entries);
    memset(host_memory(host, M_SHADOWS, 0x2000), 0, 0x2000);
    assert_int_equal(
        host_status(host, 0,
                    &(struct host_command){.opcode = A_DOORBELL_BUFFERS, .prp1 = M_SHADOWS, .prp2 = M_INDEXES}),
        0);
}

/* Takes what is there; how many. */
static unsigned take(struct host *host, unsigned queue)
{
    struct host_completion completion;
    unsigned seen = 0;

    while (host_peek_completion(host, queue, &completion)) {
        assert_int_equal(completion.status, 0);
        seen++;
    }
    if (seen)
        shadow_move(host, queue, true, (uint16_t)host->cq[queue].head);
    return seen;
}

static void commands_by_way_of_memory(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);

    (void)state;
    for (unsigned messages = 0; messages < 2; messages++) {
        start_shadowed(host, 16, messages);
        for (unsigned n = 0; n < 100; n++) { /* several times around */
            unsigned queue = 1 + n % 2, batch = 1 + n % 7;

            for (unsigned k = 0; k < batch; k++)
                host_submit(host, queue, &read);
            assert_true(shadow_move(host, queue, false, (uint16_t)host->sq[queue].tail));
            host_settle(host);
            assert_int_equal(take(host, queue), batch);
            host_settle(host);
            for (unsigned line = 16; line < 24; line++)
                assert_false(host->fake->lines[line]);
        }
    }
    host_destroy(host);
}

/* The event index asks for the next command only when the controller has come to rest. */
static void the_doorbell_is_an_eventfd_now(void **state)
{
    struct host *host = host_create(NULL);
    int fd;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 2, 16);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(1), 4, 1), -1); /* its value counts */
    start_shadowed(host, 16, true);
    fd = fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(1), 4, 1);
    assert_true(fd >= 0);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(2), 4, 9), fd);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(3), 4, 1), -1); /* no such queue */
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(0), 4, 1), -1);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_HEAD(1), 4, 1), -1);
    /* It follows the BAR, queues that come and go, and the end of the controller's life. */
    fake_config_write(host->fake, NVME_DEVFN, 0x14, 4, (NVME_BAR >> 32) + 1);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(1), 4, 1), -1);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + (UINT64_C(1) << 32) + R_TAIL(1), 4, 1), fd);
    fake_config_write(host->fake, NVME_DEVFN, 0x14, 4, NVME_BAR >> 32);
    assert_int_equal(host_create_cq(host, 3, 16, 3), 0);
    assert_int_equal(host_create_sq(host, 3, 16, 3), 0);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(3), 4, 1), fd);
    assert_int_equal(host_status(host, 0, &(struct host_command){.opcode = A_DELETE_SQ, .dw10 = 3}), 0);
    assert_int_equal(fake_ioeventfd(host->fake, BUS_MMIO, NVME_BAR + R_TAIL(3), 4, 1), -1);
    host_put(host, R_CC, 4, 0);
    host_wait_ready(host, false);
    assert_int_equal(host->fake->ioeventfd_count, 0);
    host_destroy(host);
}

/* Buffers that come while queues have moved: what the driver finds there is where the queues are. */
static void buffers_that_come_late(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    for (unsigned n = 0; n < 5; n++)
        assert_int_equal(host_status(host, 1, &read), 0);
    memset(host_memory(host, M_SHADOWS, 0x2000), 0, 0x2000);
    assert_int_equal(
        host_status(host, 0,
                    &(struct host_command){.opcode = A_DOORBELL_BUFFERS, .prp1 = M_SHADOWS, .prp2 = M_INDEXES}),
        0);
    assert_int_equal(host_peek(host, M_SHADOWS + 8, 4), 5);
    assert_int_equal(host_peek(host, M_SHADOWS + 12, 4), 5);
    host_submit(host, 1, &read);
    assert_true(shadow_move(host, 1, false, (uint16_t)host->sq[1].tail));
    host_settle(host);
    assert_int_equal(take(host, 1), 1);
    /* A queue that begins anew begins at 0, whatever stands in memory. */
    assert_int_equal(host_status(host, 0, &(struct host_command){.opcode = A_DELETE_SQ, .dw10 = 1}), 0);
    assert_int_equal(host_create_sq(host, 1, 16, 1), 0);
    assert_int_equal(host_peek(host, M_SHADOWS + 8, 4), 0);
    host_submit(host, 1, &read);
    assert_true(shadow_move(host, 1, false, 1));
    host_settle(host);
    assert_int_equal(take(host, 1), 1);
    host_destroy(host);
}

/* A completion queue that is full: the head's doorbell is asked for, or its move is seen. */
static void a_full_queue_is_noticed_in_memory(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);
    unsigned seen = 0;

    (void)state;
    start_shadowed(host, 64, true);
    assert_int_equal(host_create_cq(host, 3, 4, 3), 0);
    assert_int_equal(host_create_sq(host, 3, 64, 3), 0);
    for (unsigned n = 0; n < 60; n++)
        host_submit(host, 3, &read);
    shadow_move(host, 3, false, (uint16_t)host->sq[3].tail);
    for (unsigned batch = 1; batch; seen += batch) {
        host_settle(host);
        batch = take(host, 3);
        assert_in_range(batch, 0, 3);
    }
    assert_int_equal(seen, 60);
    host_destroy(host);
}

static void memory_that_says_nonsense(void **state)
{
    struct host *host = host_create(NULL);
    struct host_completion completion;

    (void)state;
    start_shadowed(host, 16, true);
    host_submit(host, 0, &(struct host_command){.opcode = A_EVENT});
    host_ring(host, 0);
    host_poke(host, M_SHADOWS + 8, 4, 16);
    host_put(host, R_TAIL(1), 4, 1);
    host_settle(host); /* and does not go round for ever */
    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.dw0, 0x010100);
    host_poke(host, M_SHADOWS + 12, 4, 3); /* a head behind the tail */
    host_put(host, R_HEAD(1), 4, 3);
    host_poke(host, M_SHADOWS + 16, 4, UINT32_MAX);
    host_poke(host, M_SHADOWS + 20, 4, UINT32_MAX);
    host_put(host, R_TAIL(2), 4, 1);
    host_put(host, R_HEAD(2), 4, 1);
    host_settle(host);
    assert_int_equal(host_identify(host, 1, 0), 0);
    start_shadowed(host, 16, true);
    host_destroy(host);
}

static void buffers_that_are_none(void **state)
{
    static const struct {
        uint64_t shadows, indexes;
        unsigned status;
    } rows[] = {{M_SHADOWS + 8, M_INDEXES, E_PRP_OFFSET},
                {M_SHADOWS, M_INDEXES + 2048, E_PRP_OFFSET},
                {64 * MiB, M_INDEXES, E_FIELD},
                {M_SHADOWS, UINT64_MAX - 4095, E_FIELD}};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++)
        assert_int_equal(
            host_status(
                host, 0,
                &(struct host_command){.opcode = A_DOORBELL_BUFFERS, .prp1 = rows[n].shadows, .prp2 = rows[n].indexes}),
            rows[n].status);
    assert_int_equal(host->fake->ioeventfd_count, 0);
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_by_way_of_memory), cmocka_unit_test(the_doorbell_is_an_eventfd_now),
        cmocka_unit_test(buffers_that_come_late),    cmocka_unit_test(a_full_queue_is_noticed_in_memory),
        cmocka_unit_test(memory_that_says_nonsense), cmocka_unit_test(buffers_that_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
