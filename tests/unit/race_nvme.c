/*
 * Threads that meet in the NVMe controller: vCPUs that ring doorbells, one that takes completions, one that resets,
 * shuts down and moves the BAR, and the controller's own. What they write is often wrong; nothing may tear.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

#define ROUNDS 4000
#define LIVES 60

static _Atomic bool over;
static _Atomic unsigned rung;

/* Past the fake board's ioeventfds, which only one thread may ask: as if KVM had refused them. */
static void put(struct host *host, unsigned offset, uint32_t value)
{
    bus_write(host->fake->board.bus, BUS_MMIO, NVME_BAR + offset, 4, value);
}

static void *ring_tails(void *opaque)
{
    struct host *host = opaque;

    for (unsigned n = 0; n < ROUNDS || !atomic_load(&over); n++) {
        unsigned queue = n % 3;

        put(host, R_TAIL(queue), n % 70);
        host_get(host, R_CSTS, 4);
        if (n % 16 == 0)
            put(host, n & 16 ? R_INTMS : R_INTMC, 1);
        atomic_fetch_add(&rung, 1);
    }
    return NULL;
}

static void *ring_heads(void *opaque)
{
    struct host *host = opaque;

    for (unsigned n = 0; n < ROUNDS || !atomic_load(&over); n++)
        for (unsigned queue = 0; queue < 3; queue++)
            put(host, R_HEAD(queue), n % 64);
    return NULL;
}

static void *configure(void *opaque)
{
    struct host *host = opaque;

    for (unsigned n = 0; n < LIVES; n++) {
        put(host, R_CC, CC_ON | (n % 4 == 3 ? 1U << 14 : 0));
        for (unsigned waits = 0; waits < 1000 && !(host_get(host, R_CSTS, 4) & 1); waits++)
            put(host, R_TAIL(0), waits % 64);
        if (n % 3 == 0) {
            fake_config_write(host->fake, NVME_DEVFN, 0x04, 2, 0);
            fake_config_write(host->fake, NVME_DEVFN, 0x04, 2, 6);
        }
        put(host, R_CC, 0);
        put(host, R_AQA, 63 << 16 | 63);
        for (unsigned waits = 0; n & 1 && waits < 1000 && (host_get(host, R_CSTS, 4) & 1); waits++)
            continue;
    }
    atomic_store(&over, true);
    return NULL;
}

/* An admin queue that makes two pairs of queues, uses all kinds of commands, and begins again when it wraps. */
static void write_admin_commands(struct host *host, bool shadowed)
{
    const struct host_command commands[] = {
        {.opcode = A_EVENT},
        {.opcode = A_CREATE_CQ, .prp1 = M_CQ(1), .dw10 = 63 << 16 | 1, .dw11 = 1 << 16 | 3},
        {.opcode = A_CREATE_SQ, .prp1 = M_SQ(1), .dw10 = 63 << 16 | 1, .dw11 = 1 << 16 | 1},
        {.opcode = A_CREATE_CQ, .prp1 = M_CQ(2), .dw10 = 63 << 16 | 2, .dw11 = 2 << 16 | 3},
        {.opcode = A_CREATE_SQ, .prp1 = M_SQ(2), .dw10 = 63 << 16 | 2, .dw11 = 2 << 16 | 1},
        {.opcode = shadowed ? A_DOORBELL_BUFFERS : A_ABORT, .prp1 = M_SHADOWS, .prp2 = M_INDEXES},
        {.opcode = A_IDENTIFY, .prp1 = M_DATA, .dw10 = 1},
        {.opcode = A_SET_FEATURES, .dw10 = 6, .dw11 = 0},
        {.opcode = A_GET_LOG, .nsid = UINT32_MAX, .prp1 = M_DATA, .dw10 = 127 << 16 | 2},
        {.opcode = A_IDENTIFY, .prp1 = M_DATA, .dw10 = 3, .nsid = 1},
        {.opcode = A_DELETE_SQ, .dw10 = 2}};

    for (unsigned n = 0; n < 64; n++)
        host_submit(host, 0, &commands[n % ARRAY_SIZE(commands)]);
}

static void everybody_at_once(bool shadowed, bool messages)
{
    static void *(*const parts[])(void *) = {ring_tails, ring_tails, ring_heads, configure};
    struct host *host = host_create(NULL);
    pthread_t threads[ARRAY_SIZE(parts)];

    atomic_store(&over, false);
    host_start(host, 64, messages);
    host_io_queues(host, 2, 64);
    host->sq[0].tail = 0;
    write_admin_commands(host, shadowed);
    for (unsigned n = 0; n < 64; n++)
        for (unsigned queue = 1; queue <= 2; queue++) {
            struct host_command command = host_transfer(n % 4 ? N_READ : N_WRITE, n, 8, M_DATA + n * 0x1000, 0);

            command.opcode = n % 16 == 15 ? N_FLUSH : command.opcode;
            host_submit(host, queue, &command);
        }
    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++)
        assert_int_equal(pthread_create(&threads[n], NULL, parts[n], host), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++)
        pthread_join(threads[n], NULL);
    assert_true(rung >= 2 * ROUNDS);
    host_start(host, 16, messages);
    assert_int_equal(host_identify(host, 1, 0), 0);
    assert_int_equal(host_unused_requests(host), 512);
    host_destroy(host);
}

static void doorbells_and_resets(void **state)
{
    (void)state;
    everybody_at_once(false, true);
}

static void doorbells_and_resets_with_the_pin(void **state)
{
    (void)state;
    everybody_at_once(false, false);
}

static void shadow_doorbells_and_resets(void **state)
{
    (void)state;
    everybody_at_once(true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doorbells_and_resets),
        cmocka_unit_test(doorbells_and_resets_with_the_pin),
        cmocka_unit_test(shadow_doorbells_and_resets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
