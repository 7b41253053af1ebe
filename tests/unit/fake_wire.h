/* The world behind a network card, for unit tests: what the card sends is recorded, and frames come when a test says.
 */
#ifndef CASEMENT_TESTS_FAKE_WIRE_H
#define CASEMENT_TESTS_FAKE_WIRE_H

#include "casement/net.h"
#include "casement/net_offload.h"

#define FAKE_WIRE_FRAMES 64U
#define FAKE_WIRE_BYTES 2048U

struct fake_wire {
    struct net_backend backend; /* first */
    struct net_card card;
    struct loop *loop;
    unsigned kinds; /* NET_LEAVE_*, as the card asked */
    unsigned ready, sent_count;
    struct {
        size_t length;
        uint8_t bytes[FAKE_WIRE_BYTES]; /* of longer ones the beginning */
    } sent[FAKE_WIRE_FRAMES];
    uint8_t header[NET_VNET_BYTES]; /* of the last frame sent */
    void (*called)(void);           /* on the loop, at each frame sent and each offload(); NULL: nothing */
};

/* vnet: it takes frames with work left, and leaves work. The wire outlives its card. */
void fake_wire_init(struct fake_wire *wire, bool vnet);
/* A frame for the guest, with a vnet header or, finished, NULL; true: the card took it. */
bool fake_wire_deliver(struct fake_wire *wire, const uint8_t *header, const uint8_t *frame, size_t length);
/* Until the card has done what was posted to its loop, and what that posted. */
void fake_wire_settle(const struct fake_wire *wire);

#endif
