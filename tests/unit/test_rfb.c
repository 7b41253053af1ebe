/* Viewers by the letter of the protocol, and viewers that do not keep to it. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vmm/viewer/rfb.h"
#include "../../vmm/viewer/rfb_handshake.h"
#include "../../vmm/viewer/rfb_input.h"
#include "casement/bytes.h"
#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_display.h"
#include "fake_viewer.h"

#define PATIENCE_MS 700
#define PASSWORD "open sesame" /* longer than counts */

static struct fake *fake;
static struct display *display;
static struct input *input;
static struct rfb *rfb;

/* What the guest got, in its order. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t came;
    unsigned count;
    struct {
        unsigned code;
        bool down;
        struct input_pointer pointer;
    } events[256];
} guest = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static void note(unsigned code, bool down, const struct input_pointer *pointer)
{
    pthread_mutex_lock(&guest.lock);
    if (guest.count < ARRAY_SIZE(guest.events)) {
        guest.events[guest.count].code = code;
        guest.events[guest.count].down = down;
        if (pointer)
            guest.events[guest.count].pointer = *pointer;
        guest.count++;
    }
    pthread_cond_broadcast(&guest.came);
    pthread_mutex_unlock(&guest.lock);
}

static bool take_key(void *device, unsigned code, bool down)
{
    (void)device;
    note(code, down, NULL);
    return true;
}

static bool take_pointer(void *device, const struct input_pointer *pointer)
{
    (void)device;
    note(0, false, pointer);
    return true;
}

static struct input_sink sink = {.key = take_key, .pointer = take_pointer};

/* Waits until the guest has got so many events in all. */
static void wait_events(unsigned count)
{
    struct timespec limit;
    unsigned came;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    pthread_mutex_lock(&guest.lock);
    while (guest.count < count)
        if (pthread_cond_timedwait(&guest.came, &guest.lock, &limit) != 0)
            break;
    came = guest.count;
    pthread_mutex_unlock(&guest.lock);
    assert_int_equal(came, count);
}

static void assert_key(unsigned n, unsigned code, bool down)
{
    assert_int_equal(guest.events[n].code, code);
    assert_int_equal(guest.events[n].down, down);
}

static int start(unsigned patience_ms)
{
    struct rfb_options options = {.name = "test machine", .viewers_max = 4, .patience_ms = patience_ms};

    fake = fake_display_create(&display);
    input = input_create(fake->board.loop);
    pthread_mutex_lock(&guest.lock);
    guest.count = 0;
    memset(guest.events, 0, sizeof guest.events);
    pthread_mutex_unlock(&guest.lock);
    input_add_sink(input, &sink);
    options.display = display;
    options.input = input;
    return loop_start(fake->board.loop) < 0 || rfb_create(&options, &rfb, NULL) < 0;
}

static int setup(void **state)
{
    (void)state;
    return start(0);
}

static int setup_impatient(void **state)
{
    (void)state;
    return start(PATIENCE_MS);
}

static int teardown(void **state)
{
    (void)state;
    rfb_destroy(rfb);
    loop_stop(fake->board.loop);
    input_destroy(input);
    fake_destroy(fake);
    return 0;
}

/* One end is the rfb's. */
static int attach(struct fake_viewer *viewer)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fake_viewer_init(viewer, pair[1]);
    return rfb_attach(rfb, pair[0]);
}

static void join(struct fake_viewer *viewer)
{
    assert_int_equal(attach(viewer), 0);
    assert_true(fake_viewer_let_in(viewer, 8, NULL));
    fake_viewer_start(viewer);
}

static unsigned viewers(void)
{
    struct rfb_statistics statistics;

    rfb_statistics(rfb, &statistics);
    return statistics.viewers;
}

static void wait_viewers(unsigned count)
{
    for (unsigned n = 0; n < 2000 && viewers() != count; n++)
        poll(NULL, 0, 10);
    assert_int_equal(viewers(), count);
}

