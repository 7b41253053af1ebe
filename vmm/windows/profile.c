/* The rules of changing between profiles (see profile.h). */
#include <stdio.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "profile.h"

static const struct profile {
    const char *name;
    enum config_bus bus;
    enum config_card card;
} profiles[] = {
    [CONFIG_PROFILE_INBOX] = {PROFILE_INBOX, CONFIG_BUS_NVME, CONFIG_CARD_E1000E},
    [CONFIG_PROFILE_VIRTIO] = {PROFILE_VIRTIO, CONFIG_BUS_VIRTIO, CONFIG_CARD_VIRTIO},
    [CONFIG_PROFILE_SCSI] = {PROFILE_SCSI, CONFIG_BUS_SCSI, CONFIG_CARD_VIRTIO},
    [CONFIG_PROFILE_AHCI] = {PROFILE_AHCI, CONFIG_BUS_AHCI, CONFIG_CARD_E1000E},
};

static const char *asked(const struct config_windows *windows)
{
    return profiles[windows->profile].name;
}

/* A journey that another version has written may have one that is not known: the first then. */
static const struct profile *find(const char *name)
{
    for (size_t n = 0; n < ARRAY_SIZE(profiles); n++)
        if (!strcmp(profiles[n].name, name))
            return &profiles[n];
    return &profiles[0];
}

/* An adapter does not say whether firmware or Windows drives it. */
static bool can_be_tried(const char *name)
{
    return find(name)->bus != CONFIG_BUS_AHCI;
}

/* Setup has one profile from its start to its end. What nobody asks for is not changed. */
void profile_plan(struct profile_plan *plan, const struct journey *journey, const struct config_windows *windows)
{
    bool begun = journey->step >= JOURNEY_INSTALLING && *journey->profile;

    *plan = (struct profile_plan){.used = begun ? journey->profile : asked(windows)};
    plan->wished = windows->profile_given ? asked(windows) : plan->used;
    if (journey->step != JOURNEY_INSTALLED || !strcmp(plan->wished, plan->used) || !can_be_tried(plan->wished))
        return;
    plan->change = strcmp(journey->tried, plan->wished) != 0 ? PROFILE_TRIES : PROFILE_MOVES;
    if (plan->change == PROFILE_MOVES)
        plan->used = plan->wished;
}

enum config_bus profile_bus(const char *profile)
{
    return find(profile)->bus;
}

enum config_card profile_card(const char *profile)
{
    return find(profile)->card;
}

bool profile_needs_drivers(const char *profile)
{
    return find(profile)->card == CONFIG_CARD_VIRTIO;
}

void profile_tell(const struct profile_plan *plan, const struct journey *journey, bool has_drivers)
{
    const char *wished = plan->wished;

    if (plan->change == PROFILE_MOVES)
        log_info("--profile %s: the system disk moves there; should Windows not start, stop it and give --profile %s",
                 wished, journey->profile);
    else if (plan->change == PROFILE_TRIES && (has_drivers || !profile_needs_drivers(wished)))
        log_info(
            "--profile %s: Windows keeps %s for this start and gets a small disk there; when it drives that, which "
            "is said here, the next start moves the system disk%s",
            wished, plan->used,
            has_drivers ? "; install the drivers from the disc, if Windows has not got them yet" : "");
    else if (plan->change == PROFILE_TRIES)
        log_warning("--profile %s: Windows keeps %s until it drives a small disk there; if it was installed without "
                    "the drivers, add --drivers with a virtio-win disc image and install them from the disc",
                    wished, plan->used);
    else if (strcmp(wished, plan->used) != 0 && journey->step == JOURNEY_INSTALLED)
        log_warning("--profile %s: Windows keeps %s; it can only be installed on that one", wished, plan->used);
    else if (strcmp(wished, plan->used) != 0)
        log_warning("--profile %s: the installation began with profile %s and goes on with it; change it when "
                    "Windows is installed",
                    wished, plan->used);
}

void profile_driven(struct profile_plan *plan, struct journey *journey)
{
    if (plan->change == PROFILE_TRIES) {
        snprintf(journey->tried, sizeof journey->tried, "%s", plan->wished);
        log_info("Windows drives a disk of profile %s; the next start moves the system disk there", plan->wished);
    } else if (plan->change == PROFILE_MOVES) {
        snprintf(journey->profile, sizeof journey->profile, "%s", plan->wished);
        journey->tried[0] = 0;
        log_info("Windows has started from profile %s, and keeps it from now on", plan->wished);
    }
    plan->change = PROFILE_STAYS;
}

bool profile_ended(const struct profile_plan *plan, struct journey *journey)
{
    if (plan->change != PROFILE_MOVES)
        return false;
    journey->tried[0] = 0;
    log_warning("Windows has not started from profile %s; the next start takes %s again, and tries a small disk if "
                "--profile %s asks for it",
                plan->wished, journey->profile, plan->wished);
    return true;
}
