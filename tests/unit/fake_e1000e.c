/* See fake_e1000e.h. */
#include <string.h>

#include "casement/bytes.h"
#include "casement/e1000e.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_e1000e.h"

struct fake *card_fake;
struct fake_wire card_wire;
struct net_counters card_counters;
unsigned card_tx_tail;
const uint8_t card_mac[6] = {0x52, 0x54, 0x00, 0x11, 0x22, 0x33};

uint32_t card_get(unsigned offset)
{
    return (uint32_t)fake_read(card_fake, BUS_MMIO, BAR + offset, 4);
}

void card_put(unsigned offset, uint32_t value)
{
    fake_write(card_fake, BUS_MMIO, BAR + offset, 4, value);
}

uint8_t *card_ram(uint64_t at, size_t length)
{
    uint8_t *bytes = memory_at(card_fake->board.memory, at, length);

    assert_non_null(bytes);
    return bytes;
}

void card_settle(void)
{
    fake_wire_settle(&card_wire);
}

static void create(bool vnet)
{
    struct net_card_options options = {.backend = &card_wire.backend, .counters = &card_counters, .slot = SLOT};
    struct error error = {""};

    fake_wire_init(&card_wire, vnet);
    memset(&card_counters, 0, sizeof card_counters);
    memcpy(options.mac, card_mac, 6);
    card_fake = fake_create(0);
    assert_int_equal(pci_bus_create(&card_fake->board, &card_fake->board.pci), 0);
    assert_int_equal(e1000e_create(&card_fake->board, &options, &error), 0);
    fake_config_write(card_fake, DEVFN, 0x10, 4, BAR);
    fake_config_write(card_fake, DEVFN, 0x18, 4, IO);
    fake_config_write(card_fake, DEVFN, 0x1C, 4, MSIX);
    fake_config_write(card_fake, DEVFN, 0x04, 2, 7);
    card_tx_tail = 0;
}

int fake_e1000e_set_up(void **state)
{
    (void)state;
    create(false);
    return 0;
}

int fake_e1000e_set_up_vnet(void **state)
{
    (void)state;
    create(true);
    return 0;
}

int fake_e1000e_tear_down(void **state)
{
    (void)state;
    fake_destroy(card_fake);
    return 0;
}

bool card_deliver(const uint8_t *frame, size_t length)
{
    return fake_wire_deliver(&card_wire, NULL, frame, length);
}

void card_start_transmit(void)
{
    memset(card_ram(TX_RING, RING * 16), 0, RING * 16);
    card_put(TX + BAL, TX_RING);
    card_put(TX + LEN, RING * 16);
    card_put(TX + HEAD, 0);
    card_put(TX + TAIL, 0);
    card_put(TCTL, EN | 8);
}

uint8_t *card_tx_add(uint64_t address, uint32_t command, uint32_t options)
{
    uint8_t *descriptor = card_ram(TX_RING + card_tx_tail * 16, 16);

    put_le64(descriptor, address);
    put_le32(descriptor + 8, command);
    put_le32(descriptor + 12, options);
    card_tx_tail = (card_tx_tail + 1) % RING;
    return descriptor;
}

void card_tx_go(void)
{
    card_put(TX + TAIL, card_tx_tail);
    card_settle();
}

void card_start_receive(uint32_t control, bool extended, unsigned buffers)
{
    for (unsigned n = 0; n < RING; n++) {
        put_le64(card_ram(RX_RING + n * 16, 16), BUFFERS + n * 2048);
        put_le64(card_ram(RX_RING + n * 16, 16) + 8, 0);
    }
    card_put(RFCTL, extended ? 1U << 15 : 0);
    card_put(RX + BAL, RX_RING);
    card_put(RX + LEN, RING * 16);
    card_put(RX + HEAD, 0);
    card_put(RX + TAIL, buffers);
    card_put(RCTL, control | EN);
    card_settle();
}

void card_make_frame(uint8_t *frame, size_t length, const uint8_t *to)
{
    for (size_t n = 0; n < length; n++)
        frame[n] = (uint8_t)(n * 7);
    memcpy(frame, to, 6);
    put_be16(frame + 12, 0x0800);
}

void card_make_tcp(uint8_t *frame, size_t length, bool for_segments)
{
    uint8_t *ip = frame + 14, *tcp = ip + 20;
    uint32_t sum;

    card_make_frame(frame, length, card_mac);
    memset(ip, 0, 40);
    ip[0] = 0x45;
    put_be16(ip + 2, (uint16_t)(length - 14));
    ip[8] = 64;
    ip[9] = 6;
    put_be32(ip + 12, 0x0A000201);
    put_be32(ip + 16, 0x0A000202);
    tcp[12] = 5 << 4;
    tcp[13] = 0x18;
    sum = net_sum(ip + 12, 8, 6 + (for_segments ? 0 : (uint32_t)(length - 34)));
    put_be16(tcp + 16, (uint16_t)~net_fold(sum));
}

bool card_sums_are_right(const uint8_t *frame, size_t length)
{
    const uint8_t *ip = frame + 14;
    uint32_t tcp_length = (uint32_t)get_be16(ip + 2) - 20;

    assert_true(34 + tcp_length <= length);
    return net_fold(net_sum(ip, 20, 0)) == 0 &&
           net_fold(net_sum(ip + 20, tcp_length, net_sum(ip + 12, 8, 6 + tcp_length))) == 0;
}

void card_add_context(unsigned segment_size, bool tcp)
{
    uint8_t *context = card_tx_add(0, DEXT | (tcp ? 1U << 24 : 0) | 3U << 25, 0);

    context[0] = 14;
    context[1] = 14 + 10;
    put_le16(context + 2, 33);
    context[4] = 34;
    context[5] = 34 + 16;
    put_le16(context + 6, 0);
    context[13] = 54;
    put_le16(context + 14, (uint16_t)segment_size);
}
