/*
 * The answer file for every system, edition, language and set of wishes: what an independent parser finds in it, line
 * by line of what Setup has to be told.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_answers.h"
#include "fake_xml.h"

static const struct wording {
    const char *medium, *keyboard, *fallback;
} wordings[] = {{"en-US", "0409:00000409", "en-US"}, {"de-DE", "0407:00000407", "de-DE"}, {"ja-JP", "ja-JP", "ja-JP"}};

struct use {
    struct medium_image image;
    struct answers answers;
    char *document;
    size_t size;
    struct fake_xml *tree;
};
static struct error error;

static void use_open(struct use *use, const struct fake_target *target, const struct wording *wording,
                     const struct answers *answers)
{
    *use = (struct use){.answers = *answers};
    fake_answers_image(target, wording->medium, &use->image);
    use->document = answers_xml(&use->answers, &use->image, &use->size, &error);
    use->tree = use->document ? fake_xml_parse(use->document, use->size) : NULL;
    if (!use->tree)
        fail_msg("%s", use->document ? use->document : error.text);
    else
        assert_int_equal(use->size, strlen(use->document));
}

static void use_close(struct use *use)
{
    fake_xml_destroy(use->tree);
    free(use->document);
}

static const struct fake_xml *pass_of(const struct use *use, const char *name)
{
    for (unsigned n = 0; n < use->tree->child_count; n++)
        if (!strcmp(fake_xml_attribute(use->tree->children[n], "pass"), name))
            return use->tree->children[n];
    fail_msg("no pass %s", name);
    return NULL;
}

/* NULL: the pass has none. */
static const struct fake_xml *component(const struct use *use, const char *pass, const char *name)
{
    const struct fake_xml *settings = pass_of(use, pass);

    for (unsigned n = 0; n < settings->child_count; n++)
        if (!strcmp(fake_xml_attribute(settings->children[n], "name"), name))
            return settings->children[n];
    return NULL;
}

static void assert_text(const struct fake_xml *element, const char *path, const char *expected)
{
    const struct fake_xml *found = element ? fake_xml_find(element, path) : NULL;

    if (!found || strcmp(found->text, expected) != 0)
        fail_msg("%s is \"%s\" and not \"%s\"", path, found ? found->text : "(absent)", expected);
}

static void assert_setting(const struct use *use, const char *pass, const char *name, const char *path,
                           const char *expected)
{
    const struct fake_xml *found = component(use, pass, name);

    if (!found)
        fail_msg("%s: no %s", pass, name);
    assert_text(found, path, expected);
}

/* Lists are counted from 1 and say that they add; nothing else is there twice. */
static void check_siblings(const struct fake_xml *element)
{
    unsigned order = 0;

    for (unsigned n = 0; n < element->child_count; n++) {
        const struct fake_xml *child = element->children[n];
        const char *action = fake_xml_attribute(child, "wcm:action");

        if (action) {
            char expected[16];

            assert_string_equal(action, "add");
            snprintf(expected, sizeof expected, "%u", ++order);
            if (fake_xml_find(child, "Order"))
                assert_text(child, "Order", expected);
        } else if (strcmp(child->name, "component") != 0 && strcmp(child->name, "settings") != 0) {
            assert_int_equal(fake_xml_count(element, child->name), 1);
        }
        check_siblings(child);
    }
}

