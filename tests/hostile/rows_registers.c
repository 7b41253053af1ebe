/* Attacks through registers. */
#include <string.h>
#include <sys/io.h>

#include "rows.h"
#include "victim.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MSIX_ENABLE 0x8000
#define NO_VECTOR 0xFFFF

enum { VICTIMS = 3 };
static struct victim *const victims[VICTIMS] = {&field.disk, &field.entropy, &field.card};
#define FOR_EACH(victim) \
    for (struct victim *const *each = victims; each < victims + VICTIMS && ((victim) = *each, true); each++)

static bool covers_status(unsigned offset, unsigned size)
{
    return offset <= C_STATUS && offset + size > C_STATUS;
}

/* Row 1: CVE-2026-5747 took a queue size after activation. */
static void write_everything(const struct victim *victim, unsigned select, uint64_t value)
{
    const struct device *device = &victim->device;

    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned offset = 0; offset + size <= 0x40; offset++) {
            uint64_t now = value;

            if (covers_status(offset, size)) {
                unsigned shift = 8 * (C_STATUS - offset);

                now = (now & ~(UINT64_C(0xFF) << shift)) | (uint64_t)STATUS_READY << shift;
            }
            common_put(device, C_QUEUE_SELECT, 2, select);
            common_put(device, offset, size, now);
        }
}

static void snapshot(const struct victim *victim, uint8_t image[C_END])
{
    common_put(&victim->device, C_DRIVER_FEATURE_SELECT, 4, 0);
    common_put(&victim->device, C_QUEUE_SELECT, 2, victim->queue_number);
    for (unsigned n = 0; n < C_END; n++)
        image[n] = (uint8_t)common_get(&victim->device, n, 1);
}

static const char *compare(const struct victim *victim, const uint8_t *before, const uint8_t *now)
{
    for (unsigned n = 0; n < C_END; n++) {
        /* What a driver may change at any time: selectors, and the vector of the configuration. */
        bool frozen = n >= C_DRIVER_FEATURE && n != C_CONFIG_VECTOR && n != C_CONFIG_VECTOR + 1;

        if (frozen && before[n] != now[n])
            return failed("%s: register byte %u went from 0x%02x to 0x%02x", victim->device.name, n, before[n], now[n]);
    }
    return NULL;
}

const char *registers_after_driver_ok(void)
{
    static const uint64_t values[] = {0, UINT64_MAX, 0x0001000100010001, 0x8000800080008000};
    struct victim *victim;
    const char *why = NULL;

    FOR_EACH (victim) {
        uint8_t before[C_END], now[C_END];

        victim_start(victim, 0, RING_SIZE);
        snapshot(victim, before);
        for (unsigned n = 0; n < COUNT(values) && !why; n++) {
            write_everything(victim, victim->queue_number, values[n]);
            snapshot(victim, now);
            field.attacks++;
            why = compare(victim, before, now);
            if (!why)
                why = victim->good(victim);
        }
        if (!why)
            why = victim_serves(victim);
        if (why)
            return why;
    }
    return NULL;
}

/* Row 8: vectors that the table has not, in both registers that take one, and what lies at the table's edges. */
static const char *refused_vectors(struct victim *victim, uint64_t *pending)
{
    const struct device *device = &victim->device;
    const unsigned bad[] = {0xFFFE, NO_VECTOR, device->vectors, device->vectors + 1, 0x7FF, 0x800, 0x8000};

    for (unsigned n = 0; n < COUNT(bad); n++) {
        const char *why;

        device_negotiate(device, 0);
        queue_place(&victim->queue, &victim->device, victim->queue_number, RING_SIZE, &field.rings, QUEUE_AT);
        common_put(device, C_QUEUE_SELECT, 2, victim->queue_number);
        common_put(device, C_QUEUE_VECTOR, 2, bad[n]);
        common_put(device, C_CONFIG_VECTOR, 2, bad[n]);
        field.attacks++;
        if (common_get(device, C_QUEUE_VECTOR, 2) != NO_VECTOR || common_get(device, C_CONFIG_VECTOR, 2) != NO_VECTOR)
            return failed("%s: vector 0x%x is taken", device->name, bad[n]);
        why = victim_serves(victim);
        if (why)
            return why;
    }
    *pending = mmio_get(device->msix_pba.at, 8);
    return *pending ? failed("%s: a vector that is none is pending", device->name) : NULL;
}

