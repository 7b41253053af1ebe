/* Text, chords and keysyms as key events, decoded by keyboards that are written down here by hand. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "casement/bytes.h"
#include "casement/input.h"
#include "casement/loop.h"
#include "cmocka_all.h"

#define LIMIT_NS INT64_C(60000000000)
#define LOG 20000
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

/* A keyboard that notes what it gets, and can refuse. */
struct recorder {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct {
        uint16_t code;
        bool down;
        int64_t when;
    } log[LOG];
    unsigned count, pointers;
    bool full, inactive;
    struct input_pointer last;
    struct input_sink sink;
};

static bool record_key(void *device, unsigned code, bool down)
{
    struct recorder *recorder = device;
    bool taken;

    pthread_mutex_lock(&recorder->lock);
    taken = !recorder->full;
    if (taken && recorder->count < LOG) {
        recorder->log[recorder->count].code = (uint16_t)code;
        recorder->log[recorder->count].down = down;
        recorder->log[recorder->count++].when = clock_ns();
    }
    pthread_cond_signal(&recorder->more);
    pthread_mutex_unlock(&recorder->lock);
    return taken;
}

static bool record_pointer(void *device, const struct input_pointer *pointer)
{
    struct recorder *recorder = device;
    bool taken;

    pthread_mutex_lock(&recorder->lock);
    taken = !recorder->full;
    if (taken) {
        recorder->pointers++;
        recorder->last = *pointer;
    }
    pthread_cond_signal(&recorder->more);
    pthread_mutex_unlock(&recorder->lock);
    return taken;
}

static bool recorder_active(void *device)
{
    struct recorder *recorder = device;
    bool active;

    pthread_mutex_lock(&recorder->lock);
    active = !recorder->inactive;
    pthread_mutex_unlock(&recorder->lock);
    return active;
}

static struct recorder first, second;
static struct loop *loop;
static struct input *input;

static void reset(struct recorder *recorder)
{
    memset(recorder, 0, sizeof *recorder);
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_cond_init(&recorder->more, NULL);
    recorder->sink = (struct input_sink){
        .active = recorder_active, .key = record_key, .pointer = record_pointer, .device = recorder};
}

static int start(void **state)
{
    (void)state;
    reset(&first);
    reset(&second);
    loop = loop_create("test");
    input = input_create(loop);
    input_add_sink(input, &first.sink);
    return loop_start(loop);
}

static int finish(void **state)
{
    (void)state;
    loop_stop(loop);
    input_destroy(input);
    loop_destroy(loop);
    return 0;
}

static void set(struct recorder *recorder, bool *what, bool value)
{
    pthread_mutex_lock(&recorder->lock);
    *what = value;
    pthread_mutex_unlock(&recorder->lock);
}

/* Until the last event queued has come through: a key that nobody else presses marks the end. */
static void settle(struct recorder *recorder)
{
    struct timespec end;

    assert_int_equal(input_key(input, KEY_F24, true), 0);
    assert_int_equal(input_key(input, KEY_F24, false), 0);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += LIMIT_NS / 1000000000;
    pthread_mutex_lock(&recorder->lock);
    while (recorder->count == 0 || recorder->log[recorder->count - 1].code != KEY_F24 ||
           recorder->log[recorder->count - 1].down)
        assert_int_equal(pthread_cond_timedwait(&recorder->more, &recorder->lock, &end), 0);
    recorder->count -= 2;
    pthread_mutex_unlock(&recorder->lock);
}

