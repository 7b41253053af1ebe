/* What the ACPI files share. */
#ifndef CASEMENT_ACPI_H
#define CASEMENT_ACPI_H

#include "aml.h"
#include "casement/firmware.h"
#include "casement/pci.h"

#define ACPI_ECAM_SIZE UINT64_C(0x10000000)
#define ACPI_HOLE_END UINT64_C(0xFEC00000) /* where the IOAPIC begins, and no PCI window goes on */

/* Where things are now: from the PCI bus where firmware or Linux placed them, else where they would be placed. No range
 * is empty, overlaps RAM or another one, or leaves what the processors can address, wherever a guest placed things. */
struct acpi_layout {
    uint64_t ecam;                         /* between low_window and ACPI_HOLE_END, or PCI_NO_ADDRESS: off */
    uint64_t low_window;                   /* first address of the 32-bit window, behind RAM */
    uint64_t high_window, high_window_end; /* 64-bit window, end exclusive */
};

/* Appends the definition block's terms (without the table's header). */
void acpi_dsdt(struct aml *aml, const struct acpi_options *options, const struct acpi_layout *layout);

#endif
