/*
 * The answer file for every system, edition, language and set of wishes: what an independent parser finds in it, line
 * by line of what Setup has to be told.
 */
#include <stdio.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_unattend.h"

static const struct wording {
    const char *medium, *keyboard, *fallback;
} wordings[] = {{"en-US", "0409:00000409", "en-US"}, {"de-DE", "0407:00000407", "de-DE"}, {"ja-JP", "ja-JP", "ja-JP"}};

static struct error error;

static void check_locales(const struct fake_unattend *use, const struct fake_target *target,
                          const struct wording *wording, size_t wish)
{
    static const char *const places[][2] = {{"windowsPE", "Microsoft-Windows-International-Core-WinPE"},
                                            {"specialize", "Microsoft-Windows-International-Core"},
                                            {"oobeSystem", "Microsoft-Windows-International-Core"}};
    const char *region = wish == 1 ? "de-AT" : wish == 2 ? "hi-IN" : wording->medium;
    /* Hindi has no code page. */
    const char *system = wish == 2 ? wording->medium : region;
    const char *keyboard = wish == 1 ? "0409:00010409" : wish == 2 ? "100c:0000100c" : wording->keyboard;

    for (unsigned n = 0; n < ARRAY_SIZE(places); n++) {
        fake_unattend_setting(use, places[n][0], places[n][1], "InputLocale", keyboard);
        fake_unattend_setting(use, places[n][0], places[n][1], "SystemLocale", system);
        fake_unattend_setting(use, places[n][0], places[n][1], "UILanguage", wording->medium);
        fake_unattend_setting(use, places[n][0], places[n][1], "UserLocale", region);
        if (target->system == SERVER)
            fake_unattend_setting(use, places[n][0], places[n][1], "UILanguageFallback", wording->fallback);
        else
            assert_null(fake_xml_find(fake_unattend_component(use, places[n][0], places[n][1]), "UILanguageFallback"));
    }
    fake_unattend_setting(use, "windowsPE", places[0][1], "SetupUILanguage/UILanguage", wording->medium);
}

static void check_disk(const struct fake_xml *setup, const char *number)
{
    static const char *const texts[][2] = {
        {"WillWipeDisk", "true"},
        {"CreatePartitions/CreatePartition[1]/Type", "EFI"},
        {"CreatePartitions/CreatePartition[1]/Size", "260"},
        {"CreatePartitions/CreatePartition[2]/Type", "MSR"},
        {"CreatePartitions/CreatePartition[2]/Size", "128"},
        {"CreatePartitions/CreatePartition[3]/Type", "Primary"},
        {"CreatePartitions/CreatePartition[3]/Extend", "true"},
        {"ModifyPartitions/ModifyPartition[1]/PartitionID", "1"},
        {"ModifyPartitions/ModifyPartition[1]/Format", "FAT32"},
        {"ModifyPartitions/ModifyPartition[1]/Label", "System"},
        {"ModifyPartitions/ModifyPartition[2]/PartitionID", "3"},
        {"ModifyPartitions/ModifyPartition[2]/Format", "NTFS"},
        {"ModifyPartitions/ModifyPartition[2]/Label", "Windows"},
        {"ModifyPartitions/ModifyPartition[2]/Letter", "C"},
    };
    const struct fake_xml *disk = fake_xml_find(setup, "DiskConfiguration/Disk");

    assert_non_null(disk);
    assert_int_equal(fake_xml_count(disk->parent, "Disk"), 1);
    fake_unattend_text(disk, "DiskID", number);
    assert_int_equal(fake_xml_find(disk, "CreatePartitions")->child_count, 3);
    assert_int_equal(fake_xml_find(disk, "ModifyPartitions")->child_count, 2);
    for (unsigned n = 0; n < ARRAY_SIZE(texts); n++)
        fake_unattend_text(disk, texts[n][0], texts[n][1]);
    fake_unattend_text(setup, "DiskConfiguration/WillShowUI", "OnError");
    fake_unattend_text(setup, "ImageInstall/OSImage/InstallTo/DiskID", number);
    fake_unattend_text(setup, "ImageInstall/OSImage/InstallTo/PartitionID", "3");
}

