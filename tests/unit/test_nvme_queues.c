/* Queues of the NVMe controller under load: full ones, more commands than requests, and resets with reads in flight. */
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

/* Nothing is written over a completion that has not been taken; what waits goes on when there is room. */
static void a_full_completion_queue_is_waited_for(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);
    struct host_completion completion;
    unsigned seen = 0;

    (void)state;
    host_start(host, 16, true);
    assert_int_equal(host_create_cq(host, 1, 4, 1), 0);
    assert_int_equal(host_create_sq(host, 1, 64, 1), 0);
    assert_int_equal(host_create_sq(host, 2, 64, 1), 0);
    for (unsigned n = 0; n < 60; n++) {
        host_submit(host, 1, &read);
        host_submit(host, 2, &read);
    }
    host_ring(host, 1);
    host_ring(host, 2);
    for (;;) {
        unsigned batch = 0;

        host_settle(host);
        while (host_peek_completion(host, 1, &completion)) {
            assert_int_equal(completion.status, 0);
            batch++;
        }
        if (!batch)
            break;
        assert_in_range(batch, 1, 3);
        seen += batch;
        host_put(host, R_HEAD(1), 4, host->cq[1].head);
    }
    assert_int_equal(seen, 120);
    host_destroy(host);
}

struct shortage {
    struct host *host;
    unsigned unused;
    bool resumed;
};

/* On the controller's thread, so that nothing ends before all requests are taken: three rounds of three bursts. */
static void take_all_requests(void *opaque)
{
    struct shortage *shortage = opaque;

    for (unsigned id = 1; id <= 3; id++)
        host_ring(shortage->host, id);
    for (unsigned n = 0; n < 4; n++)
        host_work_now(shortage->host);
    shortage->unused = host_unused_requests(shortage->host);
    shortage->resumed = host_drain_now(shortage->host);
}

/* More commands than there are requests, from several queues: what has to wait goes on when others have ended. */
static void more_commands_than_requests(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);
    struct shortage shortage = {.host = host};
    struct host_completion completion;
    unsigned seen = 0;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 3, 1024);
    for (unsigned n = 0; n < 1023; n++)
        for (unsigned id = 1; id <= 3; id++)
            host_submit(host, id, &read);
    host_on_loop(host, take_all_requests, &shortage);
    assert_int_equal(shortage.unused, 0);
    assert_true(shortage.resumed);
    host_settle(host);
    for (unsigned id = 1; id <= 3; id++)
        while (host_completion(host, id, &completion))
            seen += completion.status == 0 && completion.sqid == id;
    assert_int_equal(seen, 3 * 1023);
    assert_int_equal(host_unused_requests(host), 512);
    host_destroy(host);
}

/* The same identifier in flight many times, in one queue: forbidden, and harmless. */
static void an_identifier_in_flight_twice(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0);
    struct host_completion completion;
    unsigned seen = 0;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 2, 64);
    read.named = true;
    read.cid = 5;
    for (unsigned n = 0; n < 63; n++) {
        host_submit(host, 1, &read);
        host_submit(host, 2, &read);
    }
    host_ring(host, 1);
    host_ring(host, 2);
    host_settle(host);
    for (unsigned id = 1; id <= 2; id++)
        while (host_completion(host, id, &completion))
            seen += completion.cid == 5 && completion.sqid == id && completion.status == 0;
    assert_int_equal(seen, 126);
    assert_int_equal(host_unused_requests(host), 512);
    host_destroy(host);
}

struct reset_seen {
    struct host *host;
    unsigned in_flight, unused;
    uint64_t status;
};

/* On the controller's thread: so many reads are in the host's hands, and then CC.EN falls. */
static void reset_with_reads_in_flight(void *opaque)
{
    struct reset_seen *seen = opaque;

    for (unsigned id = 1; id <= 2; id++)
        host_ring(seen->host, id);
    host_work_now(seen->host);
    seen->in_flight = 512 - host_unused_requests(seen->host);
    host_put(seen->host, R_CC, 4, 0);
    host_work_now(seen->host);
    seen->status = host_get(seen->host, R_CSTS, 4);
    seen->unused = host_unused_requests(seen->host);
}

