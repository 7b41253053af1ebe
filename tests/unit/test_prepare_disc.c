/*
 * The answer disc of a start, read back: what of the user's is on it, and byte for byte. And what cannot be on one is
 * said before a byte of a medium is asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/windows/answer_file.h"
#include "../../vmm/windows/answers.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_disc.h"
#include "fake_folder.h"
#include "fake_http.h"
#include "fake_prepare.h"

#define BEGIN "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<unattend xmlns=\"urn:schemas-microsoft-com:unattend\">"
#define SETUP(inside)                                                           \
    "<settings pass=\"windowsPE\"><component name=\"Microsoft-Windows-Setup\" " \
    "processorArchitecture=\"amd64\" language=\"neutral\">" inside "</component></settings>"
#define COPIES "<UseConfigurationSet>true</UseConfigurationSet>"
#define OWN BEGIN SETUP(COPIES) "</unattend>"

static void read_disc(struct fake_disc *disc)
{
    assert_true(windows.p.disc >= 0);
    fake_disc_read(disc, windows.p.disc);
}

static bool has_part(const struct fake_disc *disc, const char *path, const char *part)
{
    const struct fake_disc_entry *entry = fake_disc_find(disc, path);

    return entry && memmem(entry->bytes, entry->size, part, strlen(part));
}

static void all_that_is_asked_for(void **unused)
{
    static const char command[] = "echo 100 % of \"it\" & start notepad ^> x";
    char tree[96], of_command[128];
    struct fake_disc disc;

    (void)unused;
    snprintf(of_command, sizeof of_command, "--command=%s", command);
    fake_prepare_run("mkdir -p %s/oem/deep && printf '@echo off' >%s/oem/install.bat", fake_folder, fake_folder);
    fake_prepare_run("printf more >%s/oem/deep/more.txt%s", fake_folder, "");
    snprintf(tree, sizeof tree, "%s/drivers", fake_folder);
    fake_prepare_driver(tree, "viostor");
    fake_prepare_driver(tree, "NetKVM");
    assert_int_equal(
        fake_start_with(windows.iso,
                        (const char *[]){of_command, fake_prepare_option("--oem", "oem"),
                                         fake_prepare_option("--drivers", "drivers"), "--profile=virtio", "--user=Ada"},
                        5),
        0);
    read_disc(&disc);
    assert_true(has_part(&disc, ANSWERS_FILE, "<UseConfigurationSet>true<"));
    assert_true(has_part(&disc, ANSWERS_FILE, "<Name>Ada</Name>"));
    assert_true(has_part(&disc, ANSWERS_SCRIPT, "command.txt"));
    assert_true(has_part(&disc, ANSWERS_SCRIPT, "install.bat"));
    fake_disc_has_text(&disc, ANSWERS_COMMAND, command);
    fake_disc_has_text(&disc, ANSWERS_OEM "/install.bat", "@echo off");
    fake_disc_has_text(&disc, ANSWERS_OEM "/deep/more.txt", "more");
    assert_true(has_part(&disc, ANSWERS_SETUP_DRIVERS "/viostor/viostor.inf", "NTamd64"));
    assert_true(has_part(&disc, ANSWERS_SETUP_DRIVERS "/NetKVM/NetKVM.inf", "NTamd64"));
    fake_disc_free(&disc);
}

static void nothing_more_than_asked_for(void **unused)
{
    struct fake_disc disc;

    (void)unused;
    assert_int_equal(fake_start(windows.iso, NULL), 0);
    read_disc(&disc);
    assert_non_null(fake_disc_find(&disc, ANSWERS_FILE));
    assert_non_null(fake_disc_find(&disc, ANSWERS_SCRIPT));
    assert_null(fake_disc_find(&disc, ANSWERS_COMMAND));
    assert_null(fake_disc_find(&disc, ANSWERS_OEM));
    assert_null(fake_disc_find(&disc, ANSWERS_SETUP_DRIVERS));
    fake_disc_free(&disc);
}

/* The user's own, as it is, in any of Windows' encodings; what goes with it still is beside it. */
static void an_answer_file_of_the_users(void **unused)
{
    static const char latin[] =
        "<?xml version=\"1.0\" encoding=\"windows-1252\"?>\r\n<!-- \xE4\x80 --><unattend>\r\n" SETUP(
            COPIES) "</unattend>\r\n";
    struct fake_disc disc;

    (void)unused;
    fake_file(fake_below("own.xml"), latin, strlen(latin));
    fake_prepare_listen();
    assert_int_equal(fake_start_with(windows.iso,
                                     (const char *[]){fake_prepare_option("--answer-file", "own.xml"), "--command=x"},
                                     2),
                     0);
    assert_false(fake_prepare_heard("UseConfigurationSet"));
    read_disc(&disc);
    fake_disc_has_text(&disc, ANSWERS_FILE, latin);
    assert_non_null(fake_disc_find(&disc, ANSWERS_SCRIPT));
    fake_disc_has_text(&disc, ANSWERS_COMMAND, "x");
    fake_disc_free(&disc);
}

