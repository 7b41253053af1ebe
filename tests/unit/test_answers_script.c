/* SetupComplete.cmd for every system and set of wishes: its lines, their order, and what is never in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_answers.h"

static struct error error;

static char *script_of(const struct fake_target *target, const struct answers *answers)
{
    struct medium_image image;
    size_t size = 0;
    char *script;

    fake_answers_image(target, "en-US", &image);
    script = answers_script(answers, &image, &size, &error);
    assert_non_null(script);
    assert_int_equal(size, strlen(script));
    return script;
}

static void assert_line(const char *script, const char *line, bool expected)
{
    char wanted[600];

    snprintf(wanted, sizeof wanted, "\r\n%s\r\n", line);
    if ((strstr(script, wanted) != NULL) != expected)
        fail_msg("%s: %s", expected ? "absent" : "there", line);
}

/* Every label that is gone to is there, once; every part ends before the next begins. */
static void check_labels(const char *script, bool programs)
{
    static const char *const labels[] = {":logon", ":first",  ":once",   ":system",
                                         ":user",  ":forget", ":report", ":programs"};

    for (unsigned n = 0; n < ARRAY_SIZE(labels); n++) {
        char wanted[32];
        const char *found;

        snprintf(wanted, sizeof wanted, "\r\n%s\r\n", labels[n]);
        found = strstr(script, wanted);
        assert_int_equal(found != NULL, n < 7 || programs);
        if (!found)
            continue;
        assert_null(strstr(found + 1, wanted));
        assert_memory_equal(found - strlen("exit /b 0\r\n"), "exit /b 0\r\n", strlen("exit /b 0\r\n"));
    }
}

static void check_script(const char *script, const struct fake_target *target, const struct answers *wish)
{
    bool server = target->system == SERVER, windows11 = target->system == W11;
    bool programs = wish->command || wish->has_oem;
    const char *at;

    assert_memory_equal(script, "@echo off\r\n", 11);
    for (at = script; *at; at++) {
        assert_true(*at == '\r' || *at == '\n' || (*at >= ' ' && *at < 0x7F));
        assert_true((*at == '\r') == (at[1] == '\n') || *at == '\n');
        if (*at == '\n')
            assert_true(at > script && at[-1] == '\r');
    }
    assert_true(at > script && at[-1] == '\n');
    check_labels(script, programs);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\" /v Casement /t REG_SZ /d "
                "\"cmd.exe /d /c C:\\Windows\\Setup\\Scripts\\SetupComplete.cmd again\" /f",
                true);
    assert_line(script, "net accounts /maxpwage:unlimited", true);
    assert_line(script, "powercfg /hibernate off", true);
    assert_line(script, "powercfg /change monitor-timeout-ac 0", true);
    assert_line(script, "powercfg /change monitor-timeout-dc 0", true);
    assert_line(script, "powercfg /change standby-timeout-ac 0", true);
    assert_line(script, "powercfg /change standby-timeout-dc 0", true);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\LanmanWorkstation\" /v AllowInsecureGuestAuth "
                "/t REG_DWORD /d 1 /f",
                true);
    assert_line(script,
                "reg add \"HKLM\\SYSTEM\\CurrentControlSet\\Services\\LanmanWorkstation\\Parameters\" /v "
                "AllowInsecureGuestAuth /t REG_DWORD /d 1 /f",
                true);
    assert_line(script,
                "reg add \"HKLM\\SYSTEM\\CurrentControlSet\\Services\\LanmanWorkstation\\Parameters\" /v "
                "RequireSecuritySignature /t REG_DWORD /d 0 /f",
                windows11);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\PasswordLess\\Device\" /v "
                "DevicePasswordLessBuildVersion /t REG_DWORD /d 0 /f",
                !server);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Edge\" /v HideFirstRunExperience /t REG_DWORD "
                "/d 1 /f",
                true);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services\" /v "
                "fAllowUnlistedRemotePrograms /t REG_DWORD /d 1 /f",
                true);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate\\AU\" /v NoAutoUpdate "
                "/t REG_DWORD /d 1 /f",
                true);
    assert_line(script, "netsh advfirewall firewall set rule group=\"@FirewallAPI.dll,-32752\" new enable=Yes", true);
    assert_line(script, "netsh advfirewall firewall set rule group=\"@FirewallAPI.dll,-28502\" new enable=Yes", true);
    assert_line(script, "if exist \"%SystemDrive%\\Windows.old\" rd /s /q \"%SystemDrive%\\Windows.old\"", true);
    assert_line(script, "net start WebClient", wish->shares);
    assert_line(script,
                "reg add \"HKLM\\SYSTEM\\CurrentControlSet\\Services\\WebClient\\Parameters\" /v FileSizeLimitInBytes "
                "/t REG_DWORD /d 0xffffffff /f",
                wish->shares);
    assert_line(script, "net use Z: http://10.0.2.4/ /persistent:yes", wish->shares && !server);
    assert_line(script,
                "powershell.exe -NoProfile -NonInteractive -Command \"Install-WindowsFeature WebDAV-Redirector\"",
                wish->shares && server);
    assert_line(script, "if exist \"%SystemRoot%\\ConfigSetRoot\" rd /s /q \"%SystemRoot%\\ConfigSetRoot\"", true);
    assert_line(script,
                "if exist \"%SystemRoot%\\Panther\\unattend.xml\" del /f /q \"%SystemRoot%\\Panther\\unattend.xml\"",
                true);
    assert_line(script,
                "if exist \"%SystemRoot%\\Panther\\unattend-original.xml\" del /f /q "
                "\"%SystemRoot%\\Panther\\unattend-original.xml\"",
                true);
    assert_line(script, "cscript.exe //nologo //b \"%SystemRoot%\\System32\\slmgr.vbs\" /ipk " FAKE_KEY, wish->key);
    assert_line(script, "pnputil /add-driver \"%SystemRoot%\\Drivers\\*.inf\" /subdirs /install", wish->virtio);
    assert_line(script, "for /r \"%SystemRoot%\\Drivers\" %%f in (blnsvr.exe) do if exist \"%%f\" \"%%f\" -i",
                wish->virtio);
    assert_line(script,
                "reg add \"HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Explorer\\Advanced\" /v "
                "HideFileExt /t REG_DWORD /d 0 /f",
                true);
    assert_line(script,
                "reg add \"HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Search\" /v "
                "SearchboxTaskbarMode /t REG_DWORD /d 0 /f",
                !server);
    assert_line(script,
                "reg add \"HKCU\\Control Panel\\UnsupportedHardwareNotificationCache\" /v SV2 /t REG_DWORD /d "
                "0 /f",
                windows11);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Microsoft\\ServerManager\" /v DoNotOpenServerManagerAtLogon /t "
                "REG_DWORD /d 1 /f",
                server);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Reliability\" /v ShutdownReasonUI "
                "/t REG_DWORD /d 0 /f",
                server);
    assert_line(script, "if exist \"%SystemDrive%\\OEM\\install.bat\" cmd.exe /d /c install.bat", wish->has_oem);
    assert_line(script, "for /f usebackq^ delims^=^ eol^= %%c in (\"%here%command.txt\") do cmd.exe /d /s /c \"%%c\"",
                wish->command);
    assert_line(script, "start \"Casement\" cmd.exe /d /c \"%self%\" programs", programs);
    assert_line(script, ">\\\\.\\COM1 echo CASEMENT-INSTALLED build=%build%.%revision% edition=%edition% time=%now%",
                true);
}

