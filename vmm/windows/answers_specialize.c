/* The answer file's pass that makes the installed system this machine's: specialize. */
#include <stdio.h>

#include "answers_private.h"
#include "casement/bytes.h"

#define DEFAULT_USER "HKU\\casement" /* where the hive that new users get is loaded */

static void shell(struct xml *xml, const struct answer_plan *plan)
{
    answers_component(xml, "Microsoft-Windows-Shell-Setup");
    xml_element(xml, "ComputerName", plan->answers->computer ? plan->answers->computer : "*");
    xml_open(xml, "OEMInformation");
    xml_element(xml, "Manufacturer", "Casement");
    xml_element(xml, "Model", "Virtual machine");
    xml_close(xml);
    if (*plan->time_zone)
        xml_element(xml, "TimeZone", plan->time_zone);
    xml_close(xml);
}

static void browser(struct xml *xml, const char *architecture)
{
    answers_component_of(xml, "Microsoft-Windows-IE-InternetExplorer", architecture);
    xml_element(xml, "DisableFirstRunWizard", "true");
    xml_close(xml);
}

static void quiet(struct xml *xml)
{
    answers_setting(xml, "Microsoft-Windows-Security-SPP-UX", "SkipAutoActivation", "true");
    answers_setting(xml, "Microsoft-Windows-ErrorReportingCore", "DisableWER", "1");
    answers_setting(xml, "Microsoft-Windows-SQMApi", "CEIPEnabled", "0");
    answers_setting(xml, "Microsoft-Windows-SystemRestore-Main", "DisableSR", "1");
    browser(xml, "amd64");
    browser(xml, "wow64");
}

/* Advertisements and apps that come by themselves, for every user to be. */
static void no_suggestions(struct xml *xml, unsigned *order)
{
    static const char *const delivery[] = {"ContentDeliveryAllowed",
                                           "FeatureManagementEnabled",
                                           "OemPreInstalledAppsEnabled",
                                           "PreInstalledAppsEnabled",
                                           "PreInstalledAppsEverEnabled",
                                           "SilentInstalledAppsEnabled",
                                           "SoftLandingEnabled",
                                           "SubscribedContentEnabled",
                                           "SubscribedContent-310093Enabled",
                                           "SubscribedContent-338387Enabled",
                                           "SubscribedContent-338388Enabled",
                                           "SubscribedContent-338389Enabled",
                                           "SubscribedContent-338393Enabled",
                                           "SubscribedContent-353698Enabled",
                                           "SystemPaneSuggestionsEnabled"};
    static const char *const policies[] = {"DisableWindowsConsumerFeatures", "DisableSoftLanding",
                                           "DisableCloudOptimizedContent", "DisableConsumerAccountStateContent"};

    answers_run(xml, order, "reg.exe load " DEFAULT_USER " C:\\Users\\Default\\NTUSER.DAT");
    for (unsigned n = 0; n < ARRAY_SIZE(delivery); n++)
        answers_run_registry(xml, order,
                             DEFAULT_USER "\\Software\\Microsoft\\Windows\\CurrentVersion\\ContentDeliveryManager",
                             delivery[n], 0);
    answers_run_registry(xml, order, DEFAULT_USER "\\Software\\Policies\\Microsoft\\Windows\\CloudContent",
                         "DisableWindowsConsumerFeatures", 1);
    answers_run(xml, order, "reg.exe unload " DEFAULT_USER);
    for (unsigned n = 0; n < ARRAY_SIZE(policies); n++)
        answers_run_registry(xml, order, "HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\CloudContent", policies[n], 1);
}

static void deployment(struct xml *xml, const struct answer_plan *plan)
{
    unsigned order = 0;

    answers_component(xml, "Microsoft-Windows-Deployment");
    xml_open(xml, "RunSynchronous");
    if (!plan->server) {
        answers_run_registry(xml, &order, "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\OOBE", "BypassNRO", 1);
        no_suggestions(xml, &order);
    }
    /* A hypervisor that cannot run is away before the next start. dism.exe ends with 3010 when a restart is wanted. */
    if (plan->hyperv && !plan->answers->nested)
        answers_run(xml, &order,
                    "cmd.exe /d /c \"dism.exe /online /disable-feature /featurename:Microsoft-Hyper-V /norestart & "
                    "exit 0\"");
    /* Private, else the firewall keeps services from the machine's own network. */
    answers_run_registry(
        xml, &order,
        "HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\CurrentVersion\\NetworkList\\Signatures\\FirstNetwork",
        "Category", 1);
    xml_close(xml);
    xml_close(xml);
}

static void remote_desktop(struct xml *xml)
{
    answers_setting(xml, "Microsoft-Windows-TerminalServices-LocalSessionManager", "fDenyTSConnections", "false");
    answers_setting(xml, "Microsoft-Windows-TerminalServices-RDP-WinStationExtensions", "UserAuthentication", "0");
    answers_component(xml, "Networking-MPSSVC-Svc");
    xml_open(xml, "FirewallGroups");
    answers_item(xml, "FirewallGroup");
    xml_attribute(xml, "wcm:keyValue", "RemoteDesktop");
    xml_element(xml, "Active", "true");
    xml_element(xml, "Group", "@FirewallAPI.dll,-28752");
    xml_element(xml, "Profile", "all");
    xml_close(xml);
    xml_close(xml);
    xml_close(xml);
}

static void join(struct xml *xml, const struct answers *answers)
{
    if (!answers->domain && !answers->workgroup)
        return;
    answers_component(xml, "Microsoft-Windows-UnattendedJoin");
    xml_open(xml, "Identification");
    if (answers->workgroup) {
        xml_element(xml, "JoinWorkgroup", answers->workgroup);
    } else {
        xml_open(xml, "Credentials");
        xml_element(xml, "Domain", answers->domain);
        xml_element(xml, "Password", answers->domain_password);
        xml_element(xml, "Username", answers->domain_user);
        xml_close(xml);
        xml_element(xml, "JoinDomain", answers->domain);
        if (answers->domain_ou)
            xml_element(xml, "MachineObjectOU", answers->domain_ou);
    }
    xml_close(xml);
    xml_close(xml);
}

void answers_specialize(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "settings");
    xml_attribute(xml, "pass", "specialize");
    shell(xml, plan);
    quiet(xml);
    answers_international(xml, plan);
    deployment(xml, plan);
    remote_desktop(xml);
    join(xml, plan->answers);
    xml_close(xml);
}
