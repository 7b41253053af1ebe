/* The PHY of an 82574L behind MDIC, always with a link of 1 Gb/s (chapter 9), and its NVM (chapter 6). */
#include "casement/bytes.h"
#include "e1000e_private.h"

#define NVM_CHECKSUM 0x3F
#define NVM_SUM 0xBABA
#define EERD_START 1U
#define EERD_DONE 2U

#define PHY_ADDRESS 1U
#define MDIC_WRITE (1U << 26)
#define MDIC_READ (2U << 26)
#define MDIC_READY (1U << 28)
#define MDIC_INTERRUPT (1U << 29)
#define MDIC_ERROR (1U << 30)

/* PHY registers (IEEE 802.3 clause 22.2.4, then the maker's). */
enum { CONTROL, BASIC_STATUS, ID1, ID2, ADVERTISE, PARTNER, EXPANSION, GIGABIT_CONTROL = 9, GIGABIT_STATUS };
enum { EXTENDED_STATUS = 15, SPECIFIC_CONTROL, SPECIFIC_STATUS, PAGE = 22 };
#define CONTROL_RESET (1U << 15)
#define CONTROL_RESTART (1U << 9)
#define FIRST_PAGED 16U

void e1000e_nvm_init(struct e1000e *card)
{
    uint16_t *nvm = card->state.nvm, sum = 0;

    for (unsigned n = 0; n < 3; n++)
        nvm[n] = get_le16(card->options.mac + 2 * n);
    nvm[0x0B] = 0x0000; /* subsystem, as in configuration space */
    nvm[0x0C] = 0x8086;
    nvm[0x0D] = 0x10D3;
    for (unsigned n = 0; n < NVM_CHECKSUM; n++)
        sum = (uint16_t)(sum + nvm[n]);
    nvm[NVM_CHECKSUM] = (uint16_t)(NVM_SUM - sum);
}

uint32_t e1000e_read_nvm(const struct e1000e *card, uint32_t request)
{
    unsigned word = request >> 2 & 0x3FFF;
    uint32_t data = word < NVM_WORDS ? card->state.nvm[word] : 0xFFFF;

    return request & EERD_START ? data << 16 | word << 2 | EERD_DONE : request;
}

void e1000e_phy_reset(struct e1000e *card)
{
    uint16_t *phy = card->state.phy;

    memset(phy, 0, sizeof card->state.phy);
    phy[CONTROL] = 0x1140;      /* 1 Gb/s, full duplex, negotiates */
    phy[BASIC_STATUS] = 0x796D; /* negotiation is complete, the link is up */
    phy[ID1] = 0x0141;
    phy[ID2] = 0x0CB1;
    phy[ADVERTISE] = 0x0DE1;
    phy[PARTNER] = 0xCDE1;
    phy[EXPANSION] = 0x000F;
    phy[GIGABIT_CONTROL] = 0x0E00;
    phy[GIGABIT_STATUS] = 0x3C00;
    phy[EXTENDED_STATUS] = 0x3000;
    phy[SPECIFIC_CONTROL] = 0x0060;
    phy[SPECIFIC_STATUS] = 0xAC00; /* 1 Gb/s, full duplex, resolved, link */
    card->state.phy_page = 0;
}

static uint16_t phy_read(const struct e1000e *card, unsigned number)
{
    if (number == PAGE)
        return card->state.phy_page;
    return number >= FIRST_PAGED && card->state.phy_page ? 0 : card->state.phy[number];
}

static void phy_write(struct e1000e *card, unsigned number, uint16_t value)
{
    if (number == PAGE) {
        card->state.phy_page = value;
        return;
    }
    if (number == CONTROL) {
        if (value & CONTROL_RESET)
            e1000e_phy_reset(card);
        else
            card->state.phy[CONTROL] = (uint16_t)(value & ~CONTROL_RESTART);
        if (value & (CONTROL_RESET | CONTROL_RESTART))
            e1000e_raise(card, CAUSE_LSC); /* the link is negotiated anew, and is there at once */
        return;
    }
    if (number == BASIC_STATUS || number == ID1 || number == ID2 || (number >= FIRST_PAGED && card->state.phy_page) ||
        number == PARTNER || number == GIGABIT_STATUS || number == SPECIFIC_STATUS)
        return;
    card->state.phy[number] = value;
}

uint32_t e1000e_mdic(struct e1000e *card, uint32_t request)
{
    unsigned number = request >> 16 & 0x1F, address = request >> 21 & 0x1F;
    uint32_t answer = (request & ~(MDIC_READY | MDIC_ERROR)) | MDIC_READY;

    if (address != PHY_ADDRESS || !(request & (MDIC_READ | MDIC_WRITE)))
        answer |= MDIC_ERROR;
    else if (request & MDIC_WRITE)
        phy_write(card, number, (uint16_t)request);
    else
        answer = (answer & 0xFFFF0000) | phy_read(card, number);
    if (request & MDIC_INTERRUPT)
        e1000e_raise(card, CAUSE_MDAC);
    return answer;
}
