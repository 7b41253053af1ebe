/*
 * An AHCI 1.3.1 host bus adapter with ATA disks and ATAPI CD-ROM drives in its ports (platform contract 6.2).
 *
 * Each drive has a thread of its own; the adapter's one lock guards registers only, and nothing waits for the image
 * while it is held.
 */
#ifndef CASEMENT_AHCI_H
#define CASEMENT_AHCI_H

#include "casement/block.h"
#include "casement/board.h"
#include "casement/error.h"

#define AHCI_PORTS 6U

struct ahci;

/*
 * The adapter, with nothing in its ports, at the slot of the PCI bus: 31 is the chip set's own place, function 2 there;
 * a negative slot takes a free one. The board owns it. 0 or -errno with a text.
 */
int ahci_create(struct board *board, int slot, struct ahci **ahci, struct error *error);

/*
 * Puts a drive into the next free port: before the guest runs. The block stays the caller's and outlives the adapter.
 * serial (at most 20 characters) is what the guest sees of a disk. 0, -ENOSPC when all ports are taken, or -errno, with
 * a text.
 */
int ahci_add_disk(struct ahci *ahci, struct block *block, const char *serial, struct error *error);
int ahci_add_cdrom(struct ahci *ahci, struct block *medium /* NULL: an empty drive */, struct error *error);

/*
 * Puts another medium into a CD-ROM drive, whose tray is closed then, or takes it out (NULL). The guest is told. On
 * return the old medium is not used any more and may be closed. -EBUSY when the guest has locked the medium: it has
 * been asked to let go, and what was there stays. -ENODEV when the port has no CD-ROM drive. Any thread but a vCPU's.
 */
int ahci_change_medium(struct ahci *ahci, unsigned port, struct block *medium);
/* The same whatever the guest has locked. */
int ahci_force_medium(struct ahci *ahci, unsigned port, struct block *medium);

#endif
