/* The RFB client of tests (see fake_viewer.h). */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vmm/viewer/rfb_handshake.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_viewer.h"

#define LIMIT_MS 30000
#define ZRLE_TILE 64U
#define ZRLE_STREAM 4

void fake_viewer_init(struct fake_viewer *viewer, int fd)
{
    *viewer = (struct fake_viewer){.fd = fd};
    for (size_t n = 0; n < ARRAY_SIZE(viewer->streams); n++)
        assert_int_equal(inflateInit(&viewer->streams[n]), Z_OK);
}

void fake_viewer_close(struct fake_viewer *viewer)
{
    for (size_t n = 0; n < ARRAY_SIZE(viewer->streams); n++)
        inflateEnd(&viewer->streams[n]);
    free(viewer->pixels);
    if (viewer->fd >= 0)
        close(viewer->fd);
    viewer->fd = -1;
}

void fake_viewer_put(struct fake_viewer *viewer, const void *data, size_t size)
{
    assert_int_equal(send(viewer->fd, data, size, MSG_NOSIGNAL), size);
}

static ssize_t get_some(struct fake_viewer *viewer, void *data, size_t size)
{
    struct pollfd poll_fd = {.fd = viewer->fd, .events = POLLIN};

    if (poll(&poll_fd, 1, LIMIT_MS) != 1)
        fail_msg("the server was silent for %d ms", LIMIT_MS);
    return recv(viewer->fd, data, size, 0);
}

void fake_viewer_get(struct fake_viewer *viewer, void *data, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t got = get_some(viewer, (char *)data + have, size - have);

        if (got <= 0)
            fail_msg("the server has closed the connection");
        have += (size_t)got;
    }
}

static unsigned get_byte(struct fake_viewer *viewer)
{
    uint8_t byte;

    fake_viewer_get(viewer, &byte, 1);
    return byte;
}

static uint32_t get_word(struct fake_viewer *viewer)
{
    uint8_t bytes[4];

    fake_viewer_get(viewer, bytes, 4);
    return get_be32(bytes);
}

void fake_viewer_wait_end(struct fake_viewer *viewer)
{
    char bytes[65536];

    while (get_some(viewer, bytes, sizeof bytes) > 0)
        ;
}

bool fake_viewer_let_in(struct fake_viewer *viewer, unsigned minor, const char *password)
{
    char version[13] = "";
    uint8_t key[RFB_KEY], challenge[RFB_CHALLENGE], answer[RFB_CHALLENGE];
    const uint8_t type = password ? 2 : 1;

    fake_viewer_get(viewer, version, 12);
    assert_string_equal(version, "RFB 003.008\n");
    version[10] = (char)('0' + minor);
    fake_viewer_put(viewer, version, 12);
    if (minor == 3) {
        assert_int_equal(get_word(viewer), type);
    } else {
        assert_int_equal(get_byte(viewer), 1);
        assert_int_equal(get_byte(viewer), type);
        fake_viewer_put(viewer, &type, 1);
    }
    if (password) {
        fake_viewer_get(viewer, challenge, sizeof challenge);
        rfb_key_from_password(password, key);
        assert_int_equal(rfb_encrypt_challenge(key, challenge, answer), 0);
        fake_viewer_put(viewer, answer, sizeof answer);
    }
    return (!password && minor < 8) || get_word(viewer) == 0;
}

static void set_size(struct fake_viewer *viewer, unsigned width, unsigned height)
{
    viewer->width = width;
    viewer->height = height;
    free(viewer->pixels);
    viewer->pixels = calloc((size_t)width * height, sizeof *viewer->pixels);
    assert_non_null(viewer->pixels);
}

void fake_viewer_start(struct fake_viewer *viewer)
{
    static const uint8_t format[13] = {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0};
    uint8_t init[24], shared = 1;

    fake_viewer_put(viewer, &shared, 1);
    fake_viewer_get(viewer, init, sizeof init);
    set_size(viewer, get_be16(init), get_be16(init + 2));
    assert_memory_equal(init + 4, format, sizeof format);
    assert_true(get_be32(init + 20) < sizeof viewer->name);
    fake_viewer_get(viewer, viewer->name, get_be32(init + 20));
}

