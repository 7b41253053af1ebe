/* BARs that firmware sizes, places, moves and lets overlap. */
#include <errno.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "fake_toy.h"

/* As every system does it: write ones, read the mask, put the address back. */
static void sizing_works_whether_decoding_or_not(void **state)
{
    static const struct {
        unsigned bar;
        uint32_t mask;
    } expected[] = {{0, 0xFFFF0008}, {1, 0xFFFFFFE1}, {2, 0xFFFFF000}, {3, 0}, {4, 0xFFFFC00C}, {5, 0xFFFFFFFF}};
    static const uint32_t addresses[] = {0xC0000008, 0x6001, 0xC1000000, 0, 0x0000000C, 0x70};
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);
    unsigned at = 3 << 3;

    (void)state;
    for (unsigned command = 0; command <= 3; command++) {
        fake_config_write(fake, at, COMMAND, 2, 0);
        for (unsigned bar = 0; bar < PCI_BARS; bar++)
            fake_config_write(fake, at, BAR(bar), 4, addresses[bar]);
        fake_config_write(fake, at, COMMAND, 2, command);
        for (size_t n = 0; n < ARRAY_SIZE(expected); n++) {
            unsigned where = BAR(expected[n].bar);

            fake_config_write(fake, at, where, 4, 0xFFFFFFFF);
            assert_int_equal(fake_config_read(fake, at, where, 4), expected[n].mask);
            /* Ones are no place: nothing lies over the flash meanwhile. */
            assert_true(toy->function.bars[0].address != 0xFFFF0000);
            assert_true(toy->function.bars[2].address != 0xFFFFF000);
            assert_true(toy->function.bars[4].address != 0xFFFFC000);
            fake_config_write(fake, at, where, 4, addresses[n]);
            assert_int_equal(fake_config_read(fake, at, where, 4), addresses[n]);
        }
        assert_true(toy->function.bars[0].address == (command & MEMORY_ON ? 0xC0000000 : PCI_NO_ADDRESS));
        assert_true(toy->function.bars[1].address == (command & IO_ON ? 0x6000 : PCI_NO_ADDRESS));
        assert_true(toy->function.bars[2].address == (command & MEMORY_ON ? 0xC1000000 : PCI_NO_ADDRESS));
        assert_true(toy->function.bars[4].address == (command & MEMORY_ON ? UINT64_C(0x7000000000) : PCI_NO_ADDRESS));
        assert_int_equal(toy_slots_used(fake, toy->video), command & MEMORY_ON ? 1 : 0);
    }
    toy_destroy(toy);
    assert_int_equal(toy_slots_used(fake, NULL), 0);
    fake_destroy(fake);
}

static void registers_answer_where_the_bar_says(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);
    unsigned at = 3 << 3;

    (void)state;
    fake_config_write(fake, at, BAR(1), 4, 0x6000);
    fake_config_write(fake, at, BAR(2), 4, 0xC1000000);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC1000000, 4), 0xFFFFFFFF);
    fake_config_write(fake, at, COMMAND, 2, MEMORY_ON);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC1000FFC, 4), 0x55667788);
    assert_int_equal(toy->offset, 0xFFC);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC1001000, 4), 0xFFFFFFFF);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x6000, 4), 0xFFFFFFFF);
    fake_config_write(fake, at, COMMAND, 2, IO_ON);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x601C, 4), 0x55667788);
    assert_int_equal(toy->offset, 0x1C);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC1000000, 4), 0xFFFFFFFF);
    fake_write(fake, BUS_PORT, 0x6001, 1, 0x5A);
    assert_int_equal(toy->value, 0x5A);
    assert_int_equal(toy->size, 1);
    /* The last byte of the BAR and the first behind it, in one access. */
    toy->writes = 0;
    fake_write(fake, BUS_PORT, 0x601F, 2, 0xBBAA);
    assert_int_equal(toy->writes, 1);
    assert_int_equal(toy->value, 0xAA);
    toy_destroy(toy);
    assert_int_equal(fake_read(fake, BUS_PORT, 0x6000, 4), 0xFFFFFFFF);
    fake_destroy(fake);
}

