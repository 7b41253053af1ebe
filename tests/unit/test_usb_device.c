/* A device that takes its time, as storage and pass-through do: transfers that stay pending, end on another thread, are
 * taken back; buffers of many TRBs; what a device has to bring, and no more; the USB 3 port that it is in. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define PORT 9 /* the first that is USB 3 */
#define BULK_OUT 4
#define BULK_IN 5
#define PAGE 4096U
#define PAGES 200U

static const uint8_t device_descriptor[] = {18, 1, 0, 3, 0, 0, 0, 9, 0x09, 0x12, 3, 0, 0, 1, 0, 0, 0, 1};
static const uint8_t configuration[] = {9, 2, 9, 0, 0, 1, 0, 0x80, 50};
static const struct usb_descriptors descriptors = {.device = device_descriptor, .configuration = configuration};

struct slow_device {
    struct usb_device usb;
    struct usb_transfer *held[2]; /* OUT, IN */
    unsigned cancelled, stopped, resets;
};

static struct slow_device *of(struct usb_device *device)
{
    return container_of(device, struct slow_device, usb);
}

static void device_reset(struct usb_device *device)
{
    of(device)->resets++;
}

static enum usb_status device_control(struct usb_device *device, struct usb_transfer *transfer)
{
    (void)device, (void)transfer;
    return USB_STALL;
}

static enum usb_status device_data(struct usb_device *device, struct usb_transfer *transfer)
{
    unsigned in = transfer->endpoint & USB_IN ? 1 : 0;

    assert_null(of(device)->held[in]);
    of(device)->held[in] = transfer;
    return USB_PENDING;
}

static void device_cancel(struct usb_device *device, struct usb_transfer *transfer)
{
    unsigned in = transfer->endpoint & USB_IN ? 1 : 0;

    assert_ptr_equal(of(device)->held[in], transfer);
    of(device)->held[in] = NULL;
    of(device)->cancelled++;
}

static void device_stopped(struct usb_device *device, uint8_t endpoint)
{
    (void)endpoint;
    of(device)->stopped++;
}

static void device_destroy(struct usb_device *device)
{
    assert_null(of(device)->held[0]);
    assert_null(of(device)->held[1]);
    free(of(device));
}

static const struct usb_device_ops ops = {device_reset,  device_control, device_data,
                                          device_cancel, device_stopped, device_destroy};

/* The device, addressed, with a bulk endpoint each way; the slot. */
static unsigned configure(struct driver *driver)
{
    unsigned slot;

    assert_int_equal(driver_get(driver, R_PORTSC(PORT), 4) & 0x3FE3, 0x1203); /* a USB 3 link trains by itself */
    slot = driver_enumerate(driver, PORT);
    for (unsigned index = BULK_OUT; index <= BULK_IN; index++) {
        ring_init(driver, &driver->rings[slot][index], M_RING(slot, index));
        driver_input_endpoint(driver, slot, index, index == BULK_OUT ? 2 : 6, 1024);
    }
    driver_poke(driver, M_INPUT + 4, 4, 1U | 1U << BULK_OUT | 1U << BULK_IN);
    assert_int_equal(TRB_CODE(driver_command(driver, M_INPUT, TYPE(T_CONFIGURE) | slot << 24)), 1);
    assert_int_equal(driver_peek(driver, M_DEVICE(slot), 4) >> 27, BULK_IN);
    return slot;
}

static struct driver *start(struct slow_device **result, unsigned *slot)
{
    struct driver *driver = driver_create();
    struct slow_device *device = calloc(1, sizeof *device);

    assert_non_null(device);
    device->usb = (struct usb_device){.name = "slow", .ops = &ops, .descriptors = &descriptors, .speed = USB_SUPER};
    assert_int_equal(usb_device_add(driver->xhci, &device->usb), 0);
    driver_start(driver, 1024, 1);
    driver_settle(driver);
    *slot = configure(driver);
    *result = device;
    return driver;
}

