/* Names of keys, and X11's keysyms of those that type no sign (see keymap.h, layout.h). */
#include <linux/input-event-codes.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "keymap.h"
#include "layout.h"

static const struct {
    const char *name;
    unsigned short code;
} names[] = {
    {"enter", KEY_ENTER},
    {"return", KEY_ENTER},
    {"esc", KEY_ESC},
    {"escape", KEY_ESC},
    {"tab", KEY_TAB},
    {"space", KEY_SPACE},
    {"backspace", KEY_BACKSPACE},
    {"delete", KEY_DELETE},
    {"del", KEY_DELETE},
    {"insert", KEY_INSERT},
    {"home", KEY_HOME},
    {"end", KEY_END},
    {"pageup", KEY_PAGEUP},
    {"pagedown", KEY_PAGEDOWN},
    {"up", KEY_UP},
    {"down", KEY_DOWN},
    {"left", KEY_LEFT},
    {"right", KEY_RIGHT},
    {"ctrl", KEY_LEFTCTRL},
    {"control", KEY_LEFTCTRL},
    {"rightctrl", KEY_RIGHTCTRL},
    {"alt", KEY_LEFTALT},
    {"altgr", KEY_RIGHTALT},
    {"shift", KEY_LEFTSHIFT},
    {"rightshift", KEY_RIGHTSHIFT},
    {"win", KEY_LEFTMETA},
    {"super", KEY_LEFTMETA},
    {"menu", KEY_COMPOSE},
    {"capslock", KEY_CAPSLOCK},
    {"numlock", KEY_NUMLOCK},
    {"scrolllock", KEY_SCROLLLOCK},
    {"print", KEY_SYSRQ},
    {"pause", KEY_PAUSE},
    {"f1", KEY_F1},
    {"f2", KEY_F2},
    {"f3", KEY_F3},
    {"f4", KEY_F4},
    {"f5", KEY_F5},
    {"f6", KEY_F6},
    {"f7", KEY_F7},
    {"f8", KEY_F8},
    {"f9", KEY_F9},
    {"f10", KEY_F10},
    {"f11", KEY_F11},
    {"f12", KEY_F12},
    {"f13", KEY_F13},
    {"f14", KEY_F14},
    {"f15", KEY_F15},
    {"f16", KEY_F16},
    {"f17", KEY_F17},
    {"f18", KEY_F18},
    {"f19", KEY_F19},
    {"f20", KEY_F20},
    {"f21", KEY_F21},
    {"f22", KEY_F22},
    {"f23", KEY_F23},
    {"f24", KEY_F24},
    {"kp0", KEY_KP0},
    {"kp1", KEY_KP1},
    {"kp2", KEY_KP2},
    {"kp3", KEY_KP3},
    {"kp4", KEY_KP4},
    {"kp5", KEY_KP5},
    {"kp6", KEY_KP6},
    {"kp7", KEY_KP7},
    {"kp8", KEY_KP8},
    {"kp9", KEY_KP9},
    {"kpdot", KEY_KPDOT},
    {"kpenter", KEY_KPENTER},
    {"kpplus", KEY_KPPLUS},
    {"kpminus", KEY_KPMINUS},
    {"kpmultiply", KEY_KPASTERISK},
    {"kpdivide", KEY_KPSLASH},
    {"102nd", KEY_102ND},
    {"rightwin", KEY_RIGHTMETA},
};

