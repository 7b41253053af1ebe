/* Interrupts of an 82574L: causes, the mask, the pin, and MSI-X with its causes per queue (7.4, 10.2.4). */
#include "casement/bytes.h"
#include "e1000e_private.h"

#define IVAR_VALID 8U

/* What each MSI-X cause is, and where IVAR says which vector it has (10.2.4.9). */
static const struct {
    uint32_t cause;
    unsigned shift;
} allocations[] = {
    {CAUSE_RXQ0, 0}, {CAUSE_RXQ0 << 1, 4}, {CAUSE_TXQ0, 8}, {CAUSE_TXQ0 << 1, 12}, {CAUSE_OTHER, 16},
};

static uint32_t pending(struct e1000e *card)
{
    return *e1000e_register(card, ICR) & *e1000e_register(card, IMS);
}

/* One message for each cause until it is cleared or masked. Those in EIAC clear and mask themselves with it. */
static void send_messages(struct e1000e *card)
{
    uint32_t ivar = *e1000e_register(card, IVAR), automatic = *e1000e_register(card, EIAC), due;

    card->state.announced &= pending(card);
    due = pending(card) & ~card->state.announced;
    for (size_t n = 0; n < ARRAY_SIZE(allocations); n++) {
        uint32_t cause = allocations[n].cause, vector = ivar >> allocations[n].shift & 0xF;

        if (!(due & cause) || !(vector & IVAR_VALID))
            continue;
        card->state.announced |= cause;
        pci_msix_fire(&card->function, vector & ~IVAR_VALID);
        if (!(automatic & cause))
            continue;
        *e1000e_register(card, ICR) &= ~cause;
        if (!(*e1000e_register(card, CTRL_EXT) & CTRL_EXT_IAME))
            *e1000e_register(card, IMS) &= ~cause;
        card->state.announced &= ~cause;
    }
}

static void update(struct e1000e *card)
{
    bool messages = pci_msix_enabled(&card->function);

    if (messages)
        send_messages(card);
    pci_intx_set(&card->function, !messages && pending(card));
}

void e1000e_raise(struct e1000e *card, uint32_t causes)
{
    if (causes & CAUSES_OTHER)
        causes |= CAUSE_OTHER;
    *e1000e_register(card, ICR) |= causes;
    update(card);
}

/* Reading clears, unless causes wait that the guest has masked while others are not. */
uint32_t e1000e_read_icr(struct e1000e *card)
{
    uint32_t value = *e1000e_register(card, ICR);
    bool asserted = pending(card);

    if (asserted || !*e1000e_register(card, IMS))
        *e1000e_register(card, ICR) = 0;
    if (asserted && *e1000e_register(card, CTRL_EXT) & CTRL_EXT_IAME)
        *e1000e_register(card, IMS) &= ~*e1000e_register(card, IAM);
    update(card);
    return value | (asserted ? CAUSE_ASSERTED : 0);
}

/* What is written as one is cleared; with "other" all that it stands for, or it would come back at once. */
void e1000e_write_icr(struct e1000e *card, uint32_t value)
{
    if (value & CAUSE_OTHER)
        value |= CAUSES_OTHER;
    *e1000e_register(card, ICR) &= ~value;
    update(card);
}

void e1000e_mask(struct e1000e *card, uint32_t set, uint32_t clear)
{
    uint32_t *mask = e1000e_register(card, IMS);

    *mask = (*mask | set) & ~clear;
    update(card);
}