/* What the machine of these wishes has (fake_wishes). */
static void check_waived(const struct fake_xml *setup, const struct fake_target *target, const struct answers *wishes)
{
    const struct {
        const char *command;
        bool expected;
    } rows[] = {
        {"reg.exe add \"HKLM\\SYSTEM\\Setup\\LabConfig\" /v BypassTPMCheck /t REG_DWORD /d 1 /f", !wishes->tpm},
        {"reg.exe add \"HKLM\\SYSTEM\\Setup\\LabConfig\" /v BypassSecureBootCheck /t REG_DWORD /d 1 /f",
         !wishes->secure_boot},
        {"reg.exe add \"HKLM\\SYSTEM\\Setup\\LabConfig\" /v BypassRAMCheck /t REG_DWORD /d 1 /f",
         wishes->memory < 4 * GiB + 256 * MiB},
        {"reg.exe add \"HKLM\\SYSTEM\\Setup\\LabConfig\" /v BypassCPUCheck /t REG_DWORD /d 1 /f", true},
        {"reg.exe add \"HKLM\\SYSTEM\\Setup\\LabConfig\" /v BypassStorageCheck /t REG_DWORD /d 1 /f",
         wishes->disk_size < 64 * GiB},
        {"reg.exe add \"HKLM\\SYSTEM\\Setup\\MoSetup\" /v AllowUpgradesWithUnsupportedTPMOrCPU /t REG_DWORD /d 1 /f",
         true}};
    const struct fake_xml *run = fake_xml_find(setup, "RunSynchronous");
    unsigned at = 0;

    if (target->system != W11) {
        assert_null(run);
        return;
    }
    assert_non_null(run);
    for (unsigned n = 0; n < ARRAY_SIZE(rows); n++)
        if (rows[n].expected) {
            assert_in_range(at + 1, 1, run->child_count);
            fake_unattend_text(run->children[at++], "Path", rows[n].command);
        }
    assert_int_equal(run->child_count, at);
}

/* The user's own is Setup's only where there is no other. */
static void check_key(const struct fake_unattend *use, const struct fake_target *target, const struct fake_xml *element)
{
    const char *key = target->key ? target->key : use->answers.key;

    assert_int_equal(element != NULL, key != NULL);
    if (key) {
        fake_unattend_text(element, "Key", key);
        fake_unattend_text(element, "WillShowUI", "OnError");
    }
    if (key != use->answers.key)
        assert_null(strstr(use->document, FAKE_KEY));
}

static void check_windows_pe(const struct fake_unattend *use, const struct fake_target *target)
{
    const struct fake_xml *setup = fake_unattend_component(use, "windowsPE", "Microsoft-Windows-Setup");
    const char *user = use->answers.user ? use->answers.user : "Docker";

    assert_non_null(setup);
    check_disk(setup, use->answers.disk ? "1" : "0");
    fake_unattend_text(setup, "ImageInstall/OSImage/InstallFrom/MetaData/Key", "/IMAGE/INDEX");
    fake_unattend_text(setup, "ImageInstall/OSImage/InstallFrom/MetaData/Value", "6");
    fake_unattend_text(setup, "ImageInstall/OSImage/InstallToAvailablePartition", "false");
    fake_unattend_text(setup, "ImageInstall/OSImage/WillShowUI", "OnError");
    check_key(use, target, fake_xml_find(setup, "UserData/ProductKey"));
    fake_unattend_text(setup, "UserData/AcceptEula", "true");
    fake_unattend_text(setup, "UserData/FullName", user);
    fake_unattend_text(setup, "UserData/Organization", "Casement");
    fake_unattend_text(setup, "DynamicUpdate/Enable", "false");
    fake_unattend_text(setup, "DynamicUpdate/WillShowUI", "Never");
    fake_unattend_text(setup, "UpgradeData/Upgrade", "false");
    fake_unattend_text(setup, "UpgradeData/WillShowUI", "Never");
    fake_unattend_text(setup, "Diagnostics/OptIn", "false");
    fake_unattend_text(setup, "EnableFirewall", "false");
    fake_unattend_text(setup, "UseConfigurationSet", "true");
    assert_null(fake_unattend_component(use, "windowsPE", "Microsoft-Windows-PnpCustomizationsWinPE"));
    check_waived(setup, target, &use->answers);
    fake_unattend_setting(use, "offlineServicing", "Microsoft-Windows-LUA-Settings", "EnableLUA", "false");
    fake_unattend_setting(use, "generalize", "Microsoft-Windows-PnpSysprep", "PersistAllDeviceInstalls", "true");
    fake_unattend_setting(use, "generalize", "Microsoft-Windows-Security-SPP", "SkipRearm", "1");
}

static bool runs(const struct fake_xml *list, const char *needle)
{
    for (unsigned n = 0; n < list->child_count; n++)
        if (strstr(fake_xml_text(list->children[n], "Path"), needle))
            return true;
    return false;
}