/* The last vector, masked, becomes pending when a queue that has it is served. */
static const char *last_vector(struct victim *victim)
{
    const struct device *device = &victim->device;
    const char *why;

    device_negotiate(device, 0);
    queue_place(&victim->queue, &victim->device, victim->queue_number, RING_SIZE, &field.rings, QUEUE_AT);
    common_put(device, C_QUEUE_SELECT, 2, victim->queue_number);
    common_put(device, C_QUEUE_VECTOR, 2, device->vectors - 1);
    queue_enable(&victim->queue);
    if (victim == &field.card) {
        queue_place(&victim->other, &victim->device, 0, 16, &field.rings, OTHER_QUEUE_AT);
        queue_enable(&victim->other);
    }
    device_ready(device);
    why = victim->good(victim);
    if (!why && !(mmio_get(device->msix_pba.at, 8) >> (device->vectors - 1) & 1))
        why = failed("%s: the last vector is not pending", device->name);
    return why;
}

static void table_edges(const struct device *device)
{
    volatile uint8_t *table = device->msix_table.at;
    unsigned last = (device->vectors - 1) * 16;

    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned shift = 0; shift < 24; shift++) {
            volatile uint8_t *at = table + last + 16 - 12 + shift;

            mmio_put(at, size, mmio_get(at, size) ^ UINT64_MAX);
            mmio_put(at, size, 0);
            mmio_put(device->msix_pba.at + shift % 16, size, UINT64_MAX);
        }
    /* Messages that no interrupt controller can take, sent at once because the vector is pending. */
    mmio_put(table + last, 8, UINT64_MAX);
    mmio_put(table + last + 8, 8, UINT32_MAX);
    mmio_put(table + last, 8, 0);
    mmio_put(table + last, 8, UINT64_C(0xFFFFFFFF00000000));
    for (unsigned n = 0; n < device->vectors; n++)
        mmio_put(table + (size_t)n * 16 + 12, 4, 1);
}

const char *vectors_out_of_table(void)
{
    struct victim *victim;

    FOR_EACH (victim) {
        const struct device *device = &victim->device;
        unsigned control = config_get(device, device->msix + 2, 2);
        uint64_t pending = 0;
        const char *why;

        config_put(device, device->msix + 2, 2, control | MSIX_ENABLE);
        why = refused_vectors(victim, &pending);
        if (!why)
            why = last_vector(victim);
        table_edges(device);
        config_put(device, device->msix + 2, 2, control);
        if (!why)
            why = victim_serves(victim);
        if (why)
            return why;
    }
    return NULL;
}

/* Row 9. */
static const char *select_and_try(const struct victim *victim, unsigned select)
{
    const struct device *device = &victim->device;

    common_put(device, C_QUEUE_SELECT, 2, select);
    field.attacks++;
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned offset = C_QUEUE_SIZE; offset + size <= C_END; offset += size) {
            if (common_get(device, offset, size))
                return failed("%s: queue 0x%x has something at %u", device->name, select, offset);
            common_put(device, offset, size, UINT64_MAX);
            common_put(device, offset, size, 1);
        }
    if (common_get(device, C_QUEUE_SELECT, 2) != select)
        return failed("%s: queue_select is not 0x%x", device->name, select);
    return NULL;
}

