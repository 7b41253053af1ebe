/*
 * See locales.h. Numbers and keyboards are those of "Windows Language Code Identifier (LCID) Reference" ([MS-LCID]) and
 * of "Default Input Profiles (Input Locales) in Windows".
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../spelling.h"
#include "casement/bytes.h"
#include "locales.h"

/* The country that a language is named for stands in front of its others. */
/* clang-format off */
static const struct locale locales[] = {
    /* Display languages of Windows 11. */
    {"ar-SA", "Arabic (Saudi Arabia)", 0x0401, 0x00000401, LOCALE_DISPLAY},
    {"bg-BG", "Bulgarian (Bulgaria)", 0x0402, 0x00030402, LOCALE_DISPLAY},
    {"cs-CZ", "Czech (Czechia)", 0x0405, 0x00000405, LOCALE_DISPLAY},
    {"da-DK", "Danish (Denmark)", 0x0406, 0x00000406, LOCALE_DISPLAY},
    {"de-DE", "German (Germany)", 0x0407, 0x00000407, LOCALE_DISPLAY},
    {"el-GR", "Greek (Greece)", 0x0408, 0x00000408, LOCALE_DISPLAY},
    {"en-US", "English (United States)", 0x0409, 0x00000409, LOCALE_DISPLAY},
    {"en-GB", "English (United Kingdom)", 0x0809, 0x00000809, LOCALE_DISPLAY},
    {"es-ES", "Spanish (Spain)", 0x0C0A, 0x0000040A, LOCALE_DISPLAY},
    {"es-MX", "Spanish (Mexico)", 0x080A, 0x0000080A, LOCALE_DISPLAY},
    {"et-EE", "Estonian (Estonia)", 0x0425, 0x00000425, LOCALE_DISPLAY},
    {"fi-FI", "Finnish (Finland)", 0x040B, 0x0000040B, LOCALE_DISPLAY},
    {"fr-FR", "French (France)", 0x040C, 0x0000040C, LOCALE_DISPLAY},
    {"fr-CA", "French (Canada)", 0x0C0C, 0x00001009, LOCALE_DISPLAY},
    {"he-IL", "Hebrew (Israel)", 0x040D, 0x0002040D, LOCALE_DISPLAY},
    {"hr-HR", "Croatian (Croatia)", 0x041A, 0x0000041A, LOCALE_DISPLAY},
    {"hu-HU", "Hungarian (Hungary)", 0x040E, 0x0000040E, LOCALE_DISPLAY},
    {"it-IT", "Italian (Italy)", 0x0410, 0x00000410, LOCALE_DISPLAY},
    {"ja-JP", "Japanese (Japan)", 0x0411, 0x00000411, LOCALE_DISPLAY | LOCALE_METHOD},
    {"ko-KR", "Korean (Korea)", 0x0412, 0x00000412, LOCALE_DISPLAY | LOCALE_METHOD},
    {"lt-LT", "Lithuanian (Lithuania)", 0x0427, 0x00010427, LOCALE_DISPLAY},
    {"lv-LV", "Latvian (Latvia)", 0x0426, 0x00020426, LOCALE_DISPLAY},
    {"nb-NO", "Norwegian Bokmål (Norway)", 0x0414, 0x00000414, LOCALE_DISPLAY},
    {"nl-NL", "Dutch (Netherlands)", 0x0413, 0x00020409, LOCALE_DISPLAY},
    {"pl-PL", "Polish (Poland)", 0x0415, 0x00000415, LOCALE_DISPLAY},
    {"pt-PT", "Portuguese (Portugal)", 0x0816, 0x00000816, LOCALE_DISPLAY},
    {"pt-BR", "Portuguese (Brazil)", 0x0416, 0x00000416, LOCALE_DISPLAY},
    {"ro-RO", "Romanian (Romania)", 0x0418, 0x00010418, LOCALE_DISPLAY},
    {"ru-RU", "Russian (Russia)", 0x0419, 0x00000419, LOCALE_DISPLAY},
    {"sk-SK", "Slovak (Slovakia)", 0x041B, 0x0000041B, LOCALE_DISPLAY},
    {"sl-SI", "Slovenian (Slovenia)", 0x0424, 0x00000424, LOCALE_DISPLAY},
    {"sr-Latn-RS", "Serbian (Latin, Serbia)", 0x241A, 0x0000081A, LOCALE_DISPLAY},
    {"sv-SE", "Swedish (Sweden)", 0x041D, 0x0000041D, LOCALE_DISPLAY},
    {"th-TH", "Thai (Thailand)", 0x041E, 0x0000041E, LOCALE_DISPLAY},
    {"tr-TR", "Turkish (Türkiye)", 0x041F, 0x0000041F, LOCALE_DISPLAY},
    {"uk-UA", "Ukrainian (Ukraine)", 0x0422, 0x00020422, LOCALE_DISPLAY},
    {"zh-CN", "Chinese (Simplified, China)", 0x0804, 0x00000804, LOCALE_DISPLAY | LOCALE_METHOD},
    {"zh-TW", "Chinese (Traditional, Taiwan)", 0x0404, 0x00000404, LOCALE_DISPLAY | LOCALE_METHOD},
    /* Other countries of these languages. */
    {"ar-AE", "Arabic (United Arab Emirates)", 0x3801, 0x00000401, 0},
    {"ar-BH", "Arabic (Bahrain)", 0x3C01, 0x00000401, 0},
    {"ar-DZ", "Arabic (Algeria)", 0x1401, 0x00020401, 0},
    {"ar-EG", "Arabic (Egypt)", 0x0C01, 0x00000401, 0},
    {"ar-IQ", "Arabic (Iraq)", 0x0801, 0x00000401, 0},
    {"ar-JO", "Arabic (Jordan)", 0x2C01, 0x00000401, 0},
    {"ar-KW", "Arabic (Kuwait)", 0x3401, 0x00000401, 0},
    {"ar-LB", "Arabic (Lebanon)", 0x3001, 0x00000401, 0},
    {"ar-LY", "Arabic (Libya)", 0x1001, 0x00000401, 0},
    {"ar-MA", "Arabic (Morocco)", 0x1801, 0x00020401, 0},
    {"ar-OM", "Arabic (Oman)", 0x2001, 0x00000401, 0},
    {"ar-QA", "Arabic (Qatar)", 0x4001, 0x00000401, 0},
    {"ar-SY", "Arabic (Syria)", 0x2801, 0x00000401, 0},
    {"ar-TN", "Arabic (Tunisia)", 0x1C01, 0x00020401, 0},
    {"ar-YE", "Arabic (Yemen)", 0x2401, 0x00000401, 0},
    {"de-AT", "German (Austria)", 0x0C07, 0x00000407, 0},
    {"de-CH", "German (Switzerland)", 0x0807, 0x00000807, 0},
    {"de-LI", "German (Liechtenstein)", 0x1407, 0x00000807, 0},
    {"de-LU", "German (Luxembourg)", 0x1007, 0x00000407, 0},
    {"en-AU", "English (Australia)", 0x0C09, 0x00000409, 0},
    {"en-CA", "English (Canada)", 0x1009, 0x00000409, 0},
    {"en-HK", "English (Hong Kong SAR)", 0x3C09, 0x00000409, 0},
    {"en-IE", "English (Ireland)", 0x1809, 0x00001809, 0},
    {"en-IN", "English (India)", 0x4009, 0x00004009, 0},
    {"en-MY", "English (Malaysia)", 0x4409, 0x00000409, 0},
    {"en-NZ", "English (New Zealand)", 0x1409, 0x00001409, 0},
    {"en-PH", "English (Philippines)", 0x3409, 0x00000409, 0},
    {"en-SG", "English (Singapore)", 0x4809, 0x00000409, 0},
    {"en-ZA", "English (South Africa)", 0x1C09, 0x00000409, 0},
    {"es-AR", "Spanish (Argentina)", 0x2C0A, 0x0000080A, 0},
    {"es-BO", "Spanish (Bolivia)", 0x400A, 0x0000080A, 0},
    {"es-CL", "Spanish (Chile)", 0x340A, 0x0000080A, 0},
    {"es-CO", "Spanish (Colombia)", 0x240A, 0x0000080A, 0},
    {"es-CR", "Spanish (Costa Rica)", 0x140A, 0x0000080A, 0},
    {"es-DO", "Spanish (Dominican Republic)", 0x1C0A, 0x0000080A, 0},
    {"es-EC", "Spanish (Ecuador)", 0x300A, 0x0000080A, 0},
    {"es-GT", "Spanish (Guatemala)", 0x100A, 0x0000080A, 0},
    {"es-HN", "Spanish (Honduras)", 0x480A, 0x0000080A, 0},
    {"es-NI", "Spanish (Nicaragua)", 0x4C0A, 0x0000080A, 0},
    {"es-PA", "Spanish (Panama)", 0x180A, 0x0000080A, 0},
    {"es-PE", "Spanish (Peru)", 0x280A, 0x0000080A, 0},
    {"es-PR", "Spanish (Puerto Rico)", 0x500A, 0x0000080A, 0},
    {"es-PY", "Spanish (Paraguay)", 0x3C0A, 0x0000080A, 0},
    {"es-SV", "Spanish (El Salvador)", 0x440A, 0x0000080A, 0},
    {"es-US", "Spanish (United States)", 0x540A, 0x0000080A, 0},
    {"es-UY", "Spanish (Uruguay)", 0x380A, 0x0000080A, 0},
    {"es-VE", "Spanish (Venezuela)", 0x200A, 0x0000080A, 0},
    {"fr-BE", "French (Belgium)", 0x080C, 0x0000080C, 0},
    {"fr-CH", "French (Switzerland)", 0x100C, 0x0000100C, 0},
    {"fr-LU", "French (Luxembourg)", 0x140C, 0x0000100C, 0},
    {"fr-MC", "French (Monaco)", 0x180C, 0x0000040C, 0},
    {"it-CH", "Italian (Switzerland)", 0x0810, 0x0000100C, 0},
    {"nl-BE", "Dutch (Belgium)", 0x0813, 0x00000813, 0},
    {"nn-NO", "Norwegian Nynorsk (Norway)", 0x0814, 0x00000414, 0},
    {"ro-MD", "Romanian (Moldova)", 0x0818, 0x00010418, 0},
    {"sr-Cyrl-RS", "Serbian (Cyrillic, Serbia)", 0x281A, 0x00000C1A, 0},
    {"sv-FI", "Swedish (Finland)", 0x081D, 0x0000041D, 0},
    {"zh-HK", "Chinese (Traditional, Hong Kong SAR)", 0x0C04, 0x00000404, LOCALE_METHOD},
    {"zh-MO", "Chinese (Traditional, Macao SAR)", 0x1404, 0x00000404, LOCALE_METHOD},
    {"zh-SG", "Chinese (Simplified, Singapore)", 0x1004, 0x00000804, LOCALE_METHOD},
    /* Other languages. */
    {"af-ZA", "Afrikaans (South Africa)", 0x0436, 0x00000409, 0},
    {"am-ET", "Amharic (Ethiopia)", 0x045E, 0x0000045E, LOCALE_METHOD | LOCALE_UNICODE},
    {"az-Latn-AZ", "Azerbaijani (Latin, Azerbaijan)", 0x042C, 0x0000042C, 0},
    {"be-BY", "Belarusian (Belarus)", 0x0423, 0x00000423, 0},
    {"bn-IN", "Bangla (India)", 0x0445, 0x00020445, LOCALE_UNICODE},
    {"bs-Latn-BA", "Bosnian (Latin, Bosnia and Herzegovina)", 0x141A, 0x0000041A, 0},
    {"ca-ES", "Catalan (Spain)", 0x0403, 0x0000040A, 0},
    {"cy-GB", "Welsh (United Kingdom)", 0x0452, 0x00000452, 0},
    {"eu-ES", "Basque (Spain)", 0x042D, 0x0000040A, 0},
    {"fa-IR", "Persian (Iran)", 0x0429, 0x00000429, 0},
    {"fil-PH", "Filipino (Philippines)", 0x0464, 0x00000409, 0},
    {"ga-IE", "Irish (Ireland)", 0x083C, 0x00001809, 0},
    {"gl-ES", "Galician (Spain)", 0x0456, 0x0000040A, 0},
    {"gu-IN", "Gujarati (India)", 0x0447, 0x00000447, LOCALE_UNICODE},
    {"hi-IN", "Hindi (India)", 0x0439, 0x00010439, LOCALE_UNICODE},
    {"hy-AM", "Armenian (Armenia)", 0x042B, 0x0002042B, LOCALE_UNICODE},
    {"id-ID", "Indonesian (Indonesia)", 0x0421, 0x00000409, 0},
    {"is-IS", "Icelandic (Iceland)", 0x040F, 0x0000040F, 0},
    {"ka-GE", "Georgian (Georgia)", 0x0437, 0x00010437, LOCALE_UNICODE},
    {"kk-KZ", "Kazakh (Kazakhstan)", 0x043F, 0x0000043F, LOCALE_UNICODE},
    {"km-KH", "Khmer (Cambodia)", 0x0453, 0x00000453, LOCALE_UNICODE},
    {"kn-IN", "Kannada (India)", 0x044B, 0x0000044B, LOCALE_UNICODE},
    {"lb-LU", "Luxembourgish (Luxembourg)", 0x046E, 0x0000046E, 0},
    {"lo-LA", "Lao (Laos)", 0x0454, 0x00000454, LOCALE_UNICODE},
    {"mk-MK", "Macedonian (North Macedonia)", 0x042F, 0x0001042F, 0},
    {"ml-IN", "Malayalam (India)", 0x044C, 0x0000044C, LOCALE_UNICODE},
    {"mr-IN", "Marathi (India)", 0x044E, 0x0000044E, LOCALE_UNICODE},
    {"ms-MY", "Malay (Malaysia)", 0x043E, 0x00000409, 0},
    {"mt-MT", "Maltese (Malta)", 0x043A, 0x0000043A, LOCALE_UNICODE},
    {"ne-NP", "Nepali (Nepal)", 0x0461, 0x00000461, LOCALE_UNICODE},
    {"pa-IN", "Punjabi (India)", 0x0446, 0x00000446, LOCALE_UNICODE},
    {"si-LK", "Sinhala (Sri Lanka)", 0x045B, 0x0000045B, LOCALE_UNICODE},
    {"sq-AL", "Albanian (Albania)", 0x041C, 0x0000041C, 0},
    {"sw-KE", "Swahili (Kenya)", 0x0441, 0x00000409, 0},
    {"ta-IN", "Tamil (India)", 0x0449, 0x00020449, LOCALE_UNICODE},
    {"te-IN", "Telugu (India)", 0x044A, 0x0000044A, LOCALE_UNICODE},
    {"ur-PK", "Urdu (Pakistan)", 0x0420, 0x00000420, 0},
    {"uz-Latn-UZ", "Uzbek (Latin, Uzbekistan)", 0x0443, 0x00000409, 0},
    {"vi-VN", "Vietnamese (Vietnam)", 0x042A, 0x0000042A, 0},
};
/* clang-format on */