static void all_versions(void **state)
{
    static const unsigned minors[] = {3, 7, 8};

    (void)state;
    fake_display_mode(fake, 800, 600, 800, 0);
    for (size_t n = 0; n < ARRAY_SIZE(minors); n++) {
        struct fake_viewer viewer;

        assert_int_equal(attach(&viewer), 0);
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
        wait_viewers(0);
    }
}

static void black_before_any_mode(void **state)
{
    struct fake_viewer viewer;

    (void)state;
    join(&viewer);
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
    struct rfb_statistics before, after;

    fake_display_mode(fake, 720, 400, 800, 0);
    for (unsigned y = 0; y < 400; y++)
        for (unsigned x = 0; x < 800; x++)
            fake_display_draw(fake, y * 800 + x, test_pixel(x, y));
    join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, encoding, LAST_RECT);
    fake_viewer_request(&viewer, false);
    fake_viewer_update(&viewer);
    assert_int_equal(viewer.encoding, encoding);
    assert_int_equal(viewer.area, 720 * 400);
    for (unsigned y = 0; y < 400; y++)
        for (unsigned x = 0; x < 720; x++)
            assert_int_equal(viewer.pixels[y * 720 + x], get_le32(video + 4 * (y * 800 + x)));
    /* One pixel changes: one tile, and nothing else, is sent. */
    rfb_statistics(rfb, &before);
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
    join(&viewer);
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

static void update_size(struct fake_viewer *viewer, unsigned width)
{
    do {
        fake_viewer_request(viewer, true);
        fake_viewer_update(viewer);
    } while (!viewer->resized || viewer->width != width);
}

