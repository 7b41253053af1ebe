/* The board without KVM (see fake.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "fake.h"

static struct fake *of(struct vm *vm)
{
    return container_of(vm, struct fake, vm);
}

static int slot_add(struct vm *vm, struct vm_slot *slot)
{
    struct fake *fake = of(vm);

    for (int n = 0; n < FAKE_SLOTS; n++) {
        const struct vm_slot *other = fake->slots[n];

        if (other && slot->gpa < other->gpa + other->size && other->gpa < slot->gpa + slot->size)
            return -EEXIST; /* as KVM answers */
    }
    for (int n = 0; n < FAKE_SLOTS; n++)
        if (!fake->slots[n]) {
            fake->slots[n] = slot;
            fake->dirty[n] = slot->log_dirty ? calloc(align_up(slot->size / 4096, 64) / 64, 8) : NULL;
            slot->number = n;
            return 0;
        }
    return -ENOSPC;
}

static void slot_remove(struct vm *vm, struct vm_slot *slot)
{
    struct fake *fake = of(vm);

    if (slot->number >= 0) {
        fake->slots[slot->number] = NULL;
        free(fake->dirty[slot->number]);
        fake->dirty[slot->number] = NULL;
    }
    slot->number = -1;
}

static int dirty_log(struct vm *vm, const struct vm_slot *slot, uint64_t *bitmap)
{
    uint64_t *dirty = slot->number < 0 ? NULL : of(vm)->dirty[slot->number];

    if (!dirty)
        return -ENOENT;
    for (size_t n = 0; n < align_up(slot->size / 4096, 64) / 64; n++)
        bitmap[n] = __atomic_exchange_n(&dirty[n], 0, __ATOMIC_SEQ_CST);
    return 0;
}

bool fake_store(struct fake *fake, uint64_t address, const void *data, size_t size)
{
    for (int n = 0; n < FAKE_SLOTS; n++) {
        const struct vm_slot *slot = fake->slots[n];

        if (!slot || slot->read_only || address < slot->gpa || address + size > slot->gpa + slot->size)
            continue;
        memcpy((char *)slot->host + (address - slot->gpa), data, size);
        for (uint64_t page = (address - slot->gpa) / 4096;
             fake->dirty[n] && page <= (address + size - 1 - slot->gpa) / 4096; page++)
            __atomic_fetch_or(&fake->dirty[n][page / 64], UINT64_C(1) << page % 64, __ATOMIC_SEQ_CST);
        return true;
    }
    return false;
}

static int ioeventfd(struct vm *vm, enum bus_space space, uint64_t address, unsigned size, const uint64_t *match,
                     int fd, bool assign)
{
    struct fake *fake = of(vm);

    for (unsigned n = 0; n < fake->ioeventfd_count; n++) {
        struct fake_ioeventfd *entry = &fake->ioeventfds[n];

        if (entry->space != space || entry->address != address || entry->size != size || entry->fd != fd)
            continue;
        if (assign)
            return -EEXIST;
        *entry = fake->ioeventfds[--fake->ioeventfd_count];
        return 0;
    }
    if (!assign)
        return -ENOENT;
    if (fake->ioeventfd_count == FAKE_IOEVENTFDS)
        return -ENOSPC;
    fake->ioeventfds[fake->ioeventfd_count++] = (struct fake_ioeventfd){
        .space = space, .address = address, .size = size, .has_match = match, .match = match ? *match : 0, .fd = fd};
    return 0;
}

static void irq_line(struct vm *vm, uint32_t gsi, bool level)
{
    struct fake *fake = of(vm);

    if (level && !__atomic_load_n(&fake->lines[gsi], __ATOMIC_SEQ_CST))
        __atomic_add_fetch(&fake->edges[gsi], 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fake->lines[gsi], level, __ATOMIC_SEQ_CST);
}

static int routes(struct vm *vm, const struct vm_route *table, unsigned count)
{
    (void)vm, (void)table, (void)count;
    return 0;
}

static int irqfd(struct vm *vm, int fd, uint32_t gsi, bool assign)
{
    (void)vm, (void)fd, (void)gsi, (void)assign;
    return 0;
}

static const struct vm_ops fake_ops = {slot_add, slot_remove, dirty_log, ioeventfd, irq_line, routes, irqfd};

static void power(void *machine, enum power_request request, const char *source)
{
    struct fake *fake = machine;

    if (request == POWER_RESET)
        fake->resets++;
    else
        fake->power_offs++;
    fake->power_source = source;
}

struct fake *fake_create(uint64_t memory)
{
    struct fake *fake = calloc(1, sizeof *fake);
    struct memory_options options = {.size = memory ? memory : 64 * MiB};

    if (!fake)
        abort();
    fake->vm.ops = &fake_ops;
    fake->board = (struct board){
        .vm = &fake->vm, .bus = bus_create(), .loop = loop_create("main"), .power = power, .machine = fake};
    if (!fake->board.bus || !fake->board.loop || memory_create(&options, &fake->board.memory, NULL) < 0 ||
        memory_attach(fake->board.memory, &fake->vm, NULL) < 0 || irq_create(&fake->vm, &fake->board.irq) < 0)
        abort();
    return fake;
}

void fake_destroy(struct fake *fake)
{
    board_destroy_devices(&fake->board);
    if (fake->board.pci)
        pci_bus_destroy(fake->board.pci);
    irq_destroy(fake->board.irq);
    memory_destroy(fake->board.memory);
    loop_destroy(fake->board.loop);
    bus_destroy(fake->board.bus);
    free(fake);
}

int fake_ioeventfd(const struct fake *fake, enum bus_space space, uint64_t address, unsigned size, uint64_t value)
{
    for (unsigned n = 0; n < fake->ioeventfd_count; n++) {
        const struct fake_ioeventfd *entry = &fake->ioeventfds[n];

        if (entry->space == space && entry->address == address && (!entry->size || entry->size == size) &&
            (!entry->has_match || entry->match == value))
            return entry->fd;
    }
    return -1;
}

void fake_write(struct fake *fake, enum bus_space space, uint64_t address, unsigned size, uint64_t value)
{
    int fd = fake_ioeventfd(fake, space, address, size, value);
    uint64_t one = 1;

    if (fd < 0)
        bus_write(fake->board.bus, space, address, size, value);
    else if (write(fd, &one, sizeof one) < 0)
        abort();
}

uint64_t fake_read(struct fake *fake, enum bus_space space, uint64_t address, unsigned size)
{
    return bus_read(fake->board.bus, space, address, size);
}

static void select_config(struct fake *fake, unsigned devfn, unsigned offset)
{
    bus_write(fake->board.bus, BUS_PORT, 0xCF8, 4, UINT32_C(0x80000000) | devfn << 8 | (offset & 0xFC));
}

uint64_t fake_config_read(struct fake *fake, unsigned devfn, unsigned offset, unsigned size)
{
    select_config(fake, devfn, offset);
    return bus_read(fake->board.bus, BUS_PORT, 0xCFC + (offset & 3), size);
}

void fake_config_write(struct fake *fake, unsigned devfn, unsigned offset, unsigned size, uint64_t value)
{
    select_config(fake, devfn, offset);
    bus_write(fake->board.bus, BUS_PORT, 0xCFC + (offset & 3), size, value);
}

uint64_t fake_signals(int fd)
{
    uint64_t count = 0;

    return read(fd, &count, sizeof count) == (ssize_t)sizeof count ? count : 0;
}
