/* The 82574L in a machine without KVM, and its driver's registers and rings, for unit tests. */
#ifndef CASEMENT_TESTS_FAKE_E1000E_H
#define CASEMENT_TESTS_FAKE_E1000E_H

#include "fake.h"
#include "fake_wire.h"

#define SLOT 4
#define DEVFN (SLOT << 3)
#define BAR 0xF0000000U
#define IO 0xC000U
#define MSIX 0xF0100000U
#define TX_RING 0x10000U
#define RX_RING 0x20000U
#define BUFFERS 0x100000U
#define RING 32U

enum {
    CTRL = 0x00,
    STATUS = 0x08,
    EERD = 0x14,
    CTRL_EXT = 0x18,
    MDIC = 0x20,
    ICR = 0xC0,
    ICS = 0xC8,
    IMS = 0xD0,
    IMC = 0xD8
};
enum {
    EIAC = 0xDC,
    IVAR = 0xE4,
    RCTL = 0x100,
    TCTL = 0x400,
    RX = 0x2800,
    TX = 0x3800,
    BAL = 0,
    LEN = 8,
    HEAD = 16,
    TAIL = 24
};
enum {
    GPRC = 0x4074,
    GPTC = 0x4080,
    GOTCL = 0x4090,
    GORCL = 0x4088,
    RFCTL = 0x5008,
    MTA = 0x5200,
    RAL = 0x5400,
    VFTA = 0x5600,
    SWSM = 0x5B50
};
#define EN 2U
#define BAM (1U << 15)
#define SECRC (1U << 26)
#define VME (1U << 30)
#define RST (1U << 26)
#define EOP (1U << 24)
#define RS (1U << 27)
#define DEXT (1U << 29)
#define DATA (1U << 20)
#define TSE (1U << 26)
#define VLE (1U << 30)

/* The only one. */
extern struct fake *card_fake;
extern struct fake_wire card_wire;
extern struct net_counters card_counters;
extern const uint8_t card_mac[6];
extern unsigned card_tx_tail;

/* For cmocka: a card behind which the world takes finished frames, or such with work left. */
int fake_e1000e_set_up(void **state);
int fake_e1000e_set_up_vnet(void **state);
int fake_e1000e_tear_down(void **state);
#define CARD_TEST(name) cmocka_unit_test_setup_teardown(name, fake_e1000e_set_up, fake_e1000e_tear_down)

uint32_t card_get(unsigned offset);
void card_put(unsigned offset, uint32_t value);
uint8_t *card_ram(uint64_t at, size_t length);
void card_settle(void);

void card_start_transmit(void);
/* A descriptor; the tail is moved by card_tx_go(). */
uint8_t *card_tx_add(uint64_t address, uint32_t command, uint32_t options);
/* What the frames behind it leave to the card. */
void card_add_context(unsigned segment_size, bool tcp);
void card_tx_go(void);
void card_start_receive(uint32_t control, bool extended, unsigned buffers);
bool card_deliver(const uint8_t *frame, size_t length);

void card_make_frame(uint8_t *frame, size_t length, const uint8_t *to);
/* An IPv4 TCP frame whose checksums are what a stack leaves for the card: 0, and the pseudo header's. */
void card_make_tcp(uint8_t *frame, size_t length, bool for_segments);
bool card_sums_are_right(const uint8_t *frame, size_t length);

#endif