/* It is what the user wants, so it is used; that nothing will be copied is said once. */
static void an_answer_file_that_copies_nothing(void **unused)
{
    (void)unused;
    fake_text(fake_below("own.xml"), BEGIN "</unattend>");
    fake_prepare_listen();
    assert_int_equal(fake_start(windows.iso, fake_prepare_option("--answer-file", "own.xml")), 0);
    assert_true(
        fake_prepare_heard("own.xml: without <UseConfigurationSet>true</UseConfigurationSet> in the component"));
}

static void where_the_configuration_set_is_asked_for(void **unused)
{
    static const struct {
        const char *text;
        bool copies;
    } rows[] = {
        {OWN, true},
        {"\xEF\xBB\xBF" OWN, true},
        {BEGIN SETUP("<UseConfigurationSet>\n True <!-- x --></UseConfigurationSet>") "</unattend>", true},
        {"<u:unattend xmlns:u='urn:schemas-microsoft-com:unattend'><u:settings pass='windowsPE'><u:component "
         "name='Microsoft-Windows-Setup'><u:UseConfigurationSet>true</u:UseConfigurationSet></u:component>"
         "</u:settings></u:unattend>",
         true},
        {BEGIN SETUP("<UserData><X/></UserData>") SETUP(COPIES) "</unattend>", true},
        {BEGIN "</unattend>", false},
        {BEGIN SETUP("<UseConfigurationSet>false</UseConfigurationSet>") "</unattend>", false},
        {BEGIN SETUP("<UseConfigurationSet>trueish, or not so very true</UseConfigurationSet>") "</unattend>", false},
        {BEGIN SETUP("<!-- " COPIES " -->") "</unattend>", false},
        {BEGIN SETUP("<UserData>" COPIES "</UserData>") "</unattend>", false},
        {BEGIN COPIES "</unattend>", false},
        {BEGIN "<settings pass='specialize'><component name='Microsoft-Windows-Setup'>" COPIES
               "</component></settings></unattend>",
         false},
        {BEGIN "<settings pass='windowsPE'><component name='Microsoft-Windows-PnpCustomizationsWinPE'>" COPIES
               "</component></settings></unattend>",
         false},
        {BEGIN
         "<settings pass='windowsPE'><component name='Microsoft-Windows-Setup' processorArchitecture='x86'>" COPIES
         "</component></settings></unattend>",
         false},
    };
    struct error error = {""};

    (void)unused;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        bool copies = !rows[n].copies;

        if (answer_file_check("own.xml", rows[n].text, strlen(rows[n].text), &copies, &error) < 0)
            fail_msg("%zu: %s", n, error.text);
        if (copies != rows[n].copies)
            fail_msg("%s: copies %d", rows[n].text, copies);
    }
}

static void answer_files_that_setup_could_not_read(void **unused)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "line 1: no element found"},
        {BEGIN "\n\n<settings></unattend>", "line 4: mismatched tag"},
        {BEGIN "\n<settings>", "line 3: no element found"},
        {"<unattend><x wcm:action='add'/></unattend>", "line 1: unbound prefix"},
        {"<unattend>\n<x>a & b</x></unattend>", "line 2: not well-formed"},
        {"MZ\x90", "line 1: not well-formed"},
        {"<answers></answers>", "does not begin with <unattend>"},
    };
    struct error error = {""};
    bool copies;

    (void)unused;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++)
        fake_refused(&error, answer_file_check("own.xml", rows[n].text, strlen(rows[n].text), &copies, &error), EILSEQ,
                     "--answer-file own.xml", rows[n].says);
}