/* "+42 +30 -30 -42": the codes as they went down and up. Forgets them. */
static const char *taken(struct recorder *recorder)
{
    static char text[4096];
    size_t used = 0;

    settle(recorder);
    text[0] = '\0';
    for (unsigned n = 0; n < recorder->count && used < sizeof text; n++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%u", n ? " " : "",
                                 recorder->log[n].down ? '+' : '-', recorder->log[n].code);
    recorder->count = 0;
    return text;
}

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

    settle(recorder);
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
    if (input_type(input, text, keyboard->name, &error) != 0)
        fail_msg("%s", error.text);
    read_as(keyboard, &first, read);
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
        if (input_type(input, latin ? "The quick brown fox; 0123456789 (a+b)?" : "0123456789 (+)?", name, &error) != 0)
            fail_msg("%s: %s", name, error.text);
        settle(&first);
        first.count = 0;
    }
    assert_true(count >= 20);
    assert_null(input_layout_title(count));
    assert_int_equal(input_type(input, "Привет, мир", "ru", &error), 0);
    assert_string_equal(input_layout_name(0), "us");
    assert_int_equal(input_type(input, "čšžÿ", "de-CH", &error), -EINVAL); /* Windows' dead keys make no such */
    assert_int_equal(input_type(input, "ďťň ŠČŘ", "cz", &error), 0);
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
        assert_int_equal(input_type(input, rows[n].text, NULL, &error), -EINVAL);
        if (!strstr(error.text, rows[n].says))
            fail_msg("%s does not say %s", error.text, rows[n].says);
    }
    assert_string_equal(taken(&first), "");
    assert_int_equal(input_type(input, "a", "qwertz", &error), -EINVAL);
    assert_non_null(strstr(error.text, "did you mean"));
    assert_int_equal(input_layout_check("germ", "--keyboard", &error), -EINVAL);
    assert_non_null(strstr(error.text, "--keyboard germ: not a known keyboard layout; did you mean de?"));
    assert_int_equal(input_layout_check("gb", "--keyboard", &error), 0);
    assert_int_equal(input_layout_check("PT-BR", "--keyboard", &error), 0);
}

static void line_ends_of_windows(void **state)
{
    (void)state;
    assert_int_equal(input_type(input, "a\r\nb\rc", NULL, NULL), 0);
    assert_string_equal(taken(&first), "+30 -30 +28 -28 +48 -48 +28 -28 +46 -46");
}

static void chords(void **state)
{
    struct error error;

    (void)state;
    assert_int_equal(input_chord(input, "ctrl-alt-delete", &error), 0);
    assert_string_equal(taken(&first), "+29 +56 +111 -111 -56 -29");
    assert_int_equal(input_chord(input, "Ctrl+Z", &error), 0);
    assert_string_equal(taken(&first), "+29 +44 -44 -29");
    assert_int_equal(input_set_layout(input, "de", &error), 0);
    assert_string_equal(input_layout(input), "de");
    assert_int_equal(input_chord(input, "ctrl-z", &error), 0);
    assert_string_equal(taken(&first), "+29 +21 -21 -29");
    assert_int_equal(input_chord(input, "ctrl-plus", &error), 0);
    assert_string_equal(taken(&first), "+29 +27 -27 -29");
    assert_int_equal(input_chord(input, "ctrl--", &error), 0);
    assert_string_equal(taken(&first), "+29 +53 -53 -29");
    assert_int_equal(input_chord(input, "ctrl-alt-delte", &error), -EINVAL);
    assert_non_null(strstr(error.text, "delete"));
    assert_int_equal(input_chord(input, "a-b-c-d-e-f-g-h-i", &error), -EINVAL);
    assert_int_equal(input_chord(input, "", &error), -EINVAL);
    assert_string_equal(taken(&first), "");
}

/* Keysyms: each row's events and keys. */
static void keysym(uint32_t keysym_, bool down)
{
    assert_int_equal(input_keysym(input, keysym_, down), 0);
}

