/*
 * A board without KVM, for unit tests that play the guest's driver: RAM, bus, interrupts that are recorded.
 */
#ifndef CASEMENT_TESTS_FAKE_H
#define CASEMENT_TESTS_FAKE_H

#include <stddef.h>

#include "casement/board.h"

#define FAKE_SLOTS 32
#define FAKE_IOEVENTFDS 128

struct fake_ioeventfd {
    enum bus_space space;
    uint64_t address, match;
    unsigned size;
    bool has_match;
    int fd;
};

/* The board is ready after fake_create(): 64 MiB of RAM unless said, a bus, irq, a loop that does not run yet. */
struct fake {
    struct vm vm; /* first */
    struct board board;
    struct vm_slot *slots[FAKE_SLOTS];
    uint64_t *dirty[FAKE_SLOTS]; /* of slots with log_dirty */
    struct fake_ioeventfd ioeventfds[FAKE_IOEVENTFDS];
    unsigned ioeventfd_count;
    bool lines[64];     /* level of each GSI now */
    unsigned edges[64]; /* how often it rose */
    unsigned resets, power_offs;
    const char *power_source;
};

struct fake *fake_create(uint64_t memory);
/* Destroys the board's devices, then the PCI bus if there is one, and the rest. */
void fake_destroy(struct fake *fake);
/* The fd that an access of this size and value would signal, or -1: what KVM does before it exits. */
int fake_ioeventfd(const struct fake *fake, enum bus_space space, uint64_t address, unsigned size, uint64_t value);
/* A guest's write: signals the ioeventfd that matches, else goes to the bus. */
void fake_write(struct fake *fake, enum bus_space space, uint64_t address, unsigned size, uint64_t value);
uint64_t fake_read(struct fake *fake, enum bus_space space, uint64_t address, unsigned size);
/* A guest's write to a slot of host memory, with its dirty log; false: nothing is mapped there. */
bool fake_store(struct fake *fake, uint64_t address, const void *data, size_t size);
/* PCI configuration by CF8/CFC. */
uint64_t fake_config_read(struct fake *fake, unsigned devfn, unsigned offset, unsigned size);
void fake_config_write(struct fake *fake, unsigned devfn, unsigned offset, unsigned size, uint64_t value);
/* Number of signals on an eventfd since it was asked last (an eventfd's counter; 0 when none). */
uint64_t fake_signals(int fd);

#endif
