/* Which image of a medium is meant, and the key that tells Setup its edition (see answers.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "answers_private.h"
#include "casement/bytes.h"

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
    {"EnterpriseS", BUILD_WINDOWS_10, "DCPHK-NFMTC-H88MJ-PFHPY-QJ4BJ"},
    {"EnterpriseSN", BUILD_SERVER_2019, "92NFX-8DJQP-P6BBQ-THF9C-7CG2H"},
    {"IoTEnterprise", BUILD_WINDOWS_10, "XQQYW-NFFMW-XJPBH-K8732-CKFFD"},
    {"IoTEnterpriseS", BUILD_SERVER_2019, "CGK42-GYN6Y-VD22B-BX98W-J8JXD"},
    {"ServerStandard", BUILD_SERVER_2025, "TVRH6-WHNXV-R9WG3-9XRFY-MY832"},
    {"ServerStandard", BUILD_SERVER_2022, "VDYBN-27WPP-V4HQT-9VMD4-VMK7H"},
    {"ServerStandard", BUILD_SERVER_2019, "N69G4-B89J2-4G8F4-WWYCC-J464C"},
    {"ServerStandard", BUILD_WINDOWS_10, "WC2BQ-8NRM3-FDDYY-2BFGV-KHKQY"},
    {"ServerDatacenter", BUILD_SERVER_2025, "D764K-2NDRG-47T6Q-P8T8W-YP6DF"},
    {"ServerDatacenter", BUILD_SERVER_2022, "WX4NM-KYWYW-QJJR4-XV3QB-6VM33"},
    {"ServerDatacenter", BUILD_SERVER_2019, "WMDGN-G9PQG-XVVXX-R3X43-63DFG"},
    {"ServerDatacenter", BUILD_WINDOWS_10, "CB7KF-BWN84-R7R2Y-793K2-8XDDG"},
};

/* The length of an edition's name without what says that it is an evaluation or has no desktop. */
static size_t bare_length(const char *edition)
{
    static const char *const tails[] = {"Core", "Cor", "Eval"};
    size_t length = strlen(edition);

    for (unsigned n = 0; n < ARRAY_SIZE(tails); n++) {
        size_t tail = strlen(tails[n]);

        if (length > tail && !strncasecmp(edition + length - tail, tails[n], tail))
            length -= tail;
    }
    return length;
}

static bool is_edition(const struct medium_image *image, const char *edition, size_t length)
{
    return bare_length(image->edition) == length && !strncasecmp(image->edition, edition, length);
}

const char *answers_generic_key(const struct medium_image *image)
{
    if (image->evaluation)
        return NULL;
    for (size_t n = 0; n < ARRAY_SIZE(generic_keys); n++)
        if (image->build >= generic_keys[n].build &&
            is_edition(image, generic_keys[n].edition, strlen(generic_keys[n].edition)))
            return generic_keys[n].key;
    return NULL;
}

/* What people call them. The first edition that the medium has. */
static const struct usual_name {
    const char *name;
    const char *editions[2];
    bool core; /* without a desktop */
} usual_names[] = {
    {"pro", {"Professional"}, false},
    {"home", {"Core"}, false},
    {"iot", {"IoTEnterpriseS", "IoTEnterprise"}, false},
    {"ltsc", {"EnterpriseS", "IoTEnterpriseS"}, false},
    {"standard", {"ServerStandard"}, false},
    {"datacenter", {"ServerDatacenter"}, false},
    {"standard-core", {"ServerStandard"}, true},
    {"datacenter-core", {"ServerDatacenter"}, true},
};

/* Best first; a server with a desktop is before all without one. */
static const char *const preferences[] = {
    "Enterprise",     "Professional",     "IoTEnterpriseS",          "IoTEnterprise",
    "EnterpriseS",    "Education",        "ProfessionalWorkstation", "Core",
    "ServerStandard", "ServerDatacenter",
};
#define UNKNOWN_RANK 100U
#define CORE_RANK 1000U
#define NO_RANK UINT32_MAX

