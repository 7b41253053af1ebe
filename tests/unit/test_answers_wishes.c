/* What of a user's wishes is refused and with which words, and which image of a medium they mean. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/windows/answers_private.h"

static struct error error;

#define X20 "xxxxxxxxxxxxxxxxxxxx"
#define X64 X20 X20 X20 "xxxx"
#define X127 X64 X20 X20 X20 "xxx"
#define X1024 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64 X64
#define KEY "VK7JG-NPHTM-C97JM-9MPGT-3V66T"
#define JOIN .domain_user = "me", .domain_password = "secret"
#define SMILE "\xF0\x9F\x98\x80"

static const struct {
    struct answers answers;
    const char *option, *says; /* NULL: is taken */
} rows[] = {
    {{0}, NULL, NULL},
    {{.user = X20}, NULL, NULL},
    {{.user = X20 "x"}, "--user:", "20 at most"},
    {{.user = SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE}, NULL, NULL},
    {{.user = SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE "x"}, "--user:", "21 characters"},
    {{.user = ""}, "--user:", "empty"},
    {{.user = "Jürgen"}, NULL, NULL},
    {{.user = "Anna Meier"}, NULL, NULL},
    {{.user = "o'neil & sons"}, NULL, NULL},
    {{.user = "a\"b"}, "--user a\"b:", "has a \""},
    {{.user = "a/b"}, "--user", "has a /"},
    {{.user = "a\\b"}, "--user", "has a \\"},
    {{.user = "a[b"}, "--user", "has a ["},
    {{.user = "a]b"}, "--user", "has a ]"},
    {{.user = "a:b"}, "--user", "has a :"},
    {{.user = "a;b"}, "--user", "has a ;"},
    {{.user = "a|b"}, "--user", "has a |"},
    {{.user = "a=b"}, "--user", "has a ="},
    {{.user = "a,b"}, "--user", "has a ,"},
    {{.user = "a+b"}, "--user", "has a +"},
    {{.user = "a*b"}, "--user", "has a *"},
    {{.user = "a?b"}, "--user", "has a ?"},
    {{.user = "a<b"}, "--user", "has a <"},
    {{.user = "a>b"}, "--user", "has a >"},
    {{.user = "a@b"}, "--user", "has a @"},
    {{.user = "a%b"}, "--user a%b:", "has a %"},
    {{.user = " a"}, "--user", "space"},
    {{.user = "a "}, "--user", "space"},
    {{.user = "..."}, "--user", "nothing but dots"},
    {{.user = "a."}, "--user", "ends with a dot"},
    {{.user = "a\tb"}, "--user:", "U+0009"},
    {{.user = "a\nb"}, "--user:", "U+000A"},
    {{.user = "a\xFF"}, "--user:", "UTF-8"},
    {{.user = "administrator"}, "--user administrator:", "another one"},
    {{.user = "GUEST"}, "--user", "another one"},
    {{.user = "System"}, "--user", "another one"},
    {{.user = "DefaultAccount"}, "--user", "another one"},
    {{.user = "con"}, "--user", "another one"},
    {{.user = "Lpt1"}, "--user", "another one"},
    {{.user = "Administrators2"}, NULL, NULL},
    {{.user = "com10"}, NULL, NULL},
    {{.user = "com0"}, NULL, NULL},
    {{.user = "com1x"}, NULL, NULL},
    {{.user = "COM9"}, "--user", "another one"},
    {{.user = "iis_iusrs"}, "--user", "another one"},
    {{.user = "local service"}, "--user", "another one"},
    {{.user = "Administratoren"}, "--user Administratoren:", "another one"},
    {{.user = "benutzer"}, "--user", "another one"},
    {{.user = "GÄSTE"}, "--user GÄSTE:", "another one"},
    {{.user = "Gäst"}, "--user", "another one"},
    {{.user = "UTILISATEURS"}, "--user", "another one"},
    {{.user = "INVITÉ"}, "--user", "another one"},
    {{.user = "usuários"}, "--user", "another one"},
    {{.user = "ADMINISTRATÖR"}, "--user", "another one"},
    {{.user = "järjestelmänvalvoja"}, "--user", "another one"},
    {{.user = "gość"}, "--user", "another one"},
    {{.user = "GOŚĆ"}, "--user", "another one"},
    {{.user = "UŻYTKOWNICY"}, "--user", "another one"},
    {{.user = "FELHASZNÁLÓK"}, "--user", "another one"},
    {{.user = "администратор"}, "--user администратор:", "another one"},
    {{.user = "ГОСТИ"}, "--user", "another one"},
    {{.user = "Гостья"}, NULL, NULL},
    {{.user = "Gästin"}, NULL, NULL},
    {{.user = "Anna Gast"}, NULL, NULL},
    {{.user = "same", .computer = "SAME"}, "--user same:", "computer's name"},
    {{.computer = "docker"}, "--user Docker:", "computer's name"},
    {{.password = X127}, NULL, NULL},
    {{.password = X127 "x"}, "--password:", "127 at most"},
    {{.password = ""}, NULL, NULL},
    {{.password = "a\rb"}, "--password:", "U+000D"},
    {{.password = "\"<>&' \\ %"}, NULL, NULL},
    {{.computer = "VM-1_a"}, NULL, NULL},
    {{.computer = "xxxxxxxxxxxxxxx"}, NULL, NULL},
    {{.computer = "xxxxxxxxxxxxxxxx"}, "--computer:", "15 at most"},
    {{.computer = "12345"}, "--computer 12345:", "digits"},
    {{.computer = "1a"}, NULL, NULL},
    {{.computer = "-a"}, "--computer -a:", "hyphen"},
    {{.computer = "a-"}, "--computer a-:", "hyphen"},
    {{.computer = "a.b"}, "--computer a.b:", "letters"},
    {{.computer = "a b"}, "--computer a b:", "letters"},
    {{.computer = "ä"}, "--computer", "letters"},
    {{.computer = "*"}, "--computer", "letters"},
    {{.workgroup = "WORK GROUP"}, NULL, NULL},
    {{.workgroup = "xxxxxxxxxxxxxxxx"}, "--workgroup:", "15 at most"},
    {{.workgroup = "a,b"}, "--workgroup a,b:", "has a ,"},
    {{.workgroup = "a", .computer = "A"}, "--workgroup a:", "computer's name"},
    {{.workgroup = "a", .domain = "example.com", JOIN}, "--workgroup a:", "one of them"},
    {{.domain = "example.com", JOIN}, NULL, NULL},
    {{.domain = "EXAMPLE", JOIN}, NULL, NULL},
    {{.domain = "a..b", JOIN}, "--domain a..b:", "example.com"},
    {{.domain = ".a", JOIN}, "--domain", "example.com"},
    {{.domain = "a.", JOIN}, "--domain", "example.com"},
    {{.domain = "a.-b", JOIN}, "--domain", "example.com"},
    {{.domain = "a b", JOIN}, "--domain", "example.com"},
    {{.domain = "\xC3\xA4.de", JOIN}, "--domain", "example.com"},
    {{.domain = "example.com"}, "--domain example.com:", "--domain-user"},
    {{.domain = "example.com", .domain_user = "me"}, "--domain", "--domain-password"},
    {{.domain = "example.com", .domain_password = "secret"}, "--domain", "--domain-user"},
    {{.domain = "e.com", .domain_user = "E\\me", .domain_password = "secret"}, "--domain-user E\\me:", "alone"},
    {{.domain = "e.com", .domain_user = "me@e.com", .domain_password = "secret"}, "--domain-user", "alone"},
    {{.domain = "e.com", JOIN, .domain_ou = "OU=a,DC=e"}, NULL, NULL},
    {{.domain = "e.com", JOIN, .domain_ou = "Machines"}, "--domain-ou Machines:", "OU="},
    {{.domain_ou = "OU=a"}, "--domain-ou:", "--domain"},
    {{.domain_user = "me"}, "--domain-user:", "--domain"},
    {{.domain_password = "secret"}, "--domain-password:", "--domain"},
    {{.key = KEY}, NULL, NULL},
    {{.key = "vk7jg-nphtm-c97jm-9mpgt-3v66t"}, NULL, NULL},
    {{.key = "VK7JG-NPHTM-C97JM-9MPGT-3V66"}, "--key:", "five groups"},
    {{.key = KEY "X"}, "--key:", "five groups"},
    {{.key = KEY "-XXXXX"}, "--key:", "five groups"},
    {{.key = "VK7JGNPHTMC97JM9MPGT3V66T"}, "--key:", "five groups"},
    {{.key = "AK7JG-NPHTM-C97JM-9MPGT-3V66T"}, "--key:", "five groups"},
    {{.key = "0K7JG-NPHTM-C97JM-9MPGT-3V66T"}, "--key:", "five groups"},
    {{.key = "VK7JG NPHTM C97JM 9MPGT 3V66T"}, "--key:", "five groups"},
    {{.key = ""}, "--key:", "empty"},
    {{.width = 640, .height = 480}, NULL, NULL},
    {{.width = 7680, .height = 4320}, NULL, NULL},
    {{.width = 639, .height = 480}, "--display 639x480:", "640x480 to 7680x4320"},
    {{.width = 640, .height = 479}, "--display", "640x480"},
    {{.width = 7681, .height = 4320}, "--display", "640x480"},
    {{.width = 7680, .height = 4321}, "--display", "640x480"},
    {{.width = 800}, "--display 800x0:", "640x480"},
    {{.height = 800}, "--display 0x800:", "640x480"},
    {{.command = X1024}, NULL, NULL},
    {{.command = X1024 "x"}, "--command:", "1024 at most"},
    {{.command = "a\nb"}, "--command:", "line breaks"},
    {{.command = "echo 100% ^& \"a\" | more > x"}, NULL, NULL},
    {{.command = ""}, "--command:", "empty"},
    {{.time_zone = "W. Europe Standard Time"}, NULL, NULL},
    {{.time_zone = "pacific standard time (mexico)"}, NULL, NULL},
    {{.time_zone = "Pacific Standard Time_dstoff"}, NULL, NULL},
    {{.time_zone = "utc"}, NULL, NULL},
    {{.time_zone = "UTC-11"}, NULL, NULL},
    {{.time_zone = ""}, "--time-zone:", "empty"},
    {{.time_zone = "W Europe Standard Time"}, "--time-zone W Europe Standard Time:", "mean W. Europe Standard Time?"},
    {{.time_zone = "Tokio Standard Time"}, "--time-zone", "did you mean Tokyo Standard Time?"},
    {{.time_zone = "W. Europe"}, "--time-zone", "did you mean W. Europe Standard Time"},
    {{.time_zone = "GMT"}, "--time-zone GMT:", "did you mean GMT Standard Time?"},
    {{.time_zone = "Europe/Berlin"}, "--time-zone Europe/Berlin:", "did you mean W. Europe Standard Time?"},
    {{.time_zone = "America/New_York"}, "--time-zone", "did you mean Eastern Standard Time?"},
    {{.time_zone = "America/Argentina/Buenos_Aires"}, "--time-zone", "did you mean Argentina Standard Time?"},
    {{.time_zone = "kolkata"}, "--time-zone", "did you mean India Standard Time?"},
    {{.time_zone = "Asia/"}, "--time-zone Asia/:", "tzutil /l"},
    {{.time_zone = "_dstoff"}, "--time-zone _dstoff:", "tzutil /l"},
    {{.time_zone = "UTC+1"}, "--time-zone UTC+1:", "UTC+12"},
    {{.time_zone = SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE
          SMILE SMILE SMILE SMILE SMILE SMILE SMILE SMILE "/abc"},
     "--time-zone",
     "no name of a time zone"},
    {{.time_zone = "Standard Time"}, "--time-zone", "did you mean"},
    {{.time_zone = X64}, "--time-zone x", "such as W. Europe Standard Time"},
    {{.time_zone = X64 "x"}, "--time-zone:", "64 at most"},
    {{.language = "de"}, NULL, NULL},
    {{.language = "German"}, NULL, NULL},
    {{.language = "germen"}, "--language germen:", "de-DE, German (Germany)"},
    {{.language = "zz-ZZ"}, "--language zz-ZZ:", "such as en-US"},
    {{.region = "de-at"}, NULL, NULL},
    {{.region = "de-ar"}, "--region de-ar:", "did you mean"},
    {{.keyboard = "de-CH"}, NULL, NULL},
    {{.keyboard = "0407:00000407"}, NULL, NULL},
    {{.keyboard = "0C07:A0000407"}, NULL, NULL},
    {{.keyboard = "0407:0000040"}, "--keyboard-locale 0407:0000040:", "such as en-US"},
    {{.keyboard = "0407:000004070"}, "--keyboard-locale", "such as en-US"},
    {{.keyboard = "0407-00000407"}, "--keyboard-locale", "such as en-US"},
    {{.keyboard = "040g:00000407"}, "--keyboard-locale", "such as en-US"},
    {{.edition = "pro"}, NULL, NULL},
    {{.edition = "a\nb"}, "--edition:", "U+000A"},
};

