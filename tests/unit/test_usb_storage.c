/* USB mass storage with a test that plays the host: commands, data both ways, what does not match, what is malformed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define PORT 3
#define IN 3 /* device context indices */
#define OUT 4
#define PACKET 512
#define IMAGE_SIZE (4 * MiB)
#define M_COMMAND M_DATA
#define M_STATUS (M_DATA + 0x1000)
#define M_BUFFER (M_DATA + 0x10000)
#define CODE_SUCCESS 1
#define CODE_STALL 6
#define CODE_SHORT 13

static struct driver *driver;
static struct block *block;
static unsigned slot, tag;
static uint8_t *content;

static int set_up_as(bool cdrom)
{
    char path[] = "/tmp/casement-usb-storage-XXXXXX";
    struct block_options options = {.path = path, .read_only = cdrom, .cache = BLOCK_CACHE_HOST};
    struct usb_storage_options storage = {.name = "stick", .serial = "S-1", .cdrom = cdrom, .removable = true};
    struct error error = {""};
    int fd = mkstemp(path);
    unsigned port;

    content = malloc(IMAGE_SIZE);
    assert_true(fd >= 0 && content);
    for (size_t n = 0; n < IMAGE_SIZE; n++)
        content[n] = (uint8_t)(n >> 9 ^ n * 13);
    assert_int_equal(write(fd, content, IMAGE_SIZE), IMAGE_SIZE);
    close(fd);
    assert_int_equal(block_open(&options, &block, &error), 0);
    unlink(path);
    driver = driver_create();
    storage.medium = block;
    assert_int_equal(usb_storage_create(&driver->fake->board, driver->xhci, &storage, &port, &error), 0);
    assert_int_equal(port, PORT);
    driver_start(driver, 256, 1);
    slot = driver_enumerate(driver, PORT);
    driver_poke(driver, M_INPUT, 4, 0);
    memset(memory_at(driver->fake->board.memory, M_INPUT, 33 * 32), 0, 33 * 32);
    driver_poke(driver, M_INPUT, 4, 1U << IN);
    driver_poke(driver, M_INPUT + 4, 4, 1);
    driver_poke(driver, M_INPUT + 32, 4, 4U << 27 | 3U << 20);
    driver_input_endpoint(driver, slot, IN, 6, PACKET);
    driver_input_endpoint(driver, slot, OUT, 2, PACKET);
    ring_init(driver, &driver->rings[slot][IN], M_RING(slot, IN));
    ring_init(driver, &driver->rings[slot][OUT], M_RING(slot, OUT));
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE) | slot << 24)), 1);
    tag = 100;
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_as(false);
}

static int set_up_cdrom(void **state)
{
    (void)state;
    return set_up_as(true);
}

static int tear_down(void **state)
{
    (void)state;
    driver_destroy(driver);
    block_close(block);
    free(content);
    return 0;
}

static bool answered(uint64_t trb, struct guest_trb *event)
{
    while (driver_event(driver, 0, event))
        if (TRB_TYPE(*event) == T_TRANSFER_EVENT && event->parameter == trb)
            return true;
    return false;
}

/* One transfer; the completion code, and what was not moved in *left. */
static unsigned move(unsigned index, uint64_t at, unsigned length, unsigned *left)
{
    uint64_t trb = ring_add(driver, &driver->rings[slot][index], at, length, TYPE(T_NORMAL) | C_SHORT | C_INTERRUPT);
    struct guest_trb event;

    driver_ring(driver, slot, index);
    for (unsigned n = 0; n < 5000; n++) {
        driver_wait(driver, n ? 1 : 0);
        if (answered(trb, &event)) {
            if (left)
                *left = event.status & 0xFFFFFF;
            return TRB_CODE(event);
        }
    }
    fail_msg("a transfer of %u bytes on endpoint %u is not answered", length, index);
    return 0;
}