/* A TD of pages, each a TRB; the place of the last. */
static uint64_t add_pages(struct driver *driver, unsigned slot, unsigned index, unsigned pages)
{
    uint64_t at = 0;

    for (unsigned n = 0; n < pages; n++)
        at = ring_add(driver, &driver->rings[slot][index], M_DATA + n * PAGE, PAGE,
                      TYPE(T_NORMAL) | (n < pages - 1 ? C_CHAIN | C_SHORT : C_INTERRUPT));
    driver_ring(driver, slot, index);
    driver_settle(driver);
    return at;
}

static void *complete(void *opaque)
{
    usb_complete(opaque, USB_DONE);
    return NULL;
}

static void many_pages_go_out_and_come_back(void **state)
{
    struct slow_device *device;
    unsigned slot;
    struct driver *driver = start(&device, &slot);
    uint8_t *sent = malloc(PAGES * PAGE), *seen = malloc(PAGES * PAGE);
    struct guest_trb event;
    pthread_t thread;
    uint64_t last;

    (void)state;
    for (unsigned n = 0; n < PAGES * PAGE; n++)
        sent[n] = (uint8_t)(n * 2654435761U >> 13);
    driver_write(driver, M_DATA, sent, PAGES * PAGE);
    add_pages(driver, slot, BULK_OUT, 100);
    device->held[0]->actual = 100 * PAGE;
    usb_complete(device->held[0], USB_DONE);
    device->held[0] = NULL;
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    last = add_pages(driver, slot, BULK_OUT, PAGES); /* over the ring's link */
    assert_non_null(device->held[0]);
    assert_int_equal(device->held[0]->length, PAGES * PAGE);
    assert_int_equal(usb_transfer_get(device->held[0], seen, 1000), 1000);
    assert_int_equal(usb_transfer_get(device->held[0], seen + 1000, PAGES * PAGE), PAGES * PAGE - 1000);
    assert_memory_equal(sent, seen, PAGES * PAGE);
    assert_false(driver_event(driver, 0, &event));
    assert_int_equal(pthread_create(&thread, NULL, complete, device->held[0]), 0);
    device->held[0] = NULL;
    pthread_join(thread, NULL);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, last);
    assert_int_equal(event.status, 1 << 24);
    /* The other way, and short of it: one event where it ended, one at the end. */
    memset(seen, 0, PAGES * PAGE);
    driver_write(driver, M_DATA, seen, PAGES * PAGE);
    last = add_pages(driver, slot, BULK_IN, PAGES);
    assert_int_equal(usb_transfer_put(device->held[1], sent, 10 * PAGE + 5), 10 * PAGE + 5);
    usb_complete(device->held[1], USB_DONE);
    device->held[1] = NULL;
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, M_RING(slot, BULK_IN) + 160);
    assert_int_equal(event.status, 13 << 24 | (PAGE - 5));
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, last);
    assert_int_equal(event.status, 13 << 24 | PAGE);
    memory_read(driver->fake->board.memory, M_DATA, seen, PAGES * PAGE);
    assert_memory_equal(sent, seen, 10 * PAGE + 5);
    assert_int_equal(seen[10 * PAGE + 5], 0);
    free(sent);
    free(seen);
    driver_destroy(driver);
}

