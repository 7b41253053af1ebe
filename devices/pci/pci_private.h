/* What the PCI bus's files share. */
#ifndef CASEMENT_PCI_PRIVATE_H
#define CASEMENT_PCI_PRIVATE_H

#include "casement/pci.h"

/* Offsets in configuration space (PCI Local Bus 3.0, 6.1). */
#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_REVISION 0x08
#define PCI_HEADER_TYPE 0x0E
#define PCI_BAR0 0x10
#define PCI_SUBSYSTEM_VENDOR 0x2C
#define PCI_SUBSYSTEM 0x2E
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT_LINE 0x3C
#define PCI_INTERRUPT_PIN 0x3D
#define PCI_HEADER_END 0x40

#define COMMAND_IO 0x0001
#define COMMAND_MEMORY 0x0002
#define COMMAND_MASTER 0x0004
#define COMMAND_INTX_DISABLE 0x0400
#define STATUS_INTERRUPT 0x0008
#define STATUS_CAPABILITIES 0x0010

#define MSIX_ENABLE 0x8000
#define MSIX_MASK_ALL 0x4000

struct pci_bus {
    struct board *board;
    /*
     * The bus's lock: configuration space and BAR placement. Order: this lock, a device's own (from config_read,
     * config_written and moved), a function's irq_lock, then irq.c's and the address space's. A callback may wait for
     * its device's thread, because raising an interrupt needs no more than the irq_lock.
     */
    pthread_mutex_t lock;
    struct pci_function *functions[256]; /* by devfn; set before the guest runs */
    struct irq_line pins[256];           /* GSI 16 to 23 */
    struct irq_line legacy_pins[256];    /* the PIC's input that the LPC bridge routes to, or nowhere */
    uint8_t pirq_route[8];
    uint32_t address; /* CF8 */
    struct bus_region address_region, data_region, ecam_region;
    bool ecam_on;
};

/* msix.c: the function's irq_lock is held. */
uint64_t pci_msix_read(struct pci_function *function, uint64_t offset, unsigned size, bool *claimed);
bool pci_msix_write(struct pci_function *function, uint64_t offset, unsigned size, uint64_t value);
void pci_msix_control_written(struct pci_function *function);
bool pci_msix_is_on(const struct pci_function *function);
void pci_msix_reset(struct pci_function *function);
void pci_msix_destroy(struct pci_function *function); /* without the lock */

/* bar.c: the bus's lock is held. Brings the address space in line with what configuration space says. */
void pci_bars_update(struct pci_function *function);
void pci_bars_unmap(struct pci_function *function);

/* function.c: the function's irq_lock is held. */
unsigned pci_pirq(const struct pci_function *function);
void pci_intx_update(struct pci_function *function);

#endif