/* What a host does about a stalled endpoint. */
static void clear_halt(unsigned index)
{
    struct guest_ring *ring = &driver->rings[slot][index];

    assert_int_equal(endpoint_state(driver, slot, index), 2);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | index << 16)), 1);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x02, 1, 0, index == IN ? 0x81 : 0x02, 0)), 1);
    assert_int_equal(TRB_CODE(driver_command(driver, (ring->base + ring->index * 16) | ring->cycle,
                                             TYPE(T_SET_DEQUEUE) | slot << 24 | index << 16)),
                     1);
}

static void put_command(const uint8_t *cdb, unsigned cdb_length, bool in, unsigned length)
{
    uint8_t wrapper[31] = {0};

    put_le32(wrapper, 0x43425355);
    put_le32(wrapper + 4, ++tag);
    put_le32(wrapper + 8, length);
    wrapper[12] = in ? 0x80 : 0;
    wrapper[14] = (uint8_t)cdb_length;
    memcpy(wrapper + 15, cdb, cdb_length);
    driver_write(driver, M_COMMAND, wrapper, sizeof wrapper);
}

static void command(const uint8_t *cdb, unsigned cdb_length, bool in, unsigned length)
{
    put_command(cdb, cdb_length, in, length);
    assert_int_equal(move(OUT, M_COMMAND, 31, NULL), CODE_SUCCESS);
}

/* The status block: its status, and its residue in *residue. */
static unsigned status(unsigned *residue)
{
    unsigned left;
    unsigned code = move(IN, M_STATUS, 13, &left);

    assert_int_equal(code, CODE_SUCCESS);
    assert_int_equal(left, 0);
    assert_int_equal(driver_peek(driver, M_STATUS, 4), 0x53425355);
    assert_int_equal(driver_peek(driver, M_STATUS + 4, 4), tag);
    *residue = (unsigned)driver_peek(driver, M_STATUS + 8, 4);
    return (unsigned)driver_peek(driver, M_STATUS + 12, 1);
}

#define COMMAND(in, length, ...) command((const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}), in, length)

/* The attention that a unit has after power-on, taken as hosts do. */
static void become_ready(void)
{
    unsigned residue;

    COMMAND(false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(status(&residue), 1);
    COMMAND(true, 18, 0x03, 0, 0, 0, 18, 0);
    assert_int_equal(move(IN, M_BUFFER, 18, NULL), CODE_SUCCESS);
    assert_int_equal(driver_peek(driver, M_BUFFER + 2, 1) & 0xF, 6);
    assert_int_equal(status(&residue), 0);
    COMMAND(false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(status(&residue), 0);
}

static void a_disk_is_found(void **state)
{
    unsigned residue, left;

    (void)state;
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0xA1, 0xFE, 0, 0, 1)), 1); /* one unit */
    assert_int_equal(driver_peek(driver, M_DATA, 1), 0);
    COMMAND(true, 36, 0x12, 0, 0, 0, 36, 0);
    assert_int_equal(move(IN, M_BUFFER, 36, &left), CODE_SUCCESS);
    assert_int_equal(status(&residue), 0);
    assert_int_equal(residue, 0);
    assert_int_equal(driver_peek(driver, M_BUFFER, 2), 0x8000); /* a disk that can be taken out */
    become_ready();
    COMMAND(true, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(move(IN, M_BUFFER, 8, NULL), CODE_SUCCESS);
    assert_int_equal(status(&residue), 0);
    assert_int_equal(be32toh((uint32_t)driver_peek(driver, M_BUFFER, 4)), IMAGE_SIZE / 512 - 1);
}

