/* Attacks through descriptors and rings. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rows.h"
#include "victim.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define QUIET_SECONDS 90

enum { VICTIMS = 3 };
static struct victim *const victims[VICTIMS] = {&field.disk, &field.entropy, &field.card};
#define FOR_EACH(victim) \
    for (struct victim *const *each = victims; each < victims + VICTIMS && ((victim) = *each, true); each++)

static struct descriptor *indirect_table(void)
{
    return (struct descriptor *)(void *)(field.rings.at + INDIRECT_AT);
}

static uint64_t indirect_at(void)
{
    return field.rings.physical + INDIRECT_AT;
}

static void describe_indirect(const struct queue *queue, unsigned n, unsigned entries)
{
    queue_describe(queue, n, indirect_at(), entries * 16, D_INDIRECT, 0);
}

/* Head 0 is offered: the device must say that it needs a reset, and serve after that. */
static const char *must_break(struct victim *victim, const char *what, uint64_t detail)
{
    enum outcome outcome;

    queue_add(&victim->queue, 0);
    outcome = victim_attack(victim);
    if (outcome != BROKEN)
        return failed("%s: %s (0x%llx) is %s", victim->device.name, what, (unsigned long long)detail,
                      outcome_name(outcome));
    return victim_serves(victim);
}

/* Either answer is right, but not silence. */
static const char *must_answer(struct victim *victim, const char *what, uint64_t detail)
{
    enum outcome outcome;

    queue_add(&victim->queue, 0);
    outcome = victim_attack(victim);
    if (outcome == SILENT)
        return failed("%s: %s (0x%llx) is not answered", victim->device.name, what, (unsigned long long)detail);
    return victim_serves(victim);
}

/* Row 2. The forms in which an address reaches the device. */
enum form { HEAD, INDIRECT_ENTRY, INDIRECT_TABLE, FORMS };

static const char *address_in_form(struct victim *victim, enum form form, uint64_t address, uint32_t length)
{
    struct descriptor *table = indirect_table();

    victim_start(victim, F_INDIRECT_DESC, RING_SIZE);
    if (form == HEAD) {
        queue_describe(&victim->queue, 0, address, length, victim->direction, 0);
    } else if (form == INDIRECT_ENTRY) {
        table[0] = (struct descriptor){field.data.physical, 64, (uint16_t)(D_NEXT | victim->direction), 1};
        table[1] = (struct descriptor){address, length, (uint16_t)victim->direction, 0};
        describe_indirect(&victim->queue, 0, 2);
    } else {
        queue_describe(&victim->queue, 0, address, (length + 15) & ~15U, D_INDIRECT, 0);
    }
    return must_break(victim,
                      form == HEAD             ? "an address"
                      : form == INDIRECT_ENTRY ? "an indirect address"
                                               : "a table",
                      address);
}

/* In a request that is otherwise right, as data or as status; nothing of it may be carried out. */
static const char *address_in_request(uint64_t address, uint32_t length, unsigned part)
{
    struct victim *disk = &field.disk;
    const char *why;

    victim_start(disk, 0, RING_SIZE);
    disk_describe(&disk->queue, 0, T_IN, 1, 0, SECTOR);
    disk->queue.descriptors[part].address = address;
    disk->queue.descriptors[part].length = length;
    why = must_break(disk, "an address in a request", address);
    if (!why && *disk_status(0) != 0xEE)
        why = "disk: a malformed request has a status";
    return why;
}

const char *addresses_outside_ram(void)
{
    uint64_t end = field.ram_end;
    uint64_t own = (config_get(&field.disk.device, 0x20, 4) & ~15U) | (uint64_t)config_get(&field.disk.device, 0x24, 4)
                                                                          << 32;
    const struct {
        uint64_t address;
        uint32_t length;
    } bad[] = {{end, 1},
               {end - 1, 2},
               {end - 511, 512},
               {end - 0x1000, 0x2000},
               {end - 16, 0x7FFFFFFF},
               {0, UINT32_MAX},
               {UINT64_MAX, 1},
               {UINT64_MAX - 7, 8},
               {UINT64_MAX - 7, 16},
               {UINT64_MAX - 15, 4096},
               {0x80000000, 16},
               {0xB0000000, 512},
               {0xC0000000, 512},
               {0xFEC00000, 16},
               {0xFEE00000, 16},
               {0xFFFFFFFF, 2},
               {UINT64_C(1) << 32, 16},
               {UINT64_C(1) << 63, 16},
               {own, 16},
               {UINT64_MAX - 0xFFF, 0x2000}};
    struct victim *victim;

    for (unsigned n = 0; n < COUNT(bad); n++) {
        const char *why = NULL;

        FOR_EACH (victim)
            for (unsigned form = HEAD; form < FORMS && !why; form++)
                why = address_in_form(victim, (enum form)form, bad[n].address, bad[n].length);
        for (unsigned part = 0; part < 3 && !why; part++)
            why = address_in_request(bad[n].address, bad[n].length, part);
        if (why)
            return why;
    }
    return NULL;
}

