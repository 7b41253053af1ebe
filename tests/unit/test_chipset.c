/* The parts of a PC on fixed ports, as firmware and systems drive them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "casement/bytes.h"
#include "casement/chipset.h"
#include "casement/input.h"
#include "cmocka_all.h"
#include "fake.h"

static uint64_t in(struct fake *fake, uint64_t port, unsigned size)
{
    return fake_read(fake, BUS_PORT, port, size);
}

static void out(struct fake *fake, uint64_t port, unsigned size, uint64_t value)
{
    fake_write(fake, BUS_PORT, port, size, value);
}

/* ACPI fixed hardware (platform contract 10). */

static void power_off_is_asked_for_by_slp_en_alone(void **state)
{
    struct fake *fake = fake_create(0);
    struct acpi_pm *pm;

    (void)state;
    assert_int_equal(acpi_pm_create(&fake->board, &pm, NULL), 0);
    acpi_pm_decode(pm, 0x600, true);
    out(fake, 0x604, 2, 0x0001);
    assert_int_equal(fake->power_offs, 0);
    out(fake, 0x604, 2, 0x3C01); /* another sleep type */
    assert_int_equal(fake->power_offs, 0);
    out(fake, 0x604, 2, 0x2001);
    assert_int_equal(fake->power_offs, 1);
    /* The port stays where firmware knows it, wherever the block goes. */
    acpi_pm_decode(pm, 0xB000, true);
    out(fake, 0x604, 2, 0x2001);
    assert_int_equal(fake->power_offs, 2);
    fake_destroy(fake);
}

static void the_power_button_raises_sci_until_it_is_acknowledged(void **state)
{
    struct fake *fake = fake_create(0);
    struct acpi_pm *pm;

    (void)state;
    assert_int_equal(acpi_pm_create(&fake->board, &pm, NULL), 0);
    acpi_pm_decode(pm, 0x600, true);
    acpi_pm_power_button(pm);
    assert_false(fake->lines[9]); /* nobody listens yet */
    out(fake, 0x602, 2, 0x0100);
    out(fake, 0x604, 2, 0x0001);
    assert_true(fake->lines[9]);
    assert_int_equal(in(fake, 0x600, 2), 0x0100);
    out(fake, 0x600, 2, 0x0100);
    assert_false(fake->lines[9]);
    assert_int_equal(in(fake, 0x600, 2), 0);
    fake_destroy(fake);
}

static void the_timer_moves_and_has_24_bits(void **state)
{
    struct fake *fake = fake_create(0);
    struct acpi_pm *pm;
    uint64_t first, last;

    (void)state;
    assert_int_equal(acpi_pm_create(&fake->board, &pm, NULL), 0);
    acpi_pm_decode(pm, 0x600, true);
    first = last = in(fake, 0x608, 4);
    for (unsigned n = 0; n < 10000000 && last == first; n++)
        last = in(fake, 0x608, 4);
    assert_true(last != first);
    assert_true(last < 1 << 24);
    for (unsigned offset = 0; offset < 0x84; offset++)
        for (unsigned size = 1; size <= 4; size *= 2) {
            in(fake, 0x600 + offset, size);
            if (offset != 4 && offset != 5 && offset + size <= 4)
                out(fake, 0x600 + offset, size, UINT32_MAX);
        }
    fake_destroy(fake);
}

static void resets_have_three_doors(void **state)
{
    struct fake *fake = fake_create(0);

    (void)state;
    assert_int_equal(reset_control_create(&fake->board, NULL), 0);
    assert_int_equal(i8042_create(&fake->board, NULL, NULL), 0);
    out(fake, 0xCF9, 1, 0x02);
    assert_int_equal(fake->resets, 0);
    out(fake, 0xCF9, 1, 0x06);
    assert_int_equal(fake->resets, 1);
    out(fake, 0x92, 1, 0x02);
    assert_int_equal(fake->resets, 1);
    out(fake, 0x92, 1, 0x03);
    out(fake, 0x92, 1, 0x03); /* the edge counts */
    assert_int_equal(fake->resets, 2);
    out(fake, 0x64, 1, 0xFF);
    assert_int_equal(fake->resets, 2);
    out(fake, 0x64, 1, 0xFE);
    assert_int_equal(fake->resets, 3);
    assert_string_equal(fake->power_source, "keyboard controller");
    fake_destroy(fake);
}

