/*
 * An NVM Express 1.4 controller with one namespace (NVM Express 1.4; platform contract 6.3): what Windows' stornvme,
 * firmware and Linux drive without a driver of ours.
 */
#ifndef CASEMENT_NVME_H
#define CASEMENT_NVME_H

#include "casement/board.h"
#include "casement/error.h"

#define NVME_QUEUES_MAX 64U

struct block;

struct nvme_options {
    struct block *block; /* stays the caller's, must outlive the device; blocks of 512 bytes */
    int slot;            /* PCI slot, or negative for any */
    char serial[21];     /* at most 20 printable characters; the namespace's identifiers are made from it, so that a
                            system finds its disk again wherever it is plugged. Must not be empty. */
    const char *model;   /* at most 40 characters, copied; NULL: ours */
    unsigned queues;     /* I/O queue pairs that a driver can have: 1 to NVME_QUEUES_MAX */
};

/*
 * The EUI-64 of the namespace of a controller with that serial number, as firmware's boot order writes it: the number
 * that its eight bytes are when the first one is the lowest.
 */
uint64_t nvme_firmware_id(const char *serial);

struct nvme;
/*
 * Makes the controller with a thread of its own and puts it on the board, which resets and frees it. *nvme, unless nvme
 * is NULL, is for nvme_driven(), and valid as long as the board. 0, or -errno with a text. Before the guest runs.
 */
int nvme_create(struct board *board, const struct nvme_options *options, struct nvme **nvme, struct error *error);
/*
 * Does an operating system's driver drive the controller now, not just firmware's? Firmware (OVMF) asks its queues
 * whether they have something, and has no interrupts; Windows' and Linux's drivers have them. None does from a reset
 * on, and while the controller has failed. Any thread.
 */
bool nvme_driven(struct nvme *nvme);

#endif
