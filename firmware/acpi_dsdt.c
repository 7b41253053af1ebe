/* The differentiated definition block: Model A of the platform contract, 3.3 and 4.3, as little of it as Windows asks
 * for. */
#include <stdio.h>

#include "acpi.h"
#include "casement/bytes.h"

#define PIRQ_FIRST_GSI 16
#define PCI_SLOTS 32
#define PIRQS 8

static void device(struct aml *aml, const char *name, const char *eisa_id)
{
    aml_device(aml, name);
    aml_name(aml, "_HID");
    aml_eisa_id(aml, eisa_id);
}

static void number(struct aml *aml, const char *name, uint64_t value)
{
    aml_name(aml, name);
    aml_integer(aml, value);
}

static void resources(struct aml *aml, const char *name, const struct aml_resources *from)
{
    aml_name(aml, name);
    aml_resources(aml, from);
}

/* Windows without ECAM, RAM, IOAPIC, TPM, KVM's own pages, flash: none of them may overlap (0xA5, parameter 2). */
static void host_windows(struct aml *aml, const struct acpi_layout *layout)
{
    struct aml_resources crs = {.size = 0};
    /* ECAM that is off is as good as ECAM at the end of the hole with no length. */
    uint64_t ecam = MIN(layout->ecam, ACPI_HOLE_END), ecam_end = MIN(ecam + ACPI_ECAM_SIZE, ACPI_HOLE_END);

    aml_bus_range(&crs, 0, 0xFF);
    aml_io_window(&crs, 0, 0xCF7);
    aml_io(&crs, 0xCF8, 8);
    aml_io_window(&crs, 0xD00, 0xFFFF);
    aml_memory_window(&crs, 0xA0000, 0xBFFFF, false);
    if (ecam > layout->low_window)
        aml_memory_window(&crs, layout->low_window, ecam - 1, false);
    if (ecam_end < ACPI_HOLE_END)
        aml_memory_window(&crs, ecam_end, ACPI_HOLE_END - 1, false);
    aml_memory_window(&crs, layout->high_window, layout->high_window_end - 1, true);
    resources(aml, "_CRS", &crs);
}

/* Which link a pin of a slot leads to: the same wiring as in the bridge (contract 4.3). */
static unsigned pirq(unsigned slot, unsigned pin)
{
    if (slot < 24)
        return 4 + ((slot + pin) & 3);
    return slot == 24 || slot == 30 ? 4 + pin : pin;
}

/* One package for the PIC (LNKA-LNKH) and one for the APIC (GSIA-GSIH); four pins of every slot (0xA5, 0x10003). */
static void routing(struct aml *aml, const char *name, const char *prefix)
{
    aml_name(aml, name);
    aml_package(aml, PCI_SLOTS * 4);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
        for (unsigned pin = 0; pin < 4; pin++) {
            char link[16];

            snprintf(link, sizeof link, "\\_SB.%s%c", prefix, 'A' + (char)pirq(slot, pin));
            aml_package(aml, 4);
            aml_integer(aml, slot << 16 | 0xFFFF);
            aml_integer(aml, pin);
            aml_ref(aml, link);
            aml_integer(aml, 0);
            aml_close(aml);
        }
    aml_close(aml);
}

static void or_into(struct aml *aml, const char *name, uint64_t bits)
{
    aml_operator(aml, AML_OR);
    aml_ref(aml, name);
    aml_integer(aml, bits);
    aml_ref(aml, name);
}

static void dword_of_argument(struct aml *aml, unsigned argument, unsigned offset, const char *name)
{
    aml_operator(aml, AML_CREATE_DWORD_FIELD);
    aml_arg(aml, argument);
    aml_integer(aml, offset);
    aml_ref(aml, name);
}

/* PCI Firmware Specification 3.2, 4.5: there is no hot-plug, error reporting or power event to hand over, so nothing is
 * granted. */
