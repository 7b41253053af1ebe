/*
 * Which keys make a text, a chord, or what a viewer typed (see input.h): all end as key events in the one queue. What
 * is held is what will be once the queue is empty.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "input_private.h"
#include "keymap.h"

#define CHORD_KEYS 8
#define STROKE_EVENTS 6 /* shift, AltGr, the key, and up again */

/* Events in the making; of a text also which of shift and AltGr are down after them. */
struct keys {
    struct event *events;
    unsigned count, modifiers;
};

static void add(struct keys *keys, unsigned code, bool down)
{
    keys->events[keys->count++] = (struct event){.code = (uint16_t)code, .down = down};
}

static bool pressed(const struct input *input, unsigned code)
{
    return input->pressed[code / 8] & 1U << code % 8;
}

static unsigned modifiers_pressed(const struct input *input)
{
    return (pressed(input, KEY_LEFTSHIFT) || pressed(input, KEY_RIGHTSHIFT) ? LAYOUT_SHIFT : 0) |
           (pressed(input, KEY_RIGHTALT) ? LAYOUT_ALTGR : 0);
}

static bool command_held(const struct input *input)
{
    return pressed(input, KEY_LEFTCTRL) || pressed(input, KEY_RIGHTCTRL) || pressed(input, KEY_LEFTALT) ||
           pressed(input, KEY_LEFTMETA) || pressed(input, KEY_RIGHTMETA);
}

/* Releases those of these keys that are held. */
static void release(const struct input *input, struct keys *keys, const uint16_t *codes, size_t count)
{
    for (size_t n = 0; n < count; n++)
        if (pressed(input, codes[n]))
            add(keys, codes[n], false);
}

/* The opposite of what was done, in reverse. */
static void undo(struct keys *keys, const struct event *done, unsigned count)
{
    while (count--)
        add(keys, done[count].code, !done[count].down);
}

/* Between strokes of a text, where left shift and AltGr are ours. */
static void set_modifiers(struct keys *keys, unsigned wanted)
{
    unsigned differ = keys->modifiers ^ wanted;

    if (differ & LAYOUT_SHIFT)
        add(keys, KEY_LEFTSHIFT, wanted & LAYOUT_SHIFT);
    if (differ & LAYOUT_ALTGR)
        add(keys, KEY_RIGHTALT, wanted & LAYOUT_ALTGR);
    keys->modifiers = wanted;
}

/* What to hold for the stroke: caps lock turns shift around for letters. */
static unsigned modifiers_for(struct input *input, const struct layout *layout, struct stroke stroke)
{
    bool turned =
        atomic_load(&input->caps_lock) && !(stroke.modifiers & LAYOUT_ALTGR) && layout_letter(layout, stroke.code);

    return turned ? stroke.modifiers ^ LAYOUT_SHIFT : stroke.modifiers;
}

static void tap(struct input *input, const struct layout *layout, struct keys *keys, struct stroke stroke)
{
    set_modifiers(keys, modifiers_for(input, layout, stroke));
    add(keys, stroke.code, true);
    add(keys, stroke.code, false);
}

static int no_room(struct error *error)
{
    return error_set(error, ENOSPC,
                     "keyboard: the guest has not taken what was typed before, or this is too much at "
                     "once; try again later, or in parts");
}

static int no_key(const struct layout *layout, const char *at, const char *next, uint32_t sign, struct error *error)
{
    if (sign == UTF8_BAD)
        return error_set(error, EINVAL, "type: byte 0x%02x is not UTF-8; nothing was typed", (unsigned char)*at);
    return error_set(error, EINVAL, "type: no key of the layout %s makes \"%.*s\" (U+%04X); nothing was typed",
                     layout_name(layout), (int)(next - at), at, sign);
}

static int strokes_of(struct input *input, const struct layout *layout, const char *text, struct keys *keys,
                      struct error *error)
{
    while (*text) {
        const char *at = text;
        uint32_t sign = utf8_next(&text);
        struct stroke strokes[LAYOUT_STROKES];
        unsigned count;

        if (sign == '\r') {
            sign = '\n';
            text += *text == '\n';
        }
        count = layout_sign(layout, sign, strokes);
        if (!count)
            return no_key(layout, at, text, sign, error);
        if (keys->count > INPUT_QUEUE)
            return no_room(error);
        for (unsigned n = 0; n < count; n++)
            tap(input, layout, keys, strokes[n]);
    }
    set_modifiers(keys, 0);
    return 0;
}

