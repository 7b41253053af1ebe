/* PCI bus 0 as firmware, systems and hostile guests use it: configuration space, BARs that move, pins. */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake.h"

#define COMMAND 0x04
#define STATUS 0x06
#define BAR(n) (0x10 + 4 * (n))
#define IO_ON 1
#define MEMORY_ON 2
#define INTX_OFF 0x400

#define ECAM UINT64_C(0xB0000000)
#define VIDEO_SIZE (64 * KiB)
#define WINDOW_SIZE (16 * KiB)

/* A function with one BAR of each kind: 0 memory for the guest to map, 1 I/O, 2 registers, 4 a 64-bit window. */
struct toy {
    struct pci_function function;
    uint64_t answer; /* what its registers read */
    uint64_t offset, value;
    unsigned size, reads, writes;
    unsigned moves[PCI_BARS];
    uint64_t last_move[PCI_BARS];
    unsigned config_offset, config_size, config_reads, config_writes;
    void *video;
};

static uint64_t toy_read(void *opaque, uint64_t offset, unsigned size)
{
    struct toy *toy = opaque;

    toy->reads++;
    toy->offset = offset;
    toy->size = size;
    return toy->answer;
}

static void toy_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct toy *toy = opaque;

    toy->writes++;
    toy->offset = offset;
    toy->size = size;
    toy->value = value;
}

static const struct bus_ops toy_ops = {toy_read, toy_write};

static void toy_moved(struct pci_function *function, unsigned bar, uint64_t address)
{
    struct toy *toy = container_of(function, struct toy, function);

    toy->moves[bar]++;
    toy->last_move[bar] = address;
    assert_true(address == function->bars[bar].address);
}

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

static struct toy *toy_create(struct fake *fake, int slot, unsigned pin)
{
    const struct pci_identity identity = {0x1AF4, 0x1234, 0x1AF4, 0x1100, 3, 0x020000};
    struct toy *toy = calloc(1, sizeof *toy);
    struct pci_bar bar = {.region = {.name = "toy", .ops = &toy_ops, .device = toy}, .moved = toy_moved};

    assert_non_null(toy);
    toy->answer = 0x1122334455667788;
    toy->video = aligned_alloc(4096, VIDEO_SIZE);
    assert_int_equal(pci_function_init(&toy->function, "toy", &identity), 0);
    bar.type = PCI_BAR_IO;
    bar.size = 32;
    assert_int_equal(pci_bar_add(&toy->function, 1, &bar), 0);
    bar.type = PCI_BAR_MEMORY32;
    bar.size = 4096;
    assert_int_equal(pci_bar_add(&toy->function, 2, &bar), 0);
    bar.type = PCI_BAR_MEMORY64;
    bar.size = WINDOW_SIZE;
    bar.prefetchable = true;
    assert_int_equal(pci_bar_add(&toy->function, 4, &bar), 0);
    bar = (struct pci_bar){
        .type = PCI_BAR_MEMORY32, .prefetchable = true, .size = VIDEO_SIZE, .memory = toy->video, .moved = toy_moved};
    assert_int_equal(pci_bar_add(&toy->function, 0, &bar), 0);
    if (pin)
        pci_intx_add(&toy->function, pin);
    assert_int_equal(pci_function_add(fake->board.pci, &toy->function, slot, 0), 0);
    return toy;
}

static void toy_destroy(struct toy *toy)
{
    pci_function_remove(&toy->function);
    free(toy->video);
    free(toy);
}

static struct fake *machine(void)
{
    struct fake *fake = fake_create(0);
    struct pci_bus *bus;

    assert_int_equal(pci_bus_create(&fake->board, &bus), 0);
    assert_ptr_equal(fake->board.pci, bus);
    return fake;
}

static unsigned slots_used(const struct fake *fake, const void *host)
{
    unsigned count = 0;

    for (unsigned n = 0; n < FAKE_SLOTS; n++)
        count += fake->slots[n] && fake->slots[n]->host == host;
    return count;
}

