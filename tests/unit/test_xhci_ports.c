/* Root hub ports as a driver sees them: what they tell, what is switched, what comes and goes (xHCI 4.19, 5.4.8). */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define KEYBOARD_PORT 1
#define USB3_PORT 9
#define SUCCESS 1
#define TRANSACTION_ERROR 4
enum { HALTED = 2 };

static struct driver *start(void)
{
    struct driver *driver = driver_create();

    driver_start(driver, 256, 1);
    driver_settle(driver);
    return driver;
}

/* The events that are there, read and gone. */
static unsigned drain(struct driver *driver)
{
    struct guest_trb event;
    unsigned count = 0;

    while (driver_event(driver, 0, &event))
        count++;
    return count;
}

static void a_device_is_unplugged_and_plugged_in_flight(void **state)
{
    struct driver *driver = start();
    unsigned slot = driver_enumerate(driver, KEYBOARD_PORT);
    struct guest_trb event;
    struct error error = {""};
    struct usb_listing list[4];
    bool failed = false, changed = false;

    (void)state;
    assert_int_equal(xhci_list(driver->xhci, list, 4), 2);
    assert_string_equal(list[0].name, "keyboard");
    assert_string_equal(list[1].name, "tablet");
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_int_equal(xhci_unplug(driver->xhci, "mouse", &error), -ENOENT);
    assert_non_null(strstr(error.text, "mouse"));
    assert_int_equal(xhci_unplug(driver->xhci, "keyboard", &error), 0);
    assert_false(xhci_plugged(driver->xhci, "keyboard"));
    driver_settle(driver);
    while (driver_event(driver, 0, &event)) {
        failed |= TRB_TYPE(event) == T_TRANSFER_EVENT && TRB_CODE(event) == TRANSACTION_ERROR;
        changed |= TRB_TYPE(event) == T_PORT_EVENT && event.parameter == (uint64_t)KEYBOARD_PORT << 24;
    }
    assert_true(failed && changed);
    assert_int_equal(driver_get(driver, R_PORTSC(KEYBOARD_PORT), 4) & 0x20003, 0x20000);
    assert_int_equal(endpoint_state(driver, slot, 3), HALTED);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x80, 0, 0, 0, 2)), TRANSACTION_ERROR);
    driver_put(driver, R_PORTSC(KEYBOARD_PORT), 4, 0x20200);
    assert_int_equal(xhci_plug(driver->xhci, "keyboard", &error), 0);
    assert_true(xhci_plugged(driver->xhci, "keyboard"));
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
    /* The old slot does not reach what is new in the port. */
    driver_put(driver, R_PORTSC(KEYBOARD_PORT), 4, 0x210);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | slot << 24)), SUCCESS);
    slot = driver_enumerate(driver, KEYBOARD_PORT);
    driver_poll(driver, slot, 0);
    driver_ring(driver, slot, 3);
    driver_settle(driver);
    assert_int_equal(input_key(driver->input, KEY_D, true), 0);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(event), SUCCESS);
    driver_destroy(driver);
}

static void port_changes_are_told_and_cleared(void **state)
{
    struct driver *driver = start();
    struct guest_trb event;
    unsigned events = 0;

    (void)state;
    while (driver_event(driver, 0, &event)) {
        assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
        events++;
    }
    assert_int_equal(events, 2);                                   /* what was there at the start */
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x20EE1); /* connected, high speed, powered, polling */
    assert_int_equal(driver_get(driver, R_PORTSC(3), 4), 0x2A0);
    assert_true(driver_get(driver, R_USBSTS, 4) & 0x10);
    driver_put(driver, R_USBSTS, 4, 0x10);
    driver_put(driver, R_PORTSC(1), 4, 0x20200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0xEE1);
    /* Reset: enabled, and a change that lasts until its own bit is written. */
    driver_put(driver, R_PORTSC(1), 4, 0x210);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, 1 << 24);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x200E03);
    driver_put(driver, R_PORTSC(1), 4, 0x5E0200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x200E03);
    driver_put(driver, R_PORTSC(1), 4, 0x200200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0xE03);
    /* To resume what is awake, as Windows does at times, changes nothing. */
    driver_put(driver, R_PORTSC(1), 4, 0x103E0);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0xE03);
    driver_settle(driver);
    assert_false(driver_event(driver, 0, &event));
    /* Suspend and resume as Linux and Windows do. */
    driver_put(driver, R_PORTSC(1), 4, 0x10260);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4) >> 5 & 15, 3);
    driver_put(driver, R_PORTSC(1), 4, 0x103E0);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4) >> 5 & 15, 15);
    driver_put(driver, R_PORTSC(1), 4, 0x10200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), 0x400E03);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    driver_put(driver, R_PORTSC(1), 4, 0x400200);
    /* A one to Enabled disables. */
    driver_put(driver, R_PORTSC(1), 4, 0x202);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4) & 2, 0);
    assert_int_equal(drain(driver), 0);
    driver_destroy(driver);
}

/* The time-outs of a USB 3 link are kept; what power management USB 2 has there is not offered (xHCI 5.4.9). */
static void power_management_is_kept_for_usb3_alone(void **state)
{
    struct driver *driver = start();
    unsigned usb2 = R_PORTSC(KEYBOARD_PORT) + 4, usb3 = R_PORTSC(USB3_PORT) + 4;

    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(driver_get(driver, usb2, 4) | driver_get(driver, usb3, 4), 0);
        driver_put(driver, usb2, 4, UINT32_MAX);
        driver_put(driver, usb3, 4, UINT32_MAX);
        assert_int_equal(driver_get(driver, usb2, 4), 0);
        assert_int_equal(driver_get(driver, usb3, 4), 0x1FFFF);
        driver_put(driver, usb3, 4, 0x7F02);
        assert_int_equal(driver_get(driver, usb3, 4), 0x7F02);
        driver_start(driver, 256, 1);
    }
    driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_unplugged_and_plugged_in_flight),
        cmocka_unit_test(port_changes_are_told_and_cleared),
        cmocka_unit_test(power_management_is_kept_for_usb3_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