static void check_frame(const struct use *use)
{
    static const char *const passes[] = {"windowsPE", "offlineServicing", "generalize", "specialize", "oobeSystem"};

    assert_true(!strncmp(use->document, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<unattend ", 48));
    assert_string_equal(use->tree->name, "unattend");
    assert_string_equal(fake_xml_attribute(use->tree, "xmlns"), "urn:schemas-microsoft-com:unattend");
    assert_string_equal(fake_xml_attribute(use->tree, "xmlns:wcm"),
                        "http://schemas.microsoft.com/WMIConfig/2002/State");
    assert_int_equal(use->tree->child_count, ARRAY_SIZE(passes));
    for (unsigned n = 0; n < ARRAY_SIZE(passes); n++) {
        const struct fake_xml *settings = use->tree->children[n];

        assert_string_equal(settings->name, "settings");
        assert_string_equal(fake_xml_attribute(settings, "pass"), passes[n]);
        for (unsigned c = 0; c < settings->child_count; c++) {
            const struct fake_xml *part = settings->children[c];
            const char *name = fake_xml_attribute(part, "name");
            const char *architecture = fake_xml_attribute(part, "processorArchitecture");

            assert_string_equal(part->name, "component");
            assert_string_equal(fake_xml_attribute(part, "publicKeyToken"), "31bf3856ad364e35");
            assert_string_equal(fake_xml_attribute(part, "language"), "neutral");
            assert_string_equal(fake_xml_attribute(part, "versionScope"), "nonSxS");
            if (strcmp(name, "Microsoft-Windows-IE-InternetExplorer") != 0)
                assert_string_equal(architecture, "amd64");
            for (unsigned other = 0; other < c; other++)
                assert_false(
                    !strcmp(fake_xml_attribute(settings->children[other], "name"), name) &&
                    !strcmp(fake_xml_attribute(settings->children[other], "processorArchitecture"), architecture));
        }
    }
    check_siblings(use->tree);
}

static void check_locales(const struct use *use, const struct fake_target *target, const struct wording *wording,
                          size_t wish)
{
    static const char *const places[][2] = {{"windowsPE", "Microsoft-Windows-International-Core-WinPE"},
                                            {"specialize", "Microsoft-Windows-International-Core"},
                                            {"oobeSystem", "Microsoft-Windows-International-Core"}};
    const char *region = wish == 1 ? "de-AT" : wish == 2 ? "hi-IN" : wording->medium;
    /* Hindi has no code page. */
    const char *system = wish == 2 ? wording->medium : region;
    const char *keyboard = wish == 1 ? "0409:00010409" : wish == 2 ? "100c:0000100c" : wording->keyboard;

    for (unsigned n = 0; n < ARRAY_SIZE(places); n++) {
        assert_setting(use, places[n][0], places[n][1], "InputLocale", keyboard);
        assert_setting(use, places[n][0], places[n][1], "SystemLocale", system);
        assert_setting(use, places[n][0], places[n][1], "UILanguage", wording->medium);
        assert_setting(use, places[n][0], places[n][1], "UserLocale", region);
        if (target->system == SERVER)
            assert_setting(use, places[n][0], places[n][1], "UILanguageFallback", wording->fallback);
        else
            assert_null(fake_xml_find(component(use, places[n][0], places[n][1]), "UILanguageFallback"));
    }
    assert_setting(use, "windowsPE", places[0][1], "SetupUILanguage/UILanguage", wording->medium);
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
    assert_text(disk, "DiskID", number);
    assert_int_equal(fake_xml_find(disk, "CreatePartitions")->child_count, 3);
    assert_int_equal(fake_xml_find(disk, "ModifyPartitions")->child_count, 2);
    for (unsigned n = 0; n < ARRAY_SIZE(texts); n++)
        assert_text(disk, texts[n][0], texts[n][1]);
    assert_text(setup, "DiskConfiguration/WillShowUI", "OnError");
    assert_text(setup, "ImageInstall/OSImage/InstallTo/DiskID", number);
    assert_text(setup, "ImageInstall/OSImage/InstallTo/PartitionID", "3");
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
            assert_text(run->children[at++], "Path", rows[n].command);
        }
    assert_int_equal(run->child_count, at);
}

/* The user's own is Setup's only where there is no other. */
static void check_key(const struct use *use, const struct fake_target *target, const struct fake_xml *element)
{
    const char *key = target->key ? target->key : use->answers.key;

    assert_int_equal(element != NULL, key != NULL);
    if (key) {
        assert_text(element, "Key", key);
        assert_text(element, "WillShowUI", "OnError");
    }
    if (key != use->answers.key)
        assert_null(strstr(use->document, FAKE_KEY));
}

static void check_windows_pe(const struct use *use, const struct fake_target *target)
{
    const struct fake_xml *setup = component(use, "windowsPE", "Microsoft-Windows-Setup");
    const char *user = use->answers.user ? use->answers.user : "Docker";

    assert_non_null(setup);
    check_disk(setup, use->answers.disk ? "1" : "0");
    assert_text(setup, "ImageInstall/OSImage/InstallFrom/MetaData/Key", "/IMAGE/INDEX");
    assert_text(setup, "ImageInstall/OSImage/InstallFrom/MetaData/Value", "6");
    assert_text(setup, "ImageInstall/OSImage/InstallToAvailablePartition", "false");
    assert_text(setup, "ImageInstall/OSImage/WillShowUI", "OnError");
    check_key(use, target, fake_xml_find(setup, "UserData/ProductKey"));
    assert_text(setup, "UserData/AcceptEula", "true");
    assert_text(setup, "UserData/FullName", user);
    assert_text(setup, "UserData/Organization", "Casement");
    assert_text(setup, "DynamicUpdate/Enable", "false");
    assert_text(setup, "UpgradeData/Upgrade", "false");
    assert_text(setup, "Diagnostics/OptIn", "false");
    assert_text(setup, "EnableFirewall", "false");
    assert_text(setup, "UseConfigurationSet", "true");
    assert_null(component(use, "windowsPE", "Microsoft-Windows-PnpCustomizationsWinPE"));
    check_waived(setup, target, &use->answers);
    assert_setting(use, "offlineServicing", "Microsoft-Windows-LUA-Settings", "EnableLUA", "false");
    assert_setting(use, "generalize", "Microsoft-Windows-PnpSysprep", "PersistAllDeviceInstalls", "true");
    assert_setting(use, "generalize", "Microsoft-Windows-Security-SPP", "SkipRearm", "1");
}

static bool runs(const struct fake_xml *list, const char *needle)
{
    for (unsigned n = 0; n < list->child_count; n++)
        if (strstr(fake_xml_text(list->children[n], "Path"), needle))
            return true;
    return false;
}

static void check_deployment(const struct use *use, bool client)
{
    static const char *const of_clients[] = {
        "CurrentVersion\\OOBE\" /v BypassNRO /t REG_DWORD /d 1",
        "reg.exe load HKU\\casement C:\\Users\\Default\\NTUSER.DAT",
        "ContentDeliveryManager\" /v SilentInstalledAppsEnabled /t REG_DWORD /d 0",
        "ContentDeliveryManager\" /v SystemPaneSuggestionsEnabled /t REG_DWORD /d 0",
        "reg.exe unload HKU\\casement",
        "CloudContent\" /v DisableWindowsConsumerFeatures /t REG_DWORD /d 1"};
    const struct fake_xml *list =
        fake_xml_find(component(use, "specialize", "Microsoft-Windows-Deployment"), "RunSynchronous");
    unsigned load = 0, unload = 0;

    assert_non_null(list);
    for (unsigned n = 0; n < ARRAY_SIZE(of_clients); n++)
        assert_int_equal(runs(list, of_clients[n]), client);
    assert_true(runs(list, "NetworkList\\Signatures\\FirstNetwork\" /v Category /t REG_DWORD /d 1"));
    for (unsigned n = 0; n < list->child_count; n++) {
        const char *path = fake_xml_text(list->children[n], "Path");

        assert_in_range(strlen(path), 10, 258); /* a cut one would not end so */
        if (strstr(path, "reg.exe add"))
            assert_string_equal(path + strlen(path) - 3, " /f");
        load = strstr(path, " load ") ? n : load;
        unload = strstr(path, " unload ") ? n : unload;
        /* The hive is there while it is written to. */
        if (strstr(path, "HKU\\casement\\"))
            assert_true(load && !unload);
    }
    assert_int_equal(load != 0, client);
    assert_int_equal(unload != 0, client);
}

/* Hyper-V Server keeps its role only where it can be used. */
static void check_hyperv(const struct use *use, const struct fake_target *target, const struct fake_xml *list)
{
    bool away = !strcmp(target->edition, "ServerHyperCore") && !use->answers.nested;

    assert_int_equal(runs(list, "cmd.exe /d /c \"dism.exe /online /disable-feature /featurename:Microsoft-Hyper-V "
                                "/norestart & exit 0\""),
                     away);
    assert_int_equal(runs(list, "dism.exe"), away);
}

static void check_specialize(const struct use *use, const struct fake_target *target)
{
    static const char *const settings[][3] = {
        {"Microsoft-Windows-Security-SPP-UX", "SkipAutoActivation", "true"},
        {"Microsoft-Windows-ErrorReportingCore", "DisableWER", "1"},
        {"Microsoft-Windows-SQMApi", "CEIPEnabled", "0"},
        {"Microsoft-Windows-SystemRestore-Main", "DisableSR", "1"},
        {"Microsoft-Windows-Shell-Setup", "OEMInformation/Manufacturer", "Casement"},
        {"Microsoft-Windows-TerminalServices-LocalSessionManager", "fDenyTSConnections", "false"},
        {"Microsoft-Windows-TerminalServices-RDP-WinStationExtensions", "UserAuthentication", "0"},
        {"Networking-MPSSVC-Svc", "FirewallGroups/FirewallGroup/Active", "true"},
        {"Networking-MPSSVC-Svc", "FirewallGroups/FirewallGroup/Group", "@FirewallAPI.dll,-28752"},
        {"Networking-MPSSVC-Svc", "FirewallGroups/FirewallGroup/Profile", "all"},
    };
    const struct fake_xml *pass = pass_of(use, "specialize");
    const struct fake_xml *shell = component(use, "specialize", "Microsoft-Windows-Shell-Setup");
    const char *const *ie = (const char *const[]){"amd64", "wow64"};

    for (unsigned n = 0; n < ARRAY_SIZE(settings); n++)
        assert_setting(use, "specialize", settings[n][0], settings[n][1], settings[n][2]);
    for (unsigned n = 0; n < pass->child_count; n++)
        if (!strcmp(fake_xml_attribute(pass->children[n], "name"), "Microsoft-Windows-IE-InternetExplorer")) {
            assert_string_equal(fake_xml_attribute(pass->children[n], "processorArchitecture"), *ie++);
            assert_text(pass->children[n], "DisableFirstRunWizard", "true");
        }
    assert_text(shell, "ComputerName", use->answers.computer ? use->answers.computer : "*");
    if (use->answers.time_zone)
        assert_text(shell, "TimeZone", use->answers.time_zone);
    else
        assert_null(fake_xml_find(shell, "TimeZone"));
    check_deployment(use, target->system != SERVER);
    check_hyperv(use, target,
                 fake_xml_find(component(use, "specialize", "Microsoft-Windows-Deployment"), "RunSynchronous"));
}

static void check_join(const struct use *use)
{
    const struct fake_xml *join = component(use, "specialize", "Microsoft-Windows-UnattendedJoin");

    if (!use->answers.domain && !use->answers.workgroup) {
        assert_null(join);
        return;
    }
    assert_non_null(join);
    if (use->answers.workgroup) {
        assert_text(join, "Identification/JoinWorkgroup", use->answers.workgroup);
        assert_null(fake_xml_find(join, "Identification/Credentials"));
        assert_null(fake_xml_find(join, "Identification/JoinDomain"));
        return;
    }
    assert_text(join, "Identification/JoinDomain", "example.com");
    assert_text(join, "Identification/MachineObjectOU", "OU=VMs,DC=example,DC=com");
    assert_text(join, "Identification/Credentials/Domain", "example.com");
    assert_text(join, "Identification/Credentials/Username", "joiner");
    assert_text(join, "Identification/Credentials/Password", "join<ME>now");
    assert_null(fake_xml_find(join, "Identification/JoinWorkgroup"));
}

/* Decodes it the other way round than it was made: what is before the element's name, as UTF-8 of the basic plane. */
static void assert_password(const struct fake_xml *element, const char *path, const char *expected)
{
    const struct fake_xml *found = fake_xml_find(element, path);
    const char *value, *name;
    uint8_t bytes[1024];
    char text[1024] = "";
    int length, padding;
    size_t at = 0;

    assert_non_null(found);
    assert_text(found, "PlainText", "false");
    value = fake_xml_text(found, "Value");
    name = found->name;
    padding = (int)strlen(value) - (int)strcspn(value, "=");
    length = EVP_DecodeBlock(bytes, (const uint8_t *)value, (int)strlen(value)) - padding;
    assert_true(length > 0 && length % 2 == 0);
    for (int n = 0; n < length; n += 2) {
        unsigned unit = get_le16(bytes + n);

        if (unit < 0x80)
            text[at++] = (char)unit;
        else
            at += (size_t)snprintf(text + at, sizeof text - at, "%c%c%c", 0xE0 | unit >> 12, 0x80 | (unit >> 6 & 0x3F),
                                   0x80 | (unit & 0x3F));
    }
    assert_true(at >= strlen(name));
    assert_string_equal(text + at - strlen(name), name);
    text[at - strlen(name)] = 0;
    assert_string_equal(text, expected);
}

static void check_oobe(const struct use *use)
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
    const struct fake_xml *shell = component(use, "oobeSystem", "Microsoft-Windows-Shell-Setup");
    const char *user = use->answers.user ? use->answers.user : "Docker";
    const char *password = use->answers.password ? use->answers.password : "admin";

    assert_setting(use, "oobeSystem", "Microsoft-Windows-SecureStartup-FilterDriver", "PreventDeviceEncryption",
                   "true");
    assert_setting(use, "oobeSystem", "Microsoft-Windows-EnhancedStorage-Adm", "TCGSecurityActivationDisabled", "1");
    for (unsigned n = 0; n < ARRAY_SIZE(texts); n++)
        assert_text(shell, texts[n][0], texts[n][1]);
    assert_text(shell, "UserAccounts/LocalAccounts/LocalAccount/Name", user);
    assert_text(shell, "Display/HorizontalResolution", use->answers.width ? "1920" : "1280");
    assert_text(shell, "Display/VerticalResolution", use->answers.width ? "1080" : "720");
    assert_password(shell, "UserAccounts/AdministratorPassword", password);
    assert_password(shell, "UserAccounts/LocalAccounts/LocalAccount/Password", password);
    if (use->answers.no_autologon) {
        assert_null(fake_xml_find(shell, "AutoLogon"));
        return;
    }
    assert_text(shell, "AutoLogon/Enabled", "true");
    assert_text(shell, "AutoLogon/LogonCount", "65432");
    assert_text(shell, "AutoLogon/Username", user);
    if (use->answers.domain)
        assert_text(shell, "AutoLogon/Domain", ".");
    else
        assert_null(fake_xml_find(shell, "AutoLogon/Domain"));
    assert_password(shell, "AutoLogon/Password", password);
}

