/* The systems by their names, the media that they are made of, and links out of pages as the Evaluation Center has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/windows/catalogue.h"

#define HOST "https://go.microsoft.com/fwlink/"
#define PLACE "/storage/win.iso"

static struct error error;

static const struct catalogue_entry *find(const char *name)
{
    const struct catalogue_entry *entry = catalogue_find(name, &error);

    if (!entry)
        fail_msg("%s: %s", name, error.text);
    return entry;
}

static void assert_says(const char *text)
{
    assert_null(strchr(error.text, '\n'));
    if (!strstr(error.text, text))
        fail_msg("\"%s\" does not say \"%s\"", error.text, text);
}

/* Names. */

static void names(void **state)
{
    static const struct {
        const char *name, *id;
    } known[] = {
        {"11", "win11x64"},
        {"win11", "win11x64"},
        {"Windows 11", "win11x64"},
        {"WIN11X64", "win11x64"},
        {"11x64", "win11x64"},
        {"windows-11", "win11x64"},
        {"11e", "win11x64-enterprise-eval"},
        {"11E", "win11x64-enterprise-eval"},
        {"win11x64e", "win11x64-enterprise-eval"},
        {"win11x64-enterprise-eval", "win11x64-enterprise-eval"},
        {"Windows 11 Enterprise Eval", "win11x64-enterprise-eval"},
        {"11l", "win11x64-enterprise-ltsc-eval"},
        {"11i", "win11x64-enterprise-iot-eval"},
        {"10", "win10x64"},
        {"Win10x64", "win10x64"},
        {"10e", "win10x64-enterprise-eval"},
        {"10L", "win10x64-enterprise-ltsc-eval"},
        {"2025", "win2025-eval"},
        {"win2025", "win2025-eval"},
        {"Windows Server 2022", "win2022-eval"},
        {"win2022-eval", "win2022-eval"},
        {"2019", "win2019-eval"},
        {"server 2016", "win2016-eval"},
        {"2016", "win2016-eval"},
        {"hv", "win2019-hv"},
        {"win2019-hv", "win2019-hv"},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(known); n++)
        assert_string_equal(find(known[n].name)->id, known[n].id);
}

static void unknown_names_get_the_list(void **state)
{
    static const char *const unknown[] = {
        "",      "12",    "win",       "windows",      "x64",
        "11x86", "11arm", "11 server", "server11",     "110",
        "1",     "201",   "ubuntu",    "11e11e11e11e", "win11x64-enterprise-evaluation"};
    char longer[1000];

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(unknown); n++) {
        if (catalogue_find(unknown[n], &error))
            fail_msg("\"%s\" is known", unknown[n]);
        assert_says("11, 11e, 11l, 11i, 10, 10e, 10l, 2025, 2022, 2019, 2016, hv");
        assert_says(unknown[n]);
    }
    memset(longer, '1', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(catalogue_find(longer, &error));
    assert_says("give one of");
    assert_null(catalogue_find("12", NULL));
}

static void older_systems_are_not_supported_yet(void **state)
{
    static const char *const older[] = {"7",
                                        "win7x64",
                                        "8",
                                        "8.1",
                                        "Windows 8.1",
                                        "vista",
                                        "Windows XP",
                                        "xp",
                                        "2000",
                                        "2003",
                                        "2008",
                                        "2008r2",
                                        "2008 R2",
                                        "2012",
                                        "win2012r2",
                                        "win2012r2-eval",
                                        "win2008r2-eval",
                                        "win81x64-enterprise-eval"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(older); n++) {
        if (catalogue_find(older[n], &error))
            fail_msg("\"%s\" is supported", older[n]);
        assert_says("not supported yet");
        assert_says(older[n]);
    }
}

