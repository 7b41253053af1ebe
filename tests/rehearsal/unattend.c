/*
 * Would Setup go through with this answer file, on this medium and machine, without asking anyone?
 *
 *     unattend ANSWERS IMAGES LANGUAGE MEMORY [tpm] [secure-boot] [DISK...] [person IMAGE DISK NAME]
 *
 * IMAGES is the description in install.wim, LANGUAGE that of Setup itself, MEMORY and each DISK (in Setup's order) are
 * in MiB. Says "REHEARSAL-REFUSED: why" with status 1, or what is to be done as assignments for a shell. Where the file
 * leaves the image, the disk and the user to Setup's pages it says "REHEARSAL-ASKS" with status 3, unless a person has
 * said them. What it judges by is what the vendor documents and what is known of Setup, not what the program under test
 * does.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "unattend.h"

#define SETUP "windowsPE/Microsoft-Windows-Setup"
#define SHELL "oobeSystem/Microsoft-Windows-Shell-Setup"
#define DISKS 16
#define FIRST_WINDOWS_11 22000
/* What Windows 11 asks of a machine, by what the system in it sees: firmware has taken its part of the memory. */
#define WINDOWS_11_MEMORY 4096
#define WINDOWS_11_DISK 61440
#define PASSWORD_BYTES 512

struct machine {
    const char *language;
    unsigned memory, disks[DISKS], disk_count;
    bool tpm, secure_boot;
    unsigned chosen_image, chosen_disk; /* by a person */
    const char *person;                 /* NULL: nobody is there */
};

/* The vendor's published keys that install without activating: defaults of retail media, and KMS clients' keys. */
static const struct generic_key {
    const char *key, *edition;
    unsigned first, last; /* builds */
} generic_keys[] = {
    {"YTMG3-N6DKC-DKB77-7M9GH-8HVX7", "Core", 10240, 99999},
    {"TX9XD-98N7V-6WMQ6-BX7FG-H8Q99", "Core", 10240, 99999},
    {"VK7JG-NPHTM-C97JM-9MPGT-3V66T", "Professional", 10240, 99999},
    {"W269N-WFGWX-YVC9B-4J6C9-T83GX", "Professional", 10240, 99999},
    {"YNMGQ-8RYV3-4PGQ3-C8XTP-7CFBY", "Education", 10240, 99999},
    {"NW6C2-QMPVW-D7KKK-3GKT6-VCFB2", "Education", 10240, 99999},
    {"NPPR9-FWDCX-D2C8J-H872K-2YT43", "Enterprise", 10240, 99999},
    {"M7XTQ-FN8P6-TTKYV-9D4CC-J462D", "EnterpriseS", 17763, 99999},
    {"DCPHK-NFMTC-H88MJ-PFHPY-QJ4BJ", "EnterpriseS", 14393, 17762},
    {"WNMTR-4C88C-JK8YV-HQ7T2-76DF9", "EnterpriseS", 10240, 14392},
    {"CGK42-GYN6Y-VD22B-BX98W-J8JXD", "IoTEnterpriseS", 26100, 99999},
    {"QPM6N-7J2WJ-P88HH-P3YRH-YY74H", "IoTEnterpriseS", 19044, 26099},
    {"WC2BQ-8NRM3-FDDYY-2BFGV-KHKQY", "ServerStandard", 14393, 17762},
    {"CB7KF-BWN84-R7R2Y-793K2-8XDDG", "ServerDatacenter", 14393, 17762},
    {"N69G4-B89J2-4G8F4-WWYCC-J464C", "ServerStandard", 17763, 20347},
    {"WMDGN-G9PQG-XVVXX-R3X43-63DFG", "ServerDatacenter", 17763, 20347},
    {"VDYBN-27WPP-V4HQT-9VMD4-VMK7H", "ServerStandard", 20348, 26099},
    {"WX4NM-KYWYW-QJJR4-XV3QB-6VM33", "ServerDatacenter", 20348, 26099},
    {"TVRH6-WHNXV-R9WG3-9XRFY-MY832", "ServerStandard", 26100, 99999},
    {"D764K-2NDRG-47T6Q-P8T8W-YP6DF", "ServerDatacenter", 26100, 99999},
};
#define GENERIC_KEYS (sizeof generic_keys / sizeof generic_keys[0])

void refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("REHEARSAL-REFUSED: ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    exit(1);
}

static void assign(const char *name, const char *value)
{
    printf("%s='", name);
    for (; *value; value++)
        if (*value == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*value);
    puts("'");
}

static bool is(const char *text, const char *value)
{
    return text && strcmp(text, value) == 0;
}

static unsigned number(const char *text)
{
    return text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* Lists that are run or made in an order have it in full: 1, 2, 3. */
static void check_order(const struct document *answers, const char *list)
{
    unsigned count = count_of(answers, "%s", list);

    for (unsigned wanted = 1; wanted <= count; wanted++) {
        unsigned found = 0;

        for (unsigned n = 1; n <= count; n++)
            found += number(text_of(answers, "%s[%u]/Order", list, n)) == wanted;
        if (found != 1)
            refuse("%s: %u elements have the Order %u", list, found, wanted);
    }
}

/* The text of that step of the order. */
static const char *step(const struct document *answers, const char *list, unsigned order, const char *element)
{
    for (unsigned n = 1; n <= count_of(answers, "%s", list); n++)
        if (number(text_of(answers, "%s[%u]/Order", list, n)) == order)
            return text_of(answers, "%s[%u]/%s", list, n, element);
    return NULL;
}

static void check_languages(const struct document *answers, const struct machine *machine)
{
    static const char *const displayed[] = {
        "windowsPE/Microsoft-Windows-International-Core-WinPE/SetupUILanguage/UILanguage",
        "windowsPE/Microsoft-Windows-International-Core-WinPE/UILanguage",
        "specialize/Microsoft-Windows-International-Core/UILanguage",
        "oobeSystem/Microsoft-Windows-International-Core/UILanguage"};

    for (size_t n = 0; n < sizeof displayed / sizeof displayed[0]; n++) {
        const char *language = text_of(answers, "%s", displayed[n]);

        if (language && strcasecmp(language, machine->language) != 0)
            refuse("%s is %s, but the medium is in %s: Setup stops on the language page", displayed[n], language,
                   machine->language);
    }
}

static unsigned image_by_metadata(const struct document *answers, const struct document *images)
{
    const char *key = text_of(answers, SETUP "/ImageInstall/OSImage/InstallFrom/MetaData[1]/Key");
    const char *value = text_of(answers, SETUP "/ImageInstall/OSImage/InstallFrom/MetaData[1]/Value");
    unsigned count = count_of(images, "WIM/IMAGE");

    if (!key)
        return 0;
    if (count_of(answers, SETUP "/ImageInstall/OSImage/InstallFrom/MetaData") != 1 || !value)
        refuse("InstallFrom has more than one MetaData, or one without a Value");
    for (unsigned n = 1; n <= count; n++) {
        const char *name = is(key, "/IMAGE/INDEX") ? "@INDEX" : "NAME";

        if (is(text_of(images, "WIM/IMAGE[%u]/%s", n, name), value))
            return n;
    }
    refuse("InstallFrom %s %s: install.wim has %u images, none of them that one", key, value, count);
}

/* An edition as keys know it: those of a server are the same with a desktop and without one. */
static bool key_opens(const struct generic_key *key, const struct document *images, unsigned image)
{
    const char *edition = text_of(images, "WIM/IMAGE[%u]/WINDOWS/EDITIONID", image);
    unsigned build = number(text_of(images, "WIM/IMAGE[%u]/WINDOWS/VERSION/BUILD", image));
    size_t length = strlen(key->edition);

    return edition && build >= key->first && build <= key->last && strncmp(edition, key->edition, length) == 0 &&
           (!edition[length] || (strncmp(edition, "Server", 6) == 0 && strcmp(edition + length, "Core") == 0));
}

static unsigned image_by_key(const char *key, const struct document *images)
{
    for (unsigned n = 1; n <= count_of(images, "WIM/IMAGE"); n++)
        for (size_t k = 0; k < GENERIC_KEYS; k++)
            if (strcmp(generic_keys[k].key, key) == 0 && key_opens(&generic_keys[k], images, n))
                return n;
    return 0;
}

static bool is_generic(const char *key)
{
    for (size_t n = 0; n < GENERIC_KEYS; n++)
        if (strcmp(generic_keys[n].key, key) == 0)
            return true;
    return false;
}

static bool key_fits(const char *key, const struct document *images, unsigned image)
{
    for (size_t n = 0; n < GENERIC_KEYS; n++)
        if (strcmp(generic_keys[n].key, key) == 0 && key_opens(&generic_keys[n], images, image))
            return true;
    return false;
}

static bool is_evaluation(const struct document *images, unsigned image)
{
    const char *edition = text_of(images, "WIM/IMAGE[%u]/WINDOWS/EDITIONID", image);

    return edition && strstr(edition, "Eval");
}

/* The image that is meant, from 1. */
static unsigned choose_image(const struct document *answers, const struct document *images)
{
    const char *key = text_of(answers, SETUP "/UserData/ProductKey/Key");
    unsigned image = image_by_metadata(answers, images);

    if (key && !is_generic(key))
        refuse("ProductKey %.5s-...: none of the generic keys", key);
    if (!image && key)
        image = image_by_key(key, images);
    if (!image && !key && count_of(images, "WIM/IMAGE") == 1)
        image = 1;
    if (!image)
        refuse("install.wim has %u images, and %s: Setup asks which one", count_of(images, "WIM/IMAGE"),
               key ? "the key is of none of them" : "neither a key nor InstallFrom says which");
    if (is_evaluation(images, image) ? key != NULL : !key)
        refuse(key ? "an evaluation takes no product key" : "no product key: Setup asks for one");
    if (key && !key_fits(key, images, image))
        refuse("ProductKey %.5s-... is not of image %u (%s), which InstallFrom names", key, image,
               text_of(images, "WIM/IMAGE[%u]/WINDOWS/EDITIONID", image));
    if (!is(text_of(images, "WIM/IMAGE[%u]/WINDOWS/ARCH", image), "9"))
        refuse("image %u is not for amd64", image);
    return image;
}

/* "TYPE MIB FORMAT LABEL" a line, with - for what is not said. */
static void choose_partitions(const struct document *answers, const struct machine *machine, unsigned disk)
{
    static const char create[] = SETUP "/DiskConfiguration/Disk[1]/CreatePartitions/CreatePartition";
    static const char modify[] = SETUP "/DiskConfiguration/Disk[1]/ModifyPartitions/ModifyPartition";
    unsigned count = count_of(answers, create), total = 2, fat = 0;
    const char *target = text_of(answers, SETUP "/ImageInstall/OSImage/InstallTo/PartitionID");
    char table[2048] = "";
    bool windows = false;

    check_order(answers, create);
    check_order(answers, modify);
    for (unsigned n = 1; n <= count_of(answers, modify); n++)
        if (number(text_of(answers, "%s[%u]/PartitionID", modify, n)) > count)
            refuse("%s[%u]: there is no such partition", modify, n);
    for (unsigned n = 1; n <= count; n++) {
        const char *type = step(answers, create, n, "Type"), *size = step(answers, create, n, "Size"), *format = NULL,
                   *label = NULL;
        bool extends = is(step(answers, create, n, "Extend"), "true");

        for (unsigned m = 1; m <= count_of(answers, modify); m++)
            if (number(text_of(answers, "%s[%u]/PartitionID", modify, m)) == n) {
                format = text_of(answers, "%s[%u]/Format", modify, m);
                label = text_of(answers, "%s[%u]/Label", modify, m);
            }
        if (!type || !size != extends || (extends && n != count))
            refuse("partition %u: has no Type, or not one of Size and Extend, or extends before the last", n);
        if ((is(type, "MSR") && format) || (is(type, "EFI") && !is(format, "FAT32")))
            refuse("partition %u: %s with the format %s", n, type, format ? format : "none");
        fat += is(type, "EFI");
        windows |= n == number(target) && is(type, "Primary") && is(format, "NTFS");
        total += number(size);
        snprintf(table + strlen(table), sizeof table - strlen(table), "%s %s %s %s\n", type, size ? size : "-",
                 format ? format : "-", label ? label : "-");
    }
    if (fat != 1 || !windows)
        refuse("InstallTo partition %s: UEFI needs one EFI partition in FAT32, and Windows one in NTFS", target);
    if (total >= machine->disks[disk])
        refuse("the partitions have %u MiB, and disk %u only %u", total, disk, machine->disks[disk]);
    assign("PARTITIONS", table);
    assign("WINDOWS_PARTITION", target);
}

static void choose_disk(const struct document *answers, const struct machine *machine)
{
    unsigned disk = number(text_of(answers, SETUP "/DiskConfiguration/Disk[1]/DiskID"));

    if (count_of(answers, SETUP "/DiskConfiguration/Disk") != 1)
        refuse("DiskConfiguration has more than one Disk");
    if (disk >= machine->disk_count)
        refuse("DiskID %u: Setup sees %u disks: it asks where to install, or for a driver", disk, machine->disk_count);
    if (number(text_of(answers, SETUP "/ImageInstall/OSImage/InstallTo/DiskID")) != disk)
        refuse("InstallTo names another disk than DiskConfiguration");
    if (!is(text_of(answers, SETUP "/DiskConfiguration/Disk[1]/WillWipeDisk"), "true"))
        refuse("WillWipeDisk is not true, but partitions are made anew");
    printf("DISK=%u\n", disk);
    choose_partitions(answers, machine, disk);
}

/* Does the command set that value to 1? Written as reg.exe takes it, nothing else. */
static bool sets(const char *command, const char *key, const char *name)
{
    char wanted[300], unquoted[300];

    snprintf(wanted, sizeof wanted, "reg.exe add \"%s\" /v %s /t REG_DWORD /d 1 /f", key, name);
    snprintf(unquoted, sizeof unquoted, "reg add %s /v %s /t REG_DWORD /d 1 /f", key, name);
    return strcasecmp(command, wanted) == 0 || strcasecmp(command, unquoted) == 0;
}

static void check_waived(const struct document *answers, const char *check, const char *why)
{
    static const char list[] = SETUP "/RunSynchronous/RunSynchronousCommand";

    for (unsigned n = 1; n <= count_of(answers, list); n++) {
        const char *command = text_of(answers, "%s[%u]/Path", list, n);

        if (command && sets(command, "HKLM\\SYSTEM\\Setup\\LabConfig", check))
            return;
    }
    refuse("Windows 11 %s, and no command sets LabConfig %s: \"This PC can't run Windows 11\"", why, check);
}

static void check_requirements(const struct document *answers, const struct document *images, unsigned image,
                               const struct machine *machine, unsigned disk)
{
    if (number(text_of(images, "WIM/IMAGE[%u]/WINDOWS/VERSION/BUILD", image)) < FIRST_WINDOWS_11 ||
        !is(text_of(images, "WIM/IMAGE[%u]/WINDOWS/INSTALLATIONTYPE", image), "Client"))
        return;
    if (!machine->tpm)
        check_waived(answers, "BypassTPMCheck", "finds no TPM 2.0");
    if (!machine->secure_boot)
        check_waived(answers, "BypassSecureBootCheck", "finds firmware without Secure Boot");
    if (machine->memory < WINDOWS_11_MEMORY)
        check_waived(answers, "BypassRAMCheck", "finds less than 4 GiB of memory");
    if (machine->disks[disk] < WINDOWS_11_DISK)
        check_waived(answers, "BypassStorageCheck", "finds a disk of less than 60 GiB");
}

/* Programs that WinPE has, or a system in the middle of its setup. */
static void check_commands(const struct document *answers, const char *list, const char *element)
{
    static const char *const programs[] = {"reg.exe",        "reg",        "cmd.exe", "cmd", "net.exe",
                                           "powershell.exe", "wpeutil.exe"};
    unsigned count = count_of(answers, "%s", list);

    check_order(answers, list);
    for (unsigned order = 1; order <= count; order++) {
        const char *command = step(answers, list, order, element);
        size_t length = command ? strcspn(command, " ") : 0;
        bool known = false;

        for (size_t n = 0; n < sizeof programs / sizeof programs[0]; n++)
            known |= length == strlen(programs[n]) && strncasecmp(command, programs[n], length) == 0;
        if (!known)
            refuse("%s: the command of Order %u is no program that is there: %s", list, order,
                   command ? command : "none");
    }
}

static int base64_value(char sign)
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = sign ? strchr(signs, sign) : NULL;

    return at ? (int)(at - signs) : -1;
}

