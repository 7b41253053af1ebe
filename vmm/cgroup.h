/* The control groups that this process is in, whose limits are those of the container around it. */
#ifndef CASEMENT_CGROUP_H
#define CASEMENT_CGROUP_H

#include <stdbool.h>

#define CGROUP_PATH 8192 /* bytes of a folder, at most */

/*
 * Calls visit() with the folder of each group from the hierarchy's root down to the process's own, for every hierarchy
 * that has the controller ("memory", "cpu"); unified: it is of cgroup v2 (cgroups(7)). In a container the path may be
 * one that only the host sees; the root, where the container's own group is mounted, is visited all the same. root
 * stands in front of /proc and /sys; "" but in tests. Folders that are not there are visited, too. Any thread.
 */
void cgroup_visit(const char *root, const char *controller,
                  void (*visit)(void *opaque, const char *folder, bool unified), void *opaque);

#endif
