/* USB mass storage with a test that plays the host: commands, data both ways, what does not match, what is malformed.
 */
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_usb_storage.h"

static struct stick *stick;
static struct driver *driver;

static int set_up_as(bool cdrom)
{
    stick = stick_create(cdrom);
    driver = stick->driver;
    stick_start(stick);
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
    stick_destroy(stick);
    return 0;
}

static void a_disk_is_found(void **state)
{
    unsigned residue, left;

    (void)state;
    assert_int_equal(TRB_CODE(driver_control(driver, stick->slot, 0xA1, 0xFE, 0, 0, 1)), 1); /* one unit */
    assert_int_equal(driver_peek(driver, M_DATA, 1), 0);
    assert_int_equal(TRB_CODE(driver_control(driver, stick->slot, 0x80, 6, 0x0200, 0, 32)), 1);
    assert_int_equal(driver_peek(driver, M_DATA + 9, 2), 0x0409);    /* the interface descriptor */
    assert_int_equal(driver_peek(driver, M_DATA + 14, 4), 0x500608); /* mass storage, SCSI, bulk-only */
    STICK_COMMAND(stick, true, 36, 0x12, 0, 0, 0, 36, 0);
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 36, &left), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(residue, 0);
    assert_int_equal(driver_peek(driver, M_BUFFER, 2), 0x8000); /* a disk that can be taken out */
    stick_become_ready(stick);
    STICK_COMMAND(stick, true, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 8, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(be32toh((uint32_t)driver_peek(driver, M_BUFFER, 4)), STICK_BYTES / 512 - 1);
}

/* However the host cuts it. */
static void data_both_ways(void **state)
{
    static const unsigned cuts[] = {65536, 512, 4096, 61440};
    uint8_t *buffer, written[65536];
    unsigned residue;

    (void)state;
    stick_become_ready(stick);
    for (unsigned n = 0; n < ARRAY_SIZE(cuts); n++) {
        STICK_COMMAND(stick, true, 65536, 0x28, 0, 0, 0, 0, 16, 0, 0, 128, 0);
        for (unsigned at = 0; at < 65536; at += cuts[n])
            assert_int_equal(stick_move(stick, IN, M_BUFFER + at, MIN(cuts[n], 65536 - at), NULL), CODE_SUCCESS);
        assert_int_equal(stick_status(stick, &residue), 0);
        assert_int_equal(residue, 0);
        buffer = memory_at(driver->fake->board.memory, M_BUFFER, 65536);
        assert_memory_equal(buffer, stick->content + 16 * 512, 65536);
        memset(buffer, 0, 65536);
    }
    for (unsigned n = 0; n < ARRAY_SIZE(cuts); n++) {
        for (unsigned i = 0; i < sizeof written; i++)
            written[i] = (uint8_t)(i * 31 + n);
        driver_write(driver, M_BUFFER, written, sizeof written);
        STICK_COMMAND(stick, false, 65536, 0x2A, 0, 0, 0, 0, 1, 0, 0, 128, 0);
        for (unsigned at = 0; at < 65536; at += cuts[n])
            assert_int_equal(stick_move(stick, OUT, M_BUFFER + at, MIN(cuts[n], 65536 - at), NULL), CODE_SUCCESS);
        assert_int_equal(stick_status(stick, &residue), 0);
        assert_int_equal(block_pread(stick->block, stick->content, sizeof written, 512), 0);
        assert_memory_equal(stick->content, written, sizeof written);
    }
}