static void mode_changes_are_told(void **state)
{
    struct fake_viewer plain, extended, old;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    join(&plain);
    join(&extended);
    join(&old);
    FAKE_VIEWER_ENCODINGS(&plain, ZRLE, NEW_SIZE);
    FAKE_VIEWER_ENCODINGS(&extended, TIGHT, EXTENDED_SIZE);
    fake_display_mode(fake, 1024, 768, 1024, 0);
    fake_display_draw(fake, 767 * 1024 + 1023, 0x00FF00);
    update_size(&plain, 1024);
    assert_int_equal(plain.height, 768);
    update_size(&extended, 1024);
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
    update_size(&plain, 320);
    fake_viewer_request(&old, false);
    do
        fake_viewer_update(&old);
    while (old.area != 320 * 200 && (fake_viewer_request(&old, false), true));
    /* It says late that it would like to be told. */
    FAKE_VIEWER_ENCODINGS(&old, RAW, NEW_SIZE);
    update_size(&old, 320);
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
    join(&viewer);
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
    join(&viewer);
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

static void keys_by_keysym(void **state)
{
    struct fake_viewer viewer;

    (void)state;
    join(&viewer);
    fake_viewer_key(&viewer, 'a', true);
    fake_viewer_key(&viewer, 'a', false);
    fake_viewer_key(&viewer, 'q', true);
    wait_events(3);
    assert_key(0, KEY_A, true);
    assert_key(1, KEY_A, false);
    assert_key(2, KEY_Q, true);
    fake_viewer_close(&viewer);
    wait_events(4); /* it is gone, so is its finger */
    assert_key(3, KEY_Q, false);
}

static void keys_by_scan_code(void **state)
{
    struct fake_viewer viewer;

    (void)state;
    join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, RAW, EXTENDED_KEY);
    fake_viewer_update(&viewer);
    assert_true(viewer.has_extended_key);
    fake_viewer_extended_key(&viewer, 0x1E, 'q', true); /* the key counts, not its sign */
    fake_viewer_extended_key(&viewer, 0x1E, 'q', false);
    fake_viewer_extended_key(&viewer, 0xD3, 0xFFFF, true);
    fake_viewer_extended_key(&viewer, 0, 'x', true); /* a key without a code */
    fake_viewer_extended_key(&viewer, 0xFFFFFFFF, 0, true);
    fake_viewer_extended_key(&viewer, 0x38, 0xFFE9, true);
    wait_events(5);
    assert_key(0, KEY_A, true);
    assert_key(1, KEY_A, false);
    assert_key(2, KEY_DELETE, true);
    assert_key(3, KEY_X, true);
    assert_key(4, KEY_LEFTALT, true);
    fake_viewer_close(&viewer);
    wait_events(8);
    assert_key(5, KEY_LEFTALT, false);
    assert_key(6, KEY_DELETE, false);
    assert_key(7, KEY_X, false);
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
    join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, ZRLE, NEW_SIZE);
    for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
        unsigned width = modes[n][0], height = modes[n][1];

        fake_display_mode(fake, width, height, width, 0);
        if (viewer.width != width || viewer.height != height)
            update_size(&viewer, width);
        for (unsigned corner = 0; corner < 4; corner++) {
            unsigned x = corner & 1 ? width - 1 : 0, y = corner & 2 ? height - 1 : 0;
            const struct input_pointer *pointer = &guest.events[count].pointer;

            fake_viewer_pointer(&viewer, x, y, 0);
            wait_events(++count);
            assert_int_equal(pointer->x * width / (INPUT_POINTER_MAX + 1), x);
            assert_int_equal(pointer->y * height / (INPUT_POINTER_MAX + 1), y);
        }
    }
    fake_viewer_pointer(&viewer, 65535, 65535, 0);
    wait_events(++count);
    assert_int_equal(guest.events[count - 1].pointer.x, guest.events[count - 2].pointer.x);
    assert_int_equal(guest.events[count - 1].pointer.y, guest.events[count - 2].pointer.y);
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
    join(&viewer);
    FAKE_VIEWER_ENCODINGS(&viewer, RAW, EXTENDED_BUTTONS);
    fake_viewer_update(&viewer);
    assert_true(viewer.has_extended_buttons);
    for (unsigned n = 0; n < ARRAY_SIZE(steps); n++) {
        const struct input_pointer *seen = &guest.events[n].pointer;

        fake_viewer_pointer(&viewer, 320, 240, steps[n].rfb);
        wait_events(n + 1);
        assert_int_equal(seen->buttons, steps[n].seen.buttons);
        assert_int_equal(seen->wheel, steps[n].seen.wheel);
        assert_int_equal(seen->pan, steps[n].seen.pan);
    }
    fake_viewer_close(&viewer);
    wait_events(ARRAY_SIZE(steps) + 1);
    assert_int_equal(guest.events[ARRAY_SIZE(steps)].pointer.buttons, 0);
    assert_int_equal(guest.events[ARRAY_SIZE(steps)].pointer.x, guest.events[0].pointer.x);
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
    join(&viewer);
    for (size_t n = 0; n < sizeof bytes; n++) {
        fake_viewer_put(&viewer, &bytes[n], 1);
        poll(NULL, 0, 2); /* so that most come alone */
    }
    wait_events(2);
    assert_key(0, KEY_A, true);
    assert_key(1, KEY_B, true);
    fake_viewer_close(&viewer);
}

static void cut_text_is_skipped(void **state)
{
    static uint8_t text[8 + 100000] = {6, 0, 0, 0, 0, 1, 0x86, 0xA0};
    static const uint8_t extended[8 + 3] = {6, 0, 0, 0, 255, 255, 255, 253, 4, 4, 4};
    struct fake_viewer viewer;

    (void)state;
    join(&viewer);
    memset(text + 8, 4, sizeof text - 8);
    fake_viewer_put(&viewer, text, sizeof text);
    fake_viewer_put(&viewer, extended, sizeof extended);
    fake_viewer_key(&viewer, 'b', true);
    wait_events(1);
    assert_key(0, KEY_B, true);
    fake_viewer_close(&viewer);
}

