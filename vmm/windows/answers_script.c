/*
 * SetupComplete.cmd (see answers.h). Windows runs it as the system when Setup is over, with some keys and editions not
 * at all; the answer file runs it again at the first logon. Nothing of the user's is in it but a product key, whose
 * form answers_check() knows. A line that fails is one of the log, and never the end of the script.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers_private.h"
#include "casement/bytes.h"
#include "casement/net.h"

/* On what a line depends; all of it has to be so. */
enum {
    ALWAYS = 0,
    CLIENT = 1,
    SERVER = 2,
    WINDOWS_11 = 4,
    VIRTIO = 8,
    OEM = 16,
    COMMAND = 32,
    PROGRAMS = 64,
    SHARE = 128, /* one folder or more; SHARE_2: two or more */
    SHARE_2 = 256,
    SHARE_3 = 512,
    MANUAL = 1024
};

struct line {
    unsigned when;
    const char *text; /* without a line end */
};

#define DWORD(key, name, value) "reg add \"" key "\" /v " name " /t REG_DWORD /d " value " /f"
#define POLICIES "HKLM\\SOFTWARE\\Policies\\Microsoft\\"
#define WORKSTATION "HKLM\\SYSTEM\\CurrentControlSet\\Services\\LanmanWorkstation\\Parameters"
#define EXPLORER "HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\"
#define SETTINGS "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\"
#define WEB_CLIENT "HKLM\\SYSTEM\\CurrentControlSet\\Services\\WebClient\\Parameters"
#define SHARE_ZONE SETTINGS "Internet Settings\\ZoneMap\\Ranges\\Casement"
#define MAP_SHARE "net use Z: http://" NET_SHARE_ADDRESS "/ /persistent:yes"
#define MAP_SHARE_2 "net use Y: http://" NET_SHARE_ADDRESS ":81/ /persistent:yes"
#define MAP_SHARE_3 "net use X: http://" NET_SHARE_ADDRESS ":82/ /persistent:yes"
_Static_assert(NET_SHARE_PORT == 80 && NET_SHARES == 3, "a drive for each shared folder");
#define RUN SETTINGS "Run"
#define AGAIN "\"cmd.exe /d /c C:\\Windows\\Setup\\Scripts\\SetupComplete.cmd again\""
#define PAUSE "ping -n 6 127.0.0.1 >nul"
#define VERSION "\"HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\""

/*
 * Each phase is done once, and by one at a time. Windows may show the desktop before the first phase is over; it
 * forgets the first logon's commands when it is cut off in the middle of them, so every logon comes here again until
 * the first is complete, and may find it at work. A lock is a file that is held open: another's redirection to it
 * fails, so that its command is not run, and whatever ends the holder gives it back, where a mark would stay for ever.
 * That of the logon is the user's, who may have no right to write where the marks are.
 *
 * The first logon may still take itself off the machine's list, which later ones may not. The listener may be cut off
 * as it is told, so the next logon says the report once more, by the user's own list, which Windows empties itself.
 * Each phase has a log of its own, which the user that it runs as can write: without one its lines would not be run.
 * Files are read as UTF-8: the command is.
 */
static const struct line phases[] = {
    {ALWAYS, "@echo off"},
    {ALWAYS, "setlocal EnableExtensions DisableDelayedExpansion"},
    {ALWAYS, "chcp 65001 >nul"},
    {ALWAYS, "set \"self=%~f0\""},
    {ALWAYS, "set \"here=%~dp0\""},
    {ALWAYS, "set \"log=%SystemRoot%\\Temp\\SetupComplete%~1.log\""},
    {ALWAYS, "set \"system=waits\""},
    {ALWAYS, "set \"logon=waits\""},
    {ALWAYS, "if /i \"%~1\"==\"logon\" goto logon"},
    {ALWAYS, "if /i \"%~1\"==\"again\" goto logon"},
    {PROGRAMS, "if /i \"%~1\"==\"programs\" goto programs"},
    {ALWAYS, "call :once >>\"%log%\" 2>&1"},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
    {ALWAYS, ":logon"},
    {ALWAYS, "if not exist \"%here%logon.complete\" 9>\"%LOCALAPPDATA%\\SetupComplete.lock\" call :first"},
    {ALWAYS, "if exist \"%here%logon.complete\" set \"logon=done\""},
    {ALWAYS, "if \"%logon%\"==\"waits\" " PAUSE},
    {ALWAYS, "if \"%logon%\"==\"waits\" goto logon"},
    {ALWAYS, "call :report >>\"%log%\" 2>&1"},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
    {ALWAYS, ":first"},
    {ALWAYS, "set \"logon=done\""},
    {ALWAYS, "if exist \"%here%logon.complete\" exit /b 0"},
    {ALWAYS, "call :once >>\"%log%\" 2>&1"},
    {ALWAYS, "call :user >>\"%log%\" 2>&1"},
    {ALWAYS, "call :forget >>\"%log%\" 2>&1"},
    {PROGRAMS, "start \"Casement\" cmd.exe /d /c \"%self%\" programs"},
    {ALWAYS, "echo complete>\"%here%logon.complete\""},
    {ALWAYS, "reg add \"" EXPLORER "RunOnce\" /v Casement /t REG_SZ /d " AGAIN " /f >>\"%log%\" 2>&1"},
    {ALWAYS, "reg delete \"" RUN "\" /v Casement /f >>\"%log%\" 2>&1"},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
    {ALWAYS, ":once"},
    {ALWAYS, "if not exist \"%here%system.complete\" 8>\"%here%system.lock\" call :system"},
    {ALWAYS, "if exist \"%here%system.complete\" set \"system=done\""},
    {ALWAYS, "if \"%system%\"==\"waits\" " PAUSE},
    {ALWAYS, "if \"%system%\"==\"waits\" goto once"},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
};

