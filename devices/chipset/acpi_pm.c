/*
 * ACPI fixed hardware (ACPI 6.5, 4.8; platform contract 2.3 and 10): PM1 event and control, PM timer, GPE0, power
 * button, S5.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/chipset.h"
#include "casement/log.h"

#define BLOCK_SIZE 0x80
#define PM1_STS 0x00
#define PM1_EN 0x02
#define PM1_CNT 0x04
#define PM_TMR 0x08
#define GPE0_STS 0x20
#define GPE0_EN 0x28
#define SMI_EN 0x30
#define SMI_STS 0x34

#define PWRBTN_STS 0x0100
#define SCI_EVENTS 0x0721 /* timer, global lock, power and sleep button, RTC */
#define SCI_EN 0x0001
#define SLP_TYP 0x1C00
#define SLP_EN 0x2000
/* Firmware shuts down through this port whatever PMBASE says. */
#define SHUTDOWN_PORT 0x604
#define SCI_GSI 9

#define TIMER_HZ UINT64_C(3579545)
#define SECOND_NS UINT64_C(1000000000)

/* The registers, as the guest reads them back; the timer apart. */
struct pm_state {
    uint8_t bytes[BLOCK_SIZE];
};

struct acpi_pm {
    struct device device;
    struct board *board;
    pthread_mutex_t lock;
    struct pm_state state;
    struct bus_region block, shutdown;
    bool decoded;
    struct irq_line sci;
    int64_t start_ns;
};

uint32_t acpi_pm_timer(const struct acpi_pm *pm)
{
    uint64_t elapsed = (uint64_t)(clock_ns() - pm->start_ns);
    uint64_t ticks = elapsed / SECOND_NS * TIMER_HZ + elapsed % SECOND_NS * TIMER_HZ / SECOND_NS;

    return ticks & 0xFFFFFF;
}

/* With the lock held. */
static void update_sci(struct acpi_pm *pm)
{
    uint16_t pending = get_le16(pm->state.bytes + PM1_STS) & get_le16(pm->state.bytes + PM1_EN) & SCI_EVENTS;
    uint64_t general = get_le64(pm->state.bytes + GPE0_STS) & get_le64(pm->state.bytes + GPE0_EN);

    irq_line_set(&pm->sci, (pending || general) && (get_le16(pm->state.bytes + PM1_CNT) & SCI_EN));
}

static void sleep_request(struct acpi_pm *pm, uint16_t control)
{
    static struct log_limit limit;

    if (!(control & SLP_EN))
        return;
    if (control & SLP_TYP)
        log_guest(&limit, "sleep type %u is not offered; the request is ignored", (control & SLP_TYP) >> 10);
    else
        pm->board->power(pm->board->machine, POWER_OFF, "ACPI S5");
}

static uint64_t block_read(void *opaque, uint64_t offset, unsigned size)
{
    struct acpi_pm *pm = opaque;
    uint64_t value = 0;

    /* Firmware and systems spin on the timer, so it takes no lock. */
    if (offset >= PM_TMR && offset + size <= PM_TMR + 4)
        return acpi_pm_timer(pm) >> (8 * (offset - PM_TMR));
    pthread_mutex_lock(&pm->lock);
    for (unsigned n = 0; n < size; n++)
        value |= (uint64_t)pm->state.bytes[offset + n] << (8 * n);
    pthread_mutex_unlock(&pm->lock);
    return value;
}

static bool within(unsigned at, unsigned first, unsigned length)
{
    return at - first < length;
}

/* How a byte takes a write: status bits are cleared by ones, the rest is storage; the timer is read-only. */
static void write_byte(struct acpi_pm *pm, unsigned at, uint8_t value)
{
    uint8_t *byte = &pm->state.bytes[at];

    if (within(at, PM1_STS, 2) || within(at, GPE0_STS, 8) || within(at, SMI_STS, 4))
        *byte &= (uint8_t)~value;
    else if (at == PM1_CNT + 1)
        *byte = value & 0x1C; /* SLP_EN reads 0 */
    else if (at == PM1_CNT)
        *byte = value & 0x03;
    else if (within(at, PM1_EN, 2) || within(at, GPE0_EN, 8) || within(at, SMI_EN, 4) || at >= 0x60)
        *byte = value;
}

static void block_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct acpi_pm *pm = opaque;
    uint16_t control = 0;

    pthread_mutex_lock(&pm->lock);
    for (unsigned n = 0; n < size; n++)
        write_byte(pm, (unsigned)offset + n, (uint8_t)(value >> (8 * n)));
    update_sci(pm);
    pthread_mutex_unlock(&pm->lock);
    /* The request is in the upper byte of PM1_CNT; systems write the word, some the byte. */
    if (offset <= PM1_CNT + 1 && offset + size > PM1_CNT + 1)
        control = (uint16_t)((value >> (8 * (PM1_CNT + 1 - offset)) & 0xFF) << 8);
    sleep_request(pm, control);
}

static uint64_t shutdown_read(void *opaque, uint64_t offset, unsigned size)
{
    return block_read(opaque, PM1_CNT + offset, size);
}

static void shutdown_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    block_write(opaque, PM1_CNT + offset, size, value);
}

static const struct bus_ops block_ops = {block_read, block_write};
static const struct bus_ops shutdown_ops = {shutdown_read, shutdown_write};

void acpi_pm_decode(struct acpi_pm *pm, uint16_t base, bool enabled)
{
    if (pm->decoded)
        bus_remove(pm->board->bus, &pm->block);
    pm->block.base = base;
    pm->decoded = enabled && base && bus_add(pm->board->bus, &pm->block) == 0;
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
    pthread_mutex_lock(&pm->lock);
    put_le16(pm->state.bytes + PM1_STS, get_le16(pm->state.bytes + PM1_STS) | PWRBTN_STS);
    update_sci(pm);
    pthread_mutex_unlock(&pm->lock);
}

static void reset(struct device *device)
{
    struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

    pthread_mutex_lock(&pm->lock);
    memset(&pm->state, 0, sizeof pm->state);
    update_sci(pm);
    pthread_mutex_unlock(&pm->lock);
}

static void destroy(struct device *device)
{
    struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

    acpi_pm_decode(pm, 0, false);
    bus_remove(pm->board->bus, &pm->shutdown);
    pthread_mutex_destroy(&pm->lock);
    free(pm);
}

int acpi_pm_create(struct board *board, struct acpi_pm **result, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct acpi_pm *pm = calloc(1, sizeof *pm);

    if (!pm)
        return error_set(error, ENOMEM, "ACPI registers: out of memory");
    pm->device = (struct device){.name = "ACPI registers", .ops = &ops};
    pm->board = board;
    pm->start_ns = clock_ns();
    pthread_mutex_init(&pm->lock, NULL);
    irq_line_init(board->irq, &pm->sci, SCI_GSI);
    pm->block = (struct bus_region){
        .name = "ACPI registers", .space = BUS_PORT, .size = BLOCK_SIZE, .ops = &block_ops, .device = pm};
    pm->shutdown = (struct bus_region){.name = "ACPI shutdown",
                                       .space = BUS_PORT,
                                       .base = SHUTDOWN_PORT,
                                       .size = 2,
                                       .ops = &shutdown_ops,
                                       .device = pm,
                                       .priority = 1};
    if (bus_add(board->bus, &pm->shutdown) < 0) {
        pthread_mutex_destroy(&pm->lock);
        free(pm);
        return error_set(error, ENOMEM, "ACPI registers: out of memory");
    }
    board_add(board, &pm->device);
    *result = pm;
    return 0;
}
