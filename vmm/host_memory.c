/* Free memory as /proc and the control groups say it (see host_memory.h). */
#include <stdio.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "cgroup.h"
#include "host_memory.h"
#include "proc.h"

static uint64_t meminfo(const char *root, const char *key)
{
    char value[32];

    return proc_field(root, "/proc/meminfo", key, value, sizeof value) ? strtoull(value, NULL, 10) : 0;
}

/* opaque: the least limit so far. */
static void visit_group(void *opaque, const char *folder, bool unified)
{
    uint64_t *least = opaque;
    char path[CGROUP_PATH + 32];
    uint64_t limit;

    snprintf(path, sizeof path, "%s/%s", folder, unified ? "memory.max" : "memory.limit_in_bytes");
    if (proc_numbers(path, &limit, NULL))
        *least = MIN(*least, limit);
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
    uint64_t surplus = meminfo(root, "HugePages_Surp"), more = 0;
    char path[4096];

    snprintf(path, sizeof path, "%s/proc/sys/vm/nr_overcommit_hugepages", root);
    proc_numbers(path, &more, NULL);
    *page = meminfo(root, "Hugepagesize") * KiB;
    return (unreserved + (more > surplus ? more - surplus : 0)) * *page;
}
