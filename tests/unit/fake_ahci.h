/*
 * The guest's AHCI driver, for unit tests: lists and tables in the fake board's RAM, commands issued and waited for as
 * a polling driver does. The drives' own threads run; every wait has an end.
 */
#ifndef CASEMENT_TESTS_FAKE_AHCI_H
#define CASEMENT_TESTS_FAKE_AHCI_H

#include <semaphore.h>

#include "casement/ahci.h"
#include "casement/loop.h"
#include "fake.h"

#define AHCI_SLOT 31
#define AHCI_DEVFN (AHCI_SLOT << 3 | 2)
#define AHCI_BAR 0xE0000000U
#define AHCI_PIN 16U /* the GSI */
#define AHCI_RAM (64 * MiB)

/* Registers, from the BAR. */
enum { R_CAP = 0x00, R_GHC = 0x04, R_IS = 0x08, R_PI = 0x0C, R_VS = 0x10 };
enum {
    P_CLB = 0x00,
    P_CLBU = 0x04,
    P_FB = 0x08,
    P_FBU = 0x0C,
    P_IS = 0x10,
    P_IE = 0x14,
    P_CMD = 0x18,
    P_TFD = 0x20,
    P_SIG = 0x24,
    P_SSTS = 0x28,
    P_SCTL = 0x2C,
    P_SERR = 0x30,
    P_SACT = 0x34,
    P_CI = 0x38,
};
#define R_PORT(port, offset) (0x100U + 0x80U * (port) + (offset))

#define DISK 0U /* ports, as ahci_driver_create() fills them */
#define CDROM 1U

/* Guest RAM, for each port. */
#define M_LIST(port) (0x100000U + 0x40000U * (port))
#define M_FIS(port) (M_LIST(port) + 0x400U)
#define M_TABLE(port, slot) (M_LIST(port) + 0x1000U + 0x1000U * (slot))
#define M_DATA 0x1000000U
#define M_MORE 0x2000000U

/* FISes that were received, from M_FIS. */
enum { DMA_SETUP = 0x00, PIO_SETUP = 0x20, D2H = 0x40, SET_BITS = 0x58 };

struct ahci_driver {
    struct fake *fake;
    struct ahci *ahci;
    struct block *disk, *medium;
    char disk_path[64], medium_path[64];
    struct loop_task hold, hold_again;
    sem_t held, release;
};

/* An adapter with a disk of so many bytes in port 0 and a CD-ROM drive in port 1: medium 0 is an empty drive. */
struct ahci_driver *ahci_driver_create(uint64_t disk, uint64_t medium);
void ahci_driver_destroy(struct ahci_driver *driver);
/* A file of so many bytes (sparse beyond 4 MiB), each sector of which begins with its number; opened. */
struct block *ahci_image(char path[64], uint64_t size, bool read_only);

uint32_t ahci_get(struct ahci_driver *driver, unsigned offset);
void ahci_put(struct ahci_driver *driver, unsigned offset, uint32_t value);
uint32_t port_get(struct ahci_driver *driver, unsigned port, unsigned offset);
void port_put(struct ahci_driver *driver, unsigned port, unsigned offset, uint32_t value);
uint64_t ram_peek(struct ahci_driver *driver, uint64_t at, unsigned size);
void ram_poke(struct ahci_driver *driver, uint64_t at, unsigned size, uint64_t value);
uint8_t *ram(struct ahci_driver *driver, uint64_t at, uint64_t length);

/* Until the register's masked value is that; fails the test after ten seconds. */
void port_wait(struct ahci_driver *driver, unsigned port, unsigned offset, uint32_t mask, uint32_t value);

/* Resets adapter and ports and starts both as OVMF does. */
void ahci_driver_start(struct ahci_driver *driver);
/* COMRESET, as OVMF does it, and start. */
void port_driver_reset(struct ahci_driver *driver, unsigned port);
void port_driver_start(struct ahci_driver *driver, unsigned port);
void port_driver_stop(struct ahci_driver *driver, unsigned port);

struct ata {
    uint8_t command, feature;
    uint64_t lba;
    uint16_t count;
    uint8_t device;
    const uint8_t *packet; /* 12 bytes: a PACKET command */
    bool write;
};
/* Writes the slot's header, FIS and one region for the data (bytes 0: none). */
void slot_fill(struct ahci_driver *driver, unsigned port, unsigned slot, const struct ata *ata, uint64_t data,
               uint32_t bytes);
/* Further regions: replaces the list with count of them. */
void slot_region(struct ahci_driver *driver, unsigned port, unsigned slot, unsigned number, uint64_t at,
                 uint32_t bytes);
void slot_regions(struct ahci_driver *driver, unsigned port, unsigned slot, unsigned count);
uint32_t slot_moved(struct ahci_driver *driver, unsigned port, unsigned slot);
/* Issues it and waits until it has ended or failed; the task file. A failed port is started again. */
uint32_t slot_run(struct ahci_driver *driver, unsigned port, unsigned slot);
/* All of it in slot 0, with the data at M_DATA. */
uint32_t ata_run(struct ahci_driver *driver, unsigned port, const struct ata *ata, uint32_t bytes);
/* A packet with data to the host at M_DATA; the task file. */
uint32_t packet_run(struct ahci_driver *driver, const uint8_t packet[12], uint32_t bytes);
/* The key, code and qualifier, as 0x52000, that REQUEST SENSE tells. */
unsigned packet_sense(struct ahci_driver *driver);

/* The port's thread stands still until ahci_release(): with issue, behind the start of what PxCI gets and before any
 * ending. */
void ahci_hold(struct ahci_driver *driver, unsigned port, uint32_t issue);
void ahci_release(struct ahci_driver *driver);
/* Until the image has answered all that the disk has under way. */
void ahci_drain(struct ahci_driver *driver);

#endif
