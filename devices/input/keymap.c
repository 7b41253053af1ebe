/* Tables of a US keyboard (see keymap.h). */
#include <linux/input-event-codes.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "keymap.h"

/* Keys that type, with the sign alone and the one with shift. */
static const struct {
    unsigned char plain, shifted;
    unsigned short code;
} signs[] = {
    {'1', '!', KEY_1},          {'2', '@', KEY_2},         {'3', '#', KEY_3},           {'4', '$', KEY_4},
    {'5', '%', KEY_5},          {'6', '^', KEY_6},         {'7', '&', KEY_7},           {'8', '*', KEY_8},
    {'9', '(', KEY_9},          {'0', ')', KEY_0},         {'-', '_', KEY_MINUS},       {'=', '+', KEY_EQUAL},
    {'q', 'Q', KEY_Q},          {'w', 'W', KEY_W},         {'e', 'E', KEY_E},           {'r', 'R', KEY_R},
    {'t', 'T', KEY_T},          {'y', 'Y', KEY_Y},         {'u', 'U', KEY_U},           {'i', 'I', KEY_I},
    {'o', 'O', KEY_O},          {'p', 'P', KEY_P},         {'[', '{', KEY_LEFTBRACE},   {']', '}', KEY_RIGHTBRACE},
    {'a', 'A', KEY_A},          {'s', 'S', KEY_S},         {'d', 'D', KEY_D},           {'f', 'F', KEY_F},
    {'g', 'G', KEY_G},          {'h', 'H', KEY_H},         {'j', 'J', KEY_J},           {'k', 'K', KEY_K},
    {'l', 'L', KEY_L},          {';', ':', KEY_SEMICOLON}, {'\'', '"', KEY_APOSTROPHE}, {'`', '~', KEY_GRAVE},
    {'\\', '|', KEY_BACKSLASH}, {'z', 'Z', KEY_Z},         {'x', 'X', KEY_X},           {'c', 'C', KEY_C},
    {'v', 'V', KEY_V},          {'b', 'B', KEY_B},         {'n', 'N', KEY_N},           {'m', 'M', KEY_M},
    {',', '<', KEY_COMMA},      {'.', '>', KEY_DOT},       {'/', '?', KEY_SLASH},       {' ', ' ', KEY_SPACE},
    {'\n', '\n', KEY_ENTER},    {'\t', '\t', KEY_TAB},
};

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
    {"minus", KEY_MINUS},
    {"plus", KEY_EQUAL},
};

bool keymap_sign(unsigned char sign, unsigned *code, bool *shift)
{
    for (size_t n = 0; n < ARRAY_SIZE(signs); n++)
        if (signs[n].plain == sign || signs[n].shifted == sign) {
            *code = signs[n].code;
            *shift = signs[n].plain != sign;
            return true;
        }
    return false;
}

unsigned keymap_name(const char *name, size_t length)
{
    unsigned code;
    bool shift;

    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        if (strlen(names[n].name) == length && !strncasecmp(names[n].name, name, length))
            return names[n].code;
    return length == 1 &&
                   keymap_sign((unsigned char)(*name >= 'A' && *name <= 'Z' ? *name | 0x20 : *name), &code, &shift) &&
                   !shift
               ? code
               : 0;
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