static void malformed_messages_end_that_connection_alone(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t size;
    } bad[] = {
        {"a kind that is unknown", {77}, 1},
        {"file transfer", {7, 1, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}, 12},
        {"text chat", {11, 0, 0, 0, 0, 0, 0, 1, 'x'}, 9},
        {"scaling", {8, 2, 0, 0}, 4},
        {"scaling of another kind", {15, 200, 0, 0}, 4},
        {"input switched off", {10, 1, 0, 0}, 4},
        {"colour map entries", {1, 0, 0, 0, 0, 1}, 6},
        {"xvp", {250, 0, 1, 2}, 4},
        {"cut text of 2 GiB", {6, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF}, 8},
        {"cut text of minus 2 GiB", {6, 0, 0, 0, 0x80, 0, 0, 0}, 8},
        {"65,535 encodings", {2, 0, 255, 255}, 4},
        {"255 screens", {251, 0, 4, 0, 3, 0, 255, 0}, 8},
        {"another QEMU message", {255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12},
        {"24 bits a pixel", {0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0}, 20},
        {"no red", {0, 0, 0, 0, 32, 24, 0, 1, 0, 0, 0, 255, 0, 255, 16, 8, 0}, 20},
        {"a red that is no mask", {0, 0, 0, 0, 32, 24, 0, 1, 0, 100, 0, 255, 0, 255, 16, 8, 0}, 20},
        {"a shift of 200", {0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 200, 8, 0}, 20},
        {"a shift over the edge", {0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 25, 8, 0}, 20},
        {"a map of 32 bits", {0, 0, 0, 0, 32, 24, 0, 0, 0, 255, 0, 255, 0, 255, 16, 8, 0}, 20},
    };
    struct fake_viewer other, half;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    join(&other);
    fake_viewer_request(&other, false);
    fake_viewer_update(&other);
    for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
        struct fake_viewer viewer;

        join(&viewer);
        fake_viewer_put(&viewer, bad[n].bytes, bad[n].size);
        fake_viewer_wait_end(&viewer);
        fake_viewer_close(&viewer);
        fake_viewer_request(&other, true);
        fake_display_draw(fake, n, n + 1);
        fake_viewer_update(&other);
        assert_int_equal(other.pixels[n], n + 1);
    }
    /* Half a message, and then nobody. */
    join(&half);
    fake_viewer_put(&half, bad[0].bytes + 1, 1);
    fake_viewer_close(&half);
    wait_viewers(1);
    fake_viewer_close(&other);
}

static uint32_t noise(void)
{
    static uint32_t state = 20;

    state = state * 1664525 + 1013904223;
    return state >> 8;
}