/* i8042 (platform contract 6.1): the sequence that firmware sends. */

static void command(struct fake *fake, uint8_t value)
{
    out(fake, 0x64, 1, value);
}

static uint64_t data(struct fake *fake)
{
    assert_true(in(fake, 0x64, 1) & 1);
    return in(fake, 0x60, 1);
}

static void firmware_starts_the_keyboard(void **state)
{
    struct fake *fake = fake_create(0);

    (void)state;
    assert_int_equal(i8042_create(&fake->board, NULL, NULL), 0);
    command(fake, 0xAD);
    command(fake, 0xA7);
    command(fake, 0xAA);
    assert_int_equal(data(fake), 0x55);
    command(fake, 0x60);
    out(fake, 0x60, 1, 0x67);
    command(fake, 0x20);
    assert_int_equal(data(fake), 0x67);
    out(fake, 0x60, 1, 0xF4);
    assert_int_equal(data(fake), 0xFA);
    command(fake, 0xAB);
    assert_int_equal(data(fake), 0x00);
    out(fake, 0x60, 1, 0xFF);
    assert_int_equal(data(fake), 0xFA);
    assert_int_equal(data(fake), 0xAA);
    out(fake, 0x60, 1, 0xED);
    assert_int_equal(data(fake), 0xFA);
    out(fake, 0x60, 1, 0x00);
    assert_int_equal(data(fake), 0xFA);
    assert_false(in(fake, 0x64, 1) & 1);
    /* The mouse's identity, before and after the knock that shows its wheel. */
    static const uint8_t knock[] = {0xF3, 200, 0xF3, 100, 0xF3, 80};
    command(fake, 0xA8);
    for (size_t n = 0; n < sizeof knock; n++) {
        command(fake, 0xD4);
        out(fake, 0x60, 1, knock[n]);
        assert_true(in(fake, 0x64, 1) & 0x20);
        assert_int_equal(data(fake), 0xFA);
    }
    command(fake, 0xD4);
    out(fake, 0x60, 1, 0xF2);
    assert_int_equal(data(fake), 0xFA);
    assert_int_equal(data(fake), 3);
    fake_destroy(fake);
}

static void every_command_and_byte_is_survived(void **state)
{
    struct fake *fake = fake_create(0);

    (void)state;
    assert_int_equal(i8042_create(&fake->board, NULL, NULL), 0);
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++) {
            command(fake, (uint8_t)first);
            out(fake, 0x60, 1, second);
            in(fake, 0x60, 1);
        }
    board_reset(&fake->board);
    command(fake, 0xAA);
    assert_int_equal(data(fake), 0x55);
    fake_destroy(fake);
}

static void typed_text_becomes_scan_codes(void **state)
{
    static const uint8_t wanted[] = {0x2A, 0x23, 0xA3, 0xAA, 0x17, 0x97, 0x1C, 0x9C}; /* H i Enter, set 1 */
    struct fake *fake = fake_create(0);
    struct input *input = input_create(fake->board.loop);
    struct error error = {""};
    size_t got = 0;

    (void)state;
    assert_int_equal(i8042_create(&fake->board, input, NULL), 0);
    assert_int_equal(loop_start(fake->board.loop), 0);
    assert_int_equal(input_type(input, "Hi\n", NULL, &error), 0);
    for (int64_t end = clock_ns() + INT64_C(60000000000); got < sizeof wanted && clock_ns() < end;)
        if (in(fake, 0x64, 1) & 1)
            assert_int_equal(in(fake, 0x60, 1), wanted[got++]);
    assert_int_equal(got, sizeof wanted);
    assert_int_equal(input_type(input, "gr\xC3\xBC\xC3\x9F", "us", &error), -EINVAL);
    assert_non_null(strstr(error.text, "\xC3\xBC"));
    assert_int_equal(input_chord(input, "ctrl-alt-delte", &error), -EINVAL);
    assert_non_null(strstr(error.text, "delete"));
    loop_stop(fake->board.loop);
    input_destroy(input);
    fake_destroy(fake);
}

