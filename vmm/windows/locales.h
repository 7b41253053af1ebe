/*
 * The languages and locales that Windows has an identifier for, with the keyboard that each brings. A table that never
 * changes: any thread.
 */
#ifndef CASEMENT_WINDOWS_LOCALES_H
#define CASEMENT_WINDOWS_LOCALES_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"

enum locale_flags {
    LOCALE_DISPLAY = 1, /* Windows 11 comes in it */
    /* Its keyboard is an input method, which only the tag chooses: an answer file gives "ja-JP", not LLLL:KKKKKKKK. */
    LOCALE_METHOD = 2,
    LOCALE_UNICODE = 4, /* has no code page, so it cannot be the locale of programs that are not Unicode */
};

struct locale {
    const char *tag;   /* en-US */
    const char *name;  /* for people: English (United States) */
    uint16_t lcid;     /* Windows' number of it */
    uint32_t keyboard; /* the number of its keyboard layout, KLID; an input method's: the layout below it */
    unsigned flags;
};

/* The index-th; NULL behind the last. The first of a language is the one that is meant when nothing else is said. */
const struct locale *locale_at(unsigned index);

/*
 * By tag ("de-AT", "de_at"), name ("German (Austria)"), or one of them without the country ("de", "German"), in any
 * case. NULL: none.
 */
const struct locale *locale_find(const char *text);

/* NULL as well, and then a text: what (an option) and its value, and up to three locales that may have been meant. */
const struct locale *locale_require(const char *what, const char *text, struct error *error);

/* Room for an InputLocale: "0407:00000407", or a tag. */
#define LOCALE_KEYBOARD_TEXT 32
void locale_keyboard(const struct locale *locale, char text[LOCALE_KEYBOARD_TEXT]);

#endif