const char *queues_that_do_not_exist(void)
{
    struct victim *victim;

    FOR_EACH (victim) {
        unsigned count = (unsigned)common_get(&victim->device, C_NUM_QUEUES, 2);
        const unsigned bad[] = {count, count + 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF};
        uint8_t before[C_END], now[C_END];
        const char *why = NULL;

        device_negotiate(&victim->device, 0);
        for (unsigned n = 0; n < COUNT(bad) && !why; n++)
            why = select_and_try(victim, bad[n]);
        if (!why)
            why = victim_serves(victim);
        snapshot(victim, before);
        for (unsigned n = 0; n < COUNT(bad) && !why; n++)
            why = select_and_try(victim, bad[n]);
        snapshot(victim, now);
        if (!why)
            why = compare(victim, before, now);
        if (!why)
            why = victim->good(victim);
        if (why)
            return why;
    }
    return NULL;
}

/* Row 22. What lies outside every structure holds nothing of the monitor's. */
static bool in_structure(const struct device *device, const volatile uint8_t *at)
{
    const struct region *structures[] = {&device->common,   &device->notify,     &device->isr,
                                         &device->specific, &device->msix_table, &device->msix_pba};

    for (unsigned n = 0; n < COUNT(structures); n++)
        if (at >= structures[n]->at && at < structures[n]->at + ((structures[n]->length + 7) & ~7U))
            return true;
    return false;
}

static const char *probe(const struct device *device, const struct region *bar, int64_t offset)
{
    for (unsigned size = 1; size <= 8; size *= 2) {
        uint64_t value;

        if (offset < 0 || offset + size > bar->length)
            continue;
        value = mmio_get(bar->at + offset, size);
        for (unsigned n = 0; n < size; n++) {
            uint8_t byte = (uint8_t)(value >> (8 * n));

            if (byte != 0 && byte != 0xFF && !in_structure(device, bar->at + offset + n) &&
                !in_structure(device, bar->at + offset) && !in_structure(device, bar->at + offset + size - 1))
                return failed("%s: byte 0x%02x at 0x%llx, where nothing is", device->name, byte,
                              (unsigned long long)offset + n);
        }
        mmio_put(bar->at + offset, size, UINT64_MAX);
        mmio_put(bar->at + offset, size, 0);
        field.attacks++;
    }
    return NULL;
}

static const char *bar_edges(const struct device *device, const struct region *bar)
{
    const struct region *structures[] = {&device->common,   &device->notify,     &device->isr,
                                         &device->specific, &device->msix_table, &device->msix_pba};
    int64_t edges[2 * COUNT(structures) + 2] = {0, bar->length};
    unsigned count = 2;
    const char *why = NULL;

    for (unsigned n = 0; n < COUNT(structures); n++)
        if (structures[n]->at >= bar->at && structures[n]->at < bar->at + bar->length) {
            edges[count++] = structures[n]->at - bar->at;
            edges[count++] = structures[n]->at - bar->at + structures[n]->length;
        }
    for (unsigned n = 0; n < count && !why; n++)
        for (int64_t shift = -9; shift < 9 && !why; shift++)
            why = probe(device, bar, edges[n] + shift);
    return why;
}

/* 4.1.4.9: the same by way of configuration space, with places and lengths that cannot be. */
static const char *window_edges(const struct device *device)
{
    static const uint32_t places[] = {0,          0x14,       0x38,       0x3C,       0x3F,       0x40,      0x1000,
                                      0x2000,     0x203C,     0x3000,     0x3FF8,     0x3FFC,     0x3FFF,    0x4000,
                                      0x7FFFFFFF, 0x80000000, 0xFFFFC000, 0xFFFFFFF8, 0xFFFFFFFC, 0xFFFFFFFF};
    static const uint32_t lengths[] = {0, 1, 2, 3, 4, 8, 0xFFFFFFFF};
    static const uint8_t bars[] = {0, 1, 3, 4, 5, 0xFF};
    unsigned at = device->window, queues = (unsigned)common_get(device, C_NUM_QUEUES, 2);

    for (unsigned bar = 0; bar < COUNT(bars); bar++)
        for (unsigned place = 0; place < COUNT(places); place++)
            for (unsigned length = 0; length < COUNT(lengths); length++) {
                config_put(device, at + 4, 1, bars[bar]);
                config_put(device, at + 8, 4, places[place]);
                config_put(device, at + 12, 4, lengths[length]);
                for (unsigned size = 1; size <= 4; size *= 2) {
                    config_get(device, at + 16 + 4 - size, size);
                    config_put(device, at + 16 + 4 - size, size, UINT32_MAX);
                }
                field.attacks++;
            }
    config_put(device, at + 4, 1, device->window_bar);
    config_put(device, at + 8, 4, (uint32_t)(device->common.at - device->bars[device->window_bar].at) + C_NUM_QUEUES);
    config_put(device, at + 12, 4, 2);
    if ((config_get(device, at + 16, 4) & 0xFFFF) != queues)
        return failed("%s: the window in configuration space shows not %u queues", device->name, queues);
    return NULL;
}