/* A message of a kind that is served whose fields are noise; its length. */
static size_t noisy_message(uint8_t message[600])
{
    static const struct {
        uint8_t kind, length;
    } kinds[] = {{0, 20}, {2, 4}, {3, 10}, {3, 10}, {3, 10}, {4, 8}, {5, 6}, {6, 8}, {251, 8}, {255, 12}};
    static const int32_t encodings[] = {RAW,  1,    2,    4,    5,    6,    TIGHT, 9,      ZRLE,   17,    -260,
                                        -223, -224, -239, -240, -232, -261, -308,  -309,   -26,    -32,   -256,
                                        -247, -258, -316, -512, -412, -768, -763,  -65526, -65530, -65531};
    static const uint8_t formats[][13] = {
        {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0}, {32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16},
        {16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0},    {8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6},
        {8, 6, 0, 1, 0, 3, 0, 3, 0, 3, 4, 2, 0},          {8, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
    unsigned n = noise() % ARRAY_SIZE(kinds);
    size_t length = kinds[n].length;

    for (unsigned at = 1; at < 600; at++)
        message[at] = (uint8_t)(noise() % 3 ? 0 : noise());
    message[0] = kinds[n].kind;
    if (message[0] == 0) {
        memcpy(message + 4, formats[noise() % ARRAY_SIZE(formats)], 13);
    } else if (message[0] == 2) {
        put_be16(message + 2, (uint16_t)(noise() % 40));
        for (unsigned at = 0; at < get_be16(message + 2); at++, length += 4)
            put_be32(message + length, (uint32_t)encodings[noise() % ARRAY_SIZE(encodings)]);
    } else if (message[0] == 3 && noise() % 2) {
        put_be64(message + 2, UINT64_C(0x0000000002800190)); /* the whole screen */
    } else if (message[0] == 6) {
        put_be32(message + 4, noise() % 200);
        length += get_be32(message + 4);
    } else if (message[0] == 251) {
        message[6] = (uint8_t)(noise() % 17);
        length += 16 * (size_t)message[6];
    } else if (message[0] == 255) {
        message[1] = 0;
    }
    if (noise() % 50 == 0)
        message[noise() % length] = (uint8_t)noise();
    return length;
}

/* All encoders in all formats in all states. Whatever it is, it ends with that connection. */
static void mostly_valid_messages(void **state)
{
    struct fake_viewer other, viewer;
    uint8_t message[600], answer[65536];
    unsigned sent = 0;

    (void)state;
    fake_display_mode(fake, 640, 400, 640, 0);
    join(&other);
    for (unsigned round = 0; round < 40; round++) {
        join(&viewer);
        for (unsigned n = 0; n < 150; n++) {
            size_t length = noisy_message(message);

            while (recv(viewer.fd, answer, sizeof answer, MSG_DONTWAIT) > 0)
                ;
            if (send(viewer.fd, message, length, MSG_NOSIGNAL) < 0)
                break;
            sent++;
            fake_display_draw(fake, noise() % (640 * 400), noise());
            if (n % 50 == 0)
                fake_display_mode(fake, 320 + noise() % 320, 200 + noise() % 200, 640, 0);
        }
        fake_viewer_close(&viewer);
        wait_viewers(1);
    }
    assert_true(sent > 1000);
    fake_viewer_request(&other, false);
    fake_viewer_update(&other);
    fake_viewer_close(&other);
}

/* Requests outside the screen, and of nothing, do no harm. */
static void odd_requests(void **state)
{
    static const uint8_t requests[][10] = {{3, 0, 255, 255, 255, 255, 255, 255, 255, 255},
                                           {3, 0, 2, 127, 1, 223, 255, 255, 255, 255},
                                           {3, 1, 0, 0, 0, 0, 0, 0, 0, 0},
                                           {3, 0, 2, 128, 1, 224, 0, 1, 0, 1}};
    struct fake_viewer viewer;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    join(&viewer);
    for (size_t n = 0; n < ARRAY_SIZE(requests); n++)
        fake_viewer_put(&viewer, requests[n], 10);
    fake_viewer_request(&viewer, false);
    for (uint64_t area = 0; area < 640 * 480; area = MAX(area, viewer.area))
        fake_viewer_update(&viewer);
    fake_viewer_close(&viewer);
}

static void no_more_viewers_than_allowed(void **state)
{
    struct fake_viewer first[4], others[200];

    (void)state;
    for (unsigned n = 0; n < 4; n++)
        join(&first[n]);
    for (unsigned n = 0; n < 200; n++)
        assert_int_equal(attach(&others[n]), -EBUSY);
    for (unsigned n = 0; n < 200; n++) {
        fake_viewer_wait_end(&others[n]); /* nothing is left open */
        fake_viewer_close(&others[n]);
    }
    assert_int_equal(viewers(), 4);
    fake_viewer_close(&first[2]);
    wait_viewers(3);
    /* The seat is free when its thread has been seen off, a moment later. */
    for (unsigned n = 0, result = 1; n < 200 && result; n++) {
        result = attach(&first[2]) != 0;
        if (result) {
            fake_viewer_close(&first[2]);
            poll(NULL, 0, 5);
        }
    }
    assert_true(fake_viewer_let_in(&first[2], 8, NULL));
    fake_viewer_start(&first[2]);
    for (unsigned n = 0; n < 4; n++)
        fake_viewer_close(&first[n]);
}

static void one_that_never_reads_is_dropped(void **state)
{
    struct fake_viewer deaf, other;
    int64_t start_ns;

    (void)state;
    fake_display_mode(fake, 1600, 1200, 1600, 0);
    join(&deaf);
    join(&other);
    start_ns = clock_ns();
    fake_viewer_request(&deaf, false); /* Raw: 7.7 MB that do not fit into any socket */
    FAKE_VIEWER_ENCODINGS(&other, ZRLE);
    fake_viewer_request(&other, false);
    fake_viewer_update(&other);
    for (unsigned n = 1; viewers() == 2; n++) {
        fake_viewer_request(&other, true);
        fake_display_draw(fake, 0, n);
        fake_viewer_update(&other);
        assert_int_equal(other.pixels[0], n);
        assert_true(clock_ns() - start_ns < INT64_C(20000000000));
    }
    assert_true(clock_ns() - start_ns >= PATIENCE_MS * INT64_C(1000000));
    fake_viewer_wait_end(&deaf);
    fake_viewer_close(&deaf);
    fake_viewer_close(&other);
}

/* One that only looks, and is shown nothing for long, stays. */
static void patience_ends_with_handshakes_and_half_messages(void **state)
{
    static const uint8_t half[] = {4, 1, 0};
    struct fake_viewer silent, late, idle, slow;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    join(&idle);
    fake_viewer_request(&idle, false);
    fake_viewer_update(&idle);
    fake_viewer_request(&idle, true);
    assert_int_equal(attach(&silent), 0);
    assert_int_equal(attach(&late), 0);
    assert_true(fake_viewer_let_in(&late, 8, NULL)); /* and no ClientInit */
    join(&slow);
    fake_viewer_put(&slow, half, sizeof half);
    fake_viewer_wait_end(&silent);
    fake_viewer_wait_end(&late);
    fake_viewer_wait_end(&slow);
    poll(NULL, 0, PATIENCE_MS);
    fake_display_draw(fake, 0, 5);
    fake_viewer_update(&idle);
    assert_int_equal(idle.pixels[0], 5);
    fake_viewer_close(&silent);
    fake_viewer_close(&late);
    fake_viewer_close(&slow);
    fake_viewer_close(&idle);
}

static void wrong_handshakes(void **state)
{
    static const struct {
        char bytes[16];
        size_t size;
    } bad[] = {{"GET / HTTP/1", 12},
               {"RFB 004.000\n", 12},
               {"RFB 003.0x8\n", 12},
               {"RFB 003.008\n\2", 13},
               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", 12}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        struct fake_viewer viewer;

        assert_int_equal(attach(&viewer), 0);
        fake_viewer_put(&viewer, bad[n].bytes, bad[n].size);
        fake_viewer_wait_end(&viewer);
        fake_viewer_close(&viewer);
        assert_int_equal(viewers(), 0);
    }
}

static uint16_t listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct error error = {""};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(rfb_listen(rfb, "127.0.0.1", ntohs(address.sin_port), PASSWORD, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, "--vnc 127.0.0.1:"));
    assert_null(strstr(error.text, "sesame"));
    close(fd);
    assert_int_equal(rfb_listen(rfb, "127.0.0.1", ntohs(address.sin_port), PASSWORD, &error), 0);
    return ntohs(address.sin_port);
}

static void dial(struct fake_viewer *viewer, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    fake_viewer_init(viewer, fd);
}

static void a_port_with_a_password(void **state)
{
    static const unsigned minors[] = {3, 7, 8};
    struct fake_viewer viewer;
    uint16_t port = listen_somewhere();
    int64_t start_ns;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(minors); n++) {
        dial(&viewer, port);
        assert_true(fake_viewer_let_in(&viewer, minors[n], n ? PASSWORD : "open sesAME"));
        fake_viewer_start(&viewer);
        fake_viewer_request(&viewer, false);
        fake_viewer_update(&viewer);
        fake_viewer_close(&viewer);
    }
    start_ns = clock_ns();
    for (unsigned n = 0; n < 3; n++) {
        dial(&viewer, port);
        assert_false(fake_viewer_let_in(&viewer, 8, n ? &PASSWORD[n] : ""));
        fake_viewer_wait_end(&viewer);
        fake_viewer_close(&viewer);
    }
    /* The right one is looked at after that too, and not before its time. */
    dial(&viewer, port);
    assert_true(fake_viewer_let_in(&viewer, 8, PASSWORD));
    assert_true(clock_ns() - start_ns >= INT64_C(3500000000)); /* 0.5 + 1 + 2 s */
    fake_viewer_close(&viewer);
}

