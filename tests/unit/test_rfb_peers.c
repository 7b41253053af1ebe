/* Peers that do not keep to the protocol, or are too many, too slow or silent; and the port with a password. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vmm/viewer/rfb_handshake.h"
#include "casement/bytes.h"
#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_rfb.h"

#define PASSWORD "open sesame" /* longer than counts */

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
    fake_rfb_join(&other);
    fake_viewer_request(&other, false);
    fake_viewer_update(&other);
    for (unsigned n = 0; n < ARRAY_SIZE(bad); n++) {
        struct fake_viewer viewer;

        fake_rfb_join(&viewer);
        fake_viewer_put(&viewer, bad[n].bytes, bad[n].size);
        fake_viewer_wait_end(&viewer);
        fake_viewer_close(&viewer);
        fake_viewer_request(&other, true);
        fake_display_draw(fake, n, n + 1);
        fake_viewer_update(&other);
        assert_int_equal(other.pixels[n], n + 1);
    }
    /* Half a message, and then nobody. */
    fake_rfb_join(&half);
    fake_viewer_put(&half, bad[0].bytes + 1, 1);
    fake_viewer_close(&half);
    fake_rfb_wait_viewers(1);
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
    fake_rfb_join(&other);
    for (unsigned round = 0; round < 40; round++) {
        fake_rfb_join(&viewer);
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
        fake_rfb_wait_viewers(1);
    }
    assert_true(sent > 1000);
    fake_viewer_request(&other, false);
    fake_viewer_update(&other);
    fake_viewer_close(&other);
}

/* Requests outside the screen, and of nothing, do no harm, whatever the encoding. */
static void odd_requests(void **state)
{
    static const uint8_t requests[][10] = {{3, 0, 255, 255, 255, 255, 255, 255, 255, 255},
                                           {3, 0, 2, 127, 1, 223, 255, 255, 255, 255},
                                           {3, 0, 0, 0, 0, 0, 0, 0, 0, 0},
                                           {3, 1, 0, 0, 0, 0, 0, 0, 0, 0},
                                           {3, 0, 2, 128, 1, 224, 0, 1, 0, 1},
                                           {3, 0, 2, 128, 0, 0, 0, 1, 1, 224},
                                           {3, 0, 0, 0, 1, 224, 2, 128, 0, 1},
                                           {3, 0, 0, 5, 0, 5, 0, 0, 0, 9},
                                           {3, 0, 0, 5, 0, 5, 0, 9, 0, 0}};
    static const int32_t encodings[] = {RAW, 2, 4, 5, 6, TIGHT, 9, ZRLE, 17};
    unsigned keys = 0;

    (void)state;
    fake_display_mode(fake, 640, 480, 640, 0);
    for (size_t encoding = 0; encoding < ARRAY_SIZE(encodings); encoding++) {
        struct fake_viewer viewer;
        uint8_t byte;

        fake_rfb_join(&viewer);
        FAKE_VIEWER_ENCODINGS(&viewer, encodings[encoding]);
        for (size_t n = 0; n < ARRAY_SIZE(requests); n++) {
            fake_viewer_put(&viewer, requests[n], 10);
            fake_viewer_key(&viewer, 'a', n % 2 == 0); /* once it is there, the request has been looked at */
            fake_rfb_wait_events(++keys);
        }
        fake_viewer_key(&viewer, 'a', false);
        fake_rfb_wait_events(++keys);
        fake_viewer_request(&viewer, false);
        assert_int_equal(recv(viewer.fd, &byte, 1, MSG_PEEK), 1); /* it is answered */
        fake_viewer_close(&viewer);
        fake_rfb_wait_viewers(0);
    }
}

static void no_more_viewers_than_allowed(void **state)
{
    struct fake_viewer first[4], others[200];

    (void)state;
    for (unsigned n = 0; n < 4; n++)
        fake_rfb_join(&first[n]);
    for (unsigned n = 0; n < 200; n++)
        assert_int_equal(fake_rfb_attach(&others[n]), -EBUSY);
    for (unsigned n = 0; n < 200; n++) {
        fake_viewer_wait_end(&others[n]); /* nothing is left open */
        fake_viewer_close(&others[n]);
    }
    assert_int_equal(fake_rfb_viewers(), 4);
    fake_viewer_close(&first[2]);
    fake_rfb_wait_viewers(3);
    /* The seat is free when its thread has been seen off, a moment later. */
    for (unsigned n = 0, result = 1; n < 200 && result; n++) {
        result = fake_rfb_attach(&first[2]) != 0;
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
    fake_rfb_join(&deaf);
    fake_rfb_join(&other);
    start_ns = clock_ns();
    fake_viewer_request(&deaf, false); /* Raw: 7.7 MB that do not fit into any socket */
    FAKE_VIEWER_ENCODINGS(&other, ZRLE);
    fake_viewer_request(&other, false);
    fake_viewer_update(&other);
    for (unsigned n = 1; fake_rfb_viewers() == 2; n++) {
        fake_viewer_request(&other, true);
        fake_display_draw(fake, 0, n);
        fake_viewer_update(&other);
        assert_int_equal(other.pixels[0], n);
        assert_true(clock_ns() - start_ns < INT64_C(20000000000));
    }
    assert_true(clock_ns() - start_ns >= FAKE_RFB_PATIENCE_MS * INT64_C(1000000));
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
    fake_rfb_join(&idle);
    fake_viewer_request(&idle, false);
    fake_viewer_update(&idle);
    fake_viewer_request(&idle, true);
    assert_int_equal(fake_rfb_attach(&silent), 0);
    assert_int_equal(fake_rfb_attach(&late), 0);
    assert_true(fake_viewer_let_in(&late, 8, NULL)); /* and no ClientInit */
    fake_rfb_join(&slow);
    fake_viewer_put(&slow, half, sizeof half);
    fake_viewer_wait_end(&silent);
    fake_viewer_wait_end(&late);
    fake_viewer_wait_end(&slow);
    poll(NULL, 0, FAKE_RFB_PATIENCE_MS);
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

        assert_int_equal(fake_rfb_attach(&viewer), 0);
        fake_viewer_put(&viewer, bad[n].bytes, bad[n].size);
        fake_viewer_wait_end(&viewer);
        fake_viewer_close(&viewer);
        assert_int_equal(fake_rfb_viewers(), 0);
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
    assert_int_equal(fake_rfb_viewers(), 0);
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
    fake_rfb_join(&deaf);
    fake_viewer_request(&deaf, false);
    fake_rfb_join(&idle);
    fake_viewer_key(&idle, 'a', true);
    fake_rfb_wait_events(1);
    assert_int_equal(fake_rfb_attach(&silent), 0);
    rfb_destroy(rfb);
    fake_rfb_wait_events(2);
    fake_rfb_assert_key(1, KEY_A, false);
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
#define T(name) cmocka_unit_test_setup_teardown(name, fake_rfb_setup, fake_rfb_teardown)
#define IMPATIENT(name) cmocka_unit_test_setup_teardown(name, fake_rfb_setup_impatient, fake_rfb_teardown)
    const struct CMUnitTest tests[] = {
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

    return cmocka_run_group_tests(tests, NULL, NULL);
}
