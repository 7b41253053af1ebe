/* What an image of a medium takes of the wishes, and the key that tells Setup its edition (see answers.h). */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "answers_private.h"
#include "casement/bytes.h"
#include "casement/log.h"

/* Before it, what is sold as IoT LTSC has the other LTSC's images. */
#define BUILD_LTSC_2021 19044

/* Editions without "Eval" and "Core"; the key is right from that build on, and the newest of an edition comes first. */
static const struct generic_key {
    const char *edition;
    unsigned build;
    const char *key;
} generic_keys[] = {
    {"Core", BUILD_WINDOWS_10, "YTMG3-N6DKC-DKB77-7M9GH-8HVX7"},
    {"CoreN", BUILD_WINDOWS_10, "4CPRK-NM3K3-X6XXQ-RXX86-WXCHW"},
    {"CoreSingleLanguage", BUILD_WINDOWS_10, "BT79Q-G7N6G-PGBYW-4YWX6-6F4BT"},
    {"CoreCountrySpecific", BUILD_WINDOWS_10, "N2434-X9D7W-8PF6X-8DV9T-8TYMD"},
    {"Professional", BUILD_WINDOWS_10, "VK7JG-NPHTM-C97JM-9MPGT-3V66T"},
    {"ProfessionalN", BUILD_WINDOWS_10, "2B87N-8KFHP-DKV6R-Y2C8J-PKCKT"},
    {"ProfessionalEducation", BUILD_WINDOWS_10, "8PTT6-RNW4C-6V7J2-C2D3X-MHBPB"},
    {"ProfessionalEducationN", BUILD_WINDOWS_10, "GJTYN-HDMQY-FRR76-HVGC7-QPF8P"},
    {"ProfessionalWorkstation", BUILD_WINDOWS_10, "DXG7C-N36C4-C4HTG-X4T3X-2YV77"},
    {"ProfessionalWorkstationN", BUILD_WINDOWS_10, "WYPNQ-8C467-V2W6J-TX4WX-WT2RQ"},
    {"Education", BUILD_WINDOWS_10, "YNMGQ-8RYV3-4PGQ3-C8XTP-7CFBY"},
    {"EducationN", BUILD_WINDOWS_10, "84NGF-MHBT6-FXBX8-QWJK7-DRR8H"},
    {"Enterprise", BUILD_WINDOWS_10, "NPPR9-FWDCX-D2C8J-H872K-2YT43"},
    {"EnterpriseN", BUILD_WINDOWS_10, "DPH2V-TTNVB-4X9Q3-TJR4H-KHJW4"},
    {"EnterpriseS", BUILD_SERVER_2019, "M7XTQ-FN8P6-TTKYV-9D4CC-J462D"},
    {"EnterpriseS", BUILD_SERVER_2016, "DCPHK-NFMTC-H88MJ-PFHPY-QJ4BJ"},
    {"EnterpriseS", BUILD_WINDOWS_10, "WNMTR-4C88C-JK8YV-HQ7T2-76DF9"},
    {"EnterpriseSN", BUILD_SERVER_2019, "92NFX-8DJQP-P6BBQ-THF9C-7CG2H"},
    {"EnterpriseSN", BUILD_SERVER_2016, "QFFDN-GRT3P-VKWWX-X7T3R-8B639"},
    {"EnterpriseSN", BUILD_WINDOWS_10, "2F77B-TNFGY-69QQF-B8YKP-D69TJ"},
    {"IoTEnterprise", BUILD_WINDOWS_10, "XQQYW-NFFMW-XJPBH-K8732-CKFFD"},
    {"IoTEnterpriseS", BUILD_SERVER_2025, "CGK42-GYN6Y-VD22B-BX98W-J8JXD"},
    {"IoTEnterpriseS", BUILD_LTSC_2021, "QPM6N-7J2WJ-P88HH-P3YRH-YY74H"},
    {"ServerStandard", BUILD_SERVER_2025, "TVRH6-WHNXV-R9WG3-9XRFY-MY832"},
    {"ServerStandard", BUILD_SERVER_2022, "VDYBN-27WPP-V4HQT-9VMD4-VMK7H"},
    {"ServerStandard", BUILD_SERVER_2019, "N69G4-B89J2-4G8F4-WWYCC-J464C"},
    {"ServerStandard", BUILD_WINDOWS_10, "WC2BQ-8NRM3-FDDYY-2BFGV-KHKQY"},
    {"ServerDatacenter", BUILD_SERVER_2025, "D764K-2NDRG-47T6Q-P8T8W-YP6DF"},
    {"ServerDatacenter", BUILD_SERVER_2022, "WX4NM-KYWYW-QJJR4-XV3QB-6VM33"},
    {"ServerDatacenter", BUILD_SERVER_2019, "WMDGN-G9PQG-XVVXX-R3X43-63DFG"},
    {"ServerDatacenter", BUILD_WINDOWS_10, "CB7KF-BWN84-R7R2Y-793K2-8XDDG"},
};

const char *answers_generic_key(const struct medium_image *image)
{
    if (image->evaluation)
        return NULL;
    for (size_t n = 0; n < ARRAY_SIZE(generic_keys); n++)
        if (image->build >= generic_keys[n].build && answers_is_edition(image, generic_keys[n].edition))
            return generic_keys[n].key;
    return NULL;
}

bool answers_is_hyperv_server(const struct medium_image *image)
{
    return strcasecmp(image->edition, "ServerHyperCore") == 0;
}

/* An evaluation has its own key, and the free Hyper-V Server needs none. */
static bool takes_key(const struct medium_image *image)
{
    return !image->evaluation && !answers_is_hyperv_server(image);
}

const char *answers_setup_key(const struct answers *answers, const struct medium_image *image)
{
    const char *generic = answers_generic_key(image);

    return generic || !takes_key(image) ? generic : answers->key;
}

/* What people call Home: Core, CoreN, CoreSingleLanguage, CoreCountrySpecific. */
static bool is_home(const struct medium_image *image)
{
    return !medium_image_is_server(image) && !strncasecmp(image->edition, "Core", 4);
}

int answers_check_image(const struct answers *answers, const struct medium_image *image, struct error *error)
{
    if (answers->manual)
        return 0;
    if (answers->key && !takes_key(image))
        return error_set(error, EINVAL,
                         "--key: the medium's %s is %s, which takes no product key; leave --key out, or take a medium "
                         "that is sold with keys",
                         image->edition, image->evaluation ? "an evaluation" : "Hyper-V Server");
    if (answers->domain && is_home(image))
        return error_set(error, EINVAL,
                         "--domain %s: %s is Windows Home, which joins no domain; leave --domain out, or take another "
                         "edition, such as --edition pro",
                         answers->domain, image->edition);
    return 0;
}

void answers_warn(const struct answers *answers, const struct medium_image *image)
{
    if (takes_key(image) && !answers_setup_key(answers, image))
        log_warning("--key: no key is known that tells Setup to install %s, build %u, so it will ask for one at the "
                    "screen; give yours with --key",
                    image->edition, image->build);
    if (is_home(image))
        log_warning("--edition: %s is Windows Home, which lets nobody in by Remote Desktop; use the viewer, or take "
                    "--edition pro",
                    image->edition);
}
