/*
 * A storage folder of dockurr/windows with a Windows that was installed there: it is started by what it knows, the disk
 * untouched. Beside the disk lie files with what was chosen: windows.boot says that the system was seen to start,
 * windows.type and windows.mode its disk and firmware where they are not the usual ones, windows.vars has the
 * firmware's variables, windows.mac the card's address. None of them is changed, so that the way back is open. There is
 * none of the machine's UUID, which is not set there unless a variable says it.
 *
 * What is taken over is a journey of ours from the first start on, which then comes before these files.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../windows/journey.h"
#include "casement/bytes.h"
#include "environment_private.h"

static bool has(struct reader *reader, const char *name)
{
    return reader_exists(reader_text(reader, "%s/%s", reader_storage(reader), name));
}

/* What a small file has of one line, without what is not printable; NULL: nothing, or there is none. */
static const char *read_note(struct reader *reader, const char *name)
{
    char text[64];
    const char *path = reader_text(reader, "%s/%s", reader_storage(reader), name);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    size_t used = 0;

    if (fd >= 0)
        close(fd);
    for (ssize_t n = 0; n < length && text[n] != '\n'; n++)
        if (isgraph((unsigned char)text[n]))
            text[used++] = text[n];
    text[used] = 0;
    return used ? reader_text(reader, "%s", text) : NULL;
}

static int refuse(struct reader *reader, const char *reason)
{
    return error_set(reader->error, EINVAL,
                     "STORAGE %s: there is a Windows of dockurr/windows, %s; nothing of it was touched",
                     reader_storage(reader), reason);
}

/* The environment first, then the file, as there. */
static const char *chosen(struct reader *reader, const char *variable, const char *file, const char *fallback)
{
    const char *value = reader_value(reader, variable);

    if (!value)
        value = read_note(reader, file);
    return value ? value : fallback;
}

static int take_disk(struct reader *reader)
{
    static const char *const types[][2] = {{"scsi", "scsi"},         {"virtio-scsi", "scsi"}, {"blk", "virtio"},
                                           {"virtio-blk", "virtio"}, {"nvme", "inbox"},       {"sata", "ahci"},
                                           {"ide", "ahci"}};
    const char *type = chosen(reader, "DISK_TYPE", "windows.type", "scsi");

    for (size_t n = 0; n < ARRAY_SIZE(types); n++)
        if (!strcasecmp(type, types[n][0])) {
            reader_give(reader, "profile", NULL, types[n][1]);
            return 0;
        }
    return refuse(
        reader,
        reader_text(reader, "whose disk is on %s, which is not here; start it there with DISK_TYPE=sata once", type));
}

/* Only the plain firmware is here; a system that was installed with another may not start, or ask for a key. */
static int take_firmware(struct reader *reader)
{
    const char *mode = chosen(reader, "BOOT_MODE", "windows.mode", "windows"), *vars;

    if (strcasestr(mode, "legacy"))
        return refuse(reader, "which was installed for a BIOS, and the firmware here is UEFI; keep it there");
    if (strcasestr(mode, "secure"))
        return refuse(reader, "which was installed with Secure Boot and a TPM, which are not here yet; keep it there");
    vars = reader_text(reader, "%s/%s.vars", reader_storage(reader), mode);
    if (reader_exists(vars))
        reader_give(reader, "vars-template", NULL, vars);
    return 0;
}

bool reader_takes_over(struct reader *reader)
{
    return reader_has_system(reader) && !has(reader, "journey.json") &&
           (has(reader, "windows.boot") || has(reader, "windows.base") || has(reader, "windows.ver"));
}

/* Is this the Windows of those files, at the first start here or a later one? What was installed here had a medium. */
static bool is_theirs(struct reader *reader)
{
    struct journey journey;
    struct error error;

    if (!reader_has_system(reader) || !has(reader, "windows.boot"))
        return false;
    return reader_takes_over(reader) || (journey_read(reader_storage(reader), &journey, &error) == 0 &&
                                         journey.step == JOURNEY_INSTALLED && !*journey.medium);
}

/* By these Windows, and what runs there, know the network and the machine. QEMU shows zeroes where UUID is not given.
 */
static void take_identity(struct reader *reader)
{
    const char *mac = reader_value(reader, "MAC") ? NULL : read_note(reader, "windows.mac");

    if (!is_theirs(reader))
        return;
    if (mac && reader_has_network(reader))
        reader_give(reader, "mac", NULL, mac);
    /* Without one, the card's address would come from it, the same in every container. */
    if (!reader_value(reader, "UUID") && (mac || reader_value(reader, "MAC")))
        reader_give(reader, "uuid", NULL, "00000000-0000-0000-0000-000000000000");
}

int environment_take_over(struct reader *reader)
{
    int failed;

    take_identity(reader);
    if (!reader_takes_over(reader))
        return 0;
    if (!has(reader, "windows.boot"))
        return refuse(reader, "whose installation is not finished; finish it there, or put it aside by the command "
                              "`windows set-aside --state` and the folder");
    failed = take_firmware(reader);
    if (failed == 0)
        failed = take_disk(reader);
    if (failed == 0 && has(reader, "windows.tpm"))
        reader_warn(reader, "STORAGE %s: the TPM that Windows had there is not here; what it keeps stays out of reach",
                    reader_storage(reader));
    if (failed == 0)
        reader_warn(reader,
                    "STORAGE %s: a Windows that dockurr/windows has installed is taken over; its disk and files stay "
                    "as they are; maker and serial numbers are others than QEMU's, so Windows may ask for its "
                    "activation again",
                    reader_storage(reader));
    return failed;
}
