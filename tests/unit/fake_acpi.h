/*
 * A machine whose ACPI tables are under test: the bus with chipset, fw_cfg and cards, what a guest places there, and a
 * reader of the tables in guest RAM.
 */
#ifndef CASEMENT_TESTS_FAKE_ACPI_H
#define CASEMENT_TESTS_FAKE_ACPI_H

#include "casement/firmware.h"
#include "casement/pci.h"
#include "fake.h"

#define BAR_SLOT 5

struct fake_acpi {
    struct fake *fake;
    struct fw_cfg *fw_cfg;
    struct pci_function card; /* with one 64-bit BAR of 16 KiB and a pin */
    uint32_t apic_ids[64];
    struct acpi_options options;
};

/* Everything but the tables, with options for 4 processors that the test may change. */
void fake_acpi_make(struct fake_acpi *m);
/* The tables, as firmware finds them after a reset. */
void fake_acpi_create_tables(struct fake_acpi *m);
void fake_acpi_destroy(struct fake_acpi *m);
/* Another card like the first, on that pin, 1 to 4. */
void fake_acpi_add_card(struct fake_acpi *m, struct pci_function *card, int slot, unsigned pin);

/* What a guest does to the bus: ECAM, and the first card's BAR. */
void fake_acpi_place_ecam(struct fake_acpi *m, uint64_t base);
void fake_acpi_place_bar(struct fake_acpi *m, uint64_t address);
/* Firmware runs the script; where the RSDP is. */
uint64_t fake_acpi_load(struct fake_acpi *m);

uint8_t *fake_acpi_ram(const struct fake_acpi *m, uint64_t address, uint64_t length);
/* A table in guest RAM that has the right sum, or NULL. The RSDP leads to the XSDT, that to the rest, FADT to DSDT. */
uint8_t *fake_acpi_find_table(const struct fake_acpi *m, uint64_t rsdp_at, const char *signature);

struct fake_acpi_window {
    uint64_t first, last;
};

struct fake_acpi_windows {
    struct fake_acpi_window memory[8];
    unsigned count, buses, ports;
};

/* Behind name in the DSDT, the contents of the first buffer called _CRS; NULL: no such name. */
const uint8_t *fake_acpi_resources_of(const uint8_t *dsdt, const char *name);
/* What the DSDT gives to the bus. */
struct fake_acpi_windows fake_acpi_host_windows(const uint8_t *dsdt);
/* Nothing overlaps: what bug check 0xA5, parameter 2, and every lost BAR come from. */
void fake_acpi_check_windows(const struct fake_acpi *m, const uint8_t *dsdt);

#endif
