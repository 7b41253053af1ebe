/* Frames to the guest: filters, VLAN tags, legacy and extended descriptors (7.1 of the 82574 datasheet). */
#include <stdatomic.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "e1000e_private.h"

#define ADDRESSES 16U
#define RAH_VALID (1U << 31)
#define LONGEST 1518U /* without VLAN tag and checksum */
#define LONGEST_JUMBO 9234U
#define SHORTEST 60U

/* Status bits of both descriptors. The checksum is never said to be looked at: the guest does that itself. */
#define STATUS_DONE 1U
#define STATUS_END 2U
#define STATUS_IGNORE_SUMS 4U
#define STATUS_VLAN 8U

static unsigned buffer_bytes(struct e1000e *card)
{
    uint32_t control = *e1000e_register(card, RCTL);
    unsigned flexible = control >> 27 & 0xF, size = 2048U >> (control >> 16 & 3);

    if (flexible)
        return flexible * 1024;
    return control & RCTL_BSEX && size < 2048 ? size * 16 : size;
}

/* The hash of a multicast address picks one of 4096 bits (10.2.5.3). */
static bool in_multicast_table(struct e1000e *card, const uint8_t *address)
{
    static const unsigned shifts[] = {4, 3, 2, 0};
    unsigned shift = shifts[*e1000e_register(card, RCTL) >> 12 & 3];
    unsigned hash = ((unsigned)address[5] << 8 | address[4]) >> shift & 0xFFF;

    return *e1000e_register(card, MTA + (hash >> 5) * 4) >> (hash & 31) & 1;
}

static bool is_own(struct e1000e *card, const uint8_t *address)
{
    for (unsigned n = 0; n < ADDRESSES; n++) {
        uint32_t high = *e1000e_register(card, RAH + 8 * n);

        if (high & RAH_VALID && get_le32(address) == *e1000e_register(card, RAL + 8 * n) &&
            get_le16(address + 4) == (uint16_t)high)
            return true;
    }
    return false;
}

static bool is_broadcast(const uint8_t *address)
{
    return get_le32(address) == UINT32_MAX && get_le16(address + 4) == UINT16_MAX;
}

static bool accepts(struct e1000e *card, const uint8_t *frame, bool tagged)
{
    uint32_t control = *e1000e_register(card, RCTL);

    if (tagged && control & RCTL_VFE) {
        unsigned id = get_be16(frame + 14) & 0xFFF;

        if (!(*e1000e_register(card, VFTA + (id >> 5) * 4) >> (id & 31) & 1))
            return false;
    }
    if (is_broadcast(frame))
        return control & (RCTL_BAM | RCTL_MPE | RCTL_UPE);
    if (frame[0] & 1)
        return control & RCTL_MPE || is_own(card, frame) || in_multicast_table(card, frame);
    return control & RCTL_UPE || is_own(card, frame);
}

/* The frame as the guest gets it, in card->received: tag taken out if the guest asked for that, filled up, summed. */
static size_t prepare(struct e1000e *card, const uint8_t *frame, size_t length, bool strip_tag)
{
    uint8_t *to = card->received;

    if (strip_tag) {
        memcpy(to, frame, 12);
        memcpy(to + 12, frame + 12 + VLAN_BYTES, length - 12 - VLAN_BYTES);
        length -= VLAN_BYTES;
    } else {
        memcpy(to, frame, length);
    }
    if (length < SHORTEST) {
        memset(to + length, 0, SHORTEST - length);
        length = SHORTEST;
    }
    if (!(*e1000e_register(card, RCTL) & RCTL_SECRC)) {
        put_le32(to + length, (uint32_t)crc32(0, to, (uInt)length));
        length += FCS_BYTES;
    }
    return length;
}

