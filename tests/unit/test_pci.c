/* PCI bus 0 as firmware, systems and hostile guests use it: configuration space, pins, capabilities, reset. */
#include <errno.h>
#include <stdlib.h>

#include "cmocka_all.h"
#include "fake_toy.h"

static void toy_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct toy *toy = container_of(function, struct toy, function);

    toy->config_writes++;
    toy->config_offset = offset;
    toy->config_size = size;
}

static void toy_config_read(struct pci_function *function, unsigned offset, unsigned size)
{
    struct toy *toy = container_of(function, struct toy, function);

    (void)offset, (void)size;
    pci_config_set(function, 0x80, 4, ++toy->config_reads);
}

static void only_32_bits_at_cf8_are_the_address(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);
    struct toy reset_control = {.answer = 0x06};
    struct bus_region region = {.name = "CF9",
                                .space = BUS_PORT,
                                .base = 0xCF9,
                                .size = 1,
                                .ops = &toy_ops,
                                .device = &reset_control,
                                .priority = 1};

    (void)state;
    assert_int_equal(bus_add(fake->board.bus, &region), 0);
    fake_write(fake, BUS_PORT, 0xCF8, 4, 0x80001803);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCF8, 4), 0x80001800);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCFC, 4), 0x12341AF4);
    assert_int_equal(reset_control.reads + reset_control.writes, 0);
    /* Narrower ones change nothing, and the byte at CF9 is somebody else's. */
    fake_write(fake, BUS_PORT, 0xCF8, 1, 0x44);
    fake_write(fake, BUS_PORT, 0xCF8, 2, 0x4444);
    fake_write(fake, BUS_PORT, 0xCFA, 2, 0x4444);
    assert_int_equal(reset_control.writes, 0);
    fake_write(fake, BUS_PORT, 0xCF9, 1, 0x06);
    assert_int_equal(reset_control.writes, 1);
    assert_int_equal(reset_control.value, 0x06);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCF9, 1), 0x06);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCF8, 1), 0xFF);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCF8, 2), 0xFFFF);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCF8, 4), 0x80001800);
    /* Parts of the data register. */
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCFC, 2), 0x1AF4);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCFE, 2), 0x1234);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCFF, 1), 0x12);
    /* Without bit 31, and on another bus, there is nothing. */
    fake_write(fake, BUS_PORT, 0xCF8, 4, 0x00001800);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCFC, 4), 0xFFFFFFFF);
    fake_write(fake, BUS_PORT, 0xCF8, 4, 0x80011800);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCFC, 4), 0xFFFFFFFF);
    fake_write(fake, BUS_PORT, 0xCFC, 4, 0);
    bus_remove(fake->board.bus, &region);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void absent_functions_read_ones(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);

    (void)state;
    pci_bus_set_ecam(fake->board.pci, ECAM, 256 * MiB);
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        uint64_t expected = devfn == 3 << 3 ? 0x12341AF4 : 0xFFFFFFFF;

        assert_int_equal(fake_config_read(fake, devfn, 0, 4), expected);
        assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + (devfn << 12), 4), expected);
        if (expected == 0xFFFFFFFF)
            fake_config_write(fake, devfn, COMMAND, 2, 7);
    }
    for (uint64_t bus = 1; bus < 256; bus++)
        assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + (bus << 20) + (3 << 15), 4), 0xFFFFFFFF);
    toy_destroy(toy);
    assert_int_equal(fake_config_read(fake, 3 << 3, 0, 4), 0xFFFFFFFF);
    fake_destroy(fake);
}

