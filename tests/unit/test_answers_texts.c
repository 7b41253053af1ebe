/* The user's texts in the answer file: passwords as Windows wants them, and texts that XML and Setup would trip over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_unattend.h"

static struct error error;

/* Base64 as others make it: printf 'adminPassword' | iconv -t UTF-16LE | base64. */
static void passwords_are_encoded_as_windows_does(void **state)
{
    const struct fake_xml *shell;
    struct fake_unattend use;

    (void)state;
    fake_unattend_open(&use, &fake_targets[0], "en-US", &fake_wishes[0]);
    shell = fake_unattend_component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup");
    fake_unattend_text(shell, "AutoLogon/Password/Value", "YQBkAG0AaQBuAFAAYQBzAHMAdwBvAHIAZAA=");
    fake_unattend_text(shell, "UserAccounts/AdministratorPassword/Value",
                       "YQBkAG0AaQBuAEEAZABtAGkAbgBpAHMAdAByAGEAdABvAHIAUABhAHMAcwB3AG8AcgBkAA==");
    fake_unattend_close(&use);
    /* printf '😀Password' */
    fake_unattend_open(&use, &fake_targets[0], "en-US", &(struct answers){.password = "\xF0\x9F\x98\x80"});
    shell = fake_unattend_component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup");
    fake_unattend_text(shell, "AutoLogon/Password/Value", "PdgA3lAAYQBzAHMAdwBvAHIAZAA=");
    fake_unattend_close(&use);
    fake_unattend_open(&use, &fake_targets[0], "en-US", &(struct answers){.password = ""});
    fake_unattend_password(fake_unattend_component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup"),
                           "AutoLogon/Password", "");
    fake_unattend_close(&use);
}

static void the_longest_password(void **state)
{
    char password[128];
    struct fake_unattend use;

    (void)state;
    memset(password, 'x', 127);
    password[127] = 0;
    fake_unattend_open(&use, &fake_targets[0], "en-US", &(struct answers){.password = password});
    fake_unattend_password(fake_unattend_component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup"),
                           "UserAccounts/AdministratorPassword", password);
    fake_unattend_close(&use);
}

static char long_text[301];
static const char *const texts[] = {"\"",
                                    "'",
                                    "<",
                                    ">",
                                    "&",
                                    "]]>",
                                    "&amp;",
                                    "a\nb",
                                    "a\rb",
                                    "\t",
                                    "\x01",
                                    "\x7F",
                                    "\xFF",
                                    "\xC3",
                                    "\xED\xA0\x80",
                                    "\xC2\x85",
                                    "\xE2\x80\xA8",
                                    "\xF0\x9F\x98\x80",
                                    long_text,
                                    "<!--",
                                    "</Name>",
                                    "%PATH%",
                                    "$(reboot)",
                                    "\xEF\xBF\xBF",
                                    "OU=<\"&'>",
                                    "\xC3\xA9\xE2\x82\xAC",
                                    "needle"};

#define SHELL "Microsoft-Windows-Shell-Setup"
#define JOIN "Microsoft-Windows-UnattendedJoin"
#define AT(member) offsetof(struct answers, member)

static const struct place {
    size_t offset;
    const char *option, *pass, *component, *path; /* NULL: the text is not in the answer file */
} places[] = {
    {AT(user), "--user", "oobeSystem", SHELL, "UserAccounts/LocalAccounts/LocalAccount/Name"},
    {AT(computer), "--computer", "specialize", SHELL, "ComputerName"},
    {AT(workgroup), "--workgroup", "specialize", JOIN, "Identification/JoinWorkgroup"},
    {AT(domain), "--domain", "specialize", JOIN, "Identification/JoinDomain"},
    {AT(domain_user), "--domain-user", "specialize", JOIN, "Identification/Credentials/Username"},
    {AT(domain_password), "--domain-password", "specialize", JOIN, "Identification/Credentials/Password"},
    {AT(domain_ou), "--domain-ou", "specialize", JOIN, "Identification/MachineObjectOU"},
    {AT(time_zone), "--time-zone", NULL, NULL, NULL},
    {AT(command), "--command", NULL, NULL, NULL},
    {AT(edition), "--edition", NULL, NULL, NULL},
    {AT(key), "--key", NULL, NULL, NULL},
    {AT(language), "--language", NULL, NULL, NULL},
    {AT(region), "--region", NULL, NULL, NULL},
    {AT(keyboard), "--keyboard-locale", NULL, NULL, NULL},
};