static size_t decode_base64(const char *text, unsigned char *bytes, const char *path)
{
    size_t length = strlen(text), used = 0;

    if (!length || length % 4 || length / 4 * 3 > PASSWORD_BYTES)
        refuse("%s: no base64", path);
    for (size_t n = 0; n < length; n += 4) {
        int values[4], padding = (text[n + 2] == '=') + (text[n + 3] == '=');

        for (int i = 0; i < 4; i++)
            values[i] = i >= 4 - padding ? 0 : base64_value(text[n + (size_t)i]);
        if (values[0] < 0 || values[1] < 0 || values[2] < 0 || values[3] < 0 || (padding && n + 4 < length) ||
            (text[n + 2] == '=' && text[n + 3] != '='))
            refuse("%s: no base64", path);
        bytes[used++] = (unsigned char)(values[0] << 2 | values[1] >> 4);
        bytes[used++] = (unsigned char)(values[1] << 4 | values[2] >> 2);
        bytes[used++] = (unsigned char)(values[2] << 6 | values[3]);
        used -= (size_t)padding;
    }
    return used;
}

/* The units of a password as Windows encodes them: UTF-16LE that ends with the element's name. */
static size_t decode_password(const struct document *answers, const char *path, const char *element,
                              unsigned char *bytes)
{
    const char *value = text_of(answers, "%s/%s/Value", path, element);
    size_t tail = strlen(element), size;

    if (!value || !is(text_of(answers, "%s/%s/PlainText", path, element), "false"))
        refuse("%s/%s: no Value, or PlainText is not false", path, element);
    size = decode_base64(value, bytes, path);
    if (size % 2 || size / 2 < tail)
        refuse("%s/%s: does not decode to a password", path, element);
    for (size_t n = 0; n < tail; n++)
        if (bytes[size - 2 * (tail - n)] != (unsigned char)element[n] || bytes[size - 2 * (tail - n) + 1])
            refuse("%s/%s: does not end with the element's name", path, element);
    return size - 2 * tail;
}