/* One descriptor: its buffer first, its status last. */
static void fill(struct e1000e *card, uint64_t at, const uint8_t *bytes, size_t length, uint32_t status, uint16_t tag)
{
    static struct log_limit limit;
    uint8_t *descriptor = memory_at(card->board->memory, at, DESCRIPTOR_BYTES);
    bool extended = *e1000e_register(card, RFCTL) & RFCTL_EXSTEN;
    uint64_t address;

    if (!descriptor)
        return;
    address = get_le64(descriptor);
    if (memory_write(card->board->memory, address, bytes, length) < 0)
        log_guest(&limit, "e1000e: a receive buffer outside memory");
    if (extended) {
        put_le64(descriptor, 0); /* no hash */
        put_le16(descriptor + 12, (uint16_t)length);
        put_le16(descriptor + 14, tag);
        atomic_thread_fence(memory_order_release);
        put_le32(descriptor + 8, status);
    } else {
        put_le16(descriptor + 8, (uint16_t)length);
        put_le16(descriptor + 10, 0);
        descriptor[13] = 0;
        put_le16(descriptor + 14, tag);
        atomic_thread_fence(memory_order_release);
        descriptor[12] = (uint8_t)status;
    }
}

/* Spreads what was prepared over as many descriptors as it takes. false: there are too few now. */
static bool deliver(struct e1000e *card, size_t length, bool stripped, uint16_t tag)
{
    unsigned room = buffer_bytes(card), used = 0, available;
    struct e1000e_ring ring;
    uint32_t causes = CAUSE_RXT0 | CAUSE_RXQ0;

    if (!e1000e_ring(card, RX_QUEUES, &ring))
        return true; /* a guest that set up no ring gets no frame */
    available = (ring.tail + ring.size - ring.head) % ring.size;
    if (available < (length + room - 1) / room)
        return false;
    for (size_t done = 0; done < length; used++) {
        size_t now = MIN(length - done, room);
        uint32_t status = STATUS_DONE | STATUS_IGNORE_SUMS;

        if (done + now == length)
            status |= STATUS_END | (stripped ? STATUS_VLAN : 0);
        fill(card, ring.base + (uint64_t)ring.head * DESCRIPTOR_BYTES, card->received + done, now, status, tag);
        ring.head = (ring.head + 1) % ring.size;
        done += now;
    }
    *e1000e_register(card, RX_QUEUES + Q_HEAD) = ring.head;
    if (available - used <= ring.size >> ((*e1000e_register(card, RCTL) >> 8 & 3) + 1))
        causes |= CAUSE_RXDMT0;
    e1000e_raise(card, causes);
    return true;
}

static void count(struct e1000e *card, const uint8_t *frame, size_t length)
{
    struct net_counters *counters = card->options.counters;

    e1000e_count(card, GPRC, GORCL, 1, length);
    e1000e_count(card, TPR, TORL, 1, length);
    if (is_broadcast(frame))
        ++*e1000e_register(card, BPRC);
    else if (frame[0] & 1)
        ++*e1000e_register(card, MPRC);
    if (counters)
        net_count(&counters->received_packets, &counters->received_bytes, length);
}

bool e1000e_receive(void *opaque, const uint8_t *header, const uint8_t *frame, size_t frame_length)
{
    struct e1000e *card = opaque;
    bool taken = true;

    (void)header; /* this card asks for finished frames */
    pthread_mutex_lock(&card->lock);
    if (*e1000e_register(card, RCTL) & RCTL_EN && frame_length >= 14) {
        uint32_t control = *e1000e_register(card, RCTL);
        bool tagged = frame_length >= 18 && get_be16(frame + 12) == (uint16_t)*e1000e_register(card, VET);
        bool strip = tagged && *e1000e_register(card, CTRL) & CTRL_VME;
        size_t longest = (control & RCTL_LPE ? LONGEST_JUMBO : LONGEST) + (tagged ? VLAN_BYTES : 0);

        if (frame_length <= longest && accepts(card, frame, tagged)) {
            size_t length = prepare(card, frame, frame_length, strip);

            taken = deliver(card, length, strip, strip ? get_be16(frame + 14) : 0);
            if (taken)
                count(card, frame, frame_length);
        }
    }
    pthread_mutex_unlock(&card->lock);
    return taken;
}