#define CONTENT "Software\\Microsoft\\Windows\\CurrentVersion\\ContentDeliveryManager"
#define CLOUD "Microsoft\\Windows\\CloudContent"
#define ADD(key, name, value) "reg.exe add \"" key "\" /v " name " /t REG_DWORD /d " value " /f"
#define NO_CONTENT(name) ADD("HKU\\casement\\" CONTENT, name, "0")
#define NO_CLOUD(name) ADD("HKLM\\SOFTWARE\\Policies\\" CLOUD, name, "1")

/* All that is run, in its order: the hive of new users is there while it is written to. */
static void check_deployment(const struct fake_xml *list, bool client)
{
    static const char *const of_clients[] = {
        ADD("HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\OOBE", "BypassNRO", "1"),
        "reg.exe load HKU\\casement C:\\Users\\Default\\NTUSER.DAT",
        NO_CONTENT("ContentDeliveryAllowed"),
        NO_CONTENT("FeatureManagementEnabled"),
        NO_CONTENT("OemPreInstalledAppsEnabled"),
        NO_CONTENT("PreInstalledAppsEnabled"),
        NO_CONTENT("PreInstalledAppsEverEnabled"),
        NO_CONTENT("SilentInstalledAppsEnabled"),
        NO_CONTENT("SoftLandingEnabled"),
        NO_CONTENT("SubscribedContentEnabled"),
        NO_CONTENT("SubscribedContent-310093Enabled"),
        NO_CONTENT("SubscribedContent-338387Enabled"),
        NO_CONTENT("SubscribedContent-338388Enabled"),
        NO_CONTENT("SubscribedContent-338389Enabled"),
        NO_CONTENT("SubscribedContent-338393Enabled"),
        NO_CONTENT("SubscribedContent-353698Enabled"),
        NO_CONTENT("SystemPaneSuggestionsEnabled"),
        ADD("HKU\\casement\\Software\\Policies\\" CLOUD, "DisableWindowsConsumerFeatures", "1"),
        "reg.exe unload HKU\\casement",
        NO_CLOUD("DisableWindowsConsumerFeatures"),
        NO_CLOUD("DisableSoftLanding"),
        NO_CLOUD("DisableCloudOptimizedContent"),
        NO_CLOUD("DisableConsumerAccountStateContent"),
    };
    unsigned at = 0;

    assert_non_null(list);
    for (unsigned n = 0; client && n < ARRAY_SIZE(of_clients); n++) {
        assert_in_range(at + 1, 1, list->child_count);
        fake_unattend_text(list->children[at++], "Path", of_clients[n]);
    }
    at += runs(list, "dism.exe");
    assert_int_equal(list->child_count, at + 1);
    fake_unattend_text(
        list->children[at], "Path",
        ADD("HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\CurrentVersion\\NetworkList\\Signatures\\FirstNetwork",
            "Category", "1"));
    for (unsigned n = 0; n < list->child_count; n++)
        assert_in_range(strlen(fake_xml_text(list->children[n], "Path")), 10, 258); /* Windows' limit of a Path */
}

/* Hyper-V Server keeps its role only where it can be used. */
static void check_hyperv(const struct fake_unattend *use, const struct fake_target *target, const struct fake_xml *list)
{
    bool away = !strcmp(target->edition, "ServerHyperCore") && !use->answers.nested;

    assert_int_equal(runs(list, "cmd.exe /d /c \"dism.exe /online /disable-feature /featurename:Microsoft-Hyper-V "
                                "/norestart & exit 0\""),
                     away);
    assert_int_equal(runs(list, "dism.exe"), away);
}

/* That of 64 bits and that of 32. */
static void check_browsers(const struct fake_xml *pass)
{
    static const char *const architectures[] = {"amd64", "wow64"};
    unsigned found = 0;

    for (unsigned n = 0; n < pass->child_count; n++)
        if (!strcmp(fake_xml_attribute(pass->children[n], "name"), "Microsoft-Windows-IE-InternetExplorer")) {
            assert_string_equal(fake_xml_attribute(pass->children[n], "processorArchitecture"),
                                architectures[found++ % ARRAY_SIZE(architectures)]);
            fake_unattend_text(pass->children[n], "DisableFirstRunWizard", "true");
        }
    assert_int_equal(found, 2);
}

