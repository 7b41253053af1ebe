/* Bus 0: CF8/CFC and ECAM lead to the functions' configuration spaces (platform contract 4.1). */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "pci_private.h"

static uint64_t read_config(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size)
{
    struct pci_function *function = bus->functions[devfn];
    uint64_t value = 0;

    if (!function)
        return all_ones(size);
    pthread_mutex_lock(&bus->lock);
    if (function->config_read)
        function->config_read(function, offset, size);
    pthread_mutex_lock(&function->irq_lock); /* the status register follows the pin */
    for (unsigned n = 0; n < size && offset + n < PCI_CONFIG_SIZE; n++)
        value |= (uint64_t)function->state.config[offset + n] << (8 * n);
    pthread_mutex_unlock(&function->irq_lock);
    pthread_mutex_unlock(&bus->lock);
    return value;
}

/* What a write means beyond the bytes: BARs and decoding, the pin, MSI-X masks. */
static void after_write(struct pci_function *function, unsigned offset, unsigned size)
{
    if (offset < PCI_BAR0 + 4 * PCI_BARS && offset + size > PCI_COMMAND)
        pci_bars_update(function);
    pthread_mutex_lock(&function->irq_lock);
    if (function->vectors && offset < function->msix_capability + 4U && offset + size > function->msix_capability + 2U)
        pci_msix_control_written(function);
    pci_intx_update(function);
    pthread_mutex_unlock(&function->irq_lock);
    if (function->config_written)
        function->config_written(function, offset, size);
}

static void write_config(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size, uint64_t value)
{
    struct pci_function *function = bus->functions[devfn];

    if (!function)
        return;
    pthread_mutex_lock(&bus->lock);
    pthread_mutex_lock(&function->irq_lock);
    for (unsigned n = 0; n < size && offset + n < PCI_CONFIG_SIZE; n++) {
        uint8_t *byte = &function->state.config[offset + n];
        uint8_t mask = function->writable[offset + n], data = (uint8_t)(value >> (8 * n));

        *byte = (uint8_t)((*byte & ~mask) | (data & mask));
        *byte &= (uint8_t) ~(data & function->write_one_clears[offset + n]);
    }
    pthread_mutex_unlock(&function->irq_lock);
    after_write(function, offset, size);
    pthread_mutex_unlock(&bus->lock);
}

/* Only a 32-bit access at exactly CF8 is the address register. */
static uint64_t address_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct pci_bus *bus = opaque;

    return offset == 0 && size == 4 ? __atomic_load_n(&bus->address, __ATOMIC_RELAXED) : all_ones(size);
}

static void address_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_bus *bus = opaque;

    if (offset == 0 && size == 4)
        __atomic_store_n(&bus->address, (uint32_t)value & 0x80FFFFFC, __ATOMIC_RELAXED);
}

/* devfn and register that CF8 selects; false when it selects nothing on bus 0. */
static bool selected(const struct pci_bus *bus, uint64_t offset, unsigned *devfn, unsigned *where)
{
    uint32_t address = __atomic_load_n(&bus->address, __ATOMIC_RELAXED);

    *devfn = address >> 8 & 0xFF;
    *where = (address & 0xFC) + (unsigned)offset;
    return (address & 0x80000000) && (address >> 16 & 0xFF) == 0;
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    unsigned devfn, where;

    if (!selected(opaque, offset, &devfn, &where))
        return all_ones(size);
    return read_config(opaque, devfn, where, size);
}

static void data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned devfn, where;

    if (selected(opaque, offset, &devfn, &where))
        write_config(opaque, devfn, where, size, value);
}

/* An access that runs over the end of a function's 4 KiB is no configuration access. */
static bool in_function(uint64_t offset, unsigned size)
{
    return offset < (UINT64_C(1) << 20) && (offset & 0xFFF) + size <= PCI_CONFIG_SIZE;
}

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    if (!in_function(offset, size))
        return all_ones(size);
    return read_config(opaque, (unsigned)(offset >> 12), (unsigned)offset & 0xFFF, size);
}

static void ecam_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (in_function(offset, size))
        write_config(opaque, (unsigned)(offset >> 12), (unsigned)offset & 0xFFF, size, value);
}

static const struct bus_ops address_ops = {address_read, address_write};
static const struct bus_ops data_ops = {data_read, data_write};
static const struct bus_ops ecam_ops = {ecam_read, ecam_write};

int pci_bus_create(struct board *board, struct pci_bus **result)
{
    struct pci_bus *bus = calloc(1, sizeof *bus);
    int failed;

    if (!bus)
        return -ENOMEM;
    bus->board = board;
    pthread_mutex_init(&bus->lock, NULL);
    memset(bus->pirq_route, 0x80, sizeof bus->pirq_route);
    bus->address_region = (struct bus_region){.name = "PCI address",
                                              .space = BUS_PORT,
                                              .base = 0xCF8,
                                              .size = 4,
                                              .ops = &address_ops,
                                              .device = bus,
                                              .priority = -1};
    bus->data_region = (struct bus_region){
        .name = "PCI data", .space = BUS_PORT, .base = 0xCFC, .size = 4, .ops = &data_ops, .device = bus};
    bus->ecam_region =
        (struct bus_region){.name = "ECAM", .space = BUS_MMIO, .ops = &ecam_ops, .device = bus, .priority = 1};
    failed = bus_add(board->bus, &bus->address_region);
    if (failed == 0)
        failed = bus_add(board->bus, &bus->data_region);
    if (failed < 0) {
        pci_bus_destroy(bus);
        return failed;
    }
    board->pci = bus;
    *result = bus;
    return 0;
}