/* In a domain a name without one is looked for there, and the account is the computer's. */
static void check_logon_domain(const struct document *answers)
{
    const char *domain = text_of(answers, SHELL "/AutoLogon/Domain");
    bool joins = text_of(answers, "specialize/Microsoft-Windows-UnattendedJoin/Identification/JoinDomain") != NULL;

    if (domain ? !is(domain, ".") : joins)
        refuse("AutoLogon: the user is looked for in %s, and the account is the computer's",
               domain ? domain : "the domain that is joined");
}

static void choose_user(const struct document *answers)
{
    static const char accounts[] = SHELL "/UserAccounts/LocalAccounts/LocalAccount";
    const char *logon = text_of(answers, SHELL "/AutoLogon/Username");
    unsigned char password[PASSWORD_BYTES], other[PASSWORD_BYTES];
    bool automatic = is(text_of(answers, SHELL "/AutoLogon/Enabled"), "true"), found = false;
    size_t size, other_size = 0;

    decode_password(answers, SHELL "/UserAccounts", "AdministratorPassword", password);
    if (automatic)
        other_size = decode_password(answers, SHELL "/AutoLogon", "Password", other);
    for (unsigned n = 1; n <= count_of(answers, accounts); n++) {
        char path[256];
        const char *name = text_of(answers, "%s[%u]/Name", accounts, n);

        snprintf(path, sizeof path, "%s[%u]", accounts, n);
        size = decode_password(answers, path, "Password", password);
        if (!name || !text_of(answers, "%s/Group", path))
            refuse("%s: has no name or group", path);
        if (automatic && logon && strcasecmp(name, logon) == 0)
            found = size == other_size && memcmp(password, other, size) == 0;
    }
    if (automatic && (!found || !text_of(answers, SHELL "/AutoLogon/LogonCount")))
        refuse("AutoLogon: no account of that name and password, or no LogonCount");
    if (automatic)
        check_logon_domain(answers);
    if (is(text_of(answers, "specialize/Microsoft-Windows-Shell-Setup/ComputerName"),
           text_of(answers, "%s[1]/Name", accounts)))
        refuse("the user's name is the computer's");
    assign("ACCOUNT", text_of(answers, "%s[1]/Name", accounts));
    assign("AUTOLOGON", automatic ? "1" : "");
}

