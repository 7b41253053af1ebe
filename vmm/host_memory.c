/* Free memory as /proc and the control groups say it (see host_memory.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cgroup.h"
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

/* opaque: the least limit so far. */
static void visit_group(void *opaque, const char *folder, bool unified)
{
    uint64_t *least = opaque;
    char path[CGROUP_PATH + 32];

    snprintf(path, sizeof path, "%s/%s", folder, unified ? "memory.max" : "memory.limit_in_bytes");
    *least = MIN(*least, read_limit(path));
}

uint64_t host_memory_available(const char *root)
{
    uint64_t available = meminfo(root, "MemAvailable") * KiB, limit = UINT64_MAX;

    cgroup_visit(root, "memory", visit_group, &limit);
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