/*
 * Who has answered Setup by hand has an account of his own, who may be nobody's administrator, and settings of his own:
 * nothing is done as the user, and the report comes when Setup is over.
 */
static const struct line manual_phases[] = {
    {ALWAYS, "@echo off"},
    {ALWAYS, "setlocal EnableExtensions DisableDelayedExpansion"},
    {ALWAYS, "set \"here=%~dp0\""},
    {ALWAYS, "set \"log=%SystemRoot%\\Temp\\SetupComplete.log\""},
    {ALWAYS, "call :system >>\"%log%\" 2>&1"},
    {ALWAYS, "call :report >>\"%log%\" 2>&1"},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
    {ALWAYS, ":system"},
};

static const struct line as_system[] = {
    {ALWAYS, ":system"},
    {ALWAYS, "set \"system=done\""},
    {ALWAYS, "if exist \"%here%system.complete\" exit /b 0"},
    {ALWAYS, "reg add \"" RUN "\" /v Casement /t REG_SZ /d " AGAIN " /f"},
    {ALWAYS, DWORD(WORKSTATION, "AllowInsecureGuestAuth", "1")},
    {ALWAYS, DWORD(POLICIES "Windows\\LanmanWorkstation", "AllowInsecureGuestAuth", "1")},
    {WINDOWS_11, DWORD(WORKSTATION, "RequireSecuritySignature", "0")},
    {CLIENT, DWORD("HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\PasswordLess\\Device",
                   "DevicePasswordLessBuildVersion", "0")},
    {ALWAYS, "net accounts /maxpwage:unlimited"},
    {ALWAYS, "powercfg /hibernate off"},
    {ALWAYS, "powercfg /change monitor-timeout-ac 0"},
    {ALWAYS, "powercfg /change monitor-timeout-dc 0"},
    {ALWAYS, "powercfg /change standby-timeout-ac 0"},
    {ALWAYS, "powercfg /change standby-timeout-dc 0"},
    {ALWAYS, DWORD(POLICIES "Edge", "HideFirstRunExperience", "1")},
    {ALWAYS, DWORD(POLICIES "Windows NT\\Terminal Services", "fAllowUnlistedRemotePrograms", "1")},
    {ALWAYS, DWORD(POLICIES "Windows\\WindowsUpdate\\AU", "NoAutoUpdate", "1")},
    {ALWAYS, "netsh advfirewall firewall set rule group=\"@FirewallAPI.dll,-32752\" new enable=Yes"},
    {ALWAYS, "netsh advfirewall firewall set rule group=\"@FirewallAPI.dll,-28502\" new enable=Yes"},
    {SERVER, DWORD("HKLM\\SOFTWARE\\Microsoft\\ServerManager", "DoNotOpenServerManagerAtLogon", "1")},
    {SERVER, DWORD("HKLM\\SOFTWARE\\Microsoft\\ServerManager\\Oobe", "DoNotOpenInitialConfigurationTasksAtLogon", "1")},
    {SERVER, DWORD(POLICIES "Windows NT\\Reliability", "ShutdownReasonOn", "0")},
    {SERVER, DWORD(POLICIES "Windows NT\\Reliability", "ShutdownReasonUI", "0")},
    {ALWAYS, "if exist \"%SystemDrive%\\Windows.old\" rd /s /q \"%SystemDrive%\\Windows.old\""},
};