/* Host and device do not agree about the data (6.7): the host learns how much there was, and goes on. */
static void what_does_not_match(void **state)
{
    unsigned residue, left;

    (void)state;
    stick_become_ready(stick);
    STICK_COMMAND(stick, true, 36, 0x00, 0, 0, 0, 0, 0); /* data is expected, there is none */
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 36, NULL), CODE_STALL);
    stick_clear_halt(stick, IN);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(residue, 36);
    STICK_COMMAND(stick, true, 255, 0x12, 0, 0, 0, 36, 0); /* less than expected */
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 255, &left), CODE_SHORT);
    assert_int_equal(left, 255 - 36);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(residue, 255 - 36);
    STICK_COMMAND(stick, true, 1024, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* the same at the border of two transfers */
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 512, NULL), CODE_SUCCESS);
    assert_int_equal(stick_move(stick, IN, M_BUFFER + 512, 512, NULL), CODE_STALL);
    stick_clear_halt(stick, IN);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(residue, 512);
    STICK_COMMAND(stick, false, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* none is expected, there is some */
    assert_int_equal(stick_status(stick, &residue), 2);
    STICK_COMMAND(stick, false, 512, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* the other way */
    assert_int_equal(stick_move(stick, OUT, M_BUFFER, 512, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 2);
    STICK_COMMAND(stick, true, 512, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 512, NULL), CODE_STALL);
    stick_clear_halt(stick, IN);
    assert_int_equal(stick_status(stick, &residue), 2);
    assert_int_equal(residue, 512);
    STICK_COMMAND(stick, true, 512, 0x28, 0, 0xFF, 0, 0, 0, 0, 0, 1, 0); /* beyond the end */
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 512, NULL), CODE_STALL);
    stick_clear_halt(stick, IN);
    assert_int_equal(stick_status(stick, &residue), 1);
    STICK_COMMAND(stick, true, 0x80000000, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0); /* more than any host wants */
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 512, NULL), CODE_STALL);
    stick_clear_halt(stick, IN);
    assert_int_equal(stick_status(stick, &residue), 2);
    STICK_COMMAND(stick, false, 0xFFFFFFFF, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(stick_move(stick, OUT, M_BUFFER, 512, NULL), CODE_STALL);
    stick_clear_halt(stick, OUT);
    assert_int_equal(stick_status(stick, &residue), 2);
    STICK_COMMAND(stick, false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(stick_status(stick, &residue), 0);
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
    stick_become_ready(stick);
    for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
        stick_put_command(stick, ready, 6, false, 0);
        if (bad[n].size)
            driver_poke(driver, M_COMMAND + bad[n].offset, bad[n].size, bad[n].value);
        assert_int_equal(stick_move(stick, OUT, M_COMMAND, bad[n].length, NULL), CODE_STALL);
        assert_int_equal(stick_move(stick, IN, M_STATUS, 13, NULL), CODE_STALL);
        stick_clear_halt(stick, OUT);
        stick_put_command(stick, ready, 6, false, 0);
        assert_int_equal(stick_move(stick, OUT, M_COMMAND, 31, NULL), CODE_STALL);
        assert_int_equal(TRB_CODE(driver_control(driver, stick->slot, 0x21, 0xFF, 0, 0, 0)), 1);
        stick_clear_halt(stick, OUT);
        stick_clear_halt(stick, IN);
        stick_become_ready(stick); /* a reset is an attention */
    }
    /* More data than was announced. */
    STICK_COMMAND(stick, false, 512, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(stick_move(stick, OUT, M_BUFFER, 1024, NULL), CODE_STALL);
    assert_int_equal(TRB_CODE(driver_control(driver, stick->slot, 0x21, 0xFF, 0, 0, 0)), 1);
    stick_clear_halt(stick, OUT);
    stick_become_ready(stick);
    STICK_COMMAND(stick, false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(stick_status(stick, &residue), 0);
}

/* Transfers of nothing, in every phase: they end, and take nothing with them (lessons 4.5, row 25). */
static void empty_transfers(void **state)
{
    uint8_t written[1024];
    unsigned residue;
    uint64_t early;

    (void)state;
    stick_become_ready(stick);
    memset(written, 0xA5, sizeof written);
    driver_write(driver, M_BUFFER, written, sizeof written);
    STICK_COMMAND(stick, false, 1024, 0x2A, 0, 0, 0, 0, 1, 0, 0, 2, 0);
    for (unsigned at = 0; at < 1024; at += 512) {
        assert_int_equal(stick_move(stick, OUT, M_BUFFER, 0, NULL), CODE_SUCCESS);
        assert_int_equal(stick_move(stick, OUT, M_BUFFER + at, 512, NULL), CODE_SUCCESS);
    }
    assert_int_equal(stick_move(stick, IN, M_STATUS, 0, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(residue, 0);
    assert_int_equal(block_pread(stick->block, stick->content, sizeof written, 512), 0);
    assert_memory_equal(stick->content, written, sizeof written);
    memset(memory_at(driver->fake->board.memory, M_BUFFER, 1024), 0, 1024);
    STICK_COMMAND(stick, true, 1024, 0x28, 0, 0, 0, 0, 1, 0, 0, 2, 0);
    for (unsigned at = 0; at < 1024; at += 512) {
        assert_int_equal(stick_move(stick, IN, M_BUFFER, 0, NULL), CODE_SUCCESS);
        assert_int_equal(stick_move(stick, IN, M_BUFFER + at, 512, NULL), CODE_SUCCESS);
    }
    assert_memory_equal(memory_at(driver->fake->board.memory, M_BUFFER, 1024), written, sizeof written);
    assert_int_equal(stick_status(stick, &residue), 0);
    /* Asked for before there is a command: it waits for one, and leaves the status to who wants it. */
    early = stick_begin(stick, IN, M_STATUS, 0);
    STICK_COMMAND(stick, false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(stick_end(stick, early, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    /* No command block is empty, and none comes while a status is owed. */
    STICK_COMMAND(stick, false, 0, 0x00, 0, 0, 0, 0, 0);
    assert_int_equal(stick_move(stick, OUT, M_COMMAND, 0, NULL), CODE_STALL);
    stick_clear_halt(stick, OUT);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(stick_move(stick, OUT, M_COMMAND, 0, NULL), CODE_STALL);
    assert_int_equal(TRB_CODE(driver_control(driver, stick->slot, 0x21, 0xFF, 0, 0, 0)), 1);
    stick_clear_halt(stick, OUT);
    stick_become_ready(stick);
}

/* At every phase; a write that was on its way may have happened, and nothing else. */
static void resets_in_between(void **state)
{
    (void)state;
    stick_become_ready(stick);
    for (unsigned n = 0; n < 12; n++) {
        if (n % 3 == 0)
            STICK_COMMAND(stick, true, 65536, 0x28, 0, 0, 0, 0, 16, 0, 0, 128, 0); /* the unit works now, or soon */
        else
            STICK_COMMAND(stick, false, 65536, 0x2A, 0, 0, 0, 0, 16, 0, 0, 128, 0);
        if (n % 3 == 1)
            assert_int_equal(stick_move(stick, OUT, M_BUFFER, 4096, NULL), CODE_SUCCESS);
        if (n % 3 == 2)
            assert_int_equal(stick_move(stick, OUT, M_BUFFER, 65536, NULL), CODE_SUCCESS);
        assert_int_equal(TRB_CODE(driver_control(driver, stick->slot, 0x21, 0xFF, 0, 0, 0)), 1);
        stick_become_ready(stick);
    }
    /* Taken out and put in while it works. */
    STICK_COMMAND(stick, true, 65536, 0x28, 0, 0, 0, 0, 16, 0, 0, 128, 0);
    struct error error;
    assert_int_equal(xhci_unplug(driver->xhci, "stick", &error), 0);
    driver_wait(driver, 20);
    assert_int_equal(xhci_plug(driver->xhci, "stick", &error), 0);
    driver_settle(driver);
    assert_true(xhci_plugged(driver->xhci, "stick"));
}

static void device_is(unsigned port, uint8_t product, const char *serial)
{
    const uint8_t expected[18] = {18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, product, 0, 0, 1, 1, 2, 3, 1};
    unsigned slot = driver_enumerate(driver, port);

    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x0100, 0, 18)), 1);
    assert_memory_equal(memory_at(driver->fake->board.memory, M_DATA, 18), expected, 18);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 6, 0x0303, 0x0409, 255)), 1);
    assert_int_equal(driver_peek(driver, M_DATA, 2), 0x0300 | (2 + 2 * strlen(serial)));
    for (unsigned n = 0; serial[n]; n++)
        assert_int_equal(driver_peek(driver, M_DATA + 2 + 2 * n, 2), serial[n]);
}

static void devices_are_who_they_are(void)
{
    device_is(1, 0x01, "casement-keyboard");
    device_is(2, 0x02, "casement-tablet");
    device_is(STICK_PORT, 0x03, "S-1");
}

/* Windows remembers devices by vendor, product and serial number, whatever happens to them and to the machine. */
static void identities_stay(void **state)
{
    static const char *const names[] = {"keyboard", "tablet", "stick"};
    struct error error = {""};

    (void)state;
    driver_start(driver, 256, 1);
    devices_are_who_they_are();
    driver_start(driver, 256, 1);
    devices_are_who_they_are();
    board_reset(&driver->fake->board);
    driver_start(driver, 256, 1);
    devices_are_who_they_are();
    for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
        assert_int_equal(xhci_unplug(driver->xhci, names[n], &error), 0);
        driver_settle(driver);
        assert_int_equal(xhci_plug(driver->xhci, names[n], &error), 0);
        driver_settle(driver);
        assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | (n + 1) << 24)), 1);
    }
    devices_are_who_they_are();
}

static void a_disc_is_read_only(void **state)
{
    unsigned residue;

    (void)state;
    STICK_COMMAND(stick, true, 36, 0x12, 0, 0, 0, 36, 0);
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 36, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_int_equal(driver_peek(driver, M_BUFFER, 2), 0x8005);
    stick_become_ready(stick);
    STICK_COMMAND(stick, true, 8192, 0x28, 0, 0, 0, 0, 4, 0, 0, 4, 0);
    assert_int_equal(stick_move(stick, IN, M_BUFFER, 8192, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 0);
    assert_memory_equal(memory_at(driver->fake->board.memory, M_BUFFER, 8192), stick->content + 4 * 2048, 8192);
    STICK_COMMAND(stick, false, 2048, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0);
    assert_int_equal(stick_move(stick, OUT, M_BUFFER, 2048, NULL), CODE_SUCCESS);
    assert_int_equal(stick_status(stick, &residue), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_disk_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_match, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_commands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_transfers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(identities_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resets_in_between, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disc_is_read_only, set_up_cdrom, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
