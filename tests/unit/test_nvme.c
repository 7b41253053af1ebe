/*
 * The NVMe controller as Windows' stornvme and firmware want it: one test for each requirement of platform contract
 * 6.3.
 */
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

static unsigned set_feature(struct host *host, unsigned feature, uint32_t value)
{
    return host_status(
        host, 0,
        &(struct host_command){.opcode = A_SET_FEATURES, .nsid = 1, .prp1 = M_DATA, .dw10 = feature, .dw11 = value});
}

static struct host_completion get_feature(struct host *host, unsigned feature, unsigned select, uint32_t value)
{
    return host_run(
        host, 0,
        &(struct host_command){
            .opcode = A_GET_FEATURES, .nsid = 1, .prp1 = M_DATA, .dw10 = feature | select << 8, .dw11 = value});
}

static void admin_queue_registers_read_back_while_enabled(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 32, true);
    assert_int_equal(host_get(host, R_AQA, 4), 0x001F001F);
    assert_int_equal(host_get(host, R_ASQ, 8), M_ASQ);
    assert_int_equal(host_get(host, R_ACQ, 8), M_ACQ);
    assert_int_equal(host_get(host, R_CC, 4), CC_ON);
    assert_int_equal(host_get(host, R_VS, 4), 0x00010400);
    /* Changes are ignored, and what is in use stays in use. */
    host_put(host, R_AQA, 4, 0x00010001);
    host_put(host, R_ASQ, 8, 0x3000);
    host_put(host, R_ACQ, 8, 0x4000);
    host_put(host, R_CC, 4, CC_ON | 3U << 7);
    assert_int_equal(host_get(host, R_AQA, 4), 0x001F001F);
    assert_int_equal(host_get(host, R_ASQ, 8), M_ASQ);
    assert_int_equal(host_get(host, R_ACQ, 8), M_ACQ);
    assert_int_equal(host_get(host, R_CC, 4), CC_ON);
    assert_int_equal(host_identify(host, 1, 0), 0);
    host_destroy(host);
}

/* Firmware: admin and I/O queues of two entries, no interrupts asked for and none served, phase bits polled. */
static void firmware_works_with_queues_of_two_entries(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command write = host_transfer(N_WRITE, 8, 8, M_DATA, 0), read = host_transfer(N_READ, 8, 8, M_DATA, 0);

    (void)state;
    host_start(host, 2, false);
    assert_int_equal(host_get(host, R_AQA, 4), 0x00010001);
    for (unsigned n = 0; n < 5; n++) { /* several times around */
        assert_int_equal(host_identify(host, 1, 0), 0);
        assert_int_equal(host_identify(host, 0, 1), 0);
    }
    assert_int_equal(host_peek(host, M_DATA, 8), HOST_IMAGE / 512);
    for (unsigned id = 1; id <= 2; id++) {
        unsigned entries = id == 1 ? 2 : 64;

        memset(host_memory(host, M_CQ(id), 0x4000), 0, 0x4000);
        host->cq[id] = (struct host_queue){.size = entries, .phase = 1};
        host->sq[id] = (struct host_queue){.size = entries};
        assert_int_equal(
            host_status(host, 0,
                        &(struct host_command){
                            .opcode = A_CREATE_CQ, .prp1 = M_CQ(id), .dw10 = (entries - 1) << 16 | id, .dw11 = 1}),
            0);
        assert_int_equal(host_create_sq(host, id, entries, id), 0);
    }
    for (unsigned n = 0; n < 7; n++) {
        memset(host_memory(host, M_DATA, 4096), 0x50 + (int)n, 4096);
        assert_int_equal(host_status(host, 1, &write), 0);
        memset(host_memory(host, M_DATA, 4096), 0, 4096);
        assert_int_equal(host_status(host, 1, &read), 0);
        assert_int_equal(host_peek(host, M_DATA + 4088, 8), UINT64_C(0x0101010101010101) * (0x50 + n));
        assert_int_equal(host_status(host, 1, &(struct host_command){.opcode = N_FLUSH, .nsid = 1}), 0);
        assert_int_equal(host_status(host, 2, &read), 0);
    }
    host_destroy(host);
}

