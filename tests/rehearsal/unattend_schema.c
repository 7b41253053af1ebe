/*
 * The settings that the player knows, as the Unattended Windows Setup Reference has them: pass, component, path, form.
 * What is not here is refused, though Windows may know it: a rehearsal says only that what is here was written rightly.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "unattend.h"

#define MAX_COMMAND "$259"

/* Forms: "=a|b" one of these; "#1-9" a number; "$n" a text of 1 to n signs; "@" the name of one that check_form has. */
static const struct setting {
    const char *pass, *component, *path, *form;
} settings[] = {
#define PE "windowsPE", "Microsoft-Windows-International-Core-WinPE"
    {PE, "SetupUILanguage/UILanguage", "@locale"},
    {PE, "SetupUILanguage/WillShowUI", "=Always|OnError|Never"},
    {PE, "InputLocale", "@keyboards"},
    {PE, "SystemLocale", "@locale"},
    {PE, "UILanguage", "@locale"},
    {PE, "UILanguageFallback", "@locale"},
    {PE, "UserLocale", "@locale"},
#undef PE
#define SETUP "windowsPE", "Microsoft-Windows-Setup"
    {SETUP, "DiskConfiguration/Disk/DiskID", "#0-99"},
    {SETUP, "DiskConfiguration/Disk/WillWipeDisk", "=true|false"},
    {SETUP, "DiskConfiguration/Disk/CreatePartitions/CreatePartition/Order", "#1-128"},
    {SETUP, "DiskConfiguration/Disk/CreatePartitions/CreatePartition/Type", "=EFI|MSR|Primary"},
    {SETUP, "DiskConfiguration/Disk/CreatePartitions/CreatePartition/Size", "#1-99999999"},
    {SETUP, "DiskConfiguration/Disk/CreatePartitions/CreatePartition/Extend", "=true|false"},
    {SETUP, "DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Order", "#1-128"},
    {SETUP, "DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/PartitionID", "#1-128"},
    {SETUP, "DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Format", "=FAT32|NTFS"},
    {SETUP, "DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Label", "$11"},
    {SETUP, "DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Letter", "=C|D|E|F|G|H"},
    {SETUP, "DiskConfiguration/WillShowUI", "=Always|OnError|Never"},
    {SETUP, "ImageInstall/OSImage/InstallFrom/MetaData/Key", "=/IMAGE/INDEX|/IMAGE/NAME"},
    {SETUP, "ImageInstall/OSImage/InstallFrom/MetaData/Value", "$255"},
    {SETUP, "ImageInstall/OSImage/InstallTo/DiskID", "#0-99"},
    {SETUP, "ImageInstall/OSImage/InstallTo/PartitionID", "#1-128"},
    {SETUP, "ImageInstall/OSImage/InstallToAvailablePartition", "=true|false"},
    {SETUP, "ImageInstall/OSImage/WillShowUI", "=Always|OnError|Never"},
    {SETUP, "UserData/ProductKey/Key", "@key"},
    {SETUP, "UserData/ProductKey/WillShowUI", "=Always|OnError|Never"},
    {SETUP, "UserData/AcceptEula", "=true|false"},
    {SETUP, "UserData/FullName", "$63"},
    {SETUP, "UserData/Organization", "$63"},
    {SETUP, "DynamicUpdate/Enable", "=true|false"},
    {SETUP, "DynamicUpdate/WillShowUI", "=Always|OnError|Never"},
    {SETUP, "UpgradeData/Upgrade", "=true|false"},
    {SETUP, "UpgradeData/WillShowUI", "=Always|OnError|Never"},
    {SETUP, "Diagnostics/OptIn", "=true|false"},
    {SETUP, "EnableFirewall", "=true|false"},
    {SETUP, "EnableNetwork", "=true|false"},
    {SETUP, "UseConfigurationSet", "=true|false"},
    {SETUP, "RunSynchronous/RunSynchronousCommand/Order", "#1-500"},
    {SETUP, "RunSynchronous/RunSynchronousCommand/Path", MAX_COMMAND},
    {SETUP, "RunSynchronous/RunSynchronousCommand/Description", "$255"},
#undef SETUP
    {"offlineServicing", "Microsoft-Windows-LUA-Settings", "EnableLUA", "=true|false"},
    {"generalize", "Microsoft-Windows-PnpSysprep", "PersistAllDeviceInstalls", "=true|false"},
    {"generalize", "Microsoft-Windows-Security-SPP", "SkipRearm", "=0|1"},
#define SHELL "specialize", "Microsoft-Windows-Shell-Setup"
    {SHELL, "ComputerName", "@computer"},
    {SHELL, "OEMInformation/Manufacturer", "$255"},
    {SHELL, "OEMInformation/Model", "$255"},
    {SHELL, "TimeZone", "$255"},
    {SHELL, "ProductKey", "@key"},
#undef SHELL
    {"specialize", "Microsoft-Windows-Security-SPP-UX", "SkipAutoActivation", "=true|false"},
    {"specialize", "Microsoft-Windows-ErrorReportingCore", "DisableWER", "=0|1"},
    {"specialize", "Microsoft-Windows-SQMApi", "CEIPEnabled", "=0|1"},
    {"specialize", "Microsoft-Windows-SystemRestore-Main", "DisableSR", "=0|1"},
    {"specialize", "Microsoft-Windows-IE-InternetExplorer", "DisableFirstRunWizard", "=true|false"},
    {"specialize", "Microsoft-Windows-IE-InternetExplorer(wow64)", "DisableFirstRunWizard", "=true|false"},
#define CORE "specialize", "Microsoft-Windows-International-Core"
    {CORE, "InputLocale", "@keyboards"},
    {CORE, "SystemLocale", "@locale"},
    {CORE, "UILanguage", "@locale"},
    {CORE, "UILanguageFallback", "@locale"},
    {CORE, "UserLocale", "@locale"},
#undef CORE
#define DEPLOYMENT "specialize", "Microsoft-Windows-Deployment"
    {DEPLOYMENT, "RunSynchronous/RunSynchronousCommand/Order", "#1-500"},
    {DEPLOYMENT, "RunSynchronous/RunSynchronousCommand/Path", MAX_COMMAND},
    {DEPLOYMENT, "RunSynchronous/RunSynchronousCommand/Description", "$255"},
#undef DEPLOYMENT
    {"specialize", "Microsoft-Windows-TerminalServices-LocalSessionManager", "fDenyTSConnections", "=true|false"},
    {"specialize", "Microsoft-Windows-TerminalServices-RDP-WinStationExtensions", "UserAuthentication", "=0|1"},
#define FIREWALL "specialize", "Networking-MPSSVC-Svc"
    {FIREWALL, "FirewallGroups/FirewallGroup/Active", "=true|false"},
    {FIREWALL, "FirewallGroups/FirewallGroup/Group", "$255"},
    {FIREWALL, "FirewallGroups/FirewallGroup/Profile", "=all|domain|private|public"},
#undef FIREWALL
#define JOIN "specialize", "Microsoft-Windows-UnattendedJoin"
    {JOIN, "Identification/JoinWorkgroup", "$15"},
    {JOIN, "Identification/JoinDomain", "$255"},
    {JOIN, "Identification/MachineObjectOU", "$255"},
    {JOIN, "Identification/Credentials/Domain", "$255"},
    {JOIN, "Identification/Credentials/Password", "$255"},
    {JOIN, "Identification/Credentials/Username", "$255"},
#undef JOIN
#define CORE "oobeSystem", "Microsoft-Windows-International-Core"
    {CORE, "InputLocale", "@keyboards"},
    {CORE, "SystemLocale", "@locale"},
    {CORE, "UILanguage", "@locale"},
    {CORE, "UILanguageFallback", "@locale"},
    {CORE, "UserLocale", "@locale"},
#undef CORE
    {"oobeSystem", "Microsoft-Windows-SecureStartup-FilterDriver", "PreventDeviceEncryption", "=true|false"},
    {"oobeSystem", "Microsoft-Windows-EnhancedStorage-Adm", "TCGSecurityActivationDisabled", "=0|1"},
#define SHELL "oobeSystem", "Microsoft-Windows-Shell-Setup"
    {SHELL, "UserAccounts/AdministratorPassword/Value", "@password"},
    {SHELL, "UserAccounts/AdministratorPassword/PlainText", "=true|false"},
    {SHELL, "UserAccounts/LocalAccounts/LocalAccount/Name", "@user"},
    {SHELL, "UserAccounts/LocalAccounts/LocalAccount/DisplayName", "$255"},
    {SHELL, "UserAccounts/LocalAccounts/LocalAccount/Group", "=Administrators|Users"},
    {SHELL, "UserAccounts/LocalAccounts/LocalAccount/Password/Value", "@password"},
    {SHELL, "UserAccounts/LocalAccounts/LocalAccount/Password/PlainText", "=true|false"},
    {SHELL, "AutoLogon/Enabled", "=true|false"},
    {SHELL, "AutoLogon/LogonCount", "#1-99999999"},
    {SHELL, "AutoLogon/Username", "@user"},
    {SHELL, "AutoLogon/Domain", "$255"},
    {SHELL, "AutoLogon/Password/Value", "@password"},
    {SHELL, "AutoLogon/Password/PlainText", "=true|false"},
    {SHELL, "Display/ColorDepth", "=16|24|32"},
    {SHELL, "Display/HorizontalResolution", "#640-7680"},
    {SHELL, "Display/VerticalResolution", "#480-4320"},
    {SHELL, "OOBE/HideEULAPage", "=true|false"},
    {SHELL, "OOBE/HideLocalAccountScreen", "=true|false"},
    {SHELL, "OOBE/HideOEMRegistrationScreen", "=true|false"},
    {SHELL, "OOBE/HideOnlineAccountScreens", "=true|false"},
    {SHELL, "OOBE/HideWirelessSetupInOOBE", "=true|false"},
    {SHELL, "OOBE/NetworkLocation", "=Home|Work|Other"},
    {SHELL, "OOBE/ProtectYourPC", "=1|2|3"},
    {SHELL, "OOBE/SkipMachineOOBE", "=true|false"},
    {SHELL, "OOBE/SkipUserOOBE", "=true|false"},
    {SHELL, "FirstLogonCommands/SynchronousCommand/Order", "#1-500"},
    {SHELL, "FirstLogonCommands/SynchronousCommand/CommandLine", "$1024"},
    {SHELL, "FirstLogonCommands/SynchronousCommand/Description", "$255"},
    {SHELL, "FirstLogonCommands/SynchronousCommand/RequiresUserInput", "=true|false"},
#undef SHELL
};
#define SETTINGS (sizeof settings / sizeof settings[0])