static void check_pages(const struct document *answers)
{
    static const char *const hidden[] = {"HideEULAPage", "HideOnlineAccountScreens"};

    if (!is(text_of(answers, SETUP "/UserData/AcceptEula"), "true"))
        refuse("AcceptEula is not true: Setup shows the licence");
    for (size_t n = 0; n < sizeof hidden / sizeof hidden[0]; n++)
        if (!is(text_of(answers, SHELL "/OOBE/%s", hidden[n]), "true"))
            refuse("OOBE %s is not true: the new system asks", hidden[n]);
}

/* The port is open to others if connections are allowed and the firewall lets them through. */
static bool has_remote_desktop(const struct document *answers)
{
    static const char groups[] = "specialize/Networking-MPSSVC-Svc/FirewallGroups/FirewallGroup";
    bool passes = false;

    for (unsigned n = 1; n <= count_of(answers, groups); n++)
        passes |= is(text_of(answers, "%s[%u]/Group", groups, n), "@FirewallAPI.dll,-28752") &&
                  is(text_of(answers, "%s[%u]/Active", groups, n), "true");
    return passes && is(text_of(answers, "specialize/Microsoft-Windows-TerminalServices-LocalSessionManager/"
                                         "fDenyTSConnections"),
                        "false");
}

static void say_plan(const struct document *answers, const struct document *images, unsigned image)
{
    const char *computer = text_of(answers, "specialize/Microsoft-Windows-Shell-Setup/ComputerName");
    const char *command = step(answers, SHELL "/FirstLogonCommands/SynchronousCommand", 1, "CommandLine");

    printf("IMAGE=%u\n", image);
    assign("EDITION", text_of(images, "WIM/IMAGE[%u]/WINDOWS/EDITIONID", image));
    assign("COMPUTER", computer ? computer : "*");
    assign("CONFIGURATION_SET", is(text_of(answers, SETUP "/UseConfigurationSet"), "true") ? "1" : "");
    assign("REMOTE_DESKTOP", has_remote_desktop(answers) ? "1" : "");
    if (count_of(answers, SHELL "/FirstLogonCommands/SynchronousCommand") > 1)
        refuse("FirstLogonCommands has more than one, which this player does not know");
    assign("LOGON_COMMAND", command ? command : "");
}

