/* An NVMe disk's controller is reset under load by CC.EN (fake_resets.h). */
#include <sched.h>
#include <string.h>

#include "cmocka_all.h"
#include "fake_nvme.h"
#include "fake_resets.h"

#define PATIENCE_NS INT64_C(60000000000)

static void start(void *opaque)
{
    host_start(opaque, 16, false);
    host_io_queues(opaque, 1, 32);
}

static uint8_t *buffer(void *opaque, unsigned slot)
{
    return host_memory(opaque, M_DATA + slot * RESETS_BLOCK, RESETS_BLOCK);
}

static void write_block(void *opaque, unsigned slot, unsigned block)
{
    struct host_command command = host_transfer(N_WRITE, (uint64_t)block * (RESETS_BLOCK / 512), RESETS_BLOCK / 512,
                                                M_DATA + slot * RESETS_BLOCK, 0);

    command.named = true;
    command.cid = (uint16_t)slot;
    host_submit(opaque, 1, &command);
    host_ring(opaque, 1);
}

static int completed(void *opaque)
{
    struct host_completion completion;

    if (!host_completion(opaque, 1, &completion))
        return -1;
    assert_int_equal(completion.status, 0);
    return completion.cid;
}

/* NVMe 1.4, 7.6.2: memory is the driver's again when CSTS.RDY reads 0. */
static void reset(void *opaque)
{
    int64_t end = clock_ns() + PATIENCE_NS;

    host_put(opaque, R_CC, 4, 0);
    while (host_get(opaque, R_CSTS, 4) & 1) {
        assert_true(clock_ns() < end);
        sched_yield();
    }
}

static void controller_resets(void **state)
{
    struct host *host = host_create(NULL);
    const struct resets_driver driver = {start, buffer, write_block, completed, reset, host};

    (void)state;
    resets_run(&driver, host->block);
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(controller_resets)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
