/* A driver that does not stand still: it changes what the controller is reading, and refills queues as fast as they are
 * served (lessons 4.5, rows 12 and 20). */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "../../devices/nvme/nvme_private.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

#define RAM (64 * MiB)
#define BATCH 60U
#define BATCHES 500U
#define MANY_BATCHES 20000U
#define LIST_END 0x1000U
#define M_RANGES (M_DATA + 0x100000U)

/* Another processor of the guest, which writes those words over and over, each with one value after the other. */
struct scribbler {
    uint64_t *words[8];
    const uint64_t *values;
    unsigned word_count, value_count;
    pthread_t thread;
    _Atomic bool over;
};

/* The calling thread keeps to the processor of that number among those that there are, so that two of them race. */
static void stay_on(unsigned number)
{
    cpu_set_t all, one;
    unsigned seen = 0;

    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && seen++ == number % (unsigned)CPU_COUNT(&all))
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void work_there(void *opaque)
{
    (void)opaque;
    stay_on(1);
}

static void *scribble(void *opaque)
{
    struct scribbler *scribbler = opaque;

    stay_on(0);
    for (unsigned n = 0; !atomic_load(&scribbler->over); n++)
        __atomic_store_n(scribbler->words[n % scribbler->word_count],
                         htole64(scribbler->values[n / scribbler->word_count % scribbler->value_count]),
                         __ATOMIC_RELAXED);
    return NULL;
}

static void scribbler_add(struct scribbler *scribbler, struct host *host, uint64_t at)
{
    scribbler->words[scribbler->word_count++] = (uint64_t *)(void *)host_memory(host, at, 8);
}

static void scribbler_start(struct scribbler *scribbler, const uint64_t *values, unsigned count)
{
    scribbler->values = values;
    scribbler->value_count = count;
    assert_int_equal(pthread_create(&scribbler->thread, NULL, scribble, scribbler), 0);
}

static void scribbler_stop(struct scribbler *scribbler)
{
    atomic_store(&scribbler->over, true);
    pthread_join(scribbler->thread, NULL);
}

static void assert_serves(struct host *host)
{
    struct host_command read = host_transfer(N_READ, HOST_IMAGE / 512 - 8, 8, M_DATA, 0); /* nobody has written there */

    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    memset(host_memory(host, M_DATA, 4096), 0xEE, 4096);
    assert_int_equal(host_status(host, 1, &read), 0);
    assert_int_equal(host_peek(host, M_DATA + 4088, 8), 0);
    assert_int_equal(host_unused_requests(host), 512);
}

/*
 * Runs the commands over and over while the scribbler writes, until some have succeeded and some were refused, with one
 * of two statuses; any other one means that what was used is not what was checked.
 */
static void race(struct host *host, struct scribbler *scribbler, const struct host_command *commands, unsigned count,
                 unsigned refusal, unsigned other_refusal)
{
    struct host_completion completion;
    unsigned done = 0, refused = 0;

    host_on_loop(host, work_there, NULL);
    for (unsigned n = 0; n < BATCHES || ((!done || !refused) && n < MANY_BATCHES); n++) {
        for (unsigned i = 0; i < BATCH; i++)
            host_submit(host, 1, &commands[i % count]);
        host_ring(host, 1);
        host_settle(host);
        while (host_completion(host, 1, &completion)) {
            if (completion.status && completion.status != refusal && completion.status != other_refusal)
                fail_msg("status 0x%x", completion.status);
            done += completion.status == 0;
            refused += completion.status != 0;
        }
        assert_int_equal((done + refused), (n + 1) * BATCH);
    }
    scribbler_stop(scribbler);
    assert_true(done && refused);
}

/* Every other entry is none. Whatever one is when it is read: the command succeeds, or is refused for it, and nothing
 * else is touched. */
static void a_list_that_changes_while_it_is_read(void **state)
{
    static const uint64_t entries[] = {
        M_DATA, UINT64_C(1) << 60, M_DATA + 0x1000, UINT64_MAX - 4095, RAM - 4096, RAM, M_DATA + 0x2000, M_DATA + 8,
        0,      NVME_BAR,          M_LISTS + 0x1000};
    struct host *host = host_create(NULL);
    struct host_command commands[] = {
        host_transfer(N_READ, 0, 24, M_DATA, M_LISTS), host_transfer(N_WRITE, 0, 24, M_DATA, M_LISTS),
        host_transfer(N_READ, 0, 24, M_DATA, M_LISTS + LIST_END - 8), /* its first page leads on at once */
        host_transfer(N_READ, 0, 32, M_DATA, M_LISTS + LIST_END - 16)};
    struct scribbler scribbler = {0};

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 64);
    for (unsigned n = 0; n < 2; n++) {
        scribbler_add(&scribbler, host, M_LISTS + 8 * n);
        scribbler_add(&scribbler, host, M_LISTS + LIST_END - 16 + 8 * n);
        scribbler_add(&scribbler, host, M_LISTS + LIST_END + 8 * n);
    }
    scribbler_start(&scribbler, entries, ARRAY_SIZE(entries));
    race(host, &scribbler, commands, ARRAY_SIZE(commands), E_TRANSFER, E_PRP_OFFSET);
    assert_serves(host);
    host_destroy(host);
}