static void halves_of_a_64_bit_bar_move_alone(void **state)
{
    static const struct {
        unsigned offset;
        uint32_t value;
        uint64_t address;
    } steps[] = {
        {BAR(4), 0xC0000000, 0xC0000000},
        {BAR(5), 0x70, UINT64_C(0x70C0000000)},
        {BAR(4), 0xD0000000, UINT64_C(0x70D0000000)},
        {BAR(5), 0x00, 0xD0000000},
        {BAR(4), 0x00, PCI_NO_ADDRESS},
        {BAR(5), 0xFFFFFFFF, UINT64_C(0xFFFFFFFF00000000)},
        {BAR(4), 0xFFFFFFFF, PCI_NO_ADDRESS}, /* ends with the address space */
        {BAR(4), 0xFFFF8000, UINT64_C(0xFFFFFFFFFFFF8000)},
    };
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);
    uint64_t before = PCI_NO_ADDRESS;

    (void)state;
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    assert_int_equal(toy->moves[4], 0);
    for (size_t n = 0; n < ARRAY_SIZE(steps); n++) {
        unsigned moves = toy->moves[4];

        fake_config_write(fake, 3 << 3, steps[n].offset, 4, steps[n].value);
        assert_true(toy->function.bars[4].address == steps[n].address);
        assert_int_equal(toy->moves[4], moves + 1);
        assert_true(toy->last_move[4] == steps[n].address);
        if (before != PCI_NO_ADDRESS)
            assert_true(fake_read(fake, BUS_MMIO, before, 8) == UINT64_MAX);
        if (steps[n].address != PCI_NO_ADDRESS)
            assert_true(fake_read(fake, BUS_MMIO, steps[n].address, 8) == toy->answer);
        before = steps[n].address;
    }
    /* Both halves at once, by ECAM; nothing moves when nothing changes. */
    pci_bus_set_ecam(fake->board.pci, ECAM, 256 * MiB);
    fake_write(fake, BUS_MMIO, ECAM + (3 << 15) + BAR(4), 8, UINT64_C(0x7100004000));
    assert_true(toy->last_move[4] == UINT64_C(0x7100004000));
    toy->moves[4] = 0;
    fake_write(fake, BUS_MMIO, ECAM + (3 << 15) + BAR(4), 8, UINT64_C(0x7100004000));
    assert_int_equal(toy->moves[4], 0);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void places_that_are_none(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);

    (void)state;
    fake_config_write(fake, 3 << 3, COMMAND, 2, IO_ON | MEMORY_ON);
    for (unsigned bar = 0; bar < PCI_BARS; bar++) { /* decoded at 0 since power-on */
        assert_true(toy->function.bars[bar].address == PCI_NO_ADDRESS || toy->function.bars[bar].type == PCI_BAR_NONE);
        assert_int_equal(toy->moves[bar], 0);
    }
    fake_config_write(fake, 3 << 3, BAR(1), 4, 0x10000); /* ports end at 64 KiB */
    assert_true(toy->function.bars[1].address == PCI_NO_ADDRESS);
    fake_config_write(fake, 3 << 3, BAR(1), 4, 0xFFE0);
    assert_true(toy->function.bars[1].address == 0xFFE0);
    fake_config_write(fake, 3 << 3, BAR(2), 4, 0xFFFFF000); /* under the reset vector */
    assert_true(toy->function.bars[2].address == PCI_NO_ADDRESS);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void bars_may_overlap_for_a_while(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *first = toy_create(fake, 3, 0), *second = toy_create(fake, 4, 0);

    (void)state;
    first->answer = 1;
    second->answer = 2;
    fake_config_write(fake, 3 << 3, BAR(2), 4, 0xC0000000);
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    fake_config_write(fake, 4 << 3, BAR(2), 4, 0xC0000000);
    fake_config_write(fake, 4 << 3, COMMAND, 2, MEMORY_ON);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC0000000, 4), 2);
    fake_config_write(fake, 4 << 3, BAR(2), 4, 0xC0010000);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC0000000, 4), 1);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC0010000, 4), 2);
    /* Swapped by way of each other's place, as a re-balance does it. */
    fake_config_write(fake, 3 << 3, BAR(2), 4, 0xC0010000);
    fake_config_write(fake, 4 << 3, BAR(2), 4, 0xC0000000);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC0000000, 4), 2);
    assert_int_equal(fake_read(fake, BUS_MMIO, 0xC0010000, 4), 1);
    toy_destroy(second);
    toy_destroy(first);
    fake_destroy(fake);
}