static bool leaves_all_to_setup(const struct document *answers)
{
    static const char *const said[] = {SETUP "/ImageInstall/", SETUP "/DiskConfiguration/", SETUP "/UserData/",
                                       "oobeSystem/"};

    for (size_t n = 0; n < answers->count; n++)
        for (size_t s = 0; s < sizeof said / sizeof said[0]; s++)
            if (strncmp(answers->elements[n].path, said[s], strlen(said[s])) == 0)
                return false;
    return true;
}

/* The layout is the one that Setup makes on an empty disk; nobody logs on by himself, and no key is asked for. */
static void plan_by_hand(const struct document *answers, const struct document *images, const struct machine *machine)
{
    unsigned image = machine->chosen_image, disk = machine->chosen_disk;

    if (!image || image > count_of(images, "WIM/IMAGE") || disk >= machine->disk_count)
        refuse("the person has chosen image %u of %u, and disk %u of %u", image, count_of(images, "WIM/IMAGE"), disk,
               machine->disk_count);
    check_schema(answers, false);
    check_languages(answers, machine);
    check_commands(answers, SETUP "/RunSynchronous/RunSynchronousCommand", "Path");
    check_requirements(answers, images, image, machine, disk);
    printf("DISK=%u\n", disk);
    assign("PARTITIONS", "EFI 100 FAT32 SYSTEM\nMSR 16 - -\nPrimary - NTFS Windows\n");
    assign("WINDOWS_PARTITION", "3");
    assign("ACCOUNT", machine->person);
    assign("AUTOLOGON", "");
    say_plan(answers, images, image);
}