static const struct line for_machine[] = {
    /* The shared folder's client takes 50 MB at most by itself, and programs of an address with dots are distrusted. */
    {SHARE | SERVER, "powershell.exe -NoProfile -NonInteractive -Command \"Install-WindowsFeature WebDAV-Redirector\""},
    {SHARE, DWORD(WEB_CLIENT, "FileSizeLimitInBytes", "0xffffffff")},
    {SHARE, "reg add \"" SHARE_ZONE "\" /v :Range /t REG_SZ /d " NET_SHARE_ADDRESS " /f"},
    {SHARE, DWORD(SHARE_ZONE, "http", "1")},
    {SHARE, "sc config WebClient start= auto"},
    {SHARE, "net start WebClient"},
    {SHARE | MANUAL, "reg add \"" RUN "\" /v CasementShare /t REG_SZ /d \"" MAP_SHARE "\" /f"},
    {SHARE_2 | MANUAL, "reg add \"" RUN "\" /v CasementShare2 /t REG_SZ /d \"" MAP_SHARE_2 "\" /f"},
    {SHARE_3 | MANUAL, "reg add \"" RUN "\" /v CasementShare3 /t REG_SZ /d \"" MAP_SHARE_3 "\" /f"},
    /* Setup's copy of the answer disc, passwords and all: every pass that takes from it is over. */
    {ALWAYS, "if exist \"%SystemRoot%\\ConfigSetRoot\" rd /s /q \"%SystemRoot%\\ConfigSetRoot\""},
    {VIRTIO, "for /r \"%SystemRoot%\\Drivers\" %%f in (blnsvr.exe) do if exist \"%%f\" \"%%f\" -i"},
};

static const struct line as_system_end[] = {
    {VIRTIO, "pnputil /add-driver \"%SystemRoot%\\Drivers\\*.inf\" /subdirs /install"},
    {ALWAYS, "echo complete>\"%here%system.complete\""},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
};

static const struct line as_user[] = {
    {ALWAYS, ":user"},
    {ALWAYS, DWORD(EXPLORER "Explorer\\Advanced", "HideFileExt", "0")},
    {CLIENT, DWORD(EXPLORER "Explorer\\Advanced", "ShowTaskViewButton", "0")},
    {WINDOWS_11, DWORD(EXPLORER "Explorer\\Advanced", "TaskbarDa", "0")},
    {WINDOWS_11, DWORD(EXPLORER "Explorer\\Advanced", "TaskbarMn", "0")},
    {CLIENT, DWORD(EXPLORER "Search", "SearchboxTaskbarMode", "0")},
    {WINDOWS_11, DWORD("HKCU\\Control Panel\\UnsupportedHardwareNotificationCache", "SV1", "0")},
    {WINDOWS_11, DWORD("HKCU\\Control Panel\\UnsupportedHardwareNotificationCache", "SV2", "0")},
    {SERVER, DWORD("HKCU\\Software\\Microsoft\\ServerManager", "DoNotOpenServerManagerAtLogon", "1")},
    {SHARE | CLIENT, MAP_SHARE},
    {SHARE_2 | CLIENT, MAP_SHARE_2},
    {SHARE_3 | CLIENT, MAP_SHARE_3},
    /* A server has the client from its next start on. */
    {SHARE | SERVER, "reg add \"" EXPLORER "RunOnce\" /v CasementShare /t REG_SZ /d \"" MAP_SHARE "\" /f"},
    {SHARE_2 | SERVER, "reg add \"" EXPLORER "RunOnce\" /v CasementShare2 /t REG_SZ /d \"" MAP_SHARE_2 "\" /f"},
    {SHARE_3 | SERVER, "reg add \"" EXPLORER "RunOnce\" /v CasementShare3 /t REG_SZ /d \"" MAP_SHARE_3 "\" /f"},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
};

/*
 * Windows makes passwords illegible in the answer file that it works with, but keeps the first one as it was. The first
 * logon's commands are the last that either is for.
 */
static const struct line forget[] = {
    {ALWAYS, ":forget"},
    {ALWAYS, "if exist \"%SystemRoot%\\Panther\\unattend.xml\" del /f /q \"%SystemRoot%\\Panther\\unattend.xml\""},
    {ALWAYS, "if exist \"%SystemRoot%\\Panther\\unattend-original.xml\" del /f /q "
             "\"%SystemRoot%\\Panther\\unattend-original.xml\""},
    {ALWAYS, "exit /b 0"},
    {ALWAYS, ""},
};

/* The variable goes into the new cmd.exe's line after this one has looked for operators in its own. */
static const struct line programs[] = {
    {PROGRAMS, ":programs"},
    {OEM, "if exist \"%SystemDrive%\\OEM\\install.bat\" cd /d \"%SystemDrive%\\OEM\""},
    {OEM, "if exist \"%SystemDrive%\\OEM\\install.bat\" cmd.exe /d /c install.bat"},
    {COMMAND, "for /f usebackq^ delims^=^ eol^= %%c in (\"%here%command.txt\") do cmd.exe /d /s /c \"%%c\""},
    {PROGRAMS, "exit /b 0"},
    {PROGRAMS, ""},
};