/* Row 5. */
static const char *huge_entropy(void)
{
    struct victim *victim = &field.entropy;
    enum outcome outcome;

    victim_start(victim, 0, RING_SIZE);
    for (unsigned n = 0; n < RING_SIZE; n++)
        queue_describe(&victim->queue, n, field.data.physical, AREA_BYTES,
                       n + 1 < RING_SIZE ? D_WRITE | D_NEXT : D_WRITE, n + 1);
    queue_add(&victim->queue, 0);
    outcome = victim_attack(victim);
    if (outcome != SERVED || queue_element(&victim->queue, 0).length > 0x10000)
        return failed("entropy: a huge chain is %s with %u bytes", outcome_name(outcome),
                      queue_element(&victim->queue, 0).length);
    return victim_serves(victim);
}

/* A disk request over so many buffers of these bytes. */
static const char *huge_request(uint32_t type, unsigned buffers, uint64_t address, uint32_t length, int status)
{
    struct victim *disk = &field.disk;
    uint64_t header = physical(&field.rings, disk_header(0));
    unsigned direction = type == T_IN ? D_WRITE : 0;
    enum outcome outcome;

    victim_start(disk, 0, RING_SIZE);
    disk_set_header(0, type, type == T_IN ? 0 : field.capacity / 2);
    queue_describe(&disk->queue, 0, header, 16, D_NEXT, 1);
    for (unsigned n = 1; n <= buffers; n++)
        queue_describe(&disk->queue, n, address, length, D_NEXT | direction, n + 1);
    queue_describe(&disk->queue, buffers + 1, header + STATUS_IN_HEADER, 1, D_WRITE, 0);
    if (status < 0)
        return must_break(disk, "a request of many GiB", length);
    queue_add(&disk->queue, 0);
    outcome = victim_attack(disk);
    if (outcome != SERVED || *disk_status(0) != status)
        return failed("disk: %u buffers of 0x%x bytes are %s with status %u", buffers, length, outcome_name(outcome),
                      *disk_status(0));
    return victim_serves(disk);
}

static const char *index_jumps(struct victim *victim)
{
    static const uint16_t jumps[] = {RING_SIZE + 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF};
    const char *why = NULL;

    for (unsigned n = 0; n < COUNT(jumps) && !why; n++) {
        victim_start(victim, 0, RING_SIZE);
        if (n & 1)
            why = victim->good(victim);
        queue_set_index(&victim->queue, (uint16_t)(victim->queue.index + jumps[n] - 1));
        if (!why)
            why = must_break(victim, "an index that jumps", jumps[n]);
    }
    return why;
}

const char *huge_chains_and_index_jumps(void)
{
    struct victim *victim;
    const char *why = huge_entropy();

    if (!why)
        why = huge_request(T_IN, 3, field.data.physical, AREA_BYTES, 0);
    if (!why)
        why = huge_request(T_IN, RING_SIZE - 2, field.data.physical, AREA_BYTES, 1);
    if (!why)
        why = huge_request(T_OUT, 15, 0, (uint32_t)field.ram_end, 1);
    if (!why)
        why = huge_request(T_OUT, RING_SIZE - 2, 0, (uint32_t)field.ram_end, -1);
    FOR_EACH (victim)
        if (!why)
            why = index_jumps(victim);
    return why;
}

/* Row 13. One request in a running device: its status, or the complaint. */
static const char *status_of(struct victim *disk, uint32_t type, uint64_t sector, uint32_t length, bool good)
{
    enum outcome outcome;

    disk_describe(&disk->queue, 0, type, sector, 0, length);
    queue_add(&disk->queue, 0);
    outcome = victim_attack(disk);
    if (outcome != SERVED)
        return failed("disk: type %u at 0x%llx is %s", type, (unsigned long long)sector, outcome_name(outcome));
    if ((*disk_status(0) == 0) != good)
        return failed("disk: type %u at 0x%llx has status %u", type, (unsigned long long)sector, *disk_status(0));
    return NULL;
}

