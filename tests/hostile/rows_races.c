/* Attacks by a second processor, and by resets. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "rows.h"
#include "victim.h"

#define DISK_RING 256
#define BUFFER 4096U
#define CANARY 0x5C

/* A thread on the second processor that does one thing over and over. */
struct racer {
    pthread_t thread;
    _Atomic bool stop;
    void (*step)(unsigned turn);
};

static void run_on(unsigned processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("there is no processor %u", processor);
}

static void *racer_main(void *opaque)
{
    struct racer *racer = opaque;

    run_on(1);
    for (unsigned turn = 0; !atomic_load(&racer->stop); turn++)
        racer->step(turn);
    return NULL;
}

static void racer_start(struct racer *racer, void (*step)(unsigned turn))
{
    *racer = (struct racer){.step = step};
    run_on(0);
    if (pthread_create(&racer->thread, NULL, racer_main, racer) != 0)
        die("no thread");
}

static void racer_stop(struct racer *racer)
{
    atomic_store(&racer->stop, true);
    pthread_join(racer->thread, NULL);
}

/* Row 6: a long read, and its head again in the same batch or in the next. */
const char *the_same_head_twice(void)
{
    struct victim *disk = &field.disk;
    unsigned broken = 0, rounds = 100;

    for (unsigned n = 0; n < rounds; n++) {
        enum outcome outcome;
        const char *why;

        victim_start(disk, 0, RING_SIZE);
        disk_describe(&disk->queue, 0, T_IN, 0, 0, 256 * SECTOR);
        queue_add(&disk->queue, 0);
        if (n & 1)
            queue_kick(&disk->queue);
        for (unsigned again = 0; again < 1 + n % 5; again++)
            queue_add(&disk->queue, 0);
        outcome = victim_attack(disk);
        if (outcome == SILENT)
            return "disk: a head that comes twice is not answered";
        broken += outcome == BROKEN;
        why = victim_serves(disk);
        if (why)
            return why;
    }
    return broken ? NULL : "disk: no head was ever in flight when it came again";
}

/* Row 11. Requests of 8 KiB: reads of the lower half, writes into the upper. */
#define LOAD 64
#define LOAD_BYTES 8192U

static void submit_load(struct victim *disk)
{
    for (unsigned n = 0; n < LOAD; n++) {
        uint64_t sector = (n & 1 ? field.capacity / 2 : 0) + (uint64_t)n * (LOAD_BYTES / SECTOR);

        disk_describe(&disk->queue, 3 * n, n & 1 ? T_OUT : T_IN, sector, n * LOAD_BYTES, LOAD_BYTES);
        queue_add(&disk->queue, 3 * n);
    }
    queue_kick(&disk->queue);
}

static const char *untouched(const uint8_t *at, size_t length, uint8_t value)
{
    for (size_t n = 0; n < length; n++)
        if (at[n] != value)
            return failed("disk: byte %zu is 0x%02x after a reset, not 0x%02x", n, at[n], value);
    return NULL;
}

/* What was on its way out when the reset came must not have taken bytes from after it. */
static const char *no_late_writes(struct victim *disk)
{
    const char *why = victim_serves(disk);

    for (unsigned n = 1; n < LOAD && !why; n += 2) {
        disk_describe(&disk->queue, 0, T_IN, field.capacity / 2 + (uint64_t)n * (LOAD_BYTES / SECTOR), 0, LOAD_BYTES);
        queue_add(&disk->queue, 0);
        queue_kick(&disk->queue);
        if (queue_wait(&disk->queue, WAIT_SECONDS) != SERVED || *disk_status(0))
            return "disk: what was written cannot be read";
        for (unsigned i = 0; i < LOAD_BYTES; i++)
            if (field.data.at[i] == CANARY)
                return "disk: a write took bytes that were put there after the reset";
    }
    return why;
}