int input_type(struct input *input, const char *text, const char *name, struct error *error)
{
    static const uint16_t held[] = {KEY_LEFTSHIFT, KEY_RIGHTSHIFT, KEY_LEFTCTRL, KEY_RIGHTCTRL,
                                    KEY_LEFTALT,   KEY_RIGHTALT,   KEY_LEFTMETA, KEY_RIGHTMETA};
    const struct layout *layout = name ? layout_find(name, "type:", error) : NULL;
    struct keys keys = {0};
    unsigned released;
    int failed;

    if (name && !layout)
        return -EINVAL;
    keys.events = malloc((INPUT_QUEUE + LAYOUT_STROKES * STROKE_EVENTS + 2 * ARRAY_SIZE(held)) * sizeof *keys.events);
    if (!keys.events)
        return error_set(error, ENOMEM, "type: out of memory");
    pthread_mutex_lock(&input->lock);
    release(input, &keys, held, ARRAY_SIZE(held));
    released = keys.count;
    failed = strokes_of(input, layout ? layout : input->typing.layout, text, &keys, error);
    if (failed == 0 && keys.count > released) {
        undo(&keys, keys.events, released);
        if (input_append(input, keys.events, keys.count) < 0)
            failed = no_room(error);
    }
    pthread_mutex_unlock(&input->lock);
    free(keys.events);
    return failed;
}

/* One part of a chord: a key's name, or the sign that it makes. 0: neither. */
static unsigned chord_key(const struct layout *layout, const char *name, size_t length)
{
    static const char minus[] = "minus", plus[] = "plus";
    unsigned code = keymap_name(name, length);
    struct stroke strokes[LAYOUT_STROKES];
    const char *next = name;
    uint32_t sign;

    if (code || !length)
        return code;
    sign = utf8_next(&next);
    if (length == sizeof minus - 1 && !strncasecmp(name, minus, length))
        sign = '-';
    else if (length == sizeof plus - 1 && !strncasecmp(name, plus, length))
        sign = '+';
    else if ((size_t)(next - name) != length)
        return 0;
    if (sign >= 'A' && sign <= 'Z')
        sign |= 0x20;
    return layout_sign(layout, sign, strokes) ? strokes[0].code : 0;
}

int input_chord(struct input *input, const char *names, struct error *error)
{
    struct event events[2 * CHORD_KEYS];
    struct keys keys = {.events = events};
    int failed;

    pthread_mutex_lock(&input->lock);
    for (const char *at = names; *at; at += *at != '\0') {
        /* A separator as the key itself: the sign alone, or the last of a chord. */
        size_t length = strcspn(at + 1, "-+") + 1;
        unsigned code = chord_key(input->typing.layout, at, length);

        if (!code || keys.count == CHORD_KEYS) {
            pthread_mutex_unlock(&input->lock);
            if (code)
                return error_set(error, EINVAL, "key: %s has more than %d keys at once; press fewer", names,
                                 CHORD_KEYS);
            return error_set(error, EINVAL,
                             "key: %.*s is not a key; did you mean %s? (keys are joined as in ctrl-alt-delete)",
                             (int)length, at, keymap_like(at, length));
        }
        add(&keys, code, true);
        at += length;
    }
    undo(&keys, events, keys.count);
    failed = input_append(input, events, keys.count);
    pthread_mutex_unlock(&input->lock);
    if (keys.count == 0)
        return error_set(error, EINVAL, "key: no key named; give for example enter or ctrl-alt-delete");
    return failed < 0 ? no_room(error) : 0;
}

/* The key of a keysym that goes up; 0: none is down for it. */
static unsigned forget_held(struct typing *typing, uint32_t keysym)
{
    unsigned code;

    for (unsigned n = 0; n < INPUT_HELD; n++)
        if (typing->held[n].code && typing->held[n].keysym == keysym) {
            code = typing->held[n].code;
            typing->held[n].code = 0;
            return code;
        }
    return 0;
}

static void note_held(struct typing *typing, uint32_t keysym, unsigned code)
{
    forget_held(typing, keysym);
    for (unsigned n = 0; n < INPUT_HELD; n++)
        if (!typing->held[n].code) {
            typing->held[n].keysym = keysym;
            typing->held[n].code = (uint16_t)code;
            return;
        }
}

/* The viewer's shift and AltGr as they are again, once the key is up that they were changed for. */
static void restore_modifiers(struct typing *typing, struct keys *keys)
{
    undo(keys, typing->undo, typing->undo_count);
    typing->undo_count = 0;
    typing->undo_after = 0;
}

/* From what the viewer holds to what the stroke needs; what was changed is noted for restore_modifiers(). */
static void change_modifiers(struct input *input, struct keys *keys, unsigned held, unsigned wanted)
{
    static const uint16_t shifts[] = {KEY_LEFTSHIFT, KEY_RIGHTSHIFT}, altgr[] = {KEY_RIGHTALT};
    struct keys changes = {.events = input->typing.undo};

    if (held & ~wanted & LAYOUT_SHIFT)
        release(input, &changes, shifts, ARRAY_SIZE(shifts));
    if (held & ~wanted & LAYOUT_ALTGR)
        release(input, &changes, altgr, ARRAY_SIZE(altgr));
    if (wanted & ~held & LAYOUT_SHIFT)
        add(&changes, KEY_LEFTSHIFT, true);
    if (wanted & ~held & LAYOUT_ALTGR)
        add(&changes, KEY_RIGHTALT, true);
    for (unsigned n = 0; n < changes.count; n++)
        add(keys, changes.events[n].code, changes.events[n].down);
    input->typing.undo_count = changes.count;
}