static void what_is_pending_is_taken_back(void **state)
{
    enum { STOP, CLEAR_RUN, CONTROLLER_RESET, SLOT_DISABLED, UNPLUGGED, PORT_RESET, MACHINE_RESET, WAYS };

    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct slow_device *device;
        unsigned slot;
        struct driver *driver = start(&device, &slot);
        struct error error = {""};
        struct guest_trb event;
        bool failed = false;

        add_pages(driver, slot, BULK_OUT, 3);
        add_pages(driver, slot, BULK_IN, 3);
        assert_true(device->held[0] && device->held[1]);
        if (way == STOP)
            for (unsigned index = BULK_OUT; index <= BULK_IN; index++)
                driver_command(driver, 0, TYPE(T_STOP_ENDPOINT) | slot << 24 | index << 16);
        else if (way == CLEAR_RUN)
            driver_put(driver, R_USBCMD, 4, 0);
        else if (way == CONTROLLER_RESET)
            driver_put(driver, R_USBCMD, 4, 2);
        else if (way == SLOT_DISABLED)
            driver_command(driver, 0, TYPE(T_DISABLE_SLOT) | slot << 24);
        else if (way == UNPLUGGED)
            assert_int_equal(xhci_unplug(driver->xhci, "slow", &error), 0);
        else if (way == PORT_RESET)
            driver_put(driver, R_PORTSC(PORT), 4, 0x210);
        else
            board_reset(&driver->fake->board);
        assert_int_equal(device->cancelled, 2);
        assert_true(!device->held[0] && !device->held[1]);
        driver_settle(driver);
        while (way == UNPLUGGED && driver_event(driver, 0, &event))
            failed |= TRB_TYPE(event) == T_TRANSFER_EVENT && TRB_CODE(event) == 4;
        assert_true(failed == (way == UNPLUGGED));
        if (way == CLEAR_RUN) { /* and is asked for again */
            driver_put(driver, R_USBCMD, 4, 5);
            driver_settle(driver);
            assert_true(device->held[0] && device->held[1]);
        }
        driver_destroy(driver);
    }
}

/* The loop has not looked at the empty port yet when the guest resets the controller: nothing is told of the time
 * before. */
static void a_reset_right_after_unplugging(void **state)
{
    struct slow_device *device;
    unsigned slot;
    struct driver *driver = start(&device, &slot);
    struct error error = {""};
    struct guest_trb event;

    (void)state;
    add_pages(driver, slot, BULK_OUT, 3);
    assert_non_null(device->held[0]);
    assert_int_equal(xhci_unplug(driver->xhci, "slow", &error), 0);
    driver_start(driver, 1024, 1);
    assert_null(device->held[0]);
    assert_int_equal(device->cancelled, 1);
    driver_settle(driver);
    while (driver_event(driver, 0, &event)) { /* the other ports have devices */
        assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
        assert_int_not_equal(event.parameter, (uint64_t)PORT << 24);
    }
    assert_int_equal(driver_get(driver, R_PORTSC(PORT), 4), 0x2A0);
    assert_int_equal(xhci_plug(driver->xhci, "slow", &error), 0);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
    assert_int_equal(event.parameter, (uint64_t)PORT << 24);
    assert_false(driver_event(driver, 0, &event));
    slot = configure(driver);
    add_pages(driver, slot, BULK_OUT, 3);
    assert_non_null(device->held[0]);
    driver_destroy(driver);
}

/* As after a hot reset, and a change bit of its own; a USB 2 port has none of it (xHCI 4.19.5.1). */
static void a_usb3_port_is_reset_warm(void **state)
{
    struct slow_device *device;
    unsigned slot, resets;
    struct driver *driver = start(&device, &slot);
    struct guest_trb event;
    uint64_t keyboard = driver_get(driver, R_PORTSC(1), 4);

    (void)state;
    resets = device->resets;
    assert_int_equal(driver_get(driver, R_PORTSC(PORT), 4), 0x1203);
    driver_put(driver, R_PORTSC(PORT), 4, 0x80000200);
    assert_int_equal(driver_get(driver, R_PORTSC(PORT), 4), 0x281203); /* PRC, WRC; enabled, in U0 */
    assert_int_equal(device->resets, resets + 1);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_PORT_EVENT);
    assert_int_equal(event.parameter, (uint64_t)PORT << 24);
    driver_put(driver, R_PORTSC(PORT), 4, 0x80200);
    assert_int_equal(driver_get(driver, R_PORTSC(PORT), 4), 0x201203);
    driver_put(driver, R_PORTSC(PORT), 4, 0x200200);
    assert_int_equal(driver_get(driver, R_PORTSC(PORT), 4), 0x1203);
    driver_put(driver, R_PORTSC(PORT), 4, 0x210);
    assert_int_equal(driver_get(driver, R_PORTSC(PORT), 4), 0x201203);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    driver_put(driver, R_PORTSC(1), 4, 0x80000200);
    assert_int_equal(driver_get(driver, R_PORTSC(1), 4), keyboard);
    driver_settle(driver);
    assert_false(driver_event(driver, 0, &event));
    driver_destroy(driver);
}

