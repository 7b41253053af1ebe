/* Texts as key events, decoded by keyboards that are written down here by hand. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "casement/bytes.h"
#include "casement/input.h"
#include "cmocka_all.h"
#include "fake_recorder.h"

#define NONE L'\0'
/* What dead keys are called in the rows below; no layout here has these signs otherwise. */
#define GRAVE L'\x300'
#define ACUTE L'\x301'
#define CIRCUMFLEX L'\x302'
#define TILDE L'\x303'
#define DIAERESIS L'\x308'

struct row {
    const uint16_t *codes;
    const wchar_t *plain, *shift, *altgr; /* a blank: no sign */
};

#define ROW(...) ((const uint16_t[]){__VA_ARGS__})
#define DIGITS \
    ROW(KEY_GRAVE, KEY_1, KEY_2, KEY_3, KEY_4, KEY_5, KEY_6, KEY_7, KEY_8, KEY_9, KEY_0, KEY_MINUS, KEY_EQUAL)
#define TOP ROW(KEY_Q, KEY_W, KEY_E, KEY_R, KEY_T, KEY_Y, KEY_U, KEY_I, KEY_O, KEY_P, KEY_LEFTBRACE, KEY_RIGHTBRACE)
#define HOME \
    ROW(KEY_A, KEY_S, KEY_D, KEY_F, KEY_G, KEY_H, KEY_J, KEY_K, KEY_L, KEY_SEMICOLON, KEY_APOSTROPHE, KEY_BACKSLASH)
#define BOTTOM ROW(KEY_102ND, KEY_Z, KEY_X, KEY_C, KEY_V, KEY_B, KEY_N, KEY_M, KEY_COMMA, KEY_DOT, KEY_SLASH)
#define OTHERS ROW(KEY_SPACE, KEY_ENTER, KEY_TAB)
#define OTHER_SIGNS                        \
    {                                      \
        OTHERS, L"_\n\t", L"_\n\t", L"_  " \
    } /* _: the space bar */

static const struct keyboard {
    const char *name;
    struct row rows[5];
    const wchar_t *signs; /* besides ASCII */
} us = {"us",
        {{DIGITS, L"`1234567890-=", L"~!@#$%^&*()_+", L"             "},
         {TOP, L"qwertyuiop[]", L"QWERTYUIOP{}", L"            "},
         {HOME, L"asdfghjkl;'\\", L"ASDFGHJKL:\"|", L"            "},
         {BOTTOM, L" zxcvbnm,./", L" ZXCVBNM<>?", L"           "},
         OTHER_SIGNS},
        L""},
  de = {"de",
        {{DIGITS,
          L"\x302"
          L"1234567890ß\x301",
          L"°!\"§$%&/()=?\x300", L"  ²³   {[]}\\ "},
         {TOP, L"qwertzuiopü+", L"QWERTZUIOPÜ*", L"@ €        ~"},
         {HOME, L"asdfghjklöä#", L"ASDFGHJKLÖÄ'", L"            "},
         {BOTTOM, L"<yxcvbnm,.-", L">YXCVBNM;:_", L"|      µ   "},
         OTHER_SIGNS},
        L"äöüÄÖÜß§°€µ²³éèêáàâíìîóòôúùûÉÈÊ´"},
  fr = {"fr",
        {{DIGITS, L"²&é\"'(-è_çà)=", L" 1234567890°+", L"  ~#{[|`\\^@]}"},
         {TOP, L"azertyuiop\x302$", L"AZERTYUIOP\x308£", L"  €        ¤"},
         {HOME, L"qsdfghjklmù*", L"QSDFGHJKLM%µ", L"            "},
         {BOTTOM, L"<wxcvbn,;:!", L">WXCVBN?./§", L"           "},
         OTHER_SIGNS},
        L"éèàçù²°£¤µ§€êâîôûÊÂÎÔÛëäïöüËÄÏÖÜÿ¨"};

static wchar_t sign_of(const struct keyboard *keyboard, unsigned code, bool shift, bool altgr)
{
    for (size_t r = 0; r < ARRAY_SIZE(keyboard->rows); r++) {
        const struct row *row = &keyboard->rows[r];

        for (size_t n = 0; row->plain[n]; n++)
            if (row->codes[n] == code) {
                wchar_t sign = altgr ? row->altgr[n] : shift ? row->shift[n] : row->plain[n];

                return sign == L' ' ? NONE : code == KEY_SPACE ? L' ' : sign;
            }
    }
    return NONE;
}

static wchar_t compose(wchar_t dead, wchar_t sign)
{
    static const struct {
        wchar_t dead;
        const wchar_t *letters, *composed;
    } marks[] = {{GRAVE, L" aeiouAEIOU", L"`àèìòùÀÈÌÒÙ"},
                 {ACUTE, L" aeiouyAEIOUY", L"´áéíóúýÁÉÍÓÚÝ"},
                 {CIRCUMFLEX, L" aeiouAEIOU", L"^âêîôûÂÊÎÔÛ"},
                 {DIAERESIS, L" aeiouyAEIOU", L"¨äëïöüÿÄËÏÖÜ"}};

    for (size_t n = 0; n < ARRAY_SIZE(marks); n++) {
        const wchar_t *at = marks[n].dead == dead ? wcschr(marks[n].letters, sign) : NULL;

        if (at)
            return marks[n].composed[at - marks[n].letters];
    }
    fail_msg("a dead key before U+%04x", (unsigned)sign);
    return NONE;
}