const struct locale *locale_at(unsigned index)
{
    return index < ARRAY_SIZE(locales) ? &locales[index] : NULL;
}

/* As tags are written: small, with hyphens. Longer texts are cut, and then are none that the table has. */
static void fold(const char *text, char folded[64])
{
    size_t n = 0;

    for (; n < 63 && text[n]; n++)
        folded[n] = text[n] == '_' ? '-' : (char)tolower((unsigned char)text[n]);
    folded[n] = 0;
}

/* "german" of "German (Austria)", "de" of "de-AT". */
static void fold_short(const char *text, const char *end, char folded[64])
{
    char *cut;

    fold(text, folded);
    cut = strstr(folded, end);
    if (cut)
        *cut = 0;
}

const struct locale *locale_find(const char *text)
{
    char wanted[64], folded[64];

    fold(text, wanted);
    for (size_t n = 0; n < ARRAY_SIZE(locales); n++) {
        fold(locales[n].tag, folded);
        if (!strcmp(folded, wanted) || !strcasecmp(locales[n].name, text))
            return &locales[n];
    }
    for (size_t n = 0; n < ARRAY_SIZE(locales); n++) {
        fold_short(locales[n].tag, "-", folded);
        if (!strcmp(folded, wanted))
            return &locales[n];
        fold_short(locales[n].name, " (", folded);
        if (!strcmp(folded, wanted))
            return &locales[n];
    }
    return NULL;
}

