/* The two tables (see scancodes.h); set 1 codes are the key codes themselves for the original 83 keys. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "casement/bytes.h"
#include "scancodes.h"

/* Set 2 codes of keys 1 to 88, by Linux key code, which for these equals set 1. */
static const uint8_t set2[] = {
    [KEY_ESC] = 0x76,      [KEY_1] = 0x16,          [KEY_2] = 0x1E,          [KEY_3] = 0x26,
    [KEY_4] = 0x25,        [KEY_5] = 0x2E,          [KEY_6] = 0x36,          [KEY_7] = 0x3D,
    [KEY_8] = 0x3E,        [KEY_9] = 0x46,          [KEY_0] = 0x45,          [KEY_MINUS] = 0x4E,
    [KEY_EQUAL] = 0x55,    [KEY_BACKSPACE] = 0x66,  [KEY_TAB] = 0x0D,        [KEY_Q] = 0x15,
    [KEY_W] = 0x1D,        [KEY_E] = 0x24,          [KEY_R] = 0x2D,          [KEY_T] = 0x2C,
    [KEY_Y] = 0x35,        [KEY_U] = 0x3C,          [KEY_I] = 0x43,          [KEY_O] = 0x44,
    [KEY_P] = 0x4D,        [KEY_LEFTBRACE] = 0x54,  [KEY_RIGHTBRACE] = 0x5B, [KEY_ENTER] = 0x5A,
    [KEY_LEFTCTRL] = 0x14, [KEY_A] = 0x1C,          [KEY_S] = 0x1B,          [KEY_D] = 0x23,
    [KEY_F] = 0x2B,        [KEY_G] = 0x34,          [KEY_H] = 0x33,          [KEY_J] = 0x3B,
    [KEY_K] = 0x42,        [KEY_L] = 0x4B,          [KEY_SEMICOLON] = 0x4C,  [KEY_APOSTROPHE] = 0x52,
    [KEY_GRAVE] = 0x0E,    [KEY_LEFTSHIFT] = 0x12,  [KEY_BACKSLASH] = 0x5D,  [KEY_Z] = 0x1A,
    [KEY_X] = 0x22,        [KEY_C] = 0x21,          [KEY_V] = 0x2A,          [KEY_B] = 0x32,
    [KEY_N] = 0x31,        [KEY_M] = 0x3A,          [KEY_COMMA] = 0x41,      [KEY_DOT] = 0x49,
    [KEY_SLASH] = 0x4A,    [KEY_RIGHTSHIFT] = 0x59, [KEY_KPASTERISK] = 0x7C, [KEY_LEFTALT] = 0x11,
    [KEY_SPACE] = 0x29,    [KEY_CAPSLOCK] = 0x58,   [KEY_F1] = 0x05,         [KEY_F2] = 0x06,
    [KEY_F3] = 0x04,       [KEY_F4] = 0x0C,         [KEY_F5] = 0x03,         [KEY_F6] = 0x0B,
    [KEY_F7] = 0x83,       [KEY_F8] = 0x0A,         [KEY_F9] = 0x01,         [KEY_F10] = 0x09,
    [KEY_NUMLOCK] = 0x77,  [KEY_SCROLLLOCK] = 0x7E, [KEY_KP7] = 0x6C,        [KEY_KP8] = 0x75,
    [KEY_KP9] = 0x7D,      [KEY_KPMINUS] = 0x7B,    [KEY_KP4] = 0x6B,        [KEY_KP5] = 0x73,
    [KEY_KP6] = 0x74,      [KEY_KPPLUS] = 0x79,     [KEY_KP1] = 0x69,        [KEY_KP2] = 0x72,
    [KEY_KP3] = 0x7A,      [KEY_KP0] = 0x70,        [KEY_KPDOT] = 0x71,      [KEY_102ND] = 0x61,
    [KEY_F11] = 0x78,      [KEY_F12] = 0x07,
};

/* Keys behind an E0 prefix. */
static const struct {
    uint16_t code;
    uint8_t set1, set2;
} extended[] = {
    {KEY_KPENTER, 0x1C, 0x5A}, {KEY_RIGHTCTRL, 0x1D, 0x14}, {KEY_KPSLASH, 0x35, 0x4A},  {KEY_RIGHTALT, 0x38, 0x11},
    {KEY_HOME, 0x47, 0x6C},    {KEY_UP, 0x48, 0x75},        {KEY_PAGEUP, 0x49, 0x7D},   {KEY_LEFT, 0x4B, 0x6B},
    {KEY_RIGHT, 0x4D, 0x74},   {KEY_END, 0x4F, 0x69},       {KEY_DOWN, 0x50, 0x72},     {KEY_PAGEDOWN, 0x51, 0x7A},
    {KEY_INSERT, 0x52, 0x70},  {KEY_DELETE, 0x53, 0x71},    {KEY_LEFTMETA, 0x5B, 0x1F}, {KEY_RIGHTMETA, 0x5C, 0x27},
    {KEY_COMPOSE, 0x5D, 0x2F}, {KEY_SYSRQ, 0x37, 0x7C},
};

static unsigned put_code(uint8_t *bytes, bool prefix, uint8_t code, bool down, unsigned set)
{
    unsigned count = 0;

    if (prefix)
        bytes[count++] = 0xE0;
    if (set == 1) {
        bytes[count++] = down ? code : code | 0x80;
    } else {
        if (!down)
            bytes[count++] = 0xF0;
        bytes[count++] = code;
    }
    return count;
}

/* Pause sends make and break at once and nothing on release. */
static unsigned pause_code(bool down, unsigned set, uint8_t *bytes)
{
    static const uint8_t first[] = {0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5};
    static const uint8_t second[] = {0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77};

    if (!down)
        return 0;
    if (set == 1)
        memcpy(bytes, first, sizeof first);
    else
        memcpy(bytes, second, sizeof second);
    return set == 1 ? sizeof first : sizeof second;
}

unsigned scancode(unsigned code, bool down, unsigned set, uint8_t bytes[SCANCODE_MAX])
{
    if (code == KEY_PAUSE)
        return pause_code(down, set, bytes);
    for (size_t n = 0; n < ARRAY_SIZE(extended); n++)
        if (extended[n].code == code)
            return put_code(bytes, true, set == 1 ? extended[n].set1 : extended[n].set2, down, set);
    if (code >= ARRAY_SIZE(set2) || !set2[code])
        return 0;
    return put_code(bytes, false, set == 1 ? (uint8_t)code : set2[code], down, set);
}