/* With what that wish needs beside it. */
static struct answers wishing(size_t offset, const char *text)
{
    struct answers answers = {0};

    if (offset == AT(domain) || offset == AT(domain_user) || offset == AT(domain_password) || offset == AT(domain_ou))
        answers = (struct answers){.domain = "example.com", .domain_user = "joiner", .domain_password = "joins"};
    memcpy((char *)&answers + offset, &text, sizeof text);
    return answers;
}

/* The text is refused with one line that names the option. */
static bool is_refused(const struct answers *answers, const char *option)
{
    error.text[0] = 0;
    if (answers_check(answers, &error) == 0)
        return false;
    if (strncmp(error.text, option, strlen(option)) != 0 || strpbrk(error.text, "\n\r"))
        fail_msg("%s: %s", option, error.text);
    return true;
}

static void comes_out(const struct place *place, const char *text, const struct answers *answers)
{
    struct fake_unattend use;

    fake_unattend_open(&use, &fake_targets[FAKE_PROFESSIONAL], "en-US", answers);
    fake_unattend_frame(&use);
    if (place->path)
        fake_unattend_setting(&use, place->pass, place->component, place->path, text);
    else if (!strcmp(text, "needle"))
        assert_null(strstr(use.document, text));
    fake_unattend_close(&use);
}

/* Each text either comes out as it went in or is refused. */
static void hostile_texts_survive_or_are_refused(void **state)
{
    unsigned taken = 0, refused = 0;

    (void)state;
    memset(long_text, 'x', 300);
    for (size_t p = 0; p < ARRAY_SIZE(places); p++)
        for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
            struct answers answers = wishing(places[p].offset, texts[n]);

            if (is_refused(&answers, places[p].option)) {
                refused++;
            } else {
                taken++;
                comes_out(&places[p], texts[n], &answers);
            }
        }
    assert_in_range(taken, 60, 90);
    assert_in_range(refused, 280, 320);
}

static void hostile_passwords_are_what_they_were(void **state)
{
    unsigned taken = 0;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
        struct answers answers = {.password = texts[n]};
        struct fake_unattend use;
        const struct fake_xml *shell;

        if (is_refused(&answers, "--password"))
            continue;
        taken++;
        fake_unattend_open(&use, &fake_targets[FAKE_PROFESSIONAL], "en-US", &answers);
        fake_unattend_frame(&use);
        shell = fake_unattend_component(&use, "oobeSystem", SHELL);
        fake_unattend_password(shell, "UserAccounts/AdministratorPassword", texts[n]);
        fake_unattend_password(shell, "UserAccounts/LocalAccounts/LocalAccount/Password", texts[n]);
        fake_unattend_password(shell, "AutoLogon/Password", texts[n]);
        fake_unattend_close(&use);
    }
    assert_in_range(taken, 14, 16);
}

/* A command has a file of its own: script and answer file are the same whatever it is. */
static void hostile_commands_are_in_no_file_but_theirs(void **state)
{
    const struct fake_target *target = &fake_targets[FAKE_PROFESSIONAL];
    struct fake_unattend plain;
    char *wanted;
    size_t size;

    (void)state;
    fake_unattend_open(&plain, target, "en-US", &(struct answers){0});
    wanted = answers_script(&(struct answers){.command = "ver"}, &plain.image, &size, &error);
    assert_non_null(wanted);
    for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
        struct answers answers = {.command = texts[n]};
        struct fake_unattend use;
        char *script;

        if (is_refused(&answers, "--command"))
            continue;
        fake_unattend_open(&use, target, "en-US", &answers);
        assert_string_equal(use.document, plain.document);
        script = answers_script(&answers, &use.image, &size, &error);
        assert_non_null(script);
        assert_string_equal(script, wanted);
        free(script);
        fake_unattend_close(&use);
    }
    free(wanted);
    fake_unattend_close(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_are_encoded_as_windows_does),
        cmocka_unit_test(the_longest_password),
        cmocka_unit_test(hostile_texts_survive_or_are_refused),
        cmocka_unit_test(hostile_passwords_are_what_they_were),
        cmocka_unit_test(hostile_commands_are_in_no_file_but_theirs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
