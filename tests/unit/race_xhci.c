/*
 * Threads that meet in the xHCI controller: two vCPUs on its registers, whoever types and points, whoever plugs, and
 * the loop that works on the rings. The rings are made before and lead to themselves, so that nobody else touches them.
 */
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_xhci.h"

#define ROUNDS 10000

static _Atomic unsigned ended;

static void *be_a_processor(void *opaque)
{
    struct driver *driver = opaque;

    for (unsigned n = 0; n < ROUNDS; n++) {
        for (unsigned slot = 0; slot < 4; slot++)
            driver_put(driver, R_DOORBELL(slot), 4, slot ? 1 + n % 3 : 0);
        driver_put(driver, R_INTERRUPTER(0) + R_ERDP, 8, (M_EVENTS + n % 256 * 16) | 8);
        driver_get(driver, R_MFINDEX, 4);
        driver_get(driver, R_PORTSC(1 + n % 16), 4);
        if (n % 64 == 0)
            driver_put(driver, R_PORTSC(1 + n / 64 % 2), 4, 0xFE0210);
        if (n % 256 == 0) {
            driver_put(driver, R_USBCMD, 4, n % 512 ? 5 : 4);
            driver_put(driver, R_CRCR, 8, M_COMMANDS | 1);
        }
    }
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void *type_and_point(void *opaque)
{
    struct driver *driver = opaque;

    for (unsigned n = 0; n < ROUNDS; n++) {
        const struct input_pointer pointer = {.x = (uint16_t)n};

        input_key(driver->input, KEY_A + n % 8, n & 1);
        input_pointer(driver->input, &pointer);
    }
    atomic_fetch_add(&ended, 1);
    return NULL;
}

static void *plug_and_unplug(void *opaque)
{
    struct driver *driver = opaque;
    struct usb_listing list[2];
    struct error error = {""};

    for (unsigned n = 0; n < ROUNDS / 10; n++) {
        const char *name = n & 2 ? "keyboard" : "tablet";

        assert_int_equal(n & 1 ? xhci_plug(driver->xhci, name, &error) : xhci_unplug(driver->xhci, name, &error), 0);
        assert_int_equal(xhci_list(driver->xhci, list, 2), 2);
    }
    atomic_fetch_add(&ended, 1);
    return NULL;
}

/* One TRB, and a link back to it. */
static void make_loop(struct driver *driver, uint64_t at, uint64_t parameter, uint32_t status, uint32_t control)
{
    driver_poke(driver, at, 8, parameter);
    driver_poke(driver, at + 8, 4, status);
    driver_poke(driver, at + 12, 4, control | C_CYCLE);
    driver_poke(driver, at + 16, 8, at);
    driver_poke(driver, at + 24, 8, (uint64_t)(TYPE(T_LINK) | C_CYCLE) << 32);
}

static void everybody_at_once(void **state)
{
    static void *(*const parts[])(void *) = {be_a_processor, be_a_processor, type_and_point, plug_and_unplug};
    struct driver *driver = driver_create();
    pthread_t threads[ARRAY_SIZE(parts)];

    (void)state;
    driver_start(driver, 256, 1);
    driver_settle(driver);
    for (unsigned port = 1; port <= 2; port++) {
        unsigned slot = driver_enumerate(driver, port);
        uint64_t at = M_RING(slot, 3) + driver->rings[slot][3].index * 16U;

        make_loop(driver, at, M_DATA + 0x1000U * slot, 8, TYPE(T_NORMAL) | C_INTERRUPT);
        at = M_RING(slot, 1) + driver->rings[slot][1].index * 16U;
        make_loop(driver, at, 0, 0, TYPE(T_NO_OP) | C_INTERRUPT);
    }
    make_loop(driver, M_COMMANDS + driver->commands.index * 16U, 0, 0, TYPE(T_STOP_ENDPOINT) | 1 << 24 | 3 << 16);
    assert_int_equal(loop_start(driver->fake->board.loop), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++)
        assert_int_equal(pthread_create(&threads[n], NULL, parts[n], driver), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(parts); n++)
        pthread_join(threads[n], NULL);
    assert_int_equal(ended, ARRAY_SIZE(parts));
    driver_put(driver, R_USBCMD, 4, 2);
    assert_int_equal(driver_get(driver, R_USBSTS, 4) & 1, 1);
    loop_stop(driver->fake->board.loop);
    driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everybody_at_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
