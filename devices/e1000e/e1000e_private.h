/* An 82574L among its own files: register names are the datasheet's (Intel 82574 GbE Controller Family, chapter 10). */
#ifndef CASEMENT_E1000E_PRIVATE_H
#define CASEMENT_E1000E_PRIVATE_H

#include <pthread.h>

#include "casement/e1000e.h"
#include "casement/pci.h"

/* Registers, from BAR 0. */
enum {
    CTRL = 0x0000,
    CTRL_DUP = 0x0004,
    STATUS = 0x0008,
    EECD = 0x0010,
    EERD = 0x0014,
    CTRL_EXT = 0x0018,
    MDIC = 0x0020,
    VET = 0x0038,
    ICR = 0x00C0,
    ICS = 0x00C8,
    IMS = 0x00D0,
    IMC = 0x00D8,
    EIAC = 0x00DC,
    IAM = 0x00E0,
    IVAR = 0x00E4,
    RCTL = 0x0100,
    TCTL = 0x0400,
    PBA = 0x1000,
    EEMNGCTL = 0x1010,
    RX_QUEUES = 0x2800, /* two of them, QUEUE_STRIDE apart */
    TX_QUEUES = 0x3800,
    STATISTICS = 0x4000,
    STATISTICS_END = 0x4128,
    RFCTL = 0x5008,
    MTA = 0x5200,
    RAL = 0x5400,
    RAH = 0x5404,
    VFTA = 0x5600,
    SWSM = 0x5B50,
    REGISTERS_END = 0x6000
};
#define BAR_SIZE 0x20000U
#define REGISTERS (REGISTERS_END / 4)

/* Of one queue, from its place. */
enum { Q_BAL = 0x00, Q_BAH = 0x04, Q_LEN = 0x08, Q_HEAD = 0x10, Q_TAIL = 0x18, QUEUE_STRIDE = 0x100 };
#define QUEUES 2U
#define DESCRIPTOR_BYTES 16U

/* Statistics that are counted. */
enum {
    MPC = 0x4010,
    GPRC = 0x4074,
    BPRC = 0x4078,
    MPRC = 0x407C,
    GPTC = 0x4080,
    GORCL = 0x4088,
    GOTCL = 0x4090,
    TORL = 0x40C0,
    TOTL = 0x40C8,
    TPR = 0x40D0,
    TPT = 0x40D4
};

#define CTRL_MASTER_DISABLE (1U << 2)
#define CTRL_RST (1U << 26)
#define CTRL_VME (1U << 30)
#define CTRL_PHY_RST (1U << 31)
#define CTRL_EXT_IAME (1U << 27)
#define RCTL_EN (1U << 1)
#define RCTL_UPE (1U << 3)
#define RCTL_MPE (1U << 4)
#define RCTL_LPE (1U << 5)
#define RCTL_BAM (1U << 15)
#define RCTL_VFE (1U << 18)
#define RCTL_BSEX (1U << 25)
#define RCTL_SECRC (1U << 26)
#define TCTL_EN (1U << 1)
#define RFCTL_EXSTEN (1U << 15)

/* Interrupt causes (10.2.4.1). */
#define CAUSE_TXDW (1U << 0)
#define CAUSE_TXQE (1U << 1)
#define CAUSE_LSC (1U << 2)
#define CAUSE_RXDMT0 (1U << 4)
#define CAUSE_RXO (1U << 6)
#define CAUSE_RXT0 (1U << 7)
#define CAUSE_MDAC (1U << 9)
#define CAUSE_RXQ0 (1U << 20)
#define CAUSE_TXQ0 (1U << 22)
#define CAUSE_OTHER (1U << 24)
#define CAUSE_ASSERTED (1U << 31)
/* What CAUSE_OTHER stands for: link, overrun, MDIO, small packet, acknowledge, manageability. */
#define CAUSES_OTHER (CAUSE_LSC | CAUSE_RXO | CAUSE_MDAC | 7U << 16)

#define NVM_WORDS 64U
#define PHY_REGISTERS 32U
#define VLAN_BYTES 4U
#define FCS_BYTES 4U

/* What the guest can observe. */
struct e1000e_state {
    uint32_t registers[REGISTERS];
    uint32_t announced; /* causes that an MSI-X message was sent for, and that have not been cleared since */
    uint32_t io_address;
    uint16_t phy[PHY_REGISTERS], phy_page;
    uint16_t nvm[NVM_WORDS];
};

/* A context descriptor (7.2.4): what checksums cover, and how a frame is cut. */
struct tx_context {
    uint8_t ip_start, ip_offset, tcp_start, tcp_offset;
    uint16_t ip_end, tcp_end, segment_size;
    bool tcp;
};

/* A frame on its way together, on the card's loop with the lock held. */
struct tx_frame {
    struct tx_context context;
    size_t length;
    bool begun, bad, legacy, segment, insert_vlan, ip_sum, tcp_sum;
    uint8_t sum_start, sum_offset; /* of a legacy descriptor */
    uint16_t vlan;
    uint8_t bytes[NET_FRAME_MAX + VLAN_BYTES];
};

struct e1000e {
    struct device device;
    struct board *board;
    struct pci_function function;
    struct net_card_options options;
    struct loop *loop;
    struct loop_task work; /* descriptors may wait, or buffers are back */
    bool attached;         /* the loop's thread only, as are the buffers below */
    uint8_t received[NET_FRAME_MAX + FCS_BYTES], finished[NET_FRAME_MAX];
    pthread_mutex_t lock; /* all below, and state */
    struct e1000e_state state;
    unsigned life; /* counts resets, for who gave up the lock meanwhile */
    struct tx_frame tx[QUEUES];
};

/* All with the lock held, except where it says otherwise. */
static inline uint32_t *e1000e_register(struct e1000e *card, unsigned offset)
{
    return &card->state.registers[offset / 4];
}

/* A ring as its registers describe it now; false: they describe none, or one whose ends lie outside of it. */
struct e1000e_ring {
    uint64_t base;
    unsigned size, head, tail;
};
bool e1000e_ring(struct e1000e *card, unsigned registers, struct e1000e_ring *ring);

/* e1000e_interrupt.c: causes come, are looked at, masked; pins and messages follow. */
void e1000e_raise(struct e1000e *card, uint32_t causes);
uint32_t e1000e_read_icr(struct e1000e *card);
void e1000e_write_icr(struct e1000e *card, uint32_t value);
void e1000e_mask(struct e1000e *card, uint32_t set, uint32_t clear);

/* e1000e_phy.c: the PHY behind MDIC, the words of the NVM behind EERD. */
void e1000e_nvm_init(struct e1000e *card);
uint32_t e1000e_read_nvm(const struct e1000e *card, uint32_t request);
void e1000e_phy_reset(struct e1000e *card);
uint32_t e1000e_mdic(struct e1000e *card, uint32_t request);

/* e1000e_registers.c */
extern const struct bus_ops e1000e_registers_ops, e1000e_io_ops;
void e1000e_reset_registers(struct e1000e *card);
void e1000e_count(struct e1000e *card, unsigned packets, unsigned octets_low, unsigned number, size_t length);

/* On the card's loop, without the lock. */
void e1000e_transmit(struct e1000e *card); /* e1000e_transmit.c */
/* e1000e_receive.c; net_card.receive. Finished frames only. */
bool e1000e_receive(void *opaque, const uint8_t *header, const uint8_t *frame, size_t frame_length);

#endif