#define EXPLORER "reg add \"HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\"
#define ZONE \
    "reg add \"HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Internet Settings\\ZoneMap\\Ranges\\Casement\" "

/* What the user finds, and what a server would ask at every logon. */
static void check_desktop(const char *script, const struct fake_target *target)
{
    bool server = target->system == SERVER, windows11 = target->system == W11;

    assert_line(script, EXPLORER "Explorer\\Advanced\" /v ShowTaskViewButton /t REG_DWORD /d 0 /f", !server);
    assert_line(script, EXPLORER "Explorer\\Advanced\" /v TaskbarDa /t REG_DWORD /d 0 /f", windows11);
    assert_line(script, EXPLORER "Explorer\\Advanced\" /v TaskbarMn /t REG_DWORD /d 0 /f", windows11);
    assert_line(script,
                "reg add \"HKCU\\Control Panel\\UnsupportedHardwareNotificationCache\" /v SV1 /t REG_DWORD /d 0 /f",
                windows11);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Microsoft\\ServerManager\\Oobe\" /v "
                "DoNotOpenInitialConfigurationTasksAtLogon /t REG_DWORD /d 1 /f",
                server);
    assert_line(
        script,
        "reg add \"HKCU\\Software\\Microsoft\\ServerManager\" /v DoNotOpenServerManagerAtLogon /t REG_DWORD /d 1 "
        "/f",
        server);
    assert_line(script,
                "reg add \"HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Reliability\" /v ShutdownReasonOn /t "
                "REG_DWORD /d 0 /f",
                server);
}

static void check_share(const char *script, const struct fake_target *target, const struct answers *wish)
{
    bool share = wish->shares;

    assert_line(script, ZONE "/v :Range /t REG_SZ /d 10.0.2.4 /f", share);
    assert_line(script, ZONE "/v http /t REG_DWORD /d 1 /f", share);
    assert_line(script, "sc config WebClient start= auto", share);
    assert_line(script,
                EXPLORER "RunOnce\" /v CasementShare /t REG_SZ /d \"net use Z: http://10.0.2.4/ /persistent:yes\" /f",
                share && target->system == SERVER);
}