static void put_range(unsigned n, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    uint8_t *range = field.data.at + (size_t)n * 16;

    memcpy(range, &sector, 8);
    memcpy(range + 8, &sectors, 4);
    memcpy(range + 12, &flags, 4);
}

static const char *bad_ranges(struct victim *disk, uint32_t type)
{
    uint64_t all = field.capacity;
    const struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } bad[] = {{0, UINT32_MAX, 0}, {UINT64_MAX, 1, 0},       {UINT64_MAX, UINT32_MAX, 0},
               {all, 1, 0},        {all - 1, 2, 0},          {UINT64_C(1) << 55, 8, 0},
               {0, 0x400001, 0},   {0, 0x80000000, 0},       {all / 2, 8, UINT32_MAX},
               {all / 2, 8, 2},    {UINT64_MAX / 512, 8, 0}, {UINT64_MAX / 512 + 1, 8, 1}};
    const char *why = NULL;

    for (unsigned n = 0; n < COUNT(bad) && !why; n++) {
        put_range(0, bad[n].sector, bad[n].sectors, bad[n].flags);
        why = status_of(disk, type, 0, 16, false);
        for (unsigned i = 0; i < 15; i++)
            put_range(i, all / 2, 8, 0);
        put_range(15, bad[n].sector, bad[n].sectors, bad[n].flags);
        if (!why)
            why = status_of(disk, type, 0, 256, false);
    }
    for (unsigned i = 0; i < 1024; i++)
        put_range(i, all / 2, 8, 0);
    if (!why)
        why = status_of(disk, type, 0, 17 * 16, false);
    if (!why)
        why = status_of(disk, type, 0, 1024 * 16, false);
    if (!why)
        why = status_of(disk, type, 0, 15, false);
    if (!why)
        why = status_of(disk, type, 0, AREA_BYTES, false);
    return why;
}

const char *sectors_at_the_limits(void)
{
    struct victim *disk = &field.disk;
    uint64_t all = field.capacity;
    const uint64_t bad[] = {all,
                            UINT64_MAX,
                            UINT64_MAX / SECTOR,
                            UINT64_MAX / SECTOR + 1,
                            (UINT64_C(1) << 55) + 5, /* times 512 and cut to 64 bits: sector 5 */
                            UINT64_C(1) << 54,
                            UINT64_C(1) << 63,
                            UINT64_MAX - 1};
    const char *why = NULL;

    victim_start(disk, 0, RING_SIZE);
    for (unsigned n = 0; n < COUNT(bad) && !why; n++) {
        why = status_of(disk, T_IN, bad[n], SECTOR, false);
        if (!why)
            why = status_of(disk, T_OUT, bad[n], SECTOR, false);
    }
    if (!why)
        why = status_of(disk, T_IN, all - 1, 2 * SECTOR, false);
    if (!why)
        why = status_of(disk, T_OUT, all - 1, 2 * SECTOR, false);
    if (!why)
        why = status_of(disk, T_IN, all - 1, SECTOR, true);
    if (!why)
        why = status_of(disk, T_IN, 0, 100, false);
    if (!why)
        why = bad_ranges(disk, T_DISCARD);
    if (!why)
        why = bad_ranges(disk, T_WRITE_ZEROES);
    put_range(0, all - 8, 8, 0);
    if (!why)
        why = status_of(disk, T_WRITE_ZEROES, 0, 16, true);
    /* After all this the same device serves, and after a reset too. */
    if (!why)
        why = disk->good(disk);
    return why ? why : victim_serves(disk);
}

/* Row 25. */
static const char *no_length(struct victim *victim)
{
    struct descriptor *table = indirect_table();
    const char *why;

    victim_start(victim, 0, RING_SIZE);
    queue_describe(&victim->queue, 0, field.data.physical, 0, victim->direction, 0);
    why = must_answer(victim, "a buffer of no length", 0);
    if (why)
        return why;
    victim_start(victim, 0, RING_SIZE);
    for (unsigned n = 0; n < RING_SIZE; n++)
        queue_describe(&victim->queue, n, 0, 0, victim->direction | (n + 1 < RING_SIZE ? D_NEXT : 0), n + 1);
    why = must_answer(victim, "a chain of no length", RING_SIZE);
    if (why)
        return why;
    victim_start(victim, F_INDIRECT_DESC, RING_SIZE);
    describe_indirect(&victim->queue, 0, 0);
    why = must_answer(victim, "a table of no length", 0);
    if (why)
        return why;
    victim_start(victim, F_INDIRECT_DESC, RING_SIZE);
    memset(table, 0, (size_t)RING_SIZE * 16);
    for (unsigned n = 0; n < RING_SIZE; n++)
        table[n] = (struct descriptor){0, 0, (uint16_t)(D_NEXT | victim->direction), (uint16_t)(n + 1)};
    describe_indirect(&victim->queue, 0, RING_SIZE);
    return must_answer(victim, "a table full of no length", RING_SIZE);
}

