/* Frames from the guest: descriptors, checksums, VLAN tags, segmentation (7.2 of the 82574 datasheet). */
#include <errno.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "casement/net_offload.h"
#include "e1000e_private.h"

#define BATCH 256U /* descriptors of a queue, before the way in gets its turn */
#define SHORTEST 60U

/* Of the second quadword's low half; bits of a legacy and of a data descriptor's command are the same. */
#define COMMAND_END (1U << 24)
#define COMMAND_SUM (1U << 26)     /* legacy: insert a checksum */
#define COMMAND_SEGMENT (1U << 26) /* context and data: segment TCP */
#define COMMAND_REPORT (1U << 27)
#define COMMAND_EXTENDED (1U << 29)
#define COMMAND_VLAN (1U << 30)
#define CONTEXT_TCP (1U << 24)
#define OPTION_IP 1U
#define OPTION_TCP 2U
#define STATUS_DONE 1U
#define STATUS_AT 12U

/* A checksum over the bytes from start to end (0: the frame's), put at offset: the field is part of what is summed. */
static bool insert_sum(uint8_t *bytes, size_t length, unsigned start, unsigned end, unsigned offset)
{
    size_t stop = end ? MIN((size_t)end + 1, length) : length;
    uint16_t sum;

    if (start >= stop || offset + 2 > length)
        return false;
    sum = net_fold(net_sum(bytes + start, stop - start, 0));
    put_be16(bytes + offset, sum ? sum : 0xFFFF); /* 0 would mean "none" to UDP; to the others both are the same */
    return true;
}

static void insert_vlan(struct e1000e *card, struct tx_frame *frame)
{
    memmove(frame->bytes + 12 + VLAN_BYTES, frame->bytes + 12, frame->length - 12);
    put_be16(frame->bytes + 12, (uint16_t)*e1000e_register(card, VET));
    put_be16(frame->bytes + 14, frame->vlan);
    frame->length += VLAN_BYTES;
}

/* What the guest left to the card, but for segmentation. false: the frame does not hold what was said of it. */
static bool finish(struct e1000e *card, struct tx_frame *frame)
{
    const struct tx_context *context = &frame->context;
    unsigned shift = 0;
    bool fits = true;

    if (frame->bad || frame->length < 14)
        return false;
    if (frame->insert_vlan && *e1000e_register(card, CTRL) & CTRL_VME) {
        insert_vlan(card, frame);
        shift = VLAN_BYTES;
    }
    if (frame->segment)
        return context->tcp; /* no driver asks for UDP; its checksums are made segment by segment */
    if (frame->ip_sum)
        fits &= insert_sum(frame->bytes, frame->length, context->ip_start + shift,
                           context->ip_end ? context->ip_end + shift : 0, context->ip_offset + shift);
    if (frame->tcp_sum)
        fits &= insert_sum(frame->bytes, frame->length, context->tcp_start + shift,
                           context->tcp_end ? context->tcp_end + shift : 0, context->tcp_offset + shift);
    if (frame->sum_offset)
        fits &= insert_sum(frame->bytes, frame->length, frame->sum_start + shift, 0, frame->sum_offset + shift);
    if (frame->length < SHORTEST) {
        memset(frame->bytes + frame->length, 0, SHORTEST - frame->length);
        frame->length = SHORTEST;
    }
    return fits;
}

/* A whole frame. The lock is given up meanwhile: the buffer is the loop's own. */
static void send_frame(struct e1000e *card, struct tx_frame *frame)
{
    static struct log_limit limit;
    const struct net_offload offload = {.segment = frame->segment, .segment_size = frame->context.segment_size};
    struct net_counters *counters = card->options.counters;
    bool fits = finish(card, frame);
    struct net_sent sent = {0};
    unsigned life = card->life;

    frame->begun = false;
    pthread_mutex_unlock(&card->lock);
    if (fits && counters)
        net_count(&counters->transmitted_packets, &counters->transmitted_bytes, frame->length);
    if (!fits || net_send(card->options.backend, &offload, frame->bytes, frame->length, card->finished, &sent) < 0)
        log_guest(&limit, "e1000e: a frame that its descriptors do not fit is dropped");
    pthread_mutex_lock(&card->lock);
    if (life != card->life) /* the counters are those of another life */
        return;
    e1000e_count(card, GPTC, GOTCL, sent.frames, sent.bytes);
    e1000e_count(card, TPT, TOTL, sent.frames, sent.bytes);
}