void fake_viewer_encodings(struct fake_viewer *viewer, unsigned count, const int32_t *encodings)
{
    uint8_t message[4 + 4 * 64] = {2};

    assert_true(count <= 64);
    put_be16(message + 2, (uint16_t)count);
    for (unsigned n = 0; n < count; n++)
        put_be32(message + 4 + 4 * (size_t)n, (uint32_t)encodings[n]);
    fake_viewer_put(viewer, message, 4 + 4 * (size_t)count);
}

void fake_viewer_request(struct fake_viewer *viewer, bool incremental)
{
    uint8_t message[10] = {3, incremental};

    put_be16(message + 6, (uint16_t)viewer->width);
    put_be16(message + 8, (uint16_t)viewer->height);
    fake_viewer_put(viewer, message, sizeof message);
}

void fake_viewer_key(struct fake_viewer *viewer, uint32_t keysym, bool down)
{
    uint8_t message[8] = {4, down};

    put_be32(message + 4, keysym);
    fake_viewer_put(viewer, message, sizeof message);
}

void fake_viewer_extended_key(struct fake_viewer *viewer, uint32_t scan_code, uint32_t keysym, bool down)
{
    uint8_t message[12] = {255, 0, 0, down};

    put_be32(message + 4, keysym);
    put_be32(message + 8, scan_code);
    fake_viewer_put(viewer, message, sizeof message);
}

void fake_viewer_pointer(struct fake_viewer *viewer, unsigned x, unsigned y, unsigned buttons)
{
    uint8_t message[7] = {5, (uint8_t)buttons};

    put_be16(message + 2, (uint16_t)x);
    put_be16(message + 4, (uint16_t)y);
    if (buttons > 0x7F && viewer->has_extended_buttons) {
        message[1] = (uint8_t)(0x80 | buttons);
        message[6] = (uint8_t)(buttons >> 7);
        fake_viewer_put(viewer, message, 7);
    } else {
        fake_viewer_put(viewer, message, 6);
    }
}

static void set_pixel(struct fake_viewer *viewer, unsigned x, unsigned y, uint32_t value)
{
    viewer->pixels[(size_t)y * viewer->width + x] = value & 0xFFFFFF;
}

static void raw(struct fake_viewer *viewer, unsigned left, unsigned top, unsigned width, unsigned height)
{
    uint8_t *line = malloc((size_t)width * 4);

    for (unsigned y = 0; y < height; y++) {
        fake_viewer_get(viewer, line, (size_t)width * 4);
        for (unsigned x = 0; x < width; x++)
            set_pixel(viewer, left + x, top + y, get_le32(line + 4 * (size_t)x));
    }
    free(line);
}

/* Exactly so many bytes come out of what went into the stream. */
static void inflate_bytes(z_stream *stream, void *to, size_t size)
{
    stream->next_out = to;
    stream->avail_out = (uInt)size;
    while (stream->avail_out) {
        int result = inflate(stream, Z_SYNC_FLUSH);

        if (result != Z_OK)
            fail_msg("inflate: %d with %u bytes to come", result, stream->avail_out);
    }
}

static uint32_t zrle_pixel(z_stream *stream)
{
    uint8_t bytes[3];

    inflate_bytes(stream, bytes, 3);
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16;
}

static unsigned zrle_byte(z_stream *stream)
{
    uint8_t byte;

    inflate_bytes(stream, &byte, 1);
    return byte;
}

static unsigned zrle_run(z_stream *stream)
{
    unsigned length = 1, byte;

    do {
        byte = zrle_byte(stream);
        length += byte;
    } while (byte == 255);
    return length;
}

