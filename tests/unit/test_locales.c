/* The table of locales, and the ways to ask for one. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/windows/locales.h"

static void the_table_is_consistent(void **state)
{
    unsigned display = 0, index = 0;
    const struct locale *locale;

    (void)state;
    for (; (locale = locale_at(index)); index++) {
        const char *last = strrchr(locale->tag, '-');

        assert_non_null(last);
        assert_true(strlen(last) == 3 && isupper((unsigned char)last[1]) && isupper((unsigned char)last[2]));
        assert_non_null(strchr(locale->name, '('));
        assert_int_equal(locale->name[strlen(locale->name) - 1], ')');
        assert_true(locale->lcid > 0x400);
        assert_ptr_equal(locale_find(locale->tag), locale);
        assert_ptr_equal(locale_find(locale->name), locale);
        display += (locale->flags & LOCALE_DISPLAY) != 0;
        for (unsigned other = 0; other < index; other++) {
            assert_string_not_equal(locale_at(other)->tag, locale->tag);
            assert_int_not_equal(locale_at(other)->lcid, locale->lcid);
            /* The low 10 bits are the language's: but for the Serbian, Croatian and Bosnian, which share them. */
            if (!strncmp(locale_at(other)->tag, locale->tag, 3))
                assert_int_equal(locale_at(other)->lcid & 0x3FF, locale->lcid & 0x3FF);
        }
    }
    assert_int_equal(display, 38);
    assert_true(index > 100);
    assert_null(locale_at(index));
}

static void numbers_and_keyboards(void **state)
{
    static const struct {
        const char *tag, *keyboard;
    } known[] = {{"en-US", "0409:00000409"}, {"en-GB", "0809:00000809"}, {"de-DE", "0407:00000407"},
                 {"de-AT", "0c07:00000407"}, {"de-CH", "0807:00000807"}, {"fr-CA", "0c0c:00001009"},
                 {"fr-CH", "100c:0000100c"}, {"fr-BE", "080c:0000080c"}, {"es-ES", "0c0a:0000040a"},
                 {"es-MX", "080a:0000080a"}, {"pt-BR", "0416:00000416"}, {"pt-PT", "0816:00000816"},
                 {"nl-NL", "0413:00020409"}, {"nl-BE", "0813:00000813"}, {"uk-UA", "0422:00020422"},
                 {"ja-JP", "ja-JP"},         {"zh-TW", "zh-TW"},         {"ko-KR", "ko-KR"}};
    char text[LOCALE_KEYBOARD_TEXT];

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(known); n++) {
        locale_keyboard(locale_find(known[n].tag), text);
        assert_string_equal(text, known[n].keyboard);
    }
}

static void found_by_what_people_write(void **state)
{
    static const struct {
        const char *text, *tag;
    } known[] = {{"de", "de-DE"},           {"DE", "de-DE"},    {"german", "de-DE"},           {"German", "de-DE"},
                 {"de_at", "de-AT"},        {"EN-gb", "en-GB"}, {"english", "en-US"},          {"pt", "pt-PT"},
                 {"portuguese", "pt-PT"},   {"zh", "zh-CN"},    {"chinese", "zh-CN"},          {"sr", "sr-Latn-RS"},
                 {"serbian", "sr-Latn-RS"}, {"fr", "fr-FR"},    {"German (austria)", "de-AT"}, {"nb", "nb-NO"}};
    static const char *const unknown[] = {
        "",         "-",   "d",
        "deutsch",  "de-", "de-XX",
        "german (", "x",   "a text that is much longer than any name of a locale that there could be"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(known); n++) {
        assert_non_null(locale_find(known[n].text));
        assert_string_equal(locale_find(known[n].text)->tag, known[n].tag);
    }
    for (size_t n = 0; n < ARRAY_SIZE(unknown); n++)
        assert_null(locale_find(unknown[n]));
}

static void near_matches_are_named(void **state)
{
    static const struct {
        const char *text, *meant;
    } near[] = {{"germna", "de-DE"}, {"de-DR", "de-DE"}, {"enlgish", "en-US"}, {"jp-JP", "ja-JP"}, {"Frnch", "fr-FR"}};
    struct error error;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(near); n++) {
        assert_null(locale_require("--region", near[n].text, &error));
        if (!strstr(error.text, "did you mean") || !strstr(error.text, near[n].meant) ||
            strncmp(error.text, "--region ", 9) != 0)
            fail_msg("%s: %s", near[n].text, error.text);
    }
    assert_null(locale_require("--region", "klingon-empire", &error));
    assert_non_null(strstr(error.text, "--region klingon-empire"));
    assert_null(strstr(error.text, "did you mean"));
    assert_non_null(strstr(error.text, "give a tag"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_consistent),
        cmocka_unit_test(numbers_and_keyboards),
        cmocka_unit_test(found_by_what_people_write),
        cmocka_unit_test(near_matches_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