static void only_32_bits_at_cf8_are_the_address(void **state)
{
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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

/* As every system does it: write ones, read the mask, put the address back. */
static void sizing_works_whether_decoding_or_not(void **state)
{
    static const struct {
        unsigned bar;
        uint32_t mask;
    } expected[] = {{0, 0xFFFF0008}, {1, 0xFFFFFFE1}, {2, 0xFFFFF000}, {3, 0}, {4, 0xFFFFC00C}, {5, 0xFFFFFFFF}};
    static const uint32_t addresses[] = {0xC0000008, 0x6001, 0xC1000000, 0, 0x0000000C, 0x70};
    struct fake *fake = machine();
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
        assert_int_equal(slots_used(fake, toy->video), command & MEMORY_ON ? 1 : 0);
    }
    toy_destroy(toy);
    assert_int_equal(slots_used(fake, NULL), 0);
    fake_destroy(fake);
}

static void registers_answer_where_the_bar_says(void **state)
{
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
    struct toy *toy = toy_create(fake, 3, 0);
    const struct vm_slot *slot = &toy->function.bars[0].slot;

    (void)state;
    assert_int_equal(slot->number, -1);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 0xC0000000);
    assert_int_equal(slots_used(fake, toy->video), 0); /* sizing and placing happen without decoding */
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    assert_int_equal(slots_used(fake, toy->video), 1);
    assert_true(slot->gpa == 0xC0000000 && slot->size == VIDEO_SIZE && slot->log_dirty && !slot->read_only);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 0xC8000000);
    assert_int_equal(slots_used(fake, toy->video), 1);
    assert_true(slot->gpa == 0xC8000000);
    fake_config_write(fake, 3 << 3, COMMAND, 2, IO_ON);
    assert_int_equal(slots_used(fake, toy->video), 0);
    assert_true(toy->last_move[0] == PCI_NO_ADDRESS);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void mapped_memory_never_covers_ram(void **state)
{
    struct fake *fake = machine();
    struct toy *toy = toy_create(fake, 3, 0);

    (void)state;
    fake_config_write(fake, 3 << 3, COMMAND, 2, MEMORY_ON);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 32 * MiB);
    assert_int_equal(slots_used(fake, toy->video), 0);
    assert_true(toy->function.bars[0].address == PCI_NO_ADDRESS);
    assert_int_equal(fake_config_read(fake, 3 << 3, BAR(0), 4), 32 * MiB + 8);
    fake_config_write(fake, 3 << 3, BAR(0), 4, 64 * MiB); /* right behind it */
    assert_int_equal(slots_used(fake, toy->video), 1);
    toy_destroy(toy);
    fake_destroy(fake);
}

static void mapped_memories_change_places(void **state)
{
    struct fake *fake = machine();
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
    assert_int_equal(slots_used(fake, first->video) + slots_used(fake, second->video), 2);
    toy_destroy(second);
    toy_destroy(first);
    fake_destroy(fake);
}

static void windows_tell_where_firmware_placed_bars(void **state)
{
    struct fake *fake = machine();
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
        struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    struct fake *fake = machine();
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
    assert_int_equal(slots_used(fake, toy->video), 0);
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
    struct fake *fake = machine();
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
        assert_int_equal(slots_used(fake, toys[n]->video), 0);
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
        cmocka_unit_test(sizing_works_whether_decoding_or_not),
        cmocka_unit_test(registers_answer_where_the_bar_says),
        cmocka_unit_test(halves_of_a_64_bit_bar_move_alone),
        cmocka_unit_test(places_that_are_none),
        cmocka_unit_test(bars_may_overlap_for_a_while),
        cmocka_unit_test(mapped_memory_follows_its_bar),
        cmocka_unit_test(mapped_memory_never_covers_ram),
        cmocka_unit_test(mapped_memories_change_places),
        cmocka_unit_test(windows_tell_where_firmware_placed_bars),
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