static unsigned rank(const struct medium_image *image)
{
    unsigned place = UNKNOWN_RANK;

    for (unsigned n = 0; n < ARRAY_SIZE(preferences); n++)
        if (is_edition(image, preferences[n], strlen(preferences[n])))
            place = n;
    return place + (medium_image_is_core(image) ? CORE_RANK : 0);
}

/* What Setup can put on this machine: not the images of its own that some media have. */
static bool installable(const struct medium_image *image)
{
    return image->architecture == MEDIUM_AMD64 && image->build >= BUILD_WINDOWS_10 && image->edition[0] &&
           (medium_image_is_server(image) || !strcasecmp(image->installation_type, "Client"));
}

static bool in_language(const struct answers *answers, const struct medium_image *image)
{
    const struct locale *wanted = answers->language ? locale_find(answers->language) : NULL;

    return !wanted || !image->language[0] || !strcasecmp(wanted->tag, image->language);
}

/* Does it say that there is no desktop? "Core" alone is the edition that people call Home. */
static bool names_core(const char *edition)
{
    size_t bare = bare_length(edition);

    return strcasestr(edition + bare, "Cor") != NULL;
}

/* The rank among the images that the name means, best first; NO_RANK: it means another. */
static unsigned rank_by_name(const struct medium_image *image, const char *name)
{
    bool core = names_core(name);

    for (size_t n = 0; n < ARRAY_SIZE(usual_names); n++) {
        const struct usual_name *usual = &usual_names[n];

        if (strcasecmp(usual->name, name) != 0)
            continue;
        for (unsigned e = 0; e < ARRAY_SIZE(usual->editions) && usual->editions[e]; e++)
            if (is_edition(image, usual->editions[e], strlen(usual->editions[e])))
                return usual->core && !medium_image_is_core(image) ? NO_RANK : e * UNKNOWN_RANK + rank(image);
        return NO_RANK;
    }
    if (!strcasecmp(name, "core") && medium_image_is_core(image))
        return rank(image);
    if (!is_edition(image, name, bare_length(name)) || (core && !medium_image_is_core(image)))
        return NO_RANK;
    return rank(image);
}

static void list(const struct medium *medium, char *text, size_t size)
{
    size_t length = 0;

    text[0] = 0;
    for (unsigned n = 0; n < medium->image_count && length < size; n++) {
        const struct medium_image *image = &medium->images[n];

        if (installable(image))
            length += (size_t)snprintf(text + length, size - length, "%s%s%s%s%s", length ? ", " : "", image->edition,
                                       medium_image_is_core(image) ? " (core)" : "", image->language[0] ? " in " : "",
                                       image->language);
    }
}

static int none(const struct answers *answers, const struct medium *medium, bool other_language, struct error *error)
{
    char has[320];

    list(medium, has, sizeof has);
    if (!has[0])
        return error_set(error, ENOENT,
                         "the medium has no Windows 10, 11 or Server 2016 to 2025 for x86-64; take another medium");
    if (other_language)
        return error_set(error, ENOENT,
                         "--language %s: the medium has %s; take a medium in that language, or leave it out and give "
                         "--region and --keyboard",
                         answers->language, has);
    return error_set(error, ENOENT, "--edition %s: the medium has %s; give one of these", answers->edition, has);
}

const struct medium_image *answers_choose(const struct answers *answers, const struct medium *medium,
                                          struct error *error)
{
    const struct medium_image *best = NULL;
    unsigned best_rank = NO_RANK;
    bool other_language = false;

    for (unsigned n = 0; n < medium->image_count; n++) {
        const struct medium_image *image = &medium->images[n];
        unsigned place = NO_RANK;

        if (installable(image))
            place = answers->edition ? rank_by_name(image, answers->edition) : rank(image);
        if (place != NO_RANK && !in_language(answers, image)) {
            other_language = true;
            place = NO_RANK;
        }
        if (place < best_rank) {
            best = image;
            best_rank = place;
        }
    }
    if (!best)
        none(answers, medium, other_language, error);
    return best;
}
