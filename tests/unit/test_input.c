/* Chords, keysyms and the pointer as events, and the queue that these go through. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/input.h"
#include "cmocka_all.h"
#include "fake_recorder.h"

static void chords(void **state)
{
    struct error error;

    (void)state;
    assert_int_equal(input_chord(recorder_input, "ctrl-alt-delete", &error), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+29 +56 +111 -111 -56 -29");
    assert_int_equal(input_chord(recorder_input, "Ctrl+Z", &error), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+29 +44 -44 -29");
    assert_int_equal(input_set_layout(recorder_input, "de", &error), 0);
    assert_string_equal(input_layout(recorder_input), "de");
    assert_int_equal(input_chord(recorder_input, "ctrl-z", &error), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+29 +21 -21 -29");
    assert_int_equal(input_chord(recorder_input, "ctrl-plus", &error), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+29 +27 -27 -29");
    assert_int_equal(input_chord(recorder_input, "ctrl--", &error), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+29 +53 -53 -29");
    assert_int_equal(input_chord(recorder_input, "ctrl-alt-delte", &error), -EINVAL);
    assert_non_null(strstr(error.text, "delete"));
    assert_int_equal(input_chord(recorder_input, "a-b-c-d-e-f-g-h-i", &error), -EINVAL);
    assert_int_equal(input_chord(recorder_input, "", &error), -EINVAL);
    assert_string_equal(recorder_taken(&recorder_first), "");
}

/* Keysyms: each row's events and keys. */
static void keysym(uint32_t keysym_, bool down)
{
    assert_int_equal(input_keysym(recorder_input, keysym_, down), 0);
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
    assert_int_equal(input_set_layout(recorder_input, "de", NULL), 0);
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        keysym(rows[n].keysym, true);
        keysym(rows[n].keysym, false);
        snprintf(wanted, sizeof wanted, "+%u -%u", rows[n].code, rows[n].code);
        assert_string_equal(recorder_taken(&recorder_first), wanted);
    }
    assert_int_equal(input_keysym(recorder_input, 0x1004E2D, true), -EINVAL);
    assert_int_equal(input_keysym(recorder_input, 0xFFFFFFFF, true), -EINVAL);
    keysym(0x1004E2D, false);
    assert_string_equal(recorder_taken(&recorder_first), "");
    assert_int_equal(input_set_layout(recorder_input, "pl", NULL), 0);
    keysym(0x1B3, true); /* l with stroke, as X has always called it */
    keysym(0x1B3, false);
    assert_string_equal(recorder_taken(&recorder_first), "+100 +38 -38 -100");
}

static void keysyms_change_modifiers_only_where_they_differ(void **state)
{
    (void)state;
    keysym(0xFFE1, true);
    keysym('A', true);
    keysym('A', false);
    keysym(0xFFE1, false);
    assert_string_equal(recorder_taken(&recorder_first), "+42 +30 -30 -42");
    /* A viewer that tells no shift, and one whose shift is no shift here. */
    keysym('A', true);
    keysym('A', false);
    assert_string_equal(recorder_taken(&recorder_first), "+42 +30 -30 -42");
    keysym(0xFFE2, true);
    keysym('a', true);
    keysym('a', false);
    keysym(0xFFE2, false);
    assert_string_equal(recorder_taken(&recorder_first), "+54 -54 +30 -30 +54 -54");
    /* Shift and 2 of a US keyboard on a German one: AltGr and Q. */
    assert_int_equal(input_set_layout(recorder_input, "de", NULL), 0);
    keysym(0xFFE1, true);
    keysym('@', true);
    keysym('@', false);
    keysym(0xFFE1, false);
    assert_string_equal(recorder_taken(&recorder_first), "+42 -42 +100 +16 -16 -100 +42 -42");
    /* Another key before it comes up: the viewer's modifiers are back before that one goes down. */
    keysym('@', true);
    keysym('b', true);
    keysym('@', false);
    keysym('b', false);
    assert_string_equal(recorder_taken(&recorder_first), "+100 +16 -100 +48 -16 -48");
    /* The sign changes while the key is down. */
    keysym('q', true);
    keysym(0xFFE1, true);
    keysym('q', false);
    keysym(0xFFE1, false);
    assert_string_equal(recorder_taken(&recorder_first), "+16 +42 -16 -42");
    /* A letter with a dead key's mark. */
    keysym(0xEA, true);
    keysym(0xEA, false);
    assert_string_equal(recorder_taken(&recorder_first), "+41 -41 +18 -18");
}