static void the_table_is_sound(void **state)
{
    unsigned count = 0;

    (void)state;
    for (const struct catalogue_entry *entry; (entry = catalogue_at(count)); count++) {
        const struct medium_image image = catalogue_presume(entry);
        const char *folder = catalogue_driver_folder(&image);

        /* w11 of win11x64, 2k25 of win2025-eval */
        assert_non_null(folder);
        assert_memory_equal(entry->id + (*folder == 'w' ? 3 : 5), folder + (*folder == 'w' ? 1 : 2), 2);
        assert_ptr_equal(find(entry->id), entry);
        assert_ptr_equal(find(entry->short_name), entry);
        assert_true(strlen(entry->name) > 5);
        assert_memory_equal(entry->page, "https://www.microsoft.com/", 26);
        assert_true(!entry->url == !entry->sha256 && !entry->url == !entry->size);
        if (entry->url) {
            assert_memory_equal(entry->url, "https://", 8);
            assert_int_equal(strspn(entry->sha256, "0123456789abcdef"), 64);
            assert_int_equal(strlen(entry->sha256), 64);
            assert_true(entry->size > 2 * GiB && entry->size < 16 * GiB && entry->size % 2048 == 0);
        }
    }
    assert_int_equal(count, 12);
    assert_null(catalogue_at(count + 1));
    assert_null(find("10")->url);
    assert_string_equal(find("10")->page, "https://www.microsoft.com/software-download/windows10ISO");
}

/* Media. */

static struct medium_image image_of(const char *type, const char *edition, unsigned build)
{
    struct medium_image image = {.architecture = MEDIUM_AMD64, .build = build};

    snprintf(image.installation_type, sizeof image.installation_type, "%s", type);
    snprintf(image.edition, sizeof image.edition, "%s", edition);
    image.evaluation = medium_image_says_evaluation(&image);
    return image;
}

static void media_have_names_and_drivers(void **state)
{
    static const struct {
        const char *type, *edition;
        unsigned build;
        const char *id, *drivers;
    } media[] = {
        {"Client", "Professional", 26200, "win11x64", "w11"},
        {"Client", "Core", 22000, "win11x64", "w11"},
        {"Client", "Enterprise", 26100, "win11x64", "w11"},
        {"Client", "EnterpriseEval", 26200, "win11x64-enterprise-eval", "w11"},
        {"Client", "EnterpriseSEval", 26100, "win11x64-enterprise-ltsc-eval", "w11"},
        {"Client", "IoTEnterpriseSEval", 26100, "win11x64-enterprise-iot-eval", "w11"},
        {"Client", "ProfessionalEval", 26100, NULL, "w11"},
        {"Client", "Professional", 19045, "win10x64", "w10"},
        {"Client", "EnterpriseEval", 19045, "win10x64-enterprise-eval", "w10"},
        {"Client", "EnterpriseSEval", 19044, "win10x64-enterprise-ltsc-eval", "w10"},
        {"Client", "IoTEnterpriseSEval", 19044, NULL, "w10"},
        {"Client", "Core", 10240, "win10x64", "w10"},
        {"Client", "Core", 10239, NULL, NULL},
        {"Client", "Core", 21999, "win10x64", "w10"},
        {"Client", "Professional", 9600, NULL, NULL},
        {"Server", "ServerStandardEval", 26100, "win2025-eval", "2k25"},
        {"Server Core", "ServerDatacenterEval", 26100, "win2025-eval", "2k25"},
        {"", "ServerStandardEval", 20348, "win2022-eval", "2k22"},
        {"Server", "ServerStandardEval", 17763, "win2019-eval", "2k19"},
        {"Server", "ServerDatacenterEval", 14393, "win2016-eval", "2k16"},
        {"Server", "ServerStandard", 20348, NULL, "2k22"},
        {"Server Core", "ServerHyperCore", 17763, "win2019-hv", "2k19"},
        {"Server Core", "ServerHyperCore", 14393, NULL, "2k16"},
        {"Server", "ServerStandardEval", 25398, NULL, "2k22"},
        {"Server", "ServerStandardEval", 9600, NULL, NULL},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(media); n++) {
        struct medium_image image = image_of(media[n].type, media[n].edition, media[n].build);
        const struct catalogue_entry *entry = catalogue_of(&image);
        const char *drivers = catalogue_driver_folder(&image);

        if (!entry != !media[n].id || (entry && strcmp(entry->id, media[n].id) != 0))
            fail_msg("%s %u is %s", media[n].edition, media[n].build, entry ? entry->id : "nothing");
        if (!drivers != !media[n].drivers || (drivers && strcmp(drivers, media[n].drivers) != 0))
            fail_msg("%s %u has %s", media[n].edition, media[n].build, drivers ? drivers : "none");
    }
}

