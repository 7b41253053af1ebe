/* What firmware does with fw_cfg, for tests that play it: ports, DMA, files, and the ACPI table-loader script. */
#ifndef CASEMENT_TESTS_FAKE_FIRMWARE_H
#define CASEMENT_TESTS_FAKE_FIRMWARE_H

#include <stddef.h>

#include "fake.h"

/* Where the DMA descriptor lies in guest RAM. */
#define FAKE_DESCRIPTOR 0x7000

void fw_select(struct fake *fake, uint16_t key);
void fw_read(struct fake *fake, void *to, size_t size);
/* Runs one DMA descriptor; the control word that the device left. */
uint32_t fw_dma(struct fake *fake, uint32_t control, uint32_t length, uint64_t address);
/* Key and size from the directory; false when the file is not there. */
bool fw_find(struct fake *fake, const char *name, uint16_t *key, uint32_t *size);
/* The whole file in malloc()ed memory, or NULL. */
uint8_t *fw_file(struct fake *fake, const char *name, size_t *size);

/*
 * Reads and runs etc/table-loader as OVMF does (platform contract 3.2): blobs go to guest RAM from base on, pointers
 * and sums are patched. The guest address of the RSDP, or 0 when a command is not what firmware accepts.
 */
uint64_t fw_load_acpi(struct fake *fake, uint64_t base);

#endif
