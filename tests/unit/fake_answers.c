/* See fake_answers.h. */
#include <stdio.h>
#include <string.h>

#include "casement/bytes.h"
#include "fake_answers.h"

#define CLIENT_IMAGE(system, build, edition, evaluation, key) \
    {                                                         \
        system, build, edition, "Client", evaluation, key     \
    }

const struct fake_target fake_targets[FAKE_TARGETS] = {
    CLIENT_IMAGE(W10, 19045, "Core", false, "YTMG3-N6DKC-DKB77-7M9GH-8HVX7"),
    CLIENT_IMAGE(W10, 19045, "Professional", false, "VK7JG-NPHTM-C97JM-9MPGT-3V66T"),
    CLIENT_IMAGE(W10, 19045, "Education", false, "YNMGQ-8RYV3-4PGQ3-C8XTP-7CFBY"),
    CLIENT_IMAGE(W10, 19045, "Enterprise", false, "NPPR9-FWDCX-D2C8J-H872K-2YT43"),
    CLIENT_IMAGE(W10, 19045, "EnterpriseEval", true, NULL),
    CLIENT_IMAGE(W10, 10240, "EnterpriseS", false, "WNMTR-4C88C-JK8YV-HQ7T2-76DF9"),
    CLIENT_IMAGE(W10, 14393, "EnterpriseS", false, "DCPHK-NFMTC-H88MJ-PFHPY-QJ4BJ"),
    CLIENT_IMAGE(W10, 10240, "EnterpriseSN", false, "2F77B-TNFGY-69QQF-B8YKP-D69TJ"),
    CLIENT_IMAGE(W10, 14393, "EnterpriseSN", false, "QFFDN-GRT3P-VKWWX-X7T3R-8B639"),
    CLIENT_IMAGE(W10, 17763, "EnterpriseSN", false, "92NFX-8DJQP-P6BBQ-THF9C-7CG2H"),
    CLIENT_IMAGE(W10, 17763, "IoTEnterpriseS", false, NULL),
    CLIENT_IMAGE(W10, 19044, "EnterpriseS", false, "M7XTQ-FN8P6-TTKYV-9D4CC-J462D"),
    CLIENT_IMAGE(W10, 19044, "EnterpriseSEval", true, NULL),
    CLIENT_IMAGE(W10, 19044, "IoTEnterpriseS", false, "QPM6N-7J2WJ-P88HH-P3YRH-YY74H"),
    CLIENT_IMAGE(W11, 22000, "Professional", false, "VK7JG-NPHTM-C97JM-9MPGT-3V66T"),
    CLIENT_IMAGE(W11, 26200, "Core", false, "YTMG3-N6DKC-DKB77-7M9GH-8HVX7"),
    CLIENT_IMAGE(W11, 26200, "Professional", false, "VK7JG-NPHTM-C97JM-9MPGT-3V66T"),
    CLIENT_IMAGE(W11, 26200, "Education", false, "YNMGQ-8RYV3-4PGQ3-C8XTP-7CFBY"),
    CLIENT_IMAGE(W11, 26200, "Enterprise", false, "NPPR9-FWDCX-D2C8J-H872K-2YT43"),
    CLIENT_IMAGE(W11, 26200, "EnterpriseEval", true, NULL),
    CLIENT_IMAGE(W11, 26100, "EnterpriseS", false, "M7XTQ-FN8P6-TTKYV-9D4CC-J462D"),
    CLIENT_IMAGE(W11, 26100, "EnterpriseSEval", true, NULL),
    CLIENT_IMAGE(W11, 26100, "IoTEnterpriseS", false, "CGK42-GYN6Y-VD22B-BX98W-J8JXD"),
    CLIENT_IMAGE(W11, 26100, "IoTEnterpriseSEval", true, NULL),
    CLIENT_IMAGE(W11, 26100, "NobodyKnowsIt", false, NULL),
    {SERVER, 14393, "ServerStandard", "Server", false, "WC2BQ-8NRM3-FDDYY-2BFGV-KHKQY"},
    {SERVER, 14393, "ServerDatacenterEval", "Server Core", true, NULL},
    {SERVER, 17763, "ServerStandard", "Server", false, "N69G4-B89J2-4G8F4-WWYCC-J464C"},
    {SERVER, 17763, "ServerStandardEval", "Server", true, NULL},
    {SERVER, 17763, "ServerHyperCore", "Server Core", false, NULL},
    {SERVER, 20348, "ServerStandardEval", "Server", true, NULL},
    {SERVER, 20348, "ServerDatacenterEval", "Server Core", true, NULL},
    {SERVER, 20348, "ServerStandard", "Server Core", false, "VDYBN-27WPP-V4HQT-9VMD4-VMK7H"},
    {SERVER, 20348, "ServerDatacenter", "Server", false, "WX4NM-KYWYW-QJJR4-XV3QB-6VM33"},
    {SERVER, 26100, "ServerStandard", "Server", false, "TVRH6-WHNXV-R9WG3-9XRFY-MY832"},
    {SERVER, 26100, "ServerStandardCore", "Server Core", false, "TVRH6-WHNXV-R9WG3-9XRFY-MY832"},
    {SERVER, 26100, "ServerDatacenter", "Server Core", false, "D764K-2NDRG-47T6Q-P8T8W-YP6DF"},
    {SERVER, 26100, "ServerStandardEval", "Server", true, NULL},
};

const struct answers fake_wishes[FAKE_WISHES] = {
    {0},
    {.user = "Anna Meier",
     .password = "geheim \xE2\x82\xAC & <Wort>",
     .region = "german (austria)",
     .keyboard = "0409:00010409",
     .key = FAKE_KEY,
     .computer = "VM-1",
     .workgroup = "HOME",
     .width = 1920,
     .height = 1080,
     .command = "echo 100% > C:\\x.txt & ver",
     .time_zone = "W. Europe Standard Time",
     .shares = 1,
     .has_oem = true,
     .memory = 4 * GiB + 256 * MiB,
     .disk_size = 64 * GiB - 512,
     .disk = 1},
    {.no_autologon = true,
     .domain = "example.com",
     .domain_user = "joiner",
     .domain_password = "join<ME>now",
     .domain_ou = "OU=VMs,DC=example,DC=com",
     .region = "hi",
     .keyboard = "fr-CH",
     .shares = 3,
     .tpm = true,
     .secure_boot = true,
     .memory = 4 * GiB + 256 * MiB - 1,
     .disk_size = 64 * GiB,
     .nested = true,
     .virtio = true},
};

void fake_answers_wish(const struct fake_target *target, size_t wish, struct answers *answers)
{
    *answers = fake_wishes[wish];
    if (target->evaluation || !strcmp(target->edition, "ServerHyperCore"))
        answers->key = NULL;
    if (!strcmp(target->edition, "Core"))
        answers->domain = answers->domain_user = answers->domain_password = answers->domain_ou = NULL;
}

void fake_answers_image(const struct fake_target *target, const char *language, struct medium_image *image)
{
    *image = (struct medium_image){.index = 6,
                                   .architecture = MEDIUM_AMD64,
                                   .major = 10,
                                   .build = target->build,
                                   .evaluation = target->evaluation};
    snprintf(image->edition, sizeof image->edition, "%s", target->edition);
    snprintf(image->installation_type, sizeof image->installation_type, "%s", target->type);
    snprintf(image->language, sizeof image->language, "%s", language);
}
