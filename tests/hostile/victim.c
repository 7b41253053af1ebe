/* Devices under attack (see victim.h). */
#include "victim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1
#define NET_HEADER 12
#define FRAME_ROOM 2048
#define RECEIVE_SIZE 16
#define ARP_BYTES 42

struct field field;

const char *failed(const char *format, ...)
{
    static char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

void victim_start(struct victim *victim, uint32_t features, unsigned size)
{
    device_negotiate(&victim->device, features);
    queue_place(&victim->queue, &victim->device, victim->queue_number, size, &field.rings, QUEUE_AT);
    queue_enable(&victim->queue);
    if (victim == &field.card) {
        queue_place(&victim->other, &victim->device, RECEIVE_QUEUE, RECEIVE_SIZE, &field.rings, OTHER_QUEUE_AT);
        queue_enable(&victim->other);
    }
    device_ready(&victim->device);
}

const char *victim_serves(struct victim *victim)
{
    victim_start(victim, 0, RING_SIZE);
    if (device_status(&victim->device) != STATUS_READY)
        return failed("%s: status is 0x%x after a new start", victim->device.name, device_status(&victim->device));
    return victim->good(victim);
}

enum outcome victim_attack(struct victim *victim)
{
    enum outcome outcome;

    queue_kick(&victim->queue);
    outcome = queue_wait(&victim->queue, WAIT_SECONDS);
    field.attacks++;
    if (outcome == BROKEN)
        field.breaks++;
    return outcome;
}

/* The disk. */

uint8_t *disk_header(unsigned head)
{
    return field.rings.at + HEADERS_AT + (size_t)head * 64;
}

void disk_set_header(unsigned head, uint32_t type, uint64_t sector)
{
    uint8_t *header = disk_header(head);

    memset(header, 0, STATUS_IN_HEADER);
    memcpy(header, &type, sizeof type);
    memcpy(header + 8, &sector, sizeof sector);
    header[STATUS_IN_HEADER] = 0xEE;
}

volatile uint8_t *disk_status(unsigned head)
{
    return disk_header(head) + STATUS_IN_HEADER;
}

void disk_describe(struct queue *queue, unsigned head, uint32_t type, uint64_t sector, unsigned data, uint32_t length)
{
    uint64_t header = physical(&field.rings, disk_header(head));
    unsigned direction = type == T_IN || type == T_GET_ID ? D_WRITE : 0;

    disk_set_header(head, type, sector);
    queue_describe(queue, head, header, 16, D_NEXT, length ? head + 1 : head + 2);
    queue_describe(queue, head + 1, field.data.physical + data, length, D_NEXT | direction, head + 2);
    queue_describe(queue, head + 2, header + STATUS_IN_HEADER, 1, D_WRITE, 0);
}

const char *disk_read_checked(struct victim *victim, unsigned head, uint64_t sector)
{
    const uint64_t *words = (const uint64_t *)(const void *)field.data.at;
    uint16_t before = victim->queue.index;
    enum outcome outcome;

    memset(field.data.at, 0xA5, (size_t)2 * SECTOR);
    disk_describe(&victim->queue, head, T_IN, sector, 0, SECTOR);
    queue_add(&victim->queue, head);
    queue_kick(&victim->queue);
    outcome = queue_wait(&victim->queue, WAIT_SECONDS);
    if (outcome != SERVED)
        return failed("disk: a good request is %s", outcome_name(outcome));
    if (queue_element(&victim->queue, before).head != head || queue_element(&victim->queue, before).length != 513)
        return failed("disk: the used element is %u, %u", queue_element(&victim->queue, before).head,
                      queue_element(&victim->queue, before).length);
    if (*disk_status(head) != 0)
        return failed("disk: status %u for sector %llu", *disk_status(head), (unsigned long long)sector);
    for (unsigned n = 0; n < SECTOR / 8; n++)
        if (words[n] != sector)
            return failed("disk: sector %llu holds 0x%llx", (unsigned long long)sector, (unsigned long long)words[n]);
    return words[SECTOR / 8] == UINT64_C(0xA5A5A5A5A5A5A5A5) ? NULL : "disk: more was written than asked for";
}

static const char *disk_good(struct victim *victim)
{
    static uint64_t turn;

    return disk_read_checked(victim, 5, turn++ * 7919 % (field.capacity / 2));
}

/* The entropy device: bytes come, and twice the same does not. */
static const char *entropy_good(struct victim *victim)
{
    uint8_t *bytes = field.data.at;
    uint16_t before = victim->queue.index;
    enum outcome outcome;
    unsigned zeroes = 0;

    memset(bytes, 0, 512);
    queue_describe(&victim->queue, 3, field.data.physical, 256, D_WRITE, 0);
    queue_add(&victim->queue, 3);
    queue_kick(&victim->queue);
    outcome = queue_wait(&victim->queue, WAIT_SECONDS);
    if (outcome != SERVED)
        return failed("entropy: a good request is %s", outcome_name(outcome));
    for (unsigned n = 0; n < 256; n++)
        zeroes += bytes[n] == 0;
    if (queue_element(&victim->queue, before).length != 256 || zeroes > 32)
        return failed("entropy: %u bytes, %u of 256 are 0", queue_element(&victim->queue, before).length, zeroes);
    for (unsigned n = 256; n < 512; n++)
        if (bytes[n])
            return "entropy: more was written than asked for";
    return NULL;
}

/* Who has the router's address? (RFC 826) */
static void ask_for_router(const struct device *device, uint8_t *frame)
{
    static const uint8_t fixed[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, self[] = {10, 0, 2, 15}, router[] = {10, 0, 2, 2};

    memset(frame, 0, NET_HEADER + ARP_BYTES);
    frame += NET_HEADER;
    memset(frame, 0xFF, 6);
    for (unsigned n = 0; n < 6; n++)
        frame[6 + n] = frame[22 + n] = (uint8_t)mmio_get(device->specific.at + n, 1);
    memcpy(frame + 12, fixed, sizeof fixed);
    memcpy(frame + 28, self, sizeof self);
    memcpy(frame + 38, router, sizeof router);
}

static void give_receive_buffers(struct queue *receive, uint8_t *frames)
{
    for (unsigned n = 0; n < receive->size; n++) {
        queue_describe(receive, n, physical(&field.rings, frames + (size_t)n * FRAME_ROOM), FRAME_ROOM, D_WRITE, 0);
        queue_add(receive, n);
    }
    queue_kick(receive);
}

/* The card: a question goes out, and its answer comes in. */
static const char *card_good(struct victim *victim)
{
    struct queue *receive = &victim->other;
    uint8_t *frames = field.rings.at + FRAMES_AT, *out = frames + (size_t)RECEIVE_SIZE * FRAME_ROOM;
    double end = seconds_now() + WAIT_SECONDS;
    uint16_t looked = queue_used(receive);
    enum outcome outcome;

    if (receive->index == 0)
        give_receive_buffers(receive, frames);
    ask_for_router(&victim->device, out);
    queue_describe(&victim->queue, 2, physical(&field.rings, out), NET_HEADER + ARP_BYTES, 0, 0);
    queue_add(&victim->queue, 2);
    queue_kick(&victim->queue);
    outcome = queue_wait(&victim->queue, WAIT_SECONDS);
    if (outcome != SERVED)
        return failed("card: a good frame is %s", outcome_name(outcome));
    while (seconds_now() < end)
        for (; looked != queue_used(receive); looked++) {
            const uint8_t *frame = frames + (size_t)(queue_element(receive, looked).head % RECEIVE_SIZE) * FRAME_ROOM;

            if (frame[NET_HEADER + 12] == 8 && frame[NET_HEADER + 13] == 6 && frame[NET_HEADER + 21] == 2)
                return NULL;
        }
    return "card: nobody answers for the router";
}

static void open_victim(struct victim *victim, unsigned number, const char *name)
{
    if (!device_open(&victim->device, number, 0, name))
        die("there is no %s", name);
    device_reset(&victim->device);
}

void field_open(uint64_t ram_end)
{
    field.ram_end = ram_end;
    field.rings = area_create();
    field.data = area_create();
    open_victim(&field.disk, VIRTIO_BLOCK, "disk");
    open_victim(&field.entropy, VIRTIO_RNG, "entropy");
    open_victim(&field.card, VIRTIO_NET, "card");
    field.disk.good = disk_good;
    field.entropy.good = entropy_good;
    field.entropy.direction = D_WRITE;
    field.card.good = card_good;
    field.card.queue_number = TRANSMIT_QUEUE;
    field.capacity = mmio_get(field.disk.device.specific.at, 8);
}
