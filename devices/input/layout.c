/* Keyboard layouts (see layout.h): searches in the tables that tools/layouts made. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uchar.h>

#include "casement/bytes.h"
#include "casement/input.h"
#include "layout.h"

#define LAYOUT_KEYS 50
#define LEVELS 4 /* the modifiers as a number */

struct layout {
    const char *name, *title, *others;
    bool extended; /* has letters of Latin Extended-A: its dead keys make such ones, on Windows too */
    const char16_t *levels[LEVELS];
};

#include "layouts.inc"

#define NO_SIGN u' '

static bool in_words(const char *words, const char *word)
{
    size_t length = strlen(word);

    for (; *words; words += strspn(words, " ")) {
        size_t this_one = strcspn(words, " ");

        if (this_one == length && !strncasecmp(words, word, length))
            return true;
        words += this_one;
    }
    return false;
}

/* The layout that was probably meant: by its language's name, by the start of its own. */
static const struct layout *nearest(const char *name)
{
    size_t length = strlen(name);
    const struct layout *best = &layouts[0];
    size_t best_shared = 0;

    for (size_t n = 0; n < ARRAY_SIZE(layouts); n++) {
        size_t shared = 0;

        if (length > 2 && !strncasecmp(layouts[n].title, name, length))
            return &layouts[n];
        while (layouts[n].name[shared] && (name[shared] | 0x20) == layouts[n].name[shared])
            shared++;
        if (shared > best_shared) {
            best_shared = shared;
            best = &layouts[n];
        }
    }
    return best;
}

const struct layout *layout_find(const char *name, const char *what, struct error *error)
{
    char known[8 * ARRAY_SIZE(layouts)] = "";
    size_t used = 0;

    for (size_t n = 0; n < ARRAY_SIZE(layouts); n++)
        if (!strcasecmp(layouts[n].name, name) || in_words(layouts[n].others, name))
            return &layouts[n];
    for (size_t n = 0; n < ARRAY_SIZE(layouts); n++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", n ? " " : "", layouts[n].name);
    error_set(error, EINVAL, "%s %.32s: not a known keyboard layout; did you mean %s? (known are %s)", what, name,
              nearest(name)->name, known);
    return NULL;
}

const char *layout_name(const struct layout *layout)
{
    return layout->name;
}

const char *input_layout_name(unsigned n)
{
    return n < ARRAY_SIZE(layouts) ? layouts[n].name : NULL;
}

const char *input_layout_title(unsigned n)
{
    return n < ARRAY_SIZE(layouts) ? layouts[n].title : NULL;
}

int input_layout_check(const char *name, const char *what, struct error *error)
{
    return layout_find(name, what, error) ? 0 : -EINVAL;
}

bool layout_key_with(const struct layout *layout, uint32_t sign, unsigned modifiers, struct stroke *stroke)
{
    if (sign <= NO_SIGN || sign > UINT16_MAX)
        return false;
    for (unsigned n = 0; n < LAYOUT_KEYS; n++) {
        char16_t made = layout->levels[modifiers][n];

        if (made == NO_SIGN)
            made = layout->levels[modifiers & LAYOUT_SHIFT][n];
        if (made == sign) {
            *stroke = (struct stroke){keys[n], (uint8_t)modifiers};
            return true;
        }
    }
    return false;
}

bool layout_key(const struct layout *layout, uint32_t sign, struct stroke *stroke)
{
    for (unsigned level = 0; level < LEVELS; level++)
        if (layout_key_with(layout, sign, level, stroke))
            return true;
    return false;
}

bool layout_letter(const struct layout *layout, unsigned code)
{
    for (unsigned n = 0; n < LAYOUT_KEYS; n++) {
        unsigned small = layout->levels[0][n], capital = layout->levels[LAYOUT_SHIFT][n];

        if (keys[n] != code)
            continue;
        if (capital >= 0x100)
            return small > capital && small - capital <= 0x50; /* 1, 32 or 80 apart in Unicode's blocks */
        return ((capital >= 'A' && capital <= 'Z') || capital >= 0xC0) && small - capital == 0x20;
    }
    return false;
}

/* A dead key and a letter. */
static unsigned with_mark(const struct layout *layout, uint32_t sign, struct stroke strokes[LAYOUT_STROKES])
{
    if (sign > 0xFF && !layout->extended)
        return 0;
    for (size_t n = 0; n < ARRAY_SIZE(composed); n++)
        if (composed[n][0] == sign)
            return layout_key(layout, composed[n][2], &strokes[0]) && layout_key(layout, composed[n][1], &strokes[1])
                       ? 2
                       : 0;
    return 0;
}

unsigned layout_sign(const struct layout *layout, uint32_t sign, struct stroke strokes[LAYOUT_STROKES])
{
    uint8_t named = sign == ' ' ? KEY_SPACE : sign == '\n' ? KEY_ENTER : sign == '\t' ? KEY_TAB : 0;

    if (named) {
        strokes[0] = (struct stroke){.code = named};
        return 1;
    }
    if (sign >= 0x300 && sign < 0x370)
        return 0; /* a mark by itself comes after its letter, a dead key before it */
    if (layout_key(layout, sign, &strokes[0]))
        return 1;
    for (size_t n = 0; n < ARRAY_SIZE(alone); n++)
        if (alone[n][0] == sign && layout_key(layout, alone[n][1], &strokes[0])) {
            strokes[1] = (struct stroke){.code = KEY_SPACE};
            return 2;
        }
    return with_mark(layout, sign, strokes);
}

/* What a table of pairs, sorted by the first, says of this one. 0: nothing. */
static uint32_t second_of(const uint16_t pairs[][2], size_t count, uint32_t first)
{
    size_t low = 0;

    while (count) {
        size_t half = count / 2;

        if (pairs[low + half][0] == first)
            return pairs[low + half][1];
        if (pairs[low + half][0] < first) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return 0;
}

uint32_t keysym_sign(uint32_t keysym)
{
    if ((keysym >= 0x20 && keysym < 0x7F) || (keysym >= 0xA0 && keysym <= 0xFF))
        return keysym;
    if (keysym >> 24 == 1)
        return keysym & 0xFFFFFF;
    if (keysym >> 8 == 0xFE)
        return second_of(keysym_marks, ARRAY_SIZE(keysym_marks), keysym);
    return second_of(keysym_signs, ARRAY_SIZE(keysym_signs), keysym);
}
