/*
 * Interrupts out of devices: pins and messages. Any thread may call any of it, with a device's own lock held.
 */
#ifndef CASEMENT_IRQ_H
#define CASEMENT_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/vm.h"

struct irq;

/* ISA interrupts 0 to 15 reach both the PIC and the IOAPIC (0 as pin 2 there), 16 to 23 the IOAPIC alone. */
int irq_create(struct vm *vm, struct irq **irq);
void irq_destroy(struct irq *irq);

/* One source on one pin. Sources that share a pin are OR-ed. Zero-initialise; the storage is the device's. */
struct irq_line {
    struct irq *irq;
    unsigned gsi;
    bool level;
    bool connected;
};

void irq_line_init(struct irq *irq, struct irq_line *line, unsigned gsi);
void irq_line_set(struct irq_line *line, bool level);
/* An edge: up and down again. */
void irq_line_pulse(struct irq_line *line);
/* Moves the source, with its present level, to another pin; IRQ_NOWHERE takes it off. */
#define IRQ_NOWHERE (~0U)
void irq_line_move(struct irq_line *line, unsigned gsi);

/* One message-signalled interrupt: an eventfd that KVM turns into the message, without an exit or a system call more.
 */
struct msi {
    struct irq *irq;
    int fd; /* -1 until msi_init; may be handed to io_uring or vhost */
    uint32_t gsi;
    bool bound;
    uint64_t address;
    uint32_t data;
};

/* Allocates the eventfd and a GSI. 0 or -errno (-ENOSPC: no GSI left). */
int msi_init(struct irq *irq, struct msi *msi);
/* Sets where the message goes and arms it; cheap when nothing changed. */
int msi_route(struct msi *msi, uint64_t address, uint32_t data);
/* Disarms it: msi_fire() then does nothing that the guest sees. */
void msi_mask(struct msi *msi);
void msi_fire(const struct msi *msi);
void msi_destroy(struct msi *msi);

#endif