static void ecam_accesses_of_every_size_at_every_edge(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 0, 0);

    (void)state;
    pci_bus_set_ecam(fake->board.pci, ECAM, 256 * MiB);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned offset = 0; offset < PCI_CONFIG_SIZE; offset++) {
            uint64_t got = fake_read(fake, BUS_MMIO, ECAM + offset, size);

            if (offset + size > PCI_CONFIG_SIZE)
                assert_true(got == all_ones(size)); /* runs into the next function */
            else
                assert_true(got == pci_config_get(&toy->function, offset, size));
            if (offset >= 0x100 && offset + size <= PCI_CONFIG_SIZE)
                assert_true(got == 0); /* no extended capabilities */
        }
    /* Writes that run over the end do nothing, nor do those to read-only registers. */
    for (unsigned offset = 0xFF9; offset < 0x1000; offset++)
        fake_write(fake, BUS_MMIO, ECAM + offset, 8, UINT64_MAX);
    fake_write(fake, BUS_MMIO, ECAM + 0x100, 8, UINT64_MAX);
    assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + 0x100, 4), 0);
    assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + 0xFFC, 4), 0);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void ecam_moves_and_shrinks(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 5, 0);
    uint64_t at = UINT64_C(0xE0000000);
    struct pci_windows windows;

    (void)state;
    assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + (5 << 15), 4), 0xFFFFFFFF);
    pci_bus_set_ecam(fake->board.pci, ECAM, 256 * MiB);
    assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + (5 << 15), 4), 0x12341AF4);
    pci_bus_set_ecam(fake->board.pci, at, 64 * MiB);
    assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + (5 << 15), 4), 0xFFFFFFFF);
    assert_int_equal(fake_read(fake, BUS_MMIO, at + (5 << 15), 4), 0x12341AF4);
    /* What lies behind the smaller window is free for BARs. */
    fake_config_write(fake, 5 << 3, BAR(2), 4, at + 64 * MiB);
    fake_config_write(fake, 5 << 3, COMMAND, 2, MEMORY_ON);
    assert_int_equal(fake_read(fake, BUS_MMIO, at + 64 * MiB, 4), 0x55667788);
    pci_bus_windows(fake->board.pci, &windows);
    assert_true(windows.ecam == at);
    pci_bus_set_ecam(fake->board.pci, PCI_NO_ADDRESS, 0);
    pci_bus_windows(fake->board.pci, &windows);
    assert_true(windows.ecam == PCI_NO_ADDRESS);
    assert_int_equal(fake_read(fake, BUS_MMIO, at + (5 << 15), 4), 0xFFFFFFFF);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void registers_keep_what_is_read_only(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 1);
    unsigned at = 3 << 3;

    (void)state;
    for (unsigned offset = 0; offset < 0x100; offset += 4)
        fake_config_write(fake, at, offset, 4, 0xFFFFFFFF);
    assert_int_equal(fake_config_read(fake, at, 0x00, 4), 0x12341AF4);
    assert_int_equal(fake_config_read(fake, at, COMMAND, 2), 0x0547);
    assert_int_equal(fake_config_read(fake, at, STATUS, 2), 0);
    assert_int_equal(fake_config_read(fake, at, 0x08, 4), 0x02000003);
    assert_int_equal(fake_config_read(fake, at, 0x0E, 1), 0);
    assert_int_equal(fake_config_read(fake, at, 0x2C, 4), 0x11001AF4);
    assert_int_equal(fake_config_read(fake, at, 0x30, 4), 0); /* no ROM */
    assert_int_equal(fake_config_read(fake, at, 0x34, 1), 0);
    assert_int_equal(fake_config_read(fake, at, 0x3C, 2), 0x01FF);
    /* Bytes and words of a register. */
    fake_config_write(fake, at, COMMAND, 2, 0);
    fake_config_write(fake, at, COMMAND + 1, 1, 0x04);
    assert_int_equal(fake_config_read(fake, at, COMMAND, 2), INTX_OFF);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void status_bits_are_cleared_by_ones(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);

    (void)state;
    pci_config_set(&toy->function, STATUS, 2, 0xF910);
    fake_config_write(fake, 3 << 3, STATUS, 2, 0);
    assert_int_equal(fake_config_read(fake, 3 << 3, STATUS, 2), 0xF910);
    fake_config_write(fake, 3 << 3, STATUS, 2, 0x8010);
    assert_int_equal(fake_config_read(fake, 3 << 3, STATUS, 2), 0x7910);
    fake_config_write(fake, 3 << 3, COMMAND, 4, 0xFFFF0000);
    assert_int_equal(fake_config_read(fake, 3 << 3, STATUS, 2), 0x0010);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void callbacks_see_what_was_accessed(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 0);

    (void)state;
    toy->function.config_written = toy_config_written;
    toy->function.config_read = toy_config_read;
    fake_config_write(fake, 3 << 3, 0x42, 2, 1);
    assert_int_equal(toy->config_writes, 1);
    assert_int_equal(toy->config_offset, 0x42);
    assert_int_equal(toy->config_size, 2);
    assert_int_equal(fake_config_read(fake, 3 << 3, 0x80, 4), 1);
    assert_int_equal(fake_config_read(fake, 3 << 3, 0x80, 4), 2);
    toy_destroy(toy);
    fake_destroy(fake);
}