static void silent_peers_do_not_take_seats(void **state)
{
    struct fake_viewer silent[40], viewer;
    uint16_t port = listen_somewhere();

    (void)state;
    for (unsigned n = 0; n < 40; n++)
        dial(&silent[n], port);
    for (unsigned n = 0; n < 40; n++)
        fake_viewer_wait_end(&silent[n]); /* most at once, the others by the limit */
    assert_int_equal(viewers(), 0);
    for (unsigned n = 0; n < 40; n++)
        fake_viewer_close(&silent[n]);
    dial(&viewer, port);
    assert_true(fake_viewer_let_in(&viewer, 8, PASSWORD));
    fake_viewer_close(&viewer);
}

/* DES by the example of FIPS 81 with the key's bits in VNC's order: 0123456789ABCDEF encrypts "Now is the time ". */
static void the_cipher_is_des(void **state)
{
    static const uint8_t expected[] = {0x3F, 0xA4, 0x0E, 0x8A, 0x98, 0x4D, 0x48, 0x15,
                                       0x6A, 0x27, 0x17, 0x87, 0xAB, 0x88, 0x83, 0xF9};
    static const uint8_t key[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF};
    uint8_t answer[16], reversed[8];

    (void)state;
    assert_int_equal(rfb_encrypt_challenge(key, (const uint8_t *)"Now is the time ", answer), 0);
    assert_memory_equal(answer, expected, sizeof answer);
    rfb_key_from_password("\x80\xC4\xA2\xE6\x91\xD5\xB3\xF7 and more", reversed);
    assert_memory_equal(reversed, key, sizeof key);
}