/* 16550A. */

static char said[64];
static void listen(void *opaque, const uint8_t *bytes, size_t length)
{
    (void)opaque;
    strncat(said, (const char *)bytes, length);
}

/* lessons 3.5, row 16. */
static void the_empty_transmitter_is_told_once(void **state)
{
    const struct serial_options options = {.base = 0x3F8, .irq = 4, .output = listen};
    struct fake *fake = fake_create(0);
    struct serial *serial;

    (void)state;
    said[0] = 0;
    assert_int_equal(serial_create(&fake->board, &options, &serial, NULL), 0);
    out(fake, 0x3FC, 1, 0x08);
    out(fake, 0x3F9, 1, 0x02);
    assert_true(fake->lines[4]);
    assert_int_equal(in(fake, 0x3FA, 1) & 0x0F, 0x02);
    assert_false(fake->lines[4]);
    assert_int_equal(in(fake, 0x3FA, 1) & 0x0F, 0x01);
    out(fake, 0x3F8, 1, 'h');
    assert_true(fake->lines[4]);
    assert_string_equal(said, "h");
    fake_destroy(fake);
}

static void input_waits_for_the_guest(void **state)
{
    const struct serial_options options = {.base = 0x3F8, .irq = 4, .output = listen};
    struct fake *fake = fake_create(0);
    struct serial *serial;
    uint8_t many[5000];

    (void)state;
    assert_int_equal(serial_create(&fake->board, &options, &serial, NULL), 0);
    memset(many, 'x', sizeof many);
    many[0] = 'a';
    assert_int_equal(serial_input(serial, many, sizeof many), 4096);
    assert_int_equal(serial_input(serial, many, 1), 0);
    assert_true(in(fake, 0x3FD, 1) & 1);
    assert_int_equal(in(fake, 0x3F8, 1), 'a');
    assert_int_equal(in(fake, 0x3F8, 1), 'x');
    out(fake, 0x3FF, 1, 0x5A); /* the scratch register proves the chip */
    assert_int_equal(in(fake, 0x3FF, 1), 0x5A);
    /* Loopback: what is sent comes back and does not go out. */
    out(fake, 0x3FA, 1, 0x07);
    out(fake, 0x3FC, 1, 0x10);
    said[0] = 0;
    out(fake, 0x3F8, 1, 'L');
    assert_int_equal(in(fake, 0x3F8, 1), 'L');
    assert_string_equal(said, "");
    fake_destroy(fake);
}

/* MC146818. */

static uint64_t cmos(struct fake *fake, unsigned index)
{
    out(fake, 0x70, 1, 0x80 | index);
    return in(fake, 0x71, 1);
}

static void cmos_put(struct fake *fake, unsigned index, unsigned value)
{
    out(fake, 0x70, 1, index);
    out(fake, 0x71, 1, value);
}

