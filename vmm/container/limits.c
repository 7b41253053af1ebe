/* Limits as /proc, the control groups and the file system say them (see limits.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "../cgroup.h"
#include "../host_memory.h"
#include "../proc.h"
#include "casement/bytes.h"
#include "limits.h"

/* Screen, disk and network buffers and the viewers are the same for every machine; page tables and what the host keeps
 * of the disks grow with it. */
#define OWN_LEAST (256 * MiB)
#define OWN_SHARE 16

/* The number of numbers in a list such as 0-3,8. */
static unsigned count_list(const char *list)
{
    unsigned count = 0;
    char *end;

    for (;; list = end + 1) {
        unsigned long first = strtoul(list, &end, 10), last = first;

        if (end == list)
            return count;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        if (last >= first)
            count += (unsigned)(last - first + 1);
        if (*end != ',')
            return count;
    }
}

unsigned limits_processors(const char *root)
{
    char list[4096] = "";

    proc_field(root, "/proc/self/status", "Cpus_allowed_list", list, sizeof list);
    return MAX(count_list(list), 1U);
}

static unsigned read_numbers(const char *folder, const char *name, uint64_t *first, uint64_t *second)
{
    char path[CGROUP_PATH + 32];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return proc_numbers(path, first, second);
}

/* opaque: the fewest processors so far. */
static void visit_group(void *opaque, const char *folder, bool unified)
{
    unsigned *fewest = opaque;
    uint64_t quota, period;
    /* "max" is no number. */
    bool limited = unified ? read_numbers(folder, "cpu.max", &quota, &period) == 2
                           : read_numbers(folder, "cpu.cfs_quota_us", &quota, NULL) == 1 &&
                                 read_numbers(folder, "cpu.cfs_period_us", &period, NULL) == 1;

    /* The first version's -1 reads as a number beyond all. */
    if (limited && period && quota < UINT32_MAX)
        *fewest = MIN(*fewest, (unsigned)MAX((quota + period - 1) / period, UINT64_C(1)));
}

unsigned limits_cpus(const char *root)
{
    unsigned fewest = limits_processors(root);

    cgroup_visit(root, "cpu", visit_group, &fewest);
    return fewest;
}

uint64_t limits_memory(const char *root)
{
    uint64_t available = host_memory_available(root), own = MAX((uint64_t)OWN_LEAST, available / OWN_SHARE);

    if (available == UINT64_MAX)
        return available;
    return available > own ? available - own : 0;
}

int limits_space(const char *folder, uint64_t *bytes, struct error *error)
{
    struct statvfs info;

    if (statvfs(folder, &info) < 0)
        return error_set(error, errno, "%s: %s; bind a folder there", folder, strerror(errno));
    *bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return 0;
}
