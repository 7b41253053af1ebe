/* See fake_toy.h. */
#include <stdlib.h>

#include "cmocka_all.h"
#include "fake_toy.h"

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

const struct bus_ops toy_ops = {toy_read, toy_write};

static void toy_moved(struct pci_function *function, unsigned bar, uint64_t address)
{
    struct toy *toy = container_of(function, struct toy, function);

    toy->moves[bar]++;
    toy->last_move[bar] = address;
    assert_true(address == function->bars[bar].address);
}

struct toy *toy_create(struct fake *fake, int slot, unsigned pin)
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

void toy_destroy(struct toy *toy)
{
    pci_function_remove(&toy->function);
    free(toy->video);
    free(toy);
}

struct fake *toy_machine(void)
{
    struct fake *fake = fake_create(0);
    struct pci_bus *bus;

    assert_int_equal(pci_bus_create(&fake->board, &bus), 0);
    assert_ptr_equal(fake->board.pci, bus);
    return fake;
}

unsigned toy_slots_used(const struct fake *fake, const void *host)
{
    unsigned count = 0;

    for (unsigned n = 0; n < FAKE_SLOTS; n++)
        count += fake->slots[n] && fake->slots[n]->host == host;
    return count;
}