static void wishes(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        int result;

        error.text[0] = 0;
        result = answers_check(&rows[n].answers, &error);
        if (result != (rows[n].option ? -EINVAL : 0))
            fail_msg("row %zu: %d, %s", n, result, error.text);
        if (rows[n].option &&
            (strncmp(error.text, rows[n].option, strlen(rows[n].option)) != 0 || !strstr(error.text, rows[n].says)))
            fail_msg("row %zu: \"%s\" does not say \"%s\" and \"%s\"", n, error.text, rows[n].option, rows[n].says);
        assert_null(strpbrk(error.text, "\r\n\t"));
        assert_true(strlen(error.text) < sizeof error.text - 1);
    }
}

static void no_text_tells_a_secret(void **state)
{
    static const struct answers secret[] = {
        {.password = "needle\n"},
        {.password = "needle" X127},
        {.domain_password = "needle"},
        {.domain = "e.com", .domain_user = "a\\b", .domain_password = "needle"},
        {.key = "needle"},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(secret); n++) {
        assert_int_equal(answers_check(&secret[n], &error), -EINVAL);
        assert_null(strstr(error.text, "needle"));
    }
    assert_int_equal(answers_check(&(struct answers){.user = "a/b"}, NULL), -EINVAL);
}

/* Setup gets Windows' own spelling. */
static void time_zones(void **state)
{
    char name[ANSWERS_TIME_ZONE_TEXT];

    (void)state;
    assert_true(answers_time_zone("w. europe STANDARD time", name));
    assert_string_equal(name, "W. Europe Standard Time");
    assert_true(answers_time_zone("aus central w. standard time_DSTOFF", name));
    assert_string_equal(name, "Aus Central W. Standard Time_dstoff");
    assert_true(answers_time_zone("turks and caicos standard time", name));
    assert_string_equal(name, "Turks And Caicos Standard Time");
    assert_false(answers_time_zone("W. Europe Standard Tim", name));
    assert_false(answers_time_zone("W. Europe Standard Time ", name));
    assert_false(answers_time_zone("", name));
}