/* The strokes for a sign that a viewer typed with these modifiers held: as they are if a key makes it like that. */
static unsigned find_strokes(struct input *input, uint32_t sign, unsigned held, struct stroke strokes[LAYOUT_STROKES])
{
    const struct layout *layout = input->typing.layout;

    if (sign != ' ' && layout_key_with(layout, sign, held, &strokes[0]))
        return 1;
    if (layout_key(layout, sign, &strokes[0])) /* dead keys as well */
        return 1;
    return layout_sign(layout, sign, strokes);
}

static int press_sign(struct input *input, uint32_t keysym, struct keys *keys, unsigned *code)
{
    unsigned held = modifiers_pressed(input), wanted, count;
    struct stroke strokes[LAYOUT_STROKES];
    uint32_t sign = keysym_sign(keysym);

    count = sign ? find_strokes(input, sign, held, strokes) : 0;
    if (!count)
        return -EINVAL;
    for (unsigned n = 0; n < count; n++) {
        wanted = modifiers_for(input, input->typing.layout, strokes[n]);
        *code = strokes[n].code;
        /* With ctrl, alt or the Windows key a letter is a command: its case says nothing. */
        if (*code == KEY_SPACE || (command_held(input) && layout_letter(input->typing.layout, *code)))
            wanted = count == 1 ? held : wanted;
        change_modifiers(input, keys, held, wanted);
        add(keys, *code, true);
        if (n + 1 < count) {
            add(keys, *code, false);
            restore_modifiers(&input->typing, keys);
        }
    }
    input->typing.undo_after = (uint16_t)(input->typing.undo_count ? *code : 0);
    return 0;
}

/* Undoes what was changed for another key first: then what is pressed is what the viewer holds. */
static int settle(struct input *input)
{
    struct event events[INPUT_CHANGES];
    struct keys keys = {.events = events};

    undo(&keys, input->typing.undo, input->typing.undo_count);
    if (input_append(input, events, keys.count) < 0)
        return -ENOSPC;
    input->typing.undo_count = 0;
    input->typing.undo_after = 0;
    return 0;
}

static int press(struct input *input, uint32_t keysym)
{
    struct event events[LAYOUT_STROKES * (2 + 2 * INPUT_CHANGES)];
    struct keys keys = {.events = events};
    unsigned code = keysym_key(keysym);
    int failed = settle(input);

    if (failed < 0)
        return failed;
    if (code)
        add(&keys, code, true);
    else
        failed = press_sign(input, keysym, &keys, &code);
    if (failed == 0)
        failed = input_append(input, events, keys.count);
    if (failed < 0) {
        input->typing.undo_count = 0;
        return failed;
    }
    note_held(&input->typing, keysym, code);
    return 0;
}

/* The key of a keysym whatever is held; 0: none. */
static unsigned key_of(const struct input *input, uint32_t keysym)
{
    struct stroke stroke = {0};
    unsigned code = keysym_key(keysym);

    return code || !layout_key(input->typing.layout, keysym_sign(keysym), &stroke) ? code : stroke.code;
}

static int lift(struct input *input, uint32_t keysym)
{
    struct event events[1 + INPUT_CHANGES];
    struct keys keys = {.events = events};
    struct typing before = input->typing;
    unsigned code = forget_held(&input->typing, keysym);
    int failed;

    if (!code) /* it went down under another name, or more are down than are noted */
        code = key_of(input, keysym);
    if (!code || !pressed(input, code))
        return 0;
    add(&keys, code, false);
    if (input->typing.undo_after == code)
        restore_modifiers(&input->typing, &keys);
    failed = input_append(input, events, keys.count);
    if (failed < 0)
        input->typing = before;
    return failed;
}

int input_keysym(struct input *input, uint32_t keysym, bool down)
{
    int result;

    pthread_mutex_lock(&input->lock);
    result = down ? press(input, keysym) : lift(input, keysym);
    pthread_mutex_unlock(&input->lock);
    return result;
}

int input_set_layout(struct input *input, const char *name, struct error *error)
{
    const struct layout *layout = layout_find(name, "keyboard:", error);

    if (!layout)
        return -EINVAL;
    pthread_mutex_lock(&input->lock);
    input->typing.layout = layout;
    pthread_mutex_unlock(&input->lock);
    return 0;
}

const char *input_layout(struct input *input)
{
    const char *name;

    pthread_mutex_lock(&input->lock);
    name = layout_name(input->typing.layout);
    pthread_mutex_unlock(&input->lock);
    return name;
}

void input_set_caps_lock(struct input *input, bool on)
{
    atomic_store(&input->caps_lock, on);
}