static size_t encode(wchar_t sign, char *to)
{
    unsigned value = (unsigned)sign;

    if (value < 0x80) {
        to[0] = (char)value;
        return 1;
    }
    if (value < 0x800) {
        to[0] = (char)(0xC0 | value >> 6);
        to[1] = (char)(0x80 | (value & 0x3F));
        return 2;
    }
    to[0] = (char)(0xE0 | value >> 12);
    to[1] = (char)(0x80 | (value >> 6 & 0x3F));
    to[2] = (char)(0x80 | (value & 0x3F));
    return 3;
}

/* What a guest with this keyboard reads. Every key is down once and up once. */
static void read_as(const struct keyboard *keyboard, struct recorder *recorder, char *text)
{
    bool down[KEY_CNT] = {false};
    wchar_t dead = NONE;

    recorder_settle(recorder);
    for (unsigned n = 0; n < recorder->count; n++) {
        unsigned code = recorder->log[n].code;
        wchar_t sign;

        assert_int_not_equal(recorder->log[n].down, down[code]);
        down[code] = recorder->log[n].down;
        if (!down[code] || code == KEY_LEFTSHIFT || code == KEY_RIGHTALT)
            continue;
        sign = sign_of(keyboard, code, down[KEY_LEFTSHIFT], down[KEY_RIGHTALT]);
        if (sign == NONE)
            fail_msg("%s: key %u types nothing there", keyboard->name, code);
        if (sign >= 0x300 && sign < 0x370) {
            assert_int_equal(dead, NONE);
            dead = sign;
            continue;
        }
        if (dead != NONE)
            sign = compose(dead, sign);
        dead = NONE;
        text += encode(sign, text);
    }
    *text = '\0';
    assert_int_equal(dead, NONE);
    for (unsigned code = 0; code < KEY_CNT; code++)
        assert_false(down[code]);
    recorder->count = 0;
}

static void types_every_sign(const struct keyboard *keyboard)
{
    char text[1024], read[1024];
    size_t used = 0;
    struct error error = {""};

    for (int sign = ' '; sign <= '~'; sign++)
        text[used++] = (char)sign;
    for (const wchar_t *sign = keyboard->signs; *sign; sign++)
        used += encode(*sign, text + used);
    snprintf(text + used, sizeof text - used, "\n\tHELLO World");
    if (input_type(recorder_input, text, keyboard->name, &error) != 0)
        fail_msg("%s", error.text);
    read_as(keyboard, &recorder_first, read);
    assert_string_equal(read, text);
}

static void types_on_us(void **state)
{
    (void)state;
    types_every_sign(&us);
}

static void types_on_de(void **state)
{
    (void)state;
    types_every_sign(&de);
}

static void types_on_fr(void **state)
{
    (void)state;
    types_every_sign(&fr);
}

/* Each layout types its own alphabet's signs with keys that a keyboard has; ASCII except where letters are others. */
static void types_on_all(void **state)
{
    struct error error;
    unsigned count = 0;

    (void)state;
    for (const char *name; (name = input_layout_name(count)); count++) {
        bool latin = strcmp(name, "ru") != 0 && strcmp(name, "ua") != 0 && strcmp(name, "gr") != 0;

        assert_non_null(input_layout_title(count));
        if (input_type(recorder_input, latin ? "The quick brown fox; 0123456789 (a+b)?" : "0123456789 (+)?", name,
                       &error) != 0)
            fail_msg("%s: %s", name, error.text);
        recorder_settle(&recorder_first);
        recorder_first.count = 0;
    }
    assert_true(count >= 20);
    assert_null(input_layout_title(count));
    assert_int_equal(input_type(recorder_input, "Привет, мир", "ru", &error), 0);
    assert_string_equal(input_layout_name(0), "us");
    assert_int_equal(input_type(recorder_input, "čšžÿ", "de-CH", &error),
                     -EINVAL); /* Windows' dead keys make no such */
    assert_int_equal(input_type(recorder_input, "ďťň ŠČŘ", "cz", &error), 0);
}

static void unknown_signs_type_nothing(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {{"gr\xC3\xBC\xC3\x9F", "\"\xC3\xBC\" (U+00FC)"},
                {"a\xE2\x82\xAC", "U+20AC"},
                {"a\xF0\x9F\x98\x80", "U+1F600"},
                {"a\xCC\x81", "U+0301"},
                {"a\xC3", "0xc3"},
                {"\x80", "0x80"},
                {"\xC0\xAF", "0xc0"},
                {"\xE0\x80\xAF", "0xe0"},
                {"\xED\xA0\x80", "0xed"},
                {"\x1B[A", "U+001B"}};
    struct error error;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        assert_int_equal(input_type(recorder_input, rows[n].text, NULL, &error), -EINVAL);
        if (!strstr(error.text, rows[n].says))
            fail_msg("%s does not say %s", error.text, rows[n].says);
    }
    assert_string_equal(recorder_taken(&recorder_first), "");
    assert_int_equal(input_type(recorder_input, "a", "qwertz", &error), -EINVAL);
    assert_non_null(strstr(error.text, "did you mean"));
    assert_int_equal(input_layout_check("germ", "--keyboard", &error), -EINVAL);
    assert_non_null(strstr(error.text, "--keyboard germ: not a known keyboard layout; did you mean de?"));
    assert_int_equal(input_layout_check("gb", "--keyboard", &error), 0);
    assert_int_equal(input_layout_check("PT-BR", "--keyboard", &error), 0);
}

static void line_ends_of_windows(void **state)
{
    (void)state;
    assert_int_equal(input_type(recorder_input, "a\r\nb\rc", NULL, NULL), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+30 -30 +28 -28 +48 -48 +28 -28 +46 -46");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDED(types_on_us),
        RECORDED(types_on_de),
        RECORDED(types_on_fr),
        RECORDED(types_on_all),
        RECORDED(unknown_signs_type_nothing),
        RECORDED(line_ends_of_windows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
