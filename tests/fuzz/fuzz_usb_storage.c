/*
 * Fuzzing of USB mass storage, for libFuzzer: the input is a sequence of what a host does, mostly what it may do:
 * command blocks, data and status of any length, in any order, resets, unplugging. After each, the stick must serve an
 * honest host.
 */
#include "../unit/cmocka_all.h"
#include "../unit/fake_usb_storage.h"
#include "casement/log.h"
#include "input.h"

#define DEEDS 60U
#define SECTORS (STICK_BYTES / 512)

static const uint8_t commands[] = {0x00, 0x03, 0x12, 0x1A, 0x1B, 0x1E, 0x23, 0x25, 0x28, 0x2A, 0x2E,
                                   0x2F, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4A, 0x51, 0x5A, 0x88, 0x8A,
                                   0x8F, 0x91, 0x93, 0x9E, 0xA0, 0xA8, 0xAA, 0xBE, 0x15, 0x55};
static struct stick *stick;

static void send_command(struct input *input)
{
    unsigned kind = (unsigned)take(input, 1), flags = (unsigned)take(input, 1);
    uint32_t length = (uint32_t)take_number(input, 0x4000);
    uint8_t cdb[16] = {kind < 0xF0 ? commands[kind % ARRAY_SIZE(commands)] : (uint8_t)take(input, 1)};
    bool wide = cdb[0] >= 0x80 && cdb[0] < 0xA0;

    cdb[1] = flags & 1 ? (uint8_t)take(input, 1) : 0;
    if (wide) {
        put_be64(cdb + 2, take_number(input, SECTORS));
        put_be32(cdb + 10, (uint32_t)take_number(input, 64));
    } else {
        put_be32(cdb + 2, (uint32_t)take_number(input, SECTORS));
        for (unsigned n = 6; n < 10; n++)
            cdb[n] = n == 8 || flags & 2 ? (uint8_t)take(input, 1) : 0;
    }
    stick_put_command(stick, cdb, flags & 4 ? 1 + flags % 16 : wide ? 16 : 10, flags & 8, length);
    if (flags >= 0xF8)
        driver_poke(stick->driver, M_COMMAND + flags % 8 * 4, 4, take(input, 4));
    stick_begin(stick, OUT, M_COMMAND, flags & 0x70 || flags < 0x80 ? 31 : (unsigned)take(input, 1));
}

static void recover(unsigned index)
{
    struct driver *driver = stick->driver;
    struct guest_ring *ring = &driver->rings[stick->slot][index];

    driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | stick->slot << 24 | index << 16);
    driver_control_begin(driver, stick->slot, 0x02, 1, 0, index == IN ? 0x81 : 0x02, 0);
    driver_command(driver, (ring->base + ring->index * 16) | ring->cycle,
                   TYPE(T_SET_DEQUEUE) | stick->slot << 24 | index << 16);
}

static void deed(struct input *input)
{
    unsigned kind = (unsigned)take(input, 1), index = kind & 1 ? IN : OUT;
    struct driver *driver = stick->driver;
    struct guest_trb event;

    switch (kind >> 1 & 15) {
    case 0: /* the reset of the transport, and what else a control transfer may ask */
        if (kind & 0xE0)
            driver_control_begin(driver, stick->slot, 0x21, 0xFF, 0, 0, 0);
        else
            driver_control_begin(driver, stick->slot, (uint8_t)take(input, 1), (uint8_t)take(input, 1),
                                 (uint16_t)take(input, 2), (uint16_t)take(input, 2), (uint16_t)take(input, 1));
        break;
    case 1:
    case 2:
        recover(index);
        break;
    case 3:
        driver_command(driver, 0, TYPE(T_STOP_ENDPOINT) | stick->slot << 24 | index << 16);
        break;
    case 4:
        xhci_unplug(driver->xhci, "stick", &(struct error){""});
        driver_settle(driver);
        xhci_plug(driver->xhci, "stick", &(struct error){""});
        break;
    case 5:
    case 6:
        stick_begin(stick, IN, M_STATUS, 13);
        break;
    case 7:
    case 8:
    case 9:
        stick_begin(stick, index, M_BUFFER + take(input, 1), (unsigned)take_number(input, 0x4000) & 0x1FFFF);
        break;
    case 10:
        driver_wait(driver, 1);
        break;
    default:
        send_command(input);
    }
    driver_settle(driver);
    while (driver_event(driver, 0, &event))
        ;
}

/* What was ejected stays out, over resets too, until somebody loads it; the first command is told of the reset instead.
 */
static void load(void)
{
    unsigned residue;

    stick_start(stick);
    for (unsigned n = 0; n < 2; n++) {
        STICK_COMMAND(stick, false, 0, 0x1B, 0, 0, 0, 3, 0);
        assert_int_equal(stick_status(stick, &residue), !n);
    }
}

static void serves(void)
{
    unsigned residue;

    stick_start(stick);
    stick_become_ready(stick);
    STICK_COMMAND(stick, false, 512, 0x2A, 0, 0, 0, 0, 5, 0, 0, 1, 0);
    driver_poke(stick->driver, M_BUFFER, 8, 0x0123456789ABCDEF);
    assert_int_equal(stick_move(stick, OUT, M_BUFFER, 512, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    driver_poke(stick->driver, M_BUFFER, 8, 0);
    STICK_COMMAND(stick, true, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0);
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 512, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(driver_peek(stick->driver, M_BUFFER, 8), 0x0123456789ABCDEF);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    if (!stick) {
        log_set_level(LOG_ERROR);
        stick = stick_create(false);
    }
    stick_start(stick);
    for (unsigned n = 0; n < DEEDS && input.left; n++)
        deed(&input);
    board_reset(&stick->driver->fake->board);
    load();
    board_reset(&stick->driver->fake->board);
    serves();
    return 0;
}
