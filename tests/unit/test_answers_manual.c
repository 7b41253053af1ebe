/* What a person who answers Setup by hand gets: a machine that Windows 11 takes, the end noticed, and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_unattend.h"

static const struct answers wishes = {.manual = true,
                                      .user = "Ada",
                                      .password = "a-secret",
                                      .computer = "VM-1",
                                      .workgroup = "HOME",
                                      .command = "echo of-the-command",
                                      .has_oem = true,
                                      .memory = 8 * GiB,
                                      .disk_size = 64 * GiB};

/* Not one answer, whatever was wished: the windowsPE pass has one component, and that what no page asks for. */
static void the_answer_file(void **unused)
{
    struct fake_unattend use;

    (void)unused;
    for (unsigned n = 0; n < FAKE_TARGETS; n++) {
        const struct fake_xml *setup;

        fake_unattend_open(&use, &fake_targets[n], "en-US", &wishes);
        assert_int_equal(use.tree->child_count, 1);
        assert_int_equal(fake_unattend_pass(&use, "windowsPE")->child_count, 1);
        setup = fake_unattend_component(&use, "windowsPE", "Microsoft-Windows-Setup");
        assert_non_null(setup);
        fake_unattend_text(setup, "UseConfigurationSet", "true");
        if (fake_targets[n].system == W11) {
            const struct fake_xml *commands = fake_xml_find(setup, "RunSynchronous");

            assert_non_null(commands);
            assert_int_equal(setup->child_count, 2);
            /* TPM, Secure Boot, the processor, and the upgrade's own check. */
            assert_int_equal(commands->child_count, 4);
            assert_non_null(strstr(fake_xml_text(commands, "RunSynchronousCommand[1]/Path"), "BypassTPMCheck"));
        } else {
            assert_int_equal(setup->child_count, 1);
        }
        fake_unattend_close(&use);
    }
}

static char *script_of(const struct fake_target *target, const struct answers *answers)
{
    struct medium_image image;
    struct error error;
    size_t size = 0;
    char *script;

    fake_answers_image(target, "en-US", &image);
    script = answers_script(answers, &image, &size, &error);
    if (!script)
        fail_msg("%s", error.text);
    return script;
}

static void check_script(const struct fake_target *target, const struct answers *answers)
{
    static const char *const never[] = {FAKE_KEY,  "a-secret",     "of-the-command", "OEM",  "HKCU",
                                        "RunOnce", "NoAutoUpdate", "powercfg",       "goto", ":logon",
                                        "slmgr",   "advfirewall",  "maxpwage",       "again"};
    char *script = script_of(target, answers);
    const char *system = strstr(script, "\r\n:system\r\n"), *report = strstr(script, "\r\n:report\r\n");

    assert_memory_equal(script, "@echo off\r\n", 11);
    assert_non_null(system);
    assert_non_null(report);
    assert_true(system < report);
    assert_non_null(strstr(report, ">\\\\.\\COM1 echo CASEMENT-INSTALLED build="));
    for (size_t n = 0; n < ARRAY_SIZE(never); n++)
        if (strstr(script, never[n]))
            fail_msg("%s is in it", never[n]);
    assert_int_equal(strstr(script, "net use Z: http://10.0.2.4/ ") != NULL, answers->shares > 0);
    assert_int_equal(strstr(script, "net use Y: http://10.0.2.4:81/ ") != NULL, answers->shares > 1);
    assert_int_equal(strstr(script, "Install-WindowsFeature WebDAV-Redirector") != NULL,
                     answers->shares && target->system == SERVER);
    assert_int_equal(strstr(script, "pnputil /add-driver") != NULL, answers->virtio);
    free(script);
}

static void the_script(void **unused)
{
    (void)unused;
    for (unsigned n = 0; n < FAKE_TARGETS; n++)
        for (unsigned more = 0; more < 4; more++) {
            struct answers answers = wishes;

            answers.shares = more & 1 ? 2 : 0;
            answers.virtio = more & 2;
            answers.key = fake_targets[n].key ? FAKE_KEY : NULL;
            check_script(&fake_targets[n], &answers);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_answer_file), cmocka_unit_test(the_script)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