static bool pin(struct host *host)
{
    for (unsigned n = 16; n < 24; n++)
        if (host->fake->lines[n])
            return true;
    return false;
}

/* The admin queue always asks for interrupts; firmware never serves one, so the head's doorbell has to end it. */
static void pin_drops_when_the_head_catches_up(void **state)
{
    struct host *host = host_create(NULL);
    struct host_completion completion;

    (void)state;
    host_start(host, 8, false);
    assert_false(pin(host));
    for (unsigned n = 0; n < 2; n++)
        host_submit(host, 0, &(struct host_command){.opcode = A_IDENTIFY, .prp1 = M_DATA, .dw10 = 1});
    host_ring(host, 0);
    host_settle(host);
    assert_true(pin(host));
    assert_true(host_completion(host, 0, &completion));
    assert_true(pin(host));
    host_put(host, R_INTMS, 4, 1);
    assert_int_equal(host_get(host, R_INTMC, 4), 1);
    assert_false(pin(host));
    host_put(host, R_INTMC, 4, 1);
    assert_true(pin(host));
    assert_true(host_completion(host, 0, &completion));
    assert_false(pin(host));
    host_submit(host, 0, &(struct host_command){.opcode = A_IDENTIFY, .prp1 = M_DATA, .dw10 = 1});
    host_ring(host, 0);
    host_settle(host);
    assert_true(pin(host));
    host_put(host, R_CC, 4, 0);
    host_wait_ready(host, false);
    assert_false(pin(host));
    host_destroy(host);
}

/* Held, not failed; in a queue of two entries they do not stand in the way of anybody. */
static void asynchronous_events_are_held(void **state)
{
    struct host *host = host_create(NULL);
    const struct host_command event = {.opcode = A_EVENT, .named = true, .cid = 0x700};
    struct host_completion completion;

    (void)state;
    host_start(host, 2, true);
    for (unsigned n = 0; n < 4; n++) {
        struct host_command one = event;

        one.cid = (uint16_t)(0x700 + n);
        host_submit(host, 0, &one);
        host_ring(host, 0);
        host_settle(host);
        assert_false(host_peek_completion(host, 0, &completion));
        assert_int_equal(host_identify(host, 1, 0), 0);
    }
    assert_int_equal(host_status(host, 0, &event), E_EVENT_LIMIT);
    /* A doorbell of no queue: an error event, once until the log is read. */
    host_put(host, R_TAIL(3), 4, 1);
    host_settle(host);
    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.cid, 0x700);
    assert_int_equal(completion.status, 0);
    assert_int_equal(completion.dw0, 0x010000);
    host_put(host, R_TAIL(0), 4, 9);
    host_settle(host);
    assert_false(host_peek_completion(host, 0, &completion));
    assert_int_equal(host_log(host, 1, 64, 0, true), 0); /* retained: still masked */
    assert_false(host_peek_completion(host, 0, &completion));
    host_submit(host, 0,
                &(struct host_command){.opcode = A_GET_LOG, .nsid = UINT32_MAX, .prp1 = M_DATA, .dw10 = 15U << 16 | 1});
    host_ring(host, 0);
    host_settle(host);
    assert_true(host_completion(host, 0, &completion)); /* the log page; then there is room for the event */
    host_settle(host);
    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.cid, 0x701);
    assert_int_equal(completion.dw0, 0x010100);
    host_destroy(host);
}

