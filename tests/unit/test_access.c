/* Secrets, the delay after wrong ones, sessions, and the rules for Host and Origin. */
#include <stdio.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/viewer/access.h"

#define SECOND INT64_C(1000000000)

static const uint8_t here[16] = {[10] = 0xFF, [11] = 0xFF, [12] = 192, [13] = 0, [14] = 2, [15] = 1};
static const uint8_t there[16] = {[10] = 0xFF, [11] = 0xFF, [12] = 192, [13] = 0, [14] = 2, [15] = 2};
static unsigned waits;

static struct access *make(enum access_mode mode)
{
    static const char *const hosts[] = {"vm.example.com", NULL};
    const struct access_options options = {.mode = mode, .secret = "right secret", .name = "box", .hosts = hosts};
    struct access *access = access_create(&options);

    assert_non_null(access);
    return access;
}

static enum access_verdict try_it(struct access *access, const char *secret, const uint8_t address[16], int64_t now)
{
    return access_try(access, secret, address, now, &waits);
}

static void only_the_secret_is_let_in(void **state)
{
    static const char *const wrong[] = {"", "right", "right secret ", "Right secret", "right secre"};
    struct access *access = make(ACCESS_TOKEN), *open = make(ACCESS_OPEN);
    int64_t now = SECOND;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(wrong); n++)
        assert_int_equal(try_it(access, wrong[n], here, now += 120 * SECOND), ACCESS_DENIED);
    assert_int_equal(try_it(access, "right secret", here, now), ACCESS_GRANTED);
    assert_int_equal(try_it(open, "whatever", here, now), ACCESS_GRANTED);
    access_destroy(access);
    access_destroy(open);
}

static void wrong_passwords_cost_more_and_more_time(void **state)
{
    struct access *access = make(ACCESS_PASSWORD);
    int64_t now = SECOND;
    unsigned longest = 0, denied = 0;

    (void)state;
    for (unsigned n = 0; n < 5; n++)
        assert_int_equal(try_it(access, "wrong", here, now), ACCESS_DENIED);
    /* Then even the right one is not looked at. */
    assert_int_equal(try_it(access, "right secret", here, now), ACCESS_TOO_SOON);
    assert_int_equal(waits, 1);
    /* Another address is not held up. */
    assert_int_equal(try_it(access, "right secret", there, now), ACCESS_GRANTED);
    /* A thousand attempts, one each second: few are looked at. */
    for (unsigned n = 0; n < 1000; n++) {
        denied += try_it(access, "wrong", here, now += SECOND) == ACCESS_DENIED;
        longest = MAX(longest, waits);
    }
    assert_in_range(denied, 10, 30);
    assert_int_equal(longest, 59); /* a minute, of which a second is over */
    now += 61 * SECOND;
    assert_int_equal(try_it(access, "right secret", here, now), ACCESS_GRANTED);
    assert_int_equal(try_it(access, "wrong", here, now), ACCESS_DENIED);
    access_destroy(access);
}

static void a_right_token_is_let_in_in_any_case(void **state)
{
    struct access *access = make(ACCESS_TOKEN);
    unsigned too_soon = 0;

    (void)state;
    for (unsigned n = 0; n < 1000; n++)
        too_soon += try_it(access, "wrong", here, SECOND) == ACCESS_TOO_SOON;
    assert_int_equal(too_soon, 995);
    assert_int_equal(try_it(access, "right secret", here, SECOND), ACCESS_GRANTED);
    access_destroy(access);
}

static void many_addresses_do_not_help(void **state)
{
    struct access *access = make(ACCESS_PASSWORD);
    unsigned denied = 0;
    uint8_t address[16];

    (void)state;
    /* One IPv6 prefix is one guesser. */
    memset(address, 0x20, sizeof address);
    for (unsigned n = 0; n < 100; n++) {
        address[15] = (uint8_t)n;
        denied += try_it(access, "wrong", address, SECOND) == ACCESS_DENIED;
    }
    assert_int_equal(denied, 5);
    /* Ten thousand addresses together get no more than a burst, and then a few each second. */
    for (unsigned n = 0; n < 10000; n++) {
        memcpy(address, here, sizeof address);
        address[14] = (uint8_t)(n >> 8);
        address[15] = (uint8_t)n;
        denied += try_it(access, "wrong", address, SECOND + n * (SECOND / 1000)) == ACCESS_DENIED;
    }
    assert_in_range(denied, 100, 130);
    access_destroy(access);
}