const char *resets_under_load(void)
{
    struct victim *disk = &field.disk;
    size_t load = (size_t)LOAD * LOAD_BYTES;
    const char *why = NULL;

    for (unsigned n = 0; n < 300 && !why; n++) {
        memset(field.data.at, 0x11, load);
        victim_start(disk, n & 1 ? F_EVENT_IDX : 0, DISK_RING);
        submit_load(disk);
        if (n % 4 > 1)
            usleep(n % 7 * 100);
        device_reset(&disk->device);
        field.attacks++;
        /* The memory is used for something else from now on, queues included. */
        memset(field.data.at, CANARY, load);
        memset(field.rings.at, CANARY, (size_t)3 * 4096);
        memset(field.rings.at + HEADERS_AT, CANARY, (size_t)DISK_RING * 64);
        usleep(500);
        why = untouched(field.data.at, load, CANARY);
        if (!why)
            why = untouched(field.rings.at, (size_t)3 * 4096, CANARY);
        if (!why)
            why = untouched(field.rings.at + HEADERS_AT, (size_t)DISK_RING * 64, CANARY);
        if (!why && n % 10 == 0)
            why = victim_serves(disk);
    }
    return why ? why : no_late_writes(disk);
}

/*
 * The same with a producer that is faster than the device: chains that are answered at once, so that all heads are free
 * again whenever it looks.
 */
static void produce(unsigned turn)
{
    struct queue *queue = &field.disk.queue;

    (void)turn;
    __atomic_store_n(&queue->available[1], (uint16_t)(queue_used(queue) + DISK_RING), __ATOMIC_RELEASE);
}

/* The reset comes after so many rounds of the device, or when it had time enough. Adds the rounds that it had. */
static const char *reset_while_producing(struct victim *disk, unsigned n, unsigned *rounds)
{
    struct queue *queue = &disk->queue;
    struct racer racer;
    const char *why = NULL;

    victim_start(disk, n & 1 ? F_EVENT_IDX : 0, DISK_RING);
    for (unsigned i = 0; i < DISK_RING; i++) {
        queue_describe(queue, i, field.data.physical + i, 1, D_WRITE, 0);
        queue->available[2 + i] = (uint16_t)i;
    }
    racer_start(&racer, produce);
    for (unsigned tries = 0; tries < 50 && queue_used(queue) < (2 + n % 4) * DISK_RING; tries++) {
        queue_kick(queue);
        usleep(200);
    }
    *rounds += queue_used(queue) / DISK_RING;
    device_reset(&disk->device);
    field.attacks++;
    memset(field.data.at, CANARY, DISK_RING);
    usleep(200);
    why = untouched(field.data.at, DISK_RING, CANARY);
    racer_stop(&racer);
    return why;
}

const char *resets_under_a_producer(void)
{
    struct victim *disk = &field.disk;
    unsigned rounds = 0;
    const char *why = NULL;

    for (unsigned n = 0; n < 200 && !why; n++) {
        why = reset_while_producing(disk, n, &rounds);
        if (!why && n % 10 == 0)
            why = victim_serves(disk);
    }
    if (!why && rounds < 200)
        why = "disk: the producer was not faster than the device";
    return why;
}

/* Row 20. The benign flips are all right in any mixture; the device must carry out one of them, and whole. */
static void flip_benign(unsigned turn)
{
    volatile struct descriptor *data = &field.disk.queue.descriptors[1];

    data->length = turn & 1 ? BUFFER : SECTOR;
    data->address = field.data.physical + (turn & 2 ? 2 * BUFFER : 0);
}

static void flip_hostile(unsigned turn)
{
    const uint32_t lengths[] = {SECTOR, BUFFER, 0, UINT32_MAX, SECTOR - 1, 0x80000000};
    const uint64_t addresses[] = {field.data.physical, field.data.physical + 2 * BUFFER, field.ram_end - 1,
                                  UINT64_MAX - 7, 0xC0000000};
    static const uint16_t flags[] = {D_NEXT | D_WRITE, D_NEXT, D_NEXT | D_WRITE,
                                     D_INDIRECT,       0,      D_WRITE | D_NEXT | D_INDIRECT};
    volatile struct descriptor *data = &field.disk.queue.descriptors[1];

    /* Mostly good, so that the device gets far. */
    data->length = turn % 4 ? SECTOR : lengths[turn / 4 % 6];
    data->address = turn % 3 ? field.data.physical : addresses[turn / 3 % 5];
    data->flags = turn % 5 ? D_NEXT | D_WRITE : flags[turn / 5 % 6];
    data->next = turn % 7 ? 2 : (uint16_t)(turn / 7);
}