/* Media. */

static void add(struct medium *medium, unsigned build, const char *edition, const char *type, const char *language)
{
    struct medium_image *image = &medium->images[medium->image_count++];

    *image = (struct medium_image){.index = medium->image_count, .architecture = MEDIUM_AMD64, .build = build};
    snprintf(image->edition, sizeof image->edition, "%s", edition);
    snprintf(image->installation_type, sizeof image->installation_type, "%s", type);
    snprintf(image->language, sizeof image->language, "%s", language);
    image->evaluation = medium_image_says_evaluation(image);
}

static void consumer(struct medium *medium)
{
    add(medium, 26200, "Core", "Client", "en-US");
    add(medium, 26200, "CoreN", "Client", "en-US");
    add(medium, 26200, "CoreSingleLanguage", "Client", "en-US");
    add(medium, 26200, "Education", "Client", "en-US");
    add(medium, 26200, "EducationN", "Client", "en-US");
    add(medium, 26200, "Professional", "Client", "en-US");
    add(medium, 26200, "ProfessionalN", "Client", "en-US");
    add(medium, 26200, "ProfessionalWorkstation", "Client", "en-US");
}

static void business(struct medium *medium)
{
    add(medium, 26200, "Education", "Client", "de-DE");
    add(medium, 26200, "Professional", "Client", "de-DE");
    add(medium, 26200, "Enterprise", "Client", "de-DE");
}