static void keysyms_press_their_keys(void **state)
{
    static const struct {
        uint32_t keysym;
        unsigned code;
    } rows[] = {{0xFF0D, KEY_ENTER},    {0xFF1B, KEY_ESC},      {0xFFBE, KEY_F1},           {0xFFC9, KEY_F12},
                {0xFF8D, KEY_KPENTER},  {0xFFB7, KEY_KP7},      {0xFF95, KEY_KP7},          {0xFFE4, KEY_RIGHTCTRL},
                {0xFE03, KEY_RIGHTALT}, {0xFFEB, KEY_LEFTMETA}, {0xFF61, KEY_SYSRQ},        {' ', KEY_SPACE},
                {'a', KEY_A},           {0xFC, KEY_LEFTBRACE},  {0x10000FC, KEY_LEFTBRACE}, {0xFE52, KEY_GRAVE}};
    char wanted[32];

    (void)state;
    assert_int_equal(input_set_layout(input, "de", NULL), 0);
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        keysym(rows[n].keysym, true);
        keysym(rows[n].keysym, false);
        snprintf(wanted, sizeof wanted, "+%u -%u", rows[n].code, rows[n].code);
        assert_string_equal(taken(&first), wanted);
    }
    assert_int_equal(input_keysym(input, 0x1004E2D, true), -EINVAL);
    assert_int_equal(input_keysym(input, 0xFFFFFFFF, true), -EINVAL);
    keysym(0x1004E2D, false);
    assert_string_equal(taken(&first), "");
    assert_int_equal(input_set_layout(input, "pl", NULL), 0);
    keysym(0x1B3, true); /* l with stroke, as X has always called it */
    keysym(0x1B3, false);
    assert_string_equal(taken(&first), "+100 +38 -38 -100");
}

static void keysyms_change_modifiers_only_where_they_differ(void **state)
{
    (void)state;
    keysym(0xFFE1, true);
    keysym('A', true);
    keysym('A', false);
    keysym(0xFFE1, false);
    assert_string_equal(taken(&first), "+42 +30 -30 -42");
    /* A viewer that tells no shift, and one whose shift is no shift here. */
    keysym('A', true);
    keysym('A', false);
    assert_string_equal(taken(&first), "+42 +30 -30 -42");
    keysym(0xFFE2, true);
    keysym('a', true);
    keysym('a', false);
    keysym(0xFFE2, false);
    assert_string_equal(taken(&first), "+54 -54 +30 -30 +54 -54");
    /* Shift and 2 of a US keyboard on a German one: AltGr and Q. */
    assert_int_equal(input_set_layout(input, "de", NULL), 0);
    keysym(0xFFE1, true);
    keysym('@', true);
    keysym('@', false);
    keysym(0xFFE1, false);
    assert_string_equal(taken(&first), "+42 -42 +100 +16 -16 -100 +42 -42");
    /* Another key before it comes up: the viewer's modifiers are back before that one goes down. */
    keysym('@', true);
    keysym('b', true);
    keysym('@', false);
    keysym('b', false);
    assert_string_equal(taken(&first), "+100 +16 -100 +48 -16 -48");
    /* The sign changes while the key is down. */
    keysym('q', true);
    keysym(0xFFE1, true);
    keysym('q', false);
    keysym(0xFFE1, false);
    assert_string_equal(taken(&first), "+16 +42 -16 -42");
    /* A letter with a dead key's mark. */
    keysym(0xEA, true);
    keysym(0xEA, false);
    assert_string_equal(taken(&first), "+41 -41 +18 -18");
}

static void commands_and_caps_lock(void **state)
{
    (void)state;
    /* Ctrl-C with caps lock at the viewer alone is no Ctrl-Shift-C. */
    keysym(0xFFE3, true);
    keysym('C', true);
    keysym('C', false);
    keysym(0xFFE3, false);
    assert_string_equal(taken(&first), "+29 +46 -46 -29");
    /* Caps lock in the guest makes the capital. */
    keysym(0xFFE5, true);
    keysym(0xFFE5, false);
    keysym('A', true);
    keysym('A', false);
    keysym('1', true);
    keysym('1', false);
    assert_string_equal(taken(&first), "+58 -58 +30 -30 +2 -2");
    assert_int_equal(input_type(input, "Ab1", NULL, NULL), 0);
    assert_string_equal(taken(&first), "+30 -30 +42 +48 -48 -42 +2 -2");
    input_set_caps_lock(input, false);
    assert_int_equal(input_type(input, "b", NULL, NULL), 0);
    assert_string_equal(taken(&first), "+48 -48");
}

static void held_modifiers_do_not_change_a_text(void **state)
{
    (void)state;
    keysym(0xFFE1, true);
    keysym(0xFFE9, true);
    assert_int_equal(input_type(input, "a", NULL, NULL), 0);
    keysym(0xFFE9, false);
    keysym(0xFFE1, false);
    assert_string_equal(taken(&first), "+42 +56 -42 -56 +30 -30 +56 +42 -56 -42");
}