void pci_bus_destroy(struct pci_bus *bus)
{
    if (!bus)
        return;
    bus_remove(bus->board->bus, &bus->address_region);
    bus_remove(bus->board->bus, &bus->data_region);
    pci_bus_set_ecam(bus, PCI_NO_ADDRESS, 0);
    if (bus->board->pci == bus)
        bus->board->pci = NULL;
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

void pci_bus_set_ecam(struct pci_bus *bus, uint64_t base, uint64_t size)
{
    if (bus->ecam_on && bus->ecam_region.base == base && bus->ecam_region.size == size)
        return;
    if (bus->ecam_on)
        bus_remove(bus->board->bus, &bus->ecam_region);
    bus->ecam_on = false;
    if (base == PCI_NO_ADDRESS)
        return;
    bus->ecam_region.base = base;
    bus->ecam_region.size = size;
    bus->ecam_on = bus_add(bus->board->bus, &bus->ecam_region) == 0;
}

void pci_bus_route_pirq(struct pci_bus *bus, unsigned pirq, uint8_t value)
{
    if (pirq >= ARRAY_SIZE(bus->pirq_route))
        return;
    bus->pirq_route[pirq] = value;
    for (unsigned devfn = 0; devfn < ARRAY_SIZE(bus->functions); devfn++) {
        const struct pci_function *function = bus->functions[devfn];

        if (function && function->state.config[PCI_INTERRUPT_PIN] && pci_pirq(function) == pirq)
            irq_line_move(&bus->legacy_pins[devfn], value & 0x80 ? IRQ_NOWHERE : value & 0x0F);
    }
}

void pci_bus_reset(struct pci_bus *bus)
{
    for (unsigned devfn = 0; devfn < ARRAY_SIZE(bus->functions); devfn++) {
        struct pci_function *function = bus->functions[devfn];

        if (!function)
            continue;
        pthread_mutex_lock(&bus->lock);
        pci_bars_unmap(function);
        pthread_mutex_lock(&function->irq_lock);
        /* Device threads still run: MSI-X is off from here on, so that nothing becomes pending behind the reset. */
        memcpy(function->state.config, function->reset_config, sizeof function->reset_config);
        pci_msix_reset(function);
        function->state.intx = false;
        pci_intx_update(function);
        pthread_mutex_unlock(&function->irq_lock);
        pthread_mutex_unlock(&bus->lock);
    }
    pthread_mutex_lock(&bus->lock);
    pci_bus_set_ecam(bus, PCI_NO_ADDRESS, 0);
    for (unsigned pirq = 0; pirq < ARRAY_SIZE(bus->pirq_route); pirq++)
        pci_bus_route_pirq(bus, pirq, 0x80);
    __atomic_store_n(&bus->address, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&bus->lock);
}

void pci_bus_windows(struct pci_bus *bus, struct pci_windows *windows)
{
    *windows = (struct pci_windows){.ecam = PCI_NO_ADDRESS};
    pthread_mutex_lock(&bus->lock);
    if (bus->ecam_on)
        windows->ecam = bus->ecam_region.base;
    for (unsigned devfn = 0; devfn < ARRAY_SIZE(bus->functions); devfn++) {
        const struct pci_function *function = bus->functions[devfn];

        if (!function)
            continue;
        windows->slots |= UINT32_C(1) << (devfn >> 3);
        for (unsigned n = 0; n < PCI_BARS; n++) {
            const struct pci_bar *bar = &function->bars[n];

            if (bar->type != PCI_BAR_MEMORY64 || bar->address == PCI_NO_ADDRESS || bar->address >> 32 == 0)
                continue;
            if (!windows->high64 || bar->address < windows->low64)
                windows->low64 = bar->address;
            windows->high64 = MAX(windows->high64, bar->address + bar->size);
        }
    }
    pthread_mutex_unlock(&bus->lock);
}

/* The first slot that holds nothing; 0, 1 (the display's habit) and those with other pin wiring are left alone. */
static int free_slot(const struct pci_bus *bus)
{
    for (int slot = 2; slot < 24; slot++) {
        bool used = false;

        for (unsigned number = 0; number < 8; number++)
            used |= bus->functions[slot << 3 | number] != NULL;
        if (!used)
            return slot;
    }
    return -ENOSPC;
}

int pci_function_add(struct pci_bus *bus, struct pci_function *function, int slot, unsigned number)
{
    if (slot < 0)
        slot = free_slot(bus);
    if (slot < 0)
        return slot;
    if (slot > 31 || number > 7 || bus->functions[slot << 3 | (int)number])
        return -EBUSY;
    function->bus = bus;
    function->devfn = (uint8_t)(slot << 3 | (int)number);
    memcpy(function->reset_config, function->state.config, sizeof function->reset_config);
    if (function->state.config[PCI_INTERRUPT_PIN]) {
        irq_line_init(bus->board->irq, &bus->pins[function->devfn], 16 + pci_pirq(function));
        irq_line_init(bus->board->irq, &bus->legacy_pins[function->devfn], IRQ_NOWHERE);
    }
    bus->functions[function->devfn] = function;
    return 0;
}

void pci_function_remove(struct pci_function *function)
{
    if (function->bus) {
        pthread_mutex_lock(&function->bus->lock);
        pci_bars_unmap(function);
        pthread_mutex_unlock(&function->bus->lock);
        pci_intx_set(function, false);
        function->bus->functions[function->devfn] = NULL;
        function->bus = NULL;
    }
    pci_msix_destroy(function);
    if (function->writable)
        pthread_mutex_destroy(&function->irq_lock);
    free(function->writable);
    function->writable = NULL;
}
