/* BARs: where each is decoded, and moving it while vCPUs run (PCI Local Bus 3.0, 6.2.5). */
#include <errno.h>
#include <inttypes.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "pci_private.h"

/* Accesses to a BAR that holds the MSI-X table reach the table first, the device with the rest. */
static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pci_bar *bar = opaque;
    struct pci_function *function = bar->function;

    if (function->vectors && bar == &function->bars[function->msix_bar]) {
        bool claimed = false;
        uint64_t value;

        pthread_mutex_lock(&function->irq_lock);
        value = pci_msix_read(function, offset, size, &claimed);
        pthread_mutex_unlock(&function->irq_lock);
        if (claimed)
            return value;
    }
    return bar->region.ops ? bar->region.ops->read(bar->region.device, offset, size) : all_ones(size);
}

static void bar_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bar *bar = opaque;
    struct pci_function *function = bar->function;

    if (function->vectors && bar == &function->bars[function->msix_bar]) {
        bool claimed;

        pthread_mutex_lock(&function->irq_lock);
        claimed = pci_msix_write(function, offset, size, value);
        pthread_mutex_unlock(&function->irq_lock);
        if (claimed)
            return;
    }
    if (bar->region.ops)
        bar->region.ops->write(bar->region.device, offset, size, value);
}

static const struct bus_ops bar_ops = {bar_read, bar_write};

int pci_bar_add(struct pci_function *function, unsigned number, const struct pci_bar *template)
{
    unsigned offset = PCI_BAR0 + number * 4;
    struct pci_bar *bar;
    bool wide = template->type == PCI_BAR_MEMORY64;
    uint64_t limit = wide ? UINT64_C(1) << 62 : template->type == PCI_BAR_IO ? 4 * KiB : 2 * GiB;

    if (number >= PCI_BARS - (wide ? 1U : 0U) || template->type == PCI_BAR_NONE || template->size < 16 ||
        template->size > limit || (template->size & (template->size - 1)))
        return -EINVAL;
    if (template->memory && (template->type == PCI_BAR_IO || template->size % (4 * KiB)))
        return -EINVAL;
    if (function->bars[number].type != PCI_BAR_NONE || (wide && function->bars[number + 1].type != PCI_BAR_NONE) ||
        (number > 0 && function->bars[number - 1].type == PCI_BAR_MEMORY64))
        return -EINVAL;
    bar = &function->bars[number];
    *bar = *template;
    bar->function = function;
    bar->address = PCI_NO_ADDRESS;
    bar->slot.number = -1;
    bar->decoder = (struct bus_region){.name = function->name,
                                       .space = bar->type == PCI_BAR_IO ? BUS_PORT : BUS_MMIO,
                                       .size = bar->size,
                                       .ops = &bar_ops,
                                       .device = bar};
    if (bar->type == PCI_BAR_IO) {
        pci_config_set(function, offset, 4, 1);
        pci_config_writable(function, offset, 4, ~(bar->size - 1) & 0xFFFFFFFC);
        return 0;
    }
    pci_config_set(function, offset, 4, (wide ? 4 : 0) | (bar->prefetchable ? 8 : 0));
    pci_config_writable(function, offset, 4, ~(bar->size - 1) & 0xFFFFFFF0);
    if (wide)
        pci_config_writable(function, offset + 4, 4, ~(bar->size - 1) >> 32);
    return 0;
}

int pci_bar_dirty_log(struct pci_function *function, unsigned number, uint64_t *bitmap)
{
    struct pci_bar *bar = &function->bars[number];
    int result = -ENOENT;

    pthread_mutex_lock(&function->bus->lock);
    if (bar->memory && bar->address != PCI_NO_ADDRESS)
        result = vm_dirty_log(function->bus->board->vm, &bar->slot, bitmap);
    pthread_mutex_unlock(&function->bus->lock);
    return result;
}

/* The address that configuration space gives, or PCI_NO_ADDRESS while it decodes nothing. */
static uint64_t wanted_address(const struct pci_function *function, unsigned number)
{
    const struct pci_bar *bar = &function->bars[number];
    uint64_t command = pci_config_get(function, PCI_COMMAND, 2);
    uint64_t address = pci_config_get(function, PCI_BAR0 + number * 4, 4);

    if (bar->type == PCI_BAR_IO) {
        address &= 0xFFFFFFFC;
        return (command & COMMAND_IO) && address && address + bar->size <= 0x10000 ? address : PCI_NO_ADDRESS;
    }
    address &= 0xFFFFFFF0;
    if (bar->type == PCI_BAR_MEMORY64)
        address |= pci_config_get(function, PCI_BAR0 + number * 4 + 4, 4) << 32;
    /* Sizing writes all ones to either half; what ends with the 32-bit or the 64-bit space is that, not a place. */
    if (!(command & COMMAND_MEMORY) || !address || address + bar->size == 0 || address + bar->size == 4 * GiB)
        return PCI_NO_ADDRESS;
    return address;
}

static void unmap(struct pci_bus *bus, struct pci_bar *bar)
{
    if (bar->memory)
        vm_slot_remove(bus->board->vm, &bar->slot);
    else
        bus_remove(bus->board->bus, &bar->decoder);
    bar->address = PCI_NO_ADDRESS;
}

static int map(struct pci_bus *bus, struct pci_bar *bar, uint64_t address)
{
    int failed;

    if (bar->memory) {
        bar->slot =
            (struct vm_slot){.gpa = address, .size = bar->size, .host = bar->memory, .log_dirty = true, .number = -1};
        failed = vm_slot_add(bus->board->vm, &bar->slot);
    } else {
        bar->decoder.base = address;
        failed = bus_add(bus->board->bus, &bar->decoder);
    }
    if (failed == 0)
        bar->address = address;
    return failed;
}

static void place(struct pci_function *function, unsigned number, uint64_t address)
{
    static struct log_limit limit;
    struct pci_bar *bar = &function->bars[number];
    int failed;

    if (bar->type == PCI_BAR_NONE || bar->address == address)
        return;
    if (bar->address != PCI_NO_ADDRESS)
        unmap(function->bus, bar);
    if (address != PCI_NO_ADDRESS) {
        failed = map(function->bus, bar, address);
        if (failed < 0)
            log_guest(&limit, "%s: BAR %u cannot be placed at 0x%" PRIx64 " (error %d); it answers nowhere",
                      function->name, number, address, -failed);
    }
    if (bar->moved)
        bar->moved(function, number, bar->address);
}

/* Memory slots cannot overlap as exits can: what found its place taken tries again when a slot becomes free. */
static void place_waiting(struct pci_bus *bus)
{
    for (unsigned devfn = 0; devfn < ARRAY_SIZE(bus->functions); devfn++) {
        struct pci_function *function = bus->functions[devfn];

        for (unsigned n = 0; function && n < PCI_BARS; n++)
            if (function->bars[n].memory && function->bars[n].address == PCI_NO_ADDRESS)
                place(function, n, wanted_address(function, n));
    }
}

void pci_bars_update(struct pci_function *function)
{
    bool freed = false;

    for (unsigned n = 0; n < PCI_BARS; n++) {
        uint64_t address = wanted_address(function, n);

        freed |= function->bars[n].memory && function->bars[n].address != PCI_NO_ADDRESS &&
                 function->bars[n].address != address;
        place(function, n, address);
    }
    if (freed)
        place_waiting(function->bus);
}

void pci_bars_unmap(struct pci_function *function)
{
    for (unsigned n = 0; n < PCI_BARS; n++)
        place(function, n, PCI_NO_ADDRESS);
}