static void set_context(struct tx_context *context, const uint8_t *descriptor)
{
    *context = (struct tx_context){.ip_start = descriptor[0],
                                   .ip_offset = descriptor[1],
                                   .ip_end = get_le16(descriptor + 2),
                                   .tcp_start = descriptor[4],
                                   .tcp_offset = descriptor[5],
                                   .tcp_end = get_le16(descriptor + 6),
                                   .tcp = get_le32(descriptor + 8) & CONTEXT_TCP,
                                   .segment_size = get_le16(descriptor + 14)};
}

/* What the first descriptor of a frame says of all of it. */
static void begin(struct tx_frame *frame, const uint8_t *descriptor, uint32_t command)
{
    frame->begun = true;
    frame->bad = frame->segment = frame->ip_sum = frame->tcp_sum = false;
    frame->length = 0;
    frame->sum_offset = 0;
    frame->legacy = !(command & COMMAND_EXTENDED);
    if (!frame->legacy) {
        frame->segment = command & COMMAND_SEGMENT;
        frame->ip_sum = descriptor[13] & OPTION_IP;
        frame->tcp_sum = descriptor[13] & OPTION_TCP;
    }
}

/* The last one of a legacy frame says where its checksum goes; the tag is told by the last one of any. */
static void end(struct tx_frame *frame, const uint8_t *descriptor, uint32_t command)
{
    frame->insert_vlan = command & COMMAND_VLAN;
    frame->vlan = get_le16(descriptor + 14);
    if (frame->legacy && command & COMMAND_SUM) {
        frame->sum_offset = descriptor[10];
        frame->sum_start = descriptor[13];
    }
}

static void append(struct e1000e *card, struct tx_frame *frame, uint64_t address, size_t length)
{
    const void *bytes;

    if (!length || frame->bad)
        return;
    bytes = length <= NET_FRAME_MAX - frame->length ? memory_at(card->board->memory, address, length) : NULL;
    if (!bytes) {
        frame->bad = true;
        return;
    }
    memcpy(frame->bytes + frame->length, bytes, length);
    frame->length += length;
}

/* One descriptor. Causes to be raised for it. */
static uint32_t take(struct e1000e *card, unsigned queue, const struct e1000e_ring *ring)
{
    uint64_t at = ring->base + (uint64_t)ring->head * DESCRIPTOR_BYTES;
    struct tx_frame *frame = &card->tx[queue];
    uint8_t descriptor[DESCRIPTOR_BYTES], status;
    unsigned life = card->life, type;
    uint32_t command;

    if (memory_read(card->board->memory, at, descriptor, sizeof descriptor) < 0)
        memset(descriptor, 0, sizeof descriptor);
    command = get_le32(descriptor + 8);
    type = command >> 20 & 0xF;
    if (command & COMMAND_EXTENDED && type == 0) {
        set_context(&frame->context, descriptor);
    } else {
        if (!frame->begun)
            begin(frame, descriptor, command);
        append(card, frame, get_le64(descriptor), command & (command & COMMAND_EXTENDED ? 0xFFFFF : 0xFFFF));
        if (command & COMMAND_END) {
            end(frame, descriptor, command);
            send_frame(card, frame);
        }
    }
    if (!(command & COMMAND_REPORT) || life != card->life) /* after a reset nothing is told */
        return 0;
    status = descriptor[STATUS_AT] | STATUS_DONE;
    memory_write(card->board->memory, at + STATUS_AT, &status, 1);
    return CAUSE_TXDW | CAUSE_TXQ0 << queue;
}

/* true: the batch is full, and more waits. Causes of a life that has ended meanwhile are nobody's. */
static bool run_queue(struct e1000e *card, unsigned queue)
{
    unsigned registers = TX_QUEUES + queue * QUEUE_STRIDE;
    struct e1000e_ring ring;
    uint32_t causes = 0;
    unsigned done = 0, life = card->life;

    for (; done < BATCH; done++) {
        uint32_t *head = e1000e_register(card, registers + Q_HEAD);

        if (!(*e1000e_register(card, TCTL) & TCTL_EN) || !e1000e_ring(card, registers, &ring) || ring.head == ring.tail)
            break;
        *head = (ring.head + 1) % ring.size; /* before the lock is given up, or a reset would be undone */
        causes |= take(card, queue, &ring);
        if (life != card->life)
            return false; /* who has started the card anew has rung for what it has */
    }
    if (done && done < BATCH)
        causes |= CAUSE_TXQE;
    if (causes)
        e1000e_raise(card, causes);
    return done == BATCH;
}

void e1000e_transmit(struct e1000e *card)
{
    bool more = false;

    pthread_mutex_lock(&card->lock);
    for (unsigned queue = 0; queue < QUEUES; queue++)
        more |= run_queue(card, queue);
    pthread_mutex_unlock(&card->lock);
    if (more)
        loop_post(card->loop, &card->work);
}