/* How far the text is from the nearest way to write the locale. */
static unsigned distance(const struct locale *locale, const char *wanted)
{
    size_t length = strlen(wanted);
    char folded[64];
    unsigned away;

    fold(locale->tag, folded);
    away = spelling_distance(wanted, length, folded);
    fold(locale->name, folded);
    away = MIN(away, spelling_distance(wanted, length, folded));
    fold_short(locale->name, " (", folded);
    return MIN(away, spelling_distance(wanted, length, folded));
}

#define NEAR 3 /* how many to name */

const struct locale *locale_require(const char *what, const char *text, struct error *error)
{
    const struct locale *found = locale_find(text);
    char wanted[64], near[256] = "";
    unsigned named = 0;

    if (found)
        return found;
    fold(text, wanted);
    for (unsigned away = 0; away <= 2 && away < strlen(wanted); away++)
        for (size_t n = 0; n < ARRAY_SIZE(locales) && named < NEAR; n++)
            if (distance(&locales[n], wanted) == away) {
                size_t length = strlen(near);

                snprintf(near + length, sizeof near - length, "%s%s, %s", named++ ? "; " : "", locales[n].tag,
                         locales[n].name);
            }
    if (named)
        error_set(error, EINVAL, "%s %.64s: no locale of Windows; did you mean %s?", what, text, near);
    else
        error_set(error, EINVAL, "%s %.64s: no locale of Windows; give a tag such as en-US, or a name such as German",
                  what, text);
    return NULL;
}

void locale_keyboard(const struct locale *locale, char text[LOCALE_KEYBOARD_TEXT])
{
    if (locale->flags & LOCALE_METHOD)
        snprintf(text, LOCALE_KEYBOARD_TEXT, "%s", locale->tag);
    else
        snprintf(text, LOCALE_KEYBOARD_TEXT, "%04x:%08x", locale->lcid, (unsigned)locale->keyboard);
}