static void enterprise_evaluation(struct medium *medium)
{
    add(medium, 26200, "EnterpriseEval", "Client", "en-US");
}

static void ltsc(struct medium *medium)
{
    add(medium, 26100, "EnterpriseS", "Client", "en-US");
    add(medium, 26100, "IoTEnterpriseS", "Client", "en-US");
}

static void server(struct medium *medium)
{
    add(medium, 26100, "ServerStandard", "Server Core", "en-US");
    add(medium, 26100, "ServerStandard", "Server", "en-US");
    add(medium, 26100, "ServerDatacenter", "Server Core", "en-US");
    add(medium, 26100, "ServerDatacenter", "Server", "en-US");
}

static void server_evaluation(struct medium *medium)
{
    add(medium, 20348, "ServerStandardEval", "Server Core", "en-US");
    add(medium, 20348, "ServerStandardEval", "Server", "en-US");
    add(medium, 20348, "ServerDatacenterEval", "Server Core", "en-US");
    add(medium, 20348, "ServerDatacenterEval", "Server", "en-US");
}

static void core_only(struct medium *medium)
{
    add(medium, 17763, "ServerDatacenter", "Server Core", "en-US");
}

static void two_languages(struct medium *medium)
{
    add(medium, 19045, "Professional", "Client", "en-US");
    add(medium, 19045, "Professional", "Client", "fr-FR");
    add(medium, 19045, "Core", "Client", "fr-FR");
}

