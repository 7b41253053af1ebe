/* Capitals and small letters, beside the C library's in a locale that knows them. */
#include <locale.h>
#include <wctype.h>

#include "casement/utf8.h"
#include "cmocka_all.h"

static void small_letters_are_those_of_unicode(void **state)
{
    static const struct {
        uint32_t first, last;
    } blocks[] = {{1, 0x12F}, {0x131, 0x17F}, {0x384, 0x3CE}, {0x400, 0x4BF}, {0x4C1, 0x52F}, {0x1E00, 0x1E95}};
    locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

    (void)state;
    if (!locale)
        skip();
    for (size_t n = 0; n < sizeof blocks / sizeof blocks[0]; n++)
        for (uint32_t code = blocks[n].first; code <= blocks[n].last; code++)
            if (utf8_small(code) != towlower_l((wint_t)code, locale))
                fail_msg("U+%04X: U+%04X", (unsigned)code, (unsigned)utf8_small(code));
    freelocale(locale);
}

static void texts_that_differ_in_capitals(void **state)
{
    (void)state;
    assert_true(utf8_same_letters("", ""));
    assert_true(utf8_same_letters("Администратор", "аДМИНИСТРАТОР"));
    assert_true(utf8_same_letters("Gość", "GOŚĆ"));
    assert_true(utf8_same_letters("Διαχειριστής", "διαχειριστής"));
    assert_false(utf8_same_letters("Gast", "Gas"));
    assert_false(utf8_same_letters("Gas", "Gast"));
    assert_false(utf8_same_letters("Gäst", "Gast"));
    assert_false(utf8_same_letters("[", "{"));
    assert_false(utf8_same_letters("\xC3\x97", "\xC3\xB7")); /* signs between the letters */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_letters_are_those_of_unicode),
        cmocka_unit_test(texts_that_differ_in_capitals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