/* RFC 6143 7.7.6: raw, one colour, packed palette, run lengths with and without a palette. */
static void zrle_tile(struct fake_viewer *viewer, unsigned left, unsigned top, unsigned width, unsigned height)
{
    z_stream *stream = &viewer->streams[ZRLE_STREAM];
    unsigned kind = zrle_byte(stream), colours = kind & 127, bits = colours > 4 ? 4 : colours > 2 ? 2 : 1, packed = 0;
    uint32_t palette[128] = {0}, value = 0;

    for (unsigned n = 0; n < colours; n++)
        palette[n] = zrle_pixel(stream);
    for (unsigned y = 0, run = 0; y < height; y++)
        for (unsigned x = 0, have = 0; x < width; x++) {
            if (kind == 0) {
                value = zrle_pixel(stream);
            } else if (kind == 1) {
                value = palette[0];
            } else if (kind < 128) {
                if (!have) {
                    packed = zrle_byte(stream);
                    have = 8;
                }
                have -= bits;
                value = palette[packed >> have & ((1U << bits) - 1)];
            } else if (run) {
                run--;
            } else if (kind == 128) {
                value = zrle_pixel(stream);
                run = zrle_run(stream) - 1;
            } else {
                unsigned index = zrle_byte(stream);

                value = palette[index & 127];
                run = index & 128 ? zrle_run(stream) - 1 : 0;
            }
            set_pixel(viewer, left + x, top + y, value);
        }
}

static void zrle(struct fake_viewer *viewer, unsigned left, unsigned top, unsigned width, unsigned height)
{
    uint32_t size = get_word(viewer);
    uint8_t *data = malloc(size);

    fake_viewer_get(viewer, data, size);
    viewer->streams[ZRLE_STREAM].next_in = data;
    viewer->streams[ZRLE_STREAM].avail_in = size;
    for (unsigned y = 0; y < height; y += ZRLE_TILE)
        for (unsigned x = 0; x < width; x += ZRLE_TILE)
            zrle_tile(viewer, left + x, top + y, MIN(ZRLE_TILE, width - x), MIN(ZRLE_TILE, height - y));
    free(data);
}

static uint32_t tight_pixel(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
}

static void tight_data(struct fake_viewer *viewer, unsigned number, uint8_t *to, size_t size)
{
    size_t length = 0;
    uint8_t *data;

    if (size < 12) {
        fake_viewer_get(viewer, to, size);
        return;
    }
    for (unsigned n = 0, byte = 0x80; n < 3 && (byte & 0x80); n++) {
        byte = get_byte(viewer);
        length |= (size_t)(n < 2 ? byte & 0x7F : byte) << 7 * n;
    }
    data = malloc(length);
    fake_viewer_get(viewer, data, length);
    viewer->streams[number].next_in = data;
    viewer->streams[number].avail_in = (uInt)length;
    inflate_bytes(&viewer->streams[number], to, size);
    free(data);
}

/* The Tight encoding of the community's rfbproto: one colour, or zlib with or without a palette. */
static void tight(struct fake_viewer *viewer, unsigned left, unsigned top, unsigned width, unsigned height)
{
    unsigned control = get_byte(viewer), kind = control >> 4, filter = 0, colours = 0;
    uint8_t palette[256 * 3] = {0};
    size_t line = (size_t)width * 3;
    uint8_t *data;

    for (unsigned n = 0; n < 4; n++)
        if (control >> n & 1)
            inflateReset(&viewer->streams[n]);
    if (kind == 8) {
        fake_viewer_get(viewer, palette, 3);
        for (size_t n = 0; n < (size_t)width * height; n++)
            set_pixel(viewer, left + (unsigned)(n % width), top + (unsigned)(n / width), tight_pixel(palette));
        return;
    }
    assert_true(kind < 8);
    if (kind & 4)
        filter = get_byte(viewer);
    assert_in_range(filter, 0, 1);
    if (filter == 1) {
        colours = get_byte(viewer) + 1;
        fake_viewer_get(viewer, palette, (size_t)colours * 3);
        line = colours == 2 ? (width + 7) / 8 : width;
    }
    data = malloc(line * height);
    tight_data(viewer, kind & 3, data, line * height);
    for (unsigned y = 0; y < height; y++)
        for (unsigned x = 0; x < width; x++) {
            const uint8_t *at = data + y * line;
            const uint8_t *colour = filter == 0    ? at + 3 * (size_t)x
                                    : colours == 2 ? palette + 3 * (size_t)(at[x / 8] >> (7 - x % 8) & 1)
                                                   : palette + 3 * (size_t)at[x];

            set_pixel(viewer, left + x, top + y, tight_pixel(colour));
        }
    free(data);
}

