/* See rights.h. By system calls: a library would set the rights of all threads. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rights.h"

static int get(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

bool rights_have(unsigned capability)
{
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return get(data) == 0 && data[capability / 32].effective >> capability % 32 & 1;
}

/* Only who has CAP_SETPCAP may; without it nothing of the bounding set can be had again either, by no_new_privs. */
static void drop_bounding(uint64_t keep)
{
    if (!rights_have(CAP_SETPCAP))
        return;
    for (unsigned n = 0; prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0; n++)
        if (n >= 64 || !(keep >> n & 1))
            prctl(PR_CAPBSET_DROP, n, 0, 0, 0);
}

int rights_drop(uint64_t keep, struct error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    int failed = get(data);

    drop_bounding(keep);
    for (unsigned n = 0; n < _LINUX_CAPABILITY_U32S_3; n++) {
        data[n].permitted &= (uint32_t)(keep >> n * 32);
        data[n].effective &= data[n].permitted;
        data[n].inheritable = 0;
    }
    if (failed == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                        (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) ||
                        syscall(SYS_capset, &header, data) < 0))
        failed = -errno;
    return failed < 0 ? error_set(error, -failed,
                                  "capabilities: cannot be dropped: %s; allow capset and prctl in the seccomp profile",
                                  strerror(-failed))
                      : 0;
}
