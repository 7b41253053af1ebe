/*
 * Q35 host bridge (Intel 3 Series MCH datasheet, chapter 5; platform contract 2.3). Only PCIEXBAR has an effect: the
 * rest is storage that firmware reads back. PAM too, because RAM lies behind 0xC0000-0xFFFFF in any case.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/chipset.h"
#include "casement/pci.h"

#define EXT_TSEG_MB 0x50
#define GGC 0x52
#define PCIEXBAR 0x60
#define PCIEXBAR_BASE UINT64_C(0x7FFC000000)
#define PAM0 0x90
#define SMRAM 0x9D
#define ESMRAMC 0x9E
#define TOM 0xA0
#define TSEGMB 0xAC
#define TOLUD 0xB0

struct q35 {
    struct device device;
    struct pci_function function;
};

/* Bit 0 enables the window, bits 2:1 give its size: 256, 128 or 64 MiB, so as many buses; 3 is reserved. */
static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    uint64_t value = pci_config_get(function, PCIEXBAR, 8);
    unsigned length = value >> 1 & 3;
    uint64_t window = 256 * MiB >> length;
    uint64_t base = value & PCIEXBAR_BASE & ~(window - 1);

    if (offset < PCIEXBAR + 8 && offset + size > PCIEXBAR)
        pci_bus_set_ecam(function->bus, (value & 1) && length < 3 ? base : PCI_NO_ADDRESS, window);
}

static void destroy(struct device *device)
{
    struct q35 *q35 = container_of(device, struct q35, device);

    pci_function_remove(&q35->function);
    free(q35);
}

int q35_host_create(struct board *board, struct error *error)
{
    static const struct device_ops ops = {.destroy = destroy};
    const struct pci_identity identity = {0x8086, 0x29C0, 0x1AF4, 0x1100, 0, 0x060000};
    struct q35 *q35 = calloc(1, sizeof *q35);
    struct pci_function *function;
    int failed;

    if (!q35 || pci_function_init(&q35->function, "host bridge", &identity) < 0) {
        free(q35);
        return error_set(error, ENOMEM, "host bridge: out of memory");
    }
    q35->device = (struct device){.name = "host bridge", .ops = &ops};
    function = &q35->function;
    function->config_written = config_written;
    pci_config_set(function, PCIEXBAR, 8, 0xB0000000);
    pci_config_writable(function, PCIEXBAR, 8, PCIEXBAR_BASE | 7);
    pci_config_writable(function, EXT_TSEG_MB, 2, 0xFFFF);
    pci_config_writable(function, GGC, 2, 0xFFFF);
    for (unsigned offset = PAM0; offset <= PAM0 + 6; offset++)
        pci_config_writable(function, offset, 1, 0x33);
    pci_config_set(function, SMRAM, 1, 0x02);
    pci_config_writable(function, SMRAM, 1, 0x58);
    pci_config_set(function, ESMRAMC, 1, 0x38);
    pci_config_writable(function, ESMRAMC, 1, 0x07);
    pci_config_writable(function, TOM, 8, UINT64_MAX);
    pci_config_writable(function, TSEGMB - 4, 8, UINT64_MAX);
    pci_config_writable(function, TOLUD, 4, UINT32_MAX);
    failed = pci_function_add(board->pci, function, 0, 0);
    if (failed < 0) {
        pci_function_remove(function);
        free(q35);
        return error_set(error, -failed, "host bridge: slot 0 is taken");
    }
    board_add(board, &q35->device);
    return 0;
}
