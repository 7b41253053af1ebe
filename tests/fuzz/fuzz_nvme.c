/*
 * Fuzzing the NVMe controller: the input is a driver's deeds, mostly sound ones: commands from templates with fields
 * that the input changes, doorbells, registers, guest memory. Beside what the sanitizers find, the controller has to
 * come up again after a reset, whatever came before, and to have lost no request.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/cmocka_all.h"
#include "../unit/fake_nvme.h"
#include "casement/bytes.h"

#define DEEDS 400U
#define ENTRIES_MAX 128U
#define PAIRS 2U
#define RAM (64 * MiB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
    /* Of the controller's lives: */
    unsigned entries;
    bool messages;
};

static uint8_t byte(struct input *input)
{
    if (!input->left)
        return 0;
    input->left--;
    return *input->at++;
}

static uint32_t word(struct input *input)
{
    uint32_t value = 0;

    for (unsigned n = 0; n < 4; n++)
        value = value << 8 | byte(input);
    return value;
}

/* Somewhere that matters, or nowhere. */
static uint64_t place(struct input *input)
{
    static const uint64_t places[] = {M_DATA,          M_DATA + 0x1000, M_DATA + 0x10000, M_LISTS,
                                      M_LISTS + 0xFF8, M_SHADOWS,       M_INDEXES,        M_SQ(1),
                                      M_CQ(1),         RAM - 4096,      RAM - 8,          UINT64_MAX - 4095};
    uint8_t choice = byte(input);
    uint64_t at = places[choice % ARRAY_SIZE(places)];

    if (choice >= 0xF0)
        return (uint64_t)word(input) << 32 | word(input);
    return choice >= 0xC0 ? at + byte(input) * 4U : at;
}

static void admin_command(struct host *host, struct input *input)
{
    static const uint8_t opcodes[] = {A_CREATE_CQ,    A_CREATE_SQ,    A_DELETE_SQ,       A_DELETE_CQ,
                                      A_IDENTIFY,     A_GET_LOG,      A_ABORT,           A_EVENT,
                                      A_SET_FEATURES, A_GET_FEATURES, A_DOORBELL_BUFFERS};
    uint8_t choice = byte(input);
    unsigned queue = byte(input) % 6;
    struct host_command command = {.opcode = opcodes[choice % ARRAY_SIZE(opcodes)], .nsid = choice >= 0x80 ? 1 : 0};

    switch (command.opcode) {
    case A_CREATE_CQ:
    case A_CREATE_SQ:
        command.prp1 = command.opcode == A_CREATE_CQ ? M_CQ(queue) : M_SQ(queue);
        command.dw10 = (input->entries - 1) << 16 | queue;
        command.dw11 = (byte(input) % 6U) << 16 | 3;
        break;
    case A_DOORBELL_BUFFERS:
        command.prp1 = M_SHADOWS;
        command.prp2 = M_INDEXES;
        break;
    case A_GET_LOG:
        command.nsid = UINT32_MAX;
        command.prp1 = place(input);
        command.prp2 = place(input);
        command.dw10 = (uint32_t)byte(input) << 16 | (byte(input) & 0x87U);
        command.dw12 = byte(input) & ~3U;
        break;
    default:
        command.prp1 = place(input);
        command.prp2 = place(input);
        command.dw10 = byte(input) & 0x1F;
        command.dw11 = byte(input);
    }
    if (choice % 13 == 0) {
        command.dw10 = word(input);
        command.dw11 = word(input);
        command.flags = byte(input);
    }
    host_submit(host, 0, &command);
}