static void operating_system_control(struct aml *aml)
{
    static const uint8_t uuid[16] = {0x5B, 0x4D, 0xDB, 0x33, 0xF7, 0x1F, 0x1C, 0x40,
                                     0x96, 0x57, 0x74, 0x41, 0xC0, 0x3D, 0xD7, 0x66};

    aml_method(aml, "_OSC", 4, true);
    dword_of_argument(aml, 3, 0, "CDW1");
    aml_if(aml);
    aml_operator(aml, AML_EQUAL);
    aml_arg(aml, 0);
    aml_buffer(aml, uuid, sizeof uuid);
    dword_of_argument(aml, 3, 8, "CDW3");
    aml_if(aml); /* another revision */
    aml_operator(aml, AML_NOT);
    aml_operator(aml, AML_EQUAL);
    aml_arg(aml, 1);
    aml_integer(aml, 1);
    or_into(aml, "CDW1", 0x08);
    aml_close(aml);
    aml_if(aml); /* something was asked for: it is masked */
    aml_operator(aml, AML_NOT);
    aml_operator(aml, AML_EQUAL);
    aml_ref(aml, "CDW3");
    aml_integer(aml, 0);
    or_into(aml, "CDW1", 0x10);
    aml_close(aml);
    aml_operator(aml, AML_STORE);
    aml_integer(aml, 0);
    aml_ref(aml, "CDW3");
    aml_close(aml);
    aml_else(aml); /* another UUID */
    or_into(aml, "CDW1", 0x04);
    aml_close(aml);
    aml_operator(aml, AML_RETURN);
    aml_arg(aml, 3);
    aml_close(aml);
}

static void legacy_device(struct aml *aml, const char *name, const char *id, uint16_t base, uint8_t length,
                          uint16_t other, unsigned irq)
{
    struct aml_resources crs = {.size = 0};

    if (length)
        aml_io(&crs, base, length);
    if (other)
        aml_io(&crs, other, 1);
    aml_irq(&crs, (uint16_t)(1U << irq));
    device(aml, name, id);
    resources(aml, "_CRS", &crs);
    aml_close(aml);
}

static void lpc_bridge(struct aml *aml, const struct acpi_options *options)
{
    aml_device(aml, "ISA");
    number(aml, "_ADR", 0x001F0000);
    aml_config_region(aml, "PIRQ", 0x60, 0x0C);
    aml_field(aml, "PIRQ");
    for (unsigned n = 0; n < PIRQS; n++) {
        char name[8];

        snprintf(name, sizeof name, "PRQ%c", 'A' + (char)n);
        if (n == 4)
            aml_member(aml, NULL, 32); /* 0x64 to 0x67 */
        aml_member(aml, name, 8);
    }
    aml_close(aml);
    if (options->i8042) {
        legacy_device(aml, "KBD", "PNP0303", 0x60, 1, 0x64, 1);
        legacy_device(aml, "MOU", "PNP0F13", 0, 0, 0, 12);
    }
    if (options->serial) {
        struct aml_resources crs = {.size = 0};

        aml_io(&crs, 0x3F8, 8);
        aml_irq(&crs, 1U << 4);
        device(aml, "COM1", "PNP0501");
        number(aml, "_UID", 1);
        resources(aml, "_CRS", &crs);
        aml_close(aml);
    }
    legacy_device(aml, "RTC", "PNP0B00", 0x70, 2, 0, 8);
    aml_close(aml);
}

static void host_bridge(struct aml *aml, const struct acpi_options *options, const struct acpi_layout *layout)
{
    device(aml, "PCI0", "PNP0A08");
    aml_name(aml, "_CID");
    aml_eisa_id(aml, "PNP0A03");
    number(aml, "_UID", 0);
    number(aml, "_BBN", 0);
    host_windows(aml, layout);
    operating_system_control(aml);
    routing(aml, "PRTP", "LNK");
    routing(aml, "PRTA", "GSI");
    aml_method(aml, "_PRT", 0, false);
    aml_if(aml);
    aml_ref(aml, "\\PICM");
    aml_operator(aml, AML_RETURN);
    aml_ref(aml, "PRTA");
    aml_close(aml);
    aml_operator(aml, AML_RETURN);
    aml_ref(aml, "PRTP");
    aml_close(aml);
    lpc_bridge(aml, options);
    aml_close(aml);
}

static void link_status(struct aml *aml, const char *routed)
{
    aml_method(aml, "_STA", 0, false);
    aml_if(aml);
    aml_operator(aml, AML_AND);
    aml_ref(aml, routed);
    aml_integer(aml, 0x80);
    aml_nothing(aml);
    aml_operator(aml, AML_RETURN);
    aml_integer(aml, 0x09);
    aml_close(aml);
    aml_operator(aml, AML_RETURN);
    aml_integer(aml, 0x0B);
    aml_close(aml);
    aml_method(aml, "_DIS", 0, false);
    or_into(aml, routed, 0x80);
    aml_close(aml);
}