/*
 * The redirection stands in front, where no digit makes it one of another handle, and without the port it only keeps
 * its own line from being run. The time by rules that do not depend on the language.
 */
static const struct line report[] = {
    {ALWAYS, ":report"},
    {ALWAYS, "set \"build=0\""},
    {ALWAYS, "set \"revision=0\""},
    {ALWAYS, "set \"edition=unknown\""},
    {ALWAYS, "set \"now=unknown\""},
    {ALWAYS, "for /f \"tokens=3\" %%v in ('reg query " VERSION " /v CurrentBuild') do set \"build=%%v\""},
    {ALWAYS, "for /f \"tokens=3\" %%v in ('reg query " VERSION " /v UBR') do set /a \"revision=%%v\""},
    {ALWAYS, "for /f \"tokens=3\" %%v in ('reg query " VERSION " /v EditionID') do set \"edition=%%v\""},
    {ALWAYS,
     "for /f \"usebackq\" %%v in (`powershell.exe -NoProfile -NonInteractive -Command \"[DateTime]::Now.ToString("
     "'yyyy-MM-ddTHH:mm:ssK', [Globalization.CultureInfo]::InvariantCulture)\"`) do set \"now=%%v\""},
    {ALWAYS, "mode COM1: baud=115200 parity=n data=8 stop=1 to=off xon=off odsr=off octs=off dtr=on rts=on"},
    {ALWAYS, ">\\\\.\\COM1 echo CASEMENT-INSTALLED build=%build%.%revision% edition=%edition% time=%now%"},
    {ALWAYS, "exit /b 0"},
};

static void put_lines(FILE *out, const struct line *lines, size_t count, unsigned is)
{
    for (size_t n = 0; n < count; n++)
        if ((lines[n].when & is) == lines[n].when)
            fprintf(out, "%s\r\n", lines[n].text);
}
#define PUT(out, lines, is) put_lines(out, lines, ARRAY_SIZE(lines), is)

static void put_key(FILE *out, const char *key)
{
    fputs("cscript.exe //nologo //b \"%SystemRoot%\\System32\\slmgr.vbs\" /ipk ", out);
    for (; *key; key++)
        fputc(toupper((unsigned char)*key), out);
    fputs("\r\n", out);
}

static unsigned conditions(const struct answer_plan *plan)
{
    const struct answers *answers = plan->answers;

    return (plan->server ? SERVER : CLIENT) | (plan->windows11 ? WINDOWS_11 : 0) | (answers->virtio ? VIRTIO : 0) |
           (answers->shares ? SHARE : 0) | (answers->shares > 1 ? SHARE_2 : 0) | (answers->shares > 2 ? SHARE_3 : 0) |
           (answers->has_oem ? OEM : 0) | (answers->command ? COMMAND : 0) |
           (answers->has_oem || answers->command ? PROGRAMS : 0) | (answers->manual ? MANUAL : 0);
}

static void put_answered(FILE *out, const struct answers *answers, unsigned is)
{
    PUT(out, phases, is);
    PUT(out, as_system, is);
    PUT(out, for_machine, is);
    if (answers->key)
        put_key(out, answers->key);
    PUT(out, as_system_end, is);
    PUT(out, as_user, is);
    PUT(out, forget, is);
    PUT(out, programs, is);
    PUT(out, report, is);
}

static void put_manual(FILE *out, unsigned is)
{
    PUT(out, manual_phases, is);
    PUT(out, for_machine, is);
    PUT(out, as_system_end, is);
    PUT(out, report, is);
}

char *answers_script(const struct answers *answers, const struct medium_image *image, size_t *size, struct error *error)
{
    struct answer_plan plan;
    char *text = NULL;
    FILE *out;
    unsigned is;

    if (answers_check(answers, error) < 0 || answers_check_image(answers, image, error) < 0)
        return NULL;
    out = open_memstream(&text, size);
    if (!out) {
        error_set(error, ENOMEM, "SetupComplete.cmd: out of memory");
        return NULL;
    }
    answers_plan(&plan, answers, image);
    is = conditions(&plan);
    if (answers->manual)
        put_manual(out, is);
    else
        put_answered(out, answers, is);
    if (fclose(out) != 0) {
        error_set(error, ENOMEM, "SetupComplete.cmd: out of memory");
        free(text);
        return NULL;
    }
    return text;
}
