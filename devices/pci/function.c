/* One PCI function: its configuration space as a table of bytes with masks, its capabilities, its pin. */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "pci_private.h"

int pci_function_init(struct pci_function *function, const char *name, const struct pci_identity *identity)
{
    *function = (struct pci_function){.name = name, .next_capability = PCI_HEADER_END};
    function->writable = calloc(2, PCI_CONFIG_SIZE);
    if (!function->writable)
        return -ENOMEM;
    pthread_mutex_init(&function->irq_lock, NULL);
    function->write_one_clears = function->writable + PCI_CONFIG_SIZE;
    pci_config_set(function, PCI_VENDOR_ID, 2, identity->vendor);
    pci_config_set(function, PCI_DEVICE_ID, 2, identity->device);
    pci_config_set(function, PCI_REVISION, 4, identity->class_code << 8 | identity->revision);
    pci_config_set(function, PCI_SUBSYSTEM_VENDOR, 2, identity->subsystem_vendor);
    pci_config_set(function, PCI_SUBSYSTEM, 2, identity->subsystem);
    /* I/O, memory, bus master, parity, SERR, INTx disable. */
    pci_config_writable(function, PCI_COMMAND, 2, 0x0547);
    put_le16(function->write_one_clears + PCI_STATUS, 0xF900);
    pci_config_writable(function, PCI_INTERRUPT_LINE, 1, 0xFF);
    return 0;
}

void pci_config_writable(struct pci_function *function, unsigned offset, unsigned size, uint64_t mask)
{
    put_le(function->writable + offset, size, mask);
}

void pci_config_set(struct pci_function *function, unsigned offset, unsigned size, uint64_t value)
{
    put_le(function->state.config + offset, size, value);
}

uint64_t pci_config_get(const struct pci_function *function, unsigned offset, unsigned size)
{
    return get_le(function->state.config + offset, size);
}

unsigned pci_capability_add(struct pci_function *function, uint8_t id, unsigned len)
{
    unsigned at = function->next_capability;

    if (len < 2 || at + align_up(len, 4) > 256 || at < PCI_HEADER_END)
        return 0;
    pci_config_set(function, at, 1, id);
    pci_config_set(function, function->last_capability ? function->last_capability + 1U : PCI_CAPABILITIES, 1, at);
    pci_config_set(function, PCI_STATUS, 2, pci_config_get(function, PCI_STATUS, 2) | STATUS_CAPABILITIES);
    function->last_capability = (uint8_t)at;
    function->next_capability = (uint8_t)(at + align_up(len, 4)); /* 0 when the space is full */
    return at;
}

void pci_intx_add(struct pci_function *function, unsigned pin)
{
    pci_config_set(function, PCI_INTERRUPT_PIN, 1, pin);
}

/* The chip set's default wiring (platform contract 4.3): E-H rotating over slots 0-23, A-D for 25-29 and 31. */
unsigned pci_pirq(const struct pci_function *function)
{
    unsigned slot = function->devfn >> 3, pin = function->state.config[PCI_INTERRUPT_PIN] - 1U;

    if (slot < 24)
        return 4 + ((slot + pin) & 3);
    if (slot == 24 || slot == 30)
        return 4 + (pin & 3);
    return pin & 3;
}

/* The level of the pin, if the command register permits it and MSI-X does not replace it (PCI 3.0, 6.8.2.1). */
void pci_intx_update(struct pci_function *function)
{
    bool level = function->state.intx && !(pci_config_get(function, PCI_COMMAND, 2) & COMMAND_INTX_DISABLE) &&
                 !pci_msix_is_on(function);

    if (!function->bus || !function->state.config[PCI_INTERRUPT_PIN])
        return;
    if (function->state.intx)
        function->state.config[PCI_STATUS] |= STATUS_INTERRUPT;
    else
        function->state.config[PCI_STATUS] &= (uint8_t)~STATUS_INTERRUPT;
    irq_line_set(&function->bus->pins[function->devfn], level);
    irq_line_set(&function->bus->legacy_pins[function->devfn], level);
}

void pci_intx_set(struct pci_function *function, bool level)
{
    pthread_mutex_lock(&function->irq_lock);
    function->state.intx = level;
    pci_intx_update(function);
    pthread_mutex_unlock(&function->irq_lock);
}
