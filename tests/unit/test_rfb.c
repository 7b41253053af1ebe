/* What a viewer sees, by the letter of the protocol. */
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_rfb.h"

static void all_versions(void **state)
{
    static const unsigned minors[] = {3, 7, 8};

    (void)state;
    fake_display_mode(fake, 800, 600, 800, 0);
    for (size_t n = 0; n < ARRAY_SIZE(minors); n++) {
        struct fake_viewer viewer;

        assert_int_equal(fake_rfb_attach(&viewer), 0);
        assert_true(fake_viewer_let_in(&viewer, minors[n], NULL));
        fake_viewer_start(&viewer);
        assert_int_equal(viewer.width, 800);
        assert_int_equal(viewer.height, 600);
        assert_string_equal(viewer.name, "test machine");
        fake_viewer_request(&viewer, false);
        fake_viewer_update(&viewer);
        assert_int_equal(viewer.encoding, RAW);
        assert_int_equal(viewer.area, 800 * 600);
        fake_viewer_close(&viewer);
        fake_rfb_wait_viewers(0);
    }
}

static void black_before_any_mode(void **state)
{
    struct fake_viewer viewer;

    (void)state;
    fake_rfb_join(&viewer);
    assert_int_equal(viewer.width, 640);
    assert_int_equal(viewer.height, 480);
    memset(viewer.pixels, 0xFF, 4);
    fake_viewer_request(&viewer, false);
    fake_viewer_update(&viewer);
    for (unsigned n = 0; n < 640 * 480; n++)
        assert_int_equal(viewer.pixels[n], 0);
    fake_viewer_close(&viewer);
}

/* Noise, steps, few colours, one colour: whatever the encoders choose, the same picture comes out. */
static uint32_t test_pixel(unsigned x, unsigned y)
{
    static uint32_t noise = 1;

    noise = noise * 1664525 + 1013904223;
    switch (y / 32 % 5) {
    case 0:
        return noise >> 8;
    case 1:
        return (x & 255) << 16 | (y & 255) << 8 | (x & 1);
    case 2:
        return x / 3 % 2 ? 0xFFFFFF : 0x204080;
    case 3:
        return (x / 7 + y) % 11 * 0x171513;
    default:
        return 0x336699;
    }
}

static void lossless(int32_t encoding)
{
    const uint8_t *video = display_memory(display);
    struct fake_viewer viewer;
    struct rfb_statistics start, before, after;

    rfb_statistics(rfb, &start);
    fake_display_mode(fake, 720, 400, 800, 0);
    for (unsigned y = 0; y < 400; y++)
        for (unsigned x = 0; x < 800; x++)
            fake_display_draw(fake, y * 800 + x, test_pixel(x, y));
    fake_rfb_join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, encoding, LAST_RECT);
    fake_viewer_request(&viewer, false);
    fake_viewer_update(&viewer);
    assert_int_equal(viewer.encoding, encoding);
    assert_int_equal(viewer.area, 720 * 400);
    for (unsigned y = 0; y < 400; y++)
        for (unsigned x = 0; x < 720; x++)
            assert_int_equal(viewer.pixels[y * 720 + x], get_le32(video + 4 * (y * 800 + x)));
    /* One pixel changes: one tile, and nothing else, is sent. */
    do /* an update is counted when it has been sent */
        rfb_statistics(rfb, &before);
    while (before.frames == start.frames);
    fake_viewer_request(&viewer, true);
    fake_display_draw(fake, 100 * 800 + 130, 0x123456);
    fake_viewer_update(&viewer);
    assert_int_equal(viewer.encoding, encoding);
    assert_int_equal(viewer.left, 128);
    assert_int_equal(viewer.right, 192);
    assert_int_equal(viewer.top, 96);
    assert_int_equal(viewer.bottom, 112);
    assert_int_equal(viewer.area, 64 * 16);
    assert_int_equal(viewer.pixels[100 * 720 + 130], 0x123456);
    do
        rfb_statistics(rfb, &after);
    while (after.frames == before.frames);
    assert_int_equal(after.frames - before.frames, 1);
    assert_in_range(after.bytes - before.bytes, 20, 64 * 16 * 4 + 100);
    fake_viewer_close(&viewer);
}

static void raw_is_lossless(void **state)
{
    (void)state;
    lossless(RAW);
}

static void zrle_is_lossless(void **state)
{
    (void)state;
    lossless(ZRLE);
}

static void tight_is_lossless(void **state)
{
    (void)state;
    lossless(TIGHT);
}