static void check_specialize(const struct fake_unattend *use, const struct fake_target *target)
{
    static const char *const settings[][3] = {
        {"Microsoft-Windows-Security-SPP-UX", "SkipAutoActivation", "true"},
        {"Microsoft-Windows-ErrorReportingCore", "DisableWER", "1"},
        {"Microsoft-Windows-SQMApi", "CEIPEnabled", "0"},
        {"Microsoft-Windows-SystemRestore-Main", "DisableSR", "1"},
        {"Microsoft-Windows-Shell-Setup", "OEMInformation/Manufacturer", "Casement"},
        {"Microsoft-Windows-Shell-Setup", "OEMInformation/Model", "Virtual machine"},
        {"Microsoft-Windows-TerminalServices-LocalSessionManager", "fDenyTSConnections", "false"},
        {"Microsoft-Windows-TerminalServices-RDP-WinStationExtensions", "UserAuthentication", "0"},
        {"Networking-MPSSVC-Svc", "FirewallGroups/FirewallGroup/Active", "true"},
        {"Networking-MPSSVC-Svc", "FirewallGroups/FirewallGroup/Group", "@FirewallAPI.dll,-28752"},
        {"Networking-MPSSVC-Svc", "FirewallGroups/FirewallGroup/Profile", "all"},
    };
    const struct fake_xml *shell = fake_unattend_component(use, "specialize", "Microsoft-Windows-Shell-Setup");
    const struct fake_xml *firewall = fake_unattend_component(use, "specialize", "Networking-MPSSVC-Svc");
    const struct fake_xml *list =
        fake_xml_find(fake_unattend_component(use, "specialize", "Microsoft-Windows-Deployment"), "RunSynchronous");

    for (unsigned n = 0; n < ARRAY_SIZE(settings); n++)
        fake_unattend_setting(use, "specialize", settings[n][0], settings[n][1], settings[n][2]);
    assert_string_equal(fake_xml_attribute(fake_xml_find(firewall, "FirewallGroups/FirewallGroup"), "wcm:keyValue"),
                        "RemoteDesktop");
    check_browsers(fake_unattend_pass(use, "specialize"));
    fake_unattend_text(shell, "ComputerName", use->answers.computer ? use->answers.computer : "*");
    if (use->answers.time_zone)
        fake_unattend_text(shell, "TimeZone", use->answers.time_zone);
    else
        assert_null(fake_xml_find(shell, "TimeZone"));
    check_deployment(list, target->system != SERVER);
    check_hyperv(use, target, list);
}

static void check_join(const struct fake_unattend *use)
{
    const struct fake_xml *join = fake_unattend_component(use, "specialize", "Microsoft-Windows-UnattendedJoin");

    if (!use->answers.domain && !use->answers.workgroup) {
        assert_null(join);
        return;
    }
    assert_non_null(join);
    if (use->answers.workgroup) {
        fake_unattend_text(join, "Identification/JoinWorkgroup", use->answers.workgroup);
        assert_null(fake_xml_find(join, "Identification/Credentials"));
        assert_null(fake_xml_find(join, "Identification/JoinDomain"));
        return;
    }
    fake_unattend_text(join, "Identification/JoinDomain", "example.com");
    fake_unattend_text(join, "Identification/MachineObjectOU", "OU=VMs,DC=example,DC=com");
    fake_unattend_text(join, "Identification/Credentials/Domain", "example.com");
    fake_unattend_text(join, "Identification/Credentials/Username", "joiner");
    fake_unattend_text(join, "Identification/Credentials/Password", "join<ME>now");
    assert_null(fake_xml_find(join, "Identification/JoinWorkgroup"));
}

