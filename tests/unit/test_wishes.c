/* Options made whole: what follows from one for another, what is refused before anything is made, and secrets. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../vmm/options.h"
#include "../../vmm/windows/answers.h"
#include "../../vmm/windows/wishes.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_disc.h"
#include "fake_folder.h"
#include "fake_prepare.h"

static int look(const char *first, const char *second)
{
    return fake_prepare_look(windows.iso, (const char *[]){first, second}, second ? 2 : 1);
}

static void a_secret_by_value_and_by_file(void **unused)
{
    static const char *const rows[][2] = {{"--password=a-secret", "--password-file"},
                                          {"--domain-password=a-secret", "--domain-password-file"},
                                          {"--key=BCDFG-HJKMP-QRTVW-XY234-6789N", "--key-file"}};

    (void)unused;
    fake_text(fake_below("secret"), "of the file\n");
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        int failed = look(rows[n][0], fake_prepare_option(rows[n][1], "secret"));

        assert_null(strstr(windows.error.text, "a-secret"));
        assert_null(strstr(windows.error.text, "BCDFG"));
        fake_refused(&windows.error, failed, EINVAL, rows[n][1], "leave one of them out");
    }
    fake_refused(&windows.error, look(fake_prepare_option("--password-file", "none"), NULL), ENOENT, "--password-file",
                 "none");
}

/* The first line of each, without its end; others who can read it are a warning. */
static void secrets_of_files(void **unused)
{
    static const char *const names[] = {"--password-file", "--domain-password-file", "--key-file"};
    static const char *const lines[] = {"p&ss \xC3\xA4 1", "of-the-domain", "BCDFG-HJKMP-QRTVW-XY234-6789N"};
    const char *options[6] = {"--domain=corp.example", "--domain-user=joiner"};
    struct fake_disc disc;
    char text[80];

    (void)unused;
    for (unsigned n = 0; n < 3; n++) {
        options[n + 2] = fake_prepare_option(names[n], names[n] + 2);
        snprintf(text, sizeof text, "%s\r\nanother line\n", lines[n]);
        fake_text(fake_below(names[n] + 2), text);
        fake_prepare_run("chmod 600 %s/%s", fake_folder, names[n] + 2);
    }
    fake_prepare_listen();
    assert_int_equal(fake_start_with(windows.iso, options, 5), 0);
    assert_false(fake_prepare_heard("other users"));
    assert_string_equal(windows.config.windows.answers.password, lines[0]);
    assert_string_equal(windows.config.windows.answers.domain_password, lines[1]);
    assert_string_equal(windows.config.windows.answers.key, lines[2]);
    /* And so onto the disc, where the domain's is in plain text because Setup wants it so. */
    fake_disc_read(&disc, windows.p.disc);
    assert_non_null(memmem(fake_disc_find(&disc, ANSWERS_FILE)->bytes, fake_disc_find(&disc, ANSWERS_FILE)->size,
                           ">of-the-domain<", 15));
    assert_non_null(memmem(fake_disc_find(&disc, ANSWERS_SCRIPT)->bytes, fake_disc_find(&disc, ANSWERS_SCRIPT)->size,
                           lines[2], strlen(lines[2])));
    fake_disc_free(&disc);
    fake_prepare_run("chmod 644 %s/%s", fake_folder, "password-file");
    fake_prepare_listen();
    assert_int_equal(look(options[2], NULL), 0);
    assert_true(fake_prepare_heard("other users can read it"));
}

static void places_that_are_not_what_they_must_be(void **unused)
{
    (void)unused;
    fake_text(fake_below("file"), "text");
    fake_prepare_run("mkdir %s/folder && mkfifo %s/pipe", fake_folder, fake_folder);
    fake_refused(&windows.error, look(fake_prepare_option("--oem", "none"), NULL), ENOENT, "--oem",
                 "name one that can be read");
    fake_refused(&windows.error, look(fake_prepare_option("--oem", "file"), NULL), ENOTDIR, "--oem", "is no folder");
    fake_refused(&windows.error, look(fake_prepare_option("--answer-file", "none"), NULL), ENOENT, "--answer-file",
                 "none");
    fake_refused(&windows.error, look(fake_prepare_option("--answer-file", "folder"), NULL), EINVAL, "--answer-file",
                 "is no file");
    fake_refused(&windows.error, look(fake_prepare_option("--answer-file", "pipe"), NULL), EINVAL, "--answer-file",
                 "is no file");
    fake_refused(&windows.error, look(fake_prepare_option("--drivers", "none"), NULL), ENOENT, "--drivers", "none");
    fake_refused(&windows.error, look(fake_prepare_option("--drivers", "pipe"), NULL), EINVAL, "--drivers",
                 "is no file");
    assert_int_equal(look(fake_prepare_option("--drivers", "folder"), fake_prepare_option("--oem", "folder")), 0);
    assert_int_equal(look(fake_prepare_option("--drivers", "file"), fake_prepare_option("--answer-file", "file")), 0);
    fake_refused(&windows.error, fake_prepare_look(fake_folder, NULL, 0), EISDIR, "--version", "disc image in it");
    fake_refused(&windows.error, fake_prepare_look("nonsense", NULL, 0), EINVAL, "--version nonsense", "11e");
    fake_refused(&windows.error, fake_prepare_look("ftp://host/w.iso", NULL, 0), EINVAL, "ftp://", "http and https");
}

