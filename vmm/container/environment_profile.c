/*
 * What disks and network card are on. dockurr/windows brings drivers for virtio along; here they are the user's to
 * bring, and what Windows has on its medium drives NVMe and AHCI. A Windows that is installed keeps what it has.
 */
#include <errno.h>
#include <string.h>

#include "../windows/journey.h"
#include "../windows/profile.h"
#include "casement/bytes.h"
#include "environment_private.h"

static const struct disk_type {
    const char *name, *profile, *bus; /* of the system disk and the card; of further disks */
} types[] = {
    {"nvme", PROFILE_INBOX, "nvme"},       {"auto", PROFILE_INBOX, "nvme"},   {"scsi", PROFILE_SCSI, "scsi"},
    {"virtio-scsi", PROFILE_SCSI, "scsi"}, {"blk", PROFILE_VIRTIO, "virtio"}, {"virtio-blk", PROFILE_VIRTIO, "virtio"},
    {"sata", PROFILE_AHCI, "ahci"},        {"ide", PROFILE_AHCI, "ahci"},     {"usb", PROFILE_INBOX, "usb"}};

/* NULL: there is none of this name. */
static const struct disk_type *find_type(const char *name)
{
    for (size_t n = 0; n < ARRAY_SIZE(types); n++)
        if (!strcasecmp(name, types[n].name))
            return &types[n];
    return NULL;
}

static const struct disk_type *wanted_type(struct reader *reader)
{
    const char *value = reader_value(reader, "DISK_TYPE");
    const struct disk_type *type = value ? find_type(value) : NULL;

    return type ? type : &types[0];
}

static bool has_drivers(struct reader *reader)
{
    return reader_find(reader, "drivers") || reader_find(reader, "drivers.iso");
}

/* What Windows is installed on, or is being installed on; empty when that is not known; NULL: there is no system. */
static const char *profile_there(struct reader *reader)
{
    struct journey journey;
    struct error error;

    if (!reader_has_system(reader))
        return NULL;
    if (journey_read(reader_storage(reader), &journey, &error) < 0)
        return "";
    if (journey.step >= JOURNEY_INSTALLING)
        return reader_text(reader, "%s", journey.profile);
    /* A disk that no journey knows of was brought here with what is on it. */
    return journey.step == JOURNEY_NEW ? "" : NULL;
}

static bool drives_virtio(struct reader *reader)
{
    const char *there = profile_there(reader);

    return has_drivers(reader) || (there && (!*there || profile_needs_drivers(there)));
}

/* Are disks and card to be virtio, and are there drivers for that? */
static bool gets_virtio(struct reader *reader)
{
    return profile_needs_drivers(wanted_type(reader)->profile) && has_drivers(reader);
}

const char *reader_disk_bus(struct reader *reader)
{
    const struct disk_type *type = wanted_type(reader);

    return profile_needs_drivers(type->profile) && !drives_virtio(reader) ? types[0].bus : type->bus;
}

/* A disk that was brought says nothing about itself, so DISK_TYPE does; the other container's notes come first. */
static void give_profile(struct reader *reader, const struct variable *variable, const char *value)
{
    const char *profile = wanted_type(reader)->profile, *there = profile_there(reader);

    if ((there && *there) || reader_takes_over(reader))
        return;
    if (!there && profile_needs_drivers(profile) && !has_drivers(reader))
        reader_warn(reader,
                    "%s %s: Windows has no driver for it and none is in /drivers, so the disk is NVMe, which it "
                    "drives; give nvme, or bind a virtio-win disc at /drivers.iso",
                    variable->name, value);
    else if (strcmp(profile, PROFILE_INBOX) != 0)
        reader_give(reader, variable->option, variable->name, profile);
    else if (!there && strcmp(wanted_type(reader)->bus, types[0].bus) != 0)
        reader_warn(reader, "%s %s: the system disk is NVMe, which Windows drives by itself; further disks are on USB",
                    variable->name, value);
}

int variable_disk_type(struct reader *reader, const struct variable *variable, const char *value)
{
    if (value && !find_type(value))
        return reader_refuse(reader, variable->name, value, "nvme, scsi, blk, sata, ide, usb, or auto");
    if (value)
        give_profile(reader, variable, value);
    return 0;
}

/* The card goes with the disks' profile: one of the two alone would need drivers, too. */
int variable_adapter(struct reader *reader, const struct variable *variable, const char *value)
{
    const bool virtio = value && !strncasecmp(value, "virtio", 6);

    if (!value || reader_has_system(reader) ||
        (virtio ? gets_virtio(reader) : !strcasecmp(value, "e1000e") && !gets_virtio(reader)))
        return 0;
    if (virtio)
        reader_warn(reader,
                    "%s %s: the card goes with the disks, so it is an Intel 82574L (e1000e), which Windows drives; for "
                    "virtio bind a virtio-win disc at /drivers.iso and give DISK_TYPE=scsi",
                    variable->name, value);
    else if (gets_virtio(reader))
        reader_warn(reader, "%s %s: the card goes with the disks, so it is virtio; leave out DISK_TYPE for an e1000e",
                    variable->name, value);
    else
        reader_warn(reader,
                    "%s %s: there is no such card here, so it is an Intel 82574L (e1000e), which Windows drives",
                    variable->name, value);
    return 0;
}
