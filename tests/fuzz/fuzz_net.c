/*
 * Frames of a guest that the gateway answers by itself, and DNS messages: nothing is read or written outside of them,
 * and an answer keeps its bound. The first byte of the input says which.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../vmm/network/answer.h"
#include "../../vmm/network/dns_message.h"
#include "../unit/fake_lease.h"

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_net: %s\n", what);
        abort();
    }
}

/* Around the message, so that the fuzzer need not find out lengths and sums. */
static size_t wrap(uint8_t *frame, uint8_t kind, const uint8_t *message, size_t length)
{
    static const uint8_t head4[38] = {[12] = 8, 0, 0x45, [22] = 64, 17, [34] = 0, 68, 0, 67};
    static const uint8_t head6[58] = {[12] = 0x86, 0xDD, 0x60, [20] = 17, 64, [54] = 2, 34, 2, 35};
    size_t head = kind ? sizeof head6 : sizeof head4;
    size_t udp = length + 8;

    memcpy(frame, kind ? head6 : head4, head);
    frame[head] = (uint8_t)(udp >> 8);
    frame[head + 1] = (uint8_t)udp;
    frame[head + 2] = frame[head + 3] = 0;
    frame[kind ? 18 : 16] = (uint8_t)((udp + (kind ? 0 : 20)) >> 8);
    frame[kind ? 19 : 17] = (uint8_t)(udp + (kind ? 0 : 20));
    if (length)
        memcpy(frame + head + 4, message, length);
    return head + 4 + length;
}

static void answer(const uint8_t *frame, size_t length)
{
    uint8_t *copy = malloc(length + 1), to[NET_ANSWER_MAX];
    int count;

    must(copy, "memory");
    if (length)
        memcpy(copy + 1, frame, length);
    count = answer_frame(&fake_lease, copy + 1, length, to);
    must(count >= -1 && count <= NET_ANSWER_MAX, "an answer without a bound");
    free(copy);
}

static void look_up(const uint8_t *bytes, size_t length)
{
    size_t half = length / 2;
    uint8_t *query = malloc(half + 1);

    must(query, "memory");
    if (half)
        memcpy(query + 1, bytes, half);
    dns_answers(bytes + half, length - half, query + 1, half);
    if (dns_is_query(query + 1, half))
        must(dns_make_failure(query + 1, half) <= half, "a failure that is longer than its question");
    free(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t frame[8192];

    if (size < 1 || size > 4096)
        return 0;
    switch (*data & 3) {
    case 0:
        answer(data + 1, size - 1);
        break;
    case 1:
    case 2:
        answer(frame, wrap(frame, (*data & 3) - 1, data + 1, size - 1));
        break;
    default:
        look_up(data + 1, size - 1);
    }
    return 0;
}
