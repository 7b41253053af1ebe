/* Interrupt pins that sources share, and messages as irqfds with a route each (see irq.h). */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "casement/irq.h"

#define PINS 24 /* the IOAPIC's inputs */
#define FIRST_MSI_GSI 24
#define MAX_GSI 1024 /* of KVM's 4096; a route each */

struct irq {
    struct vm *vm;
    pthread_mutex_t lock;
    unsigned asserted[PINS]; /* how many sources hold the pin up */
    struct vm_route routes[16 + PINS + MAX_GSI];
    unsigned route_count;
    bool gsi_used[MAX_GSI];
};

/* Pins as KVM wires them by default, but for IRQ 0, which ACPI's MADT leads to IOAPIC pin 2 (platform contract 4.3). */
static void default_routes(struct irq *irq)
{
    for (uint32_t gsi = 0; gsi < 16; gsi++)
        if (gsi != 2)
            irq->routes[irq->route_count++] = (struct vm_route){
                .gsi = gsi, .chip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, .pin = gsi % 8};
    for (uint32_t gsi = 0; gsi < PINS; gsi++)
        if (gsi != 2)
            irq->routes[irq->route_count++] =
                (struct vm_route){.gsi = gsi, .chip = KVM_IRQCHIP_IOAPIC, .pin = gsi == 0 ? 2 : gsi};
}

int irq_create(struct vm *vm, struct irq **result)
{
    struct irq *irq = calloc(1, sizeof *irq);
    int failed;

    if (!irq)
        return -ENOMEM;
    irq->vm = vm;
    pthread_mutex_init(&irq->lock, NULL);
    default_routes(irq);
    failed = vm->ops->routes(vm, irq->routes, irq->route_count);
    if (failed < 0) {
        irq_destroy(irq);
        return failed;
    }
    *result = irq;
    return 0;
}

void irq_destroy(struct irq *irq)
{
    if (!irq)
        return;
    pthread_mutex_destroy(&irq->lock);
    free(irq);
}

/* With the lock held: adds or takes away one source of a pin, and tells KVM when the pin's level changes. */
static void drive(struct irq *irq, unsigned gsi, bool level)
{
    if (gsi >= PINS)
        return;
    if (level) {
        if (irq->asserted[gsi]++ == 0)
            irq->vm->ops->irq_line(irq->vm, gsi, true);
    } else {
        if (--irq->asserted[gsi] == 0)
            irq->vm->ops->irq_line(irq->vm, gsi, false);
    }
}

void irq_line_init(struct irq *irq, struct irq_line *line, unsigned gsi)
{
    *line = (struct irq_line){.irq = irq, .gsi = gsi, .connected = true};
}

void irq_line_set(struct irq_line *line, bool level)
{
    if (!line->connected)
        return;
    pthread_mutex_lock(&line->irq->lock);
    if (line->level != level) {
        line->level = level;
        drive(line->irq, line->gsi, level);
    }
    pthread_mutex_unlock(&line->irq->lock);
}

void irq_line_pulse(struct irq_line *line)
{
    irq_line_set(line, true);
    irq_line_set(line, false);
}

void irq_line_move(struct irq_line *line, unsigned gsi)
{
    if (!line->connected)
        return;
    pthread_mutex_lock(&line->irq->lock);
    if (line->gsi != gsi) {
        if (line->level)
            drive(line->irq, line->gsi, false);
        line->gsi = gsi;
        if (line->level)
            drive(line->irq, line->gsi, true);
    }
    pthread_mutex_unlock(&line->irq->lock);
}

static struct vm_route *find_route(struct irq *irq, uint32_t gsi)
{
    for (unsigned n = 0; n < irq->route_count; n++)
        if (irq->routes[n].gsi == gsi)
            return &irq->routes[n];
    return NULL;
}

int msi_init(struct irq *irq, struct msi *msi)
{
    *msi = (struct msi){.irq = irq, .fd = -1};
    pthread_mutex_lock(&irq->lock);
    for (uint32_t gsi = FIRST_MSI_GSI; gsi < MAX_GSI && !msi->gsi; gsi++)
        if (!irq->gsi_used[gsi]) {
            irq->gsi_used[gsi] = true;
            msi->gsi = gsi;
        }
    pthread_mutex_unlock(&irq->lock);
    if (!msi->gsi)
        return -ENOSPC;
    msi->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (msi->fd < 0) {
        int failed = -errno;

        msi_destroy(msi);
        return failed;
    }
    return 0;
}

/* With the lock held: the table with this message's route as it is now. */
static int update_route(struct msi *msi)
{
    struct irq *irq = msi->irq;
    struct vm_route *route = find_route(irq, msi->gsi);

    if (!route)
        route = &irq->routes[irq->route_count++];
    *route = (struct vm_route){.gsi = msi->gsi, .msi = true, .address = msi->address, .data = msi->data};
    return irq->vm->ops->routes(irq->vm, irq->routes, irq->route_count);
}

int msi_route(struct msi *msi, uint64_t address, uint32_t data)
{
    struct irq *irq = msi->irq;
    int failed = 0;

    pthread_mutex_lock(&irq->lock);
    if (msi->address != address || msi->data != data || !find_route(irq, msi->gsi)) {
        msi->address = address;
        msi->data = data;
        failed = update_route(msi);
    }
    if (failed == 0 && !msi->bound) {
        failed = irq->vm->ops->irqfd(irq->vm, msi->fd, msi->gsi, true);
        msi->bound = failed == 0;
    }
    pthread_mutex_unlock(&irq->lock);
    return failed;
}

/* With the lock held. */
static void unbind(struct msi *msi)
{
    uint64_t stale;

    if (!msi->bound)
        return;
    msi->irq->vm->ops->irqfd(msi->irq->vm, msi->fd, msi->gsi, false);
    msi->bound = false;
    /* What KVM had not taken yet would fire when the vector is armed again. */
    if (read(msi->fd, &stale, sizeof stale) < 0)
        return;
}

void msi_mask(struct msi *msi)
{
    pthread_mutex_lock(&msi->irq->lock);
    unbind(msi);
    pthread_mutex_unlock(&msi->irq->lock);
}

void msi_fire(const struct msi *msi)
{
    uint64_t one = 1;

    /* The counter cannot fill: KVM empties it at each write, and a masked vector is not fired. */
    if (write(msi->fd, &one, sizeof one) < 0)
        return;
}

void msi_destroy(struct msi *msi)
{
    struct irq *irq = msi->irq;
    struct vm_route *route;

    if (!irq)
        return;
    pthread_mutex_lock(&irq->lock);
    unbind(msi);
    route = find_route(irq, msi->gsi);
    if (route)
        *route = irq->routes[--irq->route_count];
    irq->gsi_used[msi->gsi] = false;
    pthread_mutex_unlock(&irq->lock);
    if (msi->fd >= 0)
        close(msi->fd);
    *msi = (struct msi){.fd = -1};
}