/* PIRQ E-H rotate over slots 0 to 23, A-D serve 25-29 and 31 (platform contract 4.3). */
static void pins_reach_their_interrupt(void **state)
{
    static const struct {
        int slot;
        unsigned pin, gsi;
    } wiring[] = {{0, 1, 20},  {1, 1, 21},  {1, 4, 20},  {2, 2, 23},  {3, 1, 23},  {3, 2, 20},
                  {23, 1, 23}, {24, 1, 20}, {24, 4, 23}, {25, 1, 16}, {30, 2, 21}, {31, 4, 19}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(wiring); n++) {
        struct fake *fake = toy_machine();
        struct toy *toy = toy_create(fake, wiring[n].slot, wiring[n].pin);

        pci_intx_set(&toy->function, true);
        for (unsigned gsi = 0; gsi < 24; gsi++)
            assert_int_equal(fake->lines[gsi], gsi == wiring[n].gsi);
        pci_intx_set(&toy->function, false);
        assert_false(fake->lines[wiring[n].gsi]);
        toy_destroy(toy);
        fake_destroy(fake);
    }
}

static void functions_share_a_pin(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *first = toy_create(fake, 3, 1), *second = toy_create(fake, 7, 1), *mute = toy_create(fake, 8, 0);

    (void)state;
    pci_intx_set(&mute->function, true); /* has no pin */
    assert_int_equal(fake_config_read(fake, 8 << 3, STATUS, 2), 0);
    pci_intx_set(&first->function, true);
    pci_intx_set(&second->function, true);
    pci_intx_set(&first->function, false);
    assert_true(fake->lines[23]);
    assert_int_equal(fake->edges[23], 1);
    pci_intx_set(&second->function, false);
    assert_false(fake->lines[23]);
    /* One that is taken off the bus lets go. */
    pci_intx_set(&first->function, true);
    toy_destroy(first);
    assert_false(fake->lines[23]);
    toy_destroy(mute);
    toy_destroy(second);
    fake_destroy(fake);
}

static void the_command_register_silences_the_pin(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 1);

    (void)state;
    fake_config_write(fake, 3 << 3, COMMAND, 2, INTX_OFF);
    pci_intx_set(&toy->function, true);
    assert_false(fake->lines[23]);
    assert_int_equal(fake_config_read(fake, 3 << 3, STATUS, 2), 0x0008); /* status tells it all the same */
    fake_config_write(fake, 3 << 3, COMMAND, 2, 0);
    assert_true(fake->lines[23]);
    fake_config_write(fake, 3 << 3, COMMAND + 1, 1, INTX_OFF >> 8);
    assert_false(fake->lines[23]);
    fake_config_write(fake, 3 << 3, COMMAND, 2, 0);
    pci_intx_set(&toy->function, false);
    assert_int_equal(fake_config_read(fake, 3 << 3, STATUS, 2), 0);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void pirqs_lead_to_the_pic_too(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 1), *other = toy_create(fake, 4, 1); /* PIRQ H and E */

    (void)state;
    pci_bus_route_pirq(fake->board.pci, 7, 11);
    pci_intx_set(&toy->function, true);
    assert_true(fake->lines[23] && fake->lines[11] && !fake->lines[10]);
    pci_bus_route_pirq(fake->board.pci, 4, 10); /* another PIRQ's */
    assert_true(fake->lines[11] && !fake->lines[10]);
    pci_bus_route_pirq(fake->board.pci, 7, 10);
    assert_true(fake->lines[23] && !fake->lines[11] && fake->lines[10]);
    pci_intx_set(&other->function, true);
    pci_bus_route_pirq(fake->board.pci, 7, 0x80 | 10);
    assert_true(fake->lines[23] && fake->lines[20] && fake->lines[10]);
    pci_intx_set(&other->function, false);
    assert_true(fake->lines[23] && !fake->lines[20] && !fake->lines[10]);
    pci_bus_route_pirq(fake->board.pci, 8, 5);
    pci_bus_route_pirq(fake->board.pci, UINT32_MAX, 5);
    assert_false(fake->lines[5]);
    toy_destroy(other);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void capabilities_form_a_list(void **state)
{
    struct fake *fake = toy_machine();
    const struct pci_identity identity = {.vendor = 0x1234, .device = 1};
    struct pci_function function;
    unsigned count = 0, at, offset;

    (void)state;
    assert_int_equal(pci_function_init(&function, "list", &identity), 0);
    while ((at = pci_capability_add(&function, (uint8_t)(9 + count), 18)) != 0) {
        assert_int_equal(at % 4, 0);
        count++;
    }
    assert_int_equal(count, 9); /* 192 bytes of 20 each */
    assert_int_equal(pci_capability_add(&function, 1, 14), 0);
    assert_int_not_equal(pci_capability_add(&function, 9 + 9, 12), 0);
    assert_int_equal(pci_capability_add(&function, 1, 2), 0);
    assert_int_equal(pci_function_add(fake->board.pci, &function, 6, 0), 0);
    assert_int_equal(fake_config_read(fake, 6 << 3, STATUS, 2), 0x0010);
    offset = (unsigned)fake_config_read(fake, 6 << 3, 0x34, 1);
    for (unsigned n = 0; n < 10; n++) {
        assert_int_equal(fake_config_read(fake, 6 << 3, offset, 1), 9 + n);
        offset = (unsigned)fake_config_read(fake, 6 << 3, offset + 1, 1);
    }
    assert_int_equal(offset, 0);
    pci_function_remove(&function);
    fake_destroy(fake);
}