const char *buffers_without_length(void)
{
    struct victim *victim, *disk = &field.disk;
    const char *why = NULL;

    FOR_EACH (victim)
        if (!why)
            why = no_length(victim);
    for (unsigned empty = 1; empty < 8 && !why; empty++) {
        victim_start(disk, 0, RING_SIZE);
        disk_describe(&disk->queue, 0, T_IN, 1, 0, SECTOR);
        for (unsigned part = 0; part < 3; part++)
            if (empty >> part & 1)
                disk->queue.descriptors[part].length = 0;
        why = must_answer(disk, "a request with parts of no length", empty);
    }
    return why;
}

/* Row 27. */
static const char *direct_loops(struct victim *victim)
{
    static const uint16_t nexts[] = {0, RING_SIZE, RING_SIZE + 1, 0x7FFF, 0xFFFF};
    const char *why = NULL;

    for (unsigned n = 0; n < COUNT(nexts) && !why; n++) {
        victim_start(victim, 0, RING_SIZE);
        queue_describe(&victim->queue, 0, field.data.physical, 64, victim->direction | D_NEXT, nexts[n]);
        why = must_break(victim, "a next", nexts[n]);
    }
    if (why)
        return why;
    victim_start(victim, 0, RING_SIZE);
    for (unsigned n = 0; n < RING_SIZE; n++) /* the whole ring, and round again */
        queue_describe(&victim->queue, n, field.data.physical, 64, victim->direction | D_NEXT, (n + 1) % RING_SIZE);
    why = must_break(victim, "a loop through the ring", RING_SIZE);
    for (unsigned n = 1; n < COUNT(nexts) && !why; n++) {
        victim_start(victim, 0, RING_SIZE);
        queue_add(&victim->queue, nexts[n]); /* a head that is none, before the good one */
        why = must_break(victim, "a head", nexts[n]);
    }
    return why;
}

static const char *indirect_loops(struct victim *victim)
{
    const struct {
        uint32_t length;
        uint16_t flags, next;   /* of the descriptor in the ring */
        uint16_t entry, follow; /* flags and next of each entry */
    } bad[] = {
        {32, D_INDIRECT, 0, D_NEXT, 0},          /* a loop in the table */
        {32, D_INDIRECT, 0, D_NEXT, 2},          /* behind the table */
        {32, D_INDIRECT, 0, D_NEXT, 0xFFFF},     /* far behind it */
        {32, D_INDIRECT, 0, D_INDIRECT, 0},      /* nested */
        {32, D_INDIRECT | D_NEXT, 1, 0, 0},      /* continued in the ring */
        {32, D_INDIRECT | D_NEXT, 0, D_NEXT, 0}, /* both loop */
        {15, D_INDIRECT, 0, 0, 0},               /* no whole entry */
        {17, D_INDIRECT, 0, 0, 0},               /* one and a bit */
        {0x00100000, D_INDIRECT, 0, D_NEXT, 1},  /* more entries than any queue */
        {0xFFFFFFF0, D_INDIRECT, 0, D_NEXT, 1},  /* more than there is RAM */
        {(RING_SIZE + 1) * 16, D_INDIRECT, 0, D_NEXT, 1},
    };
    const char *why = NULL;

    for (unsigned n = 0; n < COUNT(bad) && !why; n++) {
        struct descriptor *table = indirect_table();

        victim_start(victim, F_INDIRECT_DESC, RING_SIZE);
        for (unsigned i = 0; i < RING_SIZE + 1; i++)
            table[i] = (struct descriptor){field.data.physical, 64, (uint16_t)(bad[n].entry | victim->direction),
                                           bad[n].follow};
        queue_describe(&victim->queue, 0, indirect_at(), bad[n].length, bad[n].flags, bad[n].next);
        queue_describe(&victim->queue, 1, field.data.physical, 64, victim->direction, 0);
        why = must_break(victim, "an indirect table, number", n);
    }
    return why;
}