static void check_oobe(const struct fake_unattend *use)
{
    static const char *const texts[][2] = {
        {"UserAccounts/LocalAccounts/LocalAccount/Group", "Administrators"},
        {"Display/ColorDepth", "32"},
        {"OOBE/HideEULAPage", "true"},
        {"OOBE/HideLocalAccountScreen", "true"},
        {"OOBE/HideOEMRegistrationScreen", "true"},
        {"OOBE/HideOnlineAccountScreens", "true"},
        {"OOBE/HideWirelessSetupInOOBE", "true"},
        {"OOBE/NetworkLocation", "Home"},
        {"OOBE/ProtectYourPC", "3"},
        {"OOBE/SkipMachineOOBE", "true"},
        {"OOBE/SkipUserOOBE", "true"},
        {"FirstLogonCommands/SynchronousCommand/CommandLine",
         "cmd.exe /d /c C:\\Windows\\Setup\\Scripts\\SetupComplete.cmd logon"},
    };
    const struct fake_xml *shell = fake_unattend_component(use, "oobeSystem", "Microsoft-Windows-Shell-Setup");
    const char *user = use->answers.user ? use->answers.user : "Docker";
    const char *password = use->answers.password ? use->answers.password : "admin";

    fake_unattend_setting(use, "oobeSystem", "Microsoft-Windows-SecureStartup-FilterDriver", "PreventDeviceEncryption",
                          "true");
    fake_unattend_setting(use, "oobeSystem", "Microsoft-Windows-EnhancedStorage-Adm", "TCGSecurityActivationDisabled",
                          "1");
    for (unsigned n = 0; n < ARRAY_SIZE(texts); n++)
        fake_unattend_text(shell, texts[n][0], texts[n][1]);
    fake_unattend_text(shell, "UserAccounts/LocalAccounts/LocalAccount/Name", user);
    fake_unattend_text(shell, "Display/HorizontalResolution", use->answers.width ? "1920" : "1280");
    fake_unattend_text(shell, "Display/VerticalResolution", use->answers.width ? "1080" : "720");
    fake_unattend_password(shell, "UserAccounts/AdministratorPassword", password);
    fake_unattend_password(shell, "UserAccounts/LocalAccounts/LocalAccount/Password", password);
    if (use->answers.no_autologon) {
        assert_null(fake_xml_find(shell, "AutoLogon"));
        return;
    }
    fake_unattend_text(shell, "AutoLogon/Enabled", "true");
    fake_unattend_text(shell, "AutoLogon/LogonCount", "65432");
    fake_unattend_text(shell, "AutoLogon/Username", user);
    if (use->answers.domain)
        fake_unattend_text(shell, "AutoLogon/Domain", ".");
    else
        assert_null(fake_xml_find(shell, "AutoLogon/Domain"));
    fake_unattend_password(shell, "AutoLogon/Password", password);
}

/* The user's command is not Setup's, and no password can be read by looking at it. */
static void check_secrets(const struct fake_unattend *use)
{
    assert_null(strstr(use->document, "100%"));
    assert_null(strstr(use->document, "geheim"));
    assert_null(strstr(use->document, ">admin<"));
}

static void every_system_gets_every_answer(void **state)
{
    struct answers wishes;
    struct fake_unattend use;

    (void)state;
    for (size_t t = 0; t < FAKE_TARGETS; t++)
        for (size_t w = 0; w < ARRAY_SIZE(wordings); w++)
            for (size_t a = 0; a < FAKE_WISHES; a++) {
                fake_answers_wish(&fake_targets[t], a, &wishes);
                fake_unattend_open(&use, &fake_targets[t], wordings[w].medium, &wishes);
                fake_unattend_frame(&use);
                check_locales(&use, &fake_targets[t], &wordings[w], a);
                check_windows_pe(&use, &fake_targets[t]);
                check_specialize(&use, &fake_targets[t]);
                check_join(&use);
                check_oobe(&use);
                check_secrets(&use);
                fake_unattend_close(&use);
            }
}

/* The account is the machine's own, and so is where it is looked for. */
static void a_member_of_a_domain_logs_on_by_itself(void **state)
{
    const struct answers answers = {.domain = "example.com", .domain_user = "joiner", .domain_password = "join<ME>now"};
    struct fake_unattend use;

    (void)state;
    fake_unattend_open(&use, &fake_targets[FAKE_PROFESSIONAL], wordings[0].medium, &answers);
    check_oobe(&use);
    assert_null(fake_xml_find(fake_unattend_component(&use, "specialize", "Microsoft-Windows-UnattendedJoin"),
                              "Identification/MachineObjectOU"));
    fake_unattend_close(&use);
}

static void what_the_medium_says_of_its_language_is_taken(void **state)
{
    static const struct wording unknown = {"xx-QQ", "xx-QQ", "xx-QQ"}, none = {"", "0409:00000409", "en-US"};
    struct fake_unattend use;

    (void)state;
    fake_unattend_open(&use, &fake_targets[0], unknown.medium, &fake_wishes[0]);
    check_locales(&use, &fake_targets[0], &unknown, 0);
    use.image.language[0] = 1;
    assert_null(answers_xml(&use.answers, &use.image, NULL, &error));
    assert_true(error.text[0] != 0);
    fake_unattend_close(&use);
    fake_unattend_open(&use, &fake_targets[0], none.medium, &fake_wishes[0]);
    fake_unattend_setting(&use, "windowsPE", "Microsoft-Windows-International-Core-WinPE", "UILanguage", "en-US");
    fake_unattend_close(&use);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_system_gets_every_answer),
        cmocka_unit_test(a_member_of_a_domain_logs_on_by_itself),
        cmocka_unit_test(what_the_medium_says_of_its_language_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
