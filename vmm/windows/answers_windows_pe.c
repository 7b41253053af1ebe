/* The answer file's passes that run before the new system does: windowsPE, offlineServicing, generalize. */
#include <ctype.h>
#include <stdio.h>

#include "answers_private.h"
#include "casement/bytes.h"

#define WINDOWS_PARTITION 3
/* Setup asks for 4 GiB, and firmware and its tables take some of what the machine has. */
#define WINDOWS_11_MEMORY (4 * GiB + 256 * MiB)
#define WINDOWS_11_DISK (64 * GiB)

static void international(struct xml *xml, const struct answer_plan *plan)
{
    answers_component(xml, "Microsoft-Windows-International-Core-WinPE");
    xml_open(xml, "SetupUILanguage");
    xml_element(xml, "UILanguage", plan->language);
    xml_close(xml);
    answers_locales(xml, plan);
    xml_close(xml);
}

/* FAT32 needs 260 MiB where a sector has 4 KiB. */
static void partitions(struct xml *xml)
{
    static const struct {
        const char *type, *size; /* MiB; NULL: the rest */
        const char *format, *label, *letter;
    } all[] = {{"EFI", "260", "FAT32", "System", NULL},
               {"MSR", "128", NULL, NULL, NULL},
               [WINDOWS_PARTITION - 1] = {"Primary", NULL, "NTFS", "Windows", "C"}};
    unsigned order = 0;

    xml_open(xml, "CreatePartitions");
    for (unsigned n = 0; n < ARRAY_SIZE(all); n++) {
        answers_item(xml, "CreatePartition");
        xml_number(xml, "Order", n + 1);
        xml_element(xml, "Type", all[n].type);
        xml_element(xml, all[n].size ? "Size" : "Extend", all[n].size ? all[n].size : "true");
        xml_close(xml);
    }
    xml_close(xml);
    xml_open(xml, "ModifyPartitions");
    for (unsigned n = 0; n < ARRAY_SIZE(all); n++) {
        if (!all[n].format)
            continue;
        answers_item(xml, "ModifyPartition");
        xml_number(xml, "Order", ++order);
        xml_number(xml, "PartitionID", n + 1);
        xml_element(xml, "Format", all[n].format);
        xml_element(xml, "Label", all[n].label);
        if (all[n].letter)
            xml_element(xml, "Letter", all[n].letter);
        xml_close(xml);
    }
    xml_close(xml);
}

/* What fails is shown, so that someone at the screen can mend it. */
static void show_errors(struct xml *xml)
{
    xml_element(xml, "WillShowUI", "OnError");
}

static void disk(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "DiskConfiguration");
    answers_item(xml, "Disk");
    xml_number(xml, "DiskID", plan->answers->disk);
    xml_element(xml, "WillWipeDisk", "true");
    partitions(xml);
    xml_close(xml);
    show_errors(xml);
    xml_close(xml);
}

/*
 * The image is always named, by its index: names are not what they should be on every medium, a key chooses only among
 * editions (not between a server with a desktop and one without), and evaluations have no key. Where a generic key is
 * given too, it is that of the same image, so the two agree.
 */
static void image_install(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "ImageInstall");
    xml_open(xml, "OSImage");
    xml_open(xml, "InstallFrom");
    answers_item(xml, "MetaData");
    xml_element(xml, "Key", "/IMAGE/INDEX");
    xml_number(xml, "Value", plan->image->index);
    xml_close(xml);
    xml_close(xml);
    xml_open(xml, "InstallTo");
    xml_number(xml, "DiskID", plan->answers->disk);
    xml_number(xml, "PartitionID", WINDOWS_PARTITION);
    xml_close(xml);
    xml_element(xml, "InstallToAvailablePartition", "false");
    show_errors(xml);
    xml_close(xml);
    xml_close(xml);
}

