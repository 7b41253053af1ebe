/* LPC bridge of the ICH9 (Intel I/O Controller Hub 9 datasheet, chapter 13; platform contract 2.3, 4.3). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/chipset.h"
#include "casement/pci.h"

#define PMBASE 0x40
#define ACPI_CNTL 0x44
#define PIRQA_ROUT 0x60 /* to PIRQD; E to H at 0x68 */
#define PIRQE_ROUT 0x68
#define GEN_PMCON_1 0xA0
#define RCBA 0xF0

struct lpc {
    struct device device;
    struct pci_function function;
    struct acpi_pm *pm;
};

static bool touches(unsigned offset, unsigned size, unsigned first, unsigned length)
{
    return offset < first + length && offset + size > first;
}

static void decode_pm(struct lpc *lpc)
{
    uint16_t base = (uint16_t)(pci_config_get(&lpc->function, PMBASE, 2) & 0xFF80);

    acpi_pm_decode(lpc->pm, base, pci_config_get(&lpc->function, ACPI_CNTL, 1) & 0x80);
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct lpc *lpc = container_of(function, struct lpc, function);

    if (touches(offset, size, PMBASE, 4) || touches(offset, size, ACPI_CNTL, 1))
        decode_pm(lpc);
    for (unsigned n = 0; n < 4; n++) {
        if (touches(offset, size, PIRQA_ROUT + n, 1))
            pci_bus_route_pirq(function->bus, n, (uint8_t)pci_config_get(function, PIRQA_ROUT + n, 1));
        if (touches(offset, size, PIRQE_ROUT + n, 1))
            pci_bus_route_pirq(function->bus, n + 4, (uint8_t)pci_config_get(function, PIRQE_ROUT + n, 1));
    }
}

/* Configuration space is back at power-on by now; the power management block follows it. */
static void reset(struct device *device)
{
    decode_pm(container_of(device, struct lpc, device));
}

static void destroy(struct device *device)
{
    struct lpc *lpc = container_of(device, struct lpc, device);

    pci_function_remove(&lpc->function);
    free(lpc);
}

int lpc_create(struct board *board, struct acpi_pm *pm, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    const struct pci_identity identity = {0x8086, 0x2918, 0x1AF4, 0x1100, 2, 0x060100};
    struct lpc *lpc = calloc(1, sizeof *lpc);
    struct pci_function *function;
    int failed;

    if (!lpc || pci_function_init(&lpc->function, "LPC bridge", &identity) < 0) {
        free(lpc);
        return error_set(error, ENOMEM, "LPC bridge: out of memory");
    }
    lpc->device = (struct device){.name = "LPC bridge", .ops = &ops};
    lpc->pm = pm;
    function = &lpc->function;
    function->config_written = config_written;
    pci_config_set(function, 0x0E, 1, 0x80); /* multi-function */
    /* Firmware's serial and keyboard drivers bind only when both decode bits stay set. */
    pci_config_set(function, 0x04, 2, 0x0007);
    pci_config_set(function, PMBASE, 4, 1);
    pci_config_writable(function, PMBASE, 4, 0xFF80);
    pci_config_writable(function, ACPI_CNTL, 1, 0x87);
    for (unsigned n = 0; n < 4; n++) {
        pci_config_set(function, PIRQA_ROUT + n, 1, 0x80);
        pci_config_writable(function, PIRQA_ROUT + n, 1, 0x8F);
        pci_config_set(function, PIRQE_ROUT + n, 1, 0x80);
        pci_config_writable(function, PIRQE_ROUT + n, 1, 0x8F);
    }
    pci_config_writable(function, GEN_PMCON_1, 2, 0xFFFF);
    pci_config_writable(function, RCBA, 4, 0xFFFFC001);
    failed = pci_function_add(board->pci, function, 31, 0);
    if (failed < 0) {
        pci_function_remove(function);
        free(lpc);
        return error_set(error, -failed, "LPC bridge: slot 31 is taken");
    }
    board_add(board, &lpc->device);
    return 0;
}