static void bars_that_cannot_be(void **state)
{
    const struct pci_identity identity = {.vendor = 0x1234};
    static uint8_t memory[8192];
    const struct pci_bar wrong[] = {
        {.type = PCI_BAR_NONE, .size = 4096},
        {.type = PCI_BAR_MEMORY32, .size = 0},
        {.type = PCI_BAR_MEMORY32, .size = 12288},
        {.type = PCI_BAR_MEMORY32, .size = 4 * GiB},
        {.type = PCI_BAR_IO, .size = 64 * KiB},
        {.type = PCI_BAR_MEMORY32, .size = 2048, .memory = memory},
        {.type = PCI_BAR_IO, .size = 4096, .memory = memory},
    };
    const struct pci_bar narrow = {.type = PCI_BAR_MEMORY32, .size = 4096}, wide = {PCI_BAR_MEMORY64, .size = 4096};
    struct pci_function function;

    (void)state;
    assert_int_equal(pci_function_init(&function, "wrong", &identity), 0);
    for (size_t n = 0; n < ARRAY_SIZE(wrong); n++)
        assert_int_equal(pci_bar_add(&function, 0, &wrong[n]), -EINVAL);
    assert_int_equal(pci_bar_add(&function, 6, &narrow), -EINVAL);
    assert_int_equal(pci_bar_add(&function, UINT32_MAX, &wide), -EINVAL);
    assert_int_equal(pci_bar_add(&function, 5, &wide), -EINVAL);
    assert_int_equal(pci_bar_add(&function, 2, &wide), 0);
    assert_int_equal(pci_bar_add(&function, 2, &narrow), -EINVAL);
    assert_int_equal(pci_bar_add(&function, 3, &narrow), -EINVAL); /* the upper half */
    assert_int_equal(pci_bar_add(&function, 1, &wide), -EINVAL);
    assert_int_equal(pci_bar_add(&function, 1, &narrow), 0);
    pci_function_remove(&function);
}

static void slots_are_given_once(void **state)
{
    struct fake *fake = toy_machine();
    const struct pci_identity identity = {.vendor = 0x1234};
    static struct pci_function functions[40];
    struct toy *toy = toy_create(fake, 3, 0);
    unsigned made = 0;
    int result = 0;

    (void)state;
    while (made < ARRAY_SIZE(functions)) {
        assert_int_equal(pci_function_init(&functions[made], "one of many", &identity), 0);
        result = pci_function_add(fake->board.pci, &functions[made], -1, 0);
        if (result < 0)
            break;
        assert_int_not_equal(functions[made].devfn >> 3, 3);
        made++;
    }
    assert_int_equal(result, -ENOSPC);
    assert_int_equal(made, 21); /* 2 to 23 without 3 */
    assert_int_equal(pci_function_add(fake->board.pci, &functions[made], 3, 0), -EBUSY);
    assert_int_equal(pci_function_add(fake->board.pci, &functions[made], 32, 0), -EBUSY);
    assert_int_equal(pci_function_add(fake->board.pci, &functions[made], 3, 8), -EBUSY);
    assert_int_equal(pci_function_add(fake->board.pci, &functions[made], 3, 7), 0);
    assert_int_equal(functions[made].devfn, 3 << 3 | 7);
    for (unsigned n = 0; n <= made; n++)
        pci_function_remove(&functions[n]);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void reset_is_power_on(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toy = toy_create(fake, 3, 1);
    uint8_t before[PCI_CONFIG_SIZE];

    (void)state;
    memcpy(before, toy->function.state.config, sizeof before);
    pci_bus_set_ecam(fake->board.pci, ECAM, 256 * MiB);
    pci_bus_route_pirq(fake->board.pci, 7, 11);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 0xC0000000);
    fake_config_write(fake, 3 << 3, BAR(5), 4, 0x70);
    fake_config_write(fake, 3 << 3, COMMAND, 2, 7);
    fake_config_write(fake, 3 << 3, 0x3C, 1, 11);
    pci_intx_set(&toy->function, true);
    assert_true(fake->lines[11] && fake->lines[23]);
    pci_bus_reset(fake->board.pci);
    assert_memory_equal(toy->function.state.config, before, sizeof before);
    assert_false(toy->function.state.intx);
    assert_false(fake->lines[11] || fake->lines[23]);
    assert_int_equal(toy_slots_used(fake, toy->video), 0);
    assert_true(toy->last_move[4] == PCI_NO_ADDRESS && toy->last_move[0] == PCI_NO_ADDRESS);
    assert_int_equal(fake_read(fake, BUS_MMIO, ECAM + (3 << 15), 4), 0xFFFFFFFF);
    assert_int_equal(fake_read(fake, BUS_PORT, 0xCF8, 4), 0);
    pci_intx_set(&toy->function, true); /* the PIC's routing is gone as well */
    assert_true(fake->lines[23] && !fake->lines[11]);
    toy_destroy(toy);
    fake_destroy(fake);
}

