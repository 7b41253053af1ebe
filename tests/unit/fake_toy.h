/* A PCI function with one BAR of each kind that notes what is done to it, for tests of the bus. */
#ifndef CASEMENT_TESTS_FAKE_TOY_H
#define CASEMENT_TESTS_FAKE_TOY_H

#include "casement/bytes.h"
#include "casement/pci.h"
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

/* What its registers do. */
extern const struct bus_ops toy_ops;
/* pin 0: none. It is in the slot until toy_destroy(). */
struct toy *toy_create(struct fake *fake, int slot, unsigned pin);
void toy_destroy(struct toy *toy);
/* A board with an empty bus. */
struct fake *toy_machine(void);
/* How many slots of guest memory lead to this host memory now. */
unsigned toy_slots_used(const struct fake *fake, const void *host);

#endif