static void mapped_memory_follows_its_bar(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);
    const struct vm_slot *slot = &toy->function.bars[0].slot;

    (void)state;
    assert_int_equal(slot->number, -1);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 0xC0000000);
    assert_int_equal(toy_slots_used(fake, toy->video), 0); /* sizing and placing happen without decoding */
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    assert_int_equal(toy_slots_used(fake, toy->video), 1);
    assert_true(slot->gpa == 0xC0000000 && slot->size == VIDEO_SIZE && slot->log_dirty && !slot->read_only);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 0xC8000000);
    assert_int_equal(toy_slots_used(fake, toy->video), 1);
    assert_true(slot->gpa == 0xC8000000);
    fake_config_write(fake, 3 << 3, COMMAND, 2, IO_ON);
    assert_int_equal(toy_slots_used(fake, toy->video), 0);
    assert_true(toy->last_move[0] == PCI_NO_ADDRESS);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void mapped_memory_never_covers_ram(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);

    (void)state;
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 32 * MiB);
    assert_int_equal(toy_slots_used(fake, toy->video), 0);
    assert_true(toy->function.bars[0].address == PCI_NO_ADDRESS);
    assert_int_equal(fake_config_read(fake, 3 << 3, BAR(0), 4), 32 * MiB + 8);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 64 * MiB); /* right behind it */
    assert_int_equal(toy_slots_used(fake, toy->video), 1);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void mapped_memories_change_places(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *first = toy_create(fake, 3, 0), *second = toy_create(fake, 4, 0);

    (void)state;
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    fake_config_write(fake, 4 << 3, COMMAND, 2, MEMORY_ON);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 0xC0000000);
    fake_config_write(fake, 4 << 3, BAR(0), 4, 0xC1000000);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 0xC1000000); /* taken: it waits */
    assert_true(first->function.bars[0].address == PCI_NO_ADDRESS);
    assert_true(second->function.bars[0].address == 0xC1000000);
    fake_config_write(fake, 4 << 3, BAR(0), 4, 0xC0000000);
    assert_true(first->function.bars[0].address == 0xC1000000);
    assert_true(first->last_move[0] == 0xC1000000);
    assert_true(second->function.bars[0].address == 0xC0000000);
    assert_int_equal(toy_slots_used(fake, first->video) + toy_slots_used(fake, second->video), 2);
    toy_destroy(second);
    toy_destroy(first);
    fake_destroy(fake);
}

static void windows_tell_where_firmware_placed_bars(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *first = toy_create(fake, 3, 0), *second = toy_create(fake, 9, 0);
    struct pci_windows windows;

    (void)state;
    pci_bus_windows(fake->board.pci, &windows);
    assert_true(windows.slots == (1U << 3 | 1U << 9) && windows.low64 == 0 && windows.high64 == 0);
    fake_config_write(fake, 3 << 3, BAR(4), 4, 0xC0000000);
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    pci_bus_windows(fake->board.pci, &windows);
    assert_true(windows.high64 == 0); /* below 4 GiB */
    fake_config_write(fake, 3 << 3, BAR(5), 4, 0x70);
    fake_config_write(fake, 9 << 3, BAR(5), 4, 0x60);
    pci_bus_windows(fake->board.pci, &windows);
    assert_true(windows.low64 == UINT64_C(0x70C0000000));
    assert_true(windows.high64 == UINT64_C(0x70C0000000) + WINDOW_SIZE);
    fake_config_write(fake, 9 << 3, COMMAND, 2, MEMORY_ON);
    pci_bus_windows(fake->board.pci, &windows);
    assert_true(windows.low64 == UINT64_C(0x6000000000));
    assert_true(windows.high64 == UINT64_C(0x70C0000000) + WINDOW_SIZE);
    toy_destroy(second);
    toy_destroy(first);
    fake_destroy(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizing_works_whether_decoding_or_not),
        cmocka_unit_test(registers_answer_where_the_bar_says),
        cmocka_unit_test(halves_of_a_64_bit_bar_move_alone),
        cmocka_unit_test(places_that_are_none),
        cmocka_unit_test(bars_may_overlap_for_a_while),
        cmocka_unit_test(mapped_memory_follows_its_bar),
        cmocka_unit_test(mapped_memory_never_covers_ram),
        cmocka_unit_test(mapped_memories_change_places),
        cmocka_unit_test(windows_tell_where_firmware_placed_bars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