/* Without these Setup, or the new system at its first start, stops and asks. */
static const char *const asked[] = {
    "windowsPE/Microsoft-Windows-International-Core-WinPE/SetupUILanguage/UILanguage",
    "windowsPE/Microsoft-Windows-International-Core-WinPE/InputLocale",
    "windowsPE/Microsoft-Windows-International-Core-WinPE/SystemLocale",
    "windowsPE/Microsoft-Windows-International-Core-WinPE/UILanguage",
    "windowsPE/Microsoft-Windows-International-Core-WinPE/UserLocale",
    "windowsPE/Microsoft-Windows-Setup/DiskConfiguration/Disk[1]/DiskID",
    "windowsPE/Microsoft-Windows-Setup/ImageInstall/OSImage/InstallTo/DiskID",
    "windowsPE/Microsoft-Windows-Setup/ImageInstall/OSImage/InstallTo/PartitionID",
    "windowsPE/Microsoft-Windows-Setup/UserData/AcceptEula",
    "oobeSystem/Microsoft-Windows-International-Core/InputLocale",
    "oobeSystem/Microsoft-Windows-International-Core/SystemLocale",
    "oobeSystem/Microsoft-Windows-International-Core/UILanguage",
    "oobeSystem/Microsoft-Windows-International-Core/UserLocale",
    "oobeSystem/Microsoft-Windows-Shell-Setup/OOBE/HideEULAPage",
    "oobeSystem/Microsoft-Windows-Shell-Setup/OOBE/HideOnlineAccountScreens",
    "oobeSystem/Microsoft-Windows-Shell-Setup/OOBE/ProtectYourPC",
    "oobeSystem/Microsoft-Windows-Shell-Setup/UserAccounts/LocalAccounts/LocalAccount[1]/Name",
};