/* xorshift: the same accesses each time. */
static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void a_hostile_guest_writes_anything(void **state)
{
    struct fake *fake = toy_machine();
    struct toy *toys[] = {toy_create(fake, 3, 1), toy_create(fake, 4, 2)};
    uint8_t before[2][PCI_CONFIG_SIZE];
    uint32_t seed = 20260101;

    (void)state;
    for (unsigned n = 0; n < 2; n++)
        memcpy(before[n], toys[n]->function.state.config, PCI_CONFIG_SIZE);
    pci_bus_set_ecam(fake->board.pci, ECAM, 256 * MiB);
    for (unsigned n = 0; n < 20000; n++) {
        unsigned size = 1U << next_random(&seed) % 4, slot = 3 + next_random(&seed) % 2;
        uint64_t value = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
        unsigned offset = next_random(&seed) % (next_random(&seed) % 4 ? 0x40 : 0x1000);

        if (next_random(&seed) % 8 == 0)
            value |= UINT64_MAX << (next_random(&seed) % 64);
        fake_write(fake, BUS_MMIO, ECAM + ((uint64_t)slot << 15) + offset, size, value);
        fake_read(fake, BUS_MMIO, ECAM + ((uint64_t)slot << 15) + (value & 0xFFF), size);
        fake_write(fake, BUS_PORT, 0xCF8 + next_random(&seed) % 8, size > 4 ? 4 : size, value);
        for (unsigned bar = 0; bar < PCI_BARS; bar++) {
            const struct pci_bar *at = &toys[slot - 3]->function.bars[bar];

            if (at->type == PCI_BAR_NONE || at->address == PCI_NO_ADDRESS)
                continue;
            assert_true(at->address % at->size == 0 && at->address != 0);
            if (at->memory)
                assert_true(at->slot.number >= 0 && at->address >= 64 * MiB);
            else
                fake_read(fake, at->type == PCI_BAR_IO ? BUS_PORT : BUS_MMIO, at->address + at->size - 1, size);
        }
    }
    for (unsigned n = 0; n < 2; n++) {
        assert_memory_equal(toys[n]->function.state.config, before[n], 4);
        assert_memory_equal(toys[n]->function.state.config + 8, before[n] + 8, 4);
        assert_memory_equal(toys[n]->function.state.config + 0x2C, before[n] + 0x2C, 4);
    }
    pci_bus_reset(fake->board.pci);
    for (unsigned n = 0; n < 2; n++) {
        assert_memory_equal(toys[n]->function.state.config, before[n], PCI_CONFIG_SIZE);
        assert_int_equal(toy_slots_used(fake, toys[n]->video), 0);
        toy_destroy(toys[n]);
    }
    fake_destroy(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_32_bits_at_cf8_are_the_address),
        cmocka_unit_test(absent_functions_read_ones),
        cmocka_unit_test(ecam_accesses_of_every_size_at_every_edge),
        cmocka_unit_test(ecam_moves_and_shrinks),
        cmocka_unit_test(registers_keep_what_is_read_only),
        cmocka_unit_test(status_bits_are_cleared_by_ones),
        cmocka_unit_test(callbacks_see_what_was_accessed),
        cmocka_unit_test(pins_reach_their_interrupt),
        cmocka_unit_test(functions_share_a_pin),
        cmocka_unit_test(the_command_register_silences_the_pin),
        cmocka_unit_test(pirqs_lead_to_the_pic_too),
        cmocka_unit_test(capabilities_form_a_list),
        cmocka_unit_test(bars_that_cannot_be),
        cmocka_unit_test(slots_are_given_once),
        cmocka_unit_test(reset_is_power_on),
        cmocka_unit_test(a_hostile_guest_writes_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