/* X11's keysymdef.h. */
static const struct {
    uint16_t keysym, code;
} keysyms[] = {
    {0xFF08, KEY_BACKSPACE},
    {0xFF09, KEY_TAB},
    {0xFF0D, KEY_ENTER},
    {0xFF13, KEY_PAUSE},
    {0xFF14, KEY_SCROLLLOCK},
    {0xFF15, KEY_SYSRQ},
    {0xFF1B, KEY_ESC},
    {0xFF22, KEY_MUHENKAN},
    {0xFF23, KEY_HENKAN},
    {0xFF27, KEY_KATAKANAHIRAGANA},
    {0xFF2A, KEY_ZENKAKUHANKAKU},
    {0xFF31, KEY_HANGEUL},
    {0xFF34, KEY_HANJA},
    {0xFF50, KEY_HOME},
    {0xFF51, KEY_LEFT},
    {0xFF52, KEY_UP},
    {0xFF53, KEY_RIGHT},
    {0xFF54, KEY_DOWN},
    {0xFF55, KEY_PAGEUP},
    {0xFF56, KEY_PAGEDOWN},
    {0xFF57, KEY_END},
    {0xFF61, KEY_SYSRQ},
    {0xFF63, KEY_INSERT},
    {0xFF67, KEY_COMPOSE},
    {0xFF6B, KEY_PAUSE},
    {0xFF7E, KEY_RIGHTALT},
    {0xFF7F, KEY_NUMLOCK},
    {0xFF80, KEY_SPACE},
    {0xFF89, KEY_TAB},
    {0xFF8D, KEY_KPENTER},
    {0xFF95, KEY_KP7},
    {0xFF96, KEY_KP4},
    {0xFF97, KEY_KP8},
    {0xFF98, KEY_KP6},
    {0xFF99, KEY_KP2},
    {0xFF9A, KEY_KP9},
    {0xFF9B, KEY_KP3},
    {0xFF9C, KEY_KP1},
    {0xFF9D, KEY_KP5},
    {0xFF9E, KEY_KP0},
    {0xFF9F, KEY_KPDOT},
    {0xFFAA, KEY_KPASTERISK},
    {0xFFAB, KEY_KPPLUS},
    {0xFFAC, KEY_KPCOMMA},
    {0xFFAD, KEY_KPMINUS},
    {0xFFAE, KEY_KPDOT},
    {0xFFAF, KEY_KPSLASH},
    {0xFFB0, KEY_KP0},
    {0xFFB1, KEY_KP1},
    {0xFFB2, KEY_KP2},
    {0xFFB3, KEY_KP3},
    {0xFFB4, KEY_KP4},
    {0xFFB5, KEY_KP5},
    {0xFFB6, KEY_KP6},
    {0xFFB7, KEY_KP7},
    {0xFFB8, KEY_KP8},
    {0xFFB9, KEY_KP9},
    {0xFFBD, KEY_KPEQUAL},
    {0xFFBE, KEY_F1},
    {0xFFBF, KEY_F2},
    {0xFFC0, KEY_F3},
    {0xFFC1, KEY_F4},
    {0xFFC2, KEY_F5},
    {0xFFC3, KEY_F6},
    {0xFFC4, KEY_F7},
    {0xFFC5, KEY_F8},
    {0xFFC6, KEY_F9},
    {0xFFC7, KEY_F10},
    {0xFFC8, KEY_F11},
    {0xFFC9, KEY_F12},
    {0xFFE1, KEY_LEFTSHIFT},
    {0xFFE2, KEY_RIGHTSHIFT},
    {0xFFE3, KEY_LEFTCTRL},
    {0xFFE4, KEY_RIGHTCTRL},
    {0xFFE5, KEY_CAPSLOCK},
    {0xFFE7, KEY_LEFTMETA},
    {0xFFE8, KEY_RIGHTMETA},
    {0xFFE9, KEY_LEFTALT},
    {0xFFEA, KEY_RIGHTALT},
    {0xFFEB, KEY_LEFTMETA},
    {0xFFEC, KEY_RIGHTMETA},
    {0xFFFF, KEY_DELETE},
    {0xFE03, KEY_RIGHTALT},
    {0xFE20, KEY_TAB},
};

unsigned keysym_key(uint32_t keysym)
{
    for (size_t n = 0; n < ARRAY_SIZE(keysyms); n++)
        if (keysyms[n].keysym == keysym)
            return keysyms[n].code;
    return 0;
}

unsigned keymap_name(const char *name, size_t length)
{
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        if (strlen(names[n].name) == length && !strncasecmp(names[n].name, name, length))
            return names[n].code;
    return 0;
}

const char *keymap_like(const char *name, size_t length)
{
    size_t best = 0, best_shared = 0;

    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        size_t shared = 0;

        while (shared < length && names[n].name[shared] && (name[shared] | 0x20) == names[n].name[shared])
            shared++;
        if (shared > best_shared) {
            best_shared = shared;
            best = n;
        }
    }
    return names[best].name;
}