static void reset_cancels_what_is_in_flight(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0);
    struct reset_seen seen = {.host = host};
    struct host_completion completion;

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        host_start(host, 16, true);
        host_io_queues(host, 2, 64);
        host_submit(host, 0, &(struct host_command){.opcode = A_EVENT});
        host_ring(host, 0);
        for (unsigned n = 0; n < 63; n++) {
            host_submit(host, 1, &read);
            host_submit(host, 2, &read);
        }
        host_on_loop(host, reset_with_reads_in_flight, &seen);
        assert_true(seen.in_flight > 0);
        assert_int_equal(seen.status, 0);
        assert_int_equal(seen.unused, 512); /* when CSTS.RDY has fallen nothing is in flight */
        host_wait_ready(host, false);
        for (unsigned id = 1; id <= 2; id++)
            assert_false(host_peek_completion(host, id, &completion));
        assert_int_equal(host_unused_requests(host), 512);
        memset(host_memory(host, M_DATA, 4096), 0x3C, 4096);
        host_settle(host);
        assert_int_equal(host_peek(host, M_DATA, 1), 0x3C); /* nothing comes late */
    }
    host_destroy(host);
}

/* CC.EN falls and rises while reads are in flight, and nobody looks at CSTS between. */
static void reset_without_patience(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0);
    struct host_completion completion;

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        host_start(host, 16, true);
        host_io_queues(host, 1, 64);
        for (unsigned n = 0; n < 63; n++)
            host_submit(host, 1, &read);
        host_ring(host, 1);
        host_put(host, R_CC, 4, 0);
        host_put(host, R_CC, 4, CC_ON);
        host_wait_ready(host, true);
        host->sq[0] = (struct host_queue){.size = 16};
        host->cq[0] = (struct host_queue){.size = 16, .phase = 1};
        memset(host_memory(host, M_ACQ, 256), 0, 256);
        assert_int_equal(host_identify(host, 1, 0), 0);
        while (host_peek_completion(host, 1, &completion)) /* what ended before CC.EN fell */
            assert_int_equal(completion.status, 0);
        host_io_queues(host, 1, 64);
        assert_int_equal(host_status(host, 1, &read), 0);
        assert_int_equal(host_unused_requests(host), 512);
    }
    host_destroy(host);
}

/* A system reset, as the machine does it: registers too are at power-on. */
static void system_reset_with_reads_in_flight(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 64);
    for (unsigned n = 0; n < 63; n++)
        host_submit(host, 1, &read);
    host_ring(host, 1);
    board_reset(&host->fake->board);
    assert_int_equal(host_unused_requests(host), 512);
    assert_int_equal(host_get(host, R_CC, 4), 0);
    assert_int_equal(host_get(host, R_CSTS, 4), 0);
    assert_int_equal(host_get(host, R_AQA, 4), 0);
    assert_int_equal(host_get(host, R_ASQ, 8), 0);
    assert_int_equal(host_get(host, R_ACQ, 8), 0);
    host_start(host, 16, true);
    host_io_queues(host, 1, 64);
    assert_int_equal(host_status(host, 1, &read), 0);
    host_destroy(host);
}

/* On the controller's thread: the command comes while the host has the reads in its hands. */
static void delete_with_reads_in_flight(void *opaque)
{
    struct host *host = opaque;

    host_ring(host, 1);
    host_work_now(host);
    host_ring(host, 0);
    host_work_now(host);
}

static void deleting_a_queue_ends_its_commands_first(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 8, M_DATA, 0);
    struct host_completion completion;
    unsigned seen = 0;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 64);
    assert_int_equal(host_status(host, 0, &(struct host_command){.opcode = A_DELETE_CQ, .dw10 = 1}), E_DELETION);
    for (unsigned n = 0; n < 40; n++)
        host_submit(host, 1, &read);
    host_submit(host, 0, &(struct host_command){.opcode = A_DELETE_SQ, .dw10 = 1});
    host_on_loop(host, delete_with_reads_in_flight, host);
    host_settle(host);
    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.status, 0);
    while (host_completion(host, 1, &completion))
        seen += completion.sqid == 1 && completion.status == 0;
    assert_int_equal(seen, 40);
    assert_int_equal(host_status(host, 0, &(struct host_command){.opcode = A_DELETE_SQ, .dw10 = 1}), E_QUEUE_ID);
    assert_int_equal(host_status(host, 0, &(struct host_command){.opcode = A_DELETE_CQ, .dw10 = 1}), 0);
    assert_int_equal(host_status(host, 0, &(struct host_command){.opcode = A_DELETE_CQ, .dw10 = 1}), E_QUEUE_ID);
    host_io_queues(host, 1, 16);
    assert_int_equal(host_status(host, 1, &read), 0);
    assert_int_equal(host_unused_requests(host), 512);
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_completion_queue_is_waited_for),
        cmocka_unit_test(more_commands_than_requests),
        cmocka_unit_test(an_identifier_in_flight_twice),
        cmocka_unit_test(reset_cancels_what_is_in_flight),
        cmocka_unit_test(reset_without_patience),
        cmocka_unit_test(system_reset_with_reads_in_flight),
        cmocka_unit_test(deleting_a_queue_ends_its_commands_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
