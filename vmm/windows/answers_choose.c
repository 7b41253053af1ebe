/* Which image of a medium is meant (see answers.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "answers_private.h"
#include "casement/bytes.h"

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

static bool is_edition_of(const struct medium_image *image, const char *edition, size_t length)
{
    return bare_length(image->edition) == length && !strncasecmp(image->edition, edition, length);
}

bool answers_is_edition(const struct medium_image *image, const char *edition)
{
    return is_edition_of(image, edition, strlen(edition));
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
        if (answers_is_edition(image, preferences[n]))
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
            if (answers_is_edition(image, usual->editions[e]))
                return usual->core && !medium_image_is_core(image) ? NO_RANK : e * UNKNOWN_RANK + rank(image);
        return NO_RANK;
    }
    if (!strcasecmp(name, "core") && medium_image_is_core(image))
        return rank(image);
    if (!is_edition_of(image, name, bare_length(name)) || (core && !medium_image_is_core(image)))
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
