/* Bounds and content of a peer's messages (see rfb_messages.h). */
#include "rfb_messages.h"
#include "casement/bytes.h"
#include "rfb_input.h"

enum {
    SET_PIXEL_FORMAT = 0,
    SET_ENCODINGS = 2,
    UPDATE_REQUEST = 3,
    KEY_EVENT = 4,
    POINTER_EVENT = 5,
    CUT_TEXT = 6,
    SET_DESKTOP_SIZE = 251,
    QEMU_MESSAGE = 255
};
#define QEMU_EXTENDED_KEY 0
#define ENCODING_EXTENDED_KEY (-258)
#define ENCODING_EXTENDED_BUTTONS (-316)

#define ENCODINGS_MAX 512U
#define SCREENS_MAX 16U
#define CUT_TEXT_MAX (256U * 1024)

/* True colour of sane shape (7.4): the library shifts and divides by what stands here. */
static bool good_pixel_format(const uint8_t *format)
{
    unsigned bits = format[0], depth = format[1];

    if ((bits != 8 && bits != 16 && bits != 32) || !depth || depth > bits)
        return false;
    if (!format[3])
        return bits == 8; /* a colour map, which the library sets up */
    for (unsigned colour = 0; colour < 3; colour++) {
        unsigned most = get_be16(format + 4 + 2 * (size_t)colour), shift = format[10 + colour];

        if (!most || (most & (most + 1)) || shift >= bits || (uint64_t)most << shift >> bits)
            return false;
    }
    return true;
}

static void parse_encodings(const uint8_t *data, struct rfb_message *message)
{
    message->kind = RFB_MESSAGE_SET_ENCODINGS;
    for (unsigned at = 4; at < message->length; at += 4) {
        int32_t encoding = (int32_t)get_be32(data + at);

        message->extended_keys |= encoding == ENCODING_EXTENDED_KEY;
        message->extended_buttons |= encoding == ENCODING_EXTENDED_BUTTONS;
    }
}

static void parse_pointer(const uint8_t *data, struct rfb_message *message)
{
    message->kind = RFB_MESSAGE_POINTER;
    message->buttons = data[1];
    if (message->length == 7)
        message->buttons = (uint16_t)((data[1] & RFB_BUTTONS_LOW) | data[6] << 7);
    message->x = get_be16(data + 2);
    message->y = get_be16(data + 4);
}

/* 7.5.6: the extended clipboard says its size as a negative number. */
static void parse_cut_text(const uint8_t *data, struct rfb_message *message)
{
    int32_t size = (int32_t)get_be32(data + 4);

    message->skip = size < 0 ? 0U - (uint32_t)size : (uint32_t)size;
    message->kind = message->skip > CUT_TEXT_MAX ? RFB_MESSAGE_REFUSED : RFB_MESSAGE_CUT_TEXT;
}

static void parse_whole(const uint8_t *data, struct rfb_message *message)
{
    switch (data[0]) {
    case SET_PIXEL_FORMAT:
        message->kind = good_pixel_format(data + 4) ? RFB_MESSAGE_LIBRARY : RFB_MESSAGE_REFUSED;
        break;
    case SET_ENCODINGS:
        parse_encodings(data, message);
        break;
    case UPDATE_REQUEST:
        message->kind = RFB_MESSAGE_UPDATE_REQUEST;
        message->x = get_be16(data + 2);
        message->y = get_be16(data + 4);
        message->width = get_be16(data + 6);
        message->height = get_be16(data + 8);
        break;
    case KEY_EVENT:
        message->kind = RFB_MESSAGE_KEY;
        message->down = data[1];
        message->keysym = get_be32(data + 4);
        break;
    case POINTER_EVENT:
        parse_pointer(data, message);
        break;
    case CUT_TEXT:
        parse_cut_text(data, message);
        break;
    case QEMU_MESSAGE:
        message->kind = data[1] == QEMU_EXTENDED_KEY ? RFB_MESSAGE_EXTENDED_KEY : RFB_MESSAGE_REFUSED;
        message->down = get_be16(data + 2);
        message->keysym = get_be32(data + 4);
        message->scan_code = get_be32(data + 8);
        break;
    default:
        message->kind = RFB_MESSAGE_LIBRARY;
        break;
    }
}

void rfb_message_parse(const uint8_t *data, size_t size, bool extended_buttons, struct rfb_message *message)
{
    static const uint8_t heads[256] = {
        [SET_PIXEL_FORMAT] = 20, [SET_ENCODINGS] = 4, [UPDATE_REQUEST] = 10,  [KEY_EVENT] = 8,
        [POINTER_EVENT] = 6,     [CUT_TEXT] = 8,      [SET_DESKTOP_SIZE] = 8, [QEMU_MESSAGE] = 12};
    unsigned count;

    *message = (struct rfb_message){.kind = RFB_MESSAGE_PARTIAL};
    if (!size)
        return;
    message->length = heads[data[0]];
    if (!message->length) {
        message->kind = RFB_MESSAGE_REFUSED;
        return;
    }
    if (size < message->length)
        return;
    if (data[0] == SET_ENCODINGS || data[0] == SET_DESKTOP_SIZE) {
        count = data[0] == SET_ENCODINGS ? get_be16(data + 2) : data[6];
        if (count > (data[0] == SET_ENCODINGS ? ENCODINGS_MAX : SCREENS_MAX)) {
            message->kind = RFB_MESSAGE_REFUSED;
            return;
        }
        message->length += count * (data[0] == SET_ENCODINGS ? 4 : 16);
    } else if (data[0] == POINTER_EVENT && extended_buttons && (data[1] & RFB_BUTTONS_MORE)) {
        message->length++;
    }
    if (size >= message->length)
        parse_whole(data, message);
}