/* However the host cuts it. */
static void data_both_ways(void **state)
{
    static const unsigned cuts[] = {65536, 512, 4096, 61440};
    uint8_t *buffer, written[65536];
    unsigned residue;

    (void)state;
    become_ready();
    for (unsigned n = 0; n < ARRAY_SIZE(cuts); n++) {
        COMMAND(true, 65536, 0x28, 0, 0, 0, 0, 16, 0, 0, 128, 0);
        for (unsigned at = 0; at < 65536; at += cuts[n])
            assert_int_equal(move(IN, M_BUFFER + at, MIN(cuts[n], 65536 - at), NULL), CODE_SUCCESS);
        assert_int_equal(status(&residue), 0);
        assert_int_equal(residue, 0);
        buffer = memory_at(driver->fake->board.memory, M_BUFFER, 65536);
        assert_memory_equal(buffer, content + 16 * 512, 65536);
        memset(buffer, 0, 65536);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(cuts); n++) {
        for (unsigned i = 0; i < sizeof written; i++)
            written[i] = (uint8_t)(i * 31 + n);
        driver_write(driver, M_BUFFER, written, sizeof written);
        COMMAND(false, 65536, 0x2A, 0, 0, 0, 0, 1, 0, 0, 128, 0);
        for (unsigned at = 0; at < 65536; at += cuts[n])
            assert_int_equal(move(OUT, M_BUFFER + at, MIN(cuts[n], 65536 - at), NULL), CODE_SUCCESS);
        assert_int_equal(status(&residue), 0);
        assert_int_equal(block_pread(block, content, sizeof written, 512), 0);
        assert_memory_equal(content, written, sizeof written);
    }
}

