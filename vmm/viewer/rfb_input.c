/* Keys and pointer of one viewer (see rfb_input.h). */
#include <string.h>

#include "casement/bytes.h"
#include "rfb_input.h"

#define SAME_AS_LINUX 0x53 /* input event codes began as set 1 */
#define BUTTON(n) (1U << ((n)-1))

/* Scan code set 1 behind KEY_KPDOT, and with 0x80 what E0 announces. */
static const uint8_t codes[256] = {
    [0x54] = KEY_SYSRQ,      [0x56] = KEY_102ND,        [0x57] = KEY_F11,
    [0x58] = KEY_F12,        [0x59] = KEY_KPEQUAL,      [0x5D] = KEY_F13,
    [0x5E] = KEY_F14,        [0x5F] = KEY_F15,          [0x70] = KEY_KATAKANAHIRAGANA,
    [0x71] = KEY_HANJA,      [0x72] = KEY_HANGEUL,      [0x73] = KEY_RO,
    [0x79] = KEY_HENKAN,     [0x7B] = KEY_MUHENKAN,     [0x7D] = KEY_YEN,
    [0x7E] = KEY_KPCOMMA,    [0x90] = KEY_PREVIOUSSONG, [0x99] = KEY_NEXTSONG,
    [0x9C] = KEY_KPENTER,    [0x9D] = KEY_RIGHTCTRL,    [0xA0] = KEY_MUTE,
    [0xA1] = KEY_CALC,       [0xA2] = KEY_PLAYPAUSE,    [0xA4] = KEY_STOPCD,
    [0xAE] = KEY_VOLUMEDOWN, [0xB0] = KEY_VOLUMEUP,     [0xB2] = KEY_HOMEPAGE,
    [0xB5] = KEY_KPSLASH,    [0xB7] = KEY_SYSRQ,        [0xB8] = KEY_RIGHTALT,
    [0xC6] = KEY_PAUSE,      [0xC7] = KEY_HOME,         [0xC8] = KEY_UP,
    [0xC9] = KEY_PAGEUP,     [0xCB] = KEY_LEFT,         [0xCD] = KEY_RIGHT,
    [0xCF] = KEY_END,        [0xD0] = KEY_DOWN,         [0xD1] = KEY_PAGEDOWN,
    [0xD2] = KEY_INSERT,     [0xD3] = KEY_DELETE,       [0xDB] = KEY_LEFTMETA,
    [0xDC] = KEY_RIGHTMETA,  [0xDD] = KEY_COMPOSE,      [0xDE] = KEY_POWER,
    [0xDF] = KEY_SLEEP,      [0xE3] = KEY_WAKEUP,       [0xE5] = KEY_SEARCH,
    [0xE6] = KEY_BOOKMARKS,  [0xE7] = KEY_REFRESH,      [0xE8] = KEY_STOP,
    [0xE9] = KEY_FORWARD,    [0xEA] = KEY_BACK,         [0xEB] = KEY_COMPUTER,
    [0xEC] = KEY_MAIL,       [0xED] = KEY_MEDIA,
};

unsigned rfb_key_code(uint32_t xt)
{
    if (xt >= ARRAY_SIZE(codes))
        return 0;
    return xt <= SAME_AS_LINUX ? xt : codes[xt];
}

void rfb_input_keysym(struct rfb_input *viewer, uint32_t keysym, bool down)
{
    unsigned at = 0;

    while (at < viewer->keysym_count && viewer->keysyms[at] != keysym)
        at++;
    if (down && at == RFB_KEYSYMS_HELD)
        return; /* more keys than fingers */
    if (input_keysym(viewer->input, keysym, down) < 0)
        return;
    if (down && at == viewer->keysym_count)
        viewer->keysyms[viewer->keysym_count++] = keysym;
    else if (!down && at < viewer->keysym_count)
        viewer->keysyms[at] = viewer->keysyms[--viewer->keysym_count];
}

void rfb_input_key(struct rfb_input *viewer, uint32_t xt, uint32_t keysym, bool down)
{
    unsigned code = rfb_key_code(xt);
    uint8_t bit = (uint8_t)(1U << code % 8);

    if (!code) {
        rfb_input_keysym(viewer, keysym, down);
        return;
    }
    if (input_key(viewer->input, code, down) < 0)
        return;
    if (down)
        viewer->codes[code / 8] |= bit;
    else
        viewer->codes[code / 8] &= (uint8_t)~bit;
}

uint16_t rfb_pointer_position(unsigned pixel, unsigned size)
{
    const uint64_t range = INPUT_POINTER_MAX + 1;

    if (!size)
        return 0;
    return (uint16_t)((2 * (uint64_t)MIN(pixel, size - 1) + 1) * range / (2 * (uint64_t)size));
}

void rfb_input_pointer(struct rfb_input *viewer, unsigned x, unsigned y, unsigned width, unsigned height,
                       uint16_t buttons)
{
    /* A turn of the wheel is a press and a release of its button (RFC 6143 7.5.5). */
    unsigned pressed = buttons & (unsigned)~viewer->buttons;
    struct input_pointer pointer = {
        .x = rfb_pointer_position(x, width),
        .y = rfb_pointer_position(y, height),
        .buttons =
            (uint8_t)((buttons & BUTTON(1) ? 1 : 0) | (buttons & BUTTON(3) ? 2 : 0) | (buttons & BUTTON(2) ? 4 : 0) |
                      (buttons & BUTTON(8) ? 8 : 0) | (buttons & BUTTON(9) ? 16 : 0)),
        .wheel = (int8_t)(!!(pressed & BUTTON(4)) - !!(pressed & BUTTON(5))),
        .pan = (int8_t)(!!(pressed & BUTTON(7)) - !!(pressed & BUTTON(6))),
    };

    viewer->buttons = buttons;
    viewer->x = pointer.x;
    viewer->y = pointer.y;
    input_pointer(viewer->input, &pointer);
}

void rfb_input_release(struct rfb_input *viewer)
{
    const struct input_pointer pointer = {.x = viewer->x, .y = viewer->y};

    for (unsigned code = 0; code < KEY_CNT; code++)
        if (viewer->codes[code / 8] >> code % 8 & 1)
            input_key(viewer->input, code, false);
    for (unsigned n = 0; n < viewer->keysym_count; n++)
        input_keysym(viewer->input, viewer->keysyms[n], false);
    if (viewer->buttons)
        input_pointer(viewer->input, &pointer);
    memset(viewer->codes, 0, sizeof viewer->codes);
    viewer->keysym_count = 0;
    viewer->buttons = 0;
}
