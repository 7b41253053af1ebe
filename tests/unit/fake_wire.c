/* See fake_wire.h. */
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_wire.h"

static int attach(struct net_backend *backend, struct loop *loop, const struct net_card *card)
{
    struct fake_wire *wire = container_of(backend, struct fake_wire, backend);

    wire->loop = loop;
    wire->card = *card;
    return 0;
}

static void detach(struct net_backend *backend)
{
    container_of(backend, struct fake_wire, backend)->kinds = 0;
}

static void send_frame(struct net_backend *backend, const uint8_t *header, const uint8_t *frame, size_t length)
{
    struct fake_wire *wire = container_of(backend, struct fake_wire, backend);

    memcpy(wire->header, header, sizeof wire->header);
    assert_true(backend->ops->offload || !net_vnet_left(header));
    assert_in_range(length, 14, NET_FRAME_MAX);
    if (wire->sent_count < FAKE_WIRE_FRAMES) {
        wire->sent[wire->sent_count].length = length;
        memcpy(wire->sent[wire->sent_count].bytes, frame, MIN(length, FAKE_WIRE_BYTES));
    }
    wire->sent_count++;
    if (wire->called)
        wire->called();
}

static void offload(struct net_backend *backend, unsigned kinds)
{
    struct fake_wire *wire = container_of(backend, struct fake_wire, backend);

    wire->kinds = kinds;
    if (wire->called)
        wire->called();
}

static void ready(struct net_backend *backend)
{
    container_of(backend, struct fake_wire, backend)->ready++;
}

void fake_wire_init(struct fake_wire *wire, bool vnet)
{
    static const struct net_backend_ops plain_ops = {
        .attach = attach, .detach = detach, .send = send_frame, .ready = ready};
    static const struct net_backend_ops vnet_ops = {
        .attach = attach, .detach = detach, .send = send_frame, .offload = offload, .ready = ready};

    memset(wire, 0, sizeof *wire);
    wire->backend = (struct net_backend){.ops = vnet ? &vnet_ops : &plain_ops, .mtu = 1500};
}

/* A frame from the world, on the card's thread. */
struct arrival {
    const struct net_card *card;
    const uint8_t *header, *frame;
    size_t length;
    bool taken;
};

static void arrive(void *opaque)
{
    struct arrival *arrival = opaque;
    arrival->taken = arrival->card->receive(arrival->card->opaque, arrival->header, arrival->frame, arrival->length);
}

bool fake_wire_deliver(struct fake_wire *wire, const uint8_t *header, const uint8_t *frame, size_t length)
{
    struct arrival arrival = {&wire->card, header ? header : net_vnet_finished, frame, length, false};

    loop_call(wire->loop, arrive, &arrival);
    return arrival.taken;
}

static void nothing(void *opaque)
{
    (void)opaque;
}

void fake_wire_settle(const struct fake_wire *wire)
{
    for (unsigned n = 0; n < 20; n++)
        loop_call(wire->loop, nothing, NULL);
}