bool is_list(const char *name)
{
    static const char *const lists[] = {"Disk",
                                        "CreatePartition",
                                        "ModifyPartition",
                                        "MetaData",
                                        "LocalAccount",
                                        "RunSynchronousCommand",
                                        "SynchronousCommand",
                                        "FirewallGroup",
                                        "IMAGE",
                                        "LANGUAGE"};

    for (size_t n = 0; n < sizeof lists / sizeof lists[0]; n++)
        if (strcmp(name, lists[n]) == 0)
            return true;
    return false;
}

/* In units of UTF-16, as Windows counts. */
static size_t length_of(const char *text)
{
    size_t units = 0;

    for (; *text; text++)
        units += ((unsigned char)*text & 0xC0) == 0x80 ? 0 : (unsigned char)*text >= 0xF0 ? 2 : 1;
    return units;
}

/* xx-XX, or with a script between: what BCP 47 says and Windows takes. */
static bool is_locale(const char *text, size_t length)
{
    size_t n = 0;

    while (n < length && islower((unsigned char)text[n]))
        n++;
    if (n < 2 || n > 3 || n == length || text[n] != '-')
        return false;
    for (size_t from = n; n < length; n++)
        if (text[n] == '-' ? n + 1 == length || (n > from && text[n - 1] == '-') : !isalnum((unsigned char)text[n]))
            return false;
    return true;
}

