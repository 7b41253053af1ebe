/*
 * PCI functions on bus 0: configuration space, BARs that move, MSI-X, INTx (PCI Local Bus 3.0; platform contract 4).
 *
 * A device fills in its identity, adds BARs and capabilities, and is then addressed through its BAR callbacks; the
 * configuration space, the BAR's place in the address space, MSI-X table and pin routing are this module's work.
 */
#ifndef CASEMENT_PCI_H
#define CASEMENT_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "casement/board.h"

#define PCI_CONFIG_SIZE 4096
#define PCI_BARS 6
#define PCI_NO_ADDRESS UINT64_MAX
#define PCI_NO_VECTOR 0xFFFFU

struct pci_identity {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint8_t revision;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
};

enum pci_bar_type { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY32, PCI_BAR_MEMORY64 };

struct pci_function;

struct pci_bar {
    enum pci_bar_type type;
    bool prefetchable;
    uint64_t size;            /* power of two */
    struct bus_region region; /* exits: name, ops and device are filled in by the caller of pci_bar_add() */
    void *memory;             /* or host memory that the guest maps directly (frame buffer); NULL otherwise */
    struct vm_slot slot;
    uint64_t address; /* where it is decoded now, or PCI_NO_ADDRESS */
    /* Called with the bus's lock held after the BAR was mapped, moved or unmapped, to place ioeventfds. May be NULL. */
    void (*moved)(struct pci_function *function, unsigned bar, uint64_t address);
    /* The bus's own: */
    struct pci_function *function;
    struct bus_region decoder;
};

/* What the guest can observe: this, and nothing else, is the function's state. */
struct pci_state {
    uint8_t config[PCI_CONFIG_SIZE];
    bool intx; /* the pin is asserted (before the command register's disable bit) */
};

struct pci_msix_vector {
    uint8_t entry[16]; /* as the guest wrote it: address, data, control (PCI 3.0, 6.8.2.6 ff.) */
    bool pending;
    struct msi msi;
};

struct pci_function {
    const char *name;
    struct pci_bus *bus;
    uint8_t devfn; /* slot << 3 | function */
    struct pci_state state;
    /*
     * Pin, MSI-X and every byte of state.config that they touch. Device threads take it at any time; it is taken after
     * the bus's lock when both are held, and no other lock but irq.c's is taken under it.
     */
    pthread_mutex_t irq_lock;
    uint8_t *writable; /* mask of config bits that the guest can write, PCI_CONFIG_SIZE bytes */
    uint8_t *write_one_clears;
    struct pci_bar bars[PCI_BARS];
    uint8_t next_capability, last_capability;
    /* MSI-X; vectors is 0 without it */
    unsigned vectors;
    uint8_t msix_capability;
    uint8_t msix_bar;
    uint32_t msix_table, msix_pba;
    struct pci_msix_vector *msix;
    /* Optional: called after the guest wrote size bytes of configuration space at offset, with the bus's lock held. */
    void (*config_written)(struct pci_function *function, unsigned offset, unsigned size);
    /* Optional: called before the guest reads them, with the bus's lock held. */
    void (*config_read)(struct pci_function *function, unsigned offset, unsigned size);
    uint8_t reset_config[256]; /* the power-on value of the first 256 bytes, taken by pci_function_add() */
};

/* The bus with CF8/CFC (ECAM follows the host bridge's PCIEXBAR). 0 or -errno. */
int pci_bus_create(struct board *board, struct pci_bus **bus);
void pci_bus_destroy(struct pci_bus *bus);
/* Every function back to power-on: BARs unmapped, MSI-X masked and empty, pins low. Called before the devices' own
 * reset. */
void pci_bus_reset(struct pci_bus *bus);
/* Moves ECAM: size bytes (1 MiB a bus) at base, or PCI_NO_ADDRESS for none. With the bus's lock held (from
 * config_written). */
void pci_bus_set_ecam(struct pci_bus *bus, uint64_t base, uint64_t size);
/* PIC-mode routing of PIRQ A-H (0-7), value as in the LPC bridge's PIRQn_ROUT register: bit 7 disables. Same lock. */
void pci_bus_route_pirq(struct pci_bus *bus, unsigned pirq, uint8_t value);

/* What ACPI wants to know once firmware has placed everything. Any thread, vCPUs may run. */
struct pci_windows {
    uint64_t ecam;          /* PCI_NO_ADDRESS when off */
    uint64_t low64, high64; /* lowest and (exclusive) highest 64-bit BAR placed above 4 GiB; both 0 when none */
    uint32_t slots;         /* bit n: slot n holds a function */
};
void pci_bus_windows(struct pci_bus *bus, struct pci_windows *windows);

/* In this order: init, BARs, capabilities, MSI-X, add. The storage is the device's; pci_function_remove() before
 * freeing. */
int pci_function_init(struct pci_function *function, const char *name, const struct pci_identity *identity);
/* Fills bars[bar] from bar_template (type, prefetchable, size, region.name/ops/device or memory, moved). 0 or -EINVAL.
 */
int pci_bar_add(struct pci_function *function, unsigned bar, const struct pci_bar *bar_template);
/* vm_dirty_log() of a BAR of host memory, whatever vCPUs do with its place meanwhile. -ENOENT while it is mapped
 * nowhere. Takes the bus's lock. */
int pci_bar_dirty_log(struct pci_function *function, unsigned bar, uint64_t *bitmap);
/* Appends a capability of len bytes (2 of them id and next) and returns its offset, or 0 when there is no room. */
unsigned pci_capability_add(struct pci_function *function, uint8_t id, unsigned len);
/* Makes bits of a register writable by the guest; value is little-endian. */
void pci_config_writable(struct pci_function *function, unsigned offset, unsigned size, uint64_t mask);
void pci_config_set(struct pci_function *function, unsigned offset, unsigned size, uint64_t value);
uint64_t pci_config_get(const struct pci_function *function, unsigned offset, unsigned size);
/*
 * An MSI-X capability whose table and pending bits lie in bars[bar] at the given offsets. The BAR's own region gets the
 * rest: accesses to table and PBA never reach the device. 0 or -errno.
 */
int pci_msix_add(struct pci_function *function, unsigned bar, uint32_t table, uint32_t pba, unsigned vectors);
/* Interrupt pin: 1 = INTA ... 4 = INTD. */
void pci_intx_add(struct pci_function *function, unsigned pin);
/* A free slot is chosen when slot is negative. 0, -EBUSY, -ENOSPC. */
int pci_function_add(struct pci_bus *bus, struct pci_function *function, int slot, unsigned number);
void pci_function_remove(struct pci_function *function);

/* Sends the vector, or remembers it in the PBA while masked; out of range or MSI-X off: nothing. Any thread. */
void pci_msix_fire(struct pci_function *function, unsigned vector);
bool pci_msix_enabled(struct pci_function *function);
/* The eventfd behind the vector, for whoever sends it without this process (its counter keeps what is sent while it is
 * masked, but the PBA does not show it); -1 while MSI-X is off or the vector was never unmasked. It stays the vector's.
 */
int pci_msix_fd(struct pci_function *function, unsigned vector);
void pci_intx_set(struct pci_function *function, bool level);

#endif
