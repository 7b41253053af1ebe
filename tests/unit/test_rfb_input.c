/* Keys and pointer of viewers, until the guest has them. */
#include <linux/input-event-codes.h>
#include <poll.h>

#include "../../vmm/viewer/rfb_input.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_rfb.h"

static void keys_by_keysym(void **state)
{
    struct fake_viewer viewer;

    (void)state;
    fake_rfb_join(&viewer);
    fake_viewer_key(&viewer, 'a', true);
    fake_viewer_key(&viewer, 'a', false);
    fake_viewer_key(&viewer, 'q', true);
    fake_rfb_wait_events(3);
    fake_rfb_assert_key(0, KEY_A, true);
    fake_rfb_assert_key(1, KEY_A, false);
    fake_rfb_assert_key(2, KEY_Q, true);
    fake_viewer_close(&viewer);
    fake_rfb_wait_events(4); /* it is gone, so is its finger */
    fake_rfb_assert_key(3, KEY_Q, false);
}

static void keys_by_scan_code(void **state)
{
    struct fake_viewer viewer;

    (void)state;
    fake_rfb_join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, RAW, EXTENDED_KEY);
    fake_viewer_update(&viewer);
    assert_true(viewer.has_extended_key);
    fake_viewer_extended_key(&viewer, 0x1E, 'q', true); /* the key counts, not its sign */
    fake_viewer_extended_key(&viewer, 0x1E, 'q', false);
    fake_viewer_extended_key(&viewer, 0xD3, 0xFFFF, true);
    fake_viewer_extended_key(&viewer, 0, 'x', true); /* a key without a code */
    fake_viewer_extended_key(&viewer, 0xFFFFFFFF, 0, true);
    fake_viewer_extended_key(&viewer, 0x38, 0xFFE9, true);
    fake_rfb_wait_events(5);
    fake_rfb_assert_key(0, KEY_A, true);
    fake_rfb_assert_key(1, KEY_A, false);
    fake_rfb_assert_key(2, KEY_DELETE, true);
    fake_rfb_assert_key(3, KEY_X, true);
    fake_rfb_assert_key(4, KEY_LEFTALT, true);
    fake_viewer_close(&viewer);
    fake_rfb_wait_events(8);
    fake_rfb_assert_key(5, KEY_LEFTALT, false);
    fake_rfb_assert_key(6, KEY_DELETE, false);
    fake_rfb_assert_key(7, KEY_X, false);
}

static void every_key_has_its_code(void **state)
{
    static const struct {
        uint32_t xt;
        unsigned code;
    } keys[] = {{0x01, KEY_ESC},
                {0x02, KEY_1},
                {0x0E, KEY_BACKSPACE},
                {0x1C, KEY_ENTER},
                {0x2A, KEY_LEFTSHIFT},
                {0x36, KEY_RIGHTSHIFT},
                {0x39, KEY_SPACE},
                {0x3B, KEY_F1},
                {0x44, KEY_F10},
                {0x45, KEY_NUMLOCK},
                {0x53, KEY_KPDOT},
                {0x54, KEY_SYSRQ},
                {0x56, KEY_102ND},
                {0x57, KEY_F11},
                {0x58, KEY_F12},
                {0x9C, KEY_KPENTER},
                {0x9D, KEY_RIGHTCTRL},
                {0xB5, KEY_KPSLASH},
                {0xB7, KEY_SYSRQ},
                {0xB8, KEY_RIGHTALT},
                {0xC6, KEY_PAUSE},
                {0xC7, KEY_HOME},
                {0xD1, KEY_PAGEDOWN},
                {0xDB, KEY_LEFTMETA},
                {0xDD, KEY_COMPOSE},
                {0x73, KEY_RO},
                {0x7D, KEY_YEN},
                {0, 0},
                {0x55, 0},
                {0xFF, 0},
                {0x100, 0},
                {0xE01C, 0}};
    bool seen[KEY_CNT] = {false};
    unsigned count = 0;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(keys); n++)
        assert_int_equal(rfb_key_code(keys[n].xt), keys[n].code);
    /* No two keys are one, but for SysRq, which is printed on the same one as Print. */
    for (uint32_t xt = 1; xt < 256; xt++) {
        unsigned code = rfb_key_code(xt);

        assert_true(code < KEY_CNT);
        if (!code)
            continue;
        assert_true(!seen[code] || code == KEY_SYSRQ);
        seen[code] = true;
        count++;
    }
    assert_true(count > 120);
}

/* As guests scale back: Windows and libinput cut, others round between the first and the last pixel. */
static void every_pixel_is_hit(void **state)
{
    static const unsigned sizes[] = {1,    2,    3,    10,   480,  600,  640,  768,  800,  1024, 1050,
                                     1080, 1200, 1280, 1366, 1440, 1920, 2160, 2560, 3840, 8192};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(sizes); n++)
        for (unsigned pixel = 0; pixel < sizes[n]; pixel++) {
            uint64_t position = rfb_pointer_position(pixel, sizes[n]);
            int64_t rounded = (int64_t)((position * (sizes[n] - 1) + INPUT_POINTER_MAX / 2) / INPUT_POINTER_MAX);

            assert_true(position <= INPUT_POINTER_MAX);
            assert_int_equal(position * sizes[n] / (INPUT_POINTER_MAX + 1), pixel);
            assert_in_range(rounded - (int64_t)pixel + 1, 0, 2);
        }
    assert_int_equal(rfb_pointer_position(5000, 640), rfb_pointer_position(639, 640));
    assert_int_equal(rfb_pointer_position(5, 0), 0);
}