static void the_description_may_say_that_it_is_an_evaluation(void **state)
{
    struct medium_image image = image_of("Client", "Enterprise", 26200);

    (void)state;
    image.evaluation = true;
    assert_string_equal(catalogue_of(&image)->id, "win11x64-enterprise-eval");
    image.architecture = MEDIUM_ARM64;
    assert_null(catalogue_of(&image));
    image.architecture = MEDIUM_UNKNOWN;
    assert_null(catalogue_of(&image));
}

/* Links. */

/* A web of one page, where each link leads to what `targets` says. */
struct fake {
    const char *page;
    const char *targets[8][2];
    int text_fails, target_fails;
    char asked[200];
    unsigned heads;
};

static int fake_text(void *opaque, const char *url, char **text, struct error *reason)
{
    struct fake *fake = opaque;

    snprintf(fake->asked, sizeof fake->asked, "%s", url);
    if (fake->text_fails)
        return error_set(reason, fake->text_fails, "no page today");
    *text = strdup(fake->page);
    return 0;
}

static int fake_target(void *opaque, const char *url, char **target, struct error *reason)
{
    struct fake *fake = opaque;

    fake->heads++;
    if (fake->target_fails)
        return error_set(reason, fake->target_fails, "no target today");
    for (size_t n = 0; n < ARRAY_SIZE(fake->targets) && fake->targets[n][0]; n++)
        if (!strcmp(fake->targets[n][0], url)) {
            *target = strdup(fake->targets[n][1]);
            return 0;
        }
    return error_set(reason, ENOENT, "%s leads nowhere", url);
}

static int link_of(struct fake *fake, const char *name, const char *language, char **url)
{
    const struct catalogue_web web = {.text = fake_text, .target = fake_target, .opaque = fake};
    uint64_t size = 1;
    const char *sha256 = "";
    int failed = catalogue_link(find(name), language, PLACE, &web, url, &size, &sha256, &error);

    assert_int_equal(size, 0);
    assert_null(sha256);
    assert_true((failed == 0) == (*url != NULL));
    return failed;
}

static void assert_link(struct fake *fake, const char *name, const char *language, const char *wanted)
{
    char *url = NULL;

    if (link_of(fake, name, language, &url) < 0)
        fail_msg("%s", error.text);
    assert_string_equal(url, wanted);
    free(url);
}

static void assert_no_link(struct fake *fake, const char *name, const char *language, int err, const char *text)
{
    char *url = NULL;

    assert_int_equal(link_of(fake, name, language, &url), -err);
    assert_says(text);
}

static void english_is_fetched_by_the_static_link(void **state)
{
    const struct catalogue_entry *entry = find("11e");
    struct fake fake = {.text_fails = EIO};
    const struct catalogue_web web = {.text = fake_text, .target = fake_target, .opaque = &fake};
    const char *sha256 = NULL;
    uint64_t size = 0;
    char *url = NULL;

    (void)state;
    assert_int_equal(catalogue_link(entry, "en-us", PLACE, &web, &url, &size, &sha256, &error), 0);
    assert_string_equal(url, entry->url);
    assert_int_equal(size, entry->size);
    assert_string_equal(sha256, entry->sha256);
    assert_string_equal(fake.asked, "");
    free(url);
}

static void without_a_page_a_person_must_look(void **state)
{
    struct fake fake = {.text_fails = EIO};

    (void)state;
    assert_no_link(&fake, "11", "de-DE", ENOENT,
                   "https://www.microsoft.com/software-download/windows11 and put it at " PLACE);
    assert_no_link(&fake, "10", "en-US", ENOENT, "https://www.microsoft.com/software-download/windows10ISO and put it");
    assert_no_link(&fake, "10e", "fr-FR", ENOENT, PLACE);
    assert_string_equal(fake.asked, "");
}