static void read_machine(struct machine *machine, int argc, char **argv)
{
    machine->language = argv[3];
    machine->memory = number(argv[4]);
    for (int n = 5; n < argc; n++) {
        if (is(argv[n], "tpm"))
            machine->tpm = true;
        else if (is(argv[n], "secure-boot"))
            machine->secure_boot = true;
        else if (is(argv[n], "person") && n + 4 == argc) {
            machine->chosen_image = number(argv[n + 1]);
            machine->chosen_disk = number(argv[n + 2]);
            machine->person = argv[n + 3];
            return;
        } else if (isdigit((unsigned char)*argv[n]) && machine->disk_count < DISKS)
            machine->disks[machine->disk_count++] = number(argv[n]);
        else
            refuse("unknown word %s", argv[n]);
    }
}

static void plan_by_answers(const struct document *answers, const struct document *images,
                            const struct machine *machine)
{
    unsigned image;

    check_schema(answers, true);
    check_pages(answers);
    check_languages(answers, machine);
    image = choose_image(answers, images);
    check_commands(answers, SETUP "/RunSynchronous/RunSynchronousCommand", "Path");
    check_commands(answers, "specialize/Microsoft-Windows-Deployment/RunSynchronous/RunSynchronousCommand", "Path");
    check_commands(answers, SHELL "/FirstLogonCommands/SynchronousCommand", "CommandLine");
    choose_disk(answers, machine);
    check_requirements(answers, images, image, machine,
                       number(text_of(answers, SETUP "/DiskConfiguration/Disk[1]/DiskID")));
    choose_user(answers);
    say_plan(answers, images, image);
}

int main(int argc, char **argv)
{
    struct document answers = {0}, images = {0};
    struct machine machine = {0};
    int status = 0;

    if (argc < 5) {
        fputs("usage: unattend ANSWERS IMAGES LANGUAGE MEMORY [tpm] [secure-boot] [DISK...] [person IMAGE DISK NAME]\n",
              stderr);
        return 2;
    }
    read_machine(&machine, argc, argv);
    read_answers(argv[1], &answers);
    read_description(argv[2], &images);
    if (!leaves_all_to_setup(&answers)) {
        plan_by_answers(&answers, &images, &machine);
    } else if (machine.person) {
        plan_by_hand(&answers, &images, &machine);
    } else {
        puts("REHEARSAL-ASKS");
        status = 3;
    }
    destroy_document(&answers);
    destroy_document(&images);
    return status;
}
