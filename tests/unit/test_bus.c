/* Who answers an access: look-up, overlaps, edges, regions that move from inside their own callback. */
#include <errno.h>

#include "casement/bus.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

struct probe {
    struct bus_region region;
    uint64_t answer;
    uint64_t offset, value;
    unsigned size, reads, writes;
    struct bus *bus;
    uint64_t move_to;
};

static uint64_t probe_read(void *device, uint64_t offset, unsigned size)
{
    struct probe *probe = device;

    probe->reads++;
    probe->offset = offset;
    probe->size = size;
    return probe->answer >> (offset * 8);
}

static void probe_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *probe = device;

    probe->writes++;
    probe->offset = offset;
    probe->size = size;
    probe->value = value;
    if (probe->move_to) {
        bus_remove(probe->bus, &probe->region);
        probe->region.base = probe->move_to;
        assert_int_equal(bus_add(probe->bus, &probe->region), 0);
    }
}

static const struct bus_ops probe_ops = {probe_read, probe_write};

static struct probe at(enum bus_space space, uint64_t base, uint64_t size, uint64_t answer)
{
    return (struct probe){.region = {.name = "probe", .space = space, .base = base, .size = size, .ops = &probe_ops},
                          .answer = answer};
}

static void add(struct bus *bus, struct probe *probe)
{
    probe->region.device = probe;
    assert_int_equal(bus_add(bus, &probe->region), 0);
}

static void nobody_reads_as_ones(void **state)
{
    struct bus *bus = bus_create();

    (void)state;
    assert_int_equal(bus_read(bus, BUS_PORT, 0x80, 1), 0xFF);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x80, 2), 0xFFFF);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xFED40000, 4), 0xFFFFFFFF);
    assert_true(bus_read(bus, BUS_MMIO, UINT64_MAX - 7, 8) == UINT64_MAX);
    assert_true(bus_read(bus, BUS_MMIO, UINT64_MAX - 3, 8) == UINT64_MAX);
    bus_write(bus, BUS_MMIO, UINT64_MAX, 8, 1);
    bus_destroy(bus);
}

static void accesses_reach_their_region(void **state)
{
    struct bus *bus = bus_create();
    struct probe low = at(BUS_MMIO, 0x1000, 0x10, 0x1122334455667788), high = at(BUS_MMIO, 0x2000, 0x10, 0x99);
    struct probe port = at(BUS_PORT, 0x1000, 4, 0x42);

    (void)state;
    add(bus, &high);
    add(bus, &low);
    add(bus, &port);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0x1000, 4), 0x55667788);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0x1002, 1), 0x66);
    assert_int_equal(low.offset, 2);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0x2000, 1), 0x99);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x1000, 1), 0x42);
    bus_write(bus, BUS_MMIO, 0x200F, 1, 0x1234);
    assert_int_equal(high.value, 0x34);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xFFF, 1), 0xFF);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0x1010, 1), 0xFF);
    bus_destroy(bus);
}

/* lessons 4.5, row 22: an access over the end of a region never reaches behind it. */
static void an_access_over_the_end_is_split(void **state)
{
    struct bus *bus = bus_create();
    struct probe probe = at(BUS_PORT, 0x60, 1, 0xAB);

    (void)state;
    add(bus, &probe);
    assert_int_equal(bus_read(bus, BUS_PORT, 0x60, 4), 0xFFFFFFAB);
    assert_int_equal(probe.size, 1);
    assert_int_equal(probe.reads, 1);
    bus_write(bus, BUS_PORT, 0x5F, 2, 0xCD00);
    assert_int_equal(probe.value, 0xCD);
    assert_int_equal(probe.writes, 1);
    bus_destroy(bus);
}

static void priority_decides_overlaps(void **state)
{
    struct bus *bus = bus_create();
    struct probe wide = at(BUS_PORT, 0xCF8, 4, 0x11111111), reset = at(BUS_PORT, 0xCF9, 1, 0x22);
    struct probe later = at(BUS_PORT, 0xCFA, 1, 0x33);

    (void)state;
    reset.region.priority = 1;
    add(bus, &reset);
    add(bus, &wide);
    add(bus, &later); /* the same priority as wide, but added later */
    assert_int_equal(bus_read(bus, BUS_PORT, 0xCF9, 1), 0x22);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xCFA, 1), 0x33);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xCFB, 1), 0x11);
    /* The first address says who answers a wide access. */
    assert_int_equal(bus_read(bus, BUS_PORT, 0xCF8, 4), 0x11111111);
    bus_remove(bus, &reset.region);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xCF9, 1), 0x11);
    bus_remove(bus, &reset.region);
    bus_destroy(bus);
}

static void a_region_may_move_inside_its_callback(void **state)
{
    struct bus *bus = bus_create();
    struct probe probe = at(BUS_MMIO, 0xC0000000, 0x1000, 5);

    (void)state;
    probe.bus = bus;
    probe.move_to = 0xFFFFFFFFFFFFF000;
    add(bus, &probe);
    bus_write(bus, BUS_MMIO, 0xC0000000, 4, 1);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xC0000000, 4), 0xFFFFFFFF);
    assert_int_equal(bus_read(bus, BUS_MMIO, 0xFFFFFFFFFFFFF000, 4), 5);
    bus_destroy(bus);
}

static void ranges_that_wrap_are_refused(void **state)
{
    struct bus *bus = bus_create();
    struct probe wraps = at(BUS_MMIO, UINT64_MAX - 0xFFF, 0x2000, 0), empty = at(BUS_MMIO, 0, 0, 0);
    struct probe port = at(BUS_PORT, 0xFFFF, 2, 0), last = at(BUS_PORT, 0xFFFF, 1, 9);

    (void)state;
    assert_int_equal(bus_add(bus, &wraps.region), -EINVAL);
    assert_int_equal(bus_add(bus, &empty.region), -EINVAL);
    assert_int_equal(bus_add(bus, &port.region), -EINVAL);
    add(bus, &last);
    assert_int_equal(bus_read(bus, BUS_PORT, 0xFFFF, 1), 9);
    bus_destroy(bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_reads_as_ones),
        cmocka_unit_test(accesses_reach_their_region),
        cmocka_unit_test(an_access_over_the_end_is_split),
        cmocka_unit_test(priority_decides_overlaps),
        cmocka_unit_test(a_region_may_move_inside_its_callback),
        cmocka_unit_test(ranges_that_wrap_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