static void the_script_says_all_of_it(void **state)
{
    (void)state;
    for (size_t t = 0; t < FAKE_TARGETS; t++)
        for (size_t a = 0; a < FAKE_WISHES; a++) {
            struct answers wishes;
            char *script;

            fake_answers_wish(&fake_targets[t], a, &wishes);
            script = script_of(&fake_targets[t], &wishes);
            check_script(script, &fake_targets[t], &wishes);
            check_desktop(script, &fake_targets[t]);
            check_share(script, &fake_targets[t], &wishes);
            free(script);
        }
}

/* Whoever comes to a phase that another is at waits until that is done. */
static const char logon_phase[] =
    "\r\n:logon\r\nif not exist \"%here%logon.complete\" 9>\"%LOCALAPPDATA%\\SetupComplete.lock\" call :first\r\n"
    "if exist \"%here%logon.complete\" set \"logon=done\"\r\nif \"%logon%\"==\"waits\" ping -n 6 127.0.0.1 >nul\r\n"
    "if \"%logon%\"==\"waits\" goto logon\r\ncall :report";
static const char system_phase[] =
    "\r\n:once\r\nif not exist \"%here%system.complete\" 8>\"%here%system.lock\" call :system\r\n"
    "if exist \"%here%system.complete\" set \"system=done\"\r\nif \"%system%\"==\"waits\" ping -n 6 127.0.0.1 "
    ">nul\r\nif \"%system%\"==\"waits\" goto once\r\nexit /b 0";

/* The parts are run in this order, whichever way Windows starts the script. */
static void the_phases_and_their_marks(void **state)
{
    static const char *const order[] = {
        "if /i \"%~1\"==\"logon\" goto logon",
        "if /i \"%~1\"==\"again\" goto logon",
        "if /i \"%~1\"==\"programs\" goto programs",
        "call :once >>\"%log%\" 2>&1\r\nexit /b 0",
        logon_phase,
        "\r\n:first\r\nset \"logon=done\"\r\nif exist \"%here%logon.complete\" exit /b 0\r\n",
        "call :once",
        "call :user",
        "call :forget",
        "\" programs\r\n",
        "echo complete>\"%here%logon.complete\"\r\nreg add \"HKCU\\",
        "\\RunOnce\" /v Casement /t REG_SZ /d \"cmd.exe",
        "reg delete \"HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\" /v Casement",
        system_phase,
        "\r\n:system\r\nset \"system=done\"\r\nif exist \"%here%system.complete\" exit /b 0\r\n",
        "\\ConfigSetRoot\"",
        "slmgr.vbs",
        "pnputil",
        "echo complete>\"%here%system.complete\"\r\nexit /b 0",
        "\r\n:user\r\n",
        "\r\n:forget\r\n",
        "\r\n:programs\r\n",
        "install.bat",
        "command.txt",
        "\r\n:report\r\n",
        "reg query \"HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\" /v UBR",
        "mode COM1:",
        "CASEMENT-INSTALLED"};
    struct answers all = fake_wishes[1];
    const char *at;
    char *script;

    (void)state;
    all.virtio = true;
    script = script_of(&fake_targets[FAKE_PROFESSIONAL], &all);
    at = script;
    for (size_t n = 0; n < ARRAY_SIZE(order); n++) {
        const char *next = strstr(at, order[n]);

        if (!next)
            fail_msg("absent, or not in its place: %s", order[n]);
        else
            at = next;
    }
    free(script);
}

/* What the user wrote is not the script's. */
static void no_text_of_the_user_is_in_the_script(void **state)
{
    const struct answers answers = {.user = "needle",
                                    .password = "needle",
                                    .computer = "needle1",
                                    .workgroup = "needle2",
                                    .command = "needle\" & del *"};
    char *script = script_of(&fake_targets[FAKE_PROFESSIONAL], &answers);

    (void)state;
    assert_null(strstr(script, "needle"));
    assert_null(strstr(script, "del *"));
    free(script);
}

static void wishes_are_checked_again(void **state)
{
    const struct medium_image image = {.index = 1, .build = 26100};

    (void)state;
    assert_null(answers_xml(&(struct answers){.user = "a/b"}, &image, NULL, &error));
    assert_non_null(strstr(error.text, "--user a/b"));
    assert_null(answers_script(&(struct answers){.key = "& del *"}, &image, NULL, &error));
    assert_non_null(strstr(error.text, "--key"));
}

static void keys_are_written_large(void **state)
{
    char *script =
        script_of(&fake_targets[FAKE_PROFESSIONAL], &(struct answers){.key = "bcdfg-hjkmp-qrtvw-xy234-6789n"});

    (void)state;
    assert_non_null(strstr(script, "/ipk " FAKE_KEY "\r\n"));
    free(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_script_says_all_of_it),
        cmocka_unit_test(the_phases_and_their_marks),
        cmocka_unit_test(no_text_of_the_user_is_in_the_script),
        cmocka_unit_test(keys_are_written_large),
        cmocka_unit_test(wishes_are_checked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