/* As an ESD is: the first three are Setup's own. */
static void with_setup(struct medium *medium)
{
    add(medium, 26100, "", "", "en-US");
    add(medium, 26100, "WindowsPE", "WindowsPE", "en-US");
    add(medium, 26100, "WindowsPE", "WindowsPE", "en-US");
    add(medium, 26100, "Core", "Client", "en-US");
}

static void other_architectures(struct medium *medium)
{
    add(medium, 26100, "Professional", "Client", "en-US");
    add(medium, 26100, "Core", "Client", "en-US");
    medium->images[0].architecture = MEDIUM_ARM64;
}

static void too_old(struct medium *medium)
{
    add(medium, 9600, "Professional", "Client", "en-US");
    add(medium, 26100, "Professional", "Client", "en-US");
    medium->images[1].architecture = MEDIUM_X86;
}

static void hostile_names(struct medium *medium)
{
    add(medium, 26100, "a\nb\x1B[2J", "Client", "en\rUS");
}

static void none(struct medium *medium)
{
    (void)medium;
}

static const struct {
    void (*make)(struct medium *medium);
    const char *edition, *language;
    unsigned index;   /* 0: none */
    const char *says; /* then */
} choices[] = {
    {consumer, NULL, NULL, 6, NULL},
    {consumer, "pro", NULL, 6, NULL},
    {consumer, "PROFESSIONAL", NULL, 6, NULL},
    {consumer, "home", NULL, 1, NULL},
    {consumer, "Core", NULL, 1, NULL},
    {consumer, "core", NULL, 1, NULL},
    {consumer, "coren", NULL, 2, NULL},
    {consumer, "CoreSingleLanguage", NULL, 3, NULL},
    {consumer, "education", NULL, 4, NULL},
    {consumer, "ProfessionalEval", NULL, 6, NULL},
    {consumer, "enterprise", NULL, 0, "--edition enterprise: the medium has Core in en-US, CoreN in en-US"},
    {consumer, "pr", NULL, 0, "--edition pr:"},
    {consumer, "standard", NULL, 0, "--edition standard:"},
    {consumer, NULL, "english", 6, NULL},
    {consumer, NULL, "de", 0, "--language de: the medium has Core in en-US"},
    {consumer, "enterprise", "de", 0, "--edition enterprise:"},
    {business, NULL, NULL, 3, NULL},
    {business, "pro", NULL, 2, NULL},
    {business, "pro", "german", 2, NULL},
    {business, "pro", "en-US", 0, "--language en-US:"},
    {enterprise_evaluation, NULL, NULL, 1, NULL},
    {enterprise_evaluation, "enterprise", NULL, 1, NULL},
    {enterprise_evaluation, "EnterpriseEval", NULL, 1, NULL},
    {enterprise_evaluation, "pro", NULL, 0, "EnterpriseEval"},
    {ltsc, NULL, NULL, 2, NULL},
    {ltsc, "ltsc", NULL, 1, NULL},
    {ltsc, "iot", NULL, 2, NULL},
    {ltsc, "enterprise", NULL, 0, "EnterpriseS in en-US, IoTEnterpriseS in en-US"},
    {server, NULL, NULL, 2, NULL},
    {server, "standard", NULL, 2, NULL},
    {server, "datacenter", NULL, 4, NULL},
    {server, "core", NULL, 1, NULL},
    {server, "standard-core", NULL, 1, NULL},
    {server, "datacenter-core", NULL, 3, NULL},
    {server, "ServerDatacenter", NULL, 4, NULL},
    {server, "serverdatacentercore", NULL, 3, NULL},
    {server, "pro", NULL, 0, "ServerStandard (core) in en-US, ServerStandard in en-US"},
    {server_evaluation, NULL, NULL, 2, NULL},
    {server_evaluation, "datacenter", NULL, 4, NULL},
    {server_evaluation, "ServerStandardEval", NULL, 2, NULL},
    {server_evaluation, "core", NULL, 1, NULL},
    {core_only, NULL, NULL, 1, NULL},
    {core_only, "datacenter", NULL, 1, NULL},
    {core_only, "standard", NULL, 0, "ServerDatacenter (core)"},
    {two_languages, NULL, NULL, 1, NULL},
    {two_languages, NULL, "fr", 2, NULL},
    {two_languages, "home", "fr", 3, NULL},
    {two_languages, "home", "en", 0, "--language en:"},
    {with_setup, NULL, NULL, 4, NULL},
    {with_setup, "WindowsPE", NULL, 0, "--edition WindowsPE: the medium has Core in en-US;"},
    {other_architectures, NULL, NULL, 2, NULL},
    {other_architectures, "pro", NULL, 0, "Core"},
    {too_old, NULL, NULL, 0, "no Windows 10, 11 or Server"},
    {too_old, "pro", NULL, 0, "no Windows 10, 11 or Server"},
    {hostile_names, "pro", NULL, 0, "the medium has a?b?[2J in en?US; give"},
    {none, NULL, "de", 0, "no Windows 10, 11 or Server"},
};