/* The user's command is not Setup's, and no password can be read by looking at it. */
static void check_secrets(const struct use *use)
{
    assert_null(strstr(use->document, "100%"));
    assert_null(strstr(use->document, "geheim"));
    assert_null(strstr(use->document, ">admin<"));
}

static void every_system_gets_every_answer(void **state)
{
    struct answers wishes;
    struct use use;

    (void)state;
    for (size_t t = 0; t < FAKE_TARGETS; t++)
        for (size_t w = 0; w < ARRAY_SIZE(wordings); w++)
            for (size_t a = 0; a < FAKE_WISHES; a++) {
                fake_answers_wish(&fake_targets[t], a, &wishes);
                use_open(&use, &fake_targets[t], &wordings[w], &wishes);
                check_frame(&use);
                check_locales(&use, &fake_targets[t], &wordings[w], a);
                check_windows_pe(&use, &fake_targets[t]);
                check_specialize(&use, &fake_targets[t]);
                check_join(&use);
                check_oobe(&use);
                check_secrets(&use);
                use_close(&use);
            }
}

/* Base64 as others make it: printf 'adminPassword' | iconv -t UTF-16LE | base64. */
static void passwords_are_encoded_as_windows_does(void **state)
{
    const struct fake_xml *shell;
    struct use use;

    (void)state;
    use_open(&use, &fake_targets[0], &wordings[0], &fake_wishes[0]);
    shell = component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup");
    assert_text(shell, "AutoLogon/Password/Value", "YQBkAG0AaQBuAFAAYQBzAHMAdwBvAHIAZAA=");
    assert_text(shell, "UserAccounts/AdministratorPassword/Value",
                "YQBkAG0AaQBuAEEAZABtAGkAbgBpAHMAdAByAGEAdABvAHIAUABhAHMAcwB3AG8AcgBkAA==");
    use_close(&use);
    /* printf '😀Password' */
    use_open(&use, &fake_targets[0], &wordings[0], &(struct answers){.password = "\xF0\x9F\x98\x80"});
    shell = component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup");
    assert_text(shell, "AutoLogon/Password/Value", "PdgA3lAAYQBzAHMAdwBvAHIAZAA=");
    use_close(&use);
    use_open(&use, &fake_targets[0], &wordings[0], &(struct answers){.password = ""});
    assert_password(component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup"), "AutoLogon/Password", "");
    use_close(&use);
}

static void the_longest_password(void **state)
{
    char password[128];
    struct use use;

    (void)state;
    memset(password, 'x', 127);
    password[127] = 0;
    use_open(&use, &fake_targets[0], &wordings[0], &(struct answers){.password = password});
    assert_password(component(&use, "oobeSystem", "Microsoft-Windows-Shell-Setup"),
                    "UserAccounts/AdministratorPassword", password);
    use_close(&use);
}

/* The account is the machine's own, and so is where it is looked for. */
static void a_member_of_a_domain_logs_on_by_itself(void **state)
{
    const struct answers answers = {.domain = "example.com", .domain_user = "joiner", .domain_password = "join<ME>now"};
    struct use use;

    (void)state;
    use_open(&use, &fake_targets[FAKE_PROFESSIONAL], &wordings[0], &answers);
    check_oobe(&use);
    assert_null(fake_xml_find(component(&use, "specialize", "Microsoft-Windows-UnattendedJoin"),
                              "Identification/MachineObjectOU"));
    use_close(&use);
}

static void what_the_medium_says_of_its_language_is_taken(void **state)
{
    static const struct wording unknown = {"xx-QQ", "xx-QQ", "xx-QQ"}, none = {"", "0409:00000409", "en-US"};
    struct use use;

    (void)state;
    use_open(&use, &fake_targets[0], &unknown, &fake_wishes[0]);
    check_locales(&use, &fake_targets[0], &unknown, 0);
    use.image.language[0] = 1;
    assert_null(answers_xml(&use.answers, &use.image, NULL, &error));
    assert_true(error.text[0] != 0);
    use_close(&use);
    use_open(&use, &fake_targets[0], &none, &fake_wishes[0]);
    assert_setting(&use, "windowsPE", "Microsoft-Windows-International-Core-WinPE", "UILanguage", "en-US");
    use_close(&use);
}

/* Each text either comes out as it went in or is refused with a text that names the option. */
static void hostile_texts_survive_or_are_refused(void **state)
{
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
                                        "\xEF\xBF\xBF"};
    static const struct {
        size_t offset;
        const char *option, *pass, *component, *path;
    } places[] = {
        {offsetof(struct answers, user), "--user", "oobeSystem", "Microsoft-Windows-Shell-Setup",
         "UserAccounts/LocalAccounts/LocalAccount/Name"},
        {offsetof(struct answers, password), "--password", "oobeSystem", "Microsoft-Windows-Shell-Setup", NULL},
        {offsetof(struct answers, computer), "--computer", "specialize", "Microsoft-Windows-Shell-Setup",
         "ComputerName"},
        {offsetof(struct answers, workgroup), "--workgroup", "specialize", "Microsoft-Windows-UnattendedJoin",
         "Identification/JoinWorkgroup"},
        {offsetof(struct answers, time_zone), "--time-zone", "specialize", "Microsoft-Windows-Shell-Setup", "TimeZone"},
        {offsetof(struct answers, command), "--command", "specialize", "Microsoft-Windows-Shell-Setup", NULL},
        {offsetof(struct answers, key), "--key", "specialize", "Microsoft-Windows-Shell-Setup", NULL},
        {offsetof(struct answers, language), "--language", "specialize", "Microsoft-Windows-Shell-Setup", NULL},
        {offsetof(struct answers, region), "--region", "specialize", "Microsoft-Windows-Shell-Setup", NULL},
        {offsetof(struct answers, keyboard), "--keyboard-locale", "specialize", "Microsoft-Windows-Shell-Setup", NULL},
    };
    struct use use;
    unsigned taken = 0, refused = 0;

    (void)state;
    memset(long_text, 'x', 300);
    use_open(&use, &fake_targets[1], &wordings[0], &fake_wishes[0]);
    for (size_t p = 0; p < ARRAY_SIZE(places); p++)
        for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
            struct answers answers = {0};
            struct fake_xml *tree;
            char *document;
            size_t size;

            memcpy((char *)&answers + places[p].offset, &texts[n], sizeof texts[n]);
            error.text[0] = 0;
            document = answers_xml(&answers, &use.image, &size, &error);
            if (!document) {
                refused++;
                if (strncmp(error.text, places[p].option, strlen(places[p].option)) != 0 || strchr(error.text, '\n') ||
                    strchr(error.text, '\r'))
                    fail_msg("%s: %s", places[p].option, error.text);
                continue;
            }
            taken++;
            tree = fake_xml_parse(document, size);
            assert_non_null(tree);
            fake_xml_destroy(use.tree);
            use.tree = tree;
            check_frame(&use);
            if (places[p].path)
                assert_setting(&use, places[p].pass, places[p].component, places[p].path, texts[n]);
            free(document);
        }
    use_close(&use);
    assert_in_range(taken, 30, 90);
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_system_gets_every_answer),
        cmocka_unit_test(passwords_are_encoded_as_windows_does),
        cmocka_unit_test(the_longest_password),
        cmocka_unit_test(a_member_of_a_domain_logs_on_by_itself),
        cmocka_unit_test(what_the_medium_says_of_its_language_is_taken),
        cmocka_unit_test(hostile_texts_survive_or_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