static void tokens_are_base64url_and_differ(void **state)
{
    char one[ACCESS_TEXT], other[ACCESS_TEXT];

    (void)state;
    assert_true(access_make_token(one));
    assert_true(access_make_token(other));
    assert_int_equal(strlen(one), 43);
    assert_int_equal(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    assert_string_not_equal(one, other);
}

static void sessions_open_age_and_close(void **state)
{
    struct access *access = make(ACCESS_TOKEN);
    char first[ACCESS_TEXT], second[ACCESS_TEXT], more[ACCESS_TEXT];
    int64_t now = SECOND, hour = 3600 * SECOND;

    (void)state;
    assert_true(access_session_open(access, now, first));
    assert_true(access_session_open(access, now, second));
    assert_true(access_session_valid(access, first, now));
    assert_false(access_session_valid(access, "", now));
    assert_false(access_session_valid(access, "right secret", now));
    access_session_close(access, first);
    assert_false(access_session_valid(access, first, now));
    /* Used now and then it lives for a week, unused for 12 hours. */
    for (unsigned n = 0; n < 16; n++)
        assert_true(access_session_valid(access, second, now += 10 * hour));
    assert_false(access_session_valid(access, second, now + 10 * hour));
    assert_true(access_session_open(access, now, first));
    assert_false(access_session_valid(access, first, now + 13 * hour));
    /* The place that was used least lately makes room. */
    assert_true(access_session_open(access, now, first));
    for (unsigned n = 0; n < 64; n++)
        assert_true(access_session_open(access, now + SECOND, more));
    assert_false(access_session_valid(access, first, now + SECOND));
    assert_true(access_session_valid(access, more, now + SECOND));
    access_destroy(access);
}

static void hosts(void **state)
{
    static const char *const good[] = {"localhost",
                                       "LOCALHOST:8006",
                                       "127.0.0.1",
                                       "127.0.0.1:1",
                                       "[::1]:8006",
                                       "[::1]",
                                       "box",
                                       "Box:8006",
                                       "box.",
                                       "192.0.2.7:80",
                                       "[2001:db8::1]",
                                       "vm.example.com",
                                       "VM.example.com:443"};
    /* Names that nobody has in the DNS: good where a secret is asked for. */
    static const char *const local[] = {"nas",       "NAS:8006",       "my_nas.",   "windows-0",
                                        "nas.local", "Nas.Local:8006", "a.b.local."};
    static const char *const bad[] = {"",
                                      "evil.example",
                                      "localhost.evil.example",
                                      "127.0.0.1.evil.example",
                                      "example.com",
                                      "sub.vm.example.com",
                                      "::1",
                                      "[::1",
                                      "[::1]x",
                                      "[evil]",
                                      "box:80:80",
                                      "box:http",
                                      ":8006",
                                      "127.1",
                                      "0x7f.0.0.1",
                                      "localhost, evil.example",
                                      "nas.lan",
                                      ".local",
                                      "..local",
                                      "nas.local.evil.example",
                                      "na s",
                                      "nas/.local",
                                      "evil.example.local.com"};
    struct access *access = make(ACCESS_TOKEN), *open = make(ACCESS_OPEN);
    char far[400];

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(good); n++)
        if (!access_host_allowed(access, good[n]))
            fail_msg("%s is refused", good[n]);
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        if (access_host_allowed(access, bad[n]))
            fail_msg("%s is allowed", bad[n]);
    for (size_t n = 0; n < ARRAY_SIZE(local); n++)
        if (!access_host_allowed(access, local[n]) || access_host_allowed(open, local[n]))
            fail_msg("%s is refused, or allowed to everybody", local[n]);
    assert_true(access_host_allowed(open, "box"));
    access_destroy(open);
    memset(far, '1', sizeof far - 1);
    far[sizeof far - 1] = 0;
    assert_false(access_host_allowed(access, far));
    access_destroy(access);
}

static void origins(void **state)
{
    static const struct {
        const char *origin, *host;
        bool secure, allowed;
    } cases[] = {
        {"http://localhost:8006", "localhost:8006", false, true},
        {"http://LOCALHOST:8006", "localhost:8006", false, true},
        {"http://box", "box:80", false, true},
        {"https://box", "box", false, true},
        {"https://box:443", "box", true, true},
        {"https://[::1]:8006", "[::1]:8006", true, true},
        {"http://box", "box", true, false},
        {"http://localhost:8006", "localhost:8007", false, false},
        {"http://localhost", "localhost:8006", false, false},
        {"http://evil.example", "localhost:8006", false, false},
        {"http://localhost:8006.evil.example", "localhost:8006", false, false},
        {"http://localhost:8006/", "localhost:8006", false, false},
        {"null", "localhost:8006", false, false},
        {"", "", false, false},
        {"http://", "", false, false},
        {"ftp://box", "box", false, false},
        {"box", "box", false, false},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++)
        if (access_origin_allowed(cases[n].origin, cases[n].host, cases[n].secure) != cases[n].allowed)
            fail_msg("%s at %s", cases[n].origin, cases[n].host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_secret_is_let_in),
        cmocka_unit_test(wrong_passwords_cost_more_and_more_time),
        cmocka_unit_test(a_right_token_is_let_in_in_any_case),
        cmocka_unit_test(many_addresses_do_not_help),
        cmocka_unit_test(tokens_are_base64url_and_differ),
        cmocka_unit_test(sessions_open_age_and_close),
        cmocka_unit_test(hosts),
        cmocka_unit_test(origins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