/* Locales or LLLL:KKKKKKKK, with semicolons between. */
static bool is_keyboards(const char *text)
{
    for (;;) {
        size_t length = strcspn(text, ";"), digits = strspn(text, "0123456789ABCDEFabcdef:");

        if (!is_locale(text, length) && !(length == 13 && digits >= 13 && text[4] == ':'))
            return false;
        if (!text[length])
            return true;
        text += length + 1;
    }
}

static bool is_key(const char *text)
{
    size_t n = 0;

    for (; text[n]; n++)
        if (n % 6 == 5 ? text[n] != '-' : !isdigit((unsigned char)text[n]) && !isupper((unsigned char)text[n]))
            return false;
    return n == 29;
}

static bool is_computer(const char *text)
{
    size_t length = strlen(text);

    if (strcmp(text, "*") == 0)
        return true;
    return length >= 1 && length <= 15 && !text[strcspn(text, " .{}|~[\\]^':;<=>?@!\"#$%`()+/,*&")] &&
           text[strspn(text, "0123456789")];
}

static bool is_user(const char *text)
{
    size_t length = length_of(text);

    return length >= 1 && length <= 20 && strcasecmp(text, "NONE") != 0 &&
           !text[strcspn(text, "\"/\\[]:;|=,+*?<>%@")] && text[strspn(text, ". ")] && text[strlen(text) - 1] != '.';
}

static bool is_number(const char *text, const char *range)
{
    char *end;
    unsigned long low = strtoul(range, &end, 10), high = strtoul(end + 1, NULL, 10), value = strtoul(text, &end, 10);

    return isdigit((unsigned char)*text) && !*end && value >= low && value <= high;
}

static bool is_one_of(const char *text, const char *choices)
{
    size_t length = strlen(text);

    for (; *choices; choices += strcspn(choices, "|"), choices += *choices == '|')
        if (strcspn(choices, "|") == length && strncmp(choices, text, length) == 0)
            return true;
    return false;
}

static bool has_form(const char *text, const char *form)
{
    switch (*form) {
    case '=':
        return is_one_of(text, form + 1);
    case '#':
        return is_number(text, form + 1);
    case '$':
        return *text && text[strspn(text, " \t\r\n")] && length_of(text) <= strtoul(form + 1, NULL, 10);
    }
    if (strcmp(form, "@locale") == 0)
        return is_locale(text, strlen(text));
    if (strcmp(form, "@keyboards") == 0)
        return is_keyboards(text);
    if (strcmp(form, "@key") == 0)
        return is_key(text);
    if (strcmp(form, "@computer") == 0)
        return is_computer(text);
    if (strcmp(form, "@user") == 0)
        return is_user(text);
    return strcmp(form, "@password") == 0; /* see decode_password() */
}

/* How much of the element's path, without numbers, is the beginning of the setting's; 0: not all of it. */
static bool leads_to(const char *path, const struct setting *setting, bool *whole)
{
    char full[1024], bare[1024], *at = bare;
    size_t length;

    snprintf(full, sizeof full, "%s/%s/%s", setting->pass, setting->component, setting->path);
    for (; *path; path++)
        if (*path == '[')
            path = strchr(path, ']');
        else
            *at++ = *path;
    *at = 0;
    length = strlen(bare);
    *whole = strcmp(bare, full) == 0;
    return *whole || (strncmp(bare, full, length) == 0 && full[length] == '/');
}

static void check_element(const struct element *element)
{
    const char *name = strrchr(element->path, '/');
    bool known = false;

    for (size_t n = 0; n < SETTINGS; n++) {
        bool whole;

        if (!leads_to(element->path, &settings[n], &whole))
            continue;
        known = true;
        if (whole && (element->has_children || !has_form(element->text, settings[n].form)))
            refuse("%s is \"%s\", which Setup does not take (%s)", element->path, element->text, settings[n].form);
        if (!whole && !element->has_children)
            refuse("%s is empty", element->path);
    }
    if (!known)
        refuse("%s is unknown", element->path);
    if (name && element->path[strlen(element->path) - 1] == ']' && !element->is_list_item)
        refuse("%s has no wcm:action=\"add\"", element->path);
}

void check_schema(const struct document *document, bool complete)
{
    for (size_t n = 0; n < document->count; n++)
        check_element(&document->elements[n]);
    for (size_t n = 0; complete && n < sizeof asked / sizeof asked[0]; n++)
        if (!text_of(document, "%s", asked[n]))
            refuse("%s is missing: Setup would ask", asked[n]);
}