/* All of the changes are there, however they lie. */
static void scattered_changes_arrive(void **state)
{
    struct fake_viewer viewer;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    fake_rfb_join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, ZRLE);
    fake_viewer_request(&viewer, false);
    fake_viewer_update(&viewer);
    for (unsigned down = 0; down < 30; down++)
        for (unsigned across = down % 2; across < 10; across += 2)
            fake_display_draw(fake, (down * 16 + 3) * 640 + across * 64 + 5, 0xABCDEF);
    for (uint64_t area = 0; area < 150 * 64 * 16; area += viewer.area) {
        fake_viewer_request(&viewer, true);
        fake_viewer_update(&viewer);
    }
    for (unsigned down = 0; down < 30; down++)
        for (unsigned across = 0; across < 10; across++)
            assert_int_equal(viewer.pixels[(down * 16 + 3) * 640 + across * 64 + 5],
                             across % 2 == down % 2 ? 0xABCDEF : 0);
    fake_viewer_close(&viewer);
}

static void mode_changes_are_told(void **state)
{
    struct fake_viewer plain, extended, old;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    fake_rfb_join(&plain);
    fake_rfb_join(&extended);
    fake_rfb_join(&old);
    FAKE_VIEWER_ENCODINGS(&plain, ZRLE, NEW_SIZE);
    FAKE_VIEWER_ENCODINGS(&extended, TIGHT, EXTENDED_SIZE);
    fake_display_mode(fake, 1024, 768, 1024, 0);
    fake_display_draw(fake, 767 * 1024 + 1023, 0x00FF00);
    fake_viewer_update_size(&plain, 1024);
    assert_int_equal(plain.height, 768);
    fake_viewer_update_size(&extended, 1024);
    assert_int_equal(extended.height, 768);
    fake_viewer_request(&plain, false);
    do /* what it had asked for at the old size may come first */
        fake_viewer_update(&plain);
    while (plain.area != 1024 * 768);
    assert_int_equal(plain.pixels[767 * 1024 + 1023], 0x00FF00);
    /* One that knows of no new sizes gets what lies inside the old one. */
    fake_viewer_request(&old, false);
    fake_viewer_update(&old);
    assert_int_equal(old.area, 640 * 480);
    fake_display_mode(fake, 320, 200, 320, 0);
    fake_viewer_update_size(&plain, 320);
    fake_viewer_request(&old, false);
    do
        fake_viewer_update(&old);
    while (old.area != 320 * 200 && (fake_viewer_request(&old, false), true));
    /* It says late that it would like to be told. */
    FAKE_VIEWER_ENCODINGS(&old, RAW, NEW_SIZE);
    fake_viewer_update_size(&old, 320);
    fake_viewer_close(&plain);
    fake_viewer_close(&extended);
    fake_viewer_close(&old);
}

static void size_requests_are_refused(void **state)
{
    uint8_t request[8 + 16] = {251, 0, 4, 0, 3, 0, 1, 0};
    struct fake_viewer viewer;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    fake_rfb_join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, RAW, EXTENDED_SIZE);
    fake_viewer_request(&viewer, false);
    do
        fake_viewer_update(&viewer);
    while (viewer.area == 0);
    fake_viewer_put(&viewer, request, sizeof request);
    fake_viewer_request(&viewer, true);
    do
        fake_viewer_update(&viewer);
    while (!viewer.resized);
    assert_int_equal(viewer.resize_reason, 1); /* this client asked */
    assert_int_equal(viewer.resize_status, 1); /* prohibited */
    assert_int_equal(viewer.width, 640);
    fake_viewer_close(&viewer);
}

/* Everything that noVNC 1.6 asks for. */
static void a_browser(void **state)
{
    struct fake_viewer viewer;
    bool resized = false;

    (void)state;
    fake_display_mode(fake, 1280, 800, 1280, 0);
    fake_rfb_join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, 1, TIGHT, -260, ZRLE, 50, 21, 5, 2, RAW, -256 + 2, NEW_SIZE, LAST_RECT, EXTENDED_KEY,
                          -261, EXTENDED_SIZE, -309, -312, -313, -307, (int32_t)0xC0A1E5CE, EXTENDED_BUTTONS,
                          0x574D5664, CURSOR);
    fake_viewer_request(&viewer, false);
    for (uint64_t area = 0; area < 1280 * 800; area += viewer.area) {
        fake_viewer_update(&viewer);
        resized |= viewer.resized;
        fake_viewer_request(&viewer, true);
    }
    assert_int_equal(viewer.encoding, TIGHT);
    assert_true(resized && viewer.has_extended_key && viewer.has_extended_buttons && viewer.has_cursor);
    fake_display_draw(fake, 1280 * 400 + 640, 0x654321);
    do
        fake_viewer_update(&viewer);
    while (viewer.pixels[1280 * 400 + 640] != 0x654321);
    assert_int_equal(viewer.area, 64 * 16);
    fake_viewer_close(&viewer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fake_rfb_setup, fake_rfb_teardown)
    const struct CMUnitTest tests[] = {
        T(all_versions),          T(black_before_any_mode),     T(raw_is_lossless),
        T(zrle_is_lossless),      T(tight_is_lossless),         T(scattered_changes_arrive),
        T(mode_changes_are_told), T(size_requests_are_refused), T(a_browser),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
