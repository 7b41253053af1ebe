/* The register space of an 82574L (chapter 10), through its memory BAR or through the pair of ports. */
#include "casement/bytes.h"
#include "e1000e_private.h"

#define STATUS_UP 0x00000683U /* full duplex, link, 1 Gb/s, initialised, PHY was reset */
#define STATUS_MASTER (1U << 19)
#define EECD_REQUEST (1U << 6)
#define EECD_GRANT (1U << 7)
#define EECD_PRESENT (1U << 8)
#define EECD_READ (1U << 9)
#define EEMNGCTL_DONE 0x000C0000U
#define SWSM_SEMAPHORE 1U
#define RAH_VALID (1U << 31)
enum { IO_ADDRESS = 0, IO_DATA = 4 };

bool e1000e_ring(struct e1000e *card, unsigned registers, struct e1000e_ring *ring)
{
    const uint32_t *at = e1000e_register(card, registers);

    ring->base = (uint64_t)at[Q_BAH / 4] << 32 | (at[Q_BAL / 4] & ~0xFU);
    ring->size = (at[Q_LEN / 4] & 0xFFF80) / DESCRIPTOR_BYTES;
    ring->head = at[Q_HEAD / 4] & 0xFFFF;
    ring->tail = at[Q_TAIL / 4] & 0xFFFF;
    return ring->head < ring->size && ring->tail < ring->size;
}

static void add(struct e1000e *card, unsigned offset, uint32_t count)
{
    uint32_t *value = e1000e_register(card, offset);

    *value = *value + count < *value ? UINT32_MAX : *value + count; /* they stick at their end */
}

void e1000e_count(struct e1000e *card, unsigned packets, unsigned octets_low, unsigned number, size_t length)
{
    uint32_t *octets = e1000e_register(card, octets_low);
    uint64_t sum = ((uint64_t)octets[1] << 32 | octets[0]) + length;

    add(card, packets, number);
    octets[0] = (uint32_t)sum;
    octets[1] = (uint32_t)(sum >> 32);
}

/* All but NVM and PHY to power-on; the receive address comes from the NVM. */
void e1000e_reset_registers(struct e1000e *card)
{
    const uint16_t *nvm = card->state.nvm;

    memset(card->state.registers, 0, sizeof card->state.registers);
    card->state.announced = 0;
    card->life++;
    for (unsigned n = 0; n < QUEUES; n++) {
        card->tx[n].begun = false;
        card->tx[n].context = (struct tx_context){0};
    }
    *e1000e_register(card, CTRL) = 0x00100241;
    *e1000e_register(card, VET) = 0x8100;
    *e1000e_register(card, PBA) = 0x00140014;
    *e1000e_register(card, RAL) = (uint32_t)nvm[1] << 16 | nvm[0];
    *e1000e_register(card, RAH) = RAH_VALID | nvm[2];
    e1000e_mask(card, 0, 0); /* nothing waits: the pin goes low */
}

static uint32_t read_register(void *device, unsigned offset)
{
    struct e1000e *card = device;
    uint32_t value;

    if (offset >= REGISTERS_END)
        return 0;
    value = *e1000e_register(card, offset);
    switch (offset) {
    case CTRL_DUP:
        return *e1000e_register(card, CTRL);
    case STATUS:
        return STATUS_UP | (*e1000e_register(card, CTRL) & CTRL_MASTER_DISABLE ? 0 : STATUS_MASTER);
    case EECD:
        return value | EECD_PRESENT | EECD_READ | (value & EECD_REQUEST ? EECD_GRANT : 0);
    case EEMNGCTL:
        return value | EEMNGCTL_DONE;
    case ICR:
        return e1000e_read_icr(card);
    case ICS:
        return *e1000e_register(card, ICR);
    case SWSM:
        *e1000e_register(card, SWSM) |= SWSM_SEMAPHORE; /* who reads 0 has it */
        return value;
    default:
        if (offset >= STATISTICS && offset < STATISTICS_END)
            *e1000e_register(card, offset) = 0;
        return value;
    }
}

static void write_control(struct e1000e *card, uint32_t value)
{
    *e1000e_register(card, CTRL) = value & ~(CTRL_RST | CTRL_PHY_RST);
    if (value & CTRL_PHY_RST)
        e1000e_phy_reset(card);
    if (value & CTRL_RST)
        e1000e_reset_registers(card);
    else if (value & CTRL_PHY_RST)
        e1000e_raise(card, CAUSE_LSC);
}

static void write_register(void *device, unsigned offset, uint32_t value)
{
    struct e1000e *card = device;
    uint32_t *at;

    if (offset >= REGISTERS_END)
        return;
    at = e1000e_register(card, offset);
    switch (offset) {
    case CTRL:
    case CTRL_DUP:
        write_control(card, value);
        return;
    case STATUS:
        return;
    case EERD:
        *at = e1000e_read_nvm(card, value);
        return;
    case MDIC:
        *at = e1000e_mdic(card, value);
        return;
    case ICR:
        e1000e_write_icr(card, value);
        return;
    case ICS:
        e1000e_raise(card, value & ~CAUSE_ASSERTED);
        return;
    case IMS:
        e1000e_mask(card, value & ~CAUSE_ASSERTED, 0);
        return;
    case IMC:
        e1000e_mask(card, 0, value);
        return;
    case RCTL:
    case TCTL:
    case RX_QUEUES + Q_TAIL:
    case TX_QUEUES + Q_TAIL:
    case TX_QUEUES + QUEUE_STRIDE + Q_TAIL:
        *at = value;
        loop_post(card->loop, &card->work);
        return;
    default:
        *at = value;
    }
}

static uint64_t registers_read(void *device, uint64_t offset, unsigned size)
{
    struct e1000e *card = device;
    uint64_t value;

    pthread_mutex_lock(&card->lock);
    value = bus_read_words(read_register, card, offset, size);
    pthread_mutex_unlock(&card->lock);
    return value;
}

static void registers_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct e1000e *card = device;

    pthread_mutex_lock(&card->lock);
    bus_write_words(write_register, card, offset, size, value);
    pthread_mutex_unlock(&card->lock);
}

const struct bus_ops e1000e_registers_ops = {registers_read, registers_write};

/* IOADDR and IODATA (10.1.2): reads of any size give their part, and only a whole word is written. */
static uint32_t io_read_word(void *device, unsigned offset)
{
    struct e1000e *card = device;

    if (offset == IO_ADDRESS)
        return card->state.io_address;
    return offset == IO_DATA ? read_register(card, card->state.io_address & ~3U) : 0;
}

static void io_write_word(void *device, unsigned offset, uint32_t value)
{
    struct e1000e *card = device;

    if (offset == IO_ADDRESS)
        card->state.io_address = value & (BAR_SIZE - 1);
    else if (offset == IO_DATA)
        write_register(card, card->state.io_address & ~3U, value);
}

static uint64_t io_read(void *device, uint64_t offset, unsigned size)
{
    struct e1000e *card = device;
    uint64_t value;

    pthread_mutex_lock(&card->lock);
    value = bus_read_words(io_read_word, card, offset, size);
    pthread_mutex_unlock(&card->lock);
    return value;
}

static void io_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct e1000e *card = device;

    pthread_mutex_lock(&card->lock);
    bus_write_words(io_write_word, card, offset, size, value);
    pthread_mutex_unlock(&card->lock);
}

const struct bus_ops e1000e_io_ops = {io_read, io_write};