static const char page[] =
    "<html><a href='https://go.microsoft.com/fwlink/p/?LinkID=1&amp;clcid=0x409&amp;culture=en-us&amp;country=us'>\n"
    "<a href=\"https://go.microsoft.com/fwlink/?linkid=2&culture=de-de&country=de\">"
    "<a href=\"https://go.microsoft.com/fwlink/?linkid=2&amp;culture=de-de&amp;country=de\">"
    "<a href=https://evil.example/go.microsoft.com/fwlink/?linkid=9&culture=de-de&country=de>"
    "<a href=https://evilgo.microsoft.com/fwlink/?linkid=9&culture=de-de&country=de>"
    "(https://go.microsoft.com/fwlink/?linkid=3&#38;culture=DE-DE&#x26;country=DE)"
    "<a href=\"//go.microsoft.com/fwlink/?linkid=4&culture=de-deutsch&country=de\">"
    "<a href=\"https://go.microsoft.com/fwlink/?linkid=5&xculture=ja-jp&country=jp\">"
    "<a href=\"https://go.microsoft.com/fwlink/?linkid=6&country=de#culture=de-de\">";

static void a_language_is_found_in_the_query(void **state)
{
    struct fake fake = {
        .page = page,
        .targets = {{HOST "?linkid=2&culture=de-de&country=de", "https://h/a_x64FRE_de-de.iso"},
                    {HOST "?linkid=3&culture=DE-DE&country=DE", "https://h/ltsc_x64FRE_de-de.ISO?k=1"}}};

    (void)state;
    assert_link(&fake, "11e", "de-DE", "https://h/a_x64FRE_de-de.iso");
    assert_string_equal(fake.asked, "https://www.microsoft.com/en-us/evalcenter/download-windows-11-enterprise");
    assert_int_equal(fake.heads, 1);
    /* LTSC is the second one on the same page, each counted once. */
    assert_link(&fake, "11l", "de-de", "https://h/ltsc_x64FRE_de-de.ISO?k=1");
    assert_link(&fake, "2022", "de-DE", "https://h/a_x64FRE_de-de.iso");
    assert_string_equal(fake.asked, "https://www.microsoft.com/en-us/evalcenter/download-windows-server-2022");
}

static void too_few_links_in_a_language(void **state)
{
    struct fake fake = {.page = "https://go.microsoft.com/fwlink/?linkid=1&culture=fr-fr&country=fr"};

    (void)state;
    assert_no_link(&fake, "11l", "fr-FR", ENOENT, "too few links");
    assert_says("download-windows-11-enterprise and put it at " PLACE);
    assert_int_equal(fake.heads, 0);
}

static void a_language_is_found_by_where_links_lead(void **state)
{
    struct fake fake = {.page =
                            "'https://go.microsoft.com/fwlink/?linkid=1' 'https://go.microsoft.com/fwlink/?linkid=2'"
                            "'https://go.microsoft.com/fwlink/?linkid=3' 'https://go.microsoft.com/fwlink?linkid=4'"
                            "'https://go.microsoft.com/fwlink/?dead'",
                        .targets = {{HOST "?linkid=1", "https://h/a_x64FRE_en-us.iso"},
                                    {HOST "?linkid=2", "https://h/a_x64FRE_jp-jp.iso"},
                                    {HOST "?linkid=3", "https://h/a_x64FRE_cn-tw.iso"},
                                    {"https://go.microsoft.com/fwlink?linkid=4", "https://h/ltsc_x64FRE_JA-JP.iso"}}};

    (void)state;
    assert_link(&fake, "11e", "ja-JP", "https://h/a_x64FRE_jp-jp.iso");
    assert_int_equal(fake.heads, 2);
    assert_link(&fake, "11l", "ja-jp", "https://h/ltsc_x64FRE_JA-JP.iso");
    assert_link(&fake, "11e", "zh-TW", "https://h/a_x64FRE_cn-tw.iso");
    assert_no_link(&fake, "11l", "zh-TW", ENOENT, "no such link");
    assert_no_link(&fake, "11e", "fr-FR", ENOENT, "no such link");
    fake.target_fails = ECANCELED;
    assert_no_link(&fake, "11e", "ja-JP", ECANCELED, "no target today");
    fake.target_fails = ETIMEDOUT;
    assert_no_link(&fake, "11e", "ja-JP", ETIMEDOUT, PLACE);
}