static void images(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(choices); n++) {
        const struct answers answers = {.edition = choices[n].edition, .language = choices[n].language};
        static struct medium medium;
        const struct medium_image *image;

        medium = (struct medium){0};
        choices[n].make(&medium);
        error.text[0] = 0;
        image = answers_choose(&answers, &medium, &error);
        if ((image ? image->index : 0) != choices[n].index)
            fail_msg("row %zu: image %u, %s", n, image ? image->index : 0, error.text);
        if (choices[n].says && !strstr(error.text, choices[n].says))
            fail_msg("row %zu: \"%s\" does not say \"%s\"", n, error.text, choices[n].says);
        assert_null(strpbrk(error.text, "\r\n\x1B"));
    }
}

/* However long the names are, the text ends as it should. */
static void a_full_medium_is_listed_as_far_as_there_is_room(void **state)
{
    static struct medium medium;
    char name[64];

    (void)state;
    memset(name, 'x', 63);
    name[63] = 0;
    for (unsigned n = 0; n < MEDIUM_IMAGES; n++)
        add(&medium, 26100, name, "Client", "en-US");
    assert_null(answers_choose(&(struct answers){.edition = "pro"}, &medium, &error));
    assert_non_null(strstr(error.text, "give one of these"));
    assert_ptr_equal(answers_choose(&(struct answers){0}, &medium, &error), &medium.images[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wishes),
        cmocka_unit_test(no_text_tells_a_secret),
        cmocka_unit_test(time_zones),
        cmocka_unit_test(images),
        cmocka_unit_test(a_full_medium_is_listed_as_far_as_there_is_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