static void keeps_the_pace(void **state)
{
    const int64_t pace = INT64_C(5000000);

    (void)state;
    first.sink.key_pace_ns = pace;
    assert_int_equal(input_type(input, "abc", NULL, NULL), 0);
    settle(&first);
    assert_int_equal(first.count, 6);
    for (unsigned n = 1; n < first.count; n++)
        assert_true(first.log[n].when - first.log[n - 1].when >= pace);
}

static void a_full_queue_says_so(void **state)
{
    char text[2100];
    struct error error;
    unsigned pressed = 0;

    (void)state;
    set(&first, &first.full, true);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(input_type(input, text, NULL, &error), -ENOSPC); /* more than the queue holds */
    text[1000] = '\0';
    assert_int_equal(input_type(input, text, NULL, &error), 0);
    assert_int_equal(input_type(input, text, NULL, &error), 0);
    assert_int_equal(input_type(input, text, NULL, &error), -ENOSPC);
    assert_non_null(strstr(error.text, "later"));
    while (input_key(input, KEY_A, true) == 0)
        pressed++;
    assert_int_equal(pressed, 4096 - 4000);
    assert_int_equal(input_chord(input, "enter", &error), -ENOSPC);
    assert_int_equal(input_keysym(input, 'a', true), -ENOSPC);
    set(&first, &first.full, false);
    while (input_key(input, KEY_B, true) == -ENOSPC)
        ;
    settle(&first);
    assert_int_equal(first.count, 4096 + 1);
}

static void movements_merge_and_clicks_do_not(void **state)
{
    struct input_pointer pointer = {0};

    (void)state;
    set(&first, &first.full, true);
    for (unsigned n = 0; n < 10000; n++) {
        pointer.x = (uint16_t)n;
        pointer.buttons = n % 1000 == 999;
        assert_int_equal(input_pointer(input, &pointer), 0);
    }
    assert_int_equal(input_pointer(input, &(struct input_pointer){.x = 32768}), -EINVAL);
    set(&first, &first.full, false);
    settle(&first);
    assert_true(first.pointers >= 2048 && first.pointers < 4096);
    assert_int_equal(first.last.x, 9999);
    assert_int_equal(first.last.buttons, 1);
}

static void another_keyboard_takes_over(void **state)
{
    (void)state;
    assert_int_equal(input_key(input, KEY_LEFTSHIFT, true), 0);
    settle(&first);
    first.count = 0;
    input_add_sink(input, &second.sink);
    assert_int_equal(input_key(input, KEY_A, true), 0);
    assert_string_equal(taken(&second), "+30");
    assert_string_equal((first.count == 1 && first.log[0].code == KEY_LEFTSHIFT && !first.log[0].down) ? "up" : "",
                        "up");
    first.count = 0;
    /* The newer one is unplugged, or its driver goes: the older one answers. */
    set(&second, &second.inactive, true);
    assert_int_equal(input_key(input, KEY_B, true), 0);
    assert_string_equal(taken(&first), "+48");
    assert_int_equal(second.log[0].code, KEY_A);
    assert_false(second.log[0].down);
    input_remove_sink(input, &first.sink);
    input_remove_sink(input, &second.sink);
    assert_int_equal(input_key(input, KEY_C, true), 0); /* to nobody */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(types_on_us),
        TEST(types_on_de),
        TEST(types_on_fr),
        TEST(types_on_all),
        TEST(unknown_signs_type_nothing),
        TEST(line_ends_of_windows),
        TEST(chords),
        TEST(keysyms_press_their_keys),
        TEST(keysyms_change_modifiers_only_where_they_differ),
        TEST(commands_and_caps_lock),
        TEST(held_modifiers_do_not_change_a_text),
        TEST(keeps_the_pace),
        TEST(a_full_queue_says_so),
        TEST(movements_merge_and_clicks_do_not),
        TEST(another_keyboard_takes_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