static void a_threshold_below_the_temperature_is_an_event(void **state)
{
    struct host *host = host_create(NULL);
    struct host_completion completion;

    (void)state;
    host_start(host, 16, true);
    host_submit(host, 0, &(struct host_command){.opcode = A_EVENT, .named = true, .cid = 0x900});
    host_ring(host, 0);
    assert_int_equal(host_log(host, 2, 512, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 1), 0);
    assert_int_equal(set_feature(host, 4, 300), 0); /* nobody asked for the event */
    assert_false(host_peek_completion(host, 0, &completion));
    assert_int_equal(set_feature(host, 0x0B, 2), 0);
    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.cid, 0x900);
    assert_int_equal(completion.dw0, 0x020101);
    assert_int_equal(host_log(host, 2, 512, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 1), 2);
    host_destroy(host);
}

static void grow(struct host *host, uint64_t size)
{
    struct error error = {""};

    if (block_grow(host->block, size, &error) < 0)
        fail_msg("%s", error.text);
    host_settle(host);
}

static void expect_event(struct host *host, uint16_t cid, uint32_t what)
{
    struct host_completion completion;

    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.cid, cid);
    assert_int_equal(completion.status, 0);
    assert_int_equal(completion.dw0, what);
}

static uint64_t identified_blocks(struct host *host)
{
    assert_int_equal(host_identify(host, 0, 1), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), host_peek(host, M_DATA + 8, 8));
    return host_peek(host, M_DATA, 8);
}