static void other_processors_and_other_files_are_refused(void **state)
{
    static const char *const wrong[] = {"https://h/a_A64FRE_de-de.iso", "https://h/a_arm64_de-de.iso",
                                        "https://h/a_x86FRE_de-de.iso", "https://www.bing.com/search?q=de-de",
                                        "https://h/iso/de-de",          "nothing"};
    struct fake fake = {.page = "//go.microsoft.com/fwlink/?linkid=1&culture=de-de&country=de",
                        .targets = {{HOST "?linkid=1&culture=de-de&country=de", NULL}}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(wrong); n++) {
        fake.targets[0][1] = wrong[n];
        assert_no_link(&fake, "11e", "de-DE", ENOENT, n < 3 ? "another processor than x64" : "no ISO");
        assert_says(PLACE);
    }
    /* A folder may be called like a processor. */
    fake.targets[0][1] = "https://h/arm64/a_x64FRE_de-de.iso";
    assert_link(&fake, "11e", "de-DE", "https://h/arm64/a_x64FRE_de-de.iso");
}

static void a_web_that_fails_says_why_and_where(void **state)
{
    struct fake fake = {.page = "//go.microsoft.com/fwlink/?linkid=1&culture=de-de&country=de",
                        .text_fails = ETIMEDOUT};

    (void)state;
    assert_no_link(&fake, "11e", "de-DE", ETIMEDOUT, "no page today");
    assert_says(PLACE);
    fake.text_fails = ECANCELED;
    assert_no_link(&fake, "11e", "de-DE", ECANCELED, "no page today");
    fake.text_fails = 0;
    fake.target_fails = EPROTO;
    assert_no_link(&fake, "11e", "de-DE", EPROTO, "no target today");
}

/* Pages may hold anything. */
static void strange_pages(void **state)
{
    char *many = calloc(1, 60000), *longer = calloc(1, 3000), first[64], last[64];
    struct fake fake = {.page = ""};
    size_t used = 0;

    (void)state;
    assert_no_link(&fake, "11e", "de-DE", ENOENT, "no such link");
    fake.page = "go.microsoft.com/fwlink";
    assert_no_link(&fake, "11e", "de-DE", ENOENT, "no such link");
    assert_int_equal(fake.heads, 0);
    fake.page = "//go.microsoft.com/fwlink";
    assert_no_link(&fake, "11e", "de-DE", ENOENT, "no such link");
    snprintf(longer, 3000, "//go.microsoft.com/fwlink/?culture=de-de&country=de&");
    memset(longer + strlen(longer), 'x', 2000);
    fake.page = longer;
    assert_no_link(&fake, "11e", "de-DE", ENOENT, "no such link");
    fake.heads = 0;
    for (unsigned n = 0; n < 1000; n++)
        used += (size_t)sprintf(many + used, "'//go.microsoft.com/fwlink/?linkid=%u'", n);
    snprintf(first, sizeof first, HOST "?linkid=%u", 127);
    snprintf(last, sizeof last, HOST "?linkid=%u", 128);
    fake = (struct fake){.page = many, .targets = {{first, "https://h/x_de-de.iso"}, {last, "https://h/y_de-de.iso"}}};
    assert_link(&fake, "11e", "de-DE", "https://h/x_de-de.iso");
    assert_int_equal(fake.heads, 128);
    assert_no_link(&fake, "11l", "de-DE", ENOENT, "no such link");
    free(many);
    free(longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(unknown_names_get_the_list),
        cmocka_unit_test(older_systems_are_not_supported_yet),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(media_have_names_and_drivers),
        cmocka_unit_test(the_description_may_say_that_it_is_an_evaluation),
        cmocka_unit_test(english_is_fetched_by_the_static_link),
        cmocka_unit_test(without_a_page_a_person_must_look),
        cmocka_unit_test(a_language_is_found_in_the_query),
        cmocka_unit_test(too_few_links_in_a_language),
        cmocka_unit_test(a_language_is_found_by_where_links_lead),
        cmocka_unit_test(other_processors_and_other_files_are_refused),
        cmocka_unit_test(a_web_that_fails_says_why_and_where),
        cmocka_unit_test(strange_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