static void pointer_at_the_corners(void **state)
{
    static const unsigned modes[][2] = {{640, 480}, {800, 600}, {1280, 800}, {1366, 768}, {1920, 1080}};
    struct fake_viewer viewer;
    unsigned count = 0;

    (void)state;
    fake_rfb_join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, ZRLE, NEW_SIZE);
    for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
        unsigned width = modes[n][0], height = modes[n][1];

        fake_display_mode(fake, width, height, width, 0);
        if (viewer.width != width || viewer.height != height)
            fake_viewer_update_size(&viewer, width);
        for (unsigned corner = 0; corner < 4; corner++) {
            unsigned x = corner & 1 ? width - 1 : 0, y = corner & 2 ? height - 1 : 0;
            const struct input_pointer *pointer = &fake_events[count].pointer;

            fake_viewer_pointer(&viewer, x, y, 0);
            fake_rfb_wait_events(++count);
            assert_int_equal(pointer->x * width / (INPUT_POINTER_MAX + 1), x);
            assert_int_equal(pointer->y * height / (INPUT_POINTER_MAX + 1), y);
        }
    }
    fake_viewer_pointer(&viewer, 65535, 65535, 0);
    fake_rfb_wait_events(++count);
    assert_int_equal(fake_events[count - 1].pointer.x, fake_events[count - 2].pointer.x);
    assert_int_equal(fake_events[count - 1].pointer.y, fake_events[count - 2].pointer.y);
    fake_viewer_close(&viewer);
}

static void buttons_and_wheel(void **state)
{
    static const struct {
        unsigned rfb;
        struct input_pointer seen;
    } steps[] = {
        {0x01, {.buttons = 1}},
        {0x07, {.buttons = 7}},
        {0x04, {.buttons = 2}},
        {0x00, {.buttons = 0}},
        {0x08, {.wheel = 1}},
        {0x08, {.wheel = 0}}, /* held: once only */
        {0x00, {.wheel = 0}},
        {0x10, {.wheel = -1}},
        {0x00, {.wheel = 0}},
        {0x20, {.pan = -1}},
        {0x40, {.pan = 1}},
        {0x01, {.buttons = 1}},
        {0x09, {.buttons = 1, .wheel = 1}},
        {0x80, {.buttons = 8}},
        {0x100, {.buttons = 16}},
        {0x182, {.buttons = 28}},
    };
    struct fake_viewer viewer;

    (void)state;
    fake_rfb_join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, RAW, EXTENDED_BUTTONS);
    fake_viewer_update(&viewer);
    assert_true(viewer.has_extended_buttons);
    for (unsigned n = 0; n < ARRAY_SIZE(steps); n++) {
        const struct input_pointer *seen = &fake_events[n].pointer;

        fake_viewer_pointer(&viewer, 320, 240, steps[n].rfb);
        fake_rfb_wait_events(n + 1);
        assert_int_equal(seen->buttons, steps[n].seen.buttons);
        assert_int_equal(seen->wheel, steps[n].seen.wheel);
        assert_int_equal(seen->pan, steps[n].seen.pan);
    }
    fake_viewer_close(&viewer);
    fake_rfb_wait_events(ARRAY_SIZE(steps) + 1);
    assert_int_equal(fake_events[ARRAY_SIZE(steps)].pointer.buttons, 0);
    assert_int_equal(fake_events[ARRAY_SIZE(steps)].pointer.x, fake_events[0].pointer.x);
}

/* Bytes that come one by one make the same messages. */
static void messages_in_pieces(void **state)
{
    static const uint8_t bytes[] = {
        4, 1, 0, 0, 0,   0,   0,   'a',                /* a key */
        6, 0, 0, 0, 0,   0,   0,   5,   4, 4, 4, 4, 4, /* text that looks like keys */
        6, 0, 0, 0, 255, 255, 255, 253, 4, 4, 4,       /* the same by the extended clipboard's negative size */
        4, 1, 0, 0, 0,   0,   0,   'b',
    };
    struct fake_viewer viewer;

    (void)state;
    fake_rfb_join(&viewer);
    for (size_t n = 0; n < sizeof bytes; n++) {
        fake_viewer_put(&viewer, &bytes[n], 1);
        poll(NULL, 0, 2); /* so that most come alone */
    }
    fake_rfb_wait_events(2);
    fake_rfb_assert_key(0, KEY_A, true);
    fake_rfb_assert_key(1, KEY_B, true);
    fake_viewer_close(&viewer);
}

static void cut_text_is_skipped(void **state)
{
    static uint8_t text[8 + 100000] = {6, 0, 0, 0, 0, 1, 0x86, 0xA0};
    static const uint8_t extended[8 + 3] = {6, 0, 0, 0, 255, 255, 255, 253, 4, 4, 4};
    struct fake_viewer viewer;

    (void)state;
    fake_rfb_join(&viewer);
    memset(text + 8, 4, sizeof text - 8);
    fake_viewer_put(&viewer, text, sizeof text);
    fake_viewer_put(&viewer, extended, sizeof extended);
    fake_viewer_key(&viewer, 'b', true);
    fake_rfb_wait_events(1);
    fake_rfb_assert_key(0, KEY_B, true);
    fake_viewer_close(&viewer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fake_rfb_setup, fake_rfb_teardown)
    const struct CMUnitTest tests[] = {
        T(keys_by_keysym),
        T(keys_by_scan_code),
        cmocka_unit_test(every_key_has_its_code),
        cmocka_unit_test(every_pixel_is_hit),
        T(pointer_at_the_corners),
        T(buttons_and_wheel),
        T(messages_in_pieces),
        T(cut_text_is_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