/* lessons 3.5, row 26: while SET stands, the clock does not run over what is written. */
static void the_clock_is_set_and_goes_on(void **state)
{
    const struct rtc_options options = {.low_memory = 2 * GiB, .high_memory = 4 * GiB};
    struct fake *fake = fake_create(0);

    (void)state;
    assert_int_equal(rtc_create(&fake->board, &options, NULL), 0);
    assert_int_equal(cmos(fake, 0x0D), 0x80);
    assert_false(cmos(fake, 0x0A) & 0x80);
    assert_int_equal(cmos(fake, 0x34) | cmos(fake, 0x35) << 8, (2 * GiB - 16 * MiB) / (64 * KiB));
    assert_int_equal(cmos(fake, 0x5B) | cmos(fake, 0x5C) << 8 | cmos(fake, 0x5D) << 16, 4 * GiB / (64 * KiB));
    cmos_put(fake, 0x0B, 0x82);
    cmos_put(fake, 0x00, 0x00);
    cmos_put(fake, 0x02, 0x30);
    cmos_put(fake, 0x04, 0x12);
    cmos_put(fake, 0x07, 0x24);
    cmos_put(fake, 0x08, 0x12);
    cmos_put(fake, 0x09, 0x31);
    cmos_put(fake, 0x32, 0x20);
    assert_int_equal(cmos(fake, 0x02), 0x30);
    cmos_put(fake, 0x0B, 0x02);
    assert_int_equal(cmos(fake, 0x04), 0x12);
    assert_int_equal(cmos(fake, 0x02), 0x30);
    assert_int_equal(cmos(fake, 0x07), 0x24);
    assert_int_equal(cmos(fake, 0x09), 0x31);
    assert_int_equal(cmos(fake, 0x32), 0x20);
    /* Binary, twelve hours: half past midday. */
    cmos_put(fake, 0x0B, 0x04);
    assert_int_equal(cmos(fake, 0x04), 0x8C);
    assert_int_equal(cmos(fake, 0x02), 30);
    cmos_put(fake, 0x0F, 0x0A);
    board_reset(&fake->board);
    assert_int_equal(cmos(fake, 0x0F), 0x0A);
    fake_destroy(fake);
}

static uint64_t minutes_of_day(struct fake *fake)
{
    uint64_t hour, minute;

    /* Read between two minutes they would be an hour apart. */
    do {
        hour = cmos(fake, 0x04);
        minute = cmos(fake, 0x02);
    } while (hour != cmos(fake, 0x04) || minute != cmos(fake, 0x02));
    return (hour >> 4) * 600 + (hour & 15) * 60 + (minute >> 4) * 10 + (minute & 15);
}

/* Minutes that the clock is before the universal time in that zone, modulo a day. */
static uint64_t minutes_ahead(bool local_time, const char *zone)
{
    const struct rtc_options options = {.local_time = local_time};
    struct fake *fake = fake_create(0);
    uint64_t shown, ahead;
    time_t now;

    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
    assert_int_equal(rtc_create(&fake->board, &options, NULL), 0);
    do {
        now = time(NULL);
        shown = minutes_of_day(fake);
        ahead = (shown + 1440 - (uint64_t)(now / 60 % 1440)) % 1440;
    } while (now / 60 != time(NULL) / 60);
    fake_destroy(fake);
    return ahead;
}

/* TZ of the container: what Windows reads on a clock with local time. */
static void the_clock_follows_the_zone(void **state)
{
    (void)state;
    assert_int_equal(minutes_ahead(true, "UTC0"), 0);
    assert_int_equal(minutes_ahead(true, "EAST-5:30"), 330);
    assert_int_equal(minutes_ahead(true, "WEST8"), 960);
    assert_int_equal(minutes_ahead(false, "EAST-5:30"), 0);
    unsetenv("TZ");
    tzset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_off_is_asked_for_by_slp_en_alone),
        cmocka_unit_test(the_power_button_raises_sci_until_it_is_acknowledged),
        cmocka_unit_test(the_timer_moves_and_has_24_bits),
        cmocka_unit_test(resets_have_three_doors),
        cmocka_unit_test(firmware_starts_the_keyboard),
        cmocka_unit_test(every_command_and_byte_is_survived),
        cmocka_unit_test(typed_text_becomes_scan_codes),
        cmocka_unit_test(the_empty_transmitter_is_told_once),
        cmocka_unit_test(input_waits_for_the_guest),
        cmocka_unit_test(the_clock_is_set_and_goes_on),
        cmocka_unit_test(the_clock_follows_the_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
