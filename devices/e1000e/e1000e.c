/* An 82574L: its PCI function and its life (see e1000e.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "e1000e_private.h"

enum { REGISTERS_BAR = 0, IO_BAR = 2, MSIX_BAR = 3 };
#define IO_SIZE 32U
#define MSIX_SIZE 0x4000U
#define MSIX_TABLE 0x0000U
#define MSIX_PENDING 0x2000U
#define VECTORS 5U
#define PCIE_CAPABILITY 0x10
#define PCIE_BYTES 0x3C
#define PCIE_INTEGRATED 0x92 /* version 2, root complex integrated endpoint (PCI Express 3.0, 7.8.2) */

static void work(void *opaque)
{
    struct e1000e *card = opaque;

    if (!card->attached)
        return;
    card->options.backend->ops->ready(card->options.backend);
    e1000e_transmit(card);
}

static void join_loop(void *opaque)
{
    struct e1000e *card = opaque;
    const struct net_card face = {.receive = e1000e_receive, .opaque = card};

    if (!card->attached)
        card->attached = card->options.backend->ops->attach(card->options.backend, card->loop, &face) == 0;
}

static void leave_loop(void *opaque)
{
    struct e1000e *card = opaque;

    if (card->attached)
        card->options.backend->ops->detach(card->options.backend);
    card->attached = false;
}

static void power_on(struct e1000e *card)
{
    pthread_mutex_lock(&card->lock);
    card->state.io_address = 0;
    e1000e_phy_reset(card);
    e1000e_reset_registers(card);
    pthread_mutex_unlock(&card->lock);
}

/* The back end begins anew too: connections of the system that was before are nobody's. */
static void reset(struct device *device)
{
    struct e1000e *card = container_of(device, struct e1000e, device);

    loop_call(card->loop, leave_loop, card);
    power_on(card);
    loop_call(card->loop, join_loop, card);
}

static void destroy(struct device *device)
{
    struct e1000e *card = container_of(device, struct e1000e, device);

    if (card->loop)
        loop_stop(card->loop);
    leave_loop(card);
    pci_function_remove(&card->function);
    loop_destroy(card->loop);
    pthread_mutex_destroy(&card->lock);
    free(card);
}

static int add_function(struct board *board, struct e1000e *card)
{
    const struct pci_identity identity = {0x8086, 0x10D3, 0x8086, 0x0000, 0, 0x020000};
    const struct pci_bar bars[] = {
        [REGISTERS_BAR] = {.type = PCI_BAR_MEMORY32,
                           .size = BAR_SIZE,
                           .region = {.ops = &e1000e_registers_ops, .device = card}},
        [IO_BAR] = {.type = PCI_BAR_IO, .size = IO_SIZE, .region = {.ops = &e1000e_io_ops, .device = card}},
        [MSIX_BAR] = {.type = PCI_BAR_MEMORY32, .size = MSIX_SIZE}};
    int failed = pci_function_init(&card->function, "e1000e", &identity);
    unsigned express;

    for (unsigned n = 0; failed == 0 && n < ARRAY_SIZE(bars); n++)
        if (bars[n].type != PCI_BAR_NONE)
            failed = pci_bar_add(&card->function, n, &bars[n]);
    if (failed == 0)
        failed = pci_msix_add(&card->function, MSIX_BAR, MSIX_TABLE, MSIX_PENDING, VECTORS);
    if (failed < 0)
        return failed;
    express = pci_capability_add(&card->function, PCIE_CAPABILITY, PCIE_BYTES);
    if (!express)
        return -ENOSPC;
    pci_config_set(&card->function, express + 2, 2, PCIE_INTEGRATED);
    pci_intx_add(&card->function, 1);
    return pci_function_add(board->pci, &card->function, card->options.slot, 0);
}

int e1000e_create(struct board *board, const struct net_card_options *options, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct e1000e *card = calloc(1, sizeof *card);
    int failed;

    if (!card)
        return error_set(error, ENOMEM, "e1000e: out of memory");
    card->device = (struct device){.name = "e1000e", .ops = &ops};
    card->board = board;
    card->options = *options;
    card->work = (struct loop_task){.run = work, .opaque = card};
    pthread_mutex_init(&card->lock, NULL);
    card->loop = loop_create("network");
    failed = card->loop ? add_function(board, card) : -ENOMEM;
    if (failed == 0) {
        e1000e_nvm_init(card);
        power_on(card);
        join_loop(card);
        failed = loop_start(card->loop);
    }
    if (failed < 0) {
        destroy(&card->device);
        return error_set(error, -failed, "e1000e: cannot be made: %s", strerror(-failed));
    }
    board_add(board, &card->device);
    return 0;
}