/* It had ended when the guest stopped the endpoint: that is told, and not that it was stopped. */
static void what_has_ended_is_told_before_the_stop(void **state)
{
    struct slow_device *device;
    unsigned slot;
    struct driver *driver = start(&device, &slot);
    struct guest_trb event;
    uint64_t at = add_pages(driver, slot, BULK_OUT, 1);

    (void)state;
    device->held[0]->actual = PAGE;
    usb_complete(device->held[0], USB_DONE);
    device->held[0] = NULL;
    ring_add(driver, &driver->commands, 0, 0, TYPE(T_STOP_ENDPOINT) | slot << 24 | BULK_OUT << 16);
    driver_ring(driver, 0, 0);
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, at);
    assert_int_equal(event.status, 1 << 24);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_TYPE(event), T_COMMAND_EVENT);
    assert_int_equal(TRB_CODE(event), 1);
    assert_int_equal(device->cancelled, 0);
    driver_destroy(driver);
}

static void a_stall_halts_until_it_is_cleared(void **state)
{
    struct slow_device *device;
    unsigned slot;
    struct driver *driver = start(&device, &slot);
    struct guest_trb event;
    uint64_t at = add_pages(driver, slot, BULK_IN, 1);

    (void)state;
    usb_complete(device->held[1], USB_STALL);
    device->held[1] = NULL;
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(event.parameter, at);
    assert_int_equal(event.status, 6 << 24 | PAGE);
    assert_int_equal(endpoint_state(driver, slot, BULK_IN), 2);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | BULK_IN << 16)), 1);
    driver_ring(driver, slot, BULK_IN); /* the device's own halt is another one */
    driver_settle(driver);
    assert_true(driver_event(driver, 0, &event));
    assert_int_equal(TRB_CODE(event), 6);
    assert_int_equal(TRB_CODE(driver_control(driver, slot, 0x02, 1, 0, 0x82, 0)), 1);
    assert_int_equal(TRB_CODE(driver_command(driver, 0, TYPE(T_RESET_ENDPOINT) | slot << 24 | BULK_IN << 16)), 1);
    driver_ring(driver, slot, BULK_IN);
    driver_settle(driver);
    assert_non_null(device->held[1]);
    driver_destroy(driver);
}

static void ports_are_given_by_speed_and_run_out(void **state)
{
    struct driver *driver = driver_create();
    struct usb_device *devices[20];
    unsigned count = 0;

    (void)state;
    for (; count < 20; count++) {
        struct slow_device *device = calloc(1, sizeof *device);

        assert_non_null(device);
        devices[count] = &device->usb;
        device->usb = (struct usb_device){
            .name = "slow", .ops = &ops, .descriptors = &descriptors, .speed = count % 2 ? USB_SUPER : USB_FULL};
        if (usb_device_add(driver->xhci, &device->usb) < 0) {
            free(device);
            break;
        }
        assert_int_equal(devices[count]->port, count % 2 ? 9 + count / 2 : 3 + count / 2);
    }
    assert_int_equal(count, 12); /* eight ports of USB 2, two of them taken before */
    driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_pages_go_out_and_come_back),        cmocka_unit_test(what_is_pending_is_taken_back),
        cmocka_unit_test(a_reset_right_after_unplugging),         cmocka_unit_test(a_usb3_port_is_reset_warm),
        cmocka_unit_test(what_has_ended_is_told_before_the_stop), cmocka_unit_test(a_stall_halts_until_it_is_cleared),
        cmocka_unit_test(ports_are_given_by_speed_and_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
