/* See fake_usb_storage.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_usb_storage.h"

#define PACKET 512

struct stick *stick_create(bool cdrom)
{
    char path[] = "/tmp/casement-usb-storage-XXXXXX";
    struct block_options options = {.path = path, .read_only = cdrom, .cache = BLOCK_CACHE_HOST};
    struct usb_storage_options storage = {.name = "stick", .serial = "S-1", .cdrom = cdrom, .removable = true};
    struct stick *stick = calloc(1, sizeof *stick);
    struct error error = {""};
    int fd = mkstemp(path);
    unsigned port;

    assert_non_null(stick);
    stick->content = malloc(STICK_BYTES);
    stick->tag = 100;
    assert_true(fd >= 0 && stick->content);
    for (size_t n = 0; n < STICK_BYTES; n++)
        stick->content[n] = (uint8_t)(n >> 9 ^ n * 13);
    assert_int_equal(write(fd, stick->content, STICK_BYTES), STICK_BYTES);
    close(fd);
    assert_int_equal(block_open(&options, &stick->block, &error), 0);
    unlink(path);
    stick->driver = driver_create();
    storage.medium = stick->block;
    assert_int_equal(usb_storage_create(&stick->driver->fake->board, stick->driver->xhci, &storage, &port, &error), 0);
    assert_int_equal(port, STICK_PORT);
    return stick;
}

void stick_destroy(struct stick *stick)
{
    driver_destroy(stick->driver);
    block_close(stick->block);
    free(stick->content);
    free(stick);
}

void stick_start(struct stick *stick)
{
    struct driver *driver = stick->driver;
    unsigned slot;

    driver_start(driver, 256, 1);
    stick->slot = slot = driver_enumerate(driver, STICK_PORT);
    memset(memory_at(driver->fake->board.memory, M_INPUT, 33 * 32), 0, 33 * 32);
    driver_poke(driver, M_INPUT, 4, 1U << IN);
    driver_poke(driver, M_INPUT + 4, 4, 1);
    driver_poke(driver, M_INPUT + 32, 4, 4U << 27 | 3U << 20);
    driver_input_endpoint(driver, slot, IN, 6, PACKET);
    driver_input_endpoint(driver, slot, OUT, 2, PACKET);
    ring_init(driver, &driver->rings[slot][IN], M_RING(slot, IN));
    ring_init(driver, &driver->rings[slot][OUT], M_RING(slot, OUT));
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE) | slot << 24)), 1);
}

static bool answered(struct driver *driver, uint64_t trb, struct guest_trb *event)
{
    while (driver_event(driver, 0, event))
        if (TRB_TYPE(*event) == T_TRANSFER_EVENT && event->parameter == trb)
            return true;
    return false;
}

uint64_t stick_begin(struct stick *stick, unsigned index, uint64_t at, unsigned length)
{
    uint64_t trb = ring_add(stick->driver, &stick->driver->rings[stick->slot][index], at, length,
                            TYPE(T_NORMAL) | C_SHORT | C_INTERRUPT);

    driver_ring(stick->driver, stick->slot, index);
    return trb;
}

unsigned stick_end(struct stick *stick, uint64_t trb, unsigned *left)
{
    struct guest_trb event;

    for (unsigned n = 0; n < 5000; n++) {
        driver_wait(stick->driver, n ? 1 : 0);
        if (answered(stick->driver, trb, &event)) {
            if (left)
                *left = event.status & 0xFFFFFF;
            return TRB_CODE(event);
        }
    }
    fail_msg("the transfer at 0x%llx is not answered", (unsigned long long)trb);
    return 0;
}

unsigned stick_move(struct stick *stick, unsigned index, uint64_t at, unsigned length, unsigned *left)
{
    return stick_end(stick, stick_begin(stick, index, at, length), left);
}

void stick_clear_halt(struct stick *stick, unsigned index)
{
    struct driver *driver = stick->driver;
    unsigned slot = stick->slot;
    struct guest_ring *ring = &driver->rings[slot][index];

    assert_int_equal(endpoint_state(driver, slot, index), 2);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | index << 16)), 1);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x02, 1, 0, index == IN ? 0x81 : 0x02, 0)), 1);
    assert_int_equal(TRB_CODE(driver_command(driver, (ring->base + ring->index * 16) | ring->cycle,
                                             TYPE(T_SET_DEQUEUE) | slot << 24 | index << 16)),
                     1);
}

void stick_put_command(struct stick *stick, const uint8_t *cdb, unsigned cdb_length, bool in, unsigned length)
{
    uint8_t wrapper[31] = {0};

    put_le32(wrapper, 0x43425355);
    put_le32(wrapper + 4, ++stick->tag);
    put_le32(wrapper + 8, length);
    wrapper[12] = in ? 0x80 : 0;
    wrapper[14] = (uint8_t)cdb_length;
    memcpy(wrapper + 15, cdb, cdb_length);
    driver_write(stick->driver, M_COMMAND, wrapper, sizeof wrapper);
}

void stick_command(struct stick *stick, const uint8_t *cdb, unsigned cdb_length, bool in, unsigned length)
{
    stick_put_command(stick, cdb, cdb_length, in, length);
    assert_int_equal(stick_move(stick, OUT, M_COMMAND, 31, NULL), CODE_SUCCESS);
}

unsigned stick_status(struct stick *stick, unsigned *residue)
{
    struct driver *driver = stick->driver;
    unsigned left;

    assert_int_equal(stick_move(stick, IN, M_STATUS, 13, &left), CODE_SUCCESS);
    assert_int_equal(left, 0);
    assert_int_equal(driver_peek(driver, M_STATUS, 4), 0x53425355);
    assert_int_equal(driver_peek(driver, M_STATUS + 4, 4), stick->tag);
    *residue = (unsigned)driver_peek(driver, M_STATUS + 8, 4);
    return (unsigned)driver_peek(driver, M_STATUS + 12, 1);
}

void stick_become_ready(struct stick *stick)
{
    unsigned residue;

    STICK_COMMAND(stick, false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(stick_status(stick, &residue), 1);
    STICK_COMMAND(stick, true, 18, 0x03, 0, 0, 0, 18, 0);
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 18, NULL), CODE_SUCCESS);
    assert_int_equal(driver_peek(stick->driver, M_BUFFER + 2, 1) & 0xF, 6);
    assert_int_equal(stick_status(stick, &residue), 0);
    STICK_COMMAND(stick, false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(stick_status(stick, &residue), 0);
}