/* CF8 and CFC raw, with every size at every place, and across the end of the data register. Only reads. */
static void configuration_ports(const struct device *device)
{
    static const uint32_t strange[] = {0, 0x7FFFFFFF, 0x80FFFFFC, 0xFFFFFFFF, 0x8000FFFF};

    for (unsigned offset = 0; offset < 256 + 4 * COUNT(strange); offset += 4) {
        outl(offset < 256 ? 0x80000000 | device->place | offset : strange[(offset - 256) / 4], 0xCF8);
        for (unsigned shift = 0; shift < 4; shift++) {
            inb((unsigned short)(0xCFC + shift));
            inw((unsigned short)(0xCFC + shift));
            inl((unsigned short)(0xCFC + shift));
            inw((unsigned short)(0xCF8 + shift));
            outb((unsigned char)shift, (unsigned short)(0xCF9 + 1 + (shift & 1)));
        }
        field.attacks++;
    }
    for (unsigned size = 1; size <= 4; size *= 2)
        config_get(device, 256 - size, size);
}

const char *accesses_at_every_edge(void)
{
    struct victim *victim;

    if (iopl(3) < 0)
        return "no access to ports";
    FOR_EACH (victim) {
        const char *why = NULL;

        for (unsigned bar = 0; bar < 6 && !why; bar++)
            if (victim->device.bars[bar].at)
                why = bar_edges(&victim->device, &victim->device.bars[bar]);
        if (!why)
            why = window_edges(&victim->device);
        configuration_ports(&victim->device);
        if (!why)
            why = victim_serves(victim);
        if (why)
            return why;
    }
    return NULL;
}

/*
 * Row 28: address 0 is RAM like any other, so the device may take it; it may not fall over it. Descriptors at 0 come
 * first, while nothing has been written there.
 */
const char *areas_at_address_zero(void)
{
    static const struct {
        bool descriptors, available, used;
    } zero[] = {{true, false, false}, {true, true, false},  {true, true, true},
                {false, true, false}, {false, false, true}, {false, true, true}};
    struct victim *victim;

    for (unsigned n = 0; n < COUNT(zero); n++)
        FOR_EACH (victim) {
            struct queue *queue = &victim->queue;
            const char *why;

            device_negotiate(&victim->device, 0);
            queue_place(queue, &victim->device, victim->queue_number, RING_SIZE, &field.rings, QUEUE_AT);
            queue->descriptors_at = zero[n].descriptors ? 0 : queue->descriptors_at;
            queue->available_at = zero[n].available ? 0 : queue->available_at;
            queue->used_at = zero[n].used ? 0 : queue->used_at;
            queue_enable(queue);
            device_ready(&victim->device);
            queue_describe(queue, 0, field.data.physical, 64, victim->direction, 0);
            queue_add(queue, 0);
            queue_kick(queue);
            queue_wait(queue, 0.05);
            field.attacks++;
            why = victim_serves(victim);
            if (why)
                return why;
        }
    return NULL;
}
