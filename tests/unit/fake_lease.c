/* See fake_lease.h. */
#include "fake_lease.h"

const struct lease fake_lease = {
    .guest_mac = {0x52, 0x54, 0, 1, 2, 3},
    .gateway_mac = {0x5A, 0x54, 0, 1, 2, 3},
    .guest = {172, 30, 0, 2},
    .gateway = {172, 30, 0, 1},
    .prefix_bits = 24,
    .six = true,
    .prefix6 = {0xFD, 0x54},
    .guest6 = {0xFD, 0x54, [15] = 2},
    .gateway6 = {0xFD, 0x54, [15] = 1},
    .router6 = {0xFE, 0x80, [15] = 1},
    .mtu = 1400,
    .host_name = "winston",
};