/* Ranges are checked and used as they were read: one that was inside when it was looked at does not get outside. */
static void ranges_that_change_while_they_are_read(void **state)
{
    static const uint64_t lbas[] = {0, HOST_IMAGE / 512, 64, UINT64_MAX, 8, UINT64_C(1) << 55};
    const struct host_command dataset = {.opcode = N_DATASET, .nsid = 1, .prp1 = M_RANGES, .dw10 = 3, .dw11 = 4};
    struct host *host = host_create(NULL);
    struct scribbler scribbler = {0};

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 64);
    for (unsigned n = 0; n < 4; n++) {
        host_poke(host, M_RANGES + 16 * n + 4, 4, 8);
        scribbler_add(&scribbler, host, M_RANGES + 16 * n + 8);
    }
    scribbler_start(&scribbler, lbas, ARRAY_SIZE(lbas));
    race(host, &scribbler, &dataset, 1, E_RANGE, E_RANGE);
    assert_serves(host);
    host_destroy(host);
}

#define SERVED 5000U
#define ENTRIES 1024U

/* Other work of the controller's loop: each time it has its turn it fills the queue up again, by as much as was served
 * since the last one. */
struct feeder {
    struct host *host;
    struct host_command command;
    struct loop_task task;
    unsigned head, served, most;
    bool shadowed;
    sem_t over;
};

static void ring(struct feeder *feeder)
{
    struct host *host = feeder->host;

    if (feeder->shadowed) {
        host_poke(host, M_SHADOWS + 12, 4, host->cq[1].head);
        host_poke(host, M_SHADOWS + 8, 4, host->sq[1].tail);
    }
    host_ring(host, 1);
}

static void feed(void *opaque)
{
    struct feeder *feeder = opaque;
    struct host *host = feeder->host;
    unsigned head = host->nvme->state.sq[1].head, taken = (head + ENTRIES - feeder->head) % ENTRIES;
    struct host_completion completion;

    while (host_completion(host, 1, &completion))
        continue;
    for (unsigned n = 0; n < taken; n++)
        host_submit(host, 1, &feeder->command);
    ring(feeder);
    feeder->head = head;
    feeder->served += taken;
    feeder->most = MAX(feeder->most, taken);
    if (feeder->served < SERVED)
        loop_post(host->nvme->loop, &feeder->task);
    else
        sem_post(&feeder->over);
}

/* shadowed: tails and heads are in memory, and the doorbell says only that they have moved. */
static void refill(const struct host_command *command, bool shadowed)
{
    struct host *host = host_create(NULL);
    struct feeder feeder = {
        .host = host, .command = *command, .shadowed = shadowed, .task = {.run = feed, .opaque = &feeder}};
    const struct host_command shadows = {.opcode = A_DOORBELL_BUFFERS, .prp1 = M_SHADOWS, .prp2 = M_INDEXES};

    sem_init(&feeder.over, 0, 0);
    host_start(host, 16, true);
    host_io_queues(host, 1, ENTRIES);
    if (shadowed)
        assert_int_equal(host_status(host, 0, &shadows), 0);
    for (unsigned n = 0; n < ENTRIES - 1; n++)
        host_submit(host, 1, command);
    loop_post(host->nvme->loop, &feeder.task); /* whose first turn rings */
    sem_wait(&feeder.over);
    /* A burst and perhaps a second one between two turns, out of a queue that always holds many more. */
    assert_in_range(feeder.most, 1, 128);
    host_settle(host);
    assert_serves(host);
    sem_destroy(&feeder.over);
    host_destroy(host);
}

static void a_queue_refilled_as_fast_as_it_is_served(void **state)
{
    const struct host_command read = host_transfer(N_READ, 0, 1, M_DATA, 0);

    (void)state;
    for (unsigned shadowed = 0; shadowed < 2; shadowed++) {
        refill(&(struct host_command){.opcode = N_COMPARE, .nsid = 1}, shadowed); /* refused, so that it ends at once */
        refill(&(struct host_command){.opcode = N_FLUSH, .nsid = 1}, shadowed);
        refill(&read, shadowed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_that_changes_while_it_is_read),
        cmocka_unit_test(ranges_that_change_while_they_are_read),
        cmocka_unit_test(a_queue_refilled_as_fast_as_it_is_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