static void extended_size(struct fake_viewer *viewer, const uint8_t *head)
{
    unsigned screens = get_byte(viewer);
    uint8_t rest[16];

    fake_viewer_get(viewer, rest, 3);
    for (unsigned n = 0; n < screens; n++)
        fake_viewer_get(viewer, rest, 16);
    viewer->resize_reason = get_be16(head);
    viewer->resize_status = get_be16(head + 2);
    if (viewer->width != get_be16(head + 4) || viewer->height != get_be16(head + 6))
        set_size(viewer, get_be16(head + 4), get_be16(head + 6));
    viewer->resized = true;
}

static void pixels(struct fake_viewer *viewer, const uint8_t *head, int32_t encoding)
{
    unsigned left = get_be16(head), top = get_be16(head + 2), width = get_be16(head + 4), height = get_be16(head + 6);

    assert_true(width && height && left + width <= viewer->width && top + height <= viewer->height);
    viewer->encoding = encoding;
    viewer->left = MIN(viewer->left, left);
    viewer->top = MIN(viewer->top, top);
    viewer->right = MAX(viewer->right, left + width);
    viewer->bottom = MAX(viewer->bottom, top + height);
    viewer->area += (uint64_t)width * height;
    (encoding == RAW ? raw : encoding == ZRLE ? zrle : tight)(viewer, left, top, width, height);
}

/* false: it was the last one. */
static bool rectangle(struct fake_viewer *viewer)
{
    uint8_t head[12];
    int32_t encoding;

    fake_viewer_get(viewer, head, sizeof head);
    encoding = (int32_t)get_be32(head + 8);
    switch (encoding) {
    case RAW:
    case ZRLE:
    case TIGHT:
        pixels(viewer, head, encoding);
        break;
    case NEW_SIZE:
        set_size(viewer, get_be16(head + 4), get_be16(head + 6));
        viewer->resized = true;
        break;
    case EXTENDED_SIZE:
        extended_size(viewer, head);
        break;
    case EXTENDED_KEY:
        viewer->has_extended_key = true;
        break;
    case EXTENDED_BUTTONS:
        viewer->has_extended_buttons = true;
        break;
    case CURSOR: /* none: the guest draws its own */
        assert_int_equal(get_be32(head + 4), 0);
        viewer->has_cursor = true;
        break;
    case LAST_RECT:
        return false;
    default:
        fail_msg("a rectangle with encoding %d, which was not asked for", encoding);
    }
    return true;
}

/* ServerCutText; a negative size is the extended clipboard's. */
static void skip_text(struct fake_viewer *viewer)
{
    uint8_t head[3], text[256];
    int32_t size;

    fake_viewer_get(viewer, head, sizeof head);
    size = (int32_t)get_word(viewer);
    size = size < 0 ? -size : size;
    assert_in_range(size, 0, sizeof text);
    fake_viewer_get(viewer, text, (size_t)size);
}

void fake_viewer_update(struct fake_viewer *viewer)
{
    uint8_t head[3];
    unsigned count, n = 0, kind = get_byte(viewer);

    for (; kind == 3; kind = get_byte(viewer))
        skip_text(viewer);
    assert_int_equal(kind, 0);
    fake_viewer_get(viewer, head, sizeof head);
    count = get_be16(head + 1);
    viewer->left = viewer->top = UINT16_MAX;
    viewer->right = viewer->bottom = 0;
    viewer->area = 0;
    viewer->resized = false;
    while (n < count && rectangle(viewer))
        n++;
    viewer->rectangles = n;
}

void fake_viewer_update_size(struct fake_viewer *viewer, unsigned width)
{
    do {
        fake_viewer_request(viewer, true);
        fake_viewer_update(viewer);
    } while (!viewer->resized || viewer->width != width);
}