static void prepare_flips(struct victim *disk)
{
    victim_start(disk, 0, RING_SIZE);
    disk_describe(&disk->queue, 0, T_IN, 7, 0, SECTOR);
    memset(field.data.at, CANARY, (size_t)4 * BUFFER);
}

static const char *canaries(void)
{
    const char *why = untouched(field.data.at + BUFFER, BUFFER, CANARY);

    return why ? why : untouched(field.data.at + (size_t)3 * BUFFER, BUFFER, CANARY);
}

static const char *benign_flips(struct victim *disk, unsigned rounds)
{
    const char *why = NULL;

    for (unsigned n = 0; n < rounds && !why; n++) {
        enum outcome outcome;
        uint32_t length;

        disk_set_header(0, T_IN, 7);
        queue_add(&disk->queue, 0);
        outcome = victim_attack(disk);
        length = queue_element(&disk->queue, (uint16_t)(disk->queue.index - 1)).length;
        if (outcome != SERVED || *disk_status(0) || (length != SECTOR + 1 && length != BUFFER + 1))
            why = failed("disk: a request in flux is %s with status %u and %u bytes", outcome_name(outcome),
                         *disk_status(0), length);
    }
    return why ? why : canaries();
}

static const char *hostile_flips(struct victim *disk, unsigned rounds)
{
    const char *why = NULL;

    for (unsigned n = 0; n < rounds && !why; n++) {
        enum outcome outcome;

        queue_add(&disk->queue, 0);
        outcome = victim_attack(disk);
        if (outcome == SILENT)
            why = "disk: a request in flux is not answered";
        if (outcome == BROKEN) {
            victim_start(disk, 0, RING_SIZE);
            disk_describe(&disk->queue, 0, T_IN, 7, 0, SECTOR);
        }
    }
    return why ? why : canaries();
}

const char *descriptors_that_change(void)
{
    struct victim *disk = &field.disk;
    struct racer racer;
    unsigned long breaks;
    const char *why;

    prepare_flips(disk);
    racer_start(&racer, flip_benign);
    why = benign_flips(disk, 800);
    racer_stop(&racer);
    if (why)
        return why;
    prepare_flips(disk);
    breaks = field.breaks;
    racer_start(&racer, flip_hostile);
    why = hostile_flips(disk, 800);
    racer_stop(&racer);
    if (!why && field.breaks == breaks)
        why = "disk: no bad descriptor was ever seen";
    return why ? why : victim_serves(disk);
}

/* Row 29. */
static void kick_without_end(unsigned turn)
{
    queue_kick(&field.disk.queue);
    if (turn % 64 == 0)
        sched_yield();
}

static void tear(unsigned turn)
{
    volatile uint8_t *bytes = (volatile uint8_t *)&field.disk.queue.available[1];
    uint16_t value = (uint16_t)(queue_used(&field.disk.queue) + turn % 3 + (turn % 50 ? 0 : 0x101));

    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

/* Whole stores, with a processor that makes the device look all the time: over 0xFF to 0x100 and on, no index is torn.
 */
static const char *whole_indices(struct victim *disk)
{
    struct racer racer;
    const char *why = NULL;

    victim_start(disk, 0, RING_SIZE);
    racer_start(&racer, kick_without_end);
    for (unsigned n = 0; n < 800 && !why; n++)
        why = disk_read_checked(disk, 3 * (n % 20), n * 13 % (field.capacity / 2));
    racer_stop(&racer);
    return why;
}

const char *a_torn_index(void)
{
    struct victim *disk = &field.disk;
    const char *why = whole_indices(disk);

    for (unsigned n = 0; n < 100 && !why; n++) {
        struct racer racer;

        victim_start(disk, 0, DISK_RING);
        for (unsigned i = 0; i < DISK_RING; i++) {
            queue_describe(&disk->queue, i, field.data.physical + i, 1, D_WRITE, 0);
            disk->queue.available[2 + i] = (uint16_t)i;
        }
        racer_start(&racer, tear);
        for (unsigned i = 0; i < 20; i++) {
            queue_kick(&disk->queue);
            usleep(50);
        }
        field.attacks++;
        field.breaks += (device_status(&disk->device) & STATUS_NEEDS_RESET) != 0;
        racer_stop(&racer);
        why = victim_serves(disk);
    }
    return why;
}