static void io_command(struct host *host, struct input *input, unsigned queue)
{
    static const uint8_t opcodes[] = {N_READ, N_WRITE, N_READ, N_FLUSH, N_WRITE_ZEROES, N_DATASET, N_WRITE};
    uint8_t choice = byte(input), length = byte(input);
    struct host_command command =
        host_transfer(opcodes[choice % ARRAY_SIZE(opcodes)], word(input) % (HOST_IMAGE / 512 + 16),
                      1U + (length < 0xE0 ? length % 32 : length * 5U), place(input), place(input));

    if (command.opcode == N_DATASET) {
        command.dw10 = length;
        command.dw11 = choice & 0x80 ? 0 : 4;
    }
    if (choice % 17 == 0) {
        command.opcode = byte(input);
        command.flags = byte(input);
        command.nsid = word(input);
        command.dw10 = word(input);
        command.dw11 = word(input);
        command.dw12 = word(input);
    }
    host_submit(host, queue, &command);
}

/* Lists, ranges, shadow doorbells, queues: any word of them. */
static void poke(struct host *host, struct input *input)
{
    uint64_t at = place(input), value = place(input);

    if (at < RAM - 8)
        host_poke(host, at, 8, value);
    else
        host_poke(host, M_LISTS + (byte(input) & ~7U), 8, value);
}

static void live(struct host *host, const struct input *input)
{
    host_start(host, input->entries, input->messages);
    host_io_queues(host, PAIRS, input->entries);
}

static void configure(struct host *host, struct input *input)
{
    static const uint32_t values[] = {0, CC_ON, CC_ON | 1U << 14, CC_ON | 2U << 14, 1U << 14, CC_ON | 1U << 7};
    uint8_t choice = byte(input);

    if (choice >= 0xF0) { /* admin queues of another place and size, or none */
        host_put(host, R_AQA, 4, word(input));
        host_put(host, choice & 1 ? R_ASQ : R_ACQ, 8, place(input));
    }
    host_put(host, R_CC, 4, choice == 0xFF ? word(input) : values[choice % ARRAY_SIZE(values)]);
}

static void take(struct host *host, unsigned queue)
{
    struct host_completion completion;

    for (unsigned n = 0; n < ENTRIES_MAX && host_completion(host, queue, &completion); n++)
        continue;
}

static void deed(struct host *host, struct input *input)
{
    uint8_t choice = byte(input);
    unsigned queue = (choice >> 4) % (PAIRS + 1);

    switch (choice & 15) {
    case 0:
    case 1:
        admin_command(host, input);
        host_ring(host, 0);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        io_command(host, input, 1 + queue % PAIRS);
        if (choice & 1)
            host_ring(host, 1 + queue % PAIRS);
        break;
    case 6:
        host_ring(host, queue);
        break;
    case 7:
        host_put(host, R_TAIL(byte(input) % 6), 4, byte(input) % (input->entries + 2));
        break;
    case 8:
    case 9:
        host_settle(host);
        take(host, queue);
        break;
    case 10:
        host_put(host, R_HEAD(byte(input) % 6), 4, byte(input) % (input->entries + 2));
        break;
    case 11:
        configure(host, input);
        break;
    case 12:
        live(host, input);
        break;
    case 13:
        host_put(host, (unsigned)word(input) % 0x3FF9, 1U << byte(input) % 4, word(input));
        break;
    case 14:
        poke(host, input);
        break;
    default: /* shadow doorbells: the place in memory, then the doorbell */
        host_poke(host, M_SHADOWS + (byte(input) % 6U) * 4, 4, byte(input) % (input->entries + 2));
        host_put(host, R_TAIL(1 + queue % PAIRS), 4, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct host *host;
    struct input input = {.at = data, .left = size};
    uint8_t kind = byte(&input);

    input.entries = kind & 7 ? 1U << (kind & 7) : 16; /* 2 to 128 */
    input.messages = kind & 8;
    if (!host)
        host = host_create(&(struct host_setup){.folder = "/dev/shm"});
    board_reset(&host->fake->board);
    memset(host_memory(host, M_LISTS, 0x300000), 0, 0x300000);
    memset(host_memory(host, M_DATA, 0x20000), 0, 0x20000);
    live(host, &input);
    for (unsigned n = 0; n < DEEDS && input.left; n++)
        deed(host, &input);
    host_settle(host);
    live(host, &input);
    if (host_unused_requests(host) != 512 || host_get(host, R_CSTS, 4) != 1)
        abort();
    return 0;
}