/* A link that the PIC's interrupts are routed with, by the bridge's PIRQn_ROUT register. */
static void pic_link(struct aml *aml, unsigned n)
{
    static const uint32_t possible[] = {5, 10, 11};
    struct aml_resources prs = {.size = 0}, crs = {.size = 0};
    char name[8], routed[24];

    snprintf(name, sizeof name, "LNK%c", 'A' + (char)n);
    snprintf(routed, sizeof routed, "\\_SB.PCI0.ISA.PRQ%c", 'A' + (char)n);
    aml_interrupts(&prs, possible, ARRAY_SIZE(possible));
    aml_interrupts(&crs, possible, 1);
    device(aml, name, "PNP0C0F");
    number(aml, "_UID", n);
    resources(aml, "_PRS", &prs);
    link_status(aml, routed);
    resources(aml, "PRR0", &crs);
    aml_method(aml, "_CRS", 0, true);
    aml_operator(aml, AML_CREATE_DWORD_FIELD);
    aml_ref(aml, "PRR0");
    aml_integer(aml, 5);
    aml_ref(aml, "PRRI");
    aml_operator(aml, AML_AND);
    aml_ref(aml, routed);
    aml_integer(aml, 0x0F);
    aml_ref(aml, "PRRI");
    aml_operator(aml, AML_RETURN);
    aml_ref(aml, "PRR0");
    aml_close(aml);
    aml_method(aml, "_SRS", 1, true);
    dword_of_argument(aml, 0, 5, "PRRI");
    aml_operator(aml, AML_STORE);
    aml_ref(aml, "PRRI");
    aml_ref(aml, routed);
    aml_close(aml);
    aml_close(aml);
}

/* A link that is wired to one IOAPIC pin for good. */
static void apic_link(struct aml *aml, unsigned n)
{
    const uint32_t gsi = PIRQ_FIRST_GSI + n;
    struct aml_resources crs = {.size = 0};
    char name[8];

    snprintf(name, sizeof name, "GSI%c", 'A' + (char)n);
    aml_interrupts(&crs, &gsi, 1);
    device(aml, name, "PNP0C0F");
    number(aml, "_UID", 0x10 + n);
    resources(aml, "_PRS", &crs);
    resources(aml, "_CRS", &crs);
    aml_method(aml, "_SRS", 1, false);
    aml_close(aml);
    aml_method(aml, "_DIS", 0, false);
    aml_close(aml);
    aml_close(aml);
}

/* What no other device claims, so that systems keep away from it. */
static void reserved(struct aml *aml, const struct acpi_layout *layout)
{
    struct aml_resources ecam = {.size = 0}, ports = {.size = 0}, fw_cfg = {.size = 0};

    if (layout->ecam != PCI_NO_ADDRESS) {
        aml_memory_fixed(&ecam, (uint32_t)layout->ecam, ACPI_ECAM_SIZE);
        device(aml, "DRAC", "PNP0C01");
        resources(aml, "_CRS", &ecam);
        aml_close(aml);
    }
    aml_io(&ports, 0x600, 0x80);
    aml_io(&ports, 0x92, 1);
    device(aml, "PRES", "PNP0C02");
    resources(aml, "_CRS", &ports);
    aml_close(aml);
    aml_io(&fw_cfg, 0x510, 0x0C);
    aml_device(aml, "FWCF");
    aml_name(aml, "_HID");
    aml_string(aml, "QEMU0002");
    number(aml, "_STA", 0x0B);
    resources(aml, "_CRS", &fw_cfg);
    aml_close(aml);
}

void acpi_dsdt(struct aml *aml, const struct acpi_options *options, const struct acpi_layout *layout)
{
    number(aml, "\\PICM", 0);
    aml_method(aml, "\\_PIC", 1, false);
    aml_operator(aml, AML_STORE);
    aml_arg(aml, 0);
    aml_ref(aml, "\\PICM");
    aml_close(aml);
    aml_scope(aml, "\\_SB");
    host_bridge(aml, options, layout);
    for (unsigned n = 0; n < PIRQS; n++)
        pic_link(aml, n);
    for (unsigned n = 0; n < PIRQS; n++)
        apic_link(aml, n);
    reserved(aml, layout);
    for (unsigned n = 0; n < options->cpus; n++) {
        char name[8];

        snprintf(name, sizeof name, "C%03X", n & 0xFFF);
        aml_device(aml, name);
        aml_name(aml, "_HID");
        aml_string(aml, "ACPI0007");
        number(aml, "_UID", n);
        aml_close(aml);
    }
    aml_close(aml);
    /* S5 is sleep type 0; nothing else is offered. */
    aml_name(aml, "\\_S5");
    aml_package(aml, 4);
    for (unsigned n = 0; n < 4; n++)
        aml_integer(aml, 0);
    aml_close(aml);
}
