/* Free memory as /proc and the control groups say it (see host_memory.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "host_memory.h"

/* The number behind "key:" in /proc/meminfo, or 0. */
static uint64_t meminfo(const char *root, const char *key)
{
    char path[4096], line[128];
    uint64_t value = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
            value = strtoull(line + strlen(key) + 1, NULL, 10);
    if (file)
        fclose(file);
    return value;
}

static uint64_t read_limit(const char *path)
{
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen(path, "re");

    /* "max" is no number and leaves it as it is. */
    if (file && fscanf(file, "%" SCNu64, &limit) != 1)
        limit = UINT64_MAX;
    if (file)
        fclose(file);
    return limit;
}

/* The least limit from the hierarchy's root down to the group. In a container the path may be one that only the host
 * sees; the root, where its own group is mounted, counts all the same. */
static uint64_t group_limit(const char *root, const char *mount, const char *group, const char *name)
{
    uint64_t limit = UINT64_MAX;

    for (size_t length = 0;; length += 1 + strcspn(group + length + 1, "/")) {
        char path[8192];

        snprintf(path, sizeof path, "%s%s%.*s/%s", root, mount, (int)length, group, name);
        limit = MIN(limit, read_limit(path));
        if (!group[length])
            return limit;
    }
}

/* Lines are ID:CONTROLLERS:PATH; the second hierarchy has ID 0 and no controllers (cgroups(7)). */
static uint64_t groups_limit(const char *root)
{
    char path[4096], line[4096];
    uint64_t limit = UINT64_MAX;
    FILE *file;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *rest = line, *id = strsep(&rest, ":"), *controllers = strsep(&rest, ":");

        if (!rest || *rest != '/')
            continue;
        rest[strcspn(rest, "\n")] = 0;
        if (!rest[1])
            *rest = 0;
        if (!strcmp(id, "0") && !*controllers)
            limit = MIN(limit, group_limit(root, "/sys/fs/cgroup", rest, "memory.max"));
        else if (!strcmp(controllers, "memory"))
            limit = MIN(limit, group_limit(root, "/sys/fs/cgroup/memory", rest, "memory.limit_in_bytes"));
    }
    if (file)
        fclose(file);
    return limit;
}

uint64_t host_memory_available(const char *root)
{
    uint64_t available = meminfo(root, "MemAvailable") * KiB, limit = groups_limit(root);

    return MIN(available ? available : UINT64_MAX, limit);
}

uint64_t host_memory_huge(const char *root, uint64_t *page)
{
    uint64_t unreserved = meminfo(root, "HugePages_Free") - meminfo(root, "HugePages_Rsvd");
    uint64_t surplus = meminfo(root, "HugePages_Surp"), more;
    char path[4096];

    snprintf(path, sizeof path, "%s/proc/sys/vm/nr_overcommit_hugepages", root);
    more = read_limit(path);
    *page = meminfo(root, "Hugepagesize") * KiB;
    return (unreserved + (more != UINT64_MAX && more > surplus ? more - surplus : 0)) * *page;
}