/* NVMe 5.2, 5.14.1.4: told once to who has asked for it, again when the page that names the namespace has been read. */
static void a_larger_namespace_is_an_event(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, HOST_IMAGE / 512, 1, M_DATA, 0);
    struct host_completion completion;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    assert_int_equal(host_identify(host, 1, 0), 0);
    assert_int_equal(host_peek(host, M_DATA + 92, 4), 0x100); /* OAES */
    for (unsigned n = 0; n < 3; n++)
        host_submit(host, 0, &(struct host_command){.opcode = A_EVENT, .named = true, .cid = (uint16_t)(0xA00 + n)});
    host_ring(host, 0);
    host_settle(host);
    grow(host, HOST_IMAGE + 512); /* nobody asked for the event */
    assert_false(host_peek_completion(host, 0, &completion));
    assert_int_equal(host_log(host, 4, 4096, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 1);
    assert_int_equal(host_log(host, 4, 4096, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 0);
    assert_int_equal(set_feature(host, 0x0B, 0x100), 0);
    grow(host, HOST_IMAGE + 1024);
    expect_event(host, 0xA00, 0x040002);
    grow(host, HOST_IMAGE + 2048); /* masked until the page is read */
    assert_false(host_peek_completion(host, 0, &completion));
    assert_int_equal(identified_blocks(host), HOST_IMAGE / 512 + 4);
    assert_int_equal(host_log(host, 4, 4096, 0, true), 0); /* retained */
    assert_int_equal(host_peek(host, M_DATA, 8), 1);
    host_settle(host);
    assert_false(host_peek_completion(host, 0, &completion));
    host_submit(
        host, 0,
        &(struct host_command){.opcode = A_GET_LOG, .nsid = UINT32_MAX, .prp1 = M_DATA, .dw10 = 1023U << 16 | 4});
    host_ring(host, 0);
    host_settle(host);
    assert_true(host_completion(host, 0, &completion));
    assert_int_equal(completion.status, 0);
    host_settle(host);
    expect_event(host, 0xA01, 0x040002); /* of the growth meanwhile */
    assert_int_equal(host_status(host, 1, &read), 0);
    /* A driver that starts anew is told nothing of what it finds anyway. */
    grow(host, HOST_IMAGE + 4096);
    host_start(host, 16, true);
    assert_int_equal(host_log(host, 4, 4096, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 0);
    assert_int_equal(identified_blocks(host), HOST_IMAGE / 512 + 8);
    host_destroy(host);
}

static void features_of_the_contract_are_accepted(void **state)
{
    static const struct {
        unsigned feature;
        uint32_t value, back;
    } features[] = {{0x01, 0x07070703, 0x07070703},
                    {0x02, 0, 0},
                    {0x04, 350, 350},
                    {0x05, 10, 10},
                    {0x06, 0, 0},
                    {0x06, 1, 1},
                    {0x08, 0x0A05, 0x0A05},
                    {0x09, 1 << 16 | 2, 1 << 16 | 2},
                    {0x0A, 1, 1},
                    {0x0B, 0x1F, 0x1F}};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    for (unsigned n = 0; n < ARRAY_SIZE(features); n++) {
        unsigned feature = features[n].feature;
        struct host_completion now;

        assert_int_equal(set_feature(host, feature, features[n].value), 0);
        now = get_feature(host, feature, 0, feature == 9 ? 2 : 0);
        assert_int_equal(now.status, 0);
        assert_int_equal(now.dw0, features[n].back);
        assert_int_equal(get_feature(host, feature, 3, 0).dw0, feature == 2 ? 0 : 4);
        assert_int_equal(get_feature(host, feature, 1, 0).status, 0);
        assert_int_equal(set_feature(host, feature | 1U << 31, features[n].value), E_NOT_SAVEABLE);
    }
    assert_int_equal(get_feature(host, 0x04, 1, 0).dw0, 343); /* the default stands */
    assert_int_equal(set_feature(host, 0x02, 1), E_FIELD);
    assert_int_equal(set_feature(host, 0x09, 5), E_FIELD); /* vectors 0 to 4 */
    assert_int_equal(get_feature(host, 0x0C, 0, 0).status, E_FIELD);
    assert_int_equal(get_feature(host, 0xC0, 0, 0).status, E_FIELD);
    assert_int_equal(set_feature(host, 0x0C, 1), E_FIELD);
    /* A reset takes them back. */
    host_start(host, 16, true);
    assert_int_equal(get_feature(host, 0x01, 0, 0).dw0, 0);
    host_destroy(host);
}

static void timestamp_counts_on(void **state)
{
    struct host *host = host_create(NULL);
    const uint64_t then = UINT64_C(1790000000000);

    (void)state;
    host_start(host, 16, true);
    assert_int_equal(get_feature(host, 0x0E, 0, 0).status, 0);
    assert_int_equal(host_peek(host, M_DATA, 8) >> 48, 0);
    host_poke(host, M_DATA, 8, then);
    assert_int_equal(set_feature(host, 0x0E, 0), 0);
    assert_int_equal(get_feature(host, 0x0E, 0, 0).status, 0);
    assert_in_range(host_peek(host, M_DATA, 6 + 2) & 0xFFFFFFFFFFFF, then, then + 600000);
    assert_int_equal(host_peek(host, M_DATA + 6, 1), 2);
    host_destroy(host);
}

static void number_of_queues_is_what_was_asked_for_or_ours(void **state)
{
    struct host *host = host_create(&(struct host_setup){.queues = 4});
    struct host_completion completion;

    (void)state;
    host_start(host, 16, true);
    assert_int_equal(get_feature(host, 7, 0, 0).dw0, 0x00030003);
    completion =
        host_run(host, 0, &(struct host_command){.opcode = A_SET_FEATURES, .dw10 = 7, .dw11 = 63U << 16 | 63U});
    assert_int_equal(completion.status, 0);
    assert_int_equal(completion.dw0, 0x00030003);
    completion = host_run(host, 0, &(struct host_command){.opcode = A_SET_FEATURES, .dw10 = 7, .dw11 = 1U << 16 | 2U});
    assert_int_equal(completion.dw0, 0x00010002);
    assert_int_equal(set_feature(host, 7, 0xFFFF0000), E_FIELD);
    assert_int_equal(set_feature(host, 7, 0x0000FFFF), E_FIELD);
    assert_int_equal(host_create_cq(host, 2, 16, 2), 0);
    assert_int_equal(host_create_cq(host, 3, 16, 3), E_QUEUE_ID);
    assert_int_equal(host_create_sq(host, 3, 16, 2), 0);
    assert_int_equal(host_create_sq(host, 4, 16, 2), E_QUEUE_ID);
    assert_int_equal(set_feature(host, 7, 0), E_SEQUENCE);
    host_destroy(host);
}

/* As OVMF does it: no queue of its has interrupts. Then as an operating system does. */
static void who_drives_it(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    assert_false(nvme_driven(host->nvme));
    host_start(host, 16, true);
    assert_false(nvme_driven(host->nvme));
    assert_int_equal(
        host_status(host, 0,
                    &(struct host_command){
                        .opcode = A_CREATE_CQ, .prp1 = M_CQ(1), .dw10 = 15U << 16 | 1, .dw11 = 1U << 16 | 1}),
        0);
    assert_int_equal(host_create_sq(host, 1, 16, 1), 0);
    assert_false(nvme_driven(host->nvme));
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    assert_true(nvme_driven(host->nvme));
    host_put(host, R_CC, 4, 0);
    host_wait_ready(host, false);
    assert_false(nvme_driven(host->nvme));
    host_destroy(host);
}

static void a_batch_has_one_interrupt_for_each_queue(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);
    struct host_completion completion;
    unsigned seen = 0;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 2, 64);
    assert_true(host_interrupted(host, 0));
    assert_false(host_interrupted(host, 0));
    for (unsigned n = 0; n < 60; n++)
        host_submit(host, 1, &read);
    host_ring(host, 1);
    host_settle(host);
    assert_true(host_interrupted(host, 1));
    assert_false(host_interrupted(host, 2));
    assert_false(host_interrupted(host, 0));
    while (host_completion(host, 1, &completion))
        seen += completion.status == 0;
    assert_int_equal(seen, 60);
    assert_false(pin(host));
    host_destroy(host);
}

