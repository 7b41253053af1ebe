/* Pins that sources share, and messages that are masked and routed. */
#include <errno.h>

#include "cmocka_all.h"
#include "fake.h"

static void sources_of_a_pin_are_ored(void **state)
{
    struct fake *fake = fake_create(0);
    struct irq_line first, second;

    (void)state;
    irq_line_init(fake->board.irq, &first, 16);
    irq_line_init(fake->board.irq, &second, 16);
    irq_line_set(&first, true);
    irq_line_set(&second, true);
    irq_line_set(&second, true);
    assert_true(fake->lines[16]);
    irq_line_set(&first, false);
    assert_true(fake->lines[16]);
    irq_line_set(&second, false);
    assert_false(fake->lines[16]);
    irq_line_set(&second, false);
    assert_int_equal(fake->edges[16], 1);
    irq_line_pulse(&first);
    assert_int_equal(fake->edges[16], 2);
    assert_false(fake->lines[16]);
    fake_destroy(fake);
}

static void a_source_that_moves_takes_its_level_along(void **state)
{
    struct fake *fake = fake_create(0);
    struct irq_line line;

    (void)state;
    irq_line_init(fake->board.irq, &line, IRQ_NOWHERE);
    irq_line_set(&line, true);
    irq_line_move(&line, 10);
    assert_true(fake->lines[10]);
    irq_line_move(&line, 11);
    assert_false(fake->lines[10]);
    assert_true(fake->lines[11]);
    irq_line_move(&line, IRQ_NOWHERE);
    assert_false(fake->lines[11]);
    fake_destroy(fake);
}

static void a_message_fires_its_eventfd(void **state)
{
    struct fake *fake = fake_create(0);
    struct msi msi;

    (void)state;
    assert_int_equal(msi_init(fake->board.irq, &msi), 0);
    assert_int_equal(msi_route(&msi, 0xFEE00000, 0x41), 0);
    msi_fire(&msi);
    msi_fire(&msi);
    assert_int_equal(fake_signals(msi.fd), 2);
    /* What was pending when it is masked does not fire later. */
    msi_fire(&msi);
    msi_mask(&msi);
    assert_int_equal(fake_signals(msi.fd), 0);
    assert_int_equal(msi_route(&msi, 0xFEE00000, 0x42), 0);
    msi_destroy(&msi);
    fake_destroy(fake);
}

static void interrupt_numbers_run_out_politely(void **state)
{
    enum { MANY = 1100 };
    static struct msi msis[MANY];
    struct fake *fake = fake_create(0);
    unsigned made = 0;
    int result = 0;

    (void)state;
    while (made < MANY && (result = msi_init(fake->board.irq, &msis[made])) == 0)
        made++;
    assert_true(result == -ENOSPC || result == -EMFILE);
    assert_true(made > 100);
    for (unsigned n = 0; n < made; n++)
        msi_destroy(&msis[n]);
    assert_int_equal(msi_init(fake->board.irq, &msis[0]), 0);
    msi_destroy(&msis[0]);
    fake_destroy(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_of_a_pin_are_ored),
        cmocka_unit_test(a_source_that_moves_takes_its_level_along),
        cmocka_unit_test(a_message_fires_its_eventfd),
        cmocka_unit_test(interrupt_numbers_run_out_politely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