/* The longest request that is allowed is served: as many buffers as the ring has, in the ring or in a table. */
static const char *longest_request(bool indirect)
{
    struct victim *disk = &field.disk;
    const uint64_t *words = (const uint64_t *)(const void *)field.data.at;
    uint64_t header = physical(&field.rings, disk_header(0));
    struct descriptor *table = indirect_table();
    unsigned size = 256;
    enum outcome outcome;

    victim_start(disk, F_INDIRECT_DESC, size);
    disk_set_header(0, T_IN, 0);
    for (unsigned n = 0; n < size; n++) {
        uint64_t data = field.data.physical + (uint64_t)(n - 1) * SECTOR;
        struct descriptor one = {data, SECTOR, D_NEXT | D_WRITE, (uint16_t)(n + 1)};

        if (n == 0)
            one = (struct descriptor){header, 16, D_NEXT, 1};
        else if (n + 1 == size)
            one = (struct descriptor){header + STATUS_IN_HEADER, 1, D_WRITE, 0};
        if (indirect)
            table[n] = one;
        else
            queue_describe(&disk->queue, n, one.address, one.length, one.flags, one.next);
    }
    if (indirect)
        describe_indirect(&disk->queue, 0, size);
    queue_add(&disk->queue, 0);
    outcome = victim_attack(disk);
    if (outcome != SERVED || *disk_status(0))
        return failed("disk: the longest request is %s with status %u", outcome_name(outcome), *disk_status(0));
    for (unsigned n = 0; n < size - 2; n++)
        if (words[n * SECTOR / 8] != n)
            return failed("disk: buffer %u of the longest request holds 0x%llx", n,
                          (unsigned long long)words[n * SECTOR / 8]);
    return NULL;
}

const char *chains_over_queue_size(void)
{
    struct victim *victim;
    const char *why = NULL;

    FOR_EACH (victim) {
        if (!why)
            why = direct_loops(victim);
        if (!why)
            why = indirect_loops(victim);
    }
    if (!why)
        why = longest_request(false);
    return why ? why : longest_request(true);
}

/* Row 30: one interrupt for the configuration, no life until a reset whatever the driver does, and no work. */
static const char *break_and_tease(struct victim *victim)
{
    const struct device *device = &victim->device;
    unsigned isr;

    victim_start(victim, 0, RING_SIZE);
    mmio_get(device->isr.at, 1);
    queue_describe(&victim->queue, 1, field.data.physical, 64, victim->direction, 0);
    queue_add(&victim->queue, 0xFFFF);
    if (victim_attack(victim) != BROKEN)
        return failed("%s: a bad head does not break it", device->name);
    isr = (unsigned)mmio_get(device->isr.at, 1);
    if (!(isr & 2) || mmio_get(device->isr.at, 1))
        return failed("%s: the interrupt status is 0x%x when it breaks", device->name, isr);
    for (unsigned n = 0; n < 300; n++) {
        if (n < RING_SIZE - 1)
            queue_add(&victim->queue, 1);
        queue_kick(&victim->queue);
    }
    common_put(device, C_STATUS, 1, STATUS_READY);
    common_put(device, C_STATUS, 1, STATUS_READY | STATUS_NEEDS_RESET);
    usleep(50000);
    if (device_status(device) != (STATUS_READY | STATUS_NEEDS_RESET) || queue_used(&victim->queue) != 0)
        return failed("%s: broken, its status is 0x%x and it used %u", device->name, device_status(device),
                      queue_used(&victim->queue));
    isr = (unsigned)mmio_get(device->isr.at, 1);
    return isr ? failed("%s: broken, it interrupts again with 0x%x", device->name, isr) : NULL;
}

const char *errors_latch(void)
{
    struct victim *victim;
    const char *why = NULL;

    /* All are broken at once in the end. They share the memory of their queues: nobody may look there any more. */
    FOR_EACH (victim)
        if (!why)
            why = break_and_tease(victim);
    if (why)
        return why;
    printf("QUIET-BEGIN\n");
    sleep(QUIET_SECONDS);
    printf("QUIET-END\n");
    FOR_EACH (victim)
        if (!why)
            why =
                device_status(&victim->device) & STATUS_NEEDS_RESET ? victim_serves(victim) : "it forgot that it broke";
    return why;
}