static void orderly_shutdown_flushes(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command write = host_transfer(N_WRITE, 0, 8, M_DATA, 0);
    struct block_totals totals;

    (void)state;
    for (unsigned kind = 1; kind <= 2; kind++) {
        host_start(host, 16, true);
        assert_int_equal(host_get(host, R_CSTS, 4), 1);
        host_io_queues(host, 1, 16);
        assert_int_equal(host_status(host, 1, &write), 0);
        block_totals(host->block, &totals);
        assert_int_equal(totals.flushes, kind - 1);
        host_put(host, R_CC, 4, CC_ON | kind << 14);
        assert_int_not_equal(host_get(host, R_CSTS, 4) >> 2 & 3, 0);
        host_settle(host);
        assert_int_equal(host_get(host, R_CSTS, 4), 1 | 2 << 2);
        block_totals(host->block, &totals);
        assert_int_equal(totals.flushes, kind);
    }
    host_put(host, R_CC, 4, 0);
    host_settle(host);
    assert_int_equal(host_get(host, R_CSTS, 4), 0);
    host_destroy(host);
}

/* Together with the end of CC.EN, too: who waits for SHST sees it. */
static void shutdown_with_disable_still_ends(void **state)
{
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    host_put(host, R_CC, 4, 1U << 14);
    host_settle(host);
    assert_int_equal(host_get(host, R_CSTS, 4), 2 << 2);
    host_start(host, 16, true);
    assert_int_equal(host_get(host, R_CSTS, 4), 1);
    assert_int_equal(host_identify(host, 1, 0), 0);
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admin_queue_registers_read_back_while_enabled),
        cmocka_unit_test(firmware_works_with_queues_of_two_entries),
        cmocka_unit_test(pin_drops_when_the_head_catches_up),
        cmocka_unit_test(asynchronous_events_are_held),
        cmocka_unit_test(a_threshold_below_the_temperature_is_an_event),
        cmocka_unit_test(a_larger_namespace_is_an_event),
        cmocka_unit_test(features_of_the_contract_are_accepted),
        cmocka_unit_test(timestamp_counts_on),
        cmocka_unit_test(number_of_queues_is_what_was_asked_for_or_ours),
        cmocka_unit_test(who_drives_it),
        cmocka_unit_test(a_batch_has_one_interrupt_for_each_queue),
        cmocka_unit_test(orderly_shutdown_flushes),
        cmocka_unit_test(shutdown_with_disable_still_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