static void commands_and_caps_lock(void **state)
{
    (void)state;
    /* Ctrl-C with caps lock at the viewer alone is no Ctrl-Shift-C. */
    keysym(0xFFE3, true);
    keysym('C', true);
    keysym('C', false);
    keysym(0xFFE3, false);
    assert_string_equal(recorder_taken(&recorder_first), "+29 +46 -46 -29");
    /* Caps lock in the guest makes the capital. */
    keysym(0xFFE5, true);
    keysym(0xFFE5, false);
    keysym('A', true);
    keysym('A', false);
    keysym('1', true);
    keysym('1', false);
    assert_string_equal(recorder_taken(&recorder_first), "+58 -58 +30 -30 +2 -2");
    assert_int_equal(input_type(recorder_input, "Ab1", NULL, NULL), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+30 -30 +42 +48 -48 -42 +2 -2");
    input_set_caps_lock(recorder_input, false);
    assert_int_equal(input_type(recorder_input, "b", NULL, NULL), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+48 -48");
}

static void held_modifiers_do_not_change_a_text(void **state)
{
    (void)state;
    keysym(0xFFE1, true);
    keysym(0xFFE9, true);
    assert_int_equal(input_type(recorder_input, "a", NULL, NULL), 0);
    keysym(0xFFE9, false);
    keysym(0xFFE1, false);
    assert_string_equal(recorder_taken(&recorder_first), "+42 +56 -42 -56 +30 -30 +56 +42 -56 -42");
}

static void keeps_the_pace(void **state)
{
    const int64_t pace = INT64_C(5000000);

    (void)state;
    recorder_first.sink.key_pace_ns = pace;
    assert_int_equal(input_type(recorder_input, "abc", NULL, NULL), 0);
    recorder_settle(&recorder_first);
    assert_int_equal(recorder_first.count, 6);
    for (unsigned n = 1; n < recorder_first.count; n++)
        assert_true(recorder_first.log[n].when - recorder_first.log[n - 1].when >= pace);
}

static void a_full_queue_says_so(void **state)
{
    char text[2100];
    struct error error;
    unsigned pressed = 0;

    (void)state;
    recorder_set(&recorder_first, &recorder_first.full, true);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(input_type(recorder_input, text, NULL, &error), -ENOSPC); /* more than the queue holds */
    text[1000] = '\0';
    assert_int_equal(input_type(recorder_input, text, NULL, &error), 0);
    assert_int_equal(input_type(recorder_input, text, NULL, &error), 0);
    assert_int_equal(input_type(recorder_input, text, NULL, &error), -ENOSPC);
    assert_non_null(strstr(error.text, "later"));
    while (input_key(recorder_input, KEY_A, true) == 0)
        pressed++;
    assert_int_equal(pressed, 4096 - 4000);
    assert_int_equal(input_chord(recorder_input, "enter", &error), -ENOSPC);
    assert_int_equal(input_keysym(recorder_input, 'a', true), -ENOSPC);
    recorder_set(&recorder_first, &recorder_first.full, false);
    while (input_key(recorder_input, KEY_B, true) == -ENOSPC)
        ;
    recorder_settle(&recorder_first);
    assert_int_equal(recorder_first.count, 4096 + 1);
}

static void movements_merge_and_clicks_do_not(void **state)
{
    struct input_pointer pointer = {0};

    (void)state;
    recorder_set(&recorder_first, &recorder_first.full, true);
    for (unsigned n = 0; n < 10000; n++) {
        pointer.x = (uint16_t)n;
        pointer.buttons = n % 1000 == 999;
        assert_int_equal(input_pointer(recorder_input, &pointer), 0);
    }
    assert_int_equal(input_pointer(recorder_input, &(struct input_pointer){.x = 32768}), -EINVAL);
    recorder_set(&recorder_first, &recorder_first.full, false);
    recorder_settle(&recorder_first);
    assert_true(recorder_first.pointers >= 2048 && recorder_first.pointers < 4096);
    assert_int_equal(recorder_first.last.x, 9999);
    assert_int_equal(recorder_first.last.buttons, 1);
}

static void another_keyboard_takes_over(void **state)
{
    (void)state;
    assert_int_equal(input_key(recorder_input, KEY_LEFTSHIFT, true), 0);
    recorder_settle(&recorder_first);
    recorder_first.count = 0;
    input_add_sink(recorder_input, &recorder_second.sink);
    assert_int_equal(input_key(recorder_input, KEY_A, true), 0);
    assert_string_equal(recorder_taken(&recorder_second), "+30");
    assert_string_equal(
        (recorder_first.count == 1 && recorder_first.log[0].code == KEY_LEFTSHIFT && !recorder_first.log[0].down) ? "up"
                                                                                                                  : "",
        "up");
    recorder_first.count = 0;
    /* The newer one is unplugged, or its driver goes: the older one answers. */
    recorder_set(&recorder_second, &recorder_second.inactive, true);
    assert_int_equal(input_key(recorder_input, KEY_B, true), 0);
    assert_string_equal(recorder_taken(&recorder_first), "+48");
    assert_int_equal(recorder_second.log[0].code, KEY_A);
    assert_false(recorder_second.log[0].down);
    input_remove_sink(recorder_input, &recorder_first.sink);
    input_remove_sink(recorder_input, &recorder_second.sink);
    assert_int_equal(input_key(recorder_input, KEY_C, true), 0); /* to nobody */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RECORDED(chords),
        RECORDED(keysyms_press_their_keys),
        RECORDED(keysyms_change_modifiers_only_where_they_differ),
        RECORDED(commands_and_caps_lock),
        RECORDED(held_modifiers_do_not_change_a_text),
        RECORDED(keeps_the_pace),
        RECORDED(a_full_queue_says_so),
        RECORDED(movements_merge_and_clicks_do_not),
        RECORDED(another_keyboard_takes_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