/* A blank key would make Setup ask for one. */
static void product_key(struct xml *xml, const struct answer_plan *plan)
{
    const char *key = answers_setup_key(plan->answers, plan->image);
    char large[sizeof "VK7JG-NPHTM-C97JM-9MPGT-3V66T"] = "";

    if (!key)
        return;
    for (size_t n = 0; n < sizeof large - 1 && key[n]; n++)
        large[n] = (char)toupper((unsigned char)key[n]);
    xml_open(xml, "ProductKey");
    xml_element(xml, "Key", large);
    show_errors(xml);
    xml_close(xml);
}

static void user_data(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "UserData");
    product_key(xml, plan);
    xml_element(xml, "AcceptEula", "true");
    xml_element(xml, "FullName", plan->user);
    xml_element(xml, "Organization", "Casement");
    xml_close(xml);
}

static void network_and_upgrade(struct xml *xml)
{
    xml_open(xml, "DynamicUpdate");
    xml_element(xml, "Enable", "false");
    xml_element(xml, "WillShowUI", "Never");
    xml_close(xml);
    xml_open(xml, "UpgradeData");
    xml_element(xml, "Upgrade", "false");
    xml_element(xml, "WillShowUI", "Never");
    xml_close(xml);
    xml_open(xml, "Diagnostics");
    xml_element(xml, "OptIn", "false");
    xml_close(xml);
    xml_element(xml, "EnableFirewall", "false");
}

/*
 * Only Windows 11 checks the machine. Its list of processors is never looked at: the guest's may be any that the host
 * has, and nobody can change it.
 */
static void waive_checks(struct xml *xml, const struct answer_plan *plan)
{
    const struct answers *answers = plan->answers;
    const struct {
        const char *name;
        bool passed;
    } checks[] = {{"BypassTPMCheck", answers->tpm},
                  {"BypassSecureBootCheck", answers->secure_boot},
                  {"BypassRAMCheck", answers->memory >= WINDOWS_11_MEMORY},
                  {"BypassCPUCheck", false},
                  {"BypassStorageCheck", answers->disk_size >= WINDOWS_11_DISK}};
    unsigned order = 0;

    if (!plan->windows11)
        return;
    xml_open(xml, "RunSynchronous");
    for (unsigned n = 0; n < ARRAY_SIZE(checks); n++)
        if (!checks[n].passed)
            answers_run_registry(xml, &order, "HKLM\\SYSTEM\\Setup\\LabConfig", checks[n].name, 1);
    answers_run_registry(xml, &order, "HKLM\\SYSTEM\\Setup\\MoSetup", "AllowUpgradesWithUnsupportedTPMOrCPU", 1);
    xml_close(xml);
}

static void all_questions(struct xml *xml, const struct answer_plan *plan)
{
    disk(xml, plan);
    image_install(xml, plan);
    user_data(xml, plan);
    network_and_upgrade(xml);
}

void answers_windows_pe(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "settings");
    xml_attribute(xml, "pass", "windowsPE");
    if (!plan->answers->manual)
        international(xml, plan);
    answers_component(xml, "Microsoft-Windows-Setup");
    if (!plan->answers->manual)
        all_questions(xml, plan);
    waive_checks(xml, plan);
    /* Setup copies $OEM$ from the answer file's medium and takes $WinPEDriver$ there. */
    xml_element(xml, "UseConfigurationSet", "true");
    xml_close(xml);
    xml_close(xml);
}

void answers_offline(struct xml *xml)
{
    xml_open(xml, "settings");
    xml_attribute(xml, "pass", "offlineServicing");
    answers_setting(xml, "Microsoft-Windows-LUA-Settings", "EnableLUA", "false");
    xml_close(xml);
    xml_open(xml, "settings");
    xml_attribute(xml, "pass", "generalize");
    answers_setting(xml, "Microsoft-Windows-PnpSysprep", "PersistAllDeviceInstalls", "true");
    answers_setting(xml, "Microsoft-Windows-Security-SPP", "SkipRearm", "1");
    xml_close(xml);
}