/* What is refused after a download has cost hours, so none has begun. */
static void what_no_disc_can_have(void **unused)
{
    static uint8_t data[4096];
    struct fake_http_page pages[] = {{.path = "/w.iso", .now = {.data = data, .size = sizeof data}}, {.path = NULL}};
    struct fake_http *server = fake_http_start(pages, NULL, NULL);
    const char *url = fake_http_url(server, "/w.iso");
    char tree[96];

    (void)unused;
    snprintf(tree, sizeof tree, "%s/drivers", fake_folder);
    fake_text(fake_below("bad.xml"), "<unattend>\n<x></unattend>");
    fake_refused(&windows.error, fake_start(url, fake_prepare_option("--answer-file", "bad.xml")), EILSEQ, "bad.xml",
                 "line 2");
    fake_prepare_run("truncate -s 1048577 %s/large.xml%s", fake_folder, "");
    fake_refused(&windows.error, fake_start(url, fake_prepare_option("--answer-file", "large.xml")), EFBIG, "large.xml",
                 "1 MiB");
    fake_prepare_run("mkdir %s/oem && touch %s/oem/what?", fake_folder, fake_folder);
    fake_refused(&windows.error, fake_start(url, fake_prepare_option("--oem", "oem")), EINVAL, "what?", "rename it");
    fake_prepare_run("rm %s/oem/what? && truncate -s 2147483649 %s/oem/large", fake_folder, fake_folder);
    fake_refused(&windows.error, fake_start(url, fake_prepare_option("--oem", "oem")), EFBIG, "large", "2048 MiB");
    fake_prepare_driver(tree, "viostor");
    for (unsigned scsi = 0; scsi < 2; scsi++)
        fake_refused(&windows.error,
                     fake_start_with(url,
                                     (const char *[]){fake_prepare_option("--drivers", "drivers"),
                                                      scsi ? "--profile=scsi" : "--profile=virtio"},
                                     2),
                     ENOENT, scsi ? "Setup needs the drivers vioscsi and NetKVM" : "drivers viostor and NetKVM",
                     "virtio-win");
    fake_prepare_run("mv %s/drivers/viostor/w11 %s/drivers/viostor/w7", fake_folder, fake_folder);
    fake_refused(&windows.error, fake_start("11", fake_prepare_option("--drivers", "drivers")), ENOENT,
                 "has drivers for w7", "w11");
    fake_refused(&windows.error, fake_start("2022", fake_prepare_option("--drivers", "drivers")), ENOENT,
                 "none for 2k22", "newest");
    assert_int_equal(pages[0].requests, 0);
    fake_http_stop(server);
}

/* A link may lead to any system: one that there are drivers for is no reason to refuse it. */
static void drivers_for_whatever_a_link_leads_to(void **unused)
{
    static uint8_t data[4096];
    struct fake_http_page pages[] = {{.path = "/w.iso", .now = {.data = data, .size = sizeof data}}, {.path = NULL}};
    struct fake_http *server = fake_http_start(pages, NULL, NULL);
    char tree[96];

    (void)unused;
    snprintf(tree, sizeof tree, "%s/drivers", fake_folder);
    fake_prepare_driver(tree, "viostor");
    fake_prepare_run("mv %s/drivers/viostor/w11 %s/drivers/viostor/2k19", fake_folder, fake_folder);
    fake_refused(&windows.error,
                 fake_start(fake_http_url(server, "/w.iso"), fake_prepare_option("--drivers", "drivers")), EBADMSG,
                 "w.iso", "");
    assert_true(pages[0].requests > 0);
    fake_http_stop(server);
}

/* With a medium that is there as well. */
static void drivers_that_setup_needs(void **unused)
{
    char tree[96];

    (void)unused;
    snprintf(tree, sizeof tree, "%s/drivers", fake_folder);
    fake_prepare_driver(tree, "viostor");
    fake_refused(&windows.error,
                 fake_start_with(windows.iso,
                                 (const char *[]){fake_prepare_option("--drivers", "drivers"), "--profile=virtio"}, 2),
                 ENOENT, "viostor and NetKVM", "--drivers");
    fake_prepare_driver(tree, "NetKVM");
    fake_refused(&windows.error,
                 fake_start_with(windows.iso,
                                 (const char *[]){fake_prepare_option("--drivers", "drivers"), "--profile=scsi"}, 2),
                 ENOENT, "vioscsi and NetKVM", "--profile inbox");
    assert_int_equal(fake_start_with(windows.iso,
                                     (const char *[]){fake_prepare_option("--drivers", "drivers"), "--profile=virtio"},
                                     2),
                     0);
    fake_prepare_driver(tree, "vioscsi");
    assert_int_equal(fake_start_with(windows.iso,
                                     (const char *[]){fake_prepare_option("--drivers", "drivers"), "--profile=scsi"},
                                     2),
                     0);
}

static void an_answer_file_that_cannot_be_read(void **unused)
{
    (void)unused;
    fake_text(fake_below("own.xml"), OWN);
    assert_int_equal(
        fake_prepare_look(windows.iso, (const char *[]){fake_prepare_option("--answer-file", "own.xml")}, 1), 0);
    fake_prepare_run("rm %s/own.xml%s", fake_folder, "");
    fake_refused(&windows.error, fake_prepare_go(), ENOENT, "own.xml", "name one that can be read");
    fake_prepare_run("mkdir %s/own.xml%s", fake_folder, "");
    fake_refused(&windows.error, fake_start(windows.iso, fake_prepare_option("--answer-file", "own.xml")), EINVAL,
                 "own.xml", "is no file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PREPARED(all_that_is_asked_for),
        PREPARED(nothing_more_than_asked_for),
        PREPARED(an_answer_file_of_the_users),
        PREPARED(an_answer_file_that_copies_nothing),
        PREPARED(an_answer_file_that_cannot_be_read),
        PREPARED(what_no_disc_can_have),
        PREPARED(drivers_for_whatever_a_link_leads_to),
        PREPARED(drivers_that_setup_needs),
        cmocka_unit_test(where_the_configuration_set_is_asked_for),
        cmocka_unit_test(answer_files_that_setup_could_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