/* Host and device do not agree about the data (6.7): the host learns how much there was, and goes on. */
static void what_does_not_match(void **state)
{
    unsigned residue, left;

    (void)state;
    become_ready();
    COMMAND(true, 36, 0x00, 0, 0, 0, 0, 0); /* data is expected, there is none */
    assert_int_equal(move(IN, M_BUFFER, 36, NULL), CODE_STALL);
    clear_halt(IN);
    assert_int_equal(status(&residue), 0);
    assert_int_equal(residue, 36);
    COMMAND(true, 255, 0x12, 0, 0, 0, 36, 0); /* less than expected */
    assert_int_equal(move(IN, M_BUFFER, 255, &left), CODE_SHORT);
    assert_int_equal(left, 255 - 36);
    assert_int_equal(status(&residue), 0);
    assert_int_equal(residue, 255 - 36);
    COMMAND(true, 1024, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* the same at the border of two transfers */
    assert_int_equal(move(IN, M_BUFFER, 512, NULL), CODE_SUCCESS);
    assert_int_equal(move(IN, M_BUFFER + 512, 512, NULL), CODE_STALL);
    clear_halt(IN);
    assert_int_equal(status(&residue), 0);
    assert_int_equal(residue, 512);
    COMMAND(false, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* none is expected, there is some */
    assert_int_equal(status(&residue), 2);
    COMMAND(false, 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* the other way */
    assert_int_equal(move(OUT, M_BUFFER, 512, NULL), CODE_SUCCESS);
    assert_int_equal(status(&residue), 2);
    COMMAND(true, 512, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(move(IN, M_BUFFER, 512, NULL), CODE_STALL);
    clear_halt(IN);
    assert_int_equal(status(&residue), 2);
    assert_int_equal(residue, 512);
    COMMAND(true, 512, 0x28, 0, 0xFF, 0, 0, 0, 0, 0, 1, 0); /* beyond the end */
    assert_int_equal(move(IN, M_BUFFER, 512, NULL), CODE_STALL);
    clear_halt(IN);
    assert_int_equal(status(&residue), 1);
    COMMAND(true, 0x80000000, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* more than any host wants */
    assert_int_equal(move(IN, M_BUFFER, 512, NULL), CODE_STALL);
    clear_halt(IN);
    assert_int_equal(status(&residue), 2);
    COMMAND(false, 0xFFFFFFFF, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(move(OUT, M_BUFFER, 512, NULL), CODE_STALL);
    clear_halt(OUT);
    assert_int_equal(status(&residue), 2);
    COMMAND(false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(status(&residue), 0);
}

/* What is no command block stops both endpoints until the host resets the device (6.6.1). */
static void malformed_commands(void **state)
{
    static const struct {
        unsigned offset, size;
        uint64_t value;
        unsigned length;
    } bad[] = {{0, 4, 0, 31}, {13, 1, 1, 31}, {14, 1, 0, 31}, {14, 1, 17, 31},
               {0, 0, 0, 30}, {0, 0, 0, 32},  {0, 0, 0, 512}};
    static const uint8_t ready[6] = {0};
    unsigned residue;

    (void)state;
    become_ready();
    for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
        put_command(ready, 6, false, 0);
        if (bad[n].size)
            driver_poke(driver, M_COMMAND + bad[n].offset, bad[n].size, bad[n].value);
        assert_int_equal(move(OUT, M_COMMAND, bad[n].length, NULL), CODE_STALL);
        assert_int_equal(move(IN, M_STATUS, 13, NULL), CODE_STALL);
        clear_halt(OUT);
        put_command(ready, 6, false, 0);
        assert_int_equal(move(OUT, M_COMMAND, 31, NULL), CODE_STALL);
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 0xFF, 0, 0, 0)), 1);
        clear_halt(OUT);
        clear_halt(IN);
        become_ready(); /* a reset is an attention */
    }
    /* More data than was announced. */
    COMMAND(false, 512, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(move(OUT, M_BUFFER, 1024, NULL), CODE_STALL);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 0xFF, 0, 0, 0)), 1);
    clear_halt(OUT);
    become_ready();
    COMMAND(false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(status(&residue), 0);
}

/* At every phase; a write that was on its way may have happened, and nothing else. */
static void resets_in_between(void **state)
{
    (void)state;
    become_ready();
    for (unsigned n = 0; n < 12; n++) {
        if (n % 3 == 0)
            COMMAND(true, 65536, 0x28, 0, 0, 0, 0, 16, 0, 0, 128, 0); /* the unit works now, or soon */
        else
            COMMAND(false, 65536, 0x2A, 0, 0, 0, 0, 16, 0, 0, 128, 0);
        if (n % 3 == 1)
            assert_int_equal(move(OUT, M_BUFFER, 4096, NULL), CODE_SUCCESS);
        if (n % 3 == 2)
            assert_int_equal(move(OUT, M_BUFFER, 65536, NULL), CODE_SUCCESS);
        assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x21, 0xFF, 0, 0, 0)), 1);
        become_ready();
    }
    /* Taken out and put in while it works. */
    COMMAND(true, 65536, 0x28, 0, 0, 0, 0, 16, 0, 0, 128, 0);
    struct error error;
    assert_int_equal(xhci_unplug(driver->xhci, "stick", &error), 0);
    driver_wait(driver, 20);
    assert_int_equal(xhci_plug(driver->xhci, "stick", &error), 0);
    driver_settle(driver);
    assert_true(xhci_plugged(driver->xhci, "stick"));
}

static void a_disc_is_read_only(void **state)
{
    unsigned residue;

    (void)state;
    COMMAND(true, 36, 0x12, 0, 0, 0, 36, 0);
    assert_int_equal(move(IN, M_BUFFER, 36, NULL), CODE_SUCCESS);
    assert_int_equal(status(&residue), 0);
    assert_int_equal(driver_peek(driver, M_BUFFER, 2), 0x8005);
    become_ready();
    COMMAND(true, 8192, 0x28, 0, 0, 0, 0, 4, 0, 0, 4, 0);
    assert_int_equal(move(IN, M_BUFFER, 8192, NULL), CODE_SUCCESS);
    assert_int_equal(status(&residue), 0);
    assert_memory_equal(memory_at(driver->fake->board.memory, M_BUFFER, 8192), content + 4 * 2048, 8192);
    COMMAND(false, 2048, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(move(OUT, M_BUFFER, 2048, NULL), CODE_SUCCESS);
    assert_int_equal(status(&residue), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_disk_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_match, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_commands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resets_in_between, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disc_is_read_only, set_up_cdrom, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
