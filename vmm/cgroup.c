/* /proc/self/cgroup, and the folders that it means (see cgroup.h). */
#include <stdio.h>
#include <string.h>

#include "cgroup.h"

static void visit_groups(const char *mount, const char *group, bool unified,
                         void (*visit)(void *opaque, const char *folder, bool unified), void *opaque)
{
    for (size_t length = 0;; length += 1 + strcspn(group + length + 1, "/")) {
        char folder[CGROUP_PATH];

        snprintf(folder, sizeof folder, "%s%.*s", mount, (int)length, group);
        visit(opaque, folder, unified);
        if (!group[length])
            return;
    }
}

static bool has_controller(char *controllers, const char *wanted)
{
    const char *controller;

    while ((controller = strsep(&controllers, ",")))
        if (!strcmp(controller, wanted))
            return true;
    return false;
}

/* Lines are ID:CONTROLLERS:PATH; the second version's has ID 0 and no controllers. */
void cgroup_visit(const char *root, const char *controller,
                  void (*visit)(void *opaque, const char *folder, bool unified), void *opaque)
{
    char path[4096], line[4096];
    FILE *file;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *group = line, *id = strsep(&group, ":"), *controllers = strsep(&group, ":");
        bool unified = !strcmp(id, "0") && controllers && !*controllers;

        if (!group || *group != '/' || (!unified && !has_controller(controllers, controller)))
            continue;
        group[strcspn(group, "\n")] = 0;
        snprintf(path, sizeof path, "%s/sys/fs/cgroup%s%s", root, unified ? "" : "/", unified ? "" : controller);
        visit_groups(path, group[1] ? group : "", unified, visit, opaque);
    }
    if (file)
        fclose(file);
}