/* Every viewer ends with the machine, whatever it does at the time. */
static void destroy_ends_everybody(void **state)
{
    struct fake_viewer deaf, idle, silent;

    (void)state;
    fake_display_mode(fake, 1600, 1200, 1600, 0);
    join(&deaf);
    fake_viewer_request(&deaf, false);
    join(&idle);
    fake_viewer_key(&idle, 'a', true);
    wait_events(1);
    assert_int_equal(attach(&silent), 0);
    rfb_destroy(rfb);
    wait_events(2);
    assert_key(1, KEY_A, false);
    fake_viewer_wait_end(&deaf);
    fake_viewer_wait_end(&idle);
    fake_viewer_wait_end(&silent);
    fake_viewer_close(&deaf);
    fake_viewer_close(&idle);
    fake_viewer_close(&silent);
    assert_int_equal(rfb_create(&(struct rfb_options){.display = display, .input = input, .name = "n"}, &rfb, NULL), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define IMPATIENT(name) cmocka_unit_test_setup_teardown(name, setup_impatient, teardown)
    const struct CMUnitTest tests[] = {
        T(all_versions),
        T(black_before_any_mode),
        T(raw_is_lossless),
        T(zrle_is_lossless),
        T(tight_is_lossless),
        T(scattered_changes_arrive),
        T(mode_changes_are_told),
        T(size_requests_are_refused),
        T(a_browser),
        T(keys_by_keysym),
        T(keys_by_scan_code),
        T(every_key_has_its_code),
        T(every_pixel_is_hit),
        T(pointer_at_the_corners),
        T(buttons_and_wheel),
        T(messages_in_pieces),
        T(cut_text_is_skipped),
        T(malformed_messages_end_that_connection_alone),
        T(mostly_valid_messages),
        T(odd_requests),
        T(no_more_viewers_than_allowed),
        IMPATIENT(one_that_never_reads_is_dropped),
        IMPATIENT(patience_ends_with_handshakes_and_half_messages),
        T(wrong_handshakes),
        T(a_port_with_a_password),
        IMPATIENT(silent_peers_do_not_take_seats),
        cmocka_unit_test(the_cipher_is_des),
        T(destroy_ends_everybody),
    };

    cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