static void setup_by_hand(void **unused)
{
    struct fake_disc disc;

    (void)unused;
    fake_text(fake_below("answers"), "<unattend/>");
    fake_prepare_run("mkdir %s/folder && touch %s/folder/install.bat", fake_folder, fake_folder);
    fake_refused(&windows.error, look("--manual=on", fake_prepare_option("--answer-file", "answers")), EINVAL,
                 "--answer-file", "leave one of them out");
    fake_prepare_listen();
    assert_int_equal(look("--manual=on", NULL), 0);
    assert_false(fake_prepare_heard("not used"));
    fake_prepare_listen();
    assert_int_equal(fake_start_with(windows.iso,
                                     (const char *[]){"--manual=on", "--edition=home", "--user=ada", "--command=ver",
                                                      fake_prepare_option("--oem", "folder")},
                                     5),
                     0);
    assert_true(fake_prepare_heard("Setup asks for it or is not there to do it: --edition --user --command --oem"));
    fake_disc_read(&disc, windows.p.disc);
    assert_non_null(fake_disc_find(&disc, ANSWERS_FILE));
    assert_non_null(fake_disc_find(&disc, ANSWERS_SCRIPT));
    assert_null(fake_disc_find(&disc, ANSWERS_COMMAND));
    assert_null(fake_disc_find(&disc, ANSWERS_OEM "/install.bat"));
    fake_disc_free(&disc);
    /* A Windows that is installed needs no answers. */
    fake_prepare_step(JOURNEY_INSTALLED);
    assert_int_equal(look("--manual=on", fake_prepare_option("--answer-file", "answers")), 0);
}

static void sizes_and_numbers(void **unused)
{
    char other[160];
    const char *disks[20];

    (void)unused;
    fake_refused(&windows.error, look("--disk-size=268435457", NULL), EINVAL, "--disk-size", "in M or G");
    assert_int_equal(look("--disk-size=268435968", NULL), 0);
    snprintf(other, sizeof other, "--cdrom=%s", windows.iso);
    for (size_t n = 0; n < ARRAY_SIZE(disks); n++)
        disks[n] = other;
    /* Four places are the installation's own. */
    assert_int_equal(fake_prepare_look(windows.iso, disks, CONFIG_DISKS - 4), 0);
    fake_refused(&windows.error, fake_prepare_look(windows.iso, disks, CONFIG_DISKS - 3), EINVAL, "--disk: at most",
                 "leave some out");
}

/* The machine as a container has it: no option about the network. */
static int complete(unsigned count, const char *const options[])
{
    const char *arguments[12] = {"--state", windows.state, "--version", windows.iso};

    for (unsigned n = 0; n < count; n++)
        arguments[4 + n] = options[n];
    fake_prepare_forget();
    if (options_parse(&windows.config, OPTIONS_WINDOWS, 4 + (int)count, (char **)arguments, &windows.error) < 0)
        return -EINVAL;
    return wishes_complete(&windows.config, &windows.p.source, &windows.error);
}

static void the_port_of_remote_desktop(void **unused)
{
    const struct net_forward *forward = &windows.config.forwards[0];

    (void)unused;
    assert_int_equal(complete(1, (const char *[]){"--net=user"}), 0);
    assert_int_equal(windows.config.forward_count, 1);
    assert_int_equal(forward->guest_port, 3389);
    assert_int_equal(forward->host_port, 3389);
    /* Who names forwards has meant these. */
    assert_int_equal(complete(2, (const char *[]){"--net=user", "--forward=127.0.0.1:2222:22"}), 0);
    assert_int_equal(windows.config.forward_count, 1);
    assert_int_equal(forward->guest_port, 22);
    assert_int_equal(complete(1, (const char *[]){"--net=none"}), 0);
    assert_int_equal(windows.config.forward_count, 0);
}

/* Of what the user has said, the nearest to a keyboard counts. */
static void the_layout_to_type_on(void **unused)
{
    static const struct {
        const char *options[3], *layout;
    } rows[] = {
        {{NULL}, "us"},
        {{"--language=German"}, "de-DE"},
        {{"--region=fr-FR", "--language=de-DE"}, "fr-FR"},
        {{"--keyboard-locale=en-GB", "--region=fr-FR", "--language=de-DE"}, "en-GB"},
        {{"--keyboard=us", "--region=fr-FR"}, "us"},
        {{"--keyboard-locale=0409:00000409", "--region=fr-FR"}, "fr-FR"},
    };

    (void)unused;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        unsigned count = 0;

        while (count < 3 && rows[n].options[count])
            count++;
        assert_int_equal(complete(count, rows[n].options), 0);
        assert_string_equal(windows.config.keyboard, rows[n].layout);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PREPARED(a_secret_by_value_and_by_file),
        PREPARED(secrets_of_files),
        PREPARED(places_that_are_not_what_they_must_be),
        PREPARED(setup_by_hand),
        PREPARED(sizes_and_numbers),
        PREPARED(the_port_of_remote_desktop),
        PREPARED(the_layout_to_type_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
